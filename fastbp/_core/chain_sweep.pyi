"""Sweeps of vectors through chains of Jacobians."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import DTypeLike, NDArray
from typing_extensions import disjoint_base

@disjoint_base
class ChainSweep:
    def __new__(
        cls, factors: Sequence[Sequence[Any]], dtype: DTypeLike, repeat: int = 0
    ) -> ChainSweep: ...
    def run(self, x: NDArray[Any], marks: bool = False, skip: int = 0) -> Any: ...

def _set_level(limit: int) -> int: ...
