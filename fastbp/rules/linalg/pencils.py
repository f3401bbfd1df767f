"""`scipy.linalg`: eigenvalues, right and left eigenvectors, of matrices and of pencils.

A pencil of two matrices has vectors with ``a @ v = w * b @ v`` and, on the left,
``u.H @ a = w * u.H @ b``. Those of a matrix are as NumPy's (`eigen`): of length 1, with their
largest component real. Those of a pencil have length 1 alone, so complex ones are fixed up to a
phase.

An eigenvalue of a pencil is the ratio of the diagonals ``u.H @ a @ v`` and ``u.H @ b @ v``, which
the formulas are written in: so vectors have derivatives beside infinite eigenvalues, too. With
them, c and d, ``dv[i]`` has the part ``u[k].H @ (d[i] da - c[i] db) @ v[i] / (c[i] d[k] - d[i]
c[k])`` of ``v[k]``: G. W. Stewart and J. Sun, Matrix Perturbation Theory, 1990, chapter VI.
"""

import numpy as np
import scipy.linalg

from fastbp._core.graph import passive, values_of
from fastbp.errors import DegenerateError, NoRuleError, ShapeError
from fastbp.rules import batching, patterns
from fastbp.rules.linalg.eigen import DEGENERATE, eig_op
from fastbp.rules.linalg.free import phases_of
from fastbp.rules.linalg.gaps import (
    check_apart,
    check_phases,
    from_gaps,
    lost_where,
    with_diagonal,
)
from fastbp.rules.linalg.of_scipy import of_finite, of_scipy, square, stacked
from fastbp.rules.numpy.products import aligned, mh, mm, mt
from fastbp.rules.numpy.structural import conjugated
from fastbp.rules.table import general

# ---- of a matrix


@of_finite
def _eig(a):
    w, v = scipy.linalg.eig(a, check_finite=False)
    return (w.real if v.dtype.kind == "f" else w), v


def _eig_of_any(a):
    """Return real parts where all are real: NumPy, from 2.5 on, returns complex ones always."""
    if a.ndim == 2:
        return _eig(a)
    w, v = np.linalg.eig(a)
    is_real = a.dtype.kind != "c" and not np.any(np.imag(w))
    return (w.real, v.real) if is_real else (w, v)


any_op = general(
    "linalg.eig_of_scipy",
    _eig_of_any,
    nin=1,
    nout=2,
    saves=(("ans", 0), ("ans", 1)),
    vjp=eig_op.vjp,
    jvp=eig_op.jvp,
    pattern=eig_op.pattern,
    source=eig_op.info["source"],
    batch=batching.aligns,
)


@of_finite
def _sides(*matrices):
    """Return eigenvalues, left and right vectors, real ones where all are."""
    w, u, v = scipy.linalg.eig(*matrices, left=True, check_finite=False)
    return (w.real if v.dtype.kind == "f" else w), u, v


def _sides_vjp(g, ans, a):
    """Pull back; left vectors are the right ones of the adjoint."""
    of_w, of_u, of_v = g
    w, u, v = ans
    (vjp,) = eig_op.vjp
    found = 0.0
    if of_w is not None or of_v is not None:
        found = vjp((of_w, of_v), (w, v), a)
    return found if of_u is None else found + mh(vjp((None, of_u), (conjugated(w), u), a))


def _sides_jvp(t, ans, a):
    w, u, v = ans
    (jvp,) = eig_op.jvp
    dw, dv = jvp(t, (w, v), a)
    return dw, jvp(mh(t), (conjugated(w), u), a)[1], dv


sides_op = general(
    "linalg.eig_of_both_sides",
    stacked(_sides, 2),
    nin=1,
    nout=3,
    saves=(("ans", 0), ("ans", 1), ("ans", 2)),
    vjp=(_sides_vjp,),
    jvp=(_sides_jvp,),
    pattern=(patterns.couples_into_vectors, patterns.couples, patterns.couples),
    source=eig_op.info["source"],
    batch=batching.aligns,
)


# ---- of a pencil


def _scaled(x):
    size = np.max(np.abs(x), -1, keepdims=True, initial=0.0)
    return x / np.where(size == 0.0, 1.0, size)


def _crossed(c, d):
    return c[..., None, :] * d[..., :, None] - d[..., None, :] * c[..., :, None]


