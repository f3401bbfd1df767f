# What Python calls: checks first, then the C layer. Included by blas.pyx.

# ---- Checks --------------------------------------------------------------------------------------

cdef cnp.ndarray _array(str op, str name, x, int ndim):
    # An aligned native array of ndim axes and a dtype with a slot, or an exception.
    if not isinstance(x, cnp.ndarray):
        raise TypeError(f"{op}: {name} must be an array, got {type(x).__name__}")
    cdef cnp.ndarray array = x
    if slot_of(cnp.PyArray_TYPE(array)) < 0:
        raise DTypeError(f"{op}: {name} must be float64, float32, complex128 or complex64, "
                         f"got {x.dtype}")
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
    # The slot of the dtype that all have.
    for x in arrays:
        if x.dtype.num != arrays[0].dtype.num:
            raise DTypeError(
                f"{op}: operands must have one dtype, got {[str(y.dtype) for y in arrays]}"
            )
    return slot_of(cnp.PyArray_TYPE(arrays[0]))


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


cdef int _check_scale(str op, str name, double complex scale, int slot) except -1:
    if scale.imag != 0 and slot < 2:
        raise DTypeError(f"{op}: {name} = {scale} is complex, the operands are real")
    return 0


cdef object _new_out(str op, tuple shape, cnp.ndarray like, double complex beta):
    if beta != 0:
        raise ValueError(f"{op}: beta = {beta} needs an array out to scale")
    return np.zeros(shape, like.dtype)


cdef int _check_status(str op, int status) except -1:
    if status == TOO_LARGE:
        raise OverflowError(f"{op}: a size or stride is above {BLAS_INT_MAX}, BLAS's limit")
    if status != OK:
        raise ValueError(f"{op}: a leading dimension or increment is not valid")
    return 0


# ---- One type ------------------------------------------------------------------------------------
# Arrays that were checked, for the type of alpha.

cdef inline number *_data(number kind, cnp.ndarray x) noexcept:
    return <number *>cnp.PyArray_DATA(x)


cdef int _gemm(
    bint trans_a, bint trans_b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    number alpha, cnp.ndarray a, cnp.ndarray b, number beta, cnp.ndarray c,
) noexcept:
    cdef number *pa = _data(alpha, a)
    cdef number *pb = _data(alpha, b)
    cdef number *pc = _data(alpha, c)
    cdef Py_ssize_t lda = _ld(a), ldb = _ld(b), ldc = _ld(c)
    cdef int status
    with nogil:
        status = c_gemm(trans_a, trans_b, m, n, k, alpha, pa, lda, pb, ldb, beta, pc, ldc)
    return status


cdef int _gemv(
    bint trans_a, Py_ssize_t m, Py_ssize_t n, number alpha, cnp.ndarray a, cnp.ndarray x,
    number beta, cnp.ndarray y,
) noexcept:
    return c_gemv(trans_a, m, n, alpha, _data(alpha, a), _ld(a), _data(alpha, x), _inc(x),
                  beta, _data(alpha, y), _inc(y))


cdef int _ger(
    Py_ssize_t m, Py_ssize_t n, number alpha, cnp.ndarray x, cnp.ndarray y, cnp.ndarray a
) noexcept:
    return c_ger(m, n, alpha, _data(alpha, x), _inc(x), _data(alpha, y), _inc(y),
                 _data(alpha, a), _ld(a))


cdef int _syrk(
    bint lower, bint trans_a, Py_ssize_t n, Py_ssize_t k, number alpha, cnp.ndarray a,
    number beta, cnp.ndarray c,
) noexcept:
    return c_syrk(lower, trans_a, n, k, alpha, _data(alpha, a), _ld(a),
                  beta, _data(alpha, c), _ld(c))


cdef int _dot(number *result, cnp.ndarray x, cnp.ndarray y) noexcept:
    return c_dot(cnp.PyArray_DIM(x, 0), <number *>cnp.PyArray_DATA(x), _inc(x),
                 <number *>cnp.PyArray_DATA(y), _inc(y), result)


