"""The reverse sweep: cotangents, from outputs to inputs."""

from fastbp._core.tape cimport Tape

# Sweep over a tape that was collected between these outputs and the inputs. Arguments and result
# as of `sweep.reverse`.
cdef list run_reverse(Tape tape, list outputs, list cotangents, bint recorded, int lead,
                      bint consume, bint inner)
