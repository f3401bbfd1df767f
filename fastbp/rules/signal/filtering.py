"""Linear filters: one row, along the last axis, whose transpose is the filter run backward.

With ``a[0] == 1``, y is the solution of ``sum(a[k] y[n-k]) = sum(b[k] x[n-k]) + z[n]``, where z,
the initial state, adds to the first samples. So a tangent of any operand makes a right-hand side,
and the cotangent is filtered by ``1 / a`` once, from the end.
"""

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from scipy import signal

from fastbp._core.graph import array_of, has_variable, values_of
from fastbp.errors import NoRuleError
from fastbp.rules import batching, patterns
from fastbp.rules.counterparts import stands_for
from fastbp.rules.numpy.indexing import in_front
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.signal.convolution import convolve_op
from fastbp.rules.table import general

__all__ = ["extended", "filtered"]

FEW = 64  # lags that are computed one by one


def _filter(b, a, x, zi):
    lead = np.broadcast_shapes(x.shape[:-1], zi.shape[:-1])
    if not x.size:
        return np.zeros((*lead, x.shape[-1]), np.result_type(b, a, x, zi))
    if zi.shape[-1]:
        x = np.broadcast_to(x, (*lead, x.shape[-1]))
        zi = np.broadcast_to(zi, (*lead, zi.shape[-1]))
        return signal.lfilter(b, a, x, zi=zi)[0]
    return signal.lfilter(b, a, x)


def _none(x):
    return np.zeros(0, x.dtype)


def _one(x):
    return np.ones(1, x.dtype)


def _fir(c, x):
    """Filter by coefficients that may have axes in front."""
    full = convolve_op(x, c, mode="full", nd=1, method="derivative")
    return full[..., : x.shape[-1]]


def _backward(b, a, g):
    """Return the transpose of a filter."""
    return np.flip(lfilter_op(b, a, np.flip(g, -1), _none(g)), -1)


def _lagged(u, x, count):
    """Return ``sum(u[n] x[n - k])`` for the first lags k."""
    n = x.shape[-1]
    if not n:
        return np.zeros((*np.broadcast_shapes(u.shape[:-1], x.shape[:-1]), count), x.dtype)
    if type(u) is np.ndarray and type(x) is np.ndarray and count <= FEW:
        return _few_lags(u, x, count)
    padded = np.concatenate([u, np.zeros((*u.shape[:-1], count - 1), u.dtype)], -1)
    return convolve_op(padded, np.flip(x, -1), mode="valid", nd=1, method="derivative")


def _few_lags(u, x, count):
    """Do so one by one, in double precision: not by NumPy's BLAS, beside SciPy's."""
    dtype = np.result_type(u, x)
    wide, n = np.result_type(dtype, np.float64), x.shape[-1]
    found = np.zeros((*np.broadcast_shapes(u.shape[:-1], x.shape[:-1]), count), dtype)
    u, x = u.astype(wide, copy=False), x.astype(wide, copy=False)
    for k in range(min(count, n)):
        found[..., k] = np.einsum("...n,...n->...", u[..., k:], x[..., : n - k])
    return found


def _vjp(g, needs, ans, b, a, x, zi):
    of_b, of_a, of_x, of_zi = needs
    if not (of_b or of_a or of_zi):
        return None, None, _backward(b, a, g), None
    u = _backward(_one(a), a, g)
    return (
        _lagged(u, x, b.shape[-1]) if of_b else None,
        -_lagged(u, ans, a.shape[-1]) if of_a else None,
        _backward(b, _one(a), u) if of_x else None,
        _first(u, zi.shape[-1]) if of_zi else None,
    )


def _first(u, count):
    missing = count - u.shape[-1]
    if missing > 0:
        return np.concatenate([u, np.zeros((*u.shape[:-1], missing), u.dtype)], -1)
    return u[..., :count]


