"""What both directions of a sweep share: its (co)tangents, and how it gives rules their arguments.

The rules state derivatives only; the sweep keeps dtypes, undoes broadcasting and sums
contributions.

**Signed zeros.** A product of a (co)tangent that is zero and a partial that is not finite is zero
if the (co)tangent is *exactly* zero, as in a branch that was not taken, and undefined if arithmetic
made it so. A plain sweep takes zero, and notes that it met such a product; only then the sweep is
done again with `signs`, in which -0 is an exact zero and +0 any other (zeros.pyx).
"""

from cpython.list cimport PyList_GET_ITEM
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM

cimport numpy as cnp
from fastbp._core.buffers cimport new_array
from fastbp._core.dtypes cimport dtype_of, is_complex
from fastbp._core.elementwise cimport is_ours, is_plain, run_program, sum_to_shape
from fastbp._core.graph cimport (
    ADD, Node, Op, Output, Variable, hook, is_joint, make_variable, new_spec, output_node,
    KEEPS, Passive, entered, handle_on, parent_count, parent_of, saved_of,
)
from fastbp._core.partials cimport SAVES_ANS
from fastbp._core.program cimport Program
from fastbp._core.tape cimport Tape, node_dtype

import math

import numpy as np

from fastbp._core.operands import as_array
from fastbp.errors import NoRuleError, ShapeError

cnp.import_array()


cdef class Sweep:
    """The tape, one (co)tangent for each node, the mode."""

    def __cinit__(self, Tape tape, int recorded, int lead, bint signs):
        self.signs = signs
        self.tape = tape
        self.values = [None] * tape.count
        self.recorded = recorded
        self.lead = lead

    cdef int add(self, Py_ssize_t position, object value) except -1:
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
        program = ADD.forward_program(cnp.PyArray_TYPE(value))
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

    cdef object start(self, Node node, object value, str what, bint inner):
        if self.recorded and type(value) is not Variable and type(value) is not Passive:
            value = np.array(value)     # the caller may write into his
        value = self.conform(node, value, what)
        if self.signs and not inner and type(value) is not Variable:
            exact = np.negative(np.zeros((), value.dtype))  # what a seed leaves out
            value = np.where(np.equal(value, 0.0), exact, value)
        return value

    cdef object conform(self, Node node, object value, str what):
        cdef tuple given, shape = node.shape
        if (not self.recorded and cnp.PyArray_CheckExact(value)
                and _fits(node, value, self.lead)):
            return value
        value = _as_variable(node, value) if self.recorded else _as_array(node, value)
        given = shape_of(value)[self.lead:]
        if given == shape:
            return value
        if len(given) < len(shape) or not _sums_to(given, shape):
            raise ShapeError(
                f"{what}: a rule returned shape {given}, which does not reduce to {shape}")
        return self.sum_to(value, shape)

    cdef object sum_to(self, object value, tuple shape):
        if self.recorded:
            total = hook("sum_to")(value, shape=shape, nd=len(shape_of(value)) - self.lead)
        else:
            total = sum_to_shape(value, self.lead, shape)
        if not self.signs:
            return total
        moving = ~exact_zeros(value)
        return self.settle(total, sum_to_shape(moving.astype("f8"), self.lead, shape))

    cdef object settle(self, object value, object probe):
        """Give zeros their sign: exact ones are where a probe is zero, too."""
        value = hook("settle")(value, np.asarray(probe, value.dtype))
        return value if self.recorded else np.asarray(value)

    cdef int fill(self, Node node, Program program, PyObject **operands, int *leads) except -1:
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

    cdef object times_partial(self, Node node, Py_ssize_t k, object t, object ans, list operands):
        cdef Op op = node.op
        c = op.constant_partials[k]
        if c is not None and c == 1:
            return t
        if self.signs:
            partial = c if c is not None else op.partials[k](ans, *operands)
            if op.signed_partials >> <int> k & 1:
                return hook("mulxs")(t, partial)
            return hook("mulxx" if exact_partials(node) >> <int> k & 1 else "mulx")(t, partial)
        if c is not None:
            return hook("multiply")(t, c)
        partial = op.partials[k](ans, *operands)
        return hook("mulzz" if op.dominant >> <int> k & 1 else "mulz")(t, partial)

    cdef list results(self, list positions):
        cdef list results = [], values = self.values
        cdef Py_ssize_t p
        for p in positions:
            if p < 0 or values[p] is None:
                results.append(None)
            elif self.signs:
                value = hook("add")(values[p], 0.0)
                results.append(value if self.recorded else np.array(value, order="C"))
            elif type(values[p]) is Variable:
                # Two inputs may have one cotangent, and it may be a view of another.
                results.append(_own_handle(values[p]))
            elif self.recorded or is_ours(PyList_GET_ITEM(values, p)):
                results.append(values[p])
            else:
                results.append(np.array(values[p], order="C"))
        return results


