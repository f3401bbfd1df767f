"""Jacobians along a trajectory, chains from recorded functions."""

import numpy as np
import pytest

import fastbp as bp
from fastbp.errors import DTypeError, NoRuleError, ShapeError

from ..harness import assert_close

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
    assert_close(dense(chain), exact, ulps=16 * T)


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
    with pytest.raises(NoRuleError, match="Variables"):
        bp.recurrent.trajectory_jacobians(lambda h, x: h, bp.variable(H0), XS)
    with pytest.raises(TypeError, match="built-in"):
        bp.recurrent.trajectory_jacobians(lambda h, x: h, H0, XS, W=p["W"])


# ---- the way that a step's Jacobians are computed in


def stencil(h):
    return h + 0.1 * np.roll(h, 1) * np.sin(np.roll(h, -1))


R = np.random.default_rng(5)
W300, SMALL300 = R.normal(size=(300, 300)) / 20, R.normal(size=300) / 4
WAYS = {
    "small": (stencil, SMALL300[:12], "Dense"),
    "stencil": (stencil, SMALL300, "Sparse"),
    "float32": (lambda h: np.float32(0.5) * np.roll(h, 1) * h, SMALL300.astype("f4"), "Sparse"),
    "elementwise": (lambda h: np.sin(h) * np.exp(-h * h), SMALL300, "Diagonal"),
    "dense": (lambda h: np.tanh(h @ W300), SMALL300, "Dense"),
    "dense of many operations": (lambda h: np.cumsum(stencil(h)) / 300, SMALL300, "Dense"),
    "batch": (lambda h: np.tanh(h @ W300[:20, :20]), SMALL300.reshape(15, 20), "Sparse"),
}


@pytest.mark.parametrize(("step", "h", "kind"), WAYS.values(), ids=WAYS.keys())
def test_ways(step, h, kind):
    chain = bp.recurrent.trajectory_jacobians(step, h, length=12)
    assert [type(link).__name__ for link in chain] == [kind] * 12
    jacobian = bp.jacobian(step)
    for link in list(chain)[::-1]:
        expected = jacobian(h).reshape(h.size, h.size)
        assert link.dtype == h.dtype
        assert_close(link.to_dense(), expected, ulps=16, magnitude=300 * np.abs(expected).max())
        h = step(h)


def test_a_step_of_another_kind():
    """A pattern that no longer holds is found anew, one that is larger than needed serves."""

    def step(h, x):
        if x == 1.0:
            return stencil(h)
        if x == 2.0:
            return h * h[0]
        return stencil(h) + 0.2 * np.roll(h, 7) if x == 3.0 else h * 0.5

    xs = np.repeat([1.0, 0.0, 3.0, 1.0, 2.0, 0.0], 4)
    h = 1.0 + SMALL300
    chain = bp.recurrent.trajectory_jacobians(step, h, xs)
    for x, link in zip(xs, list(chain)[::-1], strict=True):
        expected = bp.jacobian(step)(h, x)
        assert_close(link.to_dense(), expected, ulps=16, magnitude=np.abs(expected).max())
        h = step(h, x)


def test_zeros_of_xs_belong_to_their_step():
    xs = np.zeros((9, 300))
    xs[1:] = 1.0
    xs.flags.writeable = False
    chain = bp.recurrent.trajectory_jacobians(lambda h, x: np.roll(h, 1) * x + h, SMALL300, xs)
    shift = np.roll(np.eye(300), 1, axis=0)
    for t, link in enumerate(list(chain)[::-1]):
        np.testing.assert_array_equal(link.to_dense(), np.eye(300) + shift * (t > 0))


def test_autonomous_steps():
    def step(h, rate=0.5):  # what it can do without is left alone
        return np.sin(rate * h)

    expected = bp.jacobian(lambda h: step(step(step(h))))(H0)
    for f in (step, lambda h: step(h), lambda h, x: (step(h), x), lambda *a: step(a[0])):
        chain = bp.recurrent.trajectory_jacobians(f, H0, length=3)
        np.testing.assert_allclose(dense(chain), expected, rtol=1e-14)
        np.testing.assert_allclose(bp.recurrent.sensitivity(f, H0, length=3), expected, rtol=1e-14)
    with pytest.raises(ValueError, match="trajectory_jacobians: without xs the length is needed"):
        bp.recurrent.trajectory_jacobians(step, H0)
    with pytest.raises(ShapeError, match="length has 3 steps, xs has 6"):
        bp.recurrent.trajectory_jacobians(lambda h, x: h, H0, XS, 3)
    with pytest.raises(ShapeError, match="no steps"):
        bp.recurrent.sensitivity(step, H0, length=0)
    for wrong in ({}, {"length": 3}, {"xs": XS, "length": 6}):
        with pytest.raises(TypeError, match="rnn takes xs"):
            bp.recurrent.trajectory_jacobians(bp.recurrent.rnn, H0, **wrong, **CELLS["rnn"])


