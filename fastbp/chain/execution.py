"""Carries a plan of products out."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from fastbp._core.matmul import matmul
from fastbp.chain.base import Factor
from fastbp.chain.factors import BlockDiagonal, Dense
from fastbp.chain.ordering import CALLS_ONLY, order, order_dense
from fastbp.chain.plans import Plan
from fastbp.chain.products import multiply
from fastbp.chain.runs import runs, swept

__all__ = ["evaluate", "evaluate_scaled", "names_of", "rescaled"]


def names_of(factors: Sequence[Factor]) -> list[int]:
    """Return for each factor the position of the first one that is the same object."""
    first: dict[int, int] = {}
    return [first.setdefault(id(factor), i) for i, factor in enumerate(factors)]


def evaluate(factors: Sequence[Factor], how: str = "auto") -> Factor:
    """Return the product of factors whose shapes and dtypes fit."""
    if all(type(factor) is Dense for factor in factors):
        return Dense._of(_evaluate_dense(factors, how))
    parts = _parts(factors)
    if parts is not None:
        return BlockDiagonal([evaluate(part, how) for part in parts])
    plan = order([factor.structure for factor in factors], names_of(factors), how)
    return _carried_out(plan, list(factors))


def _carried_out(plan: Plan, values: list) -> Factor:
    i, together = 0, runs(plan)
    while i < len(plan.products):
        stop, right = together.get(i, (0, True))
        found = _swept(plan, values, i, stop, right) if stop else None
        if found is None:
            stop = i + 1
            a, b = plan.products[i]
            found = multiply(values[a], values[b])
        values += [None] * (stop - i - 1)
        values.append(found)
        for unused in plan.unused[i:stop]:
            for value in unused:
                values[value] = None
        i = stop
    return values[plan.root]  # type: ignore[no-any-return]


def _swept(plan: Plan, values: list, first: int, stop: int, right: bool) -> Factor | None:
    side = 1 if right else 0
    links = [values[pair[side]] for pair in plan.products[first:stop]]
    return swept(values[plan.products[first][1 - side]], links, right)


def _parts(factors: Sequence[Factor]) -> list[list[Factor]] | None:
    """Return the chains of which a chain of fitting block-diagonal factors consists."""
    first = factors[0]
    if not isinstance(first, BlockDiagonal) or len(factors) < 2:
        return None
    sizes = first._sizes(1)
    for factor in factors[1:]:
        if not isinstance(factor, BlockDiagonal) or factor._sizes(0) != sizes:
            return None
        sizes = factor._sizes(1)
    if all(factor._is_batch for factor in factors):  # type: ignore[attr-defined]
        return None
    columns = [factor._factors() for factor in factors]  # type: ignore[attr-defined]
    return [list(part) for part in zip(*columns, strict=True)]


def _evaluate_dense(factors: Sequence[Factor], how: str) -> np.ndarray:
    values = [factor._array for factor in factors]  # type: ignore[attr-defined]
    sizes, names = [values[0].shape[0], *(x.shape[1] for x in values)], names_of(factors)
    if how == "auto" and (max(sizes) <= CALLS_ONLY or len(set(sizes)) == 1):
        if len(set(names)) == len(names):  # all orders cost the same
            return functools.reduce(matmul, values)
    plan = order_dense(sizes, values[0].itemsize, names, how)
    for (a, b), unused in zip(plan.products, plan.unused, strict=True):
        values.append(matmul(values[a], values[b]))
        for value in unused:
            values[value] = None
    return values[plan.root]  # type: ignore[no-any-return]


# ---- with a scale beside


def rescaled(factor: Factor, exponent: int, force: bool = True) -> tuple[Factor, int]:
    """Move the magnitude of a factor into an exponent of two, which is exact.

    Without `force` only where products of two could leave the range of the dtype.
    """
    limit = 0 if force else 20 if factor.dtype == np.float32 else 200
    normal, shift = factor._normal(limit)
    return normal, exponent + shift


def evaluate_scaled(factors: Sequence[Factor]) -> tuple[Factor, int]:
    """Return the product as a factor with elements of about 1, and an exponent of two."""
    plan = order([factor.structure for factor in factors], names_of(factors))
    values: list = [rescaled(factor, 0, force=False) for factor in factors]
    for (a, b), unused in zip(plan.products, plan.unused, strict=True):
        (x, p), (y, q) = values[a], values[b]
        values.append(rescaled(multiply(x, y), p + q))
        for value in unused:
            values[value] = None
    return rescaled(*values[plan.root])
