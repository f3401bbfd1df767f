/* Own inner loops: what NumPy lacks, or computes one element at a time.
 *
 * Every loop has the signature of a NumPy inner loop: args = inputs then output, dimensions[0] = n,
 * steps in bytes. All slots of one call have one dtype, aligned. The output may be exactly one of
 * the inputs; partial overlap is not allowed. n = 0 is a no-op. No loop needs the GIL. */
#ifndef FASTBP_KERNELS_H
#define FASTBP_KERNELS_H

#include <stdint.h>

typedef void (*fastbp_loop)(char **args, const intptr_t *dimensions, const intptr_t *steps,
                            void *data);

typedef struct {
    const char *name;
    fastbp_loop loops[4]; /* float32, float64, complex64, complex128, as dtypes.pxd numbers them;
                             NULL where NumPy's own loop is as fast, or none is needed */
    int nin;
} fastbp_kernel;

/* The table for the instruction set in use: until another is chosen, the baseline. */
extern const fastbp_kernel *fastbp_kernels;
extern const int fastbp_kernel_count;

/* How often `mulz` and `mulz_add` met products that are NaN, as zero times infinity is, in this
 * thread. */
long long fastbp_strong_zeros(void);
void fastbp_add_strong_zeros(long long n);
void fastbp_count_strong_zero(void);

/* Choose the instruction set, which the processor must have: 0 the baseline, 1 AVX2, 2 AVX-512.
 * Return the one before. */
int fastbp_kernels_set_level(int level);

#endif
