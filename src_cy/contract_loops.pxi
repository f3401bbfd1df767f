# The loops of contract.pyx, over pointers and without the GIL: they check nothing and cannot fail.

# ---- Kernels -------------------------------------------------------------------------------------

# One product. Targets are the blocks of the result, `size` elements each, sources those of the
# operand. The blocks that meet in target t are number[first[t]:first[t + 1]] (the number is the
# position itself where `number` is NULL), their sources are in `source`. `first` NULL: one block
# for each target, t itself, and source t.
cdef struct Job:
    bint single                 # float, not double
    bint wide                   # index arrays are int64
    bint scatter
    Py_ssize_t rows             # of a block
    Py_ssize_t cols
    const void *values
    const void *first
    const void *source
    const void *number
    Py_ssize_t vectors          # 0 for one vector without an axis for it
    const void *x               # (vectors, sources * step); (sources, vectors) for single elements
    Py_ssize_t x_size           # elements of one vector
    void *y
    Py_ssize_t y_size
    Py_ssize_t targets
    int parts
    void *buffers               # of _scatter_elements


cdef inline void _product(
    bint scatter, Py_ssize_t rows, Py_ssize_t cols, const floating *v, const floating *x,
    floating *y,
) noexcept nogil:
    # y += v @ x, or v.T @ x
    if cols == 1:  # a column is a row, the other way round: whole vectors of it are contiguous
        rows, cols, scatter = 1, rows, not scatter
    if floating is float:
        if scatter:
            contract_scatter_float(rows, cols, v, x, y)
        else:
            contract_gather_float(rows, cols, v, x, y)
    else:
        if scatter:
            contract_scatter_double(rows, cols, v, x, y)
        else:
            contract_gather_double(rows, cols, v, x, y)


cdef void _blocks(
    Job *job, const floating *values, const integer *first, Py_ssize_t start, Py_ssize_t stop
) noexcept nogil:
    # The targets from start to stop.
    cdef const integer *source = <const integer *>job.source
    cdef const integer *number = <const integer *>job.number
    cdef const floating *x = <const floating *>job.x
    cdef floating *y = <floating *>job.y
    cdef Py_ssize_t rows = job.rows, cols = job.cols, t, p, low, high, k
    cdef Py_ssize_t to = cols if job.scatter else rows, step = rows if job.scatter else cols
    cdef const floating *block
    for k in range(max(job.vectors, 1)):
        memset(y + k * job.y_size + start * to, 0, (stop - start) * to * sizeof(floating))
    for t in range(start, stop):
        low = t if first == NULL else first[t]
        high = t + 1 if first == NULL else first[t + 1]
        for p in range(low, high):
            block = values + (p if number == NULL else number[p]) * rows * cols
            k = t if source == NULL else source[p]
            if job.vectors == 0:
                _product(job.scatter, rows, cols, block, x + k * step, y + t * to)
            else:  # (vectors, step) @ (step, to); sizes were checked against BLAS's integer
                c_gemm[floating](
                    False, not job.scatter, job.vectors, to, step, 1, x + k * step, job.x_size,
                    block, cols, 1, y + t * to, job.y_size)


cdef void _gather_elements(
    Job *job, const floating *values, const integer *first, Py_ssize_t start, Py_ssize_t stop
) noexcept nogil:
    # CSR: rows from start to stop. With several vectors, these are the last axis of x and y, and
    # each value adds a row of them to another.
    cdef const integer *source = <const integer *>job.source
    cdef const floating *x = <const floating *>job.x
    cdef floating *y = <floating *>job.y
    cdef Py_ssize_t i, p, m = job.vectors
    cdef floating even, odd
    if m == 0:
        for i in range(start, stop):
            even = odd = 0
            p = first[i]
            while p + 1 < first[i + 1]:
                even += values[p] * x[source[p]]
                odd += values[p + 1] * x[source[p + 1]]
                p += 2
            if p < first[i + 1]:
                even += values[p] * x[source[p]]
            y[i] = even + odd
        return
    memset(y + start * m, 0, (stop - start) * m * sizeof(floating))
    for i in range(start, stop):
        for p in range(first[i], first[i + 1]):
            _product(True, 1, m, x + source[p] * m, values + p, y + i * m)


cdef void _scatter_elements(
    Job *job, const floating *values, const integer *first, Py_ssize_t start, Py_ssize_t stop,
    floating *y,
) noexcept nogil:
    # CSR, summed over rows from start to stop, added to y.
    cdef const integer *source = <const integer *>job.source
    cdef const floating *x = <const floating *>job.x
    cdef Py_ssize_t i, p, m = job.vectors
    cdef floating value
    if m == 0:
        for i in range(start, stop):
            value = x[i]
            for p in range(first[i], first[i + 1]):
                y[source[p]] += value * values[p]
        return
    for i in range(start, stop):
        for p in range(first[i], first[i + 1]):
            _product(True, 1, m, x + i * m, values + p, y + source[p] * m)


