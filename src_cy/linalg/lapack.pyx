"""LAPACK, and kernels of our own for small matrices, on row-major arrays: only this calls it.

Operands may have any strides. LAPACK is column-major, so what is general is copied across, which it
would overwrite anyway; triangles are read as they are, with flags. Small real matrices are
factorised here, by LAPACK's own conventions (the largest pivot, Householder's reflections with its
signs): there its calls, and those of BLAS inside of it, cost more than the arithmetic. `run` takes
1.4 us for Q and R of n = 8, which are ours, 6.9 us for n = 9, in float64 on one Zen 5 core.
"""

cimport numpy as cnp
from cython cimport doublecomplex, floatcomplex, floating
from libc.float cimport DBL_EPSILON, FLT_EPSILON
from libc.math cimport HUGE_VAL, exp, fabs, hypot, log, sqrt
from libc.stdint cimport intptr_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset
from scipy.linalg.cython_lapack cimport (
    cgeqrf, cgesdd, cgetrf, cgetri, cheevd, cpotrf, cungqr, dgeqrf, dgesdd, dgetrf, dgetri, dorgqr,
    dpotrf, dsyevd, sgeqrf, sgesdd, sgetrf, sgetri, sorgqr, spotrf, ssyevd, zgeqrf, zgesdd, zgetrf,
    zgetri, zheevd, zpotrf, zungqr,
)

from fastbp._core.blas cimport c_trsm, enter_level2, leave, number
from fastbp._core.dtypes cimport itemsize_of, real_of, slot_of
from fastbp._core.elementwise cimport MAX_NDIM

import numpy as np

include "../products/_blas_int.pxi"

cnp.import_array()

cdef enum:
    OK = 0
    TOO_LARGE = 1
    BAD_LAYOUT = 2
    SMALL = 8           # the largest matrices of our own kernels

cdef Py_ssize_t BLAS_INT_MAX = <Py_ssize_t>(
    ((<unsigned long long>1) << (8 * min(sizeof(blas_int), sizeof(Py_ssize_t)) - 1)) - 1
)
cdef int[4] TYPES = [cnp.NPY_FLOAT, cnp.NPY_DOUBLE, cnp.NPY_CFLOAT, cnp.NPY_CDOUBLE]

# How wide pivots are, which count from 1: an array of them is for this module only.
PIVOTS = np.dtype(f"i{sizeof(blas_int)}")


# ---- what a routine is given, and returns


# Operands > results by their axes: m, n, k; p = m, q = m of QR, n of SVD, these two at most
# s = min(m, n) unless FULL. Then what it is: a number of the matrix, R a real one, I a pivot. F:
# in Fortran's order.
_FACTS = {
    LU: "nn > nnF nI",
    LU_SOLVE: "nnF nI nk > nk",
    INVERSE: "nnF nI > nn",
    DETERMINANT: "nnF nI > -",
    SIGN_AND_LOG: "nnF nI > - -R",
    COFACTORS: "nn > nn",
    CHOLESKY: "nn > nn",
    TRIANGLE_SOLVE: "nn nk > nk",
    INDEPENDENT: "nn > nn",
    EIGH: "nn > nR nn",
    SVD: "mn > mp sR qn",
    QR: "mn > mp qn",
    GAPS: "nR > nnR",
}
NAMES = {
    "lu": LU, "lu_solve": LU_SOLVE, "inverse": INVERSE, "determinant": DETERMINANT,
    "sign_and_log": SIGN_AND_LOG, "cofactors": COFACTORS, "cholesky": CHOLESKY,
    "triangle_solve": TRIANGLE_SOLVE, "independent": INDEPENDENT, "eigh": EIGH, "svd": SVD,
    "qr": QR, "gaps": GAPS,
}
FLAGS = {"loose": LOOSE, "transposed": TRANSPOSED, "lower": LOWER, "unit": UNIT, "full": FULL}

cdef struct Fact:
    char row
    char column
    char kind

cdef int[N_ROUTINES] counts
cdef int[N_ROUTINES] operands
cdef Fact[N_ROUTINES][MAX_MATRICES] facts


def _fill():
    for routine, text in _FACTS.items():
        parts = text.replace("> ", "").split()
        counts[<int> routine] = len(parts)
        operands[<int> routine] = text.split().index(">")
        for which, part in enumerate(parts):
            axes = part.rstrip("RIF").replace("-", "").ljust(2)
            kind = part.lstrip("mnkpqs-") or "N"
            facts[<int> routine][which] = Fact(ord(axes[0]), ord(axes[1]), ord(kind))


_fill()

# What a routine reads, and what it makes: for each its axes, and its kind.
PARTS = {
    name: [
        [(x.rstrip("RIF").replace("-", ""), x.lstrip("mnkpqs-") or "N") for x in side.split()]
        for side in _FACTS[code].split(">")
    ]
    for name, code in NAMES.items()
}


cdef int count_of(int routine) noexcept nogil:
    return counts[routine]


cdef Py_ssize_t _size(const Task *t, char axis) noexcept nogil:
    if axis == c"q":
        axis = c"s" if not t.flags & FULL else c"m" if t.routine == QR else c"n"
    elif axis == c"p":
        axis = c"m" if t.flags & FULL else c"s"
    if axis == c"m":
        return t.m
    if axis == c"n":
        return t.n
    if axis == c"k":
        return t.k
    return min(t.m, t.n) if axis == c"s" else 1


cdef void shape_of(const Task *t, int which, Py_ssize_t *rows,
                   Py_ssize_t *columns) noexcept nogil:
    rows[0] = _size(t, facts[t.routine][which].row)
    columns[0] = _size(t, facts[t.routine][which].column)


