"""Constants: a sweep reads what an array was when it was used, or a write into it raises."""

import gc
import sys
import threading

import numpy as np
import pytest
import scipy.sparse as sp

import fastbp as bp
from fastbp._core import constants
from fastbp.sparse import sparsity

SMALL, LARGE = 4, 2000  # elements: copied, locked


@pytest.fixture(autouse=True)
def nothing_stays_locked():
    gc.collect()
    before = constants.locked()
    yield
    sys.last_value = sys.last_traceback = None
    gc.collect()
    assert constants.locked() == before


# ---- small arrays: the right value


def accumulated(step, buffer, values, n=SMALL):
    """Sum ``step(x, buffer)`` over values of the buffer that is used again; return the gradient."""
    x = bp.variable(np.linspace(0.5, 1.5, n))
    total = 0.0
    for v in values:
        buffer[...] = v
        total = total + np.sum(step(x, buffer))
    return bp.gradients(total, x)


def separate(step, buffer, values, n=SMALL):
    return sum(accumulated(step, buffer.copy(), [v], n) for v in values)


MATRIX = np.ones((SMALL, SMALL))
scaled = bp.custom_rule(lambda x, by: x * by["k"], vjp=lambda g, ans, x, by: g * by["k"])
STEPS = {
    "multiply": (lambda x, k: x * k, np.zeros(SMALL)),
    "reflected": (lambda x, k: k * x, np.zeros(SMALL)),
    "divide": (lambda x, k: x / (1.0 + k), np.zeros(SMALL)),
    "power": (lambda x, k: x**k, np.zeros(SMALL)),
    "no axes": (lambda x, k: x * k, np.zeros(())),
    "integers": (lambda x, k: x * k, np.zeros(SMALL, int)),
    "float32": (lambda x, k: x.astype(np.float32) * k, np.zeros(SMALL, np.float32)),
    "clip": (lambda x, k: np.clip(x, k - 1.0, k), np.zeros(SMALL)),
    "strided": (lambda x, k: x * k[::2], np.zeros(2 * SMALL)),
    "broadcast": (lambda x, k: x * np.broadcast_to(k, (3, SMALL)), np.zeros(SMALL)),
    "Fortran": (lambda x, k: np.outer(x, x) * k, np.zeros((SMALL, SMALL), order="F")),
    "where": (lambda x, k: np.where(k, x, x * x), np.zeros(SMALL, bool)),
    "index": (lambda x, k: x[k] * x[0], np.zeros(2, int)),
    "mask": (lambda x, k: x[k], np.zeros(SMALL, bool)),
    "take": (lambda x, k: np.take(x, k), np.zeros(2, int)),
    "ldexp": (lambda x, k: np.ldexp(x, k), np.zeros(SMALL, int)),
    "matmul": (lambda x, k: k @ x, MATRIX.copy()),
    "dot": (lambda x, k: np.dot(x, k), MATRIX.copy()),
    "einsum": (lambda x, k: np.einsum("ij,j->i", k, x), MATRIX.copy()),
    "outer": (lambda x, k: np.outer(k, x), np.zeros(SMALL)),
    "average": (lambda x, k: np.average(x, weights=1.0 + k), np.zeros(SMALL)),
    "cumulative": (lambda x, k: np.trapezoid(x, k), np.zeros(SMALL)),
    "custom": (
        bp.custom_rule(lambda x, k: x * k, vjp=lambda g, ans, x, k: (g * k, None)),
        np.zeros(SMALL),
    ),
    "option": (lambda x, k: scaled(x, by={"k": k}), np.zeros(SMALL)),
    "checkpoint": (bp.checkpoint(lambda x, k: x * k), np.zeros(SMALL)),
    "setitem": (lambda x, k: _assigned(x, k), np.zeros(2, int)),
    "solve": (lambda x, k: np.linalg.solve(k + 4.0 * np.eye(SMALL), x), MATRIX.copy()),
}


def _assigned(x, k):
    y = x * 1.0
    y[k] = x[1] * 2.0
    return y


@pytest.mark.parametrize("name", STEPS)
def test_a_buffer_used_again_counts_as_it_was(name):
    step, buffer = STEPS[name]
    values = [0, 1] if buffer.dtype == bool else [1, 2, 3] if name != "setitem" else [0, 2, 3]
    buffer = buffer.copy(order="K")
    np.testing.assert_allclose(
        accumulated(step, buffer, values), separate(step, buffer, values), rtol=1e-14
    )


