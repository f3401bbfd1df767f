/* What the processor can do. Only simd.pyx asks: it decides for all kernels. */
#ifndef FASTBP_SIMD_LEVEL_H
#define FASTBP_SIMD_LEVEL_H

/* Return the best level that the processor has: 0 the baseline, 1 AVX2 with FMA, 2 AVX-512. */
static inline int simd_best(void)
{
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 0;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq")
        || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl"))
        return 1;
    return 2;
#else
    return 0;
#endif
}

#endif
