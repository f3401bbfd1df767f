"""From instructions to a plan: what is not needed is left out, memory is given out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastbp._core.machine import Machine
from fastbp._core.replay import Plan
from fastbp.compiling.blocks import Block, Loop, walked
from fastbp.compiling.builder import Builder
from fastbp.compiling.copies import with_fewer_copies
from fastbp.compiling.endings import with_endings
from fastbp.compiling.fusing import fused
from fastbp.compiling.hoisting import with_products_at_once
from fastbp.compiling.memory import carried, give_out, need
from fastbp.compiling.picking import with_picks_inside
from fastbp.compiling.reducing import with_early_reductions
from fastbp.compiling.rolling import rolled
from fastbp.compiling.sinking import with_work_in_loops
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
    steps = _needed(b.steps, outputs) if "dead" in b.passes else b.steps
    if "early" in b.passes:
        steps = with_early_reductions(steps)
    steps = with_fewer_copies(steps, outputs, b.passes)
    if "rolling" in b.passes:
        steps = rolled(steps, outputs)
    if "hoisting" in b.passes:
        steps = with_products_at_once(steps, outputs)
    results, copies = _results(outputs)
    steps = steps + copies
    if "fusion" in b.passes:
        if "sinking" in b.passes:
            steps = with_work_in_loops(steps)
        steps = fused(steps)
    steps = with_endings(steps, b.passes)
    _compile(steps, results, "dead" not in b.passes)
    if "picking" in b.passes:
        steps = with_picks_inside(steps, results)
    work_bytes = give_out(steps, b.passes)
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
    ends = [x for x in (*inputs, *results) if x is not None]
    sizes = {x.storage.buffer: (x.storage.nbytes, x.storage.kind == "output") for x in ends}
    machine = Machine(n, work, work_bytes, constants, sizes)
    emitted = []
    for step in steps:
        first = machine.n_steps
        step.emit(machine)
        emitted.append((step, first, machine.n_steps))
    return Plan(
        machine,
        [None if x is None else (x.shape, x.dtype) for x in inputs],
        [(y.storage.buffer, y.shape, y.dtype) for y in results],
        _facts(steps),
        emitted,
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
    need(needed, [y.storage for y in results])
    return _kept(steps, needed, True)


def _kept(steps: Sequence[Step], needed: set[int], final: bool) -> list[Step]:
    """Return the steps that write what is needed, and add what they read.

    Where it is not yet `final`, blocks are left as they are.
    """
    kept: list[Step] = []
    for step in reversed(steps):
        if step.kind == "leave" or any([id(storage) in needed for storage in step.written()]):
            if isinstance(step, Loop):
                _loop_kept(step, needed, final)
            elif isinstance(step, Block):
                _parts_kept(step, needed, final)
            else:
                need(needed, step.read())
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
    need(needed, step.own())


def _loop_kept(loop: Loop, needed: set[int], final: bool) -> None:
    """Find what the body has to write, for what follows and for the next iteration."""
    carry = carried(loop.body) | {id(m.storage) for m in loop.moving}
    live = set(needed)
    while True:
        for m in loop.moving:
            if id(m.start.storage) in live:
                need(live, [m.storage])
        for pair in loop.swaps:
            if any(id(m.storage) in live for m in pair):
                need(live, [m.storage for m in pair])
        before = set(live)
        _kept(loop.body, before, False)
        starts = [m.start.storage for m in loop.moving if id(m.storage) in before]
        found = (before & carry) | {id(part) for x in starts for part in x.parts()}
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


# ---- regions


def _compile(steps: Sequence[Step], results: Sequence[Value], everything: bool) -> None:
    """Compile the regions: each writes what somebody else reads, or `everything`."""
    wanted: set[int] = set()
    need(wanted, [y.storage for y in results])
    for step in walked(steps):
        need(wanted, step.read())
        if isinstance(step, Loop):
            need(wanted, [m.storage for m in step.moving])
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
