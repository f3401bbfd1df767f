"""Splines by their coefficients, and what interpolates by a kind."""

import numpy as np
from scipy import interpolate, sparse

from fastbp._core.graph import has_variable, passive, values_of
from fastbp.errors import NoRuleError
from fastbp.rules.interpolate.piecewise import Delegating, PPoly, constant_points
from fastbp.rules.interpolate.solving import Factors, solved
from fastbp.rules.numpy.structural import as_operand

__all__ = ["BSpline", "interp1d", "make_interp_spline"]


class BSpline(Delegating):
    """A spline by its coefficients; arguments as in `scipy.interpolate.BSpline`.

    Parameters
    ----------
    t : array, shape (n + k + 1,)
        Knots: constants.
    c : array, shape (>= n, ...)
        May be a Variable.
    k : int
    extrapolate : bool or "periodic"
    axis : int

    Notes
    -----
    Differentiated by `c` and by where it is evaluated; computed as a piecewise polynomial.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from fastbp.scipy.interpolate import BSpline
    >>> t = [0.0, 0.0, 1.0, 2.0, 2.0]
    >>> bp.grad(lambda c: BSpline(t, c, 1)(0.25))(np.zeros(3))
    array([0.75, 0.25, 0.  ])
    """

    def __init__(self, t, c, k, extrapolate=True, axis=0):
        t = constant_points("BSpline", t)
        if not has_variable(c):
            self.plain = interpolate.BSpline(t, c, k, extrapolate, axis)
            self._made(self.plain.t, self.plain.c, k, extrapolate, self.plain.axis)
            return
        c = as_operand(c, "scipy.interpolate.BSpline: c")
        interpolate.BSpline(t, values_of(c), k, extrapolate, axis)  # raises
        axis = axis % c.ndim
        c = np.astype(c, np.result_type(c.dtype, np.float64))
        self._made(np.asarray(t, float), np.moveaxis(c, axis, 0), k, extrapolate, axis)

    def _made(self, t, c, k, extrapolate, axis):
        self.t, self.c, self.k = t, c, k
        self.extrapolate, self.axis = extrapolate, axis
        self._pieces = None

    def __call__(self, x, nu=0, extrapolate=None):
        """Evaluate the spline, or a derivative of it."""
        if self.plain is not None and not has_variable(x):
            return self.plain(x, nu, extrapolate)
        if nu < 0:
            raise NoRuleError(
                f"scipy.interpolate.BSpline: nu={nu} is not supported for Variables; "
                "PPoly.antiderivative is"
            )
        if self._pieces is None:
            self._pieces = _pieces(self.t, self.c, self.k, self.extrapolate, self.axis)
        extrapolate = self.extrapolate if extrapolate is None else extrapolate
        return self._pieces(x, nu, extrapolate)

    def derivative(self, nu=1):
        """Return a derivative as another spline."""
        if self.plain is not None:
            return self.plain.derivative(nu)
        t, c, k = self.t, self.c, self.k
        for _ in range(nu):
            t, c, k = _slope(t, c, k)
        found = object.__new__(BSpline)
        found._made(t, c, k, self.extrapolate, self.axis)
        return found


def _slope(t, c, k):
    """Return knots, coefficients and degree of the derivative of a spline."""
    n = t.size - k - 1
    h = t[k + 1 : k + n] - t[1:n]
    factors = np.divide(k, h, out=np.zeros_like(h), where=h > 0)
    factors = factors.reshape((-1, *(1,) * (c.ndim - 1)))
    return t[1:-1], (c[1:n] - c[: n - 1]) * factors, k - 1


