"""Slopes at the ends of ranges, from inside: as limits, which are 0, finite or infinite."""

import functools

import mpmath
import numpy as np
import pytest
from scipy import special

import fastbp as bp
from fastbp.scipy import special as bsp

INF = np.inf
DISTRIBUTIONS = [
    # by a, by b, by x
    ("gdtr", (2.0, 0.5, 0.0), (0.0, 0.0, INF)),
    ("gdtr", (2.0, 1.0, 0.0), (0.0, 0.0, 2.0)),
    ("gdtr", (2.0, 3.0, 0.0), (0.0, 0.0, 0.0)),
    ("gdtrc", (2.0, 0.5, 0.0), (0.0, 0.0, -INF)),
    ("gdtrc", (2.0, 1.0, 0.0), (0.0, 0.0, -2.0)),
    ("fdtr", (1.0, 3.0, 0.0), (0.0, 0.0, INF)),
    ("fdtr", (2.0, 3.0, 0.0), (0.0, 0.0, 1.0)),
    ("fdtr", (3.0, 3.0, 0.0), (0.0, 0.0, 0.0)),
    ("fdtrc", (1.0, 3.0, 0.0), (0.0, 0.0, -INF)),
    ("fdtrc", (2.0, 3.0, 0.0), (0.0, 0.0, -1.0)),
    ("fdtr", (3.0, 4.0, INF), (0.0, 0.0, 0.0)),
    ("fdtr", (3.0, 0.5, INF), (0.0, 0.0, 0.0)),
    ("fdtrc", (3.0, 4.0, INF), (0.0, 0.0, 0.0)),
    ("gdtr", (2.0, 0.5, INF), (0.0, 0.0, 0.0)),
    ("gdtrc", (2.0, 3.0, INF), (0.0, 0.0, 0.0)),
    ("kolmogorov", (INF,), (0.0,)),
    ("fdtri", (3.0, 2.0, 1.0), (1.0 / 9.0, -INF, INF)),  # which rounding hides on the way
]
QUANTILES = [
    # by the parameters, by p
    ("gammaincinv", (0.5, 0.0), (0.0, 0.0)),
    ("gammaincinv", (1.0, 0.0), (0.0, 1.0)),
    ("gammaincinv", (3.0, 0.0), (0.0, INF)),
    ("gammaincinv", (3.0, 1.0), (INF, INF)),
    ("gammainccinv", (0.5, 1.0), (0.0, 0.0)),
    ("gammainccinv", (1.0, 1.0), (0.0, -1.0)),
    ("gammainccinv", (3.0, 1.0), (0.0, -INF)),
    ("gammainccinv", (3.0, 0.0), (INF, -INF)),
    ("chdtri", (1.0, 1.0), (0.0, 0.0)),
    ("chdtri", (2.0, 1.0), (0.0, -2.0)),
    ("chdtri", (5.0, 1.0), (0.0, -INF)),
    ("chdtri", (5.0, 0.0), (INF, -INF)),
    ("betaincinv", (0.5, 3.0, 0.0), (0.0, 0.0, 0.0)),
    ("betaincinv", (1.0, 3.0, 0.0), (0.0, 0.0, 1.0 / 3.0)),
    ("betaincinv", (3.0, 3.0, 0.0), (0.0, 0.0, INF)),
    ("betaincinv", (0.5, 3.0, 1.0), (0.0, 0.0, INF)),
    ("betaincinv", (3.0, 1.0, 1.0), (0.0, 0.0, 1.0 / 3.0)),
    ("betainccinv", (1.0, 3.0, 1.0), (0.0, 0.0, -1.0 / 3.0)),
    ("betainccinv", (3.0, 3.0, 0.0), (0.0, 0.0, -INF)),
    ("fdtri", (1.0, 3.0, 0.0), (0.0, 0.0, 0.0)),
    ("fdtri", (2.0, 3.0, 0.0), (0.0, 0.0, 1.0)),
    ("fdtri", (5.0, 3.0, 0.0), (0.0, 0.0, INF)),
    ("fdtri", (5.0, 3.0, 1.0), (-INF, -INF, INF)),
    ("fdtri", (5.0, 1.0, 1.0), (INF, -INF, INF)),
    ("stdtrit", (3.0, 1.0), (-INF, INF)),
    ("kolmogi", (0.0,), (-INF,)),
]


@pytest.mark.parametrize(("name", "at", "slopes"), DISTRIBUTIONS + QUANTILES)
def test_slopes(name, at, slopes):
    f = getattr(bsp, name)
    if np.isnan(getattr(special, name)(*at)):
        pytest.skip(f"{name} is NaN there in this SciPy (fdtri in 1.13)")
    np.testing.assert_allclose(f(*at), getattr(special, name)(*at))
    for k, slope in enumerate(slopes):
        np.testing.assert_allclose(bp.grad(f, k)(*at), slope, rtol=1e-13)
        tangents = [float(j == k) for j in range(len(at))]
        np.testing.assert_allclose(bp.jvp(f, at, tangents)[1], slope, rtol=1e-13)


