"""Seeds of compressed sweeps, and the way back: against brute force, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbp._core import coloring, compression
from fastbp.errors import DTypeError, ShapeError

from .test_coloring import compressed, matrices


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_seeds(dtype):
    colors = np.array([1, 0, -1, 2, 1], np.int32)
    found = compression.seeds(colors, 1, 3, dtype)
    assert found.dtype == dtype
    assert np.array_equal(found, [[1, 0, 0, 0, 1], [0, 0, 0, 1, 0]])
    assert compression.seeds(colors, 1, 1, dtype).shape == (0, 5)


def test_bad_seeds():
    with pytest.raises(DTypeError, match="int32"):
        compression.seeds(np.zeros(2, np.int32), 0, 1, np.int32)
    with pytest.raises(ShapeError, match="range"):
        compression.seeds(np.zeros(2, np.int32), 1, 0, "f8")


@given(matrices(), st.randoms())
def test_alone(a, random):
    colors = np.array([random.randint(-1, 3) for _ in range(a.shape[1])], np.int32)
    found = np.zeros(a.shape, bool)
    found[a] = compression.alone(*compressed(a), colors)
    for i, j in np.argwhere(a):
        same = [k for k in np.flatnonzero(a[i]) if colors[k] == colors[j]]
        assert found[i, j] == (colors[j] >= 0 and same == [j])
    assert not found[~a].any()


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("integer", ["i4", "i8"])
def test_gather(dtype, integer):
    x = np.arange(6, dtype=dtype)
    out = np.zeros(4, dtype)
    compression.Gather(np.array([5, 0, 0, 3], integer), None, 6, 4)(x, out)
    assert np.array_equal(out, [5, 0, 0, 3])
    gather = compression.Gather(np.array([1, 2], integer), np.array([3, 0], integer), 6, 4)
    gather(x.reshape(2, 3), out)
    assert np.array_equal(out, [2, 0, 0, 1])


def test_gather_proves_its_bounds():
    for positions in ([0, 4], [-1, 0]):
        with pytest.raises(ShapeError, match="range"):
            compression.Gather(np.array(positions, "i4"), None, 4, 2)
        with pytest.raises(ShapeError, match="range"):
            compression.Gather(np.zeros(2, "i4"), np.array(positions, "i4"), 4, 4)
    with pytest.raises(ShapeError, match="positions for"):
        compression.Gather(np.zeros(2, "i4"), None, 4, 3)
    with pytest.raises(DTypeError, match="float64"):
        compression.Gather(np.zeros(2), None, 4, 2)
    with pytest.raises(DTypeError, match="different"):
        compression.Gather(np.zeros(2, "i4"), np.arange(2), 4, 2)
    given_positions = np.zeros(2, "i4")
    gather = compression.Gather(given_positions, None, 4, 2)
    given_positions[:] = 1000
    assert not gather.positions.any()
    with pytest.raises(ValueError, match="read-only"):
        gather.positions[0] = 1000


@pytest.mark.parametrize(
    ("x", "out", "error"),
    [
        (np.zeros(3), np.zeros(2), ShapeError),
        (np.zeros(4), np.zeros(3), ShapeError),
        (np.zeros(4), np.zeros(2, "f4"), DTypeError),
        (np.zeros(4, int), np.zeros(2, int), DTypeError),
        (np.zeros(8)[::2], np.zeros(2), ValueError),
        (np.zeros(4), np.zeros(4)[::2], ValueError),
        (np.zeros(4), np.frombuffer(bytes(16)), ValueError),
        (np.zeros(4, ">f8"), np.zeros(2), ValueError),
    ],
)
def test_compressed_arrays_are_checked(x, out, error):
    steps = np.array([[0, -1, 0, 1]])
    for kernel in (
        compression.Gather(np.zeros(2, "i4"), None, 4, 2),
        compression.Substitution(steps, 4, 2),
    ):
        with pytest.raises(error):
            kernel(x, out)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@given(a=matrices(square=True))
def test_substitution(dtype, a):
    a = a | a.T
    indptr, indices = compressed(a)
    colors, count = coloring.symmetric(indptr, indices, np.arange(len(a), dtype=np.int32), True)
    numbers, _ = coloring.edges(indptr, indices)
    steps = compression.peel(indptr, indices, numbers, colors)
    rng = np.random.default_rng(len(a))
    h = np.where(a, rng.integers(-8, 9, a.shape), 0).astype(dtype)  # exact in both dtypes
    h = np.triu(h) + np.triu(h, 1).T
    product = np.ascontiguousarray((h @ compression.seeds(colors, 0, count, dtype).T).T)
    data = np.full(len(indices), np.nan, dtype)
    compression.Substitution(steps, product.size, len(indices))(product, data)
    assert np.array_equal(data, h[a])


def test_substitution_proves_its_bounds():
    for step in ([4, -1, 0, 0], [-1, -1, 0, 0], [0, 4, 0, 0], [0, -1, 2, 0], [0, -1, 0, -2]):
        with pytest.raises(ShapeError, match="bounds"):
            compression.Substitution(np.array([step]), 4, 2)
    with pytest.raises(ShapeError, match="shape"):
        compression.Substitution(np.zeros((2, 3), int), 4, 2)


def test_peel_refuses():
    indptr, indices = compressed(np.ones((3, 3)))
    numbers, _ = coloring.edges(indptr, indices)
    one = np.zeros(3, np.int32)
    assert compression.peel(indptr, indices, numbers, one) is None
    assert compression.peel(indptr, indices, numbers, one - 1) is None
    with pytest.raises(ShapeError, match="more than two"):
        compression.peel(indptr, indices, numbers * 0, one)
    with pytest.raises(ShapeError, match="fit"):
        compression.peel(indptr, indices, numbers, np.zeros(2, np.int32))
