"""Bessel functions and their relatives.

The derivative of each is one of neighbouring orders (DLMF 10.6, 10.29, 10.51). By the order there
is no rule. Functions that are scaled by an exponential have slopes that cancel far out: there they
are asymptotic series (DLMF 10.40).
"""

import math

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import Variable
from fastbp.rules.counterparts import of_values
from fastbp.rules.special import unwrapped as special
from fastbp.rules.special.integrals import as_complex
from fastbp.rules.special.rows import Numeric, elementwise, function, helper, order, real, whole


def _samples(*orders, low=0.5, high=3.0):
    def samples(rng):
        return [((v, rng.uniform(low, high, 3)), {}) for v in orders] + [
            ((np.array([[0], [1], [3]]), rng.uniform(low, high, 2)), {})
        ]

    return samples


def _of_real_order(name):
    """Return a ufunc whose order stays real where its argument is complex."""
    ufunc = getattr(special, name)

    @Numeric
    def bessel(v, x):
        return ufunc(real(v, name), x)

    bessel.__name__ = name
    return bessel


# ---- of real orders

jv, yv, iv, kv = map(_of_real_order, ("jv", "yv", "iv", "kv"))
_FACTS = {
    "samples": _samples(0.0, 1.0, 2.5),
    "reach": ((0, 5), (0.1, 40.0)),
    "error": (1e-12, 1e-11),
    "complex": True,
}
of_first_kind = elementwise(
    "jv",
    jv,
    order("v"),
    lambda z, v, x: 0.5 * (jv(v - 1.0, x) - jv(v + 1.0, x)),
    source="DLMF 10.6.1",
    **_FACTS,
)
elementwise("yv", yv, order("v"), lambda z, v, x: 0.5 * (yv(v - 1.0, x) - yv(v + 1.0, x)), **_FACTS)
elementwise("iv", iv, order("v"), lambda z, v, x: 0.5 * (iv(v - 1.0, x) + iv(v + 1.0, x)), **_FACTS)
elementwise(
    "kv", kv, order("v"), lambda z, v, x: -0.5 * (kv(v - 1.0, x) + kv(v + 1.0, x)), **_FACTS
)
graph.bind_ufunc(special.jn, of_first_kind)

# ---- of whole orders, real

_WHOLE = {
    "samples": _samples(0, 1, 3),
    "reach": ((0, 6), (0.1, 40.0)),
    "error": (1e-12, 1e-11),
}


@Numeric
def yn(n, x):
    """Return the Bessel function of the second kind of a whole order."""
    return whole(special.yn, n, x)


@Numeric
def kn(n, x):
    """Return the modified one; those of orders -n and n are equal."""
    return whole(special.kn, np.abs(n), x)


elementwise("yn", yn, order("n"), lambda z, n, x: 0.5 * (yn(n - 1.0, x) - yn(n + 1.0, x)), **_WHOLE)
elementwise(
    "kn", kn, order("n"), lambda z, n, x: -0.5 * (kn(n - 1.0, x) + kn(n + 1.0, x)), **_WHOLE
)

# ---- of orders 0 and 1


def _of_second_order(bessel, sign):
    """Return the function of order 2, at tiny arguments by its series: there SciPy's is NaN."""

    def at(x):
        tiny = np.abs(x) < 1e-8
        square = np.where(tiny, 0.25 * sign * x * x, 0.0)
        series = 0.5 * square * (1.0 + square / 3.0 * (1.0 + square / 8.0)) * sign
        return np.where(tiny, series, bessel(2.0, np.where(tiny, 1.0, x)))

    return at


_J2, _I2 = _of_second_order(special.jv, -1.0), _of_second_order(special.iv, 1.0)
_REACH = {"domain": (0.5, 3.0), "reach": (0.1, 40.0), "error": (1e-12, 1e-11)}
elementwise("j0", None, lambda z, x: -special.j1(x), **_REACH)
elementwise("j1", None, lambda z, x: 0.5 * (special.j0(x) - _J2(x)), **_REACH)
elementwise("y0", None, lambda z, x: -special.y1(x), **_REACH)
elementwise("y1", None, lambda z, x: 0.5 * (special.y0(x) - yn(2.0, x)), **_REACH)
elementwise("i0", None, lambda z, x: special.i1(x), **_REACH)
elementwise("i1", None, lambda z, x: 0.5 * (special.i0(x) + _I2(x)), **_REACH)
elementwise("k0", None, lambda z, x: -special.k1(x), **_REACH)
elementwise("k1", None, lambda z, x: -0.5 * (special.k0(x) + special.kv(2.0, x)), **_REACH)

