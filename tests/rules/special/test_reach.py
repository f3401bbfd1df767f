"""Derivatives of `scipy.special` where the rows say that their bounds hold, against mpmath."""

import functools
import itertools

import mpmath as mp
import numpy as np
import pytest

from fastbp.rules import OPS

from ... import oracle
from ...digits import working_digits
from ...harness import load_all
from ..test_precision import along, slope

load_all()
ROWS = {name: op for name, op in OPS.items() if op.info.get("reach")}
POINTS = 5


def pairs_of(op):
    reach = op.info["reach"]
    return reach if isinstance(reach[0], tuple) else (reach,) * op.nin


def sampled(pair, whole, rng):
    """Sample a range, its ends first; by sizes where it has several."""
    low, high = pair
    if whole:
        return rng.integers(low, high + 1, POINTS).astype(float)
    if low > 0 and high > 50 * low:
        inside = low * (high / low) ** rng.uniform(size=POINTS - 2)
    else:
        inside = rng.uniform(low, high, POINTS - 2)
    return rng.permutation(np.array([low, high, *inside]))


def points(op):
    rng = np.random.default_rng(0)
    wholes = [all(isinstance(end, int) for end in pair) for pair in pairs_of(op)]
    return [sampled(p, w, rng) for p, w in zip(pairs_of(op), wholes, strict=True)]


def exact(name, xs, orders):
    """Differentiate in mpmath, by some operands some times."""
    found = []
    for point in zip(*xs, strict=True):
        with working_digits(40):
            args = list(map(mp.mpf, point))
            for k in ROWS[name].info.get("orders", ()):
                args[k] = int(args[k]) if args[k] == int(args[k]) else args[k]
            moving = [k for k, n in enumerate(orders) if n]

            def f(*values, args=args, moving=moving):
                at = list(args)
                for k, value in zip(moving, values, strict=True):
                    at[k] = value
                return oracle.ORACLE[name](*at)

            at, n = [args[k] for k in moving], [orders[k] for k in moving]
            value = mp.diff(f, tuple(at), tuple(n)) if len(at) > 1 else mp.diff(f, at[0], n[0])
            found.append(float(mp.re(value)))
    return np.array(found)


def with_constants(op, xs, moving):
    """Return the operation as a function of the operands that have derivatives."""

    def f(*values):
        at = list(xs)
        for k, value in zip(moving, values, strict=True):
            at[k] = value
        return op(*at)

    return f


@pytest.mark.parametrize("name", ROWS)
def test_derivatives_are_within_their_bounds(name):
    op = ROWS[name]
    xs = points(op)
    moving = [k for k in range(op.nin) if k not in op.info.get("orders", ())]
    f, at = with_constants(op, xs, moving), [xs[k] for k in moving]
    for order, bound in enumerate(op.info["error"], 1):
        for path in itertools.combinations_with_replacement(range(len(moving)), order):
            counts = [0] * op.nin
            for k in path:
                counts[moving[k]] += 1
            expected = exact(name, xs, counts)
            for step in (along, slope):
                with np.errstate(all="ignore"):
                    found = functools.reduce(step, path, f)(*at)
                np.testing.assert_allclose(found, expected, rtol=bound, atol=1e-25, err_msg=path)
