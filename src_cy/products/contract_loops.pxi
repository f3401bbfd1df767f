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
    const void *x               # (vectors, sources * step)
    Py_ssize_t x_size           # elements of one vector
    void *y
    Py_ssize_t y_size
    Py_ssize_t targets
    int parts
    void *buffers               # of _scatter_elements, _scatter_lanes
    # Single elements with several vectors
    int lanes                   # vectors at once
    int pieces                  # of the rows; a part is a group of vectors and a piece
    bint packing                # the vectors are made ready, by group
    bint serial
    void *packed                # (groups, sources, lanes)


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
    # CSR: rows from start to stop.
    cdef const integer *source = <const integer *>job.source
    cdef const floating *x = <const floating *>job.x
    cdef floating *y = <floating *>job.y
    cdef Py_ssize_t i, p
    cdef floating even, odd
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


cdef void _scatter_elements(
    Job *job, const floating *values, const integer *first, Py_ssize_t start, Py_ssize_t stop,
    floating *y,
) noexcept nogil:
    # CSR, summed over rows from start to stop, added to y.
    cdef const integer *source = <const integer *>job.source
    cdef const floating *x = <const floating *>job.x
    cdef Py_ssize_t i, p
    cdef floating value
    for i in range(start, stop):
        value = x[i]
        for p in range(first[i], first[i + 1]):
            y[source[p]] += value * values[p]


# ---- Single elements, several vectors ------------------------------------------------------------

# `lanes` is a literal at every call, so that the loops over it are a few vector instructions.

cdef inline void _gather_lanes(
    const int lanes, int used, const floating *values, const integer *first, const integer *source,
    Py_ssize_t start, Py_ssize_t stop, const floating *x, floating *y, Py_ssize_t n,
) noexcept nogil:
    # Rows from start to stop, each to vectors of n elements.
    cdef floating even[MAX_LANES]
    cdef floating odd[MAX_LANES]
    cdef const floating *row
    cdef Py_ssize_t i, p
    cdef int k
    for i in range(start, stop):
        for k in range(lanes):
            even[k] = odd[k] = 0
        p = first[i]
        while p + 1 < first[i + 1]:
            row = x + source[p] * <Py_ssize_t>lanes
            for k in range(lanes):
                even[k] += values[p] * row[k]
            row = x + source[p + 1] * <Py_ssize_t>lanes
            for k in range(lanes):
                odd[k] += values[p + 1] * row[k]
            p += 2
        if p < first[i + 1]:
            row = x + source[p] * <Py_ssize_t>lanes
            for k in range(lanes):
                even[k] += values[p] * row[k]
        for k in range(used):
            y[k * n + i] = even[k] + odd[k]


cdef inline void _scatter_lanes(
    const int lanes, const floating *values, const integer *first, const integer *source,
    Py_ssize_t rows, const floating *x, floating *y,
) noexcept nogil:
    cdef floating row[MAX_LANES]
    cdef floating value, *to
    cdef Py_ssize_t i, p
    cdef int k
    if lanes == 8:
        if floating is float and integer is int32_t:
            contract_eight_float_32(rows, values, first, source, x, y)
        elif floating is float:
            contract_eight_float_64(rows, values, first, source, x, y)
        elif integer is int32_t:
            contract_eight_double_32(rows, values, first, source, x, y)
        else:
            contract_eight_double_64(rows, values, first, source, x, y)
        return
    for i in range(rows):
        for k in range(lanes):
            row[k] = x[i * lanes + k]
        for p in range(first[i], first[i + 1]):
            to = y + source[p] * <Py_ssize_t>lanes
            value = values[p]  # the compiler cannot know that it is not in `to`
            for k in range(lanes):
                to[k] += value * row[k]


cdef inline void _pack_group(
    const int lanes, Job *job, const floating *x, int group
) noexcept nogil:
    # The vectors of a group side by side; lanes that have none are zeros.
    cdef Py_ssize_t before = group * <Py_ssize_t>lanes, n = job.x_size, i
    cdef int k, used = <int>min(job.vectors - before, lanes)
    cdef floating *packed = <floating *>job.packed + before * n
    x += before * n
    if used < lanes:
        memset(packed, 0, n * lanes * sizeof(floating))
        for i in range(n):
            for k in range(used):
                packed[i * lanes + k] = x[k * n + i]
        return
    for i in range(n):
        for k in range(lanes):
            packed[i * lanes + k] = x[k * n + i]


cdef inline void _multiply_group(
    const int lanes, Job *job, const floating *values, const integer *first, int group, int piece
) noexcept nogil:
    # The vectors of a group times a piece of the rows (scatter: all).
    cdef const integer *source = <const integer *>job.source
    cdef Py_ssize_t before = group * <Py_ssize_t>lanes, n = job.y_size, i
    cdef int k, used = <int>min(job.vectors - before, lanes)
    cdef const floating *packed = <const floating *>job.packed + before * job.x_size
    cdef floating *y = <floating *>job.y + before * n
    cdef floating *result
    if not job.scatter:
        _gather_lanes(
            lanes, used, values, first, source, _cut(first, job.targets, piece, job.pieces),
            _cut(first, job.targets, piece + 1, job.pieces), packed, y, n)
        return
    result = <floating *>job.buffers + before * n
    memset(result, 0, n * lanes * sizeof(floating))
    _scatter_lanes(lanes, values, first, source, job.targets, packed, result)
    if used < lanes:
        for i in range(n):
            for k in range(used):
                y[k * n + i] = result[i * lanes + k]
        return
    for i in range(n):
        for k in range(lanes):
            y[k * n + i] = result[i * lanes + k]


cdef void _run_lanes(
    Job *job, const floating *values, const integer *first, int part
) noexcept nogil:
    cdef const floating *x = <const floating *>job.x
    cdef int group = part // job.pieces, piece = part % job.pieces
    if job.packing:
        if job.lanes == 2:
            _pack_group(2, job, x, part)
        elif job.lanes == 4:
            _pack_group(4, job, x, part)
        else:
            _pack_group(8, job, x, part)
    elif job.lanes == 2:
        _multiply_group(2, job, values, first, group, piece)
    elif job.lanes == 4:
        _multiply_group(4, job, values, first, group, piece)
    else:
        _multiply_group(8, job, values, first, group, piece)


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
    cdef Py_ssize_t start, stop, n = job.y_size
    cdef floating *buffer
    if job.lanes:
        _run_lanes(job, values, first, part)
        return
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
    cdef int part
    if job.parts == 1 or job.serial:
        for part in range(job.parts):
            _work(job, part)
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
