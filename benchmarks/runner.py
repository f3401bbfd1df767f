"""Runs benchmarks: fresh processes, samples taken in turn, one row for each thing compared with."""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from . import report, timing
from .checking import CheckError
from .peers import PEERS, Worker, WorkerError, missing
from .registry import Bench
from .worker import OURS

__all__ = ["Plan", "Result", "run"]


@dataclass(frozen=True)
class Plan:
    """How carefully to measure."""

    threads: tuple[str, ...] = ("one", "default")
    peers: tuple[str, ...] = ()
    quick: bool = False
    rounds: int = 11  # samples of each contender, taken in turn
    window: float = 0.01  # seconds a sample lasts
    # Seconds for another library's threads to stop spinning, where there are threads.
    pause: float = 0.03


@dataclass
class Result:
    """Rows of the report, and the checks that failed."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    peer_versions: dict[str, str | None] = field(default_factory=dict)
    pools: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Case:
    """One benchmark, one set of parameters, one limit of threads."""

    cls: type[Bench]
    params: dict[str, Any]
    threads: str
    plan: Plan
    result: Result
    error: float | None = None
    notes: dict[str, str] = field(default_factory=dict)  # why a contender has no figure

    @property
    def label(self) -> str:
        return report.label({"name": self.cls.name, "params": self.params})

    def measure(self) -> None:
        """Measure everything there is to compare, and add the rows."""
        memory = self.cls.unit == "bytes"
        if memory and not timing.measures_memory():
            self.result.notes.append(f"{self.label}: this system does not tell peak memory")
            return
        with tempfile.TemporaryDirectory(prefix="fastbp-bench-") as folder:
            try:
                samples = self._memory(folder) if memory else self._times(folder)
            except (CheckError, WorkerError) as error:
                self._fail(error)
                return
        self._add_rows(samples)

    def _fail(self, error: Exception) -> None:
        self.result.failures.append(f"{self.label}, threads: {self.threads}: {error}")

    def _peers(self) -> list[str]:
        """Peers to start; what keeps the others out of the table is noted for their row."""
        wanted = [peer for peer in self.plan.peers if peer in self.cls.peers]
        self.notes.update({peer: note for peer in wanted if (note := missing(peer))})
        return [peer for peer in wanted if peer not in self.notes]

    def _prepare(self, worker: Worker, folder: str) -> list[str]:
        answer = worker.ask("prepare", name=self.cls.name, params=self.params, folder=folder)
        if worker.library == OURS:
            self.error = answer["error"]
            self.result.pools[self.threads] = answer["pools"]
        else:
            self.result.peer_versions[worker.library] = answer["version"]
        return answer["contenders"]

    def _prepare_peer(self, worker: Worker, folder: str) -> list[str]:
        """Prepare a peer; one that fails is noted, one with other results is also a failure."""
        try:
            return self._prepare(worker, folder)
        except (CheckError, WorkerError) as error:
            self._note(worker.library, error)
            if isinstance(error, CheckError):
                self._fail(error)
            return []

    def _note(self, peer: str, error: Exception) -> None:
        self.notes[peer] = f"{self.label}: {peer} has no figure: {error}"

    def _contenders(self, folder: str, stack: ExitStack) -> dict[str, Worker]:
        """Start and prepare a process for each library; they end with `stack`.

        A fresh process, because the allocator remembers: what ran before decides whether the arrays
        of this run are new pages of memory, and their page faults can cost more than the work.
        """
        ours = stack.enter_context(Worker(OURS, self.threads))
        contenders = dict.fromkeys(self._prepare(ours, folder), ours)
        for peer in self._peers():
            worker = stack.enter_context(Worker(peer, self.threads))
            contenders.update(dict.fromkeys(self._prepare_peer(worker, folder), worker))
        return contenders

    def _times(self, folder: str) -> dict[str, list[float]]:
        """Sample all contenders in turn, round after round, each in the process of its library."""
        with ExitStack() as stack:
            contenders = self._contenders(folder, stack)
            window = self.plan.window
            loops = {
                name: self._ask(contenders, name, "calibrate", window=window)
                for name in [*contenders]
            }
            samples: dict[str, list[float]] = {name: [] for name in contenders}
            shuffled = random.Random(0)
            for _ in range(self.plan.rounds):
                # A new order each time: another program on this CPU must not always hit the same.
                for name in shuffled.sample([*contenders], len(contenders)):
                    if self.threads != "one":
                        time.sleep(self.plan.pause)
                    value = self._ask(contenders, name, "sample", loops=loops[name])
                    samples[name].append(value / self.cls.per)
        return {name: samples[name] for name in contenders}

    def _ask(self, contenders: dict[str, Worker], name: str, command: str, **request: Any) -> Any:
        """Ask for the value of one contender; a peer that fails is noted and leaves the others."""
        worker = contenders[name]
        try:
            return worker.ask(command, contender=name, **request)["value"]
        except WorkerError as error:
            if worker.library == OURS:
                raise
            self._note(name, error)
            del contenders[name]
            return math.nan

    def _memory(self, folder: str) -> dict[str, list[float]]:
        """Measure each peak in a process of its own; results are checked in others before."""
        with Worker(OURS, self.threads) as ours, tempfile.TemporaryDirectory() as small_folder:
            ours.ask("prepare", name=self.cls.name, params=self._small(), folder=small_folder)
            libraries = dict.fromkeys(self._prepare(ours, folder), OURS)
            traced = ours.ask("traced", contender=OURS)["value"]
            for peer in self._peers():
                with Worker(peer, self.threads) as worker:
                    libraries.update(dict.fromkeys(self._prepare_peer(worker, folder), peer))
            samples: dict[str, list[float]] = {name: [] for name in libraries}
            for _ in range(3 if self.plan.peers and not self.plan.quick else 1):
                for name, library in libraries.items():
                    samples[name].append(self._peak(library, name, small_folder, folder))
        arrays = f"{traced / 1e6:.1f} MB of fastbp's is in arrays (tracemalloc)"
        self.notes[OURS] = f"{self.label}: {arrays}"
        return samples

    def _small(self) -> dict[str, Any]:
        return {**self.params, **{name: values[0] for name, values in self.cls.quick.items()}}

    def _peak(self, library: str, contender: str, small_folder: str, folder: str) -> int:
        """Load the library's code with a small run, then measure its first full one."""
        name = self.cls.name
        with Worker(library, self.threads) as worker:
            worker.ask("prepare", name=name, params=self._small(), folder=small_folder)
            worker.ask("warm", contender=contender)
            worker.ask("prepare", name=name, params=self.params, folder=folder, verify=False)
            return worker.ask("peak", contender=contender)["value"]

    def _add_rows(self, samples: dict[str, list[float]]) -> None:
        targets = self.cls.targets(**self.params)
        for other in [name for name in [*samples, *self.notes] if name != OURS]:
            row: dict[str, Any] = {
                "suite": self.cls.suite, "name": self.cls.name,
                "title": self.cls.title, "params": self.params,
                "threads": self.threads, "unit": self.cls.unit, "against": other,
                "peer": other in PEERS, "checked": self.error,
                "fastbp": timing.summarize(samples[OURS]), "other": None, "ratio": None,
                "target": None, "met": None,
                "note": self.notes.get(other) or self.notes.get(OURS),
            }  # fmt: skip
            if other in samples:
                row["other"] = timing.summarize(samples[other])
                row["ratio"] = timing.paired_ratio(samples[OURS], samples[other])
            given = targets.get(other, ())
            stated = given if isinstance(given, tuple) else (given,)
            for target in (target for target in stated if target.applies(self.threads)):
                row["target"] = {"ratio": target.ratio, "text": target.text}
                row["met"] = row["ratio"]["median"] <= target.ratio if row["ratio"] else None
            self.result.rows.append(row)


def run(benchmarks: Sequence[type[Bench]], plan: Plan, step: Callable[[str], None]) -> Result:
    """Run the benchmarks; `step` is told what comes next."""
    result = Result()
    for cls, params, threads in cases(benchmarks, plan):
        case = _Case(cls, params, threads, plan, result)
        step(f"{case.label}, threads: {threads}")
        case.measure()
    return result


def cases(benchmarks: Sequence[type[Bench]], plan: Plan) -> list[tuple[type[Bench], dict, str]]:
    """Return every benchmark with its parameters and limit of threads."""
    return [
        (cls, params, threads)
        for cls in benchmarks
        for params in cls.cases(plan.quick)
        for threads in (plan.threads if cls.threaded or plan.peers else plan.threads[:1])
    ]
