"""Matrices of low rank."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp._core.matmul import matmul
from fastbp.chain.base import Factor, floats, normal_array, same_dtype
from fastbp.chain.costs import Cost, Structure, Work
from fastbp.chain.products import ANY, KINDS, rule
from fastbp.errors import ShapeError

__all__ = ["LowRank"]


class LowRank(Factor):
    """A matrix of rank at most r, ``U @ V.T``.

    Parameters
    ----------
    U : ndarray of float64 or float32, shape (m, r)
    V : ndarray of the dtype of `U`, shape (n, r)

    Examples
    --------
    >>> u = bp.chain.LowRank(np.ones((3, 1)), np.ones((4, 1)))
    >>> u @ np.ones((4, 4)) @ np.ones(4)
    array([16., 16., 16.])
    """

    __slots__ = ("_U", "_V")
    kind = "low_rank"

    def __init__(self, U: Any, V: Any) -> None:
        self._U, self._V = floats("LowRank", "U", U, 2), floats("LowRank", "V", V, 2)
        if self._U.shape[1] != self._V.shape[1]:
            raise ShapeError(
                f"LowRank: U has shape {self._U.shape}, V has shape {self._V.shape}; "
                "both need one number of columns, the rank"
            )
        dtype = same_dtype("LowRank", self._U.dtype, self._V.dtype)
        self._set(self._U.shape[0], self._V.shape[0], dtype)

    @property
    def rank(self) -> int:
        """The number of columns of U and V."""
        return int(self._U.shape[1])

    @property
    def T(self) -> LowRank:  # noqa: D102, N802
        return LowRank(self._V, self._U)

    def _dense(self) -> np.ndarray:
        return matmul(self._U, self._V.T)

    def _left(self, x: np.ndarray) -> np.ndarray:
        return matmul(matmul(x, self._U), self._V.T)

    def _right(self, x: np.ndarray) -> np.ndarray:
        return matmul(self._U, matmul(self._V.T, x))

    def _scaled(self, c: float) -> LowRank:
        if self._U.size <= self._V.size:
            return LowRank(self._U * self._dtype.type(c), self._V)
        return LowRank(self._U, self._V * self._dtype.type(c))

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self._U, self._V

    def _params(self) -> tuple:
        return (self.rank,)

    def _about(self) -> str:
        return f", rank {self.rank}"

    def _steps(self) -> tuple:
        return ("gemm", self._U), ("gemm", self._V.T)

    def _normal(self, limit: int) -> tuple[LowRank, int]:
        (u, p), (v, q) = normal_array(self._U, limit), normal_array(self._V, limit)
        return LowRank(u, v), p + q

    def _squares(self) -> float:
        u, v = matmul(self._U.T, self._U), matmul(self._V.T, self._V)
        return max(0.0, float(np.sum(u * v)))

    @classmethod
    def _apply_work(cls, s: Structure, k: int, left: bool = False) -> Work:
        size = (s.m + s.n) * s.params[0]
        return Work(2.0 * size * k, (size + (s.m + s.n + s.params[0]) * k) * s.itemsize, calls=2)


# ---- products: the thin matrix takes the other factor in


def _thin(a: Structure, b: Structure, low: Structure, other: Structure) -> Cost | None:
    rank = low.params[0]
    if rank * (a.m + b.n) > a.m * b.n:
        return None  # dense is smaller
    if other.kind == "low_rank" and other.params[0] < rank:
        return None
    work = KINDS[other.kind]._apply_work(other, rank, other is b)
    cost = work.gives(Structure("low_rank", a.m, b.n, a.itemsize, (rank,)))
    return cost.plus(Work(0.0, 0.0, "lazy"))


@rule("low_rank", ANY, lambda a, b: _thin(a, b, a, b))
def _low_rank_any(a: Any, b: Factor) -> Factor:
    return LowRank(a._U, b._left(a._V.T).T)


@rule(ANY, "low_rank", lambda a, b: _thin(a, b, b, a))
def _any_low_rank(a: Factor, b: Any) -> Factor:
    return LowRank(a._right(b._U), b._V)
