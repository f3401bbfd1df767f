"""Reverse and forward sweeps between named ends of the graph.

A sweep first collects the nodes between outputs and inputs into a flat tape: one iterative walk, no
Python code runs meanwhile, so that sweeps may nest and share nodes. Then it visits the tape
backward (cotangents) or forward (tangents). The rules state derivatives only; broadcasting is
undone, dtypes are kept and contributions summed here.

With ``lead = 1`` every (co)tangent carries a block of vectors along one leading axis (Jacobians,
BLAS-3). With ``recorded`` the rules run on Variables, so that the result can be differentiated
again.
"""

from cpython.list cimport PyList_GET_ITEM
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM
from libc.stdlib cimport calloc, free

cimport cython
cimport numpy as cnp
from fastbp._core.buffers cimport LARGE, enter_pool, leave_pool, new_array
from fastbp._core.elementwise cimport is_ours, is_plain, run_program, sum_to_shape
from fastbp._core.fused cimport Group, new_group
from fastbp._core.graph cimport (
    ELEMENTWISE, MATMUL, Node, Op, Variable, hook, make_variable, new_spec, parent_count, parent_of,
    saved_of,
)
from fastbp._core.matmul cimport c_matmul_vjp_a, c_matmul_vjp_b
from fastbp._core.program cimport MAX_EXTERNAL, Program
from fastbp._core.tape cimport HAS_PARENTS, IS_END, Tape, collect, node_dtype

import numpy as np

from fastbp.errors import NoRuleError, ShapeError

cnp.import_array()


# ---- what rules are given ----------------------------------------------------------------------


cdef object _operand(Node node, Py_ssize_t k, bint recorded):
    """Operand k as a rule reads it: its value, a Variable when recording, or its Spec."""
    cdef object value = saved_of(node, k)
    cdef Node parent
    parent = parent_of(node, k)
    if value is None:
        return None if parent is None else new_spec(parent.shape, parent.typenum)
    if recorded and parent is not None:
        return make_variable(value, parent)
    return value


cdef object _answer(Node node, bint recorded):
    if node.ans is None:
        return new_spec(node.shape, node.typenum)
    return make_variable(node.ans, node) if recorded else node.ans


cdef list _operands(Node node, bint recorded):
    return [_operand(node, k, recorded) for k in range(parent_count(node))]


cdef tuple _shape(object x):
    return (<Variable> x).node.shape if type(x) is Variable else (<object> x).shape


cdef enum:
    WORTH_GROUPING = 32768      # bytes of a tangent: less stays in the L1 cache anyway


# ---- the two sweeps ----------------------------------------------------------------------------


