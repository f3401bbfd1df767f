"""Elementwise programs over broadcast arrays, and sums back to a broadcast operand's shape."""

cimport numpy as cnp
from cpython.object cimport PyObject

from fastbp._core.program cimport Program

cdef enum:
    MAX_NDIM = 32

# Run `p` over `shape` (nd, dims), whose first `lead` axes are block axes. operands[k]: borrowed
# ndarray of the program's dtype that broadcasts to the shape, Python float, or NULL where the
# program does not read it; leads[k] of its axes are block axes (leads NULL: none). outs[k]:
# borrowed C-contiguous arrays of exactly that shape.
cdef int run_program(Program p, PyObject **operands, const int *leads, PyObject **outs,
                     int nd, const cnp.npy_intp *dims) except -1

# Floating-point exceptions that NumPy would report (divide by zero, overflow, invalid); clears
# them.
cdef bint take_fp_flags() noexcept nogil

# Sum `g` over the axes along which an operand of `shape` was broadcast; its first `lead` axes stay.
cdef cnp.ndarray sum_to_shape(cnp.ndarray g, int lead, tuple shape)

# The sum of all elements, of no axes; None if `x` is empty, or does not lie as NumPy's loop reads
# it.
cdef cnp.ndarray total_of(cnp.ndarray x)

cdef bint is_plain(cnp.ndarray a) noexcept          # aligned, native, float32 or float64
cdef bint is_ours(PyObject *a) noexcept             # one reference, own data, writable, C order
