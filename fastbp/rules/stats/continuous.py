"""Continuous distributions: formulas of their standard forms.

Of each: `support`, its ends; `reach`, ends within these beyond which density and mass are less than
the least number, where formulas overflow; `vanishes`, whether the density is 0 at the ends, where
its formulas are no numbers; `valid`, which shapes there are; `example`, shapes that are valid;
functions of the argument and the shapes. What is missing follows from the others: a density from
its logarithm, a tail from the other one, logarithms of both, a median from the quantiles.
"""

import math

import numpy as np

from fastbp._core.graph import passive
from fastbp.rules.special import unwrapped as special
from fastbp.rules.stats.distributions import Continuous, smaller_log

LOG_PI, LOG_2, LOG_2PI = math.log(math.pi), math.log(2.0), math.log(2.0 * math.pi)
EULER = np.euler_gamma
INF = np.inf

DISTRIBUTIONS = {}


def row(cls):
    """Add a distribution."""
    for name, value in (
        ("support", staticmethod(lambda *s: (-INF, INF))),
        ("valid", staticmethod(_all_positive)),
        ("example", ()),
        ("vanishes", False),
    ):
        if not hasattr(cls, name):
            setattr(cls, name, value)
    for name, value in list(vars(cls).items()):
        if callable(value) and not isinstance(value, (staticmethod, type)):
            setattr(cls, name, staticmethod(value))
    if not hasattr(cls, "reach"):
        cls.reach = staticmethod(cls.support)
    cls.example = tuple(map(float, cls.example))
    DISTRIBUTIONS[cls.__name__] = Continuous(cls)
    return cls


def _all_positive(first, *others):
    found = first > 0
    for x in others:
        found = found & (x > 0)
    return found


def _positive(*shapes):
    return 0.0, INF


def _split(first, x, at_first, at_second, one, other):
    """Return ``one(x)`` where `first` holds, else ``other(x)``; each sees its own only."""
    if not np.any(first):
        return other(x)
    own, rest = np.where(first, x, at_first), np.where(first, at_second, x)
    return np.where(first, one(own), other(rest))


def _log1mexp(x):
    """Return ``log(1 - exp(-x))`` of positive x."""
    near = x < LOG_2
    return np.where(
        near,
        np.log(-np.expm1(-np.where(near, x, 1.0))),
        np.log1p(-np.exp(-np.where(near, 1.0, x))),
    )


def _log1mexpexp(v):
    """Return ``log(1 - exp(-exp(v)))``; where ``exp(v)`` is below rounding, it is v."""
    return _split(
        passive(v) < -40.0, v, -50.0, 0.0, lambda v: 1.0 * v, lambda v: _log1mexp(np.exp(v))
    )


def _log1p_square(x):
    """Return ``log(1 + x**2)``, of x whose square is no number, too."""
    return _split(
        np.abs(passive(x)) > 1e9,
        x,
        1e10,
        0.0,
        lambda x: 2.0 * np.log(np.abs(x)),
        lambda x: np.log1p(x * x),
    )


def _log1p_ratio(x, c):
    """Return ``log(1 + x / c)`` of positive numbers, whose ratio may be none."""
    far = x > c
    one = np.where(far, x, c)
    return np.log1p(np.where(far, c, x) / one) + np.where(far, np.log(one) - np.log(c), 0.0)


def _density(x, power, rest):
    """Return ``x**power * exp(rest)``: next to 0 by the power itself, whose slope may be finite."""
    tiny = passive(x) < 1e-30
    if not np.any(tiny):
        return np.exp(special.xlogy(power, x) + rest)
    # Where exp(rest) would overflow, the product is 0 all the same.
    near = np.where(tiny, x, 0.0) ** power * np.exp(np.minimum(np.where(tiny, rest, 0.0), 700.0))
    away = special.xlogy(power, np.where(tiny, 1.0, x)) + np.where(tiny, 0.0, rest)
    return np.where(tiny, near, np.exp(away))


