"""Minimising by steps along gradients: of one function, or over batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastbp import arguments, tree
from fastbp.compiling import compile
from fastbp.elsewhere import spelled
from fastbp.optim.steps import SGD, Adam, AdamW, Optimizer, Rate, numbers_of
from fastbp.transforms.gradients import value_and_gradient_for

__all__ = ["Result", "adam", "adamw", "check_steps", "checked", "copied", "sgd", "stops"]


@dataclass(frozen=True)
class Result:
    """What a minimisation has done.

    Attributes
    ----------
    values : ndarray
        The loss before each step; of `lbfgs` at the start and after each iteration.
    steps : int
        Steps that were taken.
    stopped : bool
        Whether the callback said so.
    state : dict
        Of the optimizer: given as ``state=`` to the next call, that goes on. Empty for `lbfgs`.
    message : str
        Why it ended, in words.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> loss = lambda x: np.sum(x**2)
    >>> params, result = bp.optim.sgd(loss, np.ones(2), steps=3, learning_rate=0.25)
    >>> result.steps, result.values
    (3, array([2.   , 0.5  , 0.125]))
    >>> params, result = bp.optim.sgd(loss, params, 1, learning_rate=0.25, state=result.state)
    >>> result.state["step"]
    array([4.])
    """

    values: np.ndarray
    steps: int
    stopped: bool
    state: dict[str, Any] = field(default_factory=dict, repr=False)
    message: str = ""


@spelled
def sgd(
    loss: Callable[..., Any],
    params: Any,
    steps: int | None = None,
    learning_rate: Rate = 1e-2,
    momentum: float = 0.0,
    nesterov: bool = False,
    *,
    args: tuple[Any, ...] = (),
    batches: Iterable[Any] | None = None,
    callback: Callable[[int, float, Any], Any] | None = None,
    compiled: bool = False,
    state: dict[str, Any] | None = None,
) -> tuple[Any, Result]:
    """Minimise a function by steps along its gradient.

    Parameters
    ----------
    loss : callable
        ``loss(params, *args)`` returns a real number.
    params : tree of arrays and numbers
        Where to start. It is not changed. Leaves that are no numbers are settings: `loss` gets them
        as they are. float32 stays float32.
    steps : int, optional
        How many steps to take; with `batches` at most, and all of them by default.
    learning_rate, momentum, nesterov
        As for `SGD`: a number, or a function of the number of steps taken.
    args : tuple
        Further arguments of `loss`.
    batches : iterable of tuples, optional
        Further arguments that are others in each step; they come behind `args`.
    callback : callable, optional
        ``callback(step, value, params)`` in front of each step: the number of steps taken, and the
        loss at these parameters. If it returns True, this step is not taken, nor any more.
    compiled : bool
        Replay a whole step, gradient and update, as one plan: `fastbp.compile`, whose conditions
        hold for `loss`.
    state : dict, optional
        ``state`` of the `Result` of an earlier call, to go on from there.

    Returns
    -------
    params : tree
        After the last step.
    result : Result
        The loss before each step, and the state of the optimizer.

    Raises
    ------
    ShapeError, DTypeError
        If `loss` does not return a real number, or `params` have none.
    TypeError, ValueError
        For settings that are none, with their names.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> loss = lambda p: np.sum((p["x"] - 3.0) ** 2)
    >>> params, result = bp.optim.sgd(loss, {"x": np.zeros(2)}, steps=50, learning_rate=0.25)
    >>> params, result.values[:3]
    ({'x': array([3., 3.])}, array([18.   ,  4.5  ,  1.125]))
    """
    rule = SGD(learning_rate, momentum, nesterov)
    return _minimised("sgd", rule, loss, params, steps, args, batches, callback, compiled, state)


@spelled
def adam(
    loss: Callable[..., Any],
    params: Any,
    steps: int | None = None,
    learning_rate: Rate = 1e-3,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    *,
    args: tuple[Any, ...] = (),
    batches: Iterable[Any] | None = None,
    callback: Callable[[int, float, Any], Any] | None = None,
    compiled: bool = False,
    state: dict[str, Any] | None = None,
) -> tuple[Any, Result]:
    """Minimise a function by Adam's steps.

    Parameters
    ----------
    loss, params, steps
        As for `sgd`.
    learning_rate, b1, b2, eps
        As for `Adam`.
    args, batches, callback, compiled, state
        As for `sgd`.

    Returns
    -------
    params : tree
        After the last step.
    result : Result
        The loss before each step, and the state of the optimizer.

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        As from `sgd`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> def loss(p, x, y):
    ...     return np.mean((np.tanh(x @ p["w"]) @ p["v"] - y) ** 2)
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((64, 2))
    >>> params = {"w": rng.standard_normal((2, 16)), "v": np.zeros(16)}
    >>> data = x, np.sin(2 * x[:, 0])
    >>> params, result = bp.optim.adam(loss, params, 300, 0.03, args=data, compiled=True)
    >>> result.steps, bool(result.values[-1] < 0.2 * result.values[0])
    (300, True)
    """
    rule = Adam(learning_rate, b1, b2, eps)
    return _minimised("adam", rule, loss, params, steps, args, batches, callback, compiled, state)


@spelled
def adamw(
    loss: Callable[..., Any],
    params: Any,
    steps: int | None = None,
    learning_rate: Rate = 1e-3,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    *,
    args: tuple[Any, ...] = (),
    batches: Iterable[Any] | None = None,
    callback: Callable[[int, float, Any], Any] | None = None,
    compiled: bool = False,
    state: dict[str, Any] | None = None,
) -> tuple[Any, Result]:
    """Minimise a function by Adam's steps, with parameters that decay beside them.

    Parameters
    ----------
    loss, params, steps
        As for `sgd`.
    learning_rate, b1, b2, eps, weight_decay
        As for `AdamW`.
    args, batches, callback, compiled, state
        As for `sgd`.

    Returns
    -------
    params : tree
        After the last step.
    result : Result
        The loss before each step, and the state of the optimizer.

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        As from `sgd`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> x, result = bp.optim.adamw(lambda x: np.sum(x**4), np.ones(2), steps=9, weight_decay=0.0)
    >>> x.round(3)
    array([0.991, 0.991])
    """
    rule = AdamW(learning_rate, b1, b2, eps, weight_decay)
    return _minimised("adamw", rule, loss, params, steps, args, batches, callback, compiled, state)


def _minimised(
    name: str,
    rule: Optimizer,
    loss: Callable[..., Any],
    params: Any,
    steps: int | None,
    args: Any,
    batches: Iterable[Any] | None,
    callback: Callable[[int, float, Any], Any] | None,
    compiled: bool,
    state: dict[str, Any] | None,
) -> tuple[Any, Result]:
    rule.name = name
    check_steps(name, steps, None if batches is None else "batches")
    params = checked(name, loss, params, args, callback)
    state = rule.init(params) if state is None else copied(state)
    gradient = value_and_gradient_for(name, loss)

    def step(params: Any, state: Any, *args: Any) -> Any:
        value, slopes = gradient(params, *args)
        return value, *rule.update(slopes, state, params)

    # A plan returns new arrays each time, so what a callback keeps stays as it is.
    step = compile(step) if compiled else step
    values: list[float] = []
    turns: Iterable[Any] = itertools.repeat(()) if batches is None else batches
    for taken, batch in enumerate(itertools.islice(turns, steps)):
        if not isinstance(batch, tuple | list):
            raise TypeError(
                f"{name}: batches must yield tuples of arguments, not a {type(batch).__name__}: "
                "write (x,) for one"
            )
        value, after, state_after = step(params, state, *args, *batch)
        values.append(float(value))
        if callback is not None and stops(callback(taken, values[-1], params)):
            # What the callback was given may be kept, or changed.
            message = "stopped by the callback"
            return copied(params), Result(np.array(values), taken, True, state, message)
        params, state = after, state_after
    return params, Result(np.array(values), len(values), False, state, "all steps were taken")


def checked(name: str, loss: Any, params: Any, args: Any, callback: Any) -> Any:
    """Refuse what is no problem to minimise; return copies of the parameters, with floats."""
    arguments.check_function(name, loss)
    if not isinstance(args, tuple):
        raise TypeError(
            f"{name}: args must be a tuple of arguments, not a {type(args).__name__}: write "
            "args=(x,) for one"
        )
    if callback is not None and not callable(callback):
        raise TypeError(
            f"{name}: callback must be a function of (step, value, params), not a "
            f"{type(callback).__name__}"
        )
    leaves, treedef, chosen = numbers_of(name, params)
    for k in chosen:
        leaves[k] = np.array(leaves[k]) if np.shape(leaves[k]) else np.asarray(leaves[k])[()]
    return treedef.unflatten(leaves)


def copied(params: Any) -> Any:
    """Return a tree with copies of its arrays."""
    return tree.map(lambda x: x.copy() if isinstance(x, np.ndarray) else x, params)


def check_steps(name: str, steps: Any, otherwise: str | None) -> None:
    """Refuse what is no number of steps."""
    if steps is None and otherwise is None:
        raise TypeError(f"{name}: steps= is needed: how many steps to take")
    integer = isinstance(steps, (int, np.integer)) and not isinstance(steps, bool)
    if steps is not None and not (integer and steps >= 0):
        raise ValueError(f"{name}: steps must be a number of steps, not {steps!r}")


def stops(answer: Any) -> bool:
    """Say whether a callback has returned True, and not just anything."""
    return isinstance(answer, (bool, np.bool_)) and bool(answer)
