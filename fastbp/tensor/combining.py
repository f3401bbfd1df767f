"""Sums and compositions of derivative tensors: the rows of the table `fastbp.tensor.products`."""

from __future__ import annotations

import math

from scipy import sparse

from fastbp.tensor.base import DerivativeTensor
from fastbp.tensor.blocks import BlockSparse
from fastbp.tensor.checks import check_dense, check_sparse
from fastbp.tensor.dense import Dense, leaner
from fastbp.tensor.joining import joined, summed
from fastbp.tensor.products import ANY, adding, composing

__all__: list[str] = []


composing("structured", "structured")(joined)
adding("structured", "structured")(summed)


@adding("dense", ANY)
@adding(ANY, "dense")
def _dense_sum(a: DerivativeTensor, b: DerivativeTensor) -> Dense:
    return Dense(a.out_shape, a.in_shape, a._whole() + b._whole())


@adding(ANY, ANY)
def _sparse_sum(a: DerivativeTensor, b: DerivativeTensor) -> DerivativeTensor:
    for x in (a, b):
        if not isinstance(x, BlockSparse):
            check_sparse("add", x.shape, x.nnz, x.dtype.itemsize + 4, None)
    left, right = a.to_sparse(), b.to_sparse()
    if left.same_places(right):
        return left.with_data(left.data + right.data)
    total = left.to_scipy() + right.to_scipy()
    return leaner(BlockSparse.from_scipy(total, a.out_shape, a.in_shape))


@composing("dense", ANY)
@composing(ANY, "dense")
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


@composing(ANY, ANY)
def _sparse_product(a: DerivativeTensor, b: DerivativeTensor) -> BlockSparse | Dense:
    """Compose by SciPy's product of sparse matrices: of blocks where they fit, else of elements."""
    left, right = a.to_sparse(), b.to_sparse()
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
