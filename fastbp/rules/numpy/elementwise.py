"""Elementwise operations: a ufunc and its partial derivatives.

A partial is an expression of the output and the operands, ``partial(z, x, y)``.

A comparison in a partial is a mask, 1 where it holds and 0 elsewhere. The engine multiplies
(co)tangents by partials with a strong zero (`fastbp.rules.engine`): where a cotangent is exactly
zero it contributes nothing, even if the partial is infinite or NaN there. So a branch that
``np.where`` did not take cannot poison a gradient.

Partials are written to be accurate wherever the derivative is finite: `hypot`, not a sum of
squares, for large numbers; ``(1 - x) * (1 + x)``, not ``1 - x * x``, next to 1. Higher orders
differentiate the partials themselves, so each branch of a ``np.where`` in them must be finite, and
the branches must agree in their derivatives, too. Where that cannot be, or where the derivative of
a partial cancels, a `helper` states what it is differentiated into (its name is the expression
itself while its own partials are traced).
"""

import functools
import math

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import passive
from fastbp._core.loops import count_strong_zero
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.special.activations import sigmoid
from fastbp.rules.table import OPS, elementwise, helper, refuse

LN2, LN10, DEGREE = math.log(2.0), math.log(10.0), math.pi / 180.0
POSITIVE = (0.3, 3.0)
INSIDE = (-0.8, 0.8)

# ---- arithmetic

positive = elementwise(
    "positive", np.positive, lambda z, x: 1.0, of_square=lambda square: square, complex=True
)
negative = elementwise(
    "negative", np.negative, lambda z, x: -1.0, of_square=lambda square: square, complex=True
)
add = elementwise("add", np.add, lambda z, x, y: 1.0, lambda z, x, y: 1.0, complex=True)
subtract = elementwise(
    "subtract", np.subtract, lambda z, x, y: 1.0, lambda z, x, y: -1.0, complex=True
)


def _is_moderate(factor):
    """Whether it is a number whose square, and that times what it meets, is in the range."""
    return isinstance(factor, int | float | complex | np.number) and 1e-8 < abs(factor) < 1e8


def _square_of_multiple(x, y):
    for square, factor in ((x, y), (y, x)):
        if _is_moderate(factor):
            return square * (factor * factor)
    return None


multiply = elementwise(
    "multiply",
    np.multiply,
    lambda z, x, y: y,
    lambda z, x, y: x,
    of_square=_square_of_multiple,
    complex=True,
)
divide = elementwise(
    "divide",
    np.divide,
    lambda z, x, y: 1.0 / y,
    lambda z, x, y: -z / y,
    of_square=lambda x, y: x / (y * y) if _is_moderate(y) else None,
    domain=((-2, 2), POSITIVE),
    complex=True,
)
reciprocal = elementwise(
    "reciprocal", np.reciprocal, lambda z, x: -z * z, domain=POSITIVE, complex=True
)
square = elementwise("square", np.square, lambda z, x: 2.0 * x, complex=True)
sqrt = elementwise(
    "sqrt", np.sqrt, lambda z, x: 0.5 / z, domain=POSITIVE, squared=lambda x: x, complex=True
)
cbrt = elementwise("cbrt", np.cbrt, lambda z, x: 1.0 / (3.0 * z * z), domain=POSITIVE)
conjugate = elementwise("conjugate", np.conjugate, lambda z, x: 1.0, complex=lambda x: x.conj())


# x**y log(x)**k: what differentiating a power by its exponent makes. At x = 0 it is 0 for y > 0.


def _power_log_k(x, y, k):
    zero = (x == 0.0) & (y > 0.0)
    return np.where(zero, 0.0, np.power(x, y) * np.power(np.log(np.where(zero, 1.0, x)), k))


