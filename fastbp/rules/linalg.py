"""Linear algebra: inverses, factorisations, determinants. Stacks of matrices everywhere, as in numpy.linalg.

In the comments X is the inverse, T a tangent, G a cotangent. Formulas without another source are from
M. B. Giles, "An extended collection of matrix derivative results for forward and reverse mode algorithmic
differentiation", Oxford University Computing Laboratory, report 08/01, 2008.
"""

import operator

import numpy as np
from numpy.linalg import LinAlgError
from scipy.linalg import lapack

from fastbp._core.graph import values_of
from fastbp.errors import ShapeError
from fastbp.rules.contraction import promoted
from fastbp.rules.products import aligned
from fastbp.rules.table import general, implements, refuse

GILES = "Giles 2008"
SlogdetResult = type(np.linalg.slogdet(np.eye(1)))


def _mt(x):
    return np.swapaxes(x, -1, -2)


def _square(x):
    """Raise what NumPy raises for anything but a stack of square matrices."""
    if x.ndim < 2:
        raise LinAlgError(f"{x.ndim}-dimensional array given. Array must be at least two-dimensional")
    if x.shape[-1] != x.shape[-2]:
        raise LinAlgError("Last 2 dimensions of the array must be square")
    return x


def of_symmetric(f):
    """Mark a function of symmetric matrices: its derivative is along symmetric directions."""
    f.symmetric = True
    return f


def _regular(rng, *shape):
    return rng.normal(size=shape) + 3.0 * np.eye(shape[-1])


def _positive(rng, *shape):
    x = rng.normal(size=shape)
    return x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1])


# ---- inverse

inv_op = general(
    "linalg.inv", np.linalg.inv, nin=1, saves=("ans",), source=GILES,
    vjp=(lambda g, ans, a: -(_mt(ans) @ g @ _mt(ans)),),
    jvp=(lambda t, ans, a: -(ans @ t @ ans),),
)


@implements(np.linalg.inv, name="linalg.inv", samples=lambda rng: [
    ((_regular(rng, 3, 3),), {}), ((_regular(rng, 2, 2, 2),), {}), ((rng.normal(size=(0, 0)),), {})])
def inv(a):
    """Arguments as in `numpy.linalg.inv`.

    Notes
    -----
    The cotangent is ``-X.T @ g @ X.T`` with the inverse X.
    """
    return inv_op(_square(a))


# ---- pseudo-inverse


def _pinv_vjp(g, ans, a, **options):
    right, left = _mt(ans), _mt(g)
    first = left @ ans @ right
    second = right @ ans @ left
    return first - a @ (ans @ first) + second - (second @ ans) @ a - right @ g @ right


def _pinv_jvp(t, ans, a, **options):
    right, left = _mt(ans), _mt(t)
    first = ans @ right @ left
    second = left @ right @ ans
    return first - (first @ a) @ ans + second - ans @ (a @ second) - ans @ t @ ans


pinv_op = general(
    "linalg.pinv", np.linalg.pinv, nin=1, saves=(0, "ans"), vjp=(_pinv_vjp,), jvp=(_pinv_jvp,),
    source="G. H. Golub and V. Pereyra, SIAM J. Numer. Anal. 10 (1973) 413-432, eq. 4.12",
)


@implements(np.linalg.pinv, name="linalg.pinv", samples=lambda rng: [
    ((rng.normal(size=(3, 2)),), {}), ((rng.normal(size=(2, 3)),), {"rcond": 1e-10}), ((rng.normal(size=(2, 3, 2)),), {"rtol": 1e-9})])
def pinv(a, rcond=None, hermitian=False, *, rtol=np._NoValue):
    """Arguments as in `numpy.linalg.pinv`.

    Notes
    -----
    The derivative is that at constant rank; where the rank changes the pseudo-inverse jumps. With ``hermitian=True``
    NumPy reads one triangle, but the derivative is taken as if it read the whole, symmetric matrix.
    """
    options = {key: value for key, value in (("rcond", rcond), ("rtol", rtol)) if value is not None and value is not np._NoValue}
    return pinv_op(a, hermitian=hermitian, **options)


