"""The nodes between named ends of the graph, in topological order."""

from fastbp._core.graph cimport Node

cdef enum:
    IS_END = 1                  # one of the inputs: its (co)tangent is a result
    HAS_PARENTS = 2             # a parent is on the tape: the node's rules are needed

cdef class Tape:
    cdef list nodes             # topological order; None once a consuming sweep is done with it
    cdef Py_ssize_t count
    cdef Py_ssize_t *first      # first[i]: where the parents of node i begin in `parents`
    cdef Py_ssize_t *parents    # positions in `nodes`, -1 where no cotangent or tangent reaches
    cdef char *roles            # IS_END, HAS_PARENTS
    cdef list output_positions  # positions of the ends, -1 where no path leads to them
    cdef list input_positions
    cdef Py_ssize_t n_parents, room, parent_room
    cdef readonly bint outer    # the graph goes on to Variables older than all inputs
    cdef int add(self, Node node, long long stamp, bint independent) except -1

# Lists of Variables. With `independent`, inputs are taken for leaves: what flows through one of
# them to another does not count.
cdef Tape collect(list outputs, list inputs, bint independent)
cdef Py_ssize_t bytes_held(Tape tape) except -1     # by its nodes; a shared array counts for each
cdef object node_dtype(Node node)
