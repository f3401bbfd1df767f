"""Norms, and the names that `numpy.linalg` has for functions of NumPy itself."""

import numpy as np

from fastbp._core.graph import Variable, is_passive, passive
from fastbp.errors import ShapeError
from fastbp.rules import batching, patterns, plans
from fastbp.rules.numpy import products
from fastbp.rules.numpy.reductions import (
    ROOT_OF_ZERO,
    count,
    scale_of,
    smooth_but_at_zero,
    squares,
    unit,
    unreduced,
)
from fastbp.rules.numpy.structural import ALL, add_up, as_operand, conjugated, from_end
from fastbp.rules.table import general, implements, nondifferentiable

# ---- the Euclidean norm, over any axes


def _norm(x, axis, keepdims):
    if len(axis) == x.ndim:
        value = np.linalg.norm(x)
        return np.reshape(value, (1,) * x.ndim) if keepdims else value
    return np.sqrt(np.sum(squares(x), axis=axis, keepdims=keepdims))


def _norm_vjp(g, ans, x, axis, keepdims):
    g, ans = unreduced(g, ans, axis, keepdims), unreduced(ans, ans, axis, keepdims)
    y, length = unit(x, ans, axis)
    return smooth_but_at_zero(conjugated(y) * (g / length), g, x, axis)


def _norm_jvp(t, ans, x, axis, keepdims):
    y, length = unit(x, unreduced(ans, ans, axis, keepdims), axis)
    t = smooth_but_at_zero(t * (conjugated(y) / length), t, x, axis)
    return add_up(t, axis, keepdims)


norm_op = general(
    "linalg.norm",
    _norm,
    nin=1,
    saves=(0, "ans"),
    vjp=(_norm_vjp,),
    jvp=(_norm_jvp,),
    squared=lambda x, axis, keepdims: np.sum(squares(x), axis=axis, keepdims=keepdims),
    pattern=patterns.reduces,
    plan=plans.takes_norms,
    batch=batching.aligns,
)


def _vector_norm(x, ord, axis, keepdims):
    """Return the norm of the elements along `axis`, a tuple of negative axes."""
    if isinstance(ord, str):
        raise ValueError(f"Invalid norm order '{ord}' for vectors")
    if type(ord) is Variable and passive(ord) not in (0, np.inf, -np.inf):
        return _norm_of_order(x, ord, axis, keepdims)  # the others lose its own derivative
    if ord is None or ord == 2:
        return norm_op(x, axis=axis, keepdims=keepdims)
    if ord == 0:  # counts, so it is constant almost everywhere
        return np.sum(passive(x) != 0, axis=axis, keepdims=keepdims).astype(x.real.dtype)
    size = np.abs(x)
    if ord == np.inf:
        return _largest(size, axis, keepdims)
    if ord == -np.inf:
        return np.min(size, axis=axis, keepdims=keepdims)
    if ord == 1:
        return np.sum(size, axis=axis, keepdims=keepdims)
    return _norm_of_order(x, ord, axis, keepdims)


def _norm_of_order(x, ord, axis, keepdims):
    is_even = type(ord) is Variable and passive(ord) % 2 == 0  # no kink at an element 0
    powers = squares(x) ** (0.5 * ord) if is_even else np.abs(x) ** ord
    total = np.sum(powers, axis=axis, keepdims=keepdims)
    known = passive(total)
    low = np.finfo(x.dtype).tiny ** 0.3  # higher orders have powers of it, too
    in_range = not is_passive(known) and ((known > low) & (known < 1.0 / low)).all()
    if in_range or not count(x.shape, axis):
        return total ** (1 / ord)
    # The value is NumPy's, which may be out of range, the derivative that of the norm.
    norm, value = _scaled_norm(x, ord, axis, keepdims), known ** (1 / passive(ord))
    return norm + np.where(value == passive(norm), 0.0, value - passive(norm))


def _scaled_norm(x, ord, axis, keepdims):
    """Return a norm whose powers may leave the range, or that of a vector 0."""
    top = np.max(np.abs(passive(x)), axis=axis, keepdims=True, initial=0.0)
    zero, scale = top == 0.0, scale_of(top)
    total = np.sum(np.abs(x / scale) ** ord, axis=axis, keepdims=True)
    norm = scale * np.where(zero, 1.0, total) ** (1 / ord)
    # A vector 0 has the derivatives of its Euclidean norm: 0 by convention, and none of order two.
    norm = np.where(zero, norm_op(x, axis=axis, keepdims=True), norm)
    return norm if keepdims else np.squeeze(norm, axis)


