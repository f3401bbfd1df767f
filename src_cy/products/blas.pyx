"""Row-major BLAS for float32 and float64: the only file of fastbp that calls BLAS.

The C layer (``c_gemm`` ...; documented in ``blas.pxd``) takes pointers, needs no GIL and returns
a status. The Python layer (``gemm`` ...) checks dtype, shape, strides, overlap and writability
before a pointer is used.
"""

cimport numpy as cnp
from cpython.pythread cimport (
    PyThread_acquire_lock,
    PyThread_allocate_lock,
    PyThread_release_lock,
    PyThread_type_lock,
    WAIT_LOCK,
)
from cython cimport floating
from scipy.linalg.cython_blas cimport (
    daxpy, ddot, dgemm, dgemv, dger, dsyrk, saxpy, sdot, sgemm, sgemv, sger, ssyrk,
)

import os
import time

import numpy as np

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
# It loses to SkylakeX kernels when n is small and the rows are many: 1.4x at (64, 10, 64), 2.6x (in
# float32 4x) at (64, 4, 64), where it still beats Haswell's. SSE2 wins up to n = 16 (549 / 429, NT,
# against OpenBLAS's Nehalem) and ties above. Products with a vector go to gemv,
# which is as fast at every size. Narrow products, (n, n) @ (n, 4) and (4, n) @ (n, n), go up to 4
# times the limit: GB/s of the square matrix, BLAS / tiny, on one thread (on two, BLAS reaches 40):
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
# (gemm: m*n*k > 2**18; gemv, ger: from about 9000 elements) therefore holds this lock; the limits
# below are half of OpenBLAS's or less. Smaller calls run at once. The holder never waits for the
# GIL, so it may be taken with or without the GIL. What other libraries do with the same BLAS in
# other threads is out of reach.

cdef enum:
    THREADED_LEVEL3 = 131072  # multiplications
    THREADED_LEVEL2 = 4096  # elements of the matrix
    THREADED_LEVEL1 = 4096  # elements of the vector

cdef PyThread_type_lock _lock = PyThread_allocate_lock()
if _lock is NULL:
    raise MemoryError("fastbp._core.blas: no memory for the BLAS lock")


def _renew_lock():
    # In a forked child the lock may be held by a thread that no longer exists.
    global _lock
    _lock = PyThread_allocate_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


cdef inline bint _enter(double work, double limit) noexcept nogil:
    if work <= limit:
        return False
    PyThread_acquire_lock(_lock, WAIT_LOCK)
    return True


cdef inline void _leave(bint locked) noexcept nogil:
    if locked:
        PyThread_release_lock(_lock)


# ---- C layer -------------------------------------------------------------------------------------
# BLAS is column-major: it sees every row-major matrix transposed, so operands are swapped and flags
# kept. It declares its inputs without const (scipy issue 14262): the casts below are the only ones.

cdef inline void _scale(
    Py_ssize_t m, Py_ssize_t n, floating beta, floating *c, Py_ssize_t ldc, Py_ssize_t inc
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
    floating alpha, const floating *a, Py_ssize_t lda, const floating *b, Py_ssize_t ldb,
    floating beta, floating *c, Py_ssize_t ldc,
) noexcept nogil:
    if m <= 0 or n <= 0:
        return OK
    if ldc < n and m > 1:
        return BAD_LAYOUT
    if k <= 0 or alpha == 0:
        _scale(m, n, beta, c, ldc, 1)
        return OK
    if lda < (m if trans_a else k) or ldb < (k if trans_b else n):
        return BAD_LAYOUT
    if n == 1:
        if trans_a:
            return c_gemv(True, k, m, alpha, a, lda, b, 1 if trans_b else ldb, beta, c, ldc)
        return c_gemv(False, m, k, alpha, a, lda, b, 1 if trans_b else ldb, beta, c, ldc)
    if m == 1:
        if trans_b:
            return c_gemv(False, n, k, alpha, b, ldb, a, lda if trans_a else 1, beta, c, 1)
        return c_gemv(True, k, n, alpha, b, ldb, a, lda if trans_a else 1, beta, c, 1)
    cdef double work = <double>m * <double>n * <double>k
    if work <= tiny_work or (
        work <= 4 * tiny_work and (m <= 4 or (n <= 4 and not trans_a))
    ):
        _tiny_gemm(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
        return OK
    if not (_fits(m) and _fits(n) and _fits(k) and _fits(lda) and _fits(ldb) and _fits(ldc)):
        return TOO_LARGE
    cdef bint locked = _enter(work, THREADED_LEVEL3)
    _raw_gemm(trans_a, trans_b, <blas_int>m, <blas_int>n, <blas_int>k, alpha, a, <blas_int>lda,
              b, <blas_int>ldb, beta, c, <blas_int>ldc)
    _leave(locked)
    return OK


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
    floating alpha, const floating *a, blas_int lda, const floating *b, blas_int ldb,
    floating beta, floating *c, blas_int ldc,
) noexcept nogil:
    cdef char ta = c"T" if trans_a else c"N"
    cdef char tb = c"T" if trans_b else c"N"
    if floating is float:
        sgemm(&tb, &ta, &n, &m, &k, &alpha, <float *>b, &ldb, <float *>a, &lda, &beta, c, &ldc)
    else:
        dgemm(&tb, &ta, &n, &m, &k, &alpha, <double *>b, &ldb, <double *>a, &lda, &beta, c, &ldc)


