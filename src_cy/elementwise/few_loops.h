/* The instructions of few.h: how they are prepared, and run. */
#ifndef FASTBP_FEW_LOOPS_H
#define FASTBP_FEW_LOOPS_H

#include "few.h"

#include <string.h>

#if defined(__GNUC__)
#define FEW_NOINLINE __attribute__((noinline, unused))
#else
#define FEW_NOINLINE
#endif

/* Choose how an instruction whose slots and strides are filled in is run. */
static inline void few_prepare(few_op *op, int which, intptr_t item, intptr_t n)
{
    const intptr_t *s = op->steps;
    int k, way = FEW_EVEN;
    for (k = 0; k <= op->nin; k++)
        if (n > 1 && s[k] != item) way = FEW_ANY;
    if (op->nin == 2 && s[2] == item && s[0] == 0 && s[1] == item) way = FEW_SAME_FIRST;
    if (op->nin == 2 && s[2] == item && s[0] == item && s[1] == 0) way = FEW_SAME_SECOND;
    op->code = which == FEW_NONE ? 0 : which * FEW_WAYS + way;
}

/* Let no compiler make vectors of what stands here. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("no-tree-vectorize,no-tree-slp-vectorize,no-tree-loop-distribute-patterns")
#endif

#define FEW_X(T, i) (((const T *)x)[i])
#define FEW_Y(T, i) (((const T *)y)[i])
#define FEW_Z(T, i) (((const T *)z)[i])
#define FEW_TO(T, i) (((T *)to)[i])
#define FEW_X_SAME(T, i) (*(const T *)x)
#define FEW_Y_SAME(T, i) (*(const T *)y)
#define FEW_X_ANY(T, i) (*(const T *)(x + (i) * op->steps[0]))
#define FEW_Y_ANY(T, i) (*(const T *)(y + (i) * op->steps[1]))
#define FEW_Z_ANY(T, i) (*(const T *)(z + (i) * op->steps[2]))
#define FEW_TO_ANY(T, i) (*(T *)(to + (i) * op->steps[op->nin]))

#define FEW_ONE(T, VALUE, TO, X, Y, Z, i) TO(T, i) = VALUE(T, X(T, i), Y(T, i), Z(T, i))
#define FEW_ALL(T, VALUE, TO, X, Y, Z) \
    i = 0; \
    FEW_MANY_##T(VALUE, TO, X, Y, Z) \
    for (; i < n; i++) FEW_ONE(T, VALUE, TO, X, Y, Z, i); \
    break

/* Two numbers of double precision are computed at once. They are read one by one: by strides, so that
 * no compiler makes one vector of what lies side by side. */
#define FEW_FOURS(T, VALUE, TO, X, Y, Z) \
    for (; i + 4 <= n; i += 4) { \
        FEW_ONE(T, VALUE, TO, X, Y, Z, i); \
        FEW_ONE(T, VALUE, TO, X, Y, Z, i + 1); \
        FEW_ONE(T, VALUE, TO, X, Y, Z, i + 2); \
        FEW_ONE(T, VALUE, TO, X, Y, Z, i + 3); \
    }
#define FEW_MANY_float(VALUE, TO, X, Y, Z) FEW_FOURS(float, VALUE, TO, X, Y, Z)
#if defined(__GNUC__)
typedef double few_pair __attribute__((vector_size(16)));
typedef long long few_bits __attribute__((vector_size(16)));
#define FEW_MANY_double(VALUE, TO, X, Y, Z) \
    for (; i + 2 <= n; i += 2) { \
        const few_pair pair = VALUE##_PAIR(X##_PAIR(i), Y##_PAIR(i), Z##_PAIR(i)); \
        TO##_PAIR(i); \
    }
#define FEW_READ(at, other) ((few_pair){*(const double *)(at), *(const double *)(other)})
#define FEW_X_PAIR(i) FEW_READ(x + (i) * 8, x_next + (i) * 8)
#define FEW_Y_PAIR(i) FEW_READ(y + (i) * 8, y_next + (i) * 8)
#define FEW_Z_PAIR(i) FEW_READ(z + (i) * 8, z_next + (i) * 8)
#define FEW_X_SAME_PAIR(i) FEW_READ(x, x)
#define FEW_Y_SAME_PAIR(i) FEW_READ(y, y)
#define FEW_X_ANY_PAIR(i) FEW_READ(x + (i) * op->steps[0], x_next + (i) * op->steps[0])
#define FEW_Y_ANY_PAIR(i) FEW_READ(y + (i) * op->steps[1], y_next + (i) * op->steps[1])
#define FEW_Z_ANY_PAIR(i) FEW_READ(z + (i) * op->steps[2], z_next + (i) * op->steps[2])
/* Where the second number of a pair is. */
#define FEW_NEXT(T) \
    const char *const x_next = x + op->steps[0], *const y_next = y + op->steps[1]; \
    const char *const z_next = z + op->steps[2]; \
    (void)x_next, (void)y_next, (void)z_next
