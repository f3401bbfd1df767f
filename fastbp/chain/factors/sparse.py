"""Sparse matrices in SciPy's CSR format, and products of what has few nonzeros."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastbp._core.dtypes import FLOATS
from fastbp.chain.base import Factor, squares
from fastbp.chain.costs import Cost, Structure, Work
from fastbp.chain.products import KINDS, rule
from fastbp.errors import DTypeError

__all__ = ["Sparse"]


class Sparse(Factor):
    """A sparse matrix, kept as a `scipy.sparse.csr_array`.

    Parameters
    ----------
    matrix : SciPy sparse array or matrix of float64 or float32, shape (m, n)
        CSR is shared, other formats are converted.

    Examples
    --------
    >>> import scipy.sparse
    >>> s = bp.chain.Sparse(scipy.sparse.eye_array(4, format="csr"))
    >>> s @ s
    <Sparse 4 x 4, 4 nonzeros, float64>
    >>> (s @ s).to_scipy().nnz
    4
    """

    __slots__ = ("_band", "_csr")
    kind = "sparse"

    def __init__(self, matrix: Any) -> None:
        import scipy.sparse

        if not scipy.sparse.issparse(matrix):
            raise TypeError(f"Sparse: need a SciPy sparse matrix, got {type(matrix).__name__}")
        if matrix.dtype not in FLOATS:
            raise DTypeError(
                f"Sparse: the matrix must be of float64 or float32, got {matrix.dtype}"
            )
        self._csr = scipy.sparse.csr_array(matrix)
        m, n = self._csr.shape
        self._set(int(m), int(n), self._csr.dtype)
        self._band: tuple[int, int] | None = None

    @property
    def T(self) -> Sparse:  # noqa: D102, N802
        return Sparse(self._csr.T.tocsr())

    def _dense(self) -> np.ndarray:
        return self._csr.toarray()

    def to_scipy(self) -> Any:  # noqa: D102
        return self._csr.copy()

    def _left(self, x: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray((self._csr.T @ x.T).T)

    def _right(self, x: np.ndarray) -> np.ndarray:
        return self._csr @ x

    def _scaled(self, c: float) -> Sparse:
        return Sparse(self._csr * self._dtype.type(c))

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self._csr.data, self._csr.indices, self._csr.indptr

    def _magnitude(self) -> float:
        return float(np.max(np.abs(self._csr.data), initial=0.0))

    def _squares(self) -> float:
        csr = self._csr
        if not csr.has_canonical_format:
            csr = csr.copy()
            csr.sum_duplicates()
        return squares(csr.data)

    def _params(self) -> tuple:
        if self._band is None:
            csr = self._csr
            rows = np.repeat(np.arange(self._m), np.diff(csr.indptr))
            offsets = csr.indices - rows
            self._band = (int(-offsets.min()), int(offsets.max())) if offsets.size else (0, 0)
        return (int(self._csr.nnz), *self._band)

    def _about(self) -> str:
        return f", {self._csr.nnz} nonzeros"

    @classmethod
    def _apply_work(cls, s: Structure, k: int, left: bool = False) -> Work:
        nnz = s.params[0]
        passes = 6.0 if left else 2.0  # from the left, both blocks are transposed
        nbytes = (s.itemsize + 4) * nnz + passes * (s.m + s.n) * k * s.itemsize
        return Work(2.0 * nnz * k, nbytes, "sparse", 3 if left else 1)


# ---- products: of all kinds that convert to few nonzeros


def _as_sparse(s: Structure) -> tuple[float, int, int]:
    """Return the number of nonzeros, and the diagonals below and above."""
    if s.kind == "sparse":
        return s.params
    if s.kind == "banded":
        lower, upper = s.params
        return s.m * (lower + upper + 1), lower, upper
    if s.kind in ("diagonal", "identity"):
        return s.m, 0, 0
    if s.kind == "block_diagonal":
        return KINDS[s.kind]._apply_work(s, 1).flops / 2, s.m, s.n
    return (s.n if s.kind == "scatter" else s.m), s.m, s.n


def _estimate(a: Structure, b: Structure) -> tuple[float, float, int, int]:
    """Return multiplications, nonzeros and bandwidths of a product.

    Nonzeros as for positions that are independent and uniform, but within the band.
    """
    (p, la, ua), (q, lb, ub) = _as_sparse(a), _as_sparse(b)
    size = a.m * b.n
    pairs = p * q / max(1, a.n)
    lower, upper = min(a.m, la + lb), min(b.n, ua + ub)
    if not size:
        return 0.0, 0.0, lower, upper
    nnz = size * -math.expm1(-pairs / size)
    return pairs, min(nnz, float(a.m) * (lower + upper + 1)), lower, upper


def _sparse(a: Structure, b: Structure) -> Cost | None:
    pairs, nnz, lower, upper = _estimate(a, b)
    if nnz > 0.25 * a.m * b.n:
        return None  # dense is cheaper to make and to use
    result = Structure("sparse", a.m, b.n, a.itemsize, (int(nnz), int(lower), int(upper)))
    return Cost(result, 2.0 * pairs, 3.0 * (a.itemsize + 4) * nnz, "spgemm")


def _to_csr(x: Any) -> Any:
    return x._csr if isinstance(x, Sparse) else x.to_scipy()


FEW_NONZEROS = (
    "sparse", "diagonal", "banded", "block_diagonal", "selection", "scatter", "permutation",
)  # fmt: skip


def _sparse_product(a: Any, b: Any) -> Factor:
    return Sparse(_to_csr(a) @ _to_csr(b))


def _rescaled(s: Structure) -> Cost:
    return Cost(s, s.params[0], 3.0 * (s.itemsize + 4) * s.params[0], "elementwise", 10)


def _with_data(matrix: Any, data: np.ndarray) -> Sparse:
    import scipy.sparse

    return Sparse(scipy.sparse.csr_array((data, matrix.indices, matrix.indptr), matrix.shape))


@rule("diagonal", "sparse", lambda a, b: _rescaled(b))
def _diagonal_sparse(a: Any, b: Any) -> Factor:
    return _with_data(b._csr, b._csr.data * np.repeat(a._d, np.diff(b._csr.indptr)))


@rule("sparse", "diagonal", lambda a, b: _rescaled(a))
def _sparse_diagonal(a: Any, b: Any) -> Factor:
    return _with_data(a._csr, a._csr.data * b._d[a._csr.indices])


for _a in FEW_NONZEROS:
    for _b in FEW_NONZEROS:
        rule(_a, _b, _sparse)(_sparse_product)
