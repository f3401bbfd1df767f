"""The one place that knows the dtypes of recorded values."""

import numpy as np
import pytest

from fastbp._core import dtypes
from fastbp.errors import DTypeError


def test_slots_are_positions_in_the_list():
    assert [dtypes.slot(d) for d in dtypes.DIFFERENTIABLE] == [0, 1, 2, 3]
    assert [d.char for d in dtypes.DIFFERENTIABLE] == ["f", "d", "F", "D"]
    assert dtypes.FLOATS == dtypes.DIFFERENTIABLE[:2]


@pytest.mark.parametrize("dtype", ["f2", "g", "G", "i8", "?", "U1", "O", ">f8"])
def test_what_has_no_slot(dtype):
    assert dtypes.slot(dtype) == -1


def test_check_brings_to_native_order():
    found = dtypes.check(">f8", "x")
    assert found.isnative
    assert found == np.dtype("f8")
    with pytest.raises(DTypeError, match=r"^x: dtype float16; float64"):
        dtypes.check("f2", "x")
