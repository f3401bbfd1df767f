"""Shape operations: the same elements in another shape, order or dtype, or broadcast.

Primitive rows: reshape, transpose, broadcast_to, flip, roll, astype and the engine's sum_to.
The rest is composed of them.
"""

import functools
import math
import threading

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from fastbp import tree
from fastbp._core import dtypes, graph
from fastbp._core.compiled import Reshapes
from fastbp._core.elementwise import sum_axes, total
from fastbp._core.elementwise import sum_to as _sum_to
from fastbp._core.graph import Variable, array_of, passive_call
from fastbp._core.operands import as_array, as_numbers
from fastbp.errors import DTypeError
from fastbp.rules import local, patterns, plans
from fastbp.rules.table import FUNCTIONS, implements, linear, refuse, without_axes

ALL = [tuple(range(-nd, 0)) for nd in range(65)]
SMALL = 2048  # elements; for larger arrays a pass over memory costs more than `numpy.broadcast_to`


def lead_of(g, ans):
    """Return the block axes of `g`: its shape in front of that of `ans`."""
    return g.shape[: g.ndim - ans.ndim]


def from_end(axes, nd):
    """Return an axis argument as a tuple of negative axes; raise `AxisError` as NumPy does."""
    return tuple([axis - nd for axis in normalize_axis_tuple(axes, nd)])


def as_operand(x, what="an operand", real=False):
    """Return a Variable as it is, a list with Variables joined, else an array of numbers.

    What a function of the table is given beside a Variable comes in here. With `real` complex
    numbers are refused.
    """
    if isinstance(x, (list, tuple)) and (graph.has_variable(x) or graph.keeps(x)):
        x = FUNCTIONS["array"](x)
    if not isinstance(x, Variable) and not graph.is_passive(x):
        return as_numbers(x, what, real)
    if real:
        as_numbers(np.empty(0, x.dtype), what, real)  # raises
    return x


def as_constant(x, what):
    """Return an operand without derivative (a mask, places) as an array, or on the record."""
    x = graph.passive(x)
    return x if graph.is_passive(x) else as_array(x, what)


def constant_call(function, *args, **kwargs):
    """Call a function without derivative; where the record keeps everything, its value is there."""
    if graph.keeps(*args, kwargs):
        return graph.passive_call(function, *args, **kwargs)
    values = {name: graph.values_of(x) for name, x in kwargs.items()}
    return function(*map(graph.values_of, args), **values)


class Leaves:
    """A function without derivative whose result is nested, as one that returns what is in it."""

    def __init__(self, function):
        self.function = function
        self.__name__ = getattr(function, "__name__", type(self).__name__)
        self._last = threading.local()

    def __call__(self, *args, **kwargs):
        """Return the leaves of the result; it as it is, if there is more in it than numbers."""
        result = self.function(*args, **kwargs)
        leaves, structure = tree.flatten(result)
        numbers = leaves and all([isinstance(x, _NUMBERS) for x in leaves])
        self._last.found = structure if numbers else None
        return tuple(leaves) if numbers else result

    @property
    def found(self):
        """How the last result of this thread was nested; None if it was returned as it is."""
        return self._last.found

    def __reduce__(self):
        return leaves_of, (self.function,)


_NUMBERS = (np.ndarray, np.generic, bool, int, float, complex)


@functools.cache
def leaves_of(function):
    """Return the one `Leaves` of a function."""
    return Leaves(function)


def _nested_call(function, args, kwargs):
    """Call a function without derivative, on the record, that returns nested containers."""
    if isinstance(function, Leaves):
        return NotImplemented
    flat = leaves_of(function)
    results = passive_call(flat, *args, **kwargs)
    return results if flat.found is None else flat.found.unflatten(results)


graph.bind("nested_call", _nested_call)


def spread(g, shape):
    """Broadcast `g`; a small array is filled instead: faster, and it may be added to in place."""
    if type(g) is not Variable and math.prod(shape) <= SMALL:
        out = np.empty(shape, g.dtype)
        out[...] = g
        return out
    if type(g) is np.ndarray and not g.ndim:
        seen = np.ndarray(shape, g.dtype, g, 0, (0,) * len(shape))  # five times as fast
        seen.flags.writeable = False
        return seen
    return np.broadcast_to(g, shape)


def add_up(t, axis, keepdims=False):
    """Sum (co)tangents over a tuple of negative axes: arrays in pairs, so that many may add up."""
    if type(t) is not np.ndarray:
        return np.sum(t, axis=axis, keepdims=keepdims)
    if len(axis) == t.ndim and not keepdims:
        return total(t)
    summed = sum_axes(t, axis)
    if keepdims:
        return summed
    return summed.reshape([n for k, n in zip(ALL[t.ndim], t.shape, strict=True) if k not in axis])


