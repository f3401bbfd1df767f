"""Derivatives where there is none, or where a formula would give NaN: what docstrings state."""

import warnings

import numpy as np
import pytest

import fastbp as bp
import fastbp.numpy as bnp

from ..harness import DTYPES, ELEMENTWISE

INF, NAN = np.inf, np.nan


def slopes(f, x, dtype=np.float64):
    """Return the elementwise derivative of `f`, the same from the reverse and the forward sweep."""
    x = np.asarray(x, dtype)
    with np.errstate(all="ignore"):
        reverse = bp.elementwise_grad(f)(x)
        forward = bp.jvp(f, (x,), (np.ones_like(x),))[1]
    assert reverse.dtype == dtype
    np.testing.assert_array_equal(forward, reverse)
    return reverse


def diagonal(f, x):
    """Return the diagonal of an elementwise Jacobian, from blocks in both directions."""
    x = np.asarray(x, float)
    with np.errstate(all="ignore"):
        found = [bp.jacobian(f, mode=mode)(x) for mode in ("reverse", "forward")]
    np.testing.assert_array_equal(*found)
    off = found[0][~np.eye(x.size, dtype=bool)]
    np.testing.assert_array_equal(off, 0.0)
    return np.diagonal(found[0])


ZERO = [0.0, -0.0]
KINKS = {
    "absolute": (np.absolute, ZERO, 0.0),
    "fabs": (np.fabs, ZERO, 0.0),
    "abs()": (abs, ZERO, 0.0),
    "sign": (np.sign, [-1.0, 0.0, 2.0], 0.0),
    "relu": (bnp.relu, ZERO, 0.0),
    "maximum with a constant": (lambda x: np.maximum(x, 1.0), [1.0], 0.5),
    "minimum with a constant": (lambda x: np.minimum(x, 1.0), [1.0], 0.5),
    "maximum with itself": (lambda x: np.maximum(x, x), [1.0], 1.0),
    "fmax": (lambda x: np.fmax(x, 1.0), [1.0, NAN, 2.0], [0.5, 0.0, 1.0]),
    "fmin ignores the NaN": (lambda x: np.fmin(x, NAN), [1.0], 1.0),
    "maximum with NaN": (lambda x: np.maximum(x, [0.0, NAN]), [1.0, 1.0], [1.0, 0.0]),
    "clip at its bounds": (
        lambda x: np.clip(x, -1.0, 1.0),
        [-2.0, -1.0, 0.0, 1.0, 2.0],
        [0, 1, 1, 1, 0],
    ),
    "clip without a bound": (lambda x: np.clip(x, None, 1.0), [-9.0, 1.0, 2.0], [1, 1, 0]),
    "clip of NaN": (lambda x: np.clip(x, -1.0, 1.0), [NAN], 0.0),
    "hypot at the origin": (lambda x: np.hypot(x, 0.0), [0.0], 0.0),
    "arctan2 at the origin": (lambda x: np.arctan2(x, 0.0), [0.0], 0.0),
    "heaviside": (lambda x: np.heaviside(x, 0.5), [-1.0, 0.0, 1.0], 0.0),
    "copysign": (lambda x: np.copysign(x, -1.0), [-2.0, 0.0, 2.0], [1.0, 0.0, -1.0]),
    "sinc": (np.sinc, [0.0], 0.0),
    "floor": (np.floor, [0.5, 1.0], 0.0),
    "round": (np.round, [0.5, 1.0], 0.0),
    "remainder by x": (lambda x: np.remainder(x, 1.0), [2.0, 2.5], 1.0),
    "nan_to_num": (np.nan_to_num, [1.0, NAN, INF, -INF], [1.0, 0.0, 0.0, 0.0]),
    "logaddexp of infinities": (
        lambda x: np.logaddexp(x, [-INF, 0.0, -INF]),
        [-INF, -INF, 0.0],
        [0.5, 0.0, 1.0],
    ),
    "sigmoid": (bnp.sigmoid, [-INF, -800.0, 800.0, INF], 0.0),
    "softplus": (bnp.softplus, [-INF, -800.0, 0.0, 800.0, INF], [0.0, 0.0, 0.5, 1.0, 1.0]),
    "tanh": (np.tanh, [-INF, 400.0, 0.0], [0.0, 0.0, 1.0]),
    "power 0": (lambda x: x**0, [0.0, -2.0, 3.0], 0.0),
    "power 0.0 as an array": (lambda x: np.power(x, np.zeros(2)), [0.0, 3.0], 0.0),
    "power 1": (lambda x: x**1, [0.0, -2.0], 1.0),
    "power 1.0 as an array": (lambda x: np.power(x, np.ones(2)), [0.0, -2.0], 1.0),
    "power 2": (lambda x: x**2, [0.0, -2.0], [0.0, -4.0]),
    "power 3 of negative": (lambda x: x**3, [0.0, -2.0], [0.0, 12.0]),
    "power -1": (lambda x: x**-1, [-2.0, 0.5], [-0.25, -4.0]),
    "power 0.5": (lambda x: x**0.5, [4.0], 0.25),
    "power 1.5 at 0": (lambda x: x**1.5, [0.0, 4.0], [0.0, 3.0]),
    "power of an int array": (
        lambda x: x ** np.array([0, 1, 2, 3]),
        [0.0, 0.0, 0.0, -1.0],
        [0.0, 1.0, 0.0, 3.0],
    ),
    "0 to a power": (lambda y: np.power(0.0, y), [0.0, 1.0, 2.0], 0.0),
    "0.0 ** y": (lambda y: 0.0**y, [1.0, 2.0], 0.0),
    "square": (np.square, ZERO, 0.0),
    "exp of -inf": (np.exp, [-INF, 0.0], [0.0, 1.0]),
    "where by a Variable": (lambda x: np.where(x > 0, x, 0.0), [-1.0, 0.0, 1.0], [0.0, 0.0, 1.0]),
    "double where": (
        lambda x: np.where(x > 0, np.sqrt(np.where(x > 0, x, 1.0)), 0.0),
        [0.0, 4.0],
        [0.0, 0.25],
    ),
}
# The branch that is not taken is infinite or NaN, or has such a slope.
NOT_TAKEN = {
    "sqrt": (lambda x: np.where(x > 0, np.sqrt(x), 0.0), [-1.0, 0.0, 4.0], [0.0, 0.0, 0.25]),
    "log": (lambda x: np.where(x > 0, np.log(x), 0.0), [-1.0, 0.0, 4.0], [0.0, 0.0, 0.25]),
    "quotient": (lambda x: np.where(x != 0, np.sin(x) / x, 1.0), [0.0], [0.0]),
    "inverse": (lambda x: np.where(x != 0, 1.0 / x, 0.0), [0.0, 2.0], [0.0, -0.25]),
    "overflow": (lambda x: np.where(x < 100, np.exp(x), 0.0), [0.0, 1000.0], [1.0, 0.0]),
    "NaN": (lambda x: np.where(np.isnan(x), 0.0, x * x), [NAN, 3.0], [0.0, 6.0]),
    "power": (lambda x: np.where(x > 0, x**-0.5, 0.0), [0.0, 4.0], [0.0, -0.0625]),
    "long way": (
        lambda x: np.where(x > 0, np.exp(np.sqrt(x) * 2) ** 0.5, 0.0),
        [0.0, 1.0],
        [0.0, np.e / 2],
    ),
    "arccos": (
        lambda x: np.where(np.abs(x) < 1, np.arccos(x), 0.0),
        [0.0, 1.0, 2.0],
        [-1.0, 0.0, 0.0],
    ),
    "index": (
        lambda x: np.where([True, False], np.sqrt(x)[::-1], x),
        [0.0, 4.0],
        [0.0, 1.0 + 0.25],
    ),
}


@pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning")  # steps
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", KINKS)
def test_a_kink_has_the_slope_that_is_stated(name, dtype):
    f, x, expected = KINKS[name]
    np.testing.assert_array_equal(
        slopes(f, x, dtype), np.broadcast_to(expected, np.shape(x)).astype(dtype)
    )
    np.testing.assert_array_equal(diagonal(f, x), np.broadcast_to(expected, np.shape(x)))


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_a_branch_not_taken_does_not_poison_the_gradient(name):
    f, x, expected = NOT_TAKEN[name]
    x = np.array(x)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(bp.elementwise_grad(f)(x), expected, rtol=1e-12)
        np.testing.assert_allclose(
            bp.jvp(f, (x,), (np.ones_like(x),))[1].sum(), np.sum(expected), rtol=1e-12
        )
        jacobians = [bp.jacobian(f, mode=mode)(x) for mode in ("reverse", "forward")]
    np.testing.assert_allclose(*jacobians, rtol=1e-12)
    np.testing.assert_allclose(jacobians[0].sum(axis=0), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["sqrt", "log", "inverse", "overflow", "NaN", "power"])
def test_nor_its_second_derivative(name):
    f, x, _ = NOT_TAKEN[name]
    x = np.array(x)

    def total(x):
        return np.sum(f(x))

    with np.errstate(all="ignore"):
        reverse = bp.grad(lambda x: np.sum(bp.grad(total)(x)))(x)
        forward = bp.hvp(total, x, np.ones_like(x))
    np.testing.assert_allclose(reverse, forward)
    assert np.all(np.isfinite(reverse))


