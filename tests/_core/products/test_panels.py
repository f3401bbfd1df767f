"""Products with a matrix that is packed once."""

import numpy as np
import pytest

from fastbp._core import panels
from fastbp.errors import DTypeError, ShapeError

SIZES = [(1, 1, 1), (3, 5, 7), (17, 33, 9), (64, 48, 80), (130, 257, 65), (5, 0, 3), (0, 4, 2)]


def bound(a, b):
    """What k roundings of the sum of absolute terms allow."""
    eps = np.finfo(a.dtype).eps
    return (a.shape[1] + 2) * eps * (np.abs(a) @ np.abs(b)) + np.finfo(a.dtype).tiny


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("trans_b", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_product(size, trans_b, dtype, rng):
    m, k, n = size
    a = rng.standard_normal((m, k)).astype(dtype)
    b = rng.standard_normal((k, n)).astype(dtype)
    found = panels.product(a, np.ascontiguousarray(b.T) if trans_b else b, trans_b, 2)
    assert found.dtype == dtype
    assert np.all(np.abs(found - a @ b) <= bound(a, b))


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("size", SIZES)
def test_inner(size, dtype, rng):
    m, k, n = size
    a = rng.standard_normal((k, m)).astype(dtype)
    b = rng.standard_normal((k, n)).astype(dtype)
    assert np.all(np.abs(panels.inner(a, b) - a.T @ b) <= bound(a.T, b))


def test_what_is_refused():
    a = np.ones((2, 3))
    with pytest.raises(ShapeError, match=r"\(2, 3\) does not fit \(2, 3\)"):
        panels.product(a, a)
    with pytest.raises(ShapeError, match=r"inner: .* does not fit"):
        panels.inner(a, a.T.copy())
    with pytest.raises(ShapeError, match="two matrices"):
        panels.product(a, np.ones(3))
    for b in (np.ones((3, 2), "f4"), np.ones((2, 3)).T, np.ones((3, 2), int)):
        with pytest.raises(DTypeError):
            panels.product(a, b)
