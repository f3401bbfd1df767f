"""The transforms: structure of results, nesting, blocks, errors."""

import functools
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

import fastbp as bp
from fastbp.errors import RecomputedError
from fastbp.testing import check_grads

from .harness import assert_close, assert_sums_close

Pair = namedtuple("Pair", "first second")


@dataclass
class Params:
    w: np.ndarray
    b: np.ndarray


def mlp(p, x):
    return np.tanh(np.tanh(x @ p["w1"] + p["b1"]) @ p["w2"])


def params(rng):
    return {
        "w1": rng.standard_normal((3, 4)),
        "b1": rng.standard_normal(4),
        "w2": rng.standard_normal((4, 2)),
    }


# ---- gradients


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4)])
def test_gradients_of_any_shape(rng, shape):
    x = bp.variable(rng.standard_normal(shape))
    g = rng.standard_normal(shape)
    found = bp.gradients(np.sin(x) * 2.0, x, g)
    np.testing.assert_allclose(found, 2.0 * np.cos(x.value) * g, rtol=1e-14)
    assert found.shape == shape


def test_gradients_sum_over_outputs(rng):
    x = bp.variable(rng.standard_normal(3))
    y, z = x * 2.0, np.sum(x * x)
    found = bp.gradients([y, z], x, [np.ones(3), 3.0])
    np.testing.assert_allclose(found, 2.0 + 6.0 * x.value)


def test_gradients_with_respect_to_intermediate_values(rng):
    x = bp.variable(rng.standard_normal(3))
    y = np.exp(x)
    z = np.sum(y * y)
    x_bar, y_bar = bp.gradients(z, [x, y])
    np.testing.assert_allclose(y_bar, 2 * y.value)
    np.testing.assert_allclose(x_bar, 2 * y.value**2)


def test_gradients_unconnected():
    x, other = bp.variable(np.ones(2)), bp.variable(np.ones((2, 3), np.float32))
    y = np.sum(x)
    with pytest.warns(bp.errors.UnconnectedWarning, match=r"xs\[1\] of shape \(2, 3\)"):
        zero = bp.gradients(y, [x, other])[1]
    assert zero.shape == (2, 3)
    assert zero.dtype == np.float32
    assert not zero.any()
    assert bp.gradients(y, [x, other], unconnected="none")[1] is None
    with pytest.raises(bp.errors.UnconnectedError, match=r"xs\[1\].*\(2, 3\)"):
        bp.gradients(y, [x, other], unconnected="raise")
    with pytest.raises(ValueError, match="unconnected"):
        bp.gradients(y, x, unconnected="maybe")


def test_gradients_create_graph():
    x = bp.variable(2.0)
    y = x * x * x
    (dy,) = bp.gradients(y, [x], create_graph=True)
    assert isinstance(dy, bp.Variable)
    (ddy,) = bp.gradients(dy, [x], create_graph=True)
    assert ddy.item() == 12.0
    assert bp.gradients(ddy, x) == 6.0
    # A gradient that depends on nothing is a Variable too.
    assert isinstance(bp.gradients(x * 2.0, x, create_graph=True), bp.Variable)


