"""Piecewise polynomials: their evaluation, and the coefficients of cubic interpolants.

Everything is made of NumPy's rows, but for the slopes of a spline, which solve a system.
"""

import numpy as np
from scipy import interpolate, sparse

from fastbp._core.graph import has_variable, passive, unfilled, values_of
from fastbp.errors import DTypeError, NoRuleError
from fastbp.rules.interpolate.solving import Factors, solved
from fastbp.rules.numpy.structural import as_operand

__all__ = [
    "Akima1DInterpolator",
    "CubicHermiteSpline",
    "CubicSpline",
    "PPoly",
    "PchipInterpolator",
]


def constant_points(name, x):
    """Return places that are constants, as an array."""
    x = unfilled(x)
    if has_variable(x):
        raise NoRuleError(
            f"scipy.interpolate.{name}: x, where the data is, is a constant, no Variable"
        )
    return np.asarray(x)


def falling(k, nu):
    """Return the factor of a derivative of a power."""
    return float(np.prod(np.arange(k - nu + 1, k + 1), initial=1.0)) if k >= nu else 0.0


class Delegating:
    """Something that SciPy's object stands behind, where nothing in it is recorded.

    Attributes
    ----------
    plain : object or None
        SciPy's; None if values in it are Variables.
    """

    plain = None

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        if self.plain is None:
            raise NoRuleError(
                f"scipy.interpolate.{type(self).__name__}.{name} is not supported for Variables"
            )
        return getattr(self.plain, name)


