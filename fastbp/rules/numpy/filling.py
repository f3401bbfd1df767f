"""Functions that write into an array: compositions of item assignment, when that is a Variable.

Where it is a plain array, it cannot keep the derivative: they raise, before anything is written.
"""

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import Variable, array_of
from fastbp.rules.numpy.structural import as_constant, as_operand, constant_call, float_dtype


def check_array(a, name):
    """Raise where what is to be written into is a recorded number."""
    if graph.is_number(a):
        raise graph.written_number(name)


def _fills(*functions):
    """Bind NumPy functions to one of the same signature, called if its first argument fits."""

    def register(f):
        for function in functions:

            def on_variable(a, *args, _function=function, **kwargs):
                if not isinstance(a, Variable):
                    raise graph.refusal("rule", _function)
                check_array(a, f"numpy.{_function.__name__}")
                f(a, *args, **kwargs)

            graph.bind_function(function, on_variable)
        return f

    return register


@_fills(np.fill_diagonal)
def fill_diagonal(a, val, wrap=False):
    """Arguments as in `numpy.fill_diagonal`."""
    np.fill_diagonal(np.empty_like(array_of(a)), 0.0, wrap)  # raises where NumPy does
    if a.ndim == 2:
        step, end = a.shape[1] + 1, None if wrap else a.shape[1] * a.shape[1]
    else:
        step, end = 1 + sum(a.shape[0] ** k for k in range(1, a.ndim)), None
    a.flat[:end:step] = val


@_fills(np.copyto)
def copyto(dst, src, casting="same_kind", where=True):
    """Arguments as in `numpy.copyto`."""
    if np.isrealobj(array_of(dst)) and np.iscomplexobj(array_of(src)):
        float_dtype(dst.dtype, "copyto", array_of(src).dtype)  # raises
    np.copyto(np.empty_like(array_of(dst)), array_of(src), casting, array_of(where))
    dst[...] = src if where is True else np.where(where, src, dst)


def _chosen(a, mask, values):
    """Write values, one or as many as there are elements, where a mask of as many says so."""
    values = np.reshape(values, a.shape if values.size == a.size else ())
    a[...] = np.where(np.reshape(mask, a.shape), values, a)


@_fills(np.putmask)
def putmask(a, mask, values):
    """Arguments as in `numpy.putmask`."""
    values, mask = _flattened(values), as_constant(mask, "numpy.putmask: mask")
    np.putmask(np.empty(a.shape), array_of(mask), 0.0)  # raises where NumPy does
    if values.size:
        every = values if values.size == 1 else values[np.arange(a.size) % values.size]
        _chosen(a, mask, every)


@_fills(np.place)
def place(arr, mask, vals):
    """Arguments as in `numpy.place`."""
    vals, mask = _flattened(vals), np.ravel(as_constant(mask, "numpy.place: mask"))
    np.place(np.empty(arr.shape), array_of(mask), array_of(vals))
    if vals.size == 1:  # no matter how many elements there are
        _chosen(arr, mask, vals)
        return
    (where,) = np.nonzero(mask)
    if where.size:
        arr.flat[where] = vals[np.arange(where.size) % vals.size]


@_fills(np.put)
def put(a, ind, v, mode="raise"):
    """Arguments as in `numpy.put`."""
    where, v = np.arange(a.size), _flattened(v)
    ind = np.ravel(as_constant(ind, "numpy.put: ind"))
    where = constant_call(np.take, where, ind, mode=mode)
    if where.size and v.size:
        a.flat[where] = v[np.arange(where.size) % v.size]


graph.bind_method("put", put)


def _fill(a, value):
    check_array(a, "fill")
    a[...] = value


graph.bind_method("fill", _fill)


@_fills(np.put_along_axis)
def put_along_axis(arr, indices, values, axis):
    """Arguments as in `numpy.put_along_axis`."""
    numbers = np.arange(arr.size).reshape(arr.shape)
    indices = as_constant(indices, "numpy.put_along_axis: indices")
    where = np.take_along_axis(numbers, indices, axis)
    values = np.broadcast_to(as_operand(values, "numpy.put_along_axis: values"), where.shape)
    arr.flat[where.reshape(-1)] = graph.owned(np.ravel(values))


def _flattened(values):
    return np.ravel(as_operand(values, "the values"))
