"""``autograd.numpy.numpy_vjps``: helpers that programs write their own rules with.

fastbp undoes broadcasting and casts for all rules, so that those of one's own need none of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastbp.numpy as bnp
from fastbp._core import graph
from fastbp.autograd.numpy.numpy_wrapper import metadata

__all__ = ["balanced_eq", "match_complex", "replace_zero", "unbroadcast", "unbroadcast_f", "untake"]


def unbroadcast(x: Any, target_meta: Any, broadcast_idx: int = 0) -> Any:
    """Sum a cotangent over the axes along which its operand was broadcast.

    `target_meta` is `metadata` of the operand; new axes stand at `broadcast_idx`.
    """
    shape, ndim, _, is_complex = target_meta
    while np.ndim(graph.array_of(x)) > ndim:
        x = bnp.sum(x, axis=broadcast_idx)
    for axis, size in enumerate(shape):
        if size == 1:
            x = bnp.sum(x, axis=axis, keepdims=True)
    return x if is_complex else bnp.real(x)


def unbroadcast_f(target: Any, f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a VJP that broadcasts, with `unbroadcast` behind it."""
    meta = metadata(target)
    return lambda g: unbroadcast(f(g), meta)


def match_complex(target: Any, x: Any) -> Any:
    """Return the real part of `x`, or `x` as a complex array, as `target` is."""
    wanted, found = np.iscomplexobj(graph.array_of(target)), np.iscomplexobj(graph.array_of(x))
    if wanted == found:
        return x
    return x + 0j if wanted else bnp.real(x)


def balanced_eq(x: Any, z: Any, y: Any) -> Any:
    """Return 1 where `x` equals `z`, half of it where `y` does too, else 0."""
    return (x == z) / (1.0 + (x == y))


def replace_zero(x: Any, val: Any) -> Any:
    """Return `x` with `val` in place of zeros."""
    return bnp.where(x, x, val)


def untake(x: Any, idx: Any, vs: Any) -> Any:
    """Return zeros with `x` added at an index."""
    found = np.zeros(vs.shape, vs.dtype)
    if type(x) is not graph.Variable:
        np.add.at(found, idx, x)
        return found
    places = np.arange(found.size).reshape(found.shape)[idx]
    flat = bnp.ravel(x)
    one_hot = (np.ravel(places)[:, None] == np.arange(found.size)).astype(vs.dtype)
    return bnp.reshape(flat @ one_hot, vs.shape)
