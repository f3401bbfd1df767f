"""From instructions to a plan: what is not needed is left out, memory is given out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastbp._core.machine import Machine
from fastbp._core.replay import Plan
from fastbp.compiling.builder import Builder
from fastbp.compiling.fusing import fused
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
    results = _results(b, outputs)
    steps = _needed(b.steps, results) if "dead" in b.passes else b.steps
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
    in_memory = {id(storage) for step in steps for storage in step.read_in_memory()}
    for storage in _storages(steps, results):
        if storage.kind == "given" and id(storage) not in in_memory:
            continue  # it goes from call to call
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
        [_facts(step) for step in steps],
    )


def _facts(step: Step) -> tuple[Any, ...]:
    return step.kind, [v.shape for v in step.writes], step.described()


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


def _needed(steps: Sequence[Step], results: Sequence[Value]) -> list[Step]:
    """Return the steps that lead to the results."""
    needed = {id(part) for y in results for part in y.storage.parts()}
    kept: list[Step] = []
    for step in reversed(steps):
        if any(id(storage) in needed for storage in step.written()):
            needed.update([id(part) for storage in step.read() for part in storage.parts()])
            kept.append(step)
    return kept[::-1]


def _compile(steps: Sequence[Step], results: Sequence[Value], everything: bool) -> None:
    """Compile the regions: each writes what somebody else reads, or `everything`."""
    wanted = {id(part) for y in results for part in y.storage.parts()}
    for step in steps:
        wanted.update([id(part) for storage in step.read() for part in storage.parts()])
    for step in steps:
        if isinstance(step, Region):
            made = [y for _, _, y in step.members]
            step.finish({id(y) for y in made if everything or id(y.storage) in wanted})
            step.settle()


def _storages(steps: Sequence[Step], results: Sequence[Value]) -> list[Storage]:
    found = {id(y.storage): y.storage for y in results}
    for step in steps:
        for storage in (*step.read(), *step.written()):
            found[id(storage)] = storage
    return list(found.values())


def _give_out(steps: Sequence[Step], again: bool) -> int:
    """Give memory of the workspace to what is alive, and return how much that takes.

    `again`: memory of what is not read any more is given out again.
    """
    last: dict[int, int] = {}
    for position, step in enumerate(steps):
        for storage in (*step.read(), *step.written()):
            last[id(storage.outermost)] = position
    ending: dict[int, list[Storage]] = {}
    free: list[tuple[int, int]] = []  # (offset, size), by offset
    top = 0
    placed: set[int] = set()
    for position, step in enumerate(steps):
        for storage in [storage.outermost for storage in step.written()]:
            if storage.kind != "work" or id(storage) in placed:
                continue
            placed.add(id(storage))
            size = -(-max(storage.nbytes, 1) // ALIGNMENT) * ALIGNMENT
            storage.offset = _take(free, size)
            if storage.offset < 0:
                storage.offset, top = top, top + size
            ending.setdefault(last[id(storage)], []).append(storage)
        for storage in ending.pop(position, ()) if again else ():
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
