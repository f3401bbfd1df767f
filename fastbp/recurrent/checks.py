"""Arguments of the cells: one dtype, shapes that fit, options in range."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp._core.graph import Variable
from fastbp._core.operands import as_array
from fastbp.errors import DTypeError, ShapeError
from fastbp.rules.contraction import promoted
from fastbp.rules.structural import as_operand

__all__ = ["check_activation", "check_count", "check_mask", "converted"]

ORDER = ("xs", "h0", "c0", "W", "U", "b", "c")
FLOATS = {np.dtype("f8"), np.dtype("f4")}


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
    dtypes = set()
    for name, x in given.items():
        if x is None:
            if name not in ("b", "c"):
                raise DTypeError(f"{cell}: {name} is None; only biases may be missing")
            continue
        if type(x) is not Variable and type(x) is not np.ndarray:
            x = as_operand(x, f"{cell}: {name}")
        operands[name] = x
        dtypes.add(x.dtype)
    if len(dtypes) == 1 and dtypes <= FLOATS:
        return operands
    for name, x in operands.items():
        if x.dtype.kind not in "fiub":
            raise DTypeError(f"{cell}: {name} has dtype {x.dtype}; real numbers are needed")
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
