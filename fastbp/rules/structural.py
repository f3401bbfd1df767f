"""Shape operations: the same elements in another shape or order, or repeated by broadcasting.

Primitive rows: reshape, transpose, broadcast_to, flip, roll, astype and the engine's sum_to. The rest is composed.
"""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from fastbp._core import graph
from fastbp._core.elementwise import sum_to as _sum_to
from fastbp._core.graph import values_of
from fastbp.errors import DTypeError
from fastbp.rules.table import implements, linear, refuse


def lead_of(g, ans):
    """Return the block axes of `g`: its shape in front of that of `ans`."""
    return g.shape[: g.ndim - ans.ndim]


def from_end(axes, nd):
    """Return an axis argument as a tuple of negative axes; raise `AxisError` as NumPy does."""
    return tuple([axis - nd for axis in normalize_axis_tuple(axes, nd)])


def spread(g, shape):
    """Broadcast `g`; a small array is filled instead, which is faster and may be added to in place."""
    if type(g) is np.ndarray and math.prod(shape) <= SMALL:
        out = np.empty(shape, g.dtype)
        out[...] = g
        return out
    return np.broadcast_to(g, shape)


SMALL = 2048  # elements; beyond this a pass over memory costs more than `numpy.broadcast_to`

# ---- what the engine itself records

# Undoes broadcasting: `nd` axes of x are its own, those in front are block axes.
sum_to = linear(
    "sum_to",
    lambda x, shape, nd: _sum_to(x, shape, x.ndim - nd),
    lambda g, ans, x, shape, nd: np.broadcast_to(
        g.reshape(lead_of(g, ans) + (1,) * (nd - len(shape)) + shape), lead_of(g, ans) + x.shape),
)
graph.bind("sum_to", sum_to)
graph.bind("variable", graph.variable)

cast = linear("astype", lambda x, dtype: x.astype(dtype), lambda g, ans, x, dtype: g)

# ---- reshape

reshape_op = linear(
    "reshape",
    lambda x, shape, own: x.reshape(x.shape[: x.ndim - own] + shape),
    lambda g, ans, x, shape, own: g.reshape(lead_of(g, ans) + x.shape),
)


def reshaped(a, shape):
    """Record a reshape to a shape that is known to fit."""
    return reshape_op(a, shape=shape, own=a.ndim)


@implements(np.reshape, samples=lambda rng: [
    ((rng.normal(size=(2, 3)), (3, 2)), {}),
    ((rng.normal(size=(2, 3, 2)), (-1, 4)), {"order": "F"}),
    ((rng.normal(size=(2, 3)), -1), {}),
    ((rng.normal(size=(1,)), ()), {"copy": True}),
    ((rng.normal(size=()), (1, 1)), {}),
    ((rng.normal(size=(2, 0)), (0, 5)), {}),
])
def reshape(a, /, shape, order="C", *, copy=None):
    """Arguments as in `numpy.reshape`; of the orders, C and F (Variables have no fixed memory layout).

    Notes
    -----
    The cotangent is reshaped back.
    """
    refuse("reshape", copy=(copy or None, None) if copy is not False else (copy, None))
    if order == "C":
        return reshape_op(a, shape=np.reshape(a.value, shape).shape, own=a.ndim)
    refuse("reshape", order=(order, "F"))
    shape = np.reshape(a.value, shape, "F").shape
    return transpose(reshaped(transpose(a), shape[::-1]))


def _reshape_method(a, /, *shape, order="C", copy=None):
    return reshape(a, shape[0] if len(shape) == 1 else shape, order, copy=copy)


graph.bind_method("reshape", _reshape_method)


@implements(np.ravel, method=("ravel", "flatten"), samples=lambda rng: [
    ((rng.normal(size=(2, 3)),), {}), ((rng.normal(size=(2, 3)), "F"), {}), ((rng.normal(size=()),), {})])
def ravel(a, order="C"):
    """Arguments as in `numpy.ravel`; of the orders, C and F."""
    return reshape(a, (a.size,), order)


