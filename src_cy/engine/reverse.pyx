"""The reverse sweep: cotangents, from outputs to inputs.

A node is visited when all that read its value have added to its cotangent; it adds to those of its
parents. Where nobody else can see a parent's cotangent, that is done in place.
"""

from cpython.list cimport PyList_GET_ITEM
from cpython.object cimport PyObject

cimport cython
cimport numpy as cnp
from fastbp._core.buffers cimport LARGE, enter_pool, leave_pool, new_array
from fastbp._core.dtypes cimport slot_of
from fastbp._core.elementwise cimport is_ours, run_program
from fastbp._core.graph cimport (
    ELEMENTWISE, OUTPUT, Node, Op, Output, Rules, Variable, hook, is_joint, parent_count,
    parent_of,
)
from fastbp._core.loops cimport strong_zeros
from fastbp._core.program cimport MAX_EXTERNAL, Program
from fastbp._core.sweep_base cimport (
    PLAIN, RECORDED, Sweep, answer_of, apply_jvp, apply_vjp, check_transposed, exact_partials,
    operands_of, product_of, seed_variable, shape_of, stacked,
)
from fastbp._core.tape cimport HAS_PARENTS, IS_END, Tape, bytes_held, collect, node_dtype
from fastbp._core.zeros cimport probe_to, probed_vjp

import numpy as np

from fastbp._core.dtypes import DIFFERENTIABLE as _DIFFERENTIABLE
from fastbp._core.tape import ConsumedError
from fastbp.errors import NoRuleError

cnp.import_array()

cdef enum:
    WORTH_CONSUMING = 16777216  # bytes that a record holds: less is kept until the sweep is done


# The usual seed, made once. Nobody writes into it: it has more than one reference.
cdef tuple ONES = tuple([np.ones((), dtype) for dtype in _DIFFERENTIABLE])
for _one in ONES:
    _one.flags.writeable = False


cdef list run_reverse(Tape tape, list cotangents, int recorded, int lead, bint consume,
                      bint inner):
    cdef long long met = strong_zeros()
    cdef list results
    if consume:
        consume = bytes_held(tape) > WORTH_CONSUMING
    results = _swept(tape, cotangents, recorded, lead, False, consume, inner)
    if strong_zeros() == met:
        return results
    if consume:
        raise ConsumedError("signed zeros need the record once more")
    return _swept(tape, cotangents, recorded, lead, True, False, inner)


cdef list _swept(Tape tape, list cotangents, int recorded, int lead, bint signs, bint consume,
                 bint inner):
    cdef ReverseSweep sweep = ReverseSweep.__new__(ReverseSweep, tape, recorded, lead, signs)
    sweep.seed(cotangents, inner)
    sweep.run(consume)
    return sweep.results(tape.input_positions)


# Where the cotangents of an elementwise operation's operands go; bit k: operand k.
cdef struct Destinations:
    int needs           # there is one to compute
    int accumulates     # into the parent's cotangent, in place
    int passes          # the partial is one: it is g itself
    int fresh           # into a new array


