"""A sparse matrix whose stored values may be recorded: what `fastbp.sparse.csr` returns."""

import numpy as np
from scipy import sparse

from fastbp._core import graph
from fastbp._core.graph import Variable
from fastbp._core.operands import as_numbers
from fastbp.errors import NoRuleError, ShapeError
from fastbp.rules.numpy.structural import as_operand
from fastbp.sparse.products import (
    CompressedRows,
    Constant,
    check_axis,
    dot_op,
    product_op,
)

__all__ = ["SparseMatrix", "as_structure"]


def as_structure(matrix):
    """Return the structure and the values of a SciPy matrix of two axes, converted to CSR."""
    matrix = sparse.csr_array(matrix)
    return CompressedRows(matrix.indices, matrix.indptr, matrix.shape), matrix.data


class SparseMatrix:
    """A matrix in compressed rows whose stored values may be a Variable.

    Made by `csr` and `from_scipy`, and by elementwise products of SciPy's matrices with Variables.
    Its places are fixed; its operators are those of SciPy's sparse arrays: ``@`` multiplies
    matrices, ``*`` elements. Products with arrays are recorded with respect to both.

    Attributes
    ----------
    data : Variable or ndarray, shape (nnz,)
        The stored values, row by row.
    indices, indptr : ndarray of int
        Columns of the stored values, and where each row begins and ends.
    shape : (int, int)

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> def f(v):
    ...     A = bp.sparse.csr(v, indices=[0, 1, 1], indptr=[0, 2, 3], shape=(2, 2))
    ...     return A @ np.array([1.0, 10.0])
    >>> f(np.array([1.0, 2.0, 3.0]))
    array([21., 30.])
    >>> bp.jacobian(f)(np.ones(3))
    array([[ 1., 10.,  0.],
           [ 0.,  0., 10.]])
    """

    __array_ufunc__ = None  # NumPy's arrays leave the operators to us
    __array_priority__ = 2000.0
    __slots__ = ("data", "structure")

    def __init__(self, data, structure):
        self.data = data
        self.structure = structure

    ndim = 2
    format = "csr"

    @property
    def shape(self):
        """Rows and columns."""
        return self.structure.shape

    @property
    def indices(self):
        """Columns of the stored values."""
        return self.structure.indices

    @property
    def indptr(self):
        """Where each row begins and ends."""
        return self.structure.indptr

    @property
    def nnz(self):
        """Number of stored values."""
        return self.structure.nnz

    @property
    def dtype(self):
        """That of the stored values."""
        return self.data.dtype

    @property
    def T(self):  # noqa: N802
        """The transpose, in compressed rows too."""
        return SparseMatrix(self.data[self.structure.order], self.structure.transpose)

    def transpose(self):
        """Return the transpose.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> from scipy import sparse
        >>> A = bp.sparse.from_scipy(sparse.csr_array([[1.0, 2.0], [0.0, 3.0]]))
        >>> A.transpose().toarray()
        array([[1., 0.],
               [2., 3.]])
        """
        return self.T

    def tocsr(self):
        """Return the matrix itself: it is in compressed rows.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> from scipy import sparse
        >>> A = bp.sparse.from_scipy(sparse.csr_array([[1.0, 2.0], [0.0, 3.0]]))
        >>> A.tocsr() is A
        True
        """
        return self

    def __array__(self, dtype=None, copy=None):
        # Else NumPy would make an array of one object, and multiply that.
        raise NoRuleError(
            f"a SparseMatrix of shape {self.shape} is not an array: use .toarray(), which is "
            "recorded, or its own operators and methods"
        )

    def __repr__(self):
        kind = "recorded" if type(self.data) is Variable else "constant"
        return f"<SparseMatrix {self.shape}, {self.nnz} {kind} values of {self.dtype}>"

    # ---- products

    def dot(self, x):
        """Return ``self @ x``.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> from scipy import sparse
        >>> A = bp.sparse.from_scipy(sparse.csr_array([[1.0, 2.0], [0.0, 3.0]]))
        >>> A.dot(np.ones(2))
        array([3., 3.])
        """
        return self @ x

    def __matmul__(self, x):
        if _is_sparse(x):
            return _sparse_product(self, _as_sparse_matrix("@", x))
        x = as_operand(x, "sparse @: an operand", real=True)
        axis = check_axis("sparse @", self.shape, x)
        return product_op(self.data, x, structure=self.structure, transposed=False, axis=axis)

    def __rmatmul__(self, x):
        if _is_sparse(x):
            return _sparse_product(_as_sparse_matrix("@", x), self)
        x = as_operand(x, "@ sparse: an operand", real=True)
        if x.ndim not in (1, 2) or x.shape[-1] != self.shape[0]:
            raise ShapeError(f"@ sparse: shapes {x.shape} and {self.shape} do not fit")
        # Each row of x is a vector.
        return product_op(self.data, x, structure=self.structure, transposed=True, axis=-1)

    def multiply(self, x):
        """Multiply elements with a scalar or an array that broadcasts to this shape.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> from scipy import sparse
        >>> A = bp.sparse.from_scipy(sparse.csr_array([[1.0, 2.0], [0.0, 3.0]]))
        >>> A.multiply(np.array([1.0, 10.0])).toarray()
        array([[ 1., 20.],
               [ 0., 30.]])
        """
        if _is_sparse(x):
            return _refuse_sparse("*")
        if type(self.data) is np.ndarray and not self.data.all():
            graph.leave("stored zeros")  # are places of a pattern
        return SparseMatrix(self.data * self._entries("sparse *", x), self.structure)

    __mul__ = __rmul__ = multiply

    def __truediv__(self, x):
        if _is_sparse(x):
            return _refuse_sparse("/")
        return SparseMatrix(self.data / self._entries("sparse /", x), self.structure)

    def __neg__(self):
        return SparseMatrix(-self.data, self.structure)

    def _entries(self, what, x):
        """Return the elements of `x`, broadcast to this shape, at the stored places."""
        if isinstance(x, (int, float)):
            return x  # a Python number does not promote float32
        x = as_operand(x, f"{what}: an operand", real=True)
        try:
            fits = np.broadcast_shapes(x.shape, self.shape) == self.shape
        except ValueError:
            fits = False
        if not fits:
            raise ShapeError(f"{what}: shape {x.shape} does not broadcast to {self.shape}")
        rows, columns = self.structure.rows, self.indices
        if x.ndim == 2:
            return x[rows * (x.shape[0] > 1), columns * (x.shape[1] > 1)]
        return x[columns * (x.shape[0] > 1)] if x.ndim == 1 else x

    # ---- sums

    def __add__(self, other):
        return self._plus(_addend("+", other, self.shape))

    __radd__ = __add__

    def __sub__(self, other):
        return self._plus(-_addend("-", other, self.shape))

    def __rsub__(self, other):
        return (-self)._plus(_addend("-", other, self.shape))

    def _plus(self, other):
        if self.structure.same_as(other.structure):
            return SparseMatrix(self.data + other.data, self.structure)
        rows = np.concatenate([self.structure.rows, other.structure.rows])
        columns = np.concatenate([self.indices, other.indices])
        return _collected(rows, columns, np.concatenate([self.data, other.data]), self.shape)

    def sum(self, axis=None, dtype=None, out=None):
        """Sum all elements, those of each column (axis 0) or of each row (axis 1).

        ``numpy.sum(A)`` calls it with a dtype and out, of which only None is taken.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> from scipy import sparse
        >>> A = bp.sparse.from_scipy(sparse.csr_array([[1.0, 2.0], [0.0, 3.0]]))
        >>> A.sum(), A.sum(axis=0)
        (np.float64(6.0), array([1., 5.]))
        """
        if dtype is not None or out is not None:
            raise NoRuleError(
                "sparse sum: dtype= and out= are not supported: write A.sum(axis).astype(dtype)"
            )
        if axis is None:
            return np.sum(self.data)
        if axis not in (0, 1, -1, -2):
            raise ShapeError(f"sparse sum: axis {axis} for a matrix")
        return self._linear(self.structure.sums(axis % 2 == 0, self.dtype))

    # ---- elements

    def diagonal(self):
        """Return the main diagonal, of length ``min(shape)``.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> from scipy import sparse
        >>> A = bp.sparse.from_scipy(sparse.csr_array([[1.0, 2.0], [0.0, 3.0]]))
        >>> A.diagonal()
        array([1., 3.])
        """
        places = np.flatnonzero(self.structure.rows == self.indices)
        parts = (np.ones(len(places), self.dtype), (self.indices[places], places))
        return self._linear(sparse.csr_array(parts, shape=(min(self.shape), self.nnz)))

    def toarray(self):
        """Return a dense array; values stored at the same place are added.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> from scipy import sparse
        >>> A = bp.sparse.from_scipy(sparse.csr_array([[1.0, 2.0], [0.0, 3.0]]))
        >>> A.toarray()
        array([[1., 2.],
               [0., 3.]])
        """
        m, n = self.shape
        flat = self.structure.rows.astype(np.int64) * n + self.indices
        parts = (np.ones(self.nnz, self.dtype), flat, np.arange(self.nnz + 1))
        return np.reshape(self._linear(sparse.csc_array(parts, shape=(m * n, self.nnz))), (m, n))

    todense = toarray

    def _linear(self, matrix):
        return dot_op(self.data, matrix=Constant(matrix), axis=-1)

    def to_scipy(self):
        """Return a `scipy.sparse.csr_array` with a copy of the values; this leaves the graph.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> from scipy import sparse
        >>> A = bp.sparse.from_scipy(sparse.csr_array([[1.0, 2.0], [0.0, 3.0]]))
        >>> A.to_scipy().nnz
        3
        """
        data = self.data.value if type(self.data) is Variable else self.data
        return self.structure.matrix(data).copy()


