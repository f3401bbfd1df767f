"""Elementwise programs over broadcast operands of any layout.

Operands become strides over the output's axes (zero where broadcast); adjacent axes that every
operand walks through evenly are merged, so that nearly all calls are one run of the program over
one axis.
"""

from cpython.object cimport PyObject
from libc.stdint cimport intptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from cython cimport floating

cimport numpy as cnp
from fastbp._core.dtypes cimport N_SLOTS, itemsize_of, slot_of
from fastbp._core.loops cimport Loop, find_ufunc_loop
from fastbp._core.program cimport BLOCK, MAX_EXTERNAL, Program
from fastbp._core.threads cimport SHORT_PARTS, run_parallel

import numpy as np

from fastbp._core import threads
from fastbp._core.simd import at_most

cnp.import_array()

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *o) noexcept nogil

cdef extern from "<fenv.h>" nogil:
    int fetestexcept(int)
    int feclearexcept(int)
    int FE_DIVBYZERO, FE_OVERFLOW, FE_INVALID

cdef enum:
    # Elements that a thread takes at once: whole blocks, so that any split computes the same.
    PART = 8192
    PACKED_RUN = 128    # rows shorter than this are run on many at a time
    FOLDED = 2048       # numbers that are summed in halves, within the first cache
    HALF_FOLDED = 1024

num_threads, set_num_threads = threads.num_threads, threads.set_num_threads  # here, too

cdef Loop ADD[N_SLOTS]
cdef bint HAVE_ADD = (find_ufunc_loop(np.add, cnp.NPY_FLOAT, &ADD[0])
                      and find_ufunc_loop(np.add, cnp.NPY_DOUBLE, &ADD[1])
                      and find_ufunc_loop(np.add, cnp.NPY_CFLOAT, &ADD[2])
                      and find_ufunc_loop(np.add, cnp.NPY_CDOUBLE, &ADD[3]))


cdef extern from "rows.h" nogil:
    int rows_level
    void copy_rows(char *to, intptr_t to_step, const char *source, intptr_t from_step,
                   intptr_t rows, intptr_t n)

cdef extern from "few_loops.h" nogil:
    int FEW
    double few_sum_double(const double *x, intptr_t n)
    float few_sum_float(const float *x, intptr_t n)


rows_level = at_most(1)


def _few_sums_agree():
    """Say whether NumPy adds few numbers in the order that `few_sum` has."""
    cdef double[::1] x = np.cos(np.arange(1.0, FEW + 1.0)) * 10.0 ** (np.arange(FEW) % 5)
    cdef float[::1] y = np.asarray(x).astype("f4")
    return all([few_sum_double(&x[0], n) == np.add.reduce(np.asarray(x)[:n])
                and few_sum_float(&y[0], n) == np.add.reduce(np.asarray(y)[:n])
                for n in range(1, FEW + 1)])


cdef int FEW_SUMMED = FEW if HAVE_ADD and _few_sums_agree() else 0


cdef bint has_sums() noexcept:
    return HAVE_ADD


cdef struct Run:
    void *program   # a borrowed Program
    char **ptrs
    const intptr_t *steps
    intptr_t total
    int n_slots


cdef struct Walks:
    void *program   # a borrowed Program
    char **ptrs
    intptr_t (*steps)[MAX_NDIM]
    const intptr_t *shape
    int nd, n_slots
    intptr_t rows   # of the first axis, that a thread takes at once


# How the last axes of arrays are walked through in blocks: `rows` of `n` elements at a time; for
# each slot its axes from that of the rows on, as few as they can be.
cdef struct Packing:
    intptr_t n, rows
    int nd[MAX_EXTERNAL]
    bint direct[MAX_EXTERNAL]   # one stride goes through all elements of a block
    intptr_t shape[MAX_EXTERNAL][MAX_NDIM]
    intptr_t steps[MAX_EXTERNAL][MAX_NDIM]


cdef bint take_fp_flags() noexcept nogil:
    if fetestexcept(FE_DIVBYZERO | FE_OVERFLOW | FE_INVALID):
        feclearexcept(FE_DIVBYZERO | FE_OVERFLOW | FE_INVALID)
        return True
    return False


