from typing import Any

from numpy import ndarray

CELLS: dict[str, int]
ACTIVATIONS: dict[str, int]

def fit(gates: int, operands: tuple[Any, ...]) -> bool: ...
def add_bars(bars: dict[str, Any], names: tuple[str, ...], needs: Any, operands: Any) -> None: ...
def in_order(x: ndarray) -> ndarray: ...
def forward(
    cell: str,
    activation: str,
    reverse: bool,
    xs: ndarray,
    h_in: ndarray,
    c_in: ndarray | None,
    W: ndarray,
    U: ndarray,
    b: ndarray | None,
    c: ndarray | None,
    mask: ndarray | None,
    hs: ndarray,
) -> ndarray | None: ...
def transposed(cell: str, W: ndarray, batch: int) -> ndarray: ...
def backward(
    cell: str,
    activation: str,
    reverse: bool,
    first: int,
    truncate: int,
    residuals: tuple[Any, ...],
    g: ndarray,
    Wt: ndarray,
    h_bar: ndarray,
    c_bar: ndarray | None,
    bars: tuple[Any, ...],
) -> None: ...
