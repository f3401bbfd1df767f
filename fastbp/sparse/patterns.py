"""Sparsity patterns of Jacobians: index sets carried along the record, from inputs to outputs."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from fastbp import tree
from fastbp._core.graph import Op, Variable
from fastbp._core.links import Link
from fastbp._core.sparsity import Sets
from fastbp._core.tape import Tape
from fastbp.recording import record_one
from fastbp.rules import patterns
from fastbp.sparse.courses import all_courses

__all__ = ["pattern_of", "sparsity"]


def sparsity(f: Callable[..., Any], *args: Any, argnums: int = 0, local: bool = False) -> Any:
    """Return where the Jacobian of `f` may have nonzeros.

    Parameters
    ----------
    f : callable
        Returns an array.
    *args
        The arguments of `f`. The pattern depends on their shapes, and on the course that `f` takes.
    argnums : int
        The argument to differentiate, an array of float64 or float32 of any shape.
    local : bool
        Whether the pattern is about these values of the arguments only: then elements that happen
        to be zero here are left out.

    Returns
    -------
    scipy.sparse.csr_array of bool, shape (out.size, in.size)
        Rows are the elements of the output, columns those of the argument, in C order; with sorted
        indices.

    Raises
    ------
    TypeError
        If the argument, or what `f` returns, is not one array.
    DTypeError
        If the argument is not of float64 or float32.
    MemoryError
        If the pattern would take more than 4 GiB.

    Notes
    -----
    Unless `local`, the pattern holds for all values of all arguments for which `f` runs through the
    same operations: shapes, arguments of integers, and branches of Python code are taken as they
    were in this call. Of `fastbp.cond` both branches count, and of `fastbp.while_loop` any number
    of steps: what is not taken is called, too. Taken as they are are zeros of constant arrays: of
    all that no argument is computed into, whatever `f` compares, rounds or sorts. A mask or an
    index that is computed from an argument may select anything. What leaves the record
    (``x.value``, ``float(...)``, a compiled function of another library) may come back as an array:
    then no zeros of arrays count; numbers that were computed and then decide a structure (an index
    ``int(...)``, a bound of a slice, a shift) are as in this call. Nor do zeros count beside
    arguments that are Python floats, or objects whose arrays nobody sees. The places that a
    constant SciPy sparse matrix stores are taken as they are.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> bp.sparse.sparsity(lambda x: x[1:] * x[:-1], np.zeros(3)).toarray().astype(int)
    array([[1, 1, 0],
           [0, 1, 1]])
    """
    with nullcontext() if local else all_courses():
        x, y, tape = record_one("sparsity", f, args, argnums, outer=True, keep=True)
    return pattern_of(tape, [y], [x], local=local, arguments=args)


def pattern_of(
    tape: Tape,
    outputs: Iterable[Any],
    inputs: Iterable[Variable],
    *,
    local: bool = False,
    arguments: Any = (),
    relied: list[Zeros] | None = None,
) -> Any:
    """Return the pattern between ends of a record: outputs, one below the other, by inputs.

    Parameters
    ----------
    tape : Tape
        Between those of `outputs` that are Variables and `inputs`, which are independent of each
        other.
    outputs : iterable of Variable or array
        Arrays are constants.
    inputs : iterable of Variable
    local : bool
        As for `sparsity`.
    arguments : container of arrays, optional
        Those of the recorded function: what may be another value when the pattern is used.
    relied : list, optional
        Gets the zeros of constants that the pattern relies on.

    Returns
    -------
    scipy.sparse.csr_array of bool
    """
    outputs, inputs = list(outputs), list(inputs)
    sweep = _Propagation(sum(x.size for x in inputs), local, _is_closed(tape, arguments))
    if relied is not None:
        sweep.relied = relied
    found = sweep.run(tape, outputs, inputs)
    ids = np.concatenate([x.reshape(-1) for x in found]) if found else np.zeros(0, np.int32)
    indptr, indices = sweep.sets.to_csr(ids)
    shape = (ids.size, sweep.sets.size)
    pattern = csr_array((np.ones(indices.size, bool), indices, indptr), shape=shape)
    pattern.has_canonical_format = True
    return pattern


def _is_closed(tape: Tape, arguments: Any) -> bool:
    """Say whether all that is computed from an argument is on the record.

    What decided a branch may have left it: the pattern is for this course of the function.
    """
    if tape.left is None or tape.outer or any(what != "bool" for what, *_ in tape.left):
        return False
    return all(map(_is_recorded, tree.flatten(arguments)[0]))


def _is_recorded(x: Any) -> bool:
    """Say whether an argument is on the record, or nothing but structure."""
    if isinstance(x, np.ndarray | np.generic):
        return x.dtype.kind in "fcbiu"
    return isinstance(x, int | str | bytes | Variable) or x is None or inspect.isroutine(x)


class Zeros:
    """Where an operand or a partial derivative of a record was zero, that no argument changes.

    Attributes
    ----------
    position, operand : int
        Of which node of the tape.
    op : Op or None
        If it is the partial by this operand, whose operation that is.
    """

    def __init__(self, tape: Tape, position: int, operand: int, op: Op | None) -> None:
        self.position, self.operand, self.op = position, operand, op
        operands = self._operands(tape)
        self.shapes = [np.shape(x) for x in operands]
        self.digest = self._digest(operands)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the constant, as errors name it."""
        return max(self.shapes, key=math.prod)

    def hold(self, tape: Tape) -> bool:
        """Say whether they are in the same places in the record of another call."""
        if self.position >= len(tape):
            return False
        operands = self._operands(tape)
        same = [np.shape(x) for x in operands] == self.shapes
        return same and self._digest(operands) == self.digest

    def _operands(self, tape: Tape) -> list[Any]:
        which = range(self.op.nin) if self.op is not None else (self.operand,)
        found = [tape.operand(self.position, k) for k in which]
        return [x if isinstance(x, np.ndarray) else np.float64(np.nan) for x in found]

    def _digest(self, operands: list[Any]) -> bytes:
        if self.op is not None:
            bits: Any = patterns.nonzero_partial(self.op, self.operand, operands)
        else:
            bits = [operands[0] != 0.0, np.isfinite(operands[0])]
        return np.packbits(bits).tobytes()


