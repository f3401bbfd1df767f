"""Equations with sparse matrices: values, derivatives of all orders, factors used again."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg

import fastbp as bp
from fastbp.testing import check_grads

from ..harness import assert_close, at_once
from .test_operands import FORMATS, KINDS, square

SHAPES = [(4,), (4, 1), (4, 3)]


def solved_alike(found, expected, s):
    """Compare what two stable methods found: the matrix's condition magnifies rounding."""
    assert_close(found, expected, ulps=16 * np.linalg.cond(s.toarray()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FORMATS)
def test_constant_matrix_of_every_format(name, kind, rng):
    s, _ = square(rng)
    a = getattr(sp, f"{name}_{kind}")(s)
    for shape in SHAPES:
        b = rng.normal(size=shape)
        x = bp.sparse.solve(a, b)
        assert type(x) is np.ndarray
        solved_alike(x, np.linalg.solve(s.toarray(), b), s)
        check_grads(lambda b: bp.sparse.solve(a, b), (b,))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_recorded_values(shape, transposed, rng):
    s, scattered = square(rng)
    b = rng.normal(size=shape)

    def f(values, b):
        a = bp.sparse.csr(values, s.indices, s.indptr, s.shape)
        return bp.sparse.solve(a.T if transposed else a, b)

    def reference(values, b):
        a = scattered(values)
        return np.linalg.solve(a.T if transposed else a, b)

    solved_alike(f(s.data, b), reference(s.data, b), s)
    check_grads(f, (s.data, b))
    for k in (0, 1):
        expected = bp.jacobian(reference, argnums=k)(s.data, b)
        twice = bp.jacobian(bp.jacobian(reference, argnums=k))(s.data, b)
        for mode in ("forward", "reverse"):
            found = bp.jacobian(f, argnums=k, mode=mode)(s.data, b)
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
            for then in ("forward", "reverse"):
                derived = bp.jacobian(bp.jacobian(f, argnums=k, mode=mode), mode=then)
                np.testing.assert_allclose(derived(s.data, b), twice, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", ["csr", "csc"])
def test_constant_matrix_in_both_orders(name, rng):
    s, _ = square(rng)
    a, d = s.asformat(name), s.toarray()
    b = rng.normal(size=4)
    for mode in ("forward", "reverse"):
        found = bp.jacobian(lambda b: np.sin(bp.sparse.solve(a, b)), mode=mode)(b)
        expected = bp.jacobian(lambda b: np.sin(np.linalg.solve(d, b)))(b)
        solved_alike(found, expected, s)
    found = bp.hessian(lambda b: np.sum(bp.sparse.solve(a, b) ** 3))(b)
    expected = bp.hessian(lambda b: np.sum(np.linalg.solve(d, b) ** 3))(b)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes(dtype, rng):
    s, _ = square(rng, dtype=dtype)
    b = rng.normal(size=4).astype(dtype)
    x = bp.sparse.solve(s, b)
    assert x.dtype == dtype
    np.testing.assert_allclose(s @ x, b, rtol=1e-5)

    def f(values, b):
        return np.sum(bp.sparse.solve(bp.sparse.from_scipy(s, values), b) ** 2)

    assert [g.dtype for g in bp.grad(f, argnums=(0, 1))(s.data, b)] == [dtype, dtype]
    assert bp.sparse.solve(s.astype(np.float32), b.astype(float)).dtype == np.float64
    assert bp.sparse.solve(sp.eye_array(3, dtype=int), [1, 2, 3]).dtype == np.float64


def test_one_factorisation_for_all_derivatives(rng, monkeypatch):
    s, _ = square(rng)
    counts, splu = [], scipy.sparse.linalg.splu

    def counted(matrix):
        counts.append(matrix.dtype)
        return splu(matrix)

    monkeypatch.setattr(scipy.sparse.linalg, "splu", counted)
    b = rng.normal(size=4)

    def f(values, b):
        return bp.sparse.solve(bp.sparse.csr(values, s.indices, s.indptr, s.shape), b)

    x, pullback = bp.vjp(f, s.data, b)
    pullback(x)
    pullback(2.0 * x)
    assert len(counts) == 1
    bp.jacobian(lambda v: np.sum(f(v, b) ** 2), mode="reverse")(s.data)
    assert len(counts) == 2
    bp.hessian(lambda v: np.sum(f(v, b) ** 2))(s.data)
    assert len(counts) == 3
    bp.jacobian(f, mode="forward")(s.data, b)
    assert len(counts) == 4
    solver = bp.sparse.factorized(s)
    for _ in range(3):
        bp.jacobian(solver)(b)
    assert len(counts) == 5


def test_matrices_may_be_changed_afterwards(rng):
    s, _ = square(rng)
    original, expected = s.copy(), np.linalg.inv(s.toarray())
    solver = bp.sparse.factorized(s)
    b = bp.variable(rng.normal(size=4))
    x = bp.sparse.solve(s, b)
    s.data[:] = 1.0
    solved_alike(bp.gradients(x, b, np.ones(4)), expected.sum(0), original)
    solved_alike(bp.jacobian(solver)(np.ones(4)), expected, original)


def test_unsorted_and_repeated_places(rng):
    values = np.array([2.0, 1.0, 0.5, 3.0])
    indices, indptr = np.array([1, 0, 0, 1]), np.array([0, 3, 4])
    before = indices.copy()

    def f(values, b):
        return bp.sparse.solve(bp.sparse.csr(values, indices, indptr, (2, 2)), b)

    b = np.array([1.0, 2.0])
    np.testing.assert_allclose(f(values, b), np.linalg.solve([[1.5, 2.0], [0.0, 3.0]], b))
    check_grads(f, (values, b))
    np.testing.assert_array_equal(indices, before)


def test_errors(rng):
    ones = np.ones(3)
    for singular in (
        sp.csr_array((3, 3)),
        sp.csc_array(np.ones((3, 3))),
        sp.diags([1.0, 0.0, 1.0]),
    ):
        with pytest.raises(np.linalg.LinAlgError, match="singular"):
            bp.sparse.solve(singular, ones)
    with pytest.raises(np.linalg.LinAlgError, match=r"square.*\(2, 3\)"):
        bp.sparse.solve(sp.csr_array(np.ones((2, 3))), ones)
    with pytest.raises(bp.errors.DTypeError, match=r"numpy\.linalg\.solve"):
        bp.sparse.solve(np.eye(3), ones)
    with pytest.raises(bp.errors.DTypeError, match="complex128"):
        bp.sparse.solve(sp.eye_array(3) * 1j, ones)
    with pytest.raises(bp.errors.DTypeError, match="sparse"):
        bp.sparse.solve(sp.eye_array(3), sp.eye_array(3))
    for shape in ((2,), (3, 1, 1), ()):
        with pytest.raises(bp.errors.ShapeError, match="does not fit"):
            bp.sparse.solve(sp.eye_array(3), np.ones(shape))


def test_empty():
    assert bp.sparse.solve(sp.csr_array((0, 0)), np.zeros(0)).shape == (0,)
    assert bp.sparse.solve(sp.eye_array(3), np.ones((3, 0))).shape == (3, 0)
    a = bp.sparse.csr(bp.variable(np.zeros(0)), [], [0], (0, 0))
    assert bp.sparse.solve(a, np.zeros((0, 2))).shape == (0, 2)


def test_agrees_with_scipy_on_a_large_matrix(rng):
    n = 400
    s = sp.random_array((n, n), density=0.01, random_state=rng) + 2.0 * sp.eye_array(n)
    b = rng.normal(size=n)
    expected = scipy.sparse.linalg.spsolve(s.tocsc(), b)
    np.testing.assert_allclose(bp.sparse.solve(s, b), expected, rtol=1e-9, atol=1e-12)
    g = rng.normal(size=n)
    csr = s.tocsr()
    values_bar, b_bar = bp.vjp(
        lambda v, b: bp.sparse.solve(bp.sparse.from_scipy(csr, v), b), csr.data, b
    )[1](g)
    np.testing.assert_allclose(csr.T @ b_bar, g, rtol=1e-9, atol=1e-12)
    rows = np.repeat(np.arange(n), np.diff(csr.indptr))
    np.testing.assert_allclose(values_bar, -b_bar[rows] * expected[csr.indices], rtol=1e-8)


def test_patterns(rng):
    s, _ = square(rng)
    b = rng.normal(size=(4, 2))
    for function, at in [
        (lambda b: bp.sparse.solve(s, b), b),
        (lambda b: bp.sparse.solve(s, b), b[:, 0]),
        (lambda v: bp.sparse.solve(bp.sparse.from_scipy(s, v), b), s.data),
        (lambda v: bp.sparse.solve(bp.sparse.from_scipy(s, v), v[:4]), s.data),
    ]:
        pattern = bp.sparse.sparsity(function, at).toarray()
        nonzeros = bp.jacobian(function)(at).reshape(pattern.shape) != 0.0
        assert not (nonzeros & ~pattern).any()
    columns = bp.sparse.sparsity(lambda b: bp.sparse.solve(s, b), b).toarray()
    np.testing.assert_array_equal(columns, np.kron(np.ones((4, 4)), np.eye(2)))


def test_factors_belong_to_copies(rng):
    """What is written into the values later is not seen, before the first call either."""
    s, _ = square(rng)
    b = rng.normal(size=4)
    values = s.tocsr().data.copy()
    solver = bp.sparse.factorized(bp.sparse.from_scipy(s, values))
    values *= 2.0
    np.testing.assert_allclose(s @ solver(b), b)
    np.testing.assert_array_equal(copy.deepcopy(solver)(b), solver(b))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(solver))(b), solver(b))


def test_threads_share_factors_of_two_dtypes(rng):
    s, _ = square(rng)
    solver = bp.sparse.factorized(s.astype(np.float32))
    inverse = np.linalg.inv(s.toarray())
    points = [rng.normal(size=4).astype(dtype) for dtype in ("f4", "f8", "f4", "f8")]

    def work(b):
        for _ in range(200):
            x = solver(b)
            assert x.dtype == b.dtype
            np.testing.assert_allclose(x, inverse @ b, rtol=1e-3, atol=1e-4)

    at_once(work, *points)
