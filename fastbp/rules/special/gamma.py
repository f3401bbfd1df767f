"""The gamma function and what is made of it: beta, binomials, polygamma, zeta.

Polygamma functions are closed under differentiation, and so are their differences `gap`; these are
computed as differences of each term, so that they keep their digits where the step is small.
"""

import math

import numpy as np
import scipy

from fastbp._core import graph
from fastbp._core.graph import Variable, is_passive, passive
from fastbp.errors import NoRuleError
from fastbp.rules.counterparts import of_values
from fastbp.rules.numpy.structural import constant_call
from fastbp.rules.special import unwrapped as special
from fastbp.rules.special.rows import Numeric, elementwise, function, helper, order, refuse_complex
from fastbp.rules.table import nondifferentiable

# B_2k / (2k)!, k = 1, 2, ...
BERNOULLI = [b / math.factorial(2 * k) for k, b in enumerate(special.bernoulli(30)[2::2], 1)]
FARTHEST = 1e5  # the imaginary part of an argument of zeta whose slope is computed
SHIFT = 12  # terms summed before an asymptotic series


# ---- the Hurwitz zeta function, and polygamma by it


def _hurwitz(s, x):
    """Sum ``(x + k)^-s`` over k = 0, 1, ...: Euler and Maclaurin's formula (DLMF 25.11)."""
    total = sum(np.power(x + k, -s) for k in range(SHIFT))
    y = x + SHIFT
    power = np.power(y, -s)
    total = total + power * (y / (s - 1.0) + 0.5)
    factor = s * power / y
    for k, b in enumerate(BERNOULLI[:12]):
        total = total + b * factor
        factor = factor * (s + 2 * k + 1) * (s + 2 * k + 2) / (y * y)
    return total


def _positive_zeta(s, x):
    if np.iscomplexobj(x):
        return _hurwitz(s, x)
    return special.zeta(s, x)


def _sum_of_powers(s, x):
    """Return the same for a whole s > 1 and any x: the sum over all integers has period 1."""
    x = np.asarray(x)
    s = np.broadcast_to(np.real(s), x.shape if np.ndim(s) == 0 else np.shape(s))
    s, x = np.broadcast_arrays(s, x)
    left = x.real < (0.5 if np.iscomplexobj(x) else 0.0)
    found = np.asarray(_positive_zeta(s, np.where(left, 1.0, x)))
    if np.any(left):
        below = np.floor(x.real)
        inside, beyond = x - below, (below + 1.0) - x
        sign = np.where(np.remainder(s, 2.0) == 0.0, 1.0, -1.0)
        far = _positive_zeta(s, np.where(left, 1.0 - x, 1.0))
        near = _positive_zeta(s, np.where(left, beyond, 1.0))
        mirrored = _positive_zeta(s, np.where(left, inside, 1.0)) + sign * (near - far)
        pole = left & (x == below)
        found = np.where(left, np.where(pole, np.nan, mirrored), found)
    return found


@Numeric
def polygamma_n(n, x):
    """Differentiate digamma n times."""
    with np.errstate(all="ignore"):
        n, x = np.asarray(n), np.asarray(x)
        if n.dtype.kind in "iub":
            n = n.astype(x.dtype if x.dtype.kind in "fc" else np.float64)
        m = np.where(n.real > 0.0, n.real, 1.0)
        sign = np.where(np.remainder(m, 2.0) == 0.0, -1.0, 1.0)
        found = sign * special.gamma(m + 1.0) * _sum_of_powers(m + 1.0, x)
        found = np.where(n.real == 0.0, special.psi(x), found)
        return np.where((n.real < 0.0) | (n.real != np.rint(n.real)), np.nan, found)


helper(
    "polygamma_n",
    polygamma_n,
    order("n"),
    lambda z, n, x: polygamma_n(n + 1.0, x),
    complex=True,
    source="DLMF 5.15, 25.11",
)


