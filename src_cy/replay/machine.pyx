"""The machine of a plan: instructions over buffers, run without Python and without allocations.

An instruction names its operands by buffer and offset. The buffers of a call (its inputs,
constants, one workspace, its outputs, what functions of Python return) are addresses in a `Frame`,
so any number of calls may run the same instructions at once. What an instruction does was laid out
when it was made: from shapes and strides, once. `instructions.pyx` runs them.
"""

from cpython.ref cimport Py_INCREF, PyObject
from libc.math cimport INFINITY
from libc.stdint cimport intptr_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc, realloc
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

cimport cython
cimport numpy as cnp
from fastbp._core.blas cimport c_are_few, few_of
from fastbp._core.buffers cimport LARGE, enter_pool, leave_pool
from fastbp._core.dtypes cimport itemsize_of, slot_of
from fastbp._core.elementwise cimport MAX_NDIM, PARALLEL, has_sums, merge_axes
from fastbp._core.instructions cimport (
    AS_IS, BRANCH, CALL, COPY, GATHER, INTERRUPTED, LAPACK, LEAVE, LEFT, LOOP, MOST_PICKED, NOTES,
    OUTSIDE, PICK, PLACES, PRODUCT, RAISE, REGION, SCATTER, SUM, UNWATCHED, ZERO, Along, Branch,
    Call, Copy, Gemm, Index, InstructionKind, Leave, Loop, Matrices, Moving, Pick, Picked, Place,
    Places, Region, Step, Sum, Walk, Zero, advance, begin, behind, calls_python, is_set, run_steps,
)
from fastbp._core.lapack cimport FAILED, Strided, Task, count_of, fill_task, is_result, layout_of
from fastbp._core.program cimport MAX_EXTERNAL, Program, few_code, few_op
from fastbp._core.strided cimport MAX_BATCH, Matrix, Product, fold, layout
from fastbp._core.totals cimport MAX_SUMS, Totals

import math

import numpy as np
from numpy.linalg import LinAlgError

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    object PyArray_NewFromDescr(type subtype, cnp.dtype descr, int nd, const cnp.npy_intp *dims,
                                const cnp.npy_intp *strides, void *data, int flags, object obj)

cdef enum:
    ALIGNMENT = 64
    FRAMES_KEPT = 4
    RUN = 6                 # elements in a row of a table from which on they are copied as one
    JOINED = 8              # elements of runs that are made one
    BETWEEN = 4             # ... and at most so many between them

# For those who lay out a plan.
MOST_PICKED_INPUTS = MOST_PICKED

# Releasing the GIL costs about 50 ns: below so much work it is kept.
cdef double WORTH_RELEASING = 1 << 15

cdef tuple INTEGERS = (
    cnp.NPY_INT8, cnp.NPY_INT16, cnp.NPY_INT32, cnp.NPY_INT64, cnp.NPY_UINT8, cnp.NPY_UINT16,
    cnp.NPY_UINT32, cnp.NPY_UINT64, cnp.NPY_LONG, cnp.NPY_ULONG, cnp.NPY_LONGLONG,
    cnp.NPY_ULONGLONG,
)


@cython.final
cdef class Frame:
    def __init__(self):
        raise TypeError("a Frame is made by its Machine")

    def __dealloc__(self):
        if self.bases != NULL:
            free(self.bases - NOTES)
        free(self.memory)
        free(self.scalars)


