"""Elements that a table names are read where work on them runs.

A neighbour's value of each point of a grid, an edge repeated: `Pick` copies them, and elementwise
work reads the copy once. Then the work picks them itself, block by block, so that they never leave
the cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fastbp._core.machine import MOST_PICKED_INPUTS
from fastbp.compiling.blocks import Block, Loop, walked
from fastbp.compiling.steps import Pick, Region, Step
from fastbp.compiling.values import Storage, Value

__all__ = ["with_picks_inside"]

_FEWEST = 512  # elements: less than two blocks are in the cache anyway
_MOST = 1 << 16  # ... work on more goes to several threads


def with_picks_inside(steps: Sequence[Step], results: Sequence[Value]) -> list[Step]:
    """Return steps in which regions that are compiled pick elements themselves."""
    reads: dict[int, int] = {}
    hidden: set[int] = set()
    for step in walked(steps):
        for storage in step.own() if isinstance(step, Block) else step.read():
            reads[id(storage.outermost)] = reads.get(id(storage.outermost), 0) + 1
        if isinstance(step, Loop):
            hidden |= {id(m.start.storage.outermost) for m in step.moving}
    kept = {id(y.storage.outermost) for y in results}
    return _Picking(reads, hidden, kept).inside(steps)


class _Picking:
    """Looks for regions that may pick.

    Parameters
    ----------
    reads : dict of int to int
        How often memory is read in the whole plan, by its id.
    hidden : set of int
        Memory that is touched by other names, too: what moves in loops.
    kept : set of int
        Memory of results.
    """

    def __init__(self, reads: dict[int, int], hidden: set[int], kept: set[int]) -> None:
        self.reads, self.hidden, self.kept = reads, hidden, kept

    def inside(self, steps: Sequence[Step]) -> list[Step]:
        picks: dict[int, int] = {}
        gone: set[int] = set()
        for k, step in enumerate(steps):
            if isinstance(step, Block):
                step.parts[:] = [self.inside(part) for part in step.parts]
            elif isinstance(step, Pick):
                picks[id(step.writes[0].storage)] = k
            elif isinstance(step, Region) and picks and _is_even(step):
                read = [id(x.storage) for x in step.reads]
                found = [picks[x] for x in dict.fromkeys(read) if x in picks]
                found = [j for j in found if self._may_move(steps, j, k)]
                for j in found[:MOST_PICKED_INPUTS]:
                    pick = steps[j]
                    assert isinstance(pick, Pick)
                    step.pick(pick)
                    gone.add(j)
        return [step for k, step in enumerate(steps) if k not in gone]

    def _may_move(self, steps: Sequence[Step], j: int, k: int) -> bool:
        """Say whether instruction `j` picks for region `k` only, and might do so in its place."""
        (x,), (y,), region = steps[j].reads, steps[j].writes, steps[k]
        assert isinstance(region, Region)
        outer = y.storage.outermost
        if outer.kind != "work" or not y.whole or id(outer) in self.kept or outer.holds:
            return False
        if y.dtype != region.dtype or y.size != math.prod(region.shape):
            return False
        if self.reads[id(outer)] != 1:
            return False
        written = [s for step in steps[j + 1 : k + 1] for s in step.written()]
        return not any(self._may_be_one(x.storage.outermost, s.outermost) for s in written)

    def _may_be_one(self, x: Storage, y: Storage) -> bool:
        if x is y:
            return True
        return all(s.kind == "moving" or id(s) in self.hidden for s in (x, y))


def _is_even(region: Region) -> bool:
    """Say whether it is one program that walks through all that it touches element by element."""
    if (
        not _FEWEST <= math.prod(region.shape) <= _MOST
        or region.ordered
        or region.sums
        or region.adds
    ):
        return False
    if len(region.programs) != 1:
        return False
    values = [*region.reads, *region.writes]
    return all(v.size == 1 or (v.shape == region.shape and v.contiguous) for v in values)
