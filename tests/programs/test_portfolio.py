"""Portfolios under `trust-constr`: linear and nonlinear constraints with exact derivatives.

The references are the efficient frontier in closed form (Merton 1972), and SciPy's SLSQP, which is
another algorithm and takes differences here.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import Bounds, LinearConstraint, NonlinearConstraint, minimize

import fastbp as bp

N = 8


@pytest.fixture
def market(rng):
    """Mean returns, and covariances by three factors, per year."""
    loads = 0.15 * rng.standard_normal((N, 3))
    cov = loads @ loads.T + np.diag(rng.uniform(0.01, 0.04, N))
    return rng.uniform(0.02, 0.12, N), cov


def variance(w, cov):
    return w @ cov @ w


def solve(f, constraints, start, args=(), bounds=None, tol=1e-10):
    result = minimize(
        f, start, args=args, jac=bp.grad(f), hess=bp.hessian(f), method="trust-constr",
        constraints=constraints, bounds=bounds,
        options={"gtol": tol, "xtol": 1e-12, "barrier_tol": tol, "maxiter": 500},
    )  # fmt: skip
    assert result.constr_violation < 1e-10
    return result


def test_least_variance_for_a_return(market):
    mean, cov = market
    target = 0.08
    constraint = LinearConstraint(np.array([np.ones(N), mean]), [1, target], [1, target])
    found = solve(variance, constraint, np.full(N, 1 / N), args=(cov,))
    # The KKT system, which is linear.
    A = np.array([np.ones(N), mean])
    kkt = np.block([[2 * cov, A.T], [A, np.zeros((2, 2))]])
    expected = np.linalg.solve(kkt, np.r_[np.zeros(N), 1, target])[:N]
    assert_allclose(found.x, expected, rtol=0, atol=1e-8)


def test_least_variance_by_slsqp(market):
    mean, cov = market
    constraints = [
        {"type": "eq", "fun": lambda w: sum(w) - 1, "jac": bp.grad(lambda w: sum(w) - 1)},
        {
            "type": "ineq",
            "fun": lambda w: w @ mean - 0.08,
            "jac": bp.grad(lambda w: w @ mean - 0.08),
        },
    ]
    found = minimize(
        variance, np.full(N, 1 / N), args=(cov,), jac=bp.grad(variance), method="SLSQP",
        constraints=constraints, tol=1e-14,
    )  # fmt: skip
    one = np.ones(N)
    A = np.array([one, mean])
    expected = np.linalg.solve(
        np.block([[2 * cov, A.T], [A, np.zeros((2, 2))]]), np.r_[np.zeros(N), 1, 0.08]
    )[:N]
    assert_allclose(found.x, expected, rtol=0, atol=1e-6)


def test_largest_return_for_a_risk(market):
    mean, cov = market
    risk = 0.12

    def earned(w):
        return -(mean @ w)

    def limits(w):
        return np.array([np.sqrt(w @ cov @ w), np.sum(w)])

    f = bp.unmodified(limits)
    constraint = NonlinearConstraint(
        f, [-np.inf, 1], [risk, 1], jac=bp.jacobian(f),
        hess=bp.hessian(lambda w, v: v @ f(w)),
    )  # fmt: skip
    found = solve(earned, constraint, np.full(N, 1 / N))
    # Merton's frontier is a hyperbola: from the portfolio of least variance along one direction.
    inv = np.linalg.inv(cov)
    one = np.ones(N)
    a, b, c = one @ inv @ one, one @ inv @ mean, mean @ inv @ mean
    direction = inv @ (mean - b / a)
    expected = inv @ one / a + direction * np.sqrt((risk**2 - 1 / a) / (c - b**2 / a))
    # SciPy's barrier stops inside of the limit.
    assert_allclose(found.x, expected, rtol=0, atol=1e-5)


def test_equal_contributions_to_the_risk(market):
    """Risk parity: all w_i (C w)_i are equal."""
    _, cov = market

    def spread(w):
        contributions = w * (cov @ w)
        total = 0.0
        for i in range(N):
            for j in range(i):
                total += (contributions[i] - contributions[j]) ** 2
        return 1e4 * total

    constraint = LinearConstraint(np.ones(N), 1, 1)
    found = solve(spread, constraint, np.full(N, 1 / N), bounds=Bounds(0, 1))
    # Spinu (2013): the same up to scale is the minimum of a convex function, by its Newton steps.
    y = np.full(N, 1.0)
    for _ in range(50):
        g = cov @ y - 1 / y
        H = cov + np.diag(1 / y**2)
        step = np.linalg.solve(H, g)
        y = y - step / (1 + np.sqrt(step @ H @ step))
    assert_allclose(found.x, y / y.sum(), rtol=0, atol=1e-6)


def test_growth_with_costs(market, rng):
    """Largest growth of the wealth (Kelly), costs of the trade, two limits, long only."""
    mean, cov = market
    returns = rng.multivariate_normal(mean, cov, 250)
    before = np.full(N, 1 / N)
    sectors = np.array([0, 0, 0, 1, 1, 2, 2, 2])

    def growth(w):
        trades = w - before
        cost = 0.002 * np.sum(np.sqrt(trades**2 + 1e-6))
        return -np.mean(np.log(1 + returns @ w)) + cost

    def limits(w):
        out = np.zeros(3)
        out[0] = np.sqrt(w @ cov @ w)
        out[1] = -np.sum(w * np.log(w + 1e-3))  # entropy: diversification
        out[2] = np.sum((w - before) ** 2)
        return out

    f = bp.unmodified(limits)
    w, v = np.full(N, 0.1), np.array([1.0, 2.0, 3.0])
    risk = np.sqrt(w @ cov @ w)
    assert_allclose(f(w), limits(w), rtol=1e-14)
    by_hand = [cov @ w / risk, -np.log(w + 1e-3) - w / (w + 1e-3), 2 * (w - before)]
    assert_allclose(bp.jacobian(f)(w), by_hand, rtol=1e-13)
    entropy = -1 / (w + 1e-3) - 1e-3 / (w + 1e-3) ** 2
    by_hand = (cov - np.outer(cov @ w, cov @ w) / risk**2) / risk + np.diag(2 * entropy + 3 * 2)
    assert_allclose(bp.hessian(lambda w, v: v @ f(w))(w, v), by_hand, rtol=1e-12, atol=1e-13)

    lower, upper = np.array([0, 1.7, 0]), np.array([0.16, np.inf, 0.1])
    constraints = [
        LinearConstraint(np.ones(N), 1, 1),
        LinearConstraint((sectors == np.arange(3)[:, None]).astype(float), 0, 0.5),
        NonlinearConstraint(
            f, lower, upper, jac=bp.jacobian(f), hess=bp.hessian(lambda w, v: v @ f(w))
        ),
    ]
    found = solve(growth, constraints, before, bounds=Bounds(0, 1), tol=1e-8)
    other = minimize(
        growth, before, method="SLSQP", bounds=Bounds(0, 1), tol=1e-12,
        constraints=[*constraints[:2], NonlinearConstraint(limits, lower, upper)],
    )  # fmt: skip
    assert_allclose(found.fun, other.fun, rtol=0, atol=1e-5)
    assert_allclose(found.x, other.x, rtol=0, atol=1e-3)
