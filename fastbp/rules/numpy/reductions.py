"""Reductions: sums, means, variances, extremes.

`axis` in `static` is a tuple of negative axes. Products and cumulative operations: `cumulative`.
"""

import math

import numpy as np

from fastbp._core import graph
from fastbp._core.compiled import Sums
from fastbp._core.elementwise import total
from fastbp._core.graph import Total, Variable, array_of, passive
from fastbp._core.loops import count_strong_zero
from fastbp.rules import batching, local, patterns, plans
from fastbp.rules.engine import mulx
from fastbp.rules.numpy.structural import (
    ALL,
    add_up,
    as_constant,
    as_operand,
    conjugated,
    from_end,
    in_dtype,
    lead_of,
    spread,
)
from fastbp.rules.table import general, implements, linear, refuse

UNSET = np._NoValue  # NumPy's own default of keepdims=, initial=, where= ...

add_reduce = np.add.reduce


def axes_of(axis, nd):
    """Return the axes of a reduction as a tuple of negative numbers."""
    if axis is None:
        return ALL[nd]
    if type(axis) is int and -nd <= axis < nd:
        return (axis if axis < 0 else axis - nd,)
    return () if nd == 0 and axis in (0, -1) else from_end(axis, nd)


def given(flag):
    """Return a keepdims= argument as a bool."""
    return flag is not UNSET and bool(flag)


def unreduced(g, ans, axis, keepdims):
    """Give `g` back the axes that were reduced away, with length one."""
    if keepdims or not axis or not g.ndim:
        return g
    own = iter(g.shape[g.ndim - ans.ndim :] if ans.ndim else ())
    nd = ans.ndim + len(axis)
    return g.reshape(lead_of(g, ans) + tuple([1 if k in axis else next(own) for k in ALL[nd]]))


def count(shape, axis):
    """Return how many elements one element of a reduction is made of."""
    return math.prod([shape[k] for k in axis])


def selected(a, where, neutral):
    """Honour a where= argument: elements left out become neutral."""
    if where is UNSET or where is True:
        return a
    there = as_constant(where, "where=")
    return np.where(np.broadcast_to(there, a.shape), a, neutral)


# ---- sums


def _sum(x, axis, keepdims):
    if keepdims or len(axis) != x.ndim:
        return add_reduce(x, axis, None, None, keepdims)
    return total(x)


def _unsum(g, ans, x, axis, keepdims):
    if not g.ndim:
        return spread(g, x.shape)
    return spread(unreduced(g, ans, axis, keepdims), lead_of(g, ans) + x.shape)


def _unmean(g, ans, x, axis, keepdims, n):
    if type(g) is np.ndarray and not g.ndim:
        g = g[()]  # NumPy divides a scalar faster than a 0-d array
    return _unsum(g / n, ans, x, axis, keepdims)


sum_op = linear(
    "sum",
    _sum,
    _unsum,
    tangent=add_up,
    compiled=Sums(),
    pattern=patterns.reduces,
    local=local.sums,
    plan=plans.sums,
    direct=("g broadcast",),
)
mean_op = linear(
    "mean",
    lambda x, axis, keepdims, n: _sum(x, axis, keepdims) / n,
    _unmean,
    tangent=lambda t, axis, keepdims, n: add_up(t, axis, keepdims) / n,
    compiled=Sums(),
    pattern=patterns.reduces,
    local=local.averages,
    plan=plans.averages,
    direct=("g / n broadcast",),
)


def sum_samples(rng):
    """Return calls that reach the arguments that the reductions have in common."""
    x = rng.normal(size=(2, 3, 4))
    return [
        ((x,), {}),
        ((x,), {"axis": 1}),
        ((x,), {"axis": (0, -1), "keepdims": True}),
        ((x,), {"axis": ()}),
        ((rng.normal(size=()),), {}),
        ((rng.normal(size=(0, 2)),), {"axis": -1}),
        ((x[0],), {"dtype": np.float64}),
        ((x[0],), {"where": np.array([True, False, True, True])}),
    ]


@implements(
    np.sum,
    method="sum",
    reduce=np.add,
    total=lambda f: Total(f, sum_op),
    samples=lambda rng: [*sum_samples(rng), ((rng.normal(size=3),), {"initial": 2.0})],
)
def sum(a, axis=None, dtype=None, out=None, keepdims=UNSET, initial=UNSET, where=UNSET):
    """Arguments as in `numpy.sum`; out= is refused.

    Notes
    -----
    The cotangent is broadcast to the elements that were added.
    """
    if dtype is not None or out is not None or initial is not UNSET or where is not UNSET:
        refuse("sum", out=(out, None))
        a = selected(in_dtype("sum", a, dtype), where, 0.0)
        if initial is not UNSET and initial is not None:
            return sum(a, axis, keepdims=keepdims) + initial
    return sum_op(a, axis=axes_of(axis, a.ndim), keepdims=given(keepdims))


