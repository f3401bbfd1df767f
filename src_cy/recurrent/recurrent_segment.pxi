# What recurrent.pyx works on: the gate passes, a segment of a sequence, and the product of a step.

cdef extern from "recurrent_kernels.h" nogil:
    ctypedef struct recurrent_double:
        void (*activate)(int kind, ptrdiff_t n, double *x) noexcept nogil
        void (*activate_vjp)(int kind, ptrdiff_t n, const double *h, const double *g,
                             const double *h_bar, double *out) noexcept nogil
        void (*lstm)(ptrdiff_t n, double *gates, const double *c_prev, double *h) noexcept nogil
        void (*lstm_vjp)(ptrdiff_t n, const double *gates, const double *c_prev, const double *g,
                         const double *h_bar, double *c_bar, double *out) noexcept nogil
        void (*gru)(ptrdiff_t n, double *gates, const double *hw, const double *bias,
                    const double *h_prev, double *h) noexcept nogil
        void (*gru_vjp)(ptrdiff_t n, const double *gates, const double *h_prev, const double *g,
                        double *h_bar, double *out) noexcept nogil
        void (*vector)(ptrdiff_t n, ptrdiff_t k, const double *x, const double *b, int beta,
                       double *y) noexcept nogil
        void (*add_rows)(ptrdiff_t rows, ptrdiff_t n, ptrdiff_t ld, const double *x,
                         double *out) noexcept nogil
    ctypedef struct recurrent_float:
        void (*activate)(int kind, ptrdiff_t n, float *x) noexcept nogil
        void (*activate_vjp)(int kind, ptrdiff_t n, const float *h, const float *g,
                             const float *h_bar, float *out) noexcept nogil
        void (*lstm)(ptrdiff_t n, float *gates, const float *c_prev, float *h) noexcept nogil
        void (*lstm_vjp)(ptrdiff_t n, const float *gates, const float *c_prev, const float *g,
                         const float *h_bar, float *c_bar, float *out) noexcept nogil
        void (*gru)(ptrdiff_t n, float *gates, const float *hw, const float *bias,
                    const float *h_prev, float *h) noexcept nogil
        void (*gru_vjp)(ptrdiff_t n, const float *gates, const float *h_prev, const float *g,
                        float *h_bar, float *out) noexcept nogil
        void (*vector)(ptrdiff_t n, ptrdiff_t k, const float *x, const float *b, int beta,
                       float *y) noexcept nogil
        void (*add_rows)(ptrdiff_t rows, ptrdiff_t n, ptrdiff_t ld, const float *x,
                         float *out) noexcept nogil
    const recurrent_double *recurrent_d
    const recurrent_float *recurrent_f
    int recurrent_set_level(int level)

cdef enum Cell:
    RNN
    LSTM
    GRU

cdef enum:                  # how to multiply with W
    BLAS
    VECTOR                  # a batch of one: a loop of our own
    PANELS                  # W packed

cdef enum:
    LARGEST_VECTOR = 131072     # elements of W
    SMALLEST_PANELS = 512
    LINE = 64               # bytes
    FEW = 8                 # steps that do not pay for a copy
    TOGETHER = 8            # members of the batch that the kernel for products likes
    PARALLEL = 2097152      # multiplications, from here on on several threads

# One segment. Bars are NULL where no cotangent is wanted. Loops over the steps may see a part of
# it: `members` of the batch, with addresses of their own.
cdef struct Segment:
    int cell, kind, mode
    bint reverse
    Py_ssize_t steps, batch, members, m, n
    Py_ssize_t width        # columns of W and U
    Py_ssize_t saved_width, g_width
    Py_ssize_t first        # the step of the whole sequence that this segment begins with
    Py_ssize_t truncate     # 0: never
    const char *mask
    void *xs
    void *h_in
    void *c_in
    void *W
    void *U
    void *b
    void *c
    void *hs
    void *saved
    void *hw                # scratch (batch, width)
    void *scratch           # of the long products
    # backward
    void *g
    void *Wt                # the transpose of W, of its columns in the order of G
    void *G                 # (steps, batch, g_width): cotangents before the activations
    void *h_bar
    void *c_bar
    void *xs_bar
    void *W_bar
    void *U_bar
    void *b_bar
    void *bias_bar


