"""Freed memory, garbage collection, peaks, threads."""

import functools
import gc
import subprocess
import sys
import tracemalloc
import weakref

import numpy as np
import pytest

import fastbp as bp
import fastbp.numpy as bnp
from fastbp._core import buffers, sweep
from fastbp._core.tape import Tape

from .harness import at_once, peak_of


@pytest.fixture
def no_gc():
    """Memory must be freed by reference counts alone."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def sine():
    """A rule of a user, whose nodes the garbage collector watches."""
    return bp.custom_rule(
        np.sin, vjp=lambda g, ans, x: g * np.cos(x), jvp=lambda ts, ans, x: ts[0] * np.cos(x)
    )


# ---- nothing leaks


def deep(x, n=20):
    y = x
    for _ in range(n):
        y = np.sin(y) * y + np.tanh(x)
        y = np.reshape(np.transpose(y), x.shape)
    return np.sum(y)


def failing(x):
    with pytest.raises(ValueError, match="reshape"):
        bp.grad(lambda x: np.reshape(x, 7))(x)


@functools.cache
def made(name):
    """What is prepared once, and called often."""
    return {
        "compile": lambda: bp.compile(bp.value_and_grad(lambda x: deep(x, 3))),
        "vmap": lambda: bp.vmap(bp.grad(lambda x: deep(x, 2))),
        "vmap compiled": lambda: bp.compile(bp.vmap(bp.grad(lambda x: np.sum(np.sin(x) * x)))),
        "sparse": lambda: bp.sparse.jacobian(lambda x: np.sin(x) * x),
    }[name]()


def cell(x):
    W = np.full((3, 3), 0.1)
    return np.sum(bp.recurrent.rnn(x[:, None], np.zeros((1, 3)), W=W, U=W)[0])


def scanned(x):
    carry, ys = bp.recurrent.scan(lambda c, x: (np.sin(c) * x, c * x), np.ones(3), x)
    return np.sum(carry) + np.sum(ys)


TRANSFORMS = {
    "grad": lambda x: bp.grad(deep)(x),
    "value_and_grad": lambda x: bp.value_and_grad(deep)(x),
    "vjp": lambda x: bp.vjp(deep, x)[1](1.0),
    "jvp": lambda x: bp.jvp(deep, (x,), (x,)),
    "jacobian": lambda x: bp.jacobian(lambda x: np.sin(x) * x)(x),
    "jacobian forward": lambda x: bp.jacobian(lambda x: np.sin(x) * x, mode="forward")(x),
    "hessian": lambda x: bp.hessian(lambda x: deep(x, 2))(x),
    "hvp": lambda x: bp.hvp(deep, x, x),
    "checkpoint": lambda x: bp.grad(bp.checkpoint(deep))(x),
    "custom_rule": lambda x: bp.grad(lambda x: np.sum(sine()(x)))(x),
    "error": lambda x: failing(x),
    "sparse": lambda x: made("sparse")(x.ravel()),
    "compile": lambda x: made("compile")(x),
    "vmap": lambda x: made("vmap")(x),
    "vmap compiled": lambda x: made("vmap compiled")(x),
    "scan": lambda x: bp.grad(scanned)(x),
    "recurrent": lambda x: bp.grad(cell)(x),
    "tensor": lambda x: bp.tensor.derivative(lambda x: np.sin(x) @ np.ones((3, 2)), x),
}


@pytest.mark.thread_unsafe(reason="tracemalloc counts what all threads allocate")
@pytest.mark.parametrize("name", TRANSFORMS)
def test_nothing_leaks(name):
    x = np.linspace(-1, 1, 6).reshape(2, 3)
    run = TRANSFORMS[name]
    for _ in range(5):
        run(x)
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(3):
            run(x)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(30):
            run(x)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 6_000
    finally:
        tracemalloc.stop()


@pytest.mark.thread_unsafe(reason="tracemalloc counts what all threads allocate")
@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("name", ["grad", "value_and_grad", "jacobian", "hvp"])
def test_arrays_are_freed_without_the_garbage_collector(name):
    x = np.linspace(-1, 1, 20_000).reshape(100, 200)[: 2 if name == "jacobian" else None]
    run = TRANSFORMS[name]
    run(x)
    tracemalloc.start()
    try:
        run(x)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(5):
            run(x)
        assert tracemalloc.get_traced_memory()[0] - before < x.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("no_gc")
def test_a_graph_dies_with_its_last_handle():
    x = bp.variable(np.ones(3))
    y = np.exp(x) * x
    died = weakref.ref(y)
    z = y + 1.0
    del y
    assert died() is None
    assert bp.gradients(z, x, np.ones(3)) is not None


@pytest.mark.thread_unsafe(reason="tracemalloc counts what all threads allocate")
@pytest.mark.usefixtures("no_gc")
def test_an_array_that_no_rule_reads_is_freed_at_once():
    """Sums need no residuals: the record of a long sum keeps shapes only."""
    x = bp.variable(np.ones(100_000))
    tracemalloc.start()
    try:
        y = x
        for _ in range(50):
            y = y + x
        assert tracemalloc.get_traced_memory()[0] < 3 * x.nbytes
    finally:
        tracemalloc.stop()


def rule_that_holds_its_output(through):
    """Return a weak reference to a Variable that nothing but a cycle through its own rule holds."""
    box = []

    class Rule:
        def __call__(self, g, ans, x):
            return g * np.cos(x) + 0.0 * len(box)

    rule = Rule()
    x = bp.variable(np.ones(3))
    y = bp.custom_rule(np.sin, vjp=rule if through == "attribute" else lambda *args: rule(*args))(x)
    if through == "attribute":
        rule.y = y
    else:
        box.append(y * 2.0 if through == "descendant" else y)
    assert bp.gradients(y, x, np.ones(3)) is not None
    return weakref.ref(box[0] if box else y)


def checkpoint_that_holds_its_output():
    """Do the same with a function that reads its Variables from its surroundings."""
    x, state = bp.variable(np.ones(3)), {"scale": bp.variable(2.0)}
    state["y"] = bp.checkpoint(lambda x: x * state["scale"])(x)
    np.testing.assert_array_equal(bp.gradients(state["y"], x, np.ones(3)), 2.0)
    return weakref.ref(state["y"])


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("through", ["closure", "attribute", "descendant", "checkpoint"])
def test_a_rule_that_holds_its_own_output_is_collected(through):
    checkpoint = through == "checkpoint"
    y = checkpoint_that_holds_its_output() if checkpoint else rule_that_holds_its_output(through)
    assert y() is not None
    gc.collect()
    assert y() is None


def test_a_handle_may_change_between_watched_and_unwatched_values():
    """In a process of its own: a mistake here ends the interpreter."""
    code = """
