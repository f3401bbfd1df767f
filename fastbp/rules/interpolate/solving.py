"""Systems with a constant matrix, factorised once: what splines and radial functions solve."""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from fastbp.rules import patterns
from fastbp.rules.linalg import lapack
from fastbp.rules.table import linear

__all__ = ["Factors", "solved"]


class Factors:
    """The factors of a square matrix of float64: SuperLU's if it is sparse, else LAPACK's.

    They are shared by all that solve with them, in several threads, too. `scipy.linalg.lu_solve`
    cannot be: it counts the pivots from one and back in place, without the GIL.
    """

    def __init__(self, a):
        self._sparse = sparse.issparse(a)
        self._factors = splu(a.tocsc()) if self._sparse else lapack.lu(a)

    def solve(self, x, transposed):
        """Solve along the last axis."""
        flat = x.reshape((-1, x.shape[-1])).T
        if flat.dtype.kind == "c":
            found = self._solve(flat.real, transposed) + 1j * self._solve(flat.imag, transposed)
        else:
            found = self._solve(flat, transposed)
        return found.T.reshape(x.shape).astype(x.dtype, copy=False)

    def _solve(self, b, transposed):
        b = np.asarray(b, np.float64, order="F")
        if not b.size:
            return b
        if self._sparse:
            return self._factors.solve(b, "T" if transposed else "N")
        return lapack.lu_solve(*self._factors, b, transposed)


def _samples(rng):
    a = rng.normal(size=(3, 3)) + 3.0 * np.eye(3)
    b = sparse.csc_array(a)
    return [
        ((rng.normal(size=(2, 3)),), {"factors": Factors(a), "transposed": False}),
        ((rng.normal(size=3),), {"factors": Factors(b), "transposed": True}),
    ]


solve_op = linear(
    "interpolate.solve",
    lambda x, factors, transposed: factors.solve(x, transposed),
    lambda g, ans, x, factors, transposed: solve_op(g, factors=factors, transposed=not transposed),
    pattern=patterns.mixes_last,
    direct=("solution of the transposed system for g",),
    samples=_samples,
)


def solved(factors, x):
    """Solve along the first axis, for what may be recorded."""
    found = solve_op(np.moveaxis(x, 0, -1), factors=factors, transposed=False)
    return np.moveaxis(found, -1, 0)
