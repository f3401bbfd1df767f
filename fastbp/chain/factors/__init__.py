"""The kinds of structured factors, a file for each family; each enters its own products."""

from fastbp.chain.factors.banded import Banded
from fastbp.chain.factors.block_diagonal import BlockDiagonal
from fastbp.chain.factors.dense import ColumnScaled, Dense, RowScaled
from fastbp.chain.factors.diagonal import Diagonal, Identity
from fastbp.chain.factors.kronecker import Kronecker
from fastbp.chain.factors.lowrank import LowRank
from fastbp.chain.factors.operator import Operator
from fastbp.chain.factors.selection import Permutation, Scatter, Selection
from fastbp.chain.factors.sparse import Sparse
from fastbp.chain.factors.sums import Sum

__all__ = [
    "Banded",
    "BlockDiagonal",
    "ColumnScaled",
    "Dense",
    "Diagonal",
    "Identity",
    "Kronecker",
    "LowRank",
    "Operator",
    "Permutation",
    "RowScaled",
    "Scatter",
    "Selection",
    "Sparse",
    "Sum",
]
