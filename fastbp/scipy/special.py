"""`scipy.special`, differentiable.

SciPy's ufuncs (`erf`, `gammaln`, `jv`, `betainc` ...) are recorded when they are applied to
Variables, from here or from `scipy.special` itself. Functions that are no ufuncs (`logsumexp`,
`polygamma`, `lambertw` ...) do not look at their arguments: take them from here. All other names
are SciPy's own and see plain arrays only.

By orders and degrees, as that of a Bessel function, there is no derivative: asking for one raises
`NoRuleError`. float32 is kept, also where SciPy's function has a double result only.

Examples
--------
>>> import fastbp as bp
>>> import fastbp.scipy.special as bsp
>>> float(bp.grad(lambda x: bsp.xlogy(x, x) + bsp.erf(x))(1.0))  # doctest: +ELLIPSIS
1.4151...
"""

import fastbp.rules.special.late as _rows  # noqa: F401  (fills the table of operations)
from fastbp._core.graph import implementation_of as _implementation_of
from fastbp.rules.special import unwrapped as _special
from fastbp.rules.special.activations import log_softmax, logsumexp, softmax
from fastbp.rules.table import CONSTANTS as _CONSTANTS
from fastbp.rules.table import FUNCTIONS as _FUNCTIONS
from fastbp.rules.table import attribute as _attribute

# Of a ufunc that is recorded as an operation of another name, as `expit`, itself.
_OPS = {
    name: op if getattr(op, "title", name).rpartition(".")[2] == name else f
    for name, f in vars(_special).items()
    if isinstance(f, type(_special.erf)) and (op := _implementation_of(f)) is not None
    if name not in _CONSTANTS
}
_PREFIX = "scipy.special."
_OPS |= {k.removeprefix(_PREFIX): f for k, f in _FUNCTIONS.items() if k.startswith(_PREFIX)}
globals().update(_OPS)

__all__ = ["log_softmax", "logsumexp", "softmax", *sorted(_OPS)]


def __getattr__(name):
    return _attribute(_special, name, __name__)


def __dir__():
    return sorted({*__all__, *dir(_special)})
