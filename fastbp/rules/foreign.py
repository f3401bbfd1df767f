"""Operands of other libraries beside Variables: what the core asks when it meets one.

The core knows NumPy only. What else has numbers and operators of its own (tables with labels,
sparse matrices) is known here, or registers itself here when its library is in use.
"""

import importlib
import numbers
import operator as operators
import sys

from fastbp._core import graph
from fastbp._core.graph import Variable
from fastbp._core.operands import as_numbers
from fastbp.errors import DTypeError
from fastbp.rules import labelled, namespaces

__all__ = ["ANSWERS", "OPERATORS", "adopt", "answer", "operator"]

OPERATORS = []  # f(name, a, b): the result beside an operand that it knows, or NotImplemented
ANSWERS = []  # f(late): what to give a library that asks a Variable for an array, or None

# Library -> the module that tells its classes about Variables, imported once both are in use.
_ADOPTED_BY = {
    "numpy.polynomial": "fastbp.rules.numpy.polynomial_classes",
    "scipy.sparse": "fastbp.sparse.operands",
}

_APPLIED = {
    "add": operators.add,
    "subtract": operators.sub,
    "multiply": operators.mul,
    "divide": operators.truediv,
    "remainder": operators.mod,
    "divmod": divmod,
    "floor_divide": operators.floordiv,
    "power": operators.pow,
    "matmul": operators.matmul,
}
_PROTOCOLS = ("__array__", "__jax_array__", "__array_interface__", "__array_namespace__")


def adopt():
    """Tell the classes of other libraries about Variables; return those that came late.

    The core calls it for a leaf that is made after modules were imported.
    """
    late = {library for library in _ADOPTED_BY.keys() & sys.modules.keys() if _is_new(library)}
    for library in late:
        importlib.import_module(_ADOPTED_BY[library])
    labelled.adopt()
    namespaces.adopt()
    return late


def _is_new(library):
    return _ADOPTED_BY[library] not in sys.modules


def answer(x):
    """Return what lets code go on that asks the Variable `x` for an array, or None."""
    late = adopt()
    return next((found for ask in ANSWERS if (found := ask(late)) is not None), None)


def operator(name, a, b):
    """Apply an operator to a Variable and an operand that is not NumPy's, in either order."""
    adopt()
    for apply in OPERATORS:
        result = apply(name, a, b)
        if result is not NotImplemented:
            return result
    return _left_to(name, a, b)


def _left_to(name, a, b):
    """Leave an operator to what is not NumPy's; refuse what would have no better answer than ours.

    As NumPy (NEP 13), an operand has its say if it asks for it, by ``__array_ufunc__ = None`` or a
    higher ``__array_priority__``, and if it does not look like an array. A table of numbers with
    labels (pandas, xarray) says by ``to_numpy`` what array it is: that is the operand.
    """
    right = type(a) is Variable
    x = b if right else a
    kind = type(x)
    if isinstance(x, numbers.Number):
        return _by_a_number(name, a, x, right)
    if (
        getattr(kind, "__array_ufunc__", x) is None
        or getattr(x, "__array_priority__", 0.0) > Variable.__array_priority__
        or not any(hasattr(kind, protocol) for protocol in _PROTOCOLS)
    ):
        return NotImplemented
    if hasattr(kind, "__array__") and hasattr(kind, "to_numpy"):
        x = as_numbers(x, f"{name}: an operand")
        return _APPLIED[name](a, x) if right else _APPLIED[name](x, b)
    raise DTypeError(
        f"{name}: an operand is a {kind.__module__}.{kind.__qualname__}, an array of another "
        "library: pass numpy.asarray(x), a constant here"
    )


def _by_a_number(name, a, x, right):
    """Let a number that is not NumPy's (a Fraction, a Decimal) have its say, or refuse it."""
    reflected = getattr(x, f"__r{_APPLIED[name].__name__}__", None) if right else None
    found = NotImplemented if reflected is None else reflected(a)
    if found is NotImplemented:
        raise DTypeError(
            f"{name}: an operand is a {type(x).__name__}, of which NumPy makes arrays of objects: "
            "write float(x)"
        )
    return found


def _late_rules():
    """Load the rows of SciPy's ufuncs, which takes time: the core met one that it does not know."""
    importlib.import_module("fastbp.rules.special.late")


graph.bind("late_rules", _late_rules)
graph.bind("adopt", adopt)
graph.bind("foreign_answer", answer)
graph.bind("foreign_operator", operator)