@cython.final
cdef class Sweep:
    """What both directions share: the tape, one (co)tangent a node, the mode."""
    cdef Tape tape
    cdef list values            # cotangents or tangents; None: zero
    cdef bint recorded
    cdef int lead
    # Forward: how many nodes and results have still to read each tangent, and the operations that
    # wait to be run together; their tangents stand as the group in `values`.
    cdef Py_ssize_t *uses
    cdef Group group

    def __dealloc__(self):
        free(self.uses)

    def __cinit__(self, Tape tape, bint recorded, int lead):
        self.tape = tape
        self.values = [None] * tape.count
        self.recorded = recorded
        self.lead = lead

    cdef int add(self, Py_ssize_t position, object value) except -1:
        """Add to a (co)tangent: in place only where nobody else can see the buffer."""
        cdef object present = self.values[position]
        cdef PyObject *operands[2]
        cdef PyObject *outs[1]
        cdef cnp.ndarray out
        cdef Program program
        if present is None:
            self.values[position] = value
            return 0
        if self.recorded:
            self.values[position] = hook("add")(present, value)
            return 0
        program = (<Op> hook("add")).forward_program(cnp.PyArray_TYPE(value))
        if program is None or not cnp.PyArray_SAMESHAPE(present, value):
            self.values[position] = np.asarray(present + value)
            return 0
        self.values[position] = None
        if is_ours(<PyObject *> present):
            out = present
        else:
            out = new_array(
                cnp.PyArray_NDIM(value), cnp.PyArray_DIMS(value), cnp.PyArray_TYPE(value))
        operands[0] = <PyObject *> present
        operands[1] = <PyObject *> value
        outs[0] = <PyObject *> out
        run_program(program, operands, NULL, outs, cnp.PyArray_NDIM(out), cnp.PyArray_DIMS(out))
        self.values[position] = out
        return 0

    cdef object start(self, Node node, object value, str what):
        """The (co)tangent that a sweep starts from; a recorded one must not change later."""
        if self.recorded and type(value) is not Variable:
            value = np.array(value)
        return self.conform(node, value, node.shape, what)

    cdef object conform(self, Node node, object value, tuple shape, str what):
        """Bring what a rule returned to the shape (behind block axes) and dtype of a node."""
        cdef tuple full, given
        cdef cnp.ndarray array
        if not self.recorded and cnp.PyArray_CheckExact(value) and self._fits(node, value, shape):
            return value
        if self.recorded:
            if type(value) is not Variable:
                value = np.asarray(value, node_dtype(node))
            elif (<Variable> value).node.typenum != node.typenum:
                value = hook("astype")(value, node_dtype(node))
            full = _shape(value)
        else:
            if type(value) is Variable:
                value = (<Variable> value).value
            array = np.asarray(value)
            if cnp.PyArray_TYPE(array) != node.typenum or not is_plain(array):
                array = array.astype(node_dtype(node))
            value = array
            full = (<object> array).shape
        given = full[self.lead:]
        if given != shape:
            if len(given) < len(shape) or not _sums_to(given, shape):
                raise ShapeError(
                    f"{what}: a rule returned shape {given}, which does not reduce to {shape}")
            if self.recorded:
                return hook("sum_to")(value, shape=shape, nd=len(given))
            return sum_to_shape(value, self.lead, shape)
        return value

    cdef bint _fits(self, Node node, cnp.ndarray value, tuple shape) noexcept:
        cdef int axis, nd = len(shape)
        if (cnp.PyArray_NDIM(value) != self.lead + nd or cnp.PyArray_TYPE(value) != node.typenum
                or not is_plain(value)):
            return False
        for axis in range(nd):
            if <cnp.npy_intp> shape[axis] != cnp.PyArray_DIM(value, self.lead + axis):
                return False
        return True

    # -- reverse

    cdef int pull(self, Py_ssize_t position, Node node, object g) except -1:
        """Add the contributions of one node's cotangent to its parents."""
        cdef Py_ssize_t *parents = self.tape.parents + self.tape.first[position]
        if node.op.kind == ELEMENTWISE:
            if self.recorded:
                return self.pull_by_partials(node, parents, g)
            return self.pull_elementwise(node, parents, g)
        if node.op.kind == MATMUL and not self.recorded:
            return self.pull_matmul(node, parents, g)
        if node.op.scatter is not None and not self.recorded:
            return self.pull_scatter(node, parents, g)
        return self.pull_by_rule(node, parents, g)

    cdef int pull_elementwise(self, Node node, Py_ssize_t *parents, cnp.ndarray g) except -1:
        cdef Op op = node.op
        cdef int nin = op.nin, typenum = node.typenum, k, n_ext, n_out, last = -1
        cdef int needs = 0, accumulates = 0, passed = 0
        cdef PyObject *operands[MAX_EXTERNAL]
        cdef int leads[MAX_EXTERNAL]
        cdef PyObject *outs[3]
        cdef list fresh = [None, None, None]
        cdef object present, c
        cdef Node parent
        cdef Program program
        for k in range(nin):
            if parents[k] < 0:
                continue
            needs |= 1 << k
            parent = <Node> self.tape.nodes[parents[k]]
            if parent.shape is node.shape or parent.shape == node.shape:
                # Borrowed: a local reference would hide that the buffer is ours.
                if is_ours(PyList_GET_ITEM(self.values, parents[k])):
                    accumulates |= 1 << k
                    continue
            c = op.constant_partials[k]
            if c is not None and c == 1:
                passed |= 1 << k
            else:
                last = k
        program = op.pull_program(typenum, needs, accumulates)
        if program is None:
            return self.pull_by_partials(node, parents, g)
        n_ext = self._fill(node, program, operands, leads)
        operands[n_ext] = <PyObject *> g
        leads[n_ext] = self.lead
        n_ext += 1
        n_out = 0
        for k in range(nin):
            if accumulates >> k & 1:
                operands[n_ext] = outs[n_out] = PyList_GET_ITEM(self.values, parents[k])
                leads[n_ext] = self.lead
                n_ext += 1
                n_out += 1
        for k in range(nin):
            if (needs & ~accumulates & ~passed) >> k & 1:
                # The last output may overwrite g, if this is its last use.
                if k == last and passed == 0 and is_ours(<PyObject *> g):
                    fresh[k] = g
                else:
                    fresh[k] = new_array(cnp.PyArray_NDIM(g), cnp.PyArray_DIMS(g), typenum)
                outs[n_out] = <PyObject *> fresh[k]
                n_out += 1
        if n_out:
            run_program(program, operands, leads, outs, cnp.PyArray_NDIM(g), cnp.PyArray_DIMS(g))
        for k in range(nin):
            if (needs & ~accumulates) >> k & 1:
                parent = <Node> self.tape.nodes[parents[k]]
                present = g if passed >> k & 1 else fresh[k]
                fresh[k] = None
                if parent.shape is not node.shape and parent.shape != node.shape:
                    present = sum_to_shape(present, self.lead, parent.shape)
                self.add(parents[k], present)
                present = None
        return 0

    cdef int _fill(self, Node node, Program program, PyObject **operands, int *leads) except -1:
        """Fill in operands and answer of an elementwise node as a program's first inputs."""
        cdef int k, nin = node.op.nin
        for k in range(nin + 1):
            if k == nin:
                operands[k] = <PyObject *> node.ans
            elif node.saved is not None:
                operands[k] = PyTuple_GET_ITEM(node.saved, k)
            else:
                operands[k] = <PyObject *> node.saved_a if k == 0 else <PyObject *> node.saved_b
            leads[k] = 0
            if operands[k] == <PyObject *> None:
                operands[k] = NULL
                if program.reads >> <unsigned int> k & 1:
                    raise RuntimeError(f"{node.op.name}: a residual is missing")
        return nin + 1

    cdef int pull_by_partials(self, Node node, Py_ssize_t *parents, object g) except -1:
        """The same from the partials as Python functions.

        On Variables, or where there is no program.
        """
        cdef Op op = node.op
        cdef Py_ssize_t k
        cdef Node parent
        cdef list operands = _operands(node, self.recorded)
        ans = _answer(node, self.recorded)
        for k in range(op.nin):
            if parents[k] < 0:
                continue
            parent = <Node> self.tape.nodes[parents[k]]
            value = self._times_partial(op, k, g, ans, operands)
            self.add(parents[k], self.conform(parent, value, parent.shape, op.name))
        return 0

    cdef object _times_partial(self, Op op, Py_ssize_t k, object g, object ans, list operands):
        c = op.constant_partials[k]
        if c is not None:
            return g if c == 1 else hook("multiply")(g, c)
        partial = op.partials[k](ans, *operands)
        if op.dominant >> <int> k & 1:
            nonzero = ((<Variable> g).value if type(g) is Variable else g) != 0.0
            return hook("where")(nonzero, hook("mulz")(partial, g), 0.0)
        return hook("mulz")(g, partial)

    cdef int pull_matmul(self, Node node, Py_ssize_t *parents, cnp.ndarray g) except -1:
        cdef Py_ssize_t k
        cdef Node parent
        cdef object into, value
        for k in range(2):
            if parents[k] < 0:
                continue
            parent = <Node> self.tape.nodes[parents[k]]
            into = None
            if is_ours(PyList_GET_ITEM(self.values, parents[k])):
                into = self.values[parents[k]]
            other = saved_of(node, 1 - k)
            if k == 0:
                value = c_matmul_vjp_a(g, other, parent.shape, self.lead, into)
            else:
                value = c_matmul_vjp_b(g, other, parent.shape, self.lead, into)
            if into is None:
                self.add(parents[k], value)
            into = value = None
        return 0

    cdef int pull_scatter(self, Node node, Py_ssize_t *parents, object g) except -1:
        """Rules that add into a buffer: an element of a large array costs no large temporary."""
        cdef Py_ssize_t k
        cdef Node parent
        cdef list operands = _operands(node, False)
        ans = _answer(node, False)
        for k in range(parent_count(node)):
            if parents[k] < 0:
                continue
            parent = <Node> self.tape.nodes[parents[k]]
            if not is_ours(PyList_GET_ITEM(self.values, parents[k])):
                present = self.values[parents[k]]
                if present is None:
                    shape = _shape(g)[:self.lead] + parent.shape
                    self.values[parents[k]] = np.zeros(shape, node_dtype(parent))
                else:
                    self.values[parents[k]] = np.array(present, order="C")
                present = None
            node.op.scatter(self.values[parents[k]], g, k, ans, *operands, **node.static)
        return 0

    cdef int pull_by_rule(self, Node node, Py_ssize_t *parents, object g) except -1:
        cdef Op op = node.op
        cdef Py_ssize_t k, n = parent_count(node)
        cdef tuple needs = tuple([parents[k] >= 0 for k in range(n)])
        cdef Node parent
        cdef PyObject *before
        if self.lead and not op.blocks:
            rows = [_cotangents(node, needs, g[i], self.recorded) for i in range(_shape(g)[0])]
            values = _stacked(rows)
        elif not self.recorded and cnp.PyArray_NBYTES(g) >= LARGE:
            before = enter_pool()
            try:
                values = _cotangents(node, needs, g, False)
            finally:
                leave_pool(before)
        else:
            values = _cotangents(node, needs, g, self.recorded)
        for k in range(n):
            if not needs[k]:
                continue
            if values[k] is not None:
                parent = <Node> self.tape.nodes[parents[k]]
                self.add(parents[k], self.conform(parent, values[k], parent.shape, op.name))
        return 0

    # -- forward

    cdef int count_uses(self) except -1:
        cdef Py_ssize_t k, p
        self.uses = <Py_ssize_t *> calloc(self.tape.count + 1, sizeof(Py_ssize_t))
        if self.uses == NULL:
            raise MemoryError
        for k in range(self.tape.n_parents):
            if self.tape.parents[k] >= 0:
                self.uses[self.tape.parents[k]] += 1
        for p in self.tape.output_positions:
            if p >= 0:
                self.uses[p] += 1
        return 0

    cdef int step_forward(self, Py_ssize_t position) except -1:
        """Push through one node, and drop the tangents that nobody reads any more."""
        cdef Node node = <Node> self.tape.nodes[position]
        cdef Py_ssize_t *parents = self.tape.parents + self.tape.first[position]
        cdef Py_ssize_t k
        t = self.push(position, node, parents)
        for k in range(parent_count(node)):
            if parents[k] >= 0:
                self.uses[parents[k]] -= 1
                if self.uses[parents[k]] == 0 and type(self.values[parents[k]]) is not Group:
                    self.values[parents[k]] = None
        if type(t) is Group:
            self.values[position] = t
        elif t is not None:
            self.add(position, t)
        return 0

    cdef list tangents_of(self, Node node, Py_ssize_t *parents):
        cdef Py_ssize_t k
        return [self.values[parents[k]] if parents[k] >= 0 else None
                for k in range(parent_count(node))]

    cdef object push(self, Py_ssize_t position, Node node, Py_ssize_t *parents):
        """Return the tangent of one node's value, None for zero, or the group that it joined."""
        cdef list tangents = self.tangents_of(node, parents)
        cdef bint waits = False, moves = False
        cdef object t
        for t in tangents:
            moves = moves or t is not None
            waits = waits or type(t) is Group
        if not moves:
            return None
        if node.op.kind == ELEMENTWISE and self.defer(position, node, parents, tangents):
            return self.group
        if waits:
            self.run_group()
            tangents = self.tangents_of(node, parents)
        if node.op.kind == ELEMENTWISE:
            return self.push_elementwise(node, tangents)
        return self.push_by_rule(node, tangents)

    cdef object push_by_rule(self, Node node, list tangents):
        cdef PyObject *before
        if self.lead and not node.op.blocks:
            size = next(_shape(t)[0] for t in tangents if t is not None)
            rows = [[None if t is None else t[i] for t in tangents] for i in range(size)]
            value = np.stack([_tangent(node, row, self.recorded) for row in rows])
        elif not self.recorded and self.is_large(node, tangents):
            before = enter_pool()
            try:
                value = _tangent(node, tangents, False)
            finally:
                leave_pool(before)
        else:
            value = _tangent(node, tangents, self.recorded)
        return self.conform(node, value, node.shape, node.op.name)

    cdef bint is_large(self, Node node, list tangents) except -1:
        """Whether the tangent that comes out is for the pool."""
        cdef Py_ssize_t size = 4 if node.typenum == cnp.NPY_FLOAT else 8
        cdef object n, t
        for n in node.shape:
            size *= n
        if self.lead:
            for t in tangents:
                if t is not None:
                    return size * cnp.PyArray_DIM(t, 0) >= LARGE
        return size >= LARGE

    cdef bint defer(self, Py_ssize_t position, Node node, Py_ssize_t *parents,
                    list tangents) except -1:
        """Let a large elementwise operation wait for others of its shape, if it can."""
        cdef Op op = node.op
        cdef PyObject *operands[MAX_EXTERNAL]
        cdef int leads[MAX_EXTERNAL]
        cdef cnp.npy_intp vectors = 1
        cdef Py_ssize_t size = 4 if node.typenum == cnp.NPY_FLOAT else 8
        cdef int k, moving = 0, n_own
        cdef Program program
        cdef Group group = self.group
        cdef object n, t
        if self.recorded or self.values[position] is not None:
            return False
        for k in range(len(tangents)):
            t = tangents[k]
            if t is not None:
                moving |= 1 << k
                if self.lead:
                    vectors = _vectors(t)
        for n in node.shape:
            size *= n
        if size * vectors < WORTH_GROUPING:
            return False
        program = op.push_program(node.typenum, moving)
        if program is None:
            return False
        if group is None or not group.fits(node, vectors):
            self.run_group()
            tangents = self.tangents_of(node, parents)
            group = new_group(node, self.lead, vectors)
        n_own = self._fill(node, program, operands, leads)
        if not group.add(position, program, operands, n_own,
                         self._members(group, parents, tangents)):
            return False
        self.group = group
        return True

    cdef list _members(self, Group group, Py_ssize_t *parents, list tangents):
        """Tangents as a group takes them; those of its members by their number."""
        cdef Py_ssize_t k
        return [
            group.positions.index(parents[k])
            if type(tangents[k]) is Group else tangents[k]
            for k in range(len(tangents))
        ]

    cdef int run_group(self) except -1:
        """Compute the tangents that wait; those that nobody else reads are not kept."""
        cdef Group group = self.group
        cdef char wanted[64]
        cdef Py_ssize_t k, position
        if group is None:
            return 0
        self.group = None
        for k in range(len(group.positions)):
            position = group.positions[k]
            wanted[k] = self.uses[position] > 0
        values = group.run(wanted)
        for k in range(len(group.positions)):
            position = group.positions[k]
            self.values[position] = values[k]
        return 0

    cdef object push_elementwise(self, Node node, list tangents):
        cdef Op op = node.op
        cdef int nin = op.nin, k, moving = 0, n_ext, nd
        cdef PyObject *operands[MAX_EXTERNAL]
        cdef int leads[MAX_EXTERNAL]
        cdef PyObject *outs[1]
        cdef cnp.npy_intp dims[34]
        cdef Program program = None
        cdef cnp.ndarray out
        for k in range(nin):
            if tangents[k] is not None:
                moving |= 1 << k
        if not self.recorded:
            program = op.push_program(node.typenum, moving)
        if program is None:
            return self.push_by_partials(node, tangents)
        n_ext = self._fill(node, program, operands, leads)
        nd = self.lead + len(node.shape)
        for k in range(nin):
            if tangents[k] is not None:
                operands[n_ext] = <PyObject *> tangents[k]
                leads[n_ext] = self.lead
                n_ext += 1
                if self.lead:
                    dims[0] = cnp.PyArray_DIM(tangents[k], 0)
        for k in range(self.lead, nd):
            dims[k] = node.shape[k - self.lead]
        out = new_array(nd, dims, node.typenum)
        outs[0] = <PyObject *> out
        run_program(program, operands, leads, outs, nd, dims)
        return out

    cdef object push_by_partials(self, Node node, list tangents):
        cdef Py_ssize_t k
        cdef list operands = _operands(node, self.recorded)
        ans = _answer(node, self.recorded)
        total = None
        for k in range(node.op.nin):
            if tangents[k] is None:
                continue
            t = tangents[k]
            shape = _shape(t)
            missing = self.lead + len(node.shape) - len(shape)
            if missing:
                t = np.reshape(t, shape[:self.lead] + (1,) * missing + shape[self.lead:])
            term = self._times_partial(node.op, k, t, ans, operands)
            total = term if total is None else hook("add")(total, term)
        full = _shape(tangents[0] if tangents[0] is not None else t)[:self.lead] + node.shape
        if _shape(total) != full:
            total = np.broadcast_to(total, full)
        return self.conform(node, total, node.shape, node.op.name)