# Exponents of 2: beyond the first, numbers are scaled by the second before they are squared.
_SCALED = {"f": (50, 85), "d": (480, 600)}


def in_any_range(x):
    """Return the Euclidean norm of a vector whose squares may leave the range, as BLAS has it."""
    top = np.max(np.abs(passive(x)), initial=0.0)
    beyond, by = _SCALED[top.dtype.char]
    high, low = (top > 2.0**beyond) & (top < np.inf), (top < 2.0**-beyond) & (top > 0.0)
    if not is_passive(top) and not (high | low):
        return norm_op(x, axis=(-1,), keepdims=False)
    scale = np.where(high, 2.0**by, np.where(low, 2.0**-by, 1.0)).astype(top.dtype)
    return norm_op(x / scale, axis=(-1,), keepdims=False) * scale


def _largest(size, axis, keepdims):
    """Return the largest of non-negative numbers, 0 of none."""
    if size.size == 0:
        return norm_op(size, axis=axis, keepdims=keepdims)
    return np.max(size, axis=axis, keepdims=keepdims)


def _matrix_norm(x, ord, axis, keepdims):
    """Return the norm of the matrices whose rows are along ``axis[0]``."""
    if ord in (None, "fro", "f"):
        return norm_op(x, axis=axis, keepdims=keepdims)
    if ord in (2, -2, "nuc"):
        return _spectral_norm(x, ord, axis, keepdims)
    if ord not in (1, -1, np.inf, -np.inf):
        raise ValueError("Invalid norm order for matrices.")
    sums = np.sum(np.abs(x), axis=axis[0] if abs(ord) == 1 else axis[1], keepdims=True)
    if ord > 0:
        return _largest(sums, axis, keepdims)
    return np.min(sums, axis=axis, keepdims=keepdims)


def _spectral_norm(x, ord, axis, keepdims):
    s = np.linalg.svdvals(np.moveaxis(x, axis, (-2, -1)))
    if ord == 2:
        found = _largest(s, (-1,), False)
    else:
        found = np.sum(s, -1) if ord == "nuc" else np.min(s, -1)
    return np.expand_dims(found, axis) if keepdims else found


def _norm_samples(rng):
    vector, matrix, cube = (rng.normal(size=shape) + 0.3 for shape in ((5,), (3, 4), (2, 3, 4)))
    calls = [(vector, {"ord": order}) for order in (None, 1, 2, np.inf, -np.inf, 3, 2.5, -1.5)]
    calls += [(matrix, {"ord": order}) for order in (None, "fro", 1, -1, np.inf, -np.inf)]
    calls += [
        (matrix + np.eye(3, 4) * [2.0, 5.0, 9.0, 0.0], {"ord": order}) for order in (2, -2, "nuc")
    ]
    calls += [
        (cube, {}),
        (cube, {"keepdims": True}),
        (cube, {"axis": 1}),
        (cube, {"axis": -1, "keepdims": True, "ord": 3}),
        (cube, {"axis": (0, 2)}),
        (cube, {"axis": (-1, 0), "ord": 1, "keepdims": True}),
        (cube, {"axis": (2, 1), "ord": np.inf}),
        (cube, {"axis": (2, 0), "ord": "nuc", "keepdims": True}),
    ]
    return [((x,), kwargs) for x, kwargs in calls]


@implements(np.linalg.norm, name="linalg.norm", samples=_norm_samples, kinks=ROOT_OF_ZERO)
def norm(x, ord=None, axis=None, keepdims=False):
    """Arguments as in `numpy.linalg.norm`.

    Notes
    -----
    The derivative at 0 is 0, and higher ones are NaN (with ``ord=1`` and the infinite ones, which
    are piecewise linear, 0). With ``ord=np.inf`` elements that tie share it equally; with ``ord=0``
    the norm is constant almost everywhere, so the result is a plain array. A norm of numbers whose
    powers leave the range is as NumPy has it, its derivative is right.
    """
    whole = axis is None and (ord is None or (ord in ("f", "fro") and x.ndim == 2))
    axis = ALL[x.ndim] if axis is None else from_end(axis, x.ndim)
    if whole:
        return norm_op(x, axis=axis, keepdims=bool(keepdims))
    if len(axis) == 1:
        return _vector_norm(x, ord, axis, bool(keepdims))
    if len(axis) == 2:
        return _matrix_norm(x, ord, axis, bool(keepdims))
    raise ValueError("Improper number of dimensions to norm.")


