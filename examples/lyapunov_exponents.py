"""
Lyapunov exponents
==================

How fast does weather forget? Lyapunov exponents of Lorenz's models of 1963 and 1996.

The right sides and the Runge-Kutta step are plain NumPy, as they are written to integrate; the
exponents follow from the Jacobians of the steps.
"""

import sys

import numpy as np

import fastbp as bp


def lorenz_1963(state):
    x, y, z = state
    return np.array([10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z])


def lorenz_1996(x):
    return (np.roll(x, -1) - np.roll(x, 2)) * np.roll(x, 1) - x + 8.0


def runge_kutta(f, x, h):
    k1 = f(x)
    k2 = f(x + h / 2 * k1)
    k3 = f(x + h / 2 * k2)
    k4 = f(x + h * k3)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def exponents(f, x, h, steps):
    """Return the mean rates at which the axes of a small ellipsoid grow along the trajectory."""

    def step(x):
        return runge_kutta(f, x, h)

    jacobian = bp.jacobian(bp.unmodified(step))
    for _ in range(1000):  # onto the attractor
        x = step(x)
    Q, total = np.eye(x.size), np.zeros(x.size)
    settling = steps // 5  # until the axes have found their directions
    for k in range(-settling, steps):
        Q, R = np.linalg.qr(jacobian(x) @ Q)
        x = step(x)
        if k >= 0:
            total += np.log(np.abs(np.diag(R)))
    return total / (steps * h)


def dimension(exponents):
    """Kaplan and Yorke's: how many axes together neither grow nor shrink."""
    total = np.cumsum(exponents)
    k = np.flatnonzero(total >= 0)[-1]
    return k + 1 + total[k] / abs(exponents[k + 1])


def main():
    found = exponents(lorenz_1963, np.ones(3), 0.02, 4000)
    print(f"1963: exponents {found.round(3)}, dimension {dimension(found):.3f}")
    print("      published (Sprott 2003): 0.906, 0, -14.572; dimension 2.062")
    assert abs(found.sum() + 10 + 1 + 8 / 3) < 0.01  # the divergence of the flow
    found = exponents(lorenz_1996, 8.0 + np.sin(np.arange(40.0)), 0.05, 2000)
    days = 5 * np.log(2) / found[0]
    print(
        f"1996: {np.sum(found > 0)} of 40 exponents are positive, dimension {dimension(found):.1f},"
        f" errors double in {days:.1f} days"
    )
    print("      published (Lorenz and Emanuel 1998): 13, dimension 27.1, 2.1 days")
    assert abs(found.sum() + 40) < 0.1
    return found


def draw(spectrum):
    """Draw the attractor of 1963 and the exponents of 1996."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.4), layout="constrained")
    path = [np.array([1.0, 1.0, 20.0])]
    for _ in range(6000):
        path.append(runge_kutta(lorenz_1963, path[-1], 0.01))
    x, _, z = np.transpose(path[500:])
    left.plot(x, z, linewidth=0.4)
    left.set(xlabel="x", ylabel="z", title="Lorenz 1963: the attractor")
    right.bar(np.arange(1, 41), spectrum, color=np.where(spectrum > 0, "tab:red", "tab:blue"))
    right.set(xlabel="number", title="Lorenz 1996: exponents, positive ones red")
    return figure


if __name__ == "__main__":
    spectrum = main()
    if sys.argv[1:]:  # a file for the picture
        draw(spectrum).savefig(sys.argv[1])
