"""Checks of derivatives.

Against central differences, of both modes against each other, to any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp import arguments, transforms, tree
from fastbp._core.graph import Variable
from fastbp.errors import ShapeError

__all__ = ["check_grads", "numerical_jvp"]

# Relative to the scale of the inner product. Differences are taken in float64 throughout.
DIFFERENCE_RTOL = {np.dtype("f8"): 1e-6, np.dtype("f4"): 2e-4}
TRANSPOSE_RTOL = {np.dtype("f8"): 1e-12, np.dtype("f4"): 1e-5}
# Relative to the sizes of output and cotangent: what rounding leaves where a derivative is zero.
ROUNDING = {np.dtype("f8"): 2e-12, np.dtype("f4"): 4e-6}
GROWTH = 8.0  # of what rounds, with each order: it has so many more terms
STEP = 2e-3
STREAM = 20_100_211  # directions must not repeat the numbers of a user who seeds his point with 0


def check_grads(
    f: Callable[..., Any],
    args: Any,
    order: int = 2,
    modes: Sequence[str] = ("fwd", "rev"),
    *,
    rtol: float | None = None,
    step: float = STEP,
    seed: int = 0,
    directions: Any = None,
) -> None:
    """Check the derivatives of a function at a point.

    Parameters
    ----------
    f : callable
        A function of arrays or nested containers of them, smooth near `args`, that computes in the
        dtype it is given. Complex numbers move in both parts.
    args : tuple
        Its arguments, all differentiated; anything but a tuple is a single argument.
    order : int
        Highest derivative to check: 2 also checks the derivatives of the VJP and of the JVP, 3
        those of their VJPs and JVPs, and so on; with both modes, every order doubles the work.
    modes : sequence of {"fwd", "rev"}, or "forward" and "reverse"
        What to check: JVPs, VJPs; with both also that one is the transpose of the other.
    rtol : float, optional
        Tolerance of the comparison with differences, relative to the scale of the inner product
        ``|g| |J v|``; by default 1e-6 for float64 and 2e-4 for float32.
    step : float
        Step of the differences, relative to the size of the arguments (at least 1).
    seed : int
        Of the random directions.
    directions : callable, "symmetric", or tuple of them and of None, optional
        The space of directions in which a function that is not defined everywhere can be left: one
        for each argument (None: any direction), for a single argument without the tuple. A callable
        projects: it takes random numbers in the structure of the argument, and returns a direction
        in the space, of the same structure. ``"symmetric"`` stands for the symmetric part of
        matrices (`numpy.linalg.cholesky`), `numpy.tril` serves for lower triangular ones, ``lambda
        v: v - numpy.mean(v)`` for numbers whose sum is fixed.

    Raises
    ------
    AssertionError
        With mode, order, both numbers and the tolerance.
    ShapeError
        If `directions` are not as many as the arguments, or have other shapes.

    Notes
    -----
    Along random directions v and g (g partly along ``J v``), ``<g, J v>`` from each mode is
    compared with central differences of order four (Richardson extrapolation), whose cost does not
    grow with the number of arguments; and ``<g, jvp(v)>`` with ``<vjp(g), v>``, which agree to
    rounding.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> bp.testing.check_grads(lambda x, y: np.sin(x) * y, (np.ones(3), np.arange(3.0)))
    >>> a = np.array([[2.0, 0.5], [0.5, 1.0]])
    >>> bp.testing.check_grads(np.linalg.cholesky, a, directions="symmetric")
    """
    given = (modes,) if isinstance(modes, str) else tuple(modes)
    modes = [{"forward": "fwd", "reverse": "rev"}.get(mode, mode) for mode in given]
    if order < 1 or not modes or not set(modes) <= {"fwd", "rev"}:
        raise ValueError(
            f'check_grads: order {order!r} must be positive, modes {given!r} from "fwd" and "rev"'
        )
    arguments.check_function("check_grads", f)
    args = args if isinstance(args, tuple) else (args,)
    draw = _Directions(directions, args, np.random.default_rng([STREAM, seed]))
    try:
        _check(f, args, order, tuple(modes), rtol, step, draw, "f")
    except AssertionError as error:
        raise AssertionError(f"{error}{_hint(directions, args)}") from None


def _hint(directions: Any, args: tuple[Any, ...]) -> str:
    """Return what to try where the point may be on the edge of what `f` is defined for."""
    matrices = [x for x in map(np.asarray, _leaves(args)) if x.ndim == 2 and min(x.shape) > 1]
    special = any(np.array_equal(x, y) for x in matrices for y in (x.T, np.tril(x), np.triu(x)))
    if directions is not None or not special:
        return ""
    return (
        '; a function of symmetric matrices only is checked with directions="symmetric", one of '
        "lower triangular ones with directions=numpy.tril"
    )


class _Directions:
    """Draws random directions in the spaces in which arguments may move."""

    def __init__(self, given: Any, args: tuple[Any, ...], rng: np.random.Generator) -> None:
        if not isinstance(given, tuple):
            given = (given,) if len(args) == 1 else (None,) * len(args) if given is None else given
        if not isinstance(given, tuple) or len(given) != len(args):
            raise ShapeError(
                f"check_grads: directions must be a tuple with an entry for each of the "
                f"{len(args)} arguments, not {given!r}"
            )
        for project in given:
            if not (project is None or callable(project) or _is_symmetric(project)):
                raise TypeError(
                    f'check_grads: directions are callables, "symmetric" or None, not {project!r}'
                )
        self.given = given
        self.rng = rng

    def __call__(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return directions of the sizes of the arguments."""
        return tuple(map(self._one, self.given, args))

    def _one(self, project: Any, x: Any) -> Any:
        v = tree.map(lambda x: _random_like(x, self.rng) * _size(x), x)
        if project is None:
            return v
        found = _symmetric(v) if isinstance(project, str) else project(v)
        return tree.map(_fitted, found, v)


