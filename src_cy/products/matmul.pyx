"""Matrix products and their vector-Jacobian products for every operand shape of ``np.matmul``.

Two matrices go straight to gemm (``_product_2d``). Everything else, forward or backward, is
described as one batched product of strided matrices and solved in ``strided.pyx``. Operands that
BLAS cannot read where they are (strides that are negative, zero or not 1 in either axis, foreign
byte order, no alignment) are copied first.
"""

cimport numpy as cnp

import numpy as np

from fastbp._core.buffers cimport new_array
from fastbp._core.blas cimport c_gemm, number
from fastbp._core.dtypes cimport dtype_of, is_complex, itemsize_of, promoted_of, slot_of
from fastbp._core.strided cimport MAX_BATCH, NOGIL_WORK, Matrix, Product, layout, solve
from fastbp._core.dtypes import conversion
from fastbp._core.operands import as_array
from fastbp.errors import DTypeError, ShapeError

cnp.import_array()


# ---- Shapes --------------------------------------------------------------------------------------

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


cdef int _read_shape(tuple shape, int lead, cnp.npy_intp *target) except -1:
    cdef Py_ssize_t i, size
    cdef Py_ssize_t ndim = len(shape)
    if lead != 0 and lead != 1:
        raise ValueError(f"matmul: lead must be 0 or 1, got {lead}")
    if ndim > MAX_BATCH - 1:
        raise ShapeError(f"matmul: a shape of {ndim} axes is too long")
    for i in range(ndim):
        size = shape[i]
        if size < 0:
            raise ShapeError(f"matmul: negative size in shape {shape}")
        target[i] = size
    return <int>ndim


# ---- Arrays --------------------------------------------------------------------------------------

cdef int _same_dtype(str name_x, cnp.ndarray x, str name_y, cnp.ndarray y) except -1:
    cdef int typenum = cnp.PyArray_TYPE(x)
    if slot_of(typenum) < 0 or typenum != cnp.PyArray_TYPE(y):
        raise DTypeError(
            f"matmul: {name_x} and {name_y} must be arrays of one dtype, float64, float32, "
            f"complex128 or complex64, got {x.dtype} and {y.dtype}"
        )
    return typenum


