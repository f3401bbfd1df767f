"""What orders elements: sort, partition, unique.

One row moves the elements of rows into an order, which is a constant. Elements that are equal share
equally what flows to them, as extremes do (`reductions`): so a derivative does not depend on which
of them a sort has put first, and that of ``sort(x)[-1]`` is that of ``max(x)``.
"""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastbp._core import graph
from fastbp._core.graph import values_of
from fastbp._core.sorting import argsort
from fastbp.rules import batching, patterns
from fastbp.rules.numpy.indexing import gather_op, places_of_all, scatter_add_op
from fastbp.rules.numpy.structural import constant_call
from fastbp.rules.table import general, implements, linear, refuse

EQUALS = "equal elements share equally"


def _ties(x, always, parts=None):
    """Return groups of equal neighbours along rows: the number of each element's, and their sizes.

    There are as many sizes as elements, 1 for numbers that no group has. Without equal elements
    both are empty, unless they are wanted `always`.
    """
    same = x[..., 1:] == x[..., :-1]
    if x.size and x.dtype.kind == "f" and np.isnan(x[..., -1]).any():
        same |= np.isnan(x[..., 1:]) & np.isnan(x[..., :-1])
    if parts is not None:
        same &= parts[1:] == parts[:-1]
    if not always and not same.any():
        return np.empty((2, 0), np.intp)
    first = np.ones(x.shape, bool)
    np.logical_not(same, out=first[..., 1:])
    ties = np.ones((2, x.size), np.intp)
    np.cumsum(first.reshape(-1), out=ties[0])
    ties[0] -= 1
    sizes = np.bincount(ties[0])
    ties[1, : sizes.size] = sizes
    return ties


def _in_order(x, kth, always, parts=None):
    """Sort rows, or part them at positions; return also the places in `x` flattened, and ties.

    With `parts`, the number of a part for each element of a row, the parts stay apart.
    """
    order = argsort(x) if parts is None else np.lexsort((x, np.broadcast_to(parts, x.shape)))
    rows = x.shape[-1] * np.arange(math.prod(x.shape[:-1])).reshape((*x.shape[:-1], 1))
    flat = (order + rows if x.ndim > 1 else order).reshape(-1)
    found = x.reshape(-1)[flat].reshape(x.shape)
    ties = _ties(found, always, parts if parts is None else np.sort(parts))
    if kth is not None:
        parted = (np.argpartition(x, kth, -1) + rows).reshape(-1)
        if ties.size:
            of = np.empty_like(ties[0])
            of[flat] = ties[0]
            ties[0] = of[parted]
        flat = parted
        found = x.reshape(-1)[flat].reshape(x.shape)
    return found, flat, ties


def _flat(x, own):
    """Return an array with its own axes, behind block axes, as one."""
    lead = x.shape[: x.ndim - own]
    return x.reshape((*lead, math.prod(x.shape[x.ndim - own :])))


def _share(g, ties):
    if not ties.size:
        return g
    groups, sizes = ties
    total = scatter_add_op(g, size=groups.size, places=groups, behind=0)
    return gather_op(total / sizes.astype(g.real.dtype), places=groups, behind=0)


def _to_order(x, places, ties, own):
    return _share(_flat(x, own).take(places, -1), ties).reshape(x.shape)


def _from_order(g, places, ties, own):
    back = np.empty_like(g, order="C")
    _flat(back, own)[..., places] = _share(_flat(g, own), ties)
    return back


# Of many members one order is made, in which each has places and groups of its own.


def _apart(places, ties, n):
    """Return the places and ties of each of `n` members, from those of all."""
    places, groups = places.reshape(n, -1), ties[0].reshape(n, -1)
    size = places.shape[1]
    first = groups.min(1, initial=ties.shape[1])[:, None]
    number = first + np.arange(size)
    there = number <= groups.max(1, initial=-1)[:, None]
    sizes = np.where(there, ties[1][np.minimum(number, ties.shape[1] - 1)], 1)
    return places - size * np.arange(n)[:, None], np.stack([groups - first, sizes], 1)


def _together(places, ties, n):
    """Return the places and ties of all members from those of each."""
    size = places.shape[1]
    counts = ties[:, 0].max(1, initial=-1) + 1
    first = (np.cumsum(counts) - counts)[:, None]
    number = np.arange(size)
    there = number < counts[:, None]
    sizes = np.ones(n * size, np.intp)
    sizes[(first + number)[there]] = ties[:, 1][there]
    return places_of_all(places, n, size).reshape(-1), np.stack(
        [(ties[:, 0] + first).reshape(-1), sizes]
    )


