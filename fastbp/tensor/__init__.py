"""Explicit derivative tensors ``dY/dX`` of any rank, without their zeros.

>>> import numpy as np
>>> import fastbp as bp
>>> T = bp.tensor.matmul_derivative(np.ones((64, 64)), np.ones((64, 64)))
>>> T
<derivative tensor (64, 64) x (64, 64): structured, float64, density 0.0156, 32.77 kB>
>>> T.to_sparse()
<derivative tensor (64, 64) x (64, 64): sparse, float64, density 0.0156, 2.098 MB>
>>> T.size * T.dtype.itemsize  # bytes with all zeros
134217728
"""

from fastbp import limits as _limits
from fastbp.tensor import combining as _combining  # noqa: F401  (fills the table of products)
from fastbp.tensor.base import DerivativeTensor
from fastbp.tensor.blocks import BlockSparse
from fastbp.tensor.construction import from_dense, matmul_derivative
from fastbp.tensor.dense import Dense
from fastbp.tensor.derivative import derivative
from fastbp.tensor.explaining import Explanation, explain
from fastbp.tensor.structured import Structured

__all__ = [
    "BlockSparse",
    "Dense",
    "DerivativeTensor",
    "Explanation",
    "Structured",
    "derivative",
    "explain",
    "from_dense",
    "matmul_derivative",
]


def __getattr__(name):
    if name == "MEMORY_LIMIT":  # as it is now; set it in `fastbp.limits`
        return _limits.MEMORY_LIMIT
    raise AttributeError(f"module 'fastbp.tensor' has no attribute {name!r}")
