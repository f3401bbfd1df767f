"""
A Gaussian process
==================

A Gaussian process: hyperparameters by the marginal likelihood, through Cholesky's factor.

log p(y) = -y' K^-1 y / 2 - sum log diag(L) - n log(2 pi) / 2 with K = L L', as it is written for
NumPy. L-BFGS has its gradient, and the Hessian tells how well the data determine the parameters.
The slope of the prediction is the derivative of the same code by the place.
"""

import sys

import numpy as np
from scipy.optimize import minimize

import fastbp as bp

TRUE = {"amplitude": 1.5, "length": 0.7, "noise": 0.2}


def kernel(a, b, log):
    square = (a[:, None] - b) ** 2
    return np.exp(2.0 * log["amplitude"] - 0.5 * square * np.exp(-2.0 * log["length"]))


def covariance(x, log):
    return kernel(x, x, log) + np.exp(2.0 * log["noise"]) * np.eye(x.size)


def negative_log_evidence(log, x, y):
    L = np.linalg.cholesky(covariance(x, log))
    r = np.linalg.solve(L, y)
    return 0.5 * r @ r + np.sum(np.log(np.diagonal(L))) + 0.5 * x.size * np.log(2.0 * np.pi)


def predict(at, log, x, y):
    return kernel(at, x, log) @ np.linalg.solve(covariance(x, log), y)


def main():
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(0.0, 10.0, 80))
    true = {name: np.log(value) for name, value in TRUE.items()}
    y = np.linalg.cholesky(covariance(x, true)) @ rng.standard_normal(x.size)

    names = list(TRUE)

    def objective(v):
        return negative_log_evidence(dict(zip(names, v, strict=True)), x, y)

    fit = minimize(bp.value_and_grad(objective), np.zeros(3), jac=True, method="L-BFGS-B")
    errors = np.sqrt(np.diag(np.linalg.inv(bp.hessian(objective)(fit.x))))
    print(f"L-BFGS: {fit.nit} iterations, log evidence {-fit.fun:.2f}")
    for name, value, error in zip(names, fit.x, errors, strict=True):
        factor = np.exp(error)
        print(f"{name:9} {np.exp(value):.3f}, times or by {factor:.2f}; true {TRUE[name]}")
        assert abs(value - true[name]) < 3.0 * error

    # The gradient in a container, against the formula tr((K^-1 - a a') dK) / 2 with a = K^-1 y.
    log = dict(zip(names, fit.x + 0.1, strict=True))
    gradient = bp.grad(negative_log_evidence)(log, x, y)
    inverse = np.linalg.inv(covariance(x, log))
    a = inverse @ y
    K = kernel(x, x, log)
    square = (x[:, None] - x) ** 2
    partials = {
        "amplitude": 2.0 * K,
        "length": K * square * np.exp(-2.0 * log["length"]),
        "noise": 2.0 * np.exp(2.0 * log["noise"]) * np.eye(x.size),
    }
    for name, dK in partials.items():
        formula = 0.5 * np.sum((inverse - np.outer(a, a)) * dK)
        assert np.isclose(gradient[name], formula, rtol=1e-8)

    at, log = np.linspace(0.5, 9.5, 7), dict(zip(names, fit.x, strict=True))
    slope = bp.elementwise_grad(predict)(at, log, x, y)
    h = 1e-5
    differences = (predict(at + h, log, x, y) - predict(at - h, log, x, y)) / (2.0 * h)
    assert np.allclose(slope, differences, rtol=1e-6, atol=1e-7)
    print("slope of the prediction", slope.round(2))
    return x, y, log


def draw(x, y, log):
    """Draw the prediction with its deviation, and its slope."""
    import matplotlib.pyplot as plt

    figure, (ax, below) = plt.subplots(2, 1, sharex=True, layout="constrained")
    at = np.linspace(0.0, 10.0, 300)
    mean, across = predict(at, log, x, y), kernel(at, x, log)
    known = np.sum(across * np.linalg.solve(covariance(x, log), across.T).T, axis=1)
    deviation = np.sqrt(np.exp(2.0 * log["amplitude"]) - known)
    ax.fill_between(at, mean - 2 * deviation, mean + 2 * deviation, alpha=0.3)
    ax.plot(at, mean, label="prediction, two deviations")
    ax.plot(x, y, "k.", label="data")
    ax.legend()
    below.plot(at, bp.elementwise_grad(predict)(at, log, x, y), "C1")
    below.set(xlabel="x", ylabel="its slope")
    return figure


if __name__ == "__main__":
    found = main()
    if sys.argv[1:]:  # a file for the picture
        draw(*found).savefig(sys.argv[1])
