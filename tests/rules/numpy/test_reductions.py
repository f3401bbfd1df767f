"""Sums of many (co)tangents keep their digits: broadcast operands, gathers, running sums, tangents.

Bounds: sums in pairs lose the logarithm of their length, sums in blocks of 256 at most that many
units; one after the other they would lose the length itself.
"""

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import elementwise

from ...harness import DTYPES, EPS

MANY = 1_000_000


@pytest.mark.parametrize("columns", [1, 2, 3, 64])
def test_a_bias_of_many_rows(columns):
    rows = MANY // columns
    x = np.full((rows, columns), 0.1, np.float32)
    found = bp.grad(lambda b: np.sum(x * b))(np.ones(columns, np.float32))
    np.testing.assert_allclose(found, rows * float(np.float32(0.1)), rtol=30 * 2.0**-24)


def test_a_count_beyond_float32_integers():
    found = bp.grad(lambda b: np.sum(np.broadcast_to(b, (2**25, 1))))(np.ones(1, np.float32))
    assert found == 2**25


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "target", "lead"),
    [
        ((1000, 7), (7,), 0),
        ((1001, 3), (3,), 0),
        ((9, 5000), (5000,), 0),
        ((40, 3000), (3000,), 0),
        ((5, 6, 7), (6, 1), 0),
        ((5, 6, 7), (1, 6, 1), 0),
        ((5, 6, 7), (5, 1, 7), 0),
        ((5, 6, 7), (1, 1, 1), 0),
        ((5, 6, 7), (), 0),
        ((3, 500, 4), (4,), 1),
        ((3, 500, 4), (500, 1), 1),
        ((2, 300, 5, 1), (5, 1), 1),
        ((33, 1), (1, 1), 0),
        ((1, 4), (4,), 0),
        ((0, 4), (4,), 0),
        ((4, 0), (0,), 0),
    ],
)
def test_sums_to_a_shape(shape, target, lead, dtype, rng):
    x = rng.uniform(0.5, 1.5, shape).astype(dtype)
    nd = len(shape) - lead
    axes = tuple(
        lead + k
        for k in range(nd)
        if k < nd - len(target) or (target[k - nd] == 1 and shape[lead + k] != 1)
    )
    expected = np.sum(x, axis=axes, dtype=np.longdouble).reshape(shape[:lead] + target)
    # In float64 both are sums of the same few numbers.
    bound = 2 * max(8, np.log2(max(x.size, 2))) * EPS[np.dtype(dtype)]
    for y in (x, np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2]):
        found = elementwise.sum_to(y, target, lead)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected.astype(float), rtol=bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axes", [(0,), (1,), (-1,), (0, -1), (0, 1, 2), ()])
def test_sum_axes_keeps_them(axes, dtype, rng):
    x = rng.uniform(0.5, 1.5, (20, 30, 4)).astype(dtype)
    found = elementwise.sum_axes(x, axes)
    np.testing.assert_allclose(
        found, np.sum(x, axis=axes, keepdims=True, dtype=float), rtol=60 * EPS[np.dtype(dtype)]
    )
    assert found.dtype == dtype


def test_sums_report_too_many_axes():
    with pytest.raises(ValueError, match="more than 32 axes"):
        elementwise.sum_axes(np.zeros((1,) * 40), (0,))


@pytest.mark.parametrize("size", [1, 1_000, 10 * MANY])
def test_gathers_of_one_element_many_times(size):
    """Few places, about as many as numbers, and so many that the places are looked up."""
    index = np.zeros(MANY, int)
    index[::2] = size - 1
    weights = np.full(MANY, 0.1, np.float32)
    found = bp.grad(lambda x: np.sum(weights * x[index]))(np.ones(size, np.float32))
    total = MANY * float(np.float32(0.1))
    np.testing.assert_allclose(found[[0, -1]], total if size == 1 else total / 2, rtol=2 * 2.0**-24)
    assert np.count_nonzero(found) == min(size, 2)


def test_few_and_repeated_elements():
    index = np.array([2, 0, 2, 2])
    found = bp.grad(lambda x: np.sum(np.arange(1.0, 5.0, dtype=np.float32) * x[index]))
    np.testing.assert_array_equal(found(np.zeros(3, np.float32)), [2.0, 0.0, 8.0])


def test_running_sums():
    found = bp.grad(lambda x: np.sum(np.cumsum(x) * np.float32(0.1)))(np.ones(MANY, np.float32))
    expected = np.arange(MANY, 0, -1) * float(np.float32(0.1))
    np.testing.assert_allclose(found, expected, rtol=2.0**-23)


def test_tangents_of_sums():
    x, t = np.zeros((MANY, 2), np.float32), np.full((MANY, 2), 0.1, np.float32)
    total = MANY * float(np.float32(0.1))
    for f in (
        lambda x: np.sum(x, axis=0),
        lambda x: np.mean(x, axis=0) * np.float32(MANY),
        lambda x: np.sum(x, axis=0, keepdims=True)[0],
    ):
        np.testing.assert_allclose(bp.jvp(f, (x,), (t,))[1], total, rtol=60 * 2.0**-24)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_extremes_beside_ties_and_nans(dtype):
    # As many elements equal to an extreme as there are rows, but not one in each.
    x = np.array([[2.0, 2.0, 1.0], [np.nan, 5.0, 7.0], [1.0, 3.0, 2.0]], dtype)
    g = np.array([1.0, 10.0, 100.0], dtype)
    want = np.array([[0.5, 0.5, 0.0], [10.0, 0.0, 0.0], [0.0, 100.0, 0.0]], dtype)
    v = bp.variable(x)
    np.testing.assert_array_equal(bp.gradients(np.max(v, axis=1), v, g), want)
    want = np.array([[0.0, 0.0, 1.0], [10.0, 0.0, 0.0], [100.0, 0.0, 0.0]], dtype)
    got = bp.gradients(np.min(v, axis=1, keepdims=True), v, g[:, None])
    np.testing.assert_array_equal(got, want)
    assert got.dtype == dtype


def test_an_infinite_tangent_beside_an_extreme_is_not_lost_in_it():
    x, t = np.array([1.0, 3.0, 2.0]), np.array([np.inf, 2.0, np.nan])
    assert bp.jvp(np.max, (x,), (t,))[1] == 2.0
    assert bp.jvp(np.max, (np.array([3.0, 3.0, 2.0]),), (t,))[1] == np.inf


@pytest.mark.parametrize("options", [{}, {"axis": 1}, {"dtype": np.float32}, {"dtype": None}])
@pytest.mark.parametrize("ufunc", [np.maximum, np.minimum, np.add, np.multiply])
def test_reduce_takes_a_dtype(ufunc, options):
    x = np.array([[1.0, 3.0], [2.0, 0.5]])
    expected = ufunc.reduce(x, **options)
    found, pull = bp.vjp(lambda x: ufunc.reduce(x, **options), x)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype
    slopes = bp.vjp(lambda x: ufunc.reduce(x, axis=options.get("axis", 0)), x)[1](np.ones(2))[0]
    np.testing.assert_allclose(pull(np.ones(2, found.dtype))[0], slopes, rtol=1e-6)
