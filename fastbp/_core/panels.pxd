# Products with one matrix prepared as panels of 16 columns, which are read from the first level
# cache: the C interface of fastbp._core.panels. Row-major; the conventions of blas.pxd.
from cython cimport floating

cdef enum:
    PIECE = 4096            # elements of a matrix too small to be worth packing
    FEW = 32                # rows from which on packing pays

# The number of elements of a matrix with k rows and n columns, packed.
cdef Py_ssize_t packed_size(Py_ssize_t k, Py_ssize_t n) noexcept nogil

# Whether panels are faster than BLAS here: a property of the processor.
cdef bint panels_pay() noexcept nogil

# Pack op(b) (k, n).
cdef void pack(bint trans_b, Py_ssize_t k, Py_ssize_t n, const floating *b, Py_ssize_t ldb,
               floating *packed) noexcept nogil

# c (m, n) = a (m, k) @ packed + beta * c; large ones on the pool of threads (threads.h).
cdef void packed_product(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const floating *a, Py_ssize_t lda,
    const floating *packed, floating beta, floating *c, Py_ssize_t ldc) noexcept nogil

# The number of elements of the scratch that `packed_inner` needs for n columns.
cdef Py_ssize_t inner_scratch(Py_ssize_t n) noexcept nogil

# c (m, n) += a.T @ b, where a is (k, m) and b (k, n); large ones on the pool of threads.
cdef void packed_inner(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const floating *a, Py_ssize_t lda,
    const floating *b, Py_ssize_t ldb, floating *c, Py_ssize_t ldc, floating *scratch,
) noexcept nogil

# Either of the above, or c_gemm, whichever is faster for these sizes: c = a @ op(b) + beta * c, and
# c += a.T @ b. `scratch` holds as many elements as `rows_scratch` says of op(b) (k, n), or c.
cdef Py_ssize_t rows_scratch(Py_ssize_t k, Py_ssize_t n) noexcept nogil
cdef void rows_product(
    bint trans_b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const floating *a, Py_ssize_t lda,
    const floating *b, Py_ssize_t ldb, floating beta, floating *c, Py_ssize_t ldc,
    floating *scratch) noexcept nogil
cdef void inner_product(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const floating *a, Py_ssize_t lda,
    const floating *b, Py_ssize_t ldb, floating *c, Py_ssize_t ldc, floating *scratch,
) noexcept nogil
