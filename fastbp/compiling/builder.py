"""Appends the instructions of a plan: memory, elementwise work, sums, products."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.compiling.folding import by_identity
from fastbp.compiling.matrices import routine
from fastbp.compiling.passes import enabled
from fastbp.compiling.steps import (
    Call,
    Copy,
    Gather,
    Pick,
    Places,
    Product,
    Region,
    Step,
    Sum,
    Zero,
)  # fmt: skip
from fastbp.compiling.sums import Term, Waiting, made
from fastbp.compiling.values import Storage, Value, broadcast_shape, strides_of

__all__ = ["Builder", "booleans", "grid", "view_of"]

FLOATS = "fc"
_WIDE = 255  # as many numbers of single precision in one place are added in double
# Slices that are compared one after the other; elements of a large array, and of a long axis in it.
_FEW, _LARGE, _LONG = 8, 1 << 15, 64


class Builder:
    """Takes operations in the order of the record, and appends instructions."""

    def __init__(self) -> None:
        self.passes = enabled()
        self.steps: list[Step] = []
        self.constants: dict[int, Value] = {}
        self.factors: dict[Any, list[Value] | None] = {}
        self.known: dict[Any, Any] = {}  # what was found out about layouts, for those that follow
        self.picks: dict[int, Pick] = {}  # what made memory, by its id, where that was a table
        self.negated: dict[int, tuple[Value, Value]] = {}  # values times -1, and of what, by id
        self.n_given = 0
        self.position = -1  # of the operation that is lowered

    def home(self, operands: Sequence[Any]) -> Builder:
        """Return the builder to which an operation on these operands belongs."""
        return self

    def take(self, y: Value, home: Builder) -> None:
        """Take note of a value that another builder made."""

    # -- memory

    def new(self, shape: tuple[int, ...], dtype: Any) -> Value:
        """Return a new array of the workspace."""
        return Value(Storage("work", math.prod(shape) * dtype.itemsize), shape, dtype)

    def constant(self, x: Any) -> Value:
        """Return an array that is the same in every call."""
        array = np.array(x, order="C")
        array.flags.writeable = False
        return Value(Storage("constant", array.nbytes, array=array), array.shape, array.dtype)

    def append(self, step: Step) -> None:
        """Append an instruction."""
        self.steps.append(step)

    def contiguous(self, x: Value) -> Value:
        """Return the value in C order, a copy if it is not."""
        if x.contiguous:
            return x
        y = self.new(x.shape, x.dtype)
        self.append(Copy([x], [y]))
        return y

    # -- elementwise work

    def elementwise(self, function: Any, operands: Sequence[Any], dtype: Any) -> Value | None:
        """Append elementwise work; operands are values of one dtype, or numbers."""
        shape = None
        for x in operands:
            if isinstance(x, Value):
                if x.dtype is not dtype and x.dtype != dtype:
                    return None
                shape = x.shape if shape is None else shape
                if x.shape != shape:
                    shape = broadcast_shape(shape, x.shape)
        if shape is None:
            return None
        y = self.new(shape, dtype)
        if y.storage.nbytes == 0:
            return y
        region = Region(shape, dtype)
        region.members.append((function, tuple(operands), y))
        self.steps.append(region)
        return y

    def masked(self, function: Any, operands: Sequence[Any], dtype: Any) -> Value | None:
        """Append elementwise work whose value is a mask."""
        y = self.elementwise(function, operands, dtype)
        if y is not None:
            y.mask = True
        return y

    def boolean(self, x: Value) -> Value:
        """Return a mask as booleans."""
        if not x.mask:
            return x
        storage = Storage("given", x.size, self.n_given)
        self.n_given += 1
        y = Value(storage, x.shape, np.dtype(bool))
        y.returned = True
        self.append(Call("booleans", booleans, [x], [y], booleans))
        return y

    def seen(self, x: Value, function: Any) -> Value | None:
        """Return what a function shows of an array, if that is a view of it."""
        y = view_of(x, function)
        if y is not None:
            y.mask = x.mask
        return y

    # -- what rows say by `plan=`

    def sum(self, x: Value, axis: Sequence[int], shape: tuple[int, ...]) -> Value | None:
        """Append a sum along axes, in the shape that it has."""
        if x.dtype.kind not in FLOATS:
            return None
        axes = {k % len(x.shape) for k in axis} if x.shape else set()
        axes = {k for k in axes if x.shape[k] != 1}
        if math.prod(n for k, n in enumerate(x.shape) if k not in axes) != math.prod(shape):
            return None
        if not axes or x.size == 0:
            if x.size == 0:
                y = self.new(shape, x.dtype)
                self.append(Zero(y))
                return y
            x = self.contiguous(x)
            return x.view(shape, x.offset, strides_of(shape, x.dtype.itemsize))
        x = self.contiguous(x)
        dims = list(x.shape)
        end = len(dims)
        while end > 0:
            if end - 1 not in axes:
                end -= 1
                continue
            first = end - 1
            while first > 0 and (first - 1 in axes or dims[first - 1] == 1):
                first -= 1
            outer, rows, n = (
                math.prod(dims[a:b]) for a, b in ((0, first), (first, end), (end, None))
            )
            dims[first:end] = [1] * (end - first)
            if n == 1 and rows <= _FEW <= outer:  # the same order, without a loop for each row
                y = self._slice_by_slice(
                    np.add,
                    x.view((outer, rows), x.offset, strides_of((outer, rows), x.dtype.itemsize)),
                    1,
                )
                x = y.view(tuple(dims), 0, strides_of(tuple(dims), x.dtype.itemsize))
            else:
                y = self.new(tuple(dims), x.dtype)
                self.append(Sum(x, y, (outer, rows, n)))
                x = y
            end = first
        return x.view(shape, 0, strides_of(shape, x.dtype.itemsize))

    def extreme(
        self, ufunc: np.ufunc, x: Value, axis: Sequence[int], shape: tuple[int, ...]
    ) -> Value | None:
        """Append the largest or smallest elements along axes, in the shape that they have.

        Halves are compared until one element is left: elementwise work, whatever the axis. None for
        large arrays with long axes, which NumPy reads once.
        """
        axes = {k % len(x.shape) for k in axis} if x.shape else set()
        axes = {k for k in axes if x.shape[k] != 1}
        longest = max([x.shape[k] for k in axes], default=1)
        if x.dtype.char not in "fd" or x.size == 0 or (x.size > _LARGE and longest > _LONG):
            return None
        for k in sorted(axes, reverse=True):
            while x.shape[k] > 1:
                x = self._compared(ufunc, x, k)
        x = self.contiguous(x)
        return x.view(shape, x.offset, strides_of(shape, x.dtype.itemsize))

    def _compared(self, ufunc: np.ufunc, x: Value, axis: int) -> Value:
        """Append a comparison of both halves, which share the middle, or of few slices."""
        n = x.shape[axis]
        if n <= _FEW:
            return self._slice_by_slice(ufunc, x, axis)
        return self._together(ufunc, x, axis, (n + 1) // 2, (0, n // 2))

    def _slice_by_slice(self, ufunc: np.ufunc, x: Value, axis: int) -> Value:
        return self._together(ufunc, x, axis, 1, range(x.shape[axis]))

    def _together(
        self, ufunc: np.ufunc, x: Value, axis: int, width: int, starts: Sequence[int]
    ) -> Value:
        """Append elementwise work on slices of some width, one after the other."""
        shape = (*x.shape[:axis], width, *x.shape[axis + 1 :])
        slices = [x.view(shape, x.offset + k * x.strides[axis], x.strides) for k in starts]
        y = slices[0]
        for other in slices[1:]:
            found = self.elementwise(ufunc, (y, other), x.dtype)
            assert found is not None
            y = found
        return y

    def half(self, z: Value, imaginary: bool) -> Value:
        """Return the layout of the real or imaginary parts of complex numbers."""
        dtype = np.dtype(f"f{z.dtype.itemsize // 2}")
        offset = z.offset + imaginary * dtype.itemsize
        return Value(z.storage, z.shape, dtype, offset, z.strides)

    def joined(self, re: Value | float, im: Value | float, like: Value) -> Value:
        """Append copies that make complex numbers, of the shape of `like`, of their parts."""
        z = self.new(like.shape, np.dtype(f"c{2 * like.dtype.itemsize}"))
        for imaginary, x in enumerate((re, im)):
            if not isinstance(x, Value):
                x = self.constant(np.asarray(x, like.dtype))
            if z.size:
                self.append(Copy([x], [self.half(z, bool(imaginary))]))
        return z

    def put(self, x: Value, index: Any, shape: tuple[int, ...]) -> Value:
        """Append zeros with elements written at an index without arrays."""
        y = self.new(shape, x.dtype)
        y.waiting = Waiting()
        if x.size:
            y.waiting.parts.append((x, index))
        return y if "waiting" in self.passes else self.read(y)

    def scatter(self, x: Value, where: np.ndarray, shape: tuple[int, ...]) -> Value | None:
        """Append zeros with the elements of `x` in different places that lie in a grid."""
        found = grid(where) if x.size else None
        if found is None or np.unique(where).size != where.size:
            return None
        item, y = x.dtype.itemsize, self.new(shape, x.dtype)
        x = self.contiguous(x)
        part = y.view(found[0], int(where[0]) * item, tuple([s * item for s in found[1]]))
        self.append(Zero(y))
        self.append(Copy([x.view(part.shape, x.offset, strides_of(part.shape, item))], [part]))
        return y

    # -- indices that are values

    def computes(self, x: Any) -> bool:
        """Say whether an operand is a value of the plan, no constant."""
        return isinstance(x, Value)

    def places(
        self,
        indices: Sequence[Value],
        first: np.ndarray | None,
        facts: Sequence[tuple[Any, ...]],
        shape: tuple[int, ...],
    ) -> Value | None:
        """Append the numbers of the elements that arrays of integers name.

        `facts` has for each of them what `Places` takes.
        """
        fitting = [isinstance(x, Value) and x.dtype.kind in "iu" for x in indices]
        if "indexing" not in self.passes or not all(fitting):
            return None
        y = self.new(shape, np.dtype(np.intp))
        if y.size:
            self.append(Places([self.contiguous(x) for x in indices], y, first, list(facts)))
        return y

    def gather(self, x: Value, places: Value, behind: int, shape: tuple[int, ...]) -> Value | None:
        """Append the elements of `x` in places along an axis, with `behind` axes behind it."""
        if not self._are_places(places) or x.mask:
            return None
        y, at = self.new(shape, x.dtype), len(x.shape) - 1 - behind
        if not y.size or not x.size:
            return y if not y.size else None
        steps = _even(x, 0, at), x.strides[at], _even(x, at + 1, len(x.shape))
        if None in steps:
            x = self.contiguous(x)
            steps = 0, x.strides[at], x.dtype.itemsize
            steps = x.strides[at] * x.shape[at], *steps[1:]
        sizes = _sizes(x.shape, at, places)
        self.append(Gather(x, self.contiguous(places), y, sizes, steps))  # type: ignore[arg-type]
        return y

    def scattered(
        self, x: Value, places: Value, behind: int, shape: tuple[int, ...]
    ) -> Value | None:
        """Append zeros with the elements of `x` added in places along an axis."""
        if not self._are_places(places) or x.dtype.kind not in FLOATS:
            return None
        if x.dtype.itemsize == (4 if x.dtype.kind == "f" else 8) and places.size >= _WIDE:
            return None
        y = self.new(shape, x.dtype)
        y.waiting = Waiting()
        if x.size:
            sizes = _sizes(shape, len(shape) - 1 - behind, places)
            x, places = self.contiguous(x), self.contiguous(places)
            y.waiting.scattered.append((x, places, sizes))
        return y if "waiting" in self.passes else self.read(y)

    def _are_places(self, places: Value) -> bool:
        return "indexing" in self.passes and places.dtype == np.intp

    def part(self, y: Value, index: Any) -> Value:
        """Return the layout of a part, at an index without arrays."""
        part = view_of(y, lambda array: array[index])
        assert part is not None
        return part

    def read(self, y: Value) -> Value:
        """Return a value as something that lies in memory."""
        if y.waiting is not None:
            if y.waiting.empty:
                y.waiting = None
                self.append(Zero(y))
            else:
                made(self, y)
        return y

    def contract(
        self,
        x: Value,
        left: Sequence[int],
        y: Value,
        right: Sequence[int],
        out: Sequence[int],
    ) -> Value | None:
        """Append a product over labelled axes."""
        dtype = x.dtype
        if dtype != y.dtype or dtype.kind not in FLOATS:
            return None
        if "folding" in self.passes:
            z = by_identity(x, left, y, right, out) or by_identity(y, right, x, left, out)
            if z is not None:
                return z
        sizes, shape, order, axes = _contraction(
            tuple(left), x.shape, tuple(right), y.shape, tuple(out)
        )
        if 0 in sizes.values():
            z = self.new(shape, dtype)
            self.append(Zero(z))
            return z
        if order is None:
            return self.elementwise(
                np.multiply, (_lined_up(x, left, out), _lined_up(y, right, out)), dtype
            )
        if axes != sorted(axes) and not set(left) & set(right):
            x, left, y, right = (
                y,
                right,
                x,
                left,
            )  # numbers times numbers, in the order of the result
            order, axes = list(out), list(range(len(out)))
        z = self.new(tuple([sizes[k] for k in order]), dtype)
        if axes == sorted(axes) and "waiting" in self.passes:
            z.waiting = Waiting()
            z.waiting.terms.append(Term(x, left, y, right, out, sizes))
            return z
        self.append(self.product(x, left, y, right, z, order, sizes))
        return z.view(shape, 0, tuple([z.strides[k] for k in axes]))

    def lapack(
        self, name: str, *operands: Value, flags: tuple[str, ...] = ()
    ) -> list[Value] | None:
        """Append a routine of LAPACK's on stacks of matrices, and return its results.

        Equal ones are run once: operations that factorise the same matrix share its factors.
        """
        key = (name, flags, *[_layout(x) for x in operands])
        if key not in self.factors or "common" not in self.passes:
            self.factors[key] = routine(self, name, operands, flags)
        return self.factors[key]

    def product(
        self,
        x: Value,
        left: Sequence[int],
        y: Value,
        right: Sequence[int],
        z: Value,
        out: Sequence[int],
        sizes: dict[int, int],
        accumulate: bool = False,
    ) -> Product:
        """Describe a product as the machine takes it: one label a row, column and sum, or none."""
        layouts = x.shape, x.strides, y.shape, y.strides, z.shape, z.strides, z.dtype
        key = ("product", tuple(left), tuple(right), tuple(out), layouts)
        facts = self.known.get(key)
        if facts is not None:
            return Product(x, y, z, facts, accumulate)
        given = x, y
        in_x, in_y = set(left), set(right)
        rows = [m for m in out if m in in_x and m not in in_y]
        columns = [m for m in out if m in in_y and m not in in_x]
        sums = [m for m in left if m not in out]
        x, y = _readable(self, x, left, rows, sums), _readable(self, y, right, sums, columns)
        steps = [
            {
                label: stride // x.dtype.itemsize if n != 1 else 0
                for label, n, stride in zip(labels, v.shape, v.strides, strict=True)
            }
            for labels, v in ((left, x), (right, y), (out, z))
        ]
        m, n = rows[-1] if rows else None, columns[-1] if columns else None
        k = sums[-1] if sums else None
        rest = [label for label in sizes if label not in (m, n, k)]
        size = tuple(sizes[label] if label is not None else 1 for label in (m, n, k))
        batch = tuple(sizes[label] for label in rest)

        def strides(own: dict[int, int], row: Any, col: Any) -> Any:
            return own.get(row, 0), own.get(col, 0), tuple(own.get(label, 0) for label in rest)

        a, b, c = strides(steps[0], m, k), strides(steps[1], k, n), strides(steps[2], m, n)
        facts = size, batch, a, b, c
        if x is given[0] and y is given[1]:  # no copy was needed
            self.known[key] = facts
        return Product(x, y, z, facts, accumulate)


@functools.lru_cache(1 << 12)
def _contraction(
    left: tuple[int, ...],
    x_shape: tuple[int, ...],
    right: tuple[int, ...],
    y_shape: tuple[int, ...],
    out: tuple[int, ...],
) -> tuple[dict[int, int], tuple[int, ...], list[int] | None, list[int]]:
    """Return sizes of labels, the shape, the labels in the order of a product, and their axes.

    There is no order where nothing is summed: that is elementwise work.
    """
    sizes = dict(zip(left, x_shape, strict=True))
    for label, n in zip(right, y_shape, strict=True):
        if n != 1 or label not in sizes:
            sizes[label] = n
    shape = tuple([sizes[label] for label in out])
    summed = any(label not in out for label in sizes)
    outer = not set(left) & set(right) and len(out) == len(left) + len(right)
    if not summed and not (outer and len(out) == 2):
        return sizes, shape, None, []
    batch = [k for k in out if k in left and k in right]
    rows = [k for k in out if k in left and k not in right]
    columns = [k for k in out if k not in left]
    order = [*batch, *rows, *columns]
    return sizes, shape, order, [order.index(k) for k in out]


def grid(places: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the shape and strides of a grid whose points, in C order, are these, or None.

    Two rows and two columns of a matrix are one, wherever they are.
    """
    shape: list[int] = []
    strides: list[int] = []
    while places.size > 1:
        steps = np.diff(places)
        run = int(np.argmax(steps != steps[0])) + 1 if np.any(steps != steps[0]) else places.size
        if places.size % run:
            return None
        rows = places.reshape(-1, run)
        if np.any(rows != rows[:, :1] + steps[0] * np.arange(run)):
            return None
        shape.insert(0, run)
        strides.insert(0, int(steps[0]))
        places = rows[:, 0]
    return (tuple(shape), tuple(strides)) if shape else ((1,), (1,))


