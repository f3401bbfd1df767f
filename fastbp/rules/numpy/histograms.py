"""Histograms: counts are constants; weights and the edges of the bins are not.

Edges that span the data move with their extremes, and with them densities.
"""

import numpy as np

from fastbp._core.graph import Variable, has_variable, is_passive, passive, passive_call, values_of
from fastbp.errors import ShapeError
from fastbp.rules.numpy.indexing import scatter_add_op
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.table import implements


def _edges(a, bins, range, weights, name):
    """Return the edges of the bins, and their values as NumPy has them."""
    plain = [values_of(x) for x in (a, bins, range, weights)]
    value = np.histogram_bin_edges(*plain)  # raises where NumPy does
    if np.ndim(plain[1]) == 1:
        return as_operand(bins, f"numpy.{name}: bins=", real=True), value
    if range is not None and has_variable(range):
        first, last = range
    elif range is None and type(a) is Variable and a.size:
        first, last = np.min(a), np.max(a)
    else:
        return value, value
    if values_of(first) == values_of(last):
        first, last = first - 0.5, last + 0.5
    return np.linspace(first, last, value.size, dtype=value.dtype), value


def _places(a, edges):
    """Return the bin of each element, -1 outside of all."""
    places = np.searchsorted(edges, a, side="right") - 1
    places = np.where(a == edges[-1], edges.size - 2, places)
    return np.where((places >= edges.size - 1) | np.isnan(a), -1, places)


def _counts(places, size):
    """Count each bin: as many numbers whatever the places, which are at most `size`."""
    return np.bincount(places, minlength=size + 1)[:size]


def _counted(places, weights, size):
    """Return the sums of weights, or counts, of each bin."""
    places = np.where(places < 0, size, places)  # outside is a bin of its own
    if weights is None:
        return passive_call(_counts, places, size) if is_passive(places) else _counts(places, size)
    wide = np.astype(weights, np.complex128 if weights.dtype.kind == "c" else np.float64)
    return scatter_add_op(wide, size=size + 1, places=places, behind=0)[:size]


def _histogram_samples(rng):
    a = rng.permutation(12).reshape(3, 4) + 0.25
    w = rng.uniform(0.5, 2.0, (3, 4))
    return [
        ((a, 4), {"density": True}),
        ((a, 3), {"weights": w}),
        ((a, "sturges"), {}),
        ((a.tolist(), 3, (1.0, 6.0)), {"weights": w}),
        ((a.tolist(), np.array([0.5, 2.5, 9.0])), {"density": True}),
        ((a.tolist(), [0.0, 2.0, 3.5, 9.0]), {"weights": w}),
    ]


@implements(np.histogram, samples=_histogram_samples)
def histogram(a, bins=10, range=None, density=None, weights=None):
    """Arguments as in `numpy.histogram`; the counts are constants.

    Notes
    -----
    Linear in the weights. Edges that span the data are a line between its extremes.
    """
    a = as_operand(a, "numpy.histogram: a", real=True)
    if weights is not None:
        weights = as_operand(weights, "numpy.histogram: weights=")
    edges, value = _edges(a, bins, range, weights, "histogram")
    weights = None if weights is None else np.ravel(weights)
    counts = _counted(_places(np.reshape(passive(a), -1), value), weights, value.size - 1)
    counts = counts if weights is None else np.astype(counts, weights.dtype)
    if density:
        counts = counts / np.diff(edges) / np.sum(counts)
    return counts, edges


@implements(
    np.histogram_bin_edges,
    samples=lambda rng: [
        ((rng.normal(size=5),), {}),
        ((rng.normal(size=(2, 3)), "sqrt"), {}),
        ((rng.normal(size=5).tolist(), np.array([-1.0, 0.3])), {}),
    ],
)
def histogram_bin_edges(a, bins=10, range=None, weights=None):
    """Arguments as in `numpy.histogram_bin_edges`; their number is a constant."""
    a = as_operand(a, "numpy.histogram_bin_edges: a", real=True)
    return _edges(a, bins, range, weights, "histogram_bin_edges")[0]