def _sort_members(a):
    (x,) = a.operands
    found, places, ties = a(x, always=True)
    return (found, *constant_call(_apart, places, ties, a.n))


def _order_members(a):
    (x,), (mapped,) = a.operands, a.mapped
    if not a.moving:
        return a(x)
    x, own = x if mapped else batching.spread(x, a.n), a.static["own"]
    places, ties = [
        value if name in a.moving else batching.spread(value, a.n)
        for name, value in ((name, a.static[name]) for name in ("places", "ties"))
    ]
    places, ties = constant_call(_together, places, ties, a.n)
    before = x.ndim - 1 - own
    found = a(np.moveaxis(x, 0, before), places=places, ties=ties, own=own + 1)
    return np.moveaxis(found, before, 0)


# Into an order with equal elements averaged, and back.
to_order = linear(
    "to_order",
    _to_order,
    lambda g, ans, x, **order: from_order(g, **order),
    pattern=patterns.orders,
    batch=_order_members,
)
from_order = linear(
    "from_order",
    _from_order,
    lambda g, ans, x, **order: to_order(g, **order),
    pattern=patterns.orders,
    batch=_order_members,
)
sort_op = general(
    "sort",
    _in_order,
    nin=1,
    nout=3,
    constants=(1, 2),
    saves=(("ans", 1), ("ans", 2)),
    vjp=(lambda g, ans, x, **_: from_order(g[0], places=ans[1], ties=ans[2], own=x.ndim),),
    jvp=(lambda t, ans, x, **_: (to_order(t, places=ans[1], ties=ans[2], own=x.ndim), None, None),),
    coefficients="fixed",
    pattern=patterns.orders,
    batch=_sort_members,
    direct=("g put back into the order of x",),
)


def in_order(x, kth=None):
    """Return `x` with the elements of its rows sorted, or parted at positions `kth`; and places.

    Places are in the flattened `x`, without derivative.
    """
    return sort_op(x, kth=kth, always=graph.keeps(x))[:2]


def in_order_of_parts(x, parts):
    """Return the elements of an array of one axis sorted by their part, then by their value."""
    return sort_op(x, kth=None, always=graph.keeps(x), parts=parts)[0]


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
    layout="K",
    kinks=EQUALS,
    samples=lambda rng: [
        ((rng.normal(size=5),), {}),
        ((rng.normal(size=(2, 3, 4)),), {}),
        ((rng.normal(size=(2, 3, 4)), 1), {"kind": "heapsort"}),
        ((rng.normal(size=(2, 3)), None), {"stable": True}),
        ((rng.normal(size=(2, 0)),), {}),
        ((rng.normal(size=(2, 3)),), {"descending": True}),
    ],
)
def sort(a, axis=-1, kind=None, order=None, *, stable=None, descending=np._NoValue):
    """Arguments as in `numpy.sort` 2.5; whatever the kind, equal elements share equally.

    Notes
    -----
    A cotangent goes to the element that was moved there.
    """
    np.sort(np.zeros(1), 0, kind, order, stable=stable)  # raises where NumPy does
    a, axis = _along(a, axis)
    falls = descending is not np._NoValue and descending
    found = -in_order(-a)[0] if falls else in_order(a)[0]
    return _moved_back(found, axis)


@implements(
    np.partition,
    layout="K",
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
    return _moved_back(in_order(a, kth)[0], axis)


@implements(
    np.sort_complex,
    layout="K",
    kinks=EQUALS,
    samples=lambda rng: [((rng.normal(size=(2, 3)),), {})],
)
def sort_complex(a):
    """Arguments as in `numpy.sort_complex`."""
    return sort(a) if a.dtype.kind == "c" else np.astype(sort(a), np.complex128)


def _sort_in_place(a, axis=-1, kind=None, order=None, *, stable=None, descending=None):
    a[...] = sort(a, axis, kind, order, stable=stable, descending=descending)


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
    x = in_order(ar if ar.ndim == 1 else np.ravel(ar))[0]
    first = np.searchsorted(x.value, found[0], side="left")
    if not equal_nan:
        first[np.isnan(found[0])] += np.arange(np.isnan(found[0]).sum())
    result = (np.take(x, first), *found[1 if return_index else 2 :])
    return result if len(result) > 1 else result[0]
