"""Images at other places: sums of spline coefficients, with weights that places determine.

The coefficients are what SciPy's filter returns, the weights the B-spline's at the fraction of a
place (`resampling`); both are linear in the image. What lies outside is mapped inside as SciPy maps
it, and that is what places are differentiated through.
"""

import functools

import numpy as np
from scipy import ndimage

from fastbp._core.graph import Variable, has_variable, values_of
from fastbp.errors import DTypeError, NoRuleError
from fastbp.rules import patterns
from fastbp.rules.counterparts import stands_for
from fastbp.rules.ndimage.filters import image, without_output
from fastbp.rules.ndimage.resampling import gather_op
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.table import linear

# ---- coefficients

# The exact boundary condition that stands for each mode.
_FILTERED = {
    "reflect": "reflect", "grid-mirror": "reflect", "nearest": "reflect", "mirror": "mirror",
    "constant": "mirror", "grid-constant": "mirror", "wrap": "mirror", "grid-wrap": "grid-wrap",
}  # fmt: skip
MARGIN = 12  # what SciPy extends an image by, where a mode has no exact boundary condition


SHORT = 64  # elements: on such axes the boundary conditions of SciPy's filters are not all exact


@functools.lru_cache(maxsize=32)
def _matrix(n, order, mode):
    """Return the matrix of SciPy's filter."""
    return ndimage.spline_filter1d(np.eye(n), order, 0, np.float64, mode)


def _filter(x, order, axis, mode):
    if x.dtype.kind == "c":
        return _filter(x.real, order, axis, mode) + 1j * _filter(x.imag, order, axis, mode)
    found = ndimage.spline_filter1d(x, order, axis[0], np.float64, mode)
    return found.astype(x.dtype, copy=False)


def _filter_back(g, order, axis, mode):
    n = g.shape[axis[0]]
    if n < 2:
        return g.copy()
    if n <= SHORT:
        found = np.moveaxis(g, axis[0], -1) @ _matrix(n, order, mode).astype(g.real.dtype)
        return np.moveaxis(found, -1, axis[0])
    if _FILTERED[mode] != "mirror":  # symmetric
        return _filter(g, order, axis, mode)
    # Symmetric once what stands for one element, not for two, counts as half.
    shape = [1] * g.ndim
    shape[axis[0]] = n
    weights = np.ones(shape, g.real.dtype)
    weights.flat[[0, -1]] = 0.5
    return _filter(g / weights, order, axis, mode) * weights


filter_op = linear(
    "ndimage.spline_filter",
    _filter,
    lambda g, ans, x, **static: filter_back_op(g, **static),
    pattern=patterns.mixes,
    direct=("solution of the transposed system of B-splines for g",),
)
filter_back_op = linear(
    "ndimage.spline_filter_back",
    _filter_back,
    lambda g, ans, x, **static: filter_op(g, **static),
    pattern=patterns.mixes,
    direct=("coefficients of g",),
)


def _coefficients(x, order, mode, axes):
    for axis in axes:
        x = filter_op(x, order=order, axis=(axis,), mode=mode)
    return x


def _check_order(order, least=0):
    if not least <= order <= 5:
        raise RuntimeError("spline order not supported")


def _wide(name, x, output):
    if x.dtype.kind == "c":
        raise DTypeError(
            f"scipy.ndimage.{name}: input has dtype {x.dtype}, real numbers are needed"
        )
    if output is not np.float64 and np.dtype(output) != np.float64:
        raise NoRuleError(f"scipy.ndimage.{name}: output= is float64 for Variables")
    return np.astype(x, np.result_type(x.dtype, np.float64))


@stands_for(
    "scipy.ndimage.spline_filter1d",
    samples=lambda rng: [
        ((rng.normal(size=(2, 5)),), {"mode": mode, "order": order})
        for mode, order in (("mirror", 3), ("reflect", 2), ("grid-wrap", 4), ("nearest", 5))
    ],
)
def spline_filter1d(input, order, axis, output, mode):
    """Arguments as in `scipy.ndimage.spline_filter1d`."""
    _check_order(order)
    x = _wide("spline_filter1d", image("spline_filter1d", input), output)
    _check_mode(mode)
    axis = np.lib.array_utils.normalize_axis_index(axis, x.ndim) - x.ndim
    return _coefficients(x, order, mode, (axis,)) if order > 1 else np.copy(x)


@stands_for(
    "scipy.ndimage.spline_filter",
    no_axes="array",
    samples=lambda rng: [((rng.normal(size=(3, 4)),), {}), ((rng.normal(size=3), 2), {})],
)
def spline_filter(input, order, output, mode):
    """Arguments as in `scipy.ndimage.spline_filter`."""
    _check_order(order, 2)
    x = _wide("spline_filter", image("spline_filter", input), output)
    _check_mode(mode)
    return _coefficients(x, order, mode, range(-x.ndim, 0))


# ---- places


def _check_mode(mode):
    if mode not in _FILTERED:
        raise RuntimeError("boundary mode not supported")


