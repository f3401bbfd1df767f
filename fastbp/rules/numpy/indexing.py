"""Indexing: reading and writing elements, and choosing between arrays.

Primitive rows: getitem and its transpose put, for indices without arrays; gather and its transpose
scatter_add, for places along an axis; setitem, where. Their `static` is what
`fastbp.rules.numpy.indices` makes of an index.
"""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastbp._core import graph
from fastbp._core import places as along
from fastbp._core.compiled import Adds, Elements
from fastbp._core.graph import Variable, array_of, arrays_of, passive, passive_call
from fastbp.errors import DTypeError, ShapeError
from fastbp.rules import batching, patterns, plans
from fastbp.rules.numpy.indices import FULL, Apart, apart, is_mask, plain, whole
from fastbp.rules.numpy.selections import everywhere, note_selected, over_all_axes
from fastbp.rules.numpy.structural import as_constant, as_operand, reshaped
from fastbp.rules.table import general, implements, linear, refuse

# ---- the primitives: indices without arrays


def _add(into, g, index):
    """Add `g` to ``into[index]``."""
    if g.ndim == 0:
        into[index[1:]] += g[()]  # scalars, not 0-d arrays: faster
    else:
        part = into[index]
        part += g


def _put(g, shape, index, own):
    into = np.zeros(g.shape[: g.ndim - own] + shape, g.dtype)
    _add(into, g, index)
    return into


getitem_op = linear(
    "getitem",
    lambda x, index: x[index],
    lambda g, ans, x, index: put_op(g, shape=x.shape, index=index, own=ans.ndim),
    compiled=Elements(),
    pattern=patterns.moves,
    direct=("g put into zeros",),
)
graph.bind("getitem_op", getitem_op)
put_op = linear(
    "put",
    _put,
    lambda g, ans, x, shape, index, own: getitem_op(g, index=index),
    pattern=patterns.moves,
    plan=plans.puts,
)

SINGLE = (np.dtype("f4"), np.dtype("c8"))

# ---- the primitives: places along an axis, with `behind` axes behind it


def _gather(x, places, behind):
    if x.flags.c_contiguous:
        return x.take(places, -1 - behind)
    return x[(..., places, *FULL[behind])]  # take would copy all of x


def add_at(into, g, places, behind):
    """Add `g` at places along an axis; many in single precision in double, and rounded once.

    Less than 255 of them in a row lose no more than the blocks of a pairwise sum.
    """
    served = along.add_at(into, places, g, behind, into.dtype in SINGLE)
    if served == places.size:
        return
    axis = into.ndim - 1 - behind
    lead, size, tail = into.shape[:axis], into.shape[axis], into.shape[axis + 1 :]
    g = g.reshape((*lead, -1, *tail))[(..., slice(served, None), *FULL[behind])]
    places, own = places.reshape(-1)[served:], None
    if size > 8 * places.size:
        own, places = np.unique(places, return_inverse=True)
        size = own.size
    wide = np.zeros((*lead, size, *tail), np.result_type(into, np.float64))
    along.add_at(wide, places, g, behind)
    if own is None:
        np.add(into, wide, out=into, casting="same_kind")
    else:
        along.add_at(into, own, wide, behind)


def _scatter_add(g, size, places, behind):
    axis = g.ndim - behind - places.ndim
    into = np.zeros((*g.shape[:axis], size, *g.shape[g.ndim - behind :]), g.dtype)
    add_at(into, g, places, behind)
    return into


# Members whose places differ take from, or add to, one axis that has all of theirs.


def places_of_all(places, n, size):
    """Return places of members, along the first axis, in the elements of all of them."""
    first = size * np.arange(n)
    return places + first.reshape((n,) + (1,) * (places.ndim - 1))


def _with_first(x, at, n, count=1):
    """Return an array of members with `count` axes from `at` on merged with that of the members.

    So they stand in front, the axes before them behind.
    """
    axes = (0, *range(at, at + count), *range(1, at), *range(at + count, x.ndim))
    x = np.transpose(x, axes)
    return np.reshape(x, (math.prod(x.shape[: 1 + count]), *x.shape[1 + count :]))


