"""Matrix products and their vector-Jacobian products for every operand shape that ``np.matmul`` takes.

Every product here, forward or backward, is one strided problem: ``c[batch, i, j] (+)= sum_p a[batch, i, p] *
b[batch, p, j]``, where a batch axis may have stride 0 in an operand (it is broadcast) or in ``c`` (it is summed
over). Batch axes are first folded into i, j or p wherever the strides allow one larger gemm; the rest is a loop.
"""

cimport numpy as cnp

import numpy as np

from cython cimport floating

from fastbp._core.blas cimport c_gemm
from fastbp.errors import DTypeError, ShapeError

cnp.import_array()

cdef enum:
    MAX_BATCH = 65  # NumPy's 64 axes and the leading one of a block of cotangents
    BLAS_MAX = 2147483647  # no fold makes a size that a 32-bit BLAS refuses

# Releasing the GIL costs about 50 ns: below this many multiplications (about 2 us of work) it is kept.
cdef double NOGIL_WORK = 1 << 15


# ---- The strided problem ---------------------------------------------------------------------------

cdef struct Matrix:
    # A stack of matrices; strides in elements, 0 for an axis that is absent or broadcast.
    char *data
    Py_ssize_t row
    Py_ssize_t col
    Py_ssize_t batch[MAX_BATCH]


cdef struct Product:
    int ndim  # of the batch
    Py_ssize_t dims[MAX_BATCH]
    Py_ssize_t m
    Py_ssize_t n
    Py_ssize_t k
    Matrix a
    Matrix b
    Matrix c


cdef inline bint _layout(
    Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t row, Py_ssize_t col, bint *trans, Py_ssize_t *ld
) noexcept nogil:
    # How BLAS can read the matrix: as it is, as the transpose of a row-major one, or (False) not at all.
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
    return _layout(rows, cols, row, col, &trans, &ld)


cdef inline bint _mergeable(Py_ssize_t size, Py_ssize_t inner, Py_ssize_t outer) noexcept nogil:
    # Does an axis of `size` and stride `inner` continue in the axis of stride `outer` around it?
    return size == 1 or outer == size * inner


cdef bint _fold_axis(Product *p, int axis) noexcept nogil:
    # Merge one batch axis into k (a sum over the batch becomes part of the contraction), m or n.
    cdef Py_ssize_t size = p.dims[axis]
    cdef Py_ssize_t da = p.a.batch[axis], db = p.b.batch[axis], dc = p.c.batch[axis]
    cdef Py_ssize_t s, t
    if dc == 0 and p.k <= BLAS_MAX // size:
        if _mergeable(p.k, p.a.col, da) and _mergeable(p.k, p.b.row, db):
            s = da if p.k == 1 else p.a.col
            t = db if p.k == 1 else p.b.row
            if _is_layout(p.m, p.k * size, p.a.row, s) and _is_layout(p.k * size, p.n, t, p.b.col):
                p.k, p.a.col, p.b.row = p.k * size, s, t
                return True
    if db == 0 and p.m <= BLAS_MAX // size:
        if _mergeable(p.m, p.a.row, da) and _mergeable(p.m, p.c.row, dc):
            s = da if p.m == 1 else p.a.row
            t = dc if p.m == 1 else p.c.row
            if _is_layout(p.m * size, p.k, s, p.a.col) and _is_layout(p.m * size, p.n, t, p.c.col):
                p.m, p.a.row, p.c.row = p.m * size, s, t
                return True
    if da == 0 and p.n <= BLAS_MAX // size:
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


cdef void _fold(Product *p) noexcept nogil:
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


cdef int _gemm_slice(
    Product *p, floating *a, floating *b, floating beta, floating *c
) noexcept nogil:
    cdef bint ta, tb, tc
    cdef Py_ssize_t lda, ldb, ldc
    _layout(p.m, p.k, p.a.row, p.a.col, &ta, &lda)
    _layout(p.k, p.n, p.b.row, p.b.col, &tb, &ldb)
    _layout(p.m, p.n, p.c.row, p.c.col, &tc, &ldc)
    cdef floating one = 1
    if tc:  # c.T = b.T @ a.T
        return c_gemm(not tb, not ta, p.n, p.m, p.k, one, b, ldb, a, lda, beta, c, ldc)
    return c_gemm(ta, tb, p.m, p.n, p.k, one, a, lda, b, ldb, beta, c, ldc)


