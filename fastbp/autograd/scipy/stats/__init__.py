"""`scipy.stats`, for programs that were written for ``autograd.scipy.stats``.

Distributions are modules there: ``import autograd.scipy.stats.norm as norm``.
"""

import sys as _sys
from types import ModuleType as _ModuleType

import scipy.stats as _plain

from fastbp.autograd.mirrors import fill as _fill
from fastbp.autograd.mirrors import ours as _ours
from fastbp.rules.table import attribute as _attribute

_fill(globals(), _plain, "scipy.stats")


def _distribution(name):
    module = _ModuleType(f"{__name__}.{name}", f"`scipy.stats.{name}`: its functions.")
    mirrored = _ours(f"scipy.stats.{name}")
    source = getattr(_plain, name) if mirrored is None else mirrored
    vars(module).update(
        __getattr__=lambda key: _attribute(source, key, module.__name__),
        __dir__=lambda: dir(source),
    )
    return module


for _name in ("beta", "chi2", "dirichlet", "gamma", "multivariate_normal", "norm", "poisson", "t"):
    globals()[_name] = _sys.modules[f"{__name__}.{_name}"] = _distribution(_name)
