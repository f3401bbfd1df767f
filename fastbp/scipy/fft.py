"""`scipy.fft`, differentiable: names without a rule are SciPy's own.

SciPy's functions do not look at their arguments: take them from here. They keep SciPy's values, of
all axes in one pass, and its ``workers=``.

Examples
--------
>>> import numpy as np
>>> import fastbp as bp
>>> import fastbp.scipy.fft as bfft
>>> bp.grad(lambda x: bfft.dct(x, norm="ortho")[0] ** 2)(np.array([1.0, 3.0]))
array([4., 4.])
"""

from scipy import fft as _fft

import fastbp.rules.fft.of_scipy as _rows  # noqa: F401  (fills the table of operations)
from fastbp.rules.table import FUNCTIONS as _FUNCTIONS
from fastbp.rules.table import attribute as _attribute

_PREFIX = "scipy.fft."
_names = {
    **{f"{name}": _FUNCTIONS[f"fft.{name}"] for name in ("fftshift", "ifftshift")},
    **{k.removeprefix(_PREFIX): f for k, f in _FUNCTIONS.items() if k.startswith(_PREFIX)},
}
globals().update(_names)

__all__ = sorted(_names)


def __getattr__(name):
    return _attribute(_fft, name, __name__)


def __dir__():
    return sorted({*__all__, *dir(_fft)})
