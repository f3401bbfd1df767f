"""A record of one member, applied to a batch: ordinary recorded operations, with an axis in front.

What depends on the member has that axis, all else is as it was recorded. How an operation takes it
follows from its row (`fastbp.rules.batching`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastbp._core import graph
from fastbp._core.tape import Tape
from fastbp.mapping import calls
from fastbp.rules.batching import Applied
from fastbp.rules.numpy.structural import constant_call

__all__ = ["replayed"]

CALL = 2  # the kind of an operation without rules: any function


def replayed(
    tape: Tape,
    inputs: Sequence[Any],
    n: int,
    apply: Callable[[Applied], Any],
    is_outer: Callable[[Any], bool] = lambda x: False,
    mapped: Sequence[bool] | None = None,
) -> tuple[dict[int, Any], set[int]]:
    """Return the values of a record at other inputs.

    Parameters
    ----------
    tape : Tape
        Of a member, which keeps everything.
    inputs : sequence of array, Variable or Passive
        In the places of its inputs, with an axis of length `n` in front.
    n : int
    apply : callable
        Applies an operation to the batch.
    is_outer : callable
        Says of a recorded value whether it depends on what is from outside of the record.
    mapped : sequence of bool, optional
        Which inputs have the axis; all of them by default.

    Returns
    -------
    dict
        Position on the tape -> value, of outputs.
    set
        The positions of values with the axis.
    """
    places = list(zip(tape.input_positions, inputs, strict=True))
    values = {position: x for position, x in places if position >= 0}
    depend = {p for k, (p, _) in enumerate(places) if p >= 0 and (mapped is None or mapped[k])}
    joint: dict[Any, Any] = {}
    dying: dict[int, list[int]] = {}
    for position, reader in enumerate(tape.last_readers):
        dying.setdefault(reader, []).append(position)
    for position, link in enumerate(tape.links()):
        if link.op is None or position in values:
            continue
        flags = tuple([p in depend for p in link.parents])
        if any(flags):
            depend.add(position)
        key = None if link.output is None else _key(link)
        if key is None or key not in joint:
            operands = _operands(link, values, tape.outer, is_outer)
            found = _value(link, operands, flags, n, apply)
            if key is not None:
                joint[key] = found
        values[position] = found if link.output is None else joint[key][link.output]
        for dead in dying.get(position, ()):
            values.pop(dead, None)
    return values, depend


def _key(link: Any) -> Any:
    """Return what the outputs of one operation have in common."""
    constants = [id(x) if p < 0 else p for p, x in zip(link.parents, link.operands, strict=True)]
    return (id(link.op), id(link.static) if link.static else 0, *constants)


def _operands(
    link: Any, values: dict[int, Any], outer: bool, is_outer: Callable[[Any], bool]
) -> list[Any]:
    found = []
    for k, (p, x) in enumerate(zip(link.parents, link.operands, strict=True)):
        if p >= 0:
            found.append(values[p])
        elif outer and not link.fixed[k]:
            handle = link.outer(k)
            found.append(handle if is_outer(handle) else x)
        else:
            found.append(x)
    return found


def _value(
    link: Any,
    operands: list[Any],
    mapped: tuple[bool, ...],
    n: int,
    apply: Callable[[Applied], Any],
) -> Any:
    op, static = link.op, link.static
    if not any(mapped):
        if op.kind == CALL:
            return constant_call(op.forward, *map(graph.passive, operands), **static)
        return op(*operands, **static)
    if op.kind == CALL:
        return calls.called(op.forward, operands, mapped, static, n)
    moving: dict[str, int | None] = {}
    if "unmoved" in op.info:
        which, own = op.info["which"], op.nin - len(op.info["which"])
        taking = zip(which, mapped[own:], strict=True)
        moving = {name: at for (name, at), moves in taking if moves}
        given, static = op.info["apart"](tuple(operands), static)
        op, operands, mapped = op.info["unmoved"], list(given), mapped[:own]
    if not any(mapped) and not moving:
        return op(*operands, **static)
    shape = link.shape if link.output is None else None
    return apply(Applied(op, n, operands, mapped, static, moving, shape))
