# Fillables: Variables without a history, which is what functions that make arrays return inside of
# recorded functions, so that recorded values can be written into them. Included by graph.pyx.
#
# For every operation a fillable is a constant, its array: no node has it as a parent, and what is
# computed from fillables alone is one too, or a number. One that a recorded value is written into
# is an ordinary Variable from then on.

cdef extern from *:
    """
    #if defined(_MSC_VER)
    static __declspec(thread) int fastbp_recorded_calls = 0;
    static __declspec(thread) PyObject *fastbp_left = NULL;
    static __declspec(thread) int fastbp_with_values = 0;
    #else
    static _Thread_local int fastbp_recorded_calls = 0;
    static _Thread_local PyObject *fastbp_left = NULL;
    static _Thread_local int fastbp_with_values = 0;
    #endif
    """
    int fastbp_recorded_calls    # of functions that are running in this thread
    PyObject *fastbp_left        # the list of the innermost one that is watched; borrowed
    int fastbp_with_values       # whether the innermost one keeps the values of all operands


def recorded_call(f, args, dict kwargs, left=None, values=None):
    """Call a function that is recorded: arrays that it makes are fillables.

    If it returns one, that has taken no recorded value, and is returned as an array.

    Parameters
    ----------
    left : list or object, optional
        Gets what leaves the record meanwhile: values that are read as plain arrays or numbers, and
        may decide what constants are. An entry is (what, file, line), the line that of the user:
        the first of each kind, "bool" for what decides a branch and "value" for all else. Nothing
        leaves where it stays empty. Anything else than a list has a method ``read(what, handle,
        file, line)``, which is called for each of them (the handle on what was read may be None),
        and ``called(function, operands, result)``, for each call without derivative.
    values : bool, optional
        Whether a record that keeps everything has the values of all operands, those too that can be
        computed again: what is from a record around it may be among them. As there by default.
    """
    global fastbp_left, fastbp_with_values
    cdef PyObject *before = fastbp_left
    cdef int values_before = fastbp_with_values
    if left is None:
        return call_recorded(f, tuple(args), kwargs)
    fastbp_left = <PyObject *> left
    if values is not None:
        fastbp_with_values = values
    try:
        return call_recorded(f, tuple(args), kwargs)
    finally:
        fastbp_left, fastbp_with_values = before, values_before
        if before != NULL and type(left) is list:       # it leaves the outer record, too
            for item in <list> left:
                _noted(<object> before, item[0], None, item[1], item[2])


cdef object call_recorded(f, tuple args, dict kwargs):
    global fastbp_recorded_calls
    fastbp_recorded_calls += 1
    try:
        return unfilled(PyObject_Call(f, args, kwargs))
    finally:
        fastbp_recorded_calls -= 1


cdef int _leave(str what, object handle=None) except -1:
    """Note that a value leaves the record, if somebody watches."""
    if fastbp_left != NULL:
        if type(<object> fastbp_left) is list:
            for item in <list> fastbp_left:
                if item[0] == what:
                    return 0
        file, line = line_of_user()
        _noted(<object> fastbp_left, what, handle, file, line)
    return 0


def watching():
    """Return who watches the innermost record, the `left` of its call; None where nobody does."""
    return None if fastbp_left == NULL else <object> fastbp_left


cdef inline bint _is_again(Node node) noexcept:
    """Whether the value of a node need not be kept: the record can compute it again."""
    return node.flags & KEEPS and not fastbp_with_values


cdef int _noted(object left, str what, object handle, file, line) except -1:
    if type(left) is not list:
        left.read(what, handle, file, line)
        return 0
    if (what, file, line) not in <list> left:
        (<list> left).append((what, file, line))
    return 0


def leave(str what):
    """Note that constants are made here whose zeros say nothing: see `recorded_call`."""
    _leave(what)


