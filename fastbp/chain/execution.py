"""Carries a plan of products out."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from fastbp._core.matmul import matmul
from fastbp.chain.base import Factor
from fastbp.chain.factors import Dense
from fastbp.chain.ordering import CALLS_ONLY, order, order_dense
from fastbp.chain.products import multiply

__all__ = ["evaluate", "evaluate_scaled", "names_of", "rescaled"]


def names_of(factors: Sequence[Factor]) -> list[int]:
    """Return for each factor the position of the first one that is the same object."""
    first: dict[int, int] = {}
    return [first.setdefault(id(factor), i) for i, factor in enumerate(factors)]


def evaluate(factors: Sequence[Factor], how: str = "auto") -> Factor:
    """Return the product of factors whose shapes and dtypes fit."""
    if all(type(factor) is Dense for factor in factors):
        return Dense._of(_evaluate_dense(factors, how))
    plan = order([factor.structure for factor in factors], names_of(factors), how)
    values: list = list(factors)
    for (a, b), unused in zip(plan.products, plan.unused, strict=True):
        values.append(multiply(values[a], values[b]))
        for value in unused:
            values[value] = None
    return values[plan.root]  # type: ignore[no-any-return]


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
