"""`scipy.ndimage`, differentiable: names without a rule are SciPy's own.

SciPy's functions do not look at their arguments: take them from here. What is linear in the image
has its exact adjoint, in every mode; weights, coordinates, shifts, angles and matrices are
differentiated, too.

Examples
--------
>>> import numpy as np
>>> import fastbp as bp
>>> import fastbp.scipy.ndimage as bnd
>>> x = np.array([1.0, 2.0, 4.0, 8.0])
>>> bp.grad(lambda x: bnd.correlate1d(x, [1.0, 1.0, 1.0])[0])(x)
array([2., 1., 0., 0.])
>>> float(bp.grad(lambda c: bnd.map_coordinates(x, np.reshape(c, (1, 1)), order=1)[0])(1.5))
2.0
"""

from scipy import ndimage as _ndimage

import fastbp.rules.ndimage.filters
import fastbp.rules.ndimage.interpolation
import fastbp.rules.ndimage.order  # noqa: F401  (they fill the table of operations)
from fastbp.rules.ndimage.order import OTHERS as _OTHERS
from fastbp.rules.table import FUNCTIONS as _FUNCTIONS
from fastbp.rules.table import attribute as _attribute

_PREFIX = "scipy.ndimage."
_names = {k.removeprefix(_PREFIX): f for k, f in _FUNCTIONS.items() if k.startswith(_PREFIX)}
_names |= _OTHERS
globals().update(_names)

__all__ = sorted(_names)


def __getattr__(name):
    return _attribute(_ndimage, name, __name__)


def __dir__():
    return sorted({*__all__, *dir(_ndimage)})
