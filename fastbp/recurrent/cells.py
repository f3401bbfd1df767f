"""`rnn`, `lstm` and `gru`: whole sequences in one call."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp._core import recurrent as core
from fastbp.errors import ShapeError
from fastbp.recurrent.checkpoints import Schedule
from fastbp.recurrent.checks import (
    check_activation,
    check_count,
    check_mask,
    converted,
)
from fastbp.recurrent.fused import apply
from fastbp.rules.table import implements

__all__ = ["gru", "lstm", "rnn"]


def _run(
    cell: str,
    gates: int,
    given: tuple[Any, ...],
    reverse: bool,
    mask: Any,
    truncate: Any,
    checkpoint: Any,
    activation: str = "tanh",
) -> Any:
    """Return the states and the last state of a cell."""
    operands = core.fit(gates, given)
    if operands is None:
        operands = converted(cell, gates, given)
    xs_shape = operands[0].shape
    steps = xs_shape[0]
    if mask is not None:
        mask = check_mask(cell, mask, xs_shape)
    truncate = 0 if truncate is None else check_count(cell, "truncate", truncate)
    if checkpoint is not None:
        checkpoint = check_count(cell, "checkpoint", checkpoint, "binomial")
    if not steps:
        hs = np.zeros((0, *operands[1].shape), operands[1].dtype)
        return hs, operands[1:3] if cell == "lstm" else operands[1]
    schedule = None if checkpoint is None else Schedule(steps, checkpoint)
    layer = core.Layer(cell, given, activation, bool(reverse), mask, truncate, schedule)
    made = apply(layer, operands)
    hs, c_last = made if cell == "lstm" else (made, None)
    h_last = hs[0 if reverse else steps - 1]
    if schedule is not None:
        h_last = np.positive(h_last)  # it must not keep the others alive
    return hs, (h_last, c_last) if cell == "lstm" else h_last


def _sampled(gates: int) -> Any:
    """Return a function that samples calls of a cell."""

    def samples(rng: Any) -> Any:
        def call(shape: tuple[int, ...], **settings: Any) -> Any:
            # Small: a saturated gate is 1 - z * z of a z that is nearly 1.
            state = 0.3 * rng.normal(size=(*shape, 2))
            args = (
                0.3 * rng.normal(size=(3, *shape, 1)),
                (state, 0.5 * state) if gates == 4 else state,
            )
            sizes = {"W": (2, 2 * gates), "U": (1, 2 * gates), "b": (2 * gates,)}
            sizes |= {"c": (2,)} if gates == 3 else {}
            return args, {k: 0.3 * rng.normal(size=size) for k, size in sizes.items()} | settings

        return [
            call(()),
            call((2,), reverse=True, mask=[True, False, True]),
            call((2,), checkpoint=1),
        ]

    return samples


@implements(samples=_sampled(1), name="recurrent.rnn")
def rnn(
    xs: Any,
    h0: Any,
    *,
    W: Any,
    U: Any,
    b: Any = None,
    activation: str = "tanh",
    reverse: bool = False,
    mask: Any = None,
    truncate: int | None = None,
    checkpoint: int | str | None = None,
) -> Any:
    """Run ``h_t = activation(h_{t-1} @ W + x_t @ U + b)`` over a sequence.

    Parameters
    ----------
    xs : Variable or array_like, shape (T, m) or (T, B, m)
        The inputs, with or without a batch.
    h0 : Variable or array_like, shape (n,) or (B, n)
        The initial state.
    W : Variable or array_like, shape (n, n)
    U : Variable or array_like, shape (m, n)
    b : Variable or array_like, shape (n,), optional
    activation : {"tanh", "relu", "identity"}
        The derivative of "relu" is 0 at 0.
    reverse : bool
        Run from the last element to the first; ``hs[t]`` still belongs to ``xs[t]``.
    mask : array_like of bool, shape (T,) or (T, B), optional
        Where it is False, the state stays as it is: sequences of different lengths.
    truncate : int, optional
        Truncated backpropagation through time: no cotangent (or tangent) of the state passes from
        step s to step s - 1 where s > 0 is a multiple of `truncate`. Steps are counted as they
        run. The values stay the same.
    checkpoint : int or "binomial", optional
        Keep the gates of no step, and a state of every `checkpoint` steps, or of log2(T) steps, and
        compute the others again: the same gradient from less memory, O(T/k + k) or O(log T) states
        beside `hs` itself, which is freed too if the caller drops it.

    Returns
    -------
    hs : Variable or ndarray, shape (T, n) or (T, B, n)
        All states. float32 if all operands are, else float64.
    h_last : Variable or ndarray, shape (n,) or (B, n)
        The last state: `h0` if T is 0.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If the operands are not real numbers, or the mask is not of bool.
    ValueError
        If an option is not one of those above.

    Notes
    -----
    One matrix product projects all inputs; a step is one product and one pass over the gates.
    Backward: with ``g_t = activation' * (h_bar_t + g_{t+1} @ W.T)`` the cotangents are
    ``W_bar = sum h_{t-1}.T @ g_t``, ``U_bar = sum x_t.T @ g_t``, ``x_bar_t = g_t @ U.T`` and
    ``b_bar = sum g_t``, each one product over all steps. JVPs and higher derivatives go through the
    loop of recorded operations.

    References
    ----------
    .. [1] P. J. Werbos, "Backpropagation through time: what it does and how to do it", 1990.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> xs, W, U = np.ones((3, 1)), np.full((1, 1), 0.5), np.ones((1, 1))
    >>> hs, h_last = bp.recurrent.rnn(xs, np.zeros(1), W=W, U=U, activation="identity")
    >>> hs.ravel()
    array([1.  , 1.5 , 1.75])
    >>> def last(W):
    ...     return bp.recurrent.rnn(xs, np.zeros(1), W=W, U=U, activation="identity")[1][0]
    >>> bp.grad(last)(W)
    array([[2.]])
    """
    activation = check_activation(activation)
    return _run(
        "rnn", 1, (xs, h0, None, W, U, b, None), reverse, mask, truncate, checkpoint, activation
    )


@implements(samples=_sampled(4), name="recurrent.lstm")
def lstm(
    xs: Any,
    state: Any,
    *,
    W: Any,
    U: Any,
    b: Any = None,
    reverse: bool = False,
    mask: Any = None,
    truncate: int | None = None,
    checkpoint: int | str | None = None,
) -> Any:
    """Run a long short-term memory over a sequence.

    With ``a = h_{t-1} @ W + x_t @ U + b``, whose columns are those of the gates i, f, g, o:
    ``c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)`` and ``h_t = sigmoid(o) * tanh(c_t)``.

    Parameters
    ----------
    xs : Variable or array_like, shape (T, m) or (T, B, m)
        The inputs, with or without a batch.
    state : tuple of two Variables or array_like, shape (n,) or (B, n)
        The initial state ``(h0, c0)``.
    W : Variable or array_like, shape (n, 4 * n)
    U : Variable or array_like, shape (m, 4 * n)
    b : Variable or array_like, shape (4 * n,), optional
    reverse : bool
        Run from the last element to the first; ``hs[t]`` still belongs to ``xs[t]``.
    mask : array_like of bool, shape (T,) or (T, B), optional
        Where it is False, the state stays as it is: sequences of different lengths.
    truncate : int, optional
        Truncated backpropagation through time: no cotangent (or tangent) of the state passes from
        step s to step s - 1 where s > 0 is a multiple of `truncate`. Steps are counted as they
        run. The values stay the same.
    checkpoint : int or "binomial", optional
        Keep the gates of no step, and a state of every `checkpoint` steps, or of log2(T) steps, and
        compute the others again: the same gradient from less memory, O(T/k + k) or O(log T) states
        beside `hs` itself, which is freed too if the caller drops it.

    Returns
    -------
    hs : Variable or ndarray, shape (T, n) or (T, B, n)
        All states h. float32 if all operands are, else float64.
    last : tuple of two Variables or ndarrays
        ``(h_last, c_last)``: the initial ones if T is 0.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If the operands are not real numbers, or the mask is not of bool.
    ValueError
        If an option is not one of those above.

    Notes
    -----
    Products and passes as for `rnn`. Saves the four gates, c and tanh(c) of every step, unless
    there are checkpoints.

    References
    ----------
    .. [1] F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to forget: continual prediction with
       LSTM", 2000.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> xs, zero = np.ones((2, 1)), np.zeros(1)
    >>> W, U = np.zeros((1, 4)), np.ones((1, 4))
    >>> hs, (h, c) = bp.recurrent.lstm(xs, (zero, zero), W=W, U=U)
    >>> hs.round(4).ravel(), c.round(4)
    (array([0.3696, 0.5453]), array([0.9638]))
    """
    try:
        h0, c0 = state
    except (TypeError, ValueError):
        raise ShapeError(
            f"lstm: the state must be (h0, c0), not a {type(state).__name__}"
        ) from None
    return _run("lstm", 4, (xs, h0, c0, W, U, b, None), reverse, mask, truncate, checkpoint)


@implements(samples=_sampled(3), name="recurrent.gru")
def gru(
    xs: Any,
    h0: Any,
    *,
    W: Any,
    U: Any,
    b: Any = None,
    c: Any = None,
    reverse: bool = False,
    mask: Any = None,
    truncate: int | None = None,
    checkpoint: int | str | None = None,
) -> Any:
    """Run a gated recurrent unit over a sequence.

    With the columns of W, U and b those of r, z, n: ``r = sigmoid(h W_r + x U_r + b_r)``,
    ``z = sigmoid(h W_z + x U_z + b_z)``, ``n = tanh(x U_n + b_n + r * (h W_n + c))`` and
    ``h_t = (1 - z) * n + z * h``, where h is the state before.

    Parameters
    ----------
    xs : Variable or array_like, shape (T, m) or (T, B, m)
        The inputs, with or without a batch.
    h0 : Variable or array_like, shape (n,) or (B, n)
        The initial state.
    W : Variable or array_like, shape (n, 3 * n)
    U : Variable or array_like, shape (m, 3 * n)
    b : Variable or array_like, shape (3 * n,), optional
    c : Variable or array_like, shape (n,), optional
        The bias that r multiplies.
    reverse : bool
        Run from the last element to the first; ``hs[t]`` still belongs to ``xs[t]``.
    mask : array_like of bool, shape (T,) or (T, B), optional
        Where it is False, the state stays as it is: sequences of different lengths.
    truncate : int, optional
        Truncated backpropagation through time: no cotangent (or tangent) of the state passes from
        step s to step s - 1 where s > 0 is a multiple of `truncate`. Steps are counted as they
        run. The values stay the same.
    checkpoint : int or "binomial", optional
        Keep the gates of no step, and a state of every `checkpoint` steps, or of log2(T) steps, and
        compute the others again: the same gradient from less memory, O(T/k + k) or O(log T) states
        beside `hs` itself, which is freed too if the caller drops it.

    Returns
    -------
    hs : Variable or ndarray, shape (T, n) or (T, B, n)
        All states. float32 if all operands are, else float64.
    h_last : Variable or ndarray, shape (n,) or (B, n)
        The last state: `h0` if T is 0.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If the operands are not real numbers, or the mask is not of bool.
    ValueError
        If an option is not one of those above.

    Notes
    -----
    Products and passes as for `rnn`. Saves r, z, n and ``h W_n + c`` of every step, unless there
    are checkpoints. In this form, with r behind the product, one product serves all gates.

    References
    ----------
    .. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
       machine translation", 2014; version 1 of the paper has r behind the product.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> xs, W, U = np.ones((2, 1)), np.zeros((1, 3)), np.ones((1, 3))
    >>> hs, h_last = bp.recurrent.gru(xs, np.zeros(1), W=W, U=U)
    >>> hs.round(4).ravel()
    array([0.2048, 0.3546])
    """
    return _run("gru", 3, (xs, h0, None, W, U, b, c), reverse, mask, truncate, checkpoint)
