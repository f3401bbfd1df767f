"""Discrete Fourier transforms along axes: three rows, for complex, real and half-complex data.

A transform is a symmetric matrix, so each one is transposed by itself (without a conjugate) and by
what makes up for the half that real data leaves out. `static` is that of all three:

* ``axis``: a tuple of negative axes, the last one is that of the half;
* ``sizes``: of the full transforms along them; operands are cut or padded with zeros to fit;
* ``inverse``, ``norm``: the sign of the exponent, and NumPy's word for the scale;
* ``workers``: None for NumPy's functions, which take one axis at a time, else SciPy's number.
"""

import numpy as np

from fastbp.rules import patterns
from fastbp.rules.numpy.indexing import getitem_op, put_op
from fastbp.rules.table import linear

__all__ = ["complex_op", "half_op", "real_op", "resized"]

# For complex, real and half-complex data: forward and inverse.
NUMPY = ("fft", "ifft"), ("rfft", "ihfft"), ("hfft", "irfft")


def _apply(kind, x, axis, sizes, inverse, norm, workers):
    name = NUMPY[kind][inverse]
    if workers is None:
        return getattr(np.fft, name)(x, sizes[0], axis[0], norm)
    from scipy import fft

    if len(axis) == 1:
        return getattr(fft, name)(x, sizes[0], axis[0], norm, workers=workers)
    return getattr(fft, name + "n")(x, sizes, axis, norm, workers=workers)


def _by_scipy(static):
    """Return `static` for SciPy, which is faster: a cotangent need not have NumPy's last bits."""
    return {**static, "workers": static["workers"] or 1}


def resized(x, shape, axis):
    """Cut axes of `x` to their lengths in `shape`, or pad them with zeros."""
    own = len(shape)
    wanted = tuple([shape[k] if k in axis else x.shape[k] for k in range(-own, 0)])
    found = x.shape[x.ndim - own :]
    kept = (..., *[slice(0, min(m, n)) for m, n in zip(found, wanted, strict=True)])
    if any([m > n for m, n in zip(found, wanted, strict=True)]):
        x = getitem_op(x, index=kept)
    if any([m < n for m, n in zip(found, wanted, strict=True)]):
        x = put_op(x, shape=wanted, index=kept, own=own)
    return x


def _scaled_inside(x, n, axis, factor):
    """Multiply all of a half along an axis but its real ends by a factor; `x` may be overwritten.

    It is the half of `n` elements: the last one is an end if `n` is even.
    """
    inside = (..., slice(1, (n + 1) // 2), *(slice(None),) * (-1 - axis))
    if type(x) is np.ndarray:
        x[inside] *= factor
        return x
    weights = np.ones((x.shape[axis], *(1,) * (-1 - axis)), x.real.dtype)
    weights[inside] = factor
    return x * weights


# ---- complex


def _complex_transpose(g, ans, x, axis, **static):
    static = _by_scipy(static)
    if x.dtype.kind == "f" and len(axis) == 1 and type(g) is np.ndarray:
        return resized(_real_part(g, axis, **static), x.shape, axis)
    return resized(complex_op(g, axis=axis, **static), x.shape, axis)


def _real_part(g, axis, sizes, **static):
    """Return the real part of a transform at half the price: of what is symmetric in `g`."""
    (k,), (n,) = axis, sizes
    behind = (slice(None),) * (-1 - k)
    first, rest = (..., slice(0, 1), *behind), (..., slice(1, n // 2 + 1), *behind)
    last = (..., slice(None, n - 1 - n // 2 if n > 1 else None, -1), *behind)
    half = np.empty((*g.shape[: g.ndim + k], n // 2 + 1, *g.shape[g.ndim + k + 1 :]), g.dtype)
    half[first] = g[first]
    np.conjugate(g[last], out=half[rest])
    half[rest] += g[rest]
    half[rest] *= 0.5
    return _apply(2, half, axis, sizes, **static)


complex_op = linear(
    "fft.complex",
    lambda x, **static: _apply(0, x, **static),
    _complex_transpose,
    pattern=patterns.mixes,
    direct=("transform of g",),
)

# ---- real and half-complex


def _real_transpose(g, ans, x, axis, sizes, **static):
    static = _by_scipy(static)
    found = _of_half(g, axis=axis, sizes=sizes, **static)
    if found is None:
        g = _scaled_inside(g, sizes[-1], axis[-1], 0.5)
        found = half_op(g, axis=axis, sizes=sizes, **static)
    return resized(found, x.shape, axis)


def _of_half(g, axis, sizes, inverse, norm, workers):
    """Return the transform of the half of an array `g`, which is scaled in a copy."""
    if type(g) is not np.ndarray:
        return None
    g = _scaled_inside(g.copy(), sizes[-1], axis[-1], 0.5)
    return _apply(2, g, axis, sizes, inverse, norm, workers)


def _half_transpose(g, ans, x, axis, sizes, **static):
    half = real_op(g, axis=axis, sizes=sizes, **_by_scipy(static))
    return resized(_scaled_inside(half, sizes[-1], axis[-1], 2.0), x.shape, axis)


real_op = linear(
    "fft.real",
    lambda x, **static: _apply(1, x, **static),
    _real_transpose,
    pattern=patterns.mixes,
    direct=("real part of the transform of g",),
)
half_op = linear(
    "fft.half",
    lambda x, **static: _apply(2, x, **static),
    _half_transpose,
    pattern=patterns.mixes,
    direct=("half of the transform of g, doubled inside",),
)
