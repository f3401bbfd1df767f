"""The modules in which functions of Variables are found: by the array API standard, by imports.

Code written for the standard asks its arrays by ``x.__array_namespace__()``, or `array_api_compat`
(of which SciPy has a copy) for all of them, and that refuses arrays of two libraries. Plain arrays
are at home in `fastbp.numpy`, too: beside a Variable they are constants, as everywhere.
"""

import functools
import importlib
import importlib.machinery
import sys

from fastbp._core import graph
from fastbp._core.graph import Variable

__all__ = ["VERSIONS", "adopt", "array_namespace"]

# Versions of the standard whose names `fastbp.numpy` has.
VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12")
_ASKED = (
    "array_api_compat.common._helpers",
    "scipy._lib.array_api_compat.common._helpers",
    "scipy._external.array_api_compat.common._helpers",  # since SciPy 1.18
    "scipy._lib._array_api",
    "scipy._lib._array_api_override",
)
_NAMES = ("array_namespace", "get_namespace", "scipy_array_namespace")


def array_namespace(api_version=None):
    """Return what code written for the array API standard finds the functions of a Variable in."""
    if api_version is not None and api_version not in VERSIONS:
        raise ValueError(
            f"x.__array_namespace__: fastbp.numpy has no version {api_version!r} of the array API "
            f"standard, but {', '.join(VERSIONS)}"
        )
    return importlib.import_module("fastbp.numpy")


def adopt():
    """Tell what finds the common namespace of arrays about Variables beside plain arrays."""
    for home in _ASKED:
        found = getattr(sys.modules.get(home), "array_namespace", None)
        if found is None or hasattr(found, "of_variables"):
            continue
        replaced = _beside_plain(found)
        for module in list(sys.modules.values()):
            known = getattr(module, "__dict__", {})
            for name in _NAMES:
                if known.get(name) is found:
                    setattr(module, name, replaced)


def _beside_plain(function):
    @functools.wraps(function)
    def array_namespace(*arrays, **kwargs):
        variables = [x for x in arrays if type(x) is Variable]
        return function(*(variables or arrays), **kwargs)

    array_namespace.of_variables = True
    return array_namespace


graph.bind("array_namespace", array_namespace)


# ---- import fastbp.scipy.optimize: modules that are NumPy's and SciPy's own


_MIRRORED = {"fastbp.numpy": "numpy", "fastbp.scipy": "scipy"}


class _Finder:
    """Finds ``fastbp.scipy.x``, where that is no module of fastbp, as ``scipy.x``."""

    def find_spec(self, name, path=None, target=None):
        ours = next((ours for ours in _MIRRORED if name.startswith(f"{ours}.")), None)
        if ours is None:
            return None
        if name.rpartition(".")[0] == ours:
            spec = importlib.machinery.PathFinder.find_spec(name, path, target)
            if spec is not None:
                spec.submodule_search_locations = []  # scipy.signal.windows is in it
                return spec
        theirs = _MIRRORED[ours] + name.removeprefix(ours)
        try:
            module = importlib.import_module(theirs)
        except ModuleNotFoundError as error:
            if not f"{theirs}.".startswith(f"{error.name}."):
                raise
            return None
        spec = importlib.machinery.ModuleSpec(name, self, is_package=hasattr(module, "__path__"))
        spec.loader_state = module, module.__spec__
        return spec

    def create_module(self, spec):
        return spec.loader_state[0]

    def exec_module(self, module):
        module.__spec__ = module.__spec__.loader_state[1]  # import has set that of the other name


# In front: below a module of SciPy's the usual finder would load its files a second time.
sys.meta_path.insert(0, _Finder())