# ---- what the engine itself records


def _unsum(g, ans, x, shape, nd):
    front = g.shape[: g.ndim - len(shape)]  # the block axes of a block of blocks, too
    g = g.reshape(front + (1,) * (nd - len(shape)) + shape)
    return np.broadcast_to(g, lead_of(g, x) + x.shape)


# Undoes broadcasting: `nd` axes of x are its own, those in front are block axes.
sum_to = linear(
    "sum_to",
    lambda x, shape, nd: _sum_to(x, shape, x.ndim - nd),
    _unsum,
    pattern=patterns.scatters,
    plan=plans.sums_to_shape,
)
graph.bind("sum_to", sum_to)
graph.bind("variable", graph.variable)

# ---- dtype and copies

cast = linear(
    "astype",
    lambda x, dtype: x.astype(dtype),
    lambda g, ans, x, dtype: g,
    of_square=lambda square, dtype: cast(square, dtype=dtype),
    pattern=patterns.same,
    local=local.keeps_order,
    plan=plans.casts,
)


def float_dtype(dtype, function, given=None):
    """Return a dtype that can be differentiated, or raise `DTypeError`.

    So it does for a real dtype of what is complex, of the dtype `given`.
    """
    dtype = np.dtype(dtype)
    if dtype not in dtypes.DIFFERENTIABLE:
        raise DTypeError(
            f"numpy.{function}: a Variable cannot have dtype {dtype}, only {dtypes.NAMES}; use "
            "x.value for a plain array"
        )
    if dtype.kind != "c" and given is not None and np.dtype(given).kind == "c":
        raise DTypeError(
            f"numpy.{function}: from {given} to {dtype} the imaginary part would be lost: write "
            "x.real, or numpy.abs(x)"
        )
    return dtype


def in_dtype(function, a, dtype):
    """Cast an operand to the dtype= argument."""
    if dtype is None or a.dtype == dtype:
        return a
    return cast(a, dtype=float_dtype(dtype, function, a.dtype))


@implements(
    np.astype,
    no_axes="same",
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)), np.float64), {}),
        ((rng.normal(size=3), np.float64), {"copy": False, "device": "cpu"}),
    ],
)
def astype(x, dtype, /, *, copy=True, device=None):
    """Arguments as in `numpy.astype`; the dtype must be one of floats or complex numbers."""
    refuse("astype", device=(None if device == "cpu" else device, None))
    dtype = float_dtype(dtype, "astype", x.dtype)
    return x if dtype == x.dtype and not copy else cast(x, dtype=dtype)


# The engine casts all the time: without the checks.
graph.bind("astype", lambda x, dtype: cast(x, dtype=np.dtype(dtype)))


def _astype_method(x, dtype, order="K", casting="unsafe", subok=True, copy=True):
    if x.dtype.kind == "c" and np.dtype(dtype).kind != "c":
        return astype(x, dtype)  # raises
    np.empty(0, x.dtype).astype(dtype, order, casting)  # raises where NumPy does
    made = np.astype(x, dtype, copy=copy or not has_order(x, order))
    return made if made is x else graph.in_order(made, order_of(x, order))


graph.bind_method("astype", _astype_method)


def order_of(x, order):
    """Return an argument `order` of NumPy's without A, which depends on the array."""
    if order != "A":
        return order
    graph.note_layout()
    flags = graph.flags_of(x)
    return "F" if flags.f_contiguous and not flags.c_contiguous else "C"


def has_order(x, order):
    """Say whether NumPy takes an array as it is, where it is asked for one in an order."""
    if order in (None, "K"):
        return True
    flags = graph.flags_of(x)
    return (order != "F" and flags.c_contiguous) or (order != "C" and flags.f_contiguous)


def copied(x, order="K"):
    """Return a copy, with its elements in memory in an order of NumPy's."""
    return graph.in_order(np.positive(x), order_of(x, order))


def conjugated(x):
    """Return the conjugate, of real numbers themselves."""
    return np.conjugate(x) if x.dtype.kind == "c" else x


@implements(
    np.copy,
    no_axes="array",
    samples=lambda rng: [((rng.normal(size=(2, 3)),), {}), ((rng.normal(size=3), "C"), {})],
)
def copy(a, order="K", subok=False):
    """Arguments as in `numpy.copy`."""
    np.copy(0.0, order)  # raises where NumPy does
    return copied(a, order)


