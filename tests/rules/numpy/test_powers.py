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


# What has a square: the operation, and that square written out.
ROOTS = {
    "sqrt": (np.sqrt, lambda x: x),
    "half": (lambda x: x**0.5, lambda x: x),
    "of_sum": (lambda x: np.sqrt(np.sum(x * x)), lambda x: np.sum(x * x)),
    "absolute": (np.abs, lambda x: x * x),
    "fabs": (np.fabs, lambda x: x * x),
    "complex": (lambda x: np.abs(x - 2j * x[::-1]), lambda x: x * x + 4.0 * (x * x)[::-1]),
    "hypot": (lambda x: np.hypot(x, x[::-1]), lambda x: x * x + (x * x)[::-1]),
    "hypot_constant": (
        lambda x: np.hypot(x, np.array([0.0, 0.5, 3.0])),
        lambda x: x * x + np.array([0.0, 0.25, 9.0]),
    ),
    "norm": (np.linalg.norm, lambda x: np.sum(x * x)),
    "norms": (
        lambda x: np.linalg.norm(np.stack((x, 2.0 * x)), axis=0),
        lambda x: 5.0 * (x * x),
    ),
    "std": (np.std, np.var),
}
# The same behind what moves elements, scales them by a number, or copies.
MOVED = {
    "reversed": (lambda x: np.abs(x)[::-1], lambda x: (x * x)[::-1]),
    "picked": (lambda x: np.sqrt(x)[[2, 0, 0]], lambda x: x[[2, 0, 0]]),
    "element": (lambda x: np.hypot(x, 2.0 * x)[0], lambda x: 5.0 * (x * x)[0]),
    "reshaped": (
        lambda x: np.abs(x).reshape(3, 1).T[0].copy(),
        lambda x: x * x,
    ),
    "repeated": (lambda x: np.linalg.norm(x)[None].repeat(3), lambda x: np.sum(x * x)),
    "lower": (
        lambda x: np.tril(np.broadcast_to(np.abs(x), (3, 3)))[1],
        lambda x: np.array([1.0, 1.0, 0.0]) * (x * x),
    ),
    "scaled": (lambda x: -2.0 * np.abs(x) / np.float64(3.0), lambda x: 4.0 / 9.0 * (x * x)),
    "copied": (lambda x: (+np.sqrt(x)).astype(float), lambda x: x),
    "spectrum": (
        lambda x: np.abs(np.fft.fft(x * np.array([1.0, 0.0, 0.0])))[1:].repeat(2)[:3] / 3,
        lambda x: (x * x)[0] / 9.0,
    ),
}
WEIGHTS = np.array([1.0, -0.5, 2.0])
EVEN = [2, 4, 6, 8, 10, 4.0, np.int64(4), np.float64(6.0), np.array(4), np.array([2, 4, 6])]
OTHER = [0, 1, 3, 5, -1, -2, -4, 3.0, np.array([4, 3, -2]), np.array([0, 2, 4])]


def with_power(make, n):
    return lambda x: np.sum(np.power(make(x), n) * WEIGHTS)


def along(f, x, v, order):
    """The derivatives of ``f(x + t v)`` by t at 0, one in each order, in both modes in turn."""

    def d(t):
        return f(x + t * v)

    found = []
    for k in range(order):
        d = bp.grad(d) if k % 2 == 0 else lambda t, d=d: bp.jvp(d, (t,), (np.ones(()),))[1]
        found.append(d(np.array(0.0)))
    return np.array(found)