cdef int _axpy(Py_ssize_t n, number alpha, cnp.ndarray x, cnp.ndarray y) noexcept:
    return c_axpy(n, alpha, _data(alpha, x), _inc(x), _data(alpha, y), _inc(y))


# ---- Functions -----------------------------------------------------------------------------------

def gemm(
    a, b, bint trans_a=False, bint trans_b=False, double complex alpha=1.0,
    double complex beta=0.0, out=None
):
    """Compute ``alpha * op(a) @ op(b) + beta * out``, where ``op`` transposes if its flag says so.

    Parameters
    ----------
    a : ndarray of float or complex numbers, shape (m, k), or (k, m) with `trans_a`
    b : ndarray of the dtype of `a`, shape (k, n), or (n, k) with `trans_b`
    trans_a, trans_b : bool
    alpha, beta : float, or complex for complex operands
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
        If a dtype is not native float32, float64, complex64 or complex128, the dtypes differ, or
        a factor is complex and the operands are real.
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
    cdef int slot = _one_dtype("gemm", (x, y, z)), status
    _fit("gemm", cnp.PyArray_DIM(y, trans_b) == k
         and cnp.PyArray_DIM(z, 0) == m and cnp.PyArray_DIM(z, 1) == n, (x, y, z))
    _check_out("gemm", "out", z, (x, y))
    _check_scale("gemm", "alpha", alpha, slot)
    _check_scale("gemm", "beta", beta, slot)
    if slot == 0:
        status = _gemm(trans_a, trans_b, m, n, k, <float>alpha.real, x, y, <float>beta.real, z)
    elif slot == 1:
        status = _gemm(trans_a, trans_b, m, n, k, alpha.real, x, y, beta.real, z)
    elif slot == 2:
        status = _gemm(trans_a, trans_b, m, n, k, <float complex>alpha, x, y,
                       <float complex>beta, z)
    else:
        status = _gemm(trans_a, trans_b, m, n, k, alpha, x, y, beta, z)
    _check_status("gemm", status)
    return out


def gemv(a, x, bint trans_a=False, double complex alpha=1.0, double complex beta=0.0, out=None):
    """Compute ``alpha * op(a) @ x + beta * out``, for vectors of any stride.

    Arguments and errors are those of `gemm`.

    Parameters
    ----------
    a : ndarray of float or complex numbers, shape (m, n)
    x : ndarray of the dtype of `a`, shape (n,), or (m,) with `trans_a`
    trans_a : bool
    alpha, beta : float, or complex for complex operands
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
    cdef int slot = _one_dtype("gemv", (p, q, r)), status
    _fit("gemv", cnp.PyArray_DIM(q, 0) == cols and cnp.PyArray_DIM(r, 0) == rows, (p, q, r))
    _check_out("gemv", "out", r, (p, q))
    _check_scale("gemv", "alpha", alpha, slot)
    _check_scale("gemv", "beta", beta, slot)
    if slot == 0:
        status = _gemv(trans_a, m, n, <float>alpha.real, p, q, <float>beta.real, r)
    elif slot == 1:
        status = _gemv(trans_a, m, n, alpha.real, p, q, beta.real, r)
    elif slot == 2:
        status = _gemv(trans_a, m, n, <float complex>alpha, p, q, <float complex>beta, r)
    else:
        status = _gemv(trans_a, m, n, alpha, p, q, beta, r)
    _check_status("gemv", status)
    return out


