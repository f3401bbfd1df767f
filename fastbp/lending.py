"""Arrays that a function or a rule of a user's gets: they are the record's, to be read only."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp import tree
from fastbp._core import graph
from fastbp.errors import FastbpError, NoRuleError, ReadOnlyError


def lent(
    run: Callable[[list[Any]], Any], values: Sequence[Any], name: str = "", apart: str = ""
) -> Any:
    """Return ``run(values)``, where `run` cannot change the arrays among the values.

    What takes no read-only arrays (code in C, memoryviews of Cython's that are not const) gets
    copies. Those may be written into by rules; a function with a `name` raises: what it writes
    would be seen by whoever holds the array in NumPy, and be lost here. Results that somebody else
    has as well, as a buffer that is written into again, are copied.

    Raises
    ------
    ReadOnlyError
        If a function writes into an argument.
    NoRuleError
        If results of a function that is named as `apart` share memory with each other.
    """
    locked = list(map(graph.locked, values))
    try:
        return _owned(run, locked, values, apart)
    except (ValueError, TypeError, BufferError) as error:
        if isinstance(error, FastbpError) or not _is_of_locks(str(error)):
            raise
    copies = [x.copy() if isinstance(x, np.ndarray) else x for x in values]
    found = _owned(run, copies, copies, apart)
    if name:
        for k, (x, given) in enumerate(zip(copies, values, strict=True)):
            if isinstance(x, np.ndarray) and x.tobytes() != given.tobytes():
                raise ReadOnlyError(
                    f"{name}: the function writes into its {_ordinal(k)} array, of shape {x.shape} "
                    f"and dtype {x.dtype}: let it write into a copy, x = x.copy()"
                )
    return found


def _owned(run: Callable[[list[Any]], Any], lent: list[Any], values: Any, apart: str) -> Any:
    """Return the results, without arrays that somebody else may write into."""
    found = [run(lent)]  # held by this list alone, if by nobody else: then it is no copy
    if type(found[0]) is np.ndarray:
        graph.own_results(found, lent, values)
        return found[0]
    found, structure = tree.flatten(found.pop())
    if apart and len(found) > 1:
        _check_apart(apart, found, values)
    graph.own_results(found, lent, values)
    return structure.unflatten(found)


def _check_apart(name: str, found: list[Any], values: Sequence[Any]) -> None:
    places = [k for k, x in enumerate(found) if type(x) is np.ndarray]
    for i, k in itertools.combinations(places, 2):
        if np.may_share_memory(found[i], found[k]) and not any(
            isinstance(x, np.ndarray) and np.may_share_memory(found[i], x) for x in values
        ):
            raise NoRuleError(
                f"{name}: results {i} and {k} of the function are in the same memory, where a "
                "write into one would change the other: return a copy of one of them"
            )


def _is_of_locks(text: str) -> bool:
    text = text.lower()
    return "read-only" in text or "readonly" in text or "writeable" in text or "writable" in text


def _ordinal(k: int) -> str:
    return ("first", "second", "third")[k] if k < 3 else f"{k + 1}th"
