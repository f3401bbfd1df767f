"""From a record to the instructions of a plan.

Values only: a record of a gradient has its sweep, so nothing here knows derivatives. How an
operation is computed follows from its row: elementwise ones are traced into regions, those that
move elements are applied to numbers of places, others say it by ``plan=`` (`fastbp.rules.plans`).
What says nothing is called.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp._core import graph
from fastbp.compiling import passive
from fastbp.compiling.builder import Builder, grid, shown_by
from fastbp.compiling.folding import same, with_numbers
from fastbp.compiling.steps import Applied, Call, Copy, Pick, Step
from fastbp.compiling.sums import Waiting, is_movable
from fastbp.compiling.values import Storage, Value, strides_of
from fastbp.rules import patterns, plans

__all__ = ["as_value", "lower", "lower_links"]

ELEMENTWISE, GENERAL, CALL = 0, 1, 2
_WORTH_PICKING = 64  # elements


def _span(x: Value) -> Value:
    """Return the memory from the first byte of an array to its last, as elements side by side."""
    item = x.dtype.itemsize
    if x.size == 0:
        return x.view((0,), x.offset, (item,))
    reach = [step * (n - 1) for n, step in zip(x.shape, x.strides, strict=True)]
    first, last = (sum([f(step, 0) for step in reach]) for f in (min, max))
    return x.view(((last - first) // item + 1,), x.offset + first, (item,))


def _numbers(x: Value, span: Value) -> np.ndarray:
    """Return for each element its place in the span of an array, from 1."""
    item = x.dtype.itemsize
    numbers = np.arange(1, span.size + 1)
    return np.lib.stride_tricks.as_strided(
        numbers[(x.offset - span.offset) // item :],
        x.shape,
        [s // item * numbers.itemsize for s in x.strides],
        writeable=False,
    )


def lower(
    links: Sequence[Any], inputs: Sequence[int], outputs: Sequence[int]
) -> tuple[Builder, list[Value | None], list[Value]]:
    """Return the instructions for a record.

    Parameters
    ----------
    links : sequence of Link
        Of a tape that keeps everything.
    inputs, outputs : sequence of int
        Positions of its ends.

    Returns
    -------
    Builder
        With the steps, not yet laid out.
    list of Value or None, list of Value
        The inputs, None for one that nothing is computed from, and the outputs.
    """
    b = Builder()
    values: dict[int, Value] = {}
    given: list[Value | None] = []
    for number, position in enumerate(inputs):
        if position < 0:
            given.append(None)
            continue
        link = links[position]
        nbytes = math.prod(link.shape) * link.dtype.itemsize
        x = Value(Storage("input", nbytes, number), link.shape, link.dtype)
        if position not in values:
            values[position] = x
        given.append(values[position])
    lower_links(b, links, values, outputs)
    return b, given, [b.boolean(b.read(values[p])) for p in outputs]


def lower_links(
    b: Builder, links: Sequence[Any], values: dict[int, Value], outputs: Sequence[int]
) -> None:
    """Append the instructions for links; `values` has those of inputs, and gets all others."""
    joint: dict[Any, Any] = {}
    known: dict[Any, Value] = {}
    readers = _readers(links, outputs)
    groups = _groups(links)
    for position, link in enumerate(links):
        if link.op is None or position in values:
            continue
        key = _key(link, values) if "common" in b.passes else None
        if key is not None and key in known and known[key].position >= -1:
            values[position] = y = known[key]
            y.position = -1  # it has readers of more than one operation
            continue
        operands = [
            values[p] if p >= 0 else x for p, x in zip(link.parents, link.operands, strict=True)
        ]
        waiting = _waiting_sum(b, link, operands, readers)
        if waiting is None:
            operands = [b.read(x) if isinstance(x, Value) else x for x in operands]
            y = _placed(b, position, link, operands, joint, groups)
        else:
            y = waiting
        if not any(y is x for x in operands):
            y.position = position
        values[position] = y
        if key is not None:
            known[key] = y


def _placed(
    b: Builder,
    position: int,
    link: Any,
    operands: list[Any],
    joint: dict[Any, Any],
    groups: dict[Any, list[Any]],
) -> Value:
    home = b.home(operands)
    block = _block_of(link)
    b.position, home.position = position, position if home is b else -1
    if block is None:
        y = _lowered(home, link, operands, joint)
    else:
        y = _in_block(home, block, link, operands, joint, groups)
    b.take(y, home)
    return y


def _block_of(link: Any) -> Any:
    """Return the loop or branch that an operation is, or None."""
    op = link.op
    if op.kind == CALL and isinstance(op.forward, graph.Op):
        op = op.forward  # of values without derivative
    return op.info.get("block")


def _operation(block: Any, link: Any) -> Any:
    constants = [
        (x.shape, x.dtype, x.tobytes()) if isinstance(x, np.ndarray) and x.nbytes <= 4096 else id(x)
        for p, x in zip(link.parents, link.operands, strict=True)
        if p < 0
    ]
    return id(block.root), link.parents, tuple(constants)


def _groups(links: Sequence[Any]) -> dict[Any, list[Any]]:
    """Return blocks that differ in their outputs only: they are made at once."""
    groups: dict[Any, list[Any]] = {}
    for link in links:
        block = None if link.op is None else _block_of(link)
        if block is not None:
            own = groups.setdefault(_operation(block, link), [])
            if not any(block is other for other in own):
                own.append(block)
    return groups


def _in_block(
    b: Builder,
    block: Any,
    link: Any,
    operands: list[Any],
    joint: dict[Any, Any],
    groups: dict[Any, list[Any]],
) -> Value:
    key = _operation(block, link)
    if key not in joint:
        joint[key] = block.lowered(b, operands, groups[key])
    number = next(k for k, other in enumerate(groups[key]) if other is block)
    y: Value = b.read(joint[key][number][link.output or 0])
    return y


def as_value(b: Builder, x: Any, dtype: Any) -> Value:
    """Return an operand as a value."""
    return b.read(x) if isinstance(x, Value) else b.constant(np.asarray(x, dtype))


def _readers(links: Sequence[Any], outputs: Sequence[int]) -> list[int]:
    """Return how many operations read each one, and the caller."""
    readers = [0] * len(links)
    for link in links:
        for p in link.parents:
            if p >= 0:
                readers[p] += 1
    for p in outputs:
        if p >= 0:
            readers[p] += 1
    return readers


def _waiting_sum(
    b: Builder, link: Any, operands: list[Any], readers: Sequence[int]
) -> Value | None:
    """Return a sum that waits, where one of its operands does and is read by nobody else."""
    op = link.op
    if op.kind != ELEMENTWISE or op.forward is not np.add or op.kernel:
        return None
    if not all(
        isinstance(x, Value) and x.shape == link.shape and x.dtype == link.dtype for x in operands
    ):
        return None
    own = [
        x.waiting is not None and x.position == p and readers[p] == 1
        for x, p in zip(operands, link.parents, strict=True)
    ]
    if not any(own):
        return None
    y = b.new(link.shape, link.dtype)
    y.waiting = Waiting()
    for x, alone in zip(operands, own, strict=True):
        y.waiting.take(x if alone else b.read(x))
        if alone:
            x.position = -2  # it is never made: nobody else may take it for his own
    return y


def _key(link: Any, values: dict[int, Value]) -> Any:
    """Return what is equal for equal operations on equal operands."""
    parts: list[Any] = [id(link.op), link.output]
    for p, x in zip(link.parents, link.operands, strict=True):
        if p >= 0:
            v = values[p]
            parts.append(id(v))
        elif isinstance(x, bool | int | float | complex):
            parts.append((type(x), str(x)))
        elif isinstance(x, np.ndarray | np.generic) and x.size <= 16 and x.dtype.kind in "fcbiu":
            parts.append((x.shape, x.dtype, x.tobytes()))
        else:
            return None
    if link.static:
        setting = _setting(link)
        if setting is None:
            return None
        parts.append(setting)
    return tuple(parts)


def _setting(link: Any) -> Any:
    """Return what is equal for equal settings of one operation; None: nothing is."""
    static = link.static
    if not static:
        return id(link.op), ""
    if not all(map(_is_plain, static.values())):
        return None
    return id(link.op), repr(static if len(static) == 1 else sorted(static.items()))


_PLAIN = (int, float, bool, str, type(None), type(...), np.dtype)


def _is_plain(x: Any) -> bool:
    """Say whether a setting is all in what `repr` writes of it."""
    if isinstance(x, tuple):
        return all(map(_is_plain, x))
    if isinstance(x, slice):
        return all(map(_is_plain, (x.start, x.stop, x.step)))
    return type(x) in _PLAIN or isinstance(x, np.dtype)


def _lowered(b: Builder, link: Any, operands: list[Any], joint: dict[Any, Any]) -> Value:
    op = link.op
    if op.kind == CALL and isinstance(op.forward, graph.Op):
        op = op.forward  # of values without derivative
    y = None
    if link.output is not None:
        y = _output(b, op, link, operands, joint)
    else:
        if op.kind == ELEMENTWISE:
            y = _elementwise(b, op, link, operands)
        elif op.kind == CALL and op.forward is graph.identity:
            y = operands[0]
        elif op.kind == CALL:
            y = passive.lowered(b, link, operands)
        else:
            if op.info.get("plan") is not None:
                y = _planned(b, op, link, operands)
            if y is None and op.pattern is patterns.moves:
                y = _moved(b, op, link, operands)
    if y is not None and y.shape == link.shape and _has_dtype(y, link.dtype):
        return y
    operands = [b.boolean(x) if isinstance(x, Value) else x for x in operands]
    return _called(b, link, operands, joint)


def _has_dtype(y: Value, dtype: Any) -> bool:
    if y.mask:
        return bool(dtype.kind == "b")
    return dtype is y.dtype or bool(dtype == y.dtype)


def _elementwise(b: Builder, op: Any, link: Any, operands: list[Any]) -> Value | None:
    if op.forward is np.positive and not op.kernel:
        return operands[0] if isinstance(operands[0], Value) else None
    found: list[Any] = []
    arrays = False
    for x in operands:
        if isinstance(x, Value):
            if x.mask:
                return None
        elif isinstance(x, np.ndarray | np.generic):
            if not x.ndim:
                x = x.item()
            elif x.dtype != link.dtype:
                return None
            else:
                arrays = True
        found.append(x)
    if "folding" in b.passes:
        found = with_numbers(found, link.shape) if arrays else found
        y = same(op, found)
        if y is not None and y.shape == link.shape and y.dtype == link.dtype:
            return y
    if arrays:
        found = [b.constant(x) if isinstance(x, np.ndarray) else x for x in found]
    if not op.has_program(link.dtype.num):
        return None
    function = op.kernel or op.forward
    if "folding" in b.passes:
        function, found = _difference(b, function, found)
    y = b.elementwise(function, found, link.dtype)
    if y is None or y.shape != link.shape:
        return None
    if function is np.multiply and -1.0 in found[1:] and link.dtype.kind == "f":
        b.negated[id(y)] = y, found[0]
    return y


def _difference(b: Builder, function: Any, operands: list[Any]) -> tuple[Any, list[Any]]:
    """Return a difference for a sum with what was multiplied by -1: the same, bit for bit."""
    if function is np.add and len(operands) == 2:
        for x, y in (operands, operands[::-1]):
            if isinstance(x, Value) and id(y) in b.negated:
                return np.subtract, [x, b.negated[id(y)][1]]
    return function, operands


def _planned(b: Builder, op: Any, link: Any, operands: list[Any]) -> Any:
    plan = op.info["plan"]
    found: list[Any] = []
    for x in operands:
        if isinstance(x, Value):
            if x.mask and plan is not plans.chooses:
                return None
        elif isinstance(x, np.ndarray) and x.dtype == bool:
            x = b.constant(x.astype(link.dtype))
            x.mask = True
        else:
            x = b.constant(np.asarray(x, link.dtype if isinstance(x, int | float) else None))
        found.append(x)
    return plan(b, link, *found)


def _output(
    b: Builder, op: Any, link: Any, operands: list[Any], joint: dict[Any, Any]
) -> Value | None:
    """Return one of several outputs, which a plan makes at once."""
    if op.info.get("plan") is None:
        return None
    key = ("planned", *_application(link, operands))
    if key not in joint:
        joint[key] = _planned(b, op, link, operands)
    made: list[Value] | None = joint[key]
    return None if made is None else made[link.output]


def _application(link: Any, operands: list[Any]) -> Any:
    """Return what is the same for the outputs of one application of an operation."""
    static = link.static
    return id(link.op), id(static) if static else 0, tuple([id(x) for x in operands])


def _moved(b: Builder, op: Any, link: Any, operands: list[Any]) -> Value | None:
    """Apply an operation that moves elements to the numbers of their places."""
    operands = [_moving(b, x, link.dtype) for x in operands]
    if any(x is None for x in operands):
        return None
    if math.prod(link.shape) == 0:
        return b.new(link.shape, link.dtype)
    forward, static = op.forward, link.static
    if len(operands) == 1:
        (x,) = operands
        key: Any = _setting(link)
        key = key and (key, x.shape, x.strides, x.dtype)
        if key is not None and key in b.known:
            shown = b.known[key]
        else:
            shown = shown_by(x, lambda array: forward(array, **static))
            if key is not None:
                b.known[key] = shown
        if shown is not None:
            shape, start, strides = shown
            y: Value = x.view(shape, x.offset + start, strides)
            return _picked_part(b, x, y)
        span = _span(x)
        key = key and ("table", *key)
        table = b.known.get(key)
        if table is None:
            zeros = forward(np.zeros(x.shape, link.dtype), **static)
            if np.any(zeros != 0):
                return None
            table = np.ascontiguousarray(forward(_numbers(x, span), **static), np.intp) - 1
            if key is not None:
                b.known[key] = table
        return _picked(b, span, table, link.shape)
    return _joined(b, op, link, operands)


def _picked(b: Builder, span: Value, table: np.ndarray, shape: tuple[int, ...]) -> Value:
    """Return elements of a span by a table; of those that were picked themselves, from there."""
    step = b.picks.get(id(span.storage)) if "folding" in b.passes else None
    if step is not None:
        first = span.offset // span.dtype.itemsize
        own = step.table.reshape(-1)[first : first + span.size]
        table = np.where(table < 0, -1, own[table])
        span = step.reads[0]
    y = b.new(shape, span.dtype)
    found = Pick(span, y, np.ascontiguousarray(table, np.intp))
    # Beside the other one, so that work which reads both is not kept apart.
    b.steps.insert(len(b.steps) if step is None else _behind(b.steps, step), found)
    b.picks[id(y.storage)] = found
    return y


def _behind(steps: Sequence[Step], step: Step) -> int:
    for k in range(len(steps), 0, -1):
        if steps[k - 1] is step:
            return k
    return len(steps)


def _picked_part(b: Builder, x: Value, y: Value) -> Value:
    """Return a view of an array, or what it shows as an array of its own.

    That, where it is most of what was picked, and does not lie in one piece: who reads it would
    have to copy it.
    """
    picked = id(y.storage) in b.picks and "folding" in b.passes
    if not picked or y.contiguous or 2 * y.size < x.size or y.size < _WORTH_PICKING:
        return y
    span = _span(y)
    return _picked(b, span, _numbers(y, span) - 1, y.shape)


def _moving(b: Builder, x: Any, dtype: Any) -> Value | None:
    if not isinstance(x, Value):
        x = np.asarray(x, dtype if isinstance(x, int | float) else None)
        x = b.constant(x)
    return x if x.dtype == dtype and not x.mask else None


def _joined(b: Builder, op: Any, link: Any, operands: list[Any]) -> Value | None:
    """Put the operands of a concatenation, or of a write, in their places.

    The first may be an array in which others are written.
    """
    key: Any = _setting(link)
    key = key and (key, link.shape, link.dtype, tuple([x.shape for x in operands]))
    if key is None or key not in b.known:
        found = _places(op, link, operands)
        if key is not None:
            b.known[key] = found
    else:
        found = b.known[key]
    if found is None:
        return None
    written, layouts = found
    y = b.new(link.shape, link.dtype)
    parts = []
    for k, shape, offset, strides in layouts:
        x = operands[k]
        if x.size == 1 and x.shape != shape:  # in some places
            x = x.view((), x.offset, ())
        elif x.shape != shape:  # a grid of more axes
            x = b.contiguous(x)
            x = x.view(shape, x.offset, strides_of(shape, x.dtype.itemsize))
        parts.append((x, y.view(shape, offset, strides)))
    if written:
        b.append(Copy([operands[0]], [y]))
    apart = len({id(x.storage) for x, _ in parts}) == len(parts) and not written
    for x, part in parts:
        fits = x.size == part.size and part.contiguous and x.whole
        if apart and fits and is_movable(x.storage):
            x.storage.put_inside(y.storage, part.offset)
        else:
            b.append(Copy([x], [part]))
    return y


_Layout = tuple[int, tuple[int, ...], int, tuple[int, ...]]


def _places(op: Any, link: Any, operands: list[Any]) -> tuple[bool, list[_Layout]] | None:
    """Return whether elements of the first operand stay in their places, and what is put where.

    That is the number of an operand, and the layout of its places. None where they have no layout.
    """
    sizes = [x.size for x in operands]
    starts = np.cumsum([1, *sizes])
    numbers = [
        np.arange(start, start + x.size).reshape(x.shape)
        for start, x in zip(starts, operands, strict=False)
    ]
    found = np.asarray(op.forward(*numbers, **link.static))
    if found.shape != link.shape or not found.all():
        return None
    flat = found.reshape(-1)
    written = flat <= starts[1] - 1
    base = operands[0].shape == link.shape and not written.all()
    if base and not (flat[written] == np.flatnonzero(written) + 1).all():
        return None
    layouts = []
    for k, x in enumerate(operands):
        if not x.size or (base and k == 0):
            continue
        places = np.flatnonzero((flat >= starts[k]) & (flat < starts[k + 1]))
        part = _part(x, link.dtype.itemsize, places, flat[places] - starts[k])
        if part is None:
            return None
        layouts.append((k, *part))
    return bool(base and written.any()), layouts


def _part(
    x: Value, item: int, places: np.ndarray, own: np.ndarray
) -> tuple[tuple[int, ...], int, tuple[int, ...]] | None:
    """Return shape, offset and strides of the places of the elements of `x`; None without any."""
    if x.size == 1:  # in one place or in many
        found = grid(places) if places.size else None
        if found is None:
            return None
        return found[0], int(places[0]) * item, tuple([s * item for s in found[1]])
    if places.size != x.size:
        return None
    where = np.empty(x.size, np.intp)
    if np.bincount(own, minlength=x.size).max() > 1:
        return None
    where[own] = places
    table = where.reshape(x.shape)
    affine = np.full((), table.flat[0])
    strides = []
    for axis, n in enumerate(x.shape):
        index = [0] * len(x.shape)
        index[axis] = int(n > 1)
        strides.append(int(table[tuple(index)] - table.flat[0]))
        along = np.arange(n).reshape([-1 if k == axis else 1 for k in range(len(x.shape))])
        affine = affine + strides[-1] * along
    shape: tuple[int, ...] = x.shape
    if not np.array_equal(affine, table):
        found = grid(where)
        if found is None:
            return None
        shape, strides = found[0], list(found[1])
    return shape, int(table.flat[0]) * item, tuple([s * item for s in strides])


def _called(b: Builder, link: Any, operands: list[Any], joint: dict[Any, Any]) -> Value:
    op, static = link.op, link.static
    place = 0 if link.output is None else link.output
    key = None
    if link.output is not None:
        key = _application(link, operands)
    if key is not None and key in joint:
        results, step = joint[key]
    else:
        results = [None] * (1 if key is None else len(link.ans))
        function = Applied(op, static, key is not None)
        step = Call(op.name, function, list(operands), results, _call_key(link))
        if key is not None:
            joint[key] = results, step
        b.append(step)
    if results[place] is None:
        storage = Storage("given", math.prod(link.shape) * link.dtype.itemsize, b.n_given)
        b.n_given += 1
        results[place] = Value(storage, link.shape, link.dtype)
        results[place].returned = True
        step.writes.append(results[place])
    y: Value = results[place]
    return y


def _call_key(link: Any) -> Any:
    """Return what is equal for calls of the same function with the same settings."""
    static = link.static
    if static and not all(_is_plain(v) for v in static.values()):
        return None
    return id(link.op), link.output is None, repr(sorted(static.items())) if static else ""