@function(
    "polygamma",
    no_axes="array",
    samples=lambda rng: [
        ((1, rng.uniform(0.5, 3.0, 3)), {}),
        ((np.array([[0], [1], [2]]), rng.uniform(0.5, 3.0, 2)), {}),
        ((2, rng.uniform(-0.9, -0.1, 3)), {}),
    ],
)
def polygamma(n, x):
    """Differentiate digamma n times; arguments as in `scipy.special.polygamma`.

    Notes
    -----
    The derivative by `x` is ``polygamma(n + 1, x)``; by `n`, a whole number, there is none.
    """
    if type(n) is not Variable and type(x) is not Variable:
        return of_values(polygamma, special.polygamma, (n, x), {})
    refuse_complex("polygamma", n, x)
    return polygamma_n.op(_floats(n, x), x)


def _floats(n, *xs):
    """Return whole numbers as floats that do not promote the other operands."""
    if type(n) is Variable or isinstance(n, (int, float)):
        return n
    n = np.asarray(n)
    kinds = [x.dtype for x in xs if type(x) in (Variable, np.ndarray)]
    return n.astype(np.result_type(np.float32, *kinds)) if n.dtype.kind in "iub" else n


# ---- differences of polygamma: psi_n(x + h) - psi_n(x)


def _at_pole(x):
    """Return whether gamma has a pole: at 0, -1, -2, ..."""
    return (x <= 0.0) & (x == np.rint(x))


def _next_to_pole(x, *others):
    """Return whether gamma(x) is to be differentiated by its reciprocal, not by its logarithm.

    At a pole that has no slope; next to one slopes of higher orders cancel. There the reciprocal
    serves where the gamma functions of `x` and `others` are numbers.
    """
    beside = (x < 0.01) & (np.abs(x - np.rint(x)) < 0.01)
    for y in (x, *others):
        beside = beside & (np.abs(y) < 60.0)
    return _at_pole(x) | beside


@Numeric
def gap(n, x, h):
    """Return ``polygamma(n, x + h) - polygamma(n, x)``; between two poles its limit, along x."""
    with np.errstate(all="ignore"):
        n, x, h = np.broadcast_arrays(n, x, h)
        # There the steps of h are whole, and by reflection (DLMF 5.5.4) the cotangents cancel.
        poles = _at_pole(x) & _at_pole(x + h)
        sign = np.where(poles & (np.remainder(n, 2.0) == 1.0), -1.0, 1.0)
        x, h = np.where(poles, 1.0 - x, x), np.where(poles, -h, h)
        return sign * _gap(n, x, h)


def _gap(n, x, h):
    found = polygamma_n(n, x + h) - polygamma_n(n, x)
    room = np.where(x < 0.0, np.abs(x - np.rint(x)) / 64.0, 0.5 * x)  # to the next pole
    small = np.abs(h) < room
    for part, of, safe in (
        (small & (x > 0.0), _small_gap, 1.0),
        (small & (x < 0.0), _taylor, -0.5),
    ):
        if np.any(part):
            found = np.where(part, of(n, np.where(part, x, safe), np.where(part, h, 0.0)), found)
    return found


def _taylor(n, x, h):
    """Sum Taylor's series of the difference, for steps much shorter than the way to a pole."""
    total, factor = 0.0, 1.0
    for k in range(1, 11):
        factor = factor * h / k
        total = total + factor * polygamma_n(n + k, x)
    return total


def _small_gap(n, x, h):
    """Sum the differences of the terms of psi_n: first fractions, then the asymptotic series."""
    sign = np.where(np.remainder(n, 2.0) == 0.0, -1.0, 1.0)  # of psi_n itself
    top = special.gamma(n + 1.0)

    def change(a, y):  # (y + h)^-a - y^-a
        return np.power(y, -a) * np.expm1(-a * np.log1p(h / y))

    total = top * sum(change(n + 1.0, x + k) for k in range(SHIFT))
    y = x + SHIFT
    m = np.where(n > 0.0, n, 1.0)
    leading = np.where(n > 0.0, special.gamma(m) * change(m, y), -np.log1p(h / y))
    total = total + leading + 0.5 * top * change(n + 1.0, y)
    for k, b in enumerate(BERNOULLI[:10], 1):  # B_2k (2k + n - 1)! / (2k)!
        total = total + b * special.gamma(2 * k + n) * change(2 * k + n, y)
    return sign * total


