"""Orders of visits for patterns of grids: greedy colorings that follow linear ones.

Columns that are numbered along a grid meet in one row at few distances. Where x are the places of
columns in the grid, ``(a @ x) % p`` colors them if it takes none of these distances to 0. That
needs about as many colors as the stencil has points, a greedy coloring up to twice as many. Such
colors hold inside of the grid; a greedy coloring that visits color after color needs no more of
them, and finds its way at boundaries.

Source: D. Goldfarb, P. Toint, "Optimal estimation of Jacobian and Hessian matrices that arise in
finite difference calculations", 1984.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["visits"]

SAMPLE = 32768  # pairs of columns that are looked at
MOST_POINTS = 64  # of a row
OFTEN = 8  # the most frequent distance of a stencil is at most so many times as frequent as others
MOST_DISTANCES = 256
MOST_AXES = 5  # of a grid; several unknowns at a place are one more
MOST_TRIED = 256  # coefficients of some axes
MOST_GRIDS = 6

# How numbers become places: axis k is divided by a stride; what is left stays, the quotient is new.
Splits = tuple[tuple[int, int], ...]


def visits(indptr: np.ndarray, indices: np.ndarray, width: int, below: int) -> np.ndarray | None:
    """Return columns in the order of their colors in a linear coloring.

    Parameters
    ----------
    indptr, indices : ndarray of int32
        Sorted rows: the columns in one row need different colors.
    width : int
        Number of columns.
    below : int
        The coloring has fewer colors than these.

    Returns
    -------
    ndarray of int32 or None
        None if the columns do not look like those of a grid.
    """
    first, second, rows = _sampled_pairs(indptr, indices)
    distances, counts = np.unique(second - first, return_counts=True)
    most = counts.max(initial=0)
    distances = distances[counts * OFTEN >= most]
    if not 0 < distances.size <= MOST_DISTANCES or most * 4 < rows:
        return None
    least = int(np.diff(indptr).max())
    best: tuple[int, int, np.ndarray, Splits] | None = None
    for splits in _grids(distances):
        steps = _places(second, splits) - _places(first, splits)
        for wrong, p, a in _linear(steps, least, below):
            if best is None or (wrong, p) < best[:2]:
                best = wrong, p, a, splits
        if best is not None and best[:2] == (0, least):
            break
    if best is None:
        return None
    _, p, a, splits = best
    colors = (a @ _places(np.arange(width), splits)) % p
    return np.argsort(colors, kind="stable").astype(np.int32)


def _sampled_pairs(indptr: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return all pairs of columns that meet in one of some rows, and the number of these rows.

    The smaller columns are the first of a pair.
    """
    lengths = np.diff(indptr)
    none = np.zeros(0, np.int64)
    if lengths.max(initial=0) > MOST_POINTS:
        return none, none, 0
    rows = np.flatnonzero(lengths > 1)
    enough = SAMPLE // max(1, int(lengths.max(initial=0)) ** 2 // 2)
    if rows.size > enough:
        rows = np.sort(np.random.default_rng(0).choice(rows, enough, replace=False))
    sampled, pairs = rows.size, [(none, none)]
    for lag in range(1, int(lengths.max(initial=0))):
        rows = rows[lengths[rows] > lag]
        for start in range(int(lengths[rows].max(initial=0)) - lag):
            here = indptr[rows[lengths[rows] > lag + start]] + start
            pairs.append((indices[here], indices[here + lag]))
    first, second = (np.concatenate(part).astype(np.int64) for part in zip(*pairs, strict=True))
    return first, second, sampled


def _grids(distances: np.ndarray) -> Iterator[Splits]:
    """Yield ways to place numbers in a grid in which the distances are short, likely ones first."""
    tried = 0
    stack: list[tuple[Splits, tuple[np.ndarray, ...]]] = [((), (distances,))]
    while stack and tried < MOST_GRIDS:
        splits, axes = stack.pop()
        better = _divisions(axes) if len(axes) < MOST_AXES else []
        for k, stride, rest, quotient in reversed(better):
            new = (*axes[:k], rest, *axes[k + 1 :], quotient)
            stack.append(((*splits, (k, stride)), new))
        tried += 1
        yield splits


def _divisions(axes: tuple[np.ndarray, ...]) -> list[tuple[int, int, np.ndarray, np.ndarray]]:
    """Return the three best ways to divide the first axis that has long distances."""
    found = []
    for k, x in enumerate(axes):
        size = np.abs(x).sum()
        for stride in np.unique(np.abs(x)):
            if stride < 2:
                continue
            quotient = np.round(x / stride).astype(np.int64)
            rest = x - stride * quotient
            left = np.abs(rest).sum() + np.abs(quotient).sum()
            if left < size:
                found.append((left, k, int(stride), rest, quotient))
        if found:
            break
    return [part[1:] for part in sorted(found, key=lambda part: part[0])[:3]]


def _places(numbers: np.ndarray, splits: Splits) -> np.ndarray:
    """Return the places of columns, a row for each axis."""
    axes = [numbers]
    for k, stride in splits:
        quotient, axes[k] = np.divmod(axes[k], stride)
        axes.append(quotient)
    return np.stack(axes)


def _linear(steps: np.ndarray, least: int, below: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield linear colorings: pairs in the wrong color, p, and a.

    No frequent step has ``(a @ step) % p == 0``. Of each p the best one; those with more colors
    than one that has no pair wrong are left out.
    """
    mixed = np.random.default_rng(0).integers(1 << 40, size=len(steps)) @ steps
    _, at, counts = np.unique(mixed, return_index=True, return_counts=True)
    steps = steps[:, at]
    frequent = steps[:, counts * OFTEN >= counts.max()]
    if frequent.shape[1] > MOST_DISTANCES:
        return
    for p in range(least, below):
        solutions = _coefficients(frequent, p)
        if solutions.size:
            wrong = ((solutions @ steps) % p == 0) @ counts
            best = int(np.argmin(wrong))
            yield int(wrong[best]), p, solutions[best]
            if wrong[best] == 0:
                return


def _coefficients(steps: np.ndarray, p: int) -> np.ndarray:
    """Return rows a such that no ``(a @ step) % p`` is 0."""
    last = len(steps) - 1 - np.argmax(steps[::-1] != 0, axis=0)  # the axis that decides on a step
    rows, sums = np.zeros((1, 0), np.int64), np.zeros((1, steps.shape[1]), np.int64)
    for k, step in enumerate(steps):
        ahead = sums[:, None] + np.arange(p)[:, None] * step
        i, c = np.nonzero(np.all(ahead[..., last == k] % p != 0, axis=-1))
        i, c = i[:MOST_TRIED], c[:MOST_TRIED]
        rows, sums = np.column_stack([rows[i], c]), ahead[i, c]
    return rows
