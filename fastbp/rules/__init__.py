"""The rules: one row an operation, grouped by family. Importing this package fills the table."""

from fastbp.rules import elementwise, products, structural  # noqa: F401
from fastbp.rules.table import FUNCTIONS, OPS

__all__ = ["FUNCTIONS", "OPS"]
