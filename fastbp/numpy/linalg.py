"""`numpy.linalg`, differentiable: names without a rule are NumPy's own.

Examples
--------
>>> import numpy as np
>>> import fastbp as bp
>>> import fastbp.numpy as bnp
>>> bp.grad(bnp.linalg.norm)(np.array([3.0, 4.0]))
array([0.6, 0.8])
"""

import numpy as _np

from fastbp.rules.table import FUNCTIONS as _FUNCTIONS
from fastbp.rules.table import attribute as _attribute

_names = {
    name.removeprefix("linalg."): f for name, f in _FUNCTIONS.items() if name.startswith("linalg.")
}
globals().update(_names)

__all__ = sorted(_names)


def __getattr__(name):
    return _attribute(_np.linalg, name, __name__)


def __dir__():
    return sorted({*__all__, *dir(_np.linalg)})
