"""The pool of threads on which large loops run."""

cdef enum:
    SHORT_PARTS = 4     # so many short parts are worth waking a thread for

# Call work(context, part) for every part in [0, parts), on the pool (thread_pool.h). So many parts
# as `each` are worth waking a thread for: 1 if one takes more than some 20 us.
cdef void run_parallel(void (*work)(void *context, int part) noexcept nogil, void *context,
                       int parts, int each=*) noexcept nogil
cdef int thread_count() noexcept nogil

# Let a counter of every thread rise in the caller of `run_parallel` as it does in the workers: how
# it is read, and raised by a number. There is one.
cdef void carry(
    long long (*read)() noexcept nogil, void (*add)(long long n) noexcept nogil
) noexcept