# ---- of several variables


def _several(name, columns, bins, range, density, weights):
    d = len(columns)
    if not isinstance(bins, (int, np.integer, str)) and len(bins) != d:
        raise ValueError(f"numpy.{name}: bins= names {len(bins)} axes, the sample has {d}")
    bins = [bins] * d if isinstance(bins, (int, np.integer)) else bins
    ranges = [None] * d if range is None else range
    dtype = np.result_type(*columns, np.float32)
    columns = [np.astype(x, dtype) for x in columns]
    edges, places, sizes = [], 0, []
    for x, own, between in zip(columns, bins, ranges, strict=True):
        given, value = _edges(x, own, between, None, name)
        at = _places(passive(x), value)
        sizes.append(value.size - 1)
        places = np.where((at < 0) | (places < 0), -1, places * sizes[-1] + at)
        edges.append(given)
    if weights is not None:
        weights = as_operand(weights, f"numpy.{name}: weights=", real=True)
    counts = np.reshape(_counted(places, weights, int(np.prod(sizes))), sizes)
    counts = np.astype(counts, np.float64)
    if density:
        counts = counts / np.sum(counts)
        for k, edge in enumerate(edges):
            counts = counts / np.reshape(np.diff(edge), [-1 if j == k else 1 for j in np.arange(d)])
    return counts, edges


def _histogram2d_samples(rng):
    x, y = 1.0 * rng.permutation(6), 1.0 * rng.permutation(6)
    w = rng.uniform(0.5, 2.0, 6)
    return [
        ((x, y, 2), {"weights": w}),
        ((x, y, [2, 3]), {"density": True}),
        ((x, y, 3), {}),
        ((x.tolist(), y.tolist(), [0.0, 1.5, 5.0]), {"weights": w, "density": True}),
        ((x.tolist(), y.tolist(), 2, [[0.0, 3.0], [0.2, 1.0]]), {"weights": w}),
    ]


@implements(np.histogram2d, samples=_histogram2d_samples)
def histogram2d(x, y, bins=10, range=None, density=None, weights=None):
    """Arguments as in `numpy.histogram2d`; see `histogram`."""
    x, y = (
        as_operand(v, f"numpy.histogram2d: {name}", real=True) for v, name in ((x, "x"), (y, "y"))
    )
    if x.shape != y.shape or x.ndim != 1:
        raise ShapeError(f"numpy.histogram2d: x and y have shapes {x.shape}, {y.shape}")
    if not isinstance(bins, (int, np.integer)) and len(bins) not in (1, 2):
        bins = [bins, bins]
    counts, edges = _several("histogram2d", [x, y], bins, range, density, weights)
    return counts, *edges


@implements(
    np.histogramdd,
    joins=True,
    samples=lambda rng: [
        (
            (np.stack([1.0 * rng.permutation(4) for _ in range(3)], 1), 2),
            {"weights": rng.uniform(0.5, 2.0, 4)},
        ),
        (
            ([1.0 * rng.permutation(4), [0.0, 0.5, 1.5, 1.0]], (2, [0.0, 0.9, 2.0])),
            {"density": True},
        ),
    ],
)
def histogramdd(sample, bins=10, range=None, density=None, weights=None):
    """Arguments as in `numpy.histogramdd`; see `histogram`."""
    if isinstance(sample, (list, tuple)):
        columns = [as_operand(x, "numpy.histogramdd: sample", real=True) for x in sample]
    else:
        sample = as_operand(sample, "numpy.histogramdd: sample", real=True)
        columns = (
            [sample] if sample.ndim == 1 else [sample[:, k] for k in np.arange(sample.shape[1])]
        )
    return _several("histogramdd", columns, bins, range, density, weights)
