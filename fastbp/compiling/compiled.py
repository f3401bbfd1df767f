"""`compile`: a function, recorded once for each structure of its arguments, then replayed."""

from __future__ import annotations

import enum
import functools
import itertools
import random
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fastbp import arguments, tree
from fastbp._core import caller, constants, graph
from fastbp._core.caller import MISSED, Bound, Caller, Entry, Form, Spec
from fastbp._core.graph import Passive, Variable
from fastbp._core.replay import strong_zeros_met
from fastbp._core.tape import Tape
from fastbp.compiling import passive
from fastbp.compiling.layout import laid_out
from fastbp.compiling.lowering import lower
from fastbp.compiling.reach import LENGTH, found_in, same
from fastbp.compiling.surroundings import Surroundings
from fastbp.errors import DTypeError, FrozenValueError
from fastbp.unmodified import function_in, unmodified

__all__ = ["Compiled", "compile"]

MOST_PLANS = 64
_SINGLE = (np.dtype("f4"), np.dtype("c8"))

caller.bind("found_in", found_in)
caller.bind("same", same)
caller.set_length_key(LENGTH)


def _taken_apart(x: Any) -> tuple[list[Any], tree.TreeDef]:
    """Do as `tree.flatten`; what a structure keeps beside the leaves comes after them."""
    leaves, structure = tree.flatten(x)
    return leaves + _extras(structure), structure


def _extras(structure: tree.TreeDef) -> list[Any]:
    own = structure._extra  # static fields, or a default
    found = [] if own is None else list(own) if isinstance(own, tuple | list) else [own]
    for child in structure._children:
        found += _extras(child)
    return found


caller.bind("flatten", _taken_apart)


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
        out : array, or tuple of arrays, optional
            Where results go: arrays in C order, as the function returns them. New ones by default.
            They may be arguments: these are written when all is computed.

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
            given = list(out) if isinstance(out, tuple | list) else [out]
            fitting = len(given) == n and all(
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


# ---- recording


def recorded(
    f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], static: tuple[int, ...]
) -> tuple[Any, Entry | None]:
    """Call a function once; return what it returns, and the plan for calls like this one."""
    around = Surroundings(f)
    given = _Arguments(args, kwargs, static)
    for x in given.fixed:
        around.watch(x)
    around.reach.finish()
    left = Reads()
    met, drawn, since = strong_zeros_met(), _random_state(), constants.mark()
    try:
        result = graph.recorded_call(around.function, given.args, given.kwargs, left)
    except Exception as error:
        constants.release(since)
        if left.of_user:
            raise _frozen(f, left.of_user) from error
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
    b, taken, made = lower(
        tape.links(), tape.input_positions, made_of + [position for position, _ in guards]
    )
    plan = laid_out(b, taken, made)
    numbers = itertools.count()
    results = [
        (next(numbers) if position >= 0 else -1, value)
        for position, value in zip(where, values, strict=True)
    ]
    entry = Entry(
        plan,
        given.specs,
        given.keywords,
        around.places,
        [Spec("array", array, (), len(given.inputs) + k) for k, array in enumerate(around.arrays)],
        around.reach.watched,
        around.reach.compared,
        [value for _, value in guards],
        _form(result, iter(results)) or _builder(structure, results),
    )
    return structure.unflatten(values), entry


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


