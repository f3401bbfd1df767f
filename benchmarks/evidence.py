"""From readings to figures and verdicts: medians, their intervals, and what they can decide."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scipy.special import bdtr

from . import load, timing
from .registry import Target

__all__ = ["MET", "MISSED", "NOT_MEASURED", "Pass", "figures", "judge", "median_interval"]

MET, MISSED, NOT_MEASURED = "met", "missed", "not measured"
CONFIDENCE = 0.99
# Fewer processes do not show how much one differs from the next, fewer rounds give no interval.
PROCESSES, ROUNDS = 2, 8


@dataclass(frozen=True)
class Pass:
    """Readings of all contenders in turn, by processes that were started for them."""

    readings: dict[str, list[timing.Reading]]
    load: dict[str, Any]

    @property
    def quiet(self) -> bool:
        """Whether other programs left the machine alone."""
        return load.is_quiet(self.load)

    def values(self, name: str) -> list[float | None]:
        """Return a contender's cost in each round; None if it had to wait for a CPU.

        On a quiet machine the threads of one process wait for each other only: a part of the cost.
        """
        return [r.value if self.quiet else r.clean for r in self.readings[name]]

    def pairs(self, ours: str, other: str) -> list[tuple[float, float]]:
        """Return the costs of both in the rounds where neither had to wait."""
        both = zip(self.values(ours), self.values(other), strict=True)
        return [(a, b) for a, b in both if a is not None and b is not None]


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return order statistics between which the median lies, whatever the distribution is.

    With too few values for that confidence, the smallest and the largest.
    """
    ordered, n = sorted(values), len(values)
    rank = 1
    while rank < n // 2 and 2 * bdtr(rank, n, 0.5) <= 1 - confidence:
        rank += 1
    return ordered[rank - 1], ordered[n - rank]


def _used(passes: Sequence[Pass], ours: str, other: str) -> tuple[list[Pass], bool]:
    """Return the passes that count, and whether the machine was quiet in them.

    Those on a quiet machine, if they are enough for a verdict.
    """
    quiet = [p for p in passes if p.quiet and p.pairs(ours, other)]
    enough = len(quiet) >= PROCESSES and sum(len(p.pairs(ours, other)) for p in quiet) >= ROUNDS
    return (quiet, True) if enough else ([p for p in passes if p.pairs(ours, other)], False)


def figures(passes: Sequence[Pass], ours: str, other: str) -> dict[str, Any]:
    """Summarize the costs of both, and how many times faster ours is, round by round.

    The interval of the ratio also covers the median of every process: what one process shows again
    and again (where its arrays lie, say) another may not.
    """
    used, _ = _used(passes, ours, other)
    by_process = [p.pairs(ours, other) for p in used]
    undisturbed = bool(used)
    if not undisturbed:  # better a rough figure, said to be one, than none
        used = list(passes)
        by_process = [
            [(a.value, b.value) for a, b in zip(p.readings[ours], p.readings[other], strict=True)]
            for p in used
        ]
    pairs = [pair for group in by_process for pair in group]
    medians = [statistics.median(b / a for a, b in group) for group in by_process]
    ratio = timing.summarize([b / a for a, b in pairs])
    low, high = median_interval([b / a for a, b in pairs])
    ratio |= {"low": min(low, *medians), "high": max(high, *medians)}
    return {
        "fastbp": timing.summarize([a for a, _ in pairs]),
        "other": timing.summarize([b for _, b in pairs]),
        "times_faster": ratio,
        "processes": [
            {"fastbp": statistics.median(a for a, _ in group), "times_faster": median,
             "rounds": len(group), "quiet": p.quiet}
            for p, group, median in zip(used, by_process, medians, strict=True)
        ],
        "undisturbed": undisturbed,
        "load": load.worst([p.load for p in used]),
    }  # fmt: skip


def judge(
    passes: Sequence[Pass], ours: str, other: str, target: Target, unit: str = "s"
) -> tuple[str, str]:
    """Return the verdict on a target, and why it cannot be given where it cannot.

    Met or missed is what holds all over the interval. To miss it, the machine must have been quiet
    too: another program takes caches and memory's bandwidth also from those who need not wait.
    """
    least = 1 / target.ratio
    ratio = figures(passes, ours, other)["times_faster"]
    if unit == "bytes":  # which nobody can take from us for a while
        return (MET if ratio["median"] >= least else MISSED), ""
    used, quiet = _used(passes, ours, other)
    busy = load.describe(load.worst([p.load for p in passes]))
    if sum(len(p.pairs(ours, other)) for p in used) < ROUNDS or len(used) < PROCESSES:
        return NOT_MEASURED, f"most samples had to wait for a CPU: {busy}"
    if ratio["low"] >= least:
        return MET, ""
    if ratio["high"] < least and quiet:
        return MISSED, ""
    between = f"samples scatter from {ratio['low']:.3g} to {ratio['high']:.3g}"
    return NOT_MEASURED, between if quiet else f"{between}: {busy}"
