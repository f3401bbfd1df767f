"""`scipy.linalg`: polar and Schur decompositions, and what is made of them."""

import numpy as np
import scipy.linalg

from fastbp._core.graph import array_of, passive, values_of
from fastbp.errors import DegenerateError, NoRuleError, ShapeError
from fastbp.rules import batching, patterns
from fastbp.rules.linalg import decompositions
from fastbp.rules.linalg.decompositions import regular
from fastbp.rules.linalg.free import phases_of_form
from fastbp.rules.linalg.gaps import check_phases, diagonal_of
from fastbp.rules.linalg.of_scipy import matrices, of_finite, of_scipy, square, stacked
from fastbp.rules.linalg.sylvester import sylvester_op
from fastbp.rules.numpy.products import mh, mm, mt
from fastbp.rules.numpy.structural import conjugated
from fastbp.rules.table import general

# ---- the unitary factor of a matrix with at least as many rows as columns


def _unitary(a):
    """Return the factor, and the eigenvalues and vectors of the Hermitian one."""
    u, s, vh = _each_svd(a)
    return u @ vh, (s, vh)


_each_svd = stacked(
    of_finite(lambda a: scipy.linalg.svd(a, full_matrices=False, check_finite=False)), 2
)


def _turn(p, m, residuals):
    """Solve ``p X + X p = m`` for the Hermitian factor."""
    if residuals is None:
        return sylvester_op(p, p, m)
    s, vh = residuals
    with np.errstate(divide="ignore", invalid="ignore"):  # NaN of a singular one
        inner = mm(mm(vh, m), mh(vh)) / (s[..., :, None] + s[..., None, :])
    return mm(mm(mh(vh), inner), vh)


def _over(x, p, residuals):
    """Return ``x @ inv(p)``."""
    if residuals is None:
        return mh(decompositions.solve(p, mh(x)))
    s, vh = residuals
    with np.errstate(divide="ignore", invalid="ignore"):
        return mm(mm(x, mh(vh)) / s[..., None, :], vh)


def _check_rank(s):
    """Raise where the matrix has not full rank: its singular values are in descending order."""
    if values_of(np.any(s[..., -1:] <= s.shape[-1] * np.finfo(s.dtype).eps * s[..., :1])):
        raise DegenerateError(
            "scipy.linalg.polar: the matrix has not full rank, so its unitary factor is not unique "
            "and has no derivative"
        )


def _unitary_jvp(t, ans, a, residuals):
    p = mh(ans) @ a
    inner = mh(ans) @ t
    found = ans @ _turn(p, inner - mh(inner), residuals)
    if a.shape[-2] > a.shape[-1]:
        found = found + _over(t - ans @ inner, p, residuals)
    return found


def _unitary_vjp(g, ans, a, residuals):
    p = mh(ans) @ a
    known = residuals is not None
    _check_rank(residuals[0] if known else np.linalg.svd(passive(p), compute_uv=False))
    g = conjugated(g)
    inner = mh(ans) @ g
    turn = _turn(p, inner, residuals)
    found = ans @ (turn - mh(turn))
    if a.shape[-2] > a.shape[-1]:
        found = found + _over(g - ans @ inner, p, residuals)
    return conjugated(found)


unitary_op = general(
    "linalg.polar",
    _unitary,
    nin=1,
    residuals=True,
    saves=(0, "ans"),
    vjp=(_unitary_vjp,),
    jvp=(_unitary_jvp,),
    pattern=patterns.couples,
    source="Higham 2008, section 8.2",
    batch=batching.aligns,
)


def _factor(a):
    m, n = a.shape[-2:]
    return unitary_op(a) if m >= n else mh(unitary_op(mh(a)))


@of_scipy(
    "polar",
    samples=lambda rng: [
        ((regular(rng, 3, 3),), {}),
        ((rng.normal(size=(3, 2)),), {"side": "left"}),
        ((rng.normal(size=(2, 3)),), {}),
    ],
)
def polar(a, side="right"):
    """Arguments as in `scipy.linalg.polar`.

    Notes
    -----
    The matrix must have full rank: else `DegenerateError` in reverse mode, and NaN or infinities in
    forward mode. The unitary factor turns by the solution of a Sylvester equation
    of the other one.
    """
    if side not in ("right", "left"):
        raise ValueError(f"scipy.linalg.polar: side={side!r} is none of 'right', 'left'")
    (a,) = matrices("polar", a=a)
    u = _factor(a)
    return u, mh(u) @ a if side == "right" else a @ mh(u)


@of_scipy(
    "orthogonal_procrustes",
    samples=lambda rng: [((rng.normal(size=(4, 2)), rng.normal(size=(4, 2))), {})],
)
def orthogonal_procrustes(A, B):
    """Arguments as in `scipy.linalg.orthogonal_procrustes`; ``A.T @ B`` must be regular."""
    A, B = matrices("orthogonal_procrustes", A=A, B=B)
    if A.shape[-2:] != B.shape[-2:]:
        raise ShapeError(
            f"scipy.linalg.orthogonal_procrustes: A of shape {A.shape} and B of shape {B.shape} "
            "must be matrices of one shape, or stacks of such"
        )
    inner = mh(A) @ B
    u = _factor(inner)
    return u, np.real(np.trace(mh(u) @ inner, axis1=-2, axis2=-1))


