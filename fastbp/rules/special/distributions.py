"""Distribution functions: each an incomplete gamma or beta function of simple arguments."""

import numpy as np

from fastbp.rules.engine import vanishing
from fastbp.rules.special import unwrapped as special
from fastbp.rules.special.gamma import gap
from fastbp.rules.special.incomplete import (
    betainc_by_a,
    betainc_by_b,
    density_of_beta,
    gamma_density,
    gamma_quantile_by_a,
    gammainc_by_a,
)
from fastbp.rules.special.rows import Numeric, elementwise, helper, order

_BOUNDS = {"error": (1e-11, 1e-10)}
_INVERSES = {"error": (1e-10, 1e-9)}


def _mirrored(partials):
    """Return the partials of one minus the function."""
    return [p if isinstance(p, order) else _negative(p) for p in partials]


def _negative(partial):
    return lambda z, *xs: -partial(z, *xs)


def _both(name, other, partials, **facts):
    """Add a distribution function and its complement."""
    elementwise(name, facts.pop("forward", None), *partials, **_BOUNDS, **facts)
    elementwise(other, facts.pop("forward", None), *_mirrored(partials), **_BOUNDS, **facts)


# ---- of gamma: chi-square, gamma, Poisson

_both(
    "chdtr",
    "chdtrc",
    (
        lambda z, v, x: 0.5 * gammainc_by_a(0.5 * v, 0.5 * x),
        lambda z, v, x: 0.5 * gamma_density(0.5 * v, 0.5 * x),
    ),
    domain=((1.0, 6.0), (0.5, 6.0)),
)
elementwise(  # of the complement
    "chdtri",
    None,
    lambda z, v, p: gamma_quantile_by_a(0.5 * v, 0.5 * z),
    lambda z, v, p: -2.0 / gamma_density(0.5 * v, 0.5 * z),
    domain=((1.5, 6.0), (0.1, 0.9)),
    **_INVERSES,
)
_both(
    "gdtr",
    "gdtrc",
    (  # flat at 0, where the density may be infinite
        lambda z, a, b, x: np.where(x == np.inf, 0.0, vanishing(x, gamma_density(b, a * x))),
        lambda z, a, b, x: gammainc_by_a(b, a * x),
        lambda z, a, b, x: vanishing(a, gamma_density(b, a * x)),
    ),
    domain=((0.5, 2.0), (0.7, 4.0), (0.5, 3.0)),
)


def _counts(rng):
    return [
        ((np.array([[0.0], [1.0], [4.0]], np.float32), rng.uniform(0.5, 4.0, 2)), {}),
        ((2, rng.uniform(0.5, 4.0, 3)), {}),
    ]


_both(
    "pdtr",
    "pdtrc",
    (order("k"), lambda z, k, m: -gamma_density(np.floor(k) + 1.0, m)),
    samples=_counts,
    reach=((0, 6), (0.5, 10.0)),
)

# ---- of beta: binomial, negative binomial, F, Student's t


def _binomial(name):
    ufunc = getattr(special, name)

    @Numeric
    def value(k, n, p):
        n = np.asarray(n)
        if np.all(n == np.rint(n)):
            n = n.astype(np.int64)
        return ufunc(k, n, p)

    value.__name__ = name
    return value


def _trials(rng):
    return [
        ((np.array([[0], [1], [4]]), 7, rng.uniform(0.2, 0.8, 2)), {}),
        ((2, np.array([5, 6, 9]), rng.uniform(0.2, 0.8, 3)), {}),
    ]


def _binomial_density(z, k, n, p):
    k, n = np.floor(k), np.trunc(n)  # SciPy takes the whole part
    full = k == n
    return np.where(full, 0.0, -density_of_beta(k + 1.0, np.where(full, 1.0, n - k), p))


for _name, _sign in (("bdtr", 1.0), ("bdtrc", -1.0)):
    elementwise(
        _name,
        _binomial(_name),
        order("k"),
        order("n"),
        lambda z, k, n, p, sign=_sign: sign * _binomial_density(z, k, n, p),
        samples=_trials,
        reach=((0, 4), (5, 9), (0.1, 0.9)),
        **_BOUNDS,
    )


def _whole_pair(name):
    ufunc = getattr(special, name)

    @Numeric
    def value(k, n, p):
        k, n = np.asarray(k), np.asarray(n)
        if np.all(k == np.rint(k)) and np.all(n == np.rint(n)):
            k, n = k.astype(np.int64), n.astype(np.int64)
        return ufunc(k, n, p)

    value.__name__ = name
    return value


for _name, _sign in (("nbdtr", 1.0), ("nbdtrc", -1.0)):
    elementwise(
        _name,
        _whole_pair(_name),
        order("k"),
        order("n"),
        lambda z, k, n, p, sign=_sign: (
            sign * density_of_beta(np.trunc(n), np.trunc(k) + 1.0, p)  # SciPy takes the whole parts
        ),
        samples=_trials,
        reach=((0, 4), (2, 6), (0.1, 0.9)),
        **_BOUNDS,
    )


