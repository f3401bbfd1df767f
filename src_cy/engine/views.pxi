# Views: Variables that share elements with another one, as ndarrays do. Included by graph.pyx.
#
# Whether a result is a view is decided by the fact that its array shares memory with an operand's.
# As in NumPy all views of an array know its owner, the root, and not each other, so chains of them
# cost nothing. A write into the root gives that a new array; a view made of the one before is then
# taken again when it is read. A write into a view is one into its root.


@cython.final
@cython.freelist(64)
cdef class View:
    """What a Variable that is a view knows of its root."""

    def __init__(self, *args):
        raise TypeError("a View is made by the recording")


cdef bint shares(cnp.ndarray out, cnp.ndarray x) noexcept:
    """Whether a result is the array of an operand, or part of its memory."""
    cdef Py_ssize_t at = <Py_ssize_t> cnp.PyArray_DATA(out)
    if out is x:
        return True
    if cnp.PyArray_BASE(out) == NULL or cnp.PyArray_TYPE(out) != cnp.PyArray_TYPE(x):
        return False
    low, high = _bounds(x)
    return low <= at < high


cdef (Py_ssize_t, Py_ssize_t) _bounds(cnp.ndarray x) noexcept:
    """Between which addresses the elements of an array are."""
    cdef Py_ssize_t low = <Py_ssize_t> cnp.PyArray_DATA(x), high = low, step
    cdef int k
    for k in range(cnp.PyArray_NDIM(x)):
        step = (cnp.PyArray_DIM(x, k) - 1) * cnp.PyArray_STRIDE(x, k)
        if step < 0:
            low += step
        else:
            high += step
    return low, high + cnp.PyArray_ITEMSIZE(x)


cdef bint _is_part(Op op) except -1:
    """Whether an operation shows the real or imaginary parts in the memory of complex numbers."""
    return op is _hooks["real_part"] or op is _hooks["imaginary_part"]


cdef bint _is_compact(cnp.ndarray x) noexcept:
    return cnp.PyArray_IS_C_CONTIGUOUS(x) or cnp.PyArray_IS_F_CONTIGUOUS(x)


# Layouts. NumPy's strides decide what is a view, so arrays of Variables have those that NumPy's own
# would have. Only gaps are made shorter where most of the memory would be gaps: axes that cannot be
# merged, of the array itself or of a part of it, stay such.


cdef int _order_of_axes(cnp.ndarray x, int *axes) noexcept:
    """Write the axes of more than one element, from the one of the smallest stride; return how
    many there are."""
    cdef int k, j, n = 0
    cdef Py_ssize_t step
    for k in range(cnp.PyArray_NDIM(x) - 1, -1, -1):
        if cnp.PyArray_DIM(x, k) > 1:
            step = abs(cnp.PyArray_STRIDE(x, k))
            j = n
            while j and abs(cnp.PyArray_STRIDE(x, axes[j - 1])) > step:
                axes[j] = axes[j - 1]
                j -= 1
            axes[j] = k
            n += 1
    return n


cdef bint _layout(cnp.ndarray x, cnp.npy_intp *steps) noexcept:
    """Write the strides, in bytes, of the layout of an array; say whether it has them."""
    cdef int axes[MAX_NDIM]
    cdef int j, k, n = _order_of_axes(x, axes)
    cdef Py_ssize_t item = cnp.PyArray_ITEMSIZE(x), reach = 0, own, step, before = 0, given = 0
    cdef Py_ssize_t length = 1
    cdef bint fits = True, apart = True
    for k in range(cnp.PyArray_NDIM(x)):
        steps[k] = cnp.PyArray_STRIDE(x, k)
    for j in range(n):
        own = abs(cnp.PyArray_STRIDE(x, axes[j]))
        fits = fits and own % item == 0
        apart = apart and own > reach
        reach += own * (cnp.PyArray_DIM(x, axes[j]) - 1)
    if fits and apart and reach <= 4 * item * cnp.PyArray_SIZE(x) + 256:
        return True
    for j in range(n):
        own = abs(cnp.PyArray_STRIDE(x, axes[j]))
        if not apart:       # elements are repeated: each gets a place
            step = item * length
        elif j == 0:
            step = item if own == item else 2 * item
        elif own % given == 0 and own < 2 * length * given:
            step = own // given * before
        else:
            step = 2 * length * before
        given, before = own, step
        length = length * cnp.PyArray_DIM(x, axes[j]) if not apart else cnp.PyArray_DIM(x, axes[j])
        steps[axes[j]] = -step if cnp.PyArray_STRIDE(x, axes[j]) < 0 and apart else step
    return False


