"""Graphs of functions: ``autograd.misc.tracers``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fastbp.autograd.core import Node, trace
from fastbp.autograd.wrap_util import wraps

__all__ = ["ConstGraphNode", "FullGraphNode", "const_graph", "const_graph_unary", "full_graph"]


def const_graph_unary(fun: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return `fun`: see `const_graph`."""
    return fun


def const_graph(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
    """Return a function with some first arguments and keywords bound.

    autograd traces it once, and from then on repeats what it did. Here the function itself runs
    again each time: no branch is frozen.

    Examples
    --------
    >>> from fastbp.autograd.misc import const_graph
    >>> f = const_graph(lambda x, scale: scale * x**2, scale=3.0)
    >>> f(2.0)
    12.0
    """
    return wraps(fun)(functools.partial(fun, *args, **kwargs))


class FullGraphNode(Node):
    """An operation: its `value` where it is known, and its `recipe`.

    That is ``(fun, args, kwargs, parents)``, where `parents` are pairs of the position of an
    argument and its node; see `fastbp.autograd.core.trace`.
    """

    __slots__ = ("recipe", "value")

    def __init__(
        self, value: Any, fun: Any, args: Any, kwargs: Any, parent_argnums: Any, parents: Any
    ) -> None:
        self.value = value
        self.recipe = fun, args, kwargs, list(zip(parent_argnums, parents, strict=True))

    def initialize_root(self) -> None:
        """Set what the node of the arguments has: no parents."""
        self.value, self.recipe = None, (lambda x: x, (), {}, [])

    @property
    def parents(self) -> list[Any]:
        """The nodes of the recorded arguments."""
        return [parent for _, parent in self.recipe[3]]


ConstGraphNode = FullGraphNode


def full_graph(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> FullGraphNode:
    """Return the node of ``fun(*args, **kwargs)``, which leads to those of all operations.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> node = full_graph(lambda x: np.exp(np.sin(x)), 1.0)
    >>> node.recipe[0].__name__, node.parents[0].recipe[0].__name__
    ('exp', 'sin')
    """
    start = FullGraphNode.new_root()
    node: FullGraphNode = trace(start, lambda args: fun(*args, **kwargs), args)[1]
    return node
