"""Row-major BLAS for float32, float64, complex64 and complex128."""

from typing import Any, Final

from numpy.typing import DTypeLike, NDArray

_blas_int_max: Final[int]

def gemm(
    a: NDArray[Any],
    b: NDArray[Any],
    trans_a: bool = False,
    trans_b: bool = False,
    alpha: complex = ...,
    beta: complex = ...,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
def gemv(
    a: NDArray[Any],
    x: NDArray[Any],
    trans_a: bool = False,
    alpha: complex = ...,
    beta: complex = ...,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
def ger(
    x: NDArray[Any], y: NDArray[Any], alpha: complex = ..., out: NDArray[Any] | None = None
) -> NDArray[Any]: ...
def syrk(
    a: NDArray[Any],
    trans_a: bool = False,
    lower: bool = True,
    alpha: complex = ...,
    beta: complex = ...,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
def dot(x: NDArray[Any], y: NDArray[Any]) -> Any: ...
def axpy(x: NDArray[Any], out: NDArray[Any], alpha: complex = ...) -> NDArray[Any]: ...
def _renew_lock() -> None: ...
def _set_level(limit: int) -> int: ...
def _time_raw_pair(n: int, repeats: int, dtype: DTypeLike = ...) -> float: ...
