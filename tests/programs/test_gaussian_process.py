"""A Gaussian process with a length scale for each input (ARD), fitted by L-BFGS through a Cholesky
factor.

References: the derivative of the log marginal likelihood in closed form (Rasmussen and Williams,
Gaussian Processes for Machine Learning, eq. 5.9), and the fit that SciPy finds with that.
"""

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

import fastbp as bp


def kernel(X, lengths, amplitude):
    Z = X / lengths
    return amplitude**2 * np.exp(-0.5 * ((Z[:, None, :] - Z[None, :, :]) ** 2).sum(axis=-1))


def by_cholesky(theta, X, y):
    n, d = X.shape
    lengths, amplitude, noise = np.exp(theta[:d]), np.exp(theta[d]), np.exp(theta[d + 1])
    K = kernel(X, lengths, amplitude) + noise**2 * np.eye(n)
    L = np.linalg.cholesky(K)
    alpha = np.linalg.solve(L.T, np.linalg.solve(L, y))
    return 0.5 * y @ alpha + np.sum(np.log(np.diag(L))) + 0.5 * n * np.log(2 * np.pi)


def by_squares_of_sums(theta, X, y):
    """The distances by the binomial formula, noise added to the diagonal in place."""
    n = len(X)
    *log_lengths, log_amplitude, log_noise = theta
    Z = X * np.exp(-np.array(log_lengths))
    squares = np.sum(Z**2, axis=1)
    distances = squares[:, np.newaxis] + squares - 2 * Z @ Z.T
    K = np.exp(2 * log_amplitude - 0.5 * np.maximum(distances, 0))
    K[np.diag_indices_from(K)] += np.exp(2 * log_noise)
    _, logdet = np.linalg.slogdet(K)
    return 0.5 * (y @ np.linalg.inv(K) @ y + logdet + n * np.log(2 * np.pi))


def element_by_element(theta, X, y):
    n, d = X.shape
    K = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            r2 = 0.0
            for k in range(d):
                r2 += ((X[i, k] - X[j, k]) / np.exp(theta[k])) ** 2
            K[i, j] = K[j, i] = np.exp(2 * theta[d]) * np.exp(-r2 / 2)
        K[i, i] += np.exp(2 * theta[d + 1])
    L = np.linalg.cholesky(K)
    z = np.linalg.solve(L, y)
    return 0.5 * (z**2).sum() + np.log(L.diagonal()).sum() + 0.5 * n * np.log(2 * np.pi)


def formula(theta, X, y):
    """Value and gradient, eq. 2.30 and 5.9."""
    n, d = X.shape
    lengths, noise = np.exp(theta[:d]), np.exp(theta[d + 1])
    S = kernel(X, lengths, np.exp(theta[d]))
    K = S + noise**2 * np.eye(n)
    factor = scipy.linalg.cho_factor(K)
    alpha = scipy.linalg.cho_solve(factor, y)
    slopes = [S * (X[:, None, k] - X[None, :, k]) ** 2 / lengths[k] ** 2 for k in range(d)]
    slopes += [2 * S, 2 * noise**2 * np.eye(n)]
    inner = np.outer(alpha, alpha) - scipy.linalg.cho_solve(factor, np.eye(n))
    value = 0.5 * (y @ alpha + n * np.log(2 * np.pi)) + np.log(np.diag(factor[0])).sum()
    return value, np.array([-0.5 * np.sum(inner * slope) for slope in slopes])


def friedman(rng, n):
    """Five inputs, of which the last two say nothing."""
    X = rng.uniform(size=(n, 5))
    y = np.sin(np.pi * X[:, 0] * X[:, 1]) + 2 * (X[:, 2] - 0.5) ** 2
    return X, y - y.mean() + 0.05 * rng.standard_normal(n)


START = np.log([0.7, 0.7, 0.7, 0.7, 0.7, 1.0, 0.1])


@pytest.mark.parametrize(
    ("f", "n"), [(by_cholesky, 40), (by_squares_of_sums, 40), (element_by_element, 12)]
)
def test_the_gradient_is_the_formula(f, n, rng):
    X, y = friedman(rng, n)
    value, gradient = formula(START, X, y)
    found = bp.value_and_grad(bp.unmodified(f))(START, X, y)
    assert_allclose(f(START, X, y), value, rtol=1e-11)
    assert_allclose(found[0], value, rtol=1e-11)
    # Condition of K: at most n * amplitude^2 / noise^2.
    assert_allclose(
        found[1], gradient, rtol=0, atol=1e-16 * n / 0.1**2 * n * np.abs(gradient).max()
    )


def test_plain_numpy_is_enough_where_no_array_is_filled(rng):
    X, y = friedman(rng, 40)
    expected = formula(START, X, y)[1]
    assert_allclose(bp.grad(by_cholesky)(START, X, y), expected, rtol=0, atol=1e-11 * 40)


def test_fit(rng):
    X, y = friedman(rng, 60)
    options = {"maxiter": 200, "ftol": 1e-13, "gtol": 1e-6}
    found = minimize(
        bp.value_and_grad(by_cholesky), START, args=(X, y), jac=True, method="L-BFGS-B",
        bounds=[(-5, 5)] * START.size, options=options,
    )  # fmt: skip
    by_hand = minimize(
        formula, START, args=(X, y), jac=True, method="L-BFGS-B",
        bounds=[(-5, 5)] * START.size, options=options,
    )  # fmt: skip
    gradient = formula(found.x, X, y)[1]
    inside = np.abs(found.x) < 5
    assert np.abs(gradient[inside]).max() < 1e-3
    assert_allclose(found.fun, by_hand.fun, rtol=1e-8)
    assert_allclose(found.x[inside], by_hand.x[inside], rtol=1e-3)
    assert np.exp(found.x[3:5]).min() > 2 * np.exp(found.x[:3]).max()  # they say nothing
    assert_allclose(np.exp(found.x[6]), 0.05, rtol=0.5)


def with_scipy(theta, X, y):
    n, d = X.shape
    lengths, amplitude, noise = np.exp(theta[:d]), np.exp(theta[d]), np.exp(theta[d + 1])
    K = amplitude**2 * np.exp(-0.5 * cdist(X / lengths, X / lengths, "sqeuclidean"))
    K[np.diag_indices(n)] += noise**2
    factor = scipy.linalg.cho_factor(K, lower=True)
    return 0.5 * y @ scipy.linalg.cho_solve(factor, y) + np.log(np.diag(factor[0])).sum()


def test_what_has_no_rule_in_scipy_says_so(rng):
    X, y = friedman(rng, 8)
    with pytest.raises(bp.errors.NoRuleError, match=r"scipy\.spatial\.distance\.cdist"):
        bp.grad(with_scipy)(START, X, y)
