"""Elementwise operations: a ufunc and its partial derivatives.

A partial is an expression of the output and the operands, ``partial(z, x, y)``.

A comparison in a partial is a mask, 1 where it holds and 0 elsewhere. The engine multiplies
(co)tangents by partials with a strong zero (`fastbp.rules.engine`): where a cotangent is exactly
zero it contributes nothing, even if the partial is infinite or NaN there. So a branch that
``np.where`` did not take cannot poison a gradient.

Partials are written to be accurate wherever the derivative is finite: `hypot`, not a sum of
squares, for large numbers; ``(1 - x) * (1 + x)``, not ``1 - x * x``, next to 1. Higher orders
differentiate the partials themselves, so each branch of a ``np.where`` in them must be finite.
"""

import functools
import math

import numpy as np

from fastbp._core import graph
from fastbp.rules.special import sigmoid
from fastbp.rules.structural import as_operand
from fastbp.rules.table import OPS, elementwise, refuse

LN2, LN10, DEGREE = math.log(2.0), math.log(10.0), math.pi / 180.0
POSITIVE = (0.3, 3.0)
INSIDE = (-0.8, 0.8)

# ---- arithmetic

positive = elementwise("positive", np.positive, lambda z, x: 1.0)
negative = elementwise("negative", np.negative, lambda z, x: -1.0)
add = elementwise("add", np.add, lambda z, x, y: 1.0, lambda z, x, y: 1.0)
subtract = elementwise("subtract", np.subtract, lambda z, x, y: 1.0, lambda z, x, y: -1.0)
multiply = elementwise("multiply", np.multiply, lambda z, x, y: y, lambda z, x, y: x)
divide = elementwise(
    "divide", np.divide, lambda z, x, y: 1.0 / y, lambda z, x, y: -z / y, domain=((-2, 2), POSITIVE)
)
reciprocal = elementwise("reciprocal", np.reciprocal, lambda z, x: -z * z, domain=POSITIVE)
square = elementwise("square", np.square, lambda z, x: 2.0 * x)
sqrt = elementwise("sqrt", np.sqrt, lambda z, x: 0.5 / z, domain=POSITIVE, squared=lambda x: x)
cbrt = elementwise("cbrt", np.cbrt, lambda z, x: 1.0 / (3.0 * z * z), domain=POSITIVE)
conjugate = elementwise("conjugate", np.conjugate, lambda z, x: 1.0)


def _power_x(z, x, y):
    # y * x**(y-1) has the right limits at x = 0, but for y = 0, where it would be 0 * inf.
    constant = (x == 0.0) & (y == 0.0)
    return np.where(constant, 0.0, y * np.power(x, np.where(constant, 1.0, y - 1.0)))


def _power_y(z, x, y):
    # 0**y is 0 for y > 0: its slope is the limit of z * log(x), not 0 * -inf.
    return z * np.log(np.where((x == 0.0) & (y >= 0.0), 1.0, x))


power = elementwise(
    "power",
    np.power,
    _power_x,
    _power_y,
    domain=(POSITIVE, (-2, 2)),
    kinks="x**y by y: 0 at x = 0, y >= 0; NaN for negative x",
)

# ---- remainders and other sawteeth

remainder = elementwise(
    "remainder",
    np.remainder,
    lambda z, x, y: 1.0,
    lambda z, x, y: -np.floor_divide(x, y),
    domain=((2.1, 2.9), (0.8, 1.0)),
    kinks="the slope from inside the step, where x is a multiple of y",
)
fmod = elementwise(
    "fmod",
    np.fmod,
    lambda z, x, y: 1.0,
    lambda z, x, y: -np.rint((x - z) / y),
    domain=((-2.9, -2.1), (0.8, 1.0)),
    kinks="the slope from inside the step, where x is a multiple of y",
)
heaviside = elementwise(
    "heaviside",
    np.heaviside,
    lambda z, x, y: 0.0,
    lambda z, x, y: x == 0.0,
    domain=(POSITIVE, (-2, 2)),
    kinks="0 by x at the step",
)

# ---- absolute values and extremes

absolute = elementwise(
    "absolute",
    np.absolute,
    lambda z, x: np.sign(x),
    domain=(-3.0, -0.3),
    kinks="0 at 0",
    squared=lambda x: x * x,
)
fabs = elementwise(
    "fabs",
    np.fabs,
    lambda z, x: np.sign(x),
    domain=(-3.0, -0.3),
    kinks="0 at 0",
    squared=lambda x: x * x,
)
copysign = elementwise(
    "copysign",
    np.copysign,
    lambda z, x, y: np.sign(x) * np.copysign(1.0, y),
    lambda z, x, y: 0.0,
    domain=(POSITIVE, (-3.0, -0.3)),
    kinks="0 at x = 0",
)
maximum = elementwise(
    "maximum",
    np.maximum,
    lambda z, x, y: np.where(x == y, 0.5, x > y),
    lambda z, x, y: np.where(x == y, 0.5, x < y),
    selects=0b11,
    kinks="one half each at a tie",
)
minimum = elementwise(
    "minimum",
    np.minimum,
    lambda z, x, y: np.where(x == y, 0.5, x < y),
    lambda z, x, y: np.where(x == y, 0.5, x > y),
    selects=0b11,
    kinks="one half each at a tie",
)
# These ignore a NaN: the other operand is the value.
fmax = elementwise(
    "fmax",
    np.fmax,
    lambda z, x, y: np.where(x == y, 0.5, (x > y) | (y != y)),
    lambda z, x, y: np.where(x == y, 0.5, (x < y) | (x != x)),
    selects=0b11,
    kinks="one half each at a tie",
)
fmin = elementwise(
    "fmin",
    np.fmin,
    lambda z, x, y: np.where(x == y, 0.5, (x < y) | (y != y)),
    lambda z, x, y: np.where(x == y, 0.5, (x > y) | (x != x)),
    selects=0b11,
    kinks="one half each at a tie",
)

