/* The kernels that every sweep needs, for complex numbers (K, of two T) and one instruction set.
 *
 * Products are the plain ones of NumPy, (a.re b.re - a.im b.im) and so on, without the recovery of
 * infinities that C has. A number is zero if both parts are, NaN if one is. No include guard:
 * kernels_level.h includes this once per dtype, behind kernels_body.h. */
#define FN(name) FBP_CAT3(name, K_SUFFIX, FBP_LEVEL)
#define BITS(x) FBP_CAT3(to_bits, SUFFIX, FBP_LEVEL)(x)
#define ITEM ((intptr_t)sizeof(K))

#define ENTRY(NAME, NIN, CONTIGUOUS)                                                              \
    static void FN(NAME)(char **args, const intptr_t *dimensions, const intptr_t *steps,          \
                         void *data)                                                              \
    {                                                                                             \
        const intptr_t n = dimensions[0];                                                         \
        (void)data;                                                                               \
        if (CONTIGUOUS)                                                                           \
            FN(NAME##_core)(args, n);                                                             \
        else if (n > 0)                                                                           \
            K_BLOCKED(args, n, steps, NIN, FN(NAME##_core));                                      \
    }
#define ENTRY1(NAME) ENTRY(NAME, 1, steps[0] == ITEM && steps[1] == ITEM)
#define ENTRY2(NAME) ENTRY(NAME, 2, steps[0] == ITEM && steps[1] == ITEM && steps[2] == ITEM)
#define ENTRY3(NAME)                                                                              \
    ENTRY(NAME, 3, steps[0] == ITEM && steps[1] == ITEM && steps[2] == ITEM && steps[3] == ITEM)

/* Loops of y in a (and b, c). */
#define CORE1(NAME, Y)                                                                            \
    static void FN(NAME##_core)(char **args, intptr_t n)                                          \
    {                                                                                             \
        const K *x0 = (const K *)args[0];                                                         \
        K *out = (K *)args[1];                                                                    \
        intptr_t i;                                                                               \
        FBP_IVDEP                                                                                 \
        for (i = 0; i < n; i++) {                                                                 \
            const K a = x0[i];                                                                    \
            out[i] = Y;                                                                           \
        }                                                                                         \
    }                                                                                             \
    ENTRY1(NAME)

#define CORE2(NAME, Y)                                                                            \
    static void FN(NAME##_core)(char **args, intptr_t n)                                          \
    {                                                                                             \
        const K *x0 = (const K *)args[0], *x1 = (const K *)args[1];                               \
        K *out = (K *)args[2];                                                                    \
        intptr_t i;                                                                               \
        FBP_IVDEP                                                                                 \
        for (i = 0; i < n; i++) {                                                                 \
            const K a = x0[i], b = x1[i];                                                         \
            out[i] = Y;                                                                           \
        }                                                                                         \
    }                                                                                             \
    ENTRY2(NAME)

#define CORE3(NAME, Y)                                                                            \
    static void FN(NAME##_core)(char **args, intptr_t n)                                          \
    {                                                                                             \
        const K *x0 = (const K *)args[0], *x1 = (const K *)args[1], *x2 = (const K *)args[2];     \
        K *out = (K *)args[3];                                                                    \
        intptr_t i;                                                                               \
        FBP_IVDEP                                                                                 \
        for (i = 0; i < n; i++) {                                                                 \
            const K a = x0[i], b = x1[i], c = x2[i];                                              \
            out[i] = Y;                                                                           \
        }                                                                                         \
    }                                                                                             \
    ENTRY3(NAME)

FBP_INLINE K FN(of)(T re, T im)
{
    K z;
    z.re = re;
    z.im = im;
    return z;
}

FBP_INLINE K FN(product)(K a, K b)
{
    return FN(of)(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re);
}

FBP_INLINE K FN(sum)(K a, K b)
{
    return FN(of)(a.re + b.re, a.im + b.im);
}

FBP_INLINE int FN(is_nan)(K a)
{
    return a.re != a.re || a.im != a.im;
}

/* As for floats: a zero g stays that zero, and blocks with a product that is NaN are counted. */
FBP_INLINE K FN(strong_product)(K g, K p, U *undefined)
{
    const K product = FN(product)(g, p);
    const int zero = g.re == 0 && g.im == 0;
    *undefined |= FN(is_nan)(product) ? (U)1 : (U)0;
    return FN(of)(zero ? g.re : product.re, zero ? g.im : product.im);
}

static void FN(mulz_core)(char **args, intptr_t n)
{
    const K *x0 = (const K *)args[0], *x1 = (const K *)args[1];
    K *y = (K *)args[2];
    U undefined = 0;
    intptr_t i;
    FBP_IVDEP
    for (i = 0; i < n; i++)
        y[i] = FN(strong_product)(x0[i], x1[i], &undefined);
    if (undefined)
        fastbp_count_strong_zero();
}
ENTRY2(mulz)

static void FN(mulz_add_core)(char **args, intptr_t n)
{
    const K *x0 = (const K *)args[0], *x1 = (const K *)args[1], *x2 = (const K *)args[2];
    K *y = (K *)args[3];
    U undefined = 0;
    intptr_t i;
    FBP_IVDEP
    for (i = 0; i < n; i++)
        y[i] = FN(sum)(x0[i], FN(strong_product)(x1[i], x2[i], &undefined));
    if (undefined)
        fastbp_count_strong_zero();
}
ENTRY3(mulz_add)

/* An exact zero is -0 in both parts. A part that arithmetic made zero is +0. */
FBP_INLINE K FN(signed_product)(K g, K p)
{
    const K product = FN(product)(g, p);
    const int exact = BITS(g.re) == BITS((T)-0.0) && BITS(g.im) == BITS((T)-0.0);
    const T re = product.re == 0 ? (T)0 : product.re, im = product.im == 0 ? (T)0 : product.im;
    return FN(of)(exact ? g.re : re, exact ? g.im : im);
}
CORE2(mulx, FN(signed_product)(a, b))
CORE3(mulx_add, FN(sum)(a, FN(signed_product)(b, c)))

/* Masks; the order is NumPy's, of the real parts and where they are equal of the imaginary ones. */
FBP_INLINE int FN(is_above)(K a, K b)
{
    return (a.re > b.re && a.im == a.im && b.im == b.im) || (a.re == b.re && a.im > b.im);
}

FBP_INLINE int FN(is_equal)(K a, K b)
{
    return a.re == b.re && a.im == b.im;
}
#define MASK(CONDITION) FN(of)((CONDITION) ? (T)1 : (T)0, (T)0)
CORE2(gt, MASK(FN(is_above)(a, b)))
CORE2(ge, MASK(FN(is_above)(a, b) || FN(is_equal)(a, b)))
CORE2(lt, MASK(FN(is_above)(b, a)))
CORE2(le, MASK(FN(is_above)(b, a) || FN(is_equal)(a, b)))
CORE2(eq, MASK(FN(is_equal)(a, b)))
CORE2(ne, MASK(!FN(is_equal)(a, b)))
CORE1(finite, MASK(a.re - a.re == 0 && a.im - a.im == 0))
CORE3(select, FN(of)(a.re != 0 || a.im != 0 ? b.re : c.re, a.re != 0 || a.im != 0 ? b.im : c.im))

#undef FN
#undef BITS
#undef ITEM
#undef ENTRY
#undef ENTRY1
#undef ENTRY2
#undef ENTRY3
#undef CORE1
#undef CORE2
#undef CORE3
#undef MASK
