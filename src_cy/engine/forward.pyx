"""The forward sweep: tangents, from inputs to outputs.

A tangent is dropped after the last node that reads it. Large elementwise operations wait for others
of their shape and run together, as a `Group` (fused.pyx). While an operation waits, its group
stands in the place of its tangent; the group runs before anything else reads it.

**What nothing fixes.** The value of an operation that states `free` is one of many: how the vectors
of a basis turn among themselves nothing fixes, so their tangent is one of many, too. Whether a
result depends on which one, a second sweep says: it starts at such values with a block of tangents
along what is free (the first two) and along anything (the others). Where those of a result are not
zero, compared with these, the result has no tangent and gets NaN; a projector has one.
"""

from cpython.object cimport PyObject

cimport cython
cimport numpy as cnp
from fastbp._core.buffers cimport LARGE, enter_pool, leave_pool, new_array
from fastbp._core.dtypes cimport itemsize_of
from fastbp._core.elementwise cimport run_program
from fastbp._core.fused cimport Group, new_group
from fastbp._core.graph cimport (
    ELEMENTWISE, KEEPS, OUTPUT, Node, Op, Output, Variable, hook, is_joint, parent_count, parent_of,
)
from fastbp._core.loops cimport strong_zeros
from fastbp._core.program cimport MAX_EXTERNAL, Program
from fastbp._core.reverse cimport run_reverse
from fastbp._core.sweep_base cimport (
    PLAIN, RECORDED, Sweep, answer_of, apply_jvp, apply_vjp, check_transposed, exact_partials,
    operands_of, seed_variable, shape_of, stacked, sum_of,
)
from fastbp._core.tape cimport HAS_PARENTS, Tape, collect, node_dtype
from fastbp._core.zeros cimport probe_to, probed_jvp

import numpy as np

from fastbp._core.graph import passive
from fastbp.errors import NoRuleError

cnp.import_array()

cdef enum:
    WORTH_GROUPING = 32768      # bytes of a tangent: less stays in the L1 cache anyway


cdef list run_forward(Tape tape, list tangents, int recorded, int lead, bint inner):
    cdef long long met = strong_zeros()
    cdef ForwardSweep sweep = _swept(tape, tangents, recorded, lead, False, inner)
    cdef list results
    if strong_zeros() != met:
        sweep = _swept(tape, tangents, recorded, lead, True, inner)
    results = sweep.results(tape.output_positions)
    if sweep.free is not None:
        _lose(results, sweep)
    return results


cdef ForwardSweep _swept(Tape tape, list tangents, int recorded, int lead, bint signs, bint inner):
    cdef ForwardSweep sweep = ForwardSweep.__new__(ForwardSweep, tape, recorded, lead, signs)
    sweep.seed(tangents, inner)
    sweep.run()
    return sweep


cdef int _lose(list results, ForwardSweep sweep) except -1:
    """Put NaN where a tangent depends on what nothing fixes."""
    cdef Tape tape = sweep.tape
    cdef bint kept = False
    cdef Py_ssize_t p
    cdef ForwardSweep other
    cdef Node node
    cdef list found
    for p in tape.output_positions:
        kept = kept or (p >= 0 and (<Node> tape.nodes[p]).flags & KEEPS)
    other = ForwardSweep.__new__(ForwardSweep, tape, RECORDED if kept else PLAIN, 1, False)
    other.starts = {}
    for p in sweep.free:
        node = <Node> tape.nodes[p]
        other.starts[p] = _free_tangents(node, RECORDED if kept else PLAIN)
    other.run()
    found = other.results(tape.output_positions)
    for k, value in enumerate(results):
        if value is not None and found[k] is not None:
            results[k] = _lost(value, passive(found[k]), sweep.reached, sweep.lead, kept)
    return 0


