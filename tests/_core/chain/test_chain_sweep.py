"""Sweeps of rows along a chain: step by step, and what they refuse."""

import numpy as np
import pytest

from fastbp._core import chain_sweep
from fastbp.errors import DTypeError, ShapeError


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("k", [0, 1, 5])
def test_sweep(dtype, k, rng):
    w, d = rng.standard_normal((4, 6)).astype(dtype), rng.standard_normal(6).astype(dtype)
    index = np.array([5, 0, 0])

    class Doubled:
        shape = (3, 3)

        def _left(self, x):
            return 2 * x

    factors = [[("gemm", w)], [("scale", d), ("take", index, 6)], [Doubled()], [("times", 3.0, 3)],
               [("gemm", np.asfortranarray(w[:3]))], [("gemm", w.T[:, ::2])]]  # fmt: skip
    x = rng.standard_normal((k, 4)).astype(dtype)
    steps = [x @ w]
    steps.append((steps[-1] * d)[:, index])
    steps += [2 * steps[-1], 6 * steps[-1]]
    steps += [steps[-1] @ w[:3]]
    steps.append(steps[-1] @ w.T[:, ::2])
    sweep = chain_sweep.ChainSweep(factors, dtype)
    tolerance = 1e-12 if dtype is np.float64 else 1e-4
    np.testing.assert_allclose(sweep.run(x), steps[-1], atol=tolerance)
    for got, expected in zip(sweep.run(x, True), steps, strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, expected, atol=tolerance)


def test_sweeps_refuse():
    with pytest.raises(ShapeError, match="step 1 has 3 rows"):
        chain_sweep.ChainSweep([[("gemm", np.ones((2, 2)))], [("scale", np.ones(3))]], np.float64)
    with pytest.raises(ShapeError, match="outside of 0 to 1"):
        chain_sweep.ChainSweep([[("take", np.array([2]), 2)]], np.float64)
    with pytest.raises(DTypeError, match="int64"):
        chain_sweep.ChainSweep([], np.int64)
    with pytest.raises(ValueError, match="no step"):
        chain_sweep.ChainSweep([[("other", 1)]], np.float64)
    sweep = chain_sweep.ChainSweep([[("scale", np.ones(3))]], np.float64)
    with pytest.raises(ShapeError, match="2 elements"):
        sweep.run(np.ones((1, 2)))
    for x in (np.ones((1, 3), "f4"), np.ones(3), np.ones((3, 2)).T):
        with pytest.raises(DTypeError, match="C order"):
            sweep.run(x)