# The method's default is another one than the function's.
graph.bind_method("copy", without_axes(lambda a, order="C": copy(a, order), "same"))


# ---- reshape


def _reshape(x, shape, own):
    return x.reshape(x.shape[: x.ndim - own] + shape)


reshape_op = linear(
    "reshape",
    _reshape,
    lambda g, ans, x, shape, own: g.reshape(lead_of(g, ans) + x.shape),
    compiled=Reshapes(),
    pattern=patterns.moves,
    local=local.keeps_order,
    direct=("g reshaped back",),
)


def reshaped(a, shape):
    """Record a reshape to a shape that is known to fit."""
    return reshape_op(a, shape=shape, own=a.ndim)


@implements(
    np.reshape,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)), (3, 2)), {}),
        ((rng.normal(size=(2, 3, 2)), (-1, 4)), {"order": "F"}),
        ((rng.normal(size=(2, 3)), -1), {}),
        ((rng.normal(size=(1,)), ()), {"copy": True}),
        ((rng.normal(size=()), [1, 1]), {"copy": None}),
        ((rng.normal(size=(2, 0)), (0, 5)), {}),
    ],
)
def reshape(a, /, shape, order="C", *, copy=None):
    """Arguments as in `numpy.reshape`; ``copy=False`` is refused.

    Notes
    -----
    The cotangent is reshaped back.
    """
    order = order_of(a, order)
    if order == "C" and copy is not False:
        result = reshape_op(a, shape=a._array.reshape(shape).shape, own=a.ndim)
        return _copied(result, a) if copy else result
    refuse("reshape", copy=(copy is False, False), order=(order, "F"))
    shape = a._array.reshape(shape, order="F").shape
    result = transpose(reshaped(transpose(a), shape[::-1]))
    return _copied(result, a, "F") if copy else result


def _copied(result, a, order="C"):
    result = graph.owned(result, order)
    return result if graph.is_number(a) else graph.as_cell(result)


def _reshape_of_older(a, /, shape=None, order="C", *, newshape=None, copy=None):
    return reshape(a, newshape if shape is None else shape, order, copy=copy)


if np.lib.NumpyVersion(np.__version__) < "2.4.0":
    graph.bind_function(np.reshape, _reshape_of_older)


def _reshape_method(a, /, *shape, order="C", copy=None):
    return reshape(a, shape[0] if len(shape) == 1 else shape, order, copy=copy)


graph.bind_method("reshape", _reshape_method)


@implements(
    np.ravel,
    method="ravel",
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)),), {}),
        ((rng.normal(size=(2, 3)), "F"), {}),
        ((rng.normal(size=()),), {}),
    ],
)
def ravel(a, order="C"):
    """Arguments as in `numpy.ravel`; of the orders, C, F and A."""
    order = order_of(a, order)
    result = reshape(a, (a.size,), order)
    flags = graph.flags_of(a)
    # NumPy copies what is not contiguous, even where reshape would find a view.
    contiguous = flags.f_contiguous if order == "F" else flags.c_contiguous
    return result if contiguous else graph.owned(result)


graph.bind_method("flatten", lambda a, order="C": graph.owned(ravel(a, order)))


@implements(
    np.expand_dims,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)), 1), {}),
        ((rng.normal(size=(2,)), (0, -1)), {}),
        ((rng.normal(size=()), 0), {}),
    ],
)
def expand_dims(a, axis):
    """Arguments as in `numpy.expand_dims`."""
    return reshaped(a, np.expand_dims(a._array, axis).shape)


@implements(
    np.squeeze,
    method="squeeze",
    samples=lambda rng: [
        ((rng.normal(size=(1, 3, 1)),), {}),
        ((rng.normal(size=(1, 3, 1)), -1), {}),
        ((rng.normal(size=(1, 1)),), {"axis": (0, 1)}),
    ],
)
def squeeze(a, axis=None):
    """Arguments as in `numpy.squeeze`."""
    return reshaped(a, np.squeeze(a._array, axis).shape)


def _at_least(function, arrays):
    """Apply `numpy.atleast_1d` and its like to every array by itself."""
    results = []
    for x in arrays:
        x = as_operand(x)
        shape = function(array_of(x)).shape
        results.append(x if shape == x.shape else x.reshape(shape))
    return results[0] if len(results) == 1 else tuple(results)


@implements(
    np.atleast_1d,
    samples=lambda rng: [
        ((rng.normal(size=()),), {}),
        ((rng.normal(size=(2, 3)), rng.normal(size=())), {}),
    ],
)
def atleast_1d(*arys):
    """Arguments as in `numpy.atleast_1d`."""
    return _at_least(np.atleast_1d, arys)


