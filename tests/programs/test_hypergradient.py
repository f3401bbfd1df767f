"""Hyperparameters by the gradient of the validation error, through the solver of the inner problem.

Ridge regression, whose solution, validation error and hypergradient have closed forms; the inner
problem is solved by steps that are recorded, by `np.linalg.solve`, by conjugate gradients behind a
rule of the user's, and, for a smoothing spline, by `bp.sparse.solve`.
"""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from scipy.optimize import minimize, minimize_scalar
from scipy.sparse.linalg import LinearOperator, cg

import fastbp as bp

P = 6


@pytest.fixture
def data(rng):
    """Return X and y for training, X and y for validation."""
    w = np.r_[1.0, -2.0, 0.5, np.zeros(P - 3)]
    X = rng.standard_normal((60, P))
    y = X @ w + 1.5 * rng.standard_normal(60)
    return X[:20], y[:20], X[20:], y[20:]


def descent(log_lam, X, y):
    """Gradient descent, as one writes it first."""
    n = len(y)
    lam = np.exp(log_lam)
    lr = 0.4
    w = np.zeros(P)
    for _ in range(400):
        grad = X.T @ (X @ w - y) / n + lam * w
        w = w - lr * grad
    return w


def momentum(log_lam, X, y):
    """Heavy ball, with buffers that are written into."""
    n = len(y)
    lam = np.exp(log_lam)
    w = np.zeros(P)
    v = np.zeros_like(w)
    for _ in range(150):
        g = np.dot(X.T, np.dot(X, w) - y) / n + lam * w
        v *= 0.7
        v -= 0.3 * g
        w += v
    return w


def normal_equations(log_lam, X, y):
    n = len(y)
    A = X.T @ X / n + np.exp(log_lam) * np.eye(P)
    return np.linalg.solve(A, X.T @ y / n)


def conjugate_gradients(log_lam, X, y):
    """SciPy's solver sees plain arrays; the implicit function theorem gives the derivative."""
    return ridge_by_cg(np.exp(log_lam), X, y)


def solve_by_cg(lam, X, b):
    A = LinearOperator((P, P), matvec=lambda v: X.T @ (X @ v) / len(X) + lam * v, dtype=float)
    w, info = cg(A, b, rtol=1e-14, atol=0)
    assert info == 0
    return w


def inner(lam, X, y):
    return solve_by_cg(lam, X, X.T @ y / len(y))


def inner_vjp(g, w, lam, X, y):
    # A(lam) w = b, hence dw = -A^-1 w dlam: one more solve, with the cotangent.
    q = solve_by_cg(lam, X, g)
    return -q * w if lam.ndim else -np.sum(q * w), None, None


ridge_by_cg = bp.custom_rule(inner, vjp=inner_vjp)

SOLVERS = [descent, momentum, normal_equations, conjugate_gradients]


def validation_error(solver, data):
    """Return the function that is to be minimised."""
    X, y, X_val, y_val = data

    def f(log_lam):
        w = solver(log_lam, X, y)
        return 0.5 * np.mean((X_val @ w - y_val) ** 2)

    return f


def closed_form(log_lam, data):
    """Return value and gradient, for one penalty or for one a weight."""
    X, y, X_val, y_val = data
    lam = np.exp(log_lam) * np.ones(P)
    A = X.T @ X / len(y) + np.diag(lam)
    w = np.linalg.solve(A, X.T @ y / len(y))
    r = X_val @ w - y_val
    gradient = -lam * np.linalg.solve(A, X_val.T @ r / len(r)) * w
    return 0.5 * np.mean(r**2), gradient if np.ndim(log_lam) else gradient.sum()


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("log_lam", [-1.0, np.linspace(-2, 0, P)], ids=["one", "each"])
def test_hypergradient(solver, log_lam, data):
    f = validation_error(solver, data)
    value, gradient = bp.value_and_grad(bp.unmodified(f))(log_lam)
    expected, by_hand = closed_form(log_lam, data)
    # The slowest mode of descent contracts by 0.93 a step: 1e-12 is left.
    assert_allclose(f(log_lam), expected, rtol=1e-11)
    assert_allclose(value, f(log_lam), rtol=1e-13)
    assert_allclose(gradient, by_hand, rtol=1e-9, atol=1e-11)


