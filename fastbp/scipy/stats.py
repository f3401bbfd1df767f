"""`scipy.stats`, differentiable: distributions by their arguments and parameters.

Methods have SciPy's arguments, and its values to rounding; what has no Variable among its arguments
is SciPy's own. Outside of its support a distribution has derivative zero, where parameters are none
it is NaN. Discrete distributions are differentiated by their parameters.

Examples
--------
>>> import numpy as np
>>> import fastbp as bp
>>> import fastbp.scipy.stats as bst
>>> x = np.array([0.5, 1.5, 3.0])
>>> bp.grad(lambda loc: np.sum(bst.norm.logpdf(x, loc, scale=2.0)))(1.0)
np.float64(0.5)
>>> bp.jacobian(lambda a: bst.gamma(a).mean())(2.0)
np.float64(1.0)
"""

from scipy import stats as _stats

from fastbp.rules.stats.continuous import DISTRIBUTIONS as _CONTINUOUS
from fastbp.rules.stats.discrete import DISTRIBUTIONS as _DISCRETE
from fastbp.rules.stats.multivariate import DISTRIBUTIONS as _JOINT
from fastbp.rules.stats.samples import FUNCTIONS as _FUNCTIONS
from fastbp.rules.table import attribute as _attribute

_names = {**_CONTINUOUS, **_DISCRETE, **_JOINT, **_FUNCTIONS}
globals().update(_names)

__all__ = sorted(_names)


def __getattr__(name):
    return _attribute(_stats, name, __name__)


def __dir__():
    return sorted({*__all__, *dir(_stats)})