def test_the_case_of_the_issue():
    v, k, s = bp.variable(np.ones(2)), np.zeros(2), 0.0
    for i in range(3):
        k[:] = i
        s = s + np.sum(v * k)
    np.testing.assert_array_equal(bp.gradients(s, v), [3.0, 3.0])


def test_higher_derivatives_and_tangents_read_the_same(rng):
    k = rng.uniform(1.0, 2.0, SMALL)
    was = k.copy()
    x = bp.variable(np.ones(SMALL))
    y = np.sum(x * x * x * k)
    (g,) = bp.gradients([y], [x], create_graph=True)
    k[:] = 0.0
    np.testing.assert_allclose(g.value, 3.0 * was)
    np.testing.assert_allclose(bp.gradients(np.sum(g), x), 6.0 * was)
    k[:] = was
    _, push = bp.linearize(lambda x: x * k, np.ones(SMALL))
    k[:] = 0.0
    np.testing.assert_array_equal(push(np.ones(SMALL)), was)


def test_sparse_matrices_count_as_they_were():
    matrix = sp.csr_array(np.diag([1.0, 2.0, 3.0]))
    x = bp.variable(np.ones(3))
    y = matrix @ x
    matrix.data[:] = 0.0
    matrix.indices[:] = 0
    np.testing.assert_array_equal(bp.gradients(np.sum(y), x), [1.0, 2.0, 3.0])
    some = np.random.default_rng(0).random((300, 300))
    large = sp.csr_array(np.where(some < 0.1, some, 0.0))
    x = bp.variable(np.ones(300))
    y = large @ x
    with pytest.raises(ValueError, match="read-only"):
        large.data[0] = 1.0
    np.testing.assert_allclose(bp.gradients(np.sum(y), x), large.sum(axis=0))
    del y
    large.data[0] = 1.0


# ---- large arrays: a write raises where it stands


LARGE_STEPS = {
    "multiply": lambda x, k: x * k,
    "view": lambda x, k: x * k[::-1],
    "broadcast": lambda x, k: x * np.broadcast_to(k, (2, LARGE)),
    "where": lambda x, k: np.where(np.broadcast_to(k, (2, LARGE)) > 1.5, x, 0.0) * k,
    "matmul": lambda x, k: x @ k.reshape(LARGE, 1),
    "einsum": lambda x, k: np.einsum("i,i->", x, k),
    "checkpoint": bp.checkpoint(lambda x, k: x * k),
}


@pytest.mark.parametrize("name", LARGE_STEPS)
def test_a_large_array_is_locked_while_it_is_recorded(name, rng):
    k = rng.uniform(1.0, 2.0, LARGE)
    x = bp.variable(np.ones(LARGE))
    y = np.sum(LARGE_STEPS[name](x, k))
    for write in (
        lambda: k.__setitem__(3, 0.0),
        lambda: np.multiply(k, 0.0, out=k),
        lambda: k[5:].__setitem__(0, 0.0),
        lambda: k.sort(),
    ):
        with pytest.raises(ValueError, match="read-only"):
            write()
    expected = bp.gradients(y, x)
    z = y * 2.0
    del y
    with pytest.raises(ValueError, match="read-only"):
        k[0] = 0.0
    del z
    k[0] = 0.0  # no record holds it any more
    assert np.count_nonzero(expected)


def test_the_base_of_a_constant_is_locked_too(rng):
    data = rng.standard_normal((10, LARGE))
    x = bp.variable(np.ones(LARGE))
    y, z = data[3] * x, data[4] * x
    with pytest.raises(ValueError, match="read-only"):
        data[3, 0] = 1.0
    del y
    with pytest.raises(ValueError, match="read-only"):
        data[0, 0] = 1.0
    del z
    data[0, 0] = 1.0


def test_locks_are_counted(rng):
    k = rng.standard_normal(LARGE)
    x = bp.variable(np.ones(LARGE))
    ys = [x * k for _ in range(5)] + [x * k[:] for _ in range(5)]
    while ys:
        assert not k.flags.writeable
        ys.pop()
    assert k.flags.writeable


def test_flags_stay_what_they_were(rng):
    """An array that was read-only before is not made writeable, and its promise holds."""
    fixed = rng.standard_normal(LARGE)
    fixed.flags.writeable = False
    view = np.broadcast_to(rng.standard_normal(LARGE), (2, LARGE))
    owner = view.base
    while owner.base is not None:
        owner = owner.base
    x = bp.variable(np.ones(LARGE))
    y = fixed * x, view * x
    assert not owner.flags.writeable
    del y
    assert not fixed.flags.writeable
    assert not view.flags.writeable
    assert owner.flags.writeable


