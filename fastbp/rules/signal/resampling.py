"""Other rates of samples: by Fourier transforms, and by filters between up- and downsampling."""

import math
import operator

import numpy as np
import scipy
from numpy.lib.array_utils import normalize_axis_index
from scipy import fft as scipy_fft
from scipy import signal

from fastbp._core.graph import has_variable
from fastbp.errors import NoRuleError, ShapeError
from fastbp.rules import batching, patterns
from fastbp.rules.counterparts import stands_for
from fastbp.rules.numpy.indexing import in_front, put_op
from fastbp.rules.numpy.numerical import chosen_op
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.signal.convolution import convolve_op
from fastbp.rules.signal.filtering import sosfilt, sosfiltfilt
from fastbp.rules.signal.spectral import transform
from fastbp.rules.table import general

# ---- by Fourier transforms


@stands_for(
    "scipy.signal.hilbert",
    samples=lambda rng: [
        ((rng.normal(size=5),), {}),
        ((rng.normal(size=(4, 2)),), {"N": 6, "axis": 0}),
    ],
)
def hilbert(x, N, axis):
    """Arguments as in `scipy.signal.hilbert`."""
    x = as_operand(x, "scipy.signal.hilbert: x", real=True)
    axis = normalize_axis_index(axis, x.ndim)
    N = x.shape[axis] if N is None else operator.index(N)
    if N <= 0:
        raise ValueError("N must be positive.")
    weights = np.zeros(N, x.dtype)
    weights[: (N + 1) // 2] = 2.0
    weights[0] = 1.0
    if N % 2 == 0:
        weights[N // 2] = 1.0
    spectrum = transform("fft", np.moveaxis(x, axis, -1), n=N) * weights
    return np.moveaxis(transform("ifft", spectrum), -1, axis)


def _spectral_window(window, n):
    if window is None:
        return None
    if callable(window):
        return np.asarray(window(scipy_fft.fftfreq(n)))
    if not hasattr(window, "shape"):
        return scipy_fft.fftshift(signal.get_window(window, n))
    if window.shape != (n,):
        raise ValueError(
            f"window.shape={window.shape} != ({n},), i.e., window length is not equal to number "
            "of frequency bins!"
        )
    return window


# Before, SciPy took a real spectrum for the first half of one.
_HALF = np.lib.NumpyVersion(scipy.__version__) < "1.16.0"


def _bins(n, num):
    """Return where the bins of a spectrum of another length come from, twice, and the weights."""
    m = min(num, n)
    positive = m // 2 + 1
    places, weights = np.zeros((2, num), int), np.zeros((2, num))
    j = np.arange(num)
    low, high = j < positive, j >= num - (m - positive)
    places[0] = np.where(low, j, np.where(high, n - num + j, 0))
    weights[0] = low | high
    if m % 2 == 0 and num < n:  # a pair becomes one bin
        places[1, m // 2], weights[1, m // 2] = n - m // 2, 1.0
    elif m % 2 == 0 and num > n:  # or one bin a pair
        weights[0, m // 2] = 0.5
        places[1, num - m // 2], weights[1, num - m // 2] = m // 2, 0.5
    return places, weights


@stands_for(
    "scipy.signal.resample",
    samples=lambda rng: [
        ((rng.normal(size=6), 4), {}),
        ((rng.normal(size=4), 7), {"window": "hann"}),
        ((rng.normal(size=(5, 2)), 5), {"window": np.hanning(5).astype("f4")}),
        ((rng.normal(size=(2, 6)), 4), {"axis": 1, "domain": "freq"}),
        ((rng.normal(size=4), 7, np.arange(4)), {"domain": "freq"}),
    ],
)
def resample(x, num, t, axis, window, domain):
    """Arguments as in `scipy.signal.resample`."""
    if domain not in ("time", "freq"):
        raise ValueError(f"Parameter domain={domain!r} not in ('time', 'freq')!")
    x = as_operand(x, "scipy.signal.resample: x")
    moved = x.ndim > 1  # SciPy does not look at the axis of a vector
    x = np.moveaxis(x, axis, -1) if moved else x
    n = x.shape[-1]
    factor = n / num
    win = _spectral_window(window, n)
    if win is not None:
        win = as_operand(win, "scipy.signal.resample: window", real=True)
    if x.dtype.kind == "f" and (domain == "time" or _HALF):
        found = transform("rfft", x) if domain == "time" else x.astype(np.result_type(x, 1j))
        if win is not None:
            half = found.shape[-1]
            folded = (win[1:half] + np.flip(win[n - half + 1 :])) / 2
            win = np.concatenate([win[:1], folded])
            found = found * np.astype(win, np.zeros(0, found.dtype).real.dtype)
        m = min(num, n)
        weights = np.full(m // 2 + 1, 1 / factor, x.dtype)
        if m % 2 == 0 and num != n:
            weights[-1] *= 2 if num < n else 0.5
        found = transform("irfft", found[..., : m // 2 + 1] * weights, n=num)
    else:
        found = transform("fft", x) if domain == "time" else x
        if win is not None:
            found = found * win
        places, weights = _bins(n, num)
        weights = np.asarray(weights / factor, np.zeros(0, found.dtype).real.dtype)
        moved = [
            chosen_op(found, places=p) * w for p, w in zip(places, weights, strict=True) if w.any()
        ]
        found = transform("ifft", moved[0] if len(moved) == 1 else moved[0] + moved[1])
    found = np.moveaxis(found, -1, axis) if moved else found
    if t is None:
        return found
    return found, t[0] + (t[1] - t[0]) * factor * np.arange(num)


# ---- by filters: y[m] = sum(h[m down - n up] x[n])


def _upfirdn(h, x, up, down):
    if h.ndim == 1:
        return signal.upfirdn(h, x, up, down)
    lead = np.broadcast_shapes(h.shape[:-1], x.shape[:-1])
    h, x = (np.broadcast_to(v, (*lead, v.shape[-1])) for v in (h, x))
    found = [signal.upfirdn(h[k], x[k], up, down) for k in np.ndindex(lead)]
    size = _length(h.shape[-1], x.shape[-1], up, down)
    return np.reshape(found, (*lead, size)) if found else np.empty((*lead, size), h.dtype)


def _length(of_filter, of_input, up, down):
    return ((of_input - 1) * up + of_filter - 1) // down + 1


def _resized(x, start, size):
    """Return a part of the last axis, with zeros behind what there is."""
    x = x[..., start : start + size]
    missing = size - x.shape[-1]
    if not missing:
        return x
    return np.concatenate([x, np.zeros((*x.shape[:-1], missing), x.dtype)], -1)


def _to_input(g, h, size, up, down):
    # Indices that are multiples of `up` count from the filter's end, so zeros are put before it.
    before = -(h.shape[-1] - 1) % up
    reverse = np.concatenate([np.zeros((*h.shape[:-1], before), h.dtype), np.flip(h, -1)], -1)
    found = upfirdn_op(reverse, g, up=down, down=up)
    return _resized(found, (h.shape[-1] - 1 + before) // up, size)


def _between(x, step):
    """Put zeros between elements."""
    if step == 1:
        return x
    size = (x.shape[-1] - 1) * step + 1
    return put_op(x, shape=(size,), index=(..., slice(None, None, step)), own=1)


def _to_filter(g, x, size, up, down):
    x = _between(x, up)
    g = _resized(_between(g, down), 0, x.shape[-1] + size - 1)
    return convolve_op(g, np.flip(x, -1), mode="valid", nd=1, method="derivative")


def _upfirdn_jvp(tangents, ans, h, x, up, down):
    th, tx = tangents
    found = 0.0 if tx is None else upfirdn_op(h, in_front(tx, x, ans), up=up, down=down)
    return found if th is None else found + upfirdn_op(in_front(th, h, ans), x, up=up, down=down)


upfirdn_op = general(
    "signal.upfirdn",
    _upfirdn,
    nin=2,
    promotes=(0, 1),
    saves=(0, 1),
    vjp=(
        lambda g, ans, h, x, up, down: _to_filter(g, x, h.shape[-1], up, down),
        lambda g, ans, h, x, up, down: _to_input(g, h, x.shape[-1], up, down),
    ),
    jvp=_upfirdn_jvp,
    coefficients="operands",
    pattern=patterns.mixes_last,
    direct=("lags of g and x", "g filtered by h reversed, up and down swapped"),
    batch=batching.aligns,
)


# ---- what stands beyond the ends of a signal

_REPEATING = ("edge", "reflect", "symmetric", "wrap")  # as numpy.pad has them
_MODES = ("constant", *_REPEATING, "antisymmetric", "antireflect", "line", "smooth")


def _extended(x, before, after, mode, cval):
    """Return the last axis with elements in front and behind, in SciPy's way `mode`."""
    n = x.shape[-1]
    if mode == "constant":
        cval = np.astype(as_operand(cval, "scipy.signal: cval="), x.dtype)
        sides = [np.broadcast_to(cval, (*x.shape[:-1], k)) for k in (before, after)]
        return np.concatenate([sides[0], x, sides[1]], -1)
    if mode in _REPEATING:
        return np.take(x, np.pad(np.arange(n), (before, after), mode), -1)
    at = np.arange(-before, n + after)
    if mode == "antisymmetric":
        which = np.pad(np.arange(n), (before, after), "symmetric")
        return np.take(x, which, -1) * np.where(at // n % 2, -1, 1).astype(x.real.dtype)
    first, last = x[..., :1], x[..., -1:]
    if mode == "antireflect":  # a half turn about each end
        turns, step = np.divmod(at, max(n - 1, 1))
        odd = turns % 2 == 1
        inner = np.take(x, np.where(odd, max(n - 1, 1) - step, step), -1)
        sign, once = np.where(odd, -1, 1).astype(x.real.dtype), odd.astype(x.real.dtype)
        return sign * inner + 2 * once * first + (turns + odd).astype(x.real.dtype) * (last - first)
    if mode == "line":
        slopes = [(last - first) / (n - 1)] * 2
    else:
        slopes = [x[..., 1:2] - first, last - x[..., -2:-1]]
    below = np.minimum(at, 0).astype(x.real.dtype)
    above = np.maximum(at - (n - 1), 0).astype(x.real.dtype)
    return np.take(x, np.clip(at, 0, n - 1), -1) + slopes[0] * below + slopes[1] * above


def _extended_upfirdn(name, h, x, up, down, mode, cval):
    """Filter the last axis of what goes on beyond its ends."""
    mode, n = "constant" if mode is None else mode, x.shape[-1]
    if mode not in _MODES:
        raise ValueError(f"scipy.signal.{name}: Unknown mode: {mode}")
    if mode == "constant" and not has_variable((cval,)) and cval == 0:
        return upfirdn_op(h, x, up=up, down=down)
    if n < 2 and mode in ("antireflect", "line", "smooth"):
        raise ShapeError(f"scipy.signal.{name}: the mode {mode!r} needs two elements or more")
    reach = (h.shape[-1] - 1) // up
    before = reach + -reach % (down // math.gcd(up, down))  # so many that no output is parted
    size, skipped = _length(h.shape[-1], n, up, down), before * up // down
    found = upfirdn_op(h, _extended(x, before, reach, mode, cval), up=up, down=down)
    return found[..., skipped : skipped + size]


@stands_for(
    "scipy.signal.upfirdn",
    samples=lambda rng: [
        ((rng.normal(size=5), rng.normal(size=4)), {"up": 2, "down": 3, "mode": "line"}),
        ((rng.normal(size=3), rng.normal(size=4)), {"up": 3, "down": 2}),
        ((rng.normal(size=4), rng.normal(size=(3, 2))), {"down": 3, "axis": 0}),
        ((rng.normal(size=2), rng.normal(size=5)), {"down": 4}),
    ],
)
def upfirdn(h, x, up, down, axis, mode, cval):
    """Arguments as in `scipy.signal.upfirdn`."""
    h, x = (as_operand(v, f"scipy.signal.upfirdn: {what}") for v, what in ((h, "h"), (x, "x")))
    if h.ndim != 1 or not h.size:
        raise ValueError("h must be 1-D with non-zero length")
    up, down = int(up), int(down)
    if up < 1 or down < 1:
        raise ValueError("Both up and down must be >= 1")
    axis = normalize_axis_index(axis, x.ndim)
    found = _extended_upfirdn("upfirdn", h, np.moveaxis(x, axis, -1), up, down, mode, cval)
    return np.moveaxis(found, -1, axis)


_BACKGROUNDS = {"mean": np.mean, "median": np.median, "minimum": np.min, "maximum": np.max}


@stands_for(
    "scipy.signal.resample_poly",
    samples=lambda rng: [
        ((rng.normal(size=5), 3, 2), {}),
        ((rng.normal(size=(6, 2)), 2, 6), {"padtype": "mean"}),
        ((rng.normal(size=5), 2, 1), {"window": rng.normal(size=3), "padtype": "median"}),
        ((rng.normal(size=5), 2, 3), {"window": rng.normal(size=9), "padtype": "antireflect"}),
    ],
)
def resample_poly(x, up, down, axis, window, padtype, cval):
    """Arguments as in `scipy.signal.resample_poly`."""
    x = as_operand(x, "scipy.signal.resample_poly: x")
    if up != int(up) or down != int(down) or up < 1 or down < 1:
        raise ValueError("up and down must be integers >= 1")
    if padtype not in (*_BACKGROUNDS, *_MODES):
        known = ", ".join((*_BACKGROUNDS, *_MODES))
        raise ValueError(f"scipy.signal.resample_poly: padtype must be one of: {known}")
    if padtype != "constant" and cval is not None:
        raise ValueError(
            f"scipy.signal.resample_poly: cval= has no effect when padtype is {padtype!r}"
        )
    common = math.gcd(int(up), int(down))
    up, down = int(up) // common, int(down) // common
    if up == down == 1:
        return np.copy(x)
    axis = normalize_axis_index(axis, x.ndim)
    x = np.moveaxis(x, axis, -1)
    n = x.shape[-1]
    wanted = -(-n * up // down)
    if isinstance(window, (list, np.ndarray)) or has_variable(window):
        h = as_operand(window, "scipy.signal.resample_poly: window")
        if h.ndim > 1:
            raise ValueError("window must be 1-D")
        half = (h.size - 1) // 2
    else:
        rate = max(up, down)
        half = 10 * rate
        h = np.asarray(signal.firwin(2 * half + 1, 1.0 / rate, window=window), x.dtype)
    before = down - half % down
    skipped = (half + before) // down
    after = 0
    while _length(h.shape[0] + before + after, n, up, down) < wanted + skipped:
        after += 1
    h = np.concatenate([np.zeros(before, h.dtype), h * up, np.zeros(after, h.dtype)])
    if padtype in _BACKGROUNDS:
        background = _BACKGROUNDS[padtype](x, axis=-1, keepdims=True)
        x = x - background
    mode = "constant" if padtype in _BACKGROUNDS else padtype
    found = _extended_upfirdn("resample_poly", h, x, up, down, mode, 0 if cval is None else cval)
    found = found[..., skipped : skipped + wanted]
    return np.moveaxis(found + background if padtype in _BACKGROUNDS else found, -1, axis)


@stands_for(
    "scipy.signal.decimate",
    samples=lambda rng: [
        ((rng.normal(size=30), 3), {"n": 2}),
        ((rng.normal(size=(7, 2)), 2), {"ftype": "fir", "axis": 0, "n": 4}),
        ((rng.normal(size=6), 2), {"ftype": "fir", "n": 4, "zero_phase": False}),
        ((rng.normal(size=6), 2), {"zero_phase": False, "n": 3}),
    ],
)
def decimate(x, q, n, ftype, axis, zero_phase):
    """Arguments as in `scipy.signal.decimate`; of filters those with a name."""
    if ftype not in ("iir", "fir"):
        raise NoRuleError(
            f"scipy.signal.decimate: ftype= is 'iir' or 'fir' for Variables, not {ftype!r}"
        )
    x = as_operand(x, "scipy.signal.decimate: x")
    q = operator.index(q)
    axis = normalize_axis_index(axis, x.ndim)
    if ftype == "fir":
        taps = 20 * q if n is None else operator.index(n)
        h = np.asarray(signal.firwin(taps + 1, 1.0 / q, window="hamming"), x.dtype)
        if zero_phase:
            return resample_poly(x, 1, q, axis=axis, window=h)
        found = upfirdn(h, x, up=1, down=q, axis=axis)
        return found[(*(slice(None),) * axis, slice(-(-x.shape[axis] // q)))]
    sos = signal.cheby1(8 if n is None else operator.index(n), 0.05, 0.8 / q, output="sos")
    sos = np.asarray(sos, x.dtype)
    found = (sosfiltfilt if zero_phase else sosfilt)(sos, x, axis=axis)
    return found[(*(slice(None),) * axis, slice(None, None, q))]
