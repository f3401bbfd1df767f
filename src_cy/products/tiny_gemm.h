/* Small matrix products for row-major float and double: c = alpha * a @ b + beta * c.
 *
 * A call of BLAS costs 50 ns before the first multiplication, and more for its packing. Here a tile
 * of MR rows and W columns of c stays in vector registers while p runs over the contraction. b is
 * read in place when its rows are contiguous and whole tiles wide; otherwise one panel of W columns
 * (transposed, or padded with zeros) is packed on the stack. The elements of a are broadcast, so
 * that a transposed a costs nothing.
 *
 * A block of 2 to 4 columns would leave most lanes of such a tile empty. Where the rows of a are
 * contiguous, the vectors run along them instead: each element of c is a dot product, and a is read
 * at the speed of the cache. a @ b.T with 2 to 4 rows in a is the same product transposed.
 *
 * Matrices of at most 4 columns and 4 terms (TINY_FEW) would be packed longer than multiplied, and a vector
 * that is read where shorter pieces have just been written waits for these to reach the cache. So
 * they are read, summed and written number by number, with any strides, a stack of them in one call.
 *
 * The same source is compiled for SSE2 or NEON (the compiler's baseline), AVX2 and AVX-512;
 * tiny_level says which one runs. Compilers without GNU vector extensions (MSVC) keep level -1: BLAS
 * does everything.
 */
#ifndef FASTBP_TINY_GEMM_H
#define FASTBP_TINY_GEMM_H

#include <stddef.h>
#include <string.h>

enum { TINY_DEPTH = 128 }; /* the largest k: bounds the packed panel to 16 KB */
/* A panel is also packed if its rows spread over so many bytes that they drive each other out of a
 * cache of 32 KB, and so many rows of a are multiplied with it. One Zen 4 core, AVX2, float64, ns
 * before / after: a.T @ b of n = 64 11557 / 10509, of n = 128 133889 / 77155. Not with AVX-512, where
 * the vectors of a panel are whole lines of the cache: there it costs 5 %. */
enum { TINY_SPREAD = 24576, TINY_MANY = 24 };
/* The largest k for dot products; and the smallest, at least the lanes of a vector. */
enum { TINY_DEPTH_DOTS = 512, TINY_DOTS = 32 };

/* Whether a product is made of dot products: 1 with the rows of a, 2 with the columns of b. */
static inline int tiny_dots(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, ptrdiff_t col_a, ptrdiff_t row_b)
{
    if (k < TINY_DOTS) return 0;
    if (n >= 2 && n <= 4 && col_a == 1 && m >= 4) return 1;
    return m >= 2 && m <= 4 && row_b == 1 && n >= 4 ? 2 : 0;
}

/* A stack of `count` products of few columns; strides in elements. */
typedef struct {
    ptrdiff_t count, m, n, k;
    ptrdiff_t row_a, col_a, step_a, row_b, col_b, step_b, row_c, col_c, step_c;
} tiny_stack;

#define TINY_ARGUMENTS(T) \
    ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, T alpha, const T *a, ptrdiff_t row_a, ptrdiff_t col_a, \
    const T *b, ptrdiff_t row_b, ptrdiff_t col_b, T beta, T *c, ptrdiff_t ldc

static int tiny_level = -1; /* -1: none, 0: baseline, 1: AVX2, 2: AVX-512 */

#if defined(__GNUC__)

#define TINY_UNROLL _Pragma("GCC unroll 8")
#define TINY_INLINE static inline __attribute__((always_inline))

/* V: vector of T; NV of them side by side make the widest tile; MR: its rows (4, 6 or 8).
 * In the functions below, nv <= NV and rows <= MR are literals at every call, so that all loops
 * over them unroll. */
