"""Elementary functions of `scipy.special`, written for accuracy: exprel, boxcox, angles in degrees.

What vanishes at a point by cancellation is a series there, so that its derivatives are right too.
"""

import math

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import values_of
from fastbp.rules import table
from fastbp.rules.numpy.elementwise import power_log_k, power_slope, power_y
from fastbp.rules.special import unwrapped as special
from fastbp.rules.special.rows import Numeric, elementwise, helper, order
from fastbp.rules.table import OPS

DEGREE, LN10 = math.pi / 180.0, math.log(10.0)

# NumPy has these, too, under the same names.
for _name in ("cbrt", "exp2", "expm1", "log1p"):
    if getattr(special, _name, None) is not getattr(np, _name):
        graph.bind_ufunc(getattr(special, _name), OPS[_name])

exp10 = elementwise("exp10", None, lambda z, x: LN10 * z, domain=(-2.0, 2.0), reach=(-300.0, 300.0))
cosm1 = elementwise("cosm1", None, lambda z, x: -np.sin(x), reach=(-100.0, 100.0))
sindg = elementwise("sindg", None, lambda z, x: DEGREE * special.cosdg(x), domain=(-80.0, 80.0))
cosdg = elementwise("cosdg", None, lambda z, x: -DEGREE * special.sindg(x), domain=(10.0, 170.0))
tandg = elementwise("tandg", None, lambda z, x: DEGREE * (1.0 + z * z), domain=(-80.0, 80.0))
cotdg = elementwise("cotdg", None, lambda z, x: -DEGREE * (1.0 + z * z), domain=(10.0, 170.0))
powm1 = elementwise(
    "powm1",
    None,
    lambda z, x, y: power_slope(x, y),
    lambda z, x, y: power_y(values_of(np.power(x, y)), x, y),
    domain=((0.3, 3.0), (-2.0, 2.0)),
    kinks="x**y by y: 0 at x = 0, y >= 0; NaN for negative x",
)

# ---- exprel and its derivatives: the integral of u^k e^(x u) over 0 < u < 1


@Numeric
def exprel_k(x, k):
    """Differentiate ``expm1(x) / x`` k times."""
    with np.errstate(all="ignore"):
        x, k = np.broadcast_arrays(x, k)
        t = np.where(x < -1.0, -x, 1.0)
        left = special.gamma(k + 1.0) / np.power(t, k + 1.0) * special.gammainc(k + 1.0, t)
        s = np.clip(x, -1.0, 25.0)
        series, term = 1.0 / (k + 1.0), np.ones_like(s)
        for n in range(1, 100):
            term = term * s / n
            series = series + term / (n + k + 1.0)
        found = np.where(x < -1.0, left, series)
        if np.any(x > 25.0):
            right = np.where(x > 25.0, x, 25.0)
            half = np.exp(0.5 * right)  # its square overflows before the ratios do
            ratio = -np.expm1(-right) / right  # times exp(-x)
            for n in range(int(np.max(k, initial=0.0)) + 1):
                if n:
                    ratio = (1.0 - n * ratio) / right
                found = np.where((x > 25.0) & (k == n), ratio * half * half, found)
        return found


helper(
    "exprel_k",
    exprel_k,
    lambda z, x, k: exprel_k(x, k + 1.0),
    order("k"),
)
exprel = elementwise(
    "exprel",
    None,
    lambda z, x: exprel_k(x, 1.0),
    domain=(-2.0, 2.0),
    reach=(-300.0, 300.0),
    error=(1e-13, 1e-13),
)

# ---- Box-Cox: (x^a - 1) / a is log(x) exprel(a log(x))


@Numeric
def boxcox_k(x, a, k):
    """Differentiate ``boxcox(x, a)`` k times by `a`."""
    with np.errstate(all="ignore"):
        log = np.log(x)
        found = np.power(log, k + 1.0) * exprel_k(a * log, k)
        limit = special.gamma(k + 1.0) * np.power(-1.0 / a, k + 1.0)
        return np.where((x == 0.0) & (a > 0.0), limit, found)


helper(
    "boxcox_k",
    boxcox_k,
    lambda z, x, a, k: power_log_k(x, a - 1.0, k),
    lambda z, x, a, k: boxcox_k(x, a, k + 1.0),
    order("k"),
)


def _power_of_above(x, a):
    """Return ``(1 + x)**a``, also where 1 + x would be rounded."""
    return np.exp(a * np.log1p(x))


