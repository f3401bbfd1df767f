"""The forward sweep: tangents, from inputs to outputs."""

from fastbp._core.tape cimport Tape

# Arguments and result as of `sweep.forward`.
cdef list run_forward(Tape tape, list tangents, int recorded, int lead, bint inner)
