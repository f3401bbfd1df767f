"""LAPACK on single matrices, whose factors are kept for the way back.

SciPy's routines take Fortran order and copy; for one matrix that costs less than NumPy's checks.
"""

import functools

import numpy as np
from numpy.linalg import LinAlgError
from scipy.linalg import lapack

from fastbp._core import dtypes

__all__ = [
    "cholesky",
    "determinant",
    "eigh",
    "inverse",
    "inverse_of_lower",
    "lu",
    "lu_solve",
    "qr",
    "svd",
    "triangle_solve",
]

LETTERS = "sdcz"  # by the slots of dtypes
BLOCK = 64  # columns: for more room getri works in blocks


@functools.cache
def _routine(name, dtype):
    return getattr(lapack, LETTERS[dtypes.slot(dtype)] + name)


def lu(a):
    """Factorise a square matrix: return factors, their pivots, and whether one of them is zero."""
    factors, pivots, info = _routine("getrf", a.dtype)(a)
    return factors, pivots, info > 0


def _check_regular(info):
    if info > 0:
        raise LinAlgError("Singular matrix")


def lu_solve(factors, pivots, b, transposed):
    """Solve for columns; transposed does not conjugate."""
    return _routine("getrs", b.dtype)(factors, pivots, b, trans=transposed)[0]


def triangle_solve(a, b, lower, transposed, unit):
    """Solve for columns with a triangle; return them and the place of a zero, from 1, or 0."""
    if a.flags.c_contiguous:  # in Fortran's order it is the transpose
        a, lower, transposed = a.T, not lower, not transposed
    return _routine("trtrs", b.dtype)(a, b, lower=lower, trans=transposed, unitdiag=unit)


def inverse(factors, pivots):
    """Return the inverse from factors; raise `LinAlgError` where a pivot is zero."""
    n = len(pivots)
    found, info = _routine("getri", factors.dtype)(factors, pivots, lwork=max(1, BLOCK * n))
    _check_regular(info)
    return found


def inverse_of_lower(a):
    """Return the inverse of a lower triangular matrix with zeros above its diagonal."""
    found, info = _routine("trtri", a.dtype)(a, lower=1)
    _check_regular(info)
    return found


def determinant(factors, pivots):
    """Return sign and logarithm of the determinant, as `numpy.linalg.slogdet` does."""
    diagonal = factors.diagonal()
    magnitude = np.abs(diagonal)
    swaps = np.count_nonzero(pivots != np.arange(len(pivots)))
    if not magnitude.all():
        return diagonal.dtype.type(0), magnitude.dtype.type(-np.inf)
    if diagonal.dtype.kind == "c":
        sign = np.prod(diagonal / magnitude)
    else:
        sign = diagonal.dtype.type(1 - 2 * (np.count_nonzero(diagonal < 0) % 2))
    return -sign if swaps % 2 else sign, np.add.reduce(np.log(magnitude))


@functools.lru_cache(maxsize=256)
def _room(name, dtype, *args):
    """Return the size of the workspace with which a routine works in blocks."""
    work, _ = _routine(name, dtype)(*args)
    return int(1.01 * work.real) + 1  # a float may have rounded it down


def _check_converged(info, what):
    if info != 0:
        raise LinAlgError(f"{what} did not converge")


def cholesky(a):
    """Return the lower triangular factor of a Hermitian matrix, from its lower triangle."""
    factor, info = _routine("potrf", a.dtype)(a, lower=1, clean=1)
    if info > 0:
        raise LinAlgError("Matrix is not positive definite")
    return factor


def eigh(a, lower):
    """Return eigenvalues and eigenvectors of a Hermitian matrix, from one of its triangles."""
    kind = "heevd" if a.dtype.kind == "c" else "syevd"
    w, v, info = _routine(kind, a.dtype)(a, lower=lower)
    _check_converged(info, "Eigenvalues")
    return w, v


def svd(a, full):
    """Return the singular value decomposition of a matrix."""
    m, n = a.shape
    room = _room("gesdd_lwork", a.dtype, m, n, 1, full)
    u, s, vh, info = _routine("gesdd", a.dtype)(a, lwork=room, full_matrices=full)
    _check_converged(info, "SVD")
    return u, s, vh


def qr(a, complete):
    """Return the QR decomposition of a matrix with no fewer rows than columns."""
    m, n = a.shape
    factors, tau, _, _ = _routine("geqrf", a.dtype)(a, lwork=max(1, BLOCK * n))
    r = np.triu(factors if complete else factors[:n])
    if complete:
        whole = np.zeros((m, m), a.dtype, order="F")
        whole[:, :n] = factors
        factors = whole
    kind = "ungqr" if a.dtype.kind == "c" else "orgqr"
    q, _, _ = _routine(kind, a.dtype)(factors, tau, lwork=max(1, BLOCK * m), overwrite_a=1)
    return q, r
