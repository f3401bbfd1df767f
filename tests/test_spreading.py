"""`threads=`: the same bits as on one thread, errors, and what is recorded."""

import contextvars
import threading

import numpy as np
import pytest

import fastbp as bp
from fastbp import block_sweeps
from fastbp.spreading import spread

RNG = np.random.default_rng(7)
N = 24
W = RNG.standard_normal((N, N)) / 5.0
X = RNG.standard_normal(N)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Several blocks of small Jacobians, dense and sparse."""
    monkeypatch.setattr(block_sweeps, "BLOCK_BYTES", 5 * 8 * N)
    monkeypatch.setattr("fastbp.sparse.compressed.BLOCK_BYTES", 8)


def layers(x):
    return np.tanh(W @ np.sin(W @ x)) * x


def several(x):
    return {"a": layers(x)[:7], "b": [np.sum(x**3), np.ones(2)]}


def same(one, other):
    one, other = bp.tree.flatten(one), bp.tree.flatten(other)
    assert one[1] == other[1]
    for a, b in zip(one[0], other[0], strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@pytest.mark.parametrize("threads", [2, 3, 8, np.int64(40)])
@pytest.mark.parametrize("dtype", ["f8", "f4", "c16"])
@pytest.mark.parametrize("mode", ["auto", "reverse", "forward", "chain"])
def test_dense_jacobians(mode, dtype, threads):
    if mode == "chain" and dtype == "c16":
        pytest.skip("chains are of real numbers")
    x = X.astype(dtype)
    f = layers if mode == "chain" else several
    expected = bp.jacobian(f, mode=mode, unconnected="zero")(x)
    same(bp.jacobian(f, mode=mode, unconnected="zero", threads=threads)(x), expected)


@pytest.mark.parametrize("threads", [2, 5])
def test_hessians(threads):
    def f(x, scale):
        return scale * np.sum(layers(x) ** 2)

    same(bp.hessian(f, threads=threads)(X, 2.0), bp.hessian(f)(X, 2.0))


def test_narrowest_places(monkeypatch):
    monkeypatch.setattr(block_sweeps, "_EXTRA", -1e9)

    def f(x):
        return W[:, :3] @ np.tanh(W[:3] @ np.sin(x))

    same(bp.jacobian(f, threads=2)(X), bp.jacobian(f)(X))


def test_strong_zeros_of_one_block_are_its_own():
    def f(x):  # the derivative of one element is met by a factor that is not finite
        return np.where(x > 0.0, np.sqrt(np.where(x > 0.0, x, 0.0)), -0.0 * x)

    x = np.where(np.arange(N) == 11, 0.0, X)
    for mode in ("reverse", "forward"):
        same(bp.jacobian(f, mode=mode, threads=3)(x), bp.jacobian(f, mode=mode)(x))


@pytest.mark.parametrize("threads", [2, 8])
@pytest.mark.parametrize("mode", ["forward", "reverse", "bidirectional"])
def test_sparse_jacobians(mode, threads):
    def f(x):
        return np.sin(x) * np.roll(x, 1) + x[0] * np.roll(x, 2)

    options = {"mode": mode, "format": "csc"}
    expected = bp.sparse.jacobian(f, X, **options)
    for found in (
        bp.sparse.jacobian(f, X, **options, threads=threads),
        bp.sparse.jacobian(f, **options, threads=threads)(X),
        bp.sparse.prepare(f, X, **options, threads=threads)(X),
    ):
        assert found.data.tobytes() == expected.data.tobytes()
        np.testing.assert_array_equal(found.toarray(), expected.toarray())
    np.testing.assert_allclose(expected.toarray(), bp.jacobian(f)(X), atol=1e-15)


@pytest.mark.parametrize("coloring", ["star", "acyclic"])
def test_sparse_hessians(coloring):
    def f(x):
        return np.sum(np.sin(x[1:]) * x[:-1] ** 2 * x[1:])

    expected = bp.sparse.hessian(f, X, coloring=coloring)
    found = bp.sparse.hessian(f, X, coloring=coloring, threads=3)
    assert found.data.tobytes() == expected.data.tobytes()


def test_derivatives_of_jacobians():
    """What is recorded stays in its thread."""

    def size(threads):
        return lambda x: np.sum(bp.jacobian(layers, threads=threads)(x) ** 2)

    same(bp.grad(size(3))(X), bp.grad(size(1))(X))
    compiled = bp.compile(bp.jacobian(layers, threads=3))
    np.testing.assert_allclose(compiled(X), bp.jacobian(layers)(X), rtol=1e-13)
    np.testing.assert_allclose(compiled(2 * X), bp.jacobian(layers)(2 * X), rtol=1e-13)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("jacobian", bp.jacobian),
        ("hessian", bp.hessian),
        ("jacobian", bp.sparse.jacobian),
        ("hessian", bp.sparse.hessian),
        ("jacobian", lambda f, threads: bp.sparse.prepare(f, X, threads=threads)),
    ],
)
def test_refused_numbers_of_threads(name, make):
    for threads in (0, -2):
        with pytest.raises(ValueError, match=f"^{name}: threads must be at least 1, not {threads}"):
            make(layers, threads=threads)
    for threads in (2.0, True, None, "2"):
        with pytest.raises(TypeError, match=f"^{name}: threads must be an integer"):
            make(layers, threads=threads)


def test_tasks():
    done = []
    spread(done.append, 3, 1)
    assert done == [0, 1, 2]
    spread(done.append, 0, 4)
    assert len(done) == 3
    var = contextvars.ContextVar("var")
    var.set(5)
    seen, meet = [], threading.Barrier(3, timeout=60)

    def task(i):
        meet.wait()  # so there are three threads
        seen.append((i, var.get(), threading.get_ident()))

    spread(task, 3, 3)
    assert sorted(entry[:2] for entry in seen) == [(0, 5), (1, 5), (2, 5)]
    assert len({entry[2] for entry in seen}) == 3


def test_a_task_that_fails_ends_all():
    begun = []

    def task(i):
        begun.append(i)
        if i % 50 == 3:
            raise KeyError(i)

    with pytest.raises(KeyError, match="3"):
        spread(task, 100_000, 4)
    assert len(begun) < 100_000


def test_a_rule_that_fails():
    def vjp(g, ans, x):
        raise RuntimeError("no derivative")

    f = bp.custom_rule(lambda x: 2.0 * x, vjp=vjp)
    with pytest.raises(RuntimeError, match="no derivative"):
        bp.jacobian(f, mode="reverse", threads=3)(X)
