"""Indexing: reading and writing elements, and choosing between arrays."""

import math

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import Variable, values_of
from fastbp.errors import DTypeError
from fastbp.rules.structural import lead_of
from fastbp.rules.table import general, implements, linear, refuse

# An index in `static` begins with an Ellipsis and names all own axes of the operand, so block axes pass in front of it.
# `repeats`: whether the same element may be read twice.

FULL = [(slice(None),) * nd for nd in range(65)]
BASIC = frozenset([int, slice, type(None), type(...)])


def positions(shape, index):
    """Return where the elements of ``x[index]`` are in the flattened x, without making an array of x's size."""
    flat, stride = 0, 1
    for axis in range(len(shape) - 1, -1, -1):
        along = np.arange(shape[axis]) * stride
        flat = flat + np.broadcast_to(along.reshape((-1,) + (1,) * (len(shape) - 1 - axis)), shape)[index]
        stride *= shape[axis]
    return np.asarray(flat)


def add_at(into, index, g, repeats):
    """Add `g` to ``into[index]``, where an element may be named more than once."""
    if not repeats:
        if g.ndim == 0:
            into[index[1:]] += g[()]
        else:
            part = into[index]
            if part.base is None:
                into[index] += g
            else:
                part += g
    elif into.flags.c_contiguous:
        # NumPy has a fast loop for one-dimensional operands only.
        np.add.at(into.reshape(-1), positions(into.shape, index).reshape(-1), np.ravel(g))
    else:
        np.add.at(into, index, g)


def _put(g, shape, index, repeats, own):
    into = np.zeros(g.shape[: g.ndim - own] + shape, g.dtype)
    add_at(into, index, g, repeats)
    return into


getitem_op = linear(
    "getitem",
    lambda x, index, repeats: x[index],
    lambda g, ans, x, index, repeats: put_op(g, shape=x.shape, index=index, repeats=repeats, own=ans.ndim),
    scatter=lambda into, g, i, ans, x, index, repeats: add_at(into, index, g, repeats),
)
put_op = linear(
    "put",
    _put,
    lambda g, ans, x, shape, index, repeats, own: getitem_op(g, index=index, repeats=repeats),
)


def getitem(x, index):
    """Return ``x[index]``."""
    kind = type(index)
    if kind is int or kind is slice:
        nd = x.ndim
        if nd:
            return getitem_op(x, index=(..., index, *FULL[nd - 1]), repeats=False)
        return x.value[index]  # raises
    if kind is not tuple:
        index = (index,)
    for item in index:
        if type(item) not in BASIC:
            return _advanced(x, index)
    return getitem_op(x, index=_whole(x.value, index), repeats=False)


def _whole(value, index):
    """Bring a basic index to the form that `static` keeps."""
    rest = value.ndim - len(index) + index.count(None)
    if ... in index:
        at = index.index(...)
        rest += 1
        if rest >= 0:
            index = (*index[:at], *FULL[rest], *index[at + 1:])
        rest = 0 if rest >= 0 else rest
    if rest < 0:
        raise IndexError(f"too many indices: {index} for an array of {value.ndim} axes")
    return (..., *index, *FULL[rest])


def _advanced(x, index):
    """Record an index with arrays in it."""
    index = [_item(item) for item in index]
    if all([type(item) in BASIC for item in index]):
        return getitem(x, tuple(index))
    index, repeats, joined = _gather_index(x.shape, index)
    if joined:
        return getitem_op(x, index=(..., *index), repeats=repeats)
    # NumPy moves the axes of separated arrays to the front, which block axes would upset: name elements, not axes.
    flat = positions(x.shape, tuple(index))
    return getitem_op(x.reshape(x.size), index=(..., flat), repeats=repeats)


