"""
A pendulum swung up
===================

Swing up a pendulum at least effort: direct collocation under SciPy's `trust-constr`.

The functions are plain NumPy, with arrays that are filled in a loop; `bp.unmodified` lets them be
differentiated as they are. Constraints and Lagrangian are sparse, and so are their derivatives.
"""

import sys

import numpy as np
from scipy.integrate import solve_bvp
from scipy.optimize import NonlinearConstraint, minimize

import fastbp as bp

STEPS, DURATION = 60, 5.0
H = DURATION / STEPS
START, END = np.array([0.0, 0.0]), np.array([np.pi, 0.0])


def pendulum(x, u):
    return np.array([x[1], -np.sin(x[0]) + u])


def split(z):
    """States (STEPS + 1, 2) and torques (STEPS + 1) from SciPy's vector."""
    n = STEPS + 1
    return z[: 2 * n].reshape(n, 2), z[2 * n :]


def effort(z):
    _, u = split(z)
    return H * (np.sum(u**2) - 0.5 * u[0] ** 2 - 0.5 * u[-1] ** 2)


def defects(z):
    """Return what is missing to the trapezoidal rule in every step, and at both ends."""
    x, u = split(z)
    out = np.zeros((STEPS + 2, 2))
    for k in range(STEPS):
        slopes = pendulum(x[k], u[k]) + pendulum(x[k + 1], u[k + 1])
        out[k] = x[k + 1] - x[k] - H / 2 * slopes
    out[STEPS] = x[0] - START
    out[STEPS + 1] = x[-1] - END
    return out.ravel()


def solve():
    f = bp.unmodified(defects)
    constraint = NonlinearConstraint(
        defects,
        0.0,
        0.0,
        jac=bp.sparse.jacobian(f),
        # SciPy asks for the Hessian of the product with the multipliers v.
        hess=bp.sparse.hessian(lambda z, v: v @ f(z)),
    )
    t = np.linspace(0, 1, STEPS + 1)[:, None]
    guess = np.concatenate([(START + t * (END - START)).ravel(), np.zeros(STEPS + 1)])
    found = minimize(
        effort,
        guess,
        jac=bp.grad(effort),
        hess=bp.sparse.hessian(effort),
        method="trust-constr",
        constraints=constraint,
        options={"gtol": 1e-8, "xtol": 1e-12},
    )
    return (*split(found.x), found)


def by_pontryagin(t, x, u):
    """Solve the boundary value problem of the maximum principle: u = -q / 2."""

    def slopes(t, y):
        angle, speed, p, q = y
        return np.array([speed, -np.sin(angle) - q / 2, q * np.cos(angle), -p])

    def ends(first, last):
        return np.concatenate([first[:2] - START, last[:2] - END])

    guess = np.vstack([x.T, 2 * np.gradient(u, t), -2 * u])
    return solve_bvp(slopes, ends, t, guess, tol=1e-8).sol


def main():
    x, u, found = solve()
    t = np.linspace(0, DURATION, STEPS + 1)
    exact = by_pontryagin(t, x, u)
    fine = np.linspace(0, DURATION, 1001)
    least = np.trapezoid(exact(fine)[3] ** 2 / 4, fine)
    J = bp.sparse.jacobian(bp.unmodified(defects), found.x)
    print(f"trust-constr: {found.nit} iterations, constraints met to {found.constr_violation:.0e}")
    print(f"Jacobian of the constraints: {J.shape[0]} x {J.shape[1]}, {J.nnz} stored")
    print(f"effort {found.fun:.5f}; by the maximum principle {least:.5f}")
    error = np.abs(x - exact(t)[:2].T).max()
    print(f"states differ by at most {error:.1e}: the rule is of second order, h = {H:.3f}")
    assert error < 0.01
    return t, x, u


def draw(t, x, u):
    """Draw states and torque over time."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(layout="constrained")
    ax.plot(t, x, t, u, "--")
    ax.legend(["angle", "speed", "torque"])
    ax.set(xlabel="time", title="A pendulum swung up at least effort")
    return figure


if __name__ == "__main__":
    found = main()
    if sys.argv[1:]:  # a file for the picture
        draw(*found).savefig(sys.argv[1])
