"""Reductions and cumulative sums."""

import math

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import values_of
from fastbp.rules.structural import cast, float_dtype, from_end, lead_of, ravel, spread
from fastbp.rules.table import general, implements, linear, refuse

UNSET = np._NoValue  # NumPy's own default of keepdims=, initial= and where=
ALL = [tuple(range(-nd, 0)) for nd in range(65)]


def axes_of(axis, nd):
    """Return the axes of a reduction as a tuple of negative numbers."""
    if axis is None:
        return ALL[nd]
    if type(axis) is int and -nd <= axis < nd:
        return (axis if axis < 0 else axis - nd,)
    if nd == 0 and axis in (0, -1):
        return ()
    return from_end(axis, nd)


def unreduced(g, ans, axis, keepdims):
    """Give `g` back the axes that were reduced away, with length one."""
    if keepdims or not axis:
        return g
    lead = g.ndim - ans.ndim
    nd = ans.ndim + len(axis)
    shape = iter(g.shape[lead:])
    return g.reshape(g.shape[:lead] + tuple([1 if k in axis else next(shape) for k in range(-nd, 0)]))


add_reduce = np.add.reduce
sum_op = linear(
    "sum",
    lambda x, axis, keepdims: add_reduce(x, axis, None, None, keepdims),
    lambda g, ans, x, axis, keepdims: spread(unreduced(g, ans, axis, keepdims), lead_of(g, ans) + x.shape),
)
mean_op = linear(
    "mean",
    lambda x, axis, keepdims, count: np.true_divide(add_reduce(x, axis, None, None, keepdims), count),
    lambda g, ans, x, axis, keepdims, count: spread(unreduced(g / count, ans, axis, keepdims), lead_of(g, ans) + x.shape),
)


@implements(np.sum, method="sum", reduce=np.add, samples=lambda rng: [((rng.normal(size=(2, 3)),), {"axis": 0})])
def sum(a, axis=None, dtype=None, out=None, keepdims=UNSET, initial=UNSET, where=UNSET):
    """Arguments as in `numpy.sum`."""
    refuse("sum", out=(out, None), initial=(initial, UNSET), where=(where, UNSET), dtype=(dtype, None))
    return sum_op(a, axis=axes_of(axis, a.ndim), keepdims=keepdims is not UNSET and bool(keepdims))


@implements(np.mean, method="mean", samples=lambda rng: [((rng.normal(size=(2, 3)),), {"axis": 0})])
def mean(a, axis=None, dtype=None, out=None, keepdims=UNSET, *, where=UNSET):
    """Arguments as in `numpy.mean`."""
    refuse("mean", out=(out, None), where=(where, UNSET), dtype=(dtype, None))
    axis = axes_of(axis, a.ndim)
    return mean_op(a, axis=axis, keepdims=keepdims is not UNSET and bool(keepdims),
                   count=math.prod([a.shape[k] for k in axis]))


def _shares(x, ans, axis, keepdims):
    """How much of a cotangent each element gets: one over the number of extremes where it is one, otherwise zero."""
    x, ans = values_of(x), values_of(ans)
    best = unreduced(ans, ans, axis, keepdims)
    extreme = (x == best) | (x != x)
    return np.where(extreme, 1.0 / np.add.reduce(extreme, axis, x.dtype, keepdims=True), 0.0)


def _extreme(name, ufunc):
    return general(
        name, lambda x, axis, keepdims: ufunc.reduce(x, axis, None, None, keepdims), nin=1, saves=(0, "ans"),
        vjp=(lambda g, ans, x, axis, keepdims:
             np.multiply(unreduced(g, ans, axis, keepdims), _shares(x, ans, axis, keepdims)),),
        jvp=(lambda t, ans, x, axis, keepdims: (t * _shares(x, ans, axis, keepdims)).sum(axis=axis, keepdims=keepdims),),
    )


max_op = _extreme("max", np.maximum)
min_op = _extreme("min", np.minimum)


@implements(np.max, np.amax, method="max", reduce=np.maximum, samples=lambda rng: [((rng.normal(size=(2, 3)),), {"axis": 0})])
def max(a, axis=None, out=None, keepdims=UNSET, initial=UNSET, where=UNSET):
    """Arguments as in `numpy.max`; initial=, where= and out= are refused. Ties share equally."""
    refuse("max", out=(out, None), initial=(initial, UNSET), where=(where, UNSET))
    return max_op(a, axis=axes_of(axis, a.ndim), keepdims=keepdims is not UNSET and bool(keepdims))
