"""Elementwise work that ends in sums: what is summed is nowhere written."""

from libc.stdint cimport intptr_t

from fastbp._core.program cimport MAX_EXTERNAL

cdef enum:
    MAX_SUMS = 2        # outputs of one program that are summed

# A program over (outer, rows, n) elements, some outputs of which are summed over the rows.
cdef struct Totals:
    void *program       # a borrowed Program
    int n_slots, n_sums, typenum
    bint ordered        # what is written lies in one another's way: from the first to the last
    bint rows_merge, outer_merge    # all slots walk evenly through rows, and through outer ones
    intptr_t outer, rows, n
    int summed[MAX_SUMS]            # slots of outputs
    intptr_t steps[MAX_EXTERNAL][3]  # in bytes, along the three axes; of summed ones unused

# `targets`: for each sum a contiguous array of shape (outer, n). -1 where there is no memory.
cdef int run_totals(const Totals *totals, char **ptrs, char **targets) noexcept nogil
