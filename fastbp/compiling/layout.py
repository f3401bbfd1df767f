"""From instructions to a plan: what is not needed is left out, memory is given out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastbp._core.machine import Machine
from fastbp._core.replay import Plan
from fastbp.compiling.blocks import Block, Loop, walked
from fastbp.compiling.builder import Builder
from fastbp.compiling.steps import Copy, Region, Step
from fastbp.compiling.values import Storage, Value, outermost

__all__ = ["laid_out"]

ALIGNMENT = 64


def laid_out(b: Builder, inputs: Sequence[Value | None], outputs: Sequence[Value]) -> Plan:
    """Return the plan that runs the instructions of a builder.

    Parameters
    ----------
    b : Builder
    inputs : sequence of Value or None
        None for an argument that is not read.
    outputs : sequence of Value
        What the plan returns, each in memory of its own.
    """
    results = _results(b, outputs)
    steps = _needed(b.steps, results)
    work_bytes = _give_out(steps)
    constants: dict[int, Any] = {}
    n = len(inputs)
    for number, x in enumerate(inputs):
        if x is not None:
            x.storage.buffer = number
    work, n = n, n + 1
    in_memory = {id(storage) for step in walked(steps) for storage in step.read_in_memory()}
    inside = []
    for storage in _storages(steps, results):
        if storage.kind == "given" and id(storage) not in in_memory:
            continue  # it goes from call to call
        if storage.inside is not None:
            inside.append(storage)
        elif storage.kind == "work":
            storage.buffer = work
        elif storage.buffer < 0:
            storage.buffer, n = n, n + 1
            if storage.kind == "constant":
                constants[storage.buffer] = storage.array
    for storage in inside:
        assert storage.inside is not None
        storage.buffer = storage.inside.buffer
        storage.offset += storage.inside.offset
    machine = Machine(n, work, work_bytes, constants)
    for step in steps:
        step.emit(machine)
    return Plan(
        machine,
        [None if x is None else (x.shape, x.dtype) for x in inputs],
        [(y.storage.buffer, y.shape, y.dtype) for y in results],
        _facts(steps),
    )


def _facts(steps: Sequence[Step], indent: str = "") -> list[tuple[Any, ...]]:
    found = []
    for step in steps:
        found.append((indent + step.kind, [v.shape for v in step.writes], step.described()))
        if isinstance(step, Block):
            for k, part in enumerate(step.parts):
                if k:
                    found.append((indent + "otherwise", [], ""))
                found += _facts(part, indent + "  ")
    return found


def _results(b: Builder, outputs: Sequence[Value]) -> list[Value]:
    """Return the outputs in memory that is the caller's: copies where they have no such."""
    results: list[Value] = []
    for y in outputs:
        storage = y.storage
        if storage.kind == "work" and y.whole and storage.inside is None and not storage.holds:
            storage.kind = "output"
            results.append(y)
            continue
        copy = Value(Storage("output", y.size * y.dtype.itemsize), y.shape, y.dtype)
        if y.size:
            b.append(Copy([y], [copy]))
        results.append(copy)
    return results


# ---- what is needed


def _needed(steps: Sequence[Step], results: Sequence[Value]) -> list[Step]:
    """Return the steps that lead to the results, regions with the members that do."""
    needed: set[int] = set()
    for y in results:
        _need(needed, y.storage)
    return _kept(steps, needed, True)


def _kept(steps: Sequence[Step], needed: set[int], final: bool) -> list[Step]:
    """Return the steps that write what is needed, and add what they read.

    Where it is not yet `final`, steps are left as they are.
    """
    kept: list[Step] = []
    for step in reversed(steps):
        if isinstance(step, Region):
            wanted = {id(y) for _, _, y in step.members if id(y.storage) in needed}
            members = []
            for member in reversed(step.members):
                if id(member[2].storage) in needed:
                    members.append(member)
                    for x in member[1]:
                        if isinstance(x, Value):
                            _need(needed, x.storage)
            if not members:
                continue
            if final:
                step.members = members[::-1]
                step.finish(wanted)
                step.settle()
            kept.append(step)
        elif isinstance(step, Block):
            if any(id(storage) in needed for storage in step.written()):
                (_loop_kept if isinstance(step, Loop) else _parts_kept)(step, needed, final)
                kept.append(step)
        elif step.kind == "leave" or any(id(storage) in needed for storage in step.written()):
            for storage in step.read():
                _need(needed, storage)
            kept.append(step)
    return kept[::-1]


def _parts_kept(step: Block, needed: set[int], final: bool) -> None:
    found: set[int] = set()
    for k, part in enumerate(step.parts):
        own = set(needed)
        kept = _kept(part, own, final)
        found |= own
        if final:
            step.parts[k] = kept
    needed |= found
    for storage in step.own():
        _need(needed, storage)


def _loop_kept(loop: Block, needed: set[int], final: bool) -> None:
    """Find what the body has to write, for what follows and for the next iteration."""
    assert isinstance(loop, Loop)
    carried = _carried(loop.body)
    live = set(needed)
    while True:
        for m in loop.moving:
            if id(m.start.storage) in live:
                _need(live, m.storage)
        for pair in loop.swaps:
            if any(id(m.storage) in live for m in pair):
                for m in pair:
                    _need(live, m.storage)
        before = set(live)
        _kept(loop.body, before, False)
        moved = {id(m.storage) for m in loop.moving}
        found = {x for x in before - live if x in carried or x in moved}
        starts = [m.start.storage for m in loop.moving if id(m.storage) in before]
        if not found and all(id(storage) in live for storage in starts):
            break
        live |= found
        for storage in starts:
            _need(live, storage)
    if final:
        loop.parts[0] = _kept(loop.body, set(live), True)
        read = {id(outermost(s)) for step in loop.body for s in (*step.read(), *step.written())}
        loop.swaps = [pair for pair in loop.swaps if any(id(m.storage) in read for m in pair)]
        read |= {id(m.storage) for pair in loop.swaps for m in pair} | needed
        loop.moving = [m for m in loop.moving if id(m.storage) in read]
    needed |= before | live


