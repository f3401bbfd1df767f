"""What a record becomes: exact instructions, and the same numbers."""

from collections import Counter

import numpy as np
import pytest

import fastbp as bp
import fastbp.numpy as bnp

pytestmark = pytest.mark.usefixtures("all_passes")

X = np.array([0.5, -1.25, 2.0, 0.75])


def kinds(f, *args):
    """Return the kinds of instructions of a compiled function; its values are compared."""
    compiled = bp.compile(f)
    moved = [x * 1.5 + 0.125 for x in args]
    for given in (args, moved, args):
        found, want = compiled(*given), f(*given)
        for a, b in zip(np.atleast_1d(found), np.atleast_1d(want), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    (entry,) = compiled.entries
    return Counter(kind for kind, *_ in entry.plan.facts)


def test_elementwise_work_is_one_region():
    f = lambda x: np.sin(x) * np.exp(-x * x) + np.where(x > 0, x, np.tanh(x)) / (1.0 + x**2)
    assert kinds(f, X) == {"region": 1}
    assert kinds(bp.grad(lambda x: np.sum(np.sin(x) * np.exp(-x * x))), X) == {"region": 1}


def test_long_expressions_are_cut():
    def f(x):
        y = x
        for k in range(60):
            y = np.sin(y) + x * k
        return y

    assert kinds(f, X)["region"] > 1


def test_equal_operations_are_made_once():
    f = lambda x: np.tanh(x @ x) * np.tanh(x @ x) + (x @ x)
    assert kinds(f, X)["product"] == 1


def test_nothing_that_is_not_needed():
    def f(x):
        np.exp(x) @ x
        return x * 2.0

    assert kinds(f, X) == {"region": 1}


@pytest.mark.parametrize(
    "mask",
    [
        lambda x: x > 0,
        lambda x: (x > -1) & (x < 1),
        lambda x: ~(x >= 0.6) | (x == 2.0),
        lambda x: np.isfinite(x) & np.logical_not(np.isnan(x)),
        lambda x: np.logical_or(x != 0.5, x > x[0]),
    ],
)
def test_masks_are_elementwise_work(mask):
    assert set(kinds(lambda x: np.where(mask(x), x * 2.0, -x), X)) <= {"region", "copy"}
    # As booleans they are another function's, whose count is cast.
    assert kinds(lambda x: x * np.count_nonzero(mask(x)), X)["call"] == 3
    found = bp.compile(lambda x: (mask(x), x))(X)[0]
    np.testing.assert_array_equal(found, mask(X))
    compiled = bp.compile(lambda x: mask(x))
    for x in (X, X[::-1]):
        assert compiled(x).dtype == bool
        np.testing.assert_array_equal(compiled(x), mask(x))


REDUCTIONS = {
    "max": lambda x, axis: np.max(x, axis=axis),
    "min": lambda x, axis: x.min(axis=axis, keepdims=True),
    "initial": lambda x, axis: np.max(np.abs(x), axis=axis, keepdims=True, initial=0.5),
    "of passive values": lambda x, axis: np.max(2.0 * bp.stop_gradient(x), axis),
    "any": lambda x, axis: np.where((x > 0.5).any(axis=axis, keepdims=True), x, -x),
    "all": lambda x, axis: np.where(np.all(x > -1.5, axis=axis, keepdims=True), x, -x),
    "count": lambda x, axis: x * np.add.reduce(x > 0, axis, x.dtype, None, True),
    "sum": lambda x, axis: np.sum(x, axis=axis, keepdims=True),
}


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize(
    "shape", [(1,), (7,), (8,), (9,), (1000,), (40, 3), (3, 40), (9, 1, 8), (2, 17, 5), (12, 2, 3)]
)
def test_extremes_and_short_sums_are_elementwise_work(name, shape, rng):
    f = REDUCTIONS[name]
    axes = [None, *range(-1, len(shape)), *([(0, -1), (-1, 0)] if len(shape) > 1 else [])]
    for axis in axes:
        if name == "count" and axis is None:
            continue  # a ufunc has no such
        compiled = bp.compile(lambda x: f(x, axis))  # noqa: B023
        x = rng.integers(-4, 5, shape) / 4.0  # some are equal
        other = rng.permuted(x, axis=0)[::-1].copy()
        with_nan = x.copy()
        with_nan.flat[rng.integers(x.size)] = np.nan
        for given in (x, other, with_nan, np.copysign(np.inf, x), rng.standard_normal(shape)):
            with np.errstate(invalid="ignore"):
                found, want = compiled(given), f(given, axis)
            # Sums of more than eight are NumPy's in the order of its own.
            tolerance = 1e-14 if name == "sum" else 0.0
            np.testing.assert_allclose(found, want, rtol=tolerance, atol=10 * tolerance)
        assert "call" not in {kind for kind, *_ in compiled.entries[0].plan.facts}
        assert len(compiled.entries) == 1


def test_no_axis_is_all_axes():
    x = np.arange(6.0).reshape(2, 3) - 2.0
    for f in (
        lambda x: x * np.add.reduce(bp.stop_gradient(x) ** 2, axis=None),
        lambda x: x * np.add.reduce(bp.stop_gradient(x) ** 2),
        lambda x: np.where(np.logical_or.reduce(x > 2.5, axis=None), x, -x),
        lambda x: x * np.maximum.reduce(bp.stop_gradient(x), axis=None, keepdims=True),
    ):
        compiled = bp.compile(f)
        for given in (x, x[:, ::-1] - 4.0):
            np.testing.assert_array_equal(compiled(given), f(given))


def test_large_arrays_are_read_once():
    x = np.linspace(-1.0, 1.0, 200 * 300).reshape(200, 300)
    assert kinds(lambda x: np.max(x, axis=1), x)["call"] == 1
    assert "call" not in kinds(lambda x: np.max(x.reshape(-1, 3), axis=1), x)


def test_sums_of_few_are_in_the_order_of_numpy(rng):
    for rows, n in ((8, 2), (50, 3), (9, 8), (1, 5), (7, 7)):
        x = rng.standard_normal((rows, n))
        f = lambda x: np.sum(x, axis=1)
        np.testing.assert_array_equal(bp.compile(f)(x), f(x))


@pytest.mark.parametrize("axis", [-1, 0])
def test_softmax_and_norms_call_nothing(axis, rng):
    def log_sum_exp(x):
        top = x.max(axis=axis, keepdims=True)
        return np.sum(top + np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)))

    x = rng.standard_normal((12, 5))
    x[3] = 0.25  # equal ones share
    for f in (
        bp.grad(log_sum_exp),
        bp.grad(lambda x: np.sum(np.linalg.norm(x, axis=axis))),
        bp.grad(lambda x: np.linalg.norm(x[0]) * np.min(x, axis=axis).sum()),
    ):
        compiled = bp.compile(f)
        for given in (x, x[::-1].copy(), 30.0 * x):
            np.testing.assert_allclose(compiled(given), f(given), rtol=1e-12, atol=1e-14)
        calls = {what for kind, _, what in compiled.entries[0].plan.facts if kind == "call"}
        assert calls <= {"booleans"}  # of a guard: whether a vector is 0
    assert np.all(bp.compile(bp.grad(lambda x: np.linalg.norm(x)))(np.zeros(3)) == 0.0)