@cython.final
cdef class ReverseSweep(Sweep):

    cdef int seed(self, list cotangents, bint inner) except -1:
        cdef Py_ssize_t i, k
        cdef Node node
        for k in range(len(cotangents)):
            i = self.tape.output_positions[k]
            if i < 0:
                continue
            node = <Node> self.tape.nodes[i]
            g = cotangents[k]
            if g is None:
                g = _ones(node)
            self.add(i, self.start(node, g, "gradients", inner))
        return 0

    cdef int run(self, bint consume) except -1:
        cdef Tape tape = self.tape
        cdef list values = self.values, nodes = tape.nodes
        cdef Py_ssize_t i
        cdef Node node
        cdef object g
        for i in range(tape.count - 1, -1, -1):
            g = values[i]
            if g is not None:
                node = <Node> nodes[i]
                # Without this reference, g is ours unless somebody else has it.
                if not tape.roles[i] & IS_END:
                    values[i] = None
                if tape.roles[i] & HAS_PARENTS:
                    self.pull(i, node, g)
                g = node = None
            if consume and not tape.roles[i] & IS_END:
                nodes[i] = None
        return 0

    cdef int pull(self, Py_ssize_t position, Node node, object g) except -1:
        """Add the contributions of one node's cotangent to its parents."""
        cdef Py_ssize_t *parents = self.tape.parents + self.tape.first[position]
        if node.op.kind == ELEMENTWISE:
            if self.recorded:
                return self.pull_by_partials(node, parents, g)
            return self.pull_elementwise(node, parents, g)
        if node.op.compiled is not None and not self.recorded and not self.signs:
            return self.pull_compiled(node, parents, g)
        if node.op.kind == OUTPUT:
            return self.pull_output(node, parents, g)
        return self.pull_by_rule(node, parents, tuple(<list> g) if is_joint(node) else g)

    # -- elementwise operations

    cdef int pull_elementwise(self, Node node, Py_ssize_t *parents, cnp.ndarray g) except -1:
        """Compute all cotangents of the operands by one program."""
        cdef Destinations to
        cdef PyObject *operands[MAX_EXTERNAL]
        cdef int leads[MAX_EXTERNAL]
        cdef PyObject *outs[3]
        cdef list fresh = None
        cdef int k, n_ext, n_out = 0
        cdef Program program
        self.find_destinations(&to, node, parents)
        if self.signs:
            program = node.op.signed_program(
                node.typenum, exact_partials(node), to.needs, to.accumulates)
        else:
            program = node.op.pull_program(node.typenum, to.needs, to.accumulates)
        if program is None:
            return self.pull_by_partials(node, parents, g)
        n_ext = self.fill(node, program, operands, leads)
        operands[n_ext] = <PyObject *> g
        leads[n_ext] = self.lead
        n_ext += 1
        for k in range(node.op.nin):
            if to.accumulates >> k & 1:
                operands[n_ext] = outs[n_out] = PyList_GET_ITEM(self.values, parents[k])
                leads[n_ext] = self.lead
                n_ext += 1
                n_out += 1
        if to.fresh:
            fresh = [None, None, None]
        for k in range(node.op.nin):
            if to.fresh >> k & 1:
                # The last output may overwrite g, if this is its last use.
                if to.fresh >> k == 1 and to.passes == 0 and is_ours(<PyObject *> g):
                    fresh[k] = g
                else:
                    fresh[k] = new_array(
                        cnp.PyArray_NDIM(g), cnp.PyArray_DIMS(g), node.typenum)
                outs[n_out] = <PyObject *> fresh[k]
                n_out += 1
        if n_out:
            run_program(program, operands, leads, outs, cnp.PyArray_NDIM(g), cnp.PyArray_DIMS(g))
        return self.add_outputs(&to, node, parents, g, fresh)

    cdef int find_destinations(self, Destinations *to, Node node, Py_ssize_t *parents) except -1:
        cdef int k
        cdef Node parent
        cdef object c
        to.needs = to.accumulates = to.passes = 0
        for k in range(node.op.nin):
            if parents[k] < 0:
                continue
            to.needs |= 1 << k
            parent = <Node> self.tape.nodes[parents[k]]
            if parent.shape is node.shape or parent.shape == node.shape:
                # Borrowed: a local reference would hide that the buffer is ours.
                if is_ours(PyList_GET_ITEM(self.values, parents[k])):
                    to.accumulates |= 1 << k
                    continue
            c = node.op.constant_partials[k]
            if c is not None and c == 1:
                to.passes |= 1 << k
        to.fresh = to.needs & ~to.accumulates & ~to.passes
        return 0

    cdef int add_outputs(self, const Destinations *to, Node node, Py_ssize_t *parents,
                         cnp.ndarray g, list fresh) except -1:
        """Add what was not accumulated in place, summed over the axes of broadcasting."""
        cdef int k
        cdef Node parent
        cdef object value
        for k in range(node.op.nin):
            if (to.fresh | to.passes) >> k & 1:
                parent = <Node> self.tape.nodes[parents[k]]
                if to.passes >> k & 1:
                    value = g
                else:
                    value = fresh[k]
                    fresh[k] = None     # so that the sum may be in place
                if parent.shape is not node.shape and parent.shape != node.shape:
                    value = self.sum_to(value, parent.shape)
                self.add(parents[k], value)
                value = None
        return 0

    cdef int pull_by_partials(self, Node node, Py_ssize_t *parents, object g) except -1:
        """The same from the partials as Python functions.

        On Variables, or where there is no program.
        """
        cdef Py_ssize_t k
        cdef Node parent
        cdef list operands = operands_of(node, self.recorded)
        ans = answer_of(node, self.recorded)
        for k in range(node.op.nin):
            if parents[k] < 0:
                continue
            parent = <Node> self.tape.nodes[parents[k]]
            value = self.times_partial(node, k, g, ans, operands)
            self.add(parents[k], self.conform(parent, value, node.op.name))
        return 0

    # -- other operations

    cdef int pull_compiled(self, Node node, Py_ssize_t *parents, cnp.ndarray g) except -1:
        """Let compiled rules add to the cotangents of the operands, where these are ours."""
        cdef Py_ssize_t k
        cdef Rules rules = node.op.compiled
        cdef object into, value
        for k in range(parent_count(node)):
            if parents[k] < 0:
                continue
            into = None
            if is_ours(PyList_GET_ITEM(self.values, parents[k])):
                into = self.values[parents[k]]
            elif rules.adds:
                into = self.values[parents[k]] = self.accumulator(parents[k], g)
            value = rules.pull(node, k, g, self.lead, into)
            if into is None and value is not None:
                self.add(parents[k], value)
            into = value = None
        return 0

    cdef object accumulator(self, Py_ssize_t position, cnp.ndarray g):
        """A node's cotangent as it is by now, in an array of its own."""
        cdef Node node = <Node> self.tape.nodes[position]
        present = self.values[position]
        if present is not None:
            return np.array(present, order="C")
        return _zeros(shape_of(g)[:self.lead] + node.shape, node)

    cdef int pull_output(self, Node node, Py_ssize_t *parents, object g) except -1:
        """Put the cotangent of an output among those of its joint node."""
        cdef Py_ssize_t k = (<Output> node.saved_b).index
        cdef list joint = self.values[parents[0]]
        if joint is None:
            joint = self.values[parents[0]] = [None] * len(node.a.ans)
        if joint[k] is None:
            joint[k] = g
        else:
            value = hook("add")(joint[k], g)
            joint[k] = value if self.recorded else np.asarray(value)
        return 0

    cdef int pull_by_rule(self, Node node, Py_ssize_t *parents, object g) except -1:
        cdef Py_ssize_t k, n = parent_count(node)
        cdef tuple needs = tuple([parents[k] >= 0 for k in range(n)])
        cdef Node parent
        cdef PyObject *before
        if self.lead and not node.op.blocks:
            rows = [_cotangents(node, needs, _row(g, i), self.recorded)
                    for i in range(shape_of(_some(g))[0])]
            values = stacked(rows)
        elif not self.recorded and _is_large(g):
            before = enter_pool()
            try:
                values = _cotangents(node, needs, g, PLAIN)
            finally:
                leave_pool(before)
        else:
            values = _cotangents(node, needs, g, self.recorded)
        probes = probed_vjp(node, needs, g, self.lead) if self.signs else None
        for k in range(n):
            if needs[k] and values[k] is not None:
                parent = <Node> self.tape.nodes[parents[k]]
                value = self.conform(parent, values[k], node.op.name)
                if self.signs:
                    value = self.settle(value, probe_to(probes[k], self.lead, parent.shape))
                self.add(parents[k], value)
        return 0