def test_forward_mode(data):
    """One parameter: a tangent through all steps needs no record of them."""
    f = bp.unmodified(validation_error(momentum, data))
    _, slope = bp.jvp(f, (-1.0,), (1.0,))
    assert_allclose(slope, closed_form(-1.0, data)[1], rtol=1e-9)


def test_second_derivatives(data):
    at = np.linspace(-2, 0, P)
    H = bp.hessian(bp.unmodified(validation_error(normal_equations, data)))(at)
    h = 1e-5
    columns = [
        (closed_form(at + h * e, data)[1] - closed_form(at - h * e, data)[1]) / (2 * h)
        for e in np.eye(P)
    ]
    # Third derivatives are of the size of the second; rounding is 1e-16 / h.
    assert_allclose(H, np.transpose(columns), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("solver", [momentum, conjugate_gradients])
def test_best_penalty(solver, data):
    f = validation_error(solver, data)
    found = minimize(
        bp.value_and_grad(bp.unmodified(f)), -1.0, jac=True, method="BFGS", options={"gtol": 1e-9}
    )
    expected = minimize_scalar(
        lambda x: closed_form(x, data)[0], bounds=(-6, 3), method="bounded", options={"xatol": 1e-9}
    )
    # A search by values alone finds the place of a minimum to the root of the rounding error.
    assert_allclose(found.x[0], expected.x, rtol=0, atol=1e-6)
    assert -5 < found.x[0] < 2


# A smoothing spline: penalties of second differences, one level for each half of the signal.

T = 200


def smooth(log_lam, y):
    D = sp.diags_array([1.0, -2.0, 1.0], offsets=[0, 1, 2], shape=(T - 2, T))
    halves = (np.arange(T - 2) < T // 2).astype(float)
    weights = np.exp(log_lam[0]) * halves + np.exp(log_lam[1]) * (1 - halves)
    A = sp.eye_array(T) + D.T @ (D * weights[:, None])
    return bp.sparse.solve(A, y)


def test_smoothing_spline(rng):
    t = np.linspace(0, 1, T)
    truth = np.where(t < 0.5, np.sin(2 * np.pi * t), np.sin(20 * np.pi * t))
    y, y_val = truth + 0.2 * rng.standard_normal((2, T))

    def error(log_lam):
        return np.mean((smooth(log_lam, y) - y_val) ** 2)

    def by_hand(log_lam):
        D = np.diff(np.eye(T), 2, axis=0)
        parts = [D[: T // 2].T @ D[: T // 2], D[T // 2 :].T @ D[T // 2 :]]
        A = np.eye(T) + sum(np.exp(x) * S for x, S in zip(log_lam, parts, strict=True))
        u = np.linalg.solve(A, y)
        q = np.linalg.solve(A, 2 * (u - y_val) / T)
        slopes = [-np.exp(x) * q @ S @ u for x, S in zip(log_lam, parts, strict=True)]
        return np.mean((u - y_val) ** 2), np.array(slopes)

    at = np.array([3.0, 0.0])
    value, gradient = bp.value_and_grad(error)(at)
    expected, slopes = by_hand(at)
    assert_allclose(value, expected, rtol=1e-11)
    assert_allclose(gradient, slopes, rtol=1e-10)
    found = minimize(bp.value_and_grad(error), at, jac=True, method="BFGS", options={"gtol": 1e-8})
    assert np.abs(by_hand(found.x)[1]).max() < 1e-7
    assert found.x[0] > found.x[1] + 3  # the first half is smoother
    H = bp.hessian(error)(found.x)
    assert np.all(np.linalg.eigvalsh(H) > 0)
