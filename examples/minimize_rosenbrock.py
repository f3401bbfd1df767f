"""
Gradients for SciPy's minimize
==============================

Exact gradients, Hessians and Hessian-vector products for SciPy's optimizers.
"""

import sys

import numpy as np
from scipy.optimize import minimize

import fastbp as bp


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def main():
    start, paths = np.linspace(-1.0, 1.0, 20), {}

    def log(name):
        """Return a callback that keeps the points of the iterations."""
        points = paths.setdefault(name, [start])
        return lambda x: points.append(x.copy())

    # value_and_grad returns what jac=True asks for: both, from one recording.
    result = minimize(
        bp.value_and_grad(rosenbrock), start, jac=True, method="BFGS", callback=log("BFGS")
    )
    print(f"BFGS       {result.nit:4d} iterations, |x - 1| = {np.abs(result.x - 1).max():.1e}")

    result = minimize(
        rosenbrock,
        start,
        jac=bp.grad(rosenbrock),
        hessp=lambda x, v: bp.hvp(rosenbrock, x, v),
        method="Newton-CG",
        callback=log("Newton-CG"),
    )
    print(f"Newton-CG  {result.nit:4d} iterations, |x - 1| = {np.abs(result.x - 1).max():.1e}")

    result = minimize(
        rosenbrock,
        start,
        jac=bp.grad(rosenbrock),
        hess=bp.hessian(rosenbrock),
        method="trust-exact",
        callback=log("trust-exact"),
    )
    print(f"trust-exact {result.nit:3d} iterations, |x - 1| = {np.abs(result.x - 1).max():.1e}")
    return paths


def draw(paths):
    """Draw how the methods approach the minimum."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(layout="constrained")
    for name, points in paths.items():
        ax.semilogy([np.abs(x - 1.0).max() for x in points], ".-", label=name)
    ax.set(
        xlabel="iteration", ylabel="largest |x - 1|", title="Rosenbrock's function of 20 numbers"
    )
    ax.legend()
    return figure


if __name__ == "__main__":
    paths = main()
    if sys.argv[1:]:  # a file for the picture
        draw(paths).savefig(sys.argv[1])
