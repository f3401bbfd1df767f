"""What a product of two factors costs: flops, bytes and calls, and the seconds that they take.

``seconds = calls * CALL + flops / RATE + bytes / BANDWIDTH``, with a rate for each kernel. The
constants were measured once, in float64 on one core of an x86-64 server (Zen 5, OpenBLAS 0.3.30);
orders of products depend on their ratios, which differ little between machines. What the model
predicts is compared with measured times by ``fastbp-bench --suite chain``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["BANDWIDTH", "CALL", "RATE", "Cost", "Structure", "dense", "known", "seconds"]

#: Bytes per second that one pass over arrays reads and writes; most stay in the L2 or L3 cache.
BANDWIDTH = 40e9

#: Flops per second in float64 by kernel; float32 makes twice as many.
RATE = {
    "gemm": 60e9,  # 61 at 256 x 256
    "elementwise": 8e9,
    "band": 10e9,  # axpy of short rows
    "sparse": 8e9,  # SciPy's CSR times a dense block
    "spgemm": 0.4e9,  # SciPy's CSR times CSR
    "lazy": 1e12,  # only new objects around the same arrays
}

#: Seconds that a call takes beside its work: dispatch, a new array, a new object.
CALL = {
    "gemm": 0.7e-6,
    "elementwise": 2e-6,
    "band": 3e-6,
    "sparse": 5e-6,
    "spgemm": 30e-6,
    "lazy": 2.5e-6,
}


class Structure(NamedTuple):
    """What a cost depends on: the kind of a factor and its sizes, not its values."""

    kind: str
    m: int
    n: int
    itemsize: int = 8
    params: tuple = ()

    def __reduce__(self) -> tuple:
        return _known_of, tuple(self)


_KNOWN: dict[Structure, Structure] = {}
_MOST_KNOWN = 100_000


def known(s: Structure) -> Structure:
    """Return the one object that stands for a structure, so that tables can go by identity."""
    if len(_KNOWN) >= _MOST_KNOWN:
        _KNOWN.clear()
    return _KNOWN.setdefault(s, s)


def _known_of(*fields: Any) -> Structure:
    return known(Structure(*fields))


class Cost(NamedTuple):
    """The cost of a product and the structure of its result."""

    result: Structure
    flops: float
    nbytes: float
    kernel: str = "gemm"
    calls: float = 1

    def plus(self, other: Work) -> Cost:
        """Add work that is done besides, in seconds of this cost's kernel."""
        flops = self.flops + other.flops * RATE[self.kernel] / RATE[other.kernel]
        calls = self.calls + other.calls * CALL[other.kernel] / CALL[self.kernel]
        return self._replace(flops=flops, nbytes=self.nbytes + other.nbytes, calls=calls)


class Work(NamedTuple):
    """The cost of applying a factor to a dense block."""

    flops: float
    nbytes: float
    kernel: str = "gemm"
    calls: float = 1

    def gives(self, result: Structure) -> Cost:
        """Return the cost of a product that is this work."""
        return Cost(result, *self)


def dense(m: int, n: int, itemsize: int) -> Structure:
    """Return the structure of a dense matrix."""
    return Structure("dense", m, n, itemsize)


def seconds(cost: Cost) -> float:
    """Return the predicted time of a product."""
    rate = RATE[cost.kernel] * 8 / cost.result.itemsize
    return cost.calls * CALL[cost.kernel] + cost.flops / rate + cost.nbytes / BANDWIDTH
