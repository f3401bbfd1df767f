"""Places along an axis: indices checked and counted from the front, and sums into places.

A place may be named several times; then what is added to it adds up, in the order of the places.
"""

cimport cython
cimport numpy as cnp
from fastbp._core.buffers cimport new_array
from fastbp._core.dtypes cimport slot_of
from libc.stdint cimport uint8_t

import numpy as np

from fastbp._core.dtypes import NAMES as _NAMES
from fastbp.errors import DTypeError, ShapeError

cnp.import_array()

cdef enum:
    MANY = 255

ctypedef fused target:
    double
    float

ctypedef fused addend:
    double
    float


# ---- places ------------------------------------------------------------------------------------


@cython.overflowcheck(False)
cdef bint c_copy_in_range(
    const cnp.npy_intp *index, cnp.npy_intp *places, Py_ssize_t n, size_t size
) noexcept nogil:
    """Copy, and say whether all are in ``range(size)``; by signs, since branches take longer.

    Differences of size_t wrap around, as they are meant to.
    """
    cdef Py_ssize_t k
    cdef size_t signs = 0
    for k in range(n):
        signs |= <size_t> index[k] | (size - 1 - <size_t> index[k])
        places[k] = index[k]
    return <Py_ssize_t> signs >= 0


cdef Py_ssize_t c_count_from_front(
    cnp.npy_intp *places, Py_ssize_t n, Py_ssize_t size
) noexcept nogil:
    """Return where the first index stands that is out of bounds, or -1."""
    cdef Py_ssize_t k
    for k in range(n):
        if not -size <= places[k] < size:
            return k
        if places[k] < 0:
            places[k] += size
    return -1


def counted_from_front(index, Py_ssize_t size, Py_ssize_t axis):
    """Return an index of integers as places from 0 to `size` - 1, in an array of their own.

    Raises IndexError in NumPy's words, with the given number of the axis.
    """
    cdef cnp.ndarray given = np.asarray(index, np.intp, order="C")
    cdef cnp.ndarray places = new_array(
        cnp.PyArray_NDIM(given), cnp.PyArray_DIMS(given), cnp.NPY_INTP)
    cdef const cnp.npy_intp *source = <const cnp.npy_intp *> cnp.PyArray_DATA(given)
    cdef cnp.npy_intp *data = <cnp.npy_intp *> cnp.PyArray_DATA(places)
    cdef Py_ssize_t wrong = -1, n = cnp.PyArray_SIZE(places)
    with nogil:
        if not c_copy_in_range(source, data, n, size):
            wrong = c_count_from_front(data, n, size)
    if wrong >= 0:
        raise IndexError(f"index {data[wrong]} is out of bounds for axis {axis} with size {size}")
    return places


cdef int c_most_named(
    const cnp.npy_intp *places, Py_ssize_t n, uint8_t *counts, size_t size
) noexcept nogil:
    """Return how often a place is named at most, 255 for more; -1 for one out of range."""
    cdef Py_ssize_t k
    cdef uint8_t count, most = 0
    for k in range(n):
        if <size_t> places[k] >= size:
            return -1
        count = counts[places[k]]
        count += count != MANY
        counts[places[k]] = count
        most = max(most, count)
    return most


cdef Py_ssize_t c_find_last(
    const cnp.npy_intp *places, Py_ssize_t n, cnp.npy_intp *writer, cnp.npy_intp *last
) noexcept nogil:
    """Return how many places are not named again behind; `last`: which."""
    cdef Py_ssize_t k, count = 0
    for k in range(n):
        writer[places[k]] = k
    for k in range(n):
        last[count] = k
        count += writer[places[k]] == k
    return count


