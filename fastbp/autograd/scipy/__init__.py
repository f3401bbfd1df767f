"""SciPy for programs that were written for ``autograd.scipy``; submodules load when asked for."""

from importlib import import_module as _import_module
from typing import Any as _Any

__all__ = ["integrate", "linalg", "signal", "special", "stats"]


def __getattr__(name: str) -> _Any:
    if name in __all__:
        return _import_module(f"fastbp.autograd.scipy.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