cdef int c_gemv(
    bint trans_a, Py_ssize_t m, Py_ssize_t n,
    floating alpha, const floating *a, Py_ssize_t lda, const floating *x, Py_ssize_t incx,
    floating beta, floating *y, Py_ssize_t incy,
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
    cdef floating one = 1
    cdef bint locked = _enter(<double>m * <double>n, THREADED_LEVEL2)
    if floating is float:
        sgemv(&ta, &n_, &m_, &alpha, <float *>a, &lda_, <float *>x, &incx_, &one, y, &incy_)
    else:
        dgemv(&ta, &n_, &m_, &alpha, <double *>a, &lda_, <double *>x, &incx_, &one, y, &incy_)
    _leave(locked)
    return OK


cdef int c_ger(
    Py_ssize_t m, Py_ssize_t n, floating alpha, const floating *x, Py_ssize_t incx,
    const floating *y, Py_ssize_t incy, floating *a, Py_ssize_t lda,
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
    cdef bint locked = _enter(<double>m * <double>n, THREADED_LEVEL2)
    if floating is float:
        sger(&n_, &m_, &alpha, <float *>y, &incy_, <float *>x, &incx_, a, &lda_)
    else:
        dger(&n_, &m_, &alpha, <double *>y, &incy_, <double *>x, &incx_, a, &lda_)
    _leave(locked)
    return OK


cdef int c_syrk(
    bint lower, bint trans_a, Py_ssize_t n, Py_ssize_t k,
    floating alpha, const floating *a, Py_ssize_t lda, floating beta, floating *c, Py_ssize_t ldc,
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
    cdef bint locked = _enter(<double>n * <double>n * <double>k, THREADED_LEVEL3)
    if floating is float:
        ssyrk(&uplo, &trans, &n_, &k_, &alpha, <float *>a, &lda_, &beta, c, &ldc_)
    else:
        dsyrk(&uplo, &trans, &n_, &k_, &alpha, <double *>a, &lda_, &beta, c, &ldc_)
    _leave(locked)
    return OK


cdef int c_dot(
    Py_ssize_t n, const floating *x, Py_ssize_t incx, const floating *y, Py_ssize_t incy,
    floating *result,
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
    cdef bint locked = _enter(<double>n, THREADED_LEVEL1)
    if floating is float:
        result[0] = sdot(&n_, <float *>x, &incx_, <float *>y, &incy_)
    else:
        result[0] = ddot(&n_, <double *>x, &incx_, <double *>y, &incy_)
    _leave(locked)
    return OK


cdef int c_axpy(
    Py_ssize_t n, floating alpha, const floating *x, Py_ssize_t incx,
    floating *y, Py_ssize_t incy,
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
    cdef bint locked = _enter(<double>n, THREADED_LEVEL1)
    if floating is float:
        saxpy(&n_, &alpha, <float *>x, &incx_, y, &incy_)
    else:
        daxpy(&n_, &alpha, <double *>x, &incx_, y, &incy_)
    _leave(locked)
    return OK


# ---- Python layer: checks ------------------------------------------------------------------------

cdef cnp.ndarray _array(str op, str name, x, int ndim):
    # An aligned native float32 or float64 array of ndim axes, or an exception.
    if not isinstance(x, cnp.ndarray):
        raise TypeError(f"{op}: {name} must be an array, got {type(x).__name__}")
    cdef cnp.ndarray array = x
    cdef int typenum = cnp.PyArray_TYPE(array)
    if typenum != cnp.NPY_FLOAT and typenum != cnp.NPY_DOUBLE:
        raise DTypeError(f"{op}: {name} must be float32 or float64, got {x.dtype}")
    if not cnp.PyArray_ISBEHAVED_RO(array):
        raise DTypeError(f"{op}: {name} must be aligned and of native byte order, got {x.dtype}")
    if cnp.PyArray_NDIM(array) != ndim:
        raise ShapeError(f"{op}: {name} must have {ndim} axes, got shape {x.shape}")
    return array


cdef cnp.ndarray _matrix(str op, str name, x):
    cdef cnp.ndarray array = _array(op, name, x, 2)
    cdef Py_ssize_t item = cnp.PyArray_ITEMSIZE(array)
    cdef Py_ssize_t rows = cnp.PyArray_DIM(array, 0), cols = cnp.PyArray_DIM(array, 1)
    cdef Py_ssize_t row = cnp.PyArray_STRIDE(array, 0), col = cnp.PyArray_STRIDE(array, 1)
    if rows > 0 and cols > 0 and (
        (cols > 1 and col != item) or (rows > 1 and (row < cols * item or row % item != 0))
    ):
        raise ValueError(
            f"{op}: the rows of {name} must be contiguous and not overlap, "
            f"got shape {x.shape}, strides {x.strides}"
        )
    return array


cdef cnp.ndarray _vector(str op, str name, x):
    cdef cnp.ndarray array = _array(op, name, x, 1)
    cdef Py_ssize_t stride = cnp.PyArray_STRIDE(array, 0)
    cdef Py_ssize_t item = cnp.PyArray_ITEMSIZE(array)
    if cnp.PyArray_DIM(array, 0) > 1 and (stride == 0 or stride % item != 0):
        raise ValueError(f"{op}: the stride of {name} must be whole elements, got {x.strides}")
    return array


cdef Py_ssize_t _ld(cnp.ndarray x) noexcept:
    if cnp.PyArray_DIM(x, 0) > 1 and cnp.PyArray_DIM(x, 1) > 0:
        return cnp.PyArray_STRIDE(x, 0) // cnp.PyArray_ITEMSIZE(x)
    return max(cnp.PyArray_DIM(x, 1), 1)


cdef Py_ssize_t _inc(cnp.ndarray x) noexcept:
    return cnp.PyArray_STRIDE(x, 0) // cnp.PyArray_ITEMSIZE(x) if cnp.PyArray_DIM(x, 0) > 1 else 1


cdef int _one_dtype(str op, tuple arrays) except -1:
    for x in arrays:
        if x.dtype.num != arrays[0].dtype.num:
            raise DTypeError(
                f"{op}: operands must have one dtype, got {[str(y.dtype) for y in arrays]}"
            )
    return cnp.PyArray_TYPE(arrays[0])


cdef int _fit(str op, bint ok, tuple arrays) except -1:
    if not ok:
        raise ShapeError(f"{op}: shapes {', '.join([str(x.shape) for x in arrays])} do not fit")
    return 0


cdef int _check_out(str op, str name, cnp.ndarray out, tuple inputs) except -1:
    if not cnp.PyArray_ISWRITEABLE(out):
        raise ValueError(f"{op}: {name} is read-only")
    for x in inputs:
        if np.shares_memory(out, x):
            raise ValueError(f"{op}: {name} overlaps an input")
    return 0


cdef object _new_out(str op, tuple shape, cnp.ndarray like, double beta):
    if beta != 0:
        raise ValueError(f"{op}: beta = {beta} needs an array out to scale")
    return np.zeros(shape, like.dtype)


cdef int _check_status(str op, int status) except -1:
    if status == TOO_LARGE:
        raise OverflowError(f"{op}: a size or stride is above {BLAS_INT_MAX}, BLAS's limit")
    if status != OK:
        raise ValueError(f"{op}: a leading dimension or increment is not valid")
    return 0


# ---- Python layer --------------------------------------------------------------------------------

def gemm(
    a, b, bint trans_a=False, bint trans_b=False, double alpha=1.0, double beta=0.0, out=None
):
    """Compute ``alpha * op(a) @ op(b) + beta * out``, where ``op`` transposes if its flag says so.

    Parameters
    ----------
    a : ndarray of float32 or float64, shape (m, k), or (k, m) with `trans_a`
    b : ndarray of the dtype of `a`, shape (k, n), or (n, k) with `trans_b`
    trans_a, trans_b : bool
    alpha, beta : float
        ``beta=0`` ignores what `out` holds, NaN included.
    out : ndarray of the dtype of `a`, shape (m, n), optional
        Written in place. Needed if `beta` is not 0.

    Returns
    -------
    ndarray, shape (m, n)
        `out`, or a new array.

    Raises
    ------
    ShapeError
        If an argument is not a matrix, or the shapes do not fit.
    DTypeError
        If a dtype is not native float32 or float64, or the dtypes differ.
    ValueError
        If the rows of a matrix are not contiguous, or `out` is read-only or overlaps an input.
    OverflowError
        If a size does not fit the BLAS's integer.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp._core import blas
    >>> blas.gemm(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), trans_b=True)
    array([[11.]])
    """
    cdef cnp.ndarray x = _matrix("gemm", "a", a), y = _matrix("gemm", "b", b)
    cdef Py_ssize_t m = cnp.PyArray_DIM(x, trans_a), k = cnp.PyArray_DIM(x, not trans_a)
    cdef Py_ssize_t n = cnp.PyArray_DIM(y, not trans_b)
    if out is None:
        out = _new_out("gemm", (m, n), x, beta)
    cdef cnp.ndarray z = _matrix("gemm", "out", out)
    cdef int typenum = _one_dtype("gemm", (x, y, z)), status
    _fit("gemm", cnp.PyArray_DIM(y, trans_b) == k
         and cnp.PyArray_DIM(z, 0) == m and cnp.PyArray_DIM(z, 1) == n, (x, y, z))
    _check_out("gemm", "out", z, (x, y))
    cdef void *px = cnp.PyArray_DATA(x)
    cdef void *py = cnp.PyArray_DATA(y)
    cdef void *pz = cnp.PyArray_DATA(z)
    cdef Py_ssize_t lda = _ld(x), ldb = _ld(y), ldc = _ld(z)
    with nogil:
        if typenum == cnp.NPY_FLOAT:
            status = c_gemm[float](trans_a, trans_b, m, n, k, <float>alpha, <float *>px, lda,
                                   <float *>py, ldb, <float>beta, <float *>pz, ldc)
        else:
            status = c_gemm[double](trans_a, trans_b, m, n, k, alpha, <double *>px, lda,
                                    <double *>py, ldb, beta, <double *>pz, ldc)
    _check_status("gemm", status)
    return out


def gemv(a, x, bint trans_a=False, double alpha=1.0, double beta=0.0, out=None):
    """Compute ``alpha * op(a) @ x + beta * out``, for vectors of any stride.

    Arguments and errors are those of `gemm`.

    Parameters
    ----------
    a : ndarray of float32 or float64, shape (m, n)
    x : ndarray of the dtype of `a`, shape (n,), or (m,) with `trans_a`
    trans_a : bool
    alpha, beta : float
    out : ndarray of the dtype of `a`, shape (m,), or (n,) with `trans_a`, optional

    Returns
    -------
    ndarray, shape of `out`
    """
    cdef cnp.ndarray p = _matrix("gemv", "a", a), q = _vector("gemv", "x", x)
    cdef Py_ssize_t m = cnp.PyArray_DIM(p, 0), n = cnp.PyArray_DIM(p, 1)
    cdef Py_ssize_t rows = n if trans_a else m, cols = m if trans_a else n
    if out is None:
        out = _new_out("gemv", (rows,), p, beta)
    cdef cnp.ndarray r = _vector("gemv", "out", out)
    cdef int typenum = _one_dtype("gemv", (p, q, r)), status
    _fit("gemv", cnp.PyArray_DIM(q, 0) == cols and cnp.PyArray_DIM(r, 0) == rows, (p, q, r))
    _check_out("gemv", "out", r, (p, q))
    if typenum == cnp.NPY_FLOAT:
        status = c_gemv[float](
            trans_a, m, n, <float>alpha, <float *>cnp.PyArray_DATA(p), _ld(p),
            <float *>cnp.PyArray_DATA(q), _inc(q),
            <float>beta, <float *>cnp.PyArray_DATA(r), _inc(r))
    else:
        status = c_gemv[double](
            trans_a, m, n, alpha, <double *>cnp.PyArray_DATA(p), _ld(p),
            <double *>cnp.PyArray_DATA(q), _inc(q),
            beta, <double *>cnp.PyArray_DATA(r), _inc(r))
    _check_status("gemv", status)
    return out


def ger(x, y, double alpha=1.0, out=None):
    """Add ``alpha * outer(x, y)`` to `out`. Errors as in `gemm`; vectors may have any stride.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (m,)
    y : ndarray of the dtype of `x`, shape (n,)
    alpha : float
    out : ndarray of the dtype of `x`, shape (m, n), optional
        Zeros if not given.

    Returns
    -------
    ndarray, shape (m, n)
    """
    cdef cnp.ndarray p = _vector("ger", "x", x), q = _vector("ger", "y", y)
    cdef Py_ssize_t m = cnp.PyArray_DIM(p, 0), n = cnp.PyArray_DIM(q, 0)
    if out is None:
        out = _new_out("ger", (m, n), p, 0.0)
    cdef cnp.ndarray r = _matrix("ger", "out", out)
    cdef int typenum = _one_dtype("ger", (p, q, r)), status
    _fit("ger", cnp.PyArray_DIM(r, 0) == m and cnp.PyArray_DIM(r, 1) == n, (p, q, r))
    _check_out("ger", "out", r, (p, q))
    if typenum == cnp.NPY_FLOAT:
        status = c_ger[float](
            m, n, <float>alpha, <float *>cnp.PyArray_DATA(p), _inc(p),
            <float *>cnp.PyArray_DATA(q), _inc(q), <float *>cnp.PyArray_DATA(r), _ld(r))
    else:
        status = c_ger[double](
            m, n, alpha, <double *>cnp.PyArray_DATA(p), _inc(p),
            <double *>cnp.PyArray_DATA(q), _inc(q), <double *>cnp.PyArray_DATA(r), _ld(r))
    _check_status("ger", status)
    return out


def syrk(a, bint trans_a=False, bint lower=True, double alpha=1.0, double beta=0.0, out=None):
    """Compute one triangle of ``alpha * op(a) @ op(a).T + beta * out``.

    Arguments and errors are those of `gemm`.

    Parameters
    ----------
    a : ndarray of float32 or float64, shape (n, k), or (k, n) with `trans_a`
    trans_a : bool
    lower : bool
        Which triangle is written; the other keeps its values (zeros in a new array).
    alpha, beta : float
    out : ndarray of the dtype of `a`, shape (n, n), optional

    Returns
    -------
    ndarray, shape (n, n)
    """
    cdef cnp.ndarray p = _matrix("syrk", "a", a)
    cdef Py_ssize_t n = cnp.PyArray_DIM(p, trans_a), k = cnp.PyArray_DIM(p, not trans_a)
    if out is None:
        out = _new_out("syrk", (n, n), p, beta)
    cdef cnp.ndarray r = _matrix("syrk", "out", out)
    cdef int typenum = _one_dtype("syrk", (p, r)), status
    _fit("syrk", cnp.PyArray_DIM(r, 0) == n and cnp.PyArray_DIM(r, 1) == n, (p, r))
    _check_out("syrk", "out", r, (p,))
    if typenum == cnp.NPY_FLOAT:
        status = c_syrk[float](
            lower, trans_a, n, k, <float>alpha, <float *>cnp.PyArray_DATA(p), _ld(p),
            <float>beta, <float *>cnp.PyArray_DATA(r), _ld(r))
    else:
        status = c_syrk[double](
            lower, trans_a, n, k, alpha, <double *>cnp.PyArray_DATA(p), _ld(p),
            beta, <double *>cnp.PyArray_DATA(r), _ld(r))
    _check_status("syrk", status)
    return out


def dot(x, y):
    """Return ``sum(x * y)``, summed in the dtype of the vectors. Errors as in `gemm`.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (n,)
    y : ndarray of the dtype of `x`, shape (n,)

    Returns
    -------
    float
    """
    cdef cnp.ndarray p = _vector("dot", "x", x), q = _vector("dot", "y", y)
    cdef Py_ssize_t n = cnp.PyArray_DIM(p, 0)
    cdef int typenum = _one_dtype("dot", (p, q)), status
    cdef float single = 0
    cdef double result = 0
    _fit("dot", cnp.PyArray_DIM(q, 0) == n, (p, q))
    if typenum == cnp.NPY_FLOAT:
        status = c_dot[float](n, <float *>cnp.PyArray_DATA(p), _inc(p),
                              <float *>cnp.PyArray_DATA(q), _inc(q), &single)
        result = single
    else:
        status = c_dot[double](n, <double *>cnp.PyArray_DATA(p), _inc(p),
                               <double *>cnp.PyArray_DATA(q), _inc(q), &result)
    _check_status("dot", status)
    return result


def axpy(x, out, double alpha=1.0):
    """Add ``alpha * x`` to `out` in place and return it. Errors as in `gemm`.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (n,)
    out : ndarray of the dtype of `x`, shape (n,)
    alpha : float

    Returns
    -------
    ndarray, shape (n,)
    """
    cdef cnp.ndarray p = _vector("axpy", "x", x), r = _vector("axpy", "out", out)
    cdef Py_ssize_t n = cnp.PyArray_DIM(p, 0)
    cdef int typenum = _one_dtype("axpy", (p, r)), status
    _fit("axpy", cnp.PyArray_DIM(r, 0) == n, (p, r))
    _check_out("axpy", "out", r, (p,))
    if typenum == cnp.NPY_FLOAT:
        status = c_axpy[float](n, <float>alpha, <float *>cnp.PyArray_DATA(p), _inc(p),
                               <float *>cnp.PyArray_DATA(r), _inc(r))
    else:
        status = c_axpy[double](n, alpha, <double *>cnp.PyArray_DATA(p), _inc(p),
                                <double *>cnp.PyArray_DATA(r), _inc(r))
    _check_status("axpy", status)
    return out


# ---- For tests and benchmarks --------------------------------------------------------------------

_blas_int_max = BLAS_INT_MAX


def _time_raw_pair(Py_ssize_t n, Py_ssize_t repeats):
    """Time the two raw dgemm of a matmul's vjp, ``g @ b.T`` and ``a.T @ g``, in seconds a pair.

    The peer of `matmul_vjp`: float64, (n, n), outputs preallocated, no checks, no GIL.
    """
    if not 1 <= n <= 1 << 15 or repeats < 1:
        raise ValueError(f"_time_raw_pair: need 1 <= n <= 32768, repeats >= 1, got {n}, {repeats}")
    rng = np.random.default_rng(0)
    cdef cnp.ndarray data = rng.standard_normal((5, n, n))
    cdef double *g = <double *>cnp.PyArray_DATA(data)
    cdef double *b = g + n * n
    cdef double *a = b + n * n
    cdef double *a_bar = a + n * n
    cdef double *b_bar = a_bar + n * n
    cdef Py_ssize_t _i
    cdef blas_int n_ = <blas_int>n
    start = time.perf_counter()
    with nogil:
        for _i in range(repeats):
            _raw_gemm[double](False, True, n_, n_, n_, 1.0, g, n_, b, n_, 0.0, a_bar, n_)
            _raw_gemm[double](True, False, n_, n_, n_, 1.0, a, n_, g, n_, 0.0, b_bar, n_)
    return (time.perf_counter() - start) / repeats
