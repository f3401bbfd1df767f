"""Derivative tensors that are stored whole, as an array."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from fastbp._core.matmul import matmul
from fastbp.errors import ShapeError
from fastbp.tensor.base import DerivativeTensor
from fastbp.tensor.blocks import BlockSparse
from fastbp.tensor.checks import as_floats
from fastbp.tensor.tiling import blocks_of

__all__ = ["Dense", "leaner"]


class Dense(DerivativeTensor):
    """An array of all elements.

    Parameters
    ----------
    out_shape, in_shape : sequence of int
        The shapes of Y and X.
    array : ndarray of float64 or float32, shape ``out_shape + in_shape``
        Shared, not copied, if C-contiguous: it must not be written to as long as the tensor is in
        use.

    Raises
    ------
    ShapeError
        If the array has another shape.
    DTypeError
        If the array is neither float64 nor float32.

    Notes
    -----
    `nnz` is the size: nothing is known to be zero by structure. `fastbp.tensor.from_dense` finds
    zeros.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.tensor import Dense
    >>> Dense((2,), (3,), np.ones((2, 3))).apply([1.0, 2.0, 3.0])
    array([6., 6.])
    """

    __slots__ = ("_array", "_matrix")
    storage = "dense"

    _array: np.ndarray
    _matrix: np.ndarray

    def __init__(self, out_shape: Sequence[int], in_shape: Sequence[int], array: Any) -> None:
        array = as_floats("Dense", array)
        self._set(out_shape, in_shape, array.dtype)
        if array.shape != self.shape:
            raise ShapeError(
                f"Dense: an array of shape {array.shape} is no tensor of {self._out_shape} x "
                f"{self._in_shape}"
            )
        self._array = np.require(array, requirements=("C", "A")).view()
        self._array.flags.writeable = False
        self._matrix = self._array.reshape(math.prod(self._out_shape), math.prod(self._in_shape))

    def __reduce__(self) -> Any:
        return Dense, (self._out_shape, self._in_shape, self._array)

    @property
    def nnz(self) -> int:  # noqa: D102 (see the base class)
        return self._array.size

    @property
    def nbytes(self) -> int:  # noqa: D102
        return self._array.nbytes

    def _contract(self, g: np.ndarray, batch: tuple[int, ...]) -> np.ndarray:
        x = g.reshape((*batch, self._matrix.shape[0]))
        return matmul(x, self._matrix).reshape(batch + self._in_shape)

    def _apply(self, t: np.ndarray, batch: tuple[int, ...]) -> np.ndarray:
        x = t.reshape((*batch, self._matrix.shape[1]))
        return matmul(x, self._matrix.T).reshape(batch + self._out_shape)

    def _block(self, index: tuple[int, ...]) -> np.ndarray:
        place = int(np.ravel_multi_index(index, self._out_shape)) if index else 0
        return np.array(self._matrix[place]).reshape(self._in_shape)

    def transpose(self) -> Dense:  # noqa: D102
        shape = self._in_shape + self._out_shape
        return Dense(self._in_shape, self._out_shape, self._matrix.T.reshape(shape))

    def _scaled(self, factor: float) -> Dense:
        array = self._array * self._dtype.type(factor)
        return Dense(self._out_shape, self._in_shape, array)

    def _to_sparse(self) -> BlockSparse:
        return blocks_of(self._array, self._out_shape, self._in_shape)

    def _to_scipy(self) -> Any:
        rows, columns = np.nonzero(self._matrix)  # NaN is not zero
        values = self._matrix[rows, columns]
        return sparse.coo_array((values, (rows, columns)), shape=self._matrix.shape).tocsr()

    def _stored(self) -> int:
        return int(np.count_nonzero(self._array))

    def _to_dense(self) -> np.ndarray:
        return self._array.copy()

    def _whole(self) -> np.ndarray:
        return self._array

    def _cast(self, dtype: np.dtype[Any]) -> Dense:
        return Dense(self._out_shape, self._in_shape, self._array.astype(dtype))


def leaner(tensor: BlockSparse) -> BlockSparse | Dense:
    """Return a sparse tensor, or the same one dense if that takes fewer bytes."""
    if tensor.nbytes <= tensor.size * tensor.dtype.itemsize:
        return tensor
    return Dense(tensor.out_shape, tensor.in_shape, tensor._to_dense())
