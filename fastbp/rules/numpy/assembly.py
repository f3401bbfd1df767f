"""Joining arrays, taking them apart, repeating and padding them.

Primitive rows: concatenate, pad. The rest is composed of them, of reshape and of indexing.
"""

import functools

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastbp._core import graph
from fastbp._core.compiled import Joins
from fastbp._core.graph import Variable, arrays_of, passive, passive_call, values_of
from fastbp.errors import NoRuleError
from fastbp.rules import batching, patterns
from fastbp.rules.numpy.indexing import getitem_op, setitem, take
from fastbp.rules.numpy.indices import FULL
from fastbp.rules.numpy.structural import as_operand, float_dtype, from_end, lead_of, reshaped
from fastbp.rules.table import general, implements, refuse

# ---- joining


def _parts(g, needs, ans, *operands, axis):
    parts, start = [], 0
    for need, operand in zip(needs, operands, strict=True):
        stop = start + operand.shape[axis]
        parts.append(g[(..., slice(start, stop), *FULL[-1 - axis])] if need else None)
        start = stop
    return tuple(parts)


def _joined_tangents(tangents, ans, *operands, axis):
    lead = next(lead_of(t, ans) for t in tangents if t is not None)
    return np.concatenate(
        [
            np.zeros(lead + x.shape, x.dtype) if t is None else t
            for t, x in zip(tangents, operands, strict=True)
        ],
        axis,
    )


concatenate_op = general(
    "concatenate",
    lambda *operands, axis: np.concatenate(operands, axis),
    nin=-1,
    saves=(),
    vjp=_parts,
    jvp=_joined_tangents,
    compiled=Joins(),
    pattern=patterns.moves,
    batch=batching.leads,
    direct=("parts of g",),
)


def _joinable(function, arrays):
    return [
        x if type(x) is Variable else as_operand(x, f"numpy.{function}: array {i}")
        for i, x in enumerate(arrays)
    ]


def _join(function, arrays, axis, out=None, dtype=None, casting="same_kind"):
    if out is not None or casting != "same_kind":
        refuse(function, out=(out, None), casting=(casting, "same_kind"))
    arrays = _joinable(function, arrays)
    if dtype is not None:
        arrays = [np.astype(x, float_dtype(dtype, function, x.dtype)) for x in arrays]
    nd = arrays[0].ndim
    if nd == 0:
        raise ValueError(f"numpy.{function}: zero-dimensional arrays cannot be concatenated")
    return concatenate_op(*arrays, axis=normalize_axis_index(axis, nd) - nd)


def _pair(rng):
    return [rng.normal(size=(2, 3)), rng.normal(size=(2, 3))]


@implements(
    np.concatenate,
    joins=True,
    samples=lambda rng: [
        ((_pair(rng),), {}),
        (
            ([rng.normal(size=(2, 3)), rng.normal(size=(2, 0)), rng.normal(size=(2, 2))],),
            {"axis": -1},
        ),
        (((rng.normal(size=(2, 3)), rng.normal(size=())),), {"axis": None, "dtype": np.float64}),
        (([[1, 2], rng.normal(size=3)],), {}),
    ],
)
def concatenate(arrays, /, axis=0, out=None, *, dtype=None, casting="same_kind"):
    """Arguments as in `numpy.concatenate`; out= and casting= are refused.

    Notes
    -----
    Every operand gets its part of the cotangent.
    """
    if axis is None:
        arrays, axis = [np.ravel(as_operand(x)) for x in arrays], 0
    return _join("concatenate", arrays, axis, out, dtype, casting)


@implements(
    np.stack,
    joins=True,
    samples=lambda rng: [
        ((_pair(rng),), {"axis": 1}),
        ((_pair(rng),), {"axis": -1, "dtype": np.float64}),
        (([rng.normal(size=()), 1.0, rng.normal(size=())],), {}),
    ],
)
def stack(arrays, axis=0, out=None, *, dtype=None, casting="same_kind"):
    """Arguments as in `numpy.stack`; out= and casting= are refused."""
    arrays = _joinable("stack", arrays)
    shape = arrays[0].shape
    if any([x.shape != shape for x in arrays]):
        raise ValueError(f"numpy.stack: shapes differ: {[x.shape for x in arrays]}")
    axis = normalize_axis_index(axis, len(shape) + 1)
    shape = (*shape[:axis], 1, *shape[axis:])
    return _join("stack", [reshaped(x, shape) for x in arrays], axis, out, dtype, casting)


def _each(at_least, arrays):
    arrays = at_least(*arrays)
    return arrays if isinstance(arrays, tuple) else (arrays,)