def test_masks_meet_booleans(rng):
    chosen = rng.uniform(size=4) > 0.5
    f = lambda x: np.where((x > 0) & chosen | (x < -1), x, 2.0)
    compiled = bp.compile(f)
    for x in (X, X[::-1].copy()):
        np.testing.assert_array_equal(compiled(x), f(x))
    settled = lambda x: np.where((x > 0) | np.array([True, False, False, True]), x, 2.0)
    assert set(kinds(settled, X)) == {"region"}


def test_views_cost_nothing():
    f = lambda x: np.sum(x.reshape(2, 2).T[::-1, None] * 2.0, axis=(0, 1))
    assert kinds(f, X) == {"region": 1}
    assert kinds(lambda x: x[1:] * x[:-1], X) == {"region": 1}


def test_elements_of_what_is_captured_are_read_where_they_are():
    y = np.arange(5.0)
    f = lambda x: sum((x[k] - y[k]) ** 2 for k in range(3))
    assert "call" not in kinds(f, X)


def test_gradients_of_parts_are_written_into_one_array():
    f = bp.grad(lambda x: np.sum(x[:2] ** 2) + np.sum(np.sin(x[2:])))
    assert kinds(f, X) == {"region": 1}
    overlapping = bp.grad(lambda x: np.sum(x[1:] * x[:-1]))
    assert kinds(overlapping, X) == {"zero": 1, "copy": 1, "add": 1}  # of what nobody computes
    neighbours = bp.grad(lambda x: np.sum(np.sin(x[1:] * x[:-1])))
    assert kinds(neighbours, X) == {"zero": 1, "region": 1}


