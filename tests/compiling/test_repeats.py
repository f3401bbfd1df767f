"""Where a sequence repeats itself."""

import numpy as np
import pytest

from fastbp.compiling.repeats import repeats


@pytest.mark.parametrize(
    ("ids", "runs"),
    [
        ([], []),
        ([1, 2, 3, 4], []),
        ([1, 2] * 3, []),  # three times are too few
        ([1, 2, 3] * 10 + [9] + [4, 5] * 5, [(0, 3, 30), (31, 2, 10)]),
        # What repeats in one period is a part of it, unless it is the larger part.
        (([7] * 3 + [8]) * 100, [(0, 4, 400)]),
        (([7] * 100 + [8]) * 3, [(0, 1, 100), (101, 1, 100), (202, 1, 100)]),
        ([0] + [1, 2, 2, 2, 2, 3] * 20 + [1], [(1, 6, 121)]),
    ],
)
def test_runs(ids, runs):
    assert repeats(ids) == runs


def test_long_periods(rng):
    body = rng.integers(0, 3, size=700).tolist()
    assert repeats(body * 20 + [5]) == [(0, 700, 14000)]
    assert repeats(rng.integers(0, 1000, size=5000).tolist()) == []


def test_runs_are_apart_and_repeat(rng):
    for _ in range(20):
        ids = []
        for _ in range(4):
            ids += rng.integers(0, 4, size=rng.integers(1, 5)).tolist() * int(rng.integers(1, 9))
        code, end = np.array(ids), 0
        for start, period, length in repeats(ids):
            assert start >= end
            assert length >= 4 * period
            end = start + length
            np.testing.assert_array_equal(code[start : end - period], code[start + period : end])
        assert end <= len(ids)
