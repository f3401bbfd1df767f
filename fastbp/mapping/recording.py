"""One member of a batch, recorded; and what must not depend on which one it is."""

from __future__ import annotations

import ctypes
import functools
import operator
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fastbp import generator, tree
from fastbp._core import constants, graph
from fastbp._core.graph import Passive, Variable
from fastbp._core.replay import strong_zeros_met
from fastbp._core.tape import Tape
from fastbp.compiling.bodies import of_inputs
from fastbp.compiling.draws import DrawnError
from fastbp.compiling.inputs import recorded_inputs
from fastbp.errors import MappedValueError
from fastbp.rules.frames import asking_function
from fastbp.rules.refusals import write_instead

__all__ = ["Member", "name_of"]

# Functions whose results have as many elements as values say.
RAGGED = frozenset(
    [
        np.argwhere, np.bincount, np.compress, np.delete, np.extract, np.flatnonzero,
        np.intersect1d, np.nonzero, np.setdiff1d, np.setxor1d, np.trim_zeros, np.union1d, np.unique,
    ]
)  # fmt: skip


def name_of(f: Any) -> str:
    """Return what a function is called in messages."""
    return getattr(f, "__qualname__", None) or repr(f)


class Member:
    """A record of one member.

    Attributes
    ----------
    inputs : list of Variable or Passive
        What stood for its arrays.
    structure : TreeDef
        Of what the function returned.
    leaves : list
        What it returned.
    guards : list of (Variable or Passive, ndarray)
        What fastbp's own functions have read, which decided how they compute.
    settled : bool
        Whether no zero met an infinite slope: what that means may be another thing for each member.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        arrays: list[np.ndarray],
        given: Callable[..., tuple[Any, Any]],
        common: list[np.ndarray] | None = None,
    ) -> None:
        locks, met = constants.mark(), strong_zeros_met()
        self.inputs = recorded_inputs(arrays)
        # Handles of its own: a function that writes into its arguments must not move our ends.
        handles = [_handle(x) for x in self.inputs]
        shared = recorded_inputs(common) if common else []
        args, kwargs = given(handles, shared)
        self._outer: dict[int, bool] = {}
        drawing = Drawing(f, (args, kwargs))
        reads = Reads()
        try:
            with of_inputs([*self.inputs, *shared]):
                result = graph.recorded_call(f, args, kwargs, reads, True)
        except BaseException as error:
            constants.release(locks)
            if isinstance(error, Exception):
                _refuse(f, [e for e in reads.entries if e.what != "shape"], self.inputs, error)
            raise
        if drawing.now() != drawing.before:
            raise DrawnError(
                f"vmap: {name_of(f)} draws random numbers, which would be the same for all "
                "members: draw them outside, with an axis for the members, and give them as an "
                "argument"
            )
        leaves, self.structure = tree.flatten(result)
        self.leaves = [graph.unfilled(y) for y in leaves]
        self.guards = reads.guards
        self.settled = strong_zeros_met() == met
        ends = [y for y in self.leaves if type(y) is Variable or type(y) is Passive]
        _refuse(f, reads.entries, self.inputs, None, ends)
        self.tape = Tape(ends + [handle for handle, _ in self.guards], self.inputs, keep=True)
        positions = iter(self.tape.output_positions)
        self.positions = [
            next(positions) if type(y) is Variable or type(y) is Passive else -1
            for y in self.leaves
        ]
        self.guarded = list(positions)
        for (handle, _), position in zip(self.guards, self.guarded, strict=True):
            if position < 0:  # of a member of a map around this one, or of a compiled function
                _hand_on("value", handle, *graph.line_of_user())

    def is_outer(self, x: Any) -> bool:
        """Say whether a recorded value depends on what was recorded around the member."""
        if not self.tape.outer:
            return False
        if type(x) is Passive:
            return Tape([x], self.inputs, keep=True).outer
        if x.node_id not in self._outer:
            self._outer[x.node_id] = Tape([x], self.inputs, keep=True).outer
        return self._outer[x.node_id]


def _refuse(
    f: Any,
    entries: Sequence[Read],
    inputs: list[Any],
    error: Exception | None,
    results: Sequence[Any] = (),
) -> None:
    """Refuse reads that depend on the member, and shapes of what reaches results.

    Tell who watches a record around this one of the rest.
    """
    if not entries:
        return
    handles = [e.handle for e in entries if e.handle is not None]
    tape = Tape([*handles, *results], inputs, keep=True)
    positions = iter(tape.output_positions)
    where = [-1 if e.handle is None else next(positions) for e in entries]
    behind = _behind(tape, list(positions))
    for entry, position in zip(entries, where, strict=True):
        depends = position in behind if entry.what == "shape" else position >= 0
        if entry.handle is None or depends:
            raise entry.refusal(f) from error
        if position < 0:
            entry.hand_on()


def _behind(tape: Tape, ends: Iterable[int]) -> set[int]:
    """Return the positions on a tape that some of them are computed from, and these."""
    found: set[int] = set()
    pending = [p for p in ends if p >= 0]
    while pending:
        position = pending.pop()
        if position not in found:
            found.add(position)
            pending += [p for p in tape.parents_of(position) if p >= 0]
    return found


class Reads:
    """What is read as plain numbers while a member is recorded.

    Attributes
    ----------
    entries : list of Read
        What the user's code has read, and results that have as many elements as values say.
    guards : list of (Variable or Passive, ndarray)
        What fastbp's own functions have.
    selections : list
        What masks have selected: see `fastbp.rules.numpy.selections`.
    """

    def __init__(self) -> None:
        self.entries: list[Read] = []
        self.selections: list[Any] = []
        self.guards: list[tuple[Any, np.ndarray]] = []

    def called(self, function: Any, operands: list[Any], result: Any) -> None:
        """Take note of a call without derivative."""
        if not _is_ragged(function, operands):
            return
        for x in result if isinstance(result, tuple | list) else (result,):
            if type(x) is Passive:
                file, line = graph.line_of_user()
                self.entries.append(Read("shape", _handle(x), file, line))

    def read(self, what: str, handle: Any, file: str, line: int) -> None:
        """Take note of one."""
        name = sys._getframe(1).f_globals.get("__name__", "")
        if handle is None or not name.startswith("fastbp."):
            handle = None if handle is None else _handle(handle)
            caller = asking_function(sys._getframe(1))
            self.entries.append(Read(what, handle, file, line, caller))
        else:
            value = np.array(graph.array_of(handle), order="C")
            self.guards.append((_handle(handle), value))


class Read:
    """A read of the user's code: what for, of what, and in which line."""

    def __init__(
        self, what: str, handle: Any, file: str, line: int, caller: str | None = None
    ) -> None:
        self.what, self.handle, self.file, self.line = what, handle, file, line
        self.caller = caller

    def refusal(self, f: Any) -> MappedValueError:
        """Return the error for one that depends on the member."""
        where = f"{self.file}, line {self.line}"
        if self.what == "shape":
            return MappedValueError(
                f"vmap: in {name_of(f)} values that depend on the member decide a shape, which "
                f"would be another one for each: {where}; keep all elements, with a mask, as "
                "numpy.where(mask, x, 0.0) and where= of sums do; x[mask] = ... takes what is "
                "computed elementwise of x[mask], for all else write x = numpy.where(mask, ..., x)"
            )
        read = "decides a branch" if self.what == "bool" else "is read as a plain number or array"
        advice = (
            f"{self.caller} takes no arrays of a batch: {write_instead(self.caller)}"
            if self.caller is not None and self.caller.startswith("scipy.")
            else "a branch on values needs numpy.where"
            if self.what == "bool"
            else "compute with arrays; an index with an array of the batch needs one of "
            "fastbp.numpy, or numpy.take; to look at values, call the function without vmap"
        )
        return MappedValueError(
            f"vmap: in {name_of(f)} a value that depends on the member {read}, and would be that "
            f"of the first member for all: {where}; {advice}"
        )

    def hand_on(self) -> None:
        """Tell who watches the record around, if somebody does."""
        left = graph.watching()
        if isinstance(left, Reads):  # the map around asks whether it depends on a member of its own
            left.entries.append(self)
        elif self.what == "shape" and left is not None and not isinstance(left, list):
            left.called(None, [], self.handle)  # a compiled function guards it, as its own
        else:
            _hand_on("value" if self.what == "shape" else self.what, None, self.file, self.line)


