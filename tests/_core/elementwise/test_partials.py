"""From partial derivatives to programs: what is constant, what is read, and what is computed."""

import numpy as np
import pytest

from fastbp._core import loops, partials

DOUBLE = 12  # NumPy's type number
PRODUCT = (lambda z, x, y: y, lambda z, x, y: x)
pytestmark = pytest.mark.skipif(
    not loops.has_loop(np.add, "f8"), reason="NumPy's inner loops are not used here"
)


def test_constants_and_reads():
    constants, reads = partials.analyse((lambda z, x: 2.0,), 1)
    assert constants == (2.0,)
    assert reads == [0]
    constants, reads = partials.analyse(PRODUCT, 2)
    assert constants == (None, None)
    assert reads == [0b10, 0b01]
    (mask,) = partials.analyse((lambda z, x: z,), 1)[1]
    assert mask not in (0, 1)  # the answer, no operand


def test_a_pull_multiplies_by_the_partials(rng):
    x, y, z, g = rng.normal(size=(4, 5))
    run = partials.compile_pull(PRODUCT, (None, None), 0, 0b11, 0, False, DOUBLE)
    np.testing.assert_array_equal(run(x, y, z, g), [g * y, g * x])
    run = partials.compile_pull(PRODUCT, (None, None), 0, 0b10, 0, False, DOUBLE)
    np.testing.assert_array_equal(run(x, y, z, g), [g * x])


def test_a_pull_adds_into_what_is_there(rng):
    x, y, z, g, there = rng.normal(size=(5, 5))
    run = partials.compile_pull(PRODUCT, (None, None), 0, 0b01, 0b01, False, DOUBLE)
    np.testing.assert_array_equal(run(x, y, z, g, there), [there + g * y])


def test_a_zero_cotangent_is_strong():
    run = partials.compile_pull((lambda z, x: 1.0 / x,), (None,), 0, 1, 0, False, DOUBLE)
    zero, one = np.zeros(1), np.ones(1)
    np.testing.assert_array_equal(run(zero, zero, zero), [[0.0]])
    np.testing.assert_array_equal(run(zero, zero, one), [[np.inf]])


def test_a_push_adds_the_terms(rng):
    x, y, z, s, t = rng.normal(size=(5, 5))
    run = partials.compile_push(PRODUCT, (None, None), 0, 0b11, False, DOUBLE)
    np.testing.assert_allclose(run(x, y, z, s, t), [s * y + t * x], rtol=4e-16, atol=4e-16)


@pytest.mark.parametrize("forward", [np.exp, lambda x: np.exp(x)])
def test_a_forward_is_a_ufunc_or_an_expression(forward):
    (found,) = partials.compile_forward(forward, 1, DOUBLE)(np.array([0.0, 1.0]))
    np.testing.assert_allclose(found, [1.0, np.e], rtol=4e-16)