def test_gradients_input_asked_twice_and_shared_memory(rng):
    x = bp.variable(rng.standard_normal(3))
    y = bp.variable(rng.standard_normal(3))
    g = np.ones(3)
    found = bp.gradients(x + y, [x, y, x], g)
    for i, a in enumerate(found):
        assert not np.shares_memory(a, g)
        for b in found[:i]:
            assert not np.shares_memory(a, b)
    found[0][:] = 7.0
    np.testing.assert_array_equal(g, 1.0)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda x: bp.gradients(x * 2, x), bp.errors.ShapeError, r"shape \(3,\) is not a scalar"),
        (
            lambda x: bp.gradients(x * 2, x, np.ones(4)),
            bp.errors.ShapeError,
            r"\(4,\).*\(3,\)",
        ),
        (
            lambda x: bp.gradients(np.sum(x), np.ones(3)),
            bp.errors.DTypeError,
            r"xs\[0\].*not a Variable",
        ),
        (lambda x: bp.gradients(3.0, x), bp.errors.DTypeError, r"ys\[0\] is a float"),
        (lambda x: bp.gradients(x * 2, x, "abc"), bp.errors.DTypeError, "numbers are needed"),
        (
            lambda x: bp.gradients(x * 2, x, [[1.0], [1.0, 2.0], [1.0]]),
            bp.errors.ShapeError,
            "rectangular",
        ),
        (lambda x: bp.gradients([x, x], x, [np.ones(3)]), bp.errors.ShapeError, "1 grad_outputs"),
        (lambda x: bp.grad(lambda v: v)(x.value), bp.errors.ShapeError, r"scalar.*\(3,\)"),
        (lambda x: bp.grad(lambda v: (v, v))(x.value), bp.errors.ShapeError, "tuple"),
        (lambda x: bp.grad(np.sum)(np.ones(3, bool)), bp.errors.DTypeError, r"argument 0.*bool"),
        (
            lambda x: bp.grad(lambda x: x[1])([[1.0, 2.0], 1j]),
            bp.errors.DTypeError,
            "holomorphic=True",
        ),
        (lambda x: bp.grad(np.sum)(1 + 2j), bp.errors.DTypeError, "complex"),
        (lambda x: bp.grad(np.sum, argnums=1)(x.value), ValueError, "argnums 1"),
        (lambda x: bp.grad(np.sum, argnums="x")(x.value), TypeError, "argnums"),
        (lambda x: bp.grad(np.sum, argnums=(0, 0))(x.value), ValueError, "distinct"),
        (lambda x: bp.grad(3)(x.value), TypeError, "function"),
        (lambda x: bp.jacobian(np.sin, mode="sideways"), ValueError, "mode"),
        (lambda x: bp.jvp(np.sin, (x.value,), (np.ones(2),)), bp.errors.ShapeError, "tangent"),
        (lambda x: bp.jvp(np.sin, x.value, x.value), TypeError, "primals must be a tuple"),
        (lambda x: bp.jvp(np.sin, (x.value,), ()), bp.errors.ShapeError, "0 tangents"),
        (lambda x: bp.vjp(np.sin, x.value)[1](np.ones(2)), bp.errors.ShapeError, "cotangent"),
    ],
)
def test_bad_input_is_a_clear_error(rng, call, error, match):
    x = bp.variable(rng.standard_normal(3))
    before = x.value.copy()
    with pytest.raises(error, match=match):
        call(x)
    np.testing.assert_array_equal(x.value, before)
    np.testing.assert_allclose(bp.gradients(np.sum(x * x), x), 2 * before)


# ---- functions


def test_value_and_grad_of_containers(rng):
    p, x = params(rng), rng.standard_normal((5, 3))
    loss = lambda p, x: np.sum(mlp(p, x) ** 2)
    value, grads = bp.value_and_grad(loss)(p, x)
    assert isinstance(value, np.float64)
    np.testing.assert_allclose(value, loss(p, x))
    assert list(grads) == ["w1", "b1", "w2"]
    assert all(type(g) is np.ndarray and g.shape == p[k].shape for k, g in grads.items())
    check_grads(loss, (p, x))


@pytest.mark.parametrize(
    "make",
    [
        lambda a, b: [a, b],
        lambda a, b: (a, [b]),
        lambda a, b: {"a": a, "b": (b, None)},
        lambda a, b: Pair(a, b),
        lambda a, b: Params(a, b),
    ],
)
def test_structure_of_results(rng, make):
    a, b = rng.standard_normal(3), rng.standard_normal((2, 3))
    tree = make(a, b)

    def f(tree):
        leaves = bp.tree.flatten(tree)[0]
        return np.sum(leaves[0] * leaves[1])

    found = bp.grad(f)(tree)
    assert type(found) is type(tree)
    a_bar, b_bar = bp.tree.flatten(found)[0]
    np.testing.assert_allclose(a_bar, b.sum(0))
    np.testing.assert_allclose(b_bar, np.tile(a, (2, 1)))


