"""Linear algebra: inverses, equations, factorisations; stacks of matrices, as in `numpy.linalg`.

Formulas without another source are from M. B. Giles, "An extended collection of matrix derivative
results for forward and reverse mode algorithmic differentiation", report 08/01, Oxford University
Computing Laboratory, 2008.
"""

import operator

import numpy as np
from numpy.linalg import LinAlgError

from fastbp._core.graph import passive, promoted, values_of
from fastbp.errors import ShapeError
from fastbp.rules import batching, patterns
from fastbp.rules.linalg import lapack, plans
from fastbp.rules.linalg.triangles import GILES, triangle_solve
from fastbp.rules.numpy.products import aligned, mh, mm, mt, of_all_columns, stored
from fastbp.rules.numpy.structural import conjugated
from fastbp.rules.table import general, implements


def check_square(x):
    """Raise what NumPy raises for anything but a stack of square matrices."""
    if x.ndim < 2:
        raise LinAlgError(
            f"{x.ndim}-dimensional array given. Array must be at least two-dimensional"
        )
    if x.shape[-1] != x.shape[-2]:
        raise LinAlgError("Last 2 dimensions of the array must be square")
    return x


def of_symmetric(f):
    """Mark a function of symmetric matrices: its derivative is along symmetric directions."""
    f.symmetric = True
    return f


def regular(rng, *shape):
    """Return matrices far from singular, for samples."""
    return rng.normal(size=shape) + 3.0 * np.eye(shape[-1])


def positive(rng, *shape):
    """Return symmetric matrices that are positive definite, for samples."""
    x = rng.normal(size=shape)
    return x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1])


# ---- inverse


def _inv(a):
    return lapack.inverse(*lapack.lu(a)) if a.size else np.linalg.inv(a)


inv_op = general(
    "linalg.inv",
    _inv,
    nin=1,
    saves=("ans",),
    source=GILES,
    vjp=(lambda g, ans, a: -mm(mm(mt(ans), g), mt(ans)),),
    jvp=(lambda t, ans, a: -mm(mm(ans, t), ans),),
    pattern=patterns.couples,
    plan=plans.inverts,
    batch=batching.aligns,
)


@implements(
    np.linalg.inv,
    name="linalg.inv",
    samples=lambda rng: [
        ((regular(rng, 3, 3),), {}),
        ((regular(rng, 2, 2, 2),), {}),
        ((rng.normal(size=(0, 0)),), {}),
    ],
)
def inv(a):
    """Arguments as in `numpy.linalg.inv`.

    Notes
    -----
    The cotangent is ``-X.T @ g @ X.T`` with the inverse X.
    """
    return inv_op(check_square(a))


# ---- pseudo-inverse


def _pinv_vjp(g, ans, a, **options):
    right, left = mh(ans), mt(g)
    first = mm(mm(left, ans), right)
    second = mm(mm(right, ans), left)
    conjugate = first - mm(a, mm(ans, first)) + second - mm(mm(second, ans), a)
    return conjugated(conjugate) - mm(mm(mt(ans), g), mt(ans))


def _pinv_jvp(t, ans, a, **options):
    right, left = mh(ans), mh(t)
    first = mm(mm(ans, right), left)
    second = mm(mm(left, right), ans)
    return first - mm(mm(first, a), ans) + second - mm(ans, mm(a, second)) - mm(mm(ans, t), ans)


pinv_op = general(
    "linalg.pinv",
    np.linalg.pinv,
    nin=1,
    saves=(0, "ans"),
    vjp=(_pinv_vjp,),
    jvp=(_pinv_jvp,),
    pattern=patterns.couples,
    source="G. H. Golub and V. Pereyra, SIAM J. Numer. Anal. 10 (1973) 413-432, eq. 4.12",
    batch=batching.aligns,
)


def truncated(a, atol, rtol):
    """Return the SVD of what tolerances leave of a matrix: u, 1 / s (0: left out) and vh; or None.

    None where singular values that are left out are zeros up to rounding: there the derivative at
    constant rank is that of the matrix itself, without singular vectors.
    """
    atol, rtol = (np.asarray(values_of(0.0 if x is None else x))[..., None] for x in (atol, rtol))
    zero = max(a.shape[-2:]) * np.finfo(a.dtype).eps
    if not a.size or not (np.any(atol > 0.0) or np.any(rtol > zero)):
        return None
    s = np.linalg.svd(np.asarray(values_of(a)), compute_uv=False)
    first = s[..., :1]
    if not np.any((s <= atol + rtol * first) & (s > zero * first)):
        return None
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    plain = passive(s)
    kept = plain > atol + rtol * plain[..., :1]
    return u, np.where(kept, 1.0 / np.where(kept, s, 1.0), 0.0).astype(s.dtype), vh