DERIVATIVES = {
    "first": lambda f, x: bp.grad(f)(x),
    "second, reverse": lambda f, x: bp.grad(lambda x: np.sum(bp.grad(f)(x)))(x),
    "third, reverse": lambda f, x: bp.grad(
        lambda x: np.sum(bp.grad(lambda x: np.sum(bp.grad(f)(x)))(x))
    )(x),
    "hvp": lambda f, x: bp.hvp(f, x, np.ones_like(x)),
    "jvp of jvp": lambda f, x: bp.jvp(
        lambda x: bp.jvp(f, (x,), (np.ones_like(x),))[1], (x,), (np.ones_like(x),)
    ),
    "hessian": lambda f, x: bp.hessian(f)(x),
    "sparse hessian": lambda f, x: bp.sparse.hessian(f)(x),
    "jacobian": lambda f, x: bp.jacobian(f, mode="forward")(x),
    "chain": lambda f, x: bp.jacobian(f, mode="chain")(x),
    "tensor": lambda f, x: bp.tensor.derivative(f, x),
    "explain": lambda f, x: bp.tensor.explain(f, x),
    "create_graph": lambda f, x: bp.gradients(
        *(lambda v: (f(v), v))(bp.variable(x)), create_graph=True
    ),
    "checkpoint": lambda f, x: bp.hvp(bp.checkpoint(f), x, np.ones_like(x)),
}
# Their values are finite everywhere, their slopes are not.
QUIET = {
    "sqrt": lambda x: np.sum(np.where(x > 0, np.sqrt(np.abs(x)), 0.0)),
    "cbrt": lambda x: np.sum(np.where(x > 0, np.cbrt(x), 0.0)),
    "power": lambda x: np.sum(np.where(x > 0, np.abs(x) ** 0.3, 0.0)),
    "arcsin": lambda x: np.sum(np.where(np.abs(x) < 1, np.arcsin(np.minimum(x, 1.0)), 0.0)),
    "taken": lambda x: np.sum(np.cbrt(x) * x),
}


