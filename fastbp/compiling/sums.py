"""Sums that are not made term by term: products added up in place, parts written where they belong.

The sweep of a loop adds a gradient to another one in every step. Such a sum waits until somebody
reads it: then its products are one product of stacked operands, or each adds to what is there, and
its parts are written into one array.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.compiling.steps import Add, Copy, Region, Zero
from fastbp.compiling.values import Storage, Value, strides_of

if TYPE_CHECKING:
    from fastbp.compiling.builder import Builder

__all__ = ["Term", "Waiting", "is_movable", "made"]

_LOOKED_AT = 1 << 16  # elements of an array whose parts are compared


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
    """A sum that waits: of products, of parts in zeros, and of other values."""

    __slots__ = ("others", "parts", "terms")

    def __init__(self) -> None:
        self.terms: list[Term] = []
        self.parts: list[tuple[Value, Any]] = []
        self.others: list[Value] = []

    def take(self, value: Value) -> None:
        """Add a value; one that waits, and that nobody else reads, is taken apart."""
        if value.waiting is None:
            self.others.append(value)
        else:
            self.terms += value.waiting.terms
            self.parts += value.waiting.parts
            self.others += value.waiting.others
            value.waiting = None


def made(b: Builder, y: Value) -> None:
    """Append the instructions that make a waiting value, into its own memory."""
    waiting = y.waiting
    assert waiting is not None
    y.waiting = None
    if len(waiting.terms) == 1 and waiting.others and not waiting.parts:
        _added(b, y, waiting)
        return
    filled = _others(b, y, waiting.others)
    groups: dict[Any, list[Term]] = {}
    for number, term in enumerate(waiting.terms):
        groups.setdefault(term.kind if "stacking" in b.passes else number, []).append(term)
    for terms in groups.values():
        filled = _products(b, y, terms, filled)
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
    b.append(Copy([_total(b, others)], [y]))
    return True


def _products(b: Builder, y: Value, terms: list[Term], filled: bool) -> bool:
    first = terms[0]
    if len(terms) > 1:
        lead = max((*first.left, *first.right, *first.out), default=0) + 1
        x, z = _stacked(b, [t.x for t in terms]), _stacked(b, [t.y for t in terms])
        sizes = {**first.sizes, lead: len(terms)}
        terms = [Term(x, (lead, *first.left), z, (lead, *first.right), first.out, sizes)]
    for t in terms:
        b.append(b.product(t.x, t.left, t.y, t.right, y, t.out, t.sizes, filled))
        filled = True
    return True


def _stacked(b: Builder, values: list[Value]) -> Value:
    """Return values of one layout as one value with an axis more in front."""
    first = values[0]
    n, nbytes = len(values), first.size * first.dtype.itemsize
    shape = (n, *first.shape)
    apart = {id(v.storage) for v in values}
    if len(apart) == 1:
        spaces = {b.offset - a.offset for a, b in itertools.pairwise(values)}
        if len(spaces) == 1 and min(spaces) >= 0:
            return first.view(shape, first.offset, (min(spaces), *first.strides))
    if len(apart) == n and all(v.whole and is_movable(v.storage) for v in values):
        together = Storage("work", n * nbytes)
        for k, v in enumerate(values):
            v.storage.put_inside(together, k * nbytes)
        return Value(together, shape, first.dtype, 0, (nbytes, *first.strides))
    stack = b.new(shape, first.dtype)
    steps = strides_of(first.shape, first.dtype.itemsize)
    for k, v in enumerate(values):
        b.append(Copy([v], [stack.view(first.shape, k * nbytes, steps)]))
    return stack


def is_movable(storage: Storage) -> bool:
    """Say whether an array may lie inside of a larger one."""
    return storage.kind == "work" and storage.inside is None and not storage.holds


def _parts(b: Builder, y: Value, parts: list[tuple[Value, Any]], filled: bool) -> None:
    if not parts:
        return
    places = [b.part(y, index) for _, index in parts]
    known = None
    if not filled:
        if y.size <= _LOOKED_AT:
            known = np.zeros(y.shape, bool)
            whole = sum(math.prod(place.shape) for place in places)
            counted = np.zeros(y.shape, np.intp)
            for _, index in parts:
                counted[index] += 1
            covered = whole == y.size and bool((counted == 1).all())
        else:
            covered = False
        if not covered:
            b.append(Zero(y))
    for (x, index), place in zip(parts, places, strict=True):
        fresh = not known[index].any() if known is not None else not filled and place is places[0]
        b.append(Copy([x], [place]) if fresh else Add(x, place))
        if known is not None:
            known[index] = True
