"""What a function reads beside its arguments: arrays become inputs, all else is watched.

A twin of the function (`fastbp.unmodified`) runs with recorded values in the place of arrays that
it finds in closures, global names, defaults: what is computed from them is computed again in every
call, from what they are then. Numbers and other objects found there are frozen into a plan; if
another one stands in their place, the plan is for something else. Arrays in attributes of objects
are compared by value.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastbp._core import graph
from fastbp.derived import Derived
from fastbp.unmodified import Twins, function_in

__all__ = ["Surroundings"]

_CONTAINERS = (dict, list, tuple)
_MOST = 4096  # objects that are looked at
_DEPTH = 4  # of objects in attributes


class Surroundings:
    """What a function finds when it is recorded, and whether that still holds.

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
    watched : list
        Other things, as (container, key, object).
    compared : list
        Arrays of objects, as (array, copy).
    """

    def __init__(self, f: Any) -> None:
        self.places: list[tuple[Any, Any]] = []
        self.arrays: list[np.ndarray] = []
        self.inputs: list[Any] = []
        self.watched: list[tuple[Any, Any, Any]] = []
        self.compared: list[tuple[np.ndarray, np.ndarray]] = []
        self.generators: list[tuple[Any, Any]] = []
        self._known: dict[int, Any] = {}
        self._seen: set[int] = set()
        self.function = f
        self._twins: _Captured | None = None
        if function_in(f) is not None:
            self._twins = _Captured(f, self)
            self.function = self._twins.ready(f)
            for made in list(self._twins.made.values()):
                self._look(made.original())
        for part in _parts(f):
            if isinstance(part, types.MethodType):
                self._attributes(part.__self__, 0)
            elif not isinstance(part, types.FunctionType | functools.partial):
                self._attributes(part, 0)

    def input_for(self, array: np.ndarray) -> Any:
        """Return the recorded value that stands for an array."""
        if id(array) not in self._known:
            self._known[id(array)] = graph.passive_input(array)
        return self._known[id(array)]

    # -- where things are

    def _look(self, f: types.FunctionType | None) -> None:
        if f is None:
            return
        for cell in f.__closure__ or ():
            self._found(cell, "cell_contents")
        for name in _names(f):
            if name in f.__globals__:
                self._found(f.__globals__, name)
        self._modules(f)
        for holder in ("__defaults__", "__kwdefaults__"):
            held = getattr(f, holder)
            if held:
                self.watched.append((f, holder, held))
                for key in held if isinstance(held, dict) else range(len(held)):
                    self._found(held, key)

    def _others(self, f: types.FunctionType) -> None:
        """Watch what a function without a twin finds: its arrays by value."""
        if id(f) in self._seen or len(self._seen) >= _MOST or _is_library(f.__module__):
            return
        self._seen.add(id(f))
        for cell in f.__closure__ or ():
            self._held(cell, "cell_contents", found_in(cell, "cell_contents"), 0)
        for name in _names(f):
            if name in f.__globals__:
                self._held(f.__globals__, name, f.__globals__[name], 0)
        for holder in ("__defaults__", "__kwdefaults__"):
            self._held(f, holder, getattr(f, holder), 0)
        self._modules(f)

    def _modules(self, f: types.FunctionType) -> None:
        names = _names(f)
        for name in names:
            module = f.__globals__.get(name)
            if isinstance(module, types.ModuleType) and not _is_library(module.__name__):
                for attribute in names & vars(module).keys():
                    self._held(vars(module), attribute, vars(module)[attribute], 0)

    def _found(self, container: Any, key: Any, depth: int = 0) -> None:
        x = found_in(container, key)
        if isinstance(x, types.ModuleType):
            return
        if type(x) is np.ndarray and x.dtype.kind in "fciub":
            self.places.append((container, key))
            self.arrays.append(x)
            self.inputs.append(self.input_for(x))
            return
        self.watched.append((container, key, x))
        if type(x) in _CONTAINERS:
            if id(x) not in self._seen and len(self._seen) < _MOST:
                self._seen.add(id(x))
                if isinstance(x, dict | list):
                    self.watched.append((x, _LENGTH, len(x)))
                for k in x if isinstance(x, dict) else range(len(x)):
                    self._found(x, k)
        else:
            self._attributes(x, depth)

    def _attributes(self, x: Any, depth: int) -> None:
        """Watch what an object holds: its arrays by value."""
        if isinstance(x, np.random.Generator):
            self.generators.append((x, x.bit_generator.state))
            return
        if type(x) is np.ndarray:
            self.compared.append((x, x.copy()))
            return
        if type(x) is types.FunctionType:
            if self._twins is None or x not in self._twins.made:
                self._others(x)
            return
        held = getattr(x, "__dict__", None)
        if (
            type(held) is not dict
            or isinstance(x, type | types.ModuleType)
            or _is_library(type(x).__module__)
            or id(x) in self._seen
            or depth >= _DEPTH
            or len(self._seen) >= _MOST
        ):
            return
        self._seen.add(id(x))
        for name, value in held.items():
            self._held(held, name, value, depth)

    def _held(self, container: Any, key: Any, value: Any, depth: int) -> None:
        self.watched.append((container, key, value))
        if type(value) in _CONTAINERS and len(self._seen) < _MOST:
            if id(value) not in self._seen:
                self._seen.add(id(value))
                if not isinstance(value, tuple):
                    self.watched.append((value, _LENGTH, len(value)))
                pairs = value.items() if isinstance(value, dict) else enumerate(value)
                for k, item in list(pairs):
                    self._held(value, k, item, depth)
        else:
            self._attributes(value, depth + 1)

    # -- in a later call

    def watch(self, f: Any) -> None:
        """Watch what a function that is an argument finds around it."""
        for part in _parts(f):
            self._attributes(part.__self__ if isinstance(part, types.MethodType) else part, 0)

    def random(self) -> bool:
        """Say whether one of the generators found has drawn numbers."""
        return any(x.bit_generator.state != state for x, state in self.generators)


_LENGTH = object()


def _is_library(name: str | None) -> bool:
    """Say whether a module has no arrays that a user changes."""
    root = (name or "").partition(".")[0]
    return root in ("fastbp", "numpy", "scipy", "builtins") or root in sys.stdlib_module_names


def _names(f: types.FunctionType) -> set[str]:
    return {name for code in _codes(f.__code__) for name in code.co_names}


def found_in(container: Any, key: Any) -> Any:
    """Return what is at a place, or a new object where there is nothing."""
    try:
        if key is _LENGTH:
            return len(container)
        if isinstance(container, _CONTAINERS):
            return container[key]
        return getattr(container, key)
    except (KeyError, IndexError, ValueError, AttributeError):
        return object()


def same(x: Any, y: Any) -> bool:
    """Say whether a number or string is as good as the one that was there."""
    return type(x) is type(y) and isinstance(x, int | float | complex | str) and repr(x) == repr(y)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for x in code.co_consts:
        if isinstance(x, types.CodeType):
            yield from _codes(x)


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
        super().__init__(f, ())

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
            return {key: self.counterpart(value) for key, value in x.items()}
        return type(x)([self.counterpart(value) for value in x])


def _has_array(x: Any, depth: int) -> bool:
    if type(x) is np.ndarray:
        return True
    if type(x) not in _CONTAINERS or depth > _DEPTH:
        return False
    return any(_has_array(item, depth + 1) for item in (x.values() if type(x) is dict else x))
