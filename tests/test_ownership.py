"""Who owns which array: results are fresh, and what a user gave is never written."""

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import sweep
from fastbp._core.tape import Tape

# Many functions here have an argument that nothing depends on.
pytestmark = pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning")


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


VALUES = {
    **PASSING,
    "view of a residual": lambda x, y: np.exp(x).T,
    "residual": lambda x, y: np.exp(x) * np.tanh(y),
    "container": lambda x, y: {"a": x, "b": [x.T[0], np.sqrt(x * x + 1.0), 2.0]},
    "constant": lambda x, y: bp.stop_gradient(x).T,
    "plain view": lambda x, y: x.value[:, 1:],
    "split": lambda x, y: np.split(x, 3, axis=1),
}
TRANSFORMS = {
    "vjp": lambda f, data: bp.vjp(f, *data)[0],
    "linearize": lambda f, data: bp.linearize(f, *data)[0],
    "jvp": lambda f, data: bp.jvp(f, data, data)[0],
    "value_and_grad": lambda f, data: bp.value_and_grad(
        lambda *xs: (np.sum(xs[0]), f(*xs)), has_aux=True
    )(*data),
    "grad": lambda f, data: bp.grad(lambda *xs: (np.sum(xs[0]), f(*xs)), (0, 1), True)(*data),
    "one argument": lambda f, data: bp.vjp(lambda x: f(x, x * 1.0), data[0])[0],
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", VALUES)
def test_values_share_no_memory_with_inputs(name, transform, rng):
    data = [rng.normal(size=(2, 3)) for _ in range(2)]
    before = [x.copy() for x in data]
    with np.errstate(all="raise"):
        found = arrays_of(TRANSFORMS[transform](VALUES[name], data))
    for y in found:
        if isinstance(y, np.ndarray):
            assert not any(np.shares_memory(y, x) for x in data)
            y[...] = np.nan
    for x, copy in zip(data, before, strict=True):
        np.testing.assert_array_equal(x, copy)


@pytest.mark.parametrize("name", VALUES)
def test_a_pullback_does_not_read_the_value_that_was_returned(name, rng):
    data = [rng.normal(size=(2, 3)) for _ in range(2)]
    for transform, directions in ((bp.vjp, None), (bp.linearize, data)):
        y, derivative = transform(VALUES[name], *data)
        if directions is None:
            directions = [bp.tree.map(lambda y: np.ones_like(y), y)]
        before = arrays_of(derivative(*directions))
        for x in arrays_of(y):
            if isinstance(x, np.ndarray):
                x[...] = np.nan
        for a, b in zip(before, arrays_of(derivative(*directions)), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("transform", [bp.vjp, bp.linearize])
def test_places_of_reduceat_are_kept(transform):
    x, places = np.arange(5.0), np.array([0, 2])
    derivative = transform(lambda x: np.add.reduceat(x, places), x)[1]
    direction = np.array([1.0, 10.0]) if transform is bp.vjp else x + 1.0
    before = arrays_of(derivative(direction))
    places[...] = [1, 4]
    np.testing.assert_array_equal(arrays_of(derivative(direction)), before)


LAYOUTS = {
    "rows from behind": np.arange(6.0).reshape(2, 3)[::-1],
    "columns from behind": np.arange(6.0).reshape(2, 3)[:, ::-1],
    "Fortran order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "Fortran order with gaps": np.asfortranarray(np.arange(24.0).reshape(4, 6))[::2, ::2],
    "gaps": np.arange(24.0).reshape(4, 6)[:, ::2],
    "turned": np.arange(48.0).reshape(2, 4, 6)[:, ::-1, ::2].transpose(1, 2, 0),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("transform", [bp.vjp, bp.linearize])
def test_primals_that_are_kept_have_the_layout_of_those_given(transform, layout):
    x = LAYOUTS[layout]
    for order in "CFA":
        for f in (lambda x, o=order: x.ravel(o), lambda x, o=order: x.T.ravel(o) * 2.0):
            np.testing.assert_array_equal(transform(f, x)[0], f(x), err_msg=order)


@pytest.mark.parametrize("name", VALUES)
def test_a_pullback_does_not_read_what_primals_become(name, rng):
    """Steps in place, as ``x -= rate * pullback(1.0)[0]``, move where no derivative was taken."""
    data = [rng.normal(size=(2, 3)) for _ in range(2)]
    for transform, directions in ((bp.vjp, None), (bp.linearize, [x.copy() for x in data])):
        primals = [x.copy() for x in data]
        y, derivative = transform(VALUES[name], *primals)
        if directions is None:
            directions = [bp.tree.map(lambda y: np.ones_like(y), y)]
        before = arrays_of(derivative(*directions))
        for x in primals:
            x *= 3.0
        for a, b in zip(before, arrays_of(derivative(*directions)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_value_that_nobody_else_holds_is_not_copied():
    held = []

    def f(x):
        y = x + 1.0
        held.append(y.value.__array_interface__["data"][0])
        return y

    x = np.ones(3)
    for call in (bp.vjp, bp.linearize, lambda f, x: bp.jvp(f, (x,), (x,))):
        y = call(f, x)[0]
        assert y.__array_interface__["data"][0] == held[-1]


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
    sweep.forward(Tape([y], [x, w]), [g, g])
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