cdef int _run(Product *p, floating beta) noexcept nogil:
    # All layouts are BLAS's and no size is 0. beta applies to the first term of a sum over the batch.
    cdef floating *a = <floating *>p.a.data
    cdef floating *b = <floating *>p.b.data
    cdef floating *c = <floating *>p.c.data
    cdef floating one = 1
    cdef Py_ssize_t index[MAX_BATCH]
    cdef int i, status
    cdef bint first
    _fold(p)
    for i in range(p.ndim):
        index[i] = 0
    while True:
        first = True
        for i in range(p.ndim):
            if p.c.batch[i] == 0 and index[i] != 0:
                first = False
        status = _gemm_slice(p, a, b, beta if first else one, c)
        if status != 0:
            return status
        i = p.ndim - 1
        while i >= 0:
            index[i] += 1
            a += p.a.batch[i]
            b += p.b.batch[i]
            c += p.c.batch[i]
            if index[i] < p.dims[i]:
                break
            a -= p.a.batch[i] * index[i]
            b -= p.b.batch[i] * index[i]
            c -= p.c.batch[i] * index[i]
            index[i] = 0
            i -= 1
        if i < 0:
            return 0


cdef int _solve(Product *p, int typenum, bint accumulate) noexcept:
    # Run the product, without the GIL if it is long.
    cdef double work = <double>p.m * <double>p.n * <double>p.k
    cdef int i, status
    for i in range(p.ndim):
        work *= p.dims[i]
    if typenum == cnp.NPY_DOUBLE:
        if work < NOGIL_WORK:
            return _run[double](p, 1.0 if accumulate else 0.0)
        with nogil:
            status = _run[double](p, 1.0 if accumulate else 0.0)
    else:
        if work < NOGIL_WORK:
            return _run[float](p, 1.0 if accumulate else 0.0)
        with nogil:
            status = _run[float](p, 1.0 if accumulate else 0.0)
    return status


# ---- Shapes ----------------------------------------------------------------------------------------

cdef struct Shapes:
    # a (batch, m, k) @ b (batch, k, n); a vector operand has m = 1 (n = 1) and no such axis.
    int ndim  # of the broadcast batch
    Py_ssize_t batch[MAX_BATCH]
    Py_ssize_t m
    Py_ssize_t n
    Py_ssize_t k
    bint rows  # a is not a vector: the product has the axis m
    bint cols


cdef bint _resolve(
    Shapes *s, const cnp.npy_intp *a, int ndim_a, const cnp.npy_intp *b, int ndim_b
) noexcept nogil:
    # np.matmul's shape rule; False if it refuses.
    cdef int i, batch_a, batch_b
    cdef Py_ssize_t x, y
    if ndim_a < 1 or ndim_b < 1:
        return False
    s.rows, s.cols = ndim_a > 1, ndim_b > 1
    s.m = a[ndim_a - 2] if s.rows else 1
    s.n = b[ndim_b - 1] if s.cols else 1
    s.k = a[ndim_a - 1]
    if s.k != b[ndim_b - 2 if s.cols else 0]:
        return False
    batch_a, batch_b = max(ndim_a - 2, 0), max(ndim_b - 2, 0)
    s.ndim = max(batch_a, batch_b)
    for i in range(s.ndim):
        x = a[i - s.ndim + batch_a] if i >= s.ndim - batch_a else 1
        y = b[i - s.ndim + batch_b] if i >= s.ndim - batch_b else 1
        if x != y and x != 1 and y != 1:
            return False
        s.batch[i] = y if x == 1 else x
    return True


cdef int _product_shape(Shapes *s, cnp.npy_intp *shape) noexcept nogil:
    # Write the shape of a @ b, return its length.
    cdef int i, ndim = s.ndim
    for i in range(ndim):
        shape[i] = s.batch[i]
    if s.rows:
        shape[ndim] = s.m
        ndim += 1
    if s.cols:
        shape[ndim] = s.n
        ndim += 1
    return ndim


cdef int _read_shape(tuple shape, cnp.npy_intp *target) except -1:
    cdef Py_ssize_t i, size
    cdef Py_ssize_t ndim = len(shape)
    if ndim > MAX_BATCH - 1:
        raise ShapeError(f"matmul: a shape of {ndim} axes is too long")
    for i in range(ndim):
        size = shape[i]
        if size < 0:
            raise ShapeError(f"matmul: negative size in shape {shape}")
        target[i] = size
    return <int>ndim


# ---- Arrays ----------------------------------------------------------------------------------------

cdef inline bint _is_float(int typenum) noexcept nogil:
    return typenum == cnp.NPY_DOUBLE or typenum == cnp.NPY_FLOAT


