"""Numerical analysis of samples: interpolation, differences, phases, covariances."""

import math
import warnings

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from fastbp._core.graph import Variable, passive, values_of
from fastbp.rules import patterns
from fastbp.rules.numpy.indexing import gather_members, gather_op, scatter_add_op, scatter_members
from fastbp.rules.numpy.structural import as_operand, conjugated, constant_call
from fastbp.rules.table import implements, linear

# ---- interpolation

# Elements that other values choose: at other points they are others.
chosen_op = linear(
    "chosen",
    lambda x, places: x[..., places],
    lambda g, ans, x, places: chosen_back_op(g, size=x.shape[-1], places=places),
    pattern=patterns.chosen,
    batch=lambda a: gather_members(a.of(gather_op, behind=0)),
)
chosen_back_op = linear(
    "chosen_back",
    lambda g, size, places: scatter_add_op(g, size=size, places=places, behind=0),
    lambda g, ans, x, size, places: chosen_op(g, places=places),
    pattern=patterns.chosen,
    batch=lambda a: scatter_members(a.of(scatter_add_op, behind=0)),
)


def _interp_samples(rng):
    xp, fp = np.array([0.0, 0.6, 1.5, 3.0]), rng.normal(size=4)
    x = np.array([[0.3, 1.1], [2.2, 0.8]])
    return [
        ((x, xp, fp), {}),
        ((np.array([-0.5, 0.25, 3.5]), [*xp], fp), {}),
        ((np.array([-0.5, 0.25, 3.5]), xp, fp), {"left": 1.0, "right": -2.0}),
        ((np.array([-0.5, 0.25, 7.5]), [*xp], fp), {"period": 4.0}),
        ((0.7, [*xp], fp), {}),
    ]


@implements(np.interp, kinks="the slope to the right of a knot", samples=_interp_samples)
def interp(x, xp, fp, left=None, right=None, period=None):
    """Arguments as in `numpy.interp`; all of them may be Variables. In float64, as there.

    Notes
    -----
    The derivative by `x` is the slope of the line, 0 outside; that by the knots `xp`, by which a
    line moves, is minus that slope, shared by the distances.
    """
    x, xp = (
        np.astype(as_operand(v, f"numpy.interp: {what}", real=True), np.float64)
        for v, what in ((x, "x"), (xp, "xp"))
    )
    fp = as_operand(fp, "numpy.interp: fp")
    fp = np.astype(fp, np.complex128 if fp.dtype.kind == "c" else np.float64)
    constant_call(np.interp, 0.0, xp, fp, period=period)  # raises where NumPy does
    if period is not None:
        period = abs(as_operand(period, "numpy.interp: period=", real=True))
        left = right = None
        x, xp = x % period, xp % period
        order = np.argsort(passive(xp))
        xp, fp = xp[order], fp[order]
        xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = np.concatenate([fp[-1:], fp, fp[:1]])
    at, knots = passive(x), passive(xp)
    last = knots.size - 1
    y = np.broadcast_to(fp[last], x.shape)
    if last:
        k = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, last - 1)
        (below, above), (here, next) = (
            [chosen_op(v, places=np.reshape(k, -1) + j) for j in (0, 1)] for v in (fp, xp)
        )
        width = np.where(passive(next) == passive(here), 1.0, next - here)
        y = (above - below) / width * (np.reshape(x, -1) - here) + below
        y = np.reshape(y, x.shape)
        jumps = knots[last - 1] == knots[last]  # no line ends where the last knot is there twice
        y = np.where(np.logical_and(jumps, at == knots[last]), fp[last], y)
    y = np.where(at < knots[0], fp[0] if left is None else left, y)
    y = np.where(at > knots[last], fp[last] if right is None else right, y)
    return y[()] if y.ndim == 0 else y


# ---- differences


def _gradient_samples(rng):
    f = rng.normal(size=(4, 5))
    return [
        ((rng.normal(size=6),), {}),
        ((f,), {"edge_order": 2}),
        ((f, 0.5), {"axis": 1}),
        ((f, np.array(0.5), np.cumsum(rng.uniform(0.5, 1.0, 5))), {}),
        ((f, np.cumsum(rng.uniform(0.5, 1.0, 4))), {"axis": 0, "edge_order": 2}),
    ]


