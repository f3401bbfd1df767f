"""`scipy.linalg`: Hessenberg form, symmetric indefinite factors, balanced matrices."""

import numpy as np
import scipy.linalg

from fastbp._core.graph import array_of, values_of
from fastbp.errors import DegenerateError
from fastbp.rules import batching, patterns
from fastbp.rules.linalg.decompositions import of_symmetric
from fastbp.rules.linalg.of_scipy import of_scipy, square, stacked
from fastbp.rules.linalg.solving import mirror_op
from fastbp.rules.numpy.products import mh, mm, mt
from fastbp.rules.numpy.structural import conjugated
from fastbp.rules.table import general

# ---- Hessenberg: the basis turns by what keeps zeros below the first subdiagonal, column by
# column as they follow from the first one (the implicit Q theorem)


def _turn(inner, h):
    """Return the skew-Hermitian K, of which column 0 is 0, with ``inner - K h + h K`` of the form.

    Elements next to the diagonal stay real.
    """
    n = h.shape[-1]
    rows = np.arange(n)[:, None]
    columns = [np.zeros((*inner.shape[:-1], 1), inner.dtype)]
    for j in range(n - 1):
        known = np.concatenate(columns, -1)
        over = h[..., j + 1, j, None, None]
        found = inner[..., :, j, None] + mm(h, known[..., :, j, None])
        found = (found - mm(known, h[..., : j + 1, j, None])) / over
        column = np.where(rows > j + 1, found, 0.0)
        if h.dtype.kind == "c":
            column = column + np.where(rows == j + 1, 1j * np.imag(found), 0.0)
        above = -conjugated(known[..., j + 1, None, :])
        below = np.zeros((*above.shape[:-1], n - 1 - j), above.dtype)
        columns.append(column + mt(np.concatenate([above, below], -1)))
    return np.concatenate(columns, -1)


def _hessenberg_jvp(t, ans, a):
    h, q = ans
    inner = mm(mh(q), mm(t, q))
    turn = _turn(inner, h)
    return np.triu(inner - mm(turn, h) + mm(h, turn), -1), mm(q, turn)


hessenberg_op = general(
    "linalg.hessenberg",
    stacked(lambda a: tuple(scipy.linalg.hessenberg(a, calc_q=True, check_finite=False)), 2),
    nin=1,
    nout=2,
    saves=(("ans", 0), ("ans", 1)),
    vjp=None,
    jvp=(_hessenberg_jvp,),
    pattern=(patterns.couples, patterns.couples),
    source="Golub and Van Loan 2013, theorem 7.4.2",
    batch=batching.aligns,
)


@of_scipy(
    "hessenberg",
    samples=lambda rng: [
        ((rng.normal(size=(4, 4)),), {"calc_q": True}),
        ((rng.normal(size=(3, 3)),), {}),
        ((rng.normal(size=(2, 2)),), {"calc_q": True}),
    ],
)
def hessenberg(a, calc_q=False):
    """Arguments as in `scipy.linalg.hessenberg`.

    Notes
    -----
    Elements next to the diagonal, which are real, keep their signs. Where one is zero the form is
    not unique, and has no derivative: `DegenerateError`.
    """
    (a,) = square("hessenberg", a=a)
    n = a.shape[-1]
    if n <= 2:
        q = np.zeros(a.shape) + np.eye(n)
        return (a, q) if calc_q else a
    h, q = hessenberg_op(a)
    plain = np.abs(array_of(values_of(h)))
    size = np.max(plain, (-2, -1), keepdims=True)[..., 0]
    if np.any(np.diagonal(plain, -1, -2, -1) <= n * np.finfo(plain.dtype).eps * size):
        raise DegenerateError(
            "scipy.linalg.hessenberg: an element next to the diagonal is zero, so the form is not "
            "unique and has no derivative"
        )
    return (h, q) if calc_q else h


# ---- L D L.H: what is below the blocks of ``inv(L) dA inv(L).H`` moves L, the blocks move D


def _blocks(d):
    """Return where the blocks of D are, of one row or two."""
    apart = np.asarray(array_of(values_of(d))) != 0.0
    return np.eye(d.shape[-1], dtype=bool) | apart


def _inverse_of_blocks(d, lower):
    """Return the inverse of D, whose last pivot is not needed, and may be zero."""
    n = d.shape[-1]
    last = np.equal(np.arange(n), n - 1 if lower else 0)
    alone = np.count_nonzero(_blocks(d), -1) == 1
    unneeded = np.eye(n, dtype=bool) & (last & alone)[..., None, :]
    return np.linalg.inv(np.where(unneeded, 1.0, d))


