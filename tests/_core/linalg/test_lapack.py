"""Routines of LAPACK on row-major matrices, ours for small ones among them, against NumPy."""

import threading

import numpy as np
import pytest

from fastbp._core import lapack
from fastbp._core.lapack import PIVOTS, run

SIZES = [1, 2, 3, 4, 8, 9, 64]
DTYPES = [np.float64, np.float32, np.complex128, np.complex64]
LEADS = [(), (2,), (2, 1)]
both = pytest.mark.parametrize("dtype", DTYPES)
sizes = pytest.mark.parametrize("n", SIZES)


def random(rng, shape, dtype):
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def regular(rng, n, dtype, lead=()):
    return random(rng, (*lead, n, n), dtype) + np.dtype(dtype).type(2 * np.sqrt(n)) * np.eye(
        n, dtype=dtype
    )


def real(dtype):
    return np.zeros(0, dtype).real.dtype


def tolerance(dtype, n):
    return 200 * n * np.finfo(dtype).eps


def mh(x):
    return np.swapaxes(x, -1, -2).conj()


def layouts(x):
    """The same matrices in C order, in Fortran's, backward, with gaps, and out of place."""
    yield x
    yield np.swapaxes(np.swapaxes(x, -1, -2).copy(), -1, -2)
    yield x[..., ::-1, :].copy()[..., ::-1, :]
    wide = np.zeros((*x.shape[:-2], 2 * x.shape[-2], 3 * x.shape[-1]), x.dtype)
    wide[..., ::2, ::3] = x
    yield wide[..., ::2, ::3]
    memory = np.zeros(x.nbytes + 1, np.uint8)
    there = memory[1:].view(x.dtype).reshape(x.shape)
    there[...] = x
    yield there


def factorised(a, loose=False):
    factors = np.swapaxes(np.empty(a.shape, a.dtype), -1, -2)
    pivots = np.empty(a.shape[:-1], PIVOTS)
    return factors, pivots, run("lu", a, factors, pivots, flags=("loose",) if loose else ())


@both
@sizes
def test_equations(dtype, n, rng):
    bound = tolerance(dtype, n)
    for lead in LEADS:
        a = regular(rng, n, dtype, lead)
        factors, pivots, fine = factorised(a)
        assert fine
        for k in (1, 3, 20):
            b = random(rng, (n, k), dtype)
            x = np.empty((*lead, n, k), dtype)
            for right in layouts(b):
                assert run("lu_solve", factors, pivots, right, x)
                np.testing.assert_allclose(a @ x, np.broadcast_to(b, x.shape), atol=bound)
            assert run("lu_solve", factors, pivots, b, x, flags=("transposed",))
            np.testing.assert_allclose(
                np.swapaxes(a, -1, -2) @ x, np.broadcast_to(b, x.shape), atol=bound
            )


@both
@sizes
def test_factors_of_any_layout_have_numpys_inverse_and_determinant(dtype, n, rng):
    bound = tolerance(dtype, n)
    a = regular(rng, n, dtype, (2,))
    for x in layouts(a):
        factors, pivots, fine = factorised(x)
        assert fine
        inverse, det = np.empty_like(a), np.empty(2, dtype)
        assert run("inverse", factors, pivots, inverse)
        np.testing.assert_allclose(inverse @ a, np.broadcast_to(np.eye(n), a.shape), atol=bound)
        sign, log = np.empty(2, dtype), np.empty(2, real(dtype))
        assert run("sign_and_log", factors, pivots, sign, log)
        expected = np.linalg.slogdet(a)
        np.testing.assert_allclose(sign, expected[0], atol=bound)
        np.testing.assert_allclose(log, expected[1], atol=bound)
        if n < 64:
            assert run("determinant", factors, pivots, det)
            np.testing.assert_allclose(det, np.linalg.det(a), rtol=bound)


