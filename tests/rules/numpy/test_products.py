"""Products and linear algebra where the samples of the table do not reach."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastbp as bp
from fastbp._core import matmul as core
from fastbp.errors import DTypeError, NoRuleError, ShapeError
from fastbp.rules.linalg import decompositions as linalg
from fastbp.testing import check_grads

MATMUL = hnp.mutually_broadcastable_shapes(
    signature="(m?,k),(k,n?)->(m?,n?)", max_dims=2, max_side=3
)


def directional(f, x, v, order):
    """Differentiate `order` times along `v`, by nested reverse sweeps."""
    if order == 0:
        return f(x)
    return directional(lambda x: np.sum(bp.grad(f)(x) * v), x, v, order - 1)


@settings(max_examples=60, deadline=None)
@given(shapes=MATMUL, seed=st.integers(0, 99))
def test_matmul_recorded_rules_equal_compiled_ones(shapes, seed):
    rng = np.random.default_rng(seed)
    a, b = (bp.variable(rng.normal(size=shape)) for shape in shapes.input_shapes)
    g = np.asarray(rng.normal(size=shapes.result_shape))
    recorded = bp.gradients(a @ b, [a, b], g, create_graph=True)
    for x, expected in zip(recorded, core.matmul_vjp(g, a.value, b.value), strict=True):
        np.testing.assert_allclose(x.value, expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_einsum_of_random_expressions(data):
    sizes = dict(zip("abcd", data.draw(st.tuples(*[st.integers(1, 3)] * 4)), strict=True))
    terms = data.draw(st.lists(st.text("abcd", max_size=3), min_size=1, max_size=3))
    used = sorted(set("".join(terms)))
    kept = "".join(data.draw(st.permutations(used))[: data.draw(st.integers(0, len(used)))])
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    operands = [rng.normal(size=[sizes[c] for c in term]) for term in terms]
    subscripts = ",".join(terms) + "->" + kept

    def f(*xs):
        return np.einsum(subscripts, *xs)

    value = f(*map(bp.variable, operands)).value
    np.testing.assert_allclose(value, f(*operands), rtol=1e-12, atol=1e-12)
    check_grads(f, tuple(operands), order=1)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_det_has_two_derivatives_at_any_rank(n):
    rng = np.random.default_rng(n)
    for rank in range(n):
        a = rng.normal(size=(n, rank)) @ rng.normal(size=(rank, n))
        v, s = rng.normal(size=(n, n)), np.linspace(-1, 1, 2 * n + 1)
        polynomial = np.polyfit(s, [np.linalg.det(a + t * v) for t in s], n)[::-1]
        scale = np.abs(polynomial).max()
        first, second = directional(np.linalg.det, a, v, 1), directional(np.linalg.det, a, v, 2)
        assert abs(first - polynomial[1]) < 1e-10 * scale
        assert abs(second - 2 * polynomial[2]) < 1e-10 * scale


def test_det_has_four_derivatives_at_a_regular_matrix():
    rng = np.random.default_rng(0)
    a, v = rng.normal(size=(2, 4, 4))
    s = np.linspace(-1, 1, 9)
    polynomial = np.polyfit(s, [np.linalg.det(a + t * v) for t in s], 4)[::-1]
    assert np.isclose(directional(np.linalg.det, a, v, 3), 6 * polynomial[3], rtol=1e-9)
    assert np.isclose(directional(np.linalg.det, a, v, 4), 24 * polynomial[4], rtol=1e-9)


@pytest.mark.parametrize("options", [{}, {"axis": 0}, {"axis": 1, "ord": 3}, {"axis": (0, 1)}])
def test_norm_at_zero_has_derivative_zero(options):
    x = bp.variable(np.zeros((2, 3)))
    g = bp.gradients(np.sum(np.linalg.norm(x, **options)), x, create_graph=True)
    assert not np.any(g.value)
    assert np.isnan(bp.gradients(np.sum(g), x)).all()  # there is no second one
    assert not np.any(
        bp.jvp(lambda x: np.linalg.norm(x, **options), (x.value,), (np.ones((2, 3)),))[1]
    )


def test_solve_factorises_once_for_all_derivatives(monkeypatch):
    calls = []

    def counted(routine, *arrays, run=linalg.lapack.run, **options):
        calls.extend([arrays[0].shape] * (routine in ("lu", "solve", "inverse")))
        return run(routine, *arrays, **options)

    monkeypatch.setattr(linalg.lapack, "run", counted)
    a = np.random.default_rng(0).normal(size=(4, 4)) + 4 * np.eye(4)
    bp.hessian(lambda a: np.sum(np.linalg.solve(a, np.ones(4)) ** 2))(a)
    assert calls == [(4, 4)]


@pytest.mark.parametrize(
    ("f", "error"),
    [
        (lambda x: np.linalg.solve(x, np.ones(3)), np.linalg.LinAlgError),
        (np.linalg.inv, np.linalg.LinAlgError),
        (lambda x: np.linalg.cholesky(-x), np.linalg.LinAlgError),
        (lambda x: np.linalg.det(x[:2]), np.linalg.LinAlgError),
        (lambda x: np.linalg.norm(x, "nuclear"), ValueError),
        (lambda x: np.linalg.norm(x, axis=5), np.exceptions.AxisError),
        (lambda x: x @ np.ones((2, 2)), ShapeError),
        (lambda x: x @ np.ones((3, 3), object), DTypeError),
        (lambda x: np.matmul(x, x, out=np.zeros((3, 3))), NoRuleError),
        (lambda x: np.matmul(x, x, axes=[(0, 1)] * 3), NoRuleError),
        (lambda x: np.einsum("ij,jk->il", x, x), ValueError),
        (lambda x: np.einsum("ij,jk", x, np.ones((2, 2))), ShapeError),
        (lambda x: np.tensordot(x, x, axes=((0, 0), (1, 1))), ValueError),
        (lambda x: np.cross(x[:, :2], x[:, :2]), NoRuleError),
        (lambda x: np.linalg.multi_dot([x]), ShapeError),
    ],
)
def test_errors(f, error):
    with pytest.raises(error):
        f(bp.variable(np.ones((3, 3))))
