"""Jacobians and Hessians as dense arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp import arguments
from fastbp import unconnected as loss
from fastbp._core.graph import Variable, array_of
from fastbp._core.tape import Tape
from fastbp.block_sweeps import by_columns, by_rows, through_waist
from fastbp.derived import derived, named
from fastbp.elsewhere import spelled
from fastbp.errors import DTypeError, NoRuleError
from fastbp.limits import check_memory
from fastbp.recording import Recorded, connect, only_real, outputs_of
from fastbp.spreading import check_threads
from fastbp.transforms import gradient_for

__all__ = ["hessian", "jacobian"]

MODES = ("auto", "reverse", "forward", "chain")


@spelled
def jacobian(
    f: Callable[..., Any],
    argnums: Any = 0,
    mode: str = "auto",
    *,
    unconnected: str = "warn",
    limit: int | None = None,
    threads: int = 1,
) -> Callable[..., Any]:
    """Return a function that computes the Jacobian of `f`.

    Parameters
    ----------
    f : callable
        Returns an array or a nested container of arrays.
    argnums : int or sequence of int
        Positional arguments to differentiate: arrays, floats, or nested containers of them.
    mode : {"auto", "reverse", "forward", "chain"}
        "reverse" and "forward" sweep the whole record once, with a vector for each output or each
        input. "auto" takes reverse if there are no more outputs than inputs, else forward; where
        all paths go through a value with fewer elements than both, it multiplies the Jacobians of
        the parts behind and before it if that is predicted to be faster. "chain" multiplies the
        factors of `fastbp.chain.linearize`, which have structure, in their cheapest order. "rev"
        and "fwd" stand for "reverse" and "forward".
    unconnected : {"warn", "zero", "raise"}
        What happens where no output depends on an argument: zeros with an `UnconnectedWarning` or
        without, or an `UnconnectedError`.
    limit : int, optional
        The largest result in bytes, `fastbp.limits.MEMORY_LIMIT` (1 GiB) if not given.
    threads : int
        Blocks of rows or columns are swept on so many threads; the result is the same to the last
        bit. Not what is recorded for another derivative, and not in mode "chain". It pays for
        large Jacobians, where NumPy's BLAS and the elementwise loops have one thread each; rules
        of your own must bear being called by several threads.

    Returns
    -------
    callable
        Takes the arguments of `f`; returns an array of shape ``out.shape + in.shape`` and the
        dtype of the input, complex also if the output is. Of a real output by a complex input z = x
        + iy it is ``d/dx - i d/dy``. For
        containers: the structure of the output with, in place of each leaf, the structure of the
        argument (a tuple for several `argnums`).

    Raises
    ------
    DTypeError, TypeError
        If an argument or an output is not of numbers; if an output and an argument are complex and
        `f` is not holomorphic: by comparison of the derivatives in both directions.
    ValueError
        If `mode` or `unconnected` is not among those above, or `threads` is less than 1.
    MemoryError
        (from the returned function) If the result is above the limit, before memory is taken.
    NoRuleError
        If `f` depends on a function without a rule; in mode "chain" also if it depends on Variables
        from outside.

    Notes
    -----
    The sweep carries a block of many (co)tangents at once, so that Jacobians of matrix products are
    matrix products. A block is as large as fits into 32 MiB for the largest intermediate array, and
    into 128 MiB for those that the sweep has at a time: about that is taken beside the result, by
    each thread. It ends at 4 MiB, but not before 512 vectors.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> bp.jacobian(lambda x: x[1:] * x[:-1])(np.array([1.0, 2.0, 3.0]))
    array([[2., 1., 0.],
           [0., 3., 2.]])
    """
    arguments.check_function("jacobian", f)
    argnums = arguments.check_argnums("jacobian", argnums)
    mode = arguments.mode_named("jacobian", mode, MODES)
    loss.check_option("jacobian", unconnected, loss.WITHOUT_NONE)
    threads = check_threads("jacobian", threads)
    bound = ("jacobian", f, argnums, mode, unconnected, limit, threads)
    options = {"unconnected": unconnected, "limit": limit, "threads": threads}
    return named(derived(_jacobian_at, bound, jacobian, f, argnums, mode, **options), "jacobian", f)


def _jacobian_at(
    name: str,
    f: Callable[..., Any],
    argnums: Any,
    mode: str,
    option: str,
    limit: int | None,
    threads: int,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    r = Recorded(name, f, args, kwargs, argnums)
    if name == "hessian" and any(x.dtype.kind == "c" for x in r.inputs):
        raise DTypeError(
            "hessian: the Hessian by complex arguments is no complex matrix: differentiate by both "
            "parts instead: write fastbp.hessian(lambda p: f(p[0] + 1j * p[1]))(numpy.stack((z.real"
            ", z.imag))); products with it are fastbp.hvp"
        )
    leaves, treedef = outputs_of(r)
    _check_size(name, leaves, r, limit)
    tape = connect(r, leaves, option)
    if mode == "chain":
        rows = _by_chains(leaves, r, tape.outer, limit)
    else:
        rows = _by_sweeps(tape, leaves, r, mode, threads)
    return treedef.unflatten([_gathered(r, row, type(argnums) is int) for row in rows])


def _check_size(name: str, leaves: list[Any], r: Recorded, limit: int | None) -> None:
    """Refuse a result that does not fit."""
    n_out = sum(np.size(array_of(y)) for y in leaves)
    doubled = sum(np.size(array_of(y)) for y in leaves if np.iscomplexobj(array_of(y)))
    size = sum((n_out + (x.dtype.kind == "f") * doubled) * x.nbytes for x in r.inputs)
    n_in = sum(x.size for x in r.inputs)
    kind, products = ("Hessian", "fastbp.hvp") if name == "hessian" else ("Jacobian", "fastbp.jvp")
    check_memory(
        name,
        f"the {kind} of {n_out} outputs by {n_in} inputs",
        size,
        limit,
        f"use fastbp.sparse.{name} where most of it is zero, products with it by {products}"
        f"{'' if name == 'hessian' else ' or vjp'}, or give a larger limit=",
    )


def _by_sweeps(
    tape: Tape, leaves: list[Any], r: Recorded, mode: str, threads: int
) -> list[list[Any]]:
    def own(y: Any) -> Tape:  # of one output
        return tape if len(leaves) == 1 else Tape([y], r.inputs)

    found: list[Any] = [None] * len(leaves)
    outer = tape.outer
    tapes = {k: own(y) for k, y in enumerate(leaves) if type(y) is Variable and mode != "forward"}
    if mode == "auto":
        for k, t in tapes.items():
            found[k] = through_waist(t, leaves[k], r.inputs, outer, threads)
    rest = [y for y, row in zip(leaves, found, strict=True) if row is None]
    n_out = sum(np.size(array_of(y)) for y in rest)
    n_in = sum(x.size for x in r.inputs)
    if mode == "forward" or (mode == "auto" and n_out > n_in):
        moving = [y for y in rest if type(y) is Variable]
        whole = tape if len(rest) == len(leaves) else Tape(moving, r.inputs)
        swept = iter(by_columns(whole, rest, r.inputs, outer, threads=threads))
    else:
        left = [k for k, row in enumerate(found) if row is None]
        swept = iter(
            [by_rows(tapes.get(k, tape), leaves[k], r.inputs, outer, threads) for k in left]
        )
    return [next(swept) if row is None else row for row in found]


@np.errstate(all="ignore")  # derivatives never warn
def _by_chains(leaves: list[Any], r: Recorded, outer: bool, limit: int | None) -> list[list[Any]]:
    from fastbp.chain import linearizing  # here, because it takes time to import

    if outer or any(type(x) is Variable for x in r.primals):
        raise NoRuleError(
            f"{r.name}: the function depends on Variables from outside, but factors of a chain are "
            'arrays; take another mode than "chain"'
        )

    def dense(y: Any, x: Variable) -> np.ndarray:
        tape = Tape([y] if type(y) is Variable else [], [x])
        only_real('jacobian(mode="chain")', tape)
        found = linearizing.between(tape, y, x).to_dense(limit=limit)
        return np.reshape(found, np.shape(array_of(y)) + x.shape)

    return [[dense(y, x) for x in r.inputs] for y in leaves]


def _gathered(r: Recorded, row: list[Any], single: bool) -> Any:
    parts = r.split([j if type(j) is Variable or j.ndim else j[()] for j in row])
    return parts[0] if single else tuple(parts)


@spelled
def hessian(
    f: Callable[..., Any],
    argnums: Any = 0,
    *,
    unconnected: str = "warn",
    limit: int | None = None,
    threads: int = 1,
) -> Callable[..., Any]:
    """Return a function that computes the Hessian of a scalar function.

    The gradient is recorded, then blocks of tangents are pushed through it.

    Parameters
    ----------
    f : callable
        Returns a scalar.
    argnums : int
        The argument to differentiate twice; it may be a nested container.
    unconnected, limit, threads
        As for `jacobian`; of the scalar. A second derivative may well be zero.

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
    inner = gradient_for("hessian", f, argnums, unconnected)
    loss.check_option("hessian", unconnected, loss.WITHOUT_NONE)
    argnums = arguments.check_argnums("hessian", argnums)
    threads = check_threads("hessian", threads)
    bound = ("hessian", inner, argnums, "forward", "zero", limit, threads)
    options = {"unconnected": unconnected, "limit": limit, "threads": threads}
    return named(derived(_jacobian_at, bound, hessian, f, argnums, **options), "hessian", f)
