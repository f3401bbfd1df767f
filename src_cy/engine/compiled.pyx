"""Compiled rules of operations, for sweeps that record nothing.

Each class serves a family: it adds cotangents where they belong, without an array in between, and
without Python on the path of small ones. The rules of a row say the same for recorded sweeps, and
the tests compare both.
"""

from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject, PyObject_GetItem

cimport cython
cimport numpy as cnp
from fastbp._core.buffers cimport new_array
from fastbp._core.dtypes cimport dtype_of, is_complex
from fastbp._core.elementwise cimport MAX_NDIM, run_program
from fastbp._core.graph cimport (
    ADD, DIVIDE, POSITIVE, Node, Op, Rules, Variable, fresh, parent_of, record_product,
    record_total, saved_of,
)
from fastbp._core.matmul cimport c_matmul, c_matmul_vjp_a, c_matmul_vjp_b
from fastbp._core.program cimport Program
from fastbp._core.sweep_base cimport answer_of, operands_of

import numpy as np

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    object PyArray_NewFromDescr(type subtype, cnp.dtype descr, int nd, const cnp.npy_intp *dims,
                                const cnp.npy_intp *strides, void *data, int flags, object obj)

cdef extern from "Python.h":
    void Py_INCREF(object o)

cdef enum:
    SMALL = 2048    # elements: for more a pass over memory costs more than to see one repeated


@cython.final
cdef class Products(Rules):
    """Matrix products of operands of any shape."""

    cdef Variable record(self, Op op, tuple operands, dict static):
        return record_product(op, operands)

    cdef object pull(self, Node node, Py_ssize_t k, cnp.ndarray g, int lead, cnp.ndarray into):
        cdef tuple shape = parent_of(node, k).shape
        if k == 0:
            return c_matmul_vjp_a(g, saved_of(node, 1), shape, lead, into)
        return c_matmul_vjp_b(g, saved_of(node, 0), shape, lead, into)

    cdef object push(self, Node node, list tangents, int lead):
        # With a block axis, vectors and stacks need more than a product: the row's rule.
        if lead or tangents[0] is not None and tangents[1] is not None:
            return NotImplemented
        if tangents[0] is not None:
            return c_matmul(tangents[0], saved_of(node, 1))
        return c_matmul(saved_of(node, 0), tangents[1])


@cython.final
cdef class Sums(Rules):
    """Sums and means along axes."""

    cdef Variable record(self, Op op, tuple operands, dict static):
        cdef object x = operands[0]
        if type(x) is not Variable or static["keepdims"]:
            return None
        if len(static["axis"]) != cnp.PyArray_NDIM((<Variable> x).array):
            return None
        fresh(<Variable> x)
        return record_total(op, <Variable> x, static)

    cdef object pull(self, Node node, Py_ssize_t k, cnp.ndarray g, int lead, cnp.ndarray into):
        cdef object n = node.static.get("n")
        if n is not None:
            g = _over(g, n)
        return _spread(g, node, parent_of(node, 0).shape, lead, into)


cdef cnp.ndarray _over(cnp.ndarray g, object n):
    """An array divided by a number."""
    cdef Program program = (DIVIDE).forward_program(cnp.PyArray_TYPE(g))
    cdef PyObject *operands[2]
    cdef PyObject *outs[1]
    cdef object number = float(n)
    cdef cnp.ndarray out
    if program is None:
        return np.asarray(g / n, (<object> g).dtype)
    out = new_array(cnp.PyArray_NDIM(g), cnp.PyArray_DIMS(g), cnp.PyArray_TYPE(g))
    operands[0], operands[1] = <PyObject *> g, <PyObject *> number
    outs[0] = <PyObject *> out
    run_program(program, operands, NULL, outs, cnp.PyArray_NDIM(g), cnp.PyArray_DIMS(g))
    return out


