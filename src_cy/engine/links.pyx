"""The record as data: one `Link` for each node of a tape, for analyses written in Python.

Sweeps read nodes directly. What looks at the whole record once, and not at every derivative
(sparsity patterns, explicit derivative tensors), reads ``tape.links()`` instead.
"""

cimport cython
cimport numpy as cnp
from fastbp._core.dtypes cimport dtype_of
from fastbp._core.graph cimport (
    OUTPUT, Node, Output, Passive, Variable, handle_on, is_joint, new_spec, parent_count, parent_of,
    saved_of,
)

import numpy as np

cnp.import_array()


@cython.final
cdef class Link:
    """An operation as it was applied.

    Attributes
    ----------
    op : Op or None
        None for an input that depends on no other.
    parents : tuple of int
        For each operand its position on the tape, or -1: no input is among its ancestors.
    operands : tuple
        As rules get them: the value where a rule reads it, else a `Spec`; None for a constant that
        no rule reads.
    fixed : tuple of bool
        For each operand whether it is a constant, no recorded value. A record that keeps everything
        has its value, and that of Variables from outside.
    ans : numpy.ndarray or Spec
        Of an operation with several outputs a tuple with all of them.
    output : int or None
        Which one of several outputs it is: each has a link of its own, with all operands. The joint
        node of all of them looks like an input, and has no variable.
    static : dict
    shape : tuple of int
    dtype : numpy.dtype
    variable : Variable
        A handle on the node, to name it as an end of a sweep; its value is zeros unless the node
        keeps its own.
    """

    def __init__(self, *args):
        raise TypeError("links are made by fastbp._core.tape.Tape")

    @property
    def variable(self):
        return None if self.node is None else variable_of(self.node)

    def outer(self, Py_ssize_t k):
        """Return a handle on an operand from outside of the tape, which the link has the value of.

        It is no input's descendant; a constant has none.
        """
        cdef Node node = self.node
        if not 0 <= k < len(self.parents) or self.parents[k] >= 0 or self.fixed[k]:
            raise ValueError(f"operand {k} of {self!r} is no recorded value from outside")
        if node.op.kind == OUTPUT:
            node = node.a
        return handle_on(self.operands[k], parent_of(node, k))

    def __repr__(self):
        return f"<{'input' if self.op is None else self.op.name} {self.shape} {self.parents}>"


cdef object _operand(Node node, Py_ssize_t k):
    cdef object value = saved_of(node, k)
    cdef Node parent = parent_of(node, k)
    if value is None and parent is not None:
        return new_spec(parent.shape, parent.typenum)
    return value


cdef object variable_of(Node node):
    # A zero broadcast to the shape takes no memory; sweeps read only the node.
    value = node.ans
    if node.op is not None and node.op.kind == OUTPUT:
        value = (<Output> node.saved_b).value
    if value is None:
        value = np.broadcast_to(np.zeros((), dtype_of(node.typenum)), node.shape)
    return handle_on(value, node)


cdef object _answer(Node node):
    cdef Output output
    if is_joint(node):
        return tuple([
            output.value if output.value is not None or output.shape is None
            else new_spec(output.shape, output.typenum) for output in node.ans])
    return new_spec(node.shape, node.typenum) if node.ans is None else node.ans


cdef Link link_of(Node node, tuple parents, bint applied):
    cdef Link link = Link.__new__(Link)
    cdef Py_ssize_t k
    link.shape = node.shape
    link.dtype = dtype_of(node.typenum)
    link.ans = _answer(node)
    link.static = {}
    link.parents = link.operands = link.fixed = ()
    if is_joint(node):
        return link
    link.node = node
    if applied:
        if node.op.kind == OUTPUT:      # what the joint node says, of this output
            link.output = (<Output> node.saved_b).index
            node = node.a
            link.ans = _answer(node)
        link.op = node.op
        link.static = node.static or {}
        link.parents = parents
        link.operands = tuple([_operand(node, k) for k in range(len(parents))])
        link.fixed = tuple([parent_of(node, k) is None for k in range(len(parents))])
    return link


def are_alike(x, y):
    """Say whether two recorded values are one, or computed alike from the same ones.

    A yes is certain: comparisons that are written twice are found, not all that are equal.
    """
    return _alike(_node_of(x), _node_of(y), 8)


cdef Node _node_of(x):
    return (<Variable> x).node if type(x) is Variable else (<Passive?> x).node


cdef bint _alike(Node x, Node y, int depth) except -1:
    cdef Node p, q
    cdef Py_ssize_t k
    if x is y:
        return True
    if (depth == 0 or x.op is None or y.op is None or x.op.forward is not y.op.forward
            or x.op.kind != y.op.kind or x.op.kind == OUTPUT or x.static or y.static
            or parent_count(x) != parent_count(y)):
        return False
    for k in range(parent_count(x)):
        p, q = parent_of(x, k), parent_of(y, k)
        if p is None and q is None:
            if not _is_same_constant(saved_of(x, k), saved_of(y, k)):
                return False
        elif p is None or q is None or not _alike(p, q, depth - 1):
            return False
    return True


cdef bint _is_same_constant(object x, object y) except -1:
    if type(x) is not type(y) or not isinstance(x, (np.ndarray, np.generic, int, float, complex)):
        return False
    x, y = np.asarray(x), np.asarray(y)
    return (x is y or x.dtype == y.dtype and x.dtype.kind in "biufc" and x.shape == y.shape
            and x.tobytes() == y.tobytes())


def leaves_of(list variables not None):
    """Return handles on the leaves that Variables were computed from, older ones first."""
    cdef list stack = [], found = []
    cdef set seen = set()
    cdef Node node, parent
    cdef Py_ssize_t k
    for x in variables:
        stack.append((<Variable> x).node if type(x) is Variable else (<Passive> x).node)
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.op is None and not is_joint(node):
            found.append(node)
        for k in range(parent_count(node)):
            parent = parent_of(node, k)
            if parent is not None:
                stack.append(parent)
    found.sort(key=lambda node: node.id)
    return [variable_of(<Node> node) for node in found]
