"""Steps of loops and branches, recorded once: what is computed from which inputs, and derivatives.

A body is a record with named ends, as any other: its derivatives are sweeps along it, which are
recorded, too. So a derivative of a body is a body.
"""

from __future__ import annotations

import functools
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastbp import tree
from fastbp._core import graph, sweep
from fastbp._core.graph import Passive, Variable
from fastbp._core.tape import Tape
from fastbp.compiling.inputs import recorded_inputs
from fastbp.compiling.layout import laid_out
from fastbp.compiling.lowering import lower
from fastbp.errors import FrozenValueError

__all__ = [
    "UnrolledError",
    "WrittenError",
    "handle_for",
    "independent",
    "is_array",
    "is_float",
    "is_recorded",
    "note_inputs",
    "of_inputs",
    "pulled",
    "pushed",
    "recorded_bodies",
    "recorded_body",
    "recording_blocks",
    "replaced",
    "saved_for",
    "unwritten",
    "valued",
    "with_blocks",
    "zeros_like",
]

_state = threading.local()

# Operations that are cheaper to do again than to keep the result of.
_CHEAP = frozenset(
    """
    add subtract multiply negative positive square conjugate mulz tanh_slope greater greater_equal
    less less_equal equal not_equal logical_not logical_and logical_or invert bitwise_and bitwise_or
    where
    """.split()
)
_MOST_AROUND = 1 << 10  # objects that a body has around it
_DEPTH = 3  # ... of which so many may follow one another


class UnrolledError(Exception):
    """A loop has to be recorded step by step."""


class WrittenError(UnrolledError):
    """A body writes into what was there before it: only where it is called does that happen."""

    def __init__(self, shape: tuple[int, ...], file: str, line: int) -> None:
        super().__init__(shape, file, line)
        self.shape, self.file, self.line = shape, file, line

    def refusal(self, name: str, where: str = "in a compiled function") -> FrozenValueError:
        """Return what to raise where it cannot be recorded step by step."""
        return FrozenValueError(
            f"{name}: {where}, no function that it is given can write into an array "
            f"of outside, here of shape {self.shape}: {self.file}, line {self.line}; write "
            "a = a * 2.0 in place of a *= 2.0, or a = a.copy() before a[0] = 2.0, and return it"
        )


@contextmanager
def with_blocks(on: bool) -> Iterator[None]:
    """Record loops and branches as operations of their own, or not."""
    before = recording_blocks(), _inputs()
    _state.on, _state.inputs = on, []
    try:
        yield
    finally:
        _state.on, _state.inputs = before


def _inputs() -> list[Any]:
    """Return the inputs of what is recorded in this thread, those of bodies last."""
    return getattr(_state, "inputs", [])


@contextmanager
def of_inputs(inputs: Sequence[Any]) -> Iterator[None]:
    """Record a function of these inputs inside of what is recorded."""
    before = _inputs()
    _state.inputs = [*before, *inputs]
    try:
        yield
    finally:
        _state.inputs = before


def note_inputs(inputs: Sequence[Any]) -> None:
    """Take note of the inputs of what is recorded."""
    _inputs().extend(inputs)


def valued(ends: Sequence[Any]) -> list[Any]:
    """Return handles that have the values which their nodes had when they were recorded."""
    if not ends:
        return []
    inputs = _inputs()
    tape = independent(ends, inputs, keep=True)
    if -1 in tape.output_positions:  # no input leads there, and nobody has kept the value
        raise UnrolledError
    b, taken, made = lower(tape.links(), tape.input_positions, tape.output_positions)
    found = laid_out(b, taken, made)(*[graph.array_of(x) for x in inputs])
    return [graph.with_value(x, value) for x, value in zip(ends, found, strict=True)]


def recording_blocks() -> bool:
    """Say whether loops and branches are operations of the record."""
    return getattr(_state, "on", False)


def is_recorded(x: Any) -> bool:
    """Say whether a leaf is on a record."""
    return type(x) is Variable or type(x) is Passive


def is_float(x: Any) -> bool:
    """Say whether an end of a body may have a derivative."""
    return type(x) is Variable


def zeros_like(x: Any, lead: tuple[int, ...] = ()) -> np.ndarray:
    """Return the zeros that a (co)tangent of an end is."""
    return np.zeros((*lead, *x.shape), x.dtype)


class _Left:
    """Whether values leave the record of a body: then it is no body."""

    def __init__(self) -> None:
        self.any = False

    def called(self, function: Any, operands: list[Any], result: Any) -> None:
        from fastbp.compiling import passive

        if function is None or not passive.keeps_shape(function, operands):
            self.any = True

    def read(self, what: str, handle: Any, file: str, line: int) -> None:
        self.any = True


