"""Zero times infinity on the way: the right value where it can be had, NaN where it cannot.

Zero only for a branch that was not taken, an element that was not read, a direction that was not
asked for. Never a finite number that is wrong.
"""

import threading

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fastbp as bp
import fastbp.numpy as bnp

from ...digits import working_digits

NAN, INF = np.nan, np.inf
P = np.array([0.0, 2.0, 3.0])
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def every_gradient(f, x):
    """The gradient of a scalar function in every mode."""
    one = np.eye(x.size).reshape(x.size, *x.shape)
    return {
        "grad": bp.grad(f)(x),
        "jvp": np.reshape([bp.jvp(f, (x,), (e,))[1] for e in one], x.shape),
        "reverse": bp.jacobian(f, mode="reverse")(x),
        "forward": bp.jacobian(f, mode="forward")(x),
        "vjp": bp.vjp(f, x)[1](np.ones(()))[0],
        "recorded": bp.jvp(lambda s: s * bp.grad(f)(x * s), (1.0,), (1.0,))[0],
    }


# ---- arithmetic made the zero

UNDEFINED = [
    (lambda p: np.exp(np.sum(np.log(p))), [NAN, 0.0, 0.0]),
    (lambda p: np.sqrt(p)[0] * np.sqrt(p)[0] + p[1], [NAN, 1.0, 0.0]),
    (lambda p: np.sum(p * np.sqrt(p)), [NAN, 1.5 * 2**0.5, 1.5 * 3**0.5]),
    (
        lambda p: np.sum(np.square(np.cbrt(p)) * p),
        [NAN, 5 / 3 * 2 ** (2 / 3), 5 / 3 * 3 ** (2 / 3)],
    ),
    (lambda p: np.prod(np.sqrt(p)) * np.sqrt(p[0]), [NAN, 0.0, 0.0]),
    (lambda p: np.sqrt(p) @ np.array([1.0, 0.0, 0.0]) * np.sqrt(p[0]), [NAN, 0.0, 0.0]),
    (lambda p: np.sum(np.where(p < 1.0, np.sqrt(p) * p, p)), [NAN, 1.0, 1.0]),
]


@pytest.mark.parametrize(("f", "expected"), UNDEFINED)
def test_undefined_products_are_nan(f, expected):
    for mode, found in every_gradient(f, P).items():
        np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=mode)


# ---- a branch that was not taken, an element that was not read