def _part(f, axis, start, stop):
    return f[(*(slice(None),) * axis, slice(start, stop))]


def _differences(f, h, axis, edge_order):
    """Differentiate along an axis; `h` is one distance or all of them."""
    n = f.shape[axis]
    before, here, after = (_part(f, axis, k, n - 2 + k) for k in range(3))
    first, last = [_part(f, axis, k, k + 1) for k in range(edge_order + 1)], []
    last = [
        _part(f, axis, n - 1 - edge_order + k, n - edge_order + k) for k in range(edge_order + 1)
    ]
    if h.ndim == 0:
        inside = (after - before) / (2.0 * h)
        ends = [(first[1] - first[0]) / h, (last[-1] - last[-2]) / h]
        left = right = h, h
    else:
        shape = [-1 if k == axis else 1 for k in range(f.ndim)]
        p, q = np.reshape(h[:-1], shape), np.reshape(h[1:], shape)
        inside = -q / (p * (p + q)) * before + (q - p) / (p * q) * here + p / (q * (p + q)) * after
        ends = [(first[1] - first[0]) / h[0], (last[-1] - last[-2]) / h[-1]]
        left, right = (h[0], h[1 % h.shape[0]]), (h[-2 % h.shape[0]], h[-1])
    if edge_order == 2:
        p, q = left
        a, b, c = -(2.0 * p + q) / (p * (p + q)), (p + q) / (p * q), -p / (q * (p + q))
        ends[0] = a * first[0] + b * first[1] + c * first[2]
        p, q = right
        a, b, c = q / (p * (p + q)), -(q + p) / (p * q), (2.0 * q + p) / (q * (p + q))
        ends[1] = a * last[0] + b * last[1] + c * last[2]
    found = np.concatenate([ends[0], inside, ends[1]], axis)
    return found if found.dtype == f.dtype else np.astype(found, f.dtype)


@implements(np.gradient, samples=_gradient_samples)
def gradient(f, *varargs, axis=None, edge_order=1):
    """Arguments as in `numpy.gradient`; the distances may be Variables, too."""
    f = as_operand(f, "numpy.gradient: f")
    f = f.astype(np.float64) if f.dtype.kind in "iub" else f
    real = f.dtype.kind != "c"
    given = [as_operand(h, "numpy.gradient: a distance", real=real) for h in varargs]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        constant_call(np.gradient, f, *given, axis=axis, edge_order=edge_order)  # raises
    axes = range(f.ndim) if axis is None else normalize_axis_tuple(axis, f.ndim)
    steps = given or [np.array(1.0, f.real.dtype)]
    steps = list(steps) * len(axes) if len(steps) == 1 and steps[0].ndim == 0 else steps
    steps = [np.diff(h) if h.ndim else h for h in steps]
    found = [_differences(f, h, k, edge_order) for k, h in zip(axes, steps, strict=True)]
    return found[0] if len(found) == 1 else tuple(found)


# ---- phases


@implements(
    np.unwrap,
    samples=lambda rng: [
        ((np.array([0.0, 0.8, 1.6, -3.0, 2.0, -2.5]),), {}),
        ((rng.uniform(-3, 3, (2, 4)),), {"axis": 0, "discont": 4.0}),
        ((rng.uniform(0, 4, (2, 4)),), {"period": 4.5}),
    ],
)
def unwrap(p, discont=None, axis=-1, *, period=2.0 * math.pi):
    """Arguments as in `numpy.unwrap`.

    Notes
    -----
    The derivative by `p` is 1; by the period, how many of them were added.
    """
    p = as_operand(p, "numpy.unwrap: p", real=True)
    whole = constant_call(np.unwrap, p, discont, axis, period=period)
    return p + np.rint((whole - passive(p)) / passive(period)) * period


# ---- covariances


