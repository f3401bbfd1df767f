"""From instructions to a plan: what is not needed is left out, memory is given out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastbp._core.machine import Machine
from fastbp._core.replay import Plan
from fastbp.compiling.builder import Builder
from fastbp.compiling.memory import give_out
from fastbp.compiling.steps import Copy, Region, Step
from fastbp.compiling.values import Storage, Value

__all__ = ["laid_out"]


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
    steps = _needed(b.steps, results, "dead" in b.passes)
    for step in steps:
        if isinstance(step, Region):
            step.settle()
    work_bytes = give_out(steps, b.passes)
    constants: dict[int, Any] = {}
    n = len(inputs)
    for number, x in enumerate(inputs):
        if x is not None:
            x.storage.buffer = number
    work, n = n, n + 1
    in_memory = {id(storage) for step in steps for storage in step.read_in_memory()}
    found = _storages(steps, results)
    for storage in found:
        if storage.kind == "given" and id(storage) not in in_memory:
            continue  # it goes from call to call
        if storage.inside is not None:
            continue
        if storage.kind == "work":
            storage.buffer = work
        elif storage.buffer < 0:
            storage.buffer, n = n, n + 1
            if storage.kind == "constant":
                constants[storage.buffer] = storage.array
    inner = [storage for storage in found if storage.inside is not None]
    for storage, start in zip(inner, [storage.start for storage in inner], strict=True):
        storage.buffer, storage.offset = storage.outermost.buffer, start
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


def _needed(steps: Sequence[Step], results: Sequence[Value], only: bool) -> list[Step]:
    """Return the steps that lead to the results, regions with the members that do.

    All steps, and all members, unless `only` what is needed is asked for.
    """
    needed: set[int] = set()
    for y in results:
        _need(needed, y.storage)
    if not only:
        for step in steps:
            made = (y for _, _, y in step.members) if isinstance(step, Region) else step.writes
            for y in made:
                _need(needed, y.storage)
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
            step.members = members[::-1]
            if not members:
                continue
            step.finish(wanted)
            kept.append(step)
        elif any(id(storage) in needed for storage in step.written()):
            for storage in step.read():
                _need(needed, storage)
            kept.append(step)
    return kept[::-1]


def _need(needed: set[int], storage: Storage) -> None:
    needed.add(id(storage))
    for part in storage.holds:
        needed.add(id(part))


def _storages(steps: Sequence[Step], results: Sequence[Value]) -> list[Storage]:
    found = {id(y.storage): y.storage for y in results}
    for step in steps:
        for storage in (*step.read(), *step.written()):
            found[id(storage)] = storage
            found[id(storage.outermost)] = storage.outermost
    return list(found.values())