def line_of_user():
    """Return file and line of the innermost frame that is not of a library."""
    frame = sys._getframe()
    while frame.f_back is not None and str(
            frame.f_globals.get("__name__")).partition(".")[0] in ("fastbp", "numpy", "scipy"):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


cdef dict _outside = {}     # by thread: the newest node that is outside, and who refuses the write


def refuse_writes(floor, error=None):
    """Let no write of this thread into what was recorded up to a node happen; return what was so.

    Parameters
    ----------
    floor : int or tuple or None
        The id of the node, or what this function returned before. None: all writes are allowed.
    error : callable, optional
        Returns what to raise, of the shape of the array, and of file and line of the write.
    """
    key = PyThread_get_thread_ident()
    before = _outside.pop(key, None)
    if floor is not None:
        _outside[key] = floor if type(floor) is tuple else (floor, error)
    return before


cdef int _check_write(Node node) except -1:
    """Refuse a write into what is outside of the function that is recorded."""
    if _outside:
        found = _outside.get(PyThread_get_thread_ident())
        if found is not None and node.id <= <long long> found[0]:
            raise found[1](node.shape, *line_of_user())
    return 0


cdef int _check_root(Variable x) except -1:
    while x.view is not None:
        x = x.view.root
    return _check_write(x.node)


def array_of(x):
    """Return the array of a Variable, for its shape, dtype and layout; anything else as it is.

    Its numbers must not be read: `values_of` is for those, and what it gives leaves the record.
    """
    if type(x) is Passive:
        return (<Passive> x).seen()
    if type(x) is not Variable:
        return x
    fresh(<Variable> x)
    return (<Variable> x).array


def arrays_of(x):
    """Do as `array_of`, in lists and tuples too."""
    if type(x) is list or type(x) is tuple:
        return type(x)([arrays_of(item) for item in x])
    return array_of(x)


def unrecorded_call(f, args, dict kwargs):
    """Call a function of plain arrays inside of a recorded one: arrays that it makes are plain."""
    global fastbp_recorded_calls
    cdef int calls = fastbp_recorded_calls
    fastbp_recorded_calls = 0
    try:
        return f(*args, **kwargs)
    finally:
        fastbp_recorded_calls = calls


def is_recording():
    """Say whether a function that is recorded is running in this thread."""
    return fastbp_recorded_calls > 0


cdef Variable _fillable(cnp.ndarray array):
    cdef Node node = leaf_node(array)
    cdef Variable made = make_variable(array, node)
    node.fillable = made.cell = True
    return made


def fillable(array):
    """Return a new array of floats or complex numbers as a fillable, anything else as it is."""
    if not cnp.PyArray_CheckExact(array) or not is_plain(array):
        return array
    # What is a view of it is known by its place in memory.
    return _fillable(
        array if _is_compact(array) else cnp.PyArray_NewCopy(array, cnp.NPY_CORDER))


def is_fillable(x):
    """Say whether `x` is a Variable without a history."""
    if type(x) is not Variable:
        return False
    fresh(<Variable> x)
    return (<Variable> x).node.fillable


def unfilled(x):
    """Return the array of a fillable, anything else as it is."""
    return (<Variable> x).array if is_fillable(x) else x


cdef object _with_fillables(Op op, tuple operands, dict static):
    """Compute an operation some of whose operands are fillables; record it if others are not."""
    cdef tuple plain = tuple([unfilled(x) for x in operands])
    result = call_elementwise(op, plain) if static is None else record(op, plain, static)
    if op.nout != 1 and type(result) is tuple:
        return tuple([_to_be_filled(op, operands, x) for x in result])
    return _to_be_filled(op, operands, result)


cdef object _to_be_filled(Op op, tuple operands, object result):
    cdef Variable made
    if not cnp.PyArray_CheckExact(result) or not is_plain(result):
        return result
    for x in operands:
        if type(x) is Variable and _is_seen(op, result, <Variable> x):
            if cnp.PyArray_NDIM(result) == 0 and not _is_part(op):
                break
            made = _fillable(result)
            _see(made, <Variable> x, op)
            return made
    return _fillable(result) if cnp.PyArray_NDIM(result) else result[()]


