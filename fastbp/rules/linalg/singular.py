"""Singular values and vectors, and what is computed from the values: norms, condition numbers.

With ``dP = U.H @ dA @ V`` the values move by its diagonal, and the vectors by what is beside it
over the differences of squares; see J. Townsend, "Differentiating the singular value
decomposition", 2016, for real numbers. The phase of complex vectors, which nothing fixes, is left
to those of U; vectors beyond the values (``full_matrices=True``) do not turn among themselves. What
depends on either has no derivative (`free`).
"""

import numpy as np

from fastbp._core.graph import passive, values_of
from fastbp.errors import DegenerateError
from fastbp.rules import batching, patterns
from fastbp.rules.linalg import lapack, plans
from fastbp.rules.linalg.eigen import eigh
from fastbp.rules.linalg.free import leaving, phases_of, sum_of_moves, turns_of
from fastbp.rules.linalg.gaps import (
    check_apart,
    check_beyond,
    check_phases,
    diagonal_of,
    from_gaps,
    lost_where,
    reciprocals,
    with_diagonal,
)
from fastbp.rules.numpy.products import mh, mm, mt
from fastbp.rules.numpy.structural import conjugated
from fastbp.rules.table import general, implements

SVDResult = type(np.linalg.svd(np.eye(1)))
DEGENERATE = "singular vectors have none at equal singular values"


def _over_sums(s):
    """Return the reciprocals of the sums of values, 0 of zeros."""
    total = s[..., None, :] + s[..., :, None]
    return from_gaps(total, total == 0.0)


def _columns(x, d):
    return x * d[..., None, :]


def _rows(d, x):
    return d[..., :, None] * x


def _svd_vjp(g, ans, a, full):
    g_u, g_s, g_vh = g
    u, s, vh = ans
    k = s.shape[-1]
    m, n = a.shape[-2:]
    u1, vh1 = u[..., :, :k], vh[..., :k, :]
    outer = []
    inner = 0.0 if g_s is None else with_diagonal(g_s.astype(u.dtype))
    if g_u is not None or g_vh is not None:
        of_u = None if g_u is None else g_u[..., :, :k]
        of_v = None if g_vh is None else g_vh[..., :k, :]
        turn_u = 0.0 if g_u is None else mm(mt(u1), of_u)
        turn_v = 0.0 if g_vh is None else -mm(of_v, mt(vh1))
        inner = inner + _turns(turn_u, turn_v, s)
        if u.dtype.kind == "c":
            phases = diagonal_of(turn_u + turn_v)
            check_phases(
                "numpy.linalg.svd", "singular vectors", phases, *[x for x in g if x is not None]
            )
            if g_u is not None:
                _check_zeros(s, np.abs(np.imag(diagonal_of(passive(turn_u)))), of_u)
        if g_u is not None and m > k:
            outside = of_u - mm(conjugated(u1), turn_u)
            if full:
                rest, of_rest = conjugated(u[..., :, k:]), g_u[..., :, k:]
                check_beyond(
                    "numpy.linalg.svd",
                    "columns of u beyond the values",
                    mm(mh(rest), of_rest),
                    of_rest,
                )
                outside = outside - mm(rest, mh(mm(mt(u1), of_rest)))
            _check_zeros(s, np.max(np.abs(passive(outside)), -2), g_u)
            outer.append(mm(_columns(outside, 1.0 / s.astype(u.dtype)), conjugated(vh1)))
        if g_vh is not None and n > k:
            outside = of_v + mm(turn_v, conjugated(vh1))
            if full:
                rest, of_rest = conjugated(vh[..., k:, :]), g_vh[..., k:, :]
                check_beyond(
                    "numpy.linalg.svd",
                    "rows of vh beyond the values",
                    mm(of_rest, mh(rest)),
                    of_rest,
                )
                outside = outside - mm(mh(mm(of_rest, mt(vh1))), rest)
            _check_zeros(s, np.max(np.abs(passive(outside)), -1), g_vh)
            outer.append(mm(conjugated(u1), _rows(1.0 / s.astype(u.dtype), outside)))
    found = mm(mm(conjugated(u1), inner), conjugated(vh1))
    return sum(outer, found)


