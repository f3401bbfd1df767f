"""Windows along an axis, sums between places, running maxima: beside the samples of their rows."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import fastbp as bp
import fastbp.numpy as bnp
from fastbp.errors import NoRuleError
from fastbp.testing import check_grads


def test_windows_are_views(rng):
    x = rng.normal(size=(3, 4))
    for window, axis in ((2, 1), ((2, 3), None), ((2, 2), (1, 1))):
        check_grads(lambda x, w=window, k=axis: sliding_window_view(x, w, k) ** 2, (x,), order=2)
        found = sliding_window_view(bp.variable(x), window, axis)
        np.testing.assert_array_equal(found.value, sliding_window_view(x, window, axis))

    def smoothed(x):
        return np.mean(bnp.lib.stride_tricks.sliding_window_view(x, 3), -1)

    jac = bp.jacobian(smoothed)(rng.normal(size=6))
    np.testing.assert_allclose(jac, sum(np.eye(4, 6, k) for k in range(3)) / 3.0)
    assert bp.sparse.jacobian(smoothed)(rng.normal(size=60)).nnz == 58 * 3
    with pytest.raises(ValueError, match="window shape cannot be larger"):
        smoothed(bp.variable(np.ones(2)))
    with pytest.raises(NoRuleError, match="writeable="):
        sliding_window_view(bp.variable(x), 2, 1, writeable=True)


@pytest.mark.parametrize("indices", [[0, 2], [1, 4, 2], [3, 3, 0], [0, 1, 2, 3, 4]])
def test_sums_between_places(rng, indices):
    x = rng.normal(size=(5, 3))
    check_grads(lambda x: np.add.reduceat(x, indices) ** 2, (x,), order=2)
    check_grads(lambda x: np.add.reduceat(x.T, indices, axis=-1) ** 2, (x,), order=2)
    found = np.add.reduceat(bp.variable(x), indices)
    np.testing.assert_array_equal(found.value, np.add.reduceat(x, indices))
    single = np.add.reduceat(bp.variable(x.astype(np.float32)), indices, dtype=np.float64)
    assert single.dtype == np.float64
    with pytest.raises(IndexError):
        np.add.reduceat(bp.variable(x), [5])


@pytest.mark.parametrize("ufunc", [np.maximum, np.minimum])
def test_running_maxima(rng, ufunc):
    x = rng.normal(size=(4, 5))
    for axis in (0, 1, -1):
        check_grads(lambda x, k=axis: ufunc.accumulate(x, k) ** 2, (x,), order=2)
    for special in ([1.0, np.nan, 3.0, 0.5], [2.0, 2.0, 1.0, 3.0], [np.inf, 1.0], []):
        found = ufunc.accumulate(bp.variable(np.array(special)))
        np.testing.assert_array_equal(found.value, ufunc.accumulate(np.array(special)))
    tied = bp.jacobian(ufunc.accumulate)(np.array([2.0, 2.0, 2.0]))
    np.testing.assert_array_equal(tied, [[1.0, 0.0, 0.0]] * 3)
    compiled = bp.compile(bp.grad(lambda x: np.sum(ufunc.accumulate(x) ** 2)))
    for a in (x[0], -x[0]):
        expected = bp.grad(lambda x: np.sum(ufunc.accumulate(x) ** 2))(a)
        np.testing.assert_array_equal(compiled(a), expected)
    assert compiled.stats()["plans"] == 1


def test_windows_and_sums_compiled(rng):
    def f(x):
        return np.sum(sliding_window_view(x, 3).max(-1)) + np.add.reduceat(x, [0, 2])[1] ** 2

    compiled = bp.compile(bp.grad(f))
    for x in rng.normal(size=(2, 7)):
        np.testing.assert_allclose(compiled(x), bp.grad(f)(x))


@pytest.mark.parametrize("ufunc", [np.add, np.multiply, np.maximum, np.minimum])
def test_accumulate_takes_the_axes_that_numpy_takes(ufunc, rng):
    x = rng.normal(size=(2, 3))
    for call in (lambda x: ufunc.accumulate(x), lambda x: ufunc.accumulate(x[0], axis=None)):
        np.testing.assert_array_equal(bp.vjp(call, x)[0], call(x))
        check_grads(call, x)
    with pytest.raises(ValueError, match="multiple axes"):
        bp.grad(lambda x: np.sum(ufunc.accumulate(x, axis=None)))(x)
