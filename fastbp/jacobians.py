"""Whole Jacobians and Hessians, by sweeps that carry a block of many vectors at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp._core import sweep, tape
from fastbp._core.graph import Variable
from fastbp.recording import Recorded, depends_on_outer, named, outputs_of, plain
from fastbp.transforms import grad

__all__ = ["between", "hessian", "jacobian"]

BLOCK_BYTES = 1 << 25  # largest (co)tangent array of one block


def jacobian(f: Callable[..., Any], argnums: Any = 0, mode: str = "auto") -> Callable[..., Any]:
    """Return a function that computes the Jacobian of `f`.

    Parameters
    ----------
    f : callable
        Returns an array or a nested container of arrays.
    argnums : int or sequence of int
        As for `grad`.
    mode : {"auto", "reverse", "forward"}
        Sweep direction; "auto" takes reverse if there are no more outputs than inputs.

    Returns
    -------
    callable
        Takes the arguments of `f`; returns an array of shape ``out.shape + in.shape`` and the
        dtype of the input. For
        containers: the structure of the output with, in place of each leaf, the structure of the
        argument (a tuple for several `argnums`).

    Notes
    -----
    The sweep carries a block of many (co)tangents at once, so that Jacobians of matrix products are
    matrix products. A block is as large as fits into 32 MiB for the largest intermediate array.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> bp.jacobian(lambda x: x[1:] * x[:-1])(np.array([1.0, 2.0, 3.0]))
    array([[2., 1., 0.],
           [0., 3., 2.]])
    """
    if mode not in ("auto", "reverse", "forward"):
        raise ValueError(f'jacobian: mode must be "auto", "reverse" or "forward", not {mode!r}')
    return _jacobian("jacobian", f, argnums, mode)


def _jacobian(name: str, f: Callable[..., Any], argnums: Any, mode: str) -> Callable[..., Any]:
    single = not isinstance(argnums, (tuple, list))

    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        r = Recorded(name, f, args, kwargs, argnums)
        leaves, treedef = outputs_of(r)
        outer = depends_on_outer(leaves, r)
        n_out = sum(np.size(plain(y)) for y in leaves)
        n_in = sum(x.size for x in r.inputs)
        forward = mode == "forward" or (mode == "auto" and n_out > n_in)
        rows = (
            _by_columns(leaves, r.inputs, outer)
            if forward
            else [_by_rows(y, r.inputs, outer) for y in leaves]
        )
        return treedef.unflatten([_gathered(r, row, single) for row in rows])

    return named(jacobian_of, name, f)


def _gathered(r: Recorded, row: list[Any], single: bool) -> Any:
    parts = r.split([j if type(j) is Variable or j.ndim else j[()] for j in row])
    return parts[0] if single else tuple(parts)


def between(y: Variable, x: Variable, others: Sequence[Variable] = ()) -> np.ndarray:
    """Return the Jacobian between two Variables of a record, of shape ``y.shape + x.shape``.

    What flows through `others`, other Variables of the record, does not count.
    """
    inputs = [x, *others]
    if y.size > x.size:
        jac = _by_columns([y], inputs, False, True, 1)[0][0]
    else:
        jac = _by_rows(y, inputs, False, True)[0]
    return np.asarray(jac)


def _by_rows(
    y: Any, inputs: list[Variable], recorded: bool, independent: bool = False
) -> list[Any]:
    """Jacobians of one output, by reverse sweeps of blocks of unit cotangents."""
    shape = np.shape(plain(y))
    blocks: list[list[Any]] = [[] for _ in inputs]
    if type(y) is Variable:
        for seeds in _unit_blocks(y, [y], inputs):
            found = sweep.reverse([y], [seeds], inputs, recorded, 1, False, independent)
            for parts, x, g in zip(blocks, inputs, found, strict=True):
                parts.append(np.zeros((len(seeds), *x.shape), x.dtype) if g is None else g)
    return [
        np.reshape(_joined(parts), shape + x.shape) if parts else np.zeros(shape + x.shape, x.dtype)
        for parts, x in zip(blocks, inputs, strict=True)
    ]


def _by_columns(
    leaves: list[Any],
    inputs: list[Variable],
    recorded: bool,
    independent: bool = False,
    count: int | None = None,
) -> list[list[Any]]:
    """Jacobians of all outputs, by forward sweeps of blocks of unit tangents.

    By the first `count` inputs.
    """
    outputs = [y for y in leaves if type(y) is Variable]
    table: list[list[Any]] = [[] for _ in leaves]
    for k, x in enumerate(inputs[:count]):
        blocks: list[list[Any]] = [[] for _ in outputs]
        for seeds in _unit_blocks(x, outputs, inputs):
            tangents: list[Any] = [None] * len(inputs)
            tangents[k] = seeds
            found = sweep.forward(outputs, inputs, tangents, recorded, 1, independent)
            for parts, y, t in zip(blocks, outputs, found, strict=True):
                parts.append(np.zeros((len(seeds), *y.shape), y.dtype) if t is None else t)
        columns = iter(blocks)
        for row, y in zip(table, leaves, strict=True):
            parts = next(columns) if type(y) is Variable else []
            row.append(_from_columns(parts, np.shape(plain(y)), x))
    return table


def _from_columns(parts: list[Any], shape: tuple[int, ...], x: Variable) -> Any:
    """Turn tangents, one for each element of `x`, into a Jacobian of shape ``shape + x.shape``."""
    if not parts:
        return np.zeros(shape + x.shape, x.dtype)
    columns = _joined(parts).astype(x.dtype, copy=False)
    moved = np.transpose(columns, (*range(1, len(shape) + 1), 0))
    jac: Any = np.reshape(moved, shape + x.shape)
    return jac if type(jac) is Variable else np.require(jac, requirements="C")


def _joined(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _unit_blocks(end: Variable, outputs: list[Any], inputs: list[Variable]) -> Any:
    """Yield the unit vectors of the space of `end`, in blocks along a leading axis."""
    largest = max(1, tape.largest(outputs, inputs)) * end.dtype.itemsize
    count = int(max(1, min(end.size, BLOCK_BYTES // largest)))
    for start in range(0, end.size, count):
        stop = min(start + count, end.size)
        seeds = np.zeros((stop - start, end.size), end.dtype)
        seeds[np.arange(stop - start), np.arange(start, stop)] = 1.0
        yield seeds.reshape((stop - start, *end.shape))


def hessian(f: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
    """Return a function that computes the Hessian of a scalar function.

    The gradient is recorded, then blocks of tangents are pushed through it.

    Parameters
    ----------
    f : callable
        Returns a scalar.
    argnums : int
        The argument to differentiate twice; it may be a nested container.

    Returns
    -------
    callable
        Takes the arguments of `f`; returns an array of shape ``in.shape + in.shape``, for
        containers nested in themselves.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> bp.hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 3.0]))
    array([[6., 2.],
           [2., 0.]])
    """
    return _jacobian("hessian", grad(f, argnums), argnums, "forward")
