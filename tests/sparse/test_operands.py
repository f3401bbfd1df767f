"""SciPy's sparse matrices beside Variables, and sparse matrices with recorded values."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import fastbp as bp
from fastbp.errors import NoRuleError
from fastbp.testing import check_grads

from ..harness import assert_sums_close

FORMATS = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
KINDS = ("array", "matrix")
M, N = 3, 4

# Operators and methods, with the shapes of the dense operand.
CALLS = {
    "S @ x": (lambda s, x: s @ x, [(N,), (N, 2), (N, 1), (N, 0)]),
    "x @ S": (lambda s, x: x @ s, [(M,), (2, M), (1, M), (0, M)]),
    "S.T @ x": (lambda s, x: s.T @ x, [(M,), (M, 2)]),
    "S.dot(x)": (lambda s, x: s.dot(x), [(N,), (N, 2)]),
    "S.multiply(x)": (lambda s, x: s.multiply(x), [(M, N), (N,), (1, N), (M, 1), (1, 1), ()]),
    "S * x": (lambda s, x: s * x, [(M, N), (N,), (N, M), (M, 1), ()]),
    "x * S": (lambda s, x: x * s, [(M, N), (N,), (M,), (M, 1), ()]),
    "S + x": (lambda s, x: s + x, [(M, N), (N,), (M, 1)]),
    "x + S": (lambda s, x: x + s, [(M, N), (N,), (M, 1)]),
    "S - x": (lambda s, x: s - x, [(M, N), (N,), (M, 1)]),
    "x - S": (lambda s, x: x - s, [(M, N), (N,), (M, 1)]),
    "S / x": (lambda s, x: s / x, [(M, N), (N,), (M, 1), ()]),
}


def matrix(rng, kind="csr_array", shape=(M, N), dtype=float):
    """Return a matrix with empty rows and zeros, and its dense array."""
    dense = rng.uniform(1.0, 2.0, shape) * (rng.random(shape) < 0.6)
    dense[0] = 0.0
    return getattr(sp, kind)(dense.astype(dtype)), dense.astype(dtype)


def dense(y):
    return y.toarray() if sp.issparse(y) or isinstance(y, bp.sparse.SparseMatrix) else y


def of(function, *args):
    """Call; return the dense result, or the class of what is raised."""
    try:
        return np.asarray(dense(function(*args)))
    except (ValueError, TypeError, NotImplementedError) as error:
        return type(error)


@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("call", CALLS)
def test_operand_of_every_format(call, name, kind, rng):
    function, shapes = CALLS[call]
    s, _ = matrix(rng, f"{name}_{kind}")
    for shape in shapes:
        x = rng.uniform(1.0, 2.0, shape)
        expected = of(function, s, x if shape else float(x))
        if isinstance(expected, type):
            with pytest.raises((ValueError, TypeError, NotImplementedError)):
                function(s, bp.variable(x))
            continue
        found = dense(function(s, bp.variable(x)))
        assert found.value.dtype == expected.dtype
        np.testing.assert_allclose(found.value, expected, rtol=1e-14)
        check_grads(lambda x, s=s: dense(function(s, x)), (x,))


@pytest.mark.parametrize("call", ["S @ x", "x @ S"])
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_blocks_are_multiplied_at_once(call, mode, rng):
    s, d = matrix(rng)
    function, shapes = CALLS[call]
    for shape in shapes[:3]:
        x = rng.normal(size=shape)
        found = bp.jacobian(lambda x: np.sin(function(s, x)), mode=mode)(x)
        expected = bp.jacobian(lambda x: np.sin(function(d, x)))(x)
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
        found = bp.hessian(lambda x: np.sum(np.sin(function(s, x))))(x)
        expected = bp.hessian(lambda x: np.sum(np.sin(function(d, x))))(x)
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_dtypes_are_those_of_scipy(dtype, rng):
    s, _ = matrix(rng, dtype=dtype)
    for x in (rng.normal(size=N), rng.normal(size=N).astype(np.float32)):
        y = s @ bp.variable(x)
        assert y.dtype == (s @ x).dtype
        np.testing.assert_array_equal(y.value, s @ x)
        assert bp.grad(lambda x: np.sum(s @ x))(x).dtype == x.dtype


def test_sparse_arrays_of_one_axis(rng):
    d = rng.normal(size=N) * (np.arange(N) != 1)
    s = sp.coo_array(d)
    x, y = rng.normal(size=N), rng.normal(size=(N, 2))
    for function, at in [
        (lambda s, x: s @ x, x),
        (lambda s, x: s @ x, y),
        (lambda s, x: x @ s, x),
        (lambda s, x: x @ s, y.T),
    ]:
        np.testing.assert_allclose(function(s, bp.variable(at)).value, function(d, at))
        check_grads(lambda x, f=function: f(s, x), (at,))


def test_sparse_row_or_column_beside_a_dense_matrix(rng):
    for shape in ((1, N), (M, 1)):
        _, d = matrix(rng, shape=shape)
        d[0, 0] = 2.0
        s = sp.csr_array(d)
        x = rng.normal(size=(M, N))
        np.testing.assert_allclose(s.multiply(bp.variable(x)).toarray().value, d * x)
        check_grads(lambda x, s=s: (s * x).toarray(), (x,))


def test_errors_name_the_shapes(rng):
    s, _ = matrix(rng)
    x = bp.variable(rng.normal(size=M))
    with pytest.raises(bp.errors.ShapeError, match=r"\(3, 4\) and \(3,\)"):
        s @ x
    with pytest.raises(bp.errors.ShapeError, match=r"\(4,\) and \(3, 4\)"):
        bp.variable(np.ones(N)) @ s
    with pytest.raises(bp.errors.ShapeError, match="do not fit"):
        s.multiply(x)
    with pytest.raises(bp.errors.ShapeError, match="does not broadcast"):
        s + x
    with pytest.raises(bp.errors.ShapeError, match="scalar"):
        s @ bp.variable(1.0)
    with pytest.raises(bp.errors.NoRuleError, match="scalar"):
        s + bp.variable(1.0)
    with pytest.raises(bp.errors.ShapeError, match="vector or a matrix"):
        s @ bp.variable(np.ones((2, N, 2)))
    with pytest.raises(bp.errors.DTypeError, match="complex128"):
        (s * 1j) @ bp.variable(np.ones(N))
    with pytest.raises(TypeError):
        x / s.T  # as in SciPy


def test_in_place_operators(rng):
    s, d = matrix(rng, shape=(N, N))
    x0 = rng.normal(size=(N, N))

    def f(x):
        x @= s
        x += s
        x *= sp.csr_matrix(s)
        return x

    np.testing.assert_allclose(bp.jacobian(f)(x0), bp.jacobian(lambda x: (x @ d + d) @ d)(x0))
    x = bp.variable(x0)
    with pytest.raises(bp.errors.DTypeError, match="SparseMatrix, not an array"):
        x *= s


def test_elsewhere_a_variable_is_still_no_array(rng):
    s, _ = matrix(rng, shape=(N, N))
    x = bp.variable(np.ones(N))
    operator = sp.linalg.aslinearoperator(s)
    with pytest.raises(bp.errors.NoRuleError, match=r"scipy\.sparse\.linalg.*A @ x"):
        operator @ x
    for refused in (np.asarray, sp.linalg.splu(sp.csc_array(np.eye(N))).solve, s.maximum):
        with pytest.raises((TypeError, ValueError)):
            refused(x)
    with pytest.raises(bp.errors.NoRuleError, match="plain array"):
        np.asarray(x)


def run(code):
    command = [sys.executable, "-P", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("expression", ["s @ x", "x @ s", "s * x", "x * s", "s + x", "m * x"])
def test_scipy_may_be_imported_after_the_variable_was_made(expression):
    code = f"""