def test_the_gradient_of_a_loop_by_its_weights_is_one_product():
    rng = np.random.default_rng(0)
    w, x = 0.3 * rng.standard_normal((5, 5)), rng.standard_normal((12, 5))

    def loss(w, x):
        h = np.zeros(5)
        for k in range(12):
            h = np.tanh(w @ h + x[k])
        return h @ h

    compiled = bp.compile(bp.grad(loss))
    for scale in (1.0, 0.5):
        np.testing.assert_allclose(compiled(scale * w, x), bp.grad(loss)(scale * w, x), rtol=1e-12)
    facts = compiled.entries[0].plan.facts
    # 11 products forward, 11 backward, the value, and one for all weights.
    assert sum(kind == "product" for kind, *_ in facts) <= 25
    assert any("(5, 12) @ (12, 5)" in what for _, _, what in facts)


def test_a_sum_that_waits_is_read_more_than_once():
    def f(w):
        a = np.outer(w, w) + np.outer(np.sin(w), w)
        return np.sum(a * a) + np.sum(a[0]) + np.sum(np.exp(a))

    kinds(bp.grad(f), X)
    kinds(lambda w: f(w), X)
    g = lambda w: (w @ np.ones((4, 4)) + w * 2.0 + w[::-1] @ np.eye(4)) * w
    kinds(g, X)


def test_arrays_are_filled_where_they_lie():
    def f(x):
        out = bnp.zeros(6)
        for k in range(4):
            out[k] = x[k] ** 2 + x[k - 1]
        out[4:] = x[0]
        return out * 1.0

    assert "call" not in kinds(f, X)
    assert "call" not in kinds(lambda x: bnp.stack([x * 2.0, np.sin(x), x])[1:, ::2] * 3.0, X)

    def over(x):
        y = x * 1.0
        y[1:3] = x[:2] * 2.0
        y[0] += y[1]
        return y

    assert "call" not in kinds(over, X)


def test_products_of_all_kinds_of_layouts(rng):
    a, b = rng.standard_normal((3, 4, 5)), rng.standard_normal((3, 5, 2))
    for f in (
        lambda a, b: a @ b,
        lambda a, b: np.einsum("kij,kjl->lki", a, b),
        lambda a, b: np.einsum("kij,kjl->il", a, b),
        lambda a, b: np.swapaxes(a, 0, 2) @ np.swapaxes(b, 0, 1)[:, :, :1],
        lambda a, b: np.tensordot(a[:, ::-1], b[::2], ([2], [1])),
        lambda a, b: a[0].T.T @ b[1][:, ::-1],
    ):
        compiled = bp.compile(f)
        for s in (1.0, 2.0):
            np.testing.assert_allclose(compiled(a * s, b), f(a * s, b), rtol=1e-12)
        assert "call" not in {kind for kind, *_ in compiled.entries[0].plan.facts}


def test_workspace_is_used_again():
    def f(x):
        for _ in range(50):
            x = np.cumsum(np.tanh(x)) / 10.0
        return x

    compiled = bp.compile(f)
    x = np.linspace(0, 1, 1000)
    np.testing.assert_allclose(compiled(x), f(x), rtol=1e-12)
    assert compiled.entries[0].plan.machine.work_bytes <= 5 * x.nbytes


def test_long_indices_are_not_taken_for_equal(rng):
    x = rng.standard_normal(3000)
    first, second = rng.permutation(3000), rng.permutation(3000)
    second[:3], second[-3:] = first[:3], first[-3:]  # so that both print alike
    f = lambda x: x[first] * 2.0 + x[second] + np.sum(x[np.array([first, second])])
    compiled = bp.compile(bp.grad(lambda x: np.sum(f(x) ** 2)))
    for scale in (1.0, 2.0):
        want = bp.grad(lambda x: np.sum(f(x) ** 2))(scale * x)
        np.testing.assert_allclose(compiled(scale * x), want, rtol=1e-10, atol=1e-9)


