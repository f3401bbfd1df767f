"""Arrays that a function or a rule of a user's gets: they are the record's, to be read only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp._core import graph
from fastbp.errors import ReadOnlyError


def lent(run: Callable[[list[Any]], Any], values: Sequence[Any], name: str = "") -> Any:
    """Return ``run(values)``, where `run` cannot change the arrays among the values.

    What takes no read-only arrays (code in C, memoryviews of Cython's that are not const) gets
    copies. Those may be written into by rules; a function with a `name` raises: what it writes
    would be seen by whoever holds the array in NumPy, and be lost here.

    Raises
    ------
    ReadOnlyError
        If a function writes into an argument.
    """
    locked = list(map(graph.locked, values))
    try:
        return _unlocked(run(locked), locked, values)
    except (ValueError, TypeError, BufferError) as error:
        if not _is_of_locks(str(error)):
            raise
    copies = [x.copy() if isinstance(x, np.ndarray) else x for x in values]
    found = run(copies)
    if name:
        for k, (x, given) in enumerate(zip(copies, values, strict=True)):
            if isinstance(x, np.ndarray) and x.tobytes() != given.tobytes():
                raise ReadOnlyError(
                    f"{name}: the function writes into its {_ordinal(k)} array, of shape {x.shape} "
                    f"and dtype {x.dtype}: let it write into a copy, x = x.copy()"
                )
    return found


def _unlocked(found: Any, locked: list[Any], values: Sequence[Any]) -> Any:
    """Return results that are lent arrays, or views of them, as such of the arrays themselves."""
    if type(found) in (tuple, list):
        return type(found)([_unlocked(item, locked, values) for item in found])
    if type(found) is not np.ndarray or found.flags.writeable:
        return found
    for lock, x in zip(locked, values, strict=True):
        if lock is x:
            continue
        if found is lock:
            return x
        if found.base is lock.base and not any(
            step == 0 and n > 1 for step, n in zip(found.strides, found.shape, strict=True)
        ):
            found.flags.writeable = True
    return found


def _is_of_locks(text: str) -> bool:
    text = text.lower()
    return "read-only" in text or "readonly" in text or "writeable" in text or "writable" in text


def _ordinal(k: int) -> str:
    return ("first", "second", "third")[k] if k < 3 else f"{k + 1}th"