def last_writers(places, Py_ssize_t size):
    """Return which of the places are not named again behind; None if no place is named twice."""
    cdef cnp.ndarray array = _contiguous(places), counts = np.zeros(size, np.uint8), writer, last
    cdef const cnp.npy_intp *data = <const cnp.npy_intp *> cnp.PyArray_DATA(array)
    cdef uint8_t *marks = <uint8_t *> cnp.PyArray_DATA(counts)
    cdef cnp.npy_intp *writers
    cdef cnp.npy_intp *found
    cdef Py_ssize_t count, n = cnp.PyArray_SIZE(array)
    cdef int most
    with nogil:
        most = c_most_named(data, n, marks, size)
    if most < 0:
        raise IndexError(f"last_writers: places must be in range({size})")
    if most <= 1:
        return None
    writer, last = np.empty(size, np.intp), np.empty(n, np.intp)
    writers = <cnp.npy_intp *> cnp.PyArray_DATA(writer)
    found = <cnp.npy_intp *> cnp.PyArray_DATA(last)
    with nogil:
        count = c_find_last(data, n, writers, found)
    return last[:count].copy()


cdef cnp.ndarray _contiguous(object places):
    if not isinstance(places, np.ndarray) or places.dtype != np.intp:
        raise DTypeError(f"places must be an array of {np.dtype(np.intp)}, not {places!r}")
    return cnp.PyArray_GETCONTIGUOUS(places)


cdef cnp.ndarray _parts(cnp.ndarray x):
    """Complex numbers as real ones, with an axis of both parts behind the others."""
    cdef object y = x
    if not cnp.PyArray_ISBEHAVED_RO(x):
        y = y.astype(y.dtype.newbyteorder("="))
    return y[..., None].view(y.real.dtype)


# ---- sums into places --------------------------------------------------------------------------


# A stack of `outer` blocks, into each of which `n` rows of `inner` elements are added.
cdef struct Rows:
    Py_ssize_t outer, size, n, inner
    Py_ssize_t block, row, element      # strides of the rows, counted in elements


cdef int c_add_elements(
    target *into, size_t size, const cnp.npy_intp *places, Py_ssize_t n, const addend *g,
    Py_ssize_t stride
) noexcept nogil:
    """Return -1 for a place that is out of range: a check that costs nothing here."""
    cdef Py_ssize_t k
    for k in range(n):
        if <size_t> places[k] >= size:
            return -1
        into[places[k]] = <target> (into[places[k]] + g[k * stride])
    return 0


cdef Py_ssize_t c_add_few(
    target *into, size_t size, const cnp.npy_intp *places, Py_ssize_t n, const addend *g,
    Py_ssize_t stride, uint8_t *counts
) noexcept nogil:
    """The same until a place is named for the 255th time; return how many were added."""
    cdef Py_ssize_t k
    cdef uint8_t count
    for k in range(n):
        if <size_t> places[k] >= size:
            return -1
        count = counts[places[k]] + 1
        if count == MANY:
            return k
        counts[places[k]] = count
        into[places[k]] = <target> (into[places[k]] + g[k * stride])
    return n


cdef void c_add_row(
    target *into, Py_ssize_t n, const addend *row, Py_ssize_t stride
) noexcept nogil:
    cdef Py_ssize_t k
    if stride == 1:
        for k in range(n):
            into[k] = <target> (into[k] + row[k])
    else:
        for k in range(n):
            into[k] = <target> (into[k] + row[k * stride])


cdef Py_ssize_t c_add_at(
    Rows r, target *into, const cnp.npy_intp *places, const addend *g, uint8_t *counts
) noexcept nogil:
    """Return how many places were served, -1 for one out of range; all if `counts` is NULL."""
    cdef Py_ssize_t _i, j
    if counts != NULL:
        if r.outer == 1 and r.inner == 1:
            return c_add_few(into, r.size, places, r.n, g, r.row, counts)
        j = c_most_named(places, r.n, counts, r.size)
        if j < 0 or j == MANY:
            return -1 if j < 0 else 0
    for _i in range(r.outer):
        if r.inner == 1:
            if c_add_elements(into, r.size, places, r.n, g, r.row) < 0:
                return -1
        else:
            for j in range(r.n):
                if not 0 <= places[j] < r.size:
                    return -1
                c_add_row(into + places[j] * r.inner, r.inner, g + j * r.row, r.element)
        into += r.size * r.inner
        g += r.block
    return r.n


