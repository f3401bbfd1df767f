"""What orders elements: sort, partition, unique.

One row moves the elements of rows into an order, which is a constant. Elements that are equal share
equally what flows to them, as extremes do (`reductions`): so a derivative does not depend on which
of them a sort has put first, and that of ``sort(x)[-1]`` is that of ``max(x)``.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastbp._core import graph
from fastbp._core.graph import values_of
from fastbp._core.sorting import argsort
from fastbp.rules import patterns
from fastbp.rules.numpy.indexing import gather_op, scatter_add_op
from fastbp.rules.table import general, implements, linear, refuse

EQUALS = "equal elements share equally"


class Order(NamedTuple):
    """Where the elements of a result come from.

    `places` are those in the flattened operand; `groups` the number of its group of equal elements
    for each, and `sizes` how many these have: None where all are different.
    """

    places: np.ndarray
    groups: np.ndarray | None
    sizes: np.ndarray | None


def _groups(x):
    """Return the numbers and the sizes of groups of equal neighbours along rows, or None twice."""
    same = x[..., 1:] == x[..., :-1]
    if x.size and x.dtype.kind == "f" and np.isnan(x[..., -1]).any():
        same |= np.isnan(x[..., 1:]) & np.isnan(x[..., :-1])
    if not same.any():
        return None, None
    first = np.ones(x.shape, bool)
    np.logical_not(same, out=first[..., 1:])
    groups = np.cumsum(first.reshape(-1)) - 1
    return groups, np.bincount(groups).astype(x.real.dtype)


def _in_order(x, kth):
    """Sort rows, or part them at positions."""
    order = argsort(x)
    rows = x.shape[-1] * np.arange(math.prod(x.shape[:-1])).reshape((*x.shape[:-1], 1))
    flat = (order + rows if x.ndim > 1 else order).reshape(-1)
    found = x.reshape(-1)[flat].reshape(x.shape)
    groups, sizes = _groups(found)
    if kth is not None:
        parted = (np.argpartition(x, kth, -1) + rows).reshape(-1)
        if groups is not None:
            of = np.empty_like(groups)
            of[flat] = groups
            groups = of[parted]
        flat = parted
        found = x.reshape(-1)[flat].reshape(x.shape)
    return found, Order(flat, groups, sizes)


def _flat(x, own):
    """Return an array with its own axes, behind block axes, as one."""
    lead = x.shape[: x.ndim - own]
    return x.reshape((*lead, math.prod(x.shape[x.ndim - own :])))


def _share(g, order):
    if order.groups is None:
        return g
    total = scatter_add_op(g, size=order.sizes.size, places=order.groups, behind=0)
    return gather_op(total / order.sizes, places=order.groups, behind=0)


def _to_order(x, order, own):
    return _share(_flat(x, own).take(order.places, -1), order).reshape(x.shape)


def _from_order(g, order, own):
    back = np.empty_like(g, order="C")
    _flat(back, own)[..., order.places] = _share(_flat(g, own), order)
    return back


# Into an order with equal elements averaged, and back.
to_order = linear(
    "to_order",
    _to_order,
    lambda g, ans, x, order, own: from_order(g, order=order, own=own),
    pattern=patterns.orders,
)
from_order = linear(
    "from_order",
    _from_order,
    lambda g, ans, x, order, own: to_order(g, order=order, own=own),
    pattern=patterns.orders,
)
sort_op = general(
    "sort",
    _in_order,
    nin=1,
    nout=2,
    constants=(1,),
    saves=(("ans", 1),),
    vjp=(lambda g, ans, x, kth: from_order(g[0], order=ans[1], own=x.ndim),),
    jvp=(lambda t, ans, x, kth: (to_order(t, order=ans[1], own=x.ndim), None),),
    coefficients="fixed",
    pattern=patterns.orders,
    direct=("g put back into the order of x",),
)


def in_order(x, kth=None):
    """Return `x` with the elements of its rows sorted, or parted at positions `kth`."""
    return sort_op(x, kth=kth)[0]


def _along(a, axis):
    """Return an array with an axis in the last place, and where that was; None flattens."""
    if axis is None:
        return (a if a.ndim == 1 else np.ravel(a)), -1
    axis = normalize_axis_index(axis, a.ndim) - a.ndim
    return (a if axis == -1 else np.swapaxes(a, axis, -1)), axis


def _moved_back(x, axis):
    return x if axis == -1 else np.swapaxes(x, axis, -1)


@implements(
    np.sort,
    kinks=EQUALS,
    samples=lambda rng: [
        ((rng.normal(size=5),), {}),
        ((rng.normal(size=(2, 3, 4)),), {}),
        ((rng.normal(size=(2, 3, 4)), 1), {"kind": "heapsort"}),
        ((rng.normal(size=(2, 3)), None), {"stable": True}),
        ((rng.normal(size=(2, 0)),), {}),
    ],
)
def sort(a, axis=-1, kind=None, order=None, *, stable=None):
    """Arguments as in `numpy.sort`; whatever the kind, equal elements share equally.

    Notes
    -----
    A cotangent goes to the element that was moved there.
    """
    np.sort(np.zeros(1), 0, kind, order, stable=stable)  # raises where NumPy does
    a, axis = _along(a, axis)
    return _moved_back(in_order(a), axis)


@implements(
    np.partition,
    kinks=EQUALS,
    samples=lambda rng: [
        ((rng.normal(size=6), 2), {}),
        ((rng.normal(size=(4, 3)), (1, -1)), {"axis": 0}),
        ((rng.normal(size=(2, 3)), [2, 4]), {"axis": None}),
    ],
)
def partition(a, kth, axis=-1, kind="introselect", order=None):
    """Arguments as in `numpy.partition`; equal elements share equally."""
    kth = values_of(kth)
    a, axis = _along(a, axis)
    np.partition(np.zeros(a.shape[-1]), kth, -1, kind, order)  # raises where NumPy does
    return _moved_back(in_order(a, kth), axis)


@implements(np.sort_complex, kinks=EQUALS, samples=lambda rng: [((rng.normal(size=(2, 3)),), {})])
def sort_complex(a):
    """Arguments as in `numpy.sort_complex`."""
    return sort(a) if a.dtype.kind == "c" else np.astype(sort(a), np.complex128)


def _sort_in_place(a, axis=-1, kind=None, order=None, *, stable=None):
    a[...] = sort(a, axis, kind, order, stable=stable)


def _partition_in_place(a, kth, axis=-1, kind="introselect", order=None):
    a[...] = partition(a, kth, axis, kind, order)


graph.bind_method("sort", _sort_in_place)
graph.bind_method("partition", _partition_in_place)

# ---- sets


def _unique_samples(rng):
    return [
        ((rng.normal(size=5),), {}),
        ((rng.normal(size=(2, 3)),), {"return_index": True, "return_counts": True}),
        ((rng.normal(size=3),), {"return_inverse": True, "equal_nan": False}),
    ]


@implements(np.unique, kinks=EQUALS, samples=_unique_samples)
def unique(
    ar,
    return_index=False,
    return_inverse=False,
    return_counts=False,
    axis=None,
    *,
    equal_nan=True,
    sorted=True,
):
    """Arguments as in `numpy.unique`, ``axis=`` is refused; indices and counts are constants.

    Notes
    -----
    The elements that one of the result stands for share its cotangent equally.
    """
    refuse("unique", axis=(axis, None))
    found = np.unique(ar.value, True, return_inverse, return_counts, equal_nan=equal_nan)
    x = in_order(ar if ar.ndim == 1 else np.ravel(ar))
    first = np.searchsorted(x.value, found[0], side="left")
    if not equal_nan:
        first[np.isnan(found[0])] += np.arange(np.isnan(found[0]).sum())
    result = (np.take(x, first), *found[1 if return_index else 2 :])
    return result if len(result) > 1 else result[0]
