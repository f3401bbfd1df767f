"""Products with Jacobians and Hessians: pullbacks and pushforwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp import arguments, tree
from fastbp import unconnected as loss
from fastbp._core import sweep
from fastbp._core.graph import Variable, is_passive
from fastbp.derived import of_record
from fastbp.errors import DTypeError, ShapeError
from fastbp.recording import (
    Recorded,
    connect,
    cotangent_for,
    like,
    numbers,
    outputs_of,
    prototype,
    released,
)
from fastbp.transforms.gradients import gradient_for

__all__ = ["hvp", "jvp", "linearize", "linearize_for", "vjp"]


def vjp(
    f: Callable[..., Any], *primals: Any, unconnected: str = "warn"
) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """Evaluate `f` and return its pullback.

    Parameters
    ----------
    f : callable
        Returns an array or a nested container of arrays.
    *primals
        Its arguments, as those that `grad` differentiates.
    unconnected : {"warn", "zero", "none", "raise"}
        What there is for a primal that no output depends on, as for `grad`.

    Returns
    -------
    out
        ``f(*primals)``.
    vjp_fn : callable
        ``vjp_fn(cotangent) -> tuple``, one cotangent for each primal; may be called any number of
        times. The cotangent has the structure and shapes of `out`. It holds the record, so it
        cannot be pickled.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> out, pullback = bp.vjp(np.multiply, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> pullback(np.ones(2))
    (array([3., 4.]), array([1., 2.]))
    """
    loss.check_option("vjp", unconnected)
    r = _record_all("vjp", f, tree.map(_as_now, primals))
    leaves, treedef = outputs_of(r)
    tape = connect(r, leaves, unconnected)
    option = "none" if unconnected == "none" else "zero"

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        given = treedef.leaves_of(cotangent, "cotangent")
        checked = [
            cotangent_for("vjp", "a cotangent", g, y) for g, y in zip(given, leaves, strict=True)
        ]
        pulled = [g for y, g in zip(leaves, checked, strict=True) if type(y) is Variable]
        recorded = tape.outer or any(type(g) is Variable or is_passive(g) for g in checked)
        found = sweep.reverse(tape, pulled, recorded, linear=not tape.outer)
        cotangents: tuple[Any, ...] = r.gather(found, False, option)
        return cotangents

    out = treedef.unflatten([released(y, r.inputs, tape.outer, True) for y in leaves])
    return out, of_record(pullback, "fastbp.vjp(f, *primals)")


def linearize(
    f: Callable[..., Any], *primals: Any, unconnected: str = "warn"
) -> tuple[Any, Callable[..., Any]]:
    """Evaluate `f` and return its pushforward.

    Parameters
    ----------
    f : callable
    *primals
        As for `vjp`.
    unconnected : {"warn", "zero", "raise"}
        What happens where no output depends on a primal.

    Returns
    -------
    out
        ``f(*primals)``.
    jvp_fn : callable
        ``jvp_fn(*tangents)``: the directional derivative, in the structure of `out`. One tangent
        for each primal, of its structure and shapes; may be called any number of times. It holds
        the record, so it cannot be pickled.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> out, pushforward = bp.linearize(np.square, np.array([1.0, 2.0]))
    >>> pushforward(np.array([1.0, 0.0]))
    array([2., 0.])
    """
    return linearize_for("linearize", f, primals, True, unconnected)


def linearize_for(
    name: str,
    f: Callable[..., Any],
    primals: Sequence[Any],
    kept: bool,
    option: str,
    labels: tuple[str, str] | None = None,
) -> tuple[Any, Callable[..., Any]]:
    """Evaluate `f` and return its pushforward, as a part of another transform, which errors name.

    With `kept`, the value has memory of its own, which the pushforward does not read, and this
    does not read what is written into the primals later.
    """
    loss.check_option(name, option, loss.WITHOUT_NONE)
    r = _record_all(name, f, tree.map(_as_now, tuple(primals)) if kept else primals)
    leaves, treedef = outputs_of(r)
    tape = connect(r, leaves, option)

    def pushforward(*tangents: Any) -> Any:
        if len(tangents) != len(r.treedefs):
            raise ShapeError(f"{name}: {len(tangents)} tangents for {len(r.treedefs)} primals")
        checked = _tangents(r, tangents, labels)
        recorded = tape.outer or any(type(t) is Variable or is_passive(t) for t in checked)
        found = iter(sweep.forward(tape, checked, recorded, linear=not tape.outer))
        return treedef.unflatten(
            [like(next(found) if type(y) is Variable else None, prototype(y)) for y in leaves]
        )

    out = treedef.unflatten([released(y, r.inputs, tape.outer, kept) for y in leaves])
    return out, of_record(pushforward, "fastbp.linearize(f, *primals)")


def jvp(
    f: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    unconnected: str = "warn",
) -> tuple[Any, Any]:
    """Evaluate `f` and its directional derivative.

    Parameters
    ----------
    f : callable
    primals, tangents : sequence
        Arguments and directions, of the same structures and shapes; None for settings.
    unconnected : {"warn", "zero", "raise"}
        What happens where no output depends on a primal.

    Returns
    -------
    out, out_dot
        ``f(*primals)`` and its derivative along `tangents`, of the same structure.

    Raises
    ------
    ShapeError
        If a tangent has another shape than its primal.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> bp.jvp(np.sin, (0.0,), (2.0,))
    (np.float64(0.0), np.float64(2.0))
    """
    for what, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, (tuple, list)):
            raise TypeError(f"jvp: {what} must be a tuple or list, not a {type(value).__name__}")
    out, pushforward = linearize_for("jvp", f, primals, False, unconnected)
    return out, pushforward(*tangents)


def hvp(f: Callable[..., Any], x: Any, v: Any, *args: Any, unconnected: str = "warn") -> Any:
    """Return the product of the Hessian of a scalar function with a vector, forward over reverse.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns a scalar.
    x, v : array or nested container of arrays
        Point and direction, of the same structure and shapes; None for settings.
    *args
        Further arguments of `f`, not differentiated. ``functools.partial(bp.hvp, f)`` is what SciPy
        takes as ``hessp=``.
    unconnected : {"warn", "zero", "raise"}
        What happens where the scalar does not depend on `x`.

    Returns
    -------
    The structure of `x`

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> bp.hvp(lambda x: np.sum(x**3), np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([ 6., 12.])
    """
    loss.check_option("hvp", unconnected, loss.WITHOUT_NONE)
    inner = gradient_for("hvp", (lambda x: f(x, *args)) if args else f, 0, unconnected)
    return linearize_for("hvp", inner, (x,), False, "zero", ("x", "v"))[1](v)


def _record_all(
    name: str, f: Callable[..., Any], primals: Sequence[Any], what: str = "primal"
) -> Recorded:
    """Record a call in which all arguments are differentiated."""
    arguments.check_function(name, f)
    if not primals:
        raise TypeError(f"{name}: at least one {what} is needed: write {name}(f, x)")
    return Recorded(name, f, tuple(primals), {}, tuple(range(len(primals))))


def _as_now(x: Any) -> Any:
    """Return a primal that stays what it is: what is returned outlives the call, as `x -= step`."""
    if type(x) is not np.ndarray or x.dtype.kind not in "fc":
        return x
    if x.ndim < 2 or x.flags.forc:
        return x.copy("K")
    # Directions and gaps stay, too, if not how large these are: what `ravel("A")` returns of a view
    # depends on them.
    steps, size, behind = [0] * x.ndim, x.itemsize, x.itemsize
    for k in sorted(range(x.ndim), key=lambda k: abs(x.strides[k])):
        if x.shape[k] > 1 and x.strides[k]:
            step = size if abs(x.strides[k]) == behind else size + x.itemsize
            steps[k] = step if x.strides[k] > 0 else -step
            size, behind = step * x.shape[k], abs(x.strides[k]) * x.shape[k]
    first = sum([(n - 1) * -step for n, step in zip(x.shape, steps, strict=True) if step < 0])
    copied = np.ndarray(x.shape, x.dtype, np.empty(size, np.uint8), first, steps)
    copied[...] = x
    return copied


def _tangents(r: Recorded, tangents: Sequence[Any], labels: tuple[str, str] | None) -> list[Any]:
    """Return a checked tangent for each of the recorded arguments."""
    primal, tangent = ("its primal", "tangent {}") if labels is None else labels
    given: list[Any] = []
    for treedef, part, i in zip(r.treedefs, tangents, r.positions, strict=True):
        given += treedef.leaves_of(part, tangent.format(i), bool(r.settings))
    names = [tangent.format(i) for i in r.positions]
    if r.settings:
        for k, (t, path) in enumerate(zip(given, _all_paths(r, names), strict=True)):
            if k in r.settings and t is not r.settings[k] and not _is_nothing(t):
                raise DTypeError(f"{r.name}: {path} must be None: its primal is a setting")
        given = [t for k, t in enumerate(given) if k not in r.settings]
    checked = []
    for k, (t, x) in enumerate(zip(given, r.inputs, strict=True)):
        if type(t) is np.ndarray and t.shape == x.shape and t.dtype == x.dtype:
            checked.append(t)
            continue
        path = r.paths(names)[k]
        if t is None:
            raise ShapeError(f"{r.name}: {path} is None, {primal} has shape {x.shape}")
        if type(t) is not Variable:
            t = numbers(t, f"{r.name}: {path}")
        if t.shape != x.shape:
            raise ShapeError(f"{r.name}: {path} has shape {t.shape}, {primal} has shape {x.shape}")
        if t.dtype.kind == "c" and x.dtype.kind != "c":
            raise DTypeError(f"{r.name}: {path} is complex, {primal} is real: pass its real part")
        checked.append(t)
    return checked


def _all_paths(r: Recorded, names: Sequence[str]) -> list[str]:
    pairs = zip(names, r.treedefs, strict=True)
    return [path for name, treedef in pairs for path in treedef.paths(name)]


def _is_nothing(t: Any) -> bool:
    """Say whether a tangent is none: None, or zeros, as ``tree.map(numpy.zeros_like, x)`` makes."""
    return t is None or (np.asarray(t).dtype.kind in "fiub" and not np.any(t))
