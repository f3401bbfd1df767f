"""Calls on values without derivative: masks in regions, arithmetic, and what shows elements.

A mask is computed as 1 and 0 in the dtype of what was compared, as in every elementwise program: so
comparisons and the choices that they make are elementwise work. Who needs booleans gets them.
"""

from __future__ import annotations

import functools
import operator
import types
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp._core import graph
from fastbp._core.program import MASKS, Trace, compile_program
from fastbp.compiling.values import Value
from fastbp.rules import plans

if TYPE_CHECKING:
    from fastbp.compiling.builder import Builder

__all__ = ["OF_SHAPES", "keeps_shape", "lowered"]

_OPERATORS = {
    operator.gt: np.greater,
    operator.ge: np.greater_equal,
    operator.lt: np.less,
    operator.le: np.less_equal,
    operator.eq: np.equal,
    operator.ne: np.not_equal,
    operator.and_: np.bitwise_and,
    operator.or_: np.bitwise_or,
    operator.invert: np.invert,
    operator.add: np.add,
    operator.sub: np.subtract,
    operator.mul: np.multiply,
    operator.truediv: np.divide,
    operator.neg: np.negative,
}
_OF_MASKS = (np.bitwise_and, np.bitwise_or, np.logical_and, np.logical_or)
# What takes the elements along axes together, under each of its names.
_SUM, _MAX, _MIN = np.add, np.maximum, np.minimum
_REDUCING = {
    np.sum: _SUM, np.ndarray.sum: _SUM, np.add.reduce: _SUM,
    np.max: _MAX, np.ndarray.max: _MAX, np.maximum.reduce: _MAX,
    np.min: _MIN, np.ndarray.min: _MIN, np.minimum.reduce: _MIN,
    np.any: _MAX, np.ndarray.any: _MAX, np.logical_or.reduce: _MAX,
    np.all: _MIN, np.ndarray.all: _MIN, np.logical_and.reduce: _MIN,
}  # fmt: skip
_OF_BOOLEANS = (np.any, np.ndarray.any, np.logical_or.reduce, np.all, np.ndarray.all,
                np.logical_and.reduce)  # fmt: skip
_arguments = graph.Arranged(lambda *args, **kwargs: (args, kwargs))
_REAL = "fd"  # single and double precision: what elementwise programs choose and compare
_NOT = (np.invert, np.logical_not)
# These show elements of an array, or copy it: no elements are read.
_SHOWING = (
    np.reshape, np.ravel, np.transpose, np.swapaxes, np.moveaxis, np.squeeze, np.expand_dims,
    np.broadcast_to, np.flip, np.diagonal, np.atleast_1d, np.atleast_2d, np.ndarray.reshape,
    np.ndarray.ravel, np.ndarray.transpose, np.ndarray.swapaxes, np.ndarray.squeeze,
    np.ndarray.diagonal,
)  # fmt: skip

# Functions whose results have shapes that no values decide, if their further arguments do not.
OF_SHAPES = frozenset(
    """
    all amax amin any argmax argmin argpartition argsort around array asarray astype average
    broadcast_to clip column_stack concatenate conj copy copysign corrcoef count_nonzero cov cross
    cumprod cumsum cumulative_prod cumulative_sum det diff digitize dot einsum expand_dims flip
    fliplr flipud full_like heaviside hstack imag inner interp inv isclose iscomplex isin isreal
    kron lexsort matmul matrix_transpose max mean median min moveaxis nan_to_num nanargmax nanargmin
    nanmax nanmean nanmedian nanmin nanstd nansum nanvar ones_like outer partition permute_dims
    prod ptp quantile percentile ravel real reshape result roll rot90 round searchsorted select
    sort squeeze stack std sum swapaxes take take_along_axis tensordot trace transpose tril triu
    unstack var vdot vstack zeros_like
    """.split()
)