helper(
    "polygamma_gap",
    gap,
    order("n"),
    lambda z, n, x, h: gap(n + 1.0, x, h),
    lambda z, n, x, h: polygamma_n(n + 1.0, x + h),
    source="differences of the terms of DLMF 5.7.6, 5.11.2, 5.15.8",
)


# ---- gamma, its logarithm, its reciprocal

digamma = elementwise(
    "digamma",
    None,
    lambda z, x: polygamma_n(1.0, x),
    reach=(0.05, 50.0),
    complex=True,
)
graph.bind_ufunc(special.psi, digamma)
gammaln = elementwise(
    "gammaln", None, lambda z, x: digamma(x), reach=(0.05, 1e4), error=(1e-13, 1e-13)
)
loggamma = elementwise(
    "loggamma",
    None,
    lambda z, x: digamma(x),
    reach=(0.05, 1e4),
    error=(1e-13, 1e-13),
    complex=True,
)
gamma = elementwise(
    "gamma",
    None,
    lambda z, x: z * digamma(x),
    reach=(0.05, 60.0),
    error=(1e-13, 1e-13),
    complex=True,
)


def _rgamma_slope(z, x):
    # To the left by reflection, 1 / gamma(x) = sin(pi x) gamma(1 - x) / pi: regular at the poles.
    left = x < 0.5
    mirrored = 1.0 - np.where(left, x, 0.0)
    turn = math.pi * (x - 2.0 * np.rint(0.5 * x))
    slope = np.cos(turn) - np.sin(turn) * digamma(mirrored) / math.pi
    return np.where(left, gamma(mirrored) * slope, -z * digamma(np.where(left, 1.0, x)))


rgamma = elementwise(
    "rgamma",
    None,
    _rgamma_slope,
    reach=(-5.0, 60.0),
    error=(3e-13, 3e-13),
    complex=(lambda z, x: -z * digamma(x),),
    source="DLMF 5.5.3",
)


def rgamma_slope(x):
    """Return the derivative of ``1 / gamma(x)``."""
    return _rgamma_slope(rgamma(x), x)


nondifferentiable(special.gammasgn, why="steps: flat between the jumps")

# ---- beta, binomials, rising factorials


def _beta_slope(z, a, b):
    # At a + b = 0, -1, ... the value is 0 and digamma has a pole; 1 / gamma(a + b) is regular.
    # Where a is one, too, b is a whole number, and beta a quotient of polynomials of a.
    pole = _next_to_pole(a + b, a, b) & ~_at_pole(a)
    at_a, at_b = np.where(pole, a, 1.0), np.where(pole, b, 1.0)
    slope = digamma(at_a) * rgamma(at_a + at_b) + rgamma_slope(at_a + at_b)
    away = gap(0.0, np.where(pole, 1.0, a), np.where(pole, 1.0, b))
    return np.where(pole, gamma(at_a) * gamma(at_b) * slope, -z * away)


beta = elementwise(
    "beta",
    None,
    _beta_slope,
    lambda z, a, b: _beta_slope(z, b, a),
    reach=((0.1, 30.0), (0.1, 30.0)),
    error=(1e-13, 1e-12),
)
betaln = elementwise(
    "betaln",
    None,
    lambda z, a, b: -gap(0.0, a, b),
    lambda z, a, b: -gap(0.0, b, a),
    reach=((0.1, 1e3), (0.1, 1e3)),
    error=(1e-13, 1e-13),
)


def _no_choice(n, k):
    rest = n - k + 1.0
    return _next_to_pole(k + 1.0, n, rest) | _next_to_pole(rest, n, k)


# gamma(n + 1) / (gamma(k + 1) gamma(n - k + 1)): 0 where k or n - k is -1, -2, ...: digamma has
# poles there, but the reciprocals of gamma have slopes.


def _binom_by_n(z, n, k):
    pole = _no_choice(n, k)
    at_n, at_k = np.where(pole, n, 0.0), np.where(pole, k, 0.0)
    rest = at_n - at_k + 1.0
    slope = digamma(at_n + 1.0) * rgamma(rest) + rgamma_slope(rest)
    residue = gamma(at_n + 1.0) * rgamma(at_k + 1.0) * slope
    return np.where(pole, residue, z * gap(0.0, np.where(pole, 1.0, n - k + 1.0), k))


