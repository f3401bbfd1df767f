"""`scipy.linalg`: banded matrices, given by their diagonals, and tridiagonal eigenproblems.

A band has row k for the diagonal ``u - k`` above the main one: element (i, j) of the matrix is at
``[u + i - j, j]``. Work and memory stay those of the band, but for eigenvectors, whose derivatives
are those of the whole matrix.
"""

import numpy as np
import scipy.linalg

from fastbp._core.graph import array_of, values_of
from fastbp.errors import DTypeError, ShapeError
from fastbp.rules import batching, patterns
from fastbp.rules.linalg.decompositions import cholesky_op
from fastbp.rules.linalg.eigen import DEGENERATE, eigh_op
from fastbp.rules.linalg.of_scipy import of_scipy, operands, stacked
from fastbp.rules.linalg.spectral import hermitian_op, like
from fastbp.rules.linalg.triangular import columns_of, triangle_solve
from fastbp.rules.numpy.products import aligned, mh, of_all_columns
from fastbp.rules.numpy.structural import conjugated
from fastbp.rules.table import general

# ---- bands


def _shifted(x, k):
    """Return along the last axis what is k places further on, zeros beyond."""
    n = x.shape[-1]
    if abs(k) >= n:
        return np.zeros(x.shape, x.dtype)
    zeros = np.zeros((*x.shape[:-1], abs(k)), x.dtype)
    return np.concatenate([x[..., k:], zeros] if k >= 0 else [zeros, x[..., :k]], -1)


def _transposed(ab, lower, upper):
    """Return the band of the transpose, which has `upper` diagonals below, `lower` above."""
    rows = [_shifted(ab[..., upper + k, :], -k) for k in range(lower, -upper - 1, -1)]
    return np.stack(rows, -2)


def _product(ab, x, lower, upper):
    """Multiply columns by a band."""
    total = 0.0
    for k in range(-upper, lower + 1):  # below the diagonal
        moved = np.swapaxes(ab[..., upper + k, :, None] * x, -1, -2)
        total = total + _shifted(moved, -k)
    return np.swapaxes(total, -1, -2)


def _outer(g, x, lower, upper):
    """Return the band of ``g @ x.T``."""
    g, x = np.swapaxes(g, -1, -2), np.swapaxes(x, -1, -2)
    rows = [np.sum(_shifted(g, k) * x, -2) for k in range(-upper, lower + 1)]
    return np.stack(rows, -2)


def _whole(ab, lower, upper):
    """Return a matrix by its band."""
    n = ab.shape[-1]
    below = np.arange(n)[:, None] - np.arange(n)
    inside = (below >= -upper) & (below <= lower)
    rows = np.where(inside, upper + below, 0)
    return ab[..., rows, np.arange(n)] * inside.astype(ab.real.dtype)


def _hermitian_band(ab, lower):
    """Return the band of a Hermitian matrix by one half of it."""
    count = ab.shape[-2] - 1
    main = ab[..., 0 if lower else count, :]
    if ab.dtype.kind == "c":
        main = np.astype(np.real(main), ab.dtype)
    if lower:
        below = [ab[..., k, :] for k in range(1, count + 1)]
        above = [_shifted(conjugated(x), -k) for k, x in enumerate(below, 1)][::-1]
    else:
        above = [ab[..., k, :] for k in range(count)]
        below = [_shifted(conjugated(x), k) for k, x in enumerate(above[::-1], 1)]
    # What stands outside of the matrix is not read.
    return np.stack([*above, main, *below], -2) * _inside(ab.shape[-1], count, count, ab.real.dtype)


def _inside(n, lower, upper, dtype):
    rows = np.arange(n) + np.arange(-upper, lower + 1)[:, None]
    return ((rows >= 0) & (rows < n)).astype(dtype)


# ---- systems


