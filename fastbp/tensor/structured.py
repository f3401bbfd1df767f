"""Derivative tensors as products of deltas and small factors, in labelled axes."""

from __future__ import annotations

import math
import operator
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from fastbp._core.matmul import matmul
from fastbp.errors import DTypeError, ShapeError
from fastbp.rules.contraction import contract_all
from fastbp.rules.numpy.structural import as_operand
from fastbp.tensor.base import DerivativeTensor
from fastbp.tensor.blocks import BlockSparse

__all__ = ["Structured"]

Labels = tuple[int, ...]


class Structured(DerivativeTensor):
    """A product of deltas and factors: ``T[i, k] = scale * delta * factor * factor ...``.

    Every axis of Y and of X has a label. Axes with the same label have the same index wherever the
    tensor is not zero: a delta. A label that only factors have is summed over. A label of an axis
    that no factor has means that the tensor does not vary along it.

    Parameters
    ----------
    out_shape, in_shape : sequence of int
        The shapes of Y and X.
    out_labels, in_labels : sequence of hashable
        The labels of their axes. They may stand for other axes than those of `out_shape`
        (`in_shape`), if a reshape in C order leads from one to the other. A label may occur twice.
    sizes : mapping of hashable to int
        The size of the axis that each label stands for.
    factors : sequence of (array, labels)
        Arrays with one label for each axis. They are shared, not copied, unless their dtype
        differs: they must not be written to as long as the tensor is in use.
    scale : float
    dtype : dtype, optional
        float64 or float32; that of the factors, if not given, and float64 without factors.

    Raises
    ------
    ShapeError
        If a factor or a shape does not agree with the labels' sizes.
    DTypeError
        If the dtype is neither float64 nor float32.

    Notes
    -----
    ``dC/dA`` for ``C = A @ B`` is ``sum(g[i, j] * B[l, j] for j)`` in `contract`: the axes of C
    are labelled (i, j), those of A (i, l), and B is a factor with labels (l, j). `contract` and
    `apply` are matrix products wherever they sum.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.tensor import Structured
    >>> b = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    >>> T = Structured((2, 3), (2, 2), "ij", "il", {"i": 2, "j": 3, "l": 2}, [(b, "lj")])
    >>> T
    <derivative tensor (2, 3) x (2, 2): structured, float64, density 0.5, 48 bytes>
    >>> T.contract(np.ones((2, 3)))
    array([[ 6., 15.],
           [ 6., 15.]])
    """

    __slots__ = (
        "_direct_in", "_direct_out", "_factors", "_in_labels", "_out_labels", "_scale", "_sizes",
    )  # fmt: skip
    storage = "structured"

    _factors: tuple[tuple[np.ndarray, Labels], ...]

    def __init__(
        self,
        out_shape: Sequence[int],
        in_shape: Sequence[int],
        out_labels: Sequence[Hashable],
        in_labels: Sequence[Hashable],
        sizes: Mapping[Any, int],
        factors: Sequence[tuple[Any, Sequence[Hashable]]] = (),
        scale: float = 1.0,
        dtype: Any = None,
    ) -> None:
        arrays = [as_operand(x) for x, _ in factors]
        if dtype is None:
            dtype = np.result_type(*arrays) if arrays else np.float64
        self._set(out_shape, in_shape, dtype)
        if any(array.dtype.kind not in "fiub" for array in arrays):
            given = ", ".join(str(array.dtype) for array in arrays)
            raise DTypeError(f"Structured: factors must be real numbers, not {given}")
        order = dict.fromkeys(
            label for own in (out_labels, in_labels, *(own for _, own in factors)) for label in own
        )
        names = {label: k for k, label in enumerate(order)}
        missing = [label for label in order if label not in sizes]
        if missing:
            raise ShapeError(f"Structured: labels {missing} have no size in {dict(sizes)}")
        self._sizes = tuple([operator.index(sizes[label]) for label in order])
        if min(self._sizes, default=0) < 0:
            raise ShapeError(f"Structured: negative size in {dict(sizes)}")
        self._out_labels = tuple([names[label] for label in out_labels])
        self._in_labels = tuple([names[label] for label in in_labels])
        self._scale = float(scale)
        kept = []
        for array, (_, own) in zip(arrays, factors, strict=True):
            factor, labels = self._checked(array, tuple([names[label] for label in own]))
            if labels:
                kept.append((factor, labels))
            else:
                self._scale *= float(factor)
        self._factors = tuple(kept)
        for shape, labels in (self._out_shape, self._out_labels), (self._in_shape, self._in_labels):
            if math.prod(shape) != math.prod(self._dims(labels)):
                raise ShapeError(
                    f"Structured: shape {shape} cannot be labelled with sizes {self._dims(labels)}"
                )
        self._direct_in = self._direct(self._out_labels, self._in_labels)
        self._direct_out = self._direct(self._in_labels, self._out_labels)

    def _checked(self, array: np.ndarray, labels: Labels) -> tuple[np.ndarray, Labels]:
        if array.shape != self._dims(labels):
            raise ShapeError(
                f"Structured: a factor of shape {array.shape} has labels of sizes "
                f"{self._dims(labels)}"
            )
        factor = np.asarray(array, self._dtype)
        if len(set(labels)) < len(labels):
            factor, labels = diagonal_view(factor, labels)
        factor = factor.view()
        factor.flags.writeable = False
        return factor, labels

    def _dims(self, labels: Sequence[int]) -> tuple[int, ...]:
        return tuple([self._sizes[label] for label in labels])

    @property
    def out_labels(self) -> Labels:
        """The labels of the axes of Y, as numbers."""
        return self._out_labels

    @property
    def in_labels(self) -> Labels:
        """The labels of the axes of X, as numbers."""
        return self._in_labels

    @property
    def sizes(self) -> dict[int, int]:
        """The size of each label."""
        return dict(enumerate(self._sizes))

    @property
    def factors(self) -> tuple[tuple[np.ndarray, Labels], ...]:
        """The factors, read-only, with their labels."""
        return self._factors

    @property
    def scale(self) -> float:
        """The scalar that the product is multiplied with."""
        return self._scale

    @property
    def nnz(self) -> int:  # noqa: D102
        return math.prod(self._dims(unique(self._out_labels + self._in_labels)))

    @property
    def nbytes(self) -> int:  # noqa: D102
        return sum(factor.nbytes for factor, _ in self._factors)

    # ---- products

    def _direct(self, source: Labels, target: Labels) -> tuple[np.ndarray, bool, bool] | None:
        """Return how one product of two matrices maps source to target axes, if it does.

        The matrix, whether it is the left operand, and whether the other is transposed.
        """
        if len(self._factors) != 1 or len(source) != 2 or len(target) != 2:
            return None
        if self._out_shape != self._dims(self._out_labels):
            return None
        if self._in_shape != self._dims(self._in_labels):
            return None
        factor, labels = self._factors[0]
        sums = [label for label in source if label in labels and label not in target]
        if len(labels) != 2 or len(sums) != 1 or len({*source, *labels, *target}) != 3:
            return None
        (label,) = sums
        if target[0] in source and target[1] in labels:
            matrix = factor if labels[0] == label else factor.T
            return matrix, False, source[0] == label
        if target[0] in labels and target[1] in source:
            matrix = factor if labels[1] == label else factor.T
            return matrix, True, source[1] == label
        return None

    def contract(self, g: Any) -> np.ndarray:  # noqa: D102 (see the base class)
        # The short way of the commonest case: Python's part of it is a third of a microsecond.
        if (
            self._direct_in is not None
            and type(g) is np.ndarray
            and g.shape == self._out_shape
            and g.dtype is self._dtype
        ):
            return self._multiply(self._direct_in, g)
        return super().contract(g)

    def apply(self, t: Any) -> np.ndarray:  # noqa: D102
        if (
            self._direct_out is not None
            and type(t) is np.ndarray
            and t.shape == self._in_shape
            and t.dtype is self._dtype
        ):
            return self._multiply(self._direct_out, t)
        return super().apply(t)

    def _multiply(self, direct: tuple[np.ndarray, bool, bool], x: np.ndarray) -> np.ndarray:
        matrix, left, flip = direct
        if flip:
            x = x.swapaxes(-1, -2)
        result = matmul(matrix, x) if left else matmul(x, matrix)
        if self._scale != 1.0:
            result *= self._scale
        return result

    def _contract(self, g: np.ndarray, batch: tuple[int, ...]) -> np.ndarray:
        if self._direct_in is not None:
            return self._multiply(self._direct_in, g)
        result = self._moved(g, batch, self._out_labels, self._in_labels)
        return result.reshape(batch + self._in_shape)

    def _apply(self, t: np.ndarray, batch: tuple[int, ...]) -> np.ndarray:
        if self._direct_out is not None:
            return self._multiply(self._direct_out, t)
        result = self._moved(t, batch, self._in_labels, self._out_labels)
        return result.reshape(batch + self._out_shape)

    def _moved(
        self, x: np.ndarray, batch: tuple[int, ...], source: Labels, target: Labels
    ) -> np.ndarray:
        """Contract an array over source axes to a new one over target axes, in C order."""
        lead = (len(self._sizes),) * len(batch)
        x = x.reshape(batch + self._dims(source))
        known = {*source, *(label for _, own in self._factors for label in own)}
        present = tuple([label for label in unique(target) if label in known])
        terms = [(x, lead + source), *self._factors]
        result = contract_all(terms, lead + present)
        if present == target and self._factors:
            result = np.ascontiguousarray(result)
            if self._scale != 1.0:
                result *= self._scale
            return result
        room = np.zeros(batch + self._dims(target), self._dtype)
        view, _ = diagonal_view(room, lead + target)
        index = (..., *[slice(None) if label in known else None for label in unique(target)])
        np.multiply(result[index], self._dtype.type(self._scale), out=view)
        return room

    # ---- other forms

    def _values(
        self, labels: Sequence[int], factors: Sequence[tuple[np.ndarray, Labels]] | None = None
    ) -> np.ndarray:
        """Return the product of the factors over labels, as a view with strides 0 if need be."""
        factors = self._factors if factors is None else factors
        known = {label for _, own in factors for label in own}
        values = np.asarray(self._scale, self._dtype)
        if factors:
            values = contract_all(factors, tuple([label for label in labels if label in known]))
            if self._scale != 1.0:
                values = values * self._dtype.type(self._scale)
        values = values[tuple([slice(None) if label in known else None for label in labels])]
        return np.broadcast_to(values, self._dims(labels))

    def _to_dense(self) -> np.ndarray:
        labels = self._out_labels + self._in_labels
        full = np.zeros(self._dims(labels), self._dtype)
        view, names = diagonal_view(full, labels)
        view[...] = self._values(names)
        return full.reshape(self.shape)

    def _block(self, index: tuple[int, ...]) -> np.ndarray:
        room = np.zeros(self._dims(self._in_labels), self._dtype)
        place = np.ravel_multi_index(index, self._out_shape) if index else 0
        fixed: dict[int, int] = {}
        out_dims = self._dims(self._out_labels)
        for label, i in zip(self._out_labels, np.unravel_index(place, out_dims), strict=True):
            if fixed.setdefault(label, int(i)) != i:
                return room.reshape(self._in_shape)  # off the diagonal of a label that is twice

        def part(x: np.ndarray, labels: Labels) -> tuple[np.ndarray, Labels]:
            at = (..., *[fixed.get(label, slice(None)) for label in labels])
            return x[at], tuple([label for label in labels if label not in fixed])

        view, names = diagonal_view(*part(room, self._in_labels))
        view[...] = self._values(names, [part(*factor) for factor in self._factors])
        return room.reshape(self._in_shape)

    def transpose(self) -> Structured:  # noqa: D102
        return Structured(
            self._in_shape, self._out_shape, self._in_labels, self._out_labels,
            self.sizes, self._factors, self._scale, self._dtype,
        )  # fmt: skip

    def _scaled(self, factor: float) -> Structured:
        return Structured(*self._parts(), self._scale * factor, self._dtype)

    def _cast(self, dtype: np.dtype[Any]) -> Structured:
        return Structured(*self._parts(), self._scale, dtype)

    def __reduce__(self) -> Any:
        return Structured, (*self._parts(), self._scale, self._dtype)

    def _parts(self) -> tuple[Any, Any, Labels, Labels, dict[int, int], Any]:
        """Return the arguments that make this tensor, without scale and dtype."""
        return (
            self._out_shape, self._in_shape, self._out_labels, self._in_labels,
            self.sizes, self._factors,
        )  # fmt: skip

    def _to_sparse(self) -> BlockSparse:
        out, inner = self._out_labels, self._in_labels
        if self.nnz == 0:
            return BlockSparse.empty(self._out_shape, self._in_shape, self._dtype)
        if len(set(out)) < len(out) or len(set(inner)) < len(inner):
            return self._to_coordinates()
        shared = [label for label in out if label in inner]
        rows = [label for label in out if label not in inner]
        columns = [label for label in inner if label not in out]
        sizes = [math.prod(self._dims(labels)) for labels in (shared, rows, columns)]
        data = np.ascontiguousarray(self._values(shared + rows + columns)).reshape(sizes)
        return BlockSparse(
            self._out_shape,
            self._in_shape,
            data,
            np.arange(sizes[0]),
            np.arange(sizes[0] + 1),
            (self._dims(out), [out.index(label) for label in shared + rows]),
            (self._dims(inner), [inner.index(label) for label in shared + columns]),
        )

    def _to_coordinates(self) -> BlockSparse:
        """Return the tensor element by element: a label that is twice leaves rows empty."""
        names = unique(self._out_labels + self._in_labels)
        grid = np.ogrid[tuple([slice(n) for n in self._dims(names)])]
        index = dict(zip(names, grid, strict=True))
        places = []
        for labels in (self._out_labels, self._in_labels):
            place: Any = np.zeros((), np.int64)
            for label in labels:
                place = place * self._sizes[label] + index[label]
            places.append(np.broadcast_to(place, self._dims(names)).ravel())
        values = self._values(names).ravel()
        return BlockSparse.from_coordinates(self._out_shape, self._in_shape, values, *places)

    def _to_scipy(self) -> Any:
        return self._to_sparse()._to_scipy()


def unique(labels: Sequence[int]) -> Labels:
    """Return each label once, in order of first appearance."""
    return tuple(dict.fromkeys(labels))


def diagonal_view(x: np.ndarray, labels: Labels) -> tuple[np.ndarray, Labels]:
    """Return a writable view with one axis for each different label, and these labels."""
    names = unique(labels)
    if len(names) == len(labels):
        return x, names
    numbers = [names.index(label) for label in labels]
    return np.einsum(x, numbers, list(range(len(names)))), names
