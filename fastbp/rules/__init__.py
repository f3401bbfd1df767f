"""The rules: one row an operation, grouped by family. Importing this package fills the table."""

from fastbp._core import graph as _graph
from fastbp.rules import (  # noqa: F401
    accumulating,
    assembly,
    composite,
    constant,
    contraction,
    creation,
    cumulative,
    determinants,
    diagonals,
    einsum,
    elementwise,
    engine,
    filling,
    indexing,
    linalg,
    norms,
    products,
    reductions,
    refusals,
    special,
    structural,
    tables,
    views,
)
from fastbp.rules.table import FUNCTIONS, OPS

__all__ = ["FUNCTIONS", "OPS"]


def _late_sparse():
    from fastbp.rules import sparse_operands  # noqa: F401


_graph.bind("late_sparse", _late_sparse)  # the core calls it once scipy.sparse is there
