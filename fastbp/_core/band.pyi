"""Products with banded matrices, kept as the band of each row."""

from typing import Any

from numpy.typing import NDArray

def band_right(
    rows: NDArray[Any], lower: int, upper: int, n: int, x: NDArray[Any]
) -> NDArray[Any]: ...
def band_left(
    x: NDArray[Any], rows: NDArray[Any], lower: int, upper: int, n: int
) -> NDArray[Any]: ...
def band_band(
    a: NDArray[Any], la: int, ua: int, b: NDArray[Any], lb: int, ub: int, n: int
) -> NDArray[Any]: ...
def band_transpose(rows: NDArray[Any], lower: int, upper: int, n: int) -> NDArray[Any]: ...
def band_dense(rows: NDArray[Any], lower: int, upper: int, n: int) -> NDArray[Any]: ...
