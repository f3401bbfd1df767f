"""The interface of structured factors, whatever their kind."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from fastbp._core.dtypes import FLOATS
from fastbp._core.graph import leaf_array
from fastbp._core.operands import as_numbers
from fastbp.chain.costs import Structure, Work, known
from fastbp.chain.products import KINDS, multiply
from fastbp.errors import DTypeError, ShapeError
from fastbp.limits import check_memory
from fastbp.recording import numbers

__all__ = ["Factor", "as_factor"]


class Factor:
    """A matrix J of shape (m, n) that is stored by its structure.

    A factor cannot be changed. Its arrays are shared with the caller, who must not write into them.

    Attributes
    ----------
    kind : str
    shape : (int, int)
    dtype : numpy.dtype
        float64 or float32. Vectors are converted to it; factors of two dtypes are not multiplied.
    nbytes : int
        Bytes of the arrays that the factor holds.
    structure : Structure
        What costs depend on.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> J = bp.chain.Diagonal(np.array([1.0, 2.0]))
    >>> isinstance(J, bp.chain.Factor), J.kind, J.shape
    (True, 'diagonal', (2, 2))
    >>> J.jvp(np.ones(2)), J.to_dense()
    (array([1., 2.]), array([[1., 0.],
           [0., 2.]]))
    """

    __slots__ = ("_dtype", "_m", "_n", "_structure")
    __array_ufunc__ = None  # NumPy's operators leave factors to the methods below
    kind: ClassVar[str] = ""

    _m: int
    _n: int
    _dtype: np.dtype[Any]
    _structure: Structure | None

    def __init_subclass__(cls) -> None:
        if "kind" in cls.__dict__:
            KINDS[cls.kind] = cls

    def _set(self, m: int, n: int, dtype: np.dtype[Any]) -> None:
        if dtype not in FLOATS:
            advice = "; a complex one acts on both parts, [[A.real, -A.imag], [A.imag, A.real]]"
            raise DTypeError(
                f"{type(self).__name__}: factors are float64 or float32, not {dtype}"
                f"{advice if dtype.kind == 'c' else ''}"
            )
        self._m, self._n, self._dtype, self._structure = m, n, dtype, None

    @property
    def shape(self) -> tuple[int, int]:  # noqa: D102 (see the class)
        return self._m, self._n

    @property
    def ndim(self) -> int:  # noqa: D102
        return 2

    @property
    def dtype(self) -> np.dtype[Any]:  # noqa: D102
        return self._dtype

    @property
    def nbytes(self) -> int:  # noqa: D102
        return sum(x.nbytes for x in self._arrays())

    @property
    def structure(self) -> Structure:  # noqa: D102
        if self._structure is None:
            self._structure = known(
                Structure(self.kind, self._m, self._n, self._dtype.itemsize, self._params())
            )
        return self._structure

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._m} x {self._n}{self._about()}, {self._dtype}>"

    # ---- products

    def vjp(self, g: Any) -> np.ndarray:
        """Multiply from the left, ``g @ J``: pull a cotangent back.

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
        >>> J = bp.chain.Diagonal(np.array([1.0, 2.0]))
        >>> J.vjp(np.ones(2))
        array([1., 2.])
        """
        x = vectors("vjp", g, self._m, self._dtype)
        return self._left(x) if x.ndim == 2 else self._left(x[None])[0]

    def jvp(self, v: Any) -> np.ndarray:
        """Multiply from the right, ``J @ v``: push a tangent forward.

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
        >>> J = bp.chain.Diagonal(np.array([1.0, 2.0]))
        >>> J.jvp(np.ones(2))
        array([1., 2.])
        """
        x = vectors("jvp", v, self._n, self._dtype)
        return np.ascontiguousarray(self._right(x.T).T) if x.ndim == 2 else self._right(
            x[:, None]
        )[:, 0]  # fmt: skip

    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray) and other.ndim == 1:
            return self.jvp(other)
        if isinstance(other, np.ndarray) and other.ndim == 2:
            return self._right(_rows("@", other, self._n, self, False))
        try:
            factor = as_factor(other)
        except (TypeError, ValueError):
            return NotImplemented
        return multiply(self, factor)

    def __rmatmul__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray) and other.ndim == 1:
            return self.vjp(other)
        if isinstance(other, np.ndarray) and other.ndim == 2:
            return self._left(_rows("@", other, self._m, self, True))
        try:
            factor = as_factor(other)
        except (TypeError, ValueError):
            return NotImplemented
        return multiply(factor, self)

    # ---- other forms

    @property
    def T(self) -> Factor:  # noqa: N802
        """The transpose, sharing the arrays where its storage allows."""
        raise NotImplementedError

    def to_dense(self, *, limit: int | None = None) -> np.ndarray:
        """Return a new array with all elements, zeros included, shape (m, n).

        Parameters
        ----------
        limit : int, optional
            The largest array in bytes, `fastbp.limits.MEMORY_LIMIT` if not given.

        Raises
        ------
        MemoryError
            If it would be larger. Nothing is allocated then.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> J = bp.chain.Diagonal(np.array([1.0, 2.0]))
        >>> J.to_dense()
        array([[1., 0.],
               [0., 2.]])
        """
        check_memory(
            "to_dense",
            f"the array of a {self._m} x {self._n} factor",
            self._m * self._n * self._dtype.itemsize,
            limit,
            "use the factor itself, its products jvp and vjp, to_scipy, or give a larger limit=",
        )
        return self._dense()

    def to_scipy(self) -> Any:
        """Return a `scipy.sparse.csr_array` of the same matrix.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> J = bp.chain.Diagonal(np.array([1.0, 2.0]))
        >>> J.to_scipy().nnz
        2
        """
        import scipy.sparse

        return scipy.sparse.csr_array(self.to_dense())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError(f"a {type(self).__name__} cannot become an array without a copy")
        return np.asarray(self.to_dense(), dtype)

    # ---- what a kind states

    def _dense(self) -> np.ndarray:
        """Return a new array with all elements."""
        raise NotImplementedError

    def _left(self, x: np.ndarray) -> np.ndarray:
        """Return ``x @ J`` for `x` of shape (K, m), a new array."""
        raise NotImplementedError

    def _right(self, x: np.ndarray) -> np.ndarray:
        """Return ``J @ x`` for `x` of shape (n, K), a new array."""
        raise NotImplementedError

    def _scaled(self, c: float) -> Factor:
        """Return ``c * J``."""
        raise NotImplementedError

    def _whole(self) -> np.ndarray:
        """Return all elements in an array that is only read."""
        return self.to_dense()

    def _arrays(self) -> tuple[np.ndarray, ...]:
        """Return what the factor holds."""
        raise NotImplementedError

    def _params(self) -> tuple:
        """Return what costs depend on beside the shape."""
        return ()

    def _about(self) -> str:
        """Return what `repr` says beside the shape."""
        return ""

    def _steps(self) -> tuple:
        """Return ``J`` as steps of `fastbp._core.chain_sweep.ChainSweep`, left to right."""
        return (self,)

    def _magnitude(self) -> float:
        """Return about the largest absolute value of an element, to keep it in range."""
        largest = 1.0
        for x in self._arrays():
            largest *= float(np.max(np.abs(x), initial=0.0))
        return largest

    def _normal(self, limit: int) -> tuple[Factor, int]:
        """Return ``J * 2**-e`` with elements of about 1, and e; J itself if `limit` >= abs(e)."""
        shift = exponent(self._magnitude())
        if abs(shift) <= limit:
            return self, 0
        # In two halves: 2**-shift itself may be out of range.
        return self._scaled(2.0 ** -(shift // 2))._scaled(2.0 ** (shift // 2 - shift)), shift

    def _squares(self) -> float:
        """Return the sum of the squares of all elements."""
        return squares(self._whole())

    @classmethod
    def _scaled_structure(cls, s: Structure) -> Structure:
        """Return the structure of ``c * J``."""
        return s

    @classmethod
    def _apply_work(cls, s: Structure, k: int, left: bool = False) -> Work:
        """Return what ``J @ x`` with k columns costs, or with `left` ``x @ J`` with k rows."""
        raise NotImplementedError


def exponent(magnitude: float) -> int:
    """Return the exponent of two of a magnitude, 0 for 0, infinities and NaN, which stay."""
    return math.frexp(magnitude)[1] if math.isfinite(magnitude) else 0


def normal_array(x: np.ndarray, limit: int) -> tuple[np.ndarray, int]:
    """Return ``x * 2**-e`` with elements of about 1, and e; x itself if `limit` >= abs(e)."""
    shift = exponent(float(np.max(np.abs(x), initial=0.0)))
    return (x, 0) if abs(shift) <= limit else (np.ldexp(x, -shift), shift)


def vectors(name: str, x: Any, size: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Return vectors in the factor's dtype, shape (size,) or (K, size)."""
    array = numbers(x, f"{name}: the vector", real=True)
    if array.ndim not in (1, 2) or array.shape[-1] != size:
        raise ShapeError(
            f"{name}: the vector has shape {array.shape}, needed is ({size},), "
            f"or (K, {size}) for several at once"
        )
    return np.asarray(array, dtype)


