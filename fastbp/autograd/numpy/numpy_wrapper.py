"""``autograd.numpy.numpy_wrapper``: what autograd has beside NumPy's functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastbp.numpy as bnp
from fastbp._core import graph
from fastbp.autograd.boxes import getval
from fastbp.autograd.primitives import notrace_primitive, primitive
from fastbp.autograd.wrap_util import wraps

__all__ = [
    "array_from_args",
    "column_stack",
    "concatenate",
    "concatenate_args",
    "hstack",
    "int8",
    "int16",
    "int32",
    "int64",
    "make_diagonal",
    "metadata",
    "notrace_functions",
    "numpy_version",
    "row_stack",
    "stack",
    "vstack",
    "where",
    "wrap_if_boxes_inside",
    "wrap_namespace",
]

numpy_version = np.__version__
notrace_functions = [np.ndim, np.shape, np.iscomplexobj, np.result_type]


class _Integers(type):
    # NumPy's type in all but what it makes an integer of.
    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, cls.__mro__[1])

    def __subclasscheck__(cls, other: Any) -> bool:
        return issubclass(other, cls.__mro__[1])


def _integers(kind: type) -> Any:
    def new(cls: type, x: Any = 0, *args: Any) -> Any:
        return kind(getval(x), *args)

    return _Integers(kind.__name__, (kind,), {"__new__": new, "__doc__": kind.__doc__})


# Integers of recorded values are constants, as everything that rounds.
int8, int16, int32, int64 = map(_integers, (np.int8, np.int16, np.int32, np.int64))


def where(condition: Any, *args: Any, **kwargs: Any) -> Any:
    """Choose between `x` and `y`, also by keyword; what is of Python's own types stays so."""
    if not args and not kwargs:
        return bnp.where(condition)
    given = {**dict(zip("xy", args, strict=False)), **kwargs}
    if len(args) + len(kwargs) != 2 or set(given) != {"x", "y"}:
        raise ValueError("where: either both or neither of x and y should be given")
    found = bnp.where(condition, given["x"], given["y"])
    plain = not _has_array([condition, given["x"], given["y"]])
    return found.tolist() if plain and isinstance(found, np.ndarray) else found


def _has_array(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(map(_has_array, x))
    return isinstance(x, (np.ndarray, np.generic, graph.Variable))


def _of_iterables(join: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that joins arrays, also those of a generator."""

    @wraps(join)
    def joined(arrays: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(arrays, (list, tuple, np.ndarray, graph.Variable)):
            arrays = list(arrays)
        return join(arrays, *args, **kwargs)

    return joined


concatenate = _of_iterables(bnp.concatenate)
stack = _of_iterables(bnp.stack)
hstack = _of_iterables(bnp.hstack)
column_stack = _of_iterables(bnp.column_stack)
vstack = row_stack = _of_iterables(bnp.vstack)


def concatenate_args(axis: Any, *args: Any) -> Any:
    """Join arrays, given one by one, along an axis."""
    return bnp.concatenate(args, axis)


def array_from_args(array_args: Any, array_kwargs: Any, *args: Any) -> Any:
    """Return an array of the arguments."""
    return bnp.array(list(args), *array_args, **array_kwargs)


def wrap_if_boxes_inside(raw_array: Any, slow_op_name: str | None = None) -> Any:
    """Return an array of objects with recorded numbers in it as a recorded array."""
    if getattr(raw_array, "dtype", None) != np.dtype(object):
        return raw_array
    return bnp.reshape(bnp.array(list(np.ravel(raw_array))), raw_array.shape)


def make_diagonal(D: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Return matrices with the last axis of `D` on their diagonals, 0 elsewhere.

    Raises
    ------
    NotImplementedError
        For other places than ``offset=0, axis1=-1, axis2=-2``, which autograd does not have either.
    """
    if (offset, axis1, axis2) != (0, -1, -2):
        raise NotImplementedError("make_diagonal has offset=0, axis1=-1, axis2=-2 only")
    return bnp.expand_dims(D, -1) * np.eye(np.shape(graph.array_of(D))[-1])


def metadata(A: Any) -> tuple[Any, int, Any, bool]:
    """Return shape, number of axes, dtype, and whether the dtype is complex."""
    array = np.asarray(graph.array_of(A))
    return array.shape, array.ndim, array.dtype, array.dtype.kind == "c"


def wrap_namespace(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Put functions of a namespace into another one: with fastbp's rules, or as primitives."""
    known: dict[int, Any] = {}
    for name, x in old.items():
        if any(x is f for f in notrace_functions):
            known.setdefault(id(x), notrace_primitive(x))
        elif callable(x) and not isinstance(x, type):
            known.setdefault(id(x), _wrapped(x))
        elif type(x) in (float, int, type(None), type):
            known[id(x)] = x
        else:
            continue
        new[name] = known[id(x)]


def _wrapped(f: Callable[..., Any]) -> Callable[..., Any]:
    return f if graph.implementation_of(f) is not None else primitive(f)