@cython.final
cdef class Machine:
    """Instructions, appended one after the other, and run in that order.

    Operands are given as pairs ``(buffer, offset in bytes)``.

    Parameters
    ----------
    n_buffers : int
        Buffers are numbered from 0.
    work_buffer, work_bytes : int
        Which of them is the workspace, and how large it is.
    constants : dict of int to ndarray
        Buffers that are the same in every call. Their arrays must not be written into.
    sizes : dict of int to (int, bool), optional
        Of the buffers that a call brings, how many bytes they have and whether they are written.
        With it an instruction that reaches outside of a buffer, reads one before it is there, or
        writes into another, is refused. Without it nothing of that is checked.
    """

    def __init__(self, int n_buffers, int work_buffer, Py_ssize_t work_bytes, dict constants,
                 dict sizes=None):
        if not 0 <= work_buffer < n_buffers or work_bytes < 0:
            raise ValueError("Machine: the workspace must be one of the buffers")
        self.n_buffers, self.work_buffer, self.work_bytes = n_buffers, work_buffer, work_bytes
        self.keep, self.calls, self.frames, self.blocks = [], [], [], []
        self.begun = [[]]
        if sizes is not None:
            self.extents = <Extent *> calloc(n_buffers, sizeof(Extent))
            if self.extents == NULL:
                raise MemoryError
            self._bring(work_buffer, work_bytes, True)
            for buffer, (size, written) in sizes.items():
                self._bring(buffer, size, written)
        for buffer, array in constants.items():
            if not 0 <= buffer < n_buffers:
                raise ValueError(f"Machine: there is no buffer {buffer}")
            self._bring(buffer, array.nbytes, False)
            if self.extents != NULL:
                self.extents[<int> buffer].aligned = _aligned_at(
                    <intptr_t> cnp.PyArray_DATA(<cnp.ndarray> array))
            self.keep.append((buffer, array))

    def __dealloc__(self):
        cdef int k
        free(self.extents)
        for k in range(self.n_steps):
            if self.steps[k].kind == PRODUCT:
                free((<Gemm *> self.steps[k].facts).batched)
            if self.steps[k].kind == REGION:
                free((<Region *> self.steps[k].facts).walk)
                free((<Region *> self.steps[k].facts).totals)
                free((<Region *> self.steps[k].facts).few)
                free((<Region *> self.steps[k].facts).picked)
            free(self.steps[k].facts)
        free(self.steps)

    # -- making

    cdef Step *_step(self, InstructionKind kind, size_t size, double work) except NULL:
        cdef Step *steps
        cdef void *facts = NULL
        if self.n_steps == self.capacity:
            steps = <Step *> realloc(self.steps, (2 * self.capacity + 16) * sizeof(Step))
            if steps == NULL:
                raise MemoryError
            self.steps, self.capacity = steps, 2 * self.capacity + 16
        if size:
            facts = calloc(1, size)
            if facts == NULL:
                raise MemoryError
        cdef Step *step = &self.steps[self.n_steps]
        step.kind, step.facts, step.work = kind, facts, work
        self.n_steps += 1
        return step

    cdef int _set(self, Place *place, object pair) except -1:
        place.buffer, place.offset = pair
        if not 0 <= place.buffer < self.n_buffers or place.offset < 0:
            raise ValueError(f"Machine: there is no place {pair}")
        return 0

    @property
    def constants(self):
        """Buffers that are the same in every call, and their arrays."""
        return dict([item for item in self.keep if type(item) is tuple])

    # -- what instructions may reach: as far as they are appended, what is there when they run

    def size_of(self, int buffer):
        """Return how many bytes of a buffer may be written by now; -1: it is not known."""
        if self.extents == NULL or not 0 <= buffer < self.n_buffers:
            return -1
        return self.extents[buffer].size if self.extents[buffer].written else 0

    cdef int _bring(self, int buffer, double size, bint written) except -1:
        """Let a buffer be there from now on, to the end of the block that has begun."""
        if not 0 <= buffer < self.n_buffers:
            raise ValueError(f"Machine: there is no buffer {buffer}")
        if self.extents == NULL:
            return 0
        if self.extents[buffer].there or size < 0:
            raise ValueError(f"Machine: buffer {buffer} is another one already, or has no size")
        self.extents[buffer] = Extent(size, True, written, 8)
        (<list> self.begun[len(self.begun) - 1]).append(buffer)
        return 0

    cdef int _reach(self, Place *place, object pair, double low, double high,
                    bint written, int item) except -1:
        """Set a place, of which bytes from `low` to `high` are read or written, as items."""
        self._set(place, pair)
        if self.extents == NULL or low == high:
            return 0
        cdef Extent *extent = &self.extents[place.buffer]
        if not extent.there or place.offset + low < 0 or place.offset + high > extent.size:
            raise ValueError(f"Machine: an operand at {pair} is outside of what is there")
        if place.offset % min(item, 8) or extent.aligned < min(item, 8):
            raise ValueError(f"Machine: an operand at {pair} is not aligned")
        if written and not extent.written:
            raise ValueError(f"Machine: an instruction writes at {pair}, which is only read")
        return 0

    cdef int _move(self, Loop *loop, bint inside) except -1:
        """Say how far what moves may be reached in a loop, or behind it."""
        cdef Moving *moving
        cdef Extent *extent
        cdef Extent *start
        cdef double first, last
        cdef Py_ssize_t count = loop.count
        cdef int k
        if self.extents == NULL:
            return 0
        for k in range(loop.n_moving):
            moving = &loop.moving[k]
            start = &self.extents[moving.start.buffer]
            extent = &self.extents[moving.buffer]
            if count < 0 and moving.step != 0:
                raise ValueError("Machine.loop: what moves without end")
            if inside:
                self._bring(moving.buffer, 0, start.written)
            first = moving.start.offset
            last = first + <double> moving.step * max(count - (1 if inside else 0), 0)
            extent.size = 0
            extent.aligned = min(start.aligned, _aligned_at(moving.start.offset | moving.step))
            if start.there and min(first, last) >= 0:
                extent.size = max(start.size - max(first, last), 0.0)
        swapping = [loop.swaps[k] for k in range(2 * loop.n_swaps)]
        if any([loop.moving[k].step != 0 and loop.moving[k].buffer in swapping
                for k in range(loop.n_moving)]) or len(set(swapping)) < len(swapping):
            raise ValueError("Machine.loop: what swaps, once, does not move by itself")
        for k in range(loop.n_swaps):
            extent = &self.extents[loop.swaps[2 * k]]
            start = &self.extents[loop.swaps[2 * k + 1]]
            extent.size = start.size = min(extent.size, start.size)
            extent.aligned = start.aligned = min(extent.aligned, start.aligned)
            extent.written = start.written = extent.written and start.written
        return 0

    cdef int _forget(self) except -1:
        """End a block: what it has brought may not be there behind it."""
        for buffer in <list> self.begun.pop():
            if self.extents != NULL:
                self.extents[<int> buffer] = Extent(0, False, False, 0)
        return 0

    @cython.boundscheck(True)     # what is given may be from a file
    def region(self, Program program not None, tuple shape not None, list slots not None,
               tuple sums=None, bint ordered=False, list picked=None):
        """Append a run of a program.

        Parameters
        ----------
        program : Program
        shape : tuple of int
            The iteration space, at most 32 axes.
        slots : list
            For each input, then each output, its place and its strides in bytes along these axes.
        sums : tuple, optional
            ``(first, end, [(k, place), ...])``: output `k` is written nowhere, its sum over the
            axes ``first:end`` is, in C order. Its place in `slots` counts for nothing. Along these
            axes, those before and those behind, all others must be walked through evenly.
        ordered : bool
            Outputs overlap: elements are computed in their order, in one thread.
        picked : list of (int, ndarray)
            Inputs, by their number, that are not in memory: element i is that at ``table[i]`` of
            the place, 0 where that is -1. All slots must then be walked through evenly, and no
            output may lie where elements are picked.
        """
        cdef int nd = len(shape), k, axis, n = len(slots), n_sums = len(sums[2]) if sums else 0
        cdef cnp.npy_intp dims[MAX_NDIM]
        cdef Region *region
        cdef Walk plan
        cdef double low[MAX_EXTERNAL]
        cdef double high[MAX_EXTERNAL]
        cdef Py_ssize_t total
        if nd > MAX_NDIM or n != program.n_inputs + program.n_outputs:
            raise ValueError("Machine.region: too many axes, or slots missing")
        for axis in range(nd):
            dims[axis] = shape[axis]
        total = _count(dims, nd)
        if total == 0:
            return
        for k in range(n):
            if len(slots[k][1]) != nd:
                raise ValueError("Machine.region: a stride for each axis is needed")
            for axis in range(nd):
                plan.steps[k][axis] = slots[k][1][axis]
            _span(dims, plan.steps[k], nd, program.itemsize, &low[k], &high[k])
        plan.nd = merge_axes(plan.steps, n, nd, dims, plan.shape)
        if plan.nd == 0:
            for k in range(n):
                plan.steps[k][0] = 0
        cdef Step *step = self._step(
            REGION, sizeof(Region) + n * (sizeof(Place) + sizeof(intptr_t))
            + n_sums * sizeof(Place),
            <double> total * program.n_code)
        region = <Region *> step.facts
        region.places = <Place *> (region + 1)
        region.steps = <intptr_t *> (region.places + n + n_sums)
        region.program = <void *> program
        self.keep.append(program)
        region.n_slots, region.total = n, total
        region.ordered = ordered
        region.parallel = total >= PARALLEL and not ordered
        for axis in range(n_sums):
            k = program.n_inputs + sums[2][axis][0]
            if program.n_inputs <= k < n:
                low[k] = high[k] = 0
        for slot, table in picked or ():
            if not 0 <= slot < program.n_inputs or not _is_table(table, total):
                raise ValueError("Machine.region: no such input to pick, or no table of its size")
            low[<int> slot], high[<int> slot] = 0, (np.max(table) + 1.0) * program.itemsize
        for k in range(n):
            self._reach(&region.places[k], slots[k][0], low[k], high[k], k >= program.n_inputs,
                        program.itemsize)
            region.steps[k] = plan.steps[k][0]
        if picked:
            if n_sums or ordered or plan.nd > 1:
                raise ValueError("Machine.region: what is picked has sums, or other axes beside it")
            self._pick_blocks(region, picked)
        elif n_sums:
            self._total(region, shape, slots, sums, ordered)
        elif plan.nd > 1:
            region.walk = <Walk *> malloc(sizeof(Walk))
            if region.walk == NULL:
                raise MemoryError
            region.walk[0] = plan
        elif total <= program.few:
            region.few = <few_code *> malloc(
                sizeof(few_code) + program.n_code * sizeof(few_op))
            if region.few == NULL:
                raise MemoryError
            program.prepare_few(region.few, region.steps, total)

    @cython.boundscheck(True)
    cdef int _pick_blocks(self, Region *region, list tables) except -1:
        cdef Program program = <Program> region.program
        cdef Picked *p
        cdef int k
        if len(tables) > MOST_PICKED:
            raise ValueError("Machine.region: too many inputs to pick")
        region.picked = <Picked *> calloc(len(tables), sizeof(Picked))
        if region.picked == NULL:
            raise MemoryError
        region.n_picked = len(tables)
        for k, (slot, table) in enumerate(tables):
            p = region.picked + k
            p.slot = slot
            if region.total > 1 and region.steps[p.slot] != program.itemsize:
                raise ValueError("Machine.region: what is picked is walked through evenly")
            p.table = <const intptr_t *> cnp.PyArray_DATA(<cnp.ndarray> table)
            blocks = [_runs_of(table.reshape(-1)[i:i + program.block])
                      for i in range(0, table.size, program.block)]
            runs, single = [np.ascontiguousarray(np.concatenate(x), np.intp)
                            for x in zip(*blocks)]
            ends = np.cumsum([[len(x), len(y)] for x, y in blocks], axis=0, dtype=np.intp)
            ends = np.ascontiguousarray(ends)
            p.by_runs = program.itemsize >= 4 and len(runs) * RUN + len(single) <= table.size
            p.runs = <const intptr_t *> cnp.PyArray_DATA(<cnp.ndarray> runs)
            p.single = <const intptr_t *> cnp.PyArray_DATA(<cnp.ndarray> single)
            p.ends = <const intptr_t *> cnp.PyArray_DATA(<cnp.ndarray> ends)
            self.keep += [table, runs, single, ends]
        return 0

    @cython.boundscheck(True)
    cdef int _total(self, Region *region, tuple shape, list slots, tuple sums,
                    bint ordered) except -1:
        cdef Totals *totals
        cdef Program program = <Program> region.program
        cdef intptr_t steps[MAX_EXTERNAL][MAX_NDIM]
        cdef cnp.npy_intp dims[MAX_NDIM]
        cdef intptr_t merged[MAX_NDIM]
        cdef intptr_t sizes[3]
        cdef int k, axis, group, first, end, nd, n = region.n_slots
        first, end, outputs = sums
        totals = <Totals *> calloc(1, sizeof(Totals))
        if totals == NULL:
            raise MemoryError
        region.totals = totals
        if (not 0 <= first < end <= len(shape) or not 0 < len(outputs) <= MAX_SUMS
                or program.n_inputs == 0 or not has_sums()):
            raise ValueError("Machine.region: no such axes to sum over, or too many sums")
        totals.program, totals.typenum = region.program, program.typenum
        totals.n_slots, totals.n_sums, totals.ordered = n, len(outputs), ordered
        for k in range(totals.n_sums):
            if not 0 <= outputs[k][0] < program.n_outputs or (k and outputs[k][0] == outputs[0][0]):
                raise ValueError("Machine.region: there is no output that is summed")
            totals.summed[k] = program.n_inputs + outputs[k][0]
        for group, start, stop in ((0, 0, first), (1, first, end), (2, end, len(shape))):
            nd = stop - start
            sizes[group] = 1
            for axis in range(nd):
                dims[axis] = shape[start + axis]
                sizes[group] *= dims[axis]
            for k in range(n):
                for axis in range(nd):
                    steps[k][axis] = slots[k][1][start + axis]
            for k in range(totals.n_sums):
                for axis in range(nd):
                    steps[totals.summed[k]][axis] = steps[0][axis]
            nd = merge_axes(steps, n, nd, dims, merged)
            if nd > 1:
                raise ValueError("Machine.region: axes that are not walked through evenly")
            for k in range(n):
                totals.steps[k][group] = steps[k][0] if nd else 0
        totals.outer, totals.rows, totals.n = sizes[0], sizes[1], sizes[2]
        for k in range(totals.n_sums):
            self._reach(&region.places[n + k], outputs[k][1], 0,
                        <double> totals.outer * totals.n * program.itemsize, True, program.itemsize)
        totals.rows_merge = totals.outer_merge = True
        for k in range(n):
            if k in [totals.summed[axis] for axis in range(totals.n_sums)]:
                totals.steps[k][0] = totals.steps[k][1] = totals.steps[k][2] = 0
                continue
            if totals.n == 1:
                totals.steps[k][2] = totals.steps[k][1]
            if totals.rows > 1 and totals.steps[k][1] != totals.steps[k][2] * totals.n:
                totals.rows_merge = False
            if totals.outer > 1 and totals.steps[k][0] != totals.steps[k][1] * totals.rows:
                totals.outer_merge = False
        return 0

    @cython.boundscheck(True)
    def product(self, int typenum, tuple sizes not None, tuple batch not None, tuple a not None,
                tuple b not None, tuple c not None, bint accumulate):
        """Append ``c (m, n) = a (m, k) @ b (k, n)``, or the same added to c, for a batch of them.

        Parameters
        ----------
        typenum : int
        sizes : tuple of int
            m, n and k, all positive.
        batch : tuple of int
            Sizes of the batch axes.
        a, b, c : tuple
            Place, strides in elements along rows and columns, and along the batch axes: 0 where
            an operand has none, or where c is summed over.
        """
        cdef Product *p = <Product *> calloc(1, sizeof(Product))
        cdef Gemm *gemm
        cdef double low[3]
        cdef double high[3]
        cdef int axis
        cdef bint tc
        cdef double work
        if p == NULL:
            raise MemoryError
        try:
            if len(batch) > MAX_BATCH or slot_of(typenum) < 0:
                raise ValueError("Machine.product: too many axes, or no dtype of products")
            p.m, p.n, p.k = sizes
            work = <double> p.m * <double> p.n * <double> p.k
            p.ndim = len(batch)
            for axis in range(p.ndim):
                p.dims[axis] = batch[axis]
                work *= p.dims[axis]
            if min(*sizes, *batch) <= 0:
                raise ValueError("Machine.product: sizes must be positive")
            for matrix, facts in ((0, a), (1, b), (2, c)):
                _load(&p.a if matrix == 0 else &p.b if matrix == 1 else &p.c, facts, p.ndim)
            _span_of(p, &p.a, p.m, p.k, itemsize_of(typenum), &low[0], &high[0])
            _span_of(p, &p.b, p.k, p.n, itemsize_of(typenum), &low[1], &high[1])
            _span_of(p, &p.c, p.m, p.n, itemsize_of(typenum), &low[2], &high[2])
            fold(p)
            step = self._step(PRODUCT, sizeof(Gemm), work)
            gemm = <Gemm *> step.facts
            self._reach(&gemm.a, a[0], low[0], high[0], False, itemsize_of(typenum))
            self._reach(&gemm.b, b[0], low[1], high[1], False, itemsize_of(typenum))
            self._reach(&gemm.c, c[0], low[2], high[2], True, itemsize_of(typenum))
            gemm.slot, gemm.accumulate = slot_of(typenum), accumulate
            gemm.single = p.ndim == 0
            gemm.m, gemm.n, gemm.k = p.m, p.n, p.k
            if not (layout(p.m, p.k, p.a.row, p.a.col, &gemm.trans_a, &gemm.lda)
                    and layout(p.k, p.n, p.b.row, p.b.col, &gemm.trans_b, &gemm.ldb)
                    and layout(p.m, p.n, p.c.row, p.c.col, &tc, &gemm.ldc)):
                raise ValueError("Machine.product: BLAS cannot read a matrix of these strides")
            if gemm.single:
                if tc:          # c.T = b.T @ a.T
                    gemm.a, gemm.b = gemm.b, gemm.a
                    gemm.trans_a, gemm.trans_b = not gemm.trans_b, not gemm.trans_a
                    gemm.lda, gemm.ldb = gemm.ldb, gemm.lda
                    gemm.m, gemm.n = gemm.n, gemm.m
                if slot_of(typenum) < 2 and c_are_few(p.m, p.n, p.k):   # of real numbers
                    gemm.few = few_of(p.m, p.n, p.k, p.a.row, p.a.col, p.b.row, p.b.col,
                                      p.c.row, p.c.col)
                    if tc:
                        gemm.few.turned = not gemm.few.turned
            else:
                gemm.batched = p
                p = NULL
        finally:
            free(p)

    @cython.boundscheck(True)
    def sum(self, int typenum, tuple sizes not None, source, target):
        """Append the sum of a contiguous array of shape (outer, rows, n) over its rows."""
        cdef Sum *facts
        if not has_sums() or slot_of(typenum) < 0:
            raise ValueError("Machine.sum: no dtype of sums")
        cdef cnp.npy_intp dims[3]
        cdef int itemsize = itemsize_of(typenum)
        dims[0], dims[1], dims[2] = sizes
        outer, rows, n = sizes
        cdef double total = <double> _count(dims, 3) * itemsize
        dims[1] = 1
        cdef double written = <double> _count(dims, 3) * itemsize
        step = self._step(SUM, sizeof(Sum), <double> outer * rows * n)
        facts = <Sum *> step.facts
        self._reach(&facts.source, source, 0, total, False, itemsize)
        self._reach(&facts.target, target, 0, written, True, itemsize)
        facts.outer, facts.rows, facts.n = outer, rows, n
        facts.size = <intptr_t> written
        facts.typenum = typenum

    @cython.boundscheck(True)
    def copy(self, int itemsize, tuple shape not None, source, tuple from_strides not None, target,
             tuple to_strides not None):
        """Append a copy of elements between two layouts; strides in bytes."""
        cdef Copy *facts
        cdef int axis, nd = len(shape)
        cdef cnp.npy_intp dims[MAX_NDIM]
        cdef intptr_t steps[2][MAX_NDIM]
        cdef double low[2]
        cdef double high[2]
        cdef Py_ssize_t total
        if nd > MAX_NDIM or itemsize not in (1, 2, 4, 8, 16):
            raise ValueError("Machine.copy: too many axes, or elements of that size")
        if len(from_strides) != nd or len(to_strides) != nd:
            raise ValueError("Machine.copy: a stride for each axis is needed")
        for axis in range(nd):
            dims[axis] = shape[axis]
            steps[0][axis], steps[1][axis] = from_strides[axis], to_strides[axis]
        total = _count(dims, nd)
        if total == 0:
            return
        _span(dims, steps[0], nd, itemsize, &low[0], &high[0])
        _span(dims, steps[1], nd, itemsize, &low[1], &high[1])
        step = self._step(COPY, sizeof(Copy), total)
        facts = <Copy *> step.facts
        self._reach(&facts.source, source, low[0], high[0], False, itemsize)
        self._reach(&facts.target, target, low[1], high[1], True, itemsize)
        facts.itemsize = itemsize
        facts.nd = 0
        for axis in range(nd):
            if shape[axis] == 1:
                continue
            if (facts.nd and facts.from_steps[facts.nd - 1] == from_strides[axis] * shape[axis]
                    and facts.to_steps[facts.nd - 1] == to_strides[axis] * shape[axis]):
                facts.nd -= 1
                facts.shape[facts.nd] *= shape[axis]
            else:
                facts.shape[facts.nd] = shape[axis]
            facts.from_steps[facts.nd] = from_strides[axis]
            facts.to_steps[facts.nd] = to_strides[axis]
            facts.nd += 1
        if facts.nd == 0:
            facts.nd, facts.shape[0] = 1, 1
            facts.from_steps[0] = facts.to_steps[0] = itemsize

    @cython.boundscheck(True)
    def pick(self, int itemsize, cnp.ndarray table not None, source, target):
        """Append ``target[i] = source[table[i]]``, 0 where that is -1; both are contiguous."""
        cdef Pick *facts
        if cnp.PyArray_TYPE(table) != cnp.NPY_INTP or not cnp.PyArray_ISCARRAY_RO(table):
            raise ValueError("Machine.pick: the table must be of intp, in C order")
        if itemsize not in (1, 2, 4, 8, 16):
            raise ValueError("Machine.pick: elements of that size")
        step = self._step(PICK, sizeof(Pick), <double> cnp.PyArray_SIZE(table))
        facts = <Pick *> step.facts
        facts.n, facts.itemsize = cnp.PyArray_SIZE(table), itemsize
        self._reach(&facts.source, source, 0, (np.max(table, initial=-1) + 1.0) * itemsize, False,
                    itemsize)
        self._reach(&facts.target, target, 0, <double> facts.n * itemsize, True, itemsize)
        facts.table = <const intptr_t *> cnp.PyArray_DATA(table)
        facts.zeros = bool(np.min(table, initial=0) < 0)
        self.keep.append(table)
        runs, single = _runs_of(table.reshape(-1))
        if itemsize >= 4 and len(runs) * RUN + len(single) <= facts.n:
            facts.n_runs, facts.n_single = len(runs), len(single)
            facts.runs = <const intptr_t *> cnp.PyArray_DATA(<cnp.ndarray> runs)
            facts.single = <const intptr_t *> cnp.PyArray_DATA(<cnp.ndarray> single)
            self.keep += [runs, single]

    @cython.boundscheck(True)
    def places(self, Py_ssize_t n, cnp.ndarray first, list indices not None, target):
        """Append the numbers of `n` elements: sums of indices, each times a step.

        Parameters
        ----------
        n : int
        first : ndarray of intp, shape (n,), optional
            What is added to.
        indices : list of tuple
            ``(place, typenum, count, table, size, axis, step, mode)``: `count` integers side by
            side along an axis of `size`, of which `table` says by number which are meant; None:
            one after the other. `axis` is what an error names. `mode`: 0 one that is negative
            counts from the end, and the plan ends with IndexError where one is out of bounds; 1
            wrap, 2 clip, as in `numpy.take`; 3 the integers as they are.
        target : tuple
        """
        cdef int k, m = len(indices)
        cdef Places *facts
        cdef Index *index
        cdef cnp.ndarray table
        if n < 0 or (first is not None and not _is_table(first, n)):
            raise ValueError("Machine.places: what is added to must be of intp, in C order")
        step = self._step(PLACES, sizeof(Places) + m * sizeof(Index), <double> n * m)
        facts = <Places *> step.facts
        facts.indices = <Index *> (facts + 1)
        facts.n, facts.n_indices = n, m
        if first is not None:
            facts.first = <const intptr_t *> cnp.PyArray_DATA(first)
            self.keep.append(first)
        for k in range(m):
            place, typenum, count, found, size, axis, stride, mode = indices[k]
            index = &facts.indices[k]
            index.typenum, index.n, index.size, index.mode = typenum, count, size, mode
            index.axis, index.step = axis, stride
            if typenum not in INTEGERS or index.n < 0 or not RAISE <= index.mode <= AS_IS:
                raise ValueError("Machine.places: integers are needed, and a mode")
            if index.size < (0 if index.mode in (RAISE, AS_IS) else 1):
                raise ValueError("Machine.places: a size must be positive")
            if found is not None:
                table = found
                if not _is_table(table, n) or (
                        n and (np.min(table) < 0 or np.max(table) >= index.n)):
                    raise ValueError("Machine.places: a table of other elements")
                index.table = <const intptr_t *> cnp.PyArray_DATA(table)
                self.keep.append(table)
            elif index.n != n:
                raise ValueError("Machine.places: too few indices")
            item = np.dtype(_type_of(typenum)).itemsize
            self._reach(&index.source, place, 0, <double> index.n * item, False, item)
        self._reach(&facts.target, target, 0, <double> n * sizeof(intptr_t), True,
                    sizeof(intptr_t))

    cdef Along *_along(self, InstructionKind kind, tuple sizes, int itemsize, places) except NULL:
        cdef cnp.npy_intp dims[4]
        cdef Along *facts
        cdef int k
        for k in range(4):
            dims[k] = sizes[k]
        _count(dims, 4)
        step = self._step(kind, sizeof(Along), <double> dims[0] * dims[2] * dims[3])
        facts = <Along *> step.facts
        facts.outer, facts.size, facts.inner, facts.n = dims[0], dims[1], dims[2], dims[3]
        facts.itemsize = itemsize
        self._reach(&facts.places, places, 0, <double> facts.n * sizeof(intptr_t), False,
                    sizeof(intptr_t))
        return facts

    @cython.boundscheck(True)
    def gather(self, int itemsize, tuple sizes not None, source, tuple steps not None, places,
               target):
        """Append ``target[o, k, i] = source[o, places[k], i]``.

        Parameters
        ----------
        itemsize : int
        sizes : tuple of int
            Of the axis before, that of the places in the source, that behind, and how many places
            there are. The plan ends with IndexError where one is not in ``range(size)``.
        source, places, target : tuple
        steps : tuple of int
            Strides of the source along its three axes, in bytes; the others are contiguous.
        """
        cdef cnp.npy_intp dims[3]
        cdef double low, high
        cdef Along *facts
        cdef int k
        if itemsize not in (1, 2, 4, 8, 16) or len(steps) != 3 or len(sizes) != 4:
            raise ValueError("Machine.gather: elements of that size, or steps missing")
        facts = self._along(GATHER, sizes, itemsize, places)
        dims[0], dims[1], dims[2] = facts.outer, facts.size, facts.inner
        for k in range(3):
            facts.steps[k] = steps[k]
        if _count(dims, 3):
            _span(dims, facts.steps, 3, itemsize, &low, &high)
            self._reach(&facts.source, source, low, high, False, itemsize)
        else:
            self._set(&facts.source, source)
        self._reach(&facts.target, target, 0,
                    <double> facts.outer * facts.n * facts.inner * itemsize, True, itemsize)

    @cython.boundscheck(True)
    def scatter(self, int typenum, tuple sizes not None, source, places, target):
        """Append ``target[o, places[k], i] += source[o, k, i]``, one k after the other.

        Parameters
        ----------
        typenum : int
        sizes : tuple of int
            As of `gather`, with the axis of the places in the target.
        source, places, target : tuple
            All are contiguous.
        """
        cdef Along *facts
        cdef int itemsize
        if slot_of(typenum) < 0 or len(sizes) != 4:
            raise ValueError("Machine.scatter: no dtype of sums, or sizes missing")
        itemsize = itemsize_of(typenum)
        facts = self._along(SCATTER, sizes, itemsize, places)
        facts.typenum = typenum
        self._reach(&facts.source, source, 0,
                    <double> facts.outer * facts.n * facts.inner * itemsize, False, itemsize)
        self._reach(&facts.target, target, 0,
                    <double> facts.outer * facts.size * facts.inner * itemsize, True, itemsize)
        if slot_of(typenum) >= 2:       # complex numbers are two real ones
            facts.inner *= 2
            facts.itemsize //= 2

    @cython.boundscheck(True)
    def zero(self, Py_ssize_t size, target):
        """Append the filling of bytes with 0."""
        cdef Zero *facts
        if size < 0:
            raise ValueError("Machine.zero: a size must be positive")
        step = self._step(ZERO, sizeof(Zero), <double> size / 8)
        facts = <Zero *> step.facts
        self._reach(&facts.target, target, 0, size, True, 1)
        facts.size = size

    @cython.boundscheck(True)
    def lapack(self, str routine not None, tuple flags not None, int typenum, tuple sizes not None,
               tuple batch not None, list slots not None, work):
        """Append a routine of LAPACK's on matrices, or on each of a batch.

        Parameters
        ----------
        routine : str
        flags : tuple of str
            As `lapack.run` takes them.
        typenum : int
            Of the first operand.
        sizes : tuple of int
            m, n and k.
        batch : tuple of int
        slots : list
            For each operand, then each result: place, strides in elements along rows and columns,
            tuple of strides in bytes along the batch.
        work : tuple
            A place with as many bytes as `lapack.room` says.
        """
        cdef Task task
        cdef Matrices *facts
        cdef int k, axis, nd = len(batch), n = len(slots)
        cdef double total = 1, low, high, far
        cdef Py_ssize_t rows, columns, item, room
        cdef bint whole
        room = fill_task(&task, routine, flags, typenum, sizes)
        if nd > MAX_NDIM or n != count_of(task.routine):
            raise ValueError("Machine.lapack: too many axes, or slots missing")
        for axis in range(nd):
            if batch[axis] < 0:
                raise ValueError("Machine.lapack: sizes must be positive")
            total *= batch[axis]
        if total == 0:
            return
        step = self._step(
            LAPACK,
            sizeof(Matrices) + n * (sizeof(Strided) + sizeof(Place))
            + (n + 1) * nd * sizeof(intptr_t),
            10.0 * total * max(task.m, task.n) * max(task.n, task.k) * task.n)
        facts = <Matrices *> step.facts
        facts.task, facts.n, facts.nd = task, n, nd
        facts.x = <Strided *> (facts + 1)
        facts.places = <Place *> (facts.x + n)
        facts.shape = <intptr_t *> (facts.places + n)
        facts.steps = facts.shape + nd
        self._reach(&facts.work, work, 0, room, True, 8)
        for axis in range(nd):
            facts.shape[axis] = batch[axis]
        for k in range(n):
            place, row, col, steps = slots[k]
            facts.x[k].row, facts.x[k].col = row, col
            if len(steps) != nd:
                raise ValueError("Machine.lapack: a stride for each batch axis is needed")
            whole = layout_of(&task, k, &rows, &columns, &item)
            low = 0
            high = <double> item * (rows * columns if rows and columns else 0)
            if not whole and high:
                high = item
                for far in ((rows - 1.0) * row * item, (columns - 1.0) * col * item):
                    low, high = low + min(far, 0.0), high + max(far, 0.0)
            for axis in range(nd):
                facts.steps[k * nd + axis] = steps[axis]
                far = (<double> facts.shape[axis] - 1) * facts.steps[k * nd + axis]
                if far and facts.steps[k * nd + axis] % min(item, 8):
                    far = -INFINITY
                low, high = low + min(far, 0.0), high + max(far, 0.0)
            self._reach(&facts.places[k], place, low, high, is_result(&task, k), item)

    @cython.boundscheck(True)
    def call(self, function, list operands not None, list results not None):
        """Append a call of a function of arrays.

        Parameters
        ----------
        function : callable
            ``function(*operands)``, of read-only arrays; it returns a tuple of arrays and any
            objects, as long as `results`.
        operands : list of tuple
            ``("array", place, shape, strides, dtype)``, ``("given", k)`` for what a call returned,
            ``("constant", x)``.
        results : list
            For each result None, or (number, buffer, shape, dtype): what later calls know it as,
            and other instructions; -1 for the buffer of what these do not read: it stays as it was
            returned.
        """
        cdef bint large = any([
            facts is not None and facts[3] is not None
            and math.prod(facts[2]) * facts[3].itemsize >= LARGE for facts in results])
        cdef Place place
        for operand in operands:
            if operand[0] == "array":
                low, high = _span_of_view(operand[2], operand[3], operand[4].itemsize)
                self._reach(&place, operand[1], low, high, False, operand[4].alignment)
        step = self._step(CALL, sizeof(Call), 0.0)
        (<Call *> step.facts).number = len(self.calls)
        self.calls.append((function, operands, results, large))
        for facts in results:
            if facts is not None and facts[1] >= 0:
                self._bring(facts[1], <double> math.prod(facts[2]) * facts[3].itemsize, True)

    @cython.boundscheck(True)
    def loop(self, Py_ssize_t count, list moving not None, swaps=()):
        """Append a loop over the instructions that follow, up to `end`.

        Parameters
        ----------
        count : int
            Iterations; -1 for a loop that goes on until it is left.
        moving : list of tuple
            ``(buffer, place, step)``: a buffer that lies at the place in the first iteration, and
            so many bytes further, or before, in each one after. Behind the loop it lies where
            another iteration would find it.
        swaps : list of tuple
            Pairs of moving buffers that change places after each iteration.
        """
        cdef Loop *loop
        cdef int k, n = len(moving), m = len(swaps)
        if count < -1:
            raise ValueError("Machine.loop: the count must be positive, or -1")
        moved = [buffer for buffer, _, _ in moving]
        if len(set(moved)) != n or not all(x in moved for pair in swaps for x in pair):
            raise ValueError("Machine.loop: a buffer moves once, and those that swap move")
        step = self._step(LOOP, sizeof(Loop) + n * sizeof(Moving) + 2 * m * sizeof(int), 0.0)
        loop = <Loop *> step.facts
        loop.moving = <Moving *> (loop + 1)
        loop.swaps = <int *> (loop.moving + n)
        loop.count, loop.n_moving, loop.n_swaps = count, n, m
        for k in range(n):
            buffer, start, stride = moving[k]
            self._set(&loop.moving[k].start, (buffer, 0))
            loop.moving[k].buffer, loop.moving[k].step = buffer, stride
            self._set(&loop.moving[k].start, start)
        for k in range(m):
            loop.swaps[2 * k], loop.swaps[2 * k + 1] = swaps[k]
        self._move(loop, True)
        self.blocks.append(self.n_steps - 1)
        self.begun.append([])

    @cython.boundscheck(True)
    def leave(self, Py_ssize_t size, place):
        """Append the end of the loop that it stands in, where a value of this size is 0."""
        cdef Leave *facts
        if not any([self.steps[<int> k].kind == LOOP for k in self.blocks]):
            raise ValueError("Machine.leave: it stands in no loop")
        step = self._step(LEAVE, sizeof(Leave), 0.0)
        facts = <Leave *> step.facts
        self._reach(&facts.place, place, 0, max(size, 0), False, 1)
        facts.size = size

    @cython.boundscheck(True)
    def branch(self, Py_ssize_t size, place):
        """Append a choice: the instructions that follow, up to `otherwise`, or those up to `end`.

        The first ones run where the value of this size is not 0, the others where it is.
        """
        cdef Branch *facts
        step = self._step(BRANCH, sizeof(Branch), 0.0)
        facts = <Branch *> step.facts
        self._reach(&facts.place, place, 0, max(size, 0), False, 1)
        facts.size, facts.n_first = size, -1
        self.blocks.append(self.n_steps - 1)
        self.begun.append([])

    def otherwise(self):
        """Go on with the instructions of a choice where the value is 0."""
        cdef int first = self.blocks[len(self.blocks) - 1] if self.blocks else -1
        cdef Step *step = &self.steps[max(first, 0)]
        if first < 0 or step.kind != BRANCH or (<Branch *> step.facts).n_first >= 0:
            raise ValueError("Machine.otherwise: it stands in no branch, or there is one")
        (<Branch *> step.facts).n_first = self.n_steps - first - 1
        self._close(first + 1, &step.work)
        self._forget()
        self.begun.append([])

    def end(self):
        """End the last loop or branch that has begun."""
        cdef Step *step
        cdef Loop *loop
        cdef Branch *branch
        cdef int first
        cdef bint calls
        cdef double work = 0
        if not self.blocks:
            raise ValueError("Machine.end: nothing has begun")
        first = self.blocks.pop()
        step = &self.steps[first]
        self._forget()
        if step.kind == LOOP:
            loop = <Loop *> step.facts
            self._move(loop, False)
            loop.n_body = self.n_steps - first - 1
            loop.calls = self._close(first + 1, &work)
            step.work = work * (loop.count if loop.count >= 0 else UNWATCHED)
            return
        branch = <Branch *> step.facts
        calls = self._close(first + 1, &work)
        if branch.n_first < 0:
            branch.n_first = self.n_steps - first - 1
            step.work = work
        else:
            step.work = max(step.work, work - step.work)
        branch.n_second = self.n_steps - first - 1 - branch.n_first
        branch.calls = calls

    # -- running

    cdef Frame frame(self):
        cdef Frame frame
        cdef uintptr_t start
        if self.frames:
            return self.frames.pop()
        if self.blocks:
            raise ValueError("Machine: a loop or a branch has no end")
        frame = Frame.__new__(Frame)
        frame.bases = <char **> calloc(self.n_buffers + NOTES, sizeof(char *))
        frame.memory = <char *> malloc(self.work_bytes + ALIGNMENT)
        frame.scalars = <double *> malloc(max(self.n_buffers, 1) * sizeof(double))
        if frame.bases == NULL or frame.memory == NULL or frame.scalars == NULL:
            raise MemoryError
        frame.bases += NOTES
        start = (<uintptr_t> frame.memory + ALIGNMENT - 1) & ~<uintptr_t> (ALIGNMENT - 1)
        frame.work = <char *> start
        frame.bases[self.work_buffer] = frame.work
        frame.arrays = []
        frame.held = []
        for item in self.keep:
            if type(item) is tuple:     # a constant, and its buffer
                frame.bases[<int> (<tuple> item)[0]] = cnp.PyArray_BYTES(
                    <cnp.ndarray> (<tuple> item)[1])
        return frame

    cdef int give_back(self, Frame frame) except -1:
        if frame.arrays:
            frame.arrays = []
        if frame.held:
            frame.held = []
        if len(self.frames) < FRAMES_KEPT:
            self.frames.append(frame)
        return 0

    cdef int run(self, Frame frame) except -1:
        if self.calls:
            with np.errstate(all="ignore"):
                self._run_with_calls(frame, 0, self.n_steps)
        else:
            self._stretch(frame, 0, self.n_steps)
        return 0

    cdef list times(self, Frame frame, list parts):
        """Run instructions, and return the seconds that each part takes: (first, end)."""
        cdef list found = []
        cdef timespec before, after
        cdef int first, end
        with np.errstate(all="ignore"):
            for first, end in parts:
                clock_gettime(CLOCK_MONOTONIC, &before)
                self._run_with_calls(frame, first, end)
                clock_gettime(CLOCK_MONOTONIC, &after)
                found.append((after.tv_sec - before.tv_sec)
                             + 1e-9 * (after.tv_nsec - before.tv_nsec))
        return found

    cdef int _close(self, int first, double *work) except -1:
        """Add the work of the instructions since `first`; return whether some call Python."""
        cdef int k = first
        cdef bint calls = False
        while k < self.n_steps:
            work[0] += self.steps[k].work
            calls = calls or calls_python(&self.steps[k])
            k += 1 + behind(&self.steps[k])
        return calls

    # The next three return whether the loop is left that they are a part of.

    cdef int _run_with_calls(self, Frame frame, int first, int end) except -1:
        cdef int k = first, start = first
        cdef Step *step
        cdef Branch *branch
        while k < end:
            step = &self.steps[k]
            if not calls_python(step):
                k += 1 + behind(step)
                continue
            if self._stretch(frame, start, k):
                return 1
            start = k + 1 + behind(step)
            if step.kind == CALL:
                self._called(frame, self.calls[(<Call *> step.facts).number])
            elif step.kind == LOOP:
                self._loop_with_calls(frame, k)
            else:
                branch = <Branch *> step.facts
                k += 1
                if is_set(branch.place, branch.size, frame.bases):
                    if self._run_with_calls(frame, k, k + branch.n_first):
                        return 1
                elif self._run_with_calls(frame, k + branch.n_first, start):
                    return 1
            k = start
        return self._stretch(frame, start, end)

    cdef int _loop_with_calls(self, Frame frame, int k) except -1:
        cdef const Loop *loop = <const Loop *> self.steps[k].facts
        cdef Py_ssize_t i = 0
        begin(loop, frame.bases)
        while i != loop.count:
            if self._run_with_calls(frame, k + 1, k + 1 + loop.n_body):
                return 0
            advance(loop, frame.bases)
            i += 1
        return 0

    cdef int _stretch(self, Frame frame, int first, int end) except -1:
        cdef double work = 0
        cdef int k = first, status
        cdef char **bases = frame.bases
        while k < end:
            work += self.steps[k].work
            k += 1 + behind(&self.steps[k])
        if work < WORTH_RELEASING:
            status = run_steps(self.steps + first, end - first, bases)
        else:
            with nogil:
                status = run_steps(self.steps + first, end - first, bases)
        if status == 0 or status == LEFT:
            return status == LEFT
        if status == INTERRUPTED:
            return -1
        if status == OUTSIDE:
            bases -= NOTES
            raise IndexError(f"index {<intptr_t> bases[0]} is out of bounds for axis "
                             f"{<intptr_t> bases[1]} with size {<intptr_t> bases[2]}")
        if status < 0:
            raise MemoryError
        if status == FAILED:
            raise LinAlgError("compile: a matrix is singular, not positive definite, or has equal "
                              "values: call the function as it is")
        raise OverflowError("compile: a product has a size that BLAS does not take")

    cdef int _called(self, Frame frame, tuple call) except -1:
        cdef list operands = []
        cdef cnp.ndarray array
        cdef int buffer
        for operand in <list> call[1]:
            if operand[0] == "array":
                operands.append(_view_of(frame, operand[1], operand[2], operand[3], operand[4]))
            elif operand[0] == "given":
                operands.append(frame.arrays[operand[1]])
            else:
                operands.append(operand[1])
        found = _result(call[0], operands, call[3])
        for item, facts in zip(found, call[2], strict=True):
            if facts is None:
                continue
            place, buffer, shape, dtype = facts
            while len(frame.arrays) <= place:
                frame.arrays.append(None)
            if dtype is not None:
                item = _own(item, shape, dtype, "K" if buffer < 0 else "C")
            if buffer >= 0:
                array = item
                frame.bases[buffer] = cnp.PyArray_BYTES(array)
            frame.arrays[place] = item
        return 0


