"""The cells as plain loops of recorded operations: their definition.

JVPs and higher derivatives of the fused cells run these; so do the tests that compare with them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.rules.special.activations import relu, sigmoid
from fastbp.transforms import stop_gradient

__all__ = ["run"]

ACTIVATIONS = {"tanh": np.tanh, "relu": relu, "identity": lambda x: x}


def _rnn(x: Any, state: Any, p: dict[str, Any], activation: str) -> Any:
    a = state[0] @ p["W"] + x
    return (ACTIVATIONS[activation](a),)


def _lstm(x: Any, state: Any, p: dict[str, Any], activation: str) -> Any:
    h, c = state
    n = h.shape[-1]
    a = h @ p["W"] + x
    i, f, g, o = (a[..., k * n : (k + 1) * n] for k in range(4))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def _gru(x: Any, state: Any, p: dict[str, Any], activation: str) -> Any:
    (h,) = state
    n = h.shape[-1]
    a = h @ p["W"]
    inner = a[..., 2 * n :]
    if p.get("c") is not None:
        inner = inner + p["c"]
    r = sigmoid(x[..., :n] + a[..., :n])
    z = sigmoid(x[..., n : 2 * n] + a[..., n : 2 * n])
    new = np.tanh(x[..., 2 * n :] + r * inner)
    return ((1 - z) * new + z * h,)


STEPS = {"rnn": _rnn, "lstm": _lstm, "gru": _gru}


def run(
    cell: str,
    p: dict[str, Any],
    *,
    activation: str = "tanh",
    reverse: bool = False,
    mask: np.ndarray | None = None,
    truncate: int = 0,
) -> Any:
    """Run a cell over a sequence, one recorded step after the other.

    Parameters
    ----------
    cell : {"rnn", "lstm", "gru"}
    p : dict
        The operands by name: xs, h0, c0, W, U, b, c; Variables or arrays, biases may be missing.
    activation, reverse, mask, truncate
        As for the public cells; 0 truncates nowhere.

    Returns
    -------
    Variable or ndarray, shape (T, ..., n)
        The states; for lstm a tuple of them and the last cell state.
    """
    projected = p["xs"] @ p["U"]
    if p.get("b") is not None:
        projected = projected + p["b"]
    steps = len(projected)
    state: Any = (p["h0"], p["c0"]) if cell == "lstm" else (p["h0"],)
    hs: list[Any] = [None] * steps
    for i in range(steps):
        t = steps - 1 - i if reverse else i
        if truncate and i and i % truncate == 0:
            state = tuple(map(stop_gradient, state))
        new = STEPS[cell](projected[t], state, p, activation)
        if mask is not None:
            here = mask[t][..., None]
            new = tuple(np.where(here, a, b) for a, b in zip(new, state, strict=True))
        state = new
        hs[t] = state[0]
    return (np.stack(hs), state[1]) if cell == "lstm" else np.stack(hs)
