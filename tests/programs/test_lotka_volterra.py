"""Predators and prey: a Runge-Kutta loop, fitted to the furs of hares and lynxes by least squares.

References: the variational equations (sensitivities as further unknowns of the same loop), whose
Runge-Kutta steps are the derivatives of the steps, SciPy's fit by differences and a published fit.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares

import fastbp as bp

# Pelts of snowshoe hare and Canada lynx taken in by the Hudson's Bay Company, in thousands,
# 1900-1920: facts, as reprinted in E. P. Odum, Fundamentals of Ecology (1953).
HARES = [30, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22, 25.4, 27.1, 40.3, 57, 76.6, 52.3, 19.5,
         11.2, 7.6, 14.6, 16.2, 24.7]  # fmt: skip
LYNXES = [4, 6.1, 9.8, 35.2, 59.4, 41.7, 19, 13, 8.3, 9.1, 7.4, 8, 12.3, 19.5, 45.7, 51.1, 29.7,
          15.8, 9.7, 10.1, 8.6]  # fmt: skip
PELTS = np.column_stack([HARES, LYNXES])
STEPS = 10  # a year


def rates(t, z, alpha, beta, gamma, delta):
    u, v = z
    du = alpha * u - beta * u * v
    dv = delta * u * v - gamma * v
    return np.array([du, dv])


def rates_by_item(t, z, alpha, beta, gamma, delta):
    dz = np.zeros(2)
    dz[0] = (alpha - beta * z[1]) * z[0]
    dz[1] = (delta * z[0] - gamma) * z[1]
    return dz


def rates_as_a_list(t, z, alpha, beta, gamma, delta):
    return [alpha * z[0] - beta * z[0] * z[1], delta * z[0] * z[1] - gamma * z[1]]


def rk4(f, y0, t, args=()):
    n = len(t)
    y = np.zeros((n, len(y0)))
    y[0] = y0
    for i in range(n - 1):
        h = t[i + 1] - t[i]
        k1 = np.asarray(f(t[i], y[i], *args))
        k2 = np.asarray(f(t[i] + h / 2, y[i] + h / 2 * k1, *args))
        k3 = np.asarray(f(t[i] + h / 2, y[i] + h / 2 * k2, *args))
        k4 = np.asarray(f(t[i] + h, y[i] + h * k3, *args))
        y[i + 1] = y[i] + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y


def simulate(p, f=rates):
    t = np.linspace(0, 20, 20 * STEPS + 1)
    return rk4(f, p[4:], t, args=tuple(p[:4]))[::STEPS]


def residuals(p):
    return (np.log(simulate(p)) - np.log(PELTS)).ravel()


def residuals_by_item(p):
    return (np.log(simulate(p, rates_by_item)) - np.log(PELTS)).ravel()


def residuals_as_a_list(p):
    return (np.log(simulate(p, rates_as_a_list)) - np.log(PELTS)).ravel()


FORMS = [residuals, residuals_by_item, residuals_as_a_list]


def variational(t, w, alpha, beta, gamma, delta):
    """State and its derivative by four parameters and two initial values, by hand."""
    u, v = w[:2]
    S = w[2:].reshape(2, 6)
    A = np.array([[alpha - beta * v, -beta * u], [delta * v, delta * u - gamma]])
    B = np.array([[u, -u * v, 0, 0, 0, 0], [0, 0, -v, u * v, 0, 0]])
    return np.concatenate(
        [[alpha * u - beta * u * v, delta * u * v - gamma * v], (A @ S + B).ravel()]
    )


def sensitivities(p):
    start = np.zeros((2, 6))
    start[:, 4:] = np.eye(2)
    t = np.linspace(0, 20, 20 * STEPS + 1)
    w = rk4(variational, np.concatenate([p[4:], start.ravel()]), t, args=tuple(p[:4]))[::STEPS]
    return w[:, :2], w[:, 2:].reshape(-1, 2, 6)


START = np.array([0.6, 0.025, 0.75, 0.022, 30.0, 5.0])


@pytest.mark.parametrize("f", FORMS)
def test_the_jacobian_is_that_of_the_variational_equations(f):
    states, slopes = sensitivities(START)
    expected = (slopes / states[:, :, None]).reshape(-1, 6)
    assert_allclose(f(START), np.log(states / PELTS).ravel(), rtol=0, atol=1e-11)
    for mode in ("forward", "reverse"):
        found = bp.jacobian(bp.unmodified(f), mode=mode)(START)
        assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("f", FORMS[:1])
def test_fit(f):
    options = {"x_scale": START, "xtol": 1e-12, "ftol": 1e-12, "gtol": 1e-12}
    fit = least_squares(f, START, jac=bp.jacobian(bp.unmodified(f)), **options)
    differences = least_squares(f, START, jac="3-point", **options)
    assert fit.success
    states, slopes = sensitivities(fit.x)
    J = (slopes / states[:, :, None]).reshape(-1, 6)
    gradient = J.T @ np.log(states / PELTS).ravel()
    assert np.abs(gradient * fit.x).max() < 1e-6
    assert_allclose(fit.x, differences.x, rtol=1e-4)
    # Posterior means of the same model with log-normal errors: B. Carpenter, Predator-prey
    # population dynamics: the Lotka-Volterra model in Stan (2018). The prior moves them a little.
    assert_allclose(fit.x, [0.55, 0.028, 0.80, 0.024, 34.0, 5.9], rtol=0.03)


def test_the_steps_solve_the_equation():
    solution = solve_ivp(rates, (0, 20), START[4:], args=START[:4], rtol=1e-10, atol=1e-10)
    assert_allclose(simulate(START)[-1], solution.y[:, -1], rtol=1e-3)
