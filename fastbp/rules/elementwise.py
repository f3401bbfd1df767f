"""Elementwise operations: a ufunc and its partial derivatives, as expressions of the output and the inputs.

A comparison in a partial is a mask, 1 where it holds and 0 elsewhere. The engine multiplies (co)tangents by
partials with a strong zero: where a cotangent is exactly zero it contributes nothing, even if the partial is
infinite or NaN there. So a branch that ``np.where`` did not take cannot poison a gradient.

Partials are written so that they are accurate wherever the derivative is finite: ``(1 - x) * (1 + x)``, not
``1 - x * x``, next to 1; `hypot`, not a sum of squares, for large numbers. They are themselves differentiated for
higher orders, so what a ``np.where`` does not take must still be a finite expression.
"""

import math

import numpy as np

from fastbp._core import graph
from fastbp.rules.special import sigmoid_of
from fastbp.rules.table import FUNCTIONS, elementwise, implements, linear, refuse

LN2, LN10, DEGREE = math.log(2.0), math.log(10.0), math.pi / 180.0
POSITIVE = (0.3, 3.0)
INSIDE = (-0.8, 0.8)

# ---- arithmetic

elementwise("identity", np.positive, lambda z, x: 1.0, ufunc=())
positive = elementwise("positive", np.positive, lambda z, x: 1.0)
negative = elementwise("negative", np.negative, lambda z, x: -1.0)
add = elementwise("add", np.add, lambda z, x, y: 1.0, lambda z, x, y: 1.0)
subtract = elementwise("subtract", np.subtract, lambda z, x, y: 1.0, lambda z, x, y: -1.0)
multiply = elementwise("multiply", np.multiply, lambda z, x, y: y, lambda z, x, y: x)
divide = elementwise("divide", np.divide, lambda z, x, y: 1.0 / y, lambda z, x, y: -z / y,
                     domain=((-2, 2), POSITIVE))
reciprocal = elementwise("reciprocal", np.reciprocal, lambda z, x: -z * z, domain=POSITIVE)
square = elementwise("square", np.square, lambda z, x: 2.0 * x)
sqrt = elementwise("sqrt", np.sqrt, lambda z, x: 0.5 / z, domain=POSITIVE)
cbrt = elementwise("cbrt", np.cbrt, lambda z, x: 1.0 / (3.0 * z * z), domain=POSITIVE)
conjugate = elementwise("conjugate", np.conjugate, lambda z, x: 1.0)

# The product of the engine. Where g is zero and p is not finite, no derivative flows to g either.
mulz = elementwise("mulz", lambda g, p: np.where(np.equal(g, 0.0), g, g * p),
                   lambda z, g, p: np.where((g != 0.0) | (np.abs(p) < np.inf), p, 0.0),
                   lambda z, g, p: g, kernel="mulz", kinks="a zero first operand gives zero")
for internal in ("identity", "mulz"):
    del FUNCTIONS[internal]


def _power_x(z, x, y):
    # y * x**(y-1) has the right limits at x = 0, but for y = 0, where it would be 0 * inf.
    constant = (x == 0.0) & (y == 0.0)
    return np.where(constant, 0.0, y * np.power(x, np.where(constant, 1.0, y - 1.0)))


def _power_y(z, x, y):
    # 0**y is 0 for y > 0: its slope is the limit of z * log(x), not 0 * -inf.
    return z * np.log(np.where((x == 0.0) & (y >= 0.0), 1.0, x))


power = elementwise("power", np.power, _power_x, _power_y, domain=(POSITIVE, (-2, 2)),
                    kinks="x**y by y: 0 at x = 0, y >= 0; NaN for negative x")

# ---- remainders and other sawteeth

remainder = elementwise("remainder", np.remainder, lambda z, x, y: 1.0,
                        lambda z, x, y: -np.floor_divide(x, y), domain=((2.1, 2.9), (0.8, 1.0)),
                        kinks="the slope from inside the step, where x is a multiple of y")
fmod = elementwise("fmod", np.fmod, lambda z, x, y: 1.0, lambda z, x, y: -np.rint((x - z) / y),
                   domain=((-2.9, -2.1), (0.8, 1.0)),
                   kinks="the slope from inside the step, where x is a multiple of y")
heaviside = elementwise("heaviside", np.heaviside, lambda z, x, y: 0.0, lambda z, x, y: x == 0.0,
                        domain=(POSITIVE, (-2, 2)), kinks="0 by x at the step")

