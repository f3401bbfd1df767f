"""Vectors that nothing fixes: NaN in forward mode, an error in reverse, projectors in both."""

import numpy as np
import pytest

import fastbp as bp
from fastbp.errors import DegenerateError
from fastbp.scipy import linalg
from fastbp.testing import check_grads


def _differences(f, x, t, h=1e-6):
    return (f(x + h * t) - f(x - h * t)) / (2 * h)


def _adjoint(x):
    return np.conj(np.swapaxes(x, -1, -2))


# Bases of what is beside the columns of a matrix, or of its null space.
BESIDE = {
    "numpy qr": lambda a: np.linalg.qr(a, "complete")[0][..., a.shape[-1] :],
    "numpy svd": lambda a: np.linalg.svd(a)[0][..., a.shape[-1] :],
    "numpy svd, wide": lambda a: _adjoint(np.linalg.svd(_adjoint(a))[2][..., a.shape[-1] :, :]),
    "scipy qr": lambda a: linalg.qr(a)[0][..., a.shape[-1] :],
    "scipy qr, pivots": lambda a: linalg.qr(a, pivoting=True)[0][:, a.shape[1] :],
    "scipy rq": lambda a: _adjoint(linalg.rq(_adjoint(a))[1][..., : -a.shape[-1], :]),
    "scipy svd": lambda a: linalg.svd(a)[0][..., a.shape[-1] :],
    "scipy svd, wide": lambda a: _adjoint(linalg.svd(_adjoint(a))[2][..., a.shape[-1] :, :]),
    "null_space": lambda a: linalg.null_space(_adjoint(a)),
}


def _projector(basis):
    def projector(a):
        q = basis(a)
        return q @ _adjoint(q)

    return projector


def _matrices(rng, shape, dtype):
    found = [rng.normal(size=shape) for _ in range(4)]
    if dtype == "complex":
        return found[0] + 1j * found[1], found[2] + 1j * found[3]
    return found[0], found[1]


@pytest.mark.parametrize("dtype", ["real", "complex"])
@pytest.mark.parametrize("name", BESIDE)
def test_a_basis_is_lost_and_its_projector_is_not(rng, name, dtype):
    basis = BESIDE[name]
    projector = _projector(basis)
    a, t = _matrices(rng, (5, 3), dtype)
    assert np.isnan(bp.jvp(basis, (a,), (t,))[1]).all()
    assert np.isnan(bp.linearize(basis, a)[1](t)).all()
    found = bp.jvp(projector, (a,), (t,))[1]
    np.testing.assert_allclose(found, _differences(projector, a, t), rtol=0, atol=1e-7)
    with pytest.raises(DegenerateError, match="which nothing fixes"):
        bp.grad(lambda a: basis(a)[0, 0].real)(a)

    def second(s):
        return bp.jvp(projector, (a + s * t,), (t,))[1]

    found = bp.jvp(second, (0.0,), (1.0,))[1]
    np.testing.assert_allclose(found, _differences(second, 0.0, 1.0), rtol=0, atol=1e-6)
    weights = rng.normal(size=(5, 5))

    def gradient(a):
        return bp.grad(lambda a: np.sum(weights * projector(a).real))(a)

    found = bp.jvp(gradient, (a,), (t,))[1]
    np.testing.assert_allclose(found, _differences(gradient, a, t), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["numpy qr", "numpy svd, wide", "scipy svd", "null_space"])
def test_compiled_as_well(rng, name):
    basis = BESIDE[name]
    projector = _projector(basis)
    compiled = bp.compile(lambda a, t: [bp.jvp(f, (a,), (t,))[1] for f in (basis, projector)])
    a, t = rng.normal(size=(2, 5, 3))
    for x in (a, 2.0 * a + t):
        lost, found = compiled(x, t)
        assert np.isnan(lost).all()
        np.testing.assert_allclose(found, _differences(projector, x, t), rtol=0, atol=1e-7)
    assert compiled.stats()["plans"] == 1
    with pytest.raises(DegenerateError, match="which nothing fixes"):
        bp.compile(bp.grad(lambda a: basis(a)[0, 0]))(a)


@pytest.mark.parametrize("name", BESIDE)
def test_one_real_vector_is_fixed(rng, name):
    basis = BESIDE[name]
    a, t = rng.normal(size=(2, 4, 3))
    found = bp.jvp(basis, (a,), (t,))[1]
    np.testing.assert_allclose(found, _differences(basis, a, t), rtol=0, atol=1e-7)