# ---- solve. One matrix is factorised once for all derivatives: its LU factors are an operand of the solution, itself
# recorded, so that replaying a graph factorises again. Stacks are left to NumPy, which loops in C.


def _lu(a):
    """Factorise a matrix; return the factors with a last column of pivots. Float32 holds 2**24 of them exactly."""
    getrf = lapack.dgetrf if a.dtype == np.float64 else lapack.sgetrf
    lu, pivots, info = getrf(a)
    if info > 0:
        raise LinAlgError("Singular matrix")
    packed = np.empty((a.shape[0], a.shape[0] + 1), a.dtype, order="F")
    packed[:, :-1], packed[:, -1] = lu, pivots
    return packed


def _lu_solve(a, b, factors, trans):
    """Solve for the columns of `b`, and of any block of right-hand sides in front of it, at once."""
    getrs = lapack.dgetrs if b.dtype == np.float64 else lapack.sgetrs
    columns = np.moveaxis(b, -2, 0)
    flat = columns.reshape(len(columns), -1)
    x, _ = getrs(factors[:, :-1], factors[:, -1].astype(np.int32), flat, trans=trans)
    return np.moveaxis(x.reshape(columns.shape), 0, -2)


def _lu_solve_vjp(g, needs, ans, a, b, factors, trans):
    b_bar = lu_solve_op(a, g, factors, trans=1 - trans)
    if not needs[0]:
        return None, b_bar, None
    return -(ans @ _mt(b_bar) if trans else b_bar @ _mt(ans)), b_bar, None


def _lu_solve_jvp(tangents, ans, a, b, factors, trans):
    t_a, t_b, _ = tangents
    right = 0.0 if t_a is None else -((_mt(t_a) if trans else t_a) @ ans)
    return lu_solve_op(a, right if t_b is None else t_b + right, factors, trans=trans)


lu_op = general(  # its derivative is that of the solution, and zero here
    "linalg.lu", _lu, nin=1, saves=(), vjp=(lambda g, ans, a: None,),
    jvp=(lambda t, ans, a: np.zeros(t.shape[: t.ndim - 2] + ans.shape, t.dtype),),
)
lu_solve_op = general(
    "linalg.lu_solve", _lu_solve, nin=3, saves=(0, 2, "ans"), vjp=_lu_solve_vjp, jvp=_lu_solve_jvp, source=GILES)


def _solve_block(a, b, lead):
    """Solve; block axes of `b` become columns, so that each matrix is factorised once."""
    if not lead:
        return solve_op(a, b)
    columns = np.moveaxis(b, 0, -2)  # (..., n, K, k)
    x = solve_op(a, np.reshape(columns, (*columns.shape[:-2], columns.shape[-2] * columns.shape[-1])))
    return np.moveaxis(np.reshape(x, x.shape[:-1] + columns.shape[-2:]), -2, 0)


def _solve_vjp(g, needs, ans, a, b):
    b_bar = _solve_block(_mt(a), g, g.ndim - ans.ndim)
    return -(b_bar @ _mt(ans)) if needs[0] else None, b_bar


def _solve_jvp(tangents, ans, a, b):
    t_a, t_b = tangents
    right = 0.0 if t_a is None else -(aligned(t_a, a, ans.ndim) @ ans)
    if t_b is not None:
        right = aligned(t_b, b, ans.ndim) + right
    return _solve_block(a, right, right.ndim - ans.ndim if t_a is not None else t_b.ndim - b.ndim)


solve_op = general("linalg.solve", np.linalg.solve, nin=2, saves=(0, "ans"), vjp=_solve_vjp, jvp=_solve_jvp, source=GILES)


