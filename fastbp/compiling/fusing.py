"""Elementwise work is put together: fewer instructions, and values that never go to memory."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from typing import Any

from fastbp.compiling.blocks import Block, Loop
from fastbp.compiling.steps import Copy, Pick, Region, Step
from fastbp.compiling.values import Value

__all__ = ["fused"]

_LOOKED_AT = 64  # instructions behind which a region is not looked for
_MOST_READ = 10  # of the slots of a program, so that what it writes has some
_FEW = 16  # elements: so small are copies and regions of which the smaller ones come first


def fused(steps: Sequence[Step]) -> list[Step]:
    """Return steps in which elementwise work has joined the last region that it can.

    That is one of its shape and dtype which stands behind all that the work reads, or computes it.
    """
    out: list[Step] = []
    written: dict[int, int] = {}
    regions: dict[int, int] = {}  # the region that computes a value
    reads: dict[int, set[Any]] = {}  # what a region reads, by its position
    for step in _smaller_first(_picks_first(steps)):
        if isinstance(step, Block) and not (isinstance(step, Loop) and step.is_fused):
            step.parts[:] = [fused(part) for part in step.parts]
        if not isinstance(step, Region):
            for storage in step.written():
                written[id(storage)] = len(out)
            out.append(step)
            continue
        operands = [x for _, xs, _ in step.members for x in xs if isinstance(x, Value)]
        own = {id(y) for _, _, y in step.members}
        operands = [x for x in operands if id(x) not in own]
        after = max([_after(x, written, regions) for x in operands], default=0)
        position = _place(out, step, after, operands, reads, regions)
        if position < 0:
            position = len(out)
            out.append(Region(step.shape, step.dtype))
            reads[position] = set()
        region = out[position]
        assert isinstance(region, Region)
        region.members += step.members
        reads[position] |= {x.layout for x in operands if regions.get(id(x)) != position}
        for _, _, y in step.members:
            written[id(y.storage)] = regions[id(y)] = position
    return out


def _after(x: Value, written: dict[int, int], regions: dict[int, int]) -> int:
    """Return the first position at which elementwise work can read a value."""
    storage = x.storage
    if storage.inside is None and not storage.holds:
        last = written.get(id(storage), -1)
    else:
        last = max([written.get(id(part), -1) for part in storage.overlapping()])
    return last if regions.get(id(x)) == last else last + 1


def _place(
    out: Sequence[Step],
    step: Region,
    after: int,
    operands: Sequence[Value],
    reads: dict[int, set[Any]],
    regions: dict[int, int],
) -> int:
    for position in range(len(out) - 1, max(after, len(out) - 1 - _LOOKED_AT) - 1, -1):
        region = out[position]
        if (
            isinstance(region, Region)
            and region.shape == step.shape
            and region.dtype == step.dtype
            and region.has_room(len(step.members))
        ):
            own = reads[position]
            new = {x.layout for x in operands if regions.get(id(x)) != position} - own
            if len(own) + len(new) <= _MOST_READ:
                return position
    return -1


# ---- picks


def _picks_first(steps: Sequence[Step]) -> Sequence[Step]:
    """Return steps in which elements are picked in front of elementwise work, where they may be.

    So work on an array and its neighbours is one region, in whichever order they are read.
    """
    if not any(isinstance(step, Pick) for step in steps):
        return steps
    out: list[Step] = []
    for step in steps:
        k = len(out)
        if isinstance(step, Pick) and _is_apart(step):
            own = {id(v.storage.outermost) for v in (*step.reads, *step.writes)}
            target = id(step.writes[0].storage)
            first = max(0, k - _LOOKED_AT)
            while k > first and _may_follow(out[k - 1], own, target):
                k -= 1
        out.insert(k, step)
    return out


def _is_apart(pick: Pick) -> bool:
    """Say whether a pick reads and writes memory that nobody touches by another name."""
    x, y = pick.reads[0].storage.outermost, pick.writes[0].storage
    return x.kind != "moving" and y.kind == "work" and y.inside is None and not y.holds


def _may_follow(step: Step, own: set[int], target: int) -> bool:
    """Say whether a step may stand behind a pick that touches this memory, and writes a target."""
    if not isinstance(step, Region | Pick):
        return False
    if any(id(storage) == target for storage in step.read()):
        return False
    written = [storage.outermost for storage in step.written()]
    return not any(storage.kind == "moving" or id(storage) in own for storage in written)


# ---- small work


def _smaller_first(steps: Sequence[Step]) -> list[Step]:
    """Return steps in an order in which small elementwise work of one shape stands together.

    Numbers that vectors are multiplied by are computed before these: so it is one region each, not
    one for what is computed before a number, and one for what reads it.
    """
    out: list[Step] = []
    for few, run in _runs(steps):
        shapes = {step.shape for step in run if isinstance(step, Region)} if few else set()
        out += _in_order(run) if len(shapes) > 1 else run
    return out


def _runs(steps: Sequence[Step]) -> Iterator[tuple[bool, list[Step]]]:
    """Go through steps: those side by side that are small elementwise work, and others."""
    run: list[Step] = []
    before = False
    for step in steps:
        few = _size(step) <= _FEW
        if few is not before and run:
            yield before, run
            run = []
        before = few
        run.append(step)
    if run:
        yield before, run


def _size(step: Step) -> float:
    if isinstance(step, Region):
        return math.prod(step.shape)
    return step.writes[0].size if type(step) is Copy else math.inf


def _in_order(steps: list[Step]) -> list[Step]:
    """Return steps: of those that are ready, one like the last if there is, or the smallest."""
    following: list[list[int]] = [[] for _ in steps]
    waiting = [0] * len(steps)
    writers: dict[int, int] = {}
    readers: dict[int, list[int]] = {}

    def behind(first: int, second: int) -> None:
        if first != second:
            following[first].append(second)
            waiting[second] += 1

    for k, step in enumerate(steps):
        for storage in step.read():
            outer = id(storage.outermost)
            if outer in writers:
                behind(writers[outer], k)
            readers.setdefault(outer, []).append(k)
        for storage in step.written():
            outer = id(storage.outermost)
            if outer in writers:
                behind(writers[outer], k)
            for other in readers.pop(outer, ()):
                behind(other, k)
            writers[outer] = k
    kinds = [(_size(step), step.kind, getattr(step, "shape", None)) for step in steps]
    ready: dict[Any, list[int]] = {}
    for k, n in enumerate(waiting):
        if n == 0:
            ready.setdefault(kinds[k], []).append(k)
    out: list[Step] = []
    last: Any = None
    while ready:
        if last not in ready:
            last = min(ready, key=lambda kind: (kind[0], ready[kind][0]))
        own = ready[last]
        k = heapq.heappop(own)
        if not own:
            del ready[last]
        out.append(steps[k])
        for other in following[k]:
            waiting[other] -= 1
            if waiting[other] == 0:
                heapq.heappush(ready.setdefault(kinds[other], []), other)
    return out
