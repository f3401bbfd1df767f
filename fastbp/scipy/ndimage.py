"""TODO"""

from scipy import ndimage as _ndimage

import fastbp.rules.ndimage.late as _rows  # noqa: F401  (fills the table of operations)
from fastbp.rules.table import FUNCTIONS as _FUNCTIONS
from fastbp.rules.table import attribute as _attribute

_PREFIX = "scipy.ndimage."
_names = {k.removeprefix(_PREFIX): f for k, f in _FUNCTIONS.items() if k.startswith(_PREFIX)}
globals().update(_names)

__all__ = sorted(_names)


def __getattr__(name):
    return _attribute(_ndimage, name, __name__)


def __dir__():
    return sorted({*__all__, *dir(_ndimage)})
