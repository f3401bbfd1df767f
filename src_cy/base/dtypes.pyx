"""The dtypes of recorded values: the one place that knows them.

Four have derivatives, and each has a slot: tables of programs and kernels are indexed by it. Values
of booleans and integers can be recorded too, by operations without rules.
"""

cimport numpy as cnp

import numpy as np

from fastbp.errors import DTypeError

cnp.import_array()

cdef tuple DTYPES = (np.dtype("f4"), np.dtype("f8"), np.dtype("c8"), np.dtype("c16"))
FLOATS = DTYPES[:2]
DIFFERENTIABLE = DTYPES
NAMES = "float64, float32, complex128 and complex64"    # for messages


cdef object dtype_of(int typenum):
    cdef int slot = slot_of(typenum)
    return DTYPES[slot] if slot >= 0 else cnp.PyArray_DescrFromType(typenum)


def slot(dtype):
    """Return the number of a dtype among those that have derivatives, or -1.

    Examples
    --------
    >>> from fastbp._core import dtypes
    >>> [dtypes.slot(d) for d in ("f4", "f8", "c8", "c16", "i8")]
    [0, 1, 2, 3, -1]
    """
    dtype = np.dtype(dtype)
    return slot_of(dtype.num) if dtype.isnative else -1


def check(dtype, str what):
    """Return a dtype that has derivatives, in native byte order; raise `DTypeError` otherwise."""
    found = np.dtype(dtype).newbyteorder("=")
    if slot_of(found.num) < 0:
        raise DTypeError(f"{what}: dtype {found}; {NAMES} can be differentiated"
                         f"{conversion(found)}")
    return found


def conversion(dtype, str x="x"):
    """Say what to write for an array `x` of whole numbers or booleans; "" of any other dtype."""
    return f": write {x}.astype(float)" if dtype.kind in "iub" else ""