cdef object _ones(Node node):
    if not node.shape:
        return ONES[slot_of(node.typenum)]
    return np.ones(node.shape, node_dtype(node))


cdef object _zeros(tuple shape, Node node):
    cdef PyObject *before = enter_pool()    # NumPy's own memory would be new to the process
    try:
        return np.zeros(shape, node_dtype(node))
    finally:
        leave_pool(before)


cdef object _some(object g):
    """A cotangent: of several outputs one that is not zero."""
    if type(g) is tuple:
        for x in <tuple> g:
            if x is not None:
                return x
    return g


cdef object _row(object g, Py_ssize_t i):
    if type(g) is tuple:
        return tuple([None if x is None else x[i] for x in <tuple> g])
    return g[i]


cdef bint _is_large(object g) except -1:
    if type(g) is tuple:
        return any([x is not None and cnp.PyArray_NBYTES(x) >= LARGE for x in <tuple> g])
    return cnp.PyArray_NBYTES(g) >= LARGE


cdef object _cotangents(Node node, tuple needs, object g, int recorded):
    """The cotangents of a node's operands; None where `needs` is false, or for zero."""
    cdef Op op = node.op
    if op.vjp is not None:
        return apply_vjp(node, needs, g, recorded)
    if op.jvp is not None:
        return _transposed_jvp(node, needs, g, recorded)
    raise NoRuleError(f"{op.name} has no derivative rule")


cdef object _transposed_jvp(Node node, tuple needs, object g, int recorded):
    """A VJP from a JVP, which is linear in its tangents t.

    The derivative of <g, jvp(t)> with respect to t. For complex numbers <g, t> is the real part of
    the sum of their products: so it holds for rules that conjugate, too.
    """
    cdef Py_ssize_t k
    cdef Node parent
    cdef list tangents = [None] * len(needs), inputs
    cdef list outputs, gs = list(g) if is_joint(node) else [g]
    cdef tuple lead = ()
    cdef object total = None
    for k in range(len(gs)):
        if gs[k] is not None:
            own = (<Output> node.ans[k]).shape if is_joint(node) else node.shape
            lead = shape_of(gs[k])[:len(shape_of(gs[k])) - len(own)]
    for k in range(len(needs)):
        if needs[k]:
            parent = parent_of(node, k)
            tangents[k] = seed_variable(node, lead + parent.shape, parent.typenum)
    inputs = [t for t in tangents if t is not None]
    value = apply_jvp(node, tangents, recorded or RECORDED)
    outputs = list(value) if is_joint(node) else [value]
    if node.op.opaque:
        for y, weight in zip(outputs, gs):
            if y is not None and weight is not None:
                term = product_of(y, weight)
                total = term if total is None else total + term
    if is_joint(node) or node.op.opaque:  # what is zero may be no Variable
        moving = [k for k in range(len(gs)) if gs[k] is not None and type(outputs[k]) is Variable]
        outputs, gs = [outputs[k] for k in moving], [gs[k] for k in moving]
    results = [None] * len(inputs)
    if outputs:
        results = run_reverse(collect(outputs, inputs, False), gs, recorded, 0, False, True)
    check_transposed(node, "JVP", "VJP", total, inputs, results)
    found = iter(results)
    return [next(found) if needs[k] else None for k in range(len(needs))]
