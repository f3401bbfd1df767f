"""A table of sets of column numbers, and their unions.

A set is a sorted list of disjoint intervals: that of a row of a stencil has a few of them, a dense
one has one. Sets are immutable. Merged ones are found again by their content, so most unions add
nothing to the table. The union of a large set with a small one is put off until it is needed, or
until as much waits as a part of what is there: else adding n terms one by one would take n^2 steps.
"""

from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, qsort, realloc
from libc.string cimport memcmp, memcpy, memset

cimport cython

cdef enum:
    SMALL = 16              # intervals: so many are merged at once

cdef int32_t INT32_MAX = 2147483647


cdef int _order(const void *x, const void *y) noexcept nogil:
    cdef int32_t a = (<const Interval *> x).lo, b = (<const Interval *> y).lo
    return (a > b) - (a < b)


@cython.overflowcheck(False)
cdef uint64_t _mixed(uint64_t h) noexcept nogil:
    h = (h ^ (h >> 31)) * <uint64_t> 0x9E3779B97F4A7C15
    return h ^ (h >> 29)


@cython.overflowcheck(False)
cdef Py_ssize_t _first_slot(
    const Interval *x, Py_ssize_t n, Py_ssize_t mask, uint64_t *key
) noexcept nogil:
    """Where the search for a set starts; `key` says how it goes on.

    Neighbouring rows of a stencil have sets of one shape: they start at neighbouring slots.
    """
    cdef uint64_t shape = n
    cdef Py_ssize_t j
    for j in range(n):
        shape = _mixed(shape ^ <uint64_t> (x[j].hi - x[0].lo)
                       ^ (<uint64_t> (x[j].lo - x[0].lo) << 32))
    key[0] = _mixed(shape ^ (<uint64_t> x[0].lo << 20))
    return <Py_ssize_t> ((shape + <uint64_t> x[0].lo) & <uint64_t> mask)


cdef Py_ssize_t _merge(
    const Interval *x, Py_ssize_t nx, const Interval *y, Py_ssize_t ny, Interval *out
) noexcept nogil:
    """Merge two sorted lists of intervals; return the length of the result."""
    cdef Py_ssize_t i = 0, j = 0, m = 0
    cdef Interval item
    while i < nx or j < ny:
        if j == ny or (i < nx and x[i].lo <= y[j].lo):
            item = x[i]
            i += 1
        else:
            item = y[j]
            j += 1
        if m and item.lo <= out[m - 1].hi:
            out[m - 1].hi = max(out[m - 1].hi, item.hi)
        else:
            out[m] = item
            m += 1
    return m


cdef bint _contains(
    const Interval *x, Py_ssize_t nx, const Interval *y, Py_ssize_t ny
) noexcept nogil:
    """Whether every interval of y lies in one of x."""
    cdef Py_ssize_t j, low, high, middle
    for j in range(ny):
        low, high = 0, nx           # the last interval of x that starts at or before y[j]
        while low < high:
            middle = (low + high) // 2
            if x[middle].lo <= y[j].lo:
                low = middle + 1
            else:
                high = middle
        if low == 0 or x[low - 1].hi < y[j].hi:
            return False
    return True


