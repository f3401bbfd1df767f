"""What constants make of elementwise work: numbers for arrays of equal elements, nothing for ones.

What is computed from constants alone is no matter of a plan: it is computed while it is recorded.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastbp.compiling.values import Value
from fastbp.rules.engine import mulz

__all__ = ["same", "with_numbers"]


def with_numbers(operands: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Return operands with a number for an array of equal elements, if the others have the shape.

    A sweep starts with ones, as many as there are elements.
    """
    shapes = [x.shape for x in operands if isinstance(x, Value)]
    if not any(isinstance(x, np.ndarray) for x in operands):
        return operands
    if not shapes or np.broadcast_shapes(*shapes) != shape:
        return operands
    return [_number(x) if isinstance(x, np.ndarray) else x for x in operands]


def _number(x: np.ndarray) -> Any:
    if x.size == 0:
        return x
    first = x.flat[0]
    alike = not any(x.strides) or x.tobytes() == first.tobytes() * x.size
    return first.item() if alike else x


def same(op: Any, operands: list[Any]) -> Value | None:
    """Return the operand that the value is, bit for bit: a factor of one is none."""
    if len(operands) != 2:
        return None
    x, y = operands
    if isinstance(y, Value) and type(x) is float:
        return y if x == 1.0 and (op is mulz or _is(op, np.multiply)) else None
    if isinstance(x, Value) and type(y) is float:
        if y == 1.0 and (op is mulz or _is(op, np.multiply) or _is(op, np.divide)):
            return x
        if y == 0.0 and _is(op, np.subtract) and math.copysign(1.0, y) > 0.0:
            return x
    return None


def _is(op: Any, ufunc: np.ufunc) -> bool:
    return op.forward is ufunc and not op.kernel
