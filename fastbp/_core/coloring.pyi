"""Greedy colorings of sparsity patterns."""

from numpy import int32
from numpy.typing import NDArray

def transpose(
    indptr: NDArray[int32], indices: NDArray[int32], width: int
) -> tuple[NDArray[int32], NDArray[int32], NDArray[int32]]: ...
def edges(indptr: NDArray[int32], indices: NDArray[int32]) -> tuple[NDArray[int32] | None, int]: ...
def partial(
    indptr: NDArray[int32],
    indices: NDArray[int32],
    width: int,
    order: NDArray[int32] | None = None,
) -> tuple[NDArray[int32], int]: ...
def symmetric(
    indptr: NDArray[int32],
    indices: NDArray[int32],
    order: NDArray[int32],
    acyclic: bool = False,
) -> tuple[NDArray[int32], int]: ...