cdef object _spread(cnp.ndarray g, Node node, tuple shape, int lead, cnp.ndarray into):
    """Broadcast the cotangent of a reduction to the elements, and add it there."""
    cdef cnp.npy_intp dims[MAX_NDIM]
    cdef cnp.npy_intp size = 1
    cdef int k, nd = lead + len(shape)
    cdef cnp.ndarray seen = g, out
    if nd > MAX_NDIM:
        raise ValueError(f"arrays of more than {MAX_NDIM} axes are not supported")
    for k in range(nd):
        dims[k] = cnp.PyArray_DIM(g, k) if k < lead else shape[k - lead]
        size *= dims[k]
    if cnp.PyArray_SIZE(g) != 1 or (into is None and size > SMALL):
        seen = _seen(g, node, nd, dims, lead)
    if into is not None:
        _apply(ADD, into, seen, into, nd, dims)
        return into
    if size > SMALL:
        return seen
    out = new_array(nd, dims, cnp.PyArray_TYPE(g))
    _apply(POSITIVE, seen, None, out, nd, dims)
    return out


cdef cnp.ndarray _seen(cnp.ndarray g, Node node, int nd, const cnp.npy_intp *dims, int lead):
    """A cotangent with the axes that were reduced away, as a view that repeats elements there."""
    cdef cnp.npy_intp strides[MAX_NDIM]
    cdef bint reduced[MAX_NDIM]
    cdef int k, own = lead
    cdef bint kept = node.static["keepdims"]
    cdef cnp.dtype descr = <cnp.dtype> cnp.PyArray_DESCR(g)
    for k in range(nd):
        reduced[k] = False
    for axis in <tuple> node.static["axis"]:
        reduced[nd + <int> axis] = True
    for k in range(nd):
        strides[k] = 0
        if k < lead:
            strides[k] = cnp.PyArray_STRIDE(g, k)
        elif not reduced[k]:
            strides[k] = cnp.PyArray_STRIDE(g, own)
            own += 1
        else:
            own += kept
    Py_INCREF(descr)
    seen = PyArray_NewFromDescr(cnp.ndarray, descr, nd, dims, strides, cnp.PyArray_DATA(g),
                                cnp.NPY_ARRAY_ALIGNED, None)
    cnp.set_array_base(seen, g)
    return seen


cdef int _apply(Op op, cnp.ndarray x, cnp.ndarray y, cnp.ndarray out, int nd,
                const cnp.npy_intp *dims) except -1:
    """Write ``op(x)``, or ``op(x, y)``, into an array of the shape `dims`."""
    cdef Program program = op.forward_program(cnp.PyArray_TYPE(out))
    cdef PyObject *operands[2]
    cdef PyObject *outs[1]
    if program is None:
        operands_seen = (x,) if y is None else (x, y)
        op.forward(*operands_seen, out=out)
        return 0
    operands[0], operands[1] = <PyObject *> x, <PyObject *> y
    outs[0] = <PyObject *> out
    return run_program(program, operands, NULL, outs, nd, dims)


@cython.final
cdef class Elements(Rules):
    """What an index without arrays names."""

    def __cinit__(self):
        self.adds = True

    cdef object value(self, cnp.ndarray x, dict static):
        return PyObject_GetItem(x, static["index"])

    cdef object pull(self, Node node, Py_ssize_t k, cnp.ndarray g, int lead, cnp.ndarray into):
        cdef tuple index = node.static["index"]
        cdef cnp.ndarray part
        cdef cnp.npy_intp i
        if cnp.PyArray_NDIM(into) == 1 and len(index) == 2 and PyLong_CheckExact(index[1]):
            i = index[1]
            if i < 0:
                i += cnp.PyArray_DIM(into, 0)
            _add_number(cnp.PyArray_TYPE(into), cnp.PyArray_BYTES(into)
                        + i * cnp.PyArray_ITEMSIZE(into), cnp.PyArray_BYTES(g))
            return into
        part = PyObject_GetItem(into, index)
        if cnp.PyArray_IS_C_CONTIGUOUS(part):
            _apply(ADD, part, g, part, cnp.PyArray_NDIM(part),
                   cnp.PyArray_DIMS(part))
        else:
            np.add(part, g, part)
        return into

    cdef object push(self, Node node, list tangents, int lead):
        return PyObject_GetItem(tangents[0], node.static["index"])


