"""Linear equations with sparse matrices, factorised once for the value and all derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.linalg import LinAlgError
from scipy import sparse

from fastbp._core.graph import Variable
from fastbp.errors import DTypeError, ShapeError
from fastbp.rules.patterns import together
from fastbp.rules.table import general
from fastbp.sparse.matrix import SparseMatrix, numbers
from fastbp.sparse.products import CompressedRows, align, pick_op, product_op, some_structure

__all__ = ["Factorized", "factorized", "solve"]


class Factors:
    """The factors of a matrix, kept for the array of values that they were computed from."""

    def __init__(self, structure: CompressedRows) -> None:
        self.structure = structure
        self._kept: tuple[Any, Any, Any] = (None, None, None)

    def __reduce__(self) -> Any:
        return Factors, (self.structure,)  # SuperLU's object cannot be copied

    def solve(self, data: np.ndarray, b: np.ndarray, transposed: bool, axis: int) -> np.ndarray:
        """Solve for the vectors along an axis of `b`, all of them at once."""
        dtype = np.result_type(data.dtype, b.dtype)
        if dtype != np.float32:
            dtype = np.dtype(np.float64)
        lu = self._factors(data, dtype)
        if not b.size:
            return np.zeros(b.shape, dtype)
        columns = np.moveaxis(b, axis, 0)
        right = columns.reshape(len(columns), -1).astype(dtype, order="F", copy=False)
        # The factors are those of the transpose: the same arrays, read as compressed columns.
        x = lu.solve(right, "N" if transposed else "T")
        return np.ascontiguousarray(np.moveaxis(x.reshape(columns.shape), 0, axis))

    def _factors(self, data: np.ndarray, dtype: Any) -> Any:
        own, own_dtype, lu = self._kept  # one tuple: other threads may exchange it meanwhile
        if own is not data or own_dtype != dtype:
            # Other values than before: a record is replayed at another point.
            lu = self._factorize(data, dtype)
            self._kept = data, dtype, lu
        return lu

    def _factorize(self, data: np.ndarray, dtype: Any) -> Any:
        matrix = self.structure.matrix(data.astype(dtype), transposed=True)
        if not matrix.shape[0]:
            return "nothing to factorise"
        if not self.structure.is_canonical:
            matrix = matrix.copy()  # SuperLU's interface sorts in place
        from scipy.sparse.linalg import splu  # costs more than the rest of this package

        try:
            return splu(matrix)
        except RuntimeError as error:
            shape = matrix.shape
            raise LinAlgError(f"solve: the matrix of shape {shape} is singular ({error})") from None

    def __repr__(self) -> str:
        return f"<factors of a matrix of shape {self.structure.shape}>"


def _solve_vjp(g, needs, ans, data, b, factors, transposed, axis):
    b_bar = solve_op(data, g, factors=factors, transposed=not transposed, axis=axis)
    if not needs[0]:
        return None, b_bar
    left, right = (ans, b_bar) if transposed else (b_bar, ans)
    return -pick_op(left, right, structure=factors.structure, axis=axis), b_bar


def _solve_jvp(tangents, ans, data, b, factors, transposed, axis):
    t_data, right = tangents
    if t_data is not None:
        t_data = align(t_data, data, ans.ndim + axis)
        static = {"structure": factors.structure, "transposed": transposed, "axis": axis}
        moved = product_op(t_data, ans, **static)
        right = -moved if right is None else right - moved
    return solve_op(data, right, factors=factors, transposed=transposed, axis=axis)


def _solves(p, ids, link):
    """Of all values of the matrix, and of the same column of the right-hand side."""
    data, b = ids
    axis = link.static["axis"]
    data = None if data is None else p.sets.rows(data)
    b = None if b is None else np.expand_dims(p.sets.rows(np.moveaxis(b, axis, -1)), axis)
    return np.broadcast_to(together(p, data, b), link.shape)


def _samples(rng):
    factors = Factors(some_structure())
    return [
        (
            (rng.normal(size=5) + np.array([4.0, 0.0, 2.0, 2.0, 4.0]), rng.normal(size=shape)),
            {"factors": factors, "transposed": transposed, "axis": -len(shape)},
        )
        for shape, transposed in (((3,), False), ((3, 2), True))
    ]


solve_op = general(
    "sparse.solve",
    lambda data, b, factors, transposed, axis: factors.solve(data, b, transposed, axis),
    nin=2,
    saves=(0, "ans"),
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
    """

    def __init__(self, a: Any) -> None:
        self._data, structure, self._transposed = _parts(a)
        self.shape = a.shape
        self._factors = Factors(structure)

    def __call__(self, b: Any) -> Any:
        """Solve for a vector or for the columns of a matrix; arguments as in `solve`."""
        if isinstance(b, SparseMatrix) or sparse.issparse(b):
            raise DTypeError("solve: the right-hand side is sparse; a dense array is needed")
        b = numbers("solve", b)
        if b.ndim not in (1, 2) or b.shape[0] != self.shape[0]:
            raise ShapeError(
                f"solve: a right-hand side of shape {b.shape} does not fit a matrix of shape "
                f"{self.shape}; a vector or a matrix of columns is needed"
            )
        return solve_op(
            self._data, b, factors=self._factors, transposed=self._transposed, axis=-b.ndim
        )

    def __repr__(self) -> str:
        return f"<factorized sparse matrix of shape {self.shape}>"


def _parts(a: Any) -> tuple[Any, CompressedRows, bool]:
    """Return values, structure, and whether that is the transpose's."""
    if not isinstance(a, SparseMatrix) and not sparse.issparse(a):
        raise DTypeError(
            f"solve: a sparse matrix is needed, not a {type(a).__name__}; "
            "for dense ones there is numpy.linalg.solve"
        )
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise LinAlgError(f"solve: a square matrix is needed, not one of shape {a.shape}")
    if isinstance(a, SparseMatrix):
        return a.data if type(a.data) is Variable else _fixed(a.data.copy()), a.structure, False
    if a.dtype.kind not in "fiub":
        raise DTypeError(f"solve: the matrix has dtype {a.dtype}; real numbers are needed")
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
