"""Statistics of samples: moments, means, scores."""

import functools
import inspect
import math

import numpy as np
import scipy.stats
from numpy.lib.array_utils import normalize_axis_tuple

from fastbp._core.graph import has_variable, passive
from fastbp.rules.counterparts import stands_for
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.special import unwrapped as special

FUNCTIONS = {}


def _samples(rng):
    x = rng.uniform(0.5, 3.0, (4, 5))
    return [((x,), {}), ((x, 1), {}), ((x,), {"axis": None})]


def _statistic(name, samples=_samples, no_axes="number"):
    def register(f):
        kept = _keeps(f) if "keepdims" in _parameters(getattr(scipy.stats, name)) else f
        FUNCTIONS[name] = stands_for(f"scipy.stats.{name}", samples, no_axes=no_axes)(kept)
        return f

    return register


def _parameters(f):
    return inspect.signature(f).parameters


def _keeps(f):
    """Return a statistic that can keep the axes that it reduces, as axes of one element."""
    first, *_ = [name for name in _parameters(f) if name in ("a", "data", "pk")]

    @functools.wraps(f)
    def statistic(keepdims, **arguments):
        found, axis = f(**arguments), arguments["axis"]
        if not keepdims:
            return found
        if axis is None:
            axis = tuple(range(np.ndim(arguments[first])))
        axes = axis if isinstance(axis, tuple) else (axis,)
        # Counted from the end: of several orders a moment has an axis in front.
        ndim = np.ndim(found) - np.ndim(arguments.get("order", 0)) + len(axes)
        return np.expand_dims(found, tuple([k - ndim if k >= 0 else k for k in axes]))

    own = inspect.signature(f)
    keepdims = inspect.Parameter("keepdims", inspect.Parameter.KEYWORD_ONLY)
    statistic.__signature__ = own.replace(parameters=[*own.parameters.values(), keepdims])
    return statistic


def _operand(a, axis, name):
    """Return a sample and its axis; several become one, None is all of them."""
    a = as_operand(a, f"scipy.stats.{name}: the sample", True)
    if axis is None:
        return np.ravel(a), 0
    if not isinstance(axis, tuple):
        return a, axis
    if not axis:
        raise ValueError(f"scipy.stats.{name}: axis= names no axis")
    axes = normalize_axis_tuple(axis, a.ndim)
    moved = np.moveaxis(a, axes, range(-len(axes), 0))
    return np.reshape(moved, (*moved.shape[: a.ndim - len(axes)], -1)), -1


def _mean(a, axis, weights):
    if weights is None:
        return np.mean(a, axis)
    weights = as_operand(weights, "scipy.stats: weights=", True)
    if weights.ndim == 1 and weights.shape[0] == a.shape[axis]:
        weights = np.reshape(weights, [-1 if k == axis % a.ndim else 1 for k in range(a.ndim)])
    a, weights = np.broadcast_arrays(a, weights)
    return np.sum(a * weights, axis) / np.sum(weights, axis)


def _central(a, axis, order, center=None):
    mean = np.mean(a, axis, keepdims=True) if center is None else center
    return np.mean((a - mean) ** order, axis)


@_statistic("gmean")
def gmean(a, axis=0, weights=None):
    """Arguments as in `scipy.stats.gmean`: the exponential of the mean logarithm."""
    a, axis = _operand(a, axis, "gmean")
    return np.exp(_mean(np.log(a), axis, weights))


def _where_positive(a, axis, found):
    """Return NaN where an element is negative, as SciPy does."""
    negative = np.any(passive(a) < 0.0, axis)
    return np.where(negative, np.nan, found)


@_statistic("hmean")
def hmean(a, axis=0, weights=None):
    """Arguments as in `scipy.stats.hmean`: the reciprocal of the mean reciprocal."""
    a, axis = _operand(a, axis, "hmean")
    return _where_positive(a, axis, 1.0 / _mean(1.0 / a, axis, weights))


@_statistic(
    "pmean",
    lambda rng: [
        ((rng.uniform(0.5, 3.0, (4, 3)), 1.5), {}),
        ((rng.uniform(0.5, 3.0, 4), 0.02), {"weights": rng.uniform(0.5, 1.0, 4)}),
        ((rng.uniform(0.5, 3.0, (2, 3)), 0.0), {"axis": 1}),
    ],
)
def pmean(a, p, axis=0, weights=None):
    """Arguments as in `scipy.stats.pmean`; p may be a Variable, also at 0."""
    a, axis = _operand(a, axis, "pmean")
    if not has_variable(p):
        if not np.isfinite(p):
            raise NotImplementedError(
                f"scipy.stats.pmean: p is {p}, and has to be finite: write numpy.max or numpy.min"
            )
        found = _mean(a**p, axis, weights) ** (1.0 / p) if p != 0 else gmean(a, axis, weights)
        return _where_positive(a, axis, found)
    p = as_operand(p, "scipy.stats.pmean: p")
    if p.ndim:
        raise ValueError(f"scipy.stats.pmean: p is a number, no array of shape {p.shape}")
    # In the powers the slope by p is a difference of nearly equal numbers where these are near 1.
    plain = passive(a)
    logarithms = np.log(np.where(plain > 0.0, a, 1.0))
    middle = np.expand_dims(_mean(logarithms, axis, weights), axis)
    d = logarithms - middle
    size = np.abs(passive(p))
    widest = np.max(np.where(plain > 0.0, np.abs(passive(d)), np.inf), axis)
    near = size < 0.5 / np.maximum(widest, 1e-300)
    inside = np.expand_dims(near, axis)
    limit = ~near & (size == 0.0)  # of elements one of which is 0
    far = np.where(near | limit, 1.0, p)
    powers = np.where(inside, 1.0, a) ** np.expand_dims(far, axis)
    found = np.where(
        near,
        np.exp(np.squeeze(middle, axis) + _tilted(np.where(inside, d, 0.0), p, axis, weights)),
        np.where(limit, 0.0, _mean(powers, axis, weights) ** (1.0 / far)),
    )
    return _where_positive(a, axis, found)