power_log_k = _power_log_k
power_log_k = helper(
    "power_log_k",
    _power_log_k,
    lambda w, x, y, k: k * power_log_k(x, y - 1.0, k - 1.0) + y * power_log_k(x, y - 1.0, k),
    lambda w, x, y, k: power_log_k(x, y, k + 1.0),
    lambda w, x, y, k: 0.0,
)


def _power_log(z, x, y):
    return z * np.log(np.where((x == 0.0) & (y > 0.0), 1.0, x))


def _power_mixed(x, y):
    p = np.power(x, y - 1.0)
    return p + y * power_log(passive(p), x, y - 1.0)


# The same for k = 1, with the power z at hand.
power_log = _power_log
power_log = helper(
    "power_log",
    _power_log,
    lambda w, z, x, y: 0.0,
    lambda w, z, x, y: _power_mixed(x, y),
    lambda w, z, x, y: power_log_k(x, y, 2.0),
)


def _power_slope(x, y):
    # y * x**(y-1) has the right limits at x = 0, but for y = 0, where it would be 0 * inf.
    constant = (x == 0.0) & (y == 0.0)
    return np.where(constant, 0.0, y * np.power(x, np.where(constant, 1.0, y - 1.0)))


def _power_slope_x(z, x, y):
    # The cube root is 0 there, but its slope by y is infinite, as that of the power is.
    constant = (x == 0.0) & (y == 0.0)
    return np.where(constant, np.cbrt(y), y * power_slope(x, y - 1.0))


power_slope = _power_slope
power_slope = helper(
    "power_slope", _power_slope, _power_slope_x, lambda z, x, y: _power_mixed(x, y)
)


def _power_y(z, x, y):
    return z * np.log(np.where((x == 0.0) & (y >= 0.0), 1.0, x))


# The same by convention 0 at (0, 0) too, to all orders by y.
power_y = helper(
    "power_y",
    _power_y,
    lambda w, z, x, y: 0.0,
    lambda w, z, x, y: _power_mixed(x, y),
    lambda w, z, x, y: np.where((x == 0.0) & (y == 0.0), 0.0, power_log_k(x, y, 2.0)),
)
power = elementwise(
    "power",
    np.power,
    lambda z, x, y: power_slope(x, y),
    lambda z, x, y: power_y(passive(z), x, y),
    domain=(POSITIVE, (-2, 2)),
    kinks="x**y by y: 0 at x = 0, y >= 0; NaN for negative x",
    error=(2e-13, 1e-12),
    complex=(
        lambda z, x, y: np.where(
            (x == 0.0) & (y == 0.0), 0.0, y * np.power(x, np.where(y == 0.0, 1.0, y - 1.0))
        ),
        lambda z, x, y: z * np.log(np.where(x == 0.0, 1.0, x)),
    ),
)

# Powers with a constant exponent that is a small integer, by multiplication: an operation each,
# whose partial is made of the next one. Each product rounds once.
LARGEST_PRODUCT = 8


def _product(n, x):
    if n < 0:
        return 1.0 / _product(-n, x)
    if n == 1:
        return x
    half = _product(n // 2, x)
    return half * half * x if n % 2 else half * half


def _product_slope(n, z, x):
    following = PRODUCTS.get(n - 1)
    return n * (np.power(x, float(n - 1)) if following is None else following(x))


PRODUCTS = {1: positive, 2: square, -1: reciprocal}
for _n in (*range(3, LARGEST_PRODUCT + 1), *range(-LARGEST_PRODUCT, -1)):
    _facts = {"domain": ((-2.0, -0.5),), "complex": True, "error": (6e-15, 9e-15)}
    PRODUCTS[_n] = helper(
        f"power_{_n}".replace("-", "minus_"),
        functools.partial(_product, _n),
        functools.partial(_product_slope, _n),
        **_facts,
    )
graph.bind("products", PRODUCTS)

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
    complex=lambda x: hypot(x.real, x.imag),
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
    complex=True,  # in the order of the real parts
)
minimum = elementwise(
    "minimum",
    np.minimum,
    lambda z, x, y: np.where(x == y, 0.5, x < y),
    lambda z, x, y: np.where(x == y, 0.5, x > y),
    selects=0b11,
    kinks="one half each at a tie",
    complex=True,  # in the order of the real parts
)
# These ignore a NaN: the other operand is the value.
fmax = elementwise(
    "fmax",
    np.fmax,
    lambda z, x, y: np.where(x == y, 0.5, (x > y) | (y != y)),
    lambda z, x, y: np.where(x == y, 0.5, (x < y) | (x != x)),
    selects=0b11,
    kinks="one half each at a tie",
    complex=True,  # in the order of the real parts
)
fmin = elementwise(
    "fmin",
    np.fmin,
    lambda z, x, y: np.where(x == y, 0.5, (x < y) | (y != y)),
    lambda z, x, y: np.where(x == y, 0.5, (x > y) | (x != x)),
    selects=0b11,
    kinks="one half each at a tie",
    complex=True,  # in the order of the real parts
)

