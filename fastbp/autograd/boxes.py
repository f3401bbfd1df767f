"""What autograd calls boxes: `fastbp.Variable` is the only one, and containers stay containers.

Programs ask a box for ``_value``, test ``isinstance(x, Box)``, and register classes of their own.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastbp import tree
from fastbp._core import graph
from fastbp._core.graph import Variable
from fastbp._core.operands import accept

__all__ = ["ArrayBox", "Box", "DictBox", "SequenceBox", "getval", "isbox", "new_box", "scalar"]


def isbox(x: Any) -> bool:
    """Say whether `x` is a recorded value; a container of them is none."""
    return type(x) is Variable


def getval(x: Any) -> Any:
    """Return the values of recorded ones, also inside containers; everything else as it is."""
    if type(x) is Variable:
        return scalar(x.value)
    if isinstance(x, (list, tuple, dict)) and has_boxes(x):
        return tree.map(getval, x)
    return x


def has_boxes(x: Any) -> bool:
    """Say whether a container has recorded values among its leaves."""
    return any(type(leaf) is Variable for leaf in tree.flatten(x)[0])


def scalar(x: Any) -> Any:
    """Return an array without axes as a NumPy scalar: what functions of numbers expect."""
    return x[()] if type(x) is np.ndarray and x.ndim == 0 else x


class _Boxes(type):
    # Boxes are Variables, whatever class a program names to say so.
    def __instancecheck__(cls, x: Any) -> bool:
        if cls is Box and type(x) is Variable:
            return True
        return super().__instancecheck__(x)

    def __subclasscheck__(cls, other: Any) -> bool:
        return (cls is Box and other is Variable) or super().__subclasscheck__(other)


class _Mappings(dict[type, Any]):
    # Programs write into it, too: ``Box.type_mappings[tensor] = ...``.
    def __setitem__(self, value_type: type, box: Any) -> None:
        if issubclass(value_type, np.ndarray) and value_type is not np.ndarray:
            accept(value_type)
        super().__setitem__(value_type, box)


class Box(metaclass=_Boxes):
    """The class that all recorded values are instances of, for ``isinstance``.

    There is one, `fastbp.Variable`. Values of other types than arrays are containers (lists,
    tuples, dicts, dataclasses), which a function gets as they are, with recorded arrays inside; so
    there is nothing to derive from this class for.

    Examples
    --------
    >>> from fastbp.autograd import grad
    >>> from fastbp.autograd.extend import Box
    >>> def f(x):
    ...     print(isinstance(x, Box), x._value)
    ...     return x**2
    >>> grad(f)(3.0)
    True 3.0
    np.float64(6.0)
    >>> isinstance(3.0, Box)
    False
    """

    types: ClassVar[set[type]] = {Variable}
    type_mappings: ClassVar[dict[type, Any]] = _Mappings({np.ndarray: Variable, Variable: Variable})

    @classmethod
    def register(cls, value_type: type) -> None:
        """Say that values of `value_type`, a subclass of ndarray, stand for their arrays.

        Raises
        ------
        TypeError
            For a class that is no array: make it a dataclass, whose fields are differentiated.
        """
        _register(value_type)


def _register(value_type: type) -> None:
    known = (np.ndarray, *_NUMBERS)
    if value_type not in Box.type_mappings and not issubclass(value_type, known):
        raise TypeError(
            f"Box.register: {value_type.__qualname__} is no array: fastbp records arrays and "
            "numbers, and containers of them; make it a dataclass, whose fields are differentiated"
        )
    Box.type_mappings[value_type] = Variable


_NUMBERS = (float, complex, np.inexact, list, tuple, dict)

ArrayBox = Variable
for _name, _target in {
    "_value": property(getval),
    "_node": property(lambda self: self),
    "_trace": property(lambda self: 0),
    "register": staticmethod(_register),
}.items():
    graph.bind_method(_name, _target)  # type: ignore[arg-type]


class _ContainersWith(type):
    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, cls.containers) and has_boxes(x)  # type: ignore[attr-defined]


class SequenceBox(metaclass=_ContainersWith):
    """A list or tuple with recorded values in it, for ``isinstance``."""

    containers = (list, tuple)


class DictBox(metaclass=_ContainersWith):
    """A dict with recorded values in it, for ``isinstance``."""

    containers = (dict,)


def new_box(value: Any, trace: Any = None, node: Any = None) -> Variable:
    """Return a new recorded value without a history; `trace` and `node` have no meaning here."""
    return graph.variable(value)
