"""bp.tensor.derivative and explain: any recorded function as one tensor, and link by link."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastbp as bp
import fastbp.numpy as bnp
from fastbp.errors import DTypeError, NoRuleError, ShapeError

from ..harness import assert_close

rng = np.random.default_rng(0)
A, B, C = rng.normal(size=(4, 3)), rng.normal(size=(3, 2)), rng.normal(size=(2, 5))
SQUARE = rng.normal(size=(3, 3)) + 3 * np.eye(3)
STACK = rng.normal(size=(2, 3, 4))
V = rng.normal(size=7)

# (function, argument, storage)
FUNCTIONS = {
    "matmul": (lambda a: a @ B, A, "structured"),
    "matmul from the right": (lambda b: A @ b, B, "structured"),
    "vector matmul": (lambda v: v @ A, V[:4], "structured"),
    "layer": (lambda a: np.tanh(a @ B + 1.0), A, "structured"),
    "two layers": (lambda a: np.tanh(a @ B) @ C, A, "structured"),
    "sum of two products": (lambda a: a @ B + a @ (2 * B), A, "structured"),
    "elementwise": (lambda a: a * 2 + np.sin(a), A, "structured"),
    "sum": (lambda a: np.sum(a @ B, axis=0), A, "structured"),
    "mean": (lambda a: np.mean(a, axis=(0, 2)), STACK, "structured"),
    "transpose": (lambda a: 3.0 * a.T, A, "structured"),
    "reshape": (lambda a: a.reshape(6, 4) @ C.T[:4], STACK, "structured"),
    "broadcast": (lambda a: a * np.ones((2, 4, 3)), A, "structured"),
    "einsum": (lambda a: np.einsum("ijk,kl->lij", a, C.T[:4]), STACK, "structured"),
    "batched matmul": (lambda a: a @ STACK[:, :, :3].swapaxes(1, 2), STACK[:, :, :3], "structured"),
    "softmax over rows": (
        lambda a: np.sum(np.exp(a @ B) / np.sum(np.exp(a @ B), axis=1, keepdims=True)),
        A,
        "structured",
    ),
    "identity": (lambda a: a, A, "structured"),
    "scalar": (lambda a: a * a, np.array(2.0), "structured"),
    "float32": (lambda a: np.exp(a @ B.astype("f4")), A.astype("f4"), "structured"),
    "to float32": (lambda a: a.astype("f4") * 2, A, "structured"),
    "stretched batch": (lambda a: a @ STACK[:, :3, :3], A, None),
    "symmetric part": (lambda a: a + a.T @ a, SQUARE, "sparse"),
    "index": (lambda a: a[1:, ::2] * 3, A, "sparse"),
    "cumsum": (np.cumsum, V, "sparse"),
    "stencil": (lambda v: np.roll(v, 1) * v, V, "sparse"),
    "outer": (lambda v: np.outer(v, v), V, "sparse"),
    "concatenate": (lambda v: np.concatenate([v, v**2]), V, "sparse"),
    "the same twice": (lambda v: np.concatenate([v, v]), V, "sparse"),
    "where": (lambda a: np.where(a > 0, a, a * a), A, "sparse"),
    "cross": (lambda a: np.cross(a, a * 2 + 1), A, "sparse"),
    "max": (lambda a: np.max(a, axis=1), A, "sparse"),
    "softmax": (lambda a: bnp.softmax(a, axis=1), A, "sparse"),
    "constant": (lambda v: 3.0 * np.ones(2), V, "sparse"),
    "inverse": (np.linalg.inv, SQUARE, "dense"),
    "empty": (lambda a: a @ np.zeros((0, 2)), np.zeros((3, 0)), None),
}
each_function = pytest.mark.parametrize(
    ("f", "x", "storage"), FUNCTIONS.values(), ids=FUNCTIONS.keys()
)


@pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning")  # constants
@each_function
def test_derivative_is_the_jacobian(f, x, storage):
    tensor = bp.tensor.derivative(f, x)
    jacobian = bp.jacobian(f)(x)
    assert tensor.shape == jacobian.shape
    assert tensor.dtype == x.dtype
    tolerance = 1e-12 if x.dtype == np.float64 and "f4" not in str(jacobian.dtype) else 1e-5
    np.testing.assert_allclose(tensor.to_dense(), jacobian, rtol=tolerance, atol=tolerance)
    if storage is not None:
        assert tensor.storage == storage


@pytest.mark.parametrize(
    "f",
    [
        lambda p: np.array([0.0, 1.0, 1.0]) * np.sqrt(p),
        bp.grad(lambda p: np.sum(np.where(p > 0.0, np.sqrt(p), p * p))),
        bp.grad(lambda p: np.sum(np.where(p > 0.0, p * np.log(p), 0.0))),
    ],
)
def test_exact_zeros_beside_infinite_slopes(f):
    """As in sweeps (docs/zeros.md), though a structured tensor would be a plain product."""
    p = np.array([0.0, 2.0, 3.0])
    with np.errstate(all="ignore"):
        expected = bp.jacobian(f)(p)
        assert np.all(np.isfinite(expected))
        np.testing.assert_array_equal(bp.tensor.derivative(f, p).to_dense(), expected)


@pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning")  # constants
@each_function
def test_explanation_agrees_with_the_direct_rules(f, x, storage):
    out = np.shape(f(x))
    found = bp.tensor.explain(f, x, cotangent=np.random.default_rng(1).normal(size=out))
    assert found.max_difference < (1e-12 if x.dtype == np.float64 else 1e-5)
    np.testing.assert_array_equal(found.direct.shape, x.shape)
    assert found.pattern.shape == (int(np.prod(out)), x.size)
    for link in found.links:
        assert link.tensor.shape == link.out_shape + link.in_shape
        assert link.tensor.nnz <= link.size
        assert str(link.size) in str(found)


@pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning")  # constants
def test_leanest_storage_takes_less_than_dense():
    for f, x, _ in FUNCTIONS.values():
        tensor = bp.tensor.derivative(f, x)
        assert tensor.nbytes <= tensor.size * tensor.dtype.itemsize + 4 * (tensor.size + 8)


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4), st.integers(0, 2**31))
def test_layers_of_any_shape(m, k, n, seed):
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(m, k)), rng.normal(size=(k, n))

    def layer(w):
        return np.tanh(x @ w) * x.sum(axis=1, keepdims=True)

    tensor = bp.tensor.derivative(layer, w)
    np.testing.assert_allclose(tensor.to_dense(), bp.jacobian(layer)(w), rtol=1e-12, atol=1e-14)
    g = rng.normal(size=(m, n))
    (expected,) = bp.vjp(layer, w)[1](g)
    np.testing.assert_allclose(tensor.contract(g), expected, rtol=1e-11, atol=1e-13)


def test_contraction_and_application_of_composed_tensors():
    f = FUNCTIONS["two layers"][0]
    tensor = bp.tensor.derivative(f, A)
    g, t = rng.normal(size=(4, 5)), rng.normal(size=(4, 3))
    assert_close(tensor.contract(g), bp.vjp(f, A)[1](g)[0], ulps=64)
    assert_close(tensor.apply(t), bp.jvp(f, (A,), (t,))[1], ulps=64)


def test_argnums_and_other_arguments():
    tensor = bp.tensor.derivative(lambda a, b: a @ b, A, B, argnums=1)
    np.testing.assert_allclose(tensor.to_dense(), bp.jacobian(np.matmul, argnums=1)(A, B))


@pytest.mark.thread_unsafe(reason="tracemalloc counts what all threads allocate")
def test_large_structured_derivatives_take_little_memory():
    n = 512
    a, b = rng.normal(size=(n, n)), rng.normal(size=(n, n))
    tracemalloc.start()
    try:
        tensor = bp.tensor.derivative(lambda a: np.tanh(a @ b), a)
        tensor.contract(a)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert tensor.size * 8 > 5e11
    assert peak < 40e6
    with pytest.raises(MemoryError, match="549"):
        tensor.to_dense()


def test_too_large_a_dense_derivative_is_refused_before_it_is_computed(monkeypatch):
    monkeypatch.setattr("fastbp.limits.MEMORY_LIMIT", 1000)
    with pytest.raises(MemoryError, match="derivative"):
        bp.tensor.derivative(np.linalg.inv, rng.normal(size=(6, 6)) + 6 * np.eye(6))


def test_explain_goes_on_where_a_tensor_is_too_large(monkeypatch):
    monkeypatch.setattr("fastbp.limits.MEMORY_LIMIT", 1000)
    x = rng.normal(size=(6, 6)) + 6 * np.eye(6)
    found = bp.tensor.explain(lambda a: np.linalg.inv(2 * a), x)
    assert found.links[-1].tensor is None
    assert "too large" in str(found)
    assert found.max_difference < 1e-12


def test_explanation_is_a_table():
    text = str(bp.tensor.explain(lambda a: np.sum(np.tanh(a @ B)), A))
    assert "g @ b.T" in text
    assert "structured" in text
    assert "max difference" in text
    assert len(text.splitlines()) == 5


def test_explain_with_a_cotangent():
    g = rng.normal(size=(4, 2))
    found = bp.tensor.explain(lambda a: a @ B, A, cotangent=g)
    np.testing.assert_allclose(found.explicit, g @ B.T)
    with pytest.raises(ShapeError, match=r"\(3,\).*\(4, 2\)"):
        bp.tensor.explain(lambda a: a @ B, A, cotangent=np.ones(3))


def test_bad_arguments():
    with pytest.raises(TypeError, match="derivative: argument 0 must be one array"):
        bp.tensor.derivative(lambda p: p["a"], {"a": A})
    with pytest.raises(TypeError, match="derivative: the function must return one array"):
        bp.tensor.derivative(lambda a: (a, a), A)
    with pytest.raises(TypeError, match="argnums"):
        bp.tensor.derivative(np.matmul, A, B, argnums=(0, 1))
    with pytest.raises(DTypeError, match="complex"):
        bp.tensor.derivative(np.sin, A * 1j)
    w = bp.variable(B)
    with pytest.raises(NoRuleError, match="outside"):
        bp.tensor.derivative(lambda a: a @ w, A)
    with pytest.raises(TypeError, match="explain"):
        bp.tensor.explain(lambda a: [a], A)
