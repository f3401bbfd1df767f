"""Parts of a chain that one compiled sweep multiplies, and links that are kept as two arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp._core.chain_sweep import ChainSweep
from fastbp.chain.base import Factor
from fastbp.chain.bracketing import Bracketing
from fastbp.chain.factors import BlockDiagonal, ColumnScaled, Dense, RowScaled
from fastbp.chain.products import cost_of, multiply

__all__ = ["DENSE", "ScaledRun", "prefixes", "runs", "suffixes", "swept"]

#: Kinds that times a dense matrix are dense.
DENSE = frozenset({"dense", "row_scaled", "column_scaled"})
_STEPS = DENSE | {"diagonal"}
_SHORT = 3  # products that are not worth a sweep of their own


class ScaledRun:
    """Links ``diag(d[t]) @ kron(identity, W)`` that share one W: a recurrent network's.

    Parameters
    ----------
    d : ndarray of float64 or float32, shape (T, n) or (T, B, n), C order
        The first link of the chain first.
    W : ndarray of the dtype of `d`, shape (n, n)
    rows : bool
        If not set, the diagonal matrix stands on the right, as in the transposes.
    """

    __slots__ = ("W", "d", "rows")

    def __init__(self, d: np.ndarray, W: np.ndarray, rows: bool = True) -> None:
        self.d, self.W, self.rows = d, W, rows

    @property
    def T(self) -> ScaledRun:  # noqa: N802
        """The transposed links in reverse."""
        return ScaledRun(np.ascontiguousarray(self.d[::-1]), self.W.T, not self.rows)

    def _link(self, d: np.ndarray) -> Factor:
        return RowScaled(d, self.W) if self.rows else ColumnScaled(self.W, d)

    def links(self) -> tuple[Factor, ...]:
        """Return the links as factors."""
        if self.d.ndim == 2:
            return tuple(map(self._link, self.d))
        return tuple(BlockDiagonal(list(map(self._link, step))) for step in self.d)

    def sweep(self) -> ChainSweep:
        """Return the sweep of rows of n elements: B of them make a row of the chain."""
        steps = ("scale", self.d), ("gemm", self.W)
        return ChainSweep([steps if self.rows else steps[::-1]], self.d.dtype, len(self.d))

    def product(self) -> Factor:
        """Return the whole product, from left to right, as all orders cost the same."""
        n, first = len(self.W), self.d[0]
        if first.ndim == 1:
            scale = first[:, None] if self.rows else first
            return Dense._of(self.sweep().run(np.multiply(scale, self.W, order="C"), skip=1))
        scale = first.T[:, :, None] if self.rows else first
        rows = np.multiply(scale, self.W[:, None], order="C").reshape(-1, n)
        blocks = self.sweep().run(rows, skip=1).reshape(n, -1, n)
        return BlockDiagonal(blocks.swapaxes(0, 1))

    def pull(self, sweep: ChainSweep, x: np.ndarray, marks: bool) -> Any:
        """Multiply rows of the chain by its sweep."""
        found = sweep.run(x.reshape(-1, len(self.W)), marks)
        return [y.reshape(x.shape) for y in found] if marks else found.reshape(x.shape)


# ---- bracketing


def runs(brackets: Bracketing) -> dict[int, tuple[int, bool]]:
    """Find the products that multiply a dense matrix by one link after the other, from one side.

    Returns
    -------
    dict of int to (int, bool)
        From the number of the first product to that behind the last, and whether the links stand
        on the right.
    """
    found = brackets.__dict__.get("runs")
    if found is None:
        found = brackets.__dict__["runs"] = _runs(brackets)  # beside its cached properties
    return found


def _runs(brackets: Bracketing) -> dict[int, tuple[int, bool]]:
    structures = list(brackets.structures)
    for a, b in brackets.products:
        structures.append(cost_of(structures[a], structures[b]).result)
    kinds = [s.kind for s in structures]
    found: dict[int, tuple[int, bool]] = {}
    first = 0
    while first < len(brackets.products):
        right = _extent(brackets, kinds, first, True)
        stop = max(right, _extent(brackets, kinds, first, False))
        if stop - first >= _SHORT:
            found[first] = stop, stop == right
        first = max(stop, first + 1)
    return found


def _extent(brackets: Bracketing, kinds: list[str], first: int, right: bool) -> int:
    """Return the number behind the last product of a run, which has a dense result."""
    stop, count = first, brackets.count
    value = brackets.products[first][0 if right else 1]
    for i in range(first, len(brackets.products)):
        pair = brackets.products[i]
        whole, link = pair if right else pair[::-1]
        used_up = i == first or whole in brackets.unused[i]
        if whole != value or link >= count or whole == link or not used_up:
            break
        if kinds[whole] not in DENSE or kinds[link] not in _STEPS:
            break
        value = count + i
        if kinds[value] == "dense":
            stop = i + 1
    return stop


def swept(whole: Factor, links: list[Factor], right: bool) -> Dense | None:
    """Multiply a dense matrix by links on its right, the first one first, or on its left.

    Returns None if no two links share a matrix: then BLAS does as well.
    """
    matrices = [step[1] for link in links for step in link._steps() if step[0] == "gemm"]
    if len({id(matrix) for matrix in matrices}) == len(matrices):
        return None
    if right:
        rows = np.ascontiguousarray(whole._whole())
        return Dense._of(ChainSweep([link._steps() for link in links], whole.dtype).run(rows))
    turned: dict[int, Any] = {id(matrix): matrix.T for matrix in matrices}
    steps = [_turned(link._steps(), turned) for link in links]
    rows = np.ascontiguousarray(whole._whole().T)
    return Dense._of(ChainSweep(steps, whole.dtype).run(rows).T)


def _turned(steps: tuple, turned: dict[int, Any]) -> list[Any]:
    """Return the steps of the transpose; of one matrix there is one transpose."""
    return [
        (step[0], turned[id(step[1])]) if step[0] == "gemm" else step for step in reversed(steps)
    ]


# ---- all products from one end


def prefixes(links: Sequence[Factor]) -> list[Factor]:
    """Return the products from the left end: by one sweep, if all of them are dense."""
    if len(links) > 1 and all(link.kind in DENSE for link in links):
        rows = np.ascontiguousarray(links[0]._whole())
        sweep = ChainSweep([link._steps() for link in links[1:]], links[0].dtype)
        return [links[0], *map(Dense._of, sweep.run(rows, True))]
    found = [links[0]]
    for link in links[1:]:
        found.append(multiply(found[-1], link))
    return found


def suffixes(links: Sequence[Factor]) -> list[Factor]:
    """Return the products up to the right end, the whole one first."""
    if all(link.kind in DENSE for link in links):
        turned = prefixes([link.T for link in reversed(links)])
        return [*(x.T for x in reversed(turned[1:])), links[-1]]
    found = [links[-1]]
    for link in reversed(links[:-1]):
        found.append(multiply(link, found[-1]))
    return found[::-1]
