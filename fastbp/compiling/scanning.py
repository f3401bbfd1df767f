"""Loops with a carried state as one operation of the record: `scan` while `compile` records.

The step is recorded once. The operation has as operands what the step finds around it, the first
carry and the sequences; its derivatives are such loops again, of the derivatives of the step: so
there are gradients of any order, in both modes, without a rule for plans.
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
from fastbp.compiling.bodies import UnrolledError, is_float, is_recorded, zeros_like
from fastbp.compiling.builder import Builder
from fastbp.compiling.layout import laid_out
from fastbp.compiling.loop_lowering import lowered_scan
from fastbp.compiling.packing import packing_of
from fastbp.compiling.passes import enabled
from fastbp.compiling.values import Storage, Value

__all__ = ["Scan", "scanned"]


@dataclass(eq=False)
class Scan:
    """A loop: what its step reads and computes.

    Attributes
    ----------
    count : int
    backward : bool
        Whether it goes from the last step to the first.
    consts, carry, xs : list
        Inputs of the step: the same in all steps; carried; of a sequence.
    new, ys, sums : list
        Outputs: the next carry; stacked; added up over the steps.
    again : bool
        Whether a derivative computes the step again, from its inputs.
    root : Scan
        The one that this one is, with more outputs: a plan has one loop for both.
    """

    count: int
    backward: bool
    consts: list[Any]
    carry: list[Any]
    xs: list[Any]
    new: list[Any]
    ys: list[Any]
    sums: list[Any]
    again: bool = False
    root: Any = None
    made: dict[Any, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.root is None:
            self.root = self

    @property
    def inputs(self) -> list[Any]:
        """All inputs of the step, in the order of the operands."""
        return [*self.consts, *self.carry, *self.xs]

    @property
    def outputs(self) -> list[Any]:
        """All outputs of the step, in the order of the operation's."""
        return [*self.new, *self.ys, *self.sums]

    def __call__(self, operands: Sequence[Any]) -> tuple[Any, ...]:
        """Apply the loop, and record it."""
        if not self.outputs:  # a derivative that nobody needs
            return ()
        made: tuple[Any, ...] = self.op(*operands)
        return made

    @functools.cached_property
    def op(self) -> Op:
        """The operation."""
        inputs = self.inputs
        return Op(
            "scan",
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

    # -- values

    def computed(self, *operands: Any) -> tuple[Any, ...]:
        """Run the loop on arrays."""
        try:
            return tuple(self.plan(*operands))
        except StrongZeroError:
            raise UnrolledError from None

    @functools.cached_property
    def plan(self) -> Any:
        """The plan of the loop alone."""
        b = Builder()
        given = []
        for number, x in enumerate(self.operands_like()):
            given.append(Value(Storage("input", x.nbytes, number), x.shape, x.dtype))
        made = lowered_scan(b, self, given, [self])[0]
        return laid_out(b, given, [b.boolean(b.read(y)) for y in made])

    def operands_like(self) -> list[np.ndarray]:
        """Return arrays of the shapes and dtypes of the operands."""
        n = len(self.consts) + len(self.carry)
        shapes = [x.shape if k < n else (self.count, *x.shape) for k, x in enumerate(self.inputs)]
        return [
            np.broadcast_to(np.zeros((), x.dtype), shape)
            for x, shape in zip(self.inputs, shapes, strict=True)
        ]

    def lowered(self, b: Builder, operands: list[Any], group: Sequence[Scan]) -> list[list[Value]]:
        """Append the loop to a plan; return the outputs of each scan of the group."""
        return lowered_scan(b, self, operands, group)

    # -- derivatives

    def with_saved(self, saved: Sequence[Any]) -> Scan:
        """Return the same loop which also returns other values of each step."""
        return Scan(
            self.count, self.backward, self.consts, self.carry, self.xs, self.new,
            [*self.ys, *saved], self.sums, self.again, self.root,
        )  # fmt: skip

    def active(self, given: Sequence[bool], reached: list[list[bool]]) -> list[bool]:
        """Return which carries have a cotangent, where some outputs have."""
        n_consts, n = len(self.consts), len(self.carry)
        there = list(given)
        while True:
            before = list(there)
            for j in range(n):
                there[j] = there[j] or any(
                    t and row[n_consts + j] for t, row in zip(there, reached, strict=True)
                )
            if there == before:
                return there

    def moved(self, given: Sequence[bool], reached: list[list[bool]]) -> list[bool]:
        """Return which inputs have a tangent, where some operands have."""
        n_consts, n = len(self.consts), len(self.carry)
        # A value that has no derivative in the step may be an operand that has one outside.
        there = [t and is_float(x) for t, x in zip(given, self.inputs, strict=True)]
        while True:
            before = list(there)
            for j in range(n):
                there[n_consts + j] = there[n_consts + j] or any(
                    t and r for t, r in zip(there, reached[j], strict=True)
                )
            if there == before:
                return there

    @functools.cached_property
    def reached(self) -> list[list[bool]]:
        """For each output by which inputs it has a derivative."""
        return bodies.dependence(self.outputs, self.inputs)

    def pull(self, g: Any, needs: Any, ans: Any, *operands: Any) -> Any:
        """Return the cotangents of the operands: a loop in the other direction."""
        first = next(k for k, x in enumerate(g) if x is not None)
        nd = len(self.outputs[first].shape) + (
            len(self.new) <= first < len(self.new) + len(self.ys)
        )
        lead = tuple(np.shape(graph.array_of(g[first])))[: g[first].ndim - nd]
        key = ("pull", tuple(x is not None for x in g), tuple(needs), lead)
        if key not in self.made:
            self.made[key] = _Pulled(self, key[1], key[2], lead)
        return self.made[key](g, needs, operands)

    def push(self, tangents: Any, ans: Any, *operands: Any) -> Any:
        """Return the tangents of the outputs: a loop in the same direction."""
        first = next(k for k, x in enumerate(tangents) if x is not None)
        nd = len(self.operands_like()[first].shape)
        lead = tuple(np.shape(graph.array_of(tangents[first])))[: tangents[first].ndim - nd]
        key = ("push", tuple(x is not None for x in tangents), lead)
        if key not in self.made:
            self.made[key] = _Pushed(self, key[1], lead)
        return self.made[key](tangents, operands)

    def kept_for(self, derived: Sequence[Any], seeds: Sequence[Any]) -> _Kept:
        """Return what a derivative of the step reads of the values of the step."""
        return _Kept(self, derived, seeds)


class _Kept:
    """What a derivative reads: some operands as they are, and stacks of what the loop computed."""

    def __init__(self, scan: Scan, derived: Sequence[Any], seeds: Sequence[Any]) -> None:
        saved = bodies.saved_for(derived, seeds, scan.inputs, [*scan.new, *scan.ys], scan.again)
        ends = [y for y in derived if is_recorded(y)]
        tape = bodies.independent(ends, [*seeds, *saved, *scan.inputs], keep=True)
        reached = tape.reached[len(seeds) + len(saved) :]
        n_consts, n = len(scan.consts), len(scan.carry)
        self.const_numbers = [k for k in range(n_consts) if reached[k]]
        self.carried = [k for k in range(n) if reached[n_consts + k]]
        self.x_numbers = [k for k in range(len(scan.xs)) if reached[n_consts + n + k]]
        self.consts = [scan.consts[k] for k in self.const_numbers]
        stacked = [*saved, *[scan.carry[k] for k in self.carried]]
        self.xs = [*stacked, *[scan.xs[k] for k in self.x_numbers]]
        self.scan, self.more = scan, len(stacked)
        self.extended = scan.with_saved(stacked) if stacked else None

    def operands(self, operands: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Return operands of the derivative for `consts`, and for `xs`."""
        scan = self.scan
        consts = [operands[k] for k in self.const_numbers]
        stacks: list[Any] = []
        if self.extended is not None:
            first = len(scan.new) + len(scan.ys)
            stacks = list(self.extended(operands)[first : first + self.more])
        n = len(scan.consts) + len(scan.carry)
        return consts, [*stacks, *[operands[n + k] for k in self.x_numbers]]


class _Pulled:
    """The VJP of a scan, for some of its outputs and operands."""

    def __init__(
        self, scan: Scan, given: tuple[bool, ...], needs: tuple[bool, ...], lead: tuple[int, ...]
    ) -> None:
        self.scan, self.given, self.lead = scan, given, lead
        there = scan.active(given, scan.reached)
        inputs, outputs = scan.inputs, scan.outputs
        n_consts, n = len(scan.consts), len(scan.carry)
        self.active = [j for j in range(n) if there[j]]
        self.seeded = [k for k, t in enumerate(there) if t and is_float(outputs[k])]
        wanted = [
            k
            for k, need in enumerate(needs)
            if need and any(scan.reached[o][k] for o in self.seeded)
        ]
        self.consts = [k for k in wanted if k < n_consts]
        self.xs = [k for k in wanted if k >= n_consts + n]
        order = [n_consts + j for j in self.active] + self.xs + self.consts
        seeds = bodies.seeds_like([outputs[k] for k in self.seeded], lead)
        found = bodies.pulled(
            [outputs[k] for k in self.seeded], [inputs[k] for k in order], seeds, lead
        )
        self.kept = scan.kept_for(found, seeds)
        n_new, n_ys = len(scan.new), len(scan.ys)
        of = dict(zip(self.seeded, seeds, strict=True))
        constant = [j for j in self.active if j not in of]  # a step leaves them, whatever it got
        of.update(
            zip(constant, bodies.seeds_like([outputs[j] for j in constant], lead), strict=True)
        )
        self.of_ys = [k for k in self.seeded if n_new <= k < n_new + n_ys]
        self.of_sums = [k for k in self.seeded if k >= n_new + n_ys]
        a, b = len(self.active), len(self.active) + len(self.xs)
        self.back = Scan(
            scan.count,
            not scan.backward,
            [*self.kept.consts, *[of[k] for k in self.of_sums]],
            [of[j] for j in self.active],
            [*[of[k] for k in self.of_ys], *self.kept.xs],
            found[:a],
            found[a:b],
            found[b:],
            scan.again,
        )

    def __call__(self, g: Any, needs: Any, operands: Any) -> list[Any]:
        scan, lead = self.scan, len(self.lead)
        consts, xs = self.kept.operands(operands)
        init = [zeros_like(scan.new[j], self.lead) if g[j] is None else g[j] for j in self.active]
        of_ys = [_axis_first(g[k], lead) for k in self.of_ys]
        made = self.back([*consts, *[g[k] for k in self.of_sums], *init, *of_ys, *xs])
        results: list[Any] = [None] * len(operands)
        for j, x in zip(self.active, made, strict=False):
            if needs[len(scan.consts) + j]:
                results[len(scan.consts) + j] = x
        rest = made[len(self.active) :]
        for k, x in zip([*self.xs, *self.consts], rest, strict=True):
            results[k] = _axis_back(x, lead) if k >= len(scan.consts) else x
        return results


class _Pushed:
    """The JVP of a scan, for some of its operands."""

    def __init__(self, scan: Scan, given: tuple[bool, ...], lead: tuple[int, ...]) -> None:
        self.scan, self.lead = scan, lead
        inputs, outputs = scan.inputs, scan.outputs
        there = scan.moved(given, scan.reached)
        n_consts, n = len(scan.consts), len(scan.carry)
        moving = [k for k, t in enumerate(there) if t]
        self.active = [k - n_consts for k in moving if n_consts <= k < n_consts + n]
        self.consts = [k for k in moving if k < n_consts]
        self.xs = [k for k in moving if k >= n_consts + n]
        seeds = bodies.seeds_like([inputs[k] for k in moving], lead)
        n_new, n_ys = len(scan.new), len(scan.ys)
        self.out = [
            k for k, row in enumerate(scan.reached)
            if k >= n_new and any(row[i] for i in moving)
        ]  # fmt: skip
        order = self.active + self.out
        found = bodies.pushed([outputs[k] for k in order], [inputs[k] for k in moving], seeds, lead)
        self.kept = scan.kept_for(found, seeds)
        of = dict(zip(moving, seeds, strict=True))
        a = len(self.active)
        b = a + sum(k < n_new + n_ys for k in self.out)
        self.forth = Scan(
            scan.count,
            scan.backward,
            [*self.kept.consts, *[of[k] for k in self.consts]],
            [of[n_consts + j] for j in self.active],
            [*[of[k] for k in self.xs], *self.kept.xs],
            found[:a],
            found[a:b],
            found[b:],
            scan.again,
        )

    def __call__(self, tangents: Any, operands: Any) -> list[Any]:
        scan, lead = self.scan, len(self.lead)
        consts, xs = self.kept.operands(operands)
        first = len(scan.consts)
        init = [
            zeros_like(scan.carry[j], self.lead)
            if tangents[first + j] is None
            else tangents[first + j]
            for j in self.active
        ]
        own = [_axis_first(tangents[k], lead) for k in self.xs]
        made = self.forth([*consts, *[tangents[k] for k in self.consts], *init, *own, *xs])
        results: list[Any] = [None] * len(scan.outputs)
        n_new, n_ys = len(scan.new), len(scan.ys)
        for k, x in zip([*self.active, *self.out], made, strict=True):
            results[k] = _axis_back(x, lead) if n_new <= k < n_new + n_ys else x
        return results


def _axis_first(x: Any, lead: int) -> Any:
    """Bring the axis of time in front of a block axis."""
    return x if not lead else np.swapaxes(x, 0, 1)


def _axis_back(x: Any, lead: int) -> Any:
    return _axis_first(x, lead)


def scanned(
    step: Callable[..., Any],
    init: Any,
    xs: Any,
    count: int,
    backward: bool,
    again: bool,
) -> tuple[Any, Any]:
    """Record a loop of a step that is recorded once.

    Parameters
    ----------
    step : callable
        It returns a carry like the first one, and what is stacked.
    init, xs : tree
        `xs` of sequences of `count` elements.
    again : bool
        Compute the step again where it is differentiated.

    Raises
    ------
    UnrolledError
        If the step cannot be recorded once for all.
    """
    carry_leaves = tree.flatten(init)[0]
    x_leaves, x_def = tree.flatten(xs)
    at = count - 1 if backward else 0
    x = x_def.unflatten([graph.array_of(leaf)[at] for leaf in x_leaves])

    inputs, outputs, structure, outer = bodies.recorded_body(step, (init, x))
    if not outer and not any(map(is_recorded, (*carry_leaves, *x_leaves))):
        raise UnrolledError  # it is a constant
    n = m = len(carry_leaves)
    packing = packing_of(inputs, outputs, outer, n) if "packing" in enabled() else None
    if packing is not None:
        packs, rest = packing.packed(carry_leaves)
        x = [graph.array_of(leaf)[at] for leaf in x_leaves]
        inputs, outputs, _, outer = bodies.recorded_body(packing.step, ((packs, rest), x))
        carry_leaves = [*packs, *rest]
        m = len(carry_leaves)
    scan = Scan(count, backward, outer, inputs[:m], inputs[m:], outputs[:m], outputs[m:], [], again)
    given = [x if is_recorded(x) else np.asarray(x) for x in (*carry_leaves, *x_leaves)]
    made = list(scan([*outer, *given]))
    if packing is not None:
        k = len(packing.groups)
        made[:m] = packing.unpacked(made[:k], made[k:m])
    carry, ys = structure.unflatten(made)
    return carry, ys
