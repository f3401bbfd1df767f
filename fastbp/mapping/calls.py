"""Functions without derivative, of many members at once: masks, integers, places.

Most of NumPy's count axes, which is said once for all of them: reductions, orders and cumulative
sums along axes, and what only moves elements. What is not known is called for each member.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import Arranged, Slot
from fastbp.rules.batching import (
    CALLS,
    Applied,
    Members,
    batch_of,
    indexed,
    of_call,
    spread,
    stacks,
    with_rank,
)
from fastbp.rules.numpy.structural import constant_call

__all__ = ["called", "is_known"]

ELEMENTWISE = frozenset(
    [
        operator.gt, operator.ge, operator.lt, operator.le, operator.eq, operator.ne,
        operator.and_, operator.or_, operator.invert, operator.add, operator.sub, operator.mul,
        operator.truediv, operator.neg, operator.pow,
        np.where, np.clip, np.isclose, np.nan_to_num, np.round, np.around, np.real, np.imag,
        np.angle, np.isreal, np.iscomplex, np.copy, np.zeros_like, np.ones_like, np.empty_like,
        np.astype, np.sinc, np.heaviside, graph.identity, graph.cast_to,
    ]
)  # fmt: skip
# Over the axes `axis=`, or all of them.
REDUCING = frozenset(
    """
    all amax amin any count_nonzero max mean median min nanmax nanmean nanmedian nanmin nanprod
    nanstd nansum nanvar prod ptp reduce std sum var
    """.split()
)
# Along one axis; without `axis=` of all elements in a row.
ALONG = REDUCING | frozenset(
    """
    accumulate argmax argmin argpartition argsort cumprod cumsum cumulative_prod cumulative_sum
    nanargmax nanargmin nancumprod nancumsum partition sort take_along_axis trapezoid unwrap
    """.split()
)
_OF_UFUNCS = {
    "reduce": inspect.signature(
        lambda array, axis=0, dtype=None, out=None, keepdims=False, initial=None, where=True: None
    ),
    "accumulate": inspect.signature(lambda array, axis=0, dtype=None, out=None: None),
}
# What moves elements: it is applied to their numbers.
MOVING = frozenset(
    """
    atleast_1d atleast_2d atleast_3d broadcast_to concatenate concat column_stack diag diagflat
    diagonal dstack expand_dims flatten flip fliplr flipud hstack matrix_transpose moveaxis
    permute_dims ravel repeat reshape roll rollaxis rot90 squeeze stack swapaxes tile transpose
    unstack vstack
    """.split()
)
_METHODS = {"astype": np.astype, "flatten": np.ravel, "conj": np.conjugate}


def called(
    function: Callable[..., Any],
    operands: list[Any],
    mapped: tuple[bool, ...],
    static: dict[str, Any],
    n: int,
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
    """
    template: tuple[Any, Any] = (tuple(map(Slot, range(len(operands)))), static)
    if isinstance(function, Arranged):
        function, template = function.function, static["call"]
    function = _of_numpy(function)
    if isinstance(function, graph.Op):
        return _of_row(function, template, operands, mapped, n)
    if (isinstance(function, np.ufunc) and function.signature is None) or function in ELEMENTWISE:
        if _is_flat(template):
            found = _aligned(operands, mapped)
            args = [found[x.index] if type(x) is Slot else x for x in template[0]]
            return constant_call(function, *args, **template[1])
    return constant_call(_computed, function, template, mapped, n, *operands)


def _of_row(
    op: Any, template: tuple[Any, Any], operands: list[Any], mapped: tuple[bool, ...], n: int
) -> Any:
    """Apply an operation of the table to values without derivative."""
    args, kwargs = template
    moving: dict[str, int | None] = {}
    static = {}
    for name, value in kwargs.items():
        if type(value) is Slot and mapped[value.index]:
            moving[name] = None
        elif type(value) is tuple:
            for k, item in enumerate(value):
                if type(item) is Slot and mapped[item.index]:
                    moving[name] = k
        static[name] = _filled(value, operands)
    of_members = tuple([type(x) is Slot and mapped[x.index] for x in args])
    given = [_filled(x, operands) for x in args]
    return batch_of(op)(Applied(op, n, given, of_members, static, moving, None))


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
    if name in MOVING:
        return function  # shapes may be several arguments
    return _METHODS.get(name) or getattr(np, name, function)