def _binom_by_k(z, n, k):
    pole = _no_choice(n, k)
    at_n, at_k = np.where(pole, n, 0.0), np.where(pole, k, 0.0)
    rest = at_n - at_k + 1.0
    slope = rgamma_slope(at_k + 1.0) * rgamma(rest) - rgamma(at_k + 1.0) * rgamma_slope(rest)
    regular = z * gap(0.0, np.where(pole, 0.0, k) + 1.0, np.where(pole, 0.0, n - k - k))
    return np.where(pole, gamma(at_n + 1.0) * slope, regular)


binom = elementwise(
    "binom",
    None,
    _binom_by_n,
    _binom_by_k,
    domain=((3.0, 9.0), (0.3, 2.7)),
    reach=((5.1, 30.0), (0.1, 5.0)),
    error=(1e-13, 1e-12),
)


def _poch_by_z(z, x, m):
    # At x = 0, -1, ... the value's gamma(x + m) rgamma(x) is regular where gamma(x + m) is; where
    # that has a pole, too, m is a whole number, and poch a product of m factors.
    pole = _next_to_pole(x, x + m) & ~_at_pole(x + m)
    regular = z * gap(0.0, np.where(pole, 1.0, x), m)
    end = np.where(pole, x + m, 1.0)
    at = np.where(pole, x, 0.0)
    limit = gamma(end) * (digamma(end) * rgamma(at) + rgamma_slope(at))
    return np.where(pole, limit, regular)


poch = elementwise(
    "poch",
    None,
    _poch_by_z,
    lambda z, x, m: z * digamma(x + m),
    reach=((0.1, 20.0), (0.1, 20.0)),
    error=(1e-13, 1e-12),
)


@function(
    "factorial",
    no_axes="same",
    samples=lambda rng: [((rng.uniform(0.5, 4.0, 3),), {}), ((rng.uniform(0.5, 4.0, (2, 2)),), {})],
)
def factorial(n, exact=False, **kwargs):
    """Return ``gamma(n + 1)``, 0 for negative n; arguments as in `scipy.special.factorial`."""
    if type(n) is not Variable:
        return of_values(factorial, special.factorial, (n,), {"exact": exact, **kwargs})
    _not_exact("factorial", exact, kwargs)
    refuse_complex("factorial", n)
    inside = passive(n) >= 0.0
    return np.where(inside, gamma(np.where(inside, n, 0.0) + 1.0), 0.0)


# Before, combinations with repetition were those of N + k - 1: none of a negative number.
_NEGATIVE_TOO = np.lib.NumpyVersion(scipy.__version__) >= "1.17.0"


@function(
    "comb",
    no_axes="number",
    samples=lambda rng: [
        ((rng.uniform(4.0, 9.0, 3), rng.uniform(1.0, 3.0, 3)), {}),
        ((rng.uniform(4.0, 9.0, 3), 2), {"repetition": True}),
    ],
)
def comb(N, k, *, exact=False, repetition=False):
    """Count combinations; arguments as in `scipy.special.comb`, ``exact=True`` is refused.

    Notes
    -----
    The derivative is that of `binom`, 0 outside of ``0 <= k <= N``.
    """
    if type(N) is not Variable and type(k) is not Variable:
        given = {"exact": exact, "repetition": repetition}
        return of_values(comb, special.comb, (N, k), given)
    _not_exact("comb", exact, {})
    refuse_complex("comb", N, k)
    if repetition and not _NEGATIVE_TOO:
        return comb(N + k - 1, k)
    if repetition:  # of nothing nothing is chosen in one way
        nothing = np.logical_and(passive(k) == 0, passive(N) == 0)
        return np.where(nothing, 1.0, binom(np.where(nothing, 1.0, N + k - 1), k))
    n, m = np.broadcast_arrays(passive(N), passive(k))
    inside = (m <= n) & (n >= 0) & (m >= 0)
    if not is_passive(inside) and inside.all():
        return binom(N, k)
    return np.where(inside, binom(np.where(inside, N, 1.0), np.where(inside, k, 0.5)), 0.0)


