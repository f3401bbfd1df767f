"""Trends taken off: a projection, hence its own transpose."""

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from scipy import signal

from fastbp.rules import patterns
from fastbp.rules.counterparts import stands_for
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.table import linear

__all__ = ["detrended"]


# The last axis, piece by piece: SciPy's own least squares.
lines_off_op = linear(
    "signal.lines_off",
    lambda x, bp: signal.detrend(x, -1, "linear", bp),
    lambda g, ans, x, bp: lines_off_op(g, bp=bp),
    pattern=patterns.mixes_last,
    direct=("g without its trend",),
)


def detrended(x, type, bp=0):
    """Take the trend off the last axis, piece by piece between breakpoints."""
    if type not in ("linear", "l", "constant", "c"):
        raise ValueError("Trend type must be 'linear' or 'constant'.")
    if type in ("constant", "c"):
        return x - np.mean(x, -1, keepdims=True)
    return lines_off_op(x, bp=bp)


@stands_for(
    "scipy.signal.detrend",
    samples=lambda rng: [
        ((rng.normal(size=5),), {}),
        ((rng.normal(size=(2, 3)),), {"type": "constant", "axis": 0}),
        ((rng.normal(size=(9, 2)),), {"axis": 0, "bp": [5], "overwrite_data": True}),
    ],
)
def detrend(data, axis, type, bp, overwrite_data):
    """Arguments as in `scipy.signal.detrend`; what is given is never overwritten."""
    data = as_operand(data, "scipy.signal.detrend: data")
    if type in ("constant", "c"):
        return data - np.mean(data, axis, keepdims=True)
    axis = normalize_axis_index(axis, data.ndim)
    return np.moveaxis(detrended(np.moveaxis(data, axis, -1), type, bp), -1, axis)
