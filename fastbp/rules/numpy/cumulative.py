"""Products and cumulative operations along an axis."""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastbp._core.graph import Variable, array_of, is_passive, passive
from fastbp._core.recurrence import recur
from fastbp.rules import batching, patterns
from fastbp.rules.engine import mulz
from fastbp.rules.numpy.indexing import SINGLE, in_front
from fastbp.rules.numpy.indices import FULL
from fastbp.rules.numpy.parts import from_parts
from fastbp.rules.numpy.reductions import (
    UNSET,
    axes_of,
    count,
    given,
    selected,
    sum_samples,
)
from fastbp.rules.numpy.structural import ALL, as_operand, float_dtype, in_dtype, reshaped
from fastbp.rules.table import general, implements, linear, refuse

# ---- cumulative sums


def _running_sum(g, axis):
    """Return the running sums of (co)tangents: single precision in double, and rounded once."""
    if type(g) is np.ndarray and g.dtype in SINGLE:
        return np.cumsum(g, axis, np.result_type(g, np.float64)).astype(g.dtype)
    return np.cumsum(g, axis)


def _sum_from(g, axis):
    """Return the sums of each element and those after it."""
    return np.flip(_running_sum(np.flip(g, axis), axis), axis)


cumsum_op = linear(
    "cumsum",
    lambda x, axis: np.cumsum(x, axis),
    lambda g, ans, x, axis: _sum_from(g, axis),
    tangent=_running_sum,
    pattern=patterns.accumulates,
)


def _cumulate(function, op, a, axis, dtype, out):
    refuse(function, out=(out, None))
    a = in_dtype(function, a, dtype)
    if axis is None or a.ndim == 0:
        np.cumsum(a._array, axis)  # raises where NumPy does
        a, axis = np.ravel(a), 0
    return op(a, axis=normalize_axis_index(axis, a.ndim) - a.ndim)


def _cumulative_samples(rng):
    x = rng.uniform(0.5, 2.0, size=(2, 3, 4))
    with_zeros = np.array([[2.0, 0.0, 3.0, 0.0], [1.0, 2.0, 0.0, 4.0]])
    return [
        ((x[0],), {}),
        ((x,), {"axis": 1}),
        ((x,), {"axis": -1, "dtype": np.float64}),
        ((rng.normal(size=()),), {}),
        ((rng.normal(size=(2, 0)),), {"axis": 1}),
        ((with_zeros,), {"axis": 1}),
        ((with_zeros,), {"axis": 0}),
    ]


@implements(np.cumsum, method="cumsum", accumulate=np.add, samples=_cumulative_samples)
def cumsum(a, axis=None, dtype=None, out=None):
    """Arguments as in `numpy.cumsum`; out= is refused.

    Notes
    -----
    An element's cotangent is the sum of those from it to the end.
    """
    return _cumulate("cumsum", cumsum_op, a, axis, dtype, out)


@implements(np.nancumsum, samples=lambda rng: [((rng.normal(size=(2, 3)),), {"axis": 1})])
def nancumsum(a, axis=None, dtype=None, out=None):
    """Arguments as in `numpy.nancumsum`; out= is refused. NaNs get no cotangent."""
    return cumsum(np.where(np.isnan(a), 0.0, a), axis, dtype, out)


def _cumulative(function, cumulate, first, x, axis, dtype, out, include_initial):
    x = in_dtype(function, x, dtype)
    if axis is None:
        if x.ndim > 1:
            raise ValueError("an array of more than one axis needs the axis argument")
        x, axis = np.ravel(x), 0
    result = cumulate(x, axis, None, out)
    if not include_initial:
        return result
    shape = list(x.shape)
    shape[axis] = 1
    return np.concatenate([np.full(shape, first, result.dtype), result], axis)


def _array_api_samples(rng):
    x = rng.uniform(0.5, 2.0, size=(2, 3))
    return [
        ((x[0],), {}),
        ((x,), {"axis": 1}),
        ((x,), {"axis": -2, "include_initial": True, "dtype": np.float64}),
    ]


def cumulative_sum(x, /, *, axis=None, dtype=None, out=None, include_initial=False):
    """Arguments as in `numpy.cumulative_sum`; out= is refused."""
    return _cumulative("cumulative_sum", cumsum, 0.0, x, axis, dtype, out, include_initial)


if hasattr(np, "cumulative_sum"):  # NumPy 2.1
    implements(np.cumulative_sum, samples=_array_api_samples)(cumulative_sum)