# ---- scaled by an exponential

FAR = 30.0  # from here on the series below are exact, for orders up to sqrt(1.2 x)


def _series_slope(v, x, sign, scale):
    """Return the slope of ``scale / sqrt(x) * sum(a_k(v) (sign / x)**k)``."""
    square = 4.0 * v * v
    terms = [1.0]
    for k in range(1, 20):
        terms.append(terms[-1] * (square - (2 * k - 1) ** 2) * (sign / (8.0 * k)))
    inverse = 1.0 / x
    total = 0.0
    for k in range(19, -1, -1):
        total = total * inverse - (k + 0.5) * terms[k]
    return scale * total * inverse * np.sqrt(inverse)


def _scaled_slope(near, v, x, sign, scale):
    far = (x > FAR) & (v * v < 1.2 * x) & (v * v < 1e12)
    series = _series_slope(np.where(far, v, 0.0), np.where(far, x, FAR), sign, scale)
    return np.where(far, series, near(np.where(far, 1.0, x)))


def _ive_slope(v, x):
    def near(x):
        return 0.5 * (ive(v - 1.0, x) + ive(v + 1.0, x)) - np.sign(x) * ive(v, x)

    # Of a whole order it is even or odd.
    odd = np.not_equal(np.rint(v), 2.0 * np.rint(0.5 * np.rint(v)))
    sign = np.where(x < 0.0, np.where(odd, 1.0, -1.0), 1.0)
    return sign * _scaled_slope(near, v, np.abs(x), -1.0, 1.0 / math.sqrt(2.0 * math.pi))


def _kve_slope(v, x):
    def near(x):
        return kve(v, x) - 0.5 * (kve(v - 1.0, x) + kve(v + 1.0, x))

    return _scaled_slope(near, v, x, 1.0, math.sqrt(0.5 * math.pi))


@Numeric
def ive(v, x):
    """Return ``iv(v, x) exp(-|x|)``."""
    return special.ive(v, x)


kve = _of_real_order("kve")
_SCALED_BY_ORDER = {
    "reach": ((0, 5), (0.1, 1e4)),
    "error": (1e-12, 1e-10),
    "source": "DLMF 10.40",
}
elementwise(
    "kve",
    kve,
    order("v"),
    lambda z, v, x: _kve_slope(v, x),
    samples=_samples(0.0, 1.0, 2.5),
    complex=(
        order("v"),
        lambda z, v, x: z - 0.5 * (kve(v - 1.0, x) + kve(v + 1.0, x)),
    ),
    **_SCALED_BY_ORDER,
)
_SCALED = {"domain": (0.5, 3.0), "reach": (0.1, 1e4), "error": (1e-12, 1e-10)}
elementwise("i0e", None, lambda z, x: _ive_slope(0.0, x), kinks="0 at 0", **_SCALED)
elementwise("i1e", None, lambda z, x: _ive_slope(1.0, x), **_SCALED)
elementwise("k0e", None, lambda z, x: _kve_slope(0.0, x), **_SCALED)
elementwise("k1e", None, lambda z, x: _kve_slope(1.0, x), **_SCALED)

# Of complex numbers the factor is exp(-|x.real|), or of x.imag, which is not holomorphic: its
# exponent is an operand of its own.


def _beside_factor(name, part, below, above):
    """Return a scaled Bessel function of complex numbers; its slope is that of two neighbours."""
    scaled = _of_real_order(name)

    @Numeric
    def beside(v, x, s):
        with np.errstate(over="ignore", invalid="ignore"):
            return scaled(v, x) * np.exp(np.abs(part(x)) - np.real(s))

    helper(
        f"{name}_beside",
        beside,
        order("v", name),
        lambda z, v, x, s: below * beside(v - 1.0, x, s) + above * beside(v + 1.0, x, s),
        lambda z, v, x, s: -z,
        complex=True,
    )
    return lambda v, x: beside.op(v, x, np.abs(part(x)))


