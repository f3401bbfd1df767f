"""Inverse heat problems: what was the temperature, where does the heat come from, what conducts it.

Each is written with what NumPy offers for it: `roll` for a ring, `pad` for insulated walls, slices
and steps in place for a rod. The references are modes (Fourier, cosine), in which the steps are
products, and the tangent-linear model by hand.
"""

import functools

import numpy as np
from numpy.testing import assert_allclose
from scipy.fft import dctn, idctn
from scipy.optimize import least_squares, minimize

import fastbp as bp

# A ring: the temperature of the beginning, from that of the end.


def ring(u, steps=40, r=0.25):
    for _ in range(steps):
        u = u + r * (np.roll(u, 1) - 2 * u + np.roll(u, -1))
    return u


def misfit(u0, data, alpha):
    return 0.5 * np.sum((ring(u0) - data) ** 2) + 0.5 * alpha * np.sum(u0**2)


def test_initial_temperature_of_a_ring(rng):
    n, alpha = 64, 1e-3
    truth = np.where(np.abs(np.arange(n) - 30) < 8, 1.0, 0.0)
    data = ring(truth) + 0.01 * rng.standard_normal(n)
    # Steps multiply a Fourier mode by a number: Tikhonov's solution in closed form.
    growth = (1 - 4 * 0.25 * np.sin(np.pi * np.fft.rfftfreq(n)) ** 2) ** 40
    expected = np.fft.irfft(growth * np.fft.rfft(data) / (growth**2 + alpha), n)
    found = minimize(
        bp.value_and_grad(misfit), np.zeros(n), args=(data, alpha), jac=True, method="L-BFGS-B",
        options={"ftol": 0, "gtol": 1e-9, "maxiter": 1000, "maxfun": 2000},
    )  # fmt: skip
    # The curvature is at least alpha.
    assert_allclose(found.x, expected, rtol=0, atol=1e-9 * np.sqrt(n) / alpha)
    newton = minimize(
        misfit, np.zeros(n), args=(data, alpha), jac=bp.grad(misfit),
        hessp=functools.partial(bp.hvp, misfit), method="trust-ncg", options={"gtol": 1e-10},
    )  # fmt: skip
    assert_allclose(newton.x, expected, rtol=0, atol=1e-10 * np.sqrt(n) / alpha)


# A plate with insulated edges: place, size and strength of a source, from a few thermometers.

N, STEPS, R = 24, 60, 0.2
SENSORS = (np.array([3, 8, 12, 17, 20, 5]), np.array([4, 18, 11, 6, 20, 10]))


def plate(p):
    """Return the readings of all sensors after every tenth step."""
    y, x = np.meshgrid(np.arange(N), np.arange(N), indexing="ij")
    source = p[3] * np.exp(-((x - p[0]) ** 2 + (y - p[1]) ** 2) / (2 * p[2] ** 2))
    u = np.zeros((N, N))
    readings = []
    for k in range(1, STEPS + 1):
        e = np.pad(u, 1, mode="edge")
        u = u + R * (e[:-2, 1:-1] + e[2:, 1:-1] + e[1:-1, :-2] + e[1:-1, 2:] - 4 * u) + source
        if k % 10 == 0:
            readings.append(u[SENSORS])
    return np.concatenate(readings)


def plate_by_modes(p):
    """Return the same; cosines are eigenvectors of the steps. Takes complex steps."""
    i = np.arange(N)
    source = p[3] * np.exp(-((i - p[0]) ** 2 + (i[:, None] - p[1]) ** 2) / (2 * p[2] ** 2))
    slow = -4 * np.sin(np.pi * i / (2 * N)) ** 2
    growth = 1 + R * (slow + slow[:, None])
    modes = dctn(source.real, norm="ortho") + 1j * dctn(source.imag, norm="ortho")
    readings = []
    for k in range(10, STEPS + 1, 10):
        filled = modes * sum(growth**j for j in range(k))
        u = idctn(filled.real, norm="ortho") + 1j * idctn(filled.imag, norm="ortho")
        readings.append(u[SENSORS])
    return np.concatenate(readings)


