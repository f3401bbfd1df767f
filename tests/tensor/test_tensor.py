"""Explicit derivative tensors: every storage and method against dense NumPy."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import fastbp as bp
from fastbp.tensor import BlockSparse, Dense, Structured, from_dense

from ..harness import laid_out

matmul_derivative = bp.tensor.matmul_derivative

MATMUL_SHAPES = [
    ((3, 4), (4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((1, 1), (1, 1)),
    ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)), ((2, 3, 4), (2, 4, 5)), ((1, 3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (6, 4, 5)), ((2, 3, 4), (4,)), ((4,), (2, 4, 3)), ((1, 1, 3, 4), (1, 4, 2)),
    ((0, 4), (4, 5)), ((3, 0), (0, 5)), ((3, 4), (4, 0)), ((0, 3, 4), (4, 5)), ((0,), (0,)),
]  # fmt: skip


def by_columns(f, x):
    """Return the derivative of a linear function, column by column."""
    columns = np.zeros((*f(x).shape, *x.shape), x.dtype)
    for k in np.ndindex(x.shape):
        unit = np.zeros_like(x)
        unit[k] = 1
        columns[(..., *k)] = f(unit)
    return columns


def storages(tensor):
    """Return a structured tensor in every storage, and twice transposed."""
    every = [tensor, tensor.to_sparse()]
    every.append(Dense(tensor.out_shape, tensor.in_shape, tensor.to_dense()))
    every.append(BlockSparse.from_scipy(tensor.to_scipy(), tensor.out_shape, tensor.in_shape))
    every.append(from_dense(tensor.to_dense(), len(tensor.out_shape)))
    return every + [x.transpose().transpose() for x in every[:3]]


def check(tensor, full, rng):
    """Compare every method with NumPy on the array of all elements."""
    out, inner = tensor.out_shape, tensor.in_shape
    n, rows, columns = len(out), math.prod(out), math.prod(inner)
    matrix = full.reshape(rows, columns)
    tolerance = (1e-12 if full.dtype == np.float64 else 1e-4) * max(1, rows, columns)

    def same(got, expected):
        assert type(got) is np.ndarray
        assert got.dtype == full.dtype
        assert got.flags.c_contiguous
        assert got.flags.writeable
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)

    assert tensor.shape == out + inner == full.shape
    assert tensor.size == full.size
    assert tensor.dtype == full.dtype
    assert np.count_nonzero(full) <= tensor.nnz <= full.size
    assert tensor.density == (tensor.nnz / full.size if full.size else 0)
    same(tensor.to_dense(), full)
    same(np.asarray(tensor), full)
    csr = tensor.to_scipy()
    assert isinstance(csr, scipy.sparse.csr_array)
    assert csr.shape == matrix.shape
    assert csr.has_canonical_format
    same(csr.toarray(), matrix)
    for lead in ((), (1,), (4,), (0,)):
        g = np.asarray(rng.standard_normal((*lead, *out)), full.dtype)
        t = np.asarray(rng.standard_normal((*lead, *inner)), full.dtype)
        same(tensor.contract(g), (g.reshape((*lead, rows)) @ matrix).reshape((*lead, *inner)))
        same(tensor.apply(t), (t.reshape((*lead, columns)) @ matrix.T).reshape((*lead, *out)))
        if g.ndim > 1:
            for order in (np.asfortranarray(g), np.repeat(g, 2, axis=-1)[..., ::2]):
                same(tensor.contract(order), tensor.contract(g))
    for index in itertools.islice(np.ndindex(out), 12):
        same(tensor.block(*index), full[index])
    turned = tensor.transpose()
    assert (turned.out_shape, turned.in_shape) == (inner, out)
    same(turned.to_dense(), np.moveaxis(full, range(n), range(full.ndim - n, full.ndim)))
    same((2.5 * tensor).to_dense(), 2.5 * full)
    same((tensor / 2).to_dense(), full / 2)
    same((-tensor).to_dense(), -full)
    sparse = tensor.to_sparse()
    assert sparse.storage == "sparse"
    same(sparse.to_dense(), full)
    other = tensor.astype(np.float32)
    assert other.dtype == np.float32
    np.testing.assert_allclose(other.to_dense(), full.astype(np.float32), rtol=1e-5, atol=1e-5)
    for part in (tensor.storage, str(full.dtype), str(out), str(inner), "density", "B"):
        assert part.lower() in repr(tensor).lower().replace("bytes", "b")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("wrt", [0, 1])
@pytest.mark.parametrize(("shape_a", "shape_b"), MATMUL_SHAPES)
def test_matmul(shape_a, shape_b, wrt, dtype):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in (shape_a, shape_b))
    full = by_columns((lambda x: np.matmul(x, b)) if wrt == 0 else (lambda x: np.matmul(a, x)),
                      (a, b)[wrt])  # fmt: skip
    for storage in ("structured", "sparse", "dense"):
        tensor = matmul_derivative(a, b, wrt, storage)
        assert tensor.storage == storage
        check(tensor, full, rng)
        check(tensor.transpose().transpose(), full, rng)
    found = from_dense(full, full.ndim - np.ndim((a, b)[wrt]))
    check(found, full, rng)
    g = rng.standard_normal(np.matmul(a, b).shape).astype(dtype)
    direct = bp.matmul_vjp(g, a, b)[wrt]
    np.testing.assert_allclose(matmul_derivative(a, b, wrt).contract(g), direct, rtol=0, atol=1e-4)


@pytest.mark.parametrize("layout", ["F", "strided", "read-only"])
def test_operands_of_any_layout(layout):
    rng = np.random.default_rng(0)
    a, b = (laid_out(rng.standard_normal(shape), layout) for shape in ((3, 4), (4, 5)))
    for wrt, f, x in ((0, lambda x: x @ b, a), (1, lambda x: a @ x, b)):
        for storage in ("structured", "sparse", "dense"):
            check(matmul_derivative(a, b, wrt, storage), by_columns(f, np.array(x)), rng)


# ---- structured tensors of any labels


def element_by_element(out, into, sizes, factors, scale):
    """Add up a labelled product from its definition."""
    names = list(sizes)
    dims = [sizes[name] for name in names]
    full = np.zeros([sizes[name] for name in out + into])
    for place in np.ndindex(*dims):
        at = dict(zip(names, place, strict=True))
        term = scale
        for array, own in factors:
            term = term * array[tuple([at[name] for name in own])]
        full[tuple([at[name] for name in out + into])] += term
    return full


@st.composite
def labelled(draw, out=None, out_sizes=None, least=0):
    """Draw the arguments of a structured tensor: any labels, twice or nowhere, and scales."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    own = draw(st.lists(st.sampled_from("abcd"), max_size=4)) if out is None else out
    into = draw(st.lists(st.sampled_from("abcd"), max_size=3))
    labels = draw(st.lists(st.lists(st.sampled_from("abcde"), max_size=3), max_size=3))
    every = dict.fromkeys([*own, *into, *itertools.chain(*labels)])
    sizes = {name: draw(st.integers(least, 3)) for name in every}
    sizes |= out_sizes or {}
    factors = [
        (rng.standard_normal([sizes[name] for name in names]), tuple(names)) for names in labels
    ]
    return own, into, sizes, factors, draw(st.sampled_from([1.0, -2.5, 0.0]))


