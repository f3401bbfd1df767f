"""Samples of time and memory, and their statistics."""

from __future__ import annotations

import ctypes
import gc
import statistics
import sys
import timeit
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import load

__all__ = [
    "Reading",
    "SelfTimed",
    "calibrate",
    "measures_memory",
    "peak_memory",
    "read",
    "sample",
    "summarize",
    "traced_peak",
]

# A reading is cut into pieces: on a busy machine, a short one may pass without an interruption.
PIECES = 4
# The largest share of a piece that may have been spent waiting for a CPU.
WAITING = 0.01


class SelfTimed:
    """A contender that times itself: ``function(loops)`` returns seconds per call."""

    def __init__(self, function: Callable[[int], float]) -> None:
        self.function = function

    def __call__(self) -> None:
        self.function(1)


def sample(contender: Callable, loops: int) -> float:
    """Return the seconds that one call takes, the mean over `loops` calls in a row.

    The garbage collector stays on (``timeit`` would switch it off): its work is part of the cost.
    """
    if isinstance(contender, SelfTimed):
        return contender.function(loops)
    timer = timeit.Timer("call()", "import gc; gc.enable()", globals={"call": contender})
    return timer.timeit(loops) / loops


def calibrate(contender: Callable, window: float) -> int:
    """Warm up, and return the number of calls that take about `window` seconds."""
    contender()
    loops = 1
    while (elapsed := sample(contender, loops) * loops) < window and loops < 10**8:
        growth = 1.2 * window / max(elapsed, 1e-9)
        loops = int(loops * min(max(growth, 1.5), 10.0)) + 1
    return max(1, round(loops * window / elapsed)) if elapsed > window else loops


class Reading(NamedTuple):
    """Seconds per call, and the same without what waited for a CPU, if that can be told."""

    value: float
    clean: float | None

    def per(self, operations: int) -> Reading:
        """Divide by the number of operations that a call makes."""
        return Reading(self.value / operations, self.clean and self.clean / operations)


def read(
    contender: Callable, loops: int, waited: Callable[[], load.Waiting] = load.waited
) -> Reading:
    """Take `loops` calls in pieces, and tell those apart that other programs interrupted.

    If all were, the waiting of the main thread is subtracted from those in which no other waited
    nor worked for it: what remains is the time of an undisturbed call, but for caches that others
    have filled.
    """
    pieces = min(PIECES, loops)
    loops = round(loops / pieces)
    values, clean, net = [], [], []
    before = waited()
    for _ in range(pieces):
        values.append(value := sample(contender, loops))
        after = waited()
        main, others, helped = (
            (now - then) / loops for now, then in zip(after, before, strict=True)
        )
        before = after
        if main + others <= WAITING * value:
            clean.append(value)
        elif others + helped <= WAITING * value and main < value:
            net.append(value - main)
    undisturbed = clean or net
    return Reading(statistics.fmean(values), statistics.fmean(undisturbed) if undisturbed else None)


def summarize(samples: Sequence[float]) -> dict[str, Any]:
    """Return the median, the quartiles and the smallest of the samples."""
    ordered = sorted(samples)
    low, high = ordered[0], ordered[-1]
    if len(ordered) > 1:
        low, _, high = statistics.quantiles(ordered, n=4, method="inclusive")
    return {
        "median": statistics.median(ordered), "q1": low, "q3": high, "min": ordered[0],
        "count": len(ordered),
    }  # fmt: skip


def measures_memory() -> bool:
    """Whether `peak_memory` works on this system."""
    return sys.platform in ("linux", "darwin")


def peak_memory(run: Callable) -> int:
    """Return the bytes by which resident memory rises at most while `run` runs."""
    if sys.platform == "linux":
        _return_free_memory()
        Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
        before = _status("VmRSS")
        run()
        return max(0, _status("VmHWM") - before)
    import resource  # not on Windows

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # macOS counts bytes


def _return_free_memory() -> None:
    """Give back what glibc and fastbp keep of the set-up, or the run could live in it unseen."""
    gc.collect()
    pool = sys.modules.get("fastbp._core.buffers")  # a peer's process need not have it
    if pool is not None:
        pool.release()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"the system does not report {field}")


def traced_peak(run: Callable) -> int:
    """Return the peak of the bytes that Python and NumPy allocate while `run` runs."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