NODES, WEIGHTS = (0.5 * x for x in np.polynomial.legendre.leggauss(8))


def _tilted(d, p, axis, weights):
    """Return ``log(mean(exp(p * d))) / p`` of small p d: the mean slope between 0 and p."""
    total = 0.0
    for node, weight in zip(NODES + 0.5, WEIGHTS, strict=True):
        tilts = np.exp(node * p * d)
        total += weight * (_mean(tilts * d, axis, weights) / _mean(tilts, axis, weights))
    return total


@_statistic("moment", lambda rng: [((rng.normal(size=(4, 3)), k), {}) for k in (2, 3)])
def moment(a, order=1, axis=0, center=None):
    """Arguments as in `scipy.stats.moment`; of several orders they stand along an axis in front."""
    if np.ndim(order):
        if np.ndim(order) > 1 or not np.size(order):
            raise ValueError("scipy.stats.moment: order= must be a number, or a list of some")
        return np.stack([moment(a, k, axis, center) for k in order])
    a, axis = _operand(a, axis, "moment")
    if center is None and order == 1:
        return np.sum(np.where(np.isnan(passive(a)), np.nan, 0.0), axis)
    return _central(a, axis, order, center)


@_statistic("skew", lambda rng: [*_samples(rng), ((rng.normal(size=5) ** 3,), {"bias": False})])
def skew(a, axis=0, bias=True):
    """Arguments as in `scipy.stats.skew`."""
    a, axis = _operand(a, axis, "skew")
    n = a.shape[axis]
    found = _central(a, axis, 3) / _central(a, axis, 2) ** 1.5
    return found if bias else found * (math.sqrt((n - 1.0) * n) / (n - 2.0))


@_statistic(
    "kurtosis",
    lambda rng: [
        *_samples(rng),
        ((rng.normal(size=6),), {"bias": False}),
        ((rng.normal(size=6),), {"fisher": False}),
    ],
)
def kurtosis(a, axis=0, fisher=True, bias=True):
    """Arguments as in `scipy.stats.kurtosis`."""
    a, axis = _operand(a, axis, "kurtosis")
    n = a.shape[axis]
    found = _central(a, axis, 4) / _central(a, axis, 2) ** 2
    if not bias:
        found = ((n * n - 1.0) * found - 3.0 * (n - 1.0) ** 2) / ((n - 2.0) * (n - 3.0)) + 3.0
    return found - 3.0 if fisher else found


@_statistic("sem")
def sem(a, axis=0, ddof=1):
    """Arguments as in `scipy.stats.sem`."""
    a, axis = _operand(a, axis, "sem")
    return np.std(a, axis, ddof=ddof) / math.sqrt(a.shape[axis])


@_statistic("variation")
def variation(a, axis=0, ddof=0):
    """Arguments as in `scipy.stats.variation`."""
    a, axis = _operand(a, axis, "variation")
    return np.std(a, axis, ddof=ddof) / np.mean(a, axis)


@_statistic("zscore", no_axes="array")
def zscore(a, axis=0, ddof=0):
    """Arguments as in `scipy.stats.zscore`."""
    a = as_operand(a, "scipy.stats.zscore: a", True)
    mean = np.mean(a, axis, keepdims=True)
    return (a - mean) / np.std(a, axis, ddof=ddof, keepdims=True)


# Before, SciPy broadcast probabilities that it had made sum to 1.
_BROADCASTS_LATE = np.lib.NumpyVersion(scipy.__version__) < "1.15.0"


@_statistic(
    "entropy",
    lambda rng: [
        ((rng.uniform(0.5, 2.0, (4, 3)),), {}),
        ((rng.uniform(0.5, 2.0, 4), rng.uniform(0.5, 2.0, 4)), {"base": 2.0}),
    ],
)
def entropy(pk, qk=None, base=None, axis=0):
    """Arguments as in `scipy.stats.entropy`; they need not sum to 1."""
    pk = as_operand(pk, "scipy.stats.entropy: pk", True)
    if _BROADCASTS_LATE:
        pk, size = _shares(pk, axis)
    if qk is not None:
        pk, qk = np.broadcast_arrays(pk, as_operand(qk, "scipy.stats.entropy: qk", True))
    if not _BROADCASTS_LATE:
        pk, size = _shares(pk, axis)
    if qk is None:
        terms = special.entr(pk) + pk * np.log(size)
    else:
        qk, others = _shares(qk, axis)
        terms = special.rel_entr(pk, qk) + pk * np.log(others / size)
    found = np.sum(terms / size, axis)
    return found if base is None else found / math.log(base)


def _shares(x, axis):
    """Return shares of the sum as it is now, and the sum in terms of that: 1, but for its slope.

    So no other share depends on one that is 0, where logarithms have no slope.
    """
    total = np.sum(x, axis, keepdims=True)
    return x / passive(total), total / passive(total)


@_statistic("boxcox_llf", lambda rng: [((0.5, rng.uniform(0.5, 3.0, 6)), {})])
def boxcox_llf(lmb, data, axis=0):
    """Arguments as in `scipy.stats.boxcox_llf`."""
    data, axis = _operand(data, axis, "boxcox_llf")
    logs = np.log(data)
    y = special.boxcox(data, lmb)
    return (lmb - 1.0) * np.sum(logs, axis) - data.shape[axis] / 2.0 * np.log(np.var(y, axis))
