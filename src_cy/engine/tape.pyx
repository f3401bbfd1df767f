"""Collecting the nodes between named ends of the graph into a flat tape, in topological order.

One iterative walk (chains may be long), during which no Python code runs: so sweeps may nest and
share nodes, although the walk leaves its marks in them.
"""

from cpython.object cimport PyObject
from libc.math cimport sqrt
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

cimport cython
cimport numpy as cnp
from fastbp._core.graph cimport (
    ELEMENTWISE, OUTPUT, Node, Output, Variable, fresh, is_joint, make_variable, parent_count,
    parent_of, saved_of,
)

import numpy as np

from fastbp.errors import NoRuleError

cnp.import_array()

cdef long long _last_stamp = 0


@cython.final
cdef class Tape:
    def __cinit__(self):
        self.nodes = []

    def __dealloc__(self):
        free(self.first)
        free(self.roles)
        free(self.parents)

    cdef int add(self, Node node, long long stamp, bint independent) except -1:
        """Append a node whose parents are all there, if (co)tangents reach it."""
        cdef bint end = node.end_stamp == stamp
        cdef Py_ssize_t k, n = 0 if end and independent else parent_count(node), position
        cdef char role = IS_END if end else 0
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


cdef struct Frame:
    PyObject *node
    Py_ssize_t next


cdef Tape collect(list outputs, list inputs, bint independent):
    """Return the nodes on paths from `inputs` to `outputs`, all Variables.

    Walks on an explicit stack: chains may be long.
    """
    global _last_stamp
    cdef Tape tape = Tape.__new__(Tape)
    cdef Frame small[32]
    cdef Frame *stack = small
    cdef Frame *block
    cdef Py_ssize_t depth, room = 32, k, n
    cdef long long stamp, oldest = 0
    cdef Node node, parent
    for end in [*outputs, *inputs]:
        if type(end) is not Variable:
            raise TypeError(f"a sweep runs between Variables, not {type(end).__name__}s")
        fresh(<Variable> end)
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
            if node.id < oldest:
                tape.outer = True
            if node.id < oldest or node.stamp == stamp:
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
                stack[depth].next = 0
                depth += 1
                # Leave every node whose parents are done; stop at the next parent to enter.
                while depth > 0:
                    node = <Node> stack[depth - 1].node
                    n = parent_count(node)
                    if independent and node.end_stamp == stamp:
                        n = 0
                    parent = None
                    for k in range(stack[depth - 1].next, n):
                        parent = parent_of(node, k)
                        if parent is not None and parent.stamp != stamp:
                            if parent.id >= oldest:
                                stack[depth - 1].next = k + 1
                                break
                            tape.outer = True
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
    return tape


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
    return np.dtype("f8") if node.typenum == cnp.NPY_DOUBLE else np.dtype("f4")


def ends(list outputs, list inputs):
    """Say whether outputs also depend on Variables recorded before all inputs; and on which inputs.

    A pair: a bool, and a list of bools, one for each input.
    """
    cdef Tape tape = collect(outputs, inputs, False)
    return tape.outer, [position >= 0 for position in tape.input_positions]


def largest(list outputs, list inputs):
    """Return the number of elements of the largest array on the paths from inputs to outputs."""
    cdef Tape tape = collect(outputs, inputs, False)
    cdef Node node
    cdef double most = 0
    for node in tape.nodes:
        most = max(most, size_of(node))
    return int(most)


def alive(list outputs, list inputs):
    """Return the number of elements of the largest array, and of all that a sweep has at a time.

    A (co)tangent lives between the node itself and the last one that reads its value, whichever the
    direction of the sweep.
    """
    cdef Tape tape = collect(outputs, inputs, False)
    cdef Py_ssize_t i, k, end, reader
    cdef list last = list(range(tape.count)), dying = [0.0] * tape.count
    cdef double size, most = 0, now = 0, together = 0
    for i in range(tape.count):
        end = tape.first[i + 1] if i + 1 < tape.count else tape.n_parents
        for k in range(tape.first[i], end):
            if tape.parents[k] >= 0:
                last[tape.parents[k]] = i
    for k in tape.output_positions:
        if k >= 0:
            last[k] = tape.count - 1
    for i in range(tape.count):
        size = size_of(<Node> tape.nodes[i])
        reader = last[i]
        most = max(most, size)
        now += size
        together = max(together, now)
        dying[reader] += size
        now -= <double> dying[i]
    return int(most), int(together)


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


def waist(Variable output, list inputs, bint independent):
    """Return the narrowest place of the record: the Jacobian of `output` is a product there.

    Returns
    -------
    waist : Variable or None
        The smallest value strictly between that all paths from the inputs go through, the latest of
        equals. Instead of its value it holds zeros.
    work : float
        About how many multiplications one vector takes through the whole record.
    """
    cdef Tape tape = collect([output], inputs, independent)
    cdef Py_ssize_t i, k, last = tape.output_positions[0]
    cdef double work = 0, size, least = 0
    cdef Node node, found = None
    cdef list read_last = list(range(tape.count))  # the last position that reads each node
    cdef Py_ssize_t end, reach = 0
    for i in range(tape.count):
        end = tape.first[i + 1] if i + 1 < tape.count else tape.n_parents
        for k in range(tape.first[i], end):
            if tape.parents[k] >= 0:
                read_last[tape.parents[k]] = i
    for i in range(tape.count):
        node = <Node> tape.nodes[i]
        if not tape.roles[i] & IS_END:
            work += work_of(node)
            size = size_of(node)
            if is_joint(node):      # no value: its outputs are behind it
                reach = max(reach, read_last[i])
                continue
            if reach <= i < last and (found is None or size <= least):
                found, least = node, size
        else:
            found = None  # it must be behind all inputs
        reach = max(reach, read_last[i])
    if found is None:
        return None, work
    return make_variable(np.broadcast_to(np.zeros((), node_dtype(found)), found.shape), found), work


def frontier(list outputs, long long since):
    """Return the Variables recorded up to node `since` that outputs recorded later depend on
    directly.

    They stand for what a function reads from its surroundings; instead of their values they hold
    zeros.
    """
    cdef list stack = [(<Variable> y).node for y in outputs], found = []
    cdef set seen = set()
    cdef Node node
    cdef Py_ssize_t k
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.id <= since or (node.op is not None and node.op.kind == OUTPUT
                                and node.a.id <= since):
            # A zero broadcast to the shape takes no memory; sweeps read only the node.
            zeros = np.broadcast_to(np.zeros((), node_dtype(node)), node.shape)
            found.append(make_variable(zeros, node))
            continue
        for k in range(parent_count(node)):
            stack.append(parent_of(node, k))
    return found


def op_names(list outputs):
    """Return the names of the operations that outputs were recorded with, in topological order."""
    cdef list stack = [(<Variable> y).node for y in outputs]
    cdef dict found = {}
    cdef Node node
    cdef Py_ssize_t k
    while stack:
        node = stack.pop()
        if node is None or node.id in found:
            continue
        found[node.id] = (
            None if node.op is None or node.op.kind == OUTPUT else node.op.name)
        for k in range(parent_count(node)):
            stack.append(parent_of(node, k))
    return [found[i] for i in sorted(found) if found[i] is not None]
