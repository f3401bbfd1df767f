"""Adjoints in every mode: <A x, y> is <x, A' y> to rounding, for what samples are too small for."""

import numpy as np
import pytest
import scipy.ndimage

import fastbp as bp
import fastbp.scipy.ndimage as bnd
from fastbp.errors import DTypeError, NoRuleError
from fastbp.testing import check_grads

MODES = (
    "reflect", "grid-mirror", "mirror", "nearest", "wrap", "grid-wrap", "constant",
    "grid-constant",
)  # fmt: skip


def assert_adjoint(f, x, rng, expected=None):
    """Compare a linear map with its transpose, and its value with SciPy's."""
    value, pull = bp.vjp(f, x)
    y = rng.normal(size=value.shape)
    scale = np.linalg.norm(value) * np.linalg.norm(y)
    assert abs(np.sum(value * y) - np.sum(x * pull(y)[0])) <= 1e-13 * scale
    if expected is not None:
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("mode", MODES)
def test_filters_wider_than_the_image(mode, rng):
    for n, size, origin in ((3, 11, 2), (4, 8, -3), (1, 5, 0), (2, 2, -1)):
        x, w = rng.normal(size=(2, n)), rng.normal(size=size)
        given = {"mode": mode, "origin": origin}
        expected = scipy.ndimage.correlate1d(x, w, **given)
        assert_adjoint(lambda x, w=w, g=given: bnd.correlate1d(x, w, **g), x, rng, expected)
    x, w = rng.normal(size=(3, 4)), rng.normal(size=(5, 6))
    given = {"mode": mode, "origin": (1, -2)}
    assert_adjoint(
        lambda x: bnd.convolve(x, w, **given), x, rng, scipy.ndimage.convolve(x, w, **given)
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_splines_along_long_axes(mode, order, rng):
    x = rng.normal(size=(90, 2))
    given = {"mode": mode, "order": order, "axis": 0}
    expected = scipy.ndimage.spline_filter1d(x, **given)
    assert_adjoint(lambda x: bnd.spline_filter1d(x, **given), x, rng, expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", range(6))
def test_images_far_outside(mode, order, rng):
    x = rng.normal(size=(5, 7))
    places = rng.uniform(-12.0, 16.0, (2, 40))
    given = {"mode": mode, "order": order}
    expected = scipy.ndimage.map_coordinates(x, places, **given)
    assert_adjoint(lambda x: bnd.map_coordinates(x, places, **given), x, rng, expected)


@pytest.mark.filterwarnings("ignore:The behavior of affine_transform")  # of SciPy 1.13
def test_a_matrix_that_is_a_vector(rng):
    x = rng.normal(size=(4, 5))
    given = {"mode": "mirror"}
    expected = scipy.ndimage.affine_transform(x, [0.8, 0.7], 0.3, **given)
    f = lambda x, m: bnd.affine_transform(x, m, 0.3, **given)
    np.testing.assert_allclose(f(bp.variable(x), np.array([0.8, 0.7])).value, expected, rtol=1e-12)
    check_grads(f, (x, np.array([0.8, 0.7])), step=1e-4)


def test_refusals_name_the_function():
    x = bp.variable(np.ones((3, 4)))
    with pytest.raises(NoRuleError, match=r"scipy\.ndimage\.sobel: output="):
        bnd.sobel(x, output=np.zeros((3, 4)))
    with pytest.raises(NoRuleError, match=r"scipy\.ndimage\.gaussian_filter: sigma"):
        bnd.gaussian_filter(np.ones((3, 4)), bp.variable(1.0))
    with pytest.raises(NoRuleError, match=r"scipy\.ndimage\.zoom: zoom= determines a shape"):
        bnd.zoom(x, bp.variable(2.0))
    with pytest.raises(DTypeError, match=r"scipy\.ndimage\.correlate1d: an image of int64"):
        bnd.correlate1d(np.arange(4), bp.variable(np.ones(3)))
    with pytest.raises(NoRuleError, match=r"scipy\.ndimage\.generic_filter takes no Variable"):
        bnd.generic_filter(x, np.sum, 3)
    assert bnd.maximum_position(x * np.arange(4.0)) == (0, 3)


@pytest.mark.parametrize("mode", ["reflect", "mirror", "nearest", "constant", "wrap"])
def test_the_gradient_magnitude_has_derivative_zero_where_it_is_zero(mode, rng):
    f = lambda x: bnd.gaussian_gradient_magnitude(x, 1.0, mode=mode)
    flat = np.full((9, 9), 2.0)
    assert np.isfinite(bp.vjp(f, flat)[1](np.ones((9, 9)))).all()
    if mode != "constant":
        assert not np.any(bp.grad(lambda x: np.sum(f(x)))(flat))
    x = rng.normal(size=(4, 5))
    np.testing.assert_allclose(bp.vjp(f, x)[0], f(x), rtol=1e-14)
    g, t = rng.normal(size=(2, 4, 5))
    along = bp.jvp(f, (x,), (t,))[1]
    np.testing.assert_allclose(np.sum(bp.vjp(f, x)[1](g) * t), np.sum(g * along), rtol=1e-10)