def inverse_of(u, inverses, vh):
    """Return the pseudo-inverse of the matrix whose truncated SVD these are."""
    return mm(mh(vh) * inverses[..., None, :], mh(u))


@implements(
    np.linalg.pinv,
    name="linalg.pinv",
    samples=lambda rng: [
        ((rng.normal(size=(3, 2)),), {}),
        ((rng.normal(size=(2, 3)),), {"rcond": 1e-10}),
        ((rng.normal(size=(2, 3, 2)),), {"rtol": 1e-9}),
        ((np.diag([3.0, 2.0, 0.4]) + 0.1 * rng.normal(size=(3, 3)),), {"rcond": 0.3}),
    ],
)
def pinv(a, rcond=None, hermitian=False, *, rtol=np._NoValue):
    """Arguments as in `numpy.linalg.pinv`; hermitian=True means the mean of `a` and its transpose.

    Notes
    -----
    The derivative is that at constant rank; where the rank changes the pseudo-inverse jumps.
    Where a tolerance leaves out singular values that are not zero, it is that of the truncated SVD.
    """
    a = 0.5 * (a + mh(a)) if hermitian else a
    left = truncated(a, None, rtol if rcond is None and rtol is not np._NoValue else rcond)
    if left is not None:
        return inverse_of(*left)
    options = {} if rtol is np._NoValue else {"rtol": rtol}
    return pinv_op(a, rcond=rcond, **options)


# ---- solve: one matrix is factorised once, for the value and all derivatives. The factors are
# operands of the solution, computed by an operation whose outputs have no derivative: what depends
# on the matrix is the solution.


def _lu_solve(a, b, lu, pivots, trans):
    """Solve for the columns of `b`, with those of any block axes at once."""
    if b.ndim == 2:
        return lapack.lu_solve(lu, pivots, b, trans)
    return of_all_columns(lambda x: lapack.lu_solve(lu, pivots, x, trans), b)


def _lu_solve_vjp(g, needs, ans, a, b, lu, pivots, trans):
    b_bar = lu_solve_op(a, g, lu, pivots, trans=1 - trans)
    if not needs[0]:
        return None, b_bar, None, None
    return -(mm(ans, mt(b_bar)) if trans else mm(b_bar, mt(ans))), b_bar, None, None


def _lu_solve_jvp(tangents, ans, a, b, lu, pivots, trans):
    t_a, t_b, *_ = tangents
    if t_a is not None:  # a solution may have block axes that the matrix has not
        t_a = aligned(mt(t_a) if trans else t_a, a, ans.ndim)
    right = 0.0 if t_a is None else -mm(t_a, ans)
    return lu_solve_op(a, right if t_b is None else t_b + right, lu, pivots, trans=trans)


def _lu_solve_members(a):
    matrix, b, *_ = a.operands
    if not a.mapped[0]:
        return a(*a.operands)
    rank = 1 + max(a.ndim(0), a.ndim(1))  # the other one may have the axis of a map further in
    b = batching.with_rank(b, rank) if a.mapped[1] else b
    matrix = batching.with_rank(matrix, rank)
    return solve_op(mt(matrix) if a.static["trans"] else matrix, b)


lu_op = general(
    "linalg.lu",
    lapack.lu,
    nin=1,
    nout=2,
    constants=(0, 1),
    saves=(),
    vjp=None,
    pattern=patterns.nothing,
    plan=plans.factorises,
    batch=lambda a: (None, None),  # stacks are solved without
)
lu_solve_op = general(
    "linalg.lu_solve",
    _lu_solve,
    nin=4,
    objects=(2, 3),
    saves=(0, 2, 3, "ans"),
    vjp=_lu_solve_vjp,
    jvp=_lu_solve_jvp,
    pattern=patterns.solves,
    plan=plans.solves_by_factors,
    batch=_lu_solve_members,
    source=GILES,
)


