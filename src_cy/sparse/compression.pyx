"""Seeds of compressed sweeps, and the way back from their results to the stored values.

A compressed sweep computes the product of a matrix with one seed for each color: ``J @ seeds.T`` or
``seeds @ J``, kept as one row for each color. Positions are in that array, flattened.
"""

from libc.stdint cimport int32_t, int64_t

cimport cython
cimport numpy as cnp
from cython cimport floating

import numpy as np

from fastbp.errors import DTypeError, ShapeError

cnp.import_array()

ctypedef fused position:
    int32_t
    int64_t


def seeds(const int[::1] colors not None, int first, int last, dtype):
    """Return the sums of the unit vectors of each color in ``range(first, last)``.

    Returns
    -------
    ndarray of float64 or float32, shape (last - first, len(colors))
    """
    cdef Py_ssize_t n = colors.shape[0]
    dtype = np.dtype(dtype)
    if not 0 <= first <= last:
        raise ShapeError(f"seeds: colors {first} to {last} are not a range")
    if dtype not in (np.float64, np.float32):
        raise DTypeError(f"seeds: dtype must be float64 or float32, not {dtype}")
    array = np.zeros((last - first, n), dtype)
    if n and last > first:
        if dtype == np.float64:
            _fill_seeds[double](&colors[0], n, first, last, <double *> cnp.PyArray_DATA(array))
        else:
            _fill_seeds[float](&colors[0], n, first, last, <float *> cnp.PyArray_DATA(array))
    return array


