# Passive values: what has no derivative, on the record all the same. Included by graph.pyx.
#
# Plain eager work computes masks, indices and integers as arrays. In a record that keeps everything
# (`recorded_call` with ``keep``) they are Passives: handles on an array of any dtype and on a node
# without rules, which knows the function and all that it was given. So the record can be computed
# again from other inputs, and says which constants depend on none. Which of both it is follows from
# the data: nodes that are computed from an input of such a record have the flag KEEPS.
#
# A Passive behaves as the ndarray that it stands for: functions, methods and operators give
# another one. Beside Variables in an operation of the table it is an operand without derivative,
# and a static argument that is one becomes such an operand (`_moving`). Whoever needs its numbers
# (`bool`, `int`, an index of a list, code in C) gets them; it is noted that they left the record.
#
# Nobody writes into its array: assignments give the handle a new one, and views know their root.

import functools
import inspect
import operator as _operators

cdef dict _calls = {}           # function -> the Op of its calls; (function, None): arranged ones
cdef dict _positions_of_out = {}
cdef dict _moving_ops = {}      # (op, which static arguments, number of operands) -> Op
cdef set _of_shapes = set()     # functions that do not read the elements
cdef frozenset _MUTATING = frozenset((
    np.copyto, np.fill_diagonal, np.place, np.put, np.put_along_axis, np.putmask))
cdef frozenset _METHODS_IN_PLACE = frozenset(("fill", "partition", "put", "sort"))
# They call the method of the same name, which gives for a number another one.
cdef frozenset _MADE_BY_METHODS = frozenset((
    np.imag, np.ravel, np.real, np.repeat, np.reshape, np.squeeze, np.swapaxes, np.transpose))
cdef frozenset _PARTS = frozenset(("T", "imag", "mT", "real"))
cdef frozenset _LAYOUT = frozenset(("flags", "itemsize", "nbytes", "strides"))


def of_shapes(function):
    """Let a function that reads shapes and dtypes only see arrays: nothing leaves the record."""
    _of_shapes.add(function)


cdef bint _keeps(object x) except -1:
    """Whether a record that keeps everything has `x`, or an item of a container."""
    if type(x) is Variable:
        fresh(<Variable> x)     # writes that wait may be what the record keeps
        return ((<Variable> x).node.flags & KEEPS) != 0
    if type(x) is Passive:
        return True
    if type(x) is tuple or type(x) is list:
        for item in x:
            if _keeps(item):
                return True
    elif type(x) is dict:
        for item in (<dict> x).values():
            if _keeps(item):
                return True
    elif type(x) is slice:
        return _keeps(x.start) or _keeps(x.stop) or _keeps(x.step)
    return False


def keeps(*operands):
    """Say whether one of them, or an item of a container, is in a record that keeps everything."""
    return _keeps(operands)


def is_passive(x):
    """Say whether `x` is a recorded value without derivative."""
    return type(x) is Passive


def passive(x):
    """Return the values of Variables without derivative, in lists and tuples too.

    They are arrays, or where the record keeps everything, on it.
    """
    if type(x) is Variable:
        if _keeps(x):
            return passive_call(identity, x)
        return (<Variable> x).value
    if type(x) is list or type(x) is tuple:
        return type(x)([passive(item) for item in x])
    return x


def handle_of(Passive x not None):
    """Return another handle on the value of `x`."""
    current(x)
    return _new_passive(x.array, x.node)


def with_value(x, cnp.ndarray value not None):
    """Return a handle on the node of `x`, a Variable or Passive, that has this value."""
    return handle_on(value, (<Passive> x).node if type(x) is Passive else (<Variable?> x).node)


def identity(x):
    """Return the argument; recorded for what is given on without its derivative."""
    return x


def passive_input(array):
    """Return an array as an input without derivative of a record that keeps everything."""
    cdef cnp.ndarray data = _copy_laid_out(np.asarray(array))
    cdef Node node = leaf_node(data)
    node.flags = KEEPS | PASSIVE
    return _new_passive(data, node)


def passive_call(function, *args, **kwargs):
    """Call a function of arrays without derivative; what it returns is passive.

    Variables and Passives may stand anywhere among the arguments, in containers too. The arrays
    that the function gets are read-only.
    """
    return _passive_call(function, args, kwargs)


# ---- calls ---------------------------------------------------------------------------------------


