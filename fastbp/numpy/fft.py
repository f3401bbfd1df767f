"""`numpy.fft`, differentiable: names without a rule are NumPy's own.

Examples
--------
>>> import numpy as np
>>> import fastbp as bp
>>> import fastbp.numpy as bnp
>>> bp.grad(lambda x: bnp.sum(bnp.abs(bnp.fft.rfft(x)) ** 2))(np.array([1.0, 2.0, 3.0]))
array([ 9., 12., 15.])
"""

import numpy as _np

from fastbp.rules.table import FUNCTIONS as _FUNCTIONS
from fastbp.rules.table import attribute as _attribute

_names = {name.removeprefix("fft."): f for name, f in _FUNCTIONS.items() if name[:4] == "fft."}
globals().update(_names)

__all__ = sorted(_names)


def __getattr__(name):
    return _attribute(_np.fft, name, __name__)


def __dir__():
    return sorted({*__all__, *dir(_np.fft)})
