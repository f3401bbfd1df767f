"""Eigenvalues and eigenvectors, of Hermitian matrices and of any.

Formulas without another source are Giles' (see `decompositions`). Eigenvectors are fixed up to a
factor of absolute value 1. Those of Hermitian matrices move orthogonally to themselves, so only
what does not depend on that factor has the derivative of NumPy's own choice. Those of other
matrices have length 1, and their largest component is real, which their derivatives keep.
"""

import numpy as np

from fastbp._core.graph import passive
from fastbp.rules import batching, patterns
from fastbp.rules.linalg import lapack, plans
from fastbp.rules.linalg.decompositions import check_square, of_symmetric
from fastbp.rules.linalg.free import phases_of
from fastbp.rules.linalg.gaps import (
    check_apart,
    check_phases,
    diagonal_of,
    from_gaps,
    lost_where,
    reciprocals,
    ties,
    with_diagonal,
)
from fastbp.rules.linalg.triangles import GILES
from fastbp.rules.numpy.products import mh, mm, mt
from fastbp.rules.numpy.structural import conjugated
from fastbp.rules.table import general, implements

EighResult = type(np.linalg.eigh(np.eye(1)))
EigResult = type(np.linalg.eig(np.eye(1)))
DEGENERATE = "eigenvectors have none at equal eigenvalues"


def _differences(w):
    return w[..., None, :] - w[..., :, None]


def _diagonally(v, d):
    return v * d[..., None, :]


# ---- Hermitian matrices


def _eigh_vjp(g, ans, a, uplo):
    of_w, of_v = g
    w, v = ans
    left = conjugated(v)
    if of_v is None:
        found = mm(_diagonally(left, of_w), mt(v))
    else:
        gaps, tied = reciprocals(w)
        turn = mm(mt(v), of_v)
        check_apart("numpy.linalg.eigh", "eigenvalues", tied, turn)
        check_phases("numpy.linalg.eigh", "eigenvectors", diagonal_of(turn), of_v)
        inner = turn * (gaps if gaps.dtype == v.dtype else gaps.astype(v.dtype))
        if of_w is not None:
            inner = inner + with_diagonal(of_w)
        found = mm(mm(left, inner), mt(v))
    return 0.5 * (found + mh(found))


def _eigh_jvp(t, ans, a, uplo):
    w, v = ans
    inner = mm(mm(mh(v), 0.5 * (t + mh(t))), v)
    gaps, tied = reciprocals(w)
    gaps = lost_where(tied, gaps)
    return np.real(diagonal_of(inner)), mm(v, inner * gaps.astype(v.dtype))


def _eigh(a, uplo):
    if not a.size or uplo not in ("L", "U"):
        return tuple(np.linalg.eigh(a, uplo))
    return lapack.eigh(a, uplo == "L")


def _eigh_free(ans, a, uplo):
    phases = phases_of(ans[1])
    return None if phases is None else (None, phases)


eigh_op = general(
    "linalg.eigh",
    _eigh,
    nin=1,
    nout=2,
    saves=(("ans", 0), ("ans", 1)),
    vjp=(_eigh_vjp,),
    jvp=(_eigh_jvp,),
    pattern=(patterns.couples_into_vectors, patterns.couples),
    plan=plans.diagonalises,
    free=_eigh_free,
    source=GILES,
    batch=batching.aligns,
)


def _symmetric(rng, *shape):
    x = rng.normal(size=shape)
    return x + np.swapaxes(x, -1, -2) + 3.0 * np.diag(np.arange(float(shape[-1])))


@implements(
    np.linalg.eigh,
    name="linalg.eigh",
    kinks=DEGENERATE,
    samples=lambda rng: [
        ((_symmetric(rng, 3, 3),), {}),
        ((_symmetric(rng, 2, 3, 3), "U"), {}),
        ((_symmetric(rng, 1, 1),), {}),
    ],
)
@of_symmetric
def eigh(a, UPLO="L"):
    """Arguments as in `numpy.linalg.eigh`.

    Notes
    -----
    The derivative is along symmetric (Hermitian) directions, as that of `cholesky`. Where
    eigenvalues are equal their vectors have none: asking for it raises `DegenerateError` in reverse
    mode and gives NaN in forward mode; functions of the eigenvalues alone that treat them alike are
    differentiated. The same holds for what depends on the phases of complex vectors, which
    nothing fixes; what does not, as ``abs(v) ** 2``, has its derivative.
    """
    return EighResult(*eigh_op(check_square(a), uplo=UPLO))


