"""Values in a plan's file: JSON, and arrays beside it.

Numbers, strings, tuples and what else settings are made of; dtypes of numbers; functions by names
(`names`), programs by what they compute. Nothing else can be written, and nothing that is read runs
code.
"""

from __future__ import annotations

import math
import types
from typing import Any

import numpy as np

from fastbp import tree
from fastbp._core.graph import Op, Slot
from fastbp._core.program import Program, program_from
from fastbp.compiling.names import name_of, named
from fastbp.compiling.steps import Applied
from fastbp.errors import PlanFileError

__all__ = ["Decoder", "Encoder", "dtype_from", "structure_from", "structure_of"]

_TYPES = {t.__name__: t for t in (bool, int, float, complex)} | {
    f"numpy.{np.dtype(code).name}": np.dtype(code).type for code in "?bBhHiIlLfdFD"
}
_CONTAINERS: dict[str, Any] = {"dict": dict, "list": list, "tuple": tuple, "none": type(None)}


def dtype_from(text: Any) -> np.dtype:
    """Return a dtype of numbers."""
    if not isinstance(text, str) or len(text) > 5:
        raise ValueError(f"{text!r} is no dtype of numbers")
    dtype = np.dtype(text)
    if dtype.kind not in "biufc" or not dtype.isnative:
        raise ValueError(f"{text!r} is no dtype of numbers of this machine")
    return dtype


def structure_of(structure: tree.TreeDef) -> Any:
    """Return a structure of containers of Python's own as data."""
    if structure._kind is None:
        return "*"
    kind = next((k for k, t in _CONTAINERS.items() if structure._kind.type is t), None)
    if kind is None:
        raise PlanFileError(
            f"save: a {structure._kind.type.__name__} is among the arguments or results: a file "
            "has no classes but dict, list and tuple"
        )
    keys = list(structure._keys) if kind == "dict" else None
    return kind, keys, tuple([structure_of(child) for child in structure._children])


def structure_from(data: Any) -> tree.TreeDef:
    """Return the structure that `structure_of` describes."""
    return tree.flatten(_example(data))[1]


def _example(data: Any) -> Any:
    if data == "*":
        return 0.0
    kind, keys, children = data
    parts = [_example(child) for child in children]
    if kind == "none":
        return None
    return dict(zip(keys, parts, strict=True)) if kind == "dict" else _CONTAINERS[kind](parts)


