"""The cells as single operations: fused loops for values and VJPs, plain loops for the rest."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp._core import graph, sweep
from fastbp._core import recurrent as core
from fastbp._core.buffers import empty
from fastbp._core.graph import Op, Variable
from fastbp.recurrent import loops
from fastbp.recurrent.checkpoints import Schedule

__all__ = ["Layer", "apply"]


class Layer:
    """One call of a cell: its options, and what its backward pass reads beside the operands."""

    __slots__ = ("activation", "cell", "kept", "mask", "names", "reverse", "schedule", "truncate")

    def __init__(
        self,
        cell: str,
        names: tuple[str, ...],
        activation: str,
        reverse: bool,
        mask: np.ndarray | None,
        truncate: int,
        schedule: Schedule | None,
    ) -> None:
        self.cell, self.names, self.activation = cell, names, activation
        self.reverse, self.mask, self.truncate, self.schedule = reverse, mask, truncate, schedule
        self.kept: Any = None  # (states, gates), or (operands, snapshots); replaced as a whole

    def plain(self, operands: Any) -> dict[str, np.ndarray]:
        """Return the operands by name, in C order."""
        return dict(zip(self.names, map(core.in_order, operands), strict=True))

    # ---- forward

    def forward(self, *operands: Any) -> np.ndarray:
        """Compute the states, and for lstm the last cell state behind them."""
        p = self.plain(operands)
        h, steps, is_lstm = p["h0"], len(p["xs"]), self.cell == "lstm"
        out = empty((steps + is_lstm, *h.shape), h.dtype)
        hs = out[:steps] if is_lstm else out
        if self.schedule is None:
            saved = self.segment(p, 0, steps, h, p.get("c0"), hs)
            self.kept = (out, saved)
            if is_lstm:
                out[steps] = self.last_cell(saved, h.shape)
        else:
            snapshots, (_, c) = self.keep(p, (h, p.get("c0")), hs)
            self.kept = (operands, snapshots)
            if is_lstm:
                out[steps] = c
        return out

    def rows(self, x: Any, low: int, high: int) -> Any:
        """Return the part of a sequence that belongs to steps low to high."""
        if x is None or high - low == len(x):
            return x
        return x[len(x) - high : len(x) - low] if self.reverse else x[low:high]

    def segment(self, p: Any, low: int, high: int, h: Any, c: Any, hs: Any) -> Any:
        """Run steps low to high from a state; write the states, return the gates."""
        return core.forward(
            self.cell,
            self.activation,
            self.reverse,
            self.rows(p["xs"], low, high),
            h,
            c,
            p["W"],
            p["U"],
            p.get("b"),
            p.get("c"),
            self.rows(self.mask, low, high),
            hs,
        )

    def last_cell(self, saved: Any, shape: tuple[int, ...]) -> Any:
        """Return the cell state behind a segment, from its gates."""
        if self.cell != "lstm":
            return None
        n = shape[-1]
        batch = shape[0] if len(shape) == 2 else 1
        last = saved[:batch] if self.reverse else saved[len(saved) - batch :]
        return np.array(last[:, 4 * n : 5 * n], order="C").reshape(shape)

    def keep(self, p: Any, state: Any, hs: np.ndarray) -> Any:
        """Run the whole sequence piece by piece; return snapshots and the last state."""
        assert self.schedule is not None
        starts, snapshots = self.schedule.starts, []
        for low, high in zip(starts, [*starts[1:], len(hs)], strict=True):
            snapshots.append((low, *state))
            state = self.advance(p, low, high, state, hs)
        return snapshots, state

    def advance(self, p: Any, low: int, high: int, state: Any, hs: Any = None) -> Any:
        """Run from the state before step `low` to that before step `high`."""
        assert self.schedule is not None
        h, c = state
        shape = h.shape
        while low < high:
            end = min(low + self.schedule.leaf, high)
            part = empty((end - low, *shape), h.dtype) if hs is None else self.rows(hs, low, end)
            saved = self.segment(p, low, end, h, c, part)
            h, c = part[0 if self.reverse else -1].copy(), self.last_cell(saved, shape)
            low = end
        return h, c

    # ---- backward

    def backward(self, g: np.ndarray, needs: Any, ans: Any, operands: Any) -> list[Any]:
        """Return the cotangents of the operands that need one."""
        p = self.plain(operands)
        h0, c0, steps = p["h0"], p.get("c0"), len(p["xs"])
        g = core.in_order(g)
        bars: dict[str, Any] = {"h0": np.zeros(h0.shape, g.dtype)}
        if c0 is not None:
            bars["c0"], g = g[steps].copy(), g[:steps]
        core.add_bars(bars, self.names, needs, operands)
        Wt = core.transposed(self.cell, p["W"], h0.size // max(h0.shape[-1], 1))
        pull = _Pull(self, p, g, Wt, bars)
        if self.schedule is not None:
            self.backward_from_snapshots(p, operands, pull)
        elif self.cell == "rnn":
            pull(0, steps, h0, None, ans, None)
        else:
            kept = self.kept
            if kept is None or kept[0] is not ans:  # a record replayed at another point
                kept = ans, self.segment(p, 0, steps, h0, c0, empty(g.shape, g.dtype))
            pull(0, steps, h0, c0, ans[:steps], kept[1])
        if self.cell == "gru" and "W" in bars:  # the core's columns are h_n, r, z
            n = h0.shape[-1]
            bars["W"] = np.concatenate([bars["W"][:, n:], bars["W"][:, :n]], axis=1)
        return [bars[name] if need else None for name, need in zip(self.names, needs, strict=True)]

    def backward_from_snapshots(self, p: Any, operands: Any, pull: Any) -> None:
        """Go back leaf by leaf, each computed again from the last snapshot before it."""
        assert self.schedule is not None
        kept = self.kept
        if kept is None or any(a is not b for a, b in zip(kept[0], operands, strict=True)):
            stack = [(0, p["h0"], p.get("c0"))]
        else:
            stack = list(kept[1])
        high, leaf = len(p["xs"]), self.schedule.leaf
        while high > 0:
            low, h, c = stack[-1]
            if high - low > leaf:
                middle = self.schedule.split(low, high, len(stack))
                stack.append((middle, *self.advance(p, low, middle, (h, c))))
                continue
            hs = empty((high - low, *h.shape), h.dtype)
            pull(low, high, h, c, hs, self.segment(p, low, high, h, c, hs))
            stack.pop()
            high = low


class _Pull:
    """The backward pass of segments, from the last to the first."""

    __slots__ = ("given",)

    def __init__(self, *given: Any) -> None:
        self.given = given  # layer, operands by name, cotangent, transpose of W, results

    def __call__(self, low: int, high: int, h: Any, c: Any, hs: Any, saved: Any) -> None:
        layer, p, g, Wt, bars = self.given
        rows, get = layer.rows, bars.get
        mask = rows(layer.mask, low, high)
        core.backward(
            layer.cell,
            layer.activation,
            layer.reverse,
            low,
            layer.truncate,
            (
                rows(p["xs"], low, high),
                h,
                c,
                p["W"],
                p["U"],
                mask,
                hs,
                saved,
            ),
            rows(g, low, high),
            Wt,
            bars["h0"],
            get("c0"),
            (rows(get("xs"), low, high), get("W"), get("U"), get("b"), get("c")),
        )


# ---- the operations


def _again(layer: Layer, operands: Any) -> Any:
    """Run the plain loop on fresh Variables; return these and the result."""
    fresh = [graph.variable(x) for x in operands]
    p = dict(zip(layer.names, map(graph.handle, fresh), strict=True))
    options: Any = {"reverse": layer.reverse, "mask": layer.mask, "truncate": layer.truncate}
    return fresh, loops.run(layer.cell, p, activation=layer.activation, **options)


def _vjp(g, needs, ans, *operands, layer):
    for x in (g, *operands):
        if type(x) is Variable:
            inputs, out = _again(layer, operands)
            return sweep.reverse([out], [g], inputs, True, g.ndim - ans.ndim, independent=True)
    if g.ndim == ans.ndim:
        return layer.backward(g, needs, ans, operands)
    each = [layer.backward(row, needs, ans, operands) for row in g]
    if not each:
        return [
            np.zeros((0, *x.shape), x.dtype) if needed else None
            for x, needed in zip(operands, needs, strict=True)
        ]
    return [np.stack(bars) if bars[0] is not None else None for bars in zip(*each, strict=True)]


def _jvp(tangents, ans, *operands, layer):
    recorded = any(type(x) is Variable for x in (*tangents, *operands))
    inputs, out = _again(layer, operands)
    lead = next(t.ndim - x.ndim for t, x in zip(tangents, inputs, strict=True) if t is not None)
    (t,) = sweep.forward([out], inputs, list(tangents), recorded, lead, independent=True)
    return np.zeros((*[1] * lead, *out.shape), out.dtype) if t is None else t


def _op(cell: str, saves: tuple) -> Op:
    return Op(
        f"recurrent.{cell}",
        lambda *operands, layer: layer.forward(*operands),
        nin=-1,
        vjp=_vjp,
        jvp=_jvp,
        saves=saves,
        kind="general",
    )


_OPERANDS = tuple(range(7))
OPS = {cell: _op(cell, (*_OPERANDS, "ans")) for cell in ("rnn", "lstm", "gru")}
CHECKPOINTED = {cell: _op(cell, _OPERANDS) for cell in ("rnn", "lstm", "gru")}


def apply(layer: Layer, operands: Any) -> Any:
    """Run a layer, recorded if an operand is a Variable."""
    ops = OPS if layer.schedule is None else CHECKPOINTED
    return ops[layer.cell](*operands, layer=layer)
