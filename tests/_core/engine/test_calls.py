"""Gradients of one array or number without Python on the path: the same as by any other way."""

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import calls

X = np.array([0.5, -1.5, 2.0])


def loss(x, scale=1.0):
    return np.sum(np.sin(x) * x) * scale


def slopes(x):
    return np.cos(x) * x + np.sin(x)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_as_a_container_of_the_same(dtype):
    x = X.astype(dtype)
    value, g = bp.value_and_grad(loss)(x)
    other, tree = bp.value_and_grad(lambda t: loss(t["x"]))({"x": x})
    assert (value, g.dtype) == (other, dtype)
    np.testing.assert_array_equal(g, tree["x"])
    np.testing.assert_allclose(g, slopes(x), rtol=1e-6 if dtype == "f4" else 1e-14)


def test_a_number_has_a_number_as_gradient():
    value, g = bp.value_and_grad(lambda x: x * x)(3.0)
    assert (value, g) == (9.0, 6.0)
    assert not isinstance(g, np.ndarray)


def test_other_arguments_pass():
    np.testing.assert_allclose(bp.grad(loss)(X, 2.0), 2 * slopes(X), rtol=1e-14)
    np.testing.assert_allclose(bp.grad(loss)(X, scale=3.0), 3 * slopes(X), rtol=1e-14)
    assert bp.grad(loss, argnums=1)(X, 1.0) == pytest.approx(np.sum(np.sin(X) * X))


def test_the_argument_is_neither_changed_nor_shared():
    def writes(x):
        x[0] = 7.0
        return np.sum(x * x)

    x = X.copy()
    g = bp.grad(writes)(x)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(g, [0.0, *(2 * X[1:])])
    g = bp.grad(np.sum)(x)
    assert not np.shares_memory(g, x)


def test_a_gradient_inside_a_recorded_function_is_recorded():
    w = bp.variable(2.0)
    g = bp.grad(lambda x: np.sum(w * x * x))(X)
    assert type(g) is bp.Variable
    np.testing.assert_allclose(g.value, 4 * X, rtol=1e-15)
    np.testing.assert_allclose(bp.hessian(lambda x: np.sum(bp.grad(loss)(x)))(X).shape, (3, 3))


def test_what_is_no_scalar_is_refused():
    with pytest.raises((TypeError, bp.errors.ShapeError), match="scalar"):
        bp.grad(lambda x: x * 2.0)(X)


def test_an_error_of_the_function_is_its_own():
    with pytest.raises(ZeroDivisionError):
        bp.grad(lambda x: 1 // 0)(X)


def test_gradients_answers_for_what_it_serves_only():
    x, other = bp.variable(X), bp.variable(X)
    y = loss(x)
    np.testing.assert_allclose(calls.gradients(y, x), slopes(X), rtol=1e-14)
    (g,) = calls.gradients(y, [x])
    np.testing.assert_allclose(g, slopes(X), rtol=1e-14)
    for ys, xs in ((x * 1.0, x), (y, other), (y, [x, other]), (y, (x,)), (y, X), (1.0, x)):
        assert calls.gradients(ys, xs) is None
