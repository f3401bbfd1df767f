"""Reductions that leave NaNs out, which get no cotangent.

Sums and means of that kind are in `reductions`, medians and quantiles in `quantiles`.
"""

import numpy as np

from fastbp.rules.numpy.cumulative import cumprod, prod
from fastbp.rules.numpy.reductions import (
    EXTREMES,
    ROOT_OF_ZERO,
    UNSET,
    given,
    max,
    min,
    spread_where,
)
from fastbp.rules.numpy.structural import as_constant, in_dtype
from fastbp.rules.table import implements, refuse


def _samples(rng):
    x = rng.permutation(24).reshape(2, 3, 4) / 10.0
    return [
        ((x,), {}),
        ((x, 1), {"keepdims": True}),
        ((x, (0, -1)), {}),
        ((x[0],), {"axis": 1, "where": np.array([[True, False, True, True]]), "initial": 1.1}),
    ]


def _extreme(function, extreme, neutral, a, axis, out, keepdims, initial, where):
    refuse(function.__name__, out=(out, None))
    missing = np.isnan(a)
    found = extreme(np.where(missing, neutral, a), axis, None, keepdims, initial, where)
    if where is not UNSET:
        missing = missing | ~np.broadcast_to(as_constant(where, "where="), a.shape)
    empty = np.all(missing, axis, keepdims=given(keepdims))
    if initial is not UNSET or not np.any(empty):
        return found
    function(np.full(1, np.nan))  # warns
    return np.where(empty, np.nan, found)


@implements(np.nanmax, samples=_samples, kinks=EXTREMES)
def nanmax(a, axis=None, out=None, keepdims=UNSET, initial=UNSET, where=UNSET):
    """Arguments as in `numpy.nanmax`; out= is refused. Equal extremes share equally."""
    return _extreme(np.nanmax, max, -np.inf, a, axis, out, keepdims, initial, where)


@implements(np.nanmin, samples=_samples, kinks=EXTREMES)
def nanmin(a, axis=None, out=None, keepdims=UNSET, initial=UNSET, where=UNSET):
    """Arguments as in `numpy.nanmin`; out= is refused. Equal extremes share equally."""
    return _extreme(np.nanmin, min, np.inf, a, axis, out, keepdims, initial, where)


# ---- variances


def _var_samples(rng):
    x = rng.normal(size=(2, 3, 4))
    return [
        ((x,), {}),
        ((x, 1), {"keepdims": True, "ddof": 1}),
        ((x, (0, -1)), {}),
        ((x[0],), {"axis": 1, "where": np.array([[True, False, True, True]])}),
        ((x[0],), {"axis": 0, "correction": 1}),
    ]


def _spread(function, a, axis, dtype, out, ddof, keepdims, where, mean, correction):
    refuse(function.__name__, out=(out, None))
    if correction is not UNSET:
        if ddof != 0:
            raise ValueError("ddof and correction can't be provided simultaneously.")
        ddof = correction
    there = ~np.isnan(a)
    if where is not UNSET:
        there = there & as_constant(where, "where=")
    a = in_dtype(function.__name__, a, dtype)
    count = np.sum(there, axis, keepdims=given(keepdims))
    root, name = function is np.nanstd, function.__name__
    found = spread_where(name, a, axis, ddof, keepdims, there, mean, root, dtype is None)
    if not np.any(count <= ddof):
        return found
    function(np.full(1, np.nan))  # warns
    return np.where(count <= ddof, np.nan, found)


@implements(np.nanvar, no_axes="number", samples=_var_samples)
def nanvar(
    a,
    axis=None,
    dtype=None,
    out=None,
    ddof=0,
    keepdims=UNSET,
    *,
    where=UNSET,
    mean=UNSET,
    correction=UNSET,
):
    """Arguments as in `numpy.nanvar`; out= is refused."""
    return _spread(np.nanvar, a, axis, dtype, out, ddof, keepdims, where, mean, correction)


@implements(np.nanstd, no_axes="number", samples=_var_samples, kinks=ROOT_OF_ZERO)
def nanstd(
    a,
    axis=None,
    dtype=None,
    out=None,
    ddof=0,
    keepdims=UNSET,
    *,
    where=UNSET,
    mean=UNSET,
    correction=UNSET,
):
    """Arguments as in `numpy.nanstd`; out= is refused."""
    return _spread(np.nanstd, a, axis, dtype, out, ddof, keepdims, where, mean, correction)


# ---- products


def _without(a):
    return np.where(np.isnan(a), 1.0, a)


@implements(np.nanprod, samples=_samples)
def nanprod(a, axis=None, dtype=None, out=None, keepdims=UNSET, initial=UNSET, where=UNSET):
    """Arguments as in `numpy.nanprod`; out= is refused."""
    return prod(_without(a), axis, dtype, out, keepdims, initial, where)


@implements(np.nancumprod, samples=lambda rng: [((rng.normal(size=(2, 3)),), {"axis": 1})])
def nancumprod(a, axis=None, dtype=None, out=None):
    """Arguments as in `numpy.nancumprod`; out= is refused."""
    return cumprod(_without(a), axis, dtype, out)
