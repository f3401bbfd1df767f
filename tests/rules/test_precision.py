"""Derivatives of the elementwise table over the whole range of its arguments, against mpmath.

The bounds are those of the rows, which `docs/operations.md` states.
"""

import functools
import itertools

import mpmath as mp
import numpy as np
import pytest

import fastbp as bp

from .. import mpseries
from ..harness import DTYPES, ELEMENTWISE

ORDER = 3
THIRD = 1e-11  # the bound of third derivatives, in float64
# Log-spaced to both ends, denser where functions bend; nothing round, so that nothing is exact.
SIZES = 1.0373 * np.concatenate(
    [
        10.0 ** np.array([-300, -250, -200, -150, -100, -50, -20, -10, -5]),
        [1e-3, 0.02, 0.1, 0.3, 0.6, 0.9, 0.99, 1.3, 2.0, 2.9, 3.9, 5.0, 8.0, 15.0, 25.0, 40.0],
        [100.0, 300.0, 700.0, 3e3, 2e4],
        10.0 ** np.array([6, 8, 10, 16.5, 20, 50, 100, 150, 160, 200, 250, 300]),
    ]
)
SIGNED = np.concatenate([-SIZES, SIZES])
UNIT = np.concatenate([SIZES[SIZES < 1], 1 - 10.0 ** -np.arange(2.0, 16)])
INSIDE = np.concatenate([-UNIT, UNIT])
RANGES = {
    "arcsin": INSIDE,
    "arccos": INSIDE,
    "arctanh": INSIDE,
    "erfinv": INSIDE,
    "arccosh": np.concatenate([1 + 10.0 ** -np.arange(2.0, 15), SIZES[SIZES > 1]]),
    "erfcinv": np.concatenate([UNIT, 2 - UNIT[UNIT > 0.01]]),
    "ndtri": UNIT,
    "logit": UNIT,
    "log1p": np.concatenate([-UNIT, SIZES]),
    **dict.fromkeys(["sqrt", "log", "log2", "log10", "entr"], SIZES),
}
PAIRED = 1.0373 * np.array([1e-300, 1e-100, 1e-20, 1e-8, 0.3, 1.0, 2.5, 30.0, 1e8, 1e100, 1e300])
BOTH = np.concatenate([-PAIRED, PAIRED])
ABOVE = np.concatenate([-PAIRED[PAIRED < 1], PAIRED])
PAIRS = {
    "power": (PAIRED, np.concatenate([BOTH[np.abs(BOTH) < 1e10], [-1.0, 0.5, 1.0, 2.0, 3.0]])),
    "xlogy": (BOTH, PAIRED),
    "xlog1py": (BOTH, ABOVE),
    "rel_entr": (PAIRED, PAIRED),
    "kl_div": (PAIRED, PAIRED),
}
TIES = {"maximum", "minimum", "fmax", "fmin"}
# Rows with a reach are in `special/test_reach.py`.
NAMES = [
    name
    for name, op in ELEMENTWISE.items()
    if op.info.get("namespace") and not op.info.get("reach") and name != "clip"
]


@functools.cache
def points(name, dtype):
    """Return the operands as arrays."""
    if ELEMENTWISE[name].nin == 1:
        grid = [(x,) for x in RANGES.get(name, SIGNED)]
    else:
        first, second = PAIRS.get(name, (BOTH, BOTH))
        # Of the four pairs of signs, one for each pair of sizes, in turn.
        grid = [p for k, p in enumerate(itertools.product(first, second)) if _taken(k, first)]
        if name != "power":
            grid += [(x, (1 + 1e-7) * x) for x in first[-len(PAIRED) :]]
        if name not in TIES and name != "power":
            grid += [(x, x) for x in first[-len(PAIRED) :]]
        if name.startswith("logadd"):
            grid += [(x, x + d) for x in (-700.0, 0.3) for d in (-50.0, -1.0, 2.0, 37.0, 300.0)]
    with np.errstate(all="ignore"):
        xs = np.array(grid).T.astype(dtype)
        top, tiny = np.finfo(dtype).max / 4, np.finfo(dtype).tiny
        keep = np.all((np.abs(xs) < top) & (np.abs(xs) >= tiny), axis=0)
        if name in RANGES:  # rounding may reach the end of the domain
            keep &= (xs[0] < 1) == (np.array(grid).T[0] < 1)
            keep &= (xs[0] != 1) & (xs[0] != -1)
        if name in TIES:
            keep &= xs[0] != xs[1]
    return [np.ascontiguousarray(x[keep]) for x in xs]


def _taken(k, first):
    return len(first) == len(PAIRED) or k % 3 == 0


def along(f, k):
    """Return the derivative by operand k, from a forward sweep."""

    def derivative(*xs):
        moved = tuple(np.full_like(x, float(j == k)) for j, x in enumerate(values(xs)))
        return bp.jvp(f, xs, moved)[1]

    return derivative


def values(xs):
    return [x.value if type(x) is bp.Variable else x for x in xs]


def slope(f, k):
    """Return the derivative by operand k, from a reverse sweep."""
    return bp.grad(lambda *xs: np.sum(f(*xs)), k)


def beyond(name, xs, order):
    """Return where a factor of the derivative is beyond the range, so that it may be infinite."""
    if name != "power":
        return np.zeros(xs[0].shape, bool)
    with np.errstate(all="ignore"):
        return ~np.isfinite(xs[0] ** (xs[1] - order))


def worst(found, exact, spilt, dtype):
    """Return the largest relative error, of what is a number in this dtype."""
    top, tiny = (mp.mpf(float(x)) for x in (np.finfo(dtype).max, np.finfo(dtype).tiny))
    largest = 0.0
    for y, e, outside in zip(found.tolist(), exact, spilt, strict=True):
        if not np.isfinite(y):
            assert outside or abs(e) > top * 1e-10, (y, e)
        elif abs(e) > top:
            raise AssertionError((y, e))
        elif abs(e) >= tiny or abs(y) > tiny:  # subnormal numbers have no relative error
            largest = max(largest, float(abs(y - e) / max(abs(e), tiny)))
    return largest


def errors(name, dtype, step):
    """Return the largest relative error of each order, over all sequences of operands."""
    xs, largest = points(name, dtype), [0.0] * ORDER
    exact = [
        mpseries.derivatives(name, *map(float, point), degree=ORDER)
        for point in zip(*xs, strict=True)
    ]
    for order in range(1, ORDER + 1):
        for path in itertools.product(range(len(xs)), repeat=order):
            f = functools.reduce(step, path, ELEMENTWISE[name])
            key = tuple(path.count(k) for k in range(len(xs)))
            with np.errstate(all="ignore"):
                found = f(*xs)
            error = worst(found, [e[key] for e in exact], beyond(name, xs, order), dtype)
            largest[order - 1] = max(largest[order - 1], error)
    return largest


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("step", [along, slope])
@pytest.mark.parametrize("name", NAMES)
def test_no_derivative_is_far_from_right(name, step, dtype):
    unit = float(np.finfo(dtype).eps / np.finfo(np.float64).eps)
    bounds = [unit * bound for bound in (*ELEMENTWISE[name].info["error"], THIRD)]
    found = errors(name, dtype, step)
    assert all(error <= bound for error, bound in zip(found, bounds, strict=True)), found