class Encoder:
    """Writes values as JSON; `arrays` and `programs` collects what stands beside it."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.programs: list[Any] = []
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no id is given twice

    def encode(self, x: Any, what: str) -> Any:
        """Return a value as JSON; `what` it is, for people."""
        if x is None or x is True or x is False or type(x) is int or type(x) is str:
            return x
        if type(x) is float:
            return x if math.isfinite(x) else {"float": repr(x)}
        if type(x) is tuple:
            return [self.encode(item, what) for item in x]
        if type(x) is list:
            return {"list": [self.encode(item, what) for item in x]}
        if type(x) is dict:
            pairs = [[self.encode(k, what), self.encode(v, what)] for k, v in x.items()]
            return {"dict": pairs}
        if type(x) is complex:
            return {"complex": [repr(x.real), repr(x.imag)]}
        if type(x) is slice:
            return {"slice": [self.encode(k, what) for k in (x.start, x.stop, x.step)]}
        if x is Ellipsis:
            return {"ellipsis": 0}
        if isinstance(x, np.dtype) and x.kind in "biufc":
            return {"dtype": x.str}
        if type(x) is np.ndarray and x.dtype.kind in "biufc":
            return {"array": self._number(x)}
        if isinstance(x, np.generic) and x.dtype.kind in "biufc":
            return {"scalar": self._number(np.asarray(x))}
        if isinstance(x, Slot):
            return {"slot": x.index}
        if isinstance(x, Program):
            return {"program": self._program(x)}
        if isinstance(x, Applied):
            return self._applied(x)
        if isinstance(x, type):
            name = next((name for name, t in _TYPES.items() if t is x), None)
        else:
            name = name_of(x)
        if name is None:
            fused = type(x).__module__ == "fastbp._core.recurrent"
            advice = ": write the recurrent cell with fastbp.scan" if fused else ""
            raise PlanFileError(
                f"save: {what} has {_shown(x)}, which no file of a plan can hold{advice}"
            )
        return {"type": name} if isinstance(x, type) else {"function": name}

    def _number(self, x: np.ndarray) -> int:
        if id(x) not in self._seen:
            self._seen[id(x)] = len(self.arrays)
            self._kept.append(x)
            self.arrays.append(np.array(x, order="C"))
        return self._seen[id(x)]

    def _program(self, program: Program) -> int:
        if id(program) not in self._seen:
            self._kept.append(program)
            n, code, outputs = program.expression()
            lines = [[self.encode(f, "a program"), self.encode(x, "a program")] for f, x in code]
            self._seen[id(program)] = len(self.programs)
            self.programs.append([n, lines, outputs, program.typenum])
        return self._seen[id(program)]

    def _applied(self, x: Applied) -> Any:
        op = x.op
        name = name_of(op if isinstance(op, Op) else op.forward)
        if name is None:
            raise PlanFileError(
                f"save: the plan calls {op.name!r}, which is no row of fastbp's: a file has no code"
            )
        static = self.encode(x.static, f"the call of {op.name!r}")
        return {"applied": [name, static, x.several]}


class Decoder:
    """Reads what an `Encoder` has written; anything else is an error."""

    def __init__(self, arrays: list[np.ndarray], programs: Any) -> None:
        self.arrays = arrays
        self.last_slot = -1  # the largest number of a slot that was read
        for x in arrays:
            x.flags.writeable = False
        self.programs: list[Program] = []
        for n, lines, outputs, typenum in programs:
            code = [(self.decode(f), self.decode(x)) for f, x in lines]
            program = program_from(n, code, outputs, typenum)
            if program is None:
                raise ValueError("a program has an operation that this machine has no loop for")
            self.programs.append(program)

    def decode(self, x: Any) -> Any:
        """Return the value."""
        if x is None or isinstance(x, bool | int | float | str):
            return x
        if isinstance(x, list):
            return tuple([self.decode(item) for item in x])
        ((kind, data),) = x.items()
        if kind in ("array", "scalar", "program"):
            if type(data) is not int or data < 0:
                raise ValueError(f"no {kind} is number {data}")
            if kind == "program":
                return self.programs[data]
            array = self.arrays[data]
            return array if kind == "array" else array[()] if array.ndim == 0 else None
        if kind == "applied":
            name, static, several = data
            function = named(name)
            op = function if isinstance(function, Op) else _function(name, function)
            return Applied(op, self.decode(static), bool(several))
        return _READ[kind](self, data)

    def slot(self, number: Any) -> Slot:
        """Return a place for an operand."""
        if type(number) is not int or number < 0:
            raise ValueError(f"no operand is number {number}")
        self.last_slot = max(self.last_slot, number)
        return Slot(number)


def _function(name: str, forward: Any) -> Any:
    return types.SimpleNamespace(name=name.rpartition(" ")[2], forward=forward, residuals=False)


_READ: dict[str, Any] = {
    "float": lambda d, x: float(x),
    "complex": lambda d, x: complex(float(x[0]), float(x[1])),
    "list": lambda d, x: [d.decode(item) for item in x],
    "dict": lambda d, x: {d.decode(k): d.decode(v) for k, v in x},
    "slice": lambda d, x: slice(*[d.decode(k) for k in x]),
    "ellipsis": lambda d, x: Ellipsis,
    "dtype": lambda d, x: dtype_from(x),
    "slot": lambda d, x: d.slot(x),
    "type": lambda d, x: _TYPES[x],
    "function": lambda d, x: named(x),
}


def _shown(x: Any) -> str:
    name = getattr(x, "__qualname__", None) or getattr(x, "name", None)
    return f"a {type(x).__name__}" + (f" {name!r}" if isinstance(name, str) else "")
