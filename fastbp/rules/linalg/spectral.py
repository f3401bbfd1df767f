"""`scipy.linalg`: eigenvalues of Hermitian matrices, singular values, QR and least squares.

The rules are those of `numpy.linalg` (`eigen`, `singular`, `orthogonal`, `least_squares`); values
and signs of vectors are SciPy's.
"""

import numpy as np
import scipy.linalg

from fastbp._core.graph import array_of, values_of
from fastbp.errors import NoRuleError, ShapeError
from fastbp.rules import batching
from fastbp.rules.linalg.decompositions import cholesky_op, of_symmetric, positive
from fastbp.rules.linalg.eigen import DEGENERATE, eigh_op
from fastbp.rules.linalg.least_squares import solved
from fastbp.rules.linalg.of_scipy import matrices, of_finite, of_scipy, operands, square, stacked
from fastbp.rules.linalg.orthogonal import qr_op
from fastbp.rules.linalg.singular import svd_op
from fastbp.rules.linalg.solving import inverse, mirror_op
from fastbp.rules.linalg.triangular import triangle_solve
from fastbp.rules.numpy.products import mh
from fastbp.rules.numpy.structural import conjugated
from fastbp.rules.table import general

__all__ = ["hermitian_op", "like"]


def _with_values_of(op, forward):
    """Return an operation with the rules of another one, and SciPy's values."""
    (vjp,), (jvp,) = op.vjp, op.jvp
    return general(
        f"{op.name}_of_scipy",
        stacked(forward, 2),
        nin=1,
        nout=op.nout,
        saves=tuple([("ans", k) for k in range(op.nout)]),
        vjp=(lambda g, ans, a, driver=None, **static: vjp(g, ans, a, **static),),
        jvp=(lambda t, ans, a, driver=None, **static: jvp(t, ans, a, **static),),
        pattern=op.pattern,
        free=lambda ans, a, driver=None, **static: op.free(ans, a, **static),
        batch=batching.aligns,
        source=op.info["source"],
    )


# ---- Hermitian matrices


@of_finite
def _eigh(a, *, uplo, driver):
    if not a.size:
        return np.zeros(0, a.real.dtype), a
    return tuple(scipy.linalg.eigh(a, lower=uplo == "L", driver=driver, check_finite=False))


hermitian_op = _with_values_of(eigh_op, _eigh)


def like(v, theirs):
    """Turn vectors by constant factors of absolute value 1 into those that SciPy returns."""
    plain = np.asarray(array_of(values_of(v)))
    along = np.sum(np.conj(plain) * theirs, -2, keepdims=True)
    return v * np.where(along == 0.0, 1.0, along / np.where(along == 0.0, 1.0, np.abs(along)))


def _generalised(a, b, lower, type, given):
    """Return eigenvalues and vectors of a pair, by the Cholesky factor of the second."""
    a = mirror_op(a, lower=lower, conjugate=True)
    c = cholesky_op(b) if lower else mh(cholesky_op(mh(b)))
    c = c if lower else mh(c)
    if type == 1:
        inner = triangle_solve(c, a, True)
        inner = mh(triangle_solve(c, mh(inner), True))
    else:
        inner = mh(c) @ a @ c
    w, y = hermitian_op(inner, uplo="L", driver=None)
    v = c @ y if type == 3 else triangle_solve(c, y, True, 2)
    plain = [np.asarray(array_of(values_of(x))) for x in given]
    return w, like(v, _pair(*plain, lower=lower, type=type))


_pair = stacked(lambda a, b, **options: scipy.linalg.eigh(a, b, **options)[1], 2, 2)


def _chosen(w, v, index, values):
    """Return a part of the spectrum, in ascending order."""
    if index is not None and values is not None:
        raise ValueError("scipy.linalg.eigh: either subset_by_index= or subset_by_value=")
    part = slice(None)
    if index is not None:
        low, high = (int(k) for k in index)
        if not 0 <= low <= high < w.shape[-1]:
            raise ValueError(
                f"scipy.linalg.eigh: subset_by_index={index} is no range of {w.shape[-1]} values"
            )
        part = slice(low, high + 1)
    elif values is not None:
        low, high = values
        known = np.asarray(array_of(values_of(w)))
        if known.ndim > 1:
            raise ShapeError("scipy.linalg.eigh: subset_by_value= is for one matrix, no stack")
        part = np.flatnonzero((known > low) & (known <= high))
    return w[..., part], None if v is None else v[..., part]


def _hermitian(rng, n):
    x = rng.normal(size=(n, n))
    return x + x.T + 3.0 * np.diag(np.arange(float(n)))


