"""The interface of explicit derivative tensors, whatever their storage."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fastbp import plotting
from fastbp.errors import ShapeError
from fastbp.recording import numbers
from fastbp.tensor import products
from fastbp.tensor.checks import as_number, check_dense, check_sparse, float_type, in_units

if TYPE_CHECKING:
    from fastbp.tensor.blocks import BlockSparse

__all__ = ["DerivativeTensor"]


class DerivativeTensor:
    """The derivative of an array Y with respect to an array X: ``T[i..., k...] = dY[i] / dX[k]``.

    A tensor cannot be changed. Its values may be shared with the arrays that it was made from,
    which then must not be written to.

    Attributes
    ----------
    shape : tuple of int
        ``out_shape + in_shape``.
    out_shape, in_shape : tuple of int
        The shapes of Y and X.
    dtype : numpy.dtype
        float64 or float32. What a tensor is multiplied with is converted to it.
    storage : {"structured", "sparse", "dense"}
    size : int
        Number of elements, zeros included.
    nnz : int
        Number of elements that are not zero by structure. Some may happen to be zero.
    density : float
        ``nnz / size``, 0 for an empty tensor.
    nbytes : int
        Bytes of all arrays that the tensor holds.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> T = bp.tensor.derivative(lambda a: a @ np.ones((3, 2)), np.ones((4, 3)))
    >>> T.shape, T.storage, T.nnz, T.size
    ((4, 2, 4, 3), 'structured', 24, 96)
    >>> T.contract(np.ones((4, 2))).shape
    (4, 3)
    """

    __slots__ = ("_dtype", "_in_shape", "_out_shape")
    storage = ""
    __array_ufunc__ = None  # NumPy's operators leave tensors to the methods below

    _out_shape: tuple[int, ...]
    _in_shape: tuple[int, ...]
    _dtype: np.dtype[Any]

    def _set(self, out_shape: Sequence[int], in_shape: Sequence[int], dtype: Any) -> None:
        self._out_shape = tuple(map(operator.index, out_shape))
        self._in_shape = tuple(map(operator.index, in_shape))
        self._dtype = float_type(type(self).__name__, dtype)
        if min(self.shape, default=0) < 0:
            raise ShapeError(f"{type(self).__name__}: negative size in shape {self.shape}")

    @property
    def out_shape(self) -> tuple[int, ...]:  # noqa: D102 (see the class)
        return self._out_shape

    @property
    def in_shape(self) -> tuple[int, ...]:  # noqa: D102
        return self._in_shape

    @property
    def shape(self) -> tuple[int, ...]:  # noqa: D102
        return self._out_shape + self._in_shape

    @property
    def dtype(self) -> np.dtype[Any]:  # noqa: D102
        return self._dtype

    @property
    def size(self) -> int:  # noqa: D102
        return math.prod(self.shape)

    @property
    def density(self) -> float:  # noqa: D102
        return self.nnz / self.size if self.size else 0.0

    @property
    def nnz(self) -> int:  # noqa: D102
        raise NotImplementedError

    @property
    def nbytes(self) -> int:  # noqa: D102
        raise NotImplementedError

    def __repr__(self) -> str:
        return (
            f"<derivative tensor {self._out_shape} x {self._in_shape}: {self.storage}, "
            f"{self._dtype}, density {self.density:.3g}, {in_units(self.nbytes)}>"
        )

    # ---- products

    def contract(self, g: Any) -> np.ndarray:
        """Contract the out axes with a cotangent: ``sum(g[i] * T[i, k] for i)``, a VJP.

        Parameters
        ----------
        g : array_like, shape `out_shape`, or (K,) + `out_shape` for K cotangents at once

        Returns
        -------
        ndarray, shape `in_shape`, or (K,) + `in_shape`

        Raises
        ------
        ShapeError
            If `g` has another shape.
        DTypeError
            If `g` has no real numbers.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> A, B = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2)
        >>> T = bp.tensor.matmul_derivative(A, B, wrt=0)
        >>> T.contract(np.ones((2, 2)))  # dL/dA = dL/dC @ B.T
        array([[1., 5., 9.],
               [1., 5., 9.]])
        """
        x, batch = self._operand("contract", g, self._out_shape)
        return self._contract(x, batch)

    def apply(self, t: Any) -> np.ndarray:
        """Contract the in axes with a tangent: ``sum(T[i, k] * t[k] for k)``, a JVP.

        The derivative along the direction `t`.

        Parameters
        ----------
        t : array_like, shape `in_shape`, or (K,) + `in_shape` for K tangents at once

        Returns
        -------
        ndarray, shape `out_shape`, or (K,) + `out_shape`

        Raises
        ------
        ShapeError
            If `t` has another shape.
        DTypeError
            If `t` has no real numbers.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> A, B = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2)
        >>> T = bp.tensor.matmul_derivative(A, B, wrt=0)
        >>> T.apply(np.ones((2, 3)))  # dC = dA @ B
        array([[6., 9.],
               [6., 9.]])
        """
        x, batch = self._operand("apply", t, self._in_shape)
        return self._apply(x, batch)

    def _contract(self, g: np.ndarray, batch: tuple[int, ...]) -> np.ndarray:
        raise NotImplementedError

    def _apply(self, t: np.ndarray, batch: tuple[int, ...]) -> np.ndarray:
        raise NotImplementedError

    def _operand(
        self, name: str, x: Any, shape: tuple[int, ...]
    ) -> tuple[np.ndarray, tuple[int, ...]]:
        """Return an operand in the tensor's dtype, and the axis in front of `shape`, if any."""
        array = numbers(x, f"{name}: the operand", real=True)
        batch = array.shape[: array.ndim - len(shape)] if array.ndim > len(shape) else ()
        if len(batch) > 1 or array.shape[len(batch) :] != shape:
            raise ShapeError(
                f"{name}: the operand has shape {array.shape}; a derivative tensor of "
                f"out_shape {self._out_shape} and in_shape {self._in_shape} needs {shape}, "
                "or that behind one axis for several at once"
            )
        return np.asarray(array, self._dtype), batch

    def compose(self, other: DerivativeTensor) -> DerivativeTensor:
        """Return ``dY/dZ`` from ``dY/dX``, this tensor, and ``dX/dZ``: the chain rule.

        Parameters
        ----------
        other : DerivativeTensor, its `out_shape` this one's `in_shape`

        Returns
        -------
        DerivativeTensor
            Structured if both are and their axes can be lined up; dense if one is dense, or where
            that takes fewer bytes; else sparse.

        Raises
        ------
        ShapeError
            If the shapes do not fit.
        MemoryError
            If a dense result, or a structured operand made sparse, is above `MEMORY_LIMIT`.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> A, B = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2)
        >>> T = bp.tensor.matmul_derivative(A, B, wrt=0)
        >>> T.compose(bp.tensor.derivative(np.square, A))  # dC/dX for A = X**2
        <derivative tensor (2, 2) x (2, 3): structured, float64, density 0.5, 96 bytes>
        """
        if not isinstance(other, DerivativeTensor):
            raise TypeError(f"compose: need a derivative tensor, got {type(other).__name__}")
        if other._out_shape != self._in_shape:
            raise ShapeError(
                f"compose: dY/dX has in_shape {self._in_shape}, "
                f"dX/dZ has out_shape {other._out_shape}"
            )
        return products.compose(self, other)

    def block(self, *index: Any) -> np.ndarray:
        """Return the derivative of one element of Y: ``T[index]``, of shape `in_shape`.

        Parameters
        ----------
        *index : int
            One for each axis of Y; negative ones count from the end.

        Raises
        ------
        IndexError
            If there are more or fewer, or one is out of range.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> A, B = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2)
        >>> T = bp.tensor.matmul_derivative(A, B, wrt=0)
        >>> T.block(0, 1)  # dC[0, 1]/dA
        array([[1., 3., 5.],
               [0., 0., 0.]])
        """
        if len(index) != len(self._out_shape):
            raise IndexError(
                f"block: need {len(self._out_shape)} indices for out_shape {self._out_shape}, "
                f"got {len(index)}"
            )
        place = []
        for i, n in zip(map(operator.index, index), self._out_shape, strict=True):
            if not -n <= i < n:
                raise IndexError(f"block: index {index} is outside of out_shape {self._out_shape}")
            place.append(i % n)
        return self._block(tuple(place))

    def _block(self, index: tuple[int, ...]) -> np.ndarray:
        raise NotImplementedError

    # ---- other forms

    def transpose(self) -> DerivativeTensor:
        """Return the tensor with out and in axes exchanged; `contract` and `apply` change places.

        The order of the axes within `out_shape` and `in_shape` stays.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> A, B = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2)
        >>> T = bp.tensor.matmul_derivative(A, B, wrt=0)
        >>> T.transpose().shape
        (2, 3, 2, 2)
        """
        raise NotImplementedError

    def to_sparse(self, limit: int | None = None) -> BlockSparse:
        """Return the same tensor with every nonzero stored, in blocks where they form such.

        Parameters
        ----------
        limit : int, optional
            The largest size of the nonzeros in bytes; `MEMORY_LIMIT` (1 GiB) if not given.

        Raises
        ------
        MemoryError
            If the nonzeros would be larger. Nothing is allocated then.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> A, B = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2)
        >>> T = bp.tensor.matmul_derivative(A, B, wrt=0)
        >>> T.to_sparse()
        <derivative tensor (2, 2) x (2, 3): sparse, float64, density 0.5, 116 bytes>
        """
        check_sparse("to_sparse", self.shape, self._stored(), self._dtype.itemsize, limit)
        return self._to_sparse()

    def _to_sparse(self) -> BlockSparse:
        raise NotImplementedError

    def to_scipy(self, limit: int | None = None) -> Any:
        """Return the matrix ``T.reshape(Y.size, X.size)`` as a `scipy.sparse.csr_array`.

        Row ``np.ravel_multi_index(i, out_shape)`` is the derivative of ``Y[i]``, column
        ``np.ravel_multi_index(k, in_shape)`` that with respect to ``X[k]`` (C order). Indices
        are sorted; there are no duplicates.

        Parameters
        ----------
        limit : int, optional
            The largest size of the nonzeros and their indices in bytes; `MEMORY_LIMIT` (1 GiB)
            if not given.

        Raises
        ------
        MemoryError
            If the matrix would be larger. Nothing is allocated then.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> A, B = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2)
        >>> T = bp.tensor.matmul_derivative(A, B, wrt=0)
        >>> T.to_scipy().shape
        (4, 6)
        """
        check_sparse("to_scipy", self.shape, self._stored(), self._dtype.itemsize + 4, limit)
        return self._to_scipy()

    def _to_scipy(self) -> Any:
        raise NotImplementedError

    def _stored(self) -> int:
        """Return the number of elements that a sparse tensor stores."""
        return self.nnz

    def to_dense(self, limit: int | None = None) -> np.ndarray:
        """Return a new array with all elements, zeros included.

        Parameters
        ----------
        limit : int, optional
            The largest size in bytes; `MEMORY_LIMIT` (1 GiB) if not given.

        Raises
        ------
        MemoryError
            If the array would be larger. Nothing is allocated then.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> A, B = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2)
        >>> T = bp.tensor.matmul_derivative(A, B, wrt=0)
        >>> T.to_dense()[0, 1]
        array([[1., 3., 5.],
               [0., 0., 0.]])
        """
        check_dense("to_dense", self.shape, self._dtype, limit)
        return self._to_dense()

    def _to_dense(self) -> np.ndarray:
        raise NotImplementedError

    def _whole(self) -> np.ndarray:
        """Return all elements in an array that is only read."""
        return self.to_dense()

    def astype(self, dtype: Any) -> Self:
        """Return the tensor in another dtype, float64 or float32; itself if it has it.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> A, B = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2)
        >>> T = bp.tensor.matmul_derivative(A, B, wrt=0)
        >>> T.astype("float32").dtype
        dtype('float32')
        """
        dtype = float_type("astype", dtype)
        return self if dtype == self._dtype else self._cast(dtype)

    def _cast(self, dtype: np.dtype[Any]) -> Self:
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a derivative tensor cannot become an array without a copy")
        return np.asarray(self.to_dense(), dtype)

    def plot(self, ax: Any = None, names: tuple[str, str] = ("C", "A")) -> Any:
        """Draw the tensor as a matrix of matrices, with its zeros.

        For each element of the result there is a block of the operand's shape; what is zero by
        structure is grey, anything else has the colour of its value: red above zero, blue below.
        Small tensors show their values too.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            A new figure's if not given.
        names : (str, str)
            What the result and the operand are called.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed (``pip install ".[plot]"``).
        ShapeError
            If the tensor has more elements than a picture can show.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> tensor = bp.tensor.matmul_derivative(np.ones((3, 4)), np.ones((4, 2)), wrt=0)
        >>> ax = tensor.plot(names=("Y", "X"))
        >>> ax.get_title().split(": ")[1]
        '24 of 72 may be nonzero'
        """
        where = "DerivativeTensor.plot"
        size = plotting.size_of(self._out_shape, self._in_shape)
        ax = plotting.lone_axes(where, ax, size)
        plotting.check_size(where, self._out_shape, self._in_shape)
        entries = self.to_scipy().tocoo()
        plotting.derivative(
            ax, (entries.row, entries.col), entries.data, self._out_shape, self._in_shape, names
        )
        return ax

    # ---- arithmetic

    def _scaled(self, factor: float) -> DerivativeTensor:
        raise NotImplementedError

    def __mul__(self, factor: Any) -> Any:
        number = as_number(factor)
        return NotImplemented if number is None else self._scaled(number)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> Any:
        number = as_number(divisor)
        return NotImplemented if number is None else self._scaled(1.0 / number)

    def __neg__(self) -> DerivativeTensor:
        return self._scaled(-1.0)

    def __pos__(self) -> DerivativeTensor:
        return self

    def __add__(self, other: Any) -> Any:
        return self._sum(other, 1.0)

    def __sub__(self, other: Any) -> Any:
        return self._sum(other, -1.0)

    def _sum(self, other: Any, sign: float) -> Any:
        if not isinstance(other, DerivativeTensor):
            return NotImplemented
        if (other._out_shape, other._in_shape) != (self._out_shape, self._in_shape):
            raise ShapeError(
                f"derivative tensors of shapes {self._out_shape} x {self._in_shape} and "
                f"{other._out_shape} x {other._in_shape} cannot be added"
            )
        return products.add(self, other if sign == 1.0 else -other)
