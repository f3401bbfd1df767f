"""The rules: one row an operation, grouped by family. Importing this package fills the table."""

from fastbp.rules import elementwise, structural, indexing, reductions, assembly, products  # noqa: F401, I001
from fastbp.rules.table import FUNCTIONS, OPS

__all__ = ["FUNCTIONS", "OPS"]
