"""The rules: one row an operation, grouped by family. Importing this package fills the table."""

from fastbp.rules import contraction, engine, foreign, refusals  # noqa: F401
from fastbp.rules.fft import functions  # noqa: F401
from fastbp.rules.linalg import (  # noqa: F401
    decompositions,
    determinants,
    eigen,
    least_squares,
    norms,
    orthogonal,
    singular,
)
from fastbp.rules.numpy import (  # noqa: F401
    accumulating,
    applying,
    assembly,
    composite,
    constant,
    creation,
    cumulative,
    diagonals,
    einsum,
    elementwise,
    filling,
    fits,
    histograms,
    indexing,
    missing,
    numerical,
    order,
    parts,
    polynomials,
    products,
    quantiles,
    reductions,
    sets,
    structural,
    views,
    windows,
)
from fastbp.rules.special import activations  # noqa: F401
from fastbp.rules.table import FUNCTIONS, OPS

__all__ = ["FUNCTIONS", "OPS"]
