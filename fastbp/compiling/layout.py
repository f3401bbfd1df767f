"""From instructions to a plan: what is not needed is left out, memory is given out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastbp._core.machine import Machine
from fastbp._core.replay import Plan
from fastbp.compiling.blocks import Block, Loop, walked
from fastbp.compiling.builder import Builder
from fastbp.compiling.fusing import fused
from fastbp.compiling.rolling import rolled
from fastbp.compiling.steps import Copy, Region, Step
from fastbp.compiling.values import Storage, Value

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
    steps = _needed(b.steps, outputs) if "dead" in b.passes else b.steps
    if "rolling" in b.passes:
        steps = rolled(steps, outputs)
    results, copies = _results(outputs)
    steps = steps + copies
    if "fusion" in b.passes:
        steps = fused(steps)
    _compile(steps, results, "dead" not in b.passes)
    work_bytes = _give_out(steps, "reuse" in b.passes)
    constants: dict[int, Any] = {}
    n = len(inputs)
    for number, x in enumerate(inputs):
        if x is not None:
            x.storage.buffer = number
    work, n = n, n + 1
    in_memory = {id(storage) for step in walked(steps) for storage in step.read_in_memory()}
    for storage in _storages(steps, results):
        if storage.kind == "given" and id(storage) not in in_memory:
            continue  # it goes from call to call
        if storage.inside is not None:
            continue  # it is there with what it is a part of
        if storage.kind == "work":
            storage.buffer = work
        elif storage.buffer < 0:
            storage.buffer, n = n, n + 1
            if storage.kind == "constant":
                constants[storage.buffer] = storage.array
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


def _results(outputs: Sequence[Value]) -> tuple[list[Value], list[Step]]:
    """Return the outputs in memory that is the caller's, and the copies where they have no such."""
    results: list[Value] = []
    copies: list[Step] = []
    for y in outputs:
        storage = y.storage
        if storage.kind == "work" and y.whole and storage.inside is None and not storage.holds:
            storage.kind = "output"
            results.append(y)
            continue
        copy = Value(Storage("output", y.size * y.dtype.itemsize), y.shape, y.dtype)
        if y.size:
            copies.append(Copy([y], [copy]))
        results.append(copy)
    return results, copies


# ---- what is needed


def _needed(steps: Sequence[Step], results: Sequence[Value]) -> list[Step]:
    """Return the steps that lead to the results."""
    needed: set[int] = set()
    _need(needed, [y.storage for y in results])
    return _kept(steps, needed, True)


def _kept(steps: Sequence[Step], needed: set[int], final: bool) -> list[Step]:
    """Return the steps that write what is needed, and add what they read.

    Where it is not yet `final`, blocks are left as they are.
    """
    kept: list[Step] = []
    for step in reversed(steps):
        if step.kind == "leave" or any(id(storage) in needed for storage in step.written()):
            if isinstance(step, Loop):
                _loop_kept(step, needed, final)
            elif isinstance(step, Block):
                _parts_kept(step, needed, final)
            else:
                _need(needed, step.read())
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
    _need(needed, step.own())


def _loop_kept(loop: Loop, needed: set[int], final: bool) -> None:
    """Find what the body has to write, for what follows and for the next iteration."""
    carried = _carried(loop.body) | {id(m.storage) for m in loop.moving}
    live = set(needed)
    while True:
        for m in loop.moving:
            if id(m.start.storage) in live:
                _need(live, [m.storage])
        for pair in loop.swaps:
            if any(id(m.storage) in live for m in pair):
                _need(live, [m.storage for m in pair])
        before = set(live)
        _kept(loop.body, before, False)
        starts = [m.start.storage for m in loop.moving if id(m.storage) in before]
        found = (before & carried) | {id(part) for x in starts for part in x.parts()}
        if found <= live:
            break
        live |= found
    if final:
        loop.parts[0] = _kept(loop.body, set(live), True)
        used = {id(s.outermost) for step in loop.body for s in (*step.read(), *step.written())}
        used |= needed
        loop.swaps = [pair for pair in loop.swaps if any(id(m.storage) in used for m in pair)]
        used |= {id(m.storage) for pair in loop.swaps for m in pair}
        loop.moving = [m for m in loop.moving if id(m.storage) in used]
    needed |= before


def _carried(body: Sequence[Step]) -> set[int]:
    """Return the memory that a body reads before it writes it, its parts included."""
    written: set[int] = set()
    carried: set[int] = set()

    def read(storages: Sequence[Storage]) -> None:
        _need(carried, [s.outermost for s in storages if id(s.outermost) not in written])

    for step in body:
        read(step.own() if isinstance(step, Block) else step.read())
        if isinstance(step, Block):
            for part in step.parts:
                carried |= _carried(part) - written
        written |= {id(storage.outermost) for storage in step.written()}
    return carried


def _need(needed: set[int], storages: Sequence[Storage]) -> None:
    needed.update([id(part) for storage in storages for part in storage.overlapping()])


# ---- regions and memory


def _compile(steps: Sequence[Step], results: Sequence[Value], everything: bool) -> None:
    """Compile the regions: each writes what somebody else reads, or `everything`."""
    wanted: set[int] = set()
    _need(wanted, [y.storage for y in results])
    for step in walked(steps):
        _need(wanted, step.read())
        if isinstance(step, Loop):
            _need(wanted, [m.storage for m in step.moving])
    for step in walked(steps):
        if isinstance(step, Region):
            made = [y for _, _, y in step.members]
            step.finish({id(y) for y in made if everything or id(y.storage) in wanted})
            step.settle()


def _storages(steps: Sequence[Step], results: Sequence[Value]) -> list[Storage]:
    found = {id(y.storage): y.storage for y in results}
    for step in walked(steps):
        own = step.own() if isinstance(step, Block) else [*step.read(), *step.written()]
        if isinstance(step, Loop):
            own += [m.storage for m in step.moving]
        for storage in own:
            found[id(storage)] = storage
            found[id(storage.outermost)] = storage.outermost
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
        for storage in [s.outermost for s in storages]:
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


def _give_out(steps: Sequence[Step], again: bool) -> int:
    """Give memory of the workspace to what is alive, and return how much that takes.

    `again`: memory of what is not read any more is given out again.
    """
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
        for storage in ending.get(moment, ()) if again else ():
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
