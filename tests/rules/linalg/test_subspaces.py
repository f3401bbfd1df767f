"""Bases of ranges and null spaces in `fastbp.scipy.linalg`, and angles between subspaces."""

import numpy as np
import pytest
import scipy.linalg

import fastbp as bp
from fastbp.errors import DegenerateError, ShapeError
from fastbp.scipy import linalg
from fastbp.testing import check_grads

WIDE = np.array([[1.0, 2.0, 0.3, -1.0], [-2.5, 1.5, 0.4, 0.5]])
OTHER = np.array([[0.2, -0.1, 1.0, 0.3], [0.6, 0.7, -0.2, 0.1]])


def projector(n):
    p = n @ np.conj(np.swapaxes(n, -1, -2))
    return np.real(p), np.imag(p)


def test_what_is_the_same_for_all_bases():
    check_grads(lambda a, b: projector(linalg.null_space(a + 1j * b)), (WIDE, OTHER), order=2)
    check_grads(lambda a, b: projector(linalg.orth(a + 1j * b)), (WIDE.T, OTHER.T), order=2)
    one = bp.jacobian(lambda a: projector(linalg.null_space(a))[0])(WIDE)
    two = bp.jacobian(lambda a: np.eye(4) - linalg.pinv(a) @ a)(WIDE)
    np.testing.assert_allclose(one, two, atol=1e-13)


def test_a_null_space_at_constant_rank():
    # Three rows of rank two, moved along matrices of that rank.
    mix = np.array([[1.0, 0.0], [0.5, 2.0], [-1.0, 1.0]])
    check_grads(lambda a: projector(linalg.null_space(mix @ a, rcond=1e-6))[0], (WIDE,))


def test_a_range_at_constant_rank():
    a = np.array([[3.0, 0.1], [0.2, 0.1], [0.5, -0.1]])
    assert linalg.orth(bp.variable(a), rcond=0.2).shape == (3, 1)
    check_grads(lambda a: linalg.orth(a, rcond=0.2), (a,), order=2)


def test_turns_of_a_basis_are_refused():
    with pytest.raises(DegenerateError, match=r"scipy\.linalg\.null_space: .* vectors of the"):
        bp.grad(lambda a: linalg.null_space(a)[0, 0])(WIDE)
    with pytest.raises(DegenerateError, match="vectors of the basis"):  # a phase
        bp.grad(lambda a: linalg.null_space(a)[0, 0].real)(WIDE[:, :3] + 1j * OTHER[:, :3])
    with pytest.raises(DegenerateError):
        bp.grad(lambda a: linalg.orth(a) @ [1.0, 2.0] @ [1.0, 2.0, 3.0])(np.eye(3, 2))


def test_one_vector_of_a_null_space():
    # Along the cross product of the rows, and of length 1.
    a = WIDE[:, :3]

    def f(a):
        n = np.cross(a[0], a[1])
        return n / np.sqrt(n @ n)

    sign = np.sign(scipy.linalg.null_space(a)[:, 0] @ f(a))
    found = bp.jacobian(lambda a: linalg.null_space(a)[:, 0])(a)
    np.testing.assert_allclose(found, sign * bp.jacobian(f)(a), atol=1e-14)


@pytest.mark.parametrize("angle", [1e-9, 1e-3, 0.7, 0.9, 1.5])
@pytest.mark.parametrize("beside", [1e-2, 1.4])
def test_angles_are_what_they_are(angle, beside):
    """An angle moves with itself alone, however small, and whatever is beside it."""

    def planes(t, s):
        zero = 0.0 * t
        rows = [np.cos(t), zero, np.sin(t), zero], [zero, np.cos(s), zero, np.sin(s)]
        return linalg.subspace_angles(np.eye(4, 2), np.stack([np.stack(r) for r in rows], -1))

    order = slice(None, None, 1 if angle > beside else -1)
    value, pull = bp.vjp(planes, angle, beside)
    np.testing.assert_allclose(value[order], [angle, beside], rtol=1e-7)
    np.testing.assert_allclose(pull(np.array([2.0, 3.0])[order]), (2.0, 3.0), rtol=1e-7)


def test_angles_of_orthonormal_columns():
    # All singular values of both are equal; the angles have derivatives, the vectors none.
    q = np.linalg.qr(np.concatenate([WIDE, OTHER]).T)[0]
    check_grads(linalg.subspace_angles, (np.eye(4, 2), q[:, :2]), order=2)
    check_grads(
        lambda a, b: linalg.subspace_angles(a + 1j * b, q[:, :2]), (np.eye(4, 2), OTHER.T), order=2
    )


def test_shapes_must_fit():
    with pytest.raises(ShapeError, match=r"scipy\.linalg\.subspace_angles: A of shape \(4, 2\)"):
        linalg.subspace_angles(bp.variable(WIDE.T), np.ones((3, 1)))
