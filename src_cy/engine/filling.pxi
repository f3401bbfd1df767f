# Filling: writes of recorded values into parts of an array wait, and are recorded as one operation
# when the array is read as a whole. So a loop that fills an array of n elements costs n, not n for
# each step, in time and in the memory of what rules keep. Included by graph.pyx.
#
# While writes wait, the root has an array of its own, which nobody else sees: values go there at
# once. What is read of a part that was written is the value that was written; it stands apart: a
# view of the root with memory of its own, which is out of date if its part is written again.


@cython.final
cdef class Filling:
    """The writes into a root that wait."""

    def __init__(self, *args):
        raise TypeError("a Filling is made by the recording")


cdef cnp.ndarray _part(cnp.ndarray memory, dict place):
    """The elements at a place, of an array with the elements of the root in the order of memory."""
    cdef tuple shape = place["shape"], strides = place["strides"]
    cdef int nd = len(shape), k
    cdef cnp.npy_intp dims[MAX_NDIM], steps[MAX_NDIM]
    cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(memory)
    cdef cnp.ndarray made
    cdef cnp.dtype descr = <cnp.dtype> cnp.PyArray_DESCR(memory)
    for k in range(nd):
        dims[k] = shape[k]
        steps[k] = <Py_ssize_t> strides[k] * size
    Py_INCREF(descr)
    made = PyArray_NewFromDescr(
        cnp.ndarray, descr, nd, dims, steps,
        <char *> cnp.PyArray_DATA(memory) + <Py_ssize_t> place["offset"] * size,
        cnp.NPY_ARRAY_WRITEABLE, None)
    cnp.set_array_base(made, memory)
    return made


cdef dict _place_of_item(Variable x, object index):
    """Where ``x[index]`` is in the root of `x`; None for an index that is not a basic one."""
    cdef cnp.ndarray array, found
    cdef Variable root = x if x.view is None else x.view.root
    cdef tuple items = index if type(index) is tuple else (index,)
    cdef bint whole = False
    for item in items:
        if item is Ellipsis:
            whole = True
        elif item is not None and type(item) is not int and type(item) is not slice:
            return None
    if root.view is not None or not _begins_first(root):
        return None
    if x.view is None:
        array = x.array
    elif x.view.filling is not None:
        array = _part(root.array, x.view.place)
    else:
        fresh(x)
        if not shares(x.array, root.array):
            return None
        array = x.array
    found = (<object> array)[items if whole else (*items, Ellipsis)]
    if cnp.PyArray_SIZE(found) == 0:
        return None
    return _place_in(found, root.array, x.node.op)


cdef bint _wait(Variable root, dict place, object value) except -1:
    """Write a value of the shape of a place into a root, to be recorded later, if it can wait."""
    cdef Filling f = root.filling
    cdef cnp.ndarray array, region
    cdef int k
    _note_write()
    if root.view is not None or 0 in place["shape"] or not _begins_first(root):
        return False
    value = unfilled(value)
    if type(value) is Variable:
        if (<Variable> value).node.flags & COLLECTABLE:
            return False
        value = make_variable((<Variable> value).array, (<Variable> value).node)
        if not cnp.PyArray_IS_C_CONTIGUOUS((<Variable> value).array):
            (<Variable> value).array = cnp.PyArray_NewCopy(
                (<Variable> value).array, cnp.NPY_CORDER)
        array = (<Variable> value).array
    elif f is None and root.node.fillable:
        return False
    else:
        array = value = np.array(value, (<object> root.array).dtype, order="C")
    if f is not None:
        region = _part(_owners(f, root.array), place)
        k = _sole_owner(region)
        if k < 0 or (k > 0 and cnp.PyArray_SIZE(region) < cnp.PyArray_SIZE(_array_of(f, k))):
            settle(root)
            f = None
    if f is None:
        if root.node.flags & COLLECTABLE:
            return False
        if not is_ours(<PyObject *> root.array):
            root.array = _copy_laid_out(root.array)
        f = root.filling = Filling.__new__(Filling)
        f.base, f.places, f.pieces, f.written, f.last = root.node, [], [], [], 0
        k = 0
    f.last += 1
    if k > 0:       # all of an earlier piece
        f.places[k - 1], f.pieces[k - 1], f.written[k - 1] = place, value, f.last
    else:
        f.places.append(place)
        f.pieces.append(value)
        f.written.append(f.last)
        if f.owner is not None:
            (<object> _part(f.owner, place))[...] = len(f.places)
    (<object> _part(root.array, place))[...] = array
    return True


cdef cnp.ndarray _array_of(Filling f, Py_ssize_t k):
    piece = f.pieces[k - 1]
    return (<Variable> piece).array if type(piece) is Variable else piece


