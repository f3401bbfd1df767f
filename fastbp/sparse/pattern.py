"""Sparsity patterns as index arrays: what colorings and compressed sweeps work on."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse

from fastbp._core import coloring
from fastbp._core.operands import as_array
from fastbp.errors import ShapeError

__all__ = ["Pattern"]


class Pattern:
    """Where the elements of a sparse derivative are: compressed rows, and their transpose.

    Attributes
    ----------
    shape : (int, int)
    indptr, indices : ndarray of int32
        Sorted rows without duplicates.
    """

    def __init__(self, shape: tuple[int, int], indptr: np.ndarray, indices: np.ndarray) -> None:
        self.shape = shape
        self.indptr = indptr
        self.indices = indices
        self._transposed: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def __reduce__(self) -> Any:
        return Pattern, (self.shape, self.indptr, self.indices)

    @classmethod
    def of(cls, pattern: Any, name: str = "color") -> Pattern:
        """Read the structure of a SciPy sparse array or matrix, or of a dense array."""
        if isinstance(pattern, Pattern):
            return pattern
        if not scipy.sparse.issparse(pattern):
            pattern = as_array(pattern, f"{name}: the pattern").astype(bool)
        if pattern.ndim != 2:
            raise ShapeError(f"{name}: a pattern is a matrix, not of shape {pattern.shape}")
        if getattr(pattern, "format", None) in ("csr", "csc"):
            _check(name, pattern)
        csr = scipy.sparse.csr_array(pattern)
        if max(csr.nnz, *csr.shape) >= 2**31 - 1:
            what = f"shape {csr.shape} and {csr.nnz} stored elements"
            raise ShapeError(f"{name}: a pattern of {what} is too large")
        if not csr.has_canonical_format:
            csr = csr.copy()  # the arrays are the caller's
            csr.sum_duplicates()
        indptr = np.array(csr.indptr, np.int32)
        indices = np.array(csr.indices[: csr.nnz], np.int32)
        return cls((int(csr.shape[0]), int(csr.shape[1])), indptr, indices)

    @property
    def nnz(self) -> int:
        """Number of stored elements."""
        return len(self.indices)

    def matrix(self) -> Any:
        """Return a new csr_array of bool."""
        parts = np.ones(self.nnz, bool), self.indices.copy(), self.indptr.copy()
        return scipy.sparse.csr_array(parts, shape=self.shape)

    def transposed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Compressed columns: indptr, indices, and where each element is among the rows."""
        if self._transposed is None:
            self._transposed = coloring.transpose(self.indptr, self.indices, self.shape[1])
        return self._transposed

    def row_of_entries(self) -> np.ndarray:
        """Row of each stored element."""
        counts = np.diff(self.indptr)
        return np.repeat(np.arange(self.shape[0], dtype=np.int32), counts)


def _check(name: str, matrix: Any) -> None:
    """Check what SciPy's conversions trust: its index arrays may have been written into."""
    indptr, indices = matrix.indptr, matrix.indices
    lines, width = matrix.shape if matrix.format == "csr" else matrix.shape[::-1]
    good = len(indptr) == lines + 1 and indptr[0] == 0 and indptr[-1] <= len(indices)
    good = good and bool((indptr[:-1] <= indptr[1:]).all())
    used = indices[: indptr[-1]] if good else indices
    if not good or (used.size and not 0 <= used.min() <= used.max() < width):
        raise ShapeError(
            f"{name}: indptr and indices of the pattern do not describe a matrix of shape "
            f"{matrix.shape}"
        )
