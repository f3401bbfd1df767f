"""Elementwise operations of the engine itself, without a name in `fastbp.numpy`.

Products of (co)tangents t and partials p. A zero t is strong: it stays zero even where p is not
finite, and only there it has no derivative itself. Where p is finite the derivative by t is p, at
t = 0 too: higher orders need it.
"""

import numpy as np

from fastbp.rules.table import helper

DOMAIN = (-2.0, 2.0)

helper(
    "identity",
    np.positive,
    lambda z, x: 1.0,
    of_square=lambda square: square,
    domain=DOMAIN,
    complex=True,
)

# ---- strong zeros


def _finite_or_moving(t, p):
    """Return p, but 0 where t is a zero that made a product with it zero."""
    return np.where((t != 0.0) | np.isfinite(p), p, 0.0)


mulz = helper(
    "mulz",
    lambda t, p: np.where(np.equal(t, 0.0), t, t * p),
    lambda z, t, p: _finite_or_moving(t, p),
    lambda z, t, p: t,
    kernel="mulz",
    dominant=0b10,
    domain=DOMAIN,
    complex=True,
    kinks="0 where t is 0",
)
# A zero of either factor is strong.
helper(
    "mulzz",
    lambda t, p: np.where(p != 0.0, mulz(t, p), 0.0),
    lambda z, t, p: _finite_or_moving(t, p),
    lambda z, t, p: _finite_or_moving(p, t),
    dominant=0b11,
    domain=DOMAIN,
    complex=True,
    kinks="0 where a factor is 0",
)

# In partials: a product with the limit 0 where t is 0, though p is infinite there. It moves with t
# by p, at t = 0 too, so that the next order is infinite, not 0.
vanishing = helper(
    "vanishing",
    lambda t, p: np.where(np.equal(t, 0.0), t, t * p),
    lambda z, t, p: p,
    lambda z, t, p: t,
    kernel="mulz",
    domain=DOMAIN,
)

# ---- sweeps of signed zeros, where only -0 is strong (`fastbp._core.sweep_base`)

# Their derivatives are plain: where a zero is exact, what made it passes nothing on. A complex zero
# is exact if both of its parts are.


def _is_exact(x):
    if getattr(x, "dtype", np.dtype(float)).kind == "c":
        return _is_exact(x.real) & _is_exact(x.imag)
    return (x == 0.0) & (np.copysign(1.0, x) < 0.0)


def _known(z, p):
    """Return p, but NaN where it is zero and made a product with an infinite t undefined."""
    return np.where((p == 0.0) & (z != z), np.nan, p)


mulx = helper(
    "mulx",
    lambda t, p: np.where(_is_exact(t), t, t * p + 0.0),
    lambda z, t, p: _known(z, p),
    lambda z, t, p: t,
    kernel="mulx",
    signed_partials=0b10,
    domain=DOMAIN,
    complex=True,
    kinks="0 where t is -0",
)
# A -0 of either factor is strong.
helper(
    "mulxs",
    lambda t, p: np.where(_is_exact(p), p, mulx(t, p)),
    lambda z, t, p: _known(z, p),
    lambda z, t, p: t,
    signed_partials=0b11,
    domain=DOMAIN,
    complex=True,
    kinks="0 where a factor is -0",
)
# Any zero of p is.
helper(
    "mulxx",
    lambda t, p: np.where(p != 0.0, mulx(t, p), -(p + 0.0)),
    lambda z, t, p: p,
    lambda z, t, p: t,
    dominant=0b11,
    domain=DOMAIN,
    complex=True,
    kinks="0 where t is -0 or p is 0",
)
# Signs for zeros: -0 where `probe` is 0, else +0.
helper(
    "settle",
    lambda x, probe: np.where((probe == 0.0) & (x == 0.0), -(x + 0.0), x + 0.0),
    lambda z, x, probe: 1.0,
    lambda z, x, probe: 0.0,
    domain=DOMAIN,
    complex=True,
)

# ---- squares of what has a kink

# A value that was computed otherwise, with the derivative of x.
helper(
    "carry",
    lambda value, x: value,
    lambda z, value, x: 0.0,
    lambda z, value, x: np.where(value == value, 1.0, np.nan),
    complex=True,
)
