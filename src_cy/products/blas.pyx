"""Row-major BLAS for float32, float64, complex64 and complex128: only this file calls BLAS.

The C layer (``c_gemm`` ...; documented in ``blas.pxd``) takes pointers, needs no GIL and returns
a status. The Python layer (``gemm`` ..., in ``blas_calls.pxi``) checks dtype, shape, strides,
overlap and writability before a pointer is used.
"""

cimport numpy as cnp
from cpython.pythread cimport (
    PyThread_acquire_lock,
    PyThread_allocate_lock,
    PyThread_release_lock,
    PyThread_type_lock,
    WAIT_LOCK,
)
from cython cimport floatcomplex, floating
from scipy.linalg.cython_blas cimport (
    caxpy, cdotu, cgemm, cgemv, cgeru, csyrk, ctrsm, ctrsv, daxpy, ddot, dgemm, dgemv, dger, dsyrk,
    dtrsm, dtrsv, saxpy, sdot, sgemm, sgemv, sger, ssyrk, strsm, strsv, zaxpy, zdotu, zgemm, zgemv,
    zgeru, zsyrk, ztrsm, ztrsv,
)

import ctypes
import os
import time

import numpy as np
from scipy.linalg import cython_blas

from fastbp._core.dtypes cimport slot_of
from fastbp._core.dtypes import check
from fastbp._core.simd import at_most
from fastbp.errors import DTypeError, ShapeError

include "_blas_int.pxi"

cnp.import_array()


cdef extern from "tiny_gemm.h" nogil:
    int TINY_DEPTH
    int TINY_DEPTH_DOTS
    int tiny_dots(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, ptrdiff_t col_a, ptrdiff_t row_b)
    int tiny_level
    void tiny_set_level(int level)
    void tiny_float(
        ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
        float alpha, const float *a, ptrdiff_t row_a, ptrdiff_t col_a,
        const float *b, ptrdiff_t row_b, ptrdiff_t col_b, float beta, float *c, ptrdiff_t ldc)
    void tiny_double(
        ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
        double alpha, const double *a, ptrdiff_t row_a, ptrdiff_t col_a,
        const double *b, ptrdiff_t row_b, ptrdiff_t col_b, double beta, double *c, ptrdiff_t ldc)
    int TINY_FEW
    int TINY_FEW_DEPTH
    int TINY_FEW_WORK
    ctypedef struct tiny_stack:
        ptrdiff_t count
    void few_float(const tiny_stack *s, const float *a, const float *b, float *c, int add)
    void few_double(const tiny_stack *s, const double *a, const double *b, double *c, int add)

# Products of at most this many multiplications run in tiny_gemm.h. Above 64**3, OpenBLAS uses
# threads. Measured in float64 on one Zen 5 core against the OpenBLAS 0.3.30 of SciPy, which takes
# this processor for a Haswell, and with its SkylakeX kernels forced: ns a call, BLAS / tiny, for
# g @ b.T (NT) and a.T @ g (TN), the two products of a matmul's vjp.
#            AVX-512, Haswell             AVX-512, SkylakeX           AVX2, Haswell
#    n      NT           TN             NT          TN             NT            TN
#    4      48 /   34    48 /   25      57 /   28    31 /   32      50 /    15    52 /   13
#   16     288 /  113   338 /   83     275 /  107    79 /   82     307 /   202   351 /  154
#   32    1572 /  691  1762 /  566     888 /  684   563 /  564    1622 /  1372  1782 / 1163
#   64   10558 / 4882 11297 / 4309    7576 / 4770  4387 / 4364   10704 / 10015 11346 / 9254
# On a Zen 4 core, whose cache of 32 KB rows of 512 bytes fill, AVX2 against Haswell: n = 16
# 352 / 222, 408 / 160; n = 64 12500 / 10486, 12480 / 10509.
# It loses to SkylakeX kernels when n is small and the rows are many: 1.4x at (64, 10, 64), 2.6x (in
# float32 4x) at (64, 4, 64), where it still beats Haswell's. SSE2 wins up to n = 16 (549 / 429, NT,
# against OpenBLAS's Nehalem) and ties above. Products with a vector go to gemv, which is as fast
# but for few columns and terms (`c_are_few`). Narrow products, (n, n) @ (n, 4) and
# (4, n) @ (n, n), go up to 4 times the limit: GB/s of the square matrix, BLAS / tiny, on one
# thread (on two, BLAS reaches 40):
# 35 / 70 at n = 256, 22 / 52 at n = 400, 21 / 58 at n = 512; the second kind 18 / 62 at n = 400.
# Above the limit, transposing b before g @ b.T gains nothing on
# Haswell (NT runs as fast as NN) and at most 15 % in a narrow range on SkylakeX: not done.
cdef double[3] TINY_WORK = [16 ** 3, 64 ** 3, 64 ** 3]  # baseline, AVX2, AVX-512
cdef double tiny_work = 0


