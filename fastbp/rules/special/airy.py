"""Airy functions, plain and scaled by an exponential, and their slopes: y'' = x y (DLMF 9.2)."""

import math

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import Variable
from fastbp.rules.special import unwrapped as special
from fastbp.rules.special.rows import Numeric, function, helper

# ---- plain


def _airy_result(k):
    @Numeric
    def airy_result(x):
        return special.airy(x)[k]

    return airy_result


_AIRY = [_airy_result(k) for k in range(4)]
for _k, _name in enumerate(("airy_ai", "airy_ai_slope", "airy_bi", "airy_bi_slope")):
    helper(
        _name,
        _AIRY[_k],
        (lambda w, x, k=_k: x * _AIRY[k - 1](x))
        if _k % 2
        else (lambda w, x, k=_k: _AIRY[k + 1](x)),
        domain=(0.3, 3.0),
        complex=True,
        source="DLMF 9.2",
    )


@function("airy", samples=lambda rng: [((rng.uniform(-2.0, 2.0, 3),), {})])
def airy(z, **kwargs):
    """Return the Airy functions and their slopes; arguments as in `scipy.special.airy`."""
    if type(z) is not Variable or kwargs:
        return special.airy(z, **kwargs)
    return tuple([f(z) for f in _AIRY])


graph.bind_function(special.airy, airy)

# ---- scaled: Ai by exp(u), Bi by exp(-|real u|), where u = 2/3 z^(3/2)

_FAR_AIRY = 14.0  # from here on the series are exact


def _airy_series(z, scale, sign, power):
    """Return the slope of ``scale z^power sum(c_k (sign / u)^k)``: DLMF 9.7.5 to 9.7.8."""
    inverse, terms, c = 1.5 * sign / (z * np.sqrt(z)), [], 1.0
    for k in range(20):
        terms.append(c if power < 0.0 else c * (6 * k + 1) / (1 - 6 * k))
        c *= (6 * k + 5) * (6 * k + 3) * (6 * k + 1) / (216.0 * (k + 1) * (2 * k + 1))
    total = 0.0
    for k in range(19, -1, -1):
        total = total * inverse + (power - 1.5 * k) * terms[k]
    root = np.sqrt(np.sqrt(z))
    return scale * total / (z * root if power < 0.0 else root * root * root)


_AI_E, _AI_SLOPE_E, _BI_E, _BI_SLOPE_E = _AIRY_E = [
    Numeric(lambda x, k=k: special.airye(x)[k]) for k in range(4)
]


def _scaled_airy_slope(ans, other, z, far, k):
    """Return the slope of a function in `_AIRY_E`, which times sqrt(z) is that of its factor."""
    sign = -1.0 if k < 2 else 1.0
    scale = (0.5 if k < 2 else 1.0) / math.sqrt(math.pi)
    scale, power = (sign * scale, 0.25) if k % 2 else (scale, -0.25)
    series = _airy_series(np.where(far, z, _FAR_AIRY), scale, sign, power)
    at = np.where(far, 1.0, z)
    near = (at * other if k % 2 else other) - sign * np.sqrt(at) * ans
    return np.where(far, series, near)


def _real_airy_slope(ans, x, k):
    far, at = x > _FAR_AIRY, np.maximum(x, 0.0)
    right = _scaled_airy_slope(ans, _AIRY_E[k ^ 1](x), at, far, k)
    if k < 2:
        return right  # and no number to the left, as the value
    return np.where(x < 0.0, (x if k % 2 else 1.0) * _AIRY_E[k ^ 1](x), right)


def _complex_airy_slope(ans, z, k):
    far = (np.abs(z) > _FAR_AIRY) & (np.abs(z - 1.0) <= np.abs(z + 1.0))
    return _scaled_airy_slope(ans, _AIRY_E[k ^ 1](z), z, far, k)


def _exponent(z):
    return np.abs(np.real(2.0 / 3.0 * z * np.sqrt(z)))


def _beside_factor(k):
    def beside(z, s):
        with np.errstate(over="ignore", invalid="ignore"):
            return special.airye(z)[k] * np.exp(_exponent(z) - np.real(s))

    return Numeric(beside)


# Of complex numbers the factor of Bi is not holomorphic: a variable of its own, as in `bessel`.
_BESIDE = {k: _beside_factor(k) for k in (2, 3)}
for _k, _name in ((2, "airye_bi_beside"), (3, "airye_bi_slope_beside")):
    helper(
        _name,
        _BESIDE[_k],
        lambda w, z, s, k=_k: (z if k % 2 else 1.0) * _BESIDE[k ^ 1](z, s),
        lambda w, z, s: -w,
        complex=True,
        source="DLMF 9.2",
    )
_COMPLEX = [
    (lambda w, z: _complex_airy_slope(w, z, 0),),
    (lambda w, z: _complex_airy_slope(w, z, 1),),
    lambda z: _BESIDE[2].op(z, _exponent(z)),
    lambda z: _BESIDE[3].op(z, _exponent(z)),
]
for _k, _name in enumerate(("airye_ai", "airye_ai_slope", "airye_bi", "airye_bi_slope")):
    helper(
        _name,
        _AIRY_E[_k],
        lambda w, x, k=_k: _real_airy_slope(w, x, k),
        domain=(0.3, 3.0),
        reach=(0.1, 1e3),
        error=(1e-12, 1e-11),
        complex=_COMPLEX[_k],
        source="DLMF 9.2, 9.7",
    )


@function(
    "airye",
    samples=lambda rng: [((rng.uniform(0.3, 3.0, 3),), {}), ((rng.uniform(14.5, 30.0, 2),), {})],
)
def airye(z, **kwargs):
    """Return scaled Airy functions and their slopes; arguments as in `scipy.special.airye`.

    Notes
    -----
    Of complex numbers the factor of Bi is ``exp(-abs(real(2/3 z**1.5)))``: it is not holomorphic.
    """
    if type(z) is not Variable or kwargs:
        return special.airye(z, **kwargs)
    return tuple([f.op(z) for f in _AIRY_E])


graph.bind_function(special.airye, airye)