def test_argnums_aux_and_keywords(rng):
    x, y = rng.standard_normal(3), rng.standard_normal(3)
    f = lambda x, y, scale=1.0: (scale * np.sum(x * y), {"x": x * 2, "n": 3})
    (value, aux), (x_bar, y_bar) = bp.value_and_grad(f, (0, 1), has_aux=True)(x, y, scale=2.0)
    np.testing.assert_allclose(value, 2 * x @ y)
    np.testing.assert_allclose(x_bar, 2 * y)
    np.testing.assert_allclose(y_bar, 2 * x)
    assert type(aux["x"]) is np.ndarray
    assert aux["n"] == 3
    y_bar, aux = bp.grad(f, argnums=-1, has_aux=True)(x, y)
    np.testing.assert_allclose(y_bar, x)
    with pytest.raises(TypeError, match="pair"):
        bp.grad(np.sum, has_aux=True)(x)


def test_scalars_come_back_as_they_went_in():
    assert isinstance(bp.grad(np.sin)(0.5), np.float64)
    assert isinstance(bp.grad(np.sin)(np.float32(0.5)), np.float32)
    assert isinstance(bp.grad(np.sin)(np.array(0.5)), np.ndarray)
    assert bp.grad(lambda x: 3.0, unconnected="zero")(0.5) == 0.0


def test_float32_is_kept(rng):
    x = rng.standard_normal(3).astype(np.float32)
    assert bp.grad(lambda x: np.sum(np.tanh(x) * 2 + 1))(x).dtype == np.float32
    assert bp.jacobian(np.sin)(x).dtype == np.float32
    # float64 constants promote, and the cotangent is cast back.
    assert bp.grad(lambda x: np.sum(x * np.ones(3)))(x).dtype == np.float32


def test_elementwise_grad(rng):
    x = rng.standard_normal((2, 3))
    np.testing.assert_allclose(bp.elementwise_grad(np.tanh)(x), 1 - np.tanh(x) ** 2)
    second = bp.elementwise_grad(bp.elementwise_grad(np.sin))
    np.testing.assert_allclose(second(x), -np.sin(x))


def test_vjp_and_linearize_are_reusable(rng):
    p, x = params(rng), rng.standard_normal((5, 3))
    out, pullback = bp.vjp(mlp, p, x)
    same, pushforward = bp.linearize(mlp, p, x)
    assert_close(out, mlp(p, x), 64)
    np.testing.assert_array_equal(same, out)
    for _ in range(2):
        g = rng.standard_normal(out.shape)
        dp = {k: rng.standard_normal(v.shape) for k, v in p.items()}
        dx = rng.standard_normal(x.shape)
        p_bar, x_bar = pullback(g)
        pairs = [(g, pushforward(dp, dx)), (x_bar, dx), *((p_bar[k], dp[k]) for k in p)]
        left, *right = (np.sum(a * b) for a, b in pairs)
        magnitude = sum(np.sum(np.abs(a * b)) for a, b in pairs)
        assert_sums_close(left, sum(right), magnitude, sum(a.size for a, _ in pairs))


def test_products_are_functions_as_any_other(rng):
    """The record behind them is a constant, unless it reads Variables from outside."""

    def f(x):
        return np.sin(x) * bp.checkpoint(lambda y: np.cos(y) * x[::-1])(x)

    x, block = rng.normal(size=3), rng.normal(size=(2, 3))
    jac = bp.jacobian(f)(x)
    for (_, product), m in ((bp.linearize(f, x), jac), (bp.vjp(f, x), jac.T)):

        def apply(t, product=product):
            y = product(t)
            return y[0] if isinstance(y, tuple) else y

        def loss(t, apply=apply):
            return np.sum(apply(t) ** 2)

        expected = [
            (bp.vmap(apply)(block), block @ m.T),
            (bp.grad(loss)(x), 2 * m.T @ (m @ x)),
            (bp.hessian(loss)(x), 2 * m.T @ m),
            (bp.jacobian(apply)(x), m),
            (bp.sparse.jacobian(apply)(x).toarray(), m),
            (bp.chain.linearize(apply, x).to_dense(), m),
            (bp.vmap(bp.grad(loss))(block), 2 * block @ m.T @ m),
            (bp.compile(apply)(x), m @ x),
            (bp.compile(lambda t: apply((t > 0.0) * 1.0))(x), m @ (x > 0.0)),
        ]
        for found, wanted in expected:
            assert type(found) is np.ndarray
            np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)

    def outer(a):
        _, push = bp.linearize(lambda x: a * np.sin(x), x)
        return np.sum(bp.vmap(push)(a * block) ** 2)

    expected = 4 * 1.5**3 * np.sum((np.cos(x) * block) ** 2)
    np.testing.assert_allclose(bp.grad(outer)(1.5), expected)
    h = bp.grad(lambda v: np.sum(bp.hvp(lambda x: np.sum(x**3), x, v)))(x)
    assert type(h) is np.ndarray
    np.testing.assert_allclose(h, 6 * x)


