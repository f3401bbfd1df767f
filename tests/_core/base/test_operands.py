"""What may stand for an array of numbers: arrays with another meaning are refused."""

import numpy as np
import pytest
import scipy.sparse as sp

import fastbp as bp
import fastbp.numpy as bnp
from fastbp._core.operands import as_array, as_numbers
from fastbp.errors import DTypeError, ShapeError
from fastbp.rules.table import SAMPLES

from ...harness import calls_of

M = np.matrix([[1.0, 2.0], [3.0, 4.0]])
MASKED = np.ma.masked_array([1.0, 2.0], [False, True])


class Metres(np.ndarray):
    """An array with a unit: its operators are its own."""

    def __array_ufunc__(self, ufunc, method, *operands, **kwargs):
        raise TypeError("metres and numbers")


class Named(np.ndarray):
    """An array with a name, and ndarray's operators."""


OTHERS = {
    "matrix": (M, "numpy.matrix"),
    "masked": (np.ma.masked_array(np.ones((2, 2)), np.eye(2)), "mask would be lost"),
    "unit": (np.ones((2, 2)).view(Metres), "Metres"),
}


@pytest.fixture(params=OTHERS)
def other(request):
    """An array that means something else, of shape (2, 2), and what names it."""
    return OTHERS[request.param]


A = np.ones((2, 2))
PLACES = {
    "ufunc": lambda x, m: np.add(x, m),
    "operator": lambda x, m: x * m,
    "matmul": lambda x, m: x @ m,
    "concatenate": lambda x, m: np.concatenate([x, m]),
    "concatenate, flat": lambda x, m: np.concatenate([x, m], axis=None),
    "stack": lambda x, m: np.stack([m, x]),
    "vstack": lambda x, m: np.vstack([m, x]),
    "hstack": lambda x, m: np.hstack([x, m]),
    "column_stack": lambda x, m: np.column_stack([x, m]),
    "append": lambda x, m: np.append(x, m),
    "block": lambda x, m: np.block([[x, m]]),
    "bnp.array": lambda x, m: bnp.array([x, m]),
    "where": lambda x, m: np.where(A > 0, x, m),
    "condition": lambda x, m: np.where(m, x, 0.0),
    "einsum": lambda x, m: np.einsum("ij,jk", x, m),
    "dot": lambda x, m: np.dot(m, x),
    "kron": lambda x, m: np.kron(x, m),
    "outer": lambda x, m: np.multiply.outer(x, m),
    "solve": lambda x, m: np.linalg.solve(x, m),
    "clip": lambda x, m: np.clip(x, m, 5.0),
    "average": lambda x, m: np.average(x, weights=m),
    "a list": lambda x, m: x * [m, m],
    "setitem": lambda x, m: x.__setitem__(slice(None), m),
    "flat": lambda x, m: setattr(x, "flat", m),
    "in place": lambda x, m: x.__iadd__(m),
    "full": lambda x, m: bnp.full((2, 2), [[x, m]]),
    "dtype=": lambda x, m: np.multiply(x, m, dtype=np.float64),
    "variable": lambda x, m: bp.variable(m),
    "argument": lambda x, m: bp.grad(np.sum)(m),
    "cotangent": lambda x, m: bp.vjp(np.sin, A)[1](m),
    "tangent": lambda x, m: bp.jvp(np.sin, (A,), (m,)),
    "grad_outputs": lambda x, m: bp.gradients(x * x, x, m),
    "output": lambda x, m: bp.vjp(lambda a: m, A),
    "operand of a rule": lambda x, m: bp.custom_rule(np.multiply, vjp=lambda g, *_: (g, g))(x, m),
    "cotangent of a rule": lambda x, m: bp.grad(
        lambda a: np.sum(bp.custom_rule(np.sin, vjp=lambda g, ans, a: m)(a))
    )(A),
    "tangent of a rule": lambda x, m: bp.jvp(
        bp.custom_rule(np.sin, jvp=lambda ts, ans, a: m), (A,), (A,)
    ),
    "result of a rule": lambda x, m: bp.custom_rule(lambda a: m, vjp=lambda g, ans, a: g)(x),
    "matmul_vjp": lambda x, m: bp.matmul_vjp(A, m, A),
    "csr": lambda x, m: bp.sparse.csr(m, [0], [0, 1], (1, 1)),
    "beside sparse": lambda x, m: bp.sparse.csr([1.0, 1.0], [0, 1], [0, 1, 2], (2, 2)) @ m,
    "factor": lambda x, m: bp.chain.Dense(m),
    "vector of a factor": lambda x, m: bp.chain.Dense(A).vjp(m),
    "beside a factor": lambda x, m: bp.chain.Dense(A) @ m,
    "tensor": lambda x, m: bp.tensor.from_dense(m),
    "operand of a tensor": lambda x, m: bp.tensor.from_dense(np.ones((2, 2, 2, 2))).contract(m),
    "cell": lambda x, m: bp.recurrent.rnn(A, A[0], W=m, U=A),
}


