"""Gaps between eigenvalues, or singular values: what derivatives of their vectors divide by."""

import numpy as np

from fastbp._core.graph import is_passive, passive
from fastbp.errors import DegenerateError

__all__ = ["check_apart", "check_phases", "diagonal_of", "from_gaps", "ties", "with_diagonal"]


def ties(w, scale=None):
    """Return which pairs of values are equal to rounding, as a matrix; the diagonal is True."""
    w = passive(w)
    size = np.max(np.abs(w), -1, keepdims=True, initial=0.0) if scale is None else scale
    rounding = w.shape[-1] * np.finfo(w.dtype).eps * size
    return np.abs(w[..., None, :] - w[..., :, None]) <= rounding[..., None]


def from_gaps(gap, tied):
    """Return the reciprocals of gaps, 0 of those that are tied."""
    return np.where(tied, 0.0, 1.0) / np.where(tied, 1.0, gap)


def check_apart(name, what, tied, *cotangents):
    """Raise where a cotangent asks for a vector whose value has an equal.

    Cotangents have a column for each value; None is zero.
    """
    if is_passive(tied) or tied.shape[-1] < 2:
        return
    pairs = tied & ~np.eye(tied.shape[-1], dtype=bool)
    if not pairs.any():
        return
    for g in cotangents:
        if g is None:
            continue
        used = np.any(passive(g) != 0, axis=-2)
        found = np.argwhere((pairs & used[..., None, :]).reshape(-1, *tied.shape[-2:]))
        if len(found):
            _, i, j = found[0]
            which = ""
            if tied.ndim > 2:
                k = np.argwhere((pairs & used[..., None, :]).any((-2, -1)))[0]
                which = f" of matrix {tuple(map(int, k))}" if len(k) else ""
            raise DegenerateError(
                f"numpy.linalg.{name}: {what} {min(i, j)} and {max(i, j)}{which} are equal, so "
                "their vectors have no derivative: only what depends on the values alone has one; "
                "a function of the matrix may have a rule of its own (numpy.linalg.matrix_power, "
                "fastbp.scipy.linalg.expm, sqrtm, logm)"
            )


def check_phases(name, what, turns, *cotangents):
    """Raise where a cotangent asks how complex vectors turn by a phase, which nothing fixes.

    `turns` are the products of each vector and its cotangent, whose imaginary part is that.
    """
    if type(turns) is not np.ndarray or turns.dtype.kind != "c" or not turns.size:
        return
    size = max([np.max(np.abs(g), initial=0.0) for g in map(passive, cotangents)])
    bound = np.finfo(turns.dtype).eps ** 0.5 * turns.shape[-1]
    if np.max(np.abs(np.imag(turns))) > bound * size:
        raise DegenerateError(
            f"numpy.linalg.{name}: the result depends on the phases of {what}, which nothing "
            "fixes: only what does not, as abs(v) ** 2 or v[:, :1] @ v[:, :1].conj().T, has a "
            "derivative"
        )


def diagonal_of(x):
    """Return the diagonals of matrices."""
    return np.diagonal(x, axis1=-2, axis2=-1)


def with_diagonal(d):
    """Return matrices with diagonals, and zeros beside."""
    return d[..., None, :] * np.eye(d.shape[-1], dtype=d.dtype)