def test_outputs_in_containers(rng):
    x = rng.standard_normal(3)
    out, pullback = bp.vjp(lambda x: {"s": np.sum(x), "c": 1.0, "v": [x * 2]}, x)
    assert out["c"] == 1.0
    (x_bar,) = pullback({"s": 2.0, "c": 5.0, "v": [np.ones(3)]})
    np.testing.assert_allclose(x_bar, 4.0)
    _, out_dot = bp.jvp(lambda x: (np.sum(x), 1.0), (x,), (np.ones(3),))
    assert out_dot == (3.0, 0.0)


# ---- nesting


def test_perturbation_confusion():
    assert bp.grad(lambda x: x * bp.grad(lambda y: x + y)(2.0))(3.0) == 1.0
    assert bp.grad(lambda x: x * bp.jvp(lambda y: x * y, (2.0,), (1.0,))[1])(3.0) == 6.0
    inner = lambda x: bp.grad(lambda y: y * y * x)(2.0) * x
    assert bp.jvp(inner, (3.0,), (1.0,)) == (36.0, 24.0)
    assert bp.jvp(lambda x: x * bp.jvp(lambda y: x * y, (x,), (1.0,))[1], (3.0,), (1.0,))[1] == 6.0


def test_any_nesting_of_modes():
    def forward(f):
        return lambda x: bp.jvp(f, (x,), (1.0,))[1]

    modes = (forward, bp.grad)
    f = lambda x: np.exp(2.0 * x) * np.sin(x)
    z = np.exp((2 + 1j) * 0.3)
    for a in modes:
        for b in modes:
            for c in modes:
                expected = ((2 + 1j) ** 3 * z).imag
                np.testing.assert_allclose(a(b(c(f)))(0.3), expected, rtol=1e-12)


def test_results_depend_on_outer_variables(rng):
    w = bp.variable(rng.standard_normal(3))
    x = rng.standard_normal(3)
    found = bp.grad(lambda x: np.sum(w * w * x))(x)
    assert isinstance(found, bp.Variable)
    np.testing.assert_allclose(bp.gradients(np.sum(found), w), 2 * w.value)
    jac = bp.jacobian(lambda x: w * x)(x)
    np.testing.assert_allclose(jac.value, np.diag(w.value))
    np.testing.assert_allclose(bp.gradients(np.sum(jac), w), np.ones(3))


def test_gradient_of_jacobian_norm(rng):
    a = rng.standard_normal((3, 3))

    def penalty(x):
        return np.sum(bp.jacobian(lambda y: np.tanh(a @ y))(x) ** 2)

    check_grads(penalty, (rng.standard_normal(3),), order=1)


def test_stop_gradient(rng):
    x = rng.standard_normal(3)
    np.testing.assert_allclose(bp.grad(lambda x: np.sum(x * bp.stop_gradient(x)))(x), x)
    kept = bp.stop_gradient({"a": bp.variable(x), "b": 1})
    assert not kept["a"].flags.writeable
    assert kept["b"] == 1
    assert np.shares_memory(kept["a"], x)


# ---- Jacobians