cdef inline void _add_number(int typenum, char *into, const char *g) noexcept:
    if typenum == cnp.NPY_DOUBLE:
        (<double *> into)[0] += (<const double *> g)[0]
    elif typenum == cnp.NPY_FLOAT:
        (<float *> into)[0] += (<const float *> g)[0]
    elif typenum == cnp.NPY_CDOUBLE:
        (<double *> into)[0] += (<const double *> g)[0]
        (<double *> into)[1] += (<const double *> g)[1]
    else:
        (<float *> into)[0] += (<const float *> g)[0]
        (<float *> into)[1] += (<const float *> g)[1]


@cython.final
cdef class Reshapes(Rules):
    """The same elements in another shape."""

    cdef object value(self, cnp.ndarray x, dict static):
        cdef tuple shape = static["shape"]
        if static["own"] != cnp.PyArray_NDIM(x):
            return NotImplemented
        return cnp.PyArray_Reshape(x, shape)

    cdef object pull(self, Node node, Py_ssize_t k, cnp.ndarray g, int lead, cnp.ndarray into):
        return _added(_reshaped(g, lead, parent_of(node, 0).shape), into)

    cdef object push(self, Node node, list tangents, int lead):
        return _reshaped(tangents[0], lead, node.shape)


cdef cnp.ndarray _reshaped(cnp.ndarray x, int lead, tuple shape):
    if lead:
        shape = (<tuple> (<object> x).shape)[:lead] + shape
    return cnp.PyArray_Reshape(x, shape)


cdef cnp.ndarray _of_type(cnp.ndarray g, int typenum):
    """A cotangent in the dtype of its operand, which promotion may have changed."""
    if cnp.PyArray_TYPE(g) == typenum:
        return g
    part = g.real if cnp.PyArray_ISCOMPLEX(g) and not is_complex(typenum) else g
    return np.asarray(part, dtype_of(typenum))


cdef cnp.ndarray _added(cnp.ndarray g, cnp.ndarray into):
    """A cotangent, added to `into` if there is one."""
    if into is None:
        return g
    _apply(ADD, into, g, into, cnp.PyArray_NDIM(into), cnp.PyArray_DIMS(into))
    return into


@cython.final
cdef class Joins(Rules):
    """Operands one after the other along an axis."""

    cdef object pull(self, Node node, Py_ssize_t k, cnp.ndarray g, int lead, cnp.ndarray into):
        cdef int axis = <int> node.static["axis"], nd = cnp.PyArray_NDIM(g), own = nd - lead
        cdef Py_ssize_t start = 0, j
        cdef cnp.npy_intp dims[MAX_NDIM]
        cdef char *data = cnp.PyArray_BYTES(g)
        cdef cnp.dtype descr = <cnp.dtype> cnp.PyArray_DESCR(g)
        cdef Node parent
        cdef tuple shape
        if nd > MAX_NDIM:
            raise ValueError(f"arrays of more than {MAX_NDIM} axes are not supported")
        for j in range(k):
            parent = parent_of(node, j)
            shape = parent.shape if parent is not None else saved_of(node, j).shape
            start += shape[own + axis]
        for j in range(nd):
            dims[j] = cnp.PyArray_DIM(g, j)
        dims[nd + axis] = parent_of(node, k).shape[own + axis]
        data += start * cnp.PyArray_STRIDE(g, nd + axis)
        Py_INCREF(descr)
        part = PyArray_NewFromDescr(cnp.ndarray, descr, nd, dims, cnp.PyArray_STRIDES(g), data,
                                    cnp.NPY_ARRAY_ALIGNED, None)
        cnp.set_array_base(part, g)
        return _added(_of_type(part, parent_of(node, k).typenum), into)


@cython.final
cdef class Adds(Rules):
    """A function of Python's that adds a cotangent where it belongs.

    Parameters
    ----------
    function : callable
        ``function(into, g, i, ans, *operands, **static)`` adds the cotangent of operand i to an
        array; `ans` and the operands are as other rules get them.
    """
    cdef readonly object function

    def __init__(self, function):
        self.adds = True
        self.function = function

    cdef object pull(self, Node node, Py_ssize_t k, cnp.ndarray g, int lead, cnp.ndarray into):
        self.function(into, g, k, answer_of(node, False), *operands_of(node, False), **node.static)
        return into


