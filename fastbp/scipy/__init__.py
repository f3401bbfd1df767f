"""SciPy, differentiable: its modules that have rules; every other name is SciPy's own."""

from importlib import import_module as _import_module

from fastbp.rules.table import attribute as _attribute

__all__ = ["fft", "integrate", "interpolate", "linalg", "ndimage", "signal", "special", "stats"]


def __getattr__(name):
    if name in __all__:
        return _import_module(f"fastbp.scipy.{name}")
    import scipy

    return _attribute(scipy, name, __name__)


def __dir__():
    return sorted(__all__)