W = np.arange(1.0, 7.0).reshape(3, 2)
NOT_TAKEN = [
    (lambda p: np.sum(np.where(p > 0, np.log(p), 0.0)), [0.0, 1 / 2, 1 / 3]),
    (lambda p: np.sum(np.where(p > 0, p * np.log(p), 0.0)), [0, 1 + np.log(2), 1 + np.log(3)]),
    (lambda p: np.sum(np.log(p)[1:]), [0.0, 1 / 2, 1 / 3]),
    (lambda p: np.log(p)[2], [0.0, 0.0, 1 / 3]),
    (lambda p: np.sum(np.log(p)[[1, 1, 2]]), [0.0, 1.0, 1 / 3]),
    (lambda p: np.max(np.sqrt(p)), [0.0, 0.0, 0.5 / 3**0.5]),
    (lambda p: np.sum(np.maximum(np.sqrt(p), 1.0)), [0.0, 0.5 / 2**0.5, 0.5 / 3**0.5]),
    (lambda p: np.sum(np.minimum(1.0, np.sqrt(p) - 1.0)), [INF, 0.5 / 2**0.5, 0.5 / 3**0.5]),
    (lambda p: np.sum(bnp.relu(np.sqrt(p) - 1.0)), [0.0, 0.5 / 2**0.5, 0.5 / 3**0.5]),
    (lambda p: np.sum(np.clip(np.sqrt(p), 1.5, 2.0)), [0.0, 0.0, 0.5 / 3**0.5]),
    (lambda p: np.sum(np.array([0.0, 1.0, 1.0]) * np.sqrt(p)), [0.0, 0.5 / 2**0.5, 0.5 / 3**0.5]),
    (lambda p: np.sum((p > 0) * np.sqrt(p)), [0.0, 0.5 / 2**0.5, 0.5 / 3**0.5]),
    (lambda p: np.sum(np.concatenate([np.sqrt(p), p])[1:3]), [0, 0.5 / 2**0.5, 0.5 / 3**0.5]),
    (lambda p: np.sum(np.tril(np.sqrt(p) + np.zeros((3, 3)))[1, 1:]), [0, 0.5 / 2**0.5, 0]),
    (
        lambda p: np.sum(np.where((p > 0)[:, None], np.sqrt(p)[:, None] * W, 0.0)),
        [0.0, 3.5 / 2**0.5, 5.5 / 3**0.5],
    ),
    (  # the mask is behind a product of matrices, and behind reductions
        lambda p: np.sum(np.where((p > 0)[:, None], np.log(p)[:, None] @ np.ones((1, 2)), 0.0)),
        [0.0, 1.0, 2 / 3],
    ),
    (
        lambda p: np.sum(np.where(p > 0, np.einsum("i,j->ij", np.log(p), np.ones(2)).T, 0.0)),
        [0.0, 1.0, 2 / 3],
    ),
    (
        lambda p: np.sum(np.where(p > 0, np.linalg.norm(np.sqrt(p)[:, None], axis=1), 0.0)),
        [0.0, 0.5 / 2**0.5, 0.5 / 3**0.5],
    ),
    (
        lambda p: np.sum(np.where(p > 0, bnp.logsumexp(np.log(p)[:, None], axis=1), 0.0)),
        [0.0, 1 / 2, 1 / 3],
    ),
    (lambda p: np.sum(np.cumsum(np.log(p)[1:])), [0.0, 1.0, 1 / 3]),
    (lambda p: np.sum(np.diff(np.sqrt(p))[1:]), [0.0, -0.5 / 2**0.5, 0.5 / 3**0.5]),
]


@pytest.mark.parametrize(("f", "expected"), NOT_TAKEN)
def test_what_was_not_taken_contributes_nothing(f, expected):
    for mode, found in every_gradient(f, P).items():
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15, err_msg=mode)


@pytest.mark.parametrize("mode", ["reverse", "forward", "auto"])
def test_seeds_ask_for_one_element(mode):
    expected = np.diag([INF, 0.5 / 2**0.5, 0.5 / 3**0.5])
    np.testing.assert_allclose(bp.jacobian(np.sqrt, mode=mode)(P), expected)
    np.testing.assert_allclose(bp.sparse.jacobian(np.sqrt)(P).toarray(), expected)


def test_a_jacobian_through_its_narrowest_place():
    x, w = np.ones(2000), np.ones(2000)
    x[0], w[0] = 0.0, 0.0

    def f(x):
        return np.sum(np.sqrt(x)) * w

    found = bp.jacobian(f)(x)
    np.testing.assert_array_equal(found[0], np.zeros(2000))
    np.testing.assert_array_equal(found[1], np.where(x > 0, 0.5, INF))


def test_zeros_that_are_given_are_exact():
    _, pull = bp.vjp(np.sqrt, P)
    (x_bar,) = pull(np.zeros(3))
    np.testing.assert_array_equal(x_bar, np.zeros(3))
    assert not np.signbit(x_bar).any()
    np.testing.assert_array_equal(bp.jvp(np.sqrt, (P,), (np.zeros(3),))[1], np.zeros(3))


