"""Degrees below zero, and orders of which SciPy takes the whole part."""

import numpy as np
import pytest
from scipy import special

import fastbp as bp

POLYNOMIALS = "legendre chebyt chebyu chebyc chebys sh_legendre sh_chebyt sh_chebyu".split()


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_negative_degrees(name):
    f, x = getattr(special, f"eval_{name}"), 0.37
    for n in (-1, -2, -3, -4, -5, -3.0):
        value = lambda x, n=n: f(n, x)
        slope = (value(x + 1e-6) - value(x - 1e-6)) / 2e-6
        np.testing.assert_allclose(bp.grad(value)(x), slope, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(bp.jvp(value, (x,), (1.0,))[1], slope, rtol=1e-7, atol=1e-9)
        second = (bp.grad(value)(x + 1e-6) - bp.grad(value)(x - 1e-6)) / 2e-6
        np.testing.assert_allclose(bp.grad(bp.grad(value))(x), second, rtol=1e-6, atol=1e-8)


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("f", "orders"),
    [
        (special.expn, (0.5,)),
        (special.expn, (1.5,)),
        (special.expn, (3.7,)),
        (special.bdtr, (1.5, 2.5)),
        (special.bdtrc, (1.5, 2.5)),
        (special.nbdtr, (2.5, 2.5)),
        (special.nbdtrc, (2.5, 2.5)),
    ],
)
def test_orders_between_whole_numbers(f, orders):
    value = lambda x: f(*orders, x)
    slope = (value(0.3 + 1e-6) - value(0.3 - 1e-6)) / 2e-6
    np.testing.assert_allclose(bp.grad(value)(0.3), slope, rtol=1e-7)
