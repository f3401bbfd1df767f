"""The recorded graph: operations, nodes, and Variables, which are handles on (array, node)."""

cimport numpy as cnp
from cpython.object cimport PyObject

from fastbp._core.program cimport Program

cdef enum Kind:
    ELEMENTWISE         # a partial derivative for every operand
    GENERAL             # rules in Python, and often compiled ones for sweeps that record nothing
    CALL                # without rules: any function, of what it is given as it was given
    OUTPUT              # one of the several outputs of the node that is its parent

# Facts of a node; what is computed from it has the first two as well.
cdef enum Flags:
    COLLECTABLE = 1         # it may be part of a reference cycle
    KEEPS = 2               # computed from an input of a record that keeps everything: passive.pxi
    PASSIVE = 4             # without rules: no (co)tangent passes it
    INHERITED = 3

# What an operation's compiled rules are for: those of sweeps that record nothing. Each may be
# missing; then the rules of its row are applied.
cdef class Rules:
    cdef readonly bint adds     # `pull` wants an array to add to, zeros if nothing else
    # Record the operation without the bookkeeping that serves all; None: these operands need it.
    cdef Variable record(self, Op op, tuple operands, dict static)
    # The value, where there is one operand; NotImplemented.
    cdef object value(self, cnp.ndarray x, dict static)
    # The cotangent of operand k, of its dtype and (behind `lead` block axes) shape; None for zero.
    # `into` is None, or an array of that kind that nobody else can see: it is added to, and
    # returned.
    cdef object pull(self, Node node, Py_ssize_t k, cnp.ndarray g, int lead, cnp.ndarray into)
    # The tangent of the value, from those of the operands, arrays or None; NotImplemented.
    cdef object push(self, Node node, list tangents, int lead)

cdef class Op:
    cdef readonly str name, title
    cdef readonly int kind
    cdef readonly int nin               # number of operands; -1: any
    cdef readonly int nout              # number of outputs; -1: any
    cdef readonly tuple constants       # outputs without derivative
    cdef readonly tuple objects         # operands that may be any object
    cdef unsigned int promotes          # general: which operands are brought to one dtype
    cdef readonly bint residuals        # `forward` returns residuals beside its value
    cdef bint unary                     # one operand, one output, no residuals
    cdef readonly object forward
    cdef readonly tuple partials        # elementwise: functions (ans, *operands)
    cdef readonly object vjp, jvp       # general: a function an operand, or one joint function
    cdef readonly Rules compiled        # or None
    cdef readonly bint writes           # returns its first operand with elements written into it
    cdef readonly bint opaque
    cdef readonly int dominant, selects, signed_partials
    cdef readonly str coefficients
    cdef readonly object squared, of_square
    cdef readonly bint blocks           # the rules carry leading block axes through
    cdef readonly object kernel
    cdef readonly object on_complex     # elementwise: True, or what is called; None: refused
    cdef readonly object pattern        # sparsity: a function of fastbp.rules.patterns
    cdef readonly object free           # tangents along what nothing fixes, or None
    cdef readonly object ufunc          # the ufunc that is recorded as this operation
    cdef readonly dict info             # documentation and samples
    cdef readonly tuple constant_partials
    cdef unsigned int saves             # general: bit j operand j, SAVES_ANS the output
    cdef tuple saved_outputs            # which of several, if not all
    cdef unsigned int saves_for[3]      # elementwise: the same, for the cotangent of operand i
    cdef list forwards, pulls, pushes   # programs; None: not compiled yet, False: there is none
    cdef dict signed_programs           # the same for sweeps of signed zeros
    cdef Program forward_program(self, int typenum)
    cdef Program pull_program(self, int typenum, int needs, int accumulates)
    cdef Program push_program(self, int typenum, int moving)
    cdef Program signed_program(self, int typenum, int strong, int needs, int accumulates)

cdef class Node:
    cdef Op op                          # None: a leaf
    cdef Node a, b                      # parents of an elementwise operation; None: constants
    # Their values, where a rule reads them. Of other operations `saved_b` is what their function
    # returned as residuals; of an OUTPUT, whose parent is `a`, they are its token and its Output.
    cdef object saved_a, saved_b
    cdef tuple parents, saved           # of any other operation, instead of the four above
    cdef object ans                     # a tuple of Outputs: the joint node of several outputs
    cdef dict static
    cdef readonly tuple shape
    cdef readonly int typenum
    cdef readonly long long id          # parents have smaller ids; an OUTPUT has its parent's
    cdef long long stamp                # scratch of a sweep's collection: which, and the position
    cdef Py_ssize_t position
    cdef long long end_stamp
    cdef int flags                      # of the enum below
    cdef bint fillable                  # no history yet: see fillable.pxi

