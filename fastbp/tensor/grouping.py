"""Dense blocks of one size in a sparse matrix whose nonzeros are all in such blocks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["block_shape", "order_of_blocks"]

# Smaller or narrower blocks take fewer bytes than single elements, too, but more time: each costs
# a call, and rows shorter than a vector register are multiplied element by element.
SMALLEST = 16  # elements
NARROWEST = 8  # columns, unless it is one


def block_shape(csr: Any) -> tuple[int, int]:
    """Return the size of the largest full blocks that all nonzeros of a CSR matrix form.

    Blocks are at multiples of their size; (1, 1) if there are none, or none worth it. Indices must
    be sorted.
    """
    (rows, columns), indices, indptr = csr.shape, csr.indices, csr.indptr
    count = np.diff(indptr)
    if not indices.size:
        return 1, 1
    # Columns: where consecutive runs begin and end.
    begins = np.empty(indices.size, bool)
    np.not_equal(indices[1:], indices[:-1] + 1, out=begins[1:])
    begins[indptr[:-1][count > 0]] = True
    begin = np.flatnonzero(begins)
    end = np.append(begin[1:], indices.size) - 1
    width = math.gcd(columns, int(np.gcd.reduce(indices[begin])), _gcd(indices[end] + 1))
    indices, indptr, count = indices[::width], indptr // width, count // width  # whole runs
    # Rows: where one has other columns than the row before. Its first column tells most.
    first = np.where(count > 0, indices[np.minimum(indptr[:-1], indices.size - 1)], -1)
    same = (count[1:] == count[:-1]) & (first[1:] == first[:-1])
    height = math.gcd(rows, _gcd(np.flatnonzero(~same) + 1))
    if height > 1:
        row = np.repeat(np.arange(rows), count)
        before = np.arange(indices.size) - count[row]  # the same place in the row before
        places = np.flatnonzero(np.append(False, same)[row])
        other = indices[places] != indices[before[places]]
        height = math.gcd(height, _gcd(row[places[other]]))
    if height * width < SMALLEST or 1 < width < NARROWEST:
        return 1, 1
    return height, width


def _gcd(x: np.ndarray) -> int:
    return int(np.gcd.reduce(x)) if x.size else 0


def order_of_blocks(places: np.ndarray, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the order of axes in which some elements of an array follow each other.

    None if that is the order they have, or if the elements do not fill whole axes.
    """
    if len(shape) < 2:
        return None
    found = enumerate(np.unravel_index(places, shape))
    moving = [axis for axis, index in found if index.min() != index.max()]
    if math.prod(shape[axis] for axis in moving) != places.size:
        return None
    order = (*[axis for axis in range(len(shape)) if axis not in moving], *moving)
    return None if order == tuple(range(len(shape))) else order
