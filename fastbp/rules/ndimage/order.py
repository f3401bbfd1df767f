"""Filters that choose an element by its rank, and measurements of labelled parts.

Which element is chosen is a constant: its derivative is 1, others' 0; equal ones share equally.
"""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastbp._core.graph import has_variable, is_passive, passive
from fastbp.errors import DTypeError, NoRuleError
from fastbp.rules.counterparts import constant, refused, stands_for
from fastbp.rules.ndimage.filters import (
    checked_mode,
    image,
    in_order,
    margins,
    sources,
    without_output,
)
from fastbp.rules.numpy.indexing import scatter_add_op
from fastbp.rules.numpy.order import EQUALS, in_order_of_parts
from fastbp.rules.table import implements


def _real_image(name, input):
    x = image(name, input)
    if x.dtype.kind == "c":
        raise DTypeError(f"scipy.ndimage.{name}: complex numbers {x.dtype} have no order")
    return x


def refuse_nan(name, x):
    """Refuse an array with NaN: what SciPy finds then depends on the way that it takes."""
    if np.isnan(passive(x)).any():
        raise NoRuleError(
            f"{name}: NaN has no order, and what SciPy chooses beside it depends on its algorithm: "
            "replace NaN before, or pass fastbp.stop_gradient(x) where no derivative is wanted"
        )


def _numbers(shape, size, origin, modes):
    """Return the numbers of all elements in an extended image; -1 for a constant."""
    found = np.arange(math.prod(shape)).reshape(shape)
    for k, (n, m, at, mode) in enumerate(zip(shape, size, origin, modes, strict=True)):
        along = sources(n, *margins(m, at), mode)
        found = np.where(
            np.reshape(along < 0, (-1, *(1,) * (len(shape) - 1 - k))), -1, found.take(along, k)
        )
    return found


def ranked(name, x, rank, footprint, mode, cval, origin):
    """Return the element of a rank in the neighbourhood of each one."""
    if has_variable(cval):
        raise NoRuleError(f"{name}: cval= is a constant, no Variable")
    refuse_nan(name, x)
    short = name.rpartition(".")[2]
    modes = [checked_mode(short, m) for m in ([mode] * x.ndim if isinstance(mode, str) else mode)]
    if any(m in ("constant", "grid-constant") for m in modes):
        modes = [m if m != "grid-constant" else "constant" for m in modes]
    if not x.size:
        return np.copy(x)
    numbers = _numbers(x.shape, footprint.shape, origin, modes)
    windows = np.lib.stride_tricks.sliding_window_view(numbers, footprint.shape)
    windows = windows[..., footprint]
    # The constant is behind the elements: number -1.
    flat = np.concatenate([np.reshape(x, (-1,)), np.full(1, cval, x.dtype)])
    if np.isnan(cval):
        refuse_nan(name, flat)
    around = passive(flat)[windows]
    if not is_passive(around):
        order = np.argsort(around, -1, kind="stable")[..., rank, None]
        places = np.take_along_axis(windows, order, -1)
        equal = around == np.take_along_axis(around, order, -1)
        if not np.any(equal & (windows != places)):
            return np.take(flat, places[..., 0])
    return np.sort(np.take(flat, windows), -1)[..., rank]


def _neighbours(name, x, size, footprint, origin, axes):
    """Return a footprint and origins, one for each axis of the image."""
    axes = in_order(name, axes, x.ndim)
    if footprint is None:
        if size is None:
            raise RuntimeError("no footprint or filter size provided")
        footprint = np.ones(tuple(np.broadcast_to(size, (len(axes),))), bool)
    footprint = np.asarray(footprint, bool)
    if footprint.ndim != len(axes):
        raise RuntimeError(f"footprint.ndim ({footprint.ndim}) must match len(axes) ({len(axes)})")
    given = np.broadcast_to(origin, (len(axes),))
    origins = [0] * x.ndim
    for k, at in zip(axes, given, strict=True):
        origins[k] = int(at)
    sizes = [1] * x.ndim
    for k, n in zip(axes, footprint.shape, strict=True):
        sizes[k] = n
    return footprint.reshape(sizes), origins


