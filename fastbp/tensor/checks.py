"""What tensors are made of, multiplied with and limited to: checks with clear errors."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

from fastbp._core.dtypes import FLOATS
from fastbp._core.graph import leaf_array
from fastbp.errors import DTypeError
from fastbp.limits import check_memory, in_units

__all__ = [
    "as_floats",
    "as_number",
    "check_dense",
    "check_sparse",
    "float_type",
    "in_units",
]


def float_type(name: str, dtype: Any) -> np.dtype[Any]:
    """Return float64 or float32, in native byte order; refuse anything else."""
    found: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
    if found not in FLOATS:
        raise DTypeError(f"{name}: tensors are float64 or float32, not {found}")
    return found


def as_floats(name: str, x: Any) -> np.ndarray:
    """Return an array (not of a subclass) of float64 or float32; refuse anything else."""
    return leaf_array(x, name)


def as_number(x: Any) -> float | None:
    """Return a real scalar (or 0-d array of one) as a float, None for anything else."""
    if isinstance(x, np.ndarray) and x.ndim == 0 and x.dtype.kind in "fiu":
        return float(x)
    return float(x) if isinstance(x, Real) else None


def check_dense(name: str, shape: tuple[int, ...], dtype: np.dtype[Any], limit: int | None) -> None:
    """Refuse a dense array above a limit in bytes."""
    what = f"a dense tensor of shape {shape} and {dtype}"
    instead = "use the structured or sparse storage, or give a larger limit"
    check_memory(name, what, math.prod(shape) * dtype.itemsize, limit, instead)


def check_sparse(
    name: str, shape: tuple[int, ...], nnz: int, itemsize: int, limit: int | None
) -> None:
    """Refuse to store nonzeros, of so many bytes each, above a limit in bytes."""
    what = f"a sparse tensor of shape {shape} with {nnz} nonzeros"
    instead = "use the structured storage, or give a larger limit"
    check_memory(name, what, nnz * itemsize, limit, instead)