@both
@sizes
def test_what_is_singular_is_said(dtype, n, rng):
    a = regular(rng, n, dtype)
    a[:, n // 2] = 0
    factors, pivots, fine = factorised(a)
    assert not fine
    factors, pivots, fine = factorised(a, loose=True)
    assert fine
    det, sign, log = np.ones((), dtype), np.ones((), dtype), np.ones((), real(dtype))
    assert run("determinant", factors, pivots, det)
    assert run("sign_and_log", factors, pivots, sign, log)
    assert (det, sign, log) == (0, 0, -np.inf)
    assert not run("inverse", factors, pivots, np.empty_like(a))
    b = np.ones((n, 1), dtype)
    triangle = np.triu(a)
    triangle[n // 2, n // 2] = 0
    assert not run("triangle_solve", triangle, b, np.empty_like(b))
    assert run("triangle_solve", triangle, b, np.empty_like(b), flags=("unit",))
    assert not run("independent", triangle, np.empty_like(a))
    assert not run("cholesky", -np.eye(n, dtype=dtype), np.empty_like(a))
    stack = np.stack([np.eye(n, dtype=dtype), a])
    assert not factorised(stack)[2]


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_determinants_beyond_the_range_of_their_parts(dtype):
    for diagonal in ([1e200, 1e-200, 1e200, -1e-200], [1e-200, 1e-120, 1e150, 1e170]):
        factors, pivots, _ = factorised(np.diag(diagonal).astype(dtype))
        det = np.empty((), dtype)
        assert run("determinant", factors, pivots, det)
        signs = np.sign(diagonal).prod()
        expected = signs * 10.0 ** np.rint(np.log10(np.abs(diagonal))).sum()
        np.testing.assert_allclose(det, expected, rtol=1e-10)


@both
@pytest.mark.parametrize("n", [1, 2, 3])
def test_cofactors(dtype, n, rng):
    a = regular(rng, n, dtype, (2,))
    expected = np.linalg.det(a)[:, None, None] * np.swapaxes(np.linalg.inv(a), -1, -2)
    for x in layouts(a):
        found = np.empty_like(a)
        assert run("cofactors", x, found)
        np.testing.assert_allclose(found, expected, atol=tolerance(dtype, 30))
    assert not run("cofactors", np.eye(4, dtype=dtype), np.empty((4, 4), dtype))


@both
@sizes
def test_cholesky_reads_the_lower_triangle(dtype, n, rng):
    x = random(rng, (2, n, n), dtype)
    a = x @ mh(x) + np.eye(n, dtype=dtype)
    expected = np.linalg.cholesky(a)
    for given in layouts(np.tril(a)):
        found = np.empty_like(a)
        assert run("cholesky", given, found)
        np.testing.assert_allclose(found, expected, atol=tolerance(dtype, n) * n)


@both
@sizes
def test_triangles(dtype, n, rng):
    a = random(rng, (n, n), dtype) / np.sqrt(n).astype(dtype) + 2 * np.eye(n, dtype=dtype)
    for lower, transposed, unit in np.ndindex(2, 2, 2):
        t = np.tril(a) if lower else np.triu(a)
        if unit:
            t = (t - np.diag(np.diagonal(t))) / 4 + np.eye(n, dtype=dtype)
            given = t + 3 * np.diag(np.arange(n)).astype(dtype)
        else:
            given = t
        flags = [("lower", lower), ("transposed", transposed), ("unit", unit)]
        for k in (1, 5):
            b, x = random(rng, (n, k), dtype), np.empty((n, k), dtype)
            for matrix in layouts(given):
                assert run("triangle_solve", matrix, b, x, flags=[f for f, on in flags if on])
                back = (t.T if transposed else t) @ x
                np.testing.assert_allclose(back, b, atol=tolerance(dtype, n) * 4)


@both
@sizes
def test_eigenvalues(dtype, n, rng):
    a = random(rng, (2, n, n), dtype)
    a = a + mh(a)
    for lower in (False, True):
        half = np.tril(a) if lower else np.triu(a)
        for given in layouts(half):
            w, v = np.empty((2, n), real(dtype)), np.empty_like(a)
            assert run("eigh", given, w, v, flags=("lower",) if lower else ())
            expected = np.linalg.eigh(a, "L" if lower else "U")
            size = np.abs(w).max()
            np.testing.assert_allclose(w, expected[0], atol=tolerance(dtype, n) * size)
            np.testing.assert_allclose(a @ v, v * w[:, None, :], atol=tolerance(dtype, n) * size)
            if dtype == np.float64:
                np.testing.assert_allclose(v, expected[1], atol=1e-6)


@both
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 5), (9, 8), (8, 11), (64, 40)])
def test_singular_values(dtype, shape, rng):
    a = random(rng, (2, *shape), dtype)
    for full in (False, True):
        expected = np.linalg.svd(a, full)
        for given in layouts(a):
            u, s, vh = (np.empty(x.shape, x.dtype) for x in expected)
            assert run("svd", given, u, s, vh, flags=("full",) if full else ())
            k = min(shape)
            bound = tolerance(dtype, max(shape)) * s.max()
            np.testing.assert_allclose(s, expected[1], atol=bound)
            np.testing.assert_allclose((u[..., :k] * s[:, None]) @ vh[:, :k], a, atol=bound)
            np.testing.assert_allclose(mh(u) @ u, np.eye(u.shape[-1]) + 0 * (mh(u) @ u), atol=bound)
            if dtype == np.float64:
                np.testing.assert_allclose(u[..., :k], expected[0][..., :k], atol=1e-6)


