"""Block-diagonal matrices."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from fastbp._core.matmul import matmul
from fastbp.chain.base import Factor, as_factor, floats, same_dtype, squares
from fastbp.chain.costs import Cost, Structure, Work
from fastbp.chain.factors.diagonal import Diagonal
from fastbp.chain.products import KINDS, cost_of, multiply, rule
from fastbp.errors import DTypeError, ShapeError

__all__ = ["BlockDiagonal"]


def _block(i: int, x: Any) -> Factor:
    try:
        return as_factor(x)
    except (ShapeError, DTypeError) as error:
        raise type(error)(f"BlockDiagonal: block {i} is not a factor: {error}") from None


class BlockDiagonal(Factor):
    """Blocks along the diagonal: the Jacobian of a function of independent parts.

    Parameters
    ----------
    blocks : sequence of Factor or what `as_factor` takes
        At least one block, of any shapes and kinds; as one array of shape (B, p, q) they are
        dense and multiplied in one batch.

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
            rows, columns = [self._blocks.shape[1]] * len(blocks), [blocks.shape[2]] * len(blocks)
        else:
            self._blocks = tuple(_block(i, b) for i, b in enumerate(blocks))
            rows, columns = [b._m for b in self._blocks], [b._n for b in self._blocks]
        if not len(self._blocks):
            raise ShapeError("BlockDiagonal: needs at least one block")
        self._rows, self._columns = [0, *accumulate(rows)], [0, *accumulate(columns)]
        dtype = same_dtype(name, *{b.dtype for b in self._blocks})
        self._set(self._rows[-1], self._columns[-1], dtype)

    @property
    def _is_batch(self) -> bool:
        return isinstance(self._blocks, np.ndarray)

    def _sizes(self, axis: int) -> list[int]:
        """Return the sizes of the blocks along an axis."""
        ends = (self._rows, self._columns)[axis]
        return [b - a for a, b in pairwise(ends)]

    def _factors(self) -> tuple[Factor, ...]:
        """Return the blocks as factors."""
        return tuple(map(as_factor, self._blocks))

    @property
    def T(self) -> BlockDiagonal:  # noqa: D102, N802
        if self._is_batch:
            return BlockDiagonal(np.swapaxes(self._blocks, 1, 2))
        return BlockDiagonal([b.T for b in self._blocks])

    def _pieces(self) -> Any:
        for i, block in enumerate(self._blocks):
            yield (
                slice(self._rows[i], self._rows[i + 1]),
                slice(self._columns[i], self._columns[i + 1]),
                block,
            )

    def _dense(self) -> np.ndarray:
        out = np.zeros(self.shape, self._dtype)
        for rows, columns, block in self._pieces():
            out[rows, columns] = block if self._is_batch else block._whole()
        return out

    def to_scipy(self) -> Any:  # noqa: D102
        import scipy.sparse

        return scipy.sparse.csr_array(
            scipy.sparse.block_diag(
                [
                    scipy.sparse.coo_array(b) if self._is_batch else b.to_scipy()
                    for b in self._blocks
                ],
                format="csr",
                dtype=self._dtype,
            )
        )

    def _left(self, x: np.ndarray) -> np.ndarray:
        if self._is_batch:
            b, p, q = self._blocks.shape
            y = matmul(np.moveaxis(x.reshape(len(x), b, p), 1, 0), self._blocks)
            return np.moveaxis(y, 0, 1).reshape(len(x), b * q)
        out = np.empty((len(x), self._n), self._dtype)
        for rows, columns, block in self._pieces():
            out[:, columns] = block._left(x[:, rows])
        return out

    def _right(self, x: np.ndarray) -> np.ndarray:
        k = x.shape[1]
        if self._is_batch:
            b, p, q = self._blocks.shape
            return matmul(self._blocks, x.reshape(b, q, k)).reshape(b * p, k)
        out = np.empty((self._m, k), self._dtype)
        for rows, columns, block in self._pieces():
            out[rows] = block._right(x[columns])
        return out

    def _scaled(self, c: float) -> BlockDiagonal:
        if self._is_batch:
            return BlockDiagonal(self._blocks * self._dtype.type(c))
        return BlockDiagonal([b._scaled(c) for b in self._blocks])

    def _arrays(self) -> tuple[np.ndarray, ...]:
        if self._is_batch:
            return (self._blocks,)
        return tuple(x for b in self._blocks for x in b._arrays())

    def _params(self) -> tuple:
        """Return the shape of a batch, or the structures of the blocks."""
        if self._is_batch:
            return tuple(self._blocks.shape)
        return tuple(b.structure for b in self._blocks)

    def _about(self) -> str:
        return f", {len(self._blocks)} blocks"

    def _magnitude(self) -> float:
        if self._is_batch:
            return float(np.max(np.abs(self._blocks), initial=0.0))
        return max(b._magnitude() for b in self._blocks)

    def _squares(self) -> float:
        if self._is_batch:
            return squares(self._blocks)
        return sum(b._squares() for b in self._blocks)

    @classmethod
    def _apply_work(cls, s: Structure, k: int, left: bool = False) -> Work:
        moved = (s.m + s.n) * k
        if _is_batch(s):
            b, p, q = s.params
            return Work(2.0 * b * p * q * k, float(b * p * q + moved) * s.itemsize, "gemm", 6)
        work = [KINDS[b.kind]._apply_work(b, k, left) for b in s.params]
        first = work[0].gives(s)
        for other in work[1:]:
            first = first.plus(other)
        copies = float(2 * moved * s.itemsize)
        return Work(
            first.flops, first.nbytes + copies, first.kernel, first.calls + 2 + 3 * len(work)
        )


