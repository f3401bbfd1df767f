"""Which states of a sequence are kept, so that a backward pass can compute the others again."""

from __future__ import annotations

import math

__all__ = ["Schedule"]


class Schedule:
    """Places of snapshots, counted in steps.

    Attributes
    ----------
    leaf : int
        Steps that are run forward and backward at once.
    starts : list of int
        Before which steps the forward pass keeps the state; the first is 0.

    Notes
    -----
    ``checkpoint=k`` keeps every k-th state. "binomial" keeps at most ``s``, the logarithm of the
    number of leaves; with ``r`` repetitions of every step, ``(s + r)! / (s! r!)`` leaves can be
    reversed [1]_. A leaf has about ``log2(T)`` steps.

    References
    ----------
    .. [1] A. Griewank and A. Walther, "Algorithm 799: revolve", ACM TOMS 26, 2000.
    """

    def __init__(self, steps: int, checkpoint: int | str) -> None:
        self.steps = steps
        if isinstance(checkpoint, int):
            self.leaf = min(checkpoint, max(steps, 1))
            self.starts = list(range(0, max(steps, 1), self.leaf))
            self.room = len(self.starts)
            return
        self.leaf = max(1, math.ceil(math.log2(max(steps, 2))))
        leaves = math.ceil(steps / self.leaf)
        self.room = max(1, math.ceil(math.log2(max(leaves, 2))))
        self.starts = [0]
        while steps - self.starts[-1] > self.leaf and len(self.starts) < self.room:
            self.starts.append(self.split(self.starts[-1], steps, len(self.starts)))

    def split(self, low: int, high: int, kept: int) -> int:
        """Return the next place to keep, between `low`, the last one kept, and `high`."""
        leaves = math.ceil((high - low) / self.leaf)
        free = max(1, self.room - kept + 1)  # with the one at `low`
        if free == 1:
            return low + (leaves - 1) * self.leaf
        repetitions = 1
        while math.comb(free + repetitions, free) < leaves:
            repetitions += 1
        ahead = leaves - math.comb(free + repetitions - 1, free - 1)
        return low + max(1, ahead) * self.leaf
