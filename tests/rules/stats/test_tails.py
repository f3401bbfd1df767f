"""Values and slopes of distributions next to their ends and far out, against mpmath."""

import mpmath as mp
import numpy as np
import pytest

import fastbp as bp
import fastbp.scipy.stats as bst

from ...digits import working_digits

# Densities, and masses to both sides, of an argument and the shapes.


def _of_gamma(scale):
    def part(a, low, high):
        return mp.gammainc(a, low, high, regularized=True)

    def make(to_x):
        return lambda x, a: to_x(part, x * scale, a * scale)

    return make(lambda part, x, a: part(a, 0, x)), make(lambda part, x, a: part(a, x, mp.inf))


def _beta_part(low, high, a, b):
    return mp.betainc(a, b, low, high, regularized=True)


def _of_f(upper):
    def mass(x, n, m):
        # The smaller argument, which is exact.
        small = m / (m + n * x) if upper else n * x / (m + n * x)
        first, second = (m / 2, n / 2) if upper else (n / 2, m / 2)
        return _beta_part(0, small, first, second)

    return mass


def _t_tail(x, n):
    mass = _beta_part(0, n / (n + x * x), n / 2, mp.mpf(1) / 2) / 2
    return mass if x > 0 else 1 - mass


def _gennorm_tail(x, b):
    mass = mp.gammainc(1 / b, abs(x) ** b, mp.inf, regularized=True) / 2
    return mass if x > 0 else 1 - mass


GAMMA, CHI2 = _of_gamma(1), _of_gamma(mp.mpf(1) / 2)
MASSES = {  # to the left, to the right
    "beta": (lambda x, a, b: _beta_part(0, x, a, b), lambda x, a, b: _beta_part(0, 1 - x, b, a)),
    "cauchy": (lambda x: mp.atan2(1, -x) / mp.pi, lambda x: mp.atan2(1, x) / mp.pi),
    "chi2": CHI2,
    "expon": (lambda x: -mp.expm1(-x), lambda x: mp.exp(-x)),
    "f": (_of_f(False), _of_f(True)),
    "gamma": GAMMA,
    "gennorm": (lambda x, b: _gennorm_tail(-x, b), _gennorm_tail),
    "gumbel_l": (lambda x: -mp.expm1(-mp.exp(x)), lambda x: mp.exp(-mp.exp(x))),
    "gumbel_r": (lambda x: mp.exp(-mp.exp(-x)), lambda x: -mp.expm1(-mp.exp(-x))),
    "halfcauchy": (lambda x: 2 / mp.pi * mp.atan(x), lambda x: 2 / mp.pi * mp.atan2(1, x)),
    "halfnorm": (lambda x: mp.erf(x / mp.sqrt(2)), lambda x: mp.erfc(x / mp.sqrt(2))),
    "invgamma": (lambda x, a: GAMMA[1](1 / x, a), lambda x, a: GAMMA[0](1 / x, a)),
    "lognorm": (lambda x, s: mp.ncdf(mp.log(x) / s), lambda x, s: mp.ncdf(-mp.log(x) / s)),
    "pareto": (lambda x, b: -mp.expm1(-b * mp.log(x)), lambda x, b: x**-b),
    "rayleigh": (lambda x: -mp.expm1(-x * x / 2), lambda x: mp.exp(-x * x / 2)),
    "t": (lambda x, n: _t_tail(-x, n), _t_tail),
    "uniform": (lambda x: x, lambda x: 1 - x),
    "weibull_min": (lambda x, c: -mp.expm1(-(x**c)), lambda x, c: mp.exp(-(x**c))),
}
LOG_DENSITIES = {
    "beta": lambda x, a, b: (a - 1) * mp.log(x) + (b - 1) * mp.log1p(-x) - mp.log(mp.beta(a, b)),
    "cauchy": lambda x: -mp.log(mp.pi * (1 + x * x)),
    "chi2": lambda x, n: (n / 2 - 1) * mp.log(x / 2) - x / 2 - mp.loggamma(n / 2) - mp.log(2),
    "expon": lambda x: -x,
    "f": lambda x, n, m: (
        n / 2 * mp.log(n / m)
        + (n / 2 - 1) * mp.log(x)
        - (n + m) / 2 * mp.log1p(n * x / m)
        - mp.log(mp.beta(n / 2, m / 2))
    ),
    "gamma": lambda x, a: (a - 1) * mp.log(x) - x - mp.loggamma(a),
    "gennorm": lambda x, b: mp.log(b / 2) - mp.loggamma(1 / b) - abs(x) ** b,
    "gumbel_l": lambda x: x - mp.exp(x),
    "gumbel_r": lambda x: -x - mp.exp(-x),
    "halfcauchy": lambda x: mp.log(2 / mp.pi) - mp.log1p(x * x),
    "halfnorm": lambda x: mp.log(2 / mp.pi) / 2 - x * x / 2,
    "invgamma": lambda x, a: -(a + 1) * mp.log(x) - 1 / x - mp.loggamma(a),
    "lognorm": lambda x, s: -((mp.log(x) / s) ** 2) / 2 - mp.log(x * s) - mp.log(2 * mp.pi) / 2,
    "pareto": lambda x, b: mp.log(b) - (b + 1) * mp.log(x),
    "rayleigh": lambda x: mp.log(x) - x * x / 2,
    "t": lambda x, n: (
        -(n + 1) / 2 * mp.log1p(x * x / n) - mp.log(n) / 2 - mp.log(mp.beta(n / 2, mp.mpf(1) / 2))
    ),
    "uniform": lambda x: mp.mpf(0),
    "weibull_min": lambda x, c: mp.log(c) + (c - 1) * mp.log(x) - x**c,
}
SHAPES = {"f": (3.25, 4.5), "beta": (1.75, 3.25), "t": (3.25,), "gennorm": (1.75,)}
LEFT = (1e-120, 1e-30, 1e-10, 0.4)
RIGHT = (2.5, 20.0, 900.0)
FAR = (1e15, 1e100, 1e200, 1e300)
HEAVY = ("cauchy", "f", "halfcauchy", "invgamma", "lognorm", "pareto", "t")  # tails
BOTH = ("cauchy", "gennorm", "gumbel_l", "gumbel_r", "t")
UNIT = ("beta", "uniform")