cdef bint is_ours(PyObject *a) noexcept:
    # One reference and own data: no view, variable or residual can see it, so it may be written in
    # place.
    return (Py_REFCNT(a) == 1 and cnp.PyArray_CheckExact(<object> a)
            and cnp.PyArray_CHKFLAGS(<cnp.ndarray> a, cnp.NPY_ARRAY_OWNDATA | cnp.NPY_ARRAY_CARRAY))


cdef int store_number(object x, int typenum, char *to) except -1:
    cdef double complex z
    if typenum == cnp.NPY_DOUBLE:
        (<double *> to)[0] = x
    elif typenum == cnp.NPY_FLOAT:
        (<float *> to)[0] = x
    else:
        z = x
        if typenum == cnp.NPY_CDOUBLE:
            (<double *> to)[0], (<double *> to)[1] = z.real, z.imag
        else:
            (<float *> to)[0], (<float *> to)[1] = <float> z.real, <float> z.imag
    return 0


cdef int run_program(Program p, PyObject **operands, const int *leads, PyObject **outs,
                     int nd, const cnp.npy_intp *dims) except -1:
    cdef char *ptrs[MAX_EXTERNAL]
    cdef intptr_t flat[MAX_EXTERNAL]
    cdef double numbers[2 * MAX_EXTERNAL]
    cdef intptr_t total = 1
    cdef bint simple = True
    cdef int k, n_in = p.n_inputs, itemsize = p.itemsize
    cdef cnp.ndarray a
    if nd > MAX_NDIM:
        raise ValueError(f"arrays of more than {MAX_NDIM} axes are not supported")
    for k in range(nd):
        total *= dims[k]
    if total == 0:
        return 0
    for k in range(n_in):
        flat[k] = 0
        ptrs[k] = NULL
        if operands[k] == NULL:
            continue
        if cnp.PyArray_Check(<object> operands[k]):
            a = <cnp.ndarray> operands[k]
            ptrs[k] = cnp.PyArray_BYTES(a)
            if _has_shape(a, nd, dims) and cnp.PyArray_IS_C_CONTIGUOUS(a):
                flat[k] = itemsize
            elif cnp.PyArray_SIZE(a) != 1:
                simple = False
        else:
            ptrs[k] = <char *> &numbers[2 * k]
            store_number(<object> operands[k], p.typenum, ptrs[k])
    for k in range(p.n_outputs):
        ptrs[n_in + k] = cnp.PyArray_BYTES(<cnp.ndarray> outs[k])
        flat[n_in + k] = itemsize
    if simple:
        if total >= PARALLEL:
            with nogil:
                run_parts(p, ptrs, flat, total)
        elif total > 4096:
            with nogil:
                p.run(ptrs, flat, total)
        else:
            p.run(ptrs, flat, total)
        return 0
    return _run_strided(p, operands, leads, outs, ptrs, nd, dims, total)


