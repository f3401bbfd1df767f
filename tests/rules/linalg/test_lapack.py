"""Factors of single matrices: determinants and inverses from them, and that they are kept."""

import numpy as np
import pytest

import fastbp as bp
from fastbp.rules.linalg import lapack

from ...harness import EPS, normal

DTYPES = (np.float32, np.float64, np.complex64, np.complex128)


def regular(rng, n, dtype):
    return (normal(rng, (n, n), dtype) + 3.0 * np.eye(n)).astype(dtype)


def eps_of(x):
    return EPS[x.real.dtype]


@pytest.mark.parametrize("n", [1, 2, 3, 5, 20])
@pytest.mark.parametrize("dtype", DTYPES)
def test_determinants_are_numpys(dtype, n, rng):
    for _ in range(8):  # of both signs, with pivots and without
        a = normal(rng, (n, n), dtype)
        sign, log = lapack.sign_and_log(*lapack.lu(a))
        expected = np.linalg.slogdet(a)
        assert (sign.dtype, log.dtype) == (expected[0].dtype, expected[1].dtype)
        condition = np.linalg.cond(a)
        np.testing.assert_allclose(sign, expected[0], atol=8 * n * condition * eps_of(a))
        np.testing.assert_allclose(log, expected[1], atol=8 * n * condition * eps_of(a))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_singular_matrix_has_no_determinant_and_no_inverse(dtype):
    a = np.zeros((3, 3), dtype)
    a[0, 1] = a[1, 2] = 2.0
    with pytest.raises(np.linalg.LinAlgError, match="Singular matrix"):
        lapack.lu(a)
    factors, pivots = lapack.lu(a, loose=True)
    assert tuple(lapack.sign_and_log(factors, pivots)) == tuple(np.linalg.slogdet(a))
    assert bp.variable(a).value.dtype == np.linalg.det(bp.variable(a)).dtype
    assert np.linalg.det(bp.variable(a)).value == 0.0
    with pytest.raises(np.linalg.LinAlgError, match="Singular matrix"):
        lapack.inverse(factors, pivots)


def test_determinants_whose_pivots_leave_the_range(rng):
    a = np.diag([1e200, 1e-200, 1e200, -1e-200])[rng.permutation(4)]
    found = np.linalg.det(bp.variable(a)).value
    np.testing.assert_allclose(found, np.linalg.det(a), rtol=1e-12)
    assert abs(found) == pytest.approx(1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_so(value):
    a = np.diag([1.0, value, 2.0])
    with np.errstate(all="ignore"):
        expected = np.linalg.slogdet(a)
        found = np.linalg.slogdet(bp.variable(a))
    np.testing.assert_array_equal(found.sign, expected.sign)
    np.testing.assert_array_equal(found.logabsdet.value, expected.logabsdet)


@pytest.mark.parametrize("n", [1, 2, 5, 70])
@pytest.mark.parametrize("dtype", DTYPES)
def test_inverses(dtype, n, rng):
    a = regular(rng, n, dtype) + n * np.eye(n, dtype=dtype)
    found = lapack.inverse(*lapack.lu(a))
    assert found.dtype == dtype
    np.testing.assert_allclose(found @ a, np.eye(n), atol=16 * n * eps_of(a))


# ---- the way back

FUNCTIONS = {
    "det": np.linalg.det,
    "slogdet": lambda a: np.linalg.slogdet(a)[1],
    "sign": lambda a: np.real(np.linalg.slogdet(a)[0] * np.exp(1j * np.linalg.slogdet(a)[1])),
    "cholesky": lambda a: np.sum(np.linalg.cholesky(a @ np.conj(a.T)).real),
}


def no_more(*args, **kwargs):
    raise AssertionError("a matrix is factorised again")


@pytest.mark.parametrize("name", ["det", "slogdet", "cholesky"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_is_factorised_on_the_way_back(name, dtype, rng, monkeypatch):
    a = bp.variable(regular(rng, 4, dtype))
    y = FUNCTIONS[name](a)
    for owner, routine in ((np.linalg, "inv"), (np.linalg, "det"), (lapack, "lu")):
        monkeypatch.setattr(owner, routine, no_more)
    assert np.isfinite(bp.gradients(y, a, np.ones((), y.dtype))).all()


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_kept_factors_give_what_the_formula_gives(name, dtype, rng):
    """A sweep that records has no factors."""
    f = FUNCTIONS[name]
    a = regular(rng, 4, dtype)
    y, pull = bp.vjp(f, a)
    g = np.ones((), y.dtype)
    (found,) = pull(g)
    recorded, _ = bp.jvp(lambda a: bp.vjp(f, a)[1](g)[0], (a,), (np.zeros_like(a),))
    np.testing.assert_allclose(found, recorded, rtol=0, atol=1e-12 * np.abs(recorded).max())
    t = normal(rng, a.shape, dtype)
    _, tangent = bp.jvp(f, (a,), (t,))
    np.testing.assert_allclose(np.real(tangent), np.real(np.sum(found * t)), rtol=1e-12)
    if name in ("det", "slogdet"):
        stacked = bp.vjp(lambda a: f(a[None])[0], a)[1](g)[0]
        np.testing.assert_allclose(found, stacked, rtol=0, atol=1e-12 * np.abs(found).max())


def test_single_matrices_of_no_elements():
    a = np.zeros((0, 0))
    assert bp.value_and_grad(np.linalg.det)(a)[0] == 1.0
    assert bp.value_and_grad(FUNCTIONS["slogdet"])(a)[0] == 0.0
