"""A character model in a plain loop, three ways people write it, against BPTT written by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastbp as bp

TEXT = "the quick brown fox jumps over the lazy dog. pack my box with five dozen liquor jugs. "
CHARS = sorted(set(TEXT))
INDEX = {c: i for i, c in enumerate(CHARS)}
CODES = np.array([INDEX[c] for c in TEXT])
V, E, H = len(CHARS), 8, 16


def log_softmax(z):
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def states_in_an_array(p, inputs, targets):
    T = len(inputs)
    hs = np.zeros((T + 1, H))
    for t in range(T):
        h = np.tanh(p["embed"][inputs[t]] @ p["U"] + hs[t] @ p["W"] + p["b"])
        hs[t + 1] = h
    logits = hs[1:] @ p["V"] + p["c"]
    return -log_softmax(logits)[np.arange(T), targets].mean()


def states_in_a_dict(p, inputs, targets):
    """Column vectors, one-hot codes, everything in dicts by time."""
    xs, hs, ps = {}, {}, {}
    hs[-1] = np.zeros((H, 1))
    loss = 0
    for t in range(len(inputs)):
        xs[t] = np.zeros((V, 1))
        xs[t][inputs[t]] = 1
        code = np.dot(p["embed"].T, xs[t])
        hs[t] = np.tanh(
            np.dot(p["U"].T, code) + np.dot(p["W"].T, hs[t - 1]) + p["b"].reshape(-1, 1)
        )
        ys = np.dot(p["V"].T, hs[t]) + p["c"].reshape(-1, 1)
        ps[t] = np.exp(ys) / np.sum(np.exp(ys))
        loss += -np.log(ps[t][targets[t], 0])
    return loss / len(inputs)


def states_in_a_list(p, inputs, targets):
    hs = []
    h = np.zeros(H)
    for code in inputs:
        h = np.tanh(p["embed"][code] @ p["U"] + h @ p["W"] + p["b"])
        hs.append(h)
    logits = np.array(hs) @ p["V"] + p["c"]
    picked = log_softmax(logits)[range(len(targets)), targets]
    return -np.mean(picked)


FORMS = [states_in_an_array, states_in_a_dict, states_in_a_list]


def bptt(p, inputs, targets):
    """Value and gradient, by hand."""
    T = len(inputs)
    hs = np.zeros((T + 1, H), p["W"].dtype)
    for t in range(T):
        hs[t + 1] = np.tanh(p["embed"][inputs[t]] @ p["U"] + hs[t] @ p["W"] + p["b"])
    log_p = log_softmax(hs[1:] @ p["V"] + p["c"])
    dy = np.exp(log_p)
    dy[np.arange(T), targets] -= 1
    dy /= T
    g = {name: np.zeros_like(value) for name, value in p.items()}
    g["V"], g["c"] = hs[1:].T @ dy, dy.sum(axis=0)
    dh = np.zeros(H, p["W"].dtype)
    for t in reversed(range(T)):
        da = (dy[t] @ p["V"].T + dh) * (1 - hs[t + 1] ** 2)
        g["b"] += da
        g["W"] += np.outer(hs[t], da)
        g["U"] += np.outer(p["embed"][inputs[t]], da)
        g["embed"][inputs[t]] += p["U"] @ da
        dh = p["W"] @ da
    return -log_p[np.arange(T), targets].mean(), g


@pytest.fixture
def p(rng):
    shapes = {"embed": (V, E), "U": (E, H), "W": (H, H), "b": (H,), "V": (H, V), "c": (V,)}
    return {name: 0.3 * rng.standard_normal(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("f", FORMS)
def test_gradient(f, p):
    value, g = bp.value_and_grad(bp.unmodified(f))(p, CODES[:-1], CODES[1:])
    expected, by_hand = bptt(p, CODES[:-1], CODES[1:])
    assert_allclose(f(p, CODES[:-1], CODES[1:]), expected, rtol=1e-14)
    assert_allclose(value, expected, rtol=1e-14)
    assert g.keys() == by_hand.keys()
    for name in g:
        # Sums over T terms that are at most of the size of the largest element.
        size = np.abs(by_hand[name]).max()
        assert_allclose(g[name], by_hand[name], rtol=0, atol=1e-13 * size, err_msg=name)


def test_gradient_in_float32(p):
    p32 = {name: value.astype("f4") for name, value in p.items()}

    def loss(p, inputs, targets):
        T = len(inputs)
        hs = np.zeros((T + 1, H), dtype=np.float32)
        for t in range(T):
            h = np.tanh(p["embed"][inputs[t]] @ p["U"] + hs[t] @ p["W"] + p["b"])
            hs[t + 1] = h
        logits = hs[1:] @ p["V"] + p["c"]
        return -log_softmax(logits)[np.arange(T), targets].mean()

    value, g = bp.value_and_grad(bp.unmodified(loss))(p32, CODES[:-1], CODES[1:])
    expected, by_hand = bptt(
        {name: value.astype("f8") for name, value in p32.items()}, CODES[:-1], CODES[1:]
    )
    assert_allclose(value, expected, rtol=1e-5)
    for name in g:
        assert g[name].dtype == np.float32
        size = np.abs(by_hand[name]).max()
        assert_allclose(g[name], by_hand[name], rtol=0, atol=1e-4 * size, err_msg=name)


def test_training(p):
    """Twenty steps in place, windows of the text, with either gradient: the same losses."""
    f = bp.value_and_grad(bp.unmodified(states_in_an_array))

    def train(gradient):
        q = {name: value.copy() for name, value in p.items()}
        losses = []
        for k in range(20):
            window = np.roll(CODES, -7 * k)[:26]
            value, g = gradient(q, window[:-1], window[1:])
            losses.append(value)
            for name in q:
                q[name] -= 0.5 * g[name]
        return losses

    losses = train(f)
    assert_allclose(losses, train(bptt), rtol=1e-10)
    assert losses[0] > 3 > losses[-1] > 0  # log(V) is 3.33