cdef void run_parts(Program p, char **ptrs, const intptr_t *steps, intptr_t total) noexcept nogil:
    """Run on all threads; slots with a step of zero stay where they are."""
    cdef Run run
    run.program = <void *> p
    run.ptrs = ptrs
    run.steps = steps
    run.total = total
    run.n_slots = p.n_inputs + p.n_outputs
    run_parallel(_run_part, &run, <int> ((total + PART - 1) // PART))


cdef void _run_part(void *context, int part) noexcept nogil:
    cdef Run *run = <Run *> context
    cdef char *ptrs[MAX_EXTERNAL]
    cdef intptr_t first = <intptr_t> part * PART
    cdef int k
    for k in range(run.n_slots):
        ptrs[k] = run.ptrs[k] + first * run.steps[k]
    (<Program> run.program).run(ptrs, run.steps, min(PART, run.total - first))


cdef inline bint _has_shape(cnp.ndarray a, int nd, const cnp.npy_intp *dims) noexcept:
    cdef int axis
    if cnp.PyArray_NDIM(a) != nd:
        return False
    for axis in range(nd):
        if cnp.PyArray_DIM(a, axis) != dims[axis]:
            return False
    return True


cdef int _run_strided(Program p, PyObject **operands, const int *leads, PyObject **outs,
                      char **ptrs, int nd, const cnp.npy_intp *dims, intptr_t total) except -1:
    cdef intptr_t steps[MAX_EXTERNAL][MAX_NDIM]
    cdef intptr_t shape[MAX_NDIM]
    cdef intptr_t flat[MAX_EXTERNAL]
    cdef int n_slots = p.n_inputs + p.n_outputs
    cdef int k, merged
    for k in range(n_slots):
        _strides_over(operands[k] if k < p.n_inputs else outs[k - p.n_inputs],
                      leads[k] if leads != NULL and k < p.n_inputs else 0, nd, dims, steps[k])
    merged = merge_axes(steps, n_slots, nd, dims, shape)
    if merged == 1 and total >= PARALLEL:
        for k in range(n_slots):
            flat[k] = steps[k][0]
        with nogil:
            run_parts(p, ptrs, flat, total)
        return 0
    with nogil:
        if total >= PARALLEL:
            walk_parts(p, ptrs, steps, shape, merged, n_slots)
        else:
            walk(p, ptrs, steps, shape, merged, n_slots, False)
    return 0


cdef void walk_parts(Program p, char **ptrs, intptr_t[MAX_NDIM] *steps, const intptr_t *shape,
                     int nd, int n_slots) noexcept nogil:
    """Walk on all threads, each through some of the first axis."""
    cdef Walks walks
    cdef intptr_t inside = 1
    cdef int axis
    for axis in range(1, nd):
        inside *= shape[axis]
    walks.program = <void *> p
    walks.ptrs = ptrs
    walks.steps = steps
    walks.shape = shape
    walks.nd, walks.n_slots = nd, n_slots
    walks.rows = max(PART // inside, 1)
    run_parallel(_walk_part, &walks, <int> ((shape[0] + walks.rows - 1) // walks.rows),
                 <int> max(SHORT_PARTS * PART // (walks.rows * inside), 1))


cdef void _walk_part(void *context, int part) noexcept nogil:
    cdef Walks *walks = <Walks *> context
    cdef char *ptrs[MAX_EXTERNAL]
    cdef intptr_t shape[MAX_NDIM]
    cdef intptr_t first = <intptr_t> part * walks.rows
    cdef int k
    memcpy(shape, walks.shape, walks.nd * sizeof(intptr_t))
    shape[0] = min(walks.rows, shape[0] - first)
    for k in range(walks.n_slots):
        ptrs[k] = walks.ptrs[k] + first * walks.steps[k][0]
    walk(<Program> walks.program, ptrs, walks.steps, shape, walks.nd, walks.n_slots, False)


cdef int merge_axes(intptr_t[MAX_NDIM] *steps, int n_slots, int nd, const cnp.npy_intp *dims,
                    intptr_t *shape) noexcept:
    cdef int axis, k, merged = 0
    for axis in range(nd):
        if dims[axis] == 1:
            continue
        if merged > 0 and _mergeable(steps, n_slots, merged - 1, axis, dims[axis]):
            shape[merged - 1] *= dims[axis]
            for k in range(n_slots):
                steps[k][merged - 1] = steps[k][axis]
        else:
            shape[merged] = dims[axis]
            for k in range(n_slots):
                steps[k][merged] = steps[k][axis]
            merged += 1
    return merged


cdef void _strides_over(PyObject *operand, int own_lead, int nd, const cnp.npy_intp *dims,
                        intptr_t *steps) noexcept:
    """Strides of an operand over the output's axes.

    Its block axes first, the others aligned at the end.
    """
    cdef int axis, own_nd, own
    cdef cnp.ndarray a
    for axis in range(nd):
        steps[axis] = 0
    if operand == NULL or not cnp.PyArray_Check(<object> operand):
        return
    a = <cnp.ndarray> operand
    own_nd = cnp.PyArray_NDIM(a)
    for own in range(own_nd):
        axis = own if own < own_lead else nd - own_nd + own
        if cnp.PyArray_DIM(a, own) != 1 or dims[axis] == 1:
            steps[axis] = cnp.PyArray_STRIDE(a, own)


cdef bint _mergeable(intptr_t[MAX_NDIM] *steps, int n_slots, int outer, int inner,
                     intptr_t inner_size) noexcept:
    cdef int k
    for k in range(n_slots):
        if steps[k][outer] != steps[k][inner] * inner_size:
            return False
    return True


cdef void walk(Program p, char **ptrs, intptr_t[MAX_NDIM] *steps, const intptr_t *shape, int nd,
               int n_slots, bint ordered) noexcept nogil:
    cdef intptr_t counter[MAX_NDIM]
    cdef intptr_t inner[MAX_EXTERNAL]
    cdef Packing packing
    cdef int axis, k, last = nd - 1
    cdef bint packed = not ordered and nd > 1 and shape[nd - 1] < PACKED_RUN
    if packed:
        last = _pack(&packing, p, steps, shape, nd, n_slots)
        packed = packing.rows > 1 or last < nd - 2
    if not packed:
        last = nd - 1
    for axis in range(last):
        counter[axis] = 0
    for k in range(n_slots):
        inner[k] = steps[k][last]
    while True:
        if packed:
            _run_packed(p, &packing, ptrs, shape[last], n_slots)
        else:
            p.run(ptrs, inner, shape[last])
        axis = last - 1
        while axis >= 0:
            counter[axis] += 1
            for k in range(n_slots):
                ptrs[k] += steps[k][axis]
            if counter[axis] < shape[axis]:
                break
            for k in range(n_slots):
                ptrs[k] -= steps[k][axis] * shape[axis]
            counter[axis] = 0
            axis -= 1
        if axis < 0:
            return


cdef int _pack(Packing *packing, Program p, intptr_t[MAX_NDIM] *steps, const intptr_t *shape,
               int nd, int n_slots) noexcept nogil:
    """Find out how many axes fit a block; return the one of which it takes some rows at a time."""
    cdef int last = nd - 1, k, axis, own
    cdef intptr_t n = 1
    while last > 0 and n * shape[last] <= p.block:
        n *= shape[last]
        last -= 1
    packing.n = n
    packing.rows = min(max(p.block // n, 1), shape[last])
    for k in range(n_slots):
        own = 0
        for axis in range(last, nd):
            # The axis of rows stays: how many there are of them differs at the end.
            if own > 1 and packing.steps[k][own - 1] == steps[k][axis] * shape[axis]:
                packing.shape[k][own - 1] *= shape[axis]
                packing.steps[k][own - 1] = steps[k][axis]
            else:
                packing.shape[k][own], packing.steps[k][own] = shape[axis], steps[k][axis]
                own += 1
        packing.nd[k] = own
        packing.direct[k] = own == 1 or (
            own == 2 and packing.steps[k][0] == packing.steps[k][1] * packing.shape[k][1])
    return last


cdef void _run_packed(Program p, Packing *packing, char **ptrs, intptr_t rows,
                      int n_slots) noexcept nogil:
    """Run over axes of which the last ones are short: many of their rows are one.

    What no single stride walks through is copied to a block, or from one.
    """
    cdef char packs[MAX_EXTERNAL * BLOCK * 8]
    cdef char *args[MAX_EXTERNAL]
    cdef intptr_t arg_steps[MAX_EXTERNAL]
    cdef intptr_t row = 0, some
    cdef int k
    while row < rows:
        some = min(packing.rows, rows - row)
        for k in range(n_slots):
            args[k] = ptrs[k] + row * packing.steps[k][0]
            arg_steps[k] = packing.steps[k][packing.nd[k] - 1]
            if not packing.direct[k]:
                packing.shape[k][0] = some
                # What all rows have in common stays as it was packed for the first ones.
                if k < p.n_inputs and (row == 0 or packing.steps[k][0] != 0):
                    _moved(packs + k * BLOCK * 8, args[k], packing.shape[k], packing.steps[k],
                           packing.nd[k], p.itemsize, False)
                args[k], arg_steps[k] = packs + k * BLOCK * 8, p.itemsize
        p.run(args, arg_steps, some * packing.n)
        for k in range(p.n_inputs, n_slots):
            if not packing.direct[k]:
                _moved(args[k], ptrs[k] + row * packing.steps[k][0], packing.shape[k],
                       packing.steps[k], packing.nd[k], p.itemsize, True)
        row += some


cdef char *_moved(char *packed, char *x, const intptr_t *shape, const intptr_t *steps, int nd,
                  int itemsize, bint back) noexcept nogil:
    """Copy an array to contiguous memory, or `back`; return where that ends."""
    cdef intptr_t i, n = shape[0], step = steps[0], row
    if nd == 2 and steps[1] == itemsize:
        row = shape[1] * itemsize
        if back:
            copy_rows(x, step, packed, row, n, row)
        else:
            copy_rows(packed, row, x, step, n, row)
        return packed + n * row
    if nd > 1:
        for i in range(n):
            packed = _moved(packed, x + i * step, shape + 1, steps + 1, nd - 1, itemsize, back)
        return packed
    if step == itemsize:
        memcpy(x if back else packed, packed if back else x, n * itemsize)
    elif itemsize == 8 and step % 8 == 0:
        _moved_line(<double *> packed, <double *> x, n, step // 8, back)
    elif itemsize == 4 and step % 4 == 0:
        _moved_line(<float *> packed, <float *> x, n, step // 4, back)
    else:
        for i in range(n):
            memcpy(x + i * step if back else packed + i * itemsize,
                   packed + i * itemsize if back else x + i * step, itemsize)
    return packed + n * itemsize


cdef inline void _moved_line(floating *packed, floating *x, intptr_t n, intptr_t step,
                             bint back) noexcept nogil:
    cdef intptr_t i
    cdef floating same = x[0]
    if back:
        for i in range(n):
            x[i * step] = packed[i]
    elif step == 0:
        for i in range(n):
            packed[i] = same
    else:
        for i in range(n):
            packed[i] = x[i * step]


cdef cnp.ndarray sum_to_shape(cnp.ndarray g, int lead, tuple shape):
    cdef int nd = cnp.PyArray_NDIM(g), own = len(shape)
    cdef int axis, first = nd - own
    cdef bint summed[MAX_NDIM]
    cdef bint any_summed = first > lead, inner = False
    cdef int failed
    cdef cnp.npy_intp dims[MAX_NDIM]
    cdef intptr_t rows = 1
    cdef cnp.ndarray out
    if nd > MAX_NDIM:
        raise ValueError(f"arrays of more than {MAX_NDIM} axes are not supported")
    for axis in range(nd):
        summed[axis] = lead <= axis < first
        if axis >= first and <cnp.npy_intp> shape[axis - first] != cnp.PyArray_DIM(g, axis):
            summed[axis] = any_summed = inner = True
    if not any_summed:
        return g
    if not inner and lead == 0 and HAVE_ADD and is_plain(g) and cnp.PyArray_IS_C_CONTIGUOUS(g) \
            and cnp.PyArray_SIZE(g) > 0:
        for axis in range(nd):
            dims[axis] = cnp.PyArray_DIM(g, axis)
            if axis < first:
                rows *= dims[axis]
        out = cnp.PyArray_ZEROS(own, dims + first, cnp.PyArray_TYPE(g), 0)
        with nogil:
            failed = sum_runs(cnp.PyArray_BYTES(g), cnp.PyArray_BYTES(out), 1, rows,
                              cnp.PyArray_SIZE(out), cnp.PyArray_TYPE(g))
        if failed:
            raise MemoryError
        return out
    return _sum_axes(g, summed).reshape((<object> g).shape[:lead] + shape)


cdef object _sum_axes(cnp.ndarray g, const bint *summed):
    """Sum over the axes marked, which stay with length one."""
    cdef cnp.npy_intp dims[MAX_NDIM]
    cdef int nd = cnp.PyArray_NDIM(g), axis, first, end, failed, typenum = cnp.PyArray_TYPE(g)
    cdef intptr_t outer, rows, n
    cdef cnp.ndarray out
    if not HAVE_ADD or not is_plain(g) or cnp.PyArray_SIZE(g) == 0:
        return np.add.reduce(g, axis=tuple([k for k in range(nd) if summed[k]]), keepdims=True)
    if not cnp.PyArray_IS_C_CONTIGUOUS(g):
        g = np.ascontiguousarray(g)
    # Axes side by side are one; the last of them first, as that leaves the least for the others.
    end = nd
    while end > 0:
        if not summed[end - 1]:
            end -= 1
            continue
        first = end - 1
        while first > 0 and summed[first - 1]:
            first -= 1
        outer = rows = n = 1
        for axis in range(nd):
            dims[axis] = cnp.PyArray_DIM(g, axis)
            if axis < first:
                outer *= dims[axis]
            elif axis >= end:
                n *= dims[axis]
            else:
                rows *= dims[axis]
                dims[axis] = 1
        out = cnp.PyArray_ZEROS(nd, dims, typenum, 0)
        with nogil:
            failed = sum_runs(cnp.PyArray_BYTES(g), cnp.PyArray_BYTES(out), outer, rows, n, typenum)
        if failed:
            raise MemoryError
        g = out
        end = first
    return g


cdef int sum_runs(char *g, char *out, intptr_t outer, intptr_t rows, intptr_t n,
                  int typenum) noexcept nogil:
    cdef Loop *loop = &ADD[slot_of(typenum)]
    cdef intptr_t itemsize = itemsize_of(typenum)
    cdef intptr_t block = 8, blocks, levels = 0
    cdef char *partial = NULL
    if n > 1:
        if n < FOLDED // 8:
            while block * 2 * n <= FOLDED:
                block *= 2
        blocks = (rows + block - 1) // block
        while blocks >> levels:
            levels += 1
        if levels > 1:
            partial = <char *> malloc((levels - 1) * n * itemsize)
            if partial == NULL:
                return -1
    for _ in range(outer):
        if n == 1 and rows <= FEW_SUMMED and typenum == cnp.NPY_DOUBLE:
            (<double *> out)[0] += few_sum_double(<const double *> g, rows)
        elif n == 1 and rows <= FEW_SUMMED and typenum == cnp.NPY_FLOAT:
            (<float *> out)[0] += few_sum_float(<const float *> g, rows)
        elif n == 1:
            # A step of zero for accumulator and output is the loop's pairwise reduction.
            _add(loop, out, g, out, rows, 0, itemsize)
        else:
            _sum_rows(loop, g, out, partial, rows, n, block, itemsize)
        g += rows * n * itemsize
        out += n * itemsize
    free(partial)
    return 0


cdef void sum_few(char *g, char *out, intptr_t rows, intptr_t n, int typenum) noexcept nogil:
    cdef Loop *loop = &ADD[slot_of(typenum)]
    cdef double total[2]        # of up to 16 bytes
    if n > 1:
        _sum_block(loop, g, out, rows, n, itemsize_of(typenum))
        return
    total[0] = total[1] = 0.0
    _add(loop, <char *> total, g, <char *> total, rows, 0, itemsize_of(typenum))
    memcpy(out, total, itemsize_of(typenum))


cdef void add_to(char *out, char *x, intptr_t n, int typenum) noexcept nogil:
    cdef intptr_t item = itemsize_of(typenum)
    _add(&ADD[slot_of(typenum)], out, x, out, n, item, item)


cdef void _sum_rows(const Loop *loop, char *g, char *out, char *partial, intptr_t rows, intptr_t n,
                    intptr_t block, intptr_t itemsize) noexcept nogil:
    """Sum `rows` rows of `n` numbers by blocks, and the sums of blocks in pairs.

    The sum of 2^k blocks waits for another one of as many: so `partial` has room for the
    logarithm of their number, and `out` is the first of them.
    """
    cdef intptr_t size = n * itemsize, done = 0, waiting = 0, pairs
    cdef char *top
    while rows > 0:
        top = out if waiting == 0 else partial + (waiting - 1) * size
        _sum_block(loop, g, top, min(rows, block), n, itemsize)
        g += block * size
        rows -= block
        done += 1
        waiting += 1
        pairs = done
        while waiting > 1 and (rows <= 0 or not pairs & 1):   # at the end all of them meet
            top = out if waiting == 2 else partial + (waiting - 3) * size
            _add(loop, top, partial + (waiting - 2) * size, top, n, itemsize, itemsize)
            waiting -= 1
            pairs >>= 1


cdef void _sum_block(const Loop *loop, char *g, char *out, intptr_t rows, intptr_t n,
                     intptr_t itemsize) noexcept nogil:
    """Sum few rows: in halves where they are short, one after the other where they are long."""
    cdef double folded_numbers[2 * HALF_FOLDED]     # of up to 16 bytes
    cdef char *folded = <char *> folded_numbers
    cdef intptr_t size = n * itemsize, half, k
    if rows * n > FOLDED or rows < 4:
        if out != g:
            memcpy(out, g, size)
        for k in range(1, rows):
            _add(loop, out, g + k * size, out, n, itemsize, itemsize)
        return
    half = rows // 2
    _add(loop, g, g + half * size, folded, half * n, itemsize, itemsize)
    if rows & 1:
        _add(loop, folded, g + (rows - 1) * size, folded, n, itemsize, itemsize)
    while half > 1:
        rows, half = half, half // 2
        _add(loop, folded, folded + half * size, folded, half * n, itemsize, itemsize)
        if rows & 1:
            _add(loop, folded, folded + (rows - 1) * size, folded, n, itemsize, itemsize)
    memcpy(out, folded, size)


cdef inline void _add(const Loop *loop, char *a, char *b, char *out, intptr_t n, intptr_t step,
                      intptr_t step_b) noexcept nogil:
    cdef char *args[3]
    cdef intptr_t steps[3]
    args[0], args[1], args[2] = a, b, out
    steps[0], steps[1], steps[2] = step, step_b, step
    loop.fn(args, &n, steps, loop.data)


def sum_axes(g, tuple axes):
    """Sum an array over some axes, which stay with length one.

    In pairs or blocks along every axis: NumPy adds rows one after the other, which costs float32
    its digits where there are many.

    Parameters
    ----------
    g : ndarray
        Of a dtype with derivatives.
    axes : tuple of int
        May be negative.

    Returns
    -------
    ndarray of the dtype of `g`
    """
    cdef cnp.ndarray array = np.asarray(g)
    cdef bint summed[MAX_NDIM]
    cdef int k, nd = cnp.PyArray_NDIM(array)
    if nd > MAX_NDIM:
        raise ValueError(f"arrays of more than {MAX_NDIM} axes are not supported")
    for k in range(nd):
        summed[k] = k in axes or k - nd in axes
    return _sum_axes(array, summed)


def sum_to(g, shape, int lead=0):
    """Sum an array over the axes along which an operand of `shape` was broadcast.

    Parameters
    ----------
    g : ndarray
        Of a dtype with derivatives.
    shape : tuple of int
        A shape that broadcasts to ``g.shape[lead:]``.
    lead : int
        Number of leading block axes of `g` that stay.

    Returns
    -------
    ndarray of the dtype of `g`, shape ``g.shape[:lead] + shape``
    """
    return sum_to_shape(np.asarray(g), lead, tuple(shape))


cdef cnp.ndarray total_of(cnp.ndarray x):
    cdef char *args[3]
    cdef intptr_t steps[3]
    cdef intptr_t n = cnp.PyArray_SIZE(x)
    cdef Loop *loop
    cdef cnp.ndarray out
    if (not HAVE_ADD or n == 0 or not is_plain(x) or not cnp.PyArray_IS_C_CONTIGUOUS(x)):
        return None
    loop = &ADD[slot_of(cnp.PyArray_TYPE(x))]
    out = cnp.PyArray_EMPTY(0, NULL, cnp.PyArray_TYPE(x), 0)
    memset(cnp.PyArray_DATA(out), 0, cnp.PyArray_ITEMSIZE(out))
    args[0] = args[2] = cnp.PyArray_BYTES(out)
    args[1] = cnp.PyArray_BYTES(x)
    steps[0] = steps[2] = 0
    steps[1] = cnp.PyArray_ITEMSIZE(x)
    if n > 4096:
        with nogil:
            loop.fn(args, &n, steps, loop.data)
    else:
        loop.fn(args, &n, steps, loop.data)
    if take_fp_flags():
        return cnp.PyArray_FROM_O(np.add.reduce(x, None))  # as NumPy's errstate says
    return out


def total(cnp.ndarray x not None):
    """Return the sum of all elements of `x`, as ``numpy.add.reduce(x, None)`` does.

    By NumPy's inner loop, which adds in pairs, without the cost of its call.
    """
    cdef cnp.ndarray out = total_of(x)
    return np.add.reduce(x, None) if out is None else out[()]
