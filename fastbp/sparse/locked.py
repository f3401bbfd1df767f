"""Constants that cannot depend on the input: arrays that are read-only before a function is called.

Only of these may a pattern for all inputs take zeros for zeros. That an array was there before the
call is not enough: the function may write into it what it computes from its input.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import types
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastbp._core.graph import Variable

__all__ = ["locked_arrays", "owner_of"]

MOST = 10_000  # objects to look at
LIBRARIES = {"builtins", "fastbp", "numpy", "scipy"}  # which keep no constants of users


def owner_of(array: np.ndarray) -> np.ndarray | None:
    """Return the array that owns the memory, if it and all views on the way are read-only."""
    x: Any = array
    while isinstance(x, np.ndarray):
        if x.flags.writeable:
            return None
        if x.base is None:
            return x if x.flags.owndata else None
        x = x.base
    return None


def locked_arrays(f: Any, args: tuple[Any, ...]) -> dict[int, np.ndarray]:
    """Return the owners of the read-only arrays that a function can reach, by their ids.

    Looked through: closures, defaults, the globals that the code names, attributes, containers.
    Arrays that share memory with arguments are left out. Holding the result keeps ids valid.
    """
    found: dict[int, np.ndarray] = {}
    seen: dict[int, Any] = {}
    stack = [f]
    while stack and len(seen) < MOST:
        x = stack.pop()
        if id(x) in seen or isinstance(x, (str, bytes, int, float, type, types.ModuleType)):
            continue
        seen[id(x)] = x
        if isinstance(x, np.ndarray):
            owner = owner_of(x)
            if owner is not None:
                found[id(owner)] = owner
        else:
            try:
                stack.extend(itertools.islice(_reached(x), MOST))
            except Exception:  # of an object of somebody else's: what it holds is not used
                continue
    arrays = [x for x in _leaves(args) if isinstance(x, np.ndarray)]
    return {
        key: owner
        for key, owner in found.items()
        if not any(np.may_share_memory(owner, x) for x in arrays)
    }


def _reached(x: Any) -> Iterable[Any]:
    if isinstance(x, (list, tuple, set, frozenset)):
        return x
    if isinstance(x, dict):
        return x.values()
    if isinstance(x, functools.partial):
        return [x.func, *x.args, *x.keywords.values()]
    if isinstance(x, types.MethodType):
        return [x.__func__, x.__self__]
    if isinstance(x, types.FunctionType):
        return _of_function(x)
    return [] if _library(type(x)) else _of_object(x)


def _of_object(x: Any) -> list[Any]:
    found = list(getattr(x, "__dict__", {}).values())
    for cls in type(x).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        names = (slots,) if isinstance(slots, str) else slots
        found += [getattr(x, name, None) for name in names]
        found += [vars(cls)[name] for name in ("__call__",) if name in vars(cls)]
    return found


def _of_function(f: types.FunctionType) -> list[Any]:
    found: list[Any] = [f.__defaults__, f.__kwdefaults__, f.__dict__]
    for cell in f.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            continue
    if _library(f):
        return found
    names = _names(f.__code__)
    for name in names & f.__globals__.keys():
        value = f.__globals__[name]
        if isinstance(value, types.ModuleType):
            found += [vars(value).get(inner) for inner in names]
        else:
            found.append(value)
    return found


def _library(x: Any) -> bool:
    return (getattr(x, "__module__", None) or "").partition(".")[0] in LIBRARIES


def _names(code: types.CodeType) -> set[str]:
    """Return the names that a function's code, or a function inside it, looks up."""
    names = set(code.co_names)
    for x in code.co_consts:
        if inspect.iscode(x):
            names |= _names(x)
    return names


def _leaves(x: Any) -> list[Any]:
    """Return what containers hold, at any depth."""
    found, stack = [], [x]
    while stack:
        x = stack.pop()
        if isinstance(x, (list, tuple)):
            stack.extend(x)
        elif isinstance(x, dict):
            stack.extend(x.values())
        else:
            found.append(x.value if type(x) is Variable else x)
    return found
