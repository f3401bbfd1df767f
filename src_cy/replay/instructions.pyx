"""The instructions of a plan as they run: without Python, without allocations, without checks.

`machine.pyx` makes them and checks what they reach. An instruction is a kind and its facts
(`instructions.pxd`); where its operands lie is looked up in the addresses of a call, so nothing is
written into an instruction.
"""

from cython cimport doublecomplex, floatcomplex
from libc.stdint cimport intptr_t
from libc.string cimport memcpy, memset

cimport cython
cimport numpy as cnp
from fastbp._core.blas cimport c_few, c_gemm, number
from fastbp._core.elementwise cimport MAX_NDIM, run_parts, sum_runs, walk, walk_parts
from fastbp._core.lapack cimport MAX_MATRICES, Strided, run_batch
from fastbp._core.loops cimport note_strong_zero
from fastbp._core.program cimport BLOCK, FEW_SLOTS, Program, few_code
from fastbp._core.strided cimport run_slot
from fastbp._core.totals cimport MAX_SUMS, run_totals

from fastbp._core.simd import at_most

cnp.import_array()

cdef extern from "few_loops.h" nogil:
    int FEW
    bint few_run(const few_code *code, char **at, intptr_t n)
    void few_copy(const char *source, intptr_t from_step, char *target, intptr_t to_step,
                  intptr_t n, int item)

cdef extern from "rows.h" nogil:
    int rows_level
    void copy_row(char *to, const char *source, intptr_t n)
    void copy_rows(char *to, intptr_t to_step, const char *source, intptr_t from_step,
                   intptr_t rows, intptr_t n)
    void copy_pieces(char *to, const char *source, const intptr_t *runs, intptr_t n_runs,
                     intptr_t item)

cdef extern from "Python.h":
    int check_signals "PyErr_CheckSignals"()    # leaves the exception where it is

rows_level = at_most(1)


cdef int run_steps(const Step *steps, int n, char **bases) noexcept nogil:
    cdef int k = 0, status = 0
    cdef const Branch *branch
    while k < n:
        if steps[k].kind == REGION:
            status = _run_region(<const Region *> steps[k].facts, bases)
        elif steps[k].kind == PRODUCT:
            status = _run_product(<const Gemm *> steps[k].facts, bases)
        elif steps[k].kind == SUM:
            status = _run_sum(<const Sum *> steps[k].facts, bases)
        elif steps[k].kind == COPY:
            _run_copy(<const Copy *> steps[k].facts, bases)
        elif steps[k].kind == PICK:
            _run_pick(<const Pick *> steps[k].facts, bases)
        elif steps[k].kind == PLACES:
            status = _run_places(<const Places *> steps[k].facts, bases)
        elif steps[k].kind == GATHER:
            status = _run_gather(<const Along *> steps[k].facts, bases)
        elif steps[k].kind == SCATTER:
            status = _run_scatter(<const Along *> steps[k].facts, bases)
        elif steps[k].kind == ZERO:
            memset(_at((<const Zero *> steps[k].facts).target, bases), 0,
                   (<const Zero *> steps[k].facts).size)
        elif steps[k].kind == LAPACK:
            status = _run_lapack(<const Matrices *> steps[k].facts, bases)
        elif steps[k].kind == LOOP:
            status = _run_loop(<const Loop *> steps[k].facts, steps + k + 1, bases)
            k += (<const Loop *> steps[k].facts).n_body
        elif steps[k].kind == BRANCH:
            branch = <const Branch *> steps[k].facts
            if is_set(branch.place, branch.size, bases):
                status = run_steps(steps + k + 1, branch.n_first, bases)
            else:
                status = run_steps(steps + k + 1 + branch.n_first, branch.n_second, bases)
            k += branch.n_first + branch.n_second
        elif steps[k].kind == LEAVE:
            if not is_set((<const Leave *> steps[k].facts).place,
                          (<const Leave *> steps[k].facts).size, bases):
                return LEFT
        if status:
            return status
        k += 1
    return 0


cdef int _run_loop(const Loop *loop, const Step *body, char **bases) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef int status
    begin(loop, bases)
    while i != loop.count:
        status = run_steps(body, loop.n_body, bases)
        if status:
            return 0 if status == LEFT else status
        advance(loop, bases)
        i += 1
        if loop.count < 0 and i % UNWATCHED == 0 and _interrupted():
            return INTERRUPTED
    return 0


cdef void begin(const Loop *loop, char **bases) noexcept nogil:
    cdef int k
    for k in range(loop.n_moving):
        bases[loop.moving[k].buffer] = _at(loop.moving[k].start, bases)


