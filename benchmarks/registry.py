"""The table of benchmarks: one small class each, registered by the decorator `bench`."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

__all__ = [
    "BENCHMARKS",
    "MAIN",
    "SECONDS",
    "SUITES",
    "Bench",
    "Target",
    "at_most",
    "bench",
    "duration",
    "faster",
    "get",
    "select",
]

# The suites in the order of the report. Those of the main job run unless others are asked for.
MAIN = ("matmul", "dense_layer", "elementwise", "mlp", "functions", "memory")
SUITES = (
    *MAIN, "tensor", "sparse", "chain", "recurrent", "decompositions", "signals", "dropin",
    "compile", "programs", "kinds",
)  # fmt: skip
# Seconds that each suite takes on two cores, both limits of threads, without peers and with all of
# them. The only place where they are: measured; a report has them as "seconds" to compare.
SECONDS = {
    "digits": (1, 1),
    "matmul": (38, 55), "dense_layer": (11, 11), "elementwise": (8, 40), "mlp": (4, 30),
    "functions": (18, 18), "memory": (5, 40), "tensor": (85, 85), "sparse": (230, 230),
    "chain": (300, 300), "recurrent": (170, 850), "decompositions": (40, 120), "signals": (15, 120),
    "dropin": (6, 30), "compile": (160, 840), "programs": (60, 560), "kinds": (30, 800),
}  # fmt: skip
# The modules of this package that register in a suite, where it is not the one of its name.
MODULES = {
    "compile": ("compiled",),
    "chain": ("chain", "trajectories"),
    "recurrent": ("recurrent", "sensitivity", "characters", "sunspots"),
}

BENCHMARKS: dict[str, type[Bench]] = {}


def duration(suites: Iterable[str], peers: bool = False) -> str:
    """Say how long suites take."""
    seconds = sum(SECONDS[suite][peers] for suite in suites)
    if seconds < 100:
        return f"about {max(seconds, 1):.0f} s"
    return f"about {seconds / 60:.0f} minutes"


@dataclass(frozen=True)
class Target:
    """The largest allowed ratio of fastbp's cost to the other's; in words if a cost is meant."""

    ratio: float
    text: str
    threads: str = "any"

    def applies(self, threads: str) -> bool:
        return self.threads in ("any", threads)


def at_most(times: float, threads: str = "any") -> Target:
    """Ask that fastbp cost at most `times` what the other costs."""
    return Target(times, f"cost <= {times:g}x", threads)


def faster(times: float, threads: str = "any") -> Target:
    """Ask that fastbp be at least `times` as fast as the other."""
    return Target(1 / times, "", threads)


class Bench:
    """What a benchmark states. Subclass it, decorate it with `bench`, and it is in every report.

    Attributes
    ----------
    params : dict of str to tuple
        Values of each parameter; the benchmark runs for every combination.
    quick : dict of str to tuple
        The values that replace `params` under ``--quick``.
    per : int
        Number of operations that one `run` makes; costs are reported per operation.
    threaded : bool
        Whether fastbp or a contender in the same process may use threads. If not, and without
        peers, the benchmark runs under the first limit of threads alone: others would repeat it.
    unit : {"s", "bytes"}
        What is measured: seconds, or the peak of resident memory during one `run`.
    rtol : float
        Largest allowed difference of a peer's results from fastbp's, relative to their scale.
    peers : dict of str to callable
        For each library, ``peer(inputs, **params) -> run``: builds, from the same arrays, a
        function that does the same work as `run`. It is called in a process of its own and imports
        the library itself.
    inputs : dict of str to ndarray
        Set by `setup`; what the peers are given.
    """

    name: ClassVar[str]
    suite: ClassVar[str]
    title: ClassVar[str]
    params: ClassVar[dict[str, tuple]] = {}
    quick: ClassVar[dict[str, tuple]] = {}
    per: ClassVar[int] = 1
    threaded: ClassVar[bool] = True
    unit: ClassVar[str] = "s"
    rtol: ClassVar[float] = 1e-9
    peers: ClassVar[dict[str, Callable]] = {}

    inputs: dict[str, Any]

    def setup(self, *_: Any, **params: Any) -> None:
        """Make the inputs from a fixed seed. Not timed."""
        raise NotImplementedError

    def run(self) -> Any:
        """Do the work that is timed and return its results: arrays, in lists, tuples or dicts."""
        raise NotImplementedError

    def check(self) -> float:
        """Compare with an independent reference; return the error or raise `CheckError`."""
        raise NotImplementedError

    def against(self) -> dict[str, Callable]:
        """Return what is timed beside fastbp in the same process: functions by name."""
        return {}

    @classmethod
    def targets(cls, *_: Any, **params: Any) -> dict[str, Target | tuple[Target, ...]]:
        """Return the target against each contender or peer, for these parameters.

        A tuple has one for each limit of threads.
        """
        return {}

    @classmethod
    def cases(cls, quick: bool = False) -> Iterator[dict[str, Any]]:
        """Yield every combination of the parameters."""
        values = {**cls.params, **cls.quick} if quick else cls.params
        for combination in itertools.product(*values.values()):
            yield dict(zip(values, combination, strict=True))


def bench(suite: str) -> Callable[[type[Bench]], type[Bench]]:
    """Register a subclass of `Bench` in `suite`; its name is that of the class in snake case."""

    def register(cls: type[Bench]) -> type[Bench]:
        cls.suite = suite
        cls.name = "".join(f"_{c.lower()}" if c.isupper() else c for c in cls.__name__).lstrip("_")
        if cls.name in BENCHMARKS:
            raise ValueError(f"benchmark {cls.name!r} is defined twice")
        if not cls.__doc__:
            raise ValueError(f"benchmark {cls.name!r} needs a docstring: its line in the list")
        cls.title = cls.__doc__.splitlines()[0]
        missing = [part for part in ("setup", "run", "check") if not _defines(cls, part)]
        if missing:
            raise ValueError(f"benchmark {cls.name!r} does not define {', '.join(missing)}")
        BENCHMARKS[cls.name] = cls
        return cls

    return register


def _defines(cls: type[Bench], part: str) -> bool:
    return getattr(cls, part) is not getattr(Bench, part)


def load(suites: tuple[str, ...] = SUITES) -> None:
    """Import suites, which fills `BENCHMARKS`."""
    for suite in suites:
        for module in MODULES.get(suite, (suite,)):
            importlib.import_module(f".{module}", __package__)


def get(name: str, suite: str | None = None) -> type[Bench]:
    """Return the benchmark of that name; where the suite is told, only that is imported."""
    load((suite,) if suite else SUITES)
    return BENCHMARKS[name]


def select(suites: tuple[str, ...] = SUITES) -> list[type[Bench]]:
    """Return the benchmarks of these suites, in the order of the report."""
    order = tuple(suite for suite in SUITES if suite in suites)
    load(order)
    return [cls for suite in order for cls in BENCHMARKS.values() if cls.suite == suite]
