"""NumPy, differentiable: every function with a rule, under NumPy's name and signature.

Arrays that it makes inside of a recorded function (`array`, `zeros`, `eye`, `full` ...) take
recorded values: ``out = np.zeros(n)``, then ``out[i] = y``. Outside they are NumPy's own, as every
other name is. Plain ``import numpy as np`` works on Variables too, through
NumPy's protocols; the functions here skip these protocols, which saves some hundred nanoseconds a
call, and the activation functions of neural networks are beside them: `sigmoid`, `relu`,
`softplus`, `log_sigmoid`, `softmax`, `log_softmax`, `logsumexp`.

Examples
--------
>>> import fastbp as bp
>>> import fastbp.numpy as bnp
>>> bp.grad(lambda x: bnp.sum(bnp.sigmoid(x) ** 2))(bnp.zeros(2))
array([0.25, 0.25])
>>> def rotated(angle, v):
...     r = bnp.eye(2)
...     r[0, 0] = r[1, 1] = bnp.cos(angle)
...     r[1, 0] = bnp.sin(angle)
...     r[0, 1] = -r[1, 0]
...     return r @ v
>>> bp.jacobian(rotated)(0.0, bnp.array([1.0, 0.0]))
array([0., 1.])

Code written for the array API standard finds this module by ``x.__array_namespace__()``.
"""

import importlib as _importlib

import numpy as _np

from fastbp._core.graph import implementation_of as _implementation_of
from fastbp.numpy import fft, linalg
from fastbp.rules.numpy.applying import vectorize as _vectorize
from fastbp.rules.numpy.constant import isscalar as _isscalar
from fastbp.rules.numpy.descending import argsort as _argsort
from fastbp.rules.numpy.descending import sort as _sort
from fastbp.rules.table import CREATORS as _CREATORS
from fastbp.rules.table import FUNCTIONS as _FUNCTIONS
from fastbp.rules.table import attribute as _attribute

_names = {name: f for name, f in _FUNCTIONS.items() if "." not in name}
_names.update(_CREATORS, argsort=_argsort, isscalar=_isscalar, sort=_sort, vectorize=_vectorize)
# NumPy's other names for the same ufunc: abs, acos, mod, pow ...
for _name, _ufunc in vars(_np).items():
    if isinstance(_ufunc, _np.ufunc) and _implementation_of(_ufunc) is not None:
        _names.setdefault(_name, _names.get(_ufunc.__name__, _ufunc))
globals().update(_names)

__all__ = ["fft", "linalg", *sorted(_names)]


__array_api_version__ = "2025.12"


def __getattr__(name):
    if name == "special":  # where SciPy looks for functions of an array API namespace
        return _importlib.import_module("fastbp.scipy.special")
    if name == "polynomial":
        return _importlib.import_module("fastbp.numpy.polynomial")
    return _attribute(_np, name, __name__)


def __dir__():
    return sorted({*__all__, *dir(_np)})
