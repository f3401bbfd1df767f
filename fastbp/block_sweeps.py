"""Whole Jacobians by sweeps that carry a block of many vectors at once."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp._core import sweep
from fastbp._core.graph import Variable, array_of, values_of
from fastbp._core.tape import Tape
from fastbp.errors import DegenerateError
from fastbp.recording import holomorphic_part
from fastbp.rules.numpy.parts import from_parts
from fastbp.spreading import spread

__all__ = [
    "BLOCK_BYTES",
    "between",
    "by_columns",
    "by_rows",
    "through_waist",
    "whole",
]

BLOCK_BYTES = 1 << 25  # largest (co)tangent array of one block
_ENOUGH = 1 << 22  # a block of so many bytes has no use of more vectors, if it has
_VECTORS = 512  # so many: products of fewer take longer
_ALIVE = 4  # so many of these a sweep may have at a time

# Two more sweeps and a product of two matrices take about as long as so many multiplications.
_EXTRA = 5e5


def between(tape: Tape, y: Variable, x: Variable, others: Sequence[Variable] = ()) -> np.ndarray:
    """Return the Jacobian of an output by the first input, of shape ``y.shape + x.shape``.

    The tape's inputs are `x` and `others`.
    """
    inputs = [x, *others]
    if y.size > x.size:
        jac = by_columns(tape, [y], inputs, False, 1)[0][0]
    else:
        jac = by_rows(tape, y, inputs, False)[0]
    return np.asarray(jac)


def whole(tape: Tape, y: Variable, x: Variable) -> np.ndarray:
    """Return the Jacobian of an output by one input in the cheapest way by sweeps."""
    found = through_waist(tape, y, [x], False)
    return np.asarray(between(tape, y, x) if found is None else found[0])


@np.errstate(all="ignore")  # derivatives never warn
def through_waist(
    tape: Tape, y: Variable, inputs: list[Variable], recorded: bool, threads: int = 1
) -> list[Any] | None:
    """Return the Jacobians of one output as products of two, or None where that does not pay.

    Where all paths go through a value of `s` elements, fewer than there are outputs or inputs, the
    part behind it is swept forward and the part before it in reverse, by `s` vectors each, and no
    order of the local Jacobians takes fewer: their product costs ``s`` vectors and ``m * s * n``.
    """
    m, n = y.size, sum(x.size for x in inputs)
    least = min(m, n)
    if least * n * m < _EXTRA:
        return None
    waist, work = tape.waist(), tape.work
    if waist is None or 1.25 * waist.size * (work + m * n) + _EXTRA > least * work:
        return None
    if any(v.dtype.kind == "c" for v in (y, waist, *inputs)):
        return None  # sweeps see one part of a complex value: products need both
    s = waist.size
    after = Tape([y], [waist], True)
    behind = np.reshape(by_columns(after, [y], [waist], recorded, threads=threads)[0][0], (m, s))
    found = []
    try:
        parts = by_rows(Tape([waist], inputs), waist, inputs, recorded, threads)
    except DegenerateError:
        return None  # the waist has no derivative, as a basis; what is computed from it may have
    if not all(np.all(np.isfinite(values_of(part))) for part in (behind, *parts)):
        return None  # zeros of a sweep know where they are from, those of a product do not
    for x, before in zip(inputs, parts, strict=True):
        product = behind @ np.reshape(before, (s, x.size))
        found.append(np.reshape(product, y.shape + x.shape).astype(x.dtype, copy=False))
    return found


def by_rows(
    tape: Tape, y: Any, inputs: list[Variable], recorded: bool, threads: int = 1
) -> list[Any]:
    """Jacobians of one output, by reverse sweeps of blocks of unit cotangents.

    A cotangent g of a complex output sees the real part of its product with the Jacobian: the seed
    1 finds that of the real part, -i that of the imaginary one.
    """
    found = _rows(tape, y, inputs, recorded, 1.0, threads)
    if not np.iscomplexobj(array_of(y)):
        return found
    turned = _rows(tape, y, inputs, recorded, -1j, threads)
    return [
        holomorphic_part("jacobian", a, b, -1j) if x.dtype.kind == "c" else from_parts(a, b)
        for x, a, b in zip(inputs, found, turned, strict=True)
    ]


def _rows(
    tape: Tape, y: Any, inputs: list[Variable], recorded: bool, seed: complex, threads: int
) -> list[Any]:
    shape = np.shape(array_of(y))
    found = [_Blocks(shape, x.shape, x.dtype) for x in inputs]
    if type(y) is Variable:

        def pull(seeds: np.ndarray, start: int) -> None:
            cotangents = sweep.reverse(tape, [seeds], recorded, 1)
            for rows, g in zip(found, cotangents, strict=True):
                rows.add(start, len(seeds), g)

        _by_blocks(pull, tape, y, seed, 1 if recorded else threads)
    return [rows.joined() for rows in found]


def by_columns(
    tape: Tape,
    leaves: list[Any],
    inputs: list[Variable],
    recorded: bool,
    count: int | None = None,
    threads: int = 1,
) -> list[list[Any]]:
    """Jacobians of all outputs, by forward sweeps of blocks of unit tangents.

    By the first `count` inputs. A complex one moves in two directions, 1 and i.
    """
    outputs = [y for y in leaves if type(y) is Variable]
    table: list[list[Any]] = [[] for _ in leaves]
    for k, x in enumerate(inputs[:count]):
        found = _columns(tape, outputs, inputs, k, recorded, 1.0, threads)
        if x.dtype.kind == "c":
            turned = _columns(tape, outputs, inputs, k, recorded, 1j, threads)
            found = [
                holomorphic_part("jacobian", a, b, 1j) if y.dtype.kind == "c" else from_parts(a, -b)
                for y, a, b in zip(outputs, found, turned, strict=True)
            ]
        swept = iter(found)
        for row, y in zip(table, leaves, strict=True):
            if type(y) is Variable:
                row.append(next(swept))
            else:
                row.append(np.zeros(np.shape(array_of(y)) + x.shape, _dtype_of(array_of(y), x)))
    return table


def _dtype_of(y: Any, x: Variable) -> np.dtype[Any]:
    """Return the dtype of a Jacobian: as precise as the input, complex if one of both is."""
    return np.result_type(x.dtype, np.complex64) if np.iscomplexobj(y) else x.dtype


def _columns(
    tape: Tape,
    outputs: list[Variable],
    inputs: list[Variable],
    k: int,
    recorded: bool,
    seed: complex,
    threads: int,
) -> list[Any]:
    """Return derivatives of all outputs along the unit vectors of one input, times `seed`."""
    x = inputs[k]
    real = np.zeros((), x.dtype).real.dtype
    blocks = [
        _Blocks(y.shape, x.shape, _dtype_of(y.value, x) if y.dtype.kind == "c" else real, True)
        for y in outputs
    ]

    def push(seeds: np.ndarray, start: int) -> None:
        tangents: list[Any] = [None] * len(inputs)
        tangents[k] = seeds
        found = sweep.forward(tape, tangents, recorded, 1)
        for columns, t in zip(blocks, found, strict=True):
            columns.add(start, len(seeds), t)

    _by_blocks(push, tape, x, seed, 1 if recorded else threads)
    return [columns.joined() for columns in blocks]


class _Blocks:
    """A Jacobian of shape ``out + in`` that is filled with blocks of rows or columns.

    Plain blocks are written into the result at once, in any order and by any thread, so that it is
    all the memory that is taken; recorded ones are joined at the end.
    """

    def __init__(
        self,
        out: tuple[int, ...],
        into: tuple[int, ...],
        dtype: np.dtype[Any],
        columns: bool = False,
    ) -> None:
        self.out, self.into, self.dtype, self.columns = out, into, dtype, columns
        self.parts: list[Any] = []  # recorded, or a single one
        self.matrix: np.ndarray | None = None
        self.lock = threading.Lock()

    def add(self, start: int, count: int, block: Any) -> None:
        """Add so many rows, or columns; None for zeros."""
        lead, each = (self.into, self.out) if self.columns else (self.out, self.into)
        if type(block) is Variable or self.parts:
            zeros = np.zeros((count, *each), self.dtype) if block is None else block
            self.parts.append(zeros)
        elif count == math.prod(lead) and not self.columns and block is not None:
            self.parts.append(block)  # all at once: the result itself
        else:
            with self.lock:
                if self.matrix is None:
                    self.matrix = np.zeros((math.prod(self.out), math.prod(self.into)), self.dtype)
            if block is not None:
                place = slice(start, start + count)
                flat = block.reshape(count, -1)
                if self.columns:
                    self.matrix[:, place] = flat.T
                else:
                    self.matrix[place] = flat

    def joined(self) -> Any:
        """Return the whole."""
        shape = self.out + self.into
        if not self.parts:
            found = np.zeros(shape, self.dtype) if self.matrix is None else self.matrix
            return found.reshape(shape)
        joined: Any = self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)
        if self.columns:
            joined = np.transpose(joined, (*range(1, len(self.out) + 1), 0))
            joined = joined.astype(self.dtype, copy=False)
        jac: Any = np.reshape(joined, shape)
        return jac if type(jac) is Variable else np.require(jac, requirements="C")


def _by_blocks(
    run: Callable[[np.ndarray, int], None], tape: Tape, end: Variable, seed: complex, threads: int
) -> None:
    """Call ``run(vectors, number of the first)`` with blocks of the unit vectors of `end`.

    Times `seed`, on a leading axis. Where blocks end does not depend on the number of threads, so
    that results do not: how a product is rounded may depend on how many rows it has.
    """
    bounds = _bounds(tape, end)

    def one(i: int) -> None:
        start, stop = bounds[i], bounds[i + 1]
        seeds = np.zeros((stop - start, end.size), end.dtype)
        seeds[np.arange(stop - start), np.arange(start, stop)] = seed
        run(seeds.reshape((stop - start, *end.shape)), start)

    spread(one, len(bounds) - 1, threads)


def _bounds(tape: Tape, end: Variable) -> list[int]:
    """Return where blocks of equal size begin, and where the last one ends."""
    most = max(1, tape.largest, tape.alive // _ALIVE) * end.dtype.itemsize
    count = int(max(1, min(BLOCK_BYTES // most, max(_VECTORS, _ENOUGH // most))))
    blocks = -(-end.size // count)
    return [end.size * i // max(1, blocks) for i in range(blocks + 1)]
