"""The fused cells: against the loop of recorded operations, PyTorch, and their definitions."""

import itertools
import threading
import tracemalloc

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import threads
from fastbp.errors import DTypeError, ShapeError
from fastbp.recurrent import loops
from fastbp.recurrent.checkpoints import Schedule
from fastbp.testing import check_grads

CELLS = ("rnn", "lstm", "gru")
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
SHAPES = [(5, None, 2, 3), (7, 4, 3, 5), (1, 2, 1, 1), (6, 0, 2, 3), (40, 17, 9, 35)]


def operands(cell, steps, batch, m, n, dtype="f8", rng=None):
    """Operands by name; without a batch if that is None."""
    rng = rng or np.random.default_rng(1)
    width, members = GATES[cell] * n, () if batch is None else (batch,)
    p = {"xs": rng.normal(size=(steps, *members, m)), "h0": rng.normal(size=(*members, n))}
    if cell == "lstm":
        p["c0"] = rng.normal(size=(*members, n))
    p["W"] = rng.normal(size=(n, width)) / np.sqrt(n)
    p["U"] = rng.normal(size=(m, width)) / np.sqrt(m)
    p["b"] = rng.normal(size=width)
    if cell == "gru":
        p["c"] = rng.normal(size=n)
    return {name: x.astype(dtype) for name, x in p.items()}


def fused(cell, p, **options):
    """Return hs and the last states."""
    p = dict(p)
    xs, h0 = p.pop("xs"), p.pop("h0")
    if cell == "lstm":
        hs, last = bp.recurrent.lstm(xs, (h0, p.pop("c0")), **p, **options)
        return hs, *last
    return getattr(bp.recurrent, cell)(xs, h0, **p, **options)


def by_loop(cell, p, **options):
    options.pop("checkpoint", None)
    options["truncate"] = options.get("truncate") or 0
    out = loops.run(cell, p, **options)
    hs, *c_last = out if cell == "lstm" else (out,)
    return hs, hs[0 if options.get("reverse") else -1], *c_last


def loss(f, cell, weights, **options):
    return lambda p: sum(np.sum(x * w) for x, w in zip(f(cell, p, **options), weights, strict=True))


def cotangents(cell, p):
    rng = np.random.default_rng(5)
    shapes = [(len(p["xs"]), *p["h0"].shape), p["h0"].shape, *[p["h0"].shape] * (cell == "lstm")]
    return [rng.normal(size=s).astype(p["xs"].dtype) for s in shapes]


def assert_close(got, want, rtol):
    for name in want:
        assert got[name].shape == want[name].shape
        assert got[name].dtype == want[name].dtype
        scale = np.max(np.abs(want[name]), initial=0) + 1
        np.testing.assert_allclose(got[name], want[name], rtol=0, atol=rtol * scale, err_msg=name)


def compare(cell, p, rtol=1e-12, reference=None, **options):
    weights = cotangents(cell, p)
    value, gradient = bp.value_and_grad(loss(fused, cell, weights, **options))(p)
    expected = bp.value_and_grad(loss(by_loop, cell, weights, **options))(reference or p)
    np.testing.assert_allclose(value, expected[0], rtol=10 * rtol, atol=10 * rtol)
    assert_close(gradient, expected[1], rtol)


# ---- values and gradients against the plain loop


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_every_option_against_the_loop(cell, shape):
    p = operands(cell, *shape)
    mask = np.random.default_rng(2).random(p["xs"].shape[:-1]) < 0.7
    few = shape[0] > 10
    choices = itertools.product(
        (False, True), (None, mask), (None, 3), (None, 4, "binomial") if few else (None, 1, 4)
    )
    for reverse, lengths, truncate, checkpoint in choices:
        options = {"reverse": reverse, "mask": lengths, "truncate": truncate}
        compare(cell, p, checkpoint=checkpoint, **options)


@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
@pytest.mark.parametrize("reverse", [False, True])
def test_activations_of_rnn(activation, reverse):
    p = operands("rnn", 9, 3, 2, 20)
    mask = np.arange(9)[:, None] < np.array([9, 4, 0])
    compare("rnn", p, activation=activation, reverse=reverse)
    compare("rnn", p, activation=activation, reverse=reverse, mask=mask, checkpoint=2)


@pytest.mark.parametrize("cell", CELLS)
def test_without_biases(cell):
    p = operands(cell, 6, 2, 3, 4)
    p.pop("b")
    p.pop("c", None)
    compare(cell, p)
    compare(cell, p, checkpoint=2)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("batch", [None, 1, 3, 40])
