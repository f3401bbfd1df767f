"""Elementwise work that ends in sums: a few rows at a time, of which the sums are kept.

A few thousand elements are computed into memory of the first cache, summed, and forgotten. Sums of
so many are added up sixteen at a time, and those of these again, so that rounding grows with the
logarithm of their number. Where what is summed is cut follows from its shape, so results do not
depend on the number of threads.
"""

from libc.stdint cimport intptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from fastbp._core.dtypes cimport itemsize_of
from fastbp._core.elementwise cimport (
    MAX_NDIM, PARALLEL, SHORT_RUN, add_to, sum_few, sum_runs, walk,
)
from fastbp._core.program cimport MAX_EXTERNAL, Program
from fastbp._core.threads cimport run_parallel

cdef enum:
    SLAB = 2048             # elements that are summed at a time
    COLUMNS = 512           # of these in one row
    TOGETHER = 16           # sums that are added up one after the other
    LEVELS = 7
    PART = 32768            # elements that a thread takes at once
    WIDE = 4096             # rows from here on are shared between threads by their columns

# What is summed by whom: parts of (outer, rows, columns), cut in pieces of these sizes.
cdef struct Job:
    const Totals *totals
    char **ptrs
    char *results[MAX_SUMS]     # (outer, row pieces, n)
    intptr_t outer, rows, columns
    intptr_t n_rows, n_columns  # numbers of pieces

cdef struct Adding:
    char slabs[MAX_SUMS][SLAB * 16]
    char levels[MAX_SUMS][LEVELS][COLUMNS * 16]
    int counts[LEVELS]