import gc
import numpy as np
import fastbp as bp
rule = bp.custom_rule(np.sin, vjp=lambda g, ans, x: g * np.cos(x))
a, x = bp.variable(np.ones(3)), +bp.variable(np.ones(3))
for _ in range(3):
    np.add(rule(a), 1.0, out=x)
    gc.collect()
    np.add(a, 1.0, out=x)
    gc.collect()
for _ in range(3):
    x += rule(a)
    x[0] = 1.0
del x
gc.collect()
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=60)


def test_gc_may_run_while_recording():
    """Rules of users make nodes of both kinds; the collector must not meet half-made ones."""
    rule, thresholds = sine(), gc.get_threshold()
    x = bp.variable(np.linspace(0, 1, 3))
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(20):
            y = rule(np.sin(x) * x) + np.clip(x, 0.2, 0.8)
            y[1:] = rule(y[:-1])
            y += 1.0
            found = bp.gradients(y, x, np.ones(3))
    finally:
        gc.set_threshold(*thresholds)
    assert np.all(np.isfinite(found))


def test_a_finaliser_may_run_a_sweep_of_its_own():
    """Wherever the collector strikes during a sweep, the sweep's own marks survive."""
    w, x = bp.variable(np.ones(3)), bp.variable(np.ones(3))
    y, other = np.sin(x) * x, np.cos(w) + np.cos(x)

    class Finalised:
        def __init__(self):
            self.me = self

        def __del__(self):
            bp.gradients(other, [w, x], np.ones(3))

    def both():
        return [bp.gradients(y, x, np.ones(3)), sweep.forward(Tape([y], [x]), [np.ones(3)])[0]]

    expected, found, thresholds = both(), [], gc.get_threshold()
    try:
        for allocations in range(1, 40):
            gc.disable()
            gc.collect()
            Finalised()
            gc.set_threshold(allocations)
            gc.enable()
            found.append(both())
    finally:
        gc.set_threshold(*thresholds)
        gc.enable()
        gc.collect()
    for pair in found:
        np.testing.assert_array_equal(pair, expected)


# ---- peaks


def layers(x, n):
    for _ in range(n):
        x = np.tanh(np.sin(x) * np.exp(-x * x))
    return x


@pytest.mark.thread_unsafe(reason="tracemalloc counts what all threads allocate")
def test_checkpoint_lowers_the_peak():
    x, block = np.linspace(-1, 1, 50_000), bp.checkpoint(lambda x: layers(x, 10))

    def loss(x, layer):
        for _ in range(10):
            x = layer(x)
        return np.sum(x)

    with_all = peak_of(bp.grad(lambda x: loss(x, lambda x: layers(x, 10))), x)
    with_checkpoints = peak_of(bp.grad(lambda x: loss(x, block)), x)
    assert with_checkpoints < with_all / 3
    np.testing.assert_allclose(
        bp.grad(lambda x: loss(x, block))(x),
        bp.grad(lambda x: loss(x, lambda x: layers(x, 10)))(x),
        rtol=1e-12,
    )


