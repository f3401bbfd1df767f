"""What a user of the C interface writes; test_blas.py compiles it against the installed package."""

from cython cimport doublecomplex, floating

from fastbp._core.blas cimport c_axpy, c_dot, c_gemm, c_gemv, c_ger, c_syrk


def gemm_f64(
    const double[:, ::1] a not None, const double[:, ::1] b not None, double[:, ::1] c not None
):
    """Write ``a @ b`` to `c` without the GIL, return the status."""
    cdef Py_ssize_t m = a.shape[0], k = a.shape[1], n = b.shape[1]
    cdef int status
    if b.shape[0] != k or c.shape[0] != m or c.shape[1] != n or m * k * n == 0:
        raise ValueError("shapes do not fit, or are empty")
    with nogil:
        status = c_gemm[double](
            False, False, m, n, k, 1.0, &a[0, 0], k, &b[0, 0], n, 0.0, &c[0, 0], n)
    return status


def gemm_f32(
    const float[:, ::1] a not None, const float[:, ::1] b not None, float[:, ::1] c not None
):
    """Write ``a @ b`` to `c` without the GIL, return the status."""
    cdef Py_ssize_t m = a.shape[0], k = a.shape[1], n = b.shape[1]
    cdef int status
    if b.shape[0] != k or c.shape[0] != m or c.shape[1] != n or m * k * n == 0:
        raise ValueError("shapes do not fit, or are empty")
    with nogil:
        status = c_gemm[float](
            False, False, m, n, k, 1.0, &a[0, 0], k, &b[0, 0], n, 0.0, &c[0, 0], n)
    return status


def gemm_c128(
    const double complex[:, ::1] a not None, const double complex[:, ::1] b not None,
    double complex[:, ::1] c not None
):
    """Write ``a @ b`` to `c` without the GIL, return the status."""
    cdef Py_ssize_t m = a.shape[0], k = a.shape[1], n = b.shape[1]
    cdef int status
    if b.shape[0] != k or c.shape[0] != m or c.shape[1] != n or m * k * n == 0:
        raise ValueError("shapes do not fit, or are empty")
    with nogil:
        status = c_gemm[doublecomplex](
            False, False, m, n, k, 1.0, &a[0, 0], k, &b[0, 0], n, 0.0, &c[0, 0], n)
    return status


def norm(floating[::1] x not None):
    """Return the squared norm of `x`: functions of fused types call those of their type."""
    cdef floating result
    if x.shape[0] == 0 or c_dot(x.shape[0], &x[0], 1, &x[0], 1, &result) != 0:
        raise ValueError("x is empty, or too large")
    return result


def statuses():
    """Return the status of calls whose sizes or layouts are refused; no pointer is read."""
    cdef double one[1]
    cdef double result[1]
    cdef Py_ssize_t huge = (<Py_ssize_t>1) << (8 * sizeof(Py_ssize_t) - 2)
    one[0] = result[0] = 1
    return {
        "gemm": c_gemm[double](
            False, False, huge, huge, huge, 1, one, huge, one, huge, 1, one, huge),
        "gemv": c_gemv[double](False, huge, huge, 1, one, huge, one, 1, 1, one, 1),
        "ger": c_ger[double](huge, huge, 1, one, 1, one, 1, one, huge),
        "syrk": c_syrk[double](True, False, huge, huge, 1, one, huge, 1, one, huge),
        "dot": c_dot[double](huge, one, 1, one, 1, result),
        "axpy": c_axpy[double](huge, 1, one, 1, one, 1),
        "gemm ld": c_gemm[double](False, False, 2, 2, 2, 1, one, 1, one, 1, 1, one, 1),
        "gemv inc": c_gemv[double](False, 1, 1, 1, one, 1, one, 0, 1, one, 1),
        "ger inc": c_ger[double](1, 1, 1, one, 0, one, 1, one, 1),
        "syrk ld": c_syrk[double](True, False, 2, 2, 1, one, 1, 1, one, 1),
        "dot inc": c_dot[double](1, one, 0, one, 1, result),
        "axpy inc": c_axpy[double](1, 1, one, 1, one, 0),
        "untouched": one[0] == 1 and result[0] == 1,
    }
