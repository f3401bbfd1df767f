/* The gate passes for one dtype (T, U = its bits) and one instruction set (LEVEL). No include guard:
 * recurrent_kernels.c includes this once for each pair. Every function of one element is
 * branch-free, so that the compiler runs it on whole vectors. */
#define FN(name) CAT(name, SUFFIX, LEVEL)

INLINE T FN(power_of_two)(T k)
{
    const T shifted = k + MAGIC;
    U bits;
    T result;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + BIAS) << MANTISSA;
    memcpy(&result, &bits, sizeof result);
    return result;
}

/* expm1(r) and 2^k for x = k log(2) + r, |r| <= log(2)/2; Cody and Waite's reduction. */
INLINE T FN(reduced_expm1)(T x, T *scale)
{
    const T k = (x * LOG2E + MAGIC) - MAGIC;
    const T r = (x - k * LN2_HEAD) - k * LN2_TAIL;
    const T z = r * r;
    *scale = FN(power_of_two)(k);
    return r + z * EXP_TAIL(r, z);
}

/* expm1(2|x|) / (expm1(2|x|) + 2): small arguments keep their relative accuracy. */
INLINE T FN(tanh_of)(T x)
{
    const T size = ABS(x), y = size > TANH_ONE ? TANH_ONE : size;
    T scale;
    const T p = FN(reduced_expm1)(2 * y, &scale);
    const T e = scale * p + (scale - 1);
    return COPYSIGN(e / (e + 2), x);
}

/* 1 / (1 + e^-x) from e^-|x|, which cannot overflow. */
INLINE T FN(sigmoid_of)(T x)
{
    const T size = ABS(x), y = size > EXP_LEAST ? EXP_LEAST : size;
    T scale;
    const T p = FN(reduced_expm1)(-y, &scale);
    const T e = scale + scale * p;
    return (x < 0 ? e : (T)1) / (1 + e);
}

static void FN(activate)(int kind, ptrdiff_t n, T *x)
{
    ptrdiff_t j;
    if (kind == RECURRENT_TANH)
        IVDEP for (j = 0; j < n; j++) x[j] = FN(tanh_of)(x[j]);
    else if (kind == RECURRENT_RELU)
        /* As np.maximum(x, 0): a NaN stays. */
        IVDEP for (j = 0; j < n; j++) x[j] = x[j] <= 0 ? (T)0 : x[j];
}

static void FN(activate_vjp)(int kind, ptrdiff_t n, const T *h, const T *g, const T *h_bar, T *out)
{
    ptrdiff_t j;
    if (kind == RECURRENT_TANH)
        IVDEP for (j = 0; j < n; j++) out[j] = (h_bar[j] + g[j]) * (1 - h[j] * h[j]);
    else if (kind == RECURRENT_RELU)
        IVDEP for (j = 0; j < n; j++) out[j] = h[j] > 0 ? h_bar[j] + g[j] : (T)0;
    else
        IVDEP for (j = 0; j < n; j++) out[j] = h_bar[j] + g[j];
}

static void FN(lstm)(ptrdiff_t n, T *gates, const T *c_prev, T *h)
{
    T *gi = gates, *gf = gates + n, *gg = gates + 2 * n, *go = gates + 3 * n;
    T *gc = gates + 4 * n, *gt = gates + 5 * n;
    ptrdiff_t j;
    IVDEP for (j = 0; j < n; j++)
    {
        const T i = FN(sigmoid_of)(gi[j]), f = FN(sigmoid_of)(gf[j]);
        const T g = FN(tanh_of)(gg[j]), o = FN(sigmoid_of)(go[j]);
        const T c = f * c_prev[j] + i * g, t = FN(tanh_of)(c);
        gi[j] = i;
        gf[j] = f;
        gg[j] = g;
        go[j] = o;
        gc[j] = c;
        gt[j] = t;
        h[j] = o * t;
    }
}

static void FN(lstm_vjp)(ptrdiff_t n, const T *gates, const T *c_prev, const T *g, const T *h_bar,
                         T *c_bar, T *out)
{
    const T *gi = gates, *gf = gates + n, *gg = gates + 2 * n, *go = gates + 3 * n;
    const T *gt = gates + 5 * n;
    ptrdiff_t j;
    IVDEP for (j = 0; j < n; j++)
    {
        const T i = gi[j], f = gf[j], u = gg[j], o = go[j], t = gt[j];
        const T d = h_bar[j] + g[j], c = c_bar[j] + d * o * (1 - t * t);
        out[j] = c * u * (i * (1 - i));
        out[n + j] = c * c_prev[j] * (f * (1 - f));
        out[2 * n + j] = c * i * (1 - u * u);
        out[3 * n + j] = d * t * (o * (1 - o));
        c_bar[j] = c * f;
    }
}

