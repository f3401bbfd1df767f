"""Elementwise programs: a few inner-loop calls over numbered slots, run block by block."""

from libc.stdint cimport intptr_t

from fastbp._core.loops cimport loop_fn

cdef enum:
    MAX_EXTERNAL = 12   # inputs and outputs of one program
    MAX_SLOTS = 40      # externals, constants and temporaries together
    MAX_TEMPS = 12
    BLOCK = 512         # elements of 8 bytes; every slot of a program stays in the L1 cache

cdef struct Instruction:
    loop_fn fn
    void *data
    int nin
    int inline_code     # not 0: one element of float64 is computed without a call
    int slots[4]        # inputs, then the output

cdef class Program:
    cdef readonly int n_inputs, n_outputs
    cdef readonly int typenum
    cdef readonly unsigned int reads    # bit i: external input i is read
    cdef int n_code, n_constants, n_temps, itemsize, block
    cdef list traced, live, results     # what it was compiled from
    cdef bint inlines                   # some instructions have an `inline_code`
    cdef Instruction *code
    cdef char *constants
    # `ptrs` and `steps`: the external inputs, then the outputs. n may be zero.
    cdef void run(self, char **ptrs, const intptr_t *steps, intptr_t n) noexcept nogil