# ---- products: by division where that is safe, otherwise by products of what is before and after

LOG_RANGE = {np.dtype("f8"): 1000.0, np.dtype("f4"): 120.0}  # in octaves, up and down from 1
EVEN = 16.0  # the largest ratio of sizes of what derivatives of derivatives are divided by


def _before(x, first):
    """Return the element before each one along the last axis."""
    x = np.concatenate([np.full((*x.shape[:-1], 1), first, x.dtype), x], -1)
    return x[..., :-1]


def _in_range(x):
    """Return whether all products of elements along the last axis are normal numbers."""
    size = np.abs(passive(x))
    if not size.size:
        return True
    limit, low, high = LOG_RANGE[size.dtype], size.min(), size.max()
    # In a record that keeps everything not by numbers, which would leave it.
    if not is_passive(size) and low > 0.0:
        if size.shape[-1] * max(-math.log2(low), math.log2(high)) < limit:
            return True
    with np.errstate(all="ignore"):
        octaves = np.add.reduce(np.abs(np.log2(size)), -1)
    return bool(np.all(octaves < limit))


def _normal(x, exponent):
    """Return fractions, in [1/2, 1) but for zeros, and the exponents they have more than before."""
    value = passive(x)
    if value.dtype.kind == "c":  # the larger part is in that range
        value = np.maximum(np.abs(value.real), np.abs(value.imag))
    more = np.frexp(value)[1]
    return _scaled(x, -more), exponent + more


def _scaled(x, exponent):
    """Return ``x * 2**exponent``."""
    if x.dtype.kind == "c":
        return from_parts(np.ldexp(np.real(x), exponent), np.ldexp(np.imag(x), exponent))
    return np.ldexp(x, exponent)


def _products_before(x, scaled=True):
    """Return the products of what is before each element, as fractions and exponents of 2.

    In logarithmically many steps, each with all pairs at a distance. Scaled, no product leaves the
    range.
    """
    fraction, exponent = _normal(x, 0) if scaled else (x, np.zeros(x.shape, np.intc))
    distance = 1
    while distance < x.shape[-1]:
        fraction, exponent = (
            np.concatenate([y[..., :distance], product], -1)
            for y, product in (
                (fraction, fraction[..., distance:] * fraction[..., :-distance]),
                (exponent, exponent[..., distance:] + exponent[..., :-distance]),
            )
        )
        if scaled:
            fraction, exponent = _normal(fraction, exponent)
        distance *= 2
    return _before(fraction, 1.0), _before(exponent, 0)


def _products_of_others(x):
    """Return, for each element along the last axis, the product of all others."""
    if type(x) is Variable and not _spills(passive(x)):
        # Powers of 2 would multiply in derivatives, and leave the range there.
        before, after = (_products_before(y, False)[0] for y in (x, np.flip(x, -1)))
        return before * np.flip(after, -1)
    before, exponent = _products_before(x)
    after, more = _products_before(np.flip(x, -1))
    with np.errstate(all="ignore"):
        return _scaled(before * np.flip(after, -1), exponent + np.flip(more, -1))


def _spills(x):
    """Return whether products of what is before or after leave the range, but not both together."""
    (before, low), (after, high) = _products_before(x), _products_before(np.flip(x, -1))
    low, high = low[before != 0.0], np.flip(high, -1)[before != 0.0]
    limits = np.finfo(x.dtype)
    whole = low + high

    def beyond(exponent):
        return (exponent <= limits.minexp, exponent > limits.maxexp)

    return any(
        np.any(part & ~total & (np.flip(after, -1)[before != 0.0] != 0.0))
        for parts in (low, high)
        for part, total in zip(beyond(parts), beyond(whole), strict=True)
    )


def _is_even(x, axis=-1):
    """Return whether elements along an axis are of like size, or derivatives go no further.

    Derivatives of quotients by x are differences of what grows as x shrinks: each order loses as
    many digits as elements differ by. In a record that keeps everything it is not asked of numbers.
    """
    if type(x) is not Variable or not x.size:
        return True
    size = np.abs(passive(x))
    if is_passive(size):
        return False
    return bool(np.all(size * EVEN >= np.max(size, axis, keepdims=True)))


def _others_again(x):
    """Return what `_products_of_others` does, within the range, for further derivatives."""
    first = np.zeros(np.shape(array_of(x)))
    first[..., 0] = 1.0

    def before(x):
        return recurrence(_before(x, 0.0), first.astype(x.dtype))

    return before(x) * np.flip(before(np.flip(x, -1)), -1)


