"""The forward sweep: tangents, from inputs to outputs."""

from fastbp._core.tape cimport Tape

# Sweep over a tape that was collected between outputs and these inputs. Arguments and result as of
# `sweep.forward`.
cdef list run_forward(Tape tape, list tangents, bint recorded, int lead, bint inner)
