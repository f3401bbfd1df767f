"""Numbers that a step carries and treats alike are one array: an operation on each is one on all.

A step written with sixty numbers in a tuple records sixty sines. Equal operations of one height on
the record are lanes of one operation; what they read is the lanes of another, in runs of
neighbours, one value for all, or an array of constants. The packed step is recorded again, so its
derivatives, and plans, know nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.compiling import bodies
from fastbp.compiling.bodies import is_float, is_recorded

__all__ = ["Packing", "packing_of"]

FEWEST = 8  # lanes of a pack
PIECES = 4  # runs of lanes that one operand is joined of, at most
ROUNDS = 3  # of groups, each of parts of the last ones
ELEMENTWISE, CALL = 0, 2  # kinds of operations


class Packing:
    """A step whose carries are packs, and those that are left.

    Attributes
    ----------
    groups : list of list of int
        Carries that are one array, in the order of its elements.
    rest : list of int
        The others.
    """

    def __init__(
        self,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        outer: Sequence[Any],
        n_carry: int,
        groups: list[list[int]],
    ) -> None:
        given = [*outer, *inputs]
        ends = [y for y in outputs if is_recorded(y)]
        tape = bodies.independent(ends, given, keep=True)
        found = iter(tape.output_positions)
        self.where = [next(found) if is_recorded(y) else -1 for y in outputs]
        self.outputs, self.outer, self.n_carry = outputs, outer, n_carry
        self.positions = tape.input_positions
        self.links = tape.links()
        first = len(outer)
        groups = [[k for k in g if self.where[k] != self.positions[first + k]] for g in groups]
        self.groups = groups = [group for group in groups if len(group) >= FEWEST]
        grouped = {k for group in groups for k in group}
        self.rest = [k for k in range(n_carry) if k not in grouped]
        self.place: dict[int, tuple[int, int]] = {}  # of a position its pack, and its lane
        self.schedule: list[tuple[int, int, list[int]]] = []  # height, pack or -1, members
        self.n_packs = 0
        self.fits = bool(groups) and self._are_plain() and self._packed()

    # -- which operations are lanes of one

    def _are_plain(self) -> bool:
        inputs = set(self.positions)
        for position, link in enumerate(self.links):
            if link.op is None:
                if position not in inputs:
                    return False
            elif link.output is not None or link.op.kind == CALL or "block" in link.op.info:
                return False
            elif not all(
                p >= 0 or fixed for p, fixed in zip(link.parents, link.fixed, strict=True)
            ):
                return False
        return True

    def _packed(self) -> bool:
        first = len(self.outer)
        for group in self.groups:
            members = [self.positions[first + k] for k in group]
            if min(members) < 0 or len(set(members)) < len(members):
                return False
            self._pack(members)
        inputs, heights = set(self.positions), [0] * len(self.links)
        levels: dict[int, list[int]] = {}
        for position, link in enumerate(self.links):
            if link.op is not None and position not in inputs:
                heights[position] = 1 + max([heights[p] for p in link.parents if p >= 0], default=0)
                levels.setdefault(heights[position], []).append(position)
        cost = 0
        for height in sorted(levels):
            alike: dict[Any, list[int]] = {}
            for position in levels[height]:
                alike.setdefault(self._key(position), []).append(position)
            for key, members in alike.items():
                pieces = PIECES + 1
                if key is not None and len(members) >= FEWEST:
                    members.sort(key=self._lanes)
                    pieces = self._pieces_of(members)
                if pieces <= PIECES:
                    self.schedule.append((height, self._pack(members), members))
                    cost += pieces
                else:
                    self.schedule += [(height, -1, [p]) for p in members]
                    cost += len(members)
        for group in self.groups:
            cost += len(_runs([self.place.get(self.where[k], (-1, 0)) for k in group]))
        return 2 * cost <= len(self.links)

    def _pack(self, members: list[int]) -> int:
        for lane, position in enumerate(members):
            self.place[position] = self.n_packs, lane
        self.n_packs += 1
        return self.n_packs - 1

    def _key(self, position: int) -> Any:
        """Return what is equal for operations that may be lanes of one; None for any other."""
        link = self.links[position]
        if link.op is None or link.op.kind != ELEMENTWISE or link.static or link.shape != ():
            return None
        parts: list[Any] = [id(link.op), link.dtype]
        for p, x in zip(link.parents, link.operands, strict=True):
            if p < 0:
                if np.shape(x) != ():
                    return None
                parts.append(("constant", type(x)))
            elif self.links[p].shape != () or self.links[p].dtype != link.dtype:
                return None
            else:
                parts.append((self.place[p][0],) if p in self.place else ("one", p))
        return tuple(parts)

    def _lanes(self, position: int) -> Any:
        parents = self.links[position].parents
        return [self.place[p][1] for p in parents if p in self.place], position

    def _pieces_of(self, members: list[int]) -> int:
        """Return of how many runs of lanes the longest operand of a pack is joined."""
        own = [[self.links[m].parents[k] for m in members] for k in range(self._nin(members))]
        return max(
            [len(_runs([self.place[p] for p in ps])) for ps in own if ps[0] in self.place],
            default=1,
        )

    def _nin(self, members: list[int]) -> int:
        return len(self.links[members[0]].parents)

    def split(self) -> list[list[int]]:
        """Return the groups, parted by the expression that makes the next carry."""
        kinds: list[Any] = list(range(len(self.links)))
        known: dict[Any, int] = {}
        for n, group in enumerate(self.groups):
            for k in group:
                kinds[self.positions[len(self.outer) + k]] = -1 - n
        inputs = set(self.positions)
        for position, link in enumerate(self.links):
            if link.op is not None and position not in inputs and not link.static:
                key = (
                    id(link.op),
                    link.dtype,
                    tuple([p if p < 0 else kinds[p] for p in link.parents]),
                )
                kinds[position] = known.setdefault(key, position)
        found = []
        for group in self.groups:
            parts: dict[int, list[int]] = {}
            for k in group:
                if self.where[k] >= 0:
                    parts.setdefault(kinds[self.where[k]], []).append(k)
            found += [part for part in parts.values() if len(part) >= FEWEST]
        return found

    # -- the step

    def step(self, carry: Any, x: Any) -> tuple[Any, Any]:
        """Take a step with packs."""
        packs: dict[int, Any] = dict(enumerate(carry[0]))
        values: dict[int, Any] = {}
        first = len(self.outer)
        values.update(zip(self.positions, self.outer, strict=False))
        for k, y in zip(self.rest, carry[1], strict=True):
            values[self.positions[first + k]] = y
        values.update(zip(self.positions[first + self.n_carry :], x, strict=True))

        def one(position: int) -> Any:
            if position not in values:
                number, lane = self.place[position]
                values[position] = packs[number][lane]
            return values[position]

        def joined(places: Sequence[tuple[int, int]], ends: Sequence[Any]) -> Any:
            parts, start = [], 0
            for number, lane, n in _runs(places):
                if number < 0:
                    parts.append(np.reshape(ends[start], (1,)))
                elif (lane, n) == (0, packs[number].shape[0]):
                    parts.append(packs[number])
                else:
                    parts.append(packs[number][lane : lane + n])
                start += n
            return parts[0] if len(parts) == 1 else np.concatenate(parts)

        for _, number, members in self.schedule:
            link = self.links[members[0]]
            assert link.op is not None
            operands: list[Any] = []
            for k, (p, x) in enumerate(zip(link.parents, link.operands, strict=True)):
                if number < 0:
                    operands.append(one(p) if p >= 0 else x)
                elif p >= 0:
                    own = [self.links[m].parents[k] for m in members]
                    packed = p in self.place
                    operands.append(joined([self.place[q] for q in own], own) if packed else one(p))
                else:
                    operands.append(
                        _constant([self.links[m].operands[k] for m in members], link.dtype)
                    )
            made = link.op(*operands, **(link.static or {}))
            (values if number < 0 else packs)[members[0] if number < 0 else number] = made

        ends = [one(p) if p >= 0 else y for p, y in self._left()]
        by_output = dict(zip(self._singles(), ends, strict=True))
        new = [
            joined(
                [self.place.get(self.where[k], (-1, 0)) for k in group],
                [by_output.get(k) for k in group],
            )
            for group in self.groups
        ]
        ys = [by_output[k] for k in range(self.n_carry, len(self.outputs))]
        return (new, [by_output[k] for k in self.rest]), ys

    def _singles(self) -> list[int]:
        """Return the outputs that are read by themselves."""
        grouped = {k for group in self.groups for k in group}
        return [k for k, p in enumerate(self.where) if k not in grouped or p not in self.place]

    def _left(self) -> list[tuple[int, Any]]:
        return [(self.where[k], self.outputs[k]) for k in self._singles()]

    # -- carries

    def packed(self, leaves: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Return leaves of a carry as the packed step takes them."""
        packs = [np.stack([leaves[k] for k in group]) for group in self.groups]
        return packs, [leaves[k] for k in self.rest]

    def unpacked(self, packs: Sequence[Any], rest: Sequence[Any]) -> list[Any]:
        """Return the leaves of a carry."""
        leaves: list[Any] = [None] * self.n_carry
        for group, x in zip(self.groups, packs, strict=True):
            for lane, k in enumerate(group):
                leaves[k] = x[lane]
        for k, x in zip(self.rest, rest, strict=True):
            leaves[k] = x
        return leaves