def ger(x, y, double complex alpha=1.0, out=None):
    """Add ``alpha * outer(x, y)`` to `out`. Errors as in `gemm`; vectors may have any stride.

    Parameters
    ----------
    x : ndarray of float or complex numbers, shape (m,)
    y : ndarray of the dtype of `x`, shape (n,)
    alpha : float, or complex for complex operands
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
    cdef int slot = _one_dtype("ger", (p, q, r)), status
    _fit("ger", cnp.PyArray_DIM(r, 0) == m and cnp.PyArray_DIM(r, 1) == n, (p, q, r))
    _check_out("ger", "out", r, (p, q))
    _check_scale("ger", "alpha", alpha, slot)
    if slot == 0:
        status = _ger(m, n, <float>alpha.real, p, q, r)
    elif slot == 1:
        status = _ger(m, n, alpha.real, p, q, r)
    elif slot == 2:
        status = _ger(m, n, <float complex>alpha, p, q, r)
    else:
        status = _ger(m, n, alpha, p, q, r)
    _check_status("ger", status)
    return out


def syrk(
    a, bint trans_a=False, bint lower=True, double complex alpha=1.0, double complex beta=0.0,
    out=None
):
    """Compute one triangle of ``alpha * op(a) @ op(a).T + beta * out``.

    Arguments and errors are those of `gemm`.

    Parameters
    ----------
    a : ndarray of float or complex numbers, shape (n, k), or (k, n) with `trans_a`
    trans_a : bool
    lower : bool
        Which triangle is written; the other keeps its values (zeros in a new array).
    alpha, beta : float, or complex for complex operands
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
    cdef int slot = _one_dtype("syrk", (p, r)), status
    _fit("syrk", cnp.PyArray_DIM(r, 0) == n and cnp.PyArray_DIM(r, 1) == n, (p, r))
    _check_out("syrk", "out", r, (p,))
    _check_scale("syrk", "alpha", alpha, slot)
    _check_scale("syrk", "beta", beta, slot)
    if slot == 0:
        status = _syrk(lower, trans_a, n, k, <float>alpha.real, p, <float>beta.real, r)
    elif slot == 1:
        status = _syrk(lower, trans_a, n, k, alpha.real, p, beta.real, r)
    elif slot == 2:
        status = _syrk(lower, trans_a, n, k, <float complex>alpha, p, <float complex>beta, r)
    else:
        status = _syrk(lower, trans_a, n, k, alpha, p, beta, r)
    _check_status("syrk", status)
    return out


def dot(x, y):
    """Return ``sum(x * y)``, summed in the dtype of the vectors. Errors as in `gemm`.

    Parameters
    ----------
    x : ndarray of float or complex numbers, shape (n,)
    y : ndarray of the dtype of `x`, shape (n,)

    Returns
    -------
    float or complex
    """
    cdef cnp.ndarray p = _vector("dot", "x", x), q = _vector("dot", "y", y)
    cdef Py_ssize_t n = cnp.PyArray_DIM(p, 0)
    cdef int slot = _one_dtype("dot", (p, q)), status
    cdef float f4
    cdef double f8
    cdef float complex c8
    cdef double complex c16
    _fit("dot", cnp.PyArray_DIM(q, 0) == n, (p, q))
    if slot == 0:
        status, result = _dot(&f4, p, q), f4
    elif slot == 1:
        status, result = _dot(&f8, p, q), f8
    elif slot == 2:
        status, result = _dot(&c8, p, q), c8
    else:
        status, result = _dot(&c16, p, q), c16
    _check_status("dot", status)
    return result


def axpy(x, out, double complex alpha=1.0):
    """Add ``alpha * x`` to `out` in place and return it. Errors as in `gemm`.

    Parameters
    ----------
    x : ndarray of float or complex numbers, shape (n,)
    out : ndarray of the dtype of `x`, shape (n,)
    alpha : float, or complex for complex operands

    Returns
    -------
    ndarray, shape (n,)
    """
    cdef cnp.ndarray p = _vector("axpy", "x", x), r = _vector("axpy", "out", out)
    cdef Py_ssize_t n = cnp.PyArray_DIM(p, 0)
    cdef int slot = _one_dtype("axpy", (p, r)), status
    _fit("axpy", cnp.PyArray_DIM(r, 0) == n, (p, r))
    _check_out("axpy", "out", r, (p,))
    _check_scale("axpy", "alpha", alpha, slot)
    if slot == 0:
        status = _axpy(n, <float>alpha.real, p, r)
    elif slot == 1:
        status = _axpy(n, alpha.real, p, r)
    elif slot == 2:
        status = _axpy(n, <float complex>alpha, p, r)
    else:
        status = _axpy(n, alpha, p, r)
    _check_status("axpy", status)
    return out
