"""Equations with triangles: one operation for all of them."""

import numpy as np
from numpy.linalg import LinAlgError

from fastbp.rules import batching, patterns
from fastbp.rules.linalg import lapack, plans
from fastbp.rules.numpy.products import aligned, mm, mt, of_all_columns
from fastbp.rules.numpy.structural import conjugated
from fastbp.rules.table import general

__all__ = ["GILES", "triangle_op", "triangle_solve"]

GILES = "Giles 2008"


def _solve(a, b, lower, trans, unit):
    if b.ndim > 2 and a.ndim == 2:  # one matrix, all columns at once
        return of_all_columns(lambda x: _solve(a, x, lower, trans, unit), b)
    x, regular = lapack.triangle_solve(a, b, lower, trans, unit)
    if not regular:
        zeros = np.argwhere(np.diagonal(a, 0, -2, -1) == 0)
        raise LinAlgError(f"singular matrix: resolution failed at diagonal {zeros[0][-1]}")
    return x


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
    plan=plans.solves_triangles,
    batch=batching.aligns,
    source=GILES,
)


def triangle_solve(a, b, lower, trans=0, unit=False):
    """Solve for columns; `trans` is 1 for the transpose, 2 for the conjugate transpose."""
    if trans == 2:
        return triangle_op(conjugated(a), b, lower=lower, trans=1, unit=unit)
    return triangle_op(a, b, lower=lower, trans=trans, unit=unit)
