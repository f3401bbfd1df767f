"""The table of pairs of tensors: how two storages are composed and added.

A storage enters its rows with the decorators below, beside its class or, where a row makes other
storages too, in `fastbp.tensor.combining`: nothing else has to know of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.pairs import ANY, Pairs

if TYPE_CHECKING:
    from fastbp.tensor.base import DerivativeTensor

__all__ = ["ANY", "add", "adding", "compose", "composing"]

Combine = Callable[[Any, Any], "DerivativeTensor | None"]

_COMPOSING: Pairs[Combine] = Pairs()
_ADDING: Pairs[Combine] = Pairs()


def composing(a: str, b: str) -> Callable[[Combine], Combine]:
    """Enter the composition of storages `a` and `b`; it returns None where it does not hold."""
    return _entering(_COMPOSING, a, b)


def adding(a: str, b: str) -> Callable[[Combine], Combine]:
    """Enter the sum of storages `a` and `b`; it returns None where it does not hold."""
    return _entering(_ADDING, a, b)


def _entering(table: Pairs[Combine], a: str, b: str) -> Callable[[Combine], Combine]:
    def enter(function: Combine) -> Combine:
        table.enter(a, b, function)
        return function

    return enter


def compose(left: DerivativeTensor, right: DerivativeTensor) -> DerivativeTensor:
    """Return ``dY/dZ`` from ``dY/dX`` and ``dX/dZ``, whose shapes fit."""
    return _combined(_COMPOSING, left, right)


def add(a: DerivativeTensor, b: DerivativeTensor) -> DerivativeTensor:
    """Return the sum of two tensors of the same shapes."""
    return _combined(_ADDING, a, b)


def _combined(table: Pairs[Combine], a: DerivativeTensor, b: DerivativeTensor) -> DerivativeTensor:
    dtype = np.result_type(a.dtype, b.dtype)
    a, b = a.astype(dtype), b.astype(dtype)
    for row in table.rows(a.storage, b.storage):
        result = row(a, b)
        if result is not None:
            return result
    raise NotImplementedError(f"no row for storages {a.storage} and {b.storage}")
