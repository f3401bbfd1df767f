"""How a long chain grows or shrinks vectors: Lyapunov exponents and norms, without overflow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigvalsh, lapack  # not NumPy's: see `squares`

from fastbp import plotting
from fastbp._core.matmul import matmul
from fastbp.chain.base import Factor
from fastbp.chain.execution import rescaled
from fastbp.chain.factors.dense import Dense
from fastbp.chain.products import multiply
from fastbp.errors import ShapeError

__all__ = ["Norms", "norms", "spectrum"]

# Called directly: for a few vectors, `scipy.linalg.qr` takes longer around LAPACK than in it.
_LAPACK = {"d": (lapack.dgeqrf, lapack.dorgqr), "f": (lapack.sgeqrf, lapack.sorgqr)}


@dataclass(frozen=True)
class Norms:
    """Norms of links and of products, as natural logarithms; -inf for a zero matrix.

    Attributes
    ----------
    step : ndarray of float64, shape (T,)
        ``log norm(J_t)`` for t = 1 to T: in the order of time, the last link of the chain first.
    cumulative : ndarray of float64, shape (T,)
        ``log norm(J_t @ ... @ J_1)``. Gradients vanish where it falls and explode where it rises.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> norms = bp.chain.JacobianChain([2.0 * np.eye(3), 2.0 * np.eye(3)]).norms(2)
    >>> norms.cumulative / np.log(2.0)
    array([1., 2.])
    """

    step: np.ndarray
    cumulative: np.ndarray

    def plot(self, ax: Any = None) -> Any:
        """Draw both with matplotlib.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            A new figure's if not given.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed (``pip install ".[plot]"``).

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> norms = bp.chain.JacobianChain([2.0 * np.eye(3), 2.0 * np.eye(3)]).norms(2)
        >>> ax = norms.plot()
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('step t', 'log10 of the norm')
        """
        ax = plotting.lone_axes("Norms.plot", ax)
        steps = np.arange(1, len(self.step) + 1)
        ax.plot(steps, self.cumulative / math.log(10), label="product up to step t")
        ax.plot(steps, self.step / math.log(10), label="step t", linewidth=0.8)
        ax.axhline(0.0, color="0.7", linewidth=0.8)
        ax.set(xlabel="step t", ylabel="log10 of the norm", title="Norms along the chain")
        ax.legend()
        return ax


def norms(factors: Sequence[Factor], ord: str | int = "fro") -> Norms:
    """Return the norms of the links and of their products in the order of time.

    Parameters
    ----------
    factors : sequence of Factor
        ``[J_T, ..., J_1]``.
    ord : {"fro", 2}
        Frobenius or spectral norm.

    Returns
    -------
    Norms

    Raises
    ------
    ValueError
        If `ord` is another norm.

    Examples
    --------
    >>> chain = bp.chain.JacobianChain([bp.chain.Identity(4, 0.5)] * 3)
    >>> chain.norms(2).cumulative / np.log(2)
    array([-1., -2., -3.])
    """
    if ord not in ("fro", 2):
        raise ValueError(f'norms: ord must be "fro" or 2, got {ord!r}')
    step, cumulative = [], []
    known: dict[int, tuple[Factor, int, float]] = {}
    product: Factor | None = None
    exponent = 0
    for factor in reversed(factors):
        if id(factor) not in known:
            link, shift = rescaled(factor, 0, force=False)
            known[id(factor)] = link, shift, _log_norm(link, shift, ord)
        link, shift, log_norm = known[id(factor)]
        step.append(log_norm)
        if product is None:
            product = link
        elif product.kind == "dense":
            product = Dense._of(link._right(product._whole()))
        else:
            product = multiply(link, product)
        product, exponent = rescaled(product, exponent + shift)
        cumulative.append(_log_norm(product, exponent, ord))
    return Norms(np.array(step), np.array(cumulative))


def _log_norm(factor: Factor, exponent: int, ord: str | int) -> float:
    squares = factor._squares() if ord == "fro" else _largest_square(factor)
    if math.isnan(squares):
        return math.nan
    return (0.5 * math.log(squares) if squares > 0 else -math.inf) + exponent * math.log(2.0)


def _largest_square(factor: Factor) -> float:
    """Return the largest eigenvalue of the smaller Gram matrix: the spectral norm squared.

    Relative to itself it is accurate; only small singular values suffer from squaring.
    """
    if factor.kind in ("diagonal", "identity"):
        return factor._magnitude() ** 2
    a = factor._whole()
    if a.size == 0:
        return 0.0
    gram = matmul(a, a.T) if a.shape[0] <= a.shape[1] else matmul(a.T, a)
    if not np.all(np.isfinite(gram)):
        return math.nan
    return float(eigvalsh(gram, check_finite=False)[-1])


def spectrum(factors: Sequence[Factor], k: int | None = None) -> np.ndarray:
    """Return the k largest Lyapunov exponents, by repeated QR.

    Vectors are pushed through the links in the order of time, and made orthonormal after each;
    the exponents are the means of the logarithms of their growth.

    Parameters
    ----------
    factors : sequence of Factor
        ``[J_T, ..., J_1]``.
    k : int, optional
        All if not given: the smallest size of the chain.

    Returns
    -------
    ndarray of float64, shape (k,)
        Growth rates per step, natural logarithms, nearly in descending order; -inf for directions
        that vanish.

    Raises
    ------
    ShapeError
        If there are not k directions in every link.

    References
    ----------
    .. [1] G. Benettin, L. Galgani, A. Giorgilli, J.-M. Strelcyn, "Lyapunov characteristic
       exponents for smooth dynamical systems", Meccanica 15, 1980.
    .. [2] I. Shimada, T. Nagashima, "A numerical approach to ergodic problem of dissipative
       dynamical systems", Progress of Theoretical Physics 61, 1979.

    Examples
    --------
    >>> chain = bp.chain.JacobianChain([bp.chain.Diagonal(np.array([2.0, 0.5]))] * 1000)
    >>> (chain.spectrum() / np.log(2)).round(3)
    array([ 1., -1.])
    """
    most = min(factors[-1].shape[1], *(factor.shape[0] for factor in factors))
    k = most if k is None else k
    if not 0 <= k <= most:
        raise ShapeError(f"spectrum: k = {k}, but the chain's smallest size is {most}")
    n = factors[-1].shape[1]
    # Generic first directions: unit vectors could be invariant.
    start = np.random.default_rng(0).standard_normal((n, k)) + np.eye(n, k)
    q = _qr(start)[0].astype(factors[0].dtype)
    growth = np.zeros(k)
    for factor in reversed(factors):
        q, grown = _qr(factor._right(np.ascontiguousarray(q)))
        with np.errstate(divide="ignore"):
            growth += np.log(np.abs(grown.astype(np.float64)))
    return growth / len(factors)


def _qr(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the orthonormal columns of a QR factorization and the diagonal of R."""
    k = a.shape[1]
    if k == 0:
        return a, a.diagonal()
    geqrf, orgqr = _LAPACK[a.dtype.char]
    reflectors, tau, _, _ = geqrf(a, lwork=64 * k)
    diagonal = reflectors.diagonal().copy()
    return orgqr(reflectors, tau, lwork=64 * k, overwrite_a=True)[0], diagonal