def test_what_is_fixed_beside_it(rng):
    a, t = rng.normal(size=(2, 5, 3))

    def f(a):
        q, r = np.linalg.qr(a, "complete")
        return q[:, :3], r, q[:, 3:].T @ a, np.sum(q[:, 3:])

    *found, lost = bp.jvp(f, (a,), (t,))[1]
    for k, y in enumerate(found):
        np.testing.assert_allclose(y, _differences(lambda a, k=k: f(a)[k], a, t), rtol=0, atol=1e-7)
    assert np.isnan(lost)
    jac = bp.jacobian(lambda a: np.linalg.qr(a, "complete")[0], mode="forward")(a)
    assert np.isnan(jac[:, 3:]).all()
    np.testing.assert_allclose(
        jac[:, :3], bp.jacobian(lambda a: np.linalg.qr(a)[0], mode="reverse")(a), atol=1e-13
    )


def test_vectors_of_a_block_that_do_not_move_it(rng):
    x = rng.normal(size=13)

    def f(x):
        q = np.linalg.qr(np.reshape(x[:10], (5, 2)), "complete")[0]
        return q[:, 2:] @ x[10:]

    jac = bp.jacobian(f, mode="forward")(x)
    assert np.isnan(jac[:, :10]).all()
    q = np.linalg.qr(x[:10].reshape(5, 2), "complete")[0]
    np.testing.assert_allclose(jac[:, 10:], q[:, 2:])


def test_a_loss_at_the_next_order(rng):
    a, t = rng.normal(size=(2, 5, 3))
    basis = BESIDE["numpy qr"]
    again = bp.jvp(lambda a: bp.jvp(basis, (a,), (t,))[1], (a,), (t,))[1]
    assert np.isnan(again).all()
    with pytest.raises(DegenerateError):
        bp.hessian(lambda a: np.sum(basis(a)[0] ** 3))(a)


@pytest.mark.parametrize("name", ["numpy qr", "numpy svd", "null_space"])
def test_one_behind_the_other(rng, name):
    a, t = rng.normal(size=(2, 5, 3))
    basis, projector = BESIDE[name], _projector(BESIDE[name])

    def through(f):
        return lambda a: f(a + 0.3 * projector(a) @ np.sin(a))

    found = bp.jvp(through(projector), (a,), (t,))[1]
    expected = _differences(through(projector), a, t)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert np.isnan(bp.jvp(through(basis), (a,), (t,))[1]).all()

    def of_a_basis(a):  # whose value depends on which one it is
        return projector(a + 0.3 * np.sum(basis(a), axis=1)[:, None])

    assert np.isnan(bp.jvp(of_a_basis, (a,), (t,))[1]).all()
    with pytest.raises(DegenerateError):
        bp.grad(lambda a: of_a_basis(a)[0, 0])(a)


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse", "chain"])
def test_jacobians_that_have_it_inside(rng, mode):
    a = rng.normal(size=(3, 5))  # the basis is narrower than both ends
    projector = _projector(linalg.null_space)
    t = rng.normal(size=a.shape)
    jac = bp.jacobian(projector, mode=mode)(a)
    np.testing.assert_allclose(
        np.tensordot(jac, t, 2), _differences(projector, a, t), rtol=0, atol=1e-7
    )


def test_a_waist_that_nothing_fixes(rng):
    a = rng.normal(size=(16, 24))
    projector = _projector(linalg.null_space)
    expected = bp.jacobian(projector, mode="reverse")(a)
    np.testing.assert_allclose(bp.jacobian(projector)(a), expected, atol=1e-11)


def test_stacks_and_single_precision(rng):
    a, t = rng.normal(size=(2, 2, 5, 3)).astype(np.float32)
    basis, projector = BESIDE["numpy svd"], _projector(BESIDE["numpy svd"])
    lost, found = (bp.jvp(f, (a,), (t,))[1] for f in (basis, projector))
    assert lost.dtype == found.dtype == np.float32
    assert np.isnan(lost).all()
    expected = _differences(projector, a.astype(float), t.astype(float))
    np.testing.assert_allclose(found, expected, atol=2e-4)


# ---- phases


def test_phases_of_complex_vectors(rng):
    a, t = _matrices(rng, (3, 3), "complex")
    a, t = (x + _adjoint(x) for x in (a, t))
    a = a + np.diag([0.0, 4.0, 9.0])

    def f(a):
        w, v = np.linalg.eigh(a)
        return w, np.abs(v) ** 2, (v * np.exp(-w)) @ _adjoint(v), v

    *found, lost = bp.jvp(f, (a,), (t,))[1]
    for k, y in enumerate(found):
        np.testing.assert_allclose(
            y, _differences(lambda a, k=k: f(a)[k], a, t), rtol=1e-7, atol=1e-7
        )
    assert np.isnan(lost).all()


@pytest.mark.parametrize("full", [True, False])
def test_phases_of_pairs(rng, full):
    a, t = _matrices(rng, (4, 3), "complex")

    def f(a):
        u, s, vh = np.linalg.svd(a, full)
        return s, u[:, :3] @ vh, u[:, :1] @ vh[:1], u, vh

    *found, of_u, of_vh = bp.jvp(f, (a,), (t,))[1]
    for k, y in enumerate(found):
        np.testing.assert_allclose(y, _differences(lambda a, k=k: f(a)[k], a, t), rtol=0, atol=1e-7)
    assert np.isnan(of_u).all()
    assert np.isnan(of_vh).all()


