"""Derivatives of the elementwise table in mpmath: truncated power series of several variables.

Independent of NumPy and of the table's partials. Numbers have no range limits and enough digits, so
what comes out is right to far more than double precision, at 1e-300 and at 1e300 too.
"""

import functools
import itertools
import math

import mpmath as mp
from scipy import special

from .digits import working_digits
from .oracle import CONSTANT_POWERS


class Series:
    """A power series in the displacements of the variables, up to a total degree.

    Attributes
    ----------
    terms : dict
        Coefficients by exponents.
    degree : int
    """

    def __init__(self, terms, degree):
        self.terms = terms
        self.degree = degree
        self.zeroth = (0,) * len(next(iter(terms)))

    @property
    def start(self):
        """The value at the point."""
        return self.terms.get(self.zeroth, mp.mpf(0))

    def __add__(self, other):
        terms = dict(self.terms)
        for powers, c in self._lift(other).terms.items():
            terms[powers] = terms.get(powers, 0) + c
        return Series(terms, self.degree)

    def __mul__(self, other):
        if not isinstance(other, Series):
            return Series({p: c * other for p, c in self.terms.items()}, self.degree)
        terms = {}
        for p, a in self.terms.items():
            for q, b in other.terms.items():
                if sum(p) + sum(q) <= self.degree:
                    key = tuple(map(sum, zip(p, q, strict=True)))
                    terms[key] = terms.get(key, 0) + a * b
        return Series(terms or {self.zeroth: mp.mpf(0)}, self.degree)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return -self + other

    def __truediv__(self, other):
        return self * (power(other, -1) if isinstance(other, Series) else mp.mpf(1) / other)

    def __rtruediv__(self, other):
        return power(self, -1) * other

    def _lift(self, other):
        return other if isinstance(other, Series) else Series({self.zeroth: other}, self.degree)

    def compose(self, coefficients):
        """Return the series of a function of this one, from its Taylor coefficients here."""
        step = Series(
            {p: c for p, c in self.terms.items() if p != self.zeroth} or {self.zeroth: mp.mpf(0)},
            self.degree,
        )
        result = self._lift(coefficients[-1])
        for c in coefficients[-2::-1]:
            result = result * step + c
        return result


def variables(*values, degree):
    """Return the series of the variables themselves."""
    units = [tuple(int(k == j) for k in range(len(values))) for j in range(len(values))]
    zeroth = (0,) * len(values)
    return [
        Series({zeroth: mp.mpf(v), unit: mp.mpf(1)}, degree)
        for v, unit in zip(values, units, strict=True)
    ]


@functools.cache
def derivatives(name, *point, degree):
    """Return all partial derivatives up to `degree`, by how often each variable is meant."""
    found = _derivatives(name, point, degree, DIGITS.get(name, 60))
    if name in CANCELLING:  # what is left of two equal terms is 0
        again = _derivatives(name, point, degree, DIGITS.get(name, 60) + 15)
        same = {k: abs(found[k] - again[k]) <= 1e-10 * abs(found[k]) for k in found}
        found = {k: found[k] if same[k] else mp.mpf(0) for k in found}
    return found


def _derivatives(name, point, degree, digits):
    with working_digits(digits):
        result = FUNCTIONS[name](*variables(*point, degree=degree))
        orders = itertools.product(range(degree + 1), repeat=len(point))
        return {
            order: result.terms.get(order, mp.mpf(0)) * math.prod(map(math.factorial, order))
            for order in orders
            if sum(order) <= degree
        }


# ---- functions of one series, by their Taylor coefficients


def power(s, a):
    """Return ``s**a`` for a number `a`."""
    c, choose = s.start, [mp.binomial(a, k) for k in range(s.degree + 1)]
    return s.compose([n * c ** (a - k) if n else mp.mpf(0) for k, n in enumerate(choose)])


def from_slope(value, slope):
    """Return a function of one series from its value and from its derivative, a function too."""

    def function(s):
        # The derivative's own series, in one variable.
        (t,) = variables(s.start, degree=s.degree)
        terms = slope(t).terms
        return s.compose(
            [value(s.start)] + [terms.get((k,), mp.mpf(0)) / (k + 1) for k in range(s.degree)]
        )

    return function


def from_equation(value, slope):
    """Return a function y of one series from its value and from y' as a function of x and y."""

    def function(s):
        (x,) = variables(s.start, degree=s.degree)
        y = Series({(0,): value(s.start)}, s.degree)
        for k in range(s.degree):
            y.terms[(k + 1,)] = slope(x, y).terms.get((k,), mp.mpf(0)) / (k + 1)
        return s.compose([y.terms[(k,)] for k in range(s.degree + 1)])

    return function


def cyclic(*functions):
    """Return a function whose derivatives come round: each one the next in `functions`."""

    def function(s):
        at = [f(s.start) for f in functions]
        return s.compose([at[k % len(at)] / math.factorial(k) for k in range(s.degree + 1)])

    return function


