"""Real and imaginary parts, and what is made of them: functions that are not holomorphic.

`real`, `imag` and `conj` are linear over the real numbers only, so their rules are no products with
a partial. What is made of them has its derivatives from functions of two real numbers, and their
values where those have kinks: the absolute value is a `hypot`, the angle an `arctan2`.
"""

import numpy as np

from fastbp._core import graph
from fastbp.rules import batching, patterns, plans
from fastbp.rules.numpy import constant  # noqa: F401  # what they are on real numbers
from fastbp.rules.numpy.elementwise import direction
from fastbp.rules.table import general, implements, linear

# ---- parts

real_op = linear(
    "real",
    lambda x: x.real,
    lambda g, ans, x: g,
    pattern=patterns.same,
    plan=plans.real_parts,
)
imag_op = linear(
    "imag",
    lambda x: x.imag,
    lambda g, ans, x: _times_i(-g),
    pattern=patterns.same,
    plan=plans.imaginary_parts,
)


graph.bind("real_part", real_op)
graph.bind("imaginary_part", imag_op)


def _joined(re, im):
    out = np.empty(re.shape, np.result_type(re, im, np.complex64))
    out.real, out.imag = re, im
    return out


join_op = general(
    "from_parts",
    _joined,
    nin=2,
    saves=(),
    vjp=(lambda g, ans, re, im: g, lambda g, ans, re, im: _times_i(g)),
    jvp=(lambda t, ans, re, im: t, lambda t, ans, re, im: _times_i(t)),
    pattern=patterns.same,
    plan=plans.joins_parts,
    batch=batching.aligns,
)


def from_parts(re, im):
    """Return ``re + 1j * im`` of real numbers of one shape, without the products 0 * inf."""
    return join_op(re, im)


def _with_part(z, value, part):
    """Return what a write into the real or imaginary parts of `z` leaves."""
    return from_parts(value, imag_op(z)) if part is real_op else from_parts(real_op(z), value)


graph.bind("with_part", _with_part)


def _times_i(z):
    return from_parts(-np.imag(z), np.real(z))


# Linear over the real numbers: <conj(t), g> is the conjugate of <t, conj(g)>, of the same real
# part.
conj_op = general(
    "conj",
    np.conjugate,
    nin=1,
    saves=(),
    vjp=(lambda g, ans, x: np.conjugate(g),),
    jvp=(lambda t, ans, x: np.conjugate(t),),
    pattern=patterns.same,
    plan=plans.conjugates,
    batch=batching.aligns,
)


@implements(np.real, samples=lambda rng: [((rng.normal(size=3),), {})])
def real(val, /):
    """Return the real part: a Variable of real numbers is its own."""
    return real_op(val) if val.dtype.kind == "c" else val


def _conjugate_method(a):
    # The method returns a real array itself, the function a copy.
    return conj_op(a) if a.dtype.kind == "c" else a


graph.bind_method("conj", _conjugate_method)
graph.bind_method("conjugate", _conjugate_method)


@implements(
    np.real_if_close, no_axes="array", samples=lambda rng: [((rng.normal(size=3),), {"tol": 10})]
)
def real_if_close(a, tol=100):
    """Return the real part if all imaginary ones are small, as `numpy.real_if_close` does."""
    return real(a) if np.isrealobj(np.real_if_close(a.value, tol)) else a


# ---- functions that are constant on real numbers only


def _imag(val, /):
    return imag_op(val)


def _angle(z, deg=False):
    angle = np.arctan2(z.imag, z.real)
    return np.degrees(angle) if deg else angle


def _sign(x, /):
    """Return ``x / |x|``, 0 at 0."""
    re, im = real_op(x), imag_op(x)
    return from_parts(direction(re, im), direction(im, re))


def _on_complex(function, of_complex):
    """Let a function that is constant on real numbers have a derivative on complex ones."""
    of_real = graph.implementation_of(function)

    def of_either(x, /, *args, **kwargs):
        if type(x) is graph.Variable and x.dtype.kind == "c":
            return of_complex(x, *args, **kwargs)
        return of_real(x, *args, **kwargs)

    graph.bind_function(function, of_either)
    graph.bind(function.__name__, of_either)


_on_complex(np.imag, _imag)
_on_complex(np.angle, _angle)
_on_complex(np.sign, _sign)
