"""Independent tasks on several threads of Python.

They gain where the work holds no GIL: in products, elementwise programs and NumPy's loops over
large arrays.
"""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fastbp._core.graph import is_recording

__all__ = ["check_threads", "spread"]


def check_threads(name: str, threads: object) -> int:
    """Return a number of threads as an int."""
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)):
        raise TypeError(
            f"{name}: threads must be an integer, the number of threads that share the work, not "
            f"{threads!r} ({type(threads).__name__})"
        )
    if threads < 1:
        raise ValueError(f"{name}: threads must be at least 1, not {threads}")
    return int(threads)


def spread(task: Callable[[int], None], count: int, threads: int) -> None:
    """Call ``task(i)`` for every i in ``range(count)``, on several threads or in order.

    The caller is one of the threads, the others see its context variables. What fails first ends
    all of it, and is raised here. While this thread records a function, all is done in it: what
    others do is not recorded.
    """
    threads = min(threads, count)
    if threads < 2 or is_recording():
        for i in range(count):
            task(i)
        return
    left = deque(range(count))
    failed: dict[int, BaseException] = {}

    def work() -> None:
        while left:
            try:
                i = left.popleft()
            except IndexError:  # another one took the last
                return
            try:
                task(i)
            except BaseException as error:
                failed[i] = error
                left.clear()

    with ThreadPoolExecutor(threads - 1, "fastbp") as pool:
        for _ in range(threads - 1):
            pool.submit(contextvars.copy_context().run, work)
        work()
    if failed:
        first = failed[min(failed)]
        failed.clear()  # `work` would hold the error, and the error its frames
        raise first