def _with_last(x, n, own, at):
    """Undo `_with_first`: the merged axis is `n` members with axes of the lengths `own`."""
    x = np.reshape(x, (n, *own, *x.shape[1:]))
    count = len(own)
    return np.transpose(
        x, (0, *range(1 + count, count + at), *range(1, 1 + count), *range(count + at, x.ndim))
    )


def gather_members(a):
    """Take what places name, of many members."""
    (x,), (mapped,), behind = a.operands, a.mapped, a.static["behind"]
    if not a.moving:
        return a(x)
    places, before = a.static["places"], a.ndim(0) - 1 - behind
    if not mapped:
        return np.moveaxis(a(x), before, 0)
    size = x.shape[1 + before]
    found = a(
        _with_first(x, 1 + before, a.n),
        places=places_of_all(places, a.n, size),
        behind=before + behind,
    )
    nd = places.ndim
    return np.transpose(
        found, (0, *range(nd, nd + before), *range(1, nd), *range(nd + before, found.ndim))
    )


def scatter_members(a):
    """Add at places, of many members."""
    (g,), (mapped,), behind = a.operands, a.mapped, a.static["behind"]
    if not a.moving:
        return a(g)
    places, size = a.static["places"], a.static["size"]
    g = g if mapped else batching.spread(g, a.n)
    count = places.ndim - 1
    before = g.ndim - 1 - count - behind
    found = a(
        _with_first(g, 1 + before, a.n, count),
        places=np.ravel(places_of_all(places, a.n, size)),
        size=a.n * size,
        behind=before + behind,
    )
    return _with_last(found, a.n, (size,), 1 + before)


def _set_members(a):
    (x, value), (of_x, of_value), index = a.operands, a.mapped, a.static["index"]
    x = x if of_x else batching.spread(x, a.n)
    if not a.moving:
        nd = np.broadcast_to(0.0, x.shape[1:])[index].ndim
        return a(x, batching.with_rank(value, 1 + nd) if of_value else value)
    at = a.moving["index"]
    behind, places = len(index) - 1 - at, index[at]
    before, size = x.ndim - 2 - behind, x.shape[x.ndim - 1 - behind]
    if np.size(array_of(value)) != 1 or of_value:
        shape = (*x.shape[1 : 1 + before], *places.shape[1:], *x.shape[2 + before :])
        value = batching.with_rank(value, 1 + len(shape)) if of_value else value
        value = np.broadcast_to(value, (a.n, *shape))
        value = _with_first(value, 1 + before, a.n, places.ndim - 1)
    found = a(
        _with_first(x, 1 + before, a.n),
        value,
        index=(..., np.ravel(places_of_all(places, a.n, size)), *FULL[before + behind]),
    )
    return _with_last(found, a.n, (size,), 1 + before)


gather_op = linear(
    "gather",
    _gather,
    lambda g, ans, x, places, behind: scatter_add_op(
        g, size=x.shape[-1 - behind], places=places, behind=behind
    ),
    compiled=Adds(lambda into, g, i, ans, x, places, behind: add_at(into, g, places, behind)),
    pattern=patterns.moves,
    plan=plans.takes_at_places,
    moving=patterns.gathers,
    batch=gather_members,
    direct=("g added into zeros",),
)
scatter_add_op = linear(
    "scatter_add",
    _scatter_add,
    lambda g, ans, x, size, places, behind: gather_op(g, places=places, behind=behind),
    pattern=patterns.scatters,
    plan=plans.adds_at_places,
    batch=scatter_members,
)

# ---- the primitives: writing


def _set(x, value, index):
    x = x.copy()
    if x.ndim == len(index) - 1 and all([item is not None for item in index]):
        index = index[1:]  # NumPy is twice as fast without the Ellipsis
    x[index] = value
    return x


def _set_jvp(tangents, ans, x, value, index):
    tx, tv = tangents
    if tx is None:
        tx = np.zeros(tv.shape[: tv.ndim - value.ndim] + x.shape, ans.dtype)
    return set_op(tx, 0.0 if tv is None else tv, index=index)


def _written(g, index):
    """Return the part of a cotangent that goes to what was written."""
    for k, item in enumerate(index):
        if type(item) is np.ndarray or graph.is_passive(item):
            return gather_op(g, places=item, behind=len(index) - 1 - k)
    return getitem_op(g, index=index)