def _set_level(int limit):
    """Limit the instruction set, for tests: 0 baseline, 1 AVX2, 2 AVX-512. Return the one before.

    It stays within what `fastbp._core.simd` allows. -1: no kernel, BLAS does everything.
    """
    global tiny_work
    cdef int before = tiny_level
    tiny_set_level(at_most(limit))
    tiny_work = 0 if tiny_level < 0 else TINY_WORK[tiny_level]
    return before


_set_level(2)


# ---- Checked sizes -------------------------------------------------------------------------------

cdef enum:
    OK = 0
    TOO_LARGE = 1
    BAD_LAYOUT = 2

# The largest value of blas_int, a signed type of 4 or 8 bytes.
cdef Py_ssize_t BLAS_INT_MAX = <Py_ssize_t>(
    ((<unsigned long long>1) << (8 * min(sizeof(blas_int), sizeof(Py_ssize_t)) - 1)) - 1
)


cdef inline bint _fits(Py_ssize_t x) noexcept nogil:
    return -BLAS_INT_MAX <= x <= BLAS_INT_MAX


# ---- The lock ------------------------------------------------------------------------------------
# OpenBLAS before 0.3.34 guards its threaded level-3 drivers with one lock per kernel variant while
# they share their buffers, so that threaded gemms called at once from several threads can return
# wrong results (numpy issue 29391, OpenBLAS issue 5836). Every call big enough to be threaded
# (gemm: m*n*k > 2**18, of complex numbers 2**15; gemv, ger: from about 9000 elements, 1300 complex
# ones) therefore holds this lock; the limits below are half of OpenBLAS's or less. Smaller calls
# run at once, and all do where the BLAS has a single thread: it does not use these drivers. The
# holder never waits for the GIL, so it may be taken with or without the GIL. What other libraries
# do with the same BLAS in other threads is out of reach.

cdef enum:
    THREADED_LEVEL3 = 131072  # multiplications
    THREADED_LEVEL2 = 4096  # elements of the matrix
    THREADED_LEVEL1 = 4096  # elements of the vector
    MORE_IF_COMPLEX = 8  # times the work of a complex number counts

ctypedef int (*count_fn)() noexcept nogil

# How many threads the BLAS runs on, where it says so: one has no drivers to share, and no lock.
cdef count_fn _blas_threads = NULL


def _find_count():
    global _blas_threads
    try:
        library = ctypes.CDLL(cython_blas.__file__)     # and what it is linked with
    except (OSError, TypeError):
        return
    for name in ("scipy_openblas_get_num_threads", "openblas_get_num_threads"):
        for ending in ("", "64_", "_64_", "_64"):
            found = getattr(library, name + ending, None)
            if found is not None:
                _blas_threads = <count_fn> <size_t> ctypes.cast(found, ctypes.c_void_p).value
                return


_find_count()

cdef PyThread_type_lock _lock = PyThread_allocate_lock()
if _lock is NULL:
    raise MemoryError("fastbp._core.blas: no memory for the BLAS lock")


