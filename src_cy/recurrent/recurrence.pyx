"""Linear recurrences along rows: what the derivative of a cumulative product is."""

from fastbp.errors import ShapeError

ctypedef fused number:
    double
    float
    double complex
    float complex


cdef void c_recur(
    const number *a, const number *b, number *s, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t k
    cdef number previous = 0
    for k in range(n):
        previous = s[k] = a[k] * previous + b[k]


def recur(
    const number[:, ::1] a not None, const number[:, ::1] b not None,
    number[:, ::1] out not None
):
    """Solve ``s_k = a_k s_{k-1} + b_k`` with ``s_{-1} = 0`` in each row; all of one shape."""
    cdef Py_ssize_t i, rows = out.shape[0], n = out.shape[1]
    if a.shape[0] != rows or b.shape[0] != rows or a.shape[1] != n or b.shape[1] != n:
        raise ShapeError("recur: the operands are not of one shape")
    if rows == 0 or n == 0:
        return
    with nogil:
        for i in range(rows):
            c_recur(&a[0, 0] + i * n, &b[0, 0] + i * n, &out[0, 0] + i * n, n)