@settings(max_examples=150, deadline=None)
@given(labelled(), st.booleans())
def test_any_labels(arguments, flat):
    out, into, sizes, factors, scale = arguments
    shapes = [[sizes[name] for name in own] for own in (out, into)]
    if flat:
        shapes = [[math.prod(shape)] for shape in shapes]
    full = element_by_element(out, into, sizes, factors, scale)
    tensor = Structured(*shapes, out, into, sizes, factors, scale, np.float64)
    rng = np.random.default_rng(0)
    for x in storages(tensor):
        check(x, full.reshape(shapes[0] + shapes[1]), rng)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_composition_of_any_labels(data):
    right = data.draw(labelled())
    middle = [right[2][name] for name in right[0]]
    names = data.draw(st.permutations("abcd"))[: len(middle)]
    # The left one's in axes must fit: build it turned around, with these as out axes.
    out, into, sizes, factors, scale = data.draw(
        labelled(list(names), dict(zip(names, middle, strict=True)))
    )
    factors = [(np.ones([sizes[n] for n in own]) * 0.5, own) for _, own in factors]
    left = (into, out, sizes, factors, scale)
    full, parts = [], []
    for own_out, own_in, own_sizes, own_factors, own_scale in (left, right):
        shapes = [[own_sizes[name] for name in own] for own in (own_out, own_in)]
        parts.append(
            Structured(*shapes, own_out, own_in, own_sizes, own_factors, own_scale, np.float64)
        )
        full.append(element_by_element(own_out, own_in, own_sizes, own_factors, own_scale))
    expected = np.tensordot(full[0], full[1], len(middle))
    rng = np.random.default_rng(0)
    result = parts[0].compose(parts[1])
    if result.size and math.prod(middle):
        assert result.storage == "structured"
    check(result, expected, rng)
    for a, b in itertools.product(storages(parts[0])[:5], storages(parts[1])[:5]):
        np.testing.assert_allclose(a.compose(b).to_dense(), expected, rtol=0, atol=1e-10)


