"""Elementwise operations that are ufuncs of `scipy.special`.

Not imported with fastbp: `scipy.special` costs more than all the rest. `fastbp.scipy.special`
imports it, and the core does when it meets a ufunc that it does not know (``late_rules``).
"""

import functools
import math

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import passive
from fastbp.rules.special import unwrapped as special
from fastbp.rules.special.activations import log_sigmoid, sigmoid
from fastbp.rules.table import elementwise as _elementwise
from fastbp.rules.table import helper

elementwise = functools.partial(_elementwise, namespace="scipy.special")

UNIT = (0.1, 0.9)
POSITIVE = (0.3, 3.0)
ROOT_PI, ROOT_TWO_PI = math.sqrt(math.pi), math.sqrt(2.0 * math.pi)
ROOT_TWO_OVER_PI = math.sqrt(2.0 / math.pi)

# ---- logistic functions

graph.bind_ufunc(special.expit, sigmoid)
graph.bind_ufunc(special.log_expit, log_sigmoid)
logit = elementwise("logit", special.logit, lambda z, x: 1.0 / (x * (1.0 - x)), domain=UNIT)

# ---- x log y and entropies: the value is 0 at x = 0


def _ratio(x, y):
    return x / np.where((x == 0.0) & (y == 0.0), 1.0, y)


# x / y, 0 at (0, 0): its slopes there are infinite, which the choice in `_ratio` would hide.
ratio = helper("ratio", _ratio, lambda z, x, y: 1.0 / y, lambda z, x, y: -z / y, complex=True)

xlogy = elementwise(
    "xlogy",
    special.xlogy,
    lambda z, x, y: np.log(y),
    lambda z, x, y: ratio(x, y),
    domain=(POSITIVE, POSITIVE),
    kinks="0 by y at (0, 0)",
    complex=True,
)
xlog1py = elementwise(
    "xlog1py",
    special.xlog1py,
    lambda z, x, y: np.log1p(y),
    lambda z, x, y: ratio(x, 1.0 + y),
    domain=(POSITIVE, POSITIVE),
    kinks="0 by y at (0, -1)",
    complex=True,
)
entr = elementwise("entr", special.entr, lambda z, x: -1.0 - np.log(x), domain=POSITIVE)


def _log_ratio(x, y):
    # The difference is exact next to 1; roots keep the quotient within range.
    off = (x - y) / y
    return np.where(
        np.abs(off) < 0.5,
        np.log1p(np.where(np.abs(off) < 0.5, off, 0.0)),
        2.0 * np.log(np.sqrt(x) / np.sqrt(y)),
    )


log_ratio = helper("log_ratio", _log_ratio, lambda z, x, y: 1.0 / x, lambda z, x, y: -1.0 / y)
# 1 - x / y, without rounding next to 0; its slopes are quotients.
shortfall = helper(
    "shortfall",
    lambda x, y: (y - x) / y,
    lambda z, x, y: -1.0 / y,
    lambda z, x, y: x / y / y,
)
rel_entr = elementwise(
    "rel_entr",
    special.rel_entr,
    lambda z, x, y: 1.0 + log_ratio(x, y),
    lambda z, x, y: -x / y,
    domain=(POSITIVE, POSITIVE),
    error=(1e-14, 3e-15),
)
kl_div = elementwise(
    "kl_div",
    special.kl_div,
    lambda z, x, y: log_ratio(x, y),
    lambda z, x, y: shortfall(x, y),
    domain=(POSITIVE, POSITIVE),
)

# ---- the error function and the normal distribution


# The continued fraction q_n = n / (t + q_{n+1}) of the normal distribution's upper tail (DLMF 7.9):
# its hazard h = density / tail is t + q_1, and q_n' = q_n (q_n - q_{n+1}). So no derivative of the
# hazard, of erfcx or of log_ndtr is a difference of numbers that agree in nearly all digits, as is
# 2 x erfcx(x) - 2 / sqrt(pi). `u` is t + q_n from before: h, or n - 1 over q_{n-1}.


def _tail_fraction(u, t, n):
    m = n + 20.0
    q = 2.0 * m / (t + np.hypot(t, 2.0 * np.sqrt(m)))
    for _ in range(20):
        m = m - 1.0
        q = m / (t + q)
    return np.where(t > 5.0, q, u - t)  # where u is not close to t, their difference has its digits


tail_fraction = _tail_fraction
tail_fraction = helper(
    "tail_fraction",
    _tail_fraction,
    lambda q, u, t, n: 0.0,
    lambda q, u, t, n: q * (q - tail_fraction(passive(n / q), t, n + 1.0)),
    lambda q, u, t, n: 0.0,
)


def _hazard(t):
    return ROOT_TWO_OVER_PI / special.erfcx(t * math.sqrt(0.5))


