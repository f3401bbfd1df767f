"""Arrays beyond the sizes where short cuts for small ones end, and Jacobians in several blocks."""

import numpy as np
import pytest

import fastbp as bp
import fastbp.numpy as bnp
from fastbp import block_sweeps
from fastbp.testing import check_grads

from .harness import DTYPES, add_in_place, assert_close, laid_out, put

LARGE = {
    "sum": lambda x: np.sum(x, axis=0) * x,
    "mean": lambda x: x - np.mean(x, axis=1, keepdims=True),
    "max": lambda x: np.max(x, axis=1) @ x,
    "broadcast": lambda x: np.broadcast_to(x, (2, 60, 70)) * np.arange(2.0)[:, None, None] + x,
    "transpose": lambda x: (x.T @ x) @ x.T,
    "index": lambda x: x[::2] * x[1::2] + x[np.arange(30) % 7],
    "concatenate": lambda x: np.concatenate([x, x[:5], x * x]),
    "where": lambda x: np.where(np.arange(70) % 3 == 0, x, x * x),
    "softmax": lambda x: bnp.softmax(x, axis=1) * bnp.logsumexp(x, axis=0),
    "var": lambda x: np.var(x, axis=0) / (1.0 + np.std(x, axis=1, keepdims=True)),
    "cumsum": lambda x: np.cumsum(x, axis=1) * 0.1 + np.cumprod(1.0 + 0.01 * x, axis=0),
    "solve": lambda x: np.linalg.solve(x @ x.T + 5.0 * np.eye(60), x),
    "reuse": lambda x: x * np.sum(x) + x.T.reshape(60, 70) + np.flip(x, 0) * x,
    "assignment": lambda x: add_in_place(
        put(x, slice(0, 40, 3), x[:14] * 2.0), (slice(None), [3, 1]), x[:, :2] * x[:, 2:4]
    ),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LARGE)
def test_large_arrays(name, dtype, rng):
    """For filled copies, strided runs and in-place sums there are other ways when small."""
    x = (rng.normal(size=(60, 70)) / 4).astype(dtype)
    for layout in ("C", "F"):
        check_grads(LARGE[name], laid_out(x, layout), order=2 if layout == "C" else 1)


@pytest.mark.parametrize("name", LARGE)
def test_a_jacobian_in_several_blocks(name, monkeypatch, rng):
    x = rng.normal(size=(60, 70)) / 4
    w = rng.normal(size=(60, 3))

    def f(z):
        return np.reshape(LARGE[name](x + w @ z), -1)[:6]

    z = np.zeros((3, 70))
    expected = bp.jacobian(f, mode="forward")(z)
    monkeypatch.setattr(block_sweeps, "BLOCK_BYTES", 1 << 18)
    for mode in ("reverse", "forward"):
        assert_close(bp.jacobian(f, mode=mode)(z), expected, ulps=4096)
