"""The cells as single operations: fused loops for values and VJPs, plain loops for the rest."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp._core import graph, sweep
from fastbp._core import recurrent as core
from fastbp._core.buffers import empty
from fastbp._core.graph import Variable
from fastbp._core.recurrent import Layer
from fastbp._core.tape import Tape
from fastbp.recurrent import loops
from fastbp.recurrent.checks import ORDER
from fastbp.recurrent.patterns import causes
from fastbp.rules.table import general

__all__ = ["apply"]

XS, H0, C0 = (ORDER.index(name) for name in ("xs", "h0", "c0"))


# ---- checkpoints: segments that are run again


def _run_in_pieces(*operands: Any, layer: Layer) -> np.ndarray:
    """Compute what `core.run` does, keeping snapshots of the state in place of the gates."""
    p = layer.by_place(operands)
    state, steps = (p[H0], p[C0]), len(p[XS])
    out = empty((steps + (layer.cell == "lstm"), *p[H0].shape), p[H0].dtype)
    starts, snapshots = layer.schedule.starts, []
    for low, high in zip(starts, [*starts[1:], steps], strict=True):
        snapshots.append((low, *state))
        state = _advance(layer, p, low, high, state, out[:steps])
    layer.kept = (operands, snapshots)
    if layer.cell == "lstm":
        out[steps] = state[1]
    return out


def _advance(layer: Layer, p: Any, low: int, high: int, state: Any, hs: Any = None) -> Any:
    """Run from the state before step `low` to that before step `high`."""
    h, c = state
    shape = h.shape
    while low < high:
        end = min(low + layer.schedule.leaf, high)
        if hs is None:
            part = empty((end - low, *shape), h.dtype)
        else:
            part = hs[len(hs) - end : len(hs) - low] if layer.reverse else hs[low:end]
        saved = core.forward(layer, p, low, end, h, c, part)
        if saved is not None and layer.cell == "lstm":
            c = core.last_cell(layer, saved, h)
        h = part[0 if layer.reverse else -1].copy()
        low = end
    return h, c


def _pull_in_pieces(pull: core.Pull, operands: Any) -> None:
    """Go back leaf by leaf, each computed again from the last snapshot before it."""
    layer, p = pull.layer, pull.p
    kept = layer.kept
    if kept is None or any(a is not b for a, b in zip(kept[0], operands, strict=True)):
        stack = [(0, p[H0], p[C0])]  # a record replayed at another point
    else:
        stack = list(kept[1])
    high, leaf = len(p[XS]), layer.schedule.leaf
    while high > 0:
        low, h, c = stack[-1]
        if high - low > leaf:
            middle = layer.schedule.split(low, high, len(stack))
            stack.append((middle, *_advance(layer, p, low, middle, (h, c))))
            continue
        hs = empty((high - low, *h.shape), h.dtype)
        pull(low, high, h, c, hs, core.forward(layer, p, low, high, h, c, hs))
        stack.pop()
        high = low


# ---- the operations


def _again(layer: Layer, operands: Any) -> Any:
    """Run the plain loop on fresh Variables; return these and the result."""
    fresh = [graph.variable(x) for x in operands]
    p = {ORDER[k]: graph.handle(x) for k, x in zip(layer.places, fresh, strict=True)}
    options: Any = {"reverse": layer.reverse, "mask": layer.mask, "truncate": layer.truncate}
    return fresh, loops.run(layer.cell, p, activation=layer.activation, **options)


def _pulled(g, needs, ans, operands, layer):
    pull = core.Pull(layer, g, needs, operands)
    if layer.schedule is None:
        pull.whole(ans)
    else:
        _pull_in_pieces(pull, operands)
    return pull.cotangents()


def _vjp(g, needs, ans, *operands, layer):
    if core.any_variable(g, operands):
        inputs, out = _again(layer, operands)
        return sweep.reverse(Tape([out], inputs, True), [g], True, g.ndim - ans.ndim, inner=True)
    if g.ndim == ans.ndim:
        return _pulled(g, needs, ans, operands, layer)
    each = [_pulled(row, needs, ans, operands, layer) for row in g]
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
    tape = Tape([out], inputs, True)
    (t,) = sweep.forward(tape, list(tangents), recorded, lead, inner=True)
    return np.zeros((*[1] * lead, *out.shape), out.dtype) if t is None else t


def _op(name: str, forward: Any, saves: tuple) -> Any:
    return general(
        f"recurrent.{name}",
        forward,
        nin=-1,
        vjp=_vjp,
        jvp=_jvp,
        saves=saves,
        pattern=causes,
    )


_OPERANDS = tuple(range(7))
_CELLS = ("rnn", "lstm", "gru")
OPS = {cell: _op(cell, core.run, (*_OPERANDS, "ans")) for cell in _CELLS}
CHECKPOINTED = {cell: _op(f"{cell}_checkpointed", _run_in_pieces, _OPERANDS) for cell in _CELLS}


def apply(layer: Layer, operands: Any) -> Any:
    """Run a layer, recorded if an operand is a Variable."""
    ops = OPS if layer.schedule is None else CHECKPOINTED
    return ops[layer.cell](*operands, layer=layer)
