"""What the order of a chain's products needs to know of its links, without Python between them."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

def fold(
    structures: list[Any], left: bool, pair: Callable[[Any, Any], tuple[Any, ...]]
) -> tuple[float, list[tuple[Any, ...]]]: ...
def matrices(
    links: tuple[Any, ...], kind: type
) -> tuple[list[NDArray[Any]], tuple[int, ...]] | None: ...
def bounds(
    sizes: tuple[int, ...], call: float, flop: float, element: float
) -> tuple[float, float, float]: ...
def optimal(
    sizes: tuple[int, ...], call: float, flop: float, element: float
) -> tuple[float, tuple[tuple[int, int], ...]]: ...
