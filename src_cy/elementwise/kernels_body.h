/* The kernels of one dtype (T, U = its bits) and one instruction set (FBP_LEVEL).
 *
 * Every function is branch-free, so that the compiler can run it on whole vectors. Contraction of
 * a*b+c to an FMA is harmless: wherever a sum is used as error-free, its product is exact.
 * No include guard: kernels_level.h includes this once per dtype. */
#define FN(name) FBP_CAT3(name, SUFFIX, FBP_LEVEL)
#define ITEM ((intptr_t)sizeof(T))

FBP_INLINE U FN(to_bits)(T x)
{
    U u;
    memcpy(&u, &x, sizeof u);
    return u;
}

FBP_INLINE T FN(from_bits)(U u)
{
    T x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* ---- loops ---- */

/* Contiguous loops of EXPR in a (and b, c): CHEAP ones leave the tail to the compiler ... */
#define CHEAP_CORE1(NAME, EXPR)                                                                   \
    static void FN(NAME##_core)(char **args, intptr_t n)                                          \
    {                                                                                             \
        const T *x0 = (const T *)args[0];                                                         \
        T *y = (T *)args[1];                                                                      \
        intptr_t i;                                                                               \
        FBP_IVDEP                                                                                 \
        for (i = 0; i < n; i++) {                                                                 \
            const T a = x0[i];                                                                    \
            y[i] = EXPR;                                                                          \
        }                                                                                         \
    }                                                                                             \
    ENTRY1(NAME)

#define CHEAP_CORE2(NAME, EXPR)                                                                   \
    static void FN(NAME##_core)(char **args, intptr_t n)                                          \
    {                                                                                             \
        const T *x0 = (const T *)args[0], *x1 = (const T *)args[1];                               \
        T *y = (T *)args[2];                                                                      \
        intptr_t i;                                                                               \
        FBP_IVDEP                                                                                 \
        for (i = 0; i < n; i++) {                                                                 \
            const T a = x0[i], b = x1[i];                                                         \
            y[i] = EXPR;                                                                          \
        }                                                                                         \
    }                                                                                             \
    ENTRY2(NAME)

#define CHEAP_CORE3(NAME, EXPR)                                                                   \
    static void FN(NAME##_core)(char **args, intptr_t n)                                          \
    {                                                                                             \
        const T *x0 = (const T *)args[0], *x1 = (const T *)args[1], *x2 = (const T *)args[2];     \
        T *y = (T *)args[3];                                                                      \
        intptr_t i;                                                                               \
        FBP_IVDEP                                                                                 \
        for (i = 0; i < n; i++) {                                                                 \
            const T a = x0[i], b = x1[i], c = x2[i];                                              \
            y[i] = EXPR;                                                                          \
        }                                                                                         \
    }                                                                                             \
    ENTRY3(NAME)

/* ... and costly ones do it as one more vector, since a scalar pass would cost as much: the last
 * LANES elements, or all of them padded if there are fewer. It runs first and is stored last,
 * because the loop may work in place. */
#define COSTLY_CORE1(NAME, EXPR, AFTER)                                                           \
    static void FN(NAME##_core)(char **args, intptr_t n)                                          \
    {                                                                                             \
        const T *x0 = (const T *)args[0];                                                         \
        T *y = (T *)args[1], pad0[LANES];                                                         \
        const intptr_t rest = n & (LANES - 1);                                                    \
        intptr_t i;                                                                               \
        int part;                                                                                 \
        for (part = rest ? 0 : 1; part < 2; part++) {                                             \
            const T *s0 = x0;                                                                     \
            T *out = y;                                                                           \
            intptr_t m = n - rest;                                                                \
            U outside = 0;                                                                        \
            if (part == 0) {                                                                      \
                out = pad0;                                                                       \
                m = LANES;                                                                        \
                s0 = n < LANES ? FN(pad)(pad0, x0, n) : x0 + n - LANES;                           \
            }                                                                                     \
            FBP_IVDEP                                                                             \
            for (i = 0; i < (m & ~(intptr_t)(LANES - 1)); i++) {                                  \
                const T a = s0[i];                                                                \
                out[i] = EXPR;                                                                    \
            }                                                                                     \
            AFTER(out, m, outside);                                                               \
        }                                                                                         \
        for (i = 0; i < rest; i++)                                                                \
            y[n - rest + i] = pad0[LANES - rest + i];                                             \
    }                                                                                             \
    ENTRY1(NAME)

#define COSTLY_CORE2(NAME, EXPR)                                                                  \
    static void FN(NAME##_core)(char **args, intptr_t n)                                          \
    {                                                                                             \
        const T *x0 = (const T *)args[0], *x1 = (const T *)args[1];                               \
        T *y = (T *)args[2], pad0[LANES], pad1[LANES];                                            \
        const intptr_t rest = n & (LANES - 1);                                                    \
        intptr_t i;                                                                               \
        int part;                                                                                 \
        for (part = rest ? 0 : 1; part < 2; part++) {                                             \
            const T *s0 = x0, *s1 = x1;                                                           \
            T *out = y;                                                                           \
            intptr_t m = n - rest;                                                                \
            if (part == 0) {                                                                      \
                out = pad0;                                                                       \
                m = LANES;                                                                        \
                s0 = n < LANES ? FN(pad)(pad0, x0, n) : x0 + n - LANES;                           \
                s1 = n < LANES ? FN(pad)(pad1, x1, n) : x1 + n - LANES;                           \
            }                                                                                     \
            FBP_IVDEP                                                                             \
            for (i = 0; i < (m & ~(intptr_t)(LANES - 1)); i++) {                                  \
                const T a = s0[i], b = s1[i];                                                     \
                out[i] = EXPR;                                                                    \
            }                                                                                     \
        }                                                                                         \
        for (i = 0; i < rest; i++)                                                                \
            y[n - rest + i] = pad0[LANES - rest + i];                                             \
    }                                                                                             \
    ENTRY2(NAME)

/* NEAR of the known value z, or FAR of the argument x where that loses digits, for |x| > LIMIT.
 * Decided for few elements at once, since far ones are rare in most data: the top bit of `beyond`
 * says whether there is one, or a nan. */
#define BEYOND(x, LIMIT) (FN(to_bits)((T)LIMIT) - FN(to_bits)(ABS(x)))
#define TOP_BIT(bits) ((bits) >> (8 * sizeof(T) - 1))
#define SLOPE_CORE2(NAME, LIMIT, NEAR, FAR)                                                       \
    static void FN(NAME##_core)(char **args, intptr_t n)                                          \
    {                                                                                             \
        const T *z0 = (const T *)args[0], *x0 = (const T *)args[1];                               \
        T *y = (T *)args[2], out[4 * LANES];                                                      \
        intptr_t i, j;                                                                            \
        for (; n > 0; n -= 4 * LANES, z0 += 4 * LANES, x0 += 4 * LANES, y += 4 * LANES) {         \
            const intptr_t m = n < 4 * LANES ? n : 4 * LANES;                                     \
            U beyond = 0;                                                                         \
            for (i = 0; i < m; i++)                                                               \
                beyond |= BEYOND(x0[i], LIMIT);                                                   \
            FBP_IVDEP                                                                             \
            for (i = 0; i < m; i++) {                                                             \
                const T z = z0[i];                                                                \
                out[i] = NEAR;                                                                    \
            }                                                                                     \
            for (j = 0; TOP_BIT(beyond) && j < m; j += LANES) {                                   \
                intptr_t end = m < j + LANES ? m : j + LANES;                                     \
                U here = 0;                                                                       \
                for (i = j; i < end; i++)                                                         \
                    here |= BEYOND(x0[i], LIMIT);                                                 \
                end = TOP_BIT(here) ? end : j;                                                    \
                FBP_IVDEP                                                                         \
                for (i = j; i < end; i++) {                                                       \
                    const T x = x0[i];                                                            \
                    out[i] = FAR;                                                                 \
                }                                                                                 \
            }                                                                                     \
            memcpy(y, out, m * sizeof(T));                                                        \
        }                                                                                         \
    }                                                                                             \
    ENTRY2(NAME)

FBP_INLINE const T *FN(pad)(T *to, const T *from, intptr_t n)
{
    intptr_t i;
    for (i = 0; i < LANES; i++)
        to[i] = from[i < LANES - n ? 0 : i - (LANES - n)];
    return to;
}

#define NOTHING(out, m, outside) (void)outside

#define ENTRY(NAME, NIN, CONTIGUOUS)                                                              \
    static void FN(NAME)(char **args, const intptr_t *dimensions, const intptr_t *steps,          \
                         void *data)                                                              \
    {                                                                                             \
        const intptr_t n = dimensions[0];                                                         \
        (void)data;                                                                               \
        if (CONTIGUOUS)                                                                           \
            FN(NAME##_core)(args, n);                                                             \
        else if (n > 0)                                                                           \
            BLOCKED(args, n, steps, NIN, FN(NAME##_core));                                        \
    }
#define ENTRY1(NAME) ENTRY(NAME, 1, steps[0] == ITEM && steps[1] == ITEM)
#define ENTRY2(NAME) ENTRY(NAME, 2, steps[0] == ITEM && steps[1] == ITEM && steps[2] == ITEM)
#define ENTRY3(NAME)                                                                              \
    ENTRY(NAME, 3, steps[0] == ITEM && steps[1] == ITEM && steps[2] == ITEM && steps[3] == ITEM)

/* ---- products, comparisons, selection ---- */

/* A zero cotangent g stays that zero, whatever the partial p. Where the plain product is NaN, one
 * factor may be zero and the other not finite, and it matters whether the zero is exact: such blocks
 * are counted. */
static void FN(mulz_core)(char **args, intptr_t n)
{
    const T *x0 = (const T *)args[0], *x1 = (const T *)args[1];
    T *y = (T *)args[2];
    U undefined = 0;
    intptr_t i;
    FBP_IVDEP
    for (i = 0; i < n; i++) {
        const T g = x0[i], product = g * x1[i];
        undefined |= product == product ? (U)0 : (U)1;
        y[i] = g == 0 ? g : product;
    }
    if (undefined)
        fastbp_count_strong_zero();
}
ENTRY2(mulz)

static void FN(mulz_add_core)(char **args, intptr_t n)
{
    const T *x0 = (const T *)args[0], *x1 = (const T *)args[1], *x2 = (const T *)args[2];
    T *y = (T *)args[3];
    U undefined = 0;
    intptr_t i;
    FBP_IVDEP
    for (i = 0; i < n; i++) {
        const T total = x0[i], g = x1[i], product = g * x2[i];
        undefined |= product == product ? (U)0 : (U)1;
        y[i] = total + (g == 0 ? g : product);
    }
    if (undefined)
        fastbp_count_strong_zero();
}
ENTRY3(mulz_add)

/* The sign tells zeros apart: -0 is exact and stays -0 whatever p is; one that arithmetic made is +0,
 * and so is a zero product. */
FBP_INLINE T FN(signed_product)(T g, T p)
{
    const T product = g * p;
    return FN(to_bits)(g) == FN(to_bits)((T)-0.0) ? g : product == 0 ? (T)0 : product;
}
CHEAP_CORE2(mulx, FN(signed_product)(a, b))
CHEAP_CORE3(mulx_add, a + FN(signed_product)(b, c))
CHEAP_CORE2(gt, a > b ? (T)1 : (T)0)
CHEAP_CORE2(ge, a >= b ? (T)1 : (T)0)
CHEAP_CORE2(lt, a < b ? (T)1 : (T)0)
CHEAP_CORE2(le, a <= b ? (T)1 : (T)0)
CHEAP_CORE2(eq, a == b ? (T)1 : (T)0)
CHEAP_CORE2(ne, a != b ? (T)1 : (T)0)
CHEAP_CORE1(finite, a - a == 0 ? (T)1 : (T)0)
/* x - y, where equal infinities are equal; and x / hypot(x, y) from that radius: 0 at the origin, the
 * sign of an infinite x. */
CHEAP_CORE2(difference, a == b ? (T)0 : a - b)
CHEAP_CORE3(cosine, ABS(b) == a ? (b > 0 ? (T)1 : b < 0 ? (T)-1 : (T)0) + 0 * c : b / a)
CHEAP_CORE3(select, a != 0 ? b : c)

/* ---- exp and log1p on the ranges that the functions below need ---- */

/* e^(r + rl) * 2^k as a sum hi + *lo, for |r| <= log(2)/2 and |k| < 1100. Two factors for the power
 * of two, so that a subnormal result is rounded once. */
FBP_INLINE T FN(exp_scaled)(T r, T rl, T k, T *lo)
{
    const T head = 1 + r;
    const T rest = (r - (head - 1)) + (r * r * EXP_TAIL(r) + rl * head);
    const T sum = head + rest;
    const T half = k * (T)0.5 + (T)MAGIC;
    const T other = (k - (half - (T)MAGIC)) + (T)MAGIC;
    const T s1 = FN(from_bits)((FN(to_bits)(half) + BIAS) << MANTISSA);
    const T s2 = FN(from_bits)((FN(to_bits)(other) + BIAS) << MANTISSA);
    *lo = (rest - (sum - head)) * s1 * s2;
    return sum * s1 * s2;
}

/* e^(x + xl) for x < 750, reduced as Cody and Waite do: k*LN2_HEAD is exact. */
FBP_INLINE T FN(exp_pair)(T x, T xl, T *lo)
{
    const T clamped = x < (T)EXP_FLOOR ? (T)EXP_FLOOR : x;
    const T k = (clamped * LOG2E + MAGIC) - MAGIC;
    const T r0 = clamped - k * LN2_HEAD;
    const T r = r0 - k * LN2_TAIL;
    return FN(exp_scaled)(r, ((r0 - r) - k * LN2_TAIL) + xl, k, lo);
}

/* 2^(x + xl) for x <= 0. */
FBP_INLINE T FN(exp2_pair)(T x, T xl, T *lo)
{
    const T clamped = x < -(T)(BIAS + 60) ? -(T)(BIAS + 60) : x;
    const T k = (clamped + MAGIC) - MAGIC;
    const T f = clamped - k;
    return FN(exp_scaled)(f * LN2, f * LN2_LO + xl * LN2, k, lo);
}

/* log(1 + t + tl) for 0 <= t <= 1, tl a correction below one ulp of t. Above 1/2, 1 + t is halved.
 * With s = f/(2+f), log(1+f) = 2 atanh(s) = f - s*(f - s^2*L(s^2)); the form below keeps f as the
 * leading term. *lo is what the sum loses. */
FBP_INLINE T FN(log1p_unit)(T t, T tl, T *lo)
{
    const T upper = t > (T)0.5 ? (T)1 : (T)0;
    const T f = t > (T)0.5 ? (T)0.5 * (t - 1) : t;
    const T s = f / (2 + f);
    const T z = s * s;
    const T half_square = (T)0.5 * f * f;
    const T correction = upper * LN2_LO + tl * (1 - (T)0.5 * t);
    const T rest = half_square - s * (half_square + z * LOG_TAIL(z)) - correction;
    const T head = upper * LN2 + f;
    const T tail = ((upper * LN2 - head) + f) - rest;
    const T sum = head + tail;
    *lo = tail - (sum - head);
    return sum;
}

/* ---- the functions ---- */

/* 1/(1 + e^-x) from e^-|x|, which cannot overflow; the low parts of the sum and of the exponential
 * are put back, so that both tails keep full relative accuracy. */
FBP_INLINE T FN(sigmoid_of)(T x)
{
    T tl;
    const T t = FN(exp_pair)(-ABS(x), 0, &tl);
    const T d = 1 + t;
    const T dl = (t - (d - 1)) + tl;
    const T top = x < 0 ? t : (T)1;
    const T topl = x < 0 ? tl : (T)0;
    const T y = top / d;
    return y + (topl - y * dl) * (1 - (T)0.5 * t);
}

/* The slopes of the sigmoid and of tanh: t/(1 + t)^2 from e^-|x|, four times that from e^-2|x|. */
FBP_INLINE T FN(bell_of)(T x)
{
    T tl;
    const T t = FN(exp_pair)(-ABS(x), 0, &tl);
    const T d = 1 + t;
    return t / (d * d);
}

FBP_INLINE T FN(softplus_of)(T x)
{
    T tl, low;
    const T t = FN(exp_pair)(-ABS(x), 0, &tl);
    return (x > 0 ? x : (T)0) + FN(log1p_unit)(t, tl, &low);
}

/* max(a, b) and -|a - b| with its rounding error (TwoSum, Knuth). Equal arguments, infinities
 * included, give 0; so do arguments so far apart that the smaller does not count (*apart), as the
 * error would be inf - inf. */
FBP_INLINE T FN(ordered_difference)(T a, T b, T *low, T *top, int *apart)
{
    const int equal = a == b;
    T p = a > b ? b : a, q = a > b ? a : b, d, v;
    *top = q;
    p = equal ? 0 : p;
    q = equal ? 0 : q;
    *apart = p - q < -(T)(2 * BIAS);
    p = *apart ? 0 : p;
    q = *apart ? 0 : q;
    d = p - q;
    v = d - p;
    *low = (p - (d - v)) - (q + v);
    return d;
}

FBP_INLINE T FN(logaddexp_of)(T a, T b)
{
    T low, top, tl;
    int apart;
    const T d = FN(ordered_difference)(a, b, &low, &top, &apart);
    const T t = FN(exp_pair)(d, low, &tl);
    const T term = FN(log1p_unit)(t, tl, &low);
    return top + (apart ? 0 : term);
}

FBP_INLINE T FN(logaddexp2_of)(T a, T b)
{
    T low, top, tl;
    int apart;
    const T d = FN(ordered_difference)(a, b, &low, &top, &apart);
    const T t = FN(exp2_pair)(d, low, &tl);
    const T term = FN(log1p_unit)(t, tl, &low);
    return top + (apart ? 0 : term * LOG2E + (term * LOG2E_LO + low * LOG2E));
}

COSTLY_CORE1(sigmoid, FN(sigmoid_of)(a), NOTHING)
COSTLY_CORE1(softplus, FN(softplus_of)(a), NOTHING)
SLOPE_CORE2(sigmoid_slope, 4, z * (1 - z), FN(bell_of)(x))
SLOPE_CORE2(tanh_slope, 3, 1 - z * z, 4 * FN(bell_of)(2 * x))
COSTLY_CORE2(logaddexp, FN(logaddexp_of)(a, b))
COSTLY_CORE2(logaddexp2, FN(logaddexp2_of)(a, b))

#define SIGN_BIT ((U)1 << (8 * sizeof(T) - 1))

#ifdef DOUBLE_ONLY

/* The arguments are scaled where their squares could overflow or underflow.
 * Compilers vectorise sqrt() only with -fno-math-errno. */
FBP_INLINE double FN(hypot_of)(double a, double b)
{
    const double x = fabs(a), y = fabs(b), largest = x > y ? x : y;
    double down = largest > 0x1p500 ? 0x1p-600 : 1.0, up = largest > 0x1p500 ? 0x1p600 : 1.0, r;
    down = largest < 0x1p-450 ? 0x1p600 : down;
    up = largest < 0x1p-450 ? 0x1p-600 : up;
    r = sqrt((x * down) * (x * down) + (y * down) * (y * down)) * up;
    r = x == (double)INFINITY ? x : r;
    return y == (double)INFINITY ? y : r;
}

/* Cody and Waite's reduction of a by k*pi/2, in four parts: for k < 2^20 the products with the first
 * three, of 33 bits, are exact, and what the differences lose is kept (TwoSum), so that r + rl has
 * full relative accuracy even next to a multiple of pi/2. */
FBP_INLINE double FN(reduced)(double a, double k, double *rl)
{
    const double r0 = a - k * 0x1.921fb544p+0;
    const double p1 = k * 0x1.0b4611a6p-34, r1 = r0 - p1, v1 = r1 - r0;
    const double p2 = k * 0x1.3198a2ep-69, r2 = r1 - p2, v2 = r2 - r1;
    const double low = ((r0 - (r1 - v1)) - (p1 + v1)) + ((r1 - (r2 - v2)) - (p2 + v2))
                       - k * 0x1.b839a252049c1p-104;
    const double r = r2 + low;
    *rl = (r2 - r) + low;
    return r;
}

#else

/* The squares of floats are exact in float64 and cannot overflow there. */
FBP_INLINE float FN(hypot_of)(float a, float b)
{
    const float r = (float)sqrt((double)a * a + (double)b * b);
    return fabsf(a) == (float)INFINITY || fabsf(b) == (float)INFINITY ? (float)INFINITY : r;
}

/* In float64, where k times 33 bits of pi/2 is exact: no float is nearer than 2^-30 to a multiple. */
FBP_INLINE float FN(reduced)(float a, float k, float *rl)
{
    const double r = ((double)a - (double)k * 0x1.921fb544p+0) - (double)k * 0x1.0b4611a626331p-34;
    const float head = (float)r;
    *rl = (float)(r - (double)head);
    return head;
}

#endif

#if defined(DOUBLE_ONLY) || defined(FBP_ALL_KERNELS)

/* sin(x), or cos(x) = sin(x + pi/2) when quarter is 1, from x = k*pi/2 + r + rl (REDUCED). Beyond
 * REDUCIBLE, and for nan, the argument itself is returned and libm does the work afterwards:
 * |result| > 2 or nan marks those elements, which spares a copy of the input when the loop works in
 * place. */
FBP_INLINE T FN(sin_shifted)(T x, U quarter, U *outside)
{
    const int inside = ABS(x) <= REDUCIBLE;
    const T a = inside ? ABS(x) : 0;
    const T t = a * TWO_OVER_PI + MAGIC, k = t - MAGIC;
    const U q = FN(to_bits)(t) + quarter, odd = 0 - (q & 1);
    T rl;
    const T r = FN(reduced)(a, k, &rl);
    const T z = r * r, half = (T)0.5 * z, w = 1 - half;
    const T sine = r + (rl * w + r * z * SIN_TAIL(z));
    const T cosine = w + (((1 - w) - half) + (z * z * COS_TAIL(z) - r * rl));
    const U flip = ((q & 2) << (8 * sizeof(T) - 2)) ^ (quarter ? 0 : FN(to_bits)(x) & SIGN_BIT);
    const U bits = ((FN(to_bits)(cosine) & odd) | (FN(to_bits)(sine) & ~odd)) ^ flip;
    *outside |= inside ? 0 : 1;
    return inside ? FN(from_bits)(bits) : x;
}

#define REPAIR(LIBM)                                                                              \
    if (outside)                                                                                  \
        for (i = 0; i < m; i++)                                                                   \
            out[i] = ABS(out[i]) <= 2 ? out[i] : LIBM(out[i])
#define REPAIR_SIN(out, m, outside) REPAIR(SIN)
#define REPAIR_COS(out, m, outside) REPAIR(COS)
COSTLY_CORE1(sin, FN(sin_shifted)(a, 0, &outside), REPAIR_SIN)
COSTLY_CORE1(cos, FN(sin_shifted)(a, 1, &outside), REPAIR_COS)
#undef REPAIR
#undef REPAIR_SIN
#undef REPAIR_COS

#endif

#ifdef FBP_ALL_KERNELS

/* One select for both ends: two would become branches. */
FBP_INLINE T FN(exp_of)(T x)
{
    const T size = ABS(x) > -EXP_FLOOR ? -EXP_FLOOR : ABS(x);
    T low;
    return FN(exp_pair)(FN(from_bits)(FN(to_bits)(size) | (FN(to_bits)(x) & SIGN_BIT)), 0, &low);
}

/* (1 - t)/(1 + t) with t = e^(-2|x|), rounding errors put back as in the sigmoid; below 1/2, where
 * that cancels, |x| + |x|^3 * Q(x^2). */
FBP_INLINE T FN(tanh_of)(T x)
{
    const T y = ABS(x), z = y * y;
    T tl;
    const T t = FN(exp_pair)(-2 * y, 0, &tl);
    const T top = 1 - t, topl = ((1 - top) - t) - tl;
    const T d = 1 + t, dl = (t - (d - 1)) + tl;
    const T q = top / d;
    const T outer = q + (topl - q * dl) * (1 - (T)0.5 * t);
    const T inner = y + y * z * TANH_TAIL(z);
    const T result = y < (T)0.5 ? inner : outer;
    return FN(from_bits)(FN(to_bits)(result) | (FN(to_bits)(x) & SIGN_BIT));
}

COSTLY_CORE1(exp, FN(exp_of)(a), NOTHING)
COSTLY_CORE1(tanh, FN(tanh_of)(a), NOTHING)

#endif

COSTLY_CORE2(hypot, FN(hypot_of)(a, b))

#undef SIGN_BIT
#undef FN
#undef ITEM
#undef CHEAP_CORE1
#undef CHEAP_CORE2
#undef CHEAP_CORE3
#undef COSTLY_CORE1
#undef COSTLY_CORE2
#undef SLOPE_CORE2
#undef BEYOND
#undef TOP_BIT
#undef NOTHING
#undef ENTRY
#undef ENTRY1
#undef ENTRY2
#undef ENTRY3
#undef MULZ