def _rank(kind, given, count):
    if kind == "median":
        return count // 2
    if kind == "percentile":
        given = given + 100.0 if given < 0 else given
        if not 0 <= given <= 100:
            raise RuntimeError("invalid percentile")
        return count - 1 if given == 100.0 else int(float(count) * given / 100.0)
    rank = given + count if given < 0 else given
    if not 0 <= rank < count:
        raise RuntimeError("rank not within filter footprint size")
    return rank


def _of_rank(name, kind, given, input, size, footprint, output, mode, cval, origin, axes):
    without_output(name, output)
    x = _real_image(name, input)
    if x.ndim == 0:
        return np.copy(x)
    footprint, origins = _neighbours(name, x, size, footprint, origin, axes)
    count = int(footprint.sum())
    rank = _rank(kind, given, count)
    if rank not in (0, count - 1) and not isinstance(mode, str):
        raise RuntimeError("A sequence of modes is not supported by non-separable rank filters")
    return ranked(f"scipy.ndimage.{name}", x, rank, footprint, mode, cval, origins)


def _rank_samples(*first):
    def samples(rng):
        x = (1 + rng.permutation(12).reshape(3, 4)) / 4.0
        return [
            ((x, *first), {"size": 3}),
            ((x, *first), {"size": (2, 3), "mode": "constant", "cval": 0.6, "origin": (-1, 1)}),
            ((x, *first), {"footprint": [[0, 1, 0], [1, 1, 1]], "mode": "wrap"}),
        ]

    return samples


@stands_for("scipy.ndimage.rank_filter", samples=_rank_samples(1), kinks=EQUALS)
def rank_filter(input, rank, size, footprint, output, mode, cval, origin, axes=None):
    """Arguments as in `scipy.ndimage.rank_filter`; output= is refused."""
    return _of_rank(
        "rank_filter", "rank", rank, input, size, footprint, output, mode, cval, origin, axes
    )


@stands_for("scipy.ndimage.percentile_filter", samples=_rank_samples(40.0), kinks=EQUALS)
def percentile_filter(input, percentile, size, footprint, output, mode, cval, origin, axes=None):
    """Arguments as in `scipy.ndimage.percentile_filter`; output= is refused."""
    return _of_rank(
        "percentile_filter", "percentile", percentile, input, size, footprint, output, mode, cval,
        origin, axes,
    )  # fmt: skip


@stands_for("scipy.ndimage.median_filter", samples=_rank_samples(), kinks=EQUALS)
def median_filter(input, size, footprint, output, mode, cval, origin, axes=None):
    """Arguments as in `scipy.ndimage.median_filter`; output= is refused."""
    return _of_rank(
        "median_filter", "median", 0, input, size, footprint, output, mode, cval, origin, axes
    )


@stands_for("scipy.ndimage.maximum_filter", samples=_rank_samples(), kinks=EQUALS)
def maximum_filter(input, size, footprint, output, mode, cval, origin, axes=None):
    """Arguments as in `scipy.ndimage.maximum_filter`; output= is refused."""
    return _of_rank(
        "maximum_filter", "rank", -1, input, size, footprint, output, mode, cval, origin, axes
    )


@stands_for("scipy.ndimage.minimum_filter", samples=_rank_samples(), kinks=EQUALS)
def minimum_filter(input, size, footprint, output, mode, cval, origin, axes=None):
    """Arguments as in `scipy.ndimage.minimum_filter`; output= is refused."""
    return _of_rank(
        "minimum_filter", "rank", 0, input, size, footprint, output, mode, cval, origin, axes
    )


