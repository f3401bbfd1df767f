"""Matrix products with one matrix packed as panels: for matrices that meet many others.

A weight of a recurrent cell stays the same over all steps. Packed once as panels of 16 columns, a
panel and the rows that meet it stay in the caches, and the kernel of blas.pyx for small products
runs at its full speed, which with AVX-512 is up to twice that of an OpenBLAS that takes the
processor for an older one. All pieces are small enough for that kernel, so neither threads of BLAS
nor its lock take part; large products run on our own pool of threads.
"""

cimport numpy as cnp
from cython cimport floating
from libc.string cimport memcpy, memset
from fastbp._core.blas cimport c_gemm
from fastbp._core.threads cimport run_parallel

import numpy as np

from fastbp._core.simd import at_most
from fastbp.errors import DTypeError, ShapeError

cnp.import_array()

cdef enum:
    WIDTH = 16
    DEPTH = 128
    ROWS = 128              # of one piece: ROWS * WIDTH * DEPTH multiplications are 64**3
    COLUMNS = 128           # of one part of `packed_inner`
    PARALLEL = 4194304      # multiplications, from here on on several threads

cdef bint _pay = at_most(2) >= 1

# A product as the threads see it; `double`: the dtype.
cdef struct Job:
    bint double
    Py_ssize_t m, n, k, lda, ldb, ldc, size
    double beta
    const char *a
    const char *b
    char *c
    char *scratch


cdef inline Py_ssize_t count(Py_ssize_t size, Py_ssize_t piece) noexcept nogil:
    return (size + piece - 1) // piece


cdef bint panels_pay() noexcept nogil:
    return _pay


cdef Py_ssize_t packed_size(Py_ssize_t k, Py_ssize_t n) noexcept nogil:
    return k * (count(n, WIDTH) * WIDTH)


cdef Py_ssize_t inner_scratch(Py_ssize_t n) noexcept nogil:
    return DEPTH * (count(n, COLUMNS) * COLUMNS)


cdef void pack(bint trans_b, Py_ssize_t k, Py_ssize_t n, const floating *b, Py_ssize_t ldb,
               floating *packed) noexcept nogil:
    cdef Py_ssize_t panel, j, p, q, w
    for panel in range(count(n, WIDTH)):
        j = panel * WIDTH
        w = min(n - j, <Py_ssize_t> WIDTH)
        if w < WIDTH:
            memset(packed, 0, k * WIDTH * sizeof(floating))
        if trans_b:
            for q in range(w):
                for p in range(k):
                    packed[p * WIDTH + q] = b[(j + q) * ldb + p]
        else:
            for p in range(k):
                memcpy(packed + p * WIDTH, b + p * ldb + j, w * sizeof(floating))
        packed += k * WIDTH


cdef void packed_product(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const floating *a, Py_ssize_t lda,
    const floating *packed, floating beta, floating *c, Py_ssize_t ldc,
) noexcept nogil:
    cdef Job job
    if <double> m * n * k < PARALLEL:
        some_panels(m, 0, n, k, a, lda, packed, beta, c, ldc)
        return
    job.double = floating is double
    job.m, job.n, job.k, job.lda, job.ldc, job.beta = m, n, k, lda, ldc, beta
    job.a, job.b, job.c = <const char *> a, <const char *> packed, <char *> c
    # By rows where there are many, otherwise by panels.
    if m >= 4 * ROWS:
        job.size = ROWS
        run_parallel(part_of_rows, &job, <int> count(m, ROWS), 1)
    else:
        job.size = COLUMNS
        run_parallel(part_of_panels, &job, <int> count(n, COLUMNS))


cdef void part_of_rows(void *context, int part) noexcept nogil:
    cdef Job *job = <Job *> context
    cdef Py_ssize_t i = part * job.size, rows = min(job.size, job.m - i)
    if job.double:
        some_panels[double](rows, 0, job.n, job.k, <const double *> job.a + i * job.lda, job.lda,
                            <const double *> job.b, job.beta, <double *> job.c + i * job.ldc,
                            job.ldc)
    else:
        some_panels[float](rows, 0, job.n, job.k, <const float *> job.a + i * job.lda, job.lda,
                           <const float *> job.b, <float> job.beta, <float *> job.c + i * job.ldc,
                           job.ldc)


cdef void part_of_panels(void *context, int part) noexcept nogil:
    cdef Job *job = <Job *> context
    cdef Py_ssize_t j = part * job.size, stop = min(j + job.size, job.n)
    if job.double:
        some_panels[double](job.m, j, stop, job.k, <const double *> job.a, job.lda,
                            <const double *> job.b, job.beta, <double *> job.c, job.ldc)
    else:
        some_panels[float](job.m, j, stop, job.k, <const float *> job.a, job.lda,
                           <const float *> job.b, <float> job.beta, <float *> job.c, job.ldc)


