"""
A derivative through a solver
=============================

Differentiate through a solver of SciPy's: the implicit function theorem as a custom rule.

`scipy.optimize.root` finds x with f(x, p) = 0 by steps that nothing records. The theorem gives the
derivative from the solution alone: dx/dp = -(df/dx)^-1 df/dp. The rule is written with functions
that can be differentiated, so it has second derivatives, and a forward direction by transposition.
"""

import sys

import numpy as np
from scipy.optimize import minimize
from scipy.optimize import root as scipy_root

import fastbp as bp


def implicit(equation, check=None):
    """Return x(p, start), the root of equation(x, p), with derivatives by p."""
    by_x = bp.jacobian(equation)

    def root(p, start):
        found = scipy_root(equation, start, args=(p,), jac=by_x, options={"xtol": 1e-14})
        if np.abs(equation(found.x, p)).max() > 1e-9:
            raise ArithmeticError(found.message)
        return found.x

    def vjp(g, x, p, start):
        # A pullback through f(x, p) = 0: one linear solve, then the pullback of f by p.
        w = np.linalg.solve(by_x(x, p).T, g)
        return -bp.vjp(lambda p: equation(x, p), p)[1](w)[0]

    return bp.custom_rule(root, vjp=vjp, constant="start", check=check)


def kirchhoff(v, p):
    """Currents into the nodes of a ladder of unit resistors with a diode to ground at each node."""
    left = np.concatenate([p[:1], v[:-1]])
    right = np.concatenate([v[1:], v[-1:]])  # nothing flows out of the last node
    return left - 2.0 * v + right - np.exp(p[1]) * np.expm1(v / p[2])


START = np.zeros(6)
P = np.array([5.0, np.log(1e-2), 0.5])  # volts in, log of the diodes' saturation, their slope
voltages = implicit(kirchhoff, check=(P, START))


def main():
    jac = bp.jacobian(voltages)(P, START)
    h = 1e-6
    rows = [
        (voltages(P + h * e, START) - voltages(P - h * e, START)) / (2.0 * h) for e in np.eye(3)
    ]
    error = np.abs(jac - np.transpose(rows)).max()
    print("voltages", voltages(P, START).round(4))
    print(f"dv/dp of shape {jac.shape}; differences agree to {error:.1e}")
    assert error < 1e-6

    # The diodes from the voltages, by Newton's method with second derivatives through the solver.
    seen = voltages(P, START)

    def loss(q):
        return np.sum((voltages(np.concatenate([P[:1], q]), START) - seen) ** 2)

    fit = minimize(
        loss, np.array([-4.0, 0.6]), jac=bp.grad(loss), hess=bp.hessian(loss), method="trust-exact",
        options={"gtol": 1e-9},
    )  # fmt: skip
    print(f"{fit.nit} iterations to saturation {np.exp(fit.x[0]):.6f}, slope {fit.x[1]:.6f}")
    assert np.allclose(fit.x, P[1:], atol=1e-4)
    return jac


def draw(jac):
    """Draw the voltages of the nodes, and their derivatives."""
    import matplotlib.pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, sharex=True, layout="constrained")
    nodes = np.arange(1, START.size + 1)
    above.plot(nodes, voltages(P, START), "ko-")
    above.set_ylabel("volts")
    for column, name in zip(jac.T, ("voltage in", "log saturation", "slope"), strict=True):
        below.plot(nodes, column, "o-", label=f"by {name}")
    below.set(xlabel="node of the ladder", ylabel="derivative")
    below.legend()
    return figure


if __name__ == "__main__":
    jac = main()
    if sys.argv[1:]:  # a file for the picture
        draw(jac).savefig(sys.argv[1])
