"""Diagonal matrices and multiples of the identity."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.chain.base import Factor, floats, squares
from fastbp.chain.costs import Cost, Structure, Work
from fastbp.chain.products import ANY, KINDS, rule
from fastbp.errors import ShapeError

__all__ = ["Diagonal", "Identity"]


class Diagonal(Factor):
    """A diagonal matrix: the Jacobian of an elementwise function.

    Parameters
    ----------
    d : ndarray of float64 or float32, shape (n,)

    Examples
    --------
    >>> d = bp.chain.Diagonal(np.array([1.0, 2.0]))
    >>> d @ d
    <Diagonal 2 x 2, float64>
    >>> (d @ d).vjp([1, 1])
    array([1., 4.])
    """

    __slots__ = ("_d",)
    kind = "diagonal"

    def __init__(self, d: Any) -> None:
        self._d = floats("Diagonal", "d", d, 1)
        self._set(self._d.shape[0], self._d.shape[0], self._d.dtype)

    @property
    def T(self) -> Diagonal:  # noqa: D102, N802
        return self

    def _dense(self) -> np.ndarray:
        return np.diag(self._d)

    def to_scipy(self) -> Any:  # noqa: D102
        import scipy.sparse

        return scipy.sparse.csr_array(scipy.sparse.diags_array(self._d))

    def _left(self, x: np.ndarray) -> np.ndarray:
        return x * self._d

    def _right(self, x: np.ndarray) -> np.ndarray:
        return self._d[:, None] * x

    def _scaled(self, c: float) -> Diagonal:
        return Diagonal(self._d * self._dtype.type(c))

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return (self._d,)

    def _steps(self) -> tuple:
        return (("scale", self._d),)

    def _squares(self) -> float:
        return squares(self._d)

    @classmethod
    def _apply_work(cls, s: Structure, k: int, left: bool = False) -> Work:
        return Work(s.n * k, 2.0 * s.n * k * s.itemsize, "elementwise")


class Identity(Factor):
    """A multiple of the identity, ``scale * I``.

    Parameters
    ----------
    n : int
    scale : float
    dtype : dtype, float64 or float32

    Examples
    --------
    >>> bp.chain.Identity(2, 3.0).to_dense()
    array([[3., 0.],
           [0., 3.]])
    """

    __slots__ = ("_scale",)
    kind = "identity"

    def __init__(self, n: int, scale: float = 1.0, dtype: Any = np.float64) -> None:
        if n < 0:
            raise ShapeError(f"Identity: n must not be negative, got {n}")
        self._set(n, n, np.dtype(dtype))
        self._scale = float(self._dtype.type(scale))

    @property
    def T(self) -> Identity:  # noqa: D102, N802
        return self

    def _dense(self) -> np.ndarray:
        return np.eye(self._n, dtype=self._dtype) * self._dtype.type(self._scale)

    def to_scipy(self) -> Any:  # noqa: D102
        import scipy.sparse

        return scipy.sparse.csr_array(
            scipy.sparse.diags_array(np.full(self._n, self._scale, self._dtype))
        )

    def _left(self, x: np.ndarray) -> np.ndarray:
        return x * self._dtype.type(self._scale)

    _right = _left

    def _scaled(self, c: float) -> Identity:
        return Identity(self._n, self._scale * c, self._dtype)

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return ()

    def _params(self) -> tuple:
        return (self._scale == 1.0,)

    def _about(self) -> str:
        return "" if self._scale == 1.0 else f", scale {self._scale:g}"

    def _steps(self) -> tuple:
        return (("times", self._scale, self._n),)

    def _magnitude(self) -> float:
        return abs(self._scale)

    def _squares(self) -> float:
        return self._n * self._scale**2

    @classmethod
    def _apply_work(cls, s: Structure, k: int, left: bool = False) -> Work:
        return Work(s.n * k, 2.0 * s.n * k * s.itemsize, "elementwise")


# ---- products


def _vector(a: Structure, b: Structure) -> Cost:
    return Cost(
        Structure("diagonal", a.m, a.m, a.itemsize), a.m, 3.0 * a.m * a.itemsize, "elementwise"
    )


@rule("diagonal", "diagonal", _vector)
def _diagonal_diagonal(a: Any, b: Any) -> Factor:
    return Diagonal(a._d * b._d)


def _scaling(identity: Structure, other: Structure) -> Cost:
    if other.kind == "identity":
        both = identity.params[0] and other.params[0]
        result = identity._replace(params=(both,))
        return Cost(result, 0.0, 0.0, "lazy")
    if identity.params[0]:
        return Cost(other, 0.0, 0.0, "lazy")
    # Its arrays are scaled: at most all elements once, and a vector for most kinds.
    size = other.m * other.n if other.kind == "dense" else other.m + other.n
    result = KINDS[other.kind]._scaled_structure(other)
    return Cost(result, size, 2.0 * size * other.itemsize, "elementwise")


@rule("identity", ANY, _scaling)
def _identity_any(a: Any, b: Factor) -> Factor:
    return b if a._scale == 1.0 else b._scaled(a._scale)


@rule(ANY, "identity", lambda a, b: _scaling(b, a))
def _any_identity(a: Factor, b: Any) -> Factor:
    return a if b._scale == 1.0 else a._scaled(b._scale)
