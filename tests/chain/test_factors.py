"""Structured factors: every kind and every product of two kinds against dense matrices."""

import itertools

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import fastbp as bp
from fastbp.chain import products
from fastbp.chain.products import KINDS
from fastbp.errors import DTypeError, ShapeError

c = bp.chain
DTYPES = [np.float64, np.float32]


def values(rng, *shape, dtype=np.float64):
    return rng.standard_normal(shape).astype(dtype)


def banded(rng, m, n, dtype):
    lower, upper = rng.integers(0, 3, 2)
    rows = values(rng, m, lower + upper + 1, dtype=dtype)
    dense = np.zeros((m, n), dtype)
    for i, j in np.ndindex(m, n):
        if -lower <= j - i <= upper:
            dense[i, j] = rows[i, lower + j - i]
    return c.Banded(rows, lower, upper, n), dense


def block_diagonal(rng, m, n, dtype):
    row, column = (int(rng.integers(0, size + 1)) for size in (m, n))
    a, b = values(rng, row, column, dtype=dtype), values(rng, m - row, n - column, dtype=dtype)
    dense = np.zeros((m, n), dtype)
    dense[:row, :column], dense[row:, column:] = a, b
    return c.BlockDiagonal([a, b]), dense


def batched_blocks(rng, m, n, dtype):
    blocks = values(rng, 1, m, n, dtype=dtype)
    if m % 2 == 0 and n % 2 == 0:
        blocks = values(rng, 2, m // 2, n // 2, dtype=dtype)
    return c.BlockDiagonal(blocks), scipy.linalg.block_diag(*blocks).reshape(m, n).astype(dtype)


def kronecker(rng, m, n, dtype):
    p = 2 if m % 2 == 0 else 1
    q = 2 if n % 2 == 0 else 1
    a, b = values(rng, p, q, dtype=dtype), values(rng, m // p, n // q, dtype=dtype)
    return c.Kronecker(a, b), np.kron(a, b)


def low_rank(rng, m, n, dtype):
    u, v = values(rng, m, 2, dtype=dtype), values(rng, n, 2, dtype=dtype)
    return c.LowRank(u, v), u @ v.T


def row_scaled(rng, m, n, dtype):
    d, w = values(rng, m, dtype=dtype), values(rng, m, n, dtype=dtype)
    return c.RowScaled(d, w), np.diag(d) @ w


def column_scaled(rng, m, n, dtype):
    d, w = values(rng, n, dtype=dtype), values(rng, m, n, dtype=dtype)
    return c.ColumnScaled(w, d), w @ np.diag(d)


def dense(rng, m, n, dtype):
    a = values(rng, m, n, dtype=dtype)
    return c.Dense(a), a


def sparse(rng, m, n, dtype):
    a = values(rng, m, n, dtype=dtype) * (rng.random((m, n)) < 0.3)
    return c.Sparse(scipy.sparse.csr_array(a)), a


def operator(rng, m, n, dtype):
    a = values(rng, m, n, dtype=dtype)
    return c.Operator(aslinearoperator(a)), a


def total(rng, m, n, dtype):
    one, two = dense(rng, m, n, dtype), sparse(rng, m, n, dtype)
    return c.Sum(one[0], two[0]), one[1] + two[1]


def sum_of_structured(rng, m, n, dtype):
    one, two = banded(rng, m, n, dtype), sparse(rng, m, n, dtype)
    return c.Sum(one[0], two[0]), one[1] + two[1]


def selection(rng, m, n, dtype):
    if n == 0:
        m = 0
    index = rng.integers(0, max(1, n), m)
    return c.Selection(index, n, dtype), np.eye(n, dtype=dtype)[index]


def scatter(rng, m, n, dtype):
    found, a = selection(rng, n, m, dtype)
    return found.T, a.T


def diagonal(rng, m, n, dtype):
    d = values(rng, n, dtype=dtype)
    return c.Diagonal(d), np.diag(d)


def identity(rng, m, n, dtype):
    scale = rng.choice([1.0, -0.5])
    return c.Identity(n, scale, dtype), np.eye(n, dtype=dtype) * dtype(scale)


def permutation(rng, m, n, dtype):
    index = rng.permutation(n)
    return c.Permutation(index, dtype), np.eye(n, dtype=dtype)[index]


ANY_SHAPE = [
    banded, block_diagonal, batched_blocks, kronecker, low_rank, row_scaled, column_scaled, dense,
    sparse, operator, total, sum_of_structured, selection, scatter,
]  # fmt: skip
SQUARE = [diagonal, identity, permutation]
MAKERS = {make.__name__: make for make in [*ANY_SHAPE, *SQUARE]}


def made(name, rng, m, n, dtype):
    """Return a factor and its dense matrix, of shape (m, n) where the kind has such."""
    factor, array = MAKERS[name](rng, m, n, dtype)
    assert factor.shape == array.shape
    return factor, array


def near(got, expected, dtype):
    scale = max(1.0, np.max(np.abs(expected), initial=0.0))
    np.testing.assert_allclose(
        got, expected, rtol=0, atol=scale * (1e-11 if dtype is np.float64 else 1e-4)
    )


def test_every_kind_is_tested():
    rng = np.random.default_rng(0)
    kinds = {made(name, rng, 4, 4, np.float64)[0].kind for name in MAKERS}
    assert kinds == set(KINDS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (5, 5), (1, 1), (0, 3), (3, 0), (0, 0), (1, 7)])
@pytest.mark.parametrize("name", MAKERS)
def test_kind(name, shape, dtype, rng):
    factor, array = made(name, rng, *shape, dtype)
    m, n = factor.shape
    assert factor.dtype == dtype
    assert factor.ndim == 2
    assert factor.nbytes >= 0
    assert type(factor).__name__ in repr(factor)
    assert f"{m} x {n}" in repr(factor)
    assert str(np.dtype(dtype)) in repr(factor)
    for f, a in ((factor, array), (factor.T, array.T), (factor.T.T, array)):
        whole = f.to_dense()
        assert type(whole) is np.ndarray
        assert whole.dtype == dtype
        assert whole.flags.writeable
        near(whole, a, dtype)
        near(np.asarray(f), a, dtype)
        near(f.to_scipy().toarray(), a, dtype)
        rows, columns = f.shape
        for lead in ((), (1,), (3,), (0,)):
            g, v = values(rng, *lead, rows, dtype=dtype), values(rng, *lead, columns, dtype=dtype)
            for got, expected in ((f.vjp(g), g @ a), (f.jvp(v), v @ a.T)):
                assert type(got) is np.ndarray
                assert got.dtype == dtype
                assert got.shape == expected.shape
                near(got, expected, dtype)
        g, v = values(rng, 3, rows, dtype=dtype), values(rng, columns, 3, dtype=dtype)
        for x in (g, np.asfortranarray(g), np.repeat(g, 2, axis=1)[:, ::2]):
            near(x @ f, x @ a, dtype)
            near(f.vjp(x), x @ a, dtype)
        for x in (v, np.asfortranarray(v), np.repeat(v, 2, axis=0)[::2]):
            near(f @ x, a @ x, dtype)
            near(f.jvp(x.T), (a @ x).T, dtype)
        near(f @ v[:, 0], a @ v[:, 0], dtype)
        near(g[0] @ f, g[0] @ a, dtype)
    near(factor._scaled(-2.0).to_dense(), -2.0 * array, dtype)
    near(factor._squares(), np.sum(array.astype(np.float64) ** 2), dtype)
    if factor.kind != "operator":
        assert np.max(np.abs(array), initial=0.0) <= factor._magnitude() * 4 + 1e-6


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("a", "b"), [*itertools.product(MAKERS, MAKERS)])
def test_every_product(a, b, dtype, rng):
    for m, n, p in ((4, 6, 8), (6, 6, 6), (1, 1, 1), (0, 0, 0), (3, 0, 2), (40, 40, 40)):
        m, p = (n if MAKERS[a] in SQUARE else m), (n if MAKERS[b] in SQUARE else p)
        left, x = made(a, rng, m, n, dtype)
        right, y = made(b, rng, n, p, dtype)
        if left.shape[1] != right.shape[0]:
            continue
        found = left @ right
        assert isinstance(found, c.Factor)
        assert found.dtype == dtype
        assert found.shape == (x @ y).shape
        near(found.to_dense(), x @ y, dtype)
        v = values(rng, found.shape[1], dtype=dtype)
        near(found.jvp(v), x @ (y @ v), dtype)
        # What the ordering believes comes out, does.
        believed = products.cost_of(left.structure, right.structure).result
        assert (believed.m, believed.n) == found.shape
        if believed.kind != "sparse":
            assert believed.kind == found.kind
            assert believed == found.structure or "sparse" in repr(believed)