def _log_gammainc(x, a):
    """Return the logarithm of ``gammainc(a, x)``, next to 0 by the first term of its series."""
    return _split(
        passive(x) < 1e-18,
        x,
        1e-20,
        1.0,
        lambda x: a * np.log(x) - special.gammaln(a + 1.0),
        lambda x: smaller_log(special.gammainc(a, x), special.gammaincc(a, x)),
    )


def _log_gammaincc(x, a):
    """Return the logarithm of ``gammaincc(a, x)``, far out by the asymptotic series."""
    return _split(
        (passive(x) > 700.0) & (passive(x) > 6.0 * a),
        x,
        1e3 * np.maximum(passive(a), 1.0),
        1.0,
        lambda x: (a - 1.0) * np.log(np.minimum(x, 1e300)) - x + _tail(x, a),
        lambda x: smaller_log(special.gammaincc(a, x), special.gammainc(a, x)),
    )


def _tail(x, a):  # log(1 + (a-1)/x + (a-1)(a-2)/x^2 + ...) - log(gamma(a))
    total = 0.0
    for k in range(20, 0, -1):
        total = (a - k) / x * (1.0 + total)
    return np.log1p(total) - special.gammaln(a)


def _log_betainc(x, a, b):
    """Return the logarithm of ``betainc(a, b, x)``, next to 0 by the first term of its series."""
    return _split(
        passive(x * np.maximum(b, 1.0)) < 1e-18,
        x,
        1e-20,
        0.5,
        lambda x: a * np.log(x) - np.log(a) - special.betaln(a, b),
        lambda x: smaller_log(_betainc(x, a, b), _betaincc(x, a, b)),
    )


def _betainc(x, a, b):
    return special.betainc(a, b, x)


def _betaincc(x, a, b):
    return special.betaincc(a, b, x)


def _log_betaincc(x, a, b):
    return smaller_log(_betaincc(x, a, b), _betainc(x, a, b))


def _tan(part, rest):
    """Return the tangent of a part of a right angle, which has an exact rest of 1, too."""
    near = part < 0.5
    low = np.tan(0.5 * math.pi * np.where(near, part, 0.5))
    return np.where(near, low, 1.0 / np.tan(0.5 * math.pi * np.where(near, 0.5, rest)))


# ---- without shapes


@row
class norm:
    def pdf(x):
        return np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)

    def logpdf(x):
        return -0.5 * x * x - 0.5 * LOG_2PI

    def cdf(x):
        return special.ndtr(x)

    def sf(x):
        return special.ndtr(-x)

    def logcdf(x):
        return special.log_ndtr(x)

    def logsf(x):
        return special.log_ndtr(-x)

    def ppf(q):
        return special.ndtri(q)

    def isf(q):
        return -special.ndtri(q)

    def mean():
        return 0.0

    def var():
        return 1.0

    def entropy():
        return 0.5 * (LOG_2PI + 1.0)


@row
class expon:
    support = staticmethod(_positive)

    def logpdf(x):
        return -x

    def cdf(x):
        return -np.expm1(-x)

    def sf(x):
        return np.exp(-x)

    def logcdf(x):
        return _log1mexpexp(np.log(x))

    def logsf(x):
        return -x

    def ppf(q):
        return -np.log1p(-q)

    def isf(q):
        return -np.log(q)

    def mean():
        return 1.0

    def var():
        return 1.0

    def entropy():
        return 1.0


@row
class laplace:
    def logpdf(x):
        return -np.abs(x) - LOG_2

    def cdf(x):
        return np.where(x > 0.0, 1.0 - 0.5 * np.exp(-np.abs(x)), 0.5 * np.exp(-np.abs(x)))

    def sf(x):
        return np.where(x > 0.0, 0.5 * np.exp(-np.abs(x)), 1.0 - 0.5 * np.exp(-np.abs(x)))

    def logcdf(x):
        return np.where(x > 0.0, np.log1p(-0.5 * np.exp(-np.abs(x))), -np.abs(x) - LOG_2)

    def logsf(x):
        return np.where(x > 0.0, -np.abs(x) - LOG_2, np.log1p(-0.5 * np.exp(-np.abs(x))))

    def ppf(q):
        tail = np.where(q > 0.5, 1.0 - q, q)
        return np.where(q > 0.5, -1.0, 1.0) * np.log(2.0 * tail)

    def isf(q):
        tail = np.where(q > 0.5, 1.0 - q, q)
        return np.where(q > 0.5, 1.0, -1.0) * np.log(2.0 * tail)

    def mean():
        return 0.0

    def var():
        return 2.0

    def entropy():
        return LOG_2 + 1.0


