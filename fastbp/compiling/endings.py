"""What is done with elementwise work in the end, done where it runs.

A sum of what a region computes is added up there, so that what is summed is written nowhere. What
is copied to a part of a larger array, or added to one, is computed in that place. So the gradient
of work on neighbours, ``x[1:]`` and ``x[:-1]``, is one pass over memory.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from fastbp.compiling.blocks import Block, Loop, walked
from fastbp.compiling.steps import Add, Copy, Region, Step, Sum, Zero
from fastbp.compiling.values import Storage, Value, strides_of

__all__ = ["LOOKED_AT", "bytes_of", "overlap", "with_endings"]

_MOST_SUMS = 2
_MOST_SLOTS = 10  # of a program, so that all else fits
_MOST_STORED = 12  # of one whose values go to other places, and to none of their own
_END = 1 << 62
LOOKED_AT = 64  # accesses to one memory; where there are more, nothing is moved


def with_endings(steps: Sequence[Step], passes: Collection[str]) -> list[Step]:
    """Return steps in which regions end in sums, and in what goes to a place of its own."""
    loops = [step for step in walked(steps) if isinstance(step, Loop)]
    hidden = {id(m.start.storage.outermost) for loop in loops for m in loop.moving}
    return _Endings(steps, passes, hidden).found()


class _Endings:
    """Goes through steps, and remembers who touches which memory.

    A step is moved to the region whose value it reads if nobody in between, and nothing in the
    region itself, touches what it writes. Zeros wait for the first who does.
    """

    def __init__(
        self, steps: Sequence[Step], passes: Collection[str], hidden: Collection[int]
    ) -> None:
        self.steps, self.passes = steps, passes
        self.hidden = hidden  # memory that is touched by other names, too: what moves in loops
        self.computed: dict[int, tuple[int, Value]] = {}  # by memory: in which region, and what
        self.touched: dict[int, list[_Access]] = {}  # by memory
        self.waiting: dict[int, list[tuple[Zero, _Access]]] = {}
        self.left = -1  # where the loop may be left: nothing is moved to the other side
        self.before: dict[int, list[Step]] = {}
        self.ended: dict[int, list[Value]] = {}  # places at the end of a region

    def found(self) -> list[Step]:
        kept: list[tuple[int, Step]] = []
        for now, step in enumerate(self.steps):
            if isinstance(step, Block):
                step.parts[:] = [
                    _Endings(part, self.passes, self.hidden).found() for part in step.parts
                ]
            if isinstance(step, Zero) and "placing" in self.passes:
                (y,) = step.writes
                access = self._touch(bytes_of(y), y.storage.outermost, now, now)
                self.waiting.setdefault(id(y.storage.outermost), []).append((step, access))
            elif not (self._is_summed(step, now) or self._is_placed(step, now)):
                self._note(step, now)
                kept.append((now, step))
        out: list[Step] = []
        for now, step in kept:
            out += self.before.get(now, [])
            out.append(step)
        return out + [step for zeros in self.waiting.values() for step, _ in zeros]

    # -- memory

    def _note(self, step: Step, now: int) -> None:
        if step.kind == "leave":
            self.left = now
        for storage in (*step.read(), *step.written()):
            outer = storage.outermost
            first = storage.start
            touched = (0, _END) if outer.kind == "moving" else (first, first + storage.nbytes)
            self._zeros_first(touched, outer, now)
            self._touch(touched, outer, now, now)
        self._forget(step.written())
        if isinstance(step, Region):
            for _, _, y in step.members:
                self.computed[id(y.storage)] = now, y

    def _forget(self, written: Sequence[Storage]) -> None:
        """Forget what was computed where something else is written now."""
        for storage in written:
            for part in storage.overlapping():
                self.computed.pop(id(part), None)

    def _touch(self, where: tuple[int, int], outer: Storage, position: int, now: int) -> _Access:
        access = _Access(where, position, now)
        self.touched.setdefault(id(outer), []).append(access)
        return access

    def _zeros_first(self, where: tuple[int, int], outer: Storage, position: int) -> None:
        """Let zeros that wait for somebody to touch them stand in front of who does."""
        zeros = self.waiting.get(id(outer))
        if not zeros:
            return
        for step, access in zeros[:]:
            if overlap(where, access.where):
                self.before.setdefault(position, []).append(step)
                access.position = position - 0.5
                zeros.remove((step, access))

    def _may_move(self, y: Value, position: int, over: bool = False) -> bool:
        """Say whether nobody touches a place since a region; in it, only what ends there.

        With `over` it may have been read in the region.
        """
        outer, where = y.storage.outermost, bytes_of(y)
        if outer.kind not in ("work", "output") or id(outer) in self.hidden:
            return False
        if position < self.left:
            return False
        own = [bytes_of(x) for x in self.ended.get(position, ()) if x.storage is y.storage]
        zeros = [access for _, access in self.waiting.get(id(outer), ())]
        for looked, access in enumerate(reversed(self.touched.get(id(outer), ()))):
            if access.noted < position:
                return True
            if looked > LOOKED_AT:
                return False
            if access.position < position or not overlap(where, access.where):
                continue
            if over and access.position == position:
                continue
            if access not in zeros and not (access.position == position and access.where in own):
                return False
        return True

    # -- what is moved

    def _region_of(self, x: Value) -> tuple[int, Region, Value] | None:
        """Return the region that computes a value, all of it, and what it is there."""
        if id(x.storage) not in self.computed or not x.whole:
            return None
        position, value = self.computed[id(x.storage)]
        region = self.steps[position]
        assert isinstance(region, Region)
        return position, region, value

    def _is_summed(self, step: Step, now: int) -> bool:
        if not isinstance(step, Sum) or "reductions" not in self.passes:
            return False
        (x,), (y,) = step.reads, step.writes
        found = self._region_of(x)
        if found is None or not self._may_move(y, found[0]):
            return False
        position, region, value = found
        axes = _axes(region.shape, step.sizes)
        if axes is None or (region.sums and region.axes != axes) or _slots(region) >= _MOST_SLOTS:
            return False
        walked = [*region.external(), *[place for _, place in (*region.stores, *region.adds)]]
        if len(region.sums) == _MOST_SUMS or not _evenly(walked, region.shape, axes):
            return False
        if region.ordered and math.prod(region.shape[axes[1] :]) > 1:
            return False  # columns are computed in pieces
        region.sums.append((value, y))
        region.axes = axes
        self._end(y, position, now)
        return True

    def _is_placed(self, step: Step, now: int) -> bool:
        if not isinstance(step, Copy | Add) or "placing" not in self.passes:
            return False
        x, (y,) = step.reads[0], step.writes
        found = self._region_of(x)
        if found is None:
            return False
        position, region, value = found
        y = _in_shape(y, region.shape) if x.size == y.size else y
        added = isinstance(step, Add)
        over = not added and _reads_it_as_it_lies(region, y)
        if not self._may_move(y, position, over):
            return False
        if y.shape != region.shape or y.dtype != region.dtype:
            return False
        if _slots(region) + 1 + added > (_MOST_SLOTS if added else _MOST_STORED):
            return False
        if region.sums and not _evenly([y], region.shape, region.axes):
            return False
        stored, others = (
            [p for _, p in pairs if p.storage is y.storage and overlap(bytes_of(p), bytes_of(y))]
            for pairs in (region.stores, [*region.stores, *region.adds])
        )
        if others and not (added and _in_order(y, stored)):
            return False
        others = [p for p in others if p.layout != y.layout]
        if others and region.sums and math.prod(region.shape[region.axes[1] :]) > 1:
            return False
        (region.adds if added else region.stores).append((value, y))
        region.ordered = region.ordered or bool(others)
        self._end(y, position, now)
        return True

    def _end(self, y: Value, position: int, now: int) -> None:
        self._zeros_first(bytes_of(y), y.storage.outermost, position)
        self._touch(bytes_of(y), y.storage.outermost, position, now)
        self.ended.setdefault(position, []).append(y)
        self._forget([y.storage])


def _in_shape(y: Value, shape: tuple[int, ...]) -> Value:
    """Return a place over a shape that differs in axes of one element, or else as it is."""
    axes = [(n, step) for n, step in zip(y.shape, y.strides, strict=True) if n != 1]
    if y.shape == shape or [n for n, _ in axes] != [n for n in shape if n != 1]:
        return y
    rest = iter(axes)
    return y.view(shape, y.offset, tuple([next(rest)[1] if n != 1 else 0 for n in shape]))


def _reads_it_as_it_lies(region: Region, y: Value) -> bool:
    """Say whether a region reads a place, element by element, and has nothing else to do with it.

    Then it may be written there, each element when it was read.
    """
    outer = y.storage.outermost
    others = [x for _, _, x in region.members] + region.ends()
    if region.sums or any(x.storage.outermost is outer for x in others):
        return False
    read = [x for x in region.external() if x.storage.outermost is outer]
    return bool(read) and all(
        x.layout == y.layout or not overlap(bytes_of(x), bytes_of(y)) for x in read
    )


class _Access:
    """Bytes that are touched at a position of the steps, and when that was noted."""

    __slots__ = ("noted", "position", "where")

    def __init__(self, where: tuple[int, int], position: float, noted: int) -> None:
        self.where, self.position, self.noted = where, position, noted


def bytes_of(y: Value) -> tuple[int, int]:
    """Return the first byte that an array takes of the outermost memory, and the end."""
    first = end = y.storage.start + y.offset
    for n, stride in zip(y.shape, y.strides, strict=True):
        if stride < 0:
            first += (n - 1) * stride
        else:
            end += (n - 1) * stride
    return first, end + y.dtype.itemsize


def overlap(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Say whether ranges of bytes have some in common."""
    return a[0] < b[1] and b[0] < a[1]


