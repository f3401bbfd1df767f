"""Structured Jacobians, and the products of chains of them in the cheapest order.

>>> import numpy as np
>>> import fastbp as bp
>>> W = np.ones((3, 3)) / 3
>>> chain = bp.chain.JacobianChain([bp.chain.RowScaled(np.full(3, 0.5), W) for _ in range(100)])
>>> chain.vjp(np.ones(3)) * 2.0**100
array([1., 1., 1.])
"""

from fastbp.chain.base import Factor, as_factor
from fastbp.chain.explaining import Explanation, Way
from fastbp.chain.factors import (
    Banded,
    BlockDiagonal,
    ColumnScaled,
    Dense,
    Diagonal,
    Identity,
    Kronecker,
    LowRank,
    Operator,
    Permutation,
    RowScaled,
    Scatter,
    Selection,
    Sparse,
    Sum,
)
from fastbp.chain.jacobian_chain import JacobianChain, product
from fastbp.chain.linearizing import factor_of, linearize
from fastbp.chain.stability import Norms

__all__ = [
    "Banded",
    "BlockDiagonal",
    "ColumnScaled",
    "Dense",
    "Diagonal",
    "Explanation",
    "Factor",
    "Identity",
    "JacobianChain",
    "Kronecker",
    "LowRank",
    "Norms",
    "Operator",
    "Permutation",
    "RowScaled",
    "Scatter",
    "Selection",
    "Sparse",
    "Sum",
    "Way",
    "as_factor",
    "factor_of",
    "linearize",
    "product",
]