@row
class uniform:
    def support():
        return 0.0, 1.0

    def pdf(x):
        return 1.0 + 0.0 * x

    def logpdf(x):
        return 0.0 * x

    def cdf(x):
        return x

    def sf(x):
        return 1.0 - x

    def ppf(q):
        return q

    def isf(q):
        return 1.0 - q

    def mean():
        return 0.5

    def var():
        return 1.0 / 12.0

    def entropy():
        return 0.0


@row
class cauchy:
    def logpdf(x):
        return -LOG_PI - _log1p_square(x)

    def pdf(x):
        return 1.0 / (math.pi * (1.0 + x * x))

    def cdf(x):
        return np.arctan2(1.0, -x) / math.pi

    def sf(x):
        return np.arctan2(1.0, x) / math.pi

    def logcdf(x):
        return cauchy.logsf(-x)

    def logsf(x):
        return _split(
            passive(x) > 1e9,
            x,
            1e10,
            0.0,
            lambda x: -LOG_PI - np.log(x),
            lambda x: smaller_log(cauchy.sf(x), cauchy.cdf(x)),
        )

    def ppf(q):
        low = q < 0.5
        size = _tan(np.where(low, 1.0 - 2.0 * q, 2.0 * q - 1.0), 2.0 * np.where(low, q, 1.0 - q))
        return np.where(low, -size, size)

    def isf(q):
        return -cauchy.ppf(q)

    def mean():
        return np.nan

    def var():
        return np.nan

    def entropy():
        return math.log(4.0 * math.pi)


@row
class logistic:
    def logpdf(x):
        size = np.abs(x)
        return -size - 2.0 * np.log1p(np.exp(-size))

    def cdf(x):
        return special.expit(x)

    def sf(x):
        return special.expit(-x)

    def logcdf(x):
        return special.log_expit(x)

    def logsf(x):
        return special.log_expit(-x)

    def ppf(q):
        return special.logit(q)

    def isf(q):
        return -special.logit(q)

    def mean():
        return 0.0

    def var():
        return math.pi**2 / 3.0

    def entropy():
        return 2.0


@row
class gumbel_r:
    def reach():
        return -7.0, INF

    def logpdf(x):
        return -x - np.exp(-x)

    def cdf(x):
        return np.exp(-np.exp(-x))

    def logcdf(x):
        return -np.exp(-x)

    def sf(x):
        return -np.expm1(-np.exp(-x))

    def logsf(x):
        return _log1mexpexp(-x)

    def ppf(q):
        return -np.log(-np.log(q))

    def isf(q):
        return -np.log(-np.log1p(-q))

    def mean():
        return EULER

    def var():
        return math.pi**2 / 6.0

    def entropy():
        return EULER + 1.0


@row
class gumbel_l:
    def reach():
        return -INF, 7.0

    def logpdf(x):
        return x - np.exp(x)

    def cdf(x):
        return -np.expm1(-np.exp(x))

    def logcdf(x):
        return _log1mexpexp(x)

    def sf(x):
        return np.exp(-np.exp(x))

    def logsf(x):
        return -np.exp(x)

    def ppf(q):
        return np.log(-np.log1p(-q))

    def isf(q):
        return np.log(-np.log(q))

    def mean():
        return -EULER

    def var():
        return math.pi**2 / 6.0

    def entropy():
        return EULER + 1.0