@pytest.mark.parametrize("mode", ["auto", "reverse", "forward"])
def test_jacobian_shapes_and_values(rng, mode):
    a, x = rng.standard_normal((4, 3)), rng.standard_normal((3, 2))
    jac = bp.jacobian(lambda x: a @ x, mode=mode)(x)
    assert jac.shape == (4, 2, 3, 2)
    np.testing.assert_allclose(jac, np.einsum("ik,jl->ijkl", a, np.eye(2)), atol=1e-15)
    assert bp.jacobian(np.sum, mode=mode)(x).shape == (3, 2)
    assert bp.jacobian(lambda s: s * x, mode=mode)(2.0).shape == (3, 2)
    constant = bp.jacobian(lambda x: np.ones(5), mode=mode, unconnected="zero")(x)
    assert constant.shape == (5, 3, 2)
    assert not constant.any()


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_jacobian_in_small_blocks(rng, mode, monkeypatch):
    f = lambda x: np.tanh(np.outer(x, x))
    x = rng.standard_normal(5)
    whole = bp.jacobian(f, mode=mode)(x)
    monkeypatch.setattr("fastbp.block_sweeps.BLOCK_BYTES", 1)
    np.testing.assert_array_equal(bp.jacobian(f, mode=mode)(x), whole)


@pytest.mark.parametrize("mode", ["auto", "reverse", "forward"])
def test_jacobian_of_containers(rng, mode):
    p, x = params(rng), rng.standard_normal((5, 3))
    jac = bp.jacobian(lambda p, x: {"out": mlp(p, x)}, argnums=(0, 1), mode=mode)(p, x)
    p_jac, x_jac = jac["out"]
    assert p_jac["w1"].shape == (5, 2, 3, 4)
    assert x_jac.shape == (5, 2, 5, 3)
    v = rng.standard_normal(x.shape)
    expected = bp.jvp(lambda x: mlp(p, x), (x,), (v,))[1]
    assert_close(np.tensordot(x_jac, v, 2), expected, 4 * v.size)


def test_hessian_and_hvp(rng):
    x = rng.standard_normal(4)
    f = lambda x: np.sum(np.sin(x[1:]) * np.exp(x[:-1]))
    h = bp.hessian(f)(x)
    np.testing.assert_allclose(h, h.T, atol=1e-14)
    np.testing.assert_allclose(h, bp.jacobian(bp.grad(f), mode="reverse")(x), atol=1e-14)
    v = rng.standard_normal(4)
    assert_sums_close(bp.hvp(f, x, v), h @ v, np.abs(h) @ np.abs(v), 16)
    # As SciPy calls hessp=: what follows the direction are arguments of f.
    product = functools.partial(bp.hvp, lambda x, a, y: a * f(x) + np.sum(x * y))
    np.testing.assert_allclose(product(x, v, 2.0, np.ones(4)), 2.0 * bp.hvp(f, x, v), rtol=1e-15)
    nested = bp.hessian(lambda p: p["a"] ** 2 * p["b"])({"a": 3.0, "b": 2.0})
    assert nested["a"]["b"] == 6.0
    assert nested["b"]["b"] == 0.0


def test_third_derivative():
    third = bp.jacobian(bp.hessian(lambda x: np.sum(x**3 * x[0])))(np.array([1.0, 2.0]))
    assert third.shape == (2, 2, 2)
    np.testing.assert_allclose(third[0, 0, 0], 24.0)
    np.testing.assert_allclose(third[1, 1, 1], 6.0)


# ---- checkpoint and custom rules


def test_checkpoint_is_transparent(rng):
    p, x = params(rng), rng.standard_normal((5, 3))
    f = lambda p, x: np.sum(mlp(p, x) ** 2)
    g = lambda p, x: np.sum(bp.checkpoint(mlp)(p, x) ** 2)
    for key in p:
        assert_close(bp.grad(g)(p, x)[key], bp.grad(f)(p, x)[key])
    check_grads(g, (p, x))
    np.testing.assert_allclose(bp.hessian(g, 1)(p, x), bp.hessian(f, 1)(p, x), atol=1e-12)
    np.testing.assert_array_equal(bp.checkpoint(mlp)(p, x), mlp(p, x))