def _lost(value, moved, reached, int lead, bint kept):
    """Return a tangent with NaN where moves along what is free, the first two, are not zero."""
    size = np.abs(moved)
    real = size.dtype
    bound = np.finfo(real).eps ** 0.5 * np.max(size[2:], axis=0)
    lost = np.logical_not(np.max(size[:2], axis=0) <= bound)
    if not kept and not np.any(lost):
        return value
    if lead:
        reached = np.reshape(reached, (-1, *(1,) * lost.ndim))
    lost = np.where(np.logical_and(lost, reached), np.nan, 1.0).astype(real)
    value = value * lost
    return np.asarray(value) if isinstance(value, np.generic) else value


cdef object _free_tangents(Node node, int recorded):
    cdef dict static = node.static or {}
    return node.op.free(answer_of(node, recorded), *operands_of(node, recorded), **static)


@cython.final
cdef class ForwardSweep(Sweep):
    cdef const Py_ssize_t *last     # for each node the last one that reads its tangent
    cdef Group group                # the operations that wait; None: there are none
    cdef list free                  # positions whose values nothing fixes; None: there are none
    cdef object reached             # which vectors of the block move one of these
    cdef dict starts                # tangents that begin at nodes; None: at the inputs only

    def __cinit__(self, Tape tape, int recorded, int lead, bint signs):
        self.last = tape.last_reader()

    cdef int seed(self, list tangents, bint inner) except -1:
        cdef Py_ssize_t i, k
        for k in range(len(tangents)):
            i = self.tape.input_positions[k]
            if tangents[k] is not None and i >= 0:
                self.add(i, self.start(<Node> self.tape.nodes[i], tangents[k], "jvp", inner))
        return 0

    cdef int run(self) except -1:
        cdef Py_ssize_t i
        for i in range(self.tape.count):
            if self.tape.roles[i] & HAS_PARENTS:
                self.step(i)
        return self.run_group(self.tape.count)

    cdef int step(self, Py_ssize_t position) except -1:
        """Push through one node, and drop the tangents that nobody reads any more."""
        cdef Node node = <Node> self.tape.nodes[position]
        cdef Py_ssize_t *parents = self.tape.parents + self.tape.first[position]
        cdef Py_ssize_t k
        t = self.push(position, node, parents)
        if self.starts is not None and position in self.starts:
            t = self.started(node, t, self.starts[position])
        for k in range(parent_count(node)):
            if parents[k] >= 0 and self.last[parents[k]] == position:
                if type(self.values[parents[k]]) is not Group:
                    self.values[parents[k]] = None
        if t is not None:
            self.add(position, t)
        return 0

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
        if node.op.kind == ELEMENTWISE and self.join_group(position, node, parents, tangents):
            return self.group
        if waits:
            self.run_group(position)
            tangents = self.tangents_of(node, parents)
        if node.op.kind == ELEMENTWISE:
            return self.push_elementwise(node, tangents)
        if node.op.kind == OUTPUT:
            return self.push_output(node, tangents[0])
        if node.op.free is not None and self.starts is None:
            self.note_free(position, node, tangents)
        return self.push_by_rule(node, tangents)

    cdef list tangents_of(self, Node node, Py_ssize_t *parents):
        cdef Py_ssize_t k
        return [self.values[parents[k]] if parents[k] >= 0 else None
                for k in range(parent_count(node))]

    cdef cnp.npy_intp vectors_of(self, list tangents) except -1:
        """Length of the block axis."""
        cdef object t
        if self.lead:
            for t in tangents:
                if t is not None:
                    return (<Group> t).vectors if type(t) is Group else cnp.PyArray_DIM(t, 0)
        return 1

    # -- groups

    cdef bint join_group(self, Py_ssize_t position, Node node, Py_ssize_t *parents,
                         list tangents) except -1:
        """Let a large elementwise operation wait for others of its shape, if it can."""
        cdef PyObject *operands[MAX_EXTERNAL]
        cdef int leads[MAX_EXTERNAL]
        cdef cnp.npy_intp vectors
        cdef int n_own
        cdef Program program
        cdef Group group = self.group
        # An input that depends on another one has a tangent to be added to.
        if self.recorded or self.signs or self.values[position] is not None:
            return False
        vectors = self.vectors_of(tangents)
        if _bytes_of(node) * vectors < WORTH_GROUPING:
            return False
        program = node.op.push_program(node.typenum, _moving(tangents))
        if program is None:
            return False
        if group is None or not group.fits(node, vectors):
            self.run_group(position)
            tangents = self.tangents_of(node, parents)
            group = new_group(node, self.lead, vectors)
        n_own = self.fill(node, program, operands, leads)
        if not group.add(position, program, operands, n_own, tangents, parents):
            return False
        self.group = group
        return True

    cdef int run_group(self, Py_ssize_t position) except -1:
        """Compute the tangents that wait, before the node at `position` is visited."""
        cdef Group group = self.group
        self.group = None
        if group is not None:
            group.run(self.values, self.last, position)
        return 0

    # -- one operation

    cdef object push_elementwise(self, Node node, list tangents):
        cdef PyObject *operands[MAX_EXTERNAL]
        cdef int leads[MAX_EXTERNAL]
        cdef PyObject *outs[1]
        cdef cnp.npy_intp dims[34]
        cdef int k, n_ext, nd = self.lead + len(node.shape)
        cdef Program program = None
        cdef cnp.ndarray out
        cdef object t
        if not self.recorded:
            if self.signs:
                program = node.op.signed_program(
                    node.typenum, exact_partials(node), _moving(tangents), -1)
            else:
                program = node.op.push_program(node.typenum, _moving(tangents))
        if program is None:
            return self.push_by_partials(node, tangents)
        n_ext = self.fill(node, program, operands, leads)
        for t in tangents:
            if t is not None:
                operands[n_ext] = <PyObject *> t
                leads[n_ext] = self.lead
                n_ext += 1
        dims[0] = self.vectors_of(tangents)
        for k in range(self.lead, nd):
            dims[k] = node.shape[k - self.lead]
        out = new_array(nd, dims, node.typenum)
        outs[0] = <PyObject *> out
        run_program(program, operands, leads, outs, nd, dims)
        return out

    cdef object push_by_partials(self, Node node, list tangents):
        """The same from the partials as Python functions.

        On Variables, or where there is no program.
        """
        cdef Py_ssize_t k
        cdef list operands = operands_of(node, self.recorded)
        ans = answer_of(node, self.recorded)
        total = None
        for k in range(node.op.nin):
            if tangents[k] is None:
                continue
            t = tangents[k]
            shape = shape_of(t)
            missing = self.lead + len(node.shape) - len(shape)
            if missing:
                t = np.reshape(t, shape[:self.lead] + (1,) * missing + shape[self.lead:])
            term = self.times_partial(node, k, t, ans, operands)
            total = term if total is None else hook("add")(total, term)
        full = shape_of(t)[:self.lead] + node.shape
        if shape_of(total) != full:
            total = np.broadcast_to(total, full)
        return self.conform(node, total, node.op.name)

    cdef int note_free(self, Py_ssize_t position, Node node, list tangents) except -1:
        """Take note of an operation whose value nothing fixes, and of the vectors that move it."""
        cdef object t
        cdef bint kept = self.recorded and node.flags & KEEPS
        if _free_tangents(node, RECORDED if kept else PLAIN) is None:
            return 0
        if self.free is None:
            self.free, self.reached = [], False
        self.free.append(position)
        for t in tangents:
            if t is not None:
                moves = np.not_equal(passive(t), 0.0)
                moves = np.any(moves, axis=tuple(range(self.lead, moves.ndim)))
                self.reached = np.logical_or(self.reached, moves)
        return 0

    cdef object started(self, Node node, object t, object more):
        """Add the tangents that begin at a node to the one that has come to it."""
        if is_joint(node):
            if t is not None:
                more = [sum_of(x, y) for x, y in zip(t[0], more)]
            return list(more), None
        more = self.conform(node, more, node.op.name)
        return more if t is None else sum_of(t, more)

    cdef object push_by_rule(self, Node node, list tangents):
        cdef PyObject *before
        if node.op.compiled is not None and not self.recorded and not self.signs:
            value = node.op.compiled.push(node, tangents, self.lead)
            if value is not NotImplemented:
                return value
        if self.lead and not node.op.blocks:
            size = next(shape_of(t)[0] for t in tangents if t is not None)
            rows = [[None if t is None else t[i] for t in tangents] for i in range(size)]
            value = [_tangent(node, row, self.recorded) for row in rows]
            value = stacked(value) if is_joint(node) else np.stack(value)
        elif not self.recorded and _bytes_of(node) * self.vectors_of(tangents) >= LARGE:
            before = enter_pool()
            try:
                value = _tangent(node, tangents, PLAIN)
            finally:
                leave_pool(before)
        else:
            value = _tangent(node, tangents, self.recorded)
        if is_joint(node):      # its outputs take their tangents from here
            return value, probed_jvp(node, tangents, self.lead) if self.signs else None
        value = self.conform(node, value, node.op.name)
        if self.signs:
            probe = probe_to(probed_jvp(node, tangents, self.lead), self.lead, node.shape)
            value = self.settle(value, probe)
        return value

    cdef object push_output(self, Node node, tuple joint):
        """Take the tangent of an output from those of its joint node."""
        cdef Py_ssize_t k = (<Output> node.saved_b).index
        values, probes = joint
        if values is None or values[k] is None:
            return None
        value = self.conform(node, values[k], node.a.op.name)
        if self.signs:
            value = self.settle(value, probe_to(probes[k], self.lead, node.shape))
        return value


