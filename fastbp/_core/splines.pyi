"""Sums of B-splines at scattered places, their derivatives, and the transpose of both."""

from typing import Any, final

from numpy.typing import NDArray

MODES: dict[str, int]

@final
class Buffers: ...

@final
class Splines:
    shape: tuple[int, ...]
    size: int
    def __init__(
        self, shape: tuple[int, ...], places: NDArray[Any], order: int, mode: str
    ) -> None: ...
    def gather(
        self, images: NDArray[Any], nu: NDArray[Any], cval: float, out: NDArray[Any]
    ) -> None: ...
    def scatter(self, g: NDArray[Any], nu: NDArray[Any], out: NDArray[Any]) -> None: ...
    def neighbours(self) -> NDArray[Any]: ...
