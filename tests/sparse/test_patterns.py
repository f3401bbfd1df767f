"""Sparsity patterns against nonzeros of Jacobians: never less, and exact where that is provable."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings

import fastbp as bp
import fastbp.numpy as bnp
from fastbp import tree
from fastbp._core import graph
from fastbp._core.tape import Tape
from fastbp.errors import DegenerateError, DTypeError, ShapeError
from fastbp.rules import OPS
from fastbp.rules.table import SAMPLES
from fastbp.sparse import sparsity
from fastbp.sparse.patterns import pattern_of

from ..harness import ELEMENTWISE, calls_of, indexing_calls
from ..rules.test_rules import operand_sets
from ..test_random_graphs import inputs_strategy, programs, run, sampled

# Some samples, and programs at random, are constant.
pytestmark = pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning")

CALLS = [
    pytest.param(call, id=f"{name}-{k}")
    for name in SAMPLES
    for k, call in enumerate(calls_of(name))
]
CALLS += [pytest.param(call, id=name) for name, call in indexing_calls().items()]
# Small enough for second derivatives of every element.
SMALL_CALLS = [
    parameters for parameters in CALLS if 0 < sum(x.size for x in parameters.values[0].arrays) <= 30
]


def flat(structure):
    """Return what a function returned as one vector of real numbers."""
    ys = tree.flatten(structure)[0]
    ys = [np.real(y) + 0.7 * np.imag(y) if np.iscomplexobj(y) else y for y in ys]
    return np.concatenate([np.ravel(y) for y in ys])


def nonzeros(f, arrays):
    """Return where the Jacobian of ``flat(f(*arrays))`` by all arrays is not zero."""
    argnums = tuple(range(len(arrays)))
    with np.errstate(all="ignore"):
        parts = bp.jacobian(lambda *xs: flat(f(*xs)), argnums)(*arrays)
    return (
        np.concatenate(
            [j.reshape((len(j), x.size)) for j, x in zip(parts, arrays, strict=True)], axis=1
        )
        != 0
    )


def between(ys, xs, **options):
    """Return the pattern between ends of a record."""
    return pattern_of(
        Tape([y for y in ys if isinstance(y, bp.Variable)], xs, True), ys, xs, **options
    )


def patterns(f, arrays, local=False):
    """Return the pattern of the same."""
    left = []
    xs, handles = graph.leaves(list(arrays), True)
    with np.errstate(all="ignore"):
        y = graph.recorded_call(lambda *ys: flat(f(*ys)), handles, {}, left)
        tape = Tape([y] if isinstance(y, bp.Variable) else [], xs, True)
        tape.left = left
        return pattern_of(tape, [y], xs, local=local).toarray()


def contains(pattern, f, arrays):
    missing = nonzeros(f, arrays) & ~pattern
    assert not missing.any(), np.argwhere(missing)


def moved(arrays, seed, scale):
    rng = np.random.default_rng(seed)
    return [x + scale * rng.standard_normal(x.shape).astype(x.dtype) for x in arrays]


def check(f, arrays, seeds=3, scale=0.3):
    """Compare the pattern with Jacobians at these arrays and at others."""
    pattern, here = patterns(f, arrays), patterns(f, arrays, local=True)
    contains(pattern, f, arrays)
    contains(here, f, arrays)
    assert not (here & ~pattern).any()
    for seed in range(seeds):
        try:
            contains(pattern, f, moved(arrays, seed, scale))
        except (np.linalg.LinAlgError, DegenerateError):
            continue


def dense(f, *args, **kwargs):
    with np.errstate(all="ignore"):
        return sparsity(f, *args, **kwargs).toarray().astype(int)


def band(n, *offsets):
    return sum(np.eye(n, k=k, dtype=int) for k in offsets)


# ---- the table


def test_every_row_that_is_not_elementwise_has_a_pattern():
    assert [name for name, op in OPS.items() if op.partials is None and op.pattern is None] == []


@pytest.mark.parametrize("call", CALLS)
def test_samples(call):
    check(call, call.arrays)


@pytest.mark.parametrize("call", SMALL_CALLS)
def test_gradients_of_samples(call):
    """The pattern of a recorded gradient is that of the Hessian."""

    def gradient(*xs):
        def loss(*ys):
            return np.sum(np.sin(flat(call(*ys))))

        return list(bp.grad(loss, tuple(range(len(xs))))(*xs))

    check(gradient, call.arrays, seeds=1)


@pytest.mark.parametrize("mode", ["reverse", "forward"])
@pytest.mark.parametrize("call", SMALL_CALLS)
def test_jacobians_of_samples(call, mode):
    """Recorded rules with block axes in front."""
    argnums = tuple(range(len(call.arrays)))

    def jacobian(*xs):
        return list(bp.jacobian(lambda *ys: np.sin(flat(call(*ys))), argnums, mode=mode)(*xs))

    check(jacobian, call.arrays, seeds=1, scale=0.1)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name, rng):
    op = ELEMENTWISE[name]
    for arrays in operand_sets(op, rng):
        check(op, arrays, scale=0.01)
    special = [np.array(v) for v in np.meshgrid(*[[0.0, 1.0, -1.0, 0.5, np.inf, np.nan]] * op.nin)]
    contains(patterns(op, special), op, special)
    contains(patterns(op, special, local=True), op, special)


# ---- random programs


@settings(max_examples=200)
@given(programs, inputs_strategy)
def test_random_programs(program, shapes):
    arrays = sampled(shapes)
    check(lambda *xs: run(program, list(xs)), arrays, seeds=2)
    for x in arrays:
        x.flags.writeable = True
        x[np.abs(x) < 0.5] = 0.0
    check(lambda *xs: run(program, list(xs)), arrays, seeds=0)


@settings(max_examples=60)
@given(programs, inputs_strategy)
def test_gradients_of_random_programs(program, shapes):
    arrays = [x.astype(float) for x in sampled(shapes)]

    def loss(*xs):
        return sum(np.sum(np.sin(y)) for y in run(program, list(xs), np.float64))

    gradient = bp.grad(loss, tuple(range(len(arrays))))
    check(lambda *xs: list(gradient(*xs)), arrays, seeds=1)


# ---- exact patterns


def test_stencils():
    x = np.random.default_rng(0).normal(size=6)
    periodic = band(6, 0, 1, -1, 5, -5)
    np.testing.assert_array_equal(
        dense(lambda x: np.roll(x, 1) - 2 * x + np.roll(x, -1), x), periodic
    )
    np.testing.assert_array_equal(dense(lambda x: x[1:] * x[:-1], x), band(6, 0, 1)[:-1])
    np.testing.assert_array_equal(dense(lambda x: np.diff(x, 2), x), band(6, 0, 1, 2)[:-2])
    np.testing.assert_array_equal(dense(np.cumsum, x), np.tril(np.ones((6, 6), int)))

    def in_place(x):
        y = np.zeros_like(x) + 0.0 * x
        y[1:] += x[:-1]
        return y

    np.testing.assert_array_equal(dense(in_place, x), band(6, 0, -1))


def test_laplacian_of_a_grid():
    def f(u):
        u = np.pad(u.reshape(4, 5), 1)
        return u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * u[1:-1, 1:-1]

    expected = np.kron(np.eye(4), band(5, 1, -1)) + np.kron(band(4, 1, -1), np.eye(5)) + np.eye(20)
    np.testing.assert_array_equal(dense(f, np.zeros(20)), expected)


def test_hessians():
    x = np.random.default_rng(0).normal(size=6)

    def hessian(f):
        return dense(bp.grad(f), x)

    three = band(6, -1, 0, 1)
    np.testing.assert_array_equal(hessian(lambda x: np.sum((x[1:] - x[:-1]) ** 2)), three)
    np.testing.assert_array_equal(
        hessian(lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)), three
    )
    np.testing.assert_array_equal(hessian(lambda x: np.sum(np.exp(x) * np.sin(x))), np.eye(6))
    np.testing.assert_array_equal(hessian(lambda x: np.sum(x[1:] * x[:-1])), band(6, 1, -1))
    np.testing.assert_array_equal(hessian(lambda x: np.sum(3 * x)), np.zeros((6, 6)))
    np.testing.assert_array_equal(hessian(lambda x: np.sum(np.abs(x))), np.zeros((6, 6)))
    np.testing.assert_array_equal(hessian(lambda x: np.prod(x)), 1.0 - np.eye(6))
    np.testing.assert_array_equal(
        hessian(lambda x: np.sum(np.outer(x[:3], x[3:]))),
        np.kron([[0, 1], [1, 0]], np.ones((3, 3))),
    )
    pairs = np.array([[0, 3], [3, 5], [1, 2]])
    expected = np.eye(6, dtype=int)
    expected[4, 4] = 0
    for i, j in pairs:
        expected[i, j] = expected[j, i] = 1
    found = hessian(lambda x: np.sum(np.cos(x[pairs[:, 0]] - x[pairs[:, 1]])))
    np.testing.assert_array_equal(found, expected)


def test_products():
    a, b = np.ones((2, 3)), np.ones((3, 2))
    np.testing.assert_array_equal(dense(lambda a: a @ b, a), np.kron(np.eye(2), np.ones((2, 3))))
    np.testing.assert_array_equal(dense(lambda b: a @ b, b), np.kron(np.ones((2, 3)), np.eye(2)))
    stack = np.ones((4, 2, 3))
    np.testing.assert_array_equal(
        dense(lambda s: np.einsum("bij,jk->bk", s, b), stack),
        np.kron(np.eye(4), np.ones((2, 6))),
    )
    np.testing.assert_array_equal(
        dense(lambda s: s @ b, stack), np.kron(np.eye(8), np.ones((2, 3)))
    )
    np.testing.assert_array_equal(
        dense(lambda a: np.einsum("ij,ij->i", a, a), a), np.kron(np.eye(2), np.ones((1, 3)))
    )
    cross = dense(lambda v: np.cross(v, np.ones(3)), np.ones((2, 3)))
    np.testing.assert_array_equal(cross, np.kron(np.eye(2), 1 - np.eye(3)))


def test_matrices():
    a = np.eye(2) + np.zeros((3, 2, 2))
    blocks = np.kron(np.eye(3), np.ones((4, 4)))
    np.testing.assert_array_equal(dense(np.linalg.inv, a), blocks)
    np.testing.assert_array_equal(dense(np.linalg.det, a), blocks[::4])
    b = np.ones((2, 3))
    np.testing.assert_array_equal(
        dense(lambda b: np.linalg.solve(a[0], b), b), np.kron(np.ones((2, 2)), np.eye(3))
    )
    np.testing.assert_array_equal(dense(lambda a: np.linalg.solve(a, b), a[0]), np.ones((6, 4)))
    lower = dense(np.linalg.cholesky, a[0])
    np.testing.assert_array_equal(lower, [[1] * 4, [0] * 4, [1] * 4, [1] * 4])
    np.testing.assert_array_equal(dense(np.tril, np.ones((2, 2))), np.diag([1, 0, 1, 1]))


def test_along_axes():
    x = np.random.default_rng(0).normal(size=(2, 3))
    rows = np.kron(np.eye(2), np.ones((1, 3)))
    reductions = (np.sum, np.mean, np.max, np.prod, np.var, np.std, np.linalg.norm, bnp.logsumexp)
    for f in reductions:
        np.testing.assert_array_equal(dense(lambda x, f=f: f(x, axis=1), x), rows)
        np.testing.assert_array_equal(dense(lambda x, f=f: f(x, axis=(0, 1)), x), np.ones((1, 6)))
    for f in (bnp.softmax, bnp.log_softmax):
        np.testing.assert_array_equal(dense(lambda x, f=f: f(x, axis=1), x), np.repeat(rows, 3, 0))
    running = np.kron(np.eye(2), np.tril(np.ones((3, 3))))
    for f in (np.cumsum, np.cumprod):
        np.testing.assert_array_equal(dense(lambda x, f=f: f(x, axis=1), x), running)


# ---- valid everywhere: nothing is concluded from values


X = np.array([1.0, -2.0, 0.0, 3.0])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: (x > 0) * x,
        lambda x: np.sign(x) * x,
        lambda x: np.where(x > 0, x, 0.0),
        lambda x: bp.stop_gradient(x) * x,
        lambda x: x.value * x,
        lambda x: 0.0 * x,
        lambda x: bnp.relu(x),
        lambda x: np.maximum(x, 0.0),
        lambda x: np.clip(x, -1.0, 1.0),
        lambda x: np.abs(x) * x,
        lambda x: np.diag((x > 0) * 1.0) @ np.diag(x) @ np.ones(4),
        lambda x: np.select([x > 0], [x], 0.0),
        lambda x: np.nan_to_num(x / (x > 0)),
        lambda x: x**2,
        lambda x: np.sin(x) * 0,
    ],
)
def test_values_do_not_count(f):
    found = dense(f, X)
    assert np.all(found >= np.eye(4))
    assert found.sum() in (4, 16)


def test_the_other_arguments_do_not_count():
    t, matrix = np.zeros(4), np.zeros((4, 4))
    np.testing.assert_array_equal(dense(lambda x, t: x * t, X, t), np.eye(4))
    np.testing.assert_array_equal(dense(lambda x, t: t @ x, X, matrix), np.ones((4, 4)))
    np.testing.assert_array_equal(dense(lambda t, x: x * t, t, X, argnums=1), np.eye(4))
    np.testing.assert_array_equal(dense(lambda t, x: x * t, t, X, argnums=-1), np.eye(4))
    t.flags.writeable = False  # says nothing: an argument has other values at another call
    np.testing.assert_array_equal(dense(lambda x, t: x * t, X, t), np.eye(4))
    np.testing.assert_array_equal(dense(lambda x, p: x * p["t"], X, {"t": t}), np.eye(4))
    np.testing.assert_array_equal(dense(lambda x, t: x * t, X, np.float64(0.0)), np.eye(4))
    np.testing.assert_array_equal(dense(lambda x, t: x * np.full(4, t), X, 0.0), np.eye(4))


def test_constants_count_beside_other_arguments():
    t, w, matrix = np.zeros(4), np.ones((4, 4)), np.eye(4, k=1) - np.eye(4)
    both = band(4, 0, 1)
    for f in (
        lambda x, t: matrix @ x + t,
        lambda x, t: t * (matrix @ x),
        lambda x, t: matrix @ (np.where(t > 0, x, 2.0 * x)),
        lambda x, t: (matrix @ x) * np.sign(x - t),
        lambda x, t, w=w: (matrix * w) @ x + np.sort(t),
    ):
        np.testing.assert_array_equal(dense(f, X, t), both)
    np.testing.assert_array_equal(dense(lambda x, w: (matrix * w) @ x, X, w), np.ones((4, 4)))
    np.testing.assert_array_equal(dense(lambda x, n: matrix @ x + np.ones(n), X, 4), both)
    rows = np.array([3, 0])  # integers are structure, as shapes are
    np.testing.assert_array_equal(dense(lambda x, i: x[i], X, rows), np.eye(4)[rows])


def test_both_branches():
    def f(x):
        return np.where(x[:3] > 0, x[:3], x[3:])

    x = np.array([1.0, -1.0, 1.0, 5.0, 5.0, 5.0])
    np.testing.assert_array_equal(dense(f, x), np.hstack([np.eye(3)] * 2))
    np.testing.assert_array_equal(
        dense(f, x, local=True), np.hstack([np.diag([1, 0, 1]), np.diag([0, 1, 0])])
    )


def test_scratch_arrays_are_not_constants():
    """They were there before the call, and hold what was computed from the input."""
    scratch = np.zeros(4)

    def f(x):
        np.greater(x, 0.0, out=scratch)
        return scratch * x

    for _ in range(2):
        np.testing.assert_array_equal(dense(f, X), np.eye(4))


def test_a_mask_or_an_index_computed_from_the_argument_may_select_anything():
    full = np.ones((4, 4))
    np.testing.assert_array_equal(dense(lambda x: x[np.argsort(x)], X), full)
    np.testing.assert_array_equal(dense(lambda x: np.take_along_axis(x, np.argsort(x), 0), X), full)
    np.testing.assert_array_equal(dense(lambda x: x[x > 0], X), full[:2])
    np.testing.assert_array_equal(dense(lambda x: x[np.argmax(x)], X), full[:1])
    rows = np.ones((2, 2)) + np.zeros((2, 2, 2))
    taken = dense(lambda x: np.take(x, np.argsort(x.sum((1, 2)))[:1], 0), rows)
    np.testing.assert_array_equal(taken, np.hstack([np.eye(4)] * 2))
    here = dense(lambda x: x[np.argsort(x)], X, local=True)
    np.testing.assert_array_equal(here, np.eye(4)[np.argsort(X)])

    def written(x):
        y = 1.0 * x
        y[np.argmax(x)] = x[0] * x[1]
        return y

    expected = np.eye(4, dtype=int)
    expected[:, :2] = 1
    np.testing.assert_array_equal(dense(written, X), expected)
    expected = np.eye(4, dtype=int)
    expected[3] = [1, 1, 0, 0]
    np.testing.assert_array_equal(dense(written, X, local=True), expected)
    # The mask itself has no derivative.
    np.testing.assert_array_equal(dense(lambda x: x[::-1] * (x > 0), X), np.eye(4)[::-1])


def test_what_was_computed_from_a_value_is_not_fixed():
    kept = []

    def f(x):
        kept.append(x.value > 0)
        return (kept[-1] * 1.0) * x + np.eye(4, k=1) @ x

    np.testing.assert_array_equal(dense(f, X), np.ones((4, 4)))


def test_a_branch_is_the_course_of_the_function():
    matrix = np.eye(4, k=1)

    def f(x):
        while np.max(x) < 10.0:
            x = 2.0 * x
        return matrix @ x if x[0] > 0 else x

    np.testing.assert_array_equal(dense(f, X), band(4, 1))


# ---- zeros that are there for good


def test_constants_are_fixed_where_nothing_left_the_record():
    matrix, mask = np.eye(4, k=1) - np.eye(4), np.array([1.0, 0.0, 0.0, 2.0])
    both = band(4, 0, 1)
    for f in (
        lambda x: matrix @ x,
        lambda x: (np.eye(4, k=1) - np.eye(4)) @ x,
        lambda x: np.einsum("ij,j->i", matrix[:], x),
        lambda x: np.ascontiguousarray(matrix.T).T @ x.reshape(2, 2).reshape(4),
        lambda x: bp.grad(lambda y: 0.5 * np.sum(y @ (matrix + matrix.T) * y))(x)[:3],
    ):
        found = dense(f, X)
        assert np.all(found <= band(4, -1, 0, 1)[: len(found)])
        if len(found) == 4:
            np.testing.assert_array_equal(found, both)
    np.testing.assert_array_equal(dense(lambda x: mask * x, X), np.diag([1, 0, 0, 1]))
    np.testing.assert_array_equal(dense(lambda x: x * (mask > 0), X), np.diag([1, 0, 0, 1]))
    np.testing.assert_array_equal(
        dense(lambda x: np.where(mask > 0, x, x[::-1]), X),
        [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]],
    )
    # Not what is, or may be made from, another argument.
    np.testing.assert_array_equal(dense(lambda x, t: (t * 2.0) * x, X, np.zeros(4)), np.eye(4))
    np.testing.assert_array_equal(dense(lambda x, t: np.full(4, t) * x, X, 0.0), np.eye(4))
    outer = bp.variable(mask)
    np.testing.assert_array_equal(dense(lambda x: outer * x, X), np.eye(4))
    # Whatever is compared, rounded, sorted beside them.
    for g in (
        lambda x: (matrix @ x) * (x > 0),
        lambda x: matrix @ x + np.sign(x) * np.floor(x),
        lambda x: np.where(x > np.median(X), matrix @ x, 0.0),
        lambda x: matrix @ x if np.isfinite(x).all() else x,
        lambda x: bp.stop_gradient(x) * (matrix @ x),
        lambda x: matrix @ x + np.argsort(x),
    ):
        np.testing.assert_array_equal(dense(g, X), both)


@pytest.mark.parametrize("n", [4, 40])  # a constant that is copied, and one that is locked
def test_a_prepared_jacobian_notices_that_zeros_are_gone(rng, n):
    matrix, x = np.diag(rng.normal(size=n)), rng.normal(size=n)
    jac = bp.sparse.prepare(lambda x: np.sin(matrix @ x), x)
    assert jac.pattern.nnz == n
    matrix[0, 0], matrix[1, 1] = 2.0, 3.0
    expected = np.cos(matrix @ x)[:, None] * matrix
    np.testing.assert_allclose(jac(x).toarray(), expected, rtol=0.0, atol=1e-14)
    matrix[0, n - 1] = 1.0
    with pytest.raises(ValueError, match=rf"constant array of shape \({n}, {n}\) .*prepare anew"):
        jac(x)
    again = pickle.loads(pickle.dumps(bp.sparse.prepare(_doubled, x)))
    np.testing.assert_array_equal(again(x).toarray(), 2.0 * np.eye(n))
    by_call = bp.sparse.jacobian(lambda x: np.sin(matrix @ x))
    assert by_call(x).nnz == n + 1
    matrix[1, n - 1] = 1.0
    expected = np.cos(matrix @ x)[:, None] * matrix
    np.testing.assert_allclose(by_call(x).toarray(), expected, rtol=0.0, atol=1e-14)


def test_a_prepared_jacobian_notices_another_branch():
    mask, x = np.ones(4, bool), np.ones(4)
    jac = bp.sparse.prepare(lambda x: np.where(mask, x, x[::-1]), x)
    assert jac.pattern.nnz == 4
    mask[1] = False
    with pytest.raises(ValueError, match="zeros in other places"):
        jac(x)
    scale = np.array([1.0, np.inf])
    jac = bp.sparse.prepare(lambda x: x / scale, x[:2])
    assert jac.pattern.nnz == 1
    scale[0] = 5.0
    np.testing.assert_array_equal(jac(x[:2]).toarray(), [[0.2, 0.0], [0.0, 0.0]])
    scale[1] = 2.0
    with pytest.raises(ValueError, match="zeros in other places"):
        jac(x[:2])
    base = np.array([1.0, 2.0])
    xlogy = bp.scipy.special.xlogy
    jac = bp.sparse.prepare(lambda x: xlogy(x, base), x[:2])
    assert jac.pattern.nnz == 1  # log(1) = 0
    base[0] = 2.0
    with pytest.raises(ValueError, match="zeros in other places"):
        jac(x[:2])


def _doubled(x):
    return np.diag(np.full(len(x), 2.0)) @ x


def test_a_prepared_jacobian_of_a_stencil_matrix(rng):
    matrix = np.diag(rng.normal(size=30)) + np.diag(rng.normal(size=29), 1)
    x = rng.normal(size=30)
    jac = bp.sparse.prepare(lambda x: np.sin(matrix @ x), x)
    assert (jac.pattern.nnz, jac.num_sweeps) == (59, 2)
    expected = np.cos(matrix @ x)[:, None] * matrix
    np.testing.assert_allclose(jac(x).toarray(), expected, rtol=0.0, atol=1e-14)


# ---- what leaves the record


def left_by(f, x=X):
    left = []
    _, (handle,) = graph.leaves([x], True)
    graph.recorded_call(f, [handle], {}, left)
    return left


@pytest.mark.parametrize(
    "f",
    [
        lambda x: 1.0 in x,
        lambda x: x[0].item(),
        lambda x: x.value,
        lambda x: round(x[0]),
        lambda x: f"{x[0]:.3f}",
        lambda x: repr(x),
        lambda x: x[:2].value,
        lambda x: np.asarray(x > 0),
        lambda x: int(np.argmax(x)),
        lambda x: float(np.sign(x[0])),
        lambda x: np.argsort(x).tolist(),
        lambda x: [1.0, 2.0, 3.0, 4.0][np.argmax(x)],
        lambda x: X[np.argsort(x)],
        lambda x: np.greater(x, 0.0, out=np.empty(4)),
        lambda x: hash(np.argmax(x)),
        lambda x: f"{np.argmax(x)}",
        lambda x: math.floor(np.sign(x[0])),
    ],
)
def test_what_leaves(f):
    ((what, file, line),) = left_by(f)
    assert what == "value"
    assert file == __file__
    assert line == f.__code__.co_firstlineno


@pytest.mark.parametrize(
    "f",
    [
        lambda x: bool(x[0]),
        lambda x: bool(np.any(x > 0)),
        lambda x: 1.0 if x[0] > 0 else 2.0,
        lambda x: x[0] > 0 and x,
        lambda x: max(x[0], x[1]),
    ],
)
def test_what_decides_a_branch(f):
    ((what, file, line),) = left_by(f)
    assert (what, file, line) == ("bool", __file__, f.__code__.co_firstlineno)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x > 0,
        lambda x: 1.0 == x,
        lambda x: np.sign(x),
        lambda x: np.argsort(x),
        lambda x: x.argmax(),
        lambda x: x.any(),
        lambda x: np.floor_divide(x, 2.0),
        lambda x: np.isnan(x),
        lambda x: np.array_equal(x, [x, x]),
        lambda x: bp.stop_gradient(x),
        lambda x: bp.grad(lambda y: np.sum(y * (y > 0)))(x),
        lambda x: np.where(np.greater(x, 0), x, 0.0),
        lambda x: np.nansum(x),
        lambda x: x.shape[0] * x.size * x.ndim * x.sum(),
        lambda x: np.reshape(x, (2, 2)).T.ravel()[::-1],
        lambda x: np.zeros_like(x) + np.ones(np.shape(x)) * x,
        lambda x: np.full_like(x, 2.0) * x,
        lambda x: x.astype(np.result_type(x, np.float32)),
        lambda x: np.concatenate([np.squeeze(x[None]), np.expand_dims(x, 0)[0]]),
        lambda x: np.diff(x) * np.trace(np.diag(x)) if x.dtype == float else x,
        lambda x: np.hsplit(x, 2)[0] @ np.block([x[:1], x[:1]]),
        lambda x: [y * y for y in x],
        lambda x: bnp.zeros(4).value,
        lambda x: bp.jacobian(np.sin)(x),
        lambda x: np.shape(x) if np.isrealobj(x) else x,
    ],
)
def test_what_does_not_leave(f):
    assert left_by(f) == []


def test_what_leaves_an_inner_record_leaves_the_outer_one():
    inner = []

    def f(x):
        graph.recorded_call(lambda y: y.value, [bp.variable(x)], {}, inner)
        return x

    assert len(left_by(f)) == len(inner) == 1

    def g(x):
        x.value  # noqa: B018
        raise ValueError("stop")

    left = []
    with pytest.raises(ValueError, match="stop"):
        graph.recorded_call(g, [bp.variable(X)], {}, left)
    assert len(left) == 1
    bp.variable(X).value  # noqa: B018
    assert len(left) == 1


# ---- zeros of constants in all kinds of products


DIFFERENCES = np.eye(4, k=1) - np.eye(4)


def test_zeros_of_constants():
    matrix, mask = np.eye(4, k=1) - np.eye(4), np.array([1.0, 0.0, 0.0, 2.0])
    both = band(4, 0, 1)
    for f in (
        lambda x: matrix @ x,
        lambda x: matrix[None] @ x,
        lambda x: x @ matrix.T,
        lambda x: np.einsum("ij,j->i", matrix, x),
        lambda x: DIFFERENCES @ x,
        lambda x, m=matrix: m @ x,
        lambda x: np.dot(matrix, x),
    ):
        np.testing.assert_array_equal(dense(f, X), both)
    np.testing.assert_array_equal(dense(lambda x: mask * x, X), np.diag([1, 0, 0, 1]))
    np.testing.assert_array_equal(dense(lambda x: x * x * mask, X), np.diag([1, 0, 0, 1]))
    np.testing.assert_array_equal(dense(lambda x: x / mask, X), np.eye(4))
    there = mask != 0
    np.testing.assert_array_equal(
        dense(lambda x: np.where(there, x, x[::-1]), X),
        [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]],
    )

    def energy(x):
        return np.sum((matrix @ x) ** 2)

    np.testing.assert_array_equal(dense(bp.grad(energy), X), band(4, -1, 0, 1))
    several = np.ones((4, 3))
    np.testing.assert_array_equal(dense(lambda x: matrix @ x, several), np.kron(both, np.eye(3)))
    stack = np.stack([np.eye(2), np.ones((2, 2))])
    np.testing.assert_array_equal(
        dense(lambda x: stack @ x, np.ones((2, 1))), [[1, 0], [0, 1], [1, 1], [1, 1]]
    )
    np.testing.assert_array_equal(
        dense(lambda x: stack @ x, np.ones((2, 2, 1))),
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]],
    )


PRODUCTS = ("matmul", "dot", "einsum", "tensordot", "kron", "outer", "vecdot", "inner")


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(call, id=f"{name}-{k}")
        for name in PRODUCTS
        for k, call in enumerate(calls_of(name))
        if len(call.arrays) > 1
    ],
)
def test_zeros_of_factors(call, rng):
    for k, x in enumerate(call.arrays):
        factors = [rng.uniform(1, 2, y.shape) * (rng.random(y.shape) < 0.5) for y in call.arrays]

        def f(x, k=k, factors=factors):
            return np.ravel(call(*factors[:k], x, *factors[k + 1 :]))

        x = np.abs(x) + 1.0
        found = sparsity(f, x).toarray()
        expected = nonzeros(f, [x])
        assert not (expected & ~found).any()
        # Of more than two factors, some are multiplied before they meet the input.
        if len(factors) == 2:
            np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(sparsity(f, x, local=True).toarray(), expected)


# ---- here: zeros of partial derivatives


def test_local_patterns():
    t = np.array([0.0, 1.0, 0.0, 2.0])
    np.testing.assert_array_equal(
        dense(lambda x, t: x * t, X, t, local=True), np.diag([0, 1, 0, 1])
    )
    np.testing.assert_array_equal(dense(lambda x: x * x, X, local=True), np.diag([1, 1, 0, 1]))
    np.testing.assert_array_equal(dense(bnp.relu, X, local=True), np.diag([1, 0, 0, 1]))
    np.testing.assert_array_equal(dense(lambda x: 0.0 * x, X, local=True), np.zeros((4, 4)))
    np.testing.assert_array_equal(
        dense(lambda x: np.diag(t) @ x, X, local=True), np.diag([0, 1, 0, 1])
    )
    np.testing.assert_array_equal(dense(lambda x: x @ x, X, local=True), [[1, 1, 0, 1]])
    np.testing.assert_array_equal(dense(np.max, X, local=True), [[0, 0, 0, 1]])
    np.testing.assert_array_equal(dense(np.min, np.zeros(3), local=True), [[1, 1, 1]])
    np.testing.assert_array_equal(dense(np.prod, X, local=True), [[0, 0, 1, 0]])
    np.testing.assert_array_equal(dense(np.linalg.norm, X, local=True), [[1, 1, 0, 1]])
    bad = np.array([np.nan, 1.0])
    np.testing.assert_array_equal(dense(lambda x: x * bad, np.ones(2), local=True), np.eye(2))
    np.testing.assert_array_equal(dense(np.max, bad, local=True), [[1, 0]])


# ---- inputs and outputs of every kind


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_shapes(dtype):
    x = np.ones((2, 3), dtype)
    found = sparsity(lambda x: np.sin(x).T, x)
    assert found.dtype == bool
    assert found.has_sorted_indices
    assert found.indices.dtype == found.indptr.dtype == np.int32
    expected = np.zeros((6, 6), int)
    expected[np.arange(6), np.arange(6).reshape(2, 3).T.ravel()] = 1
    np.testing.assert_array_equal(found.toarray(), expected)
    assert dense(np.sum, x).tolist() == [[1] * 6]
    assert dense(lambda x: x, x).tolist() == np.eye(6).tolist()
    assert dense(np.exp, dtype(2.0)).tolist() == [[1]]
    assert dense(lambda x: np.ones((2, 2)), x).tolist() == np.zeros((4, 6)).tolist()
    assert dense(lambda x: 3, x).tolist() == np.zeros((1, 6)).tolist()
    assert dense(lambda x: np.argmax(x, axis=1), x).tolist() == np.zeros((2, 6)).tolist()
    assert dense(lambda x: x * 2, np.ones((0, 3), dtype)).shape == (0, 0)
    assert dense(lambda x: np.sum(x), np.ones((0, 3), dtype)).shape == (1, 0)
    assert dense(lambda x: x[:0], x).shape == (0, 6)
    assert dense(lambda x: x.astype(np.float32) * 2, x).tolist() == np.eye(6).tolist()


def test_the_input_is_not_written_into():
    x = X.copy()

    def f(y):
        y[0] = 0.0
        return y

    np.testing.assert_array_equal(dense(f, x), np.diag([0, 1, 1, 1]))
    np.testing.assert_array_equal(x, X)


def test_rules_of_users_depend_on_everything():
    rule = bp.custom_rule(np.sin, vjp=lambda g, ans, x: g * np.cos(x))
    found = dense(lambda x: rule(x[:2] * 1.0), X)
    np.testing.assert_array_equal(found, [[1, 1, 0, 0]] * 2)
    again = bp.checkpoint(lambda x, y: x + y)
    found = dense(lambda x: again(x[:1], x[2:3]), X)
    np.testing.assert_array_equal(found, [[1, 0, 1, 0]])


def test_a_pattern_between_several_ends():
    x, y = bp.variable(np.ones(2)), bp.variable(np.ones(3))
    outer = bp.variable(np.ones(2))
    found = between([x * outer, np.sum(y) + x[0], np.zeros(2), outer, y], [y, x]).toarray()
    expected = [
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1],
        [1, 1, 1, 1, 0],
        *[[0] * 5] * 4,
        *np.eye(3, 5).tolist(),
    ]
    np.testing.assert_array_equal(found, expected)
    # Inputs are taken for independent, even where one is computed from the other.
    z = 2.0 * x
    np.testing.assert_array_equal(between([z * x], [x, z]).toarray(), np.hstack([np.eye(2)] * 2))
    assert between([], [x]).shape == (0, 2)


def test_in_another_transform():
    def f(x):
        pattern = sparsity(lambda y: x * y, x)
        return np.sum(x * pattern.nnz)

    np.testing.assert_array_equal(bp.grad(f)(X), np.full(4, 4.0))


def test_bad_arguments():
    for argnums in ((0,), True, 0.0, None):
        with pytest.raises(TypeError, match="argnums must be"):
            sparsity(np.sin, X, argnums=argnums)
    with pytest.raises(ValueError, match="argnums 1"):
        sparsity(np.sin, X, argnums=1)
    with pytest.raises(ValueError, match="argnums 0"):
        sparsity(np.sin)
    with pytest.raises(TypeError, match="sparsity: a function"):
        sparsity(X, X)
    with pytest.raises(TypeError, match="argument 0 must be one array"):
        sparsity(lambda x: x[0], [X, X])
    with pytest.raises(TypeError, match="argument 0 must be one array"):
        sparsity(lambda x: x[0], (X,))
    with pytest.raises(TypeError, match="one array, not a tuple"):
        sparsity(lambda x: (x, x), X)
    with pytest.raises(ShapeError, match="sparsity: the function returned None"):
        sparsity(lambda x: None, X)
    with pytest.raises(DTypeError, match="output has dtype"):
        sparsity(lambda x: "text", X)
    with pytest.raises(DTypeError, match="complex128"):
        sparsity(np.sin, 1j * X)
    with pytest.raises(MemoryError, match="rows and 100000 columns"):
        sparsity(lambda x: np.broadcast_to(np.sum(x), 100_000), np.ones(100_000))


def test_long_programs():
    """As many operations on numbers as make anything quadratic impossible."""
    n = 20_000
    order = np.random.default_rng(0).permutation(n).tolist()

    def f(x):
        total = 0.0
        for i in order:
            total = total + x[i] * 2.0
        return total

    assert sparsity(f, np.ones(n)).nnz == n


def test_a_wrong_pattern_is_noticed():
    op = bp._core.graph.Op(
        "wrong",
        lambda x: 2 * x,
        nin=1,
        vjp=(lambda g, ans, x: 2 * g,),
        pattern=lambda p, ids, link: ids[0][1:],
        kind="linear",
    )
    with pytest.raises(RuntimeError, match="wrong: its pattern has shape"):
        sparsity(op, X)
