# Row-major BLAS for float32, float64, complex64 and complex128: the public C interface of
# fastbp._core.blas.
#
#     from fastbp._core.blas cimport c_gemm
#
# Conventions, the same for every function
# ----------------------------------------
# * Row-major: element (i, j) of a matrix x is x[i*ldx + j], and ldx >= max(1, number of stored
#   columns).
# * Flags: with trans_a, op(a) = a.T; the sizes m, n, k are always those of op(a) and op(b), and lda
#   is that of the matrix as it is stored. Nothing is ever copied for a transpose. Nothing is ever
#   conjugated: the transpose of a complex matrix is the plain one.
# * Vectors: x points at the first element; incx is in elements, may be negative, must not be 0.
# * beta = 0 overwrites the output without reading it, even if it holds NaN; alpha = 0 or an empty
#   contraction (k = 0) still writes beta*output; an empty output is left alone.
# * Aliasing: the output must not overlap an input. Inputs may overlap each other.
# * Threads: safe to call with or without the GIL, from any thread. Calls large enough for a
#   threaded BLAS to split take a process-wide lock (see blas.pyx).
# * Return value: 0, or 1 if a size does not fit the BLAS's integer, or 2 for a leading dimension or
#   increment that is not valid. When it is not 0, nothing was written.
ctypedef fused number:
    float
    double
    float complex
    double complex


# c (m, n) = alpha * op(a) (m, k) @ op(b) (k, n) + beta * c
cdef int c_gemm(
    bint trans_a, bint trans_b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
    number alpha, const number *a, Py_ssize_t lda, const number *b, Py_ssize_t ldb,
    number beta, number *c, Py_ssize_t ldc,
) noexcept nogil

# Sizes of a stack of small products, and strides in elements: along rows, columns, and from one
# product to the next. `turned`: the operands have changed places, c is written transposed.
cdef struct Few:
    Py_ssize_t count, m, n, k
    Py_ssize_t row_a, col_a, step_a, row_b, col_b, step_b, row_c, col_c, step_c
    bint turned

# c (m, n) = a (m, k) @ b (k, n), or added to c, for each of the stack, without checks. With
# step_c = 0 the products are summed. Only for real numbers, and for sizes, all positive, that
# `c_are_few` says True of. `few_of` makes a stack of one, whose count and steps can be set.
cdef bint c_are_few(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k) noexcept nogil
cdef Few few_of(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, Py_ssize_t row_a, Py_ssize_t col_a,
    Py_ssize_t row_b, Py_ssize_t col_b, Py_ssize_t row_c, Py_ssize_t col_c,
) noexcept nogil
cdef void c_few(
    const Few *few, const number *a, const number *b, number *c, bint accumulate
) noexcept nogil

# y = alpha * op(a) @ x + beta * y, where the matrix a as stored is (m, n)
cdef int c_gemv(
    bint trans_a, Py_ssize_t m, Py_ssize_t n,
    number alpha, const number *a, Py_ssize_t lda, const number *x, Py_ssize_t incx,
    number beta, number *y, Py_ssize_t incy,
) noexcept nogil

# a (m, n) += alpha * outer(x, y)
cdef int c_ger(
    Py_ssize_t m, Py_ssize_t n, number alpha, const number *x, Py_ssize_t incx,
    const number *y, Py_ssize_t incy, number *a, Py_ssize_t lda,
) noexcept nogil

# c (n, n) = alpha * op(a) (n, k) @ op(a).T + beta * c, only the lower (or upper) triangle of c
cdef int c_syrk(
    bint lower, bint trans_a, Py_ssize_t n, Py_ssize_t k,
    number alpha, const number *a, Py_ssize_t lda, number beta, number *c, Py_ssize_t ldc,
) noexcept nogil

# result[0] = sum_i x[i] * y[i]
cdef int c_dot(
    Py_ssize_t n, const number *x, Py_ssize_t incx, const number *y, Py_ssize_t incy,
    number *result,
) noexcept nogil

# y += alpha * x
cdef int c_axpy(
    Py_ssize_t n, number alpha, const number *x, Py_ssize_t incx,
    number *y, Py_ssize_t incy,
) noexcept nogil

# b (n, k) = inv(op(a)) @ b, where a (n, n) is a triangle of a matrix; its diagonal is 1 if unit,
# and must have no zero. The other triangle is not read.
cdef int c_trsm(
    bint lower, bint trans, bint unit, Py_ssize_t n, Py_ssize_t k,
    const number *a, Py_ssize_t lda, number *b, Py_ssize_t ldb,
) noexcept nogil

# What calls of LAPACK do around themselves: wait for the lock, if the work (in elements of a
# matrix, 8 times as many of complex numbers) is such that several threads may be used. Returns what
# `leave` is given.
cdef bint enter_level2(double work) noexcept nogil
cdef void leave(bint locked) noexcept nogil
