"""Functions without derivative, of many members at once: masks, integers, places.

Most of NumPy's count axes, which is said once for all of them: reductions, orders and cumulative
sums along axes, and what only moves elements. What is not known is called for each member.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import Arranged, Slot
from fastbp.rules.batching import CALLS, Members, stacks, with_rank
from fastbp.rules.numpy.structural import constant_call

__all__ = ["called", "is_known"]

ELEMENTWISE = frozenset(
    [
        operator.gt, operator.ge, operator.lt, operator.le, operator.eq, operator.ne,
        operator.and_, operator.or_, operator.invert, operator.add, operator.sub, operator.mul,
        operator.truediv, operator.neg, operator.pow,
        np.where, np.clip, np.isclose, np.nan_to_num, np.round, np.around, np.real, np.imag,
        np.angle, np.isreal, np.iscomplex, np.copy, np.zeros_like, np.ones_like, np.empty_like,
        np.astype, np.sinc, np.heaviside, graph.identity,
    ]
)  # fmt: skip
# Along the axis `axis=`, of all elements without it.
ALONG = frozenset(
    """
    all amax amin any argmax argmin argpartition argsort average count_nonzero cumprod cumsum
    cumulative_prod cumulative_sum max mean median min nanargmax nanargmin nancumprod nancumsum
    nanmax nanmean nanmedian nanmin nanprod nanstd nansum nanvar partition prod ptp sort std sum
    var
    """.split()
)
# What moves elements: it is applied to their numbers.
MOVING = frozenset(
    """
    atleast_1d atleast_2d atleast_3d broadcast_to concatenate concat column_stack diag diagflat
    diagonal dstack expand_dims flatten flip fliplr flipud hstack matrix_transpose moveaxis
    permute_dims ravel repeat reshape roll rollaxis rot90 squeeze stack swapaxes take tile
    transpose unstack vstack
    """.split()
)
_METHODS = {"astype": np.astype, "flatten": np.ravel, "conj": np.conjugate}


def called(
    function: Callable[..., Any],
    operands: list[Any],
    mapped: tuple[bool, ...],
    static: dict[str, Any],
    n: int,
    link: Any,
) -> Any:
    """Return what a function returns for many members.

    Parameters
    ----------
    function : callable
        As it was called: of these operands, or `Arranged`, with operands inside of its arguments.
    operands : list
    mapped : tuple of bool
        Which of them have an axis in front.
    static : dict
        The other arguments.
    n : int
        How many members there are.
    link : Link
        The call, as it was recorded.
    """
    template: tuple[Any, Any] = (tuple(map(Slot, range(len(operands)))), static)
    if isinstance(function, Arranged):
        function, template = function.function, static["call"]
    function = _of_numpy(function)
    if (isinstance(function, np.ufunc) and function.signature is None) or function in ELEMENTWISE:
        if _is_flat(template) and not isinstance(link, tuple):
            found = _aligned(operands, mapped)
            args = [found[x.index] if type(x) is Slot else x for x in template[0]]
            return constant_call(function, *args, **template[1])
    return constant_call(_computed, function, template, mapped, n, *operands)


def is_known(function: Any) -> bool:
    """Say whether a function is computed for many members at once."""
    function = _of_numpy(function)
    return (
        isinstance(function, np.ufunc)
        or function in ELEMENTWISE
        or function in CALLS
        or _name(function) in ALONG | MOVING
    )


def _of_numpy(function: Any) -> Any:
    """Return NumPy's function for a method of ndarray."""
    owner = getattr(function, "__objclass__", None)
    if owner is not np.ndarray:
        return function
    name = function.__name__
    return _METHODS.get(name) or getattr(np, name, function)


def _name(function: Any) -> str:
    module = getattr(function, "__module__", None) or ""
    return getattr(function, "__name__", "") if module.partition(".")[0] == "numpy" else ""


def _is_flat(template: tuple[Any, Any]) -> bool:
    """Say whether operands stand among the positional arguments only."""
    args, kwargs = template
    return not any(map(_has_slot, kwargs.values())) and not any(
        _has_slot(x) for x in args if type(x) is not Slot
    )


def _has_slot(x: Any) -> bool:
    if type(x) is Slot:
        return True
    if type(x) in (tuple, list):
        return any(map(_has_slot, x))
    if type(x) is dict:
        return any(map(_has_slot, x.values()))
    return type(x) is slice and any(map(_has_slot, (x.start, x.stop, x.step)))


