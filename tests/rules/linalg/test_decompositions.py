"""Decompositions where samples of the table do not reach: phases, equal values, odd shapes."""

import numpy as np
import pytest

import fastbp as bp
from fastbp.errors import DegenerateError, NoRuleError
from fastbp.rules.linalg import determinants
from fastbp.testing import check_grads

N = np.newaxis


def normal(rng, *shape):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def hermitian(a):
    return 0.5 * (a + np.swapaxes(np.conj(a), -1, -2))


def weights(rng, *shape):
    return rng.normal(size=shape)


# ---- complex vectors: what does not depend on their phases

B = weights(np.random.default_rng(5), 4, 4)


def of_eigh(a):
    w, v = np.linalg.eigh(hermitian(a))
    projector = v[..., :, :1] @ np.conj(np.swapaxes(v[..., :, :1], -1, -2))
    b = B[: a.shape[-1], : a.shape[-1]]
    return np.sum(np.abs(v) ** 2 * b) + np.sum(np.real(projector) * b) + np.sum(w**3)


def of_svd(a):
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    first = u[..., :, :1] * s[..., N, :1] ** 2 @ vh[..., :1, :]
    m, n = a.shape[-2:]
    return np.sum(np.real(first) * B[:m, :n]) + np.sum(np.abs(u[..., :, 1]) ** 2 * B[0, :m])


def of_whole_svd(a):
    """Projectors onto what is beyond the columns and the rows."""
    u, s, vh = np.linalg.svd(a)
    k = s.shape[-1]
    m, n = a.shape[-2:]
    left, right = u[..., :, k:], vh[..., k:, :]
    of_left = np.real(left @ np.conj(np.swapaxes(left, -1, -2))) * B[:m, :m]
    of_right = np.real(np.conj(np.swapaxes(right, -1, -2)) @ right) * B[:n, :n]
    return np.sum(of_left) + np.sum(of_right) + np.sum(s)


def of_whole_qr(a):
    q, r = np.linalg.qr(a, "complete")
    n = a.shape[-1]
    beyond = q[..., :, n:]
    m = a.shape[-2]
    projector = np.real(beyond @ np.conj(np.swapaxes(beyond, -1, -2)))
    return np.sum(projector * B[:m, :m]) + np.sum(np.abs(r) ** 2 * B[:m, :n])


@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3), (1, 1)])
def test_complex_eigh(shape, rng):
    a = normal(rng, *shape) + np.diag(3.0 * np.arange(shape[-1]))
    check_grads(of_eigh, (a,), order=2)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 2), (2, 4)])
def test_complex_svd(shape, rng):
    check_grads(of_svd, (normal(rng, *shape),), order=2)


@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (2, 3, 2)])
@pytest.mark.parametrize("make", [normal, weights])
def test_vectors_beyond_the_values(make, shape, rng):
    check_grads(of_whole_svd, (make(rng, *shape),), order=2)


@pytest.mark.parametrize("shape", [(4, 2), (2, 3, 1)])
@pytest.mark.parametrize("make", [normal, weights])
def test_vectors_beyond_the_columns(make, shape, rng):
    check_grads(of_whole_qr, (make(rng, *shape),), order=2)


@pytest.mark.parametrize(
    "f",
    [
        lambda a: np.sum(np.real(np.linalg.eigh(hermitian(a))[1]) * B[:3, :3]),
        lambda a: np.sum(np.real(np.linalg.svd(a)[0]) * B[:3, :3]),
        lambda a: np.sum(np.real(np.linalg.svd(a)[2]) * B[:3, :3]),
    ],
)
def test_a_phase_has_no_derivative(f, rng):
    with pytest.raises(DegenerateError, match="phases"):
        bp.grad(f)(normal(rng, 3, 3))


# ---- equal values


@pytest.mark.parametrize("n", [2, 3])
def test_eigenvalues_alone_where_they_are_equal(n):
    a = np.eye(n)
    g = bp.grad(lambda x: np.sum(np.linalg.eigh(x)[0] ** 2))(a)
    np.testing.assert_allclose(g, 2.0 * a, atol=1e-15)
    g = bp.grad(lambda x: np.sum(np.linalg.svd(x)[1] ** 3))(2.0 * a)
    np.testing.assert_allclose(g, 12.0 * a, atol=1e-14)
    value, tangent = bp.jvp(lambda x: np.sum(np.linalg.eigvalsh(x)), (a,), (np.ones((n, n)),))
    assert (value, tangent) == (n, n)


