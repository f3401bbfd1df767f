"""Sums of B-splines at places: against SciPy, differences, and the definition of a transpose."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

from fastbp._core.splines import MODES, Splines
from fastbp.errors import ShapeError

SHAPES = ((9,), (7, 6), (5, 4, 3), (1, 5), (1,))


def places_of(rng, shape, n=60):
    """Return places inside, outside, far away, and at whole numbers."""
    c = rng.uniform(-25.0, 25.0, (len(shape), n))
    c[:, : n // 2] = rng.uniform(-1.0, 8.0, (len(shape), n // 2))
    c[:, :10] = np.round(c[:, :10])
    return c


def gathered(splines, images, nu, cval=0.0):
    out = np.full((len(nu), len(images), splines_places(splines)), np.nan)
    splines.gather(images, np.array(nu, np.uint8), cval, out)
    return out


def splines_places(splines):
    return len(splines.neighbours())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", MODES)
def test_values_are_scipys(mode, shape, rng):
    x, c = rng.normal(size=shape), places_of(rng, shape)
    for order in range(6):
        found = gathered(Splines(shape, c, order, mode), x.reshape(1, -1), [[0] * len(shape)], 0.7)
        options = {"order": order, "mode": mode, "cval": 0.7, "prefilter": False}
        expected = ndimage.map_coordinates(x, c, **options)
        np.testing.assert_allclose(found[0, 0], expected, atol=1e-13)


@pytest.mark.parametrize("mode", MODES)
def test_derivatives_are_differences(mode, rng):
    shape, h = (7, 6), 1e-5
    x = rng.normal(size=(2, 42))
    c = rng.uniform(-15.0, 15.0, (2, 40))
    c[:, :20] = rng.uniform(0.0, 5.0, (2, 20))
    c += np.where(np.abs(2.0 * c - np.round(2.0 * c)) < 1e-3, 0.01, 0.0)  # no knots, no turns
    for order, (i, j) in itertools.product(range(1, 6), ((0, 0), (1, 0), (0, 1), (2, 1))):
        if max(i + 1, j) > order:
            continue
        found = gathered(Splines(shape, c, order, mode), x, [[i + 1, j]], 0.3)[0]
        after, before = (
            gathered(Splines(shape, c + step, order, mode), x, [[i, j]], 0.3)[0]
            for step in np.array([[[h], [0.0]], [[-h], [0.0]]])
        )
        np.testing.assert_allclose(found, (after - before) / (2.0 * h), atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", MODES)
def test_scatter_is_the_transpose(mode, shape, rng):
    c = places_of(rng, shape)
    for order in (0, 1, 2, 3, 5):
        splines = Splines(shape, c, order, mode)
        nu = np.array([[min(k, order) for k in range(len(shape))]], np.uint8)
        x, g = rng.normal(size=(3, splines.size)), rng.normal(size=(3, c.shape[1]))
        back = np.zeros((3, splines.size))
        splines.scatter(g, nu, back)
        forth = gathered(splines, x, nu)[0]
        np.testing.assert_allclose(np.sum(back * x, 1), np.sum(g * forth, 1), 1e-11, 1e-13)
        # Only what stands among the neighbours is read.
        read = np.zeros((c.shape[1], splines.size + 1), bool)
        np.put_along_axis(read, splines.neighbours(), True, 1)
        for k in range(splines.size):
            unit = np.zeros((1, splines.size))
            unit[0, k] = 1.0
            assert not gathered(splines, unit, nu)[0, 0][~read[:, k]].any()


@pytest.mark.parametrize("place", [np.nan, np.inf, -1e300])
def test_places_that_are_none(place):
    for mode in MODES:
        splines = Splines((4,), np.array([[place, 1.0]]), 3, mode)
        found = gathered(splines, np.ones((1, 4)), [[0]])[0, 0]
        assert np.isnan(found[0]) or np.isclose(found[0], [0.0, 1.0]).any()
        np.testing.assert_allclose(found[1], 1.0)


def test_arrays_have_to_fit():
    c = np.zeros((2, 3))
    for shape, places, order in (((4,), c, 1), ((4, 0), c, 1), ((4, 2), c, 6), ((), c[:0], 1)):
        with pytest.raises(ShapeError, match="splines: no sum"):
            Splines(shape, places, order, "mirror")
    splines = Splines((4, 2), c, 1, "mirror")
    nu, x = np.zeros((1, 2), np.uint8), np.zeros((1, 8))
    for bad in (np.zeros((1, 1, 2)), np.zeros((2, 1, 3)), np.zeros((1, 2, 3))):
        with pytest.raises(ShapeError, match="do not fit"):
            splines.gather(x, nu, 0.0, bad)
    with pytest.raises(ShapeError, match="do not fit"):
        splines.gather(x[:, :7].copy(), nu, 0.0, np.zeros((1, 1, 3)))
    with pytest.raises(ShapeError, match="no derivative"):
        splines.gather(x, nu + np.uint8(2), 0.0, np.zeros((1, 1, 3)))
    for g, n, out in ((x[:, :2], nu, x), (x[:, :3], nu[:, :1], x), (x[:, :3], nu, x[:, :4])):
        with pytest.raises(ShapeError, match="do not fit"):
            splines.scatter(g.copy(), n.copy(), out.copy())
