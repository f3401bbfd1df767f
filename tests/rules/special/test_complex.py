"""Complex arguments far out, next to cuts, and where a function is not holomorphic."""

import numpy as np
import pytest
from scipy import special

import fastbp as bp
import fastbp.scipy.special as bsp
from fastbp.errors import DTypeError

RELATIVE = 1e-6  # of a central difference whose step is 1e-5, or that of the argument


def pulled(f, z, g=1.0):
    value, pull = bp.vjp(f, np.array([z]))
    return pull(np.array([g], value.dtype))[0][0]


def pushed(f, z, t):
    return bp.jvp(f, (np.array([z]),), (np.array([t]),))[1][0]


def quotient(f, z, t):
    h = 1e-5 * min(1.0, abs(z))
    z = np.array([z])
    return ((f(z + h * t) - f(z - h * t)) / (2.0 * h))[0]


FAR = [
    (bsp.erfcx, [13 + 1j, 100 - 50j, 2 + 13j, -3 + 2j, 11.9 + 0.1j]),
    (bsp.log_ndtr, [-13 + 1j, -100 + 50j, -2 + 13j, 3 - 1j]),
    (lambda z: bsp.airye(z)[0], [15 + 3j, 40 - 30j, 5 + 13j, -4 + 2j]),
    (lambda z: bsp.airye(z)[1], [15 + 3j, 40 - 30j, 5 + 13j, -4 + 2j]),
    (lambda z: bsp.elliprf(z, 1 + 2j, 0.5 - 1j), [1e-3j, 100j, -3 - 0.3j, -2 + 1j]),
    (lambda z: bsp.elliprc(2 - 1j, z), [1e-2j, 100j, -3 - 0.5j]),
    (lambda z: bsp.elliprd(1 + 2j, 0.5, z), [0.1j, 10j, -3 - 0.5j]),
    (lambda z: bsp.elliprg(z, 1 + 2j, 0.5), [0.1j, 10j, -3 - 0.5j]),
    (lambda z: bsp.elliprj(0.5, 1 + 2j, 1 - 2j, z), [0.5 + 0j, 30 + 4j]),
]


@pytest.mark.parametrize(("f", "points"), FAR)
def test_far_out_and_beside_cuts(f, points):
    for z in points:
        expected = quotient(f, z, 1.0)
        assert abs(pulled(f, z) - expected) <= RELATIVE * abs(expected), z
        assert abs(pushed(f, z, 1j) - 1j * expected) <= RELATIVE * abs(expected), z
        second = quotient(lambda z: np.array([pulled(f, z[0])]), z, 1.0)
        found = pulled(lambda z: bp.vjp(f, z)[1](np.ones(1, complex))[0], z)
        assert abs(found - second) <= 100 * RELATIVE * abs(second), z


def test_slopes_far_out_have_their_digits():
    """Where 2 z erfcx(z) is nearly 2 / sqrt(pi): by the asymptotic series."""
    for z in (1e4 + 1e4j, 3e6 - 1j, 1e3 + 2j):
        expected = -1.0 / np.sqrt(np.pi) / z**2 * (1.0 - 1.5 / z**2)
        assert abs(pulled(bsp.erfcx, z) - expected) < 1e-9 / abs(z) ** 2
    z = 400.0 + 300.0j
    expected = -0.125 / np.sqrt(np.pi) * z**-1.25
    assert abs(pulled(lambda z: bsp.airye(z)[0], z) - expected) < 1e-3 * abs(expected)


@pytest.mark.parametrize("name", ["ive", "jve", "yve"])
@pytest.mark.parametrize("z", [1.3 + 0.4j, -2.0 + 1.5j, 30.0 - 20.0j, 0.5 - 900.0j, 900.0 + 3.0j])
def test_factors_of_one_part_are_differentiated_along_both(name, z):
    f = lambda z: getattr(bsp, name)(1.5, z)
    for t in (1.0 + 0j, 1j):
        expected = quotient(f, z, t)
        assert np.isfinite(expected)
        assert abs(pushed(f, z, t) - expected) <= 1e-5 * abs(f(z))
    u = 2.0 - 0.5j
    both = [(u * quotient(f, z, t)).real for t in (1.0, 1j)]
    assert abs(pulled(f, z, u) - (both[0] - 1j * both[1])) <= 2e-5 * abs(f(z))


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("z", [2.0 + 1.0j, -2.0 + 0.5j, 30.0 + 20.0j, 100.0 - 1j])
def test_scaled_bi_is_differentiated_along_both_parts(k, z):
    f = lambda z: bsp.airye(z)[k]
    for t in (1.0 + 0j, 1j):
        assert abs(pushed(f, z, t) - quotient(f, z, t)) <= 1e-5 * abs(z) * abs(f(z))


