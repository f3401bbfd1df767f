"""Interpolation on grids, and by radial functions."""

import itertools

import numpy as np
from scipy import interpolate

from fastbp._core.graph import has_variable, passive, unfilled, values_of
from fastbp.errors import NoRuleError
from fastbp.rules.counterparts import refused
from fastbp.rules.interpolate.piecewise import Delegating
from fastbp.rules.interpolate.solving import Factors, solved
from fastbp.rules.numpy.structural import as_operand

__all__ = ["OTHERS", "RBFInterpolator", "RegularGridInterpolator", "interpn"]


class RegularGridInterpolator(Delegating):
    """Interpolate on a grid; arguments as in `scipy.interpolate.RegularGridInterpolator`.

    Parameters
    ----------
    points : tuple of arrays
        Constants.
    values : array
        May be a Variable.
    method : {"linear", "nearest"}
        SciPy's others are refused beside Variables.
    bounds_error, fill_value
        As in SciPy; constants.

    Notes
    -----
    Differentiated by `values` and by where it is evaluated; on a grid line the cell before it
    counts.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from fastbp.scipy.interpolate import RegularGridInterpolator
    >>> f = RegularGridInterpolator(([0.0, 1.0], [0.0, 2.0]), np.array([[0.0, 2.0], [1.0, 3.0]]))
    >>> bp.grad(lambda x: f(x)[0])(np.array([0.5, 0.5]))
    array([1., 1.])
    """

    def __init__(
        self, points, values, method="linear", bounds_error=True, fill_value=np.nan, **solver
    ):
        points = [unfilled(x) for x in points]
        if has_variable((points, fill_value)):
            raise NoRuleError(
                "scipy.interpolate.RegularGridInterpolator: points and fill_value are constants, "
                "no Variables"
            )
        recorded = has_variable(values)
        if recorded and method not in ("linear", "nearest"):
            raise NoRuleError(
                f"scipy.interpolate.RegularGridInterpolator: method={method!r} is not supported "
                "for Variables, 'linear' and 'nearest' are"
            )
        self._shown = interpolate.RegularGridInterpolator(
            points, values_of(values), method, bounds_error, fill_value, **solver
        )
        if not recorded:
            self.plain = self._shown
        values = as_operand(values, "scipy.interpolate.RegularGridInterpolator: values")
        self.method, self._values = method, values
        self._points = [np.asarray(p, float) for p in points]
        falling = tuple(k for k, p in enumerate(self._points) if p.size > 1 and p[0] > p[1])
        if falling:
            self._values = np.flip(values, falling)
            self._points = [p[::-1] if k in falling else p for k, p in enumerate(self._points)]

    def __call__(self, xi, method=None, *, nu=None):
        """Interpolate at places, which may be Variables."""
        if self.plain is not None and not has_variable(xi):
            given = {} if nu is None else {"nu": nu}
            return self.plain(xi, method, **given)
        method = self.method if method is None else method
        if method not in ("linear", "nearest") or nu is not None:
            raise NoRuleError(
                f"scipy.interpolate.RegularGridInterpolator: method={method!r} with nu={nu!r} is "
                "not supported for Variables, 'linear' and 'nearest' are"
            )
        if isinstance(xi, tuple):
            xi = np.stack(np.broadcast_arrays(*xi), -1)
        xi = as_operand(xi, "scipy.interpolate.RegularGridInterpolator: xi", real=True)
        expected = np.asarray(self._shown(values_of(xi), method))
        nd = len(self._points)
        places = np.reshape(xi, (-1, nd))
        found = self._at(places, method)
        found = np.reshape(found, expected.shape)
        v = passive(places)
        outside = np.isnan(v).any(-1)
        if self._shown.fill_value is not None:
            outside |= np.any(
                [(v[:, k] < p[0]) | (v[:, k] > p[-1]) for k, p in enumerate(self._points)], 0
            )
        if outside.any():
            behind = self._values.ndim - nd
            lead = expected.shape[: expected.ndim - behind]
            found = np.where(outside.reshape((*lead, *(1,) * behind)), expected, found)
        return found

    def _at(self, places, method):
        v, shape = passive(places), (-1, *(1,) * (self._values.ndim - len(self._points)))
        first, parts = [], []
        for k, p in enumerate(self._points):
            if p.size == 1:
                first.append(np.zeros(len(v), int))
                parts.append(np.zeros(len(v)))
                continue
            at = np.clip(np.searchsorted(p, v[:, k]) - 1, 0, p.size - 2)
            first.append(at)
            parts.append((places[:, k] - p[at]) / (p[at + 1] - p[at]))
        if method == "nearest":
            index = [
                np.where(passive(t) <= 0.5, at, at + 1) for at, t in zip(first, parts, strict=True)
            ]
            return self._values[tuple(index)]
        total = 0.0
        for corner in itertools.product((0, 1), repeat=len(first)):
            if any(on and p.size == 1 for on, p in zip(corner, self._points, strict=True)):
                continue
            weight = 1.0
            for on, t in zip(corner, parts, strict=True):
                weight = weight * (t if on else 1.0 - t)
            index = tuple(at + on for at, on in zip(first, corner, strict=True))
            total = total + self._values[index] * np.reshape(weight, shape)
        return total


