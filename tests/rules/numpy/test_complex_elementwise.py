"""Elementwise operations on complex numbers: every row, dtype, layout, mode and order.

And the points where formulas for real numbers would be wrong.
"""

import operator

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import sweep
from fastbp._core.tape import Tape
from fastbp.errors import DTypeError
from fastbp.testing import check_grads

from ...harness import ELEMENTWISE, LAYOUTS, laid_out, normal, operands_of

COMPLEX = (np.complex128, np.complex64)
INF, NAN = np.inf, np.nan
HOLOMORPHIC = {name: op for name, op in ELEMENTWISE.items() if op.on_complex is not None}
REFUSED = {name: op for name, op in ELEMENTWISE.items() if op.on_complex is None}
by_row = pytest.mark.parametrize("name", HOLOMORPHIC)
by_dtype = pytest.mark.parametrize("dtype", COMPLEX, ids=lambda d: d.__name__)


def points(name, rng, shapes, dtype):
    """Sample complex operands: real parts from the row's domain, imaginary ones beside it."""
    op = HOLOMORPHIC[name]
    return [
        (x + 1j * rng.uniform(0.2, 0.9, x.shape)).astype(dtype)
        for x in operands_of(op, shapes, rng)
    ]


def paired(a, b):
    return float(np.sum(np.real(np.asarray(a) * b)))


def quotient(f, xs, ts, h=2.0**-17):
    after = f(*[x + h * t for x, t in zip(xs, ts, strict=True)])
    before = f(*[x - h * t for x, t in zip(xs, ts, strict=True)])
    return (np.asarray(after) - before) / (2 * h)


# ---- every row


@by_dtype
@by_row
def test_derivatives_along_both_parts(name, dtype, rng):
    """Both modes against differences of NumPy's own function, forward and in reverse."""
    op = HOLOMORPHIC[name]
    bound = 1e-7 if dtype is np.complex128 else 1e-4
    for shapes in (((3,),) * op.nin, ((2, 3), (3,), (2, 1))[: op.nin], ((), (3,), ())[: op.nin]):
        xs = points(name, rng, shapes, dtype)
        wide = [x.astype(np.complex128) for x in xs]
        plain = lambda *ws: np.asarray(values(op, *ws))
        y, pull = bp.vjp(op, *xs)
        assert y.dtype == np.asarray(plain(*xs)).dtype
        np.testing.assert_allclose(y, plain(*wide), rtol=bound, atol=bound)
        for unit in (1.0, 1j):
            ts = [unit * rng.standard_normal(x.shape) for x in xs]
            ts = [t.astype(dtype) for t in ts]
            expected = quotient(plain, wide, ts)
            _, t = bp.jvp(op, tuple(xs), tuple(ts))
            assert (t.dtype, t.shape) == (y.dtype, np.shape(y))
            np.testing.assert_allclose(t, expected, rtol=bound, atol=bound)
            g = normal(rng, np.shape(y), y.dtype)
            found = pull(g)
            assert [(a.dtype, a.shape) for a in found] == [(x.dtype, x.shape) for x in xs]
            total = sum(paired(a, t) for a, t in zip(found, ts, strict=True))
            np.testing.assert_allclose(total, paired(g, expected), rtol=20 * bound, atol=20 * bound)


def values(op, *xs):
    """Compute on plain arrays, by the ufunc or from the row's expression."""
    function = op.ufunc or op
    return function(*xs)


@by_row
def test_second_order(name, rng):
    op = HOLOMORPHIC[name]
    check_grads(op, tuple(points(name, rng, ((3,),) * op.nin, np.complex128)), order=2)


@by_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
@by_row
def test_memory_layouts(name, layout, dtype, rng):
    op = HOLOMORPHIC[name]
    xs = points(name, rng, ((4, 3),) * op.nin, dtype)
    y, pull = bp.vjp(op, *xs)
    g = normal(rng, np.shape(y), y.dtype)
    other, pull_other = bp.vjp(op, *[laid_out(x, layout) for x in xs])
    for a, b in zip((y, *pull(g)), (other, *pull_other(laid_out(g, layout))), strict=True):
        # NumPy fuses products of contiguous operands: another rounding.
        np.testing.assert_allclose(a, b, rtol=64 * np.finfo(dtype).eps)


