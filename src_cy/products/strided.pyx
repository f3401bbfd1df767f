"""Batched products of strided matrices, run as few and as large gemms as their strides allow.

The problem (``Product``) is ``c[batch, i, j] (+)= sum_p a[batch, i, p] * b[batch, p, j]``, where a
batch axis may have stride 0 in an operand (it is broadcast) or in ``c`` (it is summed over). Batch
axes are first folded into i, j or p; what is left is a loop over gemms. ``matmul.pyx`` writes a
matmul and both of its cotangents in this form.
"""

from cython cimport doublecomplex, floatcomplex, floating

from fastbp._core.blas cimport Few, c_are_few, c_few, c_gemm, few_of, number
from fastbp._core.dtypes cimport slot_of

cdef enum:
    FOLD_MAX = 2147483647  # no fold makes a size that a 32-bit BLAS refuses

# Releasing the GIL costs about 50 ns: below this many multiplications (about 1 us of work) it is
# kept.
cdef double NOGIL_WORK = 1 << 15


cdef bint layout(
    Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t row, Py_ssize_t col, bint *trans, Py_ssize_t *ld
) noexcept nogil:
    # How BLAS can read the matrix: as it is, as the transpose of a row-major one, or (False) not at
    # all.
    trans[0] = False
    ld[0] = 1
    if cols <= 1 or col == 1:
        if rows <= 1:
            ld[0] = max(cols, 1)
            return True
        if row >= cols and row >= 1:
            ld[0] = row
            return True
    if rows <= 1 or row == 1:
        trans[0] = True
        ld[0] = max(col, 1)
        return col >= rows and col >= 1
    return False


cdef inline bint _is_layout(
    Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t row, Py_ssize_t col
) noexcept nogil:
    cdef bint trans
    cdef Py_ssize_t ld
    return layout(rows, cols, row, col, &trans, &ld)


cdef inline bint _mergeable(Py_ssize_t size, Py_ssize_t inner, Py_ssize_t outer) noexcept nogil:
    # Does an axis of `size` and stride `inner` continue in the axis of stride `outer` around it?
    return size == 1 or outer == size * inner


cdef bint _fold_axis(Product *p, int axis) noexcept nogil:
    # Merge one batch axis into k (a sum over the batch becomes part of the contraction), m or n.
    cdef Py_ssize_t size = p.dims[axis]
    cdef Py_ssize_t da = p.a.batch[axis], db = p.b.batch[axis], dc = p.c.batch[axis]
    cdef Py_ssize_t s, t
    if dc == 0 and p.k <= FOLD_MAX // size:
        if _mergeable(p.k, p.a.col, da) and _mergeable(p.k, p.b.row, db):
            s = da if p.k == 1 else p.a.col
            t = db if p.k == 1 else p.b.row
            if _is_layout(p.m, p.k * size, p.a.row, s) and _is_layout(p.k * size, p.n, t, p.b.col):
                p.k, p.a.col, p.b.row = p.k * size, s, t
                return True
    if db == 0 and p.m <= FOLD_MAX // size:
        if _mergeable(p.m, p.a.row, da) and _mergeable(p.m, p.c.row, dc):
            s = da if p.m == 1 else p.a.row
            t = dc if p.m == 1 else p.c.row
            if _is_layout(p.m * size, p.k, s, p.a.col) and _is_layout(p.m * size, p.n, t, p.c.col):
                p.m, p.a.row, p.c.row = p.m * size, s, t
                return True
    if da == 0 and p.n <= FOLD_MAX // size:
        if _mergeable(p.n, p.b.col, db) and _mergeable(p.n, p.c.col, dc):
            s = db if p.n == 1 else p.b.col
            t = dc if p.n == 1 else p.c.col
            if _is_layout(p.k, p.n * size, p.b.row, s) and _is_layout(p.m, p.n * size, p.c.row, t):
                p.n, p.b.col, p.c.col = p.n * size, s, t
                return True
    return False


cdef inline void _move_axis(Product *p, int source, int target) noexcept nogil:
    p.dims[target] = p.dims[source]
    p.a.batch[target] = p.a.batch[source]
    p.b.batch[target] = p.b.batch[source]
    p.c.batch[target] = p.c.batch[source]


