"""The orders in which greedy colorings visit the rows of a pattern (see coloring.pyx)."""

from libc.string cimport memset

from fastbp._core.coloring cimport check_pattern

import numpy as np

from fastbp.errors import ShapeError


cdef void _degrees(const int *rows, const int *columns, const int *back, Py_ssize_t n,
                   Py_ssize_t *degrees) noexcept nogil:
    """Neighbours of each vertex; `back` NULL: directly, otherwise in common columns.

    There a neighbour counts once for each common column: exact degrees would cost much more.
    """
    cdef Py_ssize_t v, e
    for v in range(n):
        degrees[v] = 0
        for e in range(rows[v], rows[v + 1]):
            if back != NULL:
                degrees[v] += max(back[columns[e] + 1] - back[columns[e]] - 1, 0)
            else:
                degrees[v] += columns[e] != v


cdef void _sort_by_degree(const Py_ssize_t *degrees, Py_ssize_t n, Py_ssize_t *starts,
                          int *order) noexcept nogil:
    """Stable counting sort, the largest first; degrees are at most n."""
    cdef Py_ssize_t v
    memset(starts, 0, (n + 2) * sizeof(Py_ssize_t))
    for v in range(n):
        starts[n - min(degrees[v], n) + 1] += 1
    for v in range(n + 1):
        starts[v + 1] += starts[v]
    for v in range(n):
        order[starts[n - min(degrees[v], n)]] = <int> v
        starts[n - min(degrees[v], n)] += 1


# Vertices by key, from 0 to top, in doubly linked lists, one for each key.
cdef struct Buckets:
    int *heads
    int *following
    int *preceding
    Py_ssize_t *keys
    Py_ssize_t cursor
    Py_ssize_t top


cdef inline void _insert(Buckets *b, int v) noexcept nogil:
    cdef int head = b.heads[b.keys[v]]
    b.following[v] = head
    b.preceding[v] = -1
    if head >= 0:
        b.preceding[head] = v
    b.heads[b.keys[v]] = v


cdef inline void _remove(Buckets *b, int v) noexcept nogil:
    if b.preceding[v] >= 0:
        b.following[b.preceding[v]] = b.following[v]
    else:
        b.heads[b.keys[v]] = b.following[v]
    if b.following[v] >= 0:
        b.preceding[b.following[v]] = b.preceding[v]


cdef inline void _move(Buckets *b, int v, int step, bint smallest) noexcept nogil:
    if b.keys[v] < 0:
        return  # has its place already
    if not 0 <= b.keys[v] + step <= b.top:
        return  # the pattern is not symmetric, or `back` is not its transpose
    _remove(b, v)
    b.keys[v] += step
    _insert(b, v)
    if (b.keys[v] < b.cursor) if smallest else (b.keys[v] > b.cursor):
        b.cursor = b.keys[v]


cdef void _order_by_keys(const int *rows, const int *columns, const int *back,
                         const int *back_rows, Py_ssize_t n, Buckets *b, bint smallest,
                         int step, int *order) noexcept nogil:
    """Take the vertex with the smallest (largest) key; its neighbours' keys change by `step`."""
    cdef Py_ssize_t k, e, f
    cdef int v
    for k in range(b.top + 1):
        b.heads[k] = -1
    for k in range(n - 1, -1, -1):
        _insert(b, <int> k)
    b.cursor = 0 if smallest else b.top
    for k in range(n):
        while b.heads[b.cursor] < 0:
            b.cursor += 1 if smallest else -1
        v = b.heads[b.cursor]
        _remove(b, v)
        b.keys[v] = -1
        order[n - 1 - k if smallest else k] = v
        for e in range(rows[v], rows[v + 1]):
            if back == NULL:
                _move(b, columns[e], step, smallest)
                continue
            for f in range(back[columns[e]], back[columns[e] + 1]):
                _move(b, back_rows[f], step, smallest)


def order_of(str order, const int[::1] indptr not None, const int[::1] indices not None,
             const int[::1] back=None, const int[::1] back_rows=None):
    """Return the order in which a greedy coloring visits the rows of a pattern.

    Parameters
    ----------
    order : {"largest_first", "smallest_last", "incidence_degree", "dynamic_largest_first"}
    indptr, indices : ndarray of int32
    back, back_rows : ndarray of int32, optional
        The transpose: neighbours are rows with a common column. Without it the pattern is a graph;
        if that is not symmetric, the order is some permutation.

    Returns
    -------
    ndarray of int32
    """
    cdef Py_ssize_t n = indptr.shape[0] - 1, nnz = indices.shape[0], v, top = 0
    cdef Py_ssize_t width = n if back is None else back.shape[0] - 1
    cdef const int *rows
    cdef const int *columns = NULL
    cdef const int *c_back = NULL
    cdef const int *c_back_rows = NULL
    cdef bint smallest = order == "smallest_last", incidence = order == "incidence_degree"
    cdef Buckets b
    cdef int[::1] result
    if (back is None) != (back_rows is None):
        raise ShapeError("order_of: a transpose is both back and back_rows")
    check_pattern("order_of", indptr, indices, width)
    rows = &indptr[0]
    if nnz:
        columns = &indices[0]
    if back is not None:
        check_pattern("order_of", back, back_rows, n)
        c_back = &back[0]
        if back_rows.shape[0]:
            c_back_rows = &back_rows[0]
    if order not in ("largest_first", "smallest_last", "incidence_degree", "dynamic_largest_first"):
        raise ValueError(f"order_of: unknown order {order!r}")
    array = np.empty(n, np.int32)
    if n == 0:
        return array
    result = array
    keys_array = np.empty(n, np.intp)
    cdef Py_ssize_t[::1] keys = keys_array
    cdef Py_ssize_t[::1] starts
    cdef int[::1] heads
    _degrees(rows, columns, c_back, n, &keys[0])
    if order == "largest_first":
        starts = np.empty(n + 2, np.intp)
        _sort_by_degree(&keys[0], n, &starts[0], &result[0])
        return array
    for v in range(n):
        top = max(top, keys[v])
        if incidence:
            keys[v] = 0
    heads = np.empty(top + 1 + 2 * n, np.int32)
    b.heads = &heads[0]
    b.following = &heads[top + 1]
    b.preceding = &heads[top + 1 + n]
    b.keys = &keys[0]
    b.top = top
    with nogil:
        _order_by_keys(rows, columns, c_back, c_back_rows, n, &b, smallest,
                       1 if incidence else -1, &result[0])
    return array
