"""Medians and quantiles: elements that an order chooses, and straight lines between them.

Which elements, and how far between them, NumPy's function itself says, of the ranks: so methods,
weights and NaNs are as NumPy has them. The rest is a sort, and a choice from it.
"""

import math

import numpy as np

from fastbp._core.graph import Variable, is_passive, passive
from fastbp.rules import batching
from fastbp.rules.numpy.indexing import gather_op, places_of_all
from fastbp.rules.numpy.order import EQUALS, in_order
from fastbp.rules.numpy.reductions import UNSET, axes_of, count, given
from fastbp.rules.numpy.structural import ALL, as_constant, as_operand, constant_call
from fastbp.rules.table import implements, refuse

# How the position in a row of n elements grows with q: n and these; by other methods it jumps.
_SLOPES = {
    "linear": -1.0,
    "hazen": 0.0,
    "interpolated_inverted_cdf": 0.0,
    "median_unbiased": 1.0 / 3.0,
    "normal_unbiased": 0.25,
    "weibull": 1.0,
}
# Methods by which q = 0 is just the first element, and q = 1 the last one.
_REACHED = ("linear",), ("linear", "interpolated_inverted_cdf")


def _rows(a, axes):
    """Return an array with the axes that are reduced merged into a last one."""
    kept = tuple([k for k in ALL[a.ndim] if k not in axes])
    moved = np.transpose(a, (*kept, *axes))
    return np.reshape(moved, (*moved.shape[: len(kept)], count(a.shape, axes)))