exp = cyclic(mp.exp)
sinh, cosh = cyclic(mp.sinh, mp.cosh), cyclic(mp.cosh, mp.sinh)
sin = cyclic(mp.sin, mp.cos, lambda x: -mp.sin(x), lambda x: -mp.cos(x))
cos = cyclic(mp.cos, lambda x: -mp.sin(x), lambda x: -mp.cos(x), mp.sin)
log = from_slope(mp.log, lambda x: 1 / x)
log1p = from_slope(mp.log1p, lambda x: 1 / (1 + x))
sqrt = lambda s: power(s, mp.mpf(1) / 2)


def logistic(x):
    return 1 / (1 + mp.exp(-x)) if x > -50 else mp.exp(x) / (1 + mp.exp(x))


def bell(s):
    """The derivative of the logistic function: even, without cancellation."""
    return power(cosh(s * mp.mpf("0.5")), -2) * mp.mpf("0.25")


sigmoid = from_slope(logistic, bell)
softplus = from_slope(lambda x: mp.log1p(mp.exp(x)) if x < 0 else x + mp.log1p(mp.exp(-x)), sigmoid)
log_sigmoid = lambda s: -softplus(-s)


def sine_over(s):
    """``sin(pi x) / (pi x)``: near 0 by its own power series."""
    if abs(s.start) > 2:
        return sin(s * mp.pi) / (s * mp.pi)
    (t,) = variables(s.start, degree=s.degree)
    square, total = t * t * mp.pi**2, t * 0
    for k in range(60, -1, -1):
        total = total * square + mp.mpf((-1) ** k) / mp.factorial(2 * k + 1)
    return s.compose([total.terms.get((k,), mp.mpf(0)) for k in range(s.degree + 1)])


def error_slope(x):
    return exp(-x * x) * (2 / mp.sqrt(mp.pi))


def scaled_erfc(s):
    """``exp(x^2) erfc(x)``, whose derivatives to the right are repeated integrals (DLMF 7.18)."""
    c = s.start
    if c > 1:  # exp(x^2) i^n erfc(x) = U((n + 1)/2, 1/2, x^2) / (2^n sqrt(pi))
        at = [
            mp.hyperu(mp.mpf(n + 1) / 2, 0.5, c * c) / (2**n * mp.sqrt(mp.pi))
            for n in range(s.degree + 1)
        ]
        return s.compose([(-2) ** n * y for n, y in enumerate(at)])
    value = lambda c: mp.exp(c * c) * erfc(c)
    return from_equation(value, lambda x, y: 2 * x * y - 2 / mp.sqrt(mp.pi))(s)


def erfc(x):
    """The same as mpmath's, which cannot take numbers beyond 1e154."""
    if x < 1e100:
        return mp.erfc(x)
    return mp.exp(-x * x) / (x * mp.sqrt(mp.pi))


def log_normal(s):
    """``log ndtr``: to the left, by the continued fraction of its slope (DLMF 7.9.3)."""
    c = s.start
    if c > -30:
        return log(normal(s))
    value = -c * c / 2 - mp.log(-c) - mp.log(2 * mp.pi) / 2
    (x,) = variables(c, degree=s.degree)
    q = x * 0
    for n in range(60, 0, -1):
        q = n / (q - x)
    slope = q - x
    return s.compose(
        [value] + [slope.terms.get((k,), mp.mpf(0)) / (k + 1) for k in range(s.degree)]
    )


def inverse_erfc(q):
    """Solve erfc(y) = q for 0 < q < 2 by Newton's method."""
    if q > 1:
        return -inverse_erfc(2 - q)
    y = mp.mpf(float(special.erfcinv(float(q))))
    for _ in range(8):
        y += (mp.erfc(y) - q) / (2 / mp.sqrt(mp.pi) * mp.exp(-y * y))
    return y


def inverse_erf(p):
    return inverse_erfc(1 - p) if abs(p) > mp.mpf("0.1") else mp.erfinv(p)


def normal_quantile(p):
    return -mp.sqrt(2) * inverse_erfc(2 * p)


normal = from_slope(
    lambda x: erfc(-x / mp.sqrt(2)) / 2,
    lambda x: exp(x * x * mp.mpf("-0.5")) * (1 / mp.sqrt(2 * mp.pi)),
)


def power_of(x, y):
    if all(p == y.zeroth or not c for p, c in y.terms.items()):
        return power(x, y.start)
    return exp(y * log(x)) if x.start else power(x, y.start)


def chosen(choose):
    """Return a function that is one of its operands, chosen by their values."""
    return lambda *s: s[choose(*[t.start for t in s])]


def log_ratio(x, y):
    return log(x) - log(y)


def hypotenuse(x, y):
    return sqrt(x * x + y * y)


def angle(y, x):
    # By the equation of its slope: (x dy - y dx) / (x^2 + y^2), integrated along rays.
    start = mp.atan2(y.start, x.start)
    dy, dx = y - y.start, x - x.start
    r2 = x * x + y * y
    result = {y.zeroth: start}
    by_y, by_x = x / r2, -y / r2
    for step, slope in ((dy, by_y), (dx, by_x)):
        for p, c in step.terms.items():
            if p == y.zeroth:
                continue
            axis = p.index(1)
            for q, a in slope.terms.items():
                # Each mixed term is reached along either axis: count it once.
                key = tuple(n + (k == axis) for k, n in enumerate(q))
                if sum(key) <= y.degree:
                    result[key] = a * c / key[axis]
    return Series(result, y.degree)


