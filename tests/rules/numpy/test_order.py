"""Sorting and what is chosen by an order: ties, NaNs, long arrays, what is refused."""

import numpy as np
import pytest

import fastbp as bp

from ... import versions


def pulled(f, x, g):
    return bp.vjp(f, x)[1](g)[0]


def test_equal_elements_share_equally():
    x = np.array([2.0, 1.0, 2.0, 3.0, 2.0, 1.0])
    g = np.array([1.0, 2.0, 3.0, 4.0, 8.0, 16.0])
    expected = [5.0, 1.5, 5.0, 16.0, 5.0, 1.5]
    np.testing.assert_array_equal(pulled(np.sort, x, g), expected)
    np.testing.assert_array_equal(pulled(lambda x: np.sort(x, kind="stable"), x, g), expected)
    np.testing.assert_array_equal(bp.jvp(np.sort, (x,), (g,))[1], [9, 9, 4, 4, 4, 4])
    np.testing.assert_array_equal(pulled(lambda x: np.partition(x, 5), x, g)[3], 16.0)
    np.testing.assert_array_equal(
        pulled(np.unique, x, np.array([1.0, 3.0, 5.0])), [1.0, 0.5, 1.0, 5.0, 1.0, 0.5]
    )


def test_the_largest_of_a_sort_is_the_maximum(rng):
    x = np.round(rng.normal(size=(5, 40)))
    for k, extreme in ((-1, np.max), (0, np.min)):
        found = bp.grad(lambda x, k=k: np.sum(np.sort(x, axis=1)[:, k]))(x)
        expected = bp.grad(lambda x, e=extreme: np.sum(e(x, axis=1)))(x)
        np.testing.assert_allclose(found, expected, rtol=1e-15)


def test_values_keep_their_bits_where_elements_are_equal():
    x = np.array([0.1, 0.1, 0.1, -0.0])
    np.testing.assert_array_equal(bp.vjp(np.sort, x)[0], [-0.0, 0.1, 0.1, 0.1])


