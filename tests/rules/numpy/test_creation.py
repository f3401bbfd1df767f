"""Arrays made in recorded functions: they take recorded values, and are constants until then."""

import pickle
import threading

import numpy as np
import pytest
import scipy.linalg

import fastbp as bp
import fastbp.numpy as bnp
from fastbp import errors
from fastbp._core import graph
from fastbp.testing import check_grads

X = np.array([0.3, 0.7])


def recorded(f):
    """Run `f` as a function that is recorded; return what it returns."""
    found = []

    def g(x):
        found.append(f(x))
        return np.sum(x)

    bp.grad(g)(X)
    return found[0]


MADE = {
    "arange": lambda np: np.arange(0.0, 3.0),
    "array": lambda np: np.array([1.0, 2.0]),
    "asarray": lambda np: np.asarray([1.0, 2.0]),
    "copy": lambda np: np.copy([1.0, 2.0]),
    "diag": lambda np: np.diag([1.0, 2.0]),
    "empty": lambda np: np.empty((2, 0)),
    "eye": lambda np: np.eye(3, k=1),
    "full": lambda np: np.full((2, 2), 7.0),
    "full_like": lambda np: np.full_like([1.0, 2.0], 3.0),
    "identity": lambda np: np.identity(2),
    "linspace": lambda np: np.linspace(0, 1, 5),
    "logspace": lambda np: np.logspace(0, 1, 3),
    "geomspace": lambda np: np.geomspace(1, 8, 4),
    "ones": lambda np: np.ones(3, np.float32),
    "ones_like": lambda np: np.ones_like([1.0, 2.0]),
    "r_": lambda np: np.r_[0.0:1.0:0.5, 3.0],
    "c_": lambda np: np.c_[[1.0, 2.0], [3.0, 4.0]],
    "stack": lambda np: np.stack([[1.0, 2.0], [3.0, 4.0]]),
    "tri": lambda np: np.tri(3),
    "zeros": lambda np: np.zeros((2, 3), order="F"),
    "complex": lambda np: np.zeros(3, complex),
    "zeros_like": lambda np: np.zeros_like([[1.0, 2.0]]),
}
PLAIN = {
    "integers": lambda np: np.zeros(3, int),
    "a mask": lambda np: np.zeros(3, bool),
    "integers in a list": lambda np: np.array([1, 2]),
    "text": lambda np: np.array(["a"]),
    "an array of the caller's": lambda np: np.asarray(X),
    "a view of it": lambda np: np.reshape(X, (2, 1)),
}


@pytest.mark.parametrize("name", MADE)
def test_arrays_that_are_made(name):
    plain = MADE[name](np)
    outside = MADE[name](bnp)
    assert type(outside) is np.ndarray
    inside = recorded(lambda x: MADE[name](bnp))
    assert graph.is_fillable(inside)
    for found in (outside, inside.value):
        assert (found.dtype, found.shape) == (plain.dtype, plain.shape)
        np.testing.assert_array_equal(found, plain)
        assert found.flags.f_contiguous == plain.flags.f_contiguous


@pytest.mark.parametrize("name", PLAIN)
def test_arrays_that_stay_plain(name):
    assert type(recorded(lambda x: PLAIN[name](bnp))) is np.ndarray


LIKE = {
    "zeros_like": lambda x: np.zeros_like(x),
    "empty_like": lambda x: np.empty_like(x) * 0.0,
    "ones_like": lambda x: np.ones_like(x),
    "full_like": lambda x: np.full_like(x, 2.0),
    "zeros like": lambda x: np.zeros(2, like=x),
    "array like": lambda x: np.array([1.0, 2.0], like=x),
    "eye like": lambda x: np.eye(2, like=x)[0],
    "copy": lambda x: x.copy(),
    "numpy.copy": lambda x: np.copy(x),
}


@pytest.mark.parametrize("make", LIKE.values(), ids=LIKE)
@pytest.mark.parametrize("variable", [False, True])
def test_plain_numpy_on_a_recorded_value(make, variable):
    def f(x):
        b = make(x)
        b[0] = x[1] * x[0]
        return np.sum(b * b)

    if variable:
        x = bp.variable(X)
        found = bp.gradients(f(x), x)
    else:
        found = bp.grad(f)(X)
        check_grads(f, (X,), order=2)
    slopes = np.array([2 * X[0] * X[1] ** 2, 2 * X[0] ** 2 * X[1]])
    if make in (LIKE["copy"], LIKE["numpy.copy"]):
        slopes[1] += 2 * X[1]
    np.testing.assert_allclose(found, slopes)


def test_integers_of_a_recorded_value_are_plain():
    x = bp.variable(X)
    assert np.zeros_like(x, dtype=int).dtype.kind == "i"
    assert type(np.zeros_like(x, dtype=int)) is np.ndarray


