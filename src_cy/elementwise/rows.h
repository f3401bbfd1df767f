/* Short rows, copied in line: a call of memcpy takes longer than to copy a hundred bytes. */
#ifndef FASTBP_ROWS_H
#define FASTBP_ROWS_H

#include <stdint.h>
#include <string.h>

/* Bytes. Above a few thousand libraries take an instruction that copies strings, which is ten times
 * slower on some processors where one row begins a little behind the other, modulo 4096. */
enum { ROW_IN_LINE = 1 << 16 };

/* As memcpy, but one instruction each where the processor has it: compilers take two for 32 bytes. */
#if defined(__GNUC__)
typedef char row_32 __attribute__((vector_size(32), aligned(1), may_alias));
#define ROW_32(to, from) (*(row_32 *)(to) = *(const row_32 *)(from))
#else
#define ROW_32(to, from) memcpy(to, from, 32)
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#endif

/* NAME##_row copies n bytes, a multiple of 4, between rows that do not overlap: the last piece may
 * have bytes that the one before has, too. NAME##_rows copies rows of n bytes that lie so many bytes
 * apart, short ones without a loop over their pieces; NAME##_pieces pieces of a row, one behind the
 * other: runs are pairs of where one begins, -1 for zeros, and how long it is, in elements. */
#define ROW_PIECE(k) ROW_32(to + 32 * k, from + 32 * k);
#define ROWS_OF(PIECES) \
    for (; rows > 0; rows--, to += to_step, from += from_step) { \
        PIECES \
        ROW_32(to + n - 32, from + n - 32); \
    } \
    return;
#define ROWS_DEFINE(NAME, TARGET) \
TARGET static inline void NAME##_row(char *to, const char *from, intptr_t n) \
{ \
    intptr_t i; \
    if (n > ROW_IN_LINE) { \
        memcpy(to, from, n); \
    } else if (n >= 32) { \
        for (i = 0; i < n - 128; i += 128) { \
            ROW_32(to + i, from + i); \
            ROW_32(to + i + 32, from + i + 32); \
            ROW_32(to + i + 64, from + i + 64); \
            ROW_32(to + i + 96, from + i + 96); \
        } \
        for (; i < n - 32; i += 32) ROW_32(to + i, from + i); \
        ROW_32(to + n - 32, from + n - 32); \
    } else if (n >= 16) { \
        memcpy(to, from, 16); \
        memcpy(to + n - 16, from + n - 16, 16); \
    } else { \
        for (i = 0; i < n; i += 4) memcpy(to + i, from + i, 4); \
    } \
} \
TARGET static inline void NAME##_rows(char *to, intptr_t to_step, const char *from, \
                                      intptr_t from_step, intptr_t rows, intptr_t n) \
{ \
    switch (n < 32 ? 0 : (n - 1) / 32) { \
    case 1: ROWS_OF(ROW_PIECE(0)) \
    case 2: ROWS_OF(ROW_PIECE(0) ROW_PIECE(1)) \
    case 3: ROWS_OF(ROW_PIECE(0) ROW_PIECE(1) ROW_PIECE(2)) \
    case 4: ROWS_OF(ROW_PIECE(0) ROW_PIECE(1) ROW_PIECE(2) ROW_PIECE(3)) \
    case 5: ROWS_OF(ROW_PIECE(0) ROW_PIECE(1) ROW_PIECE(2) ROW_PIECE(3) ROW_PIECE(4)) \
    } \
    for (; rows > 0; rows--, to += to_step, from += from_step) NAME##_row(to, from, n); \
} \
TARGET static inline void NAME##_pieces(char *to, const char *from, const intptr_t *runs, \
                                        intptr_t n_runs, intptr_t item) \
{ \
    for (; n_runs > 0; n_runs--, runs += 2) { \
        const intptr_t n = runs[1] * item; \
        if (runs[0] < 0) memset(to, 0, n); \
        else if (n == 8) memcpy(to, from + runs[0] * item, 8); \
        else NAME##_row(to, from + runs[0] * item, n); \
        to += n; \
    } \
}

ROWS_DEFINE(copy_0, )

static int rows_level = 0; /* 0: baseline, 1: AVX2; the processor must have it */

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
ROWS_DEFINE(copy_1, __attribute__((target("avx2"))))
#define ROWS_DISPATCH(NAME, ...) (rows_level ? copy_1_##NAME(__VA_ARGS__) : copy_0_##NAME(__VA_ARGS__))
#else
#define ROWS_DISPATCH(NAME, ...) copy_0_##NAME(__VA_ARGS__)
#endif

static inline void copy_row(char *to, const char *from, intptr_t n)
{
    copy_0_row(to, from, n);
}

static inline void copy_rows(char *to, intptr_t to_step, const char *from, intptr_t from_step,
                             intptr_t rows, intptr_t n)
{
    ROWS_DISPATCH(rows, to, to_step, from, from_step, rows, n);
}

static inline void copy_pieces(char *to, const char *from, const intptr_t *runs, intptr_t n_runs,
                               intptr_t item)
{
    ROWS_DISPATCH(pieces, to, from, runs, n_runs, item);
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

#endif
