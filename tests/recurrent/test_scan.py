"""bp.scan: the loop, its derivatives, truncation and checkpoints."""

import tracemalloc
from typing import NamedTuple

import numpy as np
import pytest

import fastbp as bp
from fastbp.errors import DTypeError, ShapeError

rng = np.random.default_rng(0)
T, M, N = 7, 3, 4
XS = rng.normal(size=(T, M))
PARAMS = {"W": rng.normal(size=(N, N)) / 2, "U": rng.normal(size=(M, N)), "b": rng.normal(size=N)}
H0 = rng.normal(size=N)


def cell(p, h, x):
    h = np.tanh(h @ p["W"] + x @ p["U"] + p["b"])
    return h, {"h": h, "sum": np.sum(h)}


def by_loop(p, h, xs, reverse=False, truncate=None):
    ys = [None] * len(xs)
    for i in range(len(xs)):
        t = len(xs) - 1 - i if reverse else i
        if truncate and i and i % truncate == 0:
            h = bp.stop_gradient(h)
        h, ys[t] = cell(p, h, xs[t])
    return h, np.stack([y["h"] for y in ys]), np.stack([y["sum"] for y in ys])


def loss_of(h, hs, sums):
    weights = np.cos(np.arange(T * N)).reshape(T, N)
    return np.sum(h) + np.sum(hs * weights) + np.sum(sums**2)