import numpy as np, fastbp as bp
x = bp.variable(np.arange(3.0))
import scipy.sparse as sp
s, m = sp.csr_array(np.eye(3)), sp.coo_matrix(np.eye(3))
y = {expression}
print(type(y).__name__)
"""
    assert run(code) in ("Variable", "SparseMatrix")


def test_methods_of_scipy_say_if_they_do_not_know_variables_yet():
    code = """
import sys, numpy as np, fastbp as bp
early = "scipy.sparse" in sys.modules  # SciPy 1.13
x = bp.variable(np.arange(3.0))
import scipy.sparse as sp
s = sp.csr_array(np.eye(3))
try:
    print(type(s.multiply(x)).__name__ if early else s.multiply(x))
except bp.errors.NoRuleError as error:
    assert "import it earlier" in str(error)
    print(type(s.multiply(x)).__name__)
"""
    assert run(code) == "SparseMatrix"


def test_scipy_is_left_alone_without_variables(rng):
    s, d = matrix(rng)
    assert type(s @ np.ones(N)) is np.ndarray
    assert sp.issparse(s * 2.0)
    assert sp.issparse(s.multiply(np.ones((M, N))))
    assert s.dot.__doc__ == sp.csr_array.dot.__doc__
    assert_sums_close((s @ s.T).toarray(), d @ d.T, d @ d.T, N)


# ---- matrices with recorded values


def square(rng, n=4, dtype=float):
    """Return a regular structure, its values and a function from values to the dense matrix."""
    dense = rng.normal(size=(n, n)) * (rng.random((n, n)) < 0.5) + 3.0 * np.eye(n)
    s = sp.csr_array(dense.astype(dtype))
    rows = np.repeat(np.arange(n), np.diff(s.indptr))

    def scattered(values):
        out = np.zeros((n, n), values.dtype)
        out = bp.variable(out) if type(values) is bp.Variable else out
        out[rows, s.indices] = values
        return out

    return s, scattered


# Of a matrix A and an array x: a function that works on dense matrices too.
FUNCTIONS = {
    "A @ x": (lambda a, x: a @ x, [(4,), (4, 3)]),
    "x @ A": (lambda a, x: x @ a, [(4,), (3, 4)]),
    "A.T @ x": (lambda a, x: a.T @ x, [(4,), (4, 3)]),
    "A * 2": (lambda a, x: dense(a * 2.5) + x, [(4, 4)]),
    "A * x": (lambda a, x: dense(x * a), [(4, 4), (4,), (1, 4), (4, 1), (1, 1), ()]),
    "A / x": (lambda a, x: dense(a / (3.0 + x * x)), [(4, 4), (4,), (4, 1)]),
    "A + A": (lambda a, x: dense(a + a * x - -a), [(4, 4)]),
    "A.diagonal": (lambda a, x: a.diagonal() * x, [(4,)]),
    "A.sum": (lambda a, x: a.sum() * x, [(2,)]),
    "A.sum(0)": (lambda a, x: a.sum(axis=0) * x, [(4,)]),
    "A.sum(1)": (lambda a, x: a.sum(axis=-1) * x, [(4,)]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_recorded_values(name, rng):
    function, shapes = FUNCTIONS[name]
    s, scattered = square(rng)
    for shape in shapes:
        x = rng.normal(size=shape)

        def f(values, x):
            return function(bp.sparse.csr(values, s.indices, s.indptr, s.shape), x)

        def reference(values, x):
            return function(scattered(values), x)

        magnitude = function(abs(s), np.abs(x))  # a sum, whatever the signs
        assert_sums_close(f(s.data, x), reference(s.data, x), magnitude, s.nnz + 3)
        check_grads(f, (s.data, x))
        for k in (0, 1):
            expected = bp.jacobian(reference, argnums=k)(s.data, x)
            for mode in ("forward", "reverse"):
                found = bp.jacobian(f, argnums=k, mode=mode)(s.data, x)
                np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
                for then in ("forward", "reverse"):
                    derived = bp.jacobian(bp.jacobian(f, argnums=k, mode=mode), mode=then)
                    twice = bp.jacobian(bp.jacobian(reference, argnums=k))(s.data, x)
                    np.testing.assert_allclose(derived(s.data, x), twice, rtol=1e-12, atol=1e-12)


def test_recorded_values_in_float32(rng):
    s, _ = square(rng, dtype=np.float32)
    x = rng.normal(size=4).astype(np.float32)

    def f(values, x):
        a = bp.sparse.from_scipy(s, values)
        return (a * 2.0) @ x + a.sum(0) + a.diagonal()

    assert f(s.data, x).dtype == np.float32
    for g in bp.grad(lambda v, x: np.sum(f(v, x)), argnums=(0, 1))(s.data, x):
        assert g.dtype == np.float32
    check_grads(f, (s.data, x), rtol=2e-3)


# Two values at (0, 1), a zero that is stored, columns out of order, an empty row.
ENTRIES = (np.array([1.0, 3.0, 2.0, 0.0, 5.0]), ([0, 1, 0, 1, 0], [1, 2, 1, 0, 0]))


def with_duplicates():
    """Return matrices of the same numbers, in every format that can hold values twice."""
    data, (rows, columns) = ENTRIES
    for dtype in (np.int8, np.uint8, np.int32, np.int64):
        index = (np.array(rows, dtype), np.array(columns, dtype))
        yield sp.coo_array((data, index), shape=(3, 3))
    yield sp.coo_matrix((data, (rows, columns)), shape=(3, 3))
    yield sp.csr_array(([1.0, 2.0, 5.0, 3.0, 0.0], [1, 1, 0, 2, 0], [0, 3, 5, 5]), shape=(3, 3))
    yield sp.csc_array(([0.0, 5.0, 1.0, 2.0, 3.0], [1, 0, 0, 0, 1], [0, 2, 4, 5]), shape=(3, 3))
    yield sp.bsr_array((np.eye(3)[None] * [[[1.0]], [[2.0]]], [0, 0], [0, 2]), shape=(3, 3))
    yield sp.coo_array((data.astype(int), (rows, columns)), shape=(3, 3))
    yield sp.coo_array((data.astype(np.float32), (rows, columns)), shape=(3, 3))


@pytest.mark.parametrize("number", range(len(list(with_duplicates()))))
@pytest.mark.parametrize("call", CALLS)
def test_values_at_the_same_place_add_up_in_operands(call, number, rng):
    function = CALLS[call][0]
    s = list(with_duplicates())[number]
    plain, stored = s.toarray(), s.nnz
    name = {"S * x": "@", "x * S": "@"}.get(call) if isinstance(s, sp.spmatrix) else None
    x = rng.uniform(1.0, 2.0, (3, 3))

    def total(s, x):
        y = function(s, x)
        return np.sum(y.toarray() if hasattr(y, "toarray") else y)

    def reference(x):
        if name == "@":
            return np.sum(plain @ x if call == "S * x" else x @ plain)
        return np.sum(function(plain, x))

    if call.startswith(("S.dot", "S.mul")):

        def reference(x):
            return np.sum(plain @ x if "dot" in call else plain * x)

    np.testing.assert_allclose(bp.grad(lambda x: total(s, x))(x), bp.grad(reference)(x), rtol=1e-6)
    assert s.nnz == stored  # the operand is as it was


@pytest.mark.parametrize("number", range(len(list(with_duplicates()))))
def test_values_at_the_same_place_add_up(number, rng):
    s = list(with_duplicates())[number]
    a = bp.sparse.from_scipy(s)
    np.testing.assert_array_equal(a.toarray(), s.toarray())
    if s.format == "bsr":
        return
    x, g = rng.normal(size=3), rng.normal(size=3)
    rows, columns = s.tocoo().coords
    found = bp.grad(lambda v: np.sum(g * (bp.sparse.from_scipy(s, v) @ x)))(s.data.astype(float))
    np.testing.assert_allclose(found, g[rows] * x[columns])  # in the order of s.data
    b = bp.sparse.from_scipy(s, 2.0 * s.data)
    np.testing.assert_array_equal(b.toarray(), 2.0 * s.toarray())
    np.testing.assert_array_equal(b.T.toarray(), 2.0 * s.toarray().T)
    np.testing.assert_array_equal(b.diagonal(), 2.0 * s.toarray().diagonal())
    np.testing.assert_array_equal(b.to_scipy().toarray(), 2.0 * s.toarray())


def test_values_of_another_number_are_refused():
    s = sp.coo_array(ENTRIES, shape=(3, 3))
    with pytest.raises(bp.errors.ShapeError, match=r"data has shape \(4,\).*stores \(5,\)"):
        bp.sparse.from_scipy(s, np.ones(4))


def test_systems_with_values_at_the_same_place():
    s = sp.coo_array(([1.0, 1.0, 2.0, 3.0, 1.0], ([0, 0, 1, 2, 2], [0, 0, 1, 2, 0])))
    b = np.array([1.0, 2.0, 3.0])
    for matrix in (s, s.tocsr(), s.tocsc(), bp.sparse.from_scipy(s, s.data)):
        np.testing.assert_allclose(
            bp.sparse.solve(matrix, b), np.linalg.solve(s.toarray(), b), rtol=1e-14
        )
    check_grads(lambda v, b: bp.sparse.solve(bp.sparse.from_scipy(s, v), b), (s.data, b))


def test_a_matrix_may_come_from_outside(rng):
    s, _ = square(rng)
    a = bp.sparse.from_scipy(s)
    x = rng.normal(size=4)
    np.testing.assert_allclose(bp.jacobian(lambda x: a @ x)(x), s.toarray())
    a = bp.sparse.csr(bp.variable(s.data), s.indices, s.indptr, s.shape)
    g = bp.gradients(np.sum(a @ x), a.data)
    np.testing.assert_allclose(g, x[s.indices])


def test_round_trip_and_plain_values(rng):
    s, _ = square(rng)
    a = bp.sparse.from_scipy(s.tolil())
    assert (a.shape, a.nnz, a.ndim, a.dtype) == (s.shape, s.nnz, 2, s.dtype)
    back = a.to_scipy()
    assert isinstance(back, sp.csr_array)
    np.testing.assert_array_equal(back.toarray(), s.toarray())
    back.data[:] = 0.0
    np.testing.assert_array_equal(a.toarray(), s.toarray())
    np.testing.assert_array_equal(a.T.toarray(), s.toarray().T)
    assert type(a @ np.ones(4)) is np.ndarray
    assert type(np.ones(4) @ a) is np.ndarray
    assert "4 constant values" in repr(bp.sparse.csr(np.ones(4), [0, 1, 2, 3], range(5), (4, 4)))
    summed = bp.sparse.csr([1, 2, 3], [1, 1, 0], [0, 2, 3], (2, 2))
    np.testing.assert_array_equal(summed.toarray(), [[0.0, 3.0], [3.0, 0.0]])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (([1.0], [0], [0, 1], (2, 2)), "indptr has length 2"),
        (([1.0], [2], [0, 1, 1], (2, 2)), "columns"),
        (([1.0], [-1], [0, 1, 1], (2, 2)), "columns"),
        (([1.0, 1.0], [0, 1], [0, 2, 1], (2, 2)), "rise"),
        (([1.0, 1.0], [0, 1], [1, 1, 2], (2, 2)), "rise"),
        (([1.0, 1.0], [0, 1], [0, 1, 3], (2, 2)), "rise"),
        (([1.0], [0, 1], [0, 1, 2], (2, 2)), "data has shape"),
        (([[1.0]], [0], [0, 1], (1, 1)), "data has shape"),
        (([1.0], [[0]], [0, 1], (1, 1)), "one axis"),
        (([1.0], [0.0], [0, 1], (1, 1)), "integers"),
        (([1.0], [0], [0, 1], (1, 1.5)), "integers"),
        (([1.0], [0], [0, 1], (1,)), "two sizes"),
        (([1j], [0], [0, 1], (1, 1)), "data has dtype complex128.*real numbers are needed"),
    ],
)
def test_bad_structures_are_refused(parts, message):
    with pytest.raises(bp.errors.FastbpError, match=message):
        bp.sparse.csr(*parts)


def test_what_has_no_rule_says_so(rng):
    s, _ = square(rng)
    a = bp.sparse.from_scipy(s)
    for refused in (
        lambda: a * a,
        lambda: a * s,
        lambda: a + 1.0,
        lambda: a - np.ones((4, 4)),
    ):
        with pytest.raises((bp.errors.NoRuleError, TypeError)):
            refused()
    for refused in (
        lambda: a @ np.ones(3),
        lambda: np.ones(3) @ a,
        lambda: a * np.ones(3),
        lambda: a @ sp.eye_array(3),
        lambda: sp.eye_array(3) @ a,
        lambda: a + sp.eye_array(3),
        lambda: a - bp.sparse.from_scipy(sp.eye_array(3)),
    ):
        with pytest.raises(bp.errors.ShapeError):
            refused()


# Of a recorded matrix and another one, sparse or dense.
PAIRS = {
    "A + S": lambda a, s: a + s,
    "S + A": lambda a, s: s + a,
    "A - S": lambda a, s: a - s,
    "S - A": lambda a, s: s - a,
    "A @ S": lambda a, s: a @ s,
    "S @ A": lambda a, s: s @ a,
    "A.T @ S @ A": lambda a, s: a.T @ s @ a,
    "A - 2 A.T": lambda a, s: a - 2.0 * a.T,
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("kind", ["csr_array", "csc_matrix", "coo_array", "recorded"])
def test_two_sparse_matrices(name, kind, rng):
    function = PAIRS[name]
    s, scattered = square(rng)
    other, d = matrix(rng, "csr_array" if kind == "recorded" else kind, (4, 4))

    def f(values, others):
        second = bp.sparse.from_scipy(sp.csr_array(other), others) if kind == "recorded" else other
        found = function(bp.sparse.from_scipy(s, values), second)
        assert isinstance(found, bp.sparse.SparseMatrix)
        assert found.nnz == np.count_nonzero(function(s.toarray(), d))
        return found.toarray()

    def reference(values, others):
        return function(scattered(values), placed(others))

    places = sp.coo_array(sp.csr_array(other))

    def placed(others):
        out = np.zeros((4, 4))
        out = bp.variable(out) if type(others) is bp.Variable else out
        out[places.row, places.col] = others
        return out

    at = (s.data, places.data)
    both = kind == "recorded" and name != "A - 2 A.T"  # of which S is no part
    np.testing.assert_allclose(reference(*at), function(s.toarray(), d), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(f(*at), reference(*at), rtol=1e-14, atol=1e-14)
    for k in (0, 1) if both else (0,):
        expected = bp.jacobian(reference, argnums=k)(*at)
        for mode in ("forward", "reverse"):
            found = bp.jacobian(f, argnums=k, mode=mode)(*at)
            np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
    check_grads(f, at) if both else check_grads(lambda v: f(v, at[1]), at[:1])
    check_pattern(lambda v: f(v, at[1]), at[0])


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_dtypes_of_two_sparse_matrices(dtype, rng):
    s, _ = square(rng, dtype=np.float32)
    other = sp.eye_array(4, k=1, dtype=dtype)
    for name, function in PAIRS.items():
        found = function(bp.sparse.from_scipy(s), other)
        expected = function(s, other.astype(np.float32 if dtype is np.float32 else np.float64))
        assert found.dtype == expected.dtype, name
        np.testing.assert_allclose(found.toarray(), expected.toarray(), rtol=1e-6)
        if name != "A - 2 A.T":
            with pytest.raises(bp.errors.DTypeError, match="complex"):
                function(bp.sparse.from_scipy(s), other.astype(complex))


@settings(max_examples=60)
@given(data=st.data())
def test_random_structures_agree_with_dense_matrices(data):
    m, n = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    counts = rng.integers(0, 4, m) if n else np.zeros(m, int)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    indices = rng.integers(0, max(n, 1), indptr[-1])  # unsorted, repeated
    values, x, y = rng.normal(size=len(indices)), rng.normal(size=n), rng.normal(size=m)
    dense = np.zeros((m, n))
    np.add.at(dense, (np.repeat(np.arange(m), counts), indices), values)

    def f(values, x, y):
        a = bp.sparse.csr(values, indices, indptr, (m, n))
        return a @ x + (y @ a).sum() + (a.T * 2.0).T @ x + (a @ a.T - sp.eye_array(m)) @ y

    expected = 3 * dense @ x + (y @ dense).sum() + dense @ dense.T @ y - y
    np.testing.assert_allclose(f(values, x, y), expected, atol=1e-12)
    check_grads(f, (values, x, y), order=1)


# ---- which elements depend on which


def check_pattern(function, x, exact=True):
    """Compare the pattern with the nonzeros of the Jacobian at a generic point."""
    pattern = bp.sparse.sparsity(function, x).toarray()
    nonzeros = bp.jacobian(function)(x).reshape(pattern.shape) != 0.0
    assert not (nonzeros & ~pattern).any()
    if exact:
        np.testing.assert_array_equal(pattern, nonzeros)


@pytest.mark.parametrize("name", ["csr", "csc", "coo"])
def test_patterns_of_products_with_constants(name, rng):
    s, _ = matrix(rng, f"{name}_array")
    for shape in ((N,), (N, 2)):
        check_pattern(lambda x: s @ x, rng.normal(size=shape))
    for shape in ((M,), (2, M)):
        check_pattern(lambda x: x @ s, rng.normal(size=shape))
    check_pattern(lambda x: (s * x).toarray(), rng.normal(size=(M, N)))
    check_pattern(lambda x: (s * x).data, rng.normal(size=N))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_patterns_of_recorded_values(name, rng):
    function, shapes = FUNCTIONS[name]
    s, _ = square(rng)
    for shape in shapes:
        x = rng.normal(size=shape)
        check_pattern(lambda v, x=x: function(bp.sparse.from_scipy(s, v), x), s.data)
        check_pattern(lambda x: function(bp.sparse.from_scipy(s), x), x)


def test_patterns_of_derivatives(rng):
    s, _ = square(rng)
    for shape in ((4,), (4, 2)):
        x = rng.normal(size=shape)

        def values_bar(x):
            total = bp.grad(lambda v: np.sum(bp.sparse.from_scipy(s, v) @ x))
            return total(s.data)

        check_pattern(values_bar, x)


@settings(max_examples=40)
@given(data=st.data())
def test_patterns_of_random_structures(data):
    m, n = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    counts = rng.integers(0, 4, m)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    indices = rng.integers(0, n, indptr[-1])
    values = rng.normal(size=len(indices))

    def f(z):
        a = bp.sparse.csr(z[: len(values)], indices, indptr, (m, n))
        x, y = z[len(values) : len(values) + n], z[len(values) + n :]
        return np.concatenate([a @ x, y @ a, (a.T * 2.0).T @ np.stack([x, x], 1)[:, 1] ** 2])

    check_pattern(f, np.concatenate([values, rng.normal(size=n + m)]), exact=False)


@pytest.mark.parametrize(
    ("offsets", "shape"),
    [([0], (3, 3)), ([-1, 2], (3, 4)), ([1], (4, 3)), ([5], (3, 4)), ([], (2, 3))],
)
def test_stored_zeros_of_diagonals_are_places(offsets, shape, rng):
    """They may come from values of an argument; SciPy's conversion leaves them out."""
    data = rng.normal(size=(len(offsets), 6))
    zero = sp.dia_array((0.0 * data, offsets), shape=shape)
    full = sp.dia_array((data, offsets), shape=shape)
    x, ones = rng.normal(size=shape[1]), np.ones(shape[1])
    np.testing.assert_allclose((full @ bp.variable(x)).value, full @ x)
    np.testing.assert_allclose((full * bp.variable(x)).toarray().value, (full * x).toarray())
    for product in (lambda x: zero @ x, lambda x: (zero * x) @ ones):
        found = bp.sparse.sparsity(product, x).toarray()
        np.testing.assert_array_equal(found, full.toarray() != 0.0)