def seen(cnp.ndarray memory not None, Py_ssize_t offset, tuple shape not None,
         tuple strides not None):
    """Return a view of a contiguous array, whose last axis is the memory that is seen.

    Parameters
    ----------
    memory : ndarray, shape (..., size)
    offset : int
        Where the view begins along the last axis, in elements.
    shape, strides : tuple of int
        Of the view, behind the axes in front; strides in elements.

    Raises
    ------
    ValueError
        If the view leaves the memory.
    """
    cdef cnp.npy_intp dims[MAX_NDIM]
    cdef cnp.npy_intp steps[MAX_NDIM]
    cdef int k, lead = cnp.PyArray_NDIM(memory) - 1, own = <int> len(shape)
    cdef Py_ssize_t low = offset, high = offset, size = cnp.PyArray_ITEMSIZE(memory), reach
    cdef cnp.dtype descr = <cnp.dtype> cnp.PyArray_DESCR(memory)
    cdef bint empty = cnp.PyArray_SIZE(memory) == 0
    if lead < 0 or lead + own > MAX_NDIM or len(strides) != own:
        raise ValueError(f"arrays of more than {MAX_NDIM} axes are not supported")
    for k in range(lead):
        dims[k] = cnp.PyArray_DIM(memory, k)
        steps[k] = cnp.PyArray_STRIDE(memory, k)
    for k in range(own):
        dims[lead + k] = shape[k]
        steps[lead + k] = <Py_ssize_t> strides[k] * size
        empty = empty or dims[lead + k] <= 0
        reach = (dims[lead + k] - 1) * <Py_ssize_t> strides[k]
        if reach < 0:
            low += reach
        else:
            high += reach
    if empty or low < 0 or high >= cnp.PyArray_DIM(memory, lead):
        raise ValueError(f"a view of shape {shape} leaves its memory of shape "
                         f"{(<object> memory).shape}")
    if lead + own and cnp.PyArray_STRIDE(memory, lead) != size:
        raise ValueError("the memory is not contiguous")
    Py_INCREF(descr)
    view = PyArray_NewFromDescr(
        cnp.ndarray, descr, lead + own, dims, steps, cnp.PyArray_BYTES(memory) + offset * size,
        cnp.PyArray_FLAGS(memory) & (cnp.NPY_ARRAY_ALIGNED | cnp.NPY_ARRAY_WRITEABLE), None)
    cnp.set_array_base(view, memory)
    return view


def memory_of(cnp.ndarray x not None, Py_ssize_t size, Py_ssize_t offset, tuple strides not None):
    """Return all the memory of an array as one axis, or None if `x` is not laid out so.

    Parameters
    ----------
    x : ndarray
    size, offset : int
        How many elements the memory has, and where the first one of `x` is.
    strides : tuple of int
        In elements; those of axes of one element do not matter.
    """
    cdef Py_ssize_t item = cnp.PyArray_ITEMSIZE(x), low = 0, high = 0, reach
    cdef cnp.npy_intp length = size
    cdef cnp.dtype descr = <cnp.dtype> cnp.PyArray_DESCR(x)
    cdef int k
    if len(strides) != cnp.PyArray_NDIM(x):
        raise ValueError(f"strides {strides} for an array of shape {(<object> x).shape}")
    for k in range(cnp.PyArray_NDIM(x)):
        if cnp.PyArray_DIM(x, k) == 0:
            return None
        if cnp.PyArray_DIM(x, k) > 1 and cnp.PyArray_STRIDE(x, k) != <Py_ssize_t> strides[k] * item:
            return None
        reach = (cnp.PyArray_DIM(x, k) - 1) * cnp.PyArray_STRIDE(x, k)
        if reach < 0:
            low -= reach
        else:
            high += reach
    if low != offset * item or low + high != (size - 1) * item:
        return None
    Py_INCREF(descr)
    memory = PyArray_NewFromDescr(
        cnp.ndarray, descr, 1, &length, NULL, cnp.PyArray_BYTES(x) - low,
        cnp.PyArray_FLAGS(x) & (cnp.NPY_ARRAY_ALIGNED | cnp.NPY_ARRAY_WRITEABLE), None)
    cnp.set_array_base(memory, x)
    return memory