def _solve_block(a, b, lead):
    """Solve; block axes of `b` become columns, so that each matrix is factorised once."""
    if not lead:
        return solve_op(a, b)
    columns = np.moveaxis(b, 0, -2)
    *batch, blocks, width = columns.shape
    x = solve_op(a, np.reshape(columns, (*batch, blocks * width)))
    return np.moveaxis(np.reshape(x, (*x.shape[:-1], blocks, width)), -2, 0)


def _solve_vjp(g, needs, ans, a, b):
    b_bar = _solve_block(mt(a), g, g.ndim - ans.ndim)
    return -mm(b_bar, mt(ans)) if needs[0] else None, b_bar


def _solve_jvp(tangents, ans, a, b):
    t_a, t_b = tangents
    right = 0.0 if t_a is None else -mm(aligned(t_a, a, ans.ndim), ans)
    if t_b is not None:
        right = aligned(t_b, b, ans.ndim) + right
    return _solve_block(a, right, right.ndim - ans.ndim if t_a is not None else t_b.ndim - b.ndim)


def _solve(a, b):
    if not a.size or not b.size:
        return np.linalg.solve(a, b)
    return lapack.lu_solve(*lapack.lu(a), b, False)


solve_op = general(
    "linalg.solve",
    _solve,
    nin=2,
    saves=(0, "ans"),
    vjp=_solve_vjp,
    jvp=_solve_jvp,
    pattern=patterns.solves,
    plan=plans.solves,
    source=GILES,
    batch=batching.aligns,
)


@implements(
    np.linalg.solve,
    layout="C",
    name="linalg.solve",
    samples=lambda rng: [
        ((regular(rng, 3, 3), rng.normal(size=3)), {}),
        ((regular(rng, 3, 3), rng.normal(size=(3, 2))), {}),
        ((regular(rng, 3, 3), rng.normal(size=(2, 3, 2))), {}),
        ((regular(rng, 2, 3, 3), rng.normal(size=3)), {}),
        ((regular(rng, 2, 3, 3), rng.normal(size=(3, 2))), {}),
        ((regular(rng, 2, 3, 3), rng.normal(size=(4, 1, 3, 2))), {}),
        ((regular(rng, 2, 1, 3, 3), rng.normal(size=(4, 3, 2))), {}),
        ((rng.normal(size=(0, 0)), rng.normal(size=(0, 2))), {}),
        ((regular(rng, 2, 2), rng.normal(size=(2, 0))), {}),
    ],
)
def solve(a, b):
    """Arguments as in `numpy.linalg.solve`; `b` is a vector only if it has one axis.

    Notes
    -----
    The cotangents are ``b_bar = solve(a.T, g)`` and ``a_bar = -b_bar @ x.T``. A single matrix is
    factorised once, for the value and all derivatives; a stack of matrices once in every sweep.
    """
    a, b = promoted("solve", a, b)
    check_square(a)
    if b.ndim == 0 or b.shape[-2:][0] != a.shape[-1]:
        raise ShapeError(f"solve: b of shape {b.shape} does not fit a of shape {a.shape}")
    columns = b if b.ndim > 1 else np.reshape(b, (-1, 1))
    if a.ndim > 2 or a.size == 0 or b.size == 0:
        x = solve_op(a, columns)
    else:
        x = _solve_single(a, columns)
    return x if b.ndim > 1 else np.reshape(x, x.shape[:-1])


def _solve_single(a, b):
    """Solve with one matrix; a stack in `b` becomes columns."""
    lu, pivots = lu_op(a)
    if b.ndim == 2:
        return lu_solve_op(a, b, lu, pivots, trans=0)
    columns = np.moveaxis(b, -2, 0)
    x = lu_solve_op(a, np.reshape(columns, (len(columns), -1)), lu, pivots, trans=0)
    return np.moveaxis(np.reshape(x, columns.shape), 0, -2)


# ---- Cholesky


def _half_lower(x):
    n = x.shape[-1]
    return x * (np.tri(n) - 0.5 * np.eye(n)).astype(x.dtype)


def _cholesky_vjp(g, ans, a):
    middle = _half_lower(mm(mt(ans), g))
    left = triangle_solve(ans, middle, lower=True, trans=1)
    s = mt(triangle_solve(conjugated(ans), mt(left), lower=True, trans=1))
    return 0.5 * (s + mh(s))


