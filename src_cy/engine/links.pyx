"""The record as data: one `Link` for each node between named ends, for analyses written in Python.

Sweeps read nodes directly. What looks at the whole record once, and not at every derivative
(sparsity patterns, explicit derivative tensors), reads links instead.
"""

cimport cython
cimport numpy as cnp
from fastbp._core.graph cimport (
    OUTPUT, Node, Op, Output, Variable, is_joint, make_variable, new_spec, parent_count, parent_of,
    saved_of,
)
from fastbp._core.sweep_base cimport answer_of
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
        Of an operation with several outputs a tuple with all of them.
    output : int or None
        Which one of several outputs it is: each has a link of its own, with all operands.
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
    cdef readonly object ans, dtype, output
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


cdef Link _link(Tape tape, Py_ssize_t position, list places):
    """The link of a node; `places` are those of links in the list, by position on the tape."""
    cdef Link link = Link.__new__(Link)
    cdef Node node = <Node> tape.nodes[position]
    cdef Py_ssize_t k, p
    link.shape = node.shape
    link.dtype = node_dtype(node)
    link.ans = answer_of(node, False)
    value = node.ans
    if node.op is not None and node.op.kind == OUTPUT:
        value = (<Output> node.saved_b).value
    if value is None:       # a zero broadcast to the shape takes no memory
        value = np.broadcast_to(np.zeros((), link.dtype), node.shape)
    link.variable = make_variable(value, node)
    if tape.roles[position] & IS_END or not tape.roles[position] & HAS_PARENTS:
        link.parents = link.operands = ()
        link.static = {}
        return link
    if node.op.kind == OUTPUT:      # what the joint node says, of this output
        link.output = (<Output> node.saved_b).index
        position = tape.parents[tape.first[position]]
        node = node.a
        link.ans = answer_of(node, False)
    link.op = node.op
    link.static = node.static or {}
    link.operands = tuple([_operand(node, k) for k in range(parent_count(node))])
    link.parents = ()
    for k in range(parent_count(node)):
        p = tape.parents[tape.first[position] + k]
        link.parents += (places[p] if p >= 0 else -1,)
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
    cdef Py_ssize_t i, n = 0
    cdef list found = [], places = []
    for i in range(tape.count):
        places.append(n)
        if not is_joint(<Node> tape.nodes[i]):
            found.append(_link(tape, i, places))
            n += 1
    return (found, [places[i] if i >= 0 else -1 for i in tape.output_positions],
            [places[i] if i >= 0 else -1 for i in tape.input_positions])
