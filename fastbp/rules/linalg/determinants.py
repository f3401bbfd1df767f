"""Determinants, by derivatives that hold at singular matrices: cofactors, and their derivative.

On cofactors: R. A. Horn and C. R. Johnson, "Matrix Analysis", 2nd ed., Cambridge University Press
2013, section 0.8.
"""

import itertools

import numpy as np
from numpy.linalg import LinAlgError

from fastbp.rules import batching, patterns
from fastbp.rules.linalg import lapack, plans
from fastbp.rules.linalg.decompositions import check_square, regular
from fastbp.rules.linalg.triangles import GILES
from fastbp.rules.numpy.products import aligned, mm, mt
from fastbp.rules.table import general, implements

SlogdetResult = type(np.linalg.slogdet(np.eye(1)))


def _others(s):
    """Multiply all elements of the last axis but one, for each of them."""
    ones = np.ones_like(s[..., :1])
    before = np.cumprod(np.concatenate([ones, s[..., :-1]], -1), -1)
    after = np.cumprod(np.concatenate([ones, s[..., :0:-1]], -1), -1)[..., ::-1]
    return before * after


# The factors are kept for the way back.


def _slogdet(a):
    if not a.size:
        return np.linalg.slogdet(a), None
    factors = lapack.lu(a, loose=True)
    return lapack.sign_and_log(*factors), factors


def _det(a):
    if not a.size:
        return np.linalg.det(a), None
    factors = lapack.lu(a, loose=True)
    return lapack.determinant(*factors), factors


def _inverse(a, factors):
    return np.linalg.inv(a) if factors is None else lapack.inverse(*factors)


def _holds(a, x):
    """Return whether the inverse `x` has enough digits for formulas that go through it."""
    condition = np.linalg.norm(a, 1, (-2, -1)) * np.linalg.norm(x, 1, (-2, -1))
    return not np.any(condition > np.finfo(a.dtype).eps ** -0.25)


def _cofactors(a, factors=None, det=None):
    """Return the matrix of cofactors, ``det(a) * inv(a).T`` extended to singular matrices.

    With ``a = U S V.H`` it is ``det(U) det(V.H) conj(U) cof(S) V.T``, as the cofactors of a product
    are the product of the cofactors; cof(S) holds the products of all other singular values.
    """
    if a.shape[-1] <= plans.SMALL:
        return lapack.cofactors(a)
    try:
        x = _inverse(a, factors)
        if _holds(a, x):
            det = np.linalg.det(a) if det is None else det
            return det[..., None, None] * np.swapaxes(x, -1, -2)
    except LinAlgError:
        pass
    sign, u, s, vh = _singular(a)
    return mm(u.conj() * (sign[..., None] * _others(s))[..., None, :], vh.conj())


def _singular(a):
    """Return the determinant of both bases of singular vectors, and the decomposition."""
    finite = np.isfinite(a).all((-2, -1), keepdims=True)  # LAPACK may never end, of infinities
    u, s, vh = np.linalg.svd(np.where(finite, a, 0.0))
    s = np.where(finite[..., 0], s, np.nan)
    sign = np.linalg.det(u) * np.linalg.det(vh)
    return sign if a.dtype.kind == "c" else np.rint(sign), u, s, vh


def _cofactors_push(t, a):
    """Return the derivative of the cofactors along `t`, at singular matrices too.

    In the bases of singular vectors, with B for `t`: entry (i, j) is ``-B[j, i]`` times all
    singular values but i and j, entry (i, i) the sum over k of ``B[k, k]`` times all but i and k.
    """
    if a.shape[-1] <= 1:
        return np.zeros(np.broadcast_shapes(t.shape, a.shape), a.dtype)
    sign, u, s, vh = _singular(a)
    u, vh = u.conj(), vh.conj()
    diagonal = np.eye(a.shape[-1], dtype=a.dtype)
    pairs = (1 - diagonal) * _others(np.where(diagonal == 1, diagonal, s[..., None, :]))
    b = mm(mm(np.swapaxes(u, -1, -2), t), np.swapaxes(vh, -1, -2))
    m = -np.swapaxes(b, -1, -2) * pairs
    m += diagonal * mm(pairs, np.diagonal(b, axis1=-2, axis2=-1)[..., None])
    return sign[..., None, None] * mm(mm(u, m), vh)


def _is_regular(a):
    """Return whether there is an inverse that formulas may go through."""
    try:
        return _holds(a, np.linalg.inv(a))
    except LinAlgError:
        return False


