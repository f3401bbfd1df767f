"""Derivatives at special points: zeros, ones, equal operands, infinities, ends of the range.

A derivative is right, or NaN or infinite where there is none, or what the row states as its
convention: never another finite number. The elementwise table against mpmath to order five; other
functions by what is known of them.
"""

import functools
import itertools

import numpy as np
import pytest
import scipy.special

import fastbp as bp
import fastbp.numpy as bnp
import fastbp.scipy.special as bsp

from .. import mpseries
from ..digits import working_digits
from ..harness import ELEMENTWISE
from .test_precision import along, slope

INF, NAN = np.inf, np.nan
ORDER = 5
UNARY = [
    name
    for name, op in ELEMENTWISE.items()
    if op.info.get("namespace") and not op.info.get("reach") and op.nin == 1
]
STEPS = pytest.mark.parametrize("step", [along, slope])


def nested(f, step, path, xs):
    """Return the derivative of `f` by the operands in `path`, one after the other, at a point."""
    with np.errstate(all="ignore"):
        arrays = [np.array([x]) for x in xs]
        return float(functools.reduce(step, path, f)(*arrays)[0])


def assert_right(found, exact):
    """Compare with the exact derivative, where None stands for one that does not exist."""
    if exact is None:
        assert not np.isfinite(found), found
    else:
        assert found == pytest.approx(exact, rel=1e-11, abs=1e-13)


# ---- the elementwise table, one operand

KINKS = {"absolute", "fabs", "relu"}  # piecewise linear: conventions of the first derivative


@STEPS
@pytest.mark.parametrize("x", [0.0, 1.0, -1.0])
@pytest.mark.parametrize("name", UNARY)
def test_table_at(name, x, step):
    if x == 0.0 and name in KINKS:
        return
    with np.errstate(all="ignore"):
        value = ELEMENTWISE[name].forward(np.array([x]))[0]
    if np.isnan(value) or (name == "entr" and x < 0):
        return  # outside of the domain there is nothing to differentiate
    try:
        exact = mpseries.derivatives(name, x, degree=ORDER)
        exact = [float(exact[k,]) for k in range(1, ORDER + 1)]
    except (ZeroDivisionError, ValueError):
        exact = [None] * ORDER  # singular
    for k, e in enumerate(exact, 1):
        found = nested(ELEMENTWISE[name], step, (0,) * k, [x])
        assert_right(found, None if e is None or not np.isfinite(e) else e)


# Limits of the first derivative at -inf and inf; those of higher orders are 0, or infinite.
LIMITS = {
    "sigmoid": (0, 0),
    "softplus": (0, 1),
    "log_sigmoid": (1, 0),
    "arctan": (0, 0),
    "arcsinh": (0, 0),
    "tanh": (0, 0),
    "erf": (0, 0),
    "erfc": (0, 0),
    "ndtr": (0, 0),
    "exp": (0, INF),
    "exp2": (0, INF),
    "expm1": (0, INF),
    "cbrt": (0, 0),
    "reciprocal": (0, 0),
    "erfcx": (-INF, 0),
    "log_ndtr": (INF, 0),
}


@STEPS
@pytest.mark.parametrize("name", LIMITS)
def test_limits_at_infinity(name, step):
    for x, limit in zip((-INF, INF), LIMITS[name], strict=True):
        assert nested(ELEMENTWISE[name], step, (0,), [x]) == limit
        for order in (2, 3):
            found = nested(ELEMENTWISE[name], step, (0,) * order, [x])
            assert found == 0.0 or not np.isfinite(found)
            assert not (np.isfinite(limit) and np.isinf(found))


# ---- two operands: derivatives by how often each operand is meant; None where there is none

