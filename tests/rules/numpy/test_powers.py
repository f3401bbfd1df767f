"""Powers with constant exponents that are small integers: products, with the values of powers."""

import numpy as np
import pytest

import fastbp as bp
from fastbp._core.tape import Tape
from fastbp.rules.numpy.elementwise import LARGEST_PRODUCT, PRODUCTS
from fastbp.testing import check_grads

from ...harness import normal

EXPONENTS = [n for n in range(-LARGEST_PRODUCT, LARGEST_PRODUCT + 1) if n]
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 2.0, -2.0, 1e-200, -1e200]
by_exponent = pytest.mark.parametrize("n", EXPONENTS)


def recorded(y, x):
    return [link.op.name for link in Tape([y], [x]).links() if link.op is not None]


@by_exponent
@pytest.mark.parametrize("write", [lambda x, n: x**n, np.power, bp.numpy.power])
def test_the_exponent_chooses_the_operation(write, n):
    x = bp.variable(np.ones(3))
    for exponent in (n, float(n), np.float64(n)):
        assert recorded(write(x, exponent), x) == [PRODUCTS[n].name]


@pytest.mark.parametrize("exponent", [0, 2.5, 9, -9, np.arange(3.0), np.array(3.0)])
def test_all_other_exponents_are_powers(exponent):
    x = bp.variable(np.ones(3))
    assert recorded(x**exponent, x) == ["power"]


@by_exponent
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_values_and_slopes_at_special_points_are_those_of_powers(n, dtype):
    with np.errstate(all="ignore"):
        x = np.array(SPECIAL, dtype)
        value, pull = bp.vjp(lambda x: x**n, x)
        expected = np.power(x, float(n)).astype(dtype)
        slope = (n * np.power(x, float(n - 1))).astype(dtype)
        found = pull(np.ones_like(x))[0]
    for got, want in ((value, expected), (found, slope)):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=16 * np.finfo(dtype).eps)
        numbers = ~np.isnan(want)
        if got is value:
            np.testing.assert_array_equal(np.signbit(got[numbers]), np.signbit(want[numbers]))


@by_exponent
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_product_rounds_once(n, dtype, rng):
    """So the error is at most |n| - 1 half units, and two more for a quotient."""
    x = rng.uniform(-2.0, 2.0, 500).astype(dtype)
    x = x[np.abs(x) > 0.1]
    exact = np.power(x.astype(np.longdouble), n)
    bound = (abs(n) - 1 + 2 * (n < 0)) * np.finfo(dtype).eps / 2 + np.finfo(np.float64).eps / 4
    found = (bp.variable(x) ** n).value
    np.testing.assert_array_less(np.abs(found - exact) / np.abs(exact), bound)


@by_exponent
def test_all_orders_with_negative_numbers(n, rng):
    x = rng.uniform(0.5, 1.5, 4) * [1, -1, 1, -1]
    check_grads(lambda x: x**n, x, order=3)
    z = normal(rng, 4, complex) + 2j
    check_grads(lambda z: z**n, z, order=2)
    expected = np.power(z, n)
    np.testing.assert_allclose((bp.variable(z) ** n).value, expected, rtol=1e-14)
    h = bp.hessian(lambda x: np.sum(x**n))(x)
    np.testing.assert_allclose(np.diag(h), n * (n - 1) * x ** float(n - 2), rtol=1e-13)


@pytest.mark.parametrize("n", [2, 4, 20, 2.0, 4.0, np.float64(4), np.array(4), np.array([4, 2])])
def test_an_even_power_of_a_kink_is_smooth(n):
    x = np.array([0.0, -2.0])
    h = bp.hessian(lambda x: np.sum(np.abs(x) ** n))(x)
    np.testing.assert_allclose(np.diag(h), n * (n - 1) * np.power(x, n - 2))


def test_float32_stays_float32():
    x = bp.variable(np.ones(2, np.float32))
    assert (x**3).dtype == np.float32
    assert (x ** np.float64(3)).dtype == np.float64


def test_division_by_zero_warns():
    x = bp.variable(np.zeros(2))
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        x**-2
