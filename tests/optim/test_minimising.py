"""Whole minimisations: what they find, what they say on the way, and what they refuse."""

import numpy as np
import pytest

import fastbp as bp
from fastbp import optim
from fastbp.errors import DTypeError, ShapeError


def loss(p, scale=1.0):
    return scale * np.sum((p["a"] - 1.0) ** 2) + np.sum((p["b"][0] - np.arange(3.0)) ** 4)


START = {"a": 0.0, "b": [np.zeros(3)], "name": "first"}
METHODS = {
    "sgd": lambda f, p, **o: optim.sgd(f, p, 400, 0.02, momentum=0.5, nesterov=True, **o),
    "adam": lambda f, p, **o: optim.adam(f, p, 400, 0.05, **o),
    "adamw": lambda f, p, **o: optim.adamw(f, p, 400, 0.05, weight_decay=1e-6, **o),
    "lbfgs": lambda f, p, **o: optim.lbfgs(f, p, **o),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_minima(name, compiled):
    params, result = METHODS[name](loss, START, compiled=compiled)
    np.testing.assert_allclose(params["a"], 1.0, atol=0.02)
    np.testing.assert_allclose(params["b"][0], np.arange(3.0), atol=0.2)
    assert params["name"] == "first"
    assert START["a"] == 0.0
    assert not START["b"][0].any()
    assert result.values[0] == loss(START)
    assert result.values[-1] < 1e-3
    assert not result.stopped
    assert len(result.values) == result.steps + (name == "lbfgs")


@pytest.mark.parametrize("name", METHODS)
def test_compiled_and_plain_ones_go_the_same_way(name):
    plain, compiled = (METHODS[name](loss, START, compiled=c)[1].values for c in (False, True))
    np.testing.assert_allclose(plain[:20], compiled[:20], rtol=1e-9)


@pytest.mark.parametrize("name", METHODS)
def test_callback(name):
    seen = []

    def callback(step, value, params):
        assert value == pytest.approx(loss(params), rel=1e-12)
        seen.append(params)
        return step == 3

    params, result = METHODS[name](loss, START, callback=callback, compiled=True)
    assert len(seen) == 4
    assert result.stopped
    assert result.steps == 3
    assert result.message == "stopped by the callback"
    assert loss(params) == pytest.approx(loss(seen[-1]))
    assert seen[0]["b"][0].tolist() == [0.0, 0.0, 0.0]  # what was kept stays as it was
    assert len({float(p["a"]) for p in seen}) == 4
    # Only True stops.
    assert not METHODS[name](loss, START, callback=lambda *_: 1)[1].stopped


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.complex128])
def test_dtypes_stay(name, dtype):
    target = np.array([1.0, 2.0], dtype) * (1 + 1j if np.dtype(dtype).kind == "c" else 1)
    given = set()

    def distance(z):
        given.add(z.dtype)
        return np.sum(np.abs(z - target.astype(dtype)) ** 2)

    z, _ = METHODS[name](distance, np.zeros(2, dtype))
    assert z.dtype == dtype
    assert given == {np.dtype(dtype)}
    np.testing.assert_allclose(z, target, atol=0.02)


def test_going_on_is_as_if_it_had_not_ended():
    whole, _ = optim.adam(loss, START, 10, 0.05)
    half, result = optim.adam(loss, START, 5, 0.05)
    rest, _ = optim.adam(loss, half, 5, 0.05, state=result.state)
    assert rest["a"] == whole["a"]


def test_batches_and_arguments(rng):
    x = rng.standard_normal((40, 2))
    w = np.array([1.0, -2.0])

    def squares(p, scale, x, y):
        return scale * np.mean((x @ p - y) ** 2)

    batches = ((x[k : k + 8], x[k : k + 8] @ w) for _ in range(60) for k in range(0, 40, 8))
    p, result = optim.sgd(
        squares, np.zeros(2), learning_rate=0.1, args=(2.0,), batches=batches, compiled=True
    )
    assert result.steps == 300
    np.testing.assert_allclose(p, w, atol=1e-6)
    _, result = optim.sgd(squares, p, 3, args=(2.0,), batches=[(x, x @ w)] * 5)
    assert result.steps == 3


