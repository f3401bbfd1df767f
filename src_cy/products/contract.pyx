"""Block-sparse matrices times vectors and blocks of vectors: what explicit derivative tensors need.

Blocks of one size (rows, cols) lie one after the other, sorted by block row, then by block column,
as in block-CSR. `gather` sums over the matrix's columns, `scatter` over its rows. One vector reads
every value once, and that is its cost; many vectors are small matrix products. Blocks of one
element are CSR. Cost grows with the stored values, never with the zeros between.

Each part of the work writes a range of the result of its own, or a buffer of its own, and the parts
depend on sizes alone: results do not depend on the number of threads, to the last bit (unless it is
BLAS that shares a large product out among its own).
"""

cimport cython
cimport numpy as cnp
from cython cimport floating
from fastbp._core.blas cimport c_gemm
from fastbp._core.buffers cimport new_array
from fastbp._core.threads cimport run_parallel
from libc.limits cimport INT_MAX
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

import numpy as np

from fastbp._core.blas import _blas_int_max
from fastbp._core.simd import at_most
from fastbp.errors import DTypeError, ShapeError

cnp.import_array()

cdef Py_ssize_t BLAS_INT_MAX = _blas_int_max

cdef extern from "contract_kernels.h" nogil:
    int contract_level
    void contract_gather_float(Py_ssize_t rows, Py_ssize_t cols, const float *v, const float *x,
                               float *y)
    void contract_gather_double(Py_ssize_t rows, Py_ssize_t cols, const double *v, const double *x,
                                double *y)
    void contract_scatter_float(Py_ssize_t rows, Py_ssize_t cols, const float *v, const float *x,
                                float *y)
    void contract_scatter_double(Py_ssize_t rows, Py_ssize_t cols, const double *v,
                                 const double *x, double *y)
    void contract_eight_float_32(Py_ssize_t rows, const float *v, const int32_t *first,
                                 const int32_t *source, const float *x, float *y)
    void contract_eight_float_64(Py_ssize_t rows, const float *v, const int64_t *first,
                                 const int64_t *source, const float *x, float *y)
    void contract_eight_double_32(Py_ssize_t rows, const double *v, const int32_t *first,
                                  const int32_t *source, const double *x, double *y)
    void contract_eight_double_64(Py_ssize_t rows, const double *v, const int64_t *first,
                                  const int64_t *source, const double *x, double *y)

ctypedef fused integer:
    int32_t
    int64_t

cdef enum:
    MAX_NDIM = 64
    HOLD_GIL = 4096     # stored values below which giving up the GIL costs more than it gives
    PARALLEL = 393216   # stored values from which two threads beat one
    PART = 32768        # stored values that a thread takes at once
    MAX_PARTS = 4096
    MAX_LANES = 8       # vectors that meet single elements at once
    BUFFERS = 16        # parts that scatter single elements, each to a buffer of its own
    OWN_GEMM = 262144   # multiplications up to which BLAS runs in the calling thread alone


def _set_level(int limit):
    """Limit the instruction set, for tests: 0 baseline, 1 AVX2, 2 AVX-512. Return the one before.

    It stays within what `fastbp._core.simd` allows.
    """
    global contract_level
    before, contract_level = contract_level, at_most(limit)
    return before


_set_level(2)

cdef Py_ssize_t wide_from = 2 ** 31 - 1


def _set_wide_from(Py_ssize_t size):
    """Keep int64 indices from this size on, for tests; return the size in use before."""
    global wide_from
    before, wide_from = wide_from, size
    return before


include "contract_loops.pxi"


# ---- Checked arrays ------------------------------------------------------------------------------

cdef void _fill_csr(
    Blocks matrix, cnp.ndarray rows, cnp.ndarray columns, const integer *first,
    const integer *source, cnp.ndarray indptr, integer *indices, cnp.ndarray data,
) noexcept:
    cdef int64_t *row_of = <int64_t *>cnp.PyArray_DATA(rows)
    cdef int64_t *column_of = <int64_t *>cnp.PyArray_DATA(columns)
    cdef int64_t *ptr = <int64_t *>cnp.PyArray_DATA(indptr)
    cdef void *values = cnp.PyArray_DATA(matrix._values)
    cdef void *to = cnp.PyArray_DATA(data)
    cdef Py_ssize_t n = cnp.PyArray_DIM(rows, 0), height = matrix._rows, width = matrix._cols
    cdef bint single = matrix._typenum == cnp.NPY_FLOAT
    with nogil:
        if single:
            _to_csr(<float *>values, first, source, height, width, row_of, column_of, n, ptr,
                    indices, <float *>to)
        else:
            _to_csr(<double *>values, first, source, height, width, row_of, column_of, n, ptr,
                    indices, <double *>to)