@by_row
def test_blocks_of_vectors(name, rng):
    """A sweep of many vectors is the sweeps of each."""
    op = HOLOMORPHIC[name]
    xs = [bp.variable(x) for x in points(name, rng, ((2, 3), (3,), (2, 1))[: op.nin], complex)]
    y = op(*xs)
    tape = Tape([y], xs)
    gs = normal(rng, (4, *y.shape), y.dtype)
    together = sweep.reverse(tape, [gs], False, 1)
    for k, g in enumerate(gs):
        for a, b in zip(together, sweep.reverse(tape, [g]), strict=True):
            np.testing.assert_allclose(a[k], b, rtol=1e-14, atol=1e-15)
    ts = [normal(rng, (4, *x.shape), x.dtype) for x in xs]
    (pushed,) = sweep.forward(tape, ts, False, 1)
    for k in range(4):
        (one,) = sweep.forward(tape, [t[k] for t in ts])
        np.testing.assert_allclose(pushed[k], one, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", REFUSED)
def test_rows_of_real_numbers_refuse_complex_ones_by_name(name, rng):
    op = REFUSED[name]
    xs = [bp.variable(x + 0.1j) for x in operands_of(op, ((3,),) * op.nin, rng)]
    with pytest.raises(
        DTypeError, match=rf"^{op.title}: operands of complex128.* x\.real and x\.imag"
    ):
        op(*xs)


def test_what_numpy_has_no_loop_for_is_refused():
    for name, op in ELEMENTWISE.items():
        if type(op.ufunc) is np.ufunc and not any("D" in t for t in op.ufunc.types):
            assert op.on_complex is None, name


# ---- promotion


PROMOTIONS = [
    (np.float32, 1j, np.complex64),
    (np.float64, 1j, np.complex128),
    (np.complex64, 2.0, np.complex64),
    (np.complex64, 2, np.complex64),
    (np.complex64, np.float64(2.0), np.complex128),
    (np.complex64, np.complex128(1j), np.complex128),
    (np.float64, np.ones(3, np.complex64), np.complex128),
    (np.float32, np.ones(3, np.complex64), np.complex64),
    (np.complex64, np.ones(3), np.complex128),
    (np.complex64, np.arange(3), np.complex128),
]


@pytest.mark.parametrize(("dtype", "other", "expected"), PROMOTIONS)
@pytest.mark.parametrize("function", [np.add, np.multiply, np.divide, np.power])
def test_dtypes_promote_as_in_numpy(function, dtype, other, expected):
    x = np.array([1.5, -0.5, 2.0], dtype)
    for swap in (False, True):
        pair = (other, x) if swap else (x, other)
        with np.errstate(all="ignore"):
            plain = function(*pair)
            recorded = bp.variable(x)
            y = function(other, recorded) if swap else function(recorded, other)
        assert plain.dtype == y.dtype == expected
        np.testing.assert_allclose(y.value, plain, rtol=1e-6)
        g = bp.gradients(y, recorded, np.ones(3))
        assert g.dtype == dtype


OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]


@pytest.mark.parametrize("apply", OPERATORS)
def test_a_real_operand_beside_a_complex_one_gets_a_real_cotangent(apply, rng):
    x, z = rng.uniform(0.5, 1.5, (2, 3)), normal(rng, 3, complex) + 2.0
    for pair in ((x, z), (z, x)):
        check_grads(apply, pair, order=2)
        y, pull = bp.vjp(apply, *pair)
        g = normal(rng, y.shape, complex)
        assert [a.dtype for a in pull(g)] == [p.dtype for p in pair]


