"""Instructions that hold others: loops and choices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastbp._core.machine import Machine
from fastbp.compiling.steps import Step, at
from fastbp.compiling.values import Storage, Value

__all__ = ["Branch", "Leave", "Loop", "Moving", "extent", "walked"]


class Moving:
    """Memory that lies elsewhere in each iteration of a loop: values of `storage` move.

    Parameters
    ----------
    start : Value
        Where it lies in the first iteration: only the place counts.
    step : int
        By how many bytes it moves after each one; may be negative.
    """

    def __init__(self, start: Value, step: int) -> None:
        self.start, self.step = start, step
        self.storage = Storage("moving", extent(start))

    def value(self, shape: tuple[int, ...], dtype: Any) -> Value:
        """Return an array in C order that moves."""
        y = Value(self.storage, shape, dtype)
        self.storage.nbytes = max(self.storage.nbytes, extent(y))
        return y


def extent(x: Value) -> int:
    """Return how many bytes there are from the first element of a value behind the last one."""
    steps = [(n - 1) * max(s, 0) for n, s in zip(x.shape, x.strides, strict=True)]
    return sum(steps) + x.dtype.itemsize if x.size else 0


class Block(Step):
    """An instruction that holds others."""

    def __init__(self, reads: list[Value], parts: list[list[Step]]) -> None:
        super().__init__(reads, [])
        self.parts = parts

    def own(self) -> list[Storage]:
        """Return the memory of which it needs the address itself."""
        return super().read()

    def read(self) -> list[Storage]:
        return self.own() + [s for part in self.parts for step in part for s in step.read()]

    def read_in_memory(self) -> list[Storage]:
        return self.own()  # the parts are asked themselves

    def written(self) -> list[Storage]:
        return [s for part in self.parts for step in part for s in step.written()]


class Loop(Block):
    """A body of instructions, again and again.

    Parameters
    ----------
    count : int
        Iterations; -1 for a loop that goes on until a `Leave` in its body.
    body : list of Step
    moving : sequence of Moving
        Memory that the body reads or writes, and that lies elsewhere in each iteration.
    swaps : sequence of pairs of Moving
        These change places after each iteration: what one was written into is read by the other.

    Notes
    -----
    What the body reads before it writes it is carried from one iteration to the next. Behind the
    loop a `Moving` stands where another iteration would find it, so what follows may read it.
    """

    kind = "loop"

    def __init__(
        self,
        count: int,
        body: list[Step],
        moving: Sequence[Moving] = (),
        swaps: Sequence[tuple[Moving, Moving]] = (),
    ) -> None:
        super().__init__([], [body])
        self.count, self.moving, self.swaps = count, list(moving), list(swaps)
        self.is_fused = False  # elementwise work of the body is put together

    @property
    def body(self) -> list[Step]:
        """The instructions of one iteration."""
        return self.parts[0]

    def own(self) -> list[Storage]:
        return [m.start.storage for m in self.moving]

    def read(self) -> list[Storage]:
        own = {id(m.storage) for m in self.moving}
        return [s for s in super().read() if id(s.outermost) not in own]

    def in_step(self) -> list[Moving]:
        """Return what moves by the same distance after each iteration: what swaps does not."""
        swapped = {id(m) for pair in self.swaps for m in pair}
        return [m for m in self.moving if id(m) not in swapped]

    def moving_in(self, memory: Storage) -> list[Moving]:
        """Return what moves in memory that is part of no other."""
        return [m for m in self.moving if m.start.storage.outermost is memory]

    def places(self) -> dict[int, list[Storage]]:
        """Return in which memory what moves may lie, by the id of its storage."""
        found = {id(m.storage): [m.start.storage] for m in self.moving}
        for a, b in self.swaps:
            found[id(a.storage)] = found[id(b.storage)] = [a.start.storage, b.start.storage]
        return found

    def written(self) -> list[Storage]:
        places, partners = self.places(), {}
        for a, b in self.swaps:
            partners[id(a.storage)], partners[id(b.storage)] = b.storage, a.storage
        found = []
        for storage in [s.outermost for s in super().written()]:
            found += [storage, *places.get(id(storage), ())]
            if id(storage) in partners:
                found.append(partners[id(storage)])
        return found

    def described(self) -> str:
        return f"{self.count} times" if self.count >= 0 else "until it is left"

    def emit(self, machine: Machine) -> None:
        machine.loop(
            self.count,
            [(m.storage.buffer, at(m.start), m.step) for m in self.moving],
            [(a.storage.buffer, b.storage.buffer) for a, b in self.swaps],
        )
        for step in self.body:
            step.emit(machine)
        machine.end()


class Leave(Step):
    """The end of the loop that it stands in, where a value is 0."""

    kind = "leave"

    def __init__(self, x: Value) -> None:
        super().__init__([x], [])

    def emit(self, machine: Machine) -> None:
        (x,) = self.reads
        machine.leave(x.dtype.itemsize, at(x))


class Branch(Block):
    """Instructions that run where a value is not 0, and others where it is."""

    kind = "branch"

    def __init__(self, x: Value, first: list[Step], second: list[Step]) -> None:
        super().__init__([x], [first, second])

    def emit(self, machine: Machine) -> None:
        (x,) = self.reads
        machine.branch(x.dtype.itemsize, at(x))
        for step in self.parts[0]:
            step.emit(machine)
        machine.otherwise()
        for step in self.parts[1]:
            step.emit(machine)
        machine.end()


def walked(steps: Sequence[Step]) -> Iterator[Step]:
    """Go through instructions and those that they hold."""
    for step in steps:
        yield step
        if isinstance(step, Block):
            for part in step.parts:
                yield from walked(part)
