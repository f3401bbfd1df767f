"""Recording: an operation applied to Variables computes its value and leaves a node in the graph.

A node keeps what the rules of its operation read (residuals) and its parents' nodes, never a
Variable: so there are no reference cycles, and an array that no rule reads is freed as in plain
NumPy. A Variable is a handle on an array and a node; writing into one gives the handle a new array
and node, and what was recorded before keeps its values. A view is a handle that also knows the
handle that it sees: writes go there, reads ask whether it has moved on. A fillable is a Variable
that has no history yet, but can be written into: for operations it is a constant. An operation of
several outputs has a node of its own, and one for each output (outputs.pxi).
"""

from cpython.complex cimport PyComplex_CheckExact
from cpython.object cimport PyObject, PyObject_Call
from cpython.float cimport PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from libc.string cimport memcpy
cimport cython
cimport numpy as cnp
from fastbp._core.buffers cimport LARGE, enter_pool, leave_pool, new_array
from fastbp._core.constants cimport kept
from fastbp._core.dtypes cimport N_SLOTS, dtype_of, is_complex, promoted_of, real_of, slot_of
from fastbp._core.elementwise cimport (
    MAX_NDIM, is_ours, is_plain, run_program, take_fp_flags, total_of,
)
from fastbp._core.matmul cimport c_matmul
from fastbp._core.partials cimport SAVES_ANS
from fastbp._core.program cimport Program

import numpy as np

from fastbp._core.dtypes import NAMES as _NAMES, conversion
from fastbp._core.operands import as_array, as_numbers
from fastbp._core.program import Expr
from fastbp._core.partials import analyse, compile_forward, compile_pull, compile_push
from fastbp.errors import (
    DTypeError,
    FastbpError,
    NoRuleError,
    ReadOnlyError,
    ShapeError,
    named,
)

cnp.import_array()

cdef extern from "Python.h":
    void PyObject_GC_Track(PyObject *o) noexcept
    void PyObject_GC_UnTrack(PyObject *o) noexcept
    int PyObject_GC_IsTracked(PyObject *o) noexcept
    void Py_INCREF(object o)
    PyObject *PyList_GET_ITEM(object items, Py_ssize_t k) noexcept
    Py_ssize_t Py_REFCNT(PyObject *o) noexcept
    ctypedef struct PySequenceMethods:
        void *sq_item
    object PyMethod_New(object function, object owner)
    ctypedef struct TypeSlots "PyTypeObject":
        unsigned long tp_flags
        PyObject *tp_dict
        PySequenceMethods *tp_as_sequence
    void PyType_Modified(TypeSlots *type) noexcept
    const unsigned long Py_TPFLAGS_SEQUENCE, Py_TPFLAGS_METHOD_DESCRIPTOR

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident()

cdef extern from "numpy/arrayobject.h":
    object PyArray_View(cnp.ndarray array, cnp.PyArray_Descr *descr, type subtype)
    object PyArray_NewFromDescr(type subtype, cnp.dtype descr, int nd, const cnp.npy_intp *dims,
                                const cnp.npy_intp *strides, void *data, int flags, object obj)

cdef long long _last_id = 0
cdef dict _hooks = {}       # operations and functions that the core calls by name
cdef Op ADD, SUBTRACT, MULTIPLY, DIVIDE, SQUARE, POWER, POSITIVE      # the hot ones among them
cdef dict _by_ufunc = {}    # numpy.ufunc -> Op
cdef dict _by_function = {}  # NumPy function -> differentiable function of the same signature
cdef dict _by_reduce = {}   # (numpy.ufunc, "reduce" ...) -> the same

cdef object float64 = np.float64
cdef dict NO_STATIC = {}


cdef bint _is_differentiable(object dtype):
    return slot_of(dtype.num) >= 0


def current_id():
    """Return the id of the newest node: nodes recorded later have larger ids."""
    return _last_id


cdef object hook(str name):
    return _hooks[name]


def bind(str name, target):
    """Bind an operation or function that the core calls by `name`."""
    global ADD, SUBTRACT, MULTIPLY, DIVIDE, SQUARE, POWER, POSITIVE
    _hooks[name] = target
    ADD, SUBTRACT = _hooks.get("add"), _hooks.get("subtract")
    MULTIPLY, DIVIDE = _hooks.get("multiply"), _hooks.get("divide")
    SQUARE, POWER = _hooks.get("square"), _hooks.get("power")
    POSITIVE = _hooks.get("positive")


def bind_ufunc(ufunc, Op op):
    """Record calls of a NumPy or SciPy ufunc on Variables as `op`."""
    _by_ufunc[ufunc] = op
    if op.ufunc is None:
        op.ufunc = ufunc


def bind_function(function, implementation):
    """Call `implementation` when the NumPy `function` is applied to Variables."""
    _by_function[function] = implementation


def bind_ufunc_method(ufunc, str method, implementation):
    """Call `implementation` when ``ufunc.method``, as ``numpy.add.reduce``, meets Variables."""
    _by_reduce[ufunc, method] = implementation


def bind_method(str name, implementation):
    """Make ``variable.name(...)`` call ``implementation(variable, ...)``, a Python function."""
    cdef TypeSlots *slots = <TypeSlots *> <PyObject *> Variable
    # In the type's own dictionary, where the interpreter looks first: no call of __getattr__.
    (<dict> slots.tp_dict)[name] = implementation
    PyType_Modified(slots)


def implementation_of(function):
    """Return what a NumPy function or ufunc does on Variables, or None."""
    return _by_ufunc.get(function) or _by_function.get(function)


