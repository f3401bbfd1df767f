"""Polynomials and what they go through: roots, coefficients of roots, quotients, fits."""

import warnings

import numpy as np

from fastbp._core.graph import passive, values_of
from fastbp.rules import patterns
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.table import general, implements

# ---- roots: at a simple one p'(z) dz + dp(z) = 0


def _slopes(p, z):
    return np.polyval(np.polyder(p), z)


def _powers(p, z):
    return np.vander(z, p.shape[0])


def _roots_vjp(g, ans, p):
    return np.matmul(-g / _slopes(p, ans), _powers(p, ans))


def _roots_jvp(t, ans, p):
    return -np.matmul(_powers(p, ans), t[..., None])[..., 0] / _slopes(p, ans)


roots_op = general(
    "roots",
    np.roots,
    nin=1,
    saves=(0, "ans"),
    vjp=(_roots_vjp,),
    jvp=(_roots_jvp,),
    pattern=patterns.everything,
    source="the implicit function theorem",
    direct=("powers of the roots, times -g / p'(root)",),
)


@implements(
    np.roots,
    kinks="infinite or NaN at multiple roots",
    samples=lambda rng: [
        ((np.array([1.0, -3.5, 2.0, 0.5]),), {}),
        ((np.array([2.0, 1.0, 3.0]),), {}),
        ((np.array([1.0, -1.5, 0.3]),), {}),
    ],
)
def roots(p):
    """Arguments as in `numpy.roots`.

    Notes
    -----
    A simple root moves by ``-dp(z) / p'(z)``; a multiple one has no derivative.
    """
    p = np.atleast_1d(as_operand(p, "numpy.roots: p"))
    if p.ndim != 1:
        raise ValueError(f"numpy.roots: p has shape {p.shape}, coefficients are a vector")
    values_of(passive(p) != 0.0)  # zeros in front decide how many roots there are
    return roots_op(p)


def _poly_samples(rng):
    return [
        ((rng.normal(size=3),), {}),
        ((rng.normal(size=(2, 2)),), {}),
        (([0.5, rng.normal(size=())],), {}),
    ]


@implements(np.poly, samples=_poly_samples)
def poly(seq_of_zeros):
    """Arguments as in `numpy.poly`: roots, or a square matrix whose eigenvalues they are."""
    z = np.atleast_1d(as_operand(seq_of_zeros, "numpy.poly: seq_of_zeros"))
    if z.ndim == 2 and z.shape[0] == z.shape[1] and z.shape[0]:
        z = np.linalg.eigvals(z)
    elif z.ndim != 1:
        raise ValueError("input must be 1d or non-empty square 2d array.")
    if not z.shape[0]:
        return 1.0
    a = np.ones(1, z.dtype)
    for k in range(z.shape[0]):
        a = np.convolve(a, np.stack([np.ones((), z.dtype), -z[k]]))
    if a.dtype.kind == "c":
        value = values_of(z)
        if np.array_equal(np.sort(value), np.sort(value.conjugate())):
            return np.real(a)
    return a


def _polydiv_samples(rng):
    return [
        ((rng.normal(size=5), np.array([2.0, 0.5, -1.0])), {}),
        ((rng.normal(size=2), [2.0, 0.5, -1.0]), {}),
        (([3.0, 5.0, 2.0], np.array([2.0, 1.0])), {}),
    ]


@implements(np.polydiv, samples=_polydiv_samples)
def polydiv(u, v):
    """Arguments as in `numpy.polydiv`; how many leading zeros a remainder loses is a constant.

    Notes
    -----
    Elements of the remainder that the division makes zero are left out, also where NumPy keeps
    what rounding has left of them (more than 1e-8).
    """
    r, v = (
        np.atleast_1d(as_operand(x, f"numpy.polydiv: {name}")) for x, name in ((u, "u"), (v, "v"))
    )
    r = np.astype(r, np.result_type(r, v))
    n, scale = v.shape[0] - 1, 1.0 / v[0]
    quotient = []
    while r.shape[0] > n:
        quotient.append(scale * r[0])
        r = np.concatenate([r[1 : n + 1] - quotient[-1] * v[1:], r[n + 1 :]])
    r = r if n else np.zeros(1, r.dtype)
    value, zeros = values_of(r), 0
    while zeros < r.shape[0] - 1 and np.allclose(value[zeros], 0, rtol=1e-14):
        zeros += 1
    return np.stack(quotient) if quotient else np.zeros(1, r.dtype), r[zeros:]


# ---- fits


def _polyfit_samples(rng):
    x, y = np.array([0.1, 0.4, 1.0, 1.7, 2.3]), rng.normal(size=5)
    return [
        ((x, y, 2), {}),
        ((x, rng.normal(size=(5, 2)), 1), {"w": [1.0, 0.5, 2.0, 1.0, 0.8]}),
        ((x, y, 1), {"full": True}),
        ((x, y, 1), {"cov": True}),
        ((x, rng.normal(size=(5, 2)), 1), {"cov": "unscaled", "rcond": 1e-12}),
    ]


@implements(np.polyfit, samples=_polyfit_samples)
def polyfit(x, y, deg, rcond=None, full=False, w=None, cov=False):
    """Arguments as in `numpy.polyfit`.

    Notes
    -----
    Least squares on the columns of the Vandermonde matrix, each scaled to length 1.
    """
    order = int(deg) + 1
    x, y = (as_operand(v, f"numpy.polyfit: {name}") for v, name in ((x, "x"), (y, "y")))
    w = None if w is None else as_operand(w, "numpy.polyfit: w=", real=True)
    shapes = [np.zeros(x.shape), np.zeros(y.shape), min(order - 1, 0)]
    np.polyfit(*shapes, full=True, w=None if w is None else np.ones(w.shape))  # raises
    if rcond is None:
        rcond = x.shape[0] * np.finfo(x.dtype if x.dtype.kind in "fc" else np.float64).eps
    left, right = np.vander(x, order), y
    if w is not None:
        left = np.astype(left * w[:, None], left.dtype)
        right = np.astype(right * (w[:, None] if y.ndim == 2 else w), right.dtype)
    scale = np.sqrt(np.sum(left * left, 0))
    left = left / scale
    c, residuals, rank, s = np.linalg.lstsq(left, right, rcond)
    c = (c.T / scale).T
    if rank != order and not full:
        warnings.warn("Polyfit may be poorly conditioned", np.exceptions.RankWarning, stacklevel=3)
    if full:
        return c, residuals, rank, s, rcond
    if not cov:
        return c
    base = np.linalg.inv(left.T @ left) / np.outer(scale, scale)
    if cov == "unscaled":
        factor = 1.0
    else:
        if x.shape[0] <= order:
            raise ValueError(
                f"numpy.polyfit: {x.shape[0]} points for {order} coefficients leave no residuals, "
                "which cov=True needs: write cov='unscaled'"
            )
        factor = residuals / (x.shape[0] - order)
    return c, base * factor if y.ndim == 1 else base[:, :, None] * factor
