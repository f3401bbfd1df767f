"""Convolution in any number of dimensions: one row, of the last axes, in front of which broadcast.

The cotangent of an operand is that of the result, convolved with the other one reversed.
"""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from scipy import signal

from fastbp._core.graph import array_of
from fastbp.rules import batching, patterns
from fastbp.rules.counterparts import stands_for
from fastbp.rules.numpy.indexing import in_front
from fastbp.rules.numpy.polynomials import swept
from fastbp.rules.numpy.structural import as_operand, conjugated
from fastbp.rules.table import general

__all__ = ["convolve_op", "convolved", "correlated"]

_WORK = 2**18  # products, above which a derivative is computed by Fourier transforms


def _size(n, m, mode):
    return max(n + m - 1 if mode == "full" else n - m + 1, 0)


def _convolve(a, v, mode, nd, method):
    sizes = _sizes(a, v, mode, nd)
    if not (a.size and v.size and math.prod(sizes)):  # sums of nothing
        lead = np.broadcast_shapes(a.shape[:-nd], v.shape[:-nd])
        return np.zeros((*lead, *sizes), np.result_type(a, v))
    if method == "derivative":
        method, a, v = _chosen(a, v, mode, nd)
        if method == "swept":
            return swept(a, v, mode)
    own = tuple(range(-nd, 0))
    if method == "fft":
        return signal.fftconvolve(*_same_ndim(a, v), mode, own)
    if method == "blocks":
        return signal.oaconvolve(*_same_ndim(a, v), mode, own)
    function = {1: np.convolve, 2: signal.convolve2d}.get(nd, _direct)
    if a.ndim == v.ndim == nd:
        return function(a, v, mode)
    lead = np.broadcast_shapes(a.shape[:-nd], v.shape[:-nd])
    a, v = (np.broadcast_to(x, (*lead, *x.shape[-nd:])) for x in (a, v))
    found = np.empty((*lead, *sizes), np.result_type(a, v))
    for k in np.ndindex(lead):
        found[k] = function(a[k], v[k], mode)
    return found


def _sizes(a, v, mode, nd):
    return [_size(n, m, mode) for n, m in zip(a.shape[-nd:], v.shape[-nd:], strict=True)]


def _direct(a, v, mode):
    return signal.convolve(a, v, mode, "direct")


def _same_ndim(a, v):
    nd = max(a.ndim, v.ndim)
    return [x.reshape((1,) * (nd - x.ndim) + x.shape) for x in (a, v)]


def _chosen(a, v, mode, nd):
    """Return how a derivative is computed: many products of finite numbers in double precision."""
    if a.ndim == v.ndim == nd == 1:
        return "swept", a, v
    n, m = (x.shape[x.ndim - nd :] for x in (a, v))
    work = math.prod(_sizes(a, v, mode, nd)) * min(math.prod(m), math.prod(n))
    if work * math.prod(a.shape[: a.ndim - nd]) < _WORK:
        return "direct", a, v
    if not (np.isfinite(a).all() and np.isfinite(v).all()):
        return "direct", a, v  # what is not finite would be everywhere
    return "fft", *(x.astype(np.result_type(x, np.float64), copy=False) for x in (a, v))


def _back(g, other, mode, nd):
    """Return the cotangent of the longer operand; in mode full, of either."""
    mode = "full" if mode == "valid" else "valid"
    return convolve_op(g, reverse(other, nd), mode=mode, nd=nd, method="derivative")


def _back_to_shorter(g, a, mode, nd):
    if mode == "full":
        return _back(g, a, mode, nd)
    found = convolve_op(a, reverse(g, nd), mode="valid", nd=nd, method="derivative")
    return reverse(found, nd)


def reverse(x, nd):
    """Reverse the last axes."""
    return np.flip(x, tuple(range(-nd, 0)))


def _jvp(tangents, ans, a, v, mode, nd, method):
    ta, tv = tangents
    static = {"mode": mode, "nd": nd, "method": method}
    total = 0.0 if ta is None else convolve_op(in_front(ta, a, ans), v, **static)
    return total if tv is None else total + convolve_op(a, in_front(tv, v, ans), **static)


def _mixes(p, ids, link):
    """Of all elements along the convolved axes of both operands."""
    nd = link.static["nd"]
    found = []
    for x in ids:
        if x is not None:
            kept = x.shape[: x.ndim - nd]
            rows = p.sets.rows(x.reshape((*kept, math.prod(x.shape[x.ndim - nd :]))))
            found.append(rows.reshape((*kept, *(1,) * nd)))
    found = patterns.together(p, *found)
    return np.broadcast_to(found, link.shape)


