"""`fastbp.scipy.linalg`: stacks, structures, Riccati equations, pencils; what is refused."""

import numpy as np
import pytest
import scipy.linalg

import fastbp as bp
from fastbp.errors import DegenerateError, DTypeError, NoRuleError, ShapeError
from fastbp.scipy import linalg
from fastbp.testing import check_grads

from ... import versions
from ...harness import at_once

STABLE = np.array([[-2.0, 0.4, 0.1], [0.3, -1.5, 0.2], [0.0, 0.5, -3.0]])
POSITIVE = np.array([[3.0, 0.5, 0.2], [0.5, 2.0, -0.3], [0.2, -0.3, 1.5]])


def rows(rng, *shape):
    return rng.normal(size=shape) + 3.0 * np.eye(shape[-1])


# Each with the axes of one call's arguments.
STACKED = {
    "solve": (linalg.solve, (2, 2)),
    "solve_triangular": (linalg.solve_triangular, (2, 2)),
    "lu": (lambda a: linalg.lu(a)[1:], (2,)),
    "lu_factor": (lambda a: linalg.lu_factor(a)[0], (2,)),
    "lu_solve": (lambda a, b: linalg.lu_solve(linalg.lu_factor(a), b), (2, 2)),
    "cho_factor": (
        lambda a, b: linalg.cho_solve(linalg.cho_factor(a @ np.swapaxes(a, -1, -2)), b),
        (2, 2),
    ),
    "cho_solve": (lambda a, b: linalg.cho_solve((a, True), b), (2, 2)),
    "expm": (linalg.expm, (2,)),
    "logm": (linalg.logm, (2,)),
    "sqrtm": (linalg.sqrtm, (2,)),
    "polar": (linalg.polar, (2,)),
    "schur": (lambda a: linalg.schur(a + np.diag([0.0, 9.0, 30.0])), (2,)),
    "svdvals": (linalg.svdvals, (2,)),
    "eigh": (lambda a: linalg.eigh(a, driver="evd"), (2,)),
    "eig": (lambda a: linalg.eig(a + np.diag([0.0, 9.0, 30.0]), left=True), (2,)),
    "eig of a pencil": (lambda a, b: linalg.eig(a + np.diag([0.0, 9.0, 30.0]), b), (2, 2)),
    "hessenberg": (lambda a: linalg.hessenberg(a, calc_q=True), (2,)),
    "ldl": (lambda a: linalg.ldl(a + 30.0 * np.eye(3))[:2], (2,)),
    "null_space": (lambda a: linalg.null_space(a[..., :2, :]), (2,)),
    "subspace_angles": (lambda a, b: linalg.subspace_angles(a[..., :2], b[..., :1]), (2, 2)),
    "fiedler_companion": (linalg.fiedler_companion, (1,)),
    "qr": (lambda a: linalg.qr(a, mode="economic"), (2,)),
    "pinv": (linalg.pinv, (2,)),
    "solve_sylvester": (linalg.solve_sylvester, (2, 2, 2)),
    "solve_continuous_lyapunov": (linalg.solve_continuous_lyapunov, (2, 2)),
    "toeplitz": (linalg.toeplitz, (1, 1)),
    "companion": (linalg.companion, (1,)),
    "khatri_rao": (linalg.khatri_rao, (2, 2)),
    "block_diag": (linalg.block_diag, (2, 2)),
    "solve_banded": (lambda ab, b: linalg.solve_banded((1, 1), ab, b), (2, 2)),
}


FLATTENED = {"toeplitz": versions.needs("scipy 1.17", "a stack, not one flattened column,")}


