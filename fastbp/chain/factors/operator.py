"""SciPy's linear operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.chain.base import Factor
from fastbp.chain.costs import Structure, Work

__all__ = ["Operator"]


class Operator(Factor):
    """A `scipy.sparse.linalg.LinearOperator`, which stays one until it must be made dense.

    Parameters
    ----------
    operator : LinearOperator or what `scipy.sparse.linalg.aslinearoperator` takes

    Examples
    --------
    >>> from scipy.sparse.linalg import aslinearoperator
    >>> op = bp.chain.Operator(aslinearoperator(2 * np.eye(2)))
    >>> op @ np.ones(2)
    array([2., 2.])
    """

    __slots__ = ("_operator",)
    kind = "operator"

    def __init__(self, operator: Any) -> None:
        from scipy.sparse.linalg import aslinearoperator

        self._operator = aslinearoperator(operator)
        m, n = self._operator.shape
        self._set(int(m), int(n), np.dtype(self._operator.dtype or np.float64))

    @property
    def T(self) -> Operator:  # noqa: D102, N802
        return Operator(self._operator.T)

    def _dense(self) -> np.ndarray:
        if self._m < self._n:
            return self._left(np.eye(self._m, dtype=self._dtype))
        return self._right(np.eye(self._n, dtype=self._dtype))

    def _left(self, x: np.ndarray) -> np.ndarray:
        found = self._operator.rmatmat(x.T).T if x.size else np.zeros((len(x), self._n))
        return np.array(found, self._dtype, order="C")

    def _right(self, x: np.ndarray) -> np.ndarray:
        found = self._operator.matmat(x) if x.size else np.zeros((self._m, x.shape[1]))
        return np.array(found, self._dtype, order="C")

    def _scaled(self, c: float) -> Operator:
        scaled = Operator(self._operator * float(c))
        scaled._dtype = self._dtype  # SciPy's scaling makes float64 of every dtype
        return scaled

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return ()

    @classmethod
    def _apply_work(cls, s: Structure, k: int, left: bool = False) -> Work:
        # Nothing is known: as a dense matrix, a vector at a time.
        return Work(2.0 * s.m * s.n * k, float(s.m * s.n) * k * s.itemsize, "gemm", 20 * (1 + k))
