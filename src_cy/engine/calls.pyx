"""Gradients of one array or number, from the call of the function to the result, without Python.

What every transform does (`fastbp.recording`, `fastbp.transforms`) for the arguments that most
calls have. Whatever is unusual is left to these: containers and settings among the arguments,
results that are no scalars, results that depend on Variables from outside.
"""

from cpython.float cimport PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_New, PyTuple_SET_ITEM

cimport numpy as cnp
from fastbp._core.constants cimport last_lock
from fastbp._core.elementwise cimport is_plain
from fastbp._core.graph cimport Variable, call_recorded, fresh, hook, make_variable, new_leaf
from fastbp._core.sweep cimport sweep_back
from fastbp._core.tape cimport Tape, collect

from fastbp._core.tape import ConsumedError

cnp.import_array()


cdef cnp.ndarray _plain_argument(object x):
    """An argument that is differentiated as it is; None for any other."""
    cdef cnp.ndarray array
    if cnp.PyArray_CheckExact(x) and is_plain(x) and not cnp.PyArray_ISCOMPLEX(x):
        return x
    if PyFloat_CheckExact(x):
        array = cnp.PyArray_EMPTY(0, NULL, cnp.NPY_DOUBLE, 0)
        (<double *> cnp.PyArray_DATA(array))[0] = x
        return array
    return None


cdef tuple _replaced(tuple args, Py_ssize_t position, object x):
    cdef Py_ssize_t k
    cdef tuple result = PyTuple_New(len(args))
    cdef object item
    for k in range(len(args)):
        item = x if k == position else <object> PyTuple_GET_ITEM(args, k)
        Py_INCREF(item)
        PyTuple_SET_ITEM(result, k, item)
    return result


cdef object _called(f, tuple args, dict kwargs, Py_ssize_t position, Variable leaf):
    """Call a function with a handle on the leaf in the place of an argument."""
    cdef Variable given = make_variable(leaf.array, leaf.node)
    cdef tuple call = _replaced(args, position, given)
    given.cell = cnp.PyArray_CheckExact(args[position])
    cdef long long since = last_lock()
    try:
        return call_recorded(f, call, kwargs)
    except BaseException as error:
        hook("failed_call")(error, [position], args, since)
        raise


cdef bint _is_scalar(object y) except -1:
    if type(y) is not Variable:
        return False
    fresh(<Variable> y)
    return (cnp.PyArray_SIZE((<Variable> y).array) == 1
            and not cnp.PyArray_ISCOMPLEX((<Variable> y).array)
            and not (<Variable> y).node.fillable)


cdef tuple _value_and_gradient(str name, f, argnums, bint has_aux, bint single, option,
                               tuple args, dict kwargs, bint consume):
    cdef Variable leaf, y
    cdef cnp.ndarray x = None
    cdef Py_ssize_t position = -1
    cdef Tape tape
    if single and not has_aux and PyLong_CheckExact(argnums):
        position = argnums
        if 0 <= position < len(args):
            x = _plain_argument(<object> PyTuple_GET_ITEM(args, position))
    if x is None:
        return hook("value_and_gradient")(
            name, f, argnums, has_aux, single, option, *args, **kwargs)
    leaf = new_leaf(x)
    result = _called(f, args, kwargs, position, leaf)
    if _is_scalar(result):
        y = result
        tape = collect([y], [leaf], False)
        if not tape.outer and <Py_ssize_t> tape.input_positions[0] >= 0:
            value = y.array.copy() if cnp.PyArray_NDIM(y.array) else y.array[()]
            result = y = None       # a consuming sweep frees what nobody else holds
            try:
                g = sweep_back(tape, [None], consume)[0]
            except ConsumedError:   # a large record, freed on the way, is needed again
                return _value_and_gradient(
                    name, f, argnums, has_aux, single, option, args, kwargs, False)
            return value, g if cnp.PyArray_CheckExact(args[position]) else g[()]
        y = tape = None
    return hook("finish_gradient")(
        name, f, args, kwargs, position, option, leaf, result, consume)


def value_and_gradient(str name, f, argnums, has_aux, single, option, /, *args, **kwargs):
    """Return the value of ``f(*args, **kwargs)`` and its gradient; see `fastbp.value_and_grad`."""
    return _value_and_gradient(name, f, argnums, has_aux, single, option, args, kwargs, True)


def gradient(str name, f, argnums, has_aux, single, option, /, *args, **kwargs):
    """Return the gradient of ``f(*args, **kwargs)`` alone."""
    return _value_and_gradient(name, f, argnums, has_aux, single, option, args, kwargs, True)[1]


def gradients(ys, xs):
    """Return the gradients of a scalar by a Variable, or by a list of them.

    None if that is not what the arguments are, or if the scalar does not depend on one of them.
    """
    cdef list inputs, found
    cdef Tape tape
    if not _is_scalar(ys):
        return None
    inputs = [xs] if type(xs) is Variable else xs if type(xs) is list else None
    if inputs is None:
        return None
    for x in inputs:
        if type(x) is not Variable:
            return None
    tape = collect([ys], inputs, False)
    for position in tape.input_positions:
        if <Py_ssize_t> position < 0:
            return None
    found = sweep_back(tape, [None], False)
    return found[0] if type(xs) is Variable else found