def _in_order(y: Value, others: Sequence[Value]) -> bool:
    """Say whether what is added in a place finds there what was written in others before.

    It is so where the others begin further behind, if elements are computed in their order.
    """
    return all(
        y.strides == other.strides and min(y.strides, default=0) >= 0 and y.offset < other.offset
        for other in others
    )


def _axes(shape: tuple[int, ...], sizes: tuple[int, int, int]) -> tuple[int, int] | None:
    """Return the axes that have these sizes: those in front, those summed over, and the rest."""
    outer, rows, n = sizes
    for first in range(len(shape)):
        if math.prod(shape[:first]) == outer:
            for end in range(first + 1, len(shape) + 1):
                if math.prod(shape[first:end]) == rows and math.prod(shape[end:]) == n:
                    return first, end
    return None


def _evenly(values: Sequence[Value], shape: tuple[int, ...], axes: tuple[int, int]) -> bool:
    """Say whether all walk evenly through the axes in front, those summed over, and the rest."""
    first, end = axes
    for start, stop in ((0, first), (first, end), (end, len(shape))):
        group = [k for k in range(start, stop) if shape[k] != 1]
        own = [shape[k] for k in group]
        for x in values:
            strides = x.spread(shape)
            found = [strides[k] for k in group]
            want = [s * found[-1] for s in strides_of(tuple(own), 1)] if group else []
            if found != want:
                return False
    return True


def _slots(region: Region) -> int:
    """Return how many of the slots of a program are taken by what is read, and by ends."""
    read = {x.layout for x in region.external()}
    return len(read) + len(region.sums) + len(region.stores) + 2 * len(region.adds)