@implements(np.linalg.solve, name="linalg.solve", samples=lambda rng: [
    ((_regular(rng, 3, 3), rng.normal(size=3)), {}),
    ((_regular(rng, 3, 3), rng.normal(size=(3, 2))), {}),
    ((_regular(rng, 3, 3), rng.normal(size=(2, 3, 2))), {}),
    ((_regular(rng, 2, 3, 3), rng.normal(size=3)), {}),
    ((_regular(rng, 2, 3, 3), rng.normal(size=(3, 2))), {}),
    ((_regular(rng, 2, 3, 3), rng.normal(size=(4, 1, 3, 2))), {}),
    ((_regular(rng, 2, 1, 3, 3), rng.normal(size=(4, 3, 2))), {}),
    ((rng.normal(size=(0, 0)), rng.normal(size=(0, 2))), {}),
    ((_regular(rng, 2, 2), rng.normal(size=(2, 0))), {})])
def solve(a, b):
    """Arguments as in `numpy.linalg.solve`; `b` is a vector only if it has one axis.

    Notes
    -----
    The cotangents are ``b_bar = solve(a.T, g)`` and ``a_bar = -b_bar @ x.T``. A single matrix is factorised once, for
    the value and all derivatives; a stack of matrices, by NumPy, once in every sweep.
    """
    a, b = promoted("solve", a, b)
    _square(a)
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
    factors = lu_op(a)
    if b.ndim == 2:
        return lu_solve_op(a, b, factors, trans=0)
    columns = np.moveaxis(b, -2, 0)
    x = lu_solve_op(a, np.reshape(columns, (len(columns), -1)), factors, trans=0)
    return np.moveaxis(np.reshape(x, columns.shape), 0, -2)


# ---- determinants, by derivatives that hold at singular matrices: the cofactors, and their derivative
# (R. A. Horn and C. R. Johnson, "Matrix Analysis", 2nd ed., Cambridge 2013, section 0.8.2 and 0.8.10)


def _others(s):
    """Multiply all elements of the last axis but one, for each of them."""
    ones = np.ones_like(s[..., :1])
    before = np.cumprod(np.concatenate([ones, s[..., :-1]], -1), -1)
    after = np.cumprod(np.concatenate([ones, s[..., :0:-1]], -1), -1)[..., ::-1]
    return before * after


def _cofactors(a):
    """Return the matrix of cofactors, ``det(a) * inv(a).T`` extended to singular matrices.

    With ``a = U S V.T`` it is ``det(U) det(V) U cof(S) V.T``, where cof(S) holds the products of the other singular values.
    """
    if a.size == 0:
        return np.zeros_like(a)
    try:
        x = np.linalg.inv(a)
        condition = np.linalg.norm(a, 1, (-2, -1)) * np.linalg.norm(x, 1, (-2, -1))
        if np.all(condition < np.finfo(a.dtype).eps ** -0.25):
            return np.linalg.det(a)[..., None, None] * np.swapaxes(x, -1, -2)
    except LinAlgError:
        pass
    u, s, vt = np.linalg.svd(a)
    sign = np.rint(np.linalg.det(u) * np.linalg.det(vt))
    return (u * (sign[..., None] * _others(s))[..., None, :]) @ vt


def _cofactors_push(t, a):
    """Return the derivative of the cofactors along `t`, at singular matrices too.

    In the bases of singular vectors, with B for t: entry (i, j) is ``-B[j, i]`` times all singular values but two, and
    entry (i, i) the sum over k of ``B[k, k]`` times all but i and k.
    """
    if a.size == 0:
        return np.zeros(np.broadcast_shapes(t.shape, a.shape), a.dtype)
    u, s, vt = np.linalg.svd(a)
    sign = np.rint(np.linalg.det(u) * np.linalg.det(vt))
    n = a.shape[-1]
    diagonal = np.eye(n, dtype=bool)
    pairs = np.where(diagonal, 0.0, _others(np.where(diagonal, 1.0, s[..., None, :]))).astype(a.dtype)
    b = np.swapaxes(u, -1, -2) @ t @ np.swapaxes(vt, -1, -2)
    m = -np.swapaxes(b, -1, -2) * pairs
    m += diagonal * (pairs @ np.diagonal(b, axis1=-2, axis2=-1)[..., None])
    return sign[..., None, None] * (u @ m @ vt)


