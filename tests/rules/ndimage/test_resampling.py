"""Images at places that move: higher orders, images in front, blocks, and sparsity."""

import numpy as np
import pytest
import scipy.ndimage

import fastbp as bp
import fastbp.scipy.ndimage as bnd
from fastbp.rules.ndimage.resampling import gather_op
from fastbp.sparse import sparsity
from fastbp.testing import check_grads

PLACES = np.array([[0.31, 2.64, 1.23, -0.7], [1.42, 0.77, 1.93, 3.6]])


@pytest.mark.parametrize("mode", ["mirror", "nearest", "constant", "grid-constant"])
def test_third_order_by_image_and_places(mode, rng):
    x = rng.normal(size=(4, 5))

    def f(x, c):
        return bnd.map_coordinates(x, c, order=4, mode=mode, cval=0.3)

    check_grads(f, (x, PLACES), order=3, step=1e-3)


def test_a_stack_of_images_has_the_derivatives_of_each(rng):
    x, g = rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 4))
    options = {"nu": (0, 0), "order": 3, "mode": "mirror", "cval": 0.0}

    def f(x, c):
        return gather_op(x, c, **options)

    x_bar, c_bar = bp.vjp(f, x, PLACES)[1](g)
    each = [bp.vjp(f, one, PLACES)[1](of_one) for one, of_one in zip(x, g, strict=True)]
    np.testing.assert_allclose(x_bar, [found for found, _ in each], rtol=0, atol=1e-13)
    np.testing.assert_allclose(c_bar, sum(found for _, found in each), rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
def test_images_in_front_share_their_places(dtype, rng):
    x = rng.normal(size=(3, 5, 2, 4)).astype(dtype)
    if dtype is np.complex128:
        x += 1j * rng.normal(size=x.shape)
    given = {"axes": (0, 3), "reshape": False, "mode": "mirror"}
    value, pull = bp.vjp(lambda x, angle: bnd.rotate(x, angle, **given), x, 25.0)
    expected = scipy.ndimage.rotate(x, 25.0, **given)
    assert value.dtype == dtype
    tolerance = 1e-5 if dtype is np.float32 else 1e-11
    np.testing.assert_allclose(value, expected, atol=tolerance)
    g = rng.normal(size=value.shape).astype(dtype)
    x_bar, angle_bar = pull(g)
    t = rng.normal(size=x.shape).astype(dtype)
    pushed = [
        bp.jvp(lambda x: bnd.rotate(x, 25.0, **given), (x,), (t,))[1],
        bp.jvp(lambda a: bnd.rotate(x, a, **given), (25.0,), (1.0,))[1],
    ]
    np.testing.assert_allclose(np.sum(x_bar * t), np.sum(g * pushed[0]), rtol=10 * tolerance)
    np.testing.assert_allclose(angle_bar, np.sum(g * pushed[1]).real, rtol=10 * tolerance)
    after, before = (
        scipy.ndimage.rotate(x.astype(np.result_type(dtype, np.float64)), 25.0 + h, **given)
        for h in (1e-5, -1e-5)
    )
    np.testing.assert_allclose(pushed[1], (after - before) / 2e-5, atol=2e-5)


def test_second_order_with_images_in_front(rng):
    x = rng.normal(size=(3, 2, 3))
    given = {"axes": (0, 2), "reshape": False, "mode": "reflect"}
    check_grads(lambda x, a: bnd.rotate(x, a, **given), (x, np.array(25.0)), order=2)
    whole = bp.jacobian(lambda x, a: bnd.rotate(x, a, **given), (0, 1), mode="reverse")(x, 25.0)
    other = bp.jacobian(lambda x, a: bnd.rotate(x, a, **given), (0, 1), mode="forward")(x, 25.0)
    for a, b in zip(whole, other, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)


def test_an_element_depends_on_its_neighbours(rng):
    x = rng.normal(size=(20, 30))
    c = np.array([rng.uniform(0.0, 19.0, 50), rng.uniform(0.0, 29.0, 50)])

    def f(x, c):
        return bnd.map_coordinates(x, c, order=1)

    by_image, by_places = (sparsity(f, x, c, argnums=k) for k in (0, 1))
    dense = bp.jacobian(f)(x, c).reshape(50, -1)
    assert by_image.nnz == 200
    assert not (dense != 0.0)[~by_image.toarray().astype(bool).reshape(dense.shape)].any()
    assert by_places.nnz == 100
    # Places that are computed from arguments may choose any one elsewhere.
    moving = sparsity(lambda c: f(np.sin(c[0, 0]) * x, c), c)
    assert moving.nnz >= 149


@pytest.mark.parametrize("mode", ["nearest", "mirror"])
def test_coefficients_that_are_given(mode, rng):
    x = rng.normal(size=9)
    c = np.array([[-22.4, -3.4, -0.3, 0.3, 4.4, 8.3, 12.4]])
    given = {"mode": mode, "prefilter": False}
    found = bnd.map_coordinates(bp.variable(x), c, **given)
    np.testing.assert_array_equal(found.value, scipy.ndimage.map_coordinates(x, c, **given))
    check_grads(lambda x, c: bnd.map_coordinates(x, c, **given), (x, c), order=2)