@implements(
    np.mean,
    method="mean",
    total=lambda f: Total(f, mean_op, True),
    samples=lambda rng: [case for case in sum_samples(rng) if case[0][0].size],
)
def mean(a, axis=None, dtype=None, out=None, keepdims=UNSET, *, where=UNSET):
    """Arguments as in `numpy.mean`; out= is refused."""
    if dtype is not None or out is not None or where is not UNSET:
        refuse("mean", out=(out, None))
        a = in_dtype("mean", a, dtype)
        if where is not UNSET and where is not True:
            there = np.broadcast_to(as_constant(where, "where="), a.shape)
            n = there.sum(axes_of(axis, a.ndim), keepdims=given(keepdims))
            return sum(a, axis, keepdims=keepdims, where=where) / n.astype(a.dtype)
    if axis is None:
        return mean_op(a, axis=ALL[a.ndim], keepdims=given(keepdims), n=a.size)
    axis = axes_of(axis, a.ndim)
    return mean_op(a, axis=axis, keepdims=given(keepdims), n=count(a.shape, axis))


@implements(
    np.average,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)),), {}),
        ((rng.normal(size=(2, 3)), 1, rng.uniform(1, 2, size=3), True), {}),
        ((rng.normal(size=(2, 3)),), {"weights": rng.uniform(1, 2, size=(2, 3)), "keepdims": True}),
        (
            (rng.normal(size=(2, 3, 4)),),
            {"axis": (2, 0), "weights": rng.uniform(1, 2, size=(4, 2))},
        ),
        ((np.arange(6).reshape(2, 3),), {"axis": 0, "weights": rng.uniform(1, 2, size=2)}),
    ],
)
def average(a, axis=None, weights=None, returned=False, *, keepdims=UNSET):
    """Arguments as in `numpy.average`; the weights may be Variables, too."""
    a = as_operand(a, "numpy.average: a")
    if weights is not None:
        weights = as_operand(weights, "numpy.average: weights")
    _, scale = np.average(array_of(a), axis, array_of(weights), True)  # raises where NumPy does
    axis = axes_of(axis, a.ndim)
    if weights is None:
        result, total = mean(a, axis, keepdims=keepdims), scale
    else:
        weights = np.astype(weights, scale.dtype, copy=False)
        if weights.shape != a.shape:
            order = np.argsort(axis)  # the axes of the weights are in the order of `axis`
            shape = [n if k in axis else 1 for k, n in zip(ALL[a.ndim], a.shape, strict=True)]
            weights = np.reshape(np.transpose(weights, order), shape)
        total = np.sum(np.broadcast_to(weights, a.shape), axis, keepdims=given(keepdims))
        result = np.sum(a * weights, axis, keepdims=given(keepdims)) / total
    return (result, np.copy(np.broadcast_to(total, result.shape))) if returned else result


@implements(
    np.nansum,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)),), {"axis": 0, "keepdims": True, "initial": 1.0})
    ],
)
def nansum(a, axis=None, dtype=None, out=None, keepdims=UNSET, initial=UNSET, where=UNSET):
    """Arguments as in `numpy.nansum`; out= is refused. NaNs get no cotangent."""
    return sum(np.where(np.isnan(a), 0.0, a), axis, dtype, out, keepdims, initial, where)


@implements(
    np.nanmean,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)),), {"keepdims": True}),
        ((rng.normal(size=(2, 3)), 1), {"where": np.array([True, False, True])}),
    ],
)
def nanmean(a, axis=None, dtype=None, out=None, keepdims=UNSET, *, where=UNSET):
    """Arguments as in `numpy.nanmean`; out= is refused. NaNs get no cotangent."""
    there = ~np.isnan(a)
    there = there if where is UNSET else there & as_constant(where, "where=")
    return mean(a, axis, dtype, out, keepdims, where=there)


# ---- variances: of complex numbers, means of squares of absolute values


def squares(x):
    """Return the squares of absolute values."""
    return np.real(x) ** 2 + np.imag(x) ** 2 if x.dtype.kind == "c" else x * x


def _deviation(x, axis):
    return x - mean_op(x, axis=axis, keepdims=True, n=count(x.shape, axis))


def _per_degree(x, axis, ddof):
    """One over the degrees of freedom."""
    degrees = count(x.shape, axis) - ddof
    return 1.0 / degrees if degrees > 0 else math.inf