cdef cnp.ndarray _ready(cnp.ndarray x, bint rows, bint cols):
    # x itself if BLAS can read its matrices where they are, else a C-ordered native copy.
    cdef int ndim = cnp.PyArray_NDIM(x), i
    cdef Py_ssize_t item = cnp.PyArray_ITEMSIZE(x)
    cdef cnp.npy_intp *shape = cnp.PyArray_DIMS(x)
    cdef cnp.npy_intp *strides = cnp.PyArray_STRIDES(x)
    cdef Py_ssize_t m = 1, n = 1, row = 0, col = 0, ld
    cdef bint trans, ok = cnp.PyArray_ISBEHAVED_RO(x)
    for i in range(ndim):
        if shape[i] == 0:
            return x
        if strides[i] % item != 0 and shape[i] > 1:
            ok = False
    if cols:
        n, col = shape[ndim - 1], strides[ndim - 1]
    if rows:
        m, row = shape[ndim - 1 - cols], strides[ndim - 1 - cols]
    if ok and layout(m, n, row // item, col // item, &trans, &ld):
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
        return new_array(ndim, shape, typenum)
    if not isinstance(into, cnp.ndarray):
        raise TypeError(f"matmul: into must be an array, got {type(into).__name__}")
    out = into
    if cnp.PyArray_TYPE(out) != typenum or not cnp.PyArray_ISCARRAY(out):
        raise ValueError("matmul: into must be writable, C-contiguous and of the operands' dtype")
    if cnp.PyArray_NDIM(out) != ndim:
        raise ShapeError(f"matmul: into has shape {into.shape}, the result {ndim} axes")
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
    status = solve(p, typenum, accumulate)
    if status != 0:
        raise _too_large(p.m, p.k, p.n)
    return out


cdef object _too_large(Py_ssize_t m, Py_ssize_t k, Py_ssize_t n):
    return OverflowError(
        f"matmul: a size or stride of the product ({m}, {k}) @ ({k}, {n}) is too large for BLAS"
    )


# ---- Two matrices: the short way -----------------------------------------------------------------

cdef struct View:
    Py_ssize_t rows
    Py_ssize_t cols
    Py_ssize_t ld
    bint trans


cdef inline bint _view(cnp.ndarray x, Py_ssize_t item, View *v) noexcept:
    # Describe a non-empty matrix that BLAS can read where it is; False for anything else.
    if cnp.PyArray_NDIM(x) != 2 or not cnp.PyArray_ISBEHAVED_RO(x):
        return False
    v.rows, v.cols = cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1)
    cdef Py_ssize_t row = cnp.PyArray_STRIDE(x, 0), col = cnp.PyArray_STRIDE(x, 1)
    if v.rows == 0 or v.cols == 0 or ((row | col) & (item - 1)) != 0:
        return False
    return layout(v.rows, v.cols, row // item, col // item, &v.trans, &v.ld)


cdef object _product_2d(
    cnp.ndarray a, bint flip_a, cnp.ndarray b, bint flip_b, Py_ssize_t m, Py_ssize_t n, object into
):
    # op(a) @ op(b) of shape (m, n), or None where the general way must decide (or raise).
    cdef int typenum = cnp.PyArray_TYPE(a), status
    cdef Py_ssize_t item, k
    cdef View x, y
    if typenum != cnp.PyArray_TYPE(b) or slot_of(typenum) < 0:
        return None
    item = itemsize_of(typenum)
    if not _view(a, item, &x) or not _view(b, item, &y):
        return None
    k = x.rows if flip_a else x.cols
    if k != (y.cols if flip_b else y.rows) or m != (x.cols if flip_a else x.rows):
        return None
    if n != (y.rows if flip_b else y.cols):
        return None
    cdef cnp.npy_intp[2] shape = [m, n]
    cdef cnp.ndarray out = _output(shape, 2, typenum, into)
    cdef bint add = into is not None
    cdef void *pa = cnp.PyArray_DATA(a)
    cdef void *pb = cnp.PyArray_DATA(b)
    cdef void *pc = cnp.PyArray_DATA(out)
    cdef bint ta = x.trans != flip_a, tb = y.trans != flip_b
    if <double>m * <double>n * <double>k < NOGIL_WORK:
        status = _gemm_2d(typenum, ta, tb, m, n, k, pa, x.ld, pb, y.ld, add, pc)
    else:
        with nogil:
            status = _gemm_2d(typenum, ta, tb, m, n, k, pa, x.ld, pb, y.ld, add, pc)
    if status != 0:
        raise _too_large(m, k, n)
    return out


cdef inline int _gemm_2d(
    int typenum, bint ta, bint tb, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    void *a, Py_ssize_t lda, void *b, Py_ssize_t ldb, bint add, void *c,
) noexcept nogil:
    if typenum == cnp.NPY_DOUBLE:
        return _gemm(ta, tb, m, n, k, <double *>a, lda, <double *>b, ldb, add, <double *>c)
    if typenum == cnp.NPY_FLOAT:
        return _gemm(ta, tb, m, n, k, <float *>a, lda, <float *>b, ldb, add, <float *>c)
    if typenum == cnp.NPY_CDOUBLE:
        return _gemm(ta, tb, m, n, k, <double complex *>a, lda, <double complex *>b, ldb, add,
                     <double complex *>c)
    return _gemm(ta, tb, m, n, k, <float complex *>a, lda, <float complex *>b, ldb, add,
                 <float complex *>c)


cdef inline int _gemm(
    bint ta, bint tb, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, number *a, Py_ssize_t lda,
    number *b, Py_ssize_t ldb, bint add, number *c,
) noexcept nogil:
    cdef number one = 1, beta = add
    return c_gemm(ta, tb, m, n, k, one, a, lda, b, ldb, beta, c, n)


# ---- C interface ---------------------------------------------------------------------------------

cdef object c_matmul(cnp.ndarray a, cnp.ndarray b):
    if cnp.PyArray_NDIM(a) == 2 and cnp.PyArray_NDIM(b) == 2:
        result = _product_2d(a, False, b, False, cnp.PyArray_DIM(a, 0), cnp.PyArray_DIM(b, 1), None)
        if result is not None:
            return result
    return _matmul(a, b)


cdef object _matmul(cnp.ndarray a, cnp.ndarray b):
    cdef int typenum = _same_dtype("a", a, "b", b), ndim, i
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
    if lead == 0 and len(a_shape) == 2:
        result = _product_2d(g, False, b, True, a_shape[0], a_shape[1], into)
        if result is not None:
            return result
    return _vjp_a(g, b, a_shape, lead, into)


cdef object _vjp_a(cnp.ndarray g, cnp.ndarray b, tuple a_shape, int lead, object into):
    # a_bar (m, k) = g (m, n) @ b.T (n, k)
    cdef int typenum = _same_dtype("g", g, "b", b), ndim
    cdef Shapes s
    cdef Product p
    cdef cnp.npy_intp shape[MAX_BATCH + 2]
    ndim = _read_shape(a_shape, lead, shape + 1)
    if not _resolve(&s, shape + 1, ndim, cnp.PyArray_DIMS(b), cnp.PyArray_NDIM(b)):
        raise _misfit(a_shape, (<object>b).shape)
    _start_vjp(&p, &s, g, lead)
    shape[0] = p.dims[0]  # K, if there is a leading axis
    cdef cnp.ndarray out = _output(shape + 1 - lead, ndim + lead, typenum, into)
    g = _ready(g, s.rows, s.cols)
    b = _ready(b, True, s.cols)
    p.m, p.n, p.k = s.m, s.k, s.n
    _load(&p.a, g, p.ndim, lead, s.rows, s.cols, False)
    _load(&p.b, b, p.ndim, False, True, s.cols, True)
    _load(&p.c, out, p.ndim, lead, s.rows, True, False)
    return _finish(&p, out, typenum, into is not None)


cdef object c_matmul_vjp_b(cnp.ndarray g, cnp.ndarray a, tuple b_shape, int lead, object into):
    if lead == 0 and len(b_shape) == 2:
        result = _product_2d(a, True, g, False, b_shape[0], b_shape[1], into)
        if result is not None:
            return result
    return _vjp_b(g, a, b_shape, lead, into)


cdef object _vjp_b(cnp.ndarray g, cnp.ndarray a, tuple b_shape, int lead, object into):
    # b_bar (k, n) = a.T (k, m) @ g (m, n)
    cdef int typenum = _same_dtype("g", g, "a", a), ndim
    cdef Shapes s
    cdef Product p
    cdef cnp.npy_intp shape[MAX_BATCH + 2]
    ndim = _read_shape(b_shape, lead, shape + 1)
    if not _resolve(&s, cnp.PyArray_DIMS(a), cnp.PyArray_NDIM(a), shape + 1, ndim):
        raise _misfit((<object>a).shape, b_shape)
    _start_vjp(&p, &s, g, lead)
    shape[0] = p.dims[0]  # K, if there is a leading axis
    cdef cnp.ndarray out = _output(shape + 1 - lead, ndim + lead, typenum, into)
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
    # Check g's shape against the product's, and set the batch axes of the problem.
    cdef cnp.npy_intp shape[MAX_BATCH + 2]
    cdef int ndim = _product_shape(s, shape), i
    cdef bint ok = cnp.PyArray_NDIM(g) == ndim + lead
    if ok:
        for i in range(ndim):
            ok = ok and cnp.PyArray_DIM(g, lead + i) == shape[i]
    if not ok:
        want = tuple([shape[i] for i in range(ndim)])
        raise ShapeError(
            f"matmul: g of shape {(<object>g).shape} does not fit the product of shape {want}"
            + (" behind one leading axis" if lead else "")
        )
    p.ndim = s.ndim + lead
    p.dims[0] = cnp.PyArray_DIM(g, 0) if lead else 0
    for i in range(s.ndim):
        p.dims[lead + i] = s.batch[i]
    return 0


# ---- Python interface ----------------------------------------------------------------------------

cdef cnp.ndarray _operand(x, str name):
    if not cnp.PyArray_CheckExact(x):
        x = as_array(x, f"matmul: {name}")
    cdef cnp.ndarray array = x
    if slot_of(cnp.PyArray_TYPE(array)) < 0:
        raise DTypeError(f"matmul: {name} must be float64, float32, complex128 or complex64, "
                         f"got {array.dtype}{conversion(array.dtype, name)}")
    return array


cdef inline cnp.ndarray _cast(cnp.ndarray x, int typenum):
    return x if cnp.PyArray_TYPE(x) == typenum else cnp.PyArray_Cast(x, typenum)


cdef cnp.ndarray _back(cnp.ndarray x, int typenum):
    # A cotangent in the dtype of its operand: the real part, if that is real.
    if cnp.PyArray_TYPE(x) == typenum:
        return x
    if is_complex(cnp.PyArray_TYPE(x)) and not is_complex(typenum):
        return (<object>x).real.astype(dtype_of(typenum), order="C")
    return cnp.PyArray_Cast(x, typenum)


def matmul(a, b):
    """Multiply ``a @ b``, as ``np.matmul`` does.

    Parameters
    ----------
    a : array_like of float or complex numbers, shape (..., m, k) or (k,)
    b : array_like of float or complex numbers, shape (..., k, n) or (k,)

    Returns
    -------
    ndarray, shape (..., m, n), without m or n for a vector operand
        C-ordered. If the dtypes differ, of the one that NumPy's promotion gives.

    Raises
    ------
    ShapeError
        If ``np.matmul`` refuses the shapes.
    DTypeError
        If an operand is not float32, float64, complex64 or complex128.
    """
    cdef cnp.ndarray x = _operand(a, "a"), y = _operand(b, "b")
    cdef int typenum = promoted_of(cnp.PyArray_TYPE(x), cnp.PyArray_TYPE(y))
    return c_matmul(_cast(x, typenum), _cast(y, typenum))


def matmul_vjp(g, a, b):
    """Pull the cotangent `g` of ``a @ b`` back to both operands, without a graph.

    Parameters
    ----------
    g : array_like of float or complex numbers, shape of ``np.matmul(a, b)``
        Cotangent of the product.
    a : array_like of float or complex numbers, shape (..., m, k) or (k,)
    b : array_like of float or complex numbers, shape (..., k, n) or (k,)

    Returns
    -------
    a_bar : ndarray of the dtype and shape of `a`
        ``g @ b.T``, summed over the batch axes along which `a` was broadcast.
    b_bar : ndarray of the dtype and shape of `b`
        ``a.T @ g``, likewise.

    Raises
    ------
    ShapeError
        If ``np.matmul`` refuses the shapes of `a` and `b`, or `g` has not their product's shape.
    DTypeError
        If an argument is not float32, float64, complex64 or complex128.

    Notes
    -----
    Costs two matrix products, 4*m*n*k flops a matrix. If the dtypes differ, computes in the one
    that NumPy's promotion gives. Complex cotangents are pulled back by the plain transpose, without
    conjugation; the cotangent of a real operand is the real part.

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
    cdef cnp.ndarray w = _operand(g, "g"), x = _operand(a, "a"), y = _operand(b, "b")
    cdef int type_x = cnp.PyArray_TYPE(x), type_y = cnp.PyArray_TYPE(y)
    cdef int typenum = promoted_of(promoted_of(type_x, type_y), cnp.PyArray_TYPE(w))
    w, x, y = _cast(w, typenum), _cast(x, typenum), _cast(y, typenum)
    a_bar = b_bar = None
    if cnp.PyArray_NDIM(x) == 2 and cnp.PyArray_NDIM(y) == 2:
        a_bar = _product_2d(w, False, y, True, cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1), None)
        b_bar = _product_2d(x, True, w, False, cnp.PyArray_DIM(y, 0), cnp.PyArray_DIM(y, 1), None)
    if a_bar is None or b_bar is None:
        a_bar = _vjp_a(w, y, (<object>x).shape, 0, None)
        b_bar = _vjp_b(w, x, (<object>y).shape, 0, None)
    return _back(a_bar, type_x), _back(b_bar, type_y)


cdef int _refuse_overlap(into, x, y) except -1:
    if isinstance(into, cnp.ndarray) and (np.shares_memory(into, x) or np.shares_memory(into, y)):
        raise ValueError("matmul: into overlaps an operand")
    return 0


def matmul_vjp_a(g, b, tuple a_shape not None, int lead=0, into=None):
    """Return the cotangent of `a` in ``a @ b``; with ``lead=1``, of each ``g[0], g[1], ...``.

    Added to `into`, if given: a C-contiguous array of the cotangent's shape and dtype.
    """
    cdef cnp.ndarray x = _operand(g, "g"), y = _operand(b, "b")
    _refuse_overlap(into, x, y)
    return c_matmul_vjp_a(x, y, a_shape, lead, into)


def matmul_vjp_b(g, a, tuple b_shape not None, int lead=0, into=None):
    """Return the cotangent of `b` in ``a @ b``; with ``lead=1``, of each ``g[0], g[1], ...``.

    Added to `into`, if given: a C-contiguous array of the cotangent's shape and dtype.
    """
    cdef cnp.ndarray x = _operand(g, "g"), y = _operand(a, "a")
    _refuse_overlap(into, x, y)
    return c_matmul_vjp_b(x, y, b_shape, lead, into)