def _turns(of_u, of_v, s):
    """Return what turns of the vectors contribute: those of a pair alike by the gap between values.

    Turns of its vectors against each other, as in ``u @ vh``, are divided by the sum of the values.
    """
    gaps, tied = reciprocals(s)
    alike, apart = of_u + of_v, of_u - of_v
    check_apart(
        "numpy.linalg.svd", "singular values", tied, of_u, mt(of_v) if np.ndim(of_v) else of_v
    )
    if alike.dtype.kind == "c":
        total = s[..., None, :] + s[..., :, None]
        gaps, sums = gaps.astype(alike.dtype), 1.0 / total.astype(alike.dtype)
    else:  # beside a value 0 real vectors do not turn by a phase
        sums = _over_sums(s)
    return 0.5 * ((alike - mh(alike)) * gaps + (apart - mh(apart)) * sums)


def _svd_jvp(t, ans, a, full):
    u, s, vh = ans
    k = s.shape[-1]
    m, n = a.shape[-2:]
    u1, vh1 = u[..., :, :k], vh[..., :k, :]
    gaps, tied = reciprocals(s)
    gaps = lost_where(tied, gaps * _over_sums(s)).astype(u.dtype)
    inner = mm(mm(mh(u1), t), mh(vh1))
    with np.errstate(divide="ignore", invalid="ignore"):
        over = 1.0 / s.astype(u.dtype) if m != n or u.dtype.kind == "c" else None
    left, right = _columns(inner, s), _rows(s, inner)
    turn_u = gaps * (left + mh(left))
    turn_v = gaps * (right + mh(right))
    if u.dtype.kind == "c":
        turn_u = turn_u + with_diagonal(1j * np.imag(diagonal_of(inner)) * over)
    du, dvh = mm(u1, turn_u), -mm(turn_v, vh1)
    if m > k:
        ours = _columns(mm(t, mh(vh1)), over)
        du = du + ours - mm(u1, mm(mh(u1), ours))
        if full:
            beyond = mm(-u1, mh(mm(mh(u[..., :, k:]), ours)))
            du = np.concatenate([du, beyond], -1)
    if n > k:
        ours = _rows(over, mm(mh(u1), t))
        dvh = dvh + ours - mm(mm(ours, mh(vh1)), vh1)
        if full:
            beyond = mm(-mh(mm(ours, mh(vh[..., k:, :]))), vh1)
            dvh = np.concatenate([dvh, beyond], -2)
    return du, np.real(diagonal_of(inner)), dvh


def _zeros(s):
    """Return which singular values are zero to rounding."""
    s = passive(s)
    rounding = max(1, s.shape[-1]) * np.finfo(s.dtype).eps
    return s <= rounding * np.max(s, -1, keepdims=True, initial=0.0)


def _check_zeros(s, parts, of):
    """Raise where a cotangent asks for vectors of a value that is zero.

    `parts`, one for each value, would be divided by it; `of` is the cotangent.
    """
    size = np.max(np.abs(passive(of)), initial=0.0)
    bound = np.finfo(s.dtype).eps ** 0.5 * s.shape[-1]
    if values_of(np.any(np.logical_and(_zeros(s), passive(parts) > bound * size))):
        raise DegenerateError(
            "numpy.linalg.svd: a singular value is zero, so its vectors, which nothing fixes, have "
            "no derivative: those of others have one, as the values have"
        )


def _svd_free(ans, a, full):
    u, s, vh = ans
    zero = _zeros(s)
    if u.dtype.kind != "c":
        beyond = max(a.shape[-2:]) - s.shape[-1]
        if beyond < 2 and not (beyond and values_of(np.any(zero))):
            return None
    of_u, of_v = _moves(u, zero, 21), _moves(mh(vh), zero, 22)
    return None if of_u is of_v is None else (of_u, None, None if of_v is None else mh(of_v))


