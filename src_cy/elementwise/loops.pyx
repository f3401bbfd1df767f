"""NumPy's inner loops, looked up once, self-tested, then called without the GIL and without NumPy's
call overhead.

A ufunc call on a small array costs some hundred nanoseconds, its inner loop about ten. The table of
loops is part of the ufunc object and readable in every NumPy 2.x. Before a loop is used it must
agree with its ufunc; one that does not is left out, and callers fall back to the ufunc itself.
"""

import os

cimport numpy as cnp
from fastbp._core.dtypes cimport dtype_of, is_complex, slot_of
from fastbp._core.threads cimport carry
from libc.stdint cimport intptr_t

import numpy as np

from fastbp._core.simd import at_most

cnp.import_array()

# Own declaration: the fields are stable in NumPy 2.x, Cython's view of them is not.
cdef extern from "numpy/ufuncobject.h":
    ctypedef struct UFuncObject "PyUFuncObject":
        int nin
        int nout
        int nargs
        loop_fn *functions
        void **data
        int ntypes
        const char *types

cdef extern from "kernels.h":
    ctypedef struct fastbp_kernel:
        const char *name
        loop_fn loops[4]
        int nin
    const fastbp_kernel fastbp_kernels[]
    const int fastbp_kernel_count
    long long fastbp_strong_zeros() noexcept nogil
    void fastbp_add_strong_zeros(long long n) noexcept nogil
    void fastbp_count_strong_zero() noexcept nogil
    int fastbp_kernels_set_level(int level)


def _set_level(int limit):
    """Limit the instruction set, for tests: 0 baseline, 1 AVX2, 2 AVX-512. Return the one before.

    It stays within what `fastbp._core.simd` allows.
    """
    return fastbp_kernels_set_level(at_most(limit))


_set_level(2)

# What workers meet counts in the thread that they work for.
carry(fastbp_strong_zeros, fastbp_add_strong_zeros)

# For tests of the fallback, and a way out on an exotic NumPy build.
cdef bint DISABLED = os.environ.get("FASTBP_NO_LOOPS") == "1"

cdef dict _ufunc_cache = {}  # (ufunc, typenum) -> index of the signature, or -1
cdef int MAX_ARGS = 4


cdef int _signature_index(object ufunc, int typenum):
    """Index of the first signature whose operands all have `typenum`, or -1."""
    cdef UFuncObject *u = <UFuncObject *> ufunc
    cdef int i, j
    for i in range(u.ntypes):
        for j in range(u.nargs):
            if u.types[i * u.nargs + j] != typenum:
                break
        else:
            return i
    return -1


cdef void _call(Loop *loop, list operands, cnp.ndarray out):
    cdef char *args[4]
    cdef intptr_t steps[4]
    cdef intptr_t n = cnp.PyArray_SIZE(out)
    cdef int i = 0
    cdef cnp.ndarray operand
    for operand in operands:
        args[i] = <char *> cnp.PyArray_DATA(operand)
        steps[i] = 0 if cnp.PyArray_SIZE(operand) == 1 and n != 1 else cnp.PyArray_ITEMSIZE(operand)
        i += 1
    args[i] = <char *> cnp.PyArray_DATA(out)
    steps[i] = cnp.PyArray_ITEMSIZE(out)
    if n > 0:
        with nogil:
            loop.fn(args, &n, steps, loop.data)


cdef bint _agrees(object ufunc, Loop *loop, int typenum):
    """Compare the loop with its ufunc: contiguous operands, and a broadcast second one."""
    dtype = dtype_of(typenum)
    x = np.linspace(0.06, 2.3, 37).astype(dtype)
    if is_complex(typenum):
        x = (x + 1j * np.cos(9.0 * x)).astype(dtype)
    operands = [x, x[::-1].copy()][:ufunc.nin]
    cases = [operands, [x, np.full(1, 1.7, dtype)]] if ufunc.nin == 2 else [operands]
    for case in cases:
        out = np.empty_like(x)
        _call(loop, case, out)
        with np.errstate(all="ignore"):
            expected = ufunc(*case)
        if expected.dtype != dtype or not np.array_equal(out, expected, equal_nan=True):
            return False
    return True


