"""Sums that are not made term by term: products added up in place, parts written where they belong.

The sweep of a loop adds a gradient to another one in every step. Such a sum waits until somebody
reads it: then its products are one product of stacked operands, or each adds to what is there, and
its parts are written into one array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.compiling.steps import Add, Copy, Region, Scatter, Zero
from fastbp.compiling.values import Storage, Value, strides_of

if TYPE_CHECKING:
    from fastbp.compiling.builder import Builder

__all__ = ["Term", "Waiting", "is_movable", "made"]

_LOOKED_AT = 1 << 16  # elements of an array whose parts are compared
_MANY = 4  # values whose sum is one instruction


class Term:
    """A product over labels: ``x`` has the labels `left`, ``y`` `right`, the result `out`."""

    __slots__ = ("left", "out", "right", "sizes", "x", "y")

    def __init__(
        self,
        x: Value,
        left: Sequence[int],
        y: Value,
        right: Sequence[int],
        out: Sequence[int],
        sizes: dict[int, int],
    ) -> None:
        self.x, self.left, self.y, self.right = x, tuple(left), y, tuple(right)
        self.out, self.sizes = tuple(out), sizes

    @property
    def kind(self) -> Any:
        """What is equal for terms that can be stacked."""
        x, y = self.x, self.y
        return self.left, self.right, self.out, x.shape, y.shape, x.strides, y.strides


class Waiting:
    """A sum that waits: of products, of parts in zeros, and of other values.

    Parts are in places of an index without arrays, or (`scattered`) in those that values name.
    """

    __slots__ = ("others", "parts", "scattered", "terms")

    def __init__(self) -> None:
        self.terms: list[Term] = []
        self.parts: list[tuple[Value, Any]] = []
        self.scattered: list[tuple[Value, Value, tuple[int, int, int, int]]] = []
        self.others: list[Value] = []

    @property
    def empty(self) -> bool:
        """Whether nothing is added up: it is zeros."""
        return not (self.terms or self.parts or self.scattered or self.others)

    @property
    def is_product(self) -> bool:
        """Whether it is one product."""
        return len(self.terms) == 1 and not (self.parts or self.scattered or self.others)

    def take(self, value: Value) -> None:
        """Add a value; one that waits, and that nobody else reads, is taken apart."""
        if value.waiting is None:
            self.others.append(value)
        else:
            self.terms += value.waiting.terms
            self.parts += value.waiting.parts
            self.scattered += value.waiting.scattered
            self.others += value.waiting.others
            value.waiting = None


def made(b: Builder, y: Value) -> None:
    """Append the instructions that make a waiting value, into its own memory."""
    waiting = y.waiting
    assert waiting is not None
    y.waiting = None
    if len(waiting.terms) == 1 and waiting.others and not (waiting.parts or waiting.scattered):
        _added(b, y, waiting)
        return
    filled = _others(b, y, waiting.others)
    groups: dict[Any, list[Term]] = {}
    for number, term in enumerate(waiting.terms):
        groups.setdefault(term.kind if "stacking" in b.passes else number, []).append(term)
    for terms in groups.values():
        filled = _products(b, y, terms, filled)
    for x, places, sizes in waiting.scattered:
        if not filled:
            b.append(Zero(y))
            filled = True
        b.append(Scatter(x, places, y, sizes))
    _parts(b, y, waiting.parts, filled)


def _added(b: Builder, y: Value, waiting: Waiting) -> None:
    """Make a sum of one product and others: elementwise work, which joins what reads it."""
    (t,) = waiting.terms
    product = b.new(y.shape, y.dtype)
    b.append(b.product(t.x, t.left, t.y, t.right, product, t.out, t.sizes))
    _total(b, [product, *waiting.others])
    region = b.steps[-1]
    assert isinstance(region, Region)
    function, operands, _ = region.members[0]
    region.members[0] = function, operands, y


def _total(b: Builder, values: list[Value]) -> Value:
    total = values[0]
    for x in values[1:]:
        found = b.elementwise(np.add, (total, x), total.dtype)
        assert found is not None
        total = found
    return total


def _others(b: Builder, y: Value, others: list[Value]) -> bool:
    if not others:
        return False
    b.append(Copy([_total(b, _summed(b, others))], [y]))
    return True


def _summed(b: Builder, values: list[Value]) -> list[Value]:
    """Return fewer values of the same sum: many that lie side by side are one."""
    groups: dict[Any, list[Value]] = {}
    for v in values:
        groups.setdefault((v.shape, v.strides), []).append(v)
    found = []
    for own in groups.values():
        size = own[0].size
        if len(own) < _MANY or _copied(own) * 2 > size * len(own) or "stacking" not in b.passes:
            found += own
            continue
        stack = _stacked(b, own if (_spacing(own) or 0) > 0 else own[::-1])
        total = b.sum(stack, (0,), own[0].shape)
        found += own if total is None else [total]
    return found


def _products(b: Builder, y: Value, terms: list[Term], filled: bool) -> bool:
    first = terms[0]
    if len(terms) > 1:
        xs, zs = [t.x for t in terms], [t.y for t in terms]
        if _copied(xs) + _copied(zs) <= len(terms) * y.size:
            if max(_spacing(xs) or 0, _spacing(zs) or 0) <= 0:  # a sweep begins with the last
                xs, zs = xs[::-1], zs[::-1]
            lead = max((*first.left, *first.right, *first.out), default=0) + 1
            x, z = _stacked(b, xs), _stacked(b, zs)
            sizes = {**first.sizes, lead: len(terms)}
            terms = [Term(x, (lead, *first.left), z, (lead, *first.right), first.out, sizes)]
    for t in terms:
        b.append(b.product(t.x, t.left, t.y, t.right, y, t.out, t.sizes, filled))
        filled = True
    return True


def _spacing(values: list[Value]) -> int | None:
    """Return by how many bytes values lie apart that have equal distances in one memory."""
    first, second = values[0], values[1]
    memory = first.storage.outermost
    space = second.offset + second.storage.start - first.offset - first.storage.start
    for k, v in enumerate(values):
        place = v.offset + v.storage.start - first.offset - first.storage.start
        if v.storage.outermost is not memory or place != k * space:
            return None
    return space


def _fixed(values: list[Value]) -> list[bool]:
    """Return which values have to be copied to lie side by side with the others."""
    seen: set[int] = set()
    found = []
    for v in values:
        whole = v.offset == 0 and v.size * v.dtype.itemsize == v.storage.nbytes
        whole = whole and all(n == 1 or s > 0 for n, s in zip(v.shape, v.strides, strict=True))
        found.append(not whole or not is_movable(v.storage) or id(v.storage) in seen)
        seen.add(id(v.storage))
    return found


def _copied(values: list[Value]) -> int:
    """Return how many elements are copied where values are stacked."""
    if _spacing(values) is not None:
        return 0
    return sum(v.size for v, fixed in zip(values, _fixed(values), strict=True) if fixed)


def _stacked(b: Builder, values: list[Value]) -> Value:
    """Return values of one layout as one value with an axis more in front."""
    first, space = values[0], _spacing(values)
    shape = (len(values), *first.shape)
    if space is not None and space >= 0:
        start = first.offset + first.storage.start
        return Value(first.storage.outermost, shape, first.dtype, start, (space, *first.strides))
    nbytes = first.size * first.dtype.itemsize
    fixed = _fixed(values)
    steps = strides_of(first.shape, first.dtype.itemsize) if all(fixed) else first.strides
    memory = Storage("work", len(values) * nbytes)
    for k, v in enumerate(values):
        if fixed[k]:
            place = Value(memory, first.shape, first.dtype, k * nbytes, steps)
            b.append(Copy([v], [place]))
        else:
            v.storage.put_inside(memory, k * nbytes)
    return Value(memory, shape, first.dtype, 0, (nbytes, *steps))


def is_movable(storage: Storage) -> bool:
    """Say whether an array may lie inside of a larger one."""
    return storage.kind == "work" and storage.inside is None and not storage.holds


def _parts(b: Builder, y: Value, parts: list[tuple[Value, Any]], filled: bool) -> None:
    if not parts:
        return
    found = [(x, index, b.part(y, index)) for x, index in _joined(b, parts)]
    if len({place.strides for *_, place in found}) == 1:
        # What is further behind first: work that computes several can write them in one pass.
        found.sort(key=lambda part: -part[2].offset)
    known = None
    if not filled and y.size <= _LOOKED_AT:
        known = np.zeros(y.shape, bool)
        counted = np.zeros(y.shape, np.intp)
        for _, index, _ in found:
            counted[index] += 1
        if not (counted == 1).all():
            _cleared(b, y, found[0][2])
    elif not filled:
        _cleared(b, y, found[0][2])
    for number, (x, index, place) in enumerate(found):
        fresh = not known[index].any() if known is not None else not filled and number == 0
        b.append(Copy([x], [place]) if fresh else Add(x, place))
        if known is not None:
            known[index] = True


def _cleared(b: Builder, y: Value, place: Value) -> None:
    """Append zeros wherever the first part is not written."""
    item = y.dtype.itemsize
    if not (y.contiguous and place.contiguous):
        b.append(Zero(y))
        return
    behind = place.offset + place.size * item
    for first, end in ((y.offset, place.offset), (behind, y.offset + y.size * item)):
        if end > first:
            b.append(Zero(y.view(((end - first) // item,), first, (item,))))


def _joined(b: Builder, parts: list[tuple[Value, Any]]) -> list[tuple[Value, Any]]:
    """Add up what goes to the same place."""
    groups: dict[str, list[tuple[Value, Any]]] = {}
    for x, index in parts:
        groups.setdefault(repr(index), []).append((x, index))
    return [
        (x, own[0][1]) for own in groups.values() for x in _summed(b, [value for value, _ in own])
    ]
