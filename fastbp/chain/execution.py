"""Carries a bracketing of products out."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp._core.chain_links import matrices
from fastbp._core.matmul import matmul
from fastbp.chain.base import Factor
from fastbp.chain.bracketing import Bracketing, Fold, left_first
from fastbp.chain.factors import BlockDiagonal, Dense
from fastbp.chain.ordering import CALLS_ONLY, order, order_dense
from fastbp.chain.products import multiply
from fastbp.chain.runs import runs, swept

__all__ = ["evaluate", "evaluate_dense", "evaluate_scaled", "names_of", "rescaled"]

#: Kinds whose matrix other links may have too.
_SHARING = frozenset({"row_scaled", "column_scaled"})


def names_of(factors: Sequence[Any]) -> Sequence[int]:
    """Return for each factor the position of the first one that is the same object."""
    ids = list(map(id, factors))
    if len(set(ids)) == len(ids):
        return range(len(ids))
    first: dict[int, int] = {}
    return [first.setdefault(x, i) for i, x in enumerate(ids)]


def evaluate(factors: tuple[Factor, ...], how: str = "auto") -> Factor:
    """Return the product of factors whose shapes and dtypes fit."""
    found = matrices(factors, Dense)
    if found is not None:
        return evaluate_dense(*found, how)
    if len(factors) < 3:
        return multiply(*factors) if len(factors) == 2 else factors[0]
    parts = _parts(factors)
    if parts is not None:
        return BlockDiagonal([evaluate(part, how) for part in parts])
    structures = [factor._structure or factor.structure for factor in factors]
    names = names_of(factors)
    brackets, different = order(structures, names, how), type(names) is range
    if not different or any(factor.kind in _SHARING for factor in factors):
        together = runs(brackets)
        if together:
            return _carry_out_runs(brackets, list(factors), together)
    return _carry_out(brackets, factors, different)  # type: ignore[no-any-return]


def _parts(factors: Sequence[Factor]) -> list[tuple[Factor, ...]] | None:
    """Return the chains of which a chain of fitting block-diagonal factors consists."""
    first = factors[0]
    if not isinstance(first, BlockDiagonal):
        return None
    sizes = first._sizes(1)
    for factor in factors[1:]:
        if not isinstance(factor, BlockDiagonal) or factor._sizes(0) != sizes:
            return None
        sizes = factor._sizes(1)
    if all(factor._is_batch for factor in factors):  # type: ignore[attr-defined]
        return None
    columns = [factor._factors() for factor in factors]  # type: ignore[attr-defined]
    return list(zip(*columns, strict=True))


def evaluate_dense(arrays: list[np.ndarray], sizes: tuple[int, ...], how: str = "auto") -> Dense:
    """Return the product of matrices whose shapes and dtypes fit."""
    if len(arrays) < 3:
        return Dense._of(matmul(*arrays) if len(arrays) == 2 else arrays[0])
    if len(arrays) == 3 and how in ("auto", "exact"):
        a, b, c = arrays
        if left_first(sizes, a.itemsize):
            return Dense._of(matmul(matmul(a, b), c))
        return Dense._of(matmul(a, matmul(b, c)))
    names = names_of(arrays)
    different = type(names) is range
    if how == "auto" and different and (max(sizes) <= CALLS_ONLY or len(set(sizes)) == 1):
        return Dense._of(functools.reduce(matmul, arrays))  # all orders cost the same
    brackets = order_dense(sizes, arrays[0].itemsize, names, how)
    return Dense._of(_carry_out(brackets, arrays, different, matmul))


def _carry_out(brackets: Bracketing, links: Sequence, different: bool, function: Any = None) -> Any:
    functions = brackets.functions if function is None else itertools.repeat(function)
    if isinstance(brackets, Fold):
        rest = iter(links if brackets.left else reversed(links))
        root = next(rest)
        for one, link in zip(functions, rest, strict=False):
            root = one(root, link) if brackets.left else one(link, root)
        return root
    values = list(links)
    if different:  # each value is used once
        for one, (a, b) in zip(functions, brackets.products, strict=False):
            values.append(one(values[a], values[b]))
            values[a] = values[b] = None
        return values[brackets.root]
    for one, (a, b), unused in zip(functions, brackets.products, brackets.unused, strict=False):
        values.append(one(values[a], values[b]))
        for value in unused:
            values[value] = None
    return values[brackets.root]


def _carry_out_runs(
    brackets: Bracketing, values: list, together: dict[int, tuple[int, bool]]
) -> Factor:
    """Carry out a bracketing some of whose products one sweep makes."""
    i = 0
    while i < len(brackets.products):
        stop, right = together.get(i, (0, True))
        found = _swept(brackets, values, i, stop, right) if stop else None
        if found is None:
            stop = i + 1
            a, b = brackets.products[i]
            found = multiply(values[a], values[b])
        values += [None] * (stop - i - 1)
        values.append(found)
        for unused in brackets.unused[i:stop]:
            for value in unused:
                values[value] = None
        i = stop
    return values[brackets.root]  # type: ignore[no-any-return]


def _swept(brackets: Bracketing, values: list, first: int, stop: int, right: bool) -> Factor | None:
    side = 1 if right else 0
    links = [values[pair[side]] for pair in brackets.products[first:stop]]
    return swept(values[brackets.products[first][1 - side]], links, right)


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
    brackets = order([factor.structure for factor in factors], names_of(factors))
    values: list = [rescaled(factor, 0, force=False) for factor in factors]
    for (a, b), unused in zip(brackets.products, brackets.unused, strict=True):
        (x, p), (y, q) = values[a], values[b]
        values.append(rescaled(multiply(x, y), p + q))
        for value in unused:
            values[value] = None
    return rescaled(*values[brackets.root])