def _solve_one(ab, b, lower, upper, positive):
    if not b.size:
        return np.zeros(b.shape, b.dtype)
    if ab.shape[-1] == 1:  # SciPy 1.13 divides by what stands in another row
        return b / ab[upper]
    if positive:
        return scipy.linalg.solveh_banded(ab[: upper + 1], b, check_finite=False)
    return scipy.linalg.solve_banded((lower, upper), ab, b, check_finite=False)


_each = stacked(_solve_one, 2, 2)


def _solve(ab, b, lower, upper, positive):
    if ab.ndim == 2 and b.ndim > 2:  # one matrix, all columns at once
        return of_all_columns(lambda x: _solve_one(ab, x, lower, upper, positive), b)
    return _each(ab, b, lower=lower, upper=upper, positive=positive)


def _vjp(g, needs, ans, ab, b, lower, upper, positive):
    turned = _transposed(ab, lower, upper)
    b_bar = band_op(turned, g, lower=upper, upper=lower, positive=positive)
    return -_outer(b_bar, ans, lower, upper) if needs[0] else None, b_bar


def _jvp(tangents, ans, ab, b, lower, upper, positive):
    t_ab, t_b = tangents
    right = 0.0
    if t_ab is not None:
        right = -_product(aligned(t_ab, ab, ans.ndim), ans, lower, upper)
    if t_b is not None:
        right = aligned(t_b, b, ans.ndim) + right
    return band_op(ab, right, lower=lower, upper=upper, positive=positive)


band_op = general(
    "linalg.solve_banded",
    _solve,
    nin=2,
    promotes=(0, 1),
    saves=(0, "ans"),
    vjp=_vjp,
    jvp=_jvp,
    pattern=patterns.everything,
    batch=batching.aligns,
)


def _solved(name, ab, b, lower, upper, positive=False):
    b, is_vector = columns_of(name, ab.shape[-1], b)
    x = band_op(ab, b, lower=lower, upper=upper, positive=positive)
    return x[..., 0] if is_vector else x


def _band_and_right(name, ab, b, what="ab"):
    ab, b = operands(name, **{what: ab, "b": b})
    if ab.ndim < 2:
        raise ShapeError(
            f"scipy.linalg.{name}: {what} must have a row for each diagonal, not shape {ab.shape}"
        )
    return ab, b


def _band(rng, rows, n, main):
    ab = 0.4 * rng.normal(size=(rows, n))
    ab[main] += 3.0
    return ab


@of_scipy(
    "solve_banded",
    samples=lambda rng: [
        (((1, 2), _band(rng, 4, 5, 2), rng.normal(size=5)), {}),
        (((1, 1), _band(rng, 3, 4, 1), rng.normal(size=(4, 2))), {}),
        (((0, 0), _band(rng, 1, 3, 0), rng.normal(size=3)), {}),
    ],
)
def solve_banded(l_and_u, ab, b):
    """Arguments as in `scipy.linalg.solve_banded`.

    Notes
    -----
    The cotangent of `b` solves the transposed system, that of `ab` is the band of an outer product:
    linear in the size of the matrix.
    """
    lower, upper = (int(k) for k in l_and_u)
    ab, b = _band_and_right("solve_banded", ab, b)
    if ab.shape[-2] != lower + upper + 1:
        raise ShapeError(
            f"scipy.linalg.solve_banded: ab of shape {ab.shape} must have {lower + upper + 1} rows "
            f"for {l_and_u}"
        )
    return _solved("solve_banded", ab, b, lower, upper)


@of_scipy(
    "solveh_banded",
    samples=lambda rng: [
        ((_band(rng, 3, 4, 2), rng.normal(size=4)), {}),
        ((_band(rng, 2, 3, 0), rng.normal(size=(3, 2))), {"lower": True}),
    ],
)
def solveh_banded(ab, b, lower=False):
    """Arguments as in `scipy.linalg.solveh_banded`; a diagonal stands for both that it is."""
    ab, b = _band_and_right("solveh_banded", ab, b)
    count = ab.shape[-2] - 1
    return _solved("solveh_banded", _hermitian_band(ab, bool(lower)), b, count, count, True)