cdef int typenum_of(const Task *t, int which) noexcept nogil:
    cdef char kind = facts[t.routine][which].kind
    if kind == c"I":
        return cnp.NPY_INT if sizeof(blas_int) == sizeof(int) else cnp.NPY_INT64
    return real_of(TYPES[t.slot]) if kind == c"R" else TYPES[t.slot]


cdef bint layout_of(const Task *t, int which, Py_ssize_t *rows, Py_ssize_t *columns,
                    Py_ssize_t *item) noexcept nogil:
    cdef char kind = facts[t.routine][which].kind
    shape_of(t, which, rows, columns)
    item[0] = sizeof(blas_int) if kind == c"I" else itemsize_of(typenum_of(t, which))
    return kind == c"F" or kind == c"I" or which >= operands[t.routine]


cdef bint is_result(const Task *t, int which) noexcept nogil:
    return which >= operands[t.routine]


# ---- copies


cdef inline void _put(number *to, const Strided *x, Py_ssize_t m, Py_ssize_t n) noexcept nogil:
    # to (m, n) in C order
    _move(to, <const number *> x.data, m, n, x.row, x.col)


cdef inline void _put_across(number *to, const Strided *x, Py_ssize_t m,
                             Py_ssize_t n) noexcept nogil:
    # The same in Fortran's order.
    _move(to, <const number *> x.data, n, m, x.col, x.row)


cdef void _move(number *to, const number *x, Py_ssize_t m, Py_ssize_t n, Py_ssize_t row,
                Py_ssize_t col) noexcept nogil:
    # In tiles of 16 x 16, which stay in the cache where one of both is read across.
    cdef Py_ssize_t i, j, i0, j0, i1, j1
    if col == 1 and n > 16:
        for i in range(m):
            memcpy(to + i * n, x + i * row, n * sizeof(number))
        return
    for i0 in range(0, m, 16):
        i1 = min(i0 + 16, m)
        for j0 in range(0, n, 16):
            j1 = min(j0 + 16, n)
            for i in range(i0, i1):
                for j in range(j0, j1):
                    to[i * n + j] = x[i * row + j * col]


# ---- our own kernels


cdef bint _small_lu(floating *a, blas_int *pivots, Py_ssize_t n) noexcept nogil:
    # Columns of a (n, n) lie one after the other. Returns whether a pivot is zero.
    cdef Py_ssize_t i, j, k, at
    cdef floating best, x
    cdef bint singular = False
    for k in range(n):
        at = k
        best = abs(a[k * n + k])
        for i in range(k + 1, n):
            x = abs(a[k * n + i])
            if x > best:
                best, at = x, i
        pivots[k] = <blas_int> (at + 1)
        if a[k * n + at] == 0:
            singular = True
            continue
        if at != k:
            for j in range(n):
                x = a[j * n + k]
                a[j * n + k] = a[j * n + at]
                a[j * n + at] = x
        x = a[k * n + k]
        for i in range(k + 1, n):
            a[k * n + i] /= x
        for j in range(k + 1, n):
            x = a[j * n + k]
            for i in range(k + 1, n):
                a[j * n + i] -= a[k * n + i] * x
    return singular


cdef void _small_triangle(bint lower, bint trans, bint unit, Py_ssize_t n, Py_ssize_t k,
                          const floating *a, Py_ssize_t row, Py_ssize_t col,
                          floating *b) noexcept nogil:
    # b (n, k) = inv(op(a)) @ b
    cdef Py_ssize_t i, j, c, s, t
    cdef floating x
    if trans:
        row, col = col, row
        lower = not lower
    for s in range(n):
        i = s if lower else n - 1 - s
        for t in range(s):
            j = t if lower else n - 1 - t
            x = a[i * row + j * col]
            for c in range(k):
                b[i * k + c] -= x * b[j * k + c]
        if not unit:
            x = a[i * row + i * col]
            for c in range(k):
                b[i * k + c] /= x


cdef bint _small_cholesky(floating *a, Py_ssize_t n) noexcept nogil:
    # The lower triangle of a (n, n), row by row. Returns whether it is positive definite.
    cdef Py_ssize_t i, j, k
    cdef floating x, y
    for j in range(n):
        x = a[j * n + j]
        for k in range(j):
            x -= a[j * n + k] * a[j * n + k]
        if x <= 0:      # NaN goes on, as in LAPACK of NumPy and SciPy
            return False
        if floating is float:
            x = <float> sqrt(x)
        else:
            x = sqrt(x)
        a[j * n + j] = x
        for i in range(j + 1, n):
            y = a[i * n + j]
            for k in range(j):
                y -= a[i * n + k] * a[j * n + k]
            a[i * n + j] = y / x
    return True


cdef void _small_qr(floating *a, floating *tau, Py_ssize_t m, Py_ssize_t n) noexcept nogil:
    # Householder's reflections as LAPACK's larfg makes them; columns lie one after the other.
    cdef Py_ssize_t i, j, k
    cdef floating alpha, beta, norm, x
    for k in range(n):
        norm = 0
        for i in range(k + 1, m):
            norm = _hypot(norm, a[k * m + i])
        tau[k] = 0
        if norm == 0:
            continue
        alpha = a[k * m + k]
        beta = _hypot(alpha, norm)
        beta = -beta if alpha >= 0 else beta
        tau[k] = (beta - alpha) / beta
        x = 1 / (alpha - beta)
        for i in range(k + 1, m):
            a[k * m + i] *= x
        a[k * m + k] = beta
        for j in range(k + 1, n):
            _reflect(a + k * m, tau[k], a + j * m, k, m)