# ---- signed zeros --------------------------------------------------------------------------------


cdef object exact_zeros(object x):
    x = (<Variable> x).array if type(x) is Variable else np.asarray(x)
    if x.dtype.kind == "c":
        return exact_zeros(x.real) & exact_zeros(x.imag)
    return x.view(f"i{x.itemsize}") == np.iinfo(f"i{x.itemsize}").min     # the bits of -0


cdef int exact_partials(Node node) except -1:
    cdef Op op = node.op
    cdef int k, j, mask = op.dominant | op.selects
    cdef bint constant
    for k in range(op.nin):
        constant = not op.saves_for[k] & SAVES_ANS
        for j in range(op.nin):
            if op.saves_for[k] >> j & 1 and parent_of(node, j) is not None:
                constant = False
        if constant:
            mask |= 1 << k
    return mask


# ---- what rules return -------------------------------------------------------------------------


cdef bint _fits(Node node, cnp.ndarray value, int lead) noexcept:
    """Whether an array has the dtype and (behind block axes) the shape of a node."""
    cdef tuple shape = node.shape
    cdef int axis, nd = len(shape)
    if (cnp.PyArray_NDIM(value) != lead + nd or cnp.PyArray_TYPE(value) != node.typenum
            or not is_plain(value)):
        return False
    for axis in range(nd):
        if <cnp.npy_intp> shape[axis] != cnp.PyArray_DIM(value, lead + axis):
            return False
    return True


cdef object _as_variable(Node node, object value):
    """A Variable, or an array that takes its place, of the node's dtype.

    Where the node is real, the real part of what is complex: the imaginary one says how the result
    would change if the node had one, too.
    """
    if type(value) is Passive:
        value = entered(value, node_dtype(node))
    if type(value) is not Variable:
        value = _real_if(node, as_array(value, "what a rule returned"))
        return np.asarray(value, node_dtype(node))
    if (<Variable> value).node.typenum != node.typenum:
        if is_complex((<Variable> value).node.typenum) and not is_complex(node.typenum):
            value = hook("real")(value)
        if (<Variable> value).node.typenum != node.typenum:
            value = hook("astype")(value, node_dtype(node))
    return value


cdef cnp.ndarray _real_if(Node node, cnp.ndarray value):
    if cnp.PyArray_ISCOMPLEX(value) and not is_complex(node.typenum):
        return (<object> value).real
    return value


cdef cnp.ndarray _as_array(Node node, object value):
    """A plain array of the node's dtype; see `_as_variable`."""
    cdef cnp.ndarray array = ((<Variable> value).value if type(value) is Variable
                              else as_array(value, "what a rule returned"))
    array = _real_if(node, array)
    if cnp.PyArray_TYPE(array) != node.typenum or not is_plain(array):
        return array.astype(node_dtype(node))
    return array


cdef bint _sums_to(tuple given, tuple shape):
    """Whether summing over axes brings the shape `given` to `shape`."""
    cdef Py_ssize_t k, extra = len(given) - len(shape)
    for k in range(len(shape)):
        if shape[k] != 1 and shape[k] != given[extra + k]:
            return False
    return True


# ---- what rules are given ----------------------------------------------------------------------


cdef object apply_vjp(Node node, tuple needs, object g, int recorded, list operands=None):
    cdef Op op = node.op
    cdef dict static = _keywords(node, recorded or operands is not None)
    if operands is None:
        operands = operands_of(node, recorded)
    cdef Py_ssize_t k
    ans = answer_of(node, recorded)
    if op.opaque:
        g = tuple([_own_handle(x) for x in g]) if is_joint(node) else _own_handle(g)
    if isinstance(op.vjp, tuple):
        return [op.vjp[k](g, ans, *operands, **static) if needs[k] else None
                for k in range(len(needs))]
    values = op.vjp(g, needs, ans, *operands, **static)
    if not isinstance(values, (tuple, list)) or len(values) != len(needs):
        raise ShapeError(f"{op.name}: its vjp rule must return {len(needs)} cotangents, "
                         "one for each operand")
    return values


cdef object apply_jvp(Node node, list tangents, int recorded, list operands=None):
    cdef Op op = node.op
    cdef dict static = _keywords(node, recorded or operands is not None)
    if operands is None:
        operands = operands_of(node, recorded)
    cdef Py_ssize_t k
    ans = answer_of(node, recorded)
    if op.opaque:
        tangents = [_own_handle(t) for t in tangents]
    if not isinstance(op.jvp, tuple):
        total = op.jvp(tangents, ans, *operands, **static)
        return _checked(node, total) if is_joint(node) else total
    total = None
    for k in range(len(tangents)):
        if tangents[k] is not None:
            term = op.jvp[k](tangents[k], ans, *operands, **static)
            if is_joint(node):
                term = _checked(node, term)
                total = term if total is None else list(map(sum_of, total, term))
            else:
                total = term if total is None else hook("add")(total, term)
    return total