cdef cnp.npy_intp _vectors(object t) except -1:
    """Length of the block axis of a tangent."""
    if type(t) is Group:
        return (<Group> t).vectors
    return cnp.PyArray_DIM(t, 0)


cdef bint _sums_to(tuple given, tuple shape):
    cdef Py_ssize_t k, extra = len(given) - len(shape)
    for k in range(len(shape)):
        if shape[k] != 1 and shape[k] != given[extra + k]:
            return False
    return True


cdef object _cotangents(Node node, tuple needs, object g, bint recorded):
    """Apply a node's VJP rules; one entry an operand."""
    cdef Op op = node.op
    cdef list operands = _operands(node, recorded)
    cdef Py_ssize_t k
    ans = _answer(node, recorded)
    if op.vjp is None:
        if op.jvp is None:
            raise NoRuleError(f"{op.name} has no derivative rule")
        return _transposed_jvp(node, needs, g, recorded)
    if isinstance(op.vjp, tuple):
        return [op.vjp[k](g, ans, *operands, **node.static) if needs[k] else None
                for k in range(len(needs))]
    values = op.vjp(g, needs, ans, *operands, **node.static)
    if not isinstance(values, (tuple, list)) or len(values) != len(needs):
        raise ShapeError(f"{op.name}: its vjp rule must return {len(needs)} cotangents, "
                         "one for each operand")
    return values