# ---- products


def _is_batch(s: Structure) -> bool:
    return not isinstance(s.params[0], Structure)


def _listed(s: Structure) -> tuple[Structure, ...]:
    """Return the structures of the blocks."""
    if not _is_batch(s):
        return s.params
    return (Structure("dense", s.params[1], s.params[2], s.itemsize),) * s.params[0]


def _blockwise(a: Structure, b: Structure) -> Cost | None:
    """Block by block, if the inner sizes of the blocks agree."""
    if _is_batch(a) and _is_batch(b):
        (count, p, k), (other, inner, q) = a.params, b.params
        if (count, k) != (other, inner):
            return None
        result = Structure("block_diagonal", a.m, b.n, a.itemsize, (count, p, q))
        size = count * (p * k + k * q + p * q)
        flops = 2.0 * count * p * k * q
        return Cost(result, flops, float(size) * a.itemsize, "gemm", 6 + 0.5 * count)
    left, right = _listed(a), _listed(b)
    if [s.n for s in left] != [s.m for s in right]:
        return None
    costs = [cost_of(x, y) for x, y in zip(left, right, strict=True)]
    return _together(a, b, costs)


def _together(a: Structure, b: Structure, costs: list[Cost]) -> Cost:
    """Return the cost of a product that is made of those of the blocks."""
    total = costs[0]
    for cost in costs[1:]:
        total = total.plus(Work(*cost[1:]))
    params = tuple(cost.result for cost in costs)
    result = Structure("block_diagonal", a.m, b.n, a.itemsize, params)
    return total._replace(result=result, calls=total.calls + 2 + 2 * len(costs))


@rule("block_diagonal", "block_diagonal", _blockwise)
def _blocks_blocks(a: Any, b: Any) -> Factor:
    if a._is_batch and b._is_batch:
        return BlockDiagonal(matmul(a._blocks, b._blocks))
    return BlockDiagonal(list(map(multiply, a._factors(), b._factors())))


def _diagonals(s: Structure, axis: int) -> list[Structure]:
    sizes = [(block.m, block.n)[axis] for block in _listed(s)]
    return [Structure("diagonal", size, size, s.itemsize) for size in sizes]


def _scaled_rows(a: Structure, b: Structure) -> Cost:
    return _together(a, b, list(map(cost_of, _diagonals(b, 0), _listed(b))))


def _scaled_columns(a: Structure, b: Structure) -> Cost:
    return _together(a, b, list(map(cost_of, _listed(a), _diagonals(a, 1))))


@rule("diagonal", "block_diagonal", _scaled_rows)
def _diagonal_blocks(a: Any, b: Any) -> Factor:
    parts = [Diagonal(a._d[i:j]) for i, j in pairwise(b._rows)]
    return BlockDiagonal(list(map(multiply, parts, b._factors())))


@rule("block_diagonal", "diagonal", _scaled_columns)
def _blocks_diagonal(a: Any, b: Any) -> Factor:
    parts = [Diagonal(b._d[i:j]) for i, j in pairwise(a._columns)]
    return BlockDiagonal(list(map(multiply, a._factors(), parts)))
