"""The instructions of a plan before they are laid out: what they read, write, give a machine."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp._core.machine import Machine
from fastbp.compiling.programs import Member, program_of
from fastbp.compiling.values import Storage, Value

__all__ = ["Add", "Applied", "Call", "Copy", "Pick", "Product", "Region", "Step", "Sum", "Zero"]

Place = tuple[int, int]


class Step:
    """An instruction."""

    kind = ""

    def __init__(self, reads: list[Value], writes: list[Value]) -> None:
        self.reads, self.writes = reads, writes

    def read(self) -> list[Storage]:
        """Return the memory that it reads."""
        return [v.storage for v in self.reads]

    def read_in_memory(self) -> list[Storage]:
        """Return the memory of which it needs the address."""
        return self.read()

    def written(self) -> list[Storage]:
        """Return the memory that it writes."""
        return [v.storage for v in self.writes]

    def emit(self, machine: Machine) -> None:
        """Append it to a machine, once memory is given out."""
        raise NotImplementedError

    def described(self) -> str:
        """Say in a few words what is done."""
        return ""


def at(value: Value) -> Place:
    """Return where a value lies once memory is given out."""
    return value.storage.outermost.buffer, value.storage.start + value.offset


class Region(Step):
    """Elementwise work over one iteration space: `members` are (function, operands, value).

    An operand is a `Value`, of another member or read from memory, or a number.
    """

    kind = "region"
    MOST = 24  # members: more do not fit the slots of a program

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        super().__init__([], [])
        self.shape, self.dtype = shape, dtype
        self.members: list[Member] = []
        self.programs: list[tuple[Any, list[Value], list[Value]]] = []

    def has_room(self, n: int) -> bool:
        """Say whether so many more members may fit."""
        return len(self.members) + n <= self.MOST

    def finish(self, wanted: set[int]) -> bool:
        """Compile the members; `wanted` are the ids of values that others read.

        Return False where an operation has no inner loop.
        """
        self.programs = []
        return self._compile(self.members, wanted)

    def _compile(self, members: list[Any], wanted: set[int]) -> bool:
        program, inputs, outputs = program_of(members, wanted, self.dtype)
        if program is not None:
            self.programs.append((program, inputs, outputs))
        if program is not None or not outputs:
            return True
        if len(members) == 1:
            return False
        half = len(members) // 2
        first, second = members[:half], members[half:]
        read = {id(x) for _, operands, _ in second for x in operands if isinstance(x, Value)}
        return self._compile(first, wanted | read) and self._compile(second, wanted)

    def external(self) -> list[Value]:
        """Return what its members read that none of them computes."""
        own = {id(y) for _, _, y in self.members}
        operands = [x for _, xs, _ in self.members for x in xs if isinstance(x, Value)]
        return [x for x in operands if id(x) not in own]

    def read(self) -> list[Storage]:
        return [x.storage for x in (self.reads if self.programs else self.external())]

    def written(self) -> list[Storage]:
        written = self.writes if self.programs else [y for _, _, y in self.members]
        return [y.storage for y in written]

    def settle(self) -> None:
        """Know what is read and written, once `finish` has said which programs there are."""
        self.reads = [v for _, inputs, _ in self.programs for v in inputs]
        self.writes = [v for _, _, outputs in self.programs for v in outputs]

    def described(self) -> str:
        names = [
            f if isinstance(f, str) else getattr(f, "__name__", "") for f, _, _ in self.members
        ]
        return " ".join(["expression" if name in ("", "<lambda>") else name for name in names])

    def emit(self, machine: Machine) -> None:
        for program, inputs, outputs in self.programs:
            slots = [(at(v), v.spread(self.shape)) for v in (*inputs, *outputs)]
            machine.region(program, self.shape, slots)


class Product(Step):
    """A (batched) product of matrices, in the form that the machine takes."""

    kind = "product"

    def __init__(self, a: Value, b: Value, c: Value, facts: Any, accumulate: bool = False) -> None:
        super().__init__([a, b, c] if accumulate else [a, b], [c])
        self.a, self.b, self.c, self.facts, self.accumulate = a, b, c, facts, accumulate

    def described(self) -> str:
        (m, n, k), batch, *_ = self.facts
        times = f" {'x'.join(map(str, batch))} times" if batch else ""
        return f"({m}, {k}) @ ({k}, {n}){times}{', added' if self.accumulate else ''}"

    def emit(self, machine: Machine) -> None:
        sizes, batch, *strides = self.facts
        a, b, c = (
            (at(value), *steps)
            for value, steps in zip((self.a, self.b, self.c), strides, strict=True)
        )
        machine.product(self.c.dtype.num, sizes, batch, a, b, c, self.accumulate)


class Add(Step):
    """Elements added to those of another layout, in place."""

    kind = "add"

    def __init__(self, x: Value, y: Value) -> None:
        super().__init__([x, y], [y])
        total = Value(y.storage, y.shape, y.dtype)
        program, _, _ = program_of([(np.add, (y, x), total)], {id(total)}, y.dtype)
        assert program is not None
        self.program = program

    def emit(self, machine: Machine) -> None:
        (x, y), (_, strides) = self.reads, (0, self.writes[0].strides)
        slots = [(at(y), strides), (at(x), x.spread(y.shape)), (at(y), strides)]
        machine.region(self.program, y.shape, slots)


class Sum(Step):
    """The sum of a contiguous array of shape (outer, rows, n) over its rows."""

    kind = "sum"

    def __init__(self, x: Value, y: Value, sizes: tuple[int, int, int]) -> None:
        super().__init__([x], [y])
        self.sizes = sizes

    def emit(self, machine: Machine) -> None:
        x, y = self.reads[0], self.writes[0]
        machine.sum(x.dtype.num, self.sizes, at(x), at(y))


class Copy(Step):
    """Elements of one layout into another."""

    kind = "copy"

    def emit(self, machine: Machine) -> None:
        x, y = self.reads[0], self.writes[0]
        machine.copy(x.dtype.itemsize, y.shape, at(x), x.spread(y.shape), at(y), y.strides)


class Pick(Step):
    """Elements from places of a table."""

    kind = "pick"

    def __init__(self, x: Value, y: Value, table: np.ndarray) -> None:
        super().__init__([x], [y])
        self.table = table

    def emit(self, machine: Machine) -> None:
        x, y = self.reads[0], self.writes[0]
        machine.pick(x.dtype.itemsize, self.table, at(x.view(x.shape, 0, x.strides)), at(y))


class Zero(Step):
    """Zeros."""

    kind = "zero"

    def __init__(self, y: Value) -> None:
        super().__init__([], [y])

    def emit(self, machine: Machine) -> None:
        (y,) = self.writes
        machine.zero(y.size * y.dtype.itemsize, at(y))


class Applied:
    """An operation with its settings, as a function of arrays that returns a tuple."""

    def __init__(self, op: Any, static: dict[str, Any], several: bool) -> None:
        self.op, self.static, self.several = op, static, several

    def __call__(self, *operands: Any) -> Any:
        found = self.op.forward(*operands, **self.static)
        if self.op.residuals:
            found = found[0]
        return found if self.several else (found,)


class Call(Step):
    """A function of Python's.

    `operands` are Values or constants; `results` are Values of memory of kind "given", or None.
    """

    kind = "call"

    def __init__(self, name: str, function: Any, operands: list[Any], results: list[Any]) -> None:
        super().__init__(
            [x for x in operands if isinstance(x, Value)], [y for y in results if y is not None]
        )
        self.name, self.function, self.operands, self.results = name, function, operands, results

    def read_in_memory(self) -> list[Storage]:
        return [x.storage for x in self.reads if not x.returned]

    def described(self) -> str:
        return self.name

    def emit(self, machine: Machine) -> None:
        operands: list[Any] = []
        for x in self.operands:
            if isinstance(x, Value) and x.returned:
                operands.append(("given", x.storage.number))
            elif isinstance(x, Value):
                operands.append(("array", at(x), x.shape, x.strides, x.dtype))
            else:
                operands.append(("constant", x))
        results = [
            None if y is None else (y.storage.number, y.storage.buffer, y.shape, y.dtype)
            for y in self.results
        ]
        machine.call(self.function, operands, results)
