"""`scipy.linalg`: bases of the range and of the null space, and angles between subspaces.

At constant rank, ``A N = 0`` moves the null space by ``-pinv(A) dA N``, and the range of A moves by
``(I - Q Q.H) dA pinv(A) Q`` (G. H. Golub and V. Pereyra, SIAM J. Numer. Anal. 10 (1973) 413-432);
how vectors of a basis turn among themselves nothing fixes.
"""

import numpy as np
import scipy.linalg

from fastbp._core.graph import array_of, passive, values_of
from fastbp.errors import ShapeError
from fastbp.rules import batching, patterns
from fastbp.rules.linalg.free import turns_of
from fastbp.rules.linalg.gaps import check_beyond
from fastbp.rules.linalg.of_scipy import matrices, of_scipy, stacked
from fastbp.rules.linalg.solving import pinv_op
from fastbp.rules.linalg.spectral import singular_op, svdvals
from fastbp.rules.numpy.products import mh, mm, mt
from fastbp.rules.numpy.structural import conjugated
from fastbp.rules.table import general

SOURCE = "Golub and Pereyra 1973"


# ---- the null space


def _null_vjp(g, ans, a, rcond):
    check_beyond("scipy.linalg.null_space", "vectors of the basis", mm(mt(ans), g), g)
    return -mm(mm(mt(pinv_op(a, atol=None, rtol=rcond)), g), mt(ans))


null_op = general(
    "linalg.null_space",
    stacked(lambda a, rcond: scipy.linalg.null_space(a, rcond), 2),
    nin=1,
    vjp=(_null_vjp,),
    jvp=(lambda t, ans, a, rcond: -mm(pinv_op(a, atol=None, rtol=rcond), mm(t, ans)),),
    pattern=patterns.couples,
    free=lambda ans, a, rcond: turns_of(ans),
    source=SOURCE,
    batch=batching.aligns,
)


def _in_full(x):
    """Have it on the record that the shape of a result depends on values."""
    values_of(x)
    return x


@of_scipy(
    "null_space",
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)),), {}),
        ((rng.normal(size=(3, 2)),), {"rcond": 1e-9, "lapack_driver": "gesvd"}),
    ],
)
def null_space(A, rcond=None, lapack_driver="gesdd"):
    """Arguments as in `scipy.linalg.null_space`; the rank is a constant, the driver "gesdd".

    Notes
    -----
    The vectors move orthogonally to the null space. How they turn within it nothing fixes: what
    depends on that raises `DegenerateError` in reverse mode and is NaN in forward mode. One real
    vector has a derivative, and so has the projector ``N @ N.conj().T``.
    """
    (A,) = matrices("null_space", A=A)
    return null_op(_in_full(A), rcond=rcond)


# ---- the range


@of_scipy(
    "orth",
    kinks="vectors have none at equal singular values",
    samples=lambda rng: [
        ((rng.normal(size=(3, 2)),), {}),
        ((rng.normal(size=(2, 2)),), {"rcond": 1e-9}),
    ],
)
def orth(A, rcond=None):
    """Arguments as in `scipy.linalg.orth`; the rank is a constant.

    Notes
    -----
    Its vectors are the first left singular vectors: see `svd`, also for equal singular values. The
    projector ``A @ pinv(A)`` has a derivative there, too.
    """
    (A,) = matrices("orth", A=A)
    u, s, _ = singular_op(A, full=False)
    s = np.asarray(array_of(values_of(s)))
    rcond = np.finfo(s.dtype).eps * max(A.shape[-2:]) if rcond is None else rcond
    ranks = np.count_nonzero(s > np.max(s, axis=-1, keepdims=True, initial=0.0) * rcond, axis=-1)
    rank = np.max(ranks, initial=0)
    if np.any(ranks != rank):
        raise ShapeError(
            f"scipy.linalg.orth: A of shape {A.shape} has matrices of different ranks, "
            f"{np.min(ranks)} to {rank}: take them one by one"
        )
    return u[..., :rank]


def _range_vjp(g, ans, a):
    g = g - mm(conjugated(ans), mm(mt(ans), g))
    return mm(g, mt(mm(pinv_op(a, atol=None, rtol=None), ans)))


def _range_jvp(t, ans, a):
    dq = mm(t, mm(pinv_op(a, atol=None, rtol=None), ans))
    return dq - mm(ans, mm(mh(ans), dq))


# For what is the same for all bases: its vectors do not turn among themselves.
range_op = general(
    "linalg.range",
    stacked(scipy.linalg.orth, 2),
    nin=1,
    vjp=(_range_vjp,),
    jvp=(_range_jvp,),
    pattern=patterns.couples,
    source=SOURCE,
    batch=batching.aligns,
)


def _bounded(x):
    return np.minimum(x, 1.0)


@of_scipy(
    "subspace_angles",
    kinks="those of the singular values that it is the arc of: an angle 0 takes LAPACK's vectors",
    samples=lambda rng: [
        ((rng.normal(size=(4, 2)), rng.normal(size=(4, 2))), {}),
        ((np.eye(4, 2), np.array([[1.0, 0.1], [0.2, 1.0], [0.5, 0.1], [0.1, 3.0]])), {}),
        ((rng.normal(size=(4, 1)), rng.normal(size=(4, 2))), {}),
    ],
)
def subspace_angles(A, B):
    """Arguments as in `scipy.linalg.subspace_angles`; the ranks are constants.

    Notes
    -----
    By bases of both ranges, as in Knyazev and Argentati, SIAM J. Sci. Comput. 23 (2002) 2008-2040:
    small angles are the arc sines of singular values, others the arc cosines.
    """
    A, B = matrices("subspace_angles", A=A, B=B)
    if A.shape[-2] != B.shape[-2]:
        raise ShapeError(
            f"scipy.linalg.subspace_angles: A of shape {A.shape} and B of shape {B.shape} must "
            "have as many rows"
        )
    p, q = range_op(_in_full(A)), range_op(_in_full(B))
    inner = mh(p) @ q
    cosines = np.flip(svdvals(inner), -1)
    beside = q - p @ inner if p.shape[-1] >= q.shape[-1] else p - q @ mh(inner)
    sines = svdvals(beside)
    small = passive(cosines) ** 2 >= 0.5
    # What is not taken must not be at the end of an arc, where the derivative is infinite.
    arcs = np.arcsin(np.where(small, _bounded(sines), 0.0))
    return np.where(small, arcs, np.arccos(np.where(small, 0.0, _bounded(cosines))))
