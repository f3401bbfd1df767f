"""Responses of filters given by coefficients, and peaks; frequencies and places are constants."""

import numpy as np
from scipy import signal

from fastbp._core.graph import has_variable, values_of
from fastbp.errors import NoRuleError, ShapeError
from fastbp.rules.counterparts import constant, refused, stands_for
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.signal.filtering import SOS

# ---- frequency responses


def _coefficients(name, b, a, real=False):
    b, a = (
        np.atleast_1d(as_operand(c, f"scipy.signal.{name}: {what}", real))
        for c, what in ((b, "b"), (a, "a"))
    )
    if b.ndim != 1 or a.ndim != 1:
        raise NoRuleError(
            f"scipy.signal.{name}: coefficients that are Variables have one axis, not shapes "
            f"{b.shape} and {a.shape}"
        )
    return b, a


def _frequencies(name, given):
    """Return frequencies as a vector; a number or None, for which SciPy makes them, as it is."""
    if given is None or isinstance(given, (int, np.integer)):
        return given
    return np.atleast_1d(as_operand(given, f"scipy.signal.{name}: worN", real=True))


@stands_for(
    "scipy.signal.freqz",
    samples=lambda rng: [
        ((rng.normal(size=3),), {"worN": 4}),
        ((rng.normal(size=2), np.array([2.0, 0.4, 0.1])), {"worN": rng.uniform(0.5, 1.0, 3)}),
        (([1.0, 0.5], np.array([2.0, 0.4])), {"worN": 3, "whole": True, "fs": 2.0}),
    ],
)
def freqz(b, a, worN, whole, plot, fs, include_nyquist):
    """Arguments as in `scipy.signal.freqz`; frequencies given as an array may be Variables."""
    b, a = _coefficients("freqz", b, a)
    if plot is not None:
        raise NoRuleError("scipy.signal.freqz: plot= is not supported for Variables")
    worN = _frequencies("freqz", worN)
    values = map(values_of, (b, a, worN))
    w, h = signal.freqz(*values, whole=whole, fs=fs, include_nyquist=include_nyquist)
    if has_variable(worN):
        w = worN if worN.dtype == w.dtype else np.astype(worN, w.dtype)
    phase = w * (2 * np.pi / fs)

    def at(c):
        return np.exp(-1j * (phase[:, None] * np.arange(c.shape[0]))) @ c

    found = at(b) / at(a)
    return w, found if found.dtype == h.dtype else np.astype(found, h.dtype)


if hasattr(signal, "freqz_sos"):  # SciPy 1.15

    @stands_for(
        "scipy.signal.freqz_sos",
        samples=lambda rng: [((SOS, rng.uniform(0.5, 0.8, 2)), {"fs": 2.0})],
    )
    def freqz_sos(sos, worN, whole, fs):
        """Arguments as in `scipy.signal.freqz_sos`."""
        sos = as_operand(sos, "scipy.signal.freqz_sos: sos")
        worN = _frequencies("freqz_sos", worN)
        found = 1.0
        for k in range(sos.shape[0]):
            w, h = freqz(sos[k, :3], sos[k, 3:], worN, whole=whole, fs=fs)
            found = found * h
        return w, found


@stands_for("scipy.signal.sos2tf", samples=lambda rng: [((rng.normal(size=(3, 6)),), {})])
def sos2tf(sos):
    """Arguments as in `scipy.signal.sos2tf`."""
    sos = as_operand(sos, "scipy.signal.sos2tf: sos")
    b, a = np.ones(1, sos.dtype), np.ones(1, sos.dtype)
    for k in range(sos.shape[0]):
        b, a = np.polymul(b, sos[k, :3]), np.polymul(a, sos[k, 3:])
    return b, a


@stands_for(
    "scipy.signal.freqs",
    samples=lambda rng: [
        ((rng.normal(size=2), np.array([2.0, 0.4, 0.1])), {"worN": rng.uniform(0.5, 1.0, 3)}),
        ((rng.normal(size=3), [2.0, 0.4]), {"worN": [0.5, 2.0]}),
    ],
)
def freqs(b, a, worN, plot):
    """Arguments as in `scipy.signal.freqs`; frequencies that SciPy finds itself are constants."""
    b, a = _coefficients("freqs", b, a)
    if plot is not None:
        raise NoRuleError("scipy.signal.freqs: plot= is not supported for Variables")
    worN = _frequencies("freqs", worN)
    if has_variable(worN):
        w = worN
    else:
        w, _ = signal.freqs(values_of(b), values_of(a), worN)
    s = 1j * w
    return w, np.polyval(b, s) / np.polyval(a, s)


# ---- other filters, by a rational function in the place of s


def _substituted(c, above, below, degree):
    """Return the polynomial ``c(above / below) * below**degree``, by Horner's scheme."""
    found, power = c[:1], np.ones(1)
    for k in range(1, c.shape[0]):
        power = np.convolve(power, below)
        found = np.polyadd(np.convolve(found, above), c[k] * power)
    for _ in range(degree + 1 - c.shape[0]):
        found = np.convolve(found, below)
    return found


def _transformed(b, a, above, below, expected):
    """Return both with ``a[0] == 1``, without the leading zeros that `expected`, SciPy's, lacks."""
    degree = max(b.shape[0], a.shape[0]) - 1
    b, a = (
        _substituted(c, above, below, degree)[-of_scipy.size :]
        for c, of_scipy in zip((b, a), expected, strict=True)
    )
    return tuple(
        [np.astype(c / a[0], of_scipy.dtype) for c, of_scipy in zip((b, a), expected, strict=True)]
    )


