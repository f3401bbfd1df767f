"""Elementwise programs over broadcast arrays, and sums back to a broadcast operand's shape."""

cimport numpy as cnp
from cpython.object cimport PyObject
from libc.stdint cimport intptr_t

from fastbp._core.program cimport Program

cdef enum:
    MAX_NDIM = 32
    PARALLEL = 98304    # from here on two threads beat one, even where memory is the limit
    SHORT_RUN = 32      # below this inner length, walking the outer axes costs more than copying

# Run `p` over `shape` (nd, dims), whose first `lead` axes are block axes. operands[k]: borrowed
# ndarray of the program's dtype that broadcasts to the shape, Python number, or NULL where the
# program does not read it; leads[k] of its axes are block axes (leads NULL: none). outs[k]:
# borrowed C-contiguous arrays of exactly that shape.
cdef int run_program(Program p, PyObject **operands, const int *leads, PyObject **outs,
                     int nd, const cnp.npy_intp *dims) except -1

# The same in two steps: the layout, once, from strides in bytes over the axes of the output (0
# where an operand is broadcast), of which those that all slots walk through evenly become one; it
# returns how many are left, and may change `steps`. Then runs: over these axes in this thread, or
# on all threads, over several axes (`walk_parts`) or one (`run_parts`). `walk` moves `ptrs`, and
# back. Unless it is `ordered` (outputs overlap), many short rows are run as one.
cdef int merge_axes(intptr_t[MAX_NDIM] *steps, int n_slots, int nd, const cnp.npy_intp *dims,
                    intptr_t *shape) noexcept
cdef void walk(Program p, char **ptrs, intptr_t[MAX_NDIM] *steps, const intptr_t *shape, int nd,
               int n_slots, bint ordered) noexcept nogil
cdef void walk_parts(Program p, char **ptrs, intptr_t[MAX_NDIM] *steps, const intptr_t *shape,
                     int nd, int n_slots) noexcept nogil
cdef void run_parts(Program p, char **ptrs, const intptr_t *steps,
                    intptr_t total) noexcept nogil

# Sum a contiguous array of shape (outer, rows, n) over its rows into zeros, in pairs; -1 where
# there is no memory. Of the four dtypes with derivatives, where `has_sums`.
cdef int sum_runs(char *g, char *out, intptr_t outer, intptr_t rows, intptr_t n,
                  int typenum) noexcept nogil
cdef bint has_sums() noexcept

# The sum of few rows (at most 2048 numbers), which may lie where the first row is; `out` += `x`.
cdef void sum_few(char *g, char *out, intptr_t rows, intptr_t n, int typenum) noexcept nogil
cdef void add_to(char *out, char *x, intptr_t n, int typenum) noexcept nogil

# Floating-point exceptions that NumPy would report (divide by zero, overflow, invalid); clears
# them.
cdef bint take_fp_flags() noexcept nogil

# Sum `g` over the axes along which an operand of `shape` was broadcast; its first `lead` axes stay.
cdef cnp.ndarray sum_to_shape(cnp.ndarray g, int lead, tuple shape)

# The sum of all elements, of no axes; None if `x` is empty, or does not lie as NumPy's loop reads
# it.
cdef cnp.ndarray total_of(cnp.ndarray x)

# Whether an array is of a dtype with derivatives, aligned and native: asked of every operand, so
# one test of a bit for the dtypes.
cdef inline bint is_plain(cnp.ndarray a) noexcept:
    cdef unsigned int k = <unsigned int> (cnp.PyArray_TYPE(a) - cnp.NPY_FLOAT)
    return k < 5 and (0b11011 >> k) & 1 and cnp.PyArray_ISBEHAVED_RO(a)

# Write a Python number in the dtype of a program.
cdef int store_number(object x, int typenum, char *to) except -1

cdef bint is_ours(PyObject *a) noexcept             # one reference, own data, writable, C order