def test_scaled_airy_of_negative_real_numbers():
    """Ai has no real scaled value there, Bi is Bi itself."""
    x = np.array([-3.0, -0.5])
    with np.errstate(invalid="ignore"):
        assert np.isnan(bp.grad(lambda x: bsp.airye(x)[0].sum())(x)).all()
    np.testing.assert_allclose(bp.grad(lambda x: bsp.airye(x)[2].sum())(x), special.airy(x)[3])
    np.testing.assert_allclose(
        bp.grad(lambda x: bsp.airye(x)[3].sum())(x), x * special.airy(x)[2], rtol=1e-13
    )


def test_a_value_of_cauchys_has_no_slope():
    assert np.isnan(pulled(lambda y: bsp.elliprc(1.0 + 0j, y), -2.0 + 0j))
    assert np.isfinite(pulled(lambda y: bsp.elliprc(1.0 + 0j, y), -2.0 + 0.5j))


def test_zeta_of_complex_numbers():
    try:
        special.zeta(2.0 + 1j)
    except TypeError:  # before SciPy 1.15
        with pytest.raises(DTypeError, match=r"^scipy\.special\.zeta"):
            pulled(bsp.zeta, 2.0 + 1j)
        return
    for z in (0.5 + 14.1j, 2.0 - 300.0j, -3.0 + 40.0j, -20.5 - 3.0j, -0.1 + 500.0j):
        expected = quotient(special.zeta, z, 1.0)
        assert abs(pulled(bsp.zeta, z) - expected) <= 1e-4 * abs(expected)
    assert np.isnan(pulled(bsp.zeta, 2.0 + 2e5j))


# ---- sums of exponentials

INF = np.inf
SUMMED = [
    np.array([[1.0 + 2.0j, 900.0 + 50.0j], [2.0 - 30.0j, 899.0 - 1.0j]]),
    np.array([1e3 + 1j, 1e3 + 1j]),
    np.array([0.0, 1e-20j]),
    np.array([-INF, -INF + 0j]),
    np.array([-INF + 0j, 1.0 + 5j]),
    np.array([INF + 0j, 1.0]),
]


@pytest.mark.parametrize("z", SUMMED)
@pytest.mark.parametrize("name", ["logsumexp", "softmax", "log_softmax"])
def test_sums_of_exponentials_have_the_values_of_scipy(name, z):
    with np.errstate(all="ignore"):
        expected = getattr(special, name)(z)
        found, _ = bp.vjp(getattr(bsp, name), z)
    if name == "logsumexp":  # SciPy before 1.15 leaves whole turns
        expected = expected.real + 1j * np.pi * (1 - (1 - expected.imag / np.pi) % 2)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-300)


def test_the_sum_of_nothing():
    value, pull = bp.vjp(bsp.logsumexp, np.zeros(0, complex))
    assert value == -INF  # as SciPy since 1.15
    assert pull(1.0 + 0j)[0].shape == (0,)


def test_small_terms_keep_their_digits():
    z = np.array([0.0, -50.0 + 1j])
    value, _ = bp.vjp(bsp.logsumexp, z)
    np.testing.assert_allclose(value, np.exp(z[1]), rtol=1e-15)


def test_weights_and_signs_are_complex():
    z, b = np.array([1.0 + 2.0j, 700.0 - 1.0j, 3.0]), np.array([2.0 - 1.0j, 0.0, -1.0])
    out, sign = bsp.logsumexp(bp.variable(z), b=b, return_sign=True)
    total = np.sum(b[[0, 2]] * np.exp(z[[0, 2]]))
    np.testing.assert_allclose(out.value, np.log(abs(total)), rtol=1e-14)
    np.testing.assert_allclose(sign.value, total / abs(total), rtol=1e-14)

    def again(z, b):
        out, sign = bsp.logsumexp(z, b=b, return_sign=True)
        return np.exp(out) * sign

    found = bp.vjp(again, z, b)[1](1.0)
    np.testing.assert_allclose(found[0], b * np.exp([z[0], 0.0, z[2]]), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(found[1][[0, 2]], np.exp(z[[0, 2]]), rtol=1e-13)


def test_infinite_terms_share():
    slope = bp.vjp(bsp.logsumexp, np.array([INF + 0j, 1.0, INF + 0j]))[1](1.0 + 0j)[0]
    np.testing.assert_array_equal(slope, [0.5, 0.0, 0.5])
    slope = bp.vjp(bsp.logsumexp, np.array([-INF + 0j, -INF + 0j]))[1](1.0 + 0j)[0]
    np.testing.assert_array_equal(slope, [0.0, 0.0])
    for b in (2.0, np.array([1.0, 0.0])):
        f = lambda z, b=b: bsp.logsumexp(z, b=b)
        np.testing.assert_array_equal(bp.vjp(f, np.array([INF + 0j, 1j]))[1](1 + 0j)[0], [1, 0])
