"""Every elementwise operation once more, in mpmath: independent of NumPy and of the table."""

import functools

import mpmath as mp

from .digits import working_digits
from .oracle_special import SPECIAL

# The powers with constant exponents that are operations of their own.
CONSTANT_POWERS = {
    f"power_{'minus_' if n < 0 else ''}{abs(n)}": n for n in (*range(-8, -1), *range(3, 9))
}


def _remainder(x, y):
    return x - y * mp.floor(x / y)


def _truncated(x):
    return mp.floor(x) if x >= 0 else mp.ceil(x)


ORACLE = {
    # arithmetic
    "identity": lambda x: x,
    "positive": lambda x: +x,
    "negative": lambda x: -x,
    "conjugate": lambda x: x,
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "mulz": lambda g, p: g * p,
    "mulzz": lambda g, p: g * p,
    "vanishing": lambda g, p: g * p,
    "mulx": lambda g, p: g * p,
    "mulxs": lambda g, p: g * p,
    "mulxx": lambda g, p: g * p,
    "settle": lambda x, probe: x,
    "divide": lambda x, y: x / y,
    "reciprocal": lambda x: 1 / x,
    "square": lambda x: x**2,
    "sqrt": mp.sqrt,
    "cbrt": mp.cbrt,
    "power": mp.power,
    **{name: functools.partial(lambda n, x: x**n, n) for name, n in CONSTANT_POWERS.items()},
    "remainder": _remainder,
    "fmod": lambda x, y: x - y * _truncated(x / y),
    "heaviside": lambda x, y: mp.mpf(0) if x < 0 else y if x == 0 else mp.mpf(1),
    # absolute values and extremes
    "absolute": mp.fabs,
    "fabs": mp.fabs,
    "copysign": lambda x, y: mp.fabs(x) * (-1 if y < 0 else 1),
    "maximum": max,
    "minimum": min,
    "fmax": max,
    "fmin": min,
    "clip": lambda x, lo, hi: min(max(x, lo), hi),
    # exponentials and logarithms
    "exp": mp.exp,
    "exp2": lambda x: mp.power(2, x),
    "expm1": mp.expm1,
    "log": mp.log,
    "log2": lambda x: mp.log(x, 2),
    "log10": mp.log10,
    "log1p": mp.log1p,
    "logaddexp": lambda x, y: mp.log(mp.exp(x) + mp.exp(y)),
    "logaddexp2": lambda x, y: mp.log(mp.power(2, x) + mp.power(2, y), 2),
    # circular functions
    "sin": mp.sin,
    "cos": mp.cos,
    "tan": mp.tan,
    "arcsin": mp.asin,
    "arccos": mp.acos,
    "arctan": mp.atan,
    "arctan2": mp.atan2,
    "hypot": mp.hypot,
    "sinc": mp.sincpi,
    "deg2rad": mp.radians,
    "radians": mp.radians,
    "rad2deg": mp.degrees,
    "degrees": mp.degrees,
    # hyperbolic functions
    "sinh": mp.sinh,
    "cosh": mp.cosh,
    "tanh": mp.tanh,
    "arcsinh": mp.asinh,
    "arccosh": mp.acosh,
    "arctanh": mp.atanh,
    # activations
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log(1 + mp.exp(x)),
    "log_sigmoid": lambda x: -mp.log(1 + mp.exp(-x)),
    "relu": lambda x: max(x, mp.mpf(0)),
    # scipy.special
    "erf": mp.erf,
    "erfc": mp.erfc,
    "erfinv": mp.erfinv,
    "erfcinv": lambda x: mp.erfinv(1 - x),
    "erfcx": lambda x: mp.exp(x * x) * mp.erfc(x),
    "ndtr": mp.ncdf,
    "log_ndtr": lambda x: mp.log(mp.ncdf(x)),
    "ndtri": lambda p: mp.sqrt(2) * mp.erfinv(2 * p - 1),
    "expit": lambda x: 1 / (1 + mp.exp(-x)),
    "log_expit": lambda x: -mp.log(1 + mp.exp(-x)),
    "logit": lambda x: mp.log(x / (1 - x)),
    "xlogy": lambda x, y: x * mp.log(y),
    "xlog1py": lambda x, y: x * mp.log1p(y),
    "entr": lambda x: -x * mp.log(x),
    "rel_entr": lambda x, y: x * mp.log(x / y),
    "kl_div": lambda x, y: x * mp.log(x / y) - x + y,
    **SPECIAL,
}


def partial(name, position, *operands):
    """Return a partial derivative, correct to far more than double precision."""

    def along(t):
        moved = list(map(mp.mpf, operands))
        moved[position] = t
        return ORACLE[name](*moved)

    with working_digits(40):
        return mp.diff(along, mp.mpf(operands[position]))


def value(name, *operands):
    """Return the value, correct to far more than double precision."""
    with working_digits(40):
        return +ORACLE[name](*map(mp.mpf, operands))
