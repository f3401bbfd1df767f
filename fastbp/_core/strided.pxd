# Batched products of strided matrices: the C interface of fastbp._core.strided (internal;
# matmul.pyx uses it).

cdef enum:
    MAX_BATCH = 65  # NumPy's 64 axes and the leading one of a block of cotangents

cdef double NOGIL_WORK

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

# How BLAS can read the matrix of these strides (in elements): as it is (trans = False) or as the
# transpose of a row-major one (trans = True), with leading dimension ld. False: not at all.
cdef bint layout(
    Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t row, Py_ssize_t col, bint *trans, Py_ssize_t *ld
) noexcept nogil

# Run the product, adding to c if `accumulate`; the GIL must be held, and is released while a long
# one runs. All sizes must be positive and every matrix must have a layout. typenum is one that has
# a slot. Changes p. Returns c_gemm's status.
cdef int solve(Product *p, int typenum, bint accumulate) noexcept

# What `solve` does, in two steps: fold the batch into few and large products, which reads strides
# and sizes only; run it, on these data and without the GIL. `slot` is that of a dtype.
cdef void fold(Product *p) noexcept nogil
cdef int run_slot(const Product *p, char *a, char *b, char *c, int slot,
                  bint accumulate) noexcept nogil