#define TINY_DEFINE(NAME, T, V, NV, MR, TARGET) \
enum { NAME##_lanes = sizeof(V) / sizeof(T), NAME##_spread = sizeof(V) < 64 }; \
\
/* Copy the first w < 32 elements, in at most five moves. */ \
TARGET TINY_INLINE void NAME##_edge(T *to, const T *from, ptrdiff_t w) { \
    enum { W = NV * NAME##_lanes }; \
    if (W > 16 && w & 16) { memcpy(to, from, 16 * sizeof(T)); to += 16; from += 16; } \
    if (W > 8 && w & 8) { memcpy(to, from, 8 * sizeof(T)); to += 8; from += 8; } \
    if (W > 4 && w & 4) { memcpy(to, from, 4 * sizeof(T)); to += 4; from += 4; } \
    if (w & 2) { memcpy(to, from, 2 * sizeof(T)); to += 2; from += 2; } \
    if (w & 1) *to = *from; \
} \
\
/* c (rows, w) = alpha * a (rows, k) @ b (k, W) + beta * c, with W = nv * lanes >= w. */ \
TARGET TINY_INLINE void NAME##_tile( \
    const int rows, const int nv, ptrdiff_t w, ptrdiff_t k, T alpha, const T *a, ptrdiff_t row_a, \
    ptrdiff_t col_a, const T *b, ptrdiff_t ldb, T beta, T *c, ptrdiff_t ldc) { \
    enum { L = NAME##_lanes }; \
    V sum[MR][NV], x[NV]; \
    T edge[NV * L]; \
    TINY_UNROLL for (int r = 0; r < rows; ++r) \
        TINY_UNROLL for (int v = 0; v < nv; ++v) sum[r][v] = (V){0}; \
    for (ptrdiff_t p = 0; p < k; ++p, a += col_a, b += ldb) { \
        TINY_UNROLL for (int v = 0; v < nv; ++v) memcpy(&x[v], b + v * L, sizeof(V)); \
        TINY_UNROLL for (int r = 0; r < rows; ++r) \
            TINY_UNROLL for (int v = 0; v < nv; ++v) sum[r][v] += a[r * row_a] * x[v]; \
    } \
    TINY_UNROLL for (int r = 0; r < rows; ++r, c += ldc) { \
        T *to = c; \
        if (w < nv * L) { \
            to = edge; \
            if (beta != 0) { memset(edge, 0, sizeof(edge)); NAME##_edge(edge, c, w); } \
        } \
        TINY_UNROLL for (int v = 0; v < nv; ++v) { \
            V y = sum[r][v] * alpha, old; \
            if (beta != 0) { memcpy(&old, to + v * L, sizeof(V)); y += beta * old; } \
            memcpy(to + v * L, &y, sizeof(V)); \
        } \
        if (w < nv * L) NAME##_edge(c, edge, w); \
    } \
} \
\
/* Copy w <= W columns of b to a panel (k, W), padded with zeros. */ \
TARGET TINY_INLINE void NAME##_pack( \
    const int nv, T *panel, ptrdiff_t w, ptrdiff_t k, \
    const T *b, ptrdiff_t row_b, ptrdiff_t col_b) { \
    const ptrdiff_t W = nv * NAME##_lanes; \
    if (NAME##_spread && w == W && col_b == 1) { \
        for (ptrdiff_t p = 0; p < k; ++p) memcpy(panel + p * W, b + p * row_b, W * sizeof(T)); \
        return; \
    } \
    if (w == W) { \
        for (ptrdiff_t p = 0; p < k; ++p) \
            for (ptrdiff_t q = 0; q < W; ++q) panel[p * W + q] = b[p * row_b + q * col_b]; \
        return; \
    } \
    memset(panel, 0, (size_t)(k * W) * sizeof(T)); \
    if (col_b == 1) { \
        for (ptrdiff_t p = 0; p < k; ++p) NAME##_edge(panel + p * W, b + p * row_b, w); \
    } else { \
        for (ptrdiff_t q = 0; q < w; ++q) \
            for (ptrdiff_t p = 0; p < k; ++p) panel[p * W + q] = b[p * row_b + q * col_b]; \
    } \
} \
\
/* All rows of c for one panel of w <= W columns. */ \
TARGET TINY_INLINE void NAME##_panel( \
    const int nv, ptrdiff_t w, ptrdiff_t m, ptrdiff_t k, T alpha, const T *a, ptrdiff_t row_a, \
    ptrdiff_t col_a, const T *b, ptrdiff_t row_b, ptrdiff_t col_b, T beta, T *c, ptrdiff_t ldc) { \
    T panel[TINY_DEPTH * NV * NAME##_lanes] __attribute__((aligned(64))); \
    if (w < nv * NAME##_lanes || col_b != 1 \
        || (NAME##_spread && m >= TINY_MANY && k * row_b * (ptrdiff_t)sizeof(T) > TINY_SPREAD)) { \
        NAME##_pack(nv, panel, w, k, b, row_b, col_b); \
        b = panel; \
        row_b = nv * NAME##_lanes; \
    } \
    for (; m >= MR; m -= MR, a += MR * row_a, c += MR * ldc) \
        NAME##_tile(MR, nv, w, k, alpha, a, row_a, col_a, b, row_b, beta, c, ldc); \
    if (MR > 4 && m & 4) { \
        NAME##_tile(4, nv, w, k, alpha, a, row_a, col_a, b, row_b, beta, c, ldc); \
        a += 4 * row_a; \
        c += 4 * ldc; \
    } \
    if (m & 2) { \
        NAME##_tile(2, nv, w, k, alpha, a, row_a, col_a, b, row_b, beta, c, ldc); \
        a += 2 * row_a; \
        c += 2 * ldc; \
    } \
    if (m & 1) NAME##_tile(1, nv, w, k, alpha, a, row_a, col_a, b, row_b, beta, c, ldc); \
} \
\
/* The sum of the lanes of x. */ \
TARGET TINY_INLINE T NAME##_total(const V *x) { \
    enum { Q = 16 / sizeof(T) }; \
    T __attribute__((vector_size(16))) part[sizeof(V) / 16]; \
    T total = 0; \
    memcpy(part, x, sizeof(V)); \
    TINY_UNROLL for (int i = 1; i < (int)(sizeof(V) / 16); ++i) part[0] += part[i]; \
    TINY_UNROLL for (int i = 0; i < Q; ++i) total += part[0][i]; \
    return total; \
} \
\
/* c (rows, w) = alpha * a (rows, k) @ y.T + beta * c for the rows y (w, k) of a narrow block. */ \
TARGET TINY_INLINE void NAME##_dots( \
    const int rows, const int w, ptrdiff_t k, T alpha, const T *a, ptrdiff_t lda, \
    const T *y, const T *rest, T beta, T *c, ptrdiff_t row_c, ptrdiff_t col_c) { \
    enum { L = NAME##_lanes }; \
    V sum[MR / 4 * 2][4], x[4], z; \
    ptrdiff_t p = 0; \
    TINY_UNROLL for (int r = 0; r < rows; ++r) \
        TINY_UNROLL for (int q = 0; q < w; ++q) sum[r][q] = (V){0}; \
    for (; p <= k - L; p += L) { \
        TINY_UNROLL for (int q = 0; q < w; ++q) memcpy(&x[q], y + q * TINY_DEPTH_DOTS + p, sizeof(V)); \
        TINY_UNROLL for (int r = 0; r < rows; ++r) { \
            memcpy(&z, a + r * lda + p, sizeof(V)); \
            __builtin_prefetch(a + (r + rows) * lda + p); \
            TINY_UNROLL for (int q = 0; q < w; ++q) sum[r][q] += z * x[q]; \
        } \
    } \
    if (p < k) { \
        TINY_UNROLL for (int q = 0; q < w; ++q) memcpy(&x[q], rest + q * L, sizeof(V)); \
        TINY_UNROLL for (int r = 0; r < rows; ++r) { \
            memcpy(&z, a + r * lda + k - L, sizeof(V)); \
            TINY_UNROLL for (int q = 0; q < w; ++q) sum[r][q] += z * x[q]; \
        } \
    } \
    TINY_UNROLL for (int r = 0; r < rows; ++r) \
        TINY_UNROLL for (int q = 0; q < w; ++q) { \
            T *to = c + r * row_c + q * col_c, total = alpha * NAME##_total(&sum[r][q]); \
            *to = beta == 0 ? total : total + beta * *to; \
        } \
} \
\
/* c (m, w) = alpha * a (m, k) @ b (k, w) + beta * c; k >= lanes. */ \
TARGET TINY_INLINE void NAME##_narrow( \
    const int w, ptrdiff_t m, ptrdiff_t k, T alpha, const T *a, ptrdiff_t lda, \
    const T *b, ptrdiff_t row_b, ptrdiff_t col_b, T beta, T *c, ptrdiff_t row_c, ptrdiff_t col_c) { \
    enum { L = NAME##_lanes, R = MR / 4 * 2 }; \
    T y[4 * TINY_DEPTH_DOTS], rest[4 * L]; \
    /* The last lanes of a row are read again where k is not a multiple, against zeros. */ \
    const ptrdiff_t again = L - k % L; \
    for (int q = 0; q < w; ++q) { \
        for (ptrdiff_t p = 0; p < k; ++p) y[q * TINY_DEPTH_DOTS + p] = b[p * row_b + q * col_b]; \
        for (ptrdiff_t i = 0; i < L; ++i) \
            rest[q * L + i] = i < again ? 0 : y[q * TINY_DEPTH_DOTS + k - L + i]; \
    } \
    for (; m >= R; m -= R, a += R * lda, c += R * row_c) \
        NAME##_dots(R, w, k, alpha, a, lda, y, rest, beta, c, row_c, col_c); \
    for (; m > 0; --m, a += lda, c += row_c) \
        NAME##_dots(1, w, k, alpha, a, lda, y, rest, beta, c, row_c, col_c); \
} \
\
TARGET static __attribute__((noinline)) void NAME##_few(const ptrdiff_t w, ptrdiff_t m, \
    ptrdiff_t k, T alpha, const T *a, ptrdiff_t lda, \
    const T *b, ptrdiff_t row_b, ptrdiff_t col_b, T beta, T *c, ptrdiff_t row_c, ptrdiff_t col_c) { \
    if (w == 4) \
        NAME##_narrow(4, m, k, alpha, a, lda, b, row_b, col_b, beta, c, row_c, col_c); \
    else if (w == 3) \
        NAME##_narrow(3, m, k, alpha, a, lda, b, row_b, col_b, beta, c, row_c, col_c); \
    else \
        NAME##_narrow(2, m, k, alpha, a, lda, b, row_b, col_b, beta, c, row_c, col_c); \
} \
\
TARGET static __attribute__((noinline)) void NAME(TINY_ARGUMENTS(T)) { \
    enum { L = NAME##_lanes, W = NV * L }; \
    ptrdiff_t w; \
    const int dots = tiny_dots(m, n, k, col_a, row_b); \
    if (dots == 1) { \
        NAME##_few(n, m, k, alpha, a, row_a, b, row_b, col_b, beta, c, ldc, 1); \
        return; \
    } \
    if (dots == 2) { \
        NAME##_few(m, n, k, alpha, b, col_b, a, col_a, row_a, beta, c, 1, ldc); \
        return; \
    } \
    for (; n > L; n -= w, b += w * col_b, c += w) { \
        w = n < W ? n : W; \
        NAME##_panel(NV, w, m, k, alpha, a, row_a, col_a, b, row_b, col_b, beta, c, ldc); \
    } \
    if (n > 0) NAME##_panel(1, n, m, k, alpha, a, row_a, col_a, b, row_b, col_b, beta, c, ldc); \
}

typedef double tiny_d2 __attribute__((vector_size(16)));
typedef float tiny_f4 __attribute__((vector_size(16)));
TINY_DEFINE(tiny_double_0, double, tiny_d2, 2, 4, )
TINY_DEFINE(tiny_float_0, float, tiny_f4, 2, 4, )

#if defined(__x86_64__)
#define TINY_AVX2 __attribute__((target("avx2,fma")))
#define TINY_AVX512 __attribute__((target("avx512f,avx512dq,avx512vl,avx2,fma")))
typedef double tiny_d4 __attribute__((vector_size(32)));
typedef double tiny_d8 __attribute__((vector_size(64)));
typedef float tiny_f8 __attribute__((vector_size(32)));
typedef float tiny_f16 __attribute__((vector_size(64)));
TINY_DEFINE(tiny_double_1, double, tiny_d4, 2, 6, TINY_AVX2)
TINY_DEFINE(tiny_float_1, float, tiny_f8, 2, 6, TINY_AVX2)
TINY_DEFINE(tiny_double_2, double, tiny_d8, 2, 8, TINY_AVX512)
TINY_DEFINE(tiny_float_2, float, tiny_f16, 2, 8, TINY_AVX512)
#endif

/* Choose the instruction set, which the processor must have. */
static void tiny_set_level(int level) { tiny_level = level; }

#if defined(__x86_64__)
#define TINY_DISPATCH(T) \
static inline void tiny_##T(TINY_ARGUMENTS(T)) { \
    if (tiny_level == 2) \
        tiny_##T##_2(m, n, k, alpha, a, row_a, col_a, b, row_b, col_b, beta, c, ldc); \
    else if (tiny_level == 1) \
        tiny_##T##_1(m, n, k, alpha, a, row_a, col_a, b, row_b, col_b, beta, c, ldc); \
    else \
        tiny_##T##_0(m, n, k, alpha, a, row_a, col_a, b, row_b, col_b, beta, c, ldc); \
}
#else
#define TINY_DISPATCH(T) \
static inline void tiny_##T(TINY_ARGUMENTS(T)) { \
    tiny_##T##_0(m, n, k, alpha, a, row_a, col_a, b, row_b, col_b, beta, c, ldc); \
}
#endif

