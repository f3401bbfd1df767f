"""`eig` and `eigvals` of `fastbp.scipy.linalg`: left vectors, and pencils of two matrices."""

import numpy as np
import pytest
import scipy.linalg

import fastbp as bp
from fastbp.errors import DegenerateError, ShapeError
from fastbp.scipy import linalg
from fastbp.testing import check_grads

from ... import versions

A = np.array([[1.0, 2.0, 0.3], [-2.5, 1.5, 0.4], [0.2, 0.1, 4.0]])  # two of its values are complex
B = np.array([[1.0, 0.2, -0.1], [0.1, 1.5, 0.3], [-0.2, 0.1, 2.0]])
SINGULAR = np.diag([1.0, 2.0, 0.0])


def parts(*arrays):
    return [p for x in arrays for p in (np.real(x), np.imag(x))]


def without_phases(w, u, v):
    """Return what the lengths of vectors fix."""
    of_pairs = [np.einsum("ik,jk->ijk", x, np.conj(x)) for x in (u, v)]
    return parts(w, *of_pairs)


def check_residuals(a, b, w, u, v):
    np.testing.assert_allclose(a @ v, b @ v * w, atol=1e-13)
    np.testing.assert_allclose(u.conj().T @ a, w[:, None] * (u.conj().T @ b), atol=1e-13)
    np.testing.assert_allclose(np.linalg.norm([u, v], axis=1), 1.0, rtol=1e-14)


def test_pencils_of_real_matrices():
    w, u, v = linalg.eig(bp.variable(A), B, left=True)
    assert w.value.imag.any()
    check_residuals(A, B, w.value, u.value, v.value)
    for ours, theirs in zip((w, u, v), scipy.linalg.eig(A, B, left=True), strict=True):
        np.testing.assert_allclose(ours.value, theirs, rtol=1e-13)
    check_grads(lambda a, b: without_phases(*linalg.eig(a, b, left=True)), (A, B), order=2)
    check_grads(lambda a: without_phases(*linalg.eig(a, B, left=True)), (A,))
    check_grads(lambda b: parts(linalg.eigvals(A, b)), (B,), order=2)


def test_pencils_of_complex_matrices(rng):
    c = 0.3 * rng.normal(size=(3, 3))

    def f(a, b, c):
        return without_phases(*linalg.eig(a + 1j * c, b - 0.5j * c, left=True))

    check_grads(f, (A, B, c), order=2)


def test_real_vectors_have_no_phase():
    # The last eigenvalue is real: its vector is fixed up to a sign, though beside complex ones.
    def f(a, b):
        return parts(linalg.eig(a, b)[1][:, -1] * (1.0 + 2.0j))

    assert not scipy.linalg.eig(A, B)[1][:, -1].imag.any()
    check_grads(f, (A, B))


def test_a_pencil_with_the_identity_is_a_matrix(rng):
    a = np.diag([1.0, 4.0, 9.0]) + 0.2 * rng.normal(size=(3, 3))
    g = rng.normal(size=(3, 3))

    def f(v):
        return np.sum((v / v[0]) * g)  # whatever the signs

    one = bp.grad(lambda a: f(linalg.eig(a)[1]))(a)
    order = np.argsort(scipy.linalg.eigvals(a, np.eye(3)).real)
    order = np.argsort(scipy.linalg.eigvals(a).real).argsort()[order].argsort()
    two = bp.grad(lambda a: f(linalg.eig(a, np.eye(3))[1][:, order]))(a)
    np.testing.assert_allclose(two, one, rtol=1e-9)


def test_left_vectors_of_a_matrix():
    w, u, v = linalg.eig(bp.variable(A), left=True)
    check_residuals(A, np.eye(3), w.value, u.value, v.value)
    check_grads(lambda a: parts(*linalg.eig(a, left=True)), (A,), order=2)
    check_grads(lambda a, c: parts(linalg.eig(a + 1j * c, left=True, right=False)[1]), (A, 0.3 * B))
    np.testing.assert_array_equal(
        linalg.eig(bp.variable(A), left=True, right=False)[1].value, u.value
    )


def test_infinite_eigenvalues():
    w = scipy.linalg.eigvals(A, SINGULAR)
    finite = np.isfinite(w)
    assert list(finite).count(False) == 1

    def f(a):  # along matrices that stay singular
        w, v = linalg.eig(a, SINGULAR)
        return parts(w[finite], np.einsum("ik,jk->ijk", v, np.conj(v)))

    check_grads(f, (A,))
    with pytest.raises(DegenerateError, match=r"scipy\.linalg\.eig: an eigenvalue is infinite"):
        bp.grad(lambda a: np.real(linalg.eigvals(a, SINGULAR)).sum())(A)
    pushed = bp.jvp(lambda a: linalg.eigvals(a, SINGULAR), (A,), (B,))[1]
    np.testing.assert_array_equal(np.isnan(pushed), ~finite)


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e12])
def test_equal_eigenvalues_of_a_pencil(scale):
    a = np.diag([2.0, 1.0, 3.0]) * scale
    b = np.diag([4.0, 2.0, 1.0])

    def column(k):
        return lambda a: linalg.eig(a, b)[1][:, k] @ np.array([1.0, 2.0, 3.0])

    for k in (0, 1):
        with pytest.raises(DegenerateError, match=r"scipy\.linalg\.eig: eigenvalues 0 and 1"):
            bp.grad(column(k))(a)
    assert np.isfinite(bp.grad(column(2))(a)).all()
    pushed = bp.jvp(lambda a: linalg.eig(a, b)[1], (a,), (A,))[1]
    assert np.isnan(pushed[:, :2]).all()
    assert np.isfinite(pushed[:, 2]).all()
    np.testing.assert_allclose(
        bp.grad(lambda a: np.real(linalg.eigvals(a, b)).sum())(a), np.diag(1.0 / np.diag(b))
    )


def test_phases_are_refused():
    with pytest.raises(DegenerateError, match="phases of eigenvectors"):
        bp.grad(lambda a: np.real(linalg.eig(a, B)[1]).sum())(A)


def test_shapes_must_fit():
    with pytest.raises(ShapeError, match=r"scipy\.linalg\.eig: b of shape \(2, 2\)"):
        linalg.eig(bp.variable(A), np.eye(2))
    with pytest.raises(np.linalg.LinAlgError, match=r"scipy\.linalg\.eigvals: b must be square"):
        linalg.eigvals(bp.variable(A), np.ones((2, 3)))
    versions.skip_without("scipy 1.14", "an empty matrix")
    w, v = linalg.eig(bp.variable(np.zeros((0, 0))), np.zeros((0, 0)))
    assert w.shape == (0,)
    assert v.shape == (0, 0)
