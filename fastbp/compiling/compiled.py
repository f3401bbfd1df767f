"""`compile`: a function, recorded once for each structure of its arguments, then replayed."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp import arguments, tree
from fastbp._core import caller
from fastbp._core.caller import MISSED, Bound, Caller, Entry
from fastbp._core.graph import Passive, Variable
from fastbp.compiling.reach import LENGTH, found_in, same
from fastbp.compiling.recording import recorded
from fastbp.errors import FrozenValueError
from fastbp.unmodified import function_in, unmodified

__all__ = ["Compiled", "compile"]

MOST_PLANS = 64

caller.bind("found_in", found_in)
caller.bind("same", same)
caller.set_length_key(LENGTH)


def compile(
    f: Callable[..., Any], *, static_argnums: int | Sequence[int] = (), verify: int = 0
) -> Compiled:
    """Return a function that computes the same without running the Python code of `f` each time.

    The first call with arguments of some structure (containers, shapes, dtypes, values of what is
    no array) runs `f`, records it, and makes a plan of what was computed: instructions over
    memory. Later calls with such arguments run the plan.

    Parameters
    ----------
    f : callable
        Takes and returns arrays, numbers, and containers of them; its results follow from its
        arguments and from the arrays around it. Derivatives of it are such functions, too:
        ``compile(fastbp.grad(loss))``.
    static_argnums : int or sequence of int
        Positional arguments whose values are part of the structure, arrays too: `f` gets them as
        they are. Integers, strings and all else that is no array or float are so anyway.
    verify : int
        Call `f` as well in every k-th call, and compare: to find what a plan has frozen. 0: never.

    Returns
    -------
    Compiled
        A callable. What it returns are new arrays, and where a plan cannot be sure of a result
        (what a zero cotangent means that meets an infinite slope) it calls `f`.

    Raises
    ------
    FrozenValueError
        When it is called, if `f` reads values as plain numbers: by ``if``, ``float()``,
        ``.item()``, ``.value``, as a number of steps, or by code that takes no recorded values.
        Such a value, and what was decided by it, would be the same in all later calls. So would
        random numbers.

    Notes
    -----
    Arrays that `f` finds in enclosing functions, global names and defaults are read in every call,
    with the elements that they have then. All else that can be reached is compared with what it
    was, arrays by their elements; if something else is there, `f` is recorded again. Writing into
    an argument changes no array of the caller's; into an array around `f` it is refused.
    What `f` does beside computing (printing, appending to a list) is done when it is recorded
    only. Warnings of floating-point errors are not given by a plan.

    Where a function of fastbp's decides by values how to compute, they are compared in every call;
    if they differ, `f` itself is called.

    A Python float is an input of float64; where an argument is of single precision, it is
    part of the structure, as NumPy rounds it to that.

    Compiled functions may be called in any number of threads, and by functions that are
    differentiated: there the code of `f` runs.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> slope = bp.compile(bp.grad(lambda x: np.sum(np.sin(x) * x)))
    >>> slope(np.array([0.0, 1.0]))
    array([0.        , 1.38177329])
    >>> slope(np.array([0.0, 2.0]))
    array([0.        , 0.07700375])
    """
    arguments.check_function("compile", f)
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    if not all(isinstance(k, int) and not isinstance(k, bool) and k >= 0 for k in numbers):
        raise TypeError(
            f"compile: static_argnums must be numbers of arguments, not {static_argnums!r}"
        )
    if not isinstance(verify, int) or verify < 0:
        raise ValueError(f"compile: verify must be a number of calls, or 0, not {verify!r}")
    return Compiled(f, numbers, verify)


class Compiled(Caller):
    """A function with plans for its calls; made by `compile`."""

    __wrapped__: Callable[..., Any]

    def __init__(self, f: Callable[..., Any], static: tuple[int, ...], verify: int) -> None:
        functools.update_wrapper(self, f, updated=())
        self.static, self.verify = static, verify
        self._calls = 0
        self._reasons: list[str] = []

    def __reduce__(self) -> Any:
        return Compiled, (self.__wrapped__, self.static, self.verify)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {getattr(self, '__qualname__', repr(self.__wrapped__))}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns."""
        found = super().__call__(*args, **kwargs)
        self._calls += 1
        if self._calls % self.verify == 0 and not _any_recorded(args, kwargs):
            _compare(found, self._eager(*args, **kwargs), self)
        return found

    def __new__(cls, f: Any = None, static: Any = (), verify: int = 0) -> Any:  # noqa: D102
        # Without `verify` a call goes straight to the core.
        return super().__new__(_Fast if cls is Compiled and not verify else cls)

    def stats(self) -> dict[str, Any]:
        """Return how many plans there are, and why the function was recorded each time."""
        return {"plans": len(self.entries), "recorded": list(self._reasons)}

    def bind(self, *args: Any, out: Any = None, **kwargs: Any) -> Bound:
        """Return a function without arguments that reads these arrays and writes the same results.

        Parameters
        ----------
        *args, **kwargs
            As the function takes them. Arrays must be in C order: they are read in every call, as
            they are then. Numbers stay what they are.
        out : array, or container of arrays, optional
            Where results go: arrays in C order, in the containers in which the function returns
            them. New ones by default. They may be arguments: these are written when all is
            computed.

        Returns
        -------
        callable
            It returns the same arrays each time; a number is an array of no axes. There are no
            checks in front of the instructions, and one thread may call it at a time.

        Raises
        ------
        StrongZeroError
            When it is called, where the function itself must be called: see `compile`.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> x = np.array([1.0, 2.0])
        >>> step = bp.compile(bp.grad(lambda x: np.sum(x**3))).bind(x)
        >>> step()
        array([ 3., 12.])
        >>> x[:] = 1.0
        >>> step()
        array([3., 3.])
        """
        if _any_recorded(args, kwargs):
            raise TypeError("bind: the arguments must be plain arrays and numbers")
        for x in tree.flatten((args, kwargs))[0]:
            if isinstance(x, np.ndarray) and not x.flags.carray:
                raise ValueError("bind: arrays must be in C order and writable")
        entry = self._entry(args, kwargs)
        made = entry.plan.empty()
        n = len(made) - entry.n_guards
        if out is not None:
            places = [_Place() for _ in range(n)]
            given = _given_for(out, entry.built(list(places)), places)
            fitting = all(
                isinstance(x, np.ndarray)
                and x.shape == y.shape
                and x.dtype == y.dtype
                and x.flags.carray
                for x, y in zip(given, made, strict=False)
            )
            if not fitting:
                like = ", ".join(f"{y.dtype}{list(y.shape)}" for y in made[:n])
                raise ValueError(f"bind: out must be writable arrays in C order, like {like}")
            read = [*tree.flatten((args, kwargs))[0], *entry.found()]
            copied = _apart(given, [x for x in read if isinstance(x, np.ndarray)])
            made[:n] = [own if x is None else x for own, x in zip(made, copied, strict=False)]
            moved = [(own, x) for own, x in zip(made, given, strict=False) if own is not x]
            return Bound(entry, args, kwargs, made, entry.built(given), moved)
        return Bound(entry, args, kwargs, made, entry.built(made[:n]), [])

    def _reason(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        reasons = [entry.reason(args, kwargs) for entry in reversed(self.entries)]
        others = [text for text in reasons if text not in (None, "other arguments")]
        return others[0] or "" if others else "other arguments" if reasons else "first call"

    def explain(self) -> str:
        """Return what the plans do, one line for each instruction."""
        return "\n\n".join(_explained(k, entry.plan) for k, entry in enumerate(self.entries))

    def _entry(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Entry:
        for entry in self.entries:
            if entry.call(args, kwargs) is not MISSED:
                return entry
        before = len(self.entries)
        self.miss(args, kwargs)
        if len(self.entries) == before:
            raise ValueError("bind: there is no plan for these arguments, see stats()")
        return self.entries[-1]

    # -- what the core calls

    def failed(self, error: Exception, args: Any, kwargs: Any) -> Any:
        """Call the function as it is: a plan could not tell the result."""
        return self._eager(*args, **kwargs)

    @functools.cached_property
    def _eager(self) -> Callable[..., Any]:
        # As it was recorded: with arrays of fastbp.numpy where a derivative is taken.
        f = self.__wrapped__
        return f if function_in(f) is None else unmodified(f)

    def miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Record the function for these arguments."""
        if _any_recorded(args, kwargs):
            return self.__wrapped__(*args, **kwargs)
        result, entry = recorded(self.__wrapped__, args, kwargs, self.static)
        self._reasons.append(self._reason(args, kwargs))
        if entry is not None:
            if len(self.entries) >= MOST_PLANS:
                self.clear()
            self.add(entry)
            return result
        self._reasons[-1] += ", not kept: a zero cotangent met a slope that is not finite"
        # What it means depends on where the zero is from, which this record has not kept.
        return self.__wrapped__(*args, **kwargs)


class _Fast(Compiled):
    __call__ = Caller.__call__

    def __reduce__(self) -> Any:
        return Compiled, (self.__wrapped__, self.static, self.verify)


class _Place:
    """Stands for an output of a plan in a result."""


def _given_for(out: Any, result: Any, places: list[_Place]) -> list[Any]:
    """Return what is given for the outputs of a plan: in the result's containers, or a flat list.

    What else is in the result is the same in each call.
    """
    if isinstance(out, tuple | list) and len(out) == len(places):
        if all(isinstance(x, np.ndarray) for x in out):
            return list(out)
    leaves, structure = tree.flatten(result)
    given = {id(x): y for x, y in zip(leaves, structure.leaves_of(out, "bind: out"), strict=True)}
    return [given[id(x)] for x in places]


def _apart(outputs: list[np.ndarray], read: list[np.ndarray]) -> list[np.ndarray | None]:
    """Return where a plan may write: None for an output that lies where something is read."""
    for k, x in enumerate(outputs):
        if any(np.may_share_memory(x, y) for y in outputs[:k]):
            raise ValueError("bind: out must be arrays apart, two of them share memory")
    return [None if any(np.may_share_memory(x, y) for y in read) else x for x in outputs]


def _explained(k: int, plan: Any) -> str:
    lines = [f"plan {k}: {len(plan.facts)} instructions, workspace {plan.machine.work_bytes} bytes"]
    for kind, shapes, what in plan.facts:
        lines.append(f"  {kind:<8} {', '.join(map(str, shapes)):<24} {what}".rstrip())
    return "\n".join(lines)


def _any_recorded(args: Any, kwargs: Any) -> bool:
    leaves = tree.flatten((args, kwargs))[0]
    return any(type(x) is Variable or type(x) is Passive for x in leaves)


def _compare(found: Any, want: Any, f: Any) -> None:
    ours, theirs = tree.flatten(found)[0], tree.flatten(want)[0]
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        a, b = np.asarray(a), np.asarray(b)
        equal = a.shape == b.shape and a.dtype == b.dtype
        if equal and a.dtype.kind in "fc":
            scale = np.max(np.abs(b[np.isfinite(b)]), initial=0.0)
            bound = np.finfo(a.dtype).eps ** 0.75
            equal = np.allclose(a, b, rtol=bound, atol=bound * scale, equal_nan=True)
        elif equal:
            equal = np.array_equal(a, b)
        if not equal:
            raise FrozenValueError(
                f"{f!r}: output {k} of the plan differs from what the function returns now: it "
                "depends on something that is no argument, or is not the same function in each call"
            )
