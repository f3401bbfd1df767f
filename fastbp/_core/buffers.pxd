"""New arrays, the large ones from a pool of blocks that sweeps use again and again."""

cimport numpy as cnp

# An array with undefined values, C order, own data; raises MemoryError.
cdef cnp.ndarray new_array(int nd, const cnp.npy_intp *dims, int typenum)