def points(name):
    far = FAR if name in HEAVY else ()
    if name == "invgamma":
        return [*LEFT[1:], *RIGHT, *far]
    if name == "pareto":
        return [1.0 + 2.0**-40, *RIGHT, *far]
    if name in UNIT:
        return [*LEFT, 0.75, 0.99, 1.0 - 2.0**-40]
    if name in BOTH:
        most = np.inf if name in HEAVY else 30.0  # mpmath is slow beyond
        found = [x for x in (*LEFT, *RIGHT, *far) if 1e-10 < x < most]
        return [*found, *(-x for x in found)]
    return [*LEFT, *RIGHT, *far]


def by_central_differences(f, exact, start=0):
    slopes = []
    for k in range(start, len(exact)):
        h = abs(exact[k]) * mp.mpf(10) ** (-mp.mp.dps // 3)
        ends = [f(*exact[:k], exact[k] + v, *exact[k + 1 :]) for v in (h, -h)]
        slopes.append((ends[0] - ends[1]) / (2 * h))
    return slopes


def truth(name, method, x, shapes):
    """Return a value and its derivatives: of the smaller mass, which shows small ones."""
    exact = [mp.mpf(float(v)) for v in (x, *shapes)]
    kind = method.removeprefix("log")
    if kind == "pdf":
        with working_digits(60 if abs(x) > 1e-12 else 420):
            log = LOG_DENSITIES[name](*exact)
            relative = by_central_differences(LOG_DENSITIES[name], exact)
        value = mp.exp(log)
        return (value, [r * value for r in relative]) if kind == method else (log, relative)
    masses = [mass(*exact) for mass in MASSES[name]]
    right, less = kind == "sf", masses[1] < masses[0]
    logarithmic = [(-1 if less else 1) * mp.exp(LOG_DENSITIES[name](*exact)) / masses[less]]
    if 1e-12 < abs(x) < 1e6:  # further out, shapes would need too many digits
        logarithmic += by_central_differences(
            lambda *a: mp.log(MASSES[name][less](*a)), exact, start=1
        )
    slopes = [(1 if right == less else -1) * s * masses[less] for s in logarithmic]
    value = masses[right]
    if kind == method:
        return value, slopes
    if right == less:
        return mp.log(value), logarithmic
    return mp.log1p(-masses[less]), [s / (1 - masses[less]) for s in slopes]


def beyond(number):
    """Whether a number is none of double precision, or one of few digits."""
    return number != 0 and not mp.mpf("1e-290") < abs(number) < mp.mpf("1e290")


@pytest.mark.parametrize("name", MASSES)
def test_next_to_the_ends_and_far_out(name):
    d = getattr(bst, name)
    shapes = SHAPES.get(name) or tuple(1.17 * s for s in d.row.example)
    checked, everything = 0, tuple(range(1 + len(shapes)))
    for method in ("pdf", "logpdf", "cdf", "sf", "logcdf", "logsf"):
        for x in points(name):
            with np.errstate(all="ignore"):
                value, slopes = bp.value_and_grad(getattr(d, method), everything)(x, *shapes)
            with working_digits(40):
                try:
                    expected, steep = truth(name, method, x, shapes)
                except (mp.NoConvergence, ValueError, OverflowError):
                    continue
                pairs = ((value, expected), *zip(slopes, steep, strict=False))
                for k, (found, right) in enumerate(pairs):
                    bound = 2e-10 if k < 2 else 1e-8  # by shapes: quadrature
                    where = (method, x, found, mp.nstr(right, 17))
                    if beyond(right):  # 0 to rounding, or infinite
                        tiny = abs(right) < 1
                        assert (tiny and abs(found) < 1e-280) or abs(found) > 1e280, where
                        continue
                    assert abs(mp.mpf(float(found)) - right) <= bound * abs(right) + 1e-300, where
                    checked += 1
    assert checked > 30


@pytest.mark.parametrize("name", [n for n in MASSES if n not in UNIT])
@pytest.mark.parametrize("x", [1e15, 1e160, 1e308, -1e15, -1e160, -1e308, np.inf, -np.inf])
def test_beyond_all_mass(name, x):
    """Density and mass have no slope there, in shapes, location and scale neither."""
    d = getattr(bst, name)
    shapes = d.row.example
    for method in ("pdf", "cdf", "sf"):
        everything = tuple(range(3 + len(shapes)))
        with np.errstate(all="ignore"):
            value, slopes = bp.value_and_grad(getattr(d, method), everything)(x, *shapes, 0.5, 2.0)
        if name not in HEAVY:
            assert value == (method == ("sf" if x < 0 else "cdf"))
        np.testing.assert_allclose(slopes, 0.0, atol=1e-14)


@pytest.mark.parametrize(
    ("name", "shapes", "slope"),
    [
        ("gamma", (2.0,), 1.0),
        ("gamma", (3.0,), 0.0),
        ("gamma", (1.0,), -1.0),
        ("chi2", (4.0,), 0.25),
        ("weibull_min", (2.0,), 2.0),
        ("f", (4.0, 6.0), 32.0 / 6.0),
        ("beta", (2.0, 3.0), 12.0),
        ("beta", (1.0, 2.0), -2.0),
        ("rayleigh", (), 1.0),
    ],
)
def test_density_at_its_end(name, shapes, slope):
    np.testing.assert_allclose(bp.grad(getattr(bst, name).pdf)(0.0, *shapes), slope, rtol=1e-12)


def test_density_of_a_circle_has_no_limit():
    for method in ("pdf", "logpdf"):
        with np.errstate(all="ignore"):
            value, slope = bp.value_and_grad(getattr(bst.vonmises, method))(np.inf, 1.5)
        assert np.isnan(value)
        assert np.isnan(slope)


@pytest.mark.parametrize("q", [1e-20, 1e-10, 0.2, 0.25, 0.5, 0.5 + 2.0**-40, 0.9, 1.0 - 2.0**-40])
@pytest.mark.parametrize(
    ("name", "shapes"),
    [("cauchy", ()), ("halfcauchy", ()), ("f", (3.25, 4.5)), ("gennorm", (1.75,))],
)
def test_quantiles(name, shapes, q):
    """They are where the mass is what was asked for, and their slope is one by the density."""
    for method in ("ppf", "isf"):
        value, slope = bp.value_and_grad(getattr(getattr(bst, name), method))(q, *shapes)
        with working_digits(40):
            exact = [mp.mpf(float(v)) for v in (value, *shapes)]
            density = mp.exp(LOG_DENSITIES[name](*exact))
            mass = MASSES[name][method == "isf"](*exact)
            if value:
                assert abs((mass - mp.mpf(q)) / density / exact[0]) < 1e-14
            assert abs(abs(float(slope)) * density - 1) < 1e-12
