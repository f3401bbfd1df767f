"""Carlson's integrals whose last operand is below zero: Cauchy's principal values."""

import mpmath as mp
import numpy as np
import pytest

import fastbp as bp
from fastbp.scipy import special

from ...digits import working_digits

POINTS = {
    "elliprc": [(1.0, -2.0), (2.5, -0.1), (1.0, -1e-3), (40.0, -3.0)],
    "elliprj": [(1.0, 2.0, 3.0, -2.0), (1.0, 1.0, 1.0, -1.0), (2.0, 2.0, 3.0, -4.0)],
}
CASES = [(name, x) for name, points in POINTS.items() for x in points]


def differences(f, x, k, order):
    with working_digits(40):
        step = mp.mpf("1e-10")

        def shifted(n):
            moved = [mp.mpf(v) + (n * step if j == k else 0) for j, v in enumerate(x)]
            return mp.re(f(*moved))

        if order == 1:
            return float((shifted(1) - shifted(-1)) / (2 * step))
        return float((shifted(1) - 2 * shifted(0) + shifted(-1)) / step**2)


@pytest.mark.parametrize(("name", "x"), CASES)
def test_slopes(name, x):
    f, right = getattr(special, name), getattr(mp, name)
    for k in range(len(x)):
        expected = differences(right, x, k, 1)
        np.testing.assert_allclose(bp.grad(f, k)(*x), expected, rtol=1e-12)
        tangents = [float(j == k) for j in range(len(x))]
        np.testing.assert_allclose(bp.jvp(f, x, tangents)[1], expected, rtol=1e-12)


@pytest.mark.parametrize(("name", "x"), CASES)
def test_second_order(name, x):
    f, right = getattr(special, name), getattr(mp, name)
    hessian = bp.hessian(lambda v: f(*v))(np.array(x))
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-11)
    for k in range(len(x)):
        np.testing.assert_allclose(hessian[k, k], differences(right, x, k, 2), rtol=1e-9)


def test_both_sides_in_one_array():
    y = np.array([-2.0, 2.0, -0.5, 1.0])
    slopes = bp.elementwise_grad(lambda y: special.elliprc(1.0, y))(y)
    for slope, v in zip(slopes, y, strict=True):
        np.testing.assert_allclose(slope, bp.grad(lambda v: special.elliprc(1.0, v))(v), rtol=1e-13)