def _pieces(t, c, k, extrapolate, axis):
    """Return the spline as polynomials between its knots, by its derivatives at their left ends."""
    n = t.size - k - 1
    inside = np.arange(k, n)
    if k > 0 and (t[k] == t[k + 1] or t[n - 1] == t[n]):
        raise NoRuleError(
            f"scipy.interpolate.BSpline: an end knot {k + 2} times at degree k={k} is not "
            f"supported for Variables: repeat it {k + 1} times"
        )
    if t[n - 1] == t[n]:  # a step that begins at the last knot, as make_interp_spline has it
        t = np.append(t[:-1], np.nextafter(t[n], np.inf))
    inside = inside[t[inside] < t[inside + 1]]
    x = np.append(t[inside], t[n])
    powers, factorial = [], 1.0
    for m in range(k + 1):
        factorial *= max(m, 1)
        degree = k - m
        weights = np.ones((inside.size, 1))
        if degree:
            design = interpolate.BSpline.design_matrix(x[:-1], t, degree, extrapolate=True)
            weights = design.data.reshape((inside.size, degree + 1))
        # The last spline that is not 0 there has the number of the interval, and m fewer knots.
        places = (inside - k)[:, None] + np.arange(degree + 1)
        weights = weights.reshape((*weights.shape, *(1,) * (c.ndim - 1))) / factorial
        powers.append(np.sum(np.take(c, places, 0) * weights, 1))
        if degree:
            t, c, _ = _slope(t, c, degree)
    return PPoly._of(np.stack(powers[::-1]), x, extrapolate, axis)


def make_interp_spline(x, y, k=3, t=None, bc_type=None, axis=0, check_finite=True):
    """Compute the coefficients of an interpolating spline; arguments as in SciPy.

    Parameters
    ----------
    x : array, shape (n,)
        Constants.
    y : array, shape (..., n, ...)
        May be a Variable: the spline is linear in it.
    k : int
    t : array, optional
    bc_type : 2-tuple or str, optional
        As in `scipy.interpolate.make_interp_spline`; "periodic" is refused beside Variables. The
        values of given derivatives are constants.
    axis : int
    check_finite : bool

    Returns
    -------
    BSpline

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from fastbp.scipy.interpolate import make_interp_spline
    >>> x = np.arange(4.0)
    >>> bp.grad(lambda y: make_interp_spline(x, y)(1.5))(x**2).round(4)
    array([-0.0625,  0.5625,  0.5625, -0.0625])
    """
    x = constant_points("make_interp_spline", x)
    if not has_variable(y):
        found = interpolate.make_interp_spline(x, y, k, t, bc_type, axis, check_finite)
        c = np.moveaxis(found.c, 0, found.axis)
        return BSpline(found.t, c, k, found.extrapolate, found.axis)
    if bc_type == "periodic":
        raise NoRuleError(
            "scipy.interpolate.make_interp_spline: bc_type='periodic' is not supported for "
            "Variables: take CubicSpline"
        )
    y = as_operand(y, "scipy.interpolate.make_interp_spline: y")
    plain = interpolate.make_interp_spline(x, values_of(y), k, t, bc_type, axis, check_finite)
    y = np.moveaxis(np.astype(y, np.result_type(y.dtype, np.float64)), axis, 0)
    found = object.__new__(BSpline)
    found._made(plain.t, _coefficients(x, y, k, plain.t, bc_type), k, True, plain.axis)
    return found


_NAMED = {"clamped": [(1, 0.0)], "natural": [(2, 0.0)], "not-a-knot": [], None: []}


def _coefficients(x, y, k, t, bc_type):
    n = t.size - k - 1
    if k == 0 or (k == 1 and n == x.size):
        return y
    ends = [bc_type] * 2 if bc_type is None or isinstance(bc_type, str) else bc_type
    ends = [_NAMED[end] if end is None or isinstance(end, str) else list(end) for end in ends]
    rows = [interpolate.BSpline.design_matrix(np.asarray(x, float), t, k)]
    sides = [y]
    for end, at, first in ((ends[0], x[0], 0), (ends[1], x[-1], n - k - 1)):
        for order, value in end:
            units = np.zeros((n, k + 1))
            units[first : first + k + 1] = np.eye(k + 1)
            row = np.zeros((1, n))
            row[0, first : first + k + 1] = interpolate.BSpline(t, units, k)(at, order)
            side = np.broadcast_to(as_operand(value, "bc_type"), y.shape[1:])[None]
            rows.append(sparse.csr_array(row))
            sides.append(side)
    matrix = sparse.vstack(rows)
    return solved(Factors(matrix.tocsc()), np.concatenate(sides) if len(sides) > 1 else y)


_SPLINES = {"zero": 0, "slinear": 1, "quadratic": 2, "cubic": 3}


