"""Programs of regions: equal work is one program, whatever it is done on.

A plan of a loop has thousands of regions that differ in their operands only. So the program of a
region is looked up by its structure; what is the same work is the same object.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from fastbp._core.program import Expr, Program, Trace, compile_program
from fastbp.compiling.values import Value

__all__ = ["Member", "program_of"]

Member = tuple[Any, tuple[Any, ...], Value]  # function, operands, value

MOST_KNOWN = 4096
_known: dict[Any, Program | None] = {}


def program_of(
    members: Sequence[Member],
    wanted: Collection[int],
    dtype: Any,
    places: Mapping[int, Value] | None = None,
) -> tuple[Program | None, list[Value], list[Value]]:
    """Return the program that computes members, and what it reads and writes.

    Parameters
    ----------
    members : sequence of (function, operands, value)
    wanted : collection of int
        The ids of values that are written.
    dtype : dtype
        Of all of them.
    places : dict of int to Value, optional
        Others that are written elsewhere than in their own memory.

    Returns
    -------
    Program or None
        None where an operation has no inner loop, where they do not fit the slots of a program, or
        where nothing is written.
    list of Value, list of Value
        Its inputs and outputs.
    """
    inside = {id(value): number for number, (_, _, value) in enumerate(members)}
    layouts: dict[Any, int] = {}
    inputs: list[Value] = []
    outputs: list[Value] = []
    written: list[int] = []
    code: list[tuple[Any, tuple[Any, ...]]] = []
    for function, operands, value in members:
        found: list[Any] = []
        for x in operands:
            if not isinstance(x, Value):
                found.append((x, str(x)))  # 0.0 is not -0.0
                continue
            number = inside.get(id(x))
            if number is None:
                layout = x.layout
                number = layouts.get(layout)
                if number is None:
                    number = layouts[layout] = ~len(inputs)
                    inputs.append(x)
            found.append(number)
        if id(value) in wanted:
            written.append(len(code))
            outputs.append(value)
        elif places and id(value) in places:
            written.append(len(code))
            outputs.append(places[id(value)])
        code.append((function, tuple(found)))
    if not outputs:
        return None, inputs, outputs
    key = dtype, len(inputs), tuple(code), tuple(written)
    if key not in _known:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[key] = _compiled(*key)
    return _known[key], inputs, outputs


def _is_plain_factor(x: Any, dtype: Any) -> bool:
    """Say whether a partial is a positive number: a plain product is the same then, bit for bit.

    No zero can meet what is not finite, and none changes its sign.
    """
    if dtype.kind != "f" or not isinstance(x, int | float):
        return False
    with np.errstate(all="ignore"):
        return bool(0.0 < dtype.type(x) < np.inf)


def _compiled(dtype: Any, n_inputs: int, code: Any, written: Any) -> Program | None:
    """Compile members; an operand is the number of a member, ~k for an input, or (number, text)."""
    trace = Trace()
    inputs = [trace.input() for _ in range(n_inputs)]
    made: list[Expr] = []
    for function, operands in code:
        found = [
            x[0] if isinstance(x, tuple) else made[x] if x >= 0 else inputs[~x] for x in operands
        ]
        if function == "mulz" and _is_plain_factor(found[1], dtype):
            function = np.multiply
        if function is np.positive:
            made.append(trace.copy(found[0]))
        elif isinstance(function, str | np.ufunc):
            made.append(trace.call(function, *found))
        else:
            made.append(trace.lift(function(*[trace.lift(x) for x in found])))
    return compile_program(trace, [made[k] for k in written], dtype.num)
