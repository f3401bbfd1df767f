"""Sweeps of vectors through chains of Jacobians: many products, without Python between them.

Rows are independent of each other. So many rows go through the chain in blocks, each from end to
end in two buffers that stay in the cache, the blocks on several threads; a matrix that meets the
rows more than once (the weight of a recurrent network) is packed once, as in panels.pyx.
"""

cimport numpy as cnp
from cython cimport floating
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy
from fastbp._core.blas cimport c_gemm
from fastbp._core.buffers cimport new_array
from fastbp._core.panels cimport (
    FEW, PIECE, pack, packed_product, packed_size, panels_pay, rows_product,
)
from fastbp._core.threads cimport run_parallel

import numpy as np

from fastbp._core.simd import at_most
from fastbp.errors import DTypeError, ShapeError

cnp.import_array()

cdef extern from "scale_columns.h" nogil:
    int scale_level
    void scale_double(Py_ssize_t rows, Py_ssize_t n, Py_ssize_t first, Py_ssize_t period,
                      const double *d, double *x)
    void scale_float(Py_ssize_t rows, Py_ssize_t n, Py_ssize_t first, Py_ssize_t period,
                     const float *d, float *x)


def _set_level(int limit):
    """Limit the instruction set, for tests: 0 baseline, 1 AVX2, 2 AVX-512. Return the one before.

    It stays within what `fastbp._core.simd` allows.
    """
    global scale_level
    before, scale_level = scale_level, at_most(limit)
    return before


_set_level(2)


cdef enum Kind:
    GEMM
    SCALE
    TIMES
    TAKE
    PYTHON


cdef enum Form:
    PLAIN    # as the caller stores it
    COPIED   # in row-major order, for the kernel for small products
    PACKED   # as panels


cdef enum:
    BLOCK = 32           # rows that go through the chain together
    PARALLEL = 8388608   # multiplications, from here on on several threads
    LINE = 64            # bytes of a line of the cache


# A matrix of the chain; steps that multiply with the same one share it.
cdef struct Matrix:
    bint trans
    Py_ssize_t m, n, ld, uses
    const void *data
    Form form
    Py_ssize_t offset  # in the memory of copied and packed matrices


cdef struct Step:
    Kind kind
    bint ends  # the last step of a factor
    Py_ssize_t m
    Py_ssize_t n
    Py_ssize_t matrix  # number of the matrix of GEMM
    Py_ssize_t period  # of the rows that SCALE scales differently
    double times
    const void *data


# Some steps, and the rows that go through them. Sizes are numbers of elements.
cdef struct Job:
    bint single
    const Step *steps
    const Matrix *matrices
    Py_ssize_t first, last, k, block, parts, width, workspace, spacing
    bint parallel
    const void *x
    void *packed
    void *work
    void *out
    void **marks


cdef void _prepare(const Matrix *a, floating *to) noexcept nogil:
    """Pack a matrix or copy it."""
    cdef const floating *data = <const floating *> a.data
    cdef Py_ssize_t i, j
    if a.form == PACKED:
        pack(a.trans, a.m, a.n, data, a.ld, to)
    else:
        for j in range(a.n):
            for i in range(a.m):
                to[i * a.n + j] = data[j * a.ld + i] if a.trans else data[i * a.ld + j]


cdef inline void _multiply(const Matrix *a, Py_ssize_t k, const floating *x, floating *y,
                           const floating *packed, floating *scratch) noexcept nogil:
    """y = x @ a for k rows."""
    if a.form == PACKED:
        packed_product(k, a.n, a.m, x, max(1, a.m), packed + a.offset, <floating> 0, y,
                       max(1, a.n))
    elif a.form == COPIED:
        rows_product(False, k, a.n, a.m, x, max(1, a.m), packed + a.offset, max(1, a.n),
                     <floating> 0, y, max(1, a.n), scratch)
    elif k < FEW:
        c_gemm(False, a.trans, k, a.n, a.m, <floating> 1, x, max(1, a.m),
               <const floating *> a.data, a.ld, <floating> 0, y, max(1, a.n))
    else:
        rows_product(a.trans, k, a.n, a.m, x, max(1, a.m), <const floating *> a.data, a.ld,
                     <floating> 0, y, max(1, a.n), scratch)


