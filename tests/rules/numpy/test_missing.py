"""Reductions that leave NaNs out, and those with where= and initial=: of what is there."""

import numpy as np
import pytest

import fastbp as bp


@pytest.mark.parametrize("name", ["nanmax", "nanmin", "nanvar", "nanstd", "nanprod"])
def test_what_is_there_has_the_derivatives_of_the_plain_function(name, rng):
    nan, plain = getattr(np, name), getattr(np, name.removeprefix("nan"))
    x = rng.normal(size=(3, 6))
    x[0, 1] = x[1, :4] = np.nan
    w = rng.normal(size=3)
    y, pull = bp.vjp(lambda x: nan(x, axis=1), x)
    np.testing.assert_allclose(y, nan(x, axis=1), rtol=1e-15)
    found = pull(w)[0]
    for k in range(3):
        there = ~np.isnan(x[k])
        expected = bp.vjp(plain, x[k][there])[1](w[k])[0]
        np.testing.assert_allclose(found[k][there], expected, rtol=1e-13, atol=1e-15)
        assert not found[k][~there].any()


@pytest.mark.parametrize("f", [np.nanmax, np.nanmin, np.nanvar, np.nanstd])
def test_rows_of_nans_only(f):
    x = np.array([[np.nan, np.nan], [1.0, 2.0]])
    with pytest.warns(RuntimeWarning):
        y, pull = bp.vjp(lambda x: f(x, axis=1), x)
    assert np.isnan(y[0])
    assert y[1] == f(x[1])
    assert not pull(np.array([0.0, 1.0]))[0][0].any()


def test_the_deviation_of_equal_elements_is_flat():
    x = np.array([0.1, np.nan, 0.1])
    np.testing.assert_array_equal(bp.grad(np.nanstd)(x), 0.0)
    where = np.array([True, False, True])
    y = np.array([0.1, 3.0, 0.1])
    np.testing.assert_array_equal(bp.grad(lambda y: np.std(y, where=where))(y), 0.0)


def test_extremes_of_some_elements(rng):
    x = np.array([3.0, 5.0, 4.0, 1.0])
    where = np.array([True, False, True, True])
    grad = bp.grad(lambda x: np.max(x, where=where, initial=0.0))
    np.testing.assert_array_equal(grad(x), [0, 0, 1, 0] if x[2] > x[0] else [1, 0, 0, 0])
    np.testing.assert_array_equal(bp.grad(lambda x: np.max(x, initial=9.0))(x), 0.0)
    np.testing.assert_array_equal(bp.grad(lambda x: np.min(x, initial=9.0))(x), [0, 0, 0, 1])
    with pytest.raises(ValueError, match="initial"):
        bp.grad(lambda x: np.max(x, where=where))(x)
    assert bp.vjp(lambda x: np.max(x, initial=2.0), np.zeros(0))[0] == 2.0


def test_what_replaces_nan_and_infinities_may_be_recorded():
    x = np.array([1.0, np.nan, np.inf, -np.inf, 4.0])

    def f(x, a):
        return np.nan_to_num(x, nan=a[0], posinf=a[1] * a[0], neginf=a[2])

    a = np.array([2.0, 3.0, 5.0])
    for g in (f, bp.compile(f)):
        for _ in range(2):
            np.testing.assert_array_equal(g(x, a), [1.0, 2.0, 6.0, 5.0, 4.0])
    weights = np.arange(1.0, 6.0)
    total = lambda x, a: np.sum(weights * f(x, a))
    for transform in (bp.grad(total, (0, 1)), bp.compile(bp.grad(total, (0, 1)))):
        for _ in range(2):
            of_x, of_a = transform(x, a)
            np.testing.assert_array_equal(of_x, [1.0, 0.0, 0.0, 0.0, 5.0])
            np.testing.assert_array_equal(of_a, [2.0 + 9.0, 6.0, 4.0])
    found = bp.value_and_grad(lambda x: np.sum(np.nan_to_num(x, nan=x[0])))(x[:2])
    np.testing.assert_array_equal(found[1], [2.0, 0.0])
