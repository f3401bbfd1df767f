# LAPACK on row-major matrices: the C interface of fastbp._core.lapack (internal).

from libc.stdint cimport intptr_t

cdef enum Routine:
    LU                  # a (n, n) -> factors in Fortran's order, pivots; singular ones too if LOOSE
    LU_SOLVE            # factors, pivots, b (n, k) -> x; TRANSPOSED
    INVERSE             # factors, pivots -> x
    DETERMINANT         # factors, pivots -> det ()
    SIGN_AND_LOG        # factors, pivots -> sign (), log ()
    COFACTORS           # a -> its cofactors, up to 3 x 3
    CHOLESKY            # a -> its lower triangular factor, from the lower triangle
    TRIANGLE_SOLVE      # a, b (n, k) -> x; LOWER, TRANSPOSED, UNIT
    EIGH                # a -> w (n), v; LOWER
    SVD                 # a (m, n) -> u, s, vh; FULL
    QR                  # a (m, n) -> q, r; FULL
    INDEPENDENT         # r -> r; fails where its diagonal has a zero, to rounding
    GAPS                # w (n) -> 1 / (w[j] - w[i]), 0 where i = j; fails where two are equal
    N_ROUTINES

cdef enum Flag:
    LOOSE = 1
    TRANSPOSED = 2
    LOWER = 4
    UNIT = 8
    FULL = 16

cdef enum:
    MAX_MATRICES = 4
    FAILED = 3          # a status: the routine cannot do this matrix

# A matrix, or a vector (col) or a number (neither): where it is, and its strides in elements.
cdef struct Strided:
    char *data
    Py_ssize_t row
    Py_ssize_t col

# Elements of LAPACK's workspaces.
cdef struct Rooms:
    Py_ssize_t number, real, integer

cdef struct Task:
    int routine, slot, flags
    Py_ssize_t m, n, k
    Rooms rooms

# Fill in a task and its rooms, which LAPACK is asked for; return the bytes of its workspace.
cdef Py_ssize_t fill_task(Task *t, routine, flags, int typenum, sizes) except -1

# Run a routine; operands first, then results, which are in C order unless said above, and share no
# memory with operands. Needs no GIL. Returns 0, FAILED, or a status of BLAS.
cdef int run_task(const Task *t, const Strided *x, char *work) noexcept nogil

# The same for a batch: `steps` has the strides in bytes of each operand and result, one after the
# other. Changes x, and changes it back where all goes well.
cdef int run_batch(const Task *t, Strided *x, int nd, const intptr_t *shape, const intptr_t *steps,
                   char *work) noexcept nogil

# How an operand or a result may lie: its sizes, the bytes of an element, and whether it must be in
# one piece (in the order that is its own), whatever its strides are said to be.
cdef bint layout_of(const Task *t, int which, Py_ssize_t *rows, Py_ssize_t *columns,
                    Py_ssize_t *item) noexcept nogil
cdef bint is_result(const Task *t, int which) noexcept nogil

cdef int count_of(int routine) noexcept nogil