cdef inline floating _hypot(floating x, floating y) noexcept nogil:
    # Of numbers whose squares may overflow only where these are needed.
    cdef floating square = x * x + y * y
    if floating is float:
        if 1e-30 < square < 1e30:
            return <float> sqrt(square)
        return <float> hypot(x, y)
    else:
        if 1e-280 < square < 1e280:
            return sqrt(square)
        return hypot(x, y)


cdef inline void _reflect(const floating *v, floating tau, floating *x, Py_ssize_t k,
                          Py_ssize_t m) noexcept nogil:
    # x -= tau * v (v @ x), where v has a 1 at k, which is not stored, and zeros before
    cdef Py_ssize_t i
    cdef floating dot = x[k]
    for i in range(k + 1, m):
        dot += v[i] * x[i]
    dot *= tau
    x[k] -= dot
    for i in range(k + 1, m):
        x[i] -= dot * v[i]


cdef void _small_basis(const floating *a, const floating *tau, floating *q, Py_ssize_t m,
                       Py_ssize_t n, Py_ssize_t p) noexcept nogil:
    # The first p columns of the product of the n reflections, in C order.
    cdef floating[2 * SMALL] column
    cdef Py_ssize_t i, j, k
    for j in range(p):
        for i in range(m):
            column[i] = 0
        column[j] = 1
        for k in range(min(n - 1, j) if j < n else n - 1, -1, -1):
            _reflect(a + k * m, tau[k], &column[0], k, m)
        for i in range(m):
            q[i * p + j] = column[i]


# ---- routines


cdef inline blas_int _int(Py_ssize_t x) noexcept nogil:
    return <blas_int> x


cdef inline bint _lock(const Task *t) noexcept nogil:
    return enter_level2(<double> max(t.m, t.n) * t.n * (8 if t.slot > 1 else 1))


cdef inline bint _is_small(const Task *t) noexcept nogil:
    return t.n <= SMALL and t.slot <= 1


cdef int _lu(const Task *t, const Strided *x, number *nothing) noexcept nogil:
    cdef number *a = <number *> x[1].data
    cdef blas_int *pivots = <blas_int *> x[2].data
    cdef blas_int n = _int(t.n), info = 0
    cdef bint locked
    _put_across(a, &x[0], t.n, t.n)
    if number in floating:
        if t.n <= SMALL:
            return FAILED if _small_lu(a, pivots, t.n) and not t.flags & LOOSE else OK
    locked = _lock(t)
    if number is float:
        sgetrf(&n, &n, a, &n, pivots, &info)
    elif number is double:
        dgetrf(&n, &n, a, &n, pivots, &info)
    elif number is floatcomplex:
        cgetrf(&n, &n, a, &n, pivots, &info)
    else:
        zgetrf(&n, &n, a, &n, pivots, &info)
    leave(locked)
    return FAILED if info > 0 and not t.flags & LOOSE else OK


cdef inline void _swap_rows(number *x, const blas_int *pivots, Py_ssize_t n, Py_ssize_t k,
                            bint back) noexcept nogil:
    cdef Py_ssize_t s, i, j, c
    cdef number y
    for s in range(n):
        i = n - 1 - s if back else s
        j = pivots[i] - 1
        if i != j and 0 <= j < n:
            for c in range(k):
                y = x[i * k + c]
                x[i * k + c] = x[j * k + c]
                x[j * k + c] = y


cdef int _solve(const Task *t, const number *a, const blas_int *pivots, number *y,
                Py_ssize_t k) noexcept nogil:
    # y (n, k) in C order. What BLAS reads row by row of the factors is their transpose.
    cdef bint trans = (t.flags & TRANSPOSED) != 0
    cdef Py_ssize_t n = t.n
    cdef int status
    if not trans:
        _swap_rows(y, pivots, n, k, False)
    if number in floating:
        if n <= SMALL:
            _small_triangle(not trans, trans, not trans, n, k, a, 1, n, y)
            _small_triangle(trans, trans, trans, n, k, a, 1, n, y)
            if trans:
                _swap_rows(y, pivots, n, k, True)
            return OK
    status = c_trsm(trans, not trans, not trans, n, k, a, n, y, k)
    if not status:
        status = c_trsm(not trans, not trans, trans, n, k, a, n, y, k)
    if trans:
        _swap_rows(y, pivots, n, k, True)
    return status


cdef int _lu_solve(const Task *t, const Strided *x, number *nothing) noexcept nogil:
    cdef number *y = <number *> x[3].data
    _put(y, &x[2], t.n, t.k)
    return _solve(t, <const number *> x[0].data, <const blas_int *> x[1].data, y, t.k)


cdef int _inverse(const Task *t, const Strided *x, number *work) noexcept nogil:
    cdef const number *a = <const number *> x[0].data
    cdef blas_int *pivots = <blas_int *> x[1].data
    cdef number *y = <number *> x[2].data
    cdef Py_ssize_t i
    cdef blas_int n = _int(t.n), info = 0, lwork
    cdef bint locked
    for i in range(t.n):
        if a[i * t.n + i] == 0 or not 0 < pivots[i] <= n:
            return FAILED
    if number in floating:
        if t.n <= SMALL:
            memset(y, 0, t.n * t.n * sizeof(number))
            for i in range(t.n):
                y[i * t.n + i] = 1
            return _solve(t, a, pivots, y, t.n)
    memcpy(work, a, t.n * t.n * sizeof(number))
    lwork = _int((work_of_inverse(t) - t.n * t.n))
    locked = _lock(t)
    if number is float:
        sgetri(&n, work, &n, pivots, work + t.n * t.n, &lwork, &info)
    elif number is double:
        dgetri(&n, work, &n, pivots, work + t.n * t.n, &lwork, &info)
    elif number is floatcomplex:
        cgetri(&n, work, &n, pivots, work + t.n * t.n, &lwork, &info)
    else:
        zgetri(&n, work, &n, pivots, work + t.n * t.n, &lwork, &info)
    leave(locked)
    _move(y, work, t.n, t.n, 1, t.n)
    return OK if info == 0 else FAILED