def test_real_parts_of_cotangents_add_up():
    c = np.array([1 + 2j, 3 - 1j])
    grad = bp.grad(lambda x: np.sum(np.real(c * x) + np.imag(c * x)))(np.ones(2))
    np.testing.assert_array_equal(grad, c.real + c.imag)
    assert grad.dtype == np.float64


# ---- parts, absolute values, angles, signs


def test_parts_and_conjugates():
    z = np.array([1 + 2j, -0.5 + 0.1j])
    one = np.ones(2)
    for f, g, expected in (
        (np.real, one, [1, 1]),
        (np.imag, one, [-1j, -1j]),
        (lambda z: z.real, one, [1, 1]),
        (lambda z: z.imag, one, [-1j, -1j]),
        (np.conj, [1j, 2], [-1j, 2]),
        (lambda z: z.conj(), [1j, 2], [-1j, 2]),
        (lambda z: z.conjugate(), [1j, 2], [-1j, 2]),
        (np.abs, one, np.conj(z) / np.abs(z)),
        (lambda z: abs(z) ** 2, one, 2 * np.conj(z)),
        (np.angle, one, -1j / z),
        (lambda z: np.angle(z, deg=True), one, -1j / z * 180 / np.pi),
    ):
        _, pull = bp.vjp(f, z)
        np.testing.assert_allclose(pull(np.array(g))[0], expected, rtol=1e-15)


def test_of_real_numbers_the_parts_are_themselves():
    x = bp.variable(np.array([1.0, -2.0]))
    assert x.real is x
    assert x.conj() is x
    np.testing.assert_array_equal(x.imag, 0.0)
    np.testing.assert_array_equal(np.angle(x), [0.0, np.pi])


def test_kinks_at_zero_have_the_derivative_0():
    z = np.array([0j, 1j])
    for f in (np.abs, np.angle, lambda z: np.abs(z) ** 3):
        y, pull = bp.vjp(f, z)
        assert pull(np.ones(2, y.dtype))[0][0] == 0
    assert np.isnan(bp.vjp(np.sign, z)[1](np.ones(2, complex))[0][0])


def test_the_square_of_an_absolute_value_is_smooth_at_0():
    z = np.zeros(2, complex)
    v = np.array([1 + 2j, -3j])
    np.testing.assert_allclose(bp.hvp(lambda z: np.sum(np.abs(z) ** 2), z, v), 2 * np.conj(v))


def test_the_larger_one_in_the_order_of_real_parts():
    x = np.array([1 + 1j, 1 + 2j, 2 - 5j, 1 + 1j])
    y = np.array([1 + 2j, 1 + 1j, 1 + 9j, 1 + 1j])
    for f, first in (
        (np.maximum, [0, 1, 1, 0.5]),
        (np.minimum, [1, 0, 0, 0.5]),
        (np.fmax, [0, 1, 1, 0.5]),
        (np.fmin, [1, 0, 0, 0.5]),
    ):
        value, pull = bp.vjp(f, x, y)
        np.testing.assert_array_equal(value, f(x, y))
        a, b = pull(np.full(4, 1j))
        np.testing.assert_array_equal(a, 1j * np.array(first))
        np.testing.assert_array_equal(b, 1j * (1 - np.array(first)))


# ---- writes into parts


def parts_written(z, w):
    y = z * 1.0
    y.real[0] = w[0].imag * 2.0
    part = y.imag
    part[1:] = y.real[:2]
    y[2] *= 1j
    y.imag *= part[0] + 1.0
    inner = y[1:].real
    inner += 3.0
    y.real = y.real * y.imag
    y[0] = y[0] + 1j
    return y, part, inner


def test_writes_into_parts_are_writes_into_the_whole(rng):
    z, w = normal(rng, 3, complex), normal(rng, 2, complex)
    for found, plain in zip(bp.vjp(parts_written, z, w)[0], parts_written(z, w), strict=True):
        np.testing.assert_allclose(found, plain, rtol=1e-14)
    check_grads(parts_written, (z, w), order=2)