# ---- operations --------------------------------------------------------------------------------


cdef class Rules:
    """Compiled rules of an operation: see graph.pxd; the classes are in compiled.pyx."""

    cdef Variable record(self, Op op, tuple operands, dict static):
        return None

    cdef object value(self, cnp.ndarray x, dict static):
        return NotImplemented

    cdef object pull(self, Node node, Py_ssize_t k, cnp.ndarray g, int lead, cnp.ndarray into):
        raise NotImplementedError

    cdef object push(self, Node node, list tangents, int lead):
        return NotImplemented


@cython.final
cdef class Spec:
    """Shape and dtype of an operand whose value a rule does not read."""

    def __init__(self, *args):
        raise TypeError("a Spec is made by the engine")

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def size(self):
        size = 1
        for n in self.shape:
            size *= n
        return size

    @property
    def dtype(self):
        return dtype_of(self.typenum)


@cython.final
cdef class Op:
    """An operation: how its value is computed, and its derivative rules.

    Parameters
    ----------
    name : str
    forward : callable
        The value, from plain arrays: ``forward(*operands, **static)``.
    partials : tuple of callable, optional
        Makes the operation elementwise: ``partials[i](ans, *operands)`` is the partial derivative
        with respect to operand i, written with NumPy ufuncs and ``np.where`` only.
    vjp, jvp : tuple of callable or callable, optional
        Rules of any other operation. A tuple has one function an operand, ``vjp[i](g, ans,
        *operands, **static)`` and ``jvp[i](t, ans, *operands, **static)``; a single function is
        joint: ``vjp(g, needs, ans, *operands, **static)`` returns a tuple of cotangents,
        ``jvp(tangents, ans, *operands, **static)`` the tangent (absent tangents are None). Where
        `forward` returns several outputs, `g`, `ans` and what a jvp returns are tuples with an
        item for each, in `g` and tangents None for zero.
    compiled : Rules, optional
        Rules for sweeps that record nothing (`fastbp._core.compiled`).
    saves : tuple, optional
        What the rules read: operand positions and "ans", or of several outputs pairs ("ans", k).
        The rest is handed to them as `Spec`, shape and dtype only.
    nout : int
        Number of outputs: `forward` returns a tuple of as many, and so does the operation. -1: any
        number, and one array where it returns no tuple.
    constants : tuple of int
        Outputs without derivative: arrays or any objects (factors, pivots). Those of integers and
        booleans need not be named. They are returned as they are.
    objects : tuple of int
        Operands without derivative that may be any object, as another operation's constant
        outputs; `forward` and rules get them as they are.
    promotes : tuple of int
        Operands that are brought to one dtype before they are recorded, as NumPy promotes them;
        all of an elementwise operation are.
    residuals : bool
        Whether `forward` returns a pair, its value and residuals: any object that is opaque to
        differentiation and kept for the rules, which get it as ``residuals=``. In recorded sweeps
        that is None: what is computed from residuals has no derivative, so the rule writes the
        general formula there.
    blocks : bool
        Whether the rules carry leading block axes of `g` and `t` through; if not, the engine loops
        over them.
    complex : True, Op, callable or None
        What an elementwise operation does where an operand is complex. True: the same, as the
        partials hold for complex numbers too (it is holomorphic); an operation or a function: this
        is called with the operands instead; None: it is refused.
    kernel : str, optional
        An elementwise kernel of the core that computes `forward`.
    opaque : bool
        Whether the rules are a user's closures, which may hold Variables: such nodes can be in
        reference cycles.
    writes : bool
        Whether the value is the first operand with the others written into it.
    dominant : int
        Bit mask of operands whose partial, where it is zero, makes the product with a (co)tangent
        zero even if that is infinite or NaN. Otherwise only a zero (co)tangent does.
    selects : int
        Bit mask of operands of an elementwise operation whose partial is a mask: where it is zero,
        another branch was taken.
    signed_partials : int
        Bit mask of operands whose partial has signed zeros, where -0 is exact: of operations that
        sweeps of signed zeros record.
    coefficients : {"fixed", "operands", "values"}, optional
        What the coefficients of the rules are, which are linear in the (co)tangent: "fixed", zero
        only where an element takes no part in the value, or another one was selected (the default
        for rules that read no values); "operands", the other operands (products); "values", any
        function of values: zeros among them mean nothing (the default for all others).
    squared : callable, optional
        ``squared(*operands, **static)``, the square of the value as another function of the
        operands, which is smooth where the value itself has a kink (a norm, an absolute value); or
        None. What rules do not read is NaN among the operands: only their nodes can be used.
    of_square : callable, optional
        The square of the value from that of the one recorded operand, which stands in its place:
        ``of_square(*operands, **static)``, of what moves elements or scales them. It returns None
        for operands of which this does not hold.
    pattern : callable or tuple of callable, optional
        Which elements of the operands an element of the output depends on, one of
        `fastbp.rules.patterns`, of several outputs one for each or one for all; by default on all
        of them. Elementwise operations need none.
    free : callable, optional
        ``free(ans, *operands, **static)``: of an operation whose value is one of many that are as
        good (a basis), tangents of its outputs along the others, and along anything; see
        `fastbp._core.forward`. It returns None where nothing is free.
    title : str
        The name in messages, with the module in which users find it; by default `name`.
    **info
        Documentation and samples; kept in ``op.info``.

    Calling an `Op` records it if an operand is a Variable, and just computes otherwise.
    """

    def __init__(self, name, forward, *, nin, partials=None, vjp=None, jvp=None, compiled=None,
                 saves=(), blocks=True, kernel=None, opaque=False, writes=False,
                 dominant=0, selects=0, signed_partials=0, coefficients=None, squared=None,
                 of_square=None, pattern=None, nout=1, constants=(), objects=(), promotes=(),
                 residuals=False, complex=None, free=None, title="", **info):
        self.name, self.title = name, title or name
        self.nout, self.residuals = nout, residuals
        self.constants, self.objects = tuple(constants), tuple(objects)
        self.promotes = 0
        for k in promotes:
            self.promotes |= 1u << <unsigned int> k
        self.unary = nin == 1 and nout == 1 and not residuals
        self.saved_outputs = tuple([item[1] for item in saves if type(item) is tuple])
        self.opaque, self.writes = opaque, writes
        self.dominant, self.selects = dominant, selects
        self.signed_partials = signed_partials
        self.squared, self.of_square = squared, of_square
        self.coefficients = coefficients or ("values" if saves else "fixed")
        self.forward = forward
        self.nin = nin
        self.partials = tuple(partials) if partials is not None else None
        self.vjp, self.jvp, self.compiled = vjp, jvp, compiled
        self.blocks = blocks
        self.kernel = kernel
        self.on_complex = complex
        self.pattern = pattern
        self.free = free
        self.info = info
        self.forwards = [None] * N_SLOTS
        self.pulls, self.pushes = [None] * (64 * N_SLOTS), [None] * (8 * N_SLOTS)
        self.signed_programs = {}
        self.saves = 0
        for item in saves:
            if type(item) is not tuple:
                self.saves |= SAVES_ANS if item == "ans" else 1u << <unsigned int> item
        if partials is not None:
            if len(partials) != nin or not 1 <= nin <= 3:
                raise ValueError(f"{name}: one to three operands, and a partial for each")
            self.kind = ELEMENTWISE
            self.constant_partials, reads = analyse(self.partials, nin)
            for k, mask in enumerate(reads):
                self.saves_for[<int> k] = mask
        else:
            self.kind = GENERAL

    cdef Program forward_program(self, int typenum):
        cdef int slot = slot_of(typenum)
        program = self.forwards[slot]
        if program is None:
            program = compile_forward(self.kernel or self.forward, self.nin, typenum) or False
            self.forwards[slot] = program
        return None if program is False else program

    cdef Program pull_program(self, int typenum, int needs, int accumulates):
        cdef int key = slot_of(typenum) << 6 | needs << 3 | accumulates
        program = self.pulls[key]
        if program is None:
            program = self.pulls[key] = compile_pull(
                self.partials, self.constant_partials, self.dominant, needs, accumulates, False,
                typenum) or False
        return None if program is False else program

    cdef Program push_program(self, int typenum, int moving):
        cdef int key = slot_of(typenum) << 3 | moving
        program = self.pushes[key]
        if program is None:
            program = self.pushes[key] = compile_push(
                self.partials, self.constant_partials, self.dominant, moving, False,
                typenum) or False
        return None if program is False else program

    cdef Program signed_program(self, int typenum, int strong, int needs, int accumulates):
        """`pull_program`, or with `accumulates` = -1 `push_program`, of a sweep of signed zeros."""
        if self.signed_partials:
            return None
        key = typenum, strong, needs, accumulates
        program = self.signed_programs.get(key)
        if program is None:
            if accumulates < 0:
                program = compile_push(
                    self.partials, self.constant_partials, strong, needs, True, typenum)
            else:
                program = compile_pull(
                    self.partials, self.constant_partials, strong, needs, accumulates, True,
                    typenum)
            self.signed_programs[key] = program = program or False
        return None if program is False else program

    def has_program(self, int typenum):
        """Say whether the value of an elementwise operation is computed by inner loops alone."""
        return (self.kind == ELEMENTWISE and slot_of(typenum) >= 0
                and self.forward_program(typenum) is not None)

    def __call__(self, *operands, **static):
        if self.kind == ELEMENTWISE:
            if not static and (len(operands) != self.nin + 1 or self.ufunc is None):
                return call_elementwise(self, operands)
            if self.ufunc is None:
                raise TypeError(f"{self.name}: unexpected arguments {sorted(static)}")
            return self.ufunc(*operands, **static)
        return record(self, operands, static)

    @property
    def __name__(self):
        return self.name

    @property
    def __doc__(self):
        """What ``help(fastbp.numpy.tanh)`` shows."""
        text = f"Differentiable: {self.name} is recorded where an operand is a Variable."
        if self.info.get("kinks"):
            text += f"\nDerivative at singular points: {self.info['kinks']}."
        if self.ufunc is None:
            return text
        signature, _, rest = without_examples(self.ufunc).partition("\n\n")
        return f"{signature}\n\n{text}\n\n{rest}"

    def __getattr__(self, str name):
        # An operation stands for its ufunc in fastbp.numpy: reduce, accumulate, outer, nin ...
        if self.ufunc is None or name.startswith("__"):
            raise AttributeError(f"operation {self.name} has no attribute {name!r}")
        return getattr(self.ufunc, name)

    def __repr__(self):
        return f"<fastbp operation {self.name}>"

    def __reduce__(self):
        raise TypeError("operations cannot be pickled")