def _interpolated(x, places, order, mode, cval, prefilter):
    """Return an image, the last axes of `x`, at places: an array for each of these axes."""
    nd = len(places)
    margin = 0
    dtype = x.dtype
    x = np.astype(x, np.result_type(dtype, np.float64))
    if prefilter and order > 1:
        if mode in ("nearest", "grid-constant"):
            margin = MARGIN
            word = "edge" if mode == "nearest" else "constant"
            filled = {} if mode == "nearest" else {"constant_values": cval}
            x = np.pad(x, [(0, 0)] * (x.ndim - nd) + [(margin, margin)] * nd, word, **filled)
        x = _coefficients(x, order, mode, range(-nd, 0))
    places = places if isinstance(places, (np.ndarray, Variable)) else np.stack(places)
    places = places + margin if margin else places
    found = gather_op(x, places, nu=(0,) * nd, order=order, mode=mode, cval=cval)
    return found if found.dtype == dtype else np.astype(found, dtype)


# ---- SciPy's functions


def _begin(name, input, output, order, mode):
    without_output(name, output)
    _check_order(order)
    _check_mode(mode)
    x = image(name, input)
    if x.ndim < 1:
        raise RuntimeError("input and output rank must be > 0")
    return x


_MODES = ("reflect", "mirror", "nearest", "wrap", "grid-wrap", "constant", "grid-constant")


def _map_samples(rng):
    x, line = rng.normal(size=(4, 3)), rng.normal(size=5)
    c = np.array([[0.3, 2.6, 1.2], [1.4, 0.7, 1.9]])
    wide = [[-1.3, 0.4, 4.7, 6.2, -0.3]]
    return [
        ((x, c), {}),
        ((x, c), {"order": 1, "mode": "nearest"}),
        *[
            ((line, wide), {"mode": mode, "order": order, "cval": 0.5})
            for mode, order in zip(_MODES, (3, 2, 3, 1, 5, 3, 4), strict=True)
        ],
        ((line, wide), {"order": 0, "mode": "mirror"}),
        *[((line, wide), {"prefilter": False, "mode": mode}) for mode in ("reflect", "nearest")],
        ((line, wide), {"order": 1, "mode": "grid-constant", "cval": -1.0}),
    ]


@stands_for("scipy.ndimage.map_coordinates", samples=_map_samples)
def map_coordinates(input, coordinates, output, order, mode, cval, prefilter):
    """Arguments as in `scipy.ndimage.map_coordinates`; output= is refused.

    Notes
    -----
    Linear in the image; by coordinates it is as smooth as the splines are. At order 0 these are
    constants.
    """
    x = _begin("map_coordinates", input, output, order, mode)
    places = as_operand(coordinates, "scipy.ndimage.map_coordinates: coordinates", real=True)
    places = np.astype(places, np.float64)
    if places.ndim < 2:
        raise RuntimeError("input and output rank must be > 0")
    if places.shape[0] != x.ndim:
        raise RuntimeError("invalid shape for coordinate array")
    return _interpolated(x, places, order, mode, cval, prefilter)


def _grid(shape):
    return [k.astype(float) for k in np.indices(shape)]


@stands_for(
    "scipy.ndimage.shift",
    samples=lambda rng: [
        ((rng.normal(size=(3, 4)), rng.uniform(0.2, 0.4, 2)), {"mode": "mirror"}),
        ((rng.normal(size=5), 1.3), {"order": 1, "cval": 0.5}),
    ],
)
def shift(input, shift, output, order, mode, cval, prefilter):
    """Arguments as in `scipy.ndimage.shift`; the shift may be a Variable, output= is refused."""
    x = _begin("shift", input, output, order, mode)
    by = np.broadcast_to(as_operand(shift, "scipy.ndimage.shift: shift", real=True), (x.ndim,))
    places = [c - by[k] for k, c in enumerate(_grid(x.shape))]
    return _interpolated(x, places, order, mode, cval, prefilter)


@stands_for(
    "scipy.ndimage.zoom",
    samples=lambda rng: [
        ((rng.normal(size=(3, 4)), (2.0, 0.5)), {"mode": "nearest"}),
        ((rng.normal(size=4), 1.5), {"order": 1, "mode": "grid-constant", "grid_mode": True}),
        ((rng.normal(size=4), 1), {}),
    ],
)
def zoom(input, zoom, output, order, mode, cval, prefilter, grid_mode):
    """Arguments as in `scipy.ndimage.zoom`; the factors are constants, output= is refused."""
    if has_variable(zoom):
        raise NoRuleError("scipy.ndimage.zoom: zoom= determines a shape, and is no Variable")
    if prefilter and np.all(np.equal(zoom, 1)):
        mode = "mirror"  # nothing is interpolated
    x = _begin("zoom", input, output, order, mode)
    if grid_mode and x.dtype.kind == "c":
        raise DTypeError(
            "scipy.ndimage.zoom: of complex numbers SciPy does not look at grid_mode=: zoom real "
            "and imaginary parts one by one"
        )
    factors = np.broadcast_to(zoom, (x.ndim,)).tolist()
    shape = tuple([round(n * f) for n, f in zip(x.shape, factors, strict=True)])
    if all(f == 1 for f in factors) and prefilter:
        return np.copy(x)
    less = 0 if grid_mode else 1
    steps = [(n - less) / (m - less) if m != less else 1.0 for n, m in zip(x.shape, shape,
                                                                         strict=True)]  # fmt: skip
    places = [
        (c + 0.5) * s - 0.5 if grid_mode else c * s
        for c, s in zip(_grid(shape), steps, strict=True)
    ]
    return _interpolated(x, places, order, mode, cval, prefilter)