def test_parts_of_real_numbers_cannot_be_set():
    x = bp.variable(np.ones(2))
    with pytest.raises(TypeError, match="float64, which has no imaginary part"):
        x.imag = 1.0
    x.real = 2.0
    np.testing.assert_array_equal(x.value, 2.0)


def test_parts_of_matrices_in_other_orders(rng):
    def f(z):
        y = z.T * 1.0
        y[0].real[:] = z[:, 1].imag
        y.imag[:, 1] = y.real[:, 0]
        y.T.real.ravel()[0] = 5.0
        return y, y.real.T, y.imag[::-1]

    z = normal(rng, (3, 2), complex)
    for found, plain in zip(bp.vjp(f, z)[0], f(z), strict=True):
        np.testing.assert_allclose(found, plain, rtol=1e-14)
    check_grads(f, (z,), order=2)


# ---- branch cuts


CUTS = {  # where the cut is, and along which direction it is left
    "sqrt": (-2.0, 1j),
    "log": (-2.0, 1j),
    "log2": (-2.0, 1j),
    "log10": (-2.0, 1j),
    "log1p": (-3.0, 1j),
    "arcsin": (2.0, 1j),
    "arccos": (-2.0, 1j),
    "arctanh": (2.0, 1j),
    "arccosh": (-2.0, 1j),
    "arcsinh": (2j, 1.0),
    "arctan": (2j, 1.0),
}


@pytest.mark.parametrize("name", CUTS)
def test_on_a_cut_the_derivative_is_of_the_side_of_the_value(name):
    """The sign of the zero part says which side that is; the derivative is the limit from there."""
    f = getattr(np, name)
    at, away = CUTS[name]
    for sign in (1.0, -1.0):
        zero = np.copysign(0.0, sign)
        z = complex(at, zero) if away == 1j else complex(zero, at.imag)
        value, pull = bp.vjp(f, np.array([z]))
        beside = np.array([z + sign * away * 1e-9])
        np.testing.assert_allclose(value, f(beside), rtol=1e-8, atol=1e-8)
        limit = bp.vjp(f, beside)[1](np.ones(1, complex))[0]
        np.testing.assert_allclose(pull(np.ones(1, complex))[0], limit, rtol=1e-8)


def test_powers_of_negative_numbers():
    z = np.array([complex(-2.0, 0.0), complex(-2.0, -0.0)])
    value, pull = bp.vjp(lambda z: np.power(z, 0.5), z)
    np.testing.assert_allclose(value, np.sqrt(z), rtol=1e-15)
    np.testing.assert_allclose(pull(np.ones(2, complex))[0], 0.5 / np.sqrt(z), rtol=1e-14)
    x = np.array([-2.0, -0.5])
    check_grads(lambda x: np.power(x + 0j, 1.5 - 0.5j), x, order=2)


def test_powers_at_zero():
    """As NumPy's values are: 1 for the exponent 0, 0 for positive ones."""
    zero = np.zeros(4, complex)
    exponent = np.array([0.0, 1.0, 2.0, 3.5], complex)
    value, pull = bp.vjp(np.power, zero, exponent)
    np.testing.assert_array_equal(value, [1, 0, 0, 0])
    by_base, by_exponent = pull(np.ones(4, complex))
    np.testing.assert_array_equal(by_base, [0, 1, 0, 0])
    np.testing.assert_array_equal(by_exponent, 0)


def test_a_function_of_the_size_of_the_whole_plane():
    """tan and tanh are flat far from the axis, and sinc has a removable pole."""
    for f, z in ((np.tanh, 800.0 + 1j), (np.tanh, -800 - 2j), (np.tan, 1 + 800j), (np.tan, -800j)):
        assert bp.vjp(f, np.array([z]))[1](np.ones(1, complex))[0] == 0
    z = np.array([0j, 1e-9j, 1e-3 + 1e-3j])
    slope = bp.vjp(np.sinc, z)[1](np.ones(3, complex))[0]
    np.testing.assert_allclose(slope, -(np.pi**2) * z / 3, rtol=1e-5)


