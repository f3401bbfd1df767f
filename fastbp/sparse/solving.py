"""Linear equations with sparse matrices, factorised once for the value and all derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.linalg import LinAlgError
from scipy import sparse

from fastbp._core import graph
from fastbp._core.graph import Variable
from fastbp._core.operands import as_numbers
from fastbp.errors import DTypeError, ShapeError
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.patterns import nothing, together
from fastbp.rules.table import general
from fastbp.sparse.matrix import SparseMatrix
from fastbp.sparse.products import CompressedRows, align, pick_op, product_op, some_structure

__all__ = ["Factorized", "factorized", "solve"]


def _factorize(data: np.ndarray, structure: CompressedRows, dtype: Any) -> tuple[Any]:
    """Return SuperLU's factors of the transpose: the same arrays, read as compressed columns."""
    matrix = structure.matrix(data.astype(dtype), transposed=True)
    if not matrix.shape[0]:
        return ("nothing to factorise",)
    if not structure.is_canonical:
        matrix = matrix.copy()  # SuperLU's interface sorts in place
    from scipy.sparse.linalg import splu  # costs more than the rest of this package

    try:
        return (splu(matrix),)
    except RuntimeError as error:
        shape = matrix.shape
        raise LinAlgError(
            f"fastbp.sparse.solve: the matrix of shape {shape} is singular ({error})"
        ) from None


def _dtype(data: Any, b: Any) -> Any:
    for x, what in ((data, "the matrix"), (b, "b")):
        as_numbers(np.empty(0, x.dtype), f"fastbp.sparse.solve: {what}", real=True)  # raises
    return np.dtype(np.float32 if data.dtype == b.dtype == np.float32 else np.float64)


def _solve(
    data: np.ndarray,
    b: np.ndarray,
    lu: Any,
    structure: CompressedRows,
    transposed: bool,
    axis: int,
) -> np.ndarray:
    """Solve for the vectors along an axis of `b`, all of them at once; `lu` may be None."""
    dtype = _dtype(data, b)
    if lu is None:
        (lu,) = _factorize(data, structure, dtype)
    if not b.size:
        return np.zeros(b.shape, dtype)
    columns = np.moveaxis(b, axis, 0)
    right = columns.reshape(len(columns), -1).astype(dtype, order="F", copy=False)
    x = lu.solve(right, "N" if transposed else "T")
    return np.ascontiguousarray(np.moveaxis(x.reshape(columns.shape), 0, axis))


def _solve_vjp(g, needs, ans, data, b, lu, structure, transposed, axis):
    static = {"structure": structure, "axis": axis}
    b_bar = solve_op(data, g, lu, transposed=not transposed, **static)
    if not needs[0]:
        return None, b_bar, None
    left, right = (ans, b_bar) if transposed else (b_bar, ans)
    return -pick_op(left, right, **static), b_bar, None


def _solve_jvp(tangents, ans, data, b, lu, structure, transposed, axis):
    t_data, right, _ = tangents
    static = {"structure": structure, "transposed": transposed, "axis": axis}
    if t_data is not None:
        moved = product_op(align(t_data, data, ans.ndim + axis), ans, **static)
        right = -moved if right is None else right - moved
    return solve_op(data, right, lu, **static)


def _solves(p, ids, link):
    """Of all values of the matrix, and of the same column of the right-hand side."""
    data, b, _ = ids
    axis = link.static["axis"]
    data = None if data is None else p.sets.rows(data)
    b = None if b is None else np.expand_dims(p.sets.rows(np.moveaxis(b, axis, -1)), axis)
    return np.broadcast_to(together(p, data, b), link.shape)


def _samples(rng):
    structure = some_structure()
    diagonal = np.array([4.0, 0.0, 2.0, 2.0, 4.0])
    return [
        (
            (rng.normal(size=5) + diagonal, rng.normal(size=shape), None),
            {"structure": structure, "transposed": transposed, "axis": -len(shape)},
        )
        for shape, transposed in (((3,), False), ((3, 2), True))
    ]


# The factors have no derivative: what depends on the matrix is the solution.
factor_op = general(
    "sparse.factor",
    _factorize,
    nin=1,
    nout=-1,
    constants=(0,),
    saves=(),
    vjp=None,
    pattern=nothing,
)
solve_op = general(
    "sparse.solve",
    _solve,
    nin=3,
    objects=(2,),
    saves=(0, 2, "ans"),
    vjp=_solve_vjp,
    jvp=_solve_jvp,
    pattern=_solves,
    direct=("-b_bar x.T at the stored places", "b_bar = solve(A.T, g)"),
    samples=_samples,
    source="Giles 2008",
)


