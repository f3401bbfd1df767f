/* One instruction set: recurrent_level.h for float64 and float32, with the constants of each.
 *
 * EXP_TAIL(r, r^2) = (exp(r) - 1 - r)/r^2 on |r| <= log(2)/2 with the minimax coefficients of
 * kernels_level.h, summed in pairs: a chain half as long. No include guard. */

/* ---- float64 ---- */
#define T double
#define U uint64_t
#define SUFFIX _d_
#define PASSES recurrent_double
#define ABS fabs
#define COPYSIGN copysign
#define MANTISSA 52
#define BIAS 1023
#define MAGIC 6755399441055744.0 /* 1.5 * 2^52: adding it rounds to an integer in the low bits */
#define TANH_ONE 20.0            /* tanh rounds to 1 from 19.1 on */
#define EXP_LEAST 705.0          /* e^-705 is a normal number */
#define LOG2E 0x1.71547652b82fep+0
#define LN2_HEAD 0x1.62e42fefa3p-1 /* 41 bits: times an 11-bit integer is exact */
#define LN2_TAIL 0x1.3de6af278ece6p-42
#define EXP_TAIL(r, z)                                                                            \
    ((0x1.000000000000bp-1 + r * 0x1.5555555555561p-3)                                            \
     + z * ((0x1.5555555550044p-5 + r * 0x1.111111110d605p-7)                                     \
     + z * ((0x1.6c16c185a2f44p-10 + r * 0x1.a01a01baf1f5ep-13)                                   \
     + z * ((0x1.a019969f9177fp-16 + r * 0x1.71dddfada2733p-19)                                   \
     + z * (0x1.28b03e22213efp-22 + r * 0x1.af85b02f8b170p-26)))))
#include "recurrent_level.h"
#undef T
#undef U
#undef SUFFIX
#undef PASSES
#undef ABS
#undef COPYSIGN
#undef MANTISSA
#undef BIAS
#undef MAGIC
#undef TANH_ONE
#undef EXP_LEAST
#undef LOG2E
#undef LN2_HEAD
#undef LN2_TAIL
#undef EXP_TAIL

/* ---- float32 ---- */
#define T float
#define U uint32_t
#define SUFFIX _f_
#define PASSES recurrent_float
#define ABS fabsf
#define COPYSIGN copysignf
#define MANTISSA 23
#define BIAS 127
#define MAGIC 12582912.0f
#define TANH_ONE 10.0f
#define EXP_LEAST 87.0f
#define LOG2E 0x1.715476p+0f
#define LN2_HEAD 0x1.62e4p-1f /* 15 bits */
#define LN2_TAIL 0x1.7f7d1cp-20f
#define EXP_TAIL(r, z)                                                                            \
    ((0x1.000000p-1f + r * 0x1.555556p-3f)                                                        \
     + z * ((0x1.555480p-5f + r * 0x1.11107ep-7f)                                                 \
     + z * (0x1.6d9674p-10f + r * 0x1.a1b736p-13f)))
#include "recurrent_level.h"
#undef T
#undef U
#undef SUFFIX
#undef PASSES
#undef ABS
#undef COPYSIGN
#undef MANTISSA
#undef BIAS
#undef MAGIC
#undef TANH_ONE
#undef EXP_LEAST
#undef LOG2E
#undef LN2_HEAD
#undef LN2_TAIL
#undef EXP_TAIL
