"""How a plan computes an operation that is neither elementwise nor moves elements.

A row names one of these by `plan=`: ``plan(b, link, *operands)`` gets a builder of plans
(`fastbp.compiling.builder.Builder`), the operation as it was applied, and what its operands are in
the plan, and returns what its value is there, of several outputs a list. None: not in this case,
the plan calls the function of the row. A row that says nothing is called.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastbp.rules.local import matmul_labels

# What becomes of an index that is out of bounds, as `Machine.places` has it; AS_IS: it is no index.
MODES = {"raise": 0, "wrap": 1, "clip": 2}
AS_IS = 3


class OfCall(NamedTuple):
    """How a plan computes what a function without derivative returns.

    ``made(b, link, *args, **kwargs)`` gets the arguments of the call; ``keeps_shape(operands)``
    says of the recorded ones whether no values decide the shape.
    """

    made: Callable
    keeps_shape: Callable


CALLS = {}


def of_call(function, keeps_shape=lambda operands: True):
    """Let a function say how a plan computes what another one returns, see `OfCall`."""

    def register(made):
        CALLS[function] = OfCall(made, keeps_shape)
        return made

    return register


def sums(b, link, x):
    """Sum along the axes ``axis=``."""
    return b.sum(x, link.static["axis"], link.shape)


def averages(b, link, x):
    """Take means along the axes ``axis=``, of `n` elements each."""
    total = b.sum(x, link.static["axis"], link.shape)
    return total and b.elementwise(np.divide, (total, float(link.static["n"])), link.dtype)


def takes_largest(b, link, x):
    """Take the largest elements along the axes ``axis=``."""
    return b.extreme(np.maximum, x, link.static["axis"], link.shape)


def takes_smallest(b, link, x):
    """Take the smallest elements along the axes ``axis=``."""
    return b.extreme(np.minimum, x, link.static["axis"], link.shape)


def sums_to_shape(b, link, x):
    """Sum over the axes along which an operand of `shape` was broadcast, the last `nd` of all."""
    shape, lead = link.static["shape"], len(x.shape) - link.static["nd"]
    first = len(x.shape) - len(shape)
    axes = [k for k, n in enumerate(x.shape) if k >= lead and (k < first or shape[k - first] != n)]
    return b.sum(x, axes, link.shape)


def puts(b, link, x):
    """Add elements to zeros, at an index without arrays."""
    return b.put(x, link.static["index"], link.shape)


def takes_at_places(b, link, x, *moving):
    """Take what places name that are values; others move elements."""
    return b.gather(x, *moving, link.static["behind"], link.shape) if moving else None


def adds_at_places(b, link, x, *moving):
    """Add elements to zeros, in places that are all different, or that are values."""
    if moving:
        return b.scattered(x, *moving, link.static["behind"], link.shape)
    places, behind = link.static["places"], link.static["behind"]
    at = len(link.shape) - 1 - behind
    numbers = np.arange(math.prod(link.shape)).reshape(link.shape)
    return b.scatter(x, np.take(numbers, places, at).ravel(), link.shape)


# Of rows with static places, from which the shape follows.
AT_PLACES = (takes_at_places, adds_at_places)


def takes_norms(b, link, x):
    """Take roots of sums of squares."""
    if x.dtype.kind != "f":
        return None
    axes = [k % len(x.shape) for k in link.static["axis"]]
    if len(x.shape) == len(axes) == 1:  # as NumPy does
        total = b.contract(x, (0,), x, (0,), ())
        total = total and b.read(total)
    else:
        squares = b.elementwise(np.square, (x,), x.dtype)
        total = squares and b.sum(squares, axes, link.shape)
    if total is None:
        return None
    if math.prod(link.shape) == 1:
        total = total.view(link.shape, total.offset, (x.dtype.itemsize,) * len(link.shape))
    return b.elementwise(np.sqrt, (total,), x.dtype)


def real_parts(b, link, z):
    """Show the real parts."""
    return b.half(z, False) if z.dtype.kind == "c" else z


def imaginary_parts(b, link, z):
    """Show the imaginary parts; those of real numbers are zeros."""
    if z.dtype.kind == "c":
        return b.half(z, True)
    zeros = b.constant(np.zeros((), z.dtype))
    return zeros.view(z.shape, 0, (0,) * len(z.shape))


def joins_parts(b, link, re, im):
    """Make complex numbers of two parts."""
    return b.joined(re, im, re) if re.dtype == im.dtype else None


def conjugates(b, link, z):
    """Turn the signs of the imaginary parts."""
    if z.dtype.kind != "c":
        return z
    re, im = b.half(z, False), b.half(z, True)
    return b.joined(re, b.elementwise(np.negative, (im,), im.dtype), re)


def casts(b, link, x):
    """Make real numbers complex; leave what has the dtype already."""
    if x.dtype == link.dtype:
        return x
    if x.dtype.kind == "f" and link.dtype == np.dtype(f"c{2 * x.dtype.itemsize}"):
        return b.joined(x, 0.0, x)
    return None


def chooses(b, link, condition, x, y):
    """Choose between elements, as `numpy.where` does."""
    if not condition.mask or not x.dtype == y.dtype == link.dtype == condition.dtype:
        return None
    return b.elementwise("select", (condition, x, y), link.dtype)


def contracts(b, link, x, y):
    """Contract labelled axes."""
    return b.contract(x, link.static["left"], y, link.static["right"], link.static["out"])


def multiplies_matrices(b, link, x, y):
    """Multiply stacks of matrices and vectors, as `numpy.matmul` takes them."""
    left, right, out, _ = matmul_labels(*link.operands)
    return b.contract(x, left, y, right, out)