def keeps_shape(function: Any, operands: list[Any]) -> bool:
    """Say whether the shape of what a call returns follows from the shapes of its operands."""
    if isinstance(function, np.ufunc) or function in _OPERATORS or function is graph.identity:
        return True
    if function is graph.computed_into:
        return True
    if isinstance(function, graph.Op):
        named = function.info.get("plan") in plans.AT_PLACES
        return bool(named) or function.name.startswith("linalg.")
    if isinstance(function, types.FunctionType) and function in plans.CALLS:
        return bool(plans.CALLS[function].keeps_shape(operands))
    if function is operator.getitem:
        return not any(getattr(getattr(x, "dtype", None), "kind", "") == "b" for x in operands[1:])
    if (getattr(function, "__module__", None) or "numpy").partition(".")[0] != "numpy":
        return False
    arrays = [x for x in operands[1:] if isinstance(x, np.ndarray)]
    name = getattr(function, "__name__", "")
    if name == "where":
        return len(operands) == 3
    if name in ("take", "take_along_axis", "searchsorted", "digitize", "interp", "select"):
        return True
    return name in OF_SHAPES and not any(x.dtype.kind in "iu" for x in arrays)


def lowered(b: Builder, link: Any, operands: list[Any]) -> Value | None:
    """Return what a call is in a plan, or None: it is called."""
    function, static = _OPERATORS.get(link.op.forward, link.op.forward), link.static
    inner = function.function if isinstance(function, graph.Arranged) else function
    plan = plans.CALLS.get(inner) if isinstance(inner, types.FunctionType) else None
    if plan is not None:
        if inner is not function:
            operands, static = _arguments(*operands, **static)
        y: Value | None = plan.made(b, link, *operands, **static)
        return y
    if isinstance(inner, graph.Op):
        return _at_places(b, link, inner, *_arguments(*operands, **static))
    if isinstance(function, graph.Arranged):
        if function.function is not graph.computed_into:
            return None
        (_, function, method, operands, static), _ = _arguments(*operands, **static)
        # What it is written into was an array of the function's own.
        if method != "__call__" or not isinstance(function, np.ufunc):
            return None
    if isinstance(function, np.ufunc):
        return _ufunc(b, link, function, operands) if not static else None
    if function is np.where:
        return _chosen(b, link, operands)
    if _reducing(function) is not None:
        return _reduced(b, link, function, operands)
    x = operands[0] if operands else None
    if not isinstance(x, Value) or any(isinstance(v, Value) for v in operands[1:]):
        return None
    if function is operator.getitem:
        return _element(b, link, x, operands[1])
    if function is np.astype or getattr(function, "__name__", "") == "astype":
        return _cast(b, link, x)
    if function is np.imag:
        return plans.imaginary_parts(b, link, x) if not x.mask and x.dtype.kind in "fc" else None
    if function is graph.part_of and operands[1] in ("T", "mT"):
        return b.seen(x, lambda array: getattr(array, operands[1]))
    if function in _SHOWING:
        return b.seen(x, lambda array: function(array, *operands[1:], **link.static))
    return None


def _at_places(
    b: Builder, link: Any, op: graph.Op, operands: list[Any], static: dict[str, Any]
) -> Value | None:
    """Return what an operation of values without derivative is, at places that are recorded."""
    plan, places = op.info.get("plan"), static.get("places")
    if plan not in plans.AT_PLACES or not isinstance(places, Value) or len(operands) != 1:
        return None
    (x,) = operands
    x = x if isinstance(x, Value) else b.constant(np.asarray(x, link.dtype))
    facts = types.SimpleNamespace(shape=link.shape, dtype=link.dtype, static=static)
    fitting = x.dtype == link.dtype and not x.mask
    y: Value | None = plan(b, facts, x, places) if fitting else None
    return y


def _ufunc(b: Builder, link: Any, ufunc: np.ufunc, operands: list[Any]) -> Value | None:
    if ufunc.nout != 1:
        return None
    values = [x for x in operands if isinstance(x, Value)]
    dtype = values[0].dtype if values else None
    masks = [x.mask for x in values]
    if ufunc in _NOT and masks == [True]:
        return b.masked(np.subtract, (1.0, values[0]), dtype)
    if ufunc in _OF_MASKS:
        found = [_mask(b, x, dtype) for x in operands]
        return None if None in found else b.masked(MASKS[ufunc], found, dtype)
    if any(masks) or dtype is None or dtype.kind != "f":
        return None
    found = [_operand(b, x, dtype) for x in operands]
    if any(x is None for x in found):
        return None
    if link.dtype == bool:
        if ufunc is np.isnan:
            return b.masked("ne", (found[0], found[0]), dtype)
        name = MASKS.get(ufunc)
        return b.masked(name, found, dtype) if isinstance(name, str) else None
    if link.dtype == dtype and _runs(ufunc, dtype.num):
        return b.elementwise(ufunc, found, dtype)
    return None


