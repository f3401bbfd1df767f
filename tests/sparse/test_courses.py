"""Global patterns hold for all branches of `cond`, and any number of steps of `while_loop`."""

import numpy as np
import pytest

import fastbp as bp
from fastbp.errors import FrozenValueError, ShapeError

N = 4
POINTS = [s * np.array(p) for p in ([1.0, 2.0, 3.0, 4.0], [0.5, 3.0, -1.0, 2.0], [1e-3] * N)
          for s in (1.0, -1.0, 0.1, 8.0)]  # fmt: skip


def either(x):
    return bp.cond(x[0] > 0.0, lambda x: x * 2.0, lambda x: x[::-1] * 3.0, x)


def either_number(x):  # a number that decides, not a boolean
    return bp.cond(x[0] + abs(x[0]), lambda x: x**2, lambda x: np.cumsum(x), x)


def either_constant(x):
    return bp.cond(np.sum(x) > 0.0, lambda x: np.zeros(N), lambda x: x**2, x)


def either_tree(x):
    a, (b, k) = bp.cond(x[1] > x[0], lambda x: (x, (x[0], 1)), lambda x: (x[::-1], (x[1], 2)), x)
    return a * b + x[k]


def either_copies(x):
    def second(y):
        y = y.copy()
        y[0] = y[3] * y[1]
        return y

    return bp.cond(x[2] > 1.0, lambda y: y * 1.0, second, x) + x[0]


def closes_over(x):
    y = x[1:] * x[:-1]
    return bp.cond(x[0] > 0.0, lambda: y, lambda: 2.0 * x[1:])


def nested(x):
    return bp.cond(
        x[0] > 0.0,
        lambda x: bp.cond(x[1] > 1.0, np.sin, lambda x: np.roll(x, 1), x),
        lambda x: bp.while_loop(lambda c: np.max(c) > 1.0, lambda c: c[::-1] / 2.0, x),
        x,
    )


def shifts(x):
    return bp.while_loop(lambda c: np.sum(abs(c)) < 10.0, lambda c: np.roll(c, 1) * 1.5, x)


def pairs(x):  # blocks of two: no more than these
    return bp.while_loop(
        lambda c: np.sum(abs(c)) < 10.0, lambda c: c.reshape(-1, 2)[:, ::-1].ravel() * 1.5, x
    )


def at_most(x):
    return bp.while_loop(lambda c: np.max(c) > 1.0, lambda c: c[::-1] / 2.0, x, max_steps=3)


def counts(x):  # the number of steps is an index
    _, k = bp.while_loop(
        lambda c: (np.max(c[0]) > 1.0) & (c[1] < 3), lambda c: (c[0] / 2.0, c[1] + 1), (x, 0)
    )
    return x[k] * np.ones(2)


def reads(x):  # an index that is carried
    def step(c):
        y, k = c
        return y * 0.9 + 0.1 * x[k % N], k + 1

    return bp.while_loop(lambda c: np.sum(c[0]) > 2.0, step, (x[:2], 0), 9)[0]


def fills(x):  # a carry that nothing is computed into at first
    def step(c):
        y, t = c
        return y + x[1:] ** 2, t * 0.5

    return bp.while_loop(lambda c: c[1] > 1.0, step, (np.zeros(N - 1), x[0]))[0]


def around(x):
    a = x[2:] ** 2
    return bp.while_loop(lambda c: np.max(c) > 1.0, lambda c: c / 2.0 + 0.01 * np.sin(a), x[:2])


def branches_inside(x):
    def step(c):
        return bp.cond(c[0] > 2.0, lambda c: c / 2.0, lambda c: c[::-1] / 3.0, c)

    return bp.while_loop(lambda c: np.max(c) > 1.0, step, x)


def loops_inside(x):
    def step(c):
        return bp.while_loop(lambda d: np.max(d) > 3.0, lambda d: d[::-1] / 2.0, c) / 2.0

    return bp.while_loop(lambda c: np.max(c) > 1.0, step, x)


def scanned(x):
    def step(c, a):
        c = bp.cond(a > 0.0, lambda c: c * a, lambda c: np.roll(c, 1), c)
        return c, c[0]

    return bp.scan(step, np.ones(3), x)[1]


def compiled(x):
    return bp.compile(either)(x)