def _from_near(m, n, x):
    """Return which end x is near to, what of it is beyond, the rest, and the density there.

    `fdtr` is ``betainc(m/2, n/2, low)`` near to 0, and one less ``betainc(n/2, m/2, low)`` near to
    infinity: there one less `low` would have lost its digits. Third is ``m x / n``, or its inverse.
    """
    near = m * x <= n
    ratio = np.where(near, m * x / n, n / (m * np.where(near, 1.0, x)))
    low, high = ratio / (1.0 + ratio), 1.0 / (1.0 + ratio)
    first, second = np.where(near, m, n), np.where(near, n, m)
    return near, low, ratio, high, density_of_beta(0.5 * first, 0.5 * second, low)


def _fdtr_by_x(z, m, n, x):
    near, _, ratio, high, density = _from_near(m, n, x)
    far = vanishing(ratio, density) / np.where(near, 1.0, x)
    return np.where(near, m / n * density, far) * high * high


def _fdtr_by_m(z, m, n, x):
    near, low, _, high, density = _from_near(m, n, x)
    below = betainc_by_a(0.5 * m, 0.5 * n, np.where(near, low, 0.0))
    above = betainc_by_b(0.5 * n, 0.5 * m, np.where(near, 0.0, low))
    return 0.5 * np.where(near, below, -above) + vanishing(low * high / m, density)


def _fdtr_by_n(z, m, n, x):
    near, low, _, high, density = _from_near(m, n, x)
    below = betainc_by_b(0.5 * m, 0.5 * n, np.where(near, low, 0.0))
    above = betainc_by_a(0.5 * n, 0.5 * m, np.where(near, 0.0, low))
    return 0.5 * np.where(near, below, -above) - vanishing(low * high / n, density)


_both(
    "fdtr",
    "fdtrc",
    (_fdtr_by_m, _fdtr_by_n, _fdtr_by_x),
    domain=((1.5, 6.0), (1.5, 6.0), (0.4, 2.5)),
)


def _fdtri_by(slope, at_infinity):
    def partial(z, m, n, p):
        within = np.where((z == 0.0) | (z == np.inf), 1.0, z)
        found = -slope(None, m, n, within) / _fdtr_by_x(None, m, n, within)
        return np.where(z == 0.0, 0.0, np.where(z == np.inf, at_infinity(m, n), found))

    return partial


elementwise(
    "fdtri",
    None,
    # A quantile near to 1 is C(m, n) (1 - p)^(-2 / n); for n = 2 it is 1 / (1 - p) - 1 / m.
    _fdtri_by(
        _fdtr_by_m,
        lambda m, n: np.where(n == 2.0, 1.0 / (m * m), np.where(n < 2.0, np.inf, -np.inf)),
    ),
    _fdtri_by(_fdtr_by_n, lambda m, n: -np.inf),
    lambda z, m, n, p: 1.0 / _fdtr_by_x(None, m, n, z),
    domain=((1.5, 6.0), (1.5, 6.0), (0.2, 0.8)),
    **_INVERSES,
)


@Numeric
def t_density(n, t):
    """Return the density of Student's distribution with n degrees of freedom."""
    with np.errstate(all="ignore"):
        log = -0.5 * (n + 1.0) * np.log1p(t * t / n) - special.betaln(0.5 * n, 0.5)
        return np.exp(log) / np.sqrt(n)


# By n: log1p(t^2/n) and the gap of digamma nearly cancel for large n; in reach they do not.
def _t_density_by_n(z, n, t):
    square = t * t / n
    log = np.log1p(square) - (n + 1.0) / n * square / (1.0 + square)
    return -0.5 * z * (log - gap(0.0, 0.5 * n, 0.5) + 1.0 / n)


helper(
    "t_density",
    t_density,
    _t_density_by_n,
    lambda z, n, t: -z * (n + 1.0) * t / (n + t * t),
)


@Numeric
def stdtr_by_n(n, t):
    """Return the derivative of Student's distribution function by the degrees of freedom."""
    d = n + t * t
    inner = (t * t > 0.0) & np.isfinite(d)
    d = np.where(inner, d, 1.0 + n)
    at, rest = n / d, np.where(inner, t * t, 1.0) / d  # stdtr is (1 +- I_rest(1/2, n/2)) / 2
    near = rest < 0.5
    low, high = np.where(near, rest, 0.5), np.where(near, 0.5, at)
    half, moved = 0.5 + 0.0 * n, at * rest / n  # what rest loses, and at gains
    below = 0.5 * betainc_by_b(half, 0.5 * n, low) - moved * density_of_beta(half, 0.5 * n, low)
    above = 0.5 * betainc_by_a(0.5 * n, half, high) + moved * density_of_beta(0.5 * n, half, high)
    slope = 0.5 * np.sign(t) * np.where(near, below, -above)
    return np.where(inner, slope, np.where(np.isnan(t), t, 0.0))


elementwise(
    "stdtr",
    None,
    lambda z, n, t: stdtr_by_n(n, t),
    lambda z, n, t: t_density(n, t),
    domain=((1.5, 8.0), (0.3, 2.5)),
    reach=((0.5, 100.0), (-10.0, 10.0)),
    **_BOUNDS,
)
elementwise(
    "stdtrit",
    None,
    lambda z, n, p: np.where(
        np.isinf(z), np.where(p < 0.5, np.inf, -np.inf), -stdtr_by_n(n, z) / t_density(n, z)
    ),
    lambda z, n, p: 1.0 / t_density(n, z),
    domain=((1.5, 8.0), (0.55, 0.9)),
    **_INVERSES,
)
