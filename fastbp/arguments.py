"""Arguments as people have them: which ones are differentiated, and which of their leaves.

Floating-point leaves are, real and complex ones. Whole numbers are where nothing else can be
meant: an argument of its own (``grad(f)(3)``), a list of numbers, a container without floats. All
other leaves are settings: a function gets them as they are, and its gradient has None in their
place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fastbp import tree
from fastbp._core.dtypes import DIFFERENTIABLE, NAMES
from fastbp._core.graph import Variable
from fastbp._core.operands import as_array
from fastbp.errors import DTypeError
from fastbp.rules import refusals

__all__ = [
    "check_argnums",
    "check_function",
    "explain",
    "is_array_like",
    "mode_named",
    "numbers_among",
    "place",
    "positions",
]


# ---- functions and argnums -----------------------------------------------------------------------

_LINES = {  # of those transforms that evaluate at once
    "check_grads": "check_grads(f, (x,))",
    "check_jac": "check_jac(f, jac, x)",
    "hvp": "hvp(f, x, v)",
    "jvp": "jvp(f, (x,), (v,))",
    "linearize": "linearize(f, x)",
    "vjp": "vjp(f, x)",
}


def check_function(name: str, f: Any) -> None:
    """Refuse, at once, what cannot be called."""
    if isinstance(f, (classmethod, property)):
        kind = type(f).__name__
        raise TypeError(f"{name}: a function is needed, not a {kind}: write @{kind} above @{name}")
    if not callable(f):
        raise TypeError(
            f"{name}: a function is needed, not {_a(f)}: write {_LINES.get(name, f'{name}(f)(x)')} "
            "for a function f"
        )


def check_argnums(name: str, argnums: Any) -> Any:
    """Return argnums as an int, or as a tuple of ints for any sequence of them."""
    if _is_integer(argnums):
        return int(argnums)
    if isinstance(argnums, Iterable) and not isinstance(argnums, (str, bytes, dict, Variable)):
        if not is_array_like(argnums):
            found = tuple(argnums)
            if found and all(_is_integer(i) for i in found):
                found = tuple(int(i) for i in found)
                if len(set(found)) < len(found):
                    raise ValueError(f"{name}: argnums {argnums!r} must name distinct arguments")
                return found
            if not found:
                raise ValueError(f"{name}: argnums must name at least one argument")
    shown = f"an array of shape {argnums.shape}" if hasattr(argnums, "shape") else repr(argnums)
    raise TypeError(
        f"{name}: argnums must be integers, not {shown}: {name}(f) returns a function, so write "
        f"{name}(f)(x) for its value at x"
    )


def mode_named(name: str, mode: Any, modes: Sequence[str]) -> str:
    """Return a mode by its long name; refuse one that is not among `modes`."""
    found = {"fwd": "forward", "rev": "reverse"}.get(mode, mode) if isinstance(mode, str) else mode
    if found not in modes:
        raise ValueError(f"{name}: mode must be one of {', '.join(modes)}, not {mode!r}")
    return str(found)


def is_array_like(x: Any) -> bool:
    """Say whether NumPy asks an object for its array."""
    return isinstance(x, np.ndarray) or hasattr(type(x), "__array__")


def _a(x: Any) -> str:
    """Return the name of a type with its article."""
    kind = type(x).__name__
    return f"an {kind}" if kind[:1].lower() in "aeiou" else f"a {kind}"


def _is_integer(i: Any) -> bool:
    return isinstance(i, (int, np.integer)) and not isinstance(i, bool)


def positions(name: str, argnums: Any, count: int) -> list[int]:
    """Return which of `count` positional arguments are meant by checked argnums."""
    given = argnums if isinstance(argnums, tuple) else (argnums,)
    for i in given:
        if not -count <= i < count:
            raise ValueError(
                f"{name}: argnums {i} for a call with {count} positional arguments"
                if count
                else f"{name}: argnums {i} for a call without positional arguments"
            )
    found = [i % count for i in given]
    if len(set(found)) != len(found):
        raise ValueError(f"{name}: argnums {argnums} must name distinct arguments")
    return found


def place(
    name: str, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], argnums: Any
) -> tuple[tuple[Any, ...], dict[str, Any], list[int]]:
    """Return arguments, keywords and the positions to differentiate.

    An argument that was given by keyword is found in the signature of `f`, and becomes positional.
    """
    wanted = argnums if isinstance(argnums, tuple) else (argnums,)
    if kwargs and not all(i < len(args) for i in wanted):
        try:
            parameters = list(inspect.signature(f).parameters.values())
        except (TypeError, ValueError):  # a built-in function
            parameters = []
        args, kwargs = _by_position(args, kwargs, parameters, max(wanted))
        if len(args) <= max(wanted):
            raise TypeError(_not_given(name, f, max(wanted), list(kwargs), parameters))
    return args, kwargs, positions(name, argnums, len(args))


def _by_position(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    parameters: Sequence[inspect.Parameter],
    last: int,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Move keyword arguments to their positions, up to `last`; what is left out has its default."""
    values, rest = list(args), dict(kwargs)
    for p in parameters[len(args) : last + 1]:
        if p.kind is not p.POSITIONAL_OR_KEYWORD:
            break
        value = rest.pop(p.name, p.default)
        if value is p.empty:
            break
        values.append(value)
    if len(values) <= last or parameters[last].name not in kwargs:
        return args, kwargs  # it was not given at all
    return tuple(values), rest


