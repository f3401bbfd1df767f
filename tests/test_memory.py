"""Long graphs, freed memory, shared memory, garbage collection, threads."""

import gc
import subprocess
import sys
import threading
import tracemalloc
import weakref

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import sweep

LONG = 200_000


@pytest.fixture
def no_gc():
    """Memory must be freed by reference counts alone."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def sine():
    """A rule of a user, whose nodes the garbage collector watches."""
    return bp.custom_rule(np.sin, vjp=lambda g, ans, x: g * np.cos(x), jvp=lambda ts, ans, x: ts[0] * np.cos(x))


# ---- long graphs: nothing recurses


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
    t = sweep.forward([y], [x], [np.ones(1)])[0]
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
    rule = sine()
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
        y = bp.checkpoint(lambda y=y: y * 1.001)() if k % 2 else bp.checkpoint(lambda x, y=y: y + 0.0 * x)(x)
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
    np.testing.assert_allclose(sweep.forward([a + b], [x], [np.ones(())])[0], 2.0)


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
    tangents = [sweep.forward([y], [a, x], [np.ones(()), np.ones(())])[0] for y in ys]
    np.testing.assert_allclose(tangents[1], tangents[0])


# ---- nothing leaks


def deep(x, n=20):
    y = x
    for _ in range(n):
        y = np.sin(y) * y + np.tanh(x)
        y = np.reshape(np.transpose(y), x.shape)
    return np.sum(y)


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
    "error": lambda x: pytest.raises(ValueError, bp.grad(lambda x: np.reshape(x, 7)), x),
}


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


@pytest.mark.parametrize("through", ["closure", "attribute", "list"])
def test_a_rule_that_holds_its_own_output_is_collected(through):
    box = []

    def vjp(g, ans, x):
        return g * np.cos(x) + 0.0 * len(box)

    class Rule:
        def __call__(self, g, ans, x):
            return g * np.cos(x)

    rule_object = Rule()
    rule = bp.custom_rule(np.sin, vjp=rule_object if through == "attribute" else vjp)
    x = bp.variable(np.ones(3))
    y = rule(x)
    if through == "attribute":
        rule_object.y = y
    elif through == "list":
        box.append([y * 2.0])
    else:
        box.append(y)
    died = weakref.ref(y)
    assert bp.gradients(y, x, np.ones(3)) is not None
    del y, rule, rule_object, box, vjp, Rule
    gc.collect()
    assert died() is None


def test_a_checkpoint_that_closes_over_its_own_output_is_collected():
    state = {}
    step = bp.checkpoint(lambda x: x * state["scale"])
    x = bp.variable(np.ones(3))
    state["scale"] = bp.variable(2.0)
    y = step(x)
    state["y"] = y
    died = weakref.ref(y)
    np.testing.assert_array_equal(bp.gradients(y, x, np.ones(3)), 2.0)
    del y, state, step
    gc.collect()
    assert died() is None


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
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


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
        return [bp.gradients(y, x, np.ones(3)), sweep.forward([y], [x], [np.ones(3)])[0]]

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


# ---- who owns what


def arrays_of(structure):
    return [x.value if type(x) is bp.Variable else x for x in bp.tree.flatten(structure)[0]]


def independent(results, others):
    results = arrays_of(results)
    for k, x in enumerate(results):
        for y in [*others, *results[:k]]:
            assert not np.shares_memory(x, y)
        if isinstance(x, np.ndarray):
            x[...] = np.nan  # writable, and nobody's business


PASSING = {
    "identity": lambda x, y: (+x, x),
    "add": lambda x, y: x + y,
    "twice": lambda x, y: x + x,
    "reshape": lambda x, y: x.reshape(3, 2).T + y.T.reshape(3, 2).T,
    "slice": lambda x, y: x[::-1, 1:],
    "broadcast": lambda x, y: np.broadcast_to(x, (2, 2, 3)),
    "sum": lambda x, y: np.sum(x) + y,
    "concatenate": lambda x, y: np.concatenate([x, y]),
    "transpose": lambda x, y: x.T,
    "multiply": lambda x, y: x * y,
    "matmul": lambda x, y: x @ y.T,
    "where": lambda x, y: np.where(True, x, y),
    "unused": lambda x, y: x,
}


@pytest.mark.parametrize("name", PASSING)
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_share_no_memory(name, create_graph, rng):
    f = PASSING[name]
    data = [rng.normal(size=(2, 3)) for _ in range(2)]
    xs = [bp.variable(x) for x in data]
    ys = f(*xs)
    ys = list(ys) if isinstance(ys, tuple) else [ys]
    gs = [rng.normal(size=y.shape) for y in ys]
    before = [x.copy() for x in (*data, *gs)]
    found = bp.gradients(ys, xs, gs, create_graph=create_graph)
    if create_graph:  # handles may share arrays, but not with what the user owns
        assert not any(np.shares_memory(g.value, x) for g in found for x in (*data, *gs))
    else:
        independent(found, [*data, *gs, *(y.value for y in ys)])
    for x, copy in zip((*data, *gs), before, strict=True):
        np.testing.assert_array_equal(x, copy)


@pytest.mark.parametrize("name", PASSING)
def test_transforms_share_no_memory(name, rng):
    f = PASSING[name]
    data = [rng.normal(size=(2, 3)) for _ in range(2)]
    ts = [rng.normal(size=(2, 3)) for _ in range(2)]
    y, pullback = bp.vjp(f, *data)
    gs = bp.tree.map(lambda y: rng.normal(size=y.shape), y)
    given = [*data, *ts, *bp.tree.flatten(gs)[0]]
    before = [x.copy() for x in given]
    first = pullback(gs)
    independent(first, given)
    independent(bp.jvp(f, data, ts)[1], given)
    independent(bp.linearize(f, *data)[1](*ts), given)
    independent(bp.jacobian(f, (0, 1), mode="reverse")(*data), given)
    independent(bp.jacobian(f, (0, 1), mode="forward")(*data), given)
    again = pullback(gs)
    assert all(np.all(np.isfinite(x)) for x in again)  # the first result was overwritten with NaN
    for x, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(x, copy)


def test_one_input_asked_for_twice_has_two_gradients():
    x = bp.variable(np.ones(3))
    independent(bp.gradients(np.sum(x * x), [x, x, +x][:2]), [])


def test_residuals_survive_sweeps(rng):
    """A second sweep over the same graph finds everything as it was."""
    x, w = bp.variable(rng.normal(size=(4, 4))), bp.variable(rng.normal(size=(4, 4)))
    y = np.tanh(x @ w) * np.exp(x) + np.clip(x, -0.5, 0.5) / (1 + np.square(w)) + np.max(x, axis=0)
    g = rng.normal(size=(4, 4))
    first = bp.gradients(y, [x, w], g)
    bp.gradients(y, [x, w], g, create_graph=True)
    sweep.forward([y], [x, w], [g, g])
    for a, b in zip(first, bp.gradients(y, [x, w], g), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_failing_rule_leaves_the_graph_usable(rng):
    fail = [True]

    def vjp(g, ans, x):
        if fail[0]:
            raise RuntimeError("not yet")
        return g * np.cos(x)

    x = bp.variable(rng.normal(size=3))
    y = bp.custom_rule(np.sin, vjp=vjp)(x * 2.0) * x
    with pytest.raises(RuntimeError, match="not yet"):
        bp.gradients(y, x, np.ones(3))
    fail[0] = False
    expected = np.sin(2 * x.value) + 2 * x.value * np.cos(2 * x.value)
    np.testing.assert_allclose(bp.gradients(y, x, np.ones(3)), expected)


def test_a_read_only_constant_is_never_written(rng):
    c = rng.normal(size=(3, 3))
    c.flags.writeable = False
    x = bp.variable(c)
    y = (x + c) * c @ c
    y += c
    y[0] = c[1]
    assert np.all(np.isfinite(bp.gradients(y, x, c)))


# ---- peaks


def peak_of(f, *args):
    f(*args)
    gc.collect()
    tracemalloc.start()
    try:
        f(*args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def layers(x, n):
    for _ in range(n):
        x = np.tanh(np.sin(x) * np.exp(-x * x))
    return x


def test_checkpoint_lowers_the_peak():
    x, block = np.linspace(-1, 1, 50_000), bp.checkpoint(lambda x: layers(x, 10))

    def loss(x, layer):
        for _ in range(10):
            x = layer(x)
        return np.sum(x)

    with_all = peak_of(bp.grad(lambda x: loss(x, lambda x: layers(x, 10))), x)
    with_checkpoints = peak_of(bp.grad(lambda x: loss(x, block)), x)
    assert with_checkpoints < with_all / 3
    np.testing.assert_allclose(bp.grad(lambda x: loss(x, block))(x),
                               bp.grad(lambda x: loss(x, lambda x: layers(x, 10)))(x), rtol=1e-12)


def test_reverse_frees_as_it_goes():
    """Over what the forward pass keeps, the sweep takes a few arrays, however deep the function is."""
    x = np.linspace(-1, 1, 50_000)
    kept = []

    def loss(x):
        y = np.sum(layers(x, 40))
        kept.append(tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0)
        return y

    peak = peak_of(bp.value_and_grad(loss), x)
    assert kept[-1] > 100 * x.nbytes
    assert peak - kept[-1] < 6 * x.nbytes


def test_a_sum_of_many_uses_accumulates_in_place():
    x = bp.variable(np.linspace(-1, 1, 50_000))
    y = np.sum(x * 1.0)
    for _ in range(100):
        y = y + np.sum(np.sin(x))
    assert peak_of(bp.gradients, y, x) < 8 * x.nbytes


def test_gradients_of_elements_of_a_large_array_cost_no_large_temporaries():
    x = bp.variable(np.linspace(-1, 1, 50_000))
    y = x[0] * 2.0
    for k in range(1, 200):
        y = y + x[k] * x[-k]
    assert peak_of(bp.gradients, y, x) < 4 * x.nbytes


# ---- threads


def test_threads_share_variables(rng):
    """Functions that close over one Variable, differentiated in four threads at once."""
    shared = bp.variable(rng.normal(size=(8, 8)))
    base = np.tanh(shared @ shared)
    data = [rng.normal(size=(5, 8)) for _ in range(4)]
    barrier = threading.Barrier(4)

    def work(x):
        for _ in range(30):
            y = np.sum(np.sin(x @ base) * (x @ shared))
            yield bp.gradients(y, [shared, base])
            yield [bp.grad(lambda x: np.sum(np.tanh(x @ shared.value)))(x)]
            yield [sweep.forward([y], [shared], [np.ones((8, 8))])[0]]

    expected = [list(work(x)) for x in data]
    found = [None] * 4
    interval = sys.getswitchinterval()

    def thread(k):
        barrier.wait()
        found[k] = list(work(data[k]))

    threads = [threading.Thread(target=thread, args=(k,)) for k in range(4)]
    sys.setswitchinterval(1e-5)
    try:
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(interval)
    for a, b in zip(found, expected, strict=True):
        for results, references in zip(a, b, strict=True):
            for x, y in zip(results, references, strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-12)