def _jvp(tangents, ans, b, a, x, zi):
    tb, ta, tx, tzi = tangents
    found = None
    if tx is not None or tzi is not None:
        zi_now = _none(x) if tzi is None else in_front(tzi, zi, ans)
        x_now = np.zeros(x.shape, x.dtype) if tx is None else in_front(tx, x, ans)
        found = lfilter_op(b, a, x_now, zi_now)
    source = None
    if tb is not None:
        source = _fir(in_front(tb, b, ans), x)
    if ta is not None:
        back = _fir(in_front(ta, a, ans), ans)
        source = -back if source is None else source - back
    if source is not None:
        source = lfilter_op(_one(a), a, source, _none(x))
        found = source if found is None else found + source
    lead = found.shape[: found.ndim - ans.ndim]
    return np.broadcast_to(found, (*lead, *ans.shape))


def _filter_members(a):
    return batching.loops(a) if any(a.mapped[:2]) else batching.aligns(a)


# a[0] is 1 and has no derivative; zi has no elements where there is no state.
lfilter_op = general(
    "signal.lfilter",
    _filter,
    nin=4,
    promotes=(0, 1, 2, 3),
    saves=(0, 1, 2, "ans"),
    vjp=_vjp,
    jvp=_jvp,
    coefficients="operands",
    pattern=patterns.mixes_last,
    batch=_filter_members,
    direct=("g filtered backward",),
)


def _coefficients(name, b, a, *others):
    """Return both with ``a[0] == 1``, divided in the precision of the result."""
    b, a = (
        np.atleast_1d(as_operand(c, f"scipy.signal.{name}: {what}"))
        for c, what in ((b, "b"), (a, "a"))
    )
    signal.lfilter(values_of(b), values_of(a), np.zeros(1))  # raises where SciPy does
    dtype = np.result_type(b.dtype, a.dtype, *[x.dtype for x in others])
    b, a = np.astype(b, dtype), np.astype(a, dtype)
    return b / a[0], a / a[0]


def _final_state(b, a, x, y, zi):
    """Return what the next samples get of these ones."""
    size = zi.shape[-1]
    n = x.shape[-1]
    b, a = (np.concatenate([c, np.zeros(size + 1 - c.shape[0], c.dtype)]) for c in (b, a))
    total = _first(zi[..., n:], size) if n < size else np.zeros(zi.shape, zi.dtype)
    for j in range(min(n, size)):  # ago
        now = b[1 + j :] * x[..., n - 1 - j, None] - a[1 + j :] * y[..., n - 1 - j, None]
        total = total + _first(now, size)
    return total


def filtered(b, a, x, zi=None):
    """Filter along the last axis, by coefficients with ``a[0] == 1``; return the final state too.

    That is None without an initial one.
    """
    if zi is None:
        return lfilter_op(b, a, x, _none(x)), None
    zi = np.broadcast_to(zi, (*x.shape[:-1], zi.shape[-1]))
    y = lfilter_op(b, a, x, zi)
    return y, _final_state(b, a, x, y, zi)


def _lfilter_samples(rng):
    b, a = rng.normal(size=3), np.array([2.0, 0.4, -0.3])
    return [
        ((b, a, rng.normal(size=6)), {}),
        ((b, 1.0, rng.normal(size=(2, 4))), {}),
        (([1.0, 0.5], a, rng.normal(size=(4, 2)), 0), {}),
        ((b, a[:2], rng.normal(size=5)), {"zi": rng.normal(size=2)}),
        ((b, a, rng.normal(size=(2, 1))), {"zi": rng.normal(size=(1, 2))}),
        ((b[:2], 1.0, rng.normal(size=(3, 2)), 0), {"zi": rng.normal(size=(1, 1))}),
    ]


@stands_for("scipy.signal.lfilter", samples=_lfilter_samples)
def lfilter(b, a, x, axis, zi):
    """Arguments as in `scipy.signal.lfilter`: coefficients and states may be Variables, too.

    Notes
    -----
    A cotangent is filtered backward by ``1 / a``: linear in the number of samples.
    """
    x = as_operand(x, "scipy.signal.lfilter: x")
    others = (x,) if zi is None else (x, as_operand(zi, "scipy.signal.lfilter: zi"))
    b, a = _coefficients("lfilter", b, a, *others)
    axis = normalize_axis_index(axis, x.ndim)
    if zi is not None:
        zi = others[1]
        empty = np.zeros([n if k != axis else 1 for k, n in enumerate(x.shape)])
        signal.lfilter(values_of(b), values_of(a), empty, axis, values_of(zi))  # raises
        zi = np.moveaxis(zi, axis, -1)
    y, zf = filtered(b, a, np.moveaxis(x, axis, -1), zi)
    y = np.moveaxis(y, -1, axis)
    return y if zf is None else (y, np.moveaxis(zf, -1, axis))