class interp1d(Delegating):  # noqa: N801 (SciPy's name)
    """Interpolate by a kind; arguments as in `scipy.interpolate.interp1d`.

    Parameters
    ----------
    x : array, shape (n,)
        Constants.
    y : array, shape (..., n, ...)
        May be a Variable.
    kind, axis, copy, bounds_error, fill_value, assume_sorted
        As in SciPy; the fill value is a constant.

    Notes
    -----
    Differentiated by `y` and by where it is evaluated. Of the kinds that return the value of a
    neighbour, which one it is is a constant.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from fastbp.scipy.interpolate import interp1d
    >>> bp.grad(interp1d([0.0, 1.0, 3.0], [0.0, 2.0, 0.0]))(2.0)
    np.float64(-1.0)
    """

    def __init__(
        self, x, y, kind="linear", axis=-1, copy=True, bounds_error=None, fill_value=np.nan,
        assume_sorted=False,
    ):  # fmt: skip
        x = constant_points("interp1d", x)
        if has_variable(fill_value):
            raise NoRuleError("scipy.interpolate.interp1d: fill_value= is a constant, no Variable")
        # SciPy's says what is wrong, and what is outside.
        self._shown = interpolate.interp1d(
            x, values_of(y), kind, axis, copy, bounds_error, fill_value, assume_sorted
        )
        self.x, self.kind, self.y = self._shown.x, kind, y
        self._extrapolated = isinstance(fill_value, str) and fill_value == "extrapolate"
        if not has_variable(y):
            self.plain = self._shown
        y = as_operand(y, "scipy.interpolate.interp1d: y")
        self.axis = axis % y.ndim
        y = np.moveaxis(y, self.axis, 0)
        if not assume_sorted:
            y = np.take(y, np.argsort(x, kind="mergesort"), 0)
        if y.dtype.kind in "biu":
            y = np.asarray(y, float)
        self._rows = y
        self._spline = None
        if kind in _SPLINES or isinstance(kind, int):
            self._spline = make_interp_spline(
                self.x, self._rows, _SPLINES.get(kind, kind), check_finite=False
            )

    def __call__(self, x):
        """Interpolate at places, which may be Variables."""
        if self.plain is not None and not has_variable(x):
            return self.plain(x)
        x = as_operand(x, "scipy.interpolate.interp1d: x", real=True)
        expected = np.asarray(self._shown(values_of(x)))
        at = np.reshape(x, (-1,))
        found = self._at(at) if self._spline is None else self._spline(at)
        found = np.reshape(found, (*x.shape, *found.shape[1:]))
        found = np.moveaxis(found, range(x.ndim), range(self.axis, self.axis + x.ndim))
        if not getattr(self._shown, "_extrapolate", False):
            v = passive(x)
            below, above = v < self.x[0], v > self.x[-1]
            # SciPy extrapolates these by values: on the one side the data's, on the other NaN.
            if self._extrapolated and self.kind == "previous":
                above = False
            elif self._extrapolated and self.kind == "next":
                below = False
            outside = below | above
            if outside.any():
                behind = self._rows.ndim - 1 - self.axis
                found = np.where(outside.reshape((*x.shape, *(1,) * behind)), expected, found)
        return found if found.dtype == expected.dtype else np.astype(found, expected.dtype)

    def _at(self, at):
        x, v, last = self.x, passive(at), self.x.size - 1
        if self.kind == "linear":
            k = np.clip(np.searchsorted(x, v), 1, last)
            y0, y1 = np.take(self._rows, k - 1, 0), np.take(self._rows, k, 0)
            shape = (-1, *(1,) * (self._rows.ndim - 1))
            steps = (x[k] - x[k - 1]).reshape(shape)
            return (y1 - y0) / steps * np.reshape(at - x[k - 1], shape) + y0
        if self.kind == "previous":
            k = np.searchsorted(x, v, side="right") - 1
        elif self.kind == "next":
            k = np.searchsorted(x, v, side="left")
        else:
            middle = x[1:] / 2.0 + x[:-1] / 2.0
            side = "left" if self.kind == "nearest" else "right"
            k = np.searchsorted(middle, v, side=side)
        return np.take(self._rows, np.clip(k, 0, last), 0)
