"""Convolution, interpolation, differences, polynomials: special points and long operands."""

import numpy as np
import pytest

import fastbp as bp
import fastbp.numpy as fnp


@pytest.mark.parametrize("mode", ["full", "same", "valid", 0, 1, 2])
@pytest.mark.parametrize(("n", "m"), [(7, 3), (3, 8), (5, 5), (1, 4), (6, 2)])
@pytest.mark.parametrize("function", [np.convolve, np.correlate])
def test_modes_of_convolutions_are_numpys(function, n, m, mode, rng):
    a, v = rng.normal(size=n), rng.normal(size=m)
    g = rng.normal(size=function(a, v, mode).size)
    y, pull = bp.vjp(lambda a, v: function(a, v, mode), a, v)
    np.testing.assert_allclose(y, function(a, v, mode), rtol=1e-14, atol=1e-15)
    columns = np.array([function(e, v, mode) for e in np.eye(n)])
    rows = np.array([function(a, e, mode) for e in np.eye(m)])
    for found, expected in zip(pull(g), (columns @ g, rows @ g), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)


def test_what_convolve_refuses():
    x = bp.variable(np.ones(3))
    with pytest.raises(ValueError, match="empty"):
        np.convolve(x, [])
    with pytest.raises(ValueError, match="no vectors"):
        np.convolve(x, np.ones((2, 2)))


def test_interp_at_knots_and_outside():
    xp, fp = np.array([0.0, 1.0, 3.0]), np.array([2.0, 4.0, -2.0])
    x = np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0])
    found = bp.vjp(lambda x: np.interp(x, xp, fp), x)
    np.testing.assert_array_equal(found[0], np.interp(x, xp, fp))
    np.testing.assert_array_equal(found[1](np.ones(7))[0], [0, 2, 2, -3, -3, -3, 0])
    by_fp = bp.grad(lambda fp: np.sum(np.interp(x, xp, fp)))(fp)
    np.testing.assert_allclose(by_fp, [2.5, 2.0, 2.5], rtol=1e-15)
    one = bp.vjp(lambda fp: np.interp(x, [1.0], fp), np.array([5.0]))
    np.testing.assert_array_equal(one[0], 5.0)
    np.testing.assert_array_equal(one[1](np.ones(7))[0], 7.0)


