"""Constant operands that a rule will read: kept as they were when they were used."""

cimport numpy as cnp

# The array itself if nobody can write into its memory, a copy if it is small, else a view of it,
# with the array locked for as long as the view lives.
cdef cnp.ndarray kept(cnp.ndarray x)

cdef long long last_lock() noexcept     # `mark`