cdef inline void _step(const Job *job, const Step *s, Py_ssize_t start, Py_ssize_t k,
                       const floating *x, floating *y, floating *scratch) noexcept nogil:
    """Multiply k rows, the first of them number `start`: y = x @ step; SCALE and TIMES may have
    y = x."""
    cdef Py_ssize_t i, j
    cdef const Py_ssize_t *index = <const Py_ssize_t *> s.data
    cdef floating c = <floating> s.times
    if s.kind == GEMM:
        _multiply(&job.matrices[s.matrix], k, x, y, <const floating *> job.packed, scratch)
    elif s.kind == TAKE:
        for i in range(k):
            for j in range(s.n):
                y[i * s.n + j] = x[i * s.m + index[j]]
    else:
        if x != y:
            memcpy(y, x, k * s.n * sizeof(floating))
        if s.kind == TIMES:
            for i in range(k * s.n):
                y[i] *= c
        elif floating is double:
            scale_double(k, s.n, start, s.period, <const double *> s.data, y)
        else:
            scale_float(k, s.n, start, s.period, <const float *> s.data, y)


cdef void _rows(const Job *job, Py_ssize_t part, floating tag) noexcept nogil:
    """Multiply a block of rows through the steps.

    Results go to `marks` at the ends of factors, and at last to `out`; between them they alternate
    between two buffers.
    """
    cdef Py_ssize_t start = part * job.block, k = min(job.k - start, job.block), i, factor = 0
    # Blocks that run one after the other use the same buffers (spacing 0).
    cdef Py_ssize_t size = min(job.block, job.k) * job.width
    cdef floating *one = <floating *> job.work + part * job.spacing
    cdef floating *two = one + size
    cdef floating *scratch = two + size
    cdef const Step *s
    cdef const floating *x = <const floating *> job.x + start * job.steps[job.first].m
    cdef floating *y = NULL
    for i in range(job.first, job.last):
        s = &job.steps[i]
        if job.marks != NULL and s.ends:
            y = <floating *> job.marks[factor] + start * s.n
            factor += 1
        elif i == job.last - 1:
            y = <floating *> job.out + start * s.n
        elif (s.kind == SCALE or s.kind == TIMES) and (y == one or y == two):
            pass  # in place
        else:
            y = two if x == one else one
        _step(job, s, start, k, x, y, scratch)
        x = y


cdef void _part(void *context, int part) noexcept nogil:
    cdef const Job *job = <const Job *> context
    if job.single:
        _rows[float](job, part, 0)
    else:
        _rows[double](job, part, 0)


cdef Py_ssize_t _choose_forms(Job *job, Matrix *matrices, Py_ssize_t count) noexcept nogil:
    """Choose the forms of the matrices for k rows; return the size of the memory for them."""
    cdef Py_ssize_t i, size = 0
    cdef Matrix *a
    for i in range(count):
        matrices[i].uses, matrices[i].form = 0, PLAIN
    for i in range(job.first, job.last):
        if job.steps[i].kind == GEMM:
            matrices[job.steps[i].matrix].uses += 1
    if not panels_pay() or job.k < FEW:
        return 0
    for i in range(count):
        a = &matrices[i]
        if a.uses >= 2 and a.m * a.n > 0 and (a.m * a.n > PIECE or a.trans):
            a.form = PACKED if a.m * a.n > PIECE else COPIED
            a.offset = size
            size += packed_size(a.m, a.n)
    return size