def _var_vjp(g, ans, x, axis, keepdims, ddof):
    g = unreduced(g, ans, axis, keepdims) * (2.0 * _per_degree(x, axis, ddof))
    return g * conjugated(_deviation(x, axis))


def _var_jvp(t, ans, x, axis, keepdims, ddof):
    t = add_up(t * conjugated(_deviation(x, axis)), axis, keepdims)
    return t * (2.0 * _per_degree(x, axis, ddof))


# ---- lengths: what norms and standard deviations have in common

# Far from these bounds no square leaves the range.
SAFE = {np.dtype("f8"): (1e-140, 1e150), np.dtype("f4"): (1e-16, 1e18)}


def scale_of(top):
    """Return what to divide numbers by of which `top` is the largest; its inverse is finite."""
    return np.where(top < np.inf, np.maximum(top, 1e3 * np.finfo(top.dtype).tiny), 1.0)


def unit(x, length, axis, per=1.0):
    """Return numbers y and their length, of which ``y / length`` is the unit vector of `x`.

    `length`, with its axes kept, is the root of the sum of squares times `per`. As long as no
    square leaves the range y is `x` itself, elsewhere a multiple of it. A vector 0 stays that.
    """
    low, high = SAFE[length.dtype]
    known = passive(length)
    if graph.is_passive(known):
        inside = False  # no branch by values in a record that keeps everything
    elif known.size == 1:
        inside = low < known.item() < high
    else:
        inside = ((known > low) & (known < high)).all()
    if inside:
        return x, length
    top = np.max(np.abs(passive(x)), axis=axis, keepdims=True, initial=0.0)
    x = x / scale_of(top)
    length = np.sqrt(np.sum(squares(x), axis=axis, keepdims=True) * per)
    return x, np.where(passive(length) == 0.0, 1.0, length)


def _nowhere(t, ans, x, axis, zero):
    t = passive(t)
    count_strong_zero()  # the signs of zeros are asked for
    moved = (t != 0.0) | ~np.signbit(t.real)
    if t.dtype.kind == "c":
        moved |= ~np.signbit(t.imag)
    moved = np.any(moved, axis=axis, keepdims=True)
    return np.broadcast_to(np.where(zero & moved, np.nan, 0.0), t.shape)


# 0, whose derivative is NaN for the vectors marked by `zero`.
_undefined = general(
    "undefined",
    lambda x, axis, zero: np.zeros_like(x),
    nin=1,
    saves=(),
    vjp=(_nowhere,),
    jvp=(_nowhere,),
    pattern=patterns.mixes,
    samples=lambda rng: [((rng.normal(size=(2, 3)),), {"axis": (-1,), "zero": np.False_})],
    batch=batching.aligns,
)


def smooth_but_at_zero(result, t, x, axis):
    """Return the derivative `result` of the length of `x`, times a (co)tangent `t` with its axes.

    At a vector 0 it is 0 by convention, and has no derivative itself.
    """
    if type(x) is not Variable:
        return result
    zero = np.max(np.abs(passive(x)), axis=axis, keepdims=True, initial=0.0) == 0.0
    if not zero.any():
        return result
    count_strong_zero()
    return result + mulx(t, _undefined(x, axis=axis, zero=zero))


def _centred(x, ans, axis):
    """Return deviations from the mean that are exactly 0 where all numbers are equal."""
    value = passive(x)
    first = value[tuple([slice(0, 1) if k in axis else slice(None) for k in ALL[value.ndim]])]
    if (passive(ans) < 1e-6 * np.abs(first)).any():
        x = x - first
    return _deviation(x, axis)


def _smooth_but_if_equal(result, t, x, axis):
    # The deviation of a single number is 0 wherever it stands: nothing is undefined.
    return result if count(x.shape, axis) == 1 else smooth_but_at_zero(result, t, x, axis)


def _std_vjp(g, ans, x, axis, keepdims, ddof):
    g, ans = unreduced(g, ans, axis, keepdims), unreduced(ans, ans, axis, keepdims)
    x, per = _centred(x, ans, axis), _per_degree(x, axis, ddof)
    y, length = unit(x, ans, axis, per)
    return _smooth_but_if_equal(conjugated(y) * (g * per / length), g, x, axis)


def _std_jvp(t, ans, x, axis, keepdims, ddof):
    ans = unreduced(ans, ans, axis, keepdims)
    x, per = _centred(x, ans, axis), _per_degree(x, axis, ddof)
    y, length = unit(x, ans, axis, per)
    return add_up(
        _smooth_but_if_equal(t * (conjugated(y) * (per / length)), t, x, axis), axis, keepdims
    )


