"""Routines of LAPACK in a plan: on matrices, or on each of a batch of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp._core import lapack
from fastbp._core.machine import Machine
from fastbp.compiling.steps import Step, at
from fastbp.compiling.values import Storage, Value, broadcast_shape

if TYPE_CHECKING:
    from fastbp.compiling.builder import Builder

__all__ = ["Matrices", "routine"]


class Matrices(Step):
    """A routine; the last of what it writes is its workspace."""

    kind = "lapack"

    def __init__(
        self,
        name: str,
        flags: tuple[str, ...],
        sizes: tuple[int, int, int],
        batch: tuple[int, ...],
        reads: list[Value],
        writes: list[Value],
    ) -> None:
        super().__init__(reads, writes)
        self.name, self.flags, self.sizes, self.batch = name, flags, sizes, batch

    def facts_of(self) -> Any:
        return self.name, self.flags, self.sizes, self.batch

    def described(self) -> str:
        return " ".join([self.name, *self.flags])

    def emit(self, machine: Machine) -> None:
        *results, work = self.writes
        slots = [
            _slot(x, len(axes), self.batch)
            for x, (axes, _) in zip([*self.reads, *results], _all_parts(self.name), strict=True)
        ]
        typenum = self.reads[0].dtype.num
        machine.lapack(self.name, self.flags, typenum, self.sizes, self.batch, slots, at(work))


def _all_parts(name: str) -> list[tuple[str, str]]:
    operands, results = lapack.PARTS[name]
    return [*operands, *results]


def _slot(x: Value, n: int, batch: tuple[int, ...]) -> Any:
    """Return a place, strides of rows and columns in elements, and strides along the batch."""
    first = len(x.shape) - n
    steps = [s // x.dtype.itemsize for s in x.strides[first:]] + [0, 0]
    lead = Value(x.storage, x.shape[:first], x.dtype, 0, x.strides[:first])
    return at(x), steps[0], steps[1], lead.spread(batch)


def routine(
    b: Builder, name: str, operands: Sequence[Value], flags: tuple[str, ...] = ()
) -> list[Value] | None:
    """Append a routine on stacks of matrices, which broadcast; return its results.

    None where it is not for these: for empty ones, for other dtypes.
    """
    parts, results = lapack.PARTS[name]
    dtype = operands[0].dtype
    sizes = dict.fromkeys("mnk", 0)
    leads = []
    for x, (axes, kind) in zip(operands, parts, strict=True):
        first = len(x.shape) - len(axes)
        leads.append(x.shape[:first])
        sizes.update(zip(axes, x.shape[first:], strict=True))
        if x.mask or (kind != "I" and x.dtype != dtype):
            return None
    batch = broadcast_shape(*leads)
    if (
        dtype.kind not in "fc"
        or dtype.itemsize < 4
        or not math.prod([*batch, *_used(sizes, parts)])
    ):
        return None
    given = sizes["m"], sizes["n"], sizes["k"]
    sizes["s"] = min(sizes["m"], sizes["n"])
    whole = "full" in flags
    sizes["p"] = sizes["m" if whole else "s"]
    sizes["q"] = sizes["s" if not whole else "m" if name == "qr" else "n"]
    made = [_made(b, tuple([sizes[k] for k in axes]), kind, batch, dtype) for axes, kind in results]
    room = lapack.room(name, flags, dtype, given)
    work = Value(Storage("work", room), (room,), np.dtype(np.uint8))
    reads = [
        _readable(b, name, kind, x) if k == 0 else x
        for k, (x, (_, kind)) in enumerate(zip(operands, parts, strict=True))
    ]
    b.append(Matrices(name, flags, given, batch, reads, [*made, work]))
    return made


def _used(sizes: dict[str, int], parts: Any) -> list[int]:
    used = {k for axes, _ in parts for k in axes}
    return [n for k, n in sizes.items() if k in used]


def _made(b: Builder, shape: Any, kind: str, batch: Any, dtype: Any) -> Value:
    if kind == "I":
        return b.new(batch + shape, lapack.PIVOTS)
    if kind == "R" and dtype.kind == "c":
        return b.new(batch + shape, np.dtype(f"f{dtype.itemsize // 2}"))
    y = b.new(batch + shape, dtype)
    if kind != "F":
        return y
    return _swapped(y)  # it is square


def _readable(b: Builder, name: str, kind: str, x: Value) -> Value:
    """Return factors in Fortran's order, a triangle as BLAS reads it: in that order, or in C's."""
    item = x.dtype.itemsize
    if kind == "F":
        y = _swapped(x)
        return x if y.contiguous else _swapped(b.contiguous(y))
    if name != "triangle_solve":
        return x
    if any(s % item or s < 0 for s in x.strides):
        return b.contiguous(x)
    (row, col), n = x.strides[-2:], x.shape[-1] * item
    return x if (col == item and row >= n) or (row == item and col >= n) else b.contiguous(x)


def _swapped(x: Value) -> Value:
    *shape, m, n = x.shape
    *steps, row, col = x.strides
    return x.view((*shape, n, m), x.offset, (*steps, col, row))
