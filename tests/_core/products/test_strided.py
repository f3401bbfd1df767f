"""Products of batches with any strides: through `matmul`, which writes them in this form."""

import itertools

import numpy as np
import pytest

from fastbp._core.matmul import matmul, matmul_vjp

LAYOUTS = {
    "C": lambda x: x,
    "F": lambda x: np.asfortranarray(x),
    "every other": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "backwards": lambda x: np.ascontiguousarray(x[..., ::-1, :])[..., ::-1, :],
    "swapped": lambda x: np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2),
    "batch last": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0),
}
BATCHES = [
    ((), ()),
    ((3,), (3,)),
    ((3,), ()),
    ((), (3,)),
    ((2, 1), (1, 3)),
    ((2, 3), (3,)),
    ((0,), ()),
]


def close(found, expected, magnitude, terms):
    assert found.shape == expected.shape
    eps = np.finfo(found.dtype).eps
    assert np.all(np.abs(found - expected) <= (terms + 2) * eps * magnitude)


@pytest.mark.parametrize("batches", BATCHES)
@pytest.mark.parametrize(
    "size",
    [(4, 5, 6), (1, 5, 6), (4, 1, 6), (4, 5, 1), (4, 0, 6), (3, 3, 3), (7, 9, 8), (6, 2, 3)],
)
def test_every_layout_and_broadcast(size, batches, rng):
    m, k, n = size
    a = rng.standard_normal((*batches[0], m, k))
    b = rng.standard_normal((*batches[1], k, n))
    for left, right in itertools.product(LAYOUTS, LAYOUTS):
        x, y = LAYOUTS[left](a), LAYOUTS[right](b)
        close(matmul(x, y), np.matmul(a, b), np.matmul(np.abs(a), np.abs(b)), k)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c16"])
@pytest.mark.parametrize(
    "size", list(itertools.product([1, 3, 4, 5], [1, 2, 4, 6, 17], [1, 2, 4, 5]))
)
def test_stacks_of_few_columns(size, dtype, rng):
    """Whole numbers, so that no order of a sum rounds."""
    m, k, n = size
    a = rng.integers(-9, 10, (2, 7, m, k)).astype(dtype)
    b = rng.integers(-9, 10, (7, k, n)).astype(dtype)
    g = rng.integers(-9, 10, (2, 7, m, n)).astype(dtype)
    da, db = np.matmul(g, b.swapaxes(-1, -2)), np.matmul(a.swapaxes(-1, -2), g).sum(axis=0)
    for left, right in itertools.product(LAYOUTS, LAYOUTS):
        x, y = LAYOUTS[left](a), LAYOUTS[right](b)
        np.testing.assert_array_equal(matmul(x, y), np.matmul(a, b))
        for found, expected in zip(matmul_vjp(LAYOUTS[right](g), x, y), (da, db), strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("batches", BATCHES)
def test_cotangents_sum_over_stretched_axes(batches, rng):
    """They are stride 0 in what is written, and fold into the contraction."""
    a, b = rng.standard_normal((*batches[0], 4, 5)), rng.standard_normal((*batches[1], 5, 6))
    g = rng.standard_normal(np.matmul(a, b).shape)

    def summed(x, shape):
        front = tuple(range(x.ndim - len(shape)))
        x = x.sum(front)
        own = tuple(i for i, n in enumerate(shape) if n == 1 and x.shape[i] != 1)
        return x.sum(own, keepdims=True)

    for layout in LAYOUTS:
        da, db = matmul_vjp(LAYOUTS[layout](g), a, b)
        for found, left, right, x in (
            (da, g, b.swapaxes(-1, -2), a),
            (db, a.swapaxes(-1, -2), g, b),
        ):
            expected = summed(np.matmul(left, right), x.shape)
            magnitude = summed(np.matmul(np.abs(left), np.abs(right)), x.shape)
            close(found, expected, magnitude, 6 * max(1, g.size))
