"""Explicit derivative tensors: which storage they get, how large it is, and copies of it."""

import copy
import functools
import itertools
import math
import pickle

import numpy as np
import pytest
import scipy.sparse

import fastbp as bp
import fastbp.numpy as bnp
from fastbp.errors import DTypeError, ShapeError
from fastbp.tensor import BlockSparse, Dense, Structured, from_dense

from .test_tensor import check, peak, storages

matmul_derivative = bp.tensor.matmul_derivative


# ---- blocks in sparse matrices


def of_matrix(full, out_ndim):
    out, inner = full.shape[:out_ndim], full.shape[out_ndim:]
    matrix = scipy.sparse.csr_array(full.reshape(math.prod(out), math.prod(inner)))
    return BlockSparse.from_scipy(matrix, out, inner)


@pytest.mark.parametrize(
    ("axis", "blocks", "shape"),
    [(1, 5, (5, 10)), (0, 5, (10, 5)), (2, 6, (2, 3, 10)), (0, 6, (10, 2, 3)), (1, 6, (2, 10, 3))],
)
def test_softmax_is_stored_in_blocks(axis, blocks, shape):
    x = np.random.default_rng(0).standard_normal(shape)
    tensor = bp.tensor.derivative(lambda x: bnp.softmax(x, axis=axis), x)
    assert tensor.storage == "sparse"
    assert tensor.block_shape == (10, 10)
    assert tensor.data.shape == (blocks, 10, 10)
    check(tensor, bp.jacobian(lambda x: bnp.softmax(x, axis=axis))(x), np.random.default_rng(0))


def test_blocks_of_sparse_matrices():
    rng = np.random.default_rng(0)
    blocks = scipy.sparse.random_array((6, 5), density=0.4, random_state=rng)
    for height, width in ((4, 8), (16, 1), (1, 16), (3, 24)):
        full = scipy.sparse.kron(blocks, np.ones((height, width))).toarray()
        full *= rng.standard_normal(full.shape)
        assert of_matrix(full, 1).block_shape == (height, width)
        check(of_matrix(full, 1), full, rng)
        found = np.flatnonzero(full)
        for place in (found[0], found[-1]):  # one element less: no full blocks
            less = full.copy()
            less.flat[place] = 0
            assert of_matrix(less, 1).nnz == np.count_nonzero(less)
            check(of_matrix(less, 1), less, rng)
    for shape in ((0, 3), (3, 0), (4, 4), (1, 1)):  # no nonzeros at all
        assert of_matrix(np.zeros(shape), 1).nnz == 0
    tridiagonal = scipy.sparse.diags_array([np.ones(9)] * 3, offsets=[-1, 0, 1], shape=(9, 9))
    assert BlockSparse.from_scipy(tridiagonal, (9,), (3, 3)).block_shape == (1, 1)


def test_rearranged_blocks_of_any_axes():
    rng = np.random.default_rng(0)
    for order in itertools.permutations(range(3)):
        shape = np.array((2, 3, 8))[list(order)]
        # dense along the axis of 8 and, in X, along that of 3 as well
        labels = ["ijk"[k] for k in order]
        sizes = dict(zip(labels, shape, strict=True))
        into = [label if label == "i" else label.upper() for label in labels]
        sizes |= {label.upper(): size for label, size in sizes.items()}
        factor = rng.standard_normal([sizes[label] for label in "iJkjK"])
        tensor = Structured(shape, shape, labels, into, sizes, [(factor, "iJkjK")])
        found = BlockSparse.from_scipy(tensor.to_scipy(), shape, shape)
        assert found.block_shape == (24, 24)
        check(found, tensor.to_dense(), rng)


# ---- sums, compositions, chains