# ---- states of rest


def _steady(b, a):
    """Return the state of the step response, of coefficients with ``a[0] == 1``."""
    if not has_variable((b, a)):
        return lfilter_zi(b, a)
    n = max(a.shape[0], b.shape[0])
    b, a = (np.concatenate([c, np.zeros(n - c.shape[0], c.dtype)]) for c in (b, a))
    source = b[1:] - a[1:] * b[0]
    first = np.sum(source) / np.sum(a)
    # Each state is what is left of the sums: z_k = z_0 (1 + a_1 + .. + a_k) - s_0 - .. - s_(k-1).
    sums = np.cumsum(source)
    before = np.concatenate([np.zeros(1, sums.dtype), sums[:-1]]) if n > 1 else sums
    return first * np.cumsum(a)[:-1] - before


@stands_for(
    "scipy.signal.lfilter_zi",
    samples=lambda rng: [
        ((rng.normal(size=3), np.array([2.0, 0.4, -0.3, 0.1])), {}),
        ((rng.normal(size=4), np.array([1.0, 0.4])), {}),
        ((rng.normal(size=2), [0.0, 2.0, 0.4]), {}),
    ],
)
def lfilter_zi(b, a):
    """Arguments as in `scipy.signal.lfilter_zi`."""
    b, a = (
        np.atleast_1d(as_operand(c, f"scipy.signal.lfilter_zi: {what}"))
        for c, what in ((b, "b"), (a, "a"))
    )
    signal.lfilter_zi(values_of(b), values_of(a))  # raises where SciPy does
    zeros = int(np.argmax(array_of(a) != 0.0))
    a = a[zeros:]
    return _steady(b / a[0], a / a[0])


def _sections(name, sos):
    """Return the coefficients of each section, with ``a[0] == 1``."""
    sos = np.atleast_2d(as_operand(sos, f"scipy.signal.{name}: sos"))
    if name == "sosfilt_zi":
        signal.sosfilt_zi(values_of(sos))  # raises where SciPy does
    else:
        signal.sosfilt(np.array(values_of(sos)), np.zeros(1))  # SciPy wants one it could write into
    return [(sos[k, :3] / sos[k, 3], sos[k, 3:] / sos[k, 3]) for k in range(sos.shape[0])]


def _states_of_rest(sections):
    found, scale = [], 1.0
    for b, a in sections:
        found.append(scale * _steady(b, a))
        scale = scale * (np.sum(b) / np.sum(a))
    return found


SOS = [[0.5, -0.3, 0.2, 1.0, 0.4, -0.3], [1.5, 0.7, 0.0, 1.0, -0.2, 0.1]]


@stands_for(
    "scipy.signal.sosfilt_zi",
    samples=lambda rng: [((rng.uniform(1.0, 1.5, (2, 6)),), {})],
)
def sosfilt_zi(sos):
    """Arguments as in `scipy.signal.sosfilt_zi`."""
    return np.stack(_states_of_rest(_sections("sosfilt_zi", sos)))


# ---- cascades


def _cascaded(sections, x, zi):
    finals = []
    for k, (b, a) in enumerate(sections):
        x, zf = filtered(b, a, x, None if zi is None else zi[k])
        finals.append(zf)
    return x, finals


@stands_for(
    "scipy.signal.sosfilt",
    writable=True,
    samples=lambda rng: [
        ((SOS, rng.normal(size=5)), {}),
        ((SOS, rng.normal(size=(4, 2)), 0), {}),
        ((SOS, rng.normal(size=(2, 3))), {"zi": rng.normal(size=(2, 2, 2))}),
    ],
)
def sosfilt(sos, x, axis, zi):
    """Arguments as in `scipy.signal.sosfilt`.

    Notes
    -----
    SciPy asks for ``sos[:, 3] == 1``; the derivative by these is that of sections divided by them.
    """
    x = as_operand(x, "scipy.signal.sosfilt: x")
    sections = _sections("sosfilt", sos)
    axis = normalize_axis_index(axis, x.ndim)
    x = np.moveaxis(x, axis, -1)
    if zi is None:
        return np.moveaxis(_cascaded(sections, x, None)[0], -1, axis)
    zi = np.moveaxis(as_operand(zi, "scipy.signal.sosfilt: zi"), axis + 1, -1)
    expected = (len(sections), *x.shape[:-1], 2)
    if zi.shape != expected:
        raise ValueError(
            f"scipy.signal.sosfilt: zi must be of shape {expected} with its last axis moved to "
            f"{axis + 1}, not {zi.shape}"
        )
    y, finals = _cascaded(sections, x, zi)
    return np.moveaxis(y, -1, axis), np.moveaxis(np.stack(finals), -1, axis + 1)