@row
class halfnorm:
    support = staticmethod(_positive)

    def logpdf(x):
        return 0.5 * math.log(2.0 / math.pi) - 0.5 * x * x

    def cdf(x):
        return special.erf(x / math.sqrt(2.0))

    def sf(x):
        return 2.0 * special.ndtr(-x)

    def logsf(x):
        near = x < 1.0
        inner = np.log1p(-special.erf(np.where(near, x, 0.0) / math.sqrt(2.0)))
        return np.where(near, inner, LOG_2 + special.log_ndtr(-np.where(near, 1.0, x)))

    def ppf(q):
        return special.ndtri((1.0 + q) / 2.0)

    def isf(q):
        return -special.ndtri(q / 2.0)

    def mean():
        return math.sqrt(2.0 / math.pi)

    def var():
        return 1.0 - 2.0 / math.pi

    def entropy():
        return 0.5 * math.log(math.pi / 2.0) + 0.5


@row
class halfcauchy:
    support = staticmethod(_positive)

    def logpdf(x):
        return math.log(2.0 / math.pi) - _log1p_square(x)

    def cdf(x):
        return 2.0 / math.pi * np.arctan(x)

    def sf(x):
        return 2.0 / math.pi * np.arctan2(1.0, x)

    def logsf(x):
        near = x < 1.0
        inner = np.log1p(-2.0 / math.pi * np.arctan(np.where(near, x, 0.0)))
        return np.where(near, inner, LOG_2 + cauchy.logsf(np.where(near, 1.0, x)))

    def ppf(q):
        return _tan(q, 1.0 - q)

    def isf(q):
        return _tan(1.0 - q, q)

    def mean():
        return INF

    def var():
        return INF

    def entropy():
        return LOG_2PI


@row
class rayleigh:
    support = staticmethod(_positive)

    def reach():
        return 0.0, 50.0

    def pdf(x):
        return x * np.exp(-0.5 * x * x)

    def logpdf(x):
        return np.log(x) - 0.5 * x * x

    def cdf(x):
        return -np.expm1(-0.5 * x * x)

    def logcdf(x):
        return _log1mexpexp(2.0 * np.log(x) - LOG_2)

    def sf(x):
        return np.exp(-0.5 * x * x)

    def logsf(x):
        return -0.5 * x * x

    def ppf(q):
        return np.sqrt(-2.0 * np.log1p(-q))

    def isf(q):
        return np.sqrt(-2.0 * np.log(q))

    def mean():
        return math.sqrt(math.pi / 2.0)

    def var():
        return 2.0 - math.pi / 2.0

    def entropy():
        return EULER / 2.0 + 1.0 - 0.5 * LOG_2


# ---- with shapes


@row
class t:
    example = (3.0,)

    def logpdf(x, df):
        half = (df + 1.0) / 2.0
        scale = 0.5 * np.log(df) + special.betaln(0.5, 0.5 * df)
        return -scale - half * _log1p_square(x / np.sqrt(df))

    def cdf(x, df):
        return special.stdtr(df, x)

    def sf(x, df):
        return special.stdtr(df, -x)

    def logcdf(x, df):
        return t.logsf(-x, df)

    def logsf(x, df):
        size = 0.5 * df * np.log(df) - np.log(df) - special.betaln(0.5 * df, 0.5)
        return _split(
            passive(x) > 1e10 * np.sqrt(passive(df)),
            x,
            1e11 * np.sqrt(passive(df)),
            0.0,
            lambda x: size - df * np.log(x),
            lambda x: smaller_log(t.sf(x, df), t.cdf(x, df)),
        )

    def ppf(q, df):
        return special.stdtrit(df, q)

    def isf(q, df):
        return -special.stdtrit(df, q)

    def mean(df):
        return np.where(df > 1.0, 0.0, INF) + 0.0 * df

    def var(df):
        found = df / (np.where(df > 2.0, df, 3.0) - 2.0)
        return np.where(df > 2.0, found, np.where(df > 1.0, INF, np.nan))

    def entropy(df):
        half, more = 0.5 * df, 0.5 * (df + 1.0)
        size = 0.5 * np.log(df) + special.betaln(half, 0.5)
        return more * (special.digamma(more) - special.digamma(half)) + size


