"""`scipy.signal`, for programs that were written for ``autograd.scipy.signal``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.signal as _plain

import fastbp.numpy as bnp
from fastbp._core import graph
from fastbp.autograd.mirrors import fill as _fill

_fill(globals(), _plain, "scipy.signal")


def convolve(
    A: Any,
    B: Any,
    axes: Sequence[Sequence[int]] | None = None,
    dot_axes: Sequence[Sequence[int]] = ((), ()),
    mode: str = "full",
) -> Any:
    """Convolve two arrays along some axes, contract them along others: autograd's own function.

    Parameters
    ----------
    A, B : array
    axes : pair of sequences of int, optional
        The axes of `A` and of `B` that are convolved; by default all.
    dot_axes : pair of sequences of int
        Axes that are multiplied and summed.
    mode : {"full", "valid", "same"}
        What is returned along each convolved axis: all, where one array lies in the other, or as
        many elements as `A` has.

    Returns
    -------
    array
        The other axes of `A`, those of `B`, then the convolved ones.
    """
    if mode not in ("full", "valid", "same"):
        raise AssertionError(f"Mode {mode} undefined, it can be one of 'valid', 'full', and 'same'")
    a_shape, b_shape = np.shape(graph.array_of(A)), np.shape(graph.array_of(B))
    if axes is None:
        axes = [list(range(len(a_shape))), list(range(len(b_shape)))]
    a_conv, b_conv = (
        [i % len(s) for i in each] for each, s in zip(axes, (a_shape, b_shape), strict=True)
    )
    a_dot, b_dot = (
        [i % len(s) for i in each] for each, s in zip(dot_axes, (a_shape, b_shape), strict=True)
    )
    longer = [a_shape[i] >= b_shape[j] for i, j in zip(a_conv, b_conv, strict=True)]
    if mode == "valid" and not all(longer):
        if any(a_shape[i] > b_shape[j] for i, j in zip(a_conv, b_conv, strict=True)):
            raise ValueError(
                f"convolve: shapes {a_shape} and {b_shape}: with mode='valid' one array must be "
                "larger along all convolved axes"
            )
    a_rest = [i for i in range(len(a_shape)) if i not in (*a_conv, *a_dot)]
    b_rest = [i for i in range(len(b_shape)) if i not in (*b_conv, *b_dot)]
    # Windows of A, as long as B along each convolved axis; its axes moved behind the others.
    windows = bnp.transpose(A, [*a_rest, *a_dot, *a_conv])
    kernel = bnp.transpose(B, [*b_rest, *b_dot, *b_conv])
    swapped = mode == "valid" and not all(longer)
    lead = len(a_rest) + len(a_dot)
    if swapped:
        windows, kernel = kernel, windows
        lead = len(b_rest) + len(b_dot)
    count = len(a_conv)
    for k in range(count):
        n = np.shape(graph.array_of(windows))[lead + k]
        m = np.shape(graph.array_of(kernel))[np.ndim(graph.array_of(kernel)) - count + k]
        before, after = _padding(mode, n, m)
        widths = [(0, 0)] * np.ndim(graph.array_of(windows))
        widths[lead + k] = (before, after)
        windows = bnp.pad(windows, widths)
        length = n + before + after - m + 1
        reads = np.arange(length)[:, None] + np.arange(m)[::-1]
        # One axis becomes two: the place of the window, and in it, behind all others.
        windows = bnp.moveaxis(windows[(slice(None),) * (lead + k) + (reads,)], lead + k + 1, -1)
    n_a, n_b = (len(b_rest), len(a_rest)) if swapped else (len(a_rest), len(b_rest))
    first = [*range(n_a, lead), *range(lead + count, lead + 2 * count)]
    second = list(range(n_b, np.ndim(graph.array_of(kernel))))
    out = bnp.tensordot(windows, kernel, (first, second))
    # Now: what is left of the one, the places, what is left of the other.
    places = list(range(n_a, n_a + count))
    left, right = list(range(n_a)), list(range(n_a + count, n_a + count + n_b))
    order = [*right, *left, *places] if swapped else [*left, *right, *places]
    return bnp.transpose(out, order)


def _padding(mode: str, n: int, m: int) -> tuple[int, int]:
    """Return how many zeros stand around `n` elements for windows of `m`."""
    if mode == "valid":
        return 0, 0
    if mode == "full":
        return m - 1, m - 1
    return m - 1 - (m - 1) // 2, (m - 1) // 2