# ---- exponentials and logarithms

exp = elementwise("exp", np.exp, lambda z, x: z, complex=True)
exp2 = elementwise("exp2", np.exp2, lambda z, x: LN2 * z, complex=True)
expm1 = elementwise("expm1", np.expm1, lambda z, x: np.exp(x), complex=True)
log = elementwise("log", np.log, lambda z, x: 1.0 / x, domain=POSITIVE, complex=True)
log2 = elementwise("log2", np.log2, lambda z, x: (1.0 / LN2) / x, domain=POSITIVE, complex=True)
log10 = elementwise("log10", np.log10, lambda z, x: (1.0 / LN10) / x, domain=POSITIVE, complex=True)
log1p = elementwise("log1p", np.log1p, lambda z, x: 1.0 / (1.0 + x), domain=INSIDE, complex=True)


def _difference(x, y):
    return np.where((x == y) & (np.abs(x) == np.inf), 0.0, x - y)


# Equal infinities are equal numbers here.
difference = helper(
    "difference", _difference, lambda z, x, y: 1.0, lambda z, x, y: -1.0, kernel="difference"
)
logaddexp = elementwise(
    "logaddexp",
    np.logaddexp,
    lambda z, x, y: sigmoid(difference(x, y)),
    lambda z, x, y: sigmoid(difference(y, x)),
    kinks="one half each at equal infinities",
    error=(1e-13, 1e-13),
)
logaddexp2 = elementwise(
    "logaddexp2",
    np.logaddexp2,
    lambda z, x, y: sigmoid(LN2 * difference(x, y)),
    lambda z, x, y: sigmoid(LN2 * difference(y, x)),
    kinks="one half each at equal infinities",
    error=(1e-13, 1e-13),
)

# ---- circular functions


def _complement(x):
    # 1 - x^2: the product is exact next to 1, the difference has an exact derivative next to 0.
    return np.where(np.abs(x) < 0.5, 1.0 - x * x, (1.0 - x) * (1.0 + x))


# 1 - x and 1 + x, which keep the sign of a zero imaginary part: it says on which side of a cut x
# is.
def _below_one(x):
    return -(x - 1.0)


def _above_minus_one(x):
    return x - -1.0


def _inverse_square(z):
    inside = np.isfinite(z)
    outside = np.where(z == z, 0.0, z)  # of infinities; nan stays nan
    inverse = np.where(inside, 1.0 / np.where(inside, z, 1.0), outside)
    return inverse * inverse


def _or_inverse_square(inverse, x):
    # 1 / x^2 in the place of what is that to rounding, where x^2 leaves the range.
    inside = np.isfinite(x * x)
    far = 1.0 / np.where(inside, 1.0, x)
    return np.where(inside, inverse, far * far)