def test_second_derivatives_through_a_branch_not_taken():
    f = lambda x: np.sum(np.where(x > 0, x * np.log(x), 0.0))
    np.testing.assert_allclose(bp.hessian(f)(P), np.diag([0.0, 1 / 2, 1 / 3]))
    g = lambda x: np.sum(np.where(x > 0, x**1.5, 0.0))  # finite slope, infinite curvature
    np.testing.assert_allclose(bp.hessian(g)(P), np.diag([0.0, 0.75 / 2**0.5, 0.75 / 3**0.5]))
    h = lambda x: np.sum(np.sqrt(x) ** 3)
    assert np.isnan(bp.hessian(h)(P)[0, 0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [5, 1000, 300_000])
def test_every_size_and_dtype(n, dtype):
    """Large arrays run in threads, forward sweeps of them in groups."""
    x = np.ones(n, dtype)
    x[-1] = 0.0
    masked = lambda x: np.sum(np.where(x > 0, np.log(x) * x, 0.0))
    undefined = lambda x: np.sum(np.exp(np.log(x)))
    seed = np.ones(n, dtype)
    assert bp.grad(masked)(x)[-1] == 0.0
    assert np.isnan(bp.grad(undefined)(x)[-1])
    assert bp.grad(undefined)(x)[0] == 1.0
    assert bp.jvp(masked, (x,), (seed,))[1] == n - 1
    assert np.isnan(bp.jvp(lambda x: np.exp(np.log(x)), (x,), (seed,))[1][-1])
    seed[-1] = 0.0
    assert bp.jvp(lambda x: np.exp(np.log(x)), (x,), (seed,))[1][-1] == 0.0


def test_a_record_that_was_freed_on_the_way_is_made_again():
    x = np.ones(3_000_000)
    x[0] = 0.0
    calls = []

    def f(x):
        calls.append(1)
        return np.exp(np.sum(np.log(x)))

    value, g = bp.value_and_grad(f)(x)
    assert value == 0.0
    assert np.isnan(g[0])
    assert g[1] == 0.0
    assert len(calls) == 2


def test_rules_that_sweep_themselves():
    inner = bp.checkpoint(lambda p: np.log(p))
    np.testing.assert_allclose(
        bp.grad(lambda p: np.sum(np.where(p > 0, 1.0, 0.0) * np.where(p > 0, p, 1.0)))(P),
        [0.0, 1.0, 1.0],
    )
    assert np.isnan(bp.grad(lambda p: np.exp(np.sum(inner(p))))(P)[0])
    assert bp.grad(lambda p: inner(p)[1])(P)[1] == 0.5


def test_gradients_of_variables():
    x = bp.variable(P)
    y = np.sum(np.where(P > 0, np.log(x), 0.0))
    np.testing.assert_allclose(bp.gradients(y, x), [0.0, 1 / 2, 1 / 3])
    z = np.exp(np.sum(np.log(x)))
    np.testing.assert_array_equal(bp.gradients(z, x), [NAN, 0.0, 0.0])
    (g,) = bp.gradients(y, [x], create_graph=True)
    np.testing.assert_allclose(bp.gradients(np.sum(g), x), [0.0, -1 / 4, -1 / 9])


def test_threads_do_not_confuse_one_another():
    """Sweeps that meet infinite slopes beside sweeps that do not."""
    found = {}

    def work(k):
        f = (lambda p: np.exp(np.sum(np.log(p)))) if k % 2 else (lambda p: np.sum(p * p))
        found[k] = [bp.grad(f)(P) for _ in range(200)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for k, results in found.items():
        expected = [NAN, 0.0, 0.0] if k % 2 else 2 * P
        for g in results:
            np.testing.assert_array_equal(g, expected)


# ---- squares of what has a kink

ZERO = np.zeros(2)
SMOOTH = [
    (lambda x: np.linalg.norm(x) ** 2, 2 * np.eye(2)),
    (lambda x: np.linalg.norm(x) ** 4, np.zeros((2, 2))),
    (lambda x: np.square(np.linalg.norm(x)), 2 * np.eye(2)),
    (lambda x: np.power(np.linalg.norm(x), 2.0), 2 * np.eye(2)),
    (lambda x: np.linalg.norm(x) * np.linalg.norm(x), None),
    (lambda x: np.hypot(x[0], x[1]) * np.hypot(x[0], x[1]), None),
    (lambda x: np.std(x) * np.std(x), None),
    (lambda x: np.linalg.norm(x) * np.sum(x), None),
    (lambda x: (lambda r: r * r)(np.linalg.norm(x)), 2 * np.eye(2)),
    (lambda x: np.sum(np.linalg.norm(x[None], axis=1) ** 2), 2 * np.eye(2)),
    (lambda x: np.hypot(x[0], x[1]) ** 2, 2 * np.eye(2)),
    (lambda x: np.hypot(x[0], 0.0) ** 2, np.diag([2.0, 0.0])),
    (lambda x: np.hypot(3.0, x[1]) ** 2, np.diag([0.0, 2.0])),
    (lambda x: np.sum(np.abs(x) ** 2), 2 * np.eye(2)),
    (lambda x: np.std(x) ** 2, np.array([[0.5, -0.5], [-0.5, 0.5]])),
    (lambda x: np.std(x, ddof=1) ** 2, np.array([[1.0, -1.0], [-1.0, 1.0]])),
    (lambda x: np.exp(-(np.linalg.norm(x) ** 2)), -2 * np.eye(2)),
    (lambda x: np.sqrt(np.sum(x * x)) ** 2, 2 * np.eye(2)),
]


@pytest.mark.parametrize(("f", "expected"), SMOOTH)
def test_hessians_of_squares_at_zero(f, expected):
    found = bp.hessian(f)(ZERO)
    if expected is None:  # not seen to be a square: never a finite number that is wrong
        assert not np.isfinite(found).any()
    else:
        np.testing.assert_allclose(found, expected, atol=1e-15)
    x = np.array([0.3, -0.7])
    assert f(x) == pytest.approx(bp.vjp(f, x)[0], rel=1e-15)
    bp.testing.check_grads(f, (x,))


def test_squares_keep_numpys_values():
    x = np.array([0.1, 0.2, 1e200, 1e-200])
    for f in (np.sqrt, np.abs, lambda x: np.hypot(x, 1.0)):
        np.testing.assert_array_equal(bp.vjp(lambda x, f=f: f(x) ** 2, x)[0], f(x) ** 2)
    assert bp.grad(lambda x: np.sqrt(x) ** 2)(0.0) == 1.0
    assert np.isnan(bp.grad(lambda x: np.sqrt(x) ** 2)(-1.0))
    assert bp.grad(bp.grad(lambda x: np.sqrt(x) ** 2))(0.0) == 0.0
    assert bp.grad(bp.grad(bp.grad(lambda x: np.abs(x) ** 3)))(2.0) == 6.0


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(np.sqrt(np.abs(x))),
        lambda x: np.sum(np.log(np.abs(x))),
        lambda x: np.linalg.norm(x, 0.5),
        lambda x: np.linalg.norm(x, -1),
    ],
)
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_what_is_undefined_has_no_derivative(f, mode):
    """Where a slope of zero, by convention, and an infinite one made a gradient NaN."""
    x = np.array([0.0, 2.0, 3.0])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(np.isnan(bp.grad(f)(x)), [True, False, False])
        found = bp.jacobian(bp.grad(f), mode=mode)(x)
        along = bp.hvp(f, x, np.array([1.0, 0.0, 0.0]))
    assert np.isnan(found[0, 0])
    assert np.isnan(along[0])
    np.testing.assert_array_equal(np.isnan(found), np.isnan(found.T))
    assert np.isfinite(found[1:, 1:]).all()