JOINED = {
    "a vector": lambda np, x: np.array([x[0] * 2 - 1, 2.0, x[1]]),
    "a matrix": lambda np, x: np.array([[x[0], 1], [-x[1], x[0] * x[1]]]),
    "rows": lambda np, x: np.array([x, 2 * x, [1.0, 3.0]]),
    "rows of rows": lambda np, x: np.array([[x, x], [x * x, [0, 1]]]),
    "a list of one": lambda np, x: np.array([x[0]]),
    "asarray": lambda np, x: np.asarray([x[0], 1.0]),
    "full": lambda np, x: np.full((2, 2), x[0] * x[1]),
    "r_": lambda np, x: np.r_[x, 1.0, x[0] ** 2, 0:2],
    "r_ by columns": lambda np, x: np.r_["1,2,0", x, [1.0, 2.0]],
    "c_": lambda np, x: np.c_[x, x * x],
    "linspace": lambda np, x: np.linspace(x[0], x[1], 5),
    "arange": lambda np, x: np.arange(x[0], 3.0, x[1]),
    "sum of a list": lambda np, x: np.sum([x[0], x[1] ** 2]),
    "maximum of a list": lambda np, x: np.max([x[0], x[1], 0.1]),
    "mean of lists": lambda np, x: np.mean([x, x * x], axis=0),
    "stack of lists": lambda np, x: np.stack([[x[0], 1.0], [2.0, x[1]]]),
    "concatenate lists": lambda np, x: np.concatenate([[x[0]], x]),
    "a list as operand": lambda np, x: np.dot(x, [x[0], 1.0]) + np.maximum(x, [x[1], 0.0]),
    "times a list": lambda np, x: x * [x[1], 2.0],
}


@pytest.mark.parametrize("f", JOINED.values(), ids=JOINED)
def test_joined_values(f):
    def g(x):
        y = f(bnp, x)
        return np.sum(y * y * np.cos(np.arange(np.size(y)).reshape(np.shape(y))))

    np.testing.assert_allclose(f(bnp, bp.variable(X)).value, f(np, X), rtol=1e-15)
    check_grads(g, (X,), order=3)


def test_fillables_are_constants_for_all_who_know_no_variables():
    def f(x):
        a = bnp.eye(3)
        assert float(a[0, 0]) == 1.0
        assert type(a[0, 1]) is np.float64
        assert int(bnp.ones(1)[0]) == 1
        assert type((a * 2 + 1).sum()) is np.float64
        np.testing.assert_array_equal(scipy.linalg.expm(bnp.zeros((2, 2))), np.eye(2))
        np.testing.assert_array_equal(np.linalg.eigvalsh(a), np.ones(3))
        with pytest.raises(ValueError, match="read-only"):
            np.asarray(a)[0, 0] = 3.0  # would be lost
        assert type(pickle.loads(pickle.dumps(a))) is np.ndarray
        assert a.tolist() is not None
        assert a.flags is not None
        assert "fillable" in repr(a)
        return np.sum(a @ bnp.ones(3)) * x[0]

    np.testing.assert_array_equal(bp.grad(f)(X), [3.0, 0.0])


def test_views_of_fillables():
    def f(x):
        a = bnp.zeros((2, 2))
        row, column = a[0], a[:, 1]
        row[1] = x[0]
        column[1] = x[1]
        scaled = a * 3.0
        scaled[0, 0] = 1.0
        return column[0] * column[1] + np.sum(scaled)

    np.testing.assert_allclose(bp.grad(f)(X), [0.7 + 3, 0.3 + 3])


def test_fillables_at_the_ends_of_transforms():
    def inner(a):
        return np.sum(a * a)

    def f(x):
        a = bnp.ones(2)
        g = bp.grad(inner)(a)  # of a constant: an array
        assert type(g) is np.ndarray
        assert type(bp.jacobian(lambda v: v * v)(a)) is np.ndarray
        with pytest.raises(errors.NoRuleError, match=r"fastbp\.variable"):
            bp.gradients(np.sum(x), a)
        return np.sum(g * x)

    np.testing.assert_array_equal(bp.grad(f)(X), [2.0, 2.0])
    out, pull = bp.vjp(lambda x: {"zeros": bnp.zeros(2), "x": x * 2}, X)
    assert type(out["zeros"]) is np.ndarray
    np.testing.assert_array_equal(pull({"zeros": np.ones(2), "x": np.ones(2)})[0], [2.0, 2.0])


def test_only_the_recording_thread():
    kinds = []

    def f(x):
        worker = threading.Thread(target=lambda: kinds.append(type(bnp.zeros(2))))
        worker.start()
        worker.join()
        kinds.append(type(bnp.zeros(2)))
        return np.sum(x)

    bp.grad(f)(X)
    kinds.append(type(bnp.zeros(2)))
    assert kinds == [np.ndarray, bp.Variable, np.ndarray]