cdef int _same_float(str name_x, cnp.ndarray x, str name_y, cnp.ndarray y) except -1:
    cdef int typenum = cnp.PyArray_TYPE(x)
    if not _is_float(typenum) or typenum != cnp.PyArray_TYPE(y):
        raise DTypeError(
            f"matmul: {name_x} and {name_y} must be float32 or float64 arrays of one dtype, "
            f"got {x.dtype} and {y.dtype}"
        )
    return typenum


cdef cnp.ndarray _ready(cnp.ndarray x, bint rows, bint cols):
    # x itself if BLAS can read its matrices where they are, else a C-ordered native copy.
    cdef int ndim = cnp.PyArray_NDIM(x), i
    cdef Py_ssize_t item = cnp.PyArray_ITEMSIZE(x)
    cdef cnp.npy_intp *shape = cnp.PyArray_DIMS(x)
    cdef cnp.npy_intp *strides = cnp.PyArray_STRIDES(x)
    cdef Py_ssize_t m = 1, n = 1, row = 0, col = 0
    cdef bint ok = cnp.PyArray_ISBEHAVED_RO(x)
    for i in range(ndim):
        if shape[i] == 0:
            return x
        if strides[i] % item != 0 and shape[i] > 1:
            ok = False
    if cols:
        n, col = shape[ndim - 1], strides[ndim - 1]
    if rows:
        m, row = shape[ndim - 1 - cols], strides[ndim - 1 - cols]
    if ok and _is_layout(m, n, row // item, col // item):
        return x
    return cnp.PyArray_FROM_OTF(
        x, cnp.PyArray_TYPE(x), cnp.NPY_ARRAY_CARRAY_RO | cnp.NPY_ARRAY_ENSURECOPY
    )


cdef void _load(
    Matrix *target, cnp.ndarray x, int batch_ndim, bint lead, bint rows, bint cols, bint trans
) noexcept:
    # Describe x (lead, batch, row, col) in a problem of batch_ndim axes, missing axes broadcast.
    cdef int ndim = cnp.PyArray_NDIM(x), i
    cdef Py_ssize_t item = cnp.PyArray_ITEMSIZE(x)
    cdef cnp.npy_intp *shape = cnp.PyArray_DIMS(x)
    cdef cnp.npy_intp *strides = cnp.PyArray_STRIDES(x)
    cdef int inner = ndim - rows - cols - lead
    cdef Py_ssize_t row = strides[ndim - 1 - cols] // item if rows else 0
    cdef Py_ssize_t col = strides[ndim - 1] // item if cols else 0
    target.data = cnp.PyArray_BYTES(x)
    target.row = col if trans else row
    target.col = row if trans else col
    for i in range(batch_ndim):
        target.batch[i] = 0
    if lead:
        target.batch[0] = strides[0] // item
    for i in range(inner):
        if shape[lead + i] != 1:
            target.batch[batch_ndim - inner + i] = strides[lead + i] // item


cdef cnp.ndarray _output(cnp.npy_intp *shape, int ndim, int typenum, object into):
    cdef cnp.ndarray out
    cdef int i
    if into is None:
        if ndim > MAX_BATCH - 1:
            raise ShapeError(f"matmul: a result of {ndim} axes is too large for NumPy")
        return cnp.PyArray_EMPTY(ndim, shape, typenum, 0)
    if not isinstance(into, cnp.ndarray):
        raise TypeError(f"matmul: into must be an array, got {type(into).__name__}")
    out = into
    if cnp.PyArray_TYPE(out) != typenum or not cnp.PyArray_ISCARRAY(out):
        raise ValueError(
            f"matmul: into must be a writable C-contiguous array of the result's dtype, got {out.dtype}"
        )
    if cnp.PyArray_NDIM(out) != ndim:
        raise ShapeError(f"matmul: into has shape {into.shape}, the result has {ndim} axes")
    for i in range(ndim):
        if cnp.PyArray_DIM(out, i) != shape[i]:
            raise ShapeError(f"matmul: into has shape {into.shape}, axis {i} must be {shape[i]}")
    return out


cdef object _finish(Product *p, cnp.ndarray out, int typenum, bint accumulate):
    # Run the product into out, which p.c describes.
    cdef int i, status
    cdef bint empty = p.m == 0 or p.n == 0 or p.k == 0
    for i in range(p.ndim):
        empty = empty or p.dims[i] == 0
    if empty:  # nothing to add up; out itself may still have elements
        if not accumulate:
            cnp.PyArray_FILLWBYTE(out, 0)
        return out
    status = _solve(p, typenum, accumulate)
    if status != 0:
        raise OverflowError(f"matmul: a size of the product ({p.m}, {p.k}) @ ({p.k}, {p.n}) does not fit BLAS")
    return out


# ---- C interface -----------------------------------------------------------------------------------

cdef object c_matmul(cnp.ndarray a, cnp.ndarray b):
    cdef int typenum = _same_float("a", a, "b", b), ndim, i
    cdef Shapes s
    cdef Product p
    cdef cnp.npy_intp shape[MAX_BATCH + 2]
    if not _resolve(&s, cnp.PyArray_DIMS(a), cnp.PyArray_NDIM(a),
                    cnp.PyArray_DIMS(b), cnp.PyArray_NDIM(b)):
        raise _misfit((<object>a).shape, (<object>b).shape)
    ndim = _product_shape(&s, shape)
    cdef cnp.ndarray out = _output(shape, ndim, typenum, None)
    a = _ready(a, s.rows, True)
    b = _ready(b, True, s.cols)
    p.ndim, p.m, p.n, p.k = s.ndim, s.m, s.n, s.k
    for i in range(s.ndim):
        p.dims[i] = s.batch[i]
    _load(&p.a, a, s.ndim, False, s.rows, True, False)
    _load(&p.b, b, s.ndim, False, True, s.cols, False)
    _load(&p.c, out, s.ndim, False, s.rows, s.cols, False)
    return _finish(&p, out, typenum, False)


cdef object c_matmul_vjp_a(cnp.ndarray g, cnp.ndarray b, tuple a_shape, int lead, object into):
    # a_bar (m, k) = g (m, n) @ b.T (n, k)
    cdef int typenum = _same_float("g", g, "b", b), ndim
    cdef Shapes s
    cdef Product p
    cdef cnp.npy_intp shape[MAX_BATCH + 2]
    ndim = _read_shape(a_shape, shape + lead)
    if not _resolve(&s, shape + lead, ndim, cnp.PyArray_DIMS(b), cnp.PyArray_NDIM(b)):
        raise _misfit(a_shape, (<object>b).shape)
    _start_vjp(&p, &s, g, lead)
    shape[0] = p.dims[0] if lead else shape[0]
    cdef cnp.ndarray out = _output(shape, ndim + lead, typenum, into)
    g = _ready(g, s.rows, s.cols)
    b = _ready(b, True, s.cols)
    p.m, p.n, p.k = s.m, s.k, s.n
    _load(&p.a, g, p.ndim, lead, s.rows, s.cols, False)
    _load(&p.b, b, p.ndim, False, True, s.cols, True)
    _load(&p.c, out, p.ndim, lead, s.rows, True, False)
    return _finish(&p, out, typenum, into is not None)


cdef object c_matmul_vjp_b(cnp.ndarray g, cnp.ndarray a, tuple b_shape, int lead, object into):
    # b_bar (k, n) = a.T (k, m) @ g (m, n)
    cdef int typenum = _same_float("g", g, "a", a), ndim
    cdef Shapes s
    cdef Product p
    cdef cnp.npy_intp shape[MAX_BATCH + 2]
    ndim = _read_shape(b_shape, shape + lead)
    if not _resolve(&s, cnp.PyArray_DIMS(a), cnp.PyArray_NDIM(a), shape + lead, ndim):
        raise _misfit((<object>a).shape, b_shape)
    _start_vjp(&p, &s, g, lead)
    shape[0] = p.dims[0] if lead else shape[0]
    cdef cnp.ndarray out = _output(shape, ndim + lead, typenum, into)
    g = _ready(g, s.rows, s.cols)
    a = _ready(a, s.rows, True)
    p.m, p.n, p.k = s.k, s.n, s.m
    _load(&p.a, a, p.ndim, False, s.rows, True, True)
    _load(&p.b, g, p.ndim, lead, s.rows, s.cols, False)
    _load(&p.c, out, p.ndim, lead, True, s.cols, False)
    return _finish(&p, out, typenum, into is not None)


cdef object _misfit(a_shape, b_shape):
    return ShapeError(f"matmul: operands of shapes {a_shape} and {b_shape} do not fit")


cdef int _start_vjp(Product *p, Shapes *s, cnp.ndarray g, int lead) except -1:
    # Check lead and g's shape against the product's, and set the batch axes of the problem.
    cdef cnp.npy_intp shape[MAX_BATCH + 2]
    cdef int ndim = _product_shape(s, shape), i
    cdef bint ok = lead == 0 or lead == 1
    if ok:
        ok = cnp.PyArray_NDIM(g) == ndim + lead
    if ok:
        for i in range(ndim):
            ok = ok and cnp.PyArray_DIM(g, lead + i) == shape[i]
    if not ok:
        want = tuple([shape[i] for i in range(ndim)])
        raise ShapeError(
            f"matmul: cotangent g of shape {(<object>g).shape} does not fit the product of shape {want}"
            + (" behind one leading axis" if lead else "")
        )
    p.ndim = s.ndim + lead
    if lead:
        p.dims[0] = cnp.PyArray_DIM(g, 0)
    for i in range(s.ndim):
        p.dims[lead + i] = s.batch[i]
    return 0


# ---- Python interface ------------------------------------------------------------------------------

cdef cnp.ndarray _as_float(x, str name):
    cdef cnp.ndarray array
    if isinstance(x, cnp.ndarray):
        array = x
    else:
        try:
            array = np.asarray(x)
        except ValueError as error:
            raise ShapeError(f"matmul: {name} is not an array: {error}") from error
    if not _is_float(cnp.PyArray_TYPE(array)):
        raise DTypeError(f"matmul: {name} must be float32 or float64, got {array.dtype}")
    return array


cdef inline cnp.ndarray _cast(cnp.ndarray x, int typenum):
    return x if cnp.PyArray_TYPE(x) == typenum else cnp.PyArray_Cast(x, typenum)


def matmul(a, b):
    """Multiply ``a @ b``, as ``np.matmul`` does.

    Parameters
    ----------
    a : array_like of float32 or float64, shape (..., m, k) or (k,)
    b : array_like of float32 or float64, shape (..., k, n) or (k,)

    Returns
    -------
    ndarray, shape (..., m, n), without m or n for a vector operand
        C-ordered. float64 if the dtypes differ.

    Raises
    ------
    ShapeError
        If ``np.matmul`` refuses the shapes.
    DTypeError
        If an operand is neither float32 nor float64.
    """
    cdef cnp.ndarray x = _as_float(a, "a"), y = _as_float(b, "b")
    if cnp.PyArray_TYPE(x) != cnp.PyArray_TYPE(y):
        x, y = _cast(x, cnp.NPY_DOUBLE), _cast(y, cnp.NPY_DOUBLE)
    return c_matmul(x, y)


def matmul_vjp(g, a, b):
    """Pull the cotangent `g` of ``a @ b`` back to both operands, without a graph.

    Parameters
    ----------
    g : array_like of float32 or float64, shape of ``np.matmul(a, b)``
        Cotangent of the product.
    a : array_like of float32 or float64, shape (..., m, k) or (k,)
    b : array_like of float32 or float64, shape (..., k, n) or (k,)

    Returns
    -------
    a_bar : ndarray of the dtype and shape of `a`
        ``g @ b.T``, summed over the batch axes along which `a` was broadcast.
    b_bar : ndarray of the dtype and shape of `b`
        ``a.T @ g``, likewise.

    Raises
    ------
    ShapeError
        If ``np.matmul`` refuses the shapes of `a` and `b`, or `g` has another shape than their product.
    DTypeError
        If an argument is neither float32 nor float64.

    Notes
    -----
    Costs two matrix products, 4*m*n*k flops a matrix. If the dtypes differ, computes in float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp._core.matmul import matmul_vjp
    >>> a_bar, b_bar = matmul_vjp(np.ones((2, 2)), np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> a_bar
    array([[3., 7.],
           [3., 7.]])
    >>> b_bar
    array([[1., 1.],
           [1., 1.]])
    """
    cdef cnp.ndarray w = _as_float(g, "g"), x = _as_float(a, "a"), y = _as_float(b, "b")
    cdef int type_x = cnp.PyArray_TYPE(x), type_y = cnp.PyArray_TYPE(y)
    if type_x != type_y or type_x != cnp.PyArray_TYPE(w):
        w, x, y = _cast(w, cnp.NPY_DOUBLE), _cast(x, cnp.NPY_DOUBLE), _cast(y, cnp.NPY_DOUBLE)
    a_bar = c_matmul_vjp_a(w, y, (<object>x).shape, 0, None)
    b_bar = c_matmul_vjp_b(w, x, (<object>y).shape, 0, None)
    return _cast(a_bar, type_x), _cast(b_bar, type_y)


def matmul_vjp_a(g, b, tuple a_shape not None, int lead=0):
    """Return the cotangent of `a` in ``a @ b``; with ``lead=1``, for a block of cotangents ``g[0], g[1], ...``."""
    return c_matmul_vjp_a(_as_float(g, "g"), _as_float(b, "b"), a_shape, lead, None)


def matmul_vjp_b(g, a, tuple b_shape not None, int lead=0):
    """Return the cotangent of `b` in ``a @ b``; with ``lead=1``, for a block of cotangents ``g[0], g[1], ...``."""
    return c_matmul_vjp_b(_as_float(g, "g"), _as_float(a, "a"), b_shape, lead, None)
