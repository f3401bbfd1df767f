"""Sums into elements that an index names, each as often as it comes: bincount, add.at."""

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import Variable, array_of
from fastbp.errors import DTypeError
from fastbp.rules.numpy.filling import check_array
from fastbp.rules.numpy.indexing import added_at, fitted, merged, put_op, scatter_add_op
from fastbp.rules.numpy.indices import Apart, apart, whole
from fastbp.rules.numpy.structural import as_constant, as_operand, reshaped
from fastbp.rules.refusals import refusal
from fastbp.rules.table import implements


@implements(
    np.bincount,
    samples=lambda rng: [
        ((np.array([0, 2, 2, 1]), rng.normal(size=4)), {}),
        ((np.array([1, 1], np.int8), rng.normal(size=2)), {"minlength": 4}),
    ],
)
def bincount(x, /, weights=None, minlength=0):
    """Arguments as in `numpy.bincount`; the numbers of the bins are read for their values.

    Notes
    -----
    The cotangent of a weight is that of its bin.
    """
    if isinstance(x, Variable):
        raise DTypeError(
            f"numpy.bincount: the bins are a Variable of dtype {x.dtype}, not integers"
        )
    weights = as_operand(weights, "numpy.bincount: weights=", real=True).astype(np.float64)
    np.bincount(array_of(x), array_of(weights), minlength)  # raises where NumPy does
    x = as_constant(x, "numpy.bincount: x")
    size = max(int(np.max(x)) + 1 if x.size else 0, minlength)
    return scatter_add_op(weights, size=size, places=x.astype(np.intp), behind=0)


def _values(b, a):
    """Return what is added to `a`, in the dtype in which it is: not in a smaller one of its own."""
    if graph.has_variable(b) and not isinstance(b, Variable):
        b = as_operand(b, "numpy.add.at: the values")
    if isinstance(b, Variable) or graph.keeps(b):
        return b.astype(np.result_type(a.dtype, array_of(b).dtype))
    b = b if isinstance(b, (int, float, complex)) else np.asarray(b)
    return np.asarray(b, np.result_type(a.dtype, b))


def _add_at(a, indices, b, sign=1):
    """Add `b` to ``a[indices]`` in place, as often as each element is named."""
    if not isinstance(a, Variable):
        raise refusal("rule", np.add if sign > 0 else np.subtract, "at")
    check_array(a, "numpy.add.at")
    b = _values(b, a)
    if sign < 0:
        b = -b
    given = indices if type(indices) is tuple else (indices,)
    if graph.keeps(given):
        a += added_at(a.shape, given, b)
        return
    index = whole(a.shape, given)
    if index is None:
        index = apart(a.shape, given, elements=True)
    if isinstance(index, Apart):
        b = fitted(b, index.shape, "numpy.add.at")
        into = merged(a, index)
        behind = into.ndim - index.at - 1
        total = scatter_add_op(b, size=into.shape[index.at], places=index.places, behind=behind)
        total = reshaped(total, a.shape) if isinstance(total, Variable) else total.reshape(a.shape)
    else:
        b = fitted(b, a._array[index].shape, "numpy.add.at")
        total = put_op(b, shape=a.shape, index=index, own=b.ndim)
    a += total


graph.bind_ufunc_method(np.add, "at", _add_at)
graph.bind_ufunc_method(np.subtract, "at", lambda a, indices, b: _add_at(a, indices, b, -1))
