"""Structural operations."""

import numpy as np

from fastbp._core import graph
from fastbp._core.elementwise import sum_to as _sum_to
from fastbp.rules.table import implements, linear


def lead_of(g, ans):
    """Return the block axes of `g`: its shape in front of that of `ans`."""
    return g.shape[: g.ndim - len(ans.shape)]


# What the engine uses to undo broadcasting when it records: `nd` axes of x are its own, those in front are block axes.
sum_to = linear(
    "sum_to",
    lambda x, shape, nd: _sum_to(x, shape, x.ndim - nd),
    lambda g, ans, x, shape, nd: np.broadcast_to(
        np.reshape(g, lead_of(g, ans) + (1,) * (nd - len(shape)) + ans.shape[len(ans.shape) - len(shape):]),
        lead_of(g, ans) + x.shape),
)
graph.bind("sum_to", sum_to)
graph.bind("variable", graph.variable)

astype = linear(
    "astype",
    lambda x, dtype: x.astype(dtype),
    lambda g, ans, x, dtype: g,
)
graph.bind("astype", lambda x, dtype: astype(x, dtype=np.dtype(dtype)))

sum_ = linear(
    "sum",
    lambda x, axis, keepdims: x.sum(axis=axis, keepdims=keepdims),
    lambda g, ans, x, axis, keepdims: np.broadcast_to(
        g if keepdims else np.expand_dims(g, axis), lead_of(g, ans) + x.shape),
)


@implements(np.sum, method="sum", reduce=np.add, samples=lambda rng: [((rng.normal(size=(2, 3)),), {"axis": 0})])
def sum(a, axis=None, dtype=None, out=None, keepdims=False):
    nd = a.ndim
    axis = tuple(range(-nd, 0)) if axis is None else tuple(
        ax if ax < 0 else ax - nd for ax in (axis if isinstance(axis, tuple) else (axis,)))
    return sum_(a, axis=axis, keepdims=bool(keepdims))


reshape = linear(
    "reshape",
    lambda x, shape, own: x.reshape(x.shape[: x.ndim - own] + shape),
    lambda g, ans, x, shape, own: np.reshape(g, lead_of(g, ans) + x.shape),
)


@implements(np.reshape, method="reshape", samples=lambda rng: [((rng.normal(size=(2, 3)), (3, 2)), {})])
def reshape_(a, shape, order="C"):
    shape = np.reshape(graph.values_of(a), shape).shape
    return reshape(a, shape=shape, own=a.ndim)
