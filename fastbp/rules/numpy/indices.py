"""What an index names: axes, elements, places along axes.

An index without arrays is brought to one form, which begins with an Ellipsis and names all own axes
of the operand, so that block axes pass in front of it. One with arrays comes apart into an index
without, and places along one axis, into which the axes of the arrays are merged.
"""

import math
from itertools import accumulate, chain
from typing import NamedTuple

import numpy as np

from fastbp._core.graph import Variable
from fastbp._core.places import counted_from_front
from fastbp.errors import DTypeError

FULL = [(slice(None),) * nd for nd in range(65)]
BASIC = frozenset([int, slice, type(None), type(...)])


def whole(shape, index):
    """Return an index without arrays in the form that `static` keeps; None if it has arrays."""
    for item in index:
        if type(item) not in BASIC:
            return None
    named = len(index) - index.count(None)
    if ... in index:
        at = index.index(...)
        rest = len(shape) - named + 1
        _check(shape, named - 1, index.count(...))
        return (..., *index[:at], *FULL[rest], *index[at + 1 :])
    _check(shape, named, 0)
    return (..., *index, *FULL[len(shape) - named])


def _check(shape, named, ellipses):
    if named > len(shape):
        raise IndexError(f"too many indices: {named} for an array of shape {shape}")
    if ellipses > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")


def plain(item):
    """Return an item of an index with integers as ints, and sequences as arrays."""
    if type(item) in BASIC:
        return item
    if isinstance(item, Variable):
        raise DTypeError(
            "an index has to be of integers or booleans, not a Variable of dtype "
            f"{item.dtype}: use its value"
        )
    array = np.asarray(item)
    if array.size == 0 and not isinstance(item, np.ndarray):
        array = array.astype(np.intp)
    if array.dtype.kind not in "iub":
        raise IndexError(f"an index has to be of integers or booleans, not of dtype {array.dtype}")
    return int(array) if array.ndim == 0 and array.dtype.kind != "b" else array


def is_mask(item):
    """Say whether an item of an index is an array of booleans."""
    return isinstance(item, np.ndarray) and item.dtype.kind == "b"


class Apart(NamedTuple):
    """An index with arrays, taken apart.

    ``x[index]`` is ``x[basic]`` with `merged` axes from the axis `at` on as one, of which `places`
    are taken. `basic` is None for all of x; `shape` is that of ``x[index]``. Where NumPy moves the
    axes of arrays to the front, since they are no neighbours, the places are those of elements: all
    axes are merged.
    """

    basic: tuple | None
    at: int
    merged: int
    places: np.ndarray
    shape: tuple


def apart(shape, index, elements=False):
    """Take an index with arrays apart; with `elements`, never into one with a basic part.

    An index whose arrays turn out to be single integers is returned in the form of `whole`.
    """
    items = [plain(item) for item in index]
    found = whole(shape, tuple(items))
    if found is not None:
        return found
    named = sum(map(_axes, items))
    _check(shape, named, sum([item is ... for item in items]))
    if not any([item is ... for item in items]):
        items.append(...)
    counts = [len(shape) - named if item is ... else _axes(item) for item in items]
    starts = list(accumulate(counts, initial=0))
    # Single integers count as arrays beside arrays.
    arrays = [k for k, item in enumerate(items) if isinstance(item, (int, np.ndarray))]
    for k in arrays:
        items[k] = _fitting(shape, items[k], starts[k])
    if len(arrays) > 1 and any([_takes_nothing(items[k]) for k in arrays]):
        # NumPy does not look whether the other arrays are in bounds.
        taken = np.broadcast_to(np.False_, shape)[tuple(items)].shape
        return Apart(None, 0, len(shape), np.empty(taken, np.intp), taken)
    parts = [
        FULL[count] if item is ... or k in arrays else (item,)
        for k, (item, count) in enumerate(zip(items, counts, strict=True))
    ]
    basic = None if all([part == FULL[len(part)] for part in parts]) else (..., *chain(*parts))
    neighbours = arrays == [*range(arrays[0], arrays[-1] + 1)]
    if not neighbours or (elements and basic is not None):
        places = positions(shape, items, counts)
        return Apart(None, 0, len(shape), places, places.shape)
    at = sum(map(len, parts[: arrays[0]]))
    merged = sum([counts[k] for k in arrays])
    places = _places(shape, [(items[k], starts[k], counts[k]) for k in arrays])
    seen = shape if basic is None else np.broadcast_to(np.False_, shape)[basic].shape
    shape = seen[:at] + places.shape + seen[at + merged :]
    return Apart(basic, at, merged, places, shape)


def _axes(item):
    """Return how many axes an item names; an Ellipsis by itself none."""
    return item.ndim if is_mask(item) else int(item is not None and item is not ...)


def _takes_nothing(item):
    return isinstance(item, np.ndarray) and not (item.any() if is_mask(item) else item.size)


def _fitting(shape, item, axis):
    """Return an item, a mask in the shape of its axes; one of no length takes nothing of any."""
    if not is_mask(item):
        return item
    own = shape[axis : axis + item.ndim]
    if any([m not in (n, 0) for m, n in zip(item.shape, own, strict=True)]):
        raise IndexError(
            f"a boolean index of shape {item.shape} does not fit axis {axis} of shape {shape}"
        )
    return item if item.shape == own else np.zeros(own, bool)


def _places(shape, arrays):
    """Return the places that neighbours, (item, first axis, axes) each, name along one axis."""
    found = None
    for item, axis, count in arrays:
        size = math.prod(shape[axis : axis + count])
        mask = is_mask(item)
        along = np.flatnonzero(item) if mask else counted_from_front(item, size, axis)
        try:
            found = along if found is None else found * size + along
        except ValueError:
            raise IndexError(
                "shape mismatch: indexing arrays could not be broadcast together with shapes "
                f"{found.shape} {along.shape}"
            ) from None
    return found


def positions(shape, items, counts):
    """Return where the elements of ``x[items]`` are in the flattened x.

    `counts` says how many axes the items name. The sum of what each axis contributes: in time of
    the number of elements, not of the size of x.
    """
    spelled = []
    for item, count in zip(items, counts, strict=True):
        if item is ...:
            spelled += (..., *FULL[count])  # it parts arrays, even where it stands for no axis
        else:
            spelled += item.nonzero() if is_mask(item) and count else [item]
    named = [k for k, item in enumerate(spelled) if _axes(item)]
    units = [_on_unit_axis(item) for item in spelled]
    flat, stride = 0 if shape else np.zeros((), np.intp)[tuple(spelled)], 1
    for axis in range(len(shape) - 1, -1, -1):
        k, n = named[axis], shape[axis]
        along = np.arange(n).reshape([-1 if j == axis else 1 for j in range(len(shape))])
        flat = flat + stride * along[(*units[:k], spelled[k], *units[k + 1 :])]
        stride *= n
    return np.asarray(flat)


def _on_unit_axis(item):
    """Return an item like the given one for an axis of length one."""
    if isinstance(item, np.ndarray):
        return item if is_mask(item) else np.zeros((1,) * item.ndim, np.intp)
    return 0 if isinstance(item, int) else item if item in (None, ...) else slice(None)
