"""The orders in which greedy colorings visit the rows of a pattern."""

from numpy import int32
from numpy.typing import NDArray

def order_of(
    order: str,
    indptr: NDArray[int32],
    indices: NDArray[int32],
    back: NDArray[int32] | None = None,
    back_rows: NDArray[int32] | None = None,
) -> NDArray[int32]: ...
