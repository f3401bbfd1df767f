"""The tape: the nodes between named ends of the graph, in topological order, collected once.

One iterative walk (chains may be long), during which no Python code runs: so sweeps may nest and
share nodes, although the walk leaves its marks in them. Afterwards only the tape's own arrays are
read. Sweeps go along it, as often as wanted, and analyses ask it.
"""

from cpython.object cimport PyObject
from libc.math cimport sqrt
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

cimport cython
cimport numpy as cnp
from fastbp._core.dtypes cimport dtype_of, is_complex
from fastbp._core.graph cimport (
    ELEMENTWISE, OUTPUT, PASSIVE, Node, Output, Passive, Variable, entered, fresh, is_joint,
    parent_count, parent_of, saved_of,
)
from fastbp._core.links cimport link_of, variable_of

import numpy as np

from fastbp.errors import NoRuleError

cnp.import_array()

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

cdef long long _last_stamp = 0


class ConsumedError(Exception):
    """The nodes of a tape are needed once more, and a consuming sweep has freed them."""


@cython.final
cdef class Tape:
    """The nodes on paths between named ends, in topological order.

    Parameters
    ----------
    outputs, inputs : list of Variable
        As they are now: what is written into them later does not move the ends. With `keep` also
        of Passive.
    independent : bool
        Take the inputs for leaves: what flows through one of them to another does not count.
    since : int, optional
        What was recorded up to this node is outside; by default all that is older than the inputs.
    keep : bool
        Have the nodes without rules too, and what they were computed from: no tape for sweeps.

    Attributes
    ----------
    output_positions, input_positions : list of int
        Where the ends are; -1 for one that no path leads to.
    outer : bool
        Whether outputs also depend on Variables from outside.
    left : list or None
        What left the record while it was made, if that was watched: see `graph.recorded_call`.
    """

    def __cinit__(self):
        self.nodes = []

    def __init__(self, list outputs not None, list inputs not None, bint independent=False,
                 since=None, bint keep=False):
        if self.output_positions is not None:
            raise TypeError("a tape is walked once: make another one")
        self.keeps = keep
        if keep:
            outputs, inputs = list(map(_active, outputs)), list(map(_active, inputs))
        walk(self, outputs, inputs, independent, -1 if since is None else since)

    def __dealloc__(self):
        free(self.first)
        free(self.roles)
        free(self.parents)
        free(self.last)

    cdef int usable(self) except -1:
        if self.consumed:
            raise ConsumedError("a consuming sweep has freed the nodes of this tape: make another "
                                "one while the record is there")
        return 0

    cdef const Py_ssize_t *last_reader(self) except NULL:
        cdef Py_ssize_t i, k, p
        if self.last != NULL:
            return self.last
        cdef Py_ssize_t *last = <Py_ssize_t *> malloc((self.count + 1) * sizeof(Py_ssize_t))
        if last == NULL:
            raise MemoryError
        for i in range(self.count):
            last[i] = i
            for k in range(self.first[i], self.stop(i)):
                if self.parents[k] >= 0:
                    last[self.parents[k]] = i
        for p in self.output_positions:
            if p >= 0:
                last[p] = self.count
        for i in range(self.count):
            if is_joint(<Node> self.nodes[i]):      # for analyses each output reads the operands
                for k in range(self.first[i], self.stop(i)):
                    p = self.parents[k]
                    if p >= 0:
                        last[p] = max(last[p], last[i])
        self.last = last
        return last

    cdef Py_ssize_t stop(self, Py_ssize_t position) noexcept:
        """Where the parents of a node end in `parents`."""
        return self.first[position + 1] if position + 1 < self.count else self.n_parents

    # -- what analyses ask

    def __len__(self):
        return self.count

    @property
    def reached(self):
        """For each input whether an output depends on it."""
        return [position >= 0 for position in self.input_positions]

    @property
    def last_readers(self):
        """For each node the position of the last one that reads it; for an output behind them all.

        A tangent lives from its node to there, a cotangent from there to its node.
        """
        cdef const Py_ssize_t *last = self.last_reader()
        cdef Py_ssize_t i
        return [last[i] for i in range(self.count)]

    cpdef tuple parents_of(self, Py_ssize_t position):
        """Return the positions of a node's operands; -1 for one that no input is an ancestor of."""
        cdef Py_ssize_t k
        cdef Node node
        self.check(position)
        node = <Node> self.nodes[position]
        if (node.op is not None and node.op.kind == OUTPUT
                and self.roles[position] & HAS_PARENTS):    # those of its joint node
            position = self.parents[self.first[position]]
        return tuple([self.parents[k] for k in range(self.first[position], self.stop(position))])

    cdef int check(self, Py_ssize_t position) except -1:
        self.usable()
        if not 0 <= position < self.count:
            raise IndexError(f"position {position} of a tape of {self.count} nodes")
        return 0

    @property
    def has_complex(self):
        """Say whether one of the values is complex."""
        cdef Node node
        self.usable()
        for node in self.nodes:
            if is_complex(node.typenum):
                return True
        return False

    def variable(self, Py_ssize_t position):
        """Return a handle on a node, to name it as an end; its value is zeros if none is kept."""
        self.check(position)
        return variable_of(<Node> self.nodes[position])

    def operand(self, Py_ssize_t position, Py_ssize_t k):
        """Return what a node keeps of an operand: a value, or None."""
        cdef Node node
        self.check(position)
        node = <Node> self.nodes[position]
        return saved_of(node, k) if 0 <= k < parent_count(node) else None

    def links(self):
        """Return the nodes as data, one `Link` for each."""
        cdef Py_ssize_t i
        self.usable()
        return [link_of(<Node> self.nodes[i], self.parents_of(i),
                        self.roles[i] & HAS_PARENTS) for i in range(self.count)]

    def outer_inputs(self):
        """Return the Variables from outside that what was recorded here depends on directly.

        They stand for what a function reads from its surroundings.
        """
        return [variable_of(<Node> node) for node in self.outer_nodes or ()]

    @property
    def largest(self):
        """The number of elements of the largest array."""
        cdef Node node
        cdef double most = 0
        self.usable()
        for node in self.nodes:
            most = max(most, size_of(node))
        return int(most)

    @property
    def alive(self):
        """The number of elements of all (co)tangents that a sweep has at a time, at most."""
        cdef const Py_ssize_t *last = self.last_reader()
        cdef list dying = [0.0] * (self.count + 1)
        cdef double size, now = 0, most = 0
        cdef Py_ssize_t i, reader
        self.usable()
        for i in range(self.count):
            size = size_of(<Node> self.nodes[i])
            reader = last[i]
            now += size
            most = max(most, now)
            dying[reader] += size
            now -= <double> dying[i]
        return int(most)

    @property
    def work(self):
        """About how many multiplications one vector takes on its way."""
        cdef double total = 0
        cdef Py_ssize_t i
        self.usable()
        for i in range(self.count):
            if not self.roles[i] & IS_END:
                total += work_of(<Node> self.nodes[i])
        return total

    def waypoints(self):
        """Return the positions that all paths go through, in order.

        The Jacobian is a product there.
        """
        cdef const Py_ssize_t *last = self.last_reader()
        cdef Py_ssize_t i, reach = 0     # the last node that reads one of those before
        cdef list found = []
        for i in range(self.count):
            if self.roles[i] & IS_END:
                found.clear()            # it must be behind all inputs
            if reach <= i:
                found.append(i)
            reach = max(reach, last[i])
        return found

    def waist(self):
        """Return the narrowest place strictly between the ends, a Variable, or None.

        The smallest value that all paths go through, the latest of equals.
        """
        cdef const Py_ssize_t *last = self.last_reader()
        cdef Py_ssize_t i
        cdef double size, least = 0
        cdef Node node, found = None
        self.usable()
        for i in self.waypoints():
            node = <Node> self.nodes[i]
            size = size_of(node)
            if not self.roles[i] & IS_END and last[i] < self.count and (
                    found is None or size <= least):
                found, least = node, size
        return None if found is None else variable_of(found)

    # -- the walk

    cdef int add(self, Node node, long long stamp, bint independent) except -1:
        """Append a node whose parents are all there, if (co)tangents reach it."""
        cdef bint end = node.end_stamp == stamp
        cdef Py_ssize_t k, n = 0 if end and independent else parent_count(node), position
        cdef char role = IS_END if end else 0
        if node.flags & PASSIVE and not self.keeps:
            n = 0
            if self.passive_nodes is None:
                self.passive_nodes = []
            self.passive_nodes.append(node)
        cdef Node parent
        cdef void *block
        if self.count == self.room:
            self.room = 2 * self.room + 16
            block = realloc(self.first, self.room * sizeof(Py_ssize_t))
            if block == NULL:
                raise MemoryError
            self.first = <Py_ssize_t *> block
            block = realloc(self.roles, self.room)
            if block == NULL:
                raise MemoryError
            self.roles = <char *> block
        if self.n_parents + n > self.parent_room:
            self.parent_room = 2 * self.parent_room + n + 32
            block = realloc(self.parents, self.parent_room * sizeof(Py_ssize_t))
            if block == NULL:
                raise MemoryError
            self.parents = <Py_ssize_t *> block
        self.first[self.count] = self.n_parents
        for k in range(n):
            parent = parent_of(node, k)
            position = -1
            if parent is not None and parent.stamp == stamp:
                position = parent.position
            self.parents[self.n_parents] = position
            self.n_parents += 1
            if position >= 0:
                role |= HAS_PARENTS
        node.position = -1
        if role:
            node.position = self.count
            self.roles[self.count] = role
            self.nodes.append(node)
            self.count += 1
        else:
            self.n_parents -= n
        return 0

    cdef int add_outer(self, Node node, long long stamp) except -1:
        node.stamp, node.position = stamp, -1
        self.outer = True
        if self.outer_nodes is None:
            self.outer_nodes = []
        self.outer_nodes.append(node)
        return 0


