"""Operands that are not Variables, brought to arrays.

The one place where it is decided what may stand for an array of numbers: operands and arguments,
tangents, cotangents, constants and what rules return all come through here.
"""

from cpython.float cimport PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact

cimport numpy as cnp

import numbers
from collections.abc import AsyncGenerator, Coroutine, Generator

import numpy as np

from fastbp.errors import DTypeError, NoRuleError, ShapeError

cnp.import_array()

# What a subclass of ndarray overrides if its operators mean something else.
cdef tuple ARITHMETIC = ("__mul__", "__array_ufunc__", "__array_function__")
cdef set _accepted = set()


def accept(kind):
    """Let arrays of a subclass of ndarray stand for their numbers, whatever its operators do.

    Its author says so: they compute what ndarray's do, and only keep the class.
    """
    _accepted.add(kind)


def as_array(x, str what="an operand"):
    """Return an operand as an ndarray (of no subclass); refuse what an array would not stand for.

    Parameters
    ----------
    x : array_like
    what : str
        For messages: function and argument.

    Raises
    ------
    DTypeError
        If `x`, or an item of a list, is an array with an arithmetic of its own (a masked array,
        numpy.matrix, a quantity with a unit), or a Variable.
    ShapeError
        If a list is ragged.
    """
    if cnp.PyArray_CheckExact(x):
        return x
    _check_arithmetic(x, what)
    try:
        return np.asarray(x)
    except NoRuleError:
        if not isinstance(x, (list, tuple)):
            raise
        raise DTypeError(f"{what}: a list of Variables is not an array: use numpy.stack or "
                         "fastbp.numpy.array") from None
    except ValueError as error:
        raise ShapeError(f"{what} is not a rectangular array ({error})") from None


def as_numbers(x, str what="an operand", bint real=False):
    """Return an operand as an array of numbers or booleans; errors as for `as_array`.

    With `real`, complex ones are refused.
    """
    array = as_array(x, what)
    if array.dtype.kind not in ("fiub" if real else "fiubc"):
        raise DTypeError(f"{what} has dtype {array.dtype} ({type(x).__name__}), "
                         f"{'real ' if real else ''}numbers are needed"
                         f"{_instead(x, array.dtype)}")
    return array


cdef object _instead(x, dtype):
    """What to write in place of an operand that is no array of real numbers."""
    if dtype.kind == "c":
        return ": keep real and imaginary parts in arrays of their own"
    if isinstance(x, numbers.Number):
        return ": write float(x)"
    if dtype.kind == "O" and isinstance(x, np.ndarray):
        return ": write x.astype(float)"
    if hasattr(type(x), "to_numpy"):
        return ": convert the table, by x.astype(float)"
    if type(x).__module__.startswith("scipy.sparse"):
        return ": a sparse matrix stands beside @, *, + and -; write matrix.toarray() elsewhere"
    if isinstance(x, (Coroutine, AsyncGenerator)):
        return ": nothing of an async function has run: write it with def, or await it outside"
    if isinstance(x, Generator):
        return ": nothing of a generator has run: write return in place of yield, or list(...)"
    return ""


cdef int _check_arithmetic(x, str what) except -1:
    """Refuse an array, alone or in a list, whose operators mean something else than ndarray's."""
    if isinstance(x, (list, tuple)):
        for item in x:
            if not PyFloat_CheckExact(item) and not PyLong_CheckExact(item):
                _check_arithmetic(item, what)
        return 0
    if not cnp.PyArray_Check(x) or cnp.PyArray_CheckExact(x):
        return 0
    kind = type(x)
    if kind in _accepted:
        return 0
    if isinstance(x, np.ma.MaskedArray):
        raise DTypeError(f"{what} is a masked array, whose mask would be lost: "
                         "pass x.filled(...), or choose with numpy.where(mask, ...)")
    if isinstance(x, np.matrix):
        raise DTypeError(f"{what} is a numpy.matrix, whose * and shapes are not an array's: "
                         "pass numpy.asarray(x), and write @ for products of matrices")
    for name in ARITHMETIC:
        if getattr(kind, name) is not getattr(np.ndarray, name):
            raise DTypeError(f"{what} is a {kind.__name__}, an array with an arithmetic of its "
                             "own, which would be lost: pass numpy.asarray(x)")
    return 0