def recorded_body(
    f: Callable[..., Any], args: Sequence[Any]
) -> tuple[list[Any], list[Any], Any, list[Any]]:
    """Call a function once on recorded values like those of `args`, trees of arrays.

    Returns
    -------
    inputs : list
        For each leaf of the arguments its recorded value.
    outputs : list
        The leaves of what `f` returned.
    structure : TreeDef
        Of what it returned.
    outer : list
        Recorded values from outside that it depends on.

    Raises
    ------
    UnrolledError
        If values leave the record, or something from outside is written into.
    """
    inputs, outer, ((outputs, structure),) = recorded_bodies([f], args)
    return inputs, outputs, structure, outer


def recorded_bodies(functions: Sequence[Callable[..., Any]], args: Sequence[Any]) -> Any:
    """Do the same for several functions of the same arguments.

    Return the inputs, what is from outside, and for each function its outputs and their structure.
    """
    leaves, structure = tree.flatten(tuple(args))
    inputs = recorded_inputs([np.asarray(graph.array_of(x)) for x in leaves])
    cells = [is_array(x) for x in leaves]
    left = _Left()
    since = graph.current_id()
    # The inputs are older than what is recorded; what is older than these is from outside.
    made = []
    allowed = graph.refuse_writes(graph.current_id(), WrittenError)
    try:
        with of_inputs(inputs):
            for f in functions:
                handles = [handle_for(x, cell) for x, cell in zip(inputs, cells, strict=True)]
                with unwritten(f):
                    result = graph.recorded_call(f, structure.unflatten(handles), {}, left)
                outputs, out_def = tree.flatten(result)
                made.append(([_end(y) for y in outputs], out_def))
    finally:
        graph.refuse_writes(allowed)
    if left.any:
        raise UnrolledError
    ends = [y for outputs, _ in made for y in outputs if is_recorded(y)]
    outer = Tape(ends, inputs, since=since, keep=True).outer_inputs() if ends else []
    return inputs, valued(outer), made


def is_array(x: Any) -> bool:
    """Say whether a leaf is an array, of no axes perhaps, and no number."""
    return not graph.is_number(x) if is_recorded(x) else isinstance(x, np.ndarray)


def handle_for(x: Any, cell: bool) -> Any:
    """Return what a body gets: an array of no axes where its caller has one, which it may write."""
    made = graph.handle(x) if type(x) is Variable else graph.handle_of(x)
    return graph.as_cell(made) if cell and not made.shape else made


@contextmanager
def unwritten(f: Callable[..., Any]) -> Iterator[None]:
    """Refuse writes into plain arrays that a body finds in its closure; they are taken back."""
    kept = [(x, x.copy()) for x in _arrays_around(f)]
    try:
        yield
    finally:
        written = [(x, before) for x, before in kept if x.tobytes() != before.tobytes()]
        for x, before in written:
            x[...] = before
    if written:
        code = getattr(f, "__code__", None) or recorded_bodies.__code__
        raise WrittenError(written[0][0].shape, code.co_filename, code.co_firstlineno)


def _arrays_around(f: Any) -> list[np.ndarray]:
    """Return plain arrays in closures and attributes of a function, and of what it finds there."""
    found: dict[int, np.ndarray] = {}
    seen: dict[int, Any] = {}
    pending = [f]
    while pending and len(seen) < _MOST_AROUND:
        x = pending.pop()
        if id(x) in seen:
            continue
        seen[id(x)] = x
        if type(x) is np.ndarray:
            if not x.dtype.hasobject:
                found[id(x)] = x
        elif isinstance(x, types.FunctionType):
            pending += [c.cell_contents for c in x.__closure__ or () if _is_filled(c)]
            pending += [*(x.__defaults__ or ()), *(x.__kwdefaults__ or {}).values()]
        elif isinstance(x, functools.partial):
            pending += [x.func, *x.args, *x.keywords.values()]
        elif type(x) in (list, tuple):
            pending += x
        elif type(x) is dict:
            pending += x.values()
        elif isinstance(x, types.MethodType):
            pending += [x.__func__, x.__self__]
        elif not isinstance(x, type | types.ModuleType):
            pending += getattr(x, "__dict__", {}).values()
    return list(found.values())


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _end(y: Any) -> Any:
    y = graph.unfilled(y)  # what a body returns of an array without a history is a constant
    if type(y) is Variable:
        return graph.handle(y)
    return graph.handle_of(y) if type(y) is Passive else np.asarray(y)


def independent(outputs: Sequence[Any], inputs: Sequence[Any], keep: bool = False) -> Tape:
    """Return the tape between ends of a body."""
    return Tape(list(outputs), list(inputs), independent=True, keep=keep)


