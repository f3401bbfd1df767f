"""Dense matrices, and dense matrices with scaled rows or columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp._core.matmul import matmul
from fastbp.chain.base import Factor, floats, normal_array, same_dtype
from fastbp.chain.costs import Cost, Structure, Work, dense
from fastbp.chain.products import rule
from fastbp.errors import ShapeError

__all__ = ["ColumnScaled", "Dense", "RowScaled"]


class Dense(Factor):
    """A dense matrix.

    Parameters
    ----------
    array : ndarray of float64 or float32, shape (m, n), of any memory order

    Examples
    --------
    >>> bp.chain.Dense(np.ones((2, 3))) @ np.ones(3)
    array([3., 3.])
    """

    __slots__ = ("_array",)
    kind = "dense"

    def __init__(self, array: Any) -> None:
        self._array = floats("Dense", "array", array, 2)
        m, n = self._array.shape
        self._set(m, n, self._array.dtype)

    @classmethod
    def _of(cls, array: np.ndarray) -> Dense:
        self = cls.__new__(cls)
        self._array = array
        self._m, self._n = array.shape
        self._dtype, self._structure = array.dtype, None
        return self

    @property
    def T(self) -> Dense:  # noqa: D102, N802
        return Dense._of(self._array.T)

    def _dense(self) -> np.ndarray:
        return self._array.copy()

    def _whole(self) -> np.ndarray:
        return self._array

    def _left(self, x: np.ndarray) -> np.ndarray:
        return matmul(x, self._array)

    def _right(self, x: np.ndarray) -> np.ndarray:
        return matmul(self._array, x)

    def _scaled(self, c: float) -> Dense:
        return Dense(self._array * self._dtype.type(c))

    def _normal(self, limit: int) -> tuple[Dense, int]:
        array, shift = normal_array(self._array, limit)
        return (Dense._of(array), shift) if shift else (self, 0)

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return (self._array,)

    def _steps(self) -> tuple:
        return (("gemm", self._array),)

    @classmethod
    def _apply_work(cls, s: Structure, k: int, left: bool = False) -> Work:
        m, n = s.m, s.n
        return Work(2.0 * m * n * k, (m * n + (m + n) * k) * s.itemsize)


class _Scaled(Factor):
    """What the two scaled kinds share: a vector `d` and a matrix `W`."""

    __slots__ = ("_W", "_d")

    def _take(self, d: Any, W: Any, axis: int) -> None:
        name = type(self).__name__
        self._W = W._array if isinstance(W, Dense) else floats(name, "W", W, 2)
        self._d = floats(name, "d", d, 1)
        if self._d.shape[0] != self._W.shape[axis]:
            raise ShapeError(f"{name}: d has shape {self._d.shape}, W has shape {self._W.shape}")
        m, n = self._W.shape
        self._set(m, n, same_dtype(name, self._d.dtype, self._W.dtype))

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self._d, self._W

    @classmethod
    def _apply_work(cls, s: Structure, k: int, left: bool = False) -> Work:
        work = Dense._apply_work(s, k)
        side = s.m if s.kind == "row_scaled" else s.n
        return work._replace(nbytes=work.nbytes + 2 * side * k * s.itemsize, calls=5)


class RowScaled(_Scaled):
    """A dense matrix whose rows are scaled, ``diag(d) @ W``: the Jacobian of ``f(W @ x)``.

    Parameters
    ----------
    d : ndarray of float64 or float32, shape (m,)
    W : ndarray of the dtype of `d`, or Dense, shape (m, n)
        Shared, so that many steps of one cell hold one W.

    Examples
    --------
    >>> bp.chain.RowScaled(np.array([1.0, 2.0]), np.ones((2, 3))) @ np.ones(3)
    array([3., 6.])
    """

    __slots__ = ()
    kind = "row_scaled"

    def __init__(self, d: Any, W: Any) -> None:
        self._take(d, W, 0)

    @property
    def T(self) -> ColumnScaled:  # noqa: D102, N802
        return ColumnScaled(self._W.T, self._d)

    def _dense(self) -> np.ndarray:
        return self._d[:, None] * self._W

    def _left(self, x: np.ndarray) -> np.ndarray:
        return matmul(x * self._d, self._W)

    def _right(self, x: np.ndarray) -> np.ndarray:
        y = matmul(self._W, x)
        y *= self._d[:, None]
        return y

    def _normal(self, limit: int) -> tuple[RowScaled, int]:
        (d, p), (w, q) = normal_array(self._d, limit), normal_array(self._W, limit)
        return RowScaled(d, w), p + q

    def _scaled(self, c: float) -> RowScaled:
        return RowScaled(self._d * self._dtype.type(c), self._W)

    def _steps(self) -> tuple:
        return ("scale", self._d), ("gemm", self._W)


class ColumnScaled(_Scaled):
    """A dense matrix whose columns are scaled, ``W @ diag(d)``: the Jacobian of ``W @ f(x)``.

    Parameters
    ----------
    W : ndarray of float64 or float32, or Dense, shape (m, n)
        Shared, as in `RowScaled`.
    d : ndarray of the dtype of `W`, shape (n,)

    Examples
    --------
    >>> bp.chain.ColumnScaled(np.ones((2, 2)), np.array([1.0, 2.0])) @ np.ones(2)
    array([3., 3.])
    """

    __slots__ = ()
    kind = "column_scaled"

    def __init__(self, W: Any, d: Any) -> None:
        self._take(d, W, 1)

    @property
    def T(self) -> RowScaled:  # noqa: D102, N802
        return RowScaled(self._d, self._W.T)

    def _dense(self) -> np.ndarray:
        return self._W * self._d

    def _left(self, x: np.ndarray) -> np.ndarray:
        y = matmul(x, self._W)
        y *= self._d
        return y

    def _right(self, x: np.ndarray) -> np.ndarray:
        return matmul(self._W, self._d[:, None] * x)

    def _normal(self, limit: int) -> tuple[ColumnScaled, int]:
        (d, p), (w, q) = normal_array(self._d, limit), normal_array(self._W, limit)
        return ColumnScaled(w, d), p + q

    def _scaled(self, c: float) -> ColumnScaled:
        return ColumnScaled(self._W, self._d * self._dtype.type(c))

    def _steps(self) -> tuple:
        return ("gemm", self._W), ("scale", self._d)


# ---- products


def _gemm(a: Structure, b: Structure) -> Cost:
    return Dense._apply_work(a, b.n).gives(dense(a.m, b.n, a.itemsize))


@rule("dense", "dense", _gemm)
def _dense_dense(a: Any, b: Any) -> Factor:
    return Dense._of(matmul(a._array, b._array))


def _lazy(kind: str) -> Any:
    def cost(a: Structure, b: Structure) -> Cost:
        return Cost(Structure(kind, a.m, b.n, a.itemsize), 0.0, 0.0, "lazy")

    return cost


def _one_pass(kind: str) -> Any:
    def cost(a: Structure, b: Structure) -> Cost:
        result = Structure(kind, a.m, b.n, a.itemsize)
        return Cost(result, a.m * b.n, 2.0 * a.m * b.n * a.itemsize, "elementwise")

    return cost


@rule("diagonal", "dense", _lazy("row_scaled"))
def _diagonal_dense(a: Any, b: Any) -> Factor:
    return RowScaled(a._d, b)


@rule("dense", "diagonal", _lazy("column_scaled"))
def _dense_diagonal(a: Any, b: Any) -> Factor:
    return ColumnScaled(a, b._d)


@rule("diagonal", "row_scaled", _lazy("row_scaled"))
def _diagonal_row_scaled(a: Any, b: Any) -> Factor:
    return RowScaled(a._d * b._d, b._W)


@rule("column_scaled", "diagonal", _lazy("column_scaled"))
def _column_scaled_diagonal(a: Any, b: Any) -> Factor:
    return ColumnScaled(a._W, a._d * b._d)


@rule("row_scaled", "diagonal", _one_pass("row_scaled"))
def _row_scaled_diagonal(a: Any, b: Any) -> Factor:
    return RowScaled(a._d, a._W * b._d)


@rule("diagonal", "column_scaled", _one_pass("column_scaled"))
def _diagonal_column_scaled(a: Any, b: Any) -> Factor:
    return ColumnScaled(a._d[:, None] * b._W, b._d)
