"""A stiff Burgers equation by the method of lines, under BDF and Radau.

References: the Jacobian by hand, and the wave that travels without change (a solution of the
equation in closed form).
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp

import fastbp as bp

N = 101
NU = 0.02
X = np.linspace(0, 1, N)
DX = X[1] - X[0]


def wave(x, t):
    return 0.5 * (1 - np.tanh((x - 0.3 - 0.5 * t) / (4 * NU)))


def burgers(t, u):
    dudt = np.zeros_like(u)
    ux = (u[2:] - u[:-2]) / (2 * DX)
    uxx = (u[2:] - 2 * u[1:-1] + u[:-2]) / DX**2
    dudt[1:-1] = -u[1:-1] * ux + NU * uxx
    return dudt


def conservative(t, u):
    """Fluxes between the points, the change begun with zeros and added to in place."""
    flux = np.empty(N - 1)
    flux[:] = 0.25 * (u[1:] ** 2 + u[:-1] ** 2) - NU * np.diff(u) / DX
    dudt = np.zeros(N)
    dudt[1:] -= flux / DX * -1
    dudt[:-1] -= flux / DX
    dudt[0] = 0
    dudt[-1] = 0
    return dudt


def point_by_point(t, u):
    dudt = np.zeros(N)
    for i in range(1, N - 1):
        dudt[i] = -u[i] * (u[i + 1] - u[i - 1]) / (2 * DX)
        dudt[i] += NU * (u[i + 1] - 2 * u[i] + u[i - 1]) / DX**2
    return dudt


FORMS = [burgers, conservative, point_by_point]


def by_hand(t, u, f=burgers):
    inner = np.arange(1, N - 1)
    J = np.zeros((N, N))
    J[inner, inner] = -2 * NU / DX**2
    J[inner, inner + 1] = J[inner, inner - 1] = NU / DX**2
    if f is conservative:
        J[inner, inner + 1] -= 0.5 * u[2:] / DX
        J[inner, inner - 1] += 0.5 * u[:-2] / DX
    else:
        J[inner, inner] -= (u[2:] - u[:-2]) / (2 * DX)
        J[inner, inner + 1] -= u[1:-1] / (2 * DX)
        J[inner, inner - 1] += u[1:-1] / (2 * DX)
    return J


@pytest.mark.parametrize("f", FORMS)
def test_the_jacobian_is_that_by_hand(f):
    u = wave(X, 0.0)
    expected = by_hand(0.0, u, f)
    for mode in ("auto", "forward", "reverse"):
        found = bp.jacobian(bp.unmodified(f), argnums=1, mode=mode)(0.0, u)
        assert_allclose(found, expected, rtol=0, atol=1e-15 * np.abs(expected).max() * 8)
    sparse = bp.sparse.jacobian(bp.unmodified(f), argnums=1)(0.0, u)
    assert_allclose(sparse.toarray(), expected, rtol=0, atol=1e-15 * np.abs(expected).max() * 8)
    assert sparse.nnz <= 3 * N


@pytest.mark.parametrize("method", ["BDF", "Radau"])
@pytest.mark.parametrize("f", [burgers, conservative])
def test_the_wave_travels(f, method):
    options = {"method": method, "rtol": 1e-6, "atol": 1e-8}
    span, start = (0, 0.4), wave(X, 0.0)
    exact = solve_ivp(f, span, start, jac=bp.jacobian(bp.unmodified(f), argnums=1), **options)
    adapted = solve_ivp(f, span, start, **bp.sparse.for_solve_ivp(bp.unmodified(f)), **options)
    by_differences = solve_ivp(f, span, start, **options)
    assert exact.success
    assert exact.njev <= by_differences.njev
    assert_allclose(adapted.y[:, -1], exact.y[:, -1], rtol=0, atol=1e-5)
    assert_allclose(by_differences.y[:, -1], exact.y[:, -1], rtol=0, atol=1e-5)
    # Central differences are off by u_xxx DX^2 / 6; at the ends the wave is flat.
    assert_allclose(exact.y[:, -1], wave(X, 0.4), rtol=0, atol=5e-3)


def test_plain_numpy_is_enough():
    """`np.zeros_like(u)` gives an array that takes what is recorded."""
    u = wave(X, 0.0)
    found = bp.jacobian(burgers, argnums=1)(0.0, u)
    assert_allclose(found, by_hand(0.0, u), rtol=0, atol=1e-15 * np.abs(found).max() * 8)
