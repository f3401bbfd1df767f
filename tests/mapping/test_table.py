"""Every function of the table, of many members at once: as a loop over them has it."""

from pathlib import Path

import numpy as np
import pytest

import fastbp as bp
from fastbp import tree
from fastbp.errors import MappedValueError, NoRuleError
from fastbp.rules import batching
from fastbp.rules.table import OPS, SAMPLES

from ..compiling.test_table import assert_close, gradient, total
from ..harness import calls_of

pytestmark = pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning")

# On plain arrays, where no rule puts the numbers back.
DRAWS = pytest.mark.thread_unsafe(reason="SciPy draws from the generator of the process")
DRAWING = {"scipy.linalg.logm", "scipy.linalg.fractional_matrix_power"}
CALLS = [
    pytest.param(name, call, id=f"{name}-{k}", marks=[DRAWS] * (name in DRAWING))
    for name in sorted(SAMPLES)
    for k, call in enumerate(calls_of(name))
    if call.arrays
]
# Their results have as many elements as values say, or they choose elements by values.
RAGGED = {"histogram", "histogram2d", "histogramdd", "setdiff1d", "setxor1d"}


def in_loop(f, axes, args):
    n = next(len(x) for x, axis in zip(args, axes, strict=True) if axis is not None)
    found = [
        f(*[x if axis is None else x[i] for x, axis in zip(args, axes, strict=True)])
        for i in range(n)
    ]
    structure = tree.flatten(found[0])[1]
    parts = zip(*[tree.flatten(y)[0] for y in found], strict=True)
    return structure.unflatten([np.stack(p) for p in parts])


def ways(call):
    """Return axes and arguments: all arrays of members, and each alone."""
    rng = np.random.default_rng(3)
    stacked = [
        np.stack([x, *[x * (1.0 + 0.01 * rng.random(x.shape)) for _ in range(2)]])
        for x in call.arrays
    ]
    n = len(stacked)
    yield (0,) * n, stacked
    for k in range(n) if n > 1 else ():  # each alone
        axes = tuple([0 if j == k else None for j in range(n)])
        yield (
            axes,
            [a if axis == 0 else x for a, x, axis in zip(stacked, call.arrays, axes, strict=True)],
        )


def compare(name, f, call):
    with np.errstate(all="ignore"):
        for axes, args in ways(call):
            try:
                wanted = in_loop(f, axes, args)
            except (NoRuleError, TypeError, ValueError):
                return  # no derivative, of what is constant
            try:
                found = bp.vmap(f, axes)(*args)
            except MappedValueError:
                if name not in RAGGED:
                    raise
                continue
            assert_close(found, wanted)


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_samples(name, call):
    compare(name, call, call)


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_gradients_of_samples(name, call):
    compare(name, gradient(call), call)


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_gradients_through_the_map(name, call):
    """Of members that are added with weights: those of each alone, times its weight."""
    weights = np.array([1.0, -2.0, 0.5])
    with np.errstate(all="ignore"):
        for axes, args in ways(call):
            try:
                alone = in_loop(gradient(call), axes, args)
            except (NoRuleError, TypeError, ValueError):
                return

            def added(*arrays, axes=axes):
                return np.sum(weights * bp.vmap(total(call), axes)(*arrays))

            try:
                found = bp.grad(added, argnums=tuple(range(len(args))))(*args)
            except MappedValueError:
                if name not in RAGGED:
                    raise
                continue
            for x, y, axis in zip(found, alone, axes, strict=True):
                expected = weights.reshape(-1, *[1] * (y.ndim - 1)) * y
                assert_close(x, np.sum(expected, 0) if axis is None else expected)


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_gradients_in_maps_of_maps(name, call):
    """One array by the map outside, another, or a factor of the result, by that inside."""
    factors = np.array([1.0, -2.0])
    n = len(call.arrays)
    argnums = tuple(range(n))

    def f(*args):
        return total(call)(*args[:n]) * args[n]

    gradients = bp.grad(f, argnums)
    rng = np.random.default_rng(3)
    other = [x * (1.0 + 0.01 * rng.random(x.shape)) for x in call.arrays]
    stacked = [*map(np.stack, zip(call.arrays, other, strict=True)), factors]
    with np.errstate(all="ignore"):
        for i, j in [(n - 1, n), *zip(range(n - 1), range(1, n), strict=True)]:
            args = [x if k in (i, j) else x[0] for k, x in enumerate(stacked)]
            outer, inner = ([0 if k == m else None for k in range(n + 1)] for m in (i, j))

            def one(*args, inner=inner):
                return in_loop(gradients, inner, args)

            try:
                wanted = in_loop(one, outer, args)
            except (NoRuleError, TypeError, ValueError):
                return
            try:
                found = bp.vmap(bp.vmap(gradients, inner), outer)(*args)
            except MappedValueError:
                if name not in RAGGED:
                    raise
                continue
            assert_close(found, wanted)


def test_the_page_lists_what_is_computed_member_by_member():
    page = (Path(__file__).parents[2] / "docs" / "vmap.md").read_text()
    listed = " ".join([line for line in page.splitlines() if line.startswith("    ")])
    rows = {name for name, op in OPS.items() if batching.batch_of(op) is batching.loops}
    assert rows & set(listed.split()) == rows
    for line in listed.split():
        assert line in rows or line not in OPS