cdef object _result(object function, list operands, bint large):
    """What a function returns; large arrays that it makes are from the pool."""
    cdef PyObject *before
    if not large:
        return function(*operands)
    before = enter_pool()
    try:
        return function(*operands)
    finally:
        leave_pool(before)


cdef object _own(object item, tuple shape, object dtype, str order):
    """An array that nobody else can see, in C order if asked for.

    What may lie in the workspace is copied.
    """
    array = np.asarray(item)
    if array.dtype != dtype or array.shape != shape:
        raise RuntimeError(
            f"compile: a function returned an array of shape {array.shape}, dtype {array.dtype} "
            f"where it returned one of shape {shape}, dtype {dtype} when it was recorded")
    if array.base is not None or (order == "C" and not array.flags.carray):
        array = np.array(array, order=order)
    return array


cdef object _view_of(Frame frame, tuple place, tuple shape, tuple strides, object dtype):
    cdef cnp.npy_intp dims[64]
    cdef cnp.npy_intp steps[64]
    cdef int axis, nd = len(shape), buffer = place[0]
    cdef intptr_t offset = place[1]
    if nd > 64:
        raise ValueError("compile: too many axes")
    for axis in range(nd):
        dims[axis] = shape[axis]
        steps[axis] = strides[axis]
    Py_INCREF(dtype)        # NewFromDescr takes a reference
    array = PyArray_NewFromDescr(cnp.ndarray, dtype, nd, dims, steps, frame.bases[buffer] + offset,
                                 0, None)
    Py_INCREF(frame)
    cnp.PyArray_SetBaseObject(array, frame)     # takes one, too
    return array


