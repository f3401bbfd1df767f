"""Sums and products of large arrays are made as soon as they can be, where they are smaller.

The gradient of a layer's weights is recorded, and read, behind the whole sweep: until then the
states and cotangents of all layers would have to be kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastbp.compiling.steps import Product, Step, Sum

__all__ = ["with_early_reductions"]

_LARGE = 1 << 16  # bytes that are read: less is not worth another order


def with_early_reductions(steps: Sequence[Step]) -> list[Step]:
    """Return steps in which such a one follows the last that writes what it reads.

    What loops and branches hold stays as it is: there memory has other names.
    """
    if not any(_is_smaller(step) for step in steps):  # most plans
        return list(steps)
    written: dict[int, int] = {}
    touched: dict[int, int] = {}
    behind: dict[int, list[Step]] = {}  # what is moved, by the number of the step that it follows
    moved: set[int] = set()
    for k, step in enumerate(steps):
        own = [id(storage.outermost) for storage in step.written()]
        read = [id(storage.outermost) for storage in step.read()]
        if _is_smaller(step):
            made_at = max([written.get(x, -1) for x in read])
            if 0 <= made_at < k - 1 and all(touched.get(y, -1) <= made_at for y in own):
                behind.setdefault(made_at, []).append(step)
                moved.add(k)
        written.update(dict.fromkeys(own, k))
        touched.update(dict.fromkeys((*own, *read), k))
    out: list[Step] = []
    for k, step in enumerate(steps):
        if k not in moved:
            out.append(step)
        out += behind.get(k, ())
    return out


def _is_smaller(step: Step) -> bool:
    """Say whether a step reads much of the workspace, and makes a smaller array of its own."""
    if not isinstance(step, Sum | Product) or (isinstance(step, Product) and step.accumulate):
        return False
    (y,) = step.writes
    if y.storage.kind != "work" or not y.whole or y.storage.inside or y.storage.holds:
        return False
    read = sum(x.storage.nbytes for x in step.reads if x.storage.kind == "work")
    return read >= _LARGE and read > y.storage.nbytes