@row
class beta:
    example = (2.0, 3.0)

    def support(a, b):
        return 0.0, 1.0

    def logpdf(x, a, b):
        return special.xlog1py(b - 1.0, -x) + special.xlogy(a - 1.0, x) - special.betaln(a, b)

    def pdf(x, a, b):
        upper = x > 0.5
        low, high = np.where(upper, b, a), np.where(upper, a, b)  # powers at the nearer end
        x = np.where(upper, 1.0 - x, x)
        return _density(x, low - 1.0, special.xlog1py(high - 1.0, -x) - special.betaln(a, b))

    def cdf(x, a, b):
        return special.betainc(a, b, x)

    def logcdf(x, a, b):
        return _log_betainc(x, a, b)

    def sf(x, a, b):
        return special.betaincc(a, b, x)

    def ppf(q, a, b):
        return special.betaincinv(a, b, q)

    def isf(q, a, b):
        return special.betainccinv(a, b, q)

    def mean(a, b):
        return a / (a + b)

    def var(a, b):
        return a * b / ((a + b) ** 2 * (a + b + 1.0))

    def entropy(a, b):
        return (
            special.betaln(a, b)
            - (a - 1.0) * special.digamma(a)
            - (b - 1.0) * special.digamma(b)
            + (a + b - 2.0) * special.digamma(a + b)
        )


@row
class gamma:
    example = (2.0,)
    support = staticmethod(_positive)

    def logpdf(x, a):
        return special.xlogy(a - 1.0, x) - x - special.gammaln(a)

    def pdf(x, a):
        return _density(x, a - 1.0, -x - special.gammaln(a))

    def logcdf(x, a):
        return _log_gammainc(x, a)

    def logsf(x, a):
        return _log_gammaincc(x, a)

    def cdf(x, a):
        return special.gammainc(a, x)

    def sf(x, a):
        return special.gammaincc(a, x)

    def ppf(q, a):
        return special.gammaincinv(a, q)

    def isf(q, a):
        return special.gammainccinv(a, q)

    def mean(a):
        return a

    def var(a):
        return a

    def entropy(a):
        return special.digamma(a) * (1.0 - a) + a + special.gammaln(a)


@row
class chi2:
    example = (3.0,)
    support = staticmethod(_positive)

    def logpdf(x, df):
        half = 0.5 * df
        return special.xlogy(half - 1.0, x) - 0.5 * x - special.gammaln(half) - LOG_2 * half

    def pdf(x, df):
        return 0.5 * gamma.pdf(0.5 * x, 0.5 * df)

    def logcdf(x, df):
        return _log_gammainc(0.5 * x, 0.5 * df)

    def logsf(x, df):
        return _log_gammaincc(0.5 * x, 0.5 * df)

    def cdf(x, df):
        return special.gammainc(0.5 * df, 0.5 * x)

    def sf(x, df):
        return special.gammaincc(0.5 * df, 0.5 * x)

    def ppf(q, df):
        return 2.0 * special.gammaincinv(0.5 * df, q)

    def isf(q, df):
        return 2.0 * special.gammainccinv(0.5 * df, q)

    def mean(df):
        return df

    def var(df):
        return 2.0 * df

    def entropy(df):
        half = 0.5 * df
        return half + LOG_2 + special.gammaln(half) + (1.0 - half) * special.digamma(half)


