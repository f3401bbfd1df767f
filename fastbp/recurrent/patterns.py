"""Which elements of its operands the states of a cell depend on; see `fastbp.rules.patterns`."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.recurrent.checks import ORDER
from fastbp.rules.patterns import together

__all__ = ["causes"]


def causes(p: Any, ids: Any, link: Any) -> np.ndarray:
    """Of the inputs up to each step, of the same member of the batch: the cell, run on sets.

    The second output, of lstm, is the last cell state.

    A step mixes all units, whatever zeros W and U have, but a column of a weight or bias meets one
    unit at first. As in the derivative, a masked step keeps the state, and a truncated one has
    forgotten where it came from.
    """
    layer = link.static["layer"]
    shapes = zip((ORDER[k] for k in layer.places), link.operands, strict=True)
    shape = {k: x.shape for k, x in shapes}["xs"]
    given = dict(zip((ORDER[k] for k in layer.places), ids, strict=True))
    steps, n, batch = shape[0], link.shape[-1], shape[1] if len(shape) == 3 else 1
    none = np.zeros((batch, n), np.int32)
    weights = [x for k, x in given.items() if x is not None and k not in ("xs", "h0", "c0")]
    columns = [_by_unit(p, x.reshape(-1, n)) for x in weights]
    if layer.cell == "lstm":  # c does not read the last gate, o
        inner = [_by_unit(p, x.reshape(-1, 4, n)[:, :3]) for x in weights]
    h, c = (none if x is None else x.reshape(none.shape) for x in map(given.get, ("h0", "c0")))
    xs = given.get("xs")
    inputs = None if xs is None else p.sets.rows(xs.reshape(steps, batch, -1))[..., None]
    out = np.empty((steps, batch, n), np.int32)
    for i in range(steps):
        t = steps - 1 - i if layer.reverse else i
        if layer.truncate and i and i % layer.truncate == 0:
            h = c = none
        now = None if inputs is None else inputs[t]
        there = True if layer.mask is None else layer.mask[t].reshape(batch, 1)
        new = together(p, none, p.sets.rows(h)[:, None], now)
        if layer.cell == "lstm":
            new = together(p, new, c, *inner)
            c = np.where(there, new, c)
        h = np.where(there, together(p, new, *columns), h)
        out[t] = h
    return (c if link.output == 1 else out).reshape(link.shape)


def _by_unit(p: Any, x: Any) -> Any:
    """Return for each unit, the last axis, the union of its columns of a weight."""
    n = x.shape[-1]
    return p.sets.rows(np.ascontiguousarray(x.reshape(x.size // n, n).T))