class PPoly(Delegating):
    """A piecewise polynomial; arguments as in `scipy.interpolate.PPoly`.

    Parameters
    ----------
    c : array, shape (k, m, ...)
        Coefficients of the powers of ``x - x[i]``, the highest first; may be a Variable.
    x : array, shape (m + 1,)
        Breakpoints, which increase; a constant.
    extrapolate : bool or "periodic", optional
    axis : int

    Notes
    -----
    Differentiated by `c` and by where it is evaluated. ``derivative``, ``antiderivative`` and
    ``integrate`` work for Variables; at a breakpoint the piece to the right counts.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from fastbp.scipy.interpolate import PPoly
    >>> p = PPoly(np.array([[1.0], [0.0], [2.0]]), [0.0, 1.0])
    >>> bp.grad(p)(0.5)
    np.float64(1.0)
    """

    def __init__(self, c, x, extrapolate=None, axis=0):
        x = constant_points("PPoly", x)
        if not has_variable(c):
            self.plain = interpolate.PPoly(c, x, extrapolate, axis)
            c = self.plain.c
        c = as_operand(c, "scipy.interpolate.PPoly: c")
        interpolate.PPoly(np.zeros(c.shape), x, extrapolate, axis)  # raises
        c = np.astype(c, np.result_type(c.dtype, np.float64))
        axis = axis % (c.ndim - 1)
        if axis and self.plain is None:
            c = np.moveaxis(np.moveaxis(c, axis + 1, 0), axis + 1, 0)
        self._made(c, x, True if extrapolate is None else extrapolate, axis)

    def _made(self, c, x, extrapolate, axis):
        self.c, self.x = c, np.asarray(x, np.float64)
        self.extrapolate, self.axis = extrapolate, axis
        if np.any(np.diff(self.x) <= 0):
            raise NoRuleError("scipy.interpolate.PPoly: breakpoints that decrease have no rule")

    @classmethod
    def _of(cls, c, x, extrapolate, axis):
        self = object.__new__(PPoly)
        if not has_variable(c):
            self.plain = interpolate.PPoly.construct_fast(
                np.ascontiguousarray(c), np.asarray(x), extrapolate, axis
            )
        self._made(c, x, extrapolate, axis)
        return self

    def __call__(self, x, nu=0, extrapolate=None):
        """Evaluate the polynomial, or a derivative of it."""
        if self.plain is not None and not has_variable(x):
            return self.plain(x, nu, extrapolate)
        name = f"scipy.interpolate.{type(self).__name__}"
        if nu < 0:
            return self.antiderivative(-nu)(x, 0, extrapolate)
        x = np.astype(as_operand(x, f"{name}: x", real=True), np.float64)
        extrapolate = self.extrapolate if extrapolate is None else extrapolate
        at = np.reshape(x, (-1,))
        first, last = self.x[0], self.x[-1]
        if extrapolate == "periodic":
            at = first + (at - first) % (last - first)
            extrapolate = False
        values = passive(at)
        k = np.clip(np.searchsorted(self.x, values, side="right") - 1, 0, self.x.size - 2)
        c = np.take(self.c, k, 1)
        t = np.reshape(at - self.x[k], (-1, *(1,) * (c.ndim - 2)))
        order = c.shape[0] - 1
        found = np.zeros(c.shape[1:], c.dtype)
        for j in range(order + 1 - nu):
            found = found * t + c[j] * falling(order - j, nu) if j else c[j] * falling(order, nu)
        if not has_variable(found):
            found = np.asarray(found)
        if not extrapolate:
            outside = (values < first) | (values > last)
            found = np.where(outside.reshape((-1, *(1,) * (c.ndim - 2))), np.nan, found)
        found = np.reshape(found, (*x.shape, *c.shape[2:]))
        return np.moveaxis(found, range(x.ndim), range(self.axis, self.axis + x.ndim))

    def derivative(self, nu=1):
        """Return a derivative as another piecewise polynomial."""
        if nu < 0:
            return self.antiderivative(-nu)
        order = self.c.shape[0] - 1
        factors = [falling(order - j, nu) for j in range(max(order + 1 - nu, 0))]
        c = self.c[: len(factors)] if factors else np.zeros((1, *self.c.shape[1:]))
        c = c * np.reshape(factors or [1.0], (-1, *(1,) * (c.ndim - 1)))
        return PPoly._of(c, self.x, self.extrapolate, self.axis)

    def antiderivative(self, nu=1):
        """Return an antiderivative, 0 at the first breakpoint, as another piecewise polynomial."""
        if nu < 0:
            return self.derivative(-nu)
        c = self.c
        h = np.diff(self.x).reshape((-1, *(1,) * (c.ndim - 2)))
        for _ in range(nu):
            k = c.shape[0]
            c = c / np.reshape(np.arange(k, 0, -1.0), (-1, *(1,) * (c.ndim - 1)))
            powers = h ** np.reshape(np.arange(k, 0, -1), (-1, *(1,) * (c.ndim - 1)))
            ends = np.cumsum(np.sum(c * powers, 0), 0)
            starts = np.concatenate([np.zeros((1, *ends.shape[1:]), c.dtype), ends[:-1]])
            c = np.concatenate([c, starts[None]])
        extrapolate = False if self.extrapolate == "periodic" else self.extrapolate
        return PPoly._of(c, self.x, extrapolate, self.axis)

    def integrate(self, a, b, extrapolate=None):
        """Return the integral between two limits, which may be Variables."""
        extrapolate = self.extrapolate if extrapolate is None else extrapolate
        if self.plain is not None and not has_variable((a, b)):
            return self.plain.integrate(a, b, extrapolate)
        if extrapolate == "periodic":
            raise NoRuleError(
                "scipy.interpolate.PPoly.integrate: extrapolate='periodic' is not supported for "
                "Variables"
            )
        whole = self.antiderivative()
        return whole(b, 0, extrapolate) - whole(a, 0, extrapolate)


# ---- cubic interpolants


