"""Whole Jacobians by sweeps that carry a block of many vectors at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp._core import sweep, tape
from fastbp._core.graph import Variable, values_of
from fastbp.recording import plain

__all__ = ["BLOCK_BYTES", "between", "by_columns", "by_rows", "through_waist", "whole"]

BLOCK_BYTES = 1 << 25  # largest (co)tangent array of one block

# Two more sweeps and a product of two matrices take about as long as so many multiplications.
_EXTRA = 5e5


def between(y: Variable, x: Variable, others: Sequence[Variable] = ()) -> np.ndarray:
    """Return the Jacobian between two Variables of a record, of shape ``y.shape + x.shape``.

    What flows through `others`, other Variables of the record, does not count.
    """
    inputs = [x, *others]
    if y.size > x.size:
        jac = by_columns([y], inputs, False, True, 1)[0][0]
    else:
        jac = by_rows(y, inputs, False, True)[0]
    return np.asarray(jac)


def whole(y: Variable, x: Variable) -> np.ndarray:
    """Return the Jacobian of an output by one input in the cheapest way by sweeps."""
    found = through_waist(y, [x], False)
    return np.asarray(between(y, x) if found is None else found[0])


@np.errstate(all="ignore")  # derivatives never warn
def through_waist(y: Variable, inputs: list[Variable], recorded: bool) -> list[Any] | None:
    """Return the Jacobians of one output as products of two, or None where that does not pay.

    Where all paths go through a value of `s` elements, fewer than there are outputs or inputs, the
    part behind it is swept forward and the part before it in reverse, by `s` vectors each, and no
    order of the local Jacobians takes fewer: their product costs ``s`` vectors and ``m * s * n``.
    """
    m, n = y.size, sum(x.size for x in inputs)
    least = min(m, n)
    if least * n * m < _EXTRA:
        return None
    waist, work = tape.waist(y, inputs, False)
    if waist is None or 1.25 * waist.size * (work + m * n) + _EXTRA > least * work:
        return None
    s = waist.size
    behind = np.reshape(by_columns([y], [waist], recorded, True)[0][0], (m, s))
    found = []
    parts = by_rows(waist, inputs, recorded)
    if not all(np.all(np.isfinite(values_of(part))) for part in (behind, *parts)):
        return None  # zeros of a sweep know where they are from, those of a product do not
    for x, before in zip(inputs, parts, strict=True):
        product = behind @ np.reshape(before, (s, x.size))
        found.append(np.reshape(product, y.shape + x.shape).astype(x.dtype, copy=False))
    return found


def by_rows(y: Any, inputs: list[Variable], recorded: bool, independent: bool = False) -> list[Any]:
    """Jacobians of one output, by reverse sweeps of blocks of unit cotangents."""
    shape = np.shape(plain(y))
    blocks: list[list[Any]] = [[] for _ in inputs]
    if type(y) is Variable:
        for seeds in _unit_blocks(y, [y], inputs):
            found = sweep.reverse([y], [seeds], inputs, recorded, 1, False, independent)
            for parts, x, g in zip(blocks, inputs, found, strict=True):
                parts.append(np.zeros((len(seeds), *x.shape), x.dtype) if g is None else g)
    return [
        np.reshape(_joined(parts), shape + x.shape) if parts else np.zeros(shape + x.shape, x.dtype)
        for parts, x in zip(blocks, inputs, strict=True)
    ]


def by_columns(
    leaves: list[Any],
    inputs: list[Variable],
    recorded: bool,
    independent: bool = False,
    count: int | None = None,
) -> list[list[Any]]:
    """Jacobians of all outputs, by forward sweeps of blocks of unit tangents.

    By the first `count` inputs.
    """
    outputs = [y for y in leaves if type(y) is Variable]
    table: list[list[Any]] = [[] for _ in leaves]
    for k, x in enumerate(inputs[:count]):
        blocks: list[list[Any]] = [[] for _ in outputs]
        for seeds in _unit_blocks(x, outputs, inputs):
            tangents: list[Any] = [None] * len(inputs)
            tangents[k] = seeds
            found = sweep.forward(outputs, inputs, tangents, recorded, 1, independent)
            for parts, y, t in zip(blocks, outputs, found, strict=True):
                parts.append(np.zeros((len(seeds), *y.shape), y.dtype) if t is None else t)
        columns = iter(blocks)
        for row, y in zip(table, leaves, strict=True):
            parts = next(columns) if type(y) is Variable else []
            row.append(_from_columns(parts, np.shape(plain(y)), x))
    return table


def _from_columns(parts: list[Any], shape: tuple[int, ...], x: Variable) -> Any:
    """Turn tangents, one for each element of `x`, into a Jacobian of shape ``shape + x.shape``."""
    if not parts:
        return np.zeros(shape + x.shape, x.dtype)
    columns = _joined(parts).astype(x.dtype, copy=False)
    moved = np.transpose(columns, (*range(1, len(shape) + 1), 0))
    jac: Any = np.reshape(moved, shape + x.shape)
    return jac if type(jac) is Variable else np.require(jac, requirements="C")


def _joined(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _unit_blocks(end: Variable, outputs: list[Any], inputs: list[Variable]) -> Any:
    """Yield the unit vectors of the space of `end`, in blocks along a leading axis."""
    largest = max(1, tape.largest(outputs, inputs)) * end.dtype.itemsize
    count = int(max(1, min(end.size, BLOCK_BYTES // largest)))
    for start in range(0, end.size, count):
        stop = min(start + count, end.size)
        seeds = np.zeros((stop - start, end.size), end.dtype)
        seeds[np.arange(stop - start), np.arange(start, stop)] = 1.0
        yield seeds.reshape((stop - start, *end.shape))