@cython.final
cdef class Slot:
    """Where an operand stands among the arguments of a call."""
    cdef readonly Py_ssize_t index

    def __init__(self, Py_ssize_t index):
        self.index = index

    def __repr__(self):
        return f"<operand {self.index}>"


@cython.final
cdef class Arranged:
    """A function of operands that stand inside of its arguments: ``call`` says where."""
    cdef readonly object function

    def __init__(self, function):
        self.function = function

    def __call__(self, *operands, call):
        args, kwargs = _filled(call, operands)
        return self.function(*args, **kwargs)


cdef object _filled(object x, tuple operands):
    if type(x) is Slot:
        return operands[(<Slot> x).index]
    if type(x) is tuple or type(x) is list:
        return type(x)([_filled(item, operands) for item in x])
    if type(x) is dict:
        return {key: _filled(item, operands) for key, item in (<dict> x).items()}
    if type(x) is slice:
        return slice(*[_filled(item, operands) for item in (x.start, x.stop, x.step)])
    return x


cdef object _arranged(object x, list operands):
    """Put slots in the place of operands, which are appended; constants as they are now."""
    if type(x) is Variable or type(x) is Passive:
        operands.append(x)
        return Slot(len(operands) - 1)
    if type(x) is tuple or type(x) is list:
        return type(x)([_arranged(item, operands) for item in x])
    if type(x) is dict:
        return {key: _arranged(item, operands) for key, item in (<dict> x).items()}
    if type(x) is slice:
        return slice(*[_arranged(item, operands) for item in (x.start, x.stop, x.step)])
    return kept(x) if cnp.PyArray_CheckExact(x) else x


cdef Op _op_of(object function, bint arranged):
    key = (function, None) if arranged else function
    op = _calls.get(key)
    if op is None:
        name = getattr(function, "__name__", type(function).__name__)
        op = Op(name, Arranged(function) if arranged else function, nin=-1)
        (<Op> op).kind = CALL
        _calls[key] = op
    return op


cdef object _passive_call(object function, tuple args, dict kwargs):
    cdef list operands = [], values = [], parents = [], saved = []
    cdef dict static = kwargs
    cdef int flags = KEEPS
    cdef bint arranged = _keeps(kwargs), orders = kwargs.get("order") in ("A", "K")
    cdef Node parent
    cdef object x
    for x in args:
        if type(x) is not Variable and type(x) is not Passive:
            arranged = arranged or has_variable(x) or _keeps(x)
            orders = orders or type(x) is str and x in ("A", "K")
    if orders and args and type(args[0]) is Passive:
        args, static = _in_named_order(function, args, kwargs)
        kwargs = static
    if arranged:
        static = {"call": (_arranged(args, operands), _arranged(kwargs, operands))}
    else:
        operands = list(args)
    for x in operands:
        parent = None
        if type(x) is Variable:
            fresh(<Variable> x)
            parent = (<Variable> x).node
            x = _locked((<Variable> x).array)
            if parent.fillable:     # a constant
                parent, x = None, np.array(x)
        elif type(x) is Passive:
            current(<Passive> x)
            parent = (<Passive> x).node
            x = _locked((<Passive> x).array)
        elif cnp.PyArray_CheckExact(x):
            x = kept(x)
        if parent is not None:
            flags |= parent.flags
        parents.append(parent)
        values.append(x)
        saved.append(None if parent is not None and _is_again(parent) else x)
    op = _op_of(function, arranged)
    # What it calls in turn makes plain arrays, as when the record is computed again.
    found = unrecorded_call((<Op> op).forward, values, static)
    if _is_nested(found):
        nested = hook("nested_call")(function, args, kwargs)
        if nested is not NotImplemented:
            return nested
    found = _results(op, operands, tuple(parents), tuple(saved), static,
                     flags & INHERITED | PASSIVE, found)
    if fastbp_left != NULL and type(<object> fastbp_left) is not list:
        (<object> fastbp_left).called(function, values, found)
    return found


cdef bint _is_nested(object x) noexcept:
    """Whether it is a container of containers, or with keys."""
    if type(x) is tuple or type(x) is list:
        for item in x:
            if isinstance(item, (tuple, list, dict)):
                return True
        return False
    return type(x) is dict


