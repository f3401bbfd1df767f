"""Indexing: reading and writing elements, and choosing between arrays.

Primitive rows: getitem and its transpose put, setitem, where. An index in their `static` begins
with an Ellipsis and names all own axes of the operand, so that block axes pass in front of it;
`repeats` says that it may name an element twice.
"""

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastbp._core import graph
from fastbp._core.graph import Variable, values_of
from fastbp._core.operands import as_array
from fastbp.errors import DTypeError, ShapeError
from fastbp.rules import patterns
from fastbp.rules.structural import as_operand
from fastbp.rules.table import general, implements, linear, refuse

FULL = [(slice(None),) * nd for nd in range(65)]
FEW = 256  # so many float32 in a row lose no more than the blocks of a pairwise sum
BASIC = frozenset([int, slice, type(None), type(...)])


# ---- the primitives


def positions(shape, index):
    """Return where the elements of ``x[index]`` are in the flattened x.

    The sum of what each axis contributes: in time of the number of elements, not of the size of x.
    """
    items = list(index)
    if items and items[0] is ...:
        items[:1] = FULL[len(shape) - sum(map(_names_axis, items[1:]))]
    places = [k for k, item in enumerate(items) if _names_axis(item)]
    units = [_on_unit_axis(item) for item in items]
    flat, stride = 0 if shape else np.zeros((), np.intp)[tuple(items)], 1
    for axis in range(len(shape) - 1, -1, -1):
        k, n = places[axis], shape[axis]
        along = np.arange(n).reshape([-1 if j == axis else 1 for j in range(len(shape))])
        flat = flat + stride * along[(*units[:k], items[k], *units[k + 1 :])]
        stride *= n
    return np.asarray(flat)


def _names_axis(item):
    return item is not None and not _is_mask(item)


def _on_unit_axis(item):
    """Return an item like the given one for an axis of length one."""
    if isinstance(item, np.ndarray):
        return item if _is_mask(item) else np.zeros((1,) * item.ndim, np.intp)
    return 0 if isinstance(item, int) else None if item is None else slice(None)


def add_at(into, index, g, repeats):
    """Add `g` to ``into[index]``; `into` is contiguous."""
    if repeats:
        _add_repeated(into.reshape(-1), positions(into.shape, index).reshape(-1), g.reshape(-1))
    elif g.ndim == 0:
        into[index[1:]] += g[()]  # scalars, not 0-d arrays: faster
    else:
        into[index] += g


def _add_repeated(into, places, g):
    """Add numbers, all one-dimensional; many of float32 in float64, and rounded once."""
    if g.dtype != np.float32 or places.size <= FEW:
        # NumPy's loop for one-dimensional operands is much faster than that for others.
        np.add.at(into, places, g)
    elif into.size <= 8 * places.size:
        into += np.bincount(places, g, into.size).astype(np.float32)
    else:
        places, which = np.unique(places, return_inverse=True)
        into[places] += np.bincount(which, g).astype(np.float32)


def _put(g, shape, index, repeats, own):
    into = np.zeros(g.shape[: g.ndim - own] + shape, g.dtype)
    add_at(into, index, g, repeats)
    return into


getitem_op = linear(
    "getitem",
    lambda x, index, repeats: x[index],
    lambda g, ans, x, index, repeats: put_op(
        g, shape=x.shape, index=index, repeats=repeats, own=ans.ndim
    ),
    scatter=lambda into, g, i, ans, x, index, repeats: add_at(into, index, g, repeats),
    pattern=patterns.moves,
)
put_op = linear(
    "put",
    _put,
    lambda g, ans, x, shape, index, repeats, own: getitem_op(g, index=index, repeats=repeats),
    pattern=patterns.puts,
)


def _set(x, value, index):
    x = x.copy()
    x[index] = value
    return x


def _set_jvp(tangents, ans, x, value, index):
    tx, tv = tangents
    if tx is None:
        tx = np.zeros(tv.shape[: tv.ndim - value.ndim] + x.shape, ans.dtype)
    return set_op(tx, 0.0 if tv is None else tv, index=index)


set_op = general(
    "setitem",
    _set,
    nin=2,
    saves=(),
    jvp=_set_jvp,
    vjp=(
        lambda g, ans, x, value, index: set_op(g, 0.0, index=index),
        lambda g, ans, x, value, index: getitem_op(g, index=index, repeats=False),
    ),
    writes=True,
    pattern=patterns.moves,
)

