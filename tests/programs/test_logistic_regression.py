"""Logistic regression by `minimize(jac=, hess=)`, in the forms that people write it.

References: published estimates and standard errors, and iteratively reweighted least squares.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

import fastbp as bp
from fastbp.benchmarks import digits

# Space shuttle flights before Challenger: temperature at launch (F), and whether an O-ring was
# damaged. From the report of the Presidential Commission (1986), a work of the US government; the
# 23 flights as in Dalal, Fowlkes and Hoadley (1989), J. Am. Stat. Assoc. 84, 945.
TEMPERATURE = [66, 70, 69, 68, 67, 72, 73, 70, 57, 63, 70, 78, 67, 53, 67, 75, 70, 81, 76, 79, 75,
               76, 58]  # fmt: skip
DAMAGED = [0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1]


def with_a_sigmoid(w, X, y):
    p = 1 / (1 + np.exp(-(X @ w)))
    return -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p))


def with_labels_of_both_signs(w, X, y):
    margin = (2 * y - 1) * np.dot(X, w)
    return np.log(1 + np.exp(-margin)).sum()


def with_logaddexp(w, X, y):
    z = X @ w
    return np.logaddexp(0, z).sum() - y @ z


def row_by_row(w, X, y):
    total = 0
    for x_i, y_i in zip(X, y, strict=True):
        z = sum(x_ij * w_j for x_ij, w_j in zip(x_i, w, strict=True))
        if y_i:
            total += np.log(1 + np.exp(-z))
        else:
            total += np.log(1 + np.exp(z))
    return total


FORMS = [with_a_sigmoid, with_labels_of_both_signs, with_logaddexp, row_by_row]


@pytest.mark.parametrize("loss", FORMS)
def test_damage_by_temperature(loss):
    X = np.column_stack([np.ones(len(TEMPERATURE)), TEMPERATURE])
    y = np.array(DAMAGED)
    centre = X[:, 1].mean()
    X[:, 1] -= centre
    found = minimize(
        loss, np.zeros(2), args=(X, y), jac=bp.grad(loss), hess=bp.hessian(loss),
        method="trust-exact", options={"gtol": 1e-6},
    )  # fmt: skip
    assert found.success
    covariance = np.linalg.inv(bp.hessian(loss)(found.x, X, y))
    intercept = found.x[0] - found.x[1] * centre
    errors = np.sqrt([[1, -centre] @ covariance @ [1, -centre], covariance[1, 1]])
    # The numbers of the literature on these flights, to their last digit.
    assert_allclose([intercept, found.x[1]], [15.0429, -0.2322], rtol=0, atol=0.5e-4)
    assert_allclose(errors, [7.3786, 0.1082], rtol=0, atol=0.5e-4)
    assert_allclose(2 * found.fun, 20.315, rtol=0, atol=0.5e-3)


def reweighted_least_squares(X, y, penalty):
    w = np.zeros(X.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-X @ w))
        S = p * (1 - p)
        w = np.linalg.solve((X.T * S) @ X + penalty * np.eye(w.size), X.T @ (S * (X @ w) + y - p))
    return w


METHODS = {
    "trust-exact": {"gtol": 1e-6},
    "trust-ncg": {"gtol": 1e-6},
    "Newton-CG": {"xtol": 1e-9},
}


@pytest.mark.parametrize("loss", FORMS[:3])
@pytest.mark.parametrize("method", METHODS)
def test_threes_and_eights(loss, method):
    """Two of the digits by their 64 pixels, with a penalty."""
    data = digits.load()
    chosen = np.isin(data.labels, [3, 8])
    X = np.c_[np.ones(chosen.sum()), data.images[chosen] / 16.0]
    y = (data.labels[chosen] == 8).astype(float)
    penalty = 1.0

    def penalised(w):
        return loss(w, X, y) + 0.5 * penalty * w @ w

    expected = reweighted_least_squares(X, y, penalty)
    found = minimize(
        penalised, np.zeros(65), jac=bp.grad(penalised), hess=bp.hessian(penalised),
        method=method, options=METHODS[method],
    )  # fmt: skip
    # No curvature is below the penalty: that is how far the optimum can be.
    bound = np.linalg.norm(bp.grad(penalised)(found.x)) / penalty
    assert bound < 1e-5
    assert_allclose(found.x, expected, rtol=0, atol=bound + 1e-11)
    p = 1 / (1 + np.exp(-X @ expected))
    curvature = (X.T * (p * (1 - p))) @ X + penalty * np.eye(65)
    assert_allclose(bp.hessian(penalised)(expected), curvature, rtol=0, atol=1e-11)