def _cholesky_jvp(t, ans, a):
    left = triangle_solve(ans, 0.5 * (t + mh(t)), lower=True)
    return mm(ans, _half_lower(mh(triangle_solve(ans, mh(left), lower=True))))


def _cholesky(a):
    return lapack.cholesky(a) if a.size else np.linalg.cholesky(a)


cholesky_op = general(
    "linalg.cholesky",
    _cholesky,
    nin=1,
    saves=("ans",),
    vjp=(_cholesky_vjp,),
    jvp=(_cholesky_jvp,),
    pattern=patterns.couples_lower,
    plan=plans.factorises_positive,
    source="I. Murray, Differentiation of the Cholesky decomposition, arXiv:1602.07527, 2016",
    batch=batching.aligns,
)


@implements(
    np.linalg.cholesky,
    layout="C",
    name="linalg.cholesky",
    samples=lambda rng: [
        ((positive(rng, 3, 3),), {}),
        ((positive(rng, 2, 2, 2),), {"upper": True}),
    ],
)
@of_symmetric
def cholesky(a, /, *, upper=False):
    """Arguments as in `numpy.linalg.cholesky`.

    Notes
    -----
    The derivative is along symmetric (Hermitian) directions, that of the factor of ``(a + a.T) /
    2``, of complex numbers ``(a + a.T.conj()) / 2``: the cotangent is such a matrix, and of a
    tangent only that part counts. The value comes from one triangle of `a`, as in NumPy.
    """
    check_square(a)
    return mh(cholesky_op(mh(a))) if upper else cholesky_op(a)


# ---- products of matrices


@implements(
    np.linalg.matrix_power,
    name="linalg.matrix_power",
    samples=lambda rng: [((regular(rng, 2, 3, 3), n), {}) for n in (1, 2, 3, 5, -2)],
)
def matrix_power(a, n):
    """Arguments as in `numpy.linalg.matrix_power`; the power 0 is a constant."""
    check_square(a)
    n = operator.index(n)
    if n == 0:
        return np.linalg.matrix_power(a.value, 0)
    base = inv(a) if n < 0 else a
    result = None
    for bit in bin(abs(n))[:1:-1]:
        if bit == "1":
            result = base if result is None else mm(result, base)
        n = abs(n) >> 1
        base = mm(base, base) if n else base
    return result


@implements(
    np.linalg.multi_dot,
    name="linalg.multi_dot",
    joins=True,
    samples=lambda rng: [
        (([rng.normal(size=(m, n)) for m, n in ((2, 5), (5, 3), (3, 4), (4, 1))],), {}),
        (([rng.normal(size=3), rng.normal(size=(3, 4)), rng.normal(size=4)],), {}),
    ],
)
def multi_dot(arrays, *, out=None):
    """Arguments as in `numpy.linalg.multi_dot`; out= must be a Variable.

    The products are bracketed where that costs least.
    """
    arrays = promoted("multi_dot", *arrays)
    first, *middle, last = arrays if len(arrays) > 1 else (None, None)
    if first is None or {first.ndim, last.ndim} - {1, 2} or any(x.ndim != 2 for x in middle):
        shapes = ", ".join(str(x.shape) for x in arrays)
        raise ShapeError(
            "multi_dot: two or more matrices are needed, of which the first and the last may be "
            f"vectors: got shapes {shapes}"
        )
    rows = [x.shape[0] for x in arrays]  # inner sizes only: a first vector is one row
    sizes = [rows[0] if first.ndim == 2 else 1, *rows[1:], last.shape[1] if last.ndim == 2 else 1]
    value = _bracketed(arrays, _best_cuts(sizes), 0, len(arrays) - 1)
    return stored("linalg.multi_dot", value, out)


def _best_cuts(sizes):
    """Return where to cut each run of matrices i..j.

    The dynamic programme of T. H. Cormen et al., "Introduction to Algorithms", 3rd ed., 15.2.
    """
    n = len(sizes) - 1
    cost, cuts = {(i, i): 0 for i in range(n)}, {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost[i, j], cuts[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
    return cuts


def _bracketed(arrays, cuts, i, j):
    if i == j:
        return arrays[i]
    k = cuts[i, j]
    return mm(_bracketed(arrays, cuts, i, k), _bracketed(arrays, cuts, k + 1, j))