# In mode valid the first operand is the longer one, along every axis.
convolve_op = general(
    "signal.convolve",
    _convolve,
    nin=2,
    promotes=(0, 1),
    saves=(0, 1),
    vjp=(
        lambda g, ans, a, v, mode, nd, method: _back(g, v, mode, nd),
        lambda g, ans, a, v, mode, nd, method: _back_to_shorter(g, a, mode, nd),
    ),
    jvp=_jvp,
    coefficients="operands",
    pattern=_mixes,
    direct=("g convolved with v reversed", "g convolved with a reversed"),
    batch=batching.aligns,
)


def _is_swapped(mode, n, m, axes):
    """Whether the second operand is the longer one: one of them must be along all axes."""
    if mode != "valid" or all(n[k] >= m[k] for k in axes):
        return False
    if not all(m[k] >= n[k] for k in axes):
        raise ValueError(
            "For 'valid' mode, one must be at least as large as the other in every dimension"
        )
    return True


def convolved(a, v, mode, axes, method):
    """Convolve along axes (not negative); in front, operands broadcast."""
    if mode not in ("full", "same", "valid"):
        raise ValueError("acceptable mode flags are 'valid', 'same', or 'full'")
    if not axes:
        return a * v
    nd, own = len(axes), tuple(range(-len(axes), 0))
    if _is_swapped(mode, a.shape, v.shape, axes):
        a, v = v, a
    moved = tuple(axes) != tuple(range(a.ndim - nd, a.ndim))
    if moved:
        a, v = (np.moveaxis(x, axes, own) for x in (a, v))
    found = convolve_op(a, v, mode="valid" if mode == "valid" else "full", nd=nd, method=method)
    if mode == "same":
        found = found[
            (
                ...,
                *[
                    slice((m - 1) // 2, (m - 1) // 2 + n)
                    for n, m in zip(a.shape[-nd:], v.shape[-nd:], strict=True)
                ],
            )
        ]
    return np.moveaxis(found, own, axes) if moved else found


def _operands(name, in1, in2):
    in1, in2 = (
        as_operand(x, f"scipy.signal.{name}: {what}") for x, what in ((in1, "in1"), (in2, "in2"))
    )
    if in1.ndim != in2.ndim:
        raise ValueError(
            f"scipy.signal.{name}: in1 and in2 should have the same dimensionality, not shapes "
            f"{in1.shape} and {in2.shape}"
        )
    return in1, in2


def _method(name, a, v, mode, method):
    if not (a.size and v.size):
        getattr(signal, name)(np.zeros(a.shape), np.zeros(v.shape), mode, method)  # raises
    if method == "auto":
        return signal.choose_conv_method(array_of(a), array_of(v), mode)
    if method not in ("direct", "fft"):
        raise ValueError("Acceptable method flags are 'auto', 'direct', or 'fft'.")
    return method


def _samples(rng):
    calls = [
        ((rng.normal(size=n), rng.normal(size=m), mode), {"method": method})
        for (n, m), method in zip(((6, 2), (2, 5), (4, 4)), ("auto", "direct", "fft"), strict=True)
        for mode in ("full", "same", "valid")
    ]
    image, kernel = rng.normal(size=(3, 4)), rng.normal(size=(2, 2))
    calls += [((image, kernel, mode), {}) for mode in ("full", "same", "valid")]
    return [*calls, ((rng.normal(size=(2, 2, 2)), rng.normal(size=(1, 2, 1))), {})]


@stands_for("scipy.signal.convolve", samples=_samples)
def convolve(in1, in2, mode, method):
    """Arguments as in `scipy.signal.convolve`.

    Notes
    -----
    A long cotangent is convolved by Fourier transforms, in double precision.
    """
    in1, in2 = _operands("convolve", in1, in2)
    method = _method("convolve", in1, in2, mode, method)
    return convolved(in1, in2, mode, tuple(range(in1.ndim)), method)


@stands_for("scipy.signal.correlate", samples=_samples)
def correlate(in1, in2, mode, method):
    """Arguments as in `scipy.signal.correlate`."""
    in1, in2 = _operands("correlate", in1, in2)
    return correlated(in1, in2, mode, _method("correlate", in1, in2, mode, method))


def correlated(in1, in2, mode, method):
    """Correlate in all dimensions."""
    in2 = reverse(conjugated(in2), in2.ndim) if in2.ndim else conjugated(in2)
    return convolved(in1, in2, mode, tuple(range(in1.ndim)), method)


def _axes_samples(rng):
    return [
        ((rng.normal(size=5), rng.normal(size=2)), {}),
        ((rng.normal(size=(2, 4)), rng.normal(size=(2, 3)), "same"), {"axes": 1}),
        ((rng.normal(size=(1, 4)), rng.normal(size=(3, 2)), "same"), {"axes": 1}),
        ((rng.normal(size=(3, 2)), rng.normal(size=(2, 1)), "valid"), {"axes": (0,)}),
        ((rng.normal(size=(3, 2)), rng.normal(size=(2, 2)), "valid"), {}),
    ]


def _along_axes(name, in1, in2, mode, axes, method):
    in1, in2 = _operands(name, in1, in2)
    given = range(in1.ndim) if axes is None else normalize_axis_tuple(axes, in1.ndim)
    if axes is not None and not given:
        raise ValueError("when provided, axes cannot be empty")
    if not (in1.size and in2.size):
        return np.array([])
    # Along an axis of length 1 they broadcast.
    axes = sorted([k for k in given if in1.shape[k] != 1 and in2.shape[k] != 1])
    np.broadcast_shapes(
        *[tuple(n for k, n in enumerate(x.shape) if k not in axes) for x in (in1, in2)]
    )
    found = convolved(in1, in2, mode, axes, method)
    if mode == "same" and found.shape != in1.shape:  # what in1 is broadcast along is cropped, too
        spare = [(n - m) // 2 for n, m in zip(found.shape, in1.shape, strict=True)]
        found = found[tuple([slice(k, k + m) for k, m in zip(spare, in1.shape, strict=True)])]
    return found


@stands_for("scipy.signal.fftconvolve", samples=_axes_samples)
def fftconvolve(in1, in2, mode, axes):
    """Arguments as in `scipy.signal.fftconvolve`."""
    return _along_axes("fftconvolve", in1, in2, mode, axes, "fft")


@stands_for("scipy.signal.oaconvolve", samples=_axes_samples)
def oaconvolve(in1, in2, mode, axes):
    """Arguments as in `scipy.signal.oaconvolve`."""
    return _along_axes("oaconvolve", in1, in2, mode, axes, "blocks")


# ---- two dimensions, with boundaries

_BOUNDARIES = {
    "fill": "constant", "pad": "constant", "wrap": "wrap", "circular": "wrap",
    "symm": "symmetric", "symmetric": "symmetric",
}  # fmt: skip


def _planar_samples(rng):
    image, kernel = rng.normal(size=(3, 4)), rng.normal(size=(2, 3))
    return [
        *[((image, kernel, mode), {}) for mode in ("full", "same", "valid")],
        ((kernel, image, "valid"), {}),
        ((image, kernel, "same", "symm"), {}),
        ((image, kernel, "full", "wrap"), {}),
        ((image, kernel, "same"), {"fillvalue": 0.5}),
    ]


def _planar(name, in1, in2, mode, boundary, fillvalue, correlates):
    in1, in2 = _operands(name, in1, in2)
    if in1.ndim != 2:
        raise ValueError(f"{name} inputs must both be 2-D arrays")
    if boundary not in _BOUNDARIES:
        raise ValueError("Acceptable boundary flags are 'fill', 'circular' (or 'wrap'), and "
                         "'symmetric' (or 'symm').")  # fmt: skip
    swapped = _is_swapped(mode, in1.shape, in2.shape, (0, 1))
    if swapped:
        in1, in2 = in2, in1
    if correlates:
        in2 = reverse(conjugated(in2), 2)
    if mode not in ("full", "same", "valid"):
        raise ValueError("Acceptable mode flags are 'valid', 'same', or 'full'.")
    if mode != "valid" and (_BOUNDARIES[boundary] != "constant" or fillvalue != 0):
        word = _BOUNDARIES[boundary]
        widths = [(m - 1, m - 1) for m in in2.shape]
        filled = {"constant_values": fillvalue} if word == "constant" else {}
        n, in1 = in1.shape, np.pad(in1, widths, word, **filled)
        found = convolve_op(in1, in2, mode="valid", nd=2, method="direct")
    else:
        n = in1.shape
        kind = "valid" if mode == "valid" else "full"
        found = convolve_op(in1, in2, mode=kind, nd=2, method="direct")
    if mode == "same":
        if not in2.size:  # a sum of nothing everywhere
            found = np.pad(found, [(0, max(k - m, 0)) for k, m in zip(n, found.shape, strict=True)])
        start = [m // 2 if correlates else max(m - 1, 0) // 2 for m in in2.shape]
        found = found[tuple(slice(s, s + k) for s, k in zip(start, n, strict=True))]
    return reverse(found, 2) if swapped and correlates else found


@stands_for("scipy.signal.convolve2d", samples=_planar_samples)
def convolve2d(in1, in2, mode, boundary, fillvalue):
    """Arguments as in `scipy.signal.convolve2d`."""
    return _planar("convolve2d", in1, in2, mode, boundary, fillvalue, False)


@stands_for("scipy.signal.correlate2d", samples=_planar_samples)
def correlate2d(in1, in2, mode, boundary, fillvalue):
    """Arguments as in `scipy.signal.correlate2d`."""
    return _planar("correlate2d", in1, in2, mode, boundary, fillvalue, True)
