"""Permutations, selections of elements and their transposes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp._core import places
from fastbp.chain.base import Factor
from fastbp.chain.costs import Cost, Structure, Work
from fastbp.chain.products import rule
from fastbp.errors import DTypeError, ShapeError

__all__ = ["Permutation", "Scatter", "Selection"]


def _indices(name: str, index: Any, n: int) -> np.ndarray:
    array = np.asarray(index)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise DTypeError(
            f"{name}: index must be a vector of integers, got {array.dtype} of shape {array.shape}"
        )
    if array.size and not (array.min() >= 0 and array.max() < n):
        raise ShapeError(
            f"{name}: index has values from {array.min()} to {array.max()}, outside of 0 to {n - 1}"
        )
    array = np.ascontiguousarray(array, np.intp)
    return array


class _Indexed(Factor):
    """What the three kinds share: one 1 in each row, or in each column."""

    __slots__ = ("_index",)
    _index: np.ndarray

    @property
    def index(self) -> np.ndarray:
        """The indices, not to be written to."""
        return self._index

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return (self._index,)

    def _magnitude(self) -> float:
        return 1.0

    def _squares(self) -> float:
        return float(self._index.size)

    def _scaled(self, c: float) -> Factor:
        from fastbp.chain.factors.sparse import Sparse

        return Sparse(self.to_scipy() * self._dtype.type(c))

    def _dense(self) -> np.ndarray:
        out = np.zeros((self._index.size, self._columns()), self._dtype)
        out[np.arange(self._index.size), self._index] = 1
        return out.T if isinstance(self, Scatter) else out

    def _columns(self) -> int:
        return self._n

    def to_scipy(self) -> Any:
        import scipy.sparse

        size = self._index.size
        rows = (np.ones(size, self._dtype), self._index, np.arange(size + 1))
        found = scipy.sparse.csr_array(rows, (size, self._columns()))
        found.sort_indices()
        return found.T.tocsr() if isinstance(self, Scatter) else found

    @classmethod
    def _scaled_structure(cls, s: Structure) -> Structure:
        return s._replace(kind="sparse", params=(s.n if s.kind == "scatter" else s.m, s.m, s.n))

    @classmethod
    def _apply_work(cls, s: Structure, k: int, left: bool = False) -> Work:
        # Rows move as a whole, the elements of each row one by one; sums are slower still.
        adds = s.kind == ("selection" if left else "scatter")
        passes = 12.0 if adds else 4.0 if left else 0.5
        return Work(0.0, passes * (s.m + s.n) * k * s.itemsize, "elementwise")


class Selection(_Indexed):
    """The Jacobian of ``x[index]``: row i has its 1 in column ``index[i]``.

    Parameters
    ----------
    index : array_like of int, shape (m,), values in range(n), repeats allowed
    n : int
    dtype : dtype, float64 or float32

    Examples
    --------
    >>> bp.chain.Selection([2, 0], 3) @ np.array([1.0, 2.0, 3.0])
    array([3., 1.])
    """

    __slots__ = ()
    kind = "selection"

    def __init__(self, index: Any, n: int, dtype: Any = np.float64) -> None:
        self._index = _indices("Selection", index, n)
        self._set(self._index.size, n, np.dtype(dtype))

    @property
    def T(self) -> Scatter:  # noqa: D102, N802
        return Scatter(self._index, self._n, self._dtype)

    def _left(self, x: np.ndarray) -> np.ndarray:
        out = np.zeros((len(x), self._n), self._dtype)
        places.add_at(out, self._index, x, 0)
        return out

    def _right(self, x: np.ndarray) -> np.ndarray:
        return x[self._index]


class Scatter(_Indexed):
    """The transpose of a `Selection`: column j has its 1 in row ``index[j]``.

    Parameters
    ----------
    index : array_like of int, shape (n,), values in range(m), repeats allowed
    m : int
    dtype : dtype, float64 or float32

    Examples
    --------
    >>> bp.chain.Scatter([2, 0], 3) @ np.array([1.0, 2.0])
    array([2., 0., 1.])
    """

    __slots__ = ()
    kind = "scatter"

    def __init__(self, index: Any, m: int, dtype: Any = np.float64) -> None:
        self._index = _indices("Scatter", index, m)
        self._set(m, self._index.size, np.dtype(dtype))

    def _columns(self) -> int:
        return self._m

    @property
    def T(self) -> Selection:  # noqa: D102, N802
        return Selection(self._index, self._m, self._dtype)

    def _left(self, x: np.ndarray) -> np.ndarray:
        return x[:, self._index]

    def _right(self, x: np.ndarray) -> np.ndarray:
        out = np.zeros((self._m, x.shape[1]), self._dtype)
        places.add_at(out, self._index, x, 1)
        return out

    def _steps(self) -> tuple:
        return (("take", self._index, self._m),)


class Permutation(_Indexed):
    """The Jacobian of ``x[index]`` where `index` is a permutation.

    Parameters
    ----------
    index : array_like of int, shape (n,), every value of range(n) once
    dtype : dtype, float64 or float32

    Examples
    --------
    >>> p = bp.chain.Permutation([2, 0, 1])
    >>> p @ np.array([1.0, 2.0, 3.0])
    array([3., 1., 2.])
    >>> (p @ p.T).index
    array([0, 1, 2])
    """

    __slots__ = ("_inverse",)
    kind = "permutation"

    def __init__(self, index: Any, dtype: Any = np.float64) -> None:
        size = np.size(index)
        self._index = _indices("Permutation", index, size)
        self._inverse = np.full(size, -1, np.intp)
        self._inverse[self._index] = np.arange(size)
        if size and self._inverse.min() < 0:
            raise ShapeError(f"Permutation: index does not hold every value of range({size})")
        self._set(size, size, np.dtype(dtype))

    @classmethod
    def _of(cls, index: np.ndarray, inverse: np.ndarray, dtype: Any) -> Permutation:
        self = cls.__new__(cls)
        self._index, self._inverse = index, inverse
        self._set(index.size, index.size, dtype)
        return self

    @property
    def T(self) -> Permutation:  # noqa: D102, N802
        return Permutation._of(self._inverse, self._index, self._dtype)

    def _left(self, x: np.ndarray) -> np.ndarray:
        return x[:, self._inverse]

    def _right(self, x: np.ndarray) -> np.ndarray:
        return x[self._index]

    def _steps(self) -> tuple:
        return (("take", self._inverse, self._n),)


# ---- products: indices of indices


def _gather(kind: str) -> Any:
    def cost(a: Structure, b: Structure) -> Cost:
        result = Structure(kind, a.m, b.n, a.itemsize)
        size = a.m if kind != "scatter" else b.n
        return Cost(result, 0.0, 24.0 * size, "elementwise")

    return cost


@rule("permutation", "permutation", _gather("permutation"))
def _permutation_permutation(a: Any, b: Any) -> Factor:
    return Permutation._of(b._index[a._index], a._inverse[b._inverse], a._dtype)


@rule("selection", "selection", _gather("selection"))
@rule("selection", "permutation", _gather("selection"))
@rule("permutation", "selection", _gather("selection"))
def _selection_selection(a: Any, b: Any) -> Factor:
    return Selection(b._index[a._index], b._n, a._dtype)


@rule("scatter", "scatter", _gather("scatter"))
def _scatter_scatter(a: Any, b: Any) -> Factor:
    return Scatter(a._index[b._index], a._m, a._dtype)


@rule("permutation", "scatter", _gather("scatter"))
def _permutation_scatter(a: Any, b: Any) -> Factor:
    return Scatter(a._inverse[b._index], a._m, a._dtype)


@rule("scatter", "permutation", _gather("scatter"))
def _scatter_permutation(a: Any, b: Any) -> Factor:
    return Scatter(a._index[b._inverse], a._m, a._dtype)