cdef object _tangent(Node node, list tangents, bint recorded):
    """Apply a node's JVP rules and sum."""
    cdef Op op = node.op
    cdef Py_ssize_t k
    if op.jvp is None:
        if op.vjp is None:
            raise NoRuleError(f"{op.name} has no derivative rule")
        return _transposed_vjp(node, tangents, recorded)
    operands = _operands(node, recorded)
    ans = _answer(node, recorded)
    if not isinstance(op.jvp, tuple):
        return op.jvp(tangents, ans, *operands, **node.static)
    total = None
    for k in range(len(tangents)):
        if tangents[k] is not None:
            term = op.jvp[k](tangents[k], ans, *operands, **node.static)
            total = term if total is None else hook("add")(total, term)
    return total


def _stacked(rows):
    """Stack the cotangents of a block, operand by operand."""
    return [None if column[0] is None else np.stack(column) for column in zip(*rows)]


cdef object _transposed_vjp(Node node, list tangents, bint recorded):
    """A JVP from a VJP, which is linear in its cotangent.

    The derivative of <vjp(g), t> with respect to g.
    """
    cdef tuple needs = tuple([t is not None for t in tangents])
    cdef Variable g = _zeros_variable(_block_shape(node, tangents), node.typenum)
    values = _cotangents(node, needs, g, True)
    inner = None
    for value, t in zip(values, tangents):
        if t is not None and type(value) is Variable:
            term = np.sum(value * t)
            inner = term if inner is None else inner + term
    if inner is None:
        return np.zeros(g.shape, node_dtype(node))
    return reverse([inner], [None], [g], recorded)[0]


