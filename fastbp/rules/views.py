"""Views: how the core reads and writes the elements of a Variable that another one sees.

Primitive rows: take_view, write_view. Where a view's elements are is a *place*, in `static`: the
axes of the root that are its own (block axes pass in front), whether its memory is in Fortran's
order, and offset, shape and strides in that memory, counted in elements. So one form serves all
that makes views, and views of views.
"""

import numpy as np

from fastbp._core import graph
from fastbp.errors import NoRuleError
from fastbp.rules import patterns
from fastbp.rules.table import general, linear


def _in_memory(x, own, fortran):
    """Return the own axes of `x` in the order of its memory, as one; a view if they are in it."""
    lead = x.shape[: x.ndim - own]
    if fortran:
        x = x.transpose((*range(len(lead)), *range(x.ndim - 1, len(lead) - 1, -1)))
    return np.ascontiguousarray(x).reshape((*lead, -1) if x.size else (*lead, 0))


def _seen(memory, offset, shape, strides):
    """Return the view of a contiguous array, whose last axis is the memory."""
    size = memory.itemsize
    return np.ndarray(
        memory.shape[:-1] + shape,
        memory.dtype,
        memory,
        offset * size,
        memory.strides[:-1] + tuple([size * s for s in strides]),
    )


def _take(x, own, fortran, offset, shape, strides):
    if 0 in shape or not x.size:
        return np.empty(x.shape[: x.ndim - own] + shape, x.dtype)
    return _seen(_in_memory(x, own, fortran), offset, shape, strides)


def _write(x, value, own, fortran, offset, shape, strides):
    """Return a copy of `x` with the view's elements set, in the same order of memory."""
    if 0 in shape or not x.size:
        return x.copy()
    memory = _in_memory(x, own, fortran)
    if np.may_share_memory(memory, x):
        memory = memory.copy()
    _seen(memory, offset, shape, strides)[...] = value
    lead, inner = x.shape[: x.ndim - own], x.shape[x.ndim - own :]
    if not fortran:
        return memory.reshape(x.shape)
    nd = len(lead)
    backward = memory.reshape(lead + inner[::-1])
    return backward.transpose((*range(nd), *range(x.ndim - 1, nd - 1, -1)))


def _write_jvp(tangents, ans, x, value, **place):
    tx, tv = tangents
    if tx is None:
        tx = np.zeros(tv.shape[: tv.ndim - value.ndim] + x.shape, ans.dtype)
    return write_op(tx, 0.0 if tv is None else tv, **place)


def _untake(g, ans, x, **place):
    return write_op(np.zeros(g.shape[: g.ndim - ans.ndim] + x.shape, ans.dtype), g, **place)


def _push_here(t, tv, own, fortran, offset, shape, strides):
    memory = _in_memory(t, own, fortran)
    if 0 in shape or not np.may_share_memory(memory, t):
        return _write(t, 0.0 if tv is None else tv, own, fortran, offset, shape, strides)
    _seen(memory, offset, shape, strides)[...] = 0.0 if tv is None else tv
    return t


def _pull_here(g, needs, **place):
    by_value = np.array(_take(g, **place)) if needs[1] else None
    return _push_here(g, None, **place) if needs[0] else None, by_value


take_op = linear("take_view", _take, _untake, pattern=patterns.moves)
write_op = general(
    "write_view",
    _write,
    nin=2,
    saves=(),
    jvp=_write_jvp,
    vjp=(
        lambda g, ans, x, value, **place: write_op(g, 0.0, **place),
        lambda g, ans, x, value, **place: take_op(g, **place),
    ),
    overwrite=(_push_here, _pull_here),
    pattern=patterns.moves,
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
    return write_op(root, value, **place)


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
