"""The dtypes of recorded values: the one place that knows them."""

cimport numpy as cnp

cdef enum:
    N_SLOTS = 4             # float32, float64, complex64, complex128

# The slot of NumPy's type number, or -1: no derivative.
cdef inline int slot_of(int typenum) noexcept nogil:
    if typenum == cnp.NPY_DOUBLE:
        return 1
    if typenum == cnp.NPY_FLOAT:
        return 0
    if typenum == cnp.NPY_CDOUBLE:
        return 3
    return 2 if typenum == cnp.NPY_CFLOAT else -1

cdef inline bint is_complex(int typenum) noexcept nogil:
    return typenum == cnp.NPY_CDOUBLE or typenum == cnp.NPY_CFLOAT

# Bytes of an element; only for types that have a slot, as the two that follow.
cdef inline int itemsize_of(int typenum) noexcept nogil:
    cdef int slot = slot_of(typenum)
    return 4 << ((slot & 1) + (slot >> 1))

# The type of real and imaginary part, and the complex one with such parts.
cdef inline int real_of(int typenum) noexcept nogil:
    return cnp.NPY_DOUBLE if slot_of(typenum) & 1 else cnp.NPY_FLOAT

cdef inline int complex_of(int typenum) noexcept nogil:
    return cnp.NPY_CDOUBLE if slot_of(typenum) & 1 else cnp.NPY_CFLOAT

# The type to which NumPy promotes two that have slots.
cdef inline int promoted_of(int a, int b) noexcept nogil:
    if a == b:
        return a
    cdef int real = cnp.NPY_DOUBLE if (slot_of(a) | slot_of(b)) & 1 else cnp.NPY_FLOAT
    return complex_of(real) if is_complex(a) or is_complex(b) else real

cdef object dtype_of(int typenum)
