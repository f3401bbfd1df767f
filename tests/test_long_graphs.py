"""Long, wide and deep graphs: nothing recurses, each node is visited once."""

import gc
import threading

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import sweep
from fastbp._core.tape import Tape

LONG = 200_000


LINKS = {
    "elementwise": lambda y, x: y * 1.000001,
    "two parents": lambda y, x: y + x,
    "both the same": lambda y, x: 0.5 * (y + y),
    "three parents": lambda y, x: np.clip(y, -10.0, 10.0),
    "general": lambda y, x: np.transpose(y),
    "view": lambda y, x: y[...],
}


@pytest.mark.parametrize("name", LINKS)
def test_a_chain_of_200000_nodes(name):
    """Forward, both sweeps, and its end: dropped at once while only `y` holds it."""
    link = LINKS[name]
    n = LONG if name in ("elementwise", "two parents") else LONG // 4
    x = bp.variable(np.array([0.5]))
    y = x
    for _ in range(n):
        y = link(y, x)
    g = bp.gradients(y, x, np.ones(1))
    t = sweep.forward(Tape([y], [x]), [np.ones(1)])[0]
    expected = {"elementwise": 1.000001**n, "two parents": n + 1.0}.get(name, 1.0)
    np.testing.assert_allclose([g, t], expected, rtol=1e-9)
    del y


@pytest.mark.parametrize("name", ["elementwise", "two parents"])
def test_a_chain_is_differentiated_twice(name):
    n = LONG // 4
    x = bp.variable(np.array([0.5]))
    y = x
    for _ in range(n):
        y = LINKS[name](y, x)
    (g,) = bp.gradients([y * y], [x], [np.ones(1)], create_graph=True)
    h = bp.gradients(g, x, np.ones(1))
    slope = 1.000001**n if name == "elementwise" else n + 1.0
    np.testing.assert_allclose(h, 2 * slope**2, rtol=1e-9)
    del y, g


def test_a_chain_through_rules_of_users():
    """Nodes that the garbage collector watches, freed by it or by reference counts."""
    rule = bp.custom_rule(np.sin, vjp=lambda g, ans, x: g * np.cos(x))
    x = bp.variable(np.array([0.5]))
    y = x
    for _ in range(20_000):
        y = rule(y)
    assert 0 < bp.gradients(y, x, np.ones(1))[0] < 1
    del y
    gc.collect()


def test_a_chain_of_checkpoints():
    step = bp.checkpoint(lambda y: y * 1.001)
    x = bp.variable(np.array([0.5]))
    y = x
    for _ in range(5_000):
        y = step(y)
    np.testing.assert_allclose(bp.gradients(y, x, np.ones(1)), 1.001**5000, rtol=1e-9)
    del y
    gc.collect()


def test_a_chain_that_closes_over_its_past():
    """Each checkpoint holds the Variable before it in a closure."""
    x = bp.variable(np.array([0.5]))
    y = x
    for k in range(5_000):
        y = (
            bp.checkpoint(lambda y=y: y * 1.001)()
            if k % 2
            else bp.checkpoint(lambda x, y=y: y + 0.0 * x)(x)
        )
    assert bp.gradients(y, x, np.ones(1))[0] > 1
    del y
    gc.collect()


def test_a_ladder_has_few_nodes_but_many_paths():
    """2**20000 paths: each node is visited once."""
    x = bp.variable(np.array(1.0))
    a, b = x, x
    for _ in range(20_000):
        a, b = 0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b
    np.testing.assert_allclose(bp.gradients(a + b, x), 2.0)
    np.testing.assert_allclose(sweep.forward(Tape([a + b], [x]), [np.ones(())])[0], 2.0)


def test_a_wide_graph():
    xs = [bp.variable(np.array(float(k))) for k in range(5_000)]
    y = np.sum(np.stack([x * x for x in xs]))
    np.testing.assert_array_equal(bp.gradients(y, xs), 2.0 * np.arange(5_000))


def test_a_fan_of_one_node():
    x = bp.variable(np.array(2.0))
    parts = [x * k for k in range(20_000)]
    y = parts[0]
    for part in parts[1:]:
        y = y + part
    assert bp.gradients(y, x) == sum(range(20_000))


def test_a_chain_dies_while_another_thread_has_a_small_stack():
    """Deallocation of a long chain takes a bounded amount of stack."""

    def work():
        y = bp.variable(np.array([0.5]))
        for _ in range(LONG // 2):
            y = y * 1.0

    size = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(size)


def test_a_checkpoint_counts_each_path_once():
    """It reads two Variables from its surroundings, one of which depends on the other."""
    a, x = bp.variable(3.0), bp.variable(5.0)
    b = np.square(a)

    def f(x):
        return x * a * b

    ys = [f(x), bp.checkpoint(f)(x)]
    expected, found = [bp.gradients(y, [a, b, x]) for y in ys]
    np.testing.assert_allclose(found, expected)
    tangents = [sweep.forward(Tape([y], [a, x]), [np.ones(()), np.ones(())])[0] for y in ys]
    np.testing.assert_allclose(tangents[1], tangents[0])