@of_scipy(
    "cho_solve_banded",
    samples=lambda rng: [
        (((_band(rng, 3, 4, 2), False), rng.normal(size=4)), {}),
        (((_band(rng, 2, 3, 0), True), rng.normal(size=(3, 2))), {}),
    ],
)
def cho_solve_banded(cb_and_lower, b):
    """Arguments as in `scipy.linalg.cho_solve_banded`: two triangular systems."""
    cb, lower = cb_and_lower
    cb, b = _band_and_right("cho_solve_banded", cb, b, "cb")
    count = cb.shape[-2] - 1
    b, is_vector = columns_of("cho_solve_banded", cb.shape[-1], b)
    below, above = (count, 0) if lower else (0, count)
    turned = conjugated(_transposed(cb, below, above))
    first = {"lower": below, "upper": above, "positive": False}
    second = {"lower": above, "upper": below, "positive": False}
    if lower:
        x = band_op(turned, band_op(cb, b, **first), **second)
    else:
        x = band_op(cb, band_op(turned, b, **second), **first)
    return x[..., 0] if is_vector else x


# ---- Cholesky factors: those of blocks on the diagonal, and of what is below them

BLOCK = 32  # rows of a block at least: fewer are faster one by one


def _of_blocks(n, size, first, lower, upper):
    """Return where elements of blocks stand in a band, and which stand there.

    Block k has the rows from ``k * size + first`` and the columns from ``k * size``.
    """
    k = np.arange(0, n, size)[:, None, None]
    j = np.arange(size)
    below = first + j[:, None] - j
    columns = k + j
    inside = (below >= -upper) & (below <= lower) & (columns < n) & (columns + below < n)
    return np.where(inside, upper + below, 0), np.minimum(columns, n - 1), inside


