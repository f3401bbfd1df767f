/* Short rows, copied in line: a call of memcpy takes longer than to copy a hundred bytes. */
#ifndef FASTBP_ROWS_H
#define FASTBP_ROWS_H

#include <stdint.h>
#include <string.h>

enum { ROW_IN_LINE = 512 }; /* bytes */

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#endif

/* Copy n bytes, a multiple of 4, between rows that do not overlap. The last piece may have bytes
 * that the one before has, too. */
static inline void copy_row(char *to, const char *from, intptr_t n)
{
    intptr_t i;
    if (n > ROW_IN_LINE) {
        memcpy(to, from, n);
    } else if (n >= 32) {
        for (i = 0; i + 32 <= n; i += 32) memcpy(to + i, from + i, 32);
        if (i < n) memcpy(to + n - 32, from + n - 32, 32);
    } else if (n >= 16) {
        memcpy(to, from, 16);
        memcpy(to + n - 16, from + n - 16, 16);
    } else {
        for (i = 0; i < n; i += 4) memcpy(to + i, from + i, 4);
    }
}

/* Copy rows of n bytes that lie so many bytes apart. */
static inline void copy_rows(char *to, intptr_t to_step, const char *from, intptr_t from_step,
                             intptr_t rows, intptr_t n)
{
    for (; rows > 0; rows--, to += to_step, from += from_step) copy_row(to, from, n);
}

/* Copy pieces of a row one behind the other: runs are pairs of where one begins, -1 for zeros, and
 * how long it is, in elements. */
static inline void copy_pieces(char *to, const char *from, const intptr_t *runs, intptr_t n_runs,
                               intptr_t item)
{
    for (; n_runs > 0; n_runs--, runs += 2) {
        const intptr_t n = runs[1] * item;
        if (runs[0] < 0) memset(to, 0, n);
        else if (n == 8) memcpy(to, from + runs[0] * item, 8);
        else copy_row(to, from + runs[0] * item, n);
        to += n;
    }
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

#endif