set_op = general(
    "setitem",
    _set,
    nin=2,
    saves=(),
    jvp=_set_jvp,
    vjp=(
        lambda g, ans, x, value, index: set_op(g, 0.0, index=index),
        lambda g, ans, x, value, index: _written(g, index),
    ),
    writes=True,
    pattern=patterns.moves,
    moving=patterns.writes,
    batch=_set_members,
)

# ---- x[index]


def getitem(x, index):
    """Return ``x[index]``: a view for a basic index, except that an element is a scalar."""
    kind = type(index)
    if kind is int or kind is slice:
        nd = x.ndim
        if nd:
            found = getitem_op(x, index=(..., index, *FULL[nd - 1]))
            return graph.owned(found) if nd == 1 and kind is int else found
    given = index if kind is tuple else (index,)
    index = whole(x.shape, given)
    if index is None:
        if graph.keeps(given):
            return _at_moving(x, given)
        axis = _only_array(given)
        if axis is not None and axis < x.ndim and len(given) <= x.ndim:
            return _taken_along(x, given[axis], axis)
        index = apart(x.shape, given)
        if isinstance(index, Apart):
            return _taken(x if index.basic is None else getitem_op(x, index=index.basic), index)
    found = getitem_op(x, index=index)
    if found.ndim == 0:
        with_axes = any([item is ... for item in given])
        return graph.as_cell(found) if with_axes else graph.as_number(found)
    return found


def _only_array(index):
    """Return which item of an index is an array of integers if all others are full slices."""
    found = None
    for k, item in enumerate(index):
        if type(item) is slice:
            if item != FULL[1][0]:
                return None
        elif found is None and type(item) is np.ndarray and item.ndim and item.dtype.kind in "iu":
            found = k
        else:
            return None
    return found


def _taken_along(x, index, axis):
    """Return what an array of integers names along one axis."""
    places = along.counted_from_front(index, x.shape[axis], axis)
    return gather_op(x, places=places, behind=x.ndim - axis - 1)


def _taken(x, a):
    """Return what places name of an array whose basic part was taken."""
    behind = x.ndim - a.at - a.merged
    return gather_op(merged(x, a), places=a.places, behind=behind)


def merged(x, a):
    """Return an array with the axes merged that an index taken apart merges."""
    if a.merged == 1:
        return x
    size = math.prod(x.shape[a.at : a.at + a.merged])
    return reshaped(x, (*x.shape[: a.at], size, *x.shape[a.at + a.merged :]))


# An index that is computed from values is on the record, where that keeps everything: so its places
# are an operand.


def _at_moving(x, given):
    """Return ``x[given]``, where an item of the index is on the record."""
    at, mask = _only_mask(given)
    if mask is not None and not at:
        given = (mask,)  # full slices behind it name what it leaves
    item = given[0]
    if len(given) > 1 or not graph.is_passive(item) or not (x.ndim and item.ndim <= x.ndim):
        return _at_numbers(x, passive_call(_numbers_at, x.shape, given))
    if item.dtype.kind != "b":
        return _along_moving(x, item, 0)
    if not item.ndim or item.shape != x.shape[: item.ndim]:
        return _at_numbers(x, passive_call(_numbers_at, x.shape, given))
    behind = x.shape[item.ndim :]
    flat = reshaped(x, (item.size, *behind))
    found = gather_op(flat, places=np.flatnonzero(item), behind=len(behind))
    note_selected(item, x, found)
    return found


def _numbers_at(shape, index):
    """Return the numbers of the elements that an index names."""
    return np.asarray(np.arange(math.prod(shape)).reshape(shape)[index])


@batching.of_call(_numbers_at)
def _numbers_of_members(n, shape, index):
    return batching.indexed(n, np.arange(math.prod(shape)).reshape(shape), index)


def _have_axes(arrays):
    """Say whether there is no mask, and no number, which might be an end of a slice."""
    return all([x.ndim and x.dtype.kind in "iu" for x in arrays])