def _active(end):
    return entered(<Passive> end, None) if type(end) is Passive else end


cdef struct Frame:
    PyObject *node
    Py_ssize_t next


cdef Tape collect(list outputs, list inputs, bint independent):
    cdef Tape tape = Tape.__new__(Tape)
    walk(tape, outputs, inputs, independent, -1)
    return tape


cdef int walk(Tape tape, list outputs, list inputs, bint independent, long long since) except -1:
    """Collect the nodes on paths from `inputs` to `outputs`, all Variables.

    Walks on an explicit stack: chains may be long.
    """
    global _last_stamp
    cdef Frame small[32]
    cdef Frame *stack = small
    cdef Frame *block
    cdef Py_ssize_t depth, room = 32, k, n
    cdef long long stamp, oldest = since + 1
    cdef Node node, parent
    _freshen(outputs)
    _freshen(inputs)
    # Allocated before the walk: from here until the positions are stored nothing may run that could
    # start another sweep, not even the garbage collector.
    tape.output_positions = [-1] * len(outputs)
    tape.input_positions = [-1] * len(inputs)
    _last_stamp += 1
    stamp = _last_stamp
    for end in inputs:
        node = (<Variable> end).node
        if node.fillable:
            raise NoRuleError("the derivative by an array that has no history (numpy.zeros and the "
                              "like inside a recorded function): make it a leaf, x = "
                              "fastbp.variable(x), before it is used")
        if oldest == 0 or node.id < oldest:
            oldest = node.id
        node.end_stamp = stamp
    try:
        for end in outputs:
            node = (<Variable> end).node
            if node.stamp == stamp:
                continue
            if node.id < oldest:
                tape.add_outer(node, stamp)
                continue
            depth = 0
            while True:
                # Enter `node`.
                if depth == room:
                    room *= 2
                    block = <Frame *> realloc(
                        NULL if stack == small else stack, room * sizeof(Frame))
                    if block == NULL:
                        raise MemoryError
                    if stack == small:
                        memcpy(block, small, sizeof(small))
                    stack = block
                node.stamp = stamp
                stack[depth].node = <PyObject *> node
                # Nothing is behind an end that stands for itself, or a node without rules.
                stack[depth].next = 0
                if (independent and node.end_stamp == stamp
                        or node.flags & PASSIVE and not tape.keeps):
                    stack[depth].next = PY_SSIZE_T_MAX
                depth += 1
                # Leave every node whose parents are done; stop at the next parent to enter.
                while depth > 0:
                    node = <Node> stack[depth - 1].node
                    n = parent_count(node)
                    parent = None
                    for k in range(stack[depth - 1].next, n):
                        parent = parent_of(node, k)
                        if parent is not None and parent.stamp != stamp:
                            if parent.id >= oldest:
                                stack[depth - 1].next = k + 1
                                break
                            tape.add_outer(parent, stamp)
                        parent = None
                    if parent is not None:
                        node = parent
                        break
                    tape.add(node, stamp, independent)
                    depth -= 1
                if depth == 0:
                    break
    finally:
        if stack != small:
            free(stack)
    _store_positions(tape.output_positions, outputs, stamp)
    _store_positions(tape.input_positions, inputs, stamp)
    if tape.passive_nodes is not None:
        _look_outside(tape, stamp, oldest, independent)
        tape.passive_nodes = None
    return 0


