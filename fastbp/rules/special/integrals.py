"""Integrals of elementary functions: of exponentials, sines, logarithms, bells.

Their derivatives are elementary. Those that are differences of large numbers far out, as Dawson's
integral, are asymptotic series there.
"""

import functools
import math

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import Variable, is_passive, passive
from fastbp.rules.engine import vanishing
from fastbp.rules.special import unwrapped as special
from fastbp.rules.special.rows import (
    Numeric,
    elementwise,
    function,
    helper,
    order,
    real,
    refuse_complex,
    whole,
)
from fastbp.rules.special.ufuncs import ROOT_PI, ROOT_TWO_PI, bell, erf, hazard
from fastbp.rules.table import helper as plain_helper

# ---- exponential integrals

exp1 = elementwise(
    "exp1",
    None,
    lambda z, x: -np.exp(-x) / x,
    complex=True,
    reach=(0.01, 500.0),
    error=(1e-13, 1e-13),
)
expi = elementwise(
    "expi",
    None,
    lambda z, x: np.exp(x) / x,
    complex=True,
    reach=(0.01, 500.0),
    error=(1e-13, 1e-13),
)


@Numeric
def expn_any(n, x):
    """Return the exponential integral of any whole order: E_-m is a sum (DLMF 8.19)."""
    with np.errstate(all="ignore"):
        n, x = np.broadcast_arrays(n, x)
        m = np.where(n < 1.0, 1.0 - n, 1.0)
        below = special.gamma(m) * special.gammaincc(m, x) / np.power(x, m)
        return np.where(n < 1.0, below, whole(special.expn, np.where(n < 1.0, 1, n), x))


helper("expn_any", expn_any, order("n"), lambda z, n, x: -expn_any(n - 1.0, x))
expn = elementwise(
    "expn",
    Numeric(functools.partial(whole, special.expn)),
    order("n"),
    lambda z, n, x: -expn_any(np.trunc(n) - 1.0, x),  # SciPy takes the whole part
    samples=lambda rng: [
        ((np.array([1, 2, 3]), rng.uniform(0.3, 3.0, 3)), {}),
        ((0, rng.uniform(0.3, 3.0, 2)), {}),
    ],
    reach=((0, 10), (0.1, 50.0)),
    error=(1e-13, 1e-13),
    source="DLMF 8.19.13",
)

# ---- sine, cosine and their hyperbolic integrals


def _pair(name, first, second):
    """Let two operations stand for a ufunc of two results."""

    @function(name, samples=lambda rng: [((rng.uniform(0.3, 3.0, 3),), {})])
    def both(x, **kwargs):
        if type(x) is not Variable or kwargs:
            return getattr(special, name)(x, **kwargs)
        return first(x), second(x)

    both.__doc__ = f"Return two integrals; arguments as in `scipy.special.{name}`."
    graph.bind_function(getattr(special, name), both)
    return both


def _result(ufunc, k):
    @Numeric
    def result(x):
        return ufunc(x)[k]

    return result


def _sine_ratio(x):
    return np.sinc(x / math.pi)


def _ratio_series(x):
    """Return ``sinh(x) / x``, by its series next to 0."""
    small = np.abs(x) < 1.0
    s = np.where(small, x, 0.0)
    s = s * s
    series = 0.0
    for k in range(12, -1, -1):
        series = series * s + 1.0 / math.factorial(2 * k + 1)
    away = np.where(small, 1.0, x)
    return np.where(small, series, np.sinh(away) / away)


def _sine_series(x):
    small = np.abs(x) < 1.0
    s = np.where(small, x, 0.0)
    s = s * s
    series = 0.0
    for k in range(12, -1, -1):
        series = series * s + (-1.0) ** k / math.factorial(2 * k + 1)
    away = np.where(small, 1.0, x)
    return np.where(small, series, np.sin(away) / away)


def _two(ufunc, names, slopes, **facts):
    results = []
    for k, (name, slope) in enumerate(zip(names, slopes, strict=True)):
        numeric = _result(ufunc, k)
        helper(
            name,
            numeric,
            lambda z, x, slope=slope: slope(x),
            domain=(0.3, 3.0),
            complex=True,
            **facts,
        )
        results.append(numeric)
    return results


