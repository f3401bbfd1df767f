"""What code can reach and somebody may change: watched, arrays by their elements.

From a function to its names, cells and attributes, from an object to its attributes and its class,
through containers, partials, wrappers, modules. What a plan has frozen is what was found there.
"""

from __future__ import annotations

import contextvars
import dis
import functools
import itertools
import random
import re
import sys
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.errors import FrozenValueError

__all__ = [
    "LENGTH", "Reach", "found_in", "functions_names", "global_names", "is_iterator", "is_library",
    "same",
]  # fmt: skip

_MOST = 1 << 14  # objects that are looked at
LENGTH, _CONTENT = object(), object()  # keys that are none of a container's own
_MAPPINGS = (dict, types.MappingProxyType)
_SEQUENCES = (list, deque)
_WHOLE = (set, frozenset, bytearray, weakref.ref, contextvars.ContextVar)
_WRAPPERS = (property, staticmethod, classmethod, functools.cached_property)
_PARTS = ("__func__", "__self__", "__wrapped__", "fget", "func", "args", "keywords")
_HOLDING = ("numpy", "scipy", "types", "argparse", "collections", "configparser")
_MAKING = ("__init__", "__new__", "__post_init__")
_HEAP = 1 << 9  # a type whose attributes can be assigned
_ATOMS = (type(None), int, float, complex, str, bytes, np.generic, np.dtype, np.ufunc, range)
_SLOTS = (types.WrapperDescriptorType, types.MethodDescriptorType, types.GetSetDescriptorType)