@stands_for(
    "scipy.signal.bilinear",
    samples=lambda rng: [
        ((rng.normal(size=2), np.array([2.0, 0.4, 0.1])), {"fs": 2.0}),
        ((rng.normal(size=3), np.array([2.0, 0.4])), {}),
    ],
)
def bilinear(b, a, fs):
    """Arguments as in `scipy.signal.bilinear`; `fs` may be a Variable."""
    b, a = _coefficients("bilinear", b, a, real=True)
    expected = signal.bilinear(  # raises, or warns, where SciPy does
        values_of(b), values_of(a), values_of(fs)[()] if has_variable(fs) else fs
    )
    b, a = (c[int(np.argmax(values_of(c) != 0.0)) :] for c in (b, a))
    scale = np.sqrt(2.0 * fs)
    above, below = np.array([1.0, -1.0]) * scale, np.ones(2) / scale
    return _transformed(b, a, above, below, expected)


def _prototype(name, b, a, **frequencies):
    """Return the coefficients, frequencies as vectors of one element, and what SciPy returns."""
    b, a = _coefficients(name, b, a, real=True)
    given = {
        what: as_operand(x, f"scipy.signal.{name}: {what}", real=True)
        for what, x in frequencies.items()
    }
    for what, x in given.items():
        if x.size != 1:
            raise ShapeError(
                f"scipy.signal.{name}: {what} must be a number, not of shape {x.shape}"
            )
    numbers = [np.reshape(x, (1,)) for x in given.values()]
    expected = getattr(signal, name)(
        *map(values_of, (b, a)), *[float(values_of(x)[0]) for x in numbers]
    )
    return b, a, *numbers, expected


def _prototypes(*frequencies):
    return lambda rng: [
        ((rng.uniform(0.5, 1.0, n), rng.uniform(0.5, 1.0, m), *frequencies), {})
        for n, m in ((2, 3), (3, 3), (1, 3))
    ]


@stands_for("scipy.signal.lp2lp", samples=_prototypes(np.array(2.0)))
def lp2lp(b, a, wo):
    """Arguments as in `scipy.signal.lp2lp`; `wo` may be a Variable."""
    b, a, wo, expected = _prototype("lp2lp", b, a, wo=wo)
    return _transformed(b, a, np.array([1.0, 0.0]), wo, expected)


@stands_for("scipy.signal.lp2hp", samples=_prototypes(np.array(2.0)))
def lp2hp(b, a, wo):
    """Arguments as in `scipy.signal.lp2hp`; `wo` may be a Variable."""
    b, a, wo, expected = _prototype("lp2hp", b, a, wo=wo)
    return _transformed(b, a, wo, np.array([1.0, 0.0]), expected)


def _resonance(wo, bw):
    """Return ``s**2 + wo**2`` and ``bw * s``."""
    return np.concatenate([np.array([1.0, 0.0]), wo * wo]), bw * np.array([1.0, 0.0])


@stands_for("scipy.signal.lp2bp", samples=_prototypes(np.array(2.0), np.array(0.7)))
def lp2bp(b, a, wo, bw):
    """Arguments as in `scipy.signal.lp2bp`; `wo` and `bw` may be Variables."""
    b, a, wo, bw, expected = _prototype("lp2bp", b, a, wo=wo, bw=bw)
    return _transformed(b, a, *_resonance(wo, bw), expected)


@stands_for("scipy.signal.lp2bs", samples=_prototypes(np.array(2.0), np.array(0.7)))
def lp2bs(b, a, wo, bw):
    """Arguments as in `scipy.signal.lp2bs`; `wo` and `bw` may be Variables."""
    b, a, wo, bw, expected = _prototype("lp2bs", b, a, wo=wo, bw=bw)
    return _transformed(b, a, *_resonance(wo, bw)[::-1], expected)


# ---- peaks


def _peaks_samples(rng):
    x = np.array([0.0, 2.0, 1.0, 3.5, -1.0, 4.0, 0.5])
    return [
        ((x,), {"height": 1.5, "threshold": 0.5, "distance": 1, "plateau_size": 1}),
        ((x,), {"prominence": 0.5}),
    ]


@stands_for(
    "scipy.signal.find_peaks", kinks="which peaks there are is a constant", samples=_peaks_samples
)
def find_peaks(x, height, threshold, distance, prominence, width, wlen, rel_height, plateau_size):
    """Arguments as in `scipy.signal.find_peaks`; ``width=`` is refused.

    Notes
    -----
    Places are constants; heights, thresholds and prominences of peaks are differentiated.
    """
    if width is not None:
        raise NoRuleError("scipy.signal.find_peaks: width= is not supported for Variables")
    x = np.astype(as_operand(x, "scipy.signal.find_peaks: x", real=True), np.float64)
    conditions = [values_of(c) for c in (height, threshold, distance, prominence)]
    peaks, found = signal.find_peaks(
        values_of(x), *conditions, wlen=wlen, plateau_size=plateau_size
    )
    if "peak_heights" in found:
        found["peak_heights"] = x[peaks]
    if "left_thresholds" in found:
        found["left_thresholds"] = x[peaks] - x[peaks - 1]
        found["right_thresholds"] = x[peaks] - x[peaks + 1]
    if "prominences" in found:
        bases = np.maximum(x[found["left_bases"]], x[found["right_bases"]])
        found["prominences"] = x[peaks] - bases
    return peaks, found


PLACES = "places, order, counts"
OTHERS = {
    name: constant(f"scipy.signal.{name}", PLACES)
    for name in ("argrelextrema", "argrelmax", "argrelmin", "find_peaks_cwt")
}
_ROOTS = "zeros and poles are roots, whose order and multiplicity jump: filter by coefficients"
OTHERS |= {
    name: refused(f"scipy.signal.{name}", _ROOTS)
    for name in ("sos2zpk", "tf2sos", "tf2zpk", "unique_roots", "zpk2sos")
}
