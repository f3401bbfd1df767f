"""More digits for mpmath. Its precision belongs to the process: one thread at a time changes it."""

import threading
from contextlib import contextmanager

import mpmath

_lock = threading.RLock()


@contextmanager
def working_digits(n):
    with _lock, mpmath.workdps(n):
        yield