# ---- absolute values and extremes

absolute = elementwise("absolute", np.absolute, lambda z, x: np.sign(x), domain=(-3.0, -0.3),
                       kinks="0 at 0")
fabs = elementwise("fabs", np.fabs, lambda z, x: np.sign(x), domain=(-3.0, -0.3), kinks="0 at 0")
copysign = elementwise("copysign", np.copysign, lambda z, x, y: np.sign(x) * np.copysign(1.0, y),
                       lambda z, x, y: 0.0, domain=(POSITIVE, (-3.0, -0.3)), kinks="0 at x = 0")
maximum = elementwise("maximum", np.maximum, lambda z, x, y: np.where(x == y, 0.5, x > y),
                      lambda z, x, y: np.where(x == y, 0.5, x < y), kinks="one half each at a tie")
minimum = elementwise("minimum", np.minimum, lambda z, x, y: np.where(x == y, 0.5, x < y),
                      lambda z, x, y: np.where(x == y, 0.5, x > y), kinks="one half each at a tie")
# These ignore a NaN: the other operand is the value.
fmax = elementwise("fmax", np.fmax, lambda z, x, y: np.where(x == y, 0.5, (x > y) | (y != y)),
                   lambda z, x, y: np.where(x == y, 0.5, (x < y) | (x != x)),
                   kinks="one half each at a tie")
fmin = elementwise("fmin", np.fmin, lambda z, x, y: np.where(x == y, 0.5, (x < y) | (y != y)),
                   lambda z, x, y: np.where(x == y, 0.5, (x > y) | (x != x)),
                   kinks="one half each at a tie")
clip3 = elementwise("clip", lambda x, lo, hi: np.minimum(np.maximum(x, lo), hi),
                    lambda z, x, lo, hi: (x >= lo) & (x <= hi),
                    lambda z, x, lo, hi: (x < lo) & (lo <= hi),
                    lambda z, x, lo, hi: (x > hi) | (lo > hi),
                    domain=((-2, 2), (-0.8, -0.7), (0.7, 0.8)), kinks="passed at the bounds")

# ---- exponentials and logarithms

exp = elementwise("exp", np.exp, lambda z, x: z)
exp2 = elementwise("exp2", np.exp2, lambda z, x: LN2 * z)
expm1 = elementwise("expm1", np.expm1, lambda z, x: z + 1.0)
log = elementwise("log", np.log, lambda z, x: 1.0 / x, domain=POSITIVE)
log2 = elementwise("log2", np.log2, lambda z, x: (1.0 / LN2) / x, domain=POSITIVE)
log10 = elementwise("log10", np.log10, lambda z, x: (1.0 / LN10) / x, domain=POSITIVE)
log1p = elementwise("log1p", np.log1p, lambda z, x: 1.0 / (1.0 + x), domain=INSIDE)
# Equal operands share equally even where both are infinite.
logaddexp = elementwise("logaddexp", np.logaddexp,
                        lambda z, x, y: np.where(x == y, 0.5, sigmoid_of(x - y)),
                        lambda z, x, y: np.where(x == y, 0.5, sigmoid_of(y - x)))
logaddexp2 = elementwise("logaddexp2", np.logaddexp2,
                         lambda z, x, y: np.where(x == y, 0.5, sigmoid_of(LN2 * (x - y))),
                         lambda z, x, y: np.where(x == y, 0.5, sigmoid_of(LN2 * (y - x))))

# ---- circular functions

sin = elementwise("sin", np.sin, lambda z, x: np.cos(x))
cos = elementwise("cos", np.cos, lambda z, x: -np.sin(x))
tan = elementwise("tan", np.tan, lambda z, x: 1.0 + z * z, domain=(-1.2, 1.2))
arcsin = elementwise("arcsin", np.arcsin, lambda z, x: 1.0 / np.sqrt((1.0 - x) * (1.0 + x)),
                     domain=INSIDE)
arccos = elementwise("arccos", np.arccos, lambda z, x: -1.0 / np.sqrt((1.0 - x) * (1.0 + x)),
                     domain=INSIDE)
arctan = elementwise("arctan", np.arctan, lambda z, x: 1.0 / (1.0 + x * x))
deg2rad = elementwise("deg2rad", np.deg2rad, lambda z, x: DEGREE)
radians = elementwise("radians", np.radians, lambda z, x: DEGREE)
rad2deg = elementwise("rad2deg", np.rad2deg, lambda z, x: 1.0 / DEGREE)
degrees = elementwise("degrees", np.degrees, lambda z, x: 1.0 / DEGREE)


