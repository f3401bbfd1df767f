"""Orders of numbers: a radix sort of rows, which takes a third of the time of `numpy.argsort`."""

from typing import Any

from numpy import intp
from numpy.typing import NDArray

LEAST: int

def argsort(x: NDArray[Any]) -> NDArray[intp]: ...