@pytest.mark.parametrize("derivative", DERIVATIVES)
@pytest.mark.parametrize("name", QUIET)
def test_derivatives_never_warn(name, derivative):
    f, x = QUIET[name], np.array([0.0, 1.0, 0.25])
    with np.errstate(all="raise"):
        f(x)
        before = np.geterr()
        DERIVATIVES[derivative](f, x)
        assert np.geterr() == before
    DERIVATIVES[derivative](f, x)  # pytest turns warnings into errors


def test_rules_of_users_never_warn_either():
    sqrt = bp.custom_rule(np.sqrt, vjp=lambda g, ans, x: g * 0.5 / np.sqrt(x))
    with np.errstate(all="raise"):
        assert bp.grad(lambda x: sqrt(x))(0.0) == INF
        with pytest.raises(ZeroDivisionError):
            bp.grad(bp.custom_rule(np.sqrt, vjp=lambda g, ans, x: 1 / 0))(0.0)
        with pytest.raises(FloatingPointError):
            np.ones(1) / np.zeros(1)  # the state is back after an error, too


def test_values_warn_as_numpys_do():
    def f(x):
        return np.sum(np.log(x))

    for derivative in DERIVATIVES.values():
        with np.errstate(all="raise"), pytest.raises(FloatingPointError, match="divide by zero"):
            derivative(f, np.array([0.0, 1.0]))
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        bp.grad(f)(np.array([0.0, 1.0]))
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        # A derivative is quiet, what is computed from it is not.
        bp.grad(lambda x: 1.0 / bp.grad(lambda x: x * x)(x))(0.0)


# ---- poles: the value that calculus gives, not an error


POLES = {
    "sqrt": (np.sqrt, [0.0, INF], [INF, 0.0]),
    "cbrt": (np.cbrt, [0.0, 8.0], [INF, 1 / 12]),
    "log": (np.log, [0.0, INF], [INF, 0.0]),
    "log1p": (np.log1p, [-1.0], [INF]),
    "reciprocal": (np.reciprocal, [0.0, INF], [-INF, 0.0]),
    "divide": (lambda x: 1.0 / x, [0.0, INF], [-INF, 0.0]),
    "arcsin": (np.arcsin, [-1.0, 1.0], [INF, INF]),
    "arctanh": (np.arctanh, [1.0], [INF]),
    "exp": (np.exp, [INF, 1000.0], [INF, INF]),
    "power 0.5 at 0": (lambda x: x**0.5, [0.0], [INF]),
    "arcsinh": (np.arcsinh, [1e300, INF], [1e-300, 0.0]),
    "arctan": (np.arctan, [1e300, INF], [0.0, 0.0]),
}


@pytest.mark.parametrize("name", POLES)
def test_poles(name):
    f, x, expected = POLES[name]
    np.testing.assert_allclose(slopes(f, x), expected, rtol=1e-14)


@pytest.mark.parametrize("name", ["log", "sqrt", "arccos", "arcsin", "arctanh", "log1p", "arccosh"])
def test_outside_the_domain_there_is_nan_or_a_number_but_no_crash(name):
    with np.errstate(all="ignore"):
        y, pullback = bp.vjp(getattr(np, name), np.array([-5.0, -INF, NAN]))
        (slope,) = pullback(np.ones(3))
    assert np.all(np.isnan(y))
    assert slope.shape == (3,)
    assert np.isnan(slope[2])


SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 1e308, -1e308, 5e-324, 1e-300, 2.0**53])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ELEMENTWISE.values(), ids=ELEMENTWISE)
def test_special_values_never_fail(op, dtype):
    """All pairs of special values, all sweeps; the value is NumPy's, NaN for NaN."""
    with np.errstate(all="ignore"):
        special = SPECIAL.astype(dtype)
        grid = np.meshgrid(*[special[: 12 if op.nin < 3 else 8]] * op.nin, indexing="ij")
        expected = op.forward(*grid)
        y, pullback = bp.vjp(op, *grid)
        slopes = pullback(np.ones_like(y))
        bp.jvp(op, tuple(grid), tuple(np.ones_like(x) for x in grid))
        zero = pullback(np.zeros_like(y))
        bp.grad(
            lambda *xs: sum(
                np.sum(g) for g in bp.grad(lambda *ys: np.sum(op(*ys)), tuple(range(op.nin)))(*xs)
            ),
            tuple(range(op.nin)),
        )(*grid)
    finite = np.isfinite(expected)
    np.testing.assert_allclose(
        y[finite], expected[finite], rtol=1e-6 if dtype is np.float32 else 1e-14
    )
    np.testing.assert_array_equal(y[~finite], expected[~finite])
    assert all(g.dtype == dtype for g in slopes)
    for g in zero:  # a cotangent of zero is strong
        np.testing.assert_array_equal(g, 0.0)


# ---- ties


@pytest.mark.parametrize(
    "function",
    [np.max, np.min, np.amax, lambda x, **k: x.max(**k), lambda x, **k: np.maximum.reduce(x, **k)],
)
def test_ties_of_extremes_share_equally(function):
    x = np.array([[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]])
    np.testing.assert_allclose(bp.grad(lambda x: function(x, axis=None))(x), np.full((2, 3), 1 / 6))
    np.testing.assert_allclose(
        bp.grad(lambda x: np.sum(function(x, axis=1)))(x), np.full((2, 3), 1 / 3)
    )
    np.testing.assert_allclose(
        bp.jvp(lambda x: function(x, axis=0), (x,), (np.array([[1.0] * 3, [0.0] * 3]),))[1], 0.5
    )


@pytest.mark.parametrize("function", [np.max, np.min])
def test_extremes_with_nan_and_infinities(function):
    for x in ([1.0, NAN, 2.0], [INF, INF, 1.0], [-INF, -INF]):
        x = np.array(x)
        g = bp.grad(lambda x: function(x))(x)
        assert g.sum() == 1.0
        np.testing.assert_array_equal(g[(x != function(x)) & ~np.isnan(x)], 0.0)


def test_maximum_and_minimum_split_ties_between_operands():
    x = np.array([1.0, 2.0])
    for f in (np.maximum, np.minimum, np.fmax, np.fmin):
        for g in bp.grad(lambda a, b, f=f: np.sum(f(a, b)), (0, 1))(x, x.copy()):
            np.testing.assert_array_equal(g, 0.5)


def test_clip_gives_the_rest_to_its_bounds():
    x, lo, hi = np.array([-2.0, 0.0, 2.0]), np.array(-1.0), np.array(1.0)
    gx, glo, ghi = bp.grad(lambda *a: np.sum(np.clip(*a)), (0, 1, 2))(x, lo, hi)
    np.testing.assert_array_equal(gx, [0.0, 1.0, 0.0])
    assert (glo, ghi) == (1.0, 1.0)


# ---- norms, products, spreads


@pytest.mark.parametrize(
    "options",
    [{}, {"ord": 2}, {"axis": 0}, {"ord": 2, "axis": 0}, {"ord": 1}, {"ord": 3}, {"ord": np.inf}],
)
def test_the_norm_of_zero_has_no_slope(options):
    x = np.zeros(3)
    np.testing.assert_array_equal(bp.grad(lambda x: np.linalg.norm(x, **options))(x), 0.0)
    assert bp.jvp(lambda x: np.linalg.norm(x, **options), (x,), (np.ones(3),))[1] == 0.0


