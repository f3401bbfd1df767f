"""The compiled loops: products by panels, gate passes, and what they refuse."""

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import panels, recurrent, simd
from fastbp.errors import DTypeError, ShapeError
from fastbp.recurrent import loops

SIZES = [(1, 1, 1), (5, 7, 19), (32, 256, 48), (130, 129, 17), (0, 3, 4), (3, 0, 4), (3, 4, 0)]


@pytest.mark.parametrize("size", [*SIZES, (700, 130, 140)], ids=str)
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_products_by_panels(size, dtype, rng):
    m, k, n = size
    a, b, g = (rng.normal(size=s).astype(dtype) for s in ((m, k), (k, n), (m, n)))
    tolerance = {"rtol": 0, "atol": (1e-12 if dtype == "f8" else 1e-3) * (1 + k)}
    np.testing.assert_allclose(panels.product(a, b), a @ b, **tolerance)
    np.testing.assert_allclose(panels.product(a, b.T.copy(), True), a @ b, **tolerance)
    tolerance["atol"] *= (1 + m) / (1 + k)
    np.testing.assert_allclose(panels.inner(a, g), a.T @ g, **tolerance)


def test_panels_refuse():
    with pytest.raises(ShapeError):
        panels.product(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(DTypeError):
        panels.product(np.zeros((2, 3)), np.zeros((3, 2), "f4"))
    with pytest.raises(DTypeError):
        panels.inner(np.zeros((2, 3), order="F"), np.zeros((2, 3)))


def forward(cell, operands, hs, mask=None, activation="tanh"):
    """Run all steps from operands by place."""
    layer = recurrent.Layer(cell, tuple(operands), activation, False, mask, 0, None)
    return recurrent.forward(layer, operands, 0, len(operands[0]), *operands[1:3], hs)


def run_forward(cell="rnn", activation="tanh", **changes):
    n, width = 3, {"rnn": 3, "lstm": 12, "gru": 9}[cell]
    given = {
        "xs": np.ones((4, 2, 5)),
        "h0": np.zeros((2, n)),
        "c0": np.zeros((2, n)) if cell == "lstm" else None,
        "W": np.zeros((n, width)),
        "U": np.ones((5, width)),
        "b": None,
        "c": None,
        "mask": None,
        "hs": np.empty((4, 2, n)),
    } | changes
    hs, mask = given.pop("hs"), given.pop("mask")
    saved = forward(cell, list(given.values()), hs, mask, activation)
    return hs, saved


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_segment(cell):
    hs, saved = run_forward(cell)
    assert np.all(np.isfinite(hs))
    assert (saved is None) == (cell == "rnn")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"U": np.ones((5, 4))}, ShapeError),
        ({"U": np.ones((5, 3), "f4")}, DTypeError),
        ({"U": np.ones((3, 5)).T}, DTypeError),
        ({"W": np.ones((3, 4))}, ShapeError),
        ({"h0": np.zeros((3, 3))}, ShapeError),
        ({"hs": np.zeros((4, 3))}, ShapeError),
        ({"xs": np.ones((4, 2, 5), int)}, DTypeError),
        ({"mask": np.ones((4, 2))}, ShapeError),
    ],
)
def test_forward_refuses(changes, error):
    with pytest.raises(error):
        run_forward(**changes)
    hs = np.zeros((4, 2, 3))
    hs.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        run_forward(hs=hs)


def test_wrong_numbers_of_operands_are_refused():
    xs, h0, W = np.ones((4, 3)), np.zeros(3), np.eye(3)
    given = (xs, h0, None, W, W, None, None)
    layer = recurrent.Layer("rnn", given, "tanh", False, None, 0, None)
    for call in (
        lambda: recurrent.Layer("lstm", given, "tanh", False, None, 0, None),
        lambda: recurrent.Layer("rnn", (xs, h0, *[None] * 5), "tanh", False, None, 0, None),
        lambda: layer.by_place((xs, h0)),
        lambda: recurrent.run(xs, h0, layer=layer),
        lambda: recurrent.forward(layer, [xs, h0], 0, 4, h0, None, np.empty((4, 3))),
        lambda: recurrent.forward(layer, [xs, h0, *[None] * 5], 0, 4, h0, None, np.empty((4, 3))),
        lambda: recurrent.forward(layer, list(given), 0, 5, h0, None, np.empty((5, 3))),
        lambda: recurrent.Pull(layer, xs, None, (True,), (xs, h0, W, W)),
    ):
        with pytest.raises(ShapeError):
            call()


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_accuracy_of_the_activations(dtype):
    eps = np.finfo(dtype).eps
    x = np.concatenate([np.linspace(-30, 30, 20001), np.geomspace(1e-30, 1, 2001)])
    x = x.astype(dtype)
    n = len(x)
    hs = np.empty((1, n), dtype)
    zero, one = np.zeros(n, dtype), np.zeros((1, 1), dtype)
    W = np.zeros((1, 1), dtype)
    hs = np.empty((1, n, 1), dtype)
    forward("rnn", [x.reshape(1, n, 1), zero.reshape(n, 1), None, W, one + 1, None, None], hs)
    exact = np.tanh(x.astype("f8"))
    assert np.max(np.abs(hs.ravel() - exact) / np.abs(exact).clip(1e-45)) < 4 * eps
    state = [zero.reshape(n, 1)] * 2
    weights = [np.zeros((1, 4), dtype), np.ones((1, 4), dtype)]
    saved = forward("lstm", [x.reshape(1, n, 1), *state, *weights, None, None], hs)
    exact = 1 / (1 + np.exp(-x.astype("f8")))
    assert np.max(np.abs(saved[:, 0] - exact) / exact) < 4 * eps


@pytest.mark.thread_unsafe(reason="the instruction set belongs to the process")
@pytest.mark.parametrize("level", range(len(simd.LEVELS)), ids=simd.LEVELS)
@pytest.mark.parametrize("cell", recurrent.CELLS)
def test_every_instruction_set(cell, level, rng):
    if level != simd.at_most(level):
        pytest.skip("not on this processor, or not in this run")

    def fused(p):
        state = (p["h0"], p["c0"]) if cell == "lstm" else p["h0"]
        return np.sum(getattr(bp.recurrent, cell)(p["xs"], state, W=p["W"], U=p["U"])[0] ** 2)

    def plain(p):
        out = loops.run(cell, p)
        return np.sum((out[0] if cell == "lstm" else out) ** 2)

    before = recurrent._set_level(level)
    try:
        for n in (3, 37):  # whole vectors and less than one
            width = {"rnn": n, "lstm": 4 * n, "gru": 3 * n}[cell]
            shapes = {"xs": (5, 3, 2), "h0": (3, n), "W": (n, width), "U": (2, width)}
            p = {name: rng.normal(size=shape) for name, shape in shapes.items()}
            p["W"] /= n
            if cell == "lstm":
                p["c0"] = rng.normal(size=(3, n))
            found, expected = bp.grad(fused)(p), bp.grad(plain)(p)
            for name in p:
                np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-12)
    finally:
        recurrent._set_level(before)
