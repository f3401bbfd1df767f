"""`scipy.special` without what SciPy puts around its functions if ``SCIPY_ARRAY_API`` is set.

Those choose by the kind of array, and come back to `fastbp.scipy.special` for a Variable.
"""

from scipy import special

from fastbp.rules.table import attribute

__all__ = list(special.__all__)


def _unwrapped(f):
    home = getattr(f, "__globals__", {}).get("__name__", "")
    return getattr(f, "__wrapped__", f) if home.endswith("_support_alternative_backends") else f


globals().update({name: _unwrapped(f) for name, f in vars(special).items() if name[0] != "_"})


def __getattr__(name):
    return attribute(special, name, __name__)
