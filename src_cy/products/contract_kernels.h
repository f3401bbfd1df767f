/* Products of one small row-major matrix v (rows, cols) with a vector, added to the result:
 *     gather:  y[i] += sum_j v[i, j] * x[j]
 *     scatter: y[j] += sum_i v[i, j] * x[i]
 * Nothing limits them but the reading of v, so all they need is wide loads and no overhead for a
 * call: BLAS takes as long to begin as a 16 x 16 matrix takes here. Sums are in the dtype of v, as
 * in BLAS. Compiled for the compiler's baseline, AVX2 and AVX-512; contract_init() picks one. */
#ifndef FASTBP_CONTRACT_KERNELS_H
#define FASTBP_CONTRACT_KERNELS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CONTRACT_ARGUMENTS(T) ptrdiff_t rows, ptrdiff_t cols, const T *v, const T *x, T *y
#define CONTRACT_EIGHT(T, I) \
    ptrdiff_t rows, const T *v, const I *first, const I *source, const T *x, T *y

static int contract_level = 0; /* 0: baseline, 1: AVX2, 2: AVX-512; the processor must have it */

#if defined(__GNUC__)

#define CONTRACT_UNROLL _Pragma("GCC unroll 8")
#define CONTRACT_INLINE static inline __attribute__((always_inline))