@implements(
    np.vstack,
    joins=True,
    samples=lambda rng: [
        ((_pair(rng),), {}),
        (([rng.normal(size=3), _pair(rng)[0]],), {"dtype": np.float64}),
    ],
)
def vstack(tup, *, dtype=None, casting="same_kind"):
    """Arguments as in `numpy.vstack`; casting= is refused."""
    return _join("vstack", _each(np.atleast_2d, tup), 0, None, dtype, casting)


@implements(
    np.hstack,
    joins=True,
    samples=lambda rng: [((_pair(rng),), {}), (([rng.normal(size=3), rng.normal(size=())],), {})],
)
def hstack(tup, *, dtype=None, casting="same_kind"):
    """Arguments as in `numpy.hstack`; casting= is refused."""
    arrays = _each(np.atleast_1d, tup)
    return _join("hstack", arrays, 0 if arrays[0].ndim == 1 else 1, None, dtype, casting)


@implements(
    np.dstack,
    joins=True,
    samples=lambda rng: [((_pair(rng),), {}), (([rng.normal(size=3), rng.normal(size=3)],), {})],
)
def dstack(tup):
    """Arguments as in `numpy.dstack`."""
    return _join("dstack", _each(np.atleast_3d, tup), 2)


@implements(
    np.column_stack, joins=True, samples=lambda rng: [(([rng.normal(size=2), *_pair(rng)],), {})]
)
def column_stack(tup):
    """Arguments as in `numpy.column_stack`."""
    arrays = [as_operand(x, f"numpy.column_stack: array {i}") for i, x in enumerate(tup)]
    return _join("column_stack", [np.reshape(x, (-1, 1)) if x.ndim < 2 else x for x in arrays], 1)


@implements(
    np.append,
    samples=lambda rng: [
        ((*_pair(rng),), {}),
        ((*_pair(rng), 1), {}),
        ((rng.normal(size=3), 2.0), {}),
    ],
)
def append(arr, values, axis=None):
    """Arguments as in `numpy.append`."""
    return concatenate([arr, values], axis)


@implements(
    np.insert,
    layout="A",
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)), 1, rng.normal(size=2)), {"axis": 1}),
        ((rng.normal(size=(2, 3)), [0, 2], rng.normal(size=())), {}),
        ((rng.normal(size=(2, 3)), slice(1, 3), rng.normal(size=(2, 1))), {"axis": 1}),
        ((rng.normal(size=0), 0, rng.normal(size=2)), {}),
        ((rng.normal(size=3), -1, 2), {}),
    ],
)
def insert(arr, obj, values, axis=None):
    """Arguments as in `numpy.insert`."""
    arr, values = as_operand(arr), as_operand(values)
    if not isinstance(arr, Variable):
        arr = graph.variable(arr)
    if values.dtype.kind == "c":
        float_dtype(arr.dtype, "insert", values.dtype)  # raises
    # NumPy, inserting negative numbers among the numbers of the elements, shows what goes where.
    old, new = np.arange(arr.size).reshape(arr.shape), -1 - np.arange(values.size)
    numbers = np.insert(old, passive(obj), new.reshape(values.shape), axis)
    source = np.concatenate([np.ravel(arr), np.zeros(1, arr.dtype)])
    new = numbers < 0
    return setitem(take(source, np.maximum(numbers, -1)), new, np.ravel(values)[-1 - numbers[new]])


@implements(
    np.block,
    no_axes="array",
    joins="nested",
    samples=lambda rng: [
        (([[rng.normal(size=(2, 2)), np.zeros((2, 1))], [rng.normal(size=(1, 3))]],), {}),
        (([rng.normal(size=2), 1.0],), {}),
        ((rng.normal(size=(2, 2)),), {}),
    ],
)
def block(arrays):
    """Arguments as in `numpy.block`."""
    arrays = _operands(arrays)
    expected = np.block(arrays_of(arrays))  # raises where NumPy does; and its order in memory
    nd = expected.ndim

    def join(item, depth):
        if not isinstance(item, list):
            item = np.reshape(item, (1,) * (nd - item.ndim) + item.shape)
            return graph.owned(item) if isinstance(item, Variable) else item
        return np.concatenate([join(part, depth - 1) for part in item], -depth)

    depth, item = 0, arrays
    while isinstance(item, list):
        depth, item = depth + 1, item[0]
    return graph.in_order_of(join(arrays, depth), expected)


def _operands(nested):
    if isinstance(nested, list):
        return [_operands(item) for item in nested]
    return as_operand(nested, "numpy.block: an array")


# ---- taking apart


