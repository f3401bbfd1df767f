# Promotion: the operands of an operation in the one dtype that NumPy gives them. All operands of an
# elementwise operation are promoted, and those that another row names (`promotes`); functions of
# the table that are made of rows with other names call `promoted`. Included by graph.pyx.


cdef cnp.ndarray _constant(str name, Py_ssize_t i, object x):
    """An operand that is not a Variable, as an array of numbers.

    Integers and booleans are fine here.
    """
    if cnp.PyArray_CheckExact(x) and x.dtype.kind in "fiubc":
        return x
    return as_numbers(x, f"{name}: operand {i}")


cdef inline bint _is_number(object x) noexcept:
    """Whether it is one of Python's numbers, which are weak: an array's dtype prevails."""
    return PyFloat_CheckExact(x) or PyLong_CheckExact(x) or PyComplex_CheckExact(x)


cdef enum:
    ALL_OPERANDS = 0x7fffffff


cdef inline bint _is_named(unsigned int which, Py_ssize_t k) noexcept:
    return which >> <unsigned int> min(k, 30) & 1


cdef bint _in_one_dtype(tuple operands, unsigned int which):
    """Whether those of a bit mask are Variables and plain arrays of one dtype."""
    cdef int typenum = -1
    cdef Py_ssize_t k
    cdef object x
    for k in range(len(operands)):
        if not _is_named(which, k):
            continue
        x = operands[k]
        if type(x) is Variable:
            x = (<Variable> x).array
        elif not (cnp.PyArray_CheckExact(x) and is_plain(x)):
            return False
        if typenum < 0:
            typenum = cnp.PyArray_TYPE(x)
        elif cnp.PyArray_TYPE(x) != typenum:
            return False
    return True


cdef object _value_of(str name, Py_ssize_t i, object x):
    """What of an operand decides on the dtype: an array, or a number of Python's."""
    if type(x) is Variable:
        fresh(<Variable> x)
        return (<Variable> x).array
    if type(x) is Passive:
        current(<Passive> x)
        return (<Passive> x).array
    return x if _is_number(x) else _constant(name, i, x)


cdef object _common_dtype(list values):
    """The dtype to which NumPy promotes arrays and Python's numbers."""
    cdef int typenum = -1, own
    for x in values:
        own = cnp.PyArray_TYPE(x) if cnp.PyArray_CheckExact(x) else -1
        if slot_of(own) < 0:
            return np.result_type(*values)
        typenum = own if typenum < 0 else promoted_of(typenum, own)
    return dtype_of(typenum)


cdef int _check_common(str name, object dtype, list values) except -1:
    if not _is_differentiable(dtype):
        text = ", ".join(map(_dtype_name, values))
        raise DTypeError(f"{name}: operands of {text} give {dtype}; {_NAMES} can be differentiated"
                         f"{conversion(dtype)}")
    return 0


def _dtype_name(x):
    return str(x.dtype) if isinstance(x, np.ndarray) else type(x).__name__


cdef object _in_dtype(object x, object value, cnp.dtype dtype):
    """An operand in a dtype: a Variable by a recorded cast."""
    if type(x) is Variable:
        if cnp.PyArray_TYPE((<Variable> x).array) == dtype.type_num:
            return x
        return hook("astype")(x, dtype)
    if type(x) is Passive:
        return entered(<Passive> x, dtype)
    return cnp.PyArray_FROM_OTF(
        value, dtype.type_num,
        cnp.NPY_ARRAY_ALIGNED | cnp.NPY_ARRAY_NOTSWAPPED | cnp.NPY_ARRAY_FORCECAST)


cdef tuple _promoted(str name, tuple operands, unsigned int which):
    """Operands, of which those of a bit mask are now Variables and plain arrays of one dtype."""
    cdef list values = []
    cdef object x, dtype
    cdef Py_ssize_t k
    for k, x in enumerate(operands):
        if _is_named(which, k):
            values.append(_value_of(name, k, x))
    dtype = _common_dtype(values)
    _check_common(name, dtype, values)
    values = values[::-1]
    return tuple([
        _in_dtype(x, values.pop(), dtype) if _is_named(which, k) else x
        for k, x in enumerate(operands)
    ])


def promoted(str name, *operands):
    """Return operands in the one dtype to which NumPy promotes them; it must have derivatives.

    Parameters
    ----------
    name : str
        The function as the user wrote it, for messages.
    *operands : array_like or Variable
        A number of Python's is an array, as for all functions of NumPy's that are no ufuncs.

    Returns
    -------
    tuple of ndarray or Variable

    Raises
    ------
    DTypeError
        If an operand is no array of numbers, or the dtype has no derivatives.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp._core.graph import promoted
    >>> promoted("dot", np.ones(2, np.float32), [1, 2])
    (array([1., 1.]), array([1., 2.]))
    """
    if _in_one_dtype(operands, ALL_OPERANDS):
        return operands
    return _promoted(
        name, tuple([np.asarray(x) if _is_number(x) else x for x in _joined(operands)]),
        ALL_OPERANDS)


cdef object _call_converted(Op op, tuple operands):
    """Call an elementwise operation again, with operands of one dtype."""
    cdef list values = []
    cdef bint tracked = False, passives = False
    cdef object x, dtype
    for i, x in enumerate(operands):
        if type(x) is Expr:
            # A partial derivative that uses this operation is being traced.
            if op.kernel is None and op.ufunc is None:
                return op.forward(*operands)
            return x.trace.call(op.kernel or op.ufunc, *operands)
        if (type(x) is list or type(x) is tuple) and has_variable(x):
            return call_elementwise(op, _joined(operands))
        tracked = tracked or type(x) is Variable
        passives = passives or type(x) is Passive
        values.append(_value_of(op.title, i, x))
    dtype = _common_dtype(values)
    if passives and not tracked:
        return _passive_call(op, operands, {})
    if not tracked:
        if dtype.kind == "c" and op.on_complex is not True:
            return _call_on_complex(op, operands)
        return op.forward(*operands)
    _check_common(op.title, dtype, values)
    if dtype.kind == "c" and op.on_complex is not True:
        return _call_on_complex(op, operands)
    return call_elementwise(op, tuple([
        x if _is_number(x) else _in_dtype(x, value, dtype) for x, value in zip(operands, values)
    ]))


cdef object _call_on_complex(Op op, tuple operands):
    """Do what an operation does instead where an operand is complex; refuse it if that is nothing.
    """
    if type(op.forward) is np.ufunc and not has_variable(list(operands)):
        return op.forward(*operands)
    if op.on_complex is None:
        kinds = ", ".join([_dtype_name(values_of(x)) for x in operands])
        raise DTypeError(
            f"{op.title}: operands of {kinds}: it is differentiated in real numbers only; "
            "write it with real and imaginary parts, x.real and x.imag")
    return op.on_complex(*operands)
