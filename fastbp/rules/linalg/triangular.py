"""`scipy.linalg`: triangular systems, and those solved by a Cholesky factorisation."""

import numpy as np
import scipy

from fastbp.errors import NoRuleError, ShapeError
from fastbp.rules.linalg.decompositions import cholesky_op, of_symmetric, positive
from fastbp.rules.linalg.of_scipy import of_scipy, operands, square
from fastbp.rules.linalg.triangles import triangle_solve
from fastbp.rules.numpy.products import mh

__all__ = ["columns_of", "solved_by_cholesky", "triangle_solve"]


def columns_of(name, n, b):
    """Return a right-hand side as columns, and whether it was a vector."""
    is_vector = b.ndim == 1
    b = np.reshape(b, (-1, 1)) if is_vector else b
    if b.ndim < 2 or b.shape[-2] != n:
        raise ShapeError(
            f"scipy.linalg.{name}: b of shape {b.shape[: b.ndim - is_vector]} does not fit a "
            f"matrix of {n} rows"
        )
    return b, is_vector


TRANS = {0: 0, 1: 1, 2: 2, "N": 0, "T": 1, "C": 2}


def _triangular(rng, *shape):
    return rng.normal(size=shape) + 3.0 * np.eye(shape[-1])


@of_scipy(
    "solve_triangular",
    samples=lambda rng: [
        ((_triangular(rng, 3, 3), rng.normal(size=3)), {}),
        ((_triangular(rng, 3, 3), rng.normal(size=(3, 2))), {"lower": True, "trans": 1}),
        ((_triangular(rng, 2, 2), rng.normal(size=2)), {"unit_diagonal": True, "trans": "C"}),
        ((_triangular(rng, 2, 2), rng.normal(size=2)), {"unit_diagonal": True, "lower": True}),
    ],
)
def solve_triangular(a, b, trans=0, lower=False, unit_diagonal=False):
    """Arguments as in `scipy.linalg.solve_triangular`.

    Notes
    -----
    The cotangents are ``b_bar = solve(a.T, g)`` and the triangle of ``-b_bar @ x.T`` that is read.
    """
    a, b = operands("solve_triangular", a=a, b=b)
    (a,) = square("solve_triangular", a=a)
    if trans not in TRANS:
        raise ValueError(f"scipy.linalg.solve_triangular: trans={trans!r} is none of 0, 1, 2")
    b, is_vector = columns_of("solve_triangular", a.shape[-1], b)
    x = triangle_solve(a, b, bool(lower), TRANS[trans], bool(unit_diagonal))
    return x[..., 0] if is_vector else x


# ---- Cholesky

_CLEANS = np.lib.NumpyVersion(scipy.__version__) >= "1.18.0.dev0"


def _factor(a, lower):
    return cholesky_op(a) if lower else mh(cholesky_op(mh(a)))


@of_scipy(
    "cholesky",
    samples=lambda rng: [((positive(rng, 3, 3),), {}), ((positive(rng, 2, 2),), {"lower": True})],
)
@of_symmetric
def cholesky(a, lower=False):
    """Arguments as in `scipy.linalg.cholesky`; derivatives as in `numpy.linalg.cholesky`."""
    (a,) = square("cholesky", a=a)
    return _factor(a, lower)


@of_scipy(
    "cho_factor",
    samples=lambda rng: [((positive(rng, 3, 3),), {}), ((positive(rng, 2, 2),), {"lower": True})],
)
@of_symmetric
def cho_factor(a, lower=False):
    """Arguments as in `scipy.linalg.cho_factor`; derivatives as in `numpy.linalg.cholesky`.

    In the other triangle are zeros, or what SciPy before 1.18 leaves there: that of `a`.
    """
    (a,) = square("cho_factor", a=a)
    found = _factor(a, lower)
    if not _CLEANS:
        found = found + (np.triu(a, 1) if lower else np.tril(a, -1))
    return found, np.full(a.shape[:-2], lower) if a.ndim > 2 else lower


def solved_by_cholesky(c, b, lower):
    """Solve for columns by one factor, of which one triangle is read."""
    y = triangle_solve(c, b, lower, 0 if lower else 2)
    return triangle_solve(c, y, lower, 2 if lower else 0)


def _of_all(name, lower):
    """Return which triangle is read: of a stack `cho_factor` says it for each matrix."""
    if np.ndim(lower) and np.any(lower) != np.all(lower):
        raise NoRuleError(
            f"scipy.linalg.{name}: lower= differs from matrix to matrix: solve for those with the "
            "same one together"
        )
    return bool(np.all(lower))


@of_scipy(
    "cho_solve",
    samples=lambda rng: [
        (((_triangular(rng, 3, 3), True), rng.normal(size=3)), {}),
        (((_triangular(rng, 2, 2), False), rng.normal(size=(2, 2))), {}),
    ],
)
def cho_solve(c_and_lower, b):
    """Arguments as in `scipy.linalg.cho_solve`.

    Notes
    -----
    Two triangular systems; the cotangent of the factor is in the triangle that is read.
    """
    c, lower = c_and_lower
    c, b = operands("cho_solve", c=c, b=b)
    (c,) = square("cho_solve", c=c)
    b, is_vector = columns_of("cho_solve", c.shape[-1], b)
    x = solved_by_cholesky(c, b, _of_all("cho_solve", lower))
    return x[..., 0] if is_vector else x