def _is_sparse(x):
    return isinstance(x, SparseMatrix) or sparse.issparse(x)


def _as_sparse_matrix(name, x):
    if isinstance(x, SparseMatrix):
        return x
    if x.ndim != 2:
        raise ShapeError(f"sparse {name}: an operand of shape {x.shape}")
    structure, data = as_structure(x)
    data = as_numbers(data, f"sparse {name}: an operand", real=True)
    return SparseMatrix(data if data.dtype.kind == "f" else data.astype(np.float64), structure)


def _addend(name, x, shape):
    if not _is_sparse(x):
        raise NoRuleError(
            f"sparse {name} {type(x).__name__}: only sparse matrices can be added; use .toarray() "
            "for a dense result"
        )
    if x.shape != shape:
        raise ShapeError(f"sparse {name}: shapes {shape} and {x.shape} do not fit")
    return _as_sparse_matrix(name, x)


def _sparse_product(a, b):
    """Multiply two sparse matrices: every value of `a` with those of a row of `b`."""
    if a.shape[1] != b.shape[0]:
        raise ShapeError(f"sparse @: shapes {a.shape} and {b.shape} do not fit")
    starts = b.indptr[a.indices].astype(np.int64)
    counts = b.indptr[a.indices + 1] - starts
    left = np.repeat(np.arange(a.nnz), counts)
    ends = np.cumsum(counts)
    right = np.arange(len(left)) + np.repeat(starts - (ends - counts), counts)
    rows, columns = a.structure.rows[left], b.indices[right]
    return _collected(rows, columns, a.data[left] * b.data[right], (a.shape[0], b.shape[1]))


def _collected(rows, columns, values, shape):
    """Make the matrix of these elements; those at the same place are added."""
    places = rows.astype(np.int64) * shape[1] + columns
    places, which = np.unique(places, return_inverse=True)
    indptr = np.searchsorted(places, np.arange(shape[0] + 1, dtype=np.int64) * shape[1])
    parts = (np.ones(len(which), values.dtype), which, np.arange(len(which) + 1))
    sums = sparse.csc_array(parts, shape=(len(places), len(which)))
    index = np.int32 if max(*shape, len(places)) < 2**31 else np.int64
    columns = places - np.repeat(np.arange(shape[0]), np.diff(indptr)) * shape[1]
    structure = CompressedRows(columns.astype(index), indptr.astype(index), shape)
    return SparseMatrix(dot_op(values, matrix=Constant(sums), axis=-1), structure)


def _refuse_sparse(operator):
    raise NoRuleError(
        f"sparse {operator} sparse: elementwise products of two sparse matrices have no "
        "derivative rule in fastbp; one of them may be dense: use .toarray()"
    )