cdef int _moving(list tangents) except -1:
    """The operands whose tangents are not zero, as a bit mask."""
    cdef int k, mask = 0
    for k in range(len(tangents)):
        if tangents[k] is not None:
            mask |= 1 << k
    return mask


cdef Py_ssize_t _bytes_of(Node node) except -1:
    """Size of one tangent vector of a node."""
    cdef Py_ssize_t size = itemsize_of(node.typenum)
    cdef object n
    for n in node.shape:
        size *= n
    return size


cdef object _tangent(Node node, list tangents, int recorded):
    """The tangent of a node's value."""
    cdef Op op = node.op
    if op.jvp is not None:
        return apply_jvp(node, tangents, recorded)
    if op.vjp is not None:
        return _transposed_vjp(node, tangents, recorded)
    raise NoRuleError(f"{op.name} has no derivative rule")


cdef object _transposed_vjp(Node node, list tangents, int recorded):
    """A JVP from a VJP, which is linear in its cotangent g.

    The derivative of <vjp(g), t> with respect to g; see `_transposed_jvp`. Of a complex sum the
    seed 1 pulls back the real part.
    """
    cdef tuple needs = tuple([t is not None for t in tangents])
    cdef tuple lead = _block_shape(node, tangents)
    cdef Variable g
    cdef Output output
    cdef list outputs, gs
    if is_joint(node):
        gs = [None if output.constant
              else seed_variable(node, lead + output.shape, output.typenum) for output in node.ans]
        values = apply_vjp(node, needs, tuple(gs), recorded or RECORDED)
    else:
        g = seed_variable(node, lead + node.shape, node.typenum)
        gs = [g]
        values = apply_vjp(node, needs, g, recorded or RECORDED)
    inner = None
    for value, t in zip(values, tangents):
        if t is not None and value is not None and (type(value) is Variable or node.op.opaque):
            term = np.sum(value * t)
            inner = term if inner is None else inner + term
    inputs = [x for x in gs if x is not None]
    if type(inner) is Variable:
        outputs = [inner]
        tape = collect(outputs, inputs, False)
        found = run_reverse(tape, [None], RECORDED if recorded else PLAIN, 0, False, True)
    else:
        found = [None] * len(inputs)
    check_transposed(node, "VJP", "JVP", inner, inputs, found)
    if is_joint(node):
        rest = iter(found)
        return [None if x is None else next(rest) for x in gs]
    return np.zeros(g.shape, node_dtype(node)) if found[0] is None else found[0]


cdef tuple _block_shape(Node node, list tangents):
    """The block axis of tangents, if they have one."""
    cdef Py_ssize_t k
    for k in range(len(tangents)):
        if tangents[k] is not None:
            shape = shape_of(tangents[k])
            own = len(parent_of(node, k).shape)
            return shape[:len(shape) - own]
    return ()
