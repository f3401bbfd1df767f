"""Responses of filters given by coefficients, and peaks; frequencies and places are constants."""

import numpy as np
from scipy import signal

from fastbp._core.graph import has_variable, values_of
from fastbp.errors import NoRuleError
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


@stands_for(
    "scipy.signal.bilinear",
    samples=lambda rng: [
        ((rng.normal(size=2), np.array([2.0, 0.4, 0.1])), {"fs": 2.0}),
        ((rng.normal(size=3), np.array([2.0, 0.4])), {}),
    ],
)
def bilinear(b, a, fs):
    """Arguments as in `scipy.signal.bilinear`."""
    b, a = _coefficients("bilinear", b, a, real=True)
    signal.bilinear(values_of(b), values_of(a), fs)  # raises, or warns, where SciPy does
    b, a = (c[int(np.argmax(values_of(c) != 0.0)) :] for c in (b, a))
    degree = max(a.shape[0], b.shape[0]) - 1
    scale = np.sqrt(2.0 * fs)

    def mapped(c):
        n = c.shape[0]
        rows = [
            np.polynomial.polynomial.polymul(
                np.polynomial.polynomial.polypow(np.array([1.0, 1.0]) / scale, degree - q),
                np.polynomial.polynomial.polypow(np.array([-1.0, 1.0]) * scale, q),
            )[::-1]
            for q in range(n)[::-1]
        ]
        return c @ np.array(rows)

    b, a = mapped(b), mapped(a)
    b, a = b / a[0], a / a[0]
    small = np.abs(values_of(b)) > 1e-14
    first = int(np.argmax(small)) if small.any() else b.shape[0] - 1
    return b[first:], a


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
