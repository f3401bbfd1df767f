"""
Gradients for SciPy's minimize
==============================

Exact gradients, Hessians and Hessian-vector products for SciPy's optimizers.
"""

import numpy as np
from scipy.optimize import minimize

import fastbp as bp


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def main():
    start = np.linspace(-1.0, 1.0, 20)

    # value_and_grad returns what jac=True asks for: both, from one recording.
    result = minimize(bp.value_and_grad(rosenbrock), start, jac=True, method="BFGS")
    print(f"BFGS       {result.nit:4d} iterations, |x - 1| = {np.abs(result.x - 1).max():.1e}")

    result = minimize(
        rosenbrock,
        start,
        jac=bp.grad(rosenbrock),
        hessp=lambda x, v: bp.hvp(rosenbrock, x, v),
        method="Newton-CG",
    )
    print(f"Newton-CG  {result.nit:4d} iterations, |x - 1| = {np.abs(result.x - 1).max():.1e}")

    result = minimize(
        rosenbrock,
        start,
        jac=bp.grad(rosenbrock),
        hess=bp.hessian(rosenbrock),
        method="trust-exact",
    )
    print(f"trust-exact {result.nit:3d} iterations, |x - 1| = {np.abs(result.x - 1).max():.1e}")
    return result


if __name__ == "__main__":
    main()