def _third(t, h, a):
    """Return the gradient of the second derivative of det along `t` and `h`; for regular matrices."""
    x = np.linalg.inv(a)
    xt, xh = x @ t, x @ h
    trace_t, trace_h, trace_th = (np.trace(y, axis1=-2, axis2=-1)[..., None, None] for y in (xt, xh, xt @ xh))
    terms = (trace_t * trace_h - trace_th) * x - trace_h * (xt @ x) - trace_t * (xh @ x) + (xt @ xh + xh @ xt) @ x
    return np.linalg.det(a)[..., None, None] * _mt(terms)


cofactors_push_op = general(
    "linalg.cofactors_push", _cofactors_push, nin=2, saves=(0, 1),
    vjp=(lambda g, ans, t, a: cofactors_push_op(g, a), lambda g, ans, t, a: _third(t, g, a)),
    jvp=(lambda s, ans, t, a: cofactors_push_op(s, a), lambda s, ans, t, a: _third(t, aligned(s, a, ans.ndim), a)),
)
cofactors_op = general(
    "linalg.cofactors", _cofactors, nin=1, saves=(0,),
    vjp=(lambda g, ans, a: cofactors_push_op(g, a),), jvp=(lambda t, ans, a: cofactors_push_op(t, a),),
)
det_op = general(
    "linalg.det", np.linalg.det, nin=1, saves=(0,), source=GILES,
    vjp=(lambda g, ans, a: g[..., None, None] * cofactors_op(a),),
    jvp=(lambda t, ans, a: np.sum(cofactors_op(a) * t, axis=(-2, -1)),),
)


@implements(np.linalg.det, name="linalg.det", samples=lambda rng: [
    ((rng.normal(size=(3, 3)),), {}), ((rng.normal(size=(2, 2, 2)),), {}), ((rng.normal(size=(1, 1)),), {}),
    ((np.outer([1.0, 2.0, 3.0], [1.0, -1.0, 2.0]) + np.diag([1.0, 0.0, 0.0]),), {})])
def det(a):
    """Arguments as in `numpy.linalg.det`.

    Notes
    -----
    The cotangent is g times the matrix of cofactors: ``g * det(a) * inv(a).T``, and right at singular matrices too,
    there from the singular values. So is the second derivative; the third needs a regular matrix.
    """
    return det_op(_square(a))


def _slogdet(a):
    sign, logabsdet = np.linalg.slogdet(a)
    return np.stack([logabsdet, sign], -1)


# One array of two numbers a matrix; the second, the sign, is constant.
slogdet_op = general(
    "linalg.slogdet", _slogdet, nin=1, saves=(0,), source=GILES,
    vjp=(lambda g, ans, a: g[..., 0, None, None] * _mt(np.linalg.inv(a)),),
    jvp=(lambda t, ans, a: np.sum(_mt(np.linalg.inv(a)) * t, axis=(-2, -1))[..., None] * np.array([1, 0], t.dtype),),
)


@implements(np.linalg.slogdet, name="linalg.slogdet", samples=lambda rng: [
    ((_regular(rng, 3, 3),), {}), ((-_regular(rng, 2, 3, 3),), {})])
def slogdet(a):
    """Arguments as in `numpy.linalg.slogdet`; the sign is a plain array, a constant.

    Notes
    -----
    The cotangent is ``g * inv(a).T``; at a singular matrix, where the value is -inf, it raises `LinAlgError`.
    """
    both = slogdet_op(_square(a))
    return SlogdetResult(values_of(both)[..., 1], both[..., 0])


# ---- Cholesky


def _half_lower(x):
    n = x.shape[-1]
    return x * (np.tri(n) - 0.5 * np.eye(n)).astype(x.dtype)


