"""Norms of numbers whose powers leave the range: the value is that of plain NumPy or SciPy."""

import numpy as np
import pytest
import scipy.linalg

import fastbp as bp
import fastbp.scipy.linalg as bl

VECTORS = {
    "large": [3e200, -4e200, 1e199],
    "small": [3e-200, 4e-200, -1e-199],
    "subnormal": [3e-320, 4e-320, 0.0],
    "both": [3e200, 1e-200, -4e200],
    "plain": [1.0, -2.0, 0.3],
    "nothing": [0.0, 0.0, 0.0],
}
ORDERS = [None, 1, 2, 3, 2.5, 0.5, -1, -2, np.inf, -np.inf, 0]


def value_of(y):
    return y.value if isinstance(y, bp.Variable) else y


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("ord", ORDERS)
@pytest.mark.parametrize("name", VECTORS)
def test_values_are_those_of_plain_arrays(name, ord):
    calls = [
        (lambda x: np.linalg.norm(x, ord), lambda x: np.linalg.norm(x, ord)),
        (lambda x: np.linalg.norm(x, ord, axis=0), lambda x: np.linalg.norm(x, ord, axis=0)),
        (lambda x: scipy.linalg.norm(x, ord), lambda x: bl.norm(x, ord)),
        (lambda x: scipy.linalg.norm(x, ord, axis=0), lambda x: bl.norm(x, ord, axis=0)),
    ]
    if ord is not None:
        calls.append((lambda x: np.linalg.vector_norm(x, ord=ord),) * 2)
    for dtype, factor in ((np.float64, 1.0), (np.complex128, 0.6 + 0.8j)):
        x = np.array(VECTORS[name]).astype(dtype) * factor
        for plain, recorded in calls:
            expected = plain(x)
            found = value_of(recorded(bp.variable(x)))
            np.testing.assert_allclose(found, expected, rtol=1e-14)
            np.testing.assert_allclose(bp.compile(recorded)(x), expected, rtol=1e-14)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("scale", [1e200, 1e-200, 3e-310, 1.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_euclidean_norm_of_scipy_has_its_slopes_at_any_scale(scale, dtype):
    x = np.array([3.0, -4.0, 12.0]).astype(dtype)
    scale = dtype(scale if dtype is np.float64 else {1e200: 1e37, 3e-310: 3e-42}.get(scale, 1e-25))
    at = x * scale
    for grad in (bp.grad(bl.norm), bp.compile(bp.grad(bl.norm))):
        np.testing.assert_allclose(grad(at), at / scipy.linalg.norm(at), rtol=2e-3)
        assert grad(at).dtype == dtype
    _, t = bp.jvp(bl.norm, (at,), (np.ones(3, dtype),))
    np.testing.assert_allclose(t, np.sum(at / scipy.linalg.norm(at)), rtol=2e-3)
    assert bl.norm(bp.variable(at)).dtype == dtype  # as of what it is multiplied with
    assert (bp.variable(at) / bl.norm(bp.variable(at))).dtype == (at / scipy.linalg.norm(at)).dtype
    np.testing.assert_array_equal(bp.grad(bl.norm)(np.zeros(3, dtype)), 0.0)


def test_second_derivatives_at_any_scale():
    x = np.array([3.0, -4.0, 12.0])
    expected = bp.hessian(np.linalg.norm)(x)
    for scale in (1e200, 1e-200):
        np.testing.assert_allclose(bp.hessian(bl.norm)(scale * x) * scale, expected, rtol=1e-13)
    np.testing.assert_allclose(bp.hessian(bl.norm)(x), expected, rtol=1e-14)


@pytest.mark.parametrize("ord", [-1, -2, 1, 2, 3])
def test_norms_of_no_elements(ord):
    x = np.zeros((2, 0))
    with np.errstate(divide="ignore"):
        expected = np.linalg.norm(x, ord, axis=1)
        found = np.linalg.norm(bp.variable(x), ord, axis=1).value
    np.testing.assert_array_equal(found, expected)
