/* One instruction set: kernels_body.h and kernels_pairs.h for float64 and float32, with the constants of
 * each format, and kernels_complex.h for the complex numbers made of them.
 *
 * The polynomials are minimax fits (Remez exchange in 60-digit arithmetic, coefficients rounded to
 * the format): EXP_TAIL(r) fits (exp(r) - 1 - r)/r^2 on |r| <= log(2)/2, LOG_TAIL(z) fits
 * (2*atanh(s) - 2*s)/s^3 on z = s^2 <= 1/25, SIN_TAIL(z) (sin r - r)/r^3 and COS_TAIL(z)
 * (cos r - 1 + r^2/2)/r^4 on z = r^2 for |r| <= pi/4 (float32: and 1/100), TANH_TAIL(z)
 * (tanh y - y)/y^3 on z = y^2 <= 1/4; the error relative to the function is in the comment.
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
/* 2^-58 */
#define SIN_TAIL(z)                                                                               \
    (-0x1.5555555555549p-3                                                                        \
     + z * (0x1.111111110f881p-7                                                                  \
     + z * (-0x1.a01a019c126f0p-13                                                                \
     + z * (0x1.71de35787573cp-19                                                                 \
     + z * (-0x1.ae5e66d4d92bdp-26                                                                \
     + z * 0x1.5d932f264099fp-33)))))
/* 2^-64 */
#define COS_TAIL(z)                                                                               \
    (0x1.555555555554cp-5                                                                         \
     + z * (-0x1.6c16c16c15184p-10                                                                \
     + z * (0x1.a01a019cb26c4p-16                                                                 \
     + z * (-0x1.27e4f80a73d1ep-22                                                                \
     + z * (0x1.1ee9ec45b4860p-29                                                                 \
     + z * -0x1.8faece0cf99adp-37)))))
/* 2^-58 */
#define TANH_TAIL(z)                                                                              \
    (-0x1.5555555555538p-2                                                                        \
     + z * (0x1.111111110e3d3p-3                                                                  \
     + z * (-0x1.ba1ba1b71a6eep-5                                                                 \
     + z * (0x1.664f47b829950p-6                                                                  \
     + z * (-0x1.226e16a5da6efp-7                                                                 \
     + z * (0x1.d6ce08aee56a3p-9                                                                  \
     + z * (-0x1.7d49d5da8333fp-10                                                                \
     + z * (0x1.31d653bb25b14p-11                                                                 \
     + z * (-0x1.c8f96cc7a4876p-13                                                                \
     + z * 0x1.dcf598c2fca9ap-15)))))))))
#define TWO_OVER_PI 0x1.45f306dc9c883p-1
#define REDUCIBLE 1.6e6
#define SIN sin
#define COS cos
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
#undef SIN_TAIL
#undef COS_TAIL
#undef TANH_TAIL
#undef TWO_OVER_PI
#undef REDUCIBLE
#undef SIN
#undef COS

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
/* 2^-37 */
#define SIN_TAIL(z)                                                                               \
    (-0x1.555556p-3f                                                                              \
     + z * (0x1.111108p-7f                                                                        \
     + z * (-0x1.a00ef4p-13f                                                                      \
     + z * 0x1.6cb0e0p-19f)))
/* 2^-33 */
#define COS_TAIL(z)                                                                               \
    (0x1.55554ap-5f                                                                               \
     + z * (-0x1.6c0ba6p-10f                                                                      \
     + z * 0x1.99c2acp-16f))
/* 2^-31 */
#define TANH_TAIL(z)                                                                              \
    (-0x1.555552p-2f                                                                              \
     + z * (0x1.110f22p-3f                                                                        \
     + z * (-0x1.b98acap-5f                                                                       \
     + z * (0x1.5cf23ap-6f                                                                        \
     + z * -0x1.b3a62ep-8f))))
#define TWO_OVER_PI 0x1.45f306p-1f
#define REDUCIBLE 1e5f /* there the product with TWO_OVER_PI is off by 1/256 at most */
#define SIN sinf
#define COS cosf
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
#undef SIN_TAIL
#undef COS_TAIL
#undef TANH_TAIL
#undef TWO_OVER_PI
#undef REDUCIBLE
#undef SIN
#undef COS