def test_kinks_in_a_branch_not_taken():
    def rows(x):
        return np.linalg.norm(np.stack([x, x + 1.0]), axis=1)

    expected = bp.hessian(lambda x: np.linalg.norm(x + 1.0))(ZERO)
    np.testing.assert_allclose(bp.hessian(lambda x: rows(x)[1])(ZERO), expected)
    masked = lambda x: np.sum(np.where([False, True], rows(x), 0.0))
    for mode in ("forward", "reverse"):
        found = bp.jacobian(bp.grad(masked), mode=mode)(ZERO)
        np.testing.assert_allclose(found, expected, atol=1e-15)


# Taylor coefficients times factorials at 0, orders 1 to 5: of the branch that is taken.
ALONG = [
    (lambda x: (1 + x) ** (x * x), [0, 0, 6, -12, 40]),
    (lambda x: np.where(x > 0, np.sqrt(x), x**2) * np.sin(x), [0, 0, 6, 0, -20]),
    (lambda x: np.where(x > 0, np.log(x), np.sin(x) * x**2), [0, 0, 6, 0, -20]),
    (lambda x: np.exp(np.where(x > 0, np.log(x), x * x)) * np.cos(x), [0, 1, 0, 1, 0]),
    (lambda x: np.sin(np.where(x > 0, x**0.5, x)) ** 3, [0, 0, 6, 0, -60]),
    (lambda x: np.max(np.stack([np.sqrt(x) - 1, np.sin(x) * x])) * (1 + x), [0, 2, 6, -4, -20]),
    (lambda x: np.stack([np.sqrt(x), x**3])[1] * np.exp(x), [0, 0, 6, 24, 60]),
    (lambda x: np.abs(x) ** np.float64(2.0), [0, 2, 0, 0, 0]),
    (lambda x: (np.abs(x) ** np.full(1, 4))[0], [0, 0, 0, 24, 0]),
    (lambda x: x**1.5 * x, [0, 0, INF, -INF, INF]),
    (lambda x: np.sqrt(x) * x**1.5, [0, 2, 0, 0, 0]),
]
UNDECIDED = {9, 10}  # NaN is right, too


