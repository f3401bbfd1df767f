"""How an operation is applied to many members at once.

`fastbp.vmap` records one member and applies what was recorded to a batch. There every operand that
depends on the member has an axis in front, along which the members are. How an operation takes it
follows from its row: elementwise ones broadcast (`aligns`), linear ones pass axes in front through
(`leads`), all others name one of these functions, or one beside their row, by ``batch=``:
``batch(a)`` gets an `Applied` and returns the value, or the tuple of values, with the axis in
front. A row that says nothing is computed member by member (`loops`).

Functions without derivative have no rows: what was called is looked up in `CALLS`, see `of_call`.
"""

import math

import numpy as np

from fastbp._core import graph

__all__ = [
    "CALLS",
    "Applied",
    "Members",
    "RaggedError",
    "aligns",
    "batch_of",
    "indexed",
    "leads",
    "loops",
    "of_call",
    "spread",
    "stacks",
    "with_cores",
    "with_rank",
]

CALLS = {}  # a function without derivative -> what computes it for many members


class RaggedError(Exception):
    """Results of members have different shapes."""


class Applied:
    """An operation, applied to a batch.

    Attributes
    ----------
    op : Op
    n : int
        How many members there are.
    operands : list
        Values, those that depend on the member with the axis in front.
    mapped : tuple of bool
        Which operands do.
    static : dict
        Its static arguments; what is computed from values may be among them, as in an index.
    moving : dict
        The names of those that depend on the member; for an item of a tuple its position, or None.
    shape : tuple or None
        That of a member's value; None for several outputs.
    """

    def __init__(self, op, n, operands, mapped, static, moving, shape):
        self.op, self.n, self.operands, self.mapped = op, n, operands, mapped
        self.static, self.moving, self.shape = static, moving, shape

    def ndim(self, k):
        """Return how many axes operand `k` of a member has."""
        return np.ndim(graph.array_of(self.operands[k])) - self.mapped[k]

    def of(self, op, **static):
        """Return the same of another operation, with further static arguments."""
        static = {**self.static, **static}
        return Applied(op, self.n, self.operands, self.mapped, static, self.moving, self.shape)

    def member(self, k):
        """Return what operand `k` of a member is like: its shape and dtype, no values."""
        x = graph.array_of(self.operands[k])
        return (
            x[0] if self.mapped[k] and self.n else x.reshape(x.shape[1:]) if self.mapped[k] else x
        )

    def __call__(self, *operands, **changed):
        """Apply the operation to other operands."""
        return self.op(*operands, **{**self.static, **changed})


def spread(x, n):
    """Return what all members have in common with the axis of a batch."""
    if not (type(x) is graph.Variable or graph.is_passive(x)):
        x = np.asarray(x)
    return np.broadcast_to(x, (n, *x.shape))


def with_rank(x, nd, at=1):
    """Return an array with new axes behind the first `at`, `nd` axes in all."""
    missing = nd - x.ndim
    return np.reshape(x, (*x.shape[:at], *(1,) * missing, *x.shape[at:])) if missing > 0 else x


def aligns(a):
    """Apply an operation whose operands broadcast: the axis stands in front of all others."""
    return with_cores(*(0,) * len(a.operands))(a)


def with_cores(*cores):
    """Return the same for operands whose last axes, so many of each, are their own."""

    def align(a):
        extra = max([a.ndim(k) - core for k, core in enumerate(cores)])
        parts = zip(a.operands, a.mapped, cores, strict=True)
        return a(*[with_rank(x, 1 + extra + n) if mapped else x for x, mapped, n in parts])

    return align


def leads(a):
    """Apply an operation that counts axes from the end: every operand gets the axis."""
    pairs = zip(a.operands, a.mapped, strict=True)
    return a(*[x if mapped else spread(x, a.n) for x, mapped in pairs])


def stacks(values):
    """Return results of members as one; a list of them where they are no arrays."""
    first = values[0]
    if isinstance(first, tuple):
        return tuple([stacks(parts) for parts in zip(*values, strict=True)])
    if not (
        type(first) is graph.Variable
        or graph.is_passive(first)
        or isinstance(first, np.ndarray | np.generic | bool | int | float | complex)
    ):
        return list(values)
    values = [x if hasattr(x, "shape") else np.asarray(x) for x in values]
    first = values[0]
    if any([x.shape != first.shape for x in values[1:]]):
        shapes = {np.shape(graph.array_of(x)) for x in values}
        raise RaggedError(
            f"members have results of the shapes {', '.join(map(str, sorted(shapes)))}"
        )
    return np.stack(values)