cdef tuple _block_shape(Node node, list tangents):
    """The node's shape behind the block axis of its tangents, if they have one."""
    cdef Py_ssize_t k
    for k in range(len(tangents)):
        if tangents[k] is not None:
            shape = _shape(tangents[k])
            own = len(parent_of(node, k).shape)
            return shape[:len(shape) - own] + node.shape
    return node.shape


cdef object _transposed_jvp(Node node, tuple needs, object g, bint recorded):
    """A VJP from a JVP in the same way."""
    cdef Py_ssize_t k
    cdef list ends = [None] * len(needs), tangents = [None] * len(needs), inputs
    lead = _shape(g)[:len(_shape(g)) - len(node.shape)]
    for k in range(len(needs)):
        if needs[k]:
            ends[k] = tangents[k] = _zeros_variable(lead + parent_of(node, k).shape, node.typenum)
    out = _tangent(node, tangents, True)
    inputs = [x for x in ends if x is not None]
    found = iter(reverse([out], [g], inputs, recorded))
    return [next(found) if needs[k] else None for k in range(len(needs))]


cdef Variable _zeros_variable(tuple shape, int typenum):
    return hook("variable")(np.zeros(shape, "f8" if typenum == cnp.NPY_DOUBLE else "f4"))


# ---- entry points ------------------------------------------------------------------------------