cdef class Output:
    cdef tuple shape
    cdef int typenum
    cdef bint constant                  # without derivative: an array or any object
    cdef Py_ssize_t index
    cdef object value                   # None: no rule reads it
    cdef PyObject *node                 # borrowed; it may be gone: see `output_node`
    cdef object token

cdef class Variable:
    cdef cnp.ndarray array              # may be out of date in a view: see `fresh`
    cdef Node node
    cdef View view                      # None: no view of another Variable
    cdef Filling filling                # None: no writes are waiting to be recorded
    cdef bint cell                      # of no axes, but an array: no number, as NumPy's are
    cdef readonly str name
    cdef object __weakref__
    cdef bint _is_number(self) noexcept
    cdef object _replaced_by(self, object other, str name)
    cdef object _become(self, object other, str name)

# A recorded value without derivative, of any dtype: see passive.pxi.
cdef class Passive:
    cdef cnp.ndarray array              # may be out of date in a view: see `current`
    cdef Node node
    cdef Passive root                   # what it is a view of; None: of nothing
    cdef cnp.ndarray origin             # the root's array when this was taken
    cdef dict place                     # which elements of it
    cdef bint cell                      # of no axes, but an array: no number, as NumPy's are
    cdef object __weakref__
    cdef bint _is_number(self) noexcept
    cdef object seen(self)
    cdef object left(self, str what)
    cdef object _become(self, object other)
    cdef object _in_place(self, object ufunc, object other)

cdef class View:
    cdef Variable root                  # the handle that is seen; itself no view
    cdef cnp.ndarray origin             # its array when this was taken; the view shares its memory
    cdef dict place                     # which elements of it; None: not asked for yet
    cdef str refusal                    # the operation that made a read-only view
    cdef Op part                        # not None: it shows real or imaginary parts, by this
    cdef bint ruled                     # its history is a user's rule: it is not taken again
    cdef bint apart                     # `fresh` has more to look at: see filling.pxi
    cdef Filling filling                # not None: the view has memory of its own, and was taken
    cdef Py_ssize_t seen                # after so many of these writes

cdef class Filling:
    cdef Node base                      # of the root, before the writes
    cdef list places, pieces            # what was written, and where: Variables and arrays
    cdef cnp.ndarray owner              # for each element in memory the number of its piece, or 0
    cdef list written                   # for each piece, which of the writes it was
    cdef Py_ssize_t last                # how many writes there were

cdef class Spec:
    cdef readonly tuple shape
    cdef readonly int typenum

cdef Py_ssize_t parent_count(Node node) noexcept
cdef Node parent_of(Node node, Py_ssize_t i)
cdef object saved_of(Node node, Py_ssize_t i)
cdef Node output_node(Node joint, Py_ssize_t k)
cdef Spec new_spec(tuple shape, int typenum)
cdef Variable make_variable(cnp.ndarray value, Node node)
cdef Variable entered(Passive x, object dtype)     # as an operand of an operation with rules
cdef object handle_on(object value, Node node)     # a Passive, if the node is one
cdef int take_again(Variable x) except -1
cdef int settle(Variable x) except -1

# Before anything reads `array` or `node`: a view sees what was written into its root, and writes
# that wait are recorded.
cdef inline int fresh(Variable x) except -1:
    if x.view is not None and (x.view.apart or x.view.root.array is not x.view.origin):
        return take_again(x)
    if x.filling is not None:
        return settle(x)
    return 0

# A node of several outputs: no Variable is a handle on it, but on OUTPUT nodes, its children.
cdef inline bint is_joint(Node node) noexcept:
    return type(node.ans) is tuple

cdef object hook(str name)
cdef Op ADD, POSITIVE, DIVIDE       # the same without a look into a dictionary
cdef Variable new_leaf(cnp.ndarray value)
# A function that is recorded: `recorded_call`.
cdef object call_recorded(f, tuple args, dict kwargs)
cdef Variable record_product(Op op, tuple operands)
cdef Variable record_total(Op op, Variable x, dict static)
cdef object call_elementwise(Op op, tuple operands)