cdef int _look_outside(Tape tape, long long ends, long long oldest, bint independent) except -1:
    """Find what from outside nodes without rules depend on: then so do results."""
    global _last_stamp
    cdef list pending = tape.passive_nodes
    cdef Py_ssize_t k
    cdef long long stamp
    cdef Node node, parent
    _last_stamp += 1
    stamp = _last_stamp
    while pending:
        node = <Node> pending.pop()
        if node.stamp == stamp or (independent and node.end_stamp == ends):
            continue
        node.stamp = stamp
        for k in range(parent_count(node)):
            parent = parent_of(node, k)
            if parent is None or parent.stamp == stamp:
                continue
            if parent.id < oldest:
                tape.add_outer(parent, stamp)
            else:
                pending.append(parent)
    return 0


cdef int _freshen(list ends) except -1:
    for end in ends:
        if type(end) is not Variable:
            raise TypeError(f"a sweep runs between Variables, not {type(end).__name__}s")
        fresh(<Variable> end)
    return 0


cdef void _store_positions(list positions, list variables, long long stamp) noexcept:
    cdef Py_ssize_t i
    cdef Node node
    for i in range(len(variables)):
        node = (<Variable> variables[i]).node
        if node.stamp == stamp:
            positions[i] = node.position


cdef Py_ssize_t bytes_held(Tape tape) except -1:
    cdef Py_ssize_t total = 0
    cdef Node node
    cdef object value
    cdef Output output
    for node in tape.nodes:
        if is_joint(node):
            for output in node.ans:
                total += _bytes_of(output.value)
        if node.ans is not None and cnp.PyArray_CheckExact(node.ans):
            total += cnp.PyArray_NBYTES(node.ans)
        if node.saved_a is not None and cnp.PyArray_CheckExact(node.saved_a):
            total += cnp.PyArray_NBYTES(node.saved_a)
        if node.saved_b is not None:
            total += _bytes_of(node.saved_b)
        if node.saved is not None:
            for value in node.saved:
                total += _bytes_of(value)
    return total


cdef Py_ssize_t _bytes_of(object x) except -1:
    """Of arrays, also in containers; what other objects hold nobody knows."""
    if cnp.PyArray_CheckExact(x):
        return cnp.PyArray_NBYTES(x)
    if isinstance(x, (tuple, list)):
        return sum([_bytes_of(item) for item in x])
    return 0


cdef object node_dtype(Node node):
    return dtype_of(node.typenum)


cdef double size_of(Node node):
    cdef double size = 1
    for n in node.shape:
        size *= n
    return size


cdef double work_of(Node node):
    """Return about how many multiplications one (co)tangent takes at a node."""
    cdef Py_ssize_t k, n = parent_count(node)
    cdef double size, total = size_of(node), product = total
    cdef Node parent
    for k in range(n):
        parent = parent_of(node, k)
        size = size_of(parent) if parent is not None else 0
        value = saved_of(node, k)
        if parent is None and type(value) is np.ndarray:
            size = value.size
        total += size
        product *= size
    # The root is exact for products of matrices: sizes mk, kn and mn.
    if n == 2 and node.op.kind != ELEMENTWISE:
        total += sqrt(product)
    return total
