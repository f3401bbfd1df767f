"""Incomplete gamma and beta functions, by their parameters too, and the distributions made of them.

The derivative by a parameter is an integral with a logarithm more. These moments are closed under
differentiation, and of one sign, so that nothing cancels: with u = log(x / t)

    gamma:  L_k = 1 / gamma(a) int_0^x log(x / t)^k t^(a-1) e^-t dt,      U_k the same over t > x,
    beta:   I_jk = 1 / B(a, b) int_0^x log(x / t)^j log((1-t) / (1-x))^k t^(a-1) (1-t)^(b-1) dt.

The smaller tail is taken, by Gauss and Legendre's rule on panels between levels of the exponent.
"""

import math

import numpy as np
from numpy.polynomial.legendre import leggauss

from fastbp._core import graph
from fastbp.rules.engine import vanishing
from fastbp.rules.special import unwrapped as special
from fastbp.rules.special.gamma import digamma, gap
from fastbp.rules.special.rows import Numeric, elementwise, helper, in_pieces, order, wide

NODES, WEIGHTS = leggauss(24)
NODES, WEIGHTS = 0.5 * (NODES + 1.0), 0.5 * WEIGHTS
LEVELS = (1e-9, 1e-4, 0.03, 0.3, 1.0, 2.0, 3.0, 4.5, 6.0, 8.0, 12.0, 20.0, 45.0)


def _moment(h, log, end):
    """Integrate ``log(u) exp(-h(u))`` from 0, over panels between levels of `h`, to `end`.

    `h` is given arrays with an axis behind those of `end`, and returns what `log` needs besides.
    """
    total, start = 0.0, np.zeros_like(end)
    for level in LEVELS:
        low, high = end * 1e-14, end
        for _ in range(10):  # the place of the level, to some percent
            middle = np.sqrt(low * high)
            above = h(middle[..., None])[0][..., 0] > level
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        high = np.maximum(high, start)
        width = high - start
        u = start[..., None] + width[..., None] * NODES
        exponent, shared = h(u)
        total = total + width * np.sum(WEIGHTS * log(u, shared) * np.exp(-exponent), axis=-1)
        start = high
    return total


# ---- gamma


def _log_defect(r):
    """Return ``r - 1 - log(r)``, by the series of atanh next to 1."""
    near = np.abs(r - 1.0) < 0.4
    d = np.where(near, r - 1.0, 0.0)
    s = d / (2.0 + d)
    series = 0.0
    for k in range(14, 0, -1):
        series = series * (s * s) + 1.0 / (2 * k + 1)
    away = np.where(near, 1.0, r)
    return np.where(near, d * s - 2.0 * s * (s * s) * series, away - 1.0 - np.log(away))


def _front(a, x):
    """Return ``x^a e^-x / gamma(a)``, for large a by Stirling's formula."""
    large = a > 12.0
    s = np.where(large, a, 20.0)
    stirling, power = 0.0, 1.0 / s
    for b in (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156):
        stirling, power = stirling + b * power, power / (s * s)
    ratio = np.where(large & (x > 0.0), x / s, 1.0)
    tail = np.exp(-s * _log_defect(ratio) - stirling) * np.sqrt(s / (2.0 * math.pi))
    t = np.where(large, 1.0, a)
    plain = np.exp(special.xlogy(t, x) - x) * special.rgamma(t)
    return np.where(large, np.where(x > 0.0, tail, 0.0), plain)


@Numeric
def gamma_density(a, x):
    """Return ``x^(a - 1) e^-x / gamma(a)``."""
    with np.errstate(all="ignore"):
        size = special.rgamma(a)  # of the leading term at 0
        at_end = np.where(a > 1.0, 0.0, np.where(a == 1.0, 1.0, np.copysign(np.inf, size)))
        at_end = np.where(size == 0.0, 0.0, at_end)
        within = np.where(x > 0.0, x, 1.0)
        plain = np.exp(special.xlogy(a - 1.0, within) - within) * size
        found = np.where(a > 12.0, _front(a, within) / within, plain)
        found = np.where(x > 0.0, found, at_end)
        return np.where(x == np.inf, 0.0, found)


def _gamma_density_by_x(z, a, x):
    # The first term is that of a - 1, of which the digits of a small a are gone.
    small = a < 0.5
    return np.where(small, z * ((a - 1.0) / x), gamma_density(np.where(small, 1.0, a) - 1.0, x)) - z


helper(
    "gamma_density",
    gamma_density,
    lambda z, a, x: z * (np.log(x) - digamma(a)),
    _gamma_density_by_x,
)


