"""Spectra of segments: SciPy's algorithms on rows of `scipy.fft`.

Frequencies and times are constants.
"""

import warnings

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from scipy import fft as scipy_fft
from scipy import signal

from fastbp._core.graph import values_of
from fastbp.errors import DTypeError, ShapeError
from fastbp.rules.counterparts import stands_for
from fastbp.rules.fft import of_scipy  # noqa: F401  (its functions are in the table)
from fastbp.rules.numpy.indexing import scatter_add_op
from fastbp.rules.numpy.numerical import chosen_op
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.signal.detrending import detrended
from fastbp.rules.signal.filtering import extended
from fastbp.rules.table import FUNCTIONS

__all__ = ["transform"]


def transform(name, x, **given):
    """Apply a function of `fastbp.scipy.fft`."""
    return FUNCTIONS[f"scipy.fft.{name}"](x, **given)


def _window(name, window, nperseg, length):
    """Return the numbers of a window, and how many there are, as SciPy finds them."""
    if isinstance(window, (str, tuple)):
        nperseg = 256 if nperseg is None else int(nperseg)
        if nperseg < 1:
            raise ValueError("nperseg must be a positive integer")
        if nperseg > length:
            warnings.warn(
                f"nperseg = {nperseg:d} is greater than input length  = {length:d}, using "
                f"nperseg = {length:d}",
                stacklevel=6,
            )
            nperseg = length
        return signal.get_window(window, nperseg), nperseg
    win = as_operand(window, f"scipy.signal.{name}: window", real=True)
    if win.ndim != 1:
        raise ValueError("window must be 1-D")
    if length < win.shape[0]:
        raise ValueError("window is longer than input signal")
    if nperseg is not None and nperseg != win.shape[0]:
        raise ValueError("value specified for nperseg is different from length of window")
    return win, win.shape[0]


def _segments(x, size, step):
    count = max((x.shape[-1] - size) // step + 1, 0)
    places = step * np.arange(count)[:, None] + np.arange(size)
    found = chosen_op(x, places=places.reshape(-1))
    return np.reshape(found, (*x.shape[:-1], count, size))


def _overlaps(nperseg, noverlap, nfft):
    nfft = nperseg if nfft is None else int(nfft)
    if nfft < nperseg:
        raise ValueError("nfft must be greater than or equal to nperseg.")
    noverlap = nperseg // 2 if noverlap is None else int(noverlap)
    if noverlap >= nperseg:
        raise ValueError("noverlap must be less than nperseg.")
    return noverlap, nfft


def _spectrum(x, win, step, nfft, detrend, one_sided, axis):
    """Return the transforms of the segments of the last axis: (..., segments, frequencies)."""
    parts = _segments(x, win.shape[-1], step)
    if callable(detrend):
        own = axis % x.ndim
        own = own if own < x.ndim - 1 else -1
        parts = np.moveaxis(detrend(np.moveaxis(parts, -1, own)), own, -1)
    elif detrend:
        parts = detrended(parts, detrend)
    return transform("rfft" if one_sided else "fft", parts * win, n=nfft)


def _padded(x, before, after):
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(before, after)]) if before or after else x