def _not_given(
    name: str, f: Any, i: int, given: list[str], parameters: Sequence[inspect.Parameter]
) -> str:
    if i < len(parameters) and parameters[i].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
        return f"{name}: argument {i}, {parameters[i].name!r}, was not given"
    return (
        f"{name}: argument {i} must be given by its position, in front of {', '.join(given)}=: the "
        f"signature of {getattr(f, '__name__', type(f).__name__)} does not say its name"
    )


# ---- leaves --------------------------------------------------------------------------------------


def numbers_among(
    name: str, f: Any, positions: Sequence[int], leaves: list[Any], treedefs: Sequence[tree.TreeDef]
) -> tuple[list[Any], dict[int, Any]]:
    """Tell apart what is differentiated and what is a setting.

    Parameters
    ----------
    name, f, positions
        The transform, its function, and which of its arguments are differentiated.
    leaves : list
        Of these arguments, one after the other.
    treedefs : sequence of TreeDef
        Their structures.

    Returns
    -------
    numbers : list
        The leaves to differentiate; whole numbers have become float64.
    settings : dict
        Position among the leaves -> leaf, for all others.

    Raises
    ------
    DTypeError
        For arrays that are no numbers, with the path of the leaf, and for an argument without
        numbers.
    """
    numbers: list[Any] = []
    settings: dict[int, Any] = {}
    start = 0
    for i, treedef in zip(positions, treedefs, strict=True):
        stop = start + treedef.num_leaves
        part = leaves[start:stop]
        paths = treedef.paths(f"argument {i}")
        kinds = [_kind(x, f"{name}: {path}") for x, path in zip(part, paths, strict=True)]
        if "float" not in kinds:
            whole = {k for k, kind in enumerate(kinds) if kind == "whole"}
        else:
            whole = {k for sequence in treedef.sequences() for k in _numbers(part, sequence)}
        chosen = whole | {k for k, kind in enumerate(kinds) if kind == "float"}
        if part and not chosen:
            raise DTypeError(_nothing(name, f, i, part, treedef))
        for k, x in enumerate(part):
            if k in chosen:
                numbers.append(_as_float(x) if k in whole else x)
            else:
                settings[start + k] = x
        start = stop
    return numbers, settings