cdef cnp.ndarray _new_with(cnp.ndarray x, const cnp.npy_intp *steps):
    """A new array of the shape and dtype of another one, with these strides of it."""
    cdef Py_ssize_t item = cnp.PyArray_ITEMSIZE(x), low = 0, high = 0, reach
    cdef cnp.npy_intp size
    cdef cnp.ndarray memory, made
    cdef cnp.dtype descr = <cnp.dtype> cnp.PyArray_DESCR(x)
    cdef int k
    for k in range(cnp.PyArray_NDIM(x)):
        reach = (cnp.PyArray_DIM(x, k) - 1) * steps[k]
        if reach < 0:
            low -= reach
        else:
            high += reach
    size = (low + high) // item + 1
    memory = cnp.PyArray_EMPTY(1, &size, cnp.PyArray_TYPE(x), 0)
    Py_INCREF(descr)
    made = PyArray_NewFromDescr(
        cnp.ndarray, descr, cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), steps,
        cnp.PyArray_BYTES(memory) + low, cnp.NPY_ARRAY_WRITEABLE, None)
    cnp.set_array_base(made, memory)
    return made


# What is written in place may be seen elsewhere, or not: that depends on the layouts of arrays.
cdef long long _layouts_met = 0


cdef inline void _note_write() noexcept:
    global _layouts_met
    _layouts_met += 1


def layouts_met():
    """Count the writes, and whatever else depends on the layouts of arrays, up to now."""
    return _layouts_met


def note_layout():
    """Note that a value depends on the layout of an array."""
    _note_write()


def layout_of(cnp.ndarray x not None):
    """Return strides that say what a view of an array can be; None for C order."""
    cdef cnp.npy_intp steps[MAX_NDIM]
    cdef int k
    if cnp.PyArray_IS_C_CONTIGUOUS(x):
        return None
    if cnp.PyArray_NDIM(x) <= MAX_NDIM:
        _layout(x, steps)
    return tuple([steps[k] if cnp.PyArray_DIM(x, k) > 1 else 0
                  for k in range(cnp.PyArray_NDIM(x))])


cdef cnp.ndarray _copy_laid_out(cnp.ndarray x):
    """A copy in the same layout."""
    cdef cnp.npy_intp steps[MAX_NDIM]
    cdef cnp.ndarray made
    if _is_compact(x):
        return cnp.PyArray_NewCopy(x, cnp.NPY_KEEPORDER)
    _layout(x, steps)
    made = _new_with(x, steps)
    cnp.PyArray_CopyInto(made, x)
    return made


cdef cnp.ndarray _with_layout(cnp.ndarray x):
    """An array itself, or where its layout is another one, a copy that has it."""
    cdef cnp.npy_intp steps[MAX_NDIM]
    cdef cnp.ndarray made
    if _is_compact(x) or cnp.PyArray_NDIM(x) > MAX_NDIM or _layout(x, steps):
        return x
    made = _new_with(x, steps)
    cnp.PyArray_CopyInto(made, x)
    return made


cdef cnp.ndarray _laid_out(cnp.ndarray array, cnp.ndarray like):
    """An array in the layout of another one of its shape, as a write leaves it."""
    cdef cnp.npy_intp steps[MAX_NDIM]
    cdef cnp.ndarray made
    cdef int k
    if cnp.PyArray_IS_C_CONTIGUOUS(like) or cnp.PyArray_NDIM(like) > MAX_NDIM:
        if cnp.PyArray_IS_C_CONTIGUOUS(array):
            return array
        return cnp.PyArray_NewCopy(array, cnp.NPY_CORDER)
    if cnp.PyArray_IS_F_CONTIGUOUS(like):
        if cnp.PyArray_IS_F_CONTIGUOUS(array):
            return array
        return cnp.PyArray_NewCopy(array, cnp.NPY_FORTRANORDER)
    _layout(like, steps)
    for k in range(cnp.PyArray_NDIM(array)):
        if cnp.PyArray_DIM(array, k) > 1 and cnp.PyArray_STRIDE(array, k) != steps[k]:
            made = _new_with(array, steps)
            cnp.PyArray_CopyInto(made, array)
            return made
    return array


cdef bint _is_seen(Op op, cnp.ndarray out, Variable x) except -1:
    """Whether a result is the array of `x`, or part of its memory."""
    return shares(out, x.array) or (is_complex(x.node.typenum) and _is_part(op))