@of_scipy(
    "eigh",
    kinks=DEGENERATE,
    samples=lambda rng: [
        ((_hermitian(rng, 3),), {"driver": "evd"}),  # whose signs are continuous
        ((_hermitian(rng, 3),), {"lower": False, "driver": "ev"}),
        ((_hermitian(rng, 2),), {"eigvals_only": True, "subset_by_index": [1, 1]}),
    ],
)
@of_symmetric
def eigh(
    a,
    b=None,
    lower=True,
    eigvals_only=False,
    type=1,
    subset_by_index=None,
    subset_by_value=None,
    driver=None,
):
    """Arguments as in `scipy.linalg.eigh`; a subset is taken from the whole spectrum.

    Notes
    -----
    The derivative is along symmetric (Hermitian) directions, of `b` too: see `numpy.linalg.eigh`,
    also for equal eigenvalues.
    """
    w, v = _spectrum("eigh", a, b, lower, type, driver)
    w, v = _chosen(w, v, subset_by_index, subset_by_value)
    return w if eigvals_only else (w, v)


def _spectrum(name, a, b, lower, type, driver):
    if type not in (1, 2, 3):
        raise ValueError(f"scipy.linalg.{name}: type={type!r} is none of 1, 2, 3")
    if b is None:
        (a,) = square(name, a=a)
        driver = None if driver == "evr" else driver
        return hermitian_op(a, uplo="L" if lower else "U", driver=driver)
    a, b = square(name, a=a, b=b)
    return _generalised(a, b, bool(lower), type, (a, b))


@of_scipy(
    "eigvalsh",
    samples=lambda rng: [
        ((_hermitian(rng, 3),), {}),
        ((_hermitian(rng, 2), positive(rng, 2, 2)), {"lower": False}),
        ((_hermitian(rng, 2), positive(rng, 2, 2)), {"type": 2, "subset_by_index": (0, 0)}),
    ],
)
@of_symmetric
def eigvalsh(
    a, b=None, lower=True, type=1, subset_by_index=None, subset_by_value=None, driver=None
):
    """Arguments as in `scipy.linalg.eigvalsh`; derivatives as in `eigh`."""
    w = _spectrum("eigvalsh", a, b, lower, type, driver)[0]
    return _chosen(w, None, subset_by_index, subset_by_value)[0]


@of_scipy(
    "pinvh",
    samples=lambda rng: [
        ((_hermitian(rng, 3) + 4.0 * np.eye(3),), {}),
        ((np.diag([3.0, 0.4]) + 0.1 * _hermitian(rng, 2),), {"atol": 1.0}),
    ],
)
@of_symmetric
def pinvh(a, atol=None, rtol=None, lower=True):
    """Arguments as in `scipy.linalg.pinvh`; return_rank= is refused."""
    (a,) = square("pinvh", a=a)
    mirrored = mirror_op(a, lower=bool(lower), conjugate=True)
    return inverse(mirrored, atol, rtol)


# ---- singular values


@of_finite
def _svd(a, *, full):
    return tuple(scipy.linalg.svd(a, full_matrices=full, check_finite=False))


singular_op = _with_values_of(svd_op, _svd)


@of_scipy(
    "svd",
    kinks="vectors have none at equal singular values",
    samples=lambda rng: [
        ((rng.normal(size=(3, 2)),), {"full_matrices": False}),
        ((rng.normal(size=(3, 3)),), {}),
        ((rng.normal(size=(2, 3)),), {"compute_uv": False, "lapack_driver": "gesvd"}),
    ],
)
def svd(a, full_matrices=True, compute_uv=True, lapack_driver="gesdd"):
    """Arguments as in `scipy.linalg.svd`; the driver has no effect.

    Notes
    -----
    Derivatives, and where there are none, as in `numpy.linalg.svd`.
    """
    (a,) = matrices("svd", a=a)
    found = singular_op(a, full=bool(full_matrices and compute_uv))
    return tuple(found) if compute_uv else found[1]


@of_scipy("svdvals", samples=lambda rng: [((rng.normal(size=(3, 2)),), {})])
def svdvals(a):
    """Arguments as in `scipy.linalg.svdvals`."""
    (a,) = matrices("svdvals", a=a)
    return singular_op(a, full=False)[1]


# ---- QR


def _qr(a, complete):
    found = scipy.linalg.qr(a, mode="full" if complete else "economic", check_finite=False)
    return tuple(found[:2])


basis_op = _with_values_of(qr_op, _qr)