@pytest.mark.parametrize("name", [pytest.param(k, marks=FLATTENED.get(k, ())) for k in STACKED])
def test_a_stack_is_one_call_for_each(name, rng):
    f, axes = STACKED[name]
    shapes = [(3,) * k for k in axes]
    xs = [rows(rng, 2, *s) if len(s) == 2 else rng.uniform(1.0, 2.0, (2, *s)) for s in shapes]
    value, pull = bp.vjp(f, *xs)
    g = bp.tree.map(lambda y: np.cos(np.arange(float(np.size(y)))).reshape(np.shape(y)), value)
    found = pull(g)
    tangents = [np.sin(np.arange(float(x.size))).reshape(x.shape) for x in xs]
    pushed = bp.jvp(f, tuple(xs), tuple(tangents))[1]
    for k in range(2):
        one, pull_one = bp.vjp(f, *[x[k] for x in xs])
        part = bp.tree.map(lambda y, k=k: y[k], g)
        for a, b in zip(bp.tree.flatten(value)[0], bp.tree.flatten(one)[0], strict=True):
            np.testing.assert_allclose(a[k], b, rtol=1e-11, atol=1e-12)
        for a, b in zip(found, pull_one(part), strict=True):
            np.testing.assert_allclose(a[k], b, rtol=1e-9, atol=1e-10)
        alone = bp.jvp(f, tuple(x[k] for x in xs), tuple(t[k] for t in tangents))[1]
        for a, b in zip(bp.tree.flatten(pushed)[0], bp.tree.flatten(alone)[0], strict=True):
            np.testing.assert_allclose(a[k], b, rtol=1e-9, atol=1e-10)


def test_factors_of_a_stack_say_for_each_which_triangle_it_is(rng):
    a = rows(rng, 2, 3, 3)
    a = a @ np.swapaxes(a, -1, -2)
    b = bp.variable(rng.normal(size=(2, 3, 2)))
    for lower in (True, False):
        c, flags = linalg.cho_factor(bp.variable(a), lower=lower)
        assert flags.tolist() == [lower, lower]
        np.testing.assert_allclose(
            linalg.cho_solve((c, flags), b).value, np.linalg.solve(a, b.value)
        )
    with pytest.raises(NoRuleError, match="differs from matrix to matrix"):
        linalg.cho_solve((c, np.array([True, False])), b)


@pytest.mark.parametrize("f", [linalg.solve_continuous_are, linalg.solve_discrete_are])
def test_riccati_equations_by_weights(f, rng):
    b = rng.normal(size=(3, 2))

    def solved(x, y):
        return f(0.3 * STABLE, b, x @ x.T + np.eye(3), y @ y.T + np.eye(2))

    check_grads(solved, (rng.normal(size=(3, 3)), rng.normal(size=(2, 2))), order=2)


@pytest.mark.parametrize("type", [1, 2, 3])
@pytest.mark.parametrize("lower", [True, False])
def test_generalised_eigenvalues(type, lower):
    a = np.diag([1.0, 4.0, 12.0]) + 0.2 * POSITIVE

    def f(x, y):
        w, v = linalg.eigh(a + x + x.T, POSITIVE + y + y.T, lower=lower, type=type)
        return w, v * v

    x, y = 0.1 * STABLE, 0.05 * STABLE.T
    check_grads(f, (x, y), order=2)
    w, v = linalg.eigh(bp.variable(a), POSITIVE, lower=lower, type=type)
    expected = scipy.linalg.eigh(a, POSITIVE, lower=lower, type=type)
    np.testing.assert_allclose(w.value, expected[0], rtol=1e-12)
    np.testing.assert_allclose(v.value, expected[1], rtol=1e-11, atol=1e-12)


def test_complex_schur_of_a_real_matrix():
    a = np.array([[1.0, 2.0, 0.3], [-2.5, 1.5, 0.4], [0.2, 0.1, 4.0]])

    def f(x):  # without the phases of the vectors
        t, z = linalg.schur(x, output="complex")
        return np.diagonal(t), np.abs(t[np.triu_indices(3)]), np.abs(z)

    check_grads(f, a, order=2)
    with pytest.raises(NoRuleError, match="output='complex'"):
        linalg.schur(bp.variable(a))


def test_polar_of_complex_matrices(rng):
    a = rng.normal(size=(3, 2)) + 1j * rng.normal(size=(3, 2))

    def f(x, y):
        u, p = linalg.polar(x + 1j * y)
        return u.real, u.imag, p.real, p.imag

    check_grads(f, (a.real, a.imag), order=2)


@pytest.mark.parametrize("scale", [1e-200, 1e-9, 1e9, 1e200])
def test_the_size_of_a_direction_does_not_matter(scale, rng):
    a, e = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    for f in (linalg.expm, linalg.logm, linalg.sqrtm):
        x = a if f is linalg.expm else POSITIVE
        one = bp.jvp(f, (x,), (e,))[1]
        np.testing.assert_allclose(bp.jvp(f, (x,), (scale * e,))[1] / scale, one, rtol=1e-10)


