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
from fastbp.compiling.steps import Call, Copy, Pick, Product, Region, Step, Sum, Zero
from fastbp.compiling.sums import Term, Waiting, is_movable, made
from fastbp.compiling.values import Storage, Value, strides_of
from fastbp.rules import patterns, plans
from fastbp.rules.engine import mulz

__all__ = ["Builder", "lower"]

ELEMENTWISE, GENERAL, CALL = 0, 1, 2
FLOATS = "fc"


class Builder:
    """Takes operations in the order of the record, and appends instructions."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.constants: dict[int, Value] = {}
        self.n_given = 0

    # -- memory

    def new(self, shape: tuple[int, ...], dtype: Any) -> Value:
        """Return a new array of the workspace."""
        return Value(Storage("work", math.prod(shape) * dtype.itemsize), shape, dtype)

    def constant(self, x: Any) -> Value:
        """Return an array that is the same in every call."""
        array = np.array(x, order="C")
        array.flags.writeable = False
        return Value(Storage("constant", array.nbytes, array=array), array.shape, array.dtype)

    def append(self, step: Step) -> None:
        """Append an instruction."""
        for storage in step.written():
            storage.step = len(self.steps)
        self.steps.append(step)

    def contiguous(self, x: Value) -> Value:
        """Return the value in C order, a copy if it is not."""
        if x.contiguous:
            return x
        y = self.new(x.shape, x.dtype)
        self.append(Copy([x], [y]))
        return y

    # -- elementwise work

    def elementwise(self, function: Any, operands: Sequence[Any], dtype: Any) -> Value | None:
        """Append elementwise work; operands are values of one dtype, or numbers."""
        shapes = [x.shape for x in operands if isinstance(x, Value)]
        shape = shapes[0] if len(set(shapes)) == 1 else np.broadcast_shapes(*shapes)
        if any(isinstance(x, Value) and x.dtype != dtype for x in operands) or not shapes:
            return None
        y = self.new(shape, dtype)
        if y.size == 0:
            return y
        after = max(_after(x) for x in operands if isinstance(x, Value))
        region = self._region(shape, dtype, after)
        region.members.append((function, tuple(operands), y))
        y.region, y.storage.step = region, region.position
        return y

    def masked(self, function: Any, operands: Sequence[Any], dtype: Any) -> Value | None:
        """Append elementwise work whose value is a mask."""
        y = self.elementwise(function, operands, dtype)
        if y is not None:
            y.mask = True
        return y

    def boolean(self, x: Value) -> Value:
        """Return a mask as booleans."""
        if not x.mask:
            return x
        storage = Storage("given", x.size, self.n_given)
        self.n_given += 1
        y = Value(storage, x.shape, np.dtype(bool))
        y.returned = True
        self.append(Call("booleans", _booleans, [x], [y]))
        return y

    def seen(self, x: Value, function: Any) -> Value | None:
        """Return what a function shows of an array, if that is a view of it."""
        y = view_of(x, function)
        if y is not None:
            y.mask = x.mask
        return y

    def _region(self, shape: tuple[int, ...], dtype: Any, after: int) -> Region:
        for position in range(len(self.steps) - 1, max(after, 0) - 1, -1):
            step = self.steps[position]
            if (
                isinstance(step, Region)
                and step.shape == shape
                and step.dtype == dtype
                and step.has_room()
            ):
                return step
            if len(self.steps) - position > 64:
                break
        region = Region(shape, dtype, len(self.steps))
        self.steps.append(region)
        return region

    # -- what rows say by `plan=`

    def sum(self, x: Value, axis: Sequence[int], shape: tuple[int, ...]) -> Value | None:
        """Append a sum along axes, in the shape that it has."""
        if x.dtype.kind not in FLOATS:
            return None
        axes = {k % len(x.shape) for k in axis} if x.shape else set()
        axes = {k for k in axes if x.shape[k] != 1}
        if math.prod(n for k, n in enumerate(x.shape) if k not in axes) != math.prod(shape):
            return None
        if not axes or x.size == 0:
            if x.size == 0:
                y = self.new(shape, x.dtype)
                self.append(Zero(y))
                return y
            x = self.contiguous(x)
            return x.view(shape, x.offset, strides_of(shape, x.dtype.itemsize))
        x = self.contiguous(x)
        dims = list(x.shape)
        end = len(dims)
        while end > 0:
            if end - 1 not in axes:
                end -= 1
                continue
            first = end - 1
            while first > 0 and (first - 1 in axes or dims[first - 1] == 1):
                first -= 1
            outer, rows, n = (
                math.prod(dims[a:b]) for a, b in ((0, first), (first, end), (end, None))
            )
            dims[first:end] = [1] * (end - first)
            y = self.new(tuple(dims), x.dtype)
            self.append(Sum(x, y, (outer, rows, n)))
            x, end = y, first
        return x.view(shape, 0, strides_of(shape, x.dtype.itemsize))

    def put(self, x: Value, index: Any, shape: tuple[int, ...]) -> Value:
        """Append zeros with elements written at an index without arrays."""
        y = self.new(shape, x.dtype)
        y.waiting = Waiting()
        if x.size:
            y.waiting.parts.append((x, index))
        return y

    def part(self, y: Value, index: Any) -> Value:
        """Return the layout of a part, at an index without arrays."""
        part = view_of(y, lambda array: array[index])
        assert part is not None
        return part

    def read(self, y: Value) -> Value:
        """Return a value as something that lies in memory."""
        if y.waiting is not None:
            if not (y.waiting.terms or y.waiting.parts or y.waiting.others):
                y.waiting = None
                self.append(Zero(y))
            else:
                made(self, y)
        return y

    def contract(
        self,
        x: Value,
        left: Sequence[int],
        y: Value,
        right: Sequence[int],
        out: Sequence[int],
    ) -> Value | None:
        """Append a product over labelled axes."""
        dtype = x.dtype
        if dtype != y.dtype or dtype.kind not in FLOATS:
            return None
        sizes = dict(zip(left, x.shape, strict=True))
        for label, n in zip(right, y.shape, strict=True):
            if n != 1 or label not in sizes:
                sizes[label] = n
        shape = tuple([sizes[label] for label in out])
        summed = [label for label in sizes if label not in out]
        outer = not set(left) & set(right) and len(out) == len(left) + len(right)
        if 0 in sizes.values():
            z = self.new(shape, dtype)
            self.append(Zero(z))
            return z
        if not summed and not (outer and len(out) == 2):
            return self.elementwise(
                np.multiply, (_lined_up(x, left, out), _lined_up(y, right, out)), dtype
            )
        batch = [k for k in out if k in left and k in right]
        rows = [k for k in out if k in left and k not in right]
        columns = [k for k in out if k not in left]
        order = [*batch, *rows, *columns]
        axes = [order.index(k) for k in out]
        z = self.new(tuple([sizes[k] for k in order]), dtype)
        if axes == sorted(axes):
            z.waiting = Waiting()
            z.waiting.terms.append(Term(x, left, y, right, out, sizes))
            return z
        self.append(self.product(x, left, y, right, z, order, sizes))
        return z.view(shape, 0, tuple([z.strides[k] for k in axes]))

    def product(
        self,
        x: Value,
        left: Sequence[int],
        y: Value,
        right: Sequence[int],
        z: Value,
        out: Sequence[int],
        sizes: dict[int, int],
        accumulate: bool = False,
    ) -> Product:
        """Describe a product as the machine takes it: one label a row, column and sum, or none."""
        in_x, in_y = set(left), set(right)
        rows = [m for m in out if m in in_x and m not in in_y]
        columns = [m for m in out if m in in_y and m not in in_x]
        sums = [m for m in left if m not in out]
        x, y = _readable(self, x, left, rows, sums), _readable(self, y, right, sums, columns)
        steps = [
            {
                label: stride // x.dtype.itemsize if n != 1 else 0
                for label, n, stride in zip(labels, v.shape, v.strides, strict=True)
            }
            for labels, v in ((left, x), (right, y), (out, z))
        ]
        m, n = rows[-1] if rows else None, columns[-1] if columns else None
        k = sums[-1] if sums else None
        rest = [label for label in sizes if label not in (m, n, k)]
        size = tuple(sizes[label] if label is not None else 1 for label in (m, n, k))
        batch = tuple(sizes[label] for label in rest)

        def strides(own: dict[int, int], row: Any, col: Any) -> Any:
            return own.get(row, 0), own.get(col, 0), tuple(own.get(label, 0) for label in rest)

        a, b, c = strides(steps[0], m, k), strides(steps[1], k, n), strides(steps[2], m, n)
        return Product(x, y, z, (size, batch, a, b, c), accumulate)


def _after(x: Value) -> int:
    """Return the first position at which elementwise work can read a value.

    That is the region which computes it, unless it is another layout of what that computes.
    """
    return x.storage.step + (x.region is None and x.storage.step >= 0)


def _readable(
    b: Builder, x: Value, own: Sequence[int], rows: Sequence[int], columns: Sequence[int]
) -> Value:
    """Return an operand of a product as BLAS can read the matrix of its last row and column."""
    item = x.dtype.itemsize
    step = {k: s // item if n != 1 else 0 for k, n, s in zip(own, x.shape, x.strides, strict=True)}
    size = dict(zip(own, x.shape, strict=True))
    if all(s % item == 0 and s >= 0 for s in x.strides):
        row = (size[rows[-1]], step[rows[-1]]) if rows else (1, 0)
        col = (size[columns[-1]], step[columns[-1]]) if columns else (1, 0)
        if _is_layout(row, col):
            return x
    order = [k for k in own if k not in rows and k not in columns] + [*rows, *columns]
    axes = [own.index(k) for k in order]
    moved = x.view(tuple(x.shape[a] for a in axes), x.offset, tuple(x.strides[a] for a in axes))
    y = b.new(moved.shape, x.dtype)
    b.append(Copy([moved], [y]))
    back = [order.index(k) for k in own]
    return y.view(tuple(y.shape[a] for a in back), 0, tuple(y.strides[a] for a in back))


def _is_layout(row: tuple[int, int], col: tuple[int, int]) -> bool:
    """Say whether BLAS reads a matrix of these (size, stride) pairs, as `strided.layout`."""
    (rows, step), (cols, inner) = row, col
    if (cols <= 1 or inner == 1) and (rows <= 1 or (step >= cols and step >= 1)):
        return True
    return (rows <= 1 or step == 1) and inner >= rows and inner >= 1


def _lined_up(x: Value, own: Sequence[int], out: Sequence[int]) -> Value:
    shape, strides = [], []
    for label in out:
        if label in own:
            k = list(own).index(label)
            shape.append(x.shape[k])
            strides.append(x.strides[k])
        else:
            shape.append(1)
            strides.append(0)
    return x.view(tuple(shape), x.offset, tuple(strides))


def _booleans(x: Any) -> tuple[Any]:
    return (x != 0.0,)


# ---- layouts


def view_of(x: Value, function: Any) -> Value | None:
    """Return what a function returns if that is a view of its argument."""
    memory = np.empty(max(x.storage.nbytes, 1), np.uint8)
    array = np.ndarray(x.shape, x.dtype, memory, x.offset, x.strides)
    with np.errstate(all="ignore"):
        found = function(array)
    if not isinstance(found, np.ndarray) or found.dtype != x.dtype:
        return None
    if not np.may_share_memory(found, memory):
        return None
    start = found.__array_interface__["data"][0] - memory.__array_interface__["data"][0]
    return x.view(found.shape, start, found.strides)


def _numbers(x: Value) -> np.ndarray:
    """Return for each element the place in its memory, counted in elements from 1."""
    item = x.dtype.itemsize
    numbers = np.arange(1, x.storage.nbytes // item + 1)
    return np.lib.stride_tricks.as_strided(
        numbers[x.offset // item :],
        x.shape,
        [s // item * numbers.itemsize for s in x.strides],
        writeable=False,
    )


# ---- operations


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
    joint: dict[Any, Any] = {}
    known: dict[Any, Value] = {}
    readers = _readers(links, outputs)
    for position, link in enumerate(links):
        if link.op is None:
            continue
        key = _key(link, values)
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
            y = _lowered(b, link, operands, joint)
        else:
            y = waiting
        if not any(y is x for x in operands):
            y.position = position
        values[position] = y
        if key is not None:
            known[key] = y
    return b, given, [b.boolean(b.read(values[p])) for p in outputs]


def _readers(links: Sequence[Any], outputs: Sequence[int]) -> list[int]:
    """Return how many operations read each one, and the caller."""
    readers = [0] * len(links)
    for link in links:
        for p in link.parents:
            if p >= 0:
                readers[p] += 1
    for p in outputs:
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
            parts.append((id(v.storage), v.offset, v.shape, v.strides, v.mask))
        elif isinstance(x, bool | int | float | complex):
            parts.append((type(x), str(x)))
        elif isinstance(x, np.ndarray | np.generic) and x.size <= 16 and x.dtype.kind in "fcbiu":
            parts.append((x.shape, x.dtype, x.tobytes()))
        else:
            return None
    if link.static:
        if not all(_is_plain(v) for v in link.static.values()):
            return None
        parts.append(repr(sorted(link.static.items())))
    return tuple(parts)


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
    if link.output is None and not op.residuals and op.nout == 1:
        y = None
        if op.kind == ELEMENTWISE:
            y = _elementwise(b, link, operands)
        elif op.kind == CALL and op.forward is graph.identity:
            y = operands[0]
        elif op.kind == CALL:
            y = passive.lowered(b, link, operands)
        elif op.info.get("plan") is not None:
            y = _planned(b, link, operands)
        elif op.pattern is patterns.moves:
            y = _moved(b, link, operands)
        if y is not None and y.shape == link.shape and _has_dtype(y, link.dtype):
            return y
    operands = [b.boolean(x) if isinstance(x, Value) else x for x in operands]
    return _called(b, link, operands, joint)


def _has_dtype(y: Value, dtype: Any) -> bool:
    return bool(dtype.kind == "b") if y.mask else bool(dtype == y.dtype)


def _elementwise(b: Builder, link: Any, operands: list[Any]) -> Value | None:
    op = link.op
    if op.forward is np.positive and not op.kernel:
        return operands[0] if isinstance(operands[0], Value) else None
    found: list[Any] = []
    for x in operands:
        if isinstance(x, Value) and x.mask:
            return None
        if isinstance(x, np.ndarray | np.generic) and not x.ndim:
            x = x.item()
        if isinstance(x, np.ndarray):
            if x.dtype != link.dtype:
                return None
            if x.size and op is mulz and (x == 1.0).all() and x.shape == link.shape:
                x = 1.0
        found.append(x)
    if op is mulz and type(found[0]) is float and found[0] == 1.0:
        y = found[1]
        if isinstance(y, Value) and y.shape == link.shape and y.dtype == link.dtype:
            return y
    found = [b.constant(x) if isinstance(x, np.ndarray) else x for x in found]
    if not any(isinstance(x, Value) for x in found):
        return None
    if not op.has_program(link.dtype.num):
        return None
    y = b.elementwise(op.kernel or op.forward, found, link.dtype)
    if y is not None and y.shape != link.shape:
        return None
    return y


def _planned(b: Builder, link: Any, operands: list[Any]) -> Value | None:
    plan = link.op.info["plan"]
    found: list[Any] = []
    for x in operands:
        if isinstance(x, Value):
            if x.mask and plan is not plans.chooses:
                return None
        elif isinstance(x, np.ndarray) and x.dtype == bool:
            x = b.constant(x.astype(link.dtype))
            x.mask = True
        else:
            x = np.asarray(x, link.dtype if isinstance(x, int | float) else None)
            if x.dtype != link.dtype:
                return None
            x = b.constant(x)
        found.append(x)
    y: Value | None = plan(b, link, *found)
    return y


def _moved(b: Builder, link: Any, operands: list[Any]) -> Value | None:
    """Apply an operation that moves elements to the numbers of their places."""
    operands = [_moving(b, x, link.dtype) for x in operands]
    if any(x is None for x in operands):
        return None
    if math.prod(link.shape) == 0:
        return b.new(link.shape, link.dtype)
    forward, static = link.op.forward, link.static
    if len(operands) == 1:
        (x,) = operands
        y = view_of(x, lambda array: forward(array, **static))
        if y is not None:
            return y
        zeros = forward(np.zeros(x.shape, link.dtype), **static)
        if np.any(zeros != 0):
            return None
        table = np.ascontiguousarray(forward(_numbers(x), **static), np.intp) - 1
        y = b.new(link.shape, link.dtype)
        b.append(Pick(x, y, table))
        return y
    return _joined(b, link, operands)


def _moving(b: Builder, x: Any, dtype: Any) -> Value | None:
    if not isinstance(x, Value):
        x = np.asarray(x, dtype if isinstance(x, int | float) else None)
        x = b.constant(x)
    return x if x.dtype == dtype and not x.mask else None


def _joined(b: Builder, link: Any, operands: list[Any]) -> Value | None:
    """Put the operands of a concatenation, or of a write, in their places.

    The first may be an array in which others are written.
    """
    sizes = [x.size for x in operands]
    starts = np.cumsum([1, *sizes])
    numbers = [
        np.arange(start, start + x.size).reshape(x.shape)
        for start, x in zip(starts, operands, strict=False)
    ]
    found = np.asarray(link.op.forward(*numbers, **link.static))
    if found.shape != link.shape or not found.all():
        return None
    flat = found.reshape(-1)
    parts = []
    written = flat <= starts[1] - 1
    base = operands[0].shape == link.shape and not written.all()
    if base and not (flat[written] == np.flatnonzero(written) + 1).all():
        return None
    y = b.new(link.shape, link.dtype)
    for k, x in enumerate(operands):
        if not x.size or (base and k == 0):
            continue
        places = np.flatnonzero((flat >= starts[k]) & (flat < starts[k + 1]))
        part = _part(x, y, places, flat[places] - starts[k])
        if part is None:
            return None
        if x.shape != part.shape:  # one element, in some places
            x = x.view((), x.offset, ())
        parts.append((x, part))
    if base and written.any():
        b.append(Copy([operands[0]], [y]))
    apart = len({id(x.storage) for x, _ in parts}) == len(parts) and not (base and written.any())
    for x, part in parts:
        fits = x.size == part.size and part.contiguous and x.whole
        if apart and fits and is_movable(x.storage):
            x.storage.inside, x.storage.offset = y.storage, part.offset
            y.storage.holds.append(x.storage)
            y.storage.step = max(y.storage.step, x.storage.step)
        else:
            b.append(Copy([x], [part]))
    return y


def _part(x: Value, y: Value, places: np.ndarray, own: np.ndarray) -> Value | None:
    """Return the layout of the places that the elements of `x` have in `y`; None if it has none."""
    item = y.dtype.itemsize
    if x.size == 1:  # in one place or in many at equal distances
        steps = np.diff(places)
        if not places.size or (steps.size and (steps != steps[0]).any()):
            return None
        stride = int(steps[0]) * item if steps.size else item
        return y.view((places.size,), int(places[0]) * item, (stride,))
    if places.size != x.size:
        return None
    where = np.empty(x.size, np.intp)
    if np.bincount(own, minlength=x.size).max() > 1:
        return None
    where[own] = places
    grid = where.reshape(x.shape)
    affine = np.full((), grid.flat[0])
    strides = []
    for axis, n in enumerate(x.shape):
        index = [0] * len(x.shape)
        index[axis] = int(n > 1)
        strides.append(int(grid[tuple(index)] - grid.flat[0]))
        along = np.arange(n).reshape([-1 if k == axis else 1 for k in range(len(x.shape))])
        affine = affine + strides[-1] * along
    if not np.array_equal(affine, grid):
        return None
    return y.view(x.shape, int(grid.flat[0]) * item, tuple([s * item for s in strides]))


def _called(b: Builder, link: Any, operands: list[Any], joint: dict[Any, Any]) -> Value:
    op, static = link.op, link.static
    place = 0 if link.output is None else link.output
    key = None
    if link.output is not None:
        key = (id(op), id(static) if static else 0, tuple(id(x) for x in operands))
    if key is not None and key in joint:
        results, step = joint[key]
    else:
        results = [None] * (1 if key is None else len(link.ans))
        step = Call(op.name, _function(op, static, key is not None), list(operands), results)
        step.position = len(b.steps)
        if key is not None:
            joint[key] = results, step
        b.append(step)
    if results[place] is None:
        storage = Storage("given", math.prod(link.shape) * link.dtype.itemsize, b.n_given)
        b.n_given += 1
        results[place] = Value(storage, link.shape, link.dtype)
        results[place].returned = True
        storage.step = step.position
        step.writes.append(results[place])
    y: Value = results[place]
    return y


def _function(op: Any, static: dict[str, Any], several: bool) -> Any:
    def call(*operands: Any) -> tuple[Any, ...]:
        found = op.forward(*operands, **static)
        if op.residuals:
            found = found[0]
        return found if several else (found,)

    return call