cdef inline Py_ssize_t work_of_inverse(const Task *t) noexcept nogil:
    return t.n * (t.n + 64)     # for blocks of 64 columns


cdef inline bint _odd(const blas_int *pivots, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef bint odd = False
    for i in range(n):
        odd ^= pivots[i] != i + 1
    return odd


cdef bint _sign_and_log_of(const number *a, bint odd, Py_ssize_t n, double *sign,
                           double *log_of) noexcept nogil:
    # Of the product of a diagonal: a sign of two parts, and the logarithm of its size. Returns
    # whether the product itself is far from overflow all the way, and then has it in `sign`.
    cdef double re, im, x, y, size, total = 0, most = 1, least = 1
    cdef double px = -1 if odd else 1, py = 0
    cdef Py_ssize_t i
    sign[0], sign[1] = px, 0
    for i in range(n):
        if number in floating:
            x, y = a[i * n + i], 0
            size = fabs(x)
        else:
            x, y = a[i * n + i].real, a[i * n + i].imag
            size = hypot(x, y)
        px, py = px * x - py * y, px * y + py * x
        most, least = max(most, fabs(px) + fabs(py)), min(least, fabs(px) + fabs(py))
        if log_of == NULL:
            continue
        if size == 0:
            sign[0] = sign[1] = 0
            log_of[0] = -HUGE_VAL
            return True
        if number in floating:
            sign[0] = -sign[0] if x < 0 else sign[0]
        else:
            re, im = sign[0], sign[1]
            sign[0], sign[1] = (re * x - im * y) / size, (re * y + im * x) / size
        total += log(size)
    if log_of == NULL:
        sign[0], sign[1] = px, py
    else:
        log_of[0] = total
    return 1e-290 < least and most < 1e290


cdef int _determinant(const Task *t, const Strided *x, number *nothing) noexcept nogil:
    cdef const number *a = <const number *> x[0].data
    cdef bint odd = _odd(<const blas_int *> x[1].data, t.n)
    cdef double[2] det
    cdef double size
    if not _sign_and_log_of(a, odd, t.n, det, NULL):
        _sign_and_log_of(a, odd, t.n, det, &size)
        size = exp(size)
        det[0], det[1] = det[0] * size if det[0] else 0, det[1] * size if det[1] else 0
    _write(<number *> x[2].data, det[0], det[1])
    return OK


cdef inline void _write(number *x, double re, double im) noexcept nogil:
    if number in floating:
        x[0] = <number> re
    elif number is floatcomplex:
        (<float *> x)[0], (<float *> x)[1] = <float> re, <float> im
    else:
        (<double *> x)[0], (<double *> x)[1] = re, im


cdef int _sign_and_log(const Task *t, const Strided *x, number *nothing) noexcept nogil:
    cdef double[2] sign
    cdef double size
    _sign_and_log_of(<const number *> x[0].data, _odd(<const blas_int *> x[1].data, t.n), t.n, sign,
                     &size)
    _write(<number *> x[2].data, sign[0], sign[1])
    if number is float or number is floatcomplex:
        (<float *> x[3].data)[0] = <float> size
    else:
        (<double *> x[3].data)[0] = size
    return OK


# The cofactors of up to 3 x 3, as they are: products of the other elements.

cdef int _cofactors(const Task *t, const Strided *x, number *nothing) noexcept nogil:
    cdef const number *a = <const number *> x[0].data
    cdef number *y = <number *> x[1].data
    cdef Py_ssize_t i, j, r = x[0].row, c = x[0].col
    cdef Py_ssize_t i1, i2, j1, j2
    if t.n == 1:
        y[0] = 1
    elif t.n == 2:
        y[0], y[1], y[2], y[3] = a[r + c], -a[r], -a[c], a[0]
    elif t.n == 3:
        for i in range(3):
            i1, i2 = r * ((i + 1) % 3), r * ((i + 2) % 3)
            for j in range(3):
                j1, j2 = c * ((j + 1) % 3), c * ((j + 2) % 3)
                y[3 * i + j] = a[i1 + j1] * a[i2 + j2] - a[i1 + j2] * a[i2 + j1]
    else:
        return FAILED
    return OK


cdef int _cholesky(const Task *t, const Strided *x, number *nothing) noexcept nogil:
    # The upper triangle by columns is the lower one by rows; of A.T that is conj(A)'s.
    cdef number *a = <number *> x[1].data
    cdef Py_ssize_t i
    cdef blas_int n = _int(t.n), info = 0
    cdef char uplo = c"U"
    cdef bint locked
    _put(a, &x[0], t.n, t.n)
    for i in range(t.n):
        memset(a + i * t.n + i + 1, 0, (t.n - i - 1) * sizeof(number))
    if number in floating:
        if t.n <= SMALL:
            return OK if _small_cholesky(a, t.n) else FAILED
    locked = _lock(t)
    if number is float:
        spotrf(&uplo, &n, a, &n, &info)
    elif number is double:
        dpotrf(&uplo, &n, a, &n, &info)
    elif number is floatcomplex:
        cpotrf(&uplo, &n, a, &n, &info)
    else:
        zpotrf(&uplo, &n, a, &n, &info)
    leave(locked)
    return OK if info == 0 else FAILED


cdef int _triangle_solve(const Task *t, const Strided *x, number *nothing) noexcept nogil:
    cdef const number *a = <const number *> x[0].data
    cdef number *y = <number *> x[2].data
    cdef bint lower = (t.flags & LOWER) != 0, trans = (t.flags & TRANSPOSED) != 0
    cdef bint unit = (t.flags & UNIT) != 0
    cdef Py_ssize_t i, row = x[0].row, col = x[0].col
    _put(y, &x[1], t.n, t.k)
    if not unit:
        for i in range(t.n):
            if a[i * (row + col)] == 0:
                return FAILED
    if number in floating:
        if t.n <= SMALL:
            _small_triangle(lower, trans, unit, t.n, t.k, a, row, col, y)
            return OK
    if col != 1:
        row, col, lower, trans = col, row, not lower, not trans
    if col != 1 and t.n > 1:
        return BAD_LAYOUT
    return c_trsm(lower, trans, unit, t.n, t.k, a, max(row, t.n), y, t.k)


cdef int _eigh_at(const Task *t, number *a, char *w, number *work, char *rwork, blas_int *iwork,
                  const Rooms *rooms) noexcept nogil:
    cdef char jobz = c"V"
    cdef char uplo = c"L" if t.flags & LOWER else c"U"
    cdef blas_int n = _int(t.n), info = 0
    cdef blas_int lwork = _int(rooms.number), lrwork = _int(rooms.real)
    cdef blas_int liwork = _int(rooms.integer)
    if number is float:
        ssyevd(&jobz, &uplo, &n, a, &n, <float *> w, work, &lwork, iwork, &liwork, &info)
    elif number is double:
        dsyevd(&jobz, &uplo, &n, a, &n, <double *> w, work, &lwork, iwork, &liwork, &info)
    elif number is floatcomplex:
        cheevd(&jobz, &uplo, &n, a, &n, <float *> w, work, &lwork, <float *> rwork, &lrwork, iwork,
               &liwork, &info)
    else:
        zheevd(&jobz, &uplo, &n, a, &n, <double *> w, work, &lwork, <double *> rwork, &lrwork,
               iwork, &liwork, &info)
    return OK if info == 0 else FAILED


cdef int _svd_at(const Task *t, number *a, char *s, number *u, number *vh, number *work,
                 char *rwork, blas_int *iwork, const Rooms *rooms) noexcept nogil:
    cdef char jobz = c"A" if t.flags & FULL else c"S"
    cdef blas_int m = _int(t.m), n = _int(t.n), info = 0, lwork = _int(rooms.number)
    cdef blas_int ldvt = _int(_size(t, c"q"))
    if number is float:
        sgesdd(&jobz, &m, &n, a, &m, <float *> s, u, &m, vh, &ldvt, work, &lwork, iwork, &info)
    elif number is double:
        dgesdd(&jobz, &m, &n, a, &m, <double *> s, u, &m, vh, &ldvt, work, &lwork, iwork, &info)
    elif number is floatcomplex:
        cgesdd(&jobz, &m, &n, a, &m, <float *> s, u, &m, vh, &ldvt, work, &lwork, <float *> rwork,
               iwork, &info)
    else:
        zgesdd(&jobz, &m, &n, a, &m, <double *> s, u, &m, vh, &ldvt, work, &lwork,
               <double *> rwork, iwork, &info)
    return OK if info == 0 else FAILED


cdef int _geqrf_at(const Task *t, number *a, number *tau, number *work,
                   Py_ssize_t room) noexcept nogil:
    cdef blas_int m = _int(t.m), n = _int(t.n), info = 0, lwork = _int(room)
    if number is float:
        sgeqrf(&m, &n, a, &m, tau, work, &lwork, &info)
    elif number is double:
        dgeqrf(&m, &n, a, &m, tau, work, &lwork, &info)
    elif number is floatcomplex:
        cgeqrf(&m, &n, a, &m, tau, work, &lwork, &info)
    else:
        zgeqrf(&m, &n, a, &m, tau, work, &lwork, &info)
    return OK if info == 0 else FAILED


cdef int _orgqr_at(const Task *t, number *a, number *tau, number *work,
                   Py_ssize_t room) noexcept nogil:
    cdef blas_int m = _int(t.m), p = _int(_size(t, c"p")), k = _int(t.n), info = 0
    cdef blas_int lwork = _int(room)
    if number is float:
        sorgqr(&m, &p, &k, a, &m, tau, work, &lwork, &info)
    elif number is double:
        dorgqr(&m, &p, &k, a, &m, tau, work, &lwork, &info)
    elif number is floatcomplex:
        cungqr(&m, &p, &k, a, &m, tau, work, &lwork, &info)
    else:
        zungqr(&m, &p, &k, a, &m, tau, work, &lwork, &info)
    return OK if info == 0 else FAILED


# Workspaces: matrices first, then what LAPACK asks for, by queries with a room of -1.

cdef Py_ssize_t _asked(number room) noexcept nogil:
    # A float may have been rounded down.
    cdef double x
    if number in floating:
        x = room
    else:
        x = room.real
    return <Py_ssize_t> (1.01 * x) + 1


cdef int _rooms(const Task *t, Rooms *rooms, number *nothing) noexcept nogil:
    cdef number room = 1
    cdef double rroom = 1      # wide enough for a float, too
    cdef blas_int iroom = 1
    cdef Rooms query
    cdef Py_ssize_t least = max(min(t.m, t.n), 1), most = max(t.m, t.n, 1)
    query.number = query.real = query.integer = -1
    rooms.number = rooms.real = rooms.integer = 0
    if t.n == 0 or (t.m == 0 and (t.routine == SVD or t.routine == QR)):
        return OK
    if t.routine == EIGH:
        if _eigh_at[number](t, nothing, NULL, &room, <char *> &rroom, &iroom, &query):
            return FAILED
        rooms.number, rooms.integer = _asked(room), iroom
        if number not in floating:
            rooms.real = 1 + 5 * t.n + 2 * t.n * t.n
    elif t.routine == SVD:
        if _svd_at[number](t, nothing, NULL, nothing, nothing, &room, <char *> &rroom, &iroom,
                           &query):
            return FAILED
        rooms.number, rooms.integer = _asked(room), 8 * least
        if number not in floating:
            rooms.real = least * max(5 * least + 7, 2 * most + 2 * least + 1)
    elif t.routine == QR:
        if _geqrf_at[number](t, nothing, nothing, &room, -1):
            return FAILED
        rooms.number = _asked(room)
        if _orgqr_at[number](t, nothing, nothing, &room, -1):
            return FAILED
        rooms.number = max(rooms.number, _asked(room))
    return OK


cdef Py_ssize_t _own_room(const Task *t) noexcept nogil:
    # Elements of matrices that are kept beside what LAPACK asks for.
    if t.routine == EIGH:
        return t.n * t.n
    if t.routine == SVD:
        return (t.m * t.n + t.m * _size(t, c"p") + t.n * _size(t, c"q"))
    if t.routine == QR:
        return t.m * max(t.n, _size(t, c"p")) + t.n
    if t.routine == INVERSE:
        return work_of_inverse(t)
    return 0


cdef inline Py_ssize_t _up(Py_ssize_t nbytes) noexcept nogil:
    return (nbytes + 63) & ~<Py_ssize_t> 63


cdef Py_ssize_t fill_task(Task *t, routine, flags, int typenum, sizes) except -1:
    cdef int status
    memset(t, 0, sizeof(Task))
    t.routine, t.flags, t.slot = <int> NAMES[routine], 0, slot_of(typenum)
    for name in flags:
        t.flags |= <int> FLAGS[name]
    t.m, t.n, t.k = sizes
    if t.slot < 0:
        raise ValueError("lapack: no such dtype")
    if min(t.m, t.n, t.k) < 0:
        raise ValueError("lapack: sizes must not be negative")
    if t.routine == QR and t.m < t.n:
        raise ValueError("lapack: QR is for matrices with no fewer rows than columns")
    if max(t.m, t.n, t.k) > BLAS_INT_MAX:
        raise OverflowError("lapack: a matrix has a size that LAPACK does not take")
    if t.slot == 0:
        status = _rooms[float](t, &t.rooms, NULL)
    elif t.slot == 1:
        status = _rooms[double](t, &t.rooms, NULL)
    elif t.slot == 2:
        status = _rooms[floatcomplex](t, &t.rooms, NULL)
    else:
        status = _rooms[doublecomplex](t, &t.rooms, NULL)
    if status:
        raise OverflowError("lapack: no workspace for a matrix of this size")
    cdef Py_ssize_t size = itemsize_of(TYPES[t.slot])
    return (_up(_own_room(t) * size) + _up(t.rooms.number * size)
            + _up(t.rooms.real * itemsize_of(real_of(TYPES[t.slot])))
            + _up(t.rooms.integer * <Py_ssize_t> sizeof(blas_int)))


cdef int _eigh(const Task *t, const Strided *x, number *work) noexcept nogil:
    cdef char *room = <char *> work + _up(_own_room(t) * sizeof(number))
    cdef char *rwork = room + _up(t.rooms.number * sizeof(number))
    cdef char *iwork = rwork + _up(t.rooms.real * itemsize_of(real_of(TYPES[t.slot])))
    cdef int status
    cdef bint locked
    _put_across(work, &x[0], t.n, t.n)
    locked = _lock(t)
    status = _eigh_at[number](t, work, x[1].data, <number *> room, rwork, <blas_int *> iwork,
                              &t.rooms)
    leave(locked)
    _move(<number *> x[2].data, work, t.n, t.n, 1, t.n)
    return status


cdef int _svd(const Task *t, const Strided *x, number *work) noexcept nogil:
    cdef Py_ssize_t p = _size(t, c"p"), q = _size(t, c"q")
    cdef number *u = work + t.m * t.n
    cdef number *vh = u + t.m * p
    cdef char *room = <char *> work + _up(_own_room(t) * sizeof(number))
    cdef char *rwork = room + _up(t.rooms.number * sizeof(number))
    cdef char *iwork = rwork + _up(t.rooms.real * itemsize_of(real_of(TYPES[t.slot])))
    cdef int status
    cdef bint locked
    _put_across(work, &x[0], t.m, t.n)
    locked = _lock(t)
    status = _svd_at[number](t, work, x[2].data, u, vh, <number *> room, rwork,
                             <blas_int *> iwork, &t.rooms)
    leave(locked)
    _move(<number *> x[1].data, u, t.m, p, 1, t.m)
    _move(<number *> x[3].data, vh, q, t.n, 1, q)
    return status


cdef int _qr(const Task *t, const Strided *x, number *work) noexcept nogil:
    cdef Py_ssize_t i, j, m = t.m, n = t.n, p = _size(t, c"p"), q = _size(t, c"q")
    cdef number *tau = work + m * max(n, p)
    cdef number *room = <number *> (<char *> work + _up(_own_room(t) * sizeof(number)))
    cdef number *basis = <number *> x[1].data
    cdef number *r = <number *> x[2].data
    cdef int status = OK
    cdef bint locked, small = False
    _put_across(work, &x[0], m, n)
    if number in floating:
        small = n <= SMALL and m <= 2 * SMALL
        if small:
            _small_qr(work, tau, m, n)
    if not small:
        locked = _lock(t)
        status = _geqrf_at[number](t, work, tau, room, t.rooms.number)
        leave(locked)
    for i in range(q):
        for j in range(n):
            r[i * n + j] = work[j * m + i] if i <= j else 0
    if number in floating:
        if small:
            _small_basis(work, tau, basis, m, n, p)
            return OK
    if status == OK:
        for j in range(n, p):
            memset(work + j * m, 0, m * sizeof(number))
        locked = _lock(t)
        status = _orgqr_at[number](t, work, tau, room, t.rooms.number)
        leave(locked)
    _move(basis, work, m, p, 1, m)
    return status


cdef int _independent(const Task *t, const Strided *x, number *nothing) noexcept nogil:
    # What is copied has no zero on its diagonal, to rounding.
    cdef number *y = <number *> x[1].data
    cdef double size, least = HUGE_VAL, most = 0
    cdef Py_ssize_t i
    _put(y, &x[0], t.n, t.n)
    for i in range(t.n):
        if number in floating:
            size = fabs(y[i * (t.n + 1)])
        else:
            size = hypot(y[i * (t.n + 1)].real, y[i * (t.n + 1)].imag)
        least, most = min(least, size), max(most, size)
    if number is float or number is floatcomplex:
        return FAILED if least <= t.n * FLT_EPSILON * most else OK
    else:
        return FAILED if least <= t.n * DBL_EPSILON * most else OK


cdef int _gaps_of(Py_ssize_t n, const floating *w, Py_ssize_t step, floating *y) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef floating size = 0, least, wi
    cdef bint apart = True
    for i in range(n):
        size = max(size, abs(w[i * step]))
    least = n * (FLT_EPSILON if floating is float else DBL_EPSILON) * size
    for i in range(n - 1):
        apart &= abs(w[(i + 1) * step] - w[i * step]) > least
    if not apart:
        return FAILED
    for i in range(n):
        wi = w[i * step]
        if step == 1:
            for j in range(n):
                y[i * n + j] = 1 / (w[j] - wi)
        else:
            for j in range(n):
                y[i * n + j] = 1 / (w[j * step] - wi)
        y[i * n + i] = 0
    return OK


cdef int _gaps(const Task *t, const Strided *x, number *nothing) noexcept nogil:
    if number is float or number is floatcomplex:
        return _gaps_of[float](t.n, <const float *> x[0].data, x[0].row, <float *> x[1].data)
    else:
        return _gaps_of[double](t.n, <const double *> x[0].data, x[0].row, <double *> x[1].data)


cdef inline int _run(const Task *t, const Strided *x, number *work) noexcept nogil:
    if t.routine == LU:
        return _lu(t, x, work)
    if t.routine == LU_SOLVE:
        return _lu_solve(t, x, work)
    if t.routine == INVERSE:
        return _inverse(t, x, work)
    if t.routine == DETERMINANT:
        return _determinant(t, x, work)
    if t.routine == SIGN_AND_LOG:
        return _sign_and_log(t, x, work)
    if t.routine == COFACTORS:
        return _cofactors(t, x, work)
    if t.routine == CHOLESKY:
        return _cholesky(t, x, work)
    if t.routine == TRIANGLE_SOLVE:
        return _triangle_solve(t, x, work)
    if t.routine == INDEPENDENT:
        return _independent(t, x, work)
    if t.routine == EIGH:
        return _eigh(t, x, work)
    if t.routine == SVD:
        return _svd(t, x, work)
    if t.routine == QR:
        return _qr(t, x, work)
    return _gaps(t, x, work)


cdef int run_task(const Task *t, const Strided *x, char *work) noexcept nogil:
    if t.slot == 1:
        return _run[double](t, x, <double *> work)
    if t.slot == 0:
        return _run[float](t, x, <float *> work)
    if t.slot == 2:
        return _run[floatcomplex](t, x, <float complex *> work)
    return _run[doublecomplex](t, x, <double complex *> work)


cdef int run_batch(const Task *t, Strided *x, int nd, const intptr_t *shape, const intptr_t *steps,
                   char *work) noexcept nogil:
    cdef intptr_t[MAX_NDIM] counter
    cdef int k, axis, status, n = counts[t.routine]
    for axis in range(nd):
        counter[axis] = 0
    while True:
        status = run_task(t, x, work)
        if status:
            return status
        axis = nd - 1
        while axis >= 0:
            counter[axis] += 1
            for k in range(n):
                x[k].data += steps[k * nd + axis]
            if counter[axis] < shape[axis]:
                break
            for k in range(n):
                x[k].data -= steps[k * nd + axis] * shape[axis]
            counter[axis] = 0
            axis -= 1
        if axis < 0:
            return OK


# ---- the Python layer


cdef inline int _axes(int code, int which) noexcept nogil:
    return (facts[code][which].row != c" ") + (facts[code][which].column != c" ")


cdef Py_ssize_t _given(list arrays, int code, char axis) except -1:
    # The size of an axis, by the operands.
    cdef int which, first
    cdef cnp.ndarray array
    for which in range(operands[code]):
        array = arrays[which]
        first = cnp.PyArray_NDIM(array) - _axes(code, which)
        if first < 0:
            raise ValueError("lapack: an operand has too few axes")
        if facts[code][which].row == axis:
            return cnp.PyArray_DIM(array, first)
        if facts[code][which].column == axis:
            return cnp.PyArray_DIM(array, first + 1)
    return 0


cdef object _behaved(int code, int which, cnp.ndarray array):
    # What can be read as it is: whole elements, a triangle in one of both orders.
    cdef Py_ssize_t item = cnp.PyArray_ITEMSIZE(array)
    cdef int axis, nd = cnp.PyArray_NDIM(array)
    cdef bint good = cnp.PyArray_ISBEHAVED_RO(array)
    for axis in range(nd):
        good &= cnp.PyArray_STRIDE(array, axis) % item == 0
    if code == TRIANGLE_SOLVE and which == 0 and nd >= 2:
        good &= (cnp.PyArray_STRIDE(array, nd - 1) == item
                 and cnp.PyArray_STRIDE(array, nd - 2) == item * cnp.PyArray_DIM(array, nd - 1)
                 or cnp.PyArray_STRIDE(array, nd - 2) == item
                 and cnp.PyArray_STRIDE(array, nd - 1) == item * cnp.PyArray_DIM(array, nd - 2))
    return array if good else np.array(array, array.dtype.newbyteorder("="), order="C")


cdef bint _describe(const Task *t, int which, cnp.ndarray array, int nd, const intptr_t *shape,
                    Strided *x, intptr_t *steps) except -1:
    # Fill in strides of the matrix and of the batch; return whether the array fits.
    cdef int axis, axes = _axes(t.routine, which), own = cnp.PyArray_NDIM(array) - axes
    cdef bint is_fortran = facts[t.routine][which].kind == c"F"
    cdef bint is_fixed = is_fortran or facts[t.routine][which].kind == c"I"
    cdef bint is_result = which >= operands[t.routine]
    cdef bint nothing = False  # without elements, whose strides NumPy may have as it likes
    cdef Py_ssize_t[2] size
    cdef Py_ssize_t[2] step
    cdef Py_ssize_t item = cnp.PyArray_ITEMSIZE(array)
    if cnp.PyArray_TYPE(array) != typenum_of(t, which) or own < 0 or own > nd:
        return False
    shape_of(t, which, &size[0], &size[1])
    step[0] = step[1] = item
    for axis in range(axes):
        if cnp.PyArray_DIM(array, own + axis) != size[axis]:
            return False
        step[axis] = cnp.PyArray_STRIDE(array, own + axis)
        nothing |= size[axis] == 0
    x.data, x.row, x.col = cnp.PyArray_BYTES(array), step[0] // item, step[1] // item
    if is_result and not cnp.PyArray_ISWRITEABLE(array):
        return False
    if axes and not nothing and (is_result or is_fixed):
        if size[axes - 1] > 1 and step[axes - 1] != (item * size[0] if is_fortran else item):
            return False
        if axes == 2 and size[0] > 1 and step[0] != (item if is_fortran else item * size[1]):
            return False
    for axis in range(nd):
        steps[axis] = 0
        if axis < nd - own:
            if is_result:
                return False
            continue
        if cnp.PyArray_DIM(array, axis - nd + own) == shape[axis]:
            steps[axis] = cnp.PyArray_STRIDE(array, axis - nd + own)
        elif is_result or cnp.PyArray_DIM(array, axis - nd + own) != 1:
            return False
    return True


def run(str routine not None, *arrays, flags=()):
    """Run a routine on matrices, or stacks of them; return whether it can do them all.

    Parameters
    ----------
    routine : str
        One of `NAMES`.
    *arrays : ndarray
        Its operands, whose axes in front broadcast, then its results: in C order, the factors of
        LU in Fortran's, apart from all others. The dtype of the first operand counts.
    flags : tuple of str
        Of `FLAGS`.
    """
    cdef Task t
    cdef Strided[MAX_MATRICES] x
    cdef intptr_t[MAX_NDIM] shape
    cdef intptr_t[MAX_MATRICES * MAX_NDIM] steps
    cdef int which, axis, nd, code = NAMES[routine]
    cdef Py_ssize_t size, total = 1
    cdef int status = OK
    cdef cnp.ndarray array
    cdef list given = list(arrays)
    cdef char *work = NULL
    cdef char *start
    if len(given) != counts[code]:
        raise ValueError(f"lapack.{routine}: {counts[code]} arrays are needed")
    for which in range(operands[code]):
        given[which] = _behaved(code, which, given[which])
    array = given[0]
    size = fill_task(&t, routine, flags, cnp.PyArray_TYPE(array),
                     (_given(given, code, axis) for axis in b"mnk"))
    array = given[counts[code] - 1]
    nd = cnp.PyArray_NDIM(array) - _axes(code, counts[code] - 1)
    if not 0 <= nd <= MAX_NDIM:
        raise ValueError(f"lapack.{routine}: too many axes, or too few")
    for axis in range(nd):
        shape[axis] = cnp.PyArray_DIM(array, axis)
        total *= shape[axis]
    if total == 0:
        return True
    for which in range(counts[code]):
        if not _describe(&t, which, given[which], nd, shape, &x[which], &steps[which * nd]):
            raise ValueError(f"lapack.{routine}: array {which} has another dtype, shape or layout")
    work = <char *> malloc(size + 64)
    if work == NULL:
        raise MemoryError
    start = <char *> ((<uintptr_t> work + 63) & ~<uintptr_t> 63)
    try:
        if total * max(t.m, t.n) <= 4 * SMALL:
            status = run_batch(&t, x, nd, shape, steps, start)
        else:
            with nogil:
                status = run_batch(&t, x, nd, shape, steps, start)
    finally:
        free(work)
    if status and status != FAILED:
        raise OverflowError(f"lapack.{routine}: a size that LAPACK does not take")
    return status == OK


def room(str routine not None, tuple flags, dtype, tuple sizes):
    """Return how many bytes of workspace a routine takes, for sizes m, n and k."""
    cdef Task t
    return fill_task(&t, routine, flags, np.dtype(dtype).num, sizes)