def test_diagonals_made_of_values():
    def f(x):
        return sp.dia_array((x.value[None], [0]), shape=(3, 3)) @ x

    assert bp.sparse.sparsity(f, np.zeros(3)).nnz == 3


def test_a_sparse_matrix_is_no_array(rng):
    matrix = bp.sparse.from_scipy(sp.eye_array(3))
    for call in (np.asarray, lambda m: np.dot(m, np.ones(3)), np.array):
        with pytest.raises(bp.errors.NoRuleError, match=r"SparseMatrix of shape \(3, 3\)"):
            call(matrix)


def test_the_structure_cannot_be_written_into():
    """Indices are proven to be in range once."""
    matrix = bp.sparse.csr(np.ones(2), [0, 1], [0, 1, 2], (2, 2))
    for part in (matrix.indices, matrix.indptr):
        with pytest.raises(ValueError, match="read-only"):
            part[0] = 10**6


@pytest.mark.parametrize(
    ("data", "shape", "error", "match"),
    [
        (np.ones(1), 3, bp.errors.ShapeError, "shape must be two sizes, not 3"),
        ([[1.0], [2.0, 3.0]], (1, 1), bp.errors.ShapeError, "csr: data is not a rect"),
        (np.ma.array([1.0], mask=[True]), (1, 1), bp.errors.DTypeError, "csr: data is a masked"),
    ],
)
def test_more_bad_parts(data, shape, error, match):
    with pytest.raises(error, match=match):
        bp.sparse.csr(data, [0], [0, 1], shape)