@of_scipy(
    "qr",
    samples=lambda rng: [
        ((rng.normal(size=(3, 2)),), {"mode": "economic"}),
        ((rng.normal(size=(3, 3)),), {"pivoting": True}),
        ((rng.normal(size=(2, 3)),), {}),
        ((rng.normal(size=(3, 2)),), {"mode": "r"}),
    ],
)
def qr(a, lwork=None, mode="full", pivoting=False):
    """Arguments as in `scipy.linalg.qr`; mode="raw" is refused, the order of columns a constant.

    Notes
    -----
    Derivatives as in `numpy.linalg.qr`.
    """
    if mode not in ("full", "r", "economic"):
        raise NoRuleError(
            f"scipy.linalg.qr: mode={mode!r} has no rule for Variables: write mode='economic'"
        )
    (a,) = matrices("qr", a=a)
    m, n = a.shape[-2:]
    order = ()
    if pivoting:
        order = (_order_of_columns(np.asarray(array_of(values_of(a)))),)
        a = np.take_along_axis(a, order[0][..., None, :].astype(np.intp), -1)
    if m >= n:
        q, r = basis_op(a, complete=mode != "economic" and m > n)
    else:
        q, r = basis_op(a[..., :, :m], complete=False)
        r = np.concatenate([r, mh(q) @ a[..., :, m:]], -1)
    return (r, *order) if mode == "r" else (q, r, *order)


_order_of_columns = stacked(
    lambda a: scipy.linalg.qr(a, mode="r", pivoting=True, check_finite=False)[-1], 2
)


# ---- RQ: the QR decomposition of the matrix turned around


def _turned(x):
    return np.flip(x, (-2, -1))


@of_scipy(
    "rq",
    samples=lambda rng: [
        ((rng.normal(size=(3, 3)),), {}),
        ((rng.normal(size=(2, 3)),), {"mode": "economic"}),
        ((rng.normal(size=(3, 3)),), {"mode": "r"}),
    ],
)
def rq(a, lwork=None, mode="full"):
    """Arguments as in `scipy.linalg.rq`; more rows than columns are refused.

    Notes
    -----
    By the QR decomposition of the adjoint in opposite order; the signs are SciPy's.
    """
    if mode not in ("full", "r", "economic"):
        raise ValueError("Mode argument should be one of ['full', 'r', 'economic']")
    (a,) = matrices("rq", a=a)
    m, n = a.shape[-2:]
    if m > n:
        raise NoRuleError(
            f"scipy.linalg.rq: a matrix of shape {(m, n)}, with more rows than columns, has no rule"
        )
    q, r = basis_op(_turned(mh(a)), complete=mode != "economic" and n > m)
    q, r = _turned(mh(q)), _turned(mh(r))
    theirs = _theirs(np.asarray(array_of(values_of(a))), economic=mode == "economic")
    q = mh(like(mh(q), np.conj(np.swapaxes(theirs, -1, -2))))
    r = a @ mh(q)
    # What rounding has left below the diagonal is zero.
    r = np.triu(r, r.shape[-1] - m)
    return r if mode == "r" else (r, q)


_theirs = stacked(
    lambda a, economic: scipy.linalg.rq(a, mode="economic" if economic else "full")[1], 2
)


# ---- least squares


@of_scipy(
    "lstsq",
    samples=lambda rng: [
        ((rng.normal(size=(4, 2)), rng.normal(size=4)), {}),
        ((rng.normal(size=(2, 3)), rng.normal(size=(2, 2))), {"cond": 1e-10}),
        ((np.array([[3.0, 0.5], [0.2, 1.5]]), rng.normal(size=2)), {"lapack_driver": "gelsd"}),
    ],
)
def lstsq(a, b, cond=None, lapack_driver=None):
    """Arguments as in `scipy.linalg.lstsq`, with the driver "gelsd"; the rank is a constant.

    Notes
    -----
    The derivative is that at constant rank, of the solution of least norm.
    """
    if lapack_driver not in (None, "gelsd"):
        raise NoRuleError(
            f"scipy.linalg.lstsq: lapack_driver={lapack_driver!r} is not supported for Variables, "
            "only 'gelsd'"
        )
    a, b = operands("lstsq", a=a, b=b)
    # As in SciPy, several axes are columns, whatever the stack of a.
    columns = b if b.ndim > 1 else b[:, None]
    if a.ndim < 2 or b.ndim < 1 or a.shape[-2] != columns.shape[-2]:
        raise ShapeError(
            f"scipy.linalg.lstsq: b of shape {b.shape} does not fit a of shape {a.shape}"
        )
    cond = float(np.finfo(a.dtype).eps) if cond is None else cond
    x, s, rank = solved(a, columns, cond)
    m, n = a.shape[-2:]
    rank = np.asarray(values_of(rank))
    squares = np.zeros((*x.shape[:-2], 0), x.dtype)
    full = rank == n
    if m > n and np.any(full):
        rest = columns - a @ x
        squares = np.sum(np.real(rest * conjugated(rest)), -2)
        squares = squares if np.all(full) else np.where(full[..., None], squares, np.nan)
        if b.ndim == 1:
            squares = squares[..., 0] if squares.ndim > 1 else squares[0]
    return x if b.ndim > 1 else x[..., 0], squares, rank if rank.ndim else int(rank), s