cdef void _drop_axis(Product *p, int axis) noexcept nogil:
    cdef int i
    for i in range(axis + 1, p.ndim):
        _move_axis(p, i, i - 1)
    p.ndim -= 1


cdef void fold(Product *p) noexcept nogil:
    # Drop axes of length 1, then fold from the innermost axis outwards until nothing changes.
    cdef int axis = p.ndim - 1
    while axis >= 0:
        if p.dims[axis] == 1:
            _drop_axis(p, axis)
        axis -= 1
    axis = p.ndim - 1
    while axis >= 0:
        if _fold_axis(p, axis):
            _drop_axis(p, axis)
            axis = p.ndim  # a fold may make another one possible
        axis -= 1


cdef int _run(const Product *p, number *a, number *b, number *c, number beta) noexcept nogil:
    # All layouts are BLAS's and no size is 0. beta applies to the first term of a sum over the
    # batch.
    cdef number one = 1
    cdef Py_ssize_t index[MAX_BATCH]
    cdef Py_ssize_t lda = 1, ldb = 1, ldc = 1
    cdef Few small
    cdef int i, status, ndim = p.ndim
    cdef bint first, few = False, ta = False, tb = False, tc = False
    if number in floating:
        few = c_are_few(p.m, p.n, p.k)
    if few:
        small = few_of(p.m, p.n, p.k, p.a.row, p.a.col, p.b.row, p.b.col, p.c.row, p.c.col)
        if ndim > 0:    # the innermost axis is a stack
            ndim -= 1
            small.count, small.step_c = p.dims[ndim], p.c.batch[ndim]
            small.step_a, small.step_b = p.a.batch[ndim], p.b.batch[ndim]
            if small.turned:
                small.step_a, small.step_b = small.step_b, small.step_a
    else:
        layout(p.m, p.k, p.a.row, p.a.col, &ta, &lda)
        layout(p.k, p.n, p.b.row, p.b.col, &tb, &ldb)
        layout(p.m, p.n, p.c.row, p.c.col, &tc, &ldc)
    for i in range(ndim):
        index[i] = 0
    while True:
        first = True
        for i in range(ndim):
            if p.c.batch[i] == 0 and index[i] != 0:
                first = False
        status = 0
        if few:
            if number in floating:
                c_few(&small, a, b, c, not first or beta != 0)
        elif tc:  # c.T = b.T @ a.T
            status = c_gemm(not tb, not ta, p.n, p.m, p.k, one, b, ldb, a, lda,
                            beta if first else one, c, ldc)
        else:
            status = c_gemm(ta, tb, p.m, p.n, p.k, one, a, lda, b, ldb,
                            beta if first else one, c, ldc)
        if status != 0:
            return status
        i = ndim - 1
        while i >= 0:
            index[i] += 1
            a += p.a.batch[i]
            b += p.b.batch[i]
            c += p.c.batch[i]
            if index[i] < p.dims[i]:
                break
            a += -index[i] * p.a.batch[i]
            b += -index[i] * p.b.batch[i]
            c += -index[i] * p.c.batch[i]
            index[i] = 0
            i -= 1
        if i < 0:
            return 0


cdef int solve(Product *p, int typenum, bint accumulate) noexcept:
    # Run the product, without the GIL if it is long.
    cdef double work = <double>p.m * <double>p.n * <double>p.k
    cdef int i, status, slot = slot_of(typenum)
    for i in range(p.ndim):
        work *= p.dims[i]
    fold(p)
    if work < NOGIL_WORK:
        return run_slot(p, p.a.data, p.b.data, p.c.data, slot, accumulate)
    with nogil:
        status = run_slot(p, p.a.data, p.b.data, p.c.data, slot, accumulate)
    return status


cdef int run_slot(const Product *p, char *a, char *b, char *c, int slot,
                  bint accumulate) noexcept nogil:
    if slot == 0:
        return _run[float](p, <float *> a, <float *> b, <float *> c, accumulate)
    if slot == 1:
        return _run[double](p, <double *> a, <double *> b, <double *> c, accumulate)
    if slot == 2:
        return _run[floatcomplex](p, <float complex *> a, <float complex *> b,
                                  <float complex *> c, accumulate)
    return _run[doublecomplex](p, <double complex *> a, <double complex *> b,
                               <double complex *> c, accumulate)
