"""Fits, roots, sets and histograms where samples of the table do not reach."""

import warnings

import numpy as np
import pytest

import fastbp as bp
from fastbp.errors import NoRuleError
from fastbp.testing import check_grads

X = np.array([0.5, -1.0, 2.0, 3.5])


def test_roots_at_zero():
    """Zeros behind the coefficients are roots, which move as others do."""
    p = np.array([1.0, -1.5, 0.3, 0.0])
    z = np.roots(p)
    slope = np.polyval(np.polyder(p), z)
    expected = -np.vander(z, 4) / slope[:, None]
    np.testing.assert_allclose(bp.jacobian(np.roots)(p), expected, rtol=1e-13)


def test_complex_roots_come_in_pairs(rng):
    p = np.array([1.0, 0.5, 2.0, 1.0])
    check_grads(lambda p: np.abs(np.roots(p)) ** 2, (p,), order=2)
    back = lambda z: np.poly(np.roots(np.poly(z)))
    np.testing.assert_allclose(bp.jacobian(back)(X), bp.jacobian(np.poly)(X), atol=1e-11)


def test_poly_of_a_matrix(rng):
    a = np.diag([1.0, 3.0, 6.0]) + 0.3 * rng.normal(size=(3, 3))
    g = bp.grad(lambda a: np.poly(a)[-1])(a)
    np.testing.assert_allclose(g, -np.linalg.det(a) * np.linalg.inv(a).T, rtol=1e-11)
    assert np.poly(bp.variable(np.zeros(0))) == 1.0


def test_polyfit_by_weights(rng):
    x, y, w = np.linspace(0.0, 1.0, 6), rng.normal(size=6), rng.uniform(0.5, 2.0, 6)
    check_grads(lambda x, y, w: np.polyfit(x, y, 2, w=w), (x, y, w), order=2)
    c, cov = np.polyfit(bp.variable(x), y, 1, w=w, cov=True)
    for found, expected in zip((c, cov), np.polyfit(x, y, 1, w=w, cov=True), strict=True):
        np.testing.assert_allclose(found.value, expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: np.polyfit(x, X, -1), ValueError),
        (lambda x: np.polyfit(x, X[:2], 1), TypeError),
        (lambda x: np.polyfit(x, X, 1, w=np.ones(2)), TypeError),
        (lambda x: np.polyfit(x, X, 3, cov=True), ValueError),
        (lambda x: np.poly(np.stack([x, x])), ValueError),
        (lambda x: np.roots(np.stack([x, x])), ValueError),
    ],
)
def test_errors(call, error):
    with pytest.raises(error):
        call(bp.variable(X))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(error):
            call(X)


def test_a_poor_fit_warns():
    with pytest.warns(np.exceptions.RankWarning):
        np.polyfit(bp.variable(np.ones(4)), X, 2)


# ---- sets


def test_sets_take_elements():
    y = [2.0, 0.5, 7.0]
    x = np.append(X, X[1])
    jacobian = bp.jacobian(lambda x: np.setdiff1d(x, y))(x)
    np.testing.assert_array_equal(jacobian, [[0, 0.5, 0, 0, 0.5], [0, 0, 0, 1, 0]])
    jacobian = bp.jacobian(lambda x: np.setxor1d(x, y))(X)
    np.testing.assert_array_equal(jacobian, [[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    with pytest.raises(NoRuleError, match=r"write numpy.unique\(x\[numpy.isin\(x, y\)\]\)"):
        np.intersect1d(bp.variable(X), y)
    value = bp.grad(lambda x: np.sum(np.unique(x[np.isin(x, y)]) ** 2))(X)
    np.testing.assert_array_equal(value, [1.0, 0.0, 4.0, 0.0])


# ---- histograms


def test_counts_are_constants(rng):
    counts, edges = np.histogram(bp.variable(X), [0.0, 1.0, 4.0])
    np.testing.assert_array_equal(counts, [1, 2])
    assert type(counts) is np.ndarray
    assert type(edges) is np.ndarray
    x = np.append(X, [np.nan, 4.0, -7.0])  # on the last edge, and outside
    with np.errstate(invalid="ignore"):
        counts, _ = np.histogram(bp.variable(x), [0.0, 1.0, 4.0])
    np.testing.assert_array_equal(counts, [1, 3])


def test_edges_of_equal_numbers():
    jacobian = bp.jacobian(lambda x: np.histogram_bin_edges(x, 2))(np.full(4, 2.0))
    np.testing.assert_array_equal(jacobian, np.full((3, 4), 0.25))


def test_complex_weights(rng):
    w = rng.normal(size=4) + 1j * rng.normal(size=4)
    check_grads(lambda w: np.histogram(X, 2, weights=w)[0], (w,), order=1)
