"""The modules in which functions of Variables are found: by the array API standard, by imports.

Code written for the standard asks its arrays by ``x.__array_namespace__()``, or `array_api_compat`
(of which SciPy has a copy) for all of them, and that refuses arrays of two libraries. Plain arrays
are at home in `fastbp.numpy`, too: beside a Variable they are constants, as everywhere.
"""

import functools
import importlib
import importlib.machinery
import sys

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import Variable
from fastbp.errors import NoRuleError

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
        if variables:
            frame = sys._getframe(1)
            check = _FAULTS.get((frame.f_globals.get("__name__"), frame.f_code.co_name))
            if check is not None:
                check(frame.f_locals, arrays)
        return function(*(variables or arrays), **kwargs)

    array_namespace.of_variables = True
    return array_namespace


def _check_nan_policy(given, samples):
    """Refuse a ``nan_policy=`` that is dropped without a word.

    Of arrays that are not NumPy's SciPy keeps to it in rows of one axis only; the check that should
    refuse others looks for the policy where it has just been taken away.
    """
    options = given["kwds"]
    policy, axis = options.get("nan_policy"), options.get("axis", given["default_axis"])
    if policy not in ("omit", "raise") or axis is None:
        return
    reduced = len(axis) if isinstance(axis, tuple | list) else 1
    if max(map(np.ndim, samples)) <= reduced:
        return
    if any(np.any(np.isnan(graph.passive(x))) for x in samples):
        raise NoRuleError(
            f"scipy.stats: with SCIPY_ARRAY_API=1 SciPy ignores nan_policy={policy!r} for arrays "
            "of more axes than are reduced, and there is NaN among the elements: go through the "
            "rows, or select what counts with numpy.nanmean and numpy.nansum"
        )


def _check_reduce(given, rotations):
    """Refuse one side without the other: SciPy takes ones for it, which are no identity."""
    if (given["left"] is None) != (given["right"] is None):
        raise NoRuleError(
            "scipy.spatial.transform.Rotation.reduce: with SCIPY_ARRAY_API=1 SciPy's result is "
            "wrong where one of left= and right= is missing: give the identity for it, "
            "Rotation.identity(1)"
        )


# Functions of SciPy's for the array API standard that are silently wrong (1.17 and 1.18).
_FAULTS = {
    ("scipy.stats._axis_nan_policy", "axis_nan_policy_wrapper"): _check_nan_policy,
    ("scipy.spatial.transform._rotation_xp", "reduce"): _check_reduce,
}


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
