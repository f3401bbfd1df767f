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

# One segment. Bars are NULL where no cotangent is wanted.
cdef struct Segment:
    int cell, kind, mode
    bint reverse
    Py_ssize_t steps, batch, m, n
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
    """c (batch, n) = a (batch, k) @ b (k, n) + beta * c; b as `prepared` returns it."""
    if s.mode == VECTOR:
        if floating is double:
            recurrent_d.vector(n, k, a, b, beta != 0, c)
        else:
            recurrent_f.vector(n, k, a, b, beta != 0, c)
    elif s.mode == PANELS:
        packed_product(s.batch, n, k, a, lda, b, beta, c, ldc)
    else:
        c_gemm(False, False, s.batch, n, k, <floating> 1, a, lda, b, n, beta, c, ldc)


cdef cnp.ndarray prepared(const Segment *s, cnp.ndarray b):
    """A weight (k, n) for `step_product`."""
    cdef Py_ssize_t k = cnp.PyArray_DIM(b, 0), n = cnp.PyArray_DIM(b, 1)
    cdef int typenum = cnp.PyArray_TYPE(b)
    if s.mode != PANELS:
        return b
    cdef cnp.ndarray packed = new_matrix(1, packed_size(k, n), typenum)
    if typenum == cnp.NPY_DOUBLE:
        pack[double](False, k, n, <double *> cnp.PyArray_DATA(b), n,
                     <double *> cnp.PyArray_DATA(packed))
    else:
        pack[float](False, k, n, <float *> cnp.PyArray_DATA(b), n,
                    <float *> cnp.PyArray_DATA(packed))
    return packed