# ---- strong zeros


def test_a_branch_that_was_not_taken_cannot_poison():
    z = np.array([0j, 1 + 1j])

    def f(z):
        safe = np.where(z == 0, 1.0, z)
        return np.sum(np.real(np.where(z == 0, 0.0, np.log(safe)) + np.where(z == 0, z, 1 / z)))

    with np.errstate(all="ignore"):
        g = bp.grad(f)(z)
    assert g[0] == 1.0
    np.testing.assert_allclose(g[1], 1 / z[1] - 1 / z[1] ** 2)


def test_a_zero_that_arithmetic_made_is_not_exact():
    """0 * inf is nan where the zero was computed, and 0 where a branch was not taken."""
    x = bp.variable(np.zeros(1, complex))
    with np.errstate(all="ignore"):
        root = np.sqrt(x)
        computed = bp.gradients(root * (root - root), x, np.ones(1, complex))
        exact = bp.gradients(np.where(x == 0, x, root), x, np.ones(1, complex))
    assert np.isnan(computed[0])
    assert exact[0] == 1


def test_zeros_know_where_they_are_from_through_real_parts():
    def f(x):
        z = x + 0j
        return np.sum(np.where(x == 0, x, np.real(np.sqrt(z))))

    x = np.array([0.0, 4.0])
    np.testing.assert_array_equal(bp.grad(f)(x), [1.0, 0.25])
    np.testing.assert_array_equal(bp.jvp(f, (x,), (np.ones(2),))[1], 1.25)


# ---- handles


def test_in_place_operations():
    def f(z, w):
        y = z * 1.0
        y += w
        y *= 2j
        y -= 1.0
        y /= w
        y **= 2
        return y

    rng = np.random.default_rng(5)
    check_grads(f, (normal(rng, 4, complex), normal(rng, 4, complex) + 3.0), order=2)
    x = bp.variable(np.ones(3))
    with pytest.raises(DTypeError, match=r"in-place add: the result is complex.*astype\(complex\)"):
        x += 1j


def test_assignment_of_complex_values():
    def f(z):
        y = bp.numpy.zeros(3, complex)
        y[0] = z[0] * z[1]
        y[1:] = 1j * z
        return y

    check_grads(f, (np.array([1 + 2j, 0.5 - 1j]),), order=2)
    x = bp.variable(np.ones(3))
    for value in (1j, np.array(2j), bp.variable(np.array(1j))):
        with pytest.raises(DTypeError, match=r"setitem: a value of complex128 .* imaginary part"):
            x[0] = value


def test_a_cast_to_real_numbers_is_refused():
    z = bp.variable(np.array([1j]))
    for cast in (lambda: z.astype(float), lambda: np.astype(z, np.float32)):
        with pytest.raises(DTypeError, match=r"complex128 to float.*x\.real"):
            cast()
    assert z.astype(np.complex64).dtype == np.complex64


def test_numbers_and_their_words():
    z = bp.variable(np.array(1 + 2j))
    assert z.item() == 1 + 2j
    assert f"{z:.1f}" == "1.0+2.0j"
    assert "dtype=complex128" in repr(z)
    with pytest.raises(bp.errors.NoRuleError, match="complex"):
        complex(z)


@by_dtype
def test_large_arrays_on_threads_and_in_groups(dtype, rng):
    """What runs in parts and in groups is what small arrays give."""
    z = normal(rng, 200_000, dtype)
    f = lambda z: np.exp(0.1 * z) * z + 1j * np.sin(z) * 0.5
    y, pull = bp.vjp(f, z)
    g = normal(rng, z.size, dtype)
    t = normal(rng, z.size, dtype)
    found, (_, pushed) = pull(g)[0], bp.jvp(f, (z,), (t,))
    for at in (0, 8190, 199_990):
        part = slice(at, at + 10)
        value, pull_part = bp.vjp(f, z[part])
        np.testing.assert_array_equal(y[part], value)
        np.testing.assert_array_equal(found[part], pull_part(g[part])[0])
        np.testing.assert_allclose(
            pushed[part],
            bp.jvp(f, (z[part],), (t[part],))[1],
            rtol=1e-5 if dtype is np.complex64 else 1e-14,
        )