@implements(
    np.linalg.vector_norm,
    name="linalg.vector_norm",
    samples=lambda rng: [
        ((rng.normal(size=(2, 3, 4)),), kwargs)
        for kwargs in (
            {},
            {"axis": (0, 2)},
            {"axis": 1, "keepdims": True, "ord": 1},
            {"ord": np.inf, "keepdims": True},
        )
    ],
)
def vector_norm(x, /, *, axis=None, keepdims=False, ord=2):
    """Arguments as in `numpy.linalg.vector_norm`; derivatives as in `norm`."""
    axis = from_end(tuple(range(x.ndim)) if axis is None else axis, x.ndim)
    return _vector_norm(x, ord, axis, bool(keepdims))


@implements(
    np.linalg.matrix_norm,
    name="linalg.matrix_norm",
    samples=lambda rng: [
        ((rng.normal(size=(2, 3, 4)),), kwargs)
        for kwargs in ({}, {"ord": 1}, {"ord": -np.inf, "keepdims": True}, {"ord": 2})
    ],
)
def matrix_norm(x, /, *, keepdims=False, ord="fro"):
    """Arguments as in `numpy.linalg.matrix_norm`; derivatives as in `norm`."""
    return _matrix_norm(x, ord, from_end((-2, -1), x.ndim), bool(keepdims))


nondifferentiable(np.linalg.matrix_rank, why="places, order, counts")


# ---- NumPy's functions under their names in numpy.linalg


@implements(
    np.linalg.matmul,
    name="linalg.matmul",
    samples=lambda rng: [((rng.normal(size=(2, 3)), rng.normal(size=(3, 4))), {})],
)
def matmul(x1, x2, /):
    """Arguments as in `numpy.linalg.matmul`."""
    return products.matmul(x1, x2)


@implements(
    np.linalg.outer,
    name="linalg.outer",
    samples=lambda rng: [((rng.normal(size=2), rng.normal(size=3)), {})],
)
def outer(x1, x2, /):
    """Arguments as in `numpy.linalg.outer`."""
    x1, x2 = (as_operand(x, f"linalg.outer: x{k}") for k, x in enumerate((x1, x2), 1))
    if np.ndim(x1) != 1 or np.ndim(x2) != 1:
        raise ShapeError(f"linalg.outer: vectors are needed, got shapes {x1.shape} and {x2.shape}")
    return products.outer(x1, x2)


@implements(
    np.linalg.tensordot,
    name="linalg.tensordot",
    samples=lambda rng: [((rng.normal(size=(2, 3)), rng.normal(size=(4, 3))), {"axes": (1, 1)})],
)
def tensordot(x1, x2, /, *, axes=2):
    """Arguments as in `numpy.linalg.tensordot`."""
    return products.tensordot(x1, x2, axes)


@implements(
    np.linalg.vecdot,
    name="linalg.vecdot",
    samples=lambda rng: [((rng.normal(size=(3, 2)), rng.normal(size=(3, 2))), {"axis": 0})],
)
def vecdot(x1, x2, /, *, axis=-1):
    """Arguments as in `numpy.linalg.vecdot`."""
    return products.vecdot(x1, x2, axis=axis)


@implements(
    np.linalg.cross,
    name="linalg.cross",
    samples=lambda rng: [((rng.normal(size=(3, 2)), rng.normal(size=(3, 2))), {"axis": 0})],
)
def cross(x1, x2, /, *, axis=-1):
    """Arguments as in `numpy.linalg.cross`."""
    return products.cross(x1, x2, axis=axis)


@implements(
    np.linalg.matrix_transpose,
    name="linalg.matrix_transpose",
    samples=lambda rng: [((rng.normal(size=(2, 3, 4)),), {})],
)
def matrix_transpose(x, /):
    """Arguments as in `numpy.linalg.matrix_transpose`."""
    return np.matrix_transpose(x)


@implements(
    np.linalg.diagonal,
    name="linalg.diagonal",
    samples=lambda rng: [((rng.normal(size=(2, 3, 4)),), {"offset": 1})],
)
def diagonal(x, /, *, offset=0):
    """Arguments as in `numpy.linalg.diagonal`."""
    return np.diagonal(x, offset, -2, -1)


@implements(
    np.linalg.trace,
    name="linalg.trace",
    samples=lambda rng: [((rng.normal(size=(2, 3, 3)),), {"offset": -1})],
)
def trace(x, /, *, offset=0, dtype=None):
    """Arguments as in `numpy.linalg.trace`."""
    return np.trace(x, offset, -2, -1, dtype)
