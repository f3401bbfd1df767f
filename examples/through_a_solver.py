"""Differentiate through an iteration: the implicit function theorem as a custom rule.

Newton's method finds x with f(x, p) = 0. Differentiating its steps would record all of them; the
theorem gives the derivative from the solution alone: dx/dp = -(df/dx)^-1 df/dp.
"""

import numpy as np

import fastbp as bp


def equation(x, p):
    return np.tanh(p[0] * x) + x**3 - p[1:]


def solve(p):
    x = np.zeros(p.size - 1)
    step = bp.jacobian(equation, argnums=0)
    for _ in range(50):
        x = x - np.linalg.solve(step(x, p), equation(x, p))
    return x


def solve_vjp(g, x, p):
    # A pullback through f(x, p) = 0: one linear solve, then the pullback of f with respect to p.
    _, pullback = bp.vjp(equation, x, p)
    jac = bp.jacobian(equation, argnums=0)(x, p)
    w = np.linalg.solve(jac.T, g)
    return -pullback(w)[1]


root = bp.custom_rule(solve, vjp=solve_vjp, name="root")


def main():
    p = np.array([1.5, 0.3, 0.7, 2.0])
    jac = bp.jacobian(root)(p)
    h = 1e-6
    rows = [(solve(p + h * e) - solve(p - h * e)) / (2 * h) for e in np.eye(p.size)]
    error = np.abs(jac - np.transpose(rows)).max()
    print("roots", solve(p))
    print(f"dx/dp of shape {jac.shape}; differences agree to {error:.1e}")
    assert error < 1e-7
    return jac


if __name__ == "__main__":
    main()
