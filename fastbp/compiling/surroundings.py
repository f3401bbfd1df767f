"""What a function reads beside its arguments: arrays become inputs, all else is watched.

A twin of the function (`fastbp.unmodified`) runs with recorded values in the place of arrays that
it finds in closures, global names, defaults, partials: what is computed from them is computed again
in every call, from what they are then. Numbers and other objects found there are frozen into a
plan; if another one stands in their place, the plan is for something else. Arrays in attributes of
objects are compared by value (`reach`).
"""

from __future__ import annotations

import dis
import functools
import operator
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastbp._core import graph
from fastbp.compiling.reach import Reach, found_in, global_names, is_iterator, is_library
from fastbp.derived import Derived
from fastbp.unmodified import Twins, codes, function_in

__all__ = ["Surroundings"]

_CONTAINERS = (dict, list, tuple)
_DEPTH = 4  # of containers


class Surroundings:
    """What a function finds when it is recorded.

    Attributes
    ----------
    function
        What to record: the function with recorded values in place of its arrays.
    places : list
        Where the arrays are: pairs (container, key), as `found_in` reads them.
    arrays : list of ndarray
        What was there.
    inputs : list of Passive
        The same, recorded.
    reach : Reach
        All else that it finds.
    """

    def __init__(self, f: Any) -> None:
        self.places: list[tuple[Any, Any]] = []
        self.arrays: list[np.ndarray] = []
        self.inputs: list[Any] = []
        self.reach = Reach(self._has_twin, getattr(function_in(f), "__module__", None))
        self._known: dict[int, tuple[np.ndarray, Any, int]] = {}
        self.function = f
        self._twins: _Captured | None = None
        if function_in(f) is not None:
            self._twins = _Captured(f, self)
            self.function = self._twins.ready(f)
            for whole, _ in list(self._twins.rebuilt.values()):
                self._in_partial(whole)
            for made in list(self._twins.made.values()):
                self._look(made.original())
        self.watch(f)

    def _has_twin(self, f: types.FunctionType) -> bool:
        return self._twins is not None and f in self._twins.made

    def input_for(self, array: np.ndarray) -> Any:
        """Return the recorded value that stands for an array."""
        if id(array) not in self._known:
            made = graph.passive_input(array)
            self._known[id(array)] = array, made, _address(made)
        return self._known[id(array)][1]

    def written(self) -> np.ndarray | None:
        """Return an array that the function has written into, in its recorded form."""
        for array, made, address in self._known.values():
            if _address(made) != address:
                return array
        return None

    def changed(self) -> str | None:
        """Return what the function did to what stands for arrays around it, if it did anything."""
        return self._twins.changed() if self._twins is not None else None

    def write_back(self) -> None:
        """Assign what the function has assigned by ``global``; watch what was there before."""
        if self._twins is None:
            return
        for names, key, _, _ in self._twins.assigned():
            self.reach.watched.append((names, key, found_in(names, key)))
        self._twins.write_back()

    # -- where things are

    def _look(self, f: types.FunctionType | None) -> None:
        if f is None:
            return
        for cell in f.__closure__ or ():
            self._found(cell, "cell_contents")
        self.reach.use(f)
        for name in global_names(f):
            if name in f.__globals__:
                self._found(f.__globals__, name)
        self.reach.by_name(f)
        self.reach.attributes_of(f)
        for holder in ("__defaults__", "__kwdefaults__"):
            held = getattr(f, holder)
            if held:
                self.reach.watched.append((f, holder, held))
                for key in held if isinstance(held, dict) else range(len(held)):
                    self._found(held, key)

    def _in_partial(self, x: Any) -> None:
        if not isinstance(x, functools.partial):
            return
        if not isinstance(x, Derived):
            for part in ("func", "args", "keywords"):  # which __setstate__ replaces
                self.reach.watched.append((x, part, getattr(x, part)))
            self.reach.take(x)
            self.reach.into(x.func)
            self.reach.attributes_of(x)
        held = x._made if isinstance(x, Derived) else x
        self.reach.length(held.keywords)
        for container in (held.args, held.keywords):
            self.reach.take(container)
            for key in list(container) if isinstance(container, dict) else range(len(container)):
                self._found(container, key)

    def _found(self, container: Any, key: Any) -> None:
        x = found_in(container, key)
        if isinstance(x, types.ModuleType) and is_library(x.__name__):
            return
        if type(x) is np.ndarray and x.dtype.kind in "fciub":
            self.places.append((container, key))
            self.arrays.append(x)
            self.inputs.append(self.input_for(x))
            return
        if is_iterator(x):
            self.reach.refuse(x)
        if type(x) not in _CONTAINERS:
            if type(container) is tuple:
                self.reach.into(x)
            else:
                self.reach.place(container, key, x)
            return
        if type(container) is not tuple:
            self.reach.watched.append((container, key, x))
        if self.reach.take(x):
            if isinstance(x, dict | list):
                self.reach.length(x)
            for k in list(x) if isinstance(x, dict) else range(len(x)):
                self._found(x, k)

    # -- what arguments are

    def watch(self, x: Any) -> None:
        """Watch what a function, or an argument that is no array, finds around it."""
        for part in _parts(x):
            if is_iterator(part):
                self.reach.refuse(part)
            if type(part) is not np.ndarray:  # it is looked at with the partial that holds it
                self.reach.into(part)