# ---- exponentials and logarithms

exp = elementwise("exp", np.exp, lambda z, x: z)
exp2 = elementwise("exp2", np.exp2, lambda z, x: LN2 * z)
expm1 = elementwise("expm1", np.expm1, lambda z, x: np.exp(x))
log = elementwise("log", np.log, lambda z, x: 1.0 / x, domain=POSITIVE)
log2 = elementwise("log2", np.log2, lambda z, x: (1.0 / LN2) / x, domain=POSITIVE)
log10 = elementwise("log10", np.log10, lambda z, x: (1.0 / LN10) / x, domain=POSITIVE)
log1p = elementwise("log1p", np.log1p, lambda z, x: 1.0 / (1.0 + x), domain=INSIDE)
# Equal operands share equally even where both are infinite.
logaddexp = elementwise(
    "logaddexp",
    np.logaddexp,
    lambda z, x, y: np.where(x == y, 0.5, sigmoid(x - y)),
    lambda z, x, y: np.where(x == y, 0.5, sigmoid(y - x)),
)
logaddexp2 = elementwise(
    "logaddexp2",
    np.logaddexp2,
    lambda z, x, y: np.where(x == y, 0.5, sigmoid(LN2 * (x - y))),
    lambda z, x, y: np.where(x == y, 0.5, sigmoid(LN2 * (y - x))),
)

# ---- circular functions


def _complement(x):
    # 1 - x^2: the product is exact next to 1, the difference has an exact derivative next to 0.
    return np.where(np.abs(x) < 0.5, 1.0 - x * x, (1.0 - x) * (1.0 + x))


sin = elementwise("sin", np.sin, lambda z, x: np.cos(x))
cos = elementwise("cos", np.cos, lambda z, x: -np.sin(x))
tan = elementwise("tan", np.tan, lambda z, x: 1.0 + z * z, domain=(-1.2, 1.2))
arcsin = elementwise("arcsin", np.arcsin, lambda z, x: 1.0 / np.sqrt(_complement(x)), domain=INSIDE)
arccos = elementwise(
    "arccos", np.arccos, lambda z, x: -1.0 / np.sqrt(_complement(x)), domain=INSIDE
)
arctan = elementwise("arctan", np.arctan, lambda z, x: 1.0 / (1.0 + x * x))
deg2rad = elementwise("deg2rad", np.deg2rad, lambda z, x: DEGREE)
radians = elementwise("radians", np.radians, lambda z, x: DEGREE)
rad2deg = elementwise("rad2deg", np.rad2deg, lambda z, x: 1.0 / DEGREE)
degrees = elementwise("degrees", np.degrees, lambda z, x: 1.0 / DEGREE)


def _radius(x, y):
    r = np.hypot(x, y)
    return np.where(r == 0.0, 1.0, r)


hypot = elementwise(
    "hypot",
    np.hypot,
    lambda z, x, y: x / np.where(z == 0.0, 1.0, z),
    lambda z, x, y: y / np.where(z == 0.0, 1.0, z),
    kinks="0 at (0, 0)",
    squared=lambda x, y: x * x + y * y,
)
arctan2 = elementwise(
    "arctan2",
    np.arctan2,
    lambda z, y, x: x / _radius(x, y) / _radius(x, y),
    lambda z, y, x: -(y / _radius(x, y) / _radius(x, y)),
    domain=((-2, 2), POSITIVE),
    kinks="0 at (0, 0)",
)

# ---- hyperbolic functions

sinh = elementwise("sinh", np.sinh, lambda z, x: np.cosh(x))
cosh = elementwise("cosh", np.cosh, lambda z, x: np.sinh(x))
tanh = elementwise("tanh", np.tanh, lambda z, x: 1.0 - z * z)
arcsinh = elementwise("arcsinh", np.arcsinh, lambda z, x: 1.0 / np.hypot(1.0, x))
arccosh = elementwise(
    "arccosh",
    np.arccosh,
    lambda z, x: 1.0 / (np.sqrt(x - 1.0) * np.sqrt(x + 1.0)),
    domain=(1.2, 4.0),
)
arctanh = elementwise("arctanh", np.arctanh, lambda z, x: 1.0 / _complement(x), domain=INSIDE)

# ---- ``ufunc.outer``


def _outer(op, a, b, /, **kwargs):
    refuse(f"{op.name}.outer", **{k: (v, None) for k, v in kwargs.items()})
    a, b = (as_operand(x, f"{op.name}.outer: an operand") for x in (a, b))
    return op(np.reshape(a, a.shape + (1,) * b.ndim), b)


for _op in list(OPS.values()):
    if _op.nin == 2 and isinstance(_op.forward, np.ufunc):
        graph.bind_ufunc_method(_op.forward, "outer", functools.partial(_outer, _op))