def test_rules_of_users_see_plain_arrays():
    kinds = []

    def value(x):
        kinds.append(type(bnp.zeros(2)))
        return x * 2.0

    f = bp.custom_rule(value, vjp=lambda g, ans, x: g * bnp.full(2, 2.0))
    np.testing.assert_array_equal(bp.grad(lambda x: np.sum(f(x)))(X), [2.0, 2.0])
    assert bp.hessian(lambda x: np.sum(f(x) ** 2))(X).tolist() == [[8.0, 0.0], [0.0, 8.0]]
    assert set(kinds) == {np.ndarray}


FILLING = {
    "fill_diagonal": lambda np, b, x: np.fill_diagonal(b, x),
    "fill_diagonal of a number": lambda np, b, x: np.fill_diagonal(b, x[0] * x[1]),
    "fill_diagonal, wrapped": lambda np, b, x: np.fill_diagonal(b, x, wrap=True),
    "copyto": lambda np, b, x: np.copyto(b, x * 2, where=[True, False]),
    "put": lambda np, b, x: np.put(b, [1, -1, 2], x),
    "put, clipped": lambda np, b, x: np.put(b, [1, 99], x, mode="clip"),
    "place": lambda np, b, x: np.place(b, np.arange(10).reshape(5, 2) % 3 == 0, x),
    "putmask": lambda np, b, x: np.putmask(b, np.arange(10).reshape(5, 2) % 3 == 0, x),
    "put_along_axis": lambda np, b, x: np.put_along_axis(b, np.array([[1], [0]]), x[:, None], 1),
    "fill": lambda np, b, x: b.fill(x[0] * x[1]),
}


@pytest.mark.parametrize("fill", FILLING.values(), ids=FILLING)
def test_functions_that_fill(fill):
    shape = (2, 2) if fill is FILLING["put_along_axis"] else (5, 2)

    def f(x):
        b = bnp.ones(shape)
        fill(bnp, b, x)
        return np.sum(b * b * np.arange(1.0, b.size + 1).reshape(shape))

    def plain(x):
        b = np.ones(shape)
        fill(np, b, x)
        return np.sum(b * b * np.arange(1.0, b.size + 1).reshape(shape))

    np.testing.assert_allclose(bp.value_and_grad(f)(X)[0], plain(X), rtol=1e-15)
    check_grads(f, (X,), order=2)


AROUND = {
    "put": lambda b, x, m, k: np.put(b, k, x),
    "put, wrapped": lambda b, x, m, k: np.put(b, k + 4, x, mode="wrap"),
    "flat": lambda b, x, m, k: b.flat.__setitem__(k, x[0]),
    "flat at a mask": lambda b, x, m, k: b.flat.__setitem__(m.ravel(), x[1]),
    "place one": lambda b, x, m, k: np.place(b, m, x[:1]),
    "place": lambda b, x, m, k: np.place(b, m, x),
    "putmask": lambda b, x, m, k: np.putmask(b, m, x),
    "putmask by all": lambda b, x, m, k: np.putmask(b, b > x[0], b * b),
    "copyto": lambda b, x, m, k: np.copyto(b, x, where=m),
}


@pytest.mark.parametrize("fill", AROUND.values(), ids=AROUND)
def test_what_is_filled_at_arrays_around_a_compiled_function(fill):
    m, k = np.array([[True, False], [False, True]]), np.array([0, 3])

    def f(x):
        b = np.ones((2, 2)) * x
        fill(b, x, m, k)
        return np.sum(b * b * np.arange(1.0, 5.0).reshape(2, 2))

    compiled, slope = bp.compile(f), bp.compile(bp.grad(f))
    for _ in range(3):
        np.testing.assert_allclose(compiled(X), f(X), rtol=1e-14)
        np.testing.assert_allclose(slope(X), bp.grad(f)(X), rtol=1e-14)
        m[:] = m[::-1].copy() | [True, False]
        k[:] = (k + 1) % 4


@pytest.mark.parametrize("fill", FILLING.values(), ids=FILLING)
def test_plain_arrays_are_not_half_filled(fill):
    if fill is FILLING["fill"]:
        return
    b = np.ones((5, 2))
    with pytest.raises(errors.NoRuleError, match=r"b = fastbp\.variable\(b\), and numpy\."):
        fill(np, b, bp.variable(X))
    np.testing.assert_array_equal(b, np.ones((5, 2)))


def test_asfortranarray_has_an_axis():
    for x in (2.0, bp.variable(2.0), [1.0, 2.0]):
        shape = (1,) if np.ndim(x) == 0 else (2,)
        assert bp.numpy.asfortranarray(x).shape == shape
    assert bp.grad(lambda x: bp.numpy.asfortranarray(x)[0] ** 2)(3.0) == 6.0