def reverse(list outputs, list cotangents, list inputs, create_graph=False, int lead=0,
            consume=False, independent=False):
    """Sweep backward from outputs to inputs.

    Parameters
    ----------
    outputs, inputs : list of Variable
    cotangents : list
        One for each output: an ndarray of the output's dtype and (behind `lead` block axes) shape,
        a Variable, or None for one (scalar outputs).
    create_graph : bool or None
        Record the rules, so that the results can be differentiated again; None: if the outputs
        depend on Variables that are older than the inputs.
    lead : int
        1 if every cotangent carries a block of vectors along its first axis.
    consume : bool
        Free the nodes while sweeping; `outputs` is emptied.
    independent : bool
        Take the inputs for leaves: partial derivatives, where one input depends on another.

    Returns
    -------
    list
        One ndarray (a Variable if recorded) for each input; None where no output depends on it.
    """
    cdef Sweep sweep = _new_sweep(outputs, inputs, create_graph, lead, independent)
    return _sweep_back(sweep, outputs, cotangents, consume)


def pull_back(list outputs, list cotangents, list inputs, create_graph=False, int lead=0,
              consume=False):
    """Do as `reverse`, and return a pair: the list, and whether it was recorded."""
    cdef Sweep sweep = _new_sweep(outputs, inputs, create_graph, lead, False)
    return _sweep_back(sweep, outputs, cotangents, consume), sweep.recorded


