"""Elements that a mask selects, where a record stands for many masks: all elements are computed.

How many elements ``x[mask]`` has depends on the values of the mask. What is computed from them
elementwise and put back, as by ``x[mask] *= 2``, does not: it is ``where(mask, 2 * x, x)``. The
record of one member of a batch notes what was selected, and computes that again, of all elements,
once it is put back. Elements that the mask leaves out are `LEFT_OUT` meanwhile: where functions
have finite slopes.
"""

import operator

import numpy as np

from fastbp._core import graph
from fastbp._core.links import are_alike
from fastbp._core.tape import Tape
from fastbp.rules import patterns

__all__ = ["everywhere", "note_selected", "over_all_axes"]

LEFT_OUT = 0.5
CALL = 2  # the kind of an operation without rules: any function
ELEMENTWISE = frozenset(
    [
        operator.gt, operator.ge, operator.lt, operator.le, operator.eq, operator.ne,
        operator.and_, operator.or_, operator.invert, np.astype, graph.cast_to,
    ]
)  # fmt: skip


def note_selected(mask, x, found):
    """Note that ``found = x[mask]`` was recorded, if who watches the record wants to know."""
    noted = getattr(graph.watching(), "selections", None)
    if noted is not None:
        noted.append((graph.handle_of(mask), graph.handle(x), graph.handle(found)))


def everywhere(mask, value, behind, first=True):
    """Return what is put at a mask as an array of all elements, or None.

    Parameters
    ----------
    mask : Passive
    value : Variable, Passive or ndarray
        Broadcasts to the elements selected, which have `behind` axes behind theirs.
    behind : int
    first : bool
        Whether the axis of those selected is the first one: of others nothing is noted.
    """
    nd = 1 + behind
    noted = getattr(graph.watching(), "selections", None)
    if not noted or not first or not (type(value) is graph.Variable or graph.is_passive(value)):
        return _unselected(value, nd, mask.ndim)
    tape = Tape([value], [found for _, _, found in noted], independent=True, keep=True)
    if tape.output_positions[0] < 0:
        return _unselected(value, nd, mask.ndim)
    ends = {}
    for (of, x, _), position in zip(noted, tape.input_positions, strict=True):
        if position >= 0 and position not in ends:
            if not are_alike(of, mask):
                return None
            ends[position] = of, x
    values = {p: _all_of(of, x) for p, (of, x) in ends.items()}
    for position, link in enumerate(tape.links()):
        if len(link.shape) != nd:
            return None
        if position in values:
            continue
        if not _is_elementwise(link):
            return None
        operands = _operands(link, values, nd, mask.ndim)
        if operands is None:
            return None
        if link.op.kind == CALL:
            values[position] = graph.passive_call(link.op.forward, *operands, **link.static)
        else:
            values[position] = link.op(*operands, **link.static)
    return values[tape.output_positions[0]]


def _all_of(mask, x):
    return np.where(over_all_axes(mask, x.ndim), x, LEFT_OUT)


def over_all_axes(mask, nd, at=0):
    """Return a mask of some of `nd` axes, from one on, to stand beside an array with all of them.

    The axes in front need no place.
    """
    behind = nd - at - mask.ndim
    return np.reshape(mask, mask.shape + (1,) * behind) if behind else mask


def _is_elementwise(link):
    op = link.op
    if op is None or link.output is not None:
        return False
    if op.kind == CALL:
        f = op.forward
        return f in ELEMENTWISE or (isinstance(f, np.ufunc) and f.signature is None)
    return op.partials is not None or op.pattern in (patterns.same, patterns.chooses)


def _operands(link, values, nd, axes):
    """Return the operands of an operation, of all elements; None if one has an axis of its own."""
    found = []
    for k, p in enumerate(link.parents):
        if p >= 0:
            found.append(values[p])
            continue
        x = link.operands[k] if link.fixed[k] else link.outer(k)
        x = _unselected(x, nd, axes)
        if x is None:
            return None
        found.append(x)
    return found


def _unselected(x, nd, axes):
    """Return what all elements selected have in common, beside all elements; None if it is not.

    The axis of those selected is the first of the last `nd`.
    """
    shape = np.shape(graph.array_of(x))
    if len(shape) < nd:
        return x
    at = len(shape) - nd
    return np.reshape(x, shape[:at] + (1,) * axes + shape[at + 1 :]) if shape[at] == 1 else None