def interpn(points, values, xi, method="linear", bounds_error=True, fill_value=np.nan):
    """Interpolate on a grid; arguments as in `scipy.interpolate.interpn`.

    Parameters
    ----------
    points, values, method, bounds_error, fill_value
        As of `RegularGridInterpolator`.
    xi : array, shape (..., d)
        May be a Variable.

    Returns
    -------
    array

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from fastbp.scipy.interpolate import interpn
    >>> values = np.array([0.0, 2.0])
    >>> bp.grad(lambda v: interpn(([0.0, 1.0],), v, [0.25])[0])(values)
    array([0.75, 0.25])
    """
    if not has_variable((values, xi)):
        return interpolate.interpn(points, values, xi, method, bounds_error, fill_value)
    return RegularGridInterpolator(points, values, method, bounds_error, fill_value)(xi)


# ---- radial functions, of squared distances


def _thin_plate(r2):
    positive = r2 > 0
    return np.where(positive, 0.5 * r2 * np.log(np.where(positive, r2, 1.0)), 0.0)


def _root(r2):
    """Return distances, whose derivative at 0 is taken for 0."""
    positive = r2 > 0
    return np.where(positive, np.sqrt(np.where(positive, r2, 1.0)), 0.0)


KERNELS = {
    "linear": lambda r2: -_root(r2),
    "thin_plate_spline": _thin_plate,
    "cubic": lambda r2: r2 * _root(r2),
    "quintic": lambda r2: -(r2 * r2) * _root(r2),
    "multiquadric": lambda r2: -np.sqrt(r2 + 1.0),
    "inverse_multiquadric": lambda r2: 1.0 / np.sqrt(r2 + 1.0),
    "inverse_quadratic": lambda r2: 1.0 / (r2 + 1.0),
    "gaussian": lambda r2: np.exp(-r2),
}
LEAST = {"multiquadric": 0, "linear": 0, "thin_plate_spline": 1, "cubic": 1, "quintic": 2}


