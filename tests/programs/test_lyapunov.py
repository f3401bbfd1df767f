"""Lyapunov exponents of Lorenz 63 and Lorenz 96: Jacobians of Runge-Kutta steps and a QR loop.

References: the same loop with Jacobians by hand, the divergence of the flow, which is the sum of
all exponents, and published values.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastbp as bp

SIGMA, RHO, BETA = 10.0, 28.0, 8.0 / 3.0
F = 8.0


def lorenz63(state):
    x, y, z = state
    return np.array([SIGMA * (y - x), x * (RHO - z) - y, x * y - BETA * z])


def lorenz96(x):
    return (np.roll(x, -1) - np.roll(x, 2)) * np.roll(x, 1) - x + F


def lorenz96_by_index(x):
    N = len(x)
    d = np.zeros(N)
    for i in range(N):
        d[i] = (x[(i + 1) % N] - x[i - 2]) * x[i - 1] - x[i] + F
    return d


def rk4(f, x, h):
    k1 = f(x)
    k2 = f(x + h / 2 * k1)
    k3 = f(x + h / 2 * k2)
    k4 = f(x + h * k3)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def step63(x, h=0.02):
    return rk4(lorenz63, x, h)


def step96(x, h=0.05):
    return rk4(lorenz96, x, h)


def exponents(jacobian, step, x, h, steps, settling=0):
    """Exponents per unit of time."""
    Q = np.eye(x.size)
    total = np.zeros(x.size)
    for k in range(settling + steps):
        Q, R = np.linalg.qr(jacobian(x) @ Q)
        x = step(x)
        if k >= settling:
            total += np.log(np.abs(np.diag(R)))
    return total / (steps * h)


def slope63(x):
    return np.array([[-SIGMA, SIGMA, 0], [RHO - x[2], -1, -x[0]], [x[1], x[0], -BETA]])


def slope96(x):
    N = len(x)
    J = -np.eye(N)
    for i in range(N):
        J[i, (i + 1) % N] += x[i - 1]
        J[i, i - 2] -= x[i - 1]
        J[i, i - 1] += x[(i + 1) % N] - x[i - 2]
    return J


def rk4_by_hand(f, slope, x, h):
    """Jacobian of the Runge-Kutta step, from that of the right side."""
    eye = np.eye(len(x))
    k1 = f(x)
    K1 = slope(x)
    k2 = f(x + h / 2 * k1)
    K2 = slope(x + h / 2 * k1) @ (eye + h / 2 * K1)
    k3 = f(x + h / 2 * k2)
    K3 = slope(x + h / 2 * k2) @ (eye + h / 2 * K2)
    K4 = slope(x + h * k3) @ (eye + h * K3)
    return eye + h / 6 * (K1 + 2 * K2 + 2 * K3 + K4)


def kaplan_yorke(exponents):
    total = np.cumsum(exponents)
    k = np.flatnonzero(total >= 0)[-1]
    return k + 1 + total[k] / abs(exponents[k + 1])


def after(step, x, steps):
    for _ in range(steps):
        x = step(x)
    return x


@pytest.mark.parametrize("f", [lorenz96, lorenz96_by_index])
def test_jacobian_of_the_right_side(f, rng):
    x = rng.standard_normal(9)
    f = bp.unmodified(f)
    assert_allclose(f(x), lorenz96(x), rtol=1e-15)
    assert_allclose(bp.jacobian(f)(x), slope96(x), rtol=1e-15)
    x = rng.standard_normal(3)
    assert_allclose(bp.jacobian(bp.unmodified(lorenz63))(x), slope63(x), rtol=1e-15)


def test_lorenz_63_along_one_trajectory():
    h, x = 0.02, after(step63, np.ones(3), 1000)
    found = exponents(bp.jacobian(bp.unmodified(step63)), step63, x, h, 500)
    by_hand = exponents(lambda x: rk4_by_hand(lorenz63, slope63, x, h), step63, x, h, 500)
    # The states are the same; steps contract the third direction to exp(-14.6 h) of the first.
    assert_allclose(found, by_hand, rtol=0, atol=1e-12)


def test_lorenz_63_as_published(rng):
    """200 trajectories side by side, elementwise, each with a frame of its own."""
    h, steps, members = 0.02, 700, 200
    step = bp.unmodified(step63)
    x = np.array([1.0, 1.0, 25.0])[:, None] + rng.standard_normal((3, members))
    x = after(step63, x, 500)
    Q = np.tile(np.eye(3), (members, 1, 1))
    total = np.zeros((members, 3))
    for k in range(200 + steps):
        x, push = bp.linearize(step, x)
        columns = [push(Q[:, :, j].T) for j in range(3)]
        Q, R = np.linalg.qr(np.stack(columns, axis=-1).swapaxes(0, 1))
        if k >= 200:
            total += np.log(np.abs(np.diagonal(R, axis1=1, axis2=2)))
    total /= steps * h
    mean, error = total.mean(axis=0), total.std(axis=0) / np.sqrt(members)
    # J. C. Sprott, Chaos and Time-Series Analysis (2003). The sum is the divergence of the flow,
    # up to the error of a Runge-Kutta step, which is of fourth order: 2e-3 at h = 0.02.
    assert_allclose(mean.sum(), -(SIGMA + 1 + BETA), atol=3e-3)
    assert np.all(np.abs(mean - [0.9056, 0, -14.5723]) < 4 * error + 3e-3)
    assert np.all(error < 0.015)


def test_lorenz_96_spectrum():
    h, N = 0.05, 40
    x = np.full(N, F)
    x[0] += 0.01
    x = after(step96, x, 1000)
    found = exponents(bp.jacobian(step96), step96, x, h, 1000, settling=200)
    # Lorenz & Emanuel, J. Atmos. Sci. 55 (1998): 13 positive ones, dimension 27.1. One is zero, and
    # 50 units of time leave errors of some 0.05 in it and 0.4 in the dimension.
    assert 12 <= np.sum(found > 0) <= 15
    assert abs(kaplan_yorke(found) - 27.1) < 1.2
    assert_allclose(found.sum(), -N, rtol=1e-3)  # the divergence is -1 for each variable


def test_lorenz_96_jacobians_by_hand():
    h, N = 0.05, 12
    x = after(step96, F + np.sin(np.arange(N)), 500)
    found = exponents(bp.jacobian(step96), step96, x, h, 100)
    by_hand = exponents(lambda x: rk4_by_hand(lorenz96, slope96, x, h), step96, x, h, 100)
    assert_allclose(found, by_hand, rtol=0, atol=1e-12)


def test_lorenz_96_doubling_time(rng):
    """The largest exponent alone: one tangent for each of 60 trajectories."""
    h, N, members, steps = 0.05, 36, 60, 500

    def right_side(x):
        return (np.roll(x, -1, axis=0) - np.roll(x, 2, axis=0)) * np.roll(x, 1, axis=0) - x + F

    def step(x):
        return rk4(right_side, x, h)

    x = after(step, F + rng.standard_normal((N, members)), 500)
    v = rng.standard_normal(x.shape)
    total = np.zeros(members)
    for k in range(100 + steps):
        x, v = bp.jvp(step, (x,), (v,))
        norm = np.linalg.norm(v, axis=0)
        v = v / norm
        if k >= 100:
            total += np.log(norm)
    total /= steps * h
    mean, error = total.mean(), total.std() / np.sqrt(members)
    # E. N. Lorenz, Predictability: a problem partly solved (1996): 36 variables, F = 8, errors
    # double in 2.1 days, of which a unit of time has five.
    assert error < 0.03
    assert abs(5 * np.log(2) / mean - 2.1) < 0.05 + 4 * 2.1 * error / mean
