"""The reverse sweep: what is accumulated, passed on, and derived from a JVP."""

import numpy as np
import pytest

import fastbp as bp

X = np.array([0.5, -1.5, 2.0])


def test_cotangents_of_several_readers_add_up():
    g = bp.grad(lambda x: np.sum(x * x) + np.sum(3.0 * x) + x[0])(X)
    np.testing.assert_allclose(g, 2 * X + 3 + [1, 0, 0], rtol=1e-15)


def test_the_callers_cotangent_is_not_written_into():
    seed = np.ones(3)
    _, pullback = bp.vjp(lambda x: x + 0.0 * x + x, X)
    (g,) = pullback(seed)
    np.testing.assert_array_equal(seed, 1.0)
    np.testing.assert_array_equal(g, 2.0)
    assert not np.shares_memory(g, seed)


@pytest.mark.parametrize("shape", [(1,), (), (2, 1)])
def test_broadcast_operands_get_the_sum(shape):
    a, b = np.full(shape, 2.0), np.arange(6.0).reshape(2, 3)
    g = bp.grad(lambda a: np.sum(a * b))(a)
    assert g.shape == shape
    axes = {(1,): None, (): None, (2, 1): 1}[shape]
    np.testing.assert_allclose(g, b.sum(axes).reshape(shape) if axes is None else b.sum(1)[:, None])


def test_a_float32_operand_gets_a_float32_cotangent():
    x, w = X.astype("f4"), X
    g = bp.grad(lambda x: np.sum(x * w))(x)
    assert g.dtype == np.float32
    np.testing.assert_array_equal(g, w.astype("f4"))


def test_a_vjp_from_a_jvp():
    square = bp.custom_rule(np.square, jvp=lambda ts, ans, x: 2.0 * x * ts[0])
    np.testing.assert_allclose(bp.grad(lambda x: np.sum(square(x)))(X), 2 * X, rtol=1e-15)


def test_a_rule_of_the_wrong_shape_is_named():
    bad = bp.custom_rule(np.sin, vjp=lambda g, ans, x: np.ones(5), name="bad")
    with pytest.raises(bp.errors.ShapeError, match="bad"):
        bp.grad(lambda x: np.sum(bad(x)))(X)


def test_a_long_chain_needs_no_stack():
    def f(x):
        for _ in range(20_000):
            x = x * 1.0
        return np.sum(x)

    np.testing.assert_array_equal(bp.grad(f)(X), np.ones(3))
