"""NumPy's elementwise functions that are not one ufunc with one float result."""

import math

import numpy as np

from fastbp._core import graph
from fastbp._core.constants import constant
from fastbp._core.operands import as_numbers
from fastbp.rules import batching, patterns
from fastbp.rules.numpy.elementwise import POSITIVE, multiply, power, remainder
from fastbp.rules.numpy.parts import from_parts
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.table import elementwise, general, implements, linear, refuse

# ---- clip

clip3 = elementwise(
    "clip",
    lambda x, lo, hi: np.minimum(np.maximum(x, lo), hi),
    lambda z, x, lo, hi: (x >= lo) & (x <= hi),
    lambda z, x, lo, hi: (x < lo) & (lo <= hi),
    lambda z, x, lo, hi: (x > hi) | (lo > hi),
    ufunc=getattr(vars(np)["_core"].umath, "clip", ()),  # what an array's own method calls
    domain=((-2, 2), (-0.8, -0.7), (0.7, 0.8)),
    selects=0b111,
    kinks="passed at the bounds",
    complex=True,
)


def _bounded(a, lo, hi):
    return clip3(a, -np.inf if lo is None else lo, np.inf if hi is None else hi)


@implements(
    np.clip,
    samples=lambda rng: [
        ((rng.uniform(-2, 2, (2, 3)), np.full(3, -0.8), np.full((2, 1), 0.7)), {}),
        ((rng.uniform(-2, 2, 5), None, 0.7), {}),
        ((rng.uniform(-2, 2, 5),), {"min": np.array(-0.7)}),
    ],
)
def clip(
    a, a_min=np._NoValue, a_max=np._NoValue, out=None, *, min=np._NoValue, max=np._NoValue, **kwargs
):
    """Limit values; arguments as in `numpy.clip`, ``out=`` and those of ufuncs are refused.

    Notes
    -----
    The cotangent goes to the array where it is within the bounds, these included, and to the bound
    that was taken elsewhere. A NaN passes nothing.
    """
    refuse("clip", out=(out, None), **{k: (v, None) for k, v in kwargs.items()})
    if a_min is np._NoValue and a_max is np._NoValue:
        a_min = None if min is np._NoValue else min
        a_max = None if max is np._NoValue else max
    elif a_min is np._NoValue:
        raise TypeError("clip() missing 1 required positional argument: 'a_min'")
    elif a_max is np._NoValue:
        if a_min is None or min is not np._NoValue:
            raise TypeError("clip() missing 1 required positional argument: 'a_max'")
        # As in the array API, where the second bound may be missing, or given by its name there.
        a_max = None if max is np._NoValue else max
    elif min is not np._NoValue or max is not np._NoValue:
        raise ValueError("clip: give a_min and a_max, or min and max")
    return _bounded(a, a_min, a_max)


def _clip_method(a, min=None, max=None, out=None, **kwargs):
    refuse("clip", out=(out, None), **{k: (v, None) for k, v in kwargs.items()})
    return _bounded(a, min, max)


graph.bind_method("clip", _clip_method)


# ---- sinc

# Taylor coefficients of (cos t - sin t / t) / t^2 = -j1(t) / t in t^2: 2 (k + 1) / (2 k + 3)!,
# alternating.
_SLOPE = [(-1) ** (k + 1) * 2.0 * (k + 1) / math.factorial(2 * k + 3) for k in range(10)]


def _sinc_value(x):
    t = math.pi * x
    return np.where(t == 0.0, 1.0, np.sin(t) / np.where(t == 0.0, 1.0, t))


def _sinc_slope(z, x):
    # Near 0, cos(t) - sinc cancels; the polynomial is exact to rounding up to t = 1.5. Far from it,
    # pi * x would lose the phase: an even number is taken off first, which is exact.
    t = math.pi * x
    near = np.abs(t) < 1.5
    t2 = np.where(near, t * t, 0.0)
    series = _SLOPE[-1]
    for c in _SLOPE[-2::-1]:
        series = series * t2 + c
    phase = math.pi * (x - 2.0 * np.rint(0.5 * x))
    return np.where(near, math.pi * (t * series), (np.cos(phase) - z) / np.where(near, 1.0, x))


def _complex_sinc_slope(z, x):
    t = math.pi * x
    near = np.abs(t) < 1.5
    t2 = np.where(near, t * t, 0.0)
    series = _SLOPE[-1]
    for c in _SLOPE[-2::-1]:
        series = series * t2 + c
    return np.where(near, math.pi * (t * series), (np.cos(t) - z) / np.where(near, 1.0, x))


sinc_op = elementwise(
    "sinc", _sinc_value, _sinc_slope, error=(2e-14, 2e-14), complex=(_complex_sinc_slope,)
)


@implements(
    np.sinc, samples=lambda rng: [((rng.uniform(-2, 2, (2, 3)),), {}), ((np.zeros(2),), {})]
)
def sinc(x, /):
    """Return ``sin(pi x) / (pi x)``, 1 at 0; argument as in `numpy.sinc`.

    Notes
    -----
    The derivative is right to rounding everywhere, at 0 too.
    """
    return sinc_op(x)


# ---- identities on finite numbers