def test_composition_across_reshapes():
    rng = np.random.default_rng(0)
    w, v = rng.standard_normal((6, 5)), rng.standard_normal((2, 4))
    x = rng.standard_normal((4, 6))
    first = matmul_derivative(x, w)  # (4, 5) x (4, 6)
    reshaped = Structured((10, 2), (4, 5), "ab", "ab", {"a": 4, "b": 5})
    second = matmul_derivative(np.ones((10, 2)), v)
    whole = second.compose(reshaped)
    assert whole.storage == "sparse"  # axes of 10, 2 and of 4, 5 have no common parts
    full = by_columns(lambda x: (x @ w).reshape(10, 2) @ v, x)
    check(whole.compose(first), full, rng)
    check(second.compose(reshaped.compose(first)), full, rng)
    flat = Structured((20,), (4, 5), "ab", "ab", {"a": 4, "b": 5})
    scaled = Structured((20,), (20,), "i", "i", {"i": 20}, [(np.arange(20.0), "i")])
    result = scaled.compose(flat.compose(first))
    assert result.storage == "sparse" or result.storage == "structured"
    check(result, by_columns(lambda x: (x @ w).ravel() * np.arange(20.0), x), rng)
    split = Structured((4, 5), (20,), "ab", "ab", {"a": 4, "b": 5}).compose(scaled)
    assert split.storage == "structured"  # the label of 20 becomes two of 4 and 5
    check(split, by_columns(lambda x: (x * np.arange(20.0)).reshape(4, 5), np.ones(20)), rng)


def test_a_chain_of_products_keeps_few_factors():
    rng = np.random.default_rng(0)
    x, chain = rng.standard_normal((7, 6)), None
    matrices = [rng.standard_normal((6, 6)) for _ in range(5)]
    for m in matrices:
        link = matmul_derivative(x, m)
        chain = link if chain is None else link.compose(chain)
        x = x @ m
    assert chain.storage == "structured"
    assert len(chain.factors) == 1
    product = np.linalg.multi_dot(matrices)
    g = rng.standard_normal((7, 6))
    np.testing.assert_allclose(chain.contract(g), g @ product.T, rtol=1e-10, atol=1e-10)


def test_sums_over_all_storages():
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal((4, 4)) for _ in range(3))
    identity = Structured((4, 4), (4, 4), "ij", "ij", {"i": 4, "j": 4})
    parts = [matmul_derivative(a, b), matmul_derivative(a, c), matmul_derivative(a, b, 1), identity]
    for x, y in itertools.product(parts, repeat=2):
        expected = x.to_dense() + y.to_dense()
        for p, q in itertools.product(storages(x), storages(y)):
            check(p + q, expected, rng)
            np.testing.assert_allclose((p - q).to_dense(), x.to_dense() - y.to_dense(), atol=1e-14)
    both = parts[0] + parts[1]
    assert both.storage == "structured"
    assert both.nbytes == b.nbytes
    assert (parts[0] + identity).storage == "sparse"


# ---- zeros of every kind


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 4), max_size=5), st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.sampled_from(["plain", "special", "tiles"]), st.integers(0, 2**32 - 1), st.booleans(),
)  # fmt: skip
def test_from_dense(shape, density, kind, seed, single):
    rng = np.random.default_rng(seed)
    dtype = np.float32 if single else np.float64
    full = np.asarray(rng.standard_normal(shape) * (rng.random(shape) < density))
    if kind == "special" and full.size:
        full.flat[rng.integers(full.size, size=3)] = [np.nan, np.inf, -np.inf]
    if kind == "tiles":
        full = np.kron(full, np.ones([2] * full.ndim))
    full = full.astype(dtype)
    for out_ndim in range(full.ndim + 1):
        tensor = from_dense(full, out_ndim)
        assert tensor.storage in ("sparse", "dense")
        assert tensor.nbytes <= max(full.nbytes, 1)
        got = tensor.to_dense()
        assert got.dtype == dtype
        assert np.array_equal(got, full, equal_nan=True)
        assert np.array_equal(tensor.to_sparse().to_dense(), full, equal_nan=True)
        if tensor.storage == "sparse":
            csr = scipy.sparse.csr_array(full.reshape(math.prod(full.shape[:out_ndim]), -1))
            assert tensor.nbytes <= csr.data.nbytes + csr.indices.nbytes + csr.indptr.nbytes
        if kind != "special":
            check(tensor, full, rng)


def test_from_dense_finds_the_blocks_of_matrix_products():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((6, 5)), rng.standard_normal((5, 7))
    for wrt, block in ((0, (7, 5)), (1, (6, 5))):
        explicit = matmul_derivative(a, b, wrt, "sparse")
        found = from_dense(explicit.to_dense())
        assert found.block_shape == explicit.block_shape == block
        assert found.nbytes == explicit.nbytes
        assert np.array_equal(found.coordinates, explicit.coordinates)
        assert np.array_equal(found.data, explicit.data)
    tiles = scipy.linalg.block_diag(*rng.standard_normal((5, 3, 4)))
    assert from_dense(tiles).block_shape == (3, 4)
    rank_one = np.multiply.outer(rng.standard_normal((3, 2)), rng.standard_normal((4, 5)))
    assert from_dense(rank_one).storage == "dense"
    nothing = from_dense(np.zeros((30, 20)))
    assert (nothing.storage, nothing.nnz) == ("sparse", 0)
    assert nothing.nbytes == 8