@row
class invgamma:
    example = (3.0,)
    vanishes = True
    support = staticmethod(_positive)

    def reach(a):
        return 1.0 / (1e4 + 10.0 * a), INF

    def logpdf(x, a):
        return -(a + 1.0) * np.log(x) - special.gammaln(a) - 1.0 / x

    def logcdf(x, a):
        return _log_gammaincc(1.0 / x, a)

    def logsf(x, a):
        return _split(
            passive(x) > 1e18,
            x,
            1e20,
            1.0,
            lambda x: -a * np.log(x) - special.gammaln(a + 1.0),
            lambda x: _log_gammainc(1.0 / x, a),
        )

    def cdf(x, a):
        return special.gammaincc(a, 1.0 / x)

    def sf(x, a):
        return special.gammainc(a, 1.0 / x)

    def ppf(q, a):
        return 1.0 / special.gammainccinv(a, q)

    def isf(q, a):
        return 1.0 / special.gammaincinv(a, q)

    def mean(a):
        return np.where(a > 1.0, 1.0 / (np.where(a > 1.0, a, 2.0) - 1.0), INF)

    def var(a):
        b = np.where(a > 2.0, a, 3.0)
        return np.where(a > 2.0, 1.0 / ((b - 1.0) ** 2 * (b - 2.0)), INF)

    def entropy(a):
        return a - (a + 1.0) * special.digamma(a) + special.gammaln(a)


def _f_mass(x, n, m, left, right):
    """Return the mass to the left of x, or to the right, by the smaller of two arguments.

    They add up to 1; `left` is a function of the first and the two parameters, `right` of the
    other one and the parameters exchanged.
    """
    c = m / n
    far = x > c
    near_x, far_x = np.where(far, 0.5 * c, x), np.where(far, x, 2.0 * c)
    near = left(near_x / (near_x + c), 0.5 * n, 0.5 * m)
    return np.where(far, right(c / (far_x + c), 0.5 * m, 0.5 * n), near)


def _f_quantile(low, high, c):
    """Return ``c y / (1 - y)`` of y and 1 - y, by the smaller one."""
    near = low < 0.5
    y, z = np.where(near, low, 0.5), np.where(near, 0.5, high)
    return np.where(near, c * y / (1.0 - y), c * (1.0 - z) / z)


@row
class f:
    example = (3.0, 4.0)
    support = staticmethod(_positive)

    def logpdf(x, n, m):
        return special.xlogy(0.5 * n - 1.0, x) + f.other(x, n, m)

    def pdf(x, n, m):
        return _density(x, 0.5 * n - 1.0, f.other(x, n, m))

    def other(x, n, m):
        c = m / n
        size = 0.5 * n * np.log(c) + special.betaln(0.5 * n, 0.5 * m)
        return -0.5 * (n + m) * _log1p_ratio(x, c) - size

    def cdf(x, n, m):
        return _f_mass(x, n, m, _betainc, _betaincc)

    def sf(x, n, m):
        return _f_mass(x, n, m, _betaincc, _betainc)

    def logcdf(x, n, m):
        return _f_mass(x, n, m, _log_betainc, _log_betaincc)

    def logsf(x, n, m):
        c, b = m / n, 0.5 * m
        return _split(
            passive(x) > 1e18 * passive(c) * np.maximum(passive(n), 1.0),
            x,
            1e20 * passive(c * (1.0 + n)),
            c,
            lambda x: b * (np.log(c) - np.log(x)) - np.log(b) - special.betaln(b, 0.5 * n),
            lambda x: _f_mass(x, n, m, _log_betaincc, _log_betainc),
        )

    def ppf(q, n, m):
        low = special.betaincinv(0.5 * n, 0.5 * m, q)
        return _f_quantile(low, special.betainccinv(0.5 * m, 0.5 * n, q), m / n)

    def isf(q, n, m):
        low = special.betainccinv(0.5 * n, 0.5 * m, q)
        return _f_quantile(low, special.betaincinv(0.5 * m, 0.5 * n, q), m / n)

    def mean(n, m):
        return np.where(m > 2.0, m / (np.where(m > 2.0, m, 3.0) - 2.0), INF) + 0.0 * n

    def var(n, m):
        k = np.where(m > 4.0, m, 5.0)
        found = 2.0 * k * k * (n + k - 2.0) / (n * (k - 2.0) ** 2 * (k - 4.0))
        return np.where(m > 4.0, found, INF)


