"""Verdicts, from readings of machines that are made up: quiet, busy, unlucky."""

from typing import ClassVar

import numpy as np
import pytest

from fastbp.benchmarks import evidence, runner
from fastbp.benchmarks.evidence import MET, MISSED, NOT_MEASURED, Pass
from fastbp.benchmarks.registry import Bench, at_most, faster
from fastbp.benchmarks.timing import Reading

QUIET = {"cpus": 2, "average": 0.1, "others": 0.02, "stolen": 0.0, "programs": []}
BUSY = {"cpus": 2, "average": 3.2, "others": 1.4, "stolen": 0.0, "programs": ["cc1", "firefox"]}


def a_pass(times_faster, load=QUIET, waited=()):
    """Make a pass from a ratio for each round; in the rounds `waited`, ours waited for a CPU."""
    ours = [Reading(1.0, None if i in waited else 1.0) for i in range(len(times_faster))]
    return Pass({"ours": ours, "other": [Reading(r, r) for r in times_faster]}, load)


def judge(passes, target):
    return evidence.judge(passes, "ours", "other", target)


def test_the_interval_of_a_median_covers_it():
    rng = np.random.default_rng(1)
    samples = rng.lognormal(size=(2000, 12))  # any distribution will do; its median is 1
    hits = [low <= 1 <= high for low, high in map(evidence.median_interval, samples)]
    assert np.mean(hits) > 0.98
    assert evidence.median_interval(range(12)) == (1, 10)
    assert evidence.median_interval([3.0, 1.0]) == (1.0, 3.0)


def test_met_and_missed_on_a_quiet_machine():
    passes = [a_pass([2.0, 2.1, 1.9, 2.0, 2.05]), a_pass([2.0, 2.0, 1.95, 2.1, 2.0])]
    assert judge(passes, faster(1.5)) == (MET, "")
    assert judge(passes, at_most(1.1)) == (MET, "")
    assert judge(passes, faster(3)) == (MISSED, "")


def test_samples_that_scatter_about_the_target_decide_nothing():
    passes = [a_pass([0.9, 1.1, 1.0, 0.95, 1.05]), a_pass([1.2, 0.8, 1.0, 1.1, 0.9])]
    assert judge(passes, faster(1)) == (NOT_MEASURED, "samples scatter from 0.8 to 1.2")


def test_processes_that_differ_decide_nothing_between_them():
    passes = [a_pass([0.9] * 5), a_pass([1.1] * 20)]  # the median of all is 1.1
    assert judge(passes, faster(1))[0] == NOT_MEASURED
    assert judge(passes, faster(1.2)) == (MISSED, "")


def test_one_process_or_few_rounds_decide_nothing():
    assert judge([a_pass([0.5] * 20)], faster(1))[0] == NOT_MEASURED
    assert judge([a_pass([0.5] * 3), a_pass([0.5] * 3)], faster(1))[0] == NOT_MEASURED


def test_a_busy_machine_misses_nothing_and_is_named():
    passes = [a_pass([0.5] * 10, BUSY), a_pass([0.5] * 10, BUSY)]
    verdict, why = judge(passes, faster(1))
    assert verdict == NOT_MEASURED
    assert why == (
        "samples scatter from 0.5 to 0.5: other programs used 1.4 of 2 CPUs (cc1, firefox), "
        "load average 3.2"
    )


def test_rounds_that_did_not_wait_may_meet_a_target_on_a_busy_machine():
    ratios = [2.0, 0.3] * 6
    passes = [a_pass(ratios, BUSY, waited=range(1, 12, 2)) for _ in range(2)]
    assert judge(passes, faster(1.5)) == (MET, "")
    passes = [a_pass(ratios, BUSY, waited=range(12)) for _ in range(2)]
    verdict, why = judge(passes, faster(1.5))
    assert verdict == NOT_MEASURED
    assert why.startswith("most samples had to wait for a CPU: other programs used 1.4")


def test_later_quiet_passes_outweigh_busy_ones():
    busy = [a_pass([0.2, 3.0] * 6, BUSY) for _ in range(4)]
    quiet = [a_pass([0.9] * 6) for _ in range(2)]
    assert judge(busy + quiet, faster(1)) == (MISSED, "")
    assert judge(busy + quiet, faster(0.8)) == (MET, "")


def test_threads_that_wait_for_each_other_are_a_part_of_the_cost():
    passes = [a_pass([0.5] * 6, QUIET, waited=range(6)) for _ in range(2)]
    assert judge(passes, faster(1)) == (MISSED, "")


def simulated(rng, truth, load):
    """Two passes of six rounds: each process differs by 1 %, each round by 3 %, load takes more."""
    passes = []
    for _ in range(2):
        ratios = truth * np.exp(rng.normal(0, 0.01) + rng.normal(0, 0.03, 6))
        if load is BUSY:  # whoever is interrupted takes longer, ours more often
            ratios *= np.exp(rng.exponential(0.3, 6) - rng.exponential(0.6, 6))
        passes.append(a_pass(list(ratios), load))
    return passes