def _gamma_moment(k, a, x, upper):
    """Return L_k or U_k where the operands are inside of the domain: substitute t = x e^-+u."""
    if not k.any():
        return (special.gammaincc if upper else special.gammainc)(a, x)
    sign = 1.0 if upper else -1.0
    A, X, K = a[..., None], x[..., None], k[..., None]
    end = np.log1p((100.0 + 3.0 * a) / x) if upper else (46.0 + x) / a
    return _front(a, x) * _moment(
        lambda u: (X * np.expm1(sign * u) - sign * A * u, None),
        lambda u, _: np.power(u, K),
        end,
    )


def _where(inside, f, otherwise, *operands):
    """Evaluate a function of arrays where the operands are inside of its domain."""
    operands = np.broadcast_arrays(*[np.asarray(x, float) for x in operands])
    found = np.array(np.broadcast_to(otherwise, operands[0].shape), float)
    inside = np.broadcast_to(inside, found.shape)
    if inside.any():
        found[inside] = in_pieces(f, [x[inside] for x in operands], 2048)
    return found


@Numeric
def gamma_lower(k, a, x):
    """Return the moment L_k."""
    inside = (a > 0.0) & (x > 0.0) & (x < np.inf)
    ends = np.where((a > 0.0) & (x == 0.0), 0.0, np.nan)
    with np.errstate(all="ignore"):
        return _where(inside, lambda *xs: _gamma_moment(*xs, False), ends, k, a, x)


@Numeric
def gamma_upper(k, a, x):
    """Return the moment U_k."""
    inside = (a > 0.0) & (x > 0.0) & (x < np.inf)
    ends = np.where((a > 0.0) & (x == np.inf), 0.0, np.nan)
    with np.errstate(all="ignore"):
        return _where(inside, lambda *xs: _gamma_moment(*xs, True), ends, k, a, x)


def _moment_by_x(moment, k, x, density, sign):
    below = sign * k / x * moment(np.where(k > 0.0, k - 1.0, 0.0))
    return np.where(k > 0.0, below, sign * density)


helper(
    "gamma_lower",
    gamma_lower,
    order("k"),
    lambda z, k, a, x: (np.log(x) - digamma(a)) * z - gamma_lower(k + 1.0, a, x),
    lambda z, k, a, x: _moment_by_x(lambda m: gamma_lower(m, a, x), k, x, gamma_density(a, x), 1.0),
)
helper(
    "gamma_upper",
    gamma_upper,
    order("k"),
    lambda z, k, a, x: (np.log(x) - digamma(a)) * z + gamma_upper(k + 1.0, a, x),
    lambda z, k, a, x: _moment_by_x(
        lambda m: gamma_upper(m, a, x), k, x, gamma_density(a, x), -1.0
    ),
)


@Numeric
def gamma_upper_by_size(k, a, x):
    """Return ``U_k / a``, a number at a = 0, too."""
    a = np.where((a >= 0.0) & (a < 1e-30), 1e-30, a)
    return gamma_upper(k, a, x) / a


helper(
    "gamma_upper_by_size",
    gamma_upper_by_size,
    order("k"),
    lambda z, k, a, x: (np.log(x) - digamma(a + 1.0)) * z + gamma_upper_by_size(k + 1.0, a, x),
    lambda z, k, a, x: _moment_by_x(
        lambda m: gamma_upper_by_size(m, a, x), k, x, gamma_density(a + 1.0, x) / x, -1.0
    ),
)


@Numeric
def gammainc_by_a(a, x):
    """Return the derivative of ``gammainc(a, x)`` by `a`, from the smaller tail."""
    at, shape = graph.values_of(x), graph.values_of(a)
    inside = (at > 0.0) & (at < np.inf)
    below = special.gammainc(shape, at) <= 0.5
    # Next to a = 0 terms of 1 / a cancel in the upper one, but not in its quotient by a.
    tiny = inside & ~below & (shape >= 0.0) & (shape < 0.1)
    found = np.where(at == np.inf, 0.0, 0.0 * x)
    if np.any(tiny):
        at_a, at_x = np.where(tiny, a, 0.05), np.where(tiny, x, 1.0)
        tail = gamma_upper_by_size(0.0, at_a, at_x)
        slope = (np.log(at_x) - digamma(at_a + 1.0)) * tail + gamma_upper_by_size(1.0, at_a, at_x)
        found = np.where(tiny, -(tail + at_a * slope), found)
    for take, moment, sign in (
        (inside & below, gamma_lower, 1.0),
        (inside & ~below & ~tiny, gamma_upper, -1.0),
    ):
        if np.any(take):
            at_a, at_x = np.where(take, a, 1.0), np.where(take, x, 1.0)
            slope = (np.log(at_x) - digamma(at_a)) * moment(0.0, at_a, at_x)
            found = np.where(take, sign * slope - moment(1.0, at_a, at_x), found)
    return found