# ---- x[index]


def getitem(x, index):
    """Return ``x[index]``: a view for a basic index, except that an element is a scalar."""
    kind = type(index)
    if kind is int or kind is slice:
        nd = x.ndim
        if nd:
            found = getitem_op(x, index=(..., index, *FULL[nd - 1]), repeats=False)
            return graph.owned(found) if nd == 1 and kind is int else found
    given = index if kind is tuple else (index,)
    index, repeats, neighbours = _whole(x.shape, given)
    if neighbours:
        found = getitem_op(x, index=index, repeats=repeats)
        if found.ndim == 0 and not any([item is ... for item in given]):
            return graph.owned(found)
        return found
    return getitem_op(x.reshape(x.size), index=(..., positions(x.shape, index)), repeats=repeats)


def _whole(shape, index):
    """Bring an index to the form that `static` keeps.

    Returns the index, whether it may name an element twice, and whether its arrays (if any) are
    neighbours. If not, NumPy moves their axes to the front, where block axes have to be; then the
    caller must name elements, not axes.
    """
    for item in index:
        if type(item) not in BASIC:
            return _whole_with_arrays(shape, [_item(item) for item in index])
    named = len(index) - index.count(None)
    if ... in index:
        at = index.index(...)
        rest = len(shape) - named + 1
        _check(shape, named - 1, index.count(...))
        return (..., *index[:at], *FULL[rest], *index[at + 1 :]), False, True
    _check(shape, named, 0)
    return (..., *index, *FULL[len(shape) - named]), False, True


def _check(shape, named, ellipses):
    if named > len(shape):
        raise IndexError(f"too many indices: {named} for an array of shape {shape}")
    if ellipses > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")


def _item(item):
    """Return an integer as an int, and a copy of an array, which the caller may change later."""
    if type(item) in BASIC:
        return item
    if isinstance(item, Variable):
        raise DTypeError(
            "an index has to be of integers or booleans, not a Variable of dtype "
            f"{item.dtype}: use its value"
        )
    array = np.array(item)
    if array.size == 0 and not isinstance(item, np.ndarray):
        array = array.astype(np.intp)
    if array.dtype.kind not in "iub":
        raise IndexError(f"an index has to be of integers or booleans, not of dtype {array.dtype}")
    return int(array) if array.ndim == 0 and array.dtype.kind != "b" else array


def _is_mask(item):
    return isinstance(item, np.ndarray) and item.dtype.kind == "b"


def _whole_with_arrays(shape, index):
    named = sum(
        [item.ndim if _is_mask(item) else item is not None and item is not ... for item in index]
    )
    ellipses = [k for k, item in enumerate(index) if item is ...]
    _check(shape, named, len(ellipses))
    at = ellipses[0] if ellipses else len(index)
    index = [*index[:at], *FULL[len(shape) - named], *index[at + 1 :]]
    whole, arrays, repeats, axis = [], [], False, 0  # arrays: where they are in `whole`
    for item in index:
        own, start = [item], len(whole)
        if _is_mask(item):
            if item.shape != shape[axis : axis + item.ndim]:
                raise IndexError(
                    f"a boolean index of shape {item.shape} does not fit axis {axis} "
                    f"of shape {shape}"
                )
            axis += item.ndim
            own = item.nonzero() if item.ndim else own
        else:
            repeats = repeats or isinstance(item, np.ndarray)
            axis += item is not None
        whole += own
        if isinstance(item, (np.ndarray, int)):
            arrays += range(start, len(whole))
    neighbours = arrays == [*range(arrays[0], arrays[-1] + 1)] if arrays else True
    neighbours = neighbours and not any([_is_mask(item) for item in whole])  # True adds an axis
    return (..., *whole) if neighbours else tuple(whole), repeats, neighbours


graph.bind("getitem", getitem)

# ---- x[index] = value


def setitem(x, index, value):
    """Return a copy of `x` with ``copy[index] = value``; of values for the same element, the last.

    Notes
    -----
    The cotangent at the elements assigned goes to `value`, the rest to `x`. Costs a copy of `x`.
    """
    index, repeats, neighbours = _whole(x.shape, index if type(index) is tuple else (index,))
    shape = x.value[index].shape
    value = _fitted(value, shape)
    if neighbours and not repeats:
        return set_op(x, value, index=index)
    flat = positions(x.shape, index).reshape(-1)
    value = np.broadcast_to(value, shape).reshape(flat.size)
    writer = np.empty(x.size, np.intp)
    writer[flat] = np.arange(flat.size)
    last = np.flatnonzero(writer[flat] == np.arange(flat.size))
    if last.size < flat.size:
        flat, value = flat[last], value[last]
    return set_op(x.reshape(x.size), value, index=(..., flat)).reshape(x.shape)


