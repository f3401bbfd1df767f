"""Convolution, and polynomials given by their coefficients."""

import numpy as np

from fastbp._core.graph import array_of, values_of
from fastbp.rules import batching, patterns
from fastbp.rules.numpy.indexing import in_front
from fastbp.rules.numpy.structural import as_operand, conjugated
from fastbp.rules.table import general, implements

# ---- convolution: the row takes stacks of vectors, so that block axes pass


def _convolve(a, v, mode, derivative=False):
    function = swept if derivative else np.convolve
    if a.ndim == v.ndim == 1:
        return function(a, v, mode)
    lead = np.broadcast_shapes(a.shape[:-1], v.shape[:-1])
    a, v = (np.broadcast_to(x, (*lead, x.shape[-1])) for x in (a, v))
    size = a.shape[-1] + v.shape[-1] - 1 if mode == "full" else a.shape[-1] - v.shape[-1] + 1
    found = np.empty((*lead, size), np.result_type(a, v))
    for k in np.ndindex(lead):
        found[k] = function(a[k], v[k], mode)
    return found


def _back(g, other, mode):
    """Return the cotangent of the longer operand; in mode full, of either."""
    mode = "full" if mode == "valid" else "valid"
    return convolve_op(g, np.flip(other, -1), mode=mode, derivative=True)


def _back_to_shorter(g, a, mode):
    if mode == "full":
        return _back(g, a, mode)
    return np.flip(convolve_op(a, np.flip(g, -1), mode="valid", derivative=True), -1)


# Long cotangents are convolved by Fourier transforms of blocks, in double precision: each result is
# then exact to rounding of the largest terms within a block, which are its neighbours.

_FEW, _WORK = 256, 2**22


def swept(a, v, mode):
    """Convolve vectors; long ones by Fourier transforms of blocks."""
    n, m = a.size, v.size
    short = min(m, n - m + 1) if mode == "valid" else min(n, m)
    real = a.dtype.kind == "f" == v.dtype.kind
    if real and short >= _FEW and short * max(n, m) >= _WORK:
        found = _transformed(a, v, mode, n, m)
        if np.isfinite(found).all():
            return found.astype(np.result_type(a, v), copy=False)
    return np.convolve(a, v, mode)


def _transformed(a, v, mode, n, m):
    a, v = a.astype(np.float64, copy=False), v.astype(np.float64, copy=False)
    if mode == "valid" and n - m + 1 < m:
        return _few_of_many(a, v[::-1], n - m + 1)
    if m > n:
        a, v, n, m = v, a, m, n
    full = _many_of_few(a, v, n, m)
    return full[m - 1 : n] if mode == "valid" else full