def test_checkpoint_changes_nothing_else():
    """Structure, shapes, dtypes and values of several outputs; derivatives in both directions."""

    def f(x, scale=1.0):
        return {"narrow": np.astype(x, np.float32) * 2.0, "rest": [np.sum(x) * scale, None, 3.0]}

    x, t = np.array([0.5, 1.0]), np.ones(2)
    expected, found = (
        bp.jvp(lambda x, g=g: g(x, scale=2.0), (x,), (t,)) for g in (f, bp.checkpoint(f))
    )
    for a, b in zip(bp.tree.flatten(found)[0], bp.tree.flatten(expected)[0], strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(a, b)
    expected, found = (bp.jacobian(lambda x, g=g: g(x)["narrow"])(x) for g in (f, bp.checkpoint(f)))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.thread_unsafe(reason="tracemalloc counts what all threads allocate")
def test_reverse_frees_as_it_goes():
    """Beside what the forward pass keeps, the sweep takes a few arrays, whatever the depth."""
    x = np.linspace(-1, 1, 50_000)
    kept = []

    def loss(x):
        y = np.sum(layers(x, 40))
        kept.append(tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0)
        return y

    peak = peak_of(bp.value_and_grad(loss), x)
    assert kept[-1] > 100 * x.nbytes
    assert peak - kept[-1] < 6 * x.nbytes


@pytest.mark.thread_unsafe(reason="tracemalloc counts what all threads allocate")
def test_a_sum_of_many_uses_accumulates_in_place():
    x = bp.variable(np.linspace(-1, 1, 50_000))
    y = np.sum(x * 1.0)
    for _ in range(100):
        y = y + np.sum(np.sin(x))
    assert peak_of(bp.gradients, y, x) < 8 * x.nbytes


@pytest.mark.thread_unsafe(reason="tracemalloc counts what all threads allocate")
def test_gradients_of_elements_of_a_large_array_cost_no_large_temporaries():
    x = bp.variable(np.linspace(-1, 1, 50_000))
    y = x[0] * 2.0
    for k in range(1, 200):
        y = y + x[k] * x[-k]
    assert peak_of(bp.gradients, y, x) < 4 * x.nbytes


@pytest.mark.thread_unsafe(reason="tracemalloc counts what all threads allocate")
@pytest.mark.parametrize("steps", [400, 1600])
@pytest.mark.parametrize(
    "step",
    [lambda y: y + 0.01 * np.sin(y) * y, lambda y: y @ np.eye(4) * (y @ y), lambda y: y / y[0]],
)
def test_a_loop_that_fills_an_array_keeps_one_of_it(step, steps):
    """What a rule reads of the array of each step is a row: not the array, as it was then."""

    def filled(y):
        out = bnp.zeros((steps + 1, 4))
        out[0] = y
        for t in range(steps):
            out[t + 1] = step(out[t])
        return np.sum(out)

    assert peak_of(bp.grad(filled), np.full(4, 0.5)) < 100 * 8 * 4 * steps


# ---- threads


def test_each_thread_of_a_test_draws_the_same(rng):
    rng.normal()  # as a fixture may
    found = at_once(lambda size: (rng.normal(size=size), rng.integers(9)), *[3] * 4)
    for a, b in found:
        np.testing.assert_array_equal(a, found[0][0])
        assert b == found[0][1]
    np.testing.assert_array_equal(rng.normal(size=3), found[0][0])


def test_threads_share_variables(rng):
    """Functions that close over one Variable, differentiated in four threads at once."""
    shared = bp.variable(rng.normal(size=(8, 8)))
    base = np.tanh(shared @ shared)
    data = [rng.normal(size=(5, 8)) for _ in range(4)]

    def work(x):
        for _ in range(30):
            y = np.sum(np.sin(x @ base) * (x @ shared))
            yield bp.gradients(y, [shared, base])
            yield [bp.grad(lambda x: np.sum(np.tanh(x @ shared.value)))(x)]
            yield [sweep.forward(Tape([y], [shared]), [np.ones((8, 8))])[0]]

    expected = [list(work(x)) for x in data]
    found = at_once(lambda x: list(work(x)), *data)
    for a, b in zip(found, expected, strict=True):
        for results, references in zip(a, b, strict=True):
            for x, y in zip(results, references, strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-12)


@pytest.mark.thread_unsafe(reason="tracemalloc counts what all threads allocate")
def test_a_large_record_is_gone_when_its_plan_is_there():
    size = 1 << 20  # float64: the record holds some 200 MiB

    def loss(w, x):
        def step(h, _):
            h = np.tanh(w * h)
            return h, h.sum()

        return bp.scan(step, x, np.zeros(6))[1].sum()

    x = np.linspace(0.0, 1.0, size)
    f = bp.compile(bp.value_and_grad(loss))
    gc.collect()
    tracemalloc.start()
    try:
        _, gradient = f(x, x)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 3 * gradient.nbytes
    assert buffers.cached_bytes() < 16 << 20
    np.testing.assert_allclose(f(x, x)[1], gradient, rtol=1e-14)
