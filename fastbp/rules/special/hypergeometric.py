"""Hypergeometric functions, by their argument: the derivative has raised parameters.

By the parameters there is no rule.
"""

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import Variable
from fastbp.rules.special import unwrapped as special
from fastbp.rules.special.rows import Numeric, elementwise, function, helper, order, real, wide


@Numeric
def hyp0f1(b, x):
    """Return the confluent limit function."""
    return special.hyp0f1(real(b, "hyp0f1"), x)


@Numeric
def hyp1f1(a, b, x):
    """Return Kummer's function."""
    return special.hyp1f1(real(a, "hyp1f1"), real(b, "hyp1f1"), x)


@Numeric
def hyperu(a, b, x):
    """Return Tricomi's function, as SciPy does."""
    return special.hyperu(a, b, x)


@Numeric
def tricomi(a, b, x):
    """Return Tricomi's function also where SciPy's loses it: near 0, for b = 0, where it is NaN.

    Slopes ask for it there, beside points at which SciPy's is right. For whole b and small x
    SciPy's is NaN, or without a digit that is right.
    """
    with np.errstate(all="ignore"):
        a, b, x = np.broadcast_arrays(a, b, x)
        found = special.hyperu(a, b, x)
        lost = (x > 0.0) & ((b == 0.0) | np.isnan(found))
        if lost.any():
            u, c, y = (np.where(lost, v, 1.0) for v in (a, b, x))  # DLMF 13.2.40
            found = np.where(lost, y ** (1.0 - c) * special.hyperu(u - c + 1.0, 2.0 - c, y), found)
        near = (x > 0.0) & (x * np.maximum(np.abs(a), 1.0) < 0.5) & (b == np.rint(b))
        if near.any():
            u, c, y = (np.where(near, v, 1.0) for v in (a, b, x))
            low = c < 1.0
            value = _near_zero(np.where(low, u - c + 1.0, u), np.where(low, 2.0 - c, c), y)
            value = np.where(low, y ** (1.0 - c), 1.0) * value
            found = np.where(near & np.isfinite(value), value, found)
        return np.where(x == 0.0, _tricomi_at_zero(a, b), found)


def _near_zero(a, b, x):
    """Return it for whole b > 0 near to 0, where no a is a pole: DLMF 13.2.9."""
    n = b - 1.0
    series, term = 0.0, np.ones(x.shape)
    for k in range(40):
        digammas = special.digamma(a + k) - special.digamma(1.0 + k) - special.digamma(b + k)
        series = series + term * (np.log(x) + digammas)
        term = term * (a + k) / ((b + k) * (k + 1.0)) * x
    sign = np.where(np.remainder(n, 2.0) == 0.0, -1.0, 1.0)
    found = sign * special.rgamma(b) * special.rgamma(a - n) * series
    for k in range(1, int(n.max()) + 1):
        rest = np.maximum(n - k, 0.0)
        power = special.gamma(k) * special.poch(1.0 - a + k, rest) * special.rgamma(rest + 1.0)
        found = found + np.where(k <= n, special.rgamma(a) * power * x ** (-k), 0.0)
    return found


def _tricomi_at_zero(a, b):
    """Return the limit from the right: DLMF 13.2.7, 13.2.16 and on."""
    polynomial = (a <= 0.0) & (a == np.rint(a))
    n = np.where(polynomial, -a, 0.0)
    first = np.where(np.remainder(n, 2.0) == 0.0, 1.0, -1.0) * special.poch(b, n)
    finite = special.gamma(1.0 - b) * special.rgamma(a - b + 1.0)
    infinite = special.gammasgn(a) * np.inf
    return np.where(polynomial, first, np.where(b < 1.0, finite, infinite))


def _tricomi_slope(z, a, b, x):
    constant = a == 0.0
    return np.where(constant, 0.0, -a * tricomi(np.where(constant, 1.0, a + 1.0), b + 1.0, x))


helper("tricomi", tricomi, order("a"), order("b"), _tricomi_slope, source="DLMF 13.3.22")

elementwise(
    "hyp0f1",
    hyp0f1,
    order("v"),
    lambda z, b, x: hyp0f1(b + 1.0, x) / b,
    samples=lambda rng: [
        ((1.5, rng.uniform(-2.0, 2.0, 3)), {}),
        ((np.array([0.5, 2.0, 3.0], np.float32), rng.uniform(0.3, 3.0, (2, 3))), {}),
    ],
    reach=((0.5, 4.0), (-10.0, 10.0)),
    error=(1e-11, 1e-11),
    complex=True,
)
elementwise(
    "hyp1f1",
    hyp1f1,
    order("a"),
    order("b"),
    lambda z, a, b, x: a / b * hyp1f1(a + 1.0, b + 1.0, x),
    samples=lambda rng: [
        ((0.5, 1.5, rng.uniform(-2.0, 2.0, 3)), {}),
        ((np.array([0.5, 2.0], np.float32), 2.5, rng.uniform(0.3, 3.0, 2)), {}),
    ],
    reach=((0.5, 4.0), (0.5, 4.0), (-5.0, 10.0)),
    error=(1e-11, 1e-11),
    complex=True,
    source="DLMF 13.3.15",
)
elementwise(
    "hyperu",
    hyperu,
    order("a"),
    order("b"),
    _tricomi_slope,
    samples=lambda rng: [((0.7, 1.3, rng.uniform(0.5, 3.0, 3)), {})],
    reach=((0.5, 3.0), (0.6, 2.6), (0.5, 10.0)),
    error=(1e-8, 1e-7),
    source="DLMF 13.3.22",
)


def _hyp2f1(a, b, c, z):
    return special.hyp2f1(*[real(p, "hyp2f1") for p in (a, b, c)], z)


gauss = wide(
    "hyp2f1",
    _hyp2f1,
    (
        order("a"),
        order("b"),
        order("c"),
        lambda w, a, b, c, z: a * b / c * gauss(a + 1.0, b + 1.0, c + 1.0, z),
    ),
    complex=True,
    source="DLMF 15.5.1",
)


@function(
    "hyp2f1",
    samples=lambda rng: [
        ((0.5, 1.2, 1.7, rng.uniform(-0.7, 0.7, 3)), {}),
        ((np.array([0.5, 2.0], np.float32), 1.5, 2.2, rng.uniform(-0.7, 0.7, 2)), {}),
    ],
)
def hyp2f1(a, b, c, z, **kwargs):
    """Return Gauss' hypergeometric function; arguments as in `scipy.special.hyp2f1`.

    Notes
    -----
    There is no derivative by the parameters `a`, `b` and `c`.
    """
    if kwargs or not any(type(u) is Variable for u in (a, b, c, z)):
        return special.hyp2f1(a, b, c, z, **kwargs)
    return gauss(a, b, c, z)


graph.bind_function(special.hyp2f1, hyp2f1)