cdef int _see(Variable made, Variable x, Op maker) except -1:
    """Let a new Variable, made by `maker`, whose array is part of that of `x`, be a view."""
    cdef bint owns = x.view is None or x.view.filling is not None
    cdef Variable root = x if owns else x.view.root
    cdef View view
    if x._is_number():
        return 0        # NumPy's numbers have no memory: what is made of one is new
    if _with_layout(root.array) is not root.array:
        return 0        # only what an operation of several operands returns: then it is a copy
    view = View.__new__(View)
    view.root = root
    view.origin = root.array
    view.apart = root.view is not None
    if x.view is not None:
        view.refusal = x.view.refusal
        view.part = x.view.part
        view.ruled = x.view.ruled
    if maker.opaque and maker.info.get("ruled"):
        view.ruled = True
    if is_complex(x.node.typenum) and not is_complex(made.node.typenum):
        view.part = maker
    # Of an array that is read-only itself (that of a leaf, or one that is locked), only views that
    # repeat elements are.
    if view.refusal is None and not cnp.PyArray_ISWRITEABLE(made.array) and (
            cnp.PyArray_ISWRITEABLE(root.array) or _repeats(made.array)):
        view.refusal = maker.name
    made.view = view
    if not (made.node.flags | root.node.flags) & COLLECTABLE:
        PyObject_GC_UnTrack(<PyObject *> view)
    return 0


cdef bint _repeats(cnp.ndarray x) noexcept:
    cdef int k
    for k in range(cnp.PyArray_NDIM(x)):
        if cnp.PyArray_STRIDE(x, k) == 0 and cnp.PyArray_DIM(x, k) > 1:
            return cnp.PyArray_SIZE(x) > 0
    return False


cdef dict _place(Variable x):
    """Where the elements of a view are in its root, as `fastbp.rules.numpy.views` wants it."""
    if x.view.place is None:
        x.view.place = _place_in(x.array, x.view.origin, x.node.op)
    return x.view.place


cdef dict _place_in(cnp.ndarray array, cnp.ndarray root, Op maker):
    """Where the elements of an array are in one that it is a part of."""
    cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(root), low, high, start, stop, offset
    low, high = _bounds(root)
    start, stop = _bounds(array)
    offset = (<Py_ssize_t> cnp.PyArray_DATA(array) - low) // size
    if cnp.PyArray_SIZE(array) == 0:
        offset = 0
    elif start < low or stop > high:
        raise RuntimeError(f"{maker.name}: its result leaves the array that it is part of")
    return {
        "own": cnp.PyArray_NDIM(root),
        "layout": None if cnp.PyArray_IS_C_CONTIGUOUS(root) else _memory_of(root),
        "offset": offset,
        "shape": (<object> array).shape,
        "strides": _steps_of(array, size),
    }


cdef tuple _steps_of(cnp.ndarray x, Py_ssize_t size):
    """Strides in elements; 0 along axes of one element."""
    cdef int k
    return tuple([cnp.PyArray_STRIDE(x, k) // size if cnp.PyArray_DIM(x, k) > 1 else 0
                  for k in range(cnp.PyArray_NDIM(x))])


cdef tuple _memory_of(cnp.ndarray x):
    """Of how many elements the memory of an array is, where in it the first is, and the strides."""
    cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(x), low, high
    low, high = _bounds(x)
    return ((high - low) // size, (<Py_ssize_t> cnp.PyArray_DATA(x) - low) // size,
            _steps_of(x, size))


cdef int take_again(Variable x) except -1:
    """Bring a view up to date, if its root was written into."""
    cdef View view = x.view
    cdef Variable taken, root = view.root
    if view.apart and _is_up_to_date(view):
        return 0
    if view.ruled:
        raise ReadOnlyError(
            f"a result of shape {x.node.shape} of a function with a rule of its own is its argument"
            ", or a view of that, which was written into since: let the function return a copy")
    taken = hook("view_taken")(root, _place(x))
    if view.part is not None:
        taken = record(view.part, (taken,), {})
    if taken.node.flags & COLLECTABLE and not PyObject_GC_IsTracked(<PyObject *> x):
        PyObject_GC_Track(<PyObject *> x)
    if view.filling is not None:    # it stays apart: views of it know places in its own memory
        return _stand_apart(x, cnp.PyArray_NewCopy(taken.array, cnp.NPY_CORDER), taken.node, root,
                            view.place, Filling.__new__(Filling))
    if taken.view is None:      # no elements, hence no memory to share
        taken.view = View.__new__(View)
        taken.view.root, taken.view.origin = root, root.array
    taken.view.place, taken.view.refusal = _place(x), view.refusal
    taken.view.part = view.part
    x.array, x.node, x.view = taken.array, taken.node, taken.view
    return 0