cdef Spec new_spec(tuple shape, int typenum):
    cdef Spec spec = Spec.__new__(Spec)
    spec.shape = shape
    spec.typenum = typenum
    return spec


cdef Spec spec_of(cnp.ndarray value):
    return new_spec((<object> value).shape, cnp.PyArray_TYPE(value))


# ---- nodes -------------------------------------------------------------------------------------


@cython.final
@cython.freelist(512)
@cython.trashcan(True)
cdef class Node:
    def __dealloc__(self):
        # By pointer: passing a parent as an object would add a reference. One that has no other
        # than those from here dies with this node; None has many.
        cdef int held = 1 + (self.a is self.b)
        if (Py_REFCNT(<PyObject *> self.a) == held or Py_REFCNT(<PyObject *> self.b) == held
                or self.parents is not None):
            _release_parents(self)


cdef int _release_parents(Node node) except -1:
    """Let the ancestors of a dying node die one after the other: a long chain must not recurse."""
    cdef list pending = []
    cdef Node following
    while node is not None:
        following, node.a = node.a, None
        if node.b is not None and node.b is not following:
            if Py_REFCNT(<PyObject *> node.b) == 1:
                pending.append(node.b)
        node.b = None
        if node.parents is not None:
            pending.extend([parent for parent in node.parents if parent is not None])
            node.parents = None
        # What others hold stays alive; what only we hold dies when `node` moves on.
        while following is not None or pending:
            node = following if following is not None else <Node> pending.pop()
            following = None
            if Py_REFCNT(<PyObject *> node) == 1:
                break
        else:
            node = None
    return 0