@pytest.mark.parametrize(("name", "at", "slopes"), QUANTILES)
def test_slopes_are_those_that_are_approached(name, at, slopes):
    """Close to an end each slope has gone to its limit, or is on its way."""
    f = getattr(bsp, name)
    for k, slope in enumerate(slopes):
        near, nearer = (bp.grad(f, k)(*at[:-1], abs(at[-1] - step)) for step in (1e-6, 1e-12))
        if np.isinf(slope):
            assert abs(nearer) > 1.1 * abs(near)
            assert np.sign(nearer) == np.sign(slope)
        else:
            assert abs(nearer - slope) <= max(0.1 * abs(near - slope), 1e-8)


@pytest.mark.parametrize(
    ("name", "at", "i", "j"),
    [
        ("gdtr", (2.0, 0.5, 0.0), 2, 0),
        ("gdtrc", (2.0, 0.5, 0.0), 2, 0),
        ("gammaincinv", (1.0, 0.0), 1, 0),
        ("gammaincinv", (2.0, 0.0), 1, 0),
        ("gammainccinv", (2.0, 1.0), 1, 0),
        ("betaincinv", (1.0, 3.0, 0.0), 2, 0),
        ("betaincinv", (3.0, 1.0, 1.0), 2, 1),
        ("betainccinv", (1.0, 3.0, 1.0), 2, 0),
    ],
)
def test_a_slope_that_moves_infinitely_is_not_still(name, at, i, j):
    """A partial that vanishes beside an infinite factor: its own slope is not a silent 0."""
    f = getattr(bsp, name)
    for first, second in ((i, j), (j, i)):
        both = bp.grad(bp.grad(f, first), second)(*at)
        assert not np.isfinite(both)


@pytest.mark.parametrize(
    ("a", "b", "slope"),
    [(1.0, 1.5, -INF), (1.0, -1.0, -0.5), (-2.0, 1.5, -5.0), (-1.0, 0.5, 1.0), (0.0, 0.7, 0.0)],
)
def test_hyperu_at_zero(a, b, slope):
    """U(1, -1, x) = (1 - x) / 2 + ..., U(-2, b, x) = b (b + 1) - 2 (b + 1) x + x^2."""
    np.testing.assert_allclose(bp.grad(bsp.hyperu, 2)(a, b, 0.0), slope, rtol=1e-13)


@pytest.mark.parametrize(
    ("a", "b", "x", "slope"),
    [(0.7, 0.0, 1.0, -0.19786919737695044), (1.5, 0.0, 1.2, -0.11254536532488917)],
)
def test_hyperu_where_scipy_loses_its_slope(a, b, x, slope):
    """At b = -1, where the slope is of b = 0; the numbers are mpmath's."""
    np.testing.assert_allclose(bp.grad(bsp.hyperu, 2)(a, b, x), slope, rtol=1e-10)


@pytest.mark.parametrize(
    ("a", "b", "x", "slope"),
    [
        (1.4587318112501801, -3.0, 3.071240892996925e-10, -0.05955930931415643),
        (2.0, 1.0, 4.1274831931877946e-14, -24227839416717.554),
        (3.0, 3.0, 4.7e-08, -9.6317769328568937e21),
        (-2.25, 1.0, 1e-10, 5737844127.7669964),
        (0.9997692031904211, 2.0, 0.0037734785632642723, -70219.660347049375),
    ],
)
def test_hyperu_near_to_zero_for_whole_b(a, b, x, slope):
    """SciPy's is NaN there, or wrong by orders; the numbers are mpmath's."""
    np.testing.assert_allclose(bp.grad(bsp.hyperu, 2)(a, b, x), slope, rtol=1e-10)


@pytest.mark.parametrize(
    ("m", "n", "x", "slopes"),
    [
        (3.0, 0.5, 1e17, (-9.1089841493792557e-7, 8.1110465222841486e-4, 1.0277351979982167e-22)),
        (0.5, 2.5, 1e15, (1.0556657379227226e-19, 4.6562465633853889e-18, 3.585545907383429e-34)),
        (40.0, 4.0, 1e20, (2.5e-43, 4.7469374660517841e-39, 4.2e-60)),
    ],
)
def test_slopes_of_fdtr_far_out(m, n, x, slopes):
    """Where 1 - m x / (n + m x) has no digits left; the numbers are mpmath's."""
    np.testing.assert_allclose(bp.grad(bsp.fdtr, (0, 1, 2))(m, n, x), slopes, rtol=1e-10)


def test_hyperu_of_no_degree_is_constant():
    assert bp.grad(bsp.hyperu, 2)(0.0, 1.0, 1.0) == 0.0