def _fitted(value, shape):
    """Broadcast a value to the shape assigned to; like NumPy, drop leading axes of length one."""
    value = as_operand(value, "setitem: the value")
    extra = value.ndim - len(shape)
    if extra > 0 and value.shape[:extra] == (1,) * extra:
        value = value.reshape(value.shape[extra:])
    if value.shape == shape:
        return value
    try:
        return np.broadcast_to(value, shape)
    except ValueError:
        raise ShapeError(
            f"setitem: a value of shape {value.shape} does not broadcast to the shape "
            f"{shape} that is assigned to"
        ) from None


def _set_flat(x, index, value):
    """Return a copy of `x` with ``copy.flat[index] = value``; as in NumPy, values repeat."""
    where = np.arange(x.size)[index]
    value = np.ravel(as_operand(value, "flat: the value"))
    if value.size > 1:
        value = take(value, np.arange(where.size) % value.size).reshape(where.shape)
    return setitem(x.reshape(x.size), index, value).reshape(x.shape)


graph.bind("setitem", setitem)
graph.bind("fitted", _fitted)
graph.bind("set_flat", _set_flat)

# ---- functions that index


@implements(
    np.take,
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
    indices = _item(indices)
    if _is_mask(indices):
        indices = indices.astype(np.intp)
    if mode == "wrap":
        indices = indices % a.shape[axis]
    elif mode == "clip":
        indices = np.clip(indices, 0, a.shape[axis] - 1)
    elif mode != "raise":
        raise ValueError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    return graph.owned(getitem(a, (*FULL[axis], indices)))


def _along(a, axis):
    return (np.ravel(a), 0) if axis is None else (a, normalize_axis_index(axis, a.ndim))


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
    indices = _item(indices)
    np.take_along_axis(arr.value, indices, axis)  # raises where NumPy does
    arr, axis = _along(arr, axis)
    grid = list(np.indices(arr.shape, sparse=True))
    grid[axis] = indices
    return getitem(arr, tuple(grid))


@implements(
    np.compress,
    samples=lambda rng: [
        (([True, False, True], rng.normal(size=(2, 3))), {"axis": 1}),
        ((np.array([0, 1, 1]), rng.normal(size=(2, 3))), {}),
    ],
)
def compress(condition, a, axis=None, out=None):
    """Arguments as in `numpy.compress`; out= is refused."""
    refuse("compress", out=(out, None))
    condition = as_array(values_of(condition), "numpy.compress: the condition")
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
    return np.take(np.ravel(arr), np.flatnonzero(values_of(condition)))


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
    saves=(0,),
    jvp=_where_jvp,
    vjp=(
        None,
        lambda g, ans, condition, x, y: np.where(condition, g, 0.0),
        lambda g, ans, condition, x, y: np.where(condition, 0.0, g),
    ),
    coefficients="fixed",
    pattern=patterns.chooses,
)


@implements(
    np.where,
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
    condition = as_array(values_of(condition), "numpy.where: the condition")
    if x is None and y is None:
        return np.where(condition)
    if x is None or y is None:
        raise ValueError("either both or neither of x and y should be given")
    # A Python number does not promote float32.
    if type(x) in (int, float) and not isinstance(y, (int, float)):
        x = np.asarray(x, np.result_type(x, values_of(y)))
    elif type(y) in (int, float) and not isinstance(x, (int, float)):
        y = np.asarray(y, np.result_type(y, values_of(x)))
    if isinstance(x, Variable) or isinstance(y, Variable):
        return where_op(np.asarray(condition, bool), x, y)
    return np.where(condition, x, y)


@implements(
    np.select,
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
    conditions = [as_array(values_of(c), "numpy.select: a condition") for c in condlist]
    choicelist = [as_operand(x, "numpy.select: a choice") for x in choicelist]
    # NumPy tells the dtype, and raises.
    dtype = np.select(conditions, values_of(list(choicelist)), values_of(default)).dtype
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
    choices = np.broadcast_arrays(*choices, which)[:-1]
    return take_along_axis(np.stack(choices), np.broadcast_to(which, choices[0].shape)[None], 0)[0]
