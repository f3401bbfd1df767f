"""The cells as single operations: fused loops for values and VJPs, plain loops for the rest."""

from __future__ import annotations

from itertools import repeat
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


def _run_in_pieces(*operands: Any, layer: Layer) -> tuple[Any, Any]:
    """Compute what `core.run` does; residuals are snapshots of the state in place of the gates."""
    p = layer.by_place(operands)
    state, steps = (p[H0], p[C0]), len(p[XS])
    hs = empty((steps, *p[H0].shape), p[H0].dtype)
    starts, snapshots = layer.schedule.starts, []
    for low, high in zip(starts, [*starts[1:], steps], strict=True):
        snapshots.append((low, *state))
        state = _advance(layer, p, low, high, state, hs)
    return (hs, state[1]) if layer.cell == "lstm" else hs, snapshots


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


def _pull_in_pieces(pull: core.Pull, snapshots: Any) -> None:
    """Go back leaf by leaf, each computed again from the last snapshot before it."""
    layer, p = pull.layer, pull.p
    stack = list(snapshots)
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


def _again(layer: Layer, operands: Any) -> tuple[list[Variable], Any]:
    """Run the plain loop on fresh Variables; return these and the outputs."""
    fresh = [graph.variable(x) for x in operands]
    p = {ORDER[k]: graph.handle(x) for k, x in zip(layer.places, fresh, strict=True)}
    options: Any = {"reverse": layer.reverse, "mask": layer.mask, "truncate": layer.truncate}
    outs = loops.run(layer.cell, p, activation=layer.activation, **options)
    return fresh, outs if layer.cell == "lstm" else (outs,)


def _pulled(gs, needs, answers, operands, layer, residuals):
    hs = answers[0]
    g = np.zeros(hs.shape, hs.dtype) if gs[0] is None else gs[0]
    pull = core.Pull(layer, g, gs[1] if layer.cell == "lstm" else None, needs, operands)
    if layer.schedule is None:
        pull.whole(hs, residuals)
    else:
        _pull_in_pieces(pull, residuals)
    return pull.cotangents()


def _vjp(g, needs, ans, *operands, layer, residuals):
    gs, answers = (g, ans) if layer.cell == "lstm" else ((g,), (ans,))
    lead = next(x.ndim - y.ndim for x, y in zip(gs, answers, strict=True) if x is not None)
    if core.any_variable((*gs, *operands)):
        inputs, outs = _again(layer, operands)
        there = [k for k, x in enumerate(gs) if x is not None]
        tape = Tape([outs[k] for k in there], inputs, True)
        return sweep.reverse(tape, [gs[k] for k in there], True, lead, inner=True)
    if not lead:
        return _pulled(gs, needs, answers, operands, layer, residuals)
    each = [
        _pulled(row, needs, answers, operands, layer, residuals)
        for row in zip(*[repeat(None) if x is None else x for x in gs], strict=False)
    ]
    if not each:
        return [
            np.zeros((0, *x.shape), x.dtype) if needed else None
            for x, needed in zip(operands, needs, strict=True)
        ]
    return [np.stack(bars) if bars[0] is not None else None for bars in zip(*each, strict=True)]


def _jvp(tangents, ans, *operands, layer, residuals):
    recorded = core.any_variable((*tangents, *operands))
    inputs, outs = _again(layer, operands)
    lead = next(t.ndim - x.ndim for t, x in zip(tangents, inputs, strict=True) if t is not None)
    found = sweep.forward(
        Tape(list(outs), inputs, True), list(tangents), recorded, lead, inner=True
    )
    if layer.cell == "lstm":
        return found
    return np.zeros((*[1] * lead, *ans.shape), ans.dtype) if found[0] is None else found[0]


def _op(name: str, forward: Any, reads_states: bool) -> Any:
    outputs = 2 if name.startswith("lstm") else 1
    states = (("ans", 0) if outputs == 2 else "ans",) if reads_states else ()
    return general(
        f"recurrent.{name}",
        forward,
        nin=-1,
        nout=outputs,
        residuals=True,
        vjp=_vjp,
        jvp=_jvp,
        saves=(*range(7), *states),
        pattern=causes,
    )


_CELLS = ("rnn", "lstm", "gru")
OPS = {cell: _op(cell, core.run, True) for cell in _CELLS}
CHECKPOINTED = {cell: _op(f"{cell}_checkpointed", _run_in_pieces, False) for cell in _CELLS}


def apply(layer: Layer, operands: Any) -> Any:
    """Run a layer, recorded if an operand is a Variable."""
    ops = OPS if layer.schedule is None else CHECKPOINTED
    return ops[layer.cell](*operands, layer=layer)