# ---- transpose: the permutation of an empty array's shape 0, 1, 2 ... tells where the axes go

transpose_op = linear(
    "transpose",
    lambda x, axes: x.transpose((*range(x.ndim - len(axes)), *axes)),
    lambda g, ans, x, axes: transpose_block(g, tuple([axes.index(k) - len(axes) for k in range(-len(axes), 0)])),
)


def transpose_block(g, axes):
    return g.transpose((*range(g.ndim - len(axes)), *axes))


def permuted(function, a, *args):
    nd = a.ndim
    return transpose_op(a, axes=tuple([k - nd for k in function(np.empty(range(nd)), *args).shape]))


@implements(np.transpose, samples=lambda rng: [
    ((rng.normal(size=(2, 3, 4)),), {}), ((rng.normal(size=(2, 3, 4)), (1, -1, 0)), {}), ((rng.normal(size=()),), {})])
def transpose(a, axes=None):
    """Arguments as in `numpy.transpose`."""
    return permuted(np.transpose, a, axes)


def _transpose_method(a, *axes):
    return transpose(a, axes[0] if len(axes) == 1 else axes or None)


graph.bind_method("transpose", _transpose_method)


@implements(np.broadcast_to, samples=lambda rng: [
    ((rng.normal(size=(3, 1)), (2, 3, 4)), {}), ((rng.normal(size=()), (2,)), {}), ((rng.normal(size=(1, 2)), (0, 2)), {})])
def broadcast_to(array, shape, subok=False):
    """Arguments as in `numpy.broadcast_to`."""
    shape = np.broadcast_to(array.value, shape).shape
    return broadcast_op(array, shape=shape, own=array.ndim)


def _broadcast(x, shape, own):
    lead, shape_of_x = x.shape[: x.ndim - own], x.shape[x.ndim - own:]
    return np.broadcast_to(x.reshape(lead + (1,) * (len(shape) - own) + shape_of_x), lead + shape)


broadcast_op = linear("broadcast_to", _broadcast, lambda g, ans, x, shape, own: g)


@implements(np.expand_dims, samples=lambda rng: [
    ((rng.normal(size=(2, 3)), 1), {}), ((rng.normal(size=(2,)), (0, -1)), {})])
def expand_dims(a, axis):
    """Arguments as in `numpy.expand_dims`."""
    return reshaped(a, np.expand_dims(a.value, axis).shape)


@implements(np.swapaxes, method="swapaxes", samples=lambda rng: [((rng.normal(size=(2, 3, 4)), 0, -1), {})])
def swapaxes(a, axis1, axis2):
    """Arguments as in `numpy.swapaxes`."""
    return permuted(np.swapaxes, a, axis1, axis2)


@implements(np.matrix_transpose, samples=lambda rng: [((rng.normal(size=(2, 3, 4)),), {})])
def matrix_transpose(x, /):
    """Arguments as in `numpy.matrix_transpose`."""
    return permuted(np.matrix_transpose, x)


@implements(np.astype, method=(), samples=lambda rng: [
    ((rng.normal(size=(2, 3)), np.float64), {}), ((rng.normal(size=3), np.float64), {"copy": False})])
def astype(x, dtype, /, *, copy=True, device=None):
    """Arguments as in `numpy.astype`; the dtype is float64 or float32."""
    refuse("astype", device=(device if device != "cpu" else None, None))
    return cast(x, dtype=float_dtype(dtype, "astype"))


def float_dtype(dtype, function):
    """Return a dtype that can be differentiated, or raise `DTypeError`."""
    dtype = np.dtype(dtype)
    if dtype not in graph.FLOATS:
        raise DTypeError(f"numpy.{function}: a Variable cannot have dtype {dtype}, only float64 or float32; "
                         "use x.value for a plain array")
    return dtype


graph.bind("astype", lambda x, dtype: cast(x, dtype=np.dtype(dtype)))
