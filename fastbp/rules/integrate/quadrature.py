"""Adaptive quadrature, differentiated under the integral sign, with the same tolerances.

``d/dp int f = f(b) b' - f(a) a' + int df/dp``: integrals of the same kind, so there are derivatives
of any order.
"""

import numpy as np
from scipy import integrate

from fastbp._core.graph import Op, array_of, has_variable, values_of
from fastbp.errors import NoRuleError
from fastbp.rules.counterparts import refused
from fastbp.rules.integrate.calling import Function, Known, is_recorded, of_numbers, pulled, pushed
from fastbp.rules.numpy.structural import as_operand

__all__ = ["OTHERS", "fixed_quad", "quad", "quad_vec"]


class Integral:
    """An integrand ``f((x,), leaves)``, and how it is integrated: by `quad`, or `quad_vec`.

    `check` raises if the user's function is not what it was when it was integrated.
    """

    def __init__(self, f, vector, options, check):
        self.f, self.vector, self.options = f, vector, options
        self.known, self.check = None, check

    def of(self, f, vector=None):
        """Return the same for another integrand."""
        return Integral(f, self.vector if vector is None else vector, self.options, self.check)

    def compute(self, a, b, leaves):
        """Return what SciPy's function does."""

        def f(x):
            found = np.asarray(self.f((np.float64(x),), leaves))
            return found if self.vector else found.reshape(())[()]

        function = integrate.quad_vec if self.vector else integrate.quad
        return function(f, float(a), float(b), **self.options)


def _value(a, b, *leaves, integral):
    found = None if integral.known is None else integral.known.of([a, b, *leaves])
    return np.asarray(integral.compute(a, b, leaves)[0] if found is None else found)


def _end(integral, x, leaves):
    """Return the integrand at a limit; None where that is infinite, and a constant."""
    return None if np.isinf(values_of(x)) else integral.f((x,), leaves)


def _jvp(tangents, ans, a, b, *leaves, integral):
    integral.check()
    ta, tb, *tl = tangents
    found = np.zeros(ans.shape, ans.dtype)
    for t, x, sign in ((tb, b, 1.0), (ta, a, -1.0)):
        if t is not None and (end := _end(integral, x, leaves)) is not None:
            found = found + sign * t * np.reshape(end, ans.shape)
    moving = [t is not None for t in tl]
    if not any(moving):
        return found
    count = len(leaves)

    def slope(own, given):
        rest = iter(given[count:])
        ts = [next(rest) if on else None for on in moving]
        y, t = pushed(integral.f, own, given[:count], [None, *ts])
        return np.zeros(y.shape, y.dtype) if t is None else t

    given = [*leaves, *[t for t in tl if t is not None]]
    return found + np.reshape(quad_op(a, b, *given, integral=integral.of(slope)), ans.shape)


def _vjp(g, needs, ans, a, b, *leaves, integral):
    integral.check()
    bars = []
    for x, sign, on in ((a, -1.0, needs[0]), (b, 1.0, needs[1])):
        end = _end(integral, x, leaves) if on else None
        bars.append(None if end is None else sign * np.sum(g * np.reshape(end, ans.shape)))
    shapes = [np.shape(array_of(x)) for x in leaves]
    ends = np.cumsum([0, *[int(np.prod(shape)) for shape in shapes]])
    count = len(leaves)

    def slopes(own, given):
        """All cotangents of the integrand, in one vector."""
        found = pulled(integral.f, own, given[:count], given[count])[1:]
        parts = [
            np.zeros(int(np.prod(shape))) if bar is None else np.reshape(bar, (-1,))
            for bar, shape in zip(found, shapes, strict=True)
        ]
        return np.concatenate(parts)

    if not any(needs[2:]):
        return *bars, *[None] * count
    if integral.vector:
        total = quad_op(a, b, *leaves, g, integral=integral.of(slopes))
    else:
        total = np.stack(
            [
                quad_op(a, b, *leaves, g, integral=integral.of(lambda o, x, k=k: slopes(o, x)[k]))
                for k in range(ends[-1])
            ]
        )
    parts = [
        np.reshape(total[start:stop], shape)
        for start, stop, shape in zip(ends[:-1], ends[1:], shapes, strict=True)
    ]
    return *bars, *parts


# Not in the table: rounding is not what bounds its errors.
quad_op = Op(
    "scipy.integrate.quad",
    _value,
    nin=-1,
    vjp=_vjp,
    jvp=_jvp,
    saves=(*range(30), "ans"),
    blocks=False,
    opaque=True,
)


def _integrated(name, func, a, b, args, vector, options):
    for key, value in options.items():
        if has_variable(value):
            raise NoRuleError(f"{name}: {key}= is a constant, no Variable")
    limits = [
        np.astype(as_operand(x, f"{name}: {what}", real=True), np.float64)
        for x, what in ((a, "a"), (b, "b"))
    ]
    f = Function(func, name, args)
    integral = Integral(f, vector, options, f.check)
    plain = [values_of(x) for x in (*limits, *f.leaves)]
    found = integral.compute(*plain[:2], plain[2:])
    integral.known = Known(plain, found[0])
    f.keep()
    integral.options = {k: v for k, v in options.items() if k != "full_output"}
    y = quad_op(*limits, *f.leaves, integral=integral)
    return (y, *found[1:])


