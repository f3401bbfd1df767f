"""Views: how the core reads and writes the elements of a Variable that another one sees.

Primitive rows: take_view, write_view. Where a view's elements are is a *place*, in `static`: the
axes of the root that are its own (block axes pass in front), the layout of its memory, and offset,
shape and strides in that memory, counted in elements. So one form serves all that makes views, and
views of views. A layout is None for C order, or how many elements the memory has, and offset and
strides of the root in it: there may be gaps, as NumPy's strides have them.
"""

import math

import numpy as np

from fastbp._core import graph
from fastbp._core.compiled import Adds, memory_of, seen
from fastbp._core.graph import Variable
from fastbp.errors import NoRuleError
from fastbp.rules import batching, patterns
from fastbp.rules.table import general, linear


def _in_memory(x, own, layout):
    """Return the memory of the own axes of `x`, as one axis; a view if `x` is laid out so."""
    lead = x.shape[: x.ndim - own]
    if layout is None:
        return np.ascontiguousarray(x).reshape((*lead, -1) if x.size else (*lead, 0))
    size, offset, strides = layout
    if not lead and type(x) is np.ndarray:
        memory = memory_of(x, size, offset, strides)
        if memory is not None:
            return memory
    memory = np.zeros((*lead, size), x.dtype)
    if x.size:
        seen(memory, offset, x.shape[len(lead) :], strides)[...] = x
    return memory


def _take(x, own, layout, offset, shape, strides):
    if 0 in shape or not x.size:
        return np.empty(x.shape[: x.ndim - own] + shape, x.dtype)
    return seen(_in_memory(x, own, layout), offset, shape, strides)


def _write(x, *values, own, layout, places):
    """Return a copy of `x` with views' elements set, in the same order of memory."""
    if not x.size:
        return x.copy()
    memory = _in_memory(x, own, layout)
    if np.may_share_memory(memory, x):
        memory = memory.copy()
    for value, (offset, shape, strides) in zip(values, places, strict=True):
        if 0 not in shape:
            seen(memory, offset, shape, strides)[...] = value
    if layout is None:
        return memory.reshape(x.shape)
    return seen(memory, layout[1], x.shape[x.ndim - own :], layout[2])


def _write_vjp(g, needs, ans, x, *values, own, layout, places):
    parts = [None] * len(needs)
    if needs[0]:
        zeros = [ZERO] * len(places)
        parts[0] = write_op(g, *zeros, own=own, layout=layout, places=places)
    # In the order of memory once, not for every part: each part keeps what it is taken from.
    memory = None if isinstance(g, Variable) else _in_memory(g, own, layout)
    for k, (offset, shape, strides) in enumerate(places, 1):
        if needs[k] and memory is not None and 0 not in shape:
            parts[k] = seen(memory, offset, shape, strides)
        elif needs[k]:
            parts[k] = take_op(
                g, own=own, layout=layout, offset=offset, shape=shape, strides=strides
            )
    return tuple(parts)


def _write_jvp(tangents, ans, x, *values, own, layout, places):
    tx, *rest = tangents
    if tx is None:
        t, operand = next((t, v) for t, v in zip(rest, values, strict=True) if t is not None)
        tx = np.zeros(t.shape[: t.ndim - operand.ndim] + x.shape, ans.dtype)
    rest = [ZERO if t is None else t for t in rest]
    return write_op(tx, *rest, own=own, layout=layout, places=places)


def _untake(g, ans, x, own, layout, **place):
    zeros = np.zeros(g.shape[: g.ndim - ans.ndim] + x.shape, ans.dtype)
    return write_op(zeros, g, own=own, layout=layout, places=(tuple(place.values()),))


def _take_scatter(into, g, i, ans, x, own, layout, offset, shape, strides):
    place = {"offset": offset, "shape": shape, "strides": strides}
    if layout is not None:
        into += _untake(g, ans, x, own, layout, **place)
    elif 0 not in shape:
        part = seen(_in_memory(into, own, layout), **place)
        part += g


def _write_members(a):
    x, *values = a.operands
    x = x if a.mapped[0] else batching.spread(x, a.n)
    given = zip(values, a.mapped[1:], a.static["places"], strict=True)
    return a(x, *[batching.with_rank(v, 1 + len(p[1])) if mapped else v for v, mapped, p in given])


ZERO = np.zeros(())
take_op = linear("take_view", _take, _untake, compiled=Adds(_take_scatter), pattern=patterns.moves)
write_op = general(
    "write_view",
    _write,
    nin=-1,
    saves=(),
    jvp=_write_jvp,
    vjp=_write_vjp,
    writes=True,
    pattern=patterns.moves,
    batch=_write_members,
)


def view_taken(root, place):
    """Return the view of a Variable at a place, which may repeat elements along axes."""
    shape, strides = place["shape"], place["strides"]
    repeated = [n > 1 and not s and 0 not in shape for n, s in zip(shape, strides, strict=True)]
    once = tuple([1 if r else n for n, r in zip(shape, repeated, strict=True)])
    _check_apart(once, strides)
    view = take_op(root, **{**place, "shape": once})
    return np.broadcast_to(view, shape) if any(repeated) else view


def view_written(root, value, place):
    """Return the value of a Variable after a write into the view at a place."""
    _check_apart(place["shape"], place["strides"])
    where = (place["offset"], place["shape"], place["strides"])
    return write_op(root, value, own=place["own"], layout=place["layout"], places=(where,))


def _dot(a, b):
    return sum([x * y for x, y in zip(a, b, strict=True)])


def place_within(inner, outer):
    """Return where the elements at a place are among those at another one that contains them.

    Counted in the order in which those are written. None if their strides do not say.
    """
    shape, strides = outer["shape"], outer["strides"]
    unit = [math.prod(shape[k + 1 :]) for k in range(len(shape))]
    axes = sorted([(s, n, k) for k, (s, n) in enumerate(zip(strides, shape, strict=True)) if n > 1])
    if any([s <= 0 for s, _, _ in axes]):
        return None

    def along(distance):
        steps = [0] * len(shape)
        for s, _, k in reversed(axes):
            steps[k], distance = divmod(distance, s)
        return None if distance else steps

    start = along(inner["offset"] - outer["offset"])
    moves = [along(s) if s >= 0 else None for s in inner["strides"]]
    if start is None or None in moves:
        return None
    for k, n in enumerate(shape):
        last = start[k] + sum([m[k] * (i - 1) for m, i in zip(moves, inner["shape"], strict=True)])
        if last >= n:
            return None
    return {
        "own": len(shape),
        "layout": None,
        "offset": _dot(start, unit),
        "shape": inner["shape"],
        "strides": tuple([_dot(m, unit) for m in moves]),
    }


def _check_apart(shape, strides):
    """Raise if two elements of a view may be one of its root's: only a user's own rule makes it."""
    if 0 in shape:
        return
    reach = 0
    for stride, n in sorted([(abs(s), n) for s, n in zip(strides, shape, strict=True) if n > 1]):
        if stride <= reach:
            raise NoRuleError(
                f"a view of shape {shape} whose elements overlap cannot be used after its base was "
                "written into, nor be written into: use a copy"
            )
        reach += stride * (n - 1)


graph.bind("view_taken", view_taken)
graph.bind("view_written", view_written)
graph.bind("write_view", write_op)
graph.bind("place_within", place_within)
