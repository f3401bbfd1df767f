"""Functions made from functions, as transforms return them; they pickle by what they are made from.

A nested function cannot be sent to another process; an object that says which call made it can.
"""

from __future__ import annotations

import functools
import operator
import sys
import types
from collections.abc import Callable
from typing import Any

__all__ = ["Derived", "derived", "lead_to", "named", "of_record"]


class Derived(functools.partial):
    """A function with its first arguments bound; made by `derived`.

    As a `functools.partial` it adds no frame of Python to a call.
    """

    __slots__ = ("_made",)
    _made: functools.partial[Any]  # the call that makes the same function
    __name__: str
    __qualname__: str
    __wrapped__: Any

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None or isinstance(self.__wrapped__, staticmethod):
            return self
        return _Method(self, instance)

    def __reduce__(self) -> Any:
        for part in (*self._made.args, *self._made.keywords.values()):
            lead_to(part)
        return operator.call, (self._made,)

    def __repr__(self) -> str:
        name = getattr(self, "__name__", None) or self.func.__name__
        return f"<function {name}>"


class _Method(functools.partial):
    # A derived function as a method. Python's own pickle by the function's name, which is no
    # attribute of the object here.
    __slots__ = ()

    def __reduce__(self) -> Any:
        return _Method, (self.func, *self.args)

    @property
    def __self__(self) -> Any:
        return self.args[0]

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self.func.__doc__

    def __getattr__(self, name: str) -> Any:
        if name == "__wrapped__":  # that has a parameter more
            raise AttributeError(name)
        return getattr(self.func, name)

    def __repr__(self) -> str:
        return f"<method {self.__name__} of {self.__self__!r}>"


class _OfRecord(Derived):
    """A function that reads the record of one run: it stays where that is."""

    __slots__ = ()

    def __reduce__(self) -> Any:
        raise TypeError(
            f"{self.__name__}: it holds the record of one run and cannot be pickled; send the "
            f"function and its primals, and call {self._made()} there"
        )

    def __copy__(self) -> Derived:
        return self

    def __deepcopy__(self, memo: Any) -> Derived:
        return self


def derived(
    call: Callable[..., Any],
    bound: tuple[Any, ...],
    maker: Callable[..., Any],
    *args: Any,
    **options: Any,
) -> Derived:
    """Return `call` with its first arguments bound, which pickles as a call of its maker.

    Parameters
    ----------
    call : callable
        A function of a module; its first parameters are positional only.
    bound : tuple
        Their values.
    maker : callable
        ``maker(*args, **options)`` makes the same function, in another process, too.
    """
    g = Derived(call, *bound)
    g._made = functools.partial(maker, *args, **options)
    return g


def of_record(call: Callable[..., Any], instead: str) -> Derived:
    """Return a function that reads a record; to pickle it raises TypeError: call `instead`."""
    g = _OfRecord(call)
    g._made = functools.partial(str, instead)
    functools.update_wrapper(g, call)
    return g


def named(g: Derived, name: str, f: Any) -> Derived:
    """Give a derived function a name and a docstring that lead back to `f`, and its signature."""
    of = f if hasattr(f, "__name__") else getattr(f, "func", f)  # func of a partial
    inner = getattr(of, "__name__", type(f).__name__)
    g.__name__ = g.__qualname__ = f"{name}({inner})"
    g.__doc__ = f"fastbp.{name} of {inner}.\n\n{getattr(f, '__doc__', None) or ''}"
    g.__module__ = getattr(f, "__module__", None) or __name__
    g.__wrapped__ = f
    return g


def lead_to(f: Any) -> None:
    """Let a function that a decorator hides be found by name: ``loss`` as ``loss.__wrapped__``."""
    if type(f) is not types.FunctionType:
        return
    path = f.__qualname__
    try:
        found = operator.attrgetter(path)(sys.modules[f.__module__])
        while found is not f:
            found, path = found.__wrapped__, f"{path}.__wrapped__"
    except (AttributeError, KeyError):
        return  # it has no name that leads anywhere: pickle says so, or sends it by value
    f.__qualname__ = path
