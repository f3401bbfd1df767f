#!/usr/bin/env python
"""Many threads at once in every function of the table: each finds what one thread alone finds.

    python .ci/stress.py [--threads 8] [--seconds 60] [NAMES ...]

Threads go through the sampled calls in orders of their own, and change every microsecond. Of each
call they take the gradient, eager and by a compiled function that all of them share (whichever is
first records it), and the product with a tangent. Results are compared bit for bit; those of
compiled functions, whose first call is an eager one, to rounding.
"""

import argparse
import os
import random
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "FASTBP_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # other sums in products would be other bits
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import numpy as np

import fastbp as bp
from tests.compiling.test_table import CALLS, gradient, leaves


def tangent(call):
    directions = tuple([np.cos(np.arange(float(x.size))).reshape(x.shape) for x in call.arrays])
    return lambda *arrays: bp.jvp(call, arrays, directions)[1]


class Work:
    """One call, what it has to return, and the functions that do it."""

    def __init__(self, name, call):
        self.name, self.arrays = name, tuple(call.arrays)
        found = gradient(call)
        candidates = {"gradient": found, "jvp": tangent(call), "compiled": found}
        self.functions, self.expected = {}, {}
        for kind, f in candidates.items():
            alone = bp.compile(f) if kind == "compiled" else f
            try:
                alone(*self.arrays)
                self.expected[kind] = leaves(alone(*self.arrays))
            except Exception:
                continue  # constant, refused, or not to be compiled: other tests
            self.functions[kind] = bp.compile(f) if kind == "compiled" else f

    def differs(self, kind):
        """Return what is wrong, or None."""
        found = leaves(self.functions[kind](*self.arrays))
        for a, b in zip(found, self.expected[kind], strict=True):
            if a.shape != b.shape or a.dtype != b.dtype:
                return f"{a.dtype}{a.shape} instead of {b.dtype}{b.shape}"
            scale = np.max(np.abs(b), initial=0.0, where=np.isfinite(b))
            near = 1e-12 * scale if kind == "compiled" else 0.0
            if not np.allclose(a, b, rtol=0.0, atol=near, equal_nan=True):
                return f"differs by {np.max(np.abs(a - b))}"
        return None


def run(works, threads, seconds):
    """Return the number of results that were compared, and the faults."""
    end, faults, counts = time.monotonic() + seconds, [], [0] * threads

    def go(k):
        order = random.Random(k)
        with np.errstate(all="ignore"):
            while time.monotonic() < end and len(faults) < 20:
                for work in order.sample(works, len(works)):
                    for kind in order.sample(list(work.functions), len(work.functions)):
                        try:
                            wrong = work.differs(kind)
                        except Exception:
                            wrong = traceback.format_exc()
                        if wrong is not None:
                            faults.append(f"{work.name} {kind}: {wrong}")
                        counts[k] += 1
                    if time.monotonic() > end:
                        return

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        started = [threading.Thread(target=go, args=(k,)) for k in range(threads)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    return sum(counts), faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    calls = [p.values for p in CALLS]
    with np.errstate(all="ignore"):
        works = [Work(*c) for c in calls if not options.names or c[0] in options.names]
    print(f"{len(works)} calls, {sum(len(w.functions) for w in works)} functions", flush=True)
    count, faults = run(works, options.threads, options.seconds)
    print(*faults, f"{count} results of {options.threads} threads compared", sep="\n")
    print(f"{len(faults)} faults")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
