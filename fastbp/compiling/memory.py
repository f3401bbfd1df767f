"""Memory of a plan: one workspace, given out to what is alive.

Work that reads an array for the last time may write into it. What is written at one position and
not read after another one has a part of the workspace between these; it goes to what comes next.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Sequence
from typing import Any

from fastbp.compiling.steps import Region, Step
from fastbp.compiling.values import Storage, Value

__all__ = ["give_out"]

ALIGNMENT = 64


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
    last: dict[int, int] = {}
    for position, step in enumerate(steps):
        for storage in (*step.read(), *step.written()):
            last[id(storage.outermost)] = position
    if "inplace" in passes:
        for position, step in enumerate(steps):
            if isinstance(step, Region):
                _write_over(step, position, last)
    free = _Free()
    ending: list[list[Storage]] = [[] for _ in steps]
    placed: set[int] = set()
    for position, step in enumerate(steps):
        for storage in step.written():
            storage = storage.outermost
            if storage.kind == "work" and id(storage) not in placed:
                placed.add(id(storage))
                storage.offset = free.take(_rounded(storage.nbytes))
                ending[last[id(storage)]].append(storage)
        if "reuse" in passes:
            for storage in ending[position]:
                free.give_back(storage.offset, _rounded(storage.nbytes))
    return free.top


def _rounded(nbytes: int) -> int:
    return -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT


def _write_over(region: Region, position: int, last: dict[int, int]) -> None:
    """Let the outputs of a region lie where operands are that nobody reads afterwards."""
    for number, (program, inputs, outputs) in enumerate(region.programs):
        for k, y in enumerate(outputs):
            if y.shape != region.shape or not _is_alone(y):
                continue
            for i, x in enumerate(inputs):
                if (
                    x.shape == y.shape
                    and program.may_write_over(i, k)
                    and last[id(x.storage.outermost)] == position
                    and _may_be_lost(x, y)
                    and _is_read_once(x, i, region.programs[number:])
                ):
                    _join(x.storage.outermost, y.storage, last)
                    break


def _is_alone(y: Value) -> bool:
    storage = y.storage
    return (
        y.whole
        and storage.kind in ("work", "output")
        and storage.inside is None
        and not storage.holds
    )


def _may_be_lost(x: Value, y: Value) -> bool:
    """Say whether the memory of `x` can be that of `y`, as far as the two of them go."""
    outer = x.storage.outermost
    return (
        x.whole
        and outer.kind == "work"
        and outer.nbytes == y.storage.nbytes
        and outer is not y.storage
    )


Programs = list[tuple[Any, list[Value], list[Value]]]


def _is_read_once(x: Value, i: int, programs: Programs) -> bool:
    """Say whether input `i` of the first program is all that they have to do with its memory."""
    outer = x.storage.outermost
    for number, (_, inputs, outputs) in enumerate(programs):
        for k, v in enumerate([*inputs, *outputs]):
            if v.storage.outermost is outer and (number, k) != (0, i):
                return False
    return True


def _join(x: Storage, y: Storage, last: dict[int, int]) -> None:
    """Make `y` the memory of `x`, or `x` that of `y` where this is the caller's afterwards."""
    outer, inner = (y, x) if y.kind == "output" else (x, y)
    inner.inside, inner.offset = outer, 0
    last[id(outer)] = max(last[id(x)], last[id(y)])


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