cdef void some_panels(
    Py_ssize_t m, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t k, const floating *a,
    Py_ssize_t lda, const floating *packed, floating beta, floating *c, Py_ssize_t ldc,
) noexcept nogil:
    """`packed_product` for the columns from `start`, a multiple of WIDTH, to `stop`."""
    cdef Py_ssize_t block, panel, part, i, j, p, rows, width
    for block in range(count(m, ROWS)):
        i = block * ROWS
        rows = min(m - i, <Py_ssize_t> ROWS)
        for panel in range(start // WIDTH, count(stop, WIDTH)):
            j = panel * WIDTH
            width = min(stop - j, <Py_ssize_t> WIDTH)
            for part in range(max(count(k, DEPTH), 1)):
                p = part * DEPTH
                c_gemm(False, False, rows, width, min(k - p, <Py_ssize_t> DEPTH), <floating> 1,
                       a + i * lda + p, lda, packed + j * k + p * WIDTH, WIDTH,
                       beta if p == 0 else <floating> 1, c + i * ldc + j, ldc)


cdef void packed_inner(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const floating *a, Py_ssize_t lda,
    const floating *b, Py_ssize_t ldb, floating *c, Py_ssize_t ldc, floating *scratch,
) noexcept nogil:
    cdef Job job
    cdef int part
    job.double = floating is double
    job.m, job.n, job.k, job.lda, job.ldb, job.ldc = m, n, k, lda, ldb, ldc
    job.a, job.b, job.c = <const char *> a, <const char *> b, <char *> c
    job.scratch = <char *> scratch
    if <double> m * n * k < PARALLEL:
        for part in range(count(n, COLUMNS)):
            part_of_inner(&job, part)
    else:
        run_parallel(part_of_inner, &job, <int> count(n, COLUMNS), 1)


cdef void part_of_inner(void *context, int part) noexcept nogil:
    cdef Job *job = <Job *> context
    if job.double:
        some_columns[double](job, part, 0)
    else:
        some_columns[float](job, part, 0)


cdef void some_columns(const Job *job, int number, floating tag) noexcept nogil:
    """`packed_inner` for COLUMNS columns."""
    cdef Py_ssize_t first = number * COLUMNS, n = min(job.n - first, <Py_ssize_t> COLUMNS)
    cdef Py_ssize_t part, block, panel, i, j, p, depth, rows
    cdef const floating *a = <const floating *> job.a
    cdef const floating *b = <const floating *> job.b + first
    cdef floating *c = <floating *> job.c + first
    cdef floating *scratch = <floating *> job.scratch + first * DEPTH
    for part in range(count(job.k, DEPTH)):
        p = part * DEPTH
        depth = min(job.k - p, <Py_ssize_t> DEPTH)
        pack(False, depth, n, b + p * job.ldb, job.ldb, scratch)
        for block in range(count(job.m, ROWS)):
            i = block * ROWS
            rows = min(job.m - i, <Py_ssize_t> ROWS)
            for panel in range(count(n, WIDTH)):
                j = panel * WIDTH
                c_gemm(True, False, rows, min(n - j, <Py_ssize_t> WIDTH), depth, <floating> 1,
                       a + p * job.lda + i, job.lda, scratch + j * depth, WIDTH, <floating> 1,
                       c + i * job.ldc + j, job.ldc)


# ---- products of many rows ---------------------------------------------------------------------

cdef Py_ssize_t rows_scratch(Py_ssize_t k, Py_ssize_t n) noexcept nogil:
    return max(packed_size(k, n), inner_scratch(n)) if _pay and n * k > PIECE else 0


cdef void rows_product(
    bint trans_b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const floating *a, Py_ssize_t lda,
    const floating *b, Py_ssize_t ldb, floating beta, floating *c, Py_ssize_t ldc,
    floating *scratch,
) noexcept nogil:
    cdef Py_ssize_t piece = m, rows
    if _pay and n * k > PIECE and m >= FEW:
        pack(trans_b, k, n, b, ldb, scratch)
        packed_product(m, n, k, a, lda, <const floating *> scratch, beta, c, ldc)
        return
    if _pay and 0 < n * k <= PIECE:
        piece = ROWS * WIDTH * DEPTH // (n * k)
    while m > 0:
        rows = min(m, piece)
        c_gemm(False, trans_b, rows, n, k, <floating> 1, a, lda, b, ldb, beta, c, ldc)
        m -= rows
        a += rows * lda
        c += rows * ldc


cdef void inner_product(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const floating *a, Py_ssize_t lda,
    const floating *b, Py_ssize_t ldb, floating *c, Py_ssize_t ldc, floating *scratch,
) noexcept nogil:
    cdef Py_ssize_t piece = k, rows
    if _pay and m * n > PIECE and k >= FEW:
        packed_inner(m, n, k, a, lda, b, ldb, c, ldc, scratch)
        return
    if _pay and 0 < m * n <= PIECE:
        piece = ROWS * WIDTH * DEPTH // (m * n)
    while k > 0:
        rows = min(k, piece)
        c_gemm(True, False, m, n, rows, <floating> 1, a, lda, b, ldb, <floating> 1, c, ldc)
        k -= rows
        a += rows * lda
        b += rows * ldb


# ---- for tests and measurements ----------------------------------------------------------------

def product(cnp.ndarray a not None, cnp.ndarray b not None, bint trans_b=False,
            Py_ssize_t repeats=1):
    """Return ``a @ op(b)``, b packed once; for tests and measurements.

    Parameters
    ----------
    a, b : ndarray of float64 or float32, two axes, C order, of one dtype
    trans_b : bool
    repeats : int
    """
    cdef Py_ssize_t m, k, n, _i
    _check(a, b)
    m, k = a.shape[0], a.shape[1]
    n, inner = (b.shape[0], b.shape[1]) if trans_b else (b.shape[1], b.shape[0])
    if inner != k:
        raise ShapeError(f"product: {(m, k)} does not fit {(inner, n)}")
    cdef cnp.ndarray out = np.empty((m, n), a.dtype), packed = np.empty(packed_size(k, n), a.dtype)
    if cnp.PyArray_TYPE(a) == cnp.NPY_DOUBLE:
        pack[double](trans_b, k, n, <double *> cnp.PyArray_DATA(b), max(1, b.shape[1]),
                     <double *> cnp.PyArray_DATA(packed))
        for _i in range(repeats):
            packed_product[double](m, n, k, <double *> cnp.PyArray_DATA(a), max(1, k),
                                   <double *> cnp.PyArray_DATA(packed), 0,
                                   <double *> cnp.PyArray_DATA(out), max(1, n))
    else:
        pack[float](trans_b, k, n, <float *> cnp.PyArray_DATA(b), max(1, b.shape[1]),
                    <float *> cnp.PyArray_DATA(packed))
        for _i in range(repeats):
            packed_product[float](m, n, k, <float *> cnp.PyArray_DATA(a), max(1, k),
                                  <float *> cnp.PyArray_DATA(packed), 0,
                                  <float *> cnp.PyArray_DATA(out), max(1, n))
    return out


def inner(cnp.ndarray a not None, cnp.ndarray b not None):
    """Return ``a.T @ b``; arguments as for `product`; for tests and measurements."""
    _check(a, b)
    cdef Py_ssize_t k = a.shape[0], m = a.shape[1], n = b.shape[1]
    if b.shape[0] != k:
        raise ShapeError(f"inner: {(k, m)} does not fit {(b.shape[0], n)}")
    cdef cnp.ndarray out = np.zeros((m, n), a.dtype)
    cdef cnp.ndarray scratch = np.empty(inner_scratch(n), a.dtype)
    if cnp.PyArray_TYPE(a) == cnp.NPY_DOUBLE:
        packed_inner[double](m, n, k, <double *> cnp.PyArray_DATA(a), max(1, m),
                             <double *> cnp.PyArray_DATA(b), max(1, n),
                             <double *> cnp.PyArray_DATA(out), max(1, n),
                             <double *> cnp.PyArray_DATA(scratch))
    else:
        packed_inner[float](m, n, k, <float *> cnp.PyArray_DATA(a), max(1, m),
                            <float *> cnp.PyArray_DATA(b), max(1, n),
                            <float *> cnp.PyArray_DATA(out), max(1, n),
                            <float *> cnp.PyArray_DATA(scratch))
    return out


cdef int _check(cnp.ndarray a, cnp.ndarray b) except -1:
    if (cnp.PyArray_TYPE(a) != cnp.PyArray_TYPE(b)
            or cnp.PyArray_TYPE(a) not in (cnp.NPY_DOUBLE, cnp.NPY_FLOAT)):
        raise DTypeError(f"panels: dtypes {a.dtype} and {b.dtype}")
    if cnp.PyArray_NDIM(a) != 2 or cnp.PyArray_NDIM(b) != 2:
        raise ShapeError("panels: two matrices are needed")
    if not (cnp.PyArray_ISCARRAY_RO(a) and cnp.PyArray_ISCARRAY_RO(b)):
        raise DTypeError("panels: matrices must be C-ordered")
    return 0
