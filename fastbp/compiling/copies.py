"""Copies of what is recorded: made early, or not at all.

What is stored step by step is recorded behind a loop, so that each step would have to be kept until
then: a copy stands where what it reads was made. An array that is written into is recorded as a
copy, into which is written: where nobody reads what was there, it is the same memory.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Sequence

from fastbp.compiling.blocks import Block
from fastbp.compiling.endings import LOOKED_AT, bytes_of, overlap
from fastbp.compiling.steps import Copy, Region, Step
from fastbp.compiling.values import Storage, Value

__all__ = ["with_fewer_copies"]

_ALL = (0, 1 << 62)

_Key = tuple[int, int]  # where a step stands: behind the one with the first number
_Touching = tuple[Step, list[tuple[Storage, bool]]]  # with the memory that it touches


def with_fewer_copies(
    steps: Sequence[Step], outputs: Sequence[Value], passes: Collection[str]
) -> list[Step]:
    """Return steps whose copies stand as early as they can, and only where they are needed.

    Parameters
    ----------
    steps : sequence of Step
        All needed, elementwise work not yet put together.
    outputs : sequence of Value
        What is read behind them.
    passes : collection of str
        "placing": copies are made early; "inplace": what is read for the last time is not copied.
    """
    copies = [step for step in steps if type(step) is Copy]
    if not copies:
        return list(steps)
    values = [v for step in copies for v in (*step.reads, *step.writes)]
    looked = {id(outer): outer for outer in [v.storage.outermost for v in values]}
    whole = {id(part): outer for outer in looked.values() for part in outer.parts()}
    found = [(step, _accesses(step, whole)) for step in steps]
    if "placing" in passes:
        found = _early(found)
    if "inplace" in passes:
        found = _written_into(found, outputs)
    return [step for step, _ in found]


def _accesses(step: Step, whole: dict[int, Storage]) -> list[tuple[Storage, bool]]:
    """Return the memory that a step touches, of what is looked at, and whether it writes there.

    `whole` has by its id, and by those of its parts, what is looked at.
    """
    if isinstance(step, Region) and len(step.members) == 1 and not step.ends():  # nearly all
        _, operands, y = step.members[0]
        reads = [x.storage for x in operands if isinstance(x, Value)]
        writes = [y.storage]
    else:
        reads, writes = step.read(), step.written()
    found = [(whole[id(storage)], False) for storage in reads if id(storage) in whole]
    return found + [(whole[id(storage)], True) for storage in writes if id(storage) in whole]


# ---- early


def _early(steps: list[_Touching]) -> list[_Touching]:
    """Let each copy of what was computed follow the step that made it, if its place is free."""
    touched: dict[int, list[tuple[_Key, tuple[int, int]]]] = {}  # by memory, in order
    writers: dict[int, _Key] = {}  # the last of each memory
    keys: list[_Key] = []
    moved = False
    for k, (step, accesses) in enumerate(steps):
        key, where = (k, -1), _ALL
        is_copy = type(step) is Copy
        if is_copy:
            key = _early_key(step, k, touched, writers)
            moved = moved or key[0] < k
        keys.append(key)
        for outer, written in accesses:
            if is_copy:
                where = bytes_of((step.writes if written else step.reads)[0])
            own = touched.setdefault(id(outer), [])
            if own and own[-1][0] > key:
                bisect.insort(own, (key, where))
            else:
                own.append((key, where))
            if written:
                writers[id(outer)] = max(key, writers.get(id(outer), key))
    if not moved:
        return steps
    return [steps[k] for k in sorted(range(len(steps)), key=keys.__getitem__)]


def _early_key(
    step: Step,
    k: int,
    touched: dict[int, list[tuple[_Key, tuple[int, int]]]],
    writers: dict[int, _Key],
) -> _Key:
    """Return where a copy is to stand: (k, -1) for its own place.

    One of a whole array stays: there it may be none.
    """
    (x,), (y,) = step.reads, step.writes
    writer = writers.get(id(x.storage.outermost))
    if writer is None or writer[0] >= k - 1 or y.storage.kind != "work" or y.whole:
        return k, -1
    key, where = (writer[0], k), bytes_of(y)
    for looked, (other, place) in enumerate(reversed(touched.get(id(y.storage.outermost), ()))):
        if other < key:
            break
        if looked > LOOKED_AT or overlap(place, where):
            return k, -1
    return key


# ---- in place


def _written_into(steps: list[_Touching], outputs: Sequence[Value]) -> list[_Touching]:
    """Let a copy of what nobody reads afterwards be the same memory."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    fixed: set[int] = set()  # memory that others touch by other names
    for k, (step, accesses) in enumerate(steps):
        for outer, _ in accesses:
            first.setdefault(id(outer), k)
            last[id(outer)] = k
        if isinstance(step, Block):
            fixed |= {id(outer) for outer, _ in accesses}
            fixed |= {id(storage.outermost) for storage in step.own()}
    for y in outputs:
        last[id(y.storage.outermost)] = len(steps)
    same: dict[int, Storage] = {}  # memory by the id of what is the same
    kept = []
    for k, (step, accesses) in enumerate(steps):
        if type(step) is Copy:
            (x,), (y,) = step.reads, step.writes
            if (
                last.get(id(x.storage)) == k == first.get(id(y.storage))
                and x.shape == y.shape
                and x.mask == y.mask
                and x.storage.nbytes == y.storage.nbytes
                and _is_all(x)
                and _is_all(y)
                and not {id(x.storage), id(y.storage)} & fixed
            ):
                same[id(y.storage)] = same.get(id(x.storage), x.storage)
                continue
        kept.append((step, accesses))
    if same:
        touching = [step for step, accesses in kept if accesses]
        values = [x for step in touching for x in step.operands_of()]
        for x in (*values, *outputs):
            if isinstance(x, Value) and id(x.storage) in same:
                x.storage = same[id(x.storage)]
    return kept


def _is_all(x: Value) -> bool:
    """Say whether an array is all of memory of the workspace that is no part of any other."""
    storage = x.storage
    return x.whole and storage.kind == "work" and storage.inside is None and not storage.holds