def test_expm_agrees_with_its_eigenvalues(rng):
    # Of a symmetric matrix the derivative is known by divided differences.
    w, v = np.linalg.eigh(POSITIVE)
    e = rng.normal(size=(3, 3))
    gaps = w[:, None] - w + np.eye(3)
    divided = np.where(np.eye(3) == 1, np.exp(w), (np.exp(w)[:, None] - np.exp(w)) / gaps)
    expected = v @ (divided * (v.T @ e @ v)) @ v.T
    np.testing.assert_allclose(bp.jvp(linalg.expm, (POSITIVE,), (e,))[1], expected, rtol=1e-12)
    pulled = bp.vjp(linalg.expm, POSITIVE)[1](e)[0]
    np.testing.assert_allclose(pulled, expected, rtol=1e-12)


def test_positive_definite_systems_are_symmetric(rng):
    b = rng.normal(size=3)
    for structure in ("pos", "sym"):
        g = bp.grad(lambda a, s=structure: linalg.solve(a, b, assume_a=s).sum())(POSITIVE)
        whole = bp.grad(lambda a: linalg.solve(a, b).sum())(POSITIVE)
        np.testing.assert_allclose(g, g.T, rtol=1e-13)
        np.testing.assert_allclose(g, 0.5 * (whole + whole.T), rtol=1e-12)
    with pytest.raises(np.linalg.LinAlgError):
        linalg.solve(bp.variable(-POSITIVE), b, assume_a="pos")


def test_transposed_systems(rng):
    a, b = rows(rng, 3, 3), rng.normal(size=3)
    later = ("upper triangular", "tridiagonal") if versions.has("scipy 1.15") else ()
    for structure in ("gen", "sym", "pos", *later):
        x = POSITIVE if structure in ("sym", "pos") else a
        check_grads(lambda b, x=x, s=structure: linalg.solve(x, b, assume_a=s, transposed=True), b)
    with pytest.raises(DTypeError, match=r"scipy\.linalg\.solve: transposed"):
        linalg.solve(bp.variable(a + 1j), b, transposed=True)


def test_arguments_that_say_how(rng):
    a, b = rows(rng, 3, 3), rng.normal(size=3)
    kept = a.copy()
    x = bp.variable(a)
    y = linalg.solve(x, b, overwrite_a=True, overwrite_b=True, check_finite=False)
    np.testing.assert_allclose(y.value, np.linalg.solve(a, b), rtol=1e-12)
    np.testing.assert_array_equal(x.value, kept)
    a[0, 0] = np.nan
    with pytest.raises(ValueError, match="infs or NaNs"):
        linalg.solve(bp.variable(a), b)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: linalg.funm(x, np.sin), r"scipy\.linalg\.funm takes no Variable"),
        (lambda x: linalg.cossin(x, 1, 1), "svdvals"),
        (linalg.expm_cond, "expm_cond takes no Variable"),
        (lambda x: linalg.eig(x, homogeneous_eigvals=True), r"scipy\.linalg\.eig: homogeneous"),
        (lambda x: linalg.schur(x, sort="lhp"), "sort="),
        (lambda x: linalg.qr(x, mode="raw"), "mode='raw'"),
        (lambda x: linalg.lstsq(x, x, lapack_driver="gelsy"), "lapack_driver='gelsy'"),
    ],
)
def test_what_is_refused_is_named(call, message):
    with pytest.raises(NoRuleError, match=message):
        call(bp.variable(POSITIVE))


def test_shapes_are_refused_by_name():
    with pytest.raises(np.linalg.LinAlgError, match=r"scipy\.linalg\.expm: A must be square"):
        linalg.expm(bp.variable(np.ones((2, 3))))
    with pytest.raises(bp.errors.ShapeError, match=r"scipy\.linalg\.solve_banded: ab of shape"):
        linalg.solve_banded((1, 1), bp.variable(np.ones((2, 3))), np.ones(3))
    with pytest.raises(bp.errors.ShapeError, match=r"scipy\.linalg\.solve: b of shape \(2,\)"):
        linalg.solve(bp.variable(POSITIVE), np.ones(2))