cdef void advance(const Loop *loop, char **bases) noexcept nogil:
    cdef int k
    cdef char *first
    for k in range(loop.n_moving):
        bases[loop.moving[k].buffer] += loop.moving[k].step
    for k in range(loop.n_swaps):
        first = bases[loop.swaps[2 * k]]
        bases[loop.swaps[2 * k]] = bases[loop.swaps[2 * k + 1]]
        bases[loop.swaps[2 * k + 1]] = first


cdef bint _interrupted() noexcept nogil:
    with gil:
        return check_signals() < 0


cdef bint is_set(Place place, intptr_t size, char **bases) noexcept nogil:
    cdef const char *value = _at(place, bases)
    cdef intptr_t k
    for k in range(size):
        if value[k]:
            return True
    return False


cdef int behind(const Step *step) noexcept nogil:
    """Return how many instructions behind this one are a part of it."""
    if step.kind == LOOP:
        return (<const Loop *> step.facts).n_body
    if step.kind == BRANCH:
        return (<const Branch *> step.facts).n_first + (<const Branch *> step.facts).n_second
    return 0


cdef bint calls_python(const Step *step) noexcept nogil:
    if step.kind == LOOP:
        return (<const Loop *> step.facts).calls
    if step.kind == BRANCH:
        return (<const Branch *> step.facts).calls
    return step.kind == CALL


cdef inline char *_at(Place place, char **bases) noexcept nogil:
    return bases[place.buffer] + place.offset


cdef int _run_region(const Region *region, char **bases) noexcept nogil:
    cdef char *ptrs[FEW_SLOTS]
    cdef char *targets[MAX_SUMS]
    cdef int k
    for k in range(region.n_slots):
        ptrs[k] = _at(region.places[k], bases)
    if region.few != NULL:
        if few_run(region.few, ptrs, region.total):
            note_strong_zero()
        return 0
    if region.totals != NULL:
        for k in range(region.totals.n_sums):
            targets[k] = _at(region.places[region.n_slots + k], bases)
        return run_totals(region.totals, ptrs, targets)
    if region.picked != NULL:
        _run_picked(region, ptrs)
        return 0
    if region.walk == NULL:
        if region.parallel:
            run_parts(<Program> region.program, ptrs, region.steps, region.total)
        else:
            (<Program> region.program).run(ptrs, region.steps, region.total)
    elif region.parallel:
        walk_parts(<Program> region.program, ptrs, region.walk.steps, region.walk.shape,
                   region.walk.nd, region.n_slots)
    else:
        walk(<Program> region.program, ptrs, region.walk.steps, region.walk.shape,
             region.walk.nd, region.n_slots, region.ordered)
    return 0


cdef void _run_picked(const Region *region, char **ptrs) noexcept nogil:
    cdef char stages[MOST_PICKED * BLOCK * 8]
    cdef char *at[FEW_SLOTS]
    cdef intptr_t first = 0, count = 0, block = (<Program> region.program).block
    cdef int k
    while first < region.total:
        for k in range(region.n_slots):
            at[k] = ptrs[k] + first * region.steps[k]
        for k in range(region.n_picked):
            at[region.picked[k].slot] = stages + k * BLOCK * 8
            _pick_block(&region.picked[k], ptrs[region.picked[k].slot], stages + k * BLOCK * 8,
                        count, first, min(block, region.total - first),
                        (<Program> region.program).itemsize)
        (<Program> region.program).run(at, region.steps, min(block, region.total - first))
        first += block
        count += 1


cdef inline void _pick_block(const Picked *p, const char *source, char *target, intptr_t done,
                             intptr_t first, intptr_t n, int item) noexcept nogil:
    cdef intptr_t k, run = 0, single = 0
    if not p.by_runs:
        for k in range(n):
            _pick_one(item, source, target, k, p.table[first + k])
        return
    if done > 0:
        run, single = p.ends[2 * done - 2], p.ends[2 * done - 1]
    _pick_runs(item, source, target, p.runs + 2 * run, p.ends[2 * done] - run,
               p.single + 2 * single, p.ends[2 * done + 1] - single)


cdef int _gemm(const Gemm *g, number *a, number *b, number *c) noexcept nogil:
    cdef number one = 1, beta = 1 if g.accumulate else 0
    if number is float or number is double:
        if g.few.count:
            c_few(&g.few, a, b, c, g.accumulate)
            return 0
    return c_gemm(g.trans_a, g.trans_b, g.m, g.n, g.k, one, a, g.lda, b, g.ldb, beta, c, g.ldc)


