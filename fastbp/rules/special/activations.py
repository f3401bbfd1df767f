"""Activation functions and stable sums of exponentials. Nothing here needs SciPy.

`fastbp.rules.special.ufuncs` has the rows that are SciPy's ufuncs: importing `scipy.special` costs
more than the rest of fastbp.
"""

import numpy as np

from fastbp._core import graph
from fastbp.rules import batching, patterns
from fastbp.rules.numpy.structural import add_up, as_operand
from fastbp.rules.table import elementwise, general, helper, implements

# ---- elementwise


def _sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(np.less(x, 0.0), e, 1.0) / (1.0 + e)


def _softplus(x):
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


# z * (1 - z) is no number to work with where z is close to 1: the kernel takes e^-|x| there.
def _sigmoid_slope(z, x):
    e = np.exp(-np.abs(x))
    return e / ((1.0 + e) * (1.0 + e))


sigmoid_slope = helper(
    "sigmoid_slope",
    _sigmoid_slope,
    lambda s, z, x: 0.0,
    lambda s, z, x: -s * np.tanh(0.5 * x),
    kernel="sigmoid_slope",
)
sigmoid = elementwise(
    "sigmoid",
    _sigmoid,
    lambda z, x: sigmoid_slope(graph.passive(z), x),
    kernel="sigmoid",
    error=(1e-14, 1e-14),
)
softplus = elementwise(
    "softplus", _softplus, lambda z, x: sigmoid(x), kernel="softplus", error=(3e-15, 1e-14)
)
log_sigmoid = elementwise(
    "log_sigmoid",
    lambda x: -softplus(np.negative(x)),
    lambda z, x: sigmoid(-x),
    error=(3e-15, 1e-14),
)
relu = elementwise(
    "relu",
    lambda x: np.maximum(x, 0.0),
    lambda z, x: x > 0.0,
    selects=0b1,
    domain=(0.3, 3.0),
    kinks="0 at 0",
)

# ---- along axes


def _operand(x, what):
    """Return a Variable unchanged, anything else as an array of floats or complex numbers."""
    x = as_operand(x, what)
    return x if type(x) is graph.Variable or x.dtype.kind not in "iub" else x.astype(np.float64)


def _axes(x, axis):
    """Return `axis` as negative numbers, so that block axes may stand in front."""
    if axis is None:
        return tuple(range(-x.ndim, 0))
    return tuple(
        ax - x.ndim for ax in np.lib.array_utils.normalize_axis_tuple(axis, x.ndim, "axis")
    )


def _kept(x, axis, keepdims):
    return x if keepdims else np.expand_dims(x, axis)


def _log_sum(x, axis):
    """Return `shift` and `rest`, both with the axes kept; ``shift + rest`` is logsumexp.

    The terms at the maximum are counted, not summed, so that `rest` keeps its relative accuracy
    where one element dominates. Of complex numbers the maximum is that of the real parts.
    """
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    finite = np.isfinite(top)
    shift = np.where(finite, top, 0.0)
    terms = np.asarray(x - shift)
    at_top = terms == 0.0
    wide = np.result_type(x.dtype, np.float64)
    with np.errstate(all="ignore"):  # what is not finite here is not used
        np.exp(terms, out=terms)
        total = np.sum(terms, axis=axis, keepdims=True, dtype=wide)
        np.copyto(terms, 0.0, where=at_top)
        below = np.sum(terms, axis=axis, keepdims=True, dtype=wide)
        if wide.kind == "c":
            count = np.sum(at_top, axis=axis, keepdims=True)
            rest = _log1p(below / count) + np.log(count)
            top = np.log(total)  # of what is infinite, with its phase
        else:
            count = np.rint(total - below)
            rest = np.log1p(below / count) + np.log(count)
    return shift, np.where(finite, rest, top).astype(x.dtype, copy=False)


def _log1p(z):
    """Return ``log1p`` of complex numbers: NumPy's rounds 1 + z."""
    x, y = z.real, z.imag
    near = np.abs(z) < 0.5
    real = np.where(near, 0.5 * np.log1p(x * (2.0 + x) + y * y), np.log(np.abs(1.0 + z)))
    return real + 1j * np.arctan2(y, 1.0 + x)


def _principal(z):
    """Return complex numbers with the imaginary part in (-pi, pi], by whole turns."""
    if z.dtype.kind != "c":
        return z
    with np.errstate(invalid="ignore"):
        turns = np.ceil((z.imag - np.pi) / (2.0 * np.pi))
    off = np.isfinite(turns) & (turns != 0.0)
    return z - np.where(off, (2j * np.pi) * np.where(off, turns, 0.0), 0.0).astype(z.dtype)