cdef tuple _in_named_order(object function, tuple args, dict kwargs):
    """Arguments of a function of NumPy's, without an order that depends on the memory.

    The record is computed again on memory in C order.
    """
    cdef cnp.ndarray array = (<Passive> args[0]).array
    cdef bint fortran = (cnp.PyArray_IS_F_CONTIGUOUS(array)
                         and not cnp.PyArray_IS_C_CONTIGUOUS(array))
    flat = getattr(function, "__name__", "") in ("ravel", "flatten")

    def named(order):
        if type(order) is not str or order not in ("A", "K") or order == "K" and not flat:
            return order
        _note_write()
        if order == "K" and not _is_compact(array):
            raise NoRuleError(f"{hook('name_of')(function)}: order 'K' of what has no derivative "
                              "is not supported where it is neither C's nor Fortran's")
        return "F" if fortran else "C"

    if "order" in kwargs:
        kwargs = {**kwargs, "order": named(kwargs["order"])}
    return tuple([named(x) for x in args]), kwargs


def own_results(list found, list lent, values):
    """Let arrays that a user's function returned be the record's: copy what others have, too.

    Parameters
    ----------
    found : list
        The results, which nobody else holds if the function does not. It is changed.
    lent, values : list and sequence
        The arrays that the function was given, and what these are views of. Results that are such
        arrays, or views of them, stay so.
    """
    cdef Py_ssize_t k, i, low, high
    cdef cnp.ndarray x
    cdef bint given
    for k in range(len(found)):
        if not cnp.PyArray_CheckExact(<object> PyList_GET_ITEM(found, k)):
            continue
        if _is_new(<PyObject *> PyList_GET_ITEM(found, k)):
            continue
        x = found[k]
        given = False
        for i in range(len(lent)):
            if x is lent[i]:
                found[k], given = values[i], True
            elif cnp.PyArray_CheckExact(lent[i]) and cnp.PyArray_BASE(x) != NULL:
                low, high = _bounds(lent[i])
                given = low <= <Py_ssize_t> cnp.PyArray_DATA(x) < high
                if (given and cnp.PyArray_BASE(x) == cnp.PyArray_BASE(lent[i])
                        and lent[i] is not values[i] and not cnp.PyArray_ISWRITEABLE(x)
                        and not _repeats(x)):
                    (<object> x).flags.writeable = True
            if given:
                break
        if not given:
            found[k] = cnp.PyArray_NewCopy(x, cnp.NPY_KEEPORDER)


cdef cnp.ndarray _locked(cnp.ndarray array):
    """A view of an array that cannot be written into."""
    cdef cnp.ndarray view = PyArray_View(array, NULL, cnp.ndarray)
    cnp.PyArray_CLEARFLAGS(view, cnp.NPY_ARRAY_WRITEABLE)
    return view


def locked(x):
    """Return a view of an array that cannot be written into, anything else as it is."""
    if not cnp.PyArray_CheckExact(x) or not cnp.PyArray_ISWRITEABLE(x):
        return x
    return _locked(x)


cdef cnp.ndarray _recordable(object x):
    """A result as an array of its own or one that shares the memory of an operand; None: neither.
    """
    if not cnp.PyArray_CheckExact(x):
        if not isinstance(x, (bool, int, float, complex, np.generic)):
            return None
        x = np.asarray(x)
    return x if x.dtype.kind in "biufc" else None


cdef object _results(Op op, list operands, tuple parents, tuple saved, dict static, int flags,
                     object found):
    cdef cnp.ndarray array
    cdef Node node
    cdef list arrays
    cdef bint several = isinstance(found, (tuple, list))
    cdef Passive made
    arrays = [_recordable(x) for x in found] if several else [_recordable(found)]
    if not arrays or any([x is None for x in arrays]):
        if found is not None:
            _leave("value")
        return found
    array = arrays[0]
    node = new_node(op, array, (<object> array).shape)
    node.parents, node.saved, node.static = parents, saved, static
    if several:
        return _outputs_of_call(node, flags, found, arrays, operands)
    finish(node, flags)
    made = _handle_of(array, node, operands)
    if cnp.PyArray_NDIM(array) == 0 and cnp.PyArray_CheckExact(found):
        made.cell = _gives_array(op, operands)
    return made


