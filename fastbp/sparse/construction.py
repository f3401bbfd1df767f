"""Sparse matrices of a fixed structure whose stored values may be recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from fastbp._core import graph
from fastbp._core.graph import Variable
from fastbp._core.operands import as_array, as_numbers
from fastbp.errors import DTypeError, ShapeError
from fastbp.sparse import operands  # noqa: F401  (operators between SciPy's and Variables)
from fastbp.sparse.matrix import SparseMatrix, as_structure
from fastbp.sparse.products import CompressedRows

__all__ = ["csr", "from_scipy"]


def csr(data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> SparseMatrix:
    """Make a sparse matrix from its stored values, which may be a Variable.

    Parameters
    ----------
    data : Variable or array_like of float64 or float32, shape (nnz,)
        The stored values, row by row. Integers become float64.
    indices : array_like of int, shape (nnz,)
        Column of each. Values stored at the same place add up.
    indptr : array_like of int, shape (rows + 1,)
        Row i has the values from ``indptr[i]`` to ``indptr[i + 1]``.
    shape : (int, int)

    Returns
    -------
    SparseMatrix
        With ``A @ x``, ``x @ A``, ``A * x`` (elements), ``A.T``, ``A.sum(axis)``,
        ``A.diagonal()``, ``A.toarray()``, ``A.to_scipy()``; ``A + B``, ``A - B`` and ``A @ B`` with
        sparse B, SciPy's too: all recorded with respect to the values and the arrays.

    Raises
    ------
    ShapeError
        If the parts do not fit together: lengths, a decreasing `indptr`, columns outside.
    DTypeError
        If indices are not integers or values not real numbers.

    Notes
    -----
    The cotangent of the values of ``A @ x`` is ``g[row] * x[column]`` at the stored places; no
    dense matrix is made.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> def f(values):
    ...     A = bp.sparse.csr(values, [0, 2, 1], [0, 2, 3], (2, 3))
    ...     return np.sum((A @ x) ** 2)
    >>> bp.grad(f)(np.array([1.0, 1.0, 2.0]))
    array([ 8., 24., 16.])
    """
    size = tuple(_integer("shape", n) for n in shape) if np.iterable(shape) else ()
    if len(size) != 2 or min(size) < 0:
        raise ShapeError(f"csr: shape must be two sizes, not {shape!r}")
    columns, starts = _integers("indices", indices), _integers("indptr", indptr)
    if len(starts) != size[0] + 1:
        raise ShapeError(f"csr: indptr has length {len(starts)}, {size[0]} rows need {size[0] + 1}")
    if starts[0] != 0 or starts[-1] != len(columns) or (np.diff(starts) < 0).any():
        raise ShapeError(f"csr: indptr must rise from 0 to the number of indices, {len(columns)}")
    if len(columns) and not 0 <= columns.min() <= columns.max() < size[1]:
        raise ShapeError(f"csr: indices must be columns of a matrix of shape {size}")
    values = _values(data)
    if values.shape != columns.shape:
        raise ShapeError(f"csr: data has shape {values.shape}, indices have {columns.shape}")
    small = max(*size, len(columns)) <= np.iinfo(np.int32).max
    dtype = np.int32 if small else np.int64
    # Copies: the structure must not change under what was recorded.
    columns, starts = columns.astype(dtype), starts.astype(dtype)
    columns.flags.writeable = starts.flags.writeable = False
    return SparseMatrix(values, CompressedRows(columns, starts, size))


def from_scipy(matrix: Any, data: Any = None) -> SparseMatrix:
    """Make a sparse matrix with the structure of one of SciPy's.

    Parameters
    ----------
    matrix : scipy.sparse matrix or array of two axes, any format
        Converted to compressed rows.
    data : Variable or array_like, shape (nnz,), optional
        Other values, in the order of ``matrix.data`` where that is a vector (COO, CSR, CSC), else
        of ``matrix.tocsr().data``; by default its own, copied.

    Returns
    -------
    SparseMatrix

    Notes
    -----
    Entries of a COO matrix with the same row and column add up, as in SciPy: the cotangent of their
    sum goes to each.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> import scipy.sparse as sp
    >>> bp.sparse.from_scipy(sp.eye_array(3)).sum()
    np.float64(3.0)
    >>> coo = sp.coo_array((np.ones(3), ([0, 1, 1], [0, 1, 1])))
    >>> bp.grad(lambda v: bp.sparse.from_scipy(coo, v).toarray()[1, 1])(np.ones(3))
    array([0., 1., 1.])
    """
    if not sparse.issparse(matrix):
        raise DTypeError(
            f"from_scipy: a sparse matrix of SciPy's is needed, not a {type(matrix).__name__}"
        )
    if matrix.ndim != 2:
        raise ShapeError(f"from_scipy: a matrix is needed, not an array of shape {matrix.shape}")
    if data is not None and matrix.format in ("coo", "csc"):
        return _from_entries(matrix.tocoo(), data)
    structure, own = as_structure(matrix)
    values = own.copy() if data is None else data
    return csr(values, structure.indices, structure.indptr, structure.shape)


def _from_entries(matrix: Any, data: Any) -> SparseMatrix:
    """Make a sparse matrix from entries in any order, the same place more than once."""
    values = _values(data)
    if values.shape != matrix.data.shape:
        raise ShapeError(
            f"from_scipy: data has shape {values.shape}, the matrix stores {matrix.data.shape}"
        )
    order = np.lexsort((matrix.col, matrix.row))
    starts = np.searchsorted(matrix.row[order], np.arange(matrix.shape[0] + 1))
    return csr(values[order], matrix.col[order], starts, matrix.shape)


def _values(data: Any) -> Any:
    if type(data) is Variable:
        as_numbers(np.empty(0, data.dtype), "csr: data", real=True)  # raises
        return data
    array = as_numbers(data, "csr: data", real=True)
    return graph.leaf_array(
        array.astype(float) if array.dtype.kind in "iub" else array, "csr: data"
    )


def _integer(what: str, n: Any) -> int:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise DTypeError(f"csr: {what} must hold integers, not {n!r}")
    return int(n)


def _integers(what: str, x: Any) -> np.ndarray:
    array = as_array(x.value if type(x) is Variable else x, f"csr: {what}")
    if array.ndim != 1:
        raise ShapeError(f"csr: {what} must have one axis, not shape {array.shape}")
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise DTypeError(f"csr: {what} must be integers, not {array.dtype}")
    return array