@Numeric
def boxcox1p_k(x, a, k):
    """Differentiate ``boxcox1p(x, a)`` k times by `a`."""
    with np.errstate(all="ignore"):
        log = np.log1p(x)
        found = np.power(log, k + 1.0) * exprel_k(a * log, k)
        limit = special.gamma(k + 1.0) * np.power(-1.0 / a, k + 1.0)
        return np.where((x == -1.0) & (a > 0.0), limit, found)


helper(
    "boxcox1p_k",
    boxcox1p_k,
    lambda z, x, a, k: _power_of_above(x, a - 1.0) * np.power(np.log1p(x), k),
    lambda z, x, a, k: boxcox1p_k(x, a, k + 1.0),
    order("k"),
)
boxcox = elementwise(
    "boxcox",
    None,
    lambda z, x, a: np.power(x, a - 1.0),
    lambda z, x, a: boxcox_k(x, a, 1.0),
    domain=((0.3, 3.0), (-2.0, 2.0)),
    reach=((1e-3, 1e3), (-3.0, 3.0)),
    error=(1e-13, 1e-13),
)
boxcox1p = elementwise(
    "boxcox1p",
    None,
    lambda z, x, a: _power_of_above(x, a - 1.0),
    lambda z, x, a: boxcox1p_k(x, a, 1.0),
    domain=((0.3, 3.0), (-2.0, 2.0)),
    reach=((-0.9, 1e3), (-3.0, 3.0)),
    error=(1e-13, 1e-13),
)


def _log_defect(u):
    """Return ``(u / (1 + u) - log1p(u)) / u**2``, by its series next to 0."""
    small = np.abs(u) < 0.1
    s = np.where(small, u, 0.0)
    series = 0.0
    for n in range(20, 1, -1):
        series = series * s + (-1.0) ** (n - 1) * (1.0 - 1.0 / n)
    away = np.where(small, 1.0, u)
    return np.where(small, series, (away / (1.0 + away) - np.log1p(away)) / (away * away))


inv_boxcox = elementwise(
    "inv_boxcox",
    None,
    lambda z, x, a: z / (1.0 + a * x),
    lambda z, x, a: z * x * x * _log_defect(a * x),
    domain=((0.3, 1.0), (-0.8, 2.0)),
    error=(1e-13, 1e-12),
)
inv_boxcox1p = elementwise(
    "inv_boxcox1p",
    None,
    lambda z, x, a: (1.0 + z) / (1.0 + a * x),
    lambda z, x, a: (1.0 + z) * x * x * _log_defect(a * x),
    domain=((0.3, 1.0), (-0.8, 2.0)),
    error=(1e-13, 1e-12),
)

# ---- losses

huber = elementwise(
    "huber",
    None,
    lambda z, d, r: np.where(np.abs(r) <= d, 0.0, np.abs(r) - d),
    lambda z, d, r: np.where(np.abs(r) <= d, r, d * np.sign(r)),
    domain=((0.5, 1.0), (1.2, 2.0)),
    error=(1e-14, 1e-14),
)


# With h = hypot(d, r), c = d / h and s = r / h the slopes of slopes are products of these, where
# those of the formulas would cancel.


def _sine(d, r):
    return r / np.hypot(d, r)


def _tangent(d, r):  # of half the angle: s * _tangent is 1 - c
    return r / (np.hypot(d, r) + d)


_by_size = table.helper(
    "pseudo_huber_by_size",
    lambda d, r: d * _sine(d, r),
    lambda z, d, r: _sine(d, r) ** 3,
    lambda z, d, r: _sine(r, d) ** 3,
    domain=(0.5, 2.0),
)
_by_width = table.helper(
    "pseudo_huber_by_width",
    lambda d, r: _tangent(d, r) ** 2 * r * _sine(d, r),
    lambda z, d, r: -((_sine(d, r) * _tangent(d, r)) ** 2) * (2.0 + _sine(r, d)),
    lambda z, d, r: _sine(d, r) ** 3,
    domain=(0.5, 2.0),
)
pseudo_huber = elementwise(
    "pseudo_huber",
    None,
    lambda z, d, r: _by_width(d, r),
    lambda z, d, r: _by_size(d, r),
    domain=((0.5, 2.0), (-2.0, 2.0)),
    reach=((0.1, 10.0), (-100.0, 100.0)),
    error=(1e-14, 1e-13),
)
