"""Derivative tensors of which only the nonzeros are stored, in blocks of one size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from fastbp._core.contract import Blocks
from fastbp.errors import ShapeError
from fastbp.tensor.base import DerivativeTensor
from fastbp.tensor.checks import as_floats
from fastbp.tensor.grouping import block_shape, order_of_blocks

__all__ = ["BlockSparse"]

Axes = tuple[Sequence[int], Sequence[int]]


class BlockSparse(DerivativeTensor):
    """The nonzeros of a tensor, as sorted blocks of a matrix with rearranged rows and columns.

    The rows of the matrix are the elements of Y, in the order that they have after Y was reshaped
    and transposed, its columns those of X likewise. So ``dC/dB`` for ``C = A @ B``, where columns
    of C depend on the same columns of B, is block diagonal, and keeps no index for each element.
    Blocks of one element are CSR.

    Parameters
    ----------
    out_shape, in_shape : sequence of int
        The shapes of Y and X.
    data : ndarray of float64 or float32, shape (count, rows, columns)
        The blocks. Shared, not copied, if C-contiguous: it must not be written to as long as the
        tensor is in use.
    indices : array_like of int, shape (count,)
        The block column of each block, increasing within a block row.
    indptr : array_like of int, shape (block rows + 1,)
        Where each block row begins in `data` and `indices`.
    out_axes, in_axes : (sizes, order), optional
        Reshape Y (X) to these sizes in C order, then transpose the axes to this order.

    Raises
    ------
    ShapeError
        If the arrays do not describe a matrix of ``Y.size`` rows and ``X.size`` columns.
    DTypeError
        If `data` is neither float64 nor float32.
    ValueError
        If indices are not sorted or not in range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.tensor import BlockSparse
    >>> T = BlockSparse((2, 2), (2,), np.array([[[1.0], [2.0]], [[3.0], [4.0]]]), [0, 1], [0, 1, 2])
    >>> T.to_dense()[:, :, 1]
    array([[0., 0.],
           [3., 4.]])
    """

    __slots__ = ("_blocks", "_columns", "_plain", "_rows")
    storage = "sparse"

    def __init__(
        self,
        out_shape: Sequence[int],
        in_shape: Sequence[int],
        data: np.ndarray,
        indices: Any,
        indptr: Any,
        out_axes: Axes | None = None,
        in_axes: Axes | None = None,
    ) -> None:
        data = as_floats("BlockSparse", data)
        self._set(out_shape, in_shape, data.dtype)
        self._rows = Arrangement("out", self._out_shape, out_axes)
        self._columns = Arrangement("in", self._in_shape, in_axes)
        self._plain = self._rows.order is None and self._columns.order is None
        rows, columns = math.prod(self._out_shape), math.prod(self._in_shape)
        width = data.shape[-1] if data.ndim == 3 else 0
        block_rows = np.size(indptr) - 1
        if width < 1 or columns % width or block_rows * data.shape[1] != rows:
            raise ShapeError(
                f"BlockSparse: blocks of shape {data.shape[1:]} in {block_rows} block rows "
                f"do not make a matrix of {rows} x {columns}"
            )
        self._blocks = Blocks(data, indices, indptr, columns // width)

    @classmethod
    def empty(
        cls, out_shape: Sequence[int], in_shape: Sequence[int], dtype: Any = np.float64
    ) -> BlockSparse:
        """Return a tensor of zeros, none of which is stored."""
        indptr = np.zeros(math.prod(out_shape) + 1, np.int32)
        return cls(out_shape, in_shape, np.empty((0, 1, 1), dtype), indptr[:0], indptr)

    @classmethod
    def from_scipy(
        cls, matrix: Any, out_shape: Sequence[int], in_shape: Sequence[int]
    ) -> BlockSparse:
        """Return the tensor whose flattened matrix (see `to_scipy`) is given.

        Where all nonzeros are in full blocks of one size, these are stored, else single elements.
        """
        csr = sparse.csr_array(matrix)
        if csr.shape != (math.prod(out_shape), math.prod(in_shape)):
            raise ShapeError(
                f"BlockSparse: a matrix of {csr.shape} is no tensor of {tuple(out_shape)} x "
                f"{tuple(in_shape)}"
            )
        csr.check_format()  # what follows trusts its indices
        if not csr.has_canonical_format:
            csr = csr.copy()
            csr.sum_duplicates()
        axes, csr, size = _grouped(csr, tuple(out_shape), tuple(in_shape))
        if size == (1, 1):
            return cls(out_shape, in_shape, csr.data.reshape(-1, 1, 1), csr.indices, csr.indptr)
        bsr = csr.tobsr(size)
        return cls(out_shape, in_shape, bsr.data, bsr.indices, bsr.indptr, *axes)

    @classmethod
    def from_coordinates(
        cls, out_shape: Sequence[int], in_shape: Sequence[int], values: Any, rows: Any, columns: Any
    ) -> BlockSparse:
        """Return a tensor from its elements and their places in the flattened matrix."""
        shape = (math.prod(out_shape), math.prod(in_shape))
        coo = sparse.coo_array((values, (rows, columns)), shape=shape)
        return cls.from_scipy(coo.tocsr(), out_shape, in_shape)

    @property
    def data(self) -> np.ndarray:
        """The blocks, read-only, of shape (count, rows, columns)."""
        return self._blocks.values

    @property
    def indices(self) -> np.ndarray:
        """The block column of each block, read-only."""
        return self._blocks.indices

    @property
    def indptr(self) -> np.ndarray:
        """Where each block row begins, read-only."""
        return self._blocks.indptr

    @property
    def coordinates(self) -> np.ndarray:
        """The block row and the block column of each block, sorted, of shape (count, 2)."""
        rows = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        return np.stack([rows.astype(self.indices.dtype), self.indices], axis=1)

    @property
    def block_shape(self) -> tuple[int, int]:
        """Rows and columns of a block."""
        return self.data.shape[1:]

    @property
    def out_axes(self) -> Axes:
        """How Y is reshaped and transposed: sizes, and the order of the axes."""
        return self._rows.axes

    @property
    def in_axes(self) -> Axes:
        """How X is reshaped and transposed: sizes, and the order of the axes."""
        return self._columns.axes

    @property
    def nnz(self) -> int:  # noqa: D102 (see the base class)
        return self.data.size

    @property
    def nbytes(self) -> int:  # noqa: D102
        return self._blocks.nbytes

    # ---- products

    def contract(self, g: Any) -> np.ndarray:  # noqa: D102
        if type(g) is np.ndarray and g.shape == self._out_shape and g.dtype is self._dtype:
            if self._plain:  # nothing to convert, to check or to rearrange
                return self._blocks.scatter(g, self._in_shape)
            return self._contract(g, ())
        return super().contract(g)

    def apply(self, t: Any) -> np.ndarray:  # noqa: D102
        if type(t) is np.ndarray and t.shape == self._in_shape and t.dtype is self._dtype:
            if self._plain:
                return self._blocks.gather(t, self._out_shape)
            return self._apply(t, ())
        return super().apply(t)

    def _contract(self, g: np.ndarray, batch: tuple[int, ...]) -> np.ndarray:
        x = self._rows.arranged(g, batch)
        if self._columns.order is None:
            return self._blocks.scatter(x, batch + self._in_shape, bool(batch))
        y = self._blocks.scatter(x, batch + self._columns.transposed, bool(batch))
        return self._columns.restored(y, batch)

    def _apply(self, t: np.ndarray, batch: tuple[int, ...]) -> np.ndarray:
        x = self._columns.arranged(t, batch)
        if self._rows.order is None:
            return self._blocks.gather(x, batch + self._out_shape, bool(batch))
        y = self._blocks.gather(x, batch + self._rows.transposed, bool(batch))
        return self._rows.restored(y, batch)

    # ---- other forms

    def _block(self, index: tuple[int, ...]) -> np.ndarray:
        place = int(np.ravel_multi_index(index, self._out_shape)) if index else 0
        b, i = divmod(int(self._row_of()[place]), self.block_shape[0])
        part = slice(self.indptr[b], self.indptr[b + 1])
        row = np.zeros(math.prod(self._in_shape), self._dtype)
        row.reshape(-1, self.block_shape[1])[self.indices[part]] = self.data[part, i]
        return self._columns.restored(row.reshape(self._columns.transposed), ())

    def _row_of(self) -> np.ndarray:
        """Return the row of the stored matrix for each element of Y."""
        rows = np.arange(math.prod(self._out_shape)).reshape(self._rows.transposed)
        return self._rows.restored(rows, ()).reshape(-1)

    def _column_of(self) -> np.ndarray:
        """Return the element of X for each column of the stored matrix."""
        return self._columns.elements()

    def transpose(self) -> BlockSparse:  # noqa: D102
        first, row, number = self._blocks.by_columns()
        data = np.ascontiguousarray(self.data[number].transpose(0, 2, 1))
        return BlockSparse(
            self._in_shape, self._out_shape, data, row, first, self._columns.axes, self._rows.axes
        )

    def with_data(self, data: np.ndarray) -> BlockSparse:
        """Return a tensor with the same places and other values, of the shape of `data`."""
        return BlockSparse(
            self._out_shape, self._in_shape, data, self.indices, self.indptr,
            self._rows.axes, self._columns.axes,
        )  # fmt: skip

    def same_places(self, other: BlockSparse) -> bool:
        """Whether another tensor of this shape stores blocks at exactly the same places."""
        return (
            self._rows.axes == other.out_axes
            and self._columns.axes == other.in_axes
            and self.data.shape == other.data.shape
            and np.array_equal(self.indptr, other.indptr)
            and np.array_equal(self.indices, other.indices)
        )

    def _scaled(self, factor: float) -> BlockSparse:
        return self.with_data(self.data * self._dtype.type(factor))

    def _cast(self, dtype: np.dtype[Any]) -> BlockSparse:
        return self.with_data(self.data.astype(dtype))

    def __reduce__(self) -> Any:
        return BlockSparse, (
            self._out_shape, self._in_shape, self.data, self.indices, self.indptr,
            self._rows.axes, self._columns.axes,
        )  # fmt: skip

    def to_sparse(self, limit: int | None = None) -> BlockSparse:  # noqa: D102
        return self

    def _to_scipy(self) -> sparse.csr_array:
        shape = (math.prod(self._out_shape), math.prod(self._in_shape))
        csr = sparse.csr_array(self._blocks.to_csr(self._row_of(), self._column_of()), shape=shape)
        csr.sort_indices()
        return csr

    def _to_dense(self) -> np.ndarray:
        return np.reshape(self._to_scipy().toarray(), self.shape)


def _grouped(
    csr: sparse.csr_array, out_shape: tuple[int, ...], in_shape: tuple[int, ...]
) -> tuple[tuple[Axes | None, Axes | None], sparse.csr_array, tuple[int, int]]:
    """Rearrange a matrix so that its nonzeros form full blocks, if they do; and their size.

    The first row and the first column that are not empty tell which axes may have to move.
    """
    natural = block_shape(csr)
    if not csr.nnz or math.prod(natural) == csr.nnz:
        return (None, None), csr, natural
    row = int(np.flatnonzero(csr.indptr)[0]) - 1
    column = csr.indices[: csr.indptr[row + 1]]
    rows = np.searchsorted(csr.indptr, np.flatnonzero(csr.indices == column[0]), "right") - 1
    orders = order_of_blocks(rows, out_shape), order_of_blocks(column, in_shape)
    if orders != (None, None):
        out, inner = orders
        out_axes = None if out is None else (out_shape, out)
        in_axes = None if inner is None else (in_shape, inner)
        rearranged = csr[Arrangement("out", out_shape, out_axes).elements()]
        moved = rearranged[:, Arrangement("in", in_shape, in_axes).elements()]
        moved.sort_indices()
        size = block_shape(moved)
        if math.prod(size) > math.prod(natural):
            return (out_axes, in_axes), moved, size
    return (None, None), csr, natural


class Arrangement:
    """The order in which an array's elements are rows or columns: reshaped, then transposed."""

    __slots__ = ("axes", "inverse", "order", "shape", "sizes", "transposed")

    def __init__(self, name: str, shape: tuple[int, ...], axes: Axes | None) -> None:
        sizes, order = axes if axes is not None else (shape, range(len(shape)))
        self.shape, self.sizes = shape, tuple(map(int, sizes))
        self.axes = self.sizes, tuple(map(int, order))
        if math.prod(self.sizes) != math.prod(shape) or sorted(order) != list(range(len(sizes))):
            raise ShapeError(
                f"BlockSparse: {name}_shape {shape} cannot be reshaped to {self.sizes} "
                f"and transposed to {self.axes[1]}"
            )
        moving = [k for k in self.axes[1] if self.sizes[k] != 1]
        # None if nothing moves
        self.order = None if moving == sorted(moving) else self.axes[1]
        self.inverse = np.argsort(self.axes[1]).tolist()
        self.transposed = tuple([self.sizes[k] for k in self.axes[1]])

    def elements(self) -> np.ndarray:
        """Return the element of the array, in C order, that each row or column is."""
        return self.arranged(np.arange(math.prod(self.shape)).reshape(self.shape), ()).reshape(-1)

    def arranged(self, x: np.ndarray, batch: tuple[int, ...]) -> np.ndarray:
        """Return a view of an array of shape ``batch + shape``, with this order of elements."""
        if self.order is not None:
            if not batch:
                x = (x if self.sizes == self.shape else x.reshape(self.sizes)).transpose(self.order)
            else:
                x = x.reshape(batch + self.sizes).transpose((0, *[k + 1 for k in self.order]))
        return x

    def restored(self, x: np.ndarray, batch: tuple[int, ...]) -> np.ndarray:
        """Return an array of shape ``batch + transposed`` in the first order, C-contiguous."""
        if self.order is not None:
            axes = self.inverse if not batch else (0, *[k + 1 for k in self.inverse])
            x = np.ascontiguousarray(x.transpose(axes))
            if self.sizes == self.shape:
                return x
        return x.reshape(batch + self.shape)
