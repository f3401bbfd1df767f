"""Runs benchmarks: fresh processes, samples taken in turn, one row for each thing compared with."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import evidence, report, timing
from .checking import CheckError
from .load import Moment, between
from .peers import PEERS, Worker, WorkerError, missing
from .registry import Bench, Target
from .worker import OURS

__all__ = ["Effort", "Result", "run"]


@dataclass(frozen=True)
class Effort:
    """How carefully to measure."""

    threads: tuple[str, ...] = ("one", "default")
    peers: tuple[str, ...] = ()
    quick: bool = False
    # Passes over all benchmarks, each in fresh processes: two processes with the same code differ,
    # and what a machine does changes within a minute.
    processes: int = 2
    rounds: int = 6  # readings of each contender in a pass, taken in turn
    # Seconds of a pass after which no more are taken than a verdict needs: of calls that take long.
    patience: float = 1.0
    window: float = 0.01  # seconds a reading lasts
    # Seconds for another library's threads to stop spinning, where there are threads.
    pause: float = 0.03
    # Time for further passes over what is not decided then, as a part of the time taken so far,
    # and how many passes at most.
    extra: float = 0.3
    most: int = 8


@dataclass
class Result:
    """Rows of the report, and the checks that failed."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # by suite
    peer_versions: dict[str, str | None] = field(default_factory=dict)
    pools: dict[str, Any] = field(default_factory=dict)


class _Processes(ExitStack):
    """Where processes come from: fresh ones, or for a smoke test the same ones again.

    Fresh, because the allocator remembers: what ran before decides whether the arrays of this run
    are new pages of memory, and their page faults can cost more than the work.
    """

    def __init__(self, keep: bool) -> None:
        super().__init__()
        self._keep = keep
        self._kept: dict[tuple[str, str], Worker] = {}

    def get(self, library: str, threads: str, stack: ExitStack) -> Worker:
        """Return a process; one that is not kept ends with `stack`."""
        if not self._keep:
            return stack.enter_context(Worker(library, threads))
        kept = self._kept.get((library, threads))
        if kept is None or not kept.alive:
            kept = self._kept[library, threads] = self.enter_context(Worker(library, threads))
        return kept


