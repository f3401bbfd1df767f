"""The rules: one row an operation, grouped by family. Importing this package fills the table."""

from fastbp.rules import (  # noqa: F401
    assembly,
    composite,
    constant,
    contraction,
    cumulative,
    determinants,
    diagonals,
    einsum,
    elementwise,
    indexing,
    linalg,
    norms,
    products,
    reductions,
    special,
    structural,
)
from fastbp.rules.table import FUNCTIONS, OPS

__all__ = ["FUNCTIONS", "OPS"]
