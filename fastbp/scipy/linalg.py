"""`scipy.linalg`, differentiable: names without a rule are SciPy's own.

SciPy's functions do not look at their arguments: take them from here. Stacks of matrices are as in
SciPy 1.16 and later. ``overwrite_a=`` and the like have no effect on recorded values.

Examples
--------
>>> import numpy as np
>>> import fastbp as bp
>>> import fastbp.scipy.linalg as bla
>>> A = np.array([[0.0, 1.0], [-1.0, 0.0]])
>>> float(bp.grad(lambda t: bla.expm(t * A)[0, 1])(0.0))
1.0
"""

from scipy import linalg as _linalg

from fastbp.rules import table as _table
from fastbp.rules.linalg.functions import OTHERS as _OTHERS

_table.load("linalg")
_PREFIX = "scipy.linalg."
_names = {k.removeprefix(_PREFIX): f for k, f in _table.FUNCTIONS.items() if k.startswith(_PREFIX)}
_names |= _OTHERS
globals().update(_names)

__all__ = sorted(_names)


def __getattr__(name):
    return _table.attribute(_linalg, name, __name__)


def __dir__():
    return sorted({*__all__, *dir(_linalg)})
