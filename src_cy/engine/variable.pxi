# The Variable: operators, in-place operations and NumPy's protocols. Included by graph.pyx, because
# recording and its handle need each other's types.

import math
import sys

cdef dict _modules = sys.modules

# What to write for attributes of other libraries' arrays.
cdef dict _ELSEWHERE = {
    "_value": "x.value",
    "at": "x[i] = v, which is recorded",
    "backward": "fastbp.gradients(y, x)",
    "clone": "x.copy()",
    "data": "x.value",
    "detach": "fastbp.stop_gradient(x)",
    "device_put": "x itself, there are no devices",
    "grad": "fastbp.gradients(y, x)",
    "numpy": "x.value",
    "strides": "functions of fastbp.numpy or fastbp.scipy, which need none",
    "requires_grad": "fastbp.variable(x)",
    "requires_grad_": "fastbp.variable(x)",
    "unsqueeze": "numpy.expand_dims(x, axis)",
    "view": "x.reshape(shape)",
}

cdef bint _operand_ok(object x) noexcept:
    """Whether an operator can take `x`; otherwise its own reflected method has a say."""
    return (type(x) is Variable or cnp.PyArray_Check(x)
            or isinstance(x, (int, float, complex, np.generic, list, tuple))
            or type(x) is Passive)


# Operands of other libraries are known in Python. Their classes are told about Variables when they
# can first meet one: when a leaf is made after modules were imported, or an operator finds one.

cdef Py_ssize_t _modules_seen = -1


cdef inline int _load_late() except -1:
    """Tell the classes of other libraries about Variables, once both are in use."""
    return 0 if len(_modules) == _modules_seen else _look_for_modules()


cdef int _look_for_modules() except -1:
    global _modules_seen
    _modules_seen = len(_modules)
    if "adopt" in _hooks:
        _hooks["adopt"]()
    return 0


