"""A table of sets of column numbers, as sorted lists of disjoint intervals."""

from libc.stdint cimport int32_t, uint32_t

cdef enum:
    FAILED = -1             # returned instead of a set, or of success, where memory ran out

# Column numbers from `lo` to `hi`, without `hi`.
cdef struct Interval:
    int32_t lo
    int32_t hi

cdef struct Set:
    Py_ssize_t first        # its first interval; -1: not merged yet, the union of `a` and `b`
    int32_t count           # number of intervals; if not merged, at most
    int32_t a               # the larger part
    int32_t b
    int32_t root            # the merged set that remains on the way along `a`
    int32_t pending         # intervals that wait to be merged with it

cdef struct Slot:
    uint32_t tag
    int32_t id              # 0: free

cdef struct Pair:
    int32_t a
    int32_t b
    int32_t id              # 0: free

cdef class Table:
    cdef readonly Py_ssize_t size, limit
    cdef Interval *intervals
    cdef Set *sets              # of the numbers from size + 1
    cdef Slot *slots            # merged sets by their content
    cdef Pair *pairs            # unions of sets that are not small
    cdef int32_t *stamps        # which row a set was last seen in
    cdef int32_t *stack
    cdef Interval *scratch      # a set in the making
    cdef Py_ssize_t used, interval_room, count, room, slot_room, pair_room, pair_count
    cdef Py_ssize_t stamp_room, stack_room, scratch_used, scratch_room, compact_at
    cdef int32_t stamp
    cdef bint sorted, over      # whether the scratch is in order; whether the limit was reached
    cdef object failure(self)
    cdef void *grown(self, void *block, Py_ssize_t *room, Py_ssize_t needed,
                     Py_ssize_t itemsize) noexcept nogil
    cdef int reserve_intervals(self, Py_ssize_t n) noexcept nogil
    cdef int reserve_scratch(self, Py_ssize_t n) noexcept nogil
    cdef int begin_row(self) noexcept nogil
    cdef int32_t new_set(self) noexcept nogil
    cdef Set *entry(self, int32_t id) noexcept nogil
    cdef Py_ssize_t content(self, int32_t id, Interval *own, Interval **start) noexcept nogil
    cdef bint is_merged(self, int32_t id) noexcept nogil
    cdef Py_ssize_t count_of(self, int32_t id) noexcept nogil
    cdef int32_t intern(self, const Interval *x, Py_ssize_t n) noexcept nogil
    cdef int store(self, int32_t id, const Interval *x, Py_ssize_t n) noexcept nogil
    cdef int rehash(self) noexcept nogil
    cdef int collect(self, int32_t id) noexcept nogil
    cdef int add_intervals(self, int32_t id) noexcept nogil
    cdef void compact(self) noexcept nogil
    cdef int settle(self, int32_t id) noexcept nogil
    cdef int32_t join(self, int32_t a, int32_t b) noexcept nogil
    cdef int32_t join_large(self, int32_t a, int32_t b) noexcept nogil
    cdef int32_t joined(self, int32_t big, int32_t small) noexcept nogil
    cdef Py_ssize_t find_pair(self, int32_t a, int32_t b) noexcept nogil
    cdef int grow_pairs(self) noexcept nogil
    cdef int32_t row(
        self, const int32_t *ids, const Py_ssize_t *indices, Py_ssize_t n) noexcept nogil