def _aligned(operands: list[Any], mapped: tuple[bool, ...]) -> list[Any]:
    shapes = [np.shape(graph.array_of(x)) for x in operands]
    nd = max([len(s) + (not m) for s, m in zip(shapes, mapped, strict=True)])
    return [
        with_rank(x, nd) if m else x for x, m in zip(map(graph.passive, operands), mapped, strict=True)
    ]


# ---- on plain arrays


def _computed(
    function: Any, template: tuple[Any, Any], mapped: tuple[bool, ...], n: int, *operands: Any
) -> Any:
    """Call a function for many members; `operands` are plain arrays."""
    given = [Members(x) if m else x for x, m in zip(operands, mapped, strict=True)]
    args, kwargs = _filled(template[0], given), _filled(template[1], given)
    batched = CALLS.get(function)
    if batched is None and _name(function) in ALONG:
        batched = functools.partial(_along, function)
    if batched is None and _name(function) in MOVING:
        batched = functools.partial(_moved, function)
    if batched is not None:
        found = batched(n, *args, **kwargs)
        if found is not NotImplemented:
            return found
    return stacks(
        [function(*_member(args, i), **_member(kwargs, i)) for i in range(n)]
    )


def _filled(x: Any, operands: list[Any]) -> Any:
    if type(x) is Slot:
        return operands[x.index]
    if type(x) in (tuple, list):
        return type(x)([_filled(item, operands) for item in x])
    if type(x) is dict:
        return {key: _filled(item, operands) for key, item in x.items()}
    if type(x) is slice:
        return slice(*[_filled(item, operands) for item in (x.start, x.stop, x.step)])
    return x


def _member(x: Any, i: int) -> Any:
    if type(x) is Members:
        return x.array[i]
    if type(x) in (tuple, list):
        return type(x)([_member(item, i) for item in x])
    if type(x) is dict:
        return {key: _member(item, i) for key, item in x.items()}
    if type(x) is slice:
        return slice(*[_member(item, i) for item in (x.start, x.stop, x.step)])
    return x


def _has_members(x: Any) -> bool:
    if type(x) in (tuple, list):
        return any(map(_has_members, x))
    return type(x) is Members


def _along(function: Any, n: int, *args: Any, **kwargs: Any) -> Any:
    """Call a function that works along axes, by their numbers from the end."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    first, *others = bound.arguments
    x = bound.arguments[first]
    if type(x) is not Members or any(_has_members(bound.arguments[k]) for k in others):
        return NotImplemented
    given = bound.arguments
    default = inspect.signature(function).parameters["axis"].default
    axis = given.get("axis", default)
    array = x.array
    if axis is None or not x.ndim:
        if given.get("keepdims", False) is True:
            given["axis"] = tuple(range(1, array.ndim))
        else:
            array, given["axis"] = array.reshape(n, -1) if n else array.reshape(0, x_size(x)), -1
    elif isinstance(axis, tuple):
        given["axis"] = tuple([k if k < 0 else k - x.ndim for k in axis])
    else:
        given["axis"] = axis if axis < 0 else axis - x.ndim
    given[first] = array
    return function(*bound.args, **bound.kwargs)


def x_size(x: Members) -> int:
    """Return how many elements one member has."""
    return int(np.prod(x.shape, dtype=int))


def _moved(function: Any, n: int, *args: Any, **kwargs: Any) -> Any:
    """Apply a function that moves elements to their numbers, and take what these name."""
    parts: list[np.ndarray] = []
    start = 0

    def numbered(x: Any) -> Any:
        nonlocal start
        if type(x) is Members:
            size = x_size(x)
            parts.append(x.array.reshape(n, size))
            numbers = np.arange(start, start + size).reshape(x.shape)
        elif isinstance(x, np.ndarray | np.generic):
            parts.append(np.broadcast_to(x.reshape(-1), (n, x.size)))
            numbers = np.arange(start, start + x.size).reshape(x.shape)
        elif type(x) in (tuple, list):
            return type(x)([numbered(item) for item in x])
        else:
            return x
        start += numbers.size
        return numbers

    first = args[0]
    if any(map(_has_members, (*args[1:], *kwargs.values()))):
        return NotImplemented
    if type(first) in (tuple, list) and not all(
        isinstance(x, Members | np.ndarray | np.generic) for x in first
    ):
        return NotImplemented
    table = function(numbered(first), *args[1:], **kwargs)
    flat = parts[0] if len(parts) == 1 else np.concatenate(parts, 1)
    if isinstance(table, tuple | list):
        return type(table)([flat[:, t] for t in table])
    return flat[:, table]