def _renew_lock():
    # In a forked child the lock may be held by a thread that no longer exists.
    global _lock
    _lock = PyThread_allocate_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


cdef inline bint _enter(number kind, double work, double limit) noexcept nogil:
    # kind: any number of the operands' type.
    if number not in floating:
        work *= MORE_IF_COMPLEX
    if work <= limit or (_blas_threads != NULL and _blas_threads() == 1):
        return False
    PyThread_acquire_lock(_lock, WAIT_LOCK)
    return True


cdef inline void _leave(bint locked) noexcept nogil:
    if locked:
        PyThread_release_lock(_lock)


cdef bint enter_level2(double work) noexcept nogil:
    return _enter[double](0, work, THREADED_LEVEL2)


cdef void leave(bint locked) noexcept nogil:
    _leave(locked)


# ---- C layer -------------------------------------------------------------------------------------
# BLAS is column-major: it sees every row-major matrix transposed, so operands are swapped and flags
# kept. It declares its inputs without const (scipy issue 14262): the casts below are the only ones.

cdef inline void _scale(
    Py_ssize_t m, Py_ssize_t n, number beta, number *c, Py_ssize_t ldc, Py_ssize_t inc
) noexcept nogil:
    # c = beta * c, without reading c when beta = 0.
    cdef Py_ssize_t i, j
    if beta == 1:
        return
    for i in range(m):
        for j in range(n):
            c[i * ldc + j * inc] = 0 if beta == 0 else beta * c[i * ldc + j * inc]