class Factorized:
    """A matrix that is factorised once and solves for any number of right-hand sides.

    Made by `factorized`; ``solver(b)`` is ``solve(A, b)``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from scipy import sparse
    >>> solver = bp.sparse.factorized(sparse.diags_array([2.0, 4.0], format="csr"))
    >>> solver(np.array([1.0, 1.0]))
    array([0.5 , 0.25])
    >>> bp.jacobian(solver)(np.ones(2))
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """

    def __init__(self, a: Any) -> None:
        self._data, structure, self._transposed = _parts(a)
        self.shape = a.shape
        self._structure = structure
        # The values, the dtype, and their factors: one tuple, other threads may exchange it.
        self._kept: tuple[Any, Any, Any] = (None, None, None)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": (None, None, None)}  # SuperLU's object cannot be copied

    def _factors(self, dtype: Any) -> Any:
        if graph.keeps(self._data):  # an object is nothing to record: each solution has its own
            return None
        values, (own, own_dtype, lu) = graph.values_of(self._data), self._kept
        if own is not values or own_dtype != dtype:
            (lu,) = factor_op(self._data, structure=self._structure, dtype=dtype)
            self._kept = values, dtype, lu
        return lu

    def __call__(self, b: Any) -> Any:
        """Solve for a vector or for the columns of a matrix; arguments as in `solve`."""
        if isinstance(b, SparseMatrix) or sparse.issparse(b):
            raise DTypeError(
                "fastbp.sparse.solve: the right-hand side is sparse; a dense array is needed"
            )
        b = as_operand(b, "fastbp.sparse.solve: an operand", real=True)
        if b.ndim not in (1, 2) or b.shape[0] != self.shape[0]:
            raise ShapeError(
                f"fastbp.sparse.solve: a right-hand side of shape {b.shape} does not fit a matrix "
                f"of shape {self.shape}; a vector or a matrix of columns is needed"
            )
        return solve_op(
            self._data,
            b,
            self._factors(_dtype(self._data, b)),
            structure=self._structure,
            transposed=self._transposed,
            axis=-b.ndim,
        )

    def __repr__(self) -> str:
        return f"<factorized sparse matrix of shape {self.shape}>"


def _parts(a: Any) -> tuple[Any, CompressedRows, bool]:
    """Return values, structure, and whether that is the transpose's."""
    if not isinstance(a, SparseMatrix) and not sparse.issparse(a):
        raise DTypeError(
            f"fastbp.sparse.solve: a sparse matrix is needed, not a {type(a).__name__}; "
            "for dense ones there is numpy.linalg.solve"
        )
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise LinAlgError(
            f"fastbp.sparse.solve: a square matrix is needed, not one of shape {a.shape}"
        )
    if isinstance(a, SparseMatrix):
        return a.data if type(a.data) is Variable else _fixed(a.data.copy()), a.structure, False
    if a.dtype.kind not in "fiub":
        raise DTypeError(
            f"fastbp.sparse.solve: the matrix has dtype {a.dtype}; real numbers are needed: "
            "write sparse.block_array([[A.real, -A.imag], [A.imag, A.real]]), with the "
            "parts of b and x one below the other"
        )
    columns = a if a.format in ("csc", "csr") else a.tocsc()
    transposed = columns.format == "csc"  # its arrays are those of the transpose by rows
    shape = a.shape[::-1] if transposed else a.shape
    dtype = np.float32 if a.dtype == np.float32 else np.float64
    # Copies: what is written into the matrix later must not change what was recorded.
    structure = CompressedRows(columns.indices.copy(), columns.indptr.copy(), shape)
    return _fixed(columns.data.astype(dtype)), structure, transposed


def _fixed(data: np.ndarray) -> np.ndarray:
    """Return values that a record keeps as they are: factors are found by the array itself."""
    data.flags.writeable = False
    return data


def factorized(a: Any) -> Factorized:
    """Factorise a matrix once, for many calls of `solve` with it.

    Parameters
    ----------
    a : scipy.sparse matrix or array, or SparseMatrix
        Square. Its values are copied: later changes of them are not seen.

    Returns
    -------
    Factorized
        ``factorized(a)(b)`` is ``solve(a, b)``. The factors are computed at the first call.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> import scipy.sparse as sp
    >>> solver = bp.sparse.factorized(sp.diags([2.0, 4.0]))
    >>> bp.jacobian(solver)(np.ones(2))
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    return Factorized(a)


def solve(a: Any, b: Any) -> Any:
    """Solve ``A x = b`` for a sparse matrix.

    Parameters
    ----------
    a : scipy.sparse matrix or array, or SparseMatrix
        Square; a matrix of SciPy's is a constant, the stored values of `csr` may be recorded.
    b : Variable or array_like, shape (n,) or (n, k)
        A vector, or columns.

    Returns
    -------
    Variable or ndarray, of the shape of `b`
        An ndarray if neither is recorded.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the matrix is singular or not square.
    ShapeError
        If the shapes do not fit.

    Notes
    -----
    SuperLU factorises the matrix once; value, VJP (by the transpose), JVP and higher derivatives
    use the same factors, and all vectors of a Jacobian are solved for together. The cotangents are
    ``b_bar = solve(A.T, g)`` and, at the stored places only, ``-b_bar[row] * x[column]``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> def f(values):
    ...     A = bp.sparse.csr(values, [0, 1], [0, 1, 2], (2, 2))
    ...     return np.sum(bp.sparse.solve(A, np.array([2.0, 4.0])))
    >>> bp.grad(f)(np.array([1.0, 2.0]))
    array([-2., -1.])
    """
    return Factorized(a)(b)