@pytest.mark.parametrize("n", [16, 33, 70])
def test_ways_to_multiply(cell, batch, n):
    compare(cell, operands(cell, 12, batch, 50, n))


@pytest.mark.parametrize(("batch", "n"), [(None, 200), (1, 200), (40, 160)])
def test_large_weights(batch, n):
    # Beyond the own loop for vectors; products on several threads.
    compare("lstm", operands("lstm", 3, batch, 5, n))


def test_only_last_states():
    p = operands("lstm", 6, 2, 3, 4)
    for k in (1, 2):
        got, want = (
            bp.grad(lambda p, f=f, k=k: np.sum(f("lstm", p)[k] ** 2))(p) for f in (fused, by_loop)
        )
        assert_close(got, want, 1e-13)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("batch", [None, 5])
def test_float32(cell, batch):
    p = operands(cell, 15, batch, 4, 19, "f4")
    exact = {name: x.astype("f8") for name, x in p.items()}
    weights = cotangents(cell, p)
    got = bp.grad(loss(fused, cell, weights))(p)
    want = bp.grad(loss(by_loop, cell, weights))(exact)
    assert_close(got, {name: x.astype("f4") for name, x in want.items()}, 2e-5)
    assert fused(cell, p)[0].dtype == np.float32


@pytest.mark.parametrize("cell", CELLS)
def test_memory_orders(cell):
    p = operands(cell, 6, 3, 4, 5)
    weights = cotangents(cell, p)
    want = bp.grad(loss(fused, cell, weights))(p)

    def spread(x):
        wide = np.zeros([2 * size for size in x.shape])
        wide[tuple([slice(None, None, 2)] * x.ndim)] = x
        return wide[tuple([slice(None, None, 2)] * x.ndim)]

    for change in (np.asfortranarray, spread, lambda x: x.astype(">f8"), lambda x: x[::-1][::-1]):
        moved = {name: change(x) for name, x in p.items()}
        assert_close(bp.grad(loss(fused, cell, weights))(moved), want, 1e-13)
    for x in p.values():
        x.flags.writeable = False
    assert_close(bp.grad(loss(fused, cell, weights))(p), want, 0)


