"""Differentiable counterparts of SciPy's modules: `fastbp.scipy.special`."""

from importlib import import_module as _import_module

__all__ = ["special"]


def __getattr__(name):
    if name in __all__:
        return _import_module(f"fastbp.scipy.{name}")
    raise AttributeError(f"module 'fastbp.scipy' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