@cython.final
@cython.freelist(512)
cdef class Variable:
    """A value whose history is recorded: an array together with its place in the graph.

    It is what stands for an array inside of a function that is differentiated, and what
    `fastbp.variable` and every operation on Variables return. It behaves as an ndarray in NumPy
    code; what is computed from it is computed at once, and recorded.

    Operators
        Arithmetic, ``@``, powers, ``abs``, comparisons (which give plain arrays), indexing as in
        NumPy, assignment to elements, in-place operators; iteration, ``len``, ``in``, formatting.
    Methods
        Those of ndarray that have a derivative, ``x.sum(axis=0)``, ``x.reshape(-1)``: ``dir(x)``.
    Functions
        NumPy's, ``np.sum(x)``, and the ufuncs of `scipy.special`.
    A plain array or number
        ``x.value`` and ``x.item()``, which have no derivative. ``float(x)`` and ``np.asarray(x)``
        would lose it in silence: they raise, and say what to write instead.

    Attributes
    ----------
    value : ndarray of float64, float32, complex128 or complex64
        The array itself. Do not write into it: recorded operations may have kept it.
    shape, dtype, ndim, size, T, flat ...
        As of an ndarray.
    name : str or None
        Shown by ``repr``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> x = bp.variable(np.array([1.0, 2.0, 3.0]))
    >>> y = np.sum(x[1:] * x[:-1])
    >>> y
    Variable(8.)
    >>> bp.gradients(y, x)
    array([2., 4., 2.])
    """

    __array_priority__ = 1000.0
    __pandas_priority__ = 10_000    # pandas leaves its operators to ours

    def __init__(self, *args, **kwargs):
        raise TypeError(
            "Variable(...): a Variable is made by the function fastbp.variable(array), and by "
            "what is computed from one"
        )

    @property
    def value(self):
        """The array itself.

        Do not write into it: recorded operations may have kept it.
        """
        fresh(self)
        if not self.node.fillable:
            _leave("value", self)
        return self.array

    @property
    def _array(self):
        """The array, for its shape, dtype and layout: see `array_of`."""
        fresh(self)
        return self.array

    @property
    def shape(self):
        return self.node.shape

    @shape.setter
    def shape(self, value):
        raise AttributeError(
            f"x.shape = ...: the shape of a Variable stays: write x = x.reshape({value!r})")

    @property
    def dtype(self):
        return (<object> self.array).dtype

    @dtype.setter
    def dtype(self, value):
        raise AttributeError("x.dtype = ...: the dtype of a Variable stays: write "
                             f"x = x.astype(numpy.{np.dtype(value)})")

    @property
    def ndim(self):
        return cnp.PyArray_NDIM(self.array)

    @property
    def size(self):
        return cnp.PyArray_SIZE(self.array)

    @property
    def nbytes(self):
        return cnp.PyArray_NBYTES(self.array)

    @property
    def itemsize(self):
        return cnp.PyArray_ITEMSIZE(self.array)

    @property
    def flags(self):
        """The memory layout of the array, to look at only: a Variable is written into by itself."""
        _note_write()       # a branch may depend on it
        return flags_of(self)

    @property
    def T(self):
        return _hooks["transpose"](self)

    @property
    def mT(self):
        return _hooks["matrix_transpose"](self)

    @property
    def real(self):
        return _hooks["real"](self) if is_complex(self.node.typenum) else self

    @real.setter
    def real(self, value):
        self.real[...] = value

    @property
    def imag(self):
        return _hooks["imag"](self)

    @imag.setter
    def imag(self, value):
        if not is_complex(self.node.typenum):
            raise TypeError(f"x.imag = ...: x has dtype {self.dtype}, which has no imaginary part")
        self.imag[...] = value

    @property
    def flat(self):
        return _Flat(self)

    @flat.setter
    def flat(self, value):
        _Flat(self)[...] = value

    @property
    def device(self):
        return "cpu"

    @property
    def node_id(self):
        """Number of the node in the order of recording; parents have smaller numbers."""
        fresh(self)
        return self.node.id

    def item(self, *args):
        """Return one element as a Python float; this leaves the graph."""
        return (<object> self.value).item(*args)

    def tolist(self):
        """Return the elements as nested lists of Variables.

        So ``a, b = x.tolist()`` keeps the derivative; the numbers are ``x.value.tolist()``.
        """
        return [x.tolist() for x in self] if self.ndim else self

    def __add__(self, other):
        if _operand_ok(other):
            return call_elementwise(ADD, (self, other))
        return _hooks["foreign_operator"]("add", self, other)

    def __radd__(self, other):
        if _operand_ok(other):
            return call_elementwise(ADD, (other, self))
        return _hooks["foreign_operator"]("add", other, self)

    def __sub__(self, other):
        if _operand_ok(other):
            return call_elementwise(SUBTRACT, (self, other))
        return _hooks["foreign_operator"]("subtract", self, other)

    def __rsub__(self, other):
        if _operand_ok(other):
            return call_elementwise(SUBTRACT, (other, self))
        return _hooks["foreign_operator"]("subtract", other, self)

    def __mul__(self, other):
        if self is other and has_square(self):
            return call_elementwise(SQUARE, (self,))
        if _operand_ok(other):
            return call_elementwise(MULTIPLY, (self, other))
        return _hooks["foreign_operator"]("multiply", self, other)

    def __rmul__(self, other):
        if _operand_ok(other):
            return call_elementwise(MULTIPLY, (other, self))
        return _hooks["foreign_operator"]("multiply", other, self)

    def __truediv__(self, other):
        if _operand_ok(other):
            return call_elementwise(DIVIDE, (self, other))
        return _hooks["foreign_operator"]("divide", self, other)

    def __rtruediv__(self, other):
        if _operand_ok(other):
            return call_elementwise(DIVIDE, (other, self))
        return _hooks["foreign_operator"]("divide", other, self)

    def __mod__(self, other):
        if _operand_ok(other):
            return hook("remainder")(self, other)
        return _hooks["foreign_operator"]("remainder", self, other)

    def __rmod__(self, other):
        if _operand_ok(other):
            return hook("remainder")(other, self)
        return _hooks["foreign_operator"]("remainder", other, self)

    def __floordiv__(self, other):
        if _operand_ok(other):
            return np.floor_divide(self, other)
        return _hooks["foreign_operator"]("floor_divide", self, other)

    def __rfloordiv__(self, other):
        if _operand_ok(other):
            return np.floor_divide(other, self)
        return _hooks["foreign_operator"]("floor_divide", other, self)

    def __divmod__(self, other):
        if _operand_ok(other):
            return (self // other, self % other)
        return _hooks["foreign_operator"]("divmod", self, other)

    def __rdivmod__(self, other):
        if _operand_ok(other):
            return (other // self, other % self)
        return _hooks["foreign_operator"]("divmod", other, self)

    def __pow__(self, other, modulo):
        if modulo is not None:
            raise TypeError("pow: a modulus is not supported for Variables")
        if not _operand_ok(other):
            return _hooks["foreign_operator"]("power", self, other)
        if type(other) is int and other == 2:
            return call_elementwise(SQUARE, (self,))
        if type(other) is float and other == 0.5:
            return _hooks["sqrt"](self)
        return call_elementwise(POWER, (self, other))

    def __rpow__(self, other, modulo):
        if _operand_ok(other):
            return hook("power")(other, self)
        return _hooks["foreign_operator"]("power", other, self)

    def __matmul__(self, other):
        if _operand_ok(other):
            return _hooks["matmul"](self, other)
        return _hooks["foreign_operator"]("matmul", self, other)

    def __rmatmul__(self, other):
        if _operand_ok(other):
            return _hooks["matmul"](other, self)
        return _hooks["foreign_operator"]("matmul", other, self)

    def __neg__(self):
        return call_elementwise(<Op> _hooks["negative"], (self,))

    def __pos__(self):
        return call_elementwise(<Op> _hooks["positive"], (self,))

    def __abs__(self):
        return call_elementwise(<Op> _hooks["absolute"], (self,))

    # In place: the handle, or that which it is a view of, gets a new array and node; the arrays
    # themselves are never written. Numbers do not change: the name is bound to the result.

    cdef bint _is_number(self) noexcept:
        """Whether this stands for a number of NumPy's, as sums and single elements are."""
        return self.view is None and not self.cell and cnp.PyArray_NDIM(self.array) == 0

    cdef object _replaced_by(self, object other, str name):
        return other if self._is_number() else self._become(other, name)

    cdef object _become(self, object other, str name):
        if other is NotImplemented:
            return other
        if self._is_number():
            raise written_number(f"in-place {name}")
        _note_write()
        if _outside:
            _check_root(self)
        if type(other) is Passive:
            other = entered(other, self.dtype)
        if type(other) is not Variable and self.node.fillable and np.ndim(other) == 0:
            other = _fillable(np.asarray(other, self.dtype))
        if type(other) is not Variable:
            raise DTypeError(f"in-place {name}: the result is a {type(other).__name__}, "
                             "not an array")
        cdef Variable result = other
        if result.node.shape != self.node.shape:
            raise ShapeError(f"in-place {name}: the result has shape {result.node.shape}, "
                             f"the Variable has shape {self.node.shape}")
        if result.node.typenum != self.node.typenum:
            if is_complex(result.node.typenum) and not is_complex(self.node.typenum):
                raise DTypeError(
                    f"in-place {name}: the result is complex, the Variable has dtype {self.dtype}: "
                    "begin with x = x.astype(complex), or write x = ... for a new value")
            result = hook("astype")(result, self.dtype)
        if self.view is not None:
            _write_through(self, result, name)
            return self
        fresh(self)     # writes that wait come before this one
        fresh(result)
        if result.node.flags & COLLECTABLE and not PyObject_GC_IsTracked(<PyObject *> self):
            PyObject_GC_Track(<PyObject *> self)
        self.array = _laid_out(result.array, self.array)
        self.node = result.node
        return self

    def __iadd__(self, other):
        return self._replaced_by(self.__add__(other), "add")

    def __isub__(self, other):
        return self._replaced_by(self.__sub__(other), "subtract")

    def __imul__(self, other):
        return self._replaced_by(self.__mul__(other), "multiply")

    def __itruediv__(self, other):
        return self._replaced_by(self.__truediv__(other), "divide")

    def __imod__(self, other):
        return self._replaced_by(self.__mod__(other), "remainder")

    def __ipow__(self, other):
        return self._replaced_by(self ** other, "power")

    def __imatmul__(self, other):
        return self._replaced_by(self @ other, "matmul")

    def __setitem__(self, index, value):
        self.cell = True        # for the array API, whose results of no axes are arrays
        if type(value) is Variable and _is_own_place(self, index, <Variable> value):
            return
        if _outside:
            _check_root(self)
        if type(value) is Passive:
            value = entered(value, self.dtype)
        if self.node.fillable and self.view is None and not _keeps(index):
            value = unfilled(value)
            if self.filling is None and isinstance(
                    value, (int, float, complex, np.generic, np.ndarray)):
                if not is_ours(<PyObject *> self.array):    # a view of it, which the value may be
                    self.array = _copy_laid_out(self.array)
                self.array[index] = value
                return
        if _set_item(self, index, value):
            return
        self._become(_hooks["setitem"](self, index, value), "assignment")

    def __getitem__(self, index):
        if self.filling is not None:
            found = _read_waiting(self, index)
            if found is not None:
                return found
        found = _item(self, index)
        return _hooks["getitem"](self, index) if found is None else found

    def __richcmp__(self, other, int op):
        if _keeps(self) or type(other) is Passive or _keeps(other):
            return _passive_call(_COMPARISONS[op], (self, other), {})
        x = self.value
        y = values_of(other)
        if op == 0:
            return x < y
        if op == 1:
            return x <= y
        if op == 2:
            return x == y
        if op == 3:
            return x != y
        if op == 4:
            return x > y
        return x >= y

    def __hash__(self):
        # A number of NumPy's is found by its value; found so, a recorded one would be another's.
        if fastbp_recorded_calls and not self.node.shape:
            raise NoRuleError(
                "a recorded number has no hash: a set, a dict or a cache would not find it by its "
                "value: write `x in (1.0, 2.0)` in place of `x in {1.0, 2.0}`, or find a constant "
                "by float(fastbp.stop_gradient(x))")
        return <Py_ssize_t> <void *> self >> 4

    def __bool__(self):
        if not is_fillable(self):
            _leave("bool", self)
        return bool(self.array)

    def __len__(self):
        return len(self.array)

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d Variable")
        # One after the other, as NumPy does: a row shows what was written before it is taken.
        return map(self.__getitem__, range(len(self.array)))

    def __contains__(self, x):
        return (<Variable> x).value in self.value if type(x) is Variable else x in self.value

    def __reversed__(self):
        return iter([self[i] for i in range(len(self) - 1, -1, -1)])

    # Asked for a number or a plain array: an error that says what to write instead.

    def __float__(self):
        if is_fillable(self):
            return float(self.array)
        return _as_number("float", self, float)

    def __int__(self):
        if is_fillable(self):
            return int(self.array)
        return _as_number("int", self, int)

    def __index__(self):
        _asked(self)
        raise hook("refusal")("index")

    def __complex__(self):
        if is_fillable(self):
            return complex(self.array)
        _asked(self)
        raise hook("refusal")("complex")

    def __array__(self, dtype=None, *, copy=None):
        if is_fillable(self):
            return np.array(_locked_view(self), dtype, copy=copy)
        answer = hook("foreign_answer")(self)
        if answer is not None:
            return answer
        _asked(self)
        raise hook("refusal")("array", self)

    # The array API standard. Its namespace is `fastbp.numpy`, whose functions are recorded.

    def __array_namespace__(self, *, api_version=None):
        """Return `fastbp.numpy`, for code that is written for the array API standard."""
        return hook("array_namespace")(api_version)

    def to_device(self, device, /, *, stream=None):
        """Return the Variable itself: its array is in the memory of the CPU, the only device."""
        if device != "cpu":
            raise ValueError(f"x.to_device({device!r}): arrays are on device 'cpu', the only one")
        if stream is not None:
            raise ValueError("x.to_device: stream= is for other devices, None here, "
                             f"not {stream!r}")
        return self

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        if is_fillable(self):
            return self.array.__dlpack__(
                stream=stream, max_version=max_version, dl_device=dl_device, copy=True)
        raise hook("refusal")("dlpack", self)

    # Steps, constant almost everywhere: plain numbers, as of a float.

    def __round__(self, *ndigits):
        return _step(self, round, ndigits)

    def __floor__(self):
        return _step(self, math.floor)

    def __ceil__(self):
        return _step(self, math.ceil)

    def __trunc__(self):
        return _step(self, math.trunc)

    def __format__(self, spec):
        return format((<object> self.value)[()], spec)

    def __repr__(self):
        label = "" if self.name is None else f", name={self.name!r}"
        body = np.array2string(self.value, prefix="Variable(", separator=", ")
        kind = "" if self.node.typenum == cnp.NPY_DOUBLE else f", dtype={self.dtype}"
        if self.node.fillable:
            kind += ", fillable"
        return f"Variable({body}{kind}{label})"

    def __copy__(self):
        return call_elementwise(<Op> _hooks["positive"], (self,))

    def __deepcopy__(self, memo):
        return call_elementwise(<Op> _hooks["positive"], (self,))

    def __reduce__(self):
        if is_fillable(self):
            return np.array, (self.array,)
        raise TypeError("a Variable cannot be pickled: its history stays here; pickle x.value")

    def __getattr__(self, str name):
        if is_fillable(self) and not name.startswith("__"):
            return getattr(_locked_view(self), name)
        hint = f": write {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
        raise AttributeError(f"Variable has no attribute {name!r}{hint}")

    # NumPy's protocols: NEP 13 for ufuncs, NEP 18 for the other functions.

    def __array_ufunc__(self, ufunc, method, *operands, out=None, **kwargs):
        cdef Op op
        if method != "__call__":
            implementation = _by_reduce.get((ufunc, method))
            if implementation is None:
                found = _of_fillables(getattr(ufunc, method), operands, kwargs)
                if out is None and found is not NotImplemented:
                    return found
                return _without_rule(ufunc, method, operands, kwargs)
            if out is not None:
                kwargs["out"] = out[0] if len(out) == 1 else out
            try:
                return implementation(*operands, **kwargs)
            except FastbpError as error:
                named(error, f"{hook('name_of')(ufunc)}.{method}")
                raise
        kwargs = {k: v for k, v in kwargs.items() if v is not None}
        op = _by_ufunc.get(ufunc)
        if op is None and ufunc not in _by_function and "late_rules" in _hooks:
            _hooks.pop("late_rules")()      # rules for SciPy's ufuncs: loading them takes time
            op = _by_ufunc.get(ufunc)
        if op is None:
            if out is not None:
                kwargs["out"] = out
            elif ufunc not in _by_function:
                found = _of_fillables(ufunc, operands, kwargs)
                if found is not NotImplemented:
                    return found
        try:
            if op is None:
                return _without_rule(ufunc, method, operands, kwargs)
            return _call_ufunc(op, operands, out, kwargs)
        except FastbpError as error:
            named(error, hook("name_of")(ufunc), "" if op is None else op.title)
            raise

    def __array_function__(self, function, types, args, kwargs):
        implementation = _by_function.get(function)
        if implementation is None:
            found = _of_fillables(function, args, kwargs)
            if found is not NotImplemented:
                return found
            raise hook("refusal")("rule", function)
        try:
            return implementation(*args, **kwargs)
        except AttributeError as error:
            if args and type(args[0]) is Variable:
                raise
            # The array is a plain one: the Variable is an axis, a count, a list of indices.
            raise DTypeError(f"{hook('name_of')(function)}: a Variable stands where a plain value "
                             "is needed") from error
        except FastbpError as error:
            named(error, hook("name_of")(function))
            raise


def written_number(str name not None):
    """Return the error for a write into a Variable that is a number: see `is_number`."""
    return DTypeError(
        f"{name}: what is written into is a number, as sums and single elements are, and "
        "numbers do not change: write x = ... for a new one, or begin with x = numpy.array(x)")


cdef int _asked(Variable x) except -1:
    """Note what is refused as well: the code may catch the error and go on without the value."""
    if x.node.flags & KEEPS:
        _leave("value", x)
    return 0


cdef object _as_number(str asked, Variable x, kind):
    """Return a number to be printed (``"%g" % x``); raise where it would lose the derivative."""
    error = hook("refusal")(asked, x)
    if error is not None:
        _asked(x)
        raise error
    return kind(x.value[()])


def _step(Variable x, function, args=()):
    """Apply one of Python's functions of a number to a Variable of no axes."""
    if x.ndim:
        name = function.__name__
        raise DTypeError(f"{name}(x): x has shape {x.shape}, {name} takes one number: use "
                         f"numpy.{name}")
    return function((<object> x.value).item(), *args)


cdef class _Flat:
    """What ``x.flat`` is: the elements in C order, to iterate over, to read and to assign to."""
    cdef Variable owner
    cdef object rest

    def __init__(self, owner):
        self.owner = owner

    @property
    def base(self):
        return self.owner

    def copy(self):
        """Return the elements as a Variable of one axis."""
        return owned(hook("ravel")(self.owner))

    def __len__(self):
        return self.owner.size

    def __iter__(self):
        return iter(self.copy())

    def __next__(self):
        if self.rest is None:
            self.rest = iter(self)
        return next(self.rest)

    def __getitem__(self, index):
        return self.copy()[index]

    def __setitem__(self, index, value):
        cdef Variable x = self.owner
        if type(value) is Variable:
            fresh(x)
            fresh(<Variable> value)
            if _root_of(x) is _root_of(<Variable> value) and (
                    x is value or x.view is not None or (<Variable> value).view is not None):
                x._become(_flat_within(x, index, value), "assignment")
                return
        x._become(hook("set_flat")(x, index, value), "assignment")


cdef Variable _root_of(Variable x):
    return x if x.view is None else x.view.root


cdef Variable _flat_within(Variable x, object index, Variable value):
    """What ``x.flat[index] = value`` makes of an array, where the value shows its elements.

    NumPy reads while it writes: the numbers of elements, in an array that has both as views, show
    which element comes where.
    """
    cdef Variable root = _root_of(x)
    cdef cnp.ndarray memory, numbers
    cdef dict whole
    if (x.view is not None and x.view.part is not None) or (
            value.view is not None and value.view.part is not None):
        raise NoRuleError("x.flat[index] = value: both are parts of one complex array: write "
                          "value.copy()")
    _stand_in_memory(root)
    root.array = _with_layout(root.array)
    whole = _place_in(root.array, root.array, root.node.op)
    low, high = _bounds(root.array)
    memory = np.zeros((high - low) // cnp.PyArray_ITEMSIZE(root.array), np.intp)
    (<object> _part(memory, whole))[...] = np.arange(
        cnp.PyArray_SIZE(root.array)).reshape((<object> root.array).shape)
    numbers = _part(memory, whole if x is root else _place(x))
    (<object> numbers).flat[values_of(index)] = _part(
        memory, whole if value is root else _place(value))
    made = hook("take")(hook("ravel")(root), np.array(numbers))
    return made if type(made) is Variable else _fillable(made)


def values_of(x):
    """Replace Variables by their arrays, in lists and tuples too: they leave the record.

    What goes on into other values is `passive`.
    """
    if type(x) is Variable or type(x) is Passive:
        return x.value
    if type(x) is list or type(x) is tuple:
        return type(x)([values_of(item) for item in x])
    return x


def _without_rule(ufunc, method, operands, kwargs):
    """Compute a ufunc that has no derivative because it is constant almost everywhere.

    Refuse any other.
    """
    if method == "__call__" and ufunc in _by_function:
        out = kwargs.get("out")
        if ufunc is np.matmul and out is not None and type(out[0]) is not Variable:
            raise hook("refusal")("out", ufunc, operands, out)
        return _by_function[ufunc](*operands, **kwargs)
    if kwargs.get("out") is not None and not any(type(x) is Variable for x in operands):
        raise NoRuleError(f"{hook('name_of')(ufunc)}: out= is a Variable while no operand is one")
    raise hook("refusal")("rule", ufunc, method)


cdef object _call_ufunc(Op op, tuple operands, object out, dict kwargs):
    """A recorded ufunc call.

    Dtype= and where= are honoured where their meaning is plain, the rest is refused.
    """
    if out is not None and (len(out) != 1 or type(out[0]) is not Variable):
        raise hook("refusal")("out", op.ufunc, operands, out)
    dtype = kwargs.pop("dtype", None)
    where = kwargs.pop("where", True)
    casting = kwargs.pop("casting", "same_kind")
    if kwargs:
        raise NoRuleError(f"{op.title}: the argument {sorted(kwargs)[0]}= is not supported "
                          "for Variables")
    if casting not in ("same_kind", "safe", "unsafe"):
        raise NoRuleError(f"{op.title}: casting={casting!r} is not supported for Variables")
    if where is not True and out is None:
        raise NoRuleError(f"{op.title}: where= without out= leaves elements undefined; "
                          "use numpy.where")
    if dtype is not None:
        if np.dtype(dtype).kind != "c" and any([np.iscomplexobj(array_of(x)) for x in operands]):
            raise DTypeError(f"{op.title}: with dtype={np.dtype(dtype)} the imaginary part would "
                             "be lost: write x.real, or numpy.abs(x)")
        operands = tuple([hook("astype")(x, dtype) if type(x) is Variable
                          else as_array(x, op.title).astype(dtype, copy=False) for x in operands])
    if not any([type(x) is Variable for x in operands]):
        # Only `out` is a Variable: it becomes a constant.
        first = np.broadcast_to(leaf_array(operands[0], op.title), out[0].shape)
        operands = (variable(first), *operands[1:])
    result = call_elementwise(op, operands)
    if out is None:
        return result
    shape = (<Variable> out[0]).node.shape
    if type(result) is Variable and (<Variable> result).node.shape != shape:
        try:
            result = np.broadcast_to(result, shape)
        except ValueError:
            raise ShapeError(f"{op.title}: out= has shape {shape}, the result has shape "
                             f"{(<Variable> result).node.shape}") from None
    if where is not True:
        result = hook("where")(where, result, out[0])
    return (<Variable> out[0])._become(result, op.name)


def variable(array, name=None):
    """Make a leaf of the graph.

    Parameters
    ----------
    array : array_like of float64, float32, complex128 or complex64, any shape
        An ndarray is shared, not copied; a Python float becomes a 0-d float64 array. A Variable
        gives a new Variable that depends on it.
    name : str, optional
        Shown by ``repr``.

    Returns
    -------
    Variable

    Raises
    ------
    DTypeError
        If the dtype is another one: integers, float16, objects.
    ShapeError
        If a list is ragged.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> x = bp.variable(np.array([1.0, 2.0]))
    >>> y = np.sum(x * x)
    >>> bp.gradients(y, x)
    array([2., 4.])
    """
    cdef cnp.ndarray data
    cdef Variable v
    array = unfilled(array)
    if type(array) is Passive and _is_differentiable(array.dtype):
        array = entered(array, None)
    if type(array) is Variable:
        v = call_elementwise(<Op> _hooks["identity"], (array,))
        _stand_in_memory(<Variable> array)
        v.array = _laid_out(v.array, (<Variable> array).array)
        v.cell = (<Variable> array).cell
    else:
        _load_late()
        data = leaf_array(array, "variable")
        v = make_variable(data, leaf_node(data))
        v.cell = cnp.PyArray_CheckExact(array)
    v.name = name
    return v


cdef Variable new_leaf(cnp.ndarray value):
    _load_late()
    return make_variable(value, leaf_node(value))


def leaves(list arrays, bint keep=False):
    """Make a `variable` of each array; return them, and other handles on the same values.

    Fillables among the arrays become what they are for a transform, arrays. With `keep` the record
    of what is computed from them keeps everything: see passive.pxi.
    """
    cdef list made = [], handles = []
    cdef Variable v
    cdef Py_ssize_t k
    _load_late()
    for k, x in enumerate(arrays):
        if cnp.PyArray_CheckExact(x) and is_plain(x):
            v = make_variable(x, leaf_node(x))
        else:
            arrays[k] = x = unfilled(x)
            v = variable(x)
        if keep:
            v.node.flags |= KEEPS
        made.append(v)
        v = make_variable(v.array, v.node)
        v.cell = (<Variable> x).cell if type(x) is Variable else cnp.PyArray_CheckExact(x)
        handles.append(v)
    return made, handles


def all_arrays(list first not None, list second not None):
    """Say whether two lists hold nothing but plain ndarrays."""
    for x in first:
        if not cnp.PyArray_CheckExact(x):
            return False
    for x in second:
        if not cnp.PyArray_CheckExact(x):
            return False
    return True


def is_shared(Variable x not None):
    """Say whether anything else, as a residual or a view, may hold the memory of `x`."""
    fresh(x)
    return not is_ours(<PyObject *> x.array)


def leaf_array(x, str what="variable"):
    """Return `x` as a plain array of floats or complex numbers, shared where it is one already.

    Raise `DTypeError` or `ShapeError`.
    """
    cdef cnp.ndarray array
    if cnp.PyArray_CheckExact(x) and is_plain(x):
        return x
    array = as_array(x, what)
    if not _is_differentiable(array.dtype):
        hint = ""
        if array.dtype.kind in "iub":
            hint = "; convert it, for instance with numpy.asarray(x, float)"
        raise DTypeError(f"{what}: shape {(<object> array).shape} and dtype {array.dtype}: "
                         f"{_NAMES} can be differentiated{hint}")
    if not is_plain(array):
        array = np.require(array, array.dtype.newbyteorder("="), "A")
    return array