def _radius(x, y):
    r = np.hypot(x, y)
    return np.where(r == 0.0, 1.0, r)


hypot = elementwise("hypot", np.hypot, lambda z, x, y: x / np.where(z == 0.0, 1.0, z),
                    lambda z, x, y: y / np.where(z == 0.0, 1.0, z), kinks="0 at (0, 0)")
arctan2 = elementwise("arctan2", np.arctan2, lambda z, y, x: x / _radius(x, y) / _radius(x, y),
                      lambda z, y, x: -(y / _radius(x, y) / _radius(x, y)),
                      domain=((-2, 2), POSITIVE), kinks="0 at (0, 0)")

# Taylor coefficients of (cos t - sin t / t) / t^2 = -j1(t) / t in t^2: 2 (k + 1) / (2 k + 3)!, alternating.
_SLOPE = [(-1) ** (k + 1) * 2.0 * (k + 1) / math.factorial(2 * k + 3) for k in range(10)]


def _sinc_value(x):
    t = math.pi * x
    return np.where(t == 0.0, 1.0, np.sin(t) / np.where(t == 0.0, 1.0, t))


def _sinc_slope(z, x):
    # Near 0, cos(t) - sinc cancels; the polynomial is exact to rounding up to t = 1.5.
    t = math.pi * x
    near = np.abs(t) < 1.5
    square = np.where(near, t * t, 0.0)
    series = _SLOPE[-1]
    for c in _SLOPE[-2::-1]:
        series = series * square + c
    return np.where(near, math.pi * (t * series), (np.cos(t) - z) / np.where(near, 1.0, x))


sinc_op = elementwise("sinc", _sinc_value, _sinc_slope)

# ---- hyperbolic functions

sinh = elementwise("sinh", np.sinh, lambda z, x: np.cosh(x))
cosh = elementwise("cosh", np.cosh, lambda z, x: np.sinh(x))
tanh = elementwise("tanh", np.tanh, lambda z, x: 1.0 - z * z)
arcsinh = elementwise("arcsinh", np.arcsinh, lambda z, x: 1.0 / np.hypot(1.0, x))
arccosh = elementwise("arccosh", np.arccosh,
                      lambda z, x: 1.0 / (np.sqrt(x - 1.0) * np.sqrt(x + 1.0)), domain=(1.2, 4.0))
arctanh = elementwise("arctanh", np.arctanh, lambda z, x: 1.0 / ((1.0 - x) * (1.0 + x)),
                      domain=INSIDE)

# ---- functions that are not one ufunc with one float result


def _bounded(a, lo, hi):
    return clip3(a, -np.inf if lo is None else lo, np.inf if hi is None else hi)


@implements(np.clip, samples=lambda rng: [
    ((rng.uniform(-2, 2, (2, 3)), np.full(3, -0.8), np.full((2, 1), 0.7)), {}),
    ((rng.uniform(-2, 2, 5), None, 0.7), {}),
    ((rng.uniform(-2, 2, 5),), {"min": np.array(-0.7)}),
])
def clip(a, a_min=np._NoValue, a_max=np._NoValue, out=None, *, min=np._NoValue, max=np._NoValue,
         **kwargs):
    """Limit values; arguments as in `numpy.clip`, ``out=`` and those of ufuncs are refused.

    Notes
    -----
    The cotangent goes to the array where it is within the bounds, these included, and to the bound that was taken
    elsewhere. A NaN passes nothing.
    """
    refuse("clip", out=(out, None), **{k: (v, None) for k, v in kwargs.items()})
    if a_min is np._NoValue and a_max is np._NoValue:
        a_min = None if min is np._NoValue else min
        a_max = None if max is np._NoValue else max
    elif a_min is np._NoValue or a_max is np._NoValue:
        missing = "a_min" if a_min is np._NoValue else "a_max"
        raise TypeError(f"clip() missing 1 required positional argument: {missing!r}")
    elif min is not np._NoValue or max is not np._NoValue:
        raise ValueError("clip: give a_min and a_max, or min and max")
    return _bounded(a, a_min, a_max)


def _clip_method(a, min=None, max=None, out=None, **kwargs):
    refuse("clip", out=(out, None), **{k: (v, None) for k, v in kwargs.items()})
    return _bounded(a, min, max)


