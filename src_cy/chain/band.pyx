"""Products with banded matrices, kept as the band of each row.

``rows[i, lower + j - i] = J[i, j]``, C order, zero where j is outside of range(n): kernels cut the
bands, so that no index leaves its array, and elements outside are never read.
"""

from cython cimport floating

import numpy as np

from fastbp.errors import ShapeError


cdef enum:
    FEW_DIAGONALS = 16


cdef inline Py_ssize_t _first(Py_ssize_t i, Py_ssize_t lower) noexcept nogil:
    return max(0, i - lower)


cdef inline Py_ssize_t _last(Py_ssize_t i, Py_ssize_t upper, Py_ssize_t n) noexcept nogil:
    return min(n, i + upper + 1)


cdef int _check(Py_ssize_t width, Py_ssize_t lower, Py_ssize_t upper, Py_ssize_t n) except -1:
    if lower < 0 or upper < 0 or n < 0 or width != lower + upper + 1:
        raise ShapeError(f"band: {width} diagonals are not {lower} below and {upper} above")
    return 0


cdef void _right(const floating *rows, Py_ssize_t m, Py_ssize_t lower, Py_ssize_t upper,
                 Py_ssize_t n, const floating *x, Py_ssize_t k, floating *out) noexcept nogil:
    cdef Py_ssize_t i, j, t, width = lower + upper + 1
    cdef floating a
    cdef floating *y
    cdef const floating *z
    for i in range(m):
        y = out + i * k
        for j in range(_first(i, lower), _last(i, upper, n)):
            a = rows[i * width + lower + j - i]
            z = x + j * k
            for t in range(k):
                y[t] += a * z[t]


cdef void _left(const floating *x, Py_ssize_t k, const floating *rows, Py_ssize_t m,
                Py_ssize_t lower, Py_ssize_t upper, Py_ssize_t n, floating *out) noexcept nogil:
    cdef Py_ssize_t i, j, t, width = lower + upper + 1, first, last
    cdef floating a
    cdef floating *y
    cdef const floating *z
    for t in range(k):
        y = out + t * n
        for i in range(m):
            a = x[t * m + i]
            z = rows + i * width + lower - i
            first, last = _first(i, lower), _last(i, upper, n)
            for j in range(first, last):
                y[j] += a * z[j]


cdef void _left_by_diagonals(const floating *x, Py_ssize_t k, const floating *diagonals,
                             Py_ssize_t m, Py_ssize_t lower, Py_ssize_t upper, Py_ssize_t n,
                             floating *out) noexcept nogil:
    # Few diagonals: loops along them, not across.
    cdef Py_ssize_t i, t, w, first, last, shift
    cdef floating *y
    cdef const floating *z
    for t in range(k):
        for w in range(lower + upper + 1):
            shift = w - lower
            first, last = max(0, -shift), min(m, n - shift)
            y = out + t * n + shift
            z = diagonals + w * m
            for i in range(first, last):
                y[i] += x[t * m + i] * z[i]


cdef void _band(const floating *a, Py_ssize_t m, Py_ssize_t la, Py_ssize_t ua, Py_ssize_t k,
                const floating *b, Py_ssize_t lb, Py_ssize_t ub, Py_ssize_t n,
                floating *out) noexcept nogil:
    # Row i of the product is the sum of rows s of b, each s - i places along.
    cdef Py_ssize_t i, s, j, wa = la + ua + 1, wb = lb + ub + 1, wide = wa + wb - 1
    cdef floating c
    cdef floating *y
    cdef const floating *z
    for i in range(m):
        for s in range(_first(i, la), _last(i, ua, k)):
            c = a[i * wa + la + s - i]
            z = b + s * wb
            y = out + i * wide + la + s - i
            for j in range(wb):
                y[j] += c * z[j]


def band_right(const floating[:, ::1] rows not None, Py_ssize_t lower, Py_ssize_t upper,
               Py_ssize_t n, const floating[:, ::1] x not None):
    """Return ``J @ x``, shape (m, K)."""
    cdef Py_ssize_t m = rows.shape[0], k = x.shape[1]
    _check(rows.shape[1], lower, upper, n)
    if x.shape[0] != n:
        raise ShapeError(f"band: x has {x.shape[0]} rows, J has {n} columns")
    out = np.zeros((m, k), np.float32 if floating is float else np.float64)
    cdef floating[:, ::1] y = out
    if m and k and n:
        with nogil:
            _right(&rows[0, 0], m, lower, upper, n, &x[0, 0], k, &y[0, 0])
    return out


def band_left(const floating[:, ::1] x not None, const floating[:, ::1] rows not None,
              Py_ssize_t lower, Py_ssize_t upper, Py_ssize_t n):
    """Return ``x @ J``, shape (K, n)."""
    cdef Py_ssize_t m = rows.shape[0], k = x.shape[0]
    _check(rows.shape[1], lower, upper, n)
    if x.shape[1] != m:
        raise ShapeError(f"band: x has {x.shape[1]} columns, J has {m} rows")
    out = np.zeros((k, n), np.float32 if floating is float else np.float64)
    cdef floating[:, ::1] y = out
    cdef floating[:, ::1] diagonals
    if m and k and n and k > 1 and rows.shape[1] <= FEW_DIAGONALS:
        diagonals = np.ascontiguousarray(np.asarray(rows).T)
        with nogil:
            _left_by_diagonals(&x[0, 0], k, &diagonals[0, 0], m, lower, upper, n, &y[0, 0])
    elif m and k and n:
        with nogil:
            _left(&x[0, 0], k, &rows[0, 0], m, lower, upper, n, &y[0, 0])
    return out


def band_band(const floating[:, ::1] a not None, Py_ssize_t la, Py_ssize_t ua,
              const floating[:, ::1] b not None, Py_ssize_t lb, Py_ssize_t ub, Py_ssize_t n):
    """Return the band of the product of two banded matrices; the bandwidths add."""
    cdef Py_ssize_t m = a.shape[0], k = b.shape[0]
    _check(a.shape[1], la, ua, k)
    _check(b.shape[1], lb, ub, n)
    out = np.zeros((m, la + ua + lb + ub + 1), np.float32 if floating is float else np.float64)
    cdef floating[:, ::1] y = out
    if m and k:
        with nogil:
            _band(&a[0, 0], m, la, ua, k, &b[0, 0], lb, ub, n, &y[0, 0])
    return out


def band_transpose(const floating[:, ::1] rows not None, Py_ssize_t lower, Py_ssize_t upper,
                   Py_ssize_t n):
    """Return the band of the transpose, with `upper` diagonals below and `lower` above."""
    cdef Py_ssize_t m = rows.shape[0], i, j
    _check(rows.shape[1], lower, upper, n)
    out = np.zeros((n, lower + upper + 1), np.float32 if floating is float else np.float64)
    cdef floating[:, ::1] y = out
    with nogil:
        for i in range(m):
            for j in range(_first(i, lower), _last(i, upper, n)):
                y[j, upper + i - j] = rows[i, lower + j - i]
    return out


def band_dense(const floating[:, ::1] rows not None, Py_ssize_t lower, Py_ssize_t upper,
               Py_ssize_t n):
    """Return J with all elements."""
    cdef Py_ssize_t m = rows.shape[0], i, j
    _check(rows.shape[1], lower, upper, n)
    out = np.zeros((m, n), np.float32 if floating is float else np.float64)
    cdef floating[:, ::1] y = out
    with nogil:
        for i in range(m):
            for j in range(_first(i, lower), _last(i, upper, n)):
                y[i, j] = rows[i, lower + j - i]
    return out
