/* One instruction set: kernels_body.h and kernels_pairs.h for float64 and float32, with the constants of
 * each format, and kernels_complex.h for the complex numbers made of them.
 *
 * The polynomials are minimax fits (Remez exchange in 60-digit arithmetic, coefficients rounded to
 * the format): EXP_TAIL(r) fits (exp(r) - 1 - r)/r^2 on |r| <= log(2)/2, LOG_TAIL(z) fits
 * (2*atanh(s) - 2*s)/s^3 on z = s^2 <= 1/25; the error relative to exp or log1p is in the comment.
 * No include guard: kernels.c includes this once per instruction set. */

/* ---- float64 ---- */
#define T double
#define U uint64_t
#define SUFFIX _d_
#define LANES 8
#define BLOCKED fbp_blocked_d
#define ABS fabs
#define MANTISSA 52
#define BIAS 1023
#define MAGIC 6755399441055744.0 /* 1.5 * 2^52: adding it rounds to an integer in the low bits */
#define EXP_FLOOR -746.0         /* exp rounds to 0 from here down */
#define LOG2E 0x1.71547652b82fep+0
#define LOG2E_LO 0x1.777d0ffda0d24p-56
#define LN2 0x1.62e42fefa39efp-1
#define LN2_LO 0x1.abc9e3b39803fp-56
#define LN2_HEAD 0x1.62e42fefa3p-1 /* 41 bits: times an 11-bit integer is exact */
#define LN2_TAIL 0x1.3de6af278ece6p-42
/* 2^-58 */
#define EXP_TAIL(r)                                                                               \
    (0x1.000000000000bp-1                                                                         \
     + r * (0x1.5555555555561p-3                                                                  \
     + r * (0x1.5555555550044p-5                                                                  \
     + r * (0x1.111111110d605p-7                                                                  \
     + r * (0x1.6c16c185a2f44p-10                                                                 \
     + r * (0x1.a01a01baf1f5ep-13                                                                 \
     + r * (0x1.a019969f9177fp-16                                                                 \
     + r * (0x1.71dddfada2733p-19                                                                 \
     + r * (0x1.28b03e22213efp-22                                                                 \
     + r * 0x1.af85b02f8b170p-26)))))))))
/* 2^-62 */
#define LOG_TAIL(z)                                                                               \
    (0x1.555555555554fp-1                                                                         \
     + z * (0x1.999999999c0efp-2                                                                  \
     + z * (0x1.24924921ec693p-2                                                                  \
     + z * (0x1.c71c74889b860p-3                                                                  \
     + z * (0x1.745c4c862b1b8p-3                                                                  \
     + z * (0x1.3b358a86baf85p-3                                                                  \
     + z * (0x1.0dcf23b21ec1dp-3                                                                  \
     + z * 0x1.1b69924232192p-3)))))))
#define DOUBLE_ONLY
#include "kernels_body.h"
#undef DOUBLE_ONLY
#include "kernels_pairs.h"
#define K fbp_complex_d
#define K_SUFFIX _z_
#define K_BLOCKED fbp_blocked_z
#include "kernels_complex.h"
#undef K
#undef K_SUFFIX
#undef K_BLOCKED
#undef T
#undef U
#undef SUFFIX
#undef LANES
#undef BLOCKED
#undef ABS
#undef MANTISSA
#undef BIAS
#undef MAGIC
#undef EXP_FLOOR
#undef LOG2E
#undef LOG2E_LO
#undef LN2
#undef LN2_LO
#undef LN2_HEAD
#undef LN2_TAIL
#undef EXP_TAIL
#undef LOG_TAIL

/* ---- float32 ---- */
#define T float
#define U uint32_t
#define SUFFIX _f_
#define LANES 16
#define BLOCKED fbp_blocked_f
#define ABS fabsf
#define MANTISSA 23
#define BIAS 127
#define MAGIC 12582912.0f
#define EXP_FLOOR -104.0f
#define LOG2E 0x1.715476p+0f
#define LOG2E_LO 0x1.4ae0cp-26f
#define LN2 0x1.62e43p-1f
#define LN2_LO -0x1.05c61p-29f
#define LN2_HEAD 0x1.62e4p-1f /* 15 bits */
#define LN2_TAIL 0x1.7f7d1cp-20f
/* 2^-34 */
#define EXP_TAIL(r)                                                                               \
    (0x1.000000p-1f                                                                               \
     + r * (0x1.555556p-3f                                                                        \
     + r * (0x1.555480p-5f                                                                        \
     + r * (0x1.11107ep-7f                                                                        \
     + r * (0x1.6d9674p-10f                                                                       \
     + r * 0x1.a1b736p-13f)))))
/* 2^-35 */
#define LOG_TAIL(z)                                                                               \
    (0x1.555554p-1f                                                                               \
     + z * (0x1.999bdap-2f                                                                        \
     + z * (0x1.23e9bep-2f                                                                        \
     + z * 0x1.ed8960p-3f)))
#include "kernels_body.h"
#include "kernels_pairs.h"
#define K fbp_complex_f
#define K_SUFFIX _c_
#define K_BLOCKED fbp_blocked_c
#include "kernels_complex.h"
#undef K
#undef K_SUFFIX
#undef K_BLOCKED
#undef T
#undef U
#undef SUFFIX
#undef LANES
#undef BLOCKED
#undef ABS
#undef MANTISSA
#undef BIAS
#undef MAGIC
#undef EXP_FLOOR
#undef LOG2E
#undef LOG2E_LO
#undef LN2
#undef LN2_LO
#undef LN2_HEAD
#undef LN2_TAIL
#undef EXP_TAIL
#undef LOG_TAIL
