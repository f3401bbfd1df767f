"""Derivatives that do not fit are refused before memory is taken; sweeps take little beside."""

import tracemalloc

import numpy as np
import pytest

import fastbp as bp
from fastbp import limits

BLOCK = bp.block_sweeps.BLOCK_BYTES
N = 200_000


def peak(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


LARGE = {
    "jacobian": (lambda: bp.jacobian(lambda v: v**2)(np.ones(N)), "sparse.jacobian.*fastbp.jvp"),
    "chain": (lambda: bp.jacobian(lambda v: v**2, mode="chain")(np.ones(N)), "sparse.jacobian"),
    "hessian": (
        lambda: bp.hessian(lambda v: np.sum(v**2))(np.ones(N)),
        "sparse.hessian.*fastbp.hvp",
    ),
    "factor": (lambda: bp.chain.Diagonal(np.ones(N)).to_dense(), "to_scipy"),
    "product": (lambda: bp.chain.product([bp.chain.Diagonal(np.ones(N))]).to_dense(), "to_scipy"),
    "tensor": (lambda: bp.tensor.derivative(np.sin, np.ones(N)).to_dense(), "structured or sparse"),
}


@pytest.mark.thread_unsafe(reason="tracemalloc counts what all threads allocate")
@pytest.mark.parametrize("name", LARGE)
def test_what_does_not_fit_is_refused_by_its_size(name):
    call, instead = LARGE[name]

    def refused():
        with pytest.raises(MemoryError, match=rf"320 GB .320000000000 bytes.*1\.074 GB.*{instead}"):
            call()

    refused()  # modules are loaded
    assert peak(refused) < 60 * N  # vectors, no matrix


def test_the_limit_is_a_setting_and_a_parameter(monkeypatch):
    x = np.ones(4)
    for f, transform in ((np.sin, bp.jacobian), (np.sum, bp.hessian)):
        assert transform(f, limit=128)(x).shape == (4, 4)
        with pytest.raises(MemoryError, match=r"128 bytes.*above the limit of 127 bytes"):
            transform(f, limit=127)(x)
    # All outputs by all inputs count.
    both = lambda a, b: (a, b)
    with pytest.raises(MemoryError, match="8 outputs by 8 inputs takes 512 bytes"):
        bp.jacobian(both, (0, 1), limit=511)(x, x)
    monkeypatch.setattr(limits, "MEMORY_LIMIT", 100)
    assert bp.tensor.MEMORY_LIMIT == 100
    for call in (
        lambda: bp.jacobian(np.sin)(x),
        lambda: bp.hessian(np.sum)(x),
        lambda: bp.chain.Diagonal(x).to_dense(),
        lambda: bp.tensor.derivative(np.sin, x).to_dense(),
    ):
        with pytest.raises(MemoryError, match="above the limit of 100 bytes"):
            call()
    assert bp.chain.Diagonal(x).to_dense(limit=128).shape == (4, 4)


def test_the_limit_travels_with_the_function():
    pickle = pytest.importorskip("pickle")
    g = pickle.loads(pickle.dumps(bp.jacobian(np.sin, limit=100, unconnected="raise")))
    with pytest.raises(MemoryError):
        g(np.ones(4))
    with pytest.raises(bp.errors.UnconnectedError):
        pickle.loads(pickle.dumps(bp.grad(np.argmax, unconnected="raise")))(np.ones(2))


def deep(v):
    for _ in range(12):
        v = np.tanh(v * 1.1) + v
    return v


@pytest.mark.thread_unsafe(reason="tracemalloc counts what all threads allocate")
@pytest.mark.parametrize(
    "derivative",
    [
        bp.jacobian(lambda v: v**2, mode="reverse"),
        bp.jacobian(lambda v: v**2, mode="forward"),
        bp.jacobian(deep, mode="reverse"),
        bp.jacobian(deep, mode="forward"),
        bp.hessian(lambda v: np.sum(deep(v))),
        bp.jacobian(lambda v: np.tanh(v) * np.sum(v)),
    ],
    ids=["square, reverse", "square, forward", "reverse", "forward", "hessian", "waist"],
)
def test_a_sweep_takes_little_beside_its_result(derivative, monkeypatch):
    """At most four blocks live, seeds, and one block on its way into the result."""
    monkeypatch.setattr("fastbp.block_sweeps.BLOCK_BYTES", 1 << 19)
    n = 1000
    x = np.linspace(0.1, 1.0, n)
    derivative(x[:4])  # what is loaded or compiled at first
    assert peak(lambda: derivative(x)) < 8 * n * n + 7 * (1 << 19) + 100 * 8 * n


@pytest.mark.parametrize("block", [1, 100, 1 << 25])
def test_blocks_of_any_size_give_the_same(block, monkeypatch, rng):
    x, w = rng.standard_normal(7), rng.standard_normal((5, 7))
    f = lambda x: {"a": np.tanh(w @ x), "b": np.sum(x**2), "c": np.ones(2)}
    expected = {"a": (1 - np.tanh(w @ x) ** 2)[:, None] * w, "b": 2 * x, "c": np.zeros((2, 7))}
    monkeypatch.setattr("fastbp.block_sweeps.BLOCK_BYTES", block)
    for mode in ("reverse", "forward", "auto"):
        found = bp.jacobian(f, mode=mode)(x)
        for key, jac in found.items():
            np.testing.assert_allclose(jac, expected[key], rtol=1e-13, atol=1e-15)
            assert jac.flags.c_contiguous
            assert jac.flags.writeable
        # Recorded, to be differentiated again
        jacobian = bp.jacobian(f, mode=mode)
        g = bp.grad(lambda x, jacobian=jacobian: np.sum(jacobian(x)["b"] ** 2))(x)
        np.testing.assert_allclose(g, 8 * x)