@pytest.mark.thread_unsafe(reason="tracemalloc counts what all threads allocate")
def test_sums_stay_lean():
    n = 512
    rng = np.random.default_rng(0)
    a, b, c = 0.05 * rng.standard_normal((3, n, n))

    def f(a):
        return np.tanh(a @ b) + 2 * (a @ c)

    tensor = bp.tensor.derivative(f, a)
    assert tensor.storage == "structured"
    assert tensor.nbytes < 5 * a.nbytes
    assert peak(lambda: bp.tensor.derivative(f, a)) < 10 * a.nbytes
    np.testing.assert_allclose(tensor.contract(c), bp.vjp(f, a)[1](c)[0], atol=1e-10)
    small = [x[:6, :6] for x in (a, b, c)]
    tanh = bp.tensor.derivative(lambda x: np.tanh(x @ small[1]), small[0])
    parts = [tanh, matmul_derivative(small[0], small[2]), 3 * tanh]
    check(parts[0] - parts[1] + parts[2], sum(
        sign * x.to_dense() for sign, x in zip((1, -1, 1), parts, strict=True)
    ), rng)  # fmt: skip


def test_sums_with_infinities():
    n = 12
    b = np.ones((n, n))
    b[0] = np.inf
    scaled = Structured((n, n), (n, n), "ij", "il", dict.fromkeys("ijl", n), [
        (np.ones((n, n)), "ij"), (np.ones((n, n)), "lj"),
    ])  # fmt: skip
    total = scaled + matmul_derivative(b, b)
    expected = scaled.to_dense() + matmul_derivative(b, b).to_dense()
    assert len(total.factors) > 1
    assert np.array_equal(total.to_dense(), expected)


@pytest.mark.parametrize("depth", [20, 70])
def test_long_chains(depth):
    rng = np.random.default_rng(0)
    weights = 0.4 * rng.standard_normal((depth, 6, 6))
    x, g = rng.standard_normal((2, 4, 6))

    def f(x):
        return functools.reduce(lambda x, w: np.tanh(x @ w), weights, x)

    tensor = bp.tensor.derivative(f, x)
    assert tensor.storage == "structured"
    assert tensor.nbytes <= tensor.nnz * 8  # never more than every nonzero
    np.testing.assert_allclose(tensor.contract(g), bp.vjp(f, x)[1](g)[0], rtol=1e-9)
    wide = 0.1 * rng.standard_normal((depth, 64, 64))
    x = rng.standard_normal((64, 64))

    def h(x):
        return functools.reduce(lambda x, w: np.tanh(x @ w), wide, x)

    tensor = bp.tensor.derivative(h, x)
    np.testing.assert_allclose(tensor.contract(x), bp.vjp(h, x)[1](x)[0], rtol=1e-9, atol=1e-12)


def test_full_compositions_are_dense():
    rng = np.random.default_rng(0)
    a, b = (
        BlockSparse.from_scipy(
            scipy.sparse.random_array((40, 40), density=0.3, random_state=rng), (40,), (40,)
        )
        for _ in range(2)
    )
    for result, expected in (
        (a.compose(b), a.to_dense() @ b.to_dense()),
        (a.compose(b) + a, a.to_dense() @ b.to_dense() + a.to_dense()),
    ):
        assert result.storage == "dense"
        np.testing.assert_allclose(result.to_dense(), expected, atol=1e-12)
    eye = BlockSparse.from_scipy(scipy.sparse.eye_array(40), (40,), (40,))
    assert eye.compose(a).storage == (eye + a).storage == "sparse"


# ---- limits and copies


@pytest.mark.thread_unsafe(reason="tracemalloc counts what all threads allocate")
def test_sparse_forms_have_a_limit():
    n = 512
    tensor = matmul_derivative(np.ones((n, n)), np.ones((n, n)))
    for make in (
        lambda: tensor.to_sparse(limit=2**20),
        lambda: tensor.to_scipy(),
        lambda: tensor + matmul_derivative(np.ones((n, n)), np.ones((n, n)), 1),
        lambda: matmul_derivative(np.ones((n, n)), np.ones((n, n)), storage="sparse", limit=100),
    ):

        def refused(make=make):
            with pytest.raises(MemoryError, match=r"134217728 nonzeros.*structured"):
                make()

        assert peak(refused) < 5 * 2**20
    small = matmul_derivative(np.ones((4, 4)), np.ones((4, 4)))
    assert small.to_sparse(limit=512).nnz == 64
    with pytest.raises(MemoryError, match="512 bytes"):
        small.to_sparse(limit=511)
    for x in storages(small):
        assert x.to_scipy(limit=768).nnz == 64
        with pytest.raises(MemoryError, match="to_scipy"):
            x.to_scipy(limit=767)