cdef Py_ssize_t parent_count(Node node) noexcept:
    if node.op is None:
        return 0
    if node.parents is not None:
        return len(node.parents)
    return node.op.nin


cdef Node parent_of(Node node, Py_ssize_t i):
    if node.parents is not None:
        return <Node> node.parents[i]
    return node.a if i == 0 else node.b


cdef object saved_of(Node node, Py_ssize_t i):
    if node.parents is not None:
        return node.saved[i]
    return node.saved_a if i == 0 else node.saved_b


cdef Node new_node(Op op, cnp.ndarray value, tuple shape):
    global _last_id
    cdef Node node = Node.__new__(Node)
    _last_id += 1
    node.op = op
    node.shape = shape
    node.typenum = cnp.PyArray_TYPE(value)
    node.id = _last_id
    return node


cdef Variable make_variable(cnp.ndarray value, Node node):
    """Make a handle on a finished node."""
    # Only rules of users (closures) can close a reference cycle. All other nodes and their handles
    # are hidden from the cyclic garbage collector, which would spend more time on them than the
    # recording itself.
    cdef Variable v = Variable.__new__(Variable)
    v.array = value
    v.node = node
    if not node.flags & COLLECTABLE:
        PyObject_GC_UnTrack(<PyObject *> v)
    return v


cdef void finish(Node node, int flags) noexcept:
    """Give a node its flags; hide it from the garbage collector if it can be in no cycle."""
    node.flags = flags
    if not flags & COLLECTABLE:
        PyObject_GC_UnTrack(<PyObject *> node)


cdef Node leaf_node(cnp.ndarray value):
    cdef Node node = new_node(None, value, (<object> value).shape)
    finish(node, 0)
    return node


# ---- several outputs ---------------------------------------------------------------------------

include "outputs.pxi"

# ---- fillables ---------------------------------------------------------------------------------

include "fillable.pxi"

# ---- passive values ----------------------------------------------------------------------------

include "passive.pxi"

# ---- operands ----------------------------------------------------------------------------------


include "promotion.pxi"


cdef int _broadcast_dims(Op op, PyObject **arrays, int nin, cnp.npy_intp *dims) except -1:
    """Write the shape that the operands broadcast to; return its number of axes."""
    cdef int k, axis, own, nd = 0
    cdef cnp.npy_intp size
    for k in range(nin):
        if cnp.PyArray_CheckExact(<object> arrays[k]):
            nd = max(nd, cnp.PyArray_NDIM(<cnp.ndarray> arrays[k]))
    if nd > MAX_NDIM:
        raise ShapeError(f"{op.title}: arrays of more than {MAX_NDIM} axes are not supported")
    for axis in range(nd):
        dims[axis] = 1
    for k in range(nin):
        if not cnp.PyArray_CheckExact(<object> arrays[k]):
            continue
        own = cnp.PyArray_NDIM(<cnp.ndarray> arrays[k])
        for axis in range(own):
            size = cnp.PyArray_DIM(<cnp.ndarray> arrays[k], axis)
            if size != 1 and dims[nd - own + axis] != size:
                if dims[nd - own + axis] != 1:
                    shapes = [np.shape(<object> arrays[j]) for j in range(nin)]
                    text = ", ".join(map(str, shapes))
                    raise ShapeError(f"{op.title}: shapes {text} do not broadcast")
                dims[nd - own + axis] = size
    return nd


