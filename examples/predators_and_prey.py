"""
Predators and prey
==================

Fit a differential equation to data, its code as it was written for plain NumPy.

Hares and lynxes eat and are eaten (Lotka and Volterra):

    du/dt = alpha u - beta u v,    dv/dt = delta u v - gamma v

The right side makes an array of numbers, the Runge-Kutta loop fills one row by row. With
`bp.unmodified` both take recorded values as they stand, and SciPy's fit has an exact Jacobian.
"""

import sys

import numpy as np
from scipy.optimize import least_squares

import fastbp as bp

# Pelts taken in by the Hudson's Bay Company, in thousands, every year from 1900 to 1920, as
# reprinted in E. P. Odum, Fundamentals of Ecology (1953).
HARES = [30, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22, 25.4, 27.1, 40.3, 57, 76.6, 52.3, 19.5,
         11.2, 7.6, 14.6, 16.2, 24.7]  # fmt: skip
LYNXES = [4, 6.1, 9.8, 35.2, 59.4, 41.7, 19, 13, 8.3, 9.1, 7.4, 8, 12.3, 19.5, 45.7, 51.1, 29.7,
          15.8, 9.7, 10.1, 8.6]  # fmt: skip
PELTS = np.column_stack([HARES, LYNXES])


def rates(z, alpha, beta, gamma, delta):
    u, v = z
    return np.array([alpha * u - beta * u * v, delta * u * v - gamma * v])


def simulate(p, steps=10):
    """Return both populations, once a year; p: the four rates, and the populations of 1900."""
    h = 1.0 / steps
    z = np.zeros((20 * steps + 1, 2))
    z[0] = p[4:]
    for i in range(20 * steps):
        k1 = rates(z[i], *p[:4])
        k2 = rates(z[i] + h / 2 * k1, *p[:4])
        k3 = rates(z[i] + h / 2 * k2, *p[:4])
        k4 = rates(z[i] + h * k3, *p[:4])
        z[i + 1] = z[i] + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return z[::steps]


def residuals(p):
    return np.log(simulate(p) / PELTS).ravel()


def main():
    start = np.array([0.6, 0.025, 0.75, 0.022, 30.0, 5.0])
    jacobian = bp.jacobian(bp.unmodified(residuals))
    exact = least_squares(residuals, start, jac=jacobian, x_scale=start)
    differences = least_squares(residuals, start, jac="3-point", x_scale=start)
    assert np.allclose(exact.x, differences.x, rtol=1e-3)

    J = jacobian(exact.x)
    variance = 2 * exact.cost / (PELTS.size - start.size)
    errors = np.sqrt(variance * np.diag(np.linalg.inv(J.T @ J)))
    names = ["alpha", "beta", "gamma", "delta", "hares 1900", "lynxes 1900"]
    for name, value, error in zip(names, exact.x, errors, strict=True):
        print(f"{name:12} {value:8.4f} +- {error:.4f}")
    print(f"{exact.njev} Jacobians; the residuals have a spread of {np.sqrt(variance):.2f}")
    return exact.x


def draw(p):
    """Draw the pelts of both animals, and the fit."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(layout="constrained")
    years = np.arange(1900, 1921)
    for k, name in enumerate(("hares", "lynxes")):
        ax.plot(years, PELTS[:, k], f"C{k}o", label=name)
        ax.plot(years, simulate(p)[:, k], f"C{k}", label=f"{name}, fitted")
    ax.set(xticks=years[::5], ylabel="pelts, thousands", title="Taken in by Hudson's Bay Company")
    ax.legend()
    return figure


if __name__ == "__main__":
    fitted = main()
    if sys.argv[1:]:  # a file for the picture
        draw(fitted).savefig(sys.argv[1])