def test_vectors_where_values_are_equal_raise():
    a = np.diag([1.0, 2.0, 2.0])
    for f, name in (
        (lambda x: np.sum(np.linalg.eigh(x)[1] * B[:3, :3]), "eigh: eigenvalues 1 and 2"),
        (lambda x: np.sum(np.linalg.svd(x)[0] * B[:3, :3]), "svd: singular values 0 and 1"),
        (lambda x: np.sum((np.linalg.eig(x)[1] * B[:3, :3]).real), "eig: eigenvalues 1 and 2"),
    ):
        with pytest.raises(DegenerateError, match=f"numpy.linalg.{name} are equal"):
            bp.grad(f)(a)
    stack = np.stack([np.diag([1.0, 2.0, 3.0]), a])
    with pytest.raises(DegenerateError, match=r"eigenvalues 1 and 2 of matrix \(1,\)"):
        bp.grad(lambda x: np.sum(np.linalg.eigh(x)[1] * B[:3, :3]))(stack)


@pytest.mark.parametrize(
    "f",
    [
        lambda w, v: np.sum(v),  # turns of the vectors cancel by chance
        lambda w, v: np.sum((v * w) @ v.T * B[:3, :3]),  # has a derivative, but not by this way
        lambda w, v: np.sum(v @ v.T * B[:3, :3]),
    ],
)
def test_turns_that_cancel_raise_all_the_same(f):
    with pytest.raises(DegenerateError, match="eigenvalues 0 and 1 are equal"):
        bp.grad(lambda x: f(*np.linalg.eigh(x)))(np.eye(3))


def test_one_value_that_is_zero():
    q = np.linalg.qr(np.vander([1.0, 2.0, 3.5]))[0]
    a = q @ np.diag([3.0, 2.0, 0.0])
    check_grads(lambda x: np.linalg.svd(x)[0] ** 2, (a,), order=1, modes="rev")
    g = bp.grad(lambda x: np.sum(np.linalg.svd(x)[0] ** 2 * B[:3, :3]))(np.diag([3.0, 2.0, 0.0]))
    assert np.isfinite(g).all()


def test_values_that_are_nearly_equal():
    """The orthogonal polar factor has no small denominators, whatever the values' gaps."""
    q = np.linalg.qr(np.vander([1.0, 2.0, 3.5, 5.0]))[0]
    a = q @ np.diag([2.0, 2.0 + 1e-9, 1.0, 1.0 + 1e-9]) @ q[::-1].T
    polar = lambda x: (lambda u, s, vh: u @ vh)(*np.linalg.svd(x))
    check_grads(polar, (a,), order=1, modes="rev", rtol=1e-6)


@pytest.mark.parametrize(
    "f", [lambda a: np.linalg.svd(a)[0], lambda a: np.linalg.qr(a, "complete")[0]]
)
def test_a_choice_among_vectors_beyond_has_no_derivative(f, rng):
    a, b = weights(rng, 4, 2), weights(rng, 4, 4)
    with pytest.raises(DegenerateError, match="which columns"):
        bp.grad(lambda a: np.sum(f(a) * b))(a)


def test_a_vector_whose_value_is_alone_is_differentiated():
    q = np.linalg.qr(np.vander([1.0, 2.0, 3.5]))[0]
    a = q @ np.diag([1.0, 2.0, 2.0]) @ q.T
    check_grads(lambda x: np.linalg.eigh(hermitian(x))[1][:, 0] ** 2, (a,), order=1, modes="rev")


def test_vectors_where_values_are_equal_are_nan_in_forward_mode():
    _, t = bp.jvp(lambda x: np.linalg.eigh(x)[1], (np.diag([1.0, 2.0, 2.0]),), (np.ones((3, 3)),))
    np.testing.assert_array_equal(np.isnan(t), [[False, True, True]] * 3)


# ---- other forms


def test_hermitian_options(rng):
    a = weights(rng, 3, 3) + np.diag([0.0, 3.0, -6.0])
    for f in (
        lambda x: tuple([abs(y) for y in np.linalg.svd(x + x.T, hermitian=True)]),
        lambda x: np.linalg.svd(x + x.T, hermitian=True, compute_uv=False),
        lambda x: np.linalg.pinv(x + x.T, hermitian=True),
    ):
        for found, expected in zip(f(bp.variable(a)), f(a), strict=True):
            np.testing.assert_allclose(found.value, expected, atol=1e-14)
        check_grads(f, (a,), order=2)


def test_the_mode_raw_is_refused(rng):
    with pytest.raises(NoRuleError, match="qr: mode='raw'"):
        np.linalg.qr(bp.variable(weights(rng, 3, 3)), "raw")


def test_dependent_columns_have_no_qr_derivative():
    a = np.array([[1.0, 2.0], [2.0, 4.0], [0.0, 0.0]])
    with pytest.raises(DegenerateError, match="linearly dependent"):
        bp.grad(lambda x: np.sum(np.linalg.qr(x)[0]))(a)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_what_counts_as_equal_does_not_depend_on_the_scale(scale, rng):
    a, equal = rng.normal(size=(4, 4)), np.diag([1.0, 1.0, 2.0, 3.0])

    def vectors(scale):
        return lambda a: np.linalg.eigh(scale * (a + a.T))[1][0, 0] ** 2

    expected = bp.grad(vectors(1.0))(a)
    assert np.max(np.abs(expected)) > 0.1
    np.testing.assert_allclose(bp.grad(vectors(scale))(a), expected, rtol=0, atol=1e-13)
    with pytest.raises(DegenerateError):
        bp.grad(vectors(scale))(equal)

    def basis(scale):
        return lambda a: np.linalg.qr(scale * a)[0][0, 1]

    expected = bp.grad(basis(1.0))(a)
    np.testing.assert_allclose(bp.grad(basis(scale))(a), expected, rtol=0, atol=1e-13)
    a[:, 3] = a[:, 0] + a[:, 1]
    with pytest.raises(DegenerateError, match="dependent"):
        bp.grad(basis(scale))(a)