graph.bind_method("clip", _clip_method)


@implements(np.sinc, samples=lambda rng: [((rng.uniform(-2, 2, (2, 3)),), {}), ((np.zeros(2),), {})])
def sinc(x, /):
    """Return ``sin(pi x) / (pi x)``, 1 at 0; argument as in `numpy.sinc`.

    Notes
    -----
    The derivative is right to rounding everywhere, at 0 too.
    """
    return sinc_op(x)


@implements(np.nan_to_num, samples=lambda rng: [
    ((rng.normal(size=(2, 3)),), {}),
    ((rng.normal(size=3),), {"nan": 1.0, "posinf": 2.0, "neginf": -2.0}),
])
def nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    """Replace NaN and infinities; arguments as in `numpy.nan_to_num`, ``copy=False`` is refused.

    Notes
    -----
    The derivative is 1 where `x` is finite and 0 where it is replaced.
    """
    refuse("nan_to_num", copy=(copy, True))
    value = graph.values_of(x)
    fixed = np.nan_to_num(value, nan=nan, posinf=posinf, neginf=neginf)
    return np.where(np.isfinite(value), x, fixed)


@implements(np.real, samples=lambda rng: [((rng.normal(size=3),), {})])
def real(val, /):
    """Return the real part: a Variable is its own."""
    return positive(val)


@implements(np.real_if_close, samples=lambda rng: [((rng.normal(size=3),), {"tol": 10})])
def real_if_close(a, tol=100):
    """Return `a`, which is real; arguments as in `numpy.real_if_close`."""
    return positive(a)


graph.bind_method("conj", conjugate)
graph.bind_method("conjugate", conjugate)

# Ufuncs with two results, or with an integer operand: functions of the operations above.


@implements(np.float_power, samples=lambda rng: [((rng.uniform(*POSITIVE, 3), rng.normal(size=3)), {})])
def float_power(x1, x2, /, **kwargs):
    """Return ``x1 ** x2`` in float64, also for float32 operands; derivative as of `numpy.power`."""
    refuse("float_power", **{k: (v, None) for k, v in kwargs.items()})
    x1, x2 = (x.astype(np.float64) if type(x) is graph.Variable else np.asarray(x, float) for x in (x1, x2))
    return power(x1, x2)


ldexp_op = linear("ldexp", lambda x, exponent: np.ldexp(x, exponent),
                  lambda g, ans, x, exponent: ldexp_op(g, exponent=exponent))


@implements(np.ldexp, samples=lambda rng: [((rng.normal(size=3), np.array([[-1], [2]])), {})])
def ldexp(x1, x2, /, **kwargs):
    """Return ``x1 * 2**x2`` for integers `x2`, which are constants."""
    refuse("ldexp", **{k: (v, None) for k, v in kwargs.items()})
    exponent = np.asarray(graph.values_of(x2))
    shape = np.broadcast_shapes(x1.shape, exponent.shape)
    return ldexp_op(x1 if x1.shape == shape else np.broadcast_to(x1, shape), exponent=exponent)


@implements(np.frexp, samples=lambda rng: [((rng.uniform(1.1, 1.9, 3),), {})])
def frexp(x, /, **kwargs):
    """Return mantissa and exponent; the exponent is a constant array of integers."""
    refuse("frexp", **{k: (v, None) for k, v in kwargs.items()})
    exponent = np.frexp(graph.values_of(x))[1]
    return ldexp(x, -exponent), exponent


@implements(np.modf, samples=lambda rng: [((rng.uniform(1.1, 1.9, 3),), {})])
def modf(x, /, **kwargs):
    """Return fractional and integral part; the derivative of the fractional part is 1."""
    refuse("modf", **{k: (v, None) for k, v in kwargs.items()})
    integral = np.modf(graph.values_of(x))[1]
    whole = np.where(np.isinf(integral), 0.0, integral)
    return np.where(np.isinf(integral), 0.0, x - whole), integral


@implements(np.divmod, samples=lambda rng: [((rng.uniform(2.1, 2.9, 3), rng.uniform(0.8, 1.0, 3)), {})])
def divmod(x1, x2, /, **kwargs):
    """Return quotient and remainder; the quotient is constant."""
    refuse("divmod", **{k: (v, None) for k, v in kwargs.items()})
    return np.floor_divide(x1, x2), remainder(x1, x2)