def _split(function, ary, indices_or_sections, axis):
    """Split by slices: NumPy, splitting the numbers of the elements, shows where."""
    pieces = function(np.arange(ary.shape[axis]), values_of(indices_or_sections))
    slices = [slice(piece[0], piece[-1] + 1) if piece.size else slice(0, 0) for piece in pieces]
    tail = FULL[-1 - from_end(axis, ary.ndim)[0]]
    return [getitem_op(ary, index=(..., part, *tail)) for part in slices]


@implements(
    np.array_split,
    samples=lambda rng: [
        ((rng.normal(size=(2, 5)), 3), {"axis": 1}),
        ((rng.normal(size=4), [1, 3]), {}),
    ],
)
def array_split(ary, indices_or_sections, axis=0):
    """Arguments as in `numpy.array_split`."""
    return _split(np.array_split, ary, indices_or_sections, axis)


@implements(
    np.split,
    samples=lambda rng: [
        ((rng.normal(size=(2, 4)), 2), {"axis": -1}),
        ((rng.normal(size=5), [3, 2]), {}),
    ],
)
def split(ary, indices_or_sections, axis=0):
    """Arguments as in `numpy.split`."""
    return _split(np.split, ary, indices_or_sections, axis)


@implements(
    np.hsplit,
    samples=lambda rng: [((rng.normal(size=(2, 4)), 2), {}), ((rng.normal(size=4), [1]), {})],
)
def hsplit(ary, indices_or_sections):
    """Arguments as in `numpy.hsplit`."""
    np.hsplit(ary._array, indices_or_sections)  # raises where NumPy does
    return split(ary, indices_or_sections, 1 if ary.ndim > 1 else 0)


@implements(np.vsplit, samples=lambda rng: [((rng.normal(size=(4, 2)), 2), {})])
def vsplit(ary, indices_or_sections):
    """Arguments as in `numpy.vsplit`."""
    np.vsplit(ary._array, indices_or_sections)
    return split(ary, indices_or_sections, 0)


@implements(np.dsplit, samples=lambda rng: [((rng.normal(size=(2, 2, 4)), [1]), {})])
def dsplit(ary, indices_or_sections):
    """Arguments as in `numpy.dsplit`."""
    np.dsplit(ary._array, indices_or_sections)
    return split(ary, indices_or_sections, 2)


def unstack(x, /, *, axis=0):
    """Arguments as in `numpy.unstack`."""
    if x.ndim == 0:
        raise ValueError("Input array must be at least 1-d.")
    return tuple(np.moveaxis(x, axis, 0))


if hasattr(np, "unstack"):  # NumPy 2.1
    implements(
        np.unstack,
        samples=lambda rng: [
            ((rng.normal(size=(2, 3)),), {}),
            ((rng.normal(size=(2, 3)),), {"axis": -1}),
        ],
    )(unstack)


# ---- repeating


@implements(
    np.tile,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)), 2), {}),
        ((rng.normal(size=3), (2, 1, 2)), {}),
        ((rng.normal(size=(2, 3, 2)), (2, 2)), {}),
        ((rng.normal(size=()), 3), {}),
        ((rng.normal(size=2), 0), {}),
    ],
)
def tile(A, reps):
    """Arguments as in `numpy.tile`."""
    reps = tuple(reps) if np.iterable(reps) else (reps,)
    nd = max(len(reps), A.ndim)
    reps = (1,) * (nd - len(reps)) + reps
    shape = (1,) * (nd - A.ndim) + A.shape
    inner = tuple([n for size in shape for n in (1, size)])
    outer = tuple([n for pair in zip(reps, shape, strict=True) for n in pair])
    wide = np.broadcast_to(reshaped(A, inner), outer)
    return graph.owned(reshaped(wide, tuple([r * n for r, n in zip(reps, shape, strict=True)])))