cdef bint _gives_array(Op op, list operands) except -1:
    """Whether a function that returned an array of no axes gives NumPy's numbers one as well."""
    function = (<Arranged> op.forward).function if type(op.forward) is Arranged else op.forward
    first = operands[0] if operands else None
    if function is _operators.getitem:      # of a number with an ellipsis
        return True
    if isinstance(function, type(np.ndarray.copy)):
        return not is_number(first)
    if not str(getattr(function, "__module__", None)).startswith("numpy"):
        return False
    return not is_number(first) or function not in _MADE_BY_METHODS


cdef object _outputs_of_call(Node joint, int flags, object found, list arrays, list operands):
    cdef list outputs = [], results
    cdef Output output
    for k, x in enumerate(arrays):
        output = Output.__new__(Output)
        output.index, output.constant = k, True
        output.shape, output.typenum = x.shape, cnp.PyArray_TYPE(x)
        outputs.append(output)
    joint.shape, joint.ans = (), tuple(outputs)
    finish(joint, flags)
    if not flags & COLLECTABLE:
        PyObject_GC_UnTrack(<PyObject *> joint.ans)
    results = [_handle_of(x, output_node(joint, k), operands) for k, x in enumerate(arrays)]
    if hasattr(found, "_fields"):
        return type(found)(*results)
    return type(found)(results)


cdef Passive _new_passive(cnp.ndarray array, Node node):
    cdef Passive made = Passive.__new__(Passive)
    made.array, made.node = array, node
    return made


cdef Passive _handle_of(cnp.ndarray array, Node node, list operands):
    """A Passive for a result: a view of the operand whose memory it shares."""
    cdef Passive made = _new_passive(array, node), x
    if cnp.PyArray_BASE(array) != NULL:
        for operand in operands:
            if type(operand) is Passive:
                x = operand
                if shares(array, x.array) and not x._is_number():
                    made.root = x if x.root is None else x.root
                    made.origin = made.root.array
                    made.place = _place_in(array, made.origin, node.op)
                    return made
        made.array = _copy_laid_out(array)
    else:
        made.array = _with_layout(array)
    return made


cdef object handle_on(object value, Node node):
    return _new_passive(value, node) if node.flags & PASSIVE else make_variable(value, node)


cdef int current(Passive x) except -1:
    """Bring a view up to date, if its root was written into."""
    cdef Passive taken
    if x.root is not None and x.root.array is not x.origin:
        taken = hook("view_taken")(x.root, x.place)
        x.array, x.node, x.origin = taken.array, taken.node, x.root.array
    return 0


# ---- beside Variables ----------------------------------------------------------------------------


cdef Variable entered(Passive x, object dtype):
    """A handle on the same node, or that of a cast, as an operand of an operation with rules."""
    if dtype is not None and x.array.dtype != dtype:
        x = _passive_call(cast_to, (x, np.dtype(dtype)), {})
    current(x)
    return make_variable(x.array, x.node)


def cast_to(x, dtype):
    return np.asarray(x).astype(dtype)      # counts are Python's integers in some versions


cdef tuple _with_entered(Op op, tuple operands):
    """Operands of an operation that is to be recorded, without Passives."""
    cdef list given
    cdef Py_ssize_t k
    cdef object dtype = None
    if op.promotes and not _in_one_dtype(operands, op.promotes):
        operands = _promoted(op.title, operands, op.promotes)
    given = list(operands)
    for k, x in enumerate(given):
        if type(x) is Passive:
            if _is_as_given(op, k, x):
                given[k] = entered(x, None)
            else:
                given[k] = entered(x, np.result_type(
                    *[y.dtype for y in given if type(y) is Variable], (<Passive> x).dtype))
    return tuple(given)


cdef bint _is_as_given(Op op, Py_ssize_t k, Passive x) except -1:
    """Whether an operand is no number to be differentiated, or has a dtype that can be."""
    if op.opaque or k in op.objects or (isinstance(op.vjp, tuple) and op.vjp[k] is None):
        return True
    return slot_of(x.node.typenum) >= 0


cdef list _passive_statics(dict static):
    """Which static arguments are Passives, or items of a tuple: (name, position or None)."""
    cdef list found = None
    cdef Py_ssize_t k
    for name, value in static.items():
        if type(value) is Passive:
            found = [] if found is None else found
            found.append((name, None))
        elif type(value) is tuple:
            for k in range(len(<tuple> value)):
                if type((<tuple> value)[k]) is Passive:
                    found = [] if found is None else found
                    found.append((name, k))
    return found