def _hand_on(what: str, handle: Any, file: str, line: int) -> None:
    left = graph.watching()
    if isinstance(left, list):
        if (what, file, line) not in left:
            left.append((what, file, line))
    elif left is not None:
        left.read(what, handle, file, line)


def _is_ragged(function: Any, operands: list[Any]) -> bool:
    if function in RAGGED or (function is np.where and len(operands) == 1):
        return True
    if function is operator.getitem or getattr(function, "__name__", "") == "_numbers_at":
        own = operands[1:] if function is operator.getitem else operands
        return any(getattr(getattr(x, "dtype", None), "kind", "") == "b" for x in own)
    return False


def _handle(x: Any) -> Any:
    return graph.handle(x) if type(x) is Variable else graph.handle_of(x)


# ---- random numbers

_KEY_AND_PLACE = 625 * 4  # bytes of a Mersenne twister that drawing changes


class Drawing:
    """What a function may draw from, as far as it is seen without looking into all it can reach.

    NumPy's global generator, and generators that the function is given or that its code names.
    """

    def __init__(self, f: Any, arguments: Any) -> None:
        self.states: list[Callable[[], Any]] = []
        self.take([x for x in tree.flatten(arguments)[0] if isinstance(x, _GENERATORS)])
        own = np.random.get_bit_generator()  # type: ignore[attr-defined]
        named = False
        while f is not None:
            code = getattr(f, "__code__", None)
            if code is not None:
                named = named or "random" in code.co_names
                self.take([f.__globals__.get(name) for name in code.co_names])
                self.take([_content(cell) for cell in f.__closure__ or ()])
                self.take([*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()])
            f = getattr(f, "__wrapped__", None)
        if named:  # with the number that a pair of normal ones leaves
            self.states += [lambda: str(np.random.get_state()), random.getstate]  # noqa: NPY002
        elif type(own) is np.random.MT19937:  # a hundred times as fast as its state
            address = own.ctypes.state_address
            self.states.append(lambda: ctypes.string_at(address, _KEY_AND_PLACE))
        else:
            self.states.append(lambda: str(own.state))
        self.before = self.now()

    def take(self, found: Iterable[Any]) -> None:
        """Watch the generators among objects."""
        for x in found:
            if isinstance(x, _GENERATORS):
                self.states.append(functools.partial(_state_of, x))

    def now(self) -> list[Any]:
        """Return the present states."""
        with generator.held():
            return [state() for state in self.states]


_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)


def _state_of(x: Any) -> Any:
    if isinstance(x, random.Random):
        return x.getstate()
    return str(x.bit_generator.state if isinstance(x, np.random.Generator) else x.get_state())


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # of a name that is not bound yet
        return None
