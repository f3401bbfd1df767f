"""Elementwise operations: a ufunc and its partial derivatives, as expressions of the output and the inputs.

A mask in a partial is 1.0 or 0.0. The engine multiplies (co)tangents by partials with a strong zero: where a
cotangent is exactly zero it contributes nothing, even if the partial is infinite or NaN there. So a branch that
``np.where`` did not take cannot poison a gradient.
"""

import math

import numpy as np

from fastbp.rules.table import elementwise

LN2, LN10 = math.log(2.0), math.log(10.0)
POSITIVE = (0.3, 3.0)
INSIDE = (-0.8, 0.8)

# ---- arithmetic

elementwise("identity", np.positive, lambda z, x: 1.0, ufunc=())
positive = elementwise("positive", np.positive, lambda z, x: 1.0)
negative = elementwise("negative", np.negative, lambda z, x: -1.0)
add = elementwise("add", np.add, lambda z, x, y: 1.0, lambda z, x, y: 1.0)
subtract = elementwise("subtract", np.subtract, lambda z, x, y: 1.0, lambda z, x, y: -1.0)
multiply = elementwise("multiply", np.multiply, lambda z, x, y: y, lambda z, x, y: x)
divide = elementwise("divide", np.divide, lambda z, x, y: 1.0 / y, lambda z, x, y: -z / y, domain=((-2, 2), POSITIVE))
mulz = elementwise("mulz", lambda g, p: np.where(np.equal(g, 0.0), g, g * p), lambda z, g, p: p, lambda z, g, p: g,
                   kernel="mulz", kinks="a zero first operand gives zero")
square = elementwise("square", np.square, lambda z, x: 2.0 * x)
sqrt = elementwise("sqrt", np.sqrt, lambda z, x: 0.5 / z, domain=POSITIVE)
reciprocal = elementwise("reciprocal", np.reciprocal, lambda z, x: -z * z, domain=POSITIVE)
absolute = elementwise("absolute", np.absolute, lambda z, x: np.sign(x), domain=POSITIVE, kinks="0 at 0")
maximum = elementwise("maximum", np.maximum,
                      lambda z, x, y: np.where(x == y, 0.5, np.where(x > y, 1.0, 0.0)),
                      lambda z, x, y: np.where(x == y, 0.5, np.where(x > y, 0.0, 1.0)),
                      kinks="one half each at a tie")
power = elementwise("power", np.power,
                    lambda z, x, y: np.where(y == 0.0, 0.0, y * np.power(x, np.where(y == 0.0, 1.0, y - 1.0))),
                    lambda z, x, y: z * np.log(np.where(x == 0.0, np.where(y >= 0, 1.0, x), x)), domain=(POSITIVE, (-2, 2)))

# ---- exponentials

exp = elementwise("exp", np.exp, lambda z, x: z)
log = elementwise("log", np.log, lambda z, x: 1.0 / x, domain=POSITIVE)
sin = elementwise("sin", np.sin, lambda z, x: np.cos(x))
cos = elementwise("cos", np.cos, lambda z, x: -np.sin(x))
tanh = elementwise("tanh", np.tanh, lambda z, x: 1.0 - z * z)