sine_integral, cosine_integral = _two(
    special.sici, ("sine_integral", "cosine_integral"), (_sine_series, lambda x: np.cos(x) / x)
)
sici = _pair("sici", sine_integral, cosine_integral)
sinh_integral, cosh_integral = _two(
    special.shichi,
    ("sinh_integral", "cosh_integral"),
    (_ratio_series, lambda x: np.cosh(x) / x),
)
shichi = _pair("shichi", sinh_integral, cosh_integral)
fresnel_sine, fresnel_cosine = _two(
    special.fresnel,
    ("fresnel_sine", "fresnel_cosine"),
    (
        lambda x: np.sin((0.5 * math.pi) * (x * x)),
        lambda x: np.cos((0.5 * math.pi) * (x * x)),
    ),
)
fresnel = _pair("fresnel", fresnel_sine, fresnel_cosine)

# ---- the dilogarithm


def _log_ratio(u):
    """Return ``log1p(u) / u``: next to 0 by the series of atanh."""
    small = np.abs(u) < 0.4
    s = np.where(small, u, 0.0)
    half = s / (2.0 + s)
    square, series = half * half, 0.0
    for k in range(15, -1, -1):
        series = series * square + 1.0 / (2 * k + 1)
    away = np.where(small, 1.0, u)
    return np.where(small, 2.0 / (2.0 + s) * series, np.log1p(away) / away)


def _spence_slope(z, x):
    # log(x) / (1 - x); close to 0 without the rounding of x - 1.
    near = np.abs(x - 1.0) < 0.4
    far = np.where(near, 2.0, x)
    return np.where(near, -_log_ratio(np.where(near, x - 1.0, 0.0)), np.log(far) / (1.0 - far))


spence = elementwise(
    "spence", None, _spence_slope, complex=True, reach=(1e-3, 1e3), error=(1e-14, 1e-13)
)

# ---- error functions

erfi = elementwise(
    "erfi",
    None,
    lambda z, x: (2.0 / ROOT_PI) * np.exp(x * x),
    domain=(-2.0, 2.0),
    reach=(-20.0, 20.0),
    error=(1e-13, 1e-13),
    complex=True,
)


def _dawson_slope(z, x):
    """Return ``1 - 2 x F(x)``: far out by its asymptotic series (DLMF 7.12)."""
    far = np.abs(x) > 7.0
    away = np.where(far, x, 10.0)
    inverse = 0.5 / (away * away)
    series = 1.0
    for k in range(22, 0, -1):
        series = 1.0 + (2 * k + 1) * inverse * series
    near = np.where(far, 0.0, x)
    return np.where(far, -inverse * series, 1.0 - 2.0 * near * dawsn(near))


def _complex_dawson_slope(z, x):
    return 1.0 - 2.0 * x * z


@Numeric
def dawsn(x):
    """Return Dawson's integral."""
    return special.dawsn(x)


elementwise(
    "dawsn",
    dawsn,
    _dawson_slope,
    domain=(-2.0, 2.0),
    reach=(-1e3, 1e3),
    error=(1e-12, 1e-10),
    complex=(_complex_dawson_slope,),
    source="DLMF 7.10, 7.12",
)
owens_t = elementwise(
    "owens_t",
    None,
    lambda z, h, a: (-0.5 / ROOT_TWO_PI) * bell(h, 0.5) * erf(a * h * math.sqrt(0.5)),
    lambda z, h, a: np.exp(-0.5 * h * h * (1.0 + a * a)) / (2.0 * math.pi * (1.0 + a * a)),
    domain=((-2.0, 2.0), (0.2, 2.0)),
    reach=((-5.0, 5.0), (-5.0, 5.0)),
    error=(1e-13, 1e-13),
    source="Owen 1956, differentiated",
)
ndtri_exp = elementwise(
    "ndtri_exp",
    None,
    lambda z, y: 1.0 / hazard(-z),
    domain=(-3.0, -0.3),
    reach=(-1e3, -0.01),
    error=(1e-12, 1e-12),
)

# ---- the Faddeeva function, complex also of real numbers

faddeeva = plain_helper(
    "faddeeva",
    Numeric(lambda z: special.wofz(z)),
    lambda w, z: -2.0 * z * w + (2j / ROOT_PI),
    complex=True,
    source="DLMF 7.10.2",
)


def as_complex(x):
    """Return an operand as complex numbers of its precision."""
    if x.dtype.kind == "c":
        return x
    return x.astype(np.result_type(x.dtype, np.complex64))


@function("wofz", samples=lambda rng: [((rng.uniform(-2.0, 2.0, 3),), {})])
def wofz(z, **kwargs):
    """Return the Faddeeva function, complex; arguments as in `scipy.special.wofz`."""
    if type(z) is not Variable or kwargs:
        return special.wofz(z, **kwargs)
    return faddeeva(as_complex(z))


