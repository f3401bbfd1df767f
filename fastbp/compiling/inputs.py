"""The arguments of a call of a compiled function, taken apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp import tree
from fastbp._core import caller, graph
from fastbp._core.caller import Spec
from fastbp._core.graph import Variable
from fastbp.errors import DTypeError

__all__ = ["Arguments", "recorded_inputs", "require_layout"]

_SINGLE = (np.dtype("f4"), np.dtype("c8"))


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
caller.bind("layout_of", graph.layout_of)


def require_layout(spec: Spec, array: np.ndarray) -> None:
    """Let a plan be for arrays in the layout of this one."""
    spec.require(graph.layout_of(array) or "C")


def recorded_inputs(arrays: Sequence[np.ndarray]) -> list[Any]:
    """Return recorded values for arrays: of floats as Variables, of others without derivative."""
    floats = [x for x in arrays if x.dtype.kind in "fc"]
    made = iter(graph.leaves(floats, True)[0])
    return [next(made) if x.dtype.kind in "fc" else graph.passive_input(x) for x in arrays]


_PLAIN_CONTAINERS = (tuple, list, dict)


def _container(spec: Callable[[Any, str], Spec], x: Any, what: str) -> Spec:
    """Return the spec of a tuple, list or dict, whose items have those that `spec` returns."""
    pairs = x.items() if type(x) is dict else enumerate(x)
    parts = tuple([spec(item, f"{what}[{k!r}]") for k, item in pairs])
    return Spec(type(x).__name__, list(x) if type(x) is dict else None, parts)


class Arguments:
    """The arguments of a call, taken apart: specs of them, and recorded values in their place."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any], static: Any) -> None:
        leaves = tree.flatten((args, kwargs))[0]
        self.single = any(getattr(x, "dtype", None) in _SINGLE for x in leaves)
        self.arrays: list[np.ndarray] = []
        self._of_arrays: list[tuple[Spec, np.ndarray]] = []
        self.fixed: list[Any] = []
        self._cells: list[int] = []  # which inputs of no axes are arrays, no numbers
        missing = [k for k in static if k >= len(args)]
        if missing:
            raise TypeError(f"compile: there is no argument {missing[0]} for static_argnums")
        self.specs = tuple(
            self._of_values(x, f"argument {k}") if k in static else self._spec(x, f"argument {k}")
            for k, x in enumerate(args)
        )
        self.keywords = self._spec(dict(kwargs), "keyword arguments") if kwargs else None
        self.inputs = recorded_inputs(self.arrays)
        for position in self._cells:
            self.inputs[position] = graph.as_cell(self.inputs[position])
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
        if kind == "array" and not array.ndim:
            self._cells.append(len(self.arrays) - 1)
        spec = Spec(kind, value, (), len(self.arrays) - 1)
        if kind == "array":
            self._of_arrays.append((spec, array))
        return spec

    def require_layouts(self) -> None:
        """Let the plan be for arrays in the layouts of these."""
        for spec, array in self._of_arrays:
            require_layout(spec, array)

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
