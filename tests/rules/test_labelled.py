"""Tables of pandas and xarray as constants on either side of a Variable."""

import operator
import sys

import numpy as np
import pytest

import fastbp as bp
from fastbp.errors import DTypeError, NoRuleError
from fastbp.rules import labelled as tables

X = np.array([0.5, 1.5, 2.5])
A = np.array([[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]])
ELEMENTWISE = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.mod,
    operator.pow,
    np.add,
    np.multiply,
    np.minimum,
    np.hypot,
]


class Table:
    """Like a column of a table: says what array it is, and leaves operators to a higher priority.

    Its own operators would make objects of Variables.
    """

    __array_priority__ = 50

    def __init__(self, values):
        self.values = np.asarray(values)

    def to_numpy(self):
        return self.values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)

    def _leave(self, other):
        if getattr(other, "__pandas_priority__", 0) > 3000:
            return NotImplemented
        raise AssertionError("a Variable comes with a priority")

    __add__ = __sub__ = __mul__ = __truediv__ = __mod__ = __pow__ = __matmul__ = _leave


def series(values):
    return pytest.importorskip("pandas").Series(values)


def index(values):
    return pytest.importorskip("pandas").Index(values)


def data_array(values):
    return pytest.importorskip("xarray").DataArray(values)


def xarray_variable(values):
    return pytest.importorskip("xarray").Variable("abcd"[: np.ndim(values)], values)


COLUMNS = {
    "stand-in": Table,
    "Series": series,
    "Index": index,
    "DataArray": data_array,
    "xarray.Variable": xarray_variable,
}


def frame(values):
    return pytest.importorskip("pandas").DataFrame(values, columns=["a", "b"])


MATRICES = {"stand-in": Table, "DataFrame": frame, "DataArray": data_array}


def assert_like_an_array(apply, table, array, x):
    """The result is a Variable, with the value and the derivative that the array gives."""
    found = apply(table, bp.variable(x))
    assert type(found) is bp.Variable
    expected, pullback = bp.vjp(lambda x: apply(array, x), x)
    np.testing.assert_array_equal(found.value, expected)
    out, pull = bp.vjp(lambda x: apply(table, x), x)
    g = np.ones_like(expected)
    assert type(out) is type(expected)
    np.testing.assert_array_equal(pull(g)[0], pullback(g)[0])


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.__name__)
@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_constants_on_either_side(name, op):
    values = np.array([1.0, 2.0, 3.0])
    table = COLUMNS[name](values)
    assert_like_an_array(lambda t, x: op(x, t), table, values, X)
    if not (name == "stand-in" and isinstance(op, np.ufunc)):
        assert_like_an_array(op, table, values, X)


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_whole_numbers_and_booleans(name):
    for values in (np.array([1, 2, 3]), np.array([True, False, True])):
        assert_like_an_array(lambda t, x: x * t, COLUMNS[name](values), values, X)


@pytest.mark.parametrize("name", MATRICES)
def test_matrices_are_constants_on_either_side(name):
    table = MATRICES[name](A)
    for apply, x in (
        (lambda t, b: t @ b, X[:2]),
        (lambda t, b: b @ t, X),
        (lambda t, b: b @ t, A.T),
        (np.dot, X[:2]),
        (lambda t, b: t * b, X[:2]),
        (lambda t, b: b - t, A),
    ):
        assert_like_an_array(apply, table, A, x)


