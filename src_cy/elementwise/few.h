/* Instructions of a program over few elements, without calls.
 *
 * A call of an inner loop takes longer than the arithmetic of a 3 x 3 matrix. And a vector that is
 * read where shorter pieces have just been written waits until these have reached the cache: so
 * everything here is read number by number, as in products of few columns (tiny_gemm.h), though two
 * of double precision are computed and written at once. What is known before a run (functions, strides) is looked at before it, in
 * few_prepare.
 *
 * Rounding is that of the loops: no product is contracted with a sum, since each is stored.
 */
#ifndef FASTBP_FEW_H
#define FASTBP_FEW_H

#include <stdint.h>

enum { FEW = 16 };  /* elements */

enum {
    FEW_NONE,       /* the instruction's loop is called */
    FEW_ADD,
    FEW_SUBTRACT,
    FEW_MULTIPLY,
    FEW_DIVIDE,
    FEW_NEGATIVE,
    FEW_SQUARE,
    FEW_POSITIVE,
    FEW_STRONG_MULTIPLY,
    FEW_STRONG_MULTIPLY_ADD,
    FEW_SELECT
};

typedef void (*few_loop)(char **args, const intptr_t *n, const intptr_t *steps, void *data);

/* An instruction and its operands, the output last: their places in a list of pointers, and strides
 * in bytes. */
typedef struct {
    int code, nin;
    int slots[4];
    intptr_t steps[4];
    few_loop loop;
    void *data;
} few_op;

enum { FEW_EVEN, FEW_SAME_FIRST, FEW_SAME_SECOND, FEW_ANY, FEW_WAYS };

/* A program as it is run on few elements: its pointers are those of the externals, the constants and
 * the temporaries, in that order. */
typedef struct {
    int n_ops, n_external, n_constants, n_temps, item;
    char *constants;
    few_op ops[];
} few_code;

enum { FEW_SLOTS = 40, FEW_TEMPS = 12 }; /* as program.pxd has it */
/* Instructions that are prepared on the stack, where nobody did it before, and doubles for these. */
enum { FEW_OPS = 12, FEW_ROOM = (sizeof(few_code) + FEW_OPS * sizeof(few_op)) / sizeof(double) };

#endif
