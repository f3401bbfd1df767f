"""`scipy.stats`, for programs that were written for ``autograd.scipy.stats``.

Distributions are modules there: ``import autograd.scipy.stats.norm as norm``.
"""

import sys as _sys
from types import ModuleType as _ModuleType

import scipy.stats as _plain

from fastbp.autograd.mirrors import fill as _fill
from fastbp.autograd.mirrors import ours as _ours

_fill(globals(), _plain, "scipy.stats")


def _distribution(name):
    module = _ModuleType(f"{__name__}.{name}", f"`scipy.stats.{name}`: its functions.")
    plain = getattr(_plain, name)
    source = _ours(f"scipy.stats.{name}")

    def found(key):
        return getattr(source, key) if hasattr(source, key) else getattr(plain, key)

    vars(module).update(__getattr__=found, __dir__=lambda: dir(plain))
    return module


for _name in ("beta", "chi2", "dirichlet", "gamma", "multivariate_normal", "norm", "poisson", "t"):
    globals()[_name] = _sys.modules[f"{__name__}.{_name}"] = _distribution(_name)
