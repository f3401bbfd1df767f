"""The log-likelihood of a Kalman filter, its means and variances in preallocated arrays.

References: the Gaussian density of all observations at once, value and derivative in closed form,
and published estimates for the Nile.
"""

import numpy as np
from numpy.testing import assert_allclose
from scipy.optimize import minimize

import fastbp as bp


def tracking(theta, y, dt=0.1):
    """A particle of unknown velocity: position is measured. theta: logs of both deviations."""
    q, r = np.exp(theta[0]), np.exp(theta[1])
    T = len(y)
    F = np.array([[1.0, dt], [0.0, 1.0]])
    H = np.array([[1.0, 0.0]])
    Q = q**2 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
    R = r**2
    means = np.zeros((T, 2))
    covariances = np.zeros((T, 2, 2))
    m, P = np.zeros(2), np.eye(2)
    loglik = 0.0
    for t in range(T):
        m = F @ m
        P = F @ P @ F.T + Q
        v = y[t] - H @ m
        S = H @ P @ H.T + R
        K = P @ H.T @ np.linalg.inv(S)
        m = m + K @ v
        P = (np.eye(2) - K @ H) @ P
        means[t] = m
        covariances[t] = P
        loglik += -0.5 * (np.log(2 * np.pi) + np.log(np.linalg.det(S)) + v @ np.linalg.solve(S, v))
    return loglik, means, covariances


def log_likelihood(theta, y):
    return tracking(theta, y)[0]


def roughness(theta, y):
    """Something of the means themselves."""
    means = tracking(theta, y)[1]
    return np.sum(np.diff(means[:, 1]) ** 2)


def covariance(theta, T, dt=0.1):
    """Covariance matrix of all observations and its two derivatives."""
    F = np.array([[1.0, dt], [0.0, 1.0]])
    unit = np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
    q2, r2 = np.exp(2 * theta)
    rows = np.array([[1.0, j * dt] for j in range(T)])  # position j steps later
    start, driven = np.eye(2), np.zeros((2, 2))
    C0, Cq = np.zeros((T, T)), np.zeros((T, T))
    for t in range(T):
        start, driven = F @ start @ F.T, F @ driven @ F.T + unit
        C0[t, t:] = C0[t:, t] = rows[: T - t] @ start[:, 0]
        Cq[t, t:] = Cq[t:, t] = rows[: T - t] @ driven[:, 0]
    return C0 + q2 * Cq + r2 * np.eye(T), [2 * q2 * Cq, 2 * r2 * np.eye(T)]


def density(theta, y):
    C, slopes = covariance(theta, len(y))
    alpha, (_, logdet) = np.linalg.solve(C, y), np.linalg.slogdet(C)
    value = -0.5 * (y @ alpha + logdet + len(y) * np.log(2 * np.pi))
    inverse = np.linalg.inv(C)
    return value, np.array([0.5 * (alpha @ s @ alpha - np.sum(inverse * s)) for s in slopes])


def simulate(rng, T, q=0.8, r=0.3, dt=0.1):
    velocity = np.cumsum(q * np.sqrt(dt) * rng.standard_normal(T)) + rng.standard_normal()
    return np.cumsum(dt * velocity) + r * rng.standard_normal(T)


THETA = np.log([0.8, 0.3])


def test_500_steps(rng):
    y = simulate(rng, 500)
    value, gradient = density(THETA, y)
    assert_allclose(log_likelihood(THETA, y), value, rtol=1e-9)
    found = bp.value_and_grad(bp.unmodified(log_likelihood))(THETA, y)
    assert_allclose(found[0], value, rtol=1e-9)
    assert_allclose(found[1], gradient, rtol=1e-8)


def test_what_was_stored_is_differentiable(rng):
    y = simulate(rng, 60)
    found = bp.grad(bp.unmodified(roughness))(THETA, y)
    h = 1e-3
    for k, e in enumerate(np.eye(2)):
        near, far = (
            (roughness(THETA + s * e, y) - roughness(THETA - s * e, y)) / (2 * s)
            for s in (h, 2 * h)
        )
        assert_allclose(found[k], (4 * near - far) / 3, rtol=1e-9)


# Annual flow of the Nile at Aswan, 1871-1970, in 10^8 m^3: Cobb (1978), Biometrika 65, 243. Facts
# of nature, reprinted in every textbook on the subject.
NILE = [
    1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994, 1020, 960, 1180,
    799, 958, 1140, 1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100, 774, 840, 874, 694, 940, 833,
    701, 916, 692, 1020, 1050, 969, 831, 726, 456, 824, 702, 1120, 1100, 832, 764, 821, 768, 845,
    864, 862, 698, 845, 744, 796, 1040, 759, 781, 865, 845, 944, 984, 897, 822, 1010, 771, 676, 649,
    846, 812, 742, 801, 1040, 860, 874, 848, 890, 744, 749, 838, 1050, 918, 986, 797, 923, 975, 815,
    1020, 906, 901, 1170, 912, 746, 919, 718, 714, 740,
]  # fmt: skip


def local_level(theta, y):
    """Minus the diffuse log-likelihood: the first observation is the prior."""
    s2_eps, s2_eta = np.exp(theta)
    n = len(y)
    a, P = np.empty(n + 1), np.empty(n + 1)
    a[1], P[1] = y[0], s2_eps + s2_eta
    v, F = np.zeros(n), np.ones(n)
    for t in range(1, n):
        v[t] = y[t] - a[t]
        F[t] = P[t] + s2_eps
        K = P[t] / F[t]
        a[t + 1] = a[t] + K * v[t]
        P[t + 1] = P[t] * (1 - K) + s2_eta
    return 0.5 * np.sum(np.log(2 * np.pi * F[1:]) + v[1:] ** 2 / F[1:])


def test_the_nile():
    """Durbin and Koopman, Time Series Analysis by State Space Methods, section 2.10."""
    f = bp.unmodified(local_level)
    y = np.array(NILE)
    found = minimize(
        bp.value_and_grad(f), np.log([10000.0, 1000.0]), args=(y,), jac=True, method="BFGS",
        options={"gtol": 1e-6},
    )  # fmt: skip
    assert_allclose(found.x, np.log([15099, 1469.1]), rtol=0, atol=5e-4)
    assert_allclose(found.fun, 632.54, rtol=0, atol=0.01)
    newton = minimize(
        f, np.log([10000.0, 1000.0]), args=(y,), jac=bp.grad(f), hess=bp.hessian(f),
        method="trust-exact", options={"gtol": 1e-8},
    )  # fmt: skip
    assert_allclose(newton.x, found.x, rtol=0, atol=1e-5)
