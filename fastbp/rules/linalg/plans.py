"""How a plan computes what LAPACK does: by its routines, on stacks of matrices.

Named by rows as the functions of `fastbp.rules.plans`; operations of several outputs get a tuple of
values. What a routine cannot do (a singular matrix) ends the plan, and the function is called.
"""

import math

from fastbp._core.lapack import PIVOTS

SMALL = 3  # cofactors of larger matrices are no products of few elements


def factorises(b, link, a):
    """Return factors and pivots."""
    return b.lapack("lu", a)


def solves_by_factors(b, link, a, right, factors, pivots):
    """Solve for columns, those of block axes at once."""
    if pivots.dtype != PIVOTS:
        return None
    flags = ("transposed",) if link.static["trans"] else ()

    def solve(columns):
        return b.lapack("lu_solve", factors, pivots, columns, flags=flags)

    return _with_columns(b, right, len(factors.shape), solve)


def _with_columns(b, right, ndim, solve):
    """Solve for a stack of right-hand sides with one matrix, as columns."""
    if len(right.shape) == 2 or ndim > 2:
        return _only(solve(right))
    *lead, n, k = right.shape
    item = right.dtype.itemsize
    *steps, row, column = right.strides
    moved = right.view((n, *lead, k), right.offset, (row, *steps, column))
    columns = b.contiguous(moved)
    width = math.prod(lead) * k
    x = _only(solve(columns.view((n, width), columns.offset, (width * item, item))))
    if x is None:
        return None
    steps = [math.prod(lead[i + 1 :]) * k * item for i in range(len(lead))]
    return x.view(right.shape, x.offset, (*steps, width * item, item))


def _only(values):
    return values and values[0]


def solves(b, link, a, right):
    """Factorise, and solve."""
    found = b.lapack("lu", a)
    return found and _only(b.lapack("lu_solve", *found, right))


def inverts(b, link, a):
    """Factorise, and invert."""
    found = b.lapack("lu", a)
    return found and _only(b.lapack("inverse", *found))


def takes_determinants(b, link, a):
    """Factorise, and multiply the diagonal."""
    found = b.lapack("lu", a, flags=("loose",))
    return found and _only(b.lapack("determinant", *found))


def takes_signs_and_logs(b, link, a):
    """Factorise, and return signs and logarithms of the determinants."""
    found = b.lapack("lu", a, flags=("loose",))
    return found and b.lapack("sign_and_log", *found)


def takes_cofactors(b, link, a):
    """Return the cofactors of small matrices."""
    return _only(b.lapack("cofactors", a)) if a.shape[-1] <= SMALL else None


def solves_triangles(b, link, a, right):
    """Solve for columns with triangles."""
    static = link.static
    flags = {"lower": static["lower"], "transposed": static["trans"], "unit": static["unit"]}
    flags = tuple([name for name, on in flags.items() if on])

    def solve(columns):
        return b.lapack("triangle_solve", a, columns, flags=flags)

    return _with_columns(b, right, len(a.shape), solve)


def factorises_positive(b, link, a):
    """Return Cholesky's factor."""
    return _only(b.lapack("cholesky", a))


def diagonalises(b, link, a):
    """Return eigenvalues and eigenvectors of Hermitian matrices."""
    uplo = link.static["uplo"]
    if uplo not in ("L", "U"):
        return None
    return b.lapack("eigh", a, flags=("lower",) if uplo == "L" else ())


def decomposes(b, link, a):
    """Return singular values and vectors."""
    return b.lapack("svd", a, flags=("full",) if link.static["full"] else ())


def makes_bases(b, link, a):
    """Return an orthonormal basis and the coefficients."""
    return b.lapack("qr", a, flags=("full",) if link.static["complete"] else ())


def checks_independence(b, link, r):
    """Return the same, of which the diagonal has no zero."""
    return _only(b.lapack("independent", r))


def divides_by_gaps(b, link, w):
    """Return the reciprocals of the gaps between values in order."""
    return _only(b.lapack("gaps", w))
