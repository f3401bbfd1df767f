"""Elementwise work on a stack of arrays is done in the loop that reads it, array by array.

The cotangents of all states of a network are recorded as one multiplication in front of the sweep:
a stack as large as that of the states, which would be written, kept and read again. In the loop it
is a few instructions of a region that is there anyway.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fastbp.compiling.blocks import Block, Loop, Moving, extent
from fastbp.compiling.steps import Region, Step
from fastbp.compiling.values import Storage, Value

__all__ = ["with_work_in_loops"]

_LARGE = 1 << 18  # bytes of the stack: less stays in the cache
_ELEMENTS = 256  # ... of each array: fewer are computed faster all at once
# Work that memory bounds; other work gains from the cores that a region on all steps has.
_CHEAP = frozenset("add subtract multiply negative positive square mulz".split())


def with_work_in_loops(steps: Sequence[Step]) -> list[Step]:
    """Return steps in which such work that a loop alone reads is done there.

    Loops in blocks stay as they are, and those whose body is put together.
    """
    steps = list(steps)
    for loop in [step for step in steps if isinstance(step, Loop)]:
        if loop.count > 0 and not loop.is_fused:
            steps = _with_work_in(loop, steps)
    return steps


def _with_work_in(loop: Loop, steps: list[Step]) -> list[Step]:
    place = steps.index(loop)
    if not any(_is_candidate(step) for step in steps[:place]):
        return steps
    memory = _Memory(steps, loop, place)
    gone: set[int] = set()
    for k in reversed(range(place)):
        step = steps[k]
        if _is_candidate(step):
            assert isinstance(step, Region)
            if _moved(step, k, loop, memory):
                gone.add(k)
    return [step for k, step in enumerate(steps) if k not in gone]


def _is_candidate(step: Step) -> bool:
    """Say whether a step is one cheap operation whose result is a large stack of its own."""
    if not isinstance(step, Region) or len(step.members) != 1 or step.ends():
        return False
    ((function, _, y),) = step.members
    name = function if isinstance(function, str) else getattr(function, "__name__", "")
    own = y.storage
    return (
        name in _CHEAP
        and len(y.shape) > 1
        and math.prod(y.shape[1:]) >= _ELEMENTS
        and own.nbytes >= _LARGE
        and own.kind == "work"
        and y.whole
        and own.inside is None
        and not own.holds
    )


class _Memory:
    """Who reads and writes memory: by the id of the outermost, numbers of steps."""

    def __init__(self, steps: Sequence[Step], loop: Loop, place: int) -> None:
        self.loop, self.place = loop, place
        self.read: dict[int, list[int]] = {}
        self.written: dict[int, list[int]] = {}
        for k, step in enumerate(steps):
            for storage in step.read():
                self.read.setdefault(id(storage.outermost), []).append(k)
            for storage in step.written():
                self.written.setdefault(id(storage.outermost), []).append(k)

    def moving_of(self, stack: Storage, k: int) -> Moving | None:
        """Return by what the loop alone reads what instruction `k` alone writes."""
        if self.read.get(id(stack)) != [self.place] or self.written.get(id(stack)) != [k]:
            return None
        found = self.loop.moving_in(stack)
        return found[0] if len(found) == 1 and found[0] in self.loop.in_step() else None

    def stays(self, x: Value, k: int) -> bool:
        """Say whether the loop finds an operand as instruction `k` does."""
        kind = x.storage.outermost.kind
        written = self.written.get(id(x.storage.outermost), ())
        return kind in ("work", "output", "input", "constant") and not any(
            k < j <= self.place for j in written
        )

    def dies(self, x: Value, k: int) -> bool:
        """Say whether nobody reads an operand behind instruction `k`."""
        outer = x.storage.outermost
        return outer.kind == "work" and not any(j > k for j in self.read[id(outer)])

    def note(self, operands: Sequence[Value], k: int) -> None:
        """Know that the loop reads operands now, in the place of instruction `k`."""
        for x in operands:
            own = self.read[id(x.storage.outermost)]
            own.remove(k)
            own.append(self.place)


def _moved(step: Region, k: int, loop: Loop, memory: _Memory) -> bool:
    """Do an operation in a loop, if it is there alone that its result is read, by like work."""
    ((function, operands, y),) = step.members
    m = memory.moving_of(y.storage, k)
    if m is None or y.shape[0] != loop.count or abs(m.step) != y.strides[0]:
        return False
    if m.start.offset != (0 if m.step > 0 else (loop.count - 1) * y.strides[0]):
        return False
    shape = y.shape[1:]
    readers = _readers(loop, m, shape, step)
    values = [x for x in operands if isinstance(x, Value)]
    if not readers or not all(memory.stays(x, k) for x in values):
        return False
    large = {id(x.storage.outermost) for x in values if x.storage.outermost.nbytes >= _LARGE}
    if sum(memory.dies(x, k) for x in values if id(x.storage.outermost) in large) > 1:
        return False
    spread = [x.spread(y.shape) for x in values]
    if any(stride < 0 for strides in spread for stride in strides):
        return False
    found = {
        id(x): _slice(x, y.shape, strides, loop, m.step < 0)
        for x, strides in zip(values, spread, strict=True)
    }
    new = Value(Storage("work", m.storage.nbytes), shape, y.dtype)
    new.mask = y.mask
    region = Region(shape, step.dtype)
    region.members = [(function, tuple([found.get(id(x), x) for x in operands]), new)]
    for reader in readers:
        reader.members = [
            (f, tuple([new if _is_of(x, m) else x for x in xs]), z) for f, xs, z in reader.members
        ]
    loop.body.insert(min(loop.body.index(reader) for reader in readers), region)
    loop.moving.remove(m)
    memory.note(values, k)
    return True


def _is_of(x: object, m: Moving) -> bool:
    return isinstance(x, Value) and x.storage is m.storage


def _readers(loop: Loop, m: Moving, shape: tuple[int, ...], like: Region) -> list[Region] | None:
    """Return the work that reads what moves, if that is all of it, element by element."""
    readers = []
    for step in loop.body:
        touched = [*(step.own() if isinstance(step, Block) else ()), *step.read(), *step.written()]
        if not any(storage.outermost is m.storage for storage in touched):
            continue
        if not isinstance(step, Region) or step.shape != shape or step.dtype != like.dtype:
            return None
        if any(storage.outermost is m.storage for storage in step.written()):
            return None
        for _, xs, _ in step.members:
            for x in xs:
                if isinstance(x, Value) and x.storage.outermost is m.storage:
                    if x.storage is not m.storage or not x.whole or x.shape != shape:
                        return None
        readers.append(step)
    return readers


def _slice(
    x: Value, along: Sequence[int], strides: Sequence[int], loop: Loop, backward: bool
) -> Value:
    """Return what an iteration sees of an operand of work on all, which has this shape, strides."""
    step, *rest = strides
    shape = tuple([n if s else 1 for n, s in zip(along[1:], rest, strict=True)])
    storage, offset = x.storage, x.offset
    if step:
        offset += (loop.count - 1) * step if backward else 0
        start = x.view(shape, offset, tuple(rest))
        storage, offset = _moving(loop, start, -step if backward else step), 0
    y = Value(storage, shape, x.dtype, offset, tuple(rest))
    y.mask = x.mask
    return y


def _moving(loop: Loop, start: Value, step: int) -> Storage:
    """Return what moves like this in a loop."""
    for m in loop.in_step():
        place = m.start
        if place.storage is start.storage and place.offset == start.offset and m.step == step:
            m.storage.nbytes = max(m.storage.nbytes, extent(start))
            return m.storage
    loop.moving.append(Moving(start, step))
    return loop.moving[-1].storage
