"""The exact order of the products of a chain of Jacobians."""

from collections.abc import Callable

from numpy import float64, intc, intp
from numpy.typing import NDArray

def optimal(
    structures: NDArray[intc],
    sizes: NDArray[intp],
    values: NDArray[float64],
    period: int,
    shared: bool,
    runs: NDArray[intp],
    call: float,
    flop: float,
    element: float,
    pair: Callable[[int, int], tuple[float, int]],
) -> tuple[float, list[tuple[int, int, int]]]: ...