cdef long long strong_zeros() noexcept nogil:
    return fastbp_strong_zeros()


cdef void note_strong_zero() noexcept nogil:
    fastbp_count_strong_zero()


def count_strong_zero():
    """Let the sweep that runs be done again with signed zeros: a rule met what depends on them."""
    fastbp_count_strong_zero()


cdef bint find_ufunc_loop(object ufunc, int typenum, Loop *loop) noexcept:
    cdef UFuncObject *u
    cdef int index
    try:
        if DISABLED or not isinstance(ufunc, np.ufunc) or ufunc.nout != 1 or ufunc.nin > 2:
            return False
        if ufunc.signature is not None:
            return False    # a generalized ufunc: its loop takes other arguments
        if slot_of(typenum) < 0:
            return False
        u = <UFuncObject *> ufunc
        key = (ufunc, typenum)
        if key in _ufunc_cache:
            index = _ufunc_cache[key]
        else:
            index = _signature_index(ufunc, typenum)
            if index >= 0:
                loop.fn = u.functions[index]
                loop.data = u.data[index] if u.data != NULL else NULL
                if loop.fn == NULL or not _agrees(ufunc, loop, typenum):
                    index = -1
            _ufunc_cache[key] = index
        if index < 0:
            return False
        loop.fn = u.functions[index]
        loop.data = u.data[index] if u.data != NULL else NULL
        return True
    except Exception:
        return False


cdef bint find_kernel_loop(str name, int typenum, Loop *loop) noexcept:
    cdef int i, slot = slot_of(typenum)
    for i in range(fastbp_kernel_count):
        if slot >= 0 and fastbp_kernels[i].name.decode() == name:
            loop.fn = fastbp_kernels[i].loops[slot]
            loop.data = NULL
            return loop.fn != NULL
    return False


cdef int kernel_arity(str name) noexcept:
    cdef int i
    for i in range(fastbp_kernel_count):
        if fastbp_kernels[i].name.decode() == name:
            return fastbp_kernels[i].nin
    return -1


def kernels():
    """Return the names of the kernels compiled into fastbp."""
    return [fastbp_kernels[i].name.decode() for i in range(fastbp_kernel_count)]


def has_loop(function, dtype):
    """Say whether `function` (a ufunc, or a kernel's name) has a trusted loop for `dtype`."""
    cdef Loop loop
    cdef int typenum = np.dtype(dtype).num
    if isinstance(function, str):
        return find_kernel_loop(function, typenum, &loop)
    return find_ufunc_loop(function, typenum, &loop)


def call(function, *operands):
    """Call an inner loop directly on 1-D arrays of one dtype; for tests and measurements.

    Parameters
    ----------
    function : numpy.ufunc or str
        A ufunc, or the name of a kernel.
    *operands : ndarray of a dtype with derivatives, shape (n,) or (1,)
        C-contiguous; those of size one are broadcast.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    ValueError
        If there is no such loop, or the operands do not have one dtype and fitting sizes.
    """
    cdef Loop loop
    cdef list arrays = [np.ascontiguousarray(a).reshape(-1) for a in operands]
    if not arrays or len(arrays) >= MAX_ARGS or len({a.dtype for a in arrays}) != 1:
        raise ValueError("call: one to three operands of one dtype are needed")
    dtype = arrays[0].dtype
    if slot_of(dtype.num) < 0:
        raise ValueError(f"call: operands must be of floats or complex numbers, not {dtype}")
    size = max(a.size for a in arrays)
    if any(a.size not in (1, size) for a in arrays):
        raise ValueError(f"call: sizes {[a.size for a in arrays]} do not fit")
    if isinstance(function, str):
        found = kernel_arity(function) == len(arrays)
        found = found and find_kernel_loop(function, dtype.num, &loop)
    else:
        found = function.nin == len(arrays) and find_ufunc_loop(function, dtype.num, &loop)
    if not found:
        raise ValueError(f"call: no loop {function!r} with {len(arrays)} operands of {dtype}")
    out = np.empty(size, dtype)
    _call(&loop, arrays, out)
    return out
