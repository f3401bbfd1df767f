"""`scipy.linalg`: LU factorisations with their pivots, which are constants."""

import numpy as np
import scipy.linalg

from fastbp._core.graph import array_of, values_of
from fastbp.errors import ShapeError
from fastbp.rules import patterns
from fastbp.rules.linalg.decompositions import regular
from fastbp.rules.linalg.of_scipy import matrices, of_scipy, operands, square, stacked
from fastbp.rules.linalg.triangular import TRANS, columns_of, triangle_solve
from fastbp.rules.numpy.products import mm, mt
from fastbp.rules.numpy.structural import conjugated
from fastbp.rules.table import general

SOURCE = "F. de Hoog, R. Anderssen and M. Lukas, SIAM J. Matrix Anal. Appl. 32 (2011) 1198-1216"


# ---- the factors of a square matrix whose rows are in the order of the pivots, in one array


def _parts(factors):
    """Return both factors of what LAPACK keeps in one array."""
    eye = np.eye(factors.shape[-1], dtype=factors.dtype)
    return np.tril(factors, -1) + eye, np.triu(factors)


def _vjp(g, ans, a, factors):
    lower, upper = _parts(ans)
    middle = np.tril(mm(mt(lower), np.tril(g, -1)), -1) + np.triu(mm(np.triu(g), mt(upper)))
    left = triangle_solve(ans, middle, True, 1, True)  # of the transposed lower factor
    return mt(triangle_solve(ans, mt(left), False))


def _jvp(t, ans, a, factors):
    lower, upper = _parts(ans)
    middle = triangle_solve(ans, t, True, 0, True)
    middle = mt(triangle_solve(ans, mt(middle), False, 1))
    return mm(lower, np.tril(middle, -1)) + mm(np.triu(middle), upper)


# The values come from SciPy, once for factors and pivots.
packed_op = general(
    "linalg.lu_packed",
    lambda a, factors: factors,
    nin=1,
    saves=("ans",),
    vjp=(_vjp,),
    jvp=(_jvp,),
    pattern=patterns.couples,
    source=SOURCE,
)


def _factorised(a):
    """Return LAPACK's factors and pivots of matrices of any shape."""
    return _lu_factor(np.asarray(values_of(a)))


_lu_factor = stacked(lambda a: scipy.linalg.lu_factor(a, check_finite=False), 2)


def _order(pivots, rows):
    """Return which row of the matrix each row of its factors is of."""
    found = np.broadcast_to(np.arange(rows), (*pivots.shape[:-1], rows)).copy()
    for k in range(pivots.shape[-1]):
        other = pivots[..., k : k + 1]
        here, there = found[..., k : k + 1].copy(), np.take_along_axis(found, other, -1)
        found[..., k : k + 1] = there
        np.put_along_axis(found, other, here, -1)
    return found


def _packed(a, factors, order):
    """Return the factors on record, in the shape of the matrix."""
    rows, columns = a.shape[-2:]
    n = min(rows, columns)
    a = np.take_along_axis(a, order[..., None], -2)
    square = packed_op(a[..., :n, :n], factors=factors[..., :n, :n])
    if rows > n:
        rest = mt(triangle_solve(square, mt(a[..., n:, :]), False, 1))
        return np.concatenate([square, rest], -2)
    if columns > n:
        rest = triangle_solve(square, a[..., :, n:], True, 0, True)
        return np.concatenate([square, rest], -1)
    return square


def _lu(name, a):
    (a,) = matrices(name, a=a)
    if not a.size:
        raise ShapeError(f"scipy.linalg.{name}: a Variable without elements, of shape {a.shape}")
    factors, pivots = _factorised(a)
    order = _order(pivots, a.shape[-2])
    return _packed(a, factors, order), pivots, order


@of_scipy(
    "lu_factor",
    samples=lambda rng: [
        ((regular(rng, 3, 3)[::-1],), {}),
        ((rng.normal(size=(3, 2)),), {}),
        ((rng.normal(size=(2, 3)),), {}),
    ],
)
def lu_factor(a):
    """Arguments as in `scipy.linalg.lu_factor`: pivots are constants, a plain array.

    Notes
    -----
    The matrix, or its first square part, must be regular where it is differentiated.
    """
    packed, pivots, _ = _lu("lu_factor", a)
    return packed, pivots


@of_scipy(
    "lu_solve",
    samples=lambda rng: [
        (((regular(rng, 3, 3), np.array([1, 1, 2])), rng.normal(size=3)), {}),
        (((regular(rng, 2, 2), np.array([1, 1])), rng.normal(size=(2, 2))), {"trans": 1}),
        (((regular(rng, 2, 2), np.array([1, 1])), rng.normal(size=2)), {"trans": 2}),
    ],
)
def lu_solve(lu_and_piv, b, trans=0):
    """Arguments as in `scipy.linalg.lu_solve`; pivots are constants."""
    factors, pivots = lu_and_piv
    factors, b = operands("lu_solve", lu=factors, b=b)
    (factors,) = square("lu_solve", lu=factors)
    b, is_vector = columns_of("lu_solve", factors.shape[-1], b)
    order = _order(np.asarray(array_of(pivots)), factors.shape[-1])
    if trans not in TRANS:
        raise ValueError(f"scipy.linalg.lu_solve: trans={trans!r} is none of 0, 1, 2")
    trans = TRANS[trans]
    if trans == 2:
        factors = conjugated(factors)
    if trans:
        y = triangle_solve(factors, b, False, 1)
        y = triangle_solve(factors, y, True, 1, True)
        x = _in_order(y, np.argsort(order, -1))
    else:
        y = triangle_solve(factors, _in_order(b, order), True, 0, True)
        x = triangle_solve(factors, y, False)
    return x[..., 0] if is_vector else x


def _in_order(b, order):
    if order.ndim == 1:
        return b[..., order, :]
    lead = np.broadcast_shapes(b.shape[:-2], order.shape[:-1])
    b = np.broadcast_to(b, lead + b.shape[-2:])
    order = np.broadcast_to(order, lead + order.shape[-1:])
    return np.take_along_axis(b, order[..., None], -2)


@of_scipy(
    "lu",
    samples=lambda rng: [
        ((regular(rng, 3, 3)[::-1],), {}),
        ((rng.normal(size=(2, 3)),), {"permute_l": True}),
        ((rng.normal(size=(3, 2)),), {"p_indices": True}),
    ],
)
def lu(a, permute_l=False, p_indices=False):
    """Arguments as in `scipy.linalg.lu`: the permutation is a constant, a plain array.

    Notes
    -----
    With ``A = L @ U`` in the order of the pivots and ``M = inv(L) @ dA @ inv(U)`` the differentials
    are ``L @ tril(M, -1)`` and ``triu(M) @ U``.
    """
    packed, _, order = _lu("lu", a)
    rows, columns = packed.shape[-2:]
    n = min(rows, columns)
    lower = np.tril(packed[..., :, :n], -1) + np.eye(rows, n, dtype=packed.dtype)
    upper = np.triu(packed[..., :n, :])
    places = np.argsort(order, -1)
    if permute_l:
        return _in_order(lower, places), upper
    if p_indices:
        return places.astype(np.int32), lower, upper
    permutation = np.eye(rows, dtype=packed.real.dtype)[places]
    return permutation, lower, upper
