"""`scipy.linalg`: matrices assembled of vectors and of other matrices."""

import functools
import math
import warnings

import numpy as np
import scipy.linalg

from fastbp._core.graph import array_of
from fastbp.errors import ShapeError
from fastbp.rules.linalg.of_scipy import matrices, of_scipy, operands
from fastbp.rules.numpy.structural import as_operand, conjugated

__all__ = ["toeplitz_of"]


def _vectors(name, **given):
    found = operands(name, **given)
    for what, x in zip(given, found, strict=True):
        if x.ndim < 1:
            raise ShapeError(f"scipy.linalg.{name}: {what} must be a vector, not a number")
    return found


def _at_least_one(x):
    """Return a number as a vector of one element."""
    x = as_operand(x)
    return np.reshape(x, (1,)) if x.ndim == 0 else x


def _joined(*parts):
    """Join vectors whose axes in front broadcast."""
    lead = np.broadcast_shapes(*[x.shape[:-1] for x in parts])
    return np.concatenate([np.broadcast_to(x, (*lead, x.shape[-1])) for x in parts], -1)


@of_scipy(
    "block_diag",
    samples=lambda rng: [
        ((rng.normal(size=(2, 2)), rng.normal(size=(1, 3)), rng.normal(size=2)), {}),
        ((rng.normal(size=(0, 2)), rng.normal(size=(1, 1))), {}),
    ],
)
def block_diag(arrs):
    """Arguments as in `scipy.linalg.block_diag`."""
    blocks = operands("block_diag", **{f"array {k}": x for k, x in enumerate(arrs)})
    blocks = [np.reshape(x, (1, -1)) if x.ndim < 2 else x for x in blocks]
    width = sum(x.shape[-1] for x in blocks)
    lead = np.broadcast_shapes(*[x.shape[:-2] for x in blocks])
    rows, before = [], 0
    for x in blocks:
        x = np.broadcast_to(x, lead + x.shape[-2:])
        left = np.zeros((*x.shape[:-1], before), x.dtype)
        before += x.shape[-1]
        right = np.zeros((*x.shape[:-1], width - before), x.dtype)
        rows.append(np.concatenate([left, x, right], -1))
    return np.concatenate(rows, -2)


# ---- constant diagonals


def toeplitz_of(c, r):
    """Return the matrix with first column c and first row r, whose first element is not read."""
    n, m = c.shape[-1], r.shape[-1]
    diagonals = _joined(np.flip(c, -1), r[..., 1:])
    return diagonals[..., np.arange(n)[::-1, None] + np.arange(m)]


@functools.cache
def _stacks(name):
    """Whether the SciPy that is installed makes a stack of what has several axes, or ravels it."""
    with warnings.catch_warnings(action="ignore"):
        return getattr(scipy.linalg, name)(np.ones((2, 1))).ndim == 3


def _rows(name, x):
    return x if x.ndim == 1 or _stacks(name) else np.ravel(x)


def _column_and_row(name, c, r):
    c = _at_least_one(c)
    r = conjugated(c) if r is None else _at_least_one(r)
    return operands(name, c=c, r=r)


@of_scipy(
    "toeplitz",
    samples=lambda rng: [
        ((rng.normal(size=3),), {}),
        ((rng.normal(size=3), rng.normal(size=2)), {}),
    ],
)
def toeplitz(c, r=None):
    """Arguments as in `scipy.linalg.toeplitz`, several axes as the SciPy there is takes them."""
    return toeplitz_of(*[_rows("toeplitz", x) for x in _column_and_row("toeplitz", c, r)])


@of_scipy(
    "hankel",
    samples=lambda rng: [
        ((rng.normal(size=3),), {}),
        ((rng.normal(size=3), rng.normal(size=4)), {}),
    ],
)
def hankel(c, r=None):
    """Arguments as in `scipy.linalg.hankel`, several axes as the SciPy there is takes them."""
    c = _at_least_one(c)
    r = np.zeros(c.shape, c.dtype) if r is None else _at_least_one(r)
    c, r = (_rows("hankel", x) for x in operands("hankel", c=c, r=r))
    places = np.arange(c.shape[-1])[:, None] + np.arange(r.shape[-1])
    return _joined(c, r[..., 1:])[..., places]


@of_scipy("circulant", samples=lambda rng: [((rng.normal(size=3),), {})])
def circulant(c):
    """Arguments as in `scipy.linalg.circulant`, several axes as the SciPy there is takes them."""
    c = _rows("circulant", _at_least_one(c))
    n = c.shape[-1]
    return c[..., (np.arange(n)[:, None] - np.arange(n)) % max(n, 1)]