FUNCTIONS = [
    either, either_number, either_constant, either_tree, either_copies, closes_over, nested, shifts,
    pairs, at_most, counts, reads, fills, around, branches_inside, loops_inside, scanned, compiled,
]  # fmt: skip


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_pattern_holds_for_all_courses(f):
    for at in POINTS:
        pattern = bp.sparse.sparsity(f, at).toarray()
        for x in POINTS:
            found = bp.jacobian(f, unconnected="zero")(x) != 0.0
            assert not (found & ~pattern).any(), (at, x)


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_prepared_at_one_point_holds_at_others(f):
    jac = bp.sparse.prepare(f, POINTS[0], unconnected="zero")
    for x in POINTS:
        expected = bp.jacobian(f, unconnected="zero")(x)
        np.testing.assert_allclose(jac(x).toarray(), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_pattern_of_gradient_holds_for_all_courses(f):
    def total(x):
        return np.sum(np.sin(f(x)) * np.arange(1.0, 1.0 + len(f(x))))

    g = bp.grad(total, unconnected="zero")
    patterns = [bp.sparse.sparsity(g, at).toarray() for at in POINTS[::3]]
    for x in POINTS:
        found = bp.jacobian(g, unconnected="zero")(x) != 0.0
        for pattern in patterns:
            assert not (found & ~pattern).any(), x


def test_patterns_have_no_more_than_they_need():
    diagonal, mirrored = np.eye(N, dtype=bool), np.eye(N, dtype=bool)[::-1]
    blocks = np.kron(np.eye(2, dtype=bool), np.ones((2, 2), bool))
    assert (bp.sparse.sparsity(either, POINTS[0]).toarray() == diagonal | mirrored).all()
    assert (bp.sparse.sparsity(either, POINTS[0], local=True).toarray() == diagonal).all()
    assert (bp.sparse.sparsity(pairs, POINTS[0]).toarray() == blocks).all()
    squares = bp.sparse.sparsity(bp.grad(lambda x: np.sum(pairs(x) ** 2)), POINTS[0])
    assert (squares.toarray() == blocks).all()


def test_a_loop_of_fixed_length_is_as_it_is_written():
    f = lambda x: bp.while_loop(lambda c: c[1] < 2, lambda c: (np.roll(c[0], 1), c[1] + 1), (x, 0))[
        0
    ]
    assert bp.sparse.sparsity(f, np.ones(6)).nnz == 6


def test_long_chains_count_as_connected():
    f = lambda x: bp.while_loop(
        lambda c: np.sum(c) > 1.0, lambda c: np.roll(c.reshape(2, -1), 1, axis=1).ravel() / 2, x
    )
    pattern = bp.sparse.sparsity(f, np.ones(400)).toarray()
    assert (pattern == np.kron(np.eye(2, dtype=bool), np.ones((200, 200), bool))).all()


def test_zeros_of_constants_beside_branches():
    D = np.eye(N, k=1) - np.eye(N)

    def f(x):
        return bp.cond(x[0] > 0.0, lambda x: D @ x, lambda x: D.T @ x**2, x)

    jac = bp.sparse.prepare(f, np.ones(N))
    assert jac.pattern.nnz == 3 * N - 2
    for x in POINTS:
        np.testing.assert_allclose(jac(x).toarray(), bp.jacobian(f)(x), rtol=1e-13)
    D[0, 3] = 1.0
    with pytest.raises(ValueError, match="prepare anew"):
        jac(POINTS[0])


def test_zeros_of_constants_beside_loops():
    D, mask = np.eye(N, k=1) - np.eye(N), np.array([1.0, 0.0, 1.0, 1.0])

    def f(x):
        y = bp.while_loop(lambda c: np.sum(abs(c)) < 10.0, lambda c: mask * c + 1.5 * c, x)
        return D @ y + np.eye(N) @ x

    jac = bp.sparse.prepare(f, np.ones(N))
    assert jac.pattern.nnz == 2 * N - 1
    for x in POINTS:
        np.testing.assert_allclose(jac(x).toarray(), bp.jacobian(f)(x), rtol=1e-13)
    D[0, 3] = 1.0
    for x in POINTS:
        with pytest.raises(ValueError, match="prepare anew"):
            jac(x)


def test_a_branch_that_fails_where_it_is_not_taken():
    def f(x):
        return bp.cond(
            x[0] > 0.0, lambda x: x * 2.0, lambda x: np.linalg.inv(np.zeros((N, N))) @ x, x
        )

    with pytest.raises(np.linalg.LinAlgError) as info:
        bp.sparse.sparsity(f, np.ones(N))
    assert "not taken" in info.value.__notes__[0]
    assert bp.sparse.sparsity(f, np.ones(N), local=True).nnz == N


def test_a_branch_that_is_not_taken_changes_nothing():
    log = np.zeros(2)

    def second(x):
        log[0] += 1.0
        return x

    def third(y):
        y[0] = 3.0
        return y

    for other, operand in ((second, None), (third, None), (third, np.ones(N))):

        def f(x, other=other, operand=operand):
            given = x if operand is None else operand
            return bp.cond(x[0] > 0.0, lambda x: x * 2.0, other, given)

        with pytest.raises(FrozenValueError, match="sparsity pattern"):
            bp.sparse.sparsity(f, np.ones(N))
        assert log[0] == 0.0
        assert operand is None or operand[0] == 1.0


def test_a_step_that_writes_into_its_carry():
    def step(c):
        c[0] = 0.5 * c[1]
        return c

    with pytest.raises(FrozenValueError, match="sparsity pattern"):
        bp.sparse.sparsity(lambda x: bp.while_loop(lambda c: c[0] > 1.0, step, x), np.ones(N))


@pytest.mark.filterwarnings("error")
def test_a_branch_that_is_not_taken_warns_of_nothing():
    f = lambda x: bp.cond(x[0] > 0.0, np.sqrt, lambda x: 1.0 / (x - x[0]), x)
    jac = bp.sparse.prepare(f, np.ones(N))
    np.testing.assert_allclose(jac(np.ones(N)).toarray(), 0.5 * np.eye(N))


def test_branches_of_other_shapes_have_no_common_pattern():
    f = lambda x: bp.cond(x[0] > 0.0, lambda x: x, lambda x: x[:2], x)
    with pytest.raises(ShapeError, match="both must have the same"):
        bp.sparse.sparsity(f, np.ones(N))


def test_mapped_branches():
    f = bp.vmap(either)
    at = np.ones((3, N))
    pattern = bp.sparse.sparsity(lambda x: f(x), at).toarray()
    one = np.eye(N, dtype=bool) | np.eye(N, dtype=bool)[::-1]
    assert (pattern == np.kron(np.eye(3, dtype=bool), one)).all()