def test_nans_are_last_and_share():
    x = np.array([np.nan, 1.0, np.nan, -1.0])
    y, pull = bp.vjp(np.sort, x)
    np.testing.assert_array_equal(y, [-1.0, 1.0, np.nan, np.nan])
    np.testing.assert_array_equal(pull(np.array([1.0, 2.0, 3.0, 5.0]))[0], [4.0, 2.0, 4.0, 1.0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("axis", [0, 1, None])
def test_long_arrays(rng, axis, dtype):
    x = (rng.permutation(15_000).reshape(3000, 5) / 7.0).astype(dtype)
    g = rng.normal(size=x.size if axis is None else x.shape).astype(dtype)
    found = pulled(lambda x: np.sort(x, axis), x, g)
    assert found.dtype == dtype
    order = np.argsort(x, axis, kind="stable")
    expected = np.empty_like(g)
    np.put_along_axis(expected, order, g, axis)
    np.testing.assert_array_equal(found, expected.reshape(x.shape))


def test_methods_sort_in_place(rng):
    x = rng.normal(size=(3, 4))

    def f(x):
        y = x * 1.0
        assert y.sort(axis=0) is None
        return np.sum(y * np.arange(12.0).reshape(3, 4))

    expected = bp.grad(lambda x: np.sum(np.sort(x, 0) * np.arange(12.0).reshape(3, 4)))(x)
    np.testing.assert_array_equal(bp.grad(f)(x), expected)


def test_second_derivatives_see_the_same_order(rng):
    x = rng.normal(size=6)
    w = np.arange(6.0)
    found = bp.hessian(lambda x: np.sum(w * np.sort(x) ** 2))(x)
    order = np.argsort(x)
    expected = np.zeros((6, 6))
    expected[order, order] = 2.0 * w
    np.testing.assert_allclose(found, expected, rtol=1e-15)


# ---- medians and quantiles


def test_a_median_of_equal_elements_shares():
    x = np.array([1.0, 3.0, 3.0, 3.0, 5.0, 7.0])
    np.testing.assert_allclose(bp.grad(np.median)(x), [0, 1 / 3, 1 / 3, 1 / 3, 0, 0], rtol=1e-15)
    np.testing.assert_array_equal(bp.grad(np.median)(x[3:]), [0, 1, 0])
    np.testing.assert_array_equal(bp.grad(np.median)(x[2:]), [0.25, 0.25, 0.5, 0])


@pytest.mark.parametrize("function", [np.median, lambda x, axis: np.quantile(x, 0.3, axis)])
def test_nans_are_what_is_returned(function):
    x = np.array([[1.0, np.nan, 2.0], [4.0, 6.0, 5.0]])
    y, pull = bp.vjp(lambda x: function(x, 1), x)
    assert np.isnan(y[0])
    assert y[1] == function(x[1], 0)
    np.testing.assert_array_equal(pull(np.array([1.0, 0.0]))[0], [[0, 1, 0], [0, 0, 0]])


@pytest.mark.parametrize("name", ["nanmedian", "nanquantile", "nanpercentile"])
def test_nans_are_left_out(name, rng):
    nan, plain = getattr(np, name), getattr(np, name.removeprefix("nan"))
    args = () if name == "nanmedian" else (0.3,)
    x = rng.normal(size=(4, 7))
    x[0, 1] = x[2, :5] = np.nan
    w = rng.normal(size=4)
    y, pull = bp.vjp(lambda x: nan(x, *args, axis=1), x)
    found = pull(w)[0]
    np.testing.assert_array_equal(y, nan(x, *args, axis=1))
    for k in range(4):
        there = ~np.isnan(x[k])
        expected = bp.vjp(lambda r: plain(r, *args), x[k][there])[1](w[k])[0]
        np.testing.assert_allclose(found[k][there], expected, rtol=1e-14)
        assert not found[k][~there].any()


def test_rows_of_nans_only():
    x = np.array([[np.nan, np.nan], [1.0, 2.0]])
    with pytest.warns(RuntimeWarning, match="All-NaN"):
        y, pull = bp.vjp(lambda x: np.nanmedian(x, axis=1), x)
    np.testing.assert_array_equal(y, [np.nan, 1.5])
    np.testing.assert_array_equal(pull(np.array([0.0, 1.0]))[0], [[0, 0], [0.5, 0.5]])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("q", [0.3, np.float64(0.3), np.float32(0.3), [0.3, 0.4], 0, 1])
def test_quantiles_have_numpys_dtype(q, dtype):
    x = np.array([3.0, 1.0, 2.0, 7.0], dtype)
    expected = np.quantile(x, q)
    y, pull = bp.vjp(lambda x: np.quantile(x, q), x)
    assert y.dtype == expected.dtype
    ulps = 0.0 if versions.has("numpy 2.4") else 1.0
    np.testing.assert_allclose(y, expected, rtol=ulps * np.finfo(expected.dtype).eps)
    assert pull(np.ones_like(y))[0].dtype == dtype


def test_the_slope_by_q(rng):
    x = np.sort(rng.normal(size=5))
    for method, n in (("linear", 4), ("hazen", 5), ("weibull", 6), ("median_unbiased", 16 / 3)):
        found = bp.grad(lambda q, m=method: np.quantile(x, q, method=m))(0.4)
        at = np.quantile(np.arange(5.0), 0.4, method=method)
        low = int(at)
        np.testing.assert_allclose(found, n * (x[low + 1] - x[low]), rtol=1e-12)
    with pytest.warns(bp.errors.UnconnectedWarning):
        assert bp.grad(lambda q: np.quantile(x, q, method="lower"))(0.4) == 0.0
    assert bp.grad(lambda q: np.quantile(x, q, method="weibull"))(0.01) == 0.0  # the smallest


@pytest.mark.parametrize(
    "method",
    "linear hazen weibull interpolated_inverted_cdf median_unbiased normal_unbiased".split(),
)
@pytest.mark.parametrize("q", [0.0, 0.3, 0.5, 1.0])
def test_the_slope_of_a_quantile_at_an_element_is_that_of_a_line_beside_it(method, q):
    x = np.array([0.7, 0.1, 0.4, 1.9, 1.2])
    here = np.quantile(x, q, method=method)
    beside = [
        (np.quantile(x, p, method=method) - here) / (p - q)
        for p in (q - 1e-6, q + 1e-6)
        if 0.0 <= p <= 1.0
    ]
    for f, scale in ((np.quantile, 1.0), (np.nanquantile, 1.0), (np.percentile, 100.0)):
        value, slope = bp.value_and_grad(lambda q, f=f: f(x, q, method=method))(q * scale)
        assert abs(value - here) <= 1e-15
        assert np.isclose(slope * scale, beside, rtol=1e-6, atol=1e-9).any(), (slope, beside)
        assert bp.jvp(lambda q, f=f: f(x, q, method=method), (q * scale,), (1.0,))[1] == slope