static void FN(gru)(ptrdiff_t n, T *gates, const T *hw, const T *bias, const T *h_prev, T *h)
{
    T *gr = gates, *gz = gates + n, *gn = gates + 2 * n, *ga = gates + 3 * n;
    ptrdiff_t j;
    IVDEP for (j = 0; j < n; j++)
    {
        const T r = FN(sigmoid_of)(gr[j] + hw[j]), z = FN(sigmoid_of)(gz[j] + hw[n + j]);
        const T a = hw[2 * n + j] + bias[j], u = FN(tanh_of)(gn[j] + r * a);
        gr[j] = r;
        gz[j] = z;
        gn[j] = u;
        ga[j] = a;
        h[j] = (1 - z) * u + z * h_prev[j];
    }
}

static void FN(gru_vjp)(ptrdiff_t n, const T *gates, const T *h_prev, const T *g, T *h_bar, T *out)
{
    const T *gr = gates, *gz = gates + n, *gn = gates + 2 * n, *ga = gates + 3 * n;
    ptrdiff_t j;
    IVDEP for (j = 0; j < n; j++)
    {
        const T r = gr[j], z = gz[j], u = gn[j], d = h_bar[j] + g[j];
        const T u_bar = d * (1 - z) * (1 - u * u);
        out[j] = u_bar * r;
        out[n + j] = u_bar * ga[j] * (r * (1 - r));
        out[2 * n + j] = d * (h_prev[j] - u) * (z * (1 - z));
        out[3 * n + j] = u_bar;
        h_bar[j] = d * z;
    }
}

/* In groups of 8 rows: their sum stays in registers, and rounding errors stay small. */
static void FN(add_rows)(ptrdiff_t rows, ptrdiff_t n, ptrdiff_t ld, const T *x, T *out)
{
    ptrdiff_t i, j;
    for (i = 0; i + 8 <= rows; i += 8, x += 8 * ld)
        IVDEP for (j = 0; j < n; j++)
            out[j] += ((x[j] + x[ld + j]) + (x[2 * ld + j] + x[3 * ld + j]))
                + ((x[4 * ld + j] + x[5 * ld + j]) + (x[6 * ld + j] + x[7 * ld + j]));
    for (; i < rows; i++, x += ld)
        IVDEP for (j = 0; j < n; j++) out[j] += x[j];
}

/* 32 columns at a time, in registers; two sums for each, since additions wait for each other. */
static void FN(vector)(ptrdiff_t n, ptrdiff_t k, const T *x, const T *b, int beta, T *y)
{
    ptrdiff_t p, j;
    const ptrdiff_t ld = n;
    for (; n >= 32; n -= 32, b += 32, y += 32) {
        T even[32] = {0}, odd[32] = {0};
        for (p = 0; p + 2 <= k; p += 2) {
            const T *row = b + p * ld;
            for (j = 0; j < 32; j++)
                even[j] += x[p] * row[j];
            for (j = 0; j < 32; j++)
                odd[j] += x[p + 1] * row[ld + j];
        }
        if (p < k)
            for (j = 0; j < 32; j++)
                even[j] += x[p] * b[p * ld + j];
        for (j = 0; j < 32; j++)
            y[j] = even[j] + odd[j] + (beta ? y[j] : (T)0);
    }
    for (; n > 0; n -= 8, b += 8, y += 8) {
        const ptrdiff_t w = n < 8 ? n : 8;
        T sum[8] = {0};
        if (w == 8)
            for (p = 0; p < k; p++)
                for (j = 0; j < 8; j++)
                    sum[j] += x[p] * b[p * ld + j];
        else
            for (p = 0; p < k; p++)
                for (j = 0; j < w; j++)
                    sum[j] += x[p] * b[p * ld + j];
        for (j = 0; j < w; j++)
            y[j] = sum[j] + (beta ? y[j] : (T)0);
    }
}

static const PASSES CAT(recurrent, SUFFIX, LEVEL) = {
    FN(activate), FN(activate_vjp), FN(lstm), FN(lstm_vjp), FN(gru), FN(gru_vjp),
    FN(vector), FN(add_rows),
};

#undef FN
