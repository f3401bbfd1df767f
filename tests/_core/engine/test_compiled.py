"""Compiled rules against the rules of their rows, which recorded sweeps use."""

import numpy as np
import pytest

import fastbp as bp
from fastbp.rules import OPS

M = np.arange(12.0).reshape(3, 4) / 7.0
CALLS = {
    "sum of everything": lambda x: np.sum(x),
    "mean of everything": lambda x: np.mean(x),
    "along an axis": lambda x: np.sum(x, axis=0),
    "axes kept": lambda x: np.mean(x, axis=1, keepdims=True),
    "an element": lambda x: x[1, 2],
    "a negative element": lambda x: x[-1, -1],
    "a part": lambda x: x[1:, ::2],
    "backwards": lambda x: x[::-1, 1],
    "places": lambda x: x[[2, 0, 2]],
    "diagonal": lambda x: np.diagonal(x),
    "product on the left": lambda x: x @ M.T,
    "product on the right": lambda x: M.T @ x,
    "product with itself": lambda x: x @ x.T,
    "vector": lambda x: x @ M[0],
}
by_call = pytest.mark.parametrize("name", CALLS)


def twice(f):
    """Read the argument twice: the second cotangent is added into the first."""
    return lambda x: np.sum(np.sin(f(x))) + np.sum(np.cos(f(x * 2.0))) + np.sum(f(x))


def test_the_rows_that_have_them():
    assert {name for name, op in OPS.items() if op.compiled is not None} >= {
        "matmul", "sum", "mean", "getitem", "gather", "diagonal", "take_view",
    }  # fmt: skip


@by_call
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_cotangents(name, dtype, rng):
    x = bp.variable(rng.normal(size=(3, 4)).astype(dtype))
    y = twice(CALLS[name])(x)
    plain = bp.gradients(y, x)
    recorded = bp.gradients(y, x, create_graph=True).value
    assert plain.dtype == dtype
    scale = 1 + np.abs(recorded).max()
    np.testing.assert_allclose(plain, recorded, rtol=0, atol=32 * np.finfo(dtype).eps * scale)


@by_call
@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_blocks(name, mode, rng):
    x = rng.normal(size=(3, 4))
    found = bp.jacobian(CALLS[name], mode=mode)(x)
    y = CALLS[name](x)
    rows = [
        bp.vjp(CALLS[name], x)[1](unit.reshape(np.shape(y)) if np.ndim(y) else 1.0)[0]
        for unit in np.eye(np.size(y))
    ]
    expected = np.reshape(np.stack(rows), np.shape(y) + x.shape)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


@by_call
def test_tangents(name, rng):
    x, t = rng.normal(size=(2, 3, 4))
    g = np.ones_like(CALLS[name](x))
    pushed = bp.jvp(CALLS[name], (x,), (t,))[1]
    pulled = bp.vjp(CALLS[name], x)[1](g)[0]
    assert np.sum(g * pushed) == pytest.approx(np.sum(pulled * t), rel=1e-12, abs=1e-12)
