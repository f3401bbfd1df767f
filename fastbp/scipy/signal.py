"""`scipy.signal`, differentiable: names without a rule are SciPy's own.

SciPy's functions do not look at their arguments: take them from here. Values are SciPy's. Both
operands of a convolution are differentiated, and of a filter its coefficients, the signal and the
initial state; the filter's cotangent is filtered backward, once.

Examples
--------
>>> import numpy as np
>>> import fastbp as bp
>>> import fastbp.scipy.signal as bsig
>>> x = np.array([1.0, 2.0, 3.0])
>>> bp.grad(lambda a: np.sum(bsig.lfilter([1.0], np.stack([1.0, a]), x)))(0.5)
np.float64(-2.0)
"""

from scipy import signal as _signal

import fastbp.rules.signal.resampling
import fastbp.rules.signal.responses
import fastbp.rules.signal.smoothing
import fastbp.rules.signal.spectral  # noqa: F401  (they fill the table of operations)
from fastbp.rules.signal.responses import OTHERS as _OTHERS
from fastbp.rules.table import FUNCTIONS as _FUNCTIONS
from fastbp.rules.table import attribute as _attribute

_PREFIX = "scipy.signal."
_names = {k.removeprefix(_PREFIX): f for k, f in _FUNCTIONS.items() if k.startswith(_PREFIX)}
_names |= _OTHERS
globals().update(_names)

__all__ = sorted(_names)


def __getattr__(name):
    return _attribute(_signal, name, __name__)


def __dir__():
    return sorted({*__all__, *dir(_signal)})