def test_copies():
    for tensor in storages(matmul_derivative(np.ones((3, 4)), np.arange(20.0).reshape(4, 5))):
        for same in (
            copy.copy(tensor),
            copy.deepcopy(tensor),
            pickle.loads(pickle.dumps(tensor)),
        ):
            assert type(same) is type(tensor)
            assert np.array_equal(same.to_dense(), tensor.to_dense())
            assert np.array_equal(same.contract(np.ones((3, 5))), tensor.contract(np.ones((3, 5))))
            assert same.nbytes == tensor.nbytes
    structured = pickle.loads(pickle.dumps(matmul_derivative(np.ones((3, 4)), np.ones((4, 5)))))
    assert not structured.factors[0][0].flags.writeable


def test_what_tensors_are_made_of():
    masked = np.ma.masked_equal(np.eye(2), 0.0)
    for make in (
        lambda: from_dense(masked),
        lambda: Dense((2,), (2,), masked),
        lambda: BlockSparse((2,), (2,), masked.reshape(2, 1, 2), [0, 0], [0, 1, 2]),
        lambda: Structured((2,), (2,), "i", "j", {"i": 2, "j": 2}, [(masked, "ij")]),
    ):
        with pytest.raises(DTypeError, match="mask"):
            make()
    with pytest.raises(DTypeError, match="complex"):
        Structured((2,), (2,), "i", "i", {"i": 2}, [(np.ones(2, complex), "i")], 1.0, np.float64)
    with pytest.raises(ShapeError, match="no size"):
        Structured((2,), (2,), "i", "j", {"i": 2})
    with pytest.raises(ShapeError, match="negative"):
        Structured((1,), (1,), "ii", "ii", {"i": -1})
    with pytest.raises(TypeError):
        Structured((2,), (2,), "i", "i", {"i": 2.5})
    with pytest.raises(ShapeError, match="block rows"):
        BlockSparse((2,), (2,), np.ones((2, 1, 1)), [0, 1], 0)
    swapped = np.arange(4.0).reshape(2, 2).astype(">f8")
    for tensor in (
        from_dense(swapped),
        Dense((2,), (2,), swapped),
        BlockSparse((2,), (2,), swapped.reshape(1, 2, 2), [0], [0, 1]),
        Structured((2,), (2,), "i", "j", {"i": 2, "j": 2}, [(swapped, "ij")]),
    ):
        assert tensor.dtype.isnative
        assert np.array_equal(tensor.to_dense(), [[0, 1], [2, 3]])
        for dtype in (">f8", "f8", float):
            assert tensor.astype(dtype) is tensor
        with pytest.raises(DTypeError, match=r"astype.*int64"):
            tensor.astype(int)


def test_explanation_of_a_gradient_of_zeros():
    x = np.random.default_rng(0).standard_normal((6, 4))
    found = bp.tensor.explain(lambda x: bnp.softmax(x, axis=1), x)
    assert np.abs(found.direct).max() < 1e-15  # rows of softmax add up to one
    assert found.max_difference < 1e-14


def test_sparse_matrices_with_wrong_indices_are_refused():
    matrix = scipy.sparse.csr_array(np.kron(np.eye(3), np.ones((4, 8))))
    for place, wrong in ((0, 8000), (1, -8)):
        broken = matrix.copy()
        assert broken.has_canonical_format
        broken.indices[place] = wrong
        with pytest.raises(ValueError, match="ind"):
            BlockSparse.from_scipy(broken, (12,), (24,))
