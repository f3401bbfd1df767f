/* The gate passes of the recurrent cells: what happens between the matrix products of one step.
 *
 * Every function works on one row, that is on the state of one member of the batch; all operands
 * are contiguous and of one dtype. Nothing needs the GIL. n = 0 is a no-op. */
#ifndef FASTBP_RECURRENT_KERNELS_H
#define FASTBP_RECURRENT_KERNELS_H

#include <stddef.h>

enum { RECURRENT_TANH, RECURRENT_RELU, RECURRENT_IDENTITY };

#define RECURRENT_PASSES(T)                                                                       \
    /* x = activation(x) */                                                                       \
    void (*activate)(int kind, ptrdiff_t n, T *x);                                                \
    /* out = (h_bar + g) * activation'; h = activation(x) */                                      \
    void (*activate_vjp)(int kind, ptrdiff_t n, const T *h, const T *g, const T *h_bar, T *out);  \
    /* gates: i, f, g, o before, after; then c and tanh(c) are written behind them */             \
    void (*lstm)(ptrdiff_t n, T *gates, const T *c_prev, T *h);                                   \
    /* c_bar: of this step's c, then of c_prev. out: of i, f, g, o before activation */           \
    void (*lstm_vjp)(ptrdiff_t n, const T *gates, const T *c_prev, const T *g, const T *h_bar,    \
                     T *c_bar, T *out);                                                           \
    /* gates: x @ U + b of r, z, n, then r, z, n, h_n = h_prev @ W_n + c; hw = h_prev @ W */      \
    void (*gru)(ptrdiff_t n, T *gates, const T *hw, const T *bias, const T *h_prev, T *h);        \
    /* h_bar: of h, then the part of h_prev's that passes z. out: of h_n, r, z, n */              \
    void (*gru_vjp)(ptrdiff_t n, const T *gates, const T *h_prev, const T *g, T *h_bar, T *out);  \
    /* y (n) = x (k) @ b (k, n) + beta * y, beta 0 or 1: the product of a batch of one */          \
    void (*vector)(ptrdiff_t n, ptrdiff_t k, const T *x, const T *b, int beta, T *y);             \
    /* out += the sum of rows of x (rows, n), whose rows are ld apart */                          \
    void (*add_rows)(ptrdiff_t rows, ptrdiff_t n, ptrdiff_t ld, const T *x, T *out);

typedef struct {
    RECURRENT_PASSES(double)
} recurrent_double;
typedef struct {
    RECURRENT_PASSES(float)
} recurrent_float;

/* For the instruction set in use: until another is chosen, the baseline. */
extern const recurrent_double *recurrent_d;
extern const recurrent_float *recurrent_f;

/* Choose the instruction set, which the processor must have: 0 the baseline, 1 AVX2, 2 AVX-512.
 * Return the one before. */
int recurrent_set_level(int level);

#endif