sin = elementwise("sin", np.sin, lambda z, x: np.cos(x), complex=True)
cos = elementwise("cos", np.cos, lambda z, x: -np.sin(x), complex=True)
tan = elementwise(
    "tan",
    np.tan,
    lambda z, x: 1.0 + z * z,
    domain=(-1.2, 1.2),
    complex=(lambda z, x: _inverse_square(np.cos(x)),),
)
arcsin = elementwise(
    "arcsin",
    np.arcsin,
    lambda z, x: 1.0 / np.sqrt(_complement(x)),
    domain=INSIDE,
    complex=(lambda z, x: 1.0 / (np.sqrt(_below_one(x)) * np.sqrt(_above_minus_one(x))),),
)
arccos = elementwise(
    "arccos",
    np.arccos,
    lambda z, x: -1.0 / np.sqrt(_complement(x)),
    domain=INSIDE,
    complex=(lambda z, x: -1.0 / (np.sqrt(_below_one(x)) * np.sqrt(_above_minus_one(x))),),
)
# 1 / (1 + x^2); its slope is written so that nothing leaves the range before the product does.
arctan_slope = helper(
    "arctan_slope",
    lambda x: 1.0 / (1.0 + x * x),
    lambda w, x: -2.0 * ((x * w) * w),
)
complex_arctan_slope = helper(
    "complex_arctan_slope",
    lambda x: _or_inverse_square(1.0 / (1.0 + x * x), x),
    lambda w, x: -2.0 * ((x * w) * w),
    complex=True,
)
arctan = elementwise(
    "arctan",
    np.arctan,
    lambda z, x: arctan_slope(x),
    complex=(lambda z, x: complex_arctan_slope(x),),
)
deg2rad = elementwise("deg2rad", np.deg2rad, lambda z, x: DEGREE)
radians = elementwise("radians", np.radians, lambda z, x: DEGREE)
rad2deg = elementwise("rad2deg", np.rad2deg, lambda z, x: 1.0 / DEGREE)
degrees = elementwise("degrees", np.degrees, lambda z, x: 1.0 / DEGREE)


def _cosine(r, x, y):
    # x / r, where r = hypot(x, y): 0 at the origin, and the limit where x is infinite (not y too).
    return np.where(np.abs(x) == r, np.sign(x) + 0.0 * y, x / np.where(r == 0.0, 1.0, r))


def _radius(x, y, r=None):
    """Return ``hypot(x, y)`` as a constant; `r`, if that is known."""
    r = passive(np.hypot(x, y) if r is None else r)
    # At the origin slopes jump: what a zero (co)tangent means there depends on where it is from.
    if isinstance(x, graph.Variable) or isinstance(y, graph.Variable):
        if not np.all(r):
            count_strong_zero()
    return r


def direction(x, y, r=None):
    """Return ``x / hypot(x, y)``; its slopes are products, no differences that cancel."""
    return cosine(_radius(x, y, r), x, y)


cosine = _cosine
cosine = helper(
    "cosine",
    _cosine,
    lambda c, r, x, y: 0.0,
    lambda c, r, x, y: direction(y, x) * (direction(y, x) / np.hypot(x, y)),
    lambda c, r, x, y: -direction(y, x) * (direction(x, y) / np.hypot(x, y)),
    kernel="cosine",
)


def _even_powers(x, square, n):
    """Return ``x**n`` as powers of the square of `x` where n is positive and even; None: nowhere.

    The exponents are an array, or a recorded value without derivative.
    """
    with np.errstate(invalid="ignore"):
        even = (n > 0.0) & (n % 2.0 == 0.0)
    if not graph.keeps(n):
        if not np.any(even):
            return None
        if np.all(even):
            return square ** (n / 2.0)
    other = graph.variable(x) ** np.where(even, 1.0, n)
    return np.where(even, square ** np.where(even, n / 2.0, 1.0), other)


graph.bind("even_powers", _even_powers)


