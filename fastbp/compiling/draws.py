"""Random numbers that are drawn while a function is recorded: by it, or by another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["DrawnError", "undrawn"]

T = TypeVar("T")

RECORDINGS = 4  # of a function during which random numbers were drawn, maybe by another thread


class DrawnError(Exception):
    """Random numbers were drawn while a function was recorded."""


def undrawn(record: Callable[[], T], error: type[Exception]) -> T:
    """Record a function; raise the error, with the message of `DrawnError`, where it draws.

    The state of random numbers belongs to all threads: another one may have drawn meanwhile.
    """
    others = threading.active_count() > 1
    for _ in range(RECORDINGS if others else 1):
        try:
            return record()
        except DrawnError as drawn:
            message = str(drawn)
    raise error(message + (" (or another thread draws all the time)" if others else ""))