def test_a_step_must_not_read_variables():
    w = bp.variable(np.ones(N))
    with pytest.raises(NoRuleError, match="step 0 depends on Variables from outside"):
        bp.recurrent.trajectory_jacobians(lambda h: h * w, H0, length=2)


# ---- cells with all their options


def cell_case(cell, batch, dtype):
    """Return the state as one vector, the call, the state as the cell takes it, xs, parameters."""
    r = np.random.default_rng(3)
    lead, k = (batch,) if batch else (), {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    shapes = {"W": (N, k * N), "U": (M, k * N), "b": (k * N,)}
    p = {name: (r.normal(size=shape) / 1.5).astype(dtype) for name, shape in shapes.items()}
    xs, *state = (r.normal(size=s).astype(dtype) for s in ((T, *lead, M), (*lead, N), (*lead, N)))
    f = getattr(bp.recurrent, cell)
    if cell != "lstm":

        def last(s, **o):
            return f(xs, s.reshape(*lead, N), **p, **o)[1].reshape(-1)

        return state[0].reshape(-1), last, state[0], xs, p

    def last_pair(s, **o):
        s = s.reshape(*lead, 2, N)
        return np.stack(f(xs, (s[..., 0, :], s[..., 1, :]), **p, **o)[1], axis=-2).reshape(-1)

    return np.stack(state, axis=-2).reshape(-1), last_pair, tuple(state), xs, p


MASKS = {
    "none": lambda lead: None,
    "steps": lambda lead: np.arange(T) % 3 != 1,
    "members": lambda lead: rng.random((T, *lead)) < 0.6,
    "nothing": lambda lead: np.zeros(T, bool),
}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("batch", [0, 1, 4])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("cell", CELLS)
def test_cells_with_batch_mask_and_reverse(cell, dtype, batch, mask, reverse):
    options = {"mask": MASKS[mask]((batch,) if batch else ()), "reverse": reverse}
    flat, last, state, xs, p = cell_case(cell, batch, dtype)
    f = getattr(bp.recurrent, cell)
    chain = bp.recurrent.trajectory_jacobians(f, state, xs, **p, **options)
    exact = bp.jacobian(lambda s: last(s, **options))(flat)
    g = rng.normal(size=(2, flat.size)).astype(dtype)
    tolerance = {"rtol": 1e-10, "atol": 1e-12} if dtype == "f8" else {"rtol": 1e-4, "atol": 1e-5}
    plain = np.linalg.multi_dot([link.to_dense() for link in chain])
    for found, expected in (
        (dense(chain), exact),
        (plain, exact),
        (bp.recurrent.sensitivity(f, state, xs, **p, **options), exact),
        (chain.vjp(g), g @ exact),
        (chain.jvp(g), g @ exact.T),
        (chain.vjps(g)[-1], g @ exact),
        (chain.prefixes()[-1].to_dense(), exact),
        (chain.suffixes()[0].to_dense(), exact),
    ):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, **tolerance)
    assert len(chain) == T


@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
@pytest.mark.parametrize("batch", [0, 3])
def test_activations_with_a_batch(activation, batch):
    flat, last, state, xs, p = cell_case("rnn", batch, "f8")
    p = p | {"activation": activation}
    exact = bp.jacobian(lambda s: last(s, activation=activation))(flat)
    found = bp.recurrent.sensitivity(bp.recurrent.rnn, state, xs, **p)
    np.testing.assert_allclose(found, exact, rtol=1e-10, atol=1e-13)


def test_a_batch_keeps_its_blocks():
    _, _, state, xs, p = cell_case("rnn", 4, "f8")
    chain = bp.recurrent.trajectory_jacobians(bp.recurrent.rnn, state, xs, **p)
    assert [type(b) for b in chain[0]._blocks] == [bp.chain.RowScaled] * 4
    assert type(chain.product()) is bp.chain.BlockDiagonal
    every = [chain.product(order).to_dense() for order in ("auto", "exact", "left", "right")]
    for found in every[1:]:
        np.testing.assert_allclose(found, every[0], rtol=1e-12, atol=1e-14)
    assert chain.nbytes < 2 * T * 4 * N * 8 + 8 * N * N  # one W


def test_pairs_with_a_batch():
    _, _, state, xs, p = cell_case("gru", 2, "f8")
    chain = bp.recurrent.trajectory_jacobians(bp.recurrent.gru, state, xs, **p)
    (found,) = bp.recurrent.sensitivity(bp.recurrent.gru, state, xs, [(5, 2)], **p)
    links = [link.to_dense() for link in chain][::-1]
    np.testing.assert_allclose(found, links[4] @ links[3] @ links[2], rtol=1e-12, atol=1e-14)