#define FEW_TO_PAIR(i) memcpy(to + (i) * 8, &pair, 16)
#define FEW_TO_ANY_PAIR(i) FEW_TO_ANY(double, i) = pair[0], FEW_TO_ANY(double, i + 1) = pair[1]
#define FEW_VALUE_ADD_PAIR(a, b, c) a + b
#define FEW_VALUE_SUBTRACT_PAIR(a, b, c) a - b
#define FEW_VALUE_MULTIPLY_PAIR(a, b, c) a * b
#define FEW_VALUE_DIVIDE_PAIR(a, b, c) a / b
#define FEW_VALUE_NEGATIVE_PAIR(a, b, c) -a
#define FEW_VALUE_SQUARE_PAIR(a, b, c) few_square_pair(a)
#define FEW_VALUE_POSITIVE_PAIR(a, b, c) a
#define FEW_VALUE_SELECT_PAIR(a, b, c) few_select_pair(a != 0.0, b, c)
#define FEW_VALUE_MULZ_PAIR(a, b, c) few_mulz_pair(a, b, &undefined_pair)
#define FEW_VALUE_MULZ_ADD_PAIR(a, b, c) a + few_mulz_pair(b, c, &undefined_pair)

static inline few_pair few_square_pair(few_pair x)
{
    return x * x;
}

static inline few_pair few_select_pair(few_bits mask, few_pair x, few_pair y)
{
    return (few_pair)((mask & (few_bits)x) | (~mask & (few_bits)y));
}

static inline few_pair few_mulz_pair(few_pair g, few_pair factor, few_bits *undefined)
{
    const few_pair product = g * factor;
    *undefined |= product != product;
    return few_select_pair(g == 0.0, g, product);
}
#else
typedef int few_bits[2];
#define FEW_NEXT(T) (void)z
#define FEW_MANY_double(VALUE, TO, X, Y, Z) FEW_FOURS(double, VALUE, TO, X, Y, Z)
#endif
/* A macro VALUE(T, a, b, c) does not touch the operands that it does not have. */
#define FEW_CASE(T, CODE, VALUE) \
    case CODE * FEW_WAYS + FEW_EVEN: FEW_ALL(T, VALUE, FEW_TO, FEW_X, FEW_Y, FEW_Z)
#define FEW_CASE_ANY(T, CODE, VALUE) \
    case CODE * FEW_WAYS + FEW_ANY: FEW_ALL(T, VALUE, FEW_TO_ANY, FEW_X_ANY, FEW_Y_ANY, FEW_Z_ANY)
#define FEW_CASE2(T, CODE, VALUE) \
    FEW_CASE(T, CODE, VALUE); \
    case CODE * FEW_WAYS + FEW_SAME_FIRST: \
        FEW_ALL(T, VALUE, FEW_TO, FEW_X_SAME, FEW_Y, FEW_Z); \
    case CODE * FEW_WAYS + FEW_SAME_SECOND: \
        FEW_ALL(T, VALUE, FEW_TO, FEW_X, FEW_Y_SAME, FEW_Z)

#define FEW_VALUE_ADD(T, a, b, c) a + b
#define FEW_VALUE_SUBTRACT(T, a, b, c) a - b
#define FEW_VALUE_MULTIPLY(T, a, b, c) a * b
#define FEW_VALUE_DIVIDE(T, a, b, c) a / b
#define FEW_VALUE_NEGATIVE(T, a, b, c) -a
#define FEW_VALUE_SQUARE(T, a, b, c) a * a
#define FEW_VALUE_POSITIVE(T, a, b, c) a
#define FEW_VALUE_SELECT(T, a, b, c) a != 0 ? b : c
#define FEW_VALUE_MULZ(T, a, b, c) few_mulz_##T(a, b, &undefined)
#define FEW_VALUE_MULZ_ADD(T, a, b, c) a + few_mulz_##T(b, c, &undefined)

