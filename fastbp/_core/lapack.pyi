"""LAPACK, and kernels of our own for small matrices, on row-major arrays."""

from collections.abc import Sequence

from numpy import dtype, ndarray
from numpy.typing import DTypeLike

FLAGS: dict[str, int]
NAMES: dict[str, int]
PARTS: dict[str, list[list[tuple[str, str]]]]
PIVOTS: dtype

def room(
    routine: str, flags: tuple[str, ...], dtype: DTypeLike, sizes: tuple[int, int, int]
) -> int: ...
def run(routine: str, *arrays: ndarray, flags: Sequence[str] = ()) -> bool: ...
