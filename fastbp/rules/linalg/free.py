"""Moves of vectors that nothing fixes: of a basis among themselves, of complex ones by a phase.

The forward sweep asks what these change (`fastbp._core.forward`): they are the first two of a
block of tangents, and moves of the same vectors along anything are the other three.
"""

import numpy as np

from fastbp.rules.numpy.products import mh, mm

__all__ = ["behind", "leaving", "phases_of", "phases_of_form", "sum_of_moves", "turns_of"]

ALONG, ANYWHERE = 2, 3


def _numbers(x, *shape, seed=20):
    """Return random numbers, always the same, of the dtype of `x`."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=shape)
    if x.dtype.kind == "c":
        found = found + 1j * rng.normal(size=shape)
    return found.astype(x.dtype)


def _with_others(along, x):
    return np.concatenate([along, _numbers(x, ANYWHERE, *x.shape)])


def turns_of(v, among=None, seed=20):
    """Return moves of the columns of `v` among themselves; None of one real vector.

    With v of shape (..., m, r) they are of shape (5, ..., m, r). `among`, of shape (..., r), says
    which columns move.
    """
    r = v.shape[-1]
    if r < (1 if v.dtype.kind == "c" else 2) or not v.size:
        return None
    turn = _numbers(v, ALONG, *[1] * (v.ndim - 2), r, r, seed=seed)
    turn = turn - np.swapaxes(turn, -1, -2).conj()
    if among is not None:
        turn = np.where(np.logical_and(among[..., None, :], among[..., :, None]), turn, 0.0)
    return _with_others(mm(v, turn), v)


def phases_of_form(z, t):
    """Return moves of the complex columns `z` by phases, and of ``t = z.H @ a @ z`` with them."""
    if z.dtype.kind != "c" or not z.size:
        return None
    of_z = phases_of(z)
    turn = mm(mh(z), of_z[:ALONG])
    return _with_others(mm(t, turn) - mm(turn, t), t), of_z


def phases_of(v, turning=None, seed=20):
    """Return moves of complex columns `v` by phases; None of real ones.

    `turning`, of shape (..., r), says which ones move, `seed` how: vectors with the same move
    together.
    """
    if v.dtype.kind != "c" or not v.size:
        return None
    phases = np.real(_numbers(v, ALONG, *[1] * (v.ndim - 1), v.shape[-1], seed=seed)) * 1j
    if turning is not None:
        phases = phases * turning[..., None, :]
    return _with_others(v * phases.astype(v.dtype), v)


def leaving(v, free):
    """Return moves of `free` columns out of what `v` spans; None where it spans everything."""
    if v.shape[-1] == v.shape[-2] or not v.size:
        return None
    away = _numbers(v, ALONG, *v.shape)
    away = away - mm(v, mm(mh(v), away))
    return _with_others(np.where(free[..., None, :], away, 0.0), v)


def sum_of_moves(*moves):
    """Return one block of several, which may be None."""
    moves = [x for x in moves if x is not None]
    if len(moves) < 2:
        return moves[0] if moves else None
    return np.concatenate([sum(x[:ALONG] for x in moves), moves[0][ALONG:]])


def behind(n, moves):
    """Return `moves` behind `n` columns that stay."""
    return np.concatenate([np.zeros((*moves.shape[:-1], n), moves.dtype), moves], -1)
