"""The normal distribution in functions of fastbp's, as `scipy.stats.norm` has it."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastbp.numpy as bnp
import fastbp.scipy.special as bsp

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def _standard(x: Any, loc: Any, scale: Any) -> Any:
    return bnp.divide(bnp.subtract(x, loc), scale)


def logpdf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """Return the logarithm of the density."""
    z = _standard(x, loc, scale)
    return -0.5 * (z * z) - bnp.log(scale) - 0.5 * np.log(2 * np.pi)


def pdf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """Return the density."""
    z = _standard(x, loc, scale)
    return bnp.exp(-0.5 * (z * z)) / (scale * np.sqrt(2 * np.pi))


def cdf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """Return the probability of values up to `x`."""
    return bsp.ndtr(_standard(x, loc, scale))


def sf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """Return the probability of values above `x`."""
    return bsp.ndtr(-_standard(x, loc, scale))


def logcdf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """Return the logarithm of `cdf`."""
    return bsp.log_ndtr(_standard(x, loc, scale))


def logsf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """Return the logarithm of `sf`."""
    return bsp.log_ndtr(-_standard(x, loc, scale))
