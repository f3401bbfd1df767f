"""Block-sparse matrices of the core against dense products, whatever is wrong with the input."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbp._core import contract, threads
from fastbp._core.contract import Blocks
from fastbp.errors import DTypeError, ShapeError

TOLERANCE = {np.float64: 1e-13, np.float32: 1e-5}
WIDTH = pytest.mark.thread_unsafe(reason="the width of indices belongs to the process")


def random_blocks(rng, block_rows, block_columns, block, density=0.5, dtype=np.float64):
    """Return Blocks and the same matrix, dense."""
    present = rng.random((block_rows, block_columns)) < density
    rows, columns = np.nonzero(present)
    values = rng.standard_normal((len(rows), *block)).astype(dtype)
    indptr = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    full = np.zeros((block_rows, block[0], block_columns, block[1]), dtype)
    full[rows, :, columns, :] = values
    full = full.reshape(block_rows * block[0], block_columns * block[1])
    return Blocks(values, columns, indptr, block_columns), full


def check(blocks, full, rng, vectors=3):
    """Compare both products, for one vector and for several."""
    dtype = full.dtype.type
    tolerance = TOLERANCE[dtype] * max(1, *full.shape)
    for product, matrix in ((blocks.gather, full), (blocks.scatter, full.T)):
        m, n = matrix.shape
        x = rng.standard_normal(n).astype(dtype)
        got = product(x, (m,))
        assert got.dtype == dtype
        assert got.shape == (m,)
        np.testing.assert_allclose(got, matrix @ x, rtol=0, atol=tolerance)
        for k in (0, 1, 2, vectors):
            x = rng.standard_normal((k, n)).astype(dtype)
            got = product(x, (k, m), True)
            np.testing.assert_allclose(got, x @ matrix.T, rtol=0, atol=tolerance)


@pytest.mark.thread_unsafe(reason="the instruction set belongs to the process")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize(
    "block",
    [(1, 1), (1, 7), (7, 1), (2, 3), (8, 8), (9, 16), (5, 32), (33, 40), (3, 64), (12, 65)],
)
def test_products_at_every_level(dtype, level, block):
    rng = np.random.default_rng(3)
    before = contract._set_level(level)
    try:
        for density in (0.0, 0.4, 1.0):
            check(*random_blocks(rng, 4, 5, block, density, dtype), rng)
        # Groups of vectors: of two, of four, of eight, and some lanes of the last one empty.
        for vectors in (2, 3, 4, 5, 8, 19):
            check(*random_blocks(rng, 30, 20, (1, 1), 0.4, dtype), rng, vectors)
    finally:
        contract._set_level(before)


@WIDTH
@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 6), st.integers(0, 6), st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.sampled_from([np.float64, np.float32]),
    st.integers(0, 2**32 - 1), st.integers(2, 40),
)  # fmt: skip
def test_products(block_rows, block_columns, block, density, dtype, seed, vectors):
    before = contract._set_wide_from(0) if seed % 3 == 0 else None
    try:
        rng = np.random.default_rng(seed)
        blocks, full = random_blocks(rng, block_rows, block_columns, block, density, dtype)
        check(blocks, full, rng, vectors)
        assert blocks.indices.dtype == (np.int32 if before is None else np.int64)
    finally:
        if before is not None:
            contract._set_wide_from(before)


@WIDTH
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_wide_indices_give_the_same(dtype):
    rng = np.random.default_rng(0)
    args = [
        ((6, 5), (3, 4), 0.5),
        ((40, 30), (1, 1), 0.3),
        ((9, 9), (2, 2), 0.0),
        ((1000, 700), (1, 1), 1.0),
    ]
    for (rows, columns), block, density in args:
        state = rng.bit_generator.state
        narrow, full = random_blocks(rng, rows, columns, block, density, dtype)
        before = contract._set_wide_from(0)
        try:
            rng.bit_generator.state = state
            wide, _ = random_blocks(rng, rows, columns, block, density, dtype)
        finally:
            contract._set_wide_from(before)
        assert (narrow.indices.dtype, wide.indices.dtype) == (np.int32, np.int64)
        for k in (1, 2, 4, 7, 8):
            g = rng.standard_normal((k, full.shape[0])).astype(dtype)
            t = rng.standard_normal((k, full.shape[1])).astype(dtype)
            for x, name in ((t, "gather"), (g, "scatter")):
                shape = (k, full.size // (full.shape[1] if name == "gather" else full.shape[0]))
                got = [getattr(blocks, name)(x, shape, True) for blocks in (narrow, wide)]
                assert np.array_equal(*got)
        for one, other in zip(narrow.by_columns(), wide.by_columns(), strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize(("count", "block"), [(40, (1, 1)), (40, (4, 9)), (7, (64, 32))])
def test_block_diagonal(count, block):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((count, *block))
    blocks = Blocks(values, np.arange(count), np.arange(count + 1), count)
    check(blocks, scipy.linalg.block_diag(*values), rng)


@pytest.mark.parametrize(
    ("shape", "block", "density"),
    [
        ((1500, 400), (1, 1), 0.9),  # scatters into buffers
        ((40, 60000), (1, 1), 0.3),  # too many columns for buffers
        ((60000, 40), (1, 1), 0.3),
        ((20, 30), (40, 25), 0.8),
        ((300, 1), (45, 40), 1.0),
        ((1, 300), (45, 40), 1.0),
    ],
)
def test_large_products_do_not_depend_on_threads(shape, block, density):
    rng = np.random.default_rng(1)
    blocks, full = random_blocks(rng, *shape, block, density)
    x, y = rng.standard_normal(full.shape[1]), rng.standard_normal(full.shape[0])
    before = threads.num_threads()
    results = []
    try:
        for n in (1, 2, 5):
            threads.set_num_threads(n)
            results.append([
                blocks.gather(x, y.shape), blocks.scatter(y, x.shape),
                blocks.gather(np.stack([x, x]), (2, *y.shape), True),
                blocks.scatter(np.stack([y, y]), (2, *x.shape), True),
            ])  # fmt: skip
    finally:
        threads.set_num_threads(before)
    np.testing.assert_allclose(results[0][0], full @ x, rtol=0, atol=1e-10)
    np.testing.assert_allclose(results[0][1], full.T @ y, rtol=0, atol=1e-10)
    np.testing.assert_allclose(results[0][2][1], full @ x, rtol=0, atol=1e-10)
    np.testing.assert_allclose(results[0][3][1], full.T @ y, rtol=0, atol=1e-10)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert a.tobytes() == b.tobytes()


def test_structural_zeros_meet_no_infinity():
    values = np.array([[[np.inf, 1.0]], [[2.0, np.nan]]])
    blocks = Blocks(values, [0, 1], [0, 1, 2], 2)
    assert np.array_equal(blocks.scatter(np.array([0.0, 1.0]), (4,))[2:], [2, np.nan], True)
    assert np.array_equal(blocks.scatter(np.array([1.0, np.inf]), (4,))[:2], [np.inf, 1.0])
    elements = Blocks(np.array([[[np.inf]], [[2.0]]]), [1, 0], [0, 1, 2], 2)
    assert np.array_equal(elements.gather(np.array([np.inf, 1.0]), (2,)), [np.inf, np.inf])
    assert np.array_equal(elements.scatter(np.array([1.0, 3.0]), (2,)), [6.0, np.inf])


def test_results_have_the_shape_that_is_asked_for():
    blocks = Blocks(np.ones((2, 2, 3)), [0, 1], [0, 1, 2], 2)
    assert blocks.shape == (4, 6)
    assert blocks.gather(np.ones((3, 2)), (2, 1, 2)).shape == (2, 1, 2)
    assert blocks.gather(np.ones((5, 3, 2)), (5, 2, 2), True).shape == (5, 2, 2)
    assert blocks.scatter(np.ones((1, 4)), (6,), True).shape == (6,)


def test_operands_of_any_layout():
    blocks, full = random_blocks(np.random.default_rng(4), 3, 2, (2, 3))
    x = np.arange(6.0).reshape(3, 2)
    room = np.zeros(6 * 8 + 1, np.uint8)[1:].view(np.float64).reshape(3, 2)
    room[...] = x
    for operand in (x, np.asfortranarray(x), np.repeat(x, 2, 1)[:, ::2], x.astype(">f8"), room):
        np.testing.assert_allclose(blocks.gather(operand, (6,)), full @ x.ravel(), atol=1e-14)


def test_to_csr_rearranges():
    rng = np.random.default_rng(5)
    blocks, full = random_blocks(rng, 3, 4, (2, 5))
    row_of, column_of = rng.permutation(6), rng.permutation(20)
    got = scipy.sparse.csr_array(blocks.to_csr(row_of, column_of), shape=(6, 20)).toarray()
    expected = np.zeros((6, 20))
    expected[:, column_of] = full[row_of]
    assert np.array_equal(got, expected)
    with pytest.raises(ShapeError, match="positions"):
        blocks.to_csr(row_of + 1, column_of)
    with pytest.raises(ShapeError, match="20"):
        blocks.to_csr(row_of, column_of[:-1])


def test_by_columns():
    blocks, full = random_blocks(np.random.default_rng(2), 5, 6, (1, 1))
    first, row, number = blocks.by_columns()
    expected = scipy.sparse.csc_array(full)
    assert np.array_equal(first, expected.indptr)
    assert np.array_equal(row, expected.indices)
    assert np.array_equal(blocks.values.ravel()[number], expected.data)


def test_index_arrays_are_ours_and_read_only():
    indices, indptr = np.array([0, 1]), np.array([0, 1, 2])
    values = np.ones((2, 1, 1))
    blocks = Blocks(values, indices, indptr, 2)
    indices[:] = 10**6
    indptr[:] = 10**6
    assert np.array_equal(blocks.indices, [0, 1])
    assert blocks.indices.dtype == blocks.indptr.dtype == np.int32
    assert np.shares_memory(blocks.values, values)
    for array in (blocks.indices, blocks.indptr, blocks.values):
        assert not array.flags.writeable
    for name in ("indices", "indptr"):
        with pytest.raises(ValueError, match="WRITEABLE"):
            getattr(blocks, name).flags.writeable = True
        with pytest.raises(ValueError, match="resize"):
            getattr(blocks, name).resize((0,), refcheck=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        blocks.values.shape = (2,)  # that of a view
        blocks.indices.dtype = np.int8
    assert np.array_equal(blocks.gather(np.ones(2), (2,)), [1, 1])
    with pytest.raises(TypeError, match="never changed"):
        blocks.__init__(values, [0, 1], [0, 1, 2], 2)


def test_more_than_32_bits_of_columns():
    n = 2**31 + 10
    blocks = Blocks(np.array([[[1.0]], [[2.0]]]), [3, n - 1], [0, 1, 2], n)
    assert blocks.indices.dtype == np.int64
    assert blocks.shape == (2, n)
    with pytest.raises(ShapeError, match="too large"):
        blocks.gather(np.ones((2**40, 0)), (0,), True)


def test_pickle():
    blocks, full = random_blocks(np.random.default_rng(0), 3, 4, (2, 3))
    for same in (pickle.loads(pickle.dumps(blocks)), copy.deepcopy(blocks)):
        assert np.array_equal(same.gather(np.ones(12), (6,)), blocks.gather(np.ones(12), (6,)))
        assert same.shape == full.shape


def test_values_in_another_byte_order():
    blocks = Blocks(np.full((1, 1, 1), 3.0, ">f8"), [0], [0, 1], 1)
    assert np.array_equal(blocks.gather(np.ones(1), (1,)), [3])


@pytest.mark.parametrize(
    ("indices", "indptr"),
    [
        ([0, 3], [0, 1, 2]),  # a column too far
        ([-1, 0], [0, 1, 2]),
        ([0, 1], [0, 1, 3]),  # more than there are
        ([0, 1], [0, 1, 1]),
        ([0, 1], [1, 1, 2]),
        ([0, 1], [0, 2, 1]),
        ([0, 1], [0, 3, 2]),
        ([1, 0], [0, 2, 2]),  # not sorted
        ([1, 1], [0, 2, 2]),  # twice
        ([0], [0, 1, 1]),
        ([0, 1], []),
        ([2**40, 1], [0, 1, 2]),
        ([0, 1], [0, -1, 2]),
    ],
)
def test_wrong_index_arrays_are_refused(indices, indptr):
    with pytest.raises(ValueError, match="Blocks"):
        Blocks(np.ones((2, 1, 1)), indices, indptr, 2)


def test_wrong_arguments_are_refused():
    with pytest.raises(ShapeError, match="three axes"):
        Blocks(np.ones((2, 2)), [0, 1], [0, 1, 2], 2)
    with pytest.raises(DTypeError, match="complex"):
        Blocks(np.ones((2, 1, 1), complex), [0, 1], [0, 1, 2], 2)
    with pytest.raises(ShapeError, match="blocks of shape"):
        Blocks(np.ones((2, 0, 1)), [0, 1], [0, 1, 2], 2)
    with pytest.raises(ShapeError, match="integers"):
        Blocks(np.ones((2, 1, 1)), [0.0, 1.0], [0, 1, 2], 2)
    with pytest.raises(ShapeError, match="not an array"):
        Blocks(np.ones((2, 1, 1)), [[0], [1, 2]], [0, 1, 2], 2)
    with pytest.raises(OverflowError, match="too large"):
        Blocks(np.ones((0, 1, 2**40))[:, :, :1], [], [0], 2**61)
    blocks = Blocks(np.ones((2, 1, 1)), [0, 1], [0, 1, 2], 2)
    with pytest.raises(TypeError, match="list"):
        blocks.gather([1.0, 2.0], (2,))
    with pytest.raises(DTypeError, match="float32"):
        blocks.gather(np.ones(2, np.float32), (2,))
    with pytest.raises(ShapeError, match="does not fit"):
        blocks.gather(np.ones(3), (2,))
    with pytest.raises(ShapeError, match="does not fit"):
        blocks.gather(np.ones((2, 3)), (2, 2), True)
    with pytest.raises(ShapeError, match="batch"):
        blocks.gather(np.array(1.0), (2,), True)
    with pytest.raises(ShapeError, match="cannot have shape"):
        blocks.gather(np.ones(2), (3,))
    with pytest.raises(ShapeError, match="cannot have shape"):
        blocks.gather(np.ones(2), (-1, -2))
    with pytest.raises(ShapeError, match="cannot have shape"):
        blocks.gather(np.ones(2), (2**40, 2**40))
    with pytest.raises(TypeError):
        blocks.gather(np.ones(2), None)


def test_a_matrix_that_was_not_made_is_refused():
    blocks = Blocks.__new__(Blocks)
    for call in (
        lambda: blocks.gather(np.ones(0), (0,)),
        lambda: blocks.by_columns(),
        lambda: blocks.to_csr([], []),
    ):
        with pytest.raises(ValueError, match="not initialised"):
            call()
