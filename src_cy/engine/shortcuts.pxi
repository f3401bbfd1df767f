# What is recorded without a rule of Python's on the path: sums of everything, elements and basic
# indices. Included by graph.pyx. Anything unusual is left to the row's own function.

cdef list _element_static = [{"index": (Ellipsis, i)} for i in range(64)]
cdef tuple _full = tuple([(slice(None),) * nd for nd in range(MAX_NDIM + 1)])
cdef list _total_static = [
    {"axis": tuple(range(-nd, 0)), "keepdims": False} for nd in range(MAX_NDIM + 1)]


@cython.final
cdef class Total:
    """A function of an array that is recorded at once where it takes all elements of a Variable.

    Parameters
    ----------
    function : callable
        What is called with any other arguments.
    op : Op
        With ``axis``, ``keepdims`` and, if `counts`, the number of elements ``n`` as static.
    """
    cdef readonly object __wrapped__
    cdef Op op
    cdef bint counts
    cdef dict __dict__

    def __init__(self, function, Op op, bint counts=False):
        self.__wrapped__, self.op, self.counts = function, op, counts
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(self, name, getattr(function, name))

    def __call__(self, *args, **kwargs):
        cdef Variable x, made
        cdef dict static
        cdef int nd
        if len(args) == 1 and not kwargs and type(args[0]) is Variable:
            x = args[0]
            fresh(x)
            nd = cnp.PyArray_NDIM(x.array)
            if not x.node.fillable and nd <= MAX_NDIM:
                static = _total_static[nd]
                if self.counts:
                    static = {**static, "n": cnp.PyArray_SIZE(x.array)}
                made = record_total(self.op, x, static)
                if made is not None:
                    return made
        return self.__wrapped__(*args, **kwargs)

    def __get__(self, instance, owner):
        return self if instance is None else PyMethod_New(self, instance)

    def __reduce__(self):
        return self.__qualname__

    def __repr__(self):
        return repr(self.__wrapped__)


cdef Variable record_total(Op op, Variable x, dict static):
    """Record an operation whose value is the sum of all elements, or their mean."""
    cdef cnp.ndarray out = total_of(x.array)
    cdef Node node
    if out is None:
        return None
    n = static.get("n")
    if n is not None:
        out = cnp.PyArray_FROM_O(out / n)
    node = new_node(op, out, ())
    node.a = x.node
    node.static = static
    finish(node, x.node.flags & INHERITED)
    return make_variable(out, node)


cdef Variable _element(Variable x, Py_ssize_t i):
    """``x[i]`` of one axis: as in NumPy a number, no view; None: there is none."""
    cdef cnp.ndarray array = x.array, out
    cdef Py_ssize_t n = cnp.PyArray_DIM(array, 0), at = i + n if i < 0 else i
    cdef Node node
    if not 0 <= at < n:
        return None
    out = cnp.PyArray_EMPTY(0, NULL, cnp.PyArray_TYPE(array), 0)
    memcpy(cnp.PyArray_DATA(out), cnp.PyArray_BYTES(array) + at * cnp.PyArray_STRIDE(array, 0),
           cnp.PyArray_ITEMSIZE(array))
    node = new_node(<Op> _hooks["getitem_op"], out, ())
    node.a = x.node
    node.static = <dict> _element_static[at] if at < 64 else {"index": (Ellipsis, at)}
    finish(node, x.node.flags & INHERITED)
    return make_variable(out, node)


cdef Variable _item(Variable x, object index):
    """``x[index]`` of integers and slices; None for anything else, and for what will raise."""
    cdef int nd, named = 1
    cdef tuple whole
    cdef Variable made
    cdef object item
    fresh(x)
    nd = cnp.PyArray_NDIM(x.array)
    if x.node.fillable or nd == 0 or nd > MAX_NDIM:
        return None
    if PyLong_CheckExact(index):
        if nd == 1:
            return _element(x, index)
        whole = (Ellipsis, index)
    elif type(index) is slice:
        whole = (Ellipsis, index)
    elif type(index) is tuple:
        named = len(<tuple> index)
        if not 0 < named <= nd:
            return None
        for item in <tuple> index:
            if not (PyLong_CheckExact(item) or type(item) is slice):
                return None
        whole = (Ellipsis,) + <tuple> index
    else:
        return None
    if named < nd:
        whole = whole + <tuple> _full[nd - named]
    made = _record_unary(<Op> _hooks["getitem_op"], x, {"index": whole})
    if cnp.PyArray_NDIM(made.array) == 0:
        made.view = None
    return made
