"""Functions of parts of arrays, and parts chosen by zeros."""

import numpy as np
import pytest

import fastbp as bp


@pytest.mark.parametrize("trim", ["fb", "f", "b", "FB"])
@pytest.mark.parametrize("x", [[0, 0, 1, 0, 2, 0], [1, 2], [0, 0], [0, 3, 0, 0]])
def test_trimmed_zeros_get_no_cotangent(x, trim):
    x = np.array(x, float)
    y, pull = bp.vjp(lambda x: np.trim_zeros(x, trim), x)
    np.testing.assert_array_equal(y, np.trim_zeros(x, trim))
    g = 1.0 + np.arange(y.size)
    found = pull(g)[0]
    np.testing.assert_array_equal(found[found != 0], g)
    np.testing.assert_array_equal(np.trim_zeros(x, trim), x[found != 0])


def test_piecewise_calls_a_function_where_it_is_taken():
    x = np.array([-1.0, 0.0, 4.0])
    found = bp.grad(lambda x: np.sum(np.piecewise(x, [x > 0], [np.sqrt, lambda x: x * x])))(x)
    np.testing.assert_array_equal(found, [-2.0, 0.0, 0.25])
    c = bp.grad(lambda c: np.sum(np.piecewise(bp.variable(x), [x > 0], [c, 0.0])))(3.0)
    assert c == 1.0
    with pytest.raises(ValueError, match="functions are expected"):
        np.piecewise(bp.variable(x), [x > 0], [np.sin] * 3)


def test_results_along_an_axis_may_have_any_shape(rng):
    x = rng.normal(size=(2, 3, 4))

    def table(v):
        return np.outer(v, v[:2])

    for axis in (0, 1, -1):
        y, pull = bp.vjp(lambda x, a=axis: np.apply_along_axis(table, a, x), x)
        np.testing.assert_allclose(y, np.apply_along_axis(table, axis, x), rtol=1e-15)
        assert pull(np.ones_like(y))[0].shape == x.shape


def test_the_base_of_logspace():
    found = bp.grad(lambda b: np.sum(np.logspace(bp.variable(0.0), 2.0, 3, base=b)))(3.0)
    np.testing.assert_allclose(found, 1.0 + 2.0 * 3.0, rtol=1e-15)


def test_unions_share():
    a, b = np.array([1.0, 2.0]), np.array([2.0, 0.0])
    y, pull = bp.vjp(np.union1d, a, b)
    np.testing.assert_array_equal(y, [0.0, 1.0, 2.0])
    by_a, by_b = pull(np.array([1.0, 10.0, 100.0]))
    np.testing.assert_array_equal(by_a, [10.0, 50.0])
    np.testing.assert_array_equal(by_b, [50.0, 1.0])