class RBFInterpolator(Delegating):
    """Interpolate by radial functions; arguments as in `scipy.interpolate.RBFInterpolator`.

    Parameters
    ----------
    y : array, shape (n, d)
        Places: constants.
    d : array, shape (n, ...)
        May be a Variable: the interpolant is linear in it.
    neighbors
        Refused beside Variables.
    smoothing, kernel, epsilon, degree
        As in SciPy; constants.

    Notes
    -----
    Differentiated by `d` and by where it is evaluated. The factors of the system are kept.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from fastbp.scipy.interpolate import RBFInterpolator
    >>> y = np.array([[0.0], [1.0], [3.0]])
    >>> f = RBFInterpolator(y, np.array([0.0, 2.0, 6.0]))
    >>> bp.jacobian(lambda x: f(x[:, None]))(np.array([2.0])).round(6)
    array([[2.]])
    """

    def __init__(
        self, y, d, neighbors=None, smoothing=0.0, kernel="thin_plate_spline", epsilon=None,
        degree=None,
    ):  # fmt: skip
        if has_variable((y, smoothing, epsilon)):
            raise NoRuleError(
                "scipy.interpolate.RBFInterpolator: y, smoothing and epsilon are constants, no "
                "Variables"
            )
        plain = interpolate.RBFInterpolator(
            y, values_of(d), neighbors, smoothing, kernel, epsilon, degree
        )
        if not has_variable(d):
            self.plain = plain
        elif neighbors is not None:
            self._refuse_neighbors()
        y, d = np.asarray(y, float), as_operand(d, "scipy.interpolate.RBFInterpolator: d")
        self.y, self.kernel, self.neighbors = y, kernel.lower(), neighbors
        if neighbors is not None:
            return
        self.epsilon = 1.0 if epsilon is None else float(epsilon)
        least = LEAST.get(self.kernel, -1)
        degree = max(least, 0) if degree is None else int(degree)
        self._powers = np.array(
            [
                np.bincount(np.array(powers, int), minlength=y.shape[1])
                for total in range(degree + 1)
                for powers in itertools.combinations_with_replacement(range(y.shape[1]), total)
            ],
            int,
        ).reshape((-1, y.shape[1]))
        low, high = y.min(0), y.max(0)
        self._shift, scale = (high + low) / 2, (high - low) / 2
        self._scale = np.where(scale == 0.0, 1.0, scale)
        n, m = y.shape[0], len(self._powers)
        system = np.zeros((n + m, n + m))
        system[:n, :n] = self._radial(y) + np.diag(np.broadcast_to(smoothing, (n,)))
        system[:n, n:] = self._polynomial(y)
        system[n:, :n] = system[:n, n:].T
        self._shape = d.shape[1:]
        d = np.astype(d, np.result_type(d.dtype, np.float64))
        flat = np.reshape(d, (n, -1))
        flat = np.concatenate([flat, np.zeros((m, flat.shape[1]), d.dtype)])
        self._coefficients = solved(Factors(system), flat)

    def _refuse_neighbors(self):
        raise NoRuleError(
            "scipy.interpolate.RBFInterpolator: neighbors= is not supported for Variables"
        )

    def _radial(self, x):
        difference = (x[:, None, :] - self.y) * self.epsilon
        return KERNELS[self.kernel](np.sum(difference * difference, -1))

    def _polynomial(self, x):
        x = (x - self._shift) / self._scale
        columns = [
            np.prod(np.stack([x[:, k] ** int(p) for k, p in enumerate(powers)]), 0)
            for powers in self._powers
        ]
        return np.stack(columns, -1) if columns else np.zeros((x.shape[0], 0))

    def __call__(self, x):
        """Interpolate at places, shape (m, d), which may be Variables."""
        if self.plain is not None and not has_variable(x):
            return self.plain(x)
        if self.neighbors is not None:
            self._refuse_neighbors()
        x = np.astype(as_operand(x, "scipy.interpolate.RBFInterpolator: x", real=True), np.float64)
        if x.ndim != 2 or x.shape[1] != self.y.shape[1]:
            raise ValueError(
                f"scipy.interpolate.RBFInterpolator: x must be of shape (m, {self.y.shape[1]}), "
                f"not {x.shape}"
            )
        basis = np.concatenate([self._radial(x), self._polynomial(x)], 1)
        return np.reshape(basis @ self._coefficients, (x.shape[0], *self._shape))


_SPLINES = "write fastbp.scipy.interpolate.make_interp_spline or CubicSpline"
_GRIDS = "write fastbp.scipy.interpolate.RegularGridInterpolator"
_SCATTERED = "write fastbp.scipy.interpolate.RBFInterpolator"
OTHERS = {
    name: refused(f"scipy.interpolate.{name}", why)
    for why, names in {
        _SPLINES: "splev splint splrep make_lsq_spline make_smoothing_spline",
        _GRIDS: "bisplev bisplrep",
        _SCATTERED: "griddata",
    }.items()
    for name in names.split()
}
