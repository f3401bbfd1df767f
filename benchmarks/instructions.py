"""Instructions that small calls execute, counted by valgrind: for costs far below a timer's noise.

``python -m fastbp.benchmarks.instructions [CASE ...]`` prints a count for each case: of 1000 calls
that follow 101 others, so that start, imports and first calls are left out. Counts of two builds
compare if both were taken by one interpreter and one NumPy.

``python -m fastbp.benchmarks.instructions --check`` compares a dozen of them with their budgets.
"""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

import fastbp as bp

WARMING, COUNTED = 101, 1000  # calls


def _numbers(n: int = 16) -> np.ndarray:
    return np.linspace(1.0, 2.0, n)


def _recorded(f: Callable[..., object], *shapes: int) -> Callable[[], object]:
    """Return a call of `f` on Variables."""
    x = [bp.variable(_numbers(n)) for n in shapes or (16,)]
    return lambda: f(*x)


def _swept(f: Callable[..., object], *shapes: int) -> Callable[[], object]:
    """Return a call that records `f` and sweeps back to all its arguments."""
    x = [bp.variable(_numbers(n)) for n in shapes or (16,)]
    return lambda: bp.gradients(f(*x), x)


def _gradient(f: Callable[..., object], n: int = 16) -> Callable[[], object]:
    g, x = bp.grad(f), _numbers(n)
    return lambda: g(x)


def _chain(x: object, w: object) -> object:
    for _ in range(20):
        x = x * w + w  # type: ignore[operator]
    return x.sum()  # type: ignore[attr-defined]


def _chain_of_arrays() -> Callable[[], object]:
    x, w = _numbers(), _numbers()
    return lambda: _chain(x, w)


def _rosenbrock(x: object) -> object:
    return 100.0 * (x[1] - x[0] ** 2) ** 2 + (1.0 - x[0]) ** 2  # type: ignore[index]


def _assignment(x: object) -> object:
    y = x + 0.0  # type: ignore[operator]
    y[0] += 1.0
    return y


def _unpacked(x: object) -> object:
    a, b, c, d = x  # type: ignore[misc]
    return np.stack([a * b, c * d, a, d]).sum()


_INDEX, _MATRIX = np.array([3, 1, 1, 0]), np.eye(4) + 0.1 * np.arange(16.0).reshape(4, 4)
_OTHER = np.array([1.0, -2.0, 0.5])

CASES: dict[str, Callable[[], Callable[[], object]]] = {
    "x * x, 16 numbers": lambda: _recorded(lambda x: x * x),
    "x * k, k an array of 16 numbers": lambda: (lambda k: _recorded(lambda x: x * k))(_numbers()),
    "x * k, k an array of 4096 numbers": lambda: (lambda k: _recorded(lambda x: x * k, 4096))(
        _numbers(4096)
    ),
    "x.sum()": lambda: _recorded(lambda x: x.sum()),
    "np.sum(x)": lambda: _recorded(np.sum),
    "x.mean()": lambda: _recorded(lambda x: x.mean()),
    "x[0]": lambda: _recorded(lambda x: x[0]),
    "x + 0, then x[0] += 1": lambda: _recorded(_assignment),
    "gradients of (x * x).sum()": lambda: _swept(lambda x: (x * x).sum()),
    "grad of (x * x).sum()": lambda: _gradient(lambda x: (x * x).sum()),
    "grad of np.sum(x * x)": lambda: _gradient(lambda x: np.sum(x * x)),
    "gradients of 20 (x * w + w), then sum": lambda: _swept(_chain, 16, 16),
    "20 (x * w + w), then sum, in NumPy": _chain_of_arrays,
    "grad of Rosenbrock's function of x[0], x[1]": lambda: _gradient(_rosenbrock, 2),
    "gradients of s + x[1]": lambda: _swept(lambda s, x: (s + x[1]).sum(), 1, 4),
    "gradients through a, b, c, d = x and np.stack": lambda: _swept(_unpacked, 4),
    "gradients of np.concatenate of two slices": lambda: _swept(
        lambda x: np.concatenate([x[:2], x[3:]]).sum()
    ),
    "gradients of x[idx].sum()": lambda: _swept(lambda x: x[_INDEX].sum()),
    "gradients through y[1] = v": lambda: _swept(_written, 16, 1),
    "gradients of np.roll(x, 1).sum()": lambda: _swept(lambda x: np.roll(x, 1).sum()),
    "gradients of np.linalg.norm(x)": lambda: _swept(np.linalg.norm),
    "gradients of np.cross(x, k).sum()": lambda: _swept(lambda x: np.cross(x, _OTHER).sum(), 3),
    "gradients of np.linalg.solve(A, x).sum(), 4 x 4": lambda: _swept(
        lambda x: np.linalg.solve(_MATRIX, x).sum(), 4
    ),
}


def _written(x: object, v: object) -> object:
    y = x * 1.0  # type: ignore[operator]
    y[1] = v[0]  # type: ignore[index]
    return y.sum()


REFERENCE = "20 (x * w + w), then sum, in NumPy"
BUDGETS = Path(__file__).parent / "data" / "instructions.json"
TOLERANCE = 0.05  # other versions of Python and NumPy change both sides, not alike


def run(cases: Iterable[str]) -> None:
    """Call each case; what is counted stands between two marks."""
    for case in cases:
        call = CASES[case]()
        for _ in range(WARMING):
            call()
        gc.collect()
        gc.freeze()  # what cases before have left costs the collector nothing
        _mark()
        for _ in range(COUNTED):
            call()
        _mark()


def _mark() -> None:
    os.getsid(0)  # nobody else calls it: valgrind writes down here what it has counted


def counts(cases: Iterable[str]) -> dict[str, float]:
    """Return the instructions of one call of each case, all counted in one process."""
    cases = list(cases)
    environment = {**os.environ, "PYTHONHASHSEED": "0", "FASTBP_NUM_THREADS": "1"}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "counted"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        command += ["--dump-before=getsid", sys.executable, "-m", __spec__.name, "--run", *cases]
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        # Before the first mark, then alternately between the two of a case and behind them.
        parts = [Path(f"{out}.{2 * k + 2}") for k in range(len(cases))]
        if result.returncode or not all(part.exists() for part in parts):
            raise RuntimeError(f"valgrind failed:\n{result.stderr[-2000:]}")
        return {case: _total(part) / COUNTED for case, part in zip(cases, parts, strict=True)}


def _total(part: Path) -> int:
    found = re.search(r"^totals: (\d+)", part.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"valgrind wrote no total into {part.name}")
    return int(found[1])


def check() -> int:
    """Compare with the budgets, which are multiples of what NumPy executes for `REFERENCE`."""
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: budgets of instructions are not checked")
        return 0
    budgets = json.loads(BUDGETS.read_text())
    found = counts([REFERENCE, *budgets])
    unit, over = found[REFERENCE], 0
    for case, budget in budgets.items():
        share = found[case] / unit
        missed = share > budget * (1 + TOLERANCE)
        over += missed
        note = "  OVER" if missed else ""
        print(f"{found[case]:10,.0f} {share:7.4f} of at most {budget:7.4f}  {case}{note}")
    return 1 if over else 0


def main(argv: list[str]) -> int:
    """Count; with ``--check`` compare with the budgets, with ``--run CASE ...`` just call."""
    if argv[:1] == ["--run"]:
        run(argv[1:])
        return 0
    if argv[:1] == ["--check"]:
        return check()
    for case, each in counts(argv or CASES).items():
        print(f"{each:10,.0f}  {case}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