def test_equal_eigenvalues():
    with pytest.raises(DegenerateError):
        bp.grad(lambda a: linalg.eigh(a)[1].sum())(np.eye(3))
    np.testing.assert_allclose(bp.grad(lambda a: linalg.eigvalsh(a).sum())(np.eye(3)), np.eye(3))


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize(("n", "count"), [(1, 0), (4, 6), (70, 3), (65, 0), (80, 40)])
def test_banded_factors_of_several_blocks(n, count, lower, rng):
    ab = 0.05 * rng.normal(size=(count + 1, n)) + 0.05j * rng.normal(size=(count + 1, n))
    ab[0 if lower else count] += 4.0
    found = linalg.cholesky_banded(bp.variable(ab), lower=lower)
    expected = scipy.linalg.cholesky_banded(ab, lower=lower)
    np.testing.assert_allclose(found.value, expected, atol=1e-14)

    def of_band(ab):
        return linalg.cholesky_banded(ab, lower=lower)

    def of_matrix(ab):  # the factor's own equation
        parts = [np.diagflat(ab[k, : n - k], -k) for k in range(min(count + 1, n))]
        half = sum(parts)
        return linalg.cholesky(half + half.T - np.diag(ab[0]), lower=True)

    ab, t = ab.real, rng.normal(size=ab.shape)
    pushed = bp.jvp(of_band, (ab,), (t,))[1]
    if lower:
        expected = bp.jvp(of_matrix, (ab,), (t,))[1]
        for k in range(min(count + 1, n)):
            np.testing.assert_allclose(pushed[k, : n - k], np.diagonal(expected, -k), atol=1e-13)
    g = rng.normal(size=ab.shape)
    pulled = bp.vjp(of_band, ab)[1](g)[0]
    np.testing.assert_allclose(np.sum(pulled * t), np.sum(g * pushed), rtol=1e-11)


def test_banded_factors_of_an_indefinite_matrix():
    with pytest.raises(np.linalg.LinAlgError):
        linalg.cholesky_banded(bp.variable(np.array([[1.0, 1.0], [2.0, 0.0]])), lower=True)


def test_polar_factors_of_singular_matrices():
    for a in (np.zeros((2, 2)), np.ones((2, 2)), np.ones((3, 2))):
        with pytest.raises(DegenerateError, match=r"scipy\.linalg\.polar: the matrix has not full"):
            bp.grad(lambda a: linalg.polar(a)[0].sum())(a)
        assert not np.isfinite(bp.jvp(linalg.polar, (np.zeros_like(a),), (a,))[1][0]).all()


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_forms_that_are_kept_solve_for_all_derivatives(dtype, rng):
    """Right-hand sides in blocks, with the Schur forms of the value; and equations recorded."""
    turning = np.array([[-1.0, 2.0, 0.1], [-2.0, -1.0, 0.3], [0.2, 0.1, -3.0]])
    other = np.array([[-1.0, 0.5], [-1.5, -2.0]])
    q, w = rng.normal(size=(3, 2)), rng.normal(size=(3, 3))
    if dtype is np.complex128:
        turning, q = turning + 0.3j * w, q + 1j * q[::-1]

    def of_two(a, b, q):
        x = linalg.solve_sylvester(a, b, q)
        return np.real(x), np.imag(x)

    def of_one(a):
        x = linalg.solve_continuous_lyapunov(a, np.eye(3) + 0.0 * a)
        return np.real(x), np.imag(x)

    if dtype is np.float64:
        check_grads(of_two, (turning, other, q), order=2)
        check_grads(of_one, (turning,), order=2)
    for f, args in ((of_two, (turning, other.astype(dtype), q)), (of_one, (turning,))):
        tangents = [rng.normal(size=x.shape).astype(dtype) for x in args]
        value, pull = bp.vjp(f, *args)
        g = [rng.normal(size=y.shape) for y in value]
        pushed = bp.jvp(f, args, tuple(tangents))[1]
        step = 1e-6
        after, before = (
            f(*[x + h * t for x, t in zip(args, tangents, strict=True)]) for h in (step, -step)
        )
        for t, x, y in zip(pushed, after, before, strict=True):
            np.testing.assert_allclose(t, (x - y) / (2 * step), rtol=1e-6, atol=1e-7)
        pairs = zip(pull(tuple(g)), tangents, strict=True)
        np.testing.assert_allclose(
            sum(np.sum(np.real(a * t)) for a, t in pairs),
            sum(np.sum(a * t) for a, t in zip(g, pushed, strict=True)),
            rtol=1e-11,
        )
    whole = bp.jacobian(lambda q: linalg.solve_sylvester(turning.real, other, q))(q.real)
    kron = np.kron(turning.real, np.eye(2)) + np.kron(np.eye(3), other.T)
    np.testing.assert_allclose(whole.reshape(6, 6), np.linalg.inv(kron), atol=1e-13)


