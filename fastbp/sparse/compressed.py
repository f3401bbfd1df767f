"""Compressed sweeps: which vectors to push and pull, and where their results go."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp import block_sweeps
from fastbp._core import compression, sweep
from fastbp._core.graph import Variable
from fastbp._core.tape import Tape
from fastbp.arguments import mode_named
from fastbp.errors import ShapeError
from fastbp.sparse.coloring import SYMMETRIC, Coloring, colored, recoverable, steps_of
from fastbp.sparse.pattern import Pattern
from fastbp.spreading import spread

__all__ = ["MODES", "Compression", "choose"]

MODES = ("auto", "forward", "reverse", "bidirectional")
BLOCK_BYTES = 1 << 20  # largest (co)tangent of one block: what the second-level cache holds
REVERSE_COST = 1.5  # time of a reverse sweep in forward sweeps
FEW = 8.0  # sweeps: not worth looking for fewer by a bidirectional coloring
_KIND_OF = {"forward": "column", "reverse": "row", "bidirectional": "bidirectional"}


def choose(
    name: str, s: Pattern, mode: str, coloring: Coloring | str | None, order: str = "auto"
) -> Coloring:
    """Return the coloring to use: the given one (checked), of a kind, or the cheapest."""
    mode = mode_named(name, mode, MODES)
    if isinstance(coloring, str):
        coloring = colored(name, s, coloring, order)
    if coloring is None:
        if mode == "auto":
            return _cheapest(name, s, order)
        return colored(name, s, _KIND_OF[mode], order)
    if not isinstance(coloring, Coloring):
        raise TypeError(
            f"{name}: coloring must be a Coloring or a kind, not a {type(coloring).__name__}"
        )
    if mode not in ("auto", mode_of(coloring)):
        raise ValueError(f"{name}: mode {mode!r} does not fit a {coloring.kind} coloring")
    if coloring.shape != s.shape:
        raise ShapeError(
            f"{name}: the coloring is for shape {coloring.shape}, the pattern has {s.shape}"
        )
    return coloring


def mode_of(coloring: Coloring) -> str:
    """Return the direction of the sweeps of a coloring."""
    if coloring.kind in SYMMETRIC:
        return "forward"
    return next(mode for mode, kind in _KIND_OF.items() if kind == coloring.kind)


def _cost(c: Coloring) -> float:
    return c.num_column_colors + REVERSE_COST * c.num_row_colors


def _cheapest(name: str, s: Pattern, order: str) -> Coloring:
    """Color columns, rows or both; what cannot win any more is not tried.

    All entries of a row are in columns of different colors, so the longest row is a bound.
    """
    bounds = {
        "column": float(np.diff(s.indptr).max(initial=0)),
        "row": REVERSE_COST * float(np.bincount(s.indices, minlength=1).max()),
    }
    first, second = sorted(bounds, key=lambda kind: bounds[kind])
    best = colored(name, s, first, order)
    if bounds[second] < _cost(best):
        best = min(best, colored(name, s, second, order), key=_cost)
    if _cost(best) > FEW:
        best = min(best, colored(name, s, "bidirectional", order), key=_cost)
    return best


class Compression:
    """The sweeps for one pattern and coloring, and where their results are stored.

    Attributes
    ----------
    coloring : Coloring
    nnz : int
        Number of stored values.
    """

    def __init__(
        self,
        name: str,
        s: Pattern,
        coloring: Coloring,
        dtype: Any,
        largest: int,
        csc: bool,
    ) -> None:
        self.coloring = coloring
        self.shape = s.shape
        self.nnz = s.nnz
        self.dtype = np.dtype(dtype)
        self.substitution: compression.Substitution | None = None
        self._block = int(max(1, BLOCK_BYTES // (max(1, largest) * self.dtype.itemsize)))
        self.parts: list[_Part] = []
        if coloring.kind == "acyclic":
            self._by_substitution(name, s)
        else:
            self._directly(name, s, csc)

    def _directly(self, name: str, s: Pattern, csc: bool) -> None:
        c, (m, n) = self.coloring, s.shape
        column, row = recoverable(c, s)
        if not np.all(column | row):
            raise ValueError(f"{name}: the coloring is not valid for the pattern")
        rows = s.row_of_entries()
        order = s.transposed()[2] if csc else slice(None)
        if c.columns is not None:
            colors = c.columns[s.indices].astype(np.int64)
            positions = colors * m + rows
            if c.kind == "star":
                source = _one_of_each_pair(s, rows, column)
                colors, positions = colors[source], positions[source]
                column = np.ones(s.nnz, bool)
            self._split(True, colors[order], positions[order], column[order], m)
        if c.rows is not None:
            colors = c.rows[rows].astype(np.int64)
            positions = colors * n + s.indices
            needed = row & ~column if c.columns is not None else row
            self._split(False, colors[order], positions[order], needed[order], n)

    def _split(
        self, forward: bool, colors: np.ndarray, positions: np.ndarray, here: np.ndarray, size: int
    ) -> None:
        """Cut the sweeps of one direction into blocks."""
        count = self.coloring.num_column_colors if forward else self.coloring.num_row_colors
        for first in range(0, count, self._block):
            last = min(first + self._block, count)
            wanted = here & (first <= colors) & (colors < last)
            entries = None if wanted.all() else np.flatnonzero(wanted)
            places = positions[wanted] - first * size
            large = max((last - first) * size, self.nnz) >= 2**31
            integer = np.int64 if large else np.int32
            gather = compression.Gather(
                places.astype(integer),
                None if entries is None else entries.astype(integer),
                (last - first) * size,
                self.nnz,
            )
            self.parts.append(_Part(self, forward, first, last, gather))

    def _by_substitution(self, name: str, s: Pattern) -> None:
        steps = steps_of(self.coloring, s)
        if steps is None:
            raise ValueError(f"{name}: the coloring is not valid for the pattern")
        n, count = s.shape[0], self.coloring.num_colors
        self.substitution = compression.Substitution(steps, count * n, s.nnz)
        self.parts = [
            _Part(self, True, first, min(first + self._block, count), None)
            for first in range(0, count, self._block)
        ]

    def fill(
        self, tape: Tape, y: Variable, x: Variable, data: np.ndarray, threads: int = 1
    ) -> None:
        """Run the sweeps and store the values of the derivative by the first input of the tape.

        On several threads: each takes some blocks, which have places of their own in `data`.
        """
        blocks: list[Any] = [None] * len(self.parts)

        def run(i: int) -> None:
            found, gather = self.parts[i].run(tape, y, x), self.parts[i].gather
            if gather is None:
                blocks[i] = found
            else:
                gather(found, data)

        spread(run, len(self.parts), threads)
        if self.substitution is not None and blocks:
            whole = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
            self.substitution(whole, data)


def _one_of_each_pair(s: Pattern, rows: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """Return for each element of a symmetric pattern the one whose value it takes.

    Both elements of a pair take the same: the upper one, if it is alone in its sum.
    """
    mirror = s.transposed()[2]
    upper = np.where(rows <= s.indices, np.arange(s.nnz), mirror)
    return np.where(alone[upper], upper, mirror[upper])


class _Part:
    """One block of sweeps in one direction."""

    def __init__(
        self,
        compressed: Compression,
        forward: bool,
        first: int,
        last: int,
        gather: compression.Gather | None,
    ) -> None:
        self.gather = gather
        self.forward = forward
        self.first, self.last = first, last
        self.dtype = compressed.dtype
        colors = compressed.coloring.columns if forward else compressed.coloring.rows
        assert colors is not None
        self.colors = colors
        self.size = compressed.shape[0] if forward else compressed.shape[1]
        count = 1 + int(colors.max(initial=-1))
        self.keeps = count * colors.size * compressed.dtype.itemsize <= block_sweeps.BLOCK_BYTES
        self._kept: np.ndarray | None = None

    def _seeds(self, end: Variable) -> np.ndarray:
        """Return the seeds in the shape of `end`; kept if those of all blocks are not large."""
        if self._kept is not None and self._kept.dtype == end.dtype:
            return self._kept
        flat = compression.seeds(self.colors, self.first, self.last, end.dtype)
        shaped = flat.reshape((self.last - self.first, *end.shape))
        if self.keeps:
            self._kept = shaped
        return shaped

    def run(self, tape: Tape, y: Variable, x: Variable) -> np.ndarray:
        """Return the compressed block for the first input, flattened: one row for each color."""
        if self.forward:
            others = [None] * (len(tape.input_positions) - 1)
            found = sweep.forward(tape, [self._seeds(x), *others], False, 1)[0]
        else:
            found = sweep.reverse(tape, [self._seeds(y)], False, 1)[0]
        if found is None:
            return np.zeros((self.last - self.first) * self.size, self.dtype)
        return np.ascontiguousarray(found, self.dtype).reshape(-1)