# ---- forward and backward


def extended(x, edge, padtype):
    """Extend at both ends of the last axis: SciPy's odd, even and constant extensions."""
    if not edge or padtype is None:
        return x
    before, after = np.flip(x[..., 1 : edge + 1], -1), np.flip(x[..., -edge - 1 : -1], -1)
    first, last = x[..., :1], x[..., -1:]
    if padtype == "odd":
        before, after = 2 * first - before, 2 * last - after
    elif padtype == "constant":
        shape = (*x.shape[:-1], edge)
        before, after = np.broadcast_to(first, shape), np.broadcast_to(last, shape)
    return np.concatenate([before, x, after], -1)


def _edge(padtype, padlen, x, taps):
    if padtype not in ("even", "odd", "constant", None):
        raise ValueError(
            f"Unknown value '{padtype}' given to padtype. padtype must be 'even', 'odd', "
            "'constant', or None."
        )
    edge = 0 if padtype is None else 3 * taps if padlen is None else padlen
    if x.shape[-1] <= edge:
        raise ValueError(
            f"The length of the input vector x must be greater than padlen, which is {edge}."
        )
    return edge


def _both_ways(sections, rest, x, edge, padtype):
    x = extended(x, edge, padtype)
    for _ in range(2):
        first = x[..., :1]
        y, _ = _cascaded(sections, x, [z * first for z in rest])
        x = np.flip(y, -1)
    return x[..., edge:-edge] if edge else x


def _gustafsson(b, a, x, irlen):
    """Filter both ways from the states in which the order of the two makes the least difference.

    Gustafsson 1996, "Determining the initial states in forward-backward filtering"; near to an end
    only what `irlen` elements hold of the responses is looked at, as SciPy does. The states solve
    a system that may lose rank (where b is longer than a), so the filter has to be a constant.
    """
    order = max(a.shape[0], b.shape[0]) - 1
    if not order:
        return (b[0] / a[0]) ** 2 * x
    n = x.shape[-1]
    m = n if irlen is None or n <= 2 * irlen else irlen
    start = np.zeros(order, x.dtype)
    start[0] = 1.0
    response, _ = lfilter(b, a, np.zeros(m, x.dtype), zi=start)
    states = [
        np.concatenate([np.zeros(min(k, m), x.dtype), response[: max(m - k, 0)]])
        for k in range(order)
    ]
    free = np.stack(states, -1)  # of each state, what is heard of it without a signal
    turned = np.flip(free, 0)
    answered = lfilter(b, a, turned, axis=0)
    back = np.flip(answered, 0)
    left, right = back - free, turned - answered

    def backward(y):
        return np.flip(lfilter(b, a, np.flip(y, -1)), -1)

    found = backward(lfilter(b, a, x))
    missed = lfilter(b, a, backward(x)) - found
    if m == n:
        system, moved = np.concatenate([left, right], -1), np.concatenate([back, turned], -1)
    else:
        zeros = np.zeros((m, order), x.dtype)
        system = np.block([[left, zeros], [zeros, right]])
        moved = np.block([[back, zeros], [zeros, turned]])
        missed = np.concatenate([missed[..., :m], missed[..., -m:]], -1)
    columns = np.reshape(missed, (-1, missed.shape[-1])).T
    best = np.linalg.lstsq(system, columns)[0]
    change = np.reshape((moved @ best).T, missed.shape)
    if m != n:
        middle = np.zeros((*x.shape[:-1], n - 2 * m), x.dtype)
        change = np.concatenate([change[..., :m], middle, change[..., m:]], -1)
    return found + change


