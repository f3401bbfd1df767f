"""TODO"""

from scipy import signal as _signal

import fastbp.rules.signal.resampling
import fastbp.rules.signal.responses
import fastbp.rules.signal.spectral  # noqa: F401  (they fill the table of operations)
from fastbp.rules.table import FUNCTIONS as _FUNCTIONS
from fastbp.rules.table import attribute as _attribute

_PREFIX = "scipy.signal."
_names = {k.removeprefix(_PREFIX): f for k, f in _FUNCTIONS.items() if k.startswith(_PREFIX)}
globals().update(_names)

__all__ = sorted(_names)


def __getattr__(name):
    return _attribute(_signal, name, __name__)


def __dir__():
    return sorted({*__all__, *dir(_signal)})
