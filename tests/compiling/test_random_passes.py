"""Random programs, planned with any of the passes and without: the same values, bit for bit.

Passes that add up in another order are compared within rounding.
"""

import os
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastbp as bp
from fastbp.compiling.passes import PASSES
from fastbp.errors import FrozenValueError, NoRuleError

from .. import test_random_graphs as graphs
from .test_table import leaves

pytestmark = [
    pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning"),
    pytest.mark.thread_unsafe(reason="FASTBP_PASSES belongs to the process"),
]

REORDERING = {"reductions", "waiting", "stacking"}
some_passes = st.sets(st.sampled_from(sorted(PASSES)))


@contextmanager
def only(passes):
    """Make plans with these passes."""
    before = os.environ.get("FASTBP_PASSES")
    os.environ["FASTBP_PASSES"] = ",".join(["none", *sorted(passes)])
    try:
        yield
    finally:
        del os.environ["FASTBP_PASSES"]
        if before is not None:
            os.environ["FASTBP_PASSES"] = before


def planned(f, passes, arrays, other):
    """Return what a plan with these passes computes of arrays, and of others after them."""
    compiled = bp.compile(f)
    with only(passes):
        compiled(*arrays)
        found = [leaves(compiled(*other)), leaves(compiled(*arrays))]
    assert len(compiled.entries) == 1
    return found


def given_to(shapes, dtype=None):
    arrays = tuple([x.astype(dtype or x.dtype) for x in graphs.sampled(shapes)])
    moved = [x * x.dtype.type(1.001) for x in arrays]
    return arrays, tuple([np.asarray(x) for x in moved])


def assert_bits(found, expected):
    for results, others in zip(found, expected, strict=True):
        for a, b in zip(results, others, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(np.signbit(a.real), np.signbit(b.real))


@settings(max_examples=60, deadline=None)
@given(graphs.programs, graphs.inputs_strategy, some_passes)
def test_any_passes_are_right(program, shapes, passes):
    arrays, other = given_to(shapes, float)
    for f in (
        lambda *xs: graphs.run(program, list(xs), np.float64),
        lambda *xs: bp.grad(
            lambda *ys: np.sum(graphs.run(program, list(ys), np.float64)[0]), tuple(range(len(xs)))
        )(*xs),
    ):
        wanted = [leaves(f(*other)), leaves(f(*arrays))]
        try:
            bare = planned(f, (), arrays, other)
        except (NoRuleError, FrozenValueError):
            return
        assert_bits(planned(f, passes - REORDERING, arrays, other), bare)
        for found in (bare, planned(f, passes, arrays, other)):
            for results, others in zip(found, wanted, strict=True):
                for a, b in zip(results, others, strict=True):
                    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


# Kinds of `graphs` that add nothing up.
PLAIN = [
    graphs.unary,
    lambda pool, x, y, i, half: graphs.BINARY[i % len(graphs.BINARY)](
        x, y if graphs.fits(x, y) else x
    ),
    graphs.shaping,
    graphs.indexing,
    lambda pool, x, y, i, half: np.concatenate([np.reshape(x, -1), np.reshape(y, -1)])[: i + 1],
    graphs.casting,
]


@settings(max_examples=80, deadline=None)
@given(graphs.programs, graphs.inputs_strategy, some_passes)
def test_nothing_is_rounded_otherwise(program, shapes, passes):
    """What adds nothing up is what NumPy computes, in float32 too."""
    arrays, other = given_to(shapes)

    def f(*xs):
        pool = list(xs)
        for kind, k, i in program:
            x, y = pool[-1 - k % len(pool)], pool[-1 - (k // 3) % len(pool)]
            pool.append(PLAIN[kind % len(PLAIN)](pool, x, y, i, np.float32))
        return tuple([np.positive(y) for y in pool[-3:]])

    wanted = [leaves([y.value for y in f(*map(bp.variable, xs))]) for xs in (other, arrays)]
    assert_bits(planned(f, passes, arrays, other), wanted)
