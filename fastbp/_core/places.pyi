"""Places along an axis: indices checked and counted from the front, and sums into places."""

from typing import Any

from numpy import intp
from numpy.typing import ArrayLike, NDArray

def counted_from_front(index: ArrayLike, size: int, axis: int) -> NDArray[intp]: ...
def last_writers(places: NDArray[intp], size: int) -> NDArray[intp] | None: ...
def add_at(
    into: NDArray[Any], places: NDArray[intp], g: NDArray[Any], behind: int, few: bool = False
) -> int: ...
