"""QR: an orthonormal basis of the columns, and their coefficients.

With ``B = Q.H @ dA @ inv(R)`` the basis turns by what is below the diagonal of B: S. F. Walter and
L. Lehmann, "Algorithmic differentiation of linear algebra functions with application in optimum
experimental design", 2010. For complex numbers the diagonal of R stays real, as LAPACK has it.
"""

import numpy as np

from fastbp.errors import DegenerateError, NoRuleError
from fastbp.rules import batching, patterns
from fastbp.rules.linalg import lapack, plans
from fastbp.rules.linalg.free import behind, turns_of
from fastbp.rules.linalg.gaps import check_beyond, diagonal_of, with_diagonal
from fastbp.rules.linalg.triangles import triangle_solve
from fastbp.rules.numpy.products import mh, mm, mt
from fastbp.rules.numpy.structural import conjugated
from fastbp.rules.table import general, implements

QRResult = type(np.linalg.qr(np.eye(1)))


def _over(x, r, transposed=False):
    """Return ``x @ inv(r)``, or with `r` transposed."""
    return mt(triangle_solve(r, mt(x), lower=False, trans=0 if transposed else 1))


def _qr(a, complete):
    if not a.size:
        return tuple(np.linalg.qr(a, "complete" if complete else "reduced"))
    return lapack.qr(a, complete)


def _independent(r):
    """Return `r`; raise where its diagonal has a zero, to rounding."""
    return _checked(r) if type(r) is np.ndarray else independent_op(r)


def _checked(r):
    size = np.abs(diagonal_of(r))
    if not size.size:
        return r
    rounding = size.shape[-1] * np.finfo(size.dtype).eps
    if np.any(np.min(size, -1) <= rounding * np.max(size, -1)):
        raise DegenerateError(
            "numpy.linalg.qr: columns are linearly dependent, so their basis has no derivative"
        )
    return r


# A plan checks it in every call.
independent_op = general(
    "linalg.independent",
    _checked,
    nin=1,
    saves=(),
    vjp=(lambda g, ans, r: g,),
    jvp=(lambda t, ans, r: t,),
    pattern=patterns.same,
    plan=plans.checks_independence,
    batch=batching.aligns,
    samples=lambda rng: [((np.triu(rng.normal(size=(3, 3))) + 3.0 * np.eye(3),), {})],
)


def _lower(x):
    return np.tril(x, -1)


def _qr_vjp(g, ans, a, complete):
    g_q, g_r = g
    q, r = ans
    n = a.shape[-1]
    r = _independent(r[..., :n, :])
    basis = conjugated(q[..., :, :n])
    turn = 0.0
    if g_r is not None:
        turn = -mm(g_r[..., :n, :], mt(r))
    if g_q is not None:
        turn = turn + mm(mh(basis), g_q[..., :, :n])
    inner = _lower(turn - mh(turn)) - turn
    if turn.dtype.kind == "c":
        inner = inner + with_diagonal(1j * np.imag(diagonal_of(turn)))
    found = mm(basis, inner)
    if g_q is not None:
        found = found + g_q[..., :, :n]
        if complete:
            rest = conjugated(q[..., :, n:])
            check_beyond(
                "numpy.linalg.qr", "columns beyond those of a", mm(mh(rest), g_q[..., :, n:]), g_q
            )
            found = found - mm(rest, mh(mm(mh(basis), g_q[..., :, n:])))
    return _over(found, r, transposed=True)


def _qr_jvp(t, ans, a, complete):
    q, r = ans
    n = a.shape[-1]
    top, basis = _independent(r[..., :n, :]), q[..., :, :n]
    ours = _over(t, top)
    inner = mm(mh(basis), ours)
    below = _lower(inner)
    turn = below - mh(below)
    if q.dtype.kind == "c":
        turn = turn + with_diagonal(1j * np.imag(diagonal_of(inner)))
    dq = mm(basis, turn - inner) + ours
    dr = mm(inner - turn, top)
    # What rounding has left below the diagonal is zero.
    dr = np.triu(dr)
    if complete:
        beyond = mm(-basis, mh(mm(mh(q[..., :, n:]), ours)))
        dq = np.concatenate([dq, beyond], -1)
        rest = np.zeros((*dr.shape[:-2], r.shape[-2] - n, n), r.dtype)
        dr = np.concatenate([dr, rest], -2)
    return dq, dr


def _qr_free(ans, a, complete):
    n = a.shape[-1]
    turns = turns_of(ans[0][..., :, n:]) if complete else None
    return None if turns is None else (behind(n, turns), None)


qr_op = general(
    "linalg.qr",
    _qr,
    nin=1,
    nout=2,
    saves=(("ans", 0), ("ans", 1)),
    vjp=(_qr_vjp,),
    jvp=(_qr_jvp,),
    pattern=(patterns.couples, patterns.couples),
    plan=plans.makes_bases,
    free=_qr_free,
    source="Walter and Lehmann 2010",
    batch=batching.aligns,
)


def _qr_samples(rng):
    return [
        ((rng.normal(size=(4, 3)),), {}),
        ((rng.normal(size=(2, 3, 3)), "r"), {}),
        ((rng.normal(size=(3, 2)), "complete"), {}),
        ((rng.normal(size=(2, 4)),), {}),
        ((rng.normal(size=(2, 3)), "complete"), {}),
    ]


@implements(np.linalg.qr, name="linalg.qr", samples=_qr_samples)
def qr(a, mode="reduced"):
    """Arguments as in `numpy.linalg.qr`; the modes "raw" and "economic" are refused.

    Notes
    -----
    The first columns, as many as there are rows, must be linearly independent: else the derivative
    does not exist, and `DegenerateError` is raised. With ``mode="complete"`` nothing fixes how two
    or more vectors beyond the columns turn among themselves: what depends on that raises it in
    reverse mode and is NaN in forward mode; what does not, as ``q2 @ q2.T``, has its derivative.
    """
    if mode not in ("reduced", "complete", "r"):
        np.linalg.qr(np.eye(1), mode)  # raises
        raise NoRuleError(
            f"numpy.linalg.qr: mode={mode!r} returns LAPACK's own form, which has no rule: write "
            "mode='reduced'"
        )
    if a.ndim < 2:
        np.linalg.qr(np.empty(a.shape))  # raises
    m, n = a.shape[-2:]
    if m >= n:
        q, r = qr_op(a, complete=mode == "complete" and m > n)
    else:
        q, r = qr_op(a[..., :, :m], complete=False)
        r = np.concatenate([r, mm(mh(q), a[..., :, m:])], -1)
    return r if mode == "r" else QRResult(q, r)
