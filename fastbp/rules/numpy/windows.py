"""Windows along an axis, sums between given places, running maxima and minima."""

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple
from numpy.lib.stride_tricks import sliding_window_view as _windows

from fastbp._core import graph
from fastbp._core.constants import constant
from fastbp._core.graph import passive, values_of
from fastbp.rules import patterns
from fastbp.rules.numpy.indexing import gather_op, scatter_add_op, take_along_axis
from fastbp.rules.numpy.structural import in_dtype
from fastbp.rules.table import implements, linear, refuse

# ---- windows


def _untake(g, ans, x, window, axis):
    """Add the windows, which are the last axis, at their places along the axis."""
    n = x.shape[axis]
    places = np.arange(n - window + 1)[:, None] + np.arange(window)
    behind = -1 - axis
    g = np.moveaxis(g, -1, g.ndim - 1 - behind)
    shape = (*g.shape[: g.ndim - 2 - behind], places.size, *g.shape[g.ndim - behind :])
    return scatter_add_op(np.reshape(g, shape), size=n, places=places.ravel(), behind=behind)


windows_op = linear(
    "sliding_window_view",
    lambda x, window, axis: _windows(x, window, axis),
    _untake,
    pattern=patterns.moves,
)


@implements(
    _windows,
    name="lib.stride_tricks.sliding_window_view",
    samples=lambda rng: [
        ((rng.normal(size=5), 3), {}),
        ((rng.normal(size=(3, 4)), (2, 3)), {}),
        ((rng.normal(size=(2, 4)), 2), {"axis": -1}),
        ((rng.normal(size=(4, 2)), (2, 2)), {"axis": (0, 0)}),
    ],
)
def sliding_window_view(x, window_shape, axis=None, *, subok=False, writeable=False):
    """Arguments as in `numpy.lib.stride_tricks.sliding_window_view`; writeable=True is refused.

    Notes
    -----
    An element's cotangent is the sum of those of its places in the windows.
    """
    refuse("lib.stride_tricks.sliding_window_view", writeable=(writeable, False))
    _windows(np.broadcast_to(0.0, x.shape), window_shape, axis)  # raises
    sizes = tuple(window_shape) if np.iterable(window_shape) else (window_shape,)
    axes = (
        range(x.ndim) if axis is None else normalize_axis_tuple(axis, x.ndim, allow_duplicate=True)
    )
    for size, k in zip(sizes, axes, strict=True):
        x = windows_op(x, window=int(size), axis=k - x.ndim)
    return x


# ---- sums between places


def _parts(n, indices):
    """Return the places that are summed, one part behind the other, and which part each is of."""
    ends = np.append(indices[1:], n)
    sizes = np.maximum(ends - indices, 1)  # one element, where the next place is not behind
    part = np.repeat(np.arange(indices.size), sizes)
    return np.arange(part.size) - np.repeat(np.cumsum(sizes) - sizes, sizes) + indices[part], part


def _spread(g, ans, x, indices, axis):
    places, part = _parts(x.shape[axis], np.asarray(indices))
    g = gather_op(g, places=part, behind=-1 - axis)
    return scatter_add_op(g, size=x.shape[axis], places=places, behind=-1 - axis)


reduceat_op = linear(
    "add_reduceat",
    lambda x, indices, axis: np.add.reduceat(x, indices, axis),
    _spread,
    pattern=patterns.everything,
    samples=lambda rng: [
        ((rng.normal(size=(2, 5)),), {"indices": np.array([0, 3, 1, 1]), "axis": np.intp(-1)}),
        ((rng.normal(size=(4, 2)),), {"indices": np.array([2, 0]), "axis": np.intp(-2)}),
    ],
)


def add_reduceat(array, indices, axis=0, dtype=None, out=None):
    """Arguments as in `numpy.add.reduceat`; out= is refused, the places are constants.

    Notes
    -----
    The cotangent of a part goes to each of its elements.
    """
    refuse("add.reduceat", out=(out, None))
    x = in_dtype("add.reduceat", array, dtype)
    indices = np.asarray(values_of(indices))
    np.add.reduceat(np.broadcast_to(0.0, x.shape), indices, axis)  # raises
    axis = normalize_axis_index(axis, x.ndim) - x.ndim
    return reduceat_op(x, indices=constant(np.asarray(indices, np.intp)), axis=axis)


# ---- running maxima


def _first(x, axis, sign):
    """Return where the largest element up to each one is: the first of equal ones, or a NaN."""
    top = (np.maximum if sign > 0 else np.minimum).accumulate(x, axis)
    before = np.roll(top, 1, axis)
    new = (x > before if sign > 0 else x < before) | (np.isnan(x) & ~np.isnan(before))
    count = np.reshape(np.arange(x.shape[axis]), (-1,) + (1,) * (-1 - axis))
    return np.maximum.accumulate(np.where(new & (count > 0), count, 0), axis)


def _running(ufunc, sign):
    name = f"{ufunc.__name__}.accumulate"

    def accumulate(array, axis=0, dtype=None, out=None):
        refuse(name, out=(out, None))
        x = in_dtype(name, array, dtype)
        ufunc.accumulate(np.broadcast_to(0.0, x.shape), axis)  # raises
        axis = 0 if axis is None else axis
        axis = normalize_axis_index(axis, x.ndim) - x.ndim
        plain = passive(x)
        if graph.is_passive(plain):
            places = graph.passive_call(_first, plain, axis, sign)
        else:
            places = _first(plain, axis, sign)
        return take_along_axis(x, places, axis)

    accumulate.__name__ = name
    accumulate.__doc__ = f"""Arguments as in `numpy.{name}`; out= is refused.

    Notes
    -----
    The cotangent goes to the element that is taken.
    """
    return accumulate


graph.bind_ufunc_method(np.add, "reduceat", add_reduceat)
for _ufunc, _sign in ((np.maximum, 1), (np.minimum, -1)):
    graph.bind_ufunc_method(_ufunc, "accumulate", _running(_ufunc, _sign))
