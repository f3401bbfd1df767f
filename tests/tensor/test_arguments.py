"""Explicit derivative tensors: what is refused, what is converted, and what cannot be changed."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse

import fastbp as bp
from fastbp.errors import DTypeError, NoRuleError, ShapeError
from fastbp.tensor import BlockSparse, Dense, DerivativeTensor, Structured, from_dense

from .test_tensor import storages

matmul_derivative = bp.tensor.matmul_derivative


def test_wrong_operands_are_refused():
    for tensor in storages(matmul_derivative(np.ones((3, 4)), np.ones((4, 5)))):
        for x in (np.ones((5, 3)), np.ones(15), np.ones((2, 2, 3, 5)), 1.0, np.ones((3, 4))):
            with pytest.raises(ShapeError, match=r"contract.*\(3, 5\)"):
                tensor.contract(x)
        with pytest.raises(ShapeError, match=r"apply.*\(3, 5\).*\(3, 4\)"):
            tensor.apply(np.ones((3, 5)))
        for x in (np.ones((3, 5), complex), np.full((3, 5), "a"), np.full((3, 5), None)):
            with pytest.raises(DTypeError, match="contract"):
                tensor.contract(x)
        with pytest.raises(DTypeError, match="masked array"):
            tensor.apply(np.ma.ones((3, 4)))
        with pytest.raises(NoRuleError, match="Variable"):
            tensor.contract(bp.variable(np.ones((3, 5))))
        with pytest.raises(ShapeError, match="not a rectangular array"):
            tensor.contract([[1.0], [1.0, 2.0]])
        with pytest.raises(ShapeError, match=r"\(3, 4\).*\(3, 5\)"):
            tensor.compose(tensor)
        with pytest.raises(TypeError, match="ndarray"):
            tensor.compose(np.ones((3, 4)))
        with pytest.raises(ShapeError, match="added"):
            tensor + tensor.transpose()
        for index in ((3, 0), (-4, 0), (0,), (0, 0, 0), ()):
            with pytest.raises(IndexError, match="block"):
                tensor.block(*index)
        with pytest.raises(TypeError):
            tensor.block(0.0, 0)
        assert np.array_equal(tensor.block(-1, np.int64(-5)), tensor.block(2, 0))
        for other in (1j, "2", [1.0, 2.0], np.ones(3)):
            with pytest.raises(TypeError):
                tensor * other
            with pytest.raises(TypeError):
                other * tensor
        for other in (1.0, np.ones((3, 5, 3, 4))):
            with pytest.raises(TypeError):
                tensor + other
            with pytest.raises(TypeError):
                other - tensor


def test_operands_are_converted():
    for tensor in storages(matmul_derivative(np.ones((3, 4)), np.ones((4, 5)))):
        ones = tensor.contract(np.ones((3, 5)))
        for g in (np.ones((3, 5), int), np.ones((3, 5), ">f8"), np.ones((3, 5), np.float32),
                  [[1] * 5] * 3, np.ones((3, 5), bool)):  # fmt: skip
            assert np.array_equal(tensor.contract(g), ones)
        for number in (2, 2.0, np.float32(2), np.float64(2), np.array(2.0), np.int8(2)):
            for product in (tensor * number, number * tensor):
                assert isinstance(product, DerivativeTensor)
                assert np.array_equal(product.contract(np.ones((3, 5))), 2 * ones)
        assert +tensor is tensor
        read_only = np.ones((3, 5))
        read_only.flags.writeable = False
        assert np.array_equal(tensor.contract(read_only), ones)


def test_wrong_arguments_are_refused():
    a, b = np.ones((3, 4)), np.ones((4, 5))
    for wrt in (2, -1, "a", None):
        with pytest.raises(ValueError, match="wrt must be 0 or 1"):
            matmul_derivative(a, b, wrt)
    with pytest.raises(ValueError, match="not 'csr'"):
        matmul_derivative(a, b, storage="csr")
    for x, y in (
        (a, a),
        (a, np.ones(3)),
        (np.ones(()), b),
        (np.ones((2, 3, 4)), np.ones((3, 4, 5))),
    ):
        with pytest.raises(ShapeError, match="do not fit"):
            matmul_derivative(x, y)
    for x in (a.astype(int), a.astype(complex), a.astype(object), a.astype(np.float16)):
        with pytest.raises(DTypeError):
            matmul_derivative(x, x.T)
        with pytest.raises(DTypeError):
            from_dense(x)
    with pytest.raises(ShapeError, match="odd"):
        from_dense(np.ones((2, 3, 4)))
    for n in (-1, 4):
        with pytest.raises(ShapeError, match="out_ndim"):
            from_dense(np.ones((2, 3, 4)), n)
    with pytest.raises(ShapeError, match="factor"):
        Structured((2,), (2,), "i", "i", {"i": 2}, [(np.ones(3), "i")])
    with pytest.raises(ShapeError, match="labelled"):
        Structured((2,), (3,), "i", "i", {"i": 2})
    with pytest.raises(DTypeError, match="complex"):
        Structured((2,), (2,), "i", "i", {"i": 2}, [(np.ones(2, complex), "i")])
    with pytest.raises(DTypeError, match="int64"):
        Dense((2,), (2,), np.ones((2, 2), np.int64))
    with pytest.raises(ShapeError, match="Dense"):
        Dense((2,), (2,), np.ones((2, 3)))
    data = np.ones((2, 1, 2))
    with pytest.raises(ShapeError, match="matrix of 3 x 4"):
        BlockSparse((3,), (4,), data, [0, 1], [0, 1, 2])
    with pytest.raises(ShapeError, match="reshaped"):
        BlockSparse((2,), (4,), data, [0, 1], [0, 1, 2], ((2,), (1,)))
    with pytest.raises(ShapeError, match="tensor"):
        BlockSparse.from_scipy(scipy.sparse.csr_array((3, 3)), (2,), (3,))


def test_tensors_cannot_be_changed():
    b = np.arange(12.0).reshape(3, 4)
    for tensor in storages(matmul_derivative(np.ones((2, 3)), b)):
        for name in ("shape", "out_shape", "in_shape", "dtype", "storage", "nnz", "nbytes", "new"):
            with pytest.raises(AttributeError):
                setattr(tensor, name, None)
        before = tensor.to_dense()
        for array in (tensor.contract(np.ones((2, 4))), tensor.apply(np.ones((2, 3))),
                      tensor.block(0, 0), tensor.to_dense(), np.asarray(tensor)):  # fmt: skip
            array[...] = 7
        tensor.to_scipy().data[...] = 7
        assert np.array_equal(tensor.to_dense(), before)
    assert np.array_equal(b, np.arange(12.0).reshape(3, 4))
    structured = matmul_derivative(np.ones((2, 3)), b)
    with pytest.raises(ValueError, match="read-only"):
        structured.factors[0][0][...] = 1
    sparse = structured.to_sparse()
    for array in (sparse.data, sparse.indices, sparse.indptr):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_results_are_fresh_even_where_nothing_is_computed():
    g = np.ones((2, 3))
    identity = Structured((2, 3), (2, 3), "ij", "ij", {"i": 2, "j": 3})
    for tensor in storages(identity):
        for result in (tensor.contract(g), tensor.apply(g)):
            assert not np.shares_memory(result, g)
            assert np.array_equal(result, g)


def test_import_of_fastbp_alone_loads_no_tensors():
    code = (
        "import sys, fastbp; assert 'fastbp.tensor' not in sys.modules; "
        "fastbp.tensor.from_dense; assert 'fastbp.tensor' in sys.modules"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