class _Unmoved:
    """A link whose static arguments are operands, with their values among the static ones again."""

    def __init__(self, link: Any, own: int) -> None:
        self.op = link.op.info["unmoved"]
        self.shape, self.dtype = link.shape, link.dtype
        self.ans, self.output = link.ans, link.output
        self.parents, self.fixed = link.parents[:own], link.fixed[:own]
        self.operands, self.static = link.op.info["apart"](link.operands, link.static)


class _Propagation:
    """One walk along the record; what patterns see as ``p``."""

    def __init__(self, size: int, local: bool, closed: bool) -> None:
        self.sets = Sets(size)
        self.local = local
        self.closed = closed
        self.relied: list[Zeros] = []
        self.tape: Any = None
        self.position = -1

    def known(self, link: Link, k: int) -> Any:
        """Return the value of operand k if its zeros are zeros wherever the pattern holds."""
        value = link.operands[k]
        if self.local:
            return value if isinstance(value, (np.ndarray, float, int)) else None
        fixed = self.closed and link.fixed[k] and isinstance(value, np.ndarray)
        return value if fixed else None

    def rely(self, link: Link, k: int, partial: bool = False) -> None:
        """Note that zeros of what is known made the pattern sparser."""
        if not self.local:
            op = link.op if partial else None
            self.relied.append(Zeros(self.tape, self.position, k, op))

    def run(self, tape: Tape, outputs: list[Any], inputs: list[Any]) -> list[Any]:
        """Return for each output the numbers of the sets of its elements."""
        return self.along(tape, outputs, self.singles([x.shape for x in inputs]))

    @staticmethod
    def singles(shapes: Iterable[tuple[int, ...]]) -> list[np.ndarray]:
        """Return the numbers of the sets of one input each, of arrays of inputs."""
        found, start = [], 1
        for shape in shapes:
            size = math.prod(shape)
            found.append(np.arange(start, start + size, dtype=np.int32).reshape(shape))
            start += size
        return found

    def alone(self, size: int) -> _Propagation:
        """Return one for a record of its own, with so many inputs."""
        return _Propagation(size, False, False)

    def within(self, tape: Tape, outputs: list[Any], given: list[Any]) -> list[Any]:
        """Do the same along a body, from given sets of its inputs; no zeros count there."""
        before = self.tape, self.position, self.closed
        self.closed = False
        try:
            return self.along(tape, outputs, given)
        finally:
            self.tape, self.position, self.closed = before

    def along(self, tape: Tape, outputs: list[Any], given: list[Any]) -> list[Any]:
        """Carry sets of the tape's inputs (None: empty) to outputs."""
        self.tape = tape
        record, last = tape.links(), tape.last_readers
        ids: list[Any] = [None] * len(record)
        for x, position in zip(given, tape.input_positions, strict=True):
            if position >= 0:
                ids[position] = x
        for position, link in enumerate(record):
            if link.op is not None:
                self.position = position
                operands = [ids[k] if k >= 0 else None for k in link.parents]
                ids[position] = self.step(link, operands)
                for k in link.parents:
                    if k >= 0 and last[k] == position:
                        ids[k] = None
        positions = iter(tape.output_positions)
        return [self._at(y, ids, next(positions) if type(y) is Variable else -1) for y in outputs]

    def step(self, link: Link, operands: list[Any]) -> Any:
        """Carry the sets over one operation."""
        op = link.op
        assert op is not None
        if op.partials is not None:
            return patterns.elementwise(self, operands, link)
        pattern = op.pattern
        if "unmoved" in op.info:  # static arguments are on the record
            unmoved = op.info["unmoved"]
            own = len(operands) - len(op.info["which"])
            operands = operands[:own]
            if self.local:
                link, pattern = _Unmoved(link, own), unmoved.pattern  # type: ignore[assignment]
            else:
                pattern = unmoved.info.get("moving")
        if isinstance(pattern, tuple):
            pattern = pattern[link.output or 0]
        result = (pattern or patterns.everything)(self, operands, link)
        if result.shape != link.shape or result.dtype != np.int32:
            raise RuntimeError(
                f"{op.name}: its pattern has shape {result.shape} and dtype {result.dtype}, "
                f"the value has shape {link.shape}"
            )
        return result

    @staticmethod
    def _at(y: Any, ids: list[Any], position: int) -> Any:
        return np.zeros(np.shape(y), np.int32) if position < 0 else ids[position]
