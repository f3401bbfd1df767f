"""`scipy.linalg`: triangular systems, and those solved by a Cholesky factorisation."""

import numpy as np
import scipy
from numpy.linalg import LinAlgError

from fastbp.errors import NoRuleError, ShapeError
from fastbp.rules import batching, patterns
from fastbp.rules.linalg import lapack
from fastbp.rules.linalg.decompositions import GILES, cholesky_op, of_symmetric, positive
from fastbp.rules.linalg.of_scipy import of_scipy, operands, square, stacked
from fastbp.rules.numpy.products import aligned, mh, mm, mt
from fastbp.rules.numpy.structural import conjugated
from fastbp.rules.table import general

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


# ---- one operation for all triangles


def _solve(a, b, lower, trans, unit):
    if b.ndim > 2 and a.ndim == 2:  # one matrix, all columns at once
        columns = np.moveaxis(b, -2, 0)
        x = _solve(a, columns.reshape(len(columns), -1), lower, trans, unit)
        return np.moveaxis(x.reshape(columns.shape), 0, -2)
    return _solve_each(a, b, lower=lower, trans=trans, unit=unit)


def _solve_one(a, b, lower, trans, unit):
    if not b.size:
        return np.zeros(b.shape, b.dtype)
    x, info = lapack.triangle_solve(a, b, lower, trans, unit)
    if info > 0:
        raise LinAlgError(f"singular matrix: resolution failed at diagonal {info - 1}")
    return x


_solve_each = stacked(_solve_one, 2, 2)


def _triangle(x, lower, unit):
    """Return what is read of a matrix."""
    return np.tril(x, -1) if lower and unit else np.tril(x) if lower else np.triu(x, int(unit))


def _vjp(g, needs, ans, a, b, lower, trans, unit):
    b_bar = triangle_op(a, g, lower=lower, trans=1 - trans, unit=unit)
    if not needs[0]:
        return None, b_bar
    full = mm(ans, mt(b_bar)) if trans else mm(b_bar, mt(ans))
    return -_triangle(full, lower, unit), b_bar


def _jvp(tangents, ans, a, b, lower, trans, unit):
    t_a, t_b = tangents
    right = 0.0
    if t_a is not None:
        t_a = _triangle(aligned(t_a, a, ans.ndim), lower, unit)
        right = -mm(mt(t_a) if trans else t_a, ans)
    if t_b is not None:
        right = aligned(t_b, b, ans.ndim) + right
    return triangle_op(a, right, lower=lower, trans=trans, unit=unit)


triangle_op = general(
    "linalg.solve_triangular",
    _solve,
    nin=2,
    saves=(0, "ans"),
    vjp=_vjp,
    jvp=_jvp,
    pattern=patterns.solves,
    source=GILES,
    batch=batching.aligns,
)


def triangle_solve(a, b, lower, trans=0, unit=False):
    """Solve for columns; `trans` is 1 for the transpose, 2 for the conjugate transpose."""
    if trans == 2:
        return triangle_op(conjugated(a), b, lower=lower, trans=1, unit=unit)
    return triangle_op(a, b, lower=lower, trans=trans, unit=unit)


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