def test_interp_at_jumps():
    """A knot is there twice: its last value holds, at the last knot too, as in NumPy."""
    xp, fp = np.array([0.0, 0.0, 1.0, 1.0, 2.0, 2.0]), np.arange(6.0)
    x = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, -1.0])
    found, pull = bp.vjp(np.interp, x, xp, fp)
    np.testing.assert_array_equal(found, np.interp(x, xp, fp))
    by_x, _, by_fp = pull(np.ones(7))
    np.testing.assert_array_equal(by_x, [1, 1, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(by_fp, [1, 1.5, 0.5, 1.5, 0.5, 2])
    found = np.interp(x, 0.0 * xp, bp.variable(fp))
    np.testing.assert_array_equal(found.value, np.interp(x, 0.0 * xp, fp))


def test_the_gradient_of_gradient_is_that_of_its_matrix(rng):
    h = np.cumsum(rng.uniform(0.5, 1.0, 6))
    for args, order in (((), 1), ((0.25,), 2), ((h,), 1), ((h,), 2)):
        matrix = np.array([np.gradient(e, *args, edge_order=order) for e in np.eye(6)]).T
        f = rng.normal(size=6)
        found = bp.jacobian(lambda f, a=args, o=order: np.gradient(f, *a, edge_order=o))(f)
        np.testing.assert_allclose(found, matrix, rtol=1e-13, atol=1e-14)


def test_unwrapped_phases_move_with_the_wrapped_ones(rng):
    p = np.array([0.1, 3.0, -3.0, 3.1, 0.0])
    np.testing.assert_array_equal(bp.jacobian(np.unwrap)(p), np.eye(5))
    found = bp.grad(lambda t: np.sum(np.unwrap(bp.variable(p), period=t)))(2 * np.pi)
    np.testing.assert_allclose(found, np.sum(np.rint((np.unwrap(p) - p) / (2 * np.pi))))


def test_polynomials_with_zeros(rng):
    x = np.array([0.0, 2.0])
    by_x = bp.jacobian(lambda x: np.vander(x, 4))(x)
    np.testing.assert_array_equal(by_x[0, :, 0], [0, 0, 1, 0])
    p, q = np.array([0.0, 1.0, 2.0]), np.array([3.0, 1.0])
    y, pull = bp.vjp(np.polymul, p, q)
    np.testing.assert_array_equal(y, np.polymul(p, q))
    np.testing.assert_array_equal(pull(np.ones(3))[1], [3.0, 3.0])


def test_correlations_are_one_on_the_diagonal(rng):
    x = rng.normal(size=(3, 8))
    y, pull = bp.vjp(np.corrcoef, x)
    np.testing.assert_allclose(y, np.corrcoef(x), rtol=1e-14)
    np.testing.assert_allclose(pull(np.eye(3))[0], 0.0, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize(("n", "m"), [(20_000, 300), (300, 20_000), (4_000, 3_000), (3_000, 2_900)])
def test_long_convolutions_have_the_derivatives_of_short_ones(n, m, mode, dtype, rng):
    a, v = rng.normal(size=n).astype(dtype), rng.normal(size=m).astype(dtype)
    g = rng.normal(size=np.convolve(a, v, mode).size).astype(dtype)
    found = bp.vjp(lambda a, v: np.convolve(a, v, mode), a, v)[1](g)
    start = {"full": 0, "same": (min(n, m) - 1) // 2, "valid": min(n, m) - 1}[mode]
    full = np.zeros(n + m - 1)
    full[start : start + g.size] = g
    exact = np.convolve(full, v[::-1], "valid"), np.convolve(full, a[::-1], "valid")
    for x, expected in zip(found, exact, strict=True):
        assert x.dtype == dtype
        eps = np.finfo(dtype).eps
        # Each is a sum of min(n, m) to max(n, m) products of normal numbers.
        np.testing.assert_allclose(x, expected, rtol=0, atol=30 * eps * np.sqrt(max(n, m)))


def test_long_convolutions_keep_what_is_small_beside_what_is_large(rng):
    a, v = np.ones(40_000), rng.normal(size=400)
    g = rng.normal(size=40_399) * np.where(np.arange(40_399) < 20_000, 1.0, 1e-12)
    found = bp.vjp(lambda a: np.convolve(a, v), a)[1](g)[0]
    expected = np.convolve(g, v[::-1], "valid")
    np.testing.assert_allclose(found[25_000:], expected[25_000:], rtol=0, atol=1e-24)


def test_long_convolutions_with_nans_are_plain_ones(rng):
    a, v, g = rng.normal(size=20_000), rng.normal(size=400), rng.normal(size=20_399)
    g[50] = np.nan
    found = bp.vjp(lambda a: np.convolve(a, v), a)[1](g)[0]
    assert np.isnan(found[:51]).all()
    assert np.isfinite(found[51:]).all()


def test_variables_are_found_in_every_argument():
    """NumPy looks for them among the first arguments of a function only."""
    x, xp, fp = np.array([-0.5, 0.25, 7.5]), np.array([0.0, 0.6, 1.5]), np.array([1.0, 3.0, 2.0])
    assert bp.grad(lambda v: fnp.sum(fnp.interp(x, xp, fp, v)))(5.0) == 1.0
    assert bp.grad(lambda v: fnp.max(x, initial=v))(9.0) == 1.0
    assert bp.grad(lambda v: fnp.sum(fnp.select([x < 0.0], [x], v)))(9.0) == 2.0
    # Between the last point and the first one of the next period.
    found = bp.grad(lambda p: fnp.interp(7.8, xp, fp, period=p))(2.0)
    low, high = (np.interp(7.8, xp, fp, period=2.0 + h) for h in (-1e-6, 1e-6))
    assert abs(found - (high - low) / 2e-6) <= 1e-8