def test_no_zero_meets_an_infinity():
    b = np.array([[np.inf, 1.0], [np.nan, -np.inf]])
    for storage in ("structured", "sparse", "dense"):
        tensor = matmul_derivative(np.ones((3, 2)), b, 0, storage)
        full = tensor.to_dense()
        for i, j, k, m in np.ndindex(full.shape):
            expected = b[m, j] if i == k else 0.0
            assert np.array_equal(full[i, j, k, m], expected, equal_nan=True)
        assert np.array_equal(np.asarray(tensor.block(1, 0))[[0, 2]], np.zeros((2, 2)))
        assert np.array_equal(tensor.to_scipy().toarray(), full.reshape(6, 6), equal_nan=True)
    for storage in ("structured", "sparse"):
        tensor = matmul_derivative(np.ones((3, 2)), b, 0, storage)
        assert tensor.nnz == 12
        g = np.array([[1.0, 2.0], [np.inf, 1.0], [3.0, 4.0]])
        assert np.array_equal(tensor.contract(g)[[0, 2], 0], [np.inf, np.inf])
        t = np.array([[1.0, 0.0], [np.inf, 1.0], [0.0, 0.0]])
        # row 2: 0 * inf of true entries is IEEE's; rows do not mix
        with np.errstate(invalid="ignore"):
            assert np.array_equal(tensor.apply(t)[0], np.array([1.0, 0.0]) @ b, equal_nan=True)
        d = Structured((2,), (2,), "i", "i", {"i": 2}, [(np.array([np.inf, 1.0]), "i")])
        x = d if storage == "structured" else d.to_sparse()
        assert np.array_equal(x.to_dense(), [[np.inf, 0], [0, 1]])
        assert np.array_equal(x.contract([1.0, np.inf]), [np.inf, np.inf])
        assert np.array_equal(x.compose(x).to_dense(), [[np.inf, 0], [0, 1]])
        assert np.array_equal((x + x).to_dense(), [[np.inf, 0], [0, 2]])
        assert np.array_equal((x * np.inf).to_dense(), [[np.inf, 0], [0, np.inf]])


# ---- memory


def peak(run):
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.thread_unsafe(reason="tracemalloc counts what all threads allocate")
def test_memory_of_a_large_product():
    n = 512
    rng = np.random.default_rng(0)
    a, b, g = rng.standard_normal((3, n, n))
    tensor = matmul_derivative(a, b)
    assert tensor.size == n**4
    assert tensor.nbytes == b.nbytes
    assert np.shares_memory(tensor.factors[0][0], b)
    assert peak(lambda: matmul_derivative(a, b).contract(g)) < 3 * b.nbytes
    assert peak(lambda: matmul_derivative(a, b, 1).apply(g)) < 3 * b.nbytes
    assert peak(lambda: tensor.block(3, 4)) < 2 * b.nbytes
    for make in (
        lambda: matmul_derivative(a, b, storage="dense"),
        lambda: np.asarray(tensor),
        tensor.to_dense,
    ):

        def refused(make=make):
            with pytest.raises(MemoryError, match=r"549.8 GB .549755813888 bytes.*1.074 GB"):
                make()

        assert peak(refused) < 1 << 20


def test_the_limit_is_a_parameter():
    tensor = matmul_derivative(np.ones((4, 4)), np.ones((4, 4)))
    assert bp.tensor.MEMORY_LIMIT == 2**30
    for x in storages(tensor):
        assert x.to_dense(limit=2048).nbytes == 2048
        with pytest.raises(MemoryError, match="2048 bytes"):
            x.to_dense(limit=2047)
    with pytest.raises(MemoryError, match="matmul_derivative"):
        matmul_derivative(np.ones((4, 4)), np.ones((4, 4)), storage="dense", limit=2047)


def test_explicit_takes_fewer_bytes_than_csr():
    rng = np.random.default_rng(0)
    for n in (2, 8, 32):
        a, b = rng.standard_normal((2, n, n))
        for wrt in (0, 1):
            tensor = matmul_derivative(a, b, wrt, "sparse")
            csr = tensor.to_scipy()
            assert tensor.nnz == csr.nnz == n**3
            assert tensor.nbytes < csr.data.nbytes + csr.indices.nbytes + csr.indptr.nbytes