@row
class lognorm:
    example = (1.0,)
    vanishes = True
    support = staticmethod(_positive)

    def reach(s):
        far = s * (40.0 + 2.0 * s)
        return np.exp(-far), np.exp(far)

    def logpdf(x, s):
        z = np.log(x)
        return -0.5 * (z / s) ** 2 - np.log(s) - z - 0.5 * LOG_2PI

    def cdf(x, s):
        return special.ndtr(np.log(x) / s)

    def sf(x, s):
        return special.ndtr(-np.log(x) / s)

    def logcdf(x, s):
        return special.log_ndtr(np.log(x) / s)

    def logsf(x, s):
        return special.log_ndtr(-np.log(x) / s)

    def ppf(q, s):
        return np.exp(s * special.ndtri(q))

    def isf(q, s):
        return np.exp(-s * special.ndtri(q))

    def mean(s):
        return np.exp(0.5 * s * s)

    def var(s):
        return np.exp(s * s) * np.expm1(s * s)

    def entropy(s):
        return 0.5 * (1.0 + LOG_2PI) + np.log(s)


@row
class pareto:
    example = (2.0,)

    def support(b):
        return 1.0, INF

    def logpdf(x, b):
        return np.log(b) - (b + 1.0) * np.log(x)

    def cdf(x, b):
        return -np.expm1(-b * np.log(x))

    def sf(x, b):
        return x**-b

    def logcdf(x, b):
        return _log1mexp(b * np.log(x))

    def logsf(x, b):
        return -b * np.log(x)

    def ppf(q, b):
        return np.exp(-np.log1p(-q) / b)

    def isf(q, b):
        return q ** (-1.0 / b)

    def mean(b):
        c = np.where(b > 1.0, b, 2.0)
        return np.where(b > 1.0, c / (c - 1.0), INF)

    def var(b):
        c = np.where(b > 2.0, b, 3.0)
        return np.where(b > 2.0, c / ((c - 2.0) * (c - 1.0) ** 2), INF)

    def entropy(b):
        return 1.0 + 1.0 / b - np.log(b)


@row
class weibull_min:
    example = (2.0,)
    support = staticmethod(_positive)

    def logpdf(x, c):
        return np.log(c) + special.xlogy(c - 1.0, x) - x**c

    def reach(c):
        return 0.0, 1000.0 ** (1.0 / c)

    def pdf(x, c):
        return _density(x, c - 1.0, np.log(c) - x**c)

    def cdf(x, c):
        return -np.expm1(-(x**c))

    def logcdf(x, c):
        return _log1mexpexp(c * np.log(x))

    def sf(x, c):
        return np.exp(-(x**c))

    def logsf(x, c):
        return -(x**c)

    def ppf(q, c):
        return (-np.log1p(-q)) ** (1.0 / c)

    def isf(q, c):
        return (-np.log(q)) ** (1.0 / c)

    def mean(c):
        return special.gamma(1.0 + 1.0 / c)

    def var(c):
        return special.gamma(1.0 + 2.0 / c) - special.gamma(1.0 + 1.0 / c) ** 2

    def entropy(c):
        return -EULER / c - np.log(c) + EULER + 1.0