def refusal(asked, *details):
    """Return the error of `fastbp.rules.refusals` for a Variable where none can stand."""
    return hook("refusal")(asked, *details)


cdef object _locked_view(Variable x):
    """The array of a fillable for those who know no Variables: to write into it would be lost."""
    return _locked(x.array)


cdef object _of_fillables(function, args, kwargs):
    """Call a function that has no rule, if all Variables among its arguments are fillables."""
    args, kwargs = _as_views(args), {key: _as_views(x) for key, x in kwargs.items()}
    if has_variable(args) or has_variable(list(kwargs.values())):
        return NotImplemented
    return fillable_if_new(function(*args, **kwargs))


cdef object _as_views(x):
    if type(x) is list or type(x) is tuple:
        return type(x)([_as_views(item) for item in x])
    return _locked_view(x) if is_fillable(x) else x


cdef bint _has_variable(object x) except -1:
    if type(x) is list:
        for item in <list> x:
            if _has_variable(item):
                return True
        return False
    if type(x) is tuple:
        for item in <tuple> x:
            if _has_variable(item):
                return True
        return False
    return type(x) is Variable


def has_variable(x):
    """Say whether `x` is a Variable, or a nested list with one in it."""
    return _has_variable(x)


cdef tuple _joined(tuple operands):
    """Operands with lists of Variables made arrays."""
    return tuple([
        hook("array")(x) if type(x) is not Variable and _has_variable(x) else x for x in operands
    ])


cdef bint _is_new(PyObject *x) noexcept:
    """Whether nobody else has an array, nor one that it is a view of."""
    while x != NULL and cnp.PyArray_CheckExact(<object> x) and Py_REFCNT(x) == 1:
        if cnp.PyArray_CHKFLAGS(<cnp.ndarray> x, cnp.NPY_ARRAY_OWNDATA):
            return cnp.PyArray_ISWRITEABLE(<cnp.ndarray> x)
        x = cnp.PyArray_BASE(<cnp.ndarray> x)
    return False


cdef object fillable_if_new(object x):
    """Return such an array that nobody else has as a fillable; anything else as it is."""
    if cnp.PyArray_CheckExact(x) and is_plain(x) and _is_new(<PyObject *> x):
        return fillable(x)
    return x


def without_examples(function):
    """Return a docstring of NumPy's without its examples, which show NumPy's own results."""
    text = (function.__doc__ or "").partition("Examples\n")[0]
    return text.partition(">>>")[0].strip()


@cython.final
cdef class Maker:
    """A function of NumPy's that makes arrays: fillables where a function is being recorded.

    Outside it is NumPy's own. `joined` is called in its place if the first argument is a Variable
    or a list with one.
    """
    cdef readonly object __wrapped__
    cdef object joined
    cdef dict __dict__

    def __init__(self, function, joined=None):
        self.__wrapped__ = function
        self.joined = joined
        for name in ("__module__", "__name__", "__qualname__"):
            setattr(self, name, getattr(function, name, None))
        self.__doc__ = (
            f"{without_examples(function)}\n\nInside of a function that fastbp records, recorded "
            "values can be written into the result.")

    def __call__(self, *args, **kwargs):
        if self.joined is not None and (
                not args or _has_variable(args[0]) or kwargs.get("like") is not None
                or fastbp_recorded_calls and _keeps(args[0])):
            return self.joined(*args, **kwargs)
        made = self.__wrapped__(*args, **kwargs)
        return fillable_if_new(made) if fastbp_recorded_calls else made

    def __reduce__(self):
        return self.__qualname__

    def __repr__(self):
        return f"<function {self.__module__}.{self.__qualname__}>"