def test_parts_of_complex_numbers_are_views():
    w = np.array([1.0, 2.0, 0.5])

    def power(x):
        z = np.fft.rfft(x)
        return np.sum((z.real**2 + z.imag**2) * w)

    assert kinds(power, X)["call"] == 1  # the transform
    assert kinds(bp.grad(power), X)["call"] == 2

    def turned(x):
        z = x + 1j * x[::-1]
        return np.abs(np.conj(z) * (2.0 + 1j)) + (z * z).imag

    assert "call" not in kinds(turned, X)


def test_large_results_of_calls_are_from_the_pool():
    x = np.linspace(0.0, 1.0, 1 << 15)
    f = bp.compile(lambda x: np.fft.rfft(x).real)
    np.testing.assert_allclose(f(x), np.fft.rfft(x).real, atol=1e-12 * len(x))
    np.testing.assert_allclose(f(x + 1), np.fft.rfft(x + 1).real, atol=1e-12 * len(x))


def test_the_seeds_of_a_jacobian_are_multiplied_by_nothing(rng):
    """The product with the identity that a sweep of whole rows starts with is a view."""
    w = rng.normal(size=(3, 4))
    f = lambda x: np.tanh(w @ x)
    for mode in ("forward", "reverse"):
        jacobian = bp.jacobian(f, mode=mode)
        assert kinds(jacobian, X)["product"] == 1 + (mode == "reverse")
    assert kinds(lambda w: w @ np.eye(4), w) == {"copy": 1}
    assert kinds(lambda w: np.eye(3) @ w, w) == {"copy": 1}
    assert kinds(lambda w: np.eye(4, k=1) @ w.T, w)["product"] == 1
    assert kinds(lambda w: 2.0 * np.eye(3) @ w, w)["product"] == 1
    assert kinds(lambda w: np.einsum("ij,kj->ki", np.eye(4), w), w) == {"copy": 1}


def test_an_identity_of_one_row_is_still_broadcast(rng):
    f = lambda x: np.einsum("ij,jk->ik", np.eye(1), x)
    x = rng.normal(size=(1, 3))
    assert kinds(f, x) == {"copy": 1}


def test_without_folding_identities_are_factors(monkeypatch, rng):
    monkeypatch.setenv("FASTBP_PASSES", "-folding")
    assert kinds(lambda w: w @ np.eye(4), rng.normal(size=(3, 4)))["product"] == 1


def lapack(f, *args):
    """Return the routines of a compiled function, in order; its values are compared."""
    kinds(f, *args)
    compiled = bp.compile(f)
    compiled(*args)
    (entry,) = compiled.entries
    return [what for kind, _, what in entry.plan.facts if kind == "lapack"]


def positive(rng, *lead):
    x = rng.normal(size=(*lead, 5, 5))
    return x @ np.swapaxes(x, -1, -2) + 5.0 * np.eye(5)


@pytest.mark.parametrize("lead", [(), (3,)])
def test_a_cholesky_factor_is_solved_with_as_a_triangle(lead, rng):
    """It is one, and so is its transpose: nothing is factorised again, in derivatives neither."""

    def f(a, y):
        c = np.linalg.cholesky(a)
        return np.linalg.solve(np.swapaxes(c, -1, -2), np.linalg.solve(c, y))

    a, y = positive(rng, *lead), rng.normal(size=(*lead, 5, 2))
    assert lapack(f, a, y) == ["cholesky", "triangle_solve lower", "triangle_solve"]
    gradient = bp.grad(lambda a, y: np.sum(f(a, y) ** 2), (0, 1))
    routines = []
    compiled = bp.compile(gradient)
    for found, want in zip(compiled(a, y), gradient(a, y), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-11, atol=1e-13)
    (entry,) = compiled.entries
    routines = [what.split()[0] for kind, _, what in entry.plan.facts if kind == "lapack"]
    assert Counter(routines) == {"cholesky": 1, "triangle_solve": 6}