cdef cnp.ndarray _new_result(
    PyObject **arrays, int nin, int nd, const cnp.npy_intp *dims, int typenum
):
    """A new array for the result of a ufunc, its axes in the order that NumPy gives them.

    That of the operands' strides; where they disagree, C order (NumPy's iterator, order K).
    """
    cdef int axes[MAX_NDIM]     # from the one of the smallest stride
    cdef cnp.npy_intp steps[MAX_NDIM]
    cdef int k, at, i, j, axis
    cdef bint plain = True, known, before
    cdef Py_ssize_t own, other, item
    cdef cnp.ndarray made
    cdef cnp.dtype descr
    for k in range(nin):
        if (cnp.PyArray_CheckExact(<object> arrays[k])
                and not cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray> arrays[k])):
            plain = False
    if plain:
        return new_array(nd, dims, typenum)
    for k in range(nd):
        axis = nd - 1 - k
        at, j = k, k - 1
        while j >= 0:
            known = before = False
            for i in range(nin):
                own = _distance(arrays[i], axis, nd)
                other = _distance(arrays[i], axes[j], nd)
                if own and other:
                    if other <= own:
                        before = False
                    elif not known:
                        before = True
                    known = True
            if known:
                if not before:
                    break
                at = j
            j -= 1
        for j in range(k, at, -1):
            axes[j] = axes[j - 1]
        axes[at] = axis
    plain = True
    for k in range(1, nd):
        plain = plain and axes[k] < axes[k - 1]
    if plain:
        return new_array(nd, dims, typenum)
    made = new_array(nd, dims, typenum)
    item = cnp.PyArray_ITEMSIZE(made)
    for k in range(nd):
        steps[axes[k]] = item
        item *= dims[axes[k]]
    descr = <cnp.dtype> cnp.PyArray_DESCR(made)
    Py_INCREF(descr)
    turned = PyArray_NewFromDescr(cnp.ndarray, descr, nd, dims, steps, cnp.PyArray_DATA(made),
                                  cnp.NPY_ARRAY_WRITEABLE, None)
    cnp.set_array_base(turned, made)
    return turned


cdef inline Py_ssize_t _distance(PyObject *operand, int axis, int nd) noexcept:
    """How far apart elements are along an axis of the result; 0 where they are repeated."""
    cdef cnp.ndarray x
    if not cnp.PyArray_CheckExact(<object> operand):
        return 0
    x = <cnp.ndarray> operand
    axis -= nd - cnp.PyArray_NDIM(x)
    if axis < 0 or cnp.PyArray_DIM(x, axis) == 1:
        return 0
    return abs(cnp.PyArray_STRIDE(x, axis))


cdef enum:          # scalar operands
    WEAK = 1            # Python's floats and integers
    STRONG = 2          # numpy.float64: unlike a Python float it promotes float32
    IMAGINARY = 4       # Python's complex numbers


cdef bint _promotes(int scalars, int typenum) noexcept:
    """Whether scalars give an array of this type another one."""
    if scalars & STRONG and real_of(typenum) == cnp.NPY_FLOAT:
        return True
    return scalars & IMAGINARY and not is_complex(typenum)


cdef object _as_product(Variable x, object exponent):
    """The operation that a power with a constant exponent is, made of products; None: the power."""
    cdef object product = _hooks["products"].get(exponent)
    if product is None or product is SQUARE or not has_square(x):
        return product
    return None         # an even power of what has a square: `_even_power`


cdef object call_elementwise(Op op, tuple operands):
    """Compute an elementwise operation; record it if an operand is a Variable."""
    cdef PyObject *arrays[3]    # borrowed from `operands`: ndarrays and Python numbers
    cdef PyObject *outs[1]
    cdef cnp.npy_intp dims[MAX_NDIM]
    cdef int nin = op.nin, k, nd, typenum = -1
    cdef bint same_shape = True, tracked = False
    cdef int scalars = 0        # of which kinds that matter there are
    cdef object x
    cdef cnp.ndarray array, first = None, out
    cdef const cnp.npy_intp *shape
    cdef Program program
    if len(operands) != nin:
        raise TypeError(f"{op.title} takes {nin} operands, not {len(operands)}")
    for k in range(nin):
        x = operands[k]
        if type(x) is Variable:
            fresh(<Variable> x)
            if (<Variable> x).node.fillable:
                return _with_fillables(op, operands, None)
            array = (<Variable> x).array
            tracked = True
        elif PyFloat_CheckExact(x) or PyLong_CheckExact(x):
            arrays[k] = <PyObject *> x
            scalars |= WEAK
            continue
        elif type(x) is float64:
            arrays[k] = <PyObject *> x
            scalars |= STRONG
            continue
        elif PyComplex_CheckExact(x):
            arrays[k] = <PyObject *> x
            scalars |= IMAGINARY
            continue
        elif cnp.PyArray_CheckExact(x) and is_plain(x):
            array = x
        else:
            return _call_converted(op, operands)
        arrays[k] = <PyObject *> array
        if first is None:
            first = array
            typenum = cnp.PyArray_TYPE(array)
        elif cnp.PyArray_TYPE(array) != typenum:
            return _call_converted(op, operands)
        elif not cnp.PyArray_SAMESHAPE(first, array):
            same_shape = False
    if first is None:
        return _call_converted(op, operands) if scalars & IMAGINARY else op.forward(*operands)
    if scalars:
        if scalars != WEAK and _promotes(scalars, typenum):
            return _call_converted(op, operands)
        if op is POWER and type(operands[0]) is Variable:
            product = _as_product(operands[0], operands[1])
            if product is not None:
                return call_elementwise(<Op> product, (operands[0],))
    if typenum >= cnp.NPY_CFLOAT and op.on_complex is not True:
        return _call_on_complex(op, operands)
    program = op.forward_program(typenum)
    nd = cnp.PyArray_NDIM(first) if same_shape else _broadcast_dims(op, arrays, nin, dims)
    if program is None:
        out = _float_array(op, op.forward(*[<object> arrays[k] for k in range(nin)]))
        if cnp.PyArray_TYPE(out) != typenum:
            out = out.astype(dtype_of(typenum))
    else:
        shape = cnp.PyArray_DIMS(first) if same_shape else dims
        out = (new_array(nd, shape, typenum) if nd < 2
               else _new_result(arrays, nin, nd, shape, typenum))
        outs[0] = <PyObject *> out
        run_program(program, arrays, NULL, outs, cnp.PyArray_NDIM(out), cnp.PyArray_DIMS(out))
        if take_fp_flags() and op.kernel is None:
            # Flags may be stale; NumPy itself decides, and warns or raises as its errstate says.
            op.forward(*[<object> arrays[k] for k in range(nin)])
    if not tracked:
        return out if cnp.PyArray_NDIM(out) else out[()]
    if (op is SQUARE or op is POWER) and type(operands[0]) is Variable and has_square(operands[0]):
        smooth = _even_power(operands, out)
        if smooth is not None:
            if (<Variable> operands[0]).node.flags & KEEPS:
                return hook("carry")(_passive_call(op, tuple(map(passive, operands)), {}), smooth)
            return hook("carry")(out, smooth)
    return _elementwise_variable(op, operands, arrays, out, same_shape)


