"""Kronecker products."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.chain.base import Factor, as_factor, same_dtype
from fastbp.chain.costs import Cost, Structure, Work
from fastbp.chain.products import KINDS, cost_of, multiply, rule

__all__ = ["Kronecker"]


class Kronecker(Factor):
    """A Kronecker product, ``kron(a, b)``: the Jacobian of ``a @ X @ b.T`` in row-major order.

    Parameters
    ----------
    a, b : Factor or what `as_factor` takes
        Of one dtype. For more than two, nest them.

    Examples
    --------
    >>> k = bp.chain.Kronecker(np.ones((2, 3)), bp.chain.Identity(4))
    >>> k
    <Kronecker 8 x 12 of Dense 2 x 3 and Identity 4 x 4, float64>
    >>> k @ k.T
    <Kronecker 8 x 8 of Dense 2 x 2 and Identity 4 x 4, float64>
    """

    __slots__ = ("_a", "_b")
    kind = "kronecker"

    def __init__(self, a: Any, b: Any) -> None:
        self._a, self._b = as_factor(a), as_factor(b)
        dtype = same_dtype("Kronecker", self._a.dtype, self._b.dtype)
        (m, n), (p, q) = self._a.shape, self._b.shape
        self._set(m * p, n * q, dtype)

    @property
    def T(self) -> Kronecker:  # noqa: D102, N802
        return Kronecker(self._a.T, self._b.T)

    def _dense(self) -> np.ndarray:
        return np.kron(self._a._whole(), self._b._whole())

    def to_scipy(self) -> Any:  # noqa: D102
        import scipy.sparse

        return scipy.sparse.csr_array(
            scipy.sparse.kron(self._a.to_scipy(), self._b.to_scipy(), format="csr")
        )

    def _left(self, x: np.ndarray) -> np.ndarray:
        k, (m, n), (p, q) = len(x), self._a.shape, self._b.shape
        y = self._b._left(np.ascontiguousarray(x).reshape(k * m, p)).reshape(k, m, q)
        y = self._a._left(np.moveaxis(y, 1, 2).reshape(k * q, m)).reshape(k, q, n)
        return np.moveaxis(y, 1, 2).reshape(k, n * q)

    def _right(self, x: np.ndarray) -> np.ndarray:
        k, (m, n), (p, q) = x.shape[1], self._a.shape, self._b.shape
        y = self._a._right(np.ascontiguousarray(x).reshape(n, q * k)).reshape(m, q, k)
        y = self._b._right(np.moveaxis(y, 1, 0).reshape(q, m * k)).reshape(p, m, k)
        return np.moveaxis(y, 0, 1).reshape(m * p, k)

    def _scaled(self, c: float) -> Kronecker:
        if self._a.nbytes <= self._b.nbytes:
            return Kronecker(self._a._scaled(c), self._b)
        return Kronecker(self._a, self._b._scaled(c))

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self._a._arrays() + self._b._arrays()

    def _params(self) -> tuple:
        return self._a.structure, self._b.structure

    def _about(self) -> str:
        parts = (f"{type(x).__name__} {x._m} x {x._n}" for x in (self._a, self._b))
        return f" of {' and '.join(parts)}"

    def _magnitude(self) -> float:
        return self._a._magnitude() * self._b._magnitude()

    def _normal(self, limit: int) -> tuple[Kronecker, int]:
        (a, p), (b, q) = self._a._normal(limit), self._b._normal(limit)
        return Kronecker(a, b), p + q

    def _squares(self) -> float:
        return self._a._squares() * self._b._squares()

    @classmethod
    def _apply_work(cls, s: Structure, k: int, left: bool = False) -> Work:
        a, b = s.params
        first = KINDS[b.kind]._apply_work(b, k * a.n, left)
        second = KINDS[a.kind]._apply_work(a, k * b.m, left)
        cost = first.gives(s).plus(second)
        moved = 2.0 * k * (a.n * b.n + a.n * b.m + a.m * b.m) * s.itemsize
        return Work(cost.flops, cost.nbytes + moved, cost.kernel, cost.calls + 4)


# ---- products


def _mixed(s: Structure, t: Structure) -> Cost | None:
    """``kron(a, b) @ kron(c, d) = kron(a @ c, b @ d)`` where the shapes fit."""
    (a, b), (c, d) = s.params, t.params
    if a.n != c.m or b.n != d.m:
        return None
    first, second = cost_of(a, c), cost_of(b, d)
    result = Structure("kronecker", s.m, t.n, s.itemsize, (first.result, second.result))
    return first.plus(Work(*second[1:]))._replace(result=result)


@rule("kronecker", "kronecker", _mixed)
def _kronecker_kronecker(a: Any, b: Any) -> Factor:
    return Kronecker(multiply(a._a, b._a), multiply(a._b, b._b))
