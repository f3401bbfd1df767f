"""Chains of Jacobians."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np

from fastbp import plotting
from fastbp._core.chain_links import matrices
from fastbp._core.chain_sweep import ChainSweep
from fastbp.chain import explaining, stability
from fastbp.chain.base import Factor, as_factor, vectors
from fastbp.chain.execution import evaluate, evaluate_dense, evaluate_scaled, names_of
from fastbp.chain.factors import Dense
from fastbp.chain.ordering import ORDERS, order
from fastbp.chain.runs import ScaledRun, prefixes, suffixes
from fastbp.errors import DTypeError, ShapeError

__all__ = ["JacobianChain", "product"]


def _linked(name: str, factors: Iterable[Any]) -> tuple[Factor, ...]:
    """Return the factors of a chain, each fitting to the one before."""
    links: list[Factor] = []
    for i, x in enumerate(factors):
        if isinstance(x, Factor):
            links.append(x)
            continue
        try:
            links.append(as_factor(x))
        except (ShapeError, DTypeError, TypeError, ValueError) as error:
            kind = type(error) if isinstance(error, (ShapeError, DTypeError)) else TypeError
            raise kind(f"{name}: link {i} is not a factor: {error}") from None
    if not links:
        raise ShapeError(f"{name}: a chain needs at least one link")
    for i, (before, link) in enumerate(pairwise(links), 1):
        if link._m != before._n:
            raise ShapeError(
                f"{name}: link {i} of shape {link.shape} does not fit to "
                f"link {i - 1} of shape {before.shape}"
            )
        if link._dtype is not before._dtype and link._dtype != before._dtype:
            raise DTypeError(f"{name}: link {i} is of {link.dtype}, link {i - 1} of {before.dtype}")
    return tuple(links)


def _known(name: str, how: str) -> str:
    if how not in ORDERS:
        raise ValueError(f"{name}: order must be one of {', '.join(ORDERS)}, got {how!r}")
    return how


def product(factors: Iterable[Any], order: str = "auto") -> Factor:
    """Multiply factors in the cheapest order, keeping structure where the results have one.

    Parameters
    ----------
    factors : iterable of Factor or what `as_factor` takes
    order : {"auto", "exact", "left", "right"}
        "auto" finds the cheapest order, spending on it only what it can save; "exact" whatever it
        takes; "left" and "right" begin at that end.

    Returns
    -------
    Factor
        `to_dense` makes an array of it.

    Raises
    ------
    ShapeError
        If there is no factor, or two neighbours do not fit: names both and their shapes.
    DTypeError
        If dtypes differ, or are neither float64 nor float32.

    Examples
    --------
    >>> d = bp.chain.Diagonal(np.array([1.0, 2.0]))
    >>> bp.chain.product([d, d, d])
    <Diagonal 2 x 2, float64>
    >>> bp.chain.product([np.ones((2, 3)), np.ones((3, 1))]).to_dense()
    array([[3.],
           [3.]])
    """
    how, factors = _known("product", order), tuple(factors)
    found = matrices(factors, Dense)
    if found is not None:
        return evaluate_dense(*found, how)
    return evaluate(_linked("product", factors), how)


class JacobianChain(Sequence):
    """The Jacobian of a composition, as the chain of its factors.

    Parameters
    ----------
    factors : iterable of Factor or what `as_factor` takes
        ``[J_T, ..., J_1]``, the last step first, as in a product of matrices.

    Attributes
    ----------
    factors : tuple of Factor
    shape : (int, int)
        Of the whole product.
    dtype : numpy.dtype
    nbytes : int
        Bytes of all factors; arrays that several share count once.

    Raises
    ------
    ShapeError
        If there is no factor, or two neighbours do not fit: names both and their shapes.
    DTypeError
        If dtypes differ, or are neither float64 nor float32.

    Examples
    --------
    >>> W = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> steps = [bp.chain.RowScaled(np.array([0.5, 2.0]), W) for _ in range(4)]
    >>> chain = bp.chain.JacobianChain(steps)
    >>> chain
    <JacobianChain 2 x 2 of 4 links, float64>
    >>> chain.vjp(np.array([1.0, 0.0]))
    array([1., 0.])
    >>> chain.product().to_dense()
    array([[1., 0.],
           [0., 1.]])
    """

    __slots__ = ("_links", "_run", "_turned", "_vjp")
    __array_ufunc__ = None

    def __init__(self, factors: Iterable[Any]) -> None:
        self._links: tuple[Factor, ...] | None = _linked("JacobianChain", factors)
        self._run: ScaledRun | None = None
        self._vjp: ChainSweep | None = None
        self._turned: JacobianChain | None = None

    @classmethod
    def _of(cls, factors: tuple[Factor, ...] | None, run: ScaledRun | None = None) -> JacobianChain:
        """Return a chain of factors that fit, or of a run, whose links are made when needed."""
        self = cls.__new__(cls)
        self._links, self._run, self._vjp, self._turned = factors, run, None, None
        return self

    def __reduce__(self) -> Any:
        return JacobianChain._of, (self._links, self._run)  # without what sweeps were compiled to

    @property
    def _factors(self) -> tuple[Factor, ...]:
        if self._links is None:
            assert self._run is not None
            self._links = self._run.links()
        return self._links

    @property
    def factors(self) -> tuple[Factor, ...]:  # noqa: D102 (see the class)
        return self._factors

    @property
    def shape(self) -> tuple[int, int]:  # noqa: D102
        return self._factors[0]._m, self._factors[-1]._n

    @property
    def dtype(self) -> np.dtype[Any]:  # noqa: D102
        return self._factors[0].dtype

    @property
    def nbytes(self) -> int:  # noqa: D102
        arrays = {id(x): x.nbytes for factor in self._factors for x in factor._arrays()}
        return sum(arrays.values())

    def __repr__(self) -> str:
        m, n = self.shape
        return f"<JacobianChain {m} x {n} of {len(self)} links, {self.dtype}>"

    # ---- a sequence of links

    def __len__(self) -> int:
        return len(self._factors if self._run is None else self._run.d)

    def __iter__(self) -> Iterator[Factor]:
        return iter(self._factors)

    @overload
    def __getitem__(self, index: int) -> Factor: ...
    @overload
    def __getitem__(self, index: slice) -> JacobianChain: ...
    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, slice):
            return self._factors[operator.index(index)]
        if index.step not in (None, 1):
            raise ValueError(f"JacobianChain: a part has neighbouring links, not step {index.step}")
        part = self._factors[index]
        if not part:
            raise ShapeError(f"JacobianChain: no links in {index} of {len(self)}")
        return JacobianChain._of(part)

    def __add__(self, other: Any) -> JacobianChain:
        if not isinstance(other, JacobianChain):
            return NotImplemented
        return JacobianChain(self._factors + other._factors)

    @property
    def T(self) -> JacobianChain:  # noqa: N802
        """The transpose: the transposed links in reverse."""
        if self._run is not None:
            return JacobianChain._of(None, self._run.T)
        return JacobianChain._of(tuple(factor.T for factor in reversed(self._factors)))

    # ---- products

    def product(self, order: str = "auto") -> Factor:
        """Return the whole Jacobian, multiplied in the cheapest order; see `fastbp.chain.product`.

        Parameters
        ----------
        order : {"auto", "exact", "left", "right"}

        Returns
        -------
        Factor

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> A, B = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [3.0, 1.0]])
        >>> chain = bp.chain.JacobianChain([A, B])
        >>> chain.product().to_dense()
        array([[7., 2.],
               [3., 1.]])
        """
        _known("product", order)
        if self._run is not None and order in ("auto", "left"):
            return self._run.product()
        return evaluate(self._factors, order)

    def to_dense(self, *, limit: int | None = None) -> np.ndarray:
        """Return the whole Jacobian as a new array, as `Factor.to_dense`.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> A, B = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [3.0, 1.0]])
        >>> chain = bp.chain.JacobianChain([A, B])
        >>> bool(np.all(chain.to_dense() == A @ B))
        True
        """
        return self.product().to_dense(limit=limit)

    def vjp(self, g: Any) -> np.ndarray:
        """Pull cotangents back, ``g @ J_T @ ... @ J_1``.

        One vector is swept from left to right (reverse mode), and so are several, unless the
        cost model finds a cheaper order for so many of them.

        Parameters
        ----------
        g : array_like, shape (m,), or (K, m) for K cotangents at once

        Returns
        -------
        ndarray, shape (n,) or (K, n)

        Raises
        ------
        ShapeError, DTypeError

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> A, B = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [3.0, 1.0]])
        >>> chain = bp.chain.JacobianChain([A, B])
        >>> chain.vjp(np.array([1.0, 0.0]))
        array([7., 2.])
        """
        return self._pulled(vectors("vjp", g, self.shape[0], self.dtype))

    def _pulled(self, x: np.ndarray) -> np.ndarray:
        if x.ndim == 1:
            return self._swept(np.ascontiguousarray(x)[None])[0]  # type: ignore[no-any-return]
        few = self._run is not None and len(x) <= len(self._run.W)
        if len(x) > 1 and len(self) > 1 and not few:
            links = (Dense(x), *self._factors)
            structures, names = [link.structure for link in links], names_of(links)
            brackets, sweep = order(structures, names), order(structures, names, "left")
            if brackets.seconds < 0.8 * sweep.seconds:
                return np.ascontiguousarray(evaluate(links).to_dense())
        return self._swept(np.ascontiguousarray(x))  # type: ignore[no-any-return]

    def _swept(self, rows: np.ndarray, marks: bool = False) -> Any:
        if self._vjp is None and self._run is not None:
            self._vjp = self._run.sweep()
        elif self._vjp is None:
            self._vjp = ChainSweep([factor._steps() for factor in self._factors], self.dtype)
        if self._run is not None:
            return self._run.pull(self._vjp, rows, marks)
        return self._vjp.run(rows, marks)

    def _forward(self) -> JacobianChain:
        if self._turned is None:
            self._turned = self.T
        return self._turned

    def jvp(self, v: Any) -> np.ndarray:
        """Push tangents forward, ``J_T @ ... @ J_1 @ v``.

        Parameters
        ----------
        v : array_like, shape (n,), or (K, n) for K tangents at once

        Returns
        -------
        ndarray, shape (m,) or (K, m)

        Raises
        ------
        ShapeError, DTypeError

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> A, B = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [3.0, 1.0]])
        >>> chain = bp.chain.JacobianChain([A, B])
        >>> chain.jvp(np.array([1.0, 0.0]))
        array([7., 3.])
        """
        return self._forward()._pulled(vectors("jvp", v, self.shape[1], self.dtype))

    def vjps(self, g: Any) -> list[np.ndarray]:
        """Return the cotangent at every link, in one pass.

        Parameters
        ----------
        g : array_like, shape (m,), or (K, m) for K cotangents at once

        Returns
        -------
        list of ndarray, one more than there are links
            ``[g, g @ J_T, g @ J_T @ J_{T-1}, ...]``: for a recurrent network dL/dh_t, from the
            last step to the first.

        Raises
        ------
        ShapeError, DTypeError

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> A, B = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [3.0, 1.0]])
        >>> chain = bp.chain.JacobianChain([A, B])
        >>> chain.vjps(np.array([1.0, 0.0]))
        [array([1., 0.]), array([1., 2.]), array([7., 2.])]
        """
        x = vectors("vjps", g, self.shape[0], self.dtype)
        rows = np.ascontiguousarray(x if x.ndim == 2 else x[None])
        found = [rows.copy(), *self._swept(rows, True)]
        return found if x.ndim == 2 else [y[0] for y in found]

    def prefixes(self) -> list[Factor]:
        """Return the products from the left end, ``[J_T, J_T @ J_{T-1}, ...]``.

        Returns
        -------
        list of Factor, as many as there are links

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> A, B = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [3.0, 1.0]])
        >>> chain = bp.chain.JacobianChain([A, B])
        >>> [factor.to_dense().tolist() for factor in chain.prefixes()]
        [[[1.0, 2.0], [0.0, 1.0]], [[7.0, 2.0], [3.0, 1.0]]]
        """
        return prefixes(self._factors)

    def suffixes(self) -> list[Factor]:
        """Return the products up to the right end, ``[J_T @ ... @ J_1, ..., J_2 @ J_1, J_1]``.

        Returns
        -------
        list of Factor, as many as there are links

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> A, B = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [3.0, 1.0]])
        >>> chain = bp.chain.JacobianChain([A, B])
        >>> [factor.to_dense().tolist() for factor in chain.suffixes()]
        [[[7.0, 2.0], [3.0, 1.0]], [[1.0, 0.0], [3.0, 1.0]]]
        """
        return suffixes(self._factors)

    def to_linear_operator(self) -> Any:
        """Return a `scipy.sparse.linalg.LinearOperator` that multiplies through the chain.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> A, B = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [3.0, 1.0]])
        >>> chain = bp.chain.JacobianChain([A, B])
        >>> chain.to_linear_operator().matvec(np.array([1.0, 0.0]))
        array([7., 3.])
        """
        from scipy.sparse.linalg import LinearOperator

        return LinearOperator(
            self.shape,
            matvec=functools.partial(_of_vector, self.jvp),
            rmatvec=functools.partial(_of_vector, self.vjp),
            matmat=functools.partial(_of_columns, self.jvp),
            rmatmat=functools.partial(_of_columns, self.vjp),
            dtype=self.dtype,
        )

    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray) and other.ndim in (1, 2):
            return self.jvp(other) if other.ndim == 1 else self.jvp(other.T).T
        return NotImplemented

    def __rmatmul__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray) and other.ndim in (1, 2):
            return self.vjp(other)
        return NotImplemented

    # ---- what it costs, and how it behaves

    def explain(self) -> explaining.Explanation:
        """Return the chosen brackets and their cost, beside those of both plain directions.

        Returns
        -------
        Explanation
            Print it.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> chain = bp.chain.JacobianChain([np.ones((1, 9)), np.ones((9, 9)), np.ones((9, 9))])
        >>> print(chain.explain().chosen.brackets)
        ((0 1) 2)
        """
        return explaining.explain(self._factors)

    def scaled_product(self) -> tuple[Factor, float]:
        """Return the product without overflow or underflow: ``mantissa * exp(log_scale)``.

        Returns
        -------
        mantissa : Factor
            Its magnitude is about 1, or 0 if the product is exactly zero.
        log_scale : float
            Natural logarithm; a multiple of log(2), so that scaling has no error.

        Examples
        --------
        >>> chain = bp.chain.JacobianChain([np.array([[1e-200]])] * 1000)
        >>> mantissa, log_scale = chain.scaled_product()
        >>> round((np.log(mantissa.to_dense()[0, 0]) + log_scale) / np.log(10))
        -200000
        """
        mantissa, exponent = evaluate_scaled(self._factors)
        return mantissa, exponent * float(np.log(2.0))

    def spectrum(self, k: int | None = None) -> np.ndarray:
        """Return the largest Lyapunov exponents; see `fastbp.chain.stability.spectrum`.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> chain = bp.chain.JacobianChain([np.diag([2.0, 0.5])] * 10)
        >>> np.round(chain.spectrum() / np.log(2.0), 1)
        array([ 1., -1.])
        """
        return stability.spectrum(self._factors, k)

    def norms(self, ord: str | int = "fro") -> stability.Norms:
        """Return the norms of links and products; see `fastbp.chain.stability.norms`.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> chain = bp.chain.JacobianChain([np.diag([2.0, 0.5])] * 3)
        >>> chain.norms(2).cumulative / np.log(2.0)
        array([1., 2., 3.])
        """
        return stability.norms(self._factors, ord)

    def plot(self, ax: Any = None) -> Any:
        """Draw the factors beside each other, as the product is written: the last step first.

        Matrices are drawn to one scale, with their zeros; beneath each stand its number, kind and
        shape, above them the order in which the product is cheapest. Of a long chain the first and
        the last factors are shown.

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
        >>> chain = bp.chain.JacobianChain([np.ones((9, 2)), np.ones((2, 9)), np.ones((9, 9))])
        >>> ax = chain.plot()
        >>> ax.get_title()
        '9 x 9, a product of 3, cheapest as (0 (1 2))'
        """
        count, half = len(self), plotting.SHOWN // 2
        few = count <= plotting.SHOWN
        chosen = [*range(count)] if few else [*range(half), *range(count - half, count)]
        parts: list[Any] = [_part(self._factors[k], k) for k in chosen]
        if not few:
            parts.insert(half, None)
        ax = plotting.lone_axes("JacobianChain.plot", ax, (1.2 * len(parts) + 1.0, 2.6))
        plotting.factors(ax, parts)
        brackets = self.explain().chosen.brackets
        m, n = self.shape
        order = f", cheapest as {brackets}" if len(brackets) <= 60 else ""
        ax.set_title(f"{m} x {n}, a product of {count}{order}", fontsize=9)
        return ax

    def plot_norms(self, ax: Any = None, ord: str | int = "fro") -> Any:
        """Draw `norms` with matplotlib; see `fastbp.chain.stability.Norms.plot`.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> ax = bp.chain.JacobianChain([np.eye(3), np.eye(3)]).plot_norms(ord=2)
        >>> ax.get_title()
        'Norms along the chain'
        """
        return self.norms(ord).plot(ax)


def _part(factor: Factor, number: int) -> tuple[str, tuple[int, int], np.ndarray | None]:
    """Return what a picture shows of a factor: a text, its shape, and where nonzeros may be."""
    m, n = factor.shape
    text = f"{number}: {factor.kind}\n{m} x {n}"
    dense = factor.kind == "dense" or m * n > plotting.CELLS
    return text, (m, n), None if dense else factor.to_dense() != 0


def _of_vector(multiply: Callable[..., np.ndarray], v: np.ndarray) -> np.ndarray:
    return multiply(v.reshape(-1))


def _of_columns(multiply: Callable[..., np.ndarray], v: np.ndarray) -> np.ndarray:
    return multiply(v.T).T
