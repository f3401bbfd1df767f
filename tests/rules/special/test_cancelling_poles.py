"""Where poles of the parts of a derivative cancel: close to them, and at them."""

import math

import numpy as np
import pytest
from scipy import special

import fastbp as bp
import fastbp.scipy.special as bsp

# Derivatives of zeta at 0 (DLMF 25.6.11 and on), from the first.
AT_ZERO = [-0.5 * math.log(2.0 * math.pi), -2.0063564559085848, -6.0047111668622544]
FOURTH, FIFTH = -23.997103188013707, -120.00023290755849


def orders(f, n):
    found = [bp.grad(f)]
    for _ in range(n - 1):
        found.append(bp.grad(found[-1]))
    return found


@pytest.mark.parametrize("x", [-1e-10, -1e-7, -1e-5, 0.0, 1e-7])
@pytest.mark.parametrize("f", [special.zetac, bsp.zetac, bsp.zeta])
def test_zeta_close_to_zero(f, x):
    series = [*AT_ZERO, FOURTH, FIFTH]
    for n, d in enumerate(orders(f, 3)):
        expected = series[n] + series[n + 1] * x + 0.5 * series[n + 2] * x * x
        np.testing.assert_allclose(d(x), expected, rtol=1e-12)
    slope = AT_ZERO[0] + AT_ZERO[1] * x
    np.testing.assert_allclose(bp.jvp(f, (x,), (1.0,))[1], slope, rtol=1e-9)
    np.testing.assert_allclose(bp.grad(f)(np.float32(x)), slope, rtol=1e-5)


def test_zeta_where_the_formulas_meet():
    for x in (-0.25, -0.3, -1.0):
        below, above = np.nextafter(x, -2.0), np.nextafter(x, 2.0)
        for d in orders(special.zetac, 3):
            np.testing.assert_allclose(d(below), d(above), rtol=1e-12)


@pytest.mark.skipif(
    np.lib.NumpyVersion(__import__("scipy").__version__) < "1.15.0", reason="zeta of real numbers"
)
def test_zeta_of_complex_numbers_close_to_zero():
    for z in (-1e-10 + 0j, -1e-7 + 1e-6j, -1e-4 - 1e-9j):
        expected = AT_ZERO[0] + AT_ZERO[1] * z + 0.5 * AT_ZERO[2] * z * z
        np.testing.assert_allclose(bp.vjp(bsp.zeta, z)[1](1.0)[0], expected, rtol=1e-11)


@pytest.mark.parametrize(
    ("a", "b", "slopes"),
    [
        (-0.5, 0.5, (-2.0 * math.pi, -2.0 * math.pi)),
        (-1.5, 0.5, (-4.0 * math.pi / 3.0, -4.0 * math.pi / 3.0)),
    ],
)
def test_beta_where_it_is_zero(a, b, slopes):
    """``beta(a, b) = gamma(a) gamma(b) / gamma(a + b)``, whose last factor has a zero there."""
    # The slope of 1 / gamma at -n is (-1)^n n!; SciPy's value there is 0.
    n = -(a + b)
    factor = math.gamma(a) * math.gamma(b) * (-1.0) ** n * math.factorial(int(n))
    np.testing.assert_allclose(slopes, [factor, factor], rtol=1e-14)
    np.testing.assert_allclose(bp.grad(special.beta, (0, 1))(a, b), slopes, rtol=1e-13)
    step = 1e-5
    hessian = bp.hessian(lambda v: special.beta(v[0], v[1]))(np.array([a, b]))
    for k in (0, 1):
        h = np.zeros(2)
        h[k] = step
        change = np.subtract(
            bp.grad(special.beta, (0, 1))(a + h[0], b + h[1]),
            bp.grad(special.beta, (0, 1))(a - h[0], b - h[1]),
        )
        np.testing.assert_allclose(hessian[k], change / (2.0 * step), rtol=1e-5)