@pytest.mark.parametrize("name", [*ROOTS, *MOVED])
@pytest.mark.parametrize("n", EVEN, ids=repr)
@pytest.mark.parametrize("x", [[0.7, 1.2, 2.0], [0.0, 1.2, 0.0], [0.0, 0.0, 0.0]], ids=str)
def test_even_powers_are_powers_of_the_square(name, n, x, rng):
    root, square = {**ROOTS, **MOVED}[name]
    x, v = np.array(x), rng.uniform(0.5, 1.0, 3)
    half = np.broadcast_to(np.asarray(n) // 2, 3).astype(int)

    def expected(x):
        s = square(x) * np.ones(3)
        powers = [s]
        for _ in range(4):
            powers.append(powers[-1] * s)
        return np.sum(np.stack([powers[h - 1][i] for i, h in enumerate(half)]) * WEIGHTS)

    f = with_power(root, n)
    np.testing.assert_allclose(f(x), expected(x), rtol=1e-13)
    want = bp.grad(expected)(x)
    compiled = bp.compile(bp.grad(f))
    for found in (
        bp.grad(f)(x),
        bp.grad(lambda x: np.sum((root(x) ** n) * WEIGHTS))(x),
        bp.jacobian(f, mode="forward")(x),
        compiled(x + 0.1) * 0.0 + compiled(x),
        bp.vmap(bp.grad(f))(np.stack((x + 0.1, x)))[1],
    ):
        np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-14)
    want = bp.hessian(expected)(x)
    np.testing.assert_allclose(bp.hessian(f)(x), want, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(bp.compile(bp.hessian(f))(x), want, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(along(f, x, v, 3), along(expected, x, v, 3), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ROOTS)
@pytest.mark.parametrize("n", OTHER, ids=repr)
def test_all_other_powers_of_what_has_a_square(name, n, rng):
    root, square = ROOTS[name]
    x, v = np.array([0.7, 1.2, 2.0]), rng.uniform(0.5, 1.0, 3)
    f = with_power(root, n)
    expected = with_power(lambda x: np.exp(0.5 * np.log(square(x))), n)
    want = bp.grad(expected)(x)
    for found in (bp.grad(f)(x), bp.jacobian(f, mode="forward")(x), bp.compile(bp.grad(f))(x)):
        np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(along(f, x, v, 3), along(expected, x, v, 3), rtol=1e-10, atol=1e-12)


def test_an_even_power_behind_a_cast_is_smooth():
    x = np.array([0.0, 2.0], np.float32)
    for dtype in (np.float64, np.complex64):
        found = bp.hessian(lambda x, d=dtype: np.sum((np.abs(x).astype(d) ** 2).real))(x)
        np.testing.assert_array_equal(found, 2.0 * np.eye(2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("factor", [1e-30, 1e30, -3.0, np.array(1e-30), np.array([1e30, 2e30])])
def test_a_factor_whose_square_leaves_the_range(factor, dtype):
    """Its square is not made: the slope is in the range."""
    c = np.asarray(factor, dtype)
    x = np.array([1.5, -1.5], dtype) / c
    factor = c if isinstance(factor, np.ndarray) else factor
    expected = 2.0 * c * (c * x)
    for f in (lambda x: factor * np.abs(x), lambda x: -np.abs(x) / (1.0 / factor)):
        found = bp.grad(lambda x, f=f: np.sum(f(x) ** 2))(x)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_powers_of_complex_roots(rng):
    z = normal(rng, 3, complex) + 2.0
    for n in (2, 4, 6, np.array([2, 4, 6])):
        check_grads(lambda z, n=n: np.sqrt(z) ** n, z, order=2)
        pull = bp.vjp(lambda z, n=n: np.sqrt(z) ** n, z)[1]
        expected = (n / 2) * z ** (np.asarray(n) / 2 - 1)
        np.testing.assert_allclose(pull(np.ones(3, complex))[0], expected, rtol=1e-13)


@pytest.mark.parametrize("root", [np.abs, np.fabs, np.sqrt, lambda x: np.hypot(x, 2.0 * x)])
@pytest.mark.parametrize("n", [[2, 3, -2, 4], [2.0, 0.5, 2.0, 2.5], [1, 2, 2, 0]], ids=repr)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_exponents_of_all_kinds_side_by_side(root, n, dtype):
    """Each element is what it would be alone, also where the exponents are on the record."""
    x = np.array([0.0, 1.5, 2.0, 0.5], dtype)
    n = np.array(n, None if dtype == np.float64 else dtype)
    if root is np.abs or root is np.fabs:
        x[3] *= -1.0

    def second(f, x):
        return bp.grad(lambda x: np.sum(bp.grad(lambda x: np.sum(f(x)))(x)))(x)

    def f(x):
        return root(x) ** n

    def by_mask(x):
        return root(x) ** np.where(x < 1.0, n, np.flip(n))

    for g, exponents in ((f, n), (by_mask, np.where(x < 1.0, n, n[::-1]))):
        value = bp.vjp(g, x)[0]
        assert value.dtype == g(x).dtype
        np.testing.assert_array_equal(value, g(x))
        for derivative in (lambda f, x: bp.grad(lambda x: np.sum(f(x)))(x), second):
            want = np.concatenate(
                [
                    derivative(lambda x, e=e: root(x) ** e.item(), x[i : i + 1])
                    for i, e in enumerate(exponents)
                ]
            )
            rtol = 1e-5 if dtype == np.float32 else 1e-12
            compiled = bp.compile(lambda x, g=g, d=derivative: d(g, x))
            for found in (derivative(g, x), compiled(x + 1) * 0 + compiled(x), compiled(x)):
                np.testing.assert_allclose(found, want, rtol=rtol, atol=rtol)
