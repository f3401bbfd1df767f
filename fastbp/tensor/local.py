"""Derivatives of single links as structured tensors: deltas and small factors.

An operation says by ``local=`` in its row that its derivative has this form; an elementwise one
always does. For any other `structured` returns None, and its derivative is a sparse tensor.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp._core.links import Link
from fastbp.rules.local import Labels, aligned
from fastbp.tensor.structured import Structured

__all__ = ["identity", "structured"]


def identity(shape: tuple[int, ...], dtype: Any) -> Structured:
    """Return the derivative of an array with respect to itself."""
    axes = tuple(range(len(shape)))
    return Structured(shape, shape, axes, axes, dict(zip(axes, shape, strict=True)), [], 1.0, dtype)


def structured(link: Link, k: int) -> Structured | None:
    """Return the derivative of a link's value with respect to its operand `k`."""
    assert link.op is not None
    rule = _elementwise if link.op.partials is not None else link.op.info.get("local")
    labels = None if rule is None else rule(link, k)
    if labels is None:
        return None
    out, own, sizes, factors, scale = labels
    return Structured(
        link.shape, link.operands[k].shape, out, own, sizes, factors, scale, link.dtype
    )


def constant_partial(op: Any, k: int) -> float | None:
    """Return the partial of an elementwise operation if it is the same everywhere."""
    constant = op.constant_partials[k]
    return None if constant is None else float(constant)


def _elementwise(link: Link, k: int) -> Labels:
    op: Any = link.op
    out, own = aligned(link, k)
    sizes = dict(zip(own, link.operands[k].shape, strict=True))
    sizes |= dict(zip(out, link.shape, strict=True))
    constant = constant_partial(op, k)
    if constant is not None:
        return Labels(out, own, sizes, [], constant)
    with np.errstate(all="ignore"):
        partial = np.asarray(op.partials[k](link.ans, *link.operands), link.dtype)
    if partial.ndim == 0:
        return Labels(out, own, sizes, [], float(partial))
    first = len(out) - partial.ndim
    kept = [axis for axis, size in enumerate(partial.shape) if size == link.shape[first + axis]]
    index = tuple(slice(None) if axis in kept else 0 for axis in range(partial.ndim))
    labels = tuple(out[first + axis] for axis in kept)
    return Labels(out, own, sizes, [(partial[index], labels)])