cdef void _choose_blocks(Job *job) noexcept nogil:
    """Cut the rows into blocks and say how much memory they need.

    All rows are one block if a large matrix is met once, as it would be packed for every block, and
    where BLAS makes the products: then the threads work inside of the products.
    """
    cdef Py_ssize_t i, scratch = 0
    cdef double products = 0
    cdef const Step *s
    cdef const Matrix *a
    job.width = 0
    for i in range(job.first, job.last):
        s = &job.steps[i]
        job.width = max(job.width, s.n)
        if s.kind == GEMM:
            a = &job.matrices[s.matrix]
            products += <double> job.k * a.m * a.n
            if a.form == PLAIN and a.m * a.n > PIECE and panels_pay() and job.k >= FEW:
                scratch = max(scratch, packed_size(a.m, a.n))
    job.block = max(job.k, 1) if scratch or not panels_pay() else BLOCK
    job.parts = (job.k + job.block - 1) // job.block
    job.parallel = job.parts > 1 and products >= PARALLEL
    job.workspace = 2 * min(job.block, max(job.k, 1)) * job.width + scratch
    job.spacing = job.workspace if job.parallel else 0
    if job.parallel:
        job.workspace *= job.parts


cdef inline void *_aligned(cnp.ndarray a) noexcept:
    """Where lines of the cache begin: vectors over two of them cost twice as much."""
    return <void *> ((<size_t> cnp.PyArray_DATA(a) + LINE - 1) // LINE * LINE)


cdef void _run(Job *job, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    cdef const Matrix *a
    for i in range(count):
        a = &job.matrices[i]
        if a.form == PLAIN:
            continue
        if job.single:
            _prepare(a, <float *> job.packed + a.offset)
        else:
            _prepare(a, <double *> job.packed + a.offset)
    if job.parallel:
        run_parallel(_part, job, <int> job.parts, 1)
    else:
        for i in range(job.parts):
            _part(job, <int> i)


cdef class ChainSweep:
    """Rows of vectors multiplied through a chain from the left, ``x @ F[0] @ F[1] ...``.

    Parameters
    ----------
    factors : sequence of sequences of steps
        The steps of each factor: ``("gemm", W)``, ``("scale", d)``, ``("times", c, n)``,
        ``("take", index, m)``: columns of x; or an object with a method ``_left(x)`` and a `shape`.
        The `d` of shape (n,), or (B, n): row i is scaled by ``d[i % B]``.
    dtype : dtype, float64 or float32
    repeat : int
        If not 0: the one factor that is given stands so many times, and each `d` has one more axis
        in front, of that length. Its steps are tuples.
    """

    cdef list _keep
    cdef list _objects
    cdef dict _numbers
    cdef Step *_steps
    cdef Matrix *_matrices
    cdef Py_ssize_t _count
    cdef Py_ssize_t _room
    cdef bint _single
    cdef object _dtype

    def __cinit__(self, factors, dtype, Py_ssize_t repeat=0):
        cdef Py_ssize_t i = 0, j, total = 0, copies = max(repeat, <Py_ssize_t> 1)
        self._dtype = np.dtype(dtype)
        if self._dtype.type not in (np.float64, np.float32):
            raise DTypeError(f"ChainSweep: dtype must be float64 or float32, not {dtype}")
        self._single = self._dtype.type is np.float32
        if repeat and len(factors) != 1:
            raise ShapeError(f"ChainSweep: one factor can be repeated, not {len(factors)}")
        self._keep, self._objects, self._numbers = [], [], {}
        for steps in factors:
            total += len(steps)
        self._steps = <Step *> calloc(max(1, total * copies), sizeof(Step))
        if not self._steps:
            raise MemoryError("ChainSweep: no memory for the steps")
        for steps in factors:
            for step in steps:
                self._enter(&self._steps[i], step, repeat)
                i += 1
            if i:
                self._steps[i - 1].ends = True
        self._count = total * copies
        for i in range(total, self._count):
            self._steps[i] = self._steps[i - total]
            if self._steps[i].kind == SCALE:
                j = self._steps[i].period * self._steps[i].n * (4 if self._single else 8)
                self._steps[i].data = <const char *> self._steps[i].data + j
        for i in range(1, self._count):
            if self._steps[i].m != self._steps[i - 1].n:
                raise ShapeError(
                    f"ChainSweep: step {i} has {self._steps[i].m} rows, "
                    f"the one before {self._steps[i - 1].n} columns"
                )

    def __dealloc__(self):
        free(self._steps)
        free(self._matrices)

    cdef int _enter(self, Step *s, step, Py_ssize_t repeat) except -1:
        if not isinstance(step, tuple):
            if repeat:
                raise TypeError(f"ChainSweep: a {type(step).__name__} cannot be repeated")
            s.kind = PYTHON
            s.m, s.n = step.shape
            self._objects.append(step)
            return 0
        self._objects.append(None)
        name = step[0]
        if name == "gemm":
            return self._enter_matrix(s, step[1])
        if name == "times":
            s.kind, s.times, s.m, s.n = TIMES, step[1], step[2], step[2]
            return 0
        cdef cnp.ndarray a
        if name == "take":
            a = np.ascontiguousarray(step[1], np.intp)
            if a.size and not (a.min() >= 0 and a.max() < step[2]):
                raise ShapeError(f"ChainSweep: an index is outside of 0 to {step[2] - 1}")
            s.kind, s.m, s.n = TAKE, step[2], a.size
        elif name == "scale":
            a = self._in_order(step[1])
            if a.ndim - (repeat > 0) not in (1, 2) or (repeat and a.shape[0] != repeat):
                raise ShapeError(f"ChainSweep: a scale has shape {(<object> a).shape}")
            s.kind, s.m, s.n = SCALE, a.shape[a.ndim - 1], a.shape[a.ndim - 1]
            s.period = a.shape[a.ndim - 2] if a.ndim - (repeat > 0) == 2 else 1
            if s.period < 1:
                raise ShapeError("ChainSweep: a scale has no rows")
        else:
            raise ValueError(f"ChainSweep: no step {name!r}")
        s.data = cnp.PyArray_DATA(a)
        self._keep.append(a)
        return 0

    cdef cnp.ndarray _in_order(self, x):
        """Return an array in C order, of the sweep's dtype."""
        if (cnp.PyArray_CheckExact(x) and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray> x)
                and cnp.PyArray_TYPE(<cnp.ndarray> x) == self._typenum()):
            return x
        return np.ascontiguousarray(x, self._dtype)

    cdef inline int _typenum(self):
        return cnp.NPY_FLOAT if self._single else cnp.NPY_DOUBLE

    cdef int _enter_matrix(self, Step *s, x) except -1:
        cdef cnp.ndarray a = np.asarray(x, self._dtype)
        cdef Matrix one
        cdef int axis
        cdef void *memory
        if a.ndim != 2:
            raise ShapeError(f"ChainSweep: a matrix has shape {(<object> a).shape}")
        one.trans = not self._is_row_major(a) and self._is_row_major(a.T)
        if not one.trans and not self._is_row_major(a):
            a = np.ascontiguousarray(a)
        axis = 1 if one.trans else 0
        one.m, one.n, one.uses = a.shape[0], a.shape[1], 0
        one.ld = max(1, a.shape[1 - axis])
        if a.shape[axis] > 1 and a.shape[1 - axis] > 0:
            one.ld = a.strides[axis] // a.itemsize
        one.data = cnp.PyArray_DATA(a)
        one.form, one.offset = PLAIN, 0
        s.kind, s.m, s.n = GEMM, one.m, one.n
        key = <size_t> one.data, one.trans, one.ld, one.m, one.n
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._numbers)
            if number >= self._room:
                self._room = 2 * self._room + 4
                memory = realloc(self._matrices, self._room * sizeof(Matrix))
                if memory == NULL:
                    raise MemoryError("ChainSweep: no memory for the matrices")
                self._matrices = <Matrix *> memory
            self._matrices[<Py_ssize_t> number] = one
            self._keep.append(a)
        s.matrix = number
        return 0

    cdef bint _is_row_major(self, cnp.ndarray a):
        """Whether c_gemm can read it: rows contiguous, aligned, one after the other."""
        cdef Py_ssize_t item = a.itemsize
        if cnp.PyArray_ISCARRAY_RO(a):
            return True
        if not cnp.PyArray_ISBEHAVED_RO(a) or cnp.PyArray_SIZE(a) == 0:
            return False
        return (a.shape[1] == 1 or a.strides[1] == item) and (
            a.shape[0] == 1
            or (a.strides[0] % item == 0 and a.strides[0] >= a.shape[1] * item)
        )

    def run(self, x, bint marks=False, Py_ssize_t skip=0):
        """Multiply rows through the chain.

        Parameters
        ----------
        x : ndarray of the sweep's dtype, shape (K, m), C order
        marks : bool
            Return the rows after each factor, not only after the last.
        skip : int
            The number of factors to leave out at the beginning.

        Returns
        -------
        ndarray of shape (K, n), or a list of them
        """
        cdef Py_ssize_t first = 0, last
        found = []
        while skip > 0 and first < self._count:
            skip -= self._steps[first].ends
            first += 1
        if x.dtype != self._dtype or x.ndim != 2 or not x.flags.c_contiguous:
            raise DTypeError(f"ChainSweep: need rows in C order of {self._dtype}, got {x.dtype}")
        if first < self._count and x.shape[1] != self._steps[first].m:
            raise ShapeError(
                f"ChainSweep: rows have {x.shape[1]} elements, need {self._steps[first].m}"
            )
        while first < self._count:
            if self._steps[first].kind == PYTHON:
                x = np.ascontiguousarray(self._objects[first]._left(x))
                if self._steps[first].ends:
                    found.append(x)
                first += 1
                continue
            last = first + 1
            while last < self._count and self._steps[last].kind != PYTHON:
                last += 1
            x = self._part(x, first, last, found if marks else None)
            first = last
        return found if marks else x

    cdef cnp.ndarray _new(self, Py_ssize_t rows, Py_ssize_t n):
        cdef cnp.npy_intp dims[2]
        dims[0], dims[1] = rows, n
        return new_array(2, dims, self._typenum())

    cdef object _part(self, cnp.ndarray x, Py_ssize_t first, Py_ssize_t last, list found):
        cdef Py_ssize_t k = cnp.PyArray_DIM(x, 0), i, size, factor = 0
        cdef cnp.ndarray out = self._new(k, self._steps[last - 1].n), y, packed, work
        cdef Py_ssize_t count = len(self._numbers)
        cdef Matrix *matrices = <Matrix *> malloc(max(1, count) * sizeof(Matrix))
        cdef void **marks = <void **> malloc((last - first) * sizeof(void *))
        cdef Job job
        try:
            if not matrices or not marks:
                raise MemoryError("ChainSweep: no memory for a run")
            job.single, job.steps, job.first, job.last = self._single, self._steps, first, last
            job.k, job.x, job.out = k, cnp.PyArray_DATA(x), cnp.PyArray_DATA(out)
            if count:
                memcpy(matrices, self._matrices, count * sizeof(Matrix))
            job.matrices, job.marks = matrices, marks if found is not None else NULL
            size = _choose_forms(&job, matrices, count)
            _choose_blocks(&job)
            packed, work = self._new(1, size + LINE), self._new(1, job.workspace + LINE)
            job.packed, job.work = _aligned(packed), _aligned(work)
            for i in range(first, last):
                if found is not None and self._steps[i].ends:
                    y = out if i == last - 1 else self._new(k, self._steps[i].n)
                    found.append(y)
                    marks[factor] = cnp.PyArray_DATA(y)
                    factor += 1
            with nogil:
                _run(&job, count)
        finally:
            free(matrices)
            free(marks)
        return out