def _can_divide(ans):
    """Return whether no running product is zero, infinite, or so small that digits are lost."""
    size = np.abs(passive(ans))
    return bool(np.all((size >= np.finfo(size.dtype).tiny) & (size < np.inf)))


def _recur(a, b):
    shape, dtype = np.broadcast_shapes(a.shape, b.shape), np.result_type(a, b)
    s = np.empty(shape, dtype)
    rows = (math.prod(shape[:-1]), shape[-1])
    a, b = [np.ascontiguousarray(np.broadcast_to(x, shape), dtype).reshape(rows) for x in (a, b)]
    recur(a, b, s.reshape(rows))
    return s


def _recur_back(a, g):
    """Solve r_k = g_k + a_{k+1} r_{k+1}, the transpose of the recurrence."""
    return np.flip(recurrence(np.roll(np.flip(a, -1), 1, -1), np.flip(g, -1)), -1)


def _recur_vjp(g, needs, ans, a, b):
    b_bar = _recur_back(a, g)
    return b_bar * _before(ans, 0.0) if needs[0] else None, b_bar


def _recur_jvp(tangents, ans, a, b):
    ta, tb = [
        0.0 if t is None else in_front(t, x, ans) for t, x in zip(tangents, (a, b), strict=True)
    ]
    return recurrence(a, ta * _before(ans, 0.0) + tb)


# s_k = a_k s_{k-1} + b_k along the last axis: what the derivative of a cumulative product is.
recurrence = general(
    "recurrence",
    _recur,
    nin=2,
    promotes=(0, 1),
    saves=(0, "ans"),
    vjp=_recur_vjp,
    jvp=_recur_jvp,
    pattern=patterns.recurs,
    batch=batching.aligns,
)


def _cumprod_vjp(g, ans, x, axis):
    if _can_divide(ans) and _is_even(x, axis):
        return _sum_from(g * ans, axis) / x
    x = np.swapaxes(x, axis, -1)
    before = _before(np.cumprod(x, -1), 1.0)
    return np.swapaxes(before * _recur_back(x, np.swapaxes(g, axis, -1)), axis, -1)


def _cumprod_jvp(t, ans, x, axis):
    if _can_divide(ans) and _is_even(x, axis):
        return ans * _running_sum(t / x, axis)
    x = np.swapaxes(x, axis, -1)
    before = _before(np.cumprod(x, -1), 1.0)
    return np.swapaxes(recurrence(x, np.swapaxes(t, axis, -1) * before), axis, -1)


cumprod_op = general(
    "cumprod",
    lambda x, axis: np.cumprod(x, axis),
    nin=1,
    saves=(0, "ans"),
    vjp=(_cumprod_vjp,),
    jvp=(_cumprod_jvp,),
    pattern=patterns.accumulates,
    batch=batching.aligns,
)


@implements(np.cumprod, method="cumprod", accumulate=np.multiply, samples=_cumulative_samples)
def cumprod(a, axis=None, dtype=None, out=None):
    """Arguments as in `numpy.cumprod`; out= is refused.

    Notes
    -----
    Right for zeros, too: then by a recurrence along the axis.
    """
    return _cumulate("cumprod", cumprod_op, a, axis, dtype, out)


def cumulative_prod(x, /, *, axis=None, dtype=None, out=None, include_initial=False):
    """Arguments as in `numpy.cumulative_prod`; out= is refused."""
    return _cumulative("cumulative_prod", cumprod, 1.0, x, axis, dtype, out, include_initial)


if hasattr(np, "cumulative_prod"):  # NumPy 2.1
    implements(np.cumulative_prod, samples=_array_api_samples)(cumulative_prod)


def _prod_vjp(g, ans, x):
    if _in_range(x):
        return (g * ans)[..., None] / x if _is_even(x) else g[..., None] * _others_again(x)
    return g[..., None] * _products_of_others(x)


def _prod_jvp(t, ans, x):
    if _in_range(x):
        return ans * np.sum(t / x, -1) if _is_even(x) else np.sum(t * _others_again(x), -1)
    return np.sum(mulz(t, _products_of_others(x)), -1)  # 0 * inf is 0


# Along the last axis.
prod_op = general(
    "prod",
    lambda x: np.multiply.reduce(x, -1),
    nin=1,
    saves=(0, "ans"),
    vjp=(_prod_vjp,),
    jvp=(_prod_jvp,),
    pattern=patterns.reduces,
    batch=batching.aligns,
)


