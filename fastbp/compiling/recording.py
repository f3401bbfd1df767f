"""One call of a function, recorded: the plan for such calls, and what must not be frozen."""

from __future__ import annotations

import enum
import gc
import itertools
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastbp import generator, tree
from fastbp._core import constants, graph
from fastbp._core.caller import Entry, Form, Spec
from fastbp._core.graph import Passive, Variable
from fastbp._core.replay import Plan, strong_zeros_met
from fastbp._core.tape import Tape
from fastbp.compiling import passive
from fastbp.compiling.bodies import UnrolledError, note_inputs, with_blocks
from fastbp.compiling.draws import DrawnError, undrawn
from fastbp.compiling.inputs import Arguments, require_layout
from fastbp.compiling.layout import laid_out
from fastbp.compiling.lowering import lower
from fastbp.compiling.surroundings import Surroundings
from fastbp.errors import FrozenValueError

__all__ = ["Built", "recorded"]


def recorded(
    f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], static: tuple[int, ...]
) -> tuple[Any, Entry | None]:
    """Call a function once; return what it returns, and the plan for calls like this one."""
    try:
        with with_blocks(True):
            return _recorded_alone(f, args, kwargs, static)
    except UnrolledError:
        with with_blocks(False):
            return _recorded_alone(f, args, kwargs, static)


def _recorded_alone(
    f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], static: tuple[int, ...]
) -> tuple[Any, Entry | None]:
    with _uncollected():
        return undrawn(lambda: _recorded(f, args, kwargs, static), FrozenValueError)


def _recorded(
    f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], static: tuple[int, ...]
) -> tuple[Any, Entry | None]:
    around = Surroundings(f)
    given = Arguments(args, kwargs, static)
    for x in given.fixed:
        around.watch(x)
    around.reach.finish()
    left = Reads()
    note_inputs([*given.inputs, *around.inputs])
    met, drawn, since = strong_zeros_met(), _random_state(), constants.mark()
    layouts = graph.layouts_met()
    try:
        result = graph.recorded_call(around.function, given.args, given.kwargs, left)
    except Exception as error:
        constants.release(since)
        if left.of_user:
            raise _frozen(f, left.of_user) from error
        if not isinstance(error, UnrolledError):
            around.write_back()
        raise
    except BaseException:
        constants.release(since)
        raise
    _check(f, left.of_user, drawn, around)
    leaves, structure = tree.flatten(result)
    _check_results(f, leaves)
    ends = [y for y in leaves if type(y) is Variable or type(y) is Passive] + left.handles
    inputs = [*given.inputs, *around.inputs]
    tape = Tape(ends, inputs, keep=True)
    values = [_plain(y) for y in leaves]
    if strong_zeros_met() != met:
        return structure.unflatten(values), None
    positions = iter(tape.output_positions)
    where = [next(positions) if type(y) is Variable or type(y) is Passive else -1 for y in leaves]
    guards = [
        (position, value)
        for position, value in zip(positions, left.values, strict=True)
        if position >= 0
    ]
    made_of = [position for position in where if position >= 0]
    plan = _planned(tape, made_of + [position for position, _ in guards])
    numbers = itertools.count()
    results = [
        (next(numbers) if position >= 0 else -1, value)
        for position, value in zip(where, values, strict=True)
    ]
    around.write_back()
    first = len(given.inputs)
    read = [Spec("array", array, (), first + k) for k, array in enumerate(around.arrays)]
    if graph.layouts_met() != layouts:
        given.require_layouts()
        for spec, array in zip(read, around.arrays, strict=True):
            require_layout(spec, array)
    entry = Entry(
        plan,
        given.specs,
        given.keywords,
        around.places,
        read,
        around.reach.watched,
        around.reach.compared,
        [value for _, value in guards],
        _form(result, iter(results)) or Built(structure, results),
    )
    return structure.unflatten(values), entry


def _planned(tape: Tape, outputs: list[int]) -> Plan:
    return laid_out(*lower(tape.links(), tape.input_positions, outputs))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Leave cycles alone: what is made here lives until the plan is, and is looked at each time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _form(result: Any, leaves: Iterator[tuple[int, Any]]) -> Form | None:
    """Return how a result is made; None where a container is none of Python's own."""
    kind = type(result)
    if kind is tuple or kind is list or kind is dict:
        parts = [_form(x, leaves) for x in (result.values() if kind is dict else result)]
        if None in parts:
            return None
        keys = list(result) if kind is dict else None
        return Form(kind.__name__, keys, tuple(parts))  # type: ignore[arg-type]
    if result is None:
        return Form("fixed", None)
    if len(tree.flatten(result)[0]) != 1 or tree.flatten(result)[0][0] is not result:
        return None
    number, value = next(leaves)
    return Form("output", number) if number >= 0 else Form("fixed", value)


