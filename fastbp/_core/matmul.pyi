"""Matrix products and their vector-Jacobian products for every operand shape of ``np.matmul``."""

from typing import Any

from numpy.typing import ArrayLike, NDArray

def matmul(a: ArrayLike, b: ArrayLike) -> NDArray[Any]: ...
def matmul_vjp(g: ArrayLike, a: ArrayLike, b: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]: ...
def matmul_vjp_a(
    g: ArrayLike,
    b: ArrayLike,
    a_shape: tuple[int, ...],
    lead: int = 0,
    into: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
def matmul_vjp_b(
    g: ArrayLike,
    a: ArrayLike,
    b_shape: tuple[int, ...],
    lead: int = 0,
    into: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
