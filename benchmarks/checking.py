"""Comparison of results: the check that every gradient passes before its time is reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = [
    "DTYPES",
    "CheckError",
    "check_projection",
    "compare",
    "compare_with_exact",
    "flatten",
    "in_dtype",
]

# What benchmarks are run in that are run in more than one.
DTYPES = ("float64", "float32")

# Units in the last place that two libraries may differ by: in products of hundreds of Jacobians.
_ROUNDING = 10_000.0


class CheckError(Exception):
    """A result differs from its reference; no time may be reported for it."""


def flatten(result: Any) -> list[np.ndarray]:
    """List the arrays of nested dicts, lists and tuples; a dict in the order of its sorted keys.

    Tensors of other libraries become arrays of NumPy; one that carries a graph is detached from it.
    """
    if isinstance(result, dict):
        return [leaf for key in sorted(result) for leaf in flatten(result[key])]
    if isinstance(result, (list, tuple)):
        return [leaf for part in result for leaf in flatten(part)]
    return [np.asarray(result.detach() if hasattr(result, "detach") else result)]


def compare(got: Any, want: Any, rtol: float, what: str = "result") -> float:
    """Return the largest difference, relative to the scale of the reference, or raise.

    What a dtype rounds is allowed whatever `rtol` is: ten thousand times its resolution.

    Raises
    ------
    CheckError
        If the number of arrays, a shape or a dtype differs, or a difference is above `rtol` or NaN.
    """
    got, want = flatten(got), flatten(want)
    if len(got) != len(want):
        raise CheckError(f"{what}: {len(got)} arrays, the reference has {len(want)}")
    worst = 0.0
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        if a.shape != b.shape or a.dtype != b.dtype:
            raise CheckError(
                f"{what} {i}: {a.dtype} of shape {a.shape}, "
                f"the reference is {b.dtype} of shape {b.shape}"
            )
        scale = max(float(np.max(np.abs(b), initial=0.0)), 1e-300)
        error = float(np.max(np.abs(a - b), initial=0.0)) / scale
        limit = max(rtol, _ROUNDING * np.finfo(b.dtype).eps) if b.dtype.kind in "fc" else rtol
        if not error <= limit:
            raise CheckError(f"{what} {i}: relative error {error:.1e} is above {limit:.0e}")
        worst = max(worst, error)
    return worst


def in_dtype(inputs: Any, dtype: str) -> Any:
    """Return numbers and arrays of NumPy, also in dicts and lists, in another dtype."""
    if isinstance(inputs, dict):
        return {key: in_dtype(value, dtype) for key, value in inputs.items()}
    if isinstance(inputs, list):
        return [in_dtype(value, dtype) for value in inputs]
    return inputs.astype(dtype)


def compare_with_exact(got: Any, exact: Any, rtol: float = 1e-10) -> float:
    """Compare results with the same of float64, rounded to their dtypes."""
    got = flatten(got)
    rounded = [x.astype(y.dtype) for x, y in zip(flatten(exact), got, strict=True)]
    return compare(got, rounded, rtol, f"result in {got[0].dtype}")


def check_projection(
    f: Callable[..., float],
    primals: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    rtol: float = 1e-6,
) -> float:
    """Compare ``<gradient, v>`` with a central difference of `f` along a random `v` of +-1.

    Returns
    -------
    float
        The difference relative to the norms that the inner product is made of.
    """
    rng = np.random.default_rng(7)
    h = 1e-5
    directions = [rng.choice([-1.0, 1.0], size=np.shape(p)) for p in primals]
    above = f(*[p + h * v for p, v in zip(primals, directions, strict=True)])
    below = f(*[p - h * v for p, v in zip(primals, directions, strict=True)])
    got = sum(float(np.sum(g * v)) for g, v in zip(gradients, directions, strict=True))
    scale = np.sqrt(sum(float(np.sum(np.square(g))) for g in gradients))
    error = abs(got - float(above - below) / (2 * h)) / max(scale, 1e-300)
    if not error <= rtol:
        raise CheckError(
            f"gradient differs from central differences by {error:.1e} (limit {rtol:.0e})"
        )
    return error