@implements(
    np.prod,
    method="prod",
    reduce=np.multiply,
    samples=lambda rng: [
        *sum_samples(rng),
        ((rng.normal(size=3),), {"initial": 2.0}),
        ((np.array([[2.0, 0.0, -3.0], [0.0, 2.0, 0.0], [1.0, -2.0, 4.0]]),), {"axis": 1}),
    ],
)
def prod(a, axis=None, dtype=None, out=None, keepdims=UNSET, initial=UNSET, where=UNSET):
    """Arguments as in `numpy.prod`; out= is refused.

    Notes
    -----
    An element's derivative is the product of the others, also where elements are zero.
    """
    refuse("prod", out=(out, None))
    a = selected(in_dtype("prod", a, dtype), where, 1.0)
    axis = axes_of(axis, a.ndim)
    kept = [k for k in ALL[a.ndim] if k not in axis]
    shape = tuple([1 if k in axis else n for k, n in zip(ALL[a.ndim], a.shape, strict=True)])
    a = np.transpose(a, (*kept, *axis))
    result = prod_op(reshaped(a, (*a.shape[: len(kept)], count(a.shape, ALL[len(axis)]))))
    if given(keepdims):
        result = reshaped(result, shape)
    return result if initial is UNSET or initial is None else result * initial


# ---- differences


@implements(
    np.diff,
    samples=lambda rng: [
        ((rng.normal(size=(2, 4)),), {}),
        ((rng.normal(size=(3, 2)),), {"n": 2, "axis": 0}),
        ((rng.normal(size=(2, 3)),), {"prepend": 0.5, "append": rng.normal(size=(2, 1))}),
        ((rng.normal(size=3), 0), {}),
    ],
)
def diff(a, n=1, axis=-1, prepend=UNSET, append=UNSET):
    """Arguments as in `numpy.diff`."""
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n!r}")
    nd = np.ndim(array_of(a))
    if nd == 0:
        raise ValueError("diff requires input that is at least one dimensional")
    axis = normalize_axis_index(axis, nd)
    if n == 0:
        return a
    ends = []
    for end in (prepend, append):
        end = end if end is UNSET else as_operand(end, "numpy.diff: an end")
        if end is not UNSET and end.ndim == 0:
            shape = list(np.shape(array_of(a)))
            shape[axis] = 1
            end = np.broadcast_to(end, shape)
        ends.append([] if end is UNSET else [end])
    if any(ends):
        a = np.concatenate([*ends[0], a, *ends[1]], axis)
    for _ in range(n):
        a = a[(*FULL[axis], slice(1, None))] - a[(*FULL[axis], slice(None, -1))]
    return a


@implements(
    np.ediff1d,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)),), {}),
        ((rng.normal(size=3),), {"to_end": rng.normal(size=2), "to_begin": 1.0}),
    ],
)
def ediff1d(ary, to_end=None, to_begin=None):
    """Arguments as in `numpy.ediff1d`."""
    steps = np.diff(np.ravel(ary))
    ends = [
        [] if end is None else [np.ravel(as_operand(end, "numpy.ediff1d: an end"))]
        for end in (to_begin, to_end)
    ]
    ends = [[np.astype(x, float_dtype(steps.dtype, "ediff1d", x.dtype)) for x in e] for e in ends]
    return np.concatenate([*ends[0], steps, *ends[1]])


@implements(
    np.trapezoid,
    samples=lambda rng: [
        ((rng.normal(size=(2, 4)),), {}),
        ((rng.normal(size=(3, 2)), rng.normal(size=3)), {"axis": 0}),
        ((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), {}),
        ((rng.normal(size=4),), {"dx": 0.5}),
    ],
)
def trapezoid(y, x=None, dx=1.0, axis=-1):
    """Arguments as in `numpy.trapezoid`; `x` and `dx` may be Variables, too."""
    y = as_operand(y)
    nd = y.ndim
    axis = normalize_axis_index(axis, nd)
    if x is not None:
        x = as_operand(x, "numpy.trapezoid: x")
        dx = np.diff(x, axis=axis if x.ndim > 1 else -1)
        if np.ndim(array_of(dx)) == 1:
            dx = np.reshape(dx, [-1 if k == axis else 1 for k in range(nd)])
    ends = y[(*FULL[axis], slice(1, None))] + y[(*FULL[axis], slice(None, -1))]
    return np.sum(dx * ends / 2.0, axis)
