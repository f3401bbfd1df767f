"""
Logistic regression with standard errors
========================================

Logistic regression: damage to the O-rings of the space shuttle, by temperature.

SciPy's Newton method with conjugate gradients asks for gradients, which are compiled, and for
products with the Hessian, which is not made. At the end it is, once, for the standard errors; a
gradient carries them over to the probability at the temperature of the last flight (delta method).
"""

import sys

import numpy as np
from scipy.optimize import minimize

import fastbp as bp

# 23 flights before January 1986: degrees Fahrenheit at launch, and whether an O-ring was damaged.
# S. R. Dalal, E. B. Fowlkes, B. Hoadley, Journal of the American Statistical Association 84 (1989).
DEGREES = [66, 70, 69, 68, 67, 72, 73, 70, 57, 63, 70, 78, 67, 53, 67, 75, 70, 81, 76, 79, 75, 76,
           58]  # fmt: skip
DAMAGE = [0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1]


def negative_log_likelihood(w, X, y):
    z = X @ w
    return np.sum(np.logaddexp(0.0, z) - y * z)


def main():
    degrees, y = np.array(DEGREES, float), np.array(DAMAGE, float)
    # Centred and scaled, as a solver likes it; `back` has the coefficients of the degrees as given.
    center, scale = degrees.mean(), degrees.std()
    X = np.column_stack([np.ones(y.size), (degrees - center) / scale])
    back = np.array([[1.0, -center / scale], [0.0, 1.0 / scale]])

    fit = minimize(
        bp.compile(bp.value_and_grad(negative_log_likelihood)),
        np.zeros(2),
        args=(X, y),
        jac=True,
        hessp=lambda w, v, X, y: bp.hvp(lambda w: negative_log_likelihood(w, X, y), w, v),
        method="trust-ncg",
    )
    information = bp.hessian(negative_log_likelihood)(fit.x, X, y)
    covariance = np.linalg.inv(information)
    w = back @ fit.x
    errors = np.sqrt(np.diag(back @ covariance @ back.T))
    print(f"trust-ncg: {fit.nit} iterations, {fit.nhev} products with the Hessian")
    for name, value, error in zip(("intercept", "per degree"), w, errors, strict=True):
        print(f"{name:10} {value:8.4f} +- {error:.4f}")
    # What is printed for these data everywhere, e.g. by glm(..., family = binomial) of R.
    assert np.allclose(w, [15.0429, -0.2322], atol=5e-4)
    assert np.allclose(errors, [7.3786, 0.1082], atol=5e-4)
    # The information has a closed form: X' diag(p (1 - p)) X.
    p = 1.0 / (1.0 + np.exp(-X @ fit.x))
    assert np.allclose(information, X.T * (p * (1.0 - p)) @ X, rtol=1e-12)

    def log_odds(w):
        return w[0] + w[1] * (31.0 - center) / scale

    slope = bp.grad(log_odds)(fit.x)
    at, error = log_odds(fit.x), np.sqrt(slope @ covariance @ slope)
    low, mid, high = 1.0 / (1.0 + np.exp(-(at + np.array([-1.96, 0.0, 1.96]) * error)))
    print(f"damage at 31 degrees: probability {mid:.4f}, 95 % of confidence from {low:.2f}")
    assert low < mid < high
    return w, back @ covariance @ back.T


def draw(w, covariance):
    """Draw the flights, and the probability with 95 % of confidence."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(layout="constrained")
    degrees = np.linspace(30.0, 82.0, 200)
    X = np.column_stack([np.ones(200), degrees])
    z, error = X @ w, np.sqrt(np.sum(X @ covariance * X, axis=1))
    low, mid, high = 1.0 / (1.0 + np.exp(-(z + np.array([[-1.96], [0.0], [1.96]]) * error)))
    ax.fill_between(degrees, low, high, alpha=0.3)
    ax.plot(degrees, mid, label="probability, 95 % of confidence")
    ax.plot(DEGREES, DAMAGE, "ko", alpha=0.5, label="flights, 1: damaged")
    ax.axvline(31.0, color="tab:red", linestyle="--", label="28 January 1986")
    ax.set(xlabel="degrees Fahrenheit at launch", title="Damage to an O-ring of the space shuttle")
    ax.legend()
    return figure


if __name__ == "__main__":
    found = main()
    if sys.argv[1:]:  # a file for the picture
        draw(*found).savefig(sys.argv[1])
