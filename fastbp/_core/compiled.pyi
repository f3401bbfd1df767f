"""Compiled rules of operations, for sweeps that record nothing."""

from collections.abc import Callable
from typing import Any, final

from numpy.typing import NDArray

from fastbp._core.graph import Rules

@final
class Adds(Rules):
    function: Callable[..., Any]
    def __init__(self, function: Callable[..., Any]) -> None: ...

@final
class Elements(Rules): ...

@final
class Joins(Rules): ...

@final
class Products(Rules): ...

@final
class Reshapes(Rules): ...

@final
class Sums(Rules): ...

def seen(
    memory: NDArray[Any], offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> NDArray[Any]: ...
def memory_of(
    x: NDArray[Any], size: int, offset: int, strides: tuple[int, ...]
) -> NDArray[Any] | None: ...
