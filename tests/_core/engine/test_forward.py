"""The forward sweep: tangents that add up, are absent, and come from a VJP."""

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import sweep
from fastbp._core.tape import Tape

X = np.array([0.5, -1.5, 2.0])
T = np.array([1.0, 0.0, -2.0])


def pushed(f, *tangents):
    return bp.jvp(f, (X,) * len(tangents), tangents)[1]


def test_tangents_of_several_operands_add_up():
    np.testing.assert_allclose(pushed(lambda x, y: x * y, T, T), 2 * X * T, rtol=1e-15)


def test_an_absent_tangent_is_zero():
    def f(x, y):
        return np.sin(x) + y

    x, y = bp.variable(X), bp.variable(X)
    (t,) = sweep.forward(Tape([f(x, y)], [x, y]), [None, T])
    np.testing.assert_array_equal(t, T)


def test_tangents_are_broadcast_as_the_values_are():
    b = np.arange(6.0).reshape(2, 3)
    np.testing.assert_allclose(pushed(lambda x: x * b, T), T * b, rtol=1e-15)
    t = pushed(lambda x: np.broadcast_to(x[0], (4,)), T)
    np.testing.assert_array_equal(t, np.ones(4))


def test_a_jvp_from_a_vjp():
    square = bp.custom_rule(np.square, vjp=lambda g, ans, x: 2.0 * x * g)
    np.testing.assert_allclose(pushed(square, T), 2 * X * T, rtol=1e-15)


def test_the_callers_tangent_is_not_written_into():
    t = T.copy()
    pushed(lambda x: (x + x) * 2.0, t)
    np.testing.assert_array_equal(t, T)


def test_both_directions_agree(rng):
    def f(x):
        return np.cumsum(np.tanh(x) * np.exp(-x)) / (1.0 + x[0] ** 2)

    g = rng.normal(size=3)
    left = g @ pushed(f, T)
    right = bp.vjp(f, X)[1](g)[0] @ T
    assert left == pytest.approx(right, rel=1e-13)
