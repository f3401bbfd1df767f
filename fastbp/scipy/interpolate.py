"""`scipy.interpolate`, differentiable: by the data, and by where the interpolant is evaluated.

Where the data lies (knots, breakpoints, grids) is a constant. Classes have SciPy's names and
arguments; without Variables SciPy's objects stand behind them. All other names are SciPy's own.

Examples
--------
>>> import numpy as np
>>> import fastbp as bp
>>> from fastbp.scipy.interpolate import CubicSpline
>>> x = np.linspace(0.0, 3.0, 7)
>>> spline = CubicSpline(x, np.sin(x), bc_type=((1, 1.0), (1, np.cos(3.0))))
>>> float(bp.grad(spline)(1.0).round(3)), float(np.cos(1.0).round(3))
(0.54, 0.54)
"""

from scipy import interpolate as _interpolate

from fastbp.rules.interpolate.piecewise import (
    Akima1DInterpolator,
    CubicHermiteSpline,
    CubicSpline,
    PchipInterpolator,
    PPoly,
)
from fastbp.rules.interpolate.scattered import OTHERS as _OTHERS
from fastbp.rules.interpolate.scattered import (
    RBFInterpolator,
    RegularGridInterpolator,
    interpn,
)
from fastbp.rules.interpolate.splines import BSpline, interp1d, make_interp_spline
from fastbp.rules.table import attribute as _attribute

__all__ = [
    "Akima1DInterpolator",
    "BSpline",
    "CubicHermiteSpline",
    "CubicSpline",
    "PPoly",
    "PchipInterpolator",
    "RBFInterpolator",
    "RegularGridInterpolator",
    "interp1d",
    "interpn",
    "make_interp_spline",
    *sorted(_OTHERS),
]
globals().update(_OTHERS)


def __getattr__(name):
    return _attribute(_interpolate, name, __name__)


def __dir__():
    return sorted({*__all__, *dir(_interpolate)})