def step_below(x, y):
    return mp.floor(x.start / y.start)


def toward_zero(x):
    return mp.floor(x) if x >= 0 else mp.ceil(x)


def sign(x):
    return mp.sign(x) or 1


def identity(s):
    return s


def integer_power(n, s):
    product = s
    for _ in range(abs(n) - 1):
        product = product * s
    return 1 / product if n < 0 else product


FUNCTIONS = {
    # arithmetic
    "positive": identity,
    "negative": lambda s: -s,
    "conjugate": identity,
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "reciprocal": lambda s: 1 / s,
    "square": lambda s: s * s,
    "sqrt": sqrt,
    "cbrt": lambda s: power(s, mp.mpf(1) / 3) if s.start > 0 else -power(-s, mp.mpf(1) / 3),
    "power": power_of,
    **{name: functools.partial(integer_power, n) for name, n in CONSTANT_POWERS.items()},
    "remainder": lambda x, y: x - y * step_below(x, y),
    "fmod": lambda x, y: x - y * toward_zero(x.start / y.start),
    "heaviside": lambda x, y: y if not x.start else x * 0 + mp.mpf(x.start > 0),
    # absolute values and extremes
    "absolute": lambda s: s * mp.sign(s.start),
    "fabs": lambda s: s * mp.sign(s.start),
    "copysign": lambda x, y: x * (mp.sign(x.start) * sign(y.start)),
    "maximum": chosen(lambda x, y: int(y > x)),
    "minimum": chosen(lambda x, y: int(y < x)),
    "fmax": chosen(lambda x, y: int(y > x)),
    "fmin": chosen(lambda x, y: int(y < x)),
    "clip": chosen(lambda x, lo, hi: 1 if x < lo else 2 if x > hi else 0),
    # exponentials and logarithms
    "exp": exp,
    "exp2": lambda s: exp(s * mp.log(2)),
    "expm1": lambda s: exp(s) - 1,
    "log": log,
    "log2": lambda s: log(s) / mp.log(2),
    "log10": lambda s: log(s) / mp.log(10),
    "log1p": log1p,
    "logaddexp": lambda x, y: y + softplus(x - y),
    "logaddexp2": lambda x, y: y + softplus((x - y) * mp.log(2)) / mp.log(2),
    # circular functions
    "sin": sin,
    "cos": cos,
    "tan": lambda s: sin(s) / cos(s),
    "arcsin": from_slope(mp.asin, lambda x: power(1 - x * x, -0.5)),
    "arccos": from_slope(mp.acos, lambda x: -power(1 - x * x, -0.5)),
    "arctan": from_slope(mp.atan, lambda x: 1 / (1 + x * x)),
    "arctan2": angle,
    "hypot": hypotenuse,
    "sinc": sine_over,
    "deg2rad": lambda s: s * (mp.pi / 180),
    "radians": lambda s: s * (mp.pi / 180),
    "rad2deg": lambda s: s * (180 / mp.pi),
    "degrees": lambda s: s * (180 / mp.pi),
    # hyperbolic functions
    "sinh": sinh,
    "cosh": cosh,
    "tanh": from_slope(mp.tanh, lambda x: power(cosh(x), -2)),
    "arcsinh": from_slope(mp.asinh, lambda x: power(1 + x * x, -0.5)),
    "arccosh": from_slope(mp.acosh, lambda x: power(x * x - 1, -0.5)),
    "arctanh": from_slope(mp.atanh, lambda x: 1 / (1 - x * x)),
    # activations
    "sigmoid": sigmoid,
    "softplus": softplus,
    "log_sigmoid": log_sigmoid,
    "relu": lambda s: s if s.start > 0 else s * 0,
    # scipy.special
    "erf": from_slope(mp.erf, error_slope),
    "erfc": from_slope(erfc, lambda x: -error_slope(x)),
    "erfcx": scaled_erfc,
    "erfinv": from_equation(inverse_erf, lambda x, y: exp(y * y) * (mp.sqrt(mp.pi) / 2)),
    "erfcinv": from_equation(inverse_erfc, lambda x, y: exp(y * y) * (-mp.sqrt(mp.pi) / 2)),
    "ndtr": normal,
    "ndtri": from_equation(
        normal_quantile, lambda x, y: exp(y * y * mp.mpf("0.5")) * mp.sqrt(2 * mp.pi)
    ),
    "log_ndtr": log_normal,
    "logit": lambda s: log(s) - log(1 - s),
    "xlogy": lambda x, y: x * log(y),
    "xlog1py": lambda x, y: x * log1p(y),
    "entr": lambda s: -s * log(s),
    "rel_entr": lambda x, y: x * log_ratio(x, y),
    "kl_div": lambda x, y: x * log_ratio(x, y) - x + y,
}
# More where derivatives of a sum cancel over a large part of the range.
DIGITS = {"hypot": 1300, "sinc": 400, "ndtri": 340, "erfcinv": 340}
CANCELLING = {"power", "arctan2"}
