"""Sums and compositions of derivative tensors of any storages."""

from __future__ import annotations

import math

import numpy as np
from scipy import sparse

from fastbp.tensor.base import DerivativeTensor
from fastbp.tensor.blocks import BlockSparse
from fastbp.tensor.checks import check_dense, check_sparse
from fastbp.tensor.dense import Dense, leaner
from fastbp.tensor.joining import joined, summed
from fastbp.tensor.structured import Structured

__all__ = ["add", "compose"]


def compose(left: DerivativeTensor, right: DerivativeTensor) -> DerivativeTensor:
    """Return ``dY/dZ`` from ``dY/dX`` and ``dX/dZ``, whose shapes fit."""
    left, right = _promoted(left, right)
    if isinstance(left, Structured) and isinstance(right, Structured):
        result = joined(left, right)
        if result is not None:
            return result
    if isinstance(left, Dense) or isinstance(right, Dense):
        return _dense_product(left, right)
    return _sparse_product(left.to_sparse(), right.to_sparse())


def add(a: DerivativeTensor, b: DerivativeTensor) -> DerivativeTensor:
    """Return the sum of two tensors of the same shapes."""
    a, b = _promoted(a, b)
    if isinstance(a, Structured) and isinstance(b, Structured):
        result = summed(a, b)
        if result is not None:
            return result
    if isinstance(a, Dense) or isinstance(b, Dense):
        return Dense(a.out_shape, a.in_shape, a._whole() + b._whole())
    for x in (a, b):
        if not isinstance(x, BlockSparse):
            check_sparse("add", x.shape, x.nnz, x.dtype.itemsize + 4, None)
    a, b = a.to_sparse(), b.to_sparse()
    if a.same_places(b):
        return a.with_data(a.data + b.data)
    return leaner(BlockSparse.from_scipy(a.to_scipy() + b.to_scipy(), a.out_shape, a.in_shape))


def _promoted(
    a: DerivativeTensor, b: DerivativeTensor
) -> tuple[DerivativeTensor, DerivativeTensor]:
    dtype = np.result_type(a.dtype, b.dtype)
    return a.astype(dtype), b.astype(dtype)


def _dense_product(left: DerivativeTensor, right: DerivativeTensor) -> Dense:
    """Compose by contracting, or applying to, all rows or columns of the dense one at once."""
    out, inner = left.out_shape, right.in_shape
    check_dense("compose", out + inner, left.dtype, None)
    if isinstance(left, Dense):
        rows = left._whole().reshape((math.prod(out), *right.out_shape))
        result = right.contract(rows)
    else:
        whole = right._whole().reshape(math.prod(right.out_shape), math.prod(inner))
        columns = whole.T.reshape((math.prod(inner), *left.in_shape))
        result = left.apply(columns).reshape(math.prod(inner), math.prod(out)).T
    return Dense(out, inner, result.reshape(out + inner))


def _sparse_product(left: BlockSparse, right: BlockSparse) -> BlockSparse | Dense:
    """Compose by SciPy's product of sparse matrices: of blocks where they fit, else of elements."""
    if left.in_axes == right.out_axes and left.block_shape[1] == right.block_shape[0]:
        product = _blocks(left) @ _blocks(right)
        product.sort_indices()
        result = BlockSparse(
            left.out_shape, right.in_shape, product.data, product.indices, product.indptr,
            left.out_axes, right.in_axes,
        )  # fmt: skip
    else:
        product = left.to_scipy() @ right.to_scipy()
        product.sort_indices()
        result = BlockSparse.from_scipy(product, left.out_shape, right.in_shape)
    return leaner(result)


def _blocks(tensor: BlockSparse) -> sparse.bsr_array:
    shape = (math.prod(tensor.out_shape), math.prod(tensor.in_shape))
    return sparse.bsr_array(
        (tensor.data, tensor.indices, tensor.indptr), shape=shape, blocksize=tensor.block_shape
    )