def _spectra(
    name, x, y, dtype, fs, window, nperseg, noverlap, nfft, detrend, return_onesided, scaling, axis,
    power, boundary=None, padded=False,
):  # fmt: skip
    """Return frequencies, times and spectra, the axis of which is the last but one.

    `dtype` is SciPy's of complex spectra: it follows from that of the data, as they were given.
    """
    same = y is x
    given = [x] if same else [x, y]
    moved = [np.moveaxis(v, axis, -1) for v in given]
    length = max(v.shape[-1] for v in moved)
    moved = [_padded(v, 0, length - v.shape[-1]) for v in moved]
    np.broadcast_shapes(*[v.shape for v in moved])  # raises
    win, nperseg = _window(name, window, nperseg, length)
    noverlap, nfft = _overlaps(nperseg, noverlap, nfft)
    step = nperseg - noverlap
    if boundary is not None:
        edge = nperseg // 2
        moved = [
            _padded(v, edge, edge) if boundary == "zeros" else extended(v, edge, boundary)
            for v in moved
        ]
    if padded:
        length = moved[0].shape[-1]
        missing = (-(length - nperseg) % step) % nperseg
        moved = [_padded(v, 0, missing) for v in moved]
    real = np.zeros(0, dtype).real.dtype
    win = np.astype(win, real if win.dtype.kind != "c" else dtype)
    if scaling == "density":
        scale = 1.0 / (fs * np.sum(win * win))
    elif scaling == "spectrum":
        scale = 1.0 / np.sum(win) ** 2
    else:
        raise ValueError(f"Unknown scaling: {scaling!r}")
    one_sided = return_onesided and all(v.dtype.kind != "c" for v in moved)
    if return_onesided and not one_sided and not power:
        warnings.warn("Input data is complex, switching to return_onesided=False", stacklevel=5)
    found = [_spectrum(v, win, step, nfft, detrend, one_sided, axis) for v in moved]
    if not power:
        spectra = found[0] * np.sqrt(scale)
    else:
        if same:
            spectra = np.real(found[0]) ** 2 + np.imag(found[0]) ** 2
        else:
            spectra = np.conjugate(found[0]) * found[1]
        weights = np.ones(spectra.shape[-1], win.real.dtype)
        if one_sided:
            weights[1 : None if nfft % 2 else -1] = 2.0
        spectra = spectra * (weights * scale)
    spectra = np.astype(spectra, dtype if spectra.dtype.kind == "c" else real)
    freqs = (scipy_fft.rfftfreq if one_sided else scipy_fft.fftfreq)(nfft, 1 / fs)
    last = moved[0].shape[-1] - nperseg / 2 + 1
    time = np.arange(nperseg / 2, last, step) / float(fs)
    if boundary is not None:
        time -= (nperseg / 2) / fs
    return freqs, time, np.swapaxes(spectra, -1, -2)


def _at(spectra, axis, nd):
    """Move the axis of frequencies to where that of the data was; segments stay the last one."""
    return np.moveaxis(spectra, -2, axis % nd)


