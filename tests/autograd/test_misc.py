"""Flat vectors, optimizers, fixed points, graphs, helpers, the checker."""

import numpy as onp
import pytest

import fastbp.autograd.numpy as np
from fastbp.autograd import grad, misc, util, wrap_util
from fastbp.autograd.extend import defvjp, primitive
from fastbp.autograd.misc import const_graph, flatten
from fastbp.autograd.misc.fixed_points import fixed_point
from fastbp.autograd.misc.flatten import flatten_func
from fastbp.autograd.misc.optimizers import adam, rmsprop, sgd, unflatten_optimizer
from fastbp.autograd.misc.tracers import FullGraphNode, const_graph_unary, full_graph
from fastbp.autograd.test_util import (
    check_equivalent,
    check_grads,
    check_jvp,
    check_vjp,
    combo_check,
    make_numerical_jvp,
    scalar_close,
)
from fastbp.autograd.tracer import Node, toposort, trace

X = onp.array([0.5, -1.0, 2.0])


# ---- flatten


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (3.0, [3.0]),
        (X, X.tolist()),
        ([1.0, (2.0, onp.ones((1, 2)))], [1.0, 2.0, 1.0, 1.0]),
        ({"b": 2.0, "a": [1.0], "c": {}}, [1.0, 2.0]),
        ([], []),
        ({}, []),
        ((), []),
    ],
)
def test_flatten(value, wanted):
    flat, unflatten = flatten(value)
    assert flat.tolist() == wanted
    again = unflatten(flat)
    assert type(again) is type(value) or isinstance(again, float)
    assert flatten(again)[0].tolist() == wanted
    if wanted:
        assert flatten(unflatten(2 * flat))[0].tolist() == [2 * x for x in wanted]


def test_flatten_is_differentiable():
    f = lambda p: np.sum(flatten(p)[0] ** 3)
    assert grad(f)({"a": 2.0, "b": [1.0]}) == {"a": 12.0, "b": [3.0]}
    _, unflatten = flatten({"a": 2.0, "b": [1.0]})
    assert grad(lambda v: unflatten(v)["a"] ** 2)(onp.array([3.0, 1.0])).tolist() == [6.0, 0.0]
    check_grads(f)({"a": 2.0, "b": [1.0, X]})


def test_flatten_func():
    f, unflatten, example = flatten_func(lambda p, k: {"y": p["a"] * k}, {"a": X})
    assert f(X, 2.0).tolist() == (2 * X).tolist()
    assert example.tolist() == X.tolist()
    assert unflatten(X)["a"].tolist() == X.tolist()
    assert misc.flatten is not None


# ---- optimizers


@pytest.mark.parametrize(
    ("optimize", "options"),
    [
        (sgd, {"num_iters": 400}),
        (rmsprop, {"num_iters": 400, "step_size": 0.01}),
        (adam, {"num_iters": 800, "step_size": 0.05}),
    ],
)
def test_optimizers_of_containers(optimize, options):
    loss = lambda p: (p["a"] - 1.0) ** 2 + np.sum((p["b"][0] - X) ** 2)
    seen = []

    def callback(p, i, g):
        seen.append(i)
        assert g["b"][0].shape == p["b"][0].shape == (3,)

    found = optimize(
        lambda p, i: grad(loss)(p), {"a": 0.0, "b": [onp.zeros(3)]}, callback, **options
    )
    assert seen == list(range(options["num_iters"]))
    onp.testing.assert_allclose(found["a"], 1.0, atol=2e-2)
    onp.testing.assert_allclose(found["b"][0], X, atol=2e-2)


def test_one_step_of_each_optimizer():
    g = lambda x, i: onp.array([2.0])
    assert sgd(g, onp.zeros(1), num_iters=1) == pytest.approx([-0.1 * 0.1 * 2.0])
    found = rmsprop(g, onp.zeros(1), num_iters=1)
    assert found == pytest.approx([-0.1 * 2.0 / (onp.sqrt(0.9 + 0.1 * 4.0) + 1e-8)])
    assert adam(g, onp.zeros(1), num_iters=1, step_size=0.1) == pytest.approx([-0.1], rel=1e-6)


def test_gradients_through_an_optimizer():
    def after(rate):
        return np.sum(sgd(lambda x, i: 2 * x, X, num_iters=3, step_size=rate) ** 2)

    check_grads(after, order=1)(0.3)


def test_unflatten_optimizer():
    once = unflatten_optimizer(lambda grad, x, callback, rate: x - rate * grad(x, 0))
    assert once(lambda p, i: {"a": 2.0}, {"a": 1.0}, None, 0.5) == {"a": 0.0}


# ---- fixed points


def newton_step(a):
    return lambda x: 0.5 * (x + a / x)


def distance(x, y):
    return np.abs(x - y)


def root(a):
    return fixed_point(newton_step, a, 1.0, distance, 1e-12)


def test_fixed_points():
    assert root(2.0) == pytest.approx(2.0**0.5)
    assert grad(root)(2.0) == pytest.approx(0.5 / 2.0**0.5)
    assert grad(grad(root))(2.0) == pytest.approx(-0.25 / 2.0**1.5)


# ---- graphs


def test_const_graph_repeats_the_function():
    calls = []

    def f(scale, x):
        calls.append(x)
        return scale * x if x > 0 else x

    g = const_graph(f, 3.0)
    assert (g(2.0), g(-1.0)) == (6.0, -1.0)
    assert g.__name__ == "f"
    assert grad(g)(2.0) == 3.0
    assert const_graph_unary(np.sin)(0.0) == 0.0


