"""The pool of threads on which large loops run: how many there are, and work for them.

The pool itself is in `thread_pool.c`. What runs on it is cut into parts at fixed places, so results
do not depend on the number of threads.
"""

from operator import index

cdef extern from "thread_pool.h" nogil:
    const int MAX_THREADS "FASTBP_MAX_THREADS"
    int fastbp_thread_count()
    void fastbp_set_thread_count(int n)
    void fastbp_parallel(void (*work)(void *context, int part) noexcept nogil, void *context,
                         int parts, int each)
    void fastbp_carry(long long (*read)() noexcept nogil, void (*add)(long long n) noexcept nogil)


cdef void run_parallel(void (*work)(void *context, int part) noexcept nogil, void *context,
                       int parts, int each=SHORT_PARTS) noexcept nogil:
    fastbp_parallel(work, context, parts, each)


cdef void carry(
    long long (*read)() noexcept nogil, void (*add)(long long n) noexcept nogil
) noexcept:
    fastbp_carry(read, add)


cdef int thread_count() noexcept nogil:
    return fastbp_thread_count()


def num_threads():
    """Return the number of threads that run large loops.

    Returns
    -------
    int
        Until `set_num_threads` is called: the number of CPUs that the process may use, but at most
        ``FASTBP_NUM_THREADS`` (if that is not in the environment, ``OMP_NUM_THREADS``) and at most
        16. Always 1 where there are no POSIX threads.

    Examples
    --------
    >>> from fastbp._core import threads
    >>> 1 <= threads.num_threads() <= 16
    True
    """
    return fastbp_thread_count()


def set_num_threads(n):
    """Set the number of threads that run large loops.

    Results do not depend on it, to the last bit.

    Parameters
    ----------
    n : int
        More than 16 are 16. Without effect where there are no POSIX threads.

    Raises
    ------
    ValueError
        If `n` is less than 1.

    Examples
    --------
    >>> from fastbp._core import threads
    >>> before = threads.num_threads()
    >>> threads.set_num_threads(1)
    >>> threads.num_threads()
    1
    >>> threads.set_num_threads(before)
    """
    n = index(n)
    if n < 1:
        raise ValueError(f"set_num_threads: n must be at least 1, got {n}")
    fastbp_set_thread_count(min(n, MAX_THREADS))
