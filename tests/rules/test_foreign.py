"""Operands of other libraries: who is asked, and what is left to whom."""

import operator
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import fastbp as bp
from fastbp.errors import DTypeError
from fastbp.rules import foreign

from .. import versions

X = np.array([1.0, 2.0])


class Quiet:
    """Leaves its operators to others, and is no array."""


class Foreign:
    """An array of another library."""

    def __array__(self, dtype=None, copy=None):
        return np.ones(2)


class Strong:
    """Has operators for everything."""

    __array_ufunc__ = None

    def __radd__(self, other):
        return "strong"


def test_what_is_no_array_is_a_type_error():
    for apply in (operator.add, operator.pow, operator.matmul, operator.mod):
        with pytest.raises(TypeError, match="unsupported operand"):
            apply(bp.variable(X), Quiet())


def test_an_array_of_another_library_is_refused_by_name():
    for apply in (operator.add, operator.floordiv, divmod):
        with pytest.raises(DTypeError, match=r"Foreign, an array of another library"):
            apply(bp.variable(X), Foreign())


def test_what_asks_for_the_operator_gets_it():
    assert bp.variable(X) + Strong() == "strong"


def test_a_library_registers_its_operators(monkeypatch):
    def seven(name, a, b):
        return 7 if type(b) is Quiet and name == "add" else NotImplemented

    monkeypatch.setattr(foreign, "OPERATORS", [*foreign.OPERATORS, seven])
    assert bp.variable(X) + Quiet() == 7
    with pytest.raises(TypeError):
        bp.variable(X) - Quiet()


@pytest.mark.parametrize("first", ["fastbp", "scipy.sparse"])
def test_sparse_matrices_come_in_any_order(first):
    """Nothing of SciPy's is loaded by fastbp; a leaf older than the import still multiplies."""
    code = f"""
import sys, numpy as np
if {first == "scipy.sparse"}:
    import scipy.sparse as sp
import fastbp as bp
x = bp.variable(np.array([1.0, 2.0]))
if {first == "fastbp"}:
    assert not {{"scipy.sparse", "fastbp.sparse"}} & sys.modules.keys() or {bool(versions.LOADED)}
import scipy.sparse as sp
s = sp.csr_array(np.array([[1.0, 0.0], [0.0, 3.0]]))
print(type(s @ x).__name__, (s @ x).value, (x @ s).value, "scipy.sparse.linalg" in sys.modules)
"""
    command = [sys.executable, "-P", "-W", "error", "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    linalg = "scipy.sparse.linalg" in versions.LOADED
    assert found.split() == ["Variable", "[1.", "6.]", "[1.", "6.]", str(linalg)]


@pytest.mark.parametrize("number", [Fraction(1, 2), Decimal("0.5")])
@pytest.mark.parametrize("name", foreign._APPLIED)
def test_numbers_of_python_that_numpy_has_not(number, name):
    apply = foreign._APPLIED[name]
    if name == "power" and type(number) is Fraction:  # which makes a float of itself
        assert bp.grad(lambda x: x**number)(4.0) == 0.25
        return
    for f in (lambda x: apply(x, number), lambda x: apply(number, x)):
        with pytest.raises(DTypeError, match=r"write float\(x\)$"):
            f(bp.variable(X))
    with pytest.raises(DTypeError, match=r"numpy\.maximum: operand 1 .*write float\(x\)$"):
        np.maximum(bp.variable(X), number)
    with pytest.raises(DTypeError, match=r"write x\.astype\(float\)$"):
        bp.variable(X) * np.array([number, number])