def _of_one(name, rank, input, size, axis, output, mode, cval, origin):
    without_output(name, output)
    x = _real_image(name, input)
    axis = normalize_axis_index(axis, x.ndim)
    if size < 1:
        raise RuntimeError("incorrect filter size")
    shape, origins = [1] * x.ndim, [0] * x.ndim
    shape[axis], origins[axis] = size, origin
    return ranked(f"scipy.ndimage.{name}", x, rank, np.ones(shape, bool), mode, cval, origins)


def _one_samples(rng):
    x = (1 + rng.permutation(8).reshape(4, 2)) / 4.0
    return [((x, 3), {"axis": 0}), ((x, 2), {"mode": "constant", "cval": 0.6, "origin": -1})]


@stands_for("scipy.ndimage.maximum_filter1d", samples=_one_samples, kinks=EQUALS)
def maximum_filter1d(input, size, axis, output, mode, cval, origin):
    """Arguments as in `scipy.ndimage.maximum_filter1d`; output= is refused."""
    return _of_one("maximum_filter1d", -1, input, size, axis, output, mode, cval, origin)


@stands_for("scipy.ndimage.minimum_filter1d", samples=_one_samples, kinks=EQUALS)
def minimum_filter1d(input, size, axis, output, mode, cval, origin):
    """Arguments as in `scipy.ndimage.minimum_filter1d`; output= is refused."""
    return _of_one("minimum_filter1d", 0, input, size, axis, output, mode, cval, origin)


# ---- measurements


def _measured(measure, name, input, labels, index):
    """Measure the parts that are asked for.

    ``measure(values, places, shape)`` gets the elements that count, the number of the part of each
    one, and the shape of all parts: () or, each one once, (n,).
    """
    x = _real_image(name, input)
    if has_variable((labels, index)):
        raise NoRuleError(f"scipy.ndimage.{name}: labels and index are constants, no Variables")
    if labels is None:  # index does not count, as in SciPy
        return measure(np.reshape(x, (-1,)), np.zeros(x.size, int), ())
    labels = np.broadcast_to(np.asarray(labels), x.shape).reshape(-1)
    if index is None:
        places, shape = np.where(labels > 0, 0, -1), ()
    else:
        wanted, back = np.unique(index, return_inverse=True)
        places = np.where(np.isin(labels, wanted), np.searchsorted(wanted, labels), -1)
        shape = wanted.shape if np.ndim(index) else ()
    chosen = np.flatnonzero(places >= 0)
    found = measure(np.take(np.reshape(x, (-1,)), chosen), places[chosen], shape)
    return np.take(found, back.reshape(np.shape(index))) if shape else found


def _sums(values, places, shape):
    if shape == ():
        return np.sum(values)  # as SciPy does, in the dtype of the image
    values = np.astype(values, np.float64)
    return scatter_add_op(values, size=shape[0], places=places, behind=0)


def _counts(places, shape):
    return np.bincount(places, minlength=math.prod(shape)).reshape(shape).astype(float)


def _means(values, places, shape):
    return _sums(values, places, shape) / _counts(places, shape)


def _variances(values, places, shape):
    middle = np.reshape(_means(values, places, shape), (-1,))
    return _means((values - np.take(middle, places)) ** 2, places, shape)


LABELS = [[1, 1, 0], [2, 0, 2]]


def _labelled_samples(rng):
    x = rng.permutation(6).reshape(2, 3) / 2.0
    return [
        ((x,), {}),
        ((x, LABELS), {}),
        ((x, LABELS, 2), {}),
        ((x, LABELS, [2, 1]), {}),
        ((x, LABELS, [[2, 1], [1, 1]]), {}),
    ]


@stands_for("scipy.ndimage.sum_labels", samples=_labelled_samples)
def sum_labels(input, labels, index):
    """Arguments as in `scipy.ndimage.sum_labels`."""
    return _measured(_sums, "sum_labels", input, labels, index)


implements(name="scipy.ndimage.sum", samples=_labelled_samples)(sum_labels)


@stands_for("scipy.ndimage.mean", samples=_labelled_samples)
def mean(input, labels, index):
    """Arguments as in `scipy.ndimage.mean`."""
    return _measured(_means, "mean", input, labels, index)


