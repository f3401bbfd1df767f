"""Optimal control: shooting for a linear system, collocation under `NonlinearConstraint`.

The references are Riccati's recursion, the polynomial that Pontryagin's principle gives for a cart,
and for a pendulum his boundary value problem, by SciPy's `solve_bvp`.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_bvp
from scipy.optimize import NonlinearConstraint, minimize

import fastbp as bp

# Single shooting: the trajectory is stored, the cost is summed in the loop.

STEPS, DT = 40, 0.1
A = np.array([[1.0, DT], [0.0, 1.0]])
B = np.array([DT**2 / 2, DT])
Q, R, LAST = np.diag([1.0, 0.1]), 0.05, np.diag([10.0, 1.0])


def cost(u, start):
    xs = np.zeros((STEPS + 1, 2))
    xs[0] = start
    total = 0.0
    for k in range(STEPS):
        total += xs[k] @ Q @ xs[k] + R * u[k] ** 2
        xs[k + 1] = A @ xs[k] + B * u[k]
    return total + xs[STEPS] @ LAST @ xs[STEPS]


def riccati(start):
    """Return the optimal controls and their cost."""
    P, gains = LAST, []
    for _ in range(STEPS):
        K = (B @ P @ A) / (R + B @ P @ B)
        gains.append(K)
        P = Q + A.T @ P @ (A - np.outer(B, K))
    x, us = start, []
    for K in reversed(gains):
        us.append(-K @ x)
        x = A @ x + B * us[-1]
    return np.array(us), start @ P @ start


@pytest.mark.parametrize(
    ("method", "options"),
    [("BFGS", {"gtol": 1e-9}), ("Newton-CG", {"xtol": 1e-12}), ("trust-exact", {"gtol": 1e-9})],
)
def test_linear_regulator(method, options):
    start = np.array([1.0, -0.5])
    f = bp.unmodified(cost)
    found = minimize(
        cost, np.zeros(STEPS), args=(start,), jac=bp.grad(f), method=method,
        hess=None if method == "BFGS" else bp.hessian(f), options=options,
    )  # fmt: skip
    u, expected = riccati(start)
    assert_allclose(found.fun, expected, rtol=1e-13)
    assert_allclose(found.x, u, rtol=0, atol=1e-6)


# Direct collocation: states and controls at all times are unknowns.


def cart(x, u):
    return np.array([x[1], u])


def pendulum(x, u):
    return np.array([x[1], -np.sin(x[0]) + u])


def collocation(system, n, duration, start, end):
    """Transcribe by the trapezoidal rule: objective, constraints and guess for `minimize`.

    The unknowns are the states, (n + 1, 2), and behind them the controls, (n + 1).
    """
    m, h = n + 1, duration / n

    def effort(z):
        u = z[2 * m :]
        return h * (np.sum(u**2) - 0.5 * u[0] ** 2 - 0.5 * u[-1] ** 2)

    def defects(z):
        x, u = z[: 2 * m].reshape(m, 2), z[2 * m :]
        out = np.zeros((n + 2, 2))
        for k in range(n):
            slopes = system(x[k], u[k]) + system(x[k + 1], u[k + 1])
            out[k] = x[k + 1] - x[k] - h / 2 * slopes
        out[n] = x[0] - start
        out[n + 1] = x[-1] - end
        return out.ravel()

    t = np.linspace(0, 1, m)[:, None]
    guess = np.concatenate([(start + t * (end - start)).ravel(), np.zeros(m)])
    return effort, defects, guess


def solve(system, n, duration, start, end):
    effort, defects, guess = collocation(system, n, duration, start, end)
    f = bp.unmodified(defects)
    found = minimize(
        effort, guess, jac=bp.grad(effort), hess=bp.hessian(effort), method="trust-constr",
        constraints=NonlinearConstraint(
            defects, 0, 0, jac=bp.jacobian(f), hess=bp.hessian(lambda z, v: v @ f(z))
        ),
        options={"gtol": 1e-8, "xtol": 1e-12},
    )  # fmt: skip
    assert found.constr_violation < 1e-11
    return found.x[: 2 * n + 2].reshape(n + 1, 2), found.x[2 * n + 2 :], found


def cart_by_hand(n, h, start, end):
    """Solve the same discrete problem by its KKT system, which is linear."""
    m = n + 1
    J = np.zeros((2 * n + 4, 3 * m))
    for k in range(n):
        for i in range(2):
            J[2 * k + i, 2 * k + i], J[2 * k + i, 2 * k + 2 + i] = -1, 1
        J[2 * k, [2 * k + 1, 2 * k + 3]] -= h / 2
        J[2 * k + 1, [2 * m + k, 2 * m + k + 1]] = -h / 2
    J[2 * n : 2 * n + 2, :2] = J[2 * n + 2 :, 2 * n : 2 * n + 2] = np.eye(2)
    H = np.zeros((3 * m, 3 * m))
    H[2 * m :, 2 * m :] = 2 * h * np.diag(np.r_[0.5, np.ones(n - 1), 0.5])
    kkt = np.block([[H, J.T], [J, np.zeros((len(J), len(J)))]])
    right = np.concatenate([np.zeros(3 * m + 2 * n), start, end])
    return np.linalg.solve(kkt, right)[: 3 * m], J


def test_cart():
    """From rest to rest in unit time at least effort: x = 3 t**2 - 2 t**3, effort 12."""
    start, end = np.zeros(2), np.array([1.0, 0.0])
    errors, efforts = [], []
    for n in (10, 20):
        _, defects, guess = collocation(cart, n, 1.0, start, end)
        expected, J = cart_by_hand(n, 1 / n, start, end)
        assert_allclose(bp.jacobian(bp.unmodified(defects))(guess), J, rtol=1e-14, atol=1e-16)
        x, u, found = solve(cart, n, 1.0, start, end)
        # The solver's gtol over the curvature of the effort, some h**2.
        assert_allclose(np.r_[x.ravel(), u], expected, rtol=0, atol=1e-8 * n**2)
        t = np.linspace(0, 1, n + 1)
        errors.append(np.abs(x[:, 0] - (3 * t**2 - 2 * t**3)).max())
        efforts.append(found.fun - 12)
    # The rule is of second order.
    assert errors[1] < errors[0] / 3 < 1e-3
    assert 0 < efforts[1] < efforts[0] / 3 < 0.2


def test_pendulum():
    """Swing up: by the principle u = -q/2 with q' = -p, p' = q cos(theta)."""
    T = 5.0
    end = np.array([np.pi, 0.0])

    def right_side(t, y):
        theta, omega, p, q = y
        return np.array([omega, -np.sin(theta) - q / 2, q * np.cos(theta), -p])

    def ends(ya, yb):
        return np.array([*ya[:2], *(yb[:2] - end)])

    errors, efforts = [], []
    for n in (20, 40):
        x, u, found = solve(pendulum, n, T, np.zeros(2), end)
        t = np.linspace(0, T, n + 1)
        guess = np.vstack([x.T, np.gradient(2 * u, t), -2 * u])
        exact = solve_bvp(right_side, ends, t, guess, tol=1e-8)
        assert exact.success
        fine = np.linspace(0, T, 1001)
        errors.append(np.abs(x - exact.sol(t)[:2].T).max())
        efforts.append(abs(found.fun - np.trapezoid(exact.sol(fine)[3] ** 2 / 4, fine)))
    assert errors[1] < errors[0] / 3 < 0.01
    assert efforts[1] < efforts[0] / 3 < 0.01