cdef object _moving(Op op, tuple operands, dict static, list which):
    """Record an operation with static arguments that are Passives: they become operands."""
    cdef list extra = [static[name] if k is None else static[name][k] for name, k in which]
    cdef dict rest = dict(static)
    if not _has_variable(operands):
        return _passive_call(op, operands, static)
    for name, k in which:
        if k is None:
            del rest[name]
        else:
            rest[name] = rest[name][:k] + (None,) + rest[name][k + 1:]
    key = (op, tuple(which), len(operands))
    moving = _moving_ops.get(key)
    if moving is None:
        moving = _moving_ops[key] = _moving_op(op, tuple(which), len(operands))
    found = record(moving, operands + tuple(extra), rest)
    # Places of elements have a shape of their own; all else may decide that of the result.
    if fastbp_left != NULL and type(<object> fastbp_left) is not list \
            and any([name not in ("index", "places") for name, k in which]):
        (<object> fastbp_left).called(None, [], found)
    return found


def _moving_op(Op op, tuple which, Py_ssize_t own):
    """Return an operation with static arguments as operands without derivative behind its own."""
    cdef Py_ssize_t k, extra = len(which)

    def apart(operands, static):
        static = dict(static)
        for (name, at), x in zip(which, operands[own:]):
            if at is not None:
                x = static[name][:at] + (x,) + static[name][at + 1:]
            static[name] = x
        return operands[:own], static

    def with_static(rule):
        if rule is None:
            return None

        @functools.wraps(rule)
        def moved(t, ans, *operands, **static):
            operands, static = apart(operands, static)
            return rule(t, ans, *operands, **static)

        return moved

    def forward(*operands, **static):
        operands, static = apart(operands, static)
        return op.forward(*operands, **static)

    def joint_vjp(g, needs, ans, *operands, **static):
        operands, static = apart(operands, static)
        return (*op.vjp(g, needs[:own], ans, *operands, **static), *[None] * extra)

    def joint_jvp(tangents, ans, *operands, **static):
        operands, static = apart(operands, static)
        return op.jvp(tangents[:own], ans, *operands, **static)

    vjp, jvp = op.vjp, op.jvp
    if vjp is not None:
        vjp = (*map(with_static, vjp), *[None] * extra) if isinstance(vjp, tuple) else joint_vjp
    if jvp is not None:
        jvp = (*map(with_static, jvp), *[None] * extra) if isinstance(jvp, tuple) else joint_jvp
    saves = [k for k in range(own) if op.saves >> <unsigned int> min(k, 29) & 1]
    saves += [("ans", k) for k in op.saved_outputs]
    saves += ["ans"] if op.saves & SAVES_ANS else []
    extras = tuple(range(own, own + extra))
    info = {key: value for key, value in op.info.items() if key not in ("local", "moving")}
    info.update(unmoved=op, which=which, apart=apart)
    return Op(
        op.name, forward, nin=own + extra, vjp=vjp, jvp=jvp, saves=(*saves, *extras),
        blocks=op.blocks, opaque=op.opaque, writes=op.writes, coefficients=op.coefficients,
        nout=op.nout, constants=op.constants,
        objects=(*op.objects, *extras), residuals=op.residuals, free=op.free, **info)


# ---- the handle ----------------------------------------------------------------------------------


cdef object _applied(object ufunc, object x, object y):
    return ufunc(x, y) if _operand_ok(x) and _operand_ok(y) else NotImplemented


def assigned(x, index, value):
    x = x.copy()
    x[index] = value
    return x


def computed_into(out, ufunc, method, operands, kwargs):
    out = out.copy()
    getattr(ufunc, method)(*operands, out=out, **kwargs)
    return out


def _mutated(x, function, args, kwargs):
    x = x.copy()
    function(x, *args, **kwargs)
    return x


def part_of(x, name):
    return getattr(x, name)


def _arrays_left(x):
    """Return arrays in the place of recorded values: they leave the record."""
    if type(x) is Passive or type(x) is Variable:
        return x.value
    if type(x) is tuple or type(x) is list:
        return type(x)([_arrays_left(item) for item in x])
    if type(x) is dict:
        return {key: _arrays_left(item) for key, item in x.items()}
    return x


