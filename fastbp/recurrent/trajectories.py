"""Jacobians along a trajectory: how a later state depends on an earlier one."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from fastbp import tree
from fastbp._core.graph import Variable
from fastbp.chain import JacobianChain
from fastbp.errors import NoRuleError, ShapeError
from fastbp.recurrent.cell_links import cell_chain
from fastbp.recurrent.cells import gru, lstm, rnn
from fastbp.recurrent.checks import steps_of, without_xs
from fastbp.recurrent.steps import factors_of_steps

__all__ = ["sensitivity", "trajectory_jacobians"]

NAME = "trajectory_jacobians"
_CELLS = {"rnn": rnn, "gru": gru, "lstm": lstm}


def trajectory_jacobians(
    step: Callable[..., Any],
    h0: Any,
    xs: Any = None,
    length: int | None = None,
    **parameters: Any,
) -> JacobianChain:
    """Return the Jacobians of each state with respect to the one before, as a chain.

    Parameters
    ----------
    step : callable
        ``step(h, x)`` returns the next state, or a pair of it and something else, as for `scan`;
        an autonomous one may be ``step(h)``. Or one of the cells `rnn`, `gru`, `lstm` of this
        module: their Jacobians are written down in closed form.
    h0 : array of float64 or float32
        The first state; for `lstm` a pair ``(h0, c0)``. For cells as the cell takes it: of shape
        (n,), or (B, n) with a batch.
    xs : tree of arrays, shape (T, ...) each, optional
        Step t gets their elements t. Without it `step` gets None, or the state alone if that is all
        that it needs.
    length : int, optional
        T; needed without `xs`.
    **parameters
        Of the cell: W, U, b, activation ..., `mask` and `reverse`. Operands are of one dtype as in
        the cell: float32 if all are, else float64.

    Returns
    -------
    JacobianChain of T links, shape (h.size, h.size)
        ``[dh_T/dh_{T-1}, ..., dh_1/dh_0]``: element (i, j) of a link is the derivative of element i
        of the later state with respect to element j of the earlier one (C order). Steps are
        counted as they run, with `reverse` from the end of the sequence. For `lstm` the state is h
        and c, one behind the other. With a batch the links of the cells are block-diagonal: B
        states one behind the other, for `lstm` (h, c) of each member. Where the mask is False, a
        link (or its block) is the identity.

    Raises
    ------
    ShapeError, DTypeError
        If the state changes its shape or dtype, or there are no steps.
    NoRuleError
        If the states depend on Variables: the factors are arrays.
    TypeError
        For parameters that the cell does not have.
    ValueError
        Without `xs` and `length`; for `truncate` and `checkpoint`, which belong to gradients:
        Jacobians are those of the values. What leads over a truncation is left out by slicing the
        chain.

    Notes
    -----
    ``dh_t/dh_{t-1} = diag(1 - h_t**2) @ W.T`` for a tanh network with row vectors. All links share
    one W.

    The Jacobians of any other step are dense, by sweeps as in `fastbp.jacobian`, where the state is
    small. Where keeping structure is cheaper they are sparse or diagonal, or of structured tensors.
    Pattern and coloring are then found at the first step and serve all: as in
    `fastbp.sparse.jacobian` every matrix is compared with a random directional derivative, and they
    are found anew where a step has taken another way.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> W, U = np.array([[0.5, 0.1], [0.0, 0.4]]), np.ones((1, 2))
    >>> xs = np.zeros((3, 1))
    >>> chain = bp.recurrent.trajectory_jacobians(bp.recurrent.rnn, np.zeros(2), xs, W=W, U=U)
    >>> chain[0]
    <RowScaled 2 x 2, float64>
    >>> def step(h, x):
    ...     return np.tanh(h @ W + x @ U)
    >>> same = bp.recurrent.trajectory_jacobians(step, np.zeros(2), xs)
    >>> bool(np.allclose(chain.product().to_dense(), same.product().to_dense()))
    True
    >>> def logistic(h):
    ...     return 3.7 * h * (1.0 - h)
    >>> bp.recurrent.trajectory_jacobians(logistic, np.array([0.3]), length=100)
    <JacobianChain 1 x 1 of 100 links, float64>
    """
    for name, cell in _CELLS.items():
        if step is cell:
            if xs is None or length is not None:
                raise TypeError(f"{NAME}: {name} takes xs, and no length")
            return cell_chain(name, h0, xs, parameters)
    if not callable(step):
        raise TypeError(f"{NAME}: step must be a function, not a {type(step).__name__}")
    if parameters:
        raise TypeError(f"{NAME}: {sorted(parameters)} are for built-in cells")
    for x in (*tree.flatten(h0)[0], *tree.flatten(xs)[0]):
        if type(x) is Variable:
            raise NoRuleError(f"{NAME}: the factors are arrays, they cannot depend on Variables")
    count = steps_of(NAME, xs, length)
    if not count:
        raise ShapeError(f"{NAME}: there are no steps")
    if not tree.flatten(xs)[0]:
        step = without_xs(step)
    return JacobianChain(factors_of_steps(NAME, step, h0, xs, count)[::-1])


def sensitivity(
    step: Callable[..., Any],
    h0: Any,
    xs: Any = None,
    pairs: Iterable[tuple[int, int]] | None = None,
    length: int | None = None,
    **parameters: Any,
) -> Any:
    """Return how the last state depends on the first one, or ``dh_t/dh_s`` for chosen pairs.

    Parameters
    ----------
    step, h0, xs, length, **parameters
        As for `trajectory_jacobians`.
    pairs : iterable of (int, int), optional
        Pairs (t, s) with ``0 <= s <= t <= T``; without it (T, 0).

    Returns
    -------
    ndarray of shape (h.size, h.size), or list of them for `pairs`
        What several pairs share is multiplied once.

    Raises
    ------
    TypeError
        If a pair is not one of integers.
    ValueError
        If a pair is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> bp.recurrent.sensitivity(lambda h, x: 0.5 * h + x, np.zeros(1), np.ones((4, 1)))
    array([[0.0625]])
    """
    chain = trajectory_jacobians(step, h0, xs, length, **parameters)
    count = len(chain)
    if pairs is None:
        return chain.product().to_dense()
    try:
        wanted = [(operator.index(t), operator.index(s)) for t, s in pairs]
    except (TypeError, ValueError):
        raise TypeError(f"sensitivity: pairs must be integers (t, s), not {pairs!r}") from None
    for t, s in wanted:
        if not 0 <= s <= t <= count:
            raise ValueError(f"sensitivity: pair {(t, s)} is not within 0 <= s <= t <= {count}")
    marks = sorted({mark for pair in wanted for mark in pair})
    parts = {
        (a, b): chain[count - b : count - a].product()
        for a, b in pairwise(marks)
        if any(s <= a and b <= t for t, s in wanted)
    }
    return [_between(chain, parts, t, s) for t, s in wanted]


def _between(chain: JacobianChain, parts: Any, t: int, s: int) -> Any:
    inside = [part for (a, b), part in parts.items() if s <= a and b <= t]
    if not inside:
        return np.eye(chain.shape[1], dtype=chain.dtype)
    return JacobianChain(inside[::-1]).product().to_dense()