def _data(name, x, y, axis, plain, real=False):
    """Return places, and data along the first axis, as SciPy takes them."""
    x = np.asarray(constant_points(name, x), np.float64)
    y = as_operand(y, f"scipy.interpolate.{name}: y")
    if real and y.dtype.kind == "c":
        raise DTypeError(
            f"scipy.interpolate.{name}: y has dtype {y.dtype}: interpolate real and imaginary "
            "parts one by one"
        )
    if y.size:
        plain(x, values_of(y))  # raises where SciPy does
    y = np.astype(y, np.complex128 if y.dtype.kind == "c" else np.float64)
    return x, np.moveaxis(y, axis, 0), axis % y.ndim


def _column(v, y):
    return np.reshape(v, (-1, *(1,) * (y.ndim - 1)))


def _hermite(x, y, s):
    h = _column(np.diff(x), y)
    slope = np.diff(y, axis=0) / h
    t = (s[:-1] + s[1:] - 2 * slope) / h
    return np.stack([t / h, (slope - s[:-1]) / h - t, s[:-1], y[:-1]])


class _Cubic(PPoly):
    """A cubic interpolant with values and slopes at its breakpoints."""

    def _interpolate(self, given, kwargs, slopes, real=False):
        """Let SciPy do it, or compute the coefficients from the slopes that a function returns."""
        name = type(self).__name__
        theirs = getattr(interpolate, name)
        x, y, *rest = given
        if not has_variable((y, *rest, tuple(kwargs.values()))):
            self.plain = theirs(constant_points(name, x), y, *rest, **kwargs)
            p = self.plain
            self._made(p.c, p.x, p.extrapolate, p.axis)
            return
        values = [values_of(v) for v in rest]
        kwargs = {k: values_of(v) for k, v in kwargs.items()}

        def plain(x, y):
            self._shown = theirs(x, y, *values, **kwargs)

        axis = kwargs["axis"]
        x, y, axis = _data(name, x, y, axis, plain, real)
        self._made(_hermite(x, y, slopes(x, y)), x, self._shown.extrapolate, axis)


class CubicHermiteSpline(_Cubic):
    """The cubic with given values and slopes, which may be Variables; arguments as in SciPy.

    Parameters
    ----------
    x : array, shape (n,)
        Constants.
    y, dydx : array, shape (..., n, ...)
    axis : int
    extrapolate : bool or "periodic", optional

    Examples
    --------
    >>> import fastbp as bp
    >>> from fastbp.scipy.interpolate import CubicHermiteSpline
    >>> bp.grad(lambda s: CubicHermiteSpline([0.0, 1.0], [0.0, 0.0], [s, 0.0])(0.5))(1.0)
    np.float64(0.125)
    """

    def __init__(self, x, y, dydx, axis=0, extrapolate=None):
        def slopes(x, y):
            s = as_operand(dydx, "scipy.interpolate.CubicHermiteSpline: dydx")
            return np.moveaxis(np.astype(s, np.result_type(s.dtype, np.float64)), axis, 0)

        if has_variable((y, dydx)):
            y, dydx = (as_operand(v, "scipy.interpolate.CubicHermiteSpline: y") for v in (y, dydx))
        self._interpolate((x, y, dydx), {"axis": axis, "extrapolate": extrapolate}, slopes)


class CubicSpline(_Cubic):
    """The cubic spline through data; arguments as in SciPy, `y` may be a Variable.

    Parameters
    ----------
    x : array, shape (n,)
        Constants.
    y : array, shape (..., n, ...)
    axis : int
    bc_type : str or 2-tuple
        As in `scipy.interpolate.CubicSpline`; the values of given derivatives are constants.
    extrapolate : bool or "periodic", optional

    Notes
    -----
    Linear in `y`: the cotangent solves the transposed system, with factors that are kept.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from fastbp.scipy.interpolate import CubicSpline
    >>> x = np.arange(4.0)
    >>> bp.grad(lambda y: CubicSpline(x, y)(1.5))(x**2).round(4)
    array([-0.0625,  0.5625,  0.5625, -0.0625])
    """

    def __init__(self, x, y, axis=0, bc_type="not-a-knot", extrapolate=None):
        def slopes(x, y):
            return _spline_slopes(x, y, bc_type)

        kwargs = {"axis": axis, "bc_type": bc_type, "extrapolate": extrapolate}
        self._interpolate((x, y), kwargs, slopes)


