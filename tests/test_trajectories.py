"""Jacobians along a trajectory, chains from recorded functions."""

import numpy as np
import pytest

import fastbp as bp
from fastbp.errors import DTypeError, NoRuleError, ShapeError

rng = np.random.default_rng(0)
T, M, N = 6, 2, 3
XS, H0, C0 = rng.normal(size=(T, M)), rng.normal(size=N), rng.normal(size=N)
CELLS = {
    name: {
        "W": rng.normal(size=(N, k * N)) / 2,
        "U": rng.normal(size=(M, k * N)),
        "b": rng.normal(size=k * N),
    }
    for name, k in (("rnn", 1), ("gru", 3), ("lstm", 4))
}


def dense(chain):
    return chain.product().to_dense()


@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
def test_rnn(activation):
    p = CELLS["rnn"]
    chain = bp.recurrent.trajectory_jacobians(bp.recurrent.rnn, H0, XS, activation=activation, **p)
    assert len(chain) == T
    exact = bp.jacobian(lambda h: bp.recurrent.rnn(XS, h, activation=activation, **p)[1])(H0)
    np.testing.assert_allclose(dense(chain), exact, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("c", [None, rng.normal(size=N)])
def test_gru(c):
    p = CELLS["gru"]
    chain = bp.recurrent.trajectory_jacobians(bp.recurrent.gru, H0, XS, c=c, **p)
    exact = bp.jacobian(lambda h: bp.recurrent.gru(XS, h, c=c, **p)[1])(H0)
    np.testing.assert_allclose(dense(chain), exact, rtol=1e-11, atol=1e-14)


def test_lstm():
    p = CELLS["lstm"]

    def last(state):
        _, (h, c) = bp.recurrent.lstm(XS, (state[:N], state[N:]), **p)
        return np.concatenate([h, c])

    chain = bp.recurrent.trajectory_jacobians(bp.recurrent.lstm, (H0, C0), XS, **p)
    exact = bp.jacobian(last)(np.concatenate([H0, C0]))
    np.testing.assert_allclose(dense(chain), exact, rtol=1e-11, atol=1e-14)


def test_any_step():
    W, U = CELLS["rnn"]["W"], CELLS["rnn"]["U"]

    def step(h, x):
        h = np.tanh(h @ W + x["x"] @ U) * x["gain"]
        return h, np.sum(h)

    xs = {"x": XS, "gain": rng.normal(size=(T, 1))}
    chain = bp.recurrent.trajectory_jacobians(step, H0, xs)
    exact = bp.jacobian(lambda h: bp.scan(step, h, xs)[0])(H0)
    np.testing.assert_allclose(dense(chain), exact, rtol=1e-12)


def test_states_of_two_axes_and_steps_that_forget():
    h0 = rng.normal(size=(2, N))
    W = CELLS["rnn"]["W"]
    chain = bp.recurrent.trajectory_jacobians(lambda h, x: np.sin(h @ W), h0, np.zeros(3))
    exact = bp.jacobian(lambda h: np.sin(np.sin(np.sin(h @ W) @ W) @ W))(h0).reshape(6, 6)
    np.testing.assert_allclose(dense(chain), exact, rtol=1e-12, atol=1e-15)
    forgets = bp.recurrent.trajectory_jacobians(lambda h, x: np.full(N, x), H0, np.ones(2))
    np.testing.assert_array_equal(dense(forgets), np.zeros((N, N)))


def test_sensitivity():
    p = CELLS["rnn"]
    chain = bp.recurrent.trajectory_jacobians(bp.recurrent.rnn, H0, XS, **p)
    links = [link.to_dense() for link in chain][::-1]
    pairs = [(T, 0), (4, 1), (3, 3), (T, 2), (1, 0)]
    found = bp.recurrent.sensitivity(bp.recurrent.rnn, H0, XS, pairs, **p)
    for (t, s), matrix in zip(pairs, found, strict=True):
        expected = np.eye(N)
        for link in links[s:t]:
            expected = link @ expected
        np.testing.assert_allclose(matrix, expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(bp.recurrent.sensitivity(bp.recurrent.rnn, H0, XS, **p), found[0])
    for bad in ((T + 1, 0), (1, 2), (2, -1)):
        with pytest.raises(ValueError, match="pair"):
            bp.recurrent.sensitivity(bp.recurrent.rnn, H0, XS, [bad], **p)


def test_bad_trajectories():
    p = CELLS["rnn"]
    with pytest.raises(ShapeError, match="no steps"):
        bp.recurrent.trajectory_jacobians(lambda h, x: h, H0, np.zeros((0, 1)))
    with pytest.raises(ShapeError, match=r"step 0 returned a state of shape \(2,\)"):
        bp.recurrent.trajectory_jacobians(lambda h, x: h[:2], H0, XS)
    with pytest.raises(DTypeError, match=r"step 0 .* float64"):
        bp.recurrent.trajectory_jacobians(lambda h, x: h + x[0], H0.astype("f4"), XS)
    with pytest.raises(ShapeError, match="without a batch"):
        bp.recurrent.trajectory_jacobians(bp.recurrent.rnn, np.zeros((2, N)), XS[:, None], **p)
    with pytest.raises(NoRuleError, match="Variables"):
        bp.recurrent.trajectory_jacobians(lambda h, x: h, bp.variable(H0), XS)
    with pytest.raises(TypeError, match="built-in"):
        bp.recurrent.trajectory_jacobians(lambda h, x: h, H0, XS, W=p["W"])


# ---- linearize


W4 = rng.normal(size=(4, 4))
A, B, C, V = (rng.normal(size=s) for s in ((4, 3), (3, 2), (2, 5), 4))
FUNCTIONS = {
    "deep": (lambda x: np.tanh(W4 @ np.tanh(W4 @ x)), V, ["Diagonal", "Dense"] * 2),
    "rows": (lambda a: np.tanh(a @ B) @ C, A, ["Kronecker", "Diagonal", "Kronecker"]),
    "columns": (lambda b: A @ b, B, ["Kronecker"]),
    "branches": (lambda x: x * np.sum(x), V, ["Dense"]),
    "stencil": (lambda x: np.cumsum(np.roll(x, 1) * x), V, None),
    "identity": (lambda x: x, V, ["Identity"]),
    "scaled": (lambda x: -3.0 * x, V, ["Identity"]),
    "constant": (lambda x: 3.0 * np.ones(2), V, ["Dense"]),
    "scalar": (lambda x: np.sum(np.tanh(x) + x * x), V, ["Dense", "Diagonal"]),
    "transpose": (lambda a: a.T @ W4[:, :2], A, ["Kronecker", "Sparse"]),
    "inverse": (lambda a: np.linalg.inv(a) @ a, W4, None),
    "two terms": (lambda a: np.tanh(a @ B + a @ (2 * B)), A, ["Diagonal", "Kronecker"]),
    "float32 inside": (lambda x: x.astype("f4") * 2.0, V, None),
    "0-d": (lambda x: np.sin(x) * x, np.array(0.5), ["Identity"]),
}


@pytest.mark.parametrize(("f", "x", "kinds"), FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_linearize(f, x, kinds):
    chain = bp.chain.linearize(f, x)
    exact = bp.jacobian(f)(x).reshape(-1, x.size)
    np.testing.assert_allclose(dense(chain), exact, rtol=1e-6, atol=1e-12)
    if kinds is not None:
        assert [type(link).__name__ for link in chain] == kinds
    g = rng.normal(size=exact.shape[0])
    np.testing.assert_allclose(chain.vjp(g), g @ exact, rtol=1e-6, atol=1e-12)


def test_linearize_of_many_layers_is_the_gradient():
    layers = rng.normal(size=(30, 4, 4)) / 2

    def f(x):
        for W in layers:
            x = np.tanh(W @ x) + x
        return x

    chain = bp.chain.linearize(f, V)
    assert len(chain) == 30  # the skip connections are eliminated
    np.testing.assert_allclose(dense(chain), bp.jacobian(f)(V), rtol=1e-10, atol=1e-12)


def test_linearize_refuses():
    with pytest.raises(TypeError, match="one array"):
        bp.chain.linearize(lambda x: (x, x), V)
    w = bp.variable(V)
    with pytest.raises(NoRuleError, match="outside"):
        bp.chain.linearize(lambda x: x * w, V)
