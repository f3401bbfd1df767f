"""The instructions of a plan before they are laid out: what they read, write, give a machine."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp._core.machine import Machine
from fastbp.compiling.programs import Member, program_of
from fastbp.compiling.values import Storage, Value

__all__ = [
    "Add", "Applied", "Call", "Copy", "Gather", "Pick", "Places", "Product", "Region", "Scatter",
    "Step", "Sum", "Zero",
]  # fmt: skip

Place = tuple[int, int]
Pair = tuple[Value, Value]


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

    # -- what it takes to find it again, on other memory

    def facts_of(self) -> Any:
        """Return what is equal for steps that do the same, beside layouts; None: nothing is."""
        return None

    def operands_of(self) -> list[Any]:
        """Return its operands: values, and numbers."""
        return [*self.reads, *self.writes]

    def on(self, operands: Sequence[Any]) -> Step:
        """Return the same step on other operands, in the order of `operands_of`."""
        step, n = copy.copy(self), len(self.reads)
        step.reads, step.writes = list(operands[:n]), list(operands[n:])
        return step


def at(value: Value) -> Place:
    """Return where a value lies once memory is given out."""
    return value.storage.outermost.buffer, value.storage.start + value.offset


class Region(Step):
    """Elementwise work over one iteration space: `members` are (function, operands, value).

    An operand is a `Value`, of another member or read from memory, or a number.

    Attributes
    ----------
    sums : list of (value, target)
        The sum of a member over the `axes` from one to another is written to the target.
    stores, adds : list of (value, place)
        A member is written in a place, or added to what is there. A place may be what is read, of
        the same layout.
    ordered : bool
        Such places overlap: elements must be computed in their order.
    picks : dict of int to Pick
        By the ids of inputs that are not in memory: what picks them when they are read.
    """

    kind = "region"
    MOST = 24  # members: more do not fit the slots of a program

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        super().__init__([], [])
        self.shape, self.dtype = shape, dtype
        self.members: list[Member] = []
        self.sums: list[Pair] = []
        self.axes = (0, 0)
        self.stores: list[Pair] = []
        self.adds: list[Pair] = []
        self.ordered = False
        self.programs: list[tuple[Any, list[Value], list[Value]]] = []
        self.summed: dict[int, Value] = {}  # by the id of an output that is written nowhere
        self.picks: dict[int, Pick] = {}

    def has_room(self, n: int) -> bool:
        """Say whether so many more members may fit."""
        return len(self.members) + n <= self.MOST

    def finish(self, wanted: set[int]) -> bool:
        """Compile the members; `wanted` are the ids of values that others read.

        Return False where an operation has no inner loop.
        """
        members, places = self._ended(wanted, True)
        found = program_of(members, wanted | self._written_last(members), self.dtype, places)
        if found[0] is not None and _keeps_what_it_reads(*found):
            self.programs = [found]
            return True
        self.programs = []
        members, _ = self._ended(wanted, False)
        return self._compile(members, wanted | self._written_last(members))

    def _ended(self, wanted: set[int], directly: bool) -> tuple[list[Member], dict[int, Value]]:
        """Return the members with what is done with their values in the end.

        What is read by nobody else is computed where it belongs, if it may be so `directly`. What
        is added to memory comes last: it may lie where other values were written.
        """
        members, places = list(self.members), {}
        added = {id(x) for x, _ in self.adds}
        self.summed = {}
        ends = []
        for x, y in self.sums:
            ends.append((x, Value(y.storage, x.shape, x.dtype)))
            self.summed[id(ends[-1][1])] = y
        for x, place in [*ends, *self.stores]:
            if directly and id(x) not in wanted and id(x) not in added and id(x) not in places:
                places[id(x)] = place
            else:
                members.append((np.positive, (x,), place))
        totals: dict[Any, tuple[Value, list[Value]]] = {}  # what is added to one place, by that
        for x, place in self.adds:
            totals.setdefault(place.layout, (place, []))[1].append(x)
        for place, terms in totals.values():
            total = place.view(place.shape, place.offset, place.strides)
            for x in terms[:-1]:
                both = place.view(place.shape, place.offset, place.strides)
                members.append((np.add, (total, x), both))
                total = both
            members.append((np.add, (total, terms[-1]), place))
        return members, places

    def _written_last(self, members: list[Member]) -> set[int]:
        ends = {id(y) for _, y in (*self.stores, *self.adds)}
        found = [id(y) for _, _, y in members[len(self.members) :]]
        return {y for y in found if y in ends or y in self.summed}

    def _compile(self, members: list[Member], wanted: set[int]) -> bool:
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

    def ends(self) -> list[Value]:
        """Return where sums, and values with a place elsewhere, are written."""
        if not (self.sums or self.stores or self.adds):
            return []
        return [y for _, y in (*self.sums, *self.stores, *self.adds)]

    def read(self) -> list[Storage]:
        if self.programs:
            return [x.storage for x in self.reads]
        if len(self.members) == 1:
            found = [x.storage for x in self.members[0][1] if isinstance(x, Value)]
        else:
            found = [x.storage for x in self.external()]
        return found + [y.storage for _, y in self.adds] if self.adds else found

    def written(self) -> list[Storage]:
        if self.programs:
            return [y.storage for y in self.writes]
        own = [y.storage for _, _, y in self.members]
        ends = self.ends()
        return own + [y.storage for y in ends] if ends else own

    def facts_of(self) -> Any:
        if len(self.members) == 1:
            function, operands, _ = self.members[0]
            return self.shape, self.dtype, function, len(operands)
        return self.shape, self.dtype, tuple([(f, len(xs)) for f, xs, _ in self.members])

    def operands_of(self) -> list[Any]:
        if len(self.members) == 1:
            _, operands, y = self.members[0]
            return [*operands, y]
        return [x for _, operands, y in self.members for x in (*operands, y)]

    def on(self, operands: Sequence[Any]) -> Region:
        step, rest = Region(self.shape, self.dtype), iter(operands)
        for function, own, _ in self.members:
            found = tuple([next(rest) for _ in own])
            step.members.append((function, found, next(rest)))
        return step

    def settle(self) -> None:
        """Know what is read and written, once `finish` has said which programs there are."""
        self.reads = [v for _, inputs, _ in self.programs for v in inputs]
        outputs = [v for _, _, found in self.programs for v in found]
        self.writes = [self.summed.get(id(v), v) for v in outputs]

    def pick(self, step: Pick) -> None:
        """Do what an instruction does that picks one of the inputs, once these are settled."""
        ((_, inputs, _),) = self.programs
        (y,) = step.writes
        self.picks |= {id(v): step for v in inputs if v.storage is y.storage}
        self.reads = [self._read_for(v) for v in inputs]

    def _read_for(self, v: Value) -> Value:
        """Return an input, or what it is picked from."""
        return self.picks[id(v)].reads[0] if id(v) in self.picks else v

    def described(self) -> str:
        names = [
            f if isinstance(f, str) else getattr(f, "__name__", "") for f, _, _ in self.members
        ]
        names = ["expression" if name in ("", "<lambda>") else name for name in names]
        ends = ["summed"] * len(self.sums) + ["added"] * len(self.adds)
        return " ".join(["picked"] * len(self.picks) + names + ends)

    def emit(self, machine: Machine) -> None:
        for program, inputs, outputs in self.programs:
            slots = [(at(self._read_for(v)), v.spread(self.shape)) for v in (*inputs, *outputs)]
            picked = [
                (k, self.picks[id(v)].table) for k, v in enumerate(inputs) if id(v) in self.picks
            ]
            sums = [
                (k, at(self.summed[id(v)])) for k, v in enumerate(outputs) if id(v) in self.summed
            ]
            ends = (*self.axes, sums) if sums else None
            machine.region(program, self.shape, slots, ends, self.ordered, picked)


def _keeps_what_it_reads(program: Any, inputs: list[Value], outputs: list[Value]) -> bool:
    """Say whether no input is read behind the output that is written where it lies."""
    return all(
        x.storage is not y.storage or x.layout != y.layout or program.may_write_over(i, k)
        for k, y in enumerate(outputs)
        for i, x in enumerate(inputs)
    )


class Product(Step):
    """A (batched) product of matrices, in the form that the machine takes."""

    kind = "product"

    def __init__(self, a: Value, b: Value, c: Value, facts: Any, accumulate: bool = False) -> None:
        super().__init__([a, b, c] if accumulate else [a, b], [c])
        self.a, self.b, self.c, self.facts, self.accumulate = a, b, c, facts, accumulate

    def facts_of(self) -> Any:
        return self.facts, self.accumulate

    def on(self, operands: Sequence[Any]) -> Product:
        a, b, *_, c = operands
        return Product(a, b, c, self.facts, self.accumulate)

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

    def facts_of(self) -> Any:
        return ()

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

    def facts_of(self) -> Any:
        return self.sizes

    def emit(self, machine: Machine) -> None:
        x, y = self.reads[0], self.writes[0]
        machine.sum(x.dtype.num, self.sizes, at(x), at(y))


class Copy(Step):
    """Elements of one layout into another."""

    kind = "copy"

    def facts_of(self) -> Any:
        return ()

    def emit(self, machine: Machine) -> None:
        x, y = self.reads[0], self.writes[0]
        machine.copy(x.dtype.itemsize, y.shape, at(x), x.spread(y.shape), at(y), y.strides)


class Pick(Step):
    """Elements from places of a table, counted from the first element of what is read."""

    kind = "pick"

    def __init__(self, x: Value, y: Value, table: np.ndarray) -> None:
        super().__init__([x], [y])
        self.table = table

    def facts_of(self) -> Any:
        return self.table.shape, self.table.tobytes()

    def emit(self, machine: Machine) -> None:
        x, y = self.reads[0], self.writes[0]
        machine.pick(x.dtype.itemsize, self.table, at(x), at(y))


class Places(Step):
    """The numbers of the elements that arrays of indices name.

    `facts` has for each of them the table of its elements, or None, and size, axis, step, mode as
    `Machine.places` takes them; `first` is added to their sum.
    """

    kind = "places"

    def __init__(
        self, indices: list[Value], y: Value, first: np.ndarray | None, facts: list[tuple[Any, ...]]
    ) -> None:
        super().__init__(indices, [y])
        self.first, self.facts = first, facts

    def facts_of(self) -> Any:
        own = [(_fact(table) if table is not None else None, *rest) for table, *rest in self.facts]
        return None if self.first is None else _fact(self.first), tuple(own)

    def emit(self, machine: Machine) -> None:
        (y,) = self.writes
        indices = [
            (at(x), x.dtype.num, x.size, table, *rest)
            for x, (table, *rest) in zip(self.reads, self.facts, strict=True)
        ]
        machine.places(y.size, self.first, indices, at(y))


class Gather(Step):
    """Elements in places along an axis: `sizes` are those of `Machine.gather`."""

    kind = "gather"

    def __init__(
        self,
        x: Value,
        places: Value,
        y: Value,
        sizes: tuple[int, int, int, int],
        steps: tuple[int, int, int],
    ) -> None:
        super().__init__([x, places], [y])
        self.sizes, self.steps = sizes, steps

    def facts_of(self) -> Any:
        return self.sizes, self.steps

    def emit(self, machine: Machine) -> None:
        (x, places), (y,) = self.reads, self.writes
        machine.gather(x.dtype.itemsize, self.sizes, at(x), self.steps, at(places), at(y))


class Scatter(Step):
    """Elements added in places along an axis."""

    kind = "scatter"

    def __init__(self, x: Value, places: Value, y: Value, sizes: tuple[int, int, int, int]) -> None:
        super().__init__([x, places, y], [y])
        self.sizes = sizes

    def facts_of(self) -> Any:
        return self.sizes

    def emit(self, machine: Machine) -> None:
        x, places, y = self.reads
        machine.scatter(y.dtype.num, self.sizes, at(x), at(places), at(y))


class Zero(Step):
    """Zeros."""

    kind = "zero"

    def __init__(self, y: Value) -> None:
        super().__init__([], [y])

    def facts_of(self) -> Any:
        return ()

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
    `key` is equal where functions do the same.
    """

    kind = "call"

    def __init__(
        self, name: str, function: Any, operands: list[Any], results: list[Any], key: Any = None
    ) -> None:
        super().__init__(
            [x for x in operands if isinstance(x, Value)], [y for y in results if y is not None]
        )
        self.name, self.function, self.operands, self.results = name, function, operands, results
        self.key = key

    def facts_of(self) -> Any:
        if self.key is None:
            return None
        constants = [_fact(x) for x in self.operands if not isinstance(x, Value)]
        returned = [x.returned for x in self.reads]
        return self.key, tuple(constants), tuple(returned), tuple([y is None for y in self.results])

    def on(self, operands: Sequence[Any]) -> Call:
        rest = iter(operands)
        own = [next(rest) if isinstance(x, Value) else x for x in self.operands]
        results = [None if y is None else next(rest) for y in self.results]
        return Call(self.name, self.function, own, results, self.key)

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


def _fact(x: Any) -> Any:
    """Return what is equal for constants that are."""
    if isinstance(x, np.ndarray | np.generic) and not x.dtype.hasobject and x.nbytes <= 4096:
        return x.shape, x.dtype, x.tobytes()
    if isinstance(x, bool | int | float | complex | str):
        return type(x), repr(x)
    return id(x)
