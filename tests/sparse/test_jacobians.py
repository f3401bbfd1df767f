"""Sparse Jacobians and Hessians against dense ones; what is kept between calls; errors."""

import threading

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

import fastbp as bp
import fastbp.block_sweeps
from fastbp.errors import DTypeError, NoRuleError, ShapeError
from fastbp.sparse.coloring import Coloring, color
from fastbp.sparse.jacobians import hessian, jacobian, prepare

from ..harness import assert_close

MODES = ("auto", "forward", "reverse", "bidirectional")
MIX = np.random.default_rng(5).normal(size=(6, 12)) * (np.arange(72).reshape(6, 12) % 3 == 0)


def stencil(x):
    left, right = np.roll(x, 1), np.roll(x, -1)
    return (right - 2 * x + left) * 0.3 + x * (right - left) * 0.7


def padded(x):
    p = np.concatenate([x[-1:], x, x[:1]])
    return np.sin(p[2:] * p[:-2]) - p[1:-1] ** 3


def in_two_dimensions(x):
    u = x.reshape(3, 4)
    return u[1:] * u[:-1] + np.cumsum(u[1:], axis=1)


def arrow(x):
    return np.concatenate([np.sum(x * x)[None], x[1:] * x[0] + x[1:] ** 2])


FUNCTIONS = {
    "stencil": stencil,
    "padded": padded,
    "in_two_dimensions": in_two_dimensions,
    "arrow": arrow,
    "elementwise": lambda x: np.exp(x) / (1.0 + x**2),
    "sum": lambda x: np.sum(x**2),
    "linear": lambda x: MIX @ x,
    "constant": lambda x: np.ones((2, 3)),
    "partly_constant": lambda x: np.concatenate([np.ones(2), x[:3] ** 2]),
    "gather": lambda x: x[np.array([3, 3, 0])] * x[5],
    "identity": lambda x: x,
    "one_element": lambda x: x[4] ** 3,
    "outer": lambda x: x[:3, None] * x[None, 3:5],
    "empty": lambda x: x[:0],
    "upcast": lambda x: x.astype(np.float64) ** 2,
}


def dense(f, x, derivative=bp.jacobian):
    jac = np.asarray(derivative(f)(x))
    return jac.reshape(int(np.prod(jac.shape[: jac.ndim - x.ndim])), x.size)


@pytest.fixture
def x(rng):
    return rng.normal(size=12)


# ---- Jacobians


@pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning")  # constants
@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("format", ["csr", "csc"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_jacobians(name, mode, format, dtype, x):
    f, x = FUNCTIONS[name], x.astype(dtype)
    found = jacobian(f, x, mode=mode, format=format)
    assert type(found) is {"csr": sp.csr_array, "csc": sp.csc_array}[format]
    assert found.dtype == dtype
    assert found.has_canonical_format
    expected = dense(f, x)
    assert found.shape == expected.shape
    assert_close(found.toarray(), expected)
    prepared = prepare(f, 2 * x, mode=mode, format=format)
    if mode != "auto":
        assert prepared.mode == mode
    np.testing.assert_array_equal(prepared(x).toarray(), found.toarray())
    assert prepared.verify(x)


@pytest.mark.parametrize("mode", MODES)
def test_shapes_of_the_argument(mode, rng):
    for shape in [(), (0,), (1,), (2, 3), (2, 0), (2, 1, 3)]:
        x = rng.normal(size=shape)
        for f in (lambda x: x**2, lambda x: np.sum(x**2), lambda x: np.stack([x, np.sin(x)])):
            np.testing.assert_allclose(jacobian(f, x, mode=mode).toarray(), dense(f, x))
    assert jacobian(lambda x: x**2, 3.0, mode=mode).toarray().item() == 6.0
    assert jacobian(lambda x: x**2, np.float32(3.0), mode=mode).dtype == np.float32


def test_argnums_and_other_arguments(x):
    def f(a, x, *, power=2):
        return a * x[1:] ** power

    expected = bp.jacobian(f, 1)(3.0, x)
    for argnums in (1, -1):
        np.testing.assert_array_equal(jacobian(f, 3.0, x, argnums=argnums).toarray(), expected)
    np.testing.assert_array_equal(
        jacobian(f, 3.0, x, argnums=0).toarray()[:, 0], bp.jacobian(f)(3.0, x)
    )


@st.composite
def programs(draw):
    """Functions that combine elements at random, and where they are evaluated."""
    seed = draw(st.integers(0, 2**32))
    n, m = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = np.random.default_rng(seed)
    terms = [
        (rng.integers(0, n, m), rng.integers(0, n, m), rng.integers(0, m, m))
        for _ in range(draw(st.integers(1, 3)))
    ]

    def f(x):
        y = 0.1 * x[terms[0][0]]
        for i, j, k in terms:
            y = y[k] * np.sin(x[i]) + x[j]
        return y

    return f, rng.normal(size=n)


@pytest.mark.parametrize("kind", ["column", "row", "bidirectional"])
@given(program=programs())
def test_random_graphs(kind, program):
    f, x = program
    found = jacobian(f, x, coloring=kind).toarray()
    np.testing.assert_allclose(found, dense(f, x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["star", "acyclic", "column", "row", "bidirectional", None])
@pytest.mark.parametrize("format", ["csr", "csc"])
@given(program=programs())
def test_random_hessians(kind, format, program):
    f, x = program
    found = hessian(lambda x: np.sum(f(x) ** 2), x, coloring=kind, format=format)
    expected = dense(lambda x: np.sum(f(x) ** 2), x, bp.hessian)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-10, atol=1e-10)
    if kind in ("star", "acyclic", None):
        assert abs(found - found.T).max() == 0


def test_blocks(monkeypatch, x):
    """Many small blocks of sweeps instead of one."""
    functions = [arrow, stencil, bp.grad(lambda x: np.sum(stencil(x) ** 2))]
    whole = {}
    for limit in (1 << 25, 1, 250):
        monkeypatch.setattr(fastbp.block_sweeps, "BLOCK_BYTES", limit)
        for k, f in enumerate(functions):
            for kind in (
                "column",
                "row",
                "bidirectional",
                *(("star", "acyclic") if k == 2 else ()),
            ):
                for format in ("csr", "csc"):
                    found = jacobian(f, x, coloring=kind, format=format).toarray()
                    np.testing.assert_allclose(found, dense(f, x), rtol=1e-10, atol=1e-12)
                    whole.setdefault((k, kind), found)
                    np.testing.assert_allclose(found, whole[k, kind], rtol=1e-14, atol=1e-14)


def test_large_blocks_of_elementwise_operations(rng):
    x = rng.normal(size=20_000)
    found = jacobian(stencil, x)
    left, right = np.roll(x, 1), np.roll(x, -1)
    i = np.arange(x.size)
    expected = sp.csr_array((-0.6 + (right - left) * 0.7, (i, i)))
    expected += sp.csr_array((0.3 + x * 0.7, (i, (i + 1) % x.size)))
    expected += sp.csr_array((0.3 - x * 0.7, (i, (i - 1) % x.size)))
    assert abs(found - expected).max() < 1e-14
    assert found.nnz == 3 * x.size


# ---- Hessians


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


@pytest.mark.parametrize("kind", ["star", "acyclic", None])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_rosenbrock(kind, dtype, x):
    x = x.astype(dtype)
    found = hessian(rosenbrock, x, coloring=kind)
    assert found.dtype == dtype
    assert abs(found - found.T).max() == 0
    expected = bp.hessian(rosenbrock)(x)
    tolerance = 1e-5 if dtype == "f4" else 1e-13
    np.testing.assert_allclose(found.toarray(), expected, rtol=tolerance, atol=1e3 * tolerance)


def test_hessian_without_a_diagonal(x):
    def f(x):
        return np.sum(x[1:] * x[:-1])

    for kind in ("star", "acyclic"):
        found = hessian(f, x, coloring=kind)
        assert found.nnz == 22
        np.testing.assert_array_equal(found.toarray(), bp.hessian(f)(x))
    assert hessian(lambda x: np.sum(x), x).nnz == 0
    assert hessian(lambda x: 3.0, x, unconnected="zero").nnz == 0


def test_hessian_of_an_arrow_takes_two_sweeps(x):
    def f(x):
        return np.sum(np.sin(x[1:] * x[0])) + np.sum(x**4)

    assert prepare(bp.grad(f), x, coloring="star").num_sweeps == 2
    assert_close(hessian(f, x).toarray(), bp.hessian(f)(x))


def test_hessian_argnums(x):
    def f(a, x):
        return a * np.sum(x**3)

    np.testing.assert_array_equal(hessian(f, 2.0, x, argnums=1).toarray(), np.diag(12.0 * x))


def test_hessian_needs_a_scalar(x):
    with pytest.raises(ShapeError, match="scalar"):
        hessian(lambda x: x**2, x)


# ---- given patterns and colorings


def test_given_pattern(x):
    expected = dense(stencil, x)
    for form in (np.asarray, sp.csr_array, sp.csc_matrix, sp.coo_array):
        for dtype in (bool, float):
            pattern = form((expected != 0).astype(dtype))
            np.testing.assert_array_equal(jacobian(stencil, x, pattern=pattern).toarray(), expected)
    full = jacobian(stencil, x, pattern=np.ones((12, 12)))
    assert full.nnz == 144
    np.testing.assert_array_equal(full.toarray(), expected)


def test_a_given_pattern_is_copied(x):
    pattern = sp.csr_array(dense(stencil, x) != 0)
    prepared = prepare(stencil, x, pattern=pattern)
    pattern.indices[:] = 0
    np.testing.assert_array_equal(prepared(x).toarray(), dense(stencil, x))


def test_a_given_pattern_that_misses_something(x):
    pattern = dense(stencil, x) != 0
    pattern[3, 4] = False
    for call in (jacobian, prepare):
        for mode in MODES:
            with pytest.raises(ValueError, match="outside of the given pattern"):
                call(stencil, x, pattern=pattern, mode=mode)
    with pytest.raises(ShapeError, match=r"shape \(12, 11\)"):
        jacobian(stencil, x, pattern=np.ones((12, 11)))


def test_given_coloring(x):
    c = color(dense(stencil, x) != 0, "row")
    prepared = prepare(stencil, x, coloring=c)
    assert prepared.coloring is c
    assert prepared.mode == "reverse"
    assert prepared.num_sweeps == c.num_colors
    assert_close(prepared(x).toarray(), dense(stencil, x))
    one_each = Coloring("column", (12, 12), np.arange(12))
    np.testing.assert_array_equal(
        jacobian(stencil, x, coloring=one_each).toarray(), dense(stencil, x)
    )


def test_bad_colorings(x):
    one = np.zeros(12, int)
    for c in (
        Coloring("column", (12, 12), one),
        Coloring("row", (12, 12), rows=one),
        Coloring("star", (12, 12), one),
        Coloring("acyclic", (12, 12), one),
        Coloring("bidirectional", (12, 12), one, one),
    ):
        with pytest.raises(ValueError, match="coloring is not valid"):
            jacobian(stencil, x, coloring=c)
    with pytest.raises(ShapeError, match=r"coloring is for shape \(11, 12\)"):
        jacobian(stencil, x, coloring=Coloring("column", (11, 12), one))
    with pytest.raises(ValueError, match="does not fit a row coloring"):
        jacobian(stencil, x, coloring="row", mode="forward")
    with pytest.raises(TypeError, match="must be a Coloring or a kind, not a list"):
        jacobian(stencil, x, coloring=[0] * 12)


@pytest.mark.parametrize("kind", ["star", "acyclic"])
def test_symmetric_coloring_of_a_jacobian(kind, x):
    gradient = bp.grad(rosenbrock)
    found = jacobian(gradient, x, coloring=kind).toarray()
    np.testing.assert_allclose(found, dense(gradient, x), rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="no symmetry"):
        jacobian(stencil, x, coloring=kind)
    with pytest.raises(ShapeError, match="symmetric"):
        jacobian(lambda x: x[1:], x, coloring=kind)


# ---- which sweeps


def test_modes_are_chosen_by_the_number_of_colors(x):
    assert prepare(stencil, x).mode == "forward"
    assert prepare(lambda x: np.sum(x**2), x).mode == "reverse"
    assert prepare(lambda x: np.outer(x, np.ones(5)) * x[0], x).mode == "forward"
    assert prepare(arrow, x).mode == "bidirectional"
    assert prepare(arrow, x).num_sweeps == 3
    assert prepare(FUNCTIONS["constant"], x, unconnected="zero").num_sweeps == 0
    assert "3 bidirectional sweeps" in repr(prepare(arrow, x))


# ---- a prepared Jacobian


def test_the_same_array_is_filled_again(x):
    prepared = prepare(stencil, x)
    first = prepared(x)
    kept = first.copy()
    data = first.data
    assert prepared(2 * x) is first
    assert first.data is data
    np.testing.assert_array_equal(first.toarray(), dense(stencil, 2 * x))
    np.testing.assert_array_equal(kept.toarray(), dense(stencil, x))


def test_value_and_jacobian(x):
    value, jac = prepare(stencil, x).value_and_jacobian(x)
    np.testing.assert_array_equal(value, stencil(x))
    np.testing.assert_array_equal(jac.toarray(), dense(stencil, x))
    value, jac = prepare(np.sum, x).value_and_jacobian(x)
    assert isinstance(value, np.floating)


@pytest.mark.parametrize("format", ["csr", "csc"])
def test_a_caller_may_change_the_result(format, x):
    prepared = prepare(stencil, x, format=format)
    for change in (
        lambda a: a.data.fill(np.nan),
        lambda a: a.data.__imul__(0),
        lambda a: (a.data.fill(0), a.eliminate_zeros()),
        lambda a: setattr(a, "data", a.data[:3]),
        lambda a: a.setdiag(5.0),
        lambda a: a.resize(2, 2),
    ):
        change(prepared(x))
        np.testing.assert_array_equal(prepared(x).toarray(), dense(stencil, x))
    assert prepared.pattern.dtype == bool
    prepared.pattern.indices[:] = 0
    np.testing.assert_array_equal(prepared(x).toarray(), dense(stencil, x))


def test_arguments_that_do_not_fit(x):
    prepared = prepare(lambda x, n=3: x[:n] ** 2, x)
    with pytest.raises(ShapeError, match=r"argument 0 has shape \(5,\), prepared was \(12,\)"):
        prepared(x[:5])
    with pytest.raises(DTypeError, match="argument 0 has dtype float32, prepared was float64"):
        prepared(x.astype("f4"))
    found = prepared(np.arange(12)).toarray()  # whole numbers are float64
    np.testing.assert_array_equal(found[:, :3], np.diag([0.0, 2.0, 4.0]))
    with pytest.raises(ShapeError, match=r"returned shape \(4,\), prepared was \(3,\)"):
        prepared(x, 4)
    with pytest.raises(ValueError, match="argnums 0"):
        prepared()
    prepared(x)


def test_strided_arguments(rng):
    x = rng.normal(size=(12, 2))[:, 0]
    np.testing.assert_array_equal(prepare(stencil, x)(x).toarray(), dense(stencil, x))
    u = np.asfortranarray(rng.normal(size=(3, 4)))
    found = jacobian(lambda u: u[1:] * u[:-1], u).toarray()
    np.testing.assert_array_equal(found, dense(lambda u: u[1:] * u[:-1], u))


def branching(x):
    return x * np.roll(x, 1) if x.value[0] > 0 else x * np.roll(x, 2)


def test_control_flow(x):
    x[0] = 1.0
    other = x.copy()
    other[0] = -1.0
    prepared = prepare(branching, x)
    assert prepared.verify(x)
    assert not prepared.verify(other)
    assert prepared.verify(x)
    # The others look at every call.
    np.testing.assert_array_equal(jacobian(branching, other).toarray(), dense(branching, other))
    jac = jacobian(branching)
    for y in (x, other, x, x, other):
        np.testing.assert_array_equal(jac(y).toarray(), dense(branching, y))
    with pytest.raises(ValueError, match="outside of the given pattern"):
        jacobian(branching, pattern=prepared.pattern)(other)


def test_verify_looks_at_finite_elements_only(x):
    prepared = prepare(lambda x: np.sqrt(x) * np.roll(x, 1), np.ones(12))
    x = np.abs(x)
    x[3] = 0.0
    assert prepared.verify(x)
    with np.errstate(invalid="ignore"):
        assert prepared.verify(-x)


def test_infinite_derivatives_stay_where_they_are():
    found = jacobian(lambda x: np.sqrt(x) + np.roll(x, 1), np.array([0.0, 1.0, 4.0])).toarray()
    assert found[0, 0] == np.inf
    assert np.isfinite(found).sum() == 8


# ---- functions without arguments given


def test_functions(x):
    jac = jacobian(stencil, format="csc")
    first, second = jac(x), jac(2 * x)
    assert first is not second
    assert not np.shares_memory(first.indices, second.indices)
    np.testing.assert_array_equal(first.toarray(), dense(stencil, x))
    np.testing.assert_array_equal(second.toarray(), dense(stencil, 2 * x))
    assert jac(x.astype("f4")).dtype == np.float32
    assert jac(x[:5]).shape == (5, 5)
    assert jac.__name__ == "sparse.jacobian(stencil)"
    hess = hessian(rosenbrock)
    assert hess.__name__ == "sparse.hessian(rosenbrock)"
    assert_close(hess(x).toarray(), bp.hessian(rosenbrock)(x))
    assert_close(hess(x[1:]).toarray(), bp.hessian(rosenbrock)(x[1:]))


def test_other_arguments_may_change_the_pattern(x):
    jac = jacobian(lambda x, w: w @ x)
    w = np.diag(np.arange(12.0))
    np.testing.assert_array_equal(jac(x, w).toarray(), w)
    np.testing.assert_array_equal(jac(x, w[::-1]).toarray(), w[::-1])


# ---- errors


def test_no_variables_from_outside(x):
    for call in (
        lambda x: jacobian(stencil, x),
        lambda x: hessian(rosenbrock, x),
        lambda x: prepare(stencil, x),
        lambda x: jacobian(lambda y: y * x, x.value),
    ):
        with pytest.raises(NoRuleError, match="Variables from outside"):
            bp.grad(lambda x, call=call: call(x) and np.sum(x))(x)
    prepared = prepare(stencil, x)
    with pytest.raises(NoRuleError, match="Variables from outside"):
        prepared(bp.variable(x))


@pytest.mark.parametrize("call", [jacobian, prepare])
def test_bad_input(call, x):
    with pytest.raises(ValueError, match="mode must be one of auto"):
        call(stencil, x, mode="backward")
    with pytest.raises(ValueError, match='format must be "csr" or "csc"'):
        call(stencil, x, format="coo")
    with pytest.raises(ValueError, match="jacobian: coloring kind must be one of"):
        call(stencil, x, coloring="columns")
    with pytest.raises(ShapeError, match=r"jacobian: the star coloring needs .*\(12, 12\)"):
        call(np.cumsum, x, coloring="star")
    with pytest.raises(TypeError, match="one array"):
        call(lambda x: [x, x], x)
    with pytest.raises(ShapeError, match="returned None: is a return missing"):
        call(lambda x: None, x)
    with pytest.raises(TypeError, match="one array"):
        call(lambda x: x["a"], {"a": x})
    with pytest.raises(TypeError, match="one integer"):
        call(stencil, x, argnums=(0,))
    with pytest.raises(ValueError, match="argnums 1"):
        call(stencil, x, argnums=1)
    with pytest.raises(DTypeError, match="complex128"):
        call(stencil, x + 1j)
    with pytest.raises(TypeError, match="function"):
        call(3, x)


def test_results_of_another_shape_are_prepared_anew(x):
    """The key of what is kept has no values, so numbers, lists and the data may change a shape."""
    cases = [
        (lambda x, n: x[:n] ** 2, (x, 2), (x, 4)),
        (lambda x, factors: np.concatenate([x * c for c in factors]), (x, [2.0]), (x, [1.0, 3.0])),
        (lambda x: x[x.value > 0] ** 2, (x,), (x + 0.5,)),
        (lambda x, s: s @ x, (x, sp.eye_array(12)), (x, sp.eye_array(5, 12))),
    ]
    for f, *calls in cases:
        jac = jacobian(f)
        for args in (*calls, *calls):
            expected = bp.jacobian(f)(*args)
            np.testing.assert_allclose(jac(*args).toarray(), expected)


def test_a_function_runs_as_often_as_is_needed(x):
    runs = []

    def f(x):
        runs.append(0)
        return stencil(x)

    prepared = prepare(f, x)
    assert len(runs) == 1
    prepared(x)
    assert len(runs) == 2


def test_any_byte_order(x):
    swapped = x.astype(">f8")
    jac = jacobian(stencil)
    for found in (jacobian(stencil, swapped), jac(swapped), jac(swapped), jac(x)):
        np.testing.assert_array_equal(found.toarray(), jacobian(stencil, x).toarray())
    assert prepare(stencil, x)(swapped).dtype == np.float64


def test_locked_values_are_left_alone(x):
    prepared = prepare(stencil, x)
    first = prepared(x)
    first.data.flags.writeable = False
    kept = first.toarray()
    second = prepared(x + 1.0)
    np.testing.assert_array_equal(first.toarray(), kept)
    np.testing.assert_allclose(second.toarray(), dense(stencil, x + 1.0))


def test_errors_of_the_function_pass(x):
    def f(x):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        jacobian(f, x)


def test_prepare_needs_arguments():
    with pytest.raises(ValueError, match="argnums 0"):
        prepare(stencil)


# ---- threads


def test_threads_share_a_prepared_jacobian(rng):
    n = 3000
    prepared = prepare(stencil, np.zeros(n))
    points = [rng.normal(size=n) for _ in range(4)]
    expected = [jacobian(stencil, x).data for x in points]
    wrong = []

    def work(k):
        for _ in range(30):
            _, jac = prepared.value_and_jacobian(points[k])
            # Another thread may have filled it since; but never half of it by each.
            data = jac.data.copy()
            del jac
            if not prepared.verify(points[k]):
                wrong.append(k)
            assert data.shape == expected[k].shape

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    np.testing.assert_array_equal(prepared(points[0]).data, expected[0])


def test_a_function_of_threads(rng):
    jac = jacobian(stencil)
    points = [rng.normal(size=2000) for _ in range(4)]
    expected = [jacobian(stencil, x).data for x in points]
    wrong = []

    def work(k):
        wrong.extend(k for _ in range(30) if not np.array_equal(jac(points[k]).data, expected[k]))

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_a_function_may_use_its_own_jacobian(x):
    inner = prepare(stencil, x)

    def f(x):
        return stencil(x) + inner(np.ones(12)).diagonal()

    np.testing.assert_array_equal(prepare(f, x)(x).toarray(), dense(stencil, x))