def test_zeros_of_a_constant_count_locked_or_not():
    """They say nothing where a value has left the record: it may have come back as the constant."""

    def scaled(k):
        return lambda x: (x > 0, x * k)[1]

    k, x = np.eye(64).reshape(-1)[: LARGE + 1], np.ones(LARGE + 1)
    outer = bp.variable(x) * k
    assert not k.flags.writeable
    assert sparsity(scaled(k), x).nnz == np.count_nonzero(k)
    assert sparsity(lambda x: (x.value, x * k)[1], x).nnz == x.size
    del outer
    small = k[:8].copy()
    small.flags.writeable = False
    assert sparsity(scaled(small), x[:8]).nnz == np.count_nonzero(small)
    assert sparsity(lambda x: (x.value, x * small)[1], x[:8]).nnz == 8


# ---- code that reuses its buffers


TRANSFORMS = {
    "grad": lambda f, x: bp.grad(f)(x),
    "value_and_grad": lambda f, x: bp.value_and_grad(f)(x),
    "jvp": lambda f, x: bp.jvp(f, (x,), (x,)),
    "hvp": lambda f, x: bp.hvp(f, x, x),
    "jacobian": lambda f, x: bp.jacobian(f)(x),
    "checkpoint": lambda f, x: bp.grad(bp.checkpoint(f))(x),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_lifts_its_locks(name, rng):
    batch, w = rng.standard_normal((200, 50)), rng.standard_normal(50)
    for step in range(3):
        batch[...] = rng.standard_normal((200, 50))
        TRANSFORMS[name](lambda w: np.sum(np.square(batch @ w)), w)
        assert batch.flags.writeable, step


def test_a_pullback_holds_what_it_reads(rng):
    k = rng.standard_normal(LARGE)
    _, pull = bp.vjp(lambda x: x * k, np.ones(LARGE))
    with pytest.raises(ValueError, match="read-only"):
        k[0] = 0.0
    np.testing.assert_array_equal(pull(np.ones(LARGE))[0], k)
    del pull
    k[0] = 0.0


def test_a_failed_call_lifts_its_locks(rng):
    """While the traceback still holds its frames."""
    k = rng.standard_normal(LARGE)

    def f(x):
        y = x * k
        raise KeyError(y.shape)

    for transform in TRANSFORMS.values():
        with pytest.raises(KeyError) as caught:
            transform(f, np.ones(LARGE))
        assert caught.value.__traceback__ is not None
        k[0] += 1.0
    outer = bp.variable(np.ones(LARGE)) * k
    with pytest.raises(KeyError) as caught:
        bp.grad(f)(np.ones(LARGE))
    with pytest.raises(ValueError, match="read-only"):
        k[0] = 0.0
    del outer, caught
    k[0] = 0.0


def test_threads_share_an_array(rng):
    """Each holds it for a while; in the end it is as it was."""
    k = rng.standard_normal(LARGE)
    expected, failures = k.copy(), []

    def work():
        for _ in range(200):
            g = bp.grad(lambda x: np.sum(x * k))(np.ones(LARGE))
            failures.extend([1] if not np.array_equal(g, expected) else [])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
    assert k.flags.writeable


def test_memory_of_others(tmp_path):
    """What is no array of NumPy's below a constant is left alone; the arrays above are locked."""
    raw = bytearray(np.ones(LARGE).tobytes())
    shared = np.frombuffer(raw)
    mapped = np.memmap(tmp_path / "k", np.float64, "w+", shape=LARGE)
    mapped[:] = 1.0
    x = bp.variable(np.ones(LARGE))
    for k in (shared, mapped):
        y = x * k
        with pytest.raises(ValueError, match="read-only"):
            k[0] = 2.0
        np.testing.assert_array_equal(bp.gradients(np.sum(y), x), 1.0)
        del y
        k[0] = 2.0
    y = x * np.frombuffer(bytes(raw))
    assert bp.gradients(np.sum(y), x)[0] == 2.0


def test_values_of_variables_are_locked_and_views_of_them_still_written():
    x = bp.variable(np.ones(LARGE))
    z = x * 1.0
    y = z * z.value
    row = z[:3]
    row *= 2.0
    np.testing.assert_array_equal(z.value[:4], [2.0, 2.0, 2.0, 1.0])
    np.testing.assert_array_equal(bp.gradients(np.sum(y), x), 1.0)
    del y


def test_many_locks_do_not_recurse(rng):
    k = rng.uniform(0.9, 1.0, LARGE)
    y = bp.variable(np.ones(LARGE))
    for _ in range(2000):
        y = y * k
    del y
    assert k.flags.writeable
