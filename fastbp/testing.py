"""Checks of derivatives.

Against central differences, of both modes against each other, to any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp import transforms, tree
from fastbp._core.graph import Variable

__all__ = ["check_grads", "numerical_jvp"]

# Relative to the scale of the inner product. Differences are taken in float64 throughout.
DIFFERENCE_RTOL = {np.dtype("f8"): 1e-6, np.dtype("f4"): 2e-4}
TRANSPOSE_RTOL = {np.dtype("f8"): 1e-12, np.dtype("f4"): 1e-5}
# Relative to the sizes of output and cotangent: what rounding leaves where a derivative is zero.
ROUNDING = {np.dtype("f8"): 2e-12, np.dtype("f4"): 4e-6}
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
) -> None:
    """Check the derivatives of a function at a point.

    Parameters
    ----------
    f : callable
        A function of arrays or nested containers of them, smooth near `args`, that computes in the
        dtype it is given.
    args : tuple
        Its arguments, all differentiated; anything but a tuple is a single argument.
    order : int
        Highest derivative to check: 2 also checks the derivatives of the VJP and of the JVP.
    modes : sequence of {"fwd", "rev"}
        What to check: JVPs, VJPs; with both also that one is the transpose of the other.
    rtol : float, optional
        Tolerance of the comparison with differences, relative to the scale of the inner product
        ``|g| |J v|``; by default 1e-6 for float64 and 2e-4 for float32.
    step : float
        Step of the differences, relative to the size of the arguments (at least 1).
    seed : int
        Of the random directions.

    Raises
    ------
    AssertionError
        With mode, order, both numbers and the tolerance.

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
    """
    if order < 1 or not modes or not set(modes) <= {"fwd", "rev"}:
        raise ValueError(
            f'check_grads: order {order!r} must be positive, modes {modes!r} from "fwd" and "rev"'
        )
    args = args if isinstance(args, tuple) else (args,)
    _check(f, args, order, tuple(modes), rtol, step, np.random.default_rng([STREAM, seed]), "f")


def _check(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    order: int,
    modes: tuple[str, ...],
    rtol: float | None,
    step: float,
    rng: np.random.Generator,
    label: str,
) -> None:
    v = tree.map(lambda x: _random_like(x, rng) * _size(x), args)
    out, pullback = transforms.vjp(f, *args)
    expected = numerical_jvp(f, args, v, step=step)
    g = tree.map(lambda y, d: _random_like(y, rng, d), out, expected)
    dtypes = [
        d for d in (np.asarray(x).dtype for x in _leaves((args, out))) if d in DIFFERENCE_RTOL
    ]
    dtype = min(dtypes, key=lambda d: d.itemsize, default=np.dtype("f8"))
    scale = _norm(g) * _norm(expected)
    tolerance = scale * (rtol if rtol is not None else DIFFERENCE_RTOL[dtype])
    tolerance += ROUNDING[dtype] * _norm(g) * _norm(out)
    found = {}
    if "rev" in modes:
        found["rev"] = _inner(pullback(g), v)
    if "fwd" in modes:
        found["fwd"] = _inner(g, transforms.jvp(f, args, v)[1])
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
            TRANSPOSE_RTOL[dtype] * max(scale, _norm(v)),
        )
    if order > 1:
        derived = {
            "rev": (lambda *xs: transforms.vjp(f, *xs)[1](g), f"vjp of {label}"),
            "fwd": (lambda *xs: transforms.jvp(f, xs, v)[1], f"jvp of {label}"),
        }
        for mode in modes:
            df, name = derived[mode]
            _check(df, args, order - 1, modes, rtol, step, rng, name)


def numerical_jvp(
    f: Callable[..., Any], args: tuple[Any, ...], v: tuple[Any, ...], step: float = STEP
) -> Any:
    """Return the directional derivative of `f` by central differences of order four.

    Parameters
    ----------
    f : callable
    args, v : tuple
        Point and direction, of the same structure. float32 arrays are replaced by float64 ones.
    step : float
        Relative to the size of each array in `args` (at least 1), along a `v` of that size.

    Returns
    -------
    The structure of ``f(*args)``, in float64

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
    return np.asarray(x, np.float64)


def _random_like(x: Any, rng: np.random.Generator, towards: Any = 0.0) -> Any:
    """Return random numbers, partly in one direction: a product with it is not small by chance."""
    x = np.asarray(x)
    noise = rng.standard_normal(x.shape)
    length = np.sqrt(np.mean(np.square(towards))) if np.size(towards) else 0.0
    return (noise + np.divide(towards, length) if 0.0 < length < np.inf else noise).astype(x.dtype)


def _size(x: Any) -> Any:
    """Return the scale of an argument, at least 1, in its dtype."""
    x = np.asarray(x.value if type(x) is Variable else x)
    return np.maximum(np.max(np.abs(x), initial=0.0), 1.0).astype(x.dtype)


def _leaves(structure: Any) -> list[Any]:
    return tree.flatten(structure)[0]


def _inner(a: Any, b: Any) -> float:
    pairs = zip(_leaves(a), _leaves(b), strict=True)
    return float(sum(np.sum(_double(x) * _double(y)) for x, y in pairs))


def _norm(a: Any) -> float:
    return float(np.sqrt(sum(np.sum(_double(x) ** 2) for x in _leaves(a))))


def _compare(what: str, found: float, expected: float, tolerance: float) -> None:
    if not np.isfinite(expected):
        raise AssertionError(
            f"{what}: the reference is {expected}; choose a point where f is smooth"
        )
    if not abs(found - expected) <= tolerance + 1e-300:
        raise AssertionError(
            f"{what}: {found!r}, expected {expected!r} (tolerance {tolerance:.3g})"
        )
