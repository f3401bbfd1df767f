"""Tables of numbers with labels, of pandas and xarray, as constants beside Variables.

Both are left alone unless the program imports them. The operators come here by protocols, where a
library has them (``__pandas_priority__``). What has none, as ``df @ x``, would ask the Variable for
an array: so those methods are told about Variables, by a check of one type in front of each.
"""

import functools
import operator
import sys

from fastbp._core.graph import Variable
from fastbp._core.operands import as_numbers

__all__ = ["adopt"]

_INPLACE = ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow")
_BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")

# Library -> its classes, and the operators that have to leave a Variable to its own.
_CLASSES = {
    "pandas": (("DataFrame", "Series"), ("matmul", *_INPLACE)),
    "xarray": (("DataArray", "Dataset", "Variable"), (*_BINARY, *_INPLACE)),
}
_adopted = set()


def adopt():
    """Let the classes of those libraries that are there take Variables."""
    for library in (_CLASSES.keys() - _adopted) & sys.modules.keys():
        names, operators = _CLASSES[library]
        classes = [getattr(sys.modules[library], name, None) for name in names]
        if None in classes:
            continue  # it is being imported
        _adopted.add(library)
        replaced = {f"__{name}__": _left for name in operators}
        replaced |= {"dot": _dotted, "__array_ufunc__": _ufunc_left}
        for owner in {c for kind in classes for c in kind.__mro__ if _is_of(c, library)}:
            for name in replaced.keys() & vars(owner).keys():
                setattr(owner, name, replaced[name](vars(owner)[name]))


def _is_of(kind, library):
    return kind.__module__.partition(".")[0] == library


def _left(original):
    """Wrap an operator: a Variable's own one is called."""

    @functools.wraps(original)
    def method(self, other, *args, **kwargs):
        if type(other) is Variable:
            return NotImplemented
        return original(self, other, *args, **kwargs)

    return method


def _dotted(original):
    """Wrap the method ``dot``."""

    @functools.wraps(original)
    def method(self, other, *args, **kwargs):
        if type(other) is Variable:
            return operator.matmul(as_numbers(self, "dot: the table"), other)
        return original(self, other, *args, **kwargs)

    return method


def _ufunc_left(original):
    """Wrap NumPy's protocol for ufuncs: that of the Variable is called."""

    @functools.wraps(original)
    def method(self, ufunc, method, *operands, **kwargs):
        if any(type(x) is Variable for x in operands):
            return NotImplemented
        return original(self, ufunc, method, *operands, **kwargs)

    return method