def packing_of(
    inputs: Sequence[Any], outputs: Sequence[Any], outer: Sequence[Any], n_carry: int
) -> Packing | None:
    """Return a packing of a step that makes it less than half as long; None if there is none.

    Parameters
    ----------
    inputs, outputs : list
        Of the step: those of the carry first.
    outer : list
        What it reads from outside.
    n_carry : int
    """
    kinds: dict[Any, list[int]] = {}
    for k, x in enumerate(inputs[:n_carry]):
        if is_float(x) and x.shape == ():
            kinds.setdefault(x.dtype, []).append(k)
    groups = [group for group in kinds.values() if len(group) >= FEWEST]
    for _ in range(ROUNDS):
        if groups:
            packing = Packing(inputs, outputs, outer, n_carry, groups)
            if packing.fits:
                return packing
            groups = packing.split()
    return None


def _runs(places: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Return runs of neighbours in a pack: its number, the first lane, how many; -1 for no pack."""
    runs: list[tuple[int, int, int]] = []
    for number, lane in places:
        if runs and number >= 0 and runs[-1][0] == number and lane == sum(runs[-1][1:]):
            runs[-1] = number, runs[-1][1], runs[-1][2] + 1
        else:
            runs.append((number, lane, 1))
    return runs


def _constant(xs: Sequence[Any], dtype: Any) -> Any:
    first = str(xs[0])  # which tells zeros apart
    return xs[0] if all(str(x) == first for x in xs) else np.array(xs, dtype)
