"""Seeds of compressed sweeps, and the way back from their results to the stored values."""

from typing import Any, final

import numpy as np
from numpy import int32, int64
from numpy.typing import DTypeLike, NDArray

def seeds(colors: NDArray[int32], first: int, last: int, dtype: DTypeLike) -> NDArray[Any]: ...
def alone(
    indptr: NDArray[int32], indices: NDArray[int32], colors: NDArray[int32]
) -> NDArray[np.bool_]: ...
def peel(
    indptr: NDArray[int32],
    indices: NDArray[int32],
    numbers: NDArray[int32],
    colors: NDArray[int32],
) -> NDArray[int64] | None: ...

@final
class Gather:
    positions: NDArray[Any]
    entries: NDArray[Any] | None
    source_size: int
    target_size: int
    def __init__(
        self,
        positions: NDArray[Any],
        entries: NDArray[Any] | None,
        source_size: int,
        target_size: int,
    ) -> None: ...
    def __call__(self, x: NDArray[Any], out: NDArray[Any]) -> None: ...

@final
class Substitution:
    steps: NDArray[int64]
    source_size: int
    target_size: int
    def __init__(self, steps: NDArray[int64], source_size: int, target_size: int) -> None: ...
    def __call__(self, x: NDArray[Any], out: NDArray[Any]) -> None: ...