cdef cnp.ndarray _index_array(str name, x, dtype):
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ShapeError(f"Blocks: {name} is not an array ({error})") from None
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise ShapeError(
            f"Blocks: {name} must be integers along one axis, got shape {array.shape} "
            f"and {array.dtype}"
        )
    if array.size and (array.min() < 0 or array.max() > np.iinfo(dtype).max):
        raise ValueError(
            f"Blocks: {name} has negative elements, or too large ones for {np.dtype(dtype)}")
    array = np.array(array, dtype, order="C")  # own data: nobody else can change it
    array.flags.writeable = False
    return array


cdef Py_ssize_t _elements(Py_ssize_t vectors, Py_ssize_t size) except -1:
    if size and vectors > PY_SSIZE_T_MAX // size:
        raise ShapeError(f"Blocks: {vectors} vectors of {size} elements are too large")
    return vectors * size


# ---- Python interface ----------------------------------------------------------------------------

@cython.final
cdef class Blocks:
    """A block-sparse matrix, block-CSR, whose index arrays were checked once and for all.

    Parameters
    ----------
    values : ndarray of float64 or float32, shape (count, rows, cols)
        The blocks; shared if C-contiguous.
    indices : array_like of int, shape (count,)
        Block columns, strictly increasing within a block row.
    indptr : array_like of int, shape (block rows + 1,)
        Where each block row begins.
    columns : int
        Number of block columns.

    Attributes
    ----------
    values, indices, indptr : ndarray
        Read-only. The index arrays are int32, or int64 where positions do not fit.
    shape : tuple of int
        That of the matrix.
    """
    cdef readonly tuple shape
    cdef cnp.ndarray _values, _indices, _indptr
    cdef Py_ssize_t _rows, _cols, _block_rows, _block_cols, _count
    cdef bint _diagonal, _wide
    cdef int _typenum
    cdef tuple _by_columns

    def __init__(self, values, indices, indptr, Py_ssize_t columns):
        if self._values is not None:
            raise TypeError("Blocks: made once, never changed")
        if not isinstance(values, np.ndarray) or values.ndim != 3:
            raise ShapeError(f"Blocks: values need three axes, got {np.shape(values)}")
        if values.dtype.newbyteorder("=") not in (np.float64, np.float32):
            raise DTypeError(f"Blocks: values must be float64 or float32, got {values.dtype}")
        if values.shape[1] < 1 or values.shape[2] < 1 or columns < 0:
            raise ShapeError(
                f"Blocks: blocks of shape {values.shape[1:]} in {columns} columns")
        kept = np.asarray(values, values.dtype.newbyteorder("="), order="C")
        if not kept.flags.aligned:
            kept = kept.copy()
        kept = kept.view(np.ndarray)
        kept.flags.writeable = False
        self._typenum = kept.dtype.num
        self._count, self._rows, self._cols = kept.shape
        self._block_cols = columns
        self._wide = max(self._count, columns, np.size(indptr)) >= wide_from
        dtype = np.int64 if self._wide else np.int32
        self._indices = _index_array("indices", indices, dtype)
        self._indptr = _index_array("indptr", indptr, dtype)
        self._block_rows = self._indptr.shape[0] - 1
        self._check_index()
        rows, cols = int(self._block_rows) * int(self._rows), int(columns) * int(self._cols)
        if max(rows, cols) * kept.itemsize >= 2 ** 63:
            raise OverflowError(f"Blocks: a matrix of shape {(rows, cols)} is too large")
        self.shape = (rows, cols)
        self._values = kept

    cdef int _check_index(self) except -1:
        cdef bint ok = self._block_rows >= 0 and self._indices.shape[0] == self._count
        cdef void *first = cnp.PyArray_DATA(self._indptr)
        cdef void *source = cnp.PyArray_DATA(self._indices)
        if ok and self._wide:
            ok = _sorted(<int64_t *>first, <int64_t *>source, self._block_rows, self._block_cols,
                         self._count)
            self._diagonal = ok and _is_diagonal(
                <int64_t *>first, <int64_t *>source, self._block_rows, self._block_cols)
        elif ok:
            ok = _sorted(<int32_t *>first, <int32_t *>source, self._block_rows, self._block_cols,
                         self._count)
            self._diagonal = ok and _is_diagonal(
                <int32_t *>first, <int32_t *>source, self._block_rows, self._block_cols)
        if not ok:
            raise ValueError(
                f"Blocks: indices and indptr do not describe {self._count} sorted blocks "
                f"in {self._block_cols} block columns")
        return 0

    # Views: what a caller does to a view (its shape, its dtype) does not change the array, and a
    # view of a read-only array cannot be made writable.

    @property
    def values(self):
        return self._values.view()

    @property
    def indices(self):
        return self._indices.view()

    @property
    def indptr(self):
        return self._indptr.view()

    def __reduce__(self):
        return Blocks, (self._values, self._indices, self._indptr, self._block_cols)

    @property
    def nbytes(self):
        """Bytes of values and indices; those by columns are counted from their first use."""
        arrays = (self._values, self._indices, self._indptr, *(self._by_columns or ()))
        return sum([x.nbytes for x in arrays])

    def gather(self, x, tuple shape not None, bint batch=False):
        """Return ``matrix @ x`` in an array of `shape`; ``x @ matrix.T`` with a batch axis.

        Parameters
        ----------
        x : ndarray of the dtype of `values`
            Of any shape with the right number of elements, behind a first axis with `batch`; it is
            copied if it is not C-contiguous.
        shape : tuple of int
        batch : bool
        """
        return self._multiply(x, shape, batch, False)

    def scatter(self, x, tuple shape not None, bint batch=False):
        """Return ``matrix.T @ x`` in an array of `shape`; ``x @ matrix`` with a batch axis.

        Arguments as for `gather`.
        """
        return self._multiply(x, shape, batch, True)

    cdef object _multiply(self, x, tuple shape, bint batch, bint scatter):
        cdef Job job
        cdef cnp.ndarray operand, out
        cdef Py_ssize_t sources = self._block_cols * self._cols
        cdef Py_ssize_t targets = self._block_rows * self._rows, vectors = 1
        cdef bint elements = self._rows == 1 and self._cols == 1
        if self._values is None:
            raise ValueError("Blocks: not initialised")
        if scatter:
            sources, targets = targets, sources
        operand = self._checked(x, batch, sources)
        if batch:
            vectors = cnp.PyArray_DIM(operand, 0)
        out = self._result(shape, _elements(vectors, targets))
        if cnp.PyArray_SIZE(out) == 0:
            return out
        if elements and self._diagonal:
            np.multiply(np.reshape(operand, (vectors, sources)), np.reshape(self._values, -1),
                        out=np.reshape(out, (vectors, targets)))
            return out
        job.single = self._typenum == cnp.NPY_FLOAT
        job.wide = self._wide
        job.scatter = scatter
        job.rows, job.cols = self._rows, self._cols
        job.vectors = vectors if vectors > 1 else 0
        job.lanes = 0
        job.serial = False
        job.values = cnp.PyArray_DATA(self._values)
        job.x_size, job.y_size = sources, targets
        if elements:
            return self._multiply_elements(&job, operand, out)
        if job.vectors and max(vectors, sources, targets) > BLAS_INT_MAX:
            raise OverflowError(
                f"Blocks: {vectors} vectors of {sources} elements are too much for BLAS")
        job.x, job.y = cnp.PyArray_DATA(operand), cnp.PyArray_DATA(out)
        self._run_blocks(&job)
        return out

    cdef cnp.ndarray _checked(self, x, bint batch, Py_ssize_t size):
        cdef cnp.ndarray operand
        if not isinstance(x, cnp.ndarray):
            raise TypeError(f"Blocks: the operand must be an array, got {type(x).__name__}")
        operand = x
        if cnp.PyArray_TYPE(operand) != self._typenum:
            raise DTypeError(
                f"Blocks: the operand must be an array of {self._values.dtype}, got {x.dtype}")
        if not cnp.PyArray_ISCARRAY_RO(operand):
            operand = cnp.PyArray_FROM_OTF(
                operand, self._typenum, cnp.NPY_ARRAY_CARRAY_RO | cnp.NPY_ARRAY_ENSURECOPY)
        if batch:
            if cnp.PyArray_NDIM(operand) == 0:
                raise ShapeError("Blocks: the operand has no batch axis")
            size = _elements(cnp.PyArray_DIM(operand, 0), size)
        if cnp.PyArray_SIZE(operand) != size:
            raise ShapeError(
                f"Blocks: an operand of shape {x.shape} does not fit a matrix of {self.shape}")
        return operand

    cdef cnp.ndarray _result(self, tuple shape, Py_ssize_t size):
        cdef cnp.npy_intp dims[MAX_NDIM]
        cdef Py_ssize_t total = 1
        cdef int k, nd = <int>len(shape)
        if nd > MAX_NDIM:
            raise ShapeError(f"Blocks: a result of {nd} axes is too large for NumPy")
        for k in range(nd):
            dims[k] = shape[k]
            if dims[k] < 0 or (dims[k] and total > PY_SSIZE_T_MAX // dims[k]):
                raise ShapeError(f"Blocks: a result cannot have shape {shape}")
            total *= dims[k]
        if total != size:
            raise ShapeError(f"Blocks: a result of {size} elements cannot have shape {shape}")
        return new_array(nd, dims, self._typenum)

    cdef int _run_blocks(self, Job *job) except -1:
        cdef Py_ssize_t work = self._count * self._rows * self._cols * max(job.vectors, 1)
        cdef cnp.ndarray first = self._indptr, source = self._indices, number
        job.targets = self._block_cols if job.scatter else self._block_rows
        job.first = job.source = job.number = NULL
        job.buffers = NULL
        if not self._diagonal:
            if job.scatter:
                if self._by_columns is None:  # made at the first use, kept
                    self._by_columns = self.by_columns()
                first, source, number = self._by_columns
                job.number = cnp.PyArray_DATA(number)
            job.first, job.source = cnp.PyArray_DATA(first), cnp.PyArray_DATA(source)
        job.parts = 1
        # Large products are BLAS's to share out among threads.
        if work >= PARALLEL and job.vectors * self._rows * self._cols <= OWN_GEMM:
            job.parts = <int>max(1, min(work // PART, job.targets, MAX_PARTS))
        if work < HOLD_GIL:
            _run(job)
        else:
            with nogil:
                _run(job)
        return 0

    cdef object _multiply_elements(self, Job *job, cnp.ndarray operand, cnp.ndarray out):
        cdef cnp.ndarray buffers = None
        cdef Py_ssize_t work = self._count
        job.first, job.source = cnp.PyArray_DATA(self._indptr), cnp.PyArray_DATA(self._indices)
        job.number = job.buffers = NULL
        job.targets = self._block_rows
        job.x, job.y = cnp.PyArray_DATA(operand), cnp.PyArray_DATA(out)
        job.parts = 1
        if job.vectors:
            return self._multiply_lanes(job, out)
        if job.scatter:
            job.buffers = job.y
            if work >= PARALLEL and self._count >= 2 * BUFFERS * job.y_size:
                job.parts = BUFFERS
                buffers = np.empty((BUFFERS, job.y_size), out.dtype)
                job.buffers = cnp.PyArray_DATA(buffers)
        elif work >= PARALLEL:
            job.parts = <int>max(1, min(work // PART, job.targets, MAX_PARTS))
        with nogil:
            _run(job)
        if buffers is not None:
            np.add.reduce(buffers, axis=0, out=np.reshape(out, -1))
        return out

    cdef object _multiply_lanes(self, Job *job, cnp.ndarray out):
        # A few vectors at once, side by side: each stored value meets a row of them.
        cdef Py_ssize_t groups, work = self._count * job.vectors
        cdef cnp.ndarray packed, results
        job.lanes = 2 if job.vectors == 2 else 4 if job.vectors <= 4 else MAX_LANES
        groups = (job.vectors + job.lanes - 1) // job.lanes
        packed = np.empty(groups * job.x_size * job.lanes, out.dtype)
        job.packed = cnp.PyArray_DATA(packed)
        job.pieces = 1
        if job.scatter:
            results = np.empty(groups * job.y_size * job.lanes, out.dtype)
            job.buffers = cnp.PyArray_DATA(results)
        elif work >= PARALLEL:
            job.pieces = <int>max(1, min(work // (PART * groups), job.targets, MAX_PARTS))
        if groups > INT_MAX // job.pieces:
            raise OverflowError(f"Blocks: {job.vectors} vectors are too many at once")
        job.serial = work < PARALLEL
        with nogil:
            job.packing, job.parts = True, <int>groups
            _run(job)
            job.packing, job.parts = False, <int>groups * job.pieces
            _run(job)
        return out

    def by_columns(self):
        """Return ``(first, row, number)``: the blocks in the order of their columns.

        Those of column c are ``number[first[c]:first[c + 1]]``, in the block rows ``row[...]``.
        """
        if self._values is None:
            raise ValueError("Blocks: not initialised")
        dtype = self._indices.dtype
        cdef cnp.ndarray first = np.empty(self._block_cols + 1, dtype)
        cdef cnp.ndarray row = np.empty(self._count, dtype), number = np.empty(self._count, dtype)
        cdef void *own_first = cnp.PyArray_DATA(self._indptr)
        cdef void *own_source = cnp.PyArray_DATA(self._indices)
        if self._wide:
            _transpose_index(
                <int64_t *>own_first, <int64_t *>own_source, self._block_rows, self._block_cols,
                <int64_t *>cnp.PyArray_DATA(first), <int64_t *>cnp.PyArray_DATA(row),
                <int64_t *>cnp.PyArray_DATA(number))
        else:
            _transpose_index(
                <int32_t *>own_first, <int32_t *>own_source, self._block_rows, self._block_cols,
                <int32_t *>cnp.PyArray_DATA(first), <int32_t *>cnp.PyArray_DATA(row),
                <int32_t *>cnp.PyArray_DATA(number))
        return first, row, number

    def to_csr(self, row_of, column_of):
        """Return ``(data, indices, indptr)`` of a CSR matrix with rows and columns rearranged.

        Parameters
        ----------
        row_of : ndarray of int64, shape (n,)
            Its row i is row ``row_of[i]`` of this matrix.
        column_of : ndarray of int64, shape (matrix columns,)
            Its column ``column_of[k]`` is column k of this matrix. Where these do not increase,
            indices are not sorted within a row.
        """
        if self._values is None:
            raise ValueError("Blocks: not initialised")
        cdef cnp.ndarray rows = np.ascontiguousarray(row_of, np.int64)
        cdef cnp.ndarray columns = np.ascontiguousarray(column_of, np.int64)
        for x, bound in (rows, self.shape[0]), (columns, self.shape[1]):
            if x.ndim != 1 or (x.size and not 0 <= x.min() <= x.max() < bound):
                raise ShapeError(f"Blocks: rows or columns are not positions below {bound}")
        if columns.shape[0] != self.shape[1]:
            raise ShapeError(f"Blocks: column_of needs {self.shape[1]} elements")
        count = int(np.diff(self._indptr)[rows // self._rows].sum(dtype=np.int64)) * self._cols
        wide = max(count, self.shape[1]) > np.iinfo(np.int32).max
        dtype = np.int64 if wide else np.int32
        cdef cnp.ndarray first = self._indptr.astype(dtype), source = self._indices.astype(dtype)
        cdef cnp.ndarray indptr = np.empty(rows.shape[0] + 1, np.int64)
        cdef cnp.ndarray indices = np.empty(count, dtype)
        cdef cnp.ndarray data = np.empty(count, self._values.dtype)
        if wide:
            _fill_csr[int64_t](
                self, rows, columns, <int64_t *>cnp.PyArray_DATA(first),
                <int64_t *>cnp.PyArray_DATA(source), indptr,
                <int64_t *>cnp.PyArray_DATA(indices), data)
        else:
            _fill_csr[int32_t](
                self, rows, columns, <int32_t *>cnp.PyArray_DATA(first),
                <int32_t *>cnp.PyArray_DATA(source), indptr,
                <int32_t *>cnp.PyArray_DATA(indices), data)
        return data, indices, indptr.astype(dtype)
