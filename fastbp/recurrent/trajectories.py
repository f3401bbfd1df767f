"""Jacobians along a trajectory: how a later state depends on an earlier one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from fastbp import tree
from fastbp._core import graph
from fastbp._core.graph import Variable, values_of
from fastbp.chain import Dense, Diagonal, Factor, JacobianChain, RowScaled, Sum
from fastbp.chain.linearizing import factor_of
from fastbp.errors import DTypeError, NoRuleError, ShapeError
from fastbp.recurrent.cells import gru, lstm, rnn
from fastbp.rules.special import sigmoid
from fastbp.tensor.derivative import derivative_between

__all__ = ["sensitivity", "trajectory_jacobians"]


def trajectory_jacobians(
    step: Callable[..., Any], h0: Any, xs: Any, **parameters: Any
) -> JacobianChain:
    """Return the Jacobians of each state with respect to the one before, as a chain.

    Parameters
    ----------
    step : callable
        ``step(h, x)`` returns the next state, or a pair of it and something else, as for `scan`.
        Or one of the cells `rnn`, `gru`, `lstm` of this module: their Jacobians are written down in
        closed form.
    h0 : array of float64 or float32
        The first state; for `lstm` a pair ``(h0, c0)``. For cells of shape (n,), without a batch.
    xs : tree of arrays, shape (T, ...) each
    **parameters
        Of the cell: W, U, b, activation ...

    Returns
    -------
    JacobianChain of T links, shape (h.size, h.size)
        ``[dh_T/dh_{T-1}, ..., dh_1/dh_0]``: element (i, j) of a link is the derivative of element i
        of the later state with respect to element j of the earlier one (C order). For `lstm` the
        state is h and c, one behind the other.

    Raises
    ------
    ShapeError, DTypeError
        If the state changes its shape or dtype, or there are no steps.
    NoRuleError
        If the states depend on Variables: the factors are arrays.

    Notes
    -----
    ``dh_t/dh_{t-1} = diag(1 - h_t**2) @ W.T`` for a tanh network with row vectors. All links share
    one W.

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
    """
    for x in (*tree.flatten(h0)[0], *tree.flatten(xs)[0], *parameters.values()):
        if type(x) is Variable:
            raise NoRuleError(
                "trajectory_jacobians: the factors are arrays, they cannot depend on Variables"
            )
    cells: dict[Any, Any] = {rnn: _rnn, gru: _gru, lstm: _lstm}
    closed = cells.get(step)
    links = _recorded(step, h0, xs) if closed is None else closed(h0, xs, **parameters)
    if closed is None and parameters:
        raise TypeError(f"trajectory_jacobians: {sorted(parameters)} are for built-in cells")
    if not links:
        raise ShapeError("trajectory_jacobians: there are no steps")
    return JacobianChain(links[::-1])


def sensitivity(
    step: Callable[..., Any],
    h0: Any,
    xs: Any,
    pairs: Iterable[tuple[int, int]] | None = None,
    **parameters: Any,
) -> Any:
    """Return how the last state depends on the first one, or ``dh_t/dh_s`` for chosen pairs.

    Parameters
    ----------
    step, h0, xs, **parameters
        As for `trajectory_jacobians`.
    pairs : iterable of (int, int), optional
        Pairs (t, s) with ``0 <= s <= t <= T``; without it (T, 0).

    Returns
    -------
    ndarray of shape (h.size, h.size), or list of them for `pairs`
        What several pairs share is multiplied once.

    Raises
    ------
    ValueError
        If a pair is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> bp.recurrent.sensitivity(lambda h, x: 0.5 * h + x, np.zeros(1), np.ones((4, 1)))
    array([[0.0625]])
    """
    chain = trajectory_jacobians(step, h0, xs, **parameters)
    count = len(chain)
    if pairs is None:
        return chain.product().to_dense()
    wanted = [(int(t), int(s)) for t, s in pairs]
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


# ---- any step


def _recorded(step: Callable[..., Any], h0: Any, xs: Any) -> list[Factor]:
    h = np.asarray(h0)
    lengths = {np.shape(x)[:1] for x in tree.flatten(xs)[0]}
    if len(lengths) != 1 or () in lengths:
        raise ShapeError("trajectory_jacobians: xs must have one first axis, that of time")
    found = []
    for t in range(lengths.pop()[0]):
        before = graph.variable(h)
        after = step(graph.handle(before), tree.map(lambda x, t=t: x[t], xs))
        if isinstance(after, tuple) and len(after) == 2:
            after = after[0]
        value = np.asarray(values_of(after))
        if value.shape != h.shape:
            raise ShapeError(
                f"trajectory_jacobians: step {t} returned a state of shape {value.shape}, "
                f"it was given {h.shape}"
            )
        if value.dtype != h.dtype:
            raise DTypeError(
                f"trajectory_jacobians: step {t} returned a state of dtype {value.dtype}, "
                f"it was given {h.dtype}"
            )
        if type(after) is Variable:
            found.append(factor_of(derivative_between(after, before)))
        else:
            found.append(Dense(np.zeros((h.size, h.size), h.dtype)))
        h = value
    return found


# ---- cells


def _vector(name: str, h: Any) -> np.ndarray:
    vector: np.ndarray = np.asarray(h)
    if vector.ndim != 1:
        raise ShapeError(
            f"trajectory_jacobians: {name} has shape {vector.shape}; "
            "cells are taken without a batch"
        )
    return vector


def _rnn(h0: Any, xs: Any, *, activation: str = "tanh", **p: Any) -> list[Factor]:
    hs, _ = rnn(xs, _vector("h0", h0), activation=activation, **p)
    W = Dense(np.asarray(p["W"]).T)
    if activation == "identity":
        return [W] * len(hs)
    slopes = 1.0 - hs * hs if activation == "tanh" else (hs > 0).astype(hs.dtype)
    return [RowScaled(d, W) for d in slopes]


def _split(W: np.ndarray, count: int) -> list[Dense]:
    return [Dense(part.T) for part in np.split(np.asarray(W), count, axis=1)]


def _gru(h0: Any, xs: Any, *, W: Any, U: Any, b: Any = None, c: Any = None) -> list[Factor]:
    h0 = _vector("h0", h0)
    hs, _ = gru(xs, h0, W=W, U=U, b=b, c=c)
    h = np.concatenate([h0[None], hs[:-1]])
    x, a = np.asarray(xs) @ U + (0 if b is None else b), h @ W
    (xr, xz, xn), (ar, az, an) = np.split(x, 3, axis=1), np.split(a, 3, axis=1)
    inner = an if c is None else an + c
    r, z = sigmoid(xr + ar), sigmoid(xz + az)
    new = np.tanh(xn + r * inner)
    outer = (1 - z) * (1 - new * new)
    Wr, Wz, Wn = _split(W, 3)
    return [
        Sum(Diagonal(k), RowScaled(d, Wz), RowScaled(e, Wn), RowScaled(f, Wr))
        for k, d, e, f in zip(
            z, (h - new) * z * (1 - z), outer * r, outer * inner * r * (1 - r), strict=True
        )
    ]


def _lstm(state: Any, xs: Any, *, W: Any, U: Any, b: Any = None) -> list[Factor]:
    h0, c = (_vector(name, part) for name, part in zip(("h0", "c0"), state, strict=True))
    hs, _ = lstm(xs, (h0, c), W=W, U=U, b=b)
    h = np.concatenate([h0[None], hs[:-1]])
    a = np.asarray(xs) @ U + (0 if b is None else b) + h @ W
    n = h0.size
    Wi, Wf, Wg, Wo = (np.asarray(W)[:, k * n : (k + 1) * n].T for k in range(4))
    found: list[Factor] = []
    for row in a:
        i, f, o = (sigmoid(row[k * n : (k + 1) * n]) for k in (0, 1, 3))
        g = np.tanh(row[2 * n : 3 * n])
        new = f * c + i * g
        across = (c * f * (1 - f))[:, None] * Wf
        across += (g * i * (1 - i))[:, None] * Wi
        across += (i * (1 - g * g))[:, None] * Wg
        t = np.tanh(new)
        slope = o * (1 - t * t)
        whole = np.zeros((2 * n, 2 * n), row.dtype)
        whole[:n, :n] = (t * o * (1 - o))[:, None] * Wo + slope[:, None] * across
        whole[n:, :n] = across
        whole[:n, n:][np.diag_indices(n)] = slope * f
        whole[n:, n:][np.diag_indices(n)] = f
        found.append(Dense(whole))
        c = new
    return found
