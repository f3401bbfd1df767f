"""Block-sparse matrices times vectors and blocks of vectors."""

from typing import Any, final

from numpy.typing import ArrayLike, NDArray

@final
class Blocks:
    values: NDArray[Any]
    indices: NDArray[Any]
    indptr: NDArray[Any]
    shape: tuple[int, int]
    def __init__(
        self, values: NDArray[Any], indices: ArrayLike, indptr: ArrayLike, columns: int
    ) -> None: ...
    @property
    def nbytes(self) -> int: ...
    def gather(
        self, x: NDArray[Any], shape: tuple[int, ...], batch: bool = False
    ) -> NDArray[Any]: ...
    def scatter(
        self, x: NDArray[Any], shape: tuple[int, ...], batch: bool = False
    ) -> NDArray[Any]: ...
    def by_columns(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]: ...
    def to_csr(
        self, row_of: ArrayLike, column_of: ArrayLike
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]: ...

def _set_kernel_level(limit: int) -> int: ...