# ---- Schur: the basis turns by what keeps the lower triangle zero


def _shifted(t, j):
    """Return what is solved for column j: a triangle, regular where no eigenvalue is equal."""
    eye = np.eye(t.shape[-1] - 1 - j, dtype=t.dtype)
    return t[..., j, j, None, None] * eye - t[..., j + 1 :, j + 1 :]


def _lower_turn(t, m):
    """Return the strictly lower L with ``L T - T L`` equal to `m` below the diagonal.

    Column by column, each by one triangular system.
    """
    n = t.shape[-1]
    columns = []
    for j in range(n - 1):
        right = m[..., j + 1 :, j]
        for k in range(j):
            right = right - columns[k][..., j - k :] * t[..., k, j, None]
        below = (
            t[..., j, j, None, None] * np.eye(n - 1 - j, dtype=t.dtype) - t[..., j + 1 :, j + 1 :]
        )
        columns.append(_solve(below, right))
    columns.append(np.zeros((*m.shape[:-2], 0), m.dtype))
    filled = [
        np.concatenate([np.zeros((*c.shape[:-1], n - c.shape[-1]), c.dtype), c], -1)
        for c in columns
    ]
    return np.stack(filled, -1)


def _lower_turn_back(t, g):
    """Transpose `_lower_turn`: from the last column to the first."""
    n = t.shape[-1]
    if not n:
        return g
    rows = {}
    for j in range(n - 2, -1, -1):
        left = g[..., j + 1 :, j]
        for k in range(j + 1, n - 1):
            part = rows[k] * t[..., j, k, None]
            zeros = np.zeros((*part.shape[:-1], k - j), part.dtype)
            left = left - np.concatenate([zeros, part], -1)
        below = (
            t[..., j, j, None, None] * np.eye(n - 1 - j, dtype=t.dtype) - t[..., j + 1 :, j + 1 :]
        )
        rows[j] = _solve(mt(below), left)
    rows[n - 1] = np.zeros((*g.shape[:-2], 0), g.dtype)
    filled = [
        np.concatenate([np.zeros((*rows[j].shape[:-1], j + 1), rows[j].dtype), rows[j]], -1)
        for j in range(n)
    ]
    return np.stack(filled, -1)


def _solve(a, b):
    return decompositions.solve(a, b[..., None])[..., 0]


def _schur_jvp(tangent, ans, a, output):
    t, z = ans
    inner = mh(z) @ tangent @ z
    below = _lower_turn(t, inner)
    turn = below - mh(below)
    return np.triu(inner - turn @ t + t @ turn), z @ turn


def _schur_vjp(g, ans, a, output):
    of_t, of_z = g
    t, z = ans
    inner, of_turn = 0.0, 0.0
    if of_t is not None:
        inner = np.triu(conjugated(of_t))
        of_turn = mh(t) @ inner - inner @ mh(t)
    if of_z is not None:
        of_turn = of_turn + mh(z) @ conjugated(of_z)
    asked = [x for x in g if x is not None]
    check_phases("scipy.linalg.schur", "Schur vectors", diagonal_of(of_turn), *asked)
    below = np.tril(of_turn - mh(of_turn), -1)
    inner = inner + _lower_turn_back(conjugated(t), below)
    return conjugated(z @ inner @ mh(z))


@of_finite
def _schur(a, *, output):
    return tuple(scipy.linalg.schur(a, output, check_finite=False))


schur_op = general(
    "linalg.schur",
    stacked(_schur, 2),
    nin=1,
    nout=2,
    saves=(("ans", 0), ("ans", 1)),
    vjp=(_schur_vjp,),
    jvp=(_schur_jvp,),
    pattern=(patterns.couples, patterns.couples),
    free=lambda ans, a, output: phases_of_form(ans[1], ans[0]),
    source="D. Kressner, Numerical Methods for General and Structured Eigenvalue Problems, 2005",
    batch=batching.aligns,
)


@of_scipy(
    "schur",
    kinks="none where eigenvalues are equal",
    samples=lambda rng: [
        ((np.array([[1.0, 0.3, 0.2], [0.1, 4.0, -0.3], [0.4, 0.2, 9.0]]),), {}),
        ((np.array([[2.0]]),), {}),
    ],
)
def schur(a, output="real", lwork=None, sort=None):
    """Arguments as in `scipy.linalg.schur`; sort= is refused.

    Notes
    -----
    Eigenvalues must be different. With ``output="real"`` they must be real, too. What depends on
    the phases of complex vectors, which nothing fixes, raises `DegenerateError` in reverse mode and
    is NaN in forward mode.
    """
    if sort is not None:
        raise NoRuleError("scipy.linalg.schur: the argument sort= is not supported for Variables")
    (a,) = square("schur", a=a)
    if output in ("c", "complex"):
        if a.dtype.kind != "c":
            a = np.astype(a, np.result_type(a.dtype, np.complex64))
        return tuple(schur_op(a, output="complex"))
    t, z = schur_op(a, output=output)
    if t.dtype.kind != "c" and np.any(np.diagonal(array_of(values_of(t)), -1, -2, -1)):
        raise NoRuleError(
            "scipy.linalg.schur: a real form of a matrix with complex eigenvalues has no rule: "
            "write output='complex'"
        )
    return t, z
