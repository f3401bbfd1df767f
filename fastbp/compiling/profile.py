"""How long the instructions of a plan take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp._core.caller import Entry

__all__ = ["Profile", "Row", "profiled"]

SECONDS = 0.1  # what a profile may take
MOST = 1000


@dataclass(frozen=True)
class Row:
    """An instruction.

    Attributes
    ----------
    kind : str
    shapes : list of tuple
        Of what it writes.
    what : str
        What it does, in words.
    seconds : float
    share : float
        Of the seconds of all.
    """

    kind: str
    shapes: list[tuple[int, ...]]
    what: str
    seconds: float
    share: float


@dataclass(frozen=True)
class Profile:
    """Times of the instructions of a plan; prints as a table.

    Attributes
    ----------
    rows : list of Row
        In the order in which they run.
    call : float
        Seconds of a whole call, its checks and new results included.
    """

    rows: list[Row]
    call: float

    def __str__(self) -> str:
        total = sum(row.seconds for row in self.rows)
        widths = [max([len(_shapes(row)) for row in self.rows], default=0), 24]
        lines = [
            f"a call: {1e6 * self.call:.3g} us, its {len(self.rows)} instructions: "
            f"{1e6 * total:.3g} us",
            "        us     %",
        ]
        lines += [
            f"{1e6 * row.seconds:10.2f} {100 * row.share:5.1f}  {row.kind:<8} "
            f"{_shapes(row):<{min(widths)}} {row.what}".rstrip()
            for row in self.rows
        ]
        return "\n".join(lines)


def _shapes(row: Row) -> str:
    return ", ".join(map(str, row.shapes))


def profiled(
    call: Callable[..., Any], entry: Entry, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Profile:
    """Run a plan instruction by instruction.

    Parameters
    ----------
    call : callable
        The compiled function.
    entry : Entry
        Its plan for the arguments.
    """
    steps = entry.plan.steps
    parts = [(first, end) for _, first, end in steps] + [(0, 0)]  # the last one is the clock's own
    entry.times(args, kwargs, parts, 3)
    once = sum(entry.times(args, kwargs, parts, 1)[0])
    passes = max(5, min(MOST, int(SECONDS / max(once, 1e-9))))
    seconds = np.median(np.array(entry.times(args, kwargs, parts, passes)), axis=0)
    seconds = np.maximum(seconds[:-1] - seconds[-1], 0.0)
    total = max(float(seconds.sum()), 1e-12)
    rows = [
        Row(step.kind, [v.shape for v in step.writes], step.described(), float(s), float(s) / total)
        for (step, _, _), s in zip(steps, seconds, strict=True)
    ]
    return Profile(rows, _of_call(call, args, kwargs, passes))


def _of_call(
    call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], passes: int
) -> float:
    times = []
    for _ in range(passes):
        start = time.perf_counter()
        call(*args, **kwargs)
        times.append(time.perf_counter() - start)
    return float(np.median(times))
