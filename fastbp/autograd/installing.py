"""`install`: fastbp in the place of autograd for a process."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from typing import Any

__all__ = ["install", "uninstall"]

_OURS = __name__.rpartition(".")[0]


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds ``autograd.x`` as ``fastbp.autograd.x``: the same module under two names."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] != "autograd":
            return None
        real = _OURS + name.removeprefix("autograd")
        try:
            module = importlib.import_module(real)
        except ModuleNotFoundError as error:
            if error.name != real:
                raise
            return None
        spec = importlib.machinery.ModuleSpec(name, self, is_package=hasattr(module, "__path__"))
        spec.loader_state = module, module.__spec__
        return spec

    def create_module(self, spec: Any) -> ModuleType:
        module: ModuleType = spec.loader_state[0]
        return module

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state[1]  # import has set that of the other name


_finder = _Finder()


def install() -> None:
    """Let ``import autograd`` find `fastbp.autograd` in this process, and its submodules so.

    Call it before the first import of what uses autograd; whether autograd is installed does not
    matter.

    Raises
    ------
    ImportError
        If autograd itself was imported before: values of the two cannot be mixed.

    Examples
    --------
    >>> install()
    >>> import autograd.numpy as np
    >>> from autograd import grad
    >>> grad.__module__
    'fastbp.autograd.differential_operators'
    >>> uninstall()
    """
    found = sys.modules.get("autograd")
    if found is not None and found is not sys.modules[_OURS]:
        raise ImportError(
            "fastbp.autograd.install: autograd was imported before: call install() first, or run "
            "the program as python -m fastbp.autograd program.py"
        )
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def uninstall() -> None:
    """Undo `install` for the imports that follow."""
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    for name in [name for name in sys.modules if name.partition(".")[0] == "autograd"]:
        del sys.modules[name]