class Built:
    """How a result is made of a plan's arrays, in any container that `fastbp.tree` knows.

    Parameters
    ----------
    structure : TreeDef
    leaves : list of tuple
        For each leaf the number of the array, and what it is where that is -1.
    """

    def __init__(self, structure: tree.TreeDef, leaves: list[tuple[int, Any]]) -> None:
        self.structure, self.leaves = structure, leaves

    def __call__(self, arrays: list[Any]) -> Any:
        """Return the result."""
        found = [
            arrays[number] if number >= 0 else x.copy() if isinstance(x, np.ndarray) else x
            for number, x in self.leaves
        ]
        return self.structure.unflatten(found)


def _plain(y: Any) -> Any:
    """Return an output as the caller gets it: an array of its own, a scalar for a 0-d one."""
    if type(y) is Variable or type(y) is Passive:
        array = np.array(graph.array_of(y), order="C")
        return array if array.ndim else array[()]
    return y.copy() if isinstance(y, np.ndarray) else y


def _name_of(f: Any) -> str:
    return getattr(f, "__qualname__", None) or repr(f)


def _frozen(f: Any, left: list[tuple[str, str, int]]) -> FrozenValueError:
    what, file, line = left[0]
    advice = (
        "a branch on values needs numpy.where; a setting belongs to the static_argnums"
        if what == "bool"
        else "compute with arrays, or make the argument that it is from a static one "
        "(static_argnums); an array that the function finds around it counts as an argument: "
        "give it as a static one; to look at values, call the function without compile"
    )
    read = "decides a branch" if what == "bool" else "is read as a plain number or array"
    return FrozenValueError(
        f"compile: in {_name_of(f)} a value that depends on the arguments {read}, and would be the "
        f"same in all later calls: {file}, line {line}; {advice}"
    )


def _check(f: Any, left: list[Any], drawn: Any, around: Surroundings) -> None:
    name = _name_of(f)
    if left:
        raise _frozen(f, left)
    written = around.written()
    if written is not None:
        raise FrozenValueError(
            f"compile: {name} writes into an array of shape {written.shape} that it finds around "
            "it, which later calls would not do: write into a copy of it, or give it as an "
            "argument and return what it becomes"
        )
    changed = around.changed()
    if changed is not None:
        raise FrozenValueError(
            f"compile: {name} {changed} that it finds around it, which later calls would not do: "
            "give it as an argument, and return what it becomes"
        )
    if drawn != _random_state() or around.reach.drawn():
        raise DrawnError(
            f"compile: {name} draws random numbers, which would be the same in all later calls: "
            "draw them outside, and give the numbers, not a generator, as an argument"
        )


_RETURNED = (int, float, complex, str, bytes, np.generic, np.dtype, type, range, enum.Enum)


def _check_results(f: Any, leaves: list[Any]) -> None:
    for y in leaves:
        if type(y) is Variable or type(y) is Passive or isinstance(y, _RETURNED):
            continue
        if not isinstance(y, np.ndarray) or y.dtype.hasobject:
            what = (
                f"an array of {y.dtype}" if isinstance(y, np.ndarray) else f"a {type(y).__name__}"
            )
            raise FrozenValueError(
                f"compile: {_name_of(f)} returns {what}, which would be the same in all later "
                "calls: return arrays, numbers, and tuples, lists, dicts, named tuples and "
                "dataclasses of them"
            )


def _random_state() -> Any:
    # What a user's function may draw from, and no other tells it.
    with generator.held():
        state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return state["pos"], state["key"].tobytes(), random.getstate()


def _handle(x: Any) -> Any:
    """Return a handle on the value that `x` has now."""
    return graph.handle(x) if type(x) is Variable else graph.handle_of(x)


class Reads:
    """What is read as plain numbers while a function is recorded.

    What fastbp's own functions read decides how they compute: it becomes a guard of the plan. What
    the user's code reads would be frozen. Shapes are read without a word, so where values may have
    decided one, the array is a guard by its shape.

    Attributes
    ----------
    of_user : list
        What the user's code has read.
    handles, values : list
        The guards, and what they were; None: only its shape counts.
    """

    def __init__(self) -> None:
        self.of_user: list[tuple[str, str, int]] = []
        self.handles: list[Any] = []
        self.values: list[np.ndarray | None] = []

    def called(self, function: Any, operands: list[Any], result: Any) -> None:
        """Take note of a call without derivative."""
        if function is not None and passive.keeps_shape(function, operands):
            return
        for x in result if isinstance(result, tuple | list) else (result,):
            if type(x) is Passive or type(x) is Variable:
                self.values.append(None)
                self.handles.append(_handle(x))

    def read(self, what: str, handle: Any, file: str, line: int) -> None:
        """Take note of one."""
        name = sys._getframe(1).f_globals.get("__name__", "")
        if handle is None or not name.startswith("fastbp."):
            self.of_user.append((what, file, line))
        else:
            self.values.append(np.array(graph.array_of(handle), order="C"))
            self.handles.append(_handle(handle))
