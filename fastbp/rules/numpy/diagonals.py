"""Diagonals and triangles of matrices. A diagonal is a slice of the flattened matrix."""

import numpy as np

from fastbp._core.compiled import Adds
from fastbp.rules import patterns
from fastbp.rules.numpy.indexing import put_op
from fastbp.rules.numpy.structural import reshaped
from fastbp.rules.table import implements, linear, refuse


def _places(shape, offset):
    """Return rows and columns of the diagonal of matrices along the last two axes."""
    rows, columns = shape[-2:]
    first = max(-offset, 0)
    at = np.arange(first, max(first, min(rows, columns - offset)))
    return (..., at, at + offset)


def _undiagonal(g, shape, offset):
    into = np.zeros(g.shape[:-1] + shape, g.dtype)
    into[_places(shape, offset)] = g
    return into


def _add_diagonal(into, g, i, ans, x, offset):
    into[_places(x.shape, offset)] += g


# Read-only, as NumPy's is.
diagonal_op = linear(
    "diagonal",
    lambda x, offset: np.diagonal(x, offset, -2, -1),
    lambda g, ans, x, offset: undiagonal_op(g, shape=x.shape[-2:], offset=offset),
    compiled=Adds(_add_diagonal),
    pattern=patterns.moves,
)
undiagonal_op = linear(
    "undiagonal",
    _undiagonal,
    lambda g, ans, x, shape, offset: diagonal_op(g, offset=offset),
    pattern=patterns.moves,
)


def _along_diagonal(columns, offset, length):
    start = offset if offset >= 0 else -offset * columns
    return (..., slice(start, start + length * (columns + 1), columns + 1))


@implements(
    np.diagonal,
    method="diagonal",
    samples=lambda rng: [
        ((rng.normal(size=(3, 4)),), {}),
        ((rng.normal(size=(3, 4)), -1), {}),
        ((rng.normal(size=(3, 2)), 1), {}),
        ((rng.normal(size=(2, 3, 4)), 1, 2, 0), {}),
        ((rng.normal(size=(2, 3)), 5), {}),
    ],
)
def diagonal(a, offset=0, axis1=0, axis2=1):
    """Arguments as in `numpy.diagonal`."""
    np.diagonal(a._array, offset, axis1, axis2)  # raises where NumPy does
    return diagonal_op(np.moveaxis(a, (axis1, axis2), (-2, -1)), offset=int(offset))


@implements(
    np.diag,
    samples=lambda rng: [
        ((rng.normal(size=3),), {}),
        ((rng.normal(size=3), 1), {}),
        ((rng.normal(size=2), -2), {}),
        ((rng.normal(size=(3, 4)),), {}),
        ((rng.normal(size=(3, 4)), -1), {}),
        ((rng.normal(size=(0,)), 1), {}),
    ],
)
def diag(v, k=0):
    """Arguments as in `numpy.diag`."""
    if v.ndim == 2:
        return diagonal(v, k)
    if v.ndim != 1:
        raise ValueError("Input must be 1- or 2-d.")
    n = v.size + abs(k)
    flat = put_op(v, shape=(n * n,), index=_along_diagonal(n, k, v.size), own=1)
    return reshaped(flat, (n, n))


@implements(np.diagflat, samples=lambda rng: [((rng.normal(size=(2, 2)), 1), {})])
def diagflat(v, k=0):
    """Arguments as in `numpy.diagflat`."""
    return diag(np.ravel(v), k)


@implements(
    np.trace,
    method="trace",
    samples=lambda rng: [
        ((rng.normal(size=(3, 4)),), {}),
        ((rng.normal(size=(2, 3, 4)), -1, 2, 1), {"dtype": np.float64}),
    ],
)
def trace(a, offset=0, axis1=0, axis2=1, dtype=None, out=None):
    """Arguments as in `numpy.trace`; out= is refused."""
    refuse("trace", out=(out, None))
    return np.sum(diagonal(a, offset, axis1, axis2), -1, dtype)


# ---- triangles: operations of their own, so that the zeros are known not to depend on the values

tril_op = linear(
    "tril", lambda m, k: np.tril(m, k), lambda g, ans, m, k: np.tril(g, k), pattern=patterns.moves
)
triu_op = linear(
    "triu", lambda m, k: np.triu(m, k), lambda g, ans, m, k: np.triu(g, k), pattern=patterns.moves
)


def _as_matrix(m):
    """Let a vector be every row of a square matrix, as NumPy does."""
    return m if m.ndim > 1 else np.broadcast_to(m, (m.size, m.size))


@implements(
    np.tril,
    samples=lambda rng: [
        ((rng.normal(size=(3, 4)),), {}),
        ((rng.normal(size=(2, 3, 2)), -1), {}),
        ((rng.normal(size=3), 1), {}),
    ],
)
def tril(m, k=0):
    """Arguments as in `numpy.tril`."""
    return tril_op(_as_matrix(m), k=k)


@implements(
    np.triu,
    samples=lambda rng: [
        ((rng.normal(size=(3, 4)),), {}),
        ((rng.normal(size=(2, 3, 2)), -1), {}),
        ((rng.normal(size=3), 1), {}),
    ],
)
def triu(m, k=0):
    """Arguments as in `numpy.triu`."""
    return triu_op(_as_matrix(m), k=k)
