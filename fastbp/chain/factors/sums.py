"""Sums of factors."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.chain.base import Factor, as_factor, same_dtype
from fastbp.chain.costs import Cost, Structure, Work
from fastbp.chain.products import ANY, KINDS, cost_of, multiply, rule
from fastbp.errors import ShapeError

__all__ = ["Sum"]


class Sum(Factor):
    """A sum of factors: the Jacobian of a residual connection is ``Identity + J``.

    Parameters
    ----------
    *terms : Factor or what `as_factor` takes
        At least one, of one shape and dtype.

    Examples
    --------
    >>> s = bp.chain.Sum(bp.chain.Identity(3), bp.chain.LowRank(np.ones((3, 1)), np.ones((3, 1))))
    >>> s
    <Sum 3 x 3 of Identity and LowRank, float64>
    >>> s @ np.ones(3)
    array([4., 4., 4.])
    """

    __slots__ = ("_terms",)
    kind = "sum"

    def __init__(self, *terms: Any) -> None:
        self._terms = tuple(map(as_factor, terms))
        if not terms:
            raise ShapeError("Sum: needs at least one term")
        for i, term in enumerate(self._terms):
            if term.shape != self._terms[0].shape:
                raise ShapeError(
                    f"Sum: term {i} has shape {term.shape}, term 0 has {self._terms[0].shape}"
                )
        dtype = same_dtype("Sum", *(term.dtype for term in self._terms))
        self._set(*self._terms[0].shape, dtype)

    @property
    def T(self) -> Sum:  # noqa: D102, N802
        return Sum(*(term.T for term in self._terms))

    def _dense(self) -> np.ndarray:
        out = self._terms[0]._dense()
        for term in self._terms[1:]:
            out += term._whole()
        return out

    def _left(self, x: np.ndarray) -> np.ndarray:
        out = self._terms[0]._left(x)
        for term in self._terms[1:]:
            out += term._left(x)
        return out

    def _right(self, x: np.ndarray) -> np.ndarray:
        out = self._terms[0]._right(x)
        for term in self._terms[1:]:
            out += term._right(x)
        return out

    def _scaled(self, c: float) -> Sum:
        return Sum(*(term._scaled(c) for term in self._terms))

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return tuple(x for term in self._terms for x in term._arrays())

    def _params(self) -> tuple:
        return tuple(term.structure for term in self._terms)

    def _about(self) -> str:
        return f" of {' and '.join(type(term).__name__ for term in self._terms)}"

    def _magnitude(self) -> float:
        return max(term._magnitude() for term in self._terms)

    @classmethod
    def _apply_work(cls, s: Structure, k: int, left: bool = False) -> Work:
        first = KINDS[s.params[0].kind]._apply_work(s.params[0], k, left)
        cost = first.gives(s)
        for term in s.params[1:]:
            cost = cost.plus(KINDS[term.kind]._apply_work(term, k, left))
            cost = cost.plus(Work(s.m * k, 3.0 * s.m * k * s.itemsize, "elementwise"))
        return Work(*cost[1:])


# ---- products: term by term, as long as no term becomes dense


def _term_by_term(a: Structure, b: Structure) -> Cost | None:
    left = a.kind == "sum"
    if (b if left else a).kind in ("dense", "sum", "operator"):
        return None
    costs = [cost_of(t, b) for t in a.params] if left else [cost_of(a, t) for t in b.params]
    if any(cost.result.kind in ("dense", "low_rank") for cost in costs):
        return None
    total = costs[0]
    for cost in costs[1:]:
        total = total.plus(Work(*cost[1:]))
    params = tuple(cost.result for cost in costs)
    return total._replace(result=Structure("sum", a.m, b.n, a.itemsize, params))


@rule("sum", ANY, _term_by_term)
def _sum_any(a: Any, b: Factor) -> Factor:
    return Sum(*(multiply(term, b) for term in a._terms))


@rule(ANY, "sum", _term_by_term)
def _any_sum(a: Factor, b: Any) -> Factor:
    return Sum(*(multiply(a, term) for term in b._terms))
