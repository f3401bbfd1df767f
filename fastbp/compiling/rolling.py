"""Loops of Python are unrolled while they are recorded; here they are rolled back.

Runs of the same instructions whose operands shift by the same distance from one iteration to the
next become one `Loop`. What shifts is found in three forms: other places of one memory (elements of
an input, of an array that is filled); memory that each iteration makes anew, which is laid out so
that it shifts; constants, which are stacked. First and last iterations that differ stay as they
are, before and behind the loop.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.compiling.blocks import Loop, Moving
from fastbp.compiling.fusing import fused
from fastbp.compiling.repeats import FEWEST, repeats
from fastbp.compiling.steps import Region, Step
from fastbp.compiling.values import Storage, Value

__all__ = ["rolled"]

NUMBER, SAME, NEXT, CONSTANT = "number", "same", "next", "constant"
_PHASES = 4  # places where an iteration may begin that are compared, of each kind
_TURNS = 4  # equal instructions that may take turns on different operands


def rolled(steps: Sequence[Step], outputs: Sequence[Value]) -> list[Step]:
    """Return steps in which repeated ones are loops.

    Parameters
    ----------
    steps : sequence of Step
        All needed, elementwise work not yet put together.
    outputs : sequence of Value
        What is read behind them.
    """
    kinds = _kinds(steps)
    found = repeats(kinds)
    if not found:
        return list(steps)
    uses = _Uses(steps, outputs)
    out: list[Step] = []
    done = 0
    waiting = found[::-1]
    while waiting:
        start, shortest, length = waiting.pop()
        for period in range(shortest, min(_TURNS * shortest, length // FEWEST) + 1, shortest):
            first = start + _phase(steps, start, period, length)
            loops = _loops(steps, first, period, start + length, uses)
            if loops:
                break
        if not loops:  # what repeats in it may be rolled where it cannot
            inner = repeats(kinds[start : start + length], shortest - 1)
            waiting += [(start + first, period, n) for first, period, n in inner[::-1]]
        for begin, count, loop in loops:
            out += steps[done:begin]
            out.append(loop)
            done = begin + count
    return out + list(steps[done:])


def _kinds(steps: Sequence[Step]) -> list[int]:
    """Return numbers that are equal for steps which do the same with operands laid out alike."""
    found: list[int] = []
    kinds: dict[Any, int] = {}
    layouts: dict[Any, int] = {}
    known: dict[int, int] = {}  # of a value, by its id
    for step in steps:
        facts = step.facts_of()
        if facts is None:
            facts = object()
        own: list[Any] = [step.kind, facts]
        for x in step.operands_of():
            layout = known.get(id(x), -1) if isinstance(x, Value) else 0
            if layout < 0:
                key = x.shape, x.strides, x.dtype, x.mask
                layout = known[id(x)] = layouts.setdefault(key, len(layouts) + 1)
            own.append(layout)
        found.append(kinds.setdefault(tuple(own), len(kinds)))
    return found


class _Uses:
    """At which positions memory is read or written first and last, by its id."""

    def __init__(self, steps: Sequence[Step], outputs: Sequence[Value]) -> None:
        self.first: dict[int, int] = {}
        self.last: dict[int, int] = {}
        for position, step in enumerate(steps):
            self._note(position, step.read())
            self._note(position, step.written())
        self._note(len(steps), [y.storage for y in outputs])

    def _note(self, position: int, storages: Sequence[Storage]) -> None:
        first, last = self.first, self.last
        for storage in storages:
            key = id(storage if storage.inside is None else storage.outermost)
            first.setdefault(key, position)
            last[key] = position

    def join(self, storages: Sequence[Storage], whole: Storage) -> None:
        """Let memory be used where any of its parts is."""
        used = [id(x) for x in storages if id(x) in self.first]
        if used:
            self.first[id(whole)] = min([self.first[key] for key in used])
            self.last[id(whole)] = max([self.last[key] for key in used])


def _phase(steps: Sequence[Step], start: int, period: int, length: int) -> int:
    """Return where in the period an iteration should begin.

    There, where one is fewest instructions; of such places, where fewest values go from one
    iteration to the next. Looked at are places that few values cross, and those that few values
    of elementwise work cross which may be put together.
    """
    base = start + (length // period // 2 - 1) * period
    makers: dict[int, int] = {}
    crossed = np.zeros((2, 2 * period + 1), np.intp)
    begun: dict[int, int] = {}  # where memory is written first, and what was made read last
    ends: dict[int, int] = {}
    for k in range(2 * period):
        step = steps[base + k]
        for storage in step.read():
            made = makers.get(id(storage))
            if made is not None:
                other = steps[base + made]
                both = isinstance(step, Region) and isinstance(other, Region)
                joint = both and step.shape == other.shape  # type: ignore[attr-defined]
                crossed[0, made + 1] += 16 if joint else 1
                crossed[0, k + 1] -= 16 if joint else 1
                ends[id(storage)] = k
        for storage in step.written():
            makers[id(storage)] = k
            begun.setdefault(id(storage), k)
    for key, k in ends.items():
        crossed[1, begun[key] + 1] += 1
        crossed[1, k + 1] -= 1
    cost = np.cumsum(crossed, axis=1)[:, period : 2 * period]
    best = np.argsort(cost, axis=1, kind="stable")[:, :_PHASES]
    if not any(isinstance(step, Region) for step in steps[base : base + period]):
        return int(best[1, 0])
    return min(
        [int(k) for k in best.ravel()],
        key=lambda k: (len(fused(steps[base + k : base + k + period])), cost[1, k], cost[0, k]),
    )


def _loops(
    steps: Sequence[Step], first: int, period: int, end: int, uses: _Uses
) -> list[tuple[int, int, Loop]]:
    """Return (position, number of steps, loop) for what can be rolled of a run."""
    found = []
    places = _Places(steps, first, period, (end - first) // period)
    k = 0
    while k < places.count - 1:
        n, relation = _alike(places, k)
        if n >= FEWEST:
            begin = first + k * period
            times = _times(steps[begin : begin + period])
            rows = [places[k + j] for j in range(n // times * times)]
            rolling = _Rolling(steps, begin, period, rows, relation, times, uses)
            loop = rolling.loop() if len(rows) >= FEWEST * times else None
            if loop is not None:
                found.append((begin, period * len(rows), loop))
                places.forget()
        k += n
    return found


def _times(body: Sequence[Step]) -> int:
    """Return how many iterations are one, where elementwise work of several is one region."""
    first = body[0]
    if not isinstance(first, Region):
        return 1
    for step in body:
        if not isinstance(step, Region) or step.shape != first.shape or step.dtype != first.dtype:
            return 1
    return max(Region.MOST // len(body), 1)


class _Places:
    """The operands of each iteration: numbers, and (memory, offset)."""

    def __init__(self, steps: Sequence[Step], first: int, period: int, count: int) -> None:
        self.steps, self.first, self.period, self.count = steps, first, period, count
        self.rows: dict[int, list[Any]] = {}

    def __getitem__(self, k: int) -> list[Any]:
        if k not in self.rows:
            row: list[Any] = []
            begin = self.first + k * self.period
            for step in self.steps[begin : begin + self.period]:
                for x in step.operands_of():
                    if isinstance(x, Value):
                        storage = x.storage
                        if storage.inside is None:
                            row.append((storage, x.offset + storage.offset))
                        else:
                            row.append((storage.outermost, x.offset + storage.start))
                    else:
                        row.append(x)
            self.rows[k] = row
        return self.rows[k]

    def forget(self) -> None:
        """Look again where operands are."""
        self.rows = {}


def _alike(places: _Places, first: int) -> tuple[int, list[Any]]:
    """Return how many iterations shift alike from one on, and how their operands shift."""
    relation: list[Any] | None = None
    following: dict[int, int] = {}
    leading: dict[int, int] = {}
    n = 1
    for k in range(first, places.count - 1):
        before, after = places[k], places[k + 1]
        found: list[Any] = []
        pairs: list[tuple[int, int]] = []
        for x, y in zip(before, after, strict=True):
            if not isinstance(x, tuple):
                found.append(NUMBER)
            elif x[0] is y[0]:
                found.append(y[1] - x[1])
            else:
                how = _shift(x, y)
                if how is None:
                    return n, relation or []
                found.append(how)
                if how is NEXT:
                    pairs.append((id(x[0]), id(y[0])))
        if relation is not None and found != relation:
            return n, relation
        for x, y in pairs:
            if following.setdefault(x, y) != y or leading.setdefault(y, x) != x:
                return n, relation or []
        relation, n = found, n + 1
    return n, relation or []


def _shift(x: Any, y: Any) -> str | None:
    one, other = x[0], y[0]
    if one.kind != other.kind or one.nbytes != other.nbytes or x[1] != y[1]:
        return None
    if one.kind == "constant":
        return CONSTANT
    return NEXT if one.kind in ("work", "given") else None


class _Chain:
    """Memory that each iteration makes anew: element k+1 is in one what k is in the one before."""

    def __init__(self, elements: list[Storage]) -> None:
        self.elements = elements
        self.touched: list[tuple[int, int, bool]] = []  # element, moment, whether it is written

    @property
    def nbytes(self) -> int:
        return self.elements[0].nbytes


class _Rolling:
    """A run that shifts alike, as it becomes a loop; `times` iterations are one of the loop."""

    def __init__(
        self,
        steps: Sequence[Step],
        begin: int,
        period: int,
        rows: Sequence[list[Any]],
        relation: Sequence[Any],
        times: int,
        uses: _Uses,
    ) -> None:
        self.steps, self.begin, self.period, self.rows = steps, begin, period, rows
        self.relation, self.times, self.uses = relation, times, uses
        self.count = len(rows) // times
        self.end = begin + period * len(rows)
        self.moving: dict[Any, Moving] = {}
        self.swaps: list[tuple[Moving, Moving]] = []
        self.values: dict[int, Value] = {}  # what stands for a value in the body, by its id
        self.copies: dict[Any, Value] = {}
        self.chains: list[_Chain] = []
        self.elements: dict[int, tuple[_Chain, int]] = {}
        self.used: dict[
            int, list[tuple[int, bool]]
        ] = {}  # what is used outside of a chain, by its id
        self.pinned: set[int] = set()  # memory that is the same in all iterations
        self.inside: dict[int, tuple[Storage, int]] = {}  # where a value is in its element
        self.places: dict[int, tuple[Storage, int]] = {}  # of an element in the body

    def loop(self) -> Loop | None:
        """Return the loop, or None where memory cannot be laid out for one."""
        prepared = self._prepared() if self._find_chains() else None
        if prepared is None:
            return None
        body = fused(prepared)
        self._touch(body)
        kept = [self._lengths(chain, len(body)) for chain in self.chains]
        if None in kept:
            return None
        for chain, lengths in zip(self.chains, kept, strict=True):
            assert lengths is not None
            self._lay_out(chain, lengths)
        new = [step.on([self._moved(x) for x in step.operands_of()]) for step in body]
        self._begin_where_it_reads([x for step in new for x in step.operands_of()])
        loop = Loop(self.count, new, list(self.moving.values()), self.swaps)
        loop.is_fused = True
        return loop

    # -- what shifts

    def _find_chains(self) -> bool:
        """Put what follows each other in order; False if something comes back."""
        following: dict[int, Storage] = {}
        storages: dict[int, Storage] = {}
        # Operands that lie in one memory do so in each iteration, and others in one of their own.
        slots: dict[int, int] = {}
        for slot, (x, how) in enumerate(zip(self.rows[0], self.relation, strict=True)):
            if how is NEXT:
                slots.setdefault(id(x[0]), slot)
            elif how is not NUMBER:
                self.pinned.add(id(x[0]))
        for slot in slots.values():
            # What another operand was in the iteration before follows as that does.
            ahead = id(self.rows[1][slot][0]) in slots
            own = [row[slot][0] for row in (self.rows[:2] if ahead else self.rows)]
            for x, y in itertools.pairwise(own):
                following[id(x)], storages[id(x)] = y, x
        later = {id(y) for y in following.values()}
        for key, storage in storages.items():
            if key in later:
                continue
            elements = [storage]
            while id(elements[-1]) in following:
                elements.append(following[id(elements[-1])])
            chain = _Chain(elements)
            self.chains.append(chain)
            for k, x in enumerate(elements):
                self.elements[id(x)] = chain, k
        return all([key in self.elements for key in storages])

    def _prepared(self) -> list[Step] | None:
        """Return the first iterations, in which each value shifts in one way only."""
        found, n = [], 0
        for step in self.steps[self.begin : self.begin + self.period * self.times]:
            operands = []
            for x in step.operands_of():
                operands.append(self._operand(step, x, *divmod(n, len(self.relation))))
                n += 1
            if any(x is None for x in operands):
                return None
            found.append(step.on(operands))
        return found

    def _operand(self, step: Step, x: Any, turn: int, slot: int) -> Any:
        how = self.relation[slot]
        if how is NUMBER or how is CONSTANT:
            rows = [row[slot] for row in self.rows[turn :: self.times]]
        if how is NUMBER:
            if len({(type(n), str(n)) for n in rows}) == 1:
                return x
            return self._numbers(step, rows)
        if how is CONSTANT:
            arrays = [storage.array for storage, _ in rows]
            if len({array.tobytes() for array in arrays}) == 1:
                return x
            stack = self._constant(np.stack(arrays))
            key: Any = (tuple(map(id, arrays)), x.shape, x.strides, x.offset, x.mask)
            return self._copy(x, key, stack, arrays[0].nbytes, x.offset)
        storage, offset = x.storage.outermost, x.offset + x.storage.start
        if how is NEXT:
            self.inside[id(x)] = storage, offset
            return x
        if how == 0 and id(storage) not in self.elements:
            return x
        key = id(storage), x.shape, x.strides, offset, x.mask, how
        return self._copy(x, key, storage, how * self.times, offset)

    def _numbers(self, step: Step, numbers: list[Any]) -> Value | None:
        """Return an operand for numbers that differ from one iteration to the next."""
        assert isinstance(step, Region)
        if not all([isinstance(function, str | np.ufunc) for function, _, _ in step.members]):
            return None
        key = tuple([(type(n), str(n)) for n in numbers]), step.dtype
        stack = self._constant(np.array(numbers, step.dtype))
        like = Value(stack, (), step.dtype)
        return self._copy(like, key, stack, step.dtype.itemsize, 0)

    def _constant(self, array: np.ndarray) -> Storage:
        array.flags.writeable = False
        return Storage("constant", array.nbytes, array=array)

    def _copy(self, x: Value, key: Any, storage: Storage, step: int, offset: int) -> Value:
        """Return a value like `x` that stands for one which moves."""
        if key not in self.copies:
            self.copies[key] = y = Value(x.storage, x.shape, x.dtype, x.offset, x.strides)
            y.mask = x.mask
            if step:
                storage = self._moving(storage, 0, step).storage
            self.values[id(y)] = _placed(y, storage, offset)
        return self.copies[key]

    def _moving(self, storage: Storage, start: int, step: int) -> Moving:
        key = id(storage), start, step
        if key not in self.moving:
            self.moving[key] = Moving(Value(storage, (), np.dtype(np.int8), start), step)
        return self.moving[key]

    def _begin_where_it_reads(self, operands: Sequence[Any]) -> None:
        """Let what moves start at the first byte that is read or written in it."""
        found: dict[int, dict[int, Value]] = {id(m.storage): {} for m in self.moving.values()}
        for x in operands:
            if isinstance(x, Value) and id(x.storage) in found:
                found[id(x.storage)][id(x)] = x
        for m in self.moving.values():
            values = found[id(m.storage)].values()
            if m.step and values:
                start = min([x.offset + _lowest(x) for x in values])
                m.start.offset += start
                for x in values:
                    x.offset -= start

    # -- memory that each iteration makes anew

    def _touch(self, body: Sequence[Step]) -> None:
        """Find out when an iteration reads and writes which elements."""
        for moment, step in enumerate(body):
            for storages, written in ((step.read(), False), (step.written(), True)):
                for storage in storages:
                    chain, k = self.elements.get(id(storage.outermost), (None, 0))
                    if chain is not None:
                        chain.touched.append((k, moment, written))

    def _lengths(self, chain: _Chain, n: int) -> dict[int, int] | None:
        """Return how many elements must be kept at a time, for each place in the body; 0: all.

        None: such memory cannot be kept.
        """
        outside = self._outside(chain)
        given = chain.elements[0].kind == "given"
        lengths: dict[int, int] = {}
        for turn in {k % self.times for k, _, _ in chain.touched}:
            touched = [
                (k // self.times, moment, written)
                for k, moment, written in chain.touched
                if k % self.times == turn
            ]
            used = [(k // self.times, later) for k, later in outside if k % self.times == turn]
            pinned = any(id(x) in self.pinned for x in chain.elements[turn :: self.times])
            length = 0 if pinned else self._length(touched, used, n)
            if length and not self._in_turn(chain, turn, length * self.times):
                length = 0
            lengths[turn] = length
        if given:
            return lengths if set(lengths.values()) <= {1} and not outside else None
        if 0 in lengths.values() or any(k % self.times not in lengths for k, _ in outside):
            return {}
        return lengths

    def _in_turn(self, chain: _Chain, turn: int, distance: int) -> bool:
        """Say whether elements in one place are used one after the other, outside of the loop too.

        What is made before it need not be made in the order of its iterations.
        """
        first, last, elements = self.uses.first, self.uses.last, chain.elements
        return not any(
            k % self.times == turn and last[id(elements[k])] >= first[id(elements[k + distance])]
            for other, _ in self._outside(chain)
            for k in (other - distance, other)
            if 0 <= k and k + distance < len(elements)
        )

    def _outside(self, chain: _Chain) -> list[tuple[int, bool]]:
        """Return which elements are used before or, True, behind the loop."""
        found = self.used.get(id(chain))
        if found is None:
            found = self.used[id(chain)] = []
            first, last, begin, end = self.uses.first, self.uses.last, self.begin, self.end
            for k, x in enumerate(chain.elements):
                if first.get(id(x), begin) < begin:
                    found.append((k, False))
                if last.get(id(x), -1) >= end:
                    found.append((k, True))
        return found

    def _length(self, touched: list[Any], used: list[Any], n: int) -> int:
        moments = [moment - k * n for k, moment, _ in touched]
        written = [(k, moment - k * n) for k, moment, is_written in touched if is_written]
        if not written:
            return 0
        length = (max(moments) - min([moment for _, moment in written])) // n + 1
        first, last = (f([k for k, _ in written]) for f in (min, max))
        last += self.count - 1
        for k, later in used:
            if (later and k + length <= last) or (not later and k < first - length):
                return 0
        return length if length <= 2 else 0

    def _lay_out(self, chain: _Chain, lengths: dict[int, int]) -> None:
        size = -(-chain.elements[0].nbytes // 8) * 8
        touched = {k for k, _, _ in chain.touched}
        outside = {k for k, _ in self._outside(chain)}
        if chain.elements[0].kind == "given":
            return
        if not lengths:
            stack = Storage("work", size * len(chain.elements))
            self.uses.join(chain.elements, stack)
            for k, x in enumerate(chain.elements):
                x.put_inside(stack, k * size)
            for k in touched:
                moving = self._moving(stack, 0, size * self.times)
                self.places[id(chain.elements[k])] = moving.storage, k * size
            return
        for turn, length in lengths.items():
            ring = Storage("work", size * length)
            self.uses.join(chain.elements, ring)
            own = [k for k in touched if k % self.times == turn]
            for k in outside:
                if k % self.times == turn:
                    chain.elements[k].put_inside(ring, k // self.times % length * size)
            if length == 1:
                self.places.update({id(chain.elements[k]): (ring, 0) for k in own})
                continue
            pair = [self._moving(ring, side * size, 0) for side in range(2)]
            self.swaps.append((pair[0], pair[1]))
            for k in own:
                self.places[id(chain.elements[k])] = pair[k // self.times % 2].storage, 0

    # -- the body

    def _moved(self, x: Any) -> Any:
        """Return what stands for an operand in the body."""
        if not isinstance(x, Value):
            return x
        if id(x) not in self.values:
            self.values[id(x)] = x
            storage, offset = self.inside.get(id(x), (x.storage, 0))
            if id(storage) in self.places:
                target, start = self.places[id(storage)]
                self.values[id(x)] = _placed(x, target, start + offset)
        return self.values[id(x)]


def _placed(x: Value, storage: Storage, offset: int) -> Value:
    y = Value(storage, x.shape, x.dtype, offset, x.strides)
    y.mask, y.returned = x.mask, x.returned
    return y


def _lowest(x: Value) -> int:
    """Return where the first byte of an array lies, from its first element."""
    return sum([min(step * (n - 1), 0) for n, step in zip(x.shape, x.strides, strict=True)])