/* ---- few columns and terms ---- */

/* At most so many columns, and terms that are unrolled; terms at all; multiplications. */
enum { TINY_FEW = 4, TINY_FEW_DEPTH = 8, TINY_FEW_WORK = 256 };

/* c (m, n) = a (m, k) @ b (k, n), added to what is there if `add`, `count` times: all three move by
 * their steps. With step_c = 0 the products are summed. depth = 0: k is not known here. */
#define FEW_DEFINE(NAME, T, TARGET) \
TARGET TINY_INLINE void NAME##_any( \
    const int n, const int depth, const tiny_stack *s, const ptrdiff_t col_b, \
    const ptrdiff_t col_c, const T *a, const T *b, T *c, int add) { \
    const ptrdiff_t m = s->m, k = s->k, row_a = s->row_a, col_a = s->col_a, row_b = s->row_b, \
                    row_c = s->row_c; \
    ptrdiff_t count = s->count; \
    while (1) { \
        const T *x = a; \
        T *to = c, y[TINY_FEW][TINY_FEW]; \
        TINY_UNROLL for (int p = 0; p < depth; ++p) \
            TINY_UNROLL for (int q = 0; q < n; ++q) y[p][q] = b[p * row_b + q * col_b]; \
        for (ptrdiff_t i = 0; i < m; ++i, x += row_a, to += row_c) { \
            T sum[TINY_FEW]; \
            TINY_UNROLL for (int q = 0; q < n; ++q) sum[q] = 0; \
            if (depth) { \
                TINY_UNROLL for (int p = 0; p < depth; ++p) \
                    TINY_UNROLL for (int q = 0; q < n; ++q) sum[q] += x[p * col_a] * y[p][q]; \
            } else { \
                for (ptrdiff_t p = 0; p < k; ++p) \
                    TINY_UNROLL for (int q = 0; q < n; ++q) \
                        sum[q] += x[p * col_a] * b[p * row_b + q * col_b]; \
            } \
            if (add) { \
                TINY_UNROLL for (int q = 0; q < n; ++q) to[q * col_c] += sum[q]; \
            } else { \
                TINY_UNROLL for (int q = 0; q < n; ++q) to[q * col_c] = sum[q]; \
            } \
        } \
        if (--count <= 0) return; \
        add |= s->step_c == 0; \
        a += s->step_a; \
        b += s->step_b; \
        c += s->step_c; \
    } \
} \
FEW_ROW(NAME, T, TARGET, 1) \
FEW_ROW(NAME, T, TARGET, 2) \
FEW_ROW(NAME, T, TARGET, 3) \
FEW_ROW(NAME, T, TARGET, 4) \
static void (*const NAME##_table[TINY_FEW][TINY_FEW + 1])( \
    const tiny_stack *, const T *, const T *, T *, int) = { \
    FEW_NAMES(NAME, 1), FEW_NAMES(NAME, 2), FEW_NAMES(NAME, 3), FEW_NAMES(NAME, 4) };