var_op = general(
    "var",
    lambda x, axis, keepdims, ddof: x.var(axis=axis, ddof=ddof, keepdims=keepdims),
    nin=1,
    saves=(0,),
    vjp=(_var_vjp,),
    jvp=(_var_jvp,),
    pattern=patterns.reduces,
    batch=batching.aligns,
)
std_op = general(
    "std",
    lambda x, axis, keepdims, ddof: x.std(axis=axis, ddof=ddof, keepdims=keepdims),
    nin=1,
    saves=(0, "ans"),
    vjp=(_std_vjp,),
    jvp=(_std_jvp,),
    squared=lambda x, **static: var_op(x, **static),
    pattern=patterns.reduces,
    batch=batching.aligns,
)


ROOT_OF_ZERO = "0 where the argument of the root is 0; second derivatives are NaN"


def _var_samples(rng):
    x = rng.normal(size=(2, 3, 4))
    return [
        ((x,), {}),
        ((x,), {"axis": -1}),
        ((x,), {"axis": (0, 1), "keepdims": True, "ddof": 1}),
        ((x[0],), {"axis": 0, "correction": 0.5}),
        ((x[0],), {"dtype": np.float64, "mean": UNSET}),
        ((x[0],), {"axis": 1, "where": np.array([[True], [False], [True]]) | (x[0] > 0.0)}),
        ((x,), {"axis": (0, 2), "mean": rng.normal(size=(1, 3, 1)), "ddof": 1}),
    ]


def spread_where(name, a, axis, ddof, keepdims, where, mean, is_root, real):
    """Return the variance, or its root, of some elements or about a mean that is given."""
    there = np.broadcast_to(True if where is UNSET else as_constant(where, "where="), a.shape)
    axes = axes_of(axis, a.ndim)
    if mean is UNSET:
        n = np.add.reduce(there, axes, keepdims=True).astype(a.real.dtype)
        mean = sum(np.where(there, a, 0.0), axes, keepdims=True) / n
    else:
        mean = as_operand(mean, f"numpy.{name}: mean=", real=a.dtype.kind != "c")
    x = np.where(there, a - mean, 0.0)
    degrees = np.maximum(np.add.reduce(there, axes, keepdims=given(keepdims)) - ddof, 0)
    degrees = degrees.astype(a.real.dtype)
    if not is_root:
        found = sum(squares(x), axes, keepdims=keepdims) / degrees
    else:
        kept = [k for k in ALL[a.ndim] if k not in axes]
        rows = np.transpose(x, (*kept, *axes))
        rows = np.reshape(rows, (*rows.shape[: len(kept)], count(a.shape, axes)))
        found = np.linalg.norm(rows, axis=-1)  # its slope at 0 is 0
        found = np.reshape(found, degrees.shape) / np.sqrt(degrees)
    return found if real else np.astype(found, a.dtype)


def _spread(function, op, a, axis, dtype, out, ddof, keepdims, where, mean, correction):
    refuse(function, out=(out, None))
    if correction is not UNSET:
        if ddof != 0:
            raise ValueError("ddof and correction can't be provided simultaneously.")
        ddof = correction
    a = in_dtype(function, a, dtype)
    if where is not UNSET or mean is not UNSET:
        root = op is std_op
        return spread_where(
            function, a, axis, ddof, keepdims, where, mean, root, real=dtype is None
        )
    y = op(a, axis=axes_of(axis, a.ndim), keepdims=given(keepdims), ddof=ddof)
    return in_dtype(function, y, dtype)  # of complex numbers y is real


