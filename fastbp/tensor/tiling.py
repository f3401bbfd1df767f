"""The zeros of an array, and the tiles that its other elements form."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastbp.tensor.blocks import BlockSparse

__all__ = ["blocks_of"]


def blocks_of(
    array: np.ndarray, out_shape: tuple[int, ...], in_shape: tuple[int, ...]
) -> BlockSparse:
    """Store the nonzeros of an array of shape ``out_shape + in_shape`` in the leanest tiles."""
    if array.size == 0:
        return BlockSparse.empty(out_shape, in_shape, array.dtype)
    mask = np.asarray(array != 0)  # NaN is not zero
    n = len(out_shape)
    tile, mask = _leanest(mask, n, array.itemsize)
    tiled = array.reshape([part for pair in zip(mask.shape, tile, strict=True) for part in pair])
    outer = [2 * k for k in range(array.ndim)]
    inner = [2 * k + 1 for k in range(array.ndim)]
    rows, columns = math.prod(mask.shape[:n]), math.prod(mask.shape[n:])
    places = np.flatnonzero(mask)
    data = np.empty((len(places), math.prod(tile[:n]), math.prod(tile[n:])), array.dtype)
    view = tiled.transpose(outer + inner)
    where = np.nonzero(mask) if mask.ndim else (places,) * 0
    data.reshape((len(places), *tile))[...] = view[where] if mask.ndim else view
    counts = np.bincount(places // columns, minlength=rows)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return BlockSparse(
        out_shape, in_shape, data, places % columns, indptr,
        _axes(mask.shape[:n], tile[:n]), _axes(mask.shape[n:], tile[n:]),
    )  # fmt: skip


def _axes(outer: tuple[int, ...], tile: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Return how to reshape and transpose an array so that its tiles follow each other.

    Axes that a tile covers, or of which it takes single elements, stay whole.
    """
    sizes: list[int] = []
    front: list[int] = []
    back: list[int] = []
    for n, t in zip(outer, tile, strict=True):
        if n > 1 or t == 1:
            front.append(len(sizes))
            sizes.append(n)
        if t > 1:
            back.append(len(sizes))
            sizes.append(t)
    return sizes, front + back


def _leanest(mask: np.ndarray, out_ndim: int, itemsize: int) -> tuple[tuple[int, ...], np.ndarray]:
    """Return the size of a tile in each axis, and which tiles hold a nonzero.

    Starts from single elements, and multiplies the tile's size along one axis by a prime factor
    as long as this saves bytes: the axis and factor that save most.
    """
    tile = (1,) * mask.ndim
    cost = _bytes(mask, tile, out_ndim, itemsize)
    while True:
        best: tuple[int, tuple[int, ...], Any] | None = None
        for axis, n in enumerate(mask.shape):
            for p in _primes(n):
                larger = (*tile[:axis], tile[axis] * p, *tile[axis + 1 :])
                shape = (*mask.shape[:axis], n // p, p, *mask.shape[axis + 1 :])
                coarser = np.any(mask.reshape(shape), axis=axis + 1)
                size = _bytes(coarser, larger, out_ndim, itemsize)
                # Of equals the last: tiles that are long in X are read in order.
                if size <= (cost - 1 if best is None else best[0]):
                    best = size, larger, coarser
        if best is None:
            return tile, mask
        cost, tile, mask = best


def _bytes(mask: np.ndarray, tile: tuple[int, ...], out_ndim: int, itemsize: int) -> int:
    index = 4 if mask.size < 2**31 else 8
    count = int(np.count_nonzero(mask))
    rows = math.prod(mask.shape[:out_ndim])
    return count * (math.prod(tile) * itemsize + index) + (rows + 1) * index


def _primes(n: int) -> Iterator[int]:
    """Yield the different prime factors of a number."""
    p = 2
    while p * p <= n:
        if n % p == 0:
            yield p
            while n % p == 0:
                n //= p
        p += 1
    if n > 1:
        yield n
