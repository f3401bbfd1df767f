"""`scipy.linalg`: systems and products with Toeplitz and circulant matrices."""

import math

import numpy as np
import scipy.linalg

from fastbp._core.graph import array_of, values_of
from fastbp.errors import ShapeError
from fastbp.rules import batching, patterns
from fastbp.rules.linalg.assembly import toeplitz_of
from fastbp.rules.linalg.of_scipy import in_double, of_scipy, operands, stacked
from fastbp.rules.linalg.triangular import columns_of
from fastbp.rules.numpy.products import aligned, of_all_columns
from fastbp.rules.numpy.structural import as_operand, conjugated
from fastbp.rules.table import general

# ---- by Levinson's recursion


def _levinson(c, r, b):
    if not b.size:
        return np.zeros(b.shape, b.dtype)
    c, r, b = (np.require(x, requirements="W") for x in (c, r, b))  # for SciPy before 1.15
    return scipy.linalg.solve_toeplitz((c, r), b, check_finite=False).astype(b.dtype)


_each_levinson = stacked(_levinson, 1, 1, 2)


def _solve(c, r, b):
    if c.ndim == r.ndim == 1 and b.ndim > 2:  # one matrix, all columns at once
        return of_all_columns(lambda x: _levinson(c, r, x), b)
    return _each_levinson(c, r, b)


def _corner(c, r):
    """Return the first row with the corner of the column, which is the one that is read."""
    lead = np.broadcast_shapes(c.shape[:-1], r.shape[:-1])
    parts = [np.broadcast_to(x, (*lead, x.shape[-1])) for x in (c[..., :1], r[..., 1:])]
    return np.concatenate(parts, -1)


def _lagged(u, x):
    """Return ``sum(u[j + k] x[j])`` for each k, over all columns."""
    n = u.shape[-2]
    padded = np.concatenate([u, np.zeros((*u.shape[:-2], n, u.shape[-1]), u.dtype)], -2)
    shifted = padded[..., np.arange(n)[:, None] + np.arange(n), :]
    return np.sum(shifted * x[..., None, :, :], axis=(-2, -1))


def _vjp(g, needs, ans, c, r, b):
    b_bar = solve_op(_corner(c, r), c, g)
    of_r = -_lagged(ans, b_bar) if needs[1] else None
    if of_r is not None:
        of_r = of_r * (np.arange(of_r.shape[-1]) > 0)
    return -_lagged(b_bar, ans) if needs[0] else None, of_r, b_bar


def _jvp(tangents, ans, c, r, b):
    t_c, t_r, t_b = tangents
    right = 0.0
    if t_c is not None or t_r is not None:
        # Each alone has a row, or a column, of zeros.
        t_c = None if t_c is None else _in_front(t_c, c, ans)
        t_r = None if t_r is None else _in_front(t_r, r, ans)
        column = np.zeros(t_r.shape, t_r.dtype) if t_c is None else t_c
        row = np.zeros(t_c.shape, t_c.dtype) if t_r is None else t_r
        right = -(toeplitz_of(column, row) @ ans)
    if t_b is not None:
        right = aligned(t_b, b, ans.ndim) + right
    return solve_op(c, r, right)


def _in_front(t, x, ans):
    """Insert axes behind the block axes of a tangent of a vector, one less than of columns."""
    return aligned(t, x, ans.ndim - 1)


solve_op = general(
    "linalg.solve_toeplitz",
    _solve,
    nin=3,
    promotes=(0, 1, 2),
    saves=(0, 1, "ans"),
    vjp=_vjp,
    jvp=_jvp,
    pattern=patterns.everything,
    batch=batching.with_cores(1, 1, 2),
    source="G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed., section 4.7",
)


def _pair(name, c_or_cr):
    """Return the first column and row, of a pair or of a column alone."""
    what = f"scipy.linalg.{name}: "
    if isinstance(c_or_cr, tuple):
        c, r = (np.reshape(as_operand(x, what + y), -1) for x, y in zip(c_or_cr, "cr", strict=True))
    else:
        c = np.reshape(as_operand(c_or_cr, what + "c"), -1)
        r = conjugated(c)
    return c, r