def test_what_is_no_whole_triangle_is_factorised(rng):
    a, y = positive(rng), rng.normal(size=4)
    part = lambda a, y: np.linalg.solve(np.linalg.cholesky(a)[1:, :4], y)
    assert lapack(part, a, y) == ["cholesky", "lu", "lu_solve"]
    sum_of = lambda a, y: np.linalg.solve((np.linalg.cholesky(a) + a)[:4, :4], y)
    assert lapack(sum_of, a, y) == ["cholesky", "lu", "lu_solve"]
    turned = lambda a, y: np.linalg.solve(np.linalg.cholesky(a)[::-1], np.append(y, 1.0))
    assert lapack(turned, a, y) == ["cholesky", "lu", "lu_solve"]
    # A row of four as two of two lies as a matrix of its own does.
    folded = lambda a, y: np.linalg.solve(np.linalg.cholesky(a).reshape(4, 2, 2)[3], y[:2])
    assert lapack(folded, a[:4, :4], y) == ["cholesky", "lu", "lu_solve"]


def test_without_folding_triangles_are_factorised(monkeypatch, rng):
    monkeypatch.setenv("FASTBP_PASSES", "-folding")
    f = lambda a, y: np.linalg.solve(np.linalg.cholesky(a), y)
    assert lapack(f, positive(rng), rng.normal(size=5)) == ["cholesky", "lu", "lu_solve"]


def test_rows_and_columns_are_written_as_one_grid(rng):
    """Blocks of a stiffness matrix: what lies in a grid of more axes is one copy."""

    def assembled(k):
        K = bnp.zeros((10, 10)) * k[0, 0]
        for i, j in ((0, 3), (1, 4)):
            dofs = [2 * i, 2 * i + 1, 2 * j, 2 * j + 1]
            K[np.ix_(dofs, dofs)] += k
        return K

    k = rng.normal(size=(4, 4))
    found = kinds(lambda k: assembled(k).ravel(), k)
    assert "call" not in found
    gradient = kinds(lambda k: bp.grad(lambda k: np.sum(np.sin(assembled(k))))(k).ravel(), k)
    assert "call" not in gradient

    def odd(k):  # one, three, two: no grid
        K = bnp.zeros((10, 10)) * k[0, 0]
        K[[0, 2, 3, 4, 6, 7], 1] = k.ravel()[:6]
        return K.ravel()

    assert kinds(odd, k)["call"] == 1


@pytest.mark.parametrize(
    ("places", "calls"),
    [([3, 0], 0), ([0, 1, 4, 5], 0), ([[7, 6], [2, 1]], 0), ([1, 1], 1), ([0, 1, 3], 1)],
)
def test_gradients_of_indices_are_written_where_they_belong(places, calls, rng):
    for x, index in (
        (rng.normal(size=8), places),
        (rng.normal(size=(3, 8)), (slice(None), places)),
        (rng.normal(size=(8, 3)), (places,)),
    ):
        f = lambda x, index=index: np.sum(np.sin(x[index]) ** 2)
        gradient = bp.grad(f)
        assert kinds(lambda x, g=gradient: g(x).ravel(), x)["call"] == calls


def test_norms_are_roots_of_sums(rng):
    x = rng.normal(size=(3, 4))
    assert kinds(np.linalg.norm, x[0]) == {"product": 1, "region": 1}
    assert "call" not in kinds(np.linalg.norm, x)
    for options in (
        {"axis": 1}, {"axis": 0, "keepdims": True}, {"keepdims": True}, {"axis": (0, 1)},
    ):  # fmt: skip
        assert "call" not in kinds(lambda x, o=options: np.linalg.norm(x, **o).ravel(), x)
    assert kinds(np.linalg.norm, x + 1j)["call"] == 1
    assert kinds(lambda x: np.linalg.norm(x[:0]), x[0])  # of nothing


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "i4"])
def test_floats_of_small_integers(dtype):
    """NumPy computes with float16 or float32 of these; no program of ours is for the first."""

    def f(x):
        y = np.exp(x) * np.sqrt(x)
        return np.arctan2(x, x), y + x, np.maximum(np.logaddexp(x, x), y), np.arctan2(y, x) * 2

    x = np.array([1, 0, 1]).astype(dtype)
    plan = bp.compile(f)
    for given in (x, 1 - x if dtype != "?" else ~x):
        for found, expected in zip(plan(given), f(given), strict=True):
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, rtol=2 * np.finfo(expected.dtype).eps)
