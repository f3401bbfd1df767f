"""The Jacobians of the built-in cells along a trajectory, in closed form.

A link belongs to a step: the derivative of the state behind it by the state before. With a batch a
link is block-diagonal, a block for each member; a member's state is h, for lstm h and c, one behind
the other. All links share the weights. A step that the mask leaves out is the identity.

The values come from the compiled forward pass, which keeps the gates of every step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp._core import recurrent as core
from fastbp._core.graph import Variable
from fastbp.chain import (
    BlockDiagonal,
    Dense,
    Diagonal,
    Factor,
    Identity,
    JacobianChain,
    RowScaled,
    Sum,
    as_factor,
)
from fastbp.chain.runs import ScaledRun
from fastbp.errors import NoRuleError, ShapeError
from fastbp.recurrent.checks import ORDER, check_activation, check_mask, converted

__all__ = ["cell_chain"]

NAME = "trajectory_jacobians"
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
TAKEN = {"rnn": {"W", "U", "b", "activation"}, "gru": {"W", "U", "b", "c"}, "lstm": {"W", "U", "b"}}


def cell_chain(cell: str, state: Any, xs: Any, given: dict[str, Any]) -> JacobianChain:
    """Return the chain of a cell; see `fastbp.recurrent.trajectory_jacobians`."""
    run = _Run(cell, *_arguments(cell, state, xs, given))
    if cell == "rnn" and run.mask is None and run.activation != "identity" and run.hs.size:
        return JacobianChain._of(None, ScaledRun(run.slopes(), run.p["W"].T))
    return JacobianChain._of(run.links())


def _arguments(cell: str, state: Any, xs: Any, given: dict[str, Any]) -> Any:
    """Return the operands as given, those of one dtype and shapes that fit, and the options."""
    operands, options = {"xs": xs, "h0": state}, {}
    if cell == "lstm":
        try:
            operands["h0"], operands["c0"] = state
        except (TypeError, ValueError):
            raise ShapeError(
                f"{NAME}: the state of lstm is (h0, c0), not a {type(state).__name__}"
            ) from None
    for name, value in given.items():
        if name in ("truncate", "checkpoint"):
            if value is not None:
                raise ValueError(
                    f"{NAME}: {name}={value!r} is an option of gradients, not of Jacobians"
                )
        elif name in ("mask", "reverse", "activation") and (cell == "rnn" or name[0] != "a"):
            options[name] = value
        elif name in TAKEN[cell]:
            operands[name] = value
        else:
            raise TypeError(f"{NAME}: {cell} has no argument {name!r}")
    for x in operands.values():
        if type(x) is Variable:
            raise NoRuleError(f"{NAME}: the factors are arrays, they cannot depend on Variables")
    ordered = tuple([operands.get(name) for name in ORDER])
    fitting = core.fit(GATES[cell], ordered) or converted(cell, GATES[cell], ordered)
    return ordered, fitting, options


class _Run:
    """A trajectory in the order of its steps, and the links along it."""

    def __init__(
        self,
        cell: str,
        given: tuple[Any, ...],
        operands: tuple[np.ndarray, ...],
        options: dict[str, Any],
    ) -> None:
        self.cell, self.reverse = cell, bool(options.get("reverse", False))
        self.activation = check_activation(options.get("activation", "tanh"))
        names = [name for name, x in zip(ORDER, given, strict=True) if x is not None]
        self.p = p = dict(zip(names, operands, strict=True))
        steps, mask = p["xs"].shape[0], options.get("mask")
        if not steps:
            raise ShapeError(f"{NAME}: there are no steps")
        if p["h0"].ndim == 2 and not len(p["h0"]):
            raise ShapeError(f"{NAME}: h0 has shape {p['h0'].shape}, a batch without members")
        self.mask = None if mask is None else check_mask(cell, mask, p["xs"].shape)
        layer = core.Layer(cell, given, self.activation, self.reverse, self.mask, 0, None)
        value, saved = core.run(*operands, layer=layer)
        self.saved: Any = saved  # of rnn there are no gates
        self.hs = value[0] if cell == "lstm" else value
        self.batch = self.hs.shape[1] if self.hs.ndim == 3 else 1

    def last_first(self, x: np.ndarray) -> np.ndarray:
        """Return a sequence in the order of the chain."""
        return x if self.reverse else x[::-1]

    def slopes(self) -> np.ndarray:
        """Return the derivatives of the activation of `rnn`, in the order of the chain."""
        hs = self.last_first(self.hs)
        if self.activation == "relu":
            return np.asarray(hs > 0, hs.dtype, order="C")
        out: np.ndarray = np.multiply(hs, hs, order="C")
        np.subtract(1.0, out, out=out)
        return out

    def links(self) -> tuple[Factor, ...]:
        """Return the links, the last step first."""
        pieces: Callable[[], Any] = getattr(self, f"{self.cell}_pieces")
        single, n = self.hs.ndim == 2, self.p["W"].shape[0]
        identity = Identity(n * (2 if self.cell == "lstm" else 1), 1.0, self.hs.dtype)
        mask = None if self.mask is None else self.last_first(self.mask)
        found: list[Factor] = []
        for t, members in enumerate(pieces()):
            if mask is not None:
                keep = np.atleast_1d(mask[t])
                members = [x if k else identity for x, k in zip(members, keep, strict=True)]
            found.append(as_factor(members[0]) if single else BlockDiagonal(members))
        return tuple(found)

    def members(self, x: np.ndarray) -> np.ndarray:
        """Return a sequence of rows as (T, B, n), the last step first; B is 1 without a batch."""
        return self.last_first(x.reshape(len(self.hs), self.batch, x.shape[-1]))

    def before(self, first: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return the states before the steps, from the first one and those behind."""
        return np.concatenate([x[1:], first.reshape(1, *x.shape[1:])])

    # ---- for each step the links of its members

    def rnn_pieces(self) -> list[list[Factor]]:
        """``h' = f(h @ W + ...)``: ``diag(f') @ W.T``."""
        W = Dense(self.p["W"].T)
        if self.activation == "identity":
            return [[W] * self.batch] * len(self.hs)
        slopes = self.slopes().reshape(len(self.hs), self.batch, -1)
        return [[RowScaled(d, W) for d in step] for step in slopes]

    def gru_pieces(self) -> list[list[Factor]]:
        """``h' = (1 - z) new + z h``, with r, z and ``new = tanh(... + r (h @ W_n + c))``."""
        r, z, new, inner = np.split(self.members(self.saved), 4, axis=-1)
        h = self.before(self.p["h0"], self.members(self.hs))
        Wr, Wz, Wn = (Dense(part.T) for part in np.split(self.p["W"], 3, axis=1))
        outer = (1 - z) * (1 - new * new)
        scales = z, (h - new) * z * (1 - z), outer * r, outer * inner * r * (1 - r)
        return [
            [
                Sum(Diagonal(k), RowScaled(d, Wz), RowScaled(e, Wn), RowScaled(f, Wr))
                for k, d, e, f in zip(*step, strict=True)
            ]
            for step in zip(*scales, strict=True)
        ]

    def lstm_pieces(self) -> np.ndarray:
        """``c' = f c + i g`` and ``h' = o tanh(c')``, the state being h and c."""
        i, f, g, o, c_new, t = np.split(self.members(self.saved), 6, axis=-1)
        c = self.before(self.p["c0"], c_new)
        slope = o * (1 - t * t)
        across = np.concatenate([g * i * (1 - i), c * f * (1 - f), i * (1 - g * g)], axis=-1)
        n = c.shape[-1]
        outs, slopes = (x.reshape(len(c) * self.batch, n, 1) for x in (t * o * (1 - o), slope))
        Wt = np.ascontiguousarray(self.p["W"].T).reshape(4, n, n)
        steps, batch = c.shape[:2]
        whole = np.zeros((steps, batch, 2 * n, 2 * n), c.dtype)
        scales = across.reshape(steps * batch, 3, n, 1)
        for row, block in enumerate(whole.reshape(len(scales), 2 * n, 2 * n)):
            _weighted(block, Wt, scales[row], outs[row], slopes[row])
        diagonal = np.arange(n)
        whole[:, :, diagonal, n + diagonal] = slope * f
        whole[:, :, n + diagonal, n + diagonal] = f
        return whole


def _weighted(block: np.ndarray, Wt: np.ndarray, scales: Any, out: Any, slope: Any) -> None:
    """Fill in what the weights contribute to the columns of h in a link of lstm."""
    n = Wt.shape[-1]
    cell, h = block[n:, :n], block[:n, :n]
    np.multiply(scales[0], Wt[0], out=cell)
    cell += scales[1] * Wt[1]
    cell += scales[2] * Wt[2]
    np.multiply(slope, cell, out=h)
    h += out * Wt[3]