_NAMED = {"clamped": (1, 0.0), "natural": (2, 0.0)}


def _conditions(bc_type):
    """Return what holds at both ends: "not-a-knot", "periodic", or the order and the value."""
    ends = [bc_type, bc_type] if isinstance(bc_type, str) else list(bc_type)
    return [_NAMED.get(end, end) if isinstance(end, str) else end for end in ends]


def _spline_slopes(x, y, bc_type):
    n, h = x.size, np.diff(x)
    start, stop = _conditions(bc_type)
    hc = _column(h, y)
    slope = np.diff(y, axis=0) / hc
    if n == 2:
        ends = [(1, slope[0]) if isinstance(end, str) else end for end in (start, stop)]
        start, stop = ends
    if n == 3 and start == "not-a-knot" and stop == "not-a-knot":  # a parabola
        parabola = (h[1] * slope[0] + h[0] * slope[1]) / (h[0] + h[1])
        return np.stack([2 * slope[0] - parabola, parabola, 2 * slope[1] - parabola])
    if n == 3 and start == "periodic":
        s = np.sum(slope / hc, 0) / np.sum(1.0 / hc, 0)
        return np.stack([s, s, s])
    inner = 3 * (hc[1:] * slope[:-1] + hc[:-1] * slope[1:])
    diagonal = np.zeros(n)
    upper, lower = np.zeros(n - 1), np.zeros(n - 1)
    diagonal[1:-1] = 2 * (h[:-1] + h[1:])
    upper[1:], lower[:-1] = h[:-1], h[1:]
    if start == "periodic":
        m = n - 1
        diagonal[0] = 2 * (h[-1] + h[0])
        a = sparse.diags_array(
            [diagonal[:m], np.append(h[-1:], upper[1 : m - 1]), lower[: m - 1]], offsets=[0, 1, -1]
        ).tolil()
        a[0, m - 1] += h[0]
        a[m - 1, 0] += h[-2]
        first = 3 * (hc[0] * slope[-1] + hc[-1] * slope[0])
        s = solved(Factors(a.tocsc()), np.concatenate([first[None], inner]))
        return np.concatenate([s, s[:1]])
    first, diagonal[0], upper[0] = _end(start, x, y, h, slope, 0)
    last, diagonal[-1], lower[-1] = _end(stop, x, y, h, slope, -1)
    a = sparse.diags_array([diagonal, upper, lower], offsets=[0, 1, -1])
    rows = [np.reshape(v, (1, *y.shape[1:])) for v in (first, last)]
    return solved(Factors(a.tocsc()), np.concatenate([rows[0], inner, rows[1]]))


def _end(condition, x, y, h, slope, at):
    """Return the right-hand side of an end, and the row of the matrix: its own, its neighbour."""
    next, own, inner = (1, slope[0], slope[1:2]) if at == 0 else (-2, slope[-1], slope[-2:-1])
    step, beyond = h[at], h[next : next + 1]
    if isinstance(condition, str):  # not-a-knot
        d = x[2] - x[0] if at == 0 else x[-1] - x[-3]
        side = ((step + 2 * d) * beyond[0] * own + step**2 * inner[0]) / d
        return side, beyond[0], d
    order, value = condition
    if order == 1:
        return np.broadcast_to(value, y.shape[1:]), 1.0, 0.0
    rise = y[1] - y[0] if at == 0 else y[-1] - y[-2]
    sign = -0.5 if at == 0 else 0.5
    return sign * np.asarray(value) * step**2 + 3 * rise, 2 * step, step


