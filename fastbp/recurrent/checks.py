"""Arguments of cells and loops: one dtype, shapes that fit, options in range."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp import tree
from fastbp._core.graph import Variable, array_of, promoted
from fastbp._core.operands import as_array
from fastbp.errors import DTypeError, ShapeError
from fastbp.rules.numpy.structural import as_operand

__all__ = [
    "check_activation",
    "check_count",
    "check_mask",
    "converted",
    "steps_of",
    "without_xs",
]

ORDER = ("xs", "h0", "c0", "W", "U", "b", "c")


def converted(cell: str, gates: int, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the operands that are not None, as Variables or arrays of one dtype that fit."""
    named = zip(ORDER, given, strict=True)
    optional = {"c0"} if gates != 4 else set()
    p = _one_dtype(cell, {k: x for k, x in named if x is not None or k not in optional})
    _check_shapes(cell, gates, p)
    return tuple(p.values())


def _one_dtype(cell: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the operands that are not None, as Variables or arrays of one float dtype."""
    operands = {}
    for name, x in given.items():
        if x is None:
            if name not in ("b", "c"):
                raise DTypeError(f"{cell}: {name} is None; only biases may be missing")
            continue
        if type(x) is not Variable and type(x) is not np.ndarray:
            x = as_operand(x, f"{cell}: {name}")
        if x.dtype.kind not in "fiub":
            raise DTypeError(f"{cell}: {name} has dtype {x.dtype}; real numbers are needed")
        operands[name] = x
    return dict(zip(operands, promoted(cell, *operands.values()), strict=True))


def _check_shapes(cell: str, gates: int, p: dict[str, Any]) -> None:
    """Raise ShapeError unless the operands of a cell with so many gates fit each other."""
    xs, W = p["xs"].shape, p["W"].shape
    if len(xs) not in (2, 3):
        raise ShapeError(f"{cell}: xs has shape {xs}; (T, m) or (T, B, m) is needed")
    if len(W) != 2 or W[1] != gates * W[0]:
        raise ShapeError(f"{cell}: W has shape {W}; {_columns(gates)} is needed")
    n, width = W
    state = (*xs[1:-1], n)
    expected = {"U": (xs[-1], width), "h0": state, "c0": state, "b": (width,), "c": (n,)}
    for name, x in p.items():
        if name in expected and x.shape != expected[name]:
            raise ShapeError(
                f"{cell}: {name} has shape {x.shape}; with xs of shape {xs} and W of shape {W} "
                f"it must have shape {expected[name]}"
            )


def _columns(gates: int) -> str:
    return "(n, n)" if gates == 1 else f"(n, {gates} * n)"


def check_mask(cell: str, mask: Any, xs_shape: tuple[int, ...]) -> np.ndarray:
    """Return a mask as an array of bool with an element for each step of each member."""
    if type(mask) is Variable:
        mask = mask.value
    array = as_array(mask, f"{cell}: mask")
    if array.dtype != bool:
        raise DTypeError(f"{cell}: mask has dtype {array.dtype}; bool is needed")
    steps = xs_shape[:-1]
    if array.shape not in (steps, steps[:1]):
        raise ShapeError(
            f"{cell}: mask has shape {array.shape}; with xs of shape {xs_shape} it must have "
            f"shape {steps[:1]}" + (f" or {steps}" if len(steps) == 2 else "")
        )
    if array.shape != steps:
        array = array[:, None]
    # A copy: what is written into the mask later must not change what was recorded.
    return np.array(np.broadcast_to(array, steps), order="C")


def check_count(cell: str, name: str, value: Any, *words: str) -> Any:
    """Return an option that is a positive integer or one of some words."""
    if isinstance(value, str) and value in words:
        return value
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value > 0:
        return int(value)
    choices = "".join(f", {word!r}" for word in words)
    raise ValueError(f"{cell}: {name}={value!r}; a positive integer{choices} or None is needed")


def check_activation(activation: Any) -> str:
    """Return the name of an activation of `rnn`."""
    if activation not in ("tanh", "relu", "identity"):
        raise ValueError(f"rnn: activation={activation!r}; it is 'tanh', 'relu' or 'identity'")
    return str(activation)


# ---- loops of any step


def steps_of(name: str, xs: Any, length: int | None) -> int:
    """Return the number of steps that `length` and the first axes of `xs` agree on."""
    found = [] if length is None else [("length", int(length))]
    for path, x in tree.leaves_with_paths(xs, "xs"):
        shape = np.shape(array_of(x))
        if not shape:
            raise ShapeError(f"{name}: {path} is a scalar; the first axis of xs is that of time")
        found.append((path, shape[0]))
    if not found:
        raise ValueError(f"{name}: without xs the length is needed")
    for path, count in found[1:]:
        if count != found[0][1]:
            raise ShapeError(f"{name}: {found[0][0]} has {found[0][1]} steps, {path} has {count}")
    if found[0][1] < 0:
        raise ValueError(f"{name}: length must not be negative, not {found[0][1]}")
    return found[0][1]


def without_xs(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return a step that is called with a state and None, for one that may take a state only."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(step).parameters.values()
    except (TypeError, ValueError):  # a builtin that does not say
        return step
    needed = [p for p in parameters if p.kind in kinds and p.default is p.empty]
    if len(needed) != 1:
        return step
    return lambda state, x: step(state)
