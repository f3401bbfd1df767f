"""Loops that are one operation of the record, of many members: a loop whose steps are of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp._core import graph
from fastbp.compiling import bodies
from fastbp.compiling.inputs import recorded_inputs
from fastbp.compiling.scanning import Scan
from fastbp.mapping.replaying import replayed
from fastbp.rules.batching import Applied, batch_of, loops, spread

__all__ = ["applied"]


class _LeavesError(Exception):
    """Values leave the record of a step."""


class _Watching:
    def called(self, function: Any, operands: list[Any], result: Any) -> None:
        pass

    def read(self, what: str, handle: Any, file: str, line: int) -> None:
        raise _LeavesError


def applied(a: Applied) -> Any:
    """Apply an operation to many members, by its row or as the loop that it is."""
    block = a.op.info.get("block")
    if block is None:
        return batch_of(a.op)(a)
    if not isinstance(block, Scan):
        return loops(a)
    try:
        scan, mapped = _scan_of(block, a.mapped, a.n)
    except (_LeavesError, np.linalg.LinAlgError):
        return loops(a)
    n_sequences = len(block.consts) + len(block.carry)
    operands = []
    for k, (x, moves) in enumerate(zip(a.operands, mapped, strict=True)):
        if moves and not a.mapped[k]:
            x = spread(x, a.n)
        operands.append(_steps_first(block, x) if moves and k >= n_sequences else x)
    found = list(scan(operands))
    first = len(block.new)
    for k, (y, like) in enumerate(zip(found, block.outputs, strict=True)):
        stacked = first <= k < first + len(block.ys)
        if y.ndim - stacked == like.ndim:
            found[k] = spread(y, a.n)
        elif stacked:
            found[k] = np.swapaxes(y, 0, 1)
    return tuple(found)


def _steps_first(block: Scan, x: Any) -> Any:
    """Return a sequence of members as one of steps; the same one for loops of one root."""
    known = block.root.made.setdefault("steps first", {})
    if id(x) not in known:
        known[id(x)] = x, np.swapaxes(x, 0, 1)
    return known[id(x)][1]


def _scan_of(block: Scan, flags: Sequence[bool], n: int) -> tuple[Scan, tuple[bool, ...]]:
    """Return a loop of all members, and which of its inputs have their axis."""
    key = ("members", tuple(flags), n)
    if key in block.made:
        found: tuple[Scan, tuple[bool, ...]] = block.made[key]
        return found
    first, count = len(block.consts), len(block.carry)
    ends = [y for y in block.outputs if bodies.is_recorded(y)]
    tape = bodies.independent(ends, block.inputs, keep=True)
    mapped = _carried(block, tape, list(flags))
    root = None
    if block.root is not block:  # a plan makes one loop of both, if they have the same inputs
        root, mapped_root = _scan_of(block.root, flags, n)
        root = root if mapped_root == tuple(mapped) else None
    inputs = _inputs(block, mapped, n) if root is None else root.inputs
    outputs = _outputs(block, tape, inputs, mapped, n)
    new = [
        y if y.ndim > like.ndim or not moves else spread(y, n)
        for y, like, moves in zip(outputs, block.new, mapped[first : first + count], strict=False)
    ]
    n_ys = len(block.ys)
    scan = Scan(
        block.count,
        block.backward,
        inputs[:first],
        inputs[first : first + count],
        inputs[first + count :],
        new,
        outputs[count : count + n_ys],
        outputs[count + n_ys :],
        block.again,
        root,
    )
    block.made[key] = scan, tuple(mapped)
    return scan, tuple(mapped)


def _carried(block: Scan, tape: Any, flags: list[bool]) -> list[bool]:
    """Return which inputs have the axis: a carry that becomes one with it has it from the start."""
    first = len(block.consts)
    places = iter(tape.output_positions)
    where = [next(places) if bodies.is_recorded(y) else -1 for y in block.new]
    while True:
        pairs = zip(tape.input_positions, flags, strict=True)
        depend = {p for p, moves in pairs if p >= 0 and moves}
        for position in range(len(tape)):
            if any(p in depend for p in tape.parents_of(position)):
                depend.add(position)
        before = list(flags)
        for j, position in enumerate(where):
            flags[first + j] = flags[first + j] or position in depend
        if flags == before:
            return flags


def _inputs(block: Scan, mapped: Sequence[bool], n: int) -> list[Any]:
    """Return inputs of a step of all members; their numbers say nothing."""
    arrays: list[np.ndarray] = []
    for x, moves in zip(block.inputs, mapped, strict=True):
        array = np.asarray(graph.array_of(x))
        if array.dtype.kind in "fc" and not array.any():
            array = np.full(array.shape, 0.5, array.dtype)
            if array.ndim > 1:
                array = array + np.eye(*array.shape[-2:], dtype=array.dtype)
        arrays.append(np.array(np.broadcast_to(array, (n, *array.shape)) if moves else array))
    floats = [a for a, x in zip(arrays, block.inputs, strict=True) if type(x) is graph.Variable]
    made = iter(recorded_inputs(floats))
    return [
        next(made) if type(x) is graph.Variable else graph.passive_input(a)
        for a, x in zip(arrays, block.inputs, strict=True)
    ]


def _outputs(
    block: Scan, tape: Any, inputs: list[Any], mapped: Sequence[bool], n: int
) -> list[Any]:
    """Return what a step of all members computes."""

    def computed() -> dict[int, Any]:
        given = [
            graph.handle(x) if type(x) is graph.Variable else graph.handle_of(x) for x in inputs
        ]
        with np.errstate(all="ignore"):
            return replayed(tape, given, n, applied, mapped=mapped)[0]

    values = graph.recorded_call(computed, (), {}, _Watching())
    places = iter(tape.output_positions)
    found: list[Any] = []
    for y in block.outputs:
        position = next(places) if bodies.is_recorded(y) else -1
        if position < 0:
            found.append(np.array(graph.array_of(y)))
        else:
            x = values[position]
            found.append(graph.handle(x) if type(x) is graph.Variable else graph.handle_of(x))
    return found
