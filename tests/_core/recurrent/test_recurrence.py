"""Linear recurrences along rows."""

import numpy as np
import pytest

from fastbp._core.recurrence import recur
from fastbp.errors import ShapeError


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (0, 4), (4, 0)])
def test_each_row_by_its_definition(shape, dtype, rng):
    a, b = rng.uniform(-1, 1, (2, *shape)).astype(dtype)
    out = np.full(shape, np.nan, dtype)
    recur(a, b, out)
    for i in range(shape[0]):
        previous = out.dtype.type(0)
        for k in range(shape[1]):
            # One rounding less where the compiler contracts a product and a sum.
            previous = a[i, k] * out[i, k - 1] + b[i, k] if k else b[i, k]
            assert abs(out[i, k] - previous) <= 2 * np.finfo(dtype).eps * (1 + abs(previous))


def test_shapes_have_to_agree():
    a = np.ones((2, 3))
    for bad in (np.ones((2, 2)), np.ones((3, 3))):
        with pytest.raises(ShapeError, match="not of one shape"):
            recur(bad, a, a.copy())
        with pytest.raises(ShapeError, match="not of one shape"):
            recur(a, bad, a.copy())
