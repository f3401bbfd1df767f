"""Greedy colorings of sparsity patterns."""

# Raise ShapeError unless the arrays are the compressed rows of a pattern of `width` columns.
cdef int check_pattern(str name, const int[::1] indptr, const int[::1] indices,
                       Py_ssize_t width) except -1