class PchipInterpolator(_Cubic):
    """The monotonic cubic of Fritsch and Butland; arguments as in SciPy, `y` may be a Variable.

    Parameters
    ----------
    x : array, shape (n,)
        Constants.
    y : array of real numbers, shape (..., n, ...)
    axis : int
    extrapolate : bool, optional

    Notes
    -----
    A slope is 0 at a local extreme of the data; there the derivative is that of the branch that
    was taken.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from fastbp.scipy.interpolate import PchipInterpolator
    >>> bp.grad(lambda y: PchipInterpolator([0.0, 1.0], y)(0.25))(np.zeros(2))
    array([0.75, 0.25])
    """

    def __init__(self, x, y, axis=0, extrapolate=None):
        self._interpolate(
            (x, y), {"axis": axis, "extrapolate": extrapolate}, _monotonic_slopes, real=True
        )


def _monotonic_slopes(x, y):
    h = _column(np.diff(x), y)
    m = np.diff(y, axis=0) / h
    if x.size == 2:
        return np.concatenate([m, m])
    before, after = m[:-1], m[1:]
    flat = passive(before) * passive(after) <= 0
    w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    safe = [np.where(flat, 1.0, v) for v in (before, after)]
    inner = np.where(flat, 0.0, (w1 + w2) / (w1 / safe[0] + w2 / safe[1]))
    ends = [_edge(h[i], h[j], m[i], m[j]) for i, j in ((0, 1), (-1, -2))]
    return np.concatenate([ends[0][None], inner, ends[1][None]])


def _edge(h0, h1, m0, m1):
    d = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1)
    sign0 = np.sign(passive(m0))
    turned = np.sign(passive(d)) != sign0
    steep = (sign0 != np.sign(passive(m1))) & (np.abs(passive(d)) > 3.0 * np.abs(passive(m0)))
    return np.where(turned, 0.0, np.where(steep, 3.0 * m0, d))


class Akima1DInterpolator(_Cubic):
    """Akima's cubic; arguments as in SciPy, `y` may be a Variable.

    Parameters
    ----------
    x : array, shape (n,)
        Constants.
    y : array of real numbers, shape (..., n, ...)
    axis : int
    method : {"akima", "makima"}
    extrapolate : bool, optional

    Notes
    -----
    Where four points lie on two lines, the slope is the mean of theirs, as SciPy's.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from fastbp.scipy.interpolate import Akima1DInterpolator
    >>> bp.grad(lambda y: Akima1DInterpolator([0.0, 1.0], y)(0.25))(np.zeros(2))
    array([0.75, 0.25])
    """

    def __init__(self, x, y, axis=0, *, method="akima", extrapolate=None):
        def slopes(x, y):
            return _akima_slopes(x, y, method)

        kwargs = {"axis": axis, "method": method}
        if extrapolate is not None:
            kwargs["extrapolate"] = extrapolate
        self._interpolate((x, y), kwargs, slopes, real=True)


def _akima_slopes(x, y, method):
    m = np.diff(y, axis=0) / _column(np.diff(x), y)
    if x.size == 2:
        return np.concatenate([m, m])
    before = 2.0 * m[0] - m[1]
    after = 2.0 * m[-1] - m[-2]
    outer = 2.0 * before - m[0], 2.0 * after - m[-1]
    m = np.concatenate([outer[0][None], before[None], m, after[None], outer[1][None]])
    d = np.abs(np.diff(m, axis=0))
    f1, f2 = d[2:], d[:-2]
    if method == "makima":
        p = np.abs(m[1:] + m[:-1])
        f1, f2 = f1 + 0.5 * p[2:], f2 + 0.5 * p[:-2]
    total = f1 + f2
    defined = passive(total) > 1e-9 * np.max(passive(total))
    part = f2 / np.where(defined, total, 1.0)
    return np.where(defined, m[1:-2] + part * (m[2:-1] - m[1:-2]), 0.5 * (m[3:] + m[:-3]))
