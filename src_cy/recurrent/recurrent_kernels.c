/* Instantiates recurrent_level.h for two dtypes and up to three x86-64 instruction sets, and picks
 * one set when the module is imported, as kernels.c does. */
#include "recurrent_kernels.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define MULTI 1
#endif

#if defined(__clang__)
#define IVDEP _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
/* Both branches of a ?: may be evaluated, so that selects become blends. */
#pragma GCC optimize("no-trapping-math")
#define IVDEP _Pragma("GCC ivdep")
#elif defined(_MSC_VER)
#define IVDEP __pragma(loop(ivdep))
#else
#define IVDEP
#endif

#if defined(__GNUC__) || defined(__clang__)
#define INLINE static inline __attribute__((always_inline))
#elif defined(_MSC_VER)
#define INLINE static __forceinline
#else
#define INLINE static inline
#endif

#define CAT_(a, b, c) a##b##c
#define CAT(a, b, c) CAT_(a, b, c)

#define LEVEL baseline
#include "recurrent_types.h"
#undef LEVEL

#ifdef MULTI

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define LEVEL avx2
#include "recurrent_types.h"
#undef LEVEL
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(                                                                     \
    __attribute__((target("avx2,fma,avx512f,avx512dq,avx512bw,avx512vl"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512dq,avx512bw,avx512vl,prefer-vector-width=512")
#endif
#define LEVEL avx512
#include "recurrent_types.h"
#undef LEVEL
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif /* MULTI */

const recurrent_double *recurrent_d = &recurrent_d_baseline;
const recurrent_float *recurrent_f = &recurrent_f_baseline;

static int level_in_use = 0;

int recurrent_set_level(int level)
{
    int before = level_in_use;
    level_in_use = level;
#ifdef MULTI
    recurrent_d = level == 2   ? &recurrent_d_avx512
                  : level == 1 ? &recurrent_d_avx2
                               : &recurrent_d_baseline;
    recurrent_f = level == 2   ? &recurrent_f_avx512
                  : level == 1 ? &recurrent_f_avx2
                               : &recurrent_f_baseline;
#endif
    return before;
}