@of_scipy(
    "convolution_matrix",
    samples=lambda rng: [
        ((rng.normal(size=3), 4), {}),
        ((rng.normal(size=3), 4, "same"), {}),
        ((rng.normal(size=2), 3), {"mode": "valid"}),
    ],
)
def convolution_matrix(a, n, mode="full"):
    """Arguments as in `scipy.linalg.convolution_matrix`."""
    (a,) = _vectors("convolution_matrix", a=a)
    rows = scipy.linalg.convolution_matrix(np.ones(a.shape[-1]), n, mode).shape[0]  # raises, too
    size = a.shape[-1]
    first = {"full": 0, "same": (min(n, size) - 1) // 2, "valid": min(n, size) - 1}[mode]
    places = np.arange(first, first + rows)[:, None] - np.arange(n)
    inside = (places >= 0) & (places < size)
    return a[..., np.where(inside, places, 0)] * inside.astype(a.real.dtype)


# ---- others


@of_scipy(
    "companion",
    samples=lambda rng: [((rng.uniform(1.0, 2.0, 4),), {}), ((rng.uniform(1.0, 2.0, 2),), {})],
)
def companion(a):
    """Arguments as in `scipy.linalg.companion`."""
    (a,) = _vectors("companion", a=a)
    for row in np.asarray(array_of(a)).reshape(math.prod(a.shape[:-1]), a.shape[-1]):
        scipy.linalg.companion(row)  # raises
    n = a.shape[-1] - 1
    first = -a[..., 1:] / a[..., :1]
    below = np.broadcast_to(np.eye(n - 1, n, dtype=a.dtype), (*a.shape[:-1], n - 1, n))
    return np.concatenate([first[..., None, :], below], -2)


@of_scipy(
    "fiedler_companion",
    samples=lambda rng: [((rng.uniform(1.0, 2.0, n),), {}) for n in (6, 3, 2)],
)
def fiedler_companion(a):
    """Arguments as in `scipy.linalg.fiedler_companion`."""
    (a,) = _vectors("fiedler_companion", a=a)
    k = a.shape[-1]
    if k < 2:
        empty = scipy.linalg.fiedler_companion(np.ones(k))  # from 1.18 on of two axes
        return np.reshape(a[..., :0], (*a.shape[:-1], *empty.shape))
    # Which coefficient stands where: SciPy is asked for the matrix of their numbers.
    numbers = scipy.linalg.fiedler_companion(np.array([1.0, *range(2, k + 1)]))
    places = np.where(numbers < 0.0, -numbers, 1.0).astype(np.intp) - 1
    return -(a[..., places] / a[..., :1, None]) * (numbers < 0.0) + (numbers == 1.0)


@of_scipy("fiedler", samples=lambda rng: [((rng.normal(size=4),), {})])
def fiedler(a):
    """Arguments as in `scipy.linalg.fiedler`."""
    (a,) = _vectors("fiedler", a=a)
    if not a.size:
        return np.reshape(a, scipy.linalg.fiedler(np.zeros(a.shape)).shape)  # 1.18 has two axes
    eye = np.eye(a.shape[-1], dtype=a.real.dtype)  # where the root of zero has no derivative
    return np.abs(a[..., :, None] - a[..., None, :] + eye) * (1.0 - eye)


@of_scipy("leslie", samples=lambda rng: [((rng.normal(size=3), rng.normal(size=2)), {})])
def leslie(f, s):
    """Arguments as in `scipy.linalg.leslie`."""
    f, s = _vectors("leslie", f=f, s=s)
    n = f.shape[-1]
    if s.shape[-1] != n - 1 or not s.shape[-1]:
        raise ValueError(
            f"scipy.linalg.leslie: f of shape {f.shape} must have one element more than s, of "
            f"shape {s.shape}, which must have one at least"
        )
    below = s[..., None] * np.eye(n - 1, n, dtype=s.dtype)
    lead = np.broadcast_shapes(f.shape[:-1], s.shape[:-1])
    f = np.broadcast_to(f[..., None, :], (*lead, 1, n))
    return np.concatenate([f, np.broadcast_to(below, (*lead, n - 1, n))], -2)


@of_scipy(
    "khatri_rao",
    samples=lambda rng: [((rng.normal(size=(2, 3)), rng.normal(size=(4, 3))), {})],
)
def khatri_rao(a, b):
    """Arguments as in `scipy.linalg.khatri_rao`."""
    a, b = matrices("khatri_rao", a=a, b=b)
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(
            f"scipy.linalg.khatri_rao: a of shape {a.shape} and b of shape {b.shape} must have as "
            "many columns"
        )
    products = a[..., :, None, :] * b[..., None, :, :]
    return np.reshape(
        products, (*products.shape[:-3], a.shape[-2] * b.shape[-2], products.shape[-1])
    )
