"""What constants make of elementwise work: numbers for arrays of equal elements, nothing for ones.

What is computed from constants alone is no matter of a plan: it is computed while it is recorded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.compiling.values import Value, broadcast_shape
from fastbp.rules.engine import mulz

__all__ = ["by_identity", "same", "with_numbers"]


def with_numbers(operands: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Return operands with a number for an array of equal elements, if the others have the shape.

    A sweep starts with ones, as many as there are elements.
    """
    if not any([isinstance(x, np.ndarray) for x in operands]):
        return operands
    shapes = [x.shape for x in operands if isinstance(x, Value)]
    if not shapes or broadcast_shape(*shapes) != shape:
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


def by_identity(
    x: Value, own: Sequence[int], eye: Value, others: Sequence[int], out: Sequence[int]
) -> Value | None:
    """Return the layout of `x` that its product with a constant identity matrix is, if it is one.

    A sweep for a whole Jacobian starts with that. Its zeros are exact: they contribute nothing,
    whatever `x` has there.
    """
    if eye.storage.kind != "constant" or len(others) != 2 or eye.mask or len({*own}) != len(own):
        return None
    summed = [label for label in others if label in own and label not in out]
    kept = [label for label in others if label in out and label not in own]
    n = eye.shape[0]
    if len(summed) != 1 or len(kept) != 1 or eye.shape != (n, n):
        return None
    labels = [kept[0] if label == summed[0] else label for label in own]
    if sorted(labels) != sorted(out) or x.shape[labels.index(kept[0])] != n:
        return None
    array = np.ndarray(eye.shape, eye.dtype, eye.storage.array, eye.offset, eye.strides)
    if not np.array_equal(array, np.eye(n)):
        return None
    axes = [labels.index(label) for label in out]
    strides = tuple([x.strides[k] for k in axes])
    return x.view(tuple([x.shape[k] for k in axes]), x.offset, strides)


def _is(op: Any, ufunc: np.ufunc) -> bool:
    return op.forward is ufunc and not op.kernel