@pytest.mark.parametrize("place", PLACES)
def test_an_array_with_another_meaning_is_refused(place, other):
    m, name = other
    with pytest.raises(DTypeError, match=name):
        PLACES[place](bp.variable(A), m)


def test_on_the_left_too():
    x = bp.variable(A)
    for apply in (lambda: M * x, lambda: M @ x, lambda: M + x):
        with pytest.raises(DTypeError, match=r"numpy\.asarray\(x\), and write @"):
            apply()
    with pytest.raises(DTypeError, match="mask would be lost"):
        OTHERS["masked"][0] * x
    for sparse in (sp.csr_matrix(A).todense(), sp.csr_matrix(A).sum(axis=0)):
        with pytest.raises(DTypeError, match=r"numpy\.matrix"):
            sparse * x


def ragged(x):
    """Return the rows of an array as a list of lists, one of which has an element too many."""
    rows = np.asarray(x).tolist()
    return [*rows, [rows, 1.0]] if isinstance(rows, list) else [rows, [1.0]]


# By what the message says: an array of the same numbers that means something else.
MEANINGS = {
    "mask": lambda x: np.ma.masked_array(x, np.ones(x.shape, bool)),
    "Metres": lambda x: x.view(Metres),
    "object": lambda x: x.astype(object),
    r"numpy\.matrix": lambda x: x.view(np.matrix) if x.ndim == 2 else None,
    "rectangular": ragged,
}


NESTED = {"array", "block"}  # their lists are structure


@pytest.mark.parametrize("meaning", MEANINGS)
@pytest.mark.parametrize("name", SAMPLES)
def test_no_function_of_the_table_loses_a_meaning(name, meaning):
    """Every array beside the first one that is differentiated, in every sampled call."""
    for call in calls_of(name):
        for k in range(1, len(call.arrays)):
            arrays = [bp.variable(x) for x in call.arrays]
            arrays[k] = MEANINGS[meaning](call.arrays[k])
            if arrays[k] is None or (name in NESTED and isinstance(arrays[k], list)):
                continue
            with pytest.raises(
                (DTypeError, ShapeError, bp.errors.NoRuleError), match=f"{meaning}|no derivative"
            ):
                call.everything(*arrays)


def test_the_message_names_the_function_and_the_operand():
    x = bp.variable(np.ones(2))
    with pytest.raises(DTypeError, match=r"numpy\.concatenate: array 1 is a masked array"):
        np.concatenate([x, MASKED])
    with pytest.raises(DTypeError, match=r"multiply: operand 1 is a masked array.*x\.filled"):
        x * MASKED
    with pytest.raises(DTypeError, match=r"setitem: the value is a masked array"):
        x[:] = MASKED
    with pytest.raises(DTypeError, match=r"einsum: operand 1"):
        np.einsum("i,i", x, MASKED)


