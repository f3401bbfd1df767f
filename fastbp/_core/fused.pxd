"""Groups of elementwise operations in a forward sweep, run together block by block."""

cimport numpy as cnp
from cpython.object cimport PyObject

from fastbp._core.graph cimport Node
from fastbp._core.program cimport MAX_EXTERNAL, Program

cdef enum:
    MAX_MEMBERS = 64

# What a member reads: a primal value, a tangent from outside, or the tangent of an earlier member.
cdef struct Input:
    int member                  # its number; -1: from outside, and what follows describes it
    char *base
    Py_ssize_t next_vector      # in bytes, along the block axis; 0: the same for all vectors
    Py_ssize_t next_element     # in bytes; 0: one number for all elements
    double number               # a Python scalar (a float, if the group's dtype is float32)

# An operation of the group.
cdef struct Member:
    PyObject *program       # borrowed
    int first, n_inputs     # its inputs are Group.inputs[first:first + n_inputs]
    Py_ssize_t position     # on the tape
    char *out               # its tangent; NULL: only members read it,
    int line                # and it lies in this line of the scratch

cdef class Group:
    cdef Member members[MAX_MEMBERS]
    cdef Input inputs[MAX_MEMBERS * MAX_EXTERNAL]
    cdef int count, n_inputs
    cdef list keep                      # what members and inputs borrow
    cdef int lead, typenum, itemsize
    cdef cnp.npy_intp vectors, size     # of a tangent: vectors of so many elements
    cdef tuple shape
    cdef bint fits(self, Node node, cnp.npy_intp vectors) noexcept
    # Append the operation at `position`; false if an input does not lie as a group can read it.
    # Operands of its program: `n_own` primal ones, then the tangents that are not None. A tangent
    # is an array, or the group itself: that of the member at parents[k].
    cdef bint add(self, Py_ssize_t position, Program program, PyObject **operands, int n_own,
                  list tangents, const Py_ssize_t *parents) except -1
    # Put into `values`, for each member, its tangent, or None if no node from `position` on reads
    # it; `last` are the last readers.
    cdef int run(self, list values, const Py_ssize_t *last, Py_ssize_t position) except -1

    cdef int _member_at(self, Py_ssize_t position) noexcept
    cdef bint _place_primal(self, Input *entry, PyObject *operand) except -1
    cdef bint _place_tangent(self, Input *entry, cnp.ndarray a) except -1
    cdef bint _has_shape(self, cnp.ndarray a, int lead) noexcept
    cdef int _allocate(self, list values, const Py_ssize_t *last, Py_ssize_t position) except -1
    cdef int _assign_lines(self, const Py_ssize_t *last) noexcept
    cdef bint _reads_before(self, const Member *member, int j, int source) noexcept

# A group for nodes of the shape and dtype of this one; `lead` block axes of `vectors` vectors.
cdef Group new_group(Node node, int lead, cnp.npy_intp vectors)