def _cholesky_vjp(g, ans, a):
    x = np.linalg.inv(ans)
    s = _mt(x) @ _half_lower(_mt(ans) @ g) @ x
    return 0.5 * (s + _mt(s))


def _cholesky_jvp(t, ans, a):
    x = np.linalg.inv(ans)
    return ans @ _half_lower(x @ (0.5 * (t + _mt(t))) @ _mt(x))


cholesky_op = general(
    "linalg.cholesky", np.linalg.cholesky, nin=1, saves=("ans",), vjp=(_cholesky_vjp,), jvp=(_cholesky_jvp,),
    source="I. Murray, Differentiation of the Cholesky decomposition, arXiv:1602.07527, 2016",
)


@implements(np.linalg.cholesky, name="linalg.cholesky", samples=lambda rng: [
    ((_positive(rng, 3, 3),), {}), ((_positive(rng, 2, 2, 2),), {"upper": True})])
@of_symmetric
def cholesky(a, /, *, upper=False):
    """Arguments as in `numpy.linalg.cholesky`.

    Notes
    -----
    The derivative is that of the factor of the symmetric part ``(a + a.T) / 2``: the cotangent is a symmetric matrix,
    and of a tangent only the symmetric part counts. (The value reads one triangle only, as in NumPy.)
    """
    _square(a)
    return _mt(cholesky_op(_mt(a))) if upper else cholesky_op(a)


# ---- products of matrices


@implements(np.linalg.matrix_power, name="linalg.matrix_power", samples=lambda rng: [
    ((_regular(rng, 2, 3, 3), n), {}) for n in (1, 2, 3, 5, -2)])
def matrix_power(a, n):
    """Arguments as in `numpy.linalg.matrix_power`; the power 0 is a constant."""
    _square(a)
    n = operator.index(n)
    if n == 0:
        return np.linalg.matrix_power(a.value, 0)
    base = inv(a) if n < 0 else a
    result = None
    for bit in bin(abs(n))[:1:-1]:
        if bit == "1":
            result = base if result is None else result @ base
        n = abs(n) >> 1
        base = base @ base if n else base
    return +result if result is a else result


@implements(np.linalg.multi_dot, name="linalg.multi_dot", samples=lambda rng: [
    (([rng.normal(size=(m, n)) for m, n in ((2, 5), (5, 3), (3, 4), (4, 1))],), {}),
    (([rng.normal(size=3), rng.normal(size=(3, 4)), rng.normal(size=4)],), {})])
def multi_dot(arrays, *, out=None):
    """Arguments as in `numpy.linalg.multi_dot`; out= is refused. The order of products is the cheapest one."""
    refuse("linalg.multi_dot", out=(out, None))
    arrays = promoted("multi_dot", *arrays)
    if len(arrays) < 2 or any(x.ndim != 2 for x in arrays[1:-1]) or {arrays[0].ndim, arrays[-1].ndim} - {1, 2}:
        shapes = ", ".join(str(x.shape) for x in arrays)
        raise ShapeError(f"multi_dot: matrices (or vectors, first and last) are needed, at least two: got shapes {shapes}")
    sizes = [arrays[0].shape[0] if arrays[0].ndim == 2 else 1, *(x.shape[-1] if k < len(arrays) - 1 or x.ndim == 2 else 1
             for k, x in enumerate(arrays))]
    return _bracketed(arrays, _best_cuts(sizes), 0, len(arrays) - 1)


def _best_cuts(sizes):
    """Return where to cut each run of matrices i..j (T. H. Cormen et al., Introduction to Algorithms, section 15.2)."""
    n = len(sizes) - 1
    cost, cuts = {(i, i): 0 for i in range(n)}, {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost[i, j], cuts[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j))
    return cuts


def _bracketed(arrays, cuts, i, j):
    if i == j:
        return arrays[i]
    k = cuts[i, j]
    return _bracketed(arrays, cuts, i, k) @ _bracketed(arrays, cuts, k + 1, j)