def _any_variable(x):
    """Return a Variable among arguments, or None."""
    if type(x) is Variable:
        return x
    if type(x) is dict:
        x = list(x.values())
    if type(x) is tuple or type(x) is list:
        for item in x:
            found = _any_variable(item)
            if found is not None:
                return found
    return None


@cython.final
cdef class Passive:
    """A recorded value without derivative: a mask, an index, a sign, what is made of them.

    It stands for an ndarray inside of a function whose record keeps everything, and behaves as one.
    """

    __array_priority__ = 999.0

    def __init__(self, *args):
        raise TypeError("a Passive is made by the recording")

    cdef object seen(self):
        """The array, read-only, for what does not read its elements."""
        current(self)
        return _locked(self.array)

    cdef object left(self, str what):
        """Return the array, read-only, and note that it leaves the record."""
        _leave(what, self)
        return self.seen()

    @property
    def value(self):
        return self.left("value")

    @property
    def _array(self):
        current(self)
        return self.array

    @property
    def shape(self):
        return (<object> self.array).shape

    @property
    def dtype(self):
        return (<object> self.array).dtype

    @property
    def ndim(self):
        return cnp.PyArray_NDIM(self.array)

    @property
    def size(self):
        return cnp.PyArray_SIZE(self.array)

    def __len__(self):
        return len(self.array)

    def __getattr__(self, str name):
        if name in _PARTS:
            return _passive_call(part_of, (self, name), {})
        if name in _LAYOUT:
            _note_write()       # a branch may depend on it
            return getattr(self.seen(), name)
        found = getattr(self.seen(), name)      # raises where NumPy does
        if name.startswith("__"):
            raise AttributeError(f"a Passive has no attribute {name!r}")
        if not callable(found):
            return getattr(self.left("value"), name)
        if name in ("item", "tolist", "tobytes", "tofile", "dump", "dumps", "getfield"):
            return getattr(self.left("value"), name)
        return functools.partial(_method, self, name)

    # -- operators

    def __add__(self, other):
        return _applied(np.add, self, other)

    def __radd__(self, other):
        return _applied(np.add, other, self)

    def __sub__(self, other):
        return _applied(np.subtract, self, other)

    def __rsub__(self, other):
        return _applied(np.subtract, other, self)

    def __mul__(self, other):
        return _applied(np.multiply, self, other)

    def __rmul__(self, other):
        return _applied(np.multiply, other, self)

    def __truediv__(self, other):
        return _applied(np.divide, self, other)

    def __rtruediv__(self, other):
        return _applied(np.divide, other, self)

    def __floordiv__(self, other):
        return _applied(np.floor_divide, self, other)

    def __rfloordiv__(self, other):
        return _applied(np.floor_divide, other, self)

    def __mod__(self, other):
        return _applied(np.remainder, self, other)

    def __rmod__(self, other):
        return _applied(np.remainder, other, self)

    def __divmod__(self, other):
        return _applied(np.divmod, self, other)

    def __rdivmod__(self, other):
        return _applied(np.divmod, other, self)

    def __pow__(self, other, modulo):
        if modulo is not None:
            raise TypeError("pow: a modulus is not supported for arrays")
        if type(other) is Variable or not _operand_ok(other):
            return _applied(np.power, self, other)
        return _passive_call(_operators.pow, (self, other), {})

    def __rpow__(self, other, modulo):
        return _applied(np.power, other, self)

    def __matmul__(self, other):
        return _applied(np.matmul, self, other)

    def __rmatmul__(self, other):
        return _applied(np.matmul, other, self)

    def __and__(self, other):
        return _applied(np.bitwise_and, self, other)

    def __rand__(self, other):
        return _applied(np.bitwise_and, other, self)

    def __or__(self, other):
        return _applied(np.bitwise_or, self, other)

    def __ror__(self, other):
        return _applied(np.bitwise_or, other, self)

    def __xor__(self, other):
        return _applied(np.bitwise_xor, self, other)

    def __rxor__(self, other):
        return _applied(np.bitwise_xor, other, self)

    def __lshift__(self, other):
        return _applied(np.left_shift, self, other)

    def __rlshift__(self, other):
        return _applied(np.left_shift, other, self)

    def __rshift__(self, other):
        return _applied(np.right_shift, self, other)

    def __rrshift__(self, other):
        return _applied(np.right_shift, other, self)

    def __neg__(self):
        return np.negative(self)

    def __pos__(self):
        return np.positive(self)

    def __abs__(self):
        return np.absolute(self)

    def __invert__(self):
        return np.invert(self)

    def __richcmp__(self, other, int op):
        if type(other) is Variable or type(other) is Passive:
            return (np.less, np.less_equal, np.equal, np.not_equal, np.greater,
                    np.greater_equal)[op](self, other)
        return _passive_call(_COMPARISONS[op], (self, other), {})

    # -- in place: the handle, or that which it is a view of, gets a new array and node

    cdef object _become(self, object other):
        cdef Passive value = other
        if self._is_number():
            raise written_number("in-place assignment")
        _note_write()
        if self.root is None:
            _check_write(self.node)
            current(value)
            laid = _laid_out(value.array, self.array)
            if laid is value.array and value.root is not None:
                laid = _copy_laid_out(laid)
            self.array, self.node = laid, value.node
            return self
        current(self)
        self.root._become(hook("view_written")(self.root, value, self.place))
        current(self)
        return self

    cdef bint _is_number(self) noexcept:
        """Whether this stands for a number of NumPy's, as `Variable._is_number`."""
        return self.root is None and not self.cell and cnp.PyArray_NDIM(self.array) == 0

    cdef object _in_place(self, object ufunc, object other):
        if not _operand_ok(other):
            return NotImplemented
        if self._is_number():       # the name is bound to the result
            return _applied(ufunc, self, other)
        if has_variable(other):
            raise hook("refusal")("out", ufunc, (self, other), (self,))
        return self._become(_passive_call(
            computed_into, (self, ufunc, "__call__", (self, other), {}), {}))

    def __iadd__(self, other):
        return self._in_place(np.add, other)

    def __isub__(self, other):
        return self._in_place(np.subtract, other)

    def __imul__(self, other):
        return self._in_place(np.multiply, other)

    def __itruediv__(self, other):
        return self._in_place(np.divide, other)

    def __ifloordiv__(self, other):
        return self._in_place(np.floor_divide, other)

    def __imod__(self, other):
        return self._in_place(np.remainder, other)

    def __ipow__(self, other):
        return self._in_place(np.power, other)

    def __iand__(self, other):
        return self._in_place(np.bitwise_and, other)

    def __ior__(self, other):
        return self._in_place(np.bitwise_or, other)

    def __ixor__(self, other):
        return self._in_place(np.bitwise_xor, other)

    def __ilshift__(self, other):
        return self._in_place(np.left_shift, other)

    def __irshift__(self, other):
        return self._in_place(np.right_shift, other)

    def __setitem__(self, index, value):
        if has_variable(value):
            raise hook("refusal")("array", value)
        self.cell = True        # as of a Variable
        if type(value) is Passive and (<Passive> value).root is not None and (
                (<Passive> value).root is (self if self.root is None else self.root)):
            value = _passive_call(np.positive if value.dtype.kind != "b" else np.copy, (value,), {})
        self._become(_passive_call(assigned, (self, index, value), {}))

    def __getitem__(self, index):
        if has_variable(index):
            raise hook("refusal")("index")
        return _passive_call(_operators.getitem, (self, index), {})

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return map(self.__getitem__, range(len(self.array)))

    def __reversed__(self):
        return iter([self[i] for i in range(len(self) - 1, -1, -1)])

    def __copy__(self):
        return _passive_call(np.copy, (self,), {})

    def __deepcopy__(self, memo):
        return _passive_call(np.copy, (self,), {})

    # -- out of the record

    def __bool__(self):
        return bool(self.left("bool"))

    def __int__(self):
        return int(self.left("value"))

    def __float__(self):
        return float(self.left("value"))

    def __complex__(self):
        return complex(self.left("value"))

    def __index__(self):
        return _operators.index(self.left("value")[()])

    def __array__(self, dtype=None, *, copy=None):
        return np.array(self.left("value"), dtype, copy=copy)

    def __contains__(self, x):
        return _arrays_left(x) in self.left("value")

    def __hash__(self):
        return hash(self.left("value")[()])

    def __round__(self, *ndigits):
        return round(self.left("value")[()], *ndigits)

    def __floor__(self):
        return math.floor(self.left("value")[()])

    def __ceil__(self):
        return math.ceil(self.left("value")[()])

    def __trunc__(self):
        return math.trunc(self.left("value")[()])

    def __format__(self, spec):
        return format(self.left("value")[()], spec)

    def __repr__(self):
        body = np.array2string(self.left("value"), prefix="Passive(", separator=", ")
        return f"Passive({body}, dtype={self.dtype})"

    def __str__(self):
        return str(self.left("value")[()])

    def __reduce__(self):
        return np.array, (np.array(self.left("value")),)

    # -- NumPy's protocols

    def __array_ufunc__(self, ufunc, method, *operands, out=None, **kwargs):
        variable = _any_variable([operands, out, kwargs])
        if variable is not None:
            return variable.__array_ufunc__(ufunc, method, *operands, out=out, **kwargs)
        # An axis that is None is no default: all axes.
        kwargs = {k: v for k, v in kwargs.items() if v is not None or k == "axis"}
        if method == "at":
            return _mutate(getattr(ufunc, method), operands[0], operands[1:], kwargs)
        if out is not None:
            if len(out) == 1 and type(out[0]) is Passive:
                return (<Passive> out[0])._become(_passive_call(
                    computed_into, (out[0], ufunc, method, operands, kwargs), {}))
            return getattr(ufunc, method)(
                *_arrays_left(operands), out=_arrays_left(out), **_arrays_left(kwargs))
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return _passive_call(function, operands, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        variable = _any_variable([args, kwargs])
        if variable is not None:
            return variable.__array_function__(function, types, args, kwargs)
        if function in _of_shapes:
            return _by_function[function](*args, **kwargs)
        if function in _MUTATING:
            return _mutate(function, args[0], args[1:], kwargs)
        return _called(function, args, kwargs)


cdef tuple _COMPARISONS = (
    _operators.lt, _operators.le, _operators.eq, _operators.ne, _operators.gt, _operators.ge)


def called(function, args, kwargs):
    """Do as `passive_call` for a function of NumPy's that may have an argument ``out=``."""
    return _called(function, args, kwargs)


cdef object _called(object function, tuple args, dict kwargs):
    args, kwargs, out = without_out(function, args, kwargs)
    if out is None:
        return _passive_call(function, args, kwargs)
    if type(out) is not Passive:
        return function(*_arrays_left(args), out=out, **_arrays_left(kwargs))
    return (<Passive> out)._become(
        _passive_call(computed_into, (out, function, "__call__", args, kwargs), {}))


def without_out(function, tuple args not None, dict kwargs not None):
    """Return arguments of a function of NumPy's without the array for the result, and that.

    It is the argument ``out=``, which may also stand at its position, or None.
    """
    cdef Py_ssize_t k
    out = kwargs.get("out")
    if "out" in kwargs:
        kwargs = {key: x for key, x in kwargs.items() if key != "out"}
    elif len(args) > 1:
        k = _position_of_out(function)
        if 0 <= k < len(args):
            out, args = args[k], args[:k] + args[k + 1:]
            if len(args) > k:
                raise TypeError(f"{hook('name_of')(function)}: out is followed by arguments "
                                "without a name: give them theirs")
    if type(out) is tuple and len(out) == 1:
        out = out[0]
    return args, kwargs, out


cdef Py_ssize_t _position_of_out(object function) except -2:
    """Where the array for the result can stand; -1: nowhere. A method has its array in front."""
    found = _positions_of_out.get(function)
    if found is None:
        found = -1
        named = function
        if type(function) is type(np.ndarray.round):
            named = getattr(np, function.__name__, None)
        if isinstance(named, np.ufunc):
            found = named.nin
        elif callable(named):
            try:
                given = inspect.signature(named).parameters
            except (TypeError, ValueError):
                given = {}
            if "out" in given and given["out"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
                found = list(given).index("out")
        _positions_of_out[function] = found
    return found


def _mutate(function, x, args, kwargs):
    """Call a function that writes into its first argument."""
    if type(x) is Passive:
        (<Passive> x)._become(_passive_call(_mutated, (x, function, args, kwargs), {}))
    else:
        function(x, *_arrays_left(args), **_arrays_left(kwargs))


def _method(x, name, *args, **kwargs):
    """Call a method of ndarray."""
    if _any_variable([args, kwargs]) is not None:
        return getattr(np, name)(x, *args, **kwargs)
    if name in _METHODS_IN_PLACE:
        return _mutate(getattr(np.ndarray, name), x, args, kwargs)
    return _called(getattr(np.ndarray, name), (x, *args), kwargs)
