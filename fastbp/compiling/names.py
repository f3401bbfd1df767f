"""Functions that a plan calls, by names: what may stand in a file.

A name leads to a row of fastbp's table, a function beside it, a ufunc, or one of NumPy's functions
of arrays that are listed here. Nothing else can be named, so what is read from a file imports
nothing and runs no code but that of these functions.
"""

from __future__ import annotations

import functools
import operator
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import Arranged, Op
from fastbp.compiling.builder import booleans
from fastbp.compiling.passive import OF_SHAPES
from fastbp.rules import table
from fastbp.rules.numpy.structural import Leaves, leaves_of
from fastbp.rules.special import unwrapped

__all__ = ["name_of", "named"]

_PAGES = tuple(f"fastbp.rules.{name}" for name in ("coverage", "gaps", "reference"))
CALLS = 2  # the kind of operations that are calls without derivative

_OPERATORS = (
    "abs add and_ eq floordiv ge getitem gt invert le lshift lt matmul mod mul ne neg or_ pos pow "
    "rshift sub truediv xor"
).split()
_NUMPY = OF_SHAPES | frozenset(
    "argwhere bincount broadcast_arrays flatnonzero full geomspace gradient histogram histogramdd "
    "interp lexsort linspace logspace nanpercentile nanquantile nonzero swapaxes tril_indices_from "
    "triu_indices_from unique unwrap where".split()
)
_METHODS = OF_SHAPES | {"compress", "nonzero", "swapaxes"}
_UFUNC_METHODS = ("accumulate", "outer", "reduce", "reduceat")


@functools.cache
def _functions() -> dict[str, Callable[..., Any]]:
    found: dict[str, Any] = {f"operator {name}": getattr(operator, name) for name in _OPERATORS}
    found["mask booleans"] = booleans
    for f in (graph.identity, graph.cast_to, graph.assigned, _computed_into):
        found[f"record {f.__name__}"] = f
    for module in (np, unwrapped):
        for name, f in vars(module).items():
            if isinstance(f, np.ufunc):
                found[f"{'numpy' if module is np else 'special'} {name}"] = f
                if module is np and f.nin == 2:
                    for method in _UFUNC_METHODS:
                        found[f"numpy {name}.{method}"] = getattr(f, method)
            elif module is np and name in _NUMPY and callable(f):
                found[f"numpy {name}"] = f
    for name in _METHODS:
        if hasattr(np.ndarray, name):
            found[f"array {name}"] = getattr(np.ndarray, name)
    return found


@functools.cache
def _names() -> dict[Any, str]:
    names = {f: name for name, f in reversed(_functions().items())}
    return names | {graph.computed_into: names[_computed_into]}


def _computed_into(out: Any, ufunc: Any, method: str, operands: Any, kwargs: Any) -> Any:
    if not isinstance(ufunc, np.ufunc) or method not in ("__call__", *_UFUNC_METHODS):
        raise ValueError("a plan calls what is no method of a ufunc")
    return graph.computed_into(out, ufunc, method, operands, kwargs)


def name_of(function: Any) -> str | None:
    """Return the name of a function; None where it has none."""
    if isinstance(function, Op):
        return _name_of_op(function)
    if isinstance(function, Arranged):
        inner = name_of(function.function)
        return inner and f"arranged {inner}"
    if isinstance(function, Leaves):
        inner = name_of(function.function)
        return inner and f"leaves {inner}"
    try:
        return _names().get(function) or _name_of_helper(function)
    except TypeError:  # it cannot be hashed
        return None


def named(name: Any) -> Any:
    """Return the function of a name; KeyError where there is none."""
    kind, _, rest = name.partition(" ") if isinstance(name, str) else ("", "", "")
    if kind == "arranged":
        return Arranged(named(rest))
    if kind == "leaves":
        return leaves_of(named(rest))
    if kind == "row":
        if rest not in table.OPS:
            table.load_all()
        return table.OPS[rest]
    if kind == "moving":  # settings that are operands, behind its own
        own, which, inner = rest.split(" ", 2)
        pairs = [text.partition(":") for text in which.split(",")]
        names = tuple([(name, int(k) if k else None) for name, _, k in pairs])
        return _moving(named(inner), names, int(own))
    if kind == "complex":
        op = named(f"row {rest}").on_complex
        if not isinstance(op, Op):
            raise KeyError(name)
        return op
    if kind == "helper":
        module, _, last = rest.partition(" ")
        table.load_all()
        function = getattr(sys.modules.get(module), last, None)
        if name_of(function) != name:
            raise KeyError(name)
        return function
    return _functions()[name]


def _name_of_helper(function: Any) -> str | None:
    """Return the name of a function of a module of rows."""
    module, name = getattr(function, "__module__", None), getattr(function, "__name__", None)
    if not isinstance(function, types.FunctionType) or module in _PAGES:
        return None
    home = (
        isinstance(module, str) and module.startswith("fastbp.rules.") and sys.modules.get(module)
    )
    known = home and getattr(home, str(name), None) is function
    return f"helper {module} {name}" if known else None


@functools.cache
def _moving(op: Op, which: tuple[Any, ...], own: int) -> Op:
    return graph._moving_op(op, which, own)


def _name_of_op(op: Op) -> str | None:
    row = table.OPS.get(op.name)
    if row is op:
        return f"row {op.name}"
    if "unmoved" in op.info:
        inner, which = _name_of_op(op.info["unmoved"]), op.info["which"]
        names = ",".join(name if k is None else f"{name}:{k}" for name, k in which)
        return inner and f"moving {op.nin - len(which)} {names} {inner}"
    if row is not None and row.on_complex is op:
        return f"complex {op.name}"
    return name_of(op.forward) if op.kind == CALLS else None
