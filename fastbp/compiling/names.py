"""Functions that a plan calls, by names: what may stand in a file.

A name leads to a row of fastbp's table, a ufunc, or one of NumPy's functions of arrays that are
listed here. Nothing else can be named, so what is read from a file imports nothing and runs no code
but that of these functions.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import Arranged, Op
from fastbp.compiling.passive import OF_SHAPES
from fastbp.rules import table
from fastbp.rules.special import unwrapped

__all__ = ["UFUNC_METHODS", "name_of", "named"]

CALLS = 2  # the kind of operations that are calls without derivative

_OPERATORS = (
    "abs add and_ eq floordiv ge getitem gt invert le lshift lt matmul mod mul ne neg or_ pos pow "
    "rshift sub truediv xor"
).split()
_NUMPY = OF_SHAPES | frozenset(
    "argwhere flatnonzero histogram interp lexsort nonzero swapaxes tril_indices_from "
    "triu_indices_from unique where".split()
)
_METHODS = OF_SHAPES | {"compress", "nonzero", "swapaxes"}
UFUNC_METHODS = ("accumulate", "outer", "reduce", "reduceat")


@functools.cache
def _functions() -> dict[str, Callable[..., Any]]:
    found: dict[str, Any] = {f"operator {name}": getattr(operator, name) for name in _OPERATORS}
    for f in (graph.identity, graph._cast, graph._assigned, graph._computed_into):
        found[f"record {f.__name__}"] = f
    for module in (np, unwrapped):
        for name, f in vars(module).items():
            if isinstance(f, np.ufunc):
                found[f"{'numpy' if module is np else 'special'} {name}"] = f
                if module is np and f.nin == 2:
                    for method in UFUNC_METHODS:
                        found[f"numpy {name}.{method}"] = getattr(f, method)
            elif module is np and name in _NUMPY and callable(f):
                found[f"numpy {name}"] = f
    for name in _METHODS:
        if hasattr(np.ndarray, name):
            found[f"array {name}"] = getattr(np.ndarray, name)
    return found


@functools.cache
def _names() -> dict[Any, str]:
    return {f: name for name, f in reversed(_functions().items())}


def name_of(function: Any) -> str | None:
    """Return the name of a function; None where it has none."""
    if isinstance(function, Op):
        return _name_of_op(function)
    if isinstance(function, Arranged):
        inner = name_of(function.function)
        return inner and f"arranged {inner}"
    try:
        return _names().get(function)
    except TypeError:  # it cannot be hashed
        return None


def named(name: Any) -> Any:
    """Return the function of a name; KeyError where there is none."""
    kind, _, rest = name.partition(" ") if isinstance(name, str) else ("", "", "")
    if kind == "arranged":
        return Arranged(named(rest))
    if kind == "row":
        if rest not in table.OPS:
            table.load_all()
        return table.OPS[rest]
    if kind == "complex":
        op = named(f"row {rest}").on_complex
        if not isinstance(op, Op):
            raise KeyError(name)
        return op
    return _functions()[name]


def _name_of_op(op: Op) -> str | None:
    row = table.OPS.get(op.name)
    if row is op:
        return f"row {op.name}"
    if row is not None and row.on_complex is op:
        return f"complex {op.name}"
    return name_of(op.forward) if op.kind == CALLS else None
