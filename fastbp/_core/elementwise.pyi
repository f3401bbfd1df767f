"""Elementwise programs over broadcast arrays, and sums back to an operand's shape."""

from typing import Any

from numpy.typing import NDArray

from fastbp._core.threads import num_threads as num_threads
from fastbp._core.threads import set_num_threads as set_num_threads

def sum_to(g: NDArray[Any], shape: tuple[int, ...], lead: int = 0) -> NDArray[Any]: ...
def sum_axes(g: NDArray[Any], axes: tuple[int, ...]) -> NDArray[Any]: ...
def total(x: NDArray[Any]) -> Any: ...