@implements(
    np.linalg.eigvalsh,
    name="linalg.eigvalsh",
    samples=lambda rng: [((_symmetric(rng, 3, 3),), {}), ((_symmetric(rng, 2, 2, 2), "U"), {})],
)
@of_symmetric
def eigvalsh(a, UPLO="L"):
    """Arguments as in `numpy.linalg.eigvalsh`; the derivative is along symmetric directions.

    Notes
    -----
    The cotangent is ``V @ diag(g) @ V.T``.
    """
    return eigh_op(check_square(a), uplo=UPLO)[0]


# ---- any matrices


def _pivots(v):
    """Return the places of the largest components of vectors, which are real."""
    return np.argmax(np.abs(passive(v)), -2)[..., None, :]


def _normalised(dv, v):
    """Return changes of vectors that keep their lengths and the phase of the largest component."""
    at = _pivots(v)
    phase = np.imag(
        np.take_along_axis(dv, np.broadcast_to(at, (*dv.shape[:-2], 1, dv.shape[-1])), -2)
    )
    phase = phase / np.real(np.take_along_axis(v, at, -2))
    along = np.real(np.sum(conjugated(v) * dv, -2, keepdims=True))
    return dv - v * (along + 1j * phase)


def _normalised_back(g, v):
    """Transpose `_normalised`."""
    at = _pivots(v)
    a = np.sum(g * v, -2, keepdims=True)
    phase = -1j * (np.imag(a) / np.real(np.take_along_axis(v, at, -2)))
    one = np.equal(np.arange(v.shape[-2])[:, None], at)
    return g - np.real(a) * conjugated(v) + np.where(one, phase, 0.0)


def _eig_vjp(g, ans, a):
    of_w, of_v = g
    w, v = ans
    inner = 0.0
    if of_v is not None:
        tied = ties(w)
        if v.dtype.kind == "c":
            of_v = _normalised_back(of_v, v)
        else:
            of_v = of_v - v * np.sum(of_v * v, -2, keepdims=True)
        turn = mm(mt(v), of_v)
        check_apart("numpy.linalg.eig", "eigenvalues", tied, turn)
        inner = turn * from_gaps(_differences(w), tied)
    if of_w is not None:
        inner = inner + with_diagonal(of_w)
    return np.linalg.solve(mt(v), mm(inner, mt(v)))


def _eig_jvp(t, ans, a):
    w, v = ans
    inner = np.linalg.solve(v, mm(t, v))
    tied = ties(w)
    gaps = lost_where(tied, from_gaps(_differences(w), tied))
    dv = mm(v, inner * gaps)
    if v.dtype.kind == "c":
        dv = _normalised(dv, v)
    else:
        dv = dv - v * np.sum(v * dv, -2, keepdims=True)
    return diagonal_of(inner), dv


eig_op = general(
    "linalg.eig",
    lambda a: tuple(np.linalg.eig(a)),
    nin=1,
    nout=2,
    saves=(("ans", 0), ("ans", 1)),
    vjp=(_eig_vjp,),
    jvp=(_eig_jvp,),
    pattern=(patterns.couples_into_vectors, patterns.couples),
    source=GILES,
    batch=batching.aligns,
)


@implements(
    np.linalg.eig,
    name="linalg.eig",
    kinks=DEGENERATE,
    samples=lambda rng: [
        ((0.3 * rng.normal(size=(3, 3)) + np.diag([1.0, 4.0, 9.0]),), {}),
        ((np.array([[1.0, 2.0, 0.3], [-2.5, 1.5, 0.4], [0.2, 0.1, 4.0]]),), {}),
        ((np.stack([[[1.0, 0.5], [0.2, 3.0]], [[2.0, 0.1], [0.3, -1.0]]]),), {}),
    ],
)
def eig(a):
    """Arguments as in `numpy.linalg.eig`.

    Notes
    -----
    Derivatives of eigenvectors keep their length 1 and the largest component real, as LAPACK does.
    Where eigenvalues are equal vectors have none: asking for it raises `DegenerateError` in reverse
    mode and gives NaN in forward mode. A matrix without a basis of eigenvectors raises
    `LinAlgError`.
    """
    return EigResult(*eig_op(check_square(a)))


@implements(
    np.linalg.eigvals,
    name="linalg.eigvals",
    samples=lambda rng: [
        ((0.3 * rng.normal(size=(3, 3)) + np.diag([1.0, 4.0, 9.0]),), {}),
        ((np.array([[[1.0, 2.0], [-2.5, 1.5]]]),), {}),
    ],
)
def eigvals(a):
    """Arguments as in `numpy.linalg.eigvals`.

    Notes
    -----
    The cotangent is ``inv(V).T @ diag(g) @ V.T`` with the eigenvectors V.
    """
    return eig_op(check_square(a))[0]