@pytest.mark.parametrize("modes", ["ggggg", "jjjjj", "gjgjg", "jgjgj", "gggjj", "jjggg"])
@pytest.mark.parametrize("case", range(len(ALONG)))
def test_orders_one_to_five_along_a_line(case, modes):
    f, expected = ALONG[case]
    for order, mode in enumerate(modes):
        f = bp.grad(f) if mode == "g" else (lambda g: lambda x: bp.jvp(g, (x,), (1.0,))[1])(f)
        found = f(0.0)
        if not (case in UNDECIDED and np.isnan(found)):
            np.testing.assert_allclose(found, expected[order], rtol=1e-12, atol=1e-14)


# ---- random expressions: a finite number is the limit

MP = {
    "sqrt": mp.sqrt,
    "log": mp.log,
    "exp": mp.exp,
    "square": lambda x: x * x,
    "power": lambda x: x ** mp.mpf(1.5),
    "reciprocal": lambda x: 1 / x,
    "negative": lambda x: -x,
}
NP = {
    "sqrt": np.sqrt,
    "log": np.log,
    "exp": np.exp,
    "square": lambda x: x * x,
    "power": lambda x: x**1.5,
    "reciprocal": lambda x: 1 / x,
    "negative": lambda x: -x,
}
steps = st.lists(
    st.tuples(st.sampled_from([*MP, "add", "multiply"]), st.integers(0, 3), st.integers(0, 3)),
    min_size=1,
    max_size=5,
)


def evaluate(table, program, x, y):
    pool = [x, y]
    for name, i, j in program:
        a, b = pool[-1 - i % len(pool)], pool[-1 - j % len(pool)]
        if name == "add":
            pool.append(a + b)
        elif name == "multiply":
            pool.append(a * b)
        else:
            pool.append(table[name](a))
    return pool[-1]


@settings(max_examples=600, deadline=None)
@given(steps, st.sampled_from([(0.0, 0.0), (0.0, 1.0), (1.0, 0.0)]), st.sampled_from(["r", "f"]))
def test_a_finite_number_is_the_limit(program, point, direction):
    def f(v):
        return evaluate(NP, program, v[0], v[1])

    with np.errstate(all="ignore"):
        value = f(np.array(point))
        assume(np.isfinite(value))
        mode = {"r": "reverse", "f": "forward"}[direction]
        found = bp.jacobian(f, mode=mode)(np.array(point))
    for k in range(2):
        if not np.isfinite(found[k]):
            continue
        with working_digits(120):
            # From inside the domain: both coordinates a little above.
            limits = []
            for small in (mp.mpf(10) ** -40, mp.mpf(10) ** -60):
                at = [mp.mpf(c) + small for c in point]
                h = small * mp.mpf(10) ** -25
                ahead = [c + h * (j == k) for j, c in enumerate(at)]
                try:
                    low = evaluate(MP, program, *at)
                    high = evaluate(MP, program, *ahead)
                except (ZeroDivisionError, ValueError, OverflowError):
                    limits = []
                    break
                limits.append((high - low) / h)
            if not limits or any(mp.im(z) != 0 for z in limits):
                continue
            # Where the limits still move the derivative has none, or is infinite.
            assert abs(limits[1] - found[k]) <= 1e-6 * (1 + abs(limits[1])), (found, limits)