def _beside(d, lower):
    below = np.tri(d.shape[-1], k=-1, dtype=bool)
    return (below if lower else below.T) & ~_blocks(d)


def _ldl_vjp(g, ans, a, lower, hermitian):
    of_l, of_d, _ = g
    factor, d, _ = ans
    inverse = np.linalg.inv(factor)
    inner = 0.0
    if of_d is not None:
        inner = of_d * _blocks(d)
    if of_l is not None:
        beside = mm(mm(mt(factor), of_l), mt(_inverse_of_blocks(d, lower)))
        inner = inner + beside * _beside(d, lower)
    return mm(mm(mt(inverse), inner), conjugated(inverse) if hermitian else inverse)


def _ldl_jvp(t, ans, a, lower, hermitian):
    factor, d, _ = ans
    inverse = np.linalg.inv(factor)
    inner = mm(mm(inverse, t), mh(inverse) if hermitian else mt(inverse))
    turn = mm(inner * _beside(d, lower), _inverse_of_blocks(d, lower))
    return mm(factor, turn), inner * _blocks(d), None


def _ldl(a, lower, hermitian):
    return scipy.linalg.ldl(a, lower=lower, hermitian=hermitian, check_finite=False)


ldl_op = general(
    "linalg.ldl",
    stacked(_ldl, 2),
    nin=1,
    nout=3,
    constants=(2,),
    saves=(("ans", 0), ("ans", 1)),
    vjp=(_ldl_vjp,),
    jvp=(_ldl_jvp,),
    pattern=(patterns.couples, patterns.couples, patterns.nothing),
    source="by the rule of a Cholesky factor: Murray 2016",
    batch=batching.aligns,
)


def _indefinite(rng, n):
    x = rng.normal(size=(n, n))
    return x + x.T


@of_scipy(
    "ldl",
    samples=lambda rng: [
        ((_indefinite(rng, 4),), {}),
        ((np.array([[0.1, 2.0, 0.3], [2.0, 0.2, 0.4], [0.3, 0.4, 1.0]]),), {"lower": False}),
        ((_indefinite(rng, 3),), {"hermitian": False}),
    ],
)
@of_symmetric
def ldl(A, lower=True, hermitian=True):
    """Arguments as in `scipy.linalg.ldl`; the order of rows, and of blocks, is a constant.

    Notes
    -----
    The derivative is along symmetric (Hermitian) directions, as that of `cholesky`, of complex
    symmetric matrices in the triangle that is read.
    """
    (A,) = square("ldl", A=A)
    hermitian = bool(hermitian) or A.dtype.kind != "c"
    mirrored = mirror_op(A, lower=bool(lower), conjugate=hermitian)
    factor, d, order = ldl_op(mirrored, lower=bool(lower), hermitian=hermitian)
    return factor, d, np.asarray(order)


# ---- balanced matrices


def _balancing_one(a, permute, scale):
    transform = scipy.linalg.matrix_balance(a, permute, scale)[1]
    return transform, *scipy.linalg.matrix_balance(a, permute, scale, separate=True)[1]


_balancing = stacked(_balancing_one, 2)


@of_scipy(
    "matrix_balance",
    samples=lambda rng: [
        ((np.array([[1.0, 2.0, 0.1], [90.0, 1.0, 0.3], [1.0, 2.0, 30.0]]),), options)
        for options in ({}, {"separate": True})
    ],
)
def matrix_balance(A, permute=True, scale=True, separate=False):
    """Arguments as in `scipy.linalg.matrix_balance`; the scales, powers of 2, are constants."""
    (A,) = square("matrix_balance", A=A)
    plain = np.asarray(array_of(values_of(A)))
    transform, factors, order = _balancing(plain, permute=permute, scale=scale)
    # The one row of each column that is not zero.
    rows = np.nonzero(np.swapaxes(transform != 0.0, -1, -2))[-1].reshape(A.shape[:-1])
    found = np.take_along_axis(A, rows[..., :, None], -2)
    found = np.take_along_axis(found, rows[..., None, :], -1)
    found = found * (factors[..., None, :] / factors[..., :, None]).astype(A.real.dtype)
    if not separate:
        return found, transform
    # SciPy makes one array of the pairs of a stack.
    return found, ((factors, order) if A.ndim == 2 else np.stack([factors, order], -2))