def _not_exact(name, exact, others):
    if exact:
        raise NoRuleError(f"scipy.special.{name}: exact=True counts in integers: leave it out")
    if {k: v for k, v in others.items() if (k, v) != ("extend", "zero")}:
        raise NoRuleError(
            f"scipy.special.{name}: the argument {sorted(others)[0]}= is not supported"
        )


@function(
    "multigammaln",
    samples=lambda rng: [((rng.uniform(2.0, 5.0, 3), 3), {}), ((rng.uniform(1.0, 2.0, 2), 1), {})],
)
def multigammaln(a, d):
    """Return the logarithm of the multivariate gamma function, as `scipy.special.multigammaln`."""
    if type(a) is not Variable:
        return of_values(multigammaln, special.multigammaln, (a, d), {})
    refuse_complex("multigammaln", a)
    d = np.asarray(d)
    if d.ndim or d != np.floor(d):
        raise ValueError("d should be a positive integer (dimension)")
    constant_call(special.multigammaln, a, d[()])  # raises where SciPy does
    steps = 0.5 * np.arange(float(d)).astype(a.dtype)
    total = np.sum(gammaln(np.expand_dims(a, -1) - steps), axis=-1)
    return total + float(d * (d - 1) * 0.25 * np.log(np.pi))


# ---- zeta by its argument: the terms of Euler and Maclaurin's formula, differentiated


@Numeric
def zeta_k(k, s, q):
    """Return the k-th derivative by s of the Hurwitz zeta function for s > -1 or so, q > 0.

    Of complex s as many terms are summed as its imaginary part is large, at most `FARTHEST`.
    """
    terms = 20
    with np.errstate(all="ignore"):
        if np.iscomplexobj(s):
            s = np.where(np.abs(s.imag) <= FARTHEST, s, np.nan)
            terms += int(np.max(np.abs(s.imag), initial=0.0, where=~np.isnan(s)))
        k, s, q = np.broadcast_arrays(np.real(k), s, q)
        logs = -np.log(q)
        total = np.power(logs, k) * np.power(q, -s)
        for j in range(1, terms):
            total = total + np.power(-np.log(q + j), k) * np.power(q + j, -s)
        y = q + terms
        order_ = int(np.max(k, initial=0))
        log_y, power = np.log(y), np.power(y, -s)
        # Truncated Taylor series in s of the rest, as lists of coefficients.
        rest = _times(_reciprocal(s - 1.0, order_), y)
        rest[0] = rest[0] + 0.5
        rising = [s, np.ones_like(s)][: order_ + 1]
        rising += [np.zeros_like(s)] * (order_ + 1 - len(rising))
        factor = 1.0 / y
        for j, b in enumerate(BERNOULLI[:14]):
            rest = [r + b * factor * c for r, c in zip(rest, rising, strict=True)]
            for m in (1, 2):
                rising = _raised(rising, s + 2 * j + m)
            factor = factor / (y * y)
        decay = [power * (-log_y) ** n / math.factorial(n) for n in range(order_ + 1)]
        tail = np.zeros_like(total)
        for n in range(order_ + 1):
            coefficient = sum(decay[i] * rest[n - i] for i in range(n + 1))
            tail = np.where(k == n, coefficient * math.factorial(n), tail)
        return total + tail


def _reciprocal(x, n):
    return [(-1) ** k / x ** (k + 1) for k in range(n + 1)]


def _times(series, x):
    return [c * x for c in series]


def _raised(series, start):
    """Multiply a series in s by ``start + s``."""
    return [c * start + (series[n - 1] if n else 0.0) for n, c in enumerate(series)]


helper(
    "zeta_k",
    zeta_k,
    order("k"),
    lambda z, k, s, q: zeta_k(k + 1.0, s, q),
    lambda z, k, s, q: (
        -s * zeta_k(k, s + 1.0, q) - k * zeta_k(np.where(k > 0.0, k - 1.0, 0.0), s + 1.0, q)
    ),
    source="DLMF 25.11.28, differentiated",
)