PAIRS = {
    ("logaddexp", 0.0, 0.0): {
        (1, 0): 0.5,
        (2, 0): 0.25,
        (1, 1): -0.25,
        (3, 0): 0.0,
        (4, 0): -0.125,
    },
    ("logaddexp", 1e3, 1e3): {(0, 1): 0.5, (0, 2): 0.25, (0, 3): 0.0, (2, 2): -0.125},
    ("logaddexp", INF, INF): {(1, 0): 0.5, (0, 1): 0.5},
    ("logaddexp", -INF, -INF): {(1, 0): 0.5, (0, 1): 0.5},
    ("logaddexp", INF, 0.0): {(1, 0): 1.0, (0, 1): 0.0, (2, 0): 0.0, (1, 1): 0.0},
    ("logaddexp", -INF, 0.0): {(1, 0): 0.0, (0, 1): 1.0, (2, 0): 0.0, (1, 1): 0.0},
    ("logaddexp2", 3.0, 3.0): {(1, 0): 0.5, (2, 0): np.log(2) / 4, (1, 1): -np.log(2) / 4},
    ("power", 0.0, 0.0): {(1, 0): 0, (2, 0): 0, (3, 0): 0, (0, 1): 0, (0, 2): 0, (1, 1): None},
    ("power", 0.0, 1.0): {(1, 0): 1, (2, 0): 0, (3, 0): 0, (0, 1): 0, (1, 1): None, (0, 2): 0},
    ("power", 0.0, 2.0): {(1, 0): 0, (2, 0): 2, (3, 0): 0, (1, 1): 0, (0, 3): 0, (2, 1): None},
    ("power", 0.0, 3.0): {(1, 0): 0, (2, 0): 0, (3, 0): 6, (1, 1): 0, (2, 1): 0, (1, 2): 0},
    ("power", 0.0, 2.5): {(1, 0): 0, (2, 0): 0, (3, 0): None, (1, 1): 0, (2, 1): 0},
    ("power", 0.0, 0.5): {(1, 0): None, (2, 0): None, (0, 1): 0, (1, 1): None},
    ("power", 0.0, -1.0): {(1, 0): None, (0, 1): None, (1, 1): None},
    ("power", 1.0, 0.0): {(1, 0): 0, (1, 1): 1, (2, 1): -1, (1, 2): 0, (0, 3): 0},
    ("power", -2.0, 2.0): {(1, 0): -4, (2, 0): 2, (3, 0): 0, (0, 1): None},
    ("hypot", 0.0, 0.0): {(1, 0): 0, (0, 1): 0, (2, 0): None, (1, 1): None, (3, 0): None},
    ("hypot", INF, 1.0): {(1, 0): 1, (0, 1): 0, (2, 0): 0, (1, 1): 0, (0, 2): 0},
    ("hypot", 1.0, -INF): {(1, 0): 0, (0, 1): -1, (2, 0): 0, (1, 1): 0},
    ("hypot", INF, INF): {(1, 0): None, (0, 1): None},
    ("hypot", 0.0, 1.0): {(1, 0): 0, (2, 0): 1, (2, 1): -1, (3, 0): 0, (4, 0): -3},
    ("hypot", 2.0, 2.0): {(1, 0): 0.5**0.5, (2, 0): 0.5**0.5 / 4, (1, 1): -(0.5**0.5) / 4},
    ("arctan2", 0.0, 0.0): {(1, 0): 0, (0, 1): 0, (2, 0): None, (1, 1): None, (0, 2): None},
    ("arctan2", 0.0, 1.0): {(1, 0): 1, (1, 1): -1, (2, 0): 0, (3, 0): -2, (1, 2): 2, (5, 0): 24},
    ("arctan2", 1.0, 1.0): {(1, 0): 0.5, (0, 1): -0.5, (2, 0): -0.5, (1, 1): 0, (0, 2): 0.5},
    ("arctan2", 1.0, INF): {(1, 0): 0, (0, 1): 0},
    ("xlogy", 0.0, 0.0): {(0, 1): 0, (1, 0): None, (1, 1): None},
    ("xlogy", 0.0, 2.0): {(1, 0): np.log(2), (0, 1): 0, (1, 1): 0.5, (1, 2): -0.25, (0, 2): 0},
    ("xlog1py", 0.0, -1.0): {(0, 1): 0, (1, 0): None, (1, 1): None},
    ("rel_entr", 2.0, 2.0): {(1, 0): 1, (0, 1): -1, (2, 0): 0.5, (1, 1): -0.5, (0, 2): 0.5},
    ("kl_div", 2.0, 2.0): {(1, 0): 0, (0, 1): 0, (2, 0): 0.5, (1, 1): -0.5, (0, 3): -0.5},
    ("kl_div", 0.0, 1.0): {(1, 0): None, (0, 1): 1, (1, 1): -1, (0, 2): 0},
    ("divide", 0.0, 2.0): {(1, 0): 0.5, (0, 1): 0, (1, 1): -0.25, (0, 2): 0, (1, 2): 0.25},
    ("divide", 1.0, 0.0): {(1, 0): None, (0, 1): None, (1, 1): None},
    ("multiply", 0.0, 0.0): {(1, 0): 0, (1, 1): 1, (2, 0): 0, (2, 1): 0},
    ("maximum", 1.0, 1.0): {(1, 0): 0.5, (0, 1): 0.5, (2, 0): 0, (1, 1): 0},
    ("minimum", 0.0, 0.0): {(1, 0): 0.5, (0, 1): 0.5, (2, 0): 0, (1, 1): 0},
}


