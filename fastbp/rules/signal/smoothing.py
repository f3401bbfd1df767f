"""Filters of samples that those of images stand for: medians, Savitzky and Golay's, Wiener's."""

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from scipy import signal

from fastbp._core.graph import has_variable
from fastbp.errors import NoRuleError
from fastbp.rules.counterparts import stands_for
from fastbp.rules.ndimage.filters import correlated
from fastbp.rules.ndimage.order import ranked
from fastbp.rules.numpy.order import EQUALS
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.signal.convolution import correlated as correlated_in_full

# ---- order


def _median(name, x, sizes):
    sizes = np.broadcast_to(3 if sizes is None else sizes, (x.ndim,)).tolist()
    if any(n % 2 != 1 for n in sizes):
        raise ValueError("Each element of kernel_size should be odd.")
    window = np.ones(sizes, bool)
    return ranked(
        f"scipy.signal.{name}", x, window.size // 2, window, "constant", 0.0, [0] * x.ndim
    )


def _distinct(shape):
    return lambda rng: [
        (((1 + rng.permutation(12).reshape(shape)) / 4.0, 3), {}),
        (((1 + rng.permutation(12).reshape(shape)) / 4.0,), {}),
    ]


@stands_for("scipy.signal.medfilt", samples=_distinct((12,)), kinks=EQUALS)
def medfilt(volume, kernel_size):
    """Arguments as in `scipy.signal.medfilt`."""
    x = np.atleast_1d(as_operand(volume, "scipy.signal.medfilt: volume", real=True))
    return _median("medfilt", x, kernel_size)


@stands_for("scipy.signal.medfilt2d", samples=_distinct((3, 4)), kinks=EQUALS)
def medfilt2d(input, kernel_size):
    """Arguments as in `scipy.signal.medfilt2d`."""
    x = as_operand(input, "scipy.signal.medfilt2d: input", real=True)
    if x.ndim != 2:
        raise ValueError("medfilt2d only accepts arrays of two axes")
    return _median("medfilt2d", x, kernel_size)


@stands_for(
    "scipy.signal.order_filter",
    samples=lambda rng: [
        (((1 + rng.permutation(12).reshape(3, 4)) / 4.0, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], 1), {})
    ],
    kinks=EQUALS,
)
def order_filter(a, domain, rank):
    """Arguments as in `scipy.signal.order_filter`; the domain is a constant."""
    if has_variable(domain):
        raise NoRuleError("scipy.signal.order_filter: domain= is a constant, no Variable")
    x = as_operand(a, "scipy.signal.order_filter: a", real=True)
    domain = np.asarray(domain)
    if any(n % 2 != 1 for n in domain.shape):
        raise ValueError(
            f"Each dimension of domain argument should have an odd number of elements, not "
            f"{domain.shape}"
        )
    return ranked("scipy.signal.order_filter", x, rank, domain != 0, "constant", 0.0, [0] * x.ndim)


# ---- polynomials


@stands_for(
    "scipy.signal.savgol_filter",
    samples=lambda rng: [
        ((rng.normal(size=7), 5, 2), {}),
        ((rng.normal(size=(6, 2)), 4, 2), {"axis": 0, "deriv": 1, "delta": 0.5}),
        ((rng.normal(size=6), 3, 1), {"mode": "constant", "cval": 0.5}),
        ((rng.normal(size=6), 3, 2), {"mode": "mirror"}),
    ],
)
def savgol_filter(x, window_length, polyorder, deriv, delta, axis, mode, cval):
    """Arguments as in `scipy.signal.savgol_filter`: a linear map of the samples."""
    if mode not in ("mirror", "constant", "nearest", "interp", "wrap"):
        raise ValueError("mode must be 'mirror', 'constant', 'nearest' 'wrap' or 'interp'.")
    x = as_operand(x, "scipy.signal.savgol_filter: x", real=True)
    axis = normalize_axis_index(axis, x.ndim)
    weights = signal.savgol_coeffs(window_length, polyorder, deriv=deriv, delta=delta)
    x = np.moveaxis(x, axis, -1)
    shift = (-(window_length % 2 == 0),)
    if mode != "interp":
        found = correlated(x, weights[::-1], (-1,), mode, cval, shift)
        return np.moveaxis(found, -1, axis)
    if window_length > x.shape[-1]:
        raise ValueError(
            "If mode is 'interp', window_length must be less than or equal to the size of x."
        )
    found = correlated(x, weights[::-1], (-1,), "constant", 0.0, shift)
    # At the ends polynomials of a whole window stand: what becomes of each sample of one.
    ends = signal.savgol_filter(
        np.eye(window_length), window_length, polyorder, deriv, delta, 0, "interp"
    ).astype(x.real.dtype)
    half = window_length // 2
    first = x[..., :window_length] @ ends[:half].T
    last = x[..., x.shape[-1] - window_length :] @ ends[window_length - half :].T
    middle = found[..., half : x.shape[-1] - half]
    return np.moveaxis(np.concatenate([first, middle, last], -1), -1, axis)


# ---- noise


@stands_for(
    "scipy.signal.wiener",
    samples=lambda rng: [
        ((rng.normal(size=(3, 4)),), {}),
        ((rng.normal(size=5), 3, np.array(0.3)), {}),
    ],
    kinks="the slope of the branch that was taken",
)
def wiener(im, mysize, noise):
    """Arguments as in `scipy.signal.wiener`; the power of the noise may be a Variable."""
    x = as_operand(im, "scipy.signal.wiener: im", real=True)
    sizes = np.broadcast_to(3 if mysize is None else mysize, (x.ndim,)).tolist()
    ones, count = np.ones(sizes), float(np.prod(sizes))
    mean = correlated_in_full(x, ones, "same", "direct") / count
    variance = correlated_in_full(x**2, ones, "same", "direct") / count - mean**2
    if noise is None:
        noise = np.mean(variance)
    noise = as_operand(noise, "scipy.signal.wiener: noise", real=True)
    filtered = (x - mean) * (1 - noise / variance) + mean
    return np.where(variance < noise, mean, filtered)