@plans.of_call(_numbers_at, _have_axes)
def _numbers_in_plan(b, link, shape, index):
    """Sum what every recorded array of an index adds to the number of an element.

    Which of its elements that is NumPy says itself: they stand along the axis that it indexes.
    """
    items = [np.asarray(item) if isinstance(item, list | range) else item for item in index]
    recorded = [k for k, item in enumerate(items) if b.computes(item)]
    values = [items[k] for k in recorded]
    if not math.prod(shape) or any([x.size == 0 for x in values]):
        return None
    for item in items:
        bounds = (item.start, item.stop, item.step) if isinstance(item, slice) else ()
        kind = item.dtype.kind if isinstance(item, np.ndarray | np.generic) else "i"
        if kind not in "iu" or isinstance(item, bool) or any(map(b.computes, bounds)):
            return None
    for k in recorded:
        items[k] = np.zeros(items[k].shape, np.intp)
    first = np.ascontiguousarray(_numbers_at(shape, tuple(items)))
    steps = np.cumprod((1, *shape[:0:-1]))[::-1]
    facts = []
    for k, x in zip(recorded, values, strict=True):
        axis, own = _axis_of(items, k, len(shape)), np.arange(x.size)
        along = np.expand_dims(own, [a for a in range(len(shape)) if a != axis])
        along = np.broadcast_to(along, (*shape[:axis], x.size, *shape[axis + 1 :]))
        table = along[(*items[:k], own.reshape(x.shape), *items[k + 1 :])]
        table = np.ascontiguousarray(table, np.intp)
        if np.array_equal(table.ravel(), own):
            table = None
        facts.append((table, shape[axis], axis, int(steps[axis]), plans.MODES["raise"]))
    return b.places(values, first if first.any() else None, facts, link.shape)


def _axis_of(index, k, nd):
    """Return which axis an item of an index names, of one without masks."""
    behind = any([item is ... for item in index[:k]])
    items = index[k:] if behind else index[:k]
    count = sum([item is not None and item is not ... for item in items])
    return nd - count if behind else count


def added_at(shape, given, value):
    """Return a value added to zeros where an index names them that is on the record."""
    numbers = passive_call(_numbers_at, shape, given)
    value = np.ravel(fitted(value, numbers.shape, "numpy.add.at"))
    size = math.prod(shape)
    return reshaped(scatter_add_op(value, size=size, places=np.ravel(numbers), behind=0), shape)


def _at_numbers(x, numbers):
    found = gather_op(reshaped(x, (x.size,)), places=np.ravel(numbers), behind=0)
    return graph.owned(reshaped(found, numbers.shape))


def _along_moving(x, index, axis, mode="raise"):
    """Return what an array of integers on the record names along an axis."""
    places = passive_call(_counted, index, x.shape[axis], axis, mode)
    found = gather_op(x, places=places, behind=x.ndim - axis - 1)
    return graph.owned(reshaped(found, (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])))


def _counted(index, size, axis, mode):
    if mode == "wrap":
        index = index % size
    elif mode == "clip":
        index = np.clip(index, 0, size - 1)
    return along.counted_from_front(np.array(np.ravel(index)), size, axis)


@plans.of_call(_counted)
def _counted_in_plan(b, link, index, size, axis, mode):
    return b.places([index], None, [(None, size, axis, 1, plans.MODES[mode])], link.shape)


@batching.of_call(_counted)
def _counted_of_members(n, index, size, axis, mode):
    found = _counted(index.array, size, axis, mode)
    return found.reshape(n, math.prod(index.shape))


graph.bind("getitem", getitem)

# ---- x[index] = value


def setitem(x, index, value):
    """Return a copy of `x` with ``copy[index] = value``; of values for the same element, the last.

    Notes
    -----
    The cotangent at the elements assigned goes to `value`, the rest to `x`. Costs a copy of `x`.
    """
    given = index if type(index) is tuple else (index,)
    index = whole(x.shape, given)
    if index is None:
        if graph.keeps(given):
            return _set_moving(x, given, value)
        index = apart(x.shape, given, elements=True)
        if isinstance(index, Apart):
            return _set_at(x, index, value)
    return set_op(x, fitted(value, x._array[index].shape, dtype=x.dtype), index=index)


def _set_at(x, a, value):
    value = fitted(value, a.shape, dtype=x.dtype)
    into, places = merged(x, a), a.places
    behind = into.ndim - a.at - 1
    last = along.last_writers(places, into.shape[a.at])
    if last is not None:
        tail = value.shape[a.at + places.ndim :]
        value = value.reshape((*value.shape[: a.at], places.size, *tail)).take(last, a.at)
        places = places.reshape(-1)[last]
    found = set_op(into, value, index=(..., *FULL[a.at], places, *FULL[behind]))
    return found if a.merged == 1 else reshaped(found, x.shape)