def _riemann_slope(x):
    # To the left by the functional equation (DLMF 25.4.1), in which poles cancel at 0: not close.
    left = x < -0.25
    s = np.where(left, x, -1.5)
    t = 1.0 - s
    angle = 0.5 * math.pi * (s - 4.0 * np.rint(0.25 * s))
    sine, cosine = np.sin(angle), np.cos(angle)
    scale = 2.0 * np.power(2.0 * math.pi, s - 1.0) * gamma(t)
    value = zeta_k(0.0, t, 1.0)
    inner = (math.log(2.0 * math.pi) - digamma(t)) * sine + (0.5 * math.pi) * cosine
    mirrored = scale * (inner * value - sine * zeta_k(1.0, t, 1.0))
    return np.where(left, mirrored, zeta_k(1.0, np.where(left, 2.0, x), 1.0))


def _complex_riemann_slope(x):
    # cos and sin of large imaginary parts are beyond the range: they go into gamma's logarithm.
    left = np.abs(x + 1.25) < np.abs(x - 0.75)
    s = np.where(left, x, -1.5)
    t = 1.0 - s
    value, slope = riemann_k(0.0, t), riemann_k(1.0, t)
    above = (1j * math.pi / 2.0) * s
    base = s * math.log(2.0 * math.pi) - math.log(math.pi) + loggamma(t)
    plus, minus = np.exp(base + above), np.exp(base - above)
    sine, cosine = (plus - minus) / 2j, 0.5 * (plus + minus)
    inner = (math.log(2.0 * math.pi) - digamma(t)) * sine + (0.5 * math.pi) * cosine
    mirrored = inner * value - sine * slope
    return np.where(left, mirrored, riemann_k(1.0, np.where(left, 2.0, x)))


@Numeric
def riemann_k(k, s):
    """Return the k-th derivative of Riemann's zeta function of complex numbers, not to the left."""
    return zeta_k.function(k, s, 1.0)


helper(
    "riemann_k",
    riemann_k,
    order("k"),
    lambda z, k, s: riemann_k(k + 1.0, s),
    complex=True,
    source="DLMF 25.11.28, differentiated",
)
complex_zeta = Numeric(lambda s: special.zeta(s))
helper(
    "complex_zeta",
    complex_zeta,
    lambda z, s: _complex_riemann_slope(s),
    complex=True,
    source="DLMF 25.4.1, 25.11.28",
)
zetac = elementwise(
    "zetac",
    None,
    lambda z, x: _riemann_slope(x),
    domain=(1.5, 4.0),
    reach=(-8.0, 30.0),
    error=(1e-12, 1e-11),
    source="DLMF 25.4.1, 25.11.28",
)


def _takes_complex():
    try:
        special.zeta(2.0 + 1j)
    except TypeError:
        return False
    return True


_ZETA_OF_COMPLEX = _takes_complex()


@Numeric
def hurwitz_zeta(s, q):
    """Return the zeta function of Hurwitz."""
    return special.zeta(s, q)


helper(
    "hurwitz_zeta",
    hurwitz_zeta,
    lambda z, s, q: zeta_k(1.0, s, q),
    lambda z, s, q: -s * hurwitz_zeta(s + 1.0, q),
    domain=((1.5, 4.0), (0.5, 3.0)),
    reach=((1.1, 20.0), (0.1, 20.0)),
    error=(1e-13, 1e-12),
)


@function(
    "zeta",
    samples=lambda rng: [
        ((rng.uniform(1.5, 4.0, 3), rng.uniform(0.5, 3.0, 3)), {}),
        ((rng.uniform(1.5, 4.0, 3),), {}),
        ((2.5, rng.uniform(0.5, 3.0, 2)), {}),
    ],
)
def zeta(x, q=None, out=None):
    """Return the zeta function of Riemann, or with `q` of Hurwitz; as `scipy.special.zeta`.

    Notes
    -----
    Without `q` it is differentiated by complex `x`, too, if this SciPy takes them; its slope is NaN
    where the imaginary part is beyond 1e5.
    """
    if type(x) is not Variable and type(q) is not Variable:
        return special.zeta(x, q, out)
    if out is not None:
        raise NoRuleError("scipy.special.zeta: out= is not supported for Variables")
    if q is None and type(x) is Variable and x.dtype.kind == "c" and _ZETA_OF_COMPLEX:
        return complex_zeta.op(x)
    refuse_complex("zeta", x, 1.0 if q is None else q)
    return zetac(x) + 1.0 if q is None else hurwitz_zeta.op(x, q)
