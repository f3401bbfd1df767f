"""Gaps between eigenvalues, or singular values: what derivatives of their vectors divide by."""

import numpy as np

from fastbp._core.graph import array_of, passive, values_of
from fastbp.errors import DegenerateError, DTypeError
from fastbp.rules import batching, patterns
from fastbp.rules.linalg import lapack, plans
from fastbp.rules.table import general

__all__ = [
    "check_apart",
    "check_beyond",
    "check_phases",
    "diagonal_of",
    "from_gaps",
    "lost_where",
    "reciprocals",
    "ties",
    "with_diagonal",
]


def ties(w):
    """Return which pairs of values are equal to rounding, as a matrix; the diagonal is True."""
    w = passive(w)
    size = np.max(np.abs(w), -1, keepdims=True, initial=0.0)
    rounding = w.shape[-1] * np.finfo(w.dtype).eps * size
    return np.abs(w[..., None, :] - w[..., :, None]) <= rounding[..., None]


def reciprocals(w):
    """Return reciprocals of the gaps between values in order, and which pairs are equal, or None.

    Element (i, j) is ``1 / (w[j] - w[i])``, 0 of equal ones. A plan ends where some are equal, so
    that there are none here says nothing that must hold later.
    """
    found = lapack.gaps(array_of(w))
    if found is not None:
        return found if type(w) is np.ndarray else gaps_op(w), None
    tied = ties(w)
    return from_gaps(w[..., None, :] - w[..., :, None], tied), tied


def _gaps(w):
    if w.dtype.kind == "c":
        raise DTypeError("fastbp.linalg.gaps: differences of real numbers are needed")
    found = lapack.gaps(w)
    if found is None:
        raise DegenerateError(
            "numpy.linalg: eigenvalues or singular values are equal where others were apart when "
            "this was recorded, so their vectors have no derivative"
        )
    return found


def _gaps_vjp(g, ans, w):
    slope = g * ans * ans
    return np.sum(slope - np.swapaxes(slope, -1, -2), -1)


gaps_op = general(
    "linalg.gaps",
    _gaps,
    nin=1,
    saves=("ans",),
    vjp=(_gaps_vjp,),
    jvp=(lambda t, ans, w: ans * ans * (t[..., :, None] - t[..., None, :]),),
    pattern=patterns.couples_vectors,
    plan=plans.divides_by_gaps,
    batch=batching.aligns,
    samples=lambda rng: [((np.sort(rng.normal(size=(2, 3))) + np.arange(3.0),), {})],
)


def from_gaps(gap, tied):
    """Return the reciprocals of gaps, 0 of those that are tied."""
    return np.where(tied, 0.0, 1.0) / np.where(tied, 1.0, gap)


def lost_where(tied, gaps):
    """Return reciprocals of gaps with NaN for vectors whose value has an equal: they have none."""
    if tied is None:
        return gaps
    lost = np.sum(tied, -2) > 1
    return np.where(lost[..., None, :], np.nan, gaps) if np.any(lost) else gaps


def check_apart(name, what, tied, *turns):
    """Raise where a cotangent asks for a vector whose value has an equal.

    `turns` are the products of the vectors and their cotangents, which are columns. That
    those of a pair cancel says nothing: it may be by chance, or as in ``v * w @ v.T``, which has a
    derivative, but not this one.
    """
    if tied is None or tied.shape[-1] < 2:
        return
    pairs = np.logical_and(tied, ~np.eye(tied.shape[-1], dtype=bool))
    if type(pairs) is np.ndarray and not pairs.any():
        return
    used = np.zeros(tied.shape[-1], bool)
    for turn in turns:
        if np.ndim(turn):
            used = np.logical_or(used, np.any(passive(turn) != 0, -2))
    asked = np.asarray(values_of(np.logical_and(pairs, used[..., None, :])))
    found = np.argwhere(asked)
    if len(found):
        *_, i, j = found[0]
        which = ""
        if tied.ndim > 2:
            at = np.argwhere(asked.any((-2, -1)))[0][2 - tied.ndim :]
            which = f" of matrix {tuple(map(int, at))}"
        raise DegenerateError(
            f"{name}: {what} {min(i, j)} and {max(i, j)}{which} are equal, so their "
            "vectors have no derivative: only what depends on the values alone has one; a function "
            "of the matrix may have a rule of its own (numpy.linalg.matrix_power, "
            "fastbp.scipy.linalg.expm, sqrtm, logm, polar)"
        )


def _differ(turns, cotangents):
    """Say whether turns are more than rounding, beside the cotangents that they are made of.

    In a plan the answer is a guard.
    """
    sizes = [np.max(np.abs(passive(g)), initial=0.0) for g in cotangents]
    size = sizes[0] if len(sizes) == 1 else np.max(np.stack(sizes))
    bound = np.finfo(turns.dtype).eps ** 0.5 * turns.shape[-1]
    return bool(values_of(np.max(np.abs(turns)) > bound * size))


def check_beyond(name, what, turn, *cotangents):
    """Raise where a cotangent asks how vectors turn among themselves that nothing fixes."""
    turn = passive(turn)
    if turn.shape[-1] < (1 if turn.dtype.kind == "c" else 2) or not turn.size:
        return
    if _differ(turn - np.conj(np.swapaxes(turn, -1, -2)), cotangents):
        raise DegenerateError(
            f"{name}: the result depends on which {what} are chosen, which nothing "
            "fixes: only what is the same for all of them, as q2 @ q2.T, has a derivative"
        )


def check_phases(name, what, turns, *cotangents):
    """Raise where a cotangent asks how complex vectors turn by a phase, which nothing fixes.

    `turns` are the products of each vector and its cotangent, whose imaginary part is that.
    """
    turns = passive(turns)
    if turns.dtype.kind != "c" or not turns.size:
        return
    if _differ(np.imag(turns), cotangents):
        raise DegenerateError(
            f"{name}: the result depends on the phases of {what}, which nothing "
            "fixes: only what does not, as abs(v) ** 2 or v[:, :1] @ v[:, :1].conj().T, has a "
            "derivative"
        )


def diagonal_of(x):
    """Return the diagonals of matrices."""
    return np.diagonal(x, axis1=-2, axis2=-1)


def with_diagonal(d):
    """Return matrices with diagonals, and zeros beside."""
    return d[..., None, :] * np.eye(d.shape[-1], dtype=d.dtype)