# ---- products ----------------------------------------------------------------------------------

cdef int mode_of(Py_ssize_t batch, Py_ssize_t n, Py_ssize_t width) noexcept nogil:
    """How to multiply the state of one step with W."""
    if batch == 1 and n * width <= LARGEST_VECTOR:
        return VECTOR
    if batch > 1 and n * width >= SMALLEST_PANELS and panels_pay():
        return PANELS
    return BLAS


cdef inline void step_product(
    const Segment *s, Py_ssize_t n, Py_ssize_t k, const floating *a, Py_ssize_t lda,
    const floating *b, floating beta, floating *c, Py_ssize_t ldc,
) noexcept nogil:
    """c (members, n) = a (members, k) @ b (k, n) + beta * c; b as `prepared` returns it."""
    if s.mode == VECTOR:
        if floating is double:
            recurrent_d.vector(n, k, a, b, beta != 0, c)
        else:
            recurrent_f.vector(n, k, a, b, beta != 0, c)
    elif s.mode == PANELS:
        packed_product(s.members, n, k, a, lda, b, beta, c, ldc)
    else:
        c_gemm(False, False, s.members, n, k, <floating> 1, a, lda, b, n, beta, c, ldc)


cdef void *aligned(cnp.ndarray a) noexcept:
    """The first line of the cache in an array: vectors that cross none load twice as fast."""
    return <void *> ((<size_t> cnp.PyArray_DATA(a) + LINE - 1) & ~<size_t> (LINE - 1))


cdef cnp.ndarray prepared(const Segment *s, cnp.ndarray W, Py_ssize_t k, Py_ssize_t n,
                          const void *source, void **data):
    """A weight (k, n) for `step_product`, written to `data`; return what owns it, `W` or another.
    """
    cdef int typenum = cnp.PyArray_TYPE(W)
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(W)
    cdef cnp.ndarray owner
    data[0] = <void *> source
    if s.mode == BLAS or (s.mode == VECTOR and (<size_t> source % LINE == 0 or s.steps < FEW)):
        return W
    owner = new_matrix(1, packed_size(k, n) + LINE // itemsize, typenum)
    data[0] = aligned(owner)
    if s.mode == VECTOR:
        memcpy(data[0], source, k * n * itemsize)
    elif typenum == cnp.NPY_DOUBLE:
        pack[double](False, k, n, <const double *> source, n, <double *> data[0])
    else:
        pack[float](False, k, n, <const float *> source, n, <float *> data[0])
    return owner


cdef void transpose(Py_ssize_t rows, Py_ssize_t columns, const floating *x, Py_ssize_t ld,
                    floating *out) noexcept nogil:
    """out (columns, rows) = x.T, by tiles of 8 x 8."""
    cdef Py_ssize_t i, j, p, q
    for p in range(0, rows, 8):
        for q in range(0, columns, 8):
            for i in range(p, min(p + 8, rows)):
                for j in range(q, min(q + 8, columns)):
                    out[j * rows + i] = x[i * ld + j]


cdef cnp.ndarray transposed(const Segment *s, cnp.ndarray W, void **data):
    """The transpose of W as `prepared` returns a weight; for gru h_n stands before r and z."""
    cdef int typenum = cnp.PyArray_TYPE(W)
    cdef cnp.ndarray Wt = new_matrix(1, s.width * s.n + LINE // cnp.PyArray_ITEMSIZE(W), typenum)
    cdef void *to = aligned(Wt)
    cdef Py_ssize_t first = 2 * s.n if s.cell == GRU else 0
    if typenum == cnp.NPY_DOUBLE:
        transpose_from[double](s, first, <const double *> cnp.PyArray_DATA(W), <double *> to)
    else:
        transpose_from[float](s, first, <const float *> cnp.PyArray_DATA(W), <float *> to)
    return prepared(s, Wt, s.width, s.n, to, data)


cdef void transpose_from(const Segment *s, Py_ssize_t first, const floating *W,
                         floating *out) noexcept nogil:
    """The transpose of the columns of W from `first` on, and then of those in front."""
    transpose(s.n, s.width - first, W + first, s.width, out)
    transpose(s.n, first, W, s.width, out + (s.width - first) * s.n)