def _set_moving(x, given, value):
    at, mask = _only_mask(given)
    if mask is not None:
        found = _set_at_mask(x, at, mask, as_operand(value, "setitem: the value"))
        if found is not None:
            return found
    numbers = passive_call(_numbers_at, x.shape, given)
    value = np.ravel(fitted(value, numbers.shape, dtype=x.dtype))
    which, places = passive_call(_last_writes, numbers, x.size)
    value = (
        np.take(value, which) if type(value) is Variable else passive_call(np.take, value, which)
    )
    return reshaped(set_op(reshaped(x, (x.size,)), value, index=(..., places)), x.shape)


def _only_mask(index):
    """Return the mask on the record in an index, and in front of which full slices it stands."""
    at = 0
    while at < len(index) and type(index[at]) is slice and index[at] == FULL[1][0]:
        at += 1
    if at < len(index) and graph.is_passive(index[at]) and index[at].dtype == bool:
        if all(
            [
                item is ... or (type(item) is slice and item == FULL[1][0])
                for item in index[at + 1 :]
            ]
        ):
            return at, index[at]
    return at, None


def _set_at_mask(x, at, mask, value):
    """Return a copy with ``copy[:, ..., mask] = value``, if that needs no number of elements."""
    behind = x.ndim - at - mask.ndim
    if behind < 0 or mask.shape != x.shape[at : at + mask.ndim]:
        return None
    if value.size == 1:
        value = fitted(value, (1,) * (1 + behind))
    value = everywhere(mask, fitted(value, value.shape, dtype=x.dtype), behind, not at)
    if value is None or not _broadcasts(value.shape, x.shape):
        return None
    mask = over_all_axes(mask, x.ndim, at)
    return where_op(mask, np.astype(value, x.dtype, copy=False), x)


def _broadcasts(shape, to):
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False


def _last_writes(numbers, size):
    """Return which of the elements written remain, and their places."""
    places = np.ravel(numbers)
    last = along.last_writers(places, size)
    which = np.arange(places.size) if last is None else np.asarray(last)
    return which, places[which]


def fitted(value, shape, name="setitem", dtype=None):
    """Broadcast a value to the shape assigned to; like NumPy, drop leading axes of length one.

    With the dtype of the array, a complex value for real numbers is refused.
    """
    value = as_operand(value, f"{name}: the value")
    if dtype is not None and value.dtype.kind == "c" and dtype.kind != "c":
        raise DTypeError(
            f"{name}: a value of {value.dtype} for an array of {dtype} would lose its imaginary "
            "part: begin with x = x.astype(complex), or assign value.real"
        )
    extra = value.ndim - len(shape)
    if extra > 0 and value.shape[:extra] == (1,) * extra:
        value = value.reshape(value.shape[extra:])
    if value.shape == shape:
        return value
    try:
        return np.broadcast_to(value, shape)
    except ValueError:
        raise ShapeError(
            f"{name}: a value of shape {value.shape} does not broadcast to the shape "
            f"{shape} that is assigned to"
        ) from None


@batching.of_call(_last_writes)
def _last_writes_of_members(n, numbers, size):
    places = numbers.array.reshape(n, math.prod(numbers.shape))
    if along.last_writers(places_of_all(places, n, size), n * size) is not None:
        return NotImplemented  # some are written more than once
    return np.broadcast_to(np.arange(places.shape[1]), places.shape), places


def _set_flat(x, index, value):
    """Return a copy of `x` with ``copy.flat[index] = value``; as in NumPy, values repeat."""
    numbers = np.arange(x.size)
    where = passive_call(_numbers_at, (x.size,), (index,)) if graph.keeps(index) else numbers[index]
    value = np.ravel(as_operand(value, "flat: the value"))
    if value.size > 1:
        value = take(value, np.arange(where.size) % value.size).reshape(where.shape)
    return setitem(x.reshape(x.size), index, value).reshape(x.shape)


graph.bind("setitem", setitem)
graph.bind("fitted", fitted)
graph.bind("set_flat", _set_flat)

# ---- functions that index


