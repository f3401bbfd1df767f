"""The passes that make a plan short: what each does, counted with it and without."""

import gc
from collections import Counter

import numpy as np
import pytest

import fastbp as bp
from fastbp import tree
from fastbp.compiling.memory import _Free
from fastbp.compiling.passes import PASSES, enabled
from fastbp.compiling.programs import program_of
from fastbp.compiling.values import Storage, Value

pytestmark = pytest.mark.usefixtures("all_passes")

X = np.array([0.5, -1.25, 2.0, 0.75])
DOUBLE = np.dtype(float)


def plan_of(f, *args):
    """Return the plan of a compiled function; its values are compared."""
    compiled = bp.compile(f)
    for scale in (1.0, 1.25, 1.0):
        given = [x * scale for x in args]
        for a, b in zip(tree.flatten(compiled(*given))[0], tree.flatten(f(*given))[0], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    (entry,) = compiled.entries
    return entry.plan


def counted(plan):
    return dict(Counter(kind for kind, *_ in plan.facts))


def repeated(x):
    return np.sin(x) * np.cumsum(np.sin(x)) + np.cumsum(np.sin(x))


def unneeded(x):
    y = np.cumsum(x)
    y[:] = x * 2.0  # nothing of what was there is left
    return y


def ones(x):
    return (x * np.ones(4) - np.zeros(4)) / np.float64(1.0)


def expression(x):
    return np.tanh(np.sin(x) * x)


def summed(x):
    return np.sum(np.sin(x)) + np.sum(np.cos(x)), np.sin(x)


def neighbours(x):
    return np.sum((x[1:] - x[:-1] ** 2) ** 2 + np.sin(x[:-1]))


def weights(w):
    h = np.ones(4)
    for _ in range(3):
        h = np.tanh(w @ h)
    return h @ h


W = np.arange(16.0).reshape(4, 4) / 16.0
# For each pass a function, and its instructions with and without it.
CASES = {
    "dead": (unneeded, X, {"region": 1, "copy": 1}, {"region": 1, "copy": 1, "call": 1}),
    "common": (repeated, X, {"region": 2, "call": 1}, {"region": 3, "call": 2}),
    "folding": (ones, X, {"copy": 1}, {"region": 1}),
    "fusion": (expression, X, {"region": 1}, {"region": 3}),
    "reductions": (summed, X, {"region": 2}, {"region": 2, "sum": 2}),
    "placing": (
        bp.grad(neighbours),
        X,
        {"zero": 1, "region": 1},
        {"zero": 1, "region": 1, "copy": 1, "add": 2},
    ),
    "waiting": (
        bp.grad(weights),
        W,
        {"product": 6, "region": 6, "copy": 1},
        {"product": 8, "region": 8},
    ),
    "picking": (
        lambda x: np.subtract(np.roll(x, 1), np.roll(x, -1)) * x,
        np.linspace(0.0, 1.0, 600),
        {"region": 1},
        {"region": 1, "pick": 2},
    ),
    "stacking": (
        bp.grad(weights),
        W,
        {"product": 6, "region": 6, "copy": 1},
        {"product": 8, "region": 6},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_instructions_with_and_without(name, monkeypatch):
    f, x, with_it, without = CASES[name]
    assert counted(plan_of(f, x)) == with_it
    monkeypatch.setenv("FASTBP_PASSES", f"-{name}")
    assert counted(plan_of(f, x)) == without


def test_memory_is_given_out_again(monkeypatch):
    def f(x):
        for _ in range(20):
            x = np.cumsum(np.tanh(x)) / 10.0
        return x

    x = np.linspace(0.0, 1.0, 64)
    assert plan_of(f, x).machine.work_bytes <= 3 * x.nbytes
    monkeypatch.setenv("FASTBP_PASSES", "-reuse,-rolling")
    assert plan_of(f, x).machine.work_bytes >= 19 * x.nbytes


def test_gradients_of_many_layers_are_made_when_they_can_be(rng, monkeypatch):
    """No state or cotangent is kept for products that come last, and none of these is copied."""
    layers, batch, width = 6, 256, 100

    def loss(weights, x):
        for w, b in weights:
            x = np.tanh(x @ w + b)
        return np.sum(x * x)

    scale = width**-0.5
    weights = [
        (scale * rng.standard_normal((width, width)), rng.standard_normal(width))
        for _ in range(layers)
    ]
    x = rng.standard_normal((batch, width))
    found = {}
    for passes in ("", "-early"):
        monkeypatch.setenv("FASTBP_PASSES", passes)
        slope = bp.compile(bp.grad(loss))
        slope(weights, x)
        entry = slope.entries[-1]
        found[passes] = slope(weights, x), entry.plan.machine.work_bytes, counted(entry.plan)
    (first, bytes_early, steps), (second, bytes_late, _) = found.values()
    assert bytes_early <= (2 * layers + 2) * x.nbytes < bytes_late
    assert "copy" not in steps
    assert "sum" not in steps
    for pair, other in zip(first, second, strict=True):
        for a, b in zip(pair, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


def test_early_sums_read_what_is_written_in_place_before_them(rng, monkeypatch):
    def f(x):
        y = np.sin(x)
        first = y.sum(0)
        y[3] = 2.0 * y[4]
        second = y.T @ y
        y += 1.0
        return first, second, y.sum(0), y.T @ y

    x = rng.standard_normal((200, 60))
    compiled = bp.compile(f)
    compiled(x)
    for a, b in zip(compiled(x), bp.unmodified(f)(x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_what_is_switched(monkeypatch):
    for text, want in {
        "": set(PASSES),
        "-fusion,-reuse": set(PASSES) - {"fusion", "reuse"},
        "none": set(),
        "none, fusion +dead": {"fusion", "dead"},
    }.items():
        monkeypatch.setenv("FASTBP_PASSES", text)
        assert enabled() == want
    monkeypatch.setenv("FASTBP_PASSES", "-fussion")
    with pytest.raises(ValueError, match="names '-fussion'; the passes are dead, common"):
        bp.compile(lambda x: x * 2.0)(X)


def value(n=4):
    return Value(Storage("work", 8 * n), (n,), DOUBLE)


def work(x, number):
    """A sum, scaled and shifted by a number, of two values."""
    y, z, w = value(), value(), value()
    return [(np.add, (x, value()), y), (np.multiply, (y, number), z), (np.add, (z, x), w)], w


def test_equal_work_is_one_program():
    members, last = work(value(), 2.0)
    program, inputs, outputs = program_of(members, {id(last)}, DOUBLE)
    assert len(inputs) == 2
    assert outputs == [last]
    others, other = work(value(), 2.0)
    assert program_of(others, {id(other)}, DOUBLE)[0] is program
    # Another number, another output, the sign of a zero: other programs.
    found = {id(program), id(program_of(others, {id(y) for *_, y in others}, DOUBLE)[0])}
    for number in (3.0, 0.0, -0.0):
        members, last = work(value(), number)
        found.add(id(program_of(members, {id(last)}, DOUBLE)[0]))
    assert len(found) == 5
    np.testing.assert_array_equal(program(X, 2.0 * X)[0], (X + 2.0 * X) * 2.0 + X)


def test_no_program_of_what_nobody_reads():
    members, _ = work(value(), 2.0)
    assert program_of(members, set(), DOUBLE)[0] is None


def test_work_writes_over_what_it_reads_last(monkeypatch):
    def f(x):
        for _ in range(5):
            x = np.tanh(np.cumsum(x))  # a call's result is nobody's workspace
            x = x[::-1] @ m + x
        return np.sum(x)

    def g(x):
        y = m @ x
        z = y * 2.0 + 1.0
        return np.cumsum(z), np.exp(m @ z)

    m = np.diag(np.linspace(0.5, 1.0, 64))
    x = np.linspace(0.0, 1.0, 64)
    sizes = []
    for passes in ("-reuse", "-reuse,-inplace"):
        monkeypatch.setenv("FASTBP_PASSES", passes)
        plan_of(f, x)
        sizes.append(plan_of(g, x).machine.work_bytes)
    assert sizes == [x.nbytes, 3 * x.nbytes]


def test_nothing_is_written_over_that_is_read_later():
    # Of a program: the first output is there before the operand is read for the last time.
    def f(x):
        y = np.eye(4) @ x
        z = np.exp(y)
        return np.eye(4) @ z, np.eye(4) @ (z * y)

    plan_of(f, X)
    members, _ = work(x := value(), 2.0)
    program, inputs, _ = program_of(members, {id(y) for *_, y in members}, DOUBLE)
    assert inputs[0] is x
    assert [[program.may_write_over(i, k) for k in range(3)] for i in range(2)] == [
        [False, False, True],
        [True, True, True],
    ]
    with pytest.raises(IndexError):
        program.may_write_over(2, 0)
    # Of a region: another operand is another layout of the same memory.
    plan_of(lambda x: np.sum((np.eye(4) @ x) * (np.eye(4) @ x)[::-1] + 1.0), X)
    plan_of(lambda x: np.eye(4) @ ((np.eye(4) @ x) * (np.eye(4) @ x)[::-1]), X)


def test_the_collector_is_as_it_was():
    assert gc.isenabled()
    bp.compile(lambda x: x * 2.0)(X)
    assert gc.isenabled()
    gc.disable()
    try:
        bp.compile(lambda x: x * 2.0)(X)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_free_parts_of_the_workspace_are_joined():
    free = _Free()
    parts = [free.take(size) for size in (64, 128, 64, 256)]
    assert parts == [0, 64, 192, 256]
    free.give_back(0, 64)
    free.give_back(192, 64)
    assert free.take(128) == 512  # neither is large enough
    free.give_back(64, 128)  # the three are one
    assert free.take(192) == 0
    assert free.take(64) == 192
    assert free.top == 640
    free.give_back(512, 128)
    free.give_back(256, 256)
    free.give_back(192, 64)
    free.give_back(0, 192)
    assert free.take(640) == 0


def test_a_result_that_is_written_twice_is_nobody_elses_memory():
    def f(x, y):
        z = (x + x) * np.argmax(y)
        return np.sum(z) + np.sum(np.take(x, [0, 0]) * y)

    plan_of(bp.grad(f, (0, 1)), np.array([0.75]), np.array([-0.5, 0.25]))
    # One output of a region is stored, the other added to it: neither lies where operands were.
    plan_of(bp.grad(lambda x: np.sum(np.sin((np.eye(4) @ x)[1:] * (np.eye(4) @ x)[:-1]))), X)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.cos(x[0] * x[0]) + np.sum(x**2),
        lambda x: np.sum((x[1:] - x[:-1] * x[:-1]) ** 2),
        lambda x: np.sum(np.sin(x[1:]) * x[1:] * x[1:] * np.sin(x[1:])) + np.sum(x**2),
        lambda x: np.sum((x.reshape(2, 2)[:, :1] * np.sin(x.reshape(2, 2)[:, :1])) ** 2),
        lambda x: np.sum(np.outer(x, x)[1:, :3] * np.exp(np.outer(x, x)[1:, :3])),
    ],
)
def test_equal_parts_are_added_each(f):
    """What is added to one place more than once finds there what was added before."""
    plan_of(bp.grad(f), X)
    plan_of(lambda x: bp.jvp(bp.grad(f), (x,), (x,))[1], X)