def _gather_index(shape, index):
    """Name every axis in an index with arrays, and masks by the positions of their true elements.

    Returns the index, whether it may name an element twice, and whether its arrays and integers are neighbours.
    """
    named = sum([0 if item is None or item is ... else item.ndim if _is_mask(item) else 1 for item in index])
    rest = len(shape) - named
    ellipses = [k for k, item in enumerate(index) if item is ...]
    if rest < 0 or len(ellipses) > 1:
        raise IndexError(f"getitem: an index for {named} axes and {len(ellipses)} ellipses for an array of shape {shape}")
    at = ellipses[0] if ellipses else len(index)
    index = [*index[:at], *FULL[rest], *index[at + 1:]]
    whole, places, repeats, axis = [], [], False, 0
    for item in index:
        if isinstance(item, (np.ndarray, int)):
            places.append(len(whole))
        if _is_mask(item):
            own = shape[axis: axis + item.ndim]
            if item.shape != own:
                raise IndexError(f"getitem: a boolean index of shape {item.shape} for axes of shape {own}")
            axis += item.ndim
            if item.ndim == 0:
                places.append(-2)  # adds an axis in a place of its own
                whole.append(item)
            else:
                whole += item.nonzero()
                places += range(places[-1] + 1, len(whole))
            continue
        repeats = repeats or isinstance(item, np.ndarray)
        axis += item is not None
        whole.append(item)
    return whole, repeats, places == [*range(places[0], places[0] + len(places))]


def _is_mask(item):
    return isinstance(item, np.ndarray) and item.dtype == bool


def _item(item):
    """Return a copy of an array in an index, which the caller may change later; an integer as an int."""
    if type(item) in BASIC:
        return item
    if isinstance(item, Variable):
        raise DTypeError(f"getitem: an index of dtype {item.dtype}: a Variable is no index, use x.value.astype(int)")
    array = np.array(item)
    if array.size == 0 and not isinstance(item, np.ndarray):
        array = array.astype(np.intp)
    if array.ndim == 0 and array.dtype.kind in "iu":
        return int(array)
    if array.dtype.kind not in "iub":
        raise IndexError(f"getitem: an index of dtype {array.dtype}: integers, booleans and slices are indices")
    return array


graph.bind("getitem", getitem)


# ---- choosing


def _spread_axes(t, operand, ans):
    """Make a tangent of `operand` broadcast against the answer: its block axes in front of all axes of the answer."""
    lead = t.ndim - operand.ndim
    if not lead or operand.ndim == ans.ndim:
        return t
    return t.reshape(t.shape[:lead] + (1,) * (ans.ndim - operand.ndim) + operand.shape)


def _where_jvp(tangents, ans, c, x, y):
    tx, ty = [0.0 if t is None else _spread_axes(t, operand, ans) for t, operand in zip(tangents[1:], (x, y), strict=True)]
    return np.where(c, tx, ty)


where_op = general(
    "where", np.where, nin=3, saves=(0,),
    vjp=lambda g, needs, ans, c, x, y: (
        None, np.where(c, g, 0.0) if needs[1] else None, np.where(c, 0.0, g) if needs[2] else None),
    jvp=_where_jvp,
)


@implements(np.where, samples=lambda rng: [
    ((rng.normal(size=(2, 3)) > 0, rng.normal(size=(2, 3)), rng.normal(size=3)), {}),
    ((np.array([[True], [False]]), rng.normal(size=()), rng.normal(size=3)), {}),
    ((True, rng.normal(size=(2, 3)), 1.0), {}),
    ((np.array([0, 2]), 1.0, rng.normal(size=2)), {}),
])
def where(condition, x=None, y=None, /):
    """Arguments as in `numpy.where`.

    Notes
    -----
    A condition that is a Variable is read for its values. The cotangent goes to the branch taken, and nothing at all to the
    other one, so a NaN there stays there. With one argument: the indices of the nonzero values.
    """
    condition = values_of(condition)
    if x is None and y is None:
        return np.where(condition)
    if x is None or y is None:
        raise ValueError("numpy.where: either both or neither of x and y should be given")
    x, y = _same_dtype(x, y)
    return where_op(np.asarray(condition, bool), x, y)


def _same_dtype(x, y):
    """Bring two operands to the dtype that NumPy promotes them to; a Python number takes the other's dtype."""
    if isinstance(x, Variable) and type(y) in (int, float):
        return x, np.asarray(y, x.dtype)
    if isinstance(y, Variable) and type(x) in (int, float):
        return np.asarray(x, y.dtype), y
    return x, y
