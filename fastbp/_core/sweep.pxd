"""The sweeps as functions."""

from fastbp._core.tape cimport Tape

# As `sweep.reverse`, not recorded.
cdef list sweep_back(Tape tape, list cotangents, bint consume)