cdef Py_ssize_t _add_at(
    Rows r, cnp.ndarray into, cnp.ndarray places, const addend *g, cnp.ndarray counts
) noexcept:
    cdef const cnp.npy_intp *at = <const cnp.npy_intp *> cnp.PyArray_DATA(places)
    cdef bint wide = cnp.PyArray_TYPE(into) == cnp.NPY_DOUBLE
    cdef void *data = cnp.PyArray_DATA(into)
    cdef uint8_t *marks = NULL if counts is None else <uint8_t *> cnp.PyArray_DATA(counts)
    cdef Py_ssize_t served
    with nogil:
        if wide:
            served = c_add_at(r, <double *> data, at, g, marks)
        else:
            served = c_add_at(r, <float *> data, at, g, marks)
    return served


def add_at(
    cnp.ndarray into not None, places, cnp.ndarray g not None, Py_ssize_t behind, bint few=False
):
    """Add to ``into[..., places, :, :]``, with `behind` axes behind the places.

    Parameters
    ----------
    into : ndarray, C-contiguous, shape (..., size, ...)
    places : ndarray of intp, any shape, in ``range(size)``
    g : ndarray of real numbers if `into` is real, else of complex ones, any strides
        The shape of `into` with that of the places instead of `size`.
    behind : int
    few : bool
        Stop before a place is named for the 255th time.

    Returns
    -------
    int
        How many places were served: the first ones; less than all only with `few`.

    Notes
    -----
    What meets in one element is added in the order of the places, and every sum is rounded to the
    dtype of `into`.
    """
    cdef cnp.ndarray array = _contiguous(places), rows, counts = None
    cdef Py_ssize_t axis = cnp.PyArray_NDIM(into) - behind - 1
    cdef cnp.npy_intp *strides
    cdef int itemsize
    cdef Py_ssize_t served
    cdef Rows r
    if behind < 0 or axis < 0:
        raise ShapeError(f"add_at: {behind} axes behind that of the places in {np.shape(into)}")
    shape = np.shape(into)
    if np.shape(g) != shape[:axis] + np.shape(places) + shape[axis + 1:]:
        raise ShapeError(
            f"add_at: {np.shape(g)} into {shape} at places of shape {np.shape(places)}")
    for x in (into, g):
        if (slot_of(cnp.PyArray_TYPE(x)) < 0
                or cnp.PyArray_ISCOMPLEX(x) != cnp.PyArray_ISCOMPLEX(into)):
            raise DTypeError(f"add_at: {g.dtype} into {into.dtype}; {_NAMES} are needed, both real "
                             "or both complex")
    if not cnp.PyArray_ISCARRAY(into):
        raise ValueError("add_at: an array is needed that is C-contiguous and writable")
    if cnp.PyArray_ISCOMPLEX(into):
        return add_at(_parts(into), array, _parts(g), behind + 1, few)
    if not cnp.PyArray_SIZE(g):
        return cnp.PyArray_SIZE(array)
    r.size, r.n = shape[axis], cnp.PyArray_SIZE(array)
    r.outer = cnp.PyArray_MultiplyList(cnp.PyArray_DIMS(into), <int> axis)
    r.inner = cnp.PyArray_SIZE(g) // (r.outer * r.n)
    rows = g.reshape((r.outer, r.n, r.inner))
    itemsize = 8 if cnp.PyArray_TYPE(rows) == cnp.NPY_DOUBLE else 4
    strides = cnp.PyArray_STRIDES(rows)
    if not cnp.PyArray_ISBEHAVED_RO(rows) or (strides[0] | strides[1] | strides[2]) % itemsize:
        rows = rows.astype(rows.dtype.newbyteorder("="), order="C")
        strides = cnp.PyArray_STRIDES(rows)
    r.block, r.row, r.element = (
        strides[0] // itemsize, strides[1] // itemsize, strides[2] // itemsize)
    if few and r.n >= MANY:
        counts = np.zeros(r.size, np.uint8)
    if itemsize == 8:
        served = _add_at(r, into, array, <const double *> cnp.PyArray_DATA(rows), counts)
    else:
        served = _add_at(r, into, array, <const float *> cnp.PyArray_DATA(rows), counts)
    if served < 0:
        raise IndexError(f"add_at: places must be in range({r.size})")
    return served