def _rows(name: str, x: np.ndarray, size: int, factor: Factor, left: bool) -> np.ndarray:
    if x.shape[1 if left else 0] != size:
        shapes = (x.shape, factor.shape) if left else (factor.shape, x.shape)
        raise ShapeError(f"{name}: shapes {shapes[0]} and {shapes[1]} do not fit")
    return np.asarray(as_numbers(x, f"{name}: the array", real=True), factor.dtype)


def floats(name: str, argument: str, x: Any, ndim: int) -> np.ndarray:
    """Return an array argument of a factor, not copied."""
    array = leaf_array(x, f"{name}: {argument}")
    if array.ndim != ndim:
        raise ShapeError(f"{name}: {argument} must have {ndim} axes, got shape {array.shape}")
    return array


def squares(x: np.ndarray) -> float:
    """Return the sum of the squares of all elements.

    Not by NumPy's `dot`, which calls BLAS: NumPy and SciPy, whose BLAS multiplies here, may bring
    one each, with threads of their own that keep each other waiting; a short one has no threads.
    """
    if x.size < 4096:
        row = x.ravel(order="K")
        return float(row.dot(row))
    return float(np.sum(x * x))


def same_dtype(name: str, *dtypes: np.dtype[Any]) -> np.dtype[Any]:
    """Return the one dtype of the parts of a factor."""
    if any(dtype != dtypes[0] for dtype in dtypes):
        raise DTypeError(f"{name}: parts must have one dtype, got {', '.join(map(str, dtypes))}")
    return dtypes[0]


def as_factor(x: Any) -> Factor:
    """Return `x` as a factor.

    Parameters
    ----------
    x : Factor, ndarray of shape (m, n), SciPy sparse matrix or array, LinearOperator
        Or anything else that `scipy.sparse.linalg.aslinearoperator` takes.

    Returns
    -------
    Factor
        `x` itself; `Dense`, `Sparse` or `Operator` sharing its arrays.

    Raises
    ------
    TypeError, ShapeError, DTypeError

    Examples
    --------
    >>> bp.chain.as_factor(np.eye(3))
    <Dense 3 x 3, float64>
    """
    if isinstance(x, Factor):
        return x
    if type(x) is np.ndarray and x.ndim == 2 and x.dtype in FLOATS:
        return KINDS["dense"]._of(x)  # type: ignore[attr-defined, no-any-return]
    if isinstance(x, np.ndarray):
        return KINDS["dense"](x)  # type: ignore[call-arg]
    import scipy.sparse

    if scipy.sparse.issparse(x):
        return KINDS["sparse"](x)  # type: ignore[call-arg]
    return KINDS["operator"](x)  # type: ignore[call-arg]