OPTIONS = [
    {"reverse": reverse, "truncate": truncate, "checkpoint": checkpoint}
    for reverse in (False, True)
    for truncate in (None, 1, 3, 50)
    for checkpoint in (None, 1, 3, 50, "binomial")
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_scan_is_the_loop(options):
    plain = {k: v for k, v in options.items() if k != "checkpoint"}

    def loss(p, h, xs):
        last, ys = bp.scan(lambda h, x: cell(p, h, x), h, xs, **options)
        return loss_of(last, ys["h"], ys["sum"])

    def expected(p, h, xs):
        return loss_of(*by_loop(p, h, xs, **plain))

    found = bp.value_and_grad(loss, argnums=(0, 1, 2))(PARAMS, H0, XS)
    wanted = bp.value_and_grad(expected, argnums=(0, 1, 2))(PARAMS, H0, XS)
    for a, b in zip(bp.tree.flatten(found)[0], bp.tree.flatten(wanted)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("checkpoint", [None, 2, "binomial"])
def test_derivatives_of_all_orders_and_modes(checkpoint):
    def f(w, xs):
        def step(h, x):
            h = np.sin(h * w + x)
            return h, h * h

        last, ys = bp.scan(step, np.zeros(2), xs, checkpoint=checkpoint)
        return np.sum(last) + np.sum(ys)

    bp.testing.check_grads(f, (np.array([0.3, 0.7]), rng.normal(size=(5, 2))), order=2)


def test_plain_arrays_stay_plain():
    last, ys = bp.scan(lambda h, x: cell(PARAMS, h, x), H0, XS)
    expected = by_loop(PARAMS, H0, XS)
    for found, want in zip((last, ys["h"], ys["sum"]), expected, strict=True):
        assert type(found) is np.ndarray
        np.testing.assert_array_equal(found, want)


def test_without_sequences():
    last, ys = bp.scan(lambda n, _: (n + 1, None), 0, length=5)
    assert last == 5
    assert ys is None
    assert bp.grad(lambda x: bp.scan(lambda y, _: (y * y, y), x, length=3)[0])(1.5) == (8 * 1.5**7)
    assert bp.grad(lambda x: bp.scan(lambda y: (y * y, y), x, length=3)[0])(1.5) == (8 * 1.5**7)


class State(NamedTuple):
    h: np.ndarray
    count: int


def test_carries_and_sequences_are_trees():
    def step(state, x):
        left, right = x["pair"]
        h = state.h * left + right + x["bias"]
        return State(h, state.count + 1), (h, state.count)

    xs = {"pair": [XS, XS**2], "bias": XS[:, 0]}
    last, (hs, counts) = bp.scan(step, State(np.zeros(M), 0), xs)
    assert last.count == T
    np.testing.assert_array_equal(counts, np.arange(T))
    np.testing.assert_array_equal(last.h, hs[-1])
    found = bp.grad(lambda xs: np.sum(bp.scan(step, State(np.zeros(M), 0), xs)[0].h))(xs)
    h, g = np.zeros(M), []
    for t in range(T):
        g.append(h)
        h = h * XS[t] + XS[t] ** 2 + XS[t, 0]
    later = np.cumprod(np.vstack([np.ones(M), XS[:0:-1]]), axis=0)[::-1]
    np.testing.assert_allclose(found["pair"][0], np.array(g) * later)
    np.testing.assert_allclose(found["bias"], later.sum(axis=1))


def test_no_steps():
    last, ys = bp.scan(lambda h, x: cell(PARAMS, h, x), H0, np.zeros((0, M)))
    np.testing.assert_array_equal(last, H0)
    assert ys["h"].shape == (0, N)
    assert ys["sum"].shape == (0,)
    assert bp.grad(lambda h: bp.scan(lambda h, x: (h, h), h, np.zeros(0))[0] * 2)(3.0) == 2.0


def peak(checkpoint, steps=512):
    xs = rng.normal(size=(steps, 1))
    start = np.zeros(5000)

    def loss(start):
        return np.sum(bp.scan(lambda h, x: (np.tanh(h + x), None), start, xs,
                              checkpoint=checkpoint)[0])  # fmt: skip

    bp.grad(loss)(start)
    tracemalloc.start()
    try:
        bp.grad(loss)(start)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.thread_unsafe(reason="tracemalloc counts what all threads allocate")
def test_checkpoints_save_memory():
    full, cut, halved = peak(None), peak(23), peak("binomial")
    assert full > 512 * 40_000
    assert cut < full / 6  # 23 carries and 23 steps
    assert halved < full / 15


def test_long_sequences():
    xs = np.full(20_000, 1e-4)
    found = bp.grad(lambda a: bp.scan(lambda h, x: (h * a + x, None), 0.0, xs)[0])(1.0)
    np.testing.assert_allclose(found, 1e-4 * 20_000 * 19_999 / 2)


def test_bad_arguments():
    def step(h, x):
        return h, x

    with pytest.raises(TypeError, match="step must be a function"):
        bp.scan(None, 0.0, XS)
    with pytest.raises(ValueError, match="length is needed"):
        bp.scan(step, 0.0)
    with pytest.raises(ShapeError, match=r"xs\['a'\] has 7 steps, xs\['b'\] has 6"):
        bp.scan(step, 0.0, {"a": XS, "b": XS[1:]})
    with pytest.raises(ShapeError, match="length has 3 steps"):
        bp.scan(step, 0.0, XS, length=3)
    with pytest.raises(ShapeError, match="scalar"):
        bp.scan(step, 0.0, 1.0)
    with pytest.raises(ValueError, match="negative"):
        bp.scan(step, 0.0, length=-1)
    with pytest.raises(TypeError, match=r"pair .* not a tuple of 3"):
        bp.scan(lambda h, x: (h, x, x), 0.0, XS)
    with pytest.raises(TypeError, match="pair"):
        bp.scan(lambda h, x: h, 0.0, XS)
    with pytest.raises(ShapeError, match=r"step 0 returned carry of shape \(3,\).*shape \(\)"):
        bp.scan(lambda h, x: (h + x, None), 0.0, XS)
    with pytest.raises(DTypeError, match=r"int64; start with 0\.0 in place of 0"):
        bp.scan(lambda h, x: (h + x[0], None), 0, XS)
    with pytest.raises(DTypeError, match=r"step 0 .*float64.*float32"):
        bp.scan(lambda h, x: (h + x, None), np.zeros(M, "f4"), XS)
    with pytest.raises(ShapeError, match="structure"):
        bp.scan(lambda h, x: ((h, h), None), 0.0, XS)
    for bad in (0, -1, 1.5, True, "binary"):
        with pytest.raises(ValueError, match="checkpoint"):
            bp.scan(step, 0.0, XS, checkpoint=bad)
        with pytest.raises(ValueError, match="truncate"):
            bp.scan(step, 0.0, XS, truncate=bad)
