"""`numpy.polynomial`, differentiable: NumPy's own code runs, with `fastbp.unmodified`.

The modules `chebyshev`, `hermite`, `hermite_e`, `laguerre`, `legendre`, `polynomial` and
`polyutils` have the functions of NumPy's; classes as `Polynomial` are NumPy's own: with constant
coefficients they are called with recorded values, and recorded coefficients are refused.

NumPy's functions ask ``isinstance(x, np.ndarray)``, which no recorded value is: called by
themselves, they take a recorded array for a number and pair its elements with the coefficients.

Examples
--------
>>> import numpy as np
>>> import fastbp as bp
>>> import fastbp.numpy as bnp
>>> c = np.array([[1.0, 0.0], [2.0, 3.0]])
>>> bp.jacobian(lambda x: bnp.polynomial.polynomial.polyval(x, c))(np.array([0.5])).ravel()
array([2., 3.])
"""

import importlib as _importlib
import sys as _sys
import types as _types

import numpy.polynomial as _theirs

_NAMES = (
    "chebyshev",
    "hermite",
    "hermite_e",
    "laguerre",
    "legendre",
    "polynomial",
    "polyutils",
)


def _module(name):
    theirs = _importlib.import_module(f"numpy.polynomial.{name}")
    utilities = _importlib.import_module("numpy.polynomial.polyutils")
    ours = _types.ModuleType(f"{__name__}.{name}", theirs.__doc__)

    def find(attribute):
        x = getattr(theirs, attribute)
        x = getattr(x, "_implementation", x)  # some go through NumPy's protocol
        if isinstance(x, _types.FunctionType):
            # Late: code is run by what stands on this package.
            unmodified = _importlib.import_module("fastbp.unmodified").unmodified
            x = unmodified(x, also=utilities)
            setattr(ours, attribute, x)
        return x

    vars(ours).update(__getattr__=find, __dir__=lambda: dir(theirs), __all__=theirs.__all__)
    _sys.modules[ours.__name__] = ours
    return ours


globals().update({name: _module(name) for name in _NAMES})

__all__ = [*_NAMES]


def __getattr__(name):
    return getattr(_theirs, name)


def __dir__():
    return sorted({*__all__, *dir(_theirs)})