def _name(function: Any) -> str:
    if isinstance(getattr(function, "__self__", None), np.ufunc):
        return str(function.__name__)  # a method of it
    of_array = getattr(function, "__objclass__", None) is np.ndarray
    module = "numpy" if of_array else getattr(function, "__module__", None) or ""
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
    pairs = list(zip(map(graph.array_of, operands), mapped, strict=True))
    nd = 1 + max([x.ndim - m for x, m in pairs if isinstance(x, np.ndarray | np.generic)])
    return [
        with_rank(x, nd) if m else x
        for x, m in zip(map(graph.passive, operands), mapped, strict=True)
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
    return stacks([function(*_member(args, i), **_member(kwargs, i)) for i in range(n)])


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
    name = _name(function)
    signature = _OF_UFUNCS.get(name) or inspect.signature(function)
    bound = signature.bind(*args, **kwargs)
    given = bound.arguments
    first, *others = given
    beside = [k for k in others if _has_members(given[k])]
    if set(beside) - {"where", "indices"}:
        return NotImplemented
    x = given[first]
    if type(x) is not Members:
        x = Members(np.broadcast_to(x, (n, *np.shape(x))))
    array, axis = x.array, given.get("axis", signature.parameters["axis"].default)
    for k in beside:
        given[k] = with_rank(given[k].array, array.ndim)
    if name == "take_along_axis" and not beside:
        given["indices"] = np.broadcast_to(given["indices"], (n, *np.shape(given["indices"])))
    if axis is None and x.ndim and name in REDUCING:
        axis = tuple(range(-x.ndim, 0))
    elif axis is None or not x.ndim:
        array, axis = array.reshape(n, math.prod(x.shape)), -1
        if not x.ndim:
            given.pop("keepdims", None)
        if name == "take_along_axis":
            given["indices"] = given["indices"].reshape(n, -1) if n else given["indices"]
    elif isinstance(axis, tuple):
        axis = tuple([k if k < 0 else k - x.ndim for k in axis])
    elif axis >= 0:
        axis -= x.ndim
    given[first], given["axis"] = array, axis
    named = {k: value for k, value in given.items() if k != first}
    if name in ("nancumprod", "nancumsum", "cumprod", "cumsum", "ptp", "count_nonzero"):
        named.pop("out", None)
    return function(array, **named)


def _moved(function: Any, n: int, *args: Any, **kwargs: Any) -> Any:
    """Apply a function that moves elements to their numbers, and take what these name."""
    parts: list[np.ndarray] = []
    start = 0

    def numbered(x: Any) -> Any:
        nonlocal start
        if type(x) is Members:
            size = math.prod(x.shape)
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
    if "dtype" in kwargs or any(map(_has_members, (*args[1:], *kwargs.values()))):
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


def _quantiles(function: Any, n: int, a: Any, q: Any, axis: Any = None, **options: Any) -> Any:
    if type(q) is Members or options.get("weights") is not None:
        return NotImplemented
    found = _along(function, n, a, q, axis, **options)
    return found if found is NotImplemented else np.moveaxis(found, np.ndim(q), 0)


for _quantile in (np.quantile, np.percentile, np.nanquantile, np.nanpercentile):
    of_call(_quantile)(functools.partial(_quantiles, _quantile))


@of_call(np.take)
def _take(n: int, a: Any, indices: Any, axis: int | None = None, mode: str = "raise") -> Any:
    array = a.array if type(a) is Members else np.broadcast_to(a, (n, *np.shape(a)))
    if axis is None or array.ndim == 1:
        array, axis = array.reshape(n, math.prod(array.shape[1:])), 0
    axis %= array.ndim - 1
    size = array.shape[1 + axis]
    if type(indices) is not Members:
        return np.take(array, indices, 1 + axis, mode=mode)  # type: ignore[call-overload]
    places = indices.array
    if mode != "raise":
        places = places % size if mode == "wrap" else np.clip(places, 0, size - 1)
    return indexed(n, Members(array), (slice(None),) * axis + (Members(places),))


@of_call(np.searchsorted)
def _searchsorted(n: int, a: Any, v: Any, *args: Any, **kwargs: Any) -> Any:
    if type(a) is Members or _has_members((args, *kwargs.values())):
        return NotImplemented
    return np.searchsorted(a, v.array, *args, **kwargs)


@of_call(np.digitize)
def _digitize(n: int, x: Any, bins: Any, right: bool = False) -> Any:
    return NotImplemented if type(bins) is Members else np.digitize(x.array, bins, right)


@of_call(np.isin)
def _isin(n: int, element: Any, test_elements: Any, **kwargs: Any) -> Any:
    if _has_members(test_elements):
        return NotImplemented
    return np.isin(element.array, test_elements, **kwargs)


@of_call(np.broadcast_arrays)
def _broadcast_arrays(n: int, *arrays: Any, subok: bool = False) -> Any:
    nd = 1 + max([x.ndim if type(x) is Members else np.ndim(x) for x in arrays])
    given = [with_rank(x.array, nd) if type(x) is Members else x for x in arrays]
    return tuple(np.broadcast_arrays(*given))


def _triangle(function: Any, n: int, m: Any, k: int = 0) -> Any:
    return function(m.array, k) if m.ndim > 1 else NotImplemented


for _half in (np.tril, np.triu):
    of_call(_half)(functools.partial(_triangle, _half))


@of_call(np.lexsort)
def _lexsort(n: int, keys: Any, axis: int = -1) -> Any:
    if type(keys) is Members:
        keys = [keys.array[:, k] for k in range(keys.shape[0])]
    else:
        keys = [x.array if type(x) is Members else spread(x, n) for x in keys]
    return np.lexsort(keys, axis if axis < 0 else axis - (keys[0].ndim - 1))


# ---- what the handles of recorded values call


@of_call(operator.getitem)
def _element(n: int, x: Any, index: Any) -> Any:
    return indexed(n, x, index)


@of_call(graph.part_of)
def _part(n: int, x: Members, name: str) -> Any:
    array = x.array
    if name in ("real", "imag"):
        return getattr(array, name)
    return array.transpose(0, *range(x.ndim, 0, -1)) if name == "T" else np.swapaxes(array, -1, -2)


@of_call(graph.assigned)
def _assigned(n: int, x: Any, index: Any, value: Any) -> Any:
    if not isinstance(x, Members | np.ndarray):
        return NotImplemented
    array = x.array if isinstance(x, Members) else np.broadcast_to(x, (n, *x.shape))
    shape = array.shape[1:]
    numbers = np.arange(math.prod(shape)).reshape(shape)
    if _has_members(index):
        numbers = indexed(n, numbers, index)
        if numbers is NotImplemented:
            return numbers
    else:
        numbers = np.broadcast_to(numbers[index], (n, *np.shape(numbers[index])))
    if type(value) is Members:
        value = with_rank(value.array, numbers.ndim)
    value = np.broadcast_to(value, numbers.shape)
    found = np.array(array).reshape(n, math.prod(shape))
    places = numbers.reshape(n, math.prod(numbers.shape[1:]))
    np.put_along_axis(found, places, value.reshape(places.shape), 1)
    return found.reshape(array.shape)


@of_call(graph.computed_into)
def _computed_into(
    n: int, out: Any, ufunc: Any, method: str, operands: tuple[Any, ...], kwargs: Any
) -> Any:
    if method != "__call__" or kwargs or getattr(ufunc, "signature", "") is not None:
        return NotImplemented
    nd = 1 + max([x.ndim if type(x) is Members else np.ndim(x) for x in (out, *operands)])
    given = [with_rank(x.array, nd) if type(x) is Members else x for x in operands]
    array = out.array if isinstance(out, Members) else np.broadcast_to(out, (n, *out.shape))
    return ufunc(*given, out=np.array(array))