cdef int c_gemm(
    bint trans_a, bint trans_b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    number alpha, const number *a, Py_ssize_t lda, const number *b, Py_ssize_t ldb,
    number beta, number *c, Py_ssize_t ldc,
) noexcept nogil:
    cdef Few few
    if m <= 0 or n <= 0:
        return OK
    if ldc < n and m > 1:
        return BAD_LAYOUT
    if k <= 0 or alpha == 0:
        _scale(m, n, beta, c, ldc, 1)
        return OK
    if lda < (m if trans_a else k) or ldb < (k if trans_b else n):
        return BAD_LAYOUT
    if number in floating:
        if alpha == 1 and (beta == 0 or beta == 1) and c_are_few(m, n, k):
            few = few_of(m, n, k, 1 if trans_a else lda, lda if trans_a else 1,
                         1 if trans_b else ldb, ldb if trans_b else 1, ldc, 1)
            c_few(&few, a, b, c, beta == 1)
            return OK
    if n == 1:
        if trans_a:
            return c_gemv(True, k, m, alpha, a, lda, b, 1 if trans_b else ldb, beta, c, ldc)
        return c_gemv(False, m, k, alpha, a, lda, b, 1 if trans_b else ldb, beta, c, ldc)
    if m == 1:
        if trans_b:
            return c_gemv(False, n, k, alpha, b, ldb, a, lda if trans_a else 1, beta, c, 1)
        return c_gemv(True, k, n, alpha, b, ldb, a, lda if trans_a else 1, beta, c, 1)
    cdef double work = <double>m * <double>n * <double>k
    if number in floating:
        if work <= tiny_work or (
            work <= 4 * tiny_work and (m <= 4 or (n <= 4 and not trans_a))
        ):
            _tiny_gemm(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
            return OK
    if not (_fits(m) and _fits(n) and _fits(k) and _fits(lda) and _fits(ldb) and _fits(ldc)):
        return TOO_LARGE
    cdef bint locked = _enter(alpha, work, THREADED_LEVEL3)
    _raw_gemm(trans_a, trans_b, <blas_int>m, <blas_int>n, <blas_int>k, alpha, a, <blas_int>lda,
              b, <blas_int>ldb, beta, c, <blas_int>ldc)
    _leave(locked)
    return OK


cdef bint c_are_few(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k) noexcept nogil:
    # Above these limits vectors are as fast, or gemv is.
    cdef Py_ssize_t most = TINY_FEW_WORK if n <= TINY_FEW else TINY_FEW_WORK // 2
    if k > TINY_FEW:
        most = TINY_FEW_WORK // 4
    return (min(m, n) <= TINY_FEW and 0 < k <= TINY_FEW_DEPTH and tiny_level >= 0
            and max(m, n) <= most and m * n * k <= most)


cdef Few few_of(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, Py_ssize_t row_a, Py_ssize_t col_a,
    Py_ssize_t row_b, Py_ssize_t col_b, Py_ssize_t row_c, Py_ssize_t col_c,
) noexcept nogil:
    if n > TINY_FEW:    # c.T = b.T @ a.T
        return Few(1, n, m, k, col_b, row_b, 0, col_a, row_a, 0, col_c, row_c, 0, True)
    return Few(1, m, n, k, row_a, col_a, 0, row_b, col_b, 0, row_c, col_c, 0, False)


cdef void c_few(
    const Few *few, const number *a, const number *b, number *c, bint accumulate
) noexcept nogil:
    cdef const number *x = b if few.turned else a
    cdef const number *y = a if few.turned else b
    if number is float:
        few_float(<const tiny_stack *> few, x, y, c, accumulate)
    elif number is double:
        few_double(<const tiny_stack *> few, x, y, c, accumulate)


cdef inline void _tiny_gemm(
    bint trans_a, bint trans_b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    floating alpha, const floating *a, Py_ssize_t lda, const floating *b, Py_ssize_t ldb,
    floating beta, floating *c, Py_ssize_t ldc,
) noexcept nogil:
    cdef Py_ssize_t row_a = 1 if trans_a else lda, col_a = lda if trans_a else 1
    cdef Py_ssize_t row_b = 1 if trans_b else ldb, col_b = ldb if trans_b else 1, depth
    while k > 0:
        depth = TINY_DEPTH_DOTS if tiny_dots(m, n, k, col_a, row_b) else TINY_DEPTH
        depth = min(k, depth)
        if floating is float:
            tiny_float(m, n, depth, alpha, a, row_a, col_a, b, row_b, col_b, beta, c, ldc)
        else:
            tiny_double(m, n, depth, alpha, a, row_a, col_a, b, row_b, col_b, beta, c, ldc)
        k -= depth
        a += depth * col_a
        b += depth * row_b
        beta = 1


cdef inline void _raw_gemm(
    bint trans_a, bint trans_b, blas_int m, blas_int n, blas_int k,
    number alpha, const number *a, blas_int lda, const number *b, blas_int ldb,
    number beta, number *c, blas_int ldc,
) noexcept nogil:
    cdef char ta = c"T" if trans_a else c"N"
    cdef char tb = c"T" if trans_b else c"N"
    if number is float:
        sgemm(&tb, &ta, &n, &m, &k, &alpha, <number *>b, &ldb, <number *>a, &lda, &beta, c, &ldc)
    elif number is double:
        dgemm(&tb, &ta, &n, &m, &k, &alpha, <number *>b, &ldb, <number *>a, &lda, &beta, c, &ldc)
    elif number is floatcomplex:
        cgemm(&tb, &ta, &n, &m, &k, &alpha, <number *>b, &ldb, <number *>a, &lda, &beta, c, &ldc)
    else:
        zgemm(&tb, &ta, &n, &m, &k, &alpha, <number *>b, &ldb, <number *>a, &lda, &beta, c, &ldc)


cdef int c_gemv(
    bint trans_a, Py_ssize_t m, Py_ssize_t n,
    number alpha, const number *a, Py_ssize_t lda, const number *x, Py_ssize_t incx,
    number beta, number *y, Py_ssize_t incy,
) noexcept nogil:
    cdef Py_ssize_t rows = n if trans_a else m
    cdef Py_ssize_t cols = m if trans_a else n
    if rows <= 0:
        return OK
    if incy == 0:
        return BAD_LAYOUT
    if cols <= 0 or alpha == 0:
        _scale(rows, 1, beta, y, incy, 1)
        return OK
    if lda < n or incx == 0:
        return BAD_LAYOUT
    if not (_fits(m) and _fits(n) and _fits(lda) and _fits(incx) and _fits(incy)):
        return TOO_LARGE
    # Some BLAS scale y by beta even when beta = 0, which keeps its NaN.
    _scale(rows, 1, beta, y, incy, 1)
    # BLAS walks a vector with a negative increment from its far end.
    if incx < 0:
        x += (cols - 1) * incx
    if incy < 0:
        y += (rows - 1) * incy
    cdef char ta = c"N" if trans_a else c"T"
    cdef blas_int m_ = <blas_int>m, n_ = <blas_int>n, lda_ = <blas_int>lda
    cdef blas_int incx_ = <blas_int>incx, incy_ = <blas_int>incy
    cdef number one = 1
    cdef bint locked = _enter(alpha, <double>m * <double>n, THREADED_LEVEL2)
    if number is float:
        sgemv(&ta, &n_, &m_, &alpha, <number *>a, &lda_, <number *>x, &incx_, &one, y, &incy_)
    elif number is double:
        dgemv(&ta, &n_, &m_, &alpha, <number *>a, &lda_, <number *>x, &incx_, &one, y, &incy_)
    elif number is floatcomplex:
        cgemv(&ta, &n_, &m_, &alpha, <number *>a, &lda_, <number *>x, &incx_, &one, y, &incy_)
    else:
        zgemv(&ta, &n_, &m_, &alpha, <number *>a, &lda_, <number *>x, &incx_, &one, y, &incy_)
    _leave(locked)
    return OK


cdef int c_ger(
    Py_ssize_t m, Py_ssize_t n, number alpha, const number *x, Py_ssize_t incx,
    const number *y, Py_ssize_t incy, number *a, Py_ssize_t lda,
) noexcept nogil:
    if m <= 0 or n <= 0 or alpha == 0:
        return OK
    if lda < n or incx == 0 or incy == 0:
        return BAD_LAYOUT
    if not (_fits(m) and _fits(n) and _fits(lda) and _fits(incx) and _fits(incy)):
        return TOO_LARGE
    if incx < 0:
        x += (m - 1) * incx
    if incy < 0:
        y += (n - 1) * incy
    cdef blas_int m_ = <blas_int>m, n_ = <blas_int>n, lda_ = <blas_int>lda
    cdef blas_int incx_ = <blas_int>incx, incy_ = <blas_int>incy
    cdef bint locked = _enter(alpha, <double>m * <double>n, THREADED_LEVEL2)
    if number is float:
        sger(&n_, &m_, &alpha, <number *>y, &incy_, <number *>x, &incx_, a, &lda_)
    elif number is double:
        dger(&n_, &m_, &alpha, <number *>y, &incy_, <number *>x, &incx_, a, &lda_)
    elif number is floatcomplex:
        cgeru(&n_, &m_, &alpha, <number *>y, &incy_, <number *>x, &incx_, a, &lda_)
    else:
        zgeru(&n_, &m_, &alpha, <number *>y, &incy_, <number *>x, &incx_, a, &lda_)
    _leave(locked)
    return OK


cdef int c_syrk(
    bint lower, bint trans_a, Py_ssize_t n, Py_ssize_t k,
    number alpha, const number *a, Py_ssize_t lda, number beta, number *c, Py_ssize_t ldc,
) noexcept nogil:
    cdef Py_ssize_t i
    if n <= 0:
        return OK
    if ldc < n:
        return BAD_LAYOUT
    if k <= 0 or alpha == 0:
        for i in range(n):
            if lower:
                _scale(1, i + 1, beta, c + i * ldc, ldc, 1)
            else:
                _scale(1, n - i, beta, c + i * ldc + i, ldc, 1)
        return OK
    if lda < (n if trans_a else k):
        return BAD_LAYOUT
    if not (_fits(n) and _fits(k) and _fits(lda) and _fits(ldc)):
        return TOO_LARGE
    cdef char uplo = c"U" if lower else c"L"
    cdef char trans = c"N" if trans_a else c"T"
    cdef blas_int n_ = <blas_int>n, k_ = <blas_int>k, lda_ = <blas_int>lda, ldc_ = <blas_int>ldc
    cdef bint locked = _enter(alpha, <double>n * <double>n * <double>k, THREADED_LEVEL3)
    if number is float:
        ssyrk(&uplo, &trans, &n_, &k_, &alpha, <number *>a, &lda_, &beta, c, &ldc_)
    elif number is double:
        dsyrk(&uplo, &trans, &n_, &k_, &alpha, <number *>a, &lda_, &beta, c, &ldc_)
    elif number is floatcomplex:
        csyrk(&uplo, &trans, &n_, &k_, &alpha, <number *>a, &lda_, &beta, c, &ldc_)
    else:
        zsyrk(&uplo, &trans, &n_, &k_, &alpha, <number *>a, &lda_, &beta, c, &ldc_)
    _leave(locked)
    return OK


cdef int c_trsm(
    bint lower, bint trans, bint unit, Py_ssize_t n, Py_ssize_t k,
    const number *a, Py_ssize_t lda, number *b, Py_ssize_t ldb,
) noexcept nogil:
    if n <= 0 or k <= 0:
        return OK
    if lda < n or ldb < k:
        return BAD_LAYOUT
    if not (_fits(n) and _fits(k) and _fits(lda) and _fits(ldb)):
        return TOO_LARGE
    cdef char side = c"R"
    cdef char uplo = c"U" if lower else c"L"
    cdef char diag = c"U" if unit else c"N"
    # Of b.T, from the right; a vector is its own transpose.
    cdef char op = c"T" if (trans != 0) == (k > 1) else c"N"
    cdef blas_int n_ = <blas_int>n, k_ = <blas_int>k, lda_ = <blas_int>lda, ldb_ = <blas_int>ldb
    cdef number one = 1
    cdef bint locked = _enter(one, <double>n * <double>(n + k), THREADED_LEVEL2)
    if k == 1:
        if number is float:
            strsv(&uplo, &op, &diag, &n_, <number *>a, &lda_, b, &ldb_)
        elif number is double:
            dtrsv(&uplo, &op, &diag, &n_, <number *>a, &lda_, b, &ldb_)
        elif number is floatcomplex:
            ctrsv(&uplo, &op, &diag, &n_, <number *>a, &lda_, b, &ldb_)
        else:
            ztrsv(&uplo, &op, &diag, &n_, <number *>a, &lda_, b, &ldb_)
    elif number is float:
        strsm(&side, &uplo, &op, &diag, &k_, &n_, &one, <number *>a, &lda_, b, &ldb_)
    elif number is double:
        dtrsm(&side, &uplo, &op, &diag, &k_, &n_, &one, <number *>a, &lda_, b, &ldb_)
    elif number is floatcomplex:
        ctrsm(&side, &uplo, &op, &diag, &k_, &n_, &one, <number *>a, &lda_, b, &ldb_)
    else:
        ztrsm(&side, &uplo, &op, &diag, &k_, &n_, &one, <number *>a, &lda_, b, &ldb_)
    _leave(locked)
    return OK


cdef int c_dot(
    Py_ssize_t n, const number *x, Py_ssize_t incx, const number *y, Py_ssize_t incy,
    number *result,
) noexcept nogil:
    if n <= 0:
        result[0] = 0
        return OK
    if incx == 0 or incy == 0:
        return BAD_LAYOUT
    if not (_fits(n) and _fits(incx) and _fits(incy)):
        return TOO_LARGE
    if incx < 0:
        x += (n - 1) * incx
    if incy < 0:
        y += (n - 1) * incy
    cdef blas_int n_ = <blas_int>n, incx_ = <blas_int>incx, incy_ = <blas_int>incy
    cdef bint locked = _enter(x[0], <double>n, THREADED_LEVEL1)
    if number is float:
        result[0] = sdot(&n_, <number *>x, &incx_, <number *>y, &incy_)
    elif number is double:
        result[0] = ddot(&n_, <number *>x, &incx_, <number *>y, &incy_)
    elif number is floatcomplex:
        result[0] = cdotu(&n_, <number *>x, &incx_, <number *>y, &incy_)
    else:
        result[0] = zdotu(&n_, <number *>x, &incx_, <number *>y, &incy_)
    _leave(locked)
    return OK


cdef int c_axpy(
    Py_ssize_t n, number alpha, const number *x, Py_ssize_t incx,
    number *y, Py_ssize_t incy,
) noexcept nogil:
    if n <= 0 or alpha == 0:
        return OK
    if incx == 0 or incy == 0:
        return BAD_LAYOUT
    if not (_fits(n) and _fits(incx) and _fits(incy)):
        return TOO_LARGE
    if incx < 0:
        x += (n - 1) * incx
    if incy < 0:
        y += (n - 1) * incy
    cdef blas_int n_ = <blas_int>n, incx_ = <blas_int>incx, incy_ = <blas_int>incy
    cdef bint locked = _enter(alpha, <double>n, THREADED_LEVEL1)
    if number is float:
        saxpy(&n_, &alpha, <number *>x, &incx_, y, &incy_)
    elif number is double:
        daxpy(&n_, &alpha, <number *>x, &incx_, y, &incy_)
    elif number is floatcomplex:
        caxpy(&n_, &alpha, <number *>x, &incx_, y, &incy_)
    else:
        zaxpy(&n_, &alpha, <number *>x, &incx_, y, &incy_)
    _leave(locked)
    return OK


include "blas_calls.pxi"


# ---- For tests and benchmarks --------------------------------------------------------------------

_blas_int_max = BLAS_INT_MAX


def _time_raw_pair(Py_ssize_t n, Py_ssize_t repeats, dtype="f8"):
    """Time the two raw gemm of a matmul's vjp, ``g @ b.T`` and ``a.T @ g``, in seconds a pair.

    The peer of `matmul_vjp`: (n, n), outputs preallocated, no checks, no GIL.
    """
    if not 1 <= n <= 1 << 15 or repeats < 1:
        raise ValueError(f"_time_raw_pair: need 1 <= n <= 32768, repeats >= 1, got {n}, {repeats}")
    rng = np.random.default_rng(0)
    cdef cnp.ndarray data = rng.standard_normal((5, n, n)).astype(check(dtype, "_time_raw_pair"))
    cdef void *g = cnp.PyArray_DATA(data)
    cdef int slot = slot_of(cnp.PyArray_TYPE(data))
    start = time.perf_counter()
    with nogil:
        if slot == 0:
            _raw_pairs(<float *>g, <blas_int>n, repeats)
        elif slot == 1:
            _raw_pairs(<double *>g, <blas_int>n, repeats)
        elif slot == 2:
            _raw_pairs(<float complex *>g, <blas_int>n, repeats)
        else:
            _raw_pairs(<double complex *>g, <blas_int>n, repeats)
    return (time.perf_counter() - start) / repeats


cdef void _raw_pairs(number *g, blas_int n, Py_ssize_t repeats) noexcept nogil:
    cdef Py_ssize_t size = <Py_ssize_t>n * n, _i
    cdef number *b = g + size
    cdef number *a = b + size
    cdef number *a_bar = a + size
    cdef number *b_bar = a_bar + size
    cdef number one = 1, zero = 0
    for _i in range(repeats):
        _raw_gemm(False, True, n, n, n, one, g, n, b, n, zero, a_bar, n)
        _raw_gemm(True, False, n, n, n, one, a, n, g, n, zero, b_bar, n)
