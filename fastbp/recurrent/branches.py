"""Branches and loops that values decide, in recorded code and in compiled functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import array_of
from fastbp.compiling.bodies import UnrolledError, WrittenError, is_recorded, recording_blocks
from fastbp.compiling.choosing import chosen, repeated
from fastbp.errors import DTypeError, ShapeError
from fastbp.recurrent.carries import Carry
from fastbp.recurrent.scan import scan
from fastbp.sparse import courses

__all__ = ["cond", "while_loop"]


def cond(
    pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any
) -> Any:
    """Call one of two functions, as a value decides.

    Parameters
    ----------
    pred : bool, number or array of no axes
        Numbers are true if they are not 0.
    true_fun, false_fun : callable
        Take the operands; in a compiled function both return the same structure, shapes and dtypes.
    *operands : tree of arrays

    Returns
    -------
    tree
        ``true_fun(*operands)`` or ``false_fun(*operands)``.

    Raises
    ------
    ShapeError, DTypeError
        If `pred` is no single value; in a compiled function, if the two return different things.
    FrozenValueError
        If one of them writes into an array of outside, in a compiled function.

    Notes
    -----
    Eagerly this is ``if``. While `compile` records, it is a branch of the plan: both functions are
    recorded, and in each call the one runs that `pred` asks for. So are its derivatives.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> def root(x):
    ...     return bp.cond(x > 1.0, np.sqrt, lambda x: 0.5 * (x + 1.0), x)
    >>> slope = bp.compile(bp.grad(root))
    >>> slope(4.0), slope(0.25)
    (np.float64(0.25), np.float64(0.5))
    """
    for name, f in (("true_fun", true_fun), ("false_fun", false_fun)):
        if not callable(f):
            raise TypeError(f"cond: {name} must be a function, not a {type(f).__name__}")
    _check("cond: pred", pred)
    if recording_blocks() and is_recorded(pred):
        try:
            return chosen(_as_condition(pred), (true_fun, false_fun), operands)
        except WrittenError as error:
            raise error.refusal("cond") from None
        except UnrolledError:
            pass
    elif courses.wanted(pred):
        return courses.chosen(_as_condition(pred), (true_fun, false_fun), operands)
    return true_fun(*operands) if _is_true(pred) else false_fun(*operands)


def while_loop(
    cond_fun: Callable[[Any], Any],
    body_fun: Callable[[Any], Any],
    init: Any,
    max_steps: int | None = None,
) -> Any:
    """Repeat ``carry = body_fun(carry)`` as long as ``cond_fun(carry)`` is true.

    Parameters
    ----------
    cond_fun : callable
        Returns a single value; numbers are true if they are not 0.
    body_fun : callable
        Returns the next carry, of the same structure, shapes and dtypes.
    init : tree of arrays
        The first carry.
    max_steps : int, optional
        End after so many steps at the latest.

    Returns
    -------
    tree
        The last carry.

    Raises
    ------
    ShapeError, DTypeError
        If the carry changes its structure, shapes or dtypes, or the condition is no single value.
    FrozenValueError
        If `body_fun` writes into the carry, in a compiled function: see `cond`.
    NoRuleError
        In a compiled function, for a derivative in reverse mode without `max_steps`.

    Notes
    -----
    Eagerly this is ``while``, and has derivatives in both modes. While `compile` records, it is a
    loop of the plan: in forward mode with as many steps as the values ask for. Reverse mode has to
    keep what the steps computed, and needs to know for how many: `max_steps`; such a loop takes
    memory for all of them, and time for those that are made.

    Examples
    --------
    >>> import fastbp as bp
    >>> def halvings(x):
    ...     return bp.while_loop(lambda c: c[0] > 1.0, lambda c: (c[0] / 2.0, c[1] + 1.0), (x, 0.0))
    >>> compiled = bp.compile(halvings)
    >>> [float(x) for x in compiled(20.0)], [float(x) for x in compiled(3.0)]
    ([0.625, 5.0], [0.75, 2.0])
    """
    for name, f in (("cond_fun", cond_fun), ("body_fun", body_fun)):
        if not callable(f):
            raise TypeError(f"while_loop: {name} must be a function, not a {type(f).__name__}")
    integer = isinstance(max_steps, int | np.integer) and not isinstance(max_steps, bool)
    if max_steps is not None and not (integer and max_steps >= 0):
        raise ValueError(f"while_loop: max_steps must be a number of steps, not {max_steps!r}")
    like = Carry.of("while_loop", init)

    def going(carry: Any) -> Any:
        condition = cond_fun(carry)
        _check("while_loop: what cond_fun returns", condition)
        return condition

    def step(carry: Any) -> Any:
        carry = body_fun(carry)
        like.check(carry, "body_fun")
        return carry

    written = None
    if recording_blocks():
        try:
            if max_steps is None:
                return repeated(lambda carry: _as_condition(going(carry)), step, init)
            return scan(
                lambda carry, _: (_advanced(going(carry), step, carry), None),
                init,
                length=int(max_steps),
            )[0]
        except WrittenError as error:
            written = error
        except UnrolledError:
            pass
    start, decided = courses.apart(init) if courses.looked_for() else None, None
    carry, steps = init, 0
    while max_steps is None or steps < max_steps:
        condition = going(carry)
        if written is not None and is_recorded(condition):
            raise written.refusal("while_loop")
        if courses.wanted(condition):
            decided = condition
        if not _is_true(condition):
            break
        carry, steps = step(carry), steps + 1
    return carry if decided is None else courses.repeated(step, start, carry, decided)


def _advanced(condition: Any, step: Callable[[Any], Any], carry: Any) -> Any:
    """Return the next carry, or the same where the condition is false."""
    if is_recorded(condition):
        return chosen(_as_condition(condition), (step, lambda carry: carry), (carry,))
    return step(carry) if condition else carry


def _check(what: str, x: Any) -> None:
    array = np.asarray(array_of(x)) if is_recorded(x) else np.asarray(x)
    if array.shape != ():
        raise ShapeError(f"{what} must be a single value, not an array of shape {array.shape}")
    if array.dtype.kind not in "biufc":
        raise DTypeError(f"{what} must be a boolean or a number, not of dtype {array.dtype}")


def _as_condition(x: Any) -> Any:
    """Return a boolean for a number."""
    if is_recorded(x):
        return x if array_of(x).dtype == bool else x != 0
    return np.asarray(x, bool)


def _is_true(x: Any) -> bool:
    if is_recorded(x) and not graph.keeps(x):
        return bool(array_of(x))
    return bool(x)