def _mask(b: Builder, x: Any, dtype: Any) -> Value | None:
    """Return a mask, or booleans as one, in some dtype; None for what is neither."""
    if isinstance(x, Value):
        return x if x.mask and x.dtype == dtype else None
    if (
        dtype is None
        or not isinstance(x, bool | np.bool | np.ndarray)
        or np.asarray(x).dtype != bool
    ):
        return None
    y = b.constant(np.asarray(x, dtype))
    y.mask = True
    return y


def _chosen(b: Builder, link: Any, operands: list[Any]) -> Value | None:
    """Choose between elements; a mask may be what decides."""
    if link.static or len(operands) != 3 or link.dtype.char not in _REAL:
        return None
    condition, *rest = operands
    if not isinstance(condition, Value) or not condition.mask or condition.dtype != link.dtype:
        return None
    found = [_operand(b, x, link.dtype) for x in rest]
    if any(x is None or (isinstance(x, Value) and x.mask) for x in found):
        return None
    return b.elementwise("select", (condition, *found), link.dtype)


def _reducing(function: Any) -> np.ufunc | None:
    try:
        return _REDUCING.get(function)
    except TypeError:  # it cannot be hashed
        return None


def _reduced(b: Builder, link: Any, function: Any, operands: list[Any]) -> Value | None:
    """Take elements along axes together: sums, extremes, of masks too."""
    x, *more = operands
    settings = dict(link.static)
    settings.pop("keepdims", None)  # it is in the shape
    of_ufunc = isinstance(getattr(function, "__self__", None), np.ufunc)
    axis = more.pop() if more else settings.pop("axis", 0 if of_ufunc else None)
    kind, start = _REDUCING[function], settings.pop("initial", None)
    if settings.pop("dtype", link.dtype) != link.dtype or settings or more:
        return None
    if not isinstance(x, Value) or not isinstance(start, int | float | None):
        return None
    if x.dtype.char not in _REAL:
        return None
    axes = range(len(x.shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if not all(isinstance(k, int) for k in axes):
        return None
    if function in _OF_BOOLEANS:
        if not x.mask or start is not None:
            return None
        y = b.extreme(kind, x, axes, link.shape)
        if y is not None:
            y.mask = True
        return y
    if x.dtype != link.dtype:
        return None
    if kind is _SUM:
        numbers = x.view(x.shape, x.offset, x.strides)  # of a mask, too
        return b.sum(numbers, axes, link.shape) if start is None else None
    if x.mask:
        return None
    y = b.extreme(kind, x, axes, link.shape)
    return y if start is None or y is None else b.elementwise(kind, (y, float(start)), y.dtype)


def _operand(b: Builder, x: Any, dtype: Any) -> Any:
    """Return an operand of a program of some dtype, or None if it has another one."""
    if isinstance(x, Value):
        return x if x.dtype == dtype else None
    if isinstance(x, bool | int | float):
        return float(x)
    if isinstance(x, np.ndarray | np.generic) and x.dtype == dtype:
        return b.constant(x) if x.ndim else float(x)
    return None


@functools.cache
def _runs(ufunc: np.ufunc, typenum: int) -> bool:
    trace = Trace()
    operands = [trace.input() for _ in range(ufunc.nin)]
    if ufunc.nin > 3:
        return False
    return compile_program(trace, [trace.call(ufunc, *operands)], typenum) is not None


def _element(b: Builder, link: Any, x: Value, index: Any) -> Value | None:
    items = index if isinstance(index, tuple) else (index,)
    if not all(isinstance(k, int | slice | np.integer) or k is None or k is ... for k in items):
        return None
    if any(isinstance(k, bool) for k in items):
        return None
    whole = items if ... in items else (*items, ...)  # an array, where NumPy returns a scalar
    return b.seen(x, lambda array: array[whole])


def _cast(b: Builder, link: Any, x: Value) -> Value | None:
    if x.mask:
        if link.dtype == bool:
            return x
        return x.view(x.shape, x.offset, x.strides) if link.dtype == x.dtype else None
    if link.dtype == x.dtype:
        return x
    if link.dtype == np.intp:
        return b.places([x], None, [(None, 0, 0, 1, plans.AS_IS)], link.shape)
    return None
