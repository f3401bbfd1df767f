"""Determinants, by derivatives that hold at singular matrices: cofactors, and their derivative.

On cofactors: R. A. Horn and C. R. Johnson, "Matrix Analysis", 2nd ed., Cambridge University Press
2013, section 0.8.
"""

import numpy as np
from numpy.linalg import LinAlgError

from fastbp.rules import patterns
from fastbp.rules.linalg.decompositions import GILES, check_square, regular
from fastbp.rules.numpy.products import aligned, mt
from fastbp.rules.table import general, implements

SlogdetResult = type(np.linalg.slogdet(np.eye(1)))


def _others(s):
    """Multiply all elements of the last axis but one, for each of them."""
    ones = np.ones_like(s[..., :1])
    before = np.cumprod(np.concatenate([ones, s[..., :-1]], -1), -1)
    after = np.cumprod(np.concatenate([ones, s[..., :0:-1]], -1), -1)[..., ::-1]
    return before * after


def _cofactors(a):
    """Return the matrix of cofactors, ``det(a) * inv(a).T`` extended to singular matrices.

    With ``a = U S V.T`` it is ``det(U) det(V) U cof(S) V.T``, as the cofactors of a product are
    the product of the cofactors; cof(S) holds the products of all other singular values.
    """
    if a.shape[-1] <= 1:
        return np.ones_like(a)
    try:
        x = np.linalg.inv(a)
        condition = np.linalg.norm(a, 1, (-2, -1)) * np.linalg.norm(x, 1, (-2, -1))
        if not np.any(condition > np.finfo(a.dtype).eps ** -0.25):
            return np.linalg.det(a)[..., None, None] * np.swapaxes(x, -1, -2)
    except LinAlgError:
        pass
    u, s, vt = np.linalg.svd(a)
    sign = np.rint(np.linalg.det(u) * np.linalg.det(vt))
    return (u * (sign[..., None] * _others(s))[..., None, :]) @ vt


def _cofactors_push(t, a):
    """Return the derivative of the cofactors along `t`, at singular matrices too.

    In the bases of singular vectors, with B for `t`: entry (i, j) is ``-B[j, i]`` times all
    singular values but i and j, entry (i, i) the sum over k of ``B[k, k]`` times all but i and k.
    """
    if a.shape[-1] <= 1:
        return np.zeros(np.broadcast_shapes(t.shape, a.shape), a.dtype)
    u, s, vt = np.linalg.svd(a)
    sign = np.rint(np.linalg.det(u) * np.linalg.det(vt))
    diagonal = np.eye(a.shape[-1], dtype=a.dtype)
    pairs = (1 - diagonal) * _others(np.where(diagonal == 1, diagonal, s[..., None, :]))
    b = np.swapaxes(u, -1, -2) @ t @ np.swapaxes(vt, -1, -2)
    m = -np.swapaxes(b, -1, -2) * pairs
    m += diagonal * (pairs @ np.diagonal(b, axis1=-2, axis2=-1)[..., None])
    return sign[..., None, None] * (u @ m @ vt)


def _third(t, h, a):
    """Return the gradient of det's second derivative along `t` and `h`, at regular matrices."""
    x = np.linalg.inv(a)
    xt, xh = x @ t, x @ h
    trace_t, trace_h, trace_th = (
        np.einsum("...ii->...", y)[..., None, None] for y in (xt, xh, xt @ xh)
    )
    terms = (
        (trace_t * trace_h - trace_th) * x
        - trace_h * (xt @ x)
        - trace_t * (xh @ x)
        + (xt @ xh + xh @ xt) @ x
    )
    return np.linalg.det(a)[..., None, None] * mt(terms)


cofactors_push_op = general(
    "linalg.cofactors_push",
    _cofactors_push,
    nin=2,
    saves=(0, 1),
    vjp=(lambda g, ans, t, a: cofactors_push_op(g, a), lambda g, ans, t, a: _third(t, g, a)),
    jvp=(
        lambda s, ans, t, a: cofactors_push_op(s, a),
        lambda s, ans, t, a: _third(t, aligned(s, a, ans.ndim), a),
    ),
    pattern=patterns.couples,
)
cofactors_op = general(
    "linalg.cofactors",
    _cofactors,
    nin=1,
    saves=(0,),
    vjp=(lambda g, ans, a: cofactors_push_op(g, a),),
    jvp=(lambda t, ans, a: cofactors_push_op(t, a),),
    pattern=patterns.couples,
)
det_op = general(
    "linalg.det",
    np.linalg.det,
    nin=1,
    saves=(0,),
    source=GILES,
    vjp=(lambda g, ans, a: g[..., None, None] * cofactors_op(a),),
    jvp=(lambda t, ans, a: np.sum(cofactors_op(a) * t, axis=(-2, -1)),),
    pattern=patterns.reduces_matrices,
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
    singular matrices too, there from the singular values. So is the second derivative; the third
    and further ones need a regular matrix, and raise `LinAlgError` at others.
    """
    return det_op(check_square(a))


slogdet_op = general(
    "linalg.slogdet",
    np.linalg.slogdet,
    nin=1,
    nout=2,
    constants=(0,),  # the sign
    saves=(0,),
    vjp=(lambda g, ans, a: g[1][..., None, None] * mt(np.linalg.inv(a)),),
    jvp=(lambda t, ans, a: (None, np.sum(mt(np.linalg.inv(a)) * t, axis=(-2, -1))),),
    pattern=(patterns.nothing, patterns.reduces_matrices),
    source=GILES,
)


@implements(
    np.linalg.slogdet,
    name="linalg.slogdet",
    samples=lambda rng: [((regular(rng, 3, 3),), {}), ((-regular(rng, 2, 3, 3),), {})],
)
def slogdet(a):
    """Arguments as in `numpy.linalg.slogdet`; the sign is a plain array, a constant.

    Notes
    -----
    The cotangent is ``g * inv(a).T``; at a singular matrix, where the value is -inf, computing it
    raises `LinAlgError`.
    """
    return SlogdetResult(*slogdet_op(check_square(a)))