@implements(
    np.repeat,
    layout="C",
    method="repeat",
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)), 2), {}),
        ((rng.normal(size=(2, 3)), 2), {"axis": -1}),
        ((rng.normal(size=()), 2), {}),
        ((rng.normal(size=(2, 3)), [0, 2, 1]), {"axis": 1}),
        ((rng.normal(size=(2, 3)), [2]), {"axis": 0}),
    ],
)
def repeat(a, repeats, axis=None):
    """Arguments as in `numpy.repeat`."""
    if axis is None or a.ndim == 0:
        a, axis = np.ravel(a), 0 if axis is None else axis
    axis = normalize_axis_index(axis, a.ndim)
    repeats = passive(repeats)
    numbers = np.arange(a.shape[axis])
    if graph.is_passive(repeats):  # NumPy would read it
        return take(a, passive_call(np.repeat, numbers, repeats), axis)
    which = np.repeat(numbers, repeats)  # raises where NumPy does
    if np.size(repeats) != 1:
        return take(a, which, axis)
    before, (n, *after) = a.shape[:axis], a.shape[axis:]
    wide = np.broadcast_to(
        reshaped(a, (*before, n, 1, *after)), (*before, n, which.size // n if n else 0, *after)
    )
    return graph.owned(reshaped(wide, (*before, which.size, *after)))


# ---- padding


def _pad(x, width, constants):
    lead = ((0, 0),) * (x.ndim - len(width))
    return np.pad(x, lead + width, constant_values=0 if constants is None else lead + constants)


def _unpad(g, ans, x, width, constants):
    own = zip(width, x.shape[x.ndim - len(width) :], strict=True)  # of a batch, x has more in front
    return g[(..., *[slice(before, before + n) for (before, _), n in own])]


pad_op = general(
    "pad",
    _pad,
    nin=1,
    saves=(),
    vjp=(_unpad,),
    jvp=(lambda t, ans, x, width, constants: pad_op(t, width=width, constants=None),),
    pattern=functools.partial(patterns.moves, constants=None),
    batch=batching.leads,
)


def _widths(pad_width, nd):
    """Return the pad_width= argument as a pair of ints for every axis."""
    if isinstance(pad_width, dict):
        pairs = [(0, 0)] * nd
        for axis, width in pad_width.items():
            pairs[axis] = (width, width) if np.ndim(width) == 0 else width
        pad_width = pairs
    pairs = np.asarray(pad_width)
    if pairs.dtype.kind not in "iu":
        raise TypeError("`pad_width` must be of integral type.")
    return tuple(map(tuple, np.broadcast_to(pairs, (nd, 2)).tolist()))


def _padded(x, width, constants):
    """Pad by recorded values, axis after axis: in a corner stands that of the last one."""
    constants = np.broadcast_to(np.astype(constants, x.dtype), (x.ndim, 2))
    for axis, around in enumerate(width):
        sides = [
            np.broadcast_to(constants[axis, k], (*x.shape[:axis], n, *x.shape[axis + 1 :]))
            for k, n in enumerate(around)
        ]
        x = np.concatenate([sides[0], x, sides[1]], axis)
    return x


@functools.lru_cache(maxsize=64)
def _repeated(n, around, mode):
    """Return which of n elements stand along an axis that is padded by repeating some."""
    which = np.pad(np.arange(n), around, mode)
    which.flags.writeable = False
    return which


@implements(
    np.pad,
    layout="A",
    no_axes="array",
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)), 1), {}),
        ((rng.normal(size=(2, 3)), ((0, 1), (2, 0))), {"constant_values": (1.0, 2.0)}),
        ((rng.normal(size=(2, 3)), {-1: (1, 2)}), {}),
        *[
            ((rng.normal(size=(3, 4)), (2, 1), mode), {})
            for mode in ("edge", "reflect", "symmetric", "wrap")
        ],
    ],
)
def pad(array, pad_width, mode="constant", **kwargs):
    """Arguments as in `numpy.pad`; the modes are constant, edge, reflect, symmetric and wrap.

    Notes
    -----
    Where elements are repeated, their cotangents add up. ``reflect_type="odd"`` is refused, and so
    are the modes that compute.
    """
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap"):
        raise NoRuleError(
            f"numpy.pad: the mode {mode!r} is not supported for Variables: constant, edge, "
            "reflect, symmetric and wrap are; else write numpy.concatenate([before, x, after])"
        )
    if kwargs.get("reflect_type", "even") != "even":
        raise NoRuleError("numpy.pad: reflect_type='odd' is not supported for Variables")
    array = as_operand(array, "numpy.pad: array")
    constants = kwargs.get("constant_values", 0)
    recorded = graph.has_variable((constants,))
    if kwargs:
        if recorded:
            constants = as_operand(constants, "numpy.pad: constant_values=")
            kwargs["constant_values"] = np.zeros(constants.shape)
        np.pad(np.zeros((1,) * array.ndim), 0, mode, **kwargs)  # raises where NumPy does
    width = _widths(pad_width, array.ndim)
    if mode == "constant" and recorded:
        return _padded(array, width, constants)
    if mode == "constant":
        constants = tuple(map(tuple, np.broadcast_to(constants, (array.ndim, 2)).tolist()))
        return pad_op(array, width=width, constants=constants)
    result = array
    for axis, around in enumerate(width):
        if around != (0, 0):
            result = take(result, _repeated(array.shape[axis], around, mode), axis)
    return np.positive(array) if result is array else result