@implements(
    np.nan_to_num,
    no_axes="number",
    kinks="the slope of the branch that was taken",
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)),), {}),
        ((rng.normal(size=3),), {"nan": 1.0, "posinf": 2.0, "neginf": -2.0}),
    ],
)
def nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    """Replace NaN and infinities; arguments as in `numpy.nan_to_num`, ``copy=False`` is refused.

    Notes
    -----
    The derivative is 1 where `x` is finite and 0 where it is replaced, of each part by itself; the
    cotangent of a recorded replacement is the sum of those where it stands.
    """
    refuse("nan_to_num", copy=(copy, True))
    if x.dtype.kind == "c":
        instead = {"nan": nan, "posinf": posinf, "neginf": neginf}
        return from_parts(nan_to_num(x.real, **instead), nan_to_num(x.imag, **instead))
    value = graph.passive(x)
    if not graph.has_variable([nan, posinf, neginf]):
        fixed = np.nan_to_num(value, nan=nan, posinf=posinf, neginf=neginf)
        return np.where(np.isfinite(value), x, fixed)
    limits = np.finfo(x.dtype)
    for place, fill in (
        (np.isnan(value), nan),
        (value == np.inf, limits.max if posinf is None else posinf),
        (value == -np.inf, limits.min if neginf is None else neginf),
    ):
        x = np.where(place, fill, x)
    return x


# ---- ufuncs with two results, with an integer operand, or for float64 only


@implements(
    np.float_power, samples=lambda rng: [((rng.uniform(*POSITIVE, 3), rng.normal(size=3)), {})]
)
def float_power(x1, x2, /, **kwargs):
    """Return ``x1 ** x2`` in float64, also for float32 operands; derivative as of `numpy.power`."""
    refuse("float_power", **{k: (v, None) for k, v in kwargs.items()})
    return power(multiply(x1, np.float64(1.0)), x2)  # a float64 scalar promotes float32


ldexp_op = linear(
    "ldexp",
    lambda x, exponent: np.ldexp(x, exponent),
    lambda g, ans, x, exponent: np.ldexp(g, exponent),
    pattern=patterns.same,
)


@implements(np.ldexp, samples=lambda rng: [((rng.normal(size=3), np.array([[-1], [2]])), {})])
def ldexp(x1, x2, /, **kwargs):
    """Return ``x1 * 2**x2`` for integers `x2`, which are constants."""
    refuse("ldexp", **{k: (v, None) for k, v in kwargs.items()})
    exponent = graph.passive(x2)
    if not graph.is_passive(exponent):
        exponent = constant(as_numbers(exponent, "numpy.ldexp: the exponent"))
    x1 = as_operand(x1, "numpy.ldexp: x1", real=True)
    shape = np.broadcast_shapes(x1.shape, exponent.shape)
    return ldexp_op(np.broadcast_to(x1, shape), exponent=exponent)


frexp_op = general(
    "frexp",
    np.frexp,
    nin=1,
    nout=2,
    saves=(("ans", 1),),
    vjp=(lambda g, ans, x: ldexp(g[0], -ans[1]),),
    jvp=(lambda t, ans, x: (ldexp(t, -ans[1]), None),),
    coefficients="fixed",
    pattern=patterns.same,
    batch=batching.aligns,
)


@implements(np.frexp, samples=lambda rng: [((rng.uniform(1.1, 1.9, 3),), {})])
def frexp(x, /, **kwargs):
    """Return mantissa and exponent; the exponent is a constant array of integers."""
    refuse("frexp", **{k: (v, None) for k, v in kwargs.items()})
    return frexp_op(as_operand(x, "numpy.frexp: x", real=True))


def _where_finite(t, x):
    return np.where(np.isinf(graph.passive(x)), 0.0, t)


modf_op = general(
    "modf",
    np.modf,
    nin=1,
    nout=2,
    constants=(1,),
    saves=(0,),
    vjp=(lambda g, ans, x: _where_finite(g[0], x),),
    jvp=(lambda t, ans, x: (_where_finite(t, x), None),),
    coefficients="fixed",
    pattern=patterns.same,
    batch=batching.aligns,
)


@implements(np.modf, samples=lambda rng: [((rng.uniform(1.1, 1.9, 3),), {})])
def modf(x, /, **kwargs):
    """Return fractional and integral part; the derivative of the fractional part is 1."""
    refuse("modf", **{k: (v, None) for k, v in kwargs.items()})
    return modf_op(as_operand(x, "numpy.modf: x", real=True))


@implements(
    np.divmod, samples=lambda rng: [((rng.uniform(2.1, 2.9, 3), rng.uniform(0.8, 1.0, 3)), {})]
)
def divmod(x1, x2, /, **kwargs):
    """Return quotient and remainder; the quotient is constant."""
    refuse("divmod", **{k: (v, None) for k, v in kwargs.items()})
    # A Python number does not promote float32, an array would.
    x1, x2 = [
        x if isinstance(x, (int, float)) else as_operand(x, f"numpy.divmod: operand {k}", real=True)
        for k, x in enumerate((x1, x2))
    ]
    return np.floor_divide(x1, x2), remainder(x1, x2)
