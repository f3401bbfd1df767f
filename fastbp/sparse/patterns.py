"""Sparsity patterns of Jacobians: index sets carried along the record, from inputs to outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from fastbp._core.graph import Variable
from fastbp._core.links import Link, links
from fastbp._core.sparsity import Sets
from fastbp.recording import Recorded, numbers
from fastbp.rules import patterns
from fastbp.sparse.locked import locked_arrays, owner_of

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
    same operations: indices, shapes and branches of Python code are taken as they were in this
    call. Zeros of a constant array count only if it is read-only and was there before the call.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> bp.sparse.sparsity(lambda x: x[1:] * x[:-1], np.zeros(3)).toarray().astype(int)
    array([[1, 1, 0],
           [0, 1, 1]])
    """
    if not isinstance(argnums, (int, np.integer)) or isinstance(argnums, bool):
        raise TypeError(f"sparsity: argnums must be one integer, not {argnums!r}")
    locked = {} if local else locked_arrays(f, args)
    r = Recorded("sparsity", f, _own(args, int(argnums)), {}, int(argnums))
    if len(r.inputs) != 1 or isinstance(args[argnums], (list, tuple, dict)):
        raise TypeError(f"sparsity: argument {argnums} must be one array")
    return pattern_of([_output(r.result)], r.inputs, local=local, locked=locked)


def _own(args: tuple[Any, ...], argnums: int) -> tuple[Any, ...]:
    """Return the arguments with a copy of the one that is recorded.

    So no array that was there before the call holds its values.
    """
    return (
        tuple(
            x.copy() if k == argnums % len(args) and type(x) is np.ndarray else x
            for k, x in enumerate(args)
        )
        if args
        else args
    )


def _output(y: Any) -> Any:
    if type(y) is Variable:
        return y
    if isinstance(y, (list, tuple, dict)) or y is None:
        raise TypeError(f"sparsity: the function must return one array, not a {type(y).__name__}")
    return numbers(y, "sparsity: the function's output")


def pattern_of(
    outputs: Iterable[Any],
    inputs: Iterable[Variable],
    *,
    local: bool = False,
    locked: dict[int, Any] | None = None,
) -> Any:
    """Return the pattern between ends of a record: outputs, one below the other, by inputs.

    Parameters
    ----------
    outputs : iterable of Variable or array
        Arrays are constants.
    inputs : iterable of Variable
        Taken for independent of each other.
    local : bool
        As for `sparsity`.
    locked : dict, optional
        What `locked_arrays` returned before the record was made.

    Returns
    -------
    scipy.sparse.csr_array of bool
    """
    outputs, inputs = list(outputs), list(inputs)
    sweep = _Propagation(sum(x.size for x in inputs), local, locked or {})
    found = sweep.run(outputs, inputs)
    ids = np.concatenate([x.reshape(-1) for x in found]) if found else np.zeros(0, np.int32)
    indptr, indices = sweep.sets.to_csr(ids)
    shape = (ids.size, sweep.sets.size)
    pattern = csr_array((np.ones(indices.size, bool), indices, indptr), shape=shape)
    pattern.has_canonical_format = True
    return pattern


class _Propagation:
    """One walk along the record; what patterns see as ``p``."""

    def __init__(self, size: int, local: bool, locked: dict[int, Any]) -> None:
        self.sets = Sets(size)
        self.local = local
        self.locked = locked
        self.knows = local or bool(locked)

    def known(self, link: Link, k: int) -> Any:
        """Return the value of operand k if its zeros are zeros wherever the pattern holds."""
        value = link.operands[k]
        if self.local:
            return value if isinstance(value, (np.ndarray, float, int)) else None
        if not self.locked or link.parents[k] >= 0 or not isinstance(value, np.ndarray):
            return None
        owner = owner_of(value)
        return value if owner is not None and id(owner) in self.locked else None

    def run(self, outputs: list[Any], inputs: list[Variable]) -> list[Any]:
        """Return for each output the numbers of the sets of its elements."""
        record, out_at, in_at = links([y for y in outputs if type(y) is Variable], inputs)
        uses = [0] * len(record)
        for link in record:
            for position in link.parents:
                if position >= 0:
                    uses[position] += 1
        for position in out_at:
            if position >= 0:
                uses[position] += 1
        ids: list[Any] = [None] * len(record)
        start = 1
        for x, position in zip(inputs, in_at, strict=True):
            if position >= 0:
                ids[position] = np.arange(start, start + x.size, dtype=np.int32).reshape(x.shape)
            start += x.size
        for position, link in enumerate(record):
            if link.op is not None:
                operands = [ids[k] if k >= 0 else None for k in link.parents]
                ids[position] = self.step(link, operands)
                for k in link.parents:
                    if k >= 0:
                        uses[k] -= 1
                        if uses[k] == 0:
                            ids[k] = None
        positions = iter(out_at)
        return [self._at(y, ids, next(positions) if type(y) is Variable else -1) for y in outputs]

    def step(self, link: Link, operands: list[Any]) -> Any:
        """Carry the sets over one operation."""
        op = link.op
        assert op is not None
        if op.partials is not None:
            return patterns.elementwise(self, operands, link)
        result = (op.pattern or patterns.everything)(self, operands, link)
        if result.shape != link.shape or result.dtype != np.int32:
            raise RuntimeError(
                f"{op.name}: its pattern has shape {result.shape} and dtype {result.dtype}, "
                f"the value has shape {link.shape}"
            )
        return result

    @staticmethod
    def _at(y: Any, ids: list[Any], position: int) -> Any:
        return np.zeros(np.shape(y), np.int32) if position < 0 else ids[position]