cdef void _fill_seeds(const int *colors, Py_ssize_t n, int first, int last,
                      floating *out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if first <= colors[i] < last:
            out[(colors[i] - first) * n + i] = 1


def alone(const int[::1] indptr not None, const int[::1] indices not None,
          const int[::1] colors not None):
    """Say which entries are the only ones of their row with the color of their column.

    Returns
    -------
    ndarray of bool, one for each entry
        Where the column has no color (-1): false.
    """
    cdef Py_ssize_t n = indptr.shape[0] - 1, nnz = indices.shape[0], i, e
    cdef int color, top = -1
    if n < 0 or indptr[0] != 0 or indptr[n] != nnz:
        raise ShapeError("alone: indptr does not describe the rows of indices")
    for i in range(n):
        if indptr[i] > indptr[i + 1]:
            raise ShapeError("alone: indptr decreases")
    for e in range(nnz):
        if not 0 <= indices[e] < colors.shape[0]:
            raise ShapeError(f"alone: a column is not in range({colors.shape[0]})")
    for i in range(colors.shape[0]):
        top = max(top, colors[i])
    result = np.zeros(nnz, np.uint8)
    cdef unsigned char[::1] found = result
    cdef int[::1] rows = np.full(top + 1, -1, np.int32), entries = np.empty(top + 1, np.int32)
    with nogil:
        for i in range(n):
            for e in range(indptr[i], indptr[i + 1]):
                color = colors[indices[e]]
                if color < 0:
                    continue
                if rows[color] == i:
                    found[entries[color]] = 0
                else:
                    rows[color] = <int> i
                    entries[color] = <int> e
                    found[e] = 1
    return result.view(bool)


# ---- direct recovery ---------------------------------------------------------------------------


@cython.final
cdef class Gather:
    """Copies elements of a compressed array to the stored values: ``out[entries] = x[positions]``.

    Parameters
    ----------
    positions : ndarray of int32 or int64
    entries : ndarray of the same dtype or None
        None: all stored values, in order.
    source_size, target_size : int
    """
    cdef readonly cnp.ndarray positions, entries
    cdef readonly Py_ssize_t source_size, target_size

    def __init__(self, positions, entries, Py_ssize_t source_size, Py_ssize_t target_size):
        self.positions = _positions(positions, source_size, "positions")
        self.source_size = source_size
        self.target_size = target_size
        if entries is not None:
            self.entries = _positions(entries, target_size, "entries")
            if self.entries.dtype != self.positions.dtype:
                raise DTypeError("Gather: positions and entries have different dtypes")
            target_size = self.entries.size
        if self.positions.size != target_size:
            raise ShapeError(f"Gather: {self.positions.size} positions for {target_size} entries")

    def __call__(self, cnp.ndarray x not None, cnp.ndarray out not None):
        """Copy; both C-contiguous and of one dtype, float64 or float32."""
        _check_pair("Gather", x, self.source_size, out, self.target_size)
        if cnp.PyArray_TYPE(x) == cnp.NPY_DOUBLE:
            if cnp.PyArray_TYPE(self.positions) == cnp.NPY_INT32:
                _gather[double, int32_t](self, <double *> cnp.PyArray_DATA(x),
                                         <double *> cnp.PyArray_DATA(out), NULL)
            else:
                _gather[double, int64_t](self, <double *> cnp.PyArray_DATA(x),
                                         <double *> cnp.PyArray_DATA(out), NULL)
        elif cnp.PyArray_TYPE(self.positions) == cnp.NPY_INT32:
            _gather[float, int32_t](self, <float *> cnp.PyArray_DATA(x),
                                    <float *> cnp.PyArray_DATA(out), NULL)
        else:
            _gather[float, int64_t](self, <float *> cnp.PyArray_DATA(x),
                                    <float *> cnp.PyArray_DATA(out), NULL)


cdef cnp.ndarray _positions(object array, Py_ssize_t size, str what):
    """Positions that are proven to be in ``range(size)``; nobody else can write to them."""
    array = np.array(array, order="C")
    if array.ndim != 1 or array.dtype not in (np.int32, np.int64):
        raise DTypeError(f"{what} must be a vector of int32 or int64, not of {array.dtype}")
    if array.size and not (0 <= array.min() and array.max() < size):
        raise ShapeError(f"{what} are not in range({size})")
    array.setflags(write=False)
    return array


cdef int _check_pair(str name, cnp.ndarray x, Py_ssize_t x_size, cnp.ndarray out,
                     Py_ssize_t out_size) except -1:
    if cnp.PyArray_SIZE(x) != x_size or cnp.PyArray_SIZE(out) != out_size:
        raise ShapeError(f"{name}: {cnp.PyArray_SIZE(x)} elements to {cnp.PyArray_SIZE(out)}, "
                         f"expected {x_size} to {out_size}")
    if cnp.PyArray_TYPE(x) != cnp.PyArray_TYPE(out) or cnp.PyArray_TYPE(x) not in (
            cnp.NPY_DOUBLE, cnp.NPY_FLOAT):
        raise DTypeError(f"{name}: {x.dtype} to {out.dtype}; both must be float64 or float32")
    if not (cnp.PyArray_IS_C_CONTIGUOUS(x) and cnp.PyArray_ISBEHAVED_RO(x)
            and cnp.PyArray_ISCARRAY(out)):
        raise ValueError(f"{name}: the arrays must be C-contiguous, the second one writable")
    return 0


cdef int _gather(Gather g, const floating *x, floating *out, const position *_type) except -1:
    # The last argument only names a type.
    cdef const position *positions = <const position *> cnp.PyArray_DATA(g.positions)
    cdef const position *entries = NULL
    cdef Py_ssize_t k, n = cnp.PyArray_SIZE(g.positions)
    if g.entries is not None:
        entries = <const position *> cnp.PyArray_DATA(g.entries)
    with nogil:
        if entries == NULL:
            for k in range(n):
                out[k] = x[positions[k]]
        else:
            for k in range(n):
                out[entries[k]] = x[positions[k]]
    return 0


# ---- recovery by substitution ------------------------------------------------------------------


def peel(const int[::1] indptr not None, const int[::1] indices not None,
         const int[::1] numbers not None, const int[::1] colors not None):
    """Find an order in which the edges of a symmetric pattern can be recovered.

    Row v of the compressed matrix holds, for each color, the sum of the entries of v in columns of
    that color. A sum of one entry gives that entry, which is then taken from the sum on the other
    side: the leaves of trees of two colors go first, and so on.

    Parameters
    ----------
    indptr, indices : ndarray of int32
        A symmetric pattern.
    numbers : ndarray of int32
        From `coloring.edges`.
    colors : ndarray of int32

    Returns
    -------
    steps : ndarray of int64, shape (edges, 4), or None
        In order: the position of the sum, that of the sum on the other side (-1: there is nothing
        left in it), and the entries with this value (the second -1 on the diagonal). None if the
        edges cannot be recovered from these colors.
    """
    cdef Py_ssize_t n = indptr.shape[0] - 1, nnz = indices.shape[0], i, e, k, sums = 0, first = 0
    cdef Py_ssize_t last = 0, done = 0, other
    cdef int color, edge, top = 0
    count = int(np.max(numbers)) + 1 if nnz else 0
    if (n < 0 or colors.shape[0] != n or numbers.shape[0] != nnz or indptr[0] != 0
            or indptr[n] != nnz or np.min(np.diff(indptr), initial=0) < 0
            or (nnz and (np.min(indices) < 0 or np.max(indices) >= n or np.min(numbers) < 0))):
        raise ShapeError("peel: pattern, numbers and colors do not fit")
    ends_array = np.full((count, 2), -1, np.intp)
    cdef Py_ssize_t[:, ::1] ends = ends_array
    for e in range(nnz):
        if ends[numbers[e], 1] >= 0:
            raise ShapeError("peel: an edge has more than two entries")
        ends[numbers[e], 0 if ends[numbers[e], 0] < 0 else 1] = e
    for i in range(n):
        top = max(top, colors[i] + 1)
    # A sum: its position, how many of its entries are not known, and their numbers, xor'ed.
    cdef Py_ssize_t[::1] sum_of = np.full(nnz, -1, np.intp)
    cdef int64_t[::1] positions = np.empty(nnz, np.int64)
    cdef int[::1] unknown = np.zeros(nnz, np.int32), mixed = np.zeros(nnz, np.int32)
    cdef Py_ssize_t[::1] present = np.full(top, -1, np.intp), queue = np.empty(nnz, np.intp)
    steps_array = np.empty((count, 4), np.int64)
    cdef int64_t[:, ::1] steps = steps_array
    with nogil:
        for i in range(n):
            k = sums
            for e in range(indptr[i], indptr[i + 1]):
                color = colors[indices[e]]
                if color < 0:
                    continue
                if present[color] < k:
                    present[color] = sums
                    positions[sums] = <int64_t> color * n + i
                    sums += 1
                sum_of[e] = present[color]
                unknown[sum_of[e]] += 1
                mixed[sum_of[e]] ^= numbers[e]
        for k in range(sums):
            if unknown[k] == 1:
                queue[last] = k
                last += 1
        while first < last:
            k = queue[first]
            first += 1
            if unknown[k] != 1:
                continue
            edge = mixed[k]
            unknown[k] = 0
            e, other = ends[edge, 0], ends[edge, 1]
            if sum_of[e] != k:
                e, other = other, e
            steps[done, 0], steps[done, 1] = positions[k], -1
            steps[done, 2], steps[done, 3] = e, other
            if other >= 0 and sum_of[other] >= 0:
                k = sum_of[other]
                unknown[k] -= 1
                mixed[k] ^= edge
                if unknown[k] > 0:
                    steps[done, 1] = positions[k]
                if unknown[k] == 1:
                    queue[last] = k
                    last += 1
            done += 1
    return steps_array if done == count else None


@cython.final
cdef class Substitution:
    """Recovers the stored values of a symmetric matrix by the steps of `peel`.

    Parameters
    ----------
    steps : ndarray of int64, shape (edges, 4)
    source_size, target_size : int
    """
    cdef readonly cnp.ndarray steps
    cdef readonly Py_ssize_t source_size, target_size

    def __init__(self, steps, Py_ssize_t source_size, Py_ssize_t target_size):
        steps = np.array(steps, np.int64, order="C")
        if steps.ndim != 2 or steps.shape[1] != 4:
            raise ShapeError(f"Substitution: steps have shape (n, 4), not {steps.shape}")
        first = np.array([[0, -1, 0, -1]])
        size = np.array([[source_size, source_size, target_size, target_size]])
        if not np.all((first <= steps) & (steps < size)):
            raise ShapeError("Substitution: a step is out of bounds")
        steps.setflags(write=False)
        self.steps = steps
        self.source_size, self.target_size = source_size, target_size

    def __call__(self, cnp.ndarray x not None, cnp.ndarray out not None):
        """Recover; both C-contiguous and of one dtype, float64 or float32. Overwrites `x`."""
        _check_pair("Substitution", x, self.source_size, out, self.target_size)
        if not cnp.PyArray_ISCARRAY(x):
            raise ValueError("Substitution: the first array must be writable")
        if cnp.PyArray_TYPE(x) == cnp.NPY_DOUBLE:
            _substitute(self, <double *> cnp.PyArray_DATA(x), <double *> cnp.PyArray_DATA(out))
        else:
            _substitute(self, <float *> cnp.PyArray_DATA(x), <float *> cnp.PyArray_DATA(out))


cdef int _substitute(Substitution s, floating *x, floating *out) except -1:
    cdef const int64_t *step = <const int64_t *> cnp.PyArray_DATA(s.steps)
    cdef floating value
    with nogil:
        for _ in range(cnp.PyArray_DIM(s.steps, 0)):
            value = x[step[0]]
            out[step[2]] = value
            if step[3] >= 0:
                out[step[3]] = value
            if step[1] >= 0:
                x[step[1]] -= value
            step += 4
    return 0