def test_full_graph():
    end = full_graph(lambda x, y: np.exp(x) * np.sin(y), 1.0, 2.0)
    assert isinstance(end, FullGraphNode)
    fun, _, _, parents = end.recipe
    assert fun.__name__ == "multiply"
    assert sorted(p.recipe[0].__name__ for _, p in parents) == ["exp", "sin"]
    assert [i for i, _ in parents] == [0, 1]
    names = [n.recipe[0].__name__ for n in toposort(end)]
    assert names[0] == "multiply"
    assert len(names) == 4
    (exp,) = [p for _, p in parents if p.recipe[0].__name__ == "exp"]
    assert exp.value == onp.exp(1.0)


def test_traces_of_nodes_of_ones_own():
    seen = []

    class Printed(Node):
        def __init__(self, value, fun, args, kwargs, parent_argnums, parents):
            seen.append((fun.__name__, parent_argnums, [p.depth for p in parents]))
            self.depth = 1 + max(p.depth for p in parents)

        def initialize_root(self):
            self.depth = 0

    @primitive
    def mine(a, x):
        return a * x

    defvjp(mine, None, lambda ans, a, x: lambda g: g * a)
    value, end = trace(Printed.new_root(), lambda x: mine(2.0, np.tanh(x)) + x, 0.5)
    assert value == 2 * onp.tanh(0.5) + 0.5
    assert seen == [("tanh", (0,), [0]), ("mine", (1,), [1]), ("add", (0, 1), [2, 0])]
    assert end.depth == 3
    with pytest.warns(UserWarning, match="independent"):
        assert trace(Printed.new_root(), lambda x: 1.0, 0.5) == (1.0, None)


# ---- helpers


def test_values_in_other_places():
    assert util.subval((1, 2, 3), 1, 5) == (1, 5, 3)
    assert util.subvals([1, 2, 3], [(0, 7), (2, 9)]) == (7, 2, 9)
    assert util.func(len) is len


def test_toposort_puts_nodes_before_their_parents():
    graph = {"e": ["c", "d"], "d": ["b", "a"], "c": ["b", "b"], "b": ["a"], "a": []}
    order = list(util.toposort("e", graph.__getitem__))
    assert sorted(order) == sorted(graph)
    assert all(order.index(n) < order.index(p) for n in graph for p in graph[n])


def test_unary_to_nary():
    @wrap_util.unary_to_nary
    def shifted(f, x, by=1.0, *, times=1):
        """Shift."""
        return f(x + by) if not isinstance(x, tuple) else f(tuple(v + by for v in x)) * times

    f = lambda x, y, z=0: x * 10 + y + z
    assert shifted(f)(1, 2) == 22.0
    assert shifted(f, 1)(1, 2, z=5) == 18.0
    assert shifted(f, (0, 1), 2.0, times=2)(1, 2) == 68.0
    assert shifted(f, [1])(1, 2) == 13.0
    assert shifted.__name__ == "shifted"
    assert shifted(f, 1).__name__ == "shifted_of_<lambda>_wrt_argnum_1"
    assert wrap_util.get_name(3) == "[unknown name]"
    assert wrap_util.get_doc(shifted) == "Shift."


def test_wraps():
    g = wrap_util.wraps(shape := np.sin, "{fun}_{k}", "of {fun}: {doc}", k=3)(lambda x: x)
    assert g.__name__ == f"{shape.__name__}_3"
    assert g.__doc__.startswith("of sin: ")
    assert wrap_util.wraps(len)(3) == 3  # what takes no name


# ---- the checker


def wrong_by(factor):
    @primitive
    def f(x):
        return x**2

    defvjp(f, lambda ans, x: lambda g: factor * g * 2 * x)
    return f


@pytest.mark.parametrize("mode", ["rev", "fwd"])
def test_the_checker_accepts_right_rules_and_rejects_wrong_ones(mode):
    onp.random.seed(1)  # noqa: NPY002
    check_grads(wrong_by(1.0), modes=[mode])(X)
    for factor in (1.001, -1.0, 0.0):
        with pytest.raises(AssertionError, match=r"check of f failed|Value mismatch"):
            check_grads(wrong_by(factor), modes=[mode])(X)


def test_the_checker_looks_at_spaces():
    with pytest.raises(AssertionError, match="VSpace mismatch"):
        check_equivalent(X, X[:2])
    check_equivalent({"a": X}, {"a": X.copy()})
    with pytest.raises(AssertionError, match="Value mismatch"):
        check_equivalent(X, X + 1)
    with pytest.raises(AssertionError, match="modes"):
        check_grads(np.sin, modes=["both"])(X)


def test_parts_of_the_checker():
    onp.random.seed(0)  # noqa: NPY002
    check_vjp(np.tanh, X)
    check_jvp(np.tanh, X)
    onp.testing.assert_allclose(make_numerical_jvp(np.sin, X)(X), onp.cos(X) * X, rtol=1e-8)
    assert scalar_close(1.0, 1.0 + 1e-7)
    assert scalar_close(1e9, 1e9 + 1.0)
    assert not scalar_close(1.0, 1.001)


def test_combo_check():
    onp.random.seed(0)  # noqa: NPY002
    seen = []

    def f(x, y, axis=0):
        seen.append((np.shape(x), axis))
        return np.sum(x * y, axis=axis)

    m = onp.ones((2, 3))
    combo_check(f, (0, 1), order=1)([m, m[:1] * 2], [m], axis=[0, 1, None])
    assert {axis for _, axis in seen} == {0, 1, None}
    assert {shape for shape, _ in seen} == {(2, 3), (1, 3)}


def test_quick_grad_check():
    onp.random.seed(0)  # noqa: NPY002
    with pytest.warns(UserWarning, match="deprecated"):
        util.quick_grad_check(lambda x, k: np.sum(x**k), X, (3,))
