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
    flags = ("transposed",) if link.static["trans"] else ()
    triangle = _triangle(b, a)
    if triangle is None and pivots.dtype != PIVOTS:
        return None

    def solve(columns):
        if triangle is not None:
            return b.lapack("triangle_solve", a, columns, flags=triangle + flags)
        return b.lapack("lu_solve", factors, pivots, columns, flags=flags)

    return _with_columns(b, right, len(factors.shape), solve)


def _triangle(b, a):
    """Return how to solve with matrices that are known to be triangles; None for others.

    A Cholesky factor is one, and so is its transpose.
    """
    if "folding" not in b.passes or a.storage.lower != a.shape[-1]:
        return None  # a part that is square is no triangle, though its layout may be one's
    for flags, axes in (("lower",), (-2, -1)), ((), (-1, -2)):
        row, column = (a.strides[k] for k in axes)
        if column == a.dtype.itemsize and row == a.shape[-1] * column and _are_whole(a, row):
            return flags
    return None


def _are_whole(a, row):
    """Say whether matrices begin where one begins in memory, and not within it."""
    size = row * a.shape[-1]
    return a.offset % size == 0 and all(s % size == 0 for s in a.strides[:-2])


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
    triangle = _triangle(b, a)
    if triangle is not None:
        return _only(b.lapack("triangle_solve", a, right, flags=triangle))
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
    factor = _only(b.lapack("cholesky", a))
    if factor is not None:
        factor.storage.lower = factor.shape[-1]
    return factor


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
