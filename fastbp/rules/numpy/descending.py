"""Order from the largest, as in the array API standard and NumPy 2.5, for all versions."""

import numpy as np

import fastbp.rules.numpy.order  # noqa: F401  (it has the row)
from fastbp._core.graph import has_variable
from fastbp.rules.table import FUNCTIONS

__all__ = ["argsort", "sort"]


def sort(a, axis=-1, kind=None, order=None, *, stable=None, descending=False):
    """Return an array in order; arguments as in `numpy.sort`.

    With `descending`, of the array API standard and NumPy 2.5, from the largest; NaNs stay last.
    Equal elements share a cotangent equally.
    """
    own = FUNCTIONS["sort"]
    if not descending:
        return own(a, axis, kind, order, stable=stable)
    if has_variable(a):
        return own(a, axis, kind, order, stable=stable, descending=True)
    a, axis = _along(a, axis)
    if _is_float(a):
        return -np.sort(-a, axis, kind, order, stable=stable)
    return np.flip(np.sort(a, axis, kind, order, stable=stable), axis)


def argsort(a, axis=-1, kind=None, order=None, *, stable=None, descending=False):
    """Return the places of the elements in order; arguments as in `numpy.argsort`.

    With `descending`, of the array API standard and NumPy 2.5, from the largest; equal elements
    stay in their order, NaNs last. No derivative flows.
    """
    if not descending:
        return np.argsort(a, axis, kind, order, stable=stable)
    a, axis = _along(a, axis)
    if _is_float(a):
        return np.argsort(-a, axis, stable=True)
    found = np.flip(np.argsort(np.flip(a, axis), axis, stable=True), axis)
    return a.shape[axis] - 1 - found


def _along(a, axis):
    a = FUNCTIONS["array"](a) if has_variable(a) else np.asanyarray(a)
    return (np.ravel(a), -1) if axis is None else (a, axis)


def _is_float(a):
    return a.dtype.kind in "fc"


for _function in (sort, argsort):
    _function.__module__ = "fastbp.numpy"
