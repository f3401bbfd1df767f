"""Constant operands that a rule will read: kept as they were when they were used.

A sweep reads a constant long after its operation has run, and the program may have written into it
since: a work buffer that a loop uses again. Small arrays are copied. Large ones are locked: they,
and the arrays that they are views of, are read-only while a record holds them, so that a write
raises where it stands. The record holds a view whose base is the `Lock`: when the last one dies,
the flags are as they were.

A view of the same memory that was made before keeps its own flag, which NumPy gives no way to find.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.string cimport memcpy

cimport numpy as cnp

cnp.import_array()

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident()

cdef extern from "numpy/arrayobject.h":
    object PyArray_NewFromDescr(type subtype, cnp.dtype descr, int nd, cnp.npy_intp *dims,
                                cnp.npy_intp *strides, void *data, int flags, object obj)

cdef enum:
    COPIED = 4096               # bytes: arrays up to here are copied

cdef dict _locks = {}           # id of an array -> address of the Lock on it
cdef dict _counts = {}          # id of an array -> how many Locks hold it read-only
cdef long long _last_number = 0


@cython.final
@cython.no_gc
cdef class Lock:
    """Keeps an array and those that it is a view of read-only while it lives."""
    cdef cnp.ndarray array
    cdef list held              # those whose flag is cleared, or was by an earlier Lock
    cdef long long number
    cdef unsigned long thread

    def __init__(self, *args):
        raise TypeError("a Lock is made by the recording")

    def __dealloc__(self):
        if self.held is not None:
            _lift(self)


cdef Lock _lock(cnp.ndarray array):
    global _last_number
    cdef Lock lock = Lock.__new__(Lock)
    cdef PyObject *x = <PyObject *> array
    cdef cnp.ndarray part
    _last_number += 1
    lock.number = _last_number
    lock.thread = PyThread_get_thread_ident()
    lock.array = array
    lock.held = []
    while x != NULL and cnp.PyArray_Check(<object> x):
        part = <cnp.ndarray> x
        key = <size_t> x
        count = _counts.get(key)
        if count is not None or cnp.PyArray_ISWRITEABLE(part):
            lock.held.append(part)
            _counts[key] = 1 if count is None else count + 1
            cnp.PyArray_CLEARFLAGS(part, cnp.NPY_ARRAY_WRITEABLE)
        x = cnp.PyArray_BASE(part)
    _locks[<size_t> <PyObject *> array] = <size_t> <PyObject *> lock
    return lock


cdef int _lift(Lock lock) except -1:
    cdef cnp.ndarray part
    cdef list held = lock.held
    lock.held = None
    key = <size_t> <PyObject *> lock.array
    if _locks.get(key) == <size_t> <PyObject *> lock:
        del _locks[key]
    for part in held:
        key = <size_t> <PyObject *> part
        count = _counts[key]
        if count > 1:
            _counts[key] = count - 1
        else:
            del _counts[key]
            cnp.PyArray_ENABLEFLAGS(part, cnp.NPY_ARRAY_WRITEABLE)
    return 0


cdef bint _is_fixed(cnp.ndarray array):
    """Whether nobody can write into an array's memory, not just while it is locked."""
    cdef PyObject *x = <PyObject *> array
    while x != NULL:
        if (not cnp.PyArray_Check(<object> x) or cnp.PyArray_ISWRITEABLE(<cnp.ndarray> x)
                or <size_t> x in _counts):
            return False
        x = cnp.PyArray_BASE(<cnp.ndarray> x)
    return True


cdef cnp.ndarray kept(cnp.ndarray x):
    cdef cnp.ndarray result
    cdef cnp.dtype descr
    cdef Lock lock
    if not cnp.PyArray_ISWRITEABLE(x) and _is_fixed(x):
        return x
    if cnp.PyArray_NBYTES(x) <= COPIED:
        if not cnp.PyArray_IS_C_CONTIGUOUS(x) or not cnp.PyArray_ISNOTSWAPPED(x):
            return cnp.PyArray_NewCopy(x, cnp.NPY_KEEPORDER)
        result = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x),
                                   cnp.PyArray_TYPE(x), 0)
        memcpy(cnp.PyArray_DATA(result), cnp.PyArray_DATA(x), cnp.PyArray_NBYTES(x))
        return result
    address = _locks.get(<size_t> <PyObject *> x)
    lock = _lock(x) if address is None else <Lock> <PyObject *> <size_t> address
    descr = <cnp.dtype> cnp.PyArray_DESCR(x)
    Py_INCREF(descr)
    result = PyArray_NewFromDescr(
        cnp.ndarray, descr, cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_STRIDES(x),
        cnp.PyArray_DATA(x), cnp.PyArray_FLAGS(x) & ~cnp.NPY_ARRAY_OWNDATA, None)
    cnp.set_array_base(result, lock)
    return result


def constant(x):
    """Return an array as it is now, as a record keeps it; anything else unchanged."""
    return kept(x) if cnp.PyArray_CheckExact(x) else x


cdef long long last_lock() noexcept:
    return _last_number


def mark():
    """Return a number for `release`."""
    return _last_number


def release(long long since):
    """Lift the locks that this thread has made since: their record failed, nobody sweeps over it.

    Its frames may live on in a traceback.
    """
    cdef unsigned long thread = PyThread_get_thread_ident()
    cdef Lock lock
    cdef list found = []
    for key in list(_locks):
        address = _locks.get(key)
        if address is not None:
            lock = <Lock> <PyObject *> <size_t> address
            if lock.number > since and lock.thread == thread:
                found.append(lock)
    for lock in found:
        _lift(lock)


def locked():
    """Return the number of arrays that are read-only because a record holds them."""
    return len(_counts)
