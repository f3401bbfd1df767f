/* Columns of a row-major matrix scaled in place: x[i, j] *= d[i % period, j], the first row being
 * number `first`. One pass over memory that is in the cache as a rule, so the widest vectors pay. */
#ifndef FASTBP_SCALE_COLUMNS_H
#define FASTBP_SCALE_COLUMNS_H

#include <stddef.h>

#define SCALE_RESTRICT __restrict

#if defined(_MSC_VER)
#define SCALE_INLINE static __forceinline
#else
#define SCALE_INLINE static inline
#endif

#define SCALE_DEFINE(NAME, T, TARGET) \
TARGET SCALE_INLINE void NAME##_row(ptrdiff_t n, const T *SCALE_RESTRICT d, T *SCALE_RESTRICT x) { \
    for (ptrdiff_t j = 0; j < n; ++j) x[j] *= d[j]; \
} \
/* Four rows at once: short rows are hardly longer than the loop over them. */ \
TARGET SCALE_INLINE void NAME##_four( \
    ptrdiff_t n, const T *SCALE_RESTRICT d, T *SCALE_RESTRICT a, T *SCALE_RESTRICT b, \
    T *SCALE_RESTRICT c, T *SCALE_RESTRICT e) { \
    for (ptrdiff_t j = 0; j < n; ++j) { \
        T s = d[j]; \
        a[j] *= s; b[j] *= s; c[j] *= s; e[j] *= s; \
    } \
} \
TARGET static void NAME(ptrdiff_t rows, ptrdiff_t n, ptrdiff_t first, ptrdiff_t period, \
                        const T *d, T *x) { \
    ptrdiff_t at = period == 1 ? 0 : first % period; \
    for (; period == 1 && rows >= 4; rows -= 4, x += 4 * n) \
        NAME##_four(n, d, x, x + n, x + 2 * n, x + 3 * n); \
    for (; rows > 0; --rows, x += n) { \
        NAME##_row(n, d + at * n, x); \
        if (++at == period) at = 0; \
    } \
}

SCALE_DEFINE(scale_double_0, double, )
SCALE_DEFINE(scale_float_0, float, )

static int scale_level = 0; /* 0: baseline, 1: AVX2, 2: AVX-512; the processor must have it */

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#if defined(__clang__)
#define SCALE_AVX512 __attribute__((target("avx2,fma,avx512f,avx512dq,avx512bw,avx512vl")))
#else
#define SCALE_AVX512 \
    __attribute__((target("avx2,fma,avx512f,avx512dq,avx512bw,avx512vl,prefer-vector-width=512")))
#endif
#define SCALE_AVX2 __attribute__((target("avx2,fma")))
SCALE_DEFINE(scale_double_1, double, SCALE_AVX2)
SCALE_DEFINE(scale_float_1, float, SCALE_AVX2)
SCALE_DEFINE(scale_double_2, double, SCALE_AVX512)
SCALE_DEFINE(scale_float_2, float, SCALE_AVX512)
#define SCALE_DISPATCH(T) \
static inline void scale_##T(ptrdiff_t rows, ptrdiff_t n, ptrdiff_t first, ptrdiff_t period, \
                             const T *d, T *x) { \
    (scale_level == 2 ? scale_##T##_2 : scale_level == 1 ? scale_##T##_1 : scale_##T##_0)( \
        rows, n, first, period, d, x); \
}
#else
#define SCALE_DISPATCH(T) \
static inline void scale_##T(ptrdiff_t rows, ptrdiff_t n, ptrdiff_t first, ptrdiff_t period, \
                             const T *d, T *x) { \
    scale_##T##_0(rows, n, first, period, d, x); \
}
#endif
SCALE_DISPATCH(double)
SCALE_DISPATCH(float)

#endif