def test_dtypes_mix_as_in_the_cells():
    p = CELLS["rnn"]
    f = bp.recurrent.rnn
    mixed = bp.recurrent.sensitivity(f, H0.astype("f4"), XS, **p)
    assert mixed.dtype == np.float64
    integers = bp.recurrent.sensitivity(f, [0, 1, 0], XS.tolist(), **p)
    expected = bp.recurrent.sensitivity(f, np.array([0.0, 1.0, 0.0]), XS, **p)
    np.testing.assert_array_equal(integers, expected)
    single = {k: v.astype("f4") for k, v in p.items()}
    assert bp.recurrent.sensitivity(f, H0.astype("f4"), XS.astype("f4"), **single).dtype == "f4"


@pytest.mark.parametrize(("steps", "n"), [(1, 3), (2, 33), (7, 70), (3, 260)])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_sizes_about_those_of_the_kernels(steps, n, dtype):
    r = np.random.default_rng(n)
    W, U = ((r.normal(size=s) / np.sqrt(n)).astype(dtype) for s in ((n, n), (2, n)))
    xs, h0 = r.normal(size=(steps, 2)).astype(dtype), r.normal(size=n).astype(dtype)
    chain = bp.recurrent.trajectory_jacobians(bp.recurrent.rnn, h0, xs, W=W, U=U)
    expected = np.eye(n)
    for link in chain:
        expected = expected @ link.to_dense().astype("f8")
    rtol = 1e-12 if dtype == "f8" else 1e-4
    found = {
        "run": chain.product().to_dense(),
        "left": bp.chain.product(list(chain), "left").to_dense(),
        "right": bp.chain.product(list(chain), "right").to_dense(),
        "slice": (chain[:1] + chain[1:]).product().to_dense() if steps > 1 else expected,
        "rows": chain.vjp(np.eye(n)),
        "columns": chain.jvp(np.eye(n)).T,
    }
    for name, x in found.items():
        np.testing.assert_allclose(x, expected, rtol=rtol, atol=rtol, err_msg=name)


@pytest.mark.parametrize("cell", CELLS)
def test_no_units(cell):
    state, p = np.zeros(0), {"W": np.zeros((0, 0)), "U": np.zeros((M, 0))}
    f = getattr(bp.recurrent, cell)
    found = bp.recurrent.sensitivity(f, (state, state) if cell == "lstm" else state, XS, **p)
    assert found.shape == (0, 0)


def test_bad_cells():
    f, p = bp.recurrent.rnn, CELLS["rnn"]

    def call(h0=H0, xs=XS, cell=f, **o):
        bp.recurrent.trajectory_jacobians(cell, h0, xs, **{**p, **o})

    for error, text, bad in (
        (ShapeError, r"h0 has shape \(4,\)", {"h0": np.zeros(4)}),
        (ShapeError, r"h0 has shape \(2, 3\)", {"h0": np.zeros((2, N))}),
        (ShapeError, r"W of shape \(2, 2\)", {"W": np.zeros((2, 2)), "h0": np.zeros(2)}),
        (ShapeError, "no steps", {"xs": XS[:0]}),
        (ShapeError, "without members", {"h0": np.zeros((0, N)), "xs": np.zeros((T, 0, M))}),
        (ShapeError, r"mask has shape \(2,\)", {"mask": np.ones(2, bool)}),
        (ShapeError, r"\(h0, c0\)", {"cell": bp.recurrent.lstm, "h0": 3.0}),
        (DTypeError, "mask has dtype float64", {"mask": np.ones(T)}),
        (DTypeError, "complex128", {"xs": XS * 1j}),
        (DTypeError, "W is None", {"W": None}),
        (ValueError, "truncate=2", {"truncate": 2}),
        (ValueError, "checkpoint='binomial'", {"checkpoint": "binomial"}),
        (ValueError, "activation='sin'", {"activation": "sin"}),
        (TypeError, "gru .* no argument 'activation'", {"cell": bp.recurrent.gru, "activation": 1}),
        (TypeError, "rnn has no argument 'V'", {"V": 1}),
        (NoRuleError, "Variables", {"W": bp.variable(p["W"])}),
    ):  # fmt: skip
        with pytest.raises(error, match=text):
            call(**bad)


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


@pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning")  # constants
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


def test_what_is_no_step_and_what_is_no_pair():
    xs = np.ones((2, 1))
    with pytest.raises(TypeError, match="step must be a function, not a str"):
        bp.recurrent.sensitivity("rnn", np.zeros(1), xs)
    for pairs in ([3], [(1.0, 0)], [(2, 1, 0)]):
        with pytest.raises(TypeError, match="sensitivity: pairs must be integers"):
            bp.recurrent.sensitivity(lambda h, x: h * x, np.zeros(1), xs, pairs)
