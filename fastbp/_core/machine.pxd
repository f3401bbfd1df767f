"""The machine of a plan: instructions over buffers, run without Python and without allocations."""

from fastbp._core.instructions cimport Along, InstructionKind, Loop, Place, Region, Step

# How much of a buffer is there, and whether it may be written.
cdef struct Extent:
    double size
    bint there, written
    int aligned         # it begins at a multiple of so many bytes, at most 8

# What one call needs: its addresses, and memory. A call takes one, and gives it back.
cdef class Frame:
    cdef char **bases
    cdef char *memory       # as it was allocated
    cdef char *work
    cdef list arrays        # what calls of Python returned, by number
    cdef list held          # arrays whose memory is read
    cdef double *scalars    # of buffers that are numbers of Python's

cdef class Machine:
    cdef Step *steps
    cdef readonly int n_steps, n_buffers
    cdef readonly Py_ssize_t work_bytes
    cdef int capacity
    cdef int work_buffer
    cdef list keep, calls, frames, blocks
    cdef list begun         # for each block that has begun the buffers that it has brought
    cdef Extent *extents    # NULL: what instructions reach is not checked
    cdef Step *_step(self, InstructionKind kind, size_t size, double work) except NULL
    cdef Along *_along(self, InstructionKind kind, tuple sizes, int itemsize, places) except NULL
    cdef int _pick_blocks(self, Region *region, list tables) except -1
    cdef int _total(self, Region *region, tuple shape, list slots, tuple sums,
                    bint ordered) except -1
    cdef int _set(self, Place *place, object pair) except -1
    cdef int _bring(self, int buffer, double size, bint written) except -1
    cdef int _reach(self, Place *place, object pair, double low, double high,
                    bint written, int item) except -1
    cdef int _move(self, Loop *loop, bint inside) except -1
    cdef int _forget(self) except -1
    cdef int _close(self, int first, double *work) except -1
    cdef int _stretch(self, Frame frame, int first, int end) except -1
    cdef int _called(self, Frame frame, tuple call) except -1
    cdef Frame frame(self)
    cdef int give_back(self, Frame frame) except -1
    cdef int run(self, Frame frame) except -1
    cdef list times(self, Frame frame, list parts)
    cdef int _run_with_calls(self, Frame frame, int first, int end) except -1
    cdef int _loop_with_calls(self, Frame frame, int k) except -1