@implements(
    np.take,
    layout="C",
    method="take",
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)), [0, 4, 4]), {}),
        ((rng.normal(size=(2, 3)), np.array([[0, 1], [-1, 1]])), {"axis": 1}),
        ((rng.normal(size=(2, 3)), 1), {"axis": -1}),
        ((rng.normal(size=(2, 3)), np.array([-1, 4])), {"axis": 0, "mode": "wrap"}),
        ((rng.normal(size=4), [7, -2]), {"mode": "clip"}),
        ((rng.normal(size=(2, 3)), []), {"axis": 1}),
    ],
)
def take(a, indices, axis=None, out=None, mode="raise"):
    """Arguments as in `numpy.take`; out= is refused.

    Notes
    -----
    Cotangents of elements taken more than once add up.
    """
    refuse("take", out=(out, None))
    a, axis = _along(a, axis)
    if graph.is_passive(indices):
        if mode not in ("raise", "wrap", "clip"):
            np.take(0, 0, mode=mode)  # raises
        return _along_moving(a, np.astype(indices, np.intp, copy=False), axis, mode)
    indices = plain(indices)
    if is_mask(indices):
        indices = indices.astype(np.intp)
    if mode == "wrap":
        indices = indices % a.shape[axis]
    elif mode == "clip":
        indices = np.clip(indices, 0, a.shape[axis] - 1)
    elif mode != "raise":
        raise ValueError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    if isinstance(indices, int):
        return graph.owned(getitem(a, (*FULL[axis], indices)))
    return _taken_along(a, indices, axis)


def _along(a, axis):
    if axis is None:
        return (a if a.ndim == 1 else np.ravel(a)), 0
    return a, normalize_axis_index(axis, a.ndim)


@implements(
    np.take_along_axis,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)), np.array([[2, 2], [0, -1]])), {}),
        ((rng.normal(size=(2, 3)), np.array([[1, 0, 1]])), {"axis": 0}),
        ((rng.normal(size=(2, 3)), np.array([5, 0])), {"axis": None}),
    ],
)
def take_along_axis(arr, indices, axis=-1):
    """Arguments as in `numpy.take_along_axis`."""
    moving = graph.is_passive(indices)
    indices = indices if moving else plain(indices)
    arr, axis = _along(arr, axis)
    if not moving and (not isinstance(indices, np.ndarray) or is_mask(indices)):
        raise IndexError("take_along_axis: the indices must be an array of integers")
    if indices.ndim != arr.ndim:
        raise ValueError(
            f"take_along_axis: indices of shape {indices.shape} for an array of shape {arr.shape}: "
            "they must have the same number of dimensions"
        )
    grid = list(np.indices(arr.shape, sparse=True))
    grid[axis] = indices
    return getitem(arr, tuple(grid))


@implements(
    np.compress,
    layout="C",
    samples=lambda rng: [
        (([True, False, True], rng.normal(size=(2, 3))), {"axis": 1}),
        ((np.array([0, 1, 1]), rng.normal(size=(2, 3))), {}),
    ],
)
def compress(condition, a, axis=None, out=None):
    """Arguments as in `numpy.compress`; out= is refused."""
    refuse("compress", out=(out, None))
    condition = as_constant(condition, "numpy.compress: the condition")
    if condition.ndim != 1:
        raise ValueError("condition must be a 1-d array")
    return np.take(a, np.flatnonzero(condition), axis)


graph.bind_method(
    "compress", lambda a, condition, axis=None, out=None: compress(condition, a, axis, out)
)


@implements(
    np.extract,
    samples=lambda rng: [((np.array([[True, False], [True, True]]), rng.normal(size=(2, 2))), {})],
)
def extract(condition, arr):
    """Arguments as in `numpy.extract`."""
    return np.take(np.ravel(arr), np.flatnonzero(passive(condition)))


@implements(
    np.delete,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)), [0, 4]), {}),
        ((rng.normal(size=(2, 3)), slice(0, 2)), {"axis": 1}),
        ((rng.normal(size=(2, 3)), -1), {"axis": 0}),
    ],
)
def delete(arr, obj, axis=None):
    """Arguments as in `numpy.delete`."""
    if isinstance(obj, Variable):
        raise DTypeError(f"numpy.delete: the index is a Variable of dtype {obj.dtype}")
    arr, axis = _along(arr, axis)
    return take(arr, np.delete(np.arange(arr.shape[axis]), obj), axis)