cdef enum:
    SQUARE_DEPTH = 16   # so far is it looked for, as every even power looks


cdef int has_square(Variable x) except -1:
    """Whether the square of a value may be another function of what that was made from."""
    cdef Node node
    cdef Py_ssize_t k
    cdef int _
    fresh(x)
    node = x.node
    for _ in range(SQUARE_DEPTH):
        if node.op is None:
            return False
        if node.op.squared is not None:
            return True
        k = -1 if node.op.of_square is None else _recorded_operand(node)
        if k < 0:
            return False
        node = parent_of(node, k)
    return False


cdef Py_ssize_t _recorded_operand(Node node) noexcept:
    """The place of the one operand of a node that is recorded; -1 if there is none, or several."""
    cdef Py_ssize_t k, found = -1
    for k in range(parent_count(node)):
        if parent_of(node, k) is not None:
            if found >= 0:
                return -1
            found = k
    return found


cdef object _even_power(tuple operands, cnp.ndarray out):
    """A square, or another even power, as another function of what its base was made from."""
    cdef object n = operands[1] if len(operands) == 2 else 2
    if PyLong_CheckExact(n) or PyFloat_CheckExact(n):
        if n == 2:
            return _square_of(operands[0])
        square = _square_of(operands[0]) if n > 0 and n % 2 == 0 else None
        return None if square is None else square ** (n / 2)
    if type(n) is Variable:
        if not (<Variable> n).node.flags & PASSIVE:
            return None
        n = passive(n)
    elif not cnp.PyArray_CheckExact(n):
        n = np.asarray(n)
    if n.dtype.kind == "c":
        return None
    square = _square_of(operands[0])
    if square is None:
        return None
    return hook("even_powers")(operands[0], square, n.astype((<object> out).dtype))


cdef object _square_of(Variable x):
    """The square of a value as another function of what that was computed from, or None."""
    cdef bint complete = x.node.op.squared is not None
    cdef Py_ssize_t k
    cdef Node node = x.node
    if complete:
        for k in range(parent_count(node)):
            complete = complete and saved_of(node, k) is not None
        square = _square_at(node)
    else:
        with np.errstate(all="ignore"):     # of values that a factor brings into the range
            square = _square_at(node)
    # Rules further on read its value, which does not follow from operands that were not kept.
    return square if complete or square is None else make_variable(
        np.asarray(np.square(x.array)), (<Variable?> square).node)


cdef object _square_at(Node node):
    """The same of the value of a node. What rules do not read of its operands is NaN."""
    cdef list operands = []
    cdef Py_ssize_t k, recorded = _recorded_operand(node)
    cdef Node parent
    cdef object rule = node.op.squared
    if rule is None:
        rule, square = node.op.of_square, _square_at(parent_of(node, recorded))
        if square is None:
            return None
    for k in range(parent_count(node)):
        value, parent = saved_of(node, k), parent_of(node, k)
        if node.op.squared is None and k == recorded:
            operands.append(square)
        elif parent is None:
            operands.append(np.nan if value is None else value)
        else:
            if value is None:
                value = np.broadcast_to(np.array(np.nan, dtype_of(parent.typenum)), parent.shape)
            operands.append(make_variable(value, parent))
    return rule(*operands, **(node.static or NO_STATIC))


cdef inline object _residual(object operand, PyObject *value):
    """What a node keeps of an operand: a constant as it is now."""
    if type(operand) is Variable:
        return _of_variable(<Variable> operand)
    if cnp.PyArray_CheckExact(<object> value):
        return kept(<cnp.ndarray> value)
    return <object> value


cdef inline cnp.ndarray _of_variable(Variable x):
    """What a node keeps of a Variable: its array, without more of its root's than it needs.

    A root that is filled element by element has a new array after many a write. An element is no
    view, but its array is one.
    """
    cdef Node root
    if x.view is None:
        if cnp.PyArray_NDIM(x.array) == 0 and cnp.PyArray_BASE(x.array) != NULL:
            return cnp.PyArray_NewCopy(x.array, cnp.NPY_KEEPORDER)
    else:
        root = x.view.root.node
        if (root.op is not None and root.op.writes
                and 2 * cnp.PyArray_SIZE(x.array) <= cnp.PyArray_SIZE(x.view.origin)):
            return cnp.PyArray_NewCopy(x.array, cnp.NPY_KEEPORDER)
    return x.array


cdef int _keep_constants(Node node, tuple operands, PyObject **arrays) except -1:
    """Let a node of a record that keeps everything have all constant operands."""
    cdef Py_ssize_t k
    cdef list values = [
        saved_of(node, k) if _is_kept(operands[k]) else _residual(operands[k], arrays[k])
        for k in range(node.op.nin)]
    if node.parents is not None:
        node.saved = tuple(values)
    else:
        node.saved_a = values[0]
        if len(values) == 2:
            node.saved_b = values[1]
    return 0