@pytest.mark.parametrize("cell", CELLS)
def test_only_what_is_asked_for(cell):
    p = operands(cell, 6, 3, 4, 5)
    weights = cotangents(cell, p)
    want = bp.grad(loss(fused, cell, weights))(p)
    for name in p:
        alone = bp.grad(lambda x, name=name: loss(fused, cell, weights)(p | {name: x}))(p[name])
        np.testing.assert_allclose(alone, want[name], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("cell", CELLS)
def test_a_graph_is_swept_twice(cell):
    p = {name: bp.variable(x) for name, x in operands(cell, 6, 3, 4, 5).items()}
    total = np.sum(fused(cell, p)[0] ** 2)
    first = bp.gradients(total, list(p.values()))
    again = bp.gradients(total, list(p.values()))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- higher derivatives, forward mode, Jacobians


@pytest.mark.parametrize("options", [{}, {"reverse": True, "checkpoint": 2}], ids=str)
@pytest.mark.parametrize("batch", [None, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_check_grads(cell, batch, options):
    p = operands(cell, 4, batch, 2, 3)
    if batch:
        options = options | {"mask": np.array([[1, 1], [1, 0], [1, 1], [0, 1]], bool)}
    check_grads(
        lambda *xs: fused(cell, dict(zip(p, xs, strict=True)), **options), tuple(p.values())
    )


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("checkpoint", [None, 2])
def test_jacobians(cell, checkpoint):
    p = operands(cell, 4, 2, 2, 3)

    def last(W):
        return fused(cell, p | {"W": W}, checkpoint=checkpoint)[1]

    want = bp.jacobian(lambda W: by_loop(cell, p | {"W": W})[1])(p["W"])
    for mode in ("reverse", "forward"):
        np.testing.assert_allclose(bp.jacobian(last, mode=mode)(p["W"]), want, atol=1e-13)


def test_hessian_vector_product_of_a_truncated_sequence():
    p = operands("lstm", 7, 2, 2, 3)
    v = np.random.default_rng(3).normal(size=p["W"].shape)
    got, want = (
        bp.hvp(lambda W, f=f: np.sum(f("lstm", p | {"W": W}, truncate=3)[0] ** 3), p["W"], v)
        for f in (fused, by_loop)
    )
    np.testing.assert_allclose(got, want, atol=1e-12)


# ---- options against their definition


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("reverse", [False, True])
def test_truncation_is_stop_gradient_between_pieces(cell, reverse):
    p = operands(cell, 8, 2, 3, 4)
    weights = cotangents(cell, p)

    def pieces(cell, p):
        order = slice(None, None, -1 if reverse else 1)
        state, parts = [p["h0"]] + ([p["c0"]] if cell == "lstm" else []), []
        for low in range(0, 8, 3):
            if low:
                state = [bp.stop_gradient(x) for x in state]
            names = ("h0", "c0")[: len(state)]
            part = p | dict(zip(names, state, strict=True)) | {"xs": p["xs"][order][low : low + 3]}
            hs, *state = fused(cell, part)
            parts.append(hs)
        return np.concatenate(parts)[order], *state

    got = bp.grad(loss(fused, cell, weights, truncate=3, reverse=reverse))(p)
    assert_close(got, bp.grad(loss(pieces, cell, weights))(p), 1e-13)
    assert np.all(bp.grad(lambda h: fused(cell, p | {"h0": h}, truncate=3)[1].sum())(p["h0"]) == 0)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("reverse", [False, True])
def test_masked_members_are_shorter_sequences(cell, reverse):
    p = operands(cell, 7, 3, 2, 4)
    lengths = [7, 4, 0]
    mask = np.arange(7)[:, None] < np.array(lengths)
    whole = fused(cell, p, mask=mask, reverse=reverse)
    for k, length in enumerate(lengths):
        own = p | {"xs": p["xs"][:length, k]}
        own |= {name: p[name][k] for name in ("h0", "c0") if name in p}
        alone = fused(cell, own, reverse=reverse)
        np.testing.assert_allclose(whole[0][:length, k], alone[0], atol=1e-14)
        for a, b in zip(whole[1:], alone[1:], strict=True):
            np.testing.assert_allclose(a[k], b, atol=1e-14)


def test_a_mask_for_all_members_and_its_copy():
    p = operands("gru", 5, 3, 2, 4)
    mask = np.array([1, 0, 1, 1, 0], bool)
    for a, b in zip(
        fused("gru", p, mask=mask), fused("gru", p, mask=np.tile(mask[:, None], 3)), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    h0 = bp.variable(p["h0"])
    total = fused("gru", p | {"h0": h0}, mask=mask)[1].sum()
    want = bp.gradients(total, h0)
    mask[:] = False
    np.testing.assert_array_equal(bp.gradients(total, h0), want)


@pytest.mark.parametrize("cell", CELLS)
def test_reverse_is_the_reversed_sequence(cell):
    p = operands(cell, 6, 2, 3, 4)
    hs, *last = fused(cell, p, reverse=True)
    other, *other_last = fused(cell, p | {"xs": p["xs"][::-1]})
    np.testing.assert_array_equal(hs, other[::-1])
    np.testing.assert_array_equal(last, other_last)


@pytest.mark.parametrize("steps", [1, 2, 7, 100, 1000, 10_000])
def test_snapshots_of_the_binomial_schedule(steps):
    schedule = Schedule(steps, "binomial")
    limit = int(np.ceil(np.log2(max(steps, 2)))) + 1
    assert schedule.leaf <= limit
    stack, high, runs, most = list(schedule.starts), steps, 0, 0
    assert len(stack) <= limit
    while high:
        low = stack[-1]
        most = max(most, len(stack))
        if high - low > schedule.leaf:
            middle = schedule.split(low, high, len(stack))
            assert low < middle < high
            runs += middle - low
            stack.append(middle)
        else:
            runs += high - low
            high = stack.pop()
    assert most <= limit
    assert runs <= 5 * steps


@pytest.mark.thread_unsafe(reason="tracemalloc counts what all threads allocate")
def test_checkpoints_save_memory():
    steps, p = 4000, operands("lstm", 4000, 4, 8, 32)
    p["xs"] = np.ascontiguousarray(np.broadcast_to(p["xs"][:1], p["xs"].shape))

    def kept(checkpoint):
        v = {name: bp.variable(x) for name, x in p.items()}
        tracemalloc.start()
        last = fused("lstm", v, checkpoint=checkpoint)[1]
        current, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert last.shape == (4, 32)
        return current / (4 * 32 * 8)  # in states

    # Arrays from the pool are not traced, those of NumPy are: snapshots, and copies of states.
    assert kept(50) < 4 * steps / 50 + 20
    assert kept("binomial") < 4 * np.log2(steps) + 20


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("checkpoint", [None, 97, "binomial"])
def test_long_sequences(cell, checkpoint):
    p = operands(cell, 10_000, None, 2, 4)
    weights = cotangents(cell, p)
    value, gradient = bp.value_and_grad(loss(fused, cell, weights, checkpoint=checkpoint))(p)
    assert np.isfinite(value)
    if checkpoint is not None:
        assert_close(gradient, bp.grad(loss(fused, cell, weights))(p), 1e-11)
    elif cell == "gru":
        assert_close(gradient, bp.grad(loss(by_loop, cell, weights))(p), 1e-11)


@pytest.mark.parametrize("cell", CELLS)
def test_no_steps_no_members(cell):
    p = operands(cell, 0, 2, 3, 4)
    hs, *last = fused(cell, p)
    assert hs.shape == (0, 2, 4)
    np.testing.assert_array_equal(last[0], p["h0"])
    np.testing.assert_array_equal(
        bp.grad(lambda h: fused(cell, p | {"h0": h})[1].sum())(p["h0"]), np.ones((2, 4))
    )
    assert fused(cell, operands(cell, 3, 0, 3, 4))[0].shape == (3, 0, 4)
    no_inputs = operands(cell, 3, 2, 1, 4)
    no_inputs |= {"xs": no_inputs["xs"][..., :0], "U": no_inputs["U"][:0]}
    compare(cell, no_inputs)


def test_plain_arrays_in_plain_arrays_out():
    for cell in CELLS:
        assert all(type(x) is np.ndarray for x in fused(cell, operands(cell, 3, 2, 3, 4)))
    p = operands("rnn", 3, None, 2, 2)
    hs, _ = bp.recurrent.rnn(p["xs"].tolist(), [0, 0], W=p["W"].tolist(), U=bp.variable(p["U"]))
    assert type(hs) is bp.Variable


def test_extreme_values():
    big = np.array([[-1e300], [-40.0], [0.0], [1e-12], [40.0], [1e300], [np.inf], [-np.inf]])
    hs, _ = bp.recurrent.rnn(big, np.zeros(1), W=np.zeros((1, 1)), U=np.ones((1, 1)))
    np.testing.assert_allclose(hs, np.tanh(big), rtol=4e-16)
    hs, _ = bp.recurrent.rnn(np.array([[np.nan]]), [0.0], W=np.zeros((1, 1)), U=np.ones((1, 1)))
    assert np.isnan(hs[0, 0])
    U = np.array([[1.0, 0, 0, 0]])
    xs, zero = big[:6], np.zeros(1)
    b = np.array([0.0, 0, 100, 100])
    _, (_, c) = bp.recurrent.lstm(xs[:1], (zero, zero), W=np.zeros((1, 4)), U=U, b=b)
    assert c[0] < 1e-300


# ---- threads


@pytest.mark.parametrize("cell", CELLS)
def test_threads_share_weights(cell):
    p = operands(cell, 30, 8, 40, 48)
    weights = cotangents(cell, p)
    gradient = bp.grad(loss(fused, cell, weights))
    want, failures = gradient(p), []

    def work():
        for _ in range(10):
            got = gradient(p)
            failures.extend(name for name in p if not np.array_equal(got[name], want[name]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


# ---- errors


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"W": np.zeros((4, 5))}, ShapeError, r"gru: W has shape \(4, 5\); \(n, 3 \* n\)"),
        ({"U": np.zeros((2, 12))}, ShapeError, r"gru: U has shape \(2, 12\).*\(3, 12\)"),
        ({"h0": np.zeros(4)}, ShapeError, r"gru: h0 has shape \(4,\)"),
        ({"b": np.zeros(4)}, ShapeError, r"gru: b has shape \(4,\).*\(12,\)"),
        ({"c": np.zeros(12)}, ShapeError, r"gru: c has shape \(12,\)"),
        ({"xs": np.zeros(4)}, ShapeError, r"gru: xs has shape \(4,\)"),
        ({"xs": np.zeros((5, 2, 3), complex)}, DTypeError, "gru: xs has dtype complex128"),
        ({"h0": None}, DTypeError, "gru: h0 is None"),
        ({"mask": np.ones(5)}, DTypeError, "gru: mask has dtype float64"),
        ({"mask": np.ones((5, 3), bool)}, ShapeError, r"gru: mask has shape \(5, 3\)"),
        ({"truncate": 0}, ValueError, "gru: truncate=0"),
        ({"checkpoint": "often"}, ValueError, "gru: checkpoint='often'"),
        ({"checkpoint": True}, ValueError, "gru: checkpoint=True"),
    ],
)
def test_errors(change, error, match):
    p = operands("gru", 5, 2, 3, 4) | change
    with pytest.raises(error, match=match):
        fused("gru", p)


def test_errors_of_single_cells():
    p = operands("lstm", 5, 2, 3, 4)
    with pytest.raises(ShapeError, match=r"lstm: the state must be \(h0, c0\)"):
        bp.recurrent.lstm(p["xs"], p["h0"][None], W=p["W"], U=p["U"])
    with pytest.raises(DTypeError, match="lstm: c0 is None"):
        bp.recurrent.lstm(p["xs"], (p["h0"], None), W=p["W"], U=p["U"])
    with pytest.raises(ValueError, match="rnn: activation='gelu'"):
        bp.recurrent.rnn(p["xs"], p["h0"], W=p["W"], U=p["U"], activation="gelu")


# ---- PyTorch's cells


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("options", [{}, {"mask": True, "reverse": True}, {"truncate": 7}])
def test_members_on_several_threads(cell, dtype, options):
    """Parts of the batch, of 8 members and an odd rest, give what one thread gives."""
    p = operands(cell, 60, 21, 40, 48, dtype)
    if "mask" in options:
        options = options | {"mask": np.random.default_rng(2).random((60, 21)) < 0.8}
    weights = cotangents(cell, p)
    found = []
    before = threads.num_threads()
    try:
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            found.append(bp.grad(loss(fused, cell, weights, **options))(p))
    finally:
        threads.set_num_threads(before)
    for other in found[1:]:
        for name in p:
            np.testing.assert_array_equal(found[0][name], other[name])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", [*CELLS, "relu"])
def test_against_torch(cell, reverse):
    torch = pytest.importorskip("torch")
    options = {"activation": "relu"} if cell == "relu" else {}
    kind = "rnn" if cell == "relu" else cell
    m, n = 3, 5
    p = operands(kind, 8, 2, m, n)
    model = getattr(torch.nn, kind.upper())(m, n, **{"nonlinearity": "relu"} if options else {})
    model = model.double()
    inner = np.zeros(GATES[kind] * n)
    if kind == "gru":
        inner[2 * n :] = p["c"]
    with torch.no_grad():
        model.weight_hh_l0.copy_(torch.tensor(p["W"].T.copy()))
        model.weight_ih_l0.copy_(torch.tensor(p["U"].T.copy()))
        model.bias_ih_l0.copy_(torch.tensor(p["b"]))
        model.bias_hh_l0.copy_(torch.tensor(inner))
    leaves = {
        name: torch.tensor(p[name], requires_grad=True) for name in ("xs", "h0", "c0") if name in p
    }
    state = leaves["h0"][None] if kind != "lstm" else (leaves["h0"][None], leaves["c0"][None])
    xs = leaves["xs"].flip(0) if reverse else leaves["xs"]
    hs, last = model(xs, state)
    hs = hs.flip(0) if reverse else hs
    last = [x[0] for x in (last if kind == "lstm" else (last,))]
    weights = cotangents(kind, p)
    total = sum((x * torch.tensor(w)).sum() for x, w in zip([hs, *last], weights, strict=True))
    total.backward()
    value, got = bp.value_and_grad(loss(fused, kind, weights, reverse=reverse, **options))(p)
    magnitude = sum(
        np.sum(np.abs(x.detach().numpy() * w)) for x, w in zip([hs, *last], weights, strict=True)
    )
    np.testing.assert_allclose(value, total.item(), rtol=0, atol=1e-12 * magnitude)
    want = {name: x.grad.numpy() for name, x in leaves.items()}
    want["W"] = model.weight_hh_l0.grad.numpy().T
    want["U"] = model.weight_ih_l0.grad.numpy().T
    want["b"] = model.bias_ih_l0.grad.numpy()
    if kind == "gru":
        want["c"] = model.bias_hh_l0.grad.numpy()[2 * n :]
    assert_close(got, want, 1e-12)