def _address(x: Any) -> int:
    # A value that is written into gets memory of its own.
    address: int = graph.array_of(x).__array_interface__["data"][0]
    return address


def _parts(f: Any) -> Iterator[Any]:
    """Yield what partials, methods and derived functions are made of."""
    yield f
    if isinstance(f, Derived):
        yield from _parts(f.__wrapped__)
    elif isinstance(f, functools.partial):
        for part in (f.func, *f.args, *f.keywords.values()):
            yield from _parts(part)


class _Captured(Twins):
    """Twins of functions in which recorded values stand for arrays."""

    def __init__(self, f: Any, around: Surroundings) -> None:
        self.around = around
        self.copies: list[tuple[Any, Any]] = []  # of containers, with what was in them
        super().__init__(f, ())

    def changed(self) -> str | None:
        """Return what became of an array's place, or of a container that has arrays."""
        for _, _, name, given in self.assigned():
            if type(given) is graph.Passive:
                return f"assigns the variable {name!r}{self._line_of(name)}, an array"
        for made, content in self.copies:
            if _changed(made, content):
                return f"changes a {type(made).__name__} of arrays"
        return None

    def _line_of(self, name: str) -> str:
        for made in list(self.made.values()):
            for code in codes(made.function.__code__):
                for x in dis.get_instructions(code):
                    if x.argval == name and x.opname.startswith(("STORE_", "DELETE_")):
                        line = x.positions and x.positions.lineno
                        return f" ({code.co_filename}, line {line})"
        return ""

    def replaces(self, x: Any) -> bool:
        return type(x) is np.ndarray or type(x) in _CONTAINERS or super().replaces(x)

    def counterpart(self, x: Any) -> Any:
        if type(x) is np.ndarray:
            return self.around.input_for(x) if x.dtype.kind in "fciub" else x
        if type(x) in _CONTAINERS and _has_array(x, 0):
            return self._container(x)
        return super().counterpart(x)

    def _container(self, x: Any) -> Any:
        if isinstance(x, dict):
            made: Any = {key: self.counterpart(value) for key, value in x.items()}
        else:
            made = type(x)([self.counterpart(value) for value in x])
        self.copies.append((made, type(x)(made)))
        return made


def _changed(made: Any, content: Any) -> bool:
    if type(made) is dict:
        return list(made) != list(content) or _changed([*made.values()], [*content.values()])
    return len(made) != len(content) or any(map(operator.is_not, made, content))


def _has_array(x: Any, depth: int) -> bool:
    if type(x) is np.ndarray:
        return True
    if type(x) not in _CONTAINERS or depth > _DEPTH:
        return False
    return any(_has_array(item, depth + 1) for item in (x.values() if type(x) is dict else x))