cdef Py_ssize_t _count(const cnp.npy_intp *dims, int nd) except -1:
    """How many elements a shape has."""
    cdef double total = 1
    cdef int axis
    for axis in range(nd):
        if dims[axis] < 0:
            raise ValueError("Machine: a size must be positive")
        total *= dims[axis]
    if total > 1e18:
        raise ValueError("Machine: no memory has so many elements")
    return <Py_ssize_t> total


cdef cnp.ndarray _runs(object table):
    """Elements of a table that follow each other: the first, or -1 for zeros, and how many."""
    before, after = table[:len(table) - 1], table[1:]
    follows = (np.diff(table) == 1) & (before >= 0) | (before < 0) & (after < 0)
    starts = np.concatenate([np.zeros(min(table.size, 1), np.intp), np.flatnonzero(~follows) + 1])
    lengths = np.diff(np.append(starts, table.size))
    return np.ascontiguousarray(np.stack([table[starts], lengths], 1), np.intp)


cdef tuple _runs_of(table):
    """Runs to copy, and pairs of a place and what is picked for it that they go over."""
    runs, single = _joined(_runs(table))
    return runs, np.ascontiguousarray(np.stack([single, table[single]], 1), np.intp)


cdef tuple _joined(cnp.ndarray runs):
    """Runs, those made one that only a few elements lie between; and the elements between them."""
    first, lengths = runs[:, 0], runs[:, 1]
    at = np.cumsum(lengths) - lengths
    long_ones = np.flatnonzero((first >= 0) & (lengths >= JOINED))
    before, after = long_ones[:len(long_ones) - 1], long_ones[1:]
    shift = first - at
    near = ((shift[before] == shift[after])
            & (at[after] - at[before] - lengths[before] <= BETWEEN))
    before, after = before[near], after[near]
    inside = np.zeros(len(runs) + 1, np.intp)
    np.add.at(inside, before + 1, 1)
    np.add.at(inside, after + 1, -1)
    inside = np.cumsum(inside)[:len(runs)] > 0
    between = inside.copy()
    between[after] = False
    single = [np.arange(at[k], at[k] + lengths[k]) for k in np.flatnonzero(between)]
    kept = np.flatnonzero(~inside)
    ends = np.append(at[kept], np.sum(lengths))
    return (np.ascontiguousarray(np.stack([first[kept], np.diff(ends)], 1), np.intp),
            np.concatenate([np.zeros(0, np.intp), *single]).astype(np.intp))