def _third(t, h, a):
    """Return the gradient of det's second derivative along `t` and `h`, at singular matrices too.

    In the bases of singular vectors the determinant is linear in each row: a sum over the rows i
    that come from `t`, j from `h`, and k from what moves, times all other singular values.
    """
    if a.shape[-1] <= 2 or _is_regular(a):
        return _at_regular((t, h), a)
    sign, u, s, vh = _singular(a)
    u, vh = u.conj(), vh.conj()
    diagonal = np.eye(a.shape[-1], dtype=a.dtype)
    t, h = (mm(mm(np.swapaxes(u, -1, -2), x), np.swapaxes(vh, -1, -2)) for x in (t, h))
    of_t, of_h = (np.diagonal(x, axis1=-2, axis2=-1) for x in (t, h))
    m = 0.0
    for i in range(a.shape[-1]):
        others = np.where(np.arange(a.shape[-1]) == i, 1.0, s)
        left = (1 - diagonal) * _others(np.where(diagonal == 1, diagonal, others[..., None, :]))
        left[..., i, :] = left[..., :, i] = 0.0
        fixed = of_t[..., i, None] * of_h - t[..., i, :] * h[..., :, i]
        m = m + diagonal * mm(left, fixed[..., None])
        for x, y, of_x in ((t, h, of_t), (h, t, of_h)):
            turned = x[..., i, :, None] * y[..., None, :, i]
            m = m + left * (turned - of_x[..., i, None, None] * np.swapaxes(y, -1, -2))
    return sign[..., None, None] * mm(mm(u, m), vh)


def _at_regular(directions, a):
    """Return the gradient of det's derivative along any directions, at regular matrices.

    The derivative is the determinant times the sum over permutations of the directions, with their
    signs, of traces of the products ``inv(a) @ t`` over the cycles. Of the cycle that the moving
    matrix is in there is the product instead of the trace.
    """
    if len(directions) >= a.shape[-1]:  # of a polynomial of this degree
        return np.zeros(np.broadcast_shapes(a.shape, *[t.shape for t in directions]), a.dtype)
    x = np.linalg.inv(a)
    scaled = [mm(x, t) for t in directions]
    total = 0.0
    for count in range(len(scaled) + 1):
        for cycle in itertools.permutations(range(len(scaled)), count):
            rest = [t for k, t in enumerate(scaled) if k not in cycle]
            product = x
            for k in reversed(cycle):
                product = mm(scaled[k], product)
            total = total + (-1.0) ** count * _permuted(rest) * product
    return np.linalg.det(a)[..., None, None] * mt(total)


def _permuted(products):
    """Return the sum over permutations of the products of traces over cycles, as (..., 1, 1)."""
    if not products:
        return 1.0
    *rest, last = products
    total = 0.0
    for count in range(len(rest) + 1):
        for cycle in itertools.permutations(range(len(rest)), count):
            product = last
            for k in reversed(cycle):
                product = mm(rest[k], product)
            others = [x for k, x in enumerate(rest) if k not in cycle]
            trace = np.einsum("...ii->...", product)[..., None, None]
            total = total + (-1.0) ** count * _permuted(others) * trace
    return total


third_op = general(
    "linalg.cofactors_push_again",
    _third,
    nin=3,
    saves=(0, 1, 2),
    vjp=(
        lambda g, ans, t, h, a: third_op(g, h, a),
        lambda g, ans, t, h, a: third_op(t, g, a),
        lambda g, ans, t, h, a: _at_regular((t, h, g), a),
    ),
    jvp=(
        lambda s, ans, t, h, a: third_op(aligned(s, t, ans.ndim), h, a),
        lambda s, ans, t, h, a: third_op(t, aligned(s, h, ans.ndim), a),
        lambda s, ans, t, h, a: _at_regular((t, h, aligned(s, a, ans.ndim)), a),
    ),
    pattern=patterns.couples,
    batch=batching.aligns,
)


cofactors_push_op = general(
    "linalg.cofactors_push",
    _cofactors_push,
    nin=2,
    saves=(0, 1),
    vjp=(lambda g, ans, t, a: cofactors_push_op(g, a), lambda g, ans, t, a: third_op(t, g, a)),
    jvp=(
        lambda s, ans, t, a: cofactors_push_op(s, a),
        lambda s, ans, t, a: third_op(t, aligned(s, a, ans.ndim), a),
    ),
    pattern=patterns.couples,
    batch=batching.aligns,
)
cofactors_op = general(
    "linalg.cofactors",
    _cofactors,
    nin=1,
    saves=(0,),
    vjp=(lambda g, ans, a: cofactors_push_op(g, a),),
    jvp=(lambda t, ans, a: cofactors_push_op(t, a),),
    pattern=patterns.couples,
    plan=plans.takes_cofactors,
    batch=batching.aligns,
)