cdef Sweep _new_sweep(list outputs, list inputs, object create_graph, int lead, bint independent):
    cdef Tape tape = collect(outputs, inputs, independent)
    cdef bint recorded = tape.outer if create_graph is None else create_graph
    return Sweep.__new__(Sweep, tape, recorded, lead)


cdef list _sweep_back(Sweep sweep, list outputs, list cotangents, bint freeing):
    cdef Tape tape = sweep.tape
    cdef list values = sweep.values, nodes = tape.nodes
    cdef Py_ssize_t i, k
    cdef Node node
    cdef object g
    for k in range(len(cotangents)):
        i = tape.output_positions[k]
        if i < 0:
            continue
        node = <Node> nodes[i]
        g = cotangents[k]
        if g is None:
            g = np.ones(node.shape, node_dtype(node))
        sweep.add(i, sweep.start(node, g, "gradients"))
    g = None
    if freeing:
        outputs.clear()
        node = None
    for i in range(tape.count - 1, -1, -1):
        g = values[i]
        if g is None:
            if freeing:
                nodes[i] = None
            continue
        node = <Node> nodes[i]
        if not tape.roles[i] & IS_END:
            values[i] = None
        if tape.roles[i] & HAS_PARENTS:
            sweep.pull(i, node, g)
        g = None
        if freeing:
            nodes[i] = None
    node = None
    return _results(sweep, tape.input_positions)


cdef list _results(Sweep sweep, list positions):
    """The (co)tangents at `positions`, as arrays that share no memory with anything."""
    cdef list results = [], values = sweep.values
    cdef Py_ssize_t p
    for p in positions:
        if p < 0 or values[p] is None:
            results.append(None)
        elif sweep.recorded or is_ours(PyList_GET_ITEM(values, p)):
            results.append(values[p])
        else:
            results.append(np.array(values[p], order="C"))
    return results


def forward(list outputs, list inputs, list tangents, create_graph=False, int lead=0,
            independent=False):
    """Sweep forward from inputs to outputs.

    Parameters
    ----------
    outputs, inputs : list of Variable
    tangents : list
        One for each input: an ndarray or Variable of the input's dtype and (behind `lead` block
        axes) shape, or None for zero.
    create_graph : bool or None
        As for `reverse`.
    lead : int
        1 if every tangent carries a block of vectors along its first axis.
    independent : bool
        As for `reverse`.

    Returns
    -------
    list
        The tangent of each output; None where it is zero because the output depends on no input.
    """
    cdef Py_ssize_t i, k
    cdef Node node
    cdef Sweep sweep = _new_sweep(outputs, inputs, create_graph, lead, independent)
    cdef Tape tape = sweep.tape
    for k in range(len(tangents)):
        i = tape.input_positions[k]
        if tangents[k] is not None and i >= 0:
            node = <Node> tape.nodes[i]
            sweep.add(i, sweep.start(node, tangents[k], "jvp"))
    sweep.count_uses()
    for i in range(tape.count):
        if tape.roles[i] & HAS_PARENTS:
            sweep.step_forward(i)
    sweep.run_group()
    return _results(sweep, tape.output_positions)