graph.bind_function(special.wofz, wofz)


@function(
    "voigt_profile",
    samples=lambda rng: [
        (
            (rng.uniform(-2.0, 2.0, 3), rng.uniform(0.5, 2.0, 3), rng.uniform(0.3, 2.0, 3)),
            {},
        ),
        ((rng.uniform(-2.0, 2.0, (2, 1)), rng.uniform(0.5, 2.0, 2), 0.5), {}),
    ],
)
def voigt_profile(x, sigma, gamma, **kwargs):
    """Return the Voigt profile; arguments as in `scipy.special.voigt_profile`.

    Notes
    -----
    It is the real part of the Faddeeva function, and so are its derivatives. Where `sigma` is 0 it
    is Cauchy's profile, whose slope by `sigma` is 0.
    """
    if kwargs or not any(type(v) is Variable for v in (x, sigma, gamma)):
        return special.voigt_profile(x, sigma, gamma, **kwargs)
    refuse_complex("voigt_profile", x, sigma, gamma)
    flat = np.equal(passive(sigma), 0.0)
    some = is_passive(flat) or np.any(flat)
    scale = math.sqrt(0.5) / (np.where(flat, 1.0, sigma) if some else sigma)
    at = x * scale + 1j * (gamma * scale)
    found = np.real(faddeeva(at)) * (scale / ROOT_PI)
    return np.where(flat, gamma / math.pi / (x * x + gamma * gamma), found) if some else found


graph.bind_function(special.voigt_profile, voigt_profile)

# ---- Lambert's W and Wright's omega


def _lambert(k, z):
    k, z = np.broadcast_arrays(k, z)
    return special.lambertw(z, real(k, "lambertw").astype(np.int64))


@Numeric
def lambert(k, z):
    """Return a branch of Lambert's W."""
    return _lambert(k, z)


helper(
    "lambert",
    lambert,
    order("k"),
    lambda w, k, z: np.exp(-w) / (1.0 + w),
    complex=True,
    source="DLMF 4.13.4",
)


@function(
    "lambertw",
    samples=lambda rng: [
        ((rng.uniform(0.3, 3.0, 3),), {}),
        ((rng.uniform(0.3, 3.0, 2), 1), {}),
        ((rng.uniform(-0.3, -0.1, 2), -1), {}),
    ],
)
def lambertw(z, k=0, tol=1e-8):
    """Return a branch of Lambert's W, complex; arguments as in `scipy.special.lambertw`.

    Notes
    -----
    The derivative is ``exp(-w) / (1 + w)``, infinite at the branch point -1/e.
    """
    if type(z) is not Variable:
        return special.lambertw(z, k, tol)
    return lambert.op(graph.values_of(np.asarray(k, float)), as_complex(z))


def _omega_slope(w, z):
    far = np.abs(w) == np.inf
    at = np.where(far, 1.0, w)
    return np.where(far, 1.0, at / (1.0 + at))


wrightomega = elementwise(
    "wrightomega",
    None,
    _omega_slope,
    domain=(-2.0, 2.0),
    reach=(-30.0, 1e3),
    error=(1e-14, 1e-12),
    complex=(lambda w, z: w / (1.0 + w),),
)

# ---- Kolmogorov's distribution: two series, of the same theta function


def _kolmogorov_slope(x):
    small = x < 1.0
    near = np.where(small, np.where(x > 0.0, x, 1.0), 1.0)
    far = np.where(small, 1.0, x)
    left, right = 0.0, 0.0
    for k in range(1, 6):
        a = (2 * k - 1) ** 2 * math.pi**2 / 8.0
        square = near * near
        left = left + np.exp(-a / square) * (1.0 - 2.0 * a / square) / square
    for k in range(1, 6):
        right = right + (-1.0) ** (k - 1) * k * k * np.exp(-2.0 * k * k * far * far)
    there = np.where(x > 0.0, ROOT_TWO_PI * left, 0.0)
    return np.where(small, there, -8.0 * vanishing(right, far))


kolmogorov = elementwise(
    "kolmogorov",
    None,
    lambda z, x: _kolmogorov_slope(x),
    domain=(0.5, 1.5),
    reach=(0.2, 3.0),
    error=(1e-13, 1e-12),
    source="Kolmogorov 1933; Marsaglia, Tsang, Wang 2003",
)
kolmogi = elementwise(
    "kolmogi",
    None,
    lambda z, p: np.where(z == np.inf, -np.inf, 1.0 / _kolmogorov_slope(z)),
    domain=(0.1, 0.9),
    error=(1e-12, 1e-11),
)