_GAMMA = {
    "domain": ((0.5, 4.0), (0.3, 5.0)),
    "reach": ((0.05, 200.0), (0.01, 300.0)),
    "error": (1e-11, 1e-10),
    "source": "moments of the logarithm, by quadrature",
}
elementwise(
    "gammainc",
    None,
    lambda z, a, x: gammainc_by_a(a, x),
    lambda z, a, x: gamma_density(a, x),
    **_GAMMA,
)
elementwise(
    "gammaincc",
    None,
    lambda z, a, x: -gammainc_by_a(a, x),
    lambda z, a, x: -gamma_density(a, x),
    **_GAMMA,
)


@Numeric
def gamma_quantile_by_a(a, x):
    """Return the derivative by `a` of the x at which ``gammainc(a, x)`` has a given value.

    It is x times that of its logarithm, which is infinite at both ends of the range.
    """
    end = (graph.values_of(x) == 0.0) | (graph.values_of(x) == np.inf)
    within = np.where(end, 1.0, x)
    relative = -gammainc_by_a(a, within) / (within * gamma_density(a, within))
    return vanishing(x, np.where(end, np.inf, relative))


_INVERSE = {"domain": ((0.7, 4.0), (0.1, 0.9)), "error": (1e-10, 1e-9)}
elementwise(
    "gammaincinv",
    None,
    lambda z, a, p: gamma_quantile_by_a(a, z),
    lambda z, a, p: 1.0 / gamma_density(a, z),
    **_INVERSE,
)
elementwise(
    "gammainccinv",
    None,
    lambda z, a, p: gamma_quantile_by_a(a, z),
    lambda z, a, p: -1.0 / gamma_density(a, z),
    **_INVERSE,
)

# ---- beta


def _beta_density(a, b, x, i, j):
    with np.errstate(all="ignore"):
        log = special.xlogy(a - 1.0 - i, x) + special.xlog1py(b - 1.0 - j, -x)
        return np.exp(log - special.betaln(a, b))


def _density_by_x(z, a, b, x, i, j):
    left, right = a - (1.0 + i), b - (1.0 + j)
    up = np.where(left == 0.0, 0.0, left * beta_density(a, b, x, i=i + 1, j=j))
    return up - np.where(right == 0.0, 0.0, right * beta_density(a, b, x, i=i, j=j + 1))


# x^(a - 1 - i) (1 - x)^(b - 1 - j) / B(a, b)
beta_density = wide(
    "beta_density",
    _beta_density,
    (
        lambda z, a, b, x, i, j: z * (np.log(x) + gap(0.0, a, b)),
        lambda z, a, b, x, i, j: z * (np.log1p(-x) + gap(0.0, b, a)),
        _density_by_x,
    ),
)


def _density(a, b, x):
    return beta_density(a, b, x, i=0, j=0)


def _beta_moment(a, b, x, j, k, upper):
    """Return I_jk, of the upper tail with its ends exchanged: substitute t = x e^-u."""
    if not j and not k:
        return (special.betaincc if upper else special.betainc)(a, b, x)
    inside = (a > 0.0) & (b > 0.0) & (x > 0.0) & (x < 1.0)

    def moment(a, b, x):
        y = 1.0 - x
        if upper:
            a, b, x, y = b, a, y, x
        front = np.exp(special.xlogy(a, x) + special.xlogy(b - 1.0, y) - special.betaln(a, b))
        A, B, ratio = a[..., None], b[..., None], (x / y)[..., None]

        def exponent(u):
            other = np.log1p(-ratio * np.expm1(-u))  # log((1 - t) / (1 - x))
            return A * u - (B - 1.0) * other, other

        end = (46.0 + np.maximum((b - 1.0) * np.log1p(x / y), 0.0)) / a
        return front * _moment(exponent, lambda u, other: u**j * other**k, end)

    with np.errstate(all="ignore"):
        return _where(inside, moment, np.nan, a, b, x)


def _moment_by_a(z, a, b, x, j, k, upper):
    scale = (np.log(x) + gap(0.0, a, b)) * z
    if upper:
        return scale + beta_moment(a, b, x, j=j, k=k + 1, upper=upper)
    return scale - beta_moment(a, b, x, j=j + 1, k=k, upper=upper)


def _moment_by_b(z, a, b, x, j, k, upper):
    scale = (np.log1p(-x) + gap(0.0, b, a)) * z
    if upper:
        return scale - beta_moment(a, b, x, j=j + 1, k=k, upper=upper)
    return scale + beta_moment(a, b, x, j=j, k=k + 1, upper=upper)