cdef bint _is_kept(object x) noexcept:
    """Whether an operand is a Variable that the record can compute again."""
    return type(x) is Variable and _is_again((<Variable> x).node)


cdef Variable _elementwise_variable(
    Op op, tuple operands, PyObject **arrays, cnp.ndarray out, bint same_shape
):
    cdef Node node, parent
    cdef tuple shape = None
    cdef int flags = 0
    cdef unsigned int mask = 0
    cdef int k, nin = op.nin
    for k in range(nin):
        if type(operands[k]) is Variable:
            mask |= op.saves_for[k]
            parent = (<Variable> operands[k]).node
            flags |= parent.flags
            if same_shape and shape is None:
                shape = parent.shape
    node = new_node(op, out, (<object> out).shape if shape is None else shape)
    if nin <= 2:
        if type(operands[0]) is Variable:
            node.a = (<Variable> operands[0]).node
        if mask & 1:
            node.saved_a = _residual(operands[0], arrays[0])
        if nin == 2:
            if type(operands[1]) is Variable:
                node.b = (<Variable> operands[1]).node
            if mask & 2:
                node.saved_b = _residual(operands[1], arrays[1])
    else:
        node.parents = tuple([
            (<Variable> x).node if type(x) is Variable else None for x in operands
        ])
        node.saved = tuple([
            _residual(operands[k], arrays[k]) if mask >> k & 1 else None for k in range(nin)
        ])
    if mask & SAVES_ANS:
        node.ans = out
    if flags:
        flags &= INHERITED
        if flags & KEEPS:
            _keep_constants(node, operands, arrays)
    finish(node, flags)
    return make_variable(out, node)


cdef cnp.ndarray _float_array(Op op, object out):
    """The result of an operation as a plain array; it stays a view where it is one."""
    cdef cnp.ndarray array
    if cnp.PyArray_CheckExact(out) and is_plain(out):
        return out
    array = as_array(out, f"{op.title}: the result")
    if not is_plain(array):
        if not _is_differentiable(array.dtype):
            raise DTypeError(f"{op.title}: the result has dtype {array.dtype}; {_NAMES} can be "
                             "differentiated")
        array = np.require(array, array.dtype.newbyteorder("="), "A")
    return array


cdef object record(Op op, tuple operands, dict static):
    """Compute an operation that is not elementwise; record it if an operand is a Variable."""
    cdef list values = [], parents = []
    cdef bint tracked = False, passives = False
    cdef Py_ssize_t k
    cdef object x, found, outputs, residuals = None
    cdef Node node
    cdef cnp.ndarray out
    if op.nin >= 0 and len(operands) != op.nin:
        raise TypeError(f"{op.title} takes {op.nin} operands, not {len(operands)}")
    for x in operands:
        if type(x) is Variable:
            fresh(<Variable> x)
            if (<Variable> x).node.fillable:
                return _with_fillables(op, operands, static)
        elif type(x) is list or type(x) is tuple:
            if has_variable(x):
                return record(op, _joined(operands), static)
        elif type(x) is Passive:
            passives = True
    if passives:
        if not _has_variable(operands):
            return _passive_call(op, operands, static)
        operands = _with_entered(op, operands)
    if static:
        found = _passive_statics(static)
        if found is not None:
            return _moving(op, operands, static, found)
    if (op.promotes and not _in_one_dtype(operands, op.promotes)
            and _has_variable(operands)):
        operands = _promoted(op.title, operands, op.promotes)
    if op.compiled is not None:
        result = op.compiled.record(op, operands, static)
        if result is not None:
            return result
    if op.unary and type(operands[0]) is Variable:
        return _record_unary(op, operands[0], static)
    for k in range(len(operands)):
        x = operands[k]
        if type(x) is Variable:
            tracked = True
            values.append((<Variable> x).array)
            parents.append((<Variable> x).node)
        else:
            values.append(x)
            parents.append(None)
    if not tracked:
        found = op.forward(*operands, **static)
        if op.residuals:
            found, residuals = _pair(op, found)
        return found
    for k in range(len(values)):
        if parents[k] is None and k not in op.objects:
            values[k] = _constant(op.title, k, values[k])
            # A rule reads the very array that `forward` did; a user's may write into its own.
            if not op.opaque and op.saves >> <unsigned int> min(k, 29) & 1:
                values[k] = kept(values[k])
    found = _computed(op, values, static)
    if op.residuals:
        found, residuals = _pair(op, found)
    if op.nout != 1:
        outputs = _outputs(op, found)
        if outputs is not None:
            return _record_joint(op, operands, values, parents, static, outputs, residuals)
    out = _float_array(op, found)
    node = new_node(op, out, (<object> out).shape)
    if op.saves & SAVES_ANS:
        node.ans = out
    _complete(node, operands, values, parents, static, residuals)
    return _handle_on(node, out, operands, values, parents)


cdef int _complete(Node node, tuple operands, list values, list parents, dict static,
                   object residuals) except -1:
    """Give a node its parents, and what the rules read."""
    cdef Op op = node.op
    cdef list saved = []
    cdef int flags = COLLECTABLE if op.opaque else 0
    cdef Py_ssize_t k
    cdef object value
    for k in range(len(values)):
        if parents[k] is not None:
            flags |= (<Node> parents[k]).flags
    flags &= INHERITED
    for k in range(len(values)):
        value = values[k]
        if not op.saves >> <unsigned int> min(k, 29) & 1:
            # The shape and dtype of a Variable are its node's.
            if flags & KEEPS and parents[k] is None:
                value = kept(value) if cnp.PyArray_CheckExact(value) else value
            elif flags & KEEPS and not _is_again(<Node> parents[k]):
                value = _of_variable(<Variable> operands[k])
            else:
                value = None if parents[k] is not None or k in op.objects else spec_of(value)
        elif parents[k] is not None:
            value = _of_variable(<Variable> operands[k])
        elif op.opaque:
            value = kept(value)
        saved.append(value)
    node.parents = tuple(parents)
    node.saved = tuple(saved)
    node.saved_b = residuals
    node.static = static
    finish(node, flags)
    return 0


