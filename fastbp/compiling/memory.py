"""Memory of a plan: one workspace, given out to what is alive.

Work that reads an array for the last time may write into it; so may a loop that reads a stack of
arrays for the last time, one in each iteration, and writes another such stack. What is used from
one moment to another has a part of the workspace between these; then it goes to what comes next.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from fastbp.compiling.blocks import Block, Loop, Moving
from fastbp.compiling.steps import Region, Step
from fastbp.compiling.values import Storage, Value

__all__ = ["carried", "give_out", "need"]

ALIGNMENT = 64

Programs = list[tuple[Any, list[Value], list[Value]]]
Spans = dict[int, list[Any]]  # by the id of memory: what it is, first and last moment


def give_out(steps: Sequence[Step], passes: Collection[str]) -> int:
    """Give out memory of the workspace, and return how much that takes.

    Parameters
    ----------
    steps : sequence of Step
        In the order in which they run.
    passes : collection of str
        "inplace": work may write into what it reads for the last time; "reuse": memory of what is
        not read any more is given out again.
    """
    accesses = _Accesses(steps)
    spans = accesses.spans()
    if "inplace" in passes:
        for moment, repeated, region in accesses.regions:
            _write_over(region, moment, repeated, spans)
            if id(region) in accesses.around:
                _write_over_stacks(region, moment, accesses.around[id(region)], spans)
    starting: dict[int, list[Storage]] = {}
    ending: dict[int, list[Storage]] = {}
    for storage, first, last in spans.values():
        if storage.kind == "output":
            continue
        starting.setdefault(first, []).append(storage)
        ending.setdefault(last, []).append(storage)
    free = _Free()
    for moment in sorted({*starting, *ending}):
        for storage in starting.get(moment, ()):
            storage.offset = free.take(_rounded(storage.nbytes))
        if "reuse" in passes:
            for storage in ending.get(moment, ()):
                free.give_back(storage.offset, _rounded(storage.nbytes))
    return free.top


def _rounded(nbytes: int) -> int:
    return -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT


# ---- when it is used


def carried(body: Sequence[Step]) -> set[int]:
    """Return the memory that a body reads before it writes it, its parts included."""
    written: set[int] = set()
    found: set[int] = set()

    def read(storages: Sequence[Storage]) -> None:
        need(found, [s.outermost for s in storages if id(s.outermost) not in written])

    for step in body:
        read(step.own() if isinstance(step, Block) else step.read())
        if isinstance(step, Block):
            for part in step.parts:
                found |= carried(part) - written
        written |= {id(storage.outermost) for storage in step.written()}
    return found


def need(needed: set[int], storages: Sequence[Storage]) -> None:
    """Add memory to what is needed, its parts, and what it is a part of."""
    for storage in storages:
        needed.add(id(storage))
        if storage.inside is not None or storage.holds:
            needed.update([id(part) for part in storage.overlapping()])


class _Accesses:
    """Who reads and writes work and results, in order: (moment, memory, whether it is written)."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.found: list[tuple[int, Storage, bool]] = []
        self.loops: list[tuple[int, int]] = []  # places of what is found in them, inner ones first
        self.moving: dict[int, list[Storage]] = {}
        self.regions: list[tuple[int, bool, Region]] = []  # with moment, and whether in a block
        self.around: dict[int, _Around] = {}  # by the ids of regions in loops that no block holds
        self.of: dict[int, list[tuple[int, int]]] = {}
        self.now = self.depth = 0
        self._take(steps)

    def _take(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self.now += 1
            if isinstance(step, Region):
                self.regions.append((self.now, self.depth > 0, step))
            if not isinstance(step, Block):
                self._note(step.read(), False)
                self._note(step.written(), True)
                continue
            first = inner = len(self.found)
            if isinstance(step, Loop):
                self.moving |= step.places()
                carry = carried(step.body)
                for m in step.moving:
                    self._note([m.start.storage], id(m.storage) not in carry)
                inner = len(self.found)
            else:
                self._note(step.own(), False)
            self.depth += 1
            for part in step.parts:
                self._take(part)
            self.depth -= 1
            self.now += 1
            end = len(self.found)
            self._note(step.own(), False)
            if isinstance(step, Loop):
                self.loops.append((first, len(self.found)))
                if self.depth == 0:
                    around = _Around(step, self, (first, inner, end, len(self.found)))
                    own = [part for part in step.body if isinstance(part, Region)]
                    self.around |= {id(part): around for part in own}

    def _note(self, storages: Sequence[Storage], written: bool) -> None:
        for storage in [s.outermost for s in storages]:
            if storage.kind == "moving":
                self._note(self.moving[id(storage)], written)
            elif storage.kind in ("work", "output"):
                self.found.append((self.now, storage, written))

    def uses(self, storage: Storage) -> list[tuple[int, int]]:
        """Return (place in what is found, moment) of all accesses to memory and its parts."""
        if not self.of:
            for k, (now, other, _) in enumerate(self.found):
                self.of.setdefault(id(other), []).append((k, now))
        return sorted(use for part in storage.parts() for use in self.of.get(id(part), ()))

    def spans(self) -> dict[int, list[Any]]:
        """Return by the id of memory what it is, and from which moment to which it is used.

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
        return spans


class _Around:
    """A loop around a region: what moves in it, and where the accesses of its body are found."""

    def __init__(self, loop: Loop, accesses: _Accesses, places: tuple[int, int, int, int]) -> None:
        self.loop, self.accesses = loop, accesses
        self.begin, self.first, self.end, self.behind = places
        # Those that nothing else moves in: all that a body does there is known.
        count = Counter([id(m.start.storage.outermost) for m in loop.moving])
        alone = [m for m in loop.in_step() if count[id(m.start.storage.outermost)] == 1]
        self.moving = {id(m.storage): m for m in alone}

    def moving_of(self, x: Value) -> Moving | None:
        """Return by what an array moves that is other memory in each iteration."""
        m = self.moving.get(id(x.storage.outermost))
        if m is None or not x.contiguous or abs(m.step) < x.size * x.dtype.itemsize:
            return None
        return m

    def is_written_first(self, stack: Storage, moment: int) -> bool:
        """Say whether all use of memory begins with one access, at this moment."""
        uses = self.accesses.uses(stack)
        own = [now for k, now in uses if self.first <= k < self.end]
        return uses[0][0] >= self.begin and own[0] == moment and own.count(moment) == 1

    def is_read_last(self, x: Value, moment: int) -> bool:
        """Say whether nothing is done with the memory in which an array moves after this moment.

        Each iteration has to have an array of its own there.
        """
        m = self.moving[id(x.storage.outermost)]
        uses = self.accesses.uses(m.start.storage.outermost)
        own = [now for k, now in uses if self.first <= k < self.end]
        if own[-1] != moment or own.count(moment) != 1 or uses[-1][0] >= self.behind:
            return False
        if len(own) == 1:
            return True
        values = [v for step in self.loop.body for v in (*step.reads, *step.writes)]
        values = [v for v in values if v.storage.outermost is m.storage]
        # What is in blocks of the body is not among these.
        return len(values) == len(own) and all(
            v.contiguous and v.size <= x.size and _place_in(m, v) == _place_in(m, x) for v in values
        )


# ---- work in place


def _write_over(region: Region, moment: int, repeated: bool, spans: Spans) -> None:
    """Let the outputs of a region lie where operands are that nobody reads afterwards."""
    for number, (program, inputs, outputs) in enumerate(region.programs):
        for k, y in enumerate(outputs):
            if y.shape != region.shape or not _is_new(y, moment, repeated, spans):
                continue
            if not _is_alone(y, region.programs):
                continue
            for i, x in enumerate(inputs):
                if (
                    x.shape == y.shape
                    and id(x) not in region.picks
                    and program.may_write_over(i, k)
                    and _is_lost(x, y, moment, spans)
                    and _is_read_once(x, i, region.programs[number:])
                    and not _is_picked_from(x, region)
                ):
                    _join(x.storage.outermost, y.storage, spans)
                    break


def _write_over_stacks(region: Region, moment: int, around: _Around, spans: Spans) -> None:
    """Let a stack of outputs lie where one of operands is that nobody reads any more."""
    for number, (program, inputs, outputs) in enumerate(region.programs):
        for k, y in enumerate(outputs):
            to = around.moving_of(y)
            if to is None or y.shape != region.shape or id(y) in region.summed:
                continue
            if not _is_alone(y, region.programs):
                continue
            new = to.start.storage
            if new.kind not in ("work", "output") or new.inside is not None or new.holds:
                continue
            if not around.is_written_first(new, moment):
                continue
            for i, x in enumerate(inputs):
                of = around.moving_of(x)
                if (
                    of is not None
                    and of.step == to.step
                    and x.shape == y.shape
                    and _place_in(of, x) == _place_in(to, y)
                    and of.start.storage.outermost.kind == "work"
                    and of.start.storage.outermost.nbytes == new.nbytes
                    and of.start.storage.outermost is not new
                    and program.may_write_over(i, k)
                    and _is_read_once(x, i, region.programs[number:])
                    and around.is_read_last(x, moment)
                ):
                    _join(of.start.storage.outermost, new, spans)
                    break


def _place_in(m: Moving, x: Value) -> int:
    """Return where an array is in the first iteration, in the memory in which it moves."""
    return m.start.storage.start + m.start.offset + x.storage.start + x.offset


def _is_new(y: Value, moment: int, repeated: bool, spans: Spans) -> bool:
    """Say whether an output is all of memory that is used from this moment on."""
    storage = y.storage
    if not y.whole or storage.inside is not None or storage.holds:
        return False
    if storage.kind not in ("work", "output") or (storage.kind == "output" and repeated):
        return False
    return bool(spans[id(storage)][1] == moment)


def _is_alone(y: Value, programs: Programs) -> bool:
    """Say whether a region has nothing else to do with the memory of an output."""
    values = [v for _, inputs, outputs in programs for v in (*inputs, *outputs)]
    return sum(v.storage.outermost is y.storage.outermost for v in values) == 1


def _is_lost(x: Value, y: Value, moment: int, spans: Spans) -> bool:
    """Say whether an operand is all of memory that nobody reads after this moment."""
    outer = x.storage.outermost
    return (
        x.whole
        and outer.kind == "work"
        and outer.nbytes == y.storage.nbytes
        and outer is not y.storage
        and bool(spans[id(outer)][2] == moment)
    )


def _is_read_once(x: Value, i: int, programs: Programs) -> bool:
    """Say whether input `i` of the first program is all that they have to do with its memory."""
    outer = x.storage.outermost
    for number, (_, inputs, outputs) in enumerate(programs):
        for k, v in enumerate([*inputs, *outputs]):
            if v.storage.outermost is outer and (number, k) != (0, i):
                return False
    return True


def _is_picked_from(x: Value, region: Region) -> bool:
    """Say whether a region reads memory in another order, too."""
    outer = x.storage.outermost
    return any(pick.reads[0].storage.outermost is outer for pick in region.picks.values())


def _join(x: Storage, y: Storage, spans: Spans) -> None:
    """Make `y` the memory of `x`, or `x` that of `y` where this is the caller's afterwards."""
    if y.kind == "output":
        x.put_inside(y, 0)
        spans[id(y)][1] = spans.pop(id(x))[1]
    else:
        y.put_inside(x, 0)
        spans[id(x)][2] = spans.pop(id(y))[2]


# ---- the workspace


class _Free:
    """The free parts of a workspace that grows."""

    def __init__(self) -> None:
        self.top = 0
        self.by_size: list[tuple[int, int]] = []  # (size, offset), sorted
        self.starts: dict[int, int] = {}  # offset -> size
        self.ends: dict[int, int] = {}  # the end of a part -> its offset

    def take(self, size: int) -> int:
        """Return the offset of the smallest free part that is large enough, or of a new one."""
        k = bisect.bisect_left(self.by_size, (size, 0))
        if k == len(self.by_size):
            offset, self.top = self.top, self.top + size
            return offset
        have, offset = self.by_size[k]
        self._remove(offset, have)
        if have > size:
            self._add(offset + size, have - size)
        return offset

    def give_back(self, offset: int, size: int) -> None:
        """Take a part back, and join it with free ones beside it."""
        end = offset + size
        if end in self.starts:
            after = self.starts[end]
            self._remove(end, after)
            size += after
        if offset in self.ends:
            before = self.ends[offset]
            have = self.starts[before]
            self._remove(before, have)
            offset, size = before, size + have
        self._add(offset, size)

    def _add(self, offset: int, size: int) -> None:
        bisect.insort(self.by_size, (size, offset))
        self.starts[offset] = size
        self.ends[offset + size] = offset

    def _remove(self, offset: int, size: int) -> None:
        del self.by_size[bisect.bisect_left(self.by_size, (size, offset))]
        del self.starts[offset]
        del self.ends[offset + size]