def _kind(x: Any, what: str) -> str:
    """Return "float", "whole" or "setting"; refuse what looks like numbers but has no derivative.

    "whole" are integers.
    """
    if isinstance(x, (Variable, float)) or type(x) is complex:
        return "float"
    if is_array_like(x) and not isinstance(x, np.bool_):
        array = as_array(x, what)  # refuses arrays with an arithmetic of their own
        wide = array.dtype.kind in "fc" and array.dtype not in DIFFERENTIABLE
        if wide or (array.dtype.kind == "O" and isinstance(x, np.ndarray)):
            wanted = "complex" if array.dtype.kind == "c" else "float"
            raise DTypeError(
                f"{what} has shape {array.shape} and dtype {array.dtype}: {NAMES} "
                f"can be differentiated; convert it, for instance with numpy.asarray(x, {wanted})"
            )
        return {"f": "float", "c": "float", "i": "whole", "u": "whole"}.get(
            array.dtype.kind, "setting"
        )
    return "whole" if _is_integer(x) else "setting"


def _numbers(leaves: list[Any], places: range) -> list[int]:
    """Return the whole numbers of a list that holds nothing but numbers, some of them floats."""
    values = [leaves[k] for k in places]
    plain = all(
        isinstance(x, (float, complex, np.inexact, Variable)) or _is_integer(x) for x in values
    )
    if not plain or all(_is_integer(x) for x in values):
        return []
    return [k for k, x in zip(places, values, strict=True) if _is_integer(x)]


def _as_float(x: Any) -> Any:
    return float(x) if _is_integer(x) else np.asarray(as_array(x), float)


def _nothing(name: str, f: Any, i: int, part: list[Any], treedef: tree.TreeDef) -> str:
    if treedef.num_leaves > 1 or treedef.paths("") != [""]:
        kinds = ", ".join(sorted({type(x).__name__ for x in part}))
        return (
            f"{name}: argument {i} holds nothing to differentiate, only {kinds}: name another "
            "argument by argnums"
        )
    x = part[0]
    shape = f" of shape {x.shape} and dtype {x.dtype}" if isinstance(x, np.ndarray) else ""
    text = (
        f"{name}: argument {i} is {_a(x)}{shape}, not numbers: what can be "
        "differentiated are arrays and numbers, and lists, tuples, dicts and dataclasses of them"
    )
    if i == 0 and _is_method(f):
        return (
            f"{text}. Argument 0 of a method is self: decorate it with functools.partial("
            f"fastbp.{name}, argnums=1), or write fastbp.{name}(object.{f.__name__})(x)"
        )
    return f"{text}; argnums names another argument"


def _is_method(f: Any) -> bool:
    """Say whether a function was defined in a class, to be called with its object."""
    path = getattr(f, "__qualname__", "").rpartition(".")[0]
    return bool(path) and not path.endswith("<locals>") and hasattr(f, "__name__")


# ---- what went wrong inside ----------------------------------------------------------------------


def explain(
    error: BaseException, positions: Sequence[int], args: Sequence[Any], locked: bool
) -> None:
    """Add to an error of the user's function what its traceback does not say.

    A list of numbers is a list for the function, too; an array that a record reads is read-only
    (`locked` says whether there was one); a function without a rule was given a Variable.
    """
    notes = [note for note in (refusals.unsaid(error),) if note is not None]
    is_plain = isinstance(error, (TypeError, ValueError)) and not isinstance(error, DTypeError)
    if is_plain and locked and "read-only" in str(error):
        notes.append(
            "fastbp keeps an array that a recorded operation will read again read-only while the "
            "record lives: write into a copy, or make a new array instead of using a buffer again"
        )
    if is_plain and isinstance(error, TypeError):
        for i in positions:
            if _is_list_of_numbers(args[i]):
                kind = type(args[i]).__name__
                notes.append(
                    f"fastbp: argument {i} is a {kind} of {len(args[i])} numbers, which the "
                    f"function gets as a {kind}, too: pass numpy.array(...) for arithmetic with it"
                )
    for note in notes:
        if note not in getattr(error, "__notes__", ()):  # by an outer transform
            error.add_note(note)


def _is_list_of_numbers(x: Any) -> bool:
    return isinstance(x, (list, tuple)) and all(isinstance(v, (int, float, complex)) for v in x)
