"""A Gaussian mixture by maximum likelihood: plain SciPy's `logsumexp`, and the sum by hand.

The references are formulas of the field: the gradient is that of the complete data, weighted with
the responsibilities (Fisher's identity), and an optimum is a fixed point of EM.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.special import logsumexp

import fastbp as bp
from fastbp.benchmarks import digits

K, D = 3, 2


def log_joint(theta, x):
    """Log of weight times density of every component; the factors are those of the precisions."""
    logits, means, factors = np.split(theta, [K, K + K * D])
    means = means.reshape(K, D)
    factors = factors.reshape(K, -1)
    out = np.zeros((len(x), K))
    for k in range(K):
        L = np.zeros((D, D))
        L[np.tril_indices(D)] = factors[k]
        log_diagonal = np.diag(L).copy()
        L[np.diag_indices(D)] = np.exp(log_diagonal)
        z = (x - means[k]) @ L
        out[:, k] = log_diagonal.sum() - 0.5 * (z**2).sum(axis=1)
    return out + logits - logsumexp(logits) - 0.5 * D * np.log(2 * np.pi)


def negative_log_likelihood(theta, x):
    return -np.mean(logsumexp(log_joint(theta, x), axis=1))


def by_hand(theta, x):
    log_p = log_joint(theta, x)
    peak = log_p.max(axis=1, keepdims=True)
    return -np.mean(peak[:, 0] + np.log(np.exp(log_p - peak).sum(axis=1)))


def one_dimension(theta, x):
    """As it stands in every tutorial: broadcast, no loop, no array to be filled."""
    logits, mu, log_sigma = theta[:K], theta[K : 2 * K], theta[2 * K :]
    log_w = logits - logsumexp(logits)
    z = (x[:, None] - mu) / np.exp(log_sigma)
    log_p = log_w - log_sigma - 0.5 * np.log(2 * np.pi) - 0.5 * z**2
    return -np.mean(logsumexp(log_p, axis=1))


def parts(theta):
    """Weights, means and factors of the precisions, in NumPy."""
    logits, means, factors = np.split(theta, [K, K + K * D])
    L = np.zeros((K, D, D))
    for k, factor in enumerate(factors.reshape(K, -1)):
        L[k][np.tril_indices(D)] = factor
        L[k][np.diag_indices(D)] = np.exp(np.diag(L[k]))
    weights = np.exp(logits - logits.max())
    return weights / weights.sum(), means.reshape(K, D), L


def responsibilities(theta, x):
    weights, means, L = parts(theta)
    p = np.array([
        w * np.prod(np.diag(f)) * np.exp(-0.5 * np.sum(((x - m) @ f) ** 2, axis=1))
        for w, m, f in zip(weights, means, L, strict=True)
    ]).T  # fmt: skip
    return p / p.sum(axis=1, keepdims=True)


def fisher(theta, x):
    """The gradient in closed form."""
    weights, means, L = parts(theta)
    r = responsibilities(theta, x)
    n = len(x)
    by_means, by_factors = [], []
    for k in range(K):
        c = x - means[k]
        by_means.append(-(r[:, k] @ c) @ L[k] @ L[k].T / n)
        by_factor = (r[:, k, None] * c).T @ c @ L[k] / n
        i = np.diag_indices(D)
        by_factor[i] = by_factor[i] * L[k][i] - r[:, k].mean()
        by_factors.append(by_factor[np.tril_indices(D)])
    return np.concatenate([weights - r.mean(axis=0), np.ravel(by_means), np.ravel(by_factors)])


def em_step(theta, x):
    r = responsibilities(theta, x)
    means = (r.T @ x) / r.sum(axis=0)[:, None]
    factors = []
    for k in range(K):
        c = x - means[k]
        L = np.linalg.cholesky(np.linalg.inv((r[:, k, None] * c).T @ c / r[:, k].sum()))
        L[np.diag_indices(D)] = np.log(np.diag(L))
        factors.append(L[np.tril_indices(D)])
    return np.concatenate([np.log(r.mean(axis=0)), means.ravel(), np.ravel(factors)])


@pytest.fixture(scope="module")
def data():
    """Two principal components of the images of three digits, and which digit it is."""
    both = digits.load()
    images, labels = both.images, both.labels
    shown = np.isin(labels, [0, 4, 6])
    images, labels = images[shown].astype(float), labels[shown]
    images -= images.mean(axis=0)
    x = images @ np.linalg.svd(images, full_matrices=False)[2][:D].T
    return x / x.std(), labels


@pytest.fixture
def start(data, rng):
    x, _ = data
    means = x[rng.choice(len(x), K, replace=False)]
    return np.concatenate([np.zeros(K), means.ravel(), np.zeros(K * D * (D + 1) // 2)])


@pytest.mark.parametrize("f", [negative_log_likelihood, by_hand])
def test_value_and_gradient(f, data, start):
    x, _ = data
    value, gradient = bp.value_and_grad(bp.unmodified(f))(start, x)
    assert_allclose(value, f(start, x), rtol=1e-14)
    assert_allclose(gradient, fisher(start, x), rtol=1e-12, atol=1e-14)


def test_the_fit_is_a_fixed_point_of_em(data, start):
    x, labels = data
    f = bp.unmodified(negative_log_likelihood)
    fit = minimize(bp.value_and_grad(f), start, args=(x,), jac=True, method="BFGS", tol=1e-8)
    em = start
    for _ in range(200):
        em = em_step(em, x)
    assert_allclose(fit.fun, negative_log_likelihood(em, x), rtol=1e-10)
    assert_allclose(fit.x[K:], em[K:], rtol=1e-5, atol=1e-5)
    assert_allclose(parts(fit.x)[0], parts(em)[0], rtol=1e-5)
    # The components are the digits: each has its own.
    found = responsibilities(fit.x, x).argmax(axis=1)
    table = np.array([[np.sum((labels == d) & (found == k)) for k in range(K)] for d in (0, 4, 6)])
    assert table.max(axis=1).sum() > 0.9 * len(x)
    assert len(set(table.argmax(axis=1))) == K


def test_standard_errors_by_the_hessian(data, start):
    """The observed information is the Hessian: differences of the gradient in closed form."""
    x, _ = data
    H = bp.hessian(bp.unmodified(negative_log_likelihood))(start, x)
    h = 1e-5
    columns = [(fisher(start + h * e, x) - fisher(start - h * e, x)) / (2 * h) for e in np.eye(18)]
    # Third derivatives are of the size of the Hessian's elements: h**2, and rounding / h.
    assert_allclose(H, np.transpose(columns), rtol=1e-7, atol=1e-8)


def test_one_dimension(data):
    x = data[0][:, 0]
    theta = np.array([0.1, -0.2, 0.3, -1.0, 0.0, 1.0, -0.3, 0.1, 0.0])
    value, gradient = bp.value_and_grad(bp.unmodified(one_dimension))(theta, x)
    assert_allclose(value, one_dimension(theta, x), rtol=1e-14)
    h = 1e-30

    def likelihood(t):  # the sum itself, which takes complex steps
        w = np.exp(t[:K])
        z = (x[:, None] - t[K : 2 * K]) / np.exp(t[2 * K :])
        p = w / w.sum() / np.exp(t[2 * K :]) * np.exp(-0.5 * z**2)
        return -np.mean(np.log(p.sum(axis=1)))

    expected = [likelihood(theta + 1j * h * e).imag / h for e in np.eye(9)]
    assert_allclose(gradient, expected, rtol=1e-12, atol=1e-15)
