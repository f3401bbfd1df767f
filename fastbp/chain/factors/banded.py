"""Banded matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp._core import band as _kernels
from fastbp._core.operands import as_numbers
from fastbp.chain.base import Factor, floats, squares
from fastbp.chain.costs import Cost, Structure, Work
from fastbp.chain.products import rule
from fastbp.errors import ShapeError

__all__ = ["Banded"]


class Banded(Factor):
    """A matrix with nonzeros on few neighbouring diagonals: the Jacobian of a stencil.

    Parameters
    ----------
    rows : ndarray of float64 or float32, shape (m, lower + upper + 1)
        ``rows[i, lower + j - i] = J[i, j]``: the band of each row. Elements outside of J are
        ignored.
    lower, upper : int
        The number of diagonals below and above the main one.
    n : int, optional
        Number of columns, m if not given.

    Examples
    --------
    >>> b = bp.chain.Banded.from_diagonals({-1: [1.0, 1.0], 0: [2.0, 2.0, 2.0]}, (3, 3))
    >>> b.to_dense()
    array([[2., 0., 0.],
           [1., 2., 0.],
           [0., 1., 2.]])
    >>> b = bp.chain.Banded(np.ones((100, 3)), 1, 1)
    >>> b @ b
    <Banded 100 x 100, 2 below, 2 above, float64>
    """

    __slots__ = ("_clean", "_lower", "_rows", "_upper")
    kind = "banded"

    def __init__(self, rows: Any, lower: int, upper: int, n: int | None = None) -> None:
        self._rows = floats("Banded", "rows", rows, 2)
        if lower < 0 or upper < 0 or self._rows.shape[1] != lower + upper + 1:
            raise ShapeError(
                f"Banded: rows has shape {self._rows.shape}, {lower} diagonals below and "
                f"{upper} above need (m, {lower + upper + 1})"
            )
        self._lower, self._upper = lower, upper
        m = self._rows.shape[0]
        self._set(m, m if n is None else n, self._rows.dtype)
        self._clean: np.ndarray | None = None

    @classmethod
    def from_diagonals(cls, diagonals: dict[int, Any], shape: tuple[int, int]) -> Banded:
        """Return the matrix that has these values on its diagonals, by offset ``j - i``.

        Parameters
        ----------
        diagonals : dict of int to array_like
            Each as long as the diagonal is, or one number.
        shape : (int, int)
        """
        lower, upper = -min(0, *diagonals, 0), max(0, *diagonals, 0)
        values = [as_numbers(v, "Banded: a diagonal", real=True) for v in diagonals.values()]
        dtype = np.result_type(*values, np.float32) if values else np.dtype("f8")
        rows = np.zeros((shape[0], lower + upper + 1), dtype)
        for offset, value in diagonals.items():
            first, last = max(0, -offset), min(shape[0], shape[1] - offset)
            if np.ndim(value) and np.shape(value) != (max(0, last - first),):
                raise ShapeError(
                    f"Banded: diagonal {offset} has shape {np.shape(value)}, needed is "
                    f"({max(0, last - first)},) for a matrix of shape {shape}"
                )
            rows[first : max(first, last), lower + offset] = value
        return cls(rows, lower, upper, shape[1])

    def _band(self) -> np.ndarray:
        """Return the rows in C order, zero where they are outside of J."""
        if self._clean is None:
            rows = np.ascontiguousarray(self._rows)
            columns = np.arange(-self._lower, self._upper + 1) + np.arange(self._m)[:, None]
            outside = (columns < 0) | (columns >= self._n)
            self._clean = np.where(outside, self._dtype.type(0), rows) if outside.any() else rows
        return self._clean

    @property
    def T(self) -> Banded:  # noqa: D102, N802
        rows = _kernels.band_transpose(self._band(), self._lower, self._upper, self._n)
        return Banded(rows, self._upper, self._lower, self._m)

    def _dense(self) -> np.ndarray:
        return _kernels.band_dense(self._band(), self._lower, self._upper, self._n)

    def to_scipy(self) -> Any:  # noqa: D102
        import scipy.sparse

        columns = np.arange(-self._lower, self._upper + 1) + np.arange(self._m)[:, None]
        inside = (columns >= 0) & (columns < self._n)
        counts = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
        return scipy.sparse.csr_array((self._band()[inside], columns[inside], counts), self.shape)

    def _left(self, x: np.ndarray) -> np.ndarray:
        return _kernels.band_left(
            np.ascontiguousarray(x), self._band(), self._lower, self._upper, self._n
        )

    def _right(self, x: np.ndarray) -> np.ndarray:
        return _kernels.band_right(
            self._band(), self._lower, self._upper, self._n, np.ascontiguousarray(x)
        )

    def _like(self, rows: np.ndarray) -> Banded:
        return Banded(rows, self._lower, self._upper, self._n)

    def _scaled(self, c: float) -> Banded:
        return self._like(self._band() * self._dtype.type(c))

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return (self._rows,)

    def _magnitude(self) -> float:
        return float(np.max(np.abs(self._band()), initial=0.0))

    def _squares(self) -> float:
        return squares(self._band())

    def _params(self) -> tuple:
        return self._lower, self._upper

    def _about(self) -> str:
        return f", {self._lower} below, {self._upper} above"

    @classmethod
    def _apply_work(cls, s: Structure, k: int, left: bool = False) -> Work:
        width = s.params[0] + s.params[1] + 1
        return Work(2.0 * s.m * width * k, (s.m * width + (s.m + s.n) * k) * s.itemsize, "band")


# ---- products: bandwidths add


def _wider(a: Structure, b: Structure) -> Cost | None:
    lower, upper = a.params[0] + b.params[0], a.params[1] + b.params[1]
    if 2 * (lower + upper + 1) > b.n:
        return None  # dense takes no more, and gemm is faster
    width = a.params[0] + a.params[1] + 1
    flops = 2.0 * a.m * width * (b.params[0] + b.params[1] + 1)
    nbytes = a.itemsize * a.m * (width + 2.0 * (lower + upper + 1))
    return Cost(Structure("banded", a.m, b.n, a.itemsize, (lower, upper)), flops, nbytes, "band")


@rule("banded", "banded", _wider)
def _banded_banded(a: Any, b: Any) -> Factor:
    rows = _kernels.band_band(a._band(), a._lower, a._upper, b._band(), b._lower, b._upper, b._n)
    return Banded(rows, a._lower + b._lower, a._upper + b._upper, b._n)


def _rescaled(band: Structure) -> Cost:
    size = band.m * (band.params[0] + band.params[1] + 1)
    return Cost(band, size, 3.0 * size * band.itemsize, "elementwise", 3)


@rule("diagonal", "banded", lambda a, b: _rescaled(b))
def _diagonal_banded(a: Any, b: Any) -> Factor:
    return b._like(a._d[:, None] * b._band())


@rule("banded", "diagonal", lambda a, b: _rescaled(a))
def _banded_diagonal(a: Any, b: Any) -> Factor:
    columns = np.arange(-a._lower, a._upper + 1) + np.arange(a._m)[:, None]
    if a._n == 0:
        return a
    return a._like(a._band() * b._d[np.clip(columns, 0, a._n - 1)])