cdef object _checked(Node node, object tangents):
    """What a rule returned as tangents of several outputs."""
    cdef Py_ssize_t n = len(node.ans)
    if not isinstance(tangents, (tuple, list)) or len(tangents) != n:
        given = len(tangents) if isinstance(tangents, (tuple, list)) else "no tuple"
        raise ShapeError(f"{node.op.name}: its jvp rule must return {n} tangents, one for each "
                         f"output, None for zero; it returned {given}")
    return tangents


cpdef object sum_of(object x, object y):
    return y if x is None else x if y is None else hook("add")(x, y)


cdef dict _keywords(Node node, bint without_residuals):
    """The keyword arguments of rules."""
    if not node.op.residuals:
        return node.static
    return {**node.static, "residuals": None if without_residuals else node.saved_b}


cdef list stacked(list rows):
    cdef list found = []
    for column in zip(*rows):
        shape = next((shape_of(x) for x in column if x is not None), None)
        found.append(None if shape is None else np.stack(
            [np.zeros(shape) if x is None else x for x in column]))
    return found


cdef object _own_handle(object t):
    """A handle that a user's rule may write into: ours may be a view of another (co)tangent."""
    return make_variable((<Variable> t).array, (<Variable> t).node) if type(t) is Variable else t


cdef list operands_of(Node node, int recorded):
    return [_operand(node, k, recorded) for k in range(parent_count(node))]


cdef object _operand(Node node, Py_ssize_t k, int recorded):
    cdef object value = saved_of(node, k)
    cdef Node parent = parent_of(node, k)
    if value is None:
        return None if parent is None else new_spec(parent.shape, parent.typenum)
    if recorded == RECORDED and parent is not None:
        return handle_on(value, parent)
    return value


cdef object answer_of(Node node, int recorded):
    cdef Py_ssize_t k
    if is_joint(node):
        return tuple([_output_of(node, k, recorded) for k in range(len(node.ans))])
    if node.ans is None:
        return new_spec(node.shape, node.typenum)
    return make_variable(node.ans, node) if recorded == RECORDED else node.ans


cdef object _output_of(Node joint, Py_ssize_t k, int recorded):
    cdef Output output = <Output> joint.ans[k]
    if output.value is None:
        return None if output.shape is None else new_spec(output.shape, output.typenum)
    if recorded == RECORDED and (
            not output.constant or joint.flags & KEEPS and output.shape is not None):
        return handle_on(output.value, output_node(joint, k))
    return output.value


cdef tuple shape_of(object x):
    return (<Variable> x).node.shape if type(x) is Variable else (<object> x).shape


cdef Variable zeros_variable(tuple shape, int typenum):
    return hook("variable")(np.zeros(shape, dtype_of(typenum)))


cdef Variable seed_variable(Node node, tuple shape, int typenum):
    """The (co)tangent by which a rule is differentiated, to transpose it.

    A rule of a user gets numbers by which `check_transposed` sees whether it computes with them.
    """
    if not node.op.opaque:
        return zeros_variable(shape, typenum)
    size = math.prod(shape)
    return hook("variable")(np.linspace(1.0, 2.0, size, dtype=dtype_of(typenum)).reshape(shape))


cdef int check_transposed(Node node, str given, str wanted, object total, list seeds,
                          list found) except -1:
    """Raise where a user's rule is not what its derivative says it is, a linear function.

    `total` is the sum of what it returned for the seeds, and `found` its derivative by them. A rule
    that takes its argument as a plain number would be zero without a word.
    """
    if not node.op.opaque or total is None:
        return 0
    total = np.real(_plain(total))
    with np.errstate(all="ignore"):
        terms = [product_of(seed, x) for seed, x in zip(seeds, found, strict=True)
                 if x is not None]
        again, scale = sum(terms), abs(total) + sum(map(abs, terms))
    if not np.isfinite(scale) or abs(total - again) <= 1e-3 * scale:
        return 0
    raise NoRuleError(
        f"{node.op.name}: it has a {given} only, from which a {wanted} cannot be had: the rule is "
        "not linear in what it is given, or takes it as a plain number (.value, float(), getval). "
        f"State a {wanted} too, or use the mode that needs none")


cdef object product_of(object x, object y):
    """The real part of the sum of products of elements, a number."""
    return np.real(np.sum(_plain(x) * _plain(y)))


cdef object _plain(object x):
    return (<Variable> x).array if type(x) is Variable else x