cdef bint _is_table(cnp.ndarray table, Py_ssize_t n) except -1:
    return (cnp.PyArray_TYPE(table) == cnp.NPY_INTP and cnp.PyArray_ISCARRAY_RO(table)
            and cnp.PyArray_SIZE(table) == n)


cdef object _type_of(int typenum):
    return cnp.PyArray_DescrFromType(typenum)


cdef int _aligned_at(intptr_t address) noexcept nogil:
    """Return the power of 2, at most 8, that an address or a distance is a multiple of."""
    cdef int lowest = <int> (address & 7)
    return lowest & -lowest if lowest else 8


cdef void _span(const cnp.npy_intp *dims, const intptr_t *steps, int nd, int itemsize, double *low,
                double *high) noexcept:
    """From where to where the bytes of a layout are, of at least one element."""
    cdef double reach
    cdef int axis
    low[0], high[0] = 0, itemsize
    for axis in range(nd):
        reach = <double> (dims[axis] - 1) * <double> steps[axis]
        if reach != 0 and steps[axis] % min(itemsize, 8):
            reach = -INFINITY       # no items there: it is within nothing
        low[0] += min(reach, 0.0)
        high[0] += max(reach, 0.0)


cdef void _span_of(const Product *p, const Matrix *matrix, Py_ssize_t rows, Py_ssize_t cols,
                   int itemsize, double *low, double *high) noexcept:
    """The same of a matrix of a product, whose strides are in elements."""
    cdef intptr_t steps[2]
    cdef cnp.npy_intp dims[2]
    cdef double reach
    cdef int axis
    dims[0], dims[1] = rows, cols
    steps[0], steps[1] = matrix.row, matrix.col
    _span(dims, steps, 2, 1, low, high)
    for axis in range(p.ndim):
        reach = <double> (p.dims[axis] - 1) * <double> matrix.batch[axis]
        low[0] += min(reach, 0.0)
        high[0] += max(reach, 0.0)
    low[0] *= itemsize
    high[0] *= itemsize


@cython.boundscheck(True)
cdef tuple _span_of_view(shape, strides, int itemsize):
    if len(shape) != len(strides) or min(shape, default=0) < 0:
        raise ValueError("Machine.call: a stride for each axis is needed")
    if 0 in shape:
        return 0.0, 0.0
    reach = [(n - 1) * step for n, step in zip(shape, strides)]
    low, high = sum([min(x, 0) for x in reach]), sum([max(x, 0) for x in reach])
    return float(low), float(high + itemsize)


@cython.boundscheck(True)
cdef int _load(Matrix *matrix, tuple facts, int ndim) except -1:
    cdef int axis
    cdef tuple batch
    if len(facts) != 4:
        raise ValueError("Machine.product: a place, and three kinds of strides are needed")
    batch = facts[3]
    matrix.row, matrix.col = facts[1], facts[2]
    if batch is None or len(batch) != ndim:
        raise ValueError("Machine.product: a stride for each batch axis is needed")
    for axis in range(ndim):
        matrix.batch[axis] = batch[axis]
    return 0
