"""Samples, their statistics, and the comparison with references."""

import sys

import numpy as np
import pytest

from fastbp.benchmarks import timing
from fastbp.benchmarks.checking import CheckError, check_projection, compare, flatten


def test_a_contender_may_time_itself():
    contender = timing.SelfTimed(lambda loops: 3.0 / loops)
    assert timing.sample(contender, 6) == 0.5


def test_calibration_fills_the_window():
    clock = timing.SelfTimed(lambda loops: 1e-4)
    assert 90 <= timing.calibrate(clock, 0.01) <= 130
    assert timing.calibrate(timing.SelfTimed(lambda loops: 2.0), 0.01) == 1


def test_sampling_counts_calls():
    calls = []
    assert timing.sample(lambda: calls.append(1), 5) > 0
    assert len(calls) == 5


def test_statistics():
    figures = timing.summarize([4.0, 1.0, 2.0, 3.0, 5.0])
    assert figures == {"median": 3.0, "q1": 2.0, "q3": 4.0, "min": 1.0, "count": 5}
    assert timing.summarize([7.0])["q3"] == 7.0


def test_a_reading_leaves_out_pieces_that_waited():
    # Four pieces of 2 calls: 1, 5, 1 and 1 s a call; during the second one it waited for 8 s.
    seconds, waits = iter([1.0, 5.0, 1.0, 1.0]), iter([0.0, 0.0, 8.0, 8.0, 8.0])
    contender = timing.SelfTimed(lambda loops: next(seconds))
    reading = timing.read(contender, 8, waited=lambda: (next(waits), 0.0, 0.0))
    assert reading == (2.0, 1.0)
    assert reading.per(2) == (1.0, 0.5)


def test_a_reading_that_always_waited_has_no_clean_value():
    waits = iter(range(10))
    contender = timing.SelfTimed(lambda loops: 1.5)
    reading = timing.read(contender, 1, waited=lambda: (0.0, next(waits), 0.0))
    assert reading == (1.5, None)
    assert reading.per(2) == (0.75, None)


def test_what_the_main_thread_waited_is_subtracted():
    waits = iter(range(10))
    contender = timing.SelfTimed(lambda loops: 1.5)
    assert timing.read(contender, 1, waited=lambda: (next(waits), 0.0, 0.0)) == (1.5, 0.5)


def test_waiting_for_a_thread_of_its_own_is_not_subtracted():
    waits = iter(range(10))
    contender = timing.SelfTimed(lambda loops: 1.5)
    reading = timing.read(contender, 1, waited=lambda: ((now := next(waits)), 0.0, 0.5 * now))
    assert reading == (1.5, None)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the high-water mark cannot be reset")
def test_peak_memory_sees_what_is_freed_again():
    assert 60e6 < timing.peak_memory(lambda: np.ones(8_000_000).sum()) < 90e6
    assert timing.peak_memory(lambda: None) < 20e6


def test_traced_peak():
    assert 8e6 <= timing.traced_peak(lambda: np.ones(1_000_000).sum()) < 9e6


def test_flatten_goes_through_containers_in_the_order_of_keys():
    leaves = flatten({"b": [1.0, (2.0,)], "a": np.zeros(2)})
    assert [leaf.tolist() for leaf in leaves] == [[0.0, 0.0], 1.0, 2.0]


def test_compare_is_relative_to_the_scale():
    assert compare([np.array([1e6, 1.0])], [np.array([1e6, 1.0 + 1e-7])], 1e-12) < 1e-12
    assert compare([], [], 1e-12) == 0.0


@pytest.mark.parametrize(
    ("got", "message"),
    [
        (np.array([1.0, 2.002]), "relative error 1.0e-03"),
        (np.array([1.0, np.nan]), "relative error nan"),
        (np.array([[1.0, 2.0]]), r"shape \(1, 2\)"),
        (np.array([1.0, 2.0], dtype=np.float32), "float32"),
        ([np.ones(2), np.ones(2)], "2 arrays"),
    ],
)
def test_compare_rejects(got, message):
    with pytest.raises(CheckError, match=message):
        compare(got, np.array([1.0, 2.0]), 1e-9)


def test_projection_accepts_the_gradient_and_rejects_another():
    x = np.linspace(0.1, 1, 20)
    assert check_projection(lambda x: np.sum(x**3), [x], [3 * x**2]) < 1e-8
    with pytest.raises(CheckError, match="central differences"):
        check_projection(lambda x: np.sum(x**3), [x], [3.003 * x**2])