@both
@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 3), (5, 2), (8, 8), (17, 8), (16, 8), (9, 9), (70, 64)]
)
def test_bases(dtype, shape, rng):
    a = random(rng, (2, *shape), dtype)
    bound = tolerance(dtype, max(shape))
    for full in (False, True):
        expected = np.linalg.qr(a, "complete" if full else "reduced")
        for given in layouts(a):
            q, r = (np.empty(x.shape, x.dtype) for x in expected)
            assert run("qr", given, q, r, flags=("full",) if full else ())
            np.testing.assert_allclose(r, expected[1], atol=bound * 4)
            np.testing.assert_allclose(q, expected[0], atol=bound * 40)
            assert (np.tril(r, -1) == 0).all()


def test_bases_have_householders_signs():
    large = 1e300 * np.array([[1.0, 2.0], [3.0, 1.0], [2.0, -1.0]])
    ones = np.triu(np.ones((3, 3)))
    for a in (np.zeros((3, 2)), np.eye(3), -np.eye(3), ones, large, 1e-300 * (1e-300 * large)):
        expected = np.linalg.qr(a)
        q, r = np.empty(expected[0].shape), np.empty(expected[1].shape)
        assert run("qr", a, q, r)
        np.testing.assert_allclose(q, expected[0], atol=1e-14)
        np.testing.assert_allclose(r, expected[1], atol=1e-14 * np.abs(a).max(initial=1.0))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [1, 2, 9])
def test_gaps(dtype, n, rng):
    w = (np.arange(n) + rng.random((2, n))).astype(dtype)
    for given in (w, np.stack([w, w], -1)[..., 0]):
        found = np.empty((2, n, n), dtype)
        assert run("gaps", given, found)
        gaps = w[:, None, :] - w[:, :, None]
        np.testing.assert_allclose(found, np.where(gaps == 0, 0, 1 / np.where(gaps == 0, 1, gaps)))
    w[1] = 2.0
    assert run("gaps", w, found) == (n == 1)


def test_what_does_not_fit_is_refused(rng):
    a = np.eye(3)
    factors, pivots, _ = factorised(a)
    b = np.ones((3, 1))
    for arrays in (
        (factors, pivots, b),  # too few
        (factors, pivots, b, np.empty((4, 1))),
        (factors, pivots, b, np.empty((3, 1), np.float32)),
        (factors, pivots, b, np.empty((3, 2))[:, :1]),
        (factors, pivots.astype(float), b, b.copy()),
        (np.ascontiguousarray(a[:, ::-1]), pivots[:2], b, b.copy()),
        (factors, pivots, np.ones((2, 2, 1)), b.copy()),
        (factors, pivots, b[:, 0], b.copy()),
    ):
        with pytest.raises(ValueError, match="lapack"):
            run("lu_solve", *arrays)
    locked = np.empty((3, 1))
    locked.flags.writeable = False
    for routine, arrays in (
        ("lu_solve", (factors, pivots, b, locked)),
        ("lu", (a, np.empty((3, 3)), pivots)),  # of no Fortran order
        ("qr", (np.ones((2, 3)), np.empty((2, 2)), np.empty((2, 3)))),
        ("cholesky", (np.eye(3, dtype=int), np.empty((3, 3)))),
    ):
        with pytest.raises(ValueError, match="lapack"):
            run(routine, *arrays)
    with pytest.raises(KeyError, match="upper"):
        run("cholesky", a, np.empty((3, 3)), flags=("upper",))
    with pytest.raises(ValueError, match="negative"):
        lapack.room("lu", (), float, (0, -1, 0))


def test_nothing_is_computed_of_no_matrices():
    a = np.empty((0, 3, 3))
    assert factorised(a)[2]
    assert run("cholesky", a, a.copy())
    assert run("cholesky", np.empty((0, 0)), np.empty((0, 0)))
    det = np.zeros(())
    assert run("determinant", np.empty((0, 0)), np.empty(0, PIVOTS), det)
    assert det == 1.0


def test_threads_do_not_disturb_each_other(rng):
    a = rng.standard_normal((80, 80))
    expected = np.linalg.svd(a)[1]
    found = [np.empty(80) for _ in range(4)]

    def work(k):
        for _ in range(3):
            run("svd", a, np.empty((80, 80)), found[k], np.empty((80, 80)))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for s in found:
        np.testing.assert_allclose(s, expected, rtol=1e-10)