def test_methods_and_functions_of_pandas():
    table, column = frame(A), series([1.0, 2.0, 3.0])
    for apply, x in (
        (lambda t, b: np.matmul(t, b), X[:2]),
        (lambda t, b: t["b"] * b if type(t) is not np.ndarray else t[:, 1] * b, X),
        (lambda t, b: np.einsum("ij,j", t, b), X[:2]),
        (lambda t, b: np.stack([b, t["a"] if type(t) is not np.ndarray else t[:, 0]]), X),
    ):
        assert_like_an_array(apply, table, A, x)
    x = bp.variable(X)
    np.testing.assert_array_equal(table.dot(bp.variable(X[:2])).value, A @ X[:2])
    assert type(column @ x) is type(column.dot(x)) is type(column.mul(x)) is bp.Variable
    np.testing.assert_array_equal((column @ x).value, np.array([1.0, 2.0, 3.0]) @ X)
    # In place on a table, the name becomes a Variable; the table is as it was.
    kept = column
    column *= x
    assert type(column) is bp.Variable
    np.testing.assert_array_equal(kept, [1.0, 2.0, 3.0])
    x += kept
    np.testing.assert_array_equal(x.value, [1.5, 3.5, 5.5])


def test_choosing_by_columns():
    column, x = series([1.0, 2.0, 3.0]), bp.variable(X)
    for found in (column > x, x < column):
        np.testing.assert_array_equal(found, [True, True, True])
    np.testing.assert_array_equal(np.where(column > 1.5, x, 0.0).value, [0.0, 1.5, 2.5])
    np.testing.assert_array_equal(x[column > 1.5].value, [1.5, 2.5])
    np.testing.assert_array_equal(x[series([2, 0])].value, [2.5, 0.5])


def test_a_column_as_the_argument():
    column = series([1.0, 2.0, 3.0])
    found = bp.grad(lambda s: np.sum(s * s))(column)
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, [2.0, 4.0, 6.0])
    np.testing.assert_array_equal(bp.grad(lambda s: np.sum(s * s))(series([1, 2])), [2.0, 4.0])
    g = bp.grad(lambda p: np.sum(p["w"] * p["t"]["a"]))({"w": X, "t": frame(A).assign(name="n")})
    np.testing.assert_array_equal(g["w"], A[:, 0])
    assert g["t"] is None


@pytest.mark.parametrize("values", [["a", "b", "c"], [[1], 2, None]])
def test_columns_that_are_no_numbers_are_refused(values):
    x = bp.variable(X)
    for apply in (lambda t: x * t, lambda t: t * x):
        with pytest.raises(DTypeError, match="multiply: an operand has dtype"):
            apply(series(values))


def test_what_makes_a_table_of_a_variable_is_named():
    pandas = pytest.importorskip("pandas")
    x = bp.variable(X)
    table = frame(A)
    for call, name in (
        (lambda: pandas.Series(x), r"pandas\.Series"),
        (lambda: pandas.DataFrame({"a": x}), r"pandas\.DataFrame"),
        (lambda: table.__setitem__("c", x), r"pandas\.DataFrame\.__setitem__"),
    ):
        with pytest.raises(NoRuleError, match=rf"^{name} takes no Variable: write x\.value"):
            call()


def test_tables_among_themselves_are_as_before():
    column, array = series([1.0, 2.0, 3.0]), data_array([1.0, 2.0, 3.0])
    assert type(column * column) is type(column)
    assert column @ column == 14.0
    assert type(array * array) is type(np.exp(array)) is type(array)
    other = array.copy()
    other += array
    assert float(other[2]) == 6.0


def test_a_library_that_is_being_imported_is_adopted_later(monkeypatch):
    monkeypatch.setattr(tables, "_adopted", set())
    monkeypatch.setattr(tables, "_CLASSES", {"fastbp_no_library": (("Table",), ("matmul",))})
    tables.adopt()
    module = type(sys)("fastbp_no_library")
    monkeypatch.setitem(sys.modules, "fastbp_no_library", module)
    bp.variable(1.0)  # there, but without its class
    own = type("Table", (Table,), {"__matmul__": lambda self, x: "mine"})
    own.__module__ = "fastbp_no_library"
    module.Table = own
    tables.adopt()
    assert own([1.0]) @ 2.0 == "mine"
    assert (own([1.0, 2.0, 3.0]) @ bp.variable(X)).value == 11.0