def test_bad_matrices_are_named_not_printed():
    with pytest.raises(bp.errors.DTypeError, match=r"from_scipy: .* not a ndarray$"):
        bp.sparse.from_scipy(np.eye(3))
    with pytest.raises(bp.errors.ShapeError, match=r"from_scipy: .* of shape \(3,\)$"):
        bp.sparse.from_scipy(sp.coo_array(np.ones(3)))
    with pytest.raises(bp.errors.DTypeError, match=r"multiply: .*\(3, 3\) has dtype complex128"):
        (sp.eye_array(3) * 1j).multiply(bp.variable(np.ones(3)))


def test_masked_operands_are_refused():
    x = np.ma.array([1.0, 2.0], mask=[True, False])
    eye = sp.eye_array(2).tocsr()
    matrix = bp.sparse.from_scipy(eye)
    for call in (
        lambda: matrix @ x,
        lambda: matrix * x,
        lambda: matrix.__rmatmul__(x),
        lambda: bp.sparse.solve(eye, x),
    ):
        with pytest.raises(bp.errors.DTypeError, match="masked array"):
            call()


def test_numpys_sum_of_a_product_with_a_sparse_matrix():
    A = sp.csr_array([[1.0, 2.0], [0.0, 3.0]])
    x = np.array([0.5, -1.0])
    np.testing.assert_allclose(bp.grad(lambda x: np.sum(A * x))(x), [1.0, 5.0])
    np.testing.assert_allclose(
        bp.grad(lambda x: np.sum(np.sum(A * x, axis=1) ** 2))(x), [-3.0, -24.0]
    )
    with pytest.raises(NoRuleError, match="dtype= and out="):
        bp.grad(lambda x: np.sum(A * x, dtype=np.float32))(x)
