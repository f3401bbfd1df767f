"""TODO"""

from scipy import interpolate as _interpolate

import fastbp.rules.interpolate.late as _rows  # noqa: F401  (fills the table of operations)
from fastbp.rules.table import FUNCTIONS as _FUNCTIONS
from fastbp.rules.table import attribute as _attribute

_PREFIX = "scipy.interpolate."
_names = {k.removeprefix(_PREFIX): f for k, f in _FUNCTIONS.items() if k.startswith(_PREFIX)}
globals().update(_names)

__all__ = sorted(_names)


def __getattr__(name):
    return _attribute(_interpolate, name, __name__)


def __dir__():
    return sorted({*__all__, *dir(_interpolate)})
