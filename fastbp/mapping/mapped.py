"""`vmap`: a function of one member as a function of a batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp import arguments, tree
from fastbp._core import graph
from fastbp._core.dtypes import DIFFERENTIABLE, NAMES
from fastbp._core.graph import Passive, Variable
from fastbp._core.operands import as_array
from fastbp._core.replay import strong_zeros_met
from fastbp.compiling.draws import undrawn
from fastbp.derived import derived, named
from fastbp.errors import DTypeError, MappedValueError, ShapeError
from fastbp.mapping.axes import axes_of, checked, size_of
from fastbp.mapping.blocks import applied
from fastbp.mapping.recording import Member, name_of
from fastbp.mapping.replaying import replayed
from fastbp.rules.batching import RaggedError, spread, stacks

__all__ = ["vmap"]


def vmap(f: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """Return a function of a batch that computes `f` of each of its members.

    `f` is called once, for the first member, and recorded; what was computed is then applied to the
    whole batch, with an axis in front. So a product of matrices becomes a product of stacks, one
    with what all members have in common a single product, and nothing runs once for each member.

    Parameters
    ----------
    f : callable
        Takes and returns arrays, numbers, and containers of them.
    in_axes : int, None or container
        Along which axis of an array the members are; negative ones count from the end. None: all
        members have it in common. One number stands for all arguments; a tuple or list has an item
        for each, in which a container stands for one of the same structure. Keyword arguments
        have their members along axis 0.
    out_axes : int, None or container
        Where the members are in the results. None: in a result that does not depend on the member,
        which is returned once.

    Returns
    -------
    callable
        Takes the arguments of `f`, each array with an axis more where `in_axes` says so, and
        returns its results, each with an axis more where `out_axes` says so.

    Raises
    ------
    ShapeError
        (from the returned function) If the numbers of members differ, an array has not the axis, or
        axes do not fit arguments or results.
    DTypeError
        (from the returned function) If members are no numbers or booleans, or a result that has an
        axis is none.
    MappedValueError
        (from the returned function) If `f` reads values that depend on the member as plain numbers
        (by ``if``, ``float()``, ``.item()``), if such values decide a shape (``x[x > 0]``), or if
        it draws random numbers: that would be what the first member has, for all of them.

    Notes
    -----
    Gradients may be taken inside, ``vmap(grad(loss))`` has one for each member, and outside, to any
    order. Arrays and Variables that `f` finds around it are in common, and Variables get their
    gradient. `compile` plans the whole of it.

    What few operations do member by member is listed in docs/vmap.md. Where fastbp's own functions
    decide by values how to compute, or a zero cotangent meets an infinite slope, and members
    differ, `f` is called for each member.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> def loss(w, x, y):
    ...     return (np.tanh(x @ w) - y) ** 2
    >>> w, x, y = np.ones(3), np.eye(4, 3), np.zeros(4)
    >>> each = bp.vmap(bp.grad(loss), in_axes=(None, 0, 0))
    >>> each(w, x, y).shape
    (4, 3)
    """
    arguments.check_function("vmap", f)
    in_axes, out_axes = checked("in_axes", in_axes), checked("out_axes", out_axes)
    g = derived(_call, (f, in_axes, out_axes), vmap, f, in_axes, out_axes)
    return named(g, "vmap", f)


class _DifferError(Exception):
    """Members need records of their own."""


def _call(f: Any, in_axes: Any, out_axes: Any, /, *args: Any, **kwargs: Any) -> Any:
    batch = _Batch(f, in_axes, args, kwargs)
    member = undrawn(lambda: _member(f, batch), MappedValueError)
    try:
        leaves, mapped = _results(f, batch, member)
        structure = member.structure
    except (_DifferError, RaggedError):
        leaves, mapped, structure = _each(f, batch)
    return _placed(batch, out_axes, leaves, mapped, structure)


def _member(f: Any, batch: _Batch) -> Member:
    try:
        return Member(f, batch.first(), batch.put)
    except MappedValueError:
        if not batch.common:
            raise
        # A plain array takes no recorded index: what all have in common is recorded as well.
        return Member(f, batch.first(), batch.put, batch.common)


class _Batch:
    """The arguments of a call, taken apart."""

    def __init__(self, f: Any, in_axes: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if isinstance(in_axes, tuple | list) and len(in_axes) != len(args):
            raise ShapeError(
                f"vmap: in_axes has {len(in_axes)} items, and {name_of(f)} is called with "
                f"{len(args)} positional arguments"
            )
        self.leaves, self.structure = tree.flatten((args, kwargs))
        axes = axes_of(in_axes, args, "in_axes") + [0] * len(tree.flatten(kwargs)[0])
        paths = self.structure.paths("")
        names = [_path(path) for path in paths]
        self.n = size_of(self.leaves, axes, names)
        self.mapped = [axis is not None for axis in axes]
        self.arrays: list[Any] = []
        for x, axis, name in zip(self.leaves, axes, names, strict=True):
            if axis is None:
                continue
            if not (type(x) is Variable or type(x) is Passive):
                x = as_array(x, f"vmap: {name}")
                if x.dtype.kind not in "iub" and x.dtype not in DIFFERENTIABLE:
                    raise DTypeError(
                        f"vmap: {name} has shape {x.shape} and dtype {x.dtype}: members are "
                        f"{NAMES}, integers or booleans; convert it, for instance with "
                        "numpy.asarray(x, float)"
                    )
            axis = axis % np.ndim(graph.array_of(x))
            self.arrays.append(np.moveaxis(x, axis, 0) if axis else x)
        pairs = zip(self.leaves, self.mapped, strict=True)
        self.common = [x for x, mapped in pairs if not mapped and _is_array(x)]

    def first(self) -> list[np.ndarray]:
        """Return the arrays of the first member; made up where there is none."""
        arrays = [graph.array_of(x) for x in self.arrays]
        return [np.array(x[0]) if self.n else _made_up(x) for x in arrays]

    def put(self, members: list[Any], common: Sequence[Any] = ()) -> tuple[Any, Any]:
        """Return arguments with these in the places of what is mapped, and of arrays in common."""
        rest, others = iter(members), iter(common or self.common)
        leaves = []
        for x, mapped in zip(self.leaves, self.mapped, strict=True):
            if mapped:
                leaves.append(next(rest))
            elif _is_array(x):
                leaves.append(next(others))
            else:
                leaves.append(graph.handle(x) if type(x) is Variable else x)
        args, kwargs = self.structure.unflatten(leaves)
        return args, kwargs


def _is_array(x: Any) -> bool:
    return type(x) is np.ndarray and x.dtype.kind in "fciub"


def _path(path: str) -> str:
    """Write where an argument stands as the caller knows it."""
    which, _, rest = path.removeprefix("[").partition("]")
    if which == "0":
        number, _, rest = rest.removeprefix("[").partition("]")
        return f"argument {number}{rest}"
    return f"argument {rest.removeprefix('[').replace(']', '', 1)}"


def _made_up(x: np.ndarray) -> np.ndarray:
    """Return a member for a batch of none: well-conditioned where it is a matrix."""
    shape = x.shape[1:]
    if x.dtype.kind not in "fc":
        return np.zeros(shape, x.dtype)
    found = np.full(shape, 0.5, x.dtype)
    if len(shape) > 1:
        found = found + np.eye(*shape[-2:], dtype=x.dtype)
    return found


def _results(f: Any, batch: _Batch, member: Member) -> tuple[list[Any], list[bool]]:
    """Return the results of all members, and which of them depend on the member."""
    if not member.settled:
        raise _DifferError
    if not batch.n:
        return _of_none(batch, member)
    met = strong_zeros_met()
    # Where members may need records of their own, warnings are theirs.
    quiet = any(position >= 0 for position in member.guarded)
    with np.errstate(all="ignore") if quiet else contextlib.nullcontext():
        values, _ = replayed(member.tape, batch.arrays, batch.n, applied, member.is_outer)
    if strong_zeros_met() != met:
        raise _DifferError
    for (_, value), position in zip(member.guards, member.guarded, strict=True):
        if position >= 0 and not _is_same(values[position], value):
            raise _DifferError
    leaves = [
        values[position] if position >= 0 else _constant(y, member)
        for y, position in zip(member.leaves, member.positions, strict=True)
    ]
    return leaves, [position >= 0 for position in member.positions]


def _is_same(x: Any, value: np.ndarray) -> bool:
    """Say whether all members have the same value."""
    found = x.value if type(x) is Variable or type(x) is Passive else x
    return bool(
        np.array_equal(found, np.broadcast_to(value, found.shape), value.dtype.kind in "fc")
    )


def _constant(y: Any, member: Member) -> Any:
    """Return a result that does not depend on the member: recorded, if what is outside is."""
    if (type(y) is Variable or type(y) is Passive) and not member.is_outer(y):
        y = np.array(graph.array_of(y))
        return y if y.ndim else y[()]
    return y


def _of_none(batch: _Batch, member: Member) -> tuple[list[Any], list[bool]]:
    """Return the results of no members: as they depend on the arguments, without elements."""
    total: Any = 0.0
    for x in batch.arrays:
        if type(x) is Variable:
            total = total + np.sum(x)
    leaves = []
    for y, position in zip(member.leaves, member.positions, strict=True):
        if position < 0:
            leaves.append(_constant(y, member))
            continue
        shape, dtype = np.shape(graph.array_of(y)), y.dtype
        if type(total) is Variable and dtype.kind in "fc":
            leaves.append(np.broadcast_to(total.astype(dtype), (0, *shape)))
        else:
            leaves.append(np.zeros((0, *shape), dtype))
    return leaves, [position >= 0 for position in member.positions]


def _each(f: Any, batch: _Batch) -> tuple[list[Any], list[bool], tree.TreeDef]:
    """Call the function for one member after the other."""
    found, structure = [], None
    for i in range(batch.n):
        args, kwargs = batch.put([x[i] for x in batch.arrays])
        leaves, own = tree.flatten(f(*args, **kwargs))
        if structure is not None and own != structure:
            raise MappedValueError(
                f"vmap: {name_of(f)} returns {structure} for one member, and {own} for another"
            )
        structure = own
        found.append(leaves)
    assert structure is not None
    try:
        leaves = [stacks(list(parts)) for parts in zip(*found, strict=True)]
    except RaggedError as error:
        raise MappedValueError(
            f"vmap: in {name_of(f)} values that depend on the member decide a shape: {error}"
        ) from None
    return leaves, [True] * len(leaves), structure


def _placed(
    batch: _Batch, out_axes: Any, leaves: list[Any], mapped: list[bool], structure: tree.TreeDef
) -> Any:
    """Return results with the axis of the members where it is wanted."""
    axes = axes_of(out_axes, structure.unflatten(leaves), "out_axes")
    given = [x for x in batch.leaves if isinstance(x, np.ndarray)]
    paths = structure.paths("the result")
    found = []
    for y, axis, depends, path in zip(leaves, axes, mapped, paths, strict=True):
        if axis is None:
            if depends:
                raise ShapeError(
                    f"vmap: {path} depends on the member, so its out_axes cannot be None"
                )
            found.append(y)
            continue
        if not depends:
            y = spread(_numbers(y, path), batch.n)
        nd = np.ndim(graph.array_of(y))
        if not -nd <= axis < nd:
            raise ShapeError(f"vmap: {path} has {nd} axes, so its out_axes cannot be {axis}")
        y = np.moveaxis(y, 0, axis) if axis % nd else y
        found.append(_own(y, given, found))
    return structure.unflatten(found)


def _numbers(y: Any, path: str) -> Any:
    """Return a result that is the same for all members, if it can have an axis."""
    if type(y) is Variable or type(y) is Passive or np.asarray(y).dtype.kind in "fciub":
        return y
    raise DTypeError(
        f"vmap: {path} is a {type(y).__name__}, which has no axis for the members: return arrays "
        "and numbers, or give it the out_axes None"
    )


def _own(y: Any, given: list[np.ndarray], others: list[Any]) -> Any:
    """Return a result in memory of its own, as the caller may write into it."""
    if not isinstance(y, np.ndarray):
        return y
    arrays = given + [x for x in others if isinstance(x, np.ndarray)]
    shares = y.base is not None and any([np.may_share_memory(y, x) for x in arrays])
    if shares or not y.flags.writeable or any([y is x for x in arrays]):
        return y.copy()
    return y