@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (3, 4)])
def test_least_squares_of_least_norm(shape, rng):
    """At rank two, along changes that keep it."""
    left, right = weights(rng, shape[0], 2), weights(rng, 2, shape[1])
    b = weights(rng, shape[0], 2)
    check_grads(lambda x, y, b: np.linalg.lstsq(x @ y, b)[0], (left, right, b), order=2)
    value, *_ = np.linalg.lstsq(left @ right, b)
    np.testing.assert_allclose(value, np.linalg.pinv(left @ right) @ b, atol=1e-13)


def test_functions_of_named_results(rng):
    a = weights(rng, 3, 3)
    x = bp.variable(a)
    assert type(np.linalg.eigh(x)) is type(np.linalg.eigh(a))
    assert type(np.linalg.svd(x)) is type(np.linalg.svd(a))
    assert np.linalg.qr(x).R.shape == (3, 3)
    assert np.linalg.eig(x).eigenvalues.dtype == np.linalg.eig(a).eigenvalues.dtype
    w = np.linalg.eigvals(x)
    np.testing.assert_allclose(w.value, np.linalg.eigvals(a), rtol=1e-13)


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (2, 3, 3)])
def test_singular_values_that_a_tolerance_leaves_out_are_no_zeros(shape, rng):
    """The truncated inverse depends on what is left out, by the vectors that turn."""
    a, t = rng.normal(size=shape), rng.normal(size=shape)
    s = np.linalg.svd(a, compute_uv=False)
    rcond = float(np.max(s[..., 1] / s[..., 0])) * 1.01  # leaves one everywhere
    h = 1e-5
    expected = [np.linalg.pinv(a + k * t, rcond) for k in (h, -h, 2 * h, -2 * h)]
    expected = (8 * (expected[0] - expected[1]) - expected[2] + expected[3]) / (12 * h)
    found, tangent = bp.jvp(lambda a: np.linalg.pinv(a, rcond), (a,), (t,))
    np.testing.assert_allclose(found, np.linalg.pinv(a, rcond), atol=1e-14)
    np.testing.assert_allclose(tangent, expected, atol=1e-7 * np.abs(expected).max())
    check_grads(lambda a: np.linalg.pinv(a, rcond), a)


SINGULAR = np.outer([1.0, 2.0, 3.0, -1.0], [1.0, -1.0, 2.0, 0.5]) + np.diag([1.0, 0.0, 2.0, 0.0])


@pytest.mark.parametrize("shape", [(2, 2), (3, 3), (4, 4), (2, 3, 3)])
def test_third_derivatives_of_determinants(shape, rng):
    a = 0.3 * rng.normal(size=shape) + np.diag(np.arange(1.0, shape[-1] + 1))
    check_grads(np.linalg.det, (a,), order=4)


@pytest.mark.parametrize("a", [SINGULAR, SINGULAR[:3, :3], np.stack([SINGULAR, np.zeros((4, 4))])])
def test_third_derivatives_of_determinants_of_singular_matrices(a, rng):
    check_grads(np.linalg.det, (a,), order=3)
    check_grads(np.linalg.det, (a + 1j * np.triu(a, 1),), order=3)


def test_formulas_for_regular_and_singular_matrices_agree(rng, monkeypatch):
    t, h, a = rng.normal(size=(3, 2, 5, 5))
    regular = determinants._third(t, h, a)
    monkeypatch.setattr(determinants, "_is_regular", lambda a: False)
    np.testing.assert_allclose(determinants._third(t, h, a), regular, rtol=1e-11)


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_cholesky_of_what_is_not_finite(n):
    """NaN goes on as in NumPy, eager and compiled; a pivot that is not positive raises."""
    a = np.eye(n)
    a[-1, -1] = np.nan
    want = np.linalg.cholesky(a)
    compiled = bp.compile(np.linalg.cholesky)
    compiled(np.eye(n))
    for found in (np.linalg.cholesky(bp.variable(a)).value, compiled(a)):
        np.testing.assert_array_equal(found, want)
    assert np.isnan(bp.grad(lambda a: np.sum(np.linalg.cholesky(a)))(a)).any()
    a[-1, -1] = -1.0
    for f in (lambda a: np.linalg.cholesky(bp.variable(a)), compiled, np.linalg.cholesky):
        with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
            f(a)
