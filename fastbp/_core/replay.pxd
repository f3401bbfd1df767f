"""A plan as it is called: arrays in, arrays out."""

cimport numpy as cnp

from fastbp._core.machine cimport Frame, Machine

cdef enum:
    MAX_OUT_NDIM = 32

cdef struct Output:
    int buffer, nd, typenum
    cnp.npy_intp dims[MAX_OUT_NDIM]

cdef class Plan:
    cdef readonly Machine machine
    cdef readonly list inputs, returned, facts, steps
    cdef list dtypes
    cdef readonly int n_inputs, n_outputs
    cdef Output *outputs
    cdef list new_outputs(self, Frame frame)
    cdef list run(self, Frame frame)
