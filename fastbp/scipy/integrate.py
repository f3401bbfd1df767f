"""`scipy.integrate`, differentiable: names without a rule are SciPy's own.

SciPy's functions do not look at their arguments: take them from here. Solvers and quadratures are
differentiated by equations and integrals of their own, with the tolerances that they were given;
what the function depends on is handed over in ``args=``.

Examples
--------
>>> import numpy as np
>>> import fastbp as bp
>>> import fastbp.scipy.integrate as bint
>>> bp.grad(lambda y: bint.trapezoid(y, dx=0.5))(np.array([1.0, 2.0, 4.0]))
array([0.25, 0.5 , 0.25])
>>> f = lambda x, a: np.exp(-a * x**2)
>>> float(bp.grad(lambda a: bint.quad(f, -np.inf, np.inf, args=(a,))[0])(1.0))  # -sqrt(pi) / 2
... # doctest: +ELLIPSIS
-0.886226...
"""

from scipy import integrate as _integrate

import fastbp.rules.integrate.samples as _samples  # noqa: F401  (fills the table of operations)
from fastbp.rules.integrate.odes import odeint, solve_ivp
from fastbp.rules.integrate.quadrature import OTHERS as _OTHERS
from fastbp.rules.integrate.quadrature import fixed_quad, quad, quad_vec
from fastbp.rules.table import FUNCTIONS as _FUNCTIONS
from fastbp.rules.table import attribute as _attribute

_PREFIX = "scipy.integrate."
_names = {k.removeprefix(_PREFIX): f for k, f in _FUNCTIONS.items() if k.startswith(_PREFIX)}
_names |= _OTHERS
globals().update(_names)

__all__ = ["fixed_quad", "odeint", "quad", "quad_vec", "solve_ivp", *sorted(_names)]


def __getattr__(name):
    return _attribute(_integrate, name, __name__)


def __dir__():
    return sorted({*__all__, *dir(_integrate)})