def test_source_on_a_plate():
    truth = np.array([9.0, 14.0, 2.5, 0.3])
    data = plate(truth)
    assert_allclose(data, plate_by_modes(truth.astype(complex)).real, rtol=1e-12)
    start = np.array([12.0, 12.0, 3.0, 1.0])
    jacobian = bp.jacobian(plate)
    h = 1e-30
    expected = [plate_by_modes(start + 1j * h * e).imag / h for e in np.eye(4)]
    assert_allclose(jacobian(start), np.transpose(expected), rtol=1e-11, atol=1e-13)
    fit = least_squares(lambda p: plate(p) - data, start, jac=jacobian, xtol=1e-14, gtol=1e-14)
    assert_allclose(fit.x, truth, rtol=1e-9)


# A rod of two materials: the conductivity of every piece, from the history of some points.

CELLS, DT = 20, 0.3


def rod(log_k):
    """Return the temperatures in the cells at all times; both ends are held at 1 and 0."""
    k = np.exp(log_k)
    faces = 2 * k[1:] * k[:-1] / (k[1:] + k[:-1])
    u = np.zeros(CELLS)
    u[0] = 1.0
    history = np.zeros((80, CELLS))
    for n in range(80):
        for _ in range(5):
            flux = faces * (u[1:] - u[:-1])
            u[1:-1] += DT * (flux[1:] - flux[:-1])
        history[n] = u
    return history[:, 1:-1].ravel()


def rod_by_hand(log_k):
    """Return history and Jacobian: the tangent-linear model beside the model."""
    k = np.exp(log_k)
    faces = 2 * k[1:] * k[:-1] / (k[1:] + k[:-1])
    d_faces = np.zeros((CELLS - 1, CELLS))
    for i in range(CELLS - 1):
        a, b = k[i], k[i + 1]
        d_faces[i, i] = 2 * b**2 / (a + b) ** 2 * a
        d_faces[i, i + 1] = 2 * a**2 / (a + b) ** 2 * b
    u, du = np.zeros(CELLS), np.zeros((CELLS, CELLS))
    u[0] = 1.0
    history, d_history = [], []
    for _ in range(80):
        for _ in range(5):
            flux = faces * np.diff(u)
            d_flux = d_faces * np.diff(u)[:, None] + faces[:, None] * np.diff(du, axis=0)
            u[1:-1] += DT * np.diff(flux)
            du[1:-1] += DT * np.diff(d_flux, axis=0)
        history.append(u[1:-1].copy())
        d_history.append(du[1:-1].copy())
    return np.ravel(history), np.reshape(d_history, (-1, CELLS))


def residuals(log_k, data):
    # A cell's neighbours may make up for it, so that differences cost a little.
    return np.concatenate([100 * (rod(log_k) - data), 0.1 * np.diff(log_k)])


def residuals_by_hand(log_k, data):
    history, jacobian = rod_by_hand(log_k)
    difference = np.diff(np.eye(CELLS), axis=0)
    return (
        np.concatenate([100 * (history - data), 0.1 * difference @ log_k]),
        np.vstack([100 * jacobian, 0.1 * difference]),
    )


def test_conductivity_of_a_rod(rng):
    truth = np.where(np.arange(CELLS) < 8, 0.0, np.log(0.3))
    data = rod(truth)
    data = data + 1e-3 * rng.standard_normal(data.shape)
    start = np.full(CELLS, -0.5)
    f = bp.unmodified(residuals)
    jacobian = bp.jacobian(f)
    values, expected = residuals_by_hand(start, data)
    assert_allclose(residuals(start, data), values, rtol=1e-12, atol=1e-12)
    assert_allclose(f(start, data), values, rtol=1e-12, atol=1e-12)
    assert_allclose(jacobian(start, data), expected, rtol=1e-11, atol=1e-11)
    fit = least_squares(residuals, start, jac=jacobian, args=(data,), xtol=1e-10)
    by_hand = least_squares(
        lambda x: residuals_by_hand(x, data)[0], start,
        jac=lambda x: residuals_by_hand(x, data)[1], xtol=1e-10,
    )  # fmt: skip
    assert_allclose(fit.x, by_hand.x, rtol=0, atol=1e-10)
    assert np.abs(fit.x - truth).max() < 0.15  # of a step of 1.2; the noise is 1e-3