cdef int _run_product(const Gemm *g, char **bases) noexcept nogil:
    cdef char *a = _at(g.a, bases)
    cdef char *b = _at(g.b, bases)
    cdef char *c = _at(g.c, bases)
    if g.single:
        if g.slot == 1:
            return _gemm[double](g, <double *> a, <double *> b, <double *> c)
        if g.slot == 0:
            return _gemm[float](g, <float *> a, <float *> b, <float *> c)
        if g.slot == 2:
            return _gemm[floatcomplex](g, <float complex *> a, <float complex *> b,
                                       <float complex *> c)
        return _gemm[doublecomplex](g, <double complex *> a, <double complex *> b,
                                    <double complex *> c)
    return run_slot(g.batched, a, b, c, g.slot, g.accumulate)


cdef int _run_lapack(const Matrices *m, char **bases) noexcept nogil:
    cdef Strided[MAX_MATRICES] x
    cdef int k
    for k in range(m.n):
        x[k] = m.x[k]
        x[k].data = _at(m.places[k], bases)
    return run_batch(&m.task, x, m.nd, m.shape, m.steps, _at(m.work, bases))


cdef int _run_sum(const Sum *s, char **bases) noexcept nogil:
    cdef char *target = _at(s.target, bases)
    if s.size == 8:
        (<double *> target)[0] = 0.0
    else:
        memset(target, 0, s.size)
    if s.rows == 0 or s.size == 0:
        return 0
    return sum_runs(_at(s.source, bases), target, s.outer, s.rows, s.n, s.typenum)


cdef void _run_copy(const Copy *c, char **bases) noexcept nogil:
    cdef char *source = _at(c.source, bases)
    cdef char *target = _at(c.target, bases)
    cdef intptr_t counter[MAX_NDIM]
    cdef int axis, last = c.nd - 1
    for axis in range(c.nd):
        counter[axis] = 0
    if (c.nd == 2 and c.shape[1] > FEW and c.itemsize >= 4 and c.from_steps[1] == c.itemsize
            and c.to_steps[1] == c.itemsize):
        copy_rows(target, c.to_steps[0], source, c.from_steps[0], c.shape[0],
                  c.shape[1] * c.itemsize)
        return
    while True:
        _copy_line(source, c.from_steps[last], target, c.to_steps[last], c.shape[last], c.itemsize)
        axis = last - 1
        while axis >= 0:
            counter[axis] += 1
            source += c.from_steps[axis]
            target += c.to_steps[axis]
            if counter[axis] < c.shape[axis]:
                break
            source -= c.from_steps[axis] * c.shape[axis]
            target -= c.to_steps[axis] * c.shape[axis]
            counter[axis] = 0
            axis -= 1
        if axis < 0:
            return


cdef inline void _copy_line(const char *source, intptr_t from_step, char *target, intptr_t to_step,
                            intptr_t n, int itemsize) noexcept nogil:
    cdef intptr_t k
    if n <= FEW and (itemsize == 8 or itemsize == 4):
        few_copy(source, from_step, target, to_step, n, itemsize)
    elif from_step == itemsize and to_step == itemsize:
        if itemsize >= 4:
            copy_row(target, source, n * itemsize)
        else:
            memcpy(target, source, n * itemsize)
    elif itemsize == 8:
        for k in range(n):
            (<double *> (target + k * to_step))[0] = (<const double *> (source + k * from_step))[0]
    elif itemsize == 4:
        for k in range(n):
            (<float *> (target + k * to_step))[0] = (<const float *> (source + k * from_step))[0]
    else:
        for k in range(n):
            memcpy(target + k * to_step, source + k * from_step, itemsize)


cdef inline void _pick_one(int item, const char *source, char *target, intptr_t k,
                           intptr_t i) noexcept nogil:
    if i < 0:
        memset(target + k * item, 0, item)
    elif item == 8:
        (<double *> target)[k] = (<const double *> source)[i]
    else:
        memcpy(target + k * item, source + i * item, item)


cdef inline void _pick_runs(int item, const char *source, char *target, const intptr_t *runs,
                            intptr_t n_runs, const intptr_t *single,
                            intptr_t n_single) noexcept nogil:
    cdef intptr_t k
    copy_pieces(target, source, runs, n_runs, item)
    for k in range(n_single):
        _pick_one(item, source, target, single[2 * k], single[2 * k + 1])