def _layout(x: Value) -> Any:
    return x.storage, x.offset, x.shape, x.strides, x.dtype, x.mask


def _readable(
    b: Builder, x: Value, own: Sequence[int], rows: Sequence[int], columns: Sequence[int]
) -> Value:
    """Return an operand of a product as BLAS can read the matrix of its last row and column."""
    item = x.dtype.itemsize
    step = {k: s // item if n != 1 else 0 for k, n, s in zip(own, x.shape, x.strides, strict=True)}
    size = dict(zip(own, x.shape, strict=True))
    if all(s % item == 0 and s >= 0 for s in x.strides):
        row = (size[rows[-1]], step[rows[-1]]) if rows else (1, 0)
        col = (size[columns[-1]], step[columns[-1]]) if columns else (1, 0)
        if _is_layout(row, col):
            return x
    order = [k for k in own if k not in rows and k not in columns] + [*rows, *columns]
    axes = [own.index(k) for k in order]
    moved = x.view(tuple(x.shape[a] for a in axes), x.offset, tuple(x.strides[a] for a in axes))
    y = b.new(moved.shape, x.dtype)
    b.append(Copy([moved], [y]))
    back = [order.index(k) for k in own]
    return y.view(tuple(y.shape[a] for a in back), 0, tuple(y.strides[a] for a in back))


def _is_layout(row: tuple[int, int], col: tuple[int, int]) -> bool:
    """Say whether BLAS reads a matrix of these (size, stride) pairs, as `strided.layout`."""
    (rows, step), (cols, inner) = row, col
    if (cols <= 1 or inner == 1) and (rows <= 1 or (step >= cols and step >= 1)):
        return True
    return (rows <= 1 or step == 1) and inner >= rows and inner >= 1


def _lined_up(x: Value, own: Sequence[int], out: Sequence[int]) -> Value:
    shape, strides = [], []
    for label in out:
        if label in own:
            k = list(own).index(label)
            shape.append(x.shape[k])
            strides.append(x.strides[k])
        else:
            shape.append(1)
            strides.append(0)
    return x.view(tuple(shape), x.offset, tuple(strides))


def _sizes(shape: tuple[int, ...], at: int, places: Value) -> tuple[int, int, int, int]:
    return math.prod(shape[:at]), shape[at], math.prod(shape[at + 1 :]), places.size


def _even(x: Value, first: int, end: int) -> int | None:
    """Return the stride with which the elements along axes follow each other; None: with none."""
    step: int = x.dtype.itemsize
    reach: int | None = None
    for n, stride in zip(x.shape[first:end][::-1], x.strides[first:end][::-1], strict=True):
        if n == 1:
            continue
        if reach is None:
            step, reach = stride, stride * n
        elif stride != reach:
            return None
        else:
            reach *= n
    return step


def booleans(x: Any) -> tuple[Any]:
    """Return a mask of 1 and 0 as booleans."""
    return (x != 0.0,)


def view_of(x: Value, function: Any) -> Value | None:
    """Return what a function returns if that is a view of its argument."""
    found = shown_by(x, function)
    return found and x.view(found[0], x.offset + found[1], found[2])


def shown_by(x: Value, function: Any) -> tuple[tuple[int, ...], int, tuple[int, ...]] | None:
    """Return shape, offset and strides of the view of an array that a function returns.

    None: it is no view. The offset is from that of the array, so that all else depends on nothing
    but shape, strides and dtype.
    """
    memory = np.empty(max(x.storage.nbytes, 1), np.uint8)
    array = np.ndarray(x.shape, x.dtype, memory, x.offset, x.strides)
    with np.errstate(all="ignore"):
        found = function(array)
    if not isinstance(found, np.ndarray) or found.dtype != x.dtype:
        return None
    if not np.may_share_memory(found, memory):
        return None
    start = found.__array_interface__["data"][0] - memory.__array_interface__["data"][0]
    return found.shape, start - x.offset, found.strides