def _logsumexp(x, axis, keepdims):
    shift, rest = _log_sum(x, axis)
    out = _principal(shift + rest)
    return out if keepdims else np.squeeze(out, axis)[()]


def _weights(ans, x, axis):
    """Return the softmax of `x`; where `ans` is infinite, elements of inf share equally."""
    # Not exp(x - ans): for large x the rounding of `ans` would be an error of the weights.
    infinite = np.isinf(graph.passive(ans))
    if not infinite.any():
        return softmax_op(x, axis=axis)
    size = np.real(graph.passive(x))
    if x.dtype.kind == "c":  # finite numbers may add up to 0, too: there the slope is infinite
        infinite = infinite & np.isinf(np.max(size, axis=axis, keepdims=True, initial=-np.inf))
    ends = np.equal(size, np.inf).astype(x.dtype)
    count = np.sum(np.real(ends), axis=axis, keepdims=True)
    share = ends / np.maximum(count, 1.0)
    return np.where(infinite, share, softmax_op(np.where(infinite, 0.0, x), axis=axis))


def _logsumexp_vjp(g, ans, x, axis, keepdims):
    return _kept(g, axis, keepdims) * _weights(_kept(ans, axis, keepdims), x, axis)


def _logsumexp_jvp(t, ans, x, axis, keepdims):
    return add_up(t * _weights(_kept(ans, axis, keepdims), x, axis), axis, keepdims)


def _softmax(x, axis):
    # In place: for large arrays, fresh memory costs more than the exponentials.
    e = np.asarray(x - np.max(x, axis=axis, keepdims=True, initial=-np.inf))
    np.exp(e, out=e)
    e /= np.sum(e, axis=axis, keepdims=True)
    return e


def _softmax_rule(g, ans, x, axis):
    # The Jacobian diag(s) - s s^T is symmetric: one rule, both ways.
    return ans * (g - np.sum(g * ans, axis=axis, keepdims=True))


def _log_softmax(x, axis):
    shift, rest = _log_sum(x, axis)
    out = np.asarray(x - shift)
    out -= rest
    return out


logsumexp_op = general(
    "logsumexp",
    _logsumexp,
    nin=1,
    vjp=(_logsumexp_vjp,),
    jvp=(_logsumexp_jvp,),
    pattern=patterns.reduces,
    batch=batching.aligns,
)
softmax_op = general(
    "softmax",
    _softmax,
    nin=1,
    saves=("ans",),
    vjp=(_softmax_rule,),
    jvp=(_softmax_rule,),
    pattern=patterns.mixes,
    batch=batching.aligns,
)
log_softmax_op = general(
    "log_softmax",
    _log_softmax,
    nin=1,
    saves=("ans",),
    vjp=(lambda g, ans, x, axis: g - np.exp(ans) * np.sum(g, axis=axis, keepdims=True),),
    jvp=(lambda t, ans, x, axis: t - np.sum(np.exp(ans) * t, axis=axis, keepdims=True),),
    pattern=patterns.mixes,
    batch=batching.aligns,
)


def _along_axes(rng):
    x = rng.normal(size=(2, 3, 4))
    return [
        ((x,), {}),
        ((x,), {"axis": 1}),
        ((x[0],), {"axis": (-1, 0)}),
        ((x[0, 0],), {"axis": -1}),
    ]