hypot = elementwise(
    "hypot",
    np.hypot,
    lambda z, x, y: direction(x, y, z),
    lambda z, x, y: direction(y, x, z),
    kinks="0 at (0, 0), where higher derivatives are NaN",
    squared=lambda x, y: x * x + y * y,
)


def _angle_slope(r, x, y):
    return cosine(r, x, y) / np.where(r == 0.0, 1.0, r)


def _angle_curvature(w, r, x, y):
    # (y^2 - x^2) / r^4. Close to the diagonal y - x is exact; far off each square has its slope.
    r = np.hypot(x, y)
    u, v = x / r / r, y / r / r
    close = np.abs(np.abs(x) - np.abs(y)) < 0.5 * r
    return np.where(close, ((y - x) / r / r) * ((y + x) / r / r), v * v - u * u)


def _angle_twist(w, r, x, y):
    r = np.hypot(x, y)
    return -2.0 * (x / r / r) * (y / r / r)


# x / r^2
angle_slope = helper(
    "angle_slope", _angle_slope, lambda w, r, x, y: 0.0, _angle_curvature, _angle_twist
)


arctan2 = elementwise(
    "arctan2",
    np.arctan2,
    lambda z, y, x: angle_slope(_radius(x, y), x, y),
    lambda z, y, x: -angle_slope(_radius(x, y), y, x),
    domain=((-2, 2), POSITIVE),
    kinks="0 at (0, 0), where higher derivatives are NaN",
)

# ---- hyperbolic functions

sinh = elementwise("sinh", np.sinh, lambda z, x: np.cosh(x), complex=True)
cosh = elementwise("cosh", np.cosh, lambda z, x: np.sinh(x), complex=True)


# 1 - z * z is no number to work with where z is close to 1: the kernel takes e^-2|x| there.
def _tanh_slope(z, x):
    e = np.exp(-2.0 * np.abs(x))
    return 4.0 * e / ((1.0 + e) * (1.0 + e))


tanh_slope = helper(
    "tanh_slope",
    _tanh_slope,
    lambda s, z, x: 0.0,
    lambda s, z, x: -2.0 * (s * np.tanh(x)),
    kernel="tanh_slope",
)
tanh = elementwise(
    "tanh",
    np.tanh,
    lambda z, x: tanh_slope(passive(z), x),
    error=(3e-14, 3e-14),
    complex=(lambda z, x: _inverse_square(np.cosh(x)),),
)


def _arcsinh_slope(z, x):
    # 1 + x * x is no number to work with close to i and -i. The value knows its side of a cut.
    root = np.sqrt((1.0 - 1j * x) * (1.0 + 1j * x))
    return 1.0 / np.where(root * np.conj(np.cosh(z)) < 0.0, -root, root)


arcsinh = elementwise(
    "arcsinh",
    np.arcsinh,
    lambda z, x: 1.0 / np.hypot(1.0, x),
    complex=(_arcsinh_slope,),
)
arccosh = elementwise(
    "arccosh",
    np.arccosh,
    lambda z, x: 1.0 / (np.sqrt(x - 1.0) * np.sqrt(_above_minus_one(x))),
    domain=(1.2, 4.0),
    complex=True,
)
arctanh = elementwise(
    "arctanh",
    np.arctanh,
    lambda z, x: 1.0 / _complement(x),
    domain=INSIDE,
    complex=(lambda z, x: -_or_inverse_square(1.0 / ((x - 1.0) * (x + 1.0)), x),),
)

# ---- ``ufunc.outer``


def _outer(op, a, b, /, **kwargs):
    refuse(f"{op.name}.outer", **{k: (v, None) for k, v in kwargs.items()})
    a, b = (as_operand(x, f"{op.name}.outer: an operand") for x in (a, b))
    return op(np.reshape(a, a.shape + (1,) * b.ndim), b)


for _op in list(OPS.values()):
    if _op.nin == 2 and isinstance(_op.forward, np.ufunc):
        graph.bind_ufunc_method(_op.forward, "outer", functools.partial(_outer, _op))
