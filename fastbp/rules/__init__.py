"""The rules: one row an operation, grouped by family. Importing this package fills the table."""

from fastbp._core import graph as _graph
from fastbp.rules import contraction, engine, labelled, refusals  # noqa: F401
from fastbp.rules.linalg import decompositions, determinants, norms  # noqa: F401
from fastbp.rules.numpy import (  # noqa: F401
    accumulating,
    assembly,
    composite,
    constant,
    creation,
    cumulative,
    diagonals,
    einsum,
    elementwise,
    filling,
    indexing,
    parts,
    products,
    reductions,
    structural,
    views,
)
from fastbp.rules.special import activations  # noqa: F401
from fastbp.rules.table import FUNCTIONS, OPS

__all__ = ["FUNCTIONS", "OPS"]


def _late_sparse():
    from fastbp.rules import sparse_operands  # noqa: F401


_graph.bind("late_sparse", _late_sparse)  # the core calls it once scipy.sparse is there
