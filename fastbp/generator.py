"""NumPy's global random numbers, which all threads share: for one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

__all__ = ["held", "restored"]

_REENTRANT = threading.RLock()


@contextmanager
def held() -> Iterator[None]:
    """Let no other thread draw meanwhile, nor see numbers drawn by one that puts them back.

    The lock is the generator's. That of NumPy 2.0 is not reentrant: then only threads that ask
    here wait for each other.
    """
    lock: Any = np.random.get_bit_generator().lock  # type: ignore[attr-defined]
    with lock if isinstance(lock, type(_REENTRANT)) else _REENTRANT:
        yield


@contextmanager
def restored() -> Iterator[None]:
    """Put back what is drawn meanwhile."""
    with held():
        state = np.random.get_state()  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002