def quad(func, a, b, args=(), **options):
    """Integrate a function between two limits; arguments as in SciPy.

    Parameters
    ----------
    func : callable
        ``func(x, *args)``, a number: written with NumPy functions that are differentiated.
    a, b : float
        The limits; infinite ones are constants.
    args : tuple
        Further arguments; containers of arrays are differentiated, too.
    **options
        As in `scipy.integrate.quad`. ``weight=`` and ``complex_func=`` are refused beside
        Variables.

    Returns
    -------
    y : float
    abserr : float
        And what else SciPy returns: constants.

    Raises
    ------
    NoRuleError
        If `func` depends on a Variable that is not among its arguments.

    Notes
    -----
    The derivative by a limit is the integrand there; those by `args` are integrals of the
    integrand's derivatives, one for each number, with the same tolerances.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from fastbp.scipy.integrate import quad
    >>> bp.grad(lambda b: quad(np.cos, 0.0, b)[0])(0.0)
    np.float64(1.0)
    """
    args = args if isinstance(args, tuple) else (args,)
    name = "scipy.integrate.quad"
    if not is_recorded(a, b, args, options):
        return integrate.quad(of_numbers(func, name), a, b, args, **options)
    for key in ("weight", "complex_func"):
        if options.get(key):
            raise NoRuleError(f"{name}: the argument {key}= is not supported for Variables")
    return _integrated(name, func, a, b, args, False, options)


def quad_vec(f, a, b, *rest, args=(), **options):
    """Integrate a function whose values are arrays; arguments as in SciPy.

    Parameters
    ----------
    f : callable
        ``f(x, *args)``, an array: written with NumPy functions that are differentiated.
    a, b : float
        The limits; infinite ones are constants.
    args : tuple
        Further arguments; containers of arrays are differentiated, too.
    *rest, **options
        As in `scipy.integrate.quad_vec`.

    Returns
    -------
    y : array
    err : float
        And what else SciPy returns: constants.

    Raises
    ------
    NoRuleError
        If `f` depends on a Variable that is not among its arguments.

    Notes
    -----
    Derivatives as of `quad`; those by `args` are one integral of a vector.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from fastbp.scipy.integrate import quad_vec
    >>> f = lambda x, a: np.stack([a, a * x])
    >>> bp.jacobian(lambda a: quad_vec(f, 0.0, 1.0, args=(a,))[0])(3.0)
    array([1. , 0.5])
    """
    args = args if isinstance(args, tuple) else (args,)
    names = ("epsabs", "epsrel", "norm", "cache_size", "limit", "workers", "points", "quadrature",
             "full_output")  # fmt: skip
    options = {**dict(zip(names, rest, strict=False)), **options}
    name = "scipy.integrate.quad_vec"
    if not is_recorded(a, b, args, options):
        if args:
            options["args"] = args
        return integrate.quad_vec(of_numbers(f, name), a, b, **options)
    return _integrated(name, f, a, b, args, True, options)


def fixed_quad(func, a, b, args=(), n=5):
    """Integrate by Gaussian quadrature of fixed order; arguments as in SciPy.

    Parameters
    ----------
    func : callable
        ``func(x, *args)`` of a vector: written with NumPy functions that are differentiated.
    a, b : float
        The limits: finite.
    args : tuple
    n : int

    Returns
    -------
    y : float or array
    None

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from fastbp.scipy.integrate import fixed_quad
    >>> float(bp.grad(lambda b: fixed_quad(np.square, 0.0, b)[0])(2.0))  # doctest: +ELLIPSIS
    4.0...
    """
    args = args if isinstance(args, tuple) else (args,)
    if not is_recorded(a, b, args):
        return integrate.fixed_quad(func, a, b, args, n)
    if any(np.isinf(values_of(x)) for x in (a, b)):
        raise ValueError("Gaussian quadrature is only available for finite limits.")
    nodes, weights = np.polynomial.legendre.leggauss(n)
    half = (b - a) / 2.0
    y = func(half * (nodes + 1) + a, *args)
    return half * np.sum(weights * y, -1), None


_NESTED = "write fastbp.scipy.integrate.quad with another one as its integrand"
_ONE = "write fastbp.scipy.integrate.quad or quad_vec"
_SHOOTING = "write the solution from one end by fastbp.scipy.integrate.solve_ivp"
OTHERS = {
    name: refused(f"scipy.integrate.{name}", why)
    for name, why in {
        "cubature": _NESTED,
        "dblquad": _NESTED,
        "nquad": _NESTED,
        "nsum": "write the sum of its terms by numpy.sum",
        "qmc_quad": "write the mean of the integrand at fixed points",
        "solve_bvp": _SHOOTING,
        "tanhsinh": _ONE,
        "tplquad": _NESTED,
    }.items()
    if hasattr(integrate, name)  # some are new in SciPy 1.15
}
