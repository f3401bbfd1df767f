"""Where poles of the parts of a derivative cancel: close to them, and at them."""

import math
from functools import partial

import mpmath
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


def of_roots(roots, x):
    """Return the product of ``x - r`` over roots, and its first two derivatives."""
    p = np.polynomial.Polynomial.fromroots(roots) if roots else np.polynomial.Polynomial([1.0])
    return [p.deriv(k)(x) if k else p(x) for k in range(3)]


def of_reciprocal(values):
    """Return the derivatives of 1 / p from those of p."""
    p, first, second = values
    return [1.0 / p, -first / p**2, 2.0 * first**2 / p**3 - second / p**2]


@pytest.mark.parametrize("m", range(-3, 6))
@pytest.mark.parametrize("x", range(-5, 2))
def test_poch_of_whole_numbers(x, m):
    """A product of m factors, or the reciprocal of one, of any x."""
    exact = of_roots([-float(k) for k in range(m)], float(x))
    if m < 0:
        if x > 0:
            return  # x + m may be a pole, and x not: infinite
        exact = of_reciprocal(of_roots([float(k) for k in range(1, -m + 1)], float(x)))
    value, slope, curvature = exact
    with np.errstate(all="ignore"):
        assert special.poch(float(x), float(m)) == pytest.approx(value, rel=1e-13)
        first, second = orders(lambda t: special.poch(t, float(m)), 2)
        np.testing.assert_allclose(first(float(x)), slope, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(second(float(x)), curvature, rtol=1e-12, atol=1e-12)
        if x <= 0 and x + m <= 0:  # of any other m it is 0
            assert not np.isfinite(bp.grad(special.poch, 1)(float(x), float(m)))


@pytest.mark.parametrize("b", range(1, 5))
@pytest.mark.parametrize("a", range(-6, 0))
def test_beta_of_a_negative_whole_number(a, b):
    """``(b - 1)! / (a (a + 1) ... (a + b - 1))`` of any a; next to such a, of other b, infinite."""
    if a + b > 0:
        return
    product = of_reciprocal(of_roots([-float(k) for k in range(b)], float(a)))
    value, slope, curvature = (math.factorial(b - 1) * d for d in product)
    bent = curvature / value - (slope / value) ** 2
    for f, expected in (
        (special.beta, (slope, curvature)),
        (special.betaln, (slope / value, bent)),
    ):
        for k, args in ((0, (float(a), float(b))), (1, (float(b), float(a)))):

            def along(t, f=f, k=k, args=args):
                return f(t, args[1]) if k == 0 else f(args[0], t)

            with np.errstate(all="ignore"):
                for d, e in zip(orders(along, 2), expected, strict=True):
                    np.testing.assert_allclose(d(float(a)), e, rtol=1e-12)
                assert not np.isfinite(bp.grad(f, 1 - k)(*args))


@pytest.mark.parametrize("args", [(-1.5, 1e-20), (-20.3, 1e-12), (-0.5, -1e-9)])
def test_slopes_of_negative_numbers_for_short_steps(args):
    with mpmath.workdps(120):
        a, b = map(mpmath.mpf, args)
        expected = [float(mpmath.diff(lambda x: mpmath.beta(x, b), a, n)) for n in (1, 2)]
        steps = [float(mpmath.diff(lambda x: mpmath.rf(x, b), a, n)) for n in (1, 2)]
    for f, slopes in ((special.beta, expected), (special.poch, steps)):
        for d, e in zip(orders(lambda x, f=f: f(x, args[1]), 2), slopes, strict=True):
            np.testing.assert_allclose(d(args[0]), e, rtol=1e-12)


NEXT_TO_POLES = [
    ("beta", (-2.5, 1.5 + 1e-9)),
    ("beta", (0.3, -1.3 + 1e-12)),
    ("beta", (2.4, -4.4 + 1e-5)),
    ("betaln", (-7.3, 1e-6)),
    ("betaln", (-1.5, -1e-12)),
    ("binom", (5.3, 6.3 + 1e-9)),
    ("binom", (2.2, -3.0 + 1e-6)),
    ("binom", (0.5, 1.5 + 1e-13)),
    ("poch", (1e-20, 10.0)),
    ("poch", (-3.0 + 1e-12, 5.0)),
    ("poch", (1e-13, -0.5)),
    ("poch", (-20.3, 1e-15)),
]


@pytest.mark.parametrize(("name", "args"), NEXT_TO_POLES)
def test_derivatives_next_to_poles_keep_their_digits(name, args):
    """There the poles of several digammas cancel, or two digammas that are nearly equal."""
    functions = {
        "beta": mpmath.beta,
        "betaln": lambda a, b: mpmath.log(abs(mpmath.beta(a, b))),
        "binom": mpmath.binomial,
        "poch": mpmath.rf,
    }

    def f(x):
        return getattr(special, name)(x[0], x[1])

    x = np.array(args)
    slopes, bends = bp.grad(f)(x), bp.hessian(f)(x)
    forward = bp.jacobian(f, mode="fwd")(x)
    with mpmath.workdps(120):
        at = [mpmath.mpf(float(v)) for v in x]
        for i, first in enumerate(((1, 0), (0, 1))):
            expected = float(mpmath.diff(functions[name], at, first))
            np.testing.assert_allclose([slopes[i], forward[i]], expected, rtol=1e-13)
            for j in range(2):
                order = tuple(k + (j == n) for n, k in enumerate(first))
                expected = float(mpmath.diff(functions[name], at, order))
                np.testing.assert_allclose(bends[i, j], expected, rtol=1e-12)


def test_slopes_of_binom_in_the_middle():
    for n in (1e-9, 7.3, 100.0):
        with mpmath.workdps(60):
            expected = float(mpmath.diff(partial(mpmath.binomial, n), n / 2 - n * 1e-9))
        np.testing.assert_allclose(bp.grad(special.binom, 1)(n, n / 2 - n * 1e-9), expected, 1e-11)
    assert bp.grad(special.binom, 1)(7.3, 3.65) == 0.0


@pytest.mark.parametrize("a", [0.0, 1e-20, 1e-12, 1e-6, 0.09, 0.11])
@pytest.mark.parametrize("x", [0.1, 1.0, 25.0])
def test_derivatives_by_a_tiny_shape(a, x):
    with mpmath.workdps(60):
        upper = partial(mpmath.gammainc, a=x, regularized=True)
        at = mpmath.mpf(a)
        expected = [float(mpmath.diff(upper, at, n, h="1e-18")) for n in (1, 2)]
    for f, sign in ((special.gammaincc, 1.0), (special.gammainc, -1.0)):
        for d, e in zip(orders(lambda t, f=f: f(t, x), 2), expected, strict=True):
            np.testing.assert_allclose(d(a), sign * e, rtol=1e-11)
    if a:  # and by x after it
        mixed = bp.grad(bp.grad(special.gammaincc), 1)(a, x)
        density = np.exp((a - 1.0) * np.log(x) - x)
        slope = -density * special.rgamma(a + 1.0) * (1.0 + a * (np.log(x) - special.psi(a + 1.0)))
        np.testing.assert_allclose(mixed, slope, rtol=1e-11)
