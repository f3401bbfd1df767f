"""Functions of parts of arrays, and parts chosen by zeros."""

import numpy as np
import pytest

import fastbp as bp
import fastbp.numpy as bnp
from fastbp import tree
from fastbp.errors import NoRuleError
from fastbp.testing import check_grads

from ...harness import assert_close


@pytest.mark.parametrize("trim", ["fb", "f", "b", "FB"])
@pytest.mark.parametrize("x", [[0, 0, 1, 0, 2, 0], [1, 2], [0, 0], [0, 3, 0, 0]])
def test_trimmed_zeros_get_no_cotangent(x, trim):
    x = np.array(x, float)
    y, pull = bp.vjp(lambda x: np.trim_zeros(x, trim), x)
    np.testing.assert_array_equal(y, np.trim_zeros(x, trim))
    g = 1.0 + np.arange(y.size)
    found = pull(g)[0]
    np.testing.assert_array_equal(found[found != 0], g)
    np.testing.assert_array_equal(np.trim_zeros(x, trim), x[found != 0])


def test_piecewise_calls_a_function_where_it_is_taken():
    x = np.array([-1.0, 0.0, 4.0])
    found = bp.grad(lambda x: np.sum(np.piecewise(x, [x > 0], [np.sqrt, lambda x: x * x])))(x)
    np.testing.assert_array_equal(found, [-2.0, 0.0, 0.25])
    c = bp.grad(lambda c: np.sum(np.piecewise(bp.variable(x), [x > 0], [c, 0.0])))(3.0)
    assert c == 1.0
    with pytest.raises(ValueError, match="functions are expected"):
        np.piecewise(bp.variable(x), [x > 0], [np.sin] * 3)


def test_results_along_an_axis_may_have_any_shape(rng):
    x = rng.normal(size=(2, 3, 4))

    def table(v):
        return np.outer(v, v[:2])

    for axis in (0, 1, -1):
        y, pull = bp.vjp(lambda x, a=axis: np.apply_along_axis(table, a, x), x)
        np.testing.assert_allclose(y, np.apply_along_axis(table, axis, x), rtol=1e-15)
        assert pull(np.ones_like(y))[0].shape == x.shape


def test_the_base_of_logspace():
    found = bp.grad(lambda b: np.sum(np.logspace(bp.variable(0.0), 2.0, 3, base=b)))(3.0)
    np.testing.assert_allclose(found, 1.0 + 2.0 * 3.0, rtol=1e-15)


def test_unions_share():
    a, b = np.array([1.0, 2.0]), np.array([2.0, 0.0])
    y, pull = bp.vjp(np.union1d, a, b)
    np.testing.assert_array_equal(y, [0.0, 1.0, 2.0])
    by_a, by_b = pull(np.array([1.0, 10.0, 100.0]))
    np.testing.assert_array_equal(by_a, [10.0, 50.0])
    np.testing.assert_array_equal(by_b, [50.0, 1.0])


# ---- vectorize

M = np.arange(6.0).reshape(2, 3) + 0.5
VECTORIZED = {
    "branches": (
        lambda a, b: a * a * b if a > 0 else a - b,
        {},
        (M - 2.0, np.array([[1.0], [2.0]])),
    ),
    "inner products": (np.dot, {"signature": "(n),(n)->()"}, (M, M[0])),
    "several": (lambda a, k: (a * k, a.sum()), {"signature": "(n),()->(n),()"}, (M, M[0, :2])),
    "a dtype": (lambda a: a * 2, {"otypes": [float]}, (M,)),
}


@pytest.mark.parametrize("name", VECTORIZED)
def test_vectorize(name):
    function, options, arrays = VECTORIZED[name]
    f = bnp.vectorize(function, **options)
    expected = np.vectorize(function, **options)(*arrays)
    for g in (f, bp.unmodified(lambda *xs: np.vectorize(function, **options)(*xs))):
        found = g(*map(bp.variable, arrays))
        assert_close(tree.map(lambda y: y.value, found), expected)
        check_grads(g, arrays, order=2)
    assert_close(f(*arrays), expected)


def test_vectorize_with_names_and_constants():
    f = bnp.vectorize(lambda x, y=2.0, *, k: x * y + k, excluded=["k"])
    g = bp.grad(lambda x: np.sum(f(x, y=x, k=1.0)))(M)
    np.testing.assert_array_equal(g, 2.0 * M)
    with pytest.raises(NoRuleError, match=r"fastbp.numpy.vectorize\(f\)\(x\)"):
        np.vectorize(np.sin)(bp.variable(M))
    with pytest.raises(ValueError, match="size 0"):
        f(bp.variable(np.zeros(0)), k=1.0)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.piecewise(x, [x < 0, x >= 0], [np.square, lambda t: t**3]),
        lambda x: np.piecewise(x, x < 0, [np.square, -1.0]),
        lambda x: np.piecewise(x, [x[::-1] < 0, x > 1], [np.sin, np.square, np.cos]) * x[::-1],
    ],
)
def test_the_pattern_of_parts_holds_where_other_elements_are_in_them(f):
    x = np.array([0.5, 2.0, 0.3])
    prepared = bp.sparse.prepare(f, x, unconnected="zero")
    for at in (x, np.array([-1.0, 0.5, -3.0]), np.array([1.5, -0.2, 0.4])):
        np.testing.assert_allclose(
            prepared(at).toarray(), bp.jacobian(f, unconnected="zero")(at), rtol=1e-14
        )


def test_functions_that_mix_their_part_are_refused_where_values_decide_the_part_later():
    x = np.array([-1.0, 2.0, -3.0, 4.0, 0.5])

    def centred(x):
        return np.piecewise(x, [x < 0], [lambda y: y - np.mean(y), np.sin])

    bp.testing.check_grads(lambda x: np.sum(centred(x) ** 2), x)
    with pytest.raises(NoRuleError, match="this one mixes them"):
        bp.compile(centred)(x)
    with pytest.raises(NoRuleError, match="this one mixes them"):
        bp.sparse.sparsity(centred, x)
    elementwise = bp.compile(lambda x: np.piecewise(x, [x < 0], [lambda y: np.log(-y), 1.0]))
    np.testing.assert_allclose(elementwise(x), np.where(x < 0, np.log(abs(x)), 1.0))
