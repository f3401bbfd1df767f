"""Sparsity patterns: unions of index sets over whole arrays.

A pattern is an int32 array of the numbers of sets in a table (`intervals.pyx`). So shape operations
work on patterns as on any array, and a row that equals another one costs four bytes.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcmp

cimport cython
cimport numpy as cnp
from fastbp._core.intervals cimport FAILED, Interval, Table

import numpy as np

cnp.import_array()

cdef int32_t INT32_MAX = 2147483647


@cython.final
cdef class Sets(Table):
    """A table of index sets with operations on arrays of their numbers.

    Set 0 is empty, set 1 + i is {i}. Arguments as of `Table`.
    """

    # -- loops over arrays

    cdef int join_arrays(
        self, const int32_t *a, const int32_t *b, int32_t *out, Py_ssize_t n
    ) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(n):
            if i and a[i] == a[i - 1] and b[i] == b[i - 1]:
                out[i] = out[i - 1]
                continue
            out[i] = self.join(a[i], b[i])
            if out[i] == FAILED:
                return FAILED
        return 0

    cdef int join_rows(
        self, const int32_t *ids, int32_t *out, Py_ssize_t rows, Py_ssize_t n
    ) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(rows):
            if i and memcmp(ids + i * n, ids + (i - 1) * n, n * sizeof(int32_t)) == 0:
                out[i] = out[i - 1]
                continue
            out[i] = self.row(ids + i * n, NULL, n)
            if out[i] == FAILED:
                return FAILED
        return 0

    cdef int join_before(
        self, const int32_t *ids, int32_t *out, Py_ssize_t rows, Py_ssize_t n
    ) noexcept nogil:
        cdef Py_ssize_t i, j
        for i in range(rows):
            for j in range(i * n, (i + 1) * n):
                out[j] = ids[j] if j == i * n else self.join(out[j - 1], ids[j])
                if out[j] == FAILED:
                    return FAILED
        return 0

    cdef int join_lists(
        self, const int32_t *ids, const Py_ssize_t *indptr, const Py_ssize_t *indices,
        int32_t *out, Py_ssize_t rows
    ) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(rows):
            out[i] = self.row(ids, indices + indptr[i], indptr[i + 1] - indptr[i])
            if out[i] == FAILED:
                return FAILED
        return 0

    cdef int join_masked(
        self, const int32_t *ids, const uint8_t *mask, Py_ssize_t *chosen, int32_t *whole,
        int32_t *out, Py_ssize_t rows, Py_ssize_t masks, Py_ssize_t n
    ) noexcept nogil:
        """One stack of `masked`. `chosen` and `whole` are work space for n and for `rows` items."""
        cdef Py_ssize_t i, j, k, count
        cdef int32_t id
        for i in range(rows):
            whole[i] = FAILED
        for j in range(masks):
            count = 0
            for k in range(n):
                chosen[count] = k
                count += mask[j * n + k] != 0
            for i in range(rows):
                if count == n and whole[i] != FAILED:
                    id = whole[i]
                else:
                    id = self.row(ids + i * n, chosen, count)
                if id == FAILED:
                    return FAILED
                if count == n:
                    whole[i] = id
                out[i * masks + j] = id
        return 0

    # -- from Python

    cdef cnp.ndarray checked(self, object ids):
        """Return an array of ids in C order."""
        cdef cnp.ndarray array
        cdef const int32_t *data
        cdef Py_ssize_t i
        cdef int32_t highest = <int32_t> (self.size + self.count)
        if not isinstance(ids, np.ndarray) or ids.dtype != np.int32:
            raise TypeError(f"sparsity: an array of int32 is needed, not {ids!r}")
        array = cnp.PyArray_GETCONTIGUOUS(ids)
        data = <const int32_t *> cnp.PyArray_DATA(array)
        for i in range(cnp.PyArray_SIZE(array)):
            if not 0 <= data[i] <= highest:
                raise IndexError(f"sparsity: there is no set {data[i]} in this table")
        return array

    def indices(self, int number):
        """Return the members of a set, for tests."""
        _, found = self.to_csr(np.array([number], np.int32))
        return found

    def union(self, a, b):
        """Return the unions, elementwise; the arrays must have one shape."""
        cdef cnp.ndarray x = self.checked(a), y = self.checked(b), out
        cdef Py_ssize_t n = cnp.PyArray_SIZE(x)
        cdef int status
        if not cnp.PyArray_SAMESHAPE(x, y):
            raise ValueError(f"union: shapes {a.shape} and {b.shape} differ")
        out = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.NPY_INT32, 0)
        cdef const int32_t *px = <const int32_t *> cnp.PyArray_DATA(x)
        cdef const int32_t *py = <const int32_t *> cnp.PyArray_DATA(y)
        cdef int32_t *po = <int32_t *> cnp.PyArray_DATA(out)
        with nogil:
            status = self.join_arrays(px, py, po, n)
        if status == FAILED:
            raise self.failure()
        return out

    def rows(self, ids):
        """Return the unions along the last axis."""
        cdef cnp.ndarray x = self.checked(ids)
        if x.ndim < 1:
            raise ValueError("rows: a 0-d array has no last axis")
        cdef cnp.ndarray out = np.empty(ids.shape[:ids.ndim - 1], np.int32)
        cdef Py_ssize_t n = cnp.PyArray_DIM(x, x.ndim - 1), count = out.size
        cdef const int32_t *px = <const int32_t *> cnp.PyArray_DATA(x)
        cdef int32_t *po = <int32_t *> cnp.PyArray_DATA(out)
        cdef int status
        with nogil:
            status = self.join_rows(px, po, count, n)
        if status == FAILED:
            raise self.failure()
        return out

    def prefix(self, ids):
        """Return the running unions along the last axis."""
        cdef cnp.ndarray x = self.checked(ids)
        if x.ndim < 1:
            raise ValueError("prefix: a 0-d array has no last axis")
        cdef cnp.ndarray out = np.empty((<object> x).shape, np.int32)
        cdef Py_ssize_t n = cnp.PyArray_DIM(x, x.ndim - 1)
        cdef Py_ssize_t count = out.size // n if n else 0
        cdef const int32_t *px = <const int32_t *> cnp.PyArray_DATA(x)
        cdef int32_t *po = <int32_t *> cnp.PyArray_DATA(out)
        cdef int status
        with nogil:
            status = self.join_before(px, po, count, n)
        if status == FAILED:
            raise self.failure()
        return out

    def gather(self, ids, indptr, indices):
        """Return the union of ``ids[indices[indptr[i]:indptr[i + 1]]]`` for every i."""
        cdef cnp.ndarray x = self.checked(ids)
        cdef cnp.ndarray ptr = np.ascontiguousarray(indptr, np.intp)
        cdef cnp.ndarray at = np.ascontiguousarray(indices, np.intp)
        if x.ndim != 1 or ptr.ndim != 1 or at.ndim != 1 or ptr.size < 1:
            raise ValueError("gather: one-dimensional arrays are needed, indptr not empty")
        if ptr[0] < 0 or ptr[ptr.size - 1] > at.size or (np.diff(ptr) < 0).any():
            raise IndexError(f"gather: indptr does not fit {at.size} indices")
        if at.size and not (0 <= at.min() and at.max() < x.size):
            raise IndexError(f"gather: indices do not fit an array of {x.size} elements")
        cdef cnp.ndarray out = np.empty(ptr.size - 1, np.int32)
        cdef Py_ssize_t count = out.size
        cdef const int32_t *px = <const int32_t *> cnp.PyArray_DATA(x)
        cdef const Py_ssize_t *pp = <const Py_ssize_t *> cnp.PyArray_DATA(ptr)
        cdef const Py_ssize_t *pa = <const Py_ssize_t *> cnp.PyArray_DATA(at)
        cdef int32_t *po = <int32_t *> cnp.PyArray_DATA(out)
        cdef int status
        with nogil:
            status = self.join_lists(px, pp, pa, po, count)
        if status == FAILED:
            raise self.failure()
        return out

    def scatter(self, ids, targets, Py_ssize_t count):
        """Return, for every i < count, the union of the ids whose target is i."""
        targets = np.ascontiguousarray(targets, np.intp).reshape(-1)
        if targets.size != ids.size:
            raise ValueError(f"scatter: {targets.size} targets do not fit {ids.size} ids")
        if targets.size and not (0 <= targets.min() and targets.max() < count):
            raise IndexError(f"scatter: targets do not fit {count} elements")
        indptr = np.zeros(count + 1, np.intp)
        np.cumsum(np.bincount(targets, minlength=count), out=indptr[1:])
        return self.gather(
            np.ascontiguousarray(ids).reshape(-1), indptr, np.argsort(targets, kind="stable"))

    def masked(self, ids, masks):
        """Return the unions along the last axis of what masks select, for every row and mask.

        Parameters
        ----------
        ids : numpy.ndarray of int32, shape (b, m, k)
        masks : numpy.ndarray of bool, shape (b, n, k)

        Returns
        -------
        numpy.ndarray of int32, shape (b, m, n)
        """
        cdef cnp.ndarray x = self.checked(ids)
        cdef cnp.ndarray mask = np.ascontiguousarray(masks, bool)
        if x.ndim != 3 or mask.ndim != 3 or ids.shape[::2] != masks.shape[::2]:
            raise ValueError(f"masked: shapes {ids.shape} and {masks.shape} do not fit")
        cdef Py_ssize_t b, m = ids.shape[1], n = masks.shape[1], k = ids.shape[2]
        cdef cnp.ndarray out = np.empty((ids.shape[0], m, n), np.int32)
        # One more: `chosen` is written to before it is known whether an index belongs there.
        cdef cnp.ndarray chosen = np.empty(k + 1, np.intp), whole = np.empty(m, np.int32)
        cdef const int32_t *px = <const int32_t *> cnp.PyArray_DATA(x)
        cdef const uint8_t *pm = <const uint8_t *> cnp.PyArray_DATA(mask)
        cdef Py_ssize_t *pc = <Py_ssize_t *> cnp.PyArray_DATA(chosen)
        cdef int32_t *pw = <int32_t *> cnp.PyArray_DATA(whole)
        cdef int32_t *po = <int32_t *> cnp.PyArray_DATA(out)
        cdef int status = 0
        for b in range(ids.shape[0]):
            with nogil:
                status = self.join_masked(
                    px + b * m * k, pm + b * n * k, pc, pw, po + b * m * n, m, n, k)
            if status == FAILED:
                raise self.failure()
        return out

    cdef int64_t fill_indptr(
        self, const int32_t *ids, int64_t *indptr, Py_ssize_t n
    ) noexcept nogil:
        """Merge all sets that are needed and count; return the number of members, or FAILED."""
        cdef Interval own
        cdef Interval *x = NULL
        cdef Py_ssize_t i, j, count
        cdef int64_t total = 0
        indptr[0] = 0
        for i in range(n):
            if self.settle(ids[i]) == FAILED:
                return FAILED
            count = self.content(ids[i], &own, &x)
            for j in range(count):
                total += x[j].hi - x[j].lo
            indptr[i + 1] = total
        return total

    cdef void fill_indices(
        self, const int32_t *ids, int32_t *indices, Py_ssize_t n
    ) noexcept nogil:
        cdef Interval own
        cdef Interval *x = NULL
        cdef Py_ssize_t i, j, count
        cdef int32_t column
        for i in range(n):
            count = self.content(ids[i], &own, &x)
            for j in range(count):
                for column in range(x[j].lo, x[j].hi):
                    indices[0] = column
                    indices += 1

    def to_csr(self, ids):
        """Return ``indptr`` and sorted ``indices`` of the rows, in int32 where they fit."""
        cdef cnp.ndarray x = self.checked(ids)
        cdef Py_ssize_t n = x.size
        cdef cnp.ndarray indptr = np.empty(n + 1, np.int64), indices
        cdef const int32_t *px = <const int32_t *> cnp.PyArray_DATA(x)
        cdef int64_t *pp = <int64_t *> cnp.PyArray_DATA(indptr)
        cdef int32_t *pi
        cdef int64_t total
        with nogil:
            total = self.fill_indptr(px, pp, n)
        if total == FAILED:
            raise self.failure()
        if 5 * total > self.limit:
            raise MemoryError(
                f"sparsity: a pattern of {n} rows and {self.size} columns with {total} nonzeros "
                f"needs more than {self.limit} bytes")
        indices = np.empty(total, np.int32)
        pi = <int32_t *> cnp.PyArray_DATA(indices)
        with nogil:
            self.fill_indices(px, pi, n)
        if total <= INT32_MAX:
            return indptr.astype(np.int32), indices
        return indptr, indices.astype(np.int64)
