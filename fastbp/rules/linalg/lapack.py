"""LAPACK on matrices, or stacks of them: factors are kept for the way back.

These are the routines of compiled plans, too (`fastbp._core.lapack`): values and signs agree.
"""

import numpy as np
from numpy.linalg import LinAlgError

from fastbp._core.lapack import PIVOTS, run

__all__ = [
    "cholesky",
    "cofactors",
    "determinant",
    "eigh",
    "gaps",
    "inverse",
    "lu",
    "lu_solve",
    "qr",
    "sign_and_log",
    "svd",
    "triangle_solve",
]


def _flags(**flags):
    return tuple([name for name, on in flags.items() if on])


def _right(a, b):
    """Return room for the solution of equations."""
    if a.ndim == b.ndim == 2:
        return np.empty(b.shape, b.dtype)
    return np.empty((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), *b.shape[-2:]), b.dtype)


def lu(a, loose=False):
    """Factorise square matrices: return factors and their pivots, for these functions only.

    Raises `LinAlgError` where one is singular, unless `loose`.
    """
    if a.ndim == 2:
        factors = np.empty(a.shape, a.dtype, "F")
    else:
        factors = np.swapaxes(np.empty(a.shape, a.dtype), -1, -2)
    pivots = np.empty(a.shape[:-1], PIVOTS)
    if not run("lu", a, factors, pivots, flags=("loose",) if loose else ()):
        raise LinAlgError("Singular matrix")
    return factors, pivots


def lu_solve(factors, pivots, b, transposed):
    """Solve for columns; transposed does not conjugate."""
    x = _right(factors, b)
    run("lu_solve", factors, pivots, b, x, flags=("transposed",) if transposed else ())
    return x


def triangle_solve(a, b, lower, transposed, unit):
    """Solve for columns with triangles; return them, and whether no diagonal has a zero."""
    x = _right(a, b)
    flags = _flags(lower=lower, transposed=transposed, unit=unit)
    return x, run("triangle_solve", a, b, x, flags=flags)


def inverse(factors, pivots):
    """Return inverses from factors; raise `LinAlgError` where a pivot is zero."""
    x = np.empty(factors.shape, factors.dtype)
    if not run("inverse", factors, pivots, x):
        raise LinAlgError("Singular matrix")
    return x


def determinant(factors, pivots):
    """Return determinants."""
    det = np.empty(factors.shape[:-2], factors.dtype)
    run("determinant", factors, pivots, det)
    return det[()]


def sign_and_log(factors, pivots):
    """Return signs and logarithms of determinants, as `numpy.linalg.slogdet` does."""
    sign = np.empty(factors.shape[:-2], factors.dtype)
    log = np.empty(sign.shape, sign.real.dtype)
    run("sign_and_log", factors, pivots, sign, log)
    return sign[()], log[()]


def cofactors(a):
    """Return the cofactors of matrices of at most three rows."""
    y = np.empty(a.shape, a.dtype)
    run("cofactors", a, y)
    return y


def cholesky(a):
    """Return the lower triangular factors of Hermitian matrices, from their lower triangles."""
    factor = np.empty(a.shape, a.dtype)
    if not run("cholesky", a, factor):
        raise LinAlgError("Matrix is not positive definite")
    return factor


def eigh(a, lower):
    """Return eigenvalues and eigenvectors of Hermitian matrices, from one of their triangles."""
    w, v = np.empty(a.shape[:-1], a.real.dtype), np.empty(a.shape, a.dtype)
    if not run("eigh", a, w, v, flags=("lower",) if lower else ()):
        raise LinAlgError("Eigenvalues did not converge")
    return w, v


def svd(a, full):
    """Return singular value decompositions."""
    (*lead, m, n), k = a.shape, min(a.shape[-2:])
    u = np.empty((*lead, m, m if full else k), a.dtype)
    s = np.empty((*lead, k), a.real.dtype)
    vh = np.empty((*lead, n if full else k, n), a.dtype)
    if not run("svd", a, u, s, vh, flags=("full",) if full else ()):
        raise LinAlgError("SVD did not converge")
    return u, s, vh


def qr(a, complete):
    """Return QR decompositions of matrices with no fewer rows than columns."""
    *lead, m, n = a.shape
    k = m if complete else n
    q, r = np.empty((*lead, m, k), a.dtype), np.empty((*lead, k, n), a.dtype)
    run("qr", a, q, r, flags=("full",) if complete else ())
    return q, r


def gaps(w):
    """Return the reciprocals of the gaps between values in order, or None where two are equal."""
    y = np.empty((*w.shape, w.shape[-1]), w.dtype)
    return y if run("gaps", w, y) else None