def _carried(body: Sequence[Step]) -> set[int]:
    """Return the memory that a body reads before it writes it, parts of it included."""
    written: set[int] = set()
    carried: set[int] = set()

    def read(storage: Storage) -> None:
        if id(outermost(storage)) not in written:
            _need(carried, outermost(storage))

    for step in body:
        if isinstance(step, Region):
            for _, operands, y in step.members:
                for x in operands:
                    if isinstance(x, Value):
                        read(x.storage)
                written.add(id(outermost(y.storage)))
            continue
        if isinstance(step, Block) and not isinstance(step, Loop):
            for part in step.parts:
                carried |= _carried(part) - written
        for storage in step.own() if isinstance(step, Block) else step.read():
            read(storage)
        if isinstance(step, Loop):
            carried |= _carried(step.body) - written
        written |= {id(outermost(storage)) for storage in step.written()}
    return carried


def _need(needed: set[int], storage: Storage) -> None:
    needed.add(id(storage))
    for part in storage.holds:
        needed.add(id(part))


# ---- memory


def _storages(steps: Sequence[Step], results: Sequence[Value]) -> list[Storage]:
    found = {id(y.storage): y.storage for y in results}
    for step in walked(steps):
        if isinstance(step, Block):
            own = step.own() + [m.storage for m in step.moving] if isinstance(step, Loop) else []
        else:
            own = [*step.read(), *step.written()]
        for storage in own:
            found[id(storage)] = storage
            found[id(outermost(storage))] = outermost(storage)
    return list(found.values())


class _Accesses:
    """Who reads and writes the workspace, in order: (moment, memory, whether it is written)."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.found: list[tuple[int, Storage, bool]] = []
        self.loops: list[tuple[int, int]] = []  # places of what is found in them, inner ones first
        self.moving: dict[int, list[Storage]] = {}
        self.now = 0
        self._take(steps)

    def _take(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self.now += 1
            if not isinstance(step, Block):
                self._note(step.read(), False)
                self._note(step.written(), True)
                continue
            first = len(self.found)
            if isinstance(step, Loop):
                self.moving |= step.places()
                carried = _carried(step.body)
                for m in step.moving:
                    self._note([m.start.storage], id(m.storage) not in carried)
            else:
                self._note(step.own(), False)
            for part in step.parts:
                self._take(part)
            self.now += 1
            self._note(step.own(), False)
            if isinstance(step, Loop):
                self.loops.append((first, len(self.found)))

    def _note(self, storages: Sequence[Storage], written: bool) -> None:
        for storage in map(outermost, storages):
            if storage.kind == "moving":
                self._note(self.moving[id(storage)], written)
            elif storage.kind == "work":
                self.found.append((self.now, storage, written))

    def spans(self) -> list[tuple[Storage, int, int]]:
        """Return from which moment to which memory is used.

        What a loop reads before it writes it, or others use too, is used in all of its iterations.
        """
        spans: dict[int, list[Any]] = {}
        for moment, storage, _ in self.found:
            spans.setdefault(id(storage), [storage, moment, moment])[2] = moment
        for first, end in self.loops:
            if first == end:
                continue
            begin, last = self.found[first][0], self.found[end - 1][0]
            seen: set[int] = set()
            for _, storage, written in self.found[first:end]:
                if id(storage) in seen:
                    continue
                seen.add(id(storage))
                span = spans[id(storage)]
                if not written or span[1] < begin or span[2] > last:
                    span[1:] = min(span[1], begin), max(span[2], last)
        return [(storage, first, last) for storage, first, last in spans.values()]


def _give_out(steps: Sequence[Step]) -> int:
    """Give memory of the workspace to what is alive, and return how much that takes."""
    starting: dict[int, list[Storage]] = {}
    ending: dict[int, list[Storage]] = {}
    for storage, first, last in _Accesses(steps).spans():
        starting.setdefault(first, []).append(storage)
        ending.setdefault(last, []).append(storage)
    free: list[tuple[int, int]] = []  # (offset, size), by offset
    top = 0
    for moment in sorted({*starting, *ending}):
        for storage in starting.get(moment, ()):
            size = -(-max(storage.nbytes, 1) // ALIGNMENT) * ALIGNMENT
            storage.offset = _take(free, size)
            if storage.offset < 0:
                storage.offset, top = top, top + size
        for storage in ending.get(moment, ()):
            size = -(-max(storage.nbytes, 1) // ALIGNMENT) * ALIGNMENT
            _give_back(free, storage.offset, size)
    return top


def _take(free: list[tuple[int, int]], size: int) -> int:
    """Return the offset of the smallest free part that is large enough, or -1."""
    fitting = [(have, offset) for offset, have in free if have >= size]
    if not fitting:
        return -1
    have, offset = min(fitting)
    free.remove((offset, have))
    if have > size:
        free.append((offset + size, have - size))
        free.sort()
    return offset


def _give_back(free: list[tuple[int, int]], offset: int, size: int) -> None:
    free.append((offset, size))
    free.sort()
    merged: list[tuple[int, int]] = []
    for start, n in free:
        if merged and merged[-1][0] + merged[-1][1] == start:
            merged[-1] = (merged[-1][0], merged[-1][1] + n)
        else:
            merged.append((start, n))
    free[:] = merged