cdef class Table:
    """A table of sets of the numbers 0 to size - 1. Set 0 is empty, set 1 + i is {i}.

    Not for several threads at once.

    Parameters
    ----------
    size : int
    limit : int
        `MemoryError` is raised before the table, or a result, takes more bytes than this.
    """

    def __cinit__(self, Py_ssize_t size, Py_ssize_t limit=1 << 32):
        if not 0 <= size < INT32_MAX:
            raise ValueError(f"sparsity: inputs of {size} elements are not supported")
        self.size, self.limit = size, limit

    def __dealloc__(self):
        free(self.intervals)
        free(self.sets)
        free(self.slots)
        free(self.pairs)
        free(self.stamps)
        free(self.stack)
        free(self.scratch)

    def __len__(self):
        return 1 + self.size + self.count

    cdef object failure(self):
        """What to raise after FAILED."""
        if self.over:
            return MemoryError(
                f"sparsity: the index sets of {self.size} columns need more than "
                f"{self.limit} bytes")
        return MemoryError("sparsity: no memory for index sets")

    # -- memory: these return FAILED where there is no more

    cdef void *grown(self, void *block, Py_ssize_t *room, Py_ssize_t needed,
                     Py_ssize_t itemsize) noexcept nogil:
        """Return the block with room for `needed` items, or NULL."""
        cdef Py_ssize_t wanted = max(needed, room[0] + room[0] // 2 + 64)
        if wanted * itemsize > self.limit:
            wanted = needed
        if wanted * itemsize > self.limit:
            self.over = True
            return NULL
        block = realloc(block, wanted * itemsize)
        if block != NULL:
            room[0] = wanted
        return block

    cdef int reserve_intervals(self, Py_ssize_t n) noexcept nogil:
        cdef void *block
        if self.used + n > self.interval_room:
            block = self.grown(
                self.intervals, &self.interval_room, self.used + n, sizeof(Interval))
            if block == NULL:
                return FAILED
            self.intervals = <Interval *> block
        return 0

    cdef int reserve_scratch(self, Py_ssize_t n) noexcept nogil:
        cdef void *block
        if n > self.scratch_room:
            block = self.grown(self.scratch, &self.scratch_room, n, sizeof(Interval))
            if block == NULL:
                return FAILED
            self.scratch = <Interval *> block
        return 0

    cdef int begin_row(self) noexcept nogil:
        """Make the scratch empty and all sets unseen."""
        cdef Py_ssize_t n = 1 + self.size + self.count, before = self.stamp_room
        cdef void *block
        if n > before:
            block = self.grown(self.stamps, &self.stamp_room, n, sizeof(int32_t))
            if block == NULL:
                return FAILED
            self.stamps = <int32_t *> block
            memset(self.stamps + before, 0, (self.stamp_room - before) * sizeof(int32_t))
        if self.stamp == INT32_MAX:
            memset(self.stamps, 0, self.stamp_room * sizeof(int32_t))
            self.stamp = 0
        self.stamp = self.stamp + 1
        self.scratch_used = 0
        self.sorted = True
        self.compact_at = 65536
        return 0

    cdef int32_t new_set(self) noexcept nogil:
        cdef void *block
        if self.count == self.room:
            if 1 + self.size + self.count >= INT32_MAX:
                self.over = True
                return FAILED
            block = self.grown(self.sets, &self.room, self.count + 1, sizeof(Set))
            if block == NULL:
                return FAILED
            self.sets = <Set *> block
        self.count = self.count + 1
        return <int32_t> (self.size + self.count)

    # -- one set

    cdef Set *entry(self, int32_t id) noexcept nogil:
        return self.sets + (id - self.size - 1)

    cdef Py_ssize_t content(self, int32_t id, Interval *own, Interval **start) noexcept nogil:
        """Point to the intervals of a merged set, and return how many there are.

        Valid until the table grows. Where the set is one number, it is written to `own`.
        """
        if id == 0:
            return 0
        if id <= self.size:
            own.lo, own.hi = id - 1, id
            start[0] = own
            return 1
        start[0] = self.intervals + self.entry(id).first
        return self.entry(id).count

    cdef bint is_merged(self, int32_t id) noexcept nogil:
        return id <= self.size or self.entry(id).first >= 0

    cdef Py_ssize_t count_of(self, int32_t id) noexcept nogil:
        return id > 0 if id <= self.size else self.entry(id).count

    cdef int32_t intern(self, const Interval *x, Py_ssize_t n) noexcept nogil:
        """Return the set with this content, which must not lie in the table."""
        cdef Py_ssize_t slot, step, mask
        cdef uint64_t key
        cdef Set *entry
        cdef int32_t id
        if n == 0:
            return 0
        if n == 1 and x[0].hi == x[0].lo + 1:
            return x[0].hi
        if 2 * self.count >= self.slot_room and self.rehash() == FAILED:
            return FAILED
        mask = self.slot_room - 1
        slot = _first_slot(x, n, mask, &key)
        step = <Py_ssize_t> (key >> 32) | 1
        while self.slots[slot].id:
            if self.slots[slot].tag == <uint32_t> key:
                entry = self.entry(self.slots[slot].id)
                if entry.count == n and memcmp(
                        self.intervals + entry.first, x, n * sizeof(Interval)) == 0:
                    return self.slots[slot].id
            slot = (slot + step) & mask
        id = self.new_set()
        if id == FAILED or self.store(id, x, n) == FAILED:
            return FAILED
        self.slots[slot].tag = <uint32_t> key
        self.slots[slot].id = id
        return id

    cdef int store(self, int32_t id, const Interval *x, Py_ssize_t n) noexcept nogil:
        """Give a set its intervals."""
        cdef Set *entry = self.entry(id)
        if self.reserve_intervals(n) == FAILED:
            return FAILED
        memcpy(self.intervals + self.used, x, n * sizeof(Interval))
        entry.first, entry.count, entry.root, entry.pending = self.used, <int32_t> n, id, 0
        self.used = self.used + n
        return 0

    cdef int rehash(self) noexcept nogil:
        cdef Py_ssize_t room = max(1024, 4 * self.slot_room), i, slot, step
        cdef Slot *slots = NULL
        cdef Slot *old = self.slots
        cdef uint64_t key
        cdef Set *entry
        if room * <Py_ssize_t> sizeof(Slot) <= self.limit:
            slots = <Slot *> calloc(room, sizeof(Slot))
        else:
            self.over = True
        if slots == NULL:
            return FAILED
        for i in range(self.slot_room):
            if old[i].id:
                entry = self.entry(old[i].id)
                slot = _first_slot(self.intervals + entry.first, entry.count, room - 1, &key)
                step = <Py_ssize_t> (key >> 32) | 1
                while slots[slot].id:
                    slot = (slot + step) & (room - 1)
                slots[slot] = old[i]
        free(old)
        self.slots, self.slot_room = slots, room
        return 0

    # -- a set in the making

    cdef int collect(self, int32_t id) noexcept nogil:
        """Add a set to the scratch, unless this row has it already."""
        cdef Py_ssize_t depth = 0
        cdef void *block
        while True:
            if id and self.stamps[id] != self.stamp:
                self.stamps[id] = self.stamp
                if not self.is_merged(id):
                    if depth == self.stack_room:
                        block = self.grown(
                            self.stack, &self.stack_room, depth + 1, sizeof(int32_t))
                        if block == NULL:
                            return FAILED
                        self.stack = <int32_t *> block
                    self.stack[depth] = self.entry(id).b
                    depth += 1
                    id = self.entry(id).a
                    continue
                if self.add_intervals(id) == FAILED:
                    return FAILED
            if depth == 0:
                return 0
            depth -= 1
            id = self.stack[depth]

    cdef int add_intervals(self, int32_t id) noexcept nogil:
        cdef Interval own
        cdef Interval *x = NULL
        cdef Interval *last
        cdef Py_ssize_t j, n = self.content(id, &own, &x)
        if self.reserve_scratch(self.scratch_used + n) == FAILED:
            return FAILED
        for j in range(n):
            if self.scratch_used:
                last = self.scratch + self.scratch_used - 1
                if x[j].lo < last.lo:
                    self.sorted = False
                elif x[j].lo <= last.hi:
                    last.hi = max(last.hi, x[j].hi)
                    continue
            self.scratch[self.scratch_used] = x[j]
            self.scratch_used = self.scratch_used + 1
        if not self.sorted and self.scratch_used > self.compact_at:
            self.compact()
            self.compact_at = 2 * self.scratch_used + 65536
        return 0

    cdef void compact(self) noexcept nogil:
        """Sort and merge the intervals in the scratch."""
        if not self.sorted:
            qsort(self.scratch, self.scratch_used, sizeof(Interval), _order)
            self.scratch_used = _merge(
                self.scratch, self.scratch_used, NULL, 0, self.scratch)
            self.sorted = True

    cdef int settle(self, int32_t id) noexcept nogil:
        """Merge a set whose merging was put off."""
        if self.is_merged(id):
            return 0
        if self.begin_row() == FAILED or self.collect(id) == FAILED:
            return FAILED
        self.compact()
        return self.store(id, self.scratch, self.scratch_used)

    # -- unions

    cdef int32_t join(self, int32_t a, int32_t b) noexcept nogil:
        """Return the union of two sets, or FAILED."""
        cdef Interval own_a, own_b
        cdef Interval both[SMALL]
        cdef Interval *x = NULL
        cdef Interval *y = NULL
        cdef Py_ssize_t na, nb
        if a == b or b == 0:
            return a
        if a == 0:
            return b
        if self.count_of(a) + self.count_of(b) > SMALL:
            return self.join_large(a, b)
        na, nb = self.content(a, &own_a, &x), self.content(b, &own_b, &y)
        return self.intern(both, _merge(x, na, y, nb, both))

    cdef int32_t join_large(self, int32_t a, int32_t b) noexcept nogil:
        cdef Py_ssize_t slot
        cdef int32_t id, big, small
        if a > b:
            a, b = b, a
        if 2 * self.pair_count >= self.pair_room and self.grow_pairs() == FAILED:
            return FAILED
        slot = self.find_pair(a, b)
        if self.pairs[slot].id:
            return self.pairs[slot].id
        big, small = (a, b) if self.count_of(a) >= self.count_of(b) else (b, a)
        id = self.joined(big, small)
        if id != FAILED:
            self.pairs[slot].a, self.pairs[slot].b, self.pairs[slot].id = a, b, id
            self.pair_count = self.pair_count + 1
        return id

    cdef int32_t joined(self, int32_t big, int32_t small) noexcept nogil:
        cdef Interval own, other
        cdef Interval *x = NULL
        cdef Interval *y = NULL
        cdef int32_t root = self.entry(big).root, id = big
        cdef Py_ssize_t nx = self.content(root, &own, &x), ny, waiting
        cdef Set *entry
        if self.is_merged(small):
            ny = self.content(small, &other, &y)
            if _contains(x, nx, y, ny):
                return big
            if root == big and 4 * ny > nx:
                if self.reserve_scratch(nx + ny) == FAILED:
                    return FAILED
                return self.intern(self.scratch, _merge(x, nx, y, ny, self.scratch))
        for _ in range(8):              # it may have come lately
            if self.is_merged(id):
                break
            if self.entry(id).b == small:
                return big
            id = self.entry(id).a
        waiting = self.entry(big).pending + self.count_of(small)
        if 4 * waiting > nx:
            if (self.begin_row() == FAILED or self.collect(big) == FAILED
                    or self.collect(small) == FAILED):
                return FAILED
            self.compact()
            return self.intern(self.scratch, self.scratch_used)
        id = self.new_set()
        if id != FAILED:
            entry = self.entry(id)
            entry.first, entry.a, entry.b, entry.root = -1, big, small, root
            entry.count = self.entry(big).count + <int32_t> self.count_of(small)
            entry.pending = <int32_t> waiting
        return id

    cdef Py_ssize_t find_pair(self, int32_t a, int32_t b) noexcept nogil:
        """Return the place of a pair in the table, free or not."""
        cdef Py_ssize_t mask = self.pair_room - 1
        cdef Py_ssize_t slot = <Py_ssize_t> (
            _mixed(<uint64_t> a << 32 | <uint64_t> b) & <uint64_t> mask)
        while self.pairs[slot].id and (self.pairs[slot].a != a or self.pairs[slot].b != b):
            slot = (slot + 1) & mask
        return slot

    cdef int grow_pairs(self) noexcept nogil:
        cdef Py_ssize_t i, before = self.pair_room, room = max(256, 4 * before)
        cdef Pair *old = self.pairs
        cdef Pair *pairs = NULL
        if room * <Py_ssize_t> sizeof(Pair) <= self.limit:
            pairs = <Pair *> calloc(room, sizeof(Pair))
        else:
            self.over = True
        if pairs == NULL:
            return FAILED
        self.pairs, self.pair_room = pairs, room
        for i in range(before):
            if old[i].id:
                pairs[self.find_pair(old[i].a, old[i].b)] = old[i]
        free(old)
        return 0

    cdef int32_t row(
        self, const int32_t *ids, const Py_ssize_t *indices, Py_ssize_t n
    ) noexcept nogil:
        """Return the union of ids[indices[j]], of ids[j] where there are no indices; or FAILED."""
        cdef int32_t id, last = 0
        cdef Py_ssize_t j, distinct = 0
        if self.begin_row() == FAILED:
            return FAILED
        for j in range(n):
            id = ids[j] if indices == NULL else ids[indices[j]]
            if id == last or id == 0:
                continue
            last = id
            distinct += 1
            if self.collect(id) == FAILED:
                return FAILED
        if distinct <= 1:
            return last
        self.compact()
        return self.intern(self.scratch, self.scratch_used)