elementwise(
    "ive",
    ive,
    order("v"),
    lambda z, v, x: _ive_slope(v, x),
    samples=_samples(0.0, 1.0, 2.5),
    kinks="0 at 0",
    complex=_beside_factor("ive", np.real, 0.5, 0.5),
    **_SCALED_BY_ORDER,
)
# Of real numbers these are those without the factor.
for _name, _plain in (("jve", jv), ("yve", yv)):
    elementwise(
        _name,
        None,
        order("v"),
        lambda z, v, x, f=_plain: 0.5 * (f(v - 1.0, x) - f(v + 1.0, x)),
        samples=_samples(0.0, 1.0, 2.5),
        reach=((0, 5), (0.1, 40.0)),
        error=(1e-12, 1e-11),
        complex=_beside_factor(_name, np.imag, 0.5, -0.5),
    )

# ---- Hankel functions, complex also of real numbers


def _hankel(name, factor):
    """Add a Hankel function, with `factor` if it is scaled by ``exp(factor x)``."""
    value = _of_real_order(name)
    helper(
        f"{name}_complex",
        value,
        order("v"),
        lambda z, v, x: (
            0.5 * (value(v - 1.0, x) - value(v + 1.0, x)) + (factor * z if factor else 0.0)
        ),
        complex=True,
    )

    def hankel(v, z, **kwargs):
        if kwargs or not any(type(u) is Variable for u in (v, z)):
            return getattr(special, name)(v, z, **kwargs)
        return value.op(v, as_complex(z if type(z) is Variable else np.asarray(z, float)))

    hankel.__name__ = name
    hankel.__doc__ = f"""Return a Hankel function, complex; as `scipy.special.{name}`.

    Notes
    -----
    There is no derivative by the order.
    """
    hankel = function(name, samples=_samples(0.0, 1.0, 2.5))(hankel)
    graph.bind_function(getattr(special, name), hankel)


for _name, _factor in (("hankel1", 0), ("hankel2", 0), ("hankel1e", -1j), ("hankel2e", 1j)):
    _hankel(_name, _factor)

# ---- spherical Bessel functions: DLMF 10.51.2, without division by the argument


def _spherical(name, before, after):
    # (2 n + 1) f_n' = before n f_{n-1} + after (n + 1) f_{n+1}
    scipy_function = getattr(special, name)

    @Numeric
    def value(n, z):
        return whole(scipy_function, n, z)

    def slope(n, z):
        below = before * n * value(np.where(n > 0.0, n - 1.0, 0.0), z)
        above = after * (n + 1.0) * value(n + 1.0, z)
        return np.where(n > 0.0, below + above, above) / (2.0 * n + 1.0)

    helper(name, value, order("n"), lambda w, n, z: slope(n, z), complex=True, source="DLMF 10.51")

    def spherical(n, z, derivative=False):
        if not any(type(u) is Variable for u in (n, z)):
            return of_values(spherical, scipy_function, (n, z, derivative), {})
        if type(n) is Variable:
            return value.op(n, z)
        n = np.asarray(n, np.result_type(np.float32, z.dtype)).real
        return slope(n, z) if derivative else value.op(n, z)

    spherical.__name__ = name
    spherical.__doc__ = f"""Return a spherical Bessel function; as `scipy.special.{name}`.

    Notes
    -----
    There is no derivative by the order, a whole number.
    """
    function(name, samples=_spherical_samples)(spherical)


def _spherical_samples(rng):
    return [*_samples(0, 1, 3)(rng), ((2, rng.uniform(0.5, 3.0, 3)), {"derivative": True})]


_spherical("spherical_jn", 1.0, -1.0)
_spherical("spherical_yn", 1.0, -1.0)
_spherical("spherical_in", 1.0, 1.0)
_spherical("spherical_kn", -1.0, -1.0)