/* V: vector of T. In the functions with a parameter `n`, it is a literal at every call. */
#define CONTRACT_DEFINE(NAME, T, V, TARGET) \
enum { NAME##_lanes = sizeof(V) / sizeof(T) }; \
\
TARGET CONTRACT_INLINE T NAME##_sum(V a) { \
    T s = 0; \
    CONTRACT_UNROLL for (int l = 0; l < NAME##_lanes; ++l) s += a[l]; \
    return s; \
} \
\
/* n rows at once. */ \
TARGET CONTRACT_INLINE void NAME##_dots(const int n, ptrdiff_t cols, const T *v, const T *x, T *y) { \
    enum { L = NAME##_lanes }; \
    V sum[4]; \
    ptrdiff_t j = 0; \
    CONTRACT_UNROLL for (int q = 0; q < n; ++q) sum[q] = (V){0}; \
    for (; j + L <= cols; j += L) { \
        V at; \
        memcpy(&at, x + j, sizeof(V)); \
        CONTRACT_UNROLL for (int q = 0; q < n; ++q) { \
            V row; \
            memcpy(&row, v + q * cols + j, sizeof(V)); \
            sum[q] += row * at; \
        } \
    } \
    CONTRACT_UNROLL for (int q = 0; q < n; ++q) { \
        T s = cols >= L ? NAME##_sum(sum[q]) : 0; \
        for (ptrdiff_t i = j; i < cols; ++i) s += v[q * cols + i] * x[i]; \
        y[q] += s; \
    } \
} \
\
TARGET static __attribute__((noinline)) void NAME##_gather(CONTRACT_ARGUMENTS(T)) { \
    for (; rows >= 4; rows -= 4, v += 4 * cols, y += 4) NAME##_dots(4, cols, v, x, y); \
    for (; rows > 0; --rows, v += cols, ++y) NAME##_dots(1, cols, v, x, y); \
} \
\
/* All rows for n vectors of columns, which stay in registers. */ \
TARGET CONTRACT_INLINE void NAME##_narrow( \
    const int n, ptrdiff_t rows, ptrdiff_t cols, const T *v, const T *x, T *y) { \
    enum { L = NAME##_lanes }; \
    V even[4], odd[4], row; \
    CONTRACT_UNROLL for (int q = 0; q < n; ++q) { \
        memcpy(&even[q], y + q * L, sizeof(V)); \
        odd[q] = (V){0}; \
    } \
    for (; rows >= 2; rows -= 2, v += 2 * cols, x += 2) \
        CONTRACT_UNROLL for (int q = 0; q < n; ++q) { \
            memcpy(&row, v + q * L, sizeof(V)); \
            even[q] += x[0] * row; \
            memcpy(&row, v + cols + q * L, sizeof(V)); \
            odd[q] += x[1] * row; \
        } \
    CONTRACT_UNROLL for (int q = 0; q < n; ++q) { \
        if (rows > 0) { memcpy(&row, v + q * L, sizeof(V)); even[q] += x[0] * row; } \
        even[q] += odd[q]; \
        memcpy(y + q * L, &even[q], sizeof(V)); \
    } \
} \
\
/* n rows at once, over all columns: v is read in order. */ \
TARGET CONTRACT_INLINE void NAME##_wide(const int n, ptrdiff_t cols, const T *v, const T *x, T *y) { \
    enum { L = NAME##_lanes }; \
    ptrdiff_t j = 0; \
    for (; j + L <= cols; j += L) { \
        V even, odd = {0}, row; \
        memcpy(&even, y + j, sizeof(V)); \
        CONTRACT_UNROLL for (int q = 0; q < n; ++q) { \
            memcpy(&row, v + q * cols + j, sizeof(V)); \
            if (q & 1) odd += x[q] * row; else even += x[q] * row; \
        } \
        even += odd; \
        memcpy(y + j, &even, sizeof(V)); \
    } \
    for (; j < cols; ++j) { \
        T s = y[j]; \
        CONTRACT_UNROLL for (int q = 0; q < n; ++q) s += x[q] * v[q * cols + j]; \
        y[j] = s; \
    } \
} \
\
TARGET static __attribute__((noinline)) void NAME##_scatter(CONTRACT_ARGUMENTS(T)) { \
    enum { L = NAME##_lanes }; \
    if (cols == 4 * L) { NAME##_narrow(4, rows, cols, v, x, y); return; } \
    if (cols == 2 * L) { NAME##_narrow(2, rows, cols, v, x, y); return; } \
    if (cols == L) { NAME##_narrow(1, rows, cols, v, x, y); return; } \
    for (; rows >= 8; rows -= 8, v += 8 * cols, x += 8) NAME##_wide(8, cols, v, x, y); \
    for (; rows >= 2; rows -= 2, v += 2 * cols, x += 2) NAME##_wide(2, cols, v, x, y); \
    if (rows > 0) NAME##_wide(1, cols, v, x, y); \
}

/* CSR, eight vectors side by side: y[source[p], lane] += v[p] * x[row, lane]. */
typedef double contract_d8 __attribute__((vector_size(64)));
typedef float contract_f8 __attribute__((vector_size(32)));
#define CONTRACT_DEFINE_EIGHT(NAME, T, I, V, TARGET) \
TARGET static void NAME(CONTRACT_EIGHT(T, I)) { \
    for (ptrdiff_t i = 0; i < rows; ++i) { \
        V row, sum; \
        memcpy(&row, x + 8 * i, sizeof(V)); \
        for (ptrdiff_t p = first[i]; p < first[i + 1]; ++p) { \
            T *to = y + 8 * (ptrdiff_t)source[p]; \
            memcpy(&sum, to, sizeof(V)); \
            sum += v[p] * row; \
            memcpy(to, &sum, sizeof(V)); \
        } \
    } \
}
#define CONTRACT_DEFINE_EIGHTS(LEVEL, TARGET) \
CONTRACT_DEFINE_EIGHT(contract_eight_##LEVEL##_double_32, double, int32_t, contract_d8, TARGET) \
CONTRACT_DEFINE_EIGHT(contract_eight_##LEVEL##_double_64, double, int64_t, contract_d8, TARGET) \
CONTRACT_DEFINE_EIGHT(contract_eight_##LEVEL##_float_32, float, int32_t, contract_f8, TARGET) \
CONTRACT_DEFINE_EIGHT(contract_eight_##LEVEL##_float_64, float, int64_t, contract_f8, TARGET)

typedef double contract_d2 __attribute__((vector_size(16)));
typedef float contract_f4 __attribute__((vector_size(16)));
CONTRACT_DEFINE(contract_double_0, double, contract_d2, )
CONTRACT_DEFINE(contract_float_0, float, contract_f4, )
CONTRACT_DEFINE_EIGHTS(0, )

#if defined(__x86_64__)
#define CONTRACT_AVX2 __attribute__((target("avx2,fma")))
#define CONTRACT_AVX512 __attribute__((target("avx512f,avx512dq,avx512vl,avx2,fma")))
typedef double contract_d4 __attribute__((vector_size(32)));
typedef float contract_f16 __attribute__((vector_size(64)));
CONTRACT_DEFINE(contract_double_1, double, contract_d4, CONTRACT_AVX2)
CONTRACT_DEFINE(contract_float_1, float, contract_f8, CONTRACT_AVX2)
CONTRACT_DEFINE(contract_double_2, double, contract_d8, CONTRACT_AVX512)
CONTRACT_DEFINE(contract_float_2, float, contract_f16, CONTRACT_AVX512)
CONTRACT_DEFINE_EIGHTS(1, CONTRACT_AVX2)
CONTRACT_DEFINE_EIGHTS(2, CONTRACT_AVX512)
#endif

#if defined(__x86_64__)
#define CONTRACT_DISPATCH(NAME, T) \
static inline void contract_##NAME##_##T(CONTRACT_ARGUMENTS(T)) { \
    if (contract_level == 2) contract_##T##_2_##NAME(rows, cols, v, x, y); \
    else if (contract_level == 1) contract_##T##_1_##NAME(rows, cols, v, x, y); \
    else contract_##T##_0_##NAME(rows, cols, v, x, y); \
}
#define CONTRACT_DISPATCH_EIGHT(T, BITS) \
static void contract_eight_##T##_##BITS(CONTRACT_EIGHT(T, int##BITS##_t)) { \
    if (contract_level == 2) contract_eight_2_##T##_##BITS(rows, v, first, source, x, y); \
    else if (contract_level == 1) contract_eight_1_##T##_##BITS(rows, v, first, source, x, y); \
    else contract_eight_0_##T##_##BITS(rows, v, first, source, x, y); \
}
#else
#define CONTRACT_DISPATCH(NAME, T) \
static inline void contract_##NAME##_##T(CONTRACT_ARGUMENTS(T)) { \
    contract_##T##_0_##NAME(rows, cols, v, x, y); \
}
#define CONTRACT_DISPATCH_EIGHT(T, BITS) \
static void contract_eight_##T##_##BITS(CONTRACT_EIGHT(T, int##BITS##_t)) { \
    contract_eight_0_##T##_##BITS(rows, v, first, source, x, y); \
}
#endif
CONTRACT_DISPATCH(gather, float)
CONTRACT_DISPATCH(gather, double)
CONTRACT_DISPATCH(scatter, float)
CONTRACT_DISPATCH(scatter, double)
CONTRACT_DISPATCH_EIGHT(float, 32)
CONTRACT_DISPATCH_EIGHT(float, 64)
CONTRACT_DISPATCH_EIGHT(double, 32)
CONTRACT_DISPATCH_EIGHT(double, 64)

#else /* not GNU: plain loops */
#define CONTRACT_PLAIN(T) \
static void contract_gather_##T(CONTRACT_ARGUMENTS(T)) { \
    ptrdiff_t i, j; \
    for (i = 0; i < rows; ++i, v += cols) { \
        T s = 0; \
        for (j = 0; j < cols; ++j) s += v[j] * x[j]; \
        y[i] += s; \
    } \
} \
static void contract_scatter_##T(CONTRACT_ARGUMENTS(T)) { \
    ptrdiff_t i, j; \
    for (i = 0; i < rows; ++i, v += cols) \
        for (j = 0; j < cols; ++j) y[j] += x[i] * v[j]; \
}
CONTRACT_PLAIN(float)
CONTRACT_PLAIN(double)
#define CONTRACT_PLAIN_EIGHT(T, BITS) \
static void contract_eight_##T##_##BITS(CONTRACT_EIGHT(T, int##BITS##_t)) { \
    for (ptrdiff_t i = 0; i < rows; ++i, x += 8) \
        for (ptrdiff_t p = first[i]; p < first[i + 1]; ++p) \
            for (int k = 0; k < 8; ++k) y[8 * (ptrdiff_t)source[p] + k] += v[p] * x[k]; \
}
CONTRACT_PLAIN_EIGHT(float, 32)
CONTRACT_PLAIN_EIGHT(float, 64)
CONTRACT_PLAIN_EIGHT(double, 32)
CONTRACT_PLAIN_EIGHT(double, 64)
#endif

#endif