@STEPS
@pytest.mark.parametrize("point", PAIRS, ids=lambda p: "-".join(map(str, p)))
def test_two_operands_at(point, step):
    name, *xs = point
    for (i, j), exact in PAIRS[point].items():
        for path in set(itertools.permutations((0,) * i + (1,) * j)):
            assert_right(nested(ELEMENTWISE[name], step, path, xs), exact)


def test_newtons_method_leaves_the_point_of_equal_operands():
    loss = lambda w: np.sum(np.logaddexp(0.0, w)) - 0.3 * np.sum(w)
    w = np.zeros(1)
    for _ in range(8):
        w = w - np.linalg.solve(bp.hessian(loss)(w), bp.grad(loss)(w))
    np.testing.assert_allclose(w, np.log(0.3 / 0.7), rtol=1e-12)


# ---- sums of exponentials


@pytest.mark.parametrize(
    "x", [[0.0, 0.0], [INF, INF, 0.0], [-INF, -INF], [-INF, 2.0], [1e3, 1e3], [INF, -INF]]
)
def test_logsumexp_with_weights_of_one_is_that_without(x):
    x = np.array(x)
    weighted = lambda x: bnp.logsumexp(x, b=np.ones(x.shape))
    assert bp.vjp(weighted, x)[0] == bnp.logsumexp(x)
    np.testing.assert_array_equal(bp.grad(weighted)(x), bp.grad(bnp.logsumexp)(x))
    if np.isfinite(x).all():
        np.testing.assert_allclose(bp.hessian(weighted)(x), bp.hessian(bnp.logsumexp)(x))


def test_logsumexp_of_infinities_with_signs():
    def f(x):
        return bnp.logsumexp(x, b=np.array([-1.0, 2.0]), return_sign=True)

    value, sign = f(np.array([INF, 0.0]))
    assert (value, sign) == (INF, -1.0)
    np.testing.assert_array_equal(bp.grad(lambda x: f(x)[0])(np.array([INF, 0.0])), [1.0, 0.0])
    with np.errstate(all="ignore"):
        assert np.isnan(bnp.logsumexp(np.array([INF, 0.0]), b=np.array([-1.0, 2.0])))


# ---- norms and spreads