@implements(np.var, method="var", samples=_var_samples)
def var(
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
    """Arguments as in `numpy.var`; out= is refused."""
    return _spread("var", var_op, a, axis, dtype, out, ddof, keepdims, where, mean, correction)


@implements(np.std, method="std", samples=_var_samples, kinks=ROOT_OF_ZERO)
def std(
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
    """Arguments as in `numpy.std`; out= is refused.

    Notes
    -----
    Where the standard deviation is zero, so is its gradient; higher derivatives are NaN there, but
    for that of one number, which is 0 everywhere.
    """
    return _spread("std", std_op, a, axis, dtype, out, ddof, keepdims, where, mean, correction)


# ---- extremes


def _shares(x, ans, axis, keepdims):
    """Return each element's part of a cotangent: extremes share equally, the others get nothing.

    It is a mask where no two are equal.
    """
    x, ans = passive(x), passive(ans)
    extreme = x == unreduced(ans, ans, axis, keepdims)
    if not graph.is_passive(extreme) and np.count_nonzero(extreme) == ans.size:
        if ans.size == 1 or extreme.any(axis).all():
            return extreme
    extreme |= np.isnan(x)  # where there are NaNs, they are what is returned
    return np.where(extreme, 1.0 / np.add.reduce(extreme, axis, x.dtype, None, True), 0.0)


def _shared(t, shares):
    if shares.dtype == bool:
        return np.where(shares, t, 0.0)
    # Not a product alone: an infinite tangent of an element that was not taken is no NaN.
    return np.where(shares != 0.0, t * shares, 0.0)


def _extreme_vjp(g, ans, x, axis, keepdims):
    return _shared(unreduced(g, ans, axis, keepdims), _shares(x, ans, axis, keepdims))


def _extreme_jvp(t, ans, x, axis, keepdims):
    return add_up(_shared(t, _shares(x, ans, axis, keepdims)), axis, keepdims)


max_op = general(
    "max",
    lambda x, axis, keepdims: np.maximum.reduce(x, axis, keepdims=keepdims),
    nin=1,
    saves=(0, "ans"),
    vjp=(_extreme_vjp,),
    jvp=(_extreme_jvp,),
    coefficients="fixed",
    pattern=patterns.reduces,
    plan=plans.takes_largest,
    batch=batching.aligns,
)
min_op = general(
    "min",
    lambda x, axis, keepdims: np.minimum.reduce(x, axis, keepdims=keepdims),
    nin=1,
    saves=(0, "ans"),
    vjp=(_extreme_vjp,),
    jvp=(_extreme_jvp,),
    coefficients="fixed",
    pattern=patterns.reduces,
    plan=plans.takes_smallest,
    batch=batching.aligns,
)


def _extreme_of(ufunc, op, neutral, a, axis, keepdims, initial, where):
    """Return the extreme of some elements, and of a number that is one in any case."""
    if initial is UNSET or initial is None:
        if where is not UNSET and where is not True:
            ufunc.reduce(np.zeros(1), where=np.False_)  # raises: there may be none
        return op(a, axis=axes_of(axis, a.ndim), keepdims=given(keepdims))
    a = selected(a, where, neutral)
    axis = axes_of(axis, a.ndim)
    if not count(a.shape, axis):
        shape = [1 if k in axis else n for k, n in zip(ALL[a.ndim], a.shape, strict=True)]
        a = np.broadcast_to(np.asarray(initial, a.dtype), shape)
    return ufunc(op(a, axis=axis, keepdims=given(keepdims)), initial)


EXTREMES = "equal extremes share equally"


def _extreme_samples(rng):
    x = rng.permutation(24).reshape(2, 3, 4) / 10.0
    return [
        ((x,), {}),
        ((x,), {"axis": -1}),
        ((x,), {"axis": (0, 2), "keepdims": True}),
        ((x,), {"axis": 1, "initial": 1.15, "where": x[:, :1] > 0.4}),
        ((rng.normal(size=()),), {}),
    ]


@implements(
    np.max, np.amax, method="max", reduce=np.maximum, samples=_extreme_samples, kinks=EXTREMES
)
def max(a, axis=None, out=None, keepdims=UNSET, initial=UNSET, where=UNSET):
    """Arguments as in `numpy.max`; out= is refused.

    Notes
    -----
    The cotangent goes to the largest element; equal ones share it equally.
    """
    if out is not None:
        refuse("max", out=(out, None))
    if initial is not UNSET or where is not UNSET:
        return _extreme_of(np.maximum, max_op, -math.inf, a, axis, keepdims, initial, where)
    return max_op(a, axis=axes_of(axis, a.ndim), keepdims=given(keepdims))


@implements(
    np.min, np.amin, method="min", reduce=np.minimum, samples=_extreme_samples, kinks=EXTREMES
)
def min(a, axis=None, out=None, keepdims=UNSET, initial=UNSET, where=UNSET):
    """Arguments as in `numpy.min`; out= is refused.

    Notes
    -----
    The cotangent goes to the smallest element; equal ones share it equally.
    """
    if out is not None:
        refuse("min", out=(out, None))
    if initial is not UNSET or where is not UNSET:
        return _extreme_of(np.minimum, min_op, math.inf, a, axis, keepdims, initial, where)
    return min_op(a, axis=axes_of(axis, a.ndim), keepdims=given(keepdims))


@implements(np.ptp, samples=lambda rng: _extreme_samples(rng)[:3], kinks=EXTREMES)
def ptp(a, axis=None, out=None, keepdims=UNSET):
    """Arguments as in `numpy.ptp`; out= is refused. Equal extremes share equally."""
    return max(a, axis, out, keepdims) - min(a, axis, out, keepdims)