def _beta_moment_by_x(z, a, b, x, j, k, upper):
    here, there = (1.0 - x, x) if upper else (x, 1.0 - x)
    found = 0.0 * x
    if j:
        found = found + j / here * beta_moment(a, b, x, j=j - 1, k=k, upper=upper)
    if k:
        found = found + k / there * beta_moment(a, b, x, j=j, k=k - 1, upper=upper)
    if not j and not k:
        found = found + _density(a, b, x)
    return -found if upper else found


beta_moment = wide("beta_moment", _beta_moment, (_moment_by_a, _moment_by_b, _beta_moment_by_x))


def _betainc_by(a, b, x, by_b):
    """Return the derivative of ``betainc(a, b, x)`` by `a` or `b`, from the smaller tail."""
    at = graph.values_of(x)
    inside = (at > 0.0) & (at < 1.0)
    below = special.betainc(*map(graph.values_of, (a, b, x))) <= 0.5
    rule = _moment_by_b if by_b else _moment_by_a
    found = 0.0 * x
    for take, upper in ((inside & below, False), (inside & ~below, True)):
        if np.any(take):
            xs = [np.where(take, a, 1.0), np.where(take, b, 1.0), np.where(take, x, 0.5)]
            slope = rule(beta_moment(*xs, j=0, k=0, upper=upper), *xs, 0, 0, upper)
            found = np.where(take, -slope if upper else slope, found)
    return found


@Numeric
def betainc_by_a(a, b, x):
    """Return the derivative of ``betainc(a, b, x)`` by `a`."""
    return _betainc_by(a, b, x, False)


@Numeric
def betainc_by_b(a, b, x):
    """Return the derivative of ``betainc(a, b, x)`` by `b`."""
    return _betainc_by(a, b, x, True)


@Numeric
def density_of_beta(a, b, x):
    """Return the derivative of ``betainc(a, b, x)`` by `x`."""
    return _density(a, b, x)


_BETA = {
    "domain": ((0.5, 4.0), (0.5, 4.0), (0.1, 0.9)),
    "reach": ((0.1, 50.0), (0.1, 50.0), (0.01, 0.99)),
    "error": (1e-11, 1e-10),
    "source": "moments of the logarithm, by quadrature",
}
elementwise(
    "betainc",
    None,
    lambda z, a, b, x: betainc_by_a(a, b, x),
    lambda z, a, b, x: betainc_by_b(a, b, x),
    lambda z, a, b, x: density_of_beta(a, b, x),
    **_BETA,
)
elementwise(
    "betaincc",
    None,
    lambda z, a, b, x: -betainc_by_a(a, b, x),
    lambda z, a, b, x: -betainc_by_b(a, b, x),
    lambda z, a, b, x: -density_of_beta(a, b, x),
    **_BETA,
)


def _beta_quantile_by(a, b, x, by_b):
    """Return the derivative of the x at which ``betainc(a, b, x)`` has a given value.

    It is x (1 - x) times that of its logit, whose limits at the ends are these.
    """
    first, last = graph.values_of(x) == 0.0, graph.values_of(x) == 1.0
    within = np.where(first | last, 0.5, x)
    scale = within * (1.0 - within) * density_of_beta(a, b, within)
    relative = -_betainc_by(a, b, within, by_b) / scale
    if by_b:
        relative = np.where(last, -np.inf, np.where(first, -gap(0.0, b, a) / a, relative))
    else:
        relative = np.where(first, np.inf, np.where(last, gap(0.0, a, b) / b, relative))
    return vanishing(x * (1.0 - x), relative)


@Numeric
def beta_quantile_by_a(a, b, x):
    """Return the derivative of ``betaincinv`` by `a` where its value is `x`."""
    return _beta_quantile_by(a, b, x, False)


@Numeric
def beta_quantile_by_b(a, b, x):
    """Return the derivative of ``betaincinv`` by `b` where its value is `x`."""
    return _beta_quantile_by(a, b, x, True)


_INVERSE_BETA = {"domain": ((0.7, 4.0), (0.7, 4.0), (0.1, 0.9)), "error": (1e-10, 1e-9)}
elementwise(
    "betaincinv",
    None,
    lambda z, a, b, p: beta_quantile_by_a(a, b, z),
    lambda z, a, b, p: beta_quantile_by_b(a, b, z),
    lambda z, a, b, p: 1.0 / density_of_beta(a, b, z),
    **_INVERSE_BETA,
)
elementwise(
    "betainccinv",
    None,
    lambda z, a, b, p: beta_quantile_by_a(a, b, z),
    lambda z, a, b, p: beta_quantile_by_b(a, b, z),
    lambda z, a, b, p: -1.0 / density_of_beta(a, b, z),
    **_INVERSE_BETA,
)