def _cov_samples(rng):
    return [
        ((rng.normal(size=(2, 5)),), {}),
        ((rng.normal(size=5), rng.normal(size=5)), {}),
        ((rng.normal(size=(5, 2)),), {"rowvar": False, "bias": True}),
        ((rng.normal(size=(2, 4)),), {"ddof": 2}),
        ((rng.normal(size=(2, 4)),), {"fweights": np.array([1, 2, 1, 3])}),
        ((rng.normal(size=(2, 4)),), {"aweights": [0.5, 1.0, 0.75, 0.6]}),
        ((rng.normal(size=4),), {}),
    ]


@implements(np.cov, samples=_cov_samples)
def cov(m, y=None, rowvar=True, bias=False, ddof=None, fweights=None, aweights=None, *, dtype=None):
    """Arguments as in `numpy.cov`; ``aweights`` may be Variables, too."""
    m, y = _observations(m, y, rowvar, dtype, "cov")
    if m.shape[0] == 0:
        return np.zeros((0, 0))
    x = m if y is None else np.concatenate([m, y], 0)
    frequencies = None if fweights is None else np.asarray(values_of(fweights), float)
    example = np.zeros((1, x.shape[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.cov(example, None, True, bias, ddof, values_of(fweights), values_of(aweights))  # raises
    ddof = int(bias == 0) if ddof is None else ddof  # None is not 0
    w, own = frequencies, None
    if aweights is not None:
        own = np.astype(as_operand(aweights, "numpy.cov: aweights=", real=True), np.float64)
        w = own if w is None else w * own
    if w is None:
        mean, fact = np.mean(x, 1, keepdims=True), x.shape[1] - ddof
    else:
        total = np.sum(w)
        mean = np.sum(x * w, 1, keepdims=True) / total
        fact = total - ddof * (1.0 if own is None else np.sum(w * own) / total)
    if values_of(fact) <= 0:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=3)
        fact = 0.0
    x = x - mean
    right = x if w is None else x * w
    factor = np.true_divide(1, fact)
    factor = factor if type(factor) is Variable else float(factor)  # which does not promote
    return np.squeeze(x @ conjugated(right).T * factor)


def _observations(m, y, rowvar, dtype, name):
    """Return two sets of rows in one dtype."""
    m = as_operand(m, f"numpy.{name}: m")
    both = [m] if y is None else [m, as_operand(y, f"numpy.{name}: y")]
    if m.ndim > 2 or both[-1].ndim > 2:
        raise ValueError(f"numpy.{name}: an operand has more than 2 dimensions")
    dtype = np.result_type(*[x.dtype for x in both], np.float64) if dtype is None else dtype
    rows = []
    for k, x in enumerate(both):
        x = x if x.dtype == dtype else np.astype(x, dtype)
        many = x.ndim == 2 if k == 0 else x.ndim == 2 and x.shape[0] != 1
        x = np.atleast_2d(x)
        rows.append(x.T if many and not rowvar else x)
    return rows[0], rows[1] if len(rows) == 2 else None


@implements(
    np.corrcoef,
    samples=lambda rng: [
        ((rng.normal(size=(3, 5)),), {}),
        ((rng.normal(size=5), rng.normal(size=5)), {}),
        ((rng.normal(size=(5, 2)),), {"rowvar": False}),
    ],
)
def corrcoef(x, y=None, rowvar=True, *, dtype=None):
    """Arguments as in `numpy.corrcoef`."""
    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    deviation = np.sqrt(np.real(np.diagonal(c)))
    c = c / deviation[:, None] / deviation[None, :]
    # NumPy clips to [-1, 1], by a rounding error; the slope there is that of the value.
    return c


# ---- Bessel's function


@implements(np.i0, no_axes="array", samples=lambda rng: [((rng.uniform(-3.0, 3.0, (2, 3)),), {})])
def i0(x):
    """Arguments as in `numpy.i0`; it is that of `scipy.special`."""
    from fastbp.rules.special import unwrapped as special

    return special.i0(as_operand(x, "numpy.i0: x", real=True))
