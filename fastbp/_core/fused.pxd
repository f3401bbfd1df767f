"""Groups of elementwise operations in a forward sweep, run together block by block."""

cimport numpy as cnp
from cpython.object cimport PyObject

from fastbp._core.graph cimport Node
from fastbp._core.program cimport Program

cdef struct Slot:
    char *base              # NULL: the tangent of a member of the group, `member`
    Py_ssize_t lead         # bytes from one vector of a block to the next
    Py_ssize_t step         # bytes from one element to the next
    int member

# One member, ready to run.
cdef struct Step:
    void *program           # a borrowed Program
    int first, n_inputs
    Slot out

cdef class Group:
    cdef readonly list positions    # of the members on the tape
    cdef list programs, keep
    cdef int lead, typenum, itemsize
    cdef cnp.npy_intp vectors, size
    cdef tuple shape
    cdef Slot *slots
    cdef int *first                 # where the slots of each member begin
    cdef double *scalars
    cdef int n_slots, n_scalars, count
    cdef bint fits(self, Node node, cnp.npy_intp vectors) noexcept
    cdef bint add(self, Py_ssize_t position, Program program, PyObject **operands, int n_own,
                  list tangents) except -1
    cdef bint _primal(self, Slot *slot, PyObject *operand) except -1
    cdef bint _tangent(self, Slot *slot, cnp.ndarray a) except -1
    cdef bint _has_shape(self, cnp.ndarray a, int lead) except -1
    cdef list run(self, const char *wanted)
    cdef int _assign(self, Step *steps, const char *wanted) except -1

# A group for nodes of the shape and dtype of this one; `lead` block axes of `vectors` vectors.
cdef Group new_group(Node node, int lead, cnp.npy_intp vectors)