def test_subclasses_with_the_operators_of_arrays_are_arrays(tmp_path):
    named = np.ones(3).view(Named)
    mapped = np.memmap(tmp_path / "x", np.float64, "w+", shape=3)
    mapped[:] = 2.0
    for operand, slope in ((named, 1.0), (mapped, 2.0)):
        np.testing.assert_array_equal(
            bp.grad(lambda x, a=operand: np.sum(x * a))(np.ones(3)), slope
        )
        g = bp.grad(lambda a: np.sum(a * a))(operand)
        assert type(g) is np.ndarray
        np.testing.assert_array_equal(g, 2 * slope)


def test_as_array():
    a = np.arange(3)
    assert as_array(a) is a
    assert type(as_array(a.view(Named))) is np.ndarray
    assert as_numbers([True, False]).dtype == bool
    with pytest.raises(ShapeError, match="f: x is not a rectangular array"):
        as_array([[1.0], [1.0, 2.0]], "f: x")
    with pytest.raises(DTypeError, match="list of Variables"):
        as_array([bp.variable(1.0)])
    with pytest.raises(DTypeError, match=r"toarray\(\)"):
        as_numbers(sp.eye_array(2))
    assert as_numbers(1j) == 1j
    with pytest.raises(DTypeError, match="real and imaginary parts"):
        as_numbers(1j, real=True)
    with pytest.raises(DTypeError, match=r"dtype <U1 \(str\), numbers are needed"):
        as_numbers("a")


# ---- arrays of other libraries


class Foreign:
    """Like an array of JAX: NumPy can convert it, and it leaves the operators to others."""

    def __init__(self, values):
        self.values = values

    def __jax_array__(self):
        return self.values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)

    def __mul__(self, other):
        return NotImplemented

    __rmul__ = __mul__


class Tensor:
    """Like a tensor of PyTorch: it cannot become an array without losing its derivative."""

    def __array__(self, dtype=None):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad")


class Polite(Foreign):
    """Asks for the last word by NumPy's protocol."""

    __array_ufunc__ = None

    def __rmul__(self, other):
        return "mine"


class Important(Foreign):
    """Asks for the last word by a priority."""

    __array_priority__ = 1e6

    def __rmul__(self, other):
        return "mine"


class Half:
    """A number of another kind: no array."""

    def __rmul__(self, other):
        return other * 0.5


def test_arrays_of_other_libraries_are_refused_in_operators():
    x = bp.variable(np.ones(2))
    foreign = Foreign(np.array([2.0, 3.0]))
    for apply in (
        lambda: x * foreign,
        lambda: foreign * x,
        lambda: x + foreign,
        lambda: x @ foreign,
        lambda: x**foreign,
        lambda: x % foreign,
        lambda: x // foreign,
    ):
        with pytest.raises(DTypeError, match=r"test_operands\.Foreign.*numpy\.asarray\(x\)"):
            apply()
    with pytest.raises(DTypeError, match=r"multiply: an operand is a .*\.Tensor"):
        x * Tensor()
    g = bp.grad(lambda x: np.sum(x * np.asarray(foreign)))(np.ones(2))
    np.testing.assert_array_equal(g, [2.0, 3.0])


def test_operands_that_ask_for_it_have_the_last_word():
    x = bp.variable(np.ones(2))
    assert x * Polite(np.ones(2)) == "mine"
    assert x * Important(np.ones(2)) == "mine"
    np.testing.assert_array_equal((x * Half()).value, 0.5)
    with pytest.raises(TypeError, match="unsupported operand"):
        x * object()


def test_complex_numbers_are_operands():
    x = bp.variable(np.ones(2))
    for apply in (
        lambda: x + 1j,
        lambda: 1j * x,
        lambda: x**1j,
        lambda: x @ np.ones(2, complex),
        lambda: np.add(x, np.complex128(1j)),
    ):
        assert apply().dtype == np.complex128
