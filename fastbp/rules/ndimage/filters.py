"""Filters by weights: correlations with what the border is extended by, and their exact adjoints.

A correlation is one of the extended array, where it is `valid`. Its adjoint convolves in full, and
folds what lies on the extension back to where that came from.
"""

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple
from scipy import ndimage

from fastbp._core.constants import constant
from fastbp._core.graph import Variable, has_variable
from fastbp.errors import DTypeError, NoRuleError
from fastbp.rules import patterns
from fastbp.rules.counterparts import stands_for
from fastbp.rules.numpy.structural import as_operand, from_end
from fastbp.rules.signal.convolution import convolve_op, reverse
from fastbp.rules.table import linear

__all__ = ["EXTENSIONS", "correlated", "margins", "sources"]

# The word of `numpy.pad` for each mode of a filter.
EXTENSIONS = {
    "reflect": "symmetric", "grid-mirror": "symmetric", "mirror": "reflect", "nearest": "edge",
    "wrap": "wrap", "grid-wrap": "wrap", "constant": "constant", "grid-constant": "constant",
}  # fmt: skip


def margins(size, origin):
    """Return by how much an axis is extended in front and behind, for a filter of a size."""
    if not -(size // 2) <= origin <= (size - 1) // 2:
        raise ValueError("invalid origin")
    before = size // 2 + origin
    return before, size - 1 - before


def sources(n, before, after, mode):
    """Return which elements an extended axis shows; -1 for those of a constant."""
    if EXTENSIONS[mode] == "constant":
        return np.pad(np.arange(n), (before, after), constant_values=-1)
    return np.pad(np.arange(n), (before, after), EXTENSIONS[mode])


def _correlate(x, weights, axis, mode, origin):
    if weights.ndim == 1:
        return ndimage.correlate1d(x, weights, axis[0], mode=mode, origin=origin[0])
    lead = (1,) * (x.ndim - weights.ndim)
    origin = (*(0,) * len(lead), *origin)
    return ndimage.correlate(x, weights.reshape(lead + weights.shape), mode=mode, origin=origin)


def _correlate_back(g, weights, axis, mode, origin):
    room = [(0, 0)] * g.ndim
    for k, size in zip(axis, weights.shape, strict=True):
        room[k] = (0, size - 1)
    full = np.pad(g, room)
    ends = tuple([(size - 1) // 2 for size in weights.shape])
    full = _correlate(full, np.flip(weights), axis, "constant", ends)
    for k, size, at in zip(axis, weights.shape, origin, strict=True):
        full = _folded(full, k, *margins(size, at), mode)
    return full


def _folded(e, axis, before, after, mode):
    """Add up along an axis what an extension shows."""
    e = np.moveaxis(e, axis, -1)
    n = e.shape[-1] - before - after
    found = e[..., before : before + n].copy()
    if n and EXTENSIONS[mode] != "constant":
        places = sources(n, before, after, mode)
        np.add.at(found, (..., places[:before]), e[..., :before])
        np.add.at(found, (..., places[before + n :]), e[..., before + n :])
    return np.moveaxis(found, -1, axis)


correlate_op = linear(
    "ndimage.correlate",
    _correlate,
    lambda g, ans, x, **static: correlate_back_op(g, **static),
    pattern=patterns.mixes,
    direct=("g convolved with the weights, folded back at the borders",),
)
correlate_back_op = linear(
    "ndimage.correlate_back",
    _correlate_back,
    lambda g, ans, x, **static: correlate_op(g, **static),
    pattern=patterns.mixes,
    direct=("g correlated with the weights",),
)


def checked_mode(name, mode):
    """Return a mode for filters; raise if there is none of this name."""
    if not isinstance(mode, str):
        raise NoRuleError(f"scipy.ndimage.{name}: one mode= for all axes is supported")
    if mode not in EXTENSIONS:
        raise RuntimeError("boundary mode not supported")
    return mode


def in_order(name, axes, nd):
    """Return axes; SciPy takes the axes of weights for those of the image in their order."""
    if axes is None:
        return tuple(range(nd))
    axes = normalize_axis_tuple(axes, nd)
    if list(axes) != sorted(axes):
        raise NoRuleError(f"scipy.ndimage.{name}: axes= must increase where there are Variables")
    return axes


def without_output(name, output):
    """Refuse an output to write into, or of another dtype."""
    if output is not None:
        raise NoRuleError(f"scipy.ndimage.{name}: output= is not supported for Variables")


def image(name, input):
    """Return what is filtered, in a dtype that SciPy keeps."""
    x = as_operand(input, f"scipy.ndimage.{name}: input")
    if x.dtype.kind not in "fc":
        raise DTypeError(
            f"scipy.ndimage.{name}: an image of {x.dtype} has a result of integers, without a "
            "derivative: write input.astype(float)"
        )
    return x


def correlated(x, weights, axis, mode, cval=0.0, origin=None):
    """Correlate along negative axes with weights, one axis of them for each; they may be Variables.

    What is n-dimensional has the last axes.
    """
    origin = (0,) * len(axis) if origin is None else origin
    around = [margins(size, at) for size, at in zip(weights.shape, origin, strict=True)]
    if has_variable((weights, cval)):
        nd = len(axis)
        moved = np.moveaxis(x, axis, range(-nd, 0))
        widths = [(0, 0)] * (x.ndim - nd) + around
        word = EXTENSIONS[mode] if x.size else "constant"  # of nothing there is nothing else
        filled = {"constant_values": cval} if word == "constant" else {}
        moved = np.pad(moved, widths, word, **filled)
        found = convolve_op(moved, reverse(weights, nd), mode="valid", nd=nd, method="direct")
        found = np.moveaxis(found, range(-nd, 0), axis)
        return found if found.dtype == x.dtype else np.astype(found, x.dtype)
    if not isinstance(x, Variable):
        x = np.asarray(x)
    static = {"weights": constant(weights), "axis": axis, "mode": mode, "origin": origin}
    found = correlate_op(x, **static)
    if EXTENSIONS[mode] == "constant" and cval != 0:
        shape = [x.shape[k] if k - x.ndim in axis else 1 for k in range(x.ndim)]
        ones = np.ones(shape, x.real.dtype)
        lacking = np.sum(weights) - _correlate(ones, weights, axis, mode, origin)
        found = found + cval * np.asarray(lacking, found.dtype)
    return found


def _reversed(weights, origin):
    """Return weights and origins of the correlation that a convolution is."""
    axes = tuple(range(weights.ndim))
    origin = tuple([-at - (size % 2 == 0) for at, size in zip(origin, weights.shape, strict=True)])
    return np.flip(weights, axes), origin


# ---- by weights that are given


def _one_samples(rng):
    x = rng.normal(size=(2, 5))
    w = rng.normal(size=3)
    calls = [((x, [1.0, 2.0, -0.5]), {"mode": mode}) for mode in EXTENSIONS]
    return [
        ((x, w), {"mode": "mirror"}),
        ((x, rng.normal(size=2)), {"axis": 0, "origin": -1, "mode": "constant", "cval": 0.5}),
        *calls[:6],
        ((x, [0.5, 1.0]), {"origin": -1}),
        ((x, [0.5, 1.0, 2.0]), {"mode": "constant", "cval": 0.5, "origin": 1}),
    ]


def _one(name, input, weights, axis, output, mode, cval, origin, convolves):
    without_output(name, output)
    x = image(name, input)
    axis = normalize_axis_index(axis, x.ndim) - x.ndim
    weights = as_operand(weights, f"scipy.ndimage.{name}: weights", real=True)
    if weights.ndim != 1 or not weights.shape[0]:
        raise RuntimeError("no filter weights given")
    origin = (int(origin),)
    if convolves:
        weights, origin = _reversed(weights, origin)
    return correlated(x, weights, (axis,), checked_mode(name, mode), cval, origin)


@stands_for("scipy.ndimage.correlate1d", samples=_one_samples)
def correlate1d(input, weights, axis, output, mode, cval, origin):
    """Arguments as in `scipy.ndimage.correlate1d`; weights may be Variables, output= is refused."""
    return _one("correlate1d", input, weights, axis, output, mode, cval, origin, False)


@stands_for("scipy.ndimage.convolve1d", samples=_one_samples)
def convolve1d(input, weights, axis, output, mode, cval, origin):
    """Arguments as in `scipy.ndimage.convolve1d`; weights may be Variables, output= is refused."""
    return _one("convolve1d", input, weights, axis, output, mode, cval, origin, True)


def _many_samples(rng):
    x, w = rng.normal(size=(3, 4)), rng.normal(size=(2, 3))
    plain = w.tolist()
    return [
        ((x, w), {}),
        *[((x, plain), {"mode": mode}) for mode in ("mirror", "nearest", "wrap", "grid-constant")],
        ((x, plain), {"mode": "constant", "cval": 0.5, "origin": (-1, 1)}),
    ]


def _origins(origin, nd):
    return tuple(np.broadcast_to(origin, (nd,)).tolist())


def _many(name, input, weights, output, mode, cval, origin, axes, convolves):
    without_output(name, output)
    x = image(name, input)
    weights = as_operand(weights, f"scipy.ndimage.{name}: weights", real=True)
    axes = in_order(name, axes, x.ndim)
    if weights.ndim != len(axes):
        raise RuntimeError(
            f"weights.ndim ({weights.ndim}) must match len(axes) ({len(axes)}): filter weights "
            "array has incorrect shape"
        )
    origin = _origins(origin, weights.ndim)
    if convolves:
        weights, origin = _reversed(weights, origin)
    mode, nd = checked_mode(name, mode), weights.ndim
    own = tuple(range(-nd, 0))
    moved = np.moveaxis(x, tuple(axes), own)
    found = correlated(moved, weights, own, mode, cval, origin)
    return np.moveaxis(found, own, tuple(axes))


@stands_for("scipy.ndimage.correlate", samples=_many_samples)
def correlate(input, weights, output, mode, cval, origin, axes=None):
    """Arguments as in `scipy.ndimage.correlate`; weights may be Variables, output= is refused."""
    return _many("correlate", input, weights, output, mode, cval, origin, axes, False)


@stands_for("scipy.ndimage.convolve", samples=_many_samples)
def convolve(input, weights, output, mode, cval, origin, axes=None):
    """Arguments as in `scipy.ndimage.convolve`; weights may be Variables, output= is refused."""
    return _many("convolve", input, weights, output, mode, cval, origin, axes, True)


# ---- by weights that have a name


def _axes_of(x, axes):
    if axes is None:
        return from_end(tuple(range(x.ndim)), x.ndim)
    return from_end((axes,) if np.isscalar(axes) else tuple(axes), x.ndim)


def _each(value, count, name):
    """Return a value for each axis."""
    if isinstance(value, str) or np.ndim(value) == 0:
        return [value] * count
    if len(value) != count:
        raise RuntimeError(f"sequence argument {name} must have length equal to input rank")
    return list(value)


def _gaussian(sigma, order, truncate, radius):
    """Return the weights: what a unit becomes."""
    if radius is None:
        radius = int(truncate * float(sigma) + 0.5)
    given = {"order": order, "mode": "constant", "truncate": truncate, "radius": radius}
    unit = np.zeros(2 * radius + 1)
    unit[radius] = 1.0
    return ndimage.gaussian_filter1d(unit, sigma, **given)[::-1]


def _smoothed(name, x, sigma, order, mode, cval, truncate, radius, axes):
    if has_variable((sigma, order, truncate)):
        raise NoRuleError(
            f"scipy.ndimage.{name}: sigma, order and truncate are constants, no Variables"
        )
    axes = _axes_of(x, axes)
    count = len(axes)
    each = [
        _each(v, count, what)
        for v, what in ((sigma, "sigma"), (order, "order"), (mode, "mode"), (radius, "radius"))
    ]
    for axis, s, n, m, r in zip(axes, *each, strict=True):
        if s > 1e-15:
            weights = _gaussian(s, n, truncate, r)
            x = correlated(x, weights, (axis,), checked_mode(name, m), cval)
    return x


@stands_for(
    "scipy.ndimage.gaussian_filter1d",
    samples=lambda rng: [
        ((rng.normal(size=4), 0.5), {}),
        ((rng.normal(size=(3, 2)), 0.7, 0, 1), {"mode": "nearest", "truncate": 2.0}),
    ],
)
def gaussian_filter1d(input, sigma, axis, order, output, mode, cval, truncate, radius):
    """Arguments as in `scipy.ndimage.gaussian_filter1d`; output= is refused."""
    without_output("gaussian_filter1d", output)
    x = image("gaussian_filter1d", input)
    axis = normalize_axis_index(axis, x.ndim)
    given = (sigma, order, mode, cval, truncate, radius, axis)
    return _smoothed("gaussian_filter1d", x, *given)


@stands_for(
    "scipy.ndimage.gaussian_filter",
    samples=lambda rng: [
        ((rng.normal(size=(3, 4)), (0.5, 0.7)), {"order": (0, 1)}),
        ((rng.normal(size=(3, 2)), 0.6), {"mode": "wrap", "axes": (0,)}),
    ],
)
def gaussian_filter(input, sigma, order, output, mode, cval, truncate, radius=None, axes=None):
    """Arguments as in `scipy.ndimage.gaussian_filter`; output= is refused."""
    without_output("gaussian_filter", output)
    x = image("gaussian_filter", input)
    found = _smoothed("gaussian_filter", x, sigma, order, mode, cval, truncate, radius, axes)
    return np.copy(found) if found is x else found


@stands_for(
    "scipy.ndimage.uniform_filter1d",
    samples=lambda rng: [
        ((rng.normal(size=5), 3), {}),
        ((rng.normal(size=(3, 2)), 2), {"axis": 0, "mode": "constant", "origin": -1, "cval": 0.5}),
    ],
)
def uniform_filter1d(input, size, axis, output, mode, cval, origin):
    """Arguments as in `scipy.ndimage.uniform_filter1d`; output= is refused."""
    without_output("uniform_filter1d", output)
    x = image("uniform_filter1d", input)
    if size < 1:
        raise RuntimeError("incorrect filter size")
    axis = normalize_axis_index(axis, x.ndim) - x.ndim
    mode = checked_mode("uniform_filter1d", mode)
    return correlated(x, np.full(size, 1.0 / size), (axis,), mode, cval, (int(origin),))


@stands_for(
    "scipy.ndimage.uniform_filter",
    samples=lambda rng: [((rng.normal(size=(3, 4)), (2, 3)), {"mode": "mirror"})],
)
def uniform_filter(input, size, output, mode, cval, origin, axes=None):
    """Arguments as in `scipy.ndimage.uniform_filter`; output= is refused."""
    without_output("uniform_filter", output)
    x = image("uniform_filter", input)
    axes = _axes_of(x, axes)
    each = [
        _each(v, len(axes), what)
        for v, what in ((size, "size"), (mode, "mode"), (origin, "origin"))
    ]
    for axis, n, m, at in zip(axes, *each, strict=True):
        weights, m = np.full(int(n), 1.0 / n), checked_mode("uniform_filter", m)
        x = correlated(x, weights, (axis,), m, cval, (int(at),))
    return x


def _edges(name, input, axis, output, mode, cval, across):
    without_output(name, output)
    x = image(name, input)
    axis = normalize_axis_index(axis, x.ndim) - x.ndim
    modes = _each(mode, x.ndim, "mode")
    x = correlated(x, np.array([-1.0, 0.0, 1.0]), (axis,), checked_mode(name, modes[axis]), cval)
    for k in range(-x.ndim, 0):
        if k != axis:
            x = correlated(x, np.array(across), (k,), checked_mode(name, modes[k]), cval)
    return x


def _edge_samples(rng):
    return [((rng.normal(size=(3, 4)),), {}), ((rng.normal(size=(3, 3)), 0), {"mode": "wrap"})]


@stands_for("scipy.ndimage.sobel", samples=_edge_samples)
def sobel(input, axis, output, mode, cval):
    """Arguments as in `scipy.ndimage.sobel`; output= is refused."""
    return _edges("sobel", input, axis, output, mode, cval, [1.0, 2.0, 1.0])


@stands_for("scipy.ndimage.prewitt", samples=_edge_samples)
def prewitt(input, axis, output, mode, cval):
    """Arguments as in `scipy.ndimage.prewitt`; output= is refused."""
    return _edges("prewitt", input, axis, output, mode, cval, [1.0, 1.0, 1.0])


def _plain_samples(rng):
    return [((rng.normal(size=(3, 4)),), {}), ((rng.normal(size=4),), {"mode": "constant"})]


@stands_for("scipy.ndimage.laplace", samples=_plain_samples)
def laplace(input, output, mode, cval, axes=None):
    """Arguments as in `scipy.ndimage.laplace`; output= is refused."""
    without_output("laplace", output)
    x = image("laplace", input)
    axes = _axes_of(x, axes)
    weights = np.array([1.0, -2.0, 1.0])
    found = [
        correlated(x, weights, (axis,), checked_mode("laplace", m), cval)
        for axis, m in zip(axes, _each(mode, len(axes), "mode"), strict=True)
    ]
    return sum(found) if found else np.copy(x)


def _derivatives(name, x, sigma, order, mode, cval, axes, truncate=4.0, radius=None):
    """Return the derivatives along some axes of what is smoothed along all."""
    axes = _axes_of(x, axes)
    found = []
    for axis, m in zip(axes, _each(mode, len(axes), "mode"), strict=True):
        orders = [0] * x.ndim
        orders[axis] = order
        found.append(_smoothed(name, x, sigma, orders, m, cval, truncate, radius, None))
    return found


def _sigma_samples(rng):
    return [((rng.normal(size=(3, 4)), 0.5), {}), ((rng.normal(size=4), 0.5), {"mode": "nearest"})]


@stands_for("scipy.ndimage.gaussian_laplace", samples=_sigma_samples)
def gaussian_laplace(input, sigma, output, mode, cval, axes=None, kwargs=None):
    """Arguments as in `scipy.ndimage.gaussian_laplace`; output= is refused."""
    without_output("gaussian_laplace", output)
    x = image("gaussian_laplace", input)
    own = _axes_of(x, axes)
    each = [0.0] * x.ndim  # others are left as they are
    for axis, s in zip(own, _each(sigma, len(own), "sigma"), strict=True):
        each[axis] = s
    found = _derivatives("gaussian_laplace", x, each, 2, mode, cval, axes, **(kwargs or {}))
    return sum(found) if found else np.copy(x)


@stands_for("scipy.ndimage.gaussian_gradient_magnitude", samples=_sigma_samples)
def gaussian_gradient_magnitude(input, sigma, output, mode, cval, axes=None, kwargs=None):
    """Arguments as in `scipy.ndimage.gaussian_gradient_magnitude`; output= is refused.

    Notes
    -----
    A norm: where the gradient is zero, as in flat parts, the derivative is 0.
    """
    name = "gaussian_gradient_magnitude"
    without_output(name, output)
    x = image(name, input)
    parts = _derivatives(name, x, sigma, 1, mode, cval, axes, **(kwargs or {}))
    if not parts:
        return np.copy(x)
    if x.dtype.kind == "c":
        return np.sqrt(sum(p * p for p in parts))
    return np.linalg.norm(np.stack(parts), axis=0)
