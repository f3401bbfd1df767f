"""Where the members of a batch are: axes of arguments and results, as trees of numbers."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp import tree
from fastbp._core import graph
from fastbp.errors import ShapeError

__all__ = ["axes_of", "checked", "size_of"]


def checked(name: str, axes: Any) -> Any:
    """Return a tree of axes with integers as ints; refuse what is none."""
    if axes is None or isinstance(axes, dict | list | tuple):
        items = [] if axes is None else list(axes.values() if isinstance(axes, dict) else axes)
        for item in items:
            checked(name, item)
        return axes
    if isinstance(axes, bool):
        raise TypeError(f"vmap: {name} must be integers, None, or trees of them, not {axes!r}")
    try:
        return operator.index(axes)
    except TypeError:
        leaves = tree.flatten(axes)[0]
        if len(leaves) == 1 and leaves[0] is axes:
            raise TypeError(
                f"vmap: {name} must be integers, None, or trees of them, not {axes!r}"
            ) from None
        return axes


def axes_of(axes: Any, x: Any, what: str) -> list[int | None]:
    """Return an axis for each leaf of `x`: an item of `axes` may stand for a part of `x`.

    Parameters
    ----------
    axes : int, None or container
        Containers are as those of `x`, down to any depth.
    x
        What has the axes.
    what : str
        The name of `axes` and of `x`, for errors.
    """
    if axes is None or not _is_container(axes):
        return [axes] * len(tree.flatten(x)[0])
    parts, own = _items(axes) or {}, _items(x)
    if own is None or (type(axes) is not type(x) and not _alike(axes, x)) or len(parts) != len(own):
        raise ShapeError(
            f"vmap: {what} {axes!r} do not fit {_shown(x)}: one axis is needed, or a "
            f"container of axes like it"
        )
    found: list[int | None] = []
    for key, item in own.items():
        if key not in parts:
            raise ShapeError(f"vmap: {what} have nothing for {key!r}")
        found += axes_of(parts[key], item, what)
    return found


def _is_container(x: Any) -> bool:
    leaves = tree.flatten(x)[0]
    return not (len(leaves) == 1 and leaves[0] is x)


def _items(x: Any) -> dict[Any, Any] | None:
    """Return the items of a container by their keys; None for a leaf."""
    if isinstance(x, dict):
        return dict(x)
    if isinstance(x, list | tuple):
        return dict(enumerate(x))
    if not _is_container(x):
        return None
    fields = getattr(type(x), "__dataclass_fields__", {})
    return {
        name: getattr(x, name) for name, field in fields.items() if not field.metadata.get("static")
    }


def _alike(axes: Any, x: Any) -> bool:
    sequences = (list, tuple)
    return (isinstance(axes, sequences) and isinstance(x, sequences)) or (
        isinstance(axes, dict) and isinstance(x, dict)
    )


def _shown(x: Any) -> str:
    kind = type(x).__name__
    size = len(x) if isinstance(x, list | tuple | dict) else 1
    return f"a {kind} of {size}" if _is_container(x) else f"a {kind}"


def size_of(leaves: Sequence[Any], axes: Sequence[int | None], paths: Sequence[str]) -> int:
    """Return how many members there are.

    Raises
    ------
    ShapeError
        If an array has not its axis, no array has one, or their lengths differ.
    """
    sizes: list[tuple[int, str, tuple[int, ...], int]] = []
    for x, axis, path in zip(leaves, axes, paths, strict=True):
        if axis is None:
            continue
        shape = np.shape(graph.array_of(x))
        if not -len(shape) <= axis < len(shape):
            raise ShapeError(
                f"vmap: {path} has shape {shape}, which has no axis {axis} for the members: give "
                "in_axes, with None for what all members have in common"
            )
        sizes.append((shape[axis], path, shape, axis))
    if not sizes:
        raise ShapeError(
            "vmap: no argument has an axis of members: in_axes must not be None for all of them"
        )
    n = sizes[0][0]
    if any(size != n for size, *_ in sizes):
        text = ", ".join(f"{path} has shape {s} and {k} along axis {a}" for k, path, s, a in sizes)
        raise ShapeError(f"vmap: the numbers of members differ: {text}")
    return n
