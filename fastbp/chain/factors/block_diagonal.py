"""Block-diagonal matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp._core.matmul import matmul
from fastbp.chain.base import Factor, floats, same_dtype
from fastbp.chain.costs import Cost, Structure, Work
from fastbp.chain.products import rule
from fastbp.errors import ShapeError

__all__ = ["BlockDiagonal"]


class BlockDiagonal(Factor):
    """Dense blocks along the diagonal: the Jacobian of a function of independent parts.

    Parameters
    ----------
    blocks : sequence of ndarray of float64 or float32
        At least one block, of any shapes; as one array of shape (B, p, q) they are multiplied
        in one batch.

    Examples
    --------
    >>> bp.chain.BlockDiagonal([np.ones((1, 2)), np.ones((2, 1))]).to_dense()
    array([[1., 1., 0.],
           [0., 0., 1.],
           [0., 0., 1.]])
    """

    __slots__ = ("_blocks", "_columns", "_rows")
    kind = "block_diagonal"

    def __init__(self, blocks: Any) -> None:
        name = "BlockDiagonal"
        if isinstance(blocks, np.ndarray) and blocks.ndim == 3:
            self._blocks: Any = floats(name, "blocks", blocks, 3)
        else:
            self._blocks = tuple(floats(name, f"block {i}", b, 2) for i, b in enumerate(blocks))
        if not len(self._blocks):
            raise ShapeError("BlockDiagonal: needs at least one block")
        dtype = same_dtype(name, *(b.dtype for b in self._blocks))
        # int, because the sizes are part of a key
        self._rows = [0, *map(int, np.cumsum([b.shape[0] for b in self._blocks]))]
        self._columns = [0, *map(int, np.cumsum([b.shape[1] for b in self._blocks]))]
        self._set(self._rows[-1], self._columns[-1], dtype)

    @property
    def T(self) -> BlockDiagonal:  # noqa: D102, N802
        if isinstance(self._blocks, np.ndarray):
            return BlockDiagonal(np.swapaxes(self._blocks, 1, 2))
        return BlockDiagonal([b.T for b in self._blocks])

    def _pieces(self) -> Any:
        for i, block in enumerate(self._blocks):
            yield (
                slice(self._rows[i], self._rows[i + 1]),
                slice(self._columns[i], self._columns[i + 1]),
                block,
            )

    def to_dense(self) -> np.ndarray:  # noqa: D102
        out = np.zeros(self.shape, self._dtype)
        for rows, columns, block in self._pieces():
            out[rows, columns] = block
        return out

    def to_scipy(self) -> Any:  # noqa: D102
        import scipy.sparse

        return scipy.sparse.csr_array(
            scipy.sparse.block_diag(list(self._blocks), format="csr", dtype=self._dtype)
        )

    def _left(self, x: np.ndarray) -> np.ndarray:
        if isinstance(self._blocks, np.ndarray):
            b, p, q = self._blocks.shape
            y = matmul(np.moveaxis(x.reshape(len(x), b, p), 1, 0), self._blocks)
            return np.moveaxis(y, 0, 1).reshape(len(x), b * q)
        out = np.empty((len(x), self._n), self._dtype)
        for rows, columns, block in self._pieces():
            out[:, columns] = matmul(x[:, rows], block)
        return out

    def _right(self, x: np.ndarray) -> np.ndarray:
        k = x.shape[1]
        if isinstance(self._blocks, np.ndarray):
            b, p, q = self._blocks.shape
            return matmul(self._blocks, x.reshape(b, q, k)).reshape(b * p, k)
        out = np.empty((self._m, k), self._dtype)
        for rows, columns, block in self._pieces():
            out[rows] = matmul(block, x[columns])
        return out

    def _scaled(self, c: float) -> BlockDiagonal:
        c = self._dtype.type(c)
        if isinstance(self._blocks, np.ndarray):
            return BlockDiagonal(self._blocks * c)
        return BlockDiagonal([b * c for b in self._blocks])

    def _row_scaled(self, d: np.ndarray) -> BlockDiagonal:
        return BlockDiagonal([d[rows, None] * b for rows, _, b in self._pieces()])

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return (self._blocks,) if isinstance(self._blocks, np.ndarray) else self._blocks

    def _params(self) -> tuple:
        if isinstance(self._blocks, np.ndarray):
            return self._blocks.shape
        return tuple(b.shape for b in self._blocks)

    def _about(self) -> str:
        return f", {len(self._blocks)} blocks"

    def _magnitude(self) -> float:
        return max(float(np.max(np.abs(x), initial=0.0)) for x in self._arrays())

    def _squares(self) -> float:
        return sum(float(np.vdot(x, x)) for x in self._arrays())

    @classmethod
    def _apply_work(cls, s: Structure, k: int, left: bool = False) -> Work:
        batch = isinstance(s.params[0], int)
        size = s.params[0] * s.params[1] * s.params[2] if batch else sum(p * q for p, q in s.params)
        calls = 6 if batch else 2 + 4 * len(s.params)
        moved = (s.m + s.n) * k
        return Work(2.0 * size * k, float(size + moved) * s.itemsize, "gemm", calls)


# ---- products


def _sizes(params: tuple, axis: int) -> tuple:
    if isinstance(params[0], int):
        return (params[1 + axis],) * params[0]
    return tuple(shape[axis] for shape in params)


def _blockwise(a: Structure, b: Structure) -> Cost | None:
    """Block by block, if the inner sizes of the blocks agree."""
    inner = _sizes(a.params, 1)
    if inner != _sizes(b.params, 0):
        return None
    rows, columns = _sizes(a.params, 0), _sizes(b.params, 1)
    batch = isinstance(a.params[0], int) and isinstance(b.params[0], int)
    if batch:
        params: tuple = (a.params[0], a.params[1], b.params[2])
    else:
        params = tuple(zip(rows, columns, strict=True))
    flops = 2.0 * sum(p * k * q for p, k, q in zip(rows, inner, columns, strict=True))
    size = sum(p * k + k * q + p * q for p, k, q in zip(rows, inner, columns, strict=True))
    result = Structure("block_diagonal", a.m, b.n, a.itemsize, params)
    return Cost(
        result,
        flops,
        float(size) * a.itemsize,
        "gemm",
        6 + 0.5 * len(rows) if batch else 2 + 5 * len(rows),
    )


@rule("block_diagonal", "block_diagonal", _blockwise)
def _blocks_blocks(a: Any, b: Any) -> Factor:
    if isinstance(a._blocks, np.ndarray) and isinstance(b._blocks, np.ndarray):
        return BlockDiagonal(matmul(a._blocks, b._blocks))
    return BlockDiagonal([matmul(x, y) for x, y in zip(a._blocks, b._blocks, strict=True)])


def _rescaled(blocks: Structure) -> Cost:
    listed = tuple(zip(_sizes(blocks.params, 0), _sizes(blocks.params, 1), strict=True))
    size = float(sum(p * q for p, q in listed))
    return Cost(
        blocks._replace(params=listed), size, 2 * size * blocks.itemsize, "elementwise", len(listed)
    )


@rule("diagonal", "block_diagonal", lambda a, b: _rescaled(b))
def _diagonal_blocks(a: Any, b: Any) -> Factor:
    return b._row_scaled(a._d)


@rule("block_diagonal", "diagonal", lambda a, b: _rescaled(a))
def _blocks_diagonal(a: Any, b: Any) -> Factor:
    return a.T._row_scaled(b._d).T