def test_mixed_slopes_of_quantiles_are_finite_where_they_exist():
    """Of a = 1 it is 1 - (1 - p)^(1/b): the slope 1/b at 0 changes with b. And mirrored."""
    for f, low, high, sign in (
        (special.betaincinv, 0.0, 1.0, 1.0),
        (special.betainccinv, 1.0, 0.0, -1.0),
    ):
        assert bp.grad(bp.grad(f, 1), 2)(1.0, 3.0, low) == pytest.approx(-sign / 9.0, rel=1e-13)
        assert bp.grad(bp.grad(f, 0), 2)(3.0, 1.0, high) == pytest.approx(-sign / 9.0, rel=1e-13)


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("elliprf", (0.0, 1.0, 2.0)),
        ("elliprd", (0.0, 1.0, 2.0)),
        ("elliprc", (0.0, 2.0)),
        ("elliprg", (0.0, 0.0, 2.0)),
        ("elliprj", (0.0, 1.0, 2.0, 0.5)),
        ("elliprj", (0.0, 1.0, 2.0, -0.5)),
    ],
)
def test_an_integral_that_diverges_is_infinite(name, at):
    """These go as the square root of x, or as x log(x): no number is the slope at 0."""
    f = getattr(bsp, name)
    assert bp.grad(f)(*at) == (INF if bp.grad(f)(1e-12, *at[1:]) > 0.0 else -INF)


@pytest.mark.parametrize(
    ("f", "x", "slope", "bend"),
    [
        (special.i0, 1e-310, 5e-311, 0.5),  # SciPy's I_2 is NaN there
        (special.i1, 1e-310, 0.5, 3.75e-311),
        (special.i1, -1e-160, 0.5, -3.75e-161),
        (special.j1, 1e-200, 0.5, -3.75e-201),
        (special.ellipkm1, 1e-300, -5e299, INF),  # Carlson's integral overflows
        (special.exprel, 712.0, 2.3151584978796846e306, 2.3119114440911167e306),
        (special.exprel, 1e3, INF, INF),
    ],
)
def test_slopes_are_numbers_where_parts_of_them_are_not(f, x, slope, bend):
    np.testing.assert_allclose(bp.grad(f)(x), slope, rtol=1e-12)
    np.testing.assert_allclose(bp.jvp(f, (x,), (1.0,))[1], slope, rtol=1e-12)
    np.testing.assert_allclose(bp.grad(bp.grad(f))(x), bend, rtol=1e-12)


def test_the_slope_of_a_gamma_density_of_a_tiny_shape():
    slope = bp.grad(special.gammainc, 1)
    for x in (0.5, 1.0, 3.0):  # x^(a - 1) e^-x / gamma(a), times (a - 1) / x - 1
        expected = -1e-20 * np.exp(-x) / x * (1.0 / x + 1.0)
        np.testing.assert_allclose(bp.grad(slope, 1)(1e-20, x), expected, rtol=1e-14)


@pytest.mark.parametrize(("v", "x"), [(5.9, 30.1), (20.0, 1e3), (50.0, 1e8), (9e3, 1e8)])
@pytest.mark.parametrize("name", ["ive", "kve"])
def test_scaled_bessel_functions_of_large_orders_far_out(name, v, x):
    """Their neighbours are equal there but for the last digits."""
    with mpmath.workdps(60):
        of = {"ive": mpmath.besseli, "kve": mpmath.besselk}[name]
        sign = {"ive": -1, "kve": 1}[name]
        values = [
            float(mpmath.diff(lambda t: mpmath.exp(sign * t) * of(v, t), x, n, h=x * 1e-10))
            for n in (1, 2, 3)
        ]
    d = functools.partial(getattr(special, name), v)
    for expected in values:
        d = bp.grad(d)
        np.testing.assert_allclose(d(x), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("d", "r"), [(1.0, 1e4), (1e-6, 10.0), (1e-20, -20.3), (3.0, 1e20), (10.0, 1e200), (10.0, 1e-3)]
)
def test_pseudo_huber_far_out(d, r):
    """``d^2 (sqrt(1 + (r / d)^2) - 1)``, whose curvatures are cubes of sines and cosines."""
    h = np.hypot(d, r)
    at, s, c = np.array([d, r]), r / h, d / h

    def f(x):
        return special.pseudo_huber(x[0], x[1])

    by_width = (h - d) * ((h - d) / h) if d < abs(r) else r**4 / (h * (h + d) ** 2)
    np.testing.assert_allclose(bp.grad(f)(at), [by_width, d * s], rtol=1e-14)
    np.testing.assert_allclose(bp.jacobian(f, mode="fwd")(at), [by_width, d * s], rtol=1e-14)
    bend = -((s * s / (1.0 + c)) ** 2) * (2.0 + c)
    np.testing.assert_allclose(bp.hessian(f)(at), [[bend, s**3], [s**3, c**3]], rtol=1e-14)
