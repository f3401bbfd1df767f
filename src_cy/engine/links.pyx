"""The record as data: one `Link` for each node between named ends, for analyses written in Python.

Sweeps read nodes directly. What looks at the whole record once, and not at every derivative
(sparsity patterns, explicit derivative tensors), reads links instead.
"""

cimport cython
cimport numpy as cnp
from fastbp._core.graph cimport (
    Node, Op, Variable, make_variable, new_spec, parent_count, parent_of, saved_of,
)
from fastbp._core.tape cimport HAS_PARENTS, IS_END, Tape, collect, node_dtype

import numpy as np

cnp.import_array()


@cython.final
cdef class Link:
    """An operation as it was applied.

    Attributes
    ----------
    op : Op or None
        None for an input.
    parents : tuple of int
        For each operand the position of its link in the list, or -1: no input is among its
        ancestors.
    operands : tuple
        As rules get them: the value where a rule reads it, else a `Spec`; None for a constant that
        no rule reads.
    ans : numpy.ndarray or Spec
    static : dict
    shape : tuple of int
    dtype : numpy.dtype
    variable : Variable
        A handle on the node, to name it as an end of a sweep; its value is zeros unless the node
        keeps its own.
    """
    cdef readonly Op op
    cdef readonly Variable variable
    cdef readonly tuple parents, operands, shape
    cdef readonly object ans, dtype
    cdef readonly dict static

    def __init__(self, *args):
        raise TypeError("links are made by fastbp._core.links.links")

    def __repr__(self):
        return f"<{'input' if self.op is None else self.op.name} {self.shape} {self.parents}>"


cdef object _operand(Node node, Py_ssize_t k):
    cdef object value = saved_of(node, k)
    cdef Node parent = parent_of(node, k)
    if value is None and parent is not None:
        return new_spec(parent.shape, parent.typenum)
    return value


cdef Link _link(Tape tape, Py_ssize_t position):
    cdef Link link = Link.__new__(Link)
    cdef Node node = <Node> tape.nodes[position]
    cdef Py_ssize_t k, n = parent_count(node)
    link.shape = node.shape
    link.dtype = node_dtype(node)
    if node.ans is None:
        link.ans = new_spec(node.shape, node.typenum)
        # A zero broadcast to the shape takes no memory.
        value = np.broadcast_to(np.zeros((), link.dtype), node.shape)
    else:
        link.ans = value = node.ans
    link.variable = make_variable(value, node)
    if tape.roles[position] & IS_END or not tape.roles[position] & HAS_PARENTS:
        link.parents = link.operands = ()
        link.static = {}
        return link
    link.op = node.op
    link.static = node.static or {}
    link.parents = tuple([tape.parents[tape.first[position] + k] for k in range(n)])
    link.operands = tuple([_operand(node, k) for k in range(n)])
    return link


def links(list outputs, list inputs):
    """Return the record between inputs and outputs in topological order.

    Inputs are taken for independent of each other.

    Parameters
    ----------
    outputs, inputs : list of Variable

    Returns
    -------
    links : list of Link
    output_positions, input_positions : list of int
        Where the ends are in it; -1 for one that no path reaches.
    """
    cdef Tape tape = collect(outputs, inputs, True)
    cdef Py_ssize_t i
    return ([_link(tape, i) for i in range(tape.count)], tape.output_positions,
            tape.input_positions)
