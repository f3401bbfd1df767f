/* Which instruction set our kernels use: 0 the baseline, 1 AVX2 with FMA, 2 AVX-512. */
#ifndef FASTBP_SIMD_LEVEL_H
#define FASTBP_SIMD_LEVEL_H

#include <stdlib.h>
#include <string.h>

/* Return the best level that the processor has, but not above limit. */
static inline int simd_level(int limit)
{
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    __builtin_cpu_init();
    if (limit < 1 || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 0;
    if (limit < 2 || !__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq")
        || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl"))
        return 1;
    return 2;
#else
    (void)limit;
    return 0;
#endif
}

/* Return the level that the environment allows: FASTBP_SIMD=baseline or avx2 asks for less. */
static inline int simd_limit(void)
{
    const char *limit = getenv("FASTBP_SIMD");
    if (limit != NULL && strcmp(limit, "baseline") == 0)
        return 0;
    return limit != NULL && strcmp(limit, "avx2") == 0 ? 1 : 2;
}

#endif
