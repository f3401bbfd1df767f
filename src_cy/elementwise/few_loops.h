/* The instructions of few.h: how they are prepared, and run. */
#ifndef FASTBP_FEW_LOOPS_H
#define FASTBP_FEW_LOOPS_H

#include "few.h"

/* Choose how an instruction whose slots and strides are filled in is run. */
static inline void few_prepare(few_op *op, int which, intptr_t item)
{
    const intptr_t *s = op->steps;
    int k, way = s[op->nin] == item ? FEW_EVEN : FEW_ANY;
    for (k = 0; k < op->nin; k++)
        if (s[k] != item) way = FEW_ANY;
    if (op->nin == 2 && s[2] == item && s[0] == 0 && s[1] == item) way = FEW_SAME_FIRST;
    if (op->nin == 2 && s[2] == item && s[0] == item && s[1] == 0) way = FEW_SAME_SECOND;
    op->code = which == FEW_NONE ? 0 : which * FEW_WAYS + way;
}

/* Let no compiler make vectors of what stands here. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("no-tree-vectorize,no-tree-slp-vectorize")
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
#define FEW_ALL(...) \
    for (i = 0; i + 4 <= n; i += 4) { \
        FEW_ONE(__VA_ARGS__, i); \
        FEW_ONE(__VA_ARGS__, i + 1); \
        FEW_ONE(__VA_ARGS__, i + 2); \
        FEW_ONE(__VA_ARGS__, i + 3); \
    } \
    for (; i < n; i++) FEW_ONE(__VA_ARGS__, i); \
    break
/* A macro VALUE(T, a, b, c) does not touch the operands that it does not have. */
#define FEW_CASE(T, CODE, VALUE) \
    case CODE * FEW_WAYS + FEW_EVEN: FEW_ALL(T, VALUE, FEW_TO, FEW_X, FEW_Y, FEW_Z); \
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

/* Run instructions on n elements; return those from the first one that has to be called. */
#define FEW_DEFINE_RUN(T) \
static inline T few_mulz_##T(T g, T factor, int *undefined) \
{ \
    const T product = g * factor; \
    *undefined |= product != product; \
    return g == 0 ? g : product; \
} \
static int few_##T(const few_op *ops, int first, int end, char **at, intptr_t n, int *zeros) \
{ \
    int undefined = 0; \
    for (; first < end; first++) { \
        const few_op *op = ops + first; \
        const char *const x = at[op->slots[0]], *const y = at[op->slots[1]]; \
        const char *const z = at[op->slots[2]]; \
        char *const to = at[op->slots[op->nin]]; \
        intptr_t i; \
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
        default: *zeros |= undefined; return first; \
        } \
    } \
    *zeros |= undefined; \
    return end; \
}

FEW_DEFINE_RUN(double)
FEW_DEFINE_RUN(float)

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

#endif