@stands_for(
    "scipy.signal.filtfilt",
    samples=lambda rng: [
        (([1.0, 0.5], [1.0, 0.2], rng.normal(size=9)), {"method": "gust"}),
        (([1.0, 0.5], [1.0, 0.2, 0.1], rng.normal(size=(2, 9))), {"method": "gust", "irlen": 3}),
        (([1.0, 0.5], np.array([2.0, 0.4, -0.3]), rng.normal(size=11)), {}),
        ((rng.normal(size=2), 1.0, rng.normal(size=(5, 2)), 0), {"padlen": 2, "padtype": "even"}),
        (([1.0, 0.5], [1.0, 0.2], rng.normal(size=5)), {"padtype": None}),
        (([1.0, 0.5], [1.0, 0.2], rng.normal(size=4)), {"padtype": "constant", "padlen": 3}),
    ],
)
def filtfilt(b, a, x, axis, padtype, padlen, method, irlen):
    """Arguments as in `scipy.signal.filtfilt`."""
    x = as_operand(x, "scipy.signal.filtfilt: x")
    if method not in ("pad", "gust"):
        raise ValueError("method must be 'pad' or 'gust'.")
    if method == "gust" and has_variable((b, a)):
        raise NoRuleError(
            "scipy.signal.filtfilt: with method='gust' there is a derivative by x only: take "
            "method='pad', or pass fastbp.stop_gradient(b) and fastbp.stop_gradient(a)"
        )
    b, a = _coefficients("filtfilt", b, a, x)
    axis = normalize_axis_index(axis, x.ndim)
    x = np.moveaxis(x, axis, -1)
    if method == "gust":
        return np.moveaxis(_gustafsson(b, a, x, irlen), -1, axis)
    edge = _edge(padtype, padlen, x, max(a.shape[0], b.shape[0]))
    found = _both_ways([(b, a)], [_steady(b, a)], x, edge, padtype)
    return np.moveaxis(found, -1, axis)


@stands_for(
    "scipy.signal.sosfiltfilt",
    writable=True,
    samples=lambda rng: [
        ((SOS, rng.normal(size=17)), {}),
        ((SOS, rng.normal(size=(4, 2)), 0), {"padtype": "even", "padlen": 3}),
    ],
)
def sosfiltfilt(sos, x, axis, padtype, padlen):
    """Arguments as in `scipy.signal.sosfiltfilt`; by ``sos[:, 3]`` as in `sosfilt`."""
    x = as_operand(x, "scipy.signal.sosfiltfilt: x")
    sections = _sections("sosfiltfilt", sos)
    zeros = [
        np.count_nonzero([array_of(c)[2] == 0 for c in column])
        for column in zip(*sections, strict=True)
    ]
    axis = normalize_axis_index(axis, x.ndim)
    x = np.moveaxis(x, axis, -1)
    edge = _edge(padtype, padlen, x, 2 * len(sections) + 1 - min(zeros))
    found = _both_ways(sections, _states_of_rest(sections), x, edge, padtype)
    return np.moveaxis(found, -1, axis)


# ---- division of polynomials


@stands_for(
    "scipy.signal.deconvolve",
    samples=lambda rng: [
        ((rng.normal(size=5), np.array([2.0, 0.4])), {}),
        ((rng.normal(size=2), [2.0, 0.4, 0.1]), {}),
    ],
)
def deconvolve(signal, divisor):
    """Arguments as in `scipy.signal.deconvolve`."""
    num, den = (
        np.atleast_1d(as_operand(x, f"scipy.signal.deconvolve: {what}"))
        for x, what in ((signal, "signal"), (divisor, "divisor"))
    )
    for x, what in ((num, "signal"), (den, "divisor")):
        if x.ndim != 1 or not x.size:
            raise ValueError(
                f"Parameter {what} must be non-empty 1d array, but its shape is {x.shape}!"
            )
    count = num.shape[0] - den.shape[0] + 1
    if count < 1:
        return [], num
    num = np.astype(num, np.result_type(num.dtype, np.float64))  # as SciPy does
    one, dividend = np.ones(1, num.dtype), num[:count] / den[0]
    quotient = lfilter_op(one, den / den[0], dividend, _none(num))
    return quotient, num - np.convolve(den, quotient)