def _equal(c, d):
    """Return which pairs of eigenvalues are equal to rounding, as `gaps.ties` does."""
    c, d = _scaled(passive(c)), _scaled(passive(d))
    size = np.hypot(np.abs(c), np.abs(d))
    rounding = size.shape[-1] * np.finfo(size.dtype).eps * size[..., None, :] * size[..., :, None]
    return np.abs(_crossed(c, d)) <= rounding


def _diagonals(a, b, u, v):
    return tuple([np.sum(conjugated(u) * mm(x, v), -2) for x in (a, b)])


def _move(t_a, t_b, c, d, u, v):
    """Return how the vectors `v` move, without turning by a phase."""
    tied = _equal(c, d)
    gaps = lost_where(tied, from_gaps(_crossed(c, d), tied))
    dv = mm(v, mm(mh(u), t_a * d[..., None, :] - t_b * c[..., None, :]) * gaps)
    return dv - v * np.sum(conjugated(v) * dv, -2, keepdims=True)


def _move_back(g, is_real, c, d, u, v):
    """Transpose `_move`: return cotangents of the two matrices."""
    along = np.sum(v * g, -2)
    turns = passive(along)
    turning = _turning(v, is_real)
    if turning is not None:
        turns = np.where(turning, turns, 0.0)
    check_phases("scipy.linalg.eig", "eigenvectors", turns, g)
    tied = _equal(c, d)
    turn = mm(mt(v), g - conjugated(v) * along[..., None, :])
    check_apart("scipy.linalg.eig", "eigenvalues", tied, turn)
    turn = turn * from_gaps(_crossed(c, d), tied)
    return _outer(u, turn * d[..., None, :], v), -_outer(u, turn * c[..., None, :], v)


def _outer(u, inner, v):
    return mm(conjugated(u), mm(inner, mt(v)))


def _finite(of_w, w):
    """Return eigenvalues, their cotangents, and 0 for infinite ones, which have no derivative."""
    finite = np.isfinite(passive(w))
    asked = np.logical_and(passive(of_w) != 0.0, np.logical_not(finite))
    if values_of(np.any(asked)):
        raise DegenerateError(
            "scipy.linalg.eig: an eigenvalue is infinite, or none, and has no derivative: only "
            "others have, w[numpy.isfinite(w)]"
        )
    return np.where(finite, of_w, 0.0), np.where(finite, w, 0.0)


def _pencil_vjp(g, needs, ans, a, b):
    of_w, of_u, of_v = g
    w, u, v = ans
    c, d = _diagonals(a, b, u, v)
    is_real = a.dtype.kind == "f"
    parts = []
    if of_w is not None:
        of_w, w = _finite(of_w, w)
        of_c = of_w / np.where(np.isfinite(passive(ans[0])), d, 1.0)
        parts.append((_outer(u, with_diagonal(of_c), v), -_outer(u, with_diagonal(of_c * w), v)))
    if of_v is not None:
        parts.append(_move_back(of_v, is_real, c, d, u, v))
    if of_u is not None:
        back = _move_back(of_u, is_real, conjugated(c), conjugated(d), v, u)
        parts.append(tuple([mh(x) for x in back]))
    return tuple(
        [sum(x) if need else None for x, need in zip(zip(*parts, strict=True), needs, strict=True)]
    )


def _pencil_jvp(tangents, ans, a, b):
    w, u, v = ans
    t_a, t_b = [
        np.zeros(x.shape, x.dtype) if t is None else aligned(t, x, v.ndim)
        for t, x in zip(tangents, (a, b), strict=True)
    ]
    c, d = _diagonals(a, b, u, v)
    right = mm(t_a, v), mm(t_b, v)
    left = mm(mh(t_a), u), mm(mh(t_b), u)
    finite = np.isfinite(passive(w))
    dw = np.sum(conjugated(u) * (right[0] - right[1] * np.where(finite, w, 0.0)[..., None, :]), -2)
    dw = dw / np.where(finite, d, np.nan)
    du = _move(*left, conjugated(c), conjugated(d), v, u)
    return dw, du, _move(*right, c, d, u, v)