def _hazard_slope(h, t):
    return h * np.where(h == 0.0, 0.0, tail_fraction(h, t, 1.0))  # not 0 * inf


def _hazard_curvature(w, h, t):
    # h' = h q_1 is 1 + q_1' too: to the right its changes are those of the small q_1'.
    q1 = tail_fraction(h, t, 1.0)
    q2 = tail_fraction(passive(1.0 / q1), t, 2.0)
    q3 = tail_fraction(passive(2.0 / q2), t, 3.0)
    right = q1 * (q1 - q2) * (q1 - q2) + q1 * (q1 * (q1 - q2) - q2 * (q2 - q3))
    return np.where(t > 0.0, right, hazard(t) * q1 * (2.0 * q1 - q2))


hazard = _hazard
hazard_slope = helper("hazard_slope", _hazard_slope, lambda w, h, t: 0.0, _hazard_curvature)
hazard = helper("hazard", _hazard, lambda h, t: hazard_slope(passive(h), t))


# The same for complex numbers: the fraction is there where it converges, far out to the right.


def _complex_fraction(t, n):
    m = n + 20.0
    q = 2.0 * m / (t + np.sqrt(t * t + 4.0 * m))
    for _ in range(20):
        m = m - 1.0
        q = m / (t + q)
    return q


complex_fraction = _complex_fraction
complex_fraction = helper(
    "complex_tail_fraction",
    _complex_fraction,
    lambda q, t, n: q * (q - complex_fraction(t, n + 1.0)),
    lambda q, t, n: 0.0,
    complex=True,
)


def _far_right(t):
    return (np.abs(t) > 12.0) & (np.abs(t - 1.0) <= np.abs(t + 1.0))


def _complex_hazard_slope(h, t):
    right = _far_right(t)
    q = np.where(right, complex_fraction(np.where(right, t, 12.0), 1.0), h - t)
    return np.where(h == 0.0, 0.0, h * q)


complex_hazard = helper("complex_hazard", _hazard, _complex_hazard_slope, complex=True)


def _complex_erfcx_slope(z, x):
    right = _far_right(x)
    q = complex_fraction(math.sqrt(2.0) * np.where(right, x, 12.0), 1.0)
    away = np.where(right, 0.0, x)
    return np.where(right, -math.sqrt(2.0) * z * q, 2.0 * away * z - 2.0 / ROOT_PI)


# exp(-a x^2), whose slope at infinity is 0, not 0 * inf.
bell = helper(
    "bell",
    lambda x, a: np.exp(-a * x * x),
    lambda z, x, a: -2.0 * a * z * np.where(z == 0.0, 0.0, x),
    lambda z, x, a: -x * x * z,
    complex=True,
)
erf = elementwise(
    "erf",
    special.erf,
    lambda z, x: (2.0 / ROOT_PI) * bell(x, 1.0),
    error=(1e-13, 1e-13),
    complex=True,
)
erfc = elementwise(
    "erfc",
    special.erfc,
    lambda z, x: (-2.0 / ROOT_PI) * bell(x, 1.0),
    error=(1e-13, 1e-13),
    complex=True,
)
erfcx = elementwise(
    "erfcx",
    special.erfcx,
    lambda z, x: (
        -math.sqrt(2.0) * z * tail_fraction(passive(ROOT_TWO_OVER_PI / z), math.sqrt(2.0) * x, 1.0)
    ),
    source="DLMF 7.9, 7.18",
    error=(1e-13, 1e-13),
    complex=(_complex_erfcx_slope,),
)
erfinv = elementwise(
    "erfinv",
    special.erfinv,
    lambda z, x: (ROOT_PI / 2.0) * np.exp(z * z),
    domain=(-0.8, 0.8),
    error=(1e-13, 1e-13),
)
erfcinv = elementwise(
    "erfcinv",
    special.erfcinv,
    lambda z, x: (-ROOT_PI / 2.0) * np.exp(z * z),
    domain=(0.2, 1.8),
    error=(1e-12, 1e-12),
)
ndtr = elementwise(
    "ndtr",
    special.ndtr,
    lambda z, x: bell(x, 0.5) / ROOT_TWO_PI,
    error=(1e-13, 1e-13),
    complex=True,
)
ndtri = elementwise(
    "ndtri",
    special.ndtri,
    lambda z, x: ROOT_TWO_PI * np.exp(0.5 * z * z),
    domain=UNIT,
    error=(1e-12, 1e-12),
)
# exp(-x^2/2) / ndtr(x), whose factors both vanish far to the left.
log_ndtr = elementwise(
    "log_ndtr",
    special.log_ndtr,
    lambda z, x: hazard(-x),
    error=(1e-13, 1e-13),
    complex=(lambda z, x: complex_hazard(-x),),
)
