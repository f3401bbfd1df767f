"""What both directions of a sweep share."""

from cpython.object cimport PyObject

from fastbp._core.graph cimport Node, Op, Variable
from fastbp._core.program cimport Program
from fastbp._core.tape cimport Tape

# What rules are given: arrays; Variables; (co)tangents as Variables beside a record of constants.
cdef enum Recording:
    PLAIN
    RECORDED
    LINEAR

cdef class Sweep:
    cdef Tape tape
    cdef list values            # for each node its cotangent or tangent; None: zero
    cdef int recorded           # a Recording
    cdef int lead               # number of block axes, 0 or 1
    cdef bint signs            # the sign of a zero says whether it is exact
    # Add to a (co)tangent: in place only where nobody else can see the buffer.
    cdef int add(self, Py_ssize_t position, object value) except -1
    # The (co)tangent that a sweep starts from; `what` is named in errors. With `inner` it comes
    # from another sweep, and zeros have their signs.
    cdef object start(self, Node node, object value, str what, bint inner)
    # Bring what a rule returned to the shape (behind block axes) and dtype of a node: the real part
    # where the node is real.
    cdef object conform(self, Node node, object value, str what)
    # Sum over the axes of broadcasting; give zeros their sign by a probe (sweeps of signed zeros).
    cdef object sum_to(self, object value, tuple shape)
    cdef object settle(self, object value, object probe)
    # Fill in operands and answer of an elementwise node as a program's first inputs; return how
    # many they are.
    cdef int fill(self, Node node, Program program, PyObject **operands, int *leads) except -1
    # A (co)tangent `t` times the partial for operand k, as NumPy functions.
    cdef object times_partial(self, Node node, Py_ssize_t k, object t, object ans, list operands)
    # The (co)tangents at `positions`, as arrays that share no memory with anything.
    cdef list results(self, list positions)

# Where an array or a Variable is -0; the operands of an elementwise operation whose partial, where
# it is zero, is exactly zero.
cdef object exact_zeros(object x)
cdef int exact_partials(Node node) except -1

# What rules read: a value, a Variable if RECORDED, or its Spec if no rule needs the value.
cdef list operands_of(Node node, int recorded)
cdef object answer_of(Node node, int recorded)

# Apply the rules that the node's operation states: one cotangent for each operand, None where
# `needs` is false; the sum of the tangents.
cdef object apply_vjp(Node node, tuple needs, object g, int recorded, list operands=*)
cdef object apply_jvp(Node node, list tangents, int recorded, list operands=*)

# What a rule returned for each vector of a block: one block an operand or output, None for zero.
cdef list stacked(list rows)

cpdef object sum_of(object x, object y)                 # of (co)tangents; None: zero
cdef tuple shape_of(object x)                           # of an array or a Variable
cdef Variable zeros_variable(tuple shape, int typenum)
cdef Variable seed_variable(Node node, tuple shape, int typenum)
cdef int check_transposed(Node node, str given, str wanted, object total, list seeds,
                          list found) except -1
cdef object product_of(object x, object y)