/* Run an instruction on elements with any strides; return 0 where it has to be called. */
#define FEW_DEFINE_RUN(T) \
static inline T few_mulz_##T(T g, T factor, int *undefined) \
{ \
    const T product = g * factor; \
    *undefined |= product != product; \
    return g == 0 ? g : product; \
} \
static FEW_NOINLINE int few_any_##T(const few_op *op, char **at, intptr_t n, int *zeros) \
{ \
    const char *const x = at[op->slots[0]], *const y = at[op->slots[1]]; \
    const char *const z = at[op->slots[2]]; \
    char *const to = at[op->slots[op->nin]]; \
    few_bits undefined_pair = {0, 0}; \
    int undefined = 0; \
    intptr_t i; \
    FEW_NEXT(T); \
    switch (op->code) { \
    FEW_CASE_ANY(T, FEW_ADD, FEW_VALUE_ADD); \
    FEW_CASE_ANY(T, FEW_SUBTRACT, FEW_VALUE_SUBTRACT); \
    FEW_CASE_ANY(T, FEW_MULTIPLY, FEW_VALUE_MULTIPLY); \
    FEW_CASE_ANY(T, FEW_DIVIDE, FEW_VALUE_DIVIDE); \
    FEW_CASE_ANY(T, FEW_NEGATIVE, FEW_VALUE_NEGATIVE); \
    FEW_CASE_ANY(T, FEW_SQUARE, FEW_VALUE_SQUARE); \
    FEW_CASE_ANY(T, FEW_POSITIVE, FEW_VALUE_POSITIVE); \
    FEW_CASE_ANY(T, FEW_SELECT, FEW_VALUE_SELECT); \
    FEW_CASE_ANY(T, FEW_STRONG_MULTIPLY, FEW_VALUE_MULZ); \
    FEW_CASE_ANY(T, FEW_STRONG_MULTIPLY_ADD, FEW_VALUE_MULZ_ADD); \
    default: return 0; \
    } \
    *zeros |= undefined | (undefined_pair[0] != 0) | (undefined_pair[1] != 0); \
    return 1; \
} \
static void few_run_##T(const few_code *code, char **at, intptr_t n, int *zeros) \
{ \
    T temps[FEW_TEMPS * FEW]; \
    const few_op *op = code->ops, *const end = op + code->n_ops; \
    char **slot = at + code->n_external; \
    few_bits undefined_pair = {0, 0}; \
    int k, undefined = 0; \
    for (k = 0; k < code->n_constants; k++) *slot++ = code->constants + k * (int)sizeof(T); \
    for (k = 0; k < code->n_temps; k++) *slot++ = (char *)(temps + k * FEW); \
    for (; op < end; op++) { \
        const char *const x = at[op->slots[0]], *const y = at[op->slots[1]]; \
        const char *const z = at[op->slots[2]]; \
        char *const to = at[op->slots[op->nin]]; \
        intptr_t i; \
        FEW_NEXT(T); \
        switch (op->code) { \
        FEW_CASE2(T, FEW_ADD, FEW_VALUE_ADD); \
        FEW_CASE2(T, FEW_SUBTRACT, FEW_VALUE_SUBTRACT); \
        FEW_CASE2(T, FEW_MULTIPLY, FEW_VALUE_MULTIPLY); \
        FEW_CASE2(T, FEW_DIVIDE, FEW_VALUE_DIVIDE); \
        FEW_CASE(T, FEW_NEGATIVE, FEW_VALUE_NEGATIVE); \
        FEW_CASE(T, FEW_SQUARE, FEW_VALUE_SQUARE); \
        FEW_CASE(T, FEW_POSITIVE, FEW_VALUE_POSITIVE); \
        FEW_CASE(T, FEW_SELECT, FEW_VALUE_SELECT); \
        FEW_CASE2(T, FEW_STRONG_MULTIPLY, FEW_VALUE_MULZ); \
        FEW_CASE(T, FEW_STRONG_MULTIPLY_ADD, FEW_VALUE_MULZ_ADD); \
        default: \
            if (!few_any_##T(op, at, n, zeros)) few_call(op, at, n); \
        } \
    } \
    *zeros |= undefined | (undefined_pair[0] != 0) | (undefined_pair[1] != 0); \
}

static FEW_NOINLINE void few_call(const few_op *op, char **at, intptr_t n)
{
    char *args[4];
    int k;
    for (k = 0; k < 4; k++) args[k] = at[op->slots[k]];
    op->loop(args, &n, op->steps, op->data);
}

FEW_DEFINE_RUN(double)
FEW_DEFINE_RUN(float)

/* Run a program on n <= FEW elements: `at` has FEW_SLOTS pointers, of which those of the externals are
 * filled in. Return whether a zero met what is not finite. */
static inline int few_run(const few_code *code, char **at, intptr_t n)
{
    int zeros = 0;
    if (code->item == sizeof(double)) few_run_double(code, at, n, &zeros);
    else few_run_float(code, at, n, &zeros);
    return zeros;
}

/* The sum of up to FEW contiguous numbers in the order of NumPy's loop: eight sums, which meet in
 * pairs, and the rest. */
#define FEW_DEFINE_SUM(T) \
static FEW_NOINLINE T few_sum_##T(const T *x, intptr_t n) \
{ \
    T total = 0; \
    intptr_t i = 0; \
    if (n >= 2 * 8) \
        total = (((x[0] + x[8]) + (x[1] + x[9])) + ((x[2] + x[10]) + (x[3] + x[11]))) \
                + (((x[4] + x[12]) + (x[5] + x[13])) + ((x[6] + x[14]) + (x[7] + x[15]))), \
        i = 16; \
    else if (n >= 8) \
        total = ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7])), i = 8; \
    for (; i < n; i++) total += x[i]; \
    return total; \
}
FEW_DEFINE_SUM(double)
FEW_DEFINE_SUM(float)

/* Copy n elements of 4 or 8 bytes, number by number. */
static FEW_NOINLINE void few_copy(const char *source, intptr_t from_step, char *target,
                                  intptr_t to_step, intptr_t n, int item)
{
    for (; n > 0; n--, source += from_step, target += to_step) {
        if (item == 8) *(double *)target = *(const double *)source;
        else *(float *)target = *(const float *)source;
    }
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

#endif
