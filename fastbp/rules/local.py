"""What the derivative of an operation is as a tensor, where deltas and few factors say it.

A row names one of these functions by ``local=``: of a recorded operation (a
`fastbp._core.links.Link`) and the position of an operand it returns the derivative as `Labels`, or
None where this call has not that form. Axes of the value and of the operand that share a label are
a delta; a label that the operand alone has is summed over, one that the value alone has is
stretched. A row that says nothing has a derivative of some other form.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

__all__ = [
    "Labels",
    "aligned",
    "averages",
    "contracts",
    "keeps_order",
    "matmul_labels",
    "multiplies",
    "stretches",
    "sums",
    "transposes",
]


class Labels(NamedTuple):
    """A derivative as labels.

    Attributes
    ----------
    out, own : tuple of int
        A label for each axis of the value and of the operand; for `out` those of the operand where
        the value has the same elements, in their order, in another shape.
    sizes : dict
        Length of each label's axis.
    factors : list of (ndarray, tuple of int)
        Arrays with the labels of their axes, which the deltas are multiplied with.
    scale : float
    """

    out: tuple[int, ...]
    own: tuple[int, ...]
    sizes: dict[int, int]
    factors: list[tuple[np.ndarray, tuple[int, ...]]]
    scale: float = 1.0


def _labels(link, k, out, own, factors=()):
    shape = link.operands[k].shape
    sizes = dict(zip(own, shape, strict=True)) | dict(zip(out, link.shape, strict=True))
    return Labels(out, own, sizes, list(factors))


def aligned(link, k):
    """Label a value and an operand that is broadcast to it; a stretched axis has its own label."""
    out = tuple(range(len(link.shape)))
    shape = link.operands[k].shape
    first = len(out) - len(shape)
    own = tuple(
        label if size == link.shape[label] else len(out) + label
        for label, size in zip(out[first:], shape, strict=True)
    )
    return out, own


def stretches(link, k):
    """Broadcast the operand."""
    return _labels(link, k, *aligned(link, k))


def contracts(link, k):
    """Contract two operands over labels, which are static arguments."""
    labels = [tuple(link.static["left"]), tuple(link.static["right"])]
    other = np.asarray(link.operands[1 - k], link.dtype)
    return _labels(link, k, tuple(link.static["out"]), labels[k], [(other, labels[1 - k])])


def matmul_labels(a, b):
    """Return the labels of ``a``, ``b``, ``a @ b``, batch axes counted from the end; one more."""
    return _matmul_labels(a.ndim, b.ndim)


@functools.cache
def _matmul_labels(*ndims):
    m, n = ((label,) * (nd > 1) for label, nd in zip((-1, -3), ndims, strict=True))
    k = (-2,)
    left, right = (tuple(range(nd - 2))[::-1] for nd in ndims)
    batch = max(left, right, key=len)
    return left + m + k, right + k + n, batch + m + n, len(batch)


def multiplies(link, k):
    """Multiply matrices, where no batch axis is stretched."""
    a, b = link.operands
    left, right, out, _ = matmul_labels(a, b)
    sizes = {}
    for labels, shape in ((left, a.shape), (right, b.shape)):
        for label, size in zip(labels, shape, strict=True):
            sizes.setdefault(label, set()).add(size)
    if any(len(found) > 1 for found in sizes.values()):
        return None
    own, others = (left, right) if k == 0 else (right, left)
    other = np.asarray(link.operands[1 - k], link.dtype)
    return _labels(link, k, out, own, [(other, others)])


def transposes(link, k):
    """Permute the last axes."""
    own = tuple(range(len(link.shape)))
    axes = link.static["axes"]
    out = own[: len(own) - len(axes)] + tuple(own[axis] for axis in axes)
    return _labels(link, k, out, own)


def keeps_order(link, k):
    """Keep the elements in their order, in another shape or dtype."""
    shape = link.operands[k].shape
    axes = tuple(range(len(shape)))
    return Labels(axes, axes, dict(zip(axes, shape, strict=True)), [])


def sums(link, k):
    """Sum over axes, with or without keeping them as axes of length one."""
    shape = link.operands[k].shape
    own = tuple(range(len(shape)))
    axes = {axis % len(shape) for axis in link.static["axis"]}
    out = tuple(label for label in own if label not in axes)
    return Labels(out, own, dict(zip(own, shape, strict=True)), [])


def averages(link, k):
    """Average over axes."""
    labels = sums(link, k)
    count = math.prod(size for label, size in labels.sizes.items() if label not in labels.out)
    return labels._replace(scale=1.0 / max(1, count))
