"""Calls of derived functions: record, sweep, and give back value and gradient.

What the core does itself for the arguments that most calls have (`_core.calls`) is done here for
all others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp import tree
from fastbp import unconnected as loss
from fastbp._core import graph, sweep
from fastbp._core.graph import Variable
from fastbp._core.tape import ConsumedError, Tape
from fastbp.errors import DTypeError, ShapeError
from fastbp.recording import (
    Recorded,
    check_returned,
    holomorphic_part,
    numbers,
    outputs_of,
    plain,
    released,
)
from fastbp.rules.numpy.parts import from_parts

__all__ = [
    "elementwise_derivative",
    "gradient_and_aux",
    "holomorphic_gradient",
    "holomorphic_value",
    "value_and_gradient",
]


def value_and_gradient(
    name: str,
    f: Callable[..., Any],
    argnums: Any,
    has_aux: bool,
    single: bool,
    option: str,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Record a scalar function and sweep once."""
    r = Recorded(name, f, args, kwargs, argnums)
    try:
        return _swept(name, r, has_aux, single, option, True)
    except ConsumedError:  # a large record, freed on the way, is needed again
        r = Recorded(name, f, args, kwargs, argnums)
        return _swept(name, r, has_aux, single, option, False)


def gradient_and_aux(*args: Any, **kwargs: Any) -> Any:
    """Return the gradient, and what the function returns beside its scalar."""
    value, found = value_and_gradient(*args, **kwargs)
    return found, value[1]


def _finish(
    name: str,
    f: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    position: int,
    option: str,
    leaf: Variable,
    result: Any,
    consume: bool,
) -> Any:
    """Do the rest for a call of one array that the core recorded, if its result is unusual."""
    r = Recorded.of_one(name, args[position], position, leaf, result)
    del leaf, result
    try:
        return _swept(name, r, False, True, option, consume)
    except ConsumedError:
        r = Recorded(name, f, args, kwargs, position)
        return _swept(name, r, False, True, option, False)


graph.bind("value_and_gradient", value_and_gradient)
graph.bind("finish_gradient", _finish)


def _swept(name: str, r: Recorded, has_aux: bool, single: bool, option: str, consume: bool) -> Any:
    y, aux = _with_aux(r) if has_aux else (r.result, None)
    if type(y) is not Variable or y.size != 1:
        _check_scalar(name, y)
    if type(y) is not Variable:
        value, found = released(y, r.inputs), [None] * len(r.inputs)
    else:
        if y.dtype.kind == "c":
            raise DTypeError(_complex_scalar(name, r))
        tape = Tape([y], r.inputs)
        value = y if tape.outer else plain(y)
        r.result = y = None
        found = sweep.reverse(tape, [None], None, 0, consume)
    return _with_value(r, value, aux, found, has_aux, single, option)


def _with_value(
    r: Recorded, value: Any, aux: Any, found: list[Any], has_aux: bool, single: bool, option: str
) -> Any:
    if has_aux:
        kept = type(value) is Variable
        value = (value, tree.map(lambda y: released(y, r.inputs, kept), aux))
    gradient = r.gather(found, single, option)
    if type(value) is Variable:
        loss.meant()
    return value, gradient


def _with_aux(r: Recorded) -> tuple[Any, Any]:
    if not isinstance(r.result, tuple) or len(r.result) != 2:
        raise TypeError(
            f"{r.name}: with has_aux the function must return a pair, not {type(r.result).__name__}"
        )
    return r.result


def _check_scalar(name: str, y: Any, holomorphic: bool = False) -> None:
    value = y.value if type(y) is Variable else y
    check_returned(name, value)  # with has_aux it is a part of what was returned
    if isinstance(value, (list, tuple, dict)):
        raise ShapeError(f"{name}: the function must return a scalar, not a {type(value).__name__}")
    array = numbers(value, f"{name}: the function's output")
    if array.size != 1:
        raise ShapeError(
            f"{name}: the function must return a scalar, not an array of shape {array.shape}; "
            "use jacobian, vjp or elementwise_grad"
        )
    if array.dtype.kind == "c" and not holomorphic:
        raise DTypeError(
            f"{name}: the function must return a real number, not a complex one: return "
            "numpy.abs(y) ** 2 or y.real of it, or write holomorphic=True for the complex "
            "derivative of a holomorphic function"
        )


