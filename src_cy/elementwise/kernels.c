/* Instantiates kernels_body.h for two dtypes and up to three x86-64 instruction sets, and picks one
 * set when the module is imported. Explicit tables instead of ifunc: they also work with musl, macOS
 * and sanitizers, and a test can force each set. Methods and measured errors: docs/kernels.md. */
#include "kernels.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD == 2
#error "kernels.c needs arithmetic without excess precision: compile with -msse2 -mfpmath=sse"
#endif

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define FBP_MULTI 1
#endif

#ifdef FBP_MULTI
/* Vectors that this file names, and values that are kept from the optimizer in a register. */
#define FBP_PAIRS 1
#define FBP_HOLD(x) __asm__("" : "+x"(x))
#endif

#if defined(__clang__)
/* Some complex loops stay scalar there: no news to who installs this. */
#pragma clang diagnostic ignored "-Wpass-failed"
#define FBP_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
/* Both branches of a ?: may be evaluated, so that selects become blends. */
#pragma GCC optimize("no-trapping-math")
#define FBP_IVDEP _Pragma("GCC ivdep")
#elif defined(_MSC_VER)
#define FBP_IVDEP __pragma(loop(ivdep))
#else
#define FBP_IVDEP
#endif

#if defined(__GNUC__) || defined(__clang__)
#define FBP_INLINE static inline __attribute__((always_inline, unused))
#define FBP_NOINLINE __attribute__((noinline, unused))
#elif defined(_MSC_VER)
#define FBP_INLINE static __forceinline
#define FBP_NOINLINE __declspec(noinline)
#else
#define FBP_INLINE static inline
#define FBP_NOINLINE
#endif

#define FBP_BLOCK 256 /* elements of one operand that a strided or broadcast call stages */
#define FBP_MAX_IN 3

typedef void (*fbp_core)(char **args, intptr_t n);

/* Runs `core`, which wants contiguous operands, over operands of any stride: a strided block is
 * staged on the stack, a broadcast scalar is spread once. */
#define FBP_DEFINE_BLOCKED(NAME, T)                                                               \
    static FBP_NOINLINE void NAME(char **args, intptr_t n, const intptr_t *steps, int nin,        \
                                  fbp_core core)                                                  \
    {                                                                                             \
        T stage[FBP_MAX_IN + 1][FBP_BLOCK];                                                       \
        char *at[FBP_MAX_IN + 1], *use[FBP_MAX_IN + 1];                                           \
        intptr_t i, m, first = n < FBP_BLOCK ? n : FBP_BLOCK;                                     \
        int k;                                                                                    \
        for (k = 0; k <= nin; k++) {                                                              \
            at[k] = use[k] = args[k];                                                             \
            if (steps[k] != (intptr_t)sizeof(T))                                                  \
                use[k] = (char *)stage[k];                                                        \
            if (k < nin && steps[k] == 0) {                                                       \
                const T value = *(const T *)args[k];                                              \
                for (i = 0; i < first; i++)                                                       \
                    stage[k][i] = value;                                                          \
            }                                                                                     \
        }                                                                                         \
        for (; n > 0; n -= m) {                                                                   \
            m = n < FBP_BLOCK ? n : FBP_BLOCK;                                                    \
            for (k = 0; k < nin; k++)                                                             \
                if (use[k] == (char *)stage[k] && steps[k] != 0)                                  \
                    for (i = 0; i < m; i++)                                                       \
                        stage[k][i] = *(const T *)(at[k] + i * steps[k]);                         \
            core(use, m);                                                                         \
            if (use[nin] == (char *)stage[nin])                                                   \
                for (i = 0; i < m; i++)                                                           \
                    *(T *)(at[nin] + i * steps[nin]) = stage[nin][i];                             \
            for (k = 0; k <= nin; k++) {                                                          \
                at[k] += m * steps[k];                                                            \
                if (steps[k] == (intptr_t)sizeof(T))                                              \
                    use[k] = at[k];                                                               \
            }                                                                                     \
        }                                                                                         \
    }

typedef struct {
    double re, im;
} fbp_complex_d;
typedef struct {
    float re, im;
} fbp_complex_f;

FBP_DEFINE_BLOCKED(fbp_blocked_d, double)
FBP_DEFINE_BLOCKED(fbp_blocked_f, float)
FBP_DEFINE_BLOCKED(fbp_blocked_z, fbp_complex_d)
FBP_DEFINE_BLOCKED(fbp_blocked_c, fbp_complex_f)

/* Of the thread, so that a sweep is not done again for what another one met. The pool of threads
 * carries what its workers count to the thread that they work for. */
#if defined(_MSC_VER)
static __declspec(thread) long long strong_zeros = 0;
#else
static _Thread_local long long strong_zeros = 0;
#endif

void fastbp_count_strong_zero(void)
{
    strong_zeros++;
}

void fastbp_add_strong_zeros(long long n)
{
    strong_zeros += n;
}

long long fastbp_strong_zeros(void)
{
    return strong_zeros;
}

#define FBP_CAT3_(a, b, c) a##b##c
#define FBP_CAT3(a, b, c) FBP_CAT3_(a, b, c)