cdef int _write_through(Variable x, Variable value, str name) except -1:
    """Put the new value of a view into its root."""
    cdef View view = x.view
    cdef Variable root = view.root
    if view.refusal is not None:
        raise ReadOnlyError(
            f"in-place {name}: the destination, of shape {x.node.shape}, is a read-only view made "
            f"by {view.refusal}; write into the array itself, or into a copy of the view")
    fresh(x)
    if view.part is not None:
        value = hook("with_part")(hook("view_taken")(root, _place(x)), value, view.part)
        root._become(hook("view_written")(root, value, _place(x)), name)
        return 0
    if _wait(root, _place(x), value):
        _stand_apart(x, value.array, value.node, root, _place(x), root.filling)
        return 0
    root._become(hook("view_written")(root, value, _place(x)), name)
    view.ruled = False      # it is in the root now
    return 0


cdef bint _is_own_place(Variable x, object index, Variable value):
    """Whether a view is just what ``x[index]`` is, as after ``x[index] += 1``."""
    cdef Variable root = x if x.view is None else x.view.root
    if value.view is None or value.view.root is not root or value.view.part is not None:
        return False
    place = _place_of_item(x, index)
    return place is not None and place == _place(value)


def handle(Variable x not None):
    """Return another handle on the value of `x`: writing into one does not change the other."""
    fresh(x)
    cdef Variable made = make_variable(x.array, x.node)
    made.cell = x.cell
    return made


def is_number(x):
    """Say whether a recorded value stands for a number of NumPy's, not for an array of no axes."""
    if type(x) is Passive:
        return (<Passive> x)._is_number()
    return type(x) is Variable and (<Variable> x)._is_number()


def as_cell(x):
    """Return a recorded value of no axes as an array, which writes in place change.

    A number is not changed: other names may be of it.
    """
    if not is_number(x):
        return x
    if type(x) is Passive:
        x = handle_of(x)
        (<Passive> x).cell = True
    else:
        x = handle(x)
        (<Variable> x).cell = True
    return x


def as_number(x):
    """Return a recorded value of no axes as one of NumPy's numbers, anything else as it is."""
    if type(x) is Variable and not (<Variable> x).node.shape and not is_fillable(x):
        x = handle(x)
        (<Variable> x).cell = False
    elif type(x) is Passive and not (<Passive> x).node.shape:
        x = handle_of(x)
    return x


def flags_of(Variable x not None):
    """Return the flags that NumPy's array would have."""
    _stand_in_memory(x)
    return _locked_view(x).flags


cdef int _stand_in_memory(Variable x) except -1:
    """Let the array of a Variable have the strides that NumPy's would have."""
    fresh(x)
    if x.view is not None and x.view.filling is not None and not _is_in_order(x.view.place):
        _into_memory(x)
    return 0


def owned(x, str order="C"):
    """Let a new Variable be no view: for a function of NumPy's that returns a copy. Return it."""
    if type(x) is Variable:
        fresh(<Variable> x)
        (<Variable> x).view = None
        in_order(x, order)
    return x


def in_order_of(x, y):
    """Let a new Variable, a copy, have its axes in the order in memory that those of `y` have."""
    cdef cnp.ndarray array = array_of(y)
    if type(x) is Variable and cnp.PyArray_NDIM((<Variable> x).array) == cnp.PyArray_NDIM(array):
        _rearrange(x, _in_order_of((<Variable> x).array, _steps_of(array, 1)))
    return x


def in_order(x, order):
    """Let a new Variable, a copy, have its elements in memory in order C or F. Return it.

    Any other order is the one that they have.
    """
    cdef cnp.ndarray array
    if type(x) is Variable:
        array = (<Variable> x).array
        if order == "C" and not cnp.PyArray_IS_C_CONTIGUOUS(array):
            _rearrange(x, cnp.PyArray_NewCopy(array, cnp.NPY_CORDER))
        elif order == "F" and not cnp.PyArray_IS_F_CONTIGUOUS(array):
            _rearrange(x, cnp.PyArray_NewCopy(array, cnp.NPY_FORTRANORDER))
    return x


cdef int _rearrange(Variable x, cnp.ndarray array) except -1:
    if array is not x.array:
        fresh(x)
        x.array, x.view = array, None
    return 0


def read_only(Variable x not None, str name):
    """Let writes into a new view be refused, as NumPy refuses them. Return it."""
    if x.view is not None:
        x.view.refusal = name
    return x
