"""
Burgers' equation by FFT
========================

Burgers' equation by FFT: viscosity and initial condition from what is seen later.

u_t + u u_x = nu u_xx, periodic, in Fourier space: each step solves the linear part exactly and the
quadratic one by Runge and Kutta. `np.fft` is recorded as it stands. One observation of a steepened
wave gives back the wave that it was, and the viscosity, with error bars.
"""

import sys

import numpy as np
from scipy.optimize import least_squares

import fastbp as bp

POINTS, STEPS, UNTIL = 64, 60, 0.6
X = 2.0 * np.pi * np.arange(POINTS) / POINTS
K = np.arange(POINTS // 2 + 1)
KEPT = K < POINTS / 3  # two thirds: products of these do not come back as lower frequencies
WAVES = np.array([np.sin(X), np.cos(X), np.sin(2.0 * X), np.cos(2.0 * X)])


def quadratic(v):
    u = np.fft.irfft(v, POINTS)
    return -0.5j * K * KEPT * np.fft.rfft(u * u)


def solve(u, nu, until=UNTIL, steps=STEPS):
    h = until / steps
    half = np.exp(-nu * K**2 * h / 2.0)
    v = np.fft.rfft(u)
    for _ in range(steps):
        k1 = quadratic(v)
        k2 = quadratic(half * (v + h / 2.0 * k1))
        k3 = quadratic(half * v + h / 2.0 * k2)
        k4 = quadratic(half * half * v + h * half * k3)
        v = half * (half * (v + h / 6.0 * k1) + h / 3.0 * (k2 + k3)) + h / 6.0 * k4
    return np.fft.irfft(v, POINTS)


def exact(nu, t):
    """Cole and Hopf: u = -2 nu (log phi)_x, and phi solves the heat equation; from u = sin x."""
    phi = np.exp((np.cos(X) - 1.0) / (2.0 * nu))
    phi = np.fft.rfft(phi) * np.exp(-nu * K**2 * t)
    return -2.0 * nu * np.fft.irfft(1j * K * phi, POINTS) / np.fft.irfft(phi, POINTS)


def model(p):
    return solve(p[1:] @ WAVES, np.exp(p[0]))


def main():
    error = np.abs(solve(np.sin(X), 0.2) - exact(0.2, UNTIL)).max()
    print(f"from sin x: within {error:.0e} of the exact solution")
    assert error < 1e-7

    # The derivative by the viscosity against that of the exact solution, in the same way.
    slope = bp.jacobian(lambda nu: solve(np.sin(X), nu), mode="forward")(0.2)
    error = np.abs(slope - bp.jacobian(lambda nu: exact(nu, UNTIL), mode="forward")(0.2)).max()
    print(f"its derivative by the viscosity: within {error:.0e}")
    assert error < 1e-5

    rng = np.random.default_rng(0)
    true, noise = np.array([np.log(0.1), 1.0, 0.5, -0.4, 0.3]), 0.01
    seen = model(true) + noise * rng.standard_normal(POINTS)
    start = np.array([np.log(0.3), 0.5, 0.0, 0.0, 0.0])
    jacobian = bp.jacobian(model, mode="forward")
    fit = least_squares(
        lambda p: (model(p) - seen) / noise, start, jac=lambda p: jacobian(p) / noise
    )
    errors = np.sqrt(np.diag(np.linalg.inv(fit.jac.T @ fit.jac)))
    print(f"{fit.nfev} solutions, {fit.njev} Jacobians; chi^2 {2.0 * fit.cost:.0f} of {POINTS}")
    for name, value, one, is_ in zip(
        ("log nu", "sin x", "cos x", "sin 2x", "cos 2x"), fit.x, errors, true, strict=True
    ):
        print(f"{name:6} {value:7.3f} +- {one:.3f}; true {is_:.3f}")
    assert np.all(np.abs(fit.x - true) < 4.0 * errors)
    # For one gradient over the whole initial condition the other direction is the cheap one.
    u0 = fit.x[1:] @ WAVES
    adjoint = bp.grad(lambda u: np.sum((solve(u, 0.1) - seen) ** 2))(u0)
    v = rng.standard_normal(POINTS)
    _, along = bp.jvp(lambda u: np.sum((solve(u, 0.1) - seen) ** 2), (u0,), (v,))
    assert np.isclose(adjoint @ v, along, rtol=1e-10)
    return seen, true, fit.x


def draw(seen, true, fitted):
    """Draw the wave that was, the one that is seen, and both as fitted."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(layout="constrained")
    ax.plot(X, true[1:] @ WAVES, "C0", label="at the start")
    ax.plot(X, fitted[1:] @ WAVES, "k:", label="the same, fitted")
    ax.plot(X, seen, "C1.", label=f"seen at t = {UNTIL}")
    ax.plot(X, model(fitted), "C1", label="fitted")
    ax.set(xlabel="x", ylabel="u", title="A wave of Burgers' equation, from what became of it")
    ax.legend()
    return figure


if __name__ == "__main__":
    found = main()
    if sys.argv[1:]:  # a file for the picture
        draw(*found).savefig(sys.argv[1])