@implements(
    np.atleast_2d,
    samples=lambda rng: [
        ((rng.normal(size=3),), {}),
        ((rng.normal(size=(2, 3)), rng.normal(size=())), {}),
    ],
)
def atleast_2d(*arys):
    """Arguments as in `numpy.atleast_2d`."""
    return _at_least(np.atleast_2d, arys)


@implements(
    np.atleast_3d,
    samples=lambda rng: [
        ((rng.normal(size=3),), {}),
        ((rng.normal(size=(2, 3)), rng.normal(size=())), {}),
    ],
)
def atleast_3d(*arys):
    """Arguments as in `numpy.atleast_3d`."""
    return _at_least(np.atleast_3d, arys)


# ---- transpose


def _transpose(x, axes):
    return x.transpose((*range(x.ndim - len(axes)), *axes))


def _transpose_back(g, ans, x, axes):
    nd = len(axes)
    return _transpose(g, [axes.index(k) - nd for k in range(-nd, 0)])


transpose_op = linear(
    "transpose",
    _transpose,
    _transpose_back,
    pattern=patterns.moves,
    local=local.transposes,
    direct=("g transposed back",),
)


def _permuted(function, a, *args):
    """Record the permutation of axes by a NumPy function, which the shape (0, 1, 2 ...) shows."""
    nd = a.ndim
    return transpose_op(a, axes=tuple([k - nd for k in function(np.empty(range(nd)), *args).shape]))


@implements(
    np.transpose,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3, 4)),), {}),
        ((rng.normal(size=(2, 3, 4)), (1, -1, 0)), {}),
        ((rng.normal(size=()),), {}),
    ],
)
def transpose(a, axes=None):
    """Arguments as in `numpy.transpose`."""
    if axes is None:
        return transpose_op(a, axes=tuple(range(-1, -1 - a.ndim, -1)))
    return _permuted(np.transpose, a, axes)


def _transpose_method(a, *axes):
    return transpose(a, axes[0] if len(axes) == 1 else axes or None)


graph.bind_method("transpose", _transpose_method)


@implements(
    np.matrix_transpose,
    samples=lambda rng: [((rng.normal(size=(2, 3, 4)),), {}), ((rng.normal(size=(2, 3)),), {})],
)
def matrix_transpose(x, /):
    """Arguments as in `numpy.matrix_transpose`."""
    return _permuted(np.matrix_transpose, x)


@implements(
    np.swapaxes, method="swapaxes", samples=lambda rng: [((rng.normal(size=(2, 3, 4)), 0, -1), {})]
)
def swapaxes(a, axis1, axis2):
    """Arguments as in `numpy.swapaxes`."""
    return _permuted(np.swapaxes, a, axis1, axis2)


@implements(
    np.moveaxis,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3, 4)), 0, -1), {}),
        ((rng.normal(size=(2, 3, 4)), (0, 1), (-1, 0)), {}),
    ],
)
def moveaxis(a, source, destination):
    """Arguments as in `numpy.moveaxis`."""
    return _permuted(np.moveaxis, a, source, destination)


@implements(
    np.rollaxis,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3, 4)), 2), {}),
        ((rng.normal(size=(2, 3, 4)), 0, 2), {}),
    ],
)
def rollaxis(a, axis, start=0):
    """Arguments as in `numpy.rollaxis`."""
    return _permuted(np.rollaxis, a, axis, start)


# ---- broadcasting


def _broadcast(x, shape, own):
    lead, inner = x.shape[: x.ndim - own], x.shape[x.ndim - own :]
    if lead:
        x = x.reshape(lead + (1,) * (len(shape) - own) + inner)
    return np.broadcast_to(x, lead + shape)


def _unbroadcast(g, ans, x, shape, own):
    if x.ndim == own:
        return g  # the engine sums
    # A recorded block: the axes that broadcasting adds are behind the block axes of x.
    return sum_to(g, shape=x.shape[x.ndim - own :], nd=len(shape))


broadcast_op = linear(
    "broadcast_to",
    _broadcast,
    _unbroadcast,
    pattern=patterns.moves,
    local=local.stretches,
    direct=("sum of g over the new axes",),
)


@implements(
    np.broadcast_to,
    no_axes="array",
    samples=lambda rng: [
        ((rng.normal(size=(3, 1)), (2, 3, 4)), {}),
        ((rng.normal(size=()), 2), {}),
        ((rng.normal(size=(1, 2)), (0, 2)), {}),
    ],
)
def broadcast_to(array, shape, subok=False):
    """Arguments as in `numpy.broadcast_to`."""
    shape = tuple(shape) if np.iterable(shape) else (shape,)
    return broadcast_op(array, shape=shape, own=array.ndim)