def dependence(outputs: Sequence[Any], inputs: Sequence[Any]) -> list[list[bool]]:
    """Return for each output by which inputs it has a derivative."""
    floats = [k for k, x in enumerate(inputs) if is_float(x)]
    found = []
    for y in outputs:
        row = [False] * len(inputs)
        if is_float(y) and floats:
            reached = independent([y], [inputs[k] for k in floats]).reached
            for k, reaches in zip(floats, reached, strict=True):
                row[k] = reaches
        found.append(row)
    return found


def seeds_like(ends: Sequence[Any], lead: tuple[int, ...]) -> list[Variable]:
    """Return recorded (co)tangents for ends of a body."""
    return recorded_inputs([np.ones((*lead, *x.shape), x.dtype) for x in ends])


def pulled(
    outputs: Sequence[Any], inputs: Sequence[Any], seeds: Sequence[Any], lead: tuple[int, ...]
) -> list[Any]:
    """Return cotangents of inputs, recorded, of those of the outputs."""
    return _swept(sweep.reverse, outputs, inputs, seeds, lead, inputs)


def pushed(
    outputs: Sequence[Any], inputs: Sequence[Any], seeds: Sequence[Any], lead: tuple[int, ...]
) -> list[Any]:
    """Return tangents of outputs, recorded, of those of the inputs."""
    # An output that is no Variable is the same whatever the inputs are, and what is computed from
    # an input that is none has no derivative by it.
    moving = [y for y in outputs if is_float(y)]
    ends = [(x, t) for x, t in zip(inputs, seeds, strict=True) if is_float(x)]
    given, tangents = [x for x, _ in ends], [t for _, t in ends]
    found = iter(_swept(sweep.forward, moving, given, tangents, lead, moving))
    return [next(found) if is_float(y) else zeros_like(y, lead) for y in outputs]


def _swept(
    way: Any, outputs: Any, inputs: Any, seeds: Any, lead: tuple[int, ...], like: Any
) -> list[Any]:
    if not outputs or not inputs:
        return [zeros_like(x, lead) for x in like]
    handles = [graph.handle(x) for x in seeds]
    tape, left = independent(outputs, inputs), _Left()

    def swept() -> list[Any]:
        found: list[Any] = way(tape, handles, True, len(lead), inner=True)
        return found

    found = graph.recorded_call(swept, (), {}, left)
    if left.any:  # a rule decides by values
        raise UnrolledError
    return [zeros_like(x, lead) if y is None else _end(y) for x, y in zip(like, found, strict=True)]


def replaced(wanted: Sequence[Any], there: Sequence[bool], found: Sequence[Any]) -> list[Any]:
    """Return items of `found` where `there`, None elsewhere."""
    items = iter(found)
    return [next(items) if t else None for _, t in zip(wanted, there, strict=True)]


def saved_for(
    outputs: Sequence[Any],
    seeds: Sequence[Any],
    inputs: Sequence[Any],
    known: Sequence[Any],
    everything: bool,
) -> list[Any]:
    """Return what a derivative reads that has to be kept of the values it is a derivative at.

    Parameters
    ----------
    outputs, seeds : list
        The ends of the derivative.
    inputs, known : list
        What it may read: inputs of the body; its outputs, which are there anyway.
    everything : bool
        Compute everything again, from the inputs.
    """
    ends = [y for y in outputs if is_recorded(y)]
    known = [y for y in known if is_recorded(y)]
    if everything or not ends:
        return []
    tape = independent([*ends, *known], [*seeds, *inputs], keep=True)
    links, positions = tape.links(), tape.input_positions
    moving = {p for p in positions[: len(seeds)] if p >= 0}
    free = {p for p in positions[len(seeds) :] if p >= 0}
    there = {p for p in tape.output_positions[len(ends) :] if p >= 0} - free
    for position, link in enumerate(links):
        if any(p in moving for p in link.parents):
            moving.add(position)
    read = [p for p in tape.output_positions[: len(ends)] if p not in moving]
    for position in sorted(moving):
        read += [p for p in links[position].parents if p >= 0 and p not in moving]
    saved: dict[int, Any] = {}

    def keep(position: int) -> None:
        if position in free or position in saved:
            return
        if position in there or not _is_cheap(links, position, free | there, _DEPTH):
            saved[position] = tape.variable(position)
            return
        for p in links[position].parents:
            if p >= 0:
                keep(p)

    for position in read:
        keep(position)
    return list(saved.values())


def _is_cheap(links: Sequence[Any], position: int, free: set[int], depth: int) -> bool:
    from fastbp.rules import patterns

    link = links[position]
    if position in free:
        return True
    if link.op is None or link.output is not None:
        return False
    op = link.op
    name = getattr(op, "name", "")
    moves = op.pattern is patterns.moves or op.forward is graph.identity
    if not moves and (name not in _CHEAP or depth == 0):
        return False
    rest = depth if moves else depth - 1
    return all(_is_cheap(links, p, free, rest) for p in link.parents if p >= 0)
