"""Instructions that small calls execute, counted by valgrind: for costs far below a timer's noise.

``python -m fastbp.benchmarks.instructions [CASE ...]`` prints a count for each case. It is the
difference of two runs of 101 and 1101 calls, so start, imports and first calls drop out. Counts of
two builds compare if both were taken by one interpreter and one NumPy.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable

import numpy as np

import fastbp as bp

FEW, MANY = 101, 1101


def _square() -> Callable[[], object]:
    x = bp.variable(np.linspace(1.0, 2.0, 16))
    return lambda: x * x


def _gradient() -> Callable[[], object]:
    f, x = bp.grad(lambda x: np.sum(x * x)), np.linspace(1.0, 2.0, 16)
    return lambda: f(x)


def _constant() -> Callable[[], object]:
    v, k = bp.variable(np.linspace(1.0, 2.0, 16)), np.linspace(1.0, 2.0, 16)
    return lambda: v * k


def _large_constant() -> Callable[[], object]:
    v, k = bp.variable(np.linspace(1.0, 2.0, 4096)), np.linspace(1.0, 2.0, 4096)
    return lambda: v * k


def _element() -> Callable[[], object]:
    x = bp.variable(np.linspace(1.0, 2.0, 16))
    return lambda: x[0]


def _assignment() -> Callable[[], object]:
    x = bp.variable(np.linspace(1.0, 2.0, 16))

    def add():
        y = x + 0.0
        y[0] += 1.0

    return add


CASES = {
    "x * x, 16 numbers": _square,
    "grad of sum(x * x), 16 numbers": _gradient,
    "x * k, k an array of 16 numbers": _constant,
    "x * k, k an array of 4096 numbers": _large_constant,
    "x[0]": _element,
    "x + 0, then x[0] += 1": _assignment,
}


def count(case: str, calls: int) -> int:
    """Return the instructions of a process that makes so many calls."""
    environment = {**os.environ, "PYTHONHASHSEED": "0", "FASTBP_NUM_THREADS": "1"}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable]
    command += ["-m", __spec__.name, "--calls", str(calls), case]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", result.stderr)
    if result.returncode or found is None:
        raise RuntimeError(f"valgrind failed:\n{result.stderr[-2000:]}")
    return int(found[1])


def main(argv: list[str]) -> int:
    """Count, or with ``--calls N CASE`` just make the calls."""
    if argv[:1] == ["--calls"]:
        call = CASES[argv[2]]()
        for _ in range(int(argv[1])):
            call()
        return 0
    for case in argv or CASES:
        each = (count(case, MANY) - count(case, FEW)) / (MANY - FEW)
        print(f"{each:10,.0f}  {case}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
