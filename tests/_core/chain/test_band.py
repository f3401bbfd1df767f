"""Products with bands: against the full matrices."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbp._core import band
from fastbp.errors import ShapeError


def dense_of(rows, lower, upper, n):
    out = np.zeros((len(rows), n), rows.dtype)
    for i, j in np.ndindex(out.shape):
        if -lower <= j - i <= upper:
            out[i, j] = rows[i, lower + j - i]
    return out


@given(
    st.integers(0, 8), st.integers(0, 8), st.integers(0, 8), st.integers(0, 20),
    st.tuples(*[st.integers(0, 9)] * 4), st.sampled_from([np.float64, np.float32]),
    st.integers(0, 2**32),
)  # fmt: skip
def test_bands(m, n, p, k, widths, dtype, seed):
    rng = np.random.default_rng(seed)
    la, ua, lb, ub = widths
    # Zero outside, as the kernels ask for.
    a = band.band_transpose(
        band.band_transpose(rng.standard_normal((m, la + ua + 1)).astype(dtype), la, ua, n),
        ua, la, m,
    )  # fmt: skip
    b = rng.standard_normal((n, lb + ub + 1)).astype(dtype)
    b = band.band_transpose(band.band_transpose(b, lb, ub, p), ub, lb, n)
    x, y = dense_of(a, la, ua, n), dense_of(b, lb, ub, p)
    left, right = (rng.standard_normal(s).astype(dtype) for s in ((k, m), (n, k)))
    close = functools.partial(
        np.testing.assert_allclose, atol=1e-12 if dtype is np.float64 else 1e-4
    )
    np.testing.assert_array_equal(band.band_dense(a, la, ua, n), x)
    close(band.band_right(a, la, ua, n, right), x @ right)
    close(band.band_left(left, a, la, ua, n), left @ x)
    close(dense_of(band.band_transpose(a, la, ua, n), ua, la, m), x.T)
    both = band.band_band(a, la, ua, b, lb, ub, p)
    close(dense_of(both, la + lb, ua + ub, p), x @ y)


def test_bands_refuse():
    rows, x = np.ones((3, 3)), np.ones((2, 2))
    with pytest.raises(ShapeError, match="diagonals"):
        band.band_dense(rows, 1, 2, 3)
    with pytest.raises(ShapeError, match="x has 2 rows"):
        band.band_right(rows, 1, 1, 3, x)
    with pytest.raises(ShapeError, match="x has 2 columns"):
        band.band_left(x, rows, 1, 1, 3)