def test_schedules_are_called_with_the_number_of_steps_taken():
    seen = []

    def rate(step):
        seen.append(float(step))
        return 0.0 if step >= 2 else 0.5

    p, _ = optim.sgd(lambda p: np.sum(p), np.ones(1), 4, rate)
    assert seen == [0.0, 1.0, 2.0, 3.0]
    assert p.tolist() == [0.0]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_arrays_are_nobody_elses(name, compiled):
    method = getattr(optim, name)
    start = {"a": np.full(2, 3.0), "b": [np.ones(3)], "name": "first"}
    before = {"a": start["a"].copy(), "b": [start["b"][0].copy()]}

    def check(params, *others):
        for found in (params["a"], params["b"][0]):
            for other in (start, *others):
                assert not np.shares_memory(found, other["a"])
                assert not np.shares_memory(found, other["b"][0])

    for last in (None, 0, 2):
        seen = []

        def callback(step, value, params, seen=seen, last=last):
            seen.append(params)
            return step == last

        steps = 4 if last is not None else 0
        params, result = method(loss, start, steps=steps, callback=callback, compiled=compiled)
        assert result.stopped == (last is not None)
        check(params, *seen)
        for k, given in enumerate(seen):
            check(given, *seen[:k])
        values = [loss(p) for p in seen]
        assert values == pytest.approx(result.values[: len(values)])
        params["a"][...] = params["b"][0][...] = 7.0
        assert values == [loss(p) for p in seen]
        np.testing.assert_array_equal(start["a"], before["a"])
        np.testing.assert_array_equal(start["b"][0], before["b"][0])


def test_state_is_the_callers_own():
    _, first = optim.adam(loss, START, 2)
    _, again = optim.adam(loss, START, 0, state=first.state)
    again.state["step"][0] = again.state["mean"]["b"][0][0] = 100.0
    assert first.state["step"][0] == 2.0
    assert first.state["mean"]["b"][0][0] != 100.0


def test_no_steps():
    for method in (optim.adam, optim.lbfgs):
        params, result = method(loss, START, steps=0)
        assert params["a"] == 0.0
        assert result.steps == 0


def test_errors():
    with pytest.raises(TypeError, match="adam: steps= is needed"):
        optim.adam(loss, START)
    with pytest.raises(ValueError, match="lbfgs: steps must be a number of steps, not -1"):
        optim.lbfgs(loss, START, -1)
    with pytest.raises(TypeError, match="sgd: a function is needed, not a dict"):
        optim.sgd(START, loss, 3)
    with pytest.raises(DTypeError, match="adamw: params is a str, not numbers"):
        optim.adamw(loss, "start", 3)
    with pytest.raises(TypeError, match=r"adam: args must be a tuple .* write args=\(x,\)"):
        optim.adam(loss, START, 3, args=1.0)
    with pytest.raises(TypeError, match=r"adam: batches must yield tuples .* not a float"):
        optim.adam(loss, START, batches=[1.0])
    with pytest.raises(TypeError, match=r"lbfgs: callback must be a function of \(step, value"):
        optim.lbfgs(loss, START, callback="x")
    with pytest.raises(ShapeError, match="adam: the function must return a scalar"):
        optim.adam(lambda p: p["b"][0], START, 3)
    with pytest.raises(TypeError, match="the state must be a dict of step, mean, square"):
        optim.adam(loss, START, 3, state=optim.SGD().init(START))


def test_settings_reach_scipy():
    _, result = optim.lbfgs(loss, START, gradient_tol=1e9)
    assert result.steps == 0
    assert "CONVERGENCE" in result.message
    assert bp.optim.lbfgs is optim.lbfgs