def _turning(v, is_real):
    """Return which vectors nothing fixes but their length: the real ones of real matrices are."""
    return np.any(np.imag(passive(v)) != 0.0, -2) if is_real and v.dtype.kind == "c" else None


def _pencil_free(ans, a, b):
    _, u, v = ans
    is_real = a.dtype.kind == "f"
    of_u, of_v = (phases_of(x, _turning(x, is_real), seed) for seed, x in ((20, u), (21, v)))
    return None if of_u is of_v is None else (None, of_u, of_v)


pencil_op = general(
    "linalg.eig_of_a_pencil",
    stacked(_sides, 2, 2),
    nin=2,
    nout=3,
    promotes=(0, 1),
    saves=(0, 1, ("ans", 0), ("ans", 1), ("ans", 2)),
    vjp=_pencil_vjp,
    jvp=_pencil_jvp,
    pattern=(patterns.couples_into_vectors, patterns.couples, patterns.couples),
    free=_pencil_free,
    source="Stewart and Sun 1990, chapter VI",
    batch=batching.aligns,
)


# ---- functions


def _decomposed(name, a, b, left, homogeneous_eigvals):
    if homogeneous_eigvals:
        raise NoRuleError(
            f"scipy.linalg.{name}: homogeneous_eigvals=True is not supported for Variables: the "
            "two parts have a factor in common that LAPACK chooses"
        )
    if b is None:
        (a,) = square(name, a=a)
        if left:
            return sides_op(a)
        w, v = any_op(a)
        return w, None, v
    a, b = square(name, a=a, b=b)
    if a.shape[-1] != b.shape[-1]:
        raise ShapeError(
            f"scipy.linalg.{name}: b of shape {b.shape} does not fit a of shape {a.shape}"
        )
    return pencil_op(a, b)


def _complex(w):
    return w if w.dtype.kind == "c" else np.astype(w, np.result_type(w.dtype, np.complex64))


SPREAD = np.diag([1.0, 4.0, 9.0])
TURNING = np.array([[1.0, 2.0, 0.3], [-2.5, 1.5, 0.4], [0.2, 0.1, 4.0]])


def _samples(rng):
    # Small ones: in which order LAPACK finds more eigenvalues is not continuous.
    a, b = np.array([[1.0, 0.3], [0.2, 3.0]]), np.array([[1.0, -0.2], [0.1, 1.5]])
    return [
        ((a,), {}),
        ((TURNING,), {}),
        ((0.3 * rng.normal(size=(3, 3)) + SPREAD,), {"right": False}),
        ((TURNING,), {"left": True}),
        ((a,), {"left": True, "right": False}),
        ((a, b), {"left": True}),
        ((b, a), {}),
    ]


@of_scipy("eig", kinks=DEGENERATE, samples=_samples)
def eig(a, b=None, left=False, right=True, homogeneous_eigvals=False):
    """Arguments as in `scipy.linalg.eig`; homogeneous_eigvals=True is refused.

    Notes
    -----
    Derivatives of vectors of a matrix, left ones too, as in `numpy.linalg.eig`. Vectors of a pencil
    keep their length 1; what depends on the phases of complex ones raises `DegenerateError` in
    reverse mode, as what depends on vectors of equal eigenvalues and on infinite eigenvalues does;
    in forward mode these are NaN. Left vectors alone (``right=False``) of a pencil have length 1,
    too, which SciPy gives to the first one only.
    """
    w, u, v = _decomposed("eig", a, b, left, homogeneous_eigvals)
    found = (_complex(w), *([u] if left else []), *([v] if right else []))
    return found if len(found) > 1 else found[0]


@of_scipy(
    "eigvals",
    samples=lambda rng: [
        ((0.3 * rng.normal(size=(3, 3)) + SPREAD,), {}),
        ((TURNING[:2, :2], np.array([[1.0, -0.2], [0.1, 1.5]])), {}),
    ],
)
def eigvals(a, b=None, homogeneous_eigvals=False):
    """Arguments as in `scipy.linalg.eigvals`; homogeneous_eigvals=True is refused.

    Notes
    -----
    The derivative of a pencil's eigenvalue is ``u.H @ (da - w * db) @ v / (u.H @ b @ v)``; an
    infinite one has none: see `eig`.
    """
    return _complex(_decomposed("eigvals", a, b, False, homogeneous_eigvals)[0])