def test_checkpoint_sees_variables_around_it(rng):
    x, w = rng.standard_normal(3), rng.standard_normal(3)

    def f(w, x):
        squared = w * w
        return np.sum(bp.checkpoint(lambda x: np.sin(squared * x))(x))

    expected = bp.grad(lambda w, x: np.sum(np.sin(w * w * x)), (0, 1))(w, x)
    for found, want in zip(bp.grad(f, (0, 1))(w, x), expected, strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-14)
    check_grads(f, (w, x))


def test_checkpoint_runs_again_among_other_things(rng):
    """What it reads around it has changed: there is no derivative then, not another one."""
    x, a, order = rng.standard_normal(3), rng.standard_normal(3), np.array([2, 0, 1])

    def late(x):  # Python looks k up when the function runs again
        for k in (1.0, 2.0):
            x = bp.checkpoint(lambda x: np.sin(x * k))(x)  # noqa: B023
        return np.sum(x)

    def bound(x):
        for k in (1.0, 2.0):
            x = bp.checkpoint(lambda x, k: np.sin(x * k))(x, k)
        return np.sum(x)

    def written(x):
        w = x * 1.0
        y = bp.checkpoint(lambda x: np.sin(w * x))(x)
        w *= 2.0
        return np.sum(y * w)

    for f in (late, written):
        with pytest.raises(RecomputedError, match="loop"):
            bp.grad(f)(x)
        with pytest.raises(RecomputedError, match="loop"):
            bp.jvp(f, (x,), (x,))
    check_grads(bound, (x,))
    f, g = lambda x: np.sin(x * a), lambda x: x[order] ** 2
    (_, first), (_, second) = (bp.vjp(bp.checkpoint(h), x) for h in (f, g))
    np.testing.assert_array_equal(first(x)[0], bp.vjp(f, x)[1](x)[0])
    a *= -1.0
    order[:] = [0, 2, 1]
    for pullback in (first, second):
        with pytest.raises(RecomputedError, match="written into"):
            pullback(x)


def test_checkpoint_of_several_outputs(rng):
    x = rng.standard_normal((2, 3))
    f = lambda x: {"a": np.sum(x), "b": (np.sin(x), 4.0)}
    out, pullback = bp.vjp(bp.checkpoint(f), x)
    assert out["b"][1] == 4.0
    g = {"a": 2.0, "b": (x, 0.0)}
    np.testing.assert_allclose(pullback(g)[0], 2.0 + np.cos(x) * x)


def test_custom_rule_from_vjp_or_jvp(rng):
    x, y = rng.standard_normal(3), rng.standard_normal(3)
    by_vjp = bp.custom_rule(
        lambda x, y: np.sin(x) * y, vjp=lambda g, ans, x, y: (g * np.cos(x) * y, g * np.sin(x))
    )
    by_jvp = bp.custom_rule(
        lambda x, y: np.sin(x) * y,
        jvp=lambda t, ans, x, y: t[0] * np.cos(x) * y + t[1] * np.sin(x),
    )
    for f in (by_vjp, by_jvp):
        check_grads(f, (x, y))
        np.testing.assert_allclose(
            bp.jacobian(f, mode="forward")(x, y), bp.jacobian(f, mode="reverse")(x, y), atol=1e-15
        )
        assert type(f(x, y)) is np.ndarray


def test_custom_rule_errors(rng):
    x = rng.standard_normal(3)
    with pytest.raises(TypeError, match="vjp or a jvp"):
        bp.custom_rule(np.sin)
    wrong_shape = bp.custom_rule(np.sin, vjp=lambda g, ans, x: np.ones(2), name="mine")
    with pytest.raises(bp.errors.ShapeError, match="mine"):
        bp.grad(lambda x: np.sum(wrong_shape(x)))(x)
    wrong_count = bp.custom_rule(np.sin, vjp=lambda g, ans, x: (g, g), name="mine")
    with pytest.raises(bp.errors.ShapeError, match=r"mine.*1 cotangents"):
        bp.grad(lambda x: np.sum(wrong_count(x)))(x)
    not_float = bp.custom_rule(lambda x: np.array(["a"]), vjp=lambda g, ans, x: g, name="mine")
    with pytest.raises(bp.errors.DTypeError, match="mine"):
        bp.grad(lambda x: np.sum(not_float(x)))(x)