def _slopes(det, a, factors):
    return cofactors_op(a) if factors is None else _cofactors(a, factors, det)


det_op = general(
    "linalg.det",
    _det,
    nin=1,
    saves=(0, "ans"),
    residuals=True,
    source=GILES,
    vjp=(lambda g, ans, a, residuals: g[..., None, None] * _slopes(ans, a, residuals),),
    jvp=(lambda t, ans, a, residuals: np.sum(_slopes(ans, a, residuals) * t, axis=(-2, -1)),),
    pattern=patterns.reduces_matrices,
    plan=plans.takes_determinants,
    batch=batching.aligns,
)


@implements(
    np.linalg.det,
    name="linalg.det",
    samples=lambda rng: [
        ((rng.normal(size=(3, 3)),), {}),
        ((rng.normal(size=(2, 2, 2)),), {}),
        ((rng.normal(size=(1, 1)),), {}),
        ((np.outer([1.0, 2.0, 3.0], [1.0, -1.0, 2.0]) + np.diag([1.0, 0.0, 0.0]),), {}),
    ],
)
def det(a):
    """Arguments as in `numpy.linalg.det`.

    Notes
    -----
    The cotangent is g times the matrix of cofactors: ``g * det(a) * inv(a).T``, and right at
    singular matrices too, there from the singular values. So are the second and third derivative;
    further ones need a regular matrix, and raise `LinAlgError` at others. A single matrix is
    factorised once, for the value and first derivatives.
    """
    return det_op(check_square(a))


def _slogdet_push(t, a, factors):
    return np.sum(mt(_inverse(a, factors)) * t, axis=(-2, -1))


slogdet_op = general(
    "linalg.slogdet",
    _slogdet,
    nin=1,
    nout=2,
    constants=(0,),  # the sign
    saves=(0,),
    residuals=True,
    vjp=(lambda g, ans, a, residuals: g[1][..., None, None] * mt(_inverse(a, residuals)),),
    jvp=(lambda t, ans, a, residuals: (None, _slogdet_push(t, a, residuals)),),
    pattern=(patterns.nothing, patterns.reduces_matrices),
    plan=plans.takes_signs_and_logs,
    source=GILES,
    batch=batching.aligns,
)


# With the determinant z the outputs are z / |z| and log |z|: their changes are the imaginary and
# the real part of that of log z, which is holomorphic.


def _complex_slogdet_vjp(g, ans, a, residuals):
    of_sign, of_log = g
    slope = 0.0 if of_log is None else of_log
    if of_sign is not None:
        slope = slope + 1j * np.imag(of_sign * ans[0])
    return np.expand_dims(slope, (-2, -1)) * mt(_inverse(a, residuals))


def _complex_slogdet_jvp(t, ans, a, residuals):
    change = _slogdet_push(t, a, residuals)
    return ans[0] * (1j * np.imag(change)), np.real(change)


complex_slogdet_op = general(
    "linalg.complex_slogdet",
    _slogdet,
    nin=1,
    nout=2,
    residuals=True,
    saves=(0, ("ans", 0)),
    vjp=(_complex_slogdet_vjp,),
    jvp=(_complex_slogdet_jvp,),
    pattern=(patterns.reduces_matrices, patterns.reduces_matrices),
    plan=plans.takes_signs_and_logs,
    source=GILES,
    samples=lambda rng: [((regular(rng, 2, 3, 3),), {})],
    batch=batching.aligns,
)


@implements(
    np.linalg.slogdet,
    name="linalg.slogdet",
    samples=lambda rng: [((regular(rng, 3, 3),), {}), ((-regular(rng, 2, 3, 3),), {})],
)
def slogdet(a):
    """Arguments as in `numpy.linalg.slogdet`; a real sign is a plain array, a constant.

    Notes
    -----
    The cotangent is ``g * inv(a).T``; at a singular matrix, where the value is -inf, computing it
    raises `LinAlgError`. The factors of a single matrix are kept for it.
    """
    op = complex_slogdet_op if a.dtype.kind == "c" else slogdet_op
    return SlogdetResult(*op(check_square(a)))
