"""The reverse sweep: cotangents, from outputs to inputs."""

from fastbp._core.tape cimport Tape

# Arguments and result as of `sweep.reverse`.
cdef list run_reverse(Tape tape, list cotangents, int recorded, int lead, bint consume,
                      bint inner)
