"""Products in a loop that depend on none of its carries are one product, in front of it.

A loop of Python multiplies the input of each step by the same matrix. Once such loops are rolled
back, these products have operands that are there before the loop: all at once they are one product
of larger matrices, as `scan` makes them.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastbp.compiling.blocks import Block, Loop, Moving, extent
from fastbp.compiling.steps import Product, Step
from fastbp.compiling.values import Storage, Value

__all__ = ["with_products_at_once"]

_MOST = 1 << 26  # bytes of a stack that is there for that alone
_ELEMENTS = 1 << 8  # of a product, as row, column and sum: less is not worth a stack


def with_products_at_once(steps: Sequence[Step], outputs: Sequence[Value]) -> list[Step]:
    """Return steps in which such products stand in front of their loops.

    Loops in blocks stay as they are.
    """
    if not any(isinstance(step, Loop) and _products(step) for step in steps):
        return list(steps)
    used: dict[int, int] = {}  # by how many of the steps, and outputs, memory is used
    for step in steps:
        for key in {id(s.outermost) for s in (*step.read(), *step.written())}:
            used[key] = used.get(key, 0) + 1
    for y in outputs:
        used[id(y.storage.outermost)] = used.get(id(y.storage.outermost), 0) + 1
    out: list[Step] = []
    for step in steps:
        if isinstance(step, Loop) and step.count > 1:
            out += _Hoisting(step, used).hoisted()
            if not step.body:
                continue
        out.append(step)
    return out


def _products(loop: Loop) -> list[Product]:
    return [step for step in loop.body if isinstance(step, Product)]


class _Hoisting:
    """Looks in a loop for products that may stand in front of it."""

    def __init__(self, loop: Loop, used: dict[int, int]) -> None:
        self.loop, self.used = loop, used
        self.moving = {id(m.storage): m for m in loop.in_step()}
        self.hidden = {id(m.storage) for pair in loop.swaps for m in pair}
        self.swapped = {id(m.start.storage.outermost) for pair in loop.swaps for m in pair}
        self.written = self._written()

    def _written(self) -> set[int]:
        """Return the memory that the loop writes."""
        found = {id(self.memory(s)) for step in self.loop.body for s in step.written()}
        return found | self.swapped

    def memory(self, storage: Storage) -> Storage:
        """Return the memory in which something lies, of what moves too."""
        outer = storage.outermost
        m = self.moving.get(id(outer))
        return outer if m is None else m.start.storage.outermost

    def hoisted(self) -> list[Step]:
        """Take such products out of the loop, and return them."""
        return [made for step in _products(self.loop) if (made := self._taken(step)) is not None]

    def _taken(self, step: Product) -> Product | None:
        body, before = self.loop.body, None
        if not (self._is_known(step.a) and self._is_known(step.b)) or step.c.mask:
            return None
        if self._moving_of(step.a) is None and self._moving_of(step.b) is None:
            return None
        target = self.memory(step.c.storage)
        touching = [other for other in body if self._touched_by(other, target)]
        if step.accumulate:
            before, *rest = touching
            if not (isinstance(before, Product) and not before.accumulate and rest[:1] == [step]):
                return None
            if before.c.layout != step.c.layout:
                return None
        elif touching[0] is not step:
            return None
        place = self._place(step)
        if place is None:
            return None
        made = self._all(step, place)
        if made is None:
            return None
        body.remove(step)
        if isinstance(before, Product):
            body[body.index(before)] = Product(before.a, before.b, before.c, before.facts, True)
        self.moving[id(place.storage)] = place
        self.written = self._written()  # what is there now may be read by products that follow
        return made

    def _touched_by(self, step: Step, memory: Storage) -> bool:
        own = step.own() if isinstance(step, Block) else ()
        return any(self.memory(s) is memory for s in (*own, *step.read(), *step.written()))

    def _is_alone(self, c: Value, memory: Storage) -> bool:
        """Say whether each iteration touches nothing of memory but its own array there."""
        if len(self.loop.moving_in(memory)) != 1:
            return False
        for step in self.loop.body:
            if not self._touched_by(step, memory):
                continue
            values = [x for x in step.operands_of() if isinstance(x, Value)]
            values = [x for x in values if self.memory(x.storage) is memory]
            if isinstance(step, Block) or any(_spot(x) != _spot(c) for x in values):
                return False
        return True

    def _is_known(self, x: Value) -> bool:
        """Say whether an operand is there before the loop."""
        outer = x.storage.outermost
        if outer.kind == "given" or id(outer) in self.hidden:
            return False
        return id(self.memory(outer)) not in self.written

    def _moving_of(self, x: Value) -> Moving | None:
        m = self.moving.get(id(x.storage.outermost))
        return m if m is not None and m.step else None

    def _place(self, step: Product) -> Moving | None:
        """Return how the results of all iterations lie beside each other, or may do so."""
        c, loop = step.c, self.loop
        m = self._moving_of(c)
        if m is not None:
            apart = abs(m.step) >= extent(c) and min(c.strides, default=0) >= 0
            return m if apart and self._is_alone(c, m.start.storage.outermost) else None
        outer, nbytes = c.storage, c.storage.nbytes
        sizes, *_ = step.facts
        if outer.kind != "work" or outer.inside is not None or outer.holds or not c.whole:
            return None
        if self.used.get(id(outer)) != 1 or nbytes * loop.count > _MOST:
            return None
        if sizes[0] * sizes[1] * sizes[2] < _ELEMENTS:
            return None
        stack = Value(Storage("work", nbytes * loop.count), (), c.dtype)
        moved = [m for m in map(self._moving_of, (step.a, step.b)) if m is not None]
        if moved[0].step > 0:
            m = Moving(stack, nbytes)
        else:
            m = Moving(stack.view((), nbytes * (loop.count - 1), ()), -nbytes)
        return m

    def _all(self, step: Product, place: Moving) -> Product | None:
        """Return the product of all iterations, where their order may be that of memory."""
        sizes, batch, *strides = step.facts
        found: list[Value] = []
        facts = []
        for x, (row, column, rest) in zip((step.a, step.b, step.c), strides, strict=True):
            m = place if x is step.c else self.moving.get(id(x.storage.outermost))
            y = x if m is None else _at_start(x, m)
            shift = 0 if m is None else m.step
            if place.step < 0:
                y.offset += (self.loop.count - 1) * shift
                shift = -shift
            if shift < 0 or shift % x.dtype.itemsize:
                return None
            found.append(
                y.view((self.loop.count, *x.shape), y.offset, (shift, *x.strides)) if shift else y
            )
            facts.append((row, column, (shift // x.dtype.itemsize, *rest)))
        if place not in self.loop.moving:
            self.loop.moving.append(place)
            step.c.storage.put_inside(place.storage, 0)
        a, b, c = found
        return Product(a, b, c, (sizes, (self.loop.count, *batch), *facts))


def _spot(x: Value) -> tuple[Storage, int, tuple[int, ...], tuple[int, ...]]:
    """Return where an array lies, and how."""
    return x.storage.outermost, x.storage.start + x.offset, x.shape, x.strides


def _at_start(x: Value, m: Moving) -> Value:
    """Return where an array that moves is in the first iteration."""
    offset = m.start.offset + x.storage.start + x.offset
    return Value(m.start.storage, x.shape, x.dtype, offset, x.strides)
