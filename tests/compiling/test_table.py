"""Every function of the table, compiled, and its gradient: the same as without, at other values."""

import numpy as np
import pytest
from hypothesis import given, settings

import fastbp as bp
from fastbp import tree
from fastbp.errors import FrozenValueError, NoRuleError
from fastbp.rules.table import SAMPLES

from .._core.engine.test_passive import with_masks
from ..harness import calls_of
from ..test_random_graphs import inputs_strategy, programs, sampled

pytestmark = pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning")

CALLS = [
    pytest.param(name, call, id=f"{name}-{k}")
    for name in sorted(SAMPLES)
    for k, call in enumerate(calls_of(name))
]
# What a Schur form chooses for them by values is a list of numbers that no record has.
FROZEN = {"scipy.linalg.logm", "scipy.linalg.fractional_matrix_power"}


def leaves(y):
    return [np.asarray(x) for x in tree.flatten(y)[0]]


def assert_close(found, expected):
    found, expected = leaves(found), leaves(expected)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        if b.dtype.kind in "fc":
            scale = np.max(np.abs(b[np.isfinite(b)]), initial=0.0)
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10 * scale)
        else:
            np.testing.assert_array_equal(a, b)


def total(call):
    def f(*arrays):
        found = 0.0
        for y in tree.flatten(call(*arrays))[0]:
            if isinstance(y, bp.Variable):
                w = np.cos(np.arange(y.size)).reshape(y.shape)
                found = found + np.sum(np.real(y) * w) + np.sum(np.imag(y) * w)
        return found

    return f


def gradient(call):
    return lambda *arrays: bp.grad(total(call), argnums=tuple(range(len(arrays))))(*arrays)


def compare(name, f, arrays):
    rng = np.random.default_rng(3)
    moved = tuple([(x * (1.0 + 0.01 * rng.random(x.shape))).astype(x.dtype) for x in arrays])
    with np.errstate(all="ignore"):
        try:
            wanted = [f(*arrays), f(*moved)]
        except (NoRuleError, TypeError, ValueError):
            return  # no derivative, of what is constant
        compiled = bp.compile(f)
        try:
            assert_close(compiled(*arrays), wanted[0])
        except FrozenValueError:
            if name not in FROZEN:
                raise
            return
        for _ in range(2):
            assert_close(compiled(*moved), wanted[1])
        assert_close(compiled(*arrays), wanted[0])


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_samples(name, call):
    compare(name, call, tuple(call.arrays))


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_gradients_of_samples(name, call):
    compare(name, gradient(call), tuple(call.arrays))


@settings(max_examples=100, deadline=None)
@given(programs, inputs_strategy)
def test_random_programs(program, shapes):
    arrays = tuple([x.astype(float) for x in sampled(shapes)])
    rng = np.random.default_rng(1)
    other = tuple([x + 1e-3 * rng.standard_normal(x.shape) for x in arrays])
    for f in (
        lambda *xs: with_masks(program, xs),
        lambda *xs: bp.grad(lambda *ys: with_masks(program, ys)[0], tuple(range(len(xs))))(*xs),
    ):
        compiled = bp.compile(f)
        try:
            wanted = [f(*arrays), f(*other)]
            compiled(*arrays)
        except (NoRuleError, FrozenValueError):  # refused, not lost: it writes into what takes no
            return  # recorded values, or makes plain arrays of them
        for args, want in ((arrays, wanted[0]), (other, wanted[1]), (arrays, wanted[0])):
            for a, b in zip(leaves(compiled(*args)), leaves(want), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
