"""Elementwise programs over broadcast arrays, and sums back to an operand's shape."""

from typing import Any

from numpy.typing import NDArray

def sum_to(g: NDArray[Any], shape: tuple[int, ...], lead: int = 0) -> NDArray[Any]: ...