@dataclass
class _Case:
    """One benchmark, one set of parameters, one limit of threads."""

    cls: type[Bench]
    params: dict[str, Any]
    threads: str
    effort: Effort
    result: Result
    processes: _Processes
    folder: str
    error: float | None = None
    failed: bool = False
    seconds: float = 0.0  # that the last pass took
    passes: list[evidence.Pass] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)  # why a contender has no figure

    @property
    def label(self) -> str:
        return report.label({"name": self.cls.name, "params": self.params})

    @property
    def wanted(self) -> int:
        """Passes to make whatever they show; one, which checks, if there is nothing to compare."""
        if self.failed or (self.passes and not self._others()):
            return 0
        return _passes(self.cls, self.effort)

    def measure(self) -> None:
        """Make one more pass over everything there is to compare."""
        start = time.perf_counter()
        memory = self.cls.unit == "bytes"
        if memory and not timing.measures_memory():
            self.result.notes.append(f"{self.label}: this system does not tell peak memory")
            self.failed = True
            return
        try:
            self.passes.append(self._memory() if memory else self._times())
        except (CheckError, WorkerError) as error:
            self._fail(error)
            self.failed = True
        self.seconds = time.perf_counter() - start
        suite = self.cls.suite
        self.result.seconds[suite] = self.result.seconds.get(suite, 0.0) + self.seconds

    def _fail(self, error: Exception) -> None:
        self.result.failures.append(f"{self.label}, threads: {self.threads}: {error}")

    def _peers(self) -> list[str]:
        """Peers to start; what keeps the others out of the table is noted for their row."""
        wanted = [peer for peer in self.effort.peers if peer in self.cls.peers]
        self.notes.update({peer: note for peer in wanted if (note := missing(peer))})
        return [peer for peer in wanted if peer not in self.notes]

    def _prepare(self, worker: Worker) -> list[str]:
        """Set up and, in the first pass, check."""
        answer = self._ask_to_prepare(worker, self.params, verify=not self.passes)
        if worker.library == OURS:
            self.error = self.error if self.passes else answer["error"]
            self.result.pools[self.threads] = answer["pools"]
        else:
            self.result.peer_versions[worker.library] = answer["version"]
        return answer["contenders"]

    def _ask_to_prepare(
        self, worker: Worker, params: dict[str, Any], folder: str | None = None, verify: bool = True
    ) -> dict[str, Any]:
        return worker.ask(
            "prepare", suite=self.cls.suite, name=self.cls.name, params=params,
            folder=folder or self.folder, verify=verify,
        )  # fmt: skip

    def _prepare_peer(self, worker: Worker) -> list[str]:
        """Prepare a peer; one that fails is noted, one with other results is also a failure."""
        try:
            return self._prepare(worker)
        except (CheckError, WorkerError) as error:
            self._note(worker.library, error)
            if isinstance(error, CheckError):
                self._fail(error)
            return []

    def _note(self, peer: str, error: Exception) -> None:
        self.notes[peer] = f"{self.label}: {peer} has no figure: {error}"

    def _contenders(self, stack: ExitStack) -> dict[str, Worker]:
        """Prepare a process for each library; they end with `stack`."""
        ours = self.processes.get(OURS, self.threads, stack)
        contenders = dict.fromkeys(self._prepare(ours), ours)
        for peer in self._peers():
            worker = self.processes.get(peer, self.threads, stack)
            contenders.update(dict.fromkeys(self._prepare_peer(worker), worker))
        return contenders

    def _times(self) -> evidence.Pass:
        """Sample all contenders in turn, round after round, each in the process of its library."""
        with ExitStack() as stack:
            contenders = self._contenders(stack)
            window = self.effort.window
            loops = {
                name: answer["value"]
                for name in [*contenders]
                if (answer := self._ask(contenders, name, "calibrate", window=window))
            }
            readings: dict[str, list[timing.Reading]] = {name: [] for name in contenders}
            shuffled = random.Random(len(self.passes))
            before, start = Moment.now(), time.perf_counter()
            for number in range(self.effort.rounds):
                enough = number * evidence.PROCESSES >= evidence.ROUNDS
                if enough and time.perf_counter() - start > self.effort.patience:
                    break
                # A new order each time: another program on this CPU must not always hit the same.
                for name in shuffled.sample([*contenders], len(contenders)):
                    if self.threads != "one":
                        time.sleep(self.effort.pause)
                    answer = self._ask(contenders, name, "sample", loops=loops[name])
                    if answer:
                        reading = timing.Reading(answer["value"], answer["clean"])
                        readings[name].append(reading.per(self.cls.per))
            load = between(before, Moment.now())
        return evidence.Pass({name: readings[name] for name in contenders}, load)

    def _ask(
        self, contenders: dict[str, Worker], name: str, command: str, **request: Any
    ) -> dict[str, Any] | None:
        """Ask one contender; a peer that fails is noted and leaves the others."""
        worker = contenders[name]
        try:
            return worker.ask(command, contender=name, **request)
        except WorkerError as error:
            if worker.library == OURS:
                raise
            self._note(name, error)
            del contenders[name]
            return None

    def _memory(self) -> evidence.Pass:
        """Measure each peak in a process of its own; results are checked in others before."""
        before = Moment.now()
        with tempfile.TemporaryDirectory() as small_folder, ExitStack() as stack:
            ours = self.processes.get(OURS, self.threads, stack)
            self._ask_to_prepare(ours, self._small(), small_folder)
            libraries = dict.fromkeys(self._prepare(ours), OURS)
            traced = ours.ask("traced", contender=OURS)["value"]
            for peer in self._peers():
                with Worker(peer, self.threads) as worker:
                    libraries.update(dict.fromkeys(self._prepare_peer(worker), peer))
            peaks: dict[str, list[timing.Reading]] = {name: [] for name in libraries}
            for _ in range(3 if self.effort.peers and not self.effort.quick else 1):
                for name, library in libraries.items():
                    peak = self._peak(library, name, small_folder)
                    peaks[name].append(timing.Reading(peak, peak))
        arrays = f"{traced / 1e6:.1f} MB of fastbp's is in arrays (tracemalloc)"
        self.notes[OURS] = f"{self.label}: {arrays}"
        return evidence.Pass(peaks, between(before, Moment.now()))

    def _small(self) -> dict[str, Any]:
        return {**self.params, **{name: values[0] for name, values in self.cls.quick.items()}}

    def _peak(self, library: str, contender: str, small_folder: str) -> int:
        """Load the library's code with a small run, then measure its first full one."""
        with Worker(library, self.threads) as worker:
            self._ask_to_prepare(worker, self._small(), small_folder)
            worker.ask("warm", contender=contender)
            self._ask_to_prepare(worker, self.params, verify=False)
            return max(1, worker.ask("peak", contender=contender)["value"])

    def _others(self) -> list[str]:
        """What fastbp stands against: those with figures, then those that have none."""
        names = [name for p in self.passes[:1] for name in p.readings if name not in self.notes]
        return [name for name in [*names, *self.notes] if name != OURS]

    def _target(self, other: str) -> Target | None:
        given = {} if self.effort.quick else self.cls.targets(**self.params)
        stated = given.get(other, ())
        every = stated if isinstance(stated, tuple) else (stated,)
        return next((target for target in every if target.applies(self.threads)), None)

    def _judged(self, other: str) -> tuple[str | None, str]:
        target = self._target(other)
        if target is None or other in self.notes:
            return None, ""
        return evidence.judge(self.passes, OURS, other, target, self.cls.unit)

    @property
    def undecided(self) -> bool:
        """Whether another pass could tell more about a target."""
        if self.failed or not self.passes or self.cls.unit == "bytes":
            return False
        verdicts = (self._judged(other)[0] for other in self._others())
        return evidence.NOT_MEASURED in verdicts and len(self.passes) < self.effort.most

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each thing compared with."""
        rows = []
        for other in self._others() if self.passes and not self.failed else ():
            target = self._target(other)
            verdict, why = self._judged(other)
            figures = evidence.figures(self.passes, OURS, OURS if other in self.notes else other)
            if other in self.notes:
                figures |= {"other": None, "times_faster": None}
            rows.append({
                "suite": self.cls.suite, "name": self.cls.name,
                "title": self.cls.title, "params": self.params,
                "threads": self.threads, "unit": self.cls.unit, "against": other,
                "peer": other in PEERS, "checked": self.error, **figures,
                "target": target and {"at_least": 1 / target.ratio, "text": target.text},
                "verdict": verdict, "why": why,
                "note": self.notes.get(other) or self.notes.get(OURS),
            })  # fmt: skip
        return rows


def run(
    benchmarks: Sequence[type[Bench]],
    effort: Effort,
    step: Callable[[str], None],
    clock: Callable[[], float] = time.perf_counter,
) -> Result:
    """Run the benchmarks; `step` is told what comes next."""
    result = Result()
    start = clock()
    with (
        tempfile.TemporaryDirectory(prefix="fastbp-bench-") as root,
        _Processes(keep=effort.quick) as processes,
    ):
        todo: list[_Case] = []
        for cls, params, threads in cases(benchmarks, effort):
            folder = Path(root, str(len(todo)))
            folder.mkdir()
            todo.append(_Case(cls, params, threads, effort, result, processes, str(folder)))
        for number in range(effort.processes):
            for case in todo:
                if number < case.wanted:
                    step(f"{case.label}, threads: {case.threads}")
                    case.measure()
        limit = clock() + effort.extra * (clock() - start)
        while again := [c for c in todo if c.undecided and clock() + c.seconds <= limit]:
            case = min(again, key=lambda case: len(case.passes))
            step(f"{case.label}, threads: {case.threads}, again: not decided yet")
            case.measure()
    result.rows = [row for case in todo for row in case.rows()]
    return result


def steps(benchmarks: Sequence[type[Bench]], effort: Effort) -> int:
    """Return how often `run` will say what comes next, if nothing fails or has to be repeated."""
    return sum(_passes(cls, effort) for cls, _, _ in cases(benchmarks, effort))


def _passes(cls: type[Bench], effort: Effort) -> int:
    # Peaks of memory vary less than times.
    return 1 if cls.unit == "bytes" else effort.processes


def cases(benchmarks: Sequence[type[Bench]], effort: Effort) -> list[tuple[type[Bench], dict, str]]:
    """Return every benchmark with its parameters and limit of threads."""
    return [
        (cls, params, threads)
        for cls in benchmarks
        for params in cls.cases(effort.quick)
        for threads in (effort.threads if cls.threaded or effort.peers else effort.threads[:1])
    ]