cdef int run_totals(const Totals *t, char **ptrs, char **targets) noexcept nogil:
    cdef intptr_t total = t.outer * t.rows * t.n, item = itemsize_of(t.typenum)
    cdef intptr_t parts
    cdef Job job
    cdef int k, status = 0
    job.totals, job.ptrs = t, ptrs
    job.outer, job.rows, job.columns = t.outer, t.rows, t.n
    if total >= PARALLEL and not t.ordered:
        if t.n > WIDE:
            job.outer, job.columns = 1, WIDE
        elif t.rows * t.n < PART:
            job.outer = PART // (t.rows * t.n)
        else:
            job.outer, job.rows = 1, max(PART // t.n, 1)
    job.n_rows = _pieces(t.rows, job.rows)
    job.n_columns = _pieces(t.n, job.columns)
    parts = _pieces(t.outer, job.outer) * job.n_rows * job.n_columns
    for k in range(t.n_sums):
        job.results[k] = targets[k]
        if job.n_rows > 1:
            job.results[k] = <char *> malloc(t.outer * job.n_rows * t.n * item)
            if job.results[k] == NULL:
                status = -1
    if status == 0:
        if parts == 1:
            _run_part(&job, 0)
        else:
            run_parallel(_run_part, &job, <int> parts)
    if job.n_rows > 1:
        for k in range(t.n_sums):
            if status == 0:
                status = _sum(job.results[k], targets[k], t, job.n_rows, item)
            free(job.results[k])
    return status


cdef inline intptr_t _pieces(intptr_t n, intptr_t size) noexcept nogil:
    return (n + size - 1) // size


cdef int _sum(char *results, char *target, const Totals *t, intptr_t pieces,
              intptr_t item) noexcept nogil:
    cdef intptr_t k
    for k in range(t.outer * t.n * item):
        target[k] = 0
    return sum_runs(results, target, t.outer, pieces, t.n, t.typenum)


cdef void _run_part(void *context, int part) noexcept nogil:
    cdef const Job *job = <const Job *> context
    cdef const Totals *t = job.totals
    cdef intptr_t item = itemsize_of(t.typenum)
    cdef intptr_t column = part % job.n_columns * job.columns
    cdef intptr_t piece = part // job.n_columns % job.n_rows
    cdef intptr_t first = part // job.n_columns // job.n_rows * job.outer
    cdef intptr_t end = min(first + job.outer, t.outer), row = piece * job.rows
    cdef intptr_t rows = min(job.rows, t.rows - row), columns = min(job.columns, t.n - column)
    cdef intptr_t o = first, at
    cdef Adding adding
    if rows == t.rows and columns == t.n and rows * columns * 2 <= SLAB \
            and t.rows_merge and t.outer_merge:
        while o < end:
            o += _sum_several(job, &adding, o, min(end - o, SLAB // (rows * columns)), item)
        return
    while o < end:
        at = ((o * job.n_rows + piece) * t.n + column) * item
        _sum_one(job, &adding, o, row, rows, column, columns, at, item)
        o += 1


cdef intptr_t _sum_several(const Job *job, Adding *adding, intptr_t o, intptr_t count,
                           intptr_t item) noexcept nogil:
    """Sum over all rows of so many outer ones, which are small."""
    cdef const Totals *t = job.totals
    cdef intptr_t j, size = t.n * item
    cdef int k
    _compute(job, adding, o, 0, count * t.rows, 0, t.n, item)
    for k in range(t.n_sums):
        for j in range(count):
            sum_few(adding.slabs[k] + j * t.rows * size, job.results[k] + (o + j) * size, t.rows,
                    t.n, t.typenum)
    return count


cdef void _sum_one(const Job *job, Adding *adding, intptr_t o, intptr_t row, intptr_t rows,
                   intptr_t column, intptr_t columns, intptr_t at, intptr_t item) noexcept nogil:
    """Sum over some rows of some columns of one outer one."""
    cdef const Totals *t = job.totals
    cdef intptr_t wide, some, r, c = 0
    cdef int k
    while c < columns:
        wide = min(columns - c, COLUMNS)
        some = SLAB // wide
        for k in range(LEVELS):
            adding.counts[k] = 0
        r = 0
        while r < rows:
            _compute(job, adding, o, row + r, min(some, rows - r), column + c, wide, item)
            _take(t, adding, min(some, rows - r), wide, item)
            r += some
        for k in range(t.n_sums):
            _finish(t, adding, k, job.results[k] + at + c * item, wide, item)
        c += wide


cdef void _compute(const Job *job, Adding *adding, intptr_t o, intptr_t row, intptr_t rows,
                   intptr_t column, intptr_t columns, intptr_t item) noexcept nogil:
    """Run the program; what is to be summed goes to the slabs."""
    cdef const Totals *t = job.totals
    cdef char *ptrs[MAX_EXTERNAL]
    cdef intptr_t steps[MAX_EXTERNAL]
    cdef intptr_t both[MAX_EXTERNAL][MAX_NDIM]
    cdef intptr_t shape[2]
    cdef intptr_t r
    cdef int k
    for k in range(t.n_slots):
        ptrs[k] = (job.ptrs[k] + o * t.steps[k][0] + row * t.steps[k][1] + column * t.steps[k][2])
        steps[k] = t.steps[k][2]
    for k in range(t.n_sums):
        ptrs[t.summed[k]] = adding.slabs[k]
        steps[t.summed[k]] = item
    if t.rows_merge and columns == t.n:
        (<Program> t.program).run(ptrs, steps, rows * columns)
        return
    if columns < SHORT_RUN and rows > 1 and not t.ordered:
        shape[0], shape[1] = rows, columns
        for k in range(t.n_slots):
            both[k][0], both[k][1] = t.steps[k][1], steps[k]
        for k in range(t.n_sums):
            both[t.summed[k]][0] = columns * item
        walk(<Program> t.program, ptrs, both, shape, 2, t.n_slots, False)
        return
    for r in range(rows):
        (<Program> t.program).run(ptrs, steps, columns)
        for k in range(t.n_slots):
            ptrs[k] += t.steps[k][1]
        for k in range(t.n_sums):
            ptrs[t.summed[k]] = adding.slabs[k] + (r + 1) * columns * item


cdef void _take(const Totals *t, Adding *adding, intptr_t rows, intptr_t columns,
                intptr_t item) noexcept nogil:
    """Add the sums of the slabs to those of before."""
    cdef int k, level
    cdef char *own
    for k in range(t.n_sums):
        if adding.counts[0] == 0:
            sum_few(adding.slabs[k], adding.levels[k][0], rows, columns, t.typenum)
            continue
        own = adding.slabs[k]       # its sum may take the place of its first row
        sum_few(own, own, rows, columns, t.typenum)
        add_to(adding.levels[k][0], own, columns, t.typenum)
    adding.counts[0] += 1
    level = 0
    while adding.counts[level] == TOGETHER and level < LEVELS - 1:
        for k in range(t.n_sums):
            if adding.counts[level + 1] == 0:
                memcpy(adding.levels[k][level + 1], adding.levels[k][level], columns * item)
            else:
                add_to(adding.levels[k][level + 1], adding.levels[k][level], columns, t.typenum)
        adding.counts[level] = 0
        adding.counts[level + 1] += 1
        level += 1


cdef void _finish(const Totals *t, Adding *adding, int k, char *target, intptr_t columns,
                  intptr_t item) noexcept nogil:
    cdef int level
    cdef bint begun = False
    for level in range(LEVELS):
        if adding.counts[level] == 0:
            continue
        if begun:
            add_to(target, adding.levels[k][level], columns, t.typenum)
        else:
            memcpy(target, adding.levels[k][level], columns * item)
        begun = True
