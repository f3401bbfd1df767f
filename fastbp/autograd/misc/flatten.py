"""Containers of arrays as one vector: ``autograd.misc.flatten``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastbp.numpy as bnp
from fastbp.autograd.core import make_vjp

__all__ = ["flatten", "flatten_func"]


def flatten(value: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Return the numbers of a container as one vector, and a function that puts them back.

    Dicts in the order of their sorted keys.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> flat, unflatten = flatten({"b": 3.0, "a": [np.ones(2), 2.0]})
    >>> flat
    array([1., 1., 2., 3.])
    >>> unflatten(2 * flat)["b"]
    np.float64(6.0)
    """
    if isinstance(value, (list, tuple, dict)) and not value:
        return bnp.array([]), lambda x: type(value)()
    unflatten, flat_value = make_vjp(_flat, value)
    return flat_value, unflatten


def _flat(value: Any) -> Any:
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value)]
    if not isinstance(value, (list, tuple)):
        return bnp.ravel(value)
    parts = [_flat(x) for x in value]
    return bnp.concatenate(parts) if parts else bnp.array([])


def flatten_func(func: Callable[..., Any], example: Any) -> tuple[Any, Any, Any]:
    """Return a function of vectors in place of one of containers, `unflatten`, and the example.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> from fastbp.autograd.misc.flatten import flatten_func
    >>> def f(p):
    ...     return {"total": p["a"] * np.sum(p["b"])}
    >>> flat_f, unflatten, start = flatten_func(f, {"a": 2.0, "b": np.ones(2)})
    >>> start, flat_f(start)
    (array([2., 1., 1.]), array([4.]))
    """
    flat_example, unflatten = flatten(example)

    def flat_func(x: Any, *args: Any) -> Any:
        return flatten(func(unflatten(x), *args))[0]

    return flat_func, unflatten, flat_example