def _averaged(name, x, y, axis, average, **given):
    freqs, _, found = _spectra(name, x, y, axis=axis, power=True, **given)
    if found.shape[-1] == 1:
        found = found[..., 0]
    elif average == "mean":
        found = np.mean(found, -1)
    elif average == "median":
        count = np.arange(1.0, (found.shape[-1] - 1) // 2 + 1) * 2
        bias = 1 + np.sum(1.0 / (count + 1) - 1.0 / count)
        if found.dtype.kind == "c":
            found = np.median(np.real(found), -1) + 1j * np.median(np.imag(found), -1)
        else:
            found = np.median(found, -1)
        found = found / float(bias)
    else:
        raise ValueError(f"average must be 'median' or 'mean', got {average}")
    return freqs, np.moveaxis(found, -1, axis)


_OF_NOTHING = ("welch", "csd", "coherence", "periodogram", "spectrogram", "stft")


def _of_nothing(axis, *signals, count=2):
    """Return what SciPy does of signals without elements: `count` results without any."""
    lead = np.broadcast_shapes(*[v.shape[:axis] + v.shape[axis + 1 :] for v in signals])
    shape = (*lead, min(v.shape[axis] for v in signals))
    return tuple([np.moveaxis(np.zeros(shape), -1, axis) for _ in range(count)])


def _signals(name, axis, **given):
    """Return the axis, the dtype of complex spectra, and the signals as floating-point numbers."""
    found = [as_operand(v, f"scipy.signal.{name}: {what}") for what, v in given.items()]
    # Of integers and single precision SciPy's spectra are not of the operand's dtype.
    kinds = [v if hasattr(v, "dtype") else np.asarray(values_of(v)) for v in given.values()]
    dtype = np.result_type(*[v.dtype for v in kinds], np.complex64)
    for v in found:
        if not v.size and name not in _OF_NOTHING:
            raise ValueError(f"scipy.signal.{name}: a Variable without elements has no spectrum")
    if len({v.dtype.kind == "c" for v in found}) > 1:
        kinds = " and ".join(str(v.dtype) for v in found)
        raise DTypeError(
            f"scipy.signal.{name}: the signals must both be real or both complex, not {kinds}"
        )
    own = [normalize_axis_index(axis, v.ndim) for v in found]
    if len({v.ndim for v in found}) == 1:
        return (own[0], dtype, *found)
    # The other axes are broadcast, so that only an axis counted from behind is the same one in all.
    if axis >= 0 or len({v.shape[k] for v, k in zip(found, own, strict=True)}) > 1:
        shapes = " and ".join(str(v.shape) for v in found)
        raise ShapeError(
            f"scipy.signal.{name}: signals of shapes {shapes} along axis={axis}: of different "
            "ranks, they must have one length along an axis < 0; write x[..., None] or "
            "numpy.expand_dims(x, axis) for one rank"
        )
    return (axis, dtype, *found)


def _welch_samples(rng):
    return [
        ((rng.normal(size=9),), {"nperseg": 4}),
        ((rng.normal(size=8), 2.0, "boxcar"), {"nperseg": 4, "noverlap": 1, "scaling": "spectrum"}),
        ((rng.normal(size=9),), {"nperseg": 3, "average": "median", "nfft": 5}),
        ((rng.normal(size=(4, 2)),), {"nperseg": 4, "detrend": "linear", "axis": 0}),
        ((rng.normal(size=6),), {"window": rng.uniform(0.5, 1.0, 3), "detrend": False,
                                 "return_onesided": False}),
    ]  # fmt: skip


@stands_for("scipy.signal.welch", samples=_welch_samples)
def welch(x, fs, window, nperseg, noverlap, nfft, detrend, return_onesided, scaling, axis, average):
    """Arguments as in `scipy.signal.welch`; a window given as an array may be a Variable."""
    axis, dtype, x = _signals("welch", axis, x=x)
    if not x.size:
        return _of_nothing(axis, x)
    return _averaged(
        "welch", x, x, axis, average, dtype=dtype, fs=fs, window=window, nperseg=nperseg,
        noverlap=noverlap, nfft=nfft, detrend=detrend, return_onesided=return_onesided,
        scaling=scaling,
    )  # fmt: skip


@stands_for(
    "scipy.signal.csd",
    samples=lambda rng: [
        ((rng.normal(size=6), rng.normal(size=7)), {"nperseg": 4}),
        ((rng.normal(size=8), rng.normal(size=8)), {"nperseg": 2, "average": "median"}),
    ],
)
def csd(
    x, y, fs, window, nperseg, noverlap, nfft, detrend, return_onesided, scaling, axis, average
):
    """Arguments as in `scipy.signal.csd`."""
    same = y is x
    axis, dtype, x, y = _signals("csd", axis, x=x, y=y)
    if not x.size or not y.size:
        return _of_nothing(axis, x, y)
    return _averaged(
        "csd", x, x if same else y, axis, average, dtype=dtype, fs=fs, window=window,
        nperseg=nperseg, noverlap=noverlap, nfft=nfft, detrend=detrend,
        return_onesided=return_onesided, scaling=scaling,
    )  # fmt: skip


@stands_for(
    "scipy.signal.coherence",
    samples=lambda rng: [((rng.normal(size=7), rng.normal(size=7)), {"nperseg": 3})],
)
def coherence(x, y, fs, window, nperseg, noverlap, nfft, detrend, axis):
    """Arguments as in `scipy.signal.coherence`."""
    axis, dtype, x, y = _signals("coherence", axis, x=x, y=y)
    if not x.size and not y.size:
        return _of_nothing(axis, x, y)
    if not x.size or not y.size:
        raise ShapeError(
            f"scipy.signal.coherence: x of shape {x.shape} and y of shape {y.shape}: both or none "
            "must be without elements"
        )
    given = {
        "dtype": dtype, "fs": fs, "window": window, "nperseg": nperseg, "noverlap": noverlap,
        "nfft": nfft, "detrend": detrend, "return_onesided": True, "scaling": "density",
    }  # fmt: skip
    freqs, pxx = _averaged("coherence", x, x, axis, "mean", **given)
    _, pyy = _averaged("coherence", y, y, axis, "mean", **given)
    _, pxy = _averaged("coherence", x, y, axis, "mean", **given)
    return freqs, (np.real(pxy) ** 2 + np.imag(pxy) ** 2) / pxx / pyy


@stands_for(
    "scipy.signal.periodogram",
    samples=lambda rng: [
        ((rng.normal(size=5),), {}),
        ((rng.normal(size=(2, 4)),), {"nfft": 3, "scaling": "spectrum"}),
        ((rng.normal(size=(4, 2)),), {"nfft": 6, "axis": 0, "window": "hann"}),
    ],
)
def periodogram(x, fs, window, nfft, detrend, return_onesided, scaling, axis):
    """Arguments as in `scipy.signal.periodogram`."""
    axis, dtype, x = _signals("periodogram", axis, x=x)
    if not x.size:
        return _of_nothing(axis, x)
    size = x.shape[axis]
    if nfft is not None and nfft < size:
        x = x[(*(slice(None),) * axis, slice(nfft))]
        size = nfft
    return _averaged(
        "periodogram", x, x, axis, "mean", dtype=dtype, fs=fs,
        window="boxcar" if window is None else window, nperseg=size, noverlap=0, nfft=nfft,
        detrend=detrend, return_onesided=return_onesided, scaling=scaling,
    )  # fmt: skip


@stands_for(
    "scipy.signal.spectrogram",
    samples=lambda rng: [
        ((rng.normal(size=7),), {"nperseg": 3}),
        ((rng.normal(size=(7, 2)),), {"nperseg": 4, "noverlap": 1, "axis": 0, "mode": "magnitude"}),
        ((rng.normal(size=6),), {"nperseg": 3, "mode": "complex", "window": "hann"}),
    ],
)
def spectrogram(
    x, fs, window, nperseg, noverlap, nfft, detrend, return_onesided, scaling, axis, mode
):
    """Arguments as in `scipy.signal.spectrogram`."""
    if mode not in ("psd", "complex", "magnitude", "angle", "phase"):
        raise ValueError(f"unknown value for mode {mode}")
    axis, dtype, x = _signals("spectrogram", axis, x=x)
    if not x.size:
        signal.spectrogram(np.zeros(x.shape), fs, axis=axis)  # raises where it has a window of none
        return _of_nothing(axis, x, count=3)
    window, nperseg = _window("spectrogram", window, nperseg, x.shape[axis])
    freqs, time, found = _spectra(
        "spectrogram", x, x, dtype, fs, window, nperseg,
        nperseg // 8 if noverlap is None else noverlap, nfft, detrend,
        return_onesided, scaling, axis, mode == "psd",
    )  # fmt: skip
    if mode == "magnitude":
        found = np.abs(found)
    elif mode in ("angle", "phase"):
        found = np.angle(found)
        if mode == "phase":
            found = np.unwrap(found, axis=-2)
    return freqs, time, _at(found, axis, x.ndim)


@stands_for(
    "scipy.signal.stft",
    samples=lambda rng: [
        ((rng.normal(size=6),), {"nperseg": 3}),
        ((rng.normal(size=(5, 2)), 2.0, "boxcar", 4, 1), {"axis": 0, "boundary": "odd"}),
        ((rng.normal(size=6),), {"nperseg": 4, "boundary": "even", "padded": False,
                                 "scaling": "psd", "detrend": "constant"}),
        ((rng.normal(size=6),), {"nperseg": 4, "nfft": 5, "boundary": None,
                                 "return_onesided": False}),
    ],
)  # fmt: skip
def stft(
    x, fs, window, nperseg, noverlap, nfft, detrend, return_onesided, boundary, padded, axis,
    scaling,
):  # fmt: skip
    """Arguments as in `scipy.signal.stft`."""
    if scaling not in ("spectrum", "psd"):
        raise ValueError(f"Parameter scaling={scaling!r} not in ['spectrum', 'psd']!")
    if boundary not in ("even", "odd", "constant", "zeros", None):
        raise ValueError(f"Unknown boundary option '{boundary}'")
    axis, dtype, x = _signals("stft", axis, x=x)
    if not x.size:
        return _of_nothing(axis, x, count=3)
    freqs, time, found = _spectra(
        "stft", x, x, dtype, fs, window, nperseg, noverlap, nfft, detrend, return_onesided,
        "density" if scaling == "psd" else scaling, axis, False, boundary, padded,
    )  # fmt: skip
    return freqs, time, _at(found, axis, x.ndim)


def _istft_samples(rng):
    real = rng.normal(size=(3, 4))
    return [
        ((real,), {}),
        ((real, 2.0, "hann", 4, 3), {"scaling": "psd"}),
        ((np.swapaxes(real, 0, 1).copy(),), {"time_axis": 0, "freq_axis": 1, "nperseg": 5}),
        ((real,), {"input_onesided": False, "window": "boxcar"}),
    ]


@stands_for("scipy.signal.istft", samples=_istft_samples)
def istft(
    Zxx, fs, window, nperseg, noverlap, nfft, input_onesided, boundary, time_axis, freq_axis,
    scaling,
):  # fmt: skip
    """Arguments as in `scipy.signal.istft`."""
    z = as_operand(Zxx, "scipy.signal.istft: Zxx")
    if z.ndim < 2:
        raise ValueError("Input stft must be at least 2d!")
    time_axis, freq_axis = (normalize_axis_index(k, z.ndim) for k in (time_axis, freq_axis))
    if freq_axis == time_axis:
        raise ValueError("Must specify differing time and frequency axes!")
    z = np.moveaxis(z, (time_axis, freq_axis), (-2, -1))
    count, bins = z.shape[-2:]
    usual = 2 * (bins - 1) if input_onesided else bins
    nperseg = usual if nperseg is None else int(nperseg)
    if nperseg < 1:
        raise ValueError("nperseg must be a positive integer")
    if nfft is None:
        nfft = nperseg if input_onesided and nperseg == usual + 1 else usual
    noverlap, nfft = _overlaps(nperseg, noverlap, nfft)
    step = nperseg - noverlap
    if isinstance(window, (str, tuple)):
        win = signal.get_window(window, nperseg)
    else:
        win = as_operand(window, "scipy.signal.istft: window", real=True)
        if win.shape != (nperseg,):
            raise ValueError(f"window must have length of {nperseg}")
    if z.dtype.kind != "c":
        z = z * z.dtype.type(1) + np.zeros((), np.result_type(z.dtype, np.complex64))
    parts = transform("irfft" if input_onesided else "ifft", z, n=nfft)[..., :nperseg]
    win = np.astype(win, np.zeros(0, parts.dtype).real.dtype)
    if scaling == "spectrum":
        parts = parts * np.sum(win)
    elif scaling == "psd":
        parts = parts * np.sqrt(fs * np.sum(win**2))
    else:
        raise ValueError(f"Parameter scaling={scaling!r} not in ['spectrum', 'psd']!")
    size = nperseg + (count - 1) * step
    places = (step * np.arange(count)[:, None] + np.arange(nperseg)).reshape(-1)

    def added(v):
        flat = np.reshape(v, (*v.shape[:-2], count * nperseg))
        return scatter_add_op(flat, size=size, places=places, behind=0)

    x, norm = added(parts * win), added(np.broadcast_to(win**2, (count, nperseg)))
    if boundary:
        edge = nperseg // 2
        x, norm = x[..., edge : size - edge or None], norm[..., edge : size - edge or None]
    enough = norm > 1e-10
    if not np.all(enough):
        hint = "" if boundary else " Possibly due to missing boundary"
        warnings.warn("NOLA condition failed, STFT may not be invertible." + hint, stacklevel=4)
    x = x / np.where(enough, norm, 1.0)
    if x.ndim > 1:
        x = np.moveaxis(x, -1, time_axis - (freq_axis < time_axis))
    return np.arange(x.shape[0]) / float(fs), x
