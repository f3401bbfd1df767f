"""What else the machine did while something was timed.

Two questions, two sources. Did a sample wait for a CPU? The kernel's account of the sampled process
says so, to the nanosecond. How much did others use, and which? The machine's and all processes'
times of CPU say so, to 10 ms, which is enough over a second. Both are Linux's. Elsewhere
involuntary switches and the load average stand in; without these, scatter alone shows that
something is wrong.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

__all__ = ["Moment", "Waiting", "between", "describe", "is_quiet", "waited", "worst"]

TASKS = Path("/proc/self/task")
# Seconds that an involuntary switch is taken for where the system does not tell them.
SWITCH = 1e-3
# CPUs that other programs may use, and the share that a hypervisor may take, on a quiet machine.
OTHERS, OTHERS_SHARE, STOLEN = 0.15, 0.03, 0.02


class Waiting(NamedTuple):
    """Seconds since the start of this process's threads."""

    main: float  # the main thread was ready to run and had no CPU: missing of what it was to do
    others: float  # the same of all other threads: what that costs depends on who waits for them
    helped: float  # CPU time of those: the main thread may have waited for its own helpers


def waited() -> Waiting:
    """Return for how long this process's threads were ready to run and had no CPU.

    Where the kernel counts no such time, it is not known whose it was.
    """
    try:
        accounts = dict(_accounts())
    except OSError:
        if resource is None:
            return Waiting(0.0, 0.0, 0.0)
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        return Waiting(0.0, switches * SWITCH, 0.0)
    _, main = accounts.pop(str(os.getpid()), (0.0, 0.0))
    ran, delayed = (sum(times) for times in zip((0.0, 0.0), *accounts.values(), strict=True))
    return Waiting(main, delayed, ran)


def _accounts() -> Iterator[tuple[str, tuple[float, float]]]:
    for task in os.listdir(TASKS):
        with suppress(ProcessLookupError):  # a thread that ended since
            ran, delayed = (TASKS / task / "schedstat").read_text().split()[:2]
            yield task, (int(ran) * 1e-9, int(delayed) * 1e-9)


class Process(NamedTuple):
    """What `Moment` knows of a process."""

    parent: int
    name: str
    seconds: float  # of CPU


@dataclass(frozen=True)
class Moment:
    """The machine's accounts at one time; `between` reads the difference of two."""

    time: float
    average: float | None = None  # the load average of the last minute
    processes: dict[tuple[int, int], Process] | None = None  # by pid and start
    busy: float | None = None  # seconds of CPU, all CPUs, everybody
    stolen: float | None = None  # by the hypervisor, for other guests

    @classmethod
    def now(cls) -> Moment:
        """Read the accounts: some milliseconds."""
        average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        try:
            busy, stolen = _totals()
            processes = dict(_processes())
        except (OSError, IndexError, ValueError):
            return cls(time.perf_counter(), average)
        return cls(time.perf_counter(), average, processes, busy, stolen)


def _ticks() -> float:
    return 1.0 / os.sysconf("SC_CLK_TCK")


def _totals() -> tuple[float, float]:
    line = Path("/proc/stat").read_text().split("\n", 1)[0]
    user, nice, system, _, _, _, _, stolen = (int(word) for word in line.split()[1:9])
    return (user + nice + system) * _ticks(), stolen * _ticks()


def _processes() -> Iterator[tuple[tuple[int, int], Process]]:
    tick = _ticks()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # it ended since
            head, _, tail = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
            words = tail.split()
            seconds = (int(words[11]) + int(words[12])) * tick
            process = Process(int(words[1]), head.partition("(")[2], seconds)
            yield (int(pid), int(words[19])), process


def between(before: Moment, after: Moment) -> dict[str, Any]:
    """Return what others did in between: CPUs they used, names, share stolen, load average.

    Ours are this process and its descendants. A value is None where the system does not tell.
    """
    count = cpus()
    load: dict[str, Any] = {
        "cpus": count, "average": after.average, "others": None, "stolen": None, "programs": [],
    }  # fmt: skip
    elapsed = max(after.time - before.time, 1e-9)
    if before.processes is None or after.processes is None:
        if after.average is not None:
            load["others"] = max(0.0, after.average - 1.0)  # one is ours
        return load
    ours = _descendants(after.processes)
    mine, used = 0.0, dict[str, float]()
    for key, now in after.processes.items():
        then = before.processes.get(key)
        spent = now.seconds - (then.seconds if then else 0.0)
        if key[0] in ours:
            mine += spent
        else:
            used[now.name] = used.get(now.name, 0.0) + spent
    # From the sum of all: programs that began and ended, or that run in another container, have no
    # account to read.
    load["others"] = max(0.0, (after.busy or 0.0) - (before.busy or 0.0) - mine) / elapsed
    load["stolen"] = max(0.0, (after.stolen or 0.0) - (before.stolen or 0.0)) / (elapsed * count)
    names = sorted((name for name in used if used[name] > 0.05 * elapsed), key=used.__getitem__)
    load["programs"] = names[::-1][:3]
    return load


def cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _descendants(processes: dict[tuple[int, int], Process]) -> set[int]:
    children: dict[int, list[int]] = {}
    for (pid, _), process in processes.items():
        children.setdefault(process.parent, []).append(pid)
    found, todo = set(), [os.getpid()]
    while todo:
        found.add(pid := todo.pop())
        todo += children.get(pid, [])
    return found


def is_quiet(load: dict[str, Any]) -> bool:
    """Whether others left the machine alone, as far as it tells."""
    allowed = max(OTHERS, OTHERS_SHARE * load["cpus"])
    return (load["others"] or 0.0) <= allowed and (load["stolen"] or 0.0) <= STOLEN


def worst(loads: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the load under which most CPU was used by others."""
    return max(loads, key=lambda load: (load["others"] or 0.0, load["stolen"] or 0.0))


def describe(load: dict[str, Any]) -> str:
    """Say in words what else the machine did."""
    parts = []
    if (load["others"] or 0.0) >= 0.05:
        who = f" ({', '.join(load['programs'])})" if load["programs"] else ""
        parts.append(f"other programs used {load['others']:.1f} of {load['cpus']} CPUs{who}")
    if (load["stolen"] or 0.0) > STOLEN:
        parts.append(f"the hypervisor took {load['stolen']:.0%} of their time")
    if load["average"] is not None:
        parts.append(f"load average {load['average']:.1f}")
    return ", ".join(parts) or "this system does not tell what else ran"