def _complex_scalar(name: str, r: Recorded) -> str:
    text = f"{name}: the function must return a real number, not a complex one"
    if all(x.dtype.kind == "c" for x in r.inputs):
        call = name if name in ("grad", "value_and_grad") else "fastbp.grad"
        return (
            f"{text}: return numpy.abs(y) ** 2 or y.real of it, or write {call}(f, "
            "holomorphic=True) for the complex derivative of a holomorphic function"
        )
    return (
        f"{text}: return numpy.abs(y) ** 2 or y.real of it, or use fastbp.jacobian; "
        "holomorphic=True is for complex arguments"
    )


# ---- complex derivatives


def holomorphic_value(
    name: str,
    f: Callable[..., Any],
    argnums: Any,
    has_aux: bool,
    single: bool,
    option: str,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Return value and complex gradient of a holomorphic function."""
    r = Recorded(name, f, args, kwargs, argnums)
    for path, x in zip(r.paths(), r.inputs, strict=True):
        if x.dtype.kind != "c":
            raise DTypeError(
                f"{name}: holomorphic=True is for complex arguments, but {path} is {x.dtype}: "
                "leave it out, or make the argument complex"
            )
    y, aux = _with_aux(r) if has_aux else (r.result, None)
    _check_scalar(name, y, True)
    if type(y) is not Variable:
        value, found = released(y, r.inputs), [None] * len(r.inputs)
    else:
        if y.dtype.kind != "c":
            raise DTypeError(
                f"{name}: with holomorphic=True the function must return a complex number, not a "
                f"{y.dtype}: leave it out for a real loss"
            )
        tape = Tape([y], r.inputs)
        value = y if tape.outer else plain(y)
        found = _turned(name, tape, [y], r.inputs)
    return _with_value(r, value, aux, found, has_aux, single, option)


def holomorphic_gradient(
    name: str,
    f: Callable[..., Any],
    argnums: Any,
    has_aux: bool,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Return the complex gradient of a holomorphic function, and its aux."""
    value, found = holomorphic_value(name, f, argnums, has_aux, *args, **kwargs)
    return (found, value[1]) if has_aux else found


def _turned(name: str, tape: Tape, outputs: list[Variable], inputs: list[Variable]) -> list[Any]:
    """Return derivatives of the sum of outputs, some of them complex, by one sweep of two seeds.

    The seed 1 finds the derivative of the real part, -i that of the imaginary part.
    """
    seeds = []
    for y in outputs:
        kinds = [1.0, -1j] if y.dtype.kind == "c" else [1.0, 0.0]
        seeds.append(np.stack([np.full(y.shape, c, y.dtype) for c in kinds]))
    found: list[Any] = []
    for x, g in zip(inputs, sweep.reverse(tape, seeds, None, 1), strict=True):
        if g is None:
            found.append(None)
        elif x.dtype.kind == "c":
            found.append(holomorphic_part(name, g[0], g[1], -1j))
        else:
            found.append(from_parts(g[0], g[1]))
    return found


# ---- elementwise functions


def elementwise_derivative(
    name: str,
    f: Callable[..., Any],
    argnums: Any,
    has_aux: bool,
    single: bool,
    option: str,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Return the sums of the columns of a Jacobian."""
    r = Recorded(name, f, args, kwargs, argnums)
    leaves, _ = outputs_of(r)
    outputs = [y for y in leaves if type(y) is Variable]
    tape = Tape(outputs, r.inputs)
    if any(y.dtype.kind == "c" for y in outputs):
        found = _turned(name, tape, outputs, r.inputs)
    else:
        found = sweep.reverse(tape, [np.ones(y.shape, y.dtype) for y in outputs], None)
    gradient = r.gather(found, single, option)
    if tape.outer:
        loss.meant()
    return gradient
