"""Joining arrays, taking them apart, and repeating them."""

import numpy as np

from fastbp.rules.indexing import FULL
from fastbp.rules.structural import float_dtype, from_end, lead_of
from fastbp.rules.table import general, implements, refuse


def _parts(g, needs, ans, *operands, axis):
    parts, start = [], 0
    for need, operand in zip(needs, operands, strict=True):
        stop = start + operand.shape[axis]
        parts.append(g[(..., slice(start, stop), *FULL[-1 - axis])] if need else None)
        start = stop
    return tuple(parts)


def _joined_tangents(tangents, ans, *operands, axis):
    lead = next(t.shape[: t.ndim - ans.ndim] for t in tangents if t is not None)
    return np.concatenate([np.zeros(lead + x.shape, x.dtype) if t is None else t
                           for t, x in zip(tangents, operands, strict=True)], axis)


concatenate_op = general(
    "concatenate", lambda *operands, axis: np.concatenate(operands, axis), nin=-1, saves=(),
    vjp=_parts, jvp=_joined_tangents)


def _cast_all(function, arrays, dtype, casting):
    refuse(function, casting=(casting, "same_kind"))
    if dtype is None:
        return list(arrays)
    dtype = float_dtype(dtype, function)
    return [np.astype(np.asarray(x) if not hasattr(x, "value") else x, dtype) for x in arrays]


@implements(np.concatenate, samples=lambda rng: [
    (([rng.normal(size=(2, 3)), rng.normal(size=(1, 3))],), {}),
    (([rng.normal(size=(2, 3)), rng.normal(size=(2, 0)), rng.normal(size=(2, 2))],), {"axis": -1}),
    (([rng.normal(size=(2, 3)), rng.normal(size=())],), {"axis": None}),
])
def concatenate(arrays, /, axis=0, out=None, *, dtype=None, casting="same_kind"):
    """Arguments as in `numpy.concatenate`; out= and casting= are refused."""
    refuse("concatenate", out=(out, None))
    arrays = _cast_all("concatenate", arrays, dtype, casting)
    if axis is None:
        arrays, axis = [np.ravel(x) for x in arrays], 0
    nd = np.ndim(arrays[0]) if not hasattr(arrays[0], "ndim") else arrays[0].ndim
    if nd == 0:
        raise ValueError("zero-dimensional arrays cannot be concatenated")
    return concatenate_op(*arrays, axis=from_end(axis, nd)[0])


@implements(np.stack, samples=lambda rng: [
    (([rng.normal(size=(2, 3)), rng.normal(size=(2, 3))],), {"axis": 1}),
    (([rng.normal(size=()), rng.normal(size=())],), {}),
])
def stack(arrays, axis=0, out=None, *, dtype=None, casting="same_kind"):
    """Arguments as in `numpy.stack`; out= and casting= are refused."""
    return concatenate([np.expand_dims(x, axis) for x in arrays], axis, out, dtype=dtype, casting=casting)