cdef inline Py_ssize_t _cut(
    const integer *first, Py_ssize_t n, int part, int parts
) noexcept nogil:
    # The first row of a part, so that parts have about the same number of values.
    cdef Py_ssize_t wanted = <Py_ssize_t>(<double>first[n] * part / parts)
    cdef Py_ssize_t low = 0, high = n, middle
    if part == parts:
        return n
    while low < high:
        middle = (low + high) // 2
        if first[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


cdef void _run_part(
    Job *job, const floating *values, const integer *first, int part
) noexcept nogil:
    cdef Py_ssize_t start, stop, n = job.y_size * max(job.vectors, 1)
    cdef floating *buffer
    if job.buffers != NULL:
        buffer = <floating *>job.buffers + part * n
        memset(buffer, 0, n * sizeof(floating))
        _scatter_elements(job, values, first, _cut(first, job.targets, part, job.parts),
                          _cut(first, job.targets, part + 1, job.parts), buffer)
        return
    if first == NULL:
        start = job.targets * part // job.parts
        stop = job.targets * (part + 1) // job.parts
    else:
        start = _cut(first, job.targets, part, job.parts)
        stop = _cut(first, job.targets, part + 1, job.parts)
    if job.rows == 1 and job.cols == 1 and first != NULL:
        _gather_elements(job, values, first, start, stop)
    else:
        _blocks(job, values, first, start, stop)


cdef void _work(void *context, int part) noexcept nogil:
    cdef Job *job = <Job *>context
    if job.single:
        if job.wide:
            _run_part(job, <const float *>job.values, <const int64_t *>job.first, part)
        else:
            _run_part(job, <const float *>job.values, <const int32_t *>job.first, part)
    else:
        if job.wide:
            _run_part(job, <const double *>job.values, <const int64_t *>job.first, part)
        else:
            _run_part(job, <const double *>job.values, <const int32_t *>job.first, part)


cdef void _run(Job *job) noexcept nogil:
    if job.parts == 1:
        _work(job, 0)
    else:
        run_parallel(_work, job, job.parts)


# ---- Index arrays --------------------------------------------------------------------------------

cdef bint _sorted(
    const integer *first, const integer *source, Py_ssize_t rows, Py_ssize_t sources,
    Py_ssize_t count,
) noexcept nogil:
    # Whether the index arrays describe `count` blocks in sorted order, each in its place.
    cdef Py_ssize_t i, p
    if first[0] != 0 or first[rows] != count:
        return False
    for i in range(rows):
        if first[i] > first[i + 1]:
            return False
    for i in range(rows):
        for p in range(first[i], first[i + 1]):
            if source[p] < 0 or source[p] >= sources:
                return False
            if p > first[i] and source[p] <= source[p - 1]:
                return False
    return True


cdef bint _is_diagonal(
    const integer *first, const integer *source, Py_ssize_t rows, Py_ssize_t sources
) noexcept nogil:
    cdef Py_ssize_t i
    if rows != sources:
        return False
    for i in range(rows):
        if first[i + 1] != i + 1 or source[i] != i:
            return False
    return True


cdef void _transpose_index(
    const integer *first, const integer *source, Py_ssize_t rows, Py_ssize_t cols,
    integer *column_first, integer *row, integer *number,
) noexcept nogil:
    # The same blocks by columns: a counting sort, which keeps rows in order.
    cdef Py_ssize_t i, p, place
    memset(column_first, 0, (cols + 1) * sizeof(integer))
    for p in range(first[rows]):
        column_first[source[p] + 1] += 1
    for i in range(cols):
        column_first[i + 1] += column_first[i]
    for i in range(rows):
        for p in range(first[i], first[i + 1]):
            place = column_first[source[p]]
            column_first[source[p]] += 1
            row[place] = <integer>i
            number[place] = <integer>p
    for i in range(cols, 0, -1):
        column_first[i] = column_first[i - 1]
    column_first[0] = 0


cdef void _to_csr(
    const floating *values, const integer *first, const integer *source,
    Py_ssize_t rows, Py_ssize_t cols, const int64_t *row_of, const int64_t *column_of,
    Py_ssize_t n, int64_t *indptr, integer *indices, floating *data,
) noexcept nogil:
    # Row i of the result is row row_of[i] of this matrix, column k of this one is column_of[k].
    cdef Py_ssize_t i, j, p, b, q, place = 0
    for i in range(n):
        b, q = row_of[i] // rows, row_of[i] % rows
        indptr[i] = place
        for p in range(first[b], first[b + 1]):
            for j in range(cols):
                indices[place] = <integer>column_of[source[p] * cols + j]
                data[place] = values[(p * rows + q) * cols + j]
                place += 1
    indptr[n] = place