@by_dtype
def test_sums_are_accurate_over_any_axes(dtype, rng):
    """In pairs: so many equal numbers would lose the digits of a running sum."""
    z = np.full((3, 70_001), 0.1 + 0.2j, dtype)
    for axis in (None, 0, 1):
        found = bp.vjp(lambda w: np.broadcast_to(w, z.shape), np.zeros((), dtype))[1](z)[0]
        np.testing.assert_allclose(found, z.astype(complex).sum(), rtol=1e-6)
        total = np.sum(bp.variable(z), axis=axis).value
        np.testing.assert_allclose(total, z.astype(complex).sum(axis=axis), rtol=1e-6)


# ---- where squares leave the range, and where there is no value


@pytest.mark.parametrize("f", [np.arctan, np.arctanh])
@pytest.mark.parametrize("z", [1e160 + 1e160j, 1e200 + 1e200j, 1e170j, -1e300 + 1j])
def test_slopes_of_large_arguments_are_small(f, z):
    g = bp.jvp(f, (z,), (1.0 + 0j,))[1]
    sign = 1.0 if f is np.arctan else -1.0
    assert abs(g - sign / z / z) <= 1e-300
    assert bp.jvp(f, (np.complex64(1e20j),), (np.complex64(1),))[1] == sign * np.complex64(-1e-40)


@pytest.mark.parametrize("f", [np.tanh, np.tan, np.arctan])
@pytest.mark.parametrize("z", [complex(np.nan, 1.0), complex(1.0, np.nan)])
def test_no_slope_where_there_is_no_value(f, z):
    with np.errstate(all="ignore"):
        first = lambda z: bp.jvp(f, (z,), (1.0 + 0j,))[1]
        assert np.isnan(first(z))
        assert np.isnan(bp.jvp(first, (z,), (1.0 + 0j,))[1])
        assert np.isnan(bp.vjp(f, np.array([z]))[1](np.ones(1, complex))[0])


def test_slopes_at_infinity_vanish():
    assert bp.jvp(np.arctan, (complex(np.inf, 0.0),), (1.0 + 0j,))[1] == 0.0
    for f, z in ((np.tanh, 800.0 + 1j), (np.tan, 1.0 + 800j)):
        assert bp.jvp(f, (z,), (1.0 + 0j,))[1] == 0.0


def test_arcsinh_is_accurate_at_its_branch_points():
    for z, expected in (  # 1 / sqrt((z - i) (z + i))
        (1j + 1e-9, 1.0 / np.sqrt(1e-9 * (2j + 1e-9))),
        (-1j + 1e-9, 1.0 / np.sqrt(1e-9 * (-2j + 1e-9))),
    ):
        found = bp.jvp(np.arcsinh, (z,), (1.0 + 0j,))[1]
        assert abs(found - expected) <= 1e-14 * abs(expected)
    with np.errstate(all="ignore"):
        assert np.isnan(bp.jvp(np.arcsinh, (1j,), (1.0 + 0j,))[1])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda y, z: np.add(z, z, dtype=float, casting="unsafe"), "add"),
        (lambda y, z: np.einsum("i,i", z, z, dtype=float, casting="unsafe"), "numpy.einsum"),
        (lambda y, z: np.copyto(y, z, casting="unsafe"), "numpy.copyto"),
    ],
)
def test_no_cast_loses_the_imaginary_part(call, name):
    with pytest.raises(DTypeError, match=rf"{name}: .*imaginary part would be lost"):
        call(bp.variable(np.ones(2)), bp.variable(np.ones(2) + 1j))