def _ranks(value, places, axes):
    """Return where an array's elements are in sorted rows; NaNs are nowhere."""
    rows = _rows(np.arange(value.size).reshape(value.shape), axes)
    n = rows.shape[-1]
    ranks = np.empty(value.size)
    ranks[rows.reshape(-1)[places]] = np.tile(np.arange(float(n)), value.size // max(n, 1))
    ranks = ranks.reshape(value.shape)
    ranks[np.isnan(value)] = np.nan
    return ranks


@batching.of_call(_ranks)
def _ranks_of_members(n, value, places, axes):
    places = places_of_all(places.array, n, places.shape[0])
    return _ranks(value.array, places.reshape(-1), axes)


def _chosen(a, axis, choose, last=None):
    """Return the elements below and above the positions that ``choose(ranks)`` returns, and these.

    Rows in which it returns NaN have one, or nothing else: it is the last element. Positions that
    move have an element above them, up to the number `last` of a row. Returned as fourth is the
    number of the element below.
    """
    axes = tuple(sorted(axes_of(axis, a.ndim)))
    rows = _rows(a, axes)
    n = rows.shape[-1]
    s, places = in_order(rows)
    at = as_constant(choose(constant_call(_ranks, passive(a), places, axes)), "ranks")
    at = np.where(np.isnan(at), n - 1.0, at)
    low = np.floor(at)
    if last is not None:
        low = np.where(at <= last, np.maximum(np.minimum(low, last - 1.0), 0.0), low)
    up = (at if last is None else np.maximum(at, last)) > low
    low = low.astype(np.intp)
    starts = n * np.arange(math.prod(rows.shape[:-1]))
    places = np.reshape(np.reshape(low, (-1, starts.size)) + starts, -1)
    s = np.reshape(s, (-1,))
    below = np.reshape(gather_op(s, places=places, behind=0), at.shape)
    if not is_passive(up) and not up.any():
        return below, None, at, low
    places = places + np.reshape(up, -1)
    return below, np.reshape(gather_op(s, places=places, behind=0), at.shape), at, low


# ---- medians


def _median_samples(rng):
    x = rng.permutation(24).reshape(2, 3, 4) / 10.0
    return [
        ((x,), {}),
        ((x, 1), {"keepdims": True}),
        ((x, (0, -1)), {"overwrite_input": True}),
        ((rng.normal(size=()),), {}),
        ((rng.normal(size=5),), {}),
    ]


def _median(function, a, axis, out, keepdims):
    refuse(function.__name__, out=(out, None))
    if not a.size:
        return np.mean(a, axis, keepdims=given(keepdims))  # NaN, and a warning
    below, above, _, _ = _chosen(a, axis, lambda r: function(r, axis, keepdims=given(keepdims)))
    return below if above is None else (below + above) / 2.0


@implements(np.median, no_axes="number", kinks=EQUALS, samples=_median_samples)
def median(a, axis=None, out=None, overwrite_input=False, keepdims=False):
    """Arguments as in `numpy.median`; out= is refused.

    Notes
    -----
    The cotangent goes to the element in the middle, half of it each to two of them.
    """
    return _median(np.median, a, axis, out, keepdims)


@implements(np.nanmedian, no_axes="number", kinks=EQUALS, samples=_median_samples)
def nanmedian(a, axis=None, out=None, overwrite_input=False, keepdims=UNSET):
    """Arguments as in `numpy.nanmedian`; out= is refused. NaNs get no cotangent."""
    return _median(np.nanmedian, a, axis, out, keepdims)


# ---- quantiles


def _quantile(function, scale, a, q, axis, out, method, keepdims, weights):
    name = f"numpy.{function.__name__}"
    refuse(function.__name__, out=(out, None))
    a = as_operand(a, f"{name}: a", real=True)
    if not isinstance(q, (int, float)):  # these do not promote
        q = as_operand(q, f"{name}: q", real=True)
    plain = passive(q)
    if weights is not None:
        weights = as_constant(weights, f"{name}: weights=")
    options = {"method": method, "keepdims": given(keepdims), "weights": weights}
    if not a.size or 0 in np.shape(plain):
        return function(passive(a), plain, axis, **options)
    dtype = np.result_type(function(np.ones(1, a.dtype), plain, method=method))

    def choose(ranks):
        found = function(ranks, np.reshape(plain, -1), axis, **options)
        return np.reshape(found, np.shape(plain) + np.shape(found)[1:])

    last = None
    if type(q) is Variable and method in _SLOPES:
        last = np.sum(~np.isnan(passive(a)), axis, keepdims=given(keepdims)) - 1.0
    below, above, at, low = _chosen(a, axis, choose, last)
    if above is None:
        return below if below.dtype == dtype else np.astype(below, dtype)
    part = (at - low).astype(dtype)
    if last is not None:
        # Positions outside of a row are moved to its ends, where the quantile is flat then.
        first, end = (method in there for there in _REACHED)
        inside = (at > 0.0 if not first else True) & ((at <= last) if end else (at < last))
        slope = np.where(inside, (last + 1.0 + _SLOPES[method]) / scale, 0.0)
        moved = q - plain
        moved = np.reshape(moved, (*moved.shape, *(1,) * (at.ndim - moved.ndim)))
        part = part + np.astype(slope * moved, dtype)
    step = above - below
    upper = passive(part) >= 0.5  # both as NumPy rounds them
    return np.where(upper, above - step * (1.0 - part), below + step * part)


def _quantile_samples(scale, weights=(1.0, 2.0, 3.0), axis=(0, -1)):
    def samples(rng):
        x = rng.permutation(24).reshape(2, 3, 4) / 10.0
        as_q = np.array if scale > 1.0 else list  # tests move arrays, at most by one
        q = as_q([[0.25 * scale, 0.84 * scale], [0.55 * scale, 0.45 * scale]])
        calls = [
            ((x, 0.3 * scale), {}),
            ((x, [0.0, 0.4 * scale, scale]), {"axis": 1}),
            ((x, q), {"axis": axis, "keepdims": True}),
            ((x, as_q([0.37 * scale])), {"axis": -1}),
            ((x, 0.3 * scale), {"axis": 1, "method": "inverted_cdf", "weights": [*weights]}),
        ]
        methods = [*_SLOPES, "lower", "midpoint", "nearest", "averaged_inverted_cdf"]
        calls += [((x[0], 0.43 * scale), {"method": method}) for method in methods]
        return calls

    return samples


@implements(np.quantile, no_axes="number", kinks=EQUALS, samples=_quantile_samples(1.0))
def quantile(
    a,
    q,
    axis=None,
    out=None,
    overwrite_input=False,
    method="linear",
    keepdims=False,
    *,
    weights=None,
):
    """Arguments as in `numpy.quantile`; out= is refused, weights are constants.

    Notes
    -----
    The cotangent goes to the elements that the quantile is between. By `q`, the slope is that of
    the line between them, at an element of the line to the next one; 0 of methods that jump.
    """
    return _quantile(np.quantile, 1.0, a, q, axis, out, method, keepdims, weights)


@implements(np.percentile, no_axes="number", kinks=EQUALS, samples=_quantile_samples(100.0))
def percentile(
    a,
    q,
    axis=None,
    out=None,
    overwrite_input=False,
    method="linear",
    keepdims=False,
    *,
    weights=None,
):
    """Arguments as in `numpy.percentile`; see `quantile`."""
    return _quantile(np.percentile, 100.0, a, q, axis, out, method, keepdims, weights)


# NumPy's own functions mix up the axes of the result for `q` of several axes, and need weights of
# the array's shape.
_NAN = np.arange(24).reshape(2, 3, 4).tolist(), None


@implements(np.nanquantile, no_axes="number", kinks=EQUALS, samples=_quantile_samples(1.0, *_NAN))
def nanquantile(
    a,
    q,
    axis=None,
    out=None,
    overwrite_input=False,
    method="linear",
    keepdims=UNSET,
    *,
    weights=None,
):
    """Arguments as in `numpy.nanquantile`; see `quantile`. NaNs get no cotangent."""
    return _quantile(np.nanquantile, 1.0, a, q, axis, out, method, keepdims, weights)


@implements(
    np.nanpercentile, no_axes="number", kinks=EQUALS, samples=_quantile_samples(100.0, *_NAN)
)
def nanpercentile(
    a,
    q,
    axis=None,
    out=None,
    overwrite_input=False,
    method="linear",
    keepdims=UNSET,
    *,
    weights=None,
):
    """Arguments as in `numpy.nanpercentile`; see `quantile`. NaNs get no cotangent."""
    return _quantile(np.nanpercentile, 100.0, a, q, axis, out, method, keepdims, weights)