cdef void _run_pick(const Pick *p, char **bases) noexcept nogil:
    cdef const char *source = _at(p.source, bases)
    cdef char *target = _at(p.target, bases)
    cdef intptr_t k
    if p.runs != NULL:
        _pick_runs(p.itemsize, source, target, p.runs, p.n_runs, p.single, p.n_single)
        return
    if p.itemsize == 8 and not p.zeros:
        for k in range(p.n):
            (<double *> target)[k] = (<const double *> source)[p.table[k]]
        return
    for k in range(p.n):
        _pick_one(p.itemsize, source, target, k, p.table[k])


cdef inline int _outside(intptr_t index, intptr_t axis, intptr_t size,
                         char **bases) noexcept nogil:
    cdef char **notes = bases - NOTES
    notes[0], notes[1], notes[2] = <char *> index, <char *> axis, <char *> size
    return OUTSIDE


cdef inline intptr_t _integer(const char *data, int typenum, intptr_t k) noexcept nogil:
    """An integer as intp, as a cast gives it."""
    if typenum == cnp.NPY_INT64 or typenum == cnp.NPY_LONGLONG:
        return <intptr_t> (<const cnp.npy_int64 *> data)[k]
    if typenum == cnp.NPY_INT32:
        return (<const cnp.npy_int32 *> data)[k]
    if typenum == cnp.NPY_LONG:
        return (<const cnp.npy_long *> data)[k]
    if typenum == cnp.NPY_INT16:
        return (<const cnp.npy_int16 *> data)[k]
    if typenum == cnp.NPY_INT8:
        return (<const cnp.npy_int8 *> data)[k]
    if typenum == cnp.NPY_UINT8:
        return (<const cnp.npy_uint8 *> data)[k]
    if typenum == cnp.NPY_UINT16:
        return (<const cnp.npy_uint16 *> data)[k]
    if typenum == cnp.NPY_UINT32:
        return <intptr_t> (<const cnp.npy_uint32 *> data)[k]
    if typenum == cnp.NPY_ULONG:
        return <intptr_t> (<const cnp.npy_ulong *> data)[k]
    return <intptr_t> (<const cnp.npy_uint64 *> data)[k]


@cython.overflowcheck(False)
cdef int _run_places(const Places *p, char **bases) noexcept nogil:
    """Sums of size_t wrap around, where a plan was made up; who reads the places checks them."""
    cdef size_t *target = <size_t *> _at(p.target, bases)
    cdef const Index *index
    cdef const char *source
    cdef intptr_t k, at, size
    cdef int j
    for k in range(p.n):
        target[k] = <size_t> p.first[k] if p.first != NULL else 0
    for j in range(p.n_indices):
        index = &p.indices[j]
        source, size = _at(index.source, bases), index.size
        for k in range(p.n):
            at = _integer(source, index.typenum, k if index.table == NULL else index.table[k])
            if index.mode == RAISE:
                if not -size <= at < size:
                    return _outside(at, index.axis, size, bases)
                if at < 0:
                    at += size
            elif index.mode == WRAP:
                at = at % size
                if at < 0:
                    at += size
            elif index.mode == CLIP:
                at = max(min(at, size - 1), 0)
            target[k] += <size_t> at * <size_t> index.step
    return 0


cdef int _run_gather(const Along *g, char **bases) noexcept nogil:
    cdef const intptr_t *places = <const intptr_t *> _at(g.places, bases)
    cdef const char *source = _at(g.source, bases)
    cdef char *target = _at(g.target, bases)
    cdef intptr_t _o, k
    for _o in range(g.outer):
        for k in range(g.n):
            if not 0 <= places[k] < g.size:
                return _outside(places[k], 0, g.size, bases)
            _copy_line(source + places[k] * g.steps[1], g.steps[2], target, g.itemsize, g.inner,
                       g.itemsize)
            target += g.inner * g.itemsize
        source += g.steps[0]
    return 0


cdef int _run_scatter(const Along *g, char **bases) noexcept nogil:
    cdef const intptr_t *places = <const intptr_t *> _at(g.places, bases)
    cdef char *source = _at(g.source, bases)
    cdef char *target = _at(g.target, bases)
    if g.itemsize == 8:
        return _scattered(g, <const double *> source, places, <double *> target, bases)
    return _scattered(g, <const float *> source, places, <float *> target, bases)


cdef int _scattered(const Along *g, const cython.floating *source, const intptr_t *places,
                    cython.floating *target, char **bases) noexcept nogil:
    cdef intptr_t _o, k, i
    cdef cython.floating *row
    for _o in range(g.outer):
        for k in range(g.n):
            if not 0 <= places[k] < g.size:
                return _outside(places[k], 0, g.size, bases)
            row = target + places[k] * g.inner
            for i in range(g.inner):
                row[i] = row[i] + source[i]
            source += g.inner
        target += g.size * g.inner
    return 0
