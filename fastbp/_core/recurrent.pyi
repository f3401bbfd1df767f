from typing import Any, final

from numpy import ndarray

CELLS: dict[str, int]
ACTIVATIONS: dict[str, int]

@final
class Layer:
    cell: str
    activation: str
    reverse: bool
    mask: ndarray | None
    truncate: int
    schedule: Any
    places: tuple[int, ...]
    def __init__(
        self,
        cell: str,
        given: tuple[Any, ...],
        activation: str,
        reverse: bool,
        mask: ndarray | None,
        truncate: int,
        schedule: Any,
    ) -> None: ...
    def by_place(self, operands: tuple[ndarray, ...]) -> list[Any]: ...

@final
class Pull:
    layer: Layer
    p: list[Any]
    def __init__(
        self,
        layer: Layer,
        g: ndarray,
        c_bar: ndarray | None,
        needs: tuple[bool, ...],
        operands: tuple[ndarray, ...],
    ) -> None: ...
    def __call__(
        self,
        low: int,
        high: int,
        h_in: ndarray,
        c_in: ndarray | None,
        hs: ndarray,
        saved: ndarray | None,
    ) -> None: ...
    def whole(self, hs: ndarray, saved: ndarray | None) -> None: ...
    def cotangents(self) -> list[Any]: ...

def fit(gates: int, operands: tuple[Any, ...]) -> tuple[Any, ...] | None: ...
def forward(
    layer: Layer,
    p: list[Any],
    low: int,
    high: int,
    h_in: ndarray,
    c_in: ndarray | None,
    hs: ndarray,
) -> ndarray | None: ...
def last_cell(layer: Layer, saved: ndarray, h: ndarray) -> ndarray: ...
def run(*operands: ndarray, layer: Layer) -> tuple[Any, ndarray | None]: ...
def any_variable(operands: tuple[Any, ...]) -> bool: ...
def _set_level(limit: int) -> int: ...