@of_scipy(
    "solve_toeplitz",
    samples=lambda rng: [
        (((np.array([3.0, 0.5, -0.4]), rng.normal(size=3)), rng.normal(size=3)), {}),
        ((np.array([3.0, 0.5, -0.4]), rng.normal(size=(3, 2))), {}),
    ],
)
def solve_toeplitz(c_or_cr, b):
    """Arguments as in `scipy.linalg.solve_toeplitz`, one matrix, in double precision.

    Notes
    -----
    The cotangents solve the transposed system, by Levinson's recursion, too.
    """
    c, r = _pair("solve_toeplitz", c_or_cr)
    c, r, b = in_double(*operands("solve_toeplitz", c=c, r=r, b=b))
    if c.shape != r.shape:
        raise ShapeError(
            f"scipy.linalg.solve_toeplitz: c of shape {c.shape} and r of shape {r.shape} must be "
            "of one size"
        )
    shape = b.shape
    if not shape or shape[0] != c.shape[0]:
        raise ShapeError(
            f"scipy.linalg.solve_toeplitz: b of shape {shape} does not fit a matrix of "
            f"{c.shape[0]} rows"
        )
    x = solve_op(c, r, np.reshape(b, (shape[0], math.prod(shape[1:]))))
    return np.reshape(x, shape)


# ---- by Fourier transforms, as SciPy does it


@of_scipy(
    "matmul_toeplitz",
    samples=lambda rng: [
        (((rng.normal(size=3), rng.normal(size=2)), rng.normal(size=2)), {}),
        ((rng.normal(size=3), rng.normal(size=(3, 2))), {"workers": 1}),
    ],
)
def matmul_toeplitz(c_or_cr, x, workers=None):
    """Arguments as in `scipy.linalg.matmul_toeplitz`, one matrix, in double precision."""
    c, r = _pair("matmul_toeplitz", c_or_cr)
    c, r, x = in_double(*operands("matmul_toeplitz", c=c, r=r, x=x))
    x, is_vector = columns_of("matmul_toeplitz", r.shape[0], x)
    n, m = c.shape[0], r.shape[0]
    if not (n and m):  # transforms need elements
        found = np.zeros((n, m), x.dtype) @ x
        return found[..., 0] if is_vector else found
    circle = np.concatenate([c, np.flip(r[1:], -1)])
    size = n + m - 1
    if circle.dtype.kind == "c":
        found = np.fft.ifft(
            np.fft.fft(circle)[:, None] * np.fft.fft(x, size, axis=-2), size, axis=-2
        )
    else:
        found = np.fft.irfft(
            np.fft.rfft(circle)[:, None] * np.fft.rfft(x, size, axis=-2), size, axis=-2
        )
    found = found[..., :n, :]
    return found[..., 0] if is_vector else found


@of_scipy(
    "solve_circulant",
    samples=lambda rng: [
        ((np.array([3.0, 0.5, -0.4]), rng.normal(size=3)), {}),
        ((np.array([3.0, 0.5, -0.4]), rng.normal(size=(3, 2))), {}),
        (
            (np.array([[3.0, 0.5, -0.4], [2.0, 0.1, 0.3]]), rng.normal(size=(3, 2))),
            {"caxis": -1, "baxis": 0, "outaxis": -1},
        ),
    ],
)
def solve_circulant(c, b, singular="raise", tol=None, caxis=-1, baxis=0, outaxis=0):
    """Arguments as in `scipy.linalg.solve_circulant`; singular= must be "raise".

    A nearly singular matrix raises, as in SciPy.
    """
    if singular != "raise":
        raise ValueError(
            f"scipy.linalg.solve_circulant: singular={singular!r} is not supported for Variables, "
            "only 'raise'"
        )
    c, b = (np.atleast_1d(x) for x in operands("solve_circulant", c=c, b=b))
    scipy.linalg.solve_circulant(  # raises
        *(np.asarray(array_of(values_of(x))) for x in (c, b)), singular, tol, caxis, baxis, outaxis
    )
    c, b = np.moveaxis(c, caxis, -1), np.moveaxis(b, baxis, -1)
    if not c.shape[-1]:  # transforms need elements
        found = b / c
    else:
        found = np.fft.ifft(np.fft.fft(b) / np.fft.fft(c))
    found = found if "c" in (c.dtype.kind, b.dtype.kind) else np.real(found)
    return found if outaxis == -1 else np.moveaxis(found, -1, outaxis)
