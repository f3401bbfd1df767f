"""Inner loops by pointer: NumPy's own and the kernels of fastbp, with one calling convention.

A loop runs ``n = dims[0]`` elements: ``args`` are the inputs, then the output; ``steps`` their
strides in bytes. n must be positive. Exact aliasing of the output with an input is fine, partial
overlap is not.
"""

from libc.stdint cimport intptr_t

ctypedef void (*loop_fn)(
    char **args, const intptr_t *dims, const intptr_t *steps, void *data) noexcept nogil

cdef struct Loop:
    loop_fn fn
    void *data

# Both return False where there is no trusted loop for the type number; they never raise.
cdef bint find_ufunc_loop(object ufunc, int typenum, Loop *loop) noexcept
cdef bint find_kernel_loop(str name, int typenum, Loop *loop) noexcept
# Changes whenever a product by a strong zero met a factor that is not finite, in this thread.
cdef long long strong_zeros() noexcept nogil
cdef void note_strong_zero() noexcept nogil   # ... where another kernel met one
cdef int kernel_arity(str name) noexcept