def _factor(band, count):
    """Return the lower half of the band of a factor, by the band of a Hermitian matrix."""
    n = band.shape[-1]
    size = min(max(count, BLOCK), n)
    real = band.real.dtype
    rows, columns, inside = _of_blocks(n, size, 0, count, count)
    beyond = np.eye(size) * (columns == n - 1) * ~inside  # a unit matrix behind the last row
    main = band[..., rows, columns] * inside.astype(real) + beyond.astype(real)
    rows, columns, inside = _of_blocks(n, size, size, count, count)
    below = band[..., rows, columns] * inside.astype(real)
    factors, sides = [], []
    for k in range(main.shape[-3]):
        block = main[..., k, :, :]
        if sides:
            block = block - sides[-1] @ mh(sides[-1])
        factors.append(cholesky_op(block))
        sides.append(mh(triangle_solve(factors[-1], mh(below[..., k, :, :]), True)))
    # Rows of a band are gathered of a block and the one below it.
    whole = np.concatenate([np.stack(factors, -3), np.stack(sides, -3)], -2)
    j = np.arange(n)
    at = j % size + np.arange(count + 1)[:, None]
    found = whole[..., j // size, np.minimum(at, 2 * size - 1), j % size]
    return found * _inside(n, count, 0, real)


@of_scipy(
    "cholesky_banded",
    samples=lambda rng: [
        ((_band(rng, 3, 4, 2),), {}),
        ((_band(rng, 2, 3, 0),), {"lower": True}),
    ],
)
def cholesky_banded(ab, lower=False):
    """Arguments as in `scipy.linalg.cholesky_banded`.

    Notes
    -----
    By the factors of blocks as large as the band is wide: linear in the size of the matrix.
    """
    (ab,) = operands("cholesky_banded", ab=ab)
    if ab.ndim < 2:
        raise ShapeError(
            f"scipy.linalg.cholesky_banded: ab of shape {ab.shape} must have a row for each "
            "diagonal"
        )
    count, n = ab.shape[-2] - 1, ab.shape[-1]
    if not ab.size:
        return ab
    factor = _factor(_hermitian_band(ab, bool(lower)), count)
    below, above = (count, 0) if lower else (0, count)
    # Outside of the matrix SciPy leaves what is there.
    rest = ab * (1.0 - _inside(n, below, above, ab.real.dtype))
    return (factor if lower else conjugated(_transposed(factor, count, 0))) + rest


# ---- eigenvalues


def _part(name, w, v, select, select_range):
    if select in ("a", "all", 0):
        return w, v
    low, high = select_range
    if select in ("i", "index", 2):
        part = slice(int(low), int(high) + 1)
    elif select in ("v", "value", 1):
        if w.ndim > 1:
            raise ShapeError(
                f"scipy.linalg.{name}: select='v' would choose another number of eigenvalues of "
                "each matrix of a stack: take select='i', or a mask of all of them"
            )
        known = np.asarray(array_of(values_of(w)))
        part = np.flatnonzero((known > low) & (known <= high))
    else:
        raise ValueError(f"scipy.linalg.{name}: select={select!r} is none of 'a', 'i', 'v'")
    return w[..., part], v[..., part]


def _banded_spectrum(name, a_band, lower, select, select_range):
    (a_band,) = operands(name, a_band=a_band)
    if a_band.ndim < 2 or not a_band.shape[-2]:
        raise ShapeError(
            f"scipy.linalg.{name}: a_band of shape {a_band.shape} must have a row for each diagonal"
        )
    count = a_band.shape[-2] - 1
    whole = _whole(_hermitian_band(a_band, bool(lower)), count, count)
    w, v = hermitian_op(whole, uplo="L", driver=None)
    w, v = _part(name, w, v, select, select_range)
    known = np.asarray(array_of(values_of(a_band)))
    vectors = _vectors_of_band(known, lower=lower, select=select, select_range=select_range)
    return w, like(v, vectors)


# SciPy 1.15 takes no stacks.
_vectors_of_band = stacked(
    lambda a, **options: scipy.linalg.eig_banded(a, check_finite=False, **options)[1], 2
)
_vectors_of_tridiagonal = stacked(
    lambda d, e, **options: scipy.linalg.eigh_tridiagonal(d, e, check_finite=False, **options)[1],
    1,
    1,
)


@of_scipy(
    "eig_banded",
    kinks=DEGENERATE,
    samples=lambda rng: [
        ((np.array([[0.0, 0.5, 0.4], [1.0, 3.0, 6.0]]),), {}),
        ((np.array([[1.0, 3.0, 6.0], [0.5, 0.4, 0.0]]),), {"lower": True, "eigvals_only": True}),
        (
            (np.array([[1.0, 3.0, 6.0], [0.5, 0.4, 0.0]]),),
            {"lower": True, "eigvals_only": True, "select": "i", "select_range": (1, 2)},
        ),
    ],
)
def eig_banded(a_band, lower=False, eigvals_only=False, select="a", select_range=None, max_ev=0):
    """Arguments as in `scipy.linalg.eig_banded`; derivatives as in `eigh`.

    They are those of the whole matrix, and take memory for all of its elements.
    """
    w, v = _banded_spectrum("eig_banded", a_band, lower, select, select_range)
    return w if eigvals_only else (w, v)


@of_scipy(
    "eigvals_banded",
    samples=lambda rng: [((np.array([[0.0, 0.5, 0.4], [1.0, 3.0, 6.0]]),), {})],
)
def eigvals_banded(a_band, lower=False, select="a", select_range=None):
    """Arguments as in `scipy.linalg.eigvals_banded`; derivatives as in `eig_banded`."""
    return _banded_spectrum("eigvals_banded", a_band, lower, select, select_range)[0]


def _dense(d, e):
    n = d.shape[-1]
    side = np.concatenate([e, np.zeros((*e.shape[:-1], 1), e.dtype)], -1)
    below = _shifted_rows(side, n)
    return d[..., None] * np.eye(n, dtype=d.dtype) + below + np.swapaxes(below, -1, -2)


def _shifted_rows(side, n):
    """Return the matrix with `side` below its diagonal."""
    return side[..., None, :] * np.eye(n, k=-1, dtype=side.dtype)


def _tridiagonal_vjp(g, needs, ans, d, e):
    whole = eigh_op.vjp[0](g, ans, None, "L")
    n = whole.shape[-1]
    k = np.arange(n)
    of_e = whole[..., k[1:], k[:-1]] + whole[..., k[:-1], k[1:]]
    return np.diagonal(whole, 0, -2, -1), of_e


def _tridiagonal_jvp(tangents, ans, d, e):
    t_d, t_e = tangents
    t_d = np.zeros(t_e.shape[:-1] + d.shape, d.dtype) if t_d is None else t_d
    t_e = np.zeros(t_d.shape[:-1] + e.shape, e.dtype) if t_e is None else t_e
    return eigh_op.jvp[0](_dense(t_d, t_e), ans, None, "L")


tridiagonal_op = general(
    "linalg.eigh_tridiagonal",
    # SciPy 1.13 takes no stacks.
    stacked(lambda d, e: tuple(scipy.linalg.eigh_tridiagonal(d, e, check_finite=False)), 1, 1),
    nin=2,
    nout=2,
    promotes=(0, 1),
    saves=(("ans", 0), ("ans", 1)),
    vjp=_tridiagonal_vjp,
    jvp=_tridiagonal_jvp,
    pattern=(patterns.everything, patterns.everything),
    source=eigh_op.info["source"],
    batch=batching.aligns,
)


def _tridiagonal_spectrum(name, d, e):
    d, e = operands(name, d=d, e=e)
    if d.dtype.kind == "c":
        raise DTypeError(f"scipy.linalg.{name}: d and e must be real")
    if not d.ndim or not e.ndim or d.shape[-1] != e.shape[-1] + 1:
        raise ShapeError(
            f"scipy.linalg.{name}: d of shape {d.shape} must have one element more than e of shape "
            f"{e.shape}"
        )
    lead = np.broadcast_shapes(d.shape[:-1], e.shape[:-1])
    return tridiagonal_op(*[np.broadcast_to(x, (*lead, x.shape[-1])) for x in (d, e)])


@of_scipy(
    "eigh_tridiagonal",
    kinks=DEGENERATE,
    samples=lambda rng: [
        ((np.array([1.0, 3.0, 6.0]), np.array([0.5, 0.4])), {}),
        (
            (np.array([1.0, 3.0, 6.0]), np.array([0.5, 0.4])),
            {"eigvals_only": True, "select": "i", "select_range": (0, 1)},
        ),
        (
            (np.array([1.0, 3.0, 6.0]), np.array([0.5, 0.4])),
            {"select": "v", "select_range": (0.0, 5.0)},
        ),
    ],
)
def eigh_tridiagonal(
    d, e, eigvals_only=False, select="a", select_range=None, tol=0.0, lapack_driver="auto"
):
    """Arguments as in `scipy.linalg.eigh_tridiagonal`; derivatives as in `eigh`.

    A part is taken from the whole spectrum, whatever the driver.
    """
    name = "eigh_tridiagonal"
    w, v = _part(name, *_tridiagonal_spectrum(name, d, e), select, select_range)
    if eigvals_only:
        return w
    if select not in (0, "a", "all") or lapack_driver not in ("auto", "stemr"):
        plain = [np.asarray(array_of(values_of(x))) for x in (d, e)]
        options = {"select": select, "select_range": select_range, "lapack_driver": lapack_driver}
        v = like(v, _vectors_of_tridiagonal(*plain, **options))
    return w, v


@of_scipy(
    "eigvalsh_tridiagonal",
    samples=lambda rng: [((np.array([1.0, 3.0, 6.0]), np.array([0.5, 0.4])), {})],
)
def eigvalsh_tridiagonal(d, e, select="a", select_range=None, tol=0.0, lapack_driver="auto"):
    """Arguments as in `scipy.linalg.eigvalsh_tridiagonal`; derivatives as in `eigh`."""
    w, v = _tridiagonal_spectrum("eigvalsh_tridiagonal", d, e)
    return _part("eigvalsh_tridiagonal", w, v, select, select_range)[0]
