"""The nodes between named ends of the graph, in topological order."""

from fastbp._core.graph cimport Node

cdef class Tape:
    cdef list nodes             # topological order; None once a consuming sweep is done with it
    cdef Py_ssize_t count
    cdef Py_ssize_t *first      # first[i]: where the parents of node i begin in `parents`
    cdef Py_ssize_t *parents    # positions in `nodes`, -1 where no cotangent or tangent reaches
    cdef Py_ssize_t n_parents, room, parent_room
    cdef readonly bint outer    # the graph goes on to Variables older than all inputs
    cdef Py_ssize_t add(self, Node node, bint end, long long stamp) except -1

cdef Tape collect(list outputs, list inputs)            # lists of Node
cdef list nodes_of(list variables)
cdef object node_dtype(Node node)
# Position of a node on a tape that was just collected, -1 where no path leads to it. Read all
# positions before Python code runs: a nested sweep may overwrite the nodes' scratch fields.
cdef Py_ssize_t position_of(Tape tape, Node node) noexcept
