"""Small helpers that programs import: ``autograd.util``."""

from __future__ import annotations

import operator
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

__all__ = ["func", "quick_grad_check", "subval", "subvals", "toposort"]


def subvals(x: Iterable[Any], ivs: Iterable[tuple[int, Any]]) -> tuple[Any, ...]:
    """Return a tuple with other items at some places."""
    items = list(x)
    for i, value in ivs:
        items[i] = value
    return tuple(items)


def subval(x: Iterable[Any], i: int, v: Any) -> tuple[Any, ...]:
    """Return a tuple with another item at one place."""
    return subvals(x, [(i, v)])


def func(f: Any) -> Any:
    """Return `f`: the function of a method that is looked up in its class."""
    return f


def toposort(
    end_node: Any, parents: Callable[[Any], Iterable[Any]] = operator.attrgetter("parents")
) -> Iterator[Any]:
    """Yield nodes of a graph, each before its parents."""
    children: Counter[Any] = Counter()
    stack = [end_node]
    while stack:
        node = stack.pop()
        if not children[node]:
            stack.extend(parents(node))
        children[node] += 1
    ready = [end_node]
    while ready:
        node = ready.pop()
        yield node
        for parent in parents(node):
            children[parent] -= 1
            if not children[parent]:
                ready.append(parent)


def quick_grad_check(
    fun: Callable[..., Any],
    arg0: Any,
    extra_args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
    **_: Any,
) -> None:
    """Check first derivatives by an argument; deprecated: use ``test_util.check_grads``."""
    from fastbp.autograd.test_util import check_grads

    warnings.warn("quick_grad_check is deprecated: use test_util.check_grads", stacklevel=2)
    check_grads(fun, modes=["rev"], order=1)(arg0, *extra_args, **(kwargs or {}))