@implements(
    samples=lambda rng: [
        *_along_axes(rng),
        ((rng.normal(size=(2, 3)),), {"axis": 0, "keepdims": True}),
        ((rng.normal(size=(2, 3)),), {"axis": 1, "b": rng.uniform(0.5, 2.0, 3)}),
        ((rng.normal(size=(2, 3)),), {"axis": 0, "return_sign": True}),
    ]
)
def logsumexp(a, axis=None, b=None, keepdims=False, return_sign=False):
    """Return ``log(sum(b * exp(a)))`` without overflow; arguments as in `scipy.special.logsumexp`.

    Notes
    -----
    The derivative is ``softmax(a)``. Where all elements are -inf it is 0; several elements of inf
    share equally. Of complex numbers the imaginary part is in (-pi, pi]; the sign is a phase, which
    has a derivative.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> import fastbp.numpy as bnp
    >>> bp.grad(bnp.logsumexp)(np.array([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    if b is not None or return_sign:
        return _scaled_logsumexp(a, axis, 1.0 if b is None else b, keepdims, return_sign)
    a = _operand(a, "logsumexp: a")
    return logsumexp_op(a, axis=_axes(a, axis), keepdims=bool(keepdims))


def _scaled_logsumexp(a, axis, b, keepdims, return_sign):
    a, b = _operand(a, "logsumexp: a"), _operand(b, "logsumexp: b")
    if "c" in (a.dtype.kind, b.dtype.kind):
        return _complex_logsumexp(a, axis, b, keepdims, return_sign)
    value, scale = np.broadcast_arrays(graph.passive(a), graph.passive(b))
    axis = _axes(value, axis)
    top = np.max(value, axis=axis, keepdims=True, initial=-np.inf, where=scale != 0.0)
    infinite = np.isinf(top)
    shift = np.where(np.isfinite(top), top, 0.0)
    # The shift is a constant: it cancels. Elements that b removes must not overflow.
    terms = np.where(scale == 0.0, np.minimum(value, shift), a)
    terms = np.where(infinite, 0.0, terms) if infinite.any() else terms
    total = np.sum(b * np.exp(terms - shift), axis=axis, keepdims=keepdims)
    sign = np.sign(graph.passive(total))
    out = np.log(total * sign if return_sign else total)
    out = out + (shift if keepdims else np.squeeze(shift, axis))
    if infinite.any():
        # As without b: several of inf share equally, and there is no slope where all are -inf.
        plain = logsumexp_op(np.where(scale == 0.0, -np.inf, a), axis=axis, keepdims=keepdims)
        ends = np.where(value == np.inf, np.sign(scale), 0.0)
        found = np.sign(np.sum(ends, axis=axis, keepdims=True))
        mixed = np.any(ends > 0.0, axis, keepdims=True) & np.any(ends < 0.0, axis, keepdims=True)
        found = np.where(mixed, np.nan, found)
        if not keepdims:
            infinite, found = np.squeeze(infinite, axis), np.squeeze(found, axis)
        if not return_sign:
            plain = np.where((graph.passive(plain) > 0.0) & ~(found > 0.0), np.nan, plain)
        out, sign = np.where(infinite, plain, out), np.where(infinite, found, sign)
    return (out, sign) if return_sign else out


def _complex_logsumexp(a, axis, b, keepdims, return_sign):
    value, scale = np.broadcast_arrays(graph.passive(a), graph.passive(b))
    axis = _axes(value, axis)
    off = scale == 0.0
    size = np.where(off, -np.inf, np.real(value))
    top = np.max(size, axis=axis, keepdims=True, initial=-np.inf)
    infinite = np.isinf(top)
    some = infinite.any()
    # A real shift: the logarithm of what is left has the phase between -pi and pi.
    shift = np.where(np.isfinite(top), top, 0.0)
    terms = np.where(off, np.minimum(np.real(value), shift), a)
    terms = np.where(infinite, 0.0, terms) if some else terms
    total = np.sum(b * np.exp(terms - shift), axis=axis, keepdims=keepdims)
    if not keepdims:
        shift, infinite = np.squeeze(shift, axis), np.squeeze(infinite, axis)
    if some:  # b exp(a) as exp(a + log(b)), whose elements of inf share
        logs = np.log(np.where(off, 1.0, b) + 0j)
        plain = logsumexp_op(np.where(off, -np.inf, a + logs), axis=axis, keepdims=keepdims)
        total = np.where(infinite, 1.0, total)
    if return_sign:
        out, sign = np.log(np.abs(total)) + shift, np.sign(total)
        if some:
            phase = np.exp(1j * np.imag(graph.passive(plain)))
            at_end = np.where(np.real(graph.passive(plain)) > 0.0, phase, 0.0)
            out, sign = np.where(infinite, np.real(plain), out), np.where(infinite, at_end, sign)
        return out, sign
    out = np.log(total) + shift
    return np.where(infinite, plain, out) if some else out


@implements(samples=_along_axes, no_axes="array")
def softmax(x, axis=None):
    """Return ``exp(x) / sum(exp(x))`` without overflow; arguments as in `scipy.special.softmax`.

    Notes
    -----
    The Jacobian is ``diag(s) - s s^T``. An element of -inf has the value 0 and no derivative.
    """
    x = _operand(x, "softmax: x")
    return softmax_op(x, axis=_axes(x, axis))


@implements(samples=_along_axes, no_axes="array")
def log_softmax(x, axis=None):
    """Return ``x - logsumexp(x)``; arguments as in `scipy.special.log_softmax`.

    Notes
    -----
    The Jacobian is ``I - 1 s^T`` with the softmax s. The value is accurate also where it is close
    to 0.
    """
    x = _operand(x, "log_softmax: x")
    return log_softmax_op(x, axis=_axes(x, axis))
