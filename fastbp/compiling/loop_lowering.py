"""From a loop on the record to instructions: what its body need not do is done before or behind it.

What depends on no carry is computed for all steps at once, before the loop; what depends on no step
is computed once. Sums over the steps of products become one product of stacked operands.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp.compiling import bodies
from fastbp.compiling.blocks import Loop, Moving
from fastbp.compiling.builder import Builder
from fastbp.compiling.lowering import as_value, lower_links
from fastbp.compiling.steps import Add, Copy, Scatter, Zero
from fastbp.compiling.sums import Term, Waiting, is_movable
from fastbp.compiling.values import Storage, Value

__all__ = ["InnerBuilder", "ends_of", "lowered_scan", "move_into"]

_MOST = 1 << 26  # bytes of a stack that only a sum reads


class _Carry:
    """Where a carry lies: two places that swap, or all of them in one stack."""

    def __init__(self, init: Value, shape: tuple[int, ...], dtype: Any) -> None:
        self.init, self.shape, self.dtype = init, shape, dtype
        self.before, self.after = Moving(init, 0), Moving(init, 0)
        self.stack: Value | None = None
        self.final: Value | None = None


class InnerBuilder(Builder):
    """A builder for the instructions that another one holds."""

    def __init__(self, outer: Builder) -> None:
        super().__init__()
        self.passes, self.outer = outer.passes, outer

    @property
    def n_given(self) -> int:
        """How many results of calls there are."""
        return self.outer.n_given

    @n_given.setter
    def n_given(self, n: int) -> None:
        if hasattr(self, "outer"):
            self.outer.n_given = n


def ends_of(outputs: Sequence[Any], inputs: Sequence[Any]) -> tuple[Any, list[int]]:
    """Return the tape of a body, and for each output where it is on it; -1 for a constant."""
    tape = bodies.independent([y for y in outputs if bodies.is_recorded(y)], inputs, keep=True)
    found = iter(tape.output_positions)
    return tape, [next(found) if bodies.is_recorded(y) else -1 for y in outputs]


def move_into(b: Builder, x: Value, place: Value, known: set[int]) -> None:
    """Let a value lie in a place; `known` is memory that is not its own."""
    if is_movable(x.storage) and x.whole and id(x.storage) not in known:
        x.storage.put_inside(place.storage, 0)
    elif x.size:
        b.append(Copy([x], [place]))


class BodyBuilder(InnerBuilder):
    """A builder for the body of a loop, which leaves to the one outside what need not be inside."""

    def __init__(self, outer: Builder, count: int, backward: bool, again: bool) -> None:
        super().__init__(outer)
        self.count, self.backward = count, backward
        self.again = again  # to save memory: nothing is computed for all steps at once
        self.outside: set[int] = set()  # memory that is the same in all steps
        self.sequences: dict[int, Value] = {}  # memory that moves along one with an axis of steps
        self.stacks: dict[int, Value] = {}  # what is written in each step, into one
        self.carries: dict[int, tuple[_Carry, bool]] = {}  # and whether it is the next one
        self.moving: list[Moving] = []
        self.summed: set[int] = set()
        self.position = -1
        self.later: dict[int, tuple[Value, Value, Sequence[int]]] = {}  # sums in steps

    # -- where a value is from

    def is_outside(self, x: Any) -> bool:
        """Say whether a value is the same in all steps."""
        return x.storage.kind == "constant" or id(x.storage) in self.outside

    def is_ahead(self, operands: Sequence[Any]) -> bool:
        """Say whether operands are known for all steps before the loop, and not all the same."""
        if self.again or "hoisting" not in self.passes:
            return False
        values = [x for x in operands if isinstance(x, Value)]
        found = [x.waiting is None and id(x.storage) in self.sequences for x in values]
        return any(found) and all(
            known or (x.waiting is None and self.is_outside(x))
            for x, known in zip(values, found, strict=True)
        )

    def home(self, operands: Sequence[Any]) -> Builder:
        values = [x for x in operands if isinstance(x, Value)]
        if (
            "hoisting" in self.passes
            and values
            and all(x.waiting is None and self.is_outside(x) for x in values)
        ):
            return self.outer.home(operands)
        return self

    def take(self, y: Value, home: Builder) -> None:
        if home is not self:
            home.read(y)
            self.outside.add(id(y.storage))
            self.outer.take(y, home)

    def sequence(self, x: Value) -> Value:
        """Return the element of a sequence that a step sees."""
        if any(stride < 0 for stride in x.strides):
            mask, x = x.mask, self.outer.contiguous(x)
            x.mask = mask
        step = x.strides[0] if self.count > 1 else 0
        first = (self.count - 1) * step if self.backward else 0
        moving = Moving(x.view(x.shape[1:], x.offset + first, x.strides[1:]), 0)
        moving.step = -step if self.backward else step
        self.moving.append(moving)
        base = x.view(x.shape, x.offset, (step, *x.strides[1:]))
        self.sequences[id(moving.storage)] = base
        y = Value(moving.storage, x.shape[1:], x.dtype, 0, x.strides[1:])
        y.mask = x.mask
        return y

    def along(self, x: Value, nd: int | None = None) -> Value:
        """Return a value for all steps, with an axis for them in front of `nd` others."""
        base = self.sequences[id(x.storage)]
        missing = 0 if nd is None else nd - len(x.shape)
        y = Value(
            base.storage,
            (self.count, *(1,) * missing, *x.shape),
            x.dtype,
            base.offset + x.offset,
            (base.strides[0], *(0,) * missing, *x.strides),
        )
        y.mask = x.mask
        return y

    def stacked(self, x: Value) -> Value:
        """Return a value of all steps, in their order, behind the loop."""
        x = self.read(x)
        key = id(x.storage)
        if key in self.sequences:
            return self.along(x)
        if self.is_outside(x):
            y = x.view((self.count, *x.shape), x.offset, (0, *x.strides))
        else:
            if key in self.carries and x.storage.outermost.kind == "moving":
                base = self._carried(*self.carries[key])
            else:
                if key not in self.stacks:
                    x = self._written(x)
                base = self.stacks[id(x.storage)]
            strides = (base.strides[0], *x.strides)
            offset = base.offset + x.offset
            y = Value(base.storage, (self.count, *x.shape), x.dtype, offset, strides)
        y.mask = x.mask
        return y

    def _carried(self, carry: _Carry, is_next: bool) -> Value:
        """Return the stack of a carry, as each step gets it or leaves it."""
        if carry.stack is None:
            carry.stack = self.outer.new((self.count + 1, *carry.shape), carry.dtype)
        first = int(is_next != self.backward)
        stack = carry.stack
        shape = (self.count, *stack.shape[1:])
        return stack.view(shape, first * stack.strides[0], stack.strides)

    def _written(self, x: Value) -> Value:
        """Let what is written in each step be kept."""
        if not is_movable(x.storage):
            mask = x.mask
            x = self.contiguous(x) if not x.contiguous else self._copied(x)
            x.mask = mask
        nbytes = x.storage.nbytes
        base = Value(
            Storage("work", self.count * nbytes),
            (self.count, nbytes // x.dtype.itemsize),
            x.dtype,
        )
        first = (self.count - 1) * nbytes if self.backward else 0
        moving = Moving(base.view((), first, ()), -nbytes if self.backward else nbytes)
        self.moving.append(moving)
        x.storage.put_inside(moving.storage, 0)
        self.stacks[id(x.storage)] = base
        return x

    def _copied(self, x: Value) -> Value:
        y = self.new(x.shape, x.dtype)
        self.append(Copy([x], [y]))
        return y

    # -- what is done for all steps at once

    def elementwise(self, function: Any, operands: Sequence[Any], dtype: Any) -> Value | None:
        if not self.is_ahead(operands):
            return super().elementwise(function, operands, dtype)
        shapes = [x.shape for x in operands if isinstance(x, Value)]
        nd = len(np.broadcast_shapes(*shapes))
        found = [
            self.along(x, nd) if isinstance(x, Value) and id(x.storage) in self.sequences else x
            for x in operands
        ]
        y = self.outer.elementwise(function, found, dtype)
        return None if y is None else self.sequence(y)

    def contract(
        self, x: Value, left: Sequence[int], y: Value, right: Sequence[int], out: Sequence[int]
    ) -> Value | None:
        if self.position in self.summed or not self.is_ahead((x, y)):
            return super().contract(x, left, y, right, out)
        lead = max((*left, *right, *out), default=0) + 1
        (x, left), (y, right) = (
            (self.along(v), (lead, *labels)) if id(v.storage) in self.sequences else (v, labels)
            for v, labels in ((x, left), (y, right))
        )
        z = self.outer.contract(x, left, y, right, (lead, *out))
        return None if z is None else self.sequence(self.outer.read(z))

    def sum(self, x: Value, axis: Sequence[int], shape: tuple[int, ...]) -> Value | None:
        if not self.is_ahead((x,)) or not x.shape:
            y = super().sum(x, axis, shape)
            if y is not None and self.position in self.summed and self._may_stack(x):
                self.later[id(y)] = y, x, [k % len(x.shape) for k in axis] if x.shape else []
            return y
        axes = [k % len(x.shape) + 1 for k in axis]
        y = self.outer.sum(self.along(x), axes, (self.count, *shape))
        return None if y is None else self.sequence(self.outer.read(y))

    def _may_stack(self, x: Value) -> bool:
        known = id(x.storage) in self.sequences or id(x.storage) in self.stacks
        return known or self.count * x.storage.nbytes <= _MOST

    # -- sums over the steps

    def total(self, x: Value) -> Callable[[], Value]:
        """Return what makes the sum of a value over all steps, behind the loop."""
        outer = self.outer
        axes: Sequence[int] = ()
        shape, size = x.shape, x.size
        if id(x) in self.later:
            _, x, axes = self.later[id(x)]
        parts: list[Value] = [x]
        y = outer.new(shape, x.dtype)
        y.waiting = Waiting()
        if x.waiting is not None:
            waiting, x.waiting = x.waiting, None
            parts = waiting.others
            for term in waiting.terms:
                self._add_term(y, term)
            for part, index in waiting.parts:
                self.append(Add(part, self.part(self._added(y), index)))
            for part, places, sizes in waiting.scattered:
                self.append(Scatter(part, places, self._added(y), sizes))
        stacks = []
        for part in map(self.read, parts):
            if self.is_outside(part) or not (size and self._may_stack(part)):
                self.append(Add(part, self._added(y)))
            else:
                stacks.append(self.stacked(part))

        def made() -> Value:
            assert y.waiting is not None
            for stack in stacks:
                found = outer.sum(stack, [0, *[k + 1 for k in axes]], shape)
                assert found is not None
                y.waiting.others.append(found)
            if not (y.waiting.others or y.waiting.terms):
                outer.append(Zero(y))
                y.waiting = None
            return y

        return made

    def all_of(self, x: Value) -> Callable[[], Value]:
        """Return what makes the stack of a value of all steps, behind the loop.

        A product that no step reads is one for all of them.
        """
        outer, waiting = self.outer, x.waiting
        if waiting is None or not waiting.is_product:
            stack = self.stacked(x)
            return lambda: stack
        (term,) = waiting.terms
        lead = max((*term.left, *term.right, *term.out), default=0) + 1
        pairs: list[tuple[Value, Sequence[int]]] = []
        moving = [v for v in (term.x, term.y) if not self.is_outside(v)]
        if not (moving and all(map(self._may_stack, moving))):
            stack = self.stacked(x)
            return lambda: stack
        for v, labels in ((term.x, term.left), (term.y, term.right)):
            outside = self.is_outside(v)
            pairs.append((v, labels) if outside else (self.stacked(v), (lead, *labels)))

        def made() -> Value:
            found = outer.contract(*pairs[0], *pairs[1], (lead, *term.out))
            assert found is not None
            return outer.read(found)

        return made

    def _added(self, y: Value) -> Value:
        """Return the place into which each step adds."""
        assert y.waiting is not None
        known: list[Value] = [x for x in y.waiting.others if x.position == -3]
        if known:
            return known[0]
        total = self.outer.new(y.shape, y.dtype)
        total.position = -3
        self.outer.append(Zero(total))
        y.waiting.others.append(total)
        return total

    def _add_term(self, y: Value, term: Term) -> None:
        assert y.waiting is not None
        outside = self.is_outside(term.x) or self.is_outside(term.y)
        if outside or not (self._may_stack(term.x) and self._may_stack(term.y)):
            into = self._added(y)
            step = self.product(
                term.x, term.left, term.y, term.right, into, term.out, term.sizes, True
            )
            self.append(step)
            return
        lead = max((*term.left, *term.right, *term.out), default=0) + 1
        y.waiting.terms.append(
            Term(
                self.stacked(term.x),
                (lead, *term.left),
                self.stacked(term.y),
                (lead, *term.right),
                term.out,
                {**term.sizes, lead: self.count},
            )
        )


def lowered_scan(
    b: Builder, scan: Any, operands: Sequence[Any], group: Sequence[Any]
) -> list[list[Value]]:
    """Append a loop; return the outputs of each of a group of scans, which differ in outputs only.

    Parameters
    ----------
    b : Builder
    scan : Scan
    operands : list
        Values, or constants.
    group : list of Scan
    """
    inputs = scan.inputs
    outputs = [y for one in group for y in one.outputs]
    given = [as_value(b, x, end.dtype) for x, end in zip(operands, inputs, strict=True)]
    tape, where = ends_of(outputs, inputs)
    body = BodyBuilder(b, scan.count, scan.backward, scan.again)
    values: dict[int, Value] = {}
    n_consts, n = len(scan.consts), len(scan.carry)
    carries: list[_Carry] = []
    for k, (x, end, p) in enumerate(zip(given, inputs, tape.input_positions, strict=True)):
        if n_consts <= k < n_consts + n:
            carry = _Carry(x, end.shape, end.dtype)
            carries.append(carry)
            if p >= 0 and where[k - n_consts] == p:  # it never changes
                carry.final = x
                values.setdefault(p, x)
                body.outside.add(id(x.storage))
            else:
                carry.init = b.boolean(x)
                value = carry.before.value(end.shape, end.dtype)
                body.carries[id(value.storage)] = carry, False
                if p >= 0:
                    values[p] = value
        elif p < 0 or p in values:
            continue
        elif k < n_consts:
            values[p] = x
            body.outside.add(id(x.storage))
        else:
            values[p] = body.sequence(x)
    links = tape.links()
    sums = set()
    first = 0
    for one in group:
        m = len(one.outputs)
        sums |= set(where[first + m - len(one.sums) : first + m])
        first += m
    body.summed = {p for p in sums if where.count(p) == 1}
    lower_links(body, links, values, where)

    def made(position: int, constant: Any) -> Value:
        return values[position] if position >= 0 else b.constant(constant)

    for k, carry in enumerate(carries):
        if carry.final is None:
            _leave_carry(body, carry, made(where[k], outputs[k]))
    of_ys, of_sums = [], []
    first = 0
    for one in group:
        end = first + len(one.outputs)
        of_ys.append([made(where[k], outputs[k]) for k in range(first + n, end - len(one.sums))])
        of_sums.append([made(where[k], outputs[k]) for k in range(end - len(one.sums), end)])
        first = end
    stacks = _once(b, of_ys, body.all_of)
    totals = _once(b, of_sums, body.total)  # behind the others: sums take what a value waits for
    swaps = [pair for carry in carries if (pair := _placed(b, body, carry))]
    moved = [m for c in carries if c.final is not None for m in (c.before, c.after)]
    b.append(Loop(scan.count, body.steps, [*body.moving, *moved], swaps))
    finals = [c.final for c in carries if c.final is not None]
    return [
        [*finals, *[stacks[id(y)]() for y in ys], *[totals[id(y)]() for y in sums]]
        for ys, sums in zip(of_ys, of_sums, strict=True)
    ]


def _once(
    b: Builder,
    groups: Sequence[Sequence[Value]],
    ending: Callable[[Value], Callable[[], Value]],
) -> dict[int, Callable[[], Value]]:
    """Return by the id of each value of a step what makes its stack, or its sum, behind the loop.

    Several outputs, of one scan or of several, may be the same value: then it waits for nobody.
    """
    values = [y for group in groups for y in group]
    count: dict[int, int] = {}
    for y in values:
        count[id(y)] = count.get(id(y), 0) + 1
    found: dict[int, Callable[[], Value]] = {}
    for y in values:
        if id(y) not in found:
            make = ending(y)
            if count[id(y)] > 1:
                make = functools.cache(lambda make=make: b.read(make()))
            found[id(y)] = make
    return found


def _leave_carry(body: BodyBuilder, carry: _Carry, y: Value) -> None:
    """Let a step leave its carry where the next one finds it."""
    y = body.boolean(body.read(y))
    place = carry.after.value(carry.shape, carry.dtype)
    body.carries[id(place.storage)] = carry, True
    inside = is_movable(y.storage) and y.whole and id(y.storage) not in body.stacks
    if inside and not body.is_outside(y):
        y.storage.put_inside(place.storage, 0)
        body.carries[id(y.storage)] = carry, True
    else:
        body.append(Copy([y], [place]))


def _placed(b: Builder, body: BodyBuilder, carry: _Carry) -> Any:
    """Give a carry its places; return what swaps."""
    if carry.final is not None:
        return None
    count, nbytes = body.count, Value(Storage("work", 0), carry.shape, carry.dtype).size
    nbytes *= carry.dtype.itemsize
    like = b.new(carry.shape, carry.dtype)
    if carry.stack is not None:
        stack = carry.stack
        first, step = (count, -1) if body.backward else (0, 1)
        rows = [
            stack.view(carry.shape, row * nbytes, like.strides)
            for row in (first, first + step, first + step * count)
        ]
        carry.before.start, carry.after.start, carry.final = rows
        carry.before.step = carry.after.step = step * nbytes
        pair = None
    else:
        places = [like, b.new(carry.shape, carry.dtype)]
        carry.before.start, carry.after.start = places
        carry.final = places[count % 2]
        pair = carry.before, carry.after
    if like.size:
        b.append(Copy([carry.init], [carry.before.start]))
    return pair
