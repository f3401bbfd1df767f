"""Branches, and loops that go on as long as a value says, as operations of the record.

As for `scanning.Scan`, what a branch or a step computes is recorded once, and its derivatives are
such operations again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastbp import tree
from fastbp._core import graph
from fastbp._core.graph import Op
from fastbp._core.replay import StrongZeroError
from fastbp.compiling import bodies
from fastbp.compiling.blocks import Branch, Leave, Loop, Moving
from fastbp.compiling.bodies import UnrolledError, is_float, is_recorded, zeros_like
from fastbp.compiling.builder import Builder
from fastbp.compiling.layout import laid_out
from fastbp.compiling.loop_lowering import InnerBuilder, ends_of, move_into
from fastbp.compiling.lowering import as_value, lower_links
from fastbp.compiling.steps import Copy
from fastbp.compiling.values import Storage, Value
from fastbp.errors import DTypeError, NoRuleError, ShapeError

__all__ = ["chosen", "repeated"]


class _Block:
    """What branches and loops have in common: inputs, outputs, an operation and a plan."""

    name = ""
    inputs: list[Any]
    root: Any

    @functools.cached_property
    def op(self) -> Op:
        """The operation."""
        inputs = self.inputs
        return Op(
            self.name,
            self.computed,
            nin=len(inputs),
            nout=-1,
            vjp=self.pull,
            jvp=self.push,
            saves=tuple(range(30)),
            objects=tuple(k for k, x in enumerate(inputs) if not is_float(x)),
            coefficients="values",
            block=self,
        )

    def computed(self, *operands: Any) -> tuple[Any, ...]:
        """Run it on arrays."""
        try:
            return tuple(self.plan(*operands))
        except StrongZeroError:
            raise UnrolledError from None

    @functools.cached_property
    def plan(self) -> Any:
        """The plan of it alone."""
        b = Builder()
        given = []
        for number, x in enumerate(self.inputs):
            nbytes = Value(Storage("input", 0), x.shape, x.dtype).size * x.dtype.itemsize
            given.append(Value(Storage("input", nbytes, number), x.shape, x.dtype))
        made = self.lowered(b, given, [self])[0]
        return laid_out(b, given, [b.boolean(b.read(y)) for y in made])

    def lowered(self, b: Builder, operands: list[Any], group: Sequence[Any]) -> list[list[Value]]:
        """Append it to a plan; return its outputs."""
        raise NotImplementedError

    def pull(self, g: Any, needs: Any, ans: Any, *operands: Any) -> Any:
        """Return the cotangents of the operands."""
        raise NotImplementedError

    def push(self, tangents: Any, ans: Any, *operands: Any) -> Any:
        """Return the tangents of the outputs."""
        raise NotImplementedError


def _lead(given: Sequence[Any], ends: Sequence[Any]) -> tuple[int, ...]:
    """Return the block axes of the (co)tangents of some ends."""
    k = next(k for k, x in enumerate(given) if x is not None)
    shape = np.shape(graph.array_of(given[k]))
    return tuple(shape[: len(shape) - len(ends[k].shape)])


@dataclass(eq=False)
class Choice(_Block):
    """One of two branches, of the same inputs: the first of `inputs` decides."""

    inputs: list[Any]
    first: list[Any]
    second: list[Any]
    name = "cond"

    def __post_init__(self) -> None:
        self.root = self

    def lowered(self, b: Builder, operands: list[Any], group: Sequence[Any]) -> list[list[Value]]:
        given = [as_value(b, x, end.dtype) for x, end in zip(operands, self.inputs, strict=True)]
        places = [b.new(y.shape, y.dtype) for y in self.first]
        parts = []
        for outputs in (self.first, self.second):
            inner = InnerBuilder(b)
            tape, where = ends_of(outputs, self.inputs)
            values = {p: x for p, x in zip(tape.input_positions, given, strict=True) if p >= 0}
            known = {id(x.storage) for x in values.values()}
            lower_links(inner, tape.links(), values, where)
            for p, y, place in zip(where, outputs, places, strict=True):
                x = values[p] if p >= 0 else inner.constant(y)
                move_into(inner, inner.boolean(inner.read(x)), place, known)
            parts.append(inner.steps)
        b.append(Branch(given[0], *parts))
        return [places] * len(group)

    @functools.cached_property
    def reached(self) -> list[list[bool]]:
        """For each output by which inputs it has a derivative, in one of the branches."""
        pairs = (bodies.dependence(ends, self.inputs) for ends in (self.first, self.second))
        return [[a or b for a, b in zip(*rows, strict=True)] for rows in zip(*pairs, strict=True)]

    def pull(self, g: Any, needs: Any, ans: Any, *operands: Any) -> Any:
        lead = _lead(g, self.first)
        there = [k for k, x in enumerate(g) if x is not None]
        wanted = [
            k for k, need in enumerate(needs) if need and any(self.reached[o][k] for o in there)
        ]
        results: list[Any] = [None] * len(operands)
        if not wanted:
            return results
        seeds = bodies.seeds_like([self.first[k] for k in there], lead)
        inputs = [self.inputs[k] for k in wanted]
        branches = []
        for outputs in (self.first, self.second):
            own = [(outputs[k], s) for k, s in zip(there, seeds, strict=True)]
            own = [pair for pair in own if is_float(pair[0])]
            branches.append(bodies.pulled([y for y, _ in own], inputs, [s for _, s in own], lead))
        choice = Choice([*self.inputs, *seeds], *branches)
        made = choice.op(*operands, *[g[k] for k in there])
        for k, x in zip(wanted, made, strict=True):
            results[k] = x
        return results

    def push(self, tangents: Any, ans: Any, *operands: Any) -> Any:
        lead = _lead(tangents, self.inputs)
        moving = [k for k, x in enumerate(tangents) if x is not None]
        out = [k for k, row in enumerate(self.reached) if any(row[i] for i in moving)]
        results: list[Any] = [None] * len(self.first)
        if not out:
            return results
        inputs = [self.inputs[k] for k in moving]
        seeds = bodies.seeds_like(inputs, lead)
        branches = []
        for outputs in (self.first, self.second):
            own = [outputs[k] for k in out]
            floats = [y for y in own if is_float(y)]
            found = iter(bodies.pushed(floats, inputs, seeds, lead))
            branches.append([next(found) if is_float(y) else zeros_like(y, lead) for y in own])
        choice = Choice([*self.inputs, *seeds], *branches)
        made = choice.op(*operands, *[tangents[k] for k in moving])
        for k, x in zip(out, made, strict=True):
            results[k] = x
        return results


@dataclass(eq=False)
class Repeat(_Block):
    """A loop that goes on as long as `going` is true, of constants and a carry."""

    consts: list[Any]
    carry: list[Any]
    going: Any
    new: list[Any]
    name = "while_loop"
    inputs: list[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.root = self
        self.inputs = [*self.consts, *self.carry]

    def lowered(self, b: Builder, operands: list[Any], group: Sequence[Any]) -> list[list[Value]]:
        given = [as_value(b, x, end.dtype) for x, end in zip(operands, self.inputs, strict=True)]
        n = len(self.consts)
        inner = InnerBuilder(b)
        before, after, finals = [], [], []
        for x, end in zip(given[n:], self.carry, strict=True):
            places = [b.new(end.shape, end.dtype) for _ in range(3)]
            if places[0].size:
                b.append(Copy([b.boolean(x)], [places[0]]))
            before.append(Moving(places[0], 0))
            after.append(Moving(places[1], 0))
            finals.append(places[2])
        here = [m.value(x.shape, x.dtype) for m, x in zip(before, self.carry, strict=True)]
        starts = [*given[:n], *here]
        known = {id(x.storage) for x in starts}
        for outputs in ([self.going], self.new):
            tape, where = ends_of(outputs, self.inputs)
            values = {p: x for p, x in zip(tape.input_positions, starts, strict=True) if p >= 0}
            lower_links(inner, tape.links(), values, where)
            made = [
                inner.read(values[p] if p >= 0 else inner.constant(y))
                for p, y in zip(where, outputs, strict=True)
            ]
            if outputs is not self.new:
                inner.append(Leave(made[0]))
                continue
            for x, m in zip(made, after, strict=True):
                move_into(inner, inner.boolean(x), m.value(x.shape, x.dtype), known)
        b.append(Loop(-1, inner.steps, [*before, *after], list(zip(before, after, strict=True))))
        for x, y in zip(here, finals, strict=True):
            if y.size:
                b.append(Copy([x], [y]))
        return [finals] * len(group)

    def pull(self, g: Any, needs: Any, ans: Any, *operands: Any) -> Any:
        raise NoRuleError(
            "while_loop: in a compiled function the number of steps is not known, so there is no "
            "reverse mode; say how many there are at most by max_steps=, use scan, or forward "
            "mode (jvp)"
        )

    def push(self, tangents: Any, ans: Any, *operands: Any) -> Any:
        lead = _lead(tangents, self.inputs)
        n = len(self.consts)
        reached = bodies.dependence(self.new, self.inputs)
        there = [x is not None for x in tangents]
        while True:
            known = list(there)
            for j, row in enumerate(reached):
                there[n + j] = there[n + j] or any(t and r for t, r in zip(there, row, strict=True))
            if there == known:
                break
        moving = [k for k, t in enumerate(there) if t]
        active = [k - n for k in moving if k >= n]
        results: list[Any] = [None] * len(self.new)
        if not active:
            return results
        seeds = bodies.seeds_like([self.inputs[k] for k in moving], lead)
        outputs = [self.new[j] for j in active]
        floats = [y for y in outputs if is_float(y)]
        found = iter(bodies.pushed(floats, [self.inputs[k] for k in moving], seeds, lead))
        derived = [next(found) if is_float(y) else zeros_like(y, lead) for y in outputs]
        of = dict(zip(moving, seeds, strict=True))
        consts = [k for k in moving if k < n]
        loop = Repeat(
            [*self.consts, *[of[k] for k in consts]],
            [*self.carry, *[of[n + j] for j in active]],
            self.going,
            [*self.new, *derived],
        )
        init = [
            zeros_like(self.carry[j], lead) if tangents[n + j] is None else tangents[n + j]
            for j in active
        ]
        made = loop.op(*operands[:n], *[tangents[k] for k in consts], *operands[n:], *init)
        for j, x in zip(active, made[len(self.new) :], strict=True):
            results[j] = x
        return results


def _given(x: Any) -> Any:
    return x if is_recorded(x) else np.asarray(x)


def chosen(
    condition: Any,
    functions: tuple[Callable[..., Any], Callable[..., Any]],
    operands: tuple[Any, ...],
) -> Any:
    """Record a choice between two functions of the same operands.

    Raises
    ------
    UnrolledError
        If one of them cannot be recorded once for all.
    """
    leaves = [condition, *tree.flatten(operands)[0]]
    found = bodies.recorded_bodies(
        [lambda condition, operands, f=f: f(*operands) for f in functions],
        (condition, operands),
    )
    inputs, outer, ((first, structure), (second, other)) = found
    if structure != other:
        raise ShapeError(
            f"cond: true_fun returns {structure}, false_fun {other}: both must return the same"
        )
    for path, x, y in zip(structure.paths("the result"), first, second, strict=True):
        if (x.shape, x.dtype) != (y.shape, y.dtype):
            error = ShapeError if x.shape != y.shape else DTypeError
            raise error(
                f"cond: true_fun returns {path} of shape {x.shape} and dtype {x.dtype}, false_fun "
                f"of shape {y.shape} and dtype {y.dtype}: both must return the same"
            )
    if not first:
        return structure.unflatten([])
    choice = Choice([*inputs, *outer], first, second)
    return structure.unflatten(list(choice.op(*map(_given, leaves), *outer)))


def repeated(going: Callable[[Any], Any], step: Callable[[Any], Any], init: Any) -> Any:
    """Record a loop that goes on as long as a function of its carry says.

    Raises
    ------
    UnrolledError
        If it cannot be recorded once for all.
    """
    leaves = tree.flatten(init)[0]
    inputs, outer, ((condition, _), (new, structure)) = bodies.recorded_bodies(
        [going, step], (init,)
    )
    loop = Repeat(outer, inputs, condition[0], new)
    if not outer and not any(map(is_recorded, leaves)):
        raise UnrolledError  # it is a constant
    return structure.unflatten(list(loop.op(*outer, *map(_given, leaves))))