def test_phases_of_vectors_of_a_pencil(rng):
    b = np.eye(3) + 0.1 * rng.normal(size=(3, 3))
    a = np.array([[1.0, 2.0, 0.3], [-2.5, 1.5, 0.4], [0.2, 0.1, 4.0]])
    t = rng.normal(size=(3, 3))
    w = linalg.eig(a, b)[0]
    is_real = w.imag == 0.0
    assert is_real.sum() == 1
    found = bp.jvp(lambda a: linalg.eig(a, b)[1], (a,), (t,))[1]
    assert np.isnan(found[:, ~is_real]).all()
    np.testing.assert_allclose(
        found[:, is_real],
        _differences(lambda a: linalg.eig(a, b)[1], a, t)[:, is_real],
        rtol=0,
        atol=1e-7,
    )
    found = bp.jvp(lambda a: np.abs(linalg.eig(a, b)[1]), (a,), (t,))[1]
    expected = _differences(lambda a: np.abs(linalg.eig(a, b)[1]), a, t)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


def test_phases_of_schur_vectors(rng):
    a, t = _matrices(rng, (3, 3), "complex")
    a = a + np.diag([0.0, 4.0, 9.0])

    def f(a):
        upper, z = linalg.schur(a, "complex")
        return np.diag(upper), np.abs(z), z @ (upper * upper) @ _adjoint(z), upper, z

    def fixed(a):
        upper, z = linalg.schur(a, "complex")
        return np.diag(upper), np.abs(z), z @ upper @ upper @ _adjoint(z)

    for k, y in enumerate(bp.jvp(fixed, (a,), (t,))[1]):
        np.testing.assert_allclose(
            y, _differences(lambda a, k=k: fixed(a)[k], a, t), rtol=1e-6, atol=1e-6
        )
        bp.grad(lambda a, k=k: np.sum(fixed(a)[k].real))(a)
    *_, lost, upper, z = bp.jvp(f, (a,), (t,))[1]
    above = np.triu(np.ones((3, 3), bool), 1)
    assert np.isnan(upper[above]).all()
    assert not np.isnan(upper[~above]).any()
    assert np.isnan(z).all()
    assert np.isnan(lost).all()
    for k in (2, 3, 4):
        with pytest.raises(DegenerateError, match="the phases of Schur vectors"):
            bp.grad(lambda a, k=k: np.sum(f(a)[k].real))(a)


# ---- values that are zero


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("rows", [4, 5])
def test_vectors_of_a_value_zero(rng, rows, full):
    a = rng.normal(size=(rows, 2)) @ rng.normal(size=(2, 3))
    t = rng.normal(size=(rows, 3))

    def f(a):
        u, s, vh = np.linalg.svd(a, full)
        return u[:, :2], s[:2], vh[:2], np.outer(vh[2], vh[2]), (u[:, :3] * s) @ vh, u[:, 2:]

    *found, lost = bp.jvp(f, (a,), (t,))[1]
    for k, y in enumerate(found):
        np.testing.assert_allclose(y, _differences(lambda a, k=k: f(a)[k], a, t), rtol=0, atol=1e-6)
    assert np.isnan(lost).all()
    compiled = bp.compile(lambda a, t: bp.jvp(f, (a,), (t,))[1])
    regular = compiled(rng.normal(size=(rows, 3)), t)[-1]
    assert not np.isnan(regular[:, :1]).any()  # what is beside a value that is not zero
    assert np.isnan(compiled(a, t)[-1]).all()
    with pytest.raises(DegenerateError, match=r"numpy\.linalg\.svd: .*(is zero|beyond)"):
        bp.grad(lambda a: f(a)[-1][0, 0])(a)
    check_grads(lambda a: f(a)[-2], (a,), order=1)


def test_errors_of_degenerate_values_in_plans(rng):
    weights = rng.normal(size=(3, 3))
    slope = bp.compile(bp.grad(lambda a: np.sum(np.linalg.eigh(a)[1] * weights)))
    apart, equal = np.diag([1.0, 2.0, 4.0]), np.diag([1.0, 1.0, 2.0])
    assert np.isfinite(slope(apart)).all()
    assert slope.stats()["plans"] == 1
    with pytest.raises(DegenerateError, match="are equal"):
        slope(equal)
    polar = bp.compile(bp.grad(lambda a: np.sum(linalg.polar(a)[0])))
    assert np.isfinite(polar(apart)).all()
    with pytest.raises(DegenerateError, match="full rank"):
        polar(np.diag([1.0, 2.0, 0.0]))
