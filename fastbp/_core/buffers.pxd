"""New arrays, the large ones from a pool of blocks that sweeps use again and again."""

cimport numpy as cnp
from cpython.object cimport PyObject

cdef enum:
    LARGE = 65536           # bytes: from here on arrays come from the pool

# An array of a dtype with derivatives or of intp, its values undefined, C order, own data; raises
# MemoryError.
cdef cnp.ndarray new_array(int nd, const cnp.npy_intp *dims, int typenum)

# Between the two, all new arrays of this thread come from the pool, also those that NumPy makes.
# Give what `enter_pool` returned to `leave_pool`.
cdef PyObject *enter_pool() except NULL
cdef int leave_pool(PyObject *before) except -1
