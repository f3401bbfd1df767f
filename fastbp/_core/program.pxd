"""Elementwise programs: a few inner-loop calls over numbered slots, run block by block."""

from libc.stdint cimport intptr_t

from fastbp._core.loops cimport loop_fn

cdef enum:
    MAX_EXTERNAL = 12   # inputs and outputs of one program
    MAX_SLOTS = 40      # externals, constants and temporaries together
    MAX_TEMPS = 12
    BLOCK = 512         # elements of 8 bytes; every slot of a program stays in the L1 cache

cdef extern from "few.h" nogil:
    enum: FEW_SLOTS
    ctypedef struct few_op:     # an instruction as it is run on few elements
        int nin
        int slots[4]
        intptr_t steps[4]
        loop_fn loop
        void *data
    ctypedef struct few_code:   # a program of such
        int n_ops, n_external, n_constants, n_temps, item
        char *constants
        few_op ops[]

cdef struct Instruction:
    loop_fn fn
    void *data
    int nin
    int inline_code     # not 0: few elements are computed without a call
    int slots[4]        # inputs, then the output

cdef class Program:
    cdef readonly int n_inputs, n_outputs
    cdef readonly int typenum
    cdef readonly unsigned int reads    # bit i: external input i is read
    cdef int n_code, n_passes, n_constants, n_temps, itemsize, block
    cdef list traced, live, results     # what it was compiled from
    cdef readonly int few               # up to so many elements `few_run` is faster; 0: never
    cdef Instruction *code
    cdef Instruction *passes            # the same over many elements: two of arithmetic may be one
    cdef char *constants
    # `ptrs` and `steps`: the external inputs, then the outputs. n may be zero.
    cdef void run(self, char **ptrs, const intptr_t *steps, intptr_t n) noexcept nogil
    # What `few_run` of few_loops.h runs on n elements, at most `few`: `code` has room for n_code.
    cdef void prepare_few(self, few_code *code, const intptr_t *steps, intptr_t n) noexcept nogil
