"""
An epidemic, fitted through odeint
==================================

An epidemic fitted through SciPy's adaptive solver: influenza in a boarding school, 1978.

    dS/dt = -b S I / N,    dI/dt = b S I / N - c I

`fastbp.scipy.integrate.odeint` is SciPy's odeint with derivatives: those by the parameters and the
initial state come from the sensitivity equations, at the accuracy of the solution.
"""

import sys

import numpy as np
from scipy.optimize import least_squares

import fastbp as bp
import fastbp.numpy as bnp
from fastbp.scipy.integrate import odeint

# Boys confined to bed on each of fourteen days, of 763. British Medical Journal, 4 March 1978.
IN_BED = np.array([3, 8, 26, 76, 225, 298, 258, 233, 189, 128, 68, 29, 14, 4], float)
BOYS = 763.0
DAYS = np.arange(IN_BED.size, dtype=float)


def rates(y, t, b, c):
    susceptible, infected = y
    new = b * susceptible * infected / BOYS
    return bnp.array([-new, new - c * infected])


def infected(p):
    """Return the infected on each day; p: both rates, and the infected of the first day."""
    start = bnp.array([BOYS - p[2], p[2]])
    return odeint(rates, start, DAYS, args=(p[0], p[1]), rtol=1e-10, atol=1e-10)[:, 1]


def residuals(p):
    return infected(p) - IN_BED


def main():
    guess = np.array([1.5, 0.5, 2.0])
    jacobian = bp.jacobian(residuals)
    fit = least_squares(residuals, guess, jac=jacobian, x_scale=guess)

    J = jacobian(fit.x)
    h = 1e-4
    differences = [(infected(fit.x + h * e) - infected(fit.x - h * e)) / (2 * h) for e in np.eye(3)]
    error = np.abs(J - np.transpose(differences)).max() / np.abs(J).max()
    print(f"{fit.nfev} solutions, {fit.njev} Jacobians; differences agree to {error:.0e}")
    assert error < 1e-5

    covariance = 2.0 * fit.cost / (IN_BED.size - 3) * np.linalg.inv(J.T @ J)
    for name, value, one in zip(
        ("infections a day", "recoveries a day", "infected, day 0"),
        fit.x,
        np.sqrt(np.diag(covariance)),
        strict=True,
    ):
        print(f"{name:16} {value:.3f} +- {one:.3f}")

    def reproduction(p):
        return p[0] / p[1]

    slope = bp.grad(reproduction)(fit.x)
    number, one = reproduction(fit.x), np.sqrt(slope @ covariance @ slope)
    print(f"reproduction number {number:.2f} +- {one:.2f}")

    # How many stay well in the end, S - N = N c / b log(S / S(0)), has a derivative by hand.
    b, c, first = fit.x

    def well(c):
        start = np.array([BOYS - first, first])
        return odeint(rates, start, [0.0, 150.0], args=(b, c), rtol=1e-10, atol=1e-10)[-1, 0]

    value, slope = bp.value_and_grad(well)(c)
    by_hand = BOYS / b * np.log(value / (BOYS - first)) / (1.0 - BOYS * c / (b * value))
    print(f"{value:.1f} boys stay well; by the rate of recovery {slope:.3f}, by hand {by_hand:.3f}")
    assert np.isclose(slope, by_hand, rtol=1e-6)
    return fit.x, covariance


def draw(p, covariance):
    """Draw the counts, and the fit with twice its standard error."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(layout="constrained")
    J = bp.jacobian(infected)(p)
    error = np.sqrt(np.sum(J @ covariance * J, axis=1))
    ax.fill_between(DAYS, infected(p) - 2 * error, infected(p) + 2 * error, alpha=0.3)
    ax.plot(DAYS, infected(p), label="fitted, twice its standard error")
    ax.plot(DAYS, IN_BED, "ko", label="in bed")
    ax.set(xlabel="day", ylabel="boys", title="Influenza in a boarding school, 1978")
    ax.legend()
    return figure


if __name__ == "__main__":
    found = main()
    if sys.argv[1:]:  # a file for the picture
        draw(*found).savefig(sys.argv[1])