@implements(
    np.broadcast_arrays,
    samples=lambda rng: [
        ((rng.normal(size=(3, 1)), rng.normal(size=4)), {}),
        ((rng.normal(size=()), 1.0, rng.normal(size=(2, 0))), {}),
    ],
)
def broadcast_arrays(*args, subok=False):
    """Arguments as in `numpy.broadcast_arrays`."""
    args = [as_operand(x, f"numpy.broadcast_arrays: array {i}") for i, x in enumerate(args)]
    shape = np.broadcast_shapes(*[x.shape for x in args])
    return tuple(
        [
            graph.as_cell(x)
            if x.shape == shape and isinstance(x, Variable)
            else np.broadcast_to(x, shape)
            for x in args
        ]
    )


# ---- order along axes

flip_op = linear(
    "flip",
    lambda x, axis: np.flip(x, axis),
    lambda g, ans, x, axis: np.flip(g, axis),
    pattern=patterns.moves,
)


def _roll(x, shift, axis):
    if len(axis) != 1 or not x.size:
        return np.roll(x, shift, axis)
    (shift,), (axis,) = shift, axis
    shift %= x.shape[axis]
    front, behind = (..., slice(None, -shift or None)), (slice(None),) * (-1 - axis)
    back = (..., slice(-shift, None)) if shift else (..., slice(0, 0))
    return np.concatenate((x[(*back, *behind)], x[(*front, *behind)]), axis)


roll_op = linear(
    "roll",
    _roll,
    lambda g, ans, x, shift, axis: roll_op(g, shift=tuple([-s for s in shift]), axis=axis),
    pattern=patterns.moves,
)


@implements(
    np.flip,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)),), {}),
        ((rng.normal(size=(2, 3)), -1), {}),
        ((rng.normal(size=(2, 3, 2)), (0, 2)), {}),
    ],
)
def flip(m, axis=None):
    """Arguments as in `numpy.flip`."""
    return flip_op(m, axis=from_end(range(m.ndim) if axis is None else axis, m.ndim))


@implements(np.fliplr, samples=lambda rng: [((rng.normal(size=(2, 3)),), {})])
def fliplr(m):
    """Arguments as in `numpy.fliplr`."""
    return flip(m, 1)


@implements(np.flipud, samples=lambda rng: [((rng.normal(size=(2, 3)),), {})])
def flipud(m):
    """Arguments as in `numpy.flipud`."""
    return flip(m, 0)


@implements(
    np.rot90,
    samples=lambda rng: [
        *[((rng.normal(size=(2, 3)), k), {}) for k in range(4)],
        ((rng.normal(size=(2, 3, 4)), -1, (1, 2)), {}),
    ],
)
def rot90(m, k=1, axes=(0, 1)):
    """Arguments as in `numpy.rot90`."""
    np.rot90(m._array, k, axes)  # raises where NumPy does
    first, second = axes
    if k % 2 == 0:
        return flip(m, (first, second)) if k % 4 else m[...]
    if k % 4 == 1:
        return swapaxes(flip(m, second), first, second)
    return flip(swapaxes(m, first, second), second)


@implements(
    np.roll,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)), 2), {}),
        ((rng.normal(size=(2, 3)), -1), {"axis": 1}),
        ((rng.normal(size=(2, 3, 4)), (1, 2)), {"axis": (0, -1)}),
        ((rng.normal(size=(2, 3)), 1), {"axis": (0, 1)}),
        ((rng.normal(size=5), (1, 2)), {"axis": 0}),
        ((rng.normal(size=5), np.int64(3)), {}),
    ],
)
def roll(a, shift, axis=None):
    """Arguments as in `numpy.roll`."""
    if axis is None and a.ndim != 1:
        return reshaped(roll(ravel(a), shift, 0), a.shape)
    if (
        a.ndim == 1
        and type(shift) is int
        and (axis is None or (type(axis) is int and axis in (0, -1)))
    ):
        return roll_op(a, shift=(shift,), axis=(-1,))
    axis = 0 if axis is None else axis
    axis = [k - a.ndim for k in normalize_axis_tuple(axis, a.ndim, allow_duplicate=True)]
    pairs = np.broadcast(shift, axis)
    if pairs.ndim > 1:
        raise ValueError("numpy.roll: shift and axis have to be scalars or 1-d sequences")
    pairs = [(int(s), int(k)) for s, k in pairs]
    return roll_op(a, shift=tuple([s for s, _ in pairs]), axis=tuple([k for _, k in pairs]))
