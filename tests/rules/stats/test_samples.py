"""Statistics of samples that are negative, missing or of several shapes."""

import functools
import warnings

import numpy as np
import pytest
import scipy.stats

import fastbp as bp
import fastbp.scipy.stats as bst

from ... import versions

GAPS = np.array([[0.4, np.nan, -0.3], [0.7, 1.5, 2.0]])
NEGATIVE = versions.needs("scipy 1.15", "NaN, and no error, of negative numbers")
SEVERAL = versions.needs("scipy 1.17", "the axes of several moments in one order, as there,")
MEANS = [("hmean", (GAPS,)), ("hmean", (GAPS, 1)), ("pmean", (GAPS, 2.0))]


@pytest.mark.parametrize(
    ("name", "args"),
    [
        *[pytest.param(*case, marks=NEGATIVE) for case in MEANS],
        ("moment", (GAPS, 1)),
        ("moment", (np.array([1.0, np.inf]), 1)),
        ("entropy", (np.array(0.3), np.array([0.1, 0.5, 0.9]))),
        ("entropy", (np.array([[0.2], [0.8]]), np.array([[0.1, 0.5], [0.9, 0.4]]))),
    ],
)
def test_values_are_scipys(name, args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = getattr(scipy.stats, name)(*args)
        found, _ = bp.vjp(lambda x: getattr(bst, name)(x, *args[1:]), args[0], unconnected="zero")
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_entropy_of_broadcast_operands():
    q = np.array([0.1, 0.5, 0.9])
    p, h = np.array(0.3), 1e-6
    found = bp.grad(lambda q: bst.entropy(p, q))(q)
    for k in range(3):
        high, low = (scipy.stats.entropy(p, q + t * np.eye(3)[k]) for t in (h, -h))
        assert abs(found[k] - (high - low) / (2 * h)) <= 1e-7


@pytest.mark.parametrize("axis", [0, 1, -1, None, (0, 1)])
@pytest.mark.parametrize(
    ("name", "args"),
    [
        pytest.param("moment", ([1, 2, 3],), marks=SEVERAL),
        ("moment", (2,)),
        *[(name, ()) for name in ("skew", "kurtosis", "sem", "variation", "gmean", "hmean")],
    ],
)
def test_axes_that_are_kept(name, args, axis, rng):
    x = rng.uniform(0.5, 3.0, (5, 4))
    for keepdims in (False, True):
        options = {"axis": axis, "keepdims": keepdims}
        expected = getattr(scipy.stats, name)(x, *args, **options)
        found, pull = bp.vjp(lambda x, o=options: getattr(bst, name)(x, *args, **o), x)
        assert np.shape(found) == np.shape(expected)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
        assert pull(np.ones(np.shape(found)))[0].shape == x.shape


def test_moments_of_several_orders(rng):
    x = rng.normal(size=(5, 4))
    found = bp.jacobian(lambda x: bst.moment(x, [2, 3]))(x)
    for k, order in enumerate((2, 3)):
        expected = bp.jacobian(lambda x, order=order: bst.moment(x, order))(x)
        np.testing.assert_array_equal(found[k], expected)
    with pytest.raises(ValueError, match=r"scipy\.stats\.moment: order="):
        bst.moment(bp.variable(x), [[2, 3]])


@pytest.mark.parametrize("args", [(), (np.array([0.5, 1.0, 1.5, 2.0]),)])
def test_a_share_of_zero_leaves_the_slopes_of_others(args):
    p, h = np.array([0.0, 1.0, 2.0, 4.0]), 1e-5
    f = functools.partial(scipy.stats.entropy, **dict(zip(["qk"], args, strict=False)))
    g = functools.partial(bst.entropy, **dict(zip(["qk"], args, strict=False)))
    slopes, bends = bp.grad(g)(p), bp.hessian(g)(p)
    np.testing.assert_allclose(bp.jacobian(g, mode="fwd")(p), slopes)
    assert slopes[0] == (np.inf if not args else -np.inf)
    assert np.all(np.isfinite(bends[1:, 1:]))
    for k in range(1, 4):
        step = h * np.eye(4)[k]
        np.testing.assert_allclose(slopes[k], (f(p + step) - f(p - step)) / (2 * h), rtol=1e-7)
        high, low = (bp.grad(g)(p + s)[1:] for s in (step, -step))
        np.testing.assert_allclose(bends[1:, k], (high - low) / (2 * h), rtol=1e-6)
    one_hot = np.array([0.0, 1.0, 0.0])
    assert bst.entropy(one_hot) == 0.0
    assert bp.grad(bst.entropy)(one_hot)[1] == 0.0


def test_power_means_of_infinite_order_are_refused():
    for p in (np.inf, -np.inf):  # by SciPy, too, but older ones
        with pytest.raises(NotImplementedError, match=r"pmean: p is .*inf, .* write numpy.max"):
            bp.grad(bst.pmean)(np.array([1.0, 2.0]), p)