def test_the_norm_of_a_zero_row_has_no_slope():
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    g = bp.grad(lambda x: np.sum(np.linalg.norm(x, axis=1)))(x)
    np.testing.assert_allclose(g, [[0.0, 0.0], [0.6, 0.8]])
    np.testing.assert_array_equal(
        bp.grad(lambda x: np.linalg.norm(x))(np.zeros((2, 2))), np.zeros((2, 2))
    )


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([2.0, 3.0, 4.0], [12.0, 8.0, 6.0]),
        ([0.0, 3.0, 4.0], [12.0, 0.0, 0.0]),
        ([0.0, 0.0, 4.0], [0.0, 0.0, 0.0]),
        ([0.0], [1.0]),
        ([], []),
    ],
)
def test_products_with_zeros(x, expected):
    x = np.array(x)
    for f in (np.prod, lambda x: np.cumprod(np.concatenate([np.ones(1), x]))[-1]):
        np.testing.assert_allclose(bp.grad(f)(x), expected)
        for k, slope in enumerate(expected):
            assert bp.jvp(f, (x,), (np.eye(len(x))[k],))[1] == slope


def test_second_derivatives_of_products_with_zeros():
    np.testing.assert_allclose(
        bp.hessian(np.prod)(np.array([0.0, 0.0, 4.0])),
        [[0.0, 4.0, 0.0], [4.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    )


def test_spreads():
    """The variance of equal numbers is smooth; its root is not, and has no slope there."""
    equal = np.full(4, 3.0)
    np.testing.assert_array_equal(bp.grad(np.var)(equal), 0.0)
    np.testing.assert_allclose(bp.hessian(np.var)(equal), (np.eye(4) - 0.25) / 2)
    np.testing.assert_array_equal(bp.grad(np.std)(equal), 0.0)
    np.testing.assert_array_equal(bp.jvp(np.std, (equal,), (np.arange(4.0),))[1], 0.0)


def test_empty_reductions():
    empty = np.zeros((0, 3))
    assert bp.grad(np.sum)(empty).shape == (0, 3)
    assert bp.grad(np.prod)(empty).shape == (0, 3)
    assert bp.grad(lambda x: np.sum(np.mean(x, axis=1)))(empty).shape == (0, 3)
    with pytest.raises(ValueError, match="zero-size"):
        bp.grad(np.max)(empty)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert bp.grad(np.mean)(empty).shape == (0, 3)
    assert any("empty" in str(w.message) or "invalid" in str(w.message) for w in caught)


# ---- stable sums of exponentials


def test_logsumexp_and_softmax_at_infinity():
    x = np.array([-INF, 0.0, 1000.0])
    np.testing.assert_allclose(bp.grad(bnp.logsumexp)(x), [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(bp.grad(bnp.logsumexp)(np.full(2, -INF)), 0.0)
    np.testing.assert_array_equal(
        bp.grad(bnp.logsumexp)(np.array([INF, INF, 0.0])), [0.5, 0.5, 0.0]
    )
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(bp.jacobian(bnp.softmax)(x), 0.0)
    np.testing.assert_allclose(
        bp.grad(lambda x: bnp.log_softmax(x)[1])(np.array([0.0, 1000.0])), [0.0, 0.0]
    )


# ---- what has no derivative


def test_comparisons_and_indices_are_plain():
    x = bp.variable(np.array([3.0, 1.0, 2.0]))
    for found, expected in (
        (x > 1.5, [True, False, True]),
        (np.argsort(x), [1, 2, 0]),
        (np.isfinite(x), [True] * 3),
        (np.floor(x), [3, 1, 2]),
        (x == x, [True] * 3),
        (np.sign(x), [1, 1, 1]),
    ):
        assert type(found) is np.ndarray
        np.testing.assert_array_equal(found, expected)
    assert np.argmax(x) == 0
    assert np.any(x > 2.5)


def test_functions_without_a_rule_are_named():
    x = bp.variable(np.eye(2))
    for call, name in (
        (lambda: np.nextafter(x, 1.0), "nextafter"),
        (lambda: np.spacing(x), "spacing"),
        (lambda: np.gcd(x, 2), "gcd"),
        (lambda: np.intersect1d(x, x), "intersect1d"),
    ):
        with pytest.raises(bp.errors.NoRuleError, match=name):
            call()