/* One row per kernel: name, loops for all dtypes, for floats, or for float64; number of inputs. */
#define FBP_ROW_ALL(LEVEL, NAME, NIN)                                                             \
    {#NAME,                                                                                       \
     {NAME##_f_##LEVEL, NAME##_d_##LEVEL, NAME##_c_##LEVEL, NAME##_z_##LEVEL},                    \
     NIN},
#define FBP_ROW(LEVEL, NAME, NIN) {#NAME, {NAME##_f_##LEVEL, NAME##_d_##LEVEL, NULL, NULL}, NIN},
#define FBP_ROW_D(LEVEL, NAME, NIN) {#NAME, {NULL, NAME##_d_##LEVEL, NULL, NULL}, NIN},
#ifdef FBP_PAIRS
#define FBP_ROWS_PAIRS(LEVEL, FIRST)                                                              \
    FBP_ROW(LEVEL, FIRST##_add, 3)                                                                \
    FBP_ROW(LEVEL, FIRST##_subtract, 3)                                                           \
    FBP_ROW(LEVEL, FIRST##_subtract_from, 3)                                                      \
    FBP_ROW(LEVEL, FIRST##_multiply, 3)
#else
#define FBP_ROWS_PAIRS(LEVEL, FIRST)
#endif
#define FBP_TABLE(LEVEL, BEATEN)                                                                  \
    static const fastbp_kernel table_##LEVEL[] = {                                                \
        FBP_ROW_ALL(LEVEL, mulz, 2)                                                               \
        FBP_ROW_ALL(LEVEL, mulz_add, 3)                                                           \
        FBP_ROW_ALL(LEVEL, mulx, 2)                                                               \
        FBP_ROW_ALL(LEVEL, mulx_add, 3)                                                           \
        FBP_ROW_ALL(LEVEL, gt, 2)                                                                 \
        FBP_ROW_ALL(LEVEL, ge, 2)                                                                 \
        FBP_ROW_ALL(LEVEL, lt, 2)                                                                 \
        FBP_ROW_ALL(LEVEL, le, 2)                                                                 \
        FBP_ROW_ALL(LEVEL, eq, 2)                                                                 \
        FBP_ROW_ALL(LEVEL, ne, 2)                                                                 \
        FBP_ROW_ALL(LEVEL, finite, 1)                                                             \
        FBP_ROW(LEVEL, difference, 2)                                                             \
        FBP_ROW(LEVEL, cosine, 3)                                                                 \
        FBP_ROW_ALL(LEVEL, select, 3)                                                             \
        FBP_ROW(LEVEL, sigmoid, 1)                                                                \
        FBP_ROW(LEVEL, sigmoid_slope, 2)                                                          \
        FBP_ROW(LEVEL, tanh_slope, 2)                                                             \
        FBP_ROW(LEVEL, softplus, 1)                                                               \
        FBP_ROW(LEVEL, logaddexp, 2)                                                              \
        FBP_ROW(LEVEL, logaddexp2, 2)                                                             \
        FBP_ROW(LEVEL, hypot, 2)                                                                  \
        FBP_ROWS_PAIRS(LEVEL, add)                                                                \
        FBP_ROWS_PAIRS(LEVEL, subtract)                                                           \
        FBP_ROWS_PAIRS(LEVEL, multiply)                                                           \
        BEATEN                                                                                    \
    };

/* NumPy's exp and tanh are fast with AVX-512, half as fast as ours with AVX2; so are its sin and cos
 * of float32. */
#define FBP_ALL_OWN(LEVEL)                                                                        \
    FBP_ROW(LEVEL, sin, 1) FBP_ROW(LEVEL, cos, 1) FBP_ROW(LEVEL, exp, 1) FBP_ROW(LEVEL, tanh, 1)
#define FBP_SOME_OWN(LEVEL)                                                                       \
    FBP_ROW_D(LEVEL, sin, 1) FBP_ROW_D(LEVEL, cos, 1)                                             \
    {"exp", {NULL}, 1}, {"tanh", {NULL}, 1},

#define FBP_LEVEL baseline
#define FBP_VECTOR 16 /* bytes */
#include "kernels_level.h"
FBP_TABLE(baseline, FBP_SOME_OWN(baseline))
#undef FBP_LEVEL
#undef FBP_VECTOR

#ifdef FBP_MULTI

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define FBP_ALL_KERNELS
#define FBP_LEVEL avx2
#define FBP_VECTOR 32 /* bytes */
#include "kernels_level.h"
FBP_TABLE(avx2, FBP_ALL_OWN(avx2))
#undef FBP_ALL_KERNELS
#undef FBP_LEVEL
#undef FBP_VECTOR
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(                                                                     \
    __attribute__((target("avx2,fma,avx512f,avx512dq,avx512bw,avx512vl"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512dq,avx512bw,avx512vl,prefer-vector-width=512")
#endif
#define FBP_LEVEL avx512
#define FBP_VECTOR 64 /* bytes */
#include "kernels_level.h"
FBP_TABLE(avx512, FBP_SOME_OWN(avx512))
#undef FBP_LEVEL
#undef FBP_VECTOR
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif /* FBP_MULTI */

const fastbp_kernel *fastbp_kernels = table_baseline;
const int fastbp_kernel_count = (int)(sizeof(table_baseline) / sizeof(table_baseline[0]));
static int level_in_use = 0;

int fastbp_kernels_set_level(int level)
{
    int before = level_in_use;
    level_in_use = level;
#ifdef FBP_MULTI
    fastbp_kernels = level == 2 ? table_avx512 : level == 1 ? table_avx2 : table_baseline;
#endif
    return before;
}