@row
class gennorm:
    example = (2.0,)

    def logpdf(x, beta):
        return np.log(0.5 * beta) - special.gammaln(1.0 / beta) - np.abs(x) ** beta

    def reach(beta):
        far = 1000.0 ** (1.0 / beta)
        return -far, far

    def within(x, beta):  # the mass between 0 and x, linear next to 0
        return _split(
            np.abs(passive(x)) ** passive(beta) < 1e-17,
            x,
            0.0,
            1.0,
            lambda x: 0.5 * x / special.gamma(1.0 + 1.0 / beta),
            lambda x: 0.5 * np.sign(x) * special.gammainc(1.0 / beta, np.abs(x) ** beta),
        )

    def cdf(x, beta):
        return gennorm.sf(-x, beta)

    def sf(x, beta):
        far = x > 0.5
        inner = 0.5 - gennorm.within(np.where(far, 0.0, x), beta)
        outer = special.gammaincc(1.0 / beta, np.where(far, x, 1.0) ** beta)
        return np.where(far, 0.5 * outer, inner)

    def logcdf(x, beta):
        return gennorm.logsf(-x, beta)

    def logsf(x, beta):
        far = x > 0.5
        near_x = np.where(far, 0.0, x)
        inner = smaller_log(gennorm.sf(near_x, beta), gennorm.cdf(near_x, beta))
        outer = _log_gammaincc(np.where(far, x, 1.0) ** beta, 1.0 / beta) - LOG_2
        return np.where(far, outer, inner)

    def ppf(q, beta):
        return -gennorm.isf(q, beta)

    def isf(q, beta):
        tail = np.where(q > 0.5, 1.0 - q, q)
        mass = 2.0 * (0.5 - tail)  # within the quantile and its mirror image
        near = (passive(mass) * special.gamma(1.0 + 1.0 / passive(beta))) ** passive(beta) < 1e-17
        size = _split(
            near,
            tail,
            0.5,
            0.25,
            lambda tail: 2.0 * (0.5 - tail) * special.gamma(1.0 + 1.0 / beta),
            lambda tail: special.gammainccinv(1.0 / beta, 2.0 * tail) ** (1.0 / beta),
        )
        return np.where(q > 0.5, -size, size)

    def mean(beta):
        return 0.0 * beta

    def median(beta):
        return 0.0 * beta

    def var(beta):
        return np.exp(special.gammaln(3.0 / beta) - special.gammaln(1.0 / beta))

    def entropy(beta):
        return 1.0 / beta - np.log(0.5 * beta) + special.gammaln(1.0 / beta)


@row
class vonmises:
    example = (1.0,)

    def support(kappa):  # a circle has no ends
        return np.nan, np.nan

    def logpdf(x, kappa):
        return -2.0 * kappa * np.sin(0.5 * x) ** 2 - np.log(2.0 * math.pi * special.i0e(kappa))


@row
class skewnorm:
    example = (1.0,)

    def valid(a):
        return np.isfinite(a)

    def logpdf(x, a):
        return LOG_2 - 0.5 * x * x - 0.5 * LOG_2PI + special.log_ndtr(a * x)

    def cdf(x, a):
        return special.ndtr(x) - 2.0 * special.owens_t(x, a)

    def sf(x, a):
        return special.ndtr(-x) + 2.0 * special.owens_t(x, a)

    def mean(a):
        return math.sqrt(2.0 / math.pi) * a / np.sqrt(1.0 + a * a)

    def var(a):
        return 1.0 - 2.0 / math.pi * a * a / (1.0 + a * a)


def _log_mass(a, b):
    """Return the logarithm of the normal distribution's mass between two points, in either tail."""
    right = a > 0.0
    low, high = np.where(right, -b, a), np.where(right, -a, b)
    top = special.log_ndtr(high)
    return top + _log1mexp(top - special.log_ndtr(low))


@row
class truncnorm:
    example = (-1.0, 1.0)

    def support(a, b):
        return a, b

    def valid(a, b):
        return a < b

    def logpdf(x, a, b):
        return -0.5 * x * x - 0.5 * LOG_2PI - _log_mass(a, b)

    def logcdf(x, a, b):
        return _log_mass(a, x) - _log_mass(a, b)

    def cdf(x, a, b):
        return np.exp(_log_mass(a, x) - _log_mass(a, b))

    def logsf(x, a, b):
        return _log_mass(x, b) - _log_mass(a, b)

    def sf(x, a, b):
        return np.exp(_log_mass(x, b) - _log_mass(a, b))

    def mean(a, b):
        mass = _log_mass(a, b)
        return np.exp(norm.logpdf(a) - mass) - np.exp(norm.logpdf(b) - mass)

    def var(a, b):
        mass = _log_mass(a, b)
        at_a, at_b = np.exp(norm.logpdf(a) - mass), np.exp(norm.logpdf(b) - mass)
        return 1.0 + a * at_a - b * at_b - (at_a - at_b) ** 2
