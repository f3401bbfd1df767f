"""Hessenberg form, L D L.H and balanced matrices in `fastbp.scipy.linalg`."""

import numpy as np
import pytest
import scipy.linalg

import fastbp as bp
from fastbp.errors import DegenerateError, ShapeError
from fastbp.scipy import linalg
from fastbp.testing import check_grads


def parts(*arrays):
    return [p for x in arrays for p in (np.real(x), np.imag(x))]


def test_complex_hessenberg_form(rng):
    a, b = rng.normal(size=(2, 4, 4))
    check_grads(lambda a, b: parts(*linalg.hessenberg(a + 1j * b, calc_q=True)), (a, b), order=2)
    h = linalg.hessenberg(bp.variable(a + 1j * b))
    np.testing.assert_array_equal(h.value, scipy.linalg.hessenberg(a + 1j * b))


def test_a_form_that_is_not_unique():
    with pytest.raises(DegenerateError, match=r"scipy\.linalg\.hessenberg: an element next to"):
        linalg.hessenberg(bp.variable(np.diag([1.0, 2.0, 3.0])))


@pytest.mark.parametrize("hermitian", [True, False])
@pytest.mark.parametrize("lower", [True, False])
def test_ldl_of_complex_matrices(hermitian, lower, rng):
    a, b = rng.normal(size=(2, 5, 5))

    def full(a, b):
        z = a + 1j * b
        return z + (np.conj(z.T) if hermitian else z.T)

    def f(a, b):
        return parts(*linalg.ldl(full(a, b), lower=lower, hermitian=hermitian)[:2])

    check_grads(f, (a, b), order=2)
    for ours, theirs in zip(
        linalg.ldl(bp.variable(full(a, b)), lower, hermitian),
        scipy.linalg.ldl(full(a, b), lower, hermitian),
        strict=True,
    ):
        np.testing.assert_array_equal(getattr(ours, "value", ours), theirs)


def test_ldl_reads_one_triangle_and_has_blocks():
    a = np.array([[0.0, 2.0, 0.3], [2.0, 0.0, 0.4], [0.3, 0.4, 1.0]])
    d = scipy.linalg.ldl(a)[1]
    assert np.count_nonzero(np.diagonal(d, 1)) == 1
    for lower, part in ((True, np.tril), (False, np.triu)):
        one = bp.jacobian(lambda a, lower=lower: linalg.ldl(a, lower)[0])(a)
        two = bp.jacobian(lambda a, lower=lower: linalg.ldl(a, lower)[0])(part(a))
        np.testing.assert_allclose(one, two, atol=1e-15)
        np.testing.assert_allclose(one, np.swapaxes(one, -1, -2), atol=1e-15)


def test_the_last_pivot_of_ldl_may_be_zero():
    a, t = np.ones((2, 2)), np.array([[1.0, 2.0], [2.0, 3.0]])
    factor, d = bp.jvp(lambda a: linalg.ldl(a)[:2], (a,), (t,))[1]
    np.testing.assert_array_equal(factor, [[0.0, 0.0], [1.0, 0.0]])
    np.testing.assert_array_equal(d, [[1.0, 0.0], [0.0, 0.0]])


def test_balancing_permutes_and_scales(rng):
    a = np.array([[1.0, 2.0, 0.0, 0.0], [0.0, 3.0, 0.0, 100.0], [1.0, 1.0, 2.0, 3.0]])
    a = np.concatenate([a, [[0.0, 1e-3, 0.0, 5.0]]])
    found, transform = linalg.matrix_balance(bp.variable(a))
    expected = scipy.linalg.matrix_balance(a)
    np.testing.assert_array_equal(found.value, expected[0])
    np.testing.assert_array_equal(transform, expected[1])
    t = rng.normal(size=(4, 4))
    pushed = bp.jvp(lambda a: linalg.matrix_balance(a)[0], (a,), (t,))[1]
    np.testing.assert_array_equal(pushed, np.linalg.solve(transform, t @ transform))


def test_shapes_must_fit():
    with pytest.raises(ShapeError, match=r"scipy\.linalg\.matrix_balance: A must be a matrix"):
        linalg.matrix_balance(bp.variable(np.ones(2)))
    with pytest.raises(
        np.linalg.LinAlgError, match=r"scipy\.linalg\.matrix_balance: A must be square"
    ):
        linalg.matrix_balance(bp.variable(np.ones((1, 2, 3))))
