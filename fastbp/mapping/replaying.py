"""A record of one member, applied to a batch: ordinary recorded operations, with an axis in front.

What depends on the member has that axis, all else is as it was recorded. How an operation takes it
follows from its row (`fastbp.rules.batching`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastbp.mapping import calls
from fastbp.mapping.recording import Member
from fastbp.rules.batching import Applied, batch_of

__all__ = ["replayed"]

CALL = 2  # the kind of an operation without rules: any function


def replayed(member: Member, inputs: Sequence[Any], n: int) -> dict[int, Any]:
    """Return the values of a record at other inputs.

    Parameters
    ----------
    member : Member
    inputs : sequence of array, Variable or Passive
        In the places of its inputs, with an axis of length `n` in front.
    n : int

    Returns
    -------
    dict
        Position on the tape -> value, with the axis.
    """
    tape = member.tape
    places = zip(tape.input_positions, inputs, strict=True)
    values = {position: x for position, x in places if position >= 0}
    joint: dict[Any, tuple[Any, ...]] = {}
    links = tape.links()
    last = tape.last_readers
    dying: dict[int, list[int]] = {}
    for position, reader in enumerate(last):
        dying.setdefault(reader, []).append(position)
    for position, link in enumerate(links):
        if link.op is None:
            continue
        if link.output is None:
            values[position] = _value(link, values, member, n)
        else:
            key = _key(link)
            if key not in joint:
                joint[key] = _value(link, values, member, n)
            values[position] = joint[key][link.output]
        for dead in dying.get(position, ()):
            values.pop(dead, None)
    return values


def _key(link: Any) -> Any:
    """Return what the outputs of one operation have in common."""
    constants = [id(x) if p < 0 else p for p, x in zip(link.parents, link.operands, strict=True)]
    return (id(link.op), id(link.static), *constants)


def _operands(
    link: Any, values: dict[int, Any], member: Member
) -> tuple[list[Any], tuple[bool, ...]]:
    found = []
    for k, (p, x) in enumerate(zip(link.parents, link.operands, strict=True)):
        if p >= 0:
            found.append(values[p])
        elif member.tape.outer and not link.fixed[k]:
            handle = link.outer(k)
            found.append(handle if member.is_outer(handle) else x)
        else:
            found.append(x)
    return found, tuple([p >= 0 for p in link.parents])


def _value(link: Any, values: dict[int, Any], member: Member, n: int) -> Any:
    operands, mapped = _operands(link, values, member)
    op, static, moving = link.op, link.static, {}
    if op.kind == CALL:
        return calls.called(op.forward, operands, mapped, static, n)
    if "unmoved" in op.info:
        which, own = op.info["which"], op.nin - len(op.info["which"])
        taking = zip(which, mapped[own:], strict=True)
        moving = {name: at for (name, at), moves in taking if moves}
        operands, static = op.info["apart"](tuple(operands), static)
        op, operands, mapped = op.info["unmoved"], list(operands), mapped[:own]
    shape = link.shape if link.output is None else None
    applied = Applied(op, n, operands, mapped, static, moving, shape)
    return batch_of(op)(applied)