def _is_symmetric(project: Any) -> bool:
    return isinstance(project, str) and project == "symmetric"


def _symmetric(v: Any) -> Any:
    return tree.map(lambda a: (a + np.swapaxes(a, -1, -2)) / 2, v)


def _fitted(found: Any, v: Any) -> Any:
    found = np.asarray(found, np.asarray(v).dtype)
    if found.shape != np.shape(v):
        raise ShapeError(
            f"check_grads: directions of shape {found.shape} for an argument of shape {np.shape(v)}"
        )
    return found


def _check(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    order: int,
    modes: tuple[str, ...],
    rtol: float | None,
    step: float,
    draw: _Directions,
    label: str,
    floor: float = 0.0,
) -> None:
    # `floor` is the size of what rounded on the way to f, where f itself is a derivative: that may
    # be zero, and rounding is what is left of it.
    v = draw(args)
    out, pullback = transforms.vjp(f, *args, unconnected="zero")
    expected = numerical_jvp(f, args, v, step=step)
    g = tree.map(lambda y, d: _random_like(y, draw.rng, d), out, expected)
    found_dtypes = (np.asarray(x).real.dtype for x in _leaves((args, out)))
    dtypes = [d for d in found_dtypes if d in DIFFERENCE_RTOL]
    dtype = min(dtypes, key=lambda d: d.itemsize, default=np.dtype("f8"))
    scale = _norm(g) * _norm(expected)
    tolerance = scale * (rtol if rtol is not None else DIFFERENCE_RTOL[dtype])
    floor = max(floor, _norm(out))
    tolerance += ROUNDING[dtype] * _norm(g) * floor
    found = {}
    if "rev" in modes:
        found["rev"] = _inner(pullback(g), v)
    if "fwd" in modes:
        found["fwd"] = _inner(g, transforms.jvp(f, args, v, unconnected="zero")[1])
    for mode, value in found.items():
        _compare(
            f"{label}, mode {mode} against differences",
            value,
            _inner(g, expected),
            tolerance,
        )
    if len(found) == 2:
        _compare(
            f"{label}, fwd against rev",
            found["fwd"],
            found["rev"],
            TRANSPOSE_RTOL[dtype] * max(scale, _norm(v), _norm(g) * floor),
        )
    if order > 1:
        size = min([float(_size(x)) for x in _leaves(args)], default=1.0)
        floor *= GROWTH
        derived = {
            "rev": (
                lambda *xs: transforms.vjp(f, *xs, unconnected="zero")[1](g),
                "vjp",
                _norm(g) * floor / size,
            ),
            "fwd": (lambda *xs: transforms.jvp(f, xs, v, unconnected="zero")[1], "jvp", floor),
        }
        for mode in modes:
            df, name, below = derived[mode]
            _check(df, args, order - 1, modes, rtol, step, draw, f"{name} of {label}", below)


