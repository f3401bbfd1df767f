"""What a plan computes with: memory that instructions write, and arrays as layouts of it."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

__all__ = ["Storage", "Value", "aligned", "broadcast_shape", "strides_of"]


class Storage:
    """Memory of one array in C order.

    Attributes
    ----------
    kind : {"input", "constant", "work", "output", "given", "moving"}
        Who has it: the caller, the plan, the workspace, the caller afterwards, a call of Python;
        memory that moves in a loop is a part of other memory.
    lower : int
        Of which order the lower triangular matrices are that it has; 0 if it has others.
    """

    __slots__ = (
        "array", "buffer", "holds", "inside", "kind", "lower", "nbytes", "number", "offset",
    )  # fmt: skip

    def __init__(self, kind: str, nbytes: int, number: int = -1, array: Any = None) -> None:
        self.kind, self.nbytes, self.number, self.array = kind, nbytes, number, array
        self.buffer, self.offset = -1, 0
        self.inside: Storage | None = None  # it is a part of this one, at `offset`
        self.holds: list[Storage] = []  # these are parts of it
        self.lower = 0

    @property
    def outermost(self) -> Storage:
        """The memory that it is a part of, or itself."""
        storage = self
        while storage.inside is not None:
            storage = storage.inside
        return storage

    @property
    def start(self) -> int:
        """Where it begins in its buffer, once memory is given out; before, in the outermost."""
        return self.offset if self.inside is None else self.offset + self.inside.start

    def overlapping(self) -> list[Storage]:
        """Return itself, what it is a part of, and its parts."""
        if self.inside is None and not self.holds:
            return [self]
        found, storage = self.parts(), self
        while storage.inside is not None:
            storage = storage.inside
            found.append(storage)
        return found

    def parts(self) -> list[Storage]:
        """Return itself and its parts, and theirs."""
        found = [self]
        for part in self.holds:
            found += part.parts()
        return found

    def put_inside(self, storage: Storage, offset: int) -> None:
        """Become a part of other memory."""
        assert self.inside is None
        self.inside, self.offset = storage, offset
        storage.holds.append(self)


class Value:
    """An array: a layout of some memory, strides and offset in bytes."""

    __slots__ = (
        "dtype", "mask", "offset", "position", "returned", "shape", "storage", "strides",
        "waiting",
    )  # fmt: skip

    def __init__(
        self,
        storage: Storage,
        shape: tuple[int, ...],
        dtype: Any,
        offset: int = 0,
        strides: tuple[int, ...] | None = None,
    ) -> None:
        self.storage, self.shape, self.dtype, self.offset = storage, shape, dtype, offset
        self.strides = strides_of(shape, dtype.itemsize) if strides is None else strides
        self.returned = False  # it is what a call returned, no other layout of that
        self.mask = False  # it stands for booleans, as 1 and 0
        self.waiting: Any = None  # the sum that it is, as long as nobody reads it
        self.position = -1  # the operation of the record that made it

    @property
    def size(self) -> int:
        """The number of its elements."""
        return math.prod(self.shape)

    @property
    def layout(self) -> tuple[int, int, tuple[int, ...], tuple[int, ...]]:
        """What is equal for values that show the same elements of one memory."""
        return id(self.storage), self.offset, self.shape, self.strides

    @property
    def contiguous(self) -> bool:
        """Whether its elements lie in C order, one after the other."""
        want = strides_of(self.shape, self.dtype.itemsize)
        if self.strides == want:
            return True
        pairs = zip(self.shape, self.strides, want, strict=True)
        return all(n == 1 or have == step for n, have, step in pairs) or self.size == 0

    @property
    def whole(self) -> bool:
        """Whether it is all of its memory, in C order."""
        nbytes = self.size * self.dtype.itemsize
        return self.contiguous and self.offset == 0 and nbytes == self.storage.nbytes

    def view(self, shape: tuple[int, ...], offset: int, strides: tuple[int, ...]) -> Value:
        """Return another layout of the same memory."""
        return Value(self.storage, shape, self.dtype, offset, strides)

    def spread(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return its strides over the axes of a shape that it broadcasts to."""
        return aligned(self.shape, self.strides, shape)


@functools.lru_cache(1 << 12)
def strides_of(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the strides of an array in C order."""
    found = []
    for n in reversed(shape):
        found.append(itemsize)
        itemsize *= max(n, 1)
    return tuple(reversed(found))


@functools.lru_cache(1 << 12)
def broadcast_shape(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that arrays of these shapes broadcast to."""
    return np.broadcast_shapes(*shapes)


def aligned(
    own: tuple[int, ...], strides: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[int, ...]:
    """Return strides over the axes of `shape`, 0 where an array of shape `own` is broadcast."""
    missing = len(shape) - len(own)
    return (0,) * missing + tuple(
        0 if n == 1 and shape[missing + k] != 1 else strides[k] for k, n in enumerate(own)
    )
