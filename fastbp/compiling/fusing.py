"""Elementwise work is put together: fewer instructions, and values that never go to memory."""

from __future__ import annotations

from collections.abc import Sequence

from fastbp.compiling.blocks import Block, Loop
from fastbp.compiling.steps import Region, Step
from fastbp.compiling.values import Value

__all__ = ["fused"]

_LOOKED_AT = 64  # instructions behind which a region is not looked for


def fused(steps: Sequence[Step]) -> list[Step]:
    """Return steps in which elementwise work has joined the last region that it can.

    That is one of its shape and dtype which stands behind all that the work reads, or computes it.
    """
    out: list[Step] = []
    written: dict[int, int] = {}
    regions: dict[int, int] = {}  # the region that computes a value
    for step in steps:
        if isinstance(step, Block) and not (isinstance(step, Loop) and step.is_fused):
            step.parts[:] = [fused(part) for part in step.parts]
        if not isinstance(step, Region):
            for storage in step.written():
                written[id(storage)] = len(out)
            out.append(step)
            continue
        operands = [x for _, xs, _ in step.members for x in xs if isinstance(x, Value)]
        own = {id(y) for _, _, y in step.members}
        after = max([_after(x, written, regions) for x in operands if id(x) not in own], default=0)
        position = _place(out, step, after)
        if position < 0:
            position = len(out)
            out.append(Region(step.shape, step.dtype))
        region = out[position]
        assert isinstance(region, Region)
        region.members += step.members
        for _, _, y in step.members:
            written[id(y.storage)] = regions[id(y)] = position
    return out


def _after(x: Value, written: dict[int, int], regions: dict[int, int]) -> int:
    """Return the first position at which elementwise work can read a value."""
    storage = x.storage
    if storage.inside is None and not storage.holds:
        last = written.get(id(storage), -1)
    else:
        last = max([written.get(id(part), -1) for part in storage.overlapping()])
    return last if regions.get(id(x)) == last else last + 1


def _place(out: Sequence[Step], step: Region, after: int) -> int:
    for position in range(len(out) - 1, max(after, len(out) - 1 - _LOOKED_AT) - 1, -1):
        region = out[position]
        if (
            isinstance(region, Region)
            and region.shape == step.shape
            and region.dtype == step.dtype
            and region.has_room(len(step.members))
        ):
            return position
    return -1