# ---- choosing


def in_front(t, operand, ans):
    """Give a tangent the axes that broadcasting adds to its operand, behind its block axes."""
    lead = t.ndim - operand.ndim
    missing = ans.ndim - operand.ndim
    return t.reshape(t.shape[:lead] + (1,) * missing + operand.shape) if lead and missing else t


def _where_jvp(tangents, ans, condition, x, y):
    return np.where(
        condition,
        *[
            np.zeros(ans.shape, ans.dtype) if t is None else in_front(t, operand, ans)
            for t, operand in zip(tangents[1:], (x, y), strict=True)
        ],
    )


where_op = general(
    "where",
    np.where,
    nin=3,
    promotes=(1, 2),
    saves=(0,),
    jvp=_where_jvp,
    vjp=(
        None,
        lambda g, ans, condition, x, y: np.where(condition, g, 0.0),
        lambda g, ans, condition, x, y: np.where(condition, 0.0, g),
    ),
    coefficients="fixed",
    pattern=patterns.chooses,
    plan=plans.chooses,
    batch=batching.aligns,
)


@implements(
    np.where,
    no_axes="array",
    kinks="the slope of the branch that was taken",
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)) > 0, rng.normal(size=(2, 3)), rng.normal(size=3)), {}),
        ((np.array([[True], [False]]), rng.normal(size=()), rng.normal(size=3)), {}),
        ((True, rng.normal(size=(2, 3)), 1.0), {}),
        ((np.array([0, 2]), 1.0, rng.normal(size=2)), {}),
    ],
)
def where(condition, x=None, y=None, /):
    """Arguments as in `numpy.where`. A condition that is a Variable is read for its values.

    Notes
    -----
    The cotangent goes to the branch taken and nothing to the other one: a NaN there stays there.
    With one argument, the indices of the nonzero values.
    """
    condition = as_constant(condition, "numpy.where: the condition")
    if x is None and y is None:
        return np.where(condition)
    if x is None or y is None:
        raise ValueError("either both or neither of x and y should be given")
    if isinstance(x, Variable) or isinstance(y, Variable):
        return where_op(np.astype(condition, bool, copy=False), x, y)
    return np.where(condition, x, y)


@implements(
    np.select,
    kinks="the slope of the branch that was taken",
    no_axes="array",
    joins=True,
    samples=lambda rng: [
        (
            (
                [np.array([True, False, False]), np.array([True, True, False])],
                [rng.normal(size=3), rng.normal(size=3)],
            ),
            {},
        ),
        (([np.array([[True], [False]])], [rng.normal(size=3)], 2.0), {}),
    ],
)
def select(condlist, choicelist, default=0):
    """Arguments as in `numpy.select`."""
    conditions = [as_constant(c, "numpy.select: a condition") for c in condlist]
    choicelist = [as_operand(x, "numpy.select: a choice") for x in choicelist]
    # NumPy tells the dtype, and raises.
    dtype = np.select(*map(arrays_of, (conditions, choicelist)), array_of(default)).dtype
    if not isinstance(default, Variable):
        default = np.asarray(default, dtype)
    for condition, choice in zip(reversed(conditions), reversed(choicelist), strict=True):
        default = np.where(condition, choice, default)
    return default


@implements(
    np.choose,
    samples=lambda rng: [
        ((np.array([0, 1, 1]), [rng.normal(size=3), rng.normal(size=(2, 3))]), {}),
        ((np.array([[0], [3]]), [rng.normal(size=3), rng.normal(size=())]), {"mode": "clip"}),
    ],
)
def choose(a, choices, out=None, mode="raise"):
    """Arguments as in `numpy.choose`; out= is refused."""
    refuse("choose", out=(out, None))
    if isinstance(a, Variable):
        raise DTypeError(f"numpy.choose: the index is a Variable of dtype {a.dtype}")
    which = np.choose(a, np.arange(len(choices)), mode=mode)
    choices = [as_operand(x, "numpy.choose: a choice") for x in choices]
    shape = np.broadcast_shapes(*[x.shape for x in choices], np.shape(which))
    choices = [np.broadcast_to(x, shape) for x in choices]
    return take_along_axis(np.stack(choices), np.broadcast_to(which, shape)[None], 0)[0]