def test_a_lyapunov_equation_without_a_solution_warns():
    with pytest.warns(RuntimeWarning, match="eigenvalues whose sum is 0"):
        linalg.solve_continuous_lyapunov(bp.variable(np.diag([1.0, -1.0])), np.eye(2))


def test_what_lapack_would_not_end_with_is_nan():
    a = np.array([[1.0, np.inf], [0.5, 2.0]])
    for part in bp.vjp(linalg.polar, a)[0]:
        assert np.isnan(part).all()


@pytest.mark.parametrize(
    "f",
    [linalg.sqrtm, linalg.logm, linalg.signm, lambda a: linalg.fractional_matrix_power(a, 0.5)],
)
@pytest.mark.filterwarnings("ignore")  # SciPy's, of singular matrices
def test_functions_of_singular_matrices_have_no_derivative(f):
    for a in (np.zeros((1, 1)), np.diag([1.0, 0.0]), np.array([[1.0, 2.0], [2.0, 4.0]])):
        assert np.isnan(bp.jvp(f, (a,), (np.ones(a.shape),))[1]).all()
        assert np.isnan(bp.grad(lambda a: np.sum(f(a).real))(a)).all()


@pytest.mark.parametrize(
    "options",
    [
        {"select": "i", "select_range": (1, 3)},
        {"select": "v", "select_range": (-1.0, 1.0)},
        {"lapack_driver": "stebz"},
    ],
)
def test_parts_of_tridiagonal_spectra_have_scipys_signs(options, rng):
    for _ in range(4):
        d, e = rng.normal(size=5), rng.normal(size=4)
        found = linalg.eigh_tridiagonal(bp.variable(d), e, **options)
        expected = scipy.linalg.eigh_tridiagonal(d, e, **options)
        for x, y in zip(found, expected, strict=True):
            np.testing.assert_allclose(x.value, y, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_band_may_be_wider_than_its_matrix(n, rng):
    ab, b = rng.normal(size=(5, n)), rng.normal(size=(n, 2))
    ab[2] += 5.0

    def solve(ab, b):
        return linalg.solve_banded((2, 2), ab, b)

    if n > 1:
        check_grads(solve, (ab, b), order=2)
    else:  # where SciPy 1.13 takes another row, and differences with it
        solutions = [bp.vjp(f, ab, b) for f in (solve, lambda ab, b: b / ab[2])]
        hessians = [
            bp.hessian(lambda ab, f=f: np.sum(f(ab, b)))(ab)
            for f in (solve, lambda ab, b: b / ab[2])
        ]
        np.testing.assert_allclose(solutions[0][0], solutions[1][0], rtol=1e-14)
        for found, expected in zip(*[pull(b) for _, pull in solutions], strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-13)
        np.testing.assert_allclose(*hessians, rtol=1e-13)


# ---- what is as in the SciPy that is installed


@pytest.mark.filterwarnings("ignore:Beginning in SciPy:FutureWarning")
@pytest.mark.parametrize("name", ["toeplitz", "hankel", "circulant"])
def test_assembled_of_several_axes(rng, name):
    ours, theirs = getattr(linalg, name), getattr(scipy.linalg, name)
    for shape in ((3,), (2, 3), (1, 3), (3, 1), (2, 2, 2)):
        c = rng.normal(size=shape)
        np.testing.assert_array_equal(ours(bp.variable(c)).value, theirs(c))
        check_grads(ours, (c,))
    if name != "circulant":
        for shape, other in (((2, 3), (2, 4)), ((3,), (2, 4)), ((2, 3), (4,))):
            c, r = rng.normal(size=shape), rng.normal(size=other)
            np.testing.assert_array_equal(ours(bp.variable(c), r).value, theirs(c, r))
            np.testing.assert_array_equal(ours(c, bp.variable(r)).value, theirs(c, r))


@pytest.mark.parametrize("dtype", ["f4", "c8", "f8", "c16"])
def test_dtypes_are_scipys(dtype):
    a = np.array([[3.0, 1.0], [1.0, 2.0]], dtype)
    for name, args, kwargs in (
        ("det", (a,), {}),
        ("expm_frechet", (a, a), {}),
        ("expm_frechet", (a, a), {"compute_expm": False}),
        ("expm_frechet", (a, a), {"method": "blockEnlarge"}),
        ("solve_toeplitz", (a[0], a[1]), {}),
        ("solve_toeplitz", ((a[0], a[0]), a), {}),
        ("matmul_toeplitz", (a[0], a[1]), {}),
        ("solve_circulant", (a[0], a[1]), {}),
    ):
        expected = getattr(scipy.linalg, name)(*args, **kwargs)

        def recorded(x):
            return tuple(map(recorded, x)) if isinstance(x, tuple) else bp.variable(x)

        found = getattr(linalg, name)(*map(recorded, args), **kwargs)
        for x, y in zip(
            *[z if isinstance(z, tuple) else (z,) for z in (found, expected)], strict=False
        ):
            assert x.dtype == y.dtype, name
            np.testing.assert_allclose(x.value, y, rtol=1e-5)
    loss = lambda a: np.real(linalg.det(a))
    assert bp.grad(loss)(a).dtype == dtype
    assert bp.compile(bp.grad(loss))(a).dtype == dtype


def each(function, *stacks):
    """Return what a function of SciPy's gives for each matrix of stacks, with one axis."""
    found = [function(*matrices) for matrices in zip(*stacks, strict=True)]
    return [np.stack(parts) for parts in zip(*found, strict=True)]


@pytest.mark.parametrize("mode", ["full", "economic", "r"])
@pytest.mark.parametrize("shape", [(4, 3, 2), (4, 2, 3), (2, 3, 3)])
def test_pivoted_stacks(rng, mode, shape):
    a = rng.normal(size=shape)
    found = linalg.qr(bp.variable(a), mode=mode, pivoting=True)
    expected = each(lambda x: scipy.linalg.qr(x, mode=mode, pivoting=True), a)
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(getattr(x, "value", x), y, atol=1e-13)
    if mode == "economic":
        f = lambda a: np.sum(linalg.qr(bp.variable(a), mode=mode, pivoting=True)[-2] ** 3)
        check_grads(f, (a,))
    compiled = bp.compile(
        bp.grad(lambda a: np.sum(linalg.qr(a, mode=mode, pivoting=True)[-2] ** 3))
    )
    want = bp.grad(lambda a: np.sum(linalg.qr(a, mode=mode, pivoting=True)[-2] ** 3))(a)
    np.testing.assert_allclose(compiled(a), want, rtol=1e-10, atol=1e-12)


def test_ranges_of_stacks(rng):
    a = rng.normal(size=(4, 3, 2))
    expected = np.stack([scipy.linalg.orth(x) for x in a])
    np.testing.assert_allclose(linalg.orth(bp.variable(a)).value, expected, atol=1e-13)
    check_grads(lambda a: linalg.orth(bp.variable(a)), (a,))
    a[0] = 1.0
    with pytest.raises(ValueError, match=r"scipy.linalg.orth: .*\(4, 3, 2\).*ranks, 1 to 2"):
        linalg.orth(bp.variable(a))


@pytest.mark.parametrize("columns", [(3,), (3, 2), (4, 3, 2)])
def test_least_squares_of_stacks(rng, columns):
    a, b = rng.normal(size=(4, 3, 2)), rng.normal(size=columns)
    found = linalg.lstsq(bp.variable(a), b)
    right = b if b.ndim == 3 else np.broadcast_to(b, (4, *b.shape))
    expected = each(scipy.linalg.lstsq, a, right)
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(getattr(x, "value", x), y, rtol=1e-10)
    check_grads(lambda a, b: linalg.lstsq(bp.variable(a), b)[0], (a, b))
    check_grads(lambda a, b: linalg.lstsq(bp.variable(a), b)[1], (a, b))
    # As SciPy 1.18: residues of those of full rank only.
    a[1] = 1.0
    residues = linalg.lstsq(bp.variable(a), b)[1].value
    np.testing.assert_array_equal(np.isnan(residues[1]), True)
    np.testing.assert_allclose(residues[2], expected[1][2], rtol=1e-10)
    with pytest.raises(
        ValueError, match=r"b of shape \(4, 2\) does not fit a of shape \(4, 3, 2\)"
    ):
        linalg.lstsq(bp.variable(a), np.ones((4, 2)))


@versions.needs("scipy 1.16", "stacks")
@pytest.mark.parametrize(
    ("name", "arrays", "options"),
    [
        ("matrix_balance", [(4, 4)], {}),
        ("matrix_balance", [(4, 4)], {"separate": True}),
        ("orthogonal_procrustes", [(5, 2), (5, 2)], {}),
        ("eig_banded", [(2, 4)], {}),
        ("eig_banded", [(2, 4)], {"lower": True, "select": "i", "select_range": (1, 2)}),
        ("eigvals_banded", [(2, 4)], {}),
        ("eigh_tridiagonal", [(4,), (3,)], {}),
        ("eigh_tridiagonal", [(4,), (3,)], {"select": "i", "select_range": (1, 2)}),
        ("eigvalsh_tridiagonal", [(4,), (3,)], {}),
    ],
)
def test_stacks_are_scipys(name, arrays, options, rng):
    given = [rng.normal(size=(2, 3, *shape)) for shape in arrays]
    if name == "matrix_balance":
        given[0][0, 1, :, :1] *= 40.0
    elif name.startswith("eig"):  # values far from each other
        given = [0.3 * x for x in given]
        main = (
            (..., slice(None))
            if len(given) > 1
            else (..., -1 - options.get("lower", 0), slice(None))
        )
        given[0][main] += 4.0 * np.arange(4)

    def f(*given):
        found = getattr(linalg, name)(*given, **options)
        return tuple(found) if isinstance(found, list) else found

    expected = f(*given)
    found = f(*map(bp.variable, given))
    pairs = (
        zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
    )
    for x, e in pairs:
        np.testing.assert_allclose(getattr(x, "value", x), e, rtol=1e-9, atol=1e-11)
    moving = f if name != "matrix_balance" else lambda a: f(a)[0]
    check_grads(moving, tuple(given), order=1)
    if len(given) > 1:  # one beside a stack
        check_grads(f, (given[0], given[1][0, 0]), order=1)


def test_a_range_of_values_of_a_stack_is_refused(rng):
    d, e = bp.variable(rng.normal(size=(2, 4))), rng.normal(size=(2, 3))
    with pytest.raises(ShapeError, match=r"scipy\.linalg\.eigh_tridiagonal: select='v'"):
        linalg.eigh_tridiagonal(d, e, select="v", select_range=(0.0, 1.0))


@versions.needs("scipy 1.16", "stacks")
@pytest.mark.parametrize(
    ("name", "shapes", "options"),
    [
        ("cholesky_banded", [(0, 2, 4)], {"lower": True}),
        ("solveh_banded", [(0, 2, 4), (0, 4)], {}),
        ("eigh", [(0, 4, 4), (0, 4, 4)], {}),
        ("eigh", [(0, 4, 4), (0, 4, 4)], {"eigvals_only": True}),
    ],
)
def test_empty_stacks_are_refused_where_scipy_does(name, shapes, options):
    given = [np.ones(shape) for shape in shapes]
    try:
        expected = getattr(scipy.linalg, name)(*given, **options)
    except ValueError as error:
        with pytest.raises(ValueError, match=str(error)):
            getattr(linalg, name)(bp.variable(given[0]), *given[1:], **options)
    else:
        found = getattr(linalg, name)(bp.variable(given[0]), *given[1:], **options)
        assert np.shape(found) == np.shape(expected)


@pytest.mark.thread_unsafe(reason="NumPy's global generator belongs to the process")
@versions.needs("numpy 2.4", "generators whose lock is reentrant")
def test_other_threads_keep_their_random_numbers(rng):
    """SciPy estimates norms by the global generator; putting its state back gave others' again."""
    a = rows(rng, 5, 5)

    def work(draws):
        if draws:
            return np.concatenate([np.random.random(1) for _ in range(500)])  # noqa: NPY002
        for _ in range(10):
            bp.jvp(linalg.logm, (a,), (a,))
        return np.empty(0)

    np.random.seed(7)  # noqa: NPY002
    found = np.concatenate(at_once(work, *[True, False] * 4))
    np.random.seed(7)  # noqa: NPY002
    np.testing.assert_array_equal(np.sort(found), np.sort(np.random.random(2000)))  # noqa: NPY002