def _builder(structure: tree.TreeDef, leaves: list[tuple[int, Any]]) -> Callable[..., Any]:
    """Return a function that makes a result of a plan's arrays."""

    def build(arrays: list[Any]) -> Any:
        found = [
            arrays[number] if number >= 0 else x.copy() if isinstance(x, np.ndarray) else x
            for number, x in leaves
        ]
        return structure.unflatten(found)

    return build


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
        "(static_argnums)"
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
    if drawn != _random_state() or around.reach.drawn():
        raise FrozenValueError(
            f"compile: {name} draws random numbers, which would be the same in all later calls: "
            "draw them outside, and give them as an argument"
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
    state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return state["pos"], state["key"].tobytes(), random.getstate()


def recorded_inputs(arrays: Sequence[np.ndarray]) -> list[Any]:
    """Return recorded values for arrays: of floats as Variables, of others without derivative."""
    floats = [x for x in arrays if x.dtype.kind in "fc"]
    made = iter(graph.leaves(floats, True)[0])
    return [next(made) if x.dtype.kind in "fc" else graph.passive_input(x) for x in arrays]


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


_PLAIN_CONTAINERS = (tuple, list, dict)


def _container(spec: Callable[[Any, str], Spec], x: Any, what: str) -> Spec:
    """Return the spec of a tuple, list or dict, whose items have those that `spec` returns."""
    pairs = x.items() if type(x) is dict else enumerate(x)
    parts = tuple([spec(item, f"{what}[{k!r}]") for k, item in pairs])
    return Spec(type(x).__name__, list(x) if type(x) is dict else None, parts)


class _Arguments:
    """The arguments of a call, taken apart: specs of them, and recorded values in their place."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any], static: Any) -> None:
        leaves = tree.flatten((args, kwargs))[0]
        self.single = any(getattr(x, "dtype", None) in _SINGLE for x in leaves)
        self.arrays: list[np.ndarray] = []
        self.fixed: list[Any] = []
        missing = [k for k in static if k >= len(args)]
        if missing:
            raise TypeError(f"compile: there is no argument {missing[0]} for static_argnums")
        self.specs = tuple(
            self._of_values(x, f"argument {k}") if k in static else self._spec(x, f"argument {k}")
            for k, x in enumerate(args)
        )
        self.keywords = self._spec(dict(kwargs), "keyword arguments") if kwargs else None
        self.inputs = recorded_inputs(self.arrays)
        handles = [graph.handle(x) if type(x) is Variable else x for x in self.inputs]
        self.args = tuple(
            [
                x if k in static else self._put(x, spec, handles)
                for k, (x, spec) in enumerate(zip(args, self.specs, strict=True))
            ]
        )
        self.kwargs = self._put(dict(kwargs), self.keywords, handles) if self.keywords else {}

    def _spec(self, x: Any, what: str) -> Spec:
        kind = type(x)
        if kind in _PLAIN_CONTAINERS:
            return _container(self._spec, x, what)
        if isinstance(x, np.ndarray):
            if kind is not np.ndarray or not _is_taken(x.dtype):
                raise DTypeError(
                    f"compile: {what} is a {kind.__name__} of dtype {x.dtype}: arrays of float64, "
                    "float32, complex128, complex64, integers and booleans are taken; convert it"
                )
            return self._input("array", x, x)
        if (kind is float and not self.single) or (
            isinstance(x, np.inexact) and _is_taken(x.dtype)
        ):
            return self._input("number", kind, np.asarray(x))
        leaves, structure = tree.flatten(x)
        if not (len(leaves) == 1 and leaves[0] is x):
            parts = tuple([self._spec(item, f"a part of {what}") for item in leaves])
            fixed = [self._of_values(item, f"a field of {what}") for item in _extras(structure)]
            return Spec("tree", structure, (*parts, *fixed))
        return self._static(x, what)

    def _input(self, kind: str, value: Any, array: np.ndarray) -> Spec:
        self.arrays.append(array)
        return Spec(kind, value, (), len(self.arrays) - 1)

    def _of_values(self, x: Any, what: str) -> Spec:
        """Return the spec of a static argument: containers and arrays by what they hold."""
        if type(x) in _PLAIN_CONTAINERS:
            return _container(self._of_values, x, what)
        if isinstance(x, np.ndarray) and not x.dtype.hasobject:
            return Spec("elements", x.copy())
        leaves, structure = tree.flatten(x)
        if not (len(leaves) == 1 and leaves[0] is x):
            items = leaves + _extras(structure)
            parts = tuple([self._of_values(item, f"a part of {what}") for item in items])
            return Spec("tree", structure, parts)
        if type(x) is set:
            return Spec("static", x.copy())
        return self._static(x, what)

    def _static(self, x: Any, what: str) -> Spec:
        if type(x) is slice:
            return Spec("static", x)
        try:
            hash(x)
        except TypeError:
            raise TypeError(
                f"compile: {what}, a {type(x).__name__}, is no array and cannot be hashed: its "
                "value would be frozen. Give what is computed with as arrays, or make it hashable"
            ) from None
        self.fixed.append(x)
        return Spec("static", x)

    def _put(self, x: Any, spec: Spec, handles: list[Any]) -> Any:
        """Return an argument with recorded values in the places of its arrays."""
        if spec.number >= 0:
            return handles[spec.number]
        if not spec.parts:
            return x
        if type(x) is dict:
            pairs = zip(x.items(), spec.parts, strict=True)
            return {key: self._put(item, part, handles) for (key, item), part in pairs}
        if type(x) is tuple or type(x) is list:
            pairs = zip(x, spec.parts, strict=True)
            return type(x)([self._put(item, part, handles) for item, part in pairs])
        leaves, structure = tree.flatten(x)
        pairs = zip(leaves, spec.parts, strict=False)
        return structure.unflatten([self._put(item, part, handles) for item, part in pairs])


def _is_taken(dtype: np.dtype) -> bool:
    """Say whether arrays of a dtype may be inputs of a plan."""
    return dtype.isnative and (dtype.kind in "iub" or dtype.char in "fdFD")
