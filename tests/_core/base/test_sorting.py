"""Orders of rows, against NumPy's stable sort."""

import numpy as np
import pytest

from fastbp._core import sorting

SPECIAL = [np.inf, -np.inf, np.nan, 5e-324, -5e-324, 1e308, -1e308, 1.0, -1.0]


def numbers(rng, kind, n):
    x = rng.normal(size=(3, n))
    if kind == "many equal":
        x = np.round(x, 1) + 0.0
    elif kind == "far apart":
        x = x * 10.0 ** rng.integers(-300, 300, x.shape)
    elif kind == "special":
        x[:, : 9 * 20] = rng.permutation(SPECIAL * 20)
    elif kind == "constant":
        x[:] = -1.5
    return x


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [0, 1, 300, sorting.LEAST, sorting.LEAST + 1, 20_000])
@pytest.mark.parametrize("kind", ["normal", "many equal", "far apart", "special", "constant"])
def test_orders_are_those_of_a_stable_sort(rng, kind, n, dtype):
    if kind == "special" and n < 300:
        return
    with np.errstate(over="ignore"):
        x = numbers(rng, kind, n).astype(dtype)
    for array in (x, x[1], np.asfortranarray(x), x[:, ::-1]):
        found = sorting.argsort(array)
        assert found.dtype == np.intp
        np.testing.assert_array_equal(found, np.argsort(array, -1, kind="stable"))


def test_zeros_of_both_signs_are_equal(rng):
    x = rng.permutation(np.concatenate([np.zeros(2000), -np.zeros(2000), rng.normal(size=100)]))
    np.testing.assert_array_equal(sorting.argsort(x), np.argsort(x, kind="stable"))


def test_other_dtypes_are_numpys(rng):
    n = sorting.LEAST
    for x in (
        rng.integers(0, 9, n),
        rng.normal(size=n) + 1j,
        rng.normal(size=n).astype(">f8"),
        rng.normal(size=n).astype(np.float16),
        np.array(1.0)[None],
    ):
        np.testing.assert_array_equal(sorting.argsort(x), np.argsort(x, kind="stable"))