class Reach:
    """What was found, and whether that still holds.

    Attributes
    ----------
    watched : list
        As (container, key, object): what must be there, by identity or as `same` says.
    compared : list
        Arrays, as (array, copy).
    generators : list
        Generators of random numbers, as (function that returns its state, state).
    skipped : callable
        Says of a function that somebody else looks into it.
    home : str
        The module of the function that is compiled: its package is looked into where it is
        installed, as that of nobody else is.
    """

    def __init__(
        self, skipped: Callable[[Any], bool] = lambda f: False, home: str | None = None
    ) -> None:
        self._home = _root(home)
        self.watched: list[tuple[Any, Any, Any]] = []
        self.compared: list[tuple[np.ndarray, np.ndarray]] = []
        self.generators: list[tuple[Callable[[], Any], Any]] = []
        self.skipped = skipped
        self._names: set[str] = set()  # that the code which was found uses
        self._read: set[str] = set()  # those that do not only occur where objects are made
        self._later: list[tuple[Any, str, Any]] = []  # attributes of classes, if they are used
        self._seen: dict[int, Any] = {}
        self._iterators: list[tuple[Any, Any]] = []  # with the name of where they are
        self._places: set[tuple[int, Any]] = set()

    # -- places

    def place(self, container: Any, key: Any, x: Any) -> None:
        """Watch what is at a place, and look into it."""
        if (id(container), key) not in self._places:
            self._places.add((id(container), key))
            self.watched.append((container, key, x))
            if is_iterator(x):
                self._iterators.append((key, x))
            self.into(x)

    def length(self, container: Any) -> None:
        """Watch how many items there are."""
        self.watched.append((container, LENGTH, len(container)))

    def take(self, x: Any) -> bool:
        """Say whether an object is met for the first time."""
        if id(x) in self._seen:
            return False
        if len(self._seen) >= _MOST:
            raise FrozenValueError(
                f"compile: more than {_MOST} objects can be reached from the function, and what "
                "they are would be frozen: give what it computes with as arguments, or as arrays"
            )
        self._seen[id(x)] = x
        return True

    # -- what there is in an object

    def into(self, x: Any) -> None:
        """Look into an object."""
        if isinstance(x, _ATOMS) or isinstance(x, types.ModuleType) or not self.take(x):
            return
        if isinstance(x, np.ndarray):
            self._array(x)
        elif isinstance(x, types.FunctionType):
            if not self.skipped(x):
                self.function(x)
        elif isinstance(x, np.random.Generator):
            self._generator(lambda: x.bit_generator.state)
        elif isinstance(x, np.random.RandomState):
            self._generator(lambda: str(x.get_state()))
        elif isinstance(x, random.Random):
            self._generator(x.getstate)
        elif isinstance(x, types.CellType):
            self.place(x, "cell_contents", found_in(x, "cell_contents"))
        elif isinstance(x, type):
            self._class(x)
        else:
            self._object(x)

    def _object(self, x: Any) -> None:
        if isinstance(x, _WHOLE):
            content = found_in(x, _CONTENT)
            self.place(x, _CONTENT, content)
            for item in content if isinstance(x, set | frozenset) else ():
                self.into(item)
        elif isinstance(x, _MAPPINGS):
            self.length(x)
            for key, item in list(x.items()):
                self.place(x, key, item)
        elif isinstance(x, tuple):
            for item in x:
                self.into(item)
        elif isinstance(x, _SEQUENCES):
            self.length(x)
            for k, item in enumerate(list(x)):
                self.place(x, k, item)
        kind = type(x)
        if callable(x) or isinstance(x, _WRAPPERS):
            for name in _PARTS:
                part = getattr(x, name, None)
                for item in part.values() if name == "keywords" and part else (part,):
                    self.into(item)
        own = is_own(kind.__module__)
        if not own and is_library(kind.__module__) and not _holds(kind):
            return
        held = getattr(x, "__dict__", None)
        if type(held) is dict:
            if not own:
                self.length(held)
            for name, value in list(held.items()):
                if not own:
                    self.place(held, name, value)
                elif callable(value):  # what fastbp's objects note besides is not of the user
                    self.into(value)
        if own:
            return
        for base in kind.__mro__:
            for name in _slots(base):
                self.place(x, name, found_in(x, name))
        self.into(kind)

    def _array(self, x: np.ndarray) -> None:
        if x.dtype.hasobject:
            for k, item in enumerate(x.flat):
                self.place(x, k, item)
        else:
            self.compared.append((x, x.copy()))
        held = getattr(x, "__dict__", None)
        for name, value in list(held.items()) if held else ():
            self.place(held, name, value)

    def _generator(self, state: Callable[[], Any]) -> None:
        self.generators.append((state, state()))

    def _class(self, cls: type) -> None:
        for base in cls.__mro__:
            if base.__flags__ & _HEAP and not self._is_others(base.__module__):
                self._later += [
                    (vars(base), name, value)
                    for name, value in vars(base).items()
                    if not isinstance(value, _SLOTS)
                ]

    # -- code

    def function(self, f: types.FunctionType) -> None:
        """Look at what a function finds around it."""
        self.attributes_of(f)
        for cell in f.__closure__ or ():
            self.into(cell)
        if not is_library(f.__globals__.get("__name__")) and self._is_others(
            f.__globals__.get("__name__")
        ):
            return
        self.use(f)
        if is_library(f.__globals__.get("__name__")):
            return
        for name in global_names(f):
            if name in f.__globals__:
                self.place(f.__globals__, name, f.__globals__[name])
        self.by_name(f)
        for holder in ("__defaults__", "__kwdefaults__"):
            if getattr(f, holder):
                self.place(f, holder, getattr(f, holder))

    def by_name(self, f: types.FunctionType) -> None:
        """Look at names in strings, where the code reads ``globals()["name"]``."""
        if "globals" in functions_names(f):
            for name in _strings(f):
                if name in f.__globals__:
                    self.place(f.__globals__, name, f.__globals__[name])

    def attributes_of(self, f: Any) -> None:
        """Look at attributes that were given to a function, or a partial."""
        for name, value in list(vars(f).items()):
            self.place(vars(f), name, value)

    def use(self, f: types.FunctionType) -> set[str]:
        """Take note of the names in the code of a function; return them. Look into modules."""
        self.watched.append((f, "__code__", f.__code__))
        names = functions_names(f)
        self._names |= names
        if f.__name__ not in _MAKING:
            self._read |= names
        if is_library(f.__globals__.get("__name__")):
            return names
        self._names |= _strings(f)
        for cell in f.__closure__ or ():
            held = found_in(cell, "cell_contents")
            if isinstance(held, types.ModuleType):
                self._module(held, names)
        package = f.__globals__.get("__package__") or ""
        for name in names:
            for module in (
                f.__globals__.get(name),
                sys.modules.get(name),
                sys.modules.get(f"{package}.{name}"),
            ):
                if isinstance(module, types.ModuleType):
                    self._module(module, names)
        return names

    def _module(self, module: types.ModuleType, names: set[str]) -> None:
        if is_library(module.__name__):
            return
        for name in names & vars(module).keys():
            value = vars(module)[name]
            if (id(vars(module)), name) not in self._places:
                self.place(vars(module), name, value)
                if isinstance(value, types.ModuleType):
                    self._module(value, names)

    def finish(self) -> None:
        """Look at those attributes of classes that the code may use, until there are no more."""
        found = True
        while found:
            found, waiting, self._later = False, self._later, []
            for item in waiting:
                vars_of, name, value = item
                if name in self._names or (name.startswith("__") and callable(value)):
                    self.place(vars_of, name, value)
                    found = True
                else:
                    self._later.append(item)
        for key, x in self._iterators:
            if key == "cell_contents" or key in self._read:
                self.refuse(x)

    def refuse(self, x: Any) -> None:
        """Refuse an iterator, of which the function may take the next element."""
        raise FrozenValueError(
            f"compile: the function finds, or is given, a {type(x).__name__}, and what it takes "
            "from such an iterator would be the same in all later calls: take the elements "
            "outside, and give them as arguments; or let it have a list"
        )

    def _is_others(self, name: Any) -> bool:
        """Say whether a module is of a library, or of an installed package of somebody else."""
        root = _root(name)
        return is_library(root) or (root != self._home and _is_installed(root))

    def drawn(self) -> bool:
        """Say whether one of the generators has drawn numbers."""
        return any(now() != state for now, state in self.generators)