cdef cnp.ndarray _owners(Filling f, cnp.ndarray array):
    """For each element in memory the number of its piece, or 0: from the second write on."""
    if f.owner is None:
        low, high = _bounds(array)
        f.owner = np.zeros((high - low) // cnp.PyArray_ITEMSIZE(array), np.int32)
        for k, place in enumerate(f.places):
            (<object> _part(f.owner, place))[...] = k + 1
    return f.owner


cdef int _sole_owner(cnp.ndarray region) except -2:
    """The number in all elements of a region, or -1."""
    cdef object it
    cdef int k
    if cnp.PyArray_SIZE(region) == 1:
        return (<int *> cnp.PyArray_DATA(region))[0]
    it = cnp.PyArray_IterNew(region)
    k = (<int *> cnp.PyArray_ITER_DATA(it))[0]
    while cnp.PyArray_ITER_NOTDONE(it):
        if (<int *> cnp.PyArray_ITER_DATA(it))[0] != k:
            return -1
        cnp.PyArray_ITER_NEXT(it)
    return k


cdef object _read_waiting(Variable root, object index):
    """What ``root[index]`` is while writes wait, without recording them; None if it needs them."""
    cdef Filling f = root.filling
    cdef dict place = _place_of_item(root, index), inner
    cdef Variable taken
    cdef cnp.ndarray array
    cdef int k
    if place is None:
        return None
    k = _sole_owner(_part(_owners(f, root.array), place))
    if k < 0:
        return None
    piece, inner = make_variable(root.array, f.base), place
    if k > 0:
        piece, inner = f.pieces[k - 1], None
        if place != f.places[k - 1]:
            inner = hook("place_within")(place, f.places[k - 1])
            if inner is None:
                return None
    if type(piece) is Variable and not (<Variable> piece).node.fillable:
        taken = piece if inner is None else hook("view_taken")(piece, inner)
        array = taken.array
        if k == 0:
            array = cnp.PyArray_NewCopy(array, cnp.NPY_CORDER)
        taken = make_variable(array, taken.node)
    else:
        array = cnp.PyArray_NewCopy(_part(root.array, place), cnp.NPY_CORDER)
        taken = _fillable(array)
    if not place["shape"] and not _keeps_axes(index):
        return array[()] if taken.node.fillable else taken
    _stand_apart(taken, array, taken.node, root, place, root.filling)
    return taken


cdef bint _keeps_axes(object index) noexcept:
    """Whether an index gives an array, where NumPy gives a number otherwise."""
    return index is Ellipsis or (type(index) is tuple and Ellipsis in index)


cdef int _stand_apart(
    Variable x, cnp.ndarray array, Node node, Variable root, dict place, Filling f
) except -1:
    """Let a Variable be the view of a root at a place, with memory of its own.

    `f` are the writes that wait, or an empty one if there are none.
    """
    cdef View view = View.__new__(View)
    view.root, view.origin, view.place = root, root.array, place
    view.apart, view.filling, view.seen = True, f, f.last
    x.array, x.node, x.view = _in_order_of(array, place["strides"]), node, view
    PyObject_GC_UnTrack(<PyObject *> view)
    return 0


cdef cnp.ndarray _in_order_of(cnp.ndarray array, tuple strides):
    """An array without gaps, its axes in the order that these strides have, as NumPy copies."""
    cdef cnp.npy_intp steps[MAX_NDIM]
    cdef int axes[MAX_NDIM]
    cdef int k, j, n = 0
    cdef Py_ssize_t step
    cdef cnp.ndarray made
    if cnp.PyArray_NDIM(array) > 1:
        for k in range(cnp.PyArray_NDIM(array) - 1, -1, -1):
            j = n
            if cnp.PyArray_DIM(array, k) > 1:
                while j and abs(<Py_ssize_t> strides[axes[j - 1]]) > abs(<Py_ssize_t> strides[k]):
                    axes[j] = axes[j - 1]
                    j -= 1
                axes[j] = k
                n += 1
        for k in range(1, n):
            if axes[k] > axes[k - 1]:       # not C order
                step = cnp.PyArray_ITEMSIZE(array)
                for j in range(cnp.PyArray_NDIM(array)):
                    steps[j] = step
                for j in range(n):
                    steps[axes[j]] = step
                    step *= cnp.PyArray_DIM(array, axes[j])
                made = _new_with(array, steps)
                cnp.PyArray_CopyInto(made, array)
                return made
    if cnp.PyArray_IS_C_CONTIGUOUS(array):
        return array
    return cnp.PyArray_NewCopy(array, cnp.NPY_CORDER)


cdef bint _begins_first(Variable root) except -1:
    """Whether the elements of a root come after its first one in memory; it gets its layout."""
    cdef int k
    if _is_compact(root.array):
        return True
    for k in range(cnp.PyArray_NDIM(root.array)):
        if cnp.PyArray_STRIDE(root.array, k) < 0:
            return False
    root.array = _with_layout(root.array)
    return True


cdef bint _is_in_order(dict place) noexcept:
    """Whether the elements at a place are one after the other in memory, in C order."""
    cdef Py_ssize_t expected = 1, k
    cdef tuple shape = place["shape"], strides = place["strides"]
    for k in range(len(shape) - 1, -1, -1):
        if shape[k] > 1 and strides[k] != expected:
            return False
        expected *= <Py_ssize_t> shape[k]
    return True


cdef int _into_memory(Variable x) except -1:
    """Let a view that stands apart be a part of the root's memory again.

    On the order of its elements there depends of what a view can be made.
    """
    cdef View view = x.view
    cdef Variable taken = hook("view_taken")(view.root, view.place)
    taken.view.place, taken.view.refusal = view.place, view.refusal
    x.array, x.node, x.view = taken.array, taken.node, taken.view
    return 0


cdef bint _is_up_to_date(View view) except -1:
    """Whether what a view shows is still so: one that stands apart, or a view of such a one."""
    cdef Variable root = view.root
    cdef Filling f = view.filling
    cdef Py_ssize_t k
    cdef cnp.ndarray region
    if f is None:
        fresh(root)
        return root.array is view.origin
    if root.array is not view.origin or (root.filling is not None and root.filling is not f):
        return False
    if f.last == view.seen:
        return True
    if root.filling is None:
        return False
    region = _part(_owners(f, root.array), view.place)
    it = cnp.PyArray_IterNew(region)
    while cnp.PyArray_ITER_NOTDONE(it):
        k = (<int *> cnp.PyArray_ITER_DATA(it))[0]
        if k and <Py_ssize_t> f.written[k - 1] > view.seen:
            return False
        cnp.PyArray_ITER_NEXT(it)
    view.seen = f.last
    return True


cdef int settle(Variable root) except -1:
    """Record the writes that wait."""
    cdef Filling f = root.filling
    cdef dict place = f.places[0]
    cdef list parents = [None if f.base.fillable else f.base], saved = []
    cdef Node node = new_node(<Op> hook("write_view"), root.array, root.node.shape)
    cdef int flags = f.base.flags
    for piece in f.pieces:
        moves = type(piece) is Variable and not (<Variable> piece).node.fillable
        parents.append((<Variable> piece).node if moves else None)
        if moves:
            flags |= (<Variable> piece).node.flags
    flags &= KEEPS
    # What is written over does not matter, so the array as it is serves as the one before.
    if flags and not _is_again(f.base):
        saved.append(np.array(root.array))
    else:
        saved.append(spec_of(root.array) if f.base.fillable else None)
    for piece, parent in zip(f.pieces, parents[1:]):
        if flags and not _is_kept(piece):
            saved.append(array_of(piece))
        else:
            saved.append(None if parent is not None else spec_of(array_of(piece)))
    node.parents, node.saved = tuple(parents), tuple(saved)
    node.static = {
        "own": place["own"],
        "layout": place["layout"],
        "places": tuple([(p["offset"], p["shape"], p["strides"]) for p in f.places]),
    }
    finish(node, flags)
    root.filling, root.node = None, node
    return 0


cdef int _check_parts(Variable root, dtype) except -1:
    """Raise if a complex value is assigned to elements of an array of real numbers."""
    if dtype.kind == "c" and not is_complex(root.node.typenum):
        raise DTypeError(
            f"setitem: a value of {dtype} for an array of {root.dtype} would lose its imaginary "
            "part: begin with x = x.astype(complex), or assign value.real")
    return 0


cdef bint _set_item(Variable x, object index, object value) except -1:
    """Write into a basic index if that can wait; say whether it did."""
    cdef Variable root = x if x.view is None else x.view.root
    cdef dict place
    if x.view is not None and (x.view.refusal is not None or x.view.part is not None):
        return False
    place = _place_of_item(x, index)
    if place is None:
        return False
    value = unfilled(hook("fitted")(value, place["shape"]))
    if type(value) is not Variable:
        value = as_numbers(value, "setitem: the value")
        _check_parts(root, value.dtype)
    elif (<Variable> value).node.typenum != root.node.typenum:
        _check_parts(root, value.dtype)
        value = hook("astype")(value, root.dtype)
    return _wait(root, place, value)
