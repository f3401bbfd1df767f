"""The nodes between named ends of the graph, in topological order."""

from fastbp._core.graph cimport Node

cdef enum:
    IS_END = 1                  # one of the inputs: its (co)tangent is a result
    HAS_PARENTS = 2             # a parent is on the tape: the node's rules are needed

cdef class Tape:
    cdef list nodes             # topological order; None once a consuming sweep is done with it
    cdef list passive_nodes     # without rules: not walked through; or None
    cdef readonly bint keeps    # they are walked through: for those who compute the record again
    cdef list outer_nodes       # older than all inputs, read by what was recorded since; or None
    cdef Py_ssize_t count
    cdef Py_ssize_t *first      # first[i]: where the parents of node i begin in `parents`
    cdef Py_ssize_t *parents    # positions in `nodes`, -1 where no cotangent or tangent reaches
    cdef Py_ssize_t *last       # NULL: not asked for yet
    cdef char *roles            # IS_END, HAS_PARENTS
    # Positions of the ends, -1 where no path leads to them.
    cdef readonly list output_positions, input_positions
    cdef Py_ssize_t n_parents, room, parent_room
    cdef readonly bint outer    # the graph goes on to Variables older than all inputs
    cdef public object left     # what left the record while it was made; None: nobody watched
    cdef bint consumed          # by a sweep that frees the nodes
    # For each node the position of the last that reads it; of an output: `count`.
    cdef const Py_ssize_t *last_reader(self) except NULL
    cdef int usable(self) except -1             # raise ConsumedError if it is not
    cdef Py_ssize_t stop(self, Py_ssize_t position) noexcept
    cpdef tuple parents_of(self, Py_ssize_t position)
    cdef int check(self, Py_ssize_t position) except -1
    cdef int add(self, Node node, long long stamp, bint independent) except -1
    cdef int add_outer(self, Node node, long long stamp) except -1

# Lists of Variables. With `independent`, inputs are taken for leaves: what flows through one of
# them to another does not count.
cdef Tape collect(list outputs, list inputs, bint independent)
cdef Py_ssize_t bytes_held(Tape tape) except -1     # by its nodes; a shared array counts for each
cdef object node_dtype(Node node)