@stands_for("scipy.ndimage.variance", samples=_labelled_samples)
def variance(input, labels, index):
    """Arguments as in `scipy.ndimage.variance`."""
    return _measured(_variances, "variance", input, labels, index)


@stands_for("scipy.ndimage.standard_deviation", samples=_labelled_samples)
def standard_deviation(input, labels, index):
    """Arguments as in `scipy.ndimage.standard_deviation`."""
    return np.sqrt(_measured(_variances, "standard_deviation", input, labels, index))


@stands_for(
    "scipy.ndimage.center_of_mass",
    samples=lambda rng: [
        ((rng.uniform(0.5, 1.0, (2, 3)),), {}),
        ((rng.uniform(0.5, 1.0, (2, 3)), LABELS, [2, 1]), {}),
        ((rng.uniform(0.5, 1.0, (2, 3)), LABELS, [[2, 1], [1, 2], [2, 2]]), {}),
    ],
)
def center_of_mass(input, labels, index):
    """Arguments as in `scipy.ndimage.center_of_mass`."""
    x = _real_image("center_of_mass", input)
    total = sum_labels(x, labels, index)
    found = [
        sum_labels(x * grid, labels, index) / total for grid in np.indices(x.shape).astype(float)
    ]
    if not found[0].ndim:
        return tuple(found)
    return [tuple(center) for center in np.stack(found).T]


def _of_part(name, rank, input, labels, index):
    """Return the element of a rank of each part; the mean of the two in the middle for None."""

    def of_rank(values, places, shape):
        refuse_nan(f"scipy.ndimage.{name}", values)
        values = in_order_of_parts(values, places)
        counts = np.bincount(places, minlength=math.prod(shape))
        if rank is None and shape == () and not counts[0]:
            return np.mean(values)  # NaN, as SciPy has it
        if not counts.all():
            raise ValueError(f"scipy.ndimage.{name}: of a part without elements there is none")
        first = np.cumsum(counts) - counts
        if rank is None:
            low, high = first + (counts - 1) // 2, first + counts // 2
            found = (np.take(values, low) + np.take(values, high)) / 2.0
        else:
            found = np.take(values, first if rank == 0 else first + counts - 1)
        return np.reshape(found, shape)

    return _measured(of_rank, name, input, labels, index)


@stands_for("scipy.ndimage.maximum", _labelled_samples, kinks=EQUALS, no_axes="number")
def maximum(input, labels, index):
    """Arguments as in `scipy.ndimage.maximum`; parts have elements."""
    return _of_part("maximum", -1, input, labels, index)


@stands_for("scipy.ndimage.minimum", _labelled_samples, kinks=EQUALS, no_axes="number")
def minimum(input, labels, index):
    """Arguments as in `scipy.ndimage.minimum`; parts have elements."""
    return _of_part("minimum", 0, input, labels, index)


@stands_for("scipy.ndimage.median", _labelled_samples, kinks=EQUALS, no_axes="number")
def median(input, labels, index):
    """Arguments as in `scipy.ndimage.median`; parts have elements."""
    return _of_part("median", None, input, labels, index)


PLACES = "places, order, counts"
OTHERS = {
    name: constant(f"scipy.ndimage.{name}", PLACES)
    for name in (
        "distance_transform_bf", "distance_transform_cdt", "distance_transform_edt", "label",
        "find_objects", "maximum_position", "minimum_position",
    )
}  # fmt: skip
_CALLS = "it calls a function for each element: write that with NumPy functions of windows"
OTHERS |= {
    name: refused(f"scipy.ndimage.{name}", _CALLS)
    for name in ("generic_filter", "generic_filter1d", "labeled_comprehension")
}
_PLACES = "write fastbp.scipy.ndimage.map_coordinates of the coordinates themselves"
OTHERS["geometric_transform"] = refused("scipy.ndimage.geometric_transform", _PLACES)