def _many_of_few(a, v, n, m):
    """Convolve in full with a shorter vector: the products of blocks overlap, and add up."""
    size = 1 << (4 * m - 1).bit_length()
    step = size - m + 1
    blocks = -(-n // step)
    padded = np.zeros(blocks * step)
    padded[:n] = a
    spectra = np.fft.rfft(padded.reshape(blocks, step), size)
    spectra *= np.fft.rfft(v, size)
    products = np.fft.irfft(spectra, size)
    out = np.zeros((blocks + 1, step))
    out[:-1] = products[:, :step]
    out[1:, : m - 1] += products[:, step:]
    return out.reshape(-1)[: n + m - 1]


def _few_of_many(a, b, count):
    """Return ``sum(a[i + k] * b[i])`` for the first k, a sum over blocks of their spectra."""
    size = 1 << (4 * count - 1).bit_length()
    step = size - count + 1
    blocks = -(-b.size // step)
    pieces, windows = np.zeros(blocks * step), np.zeros(blocks * step + count - 1)
    pieces[: b.size], windows[: a.size] = b, a
    windows = np.lib.stride_tricks.sliding_window_view(windows, size)[::step]
    ours = np.fft.rfft(pieces.reshape(blocks, step), size)
    spectrum = np.einsum("bk,bk->k", np.conjugate(ours, out=ours), np.fft.rfft(windows))
    return np.fft.irfft(spectrum, size)[:count]


def _convolve_jvp(tangents, ans, a, v, mode, derivative=False):
    ta, tv = tangents
    static = {"mode": mode, "derivative": True}
    total = 0.0 if ta is None else convolve_op(in_front(ta, a, ans), v, **static)
    return total if tv is None else total + convolve_op(a, in_front(tv, v, ans), **static)


# In mode valid the first operand is the longer one.
convolve_op = general(
    "convolve",
    _convolve,
    nin=2,
    promotes=(0, 1),
    saves=(0, 1),
    vjp=(
        lambda g, ans, a, v, mode, derivative=False: _back(g, v, mode),
        lambda g, ans, a, v, mode, derivative=False: _back_to_shorter(g, a, mode),
    ),
    jvp=_convolve_jvp,
    coefficients="operands",
    pattern=patterns.mixes_last,
    direct=("g convolved with v reversed", "g convolved with a reversed"),
    batch=batching.aligns,
)


def _mode(function, mode):
    """Return the name of a mode of NumPy's, which has others for it, too."""
    if mode in ("full", "same", "valid"):
        return mode
    return {4: "full", 3: "same", 2: "valid"}[function(np.ones(3), np.ones(2), mode).size]


def _convolved(a, v, mode):
    n, m = (array_of(x).size for x in (a, v))
    if m > n:
        a, v, n, m = v, a, m, n
    if mode == "same":
        start = (m - 1) // 2
        return convolve_op(a, v, mode="full")[start : start + n]
    return convolve_op(a, v, mode=mode)


def _vectors(name, a, v):
    a, v = (
        np.atleast_1d(as_operand(x, f"numpy.{name}: {what}")) for x, what in ((a, "a"), (v, "v"))
    )
    if not (a.size and v.size):
        getattr(np, name)(np.empty(a.shape[-1]), np.empty(v.shape[-1]))  # raises
    if a.ndim > 1 or v.ndim > 1:
        raise ValueError(f"numpy.{name}: arrays of shapes {a.shape} and {v.shape} are no vectors")
    return a, v


def _convolve_samples(rng):
    return [
        ((rng.normal(size=n), rng.normal(size=m), mode), {})
        for n, m in ((6, 3), (2, 5), (4, 4))
        for mode in ("full", "same", "valid")
    ]


@implements(np.convolve, samples=_convolve_samples)
def convolve(a, v, mode="full"):
    """Arguments as in `numpy.convolve`.

    Notes
    -----
    The cotangent of an operand is that of the result, convolved with the other one reversed.
    """
    mode = _mode(np.convolve, mode)
    return _convolved(*_vectors("convolve", a, v), mode)


@implements(np.correlate, layout="C", samples=_convolve_samples)
def correlate(a, v, mode="valid"):
    """Arguments as in `numpy.correlate`."""
    mode = _mode(np.correlate, mode)
    a, v = _vectors("correlate", a, v)
    if v.size > a.size:
        return np.flip(_convolved(conjugated(v), np.flip(a), mode))
    return _convolved(a, np.flip(conjugated(v)), mode)


# ---- polynomials, the highest power first


@implements(
    np.polyval,
    samples=lambda rng: [
        ((rng.normal(size=4), rng.normal(size=(2, 3))), {}),
        (([1.0, -2.0, 3.0], rng.normal(size=3)), {}),
        ((rng.normal(size=2), 0.5), {}),
    ],
)
def polyval(p, x):
    """Arguments as in `numpy.polyval`."""
    x = as_operand(x, "numpy.polyval: x")
    p = as_operand(p, "numpy.polyval: p")
    y = np.zeros_like(array_of(x))
    for k in range(p.shape[0]):
        y = y * x + p[k]
    return y


def _sum(name, a1, a2, sign):
    a1, a2 = (np.atleast_1d(as_operand(a, f"numpy.{name}: an operand")) for a in (a1, a2))
    missing = a1.shape[0] - a2.shape[0]
    if missing > 0:
        a2 = np.concatenate([np.zeros(missing, a2.dtype), a2])
    elif missing < 0:
        a1 = np.concatenate([np.zeros(-missing, a1.dtype), a1])
    return a1 + a2 if sign > 0 else a1 - a2


def _two_samples(rng):
    return [
        ((rng.normal(size=4), rng.normal(size=2)), {}),
        ((rng.normal(size=2), [1.0, 2.0, 3.0]), {}),
    ]


@implements(np.polyadd, samples=_two_samples)
def polyadd(a1, a2):
    """Arguments as in `numpy.polyadd`."""
    return _sum("polyadd", a1, a2, 1)


@implements(np.polysub, samples=_two_samples)
def polysub(a1, a2):
    """Arguments as in `numpy.polysub`."""
    return _sum("polysub", a1, a2, -1)


@implements(np.polymul, samples=_two_samples)
def polymul(a1, a2):
    """Arguments as in `numpy.polymul`: leading zeros are left out first."""
    factors = []
    for a in (a1, a2):
        a = np.atleast_1d(as_operand(a, "numpy.polymul: an operand"))
        zeros = a.size - np.trim_zeros(values_of(a), "f").size
        factors.append(a[min(zeros, a.size - 1) :])
    return np.convolve(*factors)


@implements(
    np.polyder,
    samples=lambda rng: [((rng.normal(size=5),), {}), ((rng.normal(size=5), 2), {})],
)
def polyder(p, m=1):
    """Arguments as in `numpy.polyder`."""
    if int(m) < 0:
        raise ValueError("Order of derivative must be positive (see polyint)")
    for _ in range(int(m)):
        p = p[:-1] * np.arange(p.shape[0] - 1, 0, -1)
    return p


@implements(
    np.polyint,
    samples=lambda rng: [
        ((rng.normal(size=4),), {}),
        ((rng.normal(size=3), 2), {"k": [0.5, -1.0]}),
        ((rng.normal(size=3), 2, 0.5), {}),
    ],
)
def polyint(p, m=1, k=None):
    """Arguments as in `numpy.polyint`; the constants `k` may be Variables, too."""
    m, p = int(m), as_operand(p, "numpy.polyint: p")
    if m < 0:
        raise ValueError("Order of integral must be positive (see polyder)")
    k = np.zeros(m) if k is None else np.atleast_1d(as_operand(k, "numpy.polyint: k"))
    if k.shape[0] == 1 and m > 1:
        k = np.broadcast_to(k, (m,))
    if k.shape[0] < m:
        raise ValueError("k must be a scalar or a rank-1 array of length 1 or >m.")
    for j in range(m):
        p = np.concatenate([p / np.arange(p.shape[0], 0, -1), k[j : j + 1]])
    return p


@implements(
    np.vander,
    layout="C",
    samples=lambda rng: [
        ((rng.normal(size=3),), {}),
        ((rng.normal(size=3), 4), {"increasing": True}),
        ((np.array([0.0, 2.0]), 1), {}),
    ],
)
def vander(x, N=None, increasing=False):
    """Arguments as in `numpy.vander`."""
    if x.ndim != 1:
        raise ValueError("x must be a one-dimensional array or sequence.")
    n = x.shape[0] if N is None else N
    np.empty((0, n))  # raises where NumPy does
    x = np.astype(x, np.promote_types(x.dtype, int))  # as NumPy does
    ones = np.ones((x.shape[0], min(n, 1)), x.dtype)
    powers = np.cumprod(np.broadcast_to(x[:, None], (x.shape[0], max(n - 1, 0))), 1)
    found = np.concatenate([ones, powers], 1)
    return found if increasing else found[:, ::-1]