#define FEW_NAMES(NAME, N) \
    { NAME##_##N##0, NAME##_##N##1, NAME##_##N##2, NAME##_##N##3, NAME##_##N##4 }
#define FEW_ROW(NAME, T, TARGET, N) \
    FEW_ONE(NAME, T, TARGET, N, 0) FEW_ONE(NAME, T, TARGET, N, 1) FEW_ONE(NAME, T, TARGET, N, 2) \
    FEW_ONE(NAME, T, TARGET, N, 3) FEW_ONE(NAME, T, TARGET, N, 4)
#define FEW_ONE(NAME, T, TARGET, N, K) \
TARGET static void NAME##_##N##K( \
    const tiny_stack *s, const T *a, const T *b, T *c, int add) { \
    if (s->col_b == 1 && s->col_c == 1) NAME##_any(N, K, s, 1, 1, a, b, c, add); \
    else NAME##_any(N, K, s, s->col_b, s->col_c, a, b, c, add); \
}

#if !defined(__clang__) /* which has no such option, and makes no vectors of it */
#pragma GCC push_options
#pragma GCC optimize("no-tree-vectorize,no-tree-slp-vectorize,no-version-loops-for-strides")
#endif
FEW_DEFINE(few_double_0, double, )
FEW_DEFINE(few_float_0, float, )
#if defined(__x86_64__)
FEW_DEFINE(few_double_1, double, TINY_AVX2)
FEW_DEFINE(few_float_1, float, TINY_AVX2)
#define FEW_AT_LEVEL(T) (tiny_level > 0 ? few_##T##_1_table : few_##T##_0_table)
#else
#define FEW_AT_LEVEL(T) few_##T##_0_table
#endif

#if !defined(__clang__)
#pragma GCC pop_options
#endif

#define FEW_DISPATCH(T) \
static inline void few_##T(const tiny_stack *s, const T *a, const T *b, T *c, int add) { \
    FEW_AT_LEVEL(T)[s->n - 1][s->k <= TINY_FEW ? s->k : 0](s, a, b, c, add); \
}

#else /* not GNU: never called */
static void tiny_set_level(int level) { (void)level; }
enum { TINY_FEW = 4, TINY_FEW_DEPTH = 0, TINY_FEW_WORK = 0 };
#define TINY_DISPATCH(T) static inline void tiny_##T(TINY_ARGUMENTS(T)) { }
#define FEW_DISPATCH(T) \
static inline void few_##T(const tiny_stack *s, const T *a, const T *b, T *c, int add) { }
#endif

TINY_DISPATCH(float)
TINY_DISPATCH(double)
FEW_DISPATCH(float)
FEW_DISPATCH(double)

#endif
