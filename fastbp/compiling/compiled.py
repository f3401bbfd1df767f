"""`compile`: a function, recorded once for each structure of its arguments, then replayed."""

from __future__ import annotations

import functools
import gc
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp import arguments, tree
from fastbp._core import buffers, caller
from fastbp._core.caller import MISSED, Caller, Entry
from fastbp.compiling.plans import Plans, any_recorded
from fastbp.compiling.reach import LENGTH, found_in, same
from fastbp.compiling.recording import recorded
from fastbp.derived import lead_to
from fastbp.errors import FrozenValueError
from fastbp.unmodified import as_recorded

__all__ = ["Compiled", "compile"]

MOST_PLANS = 64
LARGE_RECORD = 16 << 20  # bytes in the pool behind it

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
    Arrays that `f` finds in enclosing functions, global names, defaults and partials are read in
    every call, with the elements that they have then. All else that can be reached is compared with
    what it was, arrays by their elements; if something else is there, `f` is recorded again.
    Writing into an argument changes no array of the caller's; into an array around `f` it is
    refused, and so is assigning a variable around `f` that is an array, or changing a list or dict
    of arrays.
    What `f` does beside computing (printing text, appending to a list) is done when it is recorded
    only; printing values is refused, as it reads them. Warnings of floating-point errors are not
    given by a plan.

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


class Compiled(Plans):
    """A function with plans for its calls; made by `compile`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> f = bp.compile(lambda x: np.sum(np.tanh(x) ** 2))
    >>> float(f(np.zeros(3))), float(f(np.zeros(3)))
    (0.0, 0.0)
    >>> f.stats()
    {'plans': 1, 'recorded': ['first call']}
    """

    __wrapped__: Callable[..., Any]

    def __init__(self, f: Callable[..., Any], static: tuple[int, ...], verify: int) -> None:
        functools.update_wrapper(self, f, updated=())
        self.static, self.verify = static, verify
        self._calls = 0
        self._reasons: list[str] = []

    def __reduce__(self) -> Any:
        lead_to(self.__wrapped__)
        return Compiled, (self.__wrapped__, self.static, self.verify)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {getattr(self, '__qualname__', repr(self.__wrapped__))}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns."""
        found = super().__call__(*args, **kwargs)
        self._calls += 1
        if self._calls % self.verify == 0 and not any_recorded(args, kwargs):
            _compare(found, self._eager(*args, **kwargs), self)
        return found

    def __new__(cls, f: Any = None, static: Any = (), verify: int = 0) -> Any:  # noqa: D102
        # Without `verify` a call goes straight to the core.
        return super().__new__(_Fast if cls is Compiled and not verify else cls)

    def stats(self) -> dict[str, Any]:
        """Return how many plans there are, and why the function was recorded each time.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> f = bp.compile(np.sin)
        >>> for x in (np.ones(2), np.ones(2), np.ones(3)):
        ...     _ = f(x)
        >>> f.stats()
        {'plans': 2, 'recorded': ['first call', 'other arguments']}
        """
        return {"plans": len(self.entries), "recorded": list(self._reasons)}

    def _reason(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        reasons = [entry.reason(args, kwargs) for entry in reversed(self.entries)]
        others = [text for text in reasons if text not in (None, "other arguments")]
        return others[0] or "" if others else "other arguments" if reasons else "first call"

    def entry_for(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Entry:
        """Return the plan for a call, recorded if there is none."""
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
        # With arrays of fastbp.numpy: it may take derivatives itself.
        return as_recorded(self.__wrapped__)

    def miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Record the function for these arguments."""
        if any_recorded(args, kwargs):
            return self.__wrapped__(*args, **kwargs)
        result, entry = recorded(self.__wrapped__, args, kwargs, self.static)
        if buffers.cached_bytes() > LARGE_RECORD:
            # A plan needs none of it: values may hang in cycles, blocks wait for other sizes.
            gc.collect()
            buffers.release()
        self._reasons.append(self._reason(args, kwargs))
        if entry is not None:
            if len(self.entries) >= MOST_PLANS:
                self.clear()
            self.add(entry)
            return result
        self._reasons[-1] += ", not kept: a zero cotangent met a slope that is not finite"
        # What it means depends on where the zero is from, which this record has not kept.
        return self._eager(*args, **kwargs)


class _Fast(Compiled):
    __call__ = Caller.__call__


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