cdef Variable _handle_on(Node node, cnp.ndarray out, tuple operands, list values, list parents):
    """A Variable for a result: a view of the operand that it is a part of."""
    cdef Variable result = make_variable(out, node)
    cdef Py_ssize_t k
    for k in range(len(values)):
        if parents[k] is not None and shares(out, values[k]):
            _see(result, <Variable> operands[k], maker_of(node))
            break
    return result


cdef object _computed(Op op, list values, dict static):
    """The value of an operation; what its function makes of large operands is from the pool."""
    cdef PyObject *before
    cdef bint large = False
    for x in values:
        if cnp.PyArray_Check(x) and cnp.PyArray_NBYTES(x) >= LARGE:
            large = not op.opaque
    if not large:
        return op.forward(*values, **static)
    before = enter_pool()
    try:
        return op.forward(*values, **static)
    finally:
        leave_pool(before)


cdef cnp.ndarray _value_unary(Op op, cnp.ndarray x, dict static):
    if op.compiled is not None:
        value = op.compiled.value(x, static)
        if value is not NotImplemented:
            return value
    return _float_array(op, _computed(op, [x], static))


cdef Variable _record_unary(Op op, Variable x, dict static):
    """`record` for one operand."""
    cdef cnp.ndarray out
    cdef Node node
    cdef Variable result
    cdef bint view
    out = _value_unary(op, x.array, static)
    view = _is_seen(op, out, x)
    if view and x.view is None and not _is_compact(x.array):
        laid = _with_layout(x.array)
        if laid is not x.array:
            x.array = laid
            out = _value_unary(op, x.array, static)
            view = shares(out, x.array) or _is_part(op)
    elif (view and x.view is not None and x.view.filling is not None
            and not _is_in_order(x.view.place)):
        _into_memory(x)
        out = _value_unary(op, x.array, static)
        view = shares(out, x.array) or _is_part(op)
    node = new_node(op, out, (<object> out).shape)
    node.a = x.node
    node.static = static
    if op.saves & 1:
        node.saved_a = _of_variable(x)
    if op.saves & SAVES_ANS:
        node.ans = out
    finish(node, x.node.flags & INHERITED | (COLLECTABLE if op.opaque else 0))
    result = make_variable(out, node)
    if view:
        _see(result, x, op)
    return result


cdef bint _plain_pair(object x, object y):
    """Whether both are Variables or plain arrays, of one dtype, and one is a Variable."""
    cdef cnp.ndarray a, b
    if type(x) is Variable:
        a = (<Variable> x).array
    elif type(y) is Variable and cnp.PyArray_CheckExact(x) and is_plain(x):
        a = x
    else:
        return False
    if type(y) is Variable:
        b = (<Variable> y).array
    elif cnp.PyArray_CheckExact(y) and is_plain(y):
        b = y
    else:
        return False
    return cnp.PyArray_TYPE(a) == cnp.PyArray_TYPE(b)


cdef Variable record_product(Op op, tuple operands):
    """Record ``a @ b``, if both are of one dtype."""
    cdef object x = operands[0], y = operands[1]
    if not _plain_pair(x, y):
        return None
    cdef bint x_moves = type(x) is Variable, y_moves = type(y) is Variable
    cdef cnp.ndarray a = (<Variable> x).array if x_moves else x
    cdef cnp.ndarray b = (<Variable> y).array if y_moves else y
    cdef cnp.ndarray out = c_matmul(a, b)
    cdef Node node = new_node(op, out, (<object> out).shape)
    cdef int flags = 0
    # Each cotangent reads the other operand.
    if y_moves:
        node.saved_a = _of_variable(<Variable> x) if x_moves else kept(a)
    if x_moves:
        node.saved_b = _of_variable(<Variable> y) if y_moves else kept(b)
    node.static = NO_STATIC
    if x_moves:
        node.a = (<Variable> x).node
        flags = node.a.flags
    if y_moves:
        node.b = (<Variable> y).node
        flags |= node.b.flags
    finish(node, flags & INHERITED)
    return make_variable(out, node)


# ---- views -----------------------------------------------------------------------------------

include "views.pxi"
include "filling.pxi"
include "shortcuts.pxi"

# ---- Variables -------------------------------------------------------------------------------

include "variable.pxi"


cdef int _set_type_slots() except -1:
    cdef TypeSlots *slots = <TypeSlots *> <PyObject *> Variable
    # Of what has this slot NumPy says "setting an array element with a sequence", in place of our
    # error, where it is assigned to an element. Indexing and iteration have slots of their own.
    slots.tp_as_sequence.sq_item = NULL
    # ``match x: case [a, b]`` takes a Variable if it takes an array (NumPy 2.5).
    slots.tp_flags |= (<TypeSlots *> <PyObject *> np.ndarray).tp_flags & Py_TPFLAGS_SEQUENCE
    PyType_Modified(slots)
    # So that ``x.sum()`` makes no bound method.
    slots = <TypeSlots *> <PyObject *> Total
    slots.tp_flags |= Py_TPFLAGS_METHOD_DESCRIPTOR
    PyType_Modified(slots)
    return 0


_set_type_slots()