@settings(max_examples=150)
@given(
    st.sampled_from(sorted(MAKERS)), st.sampled_from(sorted(MAKERS)),
    st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 2**32),
    st.sampled_from(DTYPES),
)  # fmt: skip
def test_products_of_any_shape(a, b, m, n, p, seed, dtype):
    rng = np.random.default_rng(seed)
    m, p = (n if MAKERS[a] in SQUARE else m), (n if MAKERS[b] in SQUARE else p)
    left, x = made(a, rng, m, n, dtype)
    right, y = made(b, rng, n, p, dtype)
    if left.shape[1] == right.shape[0]:
        near((left @ right).to_dense(), x @ y, dtype)
        near((right.T @ left.T).to_dense(), (x @ y).T, dtype)


# ---- structure is kept


def test_structure_of_products(rng):
    d = c.Diagonal(values(rng, 60))
    w = values(rng, 60, 60)
    band = c.Banded(values(rng, 60, 3), 1, 1)
    low = c.LowRank(values(rng, 60, 2), values(rng, 60, 2))
    blocks = c.BlockDiagonal(values(rng, 20, 3, 3))
    perm = c.Permutation(rng.permutation(60))
    thin = c.Sparse(
        scipy.sparse.random_array((60, 60), density=0.02, random_state=rng, format="csr")
    )
    expected = {
        "diagonal": [d @ d, d @ c.Identity(60, 2.0)],
        "row_scaled": [d @ c.Dense(w), d @ c.RowScaled(values(rng, 60), w)],
        "column_scaled": [c.Dense(w) @ d, c.ColumnScaled(w, values(rng, 60)) @ d],
        "banded": [band @ band, d @ band, band @ d, band @ band @ band],
        "low_rank": [
            low @ low,
            low @ c.Dense(w),
            c.Dense(w) @ low,
            d @ low,
            low @ band,
            thin @ low,
            blocks @ low,
        ],
        "block_diagonal": [blocks @ blocks, d @ blocks, blocks @ d],
        "permutation": [perm @ perm, perm @ perm.T],
        "sparse": [thin @ thin, perm @ d, thin @ perm, band @ thin, thin @ band, perm @ blocks],
        "selection": [c.Selection([1, 1], 60) @ perm],
        "scatter": [perm @ c.Selection([1, 1], 60).T],
        "kronecker": [c.Kronecker(w, d) @ c.Kronecker(w, d)],
        "sum": [c.Sum(d, band) @ d, d @ c.Sum(d, band)],
        "dense": [c.Dense(w) @ w, band @ w, perm @ w, c.Operator(aslinearoperator(w)) @ w],
    }
    for kind, found in expected.items():
        for i, factor in enumerate(found):
            factor = c.as_factor(factor)
            assert factor.kind == kind, (kind, i, factor)
    assert (band @ band).structure.params == (2, 2)
    assert c.Identity(60) @ low is low