def is_iterator(x: Any) -> bool:
    """Say whether an object is an iterator of Python's own, of which nothing shows where it is."""
    kind = type(x)
    return kind.__module__ in ("builtins", "itertools") and hasattr(kind, "__next__")


def _holds(kind: type) -> bool:
    """Say whether a type of a library is one whose objects hold what a user gives them."""
    return kind is threading.local or kind.__module__.partition(".")[0] in _HOLDING


def is_own(name: str | None) -> bool:
    """Say whether a module is fastbp's."""
    return (name or "").partition(".")[0] == "fastbp"


def is_library(name: Any) -> bool:
    """Say whether a module has no names that a user changes."""
    root = _root(name)
    return root in ("fastbp", "numpy", "scipy", "builtins") or (
        root in sys.stdlib_module_names and root != "__main__"
    )


def _root(name: Any) -> str:
    return str(name or "").partition(".")[0]


@functools.cache
def _is_installed(root: str) -> bool:
    """Say whether a package lies where installers put them."""
    file = getattr(sys.modules.get(root), "__file__", None) or ""
    return any(part in ("site-packages", "dist-packages") for part in Path(file).parts)


def functions_names(f: types.FunctionType) -> set[str]:
    """Return the names of globals and attributes in the code of a function."""
    return {name for code in _codes(f.__code__) for name in code.co_names}


def global_names(f: types.FunctionType) -> set[str]:
    """Return the names of globals alone: an attribute may have the name of one."""
    names = functions_names(f) & f.__globals__.keys()
    if not names:
        return names
    steps = itertools.chain.from_iterable(map(dis.get_instructions, _codes(f.__code__)))
    return {x.argval for x in steps if _NAMING.search(x.opname) and x.argval in names}


# Of these instructions arguments are names that stand, or may stand, for globals.
_NAMING = re.compile("GLOBAL|^(LOAD|STORE|DELETE)_NAME$")


def _strings(f: types.FunctionType) -> set[str]:
    return {x for code in _codes(f.__code__) for x in code.co_consts if isinstance(x, str)}


def found_in(container: Any, key: Any) -> Any:
    """Return what is at a place, or a new object where there is nothing."""
    try:
        if key is LENGTH:
            return len(container)
        if key is _CONTENT:
            return _content(container)
        for kind in (dict, list, tuple):
            if isinstance(container, kind):
                return kind.__getitem__(container, key)  # type: ignore[index]
        if isinstance(container, types.MappingProxyType | deque):
            return container[key]
        if isinstance(container, np.ndarray):
            return container.flat[key]
        return getattr(container, key)
    except (KeyError, IndexError, ValueError, AttributeError):
        return object()


def _content(x: Any) -> Any:
    if isinstance(x, set | frozenset):
        return frozenset(x)
    if isinstance(x, bytearray):
        return bytes(x)
    return x.get(None) if isinstance(x, contextvars.ContextVar) else x()


def same(x: Any, y: Any) -> bool:
    """Say whether a number, string or set is as good as the one that was there."""
    if type(x) is not type(y):
        return False
    if isinstance(x, frozenset):
        return x == y and repr(x) == repr(y)
    return isinstance(x, int | float | complex | str | bytes | np.generic) and repr(x) == repr(y)


def _slots(cls: type) -> tuple[str, ...]:
    """Return the names of a class's own slots, as they are stored."""
    found = cls.__dict__.get("__slots__", ())
    names = (found,) if isinstance(found, str) else tuple(found)
    own = cls.__name__.lstrip("_")
    return tuple(
        f"_{own}{name}" if name.startswith("__") and not name.endswith("__") else name
        for name in names
        if name not in ("__dict__", "__weakref__")
    )


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for x in code.co_consts:
        if isinstance(x, types.CodeType):
            yield from _codes(x)
