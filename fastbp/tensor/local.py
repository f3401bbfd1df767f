"""Derivatives of single links as structured tensors: deltas and small factors.

The operations here are those whose derivative is a product of deltas and arrays that the record
holds anyway. For any other one `structured` returns None, and its derivative is a sparse tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp._core.links import Link
from fastbp.rules.numpy.products import _labels as matmul_labels
from fastbp.tensor.structured import Structured

__all__ = ["RULES", "identity", "structured"]

Factor = tuple[np.ndarray, tuple[int, ...]]


def identity(shape: tuple[int, ...], dtype: Any) -> Structured:
    """Return the derivative of an array with respect to itself."""
    axes = tuple(range(len(shape)))
    return Structured(shape, shape, axes, axes, dict(zip(axes, shape, strict=True)), [], 1.0, dtype)


def structured(link: Link, k: int) -> Structured | None:
    """Return the derivative of a link's value with respect to its operand `k`."""
    assert link.op is not None
    if link.op.info.get("kind") == "elementwise":
        return _elementwise(link, k)
    rule = RULES.get(link.op.name)
    return None if rule is None else rule(link, k)


def _tensor(
    link: Link,
    k: int,
    out: tuple[int, ...],
    own: tuple[int, ...],
    factors: list[Factor],
    scale: float = 1.0,
) -> Structured:
    """Make the tensor of operand `k` from labels of the value and of the operand."""
    shape = link.operands[k].shape
    sizes = dict(zip(own, shape, strict=True)) | dict(zip(out, link.shape, strict=True))
    return Structured(link.shape, shape, out, own, sizes, factors, scale, link.dtype)


def _aligned(link: Link, k: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Label a value and an operand that is broadcast to it; a stretched axis has its own label."""
    out = tuple(range(len(link.shape)))
    shape = link.operands[k].shape
    first = len(out) - len(shape)
    own = tuple(
        label if size == link.shape[label] else len(out) + label
        for label, size in zip(out[first:], shape, strict=True)
    )
    return out, own


def constant_partial(op: Any, k: int) -> float | None:
    """Return the partial of an elementwise operation if it is the same everywhere."""
    constant = op.constant_partials[k]
    return None if constant is None else float(constant)


def _elementwise(link: Link, k: int) -> Structured:
    op: Any = link.op
    out, own = _aligned(link, k)
    constant = constant_partial(op, k)
    if constant is not None:
        return _tensor(link, k, out, own, [], constant)
    with np.errstate(all="ignore"):
        partial = np.asarray(op.partials[k](link.ans, *link.operands), link.dtype)
    if partial.ndim == 0:
        return _tensor(link, k, out, own, [], float(partial))
    first = len(out) - partial.ndim
    kept = [axis for axis, size in enumerate(partial.shape) if size == link.shape[first + axis]]
    index = tuple(slice(None) if axis in kept else 0 for axis in range(partial.ndim))
    labels = tuple(out[first + axis] for axis in kept)
    return _tensor(link, k, out, own, [(partial[index], labels)])


def _contract(link: Link, k: int) -> Structured:
    labels = [tuple(link.static["left"]), tuple(link.static["right"])]
    other = np.asarray(link.operands[1 - k], link.dtype)
    return _tensor(link, k, tuple(link.static["out"]), labels[k], [(other, labels[1 - k])])


def _matmul(link: Link, k: int) -> Structured | None:
    a, b = link.operands
    left, right, out, _ = matmul_labels(a, b)
    sizes: dict[int, set[int]] = {}
    for labels, shape in ((left, a.shape), (right, b.shape)):
        for label, size in zip(labels, shape, strict=True):
            sizes.setdefault(label, set()).add(size)
    if any(len(found) > 1 for found in sizes.values()):
        return None  # a stretched batch axis
    other = np.asarray(link.operands[1 - k], link.dtype)
    own, others = (left, right) if k == 0 else (right, left)
    return _tensor(link, k, out, own, [(other, others)])


def _transpose(link: Link, k: int) -> Structured:
    own = tuple(range(len(link.shape)))
    axes = link.static["axes"]
    out = own[: len(own) - len(axes)] + tuple(own[axis] for axis in axes)
    return _tensor(link, k, out, own, [])


def _same_order(link: Link, k: int) -> Structured:
    """Keep the elements in their order, in another shape or dtype."""
    shape = link.operands[k].shape
    axes = tuple(range(len(shape)))
    sizes = dict(zip(axes, shape, strict=True))
    return Structured(link.shape, shape, axes, axes, sizes, [], 1.0, link.dtype)


def _summed(link: Link, k: int) -> Structured:
    """Sum over axes, with or without keeping them as axes of length one."""
    shape = link.operands[k].shape
    own = tuple(range(len(shape)))
    axes = {axis % len(shape) for axis in link.static["axis"]}
    out = tuple(label for label in own if label not in axes)
    scale = 1.0
    if link.op is not None and link.op.name == "mean":
        scale = 1.0 / max(1, math.prod(shape[axis] for axis in axes))
    sizes = dict(zip(own, shape, strict=True))
    return Structured(link.shape, shape, out, own, sizes, [], scale, link.dtype)


def _broadcast(link: Link, k: int) -> Structured:
    out, own = _aligned(link, k)
    return _tensor(link, k, out, own, [])


RULES: dict[str, Callable[[Link, int], Structured | None]] = {
    "astype": _same_order,
    "broadcast_to": _broadcast,
    "contract": _contract,
    "matmul": _matmul,
    "mean": _summed,
    "reshape": _same_order,
    "sum": _summed,
    "transpose": _transpose,
}
