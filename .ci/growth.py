#!/usr/bin/env python
"""Memory after very many calls: every transform of `tests/test_memory.py` keeps nothing.

    python .ci/growth.py [--calls 100000] [NAMES ...]

Counted are blocks of Python's allocator, bytes from malloc (of the core, BLAS, NumPy), and the
resident set. What each call keeps is a block of the first or sixteen bytes of the second;
caches are filled by calls before.
"""

import argparse
import ctypes
import gc
import os
import sys
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import numpy as np

from tests.test_memory import TRANSFORMS


class Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
        ).split()
    ]


def from_malloc():
    """Return the bytes in use, of all arenas and of blocks by mmap."""
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):  # no glibc, or one before 2.33
        return 0
    ask.restype = Mallinfo2
    found = ask()
    return found.uordblks + found.hblkhd


def resident():
    if not Path("/proc/self/statm").exists():
        return 0
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def state():
    gc.collect()
    return np.array([sys.getallocatedblocks(), from_malloc(), resident()])


def grown(run, calls):
    """Return the growth of blocks, bytes from malloc, and resident bytes."""
    x = np.linspace(-1, 1, 6).reshape(2, 3)
    for _ in range(max(calls // 10, 1000)):
        run(x)
    before = state()
    for _ in range(calls):
        run(x)
    return state() - before


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAMES", help=", ".join(TRANSFORMS))
    parser.add_argument("--calls", type=int, default=100_000)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    wrong = []
    for name in options.names or TRANSFORMS:
        start = time.process_time()
        blocks, malloc, rss = grown(TRANSFORMS[name], options.calls)
        # A tenth of a block, and of the smallest one's bytes, a call; the rest is that of a page.
        leaks = blocks > 50 + options.calls / 10 or malloc > 65536 + 1.6 * options.calls
        wrong += [name] * bool(leaks)
        print(
            f"{name:20} {options.calls} calls: {blocks:+6d} blocks, {malloc:+9d} bytes of malloc, "
            f"{rss / 1024:+8.0f} KB resident, {time.process_time() - start:6.1f} s"
            + "   GROWS"
            * bool(leaks),
            flush=True,
        )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