def test_arrays_are_shared(rng):
    w, d = values(rng, 5, 5), values(rng, 5)
    steps = [c.RowScaled(d, w) for _ in range(3)]
    for factor in [c.Dense(w), *steps, c.Diagonal(d) @ c.Dense(w), c.Dense(w).T, c.LowRank(w, w).T]:
        assert any(np.shares_memory(x, w) for x in factor._arrays())
    assert c.JacobianChain(steps).nbytes == w.nbytes + d.nbytes


def test_banded_from_diagonals(rng):
    for m, n in ((4, 6), (6, 4), (1, 1)):
        offsets = [k for k in (-1, 0, 2) if -m < k < n]
        parts = {k: np.diagonal(values(rng, m, n), k) for k in offsets}
        dense = sum(np.eye(m, n, k) for k in offsets) * 0.0
        for k, part in parts.items():
            dense[np.eye(m, n, k, dtype=bool)] = part
        near(c.Banded.from_diagonals(parts, (m, n)).to_dense(), dense, np.float64)
    near(c.Banded.from_diagonals({0: 2.0}, (3, 3)).to_dense(), 2 * np.eye(3), np.float64)
    with pytest.raises(ShapeError, match="diagonal 1 has shape"):
        c.Banded.from_diagonals({1: np.ones(3)}, (3, 3))


def test_outside_of_the_band_nothing_is_read():
    rows = np.full((3, 3), np.nan)
    rows[:, 1] = 1.0
    rows[0, 2] = rows[1, 0] = rows[1, 2] = rows[2, 0] = 0.0
    band = c.Banded(rows, 1, 1)
    np.testing.assert_array_equal(band.to_dense(), np.eye(3))
    np.testing.assert_array_equal((band @ band).to_dense(), np.eye(3))
    np.testing.assert_array_equal(band.vjp(np.ones(3)), np.ones(3))


# ---- SciPy in and out


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "lil", "dia"])
def test_scipy_round_trip(form, rng):
    matrix = scipy.sparse.random_array((7, 5), density=0.4, random_state=rng, format=form)
    factor = c.as_factor(matrix)
    assert isinstance(factor, c.Sparse)
    back = factor.to_scipy()
    assert isinstance(back, scipy.sparse.csr_array)
    np.testing.assert_array_equal(back.toarray(), matrix.toarray())
    np.testing.assert_array_equal(c.as_factor(back).to_dense(), matrix.toarray())
    assert isinstance(c.as_factor(scipy.sparse.csr_matrix(matrix)), c.Sparse)


