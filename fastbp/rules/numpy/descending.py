"""Order from the largest: what the array API standard has beyond NumPy's signatures."""

import numpy as np

import fastbp.rules.numpy.order  # noqa: F401  (it has the row)
from fastbp.rules.table import FUNCTIONS

__all__ = ["argsort", "sort"]


def sort(a, axis=-1, kind=None, order=None, *, stable=None, descending=False):
    """Return an array in order; arguments as in `numpy.sort`.

    With `descending`, of the array API standard, from the largest. Equal elements share a cotangent
    equally.
    """
    found = FUNCTIONS["sort"](a, axis, kind, order, stable=stable)
    return np.flip(found, -1 if axis is None else axis) if descending else found


def argsort(a, axis=-1, kind=None, order=None, *, stable=None, descending=False):
    """Return the places of the elements in order; arguments as in `numpy.argsort`.

    With `descending`, of the array API standard, from the largest; equal elements stay in their
    order. No derivative flows.
    """
    if not descending:
        return np.argsort(a, axis, kind, order, stable=stable)
    a, axis = (np.ravel(a), -1) if axis is None else (a, axis)
    found = np.flip(np.argsort(np.flip(a, axis), axis, stable=True), axis)
    return np.shape(a)[axis] - 1 - found


for _function in (sort, argsort):
    _function.__module__ = "fastbp.numpy"