def _moves(v, zero, seed):
    """Return moves of vectors of zeros and of those beyond; of others by the phases of pairs."""
    beyond = v.shape[-1] - zero.shape[-1]
    phases = phases_of(v[..., :, : zero.shape[-1]], np.logical_not(zero))
    if phases is not None:
        phases = np.concatenate([phases, np.zeros((*phases.shape[:-1], beyond), v.dtype)], -1)
    free = np.concatenate([zero, np.ones((*zero.shape[:-1], beyond), bool)], -1)
    return sum_of_moves(turns_of(v, free, seed), leaving(v, free), phases)


def _svd(a, full):
    return lapack.svd(a, full) if a.size else tuple(np.linalg.svd(a, full))


svd_op = general(
    "linalg.svd",
    _svd,
    nin=1,
    nout=3,
    saves=(("ans", 0), ("ans", 1), ("ans", 2)),
    vjp=(_svd_vjp,),
    jvp=(_svd_jvp,),
    pattern=(patterns.couples, patterns.couples_into_vectors, patterns.couples),
    plan=plans.decomposes,
    free=_svd_free,
    source="Townsend 2016",
    batch=batching.aligns,
)


def _hermitian(a, vectors):
    """Decompose by eigenvalues, as NumPy does: their absolute values, the largest first."""
    w, v = eigh(a)
    size = np.abs(w)
    order = np.argsort(size, -1)[..., ::-1]
    s = np.take_along_axis(size, order, -1)
    if not vectors:
        return s
    sign = np.take_along_axis(np.sign(w), order, -1)
    u = np.take_along_axis(v, np.broadcast_to(order[..., None, :], v.shape), -1)
    return SVDResult(u, s, mh(_columns(u, sign.astype(u.dtype))))


def _svd_samples(rng):
    square = rng.normal(size=(2, 3, 3)) + np.diag([0.0, 3.0, 6.0])
    return [
        ((square,), {}),
        ((rng.normal(size=(4, 2)),), {"full_matrices": False}),
        ((rng.normal(size=(2, 4)),), {"full_matrices": False}),
        ((rng.normal(size=(3, 2)),), {}),
        ((rng.normal(size=(2, 3)),), {"full_matrices": True}),
        ((rng.normal(size=(2, 3)),), {"compute_uv": False}),
    ]


@implements(np.linalg.svd, name="linalg.svd", kinks=DEGENERATE, samples=_svd_samples)
def svd(a, full_matrices=True, compute_uv=True, hermitian=False):
    """Arguments as in `numpy.linalg.svd`; with ``hermitian=True`` derivatives as of `eigh`.

    Notes
    -----
    Where singular values are equal, or zero beside vectors that need their reciprocals, vectors
    have no derivative: asking for it raises `DegenerateError` in reverse mode and gives NaN in
    forward mode; the values alone are differentiated. The same holds for what depends on the
    common phase of a pair of complex vectors, and on how vectors beyond the values turn among
    themselves, which nothing fixes; what is the same for all, as ``u2 @ u2.T``, has a derivative.
    """
    if hermitian:
        return _hermitian(a, compute_uv)
    u, s, vh = svd_op(a, full=bool(full_matrices and compute_uv))
    return SVDResult(u, s, vh) if compute_uv else s


@implements(
    np.linalg.svdvals,
    name="linalg.svdvals",
    samples=lambda rng: [((rng.normal(size=(2, 3, 4)),), {}), ((rng.normal(size=(3, 2)),), {})],
)
def svdvals(x, /):
    """Arguments as in `numpy.linalg.svdvals`.

    Notes
    -----
    The cotangent is ``U @ diag(g) @ Vh``. A value 0, where the derivative jumps, takes LAPACK's
    vectors.
    """
    return svd_op(x, full=False)[1]


@implements(
    np.linalg.cond,
    name="linalg.cond",
    samples=lambda rng: (
        [((rng.normal(size=(3, 3)) + 3.0 * np.eye(3), p), {}) for p in (None, -2, "fro", 1, np.inf)]
        + [((rng.normal(size=(2, 4, 3)), 2), {}), ((rng.normal(size=(2, 2, 2)), -1), {})]
    ),
)
def cond(x, p=None):
    """Arguments as in `numpy.linalg.cond`."""
    if p is None or p in (2, -2):
        s = svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return np.linalg.norm(x, p, (-2, -1)) * np.linalg.norm(np.linalg.inv(x), p, (-2, -1))