def test_operators(rng):
    a = values(rng, 4, 5)
    op = LinearOperator((4, 5), matvec=lambda v: a @ v, rmatvec=lambda g: a.T @ g, dtype=a.dtype)
    factor = c.as_factor(op)
    assert isinstance(factor, c.Operator)
    near(factor.to_dense(), a, np.float64)
    near(c.product([np.eye(4), op, np.eye(5)]).to_dense(), a, np.float64)
    near((op @ np.eye(5)), a, np.float64)
    # A chain of operators and structured factors only: vectors pass without a dense matrix.
    chain = c.JacobianChain([c.Diagonal(np.ones(4)), op])
    near(chain.vjp(np.ones(4)), np.ones(4) @ a, np.float64)


# ---- what is refused


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: c.Dense(np.ones(3)), ShapeError, r"Dense: array must have 2 axes.*\(3,\)"),
        (lambda: c.Dense(np.ones((2, 2), int)), DTypeError, "Dense: array.* int64"),
        (lambda: c.Dense(np.ones((2, 2), complex)), DTypeError, "complex128"),
        (lambda: c.Dense(np.ones((2, 2), np.float16)), DTypeError, "float16"),
        (lambda: c.Diagonal(np.ones((2, 2))), ShapeError, "Diagonal: d must have 1 axes"),
        (lambda: c.RowScaled(np.ones(3), np.ones((2, 3))), ShapeError, r"\(3,\).*\(2, 3\)"),
        (lambda: c.ColumnScaled(np.ones((3, 2)), np.ones(3)), ShapeError, r"\(3,\).*\(3, 2\)"),
        (lambda: c.RowScaled(np.ones(2, "f4"), np.ones((2, 2))), DTypeError, "one dtype"),
        (lambda: c.LowRank(np.ones((3, 2)), np.ones((3, 1))), ShapeError, r"\(3, 2\).*\(3, 1\)"),
        (lambda: c.Identity(-1), ShapeError, "negative"),
        (lambda: c.Identity(2, dtype=int), DTypeError, "Identity.*int64"),
        (lambda: c.BlockDiagonal([]), ShapeError, "at least one block"),
        (lambda: c.BlockDiagonal([np.ones((1, 1)), np.ones(1)]), ShapeError, "block 1"),
        (lambda: c.Selection([3], 3), ShapeError, "outside of 0 to 2"),
        (lambda: c.Selection([-1], 3), ShapeError, "outside"),
        (lambda: c.Selection([0.5], 3), DTypeError, "integers"),
        (lambda: c.Permutation([0, 0]), ShapeError, "every value"),
        (lambda: c.Banded(np.ones((3, 2)), 1, 1), ShapeError, r"\(m, 3\)"),
        (lambda: c.Sparse(np.ones((3, 2))), TypeError, "SciPy sparse"),
        (lambda: c.Sparse(scipy.sparse.csr_array(np.eye(2, dtype=int))), DTypeError, "int64"),
        (lambda: c.Sum(), ShapeError, "at least one"),
        (lambda: c.Sum(np.ones((2, 2)), np.ones((2, 3))), ShapeError, r"term 1.*\(2, 3\)"),
        (lambda: c.Dense(np.eye(2)) @ np.ones(3), ShapeError, r"jvp.*\(3,\).*\(2,\)"),
        (lambda: c.Dense(np.eye(2)) @ np.ones((3, 2)), ShapeError, r"\(2, 2\) and \(3, 2\)"),
        (lambda: np.ones((2, 3)) @ c.Dense(np.eye(2)), ShapeError, r"\(2, 3\) and \(2, 2\)"),
        (lambda: c.Dense(np.eye(2)) @ c.Dense(np.eye(3)), ShapeError, r"\(2, 2\) and \(3, 3\)"),
        (lambda: c.Dense(np.eye(2)) @ c.Identity(2, dtype="f4"), DTypeError, "float64 and float32"),
        (lambda: c.Dense(np.eye(2)).vjp(np.ones((1, 1, 2))), ShapeError, "vjp"),
        (lambda: c.Dense(np.eye(2)).vjp(np.ones(2) * 1j), DTypeError, "complex128"),
        (lambda: c.Dense(np.eye(2)).vjp([[1.0], [1.0, 2.0]]), ShapeError, "not a rectangular"),
        (lambda: c.Dense(np.eye(2)) @ "x", TypeError, "unsupported"),
        (lambda: c.as_factor("x"), TypeError, "not understood"),
    ],
)  # fmt: skip
def test_refused(make, error, text):
    with pytest.raises(error, match=text):
        make()