@pytest.mark.parametrize(("load", "allowed"), [(QUIET, 10), (BUSY, 0)])
def test_what_just_meets_its_target_is_not_called_missed(load, allowed):
    rng = np.random.default_rng(2)
    verdicts = [judge(simulated(rng, 1.01, load), faster(1))[0] for _ in range(1000)]
    assert verdicts.count(MISSED) <= allowed  # of a thousand intervals of 99 %


def test_what_misses_its_target_is_called_so_on_a_quiet_machine():
    rng = np.random.default_rng(3)
    verdicts = [judge(simulated(rng, 0.85, QUIET), faster(1))[0] for _ in range(200)]
    assert verdicts.count(MISSED) > 190
    assert verdicts.count(MET) == 0


def test_a_peak_of_memory_does_not_depend_on_the_load():
    passes = [a_pass([0.9], BUSY)]
    assert evidence.judge(passes, "ours", "other", at_most(1.2), "bytes") == (MET, "")
    assert evidence.judge(passes, "ours", "other", at_most(1.0), "bytes") == (MISSED, "")


def test_figures_keep_every_process():
    row = evidence.figures([a_pass([2.0] * 3), a_pass([3.0] * 4, BUSY)], "ours", "other")
    assert row["times_faster"]["median"] == 3.0
    assert (row["times_faster"]["low"], row["times_faster"]["high"]) == (2.0, 3.0)
    assert [p["times_faster"] for p in row["processes"]] == [2.0, 3.0]
    assert [(p["rounds"], p["quiet"]) for p in row["processes"]] == [(3, True), (4, False)]
    assert row["undisturbed"]
    assert row["load"] == BUSY


def test_without_undisturbed_rounds_there_are_rough_figures():
    row = evidence.figures([a_pass([2.0] * 3, BUSY, waited=range(3))], "ours", "other")
    assert row["times_faster"]["median"] == 2.0
    assert not row["undisturbed"]


# ---- the runner, with a worker and a machine that are made up


class Script:
    """A machine whose load is told pass by pass, and a clock that stands still between passes."""

    def __init__(self, loads):
        self.loads, self.time, self.begun = iter(loads), 0.0, 0

    def between(self, before, after):
        self.time += 10.0
        return next(self.loads)

    def clock(self):
        return self.time


class Made:
    """A worker whose contender `other` takes as long as fastbp."""

    alive = True
    contenders = ("other",)

    def __init__(self, library, threads):
        self.library = library

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def ask(self, command, contender=None, **request):
        if command == "prepare":
            assert request["verify"] in (True, False)
            names = [self.library, *self.contenders]
            return {"contenders": names, "error": 0.0, "pools": None, "version": None}
        return {"value": 1.0, "clean": 1.0}


class Narrow(Bench):
    """Nothing."""

    name, suite, title = "narrow", "matmul", "Nothing."
    params: ClassVar = {"n": (1,)}

    @classmethod
    def targets(cls, n):
        return {"other": faster(1.5)}


def run(monkeypatch, loads, **effort):
    script, said = Script(loads), []
    monkeypatch.setattr(runner, "Worker", Made)
    monkeypatch.setattr(runner, "between", script.between)
    effort = runner.Effort(threads=("one",), pause=0.0, **effort)
    result = runner.run([Narrow], effort, said.append, clock=script.clock)
    return result.rows[0], said


def test_a_quiet_machine_needs_no_further_pass(monkeypatch):
    row, said = run(monkeypatch, [QUIET, QUIET], extra=9.0)
    assert row["verdict"] == MISSED
    assert len(said) == 2


def test_a_row_that_is_not_decided_is_measured_again_later(monkeypatch):
    row, said = run(monkeypatch, [BUSY, QUIET, BUSY, QUIET], extra=9.0)
    assert row["verdict"] == MISSED
    assert said[2:] == 2 * ["narrow (n=1), threads: one, again: not decided yet"]
    assert [process["quiet"] for process in row["processes"]] == [True, True]  # those that count


def test_repetitions_end_with_the_time_for_them(monkeypatch):
    row, said = run(monkeypatch, [BUSY] * 9, extra=1.0)
    assert (row["verdict"], len(said)) == (NOT_MEASURED, 4)  # 20 s, and 20 s more
    row, said = run(monkeypatch, [BUSY] * 9, extra=99.0, most=5)
    assert (row["verdict"], len(said)) == (NOT_MEASURED, 5)


def test_as_many_processes_as_asked_for(monkeypatch):
    row, _ = run(monkeypatch, [QUIET] * 5, processes=5)
    assert len(row["processes"]) == 5


def test_what_stands_against_nothing_is_checked_and_left(monkeypatch):
    monkeypatch.setattr(Made, "contenders", ())
    script, said = Script([QUIET] * 9), []
    monkeypatch.setattr(runner, "Worker", Made)
    monkeypatch.setattr(runner, "between", script.between)
    result = runner.run([Narrow], runner.Effort(threads=("one",), pause=0.0), said.append)
    assert (result.rows, result.failures, len(said)) == ([], [], 1)