def loops(a):
    """Apply an operation to one member after the other."""
    found = []
    for i in range(a.n):
        static = dict(a.static)
        for name, at in a.moving.items():
            value = static[name]
            if at is None:
                static[name] = value[i]
            else:
                static[name] = (*value[:at], value[at][i], *value[at + 1 :])
        pairs = zip(a.operands, a.mapped, strict=True)
        found.append(a.op(*[x[i] if mapped else x for x, mapped in pairs], **static))
    return stacks(found)


def batch_of(op):
    """Return how an operation is applied to a batch."""
    found = op.info.get("batch")
    if found is None:
        kind = op.info.get("kind")
        found = aligns if op.partials is not None else leads if kind == "linear" else loops
    return found


# ---- functions without derivative


class Members:
    """An argument that depends on the member: an array with an axis in front."""

    __slots__ = ("array",)

    def __init__(self, array):
        self.array = array

    @property
    def shape(self):
        """The shape of one member."""
        return self.array.shape[1:]

    @property
    def ndim(self):
        """How many axes one member has."""
        return self.array.ndim - 1


def indexed(n, x, index):
    """Return the elements that an index names, for many members.

    Parameters
    ----------
    n : int
    x : ndarray or Members
    index
        As in ``x[index]``, or a tuple of such items; arrays of integers in it may be `Members`.
    """
    items = list(index) if type(index) is tuple else [index]
    mapped = [type(k) is Members for k in items]
    if not any(mapped):
        return _plainly_indexed(n, x, tuple(items))
    if any(map(_is_of_another_shape, items)):
        return NotImplemented
    # One more array, of the numbers of members, in front; with a slice between it and the others
    # NumPy puts the axes of all arrays first: then they are moved to where those of a member are.
    arrays = [k for k, item in enumerate(items) if _is_array(item)]
    nd = max([items[k].ndim if mapped[k] else np.ndim(items[k]) for k in arrays])
    together = arrays == [*range(arrays[0], arrays[-1] + 1)]
    own = x if type(x) is not Members else x.array
    before = _axes_before(items[: arrays[0]], own.ndim - (type(x) is Members), items)
    for k, m in enumerate(mapped):
        if m:
            items[k] = with_rank(items[k].array, 1 + nd)
    members = np.arange(n).reshape((n,) + (1,) * nd)
    if type(x) is Members:
        found = own[(members, *items)]
        first = arrays[0] == 0 and together
    else:
        found = own[tuple(items)]
        first = not together or before == 0
        if not first:
            found = np.moveaxis(found, before, 0)
        return found
    return (
        found
        if first or not together
        else np.moveaxis(found, range(1, 1 + nd), range(1 + before, 1 + before + nd))
    )


def _plainly_indexed(n, x, items):
    if not any(map(_is_array, items)):
        return x.array[(slice(None), *items)]
    numbers = np.arange(math.prod(x.shape)).reshape(x.shape)[items]
    return x.array.reshape(n, math.prod(x.shape))[:, numbers]


def _is_of_another_shape(item):
    """Say whether what an item of an index names may differ in number: a mask, a moving slice."""
    if type(item) is slice:
        return any([type(k) is Members for k in (item.start, item.stop, item.step)])
    item = item.array if type(item) is Members else item
    return type(item) is bool or getattr(getattr(item, "dtype", None), "kind", "") == "b"


def _is_array(item):
    return type(item) is Members or not (item is None or item is ... or type(item) is slice)


def _axes_before(items, nd, all_items):
    """Return how many axes of a result come from these items of an index without arrays."""
    named = sum([item is not None and item is not ... for item in all_items])
    return sum([nd - named if item is ... else 1 for item in items])


def of_call(*functions):
    """Let a function compute what `functions` return for many members.

    It is called with `n`, how many there are, and the arguments, of which those that depend on the
    member are `Members`; it works on plain arrays and returns an array with an axis in front, or a
    tuple of them.
    """

    def register(batched):
        for function in functions:
            CALLS[function] = batched
        return batched

    return register
