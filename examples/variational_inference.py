"""
Variational inference
=====================

Variational inference by reparameterisation, against a posterior that is known.

A Bayesian linear regression has a Gaussian posterior in closed form. Here a Gaussian q = N(m, L L')
looks for it by the ELBO alone, E_q[log p(y, w) - log q(w)], with draws w = m + L z: the gradient
passes through the draw. With q's own parameters held constant in log q (`stop_gradient`; Roeder,
Wu, Duvenaud 2017) the noise of the gradient vanishes where q is the posterior: the loop ends there.
"""

import sys

import numpy as np

import fastbp as bp

PRIOR, NOISE = 2.0, 0.5  # standard deviations


def log_joint(w, X, y):
    """Return log p(y, w) up to a constant, for each row of w."""
    return (
        -0.5 * np.sum((y - w @ X.T) ** 2, axis=-1) / NOISE**2
        - 0.5 * np.sum(w**2, axis=-1) / PRIOR**2
    )


def factor(q):
    """Return L: positive on its diagonal."""
    return np.tril(q["lower"], -1) + np.diag(np.exp(q["log_diagonal"]))


def log_density(w, q):
    """Return log q(w) up to a constant, for each row of w."""
    r = np.linalg.solve(factor(q), (w - q["mean"]).T)
    return -0.5 * np.sum(r**2, axis=0) - np.sum(q["log_diagonal"])


def negative_elbo(q, z, X, y):
    w = q["mean"] + z @ factor(q).T
    held = bp.tree.map(bp.stop_gradient, q)
    return np.mean(log_density(w, held) - log_joint(w, X, y))


def adam(gradient, p, noise, rates, decay=(0.9, 0.99)):
    """Return the parameters before and after a step for each rate; p is any container."""
    m, path = bp.tree.map(np.zeros_like, p), [p]
    v = bp.tree.map(np.zeros_like, p)
    for t, rate in enumerate(rates, 1):
        g = gradient(p, noise())
        m = bp.tree.map(lambda m, g: decay[0] * m + (1.0 - decay[0]) * g, m, g)
        v = bp.tree.map(lambda v, g: decay[1] * v + (1.0 - decay[1]) * g * g, v, g)
        a, b = 1.0 - decay[0] ** t, 1.0 - decay[1] ** t
        p = bp.tree.map(
            lambda p, m, v: p - rate * (m / a) / (np.sqrt(v / b) + 1e-8),  # noqa: B023
            p, m, v,
        )  # fmt: skip
        path.append(p)
    return path


def main():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 3)) @ np.array([[1.0, 0.8, 0.0], [0.0, 0.6, 0.3], [0.0, 0.0, 1.0]])
    y = X @ np.array([1.0, -2.0, 0.5]) + NOISE * rng.standard_normal(40)

    covariance = np.linalg.inv(X.T @ X / NOISE**2 + np.eye(3) / PRIOR**2)
    mean = covariance @ X.T @ y / NOISE**2

    q = {"mean": np.zeros(3), "log_diagonal": np.full(3, -1.0), "lower": np.zeros((3, 3))}
    gradient = bp.grad(lambda q, z: negative_elbo(q, z, X, y))
    rates = 0.05 * 0.5 ** (np.arange(1500) // 150)
    path = adam(gradient, q, lambda: rng.standard_normal((8, 3)), rates)
    q = path[-1]

    L = factor(q)
    deviations = np.sqrt(np.diag(covariance))
    print("mean       ", q["mean"].round(4), " exact", mean.round(4))
    print("deviations ", np.sqrt(np.diag(L @ L.T)).round(4), " exact", deviations.round(4))
    off = np.abs((q["mean"] - mean) / deviations).max()
    off_covariance = np.abs((L @ L.T - covariance) / np.outer(deviations, deviations)).max()
    print(f"largest errors, in deviations: {off:.0e} and {off_covariance:.0e}")
    assert max(off, off_covariance) < 1e-6
    # At the posterior itself each draw has the same ELBO, and the gradient is zero.
    C = np.linalg.cholesky(covariance)
    best = {"mean": mean, "log_diagonal": np.log(np.diag(C)), "lower": C}
    for leaf in bp.tree.flatten(gradient(best, rng.standard_normal((1, 3))))[0]:
        assert np.abs(leaf).max() < 1e-10
    return path, mean, covariance


def draw(path, mean, covariance):
    """Draw q on its way to the posterior, as ellipses of one deviation of two weights."""
    import matplotlib.pyplot as plt

    def ellipse(mean, L):
        angle = np.linspace(0.0, 2.0 * np.pi, 100)
        return mean[:2] + np.column_stack([np.cos(angle), np.sin(angle)]) @ L.T

    figure, ax = plt.subplots(layout="constrained")
    ax.plot(*np.transpose([q["mean"][:2] for q in path]), color="gray", label="mean of q")
    for step in (0, 20, 60, 1500):
        ax.plot(*ellipse(path[step]["mean"], factor(path[step])[:2, :2]).T, label=f"q, step {step}")
    exact = ellipse(mean, np.linalg.cholesky(covariance[:2, :2]))
    ax.plot(*exact.T, "k:", linewidth=3, label="posterior, exact")
    ax.set(xlabel="first weight", ylabel="second weight")
    ax.legend()
    return figure


if __name__ == "__main__":
    found = main()
    if sys.argv[1:]:  # a file for the picture
        draw(*found).savefig(sys.argv[1])
