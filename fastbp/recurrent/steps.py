"""The Jacobians of the steps of any recorded loop, each in the way that suits the first one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp import block_sweeps, tree
from fastbp._core import graph
from fastbp._core.graph import Variable, values_of
from fastbp._core.operands import as_array
from fastbp._core.tape import Tape
from fastbp.chain import Dense, Diagonal, Factor, Sparse
from fastbp.chain.linearizing import factor_of
from fastbp.errors import DTypeError, NoRuleError, ShapeError
from fastbp.sparse.jacobians import Compressed
from fastbp.sparse.patterns import pattern_of
from fastbp.tensor.checks import check_dense, check_sparse
from fastbp.tensor.derivative import derivative_between, structured_between

__all__ = ["factors_of_steps"]

# In multiplications that sweeps of single vectors take, for each recorded operation: what the rows
# of a Jacobian have to cost before a check of its pattern is cheaper, and before tensors of every
# operation are; what finding the pattern and a coloring costs once.
_VERIFIED, _STRUCTURED, _FOUND = 5e4, 1e6, 3e5
_SAVED = 4  # compressed sweeps are of so many times fewer vectors at least


def factors_of_steps(
    name: str, step: Callable[..., Any], h0: Any, xs: Any, count: int
) -> list[Factor]:
    """Run a loop of `count` steps; return the Jacobian of each state by the one before."""
    h = as_array(h0, f"{name}: h0")
    ways = _Ways(name, count, xs)
    timed = bool(tree.flatten(xs)[0])
    found = []
    for t in range(count):
        before = graph.variable(h)
        x = tree.map(lambda x, t=t: x[t], xs) if timed else xs
        after = graph.recorded_call(step, (graph.handle(before), x), {})
        if isinstance(after, tuple) and len(after) == 2:
            after = after[0]
        value = as_array(values_of(after), f"{name}: what step {t} returned")
        if value.shape != h.shape:
            raise ShapeError(
                f"{name}: step {t} returned a state of shape {value.shape}, it was given {h.shape}"
            )
        if value.dtype != h.dtype:
            raise DTypeError(
                f"{name}: step {t} returned a state of dtype {value.dtype}, it was given {h.dtype}"
            )
        if type(after) is Variable:
            tape = Tape([after], [before])
            if tape.outer:
                raise NoRuleError(
                    f"{name}: step {t} depends on Variables from outside, but the factors are "
                    "arrays; use their values"
                )
            found.append(ways.factor(tape, after, before))
        else:
            found.append(Dense(np.zeros((h.size, h.size), h.dtype)))
        h = value
    return found


class _Ways:
    """How the Jacobian of a step is computed: by sweeps, by a pattern, or by structured tensors.

    A pattern and its coloring serve all steps, and it is checked at each whether they hold.
    """

    def __init__(self, name: str, count: int, xs: Any) -> None:
        self.name = name
        self.count = count
        self.xs = xs
        self.way: _Way | None = None

    def factor(self, tape: Tape, y: Variable, x: Variable) -> Factor:
        """Return the Jacobian of one step."""
        found = None if self.way is None else self.way(tape, y, x)
        if found is None:  # the first step, or one of another kind
            self.way = self._choose(tape, y, x)
            found = self.way(tape, y, x)
        return found if found is not None else factor_of(derivative_between(tape, y, x))

    def _choose(self, tape: Tape, y: Variable, x: Variable) -> _Way:
        work = x.size * tape.work
        if work * self.count < _FOUND:
            return _by_sweeps
        operations = len(tape)
        if work < _VERIFIED * operations or work * self.count < _FOUND * operations:
            return _by_sweeps
        pattern = pattern_of(tape, [y], [x], arguments=self.xs)
        n = x.size
        if pattern.nnz * (x.dtype.itemsize + 4) < n * n * x.dtype.itemsize:
            check_sparse(self.name, y.shape + x.shape, pattern.nnz, x.dtype.itemsize + 4, None)
            compressed = Compressed(tape, y, x, pattern)
            if compressed.num_sweeps <= n // _SAVED:
                diagonal = pattern.nnz == n and np.array_equal(pattern.indices, np.arange(n))
                return _Compressed(compressed, diagonal)
        if work >= _STRUCTURED * operations and structured_between(tape) is not None:
            return _by_structure
        check_dense(self.name, y.shape + x.shape, x.dtype, None)
        return _by_sweeps


_Way = Callable[[Tape, Variable, Variable], "Factor | None"]


def _by_sweeps(tape: Tape, y: Variable, x: Variable) -> Factor:
    return Dense(block_sweeps.whole(tape, y, x).reshape(y.size, x.size))


@np.errstate(all="ignore")  # derivatives never warn
def _by_structure(tape: Tape, y: Variable, x: Variable) -> Factor | None:
    tensor = structured_between(tape)
    return None if tensor is None else factor_of(tensor)


class _Compressed:
    """By compressed sweeps."""

    def __init__(self, compressed: Compressed, diagonal: bool) -> None:
        self.compressed = compressed
        self.diagonal = diagonal

    def __call__(self, tape: Tape, y: Variable, x: Variable) -> Factor | None:
        matrix = self.compressed(tape, y, x)
        if matrix is None:
            return None
        return Diagonal(matrix.data) if self.diagonal else Sparse(matrix)