def _affine_samples(rng):
    x = rng.normal(size=(3, 4))
    matrix = np.array([[0.9, 0.2], [-0.1, 0.8]])
    return [
        ((x, matrix, rng.uniform(0.1, 0.2, 2)), {"mode": "mirror"}),
        ((x, np.diag([0.8, 0.7]), 0.3), {"output_shape": (2, 3), "order": 2, "mode": "reflect"}),
        ((x, [[0.9, 0.2, 0.1], [-0.1, 0.8, 0.2]]), {"cval": 0.5}),
    ]


@stands_for("scipy.ndimage.affine_transform", samples=_affine_samples)
def affine_transform(input, matrix, offset, output_shape, output, order, mode, cval, prefilter):
    """Arguments as in `scipy.ndimage.affine_transform`; output= is refused.

    Notes
    -----
    The matrix and the offset may be Variables, too.
    """
    name = "scipy.ndimage.affine_transform"
    x = _begin("affine_transform", input, output, order, mode)
    shape = x.shape if output_shape is None else tuple(output_shape)
    matrix = as_operand(matrix, f"{name}: matrix", real=True)
    offset = as_operand(offset, f"{name}: offset", real=True)
    nd = x.ndim
    if matrix.ndim not in (1, 2) or matrix.shape[0] < 1:
        raise RuntimeError("no proper affine matrix provided")
    if matrix.ndim == 2 and matrix.shape[1] == nd + 1 and matrix.shape[0] in (nd, nd + 1):
        if matrix.shape[0] == nd + 1 and np.any(values_of(matrix)[nd] != [*[0] * nd, 1]):
            raise ValueError("the bottom row of a homogeneous matrix must be 0 but for its 1")
        offset, matrix = matrix[:nd, nd], matrix[:nd, :nd]
    if matrix.shape[0] != nd:
        raise RuntimeError("affine matrix has wrong number of rows")
    if matrix.ndim == 2 and matrix.shape[1] != len(shape):
        raise RuntimeError("affine matrix has wrong number of columns")
    offset = np.broadcast_to(offset, (nd,))
    grid = _grid(shape)
    if matrix.ndim == 1:
        places = [matrix[k] * grid[k] + offset[k] for k in range(nd)]
    else:
        places = [
            sum(matrix[k, j] * grid[j] for j in range(len(shape))) + offset[k] for k in range(nd)
        ]
    return _interpolated(x, places, order, mode, cval, prefilter)


@stands_for(
    "scipy.ndimage.rotate",
    samples=lambda rng: [
        ((rng.normal(size=(3, 4)), np.array(20.0)), {"mode": "mirror"}),
        ((rng.normal(size=(3, 2, 3)), 30.0, (0, 2)), {"reshape": False, "order": 1}),
    ],
)
def rotate(input, angle, axes, reshape, output, order, mode, cval, prefilter):
    """Arguments as in `scipy.ndimage.rotate`; the angle may be a Variable, output= is refused."""
    x = _begin("rotate", input, output, order, mode)
    angle = as_operand(angle, "scipy.ndimage.rotate: angle", real=True)
    ndimage.rotate(np.zeros((2,) * x.ndim), 0.0, axes)  # raises where SciPy does
    axes = sorted(k % x.ndim for k in axes)
    x = np.moveaxis(x, axes, (-2, -1))
    shape = np.array(x.shape[-2:])
    radians = np.astype(angle, np.float64) * (np.pi / 180.0)
    c, s = np.cos(radians), np.sin(radians)
    if not has_variable(angle):
        from fastbp.rules.special import unwrapped as special

        c, s = special.cosdg(angle), special.sindg(angle)
    out = shape
    if reshape:
        rows = np.array([[values_of(c), values_of(s)], [-values_of(s), values_of(c)]])
        bounds = rows @ [[0, 0, shape[0], shape[0]], [0, shape[1], 0, shape[1]]]
        out = (np.ptp(bounds, axis=1) + 0.5).astype(int)
    middle, center = (out - 1) / 2, (shape - 1) / 2
    i, j = _grid(tuple(out))
    offset = (
        center[0] - (c * middle[0] + s * middle[1]),
        center[1] - (c * middle[1] - s * middle[0]),
    )
    places = [c * i + s * j + offset[0], c * j - s * i + offset[1]]
    found = _interpolated(x, places, order, mode, cval, prefilter)
    return np.moveaxis(found, (-2, -1), axes)