LENGTHS = {
    "norm": lambda x: np.linalg.norm(x),
    "norm of rows": lambda x: np.sum(np.linalg.norm(x[None], axis=1)),
    "norm 3": lambda x: np.linalg.norm(x, ord=3),
    "norm 2.5": lambda x: np.linalg.norm(x, ord=2.5),
    "std": np.std,
    "std of rows": lambda x: np.sum(np.std(x[None], axis=1, keepdims=True)),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_lengths_have_no_second_derivative_at_zero(name):
    for x in (np.zeros(3), np.full(3, 0.1))[: 1 + name.startswith("std")]:
        np.testing.assert_array_equal(bp.grad(LENGTHS[name])(x), 0.0)
        assert np.isnan(bp.hessian(LENGTHS[name])(x)).all()
        along_first = lambda x: bp.jvp(LENGTHS[name], (x,), (np.array([1.0, 0.0, 0.0]),))[1]
        assert np.isnan(bp.jvp(along_first, (x,), (np.array([0.0, 1.0, 0.0]),))[1])


def test_a_zero_row_is_no_matter_of_the_others():
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    h = bp.hessian(lambda x: np.sum(np.linalg.norm(x, axis=1)))(x)
    assert np.isnan(h[0, :, 0]).all()
    np.testing.assert_allclose(h[1, :, 1], [[0.128, -0.096], [-0.096, 0.072]])
    np.testing.assert_array_equal(h[0, :, 1], 0.0)
    chosen = lambda x: np.sum(np.where([False, True], np.linalg.norm(x, axis=1), 0.0))
    assert np.isfinite(bp.hessian(chosen)(x)).all()  # the branch was not taken


@pytest.mark.parametrize("order", [1.0, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("norm", [np.linalg.norm, np.linalg.vector_norm])
def test_norms_by_their_order(norm, order):
    """A Variable for the order takes no branch that forgets it, at 1 and 2 neither."""
    x = np.array([0.3, -0.6, 0.0, 1.2])
    powers, total = np.abs(x) ** order, norm(x, ord=order)
    logs = np.log(np.where(x == 0.0, 1.0, np.abs(x)))
    exact = total / order * (np.sum(powers * logs) / np.sum(powers) - np.log(total))
    assert bp.grad(lambda p: norm(bp.variable(x), ord=p))(order) == pytest.approx(exact, rel=1e-13)
    for derivative in (bp.grad, bp.hessian):
        found = derivative(functools.partial(norm, ord=bp.variable(order)))(x)
        expected = derivative(functools.partial(norm, ord=order))(x)
        np.testing.assert_allclose(found.value, expected, atol=1e-14)


def test_the_derivative_of_a_determinant_with_an_infinity_ends():
    a = np.array(
        [
            [np.inf, -0.13210486, 0.64042265],
            [0.10490012, -0.53566937, 0.36159505],
            [1.30400005, 0.94708096, -0.70373524],
        ]
    )
    b = np.stack([a, np.ones((3, 3)), np.eye(3)])
    found = bp.grad(lambda b: np.sum(np.linalg.det(b)))(b)
    minor = a[1, 1] * a[2, 2] - a[1, 2] * a[2, 1]
    np.testing.assert_allclose(found[0][0, 0], minor)  # that of the infinity has none
    assert not np.isfinite(found[0][1:, 1:]).any()
    larger = np.eye(4)
    larger[:3, :3] = a
    assert np.isnan(bp.grad(np.linalg.det)(larger)).all()
    np.testing.assert_allclose(found[1:], [np.zeros((3, 3)), np.eye(3)], atol=1e-14)


@pytest.mark.parametrize("scale", [1e200, 1e-200, 1e300, 1e-300, 3e-320])
@pytest.mark.parametrize("order", [None, 2, 3, 1.5])
def test_norms_over_the_whole_range(scale, order):
    f = lambda x: np.linalg.norm(x, ord=order)
    x = np.array([1.0, -1.0])
    with np.errstate(all="ignore"):
        found = bp.grad(f)(scale * x)
        pushed = bp.jvp(f, (scale * x,), (np.array([1.0, 0.0]),))[1]
    expected = bp.grad(f)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    assert pushed == pytest.approx(expected[0], rel=1e-13)
    if 1e-300 < scale < 1e300:
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(
                bp.hessian(f)(scale * x) * scale, bp.hessian(f)(x), rtol=1e-12
            )


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_spreads_over_the_whole_range(scale):
    x = np.array([1.0, -2.0, 3.0])
    with np.errstate(all="ignore"):
        found = bp.grad(np.std)(scale * x)
    np.testing.assert_allclose(found, bp.grad(np.std)(x), rtol=1e-14)


# ---- products

PRODUCTS = [
    ([1e-162, 3e-162], [3e-162, 1e-162]),
    ([1e200, 1e200, 1e-300], [1e-100, 1e-100, INF]),
    ([1e-200, 1e-120, 1e200, 3.0], [3e80, 3.0, 0.0, 1e-120]),
    ([0.0, 1e-200, 1e200], [1.0, 0.0, 0.0]),
    ([-0.0, 2.0, 3.0], [6.0, 0.0, 0.0]),
    ([1e-300] * 4 + [1e300] * 4, [1e300] * 4 + [1e-300] * 4),
]


@pytest.mark.parametrize(("x", "expected"), PRODUCTS)
def test_products_over_the_whole_range(x, expected):
    x = np.array(x)
    with np.errstate(all="ignore"):
        found = bp.grad(np.prod)(x)
        pushed = [bp.jvp(np.prod, (x,), (t,))[1] for t in np.eye(x.size)]
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(pushed, expected, rtol=1e-14, atol=1e-300)


def test_running_products_of_small_numbers():
    x = np.array([1e-162, 3e-162])
    np.testing.assert_allclose(bp.jacobian(np.cumprod)(x), [[1.0, 0.0], [3e-162, 1e-162]])
    x = np.array([2.0, 0.0, 3.0, 0.0])
    np.testing.assert_allclose(
        bp.jacobian(np.cumprod)(x), [[1, 0, 0, 0], [0, 2, 0, 0], [0, 6, 0, 0], [0, 0, 0, 0]]
    )


@pytest.mark.parametrize("f", [np.prod, lambda x: np.cumprod(x)[-1]])
@pytest.mark.parametrize(
    "x",
    [
        [0.0, 2.0, 3.0],
        [0.0, 0.0, 3.0],
        [0.0, 0.0, 0.0],
        [1.0, 1.0, 1.0],
        [1e-162, 2e-162, 5.0],
        [1e-6, 1.3, 2.1],
        [1.3, 1e-12, 2e-3],
        [0.7, -1.3, 1e-200],
    ],
)
def test_products_to_order_three(f, x):
    x = np.array(x)
    h, t = bp.hessian(f)(x), bp.jacobian(bp.hessian(f))(x)
    for i, j, k in itertools.product(range(3), repeat=3):
        others = [x[m] for m in range(3) if m not in (i, j)]
        np.testing.assert_allclose(h[i, j], np.prod(others) if i != j else 0.0, rtol=1e-14)
        assert t[i, j, k] == (len({i, j, k}) == 3)


@pytest.mark.parametrize("f", [np.prod, lambda x: np.cumprod(x)[-1]])
@pytest.mark.parametrize("x", [[1e-3, 1.3, 2.1], [0.7, 1e-9, 1.3], [1.3 + 1.0j, 1e-9j, 2.1]])
def test_no_digits_are_lost_where_one_factor_is_small(f, x):
    """Four orders along directions, each way: sums of products of one element of each."""
    x = np.array(x)
    v, w, u, q = np.random.default_rng(0).normal(size=(4, 3))
    third = sum(v[i] * w[j] * u[k] for i, j, k in itertools.permutations(range(3)))
    second = [
        sum(v[i] * w[j] * x[3 - i - j] for i, j in itertools.permutations(range(3), 2)),
        third,
        0.0,
    ]

    def pushed(f, t):
        return lambda x: bp.jvp(f, (x,), (t.astype(x.dtype),))[1]

    twice = pushed(pushed(f, v), w)
    thrice = pushed(twice, u)
    found = [twice(x), thrice(x), pushed(thrice, q)(x)]
    np.testing.assert_allclose(found, second, rtol=1e-13, atol=1e-13)
    pulled = []
    for g, t in ((pushed(f, v), w), (twice, u), (thrice, q)):
        y, pull = bp.vjp(g, x)
        pulled.append(pull(np.ones_like(y))[0] @ t)
    np.testing.assert_allclose(pulled, second, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(bp.compile(twice)(x), second[0], rtol=1e-13)


# ---- linear algebra at identity matrices, against rational numbers


def third_along(f, a, e):
    """Return the first three derivatives of ``f(a + t e)`` by t."""
    steps = [functools.reduce(along, (0,) * k, lambda t: f(a + t * e)) for k in (1, 2, 3)]
    return [step(np.zeros(())) for step in steps]


def third_down(f, a, e):
    """Return the same by gradients of scalars."""
    steps = [functools.reduce(slope, (0,) * k, lambda t: f(a + t * e)) for k in (1, 2, 3)]
    return [step(np.zeros(())) for step in steps]


EYE, ONES = np.eye(3), np.ones((3, 3))
# det(I + t 1) = 1 + 3 t; (I + t 1)^-1 = I - t 1 / (1 + 3 t); 1^2 = 3 1.
MATRICES = {
    "det": (np.linalg.det, ONES, [3.0, 0.0, 0.0]),
    "det of I + t I": (np.linalg.det, EYE, [3.0, 6.0, 6.0]),
    "logdet": (lambda a: np.linalg.slogdet(a)[1], ONES, [3.0, -9.0, 54.0]),
    "inv": (lambda a: np.linalg.inv(a)[0, 1], ONES, [-1.0, 6.0, -54.0]),
    "inv diagonal": (lambda a: np.linalg.inv(a)[2, 2], ONES, [-1.0, 6.0, -54.0]),
    "solve": (lambda a: np.linalg.solve(a, np.ones(3))[0], ONES, [-3.0, 18.0, -162.0]),
    "power": (lambda a: np.linalg.matrix_power(a, 3)[0, 1], ONES, [3.0, 18.0, 54.0]),
    "power -1": (lambda a: np.linalg.matrix_power(a, -1)[0, 1], ONES, [-1.0, 6.0, -54.0]),
    "cholesky": (lambda a: np.linalg.cholesky(a)[0, 0], EYE, [0.5, -0.25, 0.375]),
    "cholesky below": (lambda a: np.linalg.cholesky(a)[1, 0], ONES, [1.0, -1.0, 2.25]),
    "einsum": (lambda a: np.einsum("ij,jk,ki->", a, a, a), ONES, [9.0, 54.0, 162.0]),
    "trace of a product": (lambda a: np.trace(a @ a), ONES, [6.0, 18.0, 0.0]),
}


@pytest.mark.parametrize("derivatives", [third_along, third_down])
@pytest.mark.parametrize("name", MATRICES)
def test_at_the_identity(name, derivatives):
    f, e, expected = MATRICES[name]
    np.testing.assert_allclose(derivatives(f, EYE, e), expected, rtol=1e-12, atol=1e-12)


def test_determinants_of_singular_matrices():
    for a, e, expected in (
        (np.zeros((3, 3)), EYE, [0.0, 0.0, 6.0]),
        (np.diag([1.0, 0.0, 0.0]), EYE, [0.0, 2.0, 6.0]),
        (ONES, EYE, [0.0, 6.0, 6.0]),
        (np.diag([2.0, 3.0, 0.0]), EYE, [6.0, 10.0, 6.0]),
        (np.diag([2.0, 3.0, 5.0, 0.0]), np.eye(4), [30.0, 62.0, 60.0]),
        (np.zeros((4, 4)), np.eye(4), [0.0, 0.0, 0.0]),
        (np.zeros((2, 2)), np.eye(2), [0.0, 2.0, 0.0]),
    ):
        f = lambda t, a=a, e=e: np.linalg.det(a + t * e)
        for want in expected:
            f = bp.grad(f)
            np.testing.assert_allclose(f(np.zeros(())), want, rtol=1e-12, atol=1e-12)
        for derivatives in (third_along, third_down):
            found = derivatives(np.linalg.det, a, e)
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    fourth = bp.grad(third := bp.grad(bp.grad(bp.grad(lambda t: np.linalg.det(t * np.eye(4))))))
    assert third(np.zeros(())) == 0.0
    with pytest.raises(np.linalg.LinAlgError):  # order four is for regular matrices
        fourth(np.zeros(()))


# ---- reductions and orders at repeated values, along a line through them

LINE = np.array([1.0, 2.0, 4.0])
REPEATED = {
    "sum of cubes": (lambda x: np.sum(x**3), 0.0, [0.0, 0.0, 438.0]),
    "mean of squares": (lambda x: np.mean(x * x), 0.0, [0.0, 14.0, 0.0]),
    "var": (np.var, 3.0, [0.0, 28 / 9, 0.0]),
    "logsumexp": (bnp.logsumexp, 1.0, [7 / 3, 14 / 9, 20 / 27]),
    "softmax": (lambda x: bnp.softmax(x)[0], 1.0, [-4 / 9, 2 / 27, 28 / 27]),
    "log_softmax": (lambda x: bnp.log_softmax(x)[0], 1.0, [-4 / 3, -14 / 9, -20 / 27]),
    "norm": (np.linalg.norm, 1.0, None),
    "cumsum": (lambda x: np.sum(np.cumsum(x) ** 2), 0.0, [0.0, 118.0, 0.0]),
    "erfc": (lambda x: np.sum(bsp.erfc(x)), 0.0, [-14 / np.pi**0.5, 0.0, 292 / np.pi**0.5]),
}


@pytest.mark.parametrize("derivatives", [third_along, third_down])
@pytest.mark.parametrize("name", REPEATED)
def test_at_repeated_values(name, derivatives):
    f, x, expected = REPEATED[name]
    found = derivatives(f, np.full(3, x), LINE)
    if expected is None:  # |1 + t v| = sqrt(3 + 14 t + 21 t^2)
        (t,) = mpseries.variables(0, degree=3)
        root = mpseries.sqrt(3 + 14 * t + 21 * t * t)
        expected = [float(root.terms[k,] * [1, 2, 6][k - 1]) for k in (1, 2, 3)]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_extremes_are_linear_where_they_tie():
    for f in (np.max, np.min, np.ptp):
        np.testing.assert_array_equal(bp.hessian(f)(np.array([1.0, 1.0, 2.0, 2.0])), 0.0)


def test_combinations_with_repetition():
    n, k = np.array([7.0, -6.3, 0.0, 0.3]), np.array([2.0, 2.0, 0.0, 0.0])
    found, pull = bp.vjp(lambda n: bsp.comb(n, k, repetition=True), n)
    np.testing.assert_allclose(found, scipy.special.comb(n, k, repetition=True), rtol=1e-14)
    low, high = (scipy.special.comb(n + h, k, repetition=True) for h in (-1e-6, 1e-6))
    by_n = pull(np.ones(4))[0]
    np.testing.assert_allclose(by_n, (high - low) / 2e-6, atol=1e-7)


# ---- where formulas change


def test_boxcox_of_zero_to_order_three():
    """It is -1 / a there."""
    f, a, expected = (lambda a: bsp.boxcox(0.0, a)), 2.0, [0.25, -0.25, 0.375]
    for value in expected:
        f = bp.grad(f)
        np.testing.assert_allclose(f(a), value, rtol=1e-14)


def test_incomplete_gammas_at_the_ends():
    """Constant in their order: nothing or all of the integral."""
    assert bp.grad(lambda a: bsp.gammainc(a, 0.0))(1.5) == 0.0
    assert bp.grad(lambda a: bsp.gammaincc(a, 0.0))(1.5) == 0.0
    assert bp.grad(lambda a: bsp.gammaincc(a, INF))(1.5) == 0.0


@pytest.mark.parametrize("x", [5.0, 13.0, 20.0, 40.0])
def test_densities_of_gamma_of_large_orders(x):
    a = 20.5
    for f, sign in ((bsp.gammainc, 1.0), (bsp.gammaincc, -1.0)):
        log = (a - 1.0) * np.log(x) - x - scipy.special.gammaln(a)
        np.testing.assert_allclose(bp.grad(f, 1)(a, x), sign * np.exp(log), rtol=1e-12)


def test_the_fraction_of_an_infinite_number_is_constant():
    x, t = np.array([INF, 1.5, -INF]), np.ones(3)
    expected = [0.0, 1.0, 0.0]
    np.testing.assert_array_equal(bp.jvp(lambda x: np.modf(x)[0], (x,), (t,))[1], expected)
    np.testing.assert_array_equal(bp.vjp(lambda x: np.modf(x)[0], x)[1](t)[0], expected)


@pytest.mark.parametrize("x", [-0.4, -2.7, 0.9])
def test_the_second_derivative_of_scaled_bi(x):
    """To the left the factor is one, and Bi'' = x Bi; to the right it is exp(-2/3 x^1.5)."""
    with working_digits(40):

        def scaled(t):
            scale = mpseries.mp.exp(-2 * abs(t) ** 1.5 / 3) if t > 0 else 1
            return mpseries.mp.airybi(t) * scale

        first, second = (float(mpseries.mp.diff(scaled, x, n)) for n in (1, 2))
    slope_of = bp.grad(lambda x: bsp.airye(x)[2])
    np.testing.assert_allclose(slope_of(x), first, rtol=1e-11)
    np.testing.assert_allclose(bp.grad(slope_of)(x), second, rtol=1e-10)
    if x < 0.0:
        slope_of = bp.grad(lambda x: bsp.airye(x)[3])
        np.testing.assert_allclose(slope_of(x), x * scipy.special.airy(x)[2], rtol=1e-12)


def test_elliptic_functions_of_plain_numbers_are_those_of_scipy():
    assert bsp.ellipj(0.5, 0.4) == scipy.special.ellipj(0.5, 0.4)