def numerical_jvp(
    f: Callable[..., Any], args: tuple[Any, ...], v: tuple[Any, ...], step: float = STEP
) -> Any:
    """Return the directional derivative of `f` by central differences of order four.

    Parameters
    ----------
    f : callable
    args, v : tuple
        Point and direction, of the same structure. Single precision is replaced by double.
    step : float
        Relative to the size of each array in `args` (at least 1), along a `v` of that size.

    Returns
    -------
    The structure of ``f(*args)``, in float64 or complex128

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.testing import numerical_jvp
    >>> float(np.round(numerical_jvp(np.exp, (0.0,), (1.0,)), 9))
    1.0
    """
    wide = tree.map(_double, args)
    ratios = [
        np.max(np.abs(d)) / _size(x)
        for x, d in zip(_leaves(args), _leaves(v), strict=True)
        if np.size(d)
    ]
    h = step / max([1.0, *map(float, ratios)])

    def at(t: float) -> Any:
        return tree.map(_double, f(*tree.map(lambda x, d: x + t * _double(d), wide, v)))

    def difference(h: float) -> Any:
        return tree.map(lambda a, b: (a - b) / (2 * h), at(h), at(-h))

    return tree.map(lambda fine, coarse: (4 * fine - coarse) / 3, difference(h / 2), difference(h))


def _double(x: Any) -> Any:
    x = x.value if type(x) is Variable else x
    return np.asarray(x, np.complex128 if np.iscomplexobj(x) else np.float64)


def _random_like(x: Any, rng: np.random.Generator, towards: Any = 0.0) -> Any:
    """Return random numbers, partly in one direction: a product with it is not small by chance."""
    x = np.asarray(x)
    noise = rng.standard_normal(x.shape)
    if x.dtype.kind == "c":
        noise = noise + 1j * rng.standard_normal(x.shape)
    length = np.sqrt(np.mean(np.square(np.abs(towards)))) if np.size(towards) else 0.0
    return (noise + np.divide(np.conj(towards), length) if 0.0 < length < np.inf else noise).astype(
        x.dtype
    )


def _size(x: Any) -> Any:
    """Return the scale of an argument, at least 1, in its dtype, real."""
    x = np.asarray(x.value if type(x) is Variable else x)
    return np.maximum(np.max(np.abs(x), initial=0.0), 1.0).astype(x.real.dtype)


def _leaves(structure: Any) -> list[Any]:
    return tree.flatten(structure)[0]


def _inner(a: Any, b: Any) -> float:
    """Return the real part of the sum of products: how cotangents see tangents."""
    pairs = zip(_leaves(a), _leaves(b), strict=True)
    return float(sum(np.sum(_double(x) * _double(y)).real for x, y in pairs))


def _norm(a: Any) -> float:
    return float(np.sqrt(sum(np.sum(np.abs(_double(x)) ** 2) for x in _leaves(a))))


def _compare(what: str, found: float, expected: float, tolerance: float) -> None:
    if not np.isfinite(expected):
        raise AssertionError(
            f"{what}: the reference is {expected}; choose a point where f is smooth"
        )
    if not abs(found - expected) <= tolerance + 1e-300:
        raise AssertionError(
            f"{what}: {found!r}, expected {expected!r} (tolerance {tolerance:.3g})"
        )
