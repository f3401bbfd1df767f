"""Where a sequence repeats itself: runs of one period, found by equal windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["Run", "repeats"]

Run = tuple[int, int, int]  # start, period, length in all

FEWEST = 4  # repetitions
_CANDIDATES = 4  # periods that are looked at for one length of window


def repeats(ids: Sequence[int], longest: int | None = None) -> list[Run]:
    """Return stretches of a sequence that repeat a period, apart, in order.

    Parameters
    ----------
    ids : sequence of int
        Equal where the sequence is.
    longest : int, optional
        No period is longer.

    Returns
    -------
    list of (start, period, length)
        With at least four periods each. Where stretches overlap, the one is taken that leaves least
        once it is one period.

    Notes
    -----
    The period is the distance from a window to the next equal one, for windows of 1, 2, 4, ...
    elements: long enough ones are equal only where the sequence repeats. Time is n log(n)**2.
    """
    code = np.asarray(ids, np.int64)
    n = code.size
    longest = n if longest is None else longest
    found: dict[tuple[int, int], int] = {}
    tried: set[int] = set()
    window, classes = 1, code
    while window * FEWEST <= n:
        for period in _periods(classes):
            if period not in tried and period * FEWEST <= n and period <= longest:
                tried.add(period)
                for start, length in _stretches(code, period):
                    found[start, period] = length
        if max([length - period for (_, period), length in found.items()], default=0) > 0.9 * n:
            break
        if classes.size <= window:
            break
        pairs = classes[:-window] * (int(classes.max()) + 1) + classes[window:]
        distinct, classes = np.unique(pairs, return_inverse=True)
        if distinct.size == pairs.size:
            break
        window *= 2
    order = sorted(found.items(), key=lambda item: (item[0][1] - item[1], item[0][1], item[0][0]))
    taken: list[Run] = []
    free = np.ones(n, bool)
    for (start, period), length in order:
        for first, size in _free_parts(free, start, length):
            if size >= FEWEST * period:
                free[first : first + size] = False
                taken.append((first, period, size))
    return sorted(taken)


def _periods(classes: np.ndarray) -> list[int]:
    """Return the most frequent distances from an element to the next equal one."""
    order = np.argsort(classes, kind="stable")
    same = classes[order][1:] == classes[order][:-1]
    distances = (order[1:] - order[:-1])[same]
    values, counts = np.unique(distances, return_counts=True)
    best = np.argsort(-counts, kind="stable")[:_CANDIDATES]
    return [int(values[k]) for k in best]


def _stretches(code: np.ndarray, period: int) -> list[tuple[int, int]]:
    """Return (start, length) of what repeats with a period at least four times."""
    equal = np.concatenate([[False], code[:-period] == code[period:], [False]])
    edges = np.flatnonzero(equal[1:] != equal[:-1])
    return [
        (int(a), int(b - a) + period)
        for a, b in zip(edges[::2], edges[1::2], strict=True)
        if b - a >= (FEWEST - 1) * period
    ]


def _free_parts(free: np.ndarray, start: int, length: int) -> list[tuple[int, int]]:
    own = np.concatenate([[False], free[start : start + length], [False]])
    edges = np.flatnonzero(own[1:] != own[:-1])
    return [(start + int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
